/* The flusher: takes records to the server, one StoreData at a time per vnode so that
 * data versions can be followed, and turns the answer into a verdict for the record, all
 * of it and nothing else. Runs on whichever thread wants the verdict (cm_flush) or on a
 * worker (conflicts, age). No lock is held over prepare, an RPC, or settle: the state
 * WRITING keeps everybody else off the record. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cm/record.h"
#include "rx/maybe.h"

enum { UAE = 49733376, GRACE_US = 300 * 1000000, BACKOFF_MAX_S = 60, PUT_OFF_US = 20000 };

enum cm_store_class cm_store_classify(const struct rx_error *e)
{
	if (e->origin == RX_ORIGIN_RXKAD) {
		if (e->code == RXKAD_EXPIRED)
			return CM_STORE_EXPIRED;
		return e->code == RXKAD_INCONSISTENCY || e->code == RXKAD_PACKETSHORT || e->code == RXKAD_OUTOFSEQUENCE
			       ? CM_STORE_BUSY
			       : CM_STORE_BADCRED;
	}
	if (e->origin == RX_ORIGIN_ERRNO && e->code == EKEYEXPIRED)
		return CM_STORE_EXPIRED;
	if (e->origin == RX_ORIGIN_ERRNO && e->code == ENOKEY)
		return CM_STORE_DENIED;
	if (e->origin != RX_ORIGIN_AFS)
		return CM_STORE_BUSY;
	switch (e->code) {
	case EPERM:
	case EACCES:
	case UAE + 0:
	case UAE + 12:
		return CM_STORE_DENIED;
	case 1235: /* VICETOKENDEAD */
		return CM_STORE_EXPIRED;
	case 102: /* VNOVNODE */
	case ENOENT:
	case UAE + 1:
		return CM_STORE_GONE;
	case EROFS:
	case UAE + 29:
		return CM_STORE_ROFS;
	case EFBIG:
	case EISDIR:
	case EINVAL:
	case UAE + 20:
	case UAE + 21:
	case UAE + 26:
		return CM_STORE_FATAL;
	case 108: /* VDISKFULL */
	case 109: /* VOVERQUOTA */
	case ENOSPC:
	case UAE + 27:
	case UAE + 120:
		return CM_STORE_SPACE;
	default:
		return CM_STORE_BUSY;
	}
}

/* What the server's answer means for this record. Data is dropped only on its word that
 * this token may not or this file is not. */
static enum cm_verdict verdict_of(const struct cm_record *r, enum cm_store_class class, uint64_t now)
{
	switch (class) {
	case CM_STORE_OK:
		return CM_VERDICT_STORED;
	case CM_STORE_DENIED:
	case CM_STORE_BADCRED:
	case CM_STORE_GONE:
	case CM_STORE_FATAL:
		return CM_VERDICT_KILL;
	case CM_STORE_ROFS:
		return r->refused_rofs ? CM_VERDICT_KILL : CM_VERDICT_KEEP;
	case CM_STORE_EXPIRED:
		return r->wanted && r->expired_us && now - r->expired_us > GRACE_US ? CM_VERDICT_KILL : CM_VERDICT_KEEP;
	default:
		return CM_VERDICT_KEEP;
	}
}

/* The RPCs. A ticket that the server does not like is replaced once by a fresh one of
 * the same identity; never by another identity. */
static enum cm_store_class attempt(struct cm_records *rs, struct cm_token *t, const struct cm_plan *plan, bool sync,
				   struct rx_error *err)
{
	enum cm_store_class class;

	for (int fresh = 0;; fresh++) {
		if (cm_store_runs(rs->vnode, t, plan, sync, err) == 0)
			return CM_STORE_OK;
		class = cm_store_classify(err);
		if (fresh > 0 || (class != CM_STORE_BADCRED && class != CM_STORE_EXPIRED))
			return class;
		/* Without another ticket nobody knows whether this one is at fault. */
		if (cm_token_refresh(t, NULL) != 0)
			return CM_STORE_EXPIRED;
	}
}

static void emit(struct cm_records *rs, const struct cm_record_view *r, enum cm_event_kind kind,
		 const struct rx_error *error, const struct cm_plan *lost)
{
	struct cm_event ev = {
		.kind = kind,
		.vnode = rs->vnode,
		.token = r->token,
		.from = r->first * CM_PAGE + r->off_first,
		.to = r->last * CM_PAGE + r->to_last,
		.seq = r->seq,
		.lost = lost,
	};

	if (error)
		ev.error = *error;
	cm_emit(cm_vnode_cm(rs->vnode), &ev);
}

