/* What is done to the cell behind its clients' backs: rights taken, files changed, volumes
 * moved, servers restarted. Called by fault rules on worker threads and by control commands
 * on any thread, without cell->lock. Whoever holds a promise is told, as if an administrator
 * or another client had done it. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "tools/cell/internal.h"

struct cell_request cell_own_request(struct cell *cell)
{
	return (struct cell_request){ .cell = cell,
				      .caller = { .id = AFS_ID_ADMINISTRATORS,
						  .cps = { AFS_ID_ADMINISTRATORS },
						  .ncps = 1,
						  .admin = true,
						  .server = true } };
}

/* Takes the rights out of an entry and, if groups still give them, denies them. */
static void take_rights(struct cell *cell, struct cell_acl *acl, int32_t id, uint32_t rights)
{
	struct cell_caller who;
	unsigned n = 0;

	for (unsigned i = 0; i < acl->npositive; i++) {
		struct cell_grant g = acl->positive[i];

		if (g.id == id)
			g.rights &= ~rights;
		if (g.rights)
			acl->positive[n++] = g;
	}
	acl->npositive = n;
	cell_caller_of_id(cell, id, &who);
	rights &= cell_acl_rights(acl, who.cps, who.ncps);
	if (!rights)
		return;
	for (unsigned i = 0; i < acl->nnegative; i++) {
		if (acl->negative[i].id == id) {
			acl->negative[i].rights |= rights;
			return;
		}
	}
	if (acl->npositive + acl->nnegative < CM_ACL_MAX)
		acl->negative[acl->nnegative++] = (struct cell_grant){ id, rights };
	cell_acl_sort(acl);
}

/* Gives the user exactly these rights in one of the lists; 0: no entry. */
static int32_t set_rights(struct cell_acl *acl, int32_t id, uint32_t rights, bool negative)
{
	struct cell_grant *list = negative ? acl->negative : acl->positive;
	unsigned *n = negative ? &acl->nnegative : &acl->npositive, at = 0;

	while (at < *n && list[at].id != id)
		at++;
	if (at == *n && !rights)
		return 0;
	if (at == *n && acl->npositive + acl->nnegative == CM_ACL_MAX)
		return E2BIG;
	list[at] = rights ? (struct cell_grant){ id, rights } : list[*n - 1];
	*n = !rights ? *n - 1 : at == *n ? at + 1 : *n;
	cell_acl_sort(acl);
	return 0;
}

static void acl_changed(struct cell_vnode *dir, struct cell_breaks *breaks)
{
	dir->server_mtime = (uint32_t)cell_now(dir->volume->cell);
	cell_note_vnode(dir);
	cell_break_vnode(breaks, dir, NULL);
}

int32_t cell_act_grant(struct cell *cell, const struct afs_fid *fid, int32_t id, uint32_t rights, bool negative)
{
	struct cell_request rq = cell_own_request(cell);
	struct cell_vnode *v;
	int32_t code;

	cell_begin(&rq);
	code = cell_get_dir(&rq, fid, CELL_CHANGE, &v);
	if (code == 0)
		code = set_rights(&v->acl, id, rights, negative);
	if (code == 0)
		acl_changed(v, &rq.breaks);
	return cell_end(&rq, code);
}

int32_t cell_act_revoke(struct cell *cell, const struct afs_fid *fid, int32_t id, uint32_t rights)
{
	struct cell_request rq = cell_own_request(cell);
	struct cell_vnode *v;
	int32_t code;

	cell_begin(&rq);
	code = cell_get(&rq, fid, CELL_CHANGE, &v);
	if (code == 0 && v->type != AFS_TYPE_DIR)
		v = cell_vnode_find(v->volume, v->parent_vnode, v->parent_unique);
	if (code == 0 && v) {
		take_rights(cell, &v->acl, id, rights);
		acl_changed(v, &rq.breaks);
	}
	return cell_end(&rq, code);
}

static void changed(struct cell_request *rq, struct cell_vnode *v, struct cell_breaks *breaks)
{
	cell_vnode_changed(v, &rq->caller);
	cell_note_vnode(v);
	cell_break_vnode(breaks, v, NULL);
}

int32_t cell_act_change(struct cell *cell, const struct afs_fid *fid, uint64_t off, const void *text, size_t len)
{
	struct cell_request rq = cell_own_request(cell);
	struct cell_vnode *v;
	int32_t code;

	cell_begin(&rq);
	code = cell_get(&rq, fid, CELL_CHANGE, &v);
	if (code == 0 && len && v->type != AFS_TYPE_FILE)
		code = EISDIR;
	if (code == 0 && len && v->content->ops->write(v->content, off, text, len))
		code = EIO;
	if (code == 0) {
		if (len && off + len > v->length)
			cell_set_length(v, off + len);
		changed(&rq, v, &rq.breaks);
		code = cell_commit(cell);
	}
	return cell_end(&rq, code);
}

int32_t cell_act_truncate(struct cell *cell, const struct afs_fid *fid, uint64_t length)
{
	struct cell_request rq = cell_own_request(cell);
	struct cell_vnode *v;
	int32_t code;

	cell_begin(&rq);
	code = cell_get(&rq, fid, CELL_CHANGE, &v);
	if (code == 0 && v->type != AFS_TYPE_FILE)
		code = EISDIR;
	if (code == 0 && v->content->ops->truncate(v->content, length))
		code = EIO;
	if (code == 0) {
		cell_set_length(v, length);
		changed(&rq, v, &rq.breaks);
		code = cell_commit(cell);
	}
	return cell_end(&rq, code);
}

