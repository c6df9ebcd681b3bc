/* See nth.h. Counting needs no lock, as processes that share a count may be killed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/nth/nth.h"

enum { LIVE = 1 << 16 };

struct live {
	void *p; /* NULL: free; GONE: was used */
	uintptr_t at;
	unsigned serial;
};
#define GONE ((void *)1)

/* Shared with children, and with who reads the files that the environment names. */
static struct nth_shared *shared;
static struct nth_place *places;
static bool (*scope)(void);
static bool alone;                                       /* a program that counts from its start to its end */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the books */
static struct live live[LIVE];
static unsigned serial;

extern const char __executable_start;

/* ---- the n-th ---- */

static void *map_file(const char *path, size_t size)
{
	int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
	void *p;

	if (path && (fd < 0 || ftruncate(fd, (off_t)size)))
		abort();
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, path ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS, fd, 0);
	if (p == MAP_FAILED)
		abort();
	if (fd >= 0)
		close(fd);
	return p;
}

/* The JSON library's own places are one. */
static void *json_malloc(size_t size)
{
	return nth_fails_from("json", true, (uintptr_t)&__executable_start, 0) ? NULL : malloc(size);
}

static void __attribute__((constructor)) begin(void)
{
	const char *dir = getenv("UMAFS_NTH_PLACES"), *report = getenv("UMAFS_NTH_REPORT");
	char path[512];

	if (dir)
		snprintf(path, sizeof(path), "%s/%s.places", dir, program_invocation_short_name);
	places = map_file(dir ? path : NULL, NTH_PLACES_SIZE);
	shared = map_file(report, sizeof(*shared));
	json_set_alloc_funcs(json_malloc, free);
	alone = report && shared->n && !shared->later && !strcmp(shared->program, program_invocation_short_name);
}

static void __attribute__((destructor)) finish(void)
{
	DIR *d;

	if (!getenv("UMAFS_NTH_REPORT"))
		return;
	alone = false;
	d = opendir("/proc/self/fd");
	for (shared->descriptors = 0; d && readdir(d);)
		shared->descriptors++;
	if (d)
		closedir(d);
}

static struct nth_place *place_of(uintptr_t at, const char *call)
{
	unsigned i = (unsigned)(at * 0x9e3779b97f4a7c15u >> 52);
	uintptr_t none = 0;

	while (__atomic_load_n(&places[i].at, __ATOMIC_ACQUIRE) != at) {
		if (__atomic_compare_exchange_n(&places[i].at, &none, at, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			break;
		none = 0;
		i = (i + 1) % NTH_PLACES;
	}
	snprintf(places[i].call, sizeof(places[i].call), "%s", call);
	return &places[i];
}

bool nth_fails_from(const char *call, bool allocation, uintptr_t at, uintptr_t from)
{
	int saved = errno;
	struct nth_place *place;
	unsigned n;
	bool yes;

	if (!shared || !(shared->armed || alone) || (scope && !scope()))
		return false;
	at -= (uintptr_t)&__executable_start;
	from -= (uintptr_t)&__executable_start;
	place = place_of(at, call);
	__atomic_add_fetch(&place->reached, 1, __ATOMIC_RELAXED);
	n = __atomic_add_fetch(&shared->report.calls, 1, __ATOMIC_SEQ_CST);
	if (n <= NTH_ORDER_MAX)
		shared->order[n - 1] = (uint32_t)at ^ (uint32_t)from * 0x9e3779b1u;
	if (allocation)
		__atomic_add_fetch(&shared->report.allocations, 1, __ATOMIC_RELAXED);
	yes = n >= shared->n && n - shared->n < shared->burst;
	if (yes) {
		__atomic_add_fetch(&place->failed, 1, __ATOMIC_RELAXED);
		if (__atomic_fetch_add(&shared->report.failed, 1, __ATOMIC_SEQ_CST) == 0) {
			shared->report.at = at;
			snprintf(shared->report.call, sizeof(shared->report.call), "%s", call);
		}
	}
	errno = saved;
	return yes;
}

unsigned nth_variant(void)
{
	return shared->variant;
}

void nth_scope(bool (*counts)(void))
{
	scope = counts;
}

void nth_arm(unsigned n, unsigned burst)
{
	shared->n = n;
	shared->burst = burst;
	shared->report = (struct nth_report){ 0 };
	__atomic_store_n(&shared->armed, true, __ATOMIC_SEQ_CST);
}

void nth_arm_as_asked(void)
{
	nth_arm(shared->n, shared->burst);
}

void nth_disarm(void)
{
	__atomic_store_n(&shared->armed, false, __ATOMIC_SEQ_CST);
}

struct nth_report nth_report(void)
{
	return shared->report;
}

const char *nth_place(const char *exe, uintptr_t at)
{
	static char text[512];
	char cmd[600], file[256] = "";
	FILE *f;

	snprintf(text, sizeof(text), "%#lx", at);
	if (exe)
		snprintf(cmd, sizeof(cmd), "addr2line -s -f -e %s %#lx 2>/dev/null", exe, at - 1);
	else
		snprintf(cmd, sizeof(cmd), "addr2line -s -f -e /proc/%d/exe %#lx 2>/dev/null", getpid(), at - 1);
	f = popen(cmd, "r");
	if (!f)
		return text;
	if (fgets(text, 200, f) && fgets(file, sizeof(file), f)) {
		text[strcspn(text, "\n")] = 0;
		file[strcspn(file, "\n")] = 0;
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " at %s", file);
	}
	pclose(f);
	return text;
}

/* ---- the books ---- */

static unsigned slot_of(const void *p)
{
	return (unsigned)((uintptr_t)p * 0x9e3779b97f4a7c15u >> 48);
}

void *nth_born(void *p, uintptr_t at)
{
	unsigned i = slot_of(p);

	if (!p)
		return NULL;
	pthread_mutex_lock(&lock);
	while (live[i].p && live[i].p != GONE)
		i = (i + 1) % LIVE;
	live[i] = (struct live){ p, at, ++serial };
	pthread_mutex_unlock(&lock);
	return p;
}

void nth_died(void *p)
{
	unsigned i = slot_of(p);

	if (!p)
		return;
	pthread_mutex_lock(&lock);
	while (live[i].p && live[i].p != p)
		i = (i + 1) % LIVE;
	if (live[i].p)
		live[i].p = live[(i + 1) % LIVE].p ? GONE : NULL;
	pthread_mutex_unlock(&lock);
}

unsigned nth_mark(void)
{
	return serial;
}

unsigned nth_leaked(unsigned mark)
{
	unsigned n = 0;

	for (unsigned i = 0; i < LIVE; i++)
		if (live[i].p && live[i].p != GONE && live[i].serial > mark && n++ < 4)
			printf("    leaked: allocated by %s\n",
			       nth_place(NULL, live[i].at - (uintptr_t)&__executable_start));
	return n;
}

void nth_free(void *p)
{
	nth_died(p);
	free(p);
}
