/* See fake_cm.h: the instance, its workers, events, tokens and vnodes. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fake_cm_internal.h"

/* ---- the instance ---- */

static void worker_main(void *arg)
{
	struct cm *cm = arg;
	struct job *job;

	rx_mutex_lock(&cm->queue_lock);
	for (;;) {
		while (!cm->jobs && !cm->stop)
			rx_cond_wait(&cm->work, &cm->queue_lock, UINT64_MAX);
		job = cm->jobs;
		if (!job)
			break;
		cm->jobs = job->next;
		if (!cm->jobs)
			cm->jobs_tail = &cm->jobs;
		cm->running++;
		rx_mutex_unlock(&cm->queue_lock);
		job->fn(job->arg);
		free(job);
		rx_mutex_lock(&cm->queue_lock);
		cm->running--;
		rx_cond_broadcast(&cm->idle);
	}
	rx_mutex_unlock(&cm->queue_lock);
}

struct cm *fake_new(void)
{
	return fake_new_in(rx_env_posix());
}

void fake_set_hooks(struct cm *cm, const struct fake_hooks *hooks)
{
	cm->hooks = *hooks;
}

struct cm *fake_new_in(struct rx_env *env)
{
	struct cm *cm = calloc(1, sizeof(*cm));

	cm->env = env;
	cm->log = calloc(LOG_MAX, sizeof(*cm->log));
	cm->jobs_tail = &cm->jobs;
	rx_mutex_init(&cm->lock, cm->env, RX_RANK_CM, "fake");
	rx_mutex_init(&cm->queue_lock, cm->env, RX_RANK_LEAF, "fake work");
	rx_cond_init(&cm->moved, cm->env);
	rx_cond_init(&cm->work, cm->env);
	rx_cond_init(&cm->idle, cm->env);
	for (int i = 0; i < WORKERS; i++)
		cm->workers[i] = rx_thread_spawn(cm->env, "fake-work", worker_main, cm);
	return cm;
}

void fake_free(struct cm *cm)
{
	rx_mutex_lock(&cm->queue_lock);
	cm->stop = true;
	rx_cond_broadcast(&cm->work);
	rx_mutex_unlock(&cm->queue_lock);
	for (int i = 0; i < WORKERS; i++)
		rx_thread_join(cm->env, cm->workers[i]);
	for (unsigned i = 0; i < cm->nlog; i++)
		free(cm->log[i].bytes);
	assert(cm->vnodes == 0);
	free(cm->log);
	rx_cond_destroy(&cm->moved);
	rx_cond_destroy(&cm->work);
	rx_cond_destroy(&cm->idle);
	rx_mutex_destroy(&cm->lock);
	rx_mutex_destroy(&cm->queue_lock);
	free(cm);
}

bool cm_work(struct cm *cm, void (*fn)(void *), void *arg)
{
	struct job *job = calloc(1, sizeof(*job));

	job->fn = fn;
	job->arg = arg;
	rx_mutex_lock(&cm->queue_lock);
	*cm->jobs_tail = job;
	cm->jobs_tail = &job->next;
	rx_cond_signal(&cm->work);
	rx_mutex_unlock(&cm->queue_lock);
	return true;
}

void fake_idle(struct cm *cm)
{
	rx_mutex_lock(&cm->queue_lock);
	while (cm->jobs || cm->running > 0)
		rx_cond_wait(&cm->idle, &cm->queue_lock, UINT64_MAX);
	rx_mutex_unlock(&cm->queue_lock);
}

struct rx_env *cm_env(const struct cm *cm)
{
	return cm->env;
}

void cm_trace(struct cm *cm, const struct cm_trace_event *ev)
{
	(void)cm, (void)ev;
}

/* Records are stored on demand only: the tests decide when. */
void cm_flush_timer(struct cm_vnode *v, uint64_t when_us)
{
	(void)v, (void)when_us;
}

void cm_emit(struct cm *cm, const struct cm_event *ev)
{
	rx_mutex_lock(&cm->lock);
	if (cm->nevents < EVENTS_MAX)
		cm->events[cm->nevents++] =
			(struct fake_event){ ev->kind, ev->token, ev->from, ev->to, ev->error.errnum };
	rx_mutex_unlock(&cm->lock);
}

unsigned fake_events(struct cm *cm, struct fake_event *out, unsigned cap)
{
	unsigned n;

	rx_mutex_lock(&cm->lock);
	n = cm->nevents;
	for (unsigned i = 0; i < n && i < cap; i++)
		out[i] = cm->events[i];
	rx_mutex_unlock(&cm->lock);
	return n;
}

/* ---- tokens ---- */

struct cm_token *fake_token(struct cm *cm, const char *name)
{
	struct cm_token *t = calloc(1, sizeof(*t));

