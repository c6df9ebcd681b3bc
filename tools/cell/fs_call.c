/* What the file server's operations have in common: beginning and ending, finding and waiting
 * for a vnode, filling in statuses. Called by them on worker threads, with cell->lock held
 * between begin and end. */
#include <errno.h>

#include "tools/cell/internal.h"

void cell_begin(struct cell_request *rq)
{
	rx_mutex_lock(&rq->cell->lock);
}

int32_t cell_end(struct cell_request *rq, int32_t code)
{
	rx_mutex_unlock(&rq->cell->lock);
	cell_send_breaks(rq->cell, &rq->breaks);
	return code;
}

struct afs_fid cell_fid(const struct cell_vnode *v)
{
	return (struct afs_fid){ v->volume->id, v->vnode, v->unique };
}

static bool moved_away(const struct cell_request *rq, uint32_t id)
{
	const struct cell_volume *volume = cell_volume_find(rq->cell, NULL, id);

	return volume && rq->fs && volume->moved_from == rq->fs;
}

bool cell_is_stale(const struct cell_request *rq)
{
	return rq->fs && rq->life != __atomic_load_n(&rq->fs->life, __ATOMIC_RELAXED);
}

int32_t cell_get(struct cell_request *rq, const struct afs_fid *fid, enum cell_want want, struct cell_vnode **out)
{
	if (!fid->volume || !fid->vnode)
		return EINVAL;
	for (;;) {
		struct cell_volume *volume = cell_volume_find(rq->cell, rq->fs, fid->volume);
		struct cell_vnode *v;

		if (cell_is_stale(rq))
			return RX_CALL_DEAD;
		if (!volume)
			return moved_away(rq, fid->volume) ? CELL_VMOVED : CELL_VNOVOL;
		v = cell_vnode_find(volume, fid->vnode, fid->unique);
		if (!v)
			return CELL_VNOVNODE;
		if (want == CELL_CHANGE && volume->kind != AFS_VOLUME_RW)
			return EROFS;
		if (!cell_vnode_busy(v, want == CELL_CHANGE)) {
			*out = v;
			return 0;
		}
		rx_cond_wait(&rq->cell->moved, &rq->cell->lock, UINT64_MAX);
	}
}

int32_t cell_get_dir(struct cell_request *rq, const struct afs_fid *fid, enum cell_want want, struct cell_vnode **out)
{
	int32_t code = cell_get(rq, fid, want, out);

	if (code == 0 && (*out)->type != AFS_TYPE_DIR)
		return ENOTDIR;
	return code;
}

void cell_fill_sync(const struct cell_vnode *v, struct afs_volsync *sync)
{
	*sync = (struct afs_volsync){ .creation = v->volume->created };
}

void cell_fill_status(struct cell_request *rq, const struct cell_vnode *v, struct afs_fetch_status *st)
{
	bool dir = v->type == AFS_TYPE_DIR;

	*st = (struct afs_fetch_status){
		.interface_version = 1,
		.file_type = v->type,
		.link_count = v->links,
		.length = (uint32_t)v->length,
		.length_high = (uint32_t)(v->length >> 32),
		.data_version = v->data_version,
		.author = v->author,
		.owner = v->owner,
		.group = v->group,
		.mode = v->mode,
		.parent_vnode = dir ? v->vnode : v->parent_vnode,
		.parent_unique = dir ? v->unique : v->parent_unique,
		.residency_mask = 1,
		.client_mtime = v->mtime,
		.server_mtime = v->server_mtime,
		.lock_count = v->lock_expires > cell_now(rq->cell) ? v->lock_count : 0,
	};
	cell_rights(v, &rq->caller, &st->caller_access, &st->anonymous_access);
}

void cell_apply_status(struct cell_vnode *v, const struct afs_store_status *ss)
{
	v->server_mtime = (uint32_t)cell_now(v->volume->cell);
	if (ss->mask & AFS_SET_MTIME)
		v->mtime = ss->client_mtime;
	if (ss->mask & AFS_SET_OWNER)
		v->owner = ss->owner;
	if (ss->mask & AFS_SET_GROUP)
		v->group = ss->group;
	if (ss->mask & AFS_SET_MODE)
		v->mode = ss->mode & 07777;
}

void cell_dir_changed(struct cell_request *rq, struct cell_vnode *dir)
{
	cell_vnode_changed(dir, &rq->caller);
	cell_note_vnode(dir);
	cell_break_vnode(&rq->breaks, dir, rq->host);
}