static void trace(struct cm_records *rs, const struct cm_record_view *r, enum cm_verdict verdict,
		  const struct rx_error *error)
{
	static const char *const names[] = { "stored", "kept", "killed" };
	char name[256];
	struct cm_trace_event ev = { .what = "record", .name = names[verdict], .server = "" };
	char detail[400];

	snprintf(detail, sizeof(detail), "record %llu of %s, pages %llu..%llu", (unsigned long long)r->seq,
		 cm_token_name(r->token, name), (unsigned long long)r->first, (unsigned long long)r->last);
	ev.detail = detail;
	ev.error = verdict == CM_VERDICT_STORED ? NULL : error;
	ev.start_us = ev.end_us = rx_now_us(rs->lock.env);
	cm_trace(cm_vnode_cm(rs->vnode), &ev);
}

static void back_off(struct cm_records *rs, struct cm_record *r, enum cm_store_class class, const struct rx_error *e)
{
	uint64_t now = rx_now_us(rs->lock.env);
	unsigned shift = r->attempts < 6 ? r->attempts : 6;
	uint64_t wait_s = 1u << shift;

	r->error = *e;
	if (class == CM_STORE_PUT_OFF) {
		r->not_before_us = now + PUT_OFF_US;
		cm_record_set_state(r, CM_RECORD_CONFLICTING);
		return;
	}
	r->attempts++;
	r->not_before_us = now + (wait_s < BACKOFF_MAX_S ? wait_s : BACKOFF_MAX_S) * 1000000u;
	r->refused_rofs = class == CM_STORE_ROFS;
	if (class != CM_STORE_EXPIRED)
		r->expired_us = 0;
	else if (!r->expired_us)
		r->expired_us = now;
	cm_record_set_state(r, r->wanted ? CM_RECORD_CONFLICTING : CM_RECORD_PENDING);
}

/* Lets the pages give their bytes and takes them to the server. */
static enum cm_store_class store(struct cm_records *rs, const struct cm_record_view *r, bool broken, bool sync,
				 struct cm_plan *plan, struct rx_error *error)
{
	int rc = rs->ops->prepare(rs->space, r, broken, plan);

	if (rc < 0) {
		rx_error_errno(error, ENOMEM, "not enough memory to store a change; it stays in the cache");
		return CM_STORE_BUSY;
	}
	if (rc > 0) {
		rx_error_errno(error, EAGAIN, "the file is being truncated; the change stays in the cache");
		return CM_STORE_PUT_OFF;
	}
	return plan->nruns > 0 ? attempt(rs, r->token, plan, sync, error) : CM_STORE_OK;
}

/* Lock held. The record ends, or goes back to wait. True: its owner does not know yet
 * that it waits for a ticket. */
static bool conclude(struct cm_records *rs, struct cm_record *r, enum cm_store_class class, enum cm_verdict verdict,
		     const struct rx_error *error)
{
	bool tell_expired = class == CM_STORE_EXPIRED && verdict == CM_VERDICT_KEEP && !r->told_expired;

	rs->writing = NULL;
	if (verdict == CM_VERDICT_KEEP) {
		r->told_expired |= tell_expired;
		back_off(rs, r, class, error);
		cm_flush_timer(rs->vnode, r->not_before_us);
	} else {
		if (verdict == CM_VERDICT_KILL)
			cm_cursor_advance(rs, r->token, error);
		cm_record_set_state(r, verdict == CM_VERDICT_KILL ? CM_RECORD_KILLED : CM_RECORD_DONE);
		cm_record_remove(rs, r);
	}
	cm_flush_kick(rs);
	rx_cond_broadcast(&rs->settled);
	return tell_expired;
}

/* Lock held on entry and exit. Takes r, which is PENDING or CONFLICTING, to the server.
 * Returns 0 if it was stored or killed, -1 with err if it stays dirty. */
