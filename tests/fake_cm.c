/* See fake_cm.h. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fake_cm.h"

enum { LOG_MAX = 400000, RULES_MAX = 8, EVENTS_MAX = 256, WORKERS = 3, KINDS = 4 };

struct rule {
	enum fake_rpc_kind kind;
	const struct cm_token *token;
	int32_t code;
	unsigned times;
};

struct job {
	struct job *next;
	void (*fn)(void *);
	void *arg;
};

struct cm {
	struct rx_env *env;
	struct rx_mutex lock; /* RX_RANK_CM: all of the fake's state */
	struct rx_cond moved;
	struct fake_rpc *log;
	unsigned nlog;
	struct rule rules[RULES_MAX];
	bool blocking[KINDS];
	const struct cm_token *block_token[KINDS];
	unsigned blocked[KINDS];
	struct fake_event events[EVENTS_MAX];
	unsigned nevents;
	struct job *jobs, **jobs_tail;
	unsigned running;
	bool stop;
	struct rx_thread *workers[WORKERS];
	struct rx_mutex queue_lock; /* RX_RANK_LEAF: jobs, running */
	struct rx_cond work;
	struct rx_cond idle;
	unsigned vnodes;
};

struct cm_token {
	struct cm *cm;
	char name[16];
	unsigned refs;
	unsigned rights, cached; /* cached 0: not known */
};

struct cm_vnode {
	struct cm *cm;
	struct cm_records records;
	unsigned refs;
	uint32_t number;
	uint8_t *content;
	uint64_t server_size, server_version;
	uint64_t size, known_version, inval_gen;
	bool valid;
};

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
	struct cm *cm = calloc(1, sizeof(*cm));

	cm->env = rx_env_posix();
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

