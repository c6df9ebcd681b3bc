/* File data to and from the server: fetches, large ones in several calls side by side,
 * and stores, one at a time per vnode. Called by the room above and by cm/flush.c on any
 * thread, without locks; helpers run on the workers of cm/work.c. Bytes count only with
 * the data version of the reply that came behind them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cm/internal.h"
#include "rx/maybe.h"

enum { SPLIT_FROM = 512 * 1024, PIECES = 4, PIECE_ALIGN = 64 * 1024, MAX32 = 0x7fffffff };

/* ---- fetching ---- */

struct stream {
	cm_sink_fn *sink;
	void *arg;
	uint64_t given;
};

static int give(void *arg, const void *bytes, size_t len, struct rx_error *err)
{
	struct stream *s = arg;

	s->given += len;
	if (s->sink(s->arg, bytes, len))
		return rx_error_set(err, RX_ORIGIN_ERRNO, ECANCELED, ECANCELED, "the reader wants no more");
	return 0;
}

static int call_fetch(struct cm_op *op, const struct afs_fid *fid, uint64_t off, uint64_t len,
		      const struct rx_rpc_sink *sink, uint64_t *got, struct afs_FetchData64_out *out)
{
	struct afs_FetchData64_in in = { .fid = *fid, .position = (int64_t)off, .length = (int64_t)len };
	struct afs_FetchData_in in32 = { .fid = *fid, .position = (int32_t)off, .length = (int32_t)len };
	struct afs_FetchData_out out32;
	int rc;

	if (off > INT64_MAX || len > INT64_MAX - off)
		return rx_error_errno(&op->error, EFBIG, "reading beyond what a file can hold");
	if (!op->server->no_64bit) {
		rc = afs_FetchData64(&op->rpc, &in, sink, got, out, &op->error);
		if (rc == 0 || op->error.code != RXGEN_OPCODE)
			return rc;
		op->server->no_64bit = true;
	}
	if (off + len > MAX32)
		return rx_error_errno(&op->error, EFBIG, "this server knows no files beyond 2 GiB");
	rc = afs_FetchData(&op->rpc, &in32, sink, got, &out32, &op->error);
	if (rc == 0) {
		/* Such a server leaves the upper half undefined. */
		out32.status.length_high = 0;
		out->status = out32.status;
		out->callback = out32.callback;
		out->sync = out32.sync;
	}
	return rc;
}

/* Bytes that the file has, as its status of the same reply says, but the reply left out must not be read as zeros. */
static int check_whole(const struct cm_vnode *v, uint64_t off, uint64_t len, uint64_t got, uint64_t length,
		       struct rx_error *err)
{
	uint64_t there = off >= length ? 0 : length - off;
	char buf[384];

	if (got == (len < there ? len : there))
		return 0;
	return rx_error_set(err, RX_ORIGIN_ERRNO, EIO, EIO,
			    "%s: the server sent %llu bytes from %llu on of a file of %llu: try again",
			    cm_vnode_text(v, buf), (unsigned long long)got, (unsigned long long)off,
			    (unsigned long long)length);
}

static int fetch_once(struct cm_vnode *v, struct cm_token *t, uint64_t off, uint64_t len, void *buf, struct stream *st,
		      uint64_t *got, uint64_t *version, struct rx_error *err)
{
	struct rx_rpc_sink sink = { .buf = buf, .fn = give, .arg = st };
	struct afs_fid fid = cm_fid_wire(&v->fid);
	struct afs_FetchData64_out out;
	struct cm_reply r = {
		.kind = CM_REPLY_READ, .status = &out.status, .callback = &out.callback, .sync = &out.sync
	};
	struct cm_noted q;
	struct cm_op op;

	*got = 0;
	cm_op_begin(&op, v, t, "FetchData", 0);
	while (cm_op_next(&op)) {
		cm_vnode_note(v, op.server, &q);
		if (cm_op_result(&op, call_fetch(&op, &fid, off, len, &sink, got, &out)) && st && st->given > 0)
			op.done = op.failed = true; /* the bytes already given cannot be taken back */
	}
	if (cm_op_end(&op, err))
		return cm_advise(v, t, v->fid.vnode % 2 ? CM_RIGHT_LOOKUP : CM_RIGHT_READ, err);
	if (check_whole(v, off, len, *got, afs_status_length(&out.status), err))
		return -1;
	*version = afs_status_version(&out.status);
	r.server = op.server;
	if (UMAFS_MAYBE(v->cm->env, BREAK_AFTER_FETCH))
		cm_vnode_break(v);
	return cm_vnode_apply(v, t, &q, &r, err);
}

int cm_fetch_stream(struct cm_vnode *v, struct cm_token *t, uint64_t off, uint64_t len, cm_sink_fn *sink, void *arg,
		    uint64_t *version, struct rx_error *err)
{
	struct stream st = { .sink = sink, .arg = arg };
	uint64_t got, at;

	return fetch_once(v, t, off, len, NULL, &st, &got, version ? version : &at, err);
}

