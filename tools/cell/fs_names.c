/* The file server's operations on names: create, make directories and links, remove. Each
 * happens at once under cell->lock; breaks go out behind it, before the reply. Run on worker
 * threads. */
#include <errno.h>
#include <stdlib.h>

#include "tools/cell/internal.h"

/* A directory to change, when whoever reads it is done; and the right to it. */
static int32_t get_dir(struct cell_request *rq, const struct afs_fid *fid, uint32_t right, struct cell_vnode **dir)
{
	int32_t code = cell_get_dir(rq, fid, CELL_CHANGE, dir);

	return code ? code : cell_may_change(*dir, &rq->caller, right);
}

/* ---- making ---- */

static int32_t may_add(struct cell_vnode *dir, const char *name)
{
	struct cm_dir_entry e;
	int32_t code = cell_name_check(name);

	if (code == 0 && cm_dir_lookup(dir->dir.data, dir->dir.len, name, &e))
		return EEXIST;
	return code;
}

/* A new vnode under that name. Lock held; dir is free to change. */
static int32_t make(struct cell_request *rq, struct cell_vnode *dir, const char *name, uint32_t type,
		    const struct afs_store_status *ss, const char *contents, struct cell_vnode **out)
{
	struct cell_vnode *v;
	int32_t code = may_add(dir, name);

	if (code)
		return code;
	v = cell_vnode_new(dir->volume, type, &code);
	if (!v)
		return code;
	v->mode = 0777;
	v->owner = v->author = rq->caller.id;
	v->group = dir->group;
	v->links = type == AFS_TYPE_DIR ? 2 : 1;
	v->parent_vnode = dir->vnode;
	v->parent_unique = dir->unique;
	v->mtime = (uint32_t)cell_now(rq->cell);
	cell_apply_status(v, ss);
	if (!rq->caller.admin)
		v->mode &= 01777;
	if (type == AFS_TYPE_DIR) {
		v->acl = dir->acl;
		code = cell_dir_new(v, dir);
	} else if (type == AFS_TYPE_SYMLINK) {
		v->link = strdup(contents ? contents : "");
		code = v->link ? 0 : ENOMEM;
		if (code == 0)
			cell_set_length(v, strlen(v->link));
	}
	if (code) {
		cell_vnode_discard(v);
		return code;
	}
	cell_note_vnode(v);
	code = cell_dir_add(dir, name, v->vnode, v->unique);
	if (code)
		cell_vnode_free(v);
	*out = v;
	return code;
}

int32_t cell_op_CreateFile(struct rx_call *call, const struct afs_CreateFile_in *in, struct afs_CreateFile_out *out,
			   void *arg)
{
	struct cell_request *rq = arg;
	struct cell_vnode *dir, *v;
	int32_t code;

	(void)call;
	cell_begin(rq);
	code = get_dir(rq, &in->dir, CM_RIGHT_INSERT, &dir);
	if (code == 0)
		code = make(rq, dir, in->name, AFS_TYPE_FILE, &in->status, NULL, &v);
	if (code == 0) {
		cell_dir_changed(rq, dir);
		out->fid = cell_fid(v);
		cell_fill_status(rq, v, &out->status);
		out->status.caller_access |= CM_RIGHT_ADMINISTER;
		cell_fill_status(rq, dir, &out->dir_status);
		cell_fill_sync(dir, &out->sync);
		cell_promise(rq, v, false, &out->callback);
	}
	return cell_end(rq, code);
}

int32_t cell_op_MakeDir(struct rx_call *call, const struct afs_MakeDir_in *in, struct afs_MakeDir_out *out, void *arg)
{
	struct cell_request *rq = arg;
	struct cell_vnode *dir, *v;
	int32_t code;

	(void)call;
	cell_begin(rq);
	code = get_dir(rq, &in->dir, CM_RIGHT_INSERT, &dir);
	if (code == 0)
		code = make(rq, dir, in->name, AFS_TYPE_DIR, &in->status, NULL, &v);
	if (code == 0) {
		dir->links++;
		cell_dir_changed(rq, dir);
		out->fid = cell_fid(v);
		cell_fill_status(rq, v, &out->status);
		cell_fill_status(rq, dir, &out->dir_status);
		cell_fill_sync(dir, &out->sync);
		cell_promise(rq, v, false, &out->callback);
	}
	return cell_end(rq, code);
}

int32_t cell_op_Symlink(struct rx_call *call, const struct afs_Symlink_in *in, struct afs_Symlink_out *out, void *arg)
{
	struct cell_request *rq = arg;
	bool mount = in->status.mask & AFS_SET_MODE && !(in->status.mode & 0111);
	struct cell_vnode *dir, *v;
	int32_t code;

	(void)call;
	cell_begin(rq);
	code = get_dir(rq, &in->dir, CM_RIGHT_INSERT, &dir);
	if (code == 0 && mount && !rq->caller.admin)
		code = cell_may_change(dir, &rq->caller, CM_RIGHT_ADMINISTER);
	if (code == 0)
		code = make(rq, dir, in->name, AFS_TYPE_SYMLINK, &in->status, in->contents, &v);
	if (code == 0) {
		cell_dir_changed(rq, dir);
		out->fid = cell_fid(v);
		cell_fill_status(rq, v, &out->status);
		cell_rights(dir, &rq->caller, &out->status.caller_access, &out->status.anonymous_access);
		cell_fill_status(rq, dir, &out->dir_status);
		cell_fill_sync(dir, &out->sync);
	}
	return cell_end(rq, code);
}

