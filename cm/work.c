/* The instance's own threads: a few workers that run what cm_work was given, started
 * when there is work for them, and one timer thread that looks at vnodes with unstored
 * records when their time has come, ends promises whose time is over, and has silent
 * servers probed. Called by cm/flush.c and cm/file.c on any thread; the workers may do
 * RPCs. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "cm/internal.h"
#include "rx/maybe.h"

enum { EXPIRE_EVERY_US = 5 * 1000 * 1000 };

static void worker(void *arg)
{
	struct cm *cm = arg;
	struct cm_works *w = &cm->works;

	rx_mutex_lock(&w->lock);
	for (;;) {
		struct cm_work_item *item = w->head;

		if (!item) {
			if (w->stop)
				break;
			w->idle++;
			rx_cond_wait(&w->wake, &w->lock, UINT64_MAX);
			w->idle--;
			continue;
		}
		w->head = item->next;
		if (!w->head)
			w->tail = &w->head;
		w->busy++;
		rx_mutex_unlock(&w->lock);
		item->fn(item->arg);
		free(item);
		rx_mutex_lock(&w->lock);
		w->busy--;
	}
	rx_mutex_unlock(&w->lock);
}

bool cm_work(struct cm *cm, void (*fn)(void *), void *arg)
{
	struct cm_works *w = &cm->works;
	struct cm_work_item *item = UMAFS_MAYBE(cm->env, WORK_REFUSED) ? NULL : malloc(sizeof(*item));
	size_t waiting = 1;

	if (!item)
		return false;
	item->next = NULL;
	item->fn = fn;
	item->arg = arg;
	rx_mutex_lock(&w->lock);
	for (const struct cm_work_item *i = w->head; i; i = i->next)
		waiting++;
	*w->tail = item;
	w->tail = &item->next;
	if ((waiting > w->idle || UMAFS_MAYBE(cm->env, WORKER_MORE)) && w->nthreads < CM_WORKERS) {
		struct rx_thread *t = rx_thread_spawn(cm->env, "cm-worker", worker, cm);

		if (t)
			w->threads[w->nthreads++] = t;
	}
	if (w->nthreads == 0) { /* nobody would ever come for it */
		assert(w->head == item);
		w->head = NULL;
		w->tail = &w->head;
		rx_mutex_unlock(&w->lock);
		free(item);
		return false;
	}
	rx_cond_signal(&w->wake);
	rx_mutex_unlock(&w->lock);
	return true;
}

void cm_flush_timer(struct cm_vnode *v, uint64_t when_us)
{
	struct cm_works *w = &v->cm->works;
	bool taken = false, sooner;

	if (when_us == UINT64_MAX)
		return;
	cm_vnode_get(v);
	rx_mutex_lock(&w->lock);
	sooner = !v->in_timer || when_us < v->timer_us;
	if (!v->in_timer) {
		v->in_timer = taken = true;
		v->timer_next = w->timers;
		w->timers = v;
	}
	if (sooner) {
		v->timer_us = when_us;
		rx_cond_signal(&w->tick);
	}
	rx_mutex_unlock(&w->lock);
	if (!taken)
		cm_vnode_put(v);
}

/* Takes one vnode whose time has come off the list. *next: when another look is due. */
static struct cm_vnode *take_due(struct cm_works *w, uint64_t now, uint64_t *next)
{
	bool early = w->timers && UMAFS_MAYBE(w->lock.env, TIMER_EARLY);

	for (struct cm_vnode **p = &w->timers; *p; p = &(*p)->timer_next) {
		struct cm_vnode *v = *p;

		if (v->timer_us <= now || early) {
			*p = v->timer_next;
			v->in_timer = false;
			return v;
		}
		if (v->timer_us < *next)
			*next = v->timer_us;
	}
	return NULL;
}

static uint64_t max_age_us(const struct cm *cm)
{
	return cm->config.max_dirty_age_ms == UINT32_MAX ? UINT64_MAX : cm->config.max_dirty_age_ms * (uint64_t)1000;
}

static void timer(void *arg)
{
	struct cm *cm = arg;
	struct cm_works *w = &cm->works;
	uint64_t expire_at = rx_now_us(cm->env) + EXPIRE_EVERY_US;

	rx_mutex_lock(&w->lock);
	while (!w->stop) {
		uint64_t now = rx_now_us(cm->env), next = expire_at;
		struct cm_vnode *v = take_due(w, now, &next);

		if (v) {
			rx_mutex_unlock(&w->lock);
			cm_flush_timer(v, cm_records_age(&v->records, now, max_age_us(cm)));
			cm_vnode_put(v);
			rx_mutex_lock(&w->lock);
		} else if (now >= expire_at) {
			rx_mutex_unlock(&w->lock);
			cm_vnodes_expire(cm);
			cm_servers_probe(cm);
			expire_at = rx_now_us(cm->env) + EXPIRE_EVERY_US;
			rx_mutex_lock(&w->lock);
		} else {
			rx_cond_wait(&w->tick, &w->lock, next);
		}
	}
	rx_mutex_unlock(&w->lock);
}

int cm_works_start(struct cm *cm, struct rx_error *err)
{
	struct cm_works *w = &cm->works;

	rx_mutex_init(&w->lock, cm->env, RX_RANK_QUEUE, "cm works");
	rx_cond_init(&w->wake, cm->env);
	rx_cond_init(&w->tick, cm->env);
	w->tail = &w->head;
	w->timer = rx_thread_spawn(cm->env, "cm-timer", timer, cm);
	if (!w->timer)
		return rx_error_errno(err, EAGAIN, "cannot start the cache manager's timer thread");
	return 0;
}

void cm_works_stop(struct cm *cm)
{
	struct cm_works *w = &cm->works;
	struct cm_vnode *v;

	rx_mutex_lock(&w->lock);
	w->stop = true;
	rx_cond_broadcast(&w->wake);
	rx_cond_broadcast(&w->tick);
	rx_mutex_unlock(&w->lock);
	if (w->timer)
		rx_thread_join(cm->env, w->timer);
	for (unsigned i = 0; i < w->nthreads; i++)
		rx_thread_join(cm->env, w->threads[i]);
	while ((v = w->timers)) {
		w->timers = v->timer_next;
		v->in_timer = false;
		cm_vnode_put(v);
	}
	rx_cond_destroy(&w->wake);
	rx_cond_destroy(&w->tick);
	rx_mutex_destroy(&w->lock);
}