/* Calls side by side for one range. */
struct split {
	struct rx_mutex lock; /* rank LEAF */
	struct rx_cond done;
	unsigned running;
};

struct piece {
	struct split *split;
	struct cm_vnode *v;
	struct cm_token *t;
	uint64_t off, got, version;
	uint8_t *buf;
	size_t len;
	int rc;
	struct rx_error error;
};

static void run_piece(void *arg)
{
	struct piece *p = arg;
	struct split *s = p->split;

	p->rc = fetch_once(p->v, p->t, p->off, p->len, p->buf, NULL, &p->got, &p->version, &p->error);
	rx_mutex_lock(&s->lock);
	if (--s->running == 0)
		rx_cond_signal(&s->done);
	rx_mutex_unlock(&s->lock);
}

/* 0: *got and *version hold; 1: the pieces are of different versions; -1. */
static int join(const struct piece *p, unsigned n, size_t *got, uint64_t *version, struct rx_error *err)
{
	bool ended = false;

	*got = 0;
	*version = p[0].version;
	for (unsigned i = 0; i < n; i++) {
		if (p[i].rc) {
			if (err)
				*err = p[i].error;
			return -1;
		}
		if (p[i].version != p[0].version || (ended && p[i].got > 0))
			return 1;
		*got += p[i].got;
		ended = ended || p[i].got < p[i].len;
	}
	return 0;
}

static int fetch_split(struct cm_vnode *v, struct cm_token *t, uint64_t off, uint8_t *buf, size_t len, size_t *got,
		       uint64_t *version, struct rx_error *err)
{
	size_t align = len < SPLIT_FROM ? CM_PAGE : PIECE_ALIGN, each = (len / PIECES + align - 1) / align * align,
	       at = 0;
	struct piece pieces[PIECES];
	struct split s = { .running = 0 };
	unsigned n = 0;

	rx_mutex_init(&s.lock, v->cm->env, RX_RANK_LEAF, "split fetch");
	rx_cond_init(&s.done, v->cm->env);
	for (; at < len && n < PIECES; n++) {
		pieces[n] = (struct piece){ .split = &s, .v = v, .t = t, .off = off + at, .buf = buf + at };
		pieces[n].len = n == PIECES - 1 || len - at < each ? len - at : each;
		at += pieces[n].len;
	}
	s.running = n;
	for (unsigned i = 1; i < n; i++)
		if (!cm_work(v->cm, run_piece, &pieces[i]))
			run_piece(&pieces[i]);
	run_piece(&pieces[0]);
	rx_mutex_lock(&s.lock);
	while (s.running > 0)
		rx_cond_wait(&s.done, &s.lock, UINT64_MAX);
	rx_mutex_unlock(&s.lock);
	rx_cond_destroy(&s.done);
	rx_mutex_destroy(&s.lock);
	return join(pieces, n, got, version, err);
}

int cm_fetch(struct cm_vnode *v, struct cm_token *t, uint64_t off, void *buf, size_t len, size_t *got,
	     uint64_t *version, struct rx_error *err)
{
	bool small = len > CM_PAGE && UMAFS_MAYBE(v->cm->env, FETCH_SPLIT);
	uint64_t n, end;
	int rc;

	*got = 0;
	if (len >= SPLIT_FROM || small) {
		rx_mutex_lock(&v->lock);
		end = v->attr.server_size;
		rx_mutex_unlock(&v->lock);
		/* Not for what is mostly beyond the end of the file. */
		if (end > off && (end - off >= SPLIT_FROM || small)) {
			rc = fetch_split(v, t, off, buf, len, got, version, err);
			if (rc <= 0)
				return rc;
		}
	}
	if (fetch_once(v, t, off, len, buf, NULL, &n, version, err))
		return -1;
	*got = (size_t)n;
	return 0;
}

/* ---- storing ---- */

struct store {
	uint64_t off, len, file_length;
	int64_t mtime;
	bool sync;
	const void *buf; /* or else the source */
	cm_source_fn *source;
	void *arg;
	uint64_t taken;
};

static int take(void *arg, void *bytes, size_t len, struct rx_error *err)
{
	struct store *s = arg;

	s->taken += len;
	if (s->source(s->arg, bytes, len))
		return rx_error_set(err, RX_ORIGIN_ERRNO, ECANCELED, ECANCELED, "the writer gave up");
	return 0;
}

