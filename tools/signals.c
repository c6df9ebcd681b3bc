/* Stopping in good order: one thread waits for SIGINT, SIGTERM and SIGHUP, everybody
 * else looks at cli_stopped(). If the commands do not come to an end in time, what
 * would be left behind is removed or named here, and the process ends. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "tools/cli.h"

enum { GRACE_SECONDS = 8 };

struct cli_pending {
	struct cli_pending *next;
	bool is_file;
	char text[];
};

static pthread_mutex_t pending_lock = PTHREAD_MUTEX_INITIALIZER;
static struct cli_pending *pending;
static int stop_signal; /* atomic */
static int stop_fd = -1;
static sigset_t stop_set;

static struct cli_pending *pending_add(bool is_file, const char *text)
{
	size_t len = strlen(text) + 1;
	struct cli_pending *p = cli_alloc(sizeof(*p) + len);

	p->is_file = is_file;
	memcpy(p->text, text, len);
	pthread_mutex_lock(&pending_lock);
	p->next = pending;
	pending = p;
	pthread_mutex_unlock(&pending_lock);
	return p;
}

struct cli_pending *cli_pending_file(const char *path)
{
	return pending_add(true, path);
}

char *cli_pending_path(struct cli_pending *p)
{
	return p->text;
}

struct cli_pending *cli_pending_text(const char *fmt, ...)
{
	struct cli_pending *p;
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		cli_out_of_memory();
	va_end(ap);
	p = pending_add(false, text);
	free(text);
	return p;
}

void cli_pending_end(struct cli_pending *p)
{
	struct cli_pending **at = &pending;

	if (!p)
		return;
	pthread_mutex_lock(&pending_lock);
	while (*at && *at != p)
		at = &(*at)->next;
	if (*at)
		*at = p->next;
	pthread_mutex_unlock(&pending_lock);
	free(p);
}

static void pending_settle(void)
{
	/* Held to the end: the process ends with it. */
	pthread_mutex_lock(&pending_lock);
	for (const struct cli_pending *p = pending; p; p = p->next) {
		if (!p->is_file)
			fprintf(stderr, "umafs: %s\n", p->text);
		else if (unlink(p->text) && errno != ENOENT)
			fprintf(stderr, "umafs: %s: this temporary file could not be removed: %s\n", p->text,
				strerror(errno));
	}
}

void cli_out_of_memory(void)
{
	fputs("umafs: out of memory\n", stderr);
	pending_settle();
	fflush(stdout);
	_exit(EXIT_FAILURE);
}

static void *stop_thread(void *arg)
{
	const struct timespec grace = { .tv_sec = GRACE_SECONDS };
	uint64_t one = 1;
	int sig;

	(void)arg;
	while (sigwait(&stop_set, &sig))
		;
	__atomic_store_n(&stop_signal, sig, __ATOMIC_SEQ_CST);
	if (write(stop_fd, &one, sizeof(one)) != sizeof(one))
		abort();
	/* A second signal ends the wait as well. */
	sigtimedwait(&stop_set, NULL, &grace);
	pending_settle();
	_exit(128 + sig);
}

void cli_signals_start(void)
{
	pthread_t thread;
	int error;

	stop_fd = eventfd(0, EFD_CLOEXEC);
	sigemptyset(&stop_set);
	sigaddset(&stop_set, SIGINT);
	sigaddset(&stop_set, SIGTERM);
	sigaddset(&stop_set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &stop_set, NULL);
	signal(SIGPIPE, SIG_IGN);
	error = stop_fd < 0 ? errno : pthread_create(&thread, NULL, stop_thread, NULL);
	if (error) {
		fprintf(stderr, "umafs: no thread could be started: %s\n", strerror(error));
		exit(EXIT_FAILURE);
	}
	pthread_detach(thread);
}

int cli_stopped(void)
{
	return __atomic_load_n(&stop_signal, __ATOMIC_SEQ_CST);
}

int cli_stop_fd(void)
{
	return stop_fd;
}
