/* What a world replaces must be all there is: no room asks the system for the time, for random
 * numbers, threads, locks or a nap, but through struct rx_env and the few files that are the
 * edges. Looks at what the rooms' libraries, in the build directory, import. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit.h"

/* A name with "*" at its end stands for all that begin so. */
static const char *const watched[] = {
	"pthread_*", "clock_*",   "time",        "gettimeofday", "timespec_get", "nanosleep", "usleep",    "sleep",
	"alarm",     "getrandom", "getentropy",  "rand",         "rand_r",       "random",    "drand48",   "RAND_*",
	"poll",      "ppoll",     "select",      "pselect",      "epoll_*",      "sem_*",     "mtx_*",     "thrd_*",
	"timer*",    "timerfd_*", "sched_yield", "__poll_chk",   "futex",        "syscall",   "setitimer",
};

/* Who may, and why. */
static const struct {
	const char *object, *symbol;
} edges[] = {
	{ "env_posix.o", "*" },             /* the real env */
	{ "net_udp.o", "poll" },            /* the real network: a full send buffer */
	{ "kernel.o", "poll" },             /* the real userfaultfd */
	{ "kernel.o", "syscall" },          /* ... which has no function of its own */
	{ "uffd.o", "syscall" },            /* likewise */
	{ "service.o", "pthread_sigmask" }, /* of the threads that it has the env make */
	{ "fcrypt.o", "pthread_once" },     /* constant tables */
	{ "ticket.o", "pthread_mutex_*" }, /* around the Kerberos library, which never waits for one of ours */
};

static bool fits(const char *pattern, const char *name)
{
	size_t n = strlen(pattern);

	return pattern[n - 1] == '*' ? !strncmp(pattern, name, n - 1) : !strcmp(pattern, name);
}

static bool is_watched(const char *symbol)
{
	for (size_t i = 0; i < sizeof(watched) / sizeof(*watched); i++)
		if (fits(watched[i], symbol))
			return true;
	return false;
}

static bool is_edge(const char *object, const char *symbol)
{
	for (size_t i = 0; i < sizeof(edges) / sizeof(*edges); i++)
		if (!strcmp(edges[i].object, object) && fits(edges[i].symbol, symbol))
			return true;
	return false;
}

/* Imports of one library; returns how many it has. */
static unsigned look_at(const char *library)
{
	char cmd[128], line[512], object[256], symbol[256];
	unsigned n = 0;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "nm -A --undefined-only .libs/%s.a 2>/dev/null", library);
	f = popen(cmd, "r");
	while (f && fgets(line, sizeof(line), f)) {
		const char *colon = strchr(line, ':');

		if (!colon || sscanf(colon + 1, "%255[^:]: U %255s", object, symbol) != 2)
			continue;
		n++;
		if (is_watched(symbol) && !is_edge(object, symbol)) {
			printf("\n    %s: %s calls %s: it must ask struct rx_env", library, object, symbol);
			CU_FAIL("a call past the env");
		}
	}
	if (f)
		pclose(f);
	return n;
}

static void test_edges(void)
{
	static const char *const rooms[] = { "librx", "librecord", "libcm", "libvfs", "libcell", "libfault" };
	unsigned n = 0;

	for (size_t i = 0; i < sizeof(rooms) / sizeof(*rooms); i++)
		n += look_at(rooms[i]);
	if (!n)
		unit_skip("nm or the rooms' libraries are missing here");
	else
		CU_ASSERT(n > 500); /* or this looks at the wrong thing */
}

UNIT_MAIN("edges", { "no room knows another clock, thread or dice than the env's", test_edges })
