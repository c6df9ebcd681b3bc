/* See fake_cm.h: the server in memory, what it is told to do, and what it was asked. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cm/promise.h"
#include "tests/fake_cm_internal.h"

/* cm->lock held on entry and exit, but not between if there are hooks: a request or a
 * reply takes its time. */
static void travel(struct cm *cm)
{
	if (!cm->hooks.travel)
		return;
	rx_mutex_unlock(&cm->lock);
	cm->hooks.travel(cm->hooks.arg);
	rx_mutex_lock(&cm->lock);
}

/* cm->lock held on entry and exit. Stops at a blocking point; returns a scripted refusal
 * or what the rights say. */
static int32_t serve(struct cm_vnode *v, enum fake_rpc_kind kind, struct cm_token *t)
{
	struct cm *cm = v->cm;

	rx_cond_broadcast(&cm->moved);
	while (cm->blocking[kind] && (!cm->block_token[kind] || cm->block_token[kind] == t)) {
		cm->blocked[kind]++;
		rx_cond_broadcast(&cm->moved);
		rx_cond_wait(&cm->moved, &cm->lock, UINT64_MAX);
		cm->blocked[kind]--;
	}
	while (v->locked)
		rx_cond_wait(&cm->moved, &cm->lock, UINT64_MAX);
	for (struct rule *r = cm->rules; r < cm->rules + RULES_MAX; r++) {
		if (r->times == 0 || r->kind != kind || (r->token && r->token != t))
			continue;
		r->times--;
		return r->code;
	}
	if (kind == FAKE_STORE && cm->refuse_percent) {
		cm->random = cm->random * 1103515245 + 12345;
		if ((cm->random >> 16) % 100 < cm->refuse_percent)
			return EACCES;
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

/* What a reply says of the file, as it left the server. */
struct reply {
	uint64_t version, size;
	unsigned rights;
	uint64_t noted; /* the client's generation when it asked */
};

static void note_reply(const struct cm_vnode *v, const struct cm_token *t, struct reply *r)
{
	r->version = v->server_version;
	r->size = v->server_size;
	r->rights = t->rights;
}

/* cm->lock held. The client hears of it, by the rules of cm/status.c. */
static void apply_read(struct cm_vnode *v, struct cm_token *t, const struct reply *r)
{
	t->cached = r->rights | CM_RIGHT_LOOKUP;
	if (r->version < v->known_version)
		return;
	if (v->unproven)
		v->proven_from = r->version;
	v->unproven = false;
	if (r->version > v->known_version) {
		if (!cm_version_is_under_way(v->known_version, r->version, v->valid, v->storing))
			v->proven_from = r->version;
		/* Local growth that is not stored yet is not news. */
		__atomic_store_n(&v->size, r->size, __ATOMIC_RELEASE);
	}
	v->known_version = r->version;
	if (r->noted == v->inval_gen)
		__atomic_store_n(&v->valid, true, __ATOMIC_RELEASE);
}

/* Changes of one file go one after the other. */
static void change_begin(struct cm_vnode *v)
{
	while (v->storing)
		rx_cond_wait(&v->cm->moved, &v->cm->lock, UINT64_MAX);
	v->storing = true;
}

static void change_end(struct cm_vnode *v)
{
	v->storing = false;
	rx_cond_broadcast(&v->cm->moved);
}

/* The server is silent: nobody knows what it has done. */
static void distrust(struct cm_vnode *v)
{
	v->unproven = true;
	__atomic_store_n(&v->valid, false, __ATOMIC_RELEASE);
}

/* True: somebody else has changed it, too. */
static bool apply_change(struct cm_vnode *v, uint64_t version)
{
	bool foreign = version > v->known_version && !cm_version_is_ours(v->known_version, version, 1);

	if (foreign)
		v->proven_from = version;
	if (version > v->known_version)
		v->known_version = version;
	return foreign;
}

static int fetch_status(struct cm_vnode *v, struct cm_token *t, struct rx_error *err)
{
	struct cm *cm = v->cm;
	struct fake_rpc rpc = { .kind = FAKE_STATUS, .token = t };
	struct reply reply = { .noted = v->inval_gen };
	int rc;

	travel(cm);
	rpc.code = serve(v, FAKE_STATUS, t);
	note_reply(v, t, &reply);
	rc = answer(cm, rpc, NULL, err);
	travel(cm);
	if (rc == 0)
		apply_read(v, t, &reply);
	return rc;
}

int cm_validate(struct cm_vnode *v, struct cm_token *t, uint64_t *version, struct rx_error *err)
{
	int rc = 0;

	rx_mutex_lock(&v->cm->lock);
	if (!v->valid)
		rc = fetch_status(v, t, err);
	*version = v->known_version;
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

static bool may_now(struct cm_vnode *v, struct cm_token *t, unsigned right)
{
	bool may;

	rx_mutex_lock(&v->cm->lock);
	may = (t->cached & right) != 0;
	rx_mutex_unlock(&v->cm->lock);
	return may;
}

bool cm_may_write_now(struct cm_vnode *v, struct cm_token *t)
{
	return may_now(v, t, CM_RIGHT_WRITE);
}

bool cm_may_read_now(struct cm_vnode *v, struct cm_token *t)
{
	return may_now(v, t, CM_RIGHT_READ);
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
	struct fake_rpc rpc = { .kind = FAKE_FETCH, .token = t, .off = off, .len = len };
	struct reply reply;
	int rc;

	rx_mutex_lock(&cm->lock);
	reply.noted = v->inval_gen;
	travel(cm);
	rpc.code = serve(v, FAKE_FETCH, t);
	note_reply(v, t, &reply);
	*got = 0;
	if (rpc.code == 0 && off < v->server_size)
		*got = v->server_size - off < len ? (size_t)(v->server_size - off) : len;
	memcpy(buf, v->content + off, *got);
	*version = reply.version;
	rc = answer(cm, rpc, NULL, err);
	travel(cm);
	if (rc == 0)
		apply_read(v, t, &reply);
	rx_mutex_unlock(&cm->lock);
	return rc;
}

/* At the server. */
static void carry_out(struct cm_vnode *v, const struct cm_run *run, uint64_t file_length)
{
	memcpy(v->content + run->off, run->bytes, run->len);
	if (v->server_size < file_length)
		v->server_size = file_length;
	v->server_version++;
}

static int store(struct cm_vnode *v, struct cm_token *t, const struct cm_run *run, struct rx_error *err)
{
	struct cm *cm = v->cm;
	struct fake_rpc rpc = { .kind = FAKE_STORE, .token = t, .off = run->off, .len = run->len };
	uint64_t end = run->off + run->len, version;
	bool foreign;
	int rc;

	rx_mutex_lock(&cm->lock);
	change_begin(v);
	rpc.file_length = v->server_size > end ? v->server_size : end;
	travel(cm);
	rpc.code = serve(v, FAKE_STORE, t);
	if ((rpc.code == 0 || rpc.code == FAKE_REPLY_LOST) && cm->hooks.store)
		cm->hooks.store(cm->hooks.arg, t, run->off, run->bytes, run->len);
	rc = answer(cm, rpc, run->bytes, err);
	if (rc == 0 || rpc.code == FAKE_REPLY_LOST)
		carry_out(v, run, rpc.file_length);
	version = v->server_version;
	travel(cm);
	if (rpc.code < 0)
		distrust(v);
	foreign = rc == 0 && apply_change(v, version);
	change_end(v);
	rx_mutex_unlock(&cm->lock);
	if (foreign)
		fake_break(v);
	return rc;
}

int cm_store_runs(struct cm_vnode *v, struct cm_token *t, const struct cm_plan *plan, bool sync, struct rx_error *err)
{
	int rc = 0;

	(void)sync;
	for (size_t i = 0; i < plan->nruns && rc == 0; i++)
		rc = store(v, t, &plan->runs[i], err);
	return rc;
}

int cm_truncate(struct cm_vnode *v, struct cm_token *t, uint64_t size, struct rx_error *err)
{
	struct cm *cm = v->cm;
	struct fake_rpc rpc = { .kind = FAKE_TRUNCATE, .token = t, .off = size, .file_length = size };
	bool foreign = false;
	uint64_t version;
	int rc;

	rx_mutex_lock(&cm->lock);
	change_begin(v);
	travel(cm);
	rpc.code = serve(v, FAKE_TRUNCATE, t);
	rc = answer(cm, rpc, NULL, err);
	if (rc == 0) {
		if (size < v->server_size)
			memset(v->content + size, 0, (size_t)(v->server_size - size));
		v->server_size = size;
		v->server_version++;
	}
	version = v->server_version;
	travel(cm);
	if (rc == 0) {
		foreign = apply_change(v, version);
		__atomic_store_n(&v->size, size, __ATOMIC_RELEASE);
	}
	change_end(v);
	rx_mutex_unlock(&cm->lock);
	if (foreign)
		fake_break(v);
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

void fake_refuse_randomly(struct cm *cm, unsigned percent)
{
	rx_mutex_lock(&cm->lock);
	cm->refuse_percent = percent;
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

void fake_third_party(struct cm_vnode *v, uint64_t off, const void *buf, size_t len)
{
	rx_mutex_lock(&v->cm->lock);
	while (v->locked)
		rx_cond_wait(&v->cm->moved, &v->cm->lock, UINT64_MAX);
	v->locked = true;
	rx_mutex_unlock(&v->cm->lock);
	fake_break(v);
	fake_server_write(v, off, buf, len);
	rx_mutex_lock(&v->cm->lock);
	v->locked = false;
	rx_cond_broadcast(&v->cm->moved);
	rx_mutex_unlock(&v->cm->lock);
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