void cm_work(struct cm *cm, void (*fn)(void *), void *arg)
{
	struct job *job = calloc(1, sizeof(*job));

	job->fn = fn;
	job->arg = arg;
	rx_mutex_lock(&cm->queue_lock);
	*cm->jobs_tail = job;
	cm->jobs_tail = &job->next;
	rx_cond_signal(&cm->work);
	rx_mutex_unlock(&cm->queue_lock);
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
	memcpy(out, cm->events, (n < cap ? n : cap) * sizeof(*out));
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

void cm_token_info(struct cm_token *t, struct cm_token_info *out)
{
	memset(out, 0, sizeof(*out));
	memcpy(out->principal, t->name, sizeof(t->name));
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
	v->server_version = v->known_version = 7;
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

uint64_t cm_size(const struct cm_vnode *v)
{
	return __atomic_load_n(&v->size, __ATOMIC_ACQUIRE);
}

void cm_extend(struct cm_vnode *v, uint64_t size)
{
	__atomic_store_n(&v->size, size, __ATOMIC_RELEASE);
}

/* ---- the server ---- */

/* cm->lock held on entry and exit. Stops at a blocking point; returns a scripted refusal
 * or what the rights say. */
static int32_t serve(struct cm *cm, enum fake_rpc_kind kind, struct cm_token *t)
{
	rx_cond_broadcast(&cm->moved);
	while (cm->blocking[kind] && (!cm->block_token[kind] || cm->block_token[kind] == t)) {
		cm->blocked[kind]++;
		rx_cond_broadcast(&cm->moved);
		rx_cond_wait(&cm->moved, &cm->lock, UINT64_MAX);
		cm->blocked[kind]--;
	}
	for (struct rule *r = cm->rules; r < cm->rules + RULES_MAX; r++) {
		if (r->times == 0 || r->kind != kind || (r->token && r->token != t))
			continue;
		r->times--;
		return r->code;
	}
	if (kind == FAKE_FETCH && !(t->rights & CM_RIGHT_READ))
		return EACCES;
	if ((kind == FAKE_STORE || kind == FAKE_TRUNCATE) && !(t->rights & CM_RIGHT_WRITE))
		return EACCES;
	return 0;
}

/* cm->lock held. */
static int answer(struct cm *cm, struct fake_rpc rpc, const void *bytes, struct rx_error *err)
{
	assert(cm->nlog < LOG_MAX);
	if (bytes && rpc.len > 0) {
		rpc.bytes = malloc(rpc.len);
		memcpy(rpc.bytes, bytes, rpc.len);
	}
	cm->log[cm->nlog++] = rpc;
	if (rpc.code == 0)
		return 0;
	return rpc.code < 0 ? rx_error_set(err, RX_ORIGIN_RX, rpc.code, ETIMEDOUT, "the server does not answer")
			    : rx_error_abort(err, RX_ORIGIN_AFS, rpc.code);
}

static void status(struct cm_vnode *v, struct cm_token *t)
{
	t->cached = t->rights | CM_RIGHT_LOOKUP;
	v->known_version = v->server_version;
	__atomic_store_n(&v->valid, true, __ATOMIC_RELEASE);
}

static int fetch_status(struct cm_vnode *v, struct cm_token *t, struct rx_error *err)
{
	struct cm *cm = v->cm;
	struct fake_rpc rpc = { .kind = FAKE_STATUS, .token = t };
	int rc;

	rpc.code = serve(cm, FAKE_STATUS, t);
	rc = answer(cm, rpc, NULL, err);
	if (rc == 0) {
		/* Local growth that is not stored yet is not news. */
		if (v->server_version != v->known_version)
			__atomic_store_n(&v->size, v->server_size, __ATOMIC_RELEASE);
		status(v, t);
	}
	return rc;
}

int cm_validate(struct cm_vnode *v, struct cm_token *t, uint64_t known_version, uint64_t *version, bool *changed,
		struct rx_error *err)
{
	int rc = 0;

	rx_mutex_lock(&v->cm->lock);
	if (!v->valid)
		rc = fetch_status(v, t, err);
	*version = v->known_version;
	*changed = rc == 0 && v->known_version != known_version;
	rx_mutex_unlock(&v->cm->lock);
	return rc;
}

static int may(struct cm_vnode *v, struct cm_token *t, unsigned right, struct rx_error *err)
{
	int rc = 0;

	rx_mutex_lock(&v->cm->lock);
	if (!t->cached)
		rc = fetch_status(v, t, err);
	if (rc == 0 && !(t->cached & right))
		rc = rx_error_set(err, RX_ORIGIN_ERRNO, EACCES, EACCES, "%s may not", t->name);
	rx_mutex_unlock(&v->cm->lock);
	return rc;
}

int cm_may_write(struct cm_vnode *v, struct cm_token *t, struct rx_error *err)
{
	return may(v, t, CM_RIGHT_WRITE, err);
}

int cm_may_read(struct cm_vnode *v, struct cm_token *t, struct rx_error *err)
{
	return may(v, t, CM_RIGHT_READ, err);
}

void cm_forget_rights(struct cm_vnode *v, struct cm_token *t)
{
	rx_mutex_lock(&v->cm->lock);
	t->cached = 0;
	rx_mutex_unlock(&v->cm->lock);
}

int cm_fetch(struct cm_vnode *v, struct cm_token *t, uint64_t off, void *buf, size_t len, size_t *got,
	     uint64_t *version, struct rx_error *err)
{
	struct cm *cm = v->cm;
	struct fake_rpc rpc = { .kind = FAKE_FETCH, .token = t, .off = off };
	int rc;

	rx_mutex_lock(&cm->lock);
	rpc.code = serve(cm, FAKE_FETCH, t);
	*got = 0;
	if (rpc.code == 0 && off < v->server_size)
		*got = v->server_size - off < len ? (size_t)(v->server_size - off) : len;
	rpc.len = len;
	memcpy(buf, v->content + off, *got);
	*version = v->server_version;
	rc = answer(cm, rpc, NULL, err);
	if (rc == 0)
		status(v, t);
	rx_mutex_unlock(&cm->lock);
	return rc;
}

static int store(struct cm_vnode *v, struct cm_token *t, const struct cm_run *run, bool *foreign, struct rx_error *err)
{
	struct cm *cm = v->cm;
	struct fake_rpc rpc = { .kind = FAKE_STORE, .token = t, .off = run->off, .len = run->len };
	uint64_t end = run->off + run->len;
	int rc;

	rx_mutex_lock(&cm->lock);
	rpc.file_length = v->server_size > end ? v->server_size : end;
	if (rpc.file_length < v->size)
		rpc.file_length = v->size;
	rpc.code = serve(cm, FAKE_STORE, t);
	rc = answer(cm, rpc, run->bytes, err);
	if (rc == 0) {
		memcpy(v->content + run->off, run->bytes, run->len);
		if (v->server_size < rpc.file_length)
			v->server_size = rpc.file_length;
		v->server_version++;
		*foreign |= v->known_version + 1 != v->server_version;
		if (v->known_version + 1 == v->server_version)
			v->known_version = v->server_version;
		else
			__atomic_store_n(&v->valid, false, __ATOMIC_RELEASE);
	}
	rx_mutex_unlock(&cm->lock);
	return rc;
}

int cm_store_runs(struct cm_vnode *v, struct cm_token *t, const struct cm_plan *plan, bool sync, bool *foreign,
		  struct rx_error *err)
{
	(void)sync;
	*foreign = false;
	for (size_t i = 0; i < plan->nruns; i++)
		if (store(v, t, &plan->runs[i], foreign, err) != 0)
			return -1;
	return 0;
}

int cm_truncate(struct cm_vnode *v, struct cm_token *t, uint64_t size, struct rx_error *err)
{
	struct cm *cm = v->cm;
	struct fake_rpc rpc = { .kind = FAKE_TRUNCATE, .token = t, .off = size, .file_length = size };
	int rc;

	rx_mutex_lock(&cm->lock);
	rpc.code = serve(cm, FAKE_TRUNCATE, t);
	rc = answer(cm, rpc, NULL, err);
	if (rc == 0) {
		if (size < v->server_size)
			memset(v->content + size, 0, (size_t)(v->server_size - size));
		v->server_size = size;
		v->known_version = ++v->server_version;
		__atomic_store_n(&v->size, size, __ATOMIC_RELEASE);
	}
	rx_mutex_unlock(&cm->lock);
	return rc;
}

/* ---- scripts ---- */

void fake_refuse(struct cm *cm, enum fake_rpc_kind kind, struct cm_token *t, int32_t code, unsigned times)
{
	struct rule *r = cm->rules;

	rx_mutex_lock(&cm->lock);
	while (r->times > 0)
		r++;
	assert(r < cm->rules + RULES_MAX);
	*r = (struct rule){ kind, t, code, times };
	rx_mutex_unlock(&cm->lock);
}

void fake_block(struct cm *cm, enum fake_rpc_kind kind, struct cm_token *t)
{
	rx_mutex_lock(&cm->lock);
	cm->blocking[kind] = true;
	cm->block_token[kind] = t;
	rx_mutex_unlock(&cm->lock);
}

void fake_wait_blocked(struct cm *cm, enum fake_rpc_kind kind, unsigned n)
{
	rx_mutex_lock(&cm->lock);
	while (cm->blocked[kind] < n)
		rx_cond_wait(&cm->moved, &cm->lock, UINT64_MAX);
	rx_mutex_unlock(&cm->lock);
}

void fake_release(struct cm *cm, enum fake_rpc_kind kind)
{
	rx_mutex_lock(&cm->lock);
	cm->blocking[kind] = false;
	rx_cond_broadcast(&cm->moved);
	rx_mutex_unlock(&cm->lock);
}

void fake_server_write(struct cm_vnode *v, uint64_t off, const void *buf, size_t len)
{
	rx_mutex_lock(&v->cm->lock);
	memcpy(v->content + off, buf, len);
	if (off + len > v->server_size)
		v->server_size = off + len;
	v->server_version++;
	rx_mutex_unlock(&v->cm->lock);
}

void fake_break(struct cm_vnode *v)
{
	rx_mutex_lock(&v->cm->lock);
	__atomic_store_n(&v->valid, false, __ATOMIC_RELEASE);
	__atomic_add_fetch(&v->inval_gen, 1, __ATOMIC_ACQ_REL);
	rx_mutex_unlock(&v->cm->lock);
	cm_records_notify_invalidate(&v->records);
}

void fake_server_read(struct cm_vnode *v, uint64_t off, void *buf, size_t len)
{
	rx_mutex_lock(&v->cm->lock);
	memcpy(buf, v->content + off, len);
	rx_mutex_unlock(&v->cm->lock);
}

uint64_t fake_server_size(struct cm_vnode *v)
{
	uint64_t size;

	rx_mutex_lock(&v->cm->lock);
	size = v->server_size;
	rx_mutex_unlock(&v->cm->lock);
	return size;
}

uint64_t fake_server_version(struct cm_vnode *v)
{
	uint64_t version;

	rx_mutex_lock(&v->cm->lock);
	version = v->server_version;
	rx_mutex_unlock(&v->cm->lock);
	return version;
}

unsigned fake_count(struct cm *cm, enum fake_rpc_kind kind, const struct cm_token *t)
{
	unsigned n = 0;

	rx_mutex_lock(&cm->lock);
	for (unsigned i = 0; i < cm->nlog; i++)
		n += cm->log[i].kind == kind && (!t || cm->log[i].token == t);
	rx_mutex_unlock(&cm->lock);
	return n;
}

bool fake_nth(struct cm *cm, enum fake_rpc_kind kind, unsigned n, struct fake_rpc *out)
{
	bool found = false;

	rx_mutex_lock(&cm->lock);
	for (unsigned i = 0; i < cm->nlog && !found; i++) {
		found = cm->log[i].kind == kind && n-- == 0;
		if (found)
			*out = cm->log[i];
	}
	rx_mutex_unlock(&cm->lock);
	return found;
}
