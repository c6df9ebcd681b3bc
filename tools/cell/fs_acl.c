/* The file server's operations on access lists and locks. Run on worker threads. */
#include <errno.h>
#include <stdlib.h>

#include "tools/cell/internal.h"

enum { LOCK_LIFE_S = 300 };

int32_t cell_op_FetchACL(struct rx_call *call, const struct afs_FetchACL_in *in, struct afs_FetchACL_out *out,
			 void *arg)
{
	struct cell_request *rq = arg;
	struct cell_vnode *v, *dir;
	char text[CM_ACL_TEXT];
	size_t len = 0;
	int32_t code;

	(void)call;
	rx_mutex_lock(&rq->cell->lock);
	code = cell_get(rq, &in->fid, CELL_READ, &v);
	if (code == 0)
		code = cell_may_fetch_acl(v, &rq->caller);
	if (code == 0) {
		dir = v->type == AFS_TYPE_DIR ? v : cell_vnode_find(v->volume, v->parent_vnode, v->parent_unique);
		code = dir ? cell_acl_to_text(rq->cell, &dir->acl, text, &len) : EIO;
	}
	if (code == 0) {
		cell_fill_status(rq, v, &out->status);
		cell_fill_sync(v, &out->sync);
	}
	rx_mutex_unlock(&rq->cell->lock);
	if (code)
		return code;
	out->acl.data = malloc(len);
	if (!out->acl.data)
		return ENOMEM;
	memcpy(out->acl.data, text, len);
	out->acl.len = (uint32_t)len;
	return 0;
}

int32_t cell_op_OldStoreACL(struct rx_call *call, const struct afs_OldStoreACL_in *in, struct afs_OldStoreACL_out *out,
			    void *arg)
{
	struct cell_request *rq = arg;
	struct cell_vnode *dir;
	struct cell_acl acl;
	int32_t code;

	(void)call;
	cell_begin(rq);
	code = cell_get_dir(rq, &in->dir, CELL_CHANGE, &dir);
	if (code == 0)
		code = cell_may_store_acl(dir, &rq->caller);
	if (code == 0)
		code = cell_acl_from_text(rq->cell, in->acl.data, in->acl.len, &acl);
	if (code == 0) {
		dir->acl = acl;
		dir->server_mtime = (uint32_t)cell_now(rq->cell);
		cell_note_vnode(dir);
		cell_break_vnode(&rq->breaks, dir, rq->host);
		cell_fill_status(rq, dir, &out->status);
		cell_fill_sync(dir, &out->sync);
	}
	return cell_end(rq, code);
}

/* Read-only volumes take any lock for reading and keep none. */
static int32_t get_lockable(struct cell_request *rq, const struct afs_fid *fid, struct cell_vnode **v, bool *kept)
{
	int32_t code = cell_get(rq, fid, CELL_READ, v);

	if (code == 0)
		*kept = (*v)->volume->kind == AFS_VOLUME_RW;
	return code;
}

int32_t cell_op_SetLock(struct rx_call *call, const struct afs_SetLock_in *in, struct afs_SetLock_out *out, void *arg)
{
	struct cell_request *rq = arg;
	struct cell_vnode *v;
	int64_t now;
	int32_t code;
	bool kept;

	(void)call;
	if (in->type != AFS_LOCK_READ && in->type != AFS_LOCK_WRITE)
		return EINVAL;
	rx_mutex_lock(&rq->cell->lock);
	now = cell_now(rq->cell);
	code = get_lockable(rq, &in->fid, &v, &kept);
	if (code == 0)
		code = cell_may_lock(v, &rq->caller, in->type);
	if (code == 0 && !kept && in->type == AFS_LOCK_WRITE)
		code = EROFS;
	if (code == 0 && v->lock_expires <= now)
		v->lock_count = 0;
	if (code == 0 && (in->type == AFS_LOCK_READ ? v->lock_count < 0 : v->lock_count != 0))
		code = EAGAIN;
	if (code == 0 && kept) {
		v->lock_count = in->type == AFS_LOCK_READ ? v->lock_count + 1 : -1;
		v->lock_expires = now + LOCK_LIFE_S;
	}
	if (code == 0)
		cell_fill_sync(v, &out->sync);
	rx_mutex_unlock(&rq->cell->lock);
	return code;
}

int32_t cell_op_ExtendLock(struct rx_call *call, const struct afs_ExtendLock_in *in, struct afs_ExtendLock_out *out,
			   void *arg)
{
	struct cell_request *rq = arg;
	struct cell_vnode *v;
	int32_t code;
	bool kept;

	(void)call;
	rx_mutex_lock(&rq->cell->lock);
	code = get_lockable(rq, &in->fid, &v, &kept);
	if (code == 0 && kept && v->lock_count == 0)
		code = EINVAL;
	if (code == 0) {
		v->lock_expires = cell_now(rq->cell) + LOCK_LIFE_S;
		cell_fill_sync(v, &out->sync);
	}
	rx_mutex_unlock(&rq->cell->lock);
	return code;
}

int32_t cell_op_ReleaseLock(struct rx_call *call, const struct afs_ReleaseLock_in *in, struct afs_ReleaseLock_out *out,
			    void *arg)
{
	struct cell_request *rq = arg;
	struct cell_vnode *v;
	int32_t code;
	bool kept;

	(void)call;
	cell_begin(rq);
	code = get_lockable(rq, &in->fid, &v, &kept);
	if (code == 0) {
		v->lock_count = v->lock_count > 0 ? v->lock_count - 1 : 0;
		cell_fill_sync(v, &out->sync);
		if (kept && v->lock_count == 0)
			cell_break_vnode(&rq->breaks, v, rq->host); /* it may be free now */
	}
	return cell_end(rq, code);
}