	t->cm = cm;
	t->refs = 1;
	t->rights = CM_RIGHT_READ | CM_RIGHT_WRITE;
	strncpy(t->name, name, sizeof(t->name) - 1);
	return t;
}

struct cm_token *cm_token_get(struct cm_token *t)
{
	__atomic_add_fetch(&t->refs, 1, __ATOMIC_RELAXED);
	return t;
}

void cm_token_put(struct cm_token *t)
{
	if (__atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(t);
}

const char *cm_token_name(struct cm_token *t, char buf[256])
{
	(void)t;
	return strcpy(buf, "somebody");
}

int cm_token_refresh(struct cm_token *t, struct rx_error *err)
{
	return rx_error_set(err, RX_ORIGIN_ERRNO, ENOKEY, ENOKEY, "%s has no other ticket", t->name);
}

void fake_set_rights(struct cm_token *t, unsigned rights)
{
	rx_mutex_lock(&t->cm->lock);
	t->rights = rights;
	rx_mutex_unlock(&t->cm->lock);
}

/* ---- vnodes ---- */

enum { CONTENT_MAX = 64 << 20 };

uint8_t fake_byte(uint64_t off)
{
	return (uint8_t)(1 + (off / CM_PAGE * 7 + off % CM_PAGE) % 200);
}

struct cm_vnode *fake_vnode(struct cm *cm, uint64_t len)
{
	struct cm_vnode *v = calloc(1, sizeof(*v));

	v->cm = cm;
	v->refs = 1;
	v->content = calloc(1, CONTENT_MAX);
	v->server_size = v->size = len;
	v->server_version = v->known_version = v->proven_from = 7;
	v->valid = true;
	for (uint64_t i = 0; i < len; i++)
		v->content[i] = fake_byte(i);
	cm_records_init(&v->records, v, cm->env);
	rx_mutex_lock(&cm->lock);
	v->number = 2 * ++cm->vnodes;
	rx_mutex_unlock(&cm->lock);
	return v;
}

struct cm_vnode *cm_vnode_get(struct cm_vnode *v)
{
	__atomic_add_fetch(&v->refs, 1, __ATOMIC_RELAXED);
	return v;
}

void cm_vnode_put(struct cm_vnode *v)
{
	struct cm *cm;

	if (!v || __atomic_sub_fetch(&v->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	cm = v->cm;
	cm_records_destroy(&v->records);
	free(v->content);
	free(v);
	rx_mutex_lock(&cm->lock);
	cm->vnodes--;
	rx_mutex_unlock(&cm->lock);
}

struct cm *cm_vnode_cm(struct cm_vnode *v)
{
	return v->cm;
}

struct cm_fid cm_vnode_fid(const struct cm_vnode *v)
{
	return (struct cm_fid){ .volume = 1, .vnode = v->number, .unique = 1 };
}

struct cm_records *cm_vnode_records(struct cm_vnode *v)
{
	return &v->records;
}

unsigned fake_records(struct cm_vnode *v, struct cm_record_view *out, unsigned cap)
{
	struct cm_record_view view;
	unsigned n = 0;

	for (uint64_t at = 0; cm_record_next(v, at, &view); at = view.last + 1)
		if (n++ < cap)
			out[n - 1] = view;
	return n;
}

uint64_t cm_inval_gen(const struct cm_vnode *v)
{
	return __atomic_load_n(&v->inval_gen, __ATOMIC_ACQUIRE);
}

bool cm_is_valid(const struct cm_vnode *v)
{
	return __atomic_load_n(&v->valid, __ATOMIC_ACQUIRE);
}

uint64_t cm_data_version(const struct cm_vnode *v)
{
	return v->known_version;
}

bool cm_has_moved(const struct cm_vnode *cv, uint64_t version)
{
	struct cm_vnode *v = (struct cm_vnode *)cv;
	bool moved;

	rx_mutex_lock(&v->cm->lock);
	moved = version != v->known_version && (version < v->proven_from || version > v->known_version);
	rx_mutex_unlock(&v->cm->lock);
	return moved;
}

bool cm_is_current(const struct cm_vnode *v, uint64_t version)
{
	return cm_is_valid(v) && !cm_has_moved(v, version);
}

uint64_t cm_size(const struct cm_vnode *v)
{
	return __atomic_load_n(&v->size, __ATOMIC_ACQUIRE);
}

void cm_extend(struct cm_vnode *v, uint64_t size)
{
	__atomic_store_n(&v->size, size, __ATOMIC_RELEASE);
}

void cm_settle_size(struct cm_vnode *v, uint64_t seq)
{
	uint64_t reach = cm_records_reach(&v->records, seq);

	rx_mutex_lock(&v->cm->lock);
	if (reach < v->size)
		cm_extend(v, reach > v->server_size ? reach : v->server_size);
	rx_mutex_unlock(&v->cm->lock);
}
