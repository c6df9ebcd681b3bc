/* The file server's operations on statuses: FetchStatus, both bulk ones, StoreStatus. Run on
 * worker threads. */
#include <errno.h>
#include <stdlib.h>

#include "tools/cell/internal.h"

static int32_t one_status(struct cell_request *rq, const struct afs_fid *fid, bool bulk, struct afs_fetch_status *st,
			  struct afs_callback *cb, struct afs_volsync *sync)
{
	struct cell_vnode *v;
	int32_t code = cell_get(rq, fid, CELL_READ, &v);

	if (code == 0)
		code = cell_may_fetch(v, &rq->caller, false);
	if (code)
		return code;
	cell_fill_status(rq, v, st);
	cell_fill_sync(v, sync);
	cell_promise(rq, v, bulk, cb);
	return 0;
}

int32_t cell_op_FetchStatus(struct rx_call *call, const struct afs_FetchStatus_in *in, struct afs_FetchStatus_out *out,
			    void *arg)
{
	struct cell_request *rq = arg;
	int32_t code;

	(void)call;
	rx_mutex_lock(&rq->cell->lock);
	rq->fs->fetches++;
	code = one_status(rq, &in->fid, false, &out->status, &out->callback, &out->sync);
	rx_mutex_unlock(&rq->cell->lock);
	return code;
}

int32_t cell_op_BulkStatus(struct rx_call *call, const struct afs_BulkStatus_in *in, struct afs_BulkStatus_out *out,
			   void *arg)
{
	struct cell_request *rq = arg;
	uint32_t n = in->fids.len;
	int32_t code = 0;

	(void)call;
	if (!n)
		return EINVAL;
	out->statuses.items = calloc(n, sizeof(*out->statuses.items));
	out->callbacks.items = calloc(n, sizeof(*out->callbacks.items));
	if (!out->statuses.items || !out->callbacks.items)
		return ENOMEM;
	out->statuses.len = out->callbacks.len = n;
	rx_mutex_lock(&rq->cell->lock);
	for (uint32_t i = 0; i < n && code == 0; i++)
		code = one_status(rq, &in->fids.items[i], true, &out->statuses.items[i], &out->callbacks.items[i],
				  &out->sync);
	rx_mutex_unlock(&rq->cell->lock);
	return code;
}

int32_t cell_op_InlineBulkStatus(struct rx_call *call, const struct afs_InlineBulkStatus_in *in,
				 struct afs_InlineBulkStatus_out *out, void *arg)
{
	struct cell_request *rq = arg;
	uint32_t n = in->fids.len;

	(void)call;
	if (!n)
		return EINVAL;
	out->statuses.items = calloc(n, sizeof(*out->statuses.items));
	out->callbacks.items = calloc(n, sizeof(*out->callbacks.items));
	if (!out->statuses.items || !out->callbacks.items)
		return ENOMEM;
	out->statuses.len = out->callbacks.len = n;
	rx_mutex_lock(&rq->cell->lock);
	for (uint32_t i = 0; i < n; i++) {
		struct afs_fetch_status *st = &out->statuses.items[i];
		int32_t code = one_status(rq, &in->fids.items[i], true, st, &out->callbacks.items[i], &out->sync);

		if (code == 0)
			continue;
		st->interface_version = 1;
		st->error_code = code;
		if (rq->host->error_translation && code < 256 && !(code >= 101 && code <= 112) && code != 120)
			st->error_code = rq->cell->uae[code];
	}
	rx_mutex_unlock(&rq->cell->lock);
	return 0;
}

int32_t cell_op_StoreStatus(struct rx_call *call, const struct afs_StoreStatus_in *in, struct afs_StoreStatus_out *out,
			    void *arg)
{
	struct cell_request *rq = arg;
	struct afs_store_status ss = in->status;
	struct cell_vnode *v;
	int32_t code;

	(void)call;
	cell_begin(rq);
	code = cell_get(rq, &in->fid, CELL_CHANGE, &v);
	if (code == 0)
		code = cell_may_store_status(v, &rq->caller, &ss);
	if (code == 0) {
		cell_apply_status(v, &ss);
		cell_note_vnode(v);
		cell_fill_status(rq, v, &out->status);
		cell_fill_sync(v, &out->sync);
		cell_break_vnode(&rq->breaks, v, rq->host);
	}
	return cell_end(rq, code);
}
