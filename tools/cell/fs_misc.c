/* The rest of the file server: volume status, giving up callbacks, statistics, probes, and
 * the calls that always fail; and its table of operations. Runs on worker threads. */
#include <errno.h>
#include <stdlib.h>

#include "tools/cell/internal.h"

enum { PARTITION_KIB = 100000000, CAPABILITIES = AFS_CAP_ERRORTRANS | AFS_CAP_64BITFILES | AFS_CAP_WRITELOCKACL };

static int32_t kib(int64_t n)
{
	return n > INT32_MAX ? INT32_MAX : (int32_t)n;
}

static int32_t get_volume_status(struct rx_call *call, const struct afs_GetVolumeStatus_in *in,
				 struct afs_GetVolumeStatus_out *out, void *arg)
{
	struct cell_request *rq = arg;
	struct cell_volume *volume;

	(void)call;
	if (!in->volume)
		return EINVAL;
	rx_mutex_lock(&rq->cell->lock);
	volume = cell_volume_find(rq->cell, rq->fs, (uint32_t)in->volume);
	if (volume) {
		out->status = (struct afs_fetch_volume_status){
			.volume = volume->id,
			.parent = volume->rw_id,
			.online = 1,
			.in_service = 1,
			.blessed = 1,
			.type = volume->kind == AFS_VOLUME_RW,
			.min_quota = kib(volume->min_quota),
			.max_quota = kib(volume->quota),
			.blocks_in_use = kib(volume->used),
			.part_blocks_avail = PARTITION_KIB,
			.part_max_blocks = PARTITION_KIB,
		};
		out->name = strdup(volume->name);
		out->offline_message = strdup(volume->offline);
	}
	rx_mutex_unlock(&rq->cell->lock);
	return volume ? 0 : CELL_VNOVOL;
}

static int32_t set_volume_status(struct rx_call *call, const struct afs_SetVolumeStatus_in *in,
				 struct afs_SetVolumeStatus_out *out, void *arg)
{
	struct cell_request *rq = arg;
	struct cell_volume *volume;
	int32_t code = 0;

	(void)call;
	(void)out;
	rx_mutex_lock(&rq->cell->lock);
	volume = cell_volume_find(rq->cell, rq->fs, (uint32_t)in->volume);
	if (!in->volume)
		code = EINVAL;
	else if (!volume)
		code = CELL_VNOVOL;
	else if (volume->kind != AFS_VOLUME_RW)
		code = EROFS;
	else if (!rq->caller.admin)
		code = EACCES;
	if (code == 0) {
		if (in->status.mask & AFS_SET_MIN_QUOTA)
			volume->min_quota = in->status.min_quota;
		if (in->status.mask & AFS_SET_MAX_QUOTA)
			volume->quota = in->status.max_quota;
		if (*in->name && strlen(in->name) < 32)
			strcpy(volume->name, in->name);
		if (*in->offline_message && strlen(in->offline_message) < sizeof(volume->offline))
			strcpy(volume->offline, in->offline_message);
		cell_note_volume(volume);
	}
	rx_mutex_unlock(&rq->cell->lock);
	return code;
}

static int32_t give_up(struct rx_call *call, const struct afs_GiveUpCallBacks_in *in,
		       struct afs_GiveUpCallBacks_out *out, void *arg)
{
	struct cell_request *rq = arg;

	(void)call;
	(void)out;
	if (in->fids.len < in->callbacks.len)
		return EINVAL;
	rx_mutex_lock(&rq->cell->lock);
	for (uint32_t i = 0; i < in->fids.len; i++)
		cell_give_up(rq, &in->fids.items[i]);
	rx_mutex_unlock(&rq->cell->lock);
	return 0;
}

static int32_t give_up_all(struct rx_call *call, const struct afs_GiveUpAllCallBacks_in *in,
			   struct afs_GiveUpAllCallBacks_out *out, void *arg)
{
	struct cell_request *rq = arg;

	(void)call;
	(void)in;
	(void)out;
	rx_mutex_lock(&rq->cell->lock);
	cell_give_up_all(rq);
	rx_mutex_unlock(&rq->cell->lock);
	return 0;
}

static int32_t get_time(struct rx_call *call, const struct afs_GetTime_in *in, struct afs_GetTime_out *out, void *arg)
{
	struct cell_request *rq = arg;

	(void)call;
	(void)in;
	out->seconds = (uint32_t)cell_now(rq->cell);
	return 0;
}

static int32_t get_capabilities(struct rx_call *call, const struct afs_GetCapabilities_in *in,
				struct afs_GetCapabilities_out *out, void *arg)
{
	(void)call;
	(void)in;
	(void)arg;
	out->capabilities.items = malloc(sizeof(uint32_t));
	if (!out->capabilities.items)
		return ENOMEM;
	out->capabilities.items[0] = CAPABILITIES;
	out->capabilities.len = 1;
	return 0;
}

