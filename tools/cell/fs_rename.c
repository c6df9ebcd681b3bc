/* Rename, the one operation on two directories and up to two objects. All four must be free
 * at one moment; then it happens at once under cell->lock. Runs on worker threads. */
#include <errno.h>

#include "tools/cell/internal.h"

enum { LOOP = 90 }; /* meant as ELOOP, but this is what servers say */

struct move {
	struct cell_vnode *from, *to; /* directories */
	struct cell_vnode *v, *old;   /* what moves; what was at the new name, or NULL */
};

static bool bad_name(const char *name)
{
	return !*name || !strcmp(name, ".") || !strcmp(name, "..");
}

/* Finds all, in one go; waits and starts again while anything is busy. */
static int32_t find(struct cell_request *rq, const struct afs_Rename_in *in, struct move *m)
{
	for (;;) {
		int32_t code = cell_get_dir(rq, &in->old_dir, CELL_CHANGE, &m->from);

		if (code == 0)
			code = cell_get_dir(rq, &in->new_dir, CELL_CHANGE, &m->to);
		if (code)
			return code;
		m->from = cell_vnode_find(m->to->volume, in->old_dir.vnode, in->old_dir.unique);
		if (!m->from)
			return CELL_VNOVNODE;
		code = cell_may_change(m->from, &rq->caller, CM_RIGHT_DELETE);
		if (code == 0)
			code = cell_may_change(m->to, &rq->caller, CM_RIGHT_INSERT);
		if (code == 0)
			code = cell_dir_find(m->from, in->old_name, &m->v);
		if (code)
			return code;
		m->old = NULL;
		code = cell_dir_find(m->to, in->new_name, &m->old);
		if (code && code != ENOENT)
			return code;
		if (!cell_vnode_busy(m->from, true) && !cell_vnode_busy(m->v, true) &&
		    !(m->old && cell_vnode_busy(m->old, true)))
			return 0;
		rx_cond_wait(&rq->cell->moved, &rq->cell->lock, UINT64_MAX);
	}
}

static bool is_inside(const struct cell_vnode *dir, const struct cell_vnode *top)
{
	while (dir && dir != top && !(dir->vnode == 1))
		dir = cell_vnode_find(dir->volume, dir->parent_vnode, dir->parent_unique);
	return dir == top;
}

static int32_t check(struct cell_request *rq, const struct move *m)
{
	bool dir = m->v->type == AFS_TYPE_DIR;

	if (m->old == m->v)
		return EINVAL;
	if (m->from != m->to && !dir && m->v->links > 1)
		return EXDEV;
	if (dir && is_inside(m->to, m->v))
		return LOOP;
	if (!m->old)
		return 0;
	if (cell_may_change(m->to, &rq->caller, CM_RIGHT_DELETE))
		return EACCES;
	if (m->old->type == AFS_TYPE_DIR && !dir)
		return EISDIR;
	if (m->old->type != AFS_TYPE_DIR && dir)
		return ENOTDIR;
	if (dir && !cm_dir_is_empty(m->old->dir.data, m->old->dir.len))
		return EEXIST;
	return 0;
}

static int32_t move(struct cell_request *rq, const struct afs_Rename_in *in, struct move *m)
{
	bool dir = m->v->type == AFS_TYPE_DIR;
	int32_t code = 0;

	if (m->old)
		code = cell_dir_remove(m->to, in->new_name);
	if (code == 0)
		code = cell_dir_add(m->to, in->new_name, m->v->vnode, m->v->unique);
	if (code == 0)
		code = cell_dir_remove(m->from, in->old_name);
	if (code)
		return code;
	if (m->old && dir) {
		m->to->links--;
		cell_vnode_free(m->old);
	} else if (m->old) {
		cell_drop_link(rq, m->old);
	}
	if (m->from != m->to && dir) {
		m->from->links--;
		m->to->links++;
		code = cell_dir_set_parent(m->v, m->to);
		cell_vnode_changed(m->v, &rq->caller);
		cell_break_vnode(&rq->breaks, m->v, NULL);
	} else if (!dir) {
		m->v->parent_vnode = m->to->vnode;
		m->v->parent_unique = m->to->unique;
	}
	cell_note_vnode(m->v);
	return code;
}

int32_t cell_op_Rename(struct rx_call *call, const struct afs_Rename_in *in, struct afs_Rename_out *out, void *arg)
{
	struct cell_request *rq = arg;
	struct move m;
	int32_t code;

	(void)call;
	if (in->old_dir.volume != in->new_dir.volume)
		return EXDEV;
	if (bad_name(in->old_name) || bad_name(in->new_name) || cell_name_check(in->new_name))
		return EINVAL;
	cell_begin(rq);
	code = find(rq, in, &m);
	if (code == 0)
		code = check(rq, &m);
	if (code == 0)
		code = move(rq, in, &m);
	if (code == 0) {
		cell_dir_changed(rq, m.from);
		if (m.to != m.from)
			cell_dir_changed(rq, m.to);
		cell_fill_status(rq, m.from, &out->old_dir_status);
		cell_fill_status(rq, m.to, &out->new_dir_status);
		cell_fill_sync(m.to, &out->sync);
	}
	return cell_end(rq, code);
}
