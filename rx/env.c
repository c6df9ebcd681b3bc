/* Locks and threads of any env, with the lock-rank check of debug builds. The check is
 * per thread: the ranks held now, in a small stack. Any thread. */
#include <stdio.h>
#include <stdlib.h>

#include "rx/env.h"
#include "rx/maybe.h"

static _Thread_local struct rx_held own;
static _Thread_local struct rx_held *here;

struct rx_held *rx_held_switch(struct rx_held *to)
{
	struct rx_held *old = here ? here : &own;

	here = to;
	return old;
}

#ifdef UMAFS_DEBUG
static struct rx_held *held_now(void)
{
	return here ? here : &own;
}

static void rank_enter(const struct rx_mutex *m)
{
	struct rx_held *h = held_now();

	for (int i = 0; i < h->n; i++) {
		if (h->locks[i]->rank >= m->rank) {
			fprintf(stderr, "umafs: lock order: %s (%d) taken while holding %s (%d)\n", m->name, m->rank,
				h->locks[i]->name, h->locks[i]->rank);
			abort();
		}
	}
	if (h->n == RX_HELD_MAX)
		abort();
	h->locks[h->n++] = m;
}

static void rank_leave(const struct rx_mutex *m)
{
	struct rx_held *h = held_now();

	for (int i = h->n - 1; i >= 0; i--) {
		if (h->locks[i] != m)
			continue;
		h->n--;
		for (int j = i; j < h->n; j++)
			h->locks[j] = h->locks[j + 1];
		return;
	}
	fprintf(stderr, "umafs: unlock of %s, which this thread does not hold\n", m->name);
	abort();
}
#else
static inline void rank_enter(const struct rx_mutex *m)
{
	(void)m;
}

static inline void rank_leave(const struct rx_mutex *m)
{
	(void)m;
}
#endif

void rx_mutex_init(struct rx_mutex *m, struct rx_env *env, enum rx_rank rank, const char *name)
{
	m->env = env;
	m->name = name;
	m->rank = rank;
	m->held = NULL;
	env->ops->mutex_init(m);
}

void rx_mutex_destroy(struct rx_mutex *m)
{
	m->env->ops->mutex_destroy(m);
}

void rx_mutex_lock(struct rx_mutex *m)
{
	rank_enter(m);
	m->env->ops->lock(m);
}

void rx_mutex_unlock(struct rx_mutex *m)
{
	rank_leave(m);
	m->env->ops->unlock(m);
}

void rx_cond_init(struct rx_cond *c, struct rx_env *env)
{
	c->env = env;
	c->waiters = NULL;
	env->ops->cond_init(c);
}

void rx_cond_destroy(struct rx_cond *c)
{
	c->env->ops->cond_destroy(c);
}

bool rx_cond_wait(struct rx_cond *c, struct rx_mutex *m, uint64_t deadline_us)
{
	if (UMAFS_MAYBE(c->env, WAKE_SPURIOUSLY)) {
		c->env->ops->unlock(m);
		c->env->ops->lock(m);
		return true;
	}
	return c->env->ops->wait(c, m, deadline_us);
}

struct rx_thread *rx_thread_spawn(struct rx_env *env, const char *name, void (*fn)(void *), void *arg)
{
	return env->ops->spawn(env, name, fn, arg);
}

void rx_thread_join(struct rx_env *env, struct rx_thread *thread)
{
	env->ops->join(env, thread);
}
