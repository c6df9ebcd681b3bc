/* The real world: CLOCK_BOOTTIME, getrandom, pthreads. Stateless but for the per-thread
 * list of held lock ranks, which debug builds check. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "rx/env.h"

struct rx_thread {
	pthread_t tid;
	void (*fn)(void *);
	void *arg;
	char name[16];
};

static uint64_t posix_now_us(struct rx_env *env)
{
	struct timespec ts;

	(void)env;
	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

static int64_t posix_wall_s(struct rx_env *env)
{
	(void)env;
	return (int64_t)time(NULL);
}

static void posix_random(struct rx_env *env, void *buf, size_t len)
{
	uint8_t *p = buf;

	(void)env;
	while (len > 0) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			abort();
		p += n;
		len -= (size_t)n;
	}
}

static void *thread_main(void *arg)
{
	struct rx_thread *t = arg;

	pthread_setname_np(pthread_self(), t->name);
	t->fn(t->arg);
	return NULL;
}

static struct rx_thread *posix_spawn_thread(struct rx_env *env, const char *name, void (*fn)(void *), void *arg)
{
	struct rx_thread *t = calloc(1, sizeof(*t));

	(void)env;
	if (!t)
		return NULL;
	t->fn = fn;
	t->arg = arg;
	snprintf(t->name, sizeof(t->name), "%s", name);
	if (pthread_create(&t->tid, NULL, thread_main, t) != 0) {
		free(t);
		return NULL;
	}
	return t;
}

static void posix_join(struct rx_env *env, struct rx_thread *t)
{
	(void)env;
	pthread_join(t->tid, NULL);
	free(t);
}

static void posix_mutex_init(struct rx_mutex *m)
{
	pthread_mutex_init(&m->m, NULL);
}

static void posix_mutex_destroy(struct rx_mutex *m)
{
	pthread_mutex_destroy(&m->m);
}

static void posix_lock(struct rx_mutex *m)
{
	pthread_mutex_lock(&m->m);
}

static void posix_unlock(struct rx_mutex *m)
{
	pthread_mutex_unlock(&m->m);
}

/* Condition variables cannot wait on CLOCK_BOOTTIME: deadlines are turned into an
 * interval on CLOCK_MONOTONIC, so that a suspend lengthens a wait but never loses it. */
static void posix_cond_init(struct rx_cond *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->c, &attr);
	pthread_condattr_destroy(&attr);
}

static void posix_cond_destroy(struct rx_cond *c)
{
	pthread_cond_destroy(&c->c);
}

static bool posix_wait(struct rx_cond *c, struct rx_mutex *m, uint64_t deadline_us)
{
	struct timespec ts;
	uint64_t now, rest;

	if (deadline_us == UINT64_MAX) {
		pthread_cond_wait(&c->c, &m->m);
		return true;
	}
	now = posix_now_us(c->env);
	if (deadline_us <= now)
		return false;
	rest = deadline_us - now;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += (time_t)(rest / 1000000u);
	ts.tv_nsec += (long)(rest % 1000000u) * 1000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	return pthread_cond_timedwait(&c->c, &m->m, &ts) != ETIMEDOUT;
}

static void posix_wake(struct rx_cond *c, bool all)
{
	if (all)
		pthread_cond_broadcast(&c->c);
	else
		pthread_cond_signal(&c->c);
}

static const struct rx_env_ops posix_ops = {
	.now_us = posix_now_us,
	.wall_s = posix_wall_s,
	.random = posix_random,
	.spawn = posix_spawn_thread,
	.join = posix_join,
	.mutex_init = posix_mutex_init,
	.mutex_destroy = posix_mutex_destroy,
	.lock = posix_lock,
	.unlock = posix_unlock,
	.cond_init = posix_cond_init,
	.cond_destroy = posix_cond_destroy,
	.wait = posix_wait,
	.wake = posix_wake,
};

struct rx_env *rx_env_posix(void)
{
	static struct rx_env env = { .ops = &posix_ops };

	return &env;
}