static int32_t get_statistics(struct rx_call *call, const struct afs_GetStatistics_in *in,
			      struct afs_GetStatistics_out *out, void *arg)
{
	struct cell_request *rq = arg;
	struct afs_statistics *st = &out->statistics;

	(void)call;
	(void)in;
	rx_mutex_lock(&rq->cell->lock);
	st->current_time = (uint32_t)cell_now(rq->cell);
	st->boot_time = st->start_time = rq->fs->started;
	st->total_vice_calls = (uint32_t)rq->fs->calls;
	st->total_fetches = (uint32_t)rq->fs->fetches;
	st->fetched_bytes = (uint32_t)rq->fs->fetched;
	st->total_stores = (uint32_t)rq->fs->stores;
	st->stored_bytes = (uint32_t)rq->fs->stored;
	rx_mutex_unlock(&rq->cell->lock);
	st->disk[0] = (struct afs_disk){ PARTITION_KIB, PARTITION_KIB, "/vicepa" };
	for (unsigned i = 1; i < 10; i++)
		st->disk[i].total_blocks = -1;
	return 0;
}

static int32_t get_statistics64(struct rx_call *call, const struct afs_GetStatistics64_in *in,
				struct afs_GetStatistics64_out *out, void *arg)
{
	enum { N = 16 };
	struct cell_request *rq = arg;
	uint64_t *v;

	(void)call;
	if (in->version != N)
		return EINVAL;
	v = calloc(N, sizeof(*v));
	if (!v)
		return ENOMEM;
	out->values.items = v;
	out->values.len = N;
	rx_mutex_lock(&rq->cell->lock);
	v[0] = (uint64_t)cell_now(rq->cell);
	v[1] = v[2] = rq->fs->started;
	v[4] = rq->fs->fetches;
	v[6] = rq->fs->fetched;
	v[8] = rq->fs->stores;
	v[10] = rq->fs->stored;
	v[12] = rq->fs->calls;
	rx_mutex_unlock(&rq->cell->lock);
	return 0;
}

static int32_t xstats_version(struct rx_call *call, const struct afs_XStatsVersion_in *in,
			      struct afs_XStatsVersion_out *out, void *arg)
{
	(void)call;
	(void)in;
	(void)arg;
	out->version = 2;
	return 0;
}

static int32_t lookup(struct rx_call *call, const struct afs_Lookup_in *in, struct afs_Lookup_out *out, void *arg)
{
	(void)call;
	(void)in;
	(void)out;
	(void)arg;
	return EINVAL; /* for a DFS translator only */
}

static int32_t dfs_symlink(struct rx_call *call, const struct afs_DFSSymlink_in *in, struct afs_DFSSymlink_out *out,
			   void *arg)
{
	(void)call;
	(void)in;
	(void)out;
	(void)arg;
	return EINVAL;
}

static int32_t flush_cps(struct rx_call *call, const struct afs_FlushCPS_in *in, struct afs_FlushCPS_out *out,
			 void *arg)
{
	(void)call;
	(void)in;
	(void)out;
	(void)arg;
	return EPERM;
}

const struct afs_fs_ops cell_fs_ops = {
	.FetchData = cell_op_FetchData,
	.FetchACL = cell_op_FetchACL,
	.FetchStatus = cell_op_FetchStatus,
	.StoreData = cell_op_StoreData,
	.OldStoreACL = cell_op_OldStoreACL,
	.StoreStatus = cell_op_StoreStatus,
	.RemoveFile = cell_op_RemoveFile,
	.CreateFile = cell_op_CreateFile,
	.Rename = cell_op_Rename,
	.Symlink = cell_op_Symlink,
	.Link = cell_op_Link,
	.MakeDir = cell_op_MakeDir,
	.RemoveDir = cell_op_RemoveDir,
	.GetStatistics = get_statistics,
	.GiveUpCallBacks = give_up,
	.GetVolumeStatus = get_volume_status,
	.SetVolumeStatus = set_volume_status,
	.GetTime = get_time,
	.BulkStatus = cell_op_BulkStatus,
	.SetLock = cell_op_SetLock,
	.ExtendLock = cell_op_ExtendLock,
	.ReleaseLock = cell_op_ReleaseLock,
	.XStatsVersion = xstats_version,
	.Lookup = lookup,
	.FlushCPS = flush_cps,
	.DFSSymlink = dfs_symlink,
	.InlineBulkStatus = cell_op_InlineBulkStatus,
	.FetchData64 = cell_op_FetchData64,
	.StoreData64 = cell_op_StoreData64,
	.GiveUpAllCallBacks = give_up_all,
	.GetCapabilities = get_capabilities,
	.GetStatistics64 = get_statistics64,
};