static int call_store(struct cm_op *op, const struct afs_fid *fid, struct store *s, struct afs_StoreData64_out *out)
{
	struct rx_rpc_source source = { .buf = s->buf, .fn = take, .arg = s };
	struct afs_StoreData64_in in = {
		.fid = *fid, .position = s->off, .length = s->len, .file_length = s->file_length
	};
	struct afs_StoreData_in in32 = { .fid = *fid,
					 .position = (uint32_t)s->off,
					 .length = (uint32_t)s->len,
					 .file_length = (uint32_t)s->file_length };
	struct afs_StoreData_out out32;
	int rc;

	if (s->off + s->len < s->off)
		return rx_error_errno(&op->error, EFBIG, "writing beyond what a file can hold");
	in.status.mask = AFS_SET_MTIME | (s->sync ? (uint32_t)AFS_FSYNC : 0);
	in.status.client_mtime = (uint32_t)s->mtime;
	in32.status = in.status;
	if (!op->server->no_64bit) {
		rc = afs_StoreData64(&op->rpc, &in, &source, out, &op->error);
		if (rc == 0 || op->error.code != RXGEN_OPCODE || s->taken > 0)
			return rc;
		op->server->no_64bit = true;
	}
	if (s->off + s->len > MAX32 || s->file_length > MAX32)
		return rx_error_errno(&op->error, EFBIG, "this server knows no files beyond 2 GiB");
	rc = afs_StoreData(&op->rpc, &in32, &source, &out32, &op->error);
	if (rc == 0) {
		out32.status.length_high = 0;
		out->status = out32.status;
		out->sync = out32.sync;
	}
	return rc;
}

/* Refusals that come before a byte is written. */
static bool changed_nothing(const struct rx_error *e)
{
	return e->origin == RX_ORIGIN_AFS && (e->errnum == EACCES || e->errnum == EPERM || e->errnum == EROFS ||
					      e->errnum == EDQUOT || e->code == 102 || e->code == 103);
}

/* With the vnode's bit `mutating` held. */
static int store_locked(struct cm_vnode *v, struct cm_token *t, struct store *s, unsigned flags, struct rx_error *err)
{
	struct afs_fid fid = cm_fid_wire(&v->fid);
	struct afs_StoreData64_out out;
	struct cm_reply r = { .kind = CM_REPLY_MUTATION, .status = &out.status, .sync = &out.sync, .own_changes = 1 };
	struct cm_noted q;
	struct cm_op op;

	if (UMAFS_MAYBE(v->cm->env, BREAK_BEFORE_STORE))
		cm_vnode_break(v);
	cm_op_begin(&op, v, t, "StoreData", flags);
	while (cm_op_next(&op)) {
		cm_vnode_note(v, op.server, &q);
		if (cm_op_result(&op, call_store(&op, &fid, s, &out)) == 0)
			break;
		if (!changed_nothing(&op.error))
			cm_vnode_distrust(v);
		if (s->taken > 0)
			op.done = op.failed = true;
	}
	if (cm_op_end(&op, err))
		return cm_advise(v, t, CM_RIGHT_WRITE, err);
	r.server = op.server;
	if (UMAFS_MAYBE(v->cm->env, BREAK_AFTER_STORE))
		cm_vnode_break(v);
	return cm_vnode_apply(v, t, &q, &r, err);
}

int cm_store_stream(struct cm_vnode *v, struct cm_token *t, uint64_t off, uint64_t len, uint64_t file_length,
		    int64_t mtime, bool sync, cm_source_fn *source, void *arg, struct rx_error *err)
{
	struct store s = { .off = off,
			   .len = len,
			   .file_length = file_length,
			   .mtime = mtime,
			   .sync = sync,
			   .source = source,
			   .arg = arg };
	int rc;

	cm_mutate_begin(v);
	rc = store_locked(v, t, &s, 0, err);
	cm_mutate_end(v);
	return rc;
}

/* The length that cuts off nothing: a status under a promise says where the end is. */
static int whole_length(struct cm_vnode *v, struct cm_token *t, uint64_t *length, struct rx_error *err)
{
	if (!cm_is_valid(v) && cm_vnode_fetch_status(v, t, err))
		return -1;
	rx_mutex_lock(&v->lock);
	*length = v->attr.server_size;
	rx_mutex_unlock(&v->lock);
	return 0;
}

int cm_store_runs(struct cm_vnode *v, struct cm_token *t, const struct cm_plan *plan, bool sync, struct rx_error *err)
{
	int64_t now_s = v->cm->env->ops->wall_s(v->cm->env);
	uint64_t length;
	int rc = 0;

	cm_mutate_begin(v);
	for (size_t i = 0; i < plan->nruns && rc == 0; i++) {
		const struct cm_run *run = &plan->runs[i];
		struct store s = { .off = run->off, .len = run->len, .mtime = now_s, .buf = run->bytes };

		rc = whole_length(v, t, &length, err);
		if (rc)
			break;
		s.file_length = length > run->off + run->len ? length : run->off + run->len;
		/* One fsync at the end covers them all. */
		s.sync = sync && i == plan->nruns - 1;
		rc = store_locked(v, t, &s, CM_OP_NOWAIT, err);
	}
	cm_mutate_end(v);
	return rc;
}

int cm_truncate(struct cm_vnode *v, struct cm_token *t, uint64_t size, struct rx_error *err)
{
	struct store s = { .off = size, .file_length = size, .mtime = v->cm->env->ops->wall_s(v->cm->env), .buf = "" };
	int rc;

	cm_mutate_begin(v);
	rc = store_locked(v, t, &s, 0, err);
	if (rc == 0)
		cm_size_cut(v, size);
	cm_mutate_end(v);
	return rc;
}