static int flush_one(struct cm_records *rs, struct cm_record *r, bool sync, struct rx_error *err)
{
	struct rx_error error = { 0 };
	struct cm_record_view view;
	struct cm_plan plan = { 0 };
	enum cm_store_class class;
	enum cm_verdict verdict;
	bool broken, tell_expired, gone;
	uint64_t version;

	assert(!rs->writing && rs->ops);
	cm_record_set_state(r, CM_RECORD_WRITING);
	rs->writing = r;
	broken = r->inval_gen != cm_inval_gen(rs->vnode);
	version = r->version;
	cm_record_view(r, &view);
	rx_mutex_unlock(&rs->lock);

	class = store(rs, &view, broken, sync, &plan, &error);

	rx_mutex_lock(&rs->lock);
	verdict = verdict_of(r, class, rx_now_us(rs->lock.env));
	if (verdict == CM_VERDICT_KILL)
		cm_record_set_state(r, CM_RECORD_KILLING);
	rx_mutex_unlock(&rs->lock);

	trace(rs, &view, verdict, &error);
	rs->ops->settle(rs->space, &view, verdict);
	if (verdict == CM_VERDICT_KILL)
		cm_forget_rights(rs->vnode, view.token);
	cm_token_get(view.token); /* the events outlive the record */

	rx_mutex_lock(&rs->lock);
	tell_expired = conclude(rs, r, class, verdict, &error);
	gone = rs->gone || class == CM_STORE_GONE;
	if (rs->gone)
		error = rs->gone_why;
	rs->gone = false;
	rx_mutex_unlock(&rs->lock);

	if (verdict == CM_VERDICT_KILL)
		emit(rs, &view, CM_EVENT_KILLED, &error, &plan);
	else if (tell_expired)
		emit(rs, &view, CM_EVENT_EXPIRED, &error, NULL);
	else if (verdict == CM_VERDICT_STORED && plan.nruns > 0 && cm_has_moved(rs->vnode, version))
		emit(rs, &view, CM_EVENT_OVERWROTE, NULL, NULL);
	free(plan.runs);
	free(plan.buffer);
	cm_token_put(view.token);
	cm_records_notify_changed(rs);
	if (gone)
		cm_records_gone(rs, &error);
	rx_mutex_lock(&rs->lock);
	if (verdict == CM_VERDICT_KEEP && err)
		*err = error;
	return verdict == CM_VERDICT_KEEP ? -1 : 0;
}

/* Whether flush_one dropped the record's reference on the vnode is told by its return;
 * the caller holds one of its own meanwhile. */
static int flush_and_put(struct cm_records *rs, struct cm_record *r, bool sync, struct rx_error *err)
{
	int rc = flush_one(rs, r, sync, err);

	if (rc == 0) {
		rx_mutex_unlock(&rs->lock);
		cm_vnode_put(rs->vnode);
		rx_mutex_lock(&rs->lock);
	}
	return rc;
}

static struct cm_record *pick_due(struct cm_records *rs, uint64_t now, uint64_t *next)
{
	struct cm_record *best = NULL;

	*next = UINT64_MAX;
	for (struct cm_record *r = rs->list; r; r = r->next) {
		if (r->state != CM_RECORD_CONFLICTING)
			continue;
		if (r->not_before_us > now)
			*next = r->not_before_us < *next ? r->not_before_us : *next;
		else if (!best || r->seq < best->seq)
			best = r;
	}
	return best;
}

static void flush_worker(void *arg)
{
	struct cm_vnode *v = arg;
	struct cm_records *rs = cm_vnode_records(v);
	struct cm_record *r;
	uint64_t next;

	rx_mutex_lock(&rs->lock);
	rs->queued = false;
	while (!rs->writing && rs->ops && (r = pick_due(rs, rx_now_us(rs->lock.env), &next)) != NULL) {
		if (UMAFS_MAYBE(rs->lock.env, FLUSH_LATER)) {
			cm_flush_timer(v, rx_now_us(rs->lock.env) + PUT_OFF_US);
			break;
		}
		flush_and_put(rs, r, false, NULL);
	}
	rx_mutex_unlock(&rs->lock);
	cm_vnode_put(v);
}

void cm_flush_kick(struct cm_records *rs)
{
	uint64_t next;

	if (rs->queued || rs->writing)
		return;
	if (pick_due(rs, rx_now_us(rs->lock.env), &next)) {
		rs->queued = cm_work(cm_vnode_cm(rs->vnode), flush_worker, cm_vnode_get(rs->vnode));
		if (rs->queued)
			return;
		cm_vnode_put(rs->vnode); /* a record holds one more */
		next = rx_now_us(rs->lock.env) + PUT_OFF_US;
	}
	if (next != UINT64_MAX) {
		cm_flush_timer(rs->vnode, next);
	}
}

static bool touches(const struct cm_record *r, uint64_t from, uint64_t to)
{
	return r->first * CM_PAGE + r->off_first < to && from < r->last * CM_PAGE + r->to_last;
}

/* The oldest record of t in the range with after < seq <= until. */
static struct cm_record *pick_range(struct cm_records *rs, const struct cm_token *t, uint64_t from, uint64_t to,
				    uint64_t after, uint64_t until)
{
	struct cm_record *best = NULL;

	for (struct cm_record *r = rs->list; r; r = r->next) {
		if ((t && r->token != t) || !touches(r, from, to) || r->seq <= after || r->seq > until)
			continue;
		if (!best || r->seq < best->seq)
			best = r;
	}
	return best;
}