void cell_act_break_all(struct cell *cell)
{
	struct cell_breaks breaks = { 0 };

	rx_mutex_lock(&cell->lock);
	for (struct cell_volume *volume = cell->volumes; volume; volume = volume->next)
		cell_break_volume(&breaks, volume);
	rx_mutex_unlock(&cell->lock);
	cell_send_breaks(cell, &breaks);
}

int32_t cell_act_break(struct cell *cell, const struct afs_fid *fid)
{
	struct cell_breaks breaks = { 0 };
	struct cell_volume *volume;
	struct cell_vnode *v;
	int32_t code = 0;

	rx_mutex_lock(&cell->lock);
	for (volume = cell->volumes; volume; volume = volume->next) {
		if (volume->id != fid->volume)
			continue;
		v = cell_vnode_find(volume, fid->vnode, fid->unique);
		if (!fid->vnode || volume->kind != AFS_VOLUME_RW)
			cell_break_volume(&breaks, volume);
		else if (v)
			cell_break_vnode(&breaks, v, NULL);
		else
			code = CELL_VNOVNODE;
	}
	if (!cell_volume_find(cell, NULL, fid->volume))
		code = CELL_VNOVOL;
	rx_mutex_unlock(&cell->lock);
	cell_send_breaks(cell, &breaks);
	return code;
}

bool cell_act_move(struct cell *cell, struct cell_fs *from, uint32_t id, struct cell_fs *to)
{
	struct cell_breaks breaks = { 0 };
	struct cell_volume *volume;
	bool moves;

	rx_mutex_lock(&cell->lock);
	volume = cell_volume_find(cell, from, id);
	while (volume && cell_volume_busy(volume)) {
		rx_cond_wait(&cell->moved, &cell->lock, UINT64_MAX);
		volume = cell_volume_find(cell, from, id);
	}
	moves = volume && volume->kind == AFS_VOLUME_RW && volume->fs != to && !cell_volume_find(cell, to, id);
	if (moves) {
		cell_break_volume(&breaks, volume);
		volume->moved_from = volume->fs;
		volume->fs = to;
		cell_note_everything(cell);
		cell_commit(cell);
	}
	rx_mutex_unlock(&cell->lock);
	cell_send_breaks(cell, &breaks);
	return moves;
}

bool cell_act_refuse(struct cell *cell, struct cell_fs *fs, uint32_t id, int32_t code, unsigned n)
{
	struct cell_volume *volume;

	rx_mutex_lock(&cell->lock);
	volume = cell_volume_find(cell, fs, id);
	if (volume) {
		if (!volume->refusals && n)
			__atomic_fetch_add(&cell->nrefusing, 1, __ATOMIC_RELAXED);
		else if (volume->refusals && !n)
			__atomic_fetch_sub(&cell->nrefusing, 1, __ATOMIC_RELAXED);
		volume->refusal = code;
		volume->refusals = n;
	}
	rx_mutex_unlock(&cell->lock);
	return volume;
}

void cell_act_expire(struct cell *cell, int32_t id, int64_t until)
{
	struct cell_principal *p;

	rx_mutex_lock(&cell->lock);
	p = cell_principal_by_id(cell, id);
	if (p && until > p->expired_until)
		p->expired_until = until;
	rx_mutex_unlock(&cell->lock);
}

void cell_act_expire_all(struct cell *cell, int32_t id)
{
	struct cell_principal *p;
	int64_t last = 0;

	rx_mutex_lock(&cell->lock);
	p = cell_principal_by_id(cell, id);
	if (p)
		last = p->last_ticket;
	rx_mutex_unlock(&cell->lock);
	cell_act_expire(cell, id, last);
}

void cell_act_restart_fs(struct cell_fs *fs)
{
	rx_mutex_lock(&fs->cell->lock);
	__atomic_fetch_add(&fs->life, 1, __ATOMIC_RELAXED);
	rx_loop_restart(fs->loop);
	rx_loop_restart(fs->vol_loop);
	cell_hosts_forget(fs);
	fs->started = (uint32_t)cell_now(fs->cell);
	rx_mutex_unlock(&fs->cell->lock);
}

void cell_act_restart_db(struct cell *cell)
{
	rx_loop_restart(cell->vl_loop);
	rx_loop_restart(cell->pt_loop);
}

void cell_act_down(struct cell *cell, struct cell_fs *fs, uint64_t us)
{
	rx_loop_deafen(fs ? fs->loop : cell->vl_loop, us);
	rx_loop_deafen(fs ? fs->vol_loop : cell->pt_loop, us);
}

void cell_act_clock(struct cell *cell, int64_t ahead_s)
{
	__atomic_store_n(&cell->clock_ahead_s, ahead_s, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < cell->nfs; i++) {
		rx_loop_set_clock(cell->fs[i].loop, ahead_s);
		rx_loop_set_clock(cell->fs[i].vol_loop, ahead_s);
	}
	rx_loop_set_clock(cell->vl_loop, ahead_s);
	rx_loop_set_clock(cell->pt_loop, ahead_s);
}
