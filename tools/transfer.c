/* Side by side transfers; see transfer.h. */
#include "tools/transfer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { QUEUE = 1024, TICK_MS = 200, RATE_TICKS = 25 };

struct job {
	transfer_job *run;
	void *arg;
};

struct transfer {
	struct cli *cli;
	pthread_mutex_t lock;
	pthread_cond_t filled, drained, tick;
	struct job queue[QUEUE]; /* a ring */
	unsigned head, count;
	bool closing;  /* no more jobs will come */
	bool finished; /* and all have run: the line's last drawing is due */
	unsigned nthreads;
	pthread_t *threads;

	uint64_t expected, moved; /* atomic */
	bool has_progress;
	pthread_t progress;
};

static void *worker(void *arg)
{
	struct transfer *t = arg;

	pthread_mutex_lock(&t->lock);
	for (;;) {
		struct job job;

		while (!t->count && !t->closing)
			pthread_cond_wait(&t->filled, &t->lock);
		if (!t->count)
			break;
		job = t->queue[t->head];
		t->head = (t->head + 1) % QUEUE;
		t->count--;
		pthread_cond_signal(&t->drained);
		pthread_mutex_unlock(&t->lock);
		job.run(t, job.arg);
		pthread_mutex_lock(&t->lock);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

/* ---- the progress line ---- */

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void draw(struct transfer *t, double rate)
{
	struct winsize ws = { .ws_col = 0 };
	char line[256];
	unsigned columns = 80;

	if (!ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) && ws.ws_col > 1)
		columns = ws.ws_col;
	format_progress(__atomic_load_n(&t->moved, __ATOMIC_RELAXED), __atomic_load_n(&t->expected, __ATOMIC_RELAXED),
			rate, columns - 1, line);
	pthread_mutex_lock(&t->cli->lock);
	fprintf(stderr, "\r%s\033[K", line);
	t->cli->progress = true;
	pthread_mutex_unlock(&t->cli->lock);
}

/* The rate is that of the last RATE_TICKS ticks, so that it follows the network. */
static void *progress(void *arg)
{
	struct transfer *t = arg;
	double times[RATE_TICKS], start = now_s();
	uint64_t bytes[RATE_TICKS];
	unsigned n = 0;
	double rate = 0;

	pthread_mutex_lock(&t->lock);
	while (!t->finished) {
		struct timespec until;
		unsigned slot = n % RATE_TICKS;
		uint64_t moved = __atomic_load_n(&t->moved, __ATOMIC_RELAXED), before = 0;
		double now = now_s(), since = start;

		if (n >= RATE_TICKS) {
			before = bytes[slot];
			since = times[slot];
		}
		if (now > since)
			rate = moved > before ? (double)(moved - before) / (now - since) : 0;
		times[slot] = now;
		bytes[slot] = moved;
		pthread_mutex_unlock(&t->lock);
		if (n++)
			draw(t, rate);
		pthread_mutex_lock(&t->lock);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += TICK_MS * 1000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
		if (!t->finished)
			pthread_cond_timedwait(&t->tick, &t->lock, &until);
	}
	pthread_mutex_unlock(&t->lock);
	draw(t, (double)t->moved / (now_s() - start + 1e-6));
	pthread_mutex_lock(&t->cli->lock);
	fputc('\n', stderr);
	t->cli->progress = false;
	pthread_mutex_unlock(&t->cli->lock);
	return NULL;
}

/* ---- life ---- */

struct transfer *transfer_new(struct cli *cli)
{
	struct transfer *t = cli_alloc(sizeof(*t));

	t->cli = cli;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->filled, NULL);
	pthread_cond_init(&t->drained, NULL);
	pthread_cond_init(&t->tick, NULL);
	t->threads = cli_alloc(cli->jobs * sizeof(*t->threads));
	while (t->nthreads < cli->jobs && !pthread_create(&t->threads[t->nthreads], NULL, worker, t))
		t->nthreads++;
	if (!t->nthreads) {
		fputs("umafs: no thread could be started\n", stderr);
		exit(1);
	}
	if (isatty(STDERR_FILENO) && !cli->json && !cli->trace)
		t->has_progress = !pthread_create(&t->progress, NULL, progress, t);
	return t;
}

struct cli *transfer_cli(struct transfer *t)
{
	return t->cli;
}

void transfer_submit(struct transfer *t, transfer_job *job, void *arg)
{
	pthread_mutex_lock(&t->lock);
	while (t->count == QUEUE)
		pthread_cond_wait(&t->drained, &t->lock);
	t->queue[(t->head + t->count) % QUEUE] = (struct job){ job, arg };
	t->count++;
	pthread_cond_signal(&t->filled);
	pthread_mutex_unlock(&t->lock);
}

void transfer_free(struct transfer *t)
{
	pthread_mutex_lock(&t->lock);
	t->closing = true;
	pthread_cond_broadcast(&t->filled);
	pthread_mutex_unlock(&t->lock);
	for (unsigned i = 0; i < t->nthreads; i++)
		pthread_join(t->threads[i], NULL);
	if (t->has_progress) {
		pthread_mutex_lock(&t->lock);
		t->finished = true;
		pthread_cond_signal(&t->tick);
		pthread_mutex_unlock(&t->lock);
		pthread_join(t->progress, NULL);
	}
	pthread_cond_destroy(&t->filled);
	pthread_cond_destroy(&t->drained);
	pthread_cond_destroy(&t->tick);
	pthread_mutex_destroy(&t->lock);
	free(t->threads);
	free(t);
}

void transfer_expect(struct transfer *t, uint64_t bytes)
{
	__atomic_add_fetch(&t->expected, bytes, __ATOMIC_RELAXED);
}

void transfer_moved(struct transfer *t, uint64_t bytes)
{
	__atomic_add_fetch(&t->moved, bytes, __ATOMIC_RELAXED);
}

void transfer_unmoved(struct transfer *t, uint64_t bytes)
{
	__atomic_sub_fetch(&t->moved, bytes, __ATOMIC_RELAXED);
}
