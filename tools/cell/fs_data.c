/* The file server's data transfers: FetchData and StoreData in both sizes. A vnode is marked
 * read or written while bytes travel, so that status and data belong together; the lock is
 * held for each piece's copy only. Run on worker threads. */
#include <errno.h>
#include <stdlib.h>

#include "rx/maybe.h"
#include "tools/cell/internal.h"

enum { PIECE = 65536, ABORTED_PIECE = 16384, FETCH_FAILED = -31 };
static const uint64_t MAX_32 = 0x7fffffff;

/* ---- fetching ---- */

int cell_read_piece(struct cell_vnode *v, uint64_t off, void *buf, size_t len)
{
	if (v->type == AFS_TYPE_FILE)
		return v->content->ops->read(v->content, off, buf, len);
	memcpy(buf, (v->type == AFS_TYPE_DIR ? (const uint8_t *)v->dir.data : (const uint8_t *)v->link) + off, len);
	return 0;
}

/* v->readers counts this call: nobody changes or frees v. */
static int32_t send_bytes(struct cell_request *rq, struct cell_vnode *v, uint64_t off, uint64_t len)
{
	uint8_t *buf = malloc(PIECE);
	int32_t code = buf ? 0 : ENOMEM;

	while (len && code == 0) {
		size_t piece = UMAFS_MAYBE(rq->cell->env, CELL_FETCH_PIECES) ? 1000 : PIECE;
		size_t n = len < piece ? (size_t)len : piece;

		rx_mutex_lock(&rq->cell->lock);
		code = cell_read_piece(v, off, buf, n) ? EIO : 0;
		rx_mutex_unlock(&rq->cell->lock);
		if (code == 0 && cell_send(rq, buf, n))
			code = FETCH_FAILED;
		off += n;
		len -= n;
	}
	free(buf);
	return code;
}

static int32_t fetch(struct cell_request *rq, const struct rx_rpc *rpc, const struct afs_fid *fid, int64_t pos,
		     int64_t len, struct afs_fetch_status *st, struct afs_callback *cb, struct afs_volsync *sync)
{
	struct cell_vnode *v;
	uint64_t n = 0;
	int32_t code;

	rx_mutex_lock(&rq->cell->lock);
	rq->fs->fetches++;
	code = cell_get(rq, fid, CELL_READ, &v);
	if (code == 0)
		code = cell_may_fetch(v, &rq->caller, true);
	if (code == 0 && (pos < 0 || len < 0 || pos > INT64_MAX - len))
		code = EFBIG;
	if (code) {
		rx_mutex_unlock(&rq->cell->lock);
		return code;
	}
	if ((uint64_t)pos < v->length)
		n = v->length - (uint64_t)pos < (uint64_t)len ? v->length - (uint64_t)pos : (uint64_t)len;
	v->readers++;
	rq->fs->fetched += n;
	rx_mutex_unlock(&rq->cell->lock);

	code = cell_send_length(rq, rpc, v->type, n) ? FETCH_FAILED : send_bytes(rq, v, (uint64_t)pos, n);

	rx_mutex_lock(&rq->cell->lock);
	cell_fill_status(rq, v, st);
	cell_fill_sync(v, sync);
	if (code == 0)
		cell_promise(rq, v, false, cb);
	v->readers--;
	rx_cond_broadcast(&rq->cell->moved);
	rx_mutex_unlock(&rq->cell->lock);
	return code;
}

int32_t cell_op_FetchData(struct rx_call *call, const struct afs_FetchData_in *in, struct afs_FetchData_out *out,
			  void *arg)
{
	(void)call;
	return fetch(arg, &afs_rpc_FetchData, &in->fid, in->position, in->length, &out->status, &out->callback,
		     &out->sync);
}

int32_t cell_op_FetchData64(struct rx_call *call, const struct afs_FetchData64_in *in, struct afs_FetchData64_out *out,
			    void *arg)
{
	(void)call;
	return fetch(arg, &afs_rpc_FetchData64, &in->fid, in->position, in->length, &out->status, &out->callback,
		     &out->sync);
}

/* ---- storing ---- */

struct store {
	const struct afs_fid *fid;
	const struct afs_store_status *ss;
	uint64_t pos, len, file_length;
};

/* Takes the bytes; *end: up to where the file has been written. v->writer is set. */
static int32_t receive(struct cell_request *rq, struct cell_vnode *v, uint64_t pos, uint64_t len, uint64_t *end)
{
	uint8_t *buf = malloc(ABORTED_PIECE);
	int32_t code = buf ? 0 : ENOMEM;
	uint64_t most = cell_take_at_most(rq);

	*end = pos;
	while (len && code == 0) {
		/* What an aborted store leaves is whole pieces of this size, as on real servers. */
		size_t piece = UMAFS_MAYBE(rq->cell->env, CELL_STORE_PIECES) ? 1000 : ABORTED_PIECE;
		size_t n = len < piece ? (size_t)len : piece;
		size_t want = n < most - (*end - pos) ? n : (size_t)(most - (*end - pos));
		ptrdiff_t got = want ? rx_call_read(rq->call, buf, want) : 0;

		if (got <= 0) {
			code = got < 0 ? RX_CALL_DEAD : CELL_STORE_SHORT;
			break;
		}
		rx_mutex_lock(&rq->cell->lock);
		if (v->content->ops->write(v->content, *end, buf, (size_t)got)) {
			v->ragged = true;
			code = ENOSPC;
		}
		rx_mutex_unlock(&rq->cell->lock);
		if (code == 0)
			*end += (uint64_t)got;
		if (code == 0 && (size_t)got < n)
			code = CELL_STORE_SHORT;
		len -= (uint64_t)got;
	}
	free(buf);
	return code;
}