int32_t cell_op_Link(struct rx_call *call, const struct afs_Link_in *in, struct afs_Link_out *out, void *arg)
{
	struct cell_request *rq = arg;
	struct cell_vnode *dir, *v;
	int32_t code;

	(void)call;
	cell_begin(rq);
	/* The file first: finding it may mean to wait, the directory is then as it is found. */
	code = in->existing.volume == in->dir.volume ? cell_get(rq, &in->existing, CELL_CHANGE, &v) : EXDEV;
	if (code == 0)
		code = get_dir(rq, &in->dir, CM_RIGHT_INSERT, &dir);
	v = code ? NULL : cell_vnode_find(dir->volume, in->existing.vnode, in->existing.unique);
	if (code == 0 && !v)
		code = CELL_VNOVNODE;
	if (code == 0 && v->type != AFS_TYPE_FILE)
		code = EISDIR;
	if (code == 0 && (v->parent_vnode != dir->vnode || v->parent_unique != dir->unique))
		code = EXDEV;
	if (code == 0)
		code = may_add(dir, in->name);
	if (code == 0)
		code = cell_dir_add(dir, in->name, v->vnode, v->unique);
	if (code == 0) {
		v->links++;
		v->server_mtime = (uint32_t)cell_now(rq->cell);
		cell_note_vnode(v);
		cell_break_vnode(&rq->breaks, v, rq->host);
		cell_dir_changed(rq, dir);
		cell_fill_status(rq, v, &out->status);
		cell_rights(dir, &rq->caller, &out->status.caller_access, &out->status.anonymous_access);
		cell_fill_status(rq, dir, &out->dir_status);
		cell_fill_sync(dir, &out->sync);
	}
	return cell_end(rq, code);
}

/* ---- removing ---- */

/* The directory and what is to be removed from it, both free to change. */
static int32_t get_victim(struct cell_request *rq, const struct afs_fid *fid, const char *name, struct cell_vnode **dir,
			  struct cell_vnode **victim)
{
	for (;;) {
		int32_t code = get_dir(rq, fid, CM_RIGHT_DELETE, dir);

		if (code)
			return code;
		if (!*name)
			return ENOENT;
		if (!strcmp(name, ".") || !strcmp(name, ".."))
			return EINVAL;
		code = cell_dir_find(*dir, name, victim);
		if (code || !cell_vnode_busy(*victim, true))
			return code;
		rx_cond_wait(&rq->cell->moved, &rq->cell->lock, UINT64_MAX);
	}
}

int32_t cell_op_RemoveFile(struct rx_call *call, const struct afs_RemoveFile_in *in, struct afs_RemoveFile_out *out,
			   void *arg)
{
	struct cell_request *rq = arg;
	struct cell_vnode *dir, *v;
	int32_t code;

	(void)call;
	cell_begin(rq);
	code = get_victim(rq, &in->dir, in->name, &dir, &v);
	if (code == 0 && v->type == AFS_TYPE_DIR)
		code = EISDIR;
	if (code == 0)
		code = cell_dir_remove(dir, in->name);
	if (code == 0) {
		cell_drop_link(rq, v);
		cell_dir_changed(rq, dir);
		cell_fill_status(rq, dir, &out->dir_status);
		cell_fill_sync(dir, &out->sync);
	}
	return cell_end(rq, code);
}

/* Who has a promise on a file that lives on is told, the caller too. */
void cell_drop_link(struct cell_request *rq, struct cell_vnode *v)
{
	if (--v->links == 0) {
		cell_vnode_free(v);
		return;
	}
	v->server_mtime = (uint32_t)cell_now(v->volume->cell);
	cell_note_vnode(v);
	cell_break_vnode(&rq->breaks, v, NULL);
}

int32_t cell_op_RemoveDir(struct rx_call *call, const struct afs_RemoveDir_in *in, struct afs_RemoveDir_out *out,
			  void *arg)
{
	struct cell_request *rq = arg;
	struct cell_vnode *dir, *v;
	int32_t code;

	(void)call;
	cell_begin(rq);
	code = get_victim(rq, &in->dir, in->name, &dir, &v);
	if (code == 0 && v->type != AFS_TYPE_DIR)
		code = ENOTDIR;
	if (code == 0 && !cm_dir_is_empty(v->dir.data, v->dir.len))
		code = EEXIST;
	if (code == 0)
		code = cell_dir_remove(dir, in->name);
	if (code == 0) {
		cell_vnode_free(v);
		dir->links--;
		cell_dir_changed(rq, dir);
		cell_fill_status(rq, dir, &out->dir_status);
		cell_fill_sync(dir, &out->sync);
	}
	return cell_end(rq, code);
}