int cm_flush(struct cm_vnode *v, struct cm_token *t, uint64_t from, uint64_t to, bool sync, struct rx_error *err)
{
	struct cm_records *rs = cm_vnode_records(v);
	struct rx_error error;
	struct cm_record *r;
	uint64_t after = 0, until;
	int rc = 0;

	cm_vnode_get(v);
	rx_mutex_lock(&rs->lock);
	until = rs->seq;
	while ((r = pick_range(rs, t, from, to, after, until)) != NULL) {
		uint64_t seq = r->seq;

		if (r->state == CM_RECORD_PENDING)
			cm_record_set_state(r, CM_RECORD_CONFLICTING);
		while (rs->writing)
			rx_cond_wait(&rs->settled, &rs->lock, UINT64_MAX);
		r = cm_record_find(rs, seq);
		if (!r)
			continue;
		after = seq;
		if (flush_and_put(rs, r, sync, &error) != 0 && rc == 0) {
			rc = -1;
			if (err)
				*err = error;
		}
	}
	rx_mutex_unlock(&rs->lock);
	cm_vnode_put(v);
	return rc;
}

void cm_flush_start(struct cm_vnode *v, struct cm_token *t, uint64_t from, uint64_t to)
{
	struct cm_records *rs = cm_vnode_records(v);

	rx_mutex_lock(&rs->lock);
	for (struct cm_record *r = rs->list; r; r = r->next)
		if ((!t || r->token == t) && touches(r, from, to) && r->state == CM_RECORD_PENDING)
			cm_record_set_state(r, CM_RECORD_CONFLICTING);
	cm_flush_kick(rs);
	rx_mutex_unlock(&rs->lock);
}

void cm_flush_settle(struct cm_vnode *v, uint64_t from)
{
	struct cm_records *rs = cm_vnode_records(v);

	rx_mutex_lock(&rs->lock);
	while (rs->writing && touches(rs->writing, from, UINT64_MAX))
		rx_cond_wait(&rs->settled, &rs->lock, UINT64_MAX);
	rx_mutex_unlock(&rs->lock);
}

uint64_t cm_records_age(struct cm_records *rs, uint64_t now_us, uint64_t max_age_us)
{
	uint64_t next = UINT64_MAX, due;

	rx_mutex_lock(&rs->lock);
	for (struct cm_record *r = rs->list; r; r = r->next) {
		if (r->state != CM_RECORD_PENDING && r->state != CM_RECORD_CONFLICTING)
			continue;
		due = max_age_us > UINT64_MAX - r->dirtied_us ? UINT64_MAX : r->dirtied_us + max_age_us;
		if (due < r->not_before_us)
			due = r->not_before_us;
		if (due <= now_us && r->state == CM_RECORD_PENDING)
			cm_record_set_state(r, CM_RECORD_CONFLICTING);
		else if (due > now_us && due < next)
			next = due;
	}
	cm_flush_kick(rs);
	rx_mutex_unlock(&rs->lock);
	return next;
}

/* Lock held on entry and exit. */
static void kill_gone(struct cm_records *rs, struct cm_record *r, const struct rx_error *why)
{
	struct cm_record_view view;
	struct cm_plan plan = { 0 };
	bool saved;

	cm_record_set_state(r, CM_RECORD_KILLING);
	rs->writing = r;
	cm_record_view(r, &view);
	cm_token_get(view.token); /* the event outlives the record */
	rx_mutex_unlock(&rs->lock);
	saved = rs->ops->salvage(rs->space, &view, &plan) == 0;
	rs->ops->settle(rs->space, &view, CM_VERDICT_KILL);
	rx_mutex_lock(&rs->lock);
	rs->writing = NULL;
	cm_cursor_advance(rs, view.token, why);
	cm_record_set_state(r, CM_RECORD_KILLED);
	cm_record_remove(rs, r);
	rx_cond_broadcast(&rs->settled);
	rx_mutex_unlock(&rs->lock);
	emit(rs, &view, CM_EVENT_KILLED, why, saved ? &plan : NULL);
	free(plan.runs);
	free(plan.buffer);
	cm_token_put(view.token);
	cm_vnode_put(rs->vnode);
	rx_mutex_lock(&rs->lock);
}

void cm_records_gone(struct cm_records *rs, const struct rx_error *why)
{
	rx_mutex_lock(&rs->lock);
	while (rs->list && !rs->writing)
		kill_gone(rs, rs->list, why);
	rs->gone = rs->list != NULL;
	if (rs->gone)
		rs->gone_why = *why;
	rx_mutex_unlock(&rs->lock);
	cm_records_notify_changed(rs);
}