/* Checks, and marks v as written. Lock held. */
static int32_t begin_store(struct cell_request *rq, const struct store *s, struct cell_vnode **out, uint64_t *cut)
{
	struct cell_vnode *v;
	uint64_t size;
	int32_t code = cell_get(rq, s->fid, CELL_CHANGE, &v);

	if (code == 0)
		code = cell_may_store(v, &rq->caller);
	if (code == 0 && s->ss->mask & (AFS_SET_OWNER | AFS_SET_GROUP | AFS_SET_MODE)) {
		struct afs_store_status ss = *s->ss;

		code = cell_may_store_status(v, &rq->caller, &ss);
	}
	if (code)
		return code;
	if (s->pos + s->len < s->pos)
		return EFBIG;
	*cut = v->length < s->file_length ? v->length : s->file_length;
	size = s->pos + s->len > *cut ? s->pos + s->len : *cut;
	code = cell_quota_check(v->volume, cell_blocks(size) - cell_blocks(v->length), CELL_SPARE_KIB);
	if (code)
		return code;
	v->writer = true;
	*out = v;
	return 0;
}

/* The version counts up before the first byte changes: should this process be killed, nobody
 * takes half of a store for what they had cached. Lock held. */
static int32_t cut_to(struct cell_request *rq, const struct store *s, struct cell_vnode *v, uint64_t cut)
{
	uint64_t end;

	if (cell_is_stale(rq))
		return RX_CALL_DEAD;
	cell_vnode_changed(v, &rq->caller);
	if (!rq->caller.admin)
		v->mode &= 01777;
	cell_note_vnode(v);
	if (cell_commit(rq->cell))
		return EIO;
	/* A length without data still moves the end. */
	end = s->len == 0 && s->pos > cut ? s->pos : cut;
	if (end != v->length || cut < end || v->ragged) {
		if (v->content->ops->truncate(v->content, cut) || v->content->ops->truncate(v->content, end))
			return EIO;
		v->ragged = false;
		cell_set_length(v, end);
	}
	return 0;
}

static int32_t store(struct cell_request *rq, const struct store *s, struct afs_fetch_status *st,
		     struct afs_volsync *sync)
{
	struct cell_vnode *v;
	uint64_t cut, end = s->pos;
	int32_t code;
	bool begun;

	rx_mutex_lock(&rq->cell->lock);
	rq->fs->stores++;
	code = begin_store(rq, s, &v, &cut);
	if (code) {
		rx_mutex_unlock(&rq->cell->lock);
		return code;
	}
	cell_break_vnode(&rq->breaks, v, UMAFS_MAYBE(rq->cell->env, CELL_BREAK_OWN) ? NULL : rq->host);
	rx_mutex_unlock(&rq->cell->lock);
	cell_send_breaks(rq->cell, &rq->breaks); /* before the data are read */

	cell_begin(rq);
	code = cut_to(rq, s, v, cut);
	begun = code == 0;
	rx_mutex_unlock(&rq->cell->lock);
	if (begun && s->len)
		code = receive(rq, v, s->pos, s->len, &end);

	cell_begin(rq);
	rq->fs->stored += end - s->pos;
	if (begun && s->len && end > v->length)
		cell_set_length(v, end);
	if (code == 0) {
		struct afs_store_status ss = *s->ss;

		if (!cell_may_store_status(v, &rq->caller, &ss))
			cell_apply_status(v, &ss);
		cell_fill_status(rq, v, st);
		cell_fill_sync(v, sync);
	}
	cell_note_vnode(v);
	v->writer = false;
	rx_cond_broadcast(&rq->cell->moved);
	rx_mutex_unlock(&rq->cell->lock);
	return code;
}

int32_t cell_op_StoreData(struct rx_call *call, const struct afs_StoreData_in *in, struct afs_StoreData_out *out,
			  void *arg)
{
	struct store s = { &in->fid, &in->status, in->position, in->length, in->file_length };

	(void)call;
	if (s.file_length > MAX_32 || s.pos > MAX_32 || s.pos + s.len > MAX_32)
		return EFBIG;
	return store(arg, &s, &out->status, &out->sync);
}

int32_t cell_op_StoreData64(struct rx_call *call, const struct afs_StoreData64_in *in, struct afs_StoreData64_out *out,
			    void *arg)
{
	struct store s = { &in->fid, &in->status, in->position, in->length, in->file_length };

	(void)call;
	return store(arg, &s, &out->status, &out->sync);
}
