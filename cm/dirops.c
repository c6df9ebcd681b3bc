/* Changes of directories: create, make, link, remove, rename, and listing. Called on any
 * thread without locks; a directory's bit `mutating` is held over each change, so that
 * its versions can be counted. A change whose reply was lost is never sent again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cm/dir.h"
#include "cm/internal.h"
#include "rx/maybe.h"

enum { LINK_MODE = 0777, MOUNT_MODE = 0644, FILE_MODE = 0644, DIR_MODE = 0755 };

static int check_name(const char *name, struct rx_error *err)
{
	size_t n = strlen(name);

	if (n == 0 || strchr(name, '/'))
		return rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "\"%.100s\" cannot be a name", name);
	if (n > CM_DIR_POSIX_MAX)
		return rx_error_errno(err, ENAMETOOLONG, "\"%.100s...\"", name);
	return 0;
}

int cm_readdir(struct cm_vnode *dir, struct cm_token *t, cm_dirent_fn *cb, void *arg, struct rx_error *err)
{
	struct cm_dir_entry e;
	struct cm_blob *blob;
	uint32_t cookie = 0;

	if (!dir->volume) {
		struct cm_cell *c;

		for (unsigned i = 0; (c = cm_cell_nth(dir->cm, i)); i++) {
			struct cm_fid fid = { 0, (uint32_t)c->number * 2 + 1, 1 };

			if (cb(arg, c->name, fid, true))
				break;
		}
		return 0;
	}
	if (cm_dir_blob(dir, t, &blob, err))
		return -1;
	while (cm_dir_next(blob->bytes, blob->len, &cookie, &e)) {
		struct cm_fid fid = { dir->fid.volume, e.vnode, e.unique };

		if (strcmp(e.name, ".") == 0 || strcmp(e.name, "..") == 0)
			continue;
		if (cb(arg, e.name, fid, e.vnode % 2 == 1))
			break;
	}
	cm_blob_put(blob);
	return 0;
}

/* The directory's half of a reply. */
static int apply_dir(struct cm_vnode *dir, struct cm_token *t, const struct cm_noted *q, struct cm_op *op,
		     const struct afs_fetch_status *st, const struct afs_volsync *sync, struct rx_error *err)
{
	struct cm_reply r = {
		.kind = CM_REPLY_MUTATION, .status = st, .sync = sync, .server = op->server, .own_changes = 1
	};

	if (UMAFS_MAYBE(dir->cm->env, BREAK_AFTER_CHANGE))
		cm_vnode_break(dir);
	return cm_vnode_apply(dir, t, q, &r, err);
}

/* What a reply said of a new object: its vnode, with a promise if no break came in between. */
static int adopt(struct cm_vnode *dir, struct cm_token *t, const struct cm_noted *q, struct cm_op *op,
		 const struct afs_fid *wire, const struct afs_fetch_status *st, const struct afs_callback *cb,
		 const struct afs_volsync *sync, struct cm_vnode **out, struct rx_error *err)
{
	struct cm_fid fid = cm_fid_of(wire);
	struct cm_reply r = { .kind = CM_REPLY_READ, .status = st, .callback = cb, .sync = sync, .server = op->server };
	struct cm_noted mine;
	struct cm_vnode *v;

	if (fid.volume != dir->fid.volume || fid.vnode == 0)
		return rx_error_set(err, RX_ORIGIN_ERRNO, EIO, EIO, "the server made %u:%u:%u, which cannot be here",
				    fid.volume, fid.vnode, fid.unique);
	v = cm_vnode_find(dir->volume, &fid);
	if (!v)
		return rx_error_errno(err, ENOMEM, "taking in a new file");
	cm_vnode_note(v, op->server, &mine);
	mine.vol_gen = q->vol_gen;
	mine.srv_gen = q->srv_gen;
	mine.sent_us = q->sent_us;
	if (cb && cm_break_heard(dir->cm, &fid, q->sent_us))
		r.callback = NULL;
	r.keep_rights = !cb;
	if (cm_vnode_apply(v, t, &mine, &r, err)) {
		cm_vnode_put(v);
		return -1;
	}
	*out = v;
	return 0;
}

static void new_status(struct cm_vnode *dir, const struct cm_setattr *attr, uint32_t mode, struct afs_store_status *ss)
{
	static const struct cm_setattr none;

	cm_store_status(attr ? attr : &none, ss);
	if (!(ss->mask & AFS_SET_MODE)) {
		ss->mask |= AFS_SET_MODE;
		ss->mode = mode;
	}
	if (!(ss->mask & AFS_SET_MTIME)) {
		ss->mask |= AFS_SET_MTIME;
		ss->client_mtime = (uint32_t)dir->cm->env->ops->wall_s(dir->cm->env);
	}
}

static int call_make(struct cm_op *op, bool is_dir, const struct afs_CreateFile_in *in, struct afs_CreateFile_out *out)
{
	struct afs_MakeDir_in dir_in = { .dir = in->dir, .name = in->name, .status = in->status };
	struct afs_MakeDir_out made;
	int rc;

	if (!is_dir)
		return afs_CreateFile(&op->rpc, in, out, &op->error);
	rc = afs_MakeDir(&op->rpc, &dir_in, &made, &op->error);
	if (rc == 0) {
		out->fid = made.fid;
		out->status = made.status;
		out->dir_status = made.dir_status;
		out->callback = made.callback;
		out->sync = made.sync;
	}
	return rc;
}

static int make(struct cm_vnode *dir, struct cm_token *t, const char *name, bool is_dir, const struct cm_setattr *attr,
		struct cm_vnode **out, struct rx_error *err)
{
	struct afs_CreateFile_in in = { .dir = cm_fid_wire(&dir->fid), .name = (char *)(uintptr_t)name };
	struct afs_CreateFile_out reply;
	struct cm_dir_edit edit = { .name = name, .add = true };
	struct cm_blob *before;
	struct cm_noted q;
	struct cm_op op;
	int rc;

	*out = NULL;
	if (check_name(name, err))
		return -1;
	new_status(dir, attr, is_dir ? DIR_MODE : FILE_MODE, &in.status);
	cm_mutate_begin(dir);
	before = cm_dir_peek(dir);
	cm_op_begin(&op, dir, t, is_dir ? "MakeDir" : "CreateFile", CM_OP_ONCE);
	while (cm_op_next(&op)) {
		cm_vnode_note(dir, op.server, &q);
		cm_op_result(&op, call_make(&op, is_dir, &in, &reply));
	}
	rc = cm_op_end(&op, err);
	if (rc) {
		cm_op_doubt(&op, dir);
		cm_advise(dir, t, CM_RIGHT_INSERT, err);
		rx_error_prefix(err, "%.80s", name);
	} else {
		rc = apply_dir(dir, t, &q, &op, &reply.dir_status, &reply.sync, err);
		edit.fid = cm_fid_of(&reply.fid);
		cm_dir_edit(dir, rc ? NULL : before, &edit, 1);
		if (rc == 0)
			rc = adopt(dir, t, &q, &op, &reply.fid, &reply.status, &reply.callback, &reply.sync, out, err);
	}
	cm_blob_put(before);
	cm_mutate_end(dir);
	return rc;
}

int cm_create(struct cm_vnode *dir, struct cm_token *t, const char *name, const struct cm_setattr *attr,
	      struct cm_vnode **out, struct rx_error *err)
{
	return make(dir, t, name, false, attr, out, err);
}

int cm_mkdir(struct cm_vnode *dir, struct cm_token *t, const char *name, const struct cm_setattr *attr,
	     struct cm_vnode **out, struct rx_error *err)
{
	return make(dir, t, name, true, attr, out, err);
}

int cm_symlink(struct cm_vnode *dir, struct cm_token *t, const char *name, const char *text, bool mount_point,
	       struct rx_error *err)
{
	struct afs_Symlink_in in = { .dir = cm_fid_wire(&dir->fid),
				     .name = (char *)(uintptr_t)name,
				     .contents = (char *)(uintptr_t)text };
	struct afs_Symlink_out reply;
	struct cm_dir_edit edit = { .name = name, .add = true };
	struct cm_vnode *link = NULL;
	struct cm_blob *before;
	struct cm_noted q;
	struct cm_op op;
	int rc;

	if (check_name(name, err))
		return -1;
	new_status(dir, NULL, mount_point ? MOUNT_MODE : LINK_MODE, &in.status);
	cm_mutate_begin(dir);
	before = cm_dir_peek(dir);
	cm_op_begin(&op, dir, t, "Symlink", CM_OP_ONCE);
	while (cm_op_next(&op)) {
		cm_vnode_note(dir, op.server, &q);
		cm_op_result(&op, afs_Symlink(&op.rpc, &in, &reply, &op.error));
	}
	rc = cm_op_end(&op, err);
	if (rc) {
		cm_op_doubt(&op, dir);
		cm_advise(dir, t, mount_point ? CM_RIGHT_ADMINISTER : CM_RIGHT_INSERT, err);
		rx_error_prefix(err, "%.80s", name);
	} else {
		rc = apply_dir(dir, t, &q, &op, &reply.dir_status, &reply.sync, err);
		edit.fid = cm_fid_of(&reply.fid);
		cm_dir_edit(dir, rc ? NULL : before, &edit, 1);
		if (rc == 0)
			rc = adopt(dir, t, &q, &op, &reply.fid, &reply.status, NULL, &reply.sync, &link, err);
		cm_vnode_put(link);
	}
	cm_blob_put(before);
	cm_mutate_end(dir);
	return rc;
}

int cm_link(struct cm_vnode *dir, struct cm_token *t, const char *name, struct cm_vnode *file, struct rx_error *err)
{
	struct afs_Link_in in = { .dir = cm_fid_wire(&dir->fid),
				  .name = (char *)(uintptr_t)name,
				  .existing = cm_fid_wire(&file->fid) };
	struct afs_Link_out reply;
	struct cm_reply r = {
		.kind = CM_REPLY_MUTATION, .status = &reply.status, .sync = &reply.sync, .keep_rights = true
	};
	struct cm_dir_edit edit = { .name = name, .add = true, .fid = file->fid };
	struct cm_blob *before;
	struct cm_noted q, fq;
	struct cm_op op;
	int rc;

	if (check_name(name, err))
		return -1;
	if (file->volume != dir->volume)
		return rx_error_errno(err, EXDEV, "linking %.80s", name);
	cm_mutate_begin2(dir, file);
	before = cm_dir_peek(dir);
	cm_op_begin(&op, dir, t, "Link", CM_OP_ONCE);
	while (cm_op_next(&op)) {
		cm_vnode_note(dir, op.server, &q);
		cm_vnode_note(file, op.server, &fq);
		cm_op_result(&op, afs_Link(&op.rpc, &in, &reply, &op.error));
	}
	rc = cm_op_end(&op, err);
	if (rc) {
		cm_op_doubt(&op, dir);
		cm_op_doubt(&op, file);
		if (err && err->code != 102)
			cm_advise(dir, t, CM_RIGHT_INSERT, err);
		rx_error_prefix(err, "%.80s", name);
	} else {
		rc = apply_dir(dir, t, &q, &op, &reply.dir_status, &reply.sync, err);
		cm_dir_edit(dir, rc ? NULL : before, &edit, 1);
		r.server = op.server;
		if (rc == 0)
			rc = cm_vnode_apply(file, t, &fq, &r, err);
	}
	cm_blob_put(before);
	cm_mutate_end2(dir, file);
	return rc;
}

/* The vnode that a name leads to as far as we know, to be told that it lost the name. */
static struct cm_vnode *victim_of(struct cm_vnode *dir, struct cm_blob *blob, const char *name)
{
	struct cm_dir_entry e;
	struct cm_fid fid;

	if (!blob || !cm_dir_lookup(blob->bytes, blob->len, name, &e))
		return NULL;
	fid = (struct cm_fid){ dir->fid.volume, e.vnode, e.unique };
	return cm_vnode_find(dir->volume, &fid);
}

static void tell_victim(struct cm_vnode *victim)
{
	if (victim)
		cm_vnode_break(victim);
	cm_vnode_put(victim);
}

static void doubt_victim(const struct cm_op *op, struct cm_vnode *victim)
{
	cm_op_doubt(op, victim);
	cm_vnode_put(victim);
}

static void not_empty(struct rx_error *err)
{
	static const char text[] = "the directory is not empty";

	if (!err || err->errnum != EEXIST)
		return;
	err->errnum = ENOTEMPTY;
	memcpy(err->text, text, sizeof(text));
}

static int call_remove(struct cm_op *op, bool is_dir, const struct afs_RemoveFile_in *in,
		       struct afs_RemoveFile_out *out)
{
	struct afs_RemoveDir_in dir_in = { .dir = in->dir, .name = in->name };
	struct afs_RemoveDir_out gone;
	int rc;

	if (!is_dir)
		return afs_RemoveFile(&op->rpc, in, out, &op->error);
	rc = afs_RemoveDir(&op->rpc, &dir_in, &gone, &op->error);
	if (rc == 0) {
		out->dir_status = gone.dir_status;
		out->sync = gone.sync;
	}
	return rc;
}

static int take_away(struct cm_vnode *dir, struct cm_token *t, const char *name, bool is_dir, struct rx_error *err)
{
	struct afs_RemoveFile_in in = { .dir = cm_fid_wire(&dir->fid), .name = (char *)(uintptr_t)name };
	struct afs_RemoveFile_out reply;
	struct cm_dir_edit edit = { .name = name };
	struct cm_blob *before;
	struct cm_noted q;
	struct cm_op op;
	int rc;

	if (check_name(name, err))
		return -1;
	cm_mutate_begin(dir);
	before = cm_dir_peek(dir);
	cm_op_begin(&op, dir, t, is_dir ? "RemoveDir" : "RemoveFile", CM_OP_ONCE);
	while (cm_op_next(&op)) {
		cm_vnode_note(dir, op.server, &q);
		cm_op_result(&op, call_remove(&op, is_dir, &in, &reply));
	}
	rc = cm_op_end(&op, err);
	if (rc) {
		cm_op_doubt(&op, dir);
		doubt_victim(&op, victim_of(dir, before, name));
		cm_advise(dir, t, CM_RIGHT_DELETE, err);
		if (is_dir)
			not_empty(err);
		rx_error_prefix(err, "%.80s", name);
	} else {
		rc = apply_dir(dir, t, &q, &op, &reply.dir_status, &reply.sync, err);
		cm_dir_edit(dir, rc ? NULL : before, &edit, 1);
		tell_victim(victim_of(dir, before, name));
	}
	cm_blob_put(before);
	cm_mutate_end(dir);
	return rc;
}

int cm_unlink(struct cm_vnode *dir, struct cm_token *t, const char *name, struct rx_error *err)
{
	return take_away(dir, t, name, false, err);
}

int cm_rmdir(struct cm_vnode *dir, struct cm_token *t, const char *name, struct rx_error *err)
{
	return take_away(dir, t, name, true, err);
}

/* One Rename and its two directories; with both bits held. moved: what from_name is. */
static int rename_locked(struct cm_vnode *from, const char *from_name, struct cm_vnode *to, const char *to_name,
			 struct cm_token *t, struct cm_vnode *moved, struct rx_error *err)
{
	struct afs_Rename_in in = { .old_dir = cm_fid_wire(&from->fid),
				    .old_name = (char *)(uintptr_t)from_name,
				    .new_dir = cm_fid_wire(&to->fid),
				    .new_name = (char *)(uintptr_t)to_name };
	struct afs_Rename_out reply;
	struct cm_dir_edit edits[] = { { .name = from_name },
				       { .name = to_name, .may_lack = true },
				       { .name = to_name, .add = true, .fid = moved->fid } };
	struct cm_blob *before = cm_dir_peek(from), *before_to = cm_dir_peek(to);
	struct cm_noted q, tq;
	struct cm_op op;
	int rc;

	cm_op_begin(&op, from, t, "Rename", CM_OP_ONCE);
	while (cm_op_next(&op)) {
		cm_vnode_note(from, op.server, &q);
		cm_vnode_note(to, op.server, &tq);
		cm_op_result(&op, afs_Rename(&op.rpc, &in, &reply, &op.error));
	}
	rc = cm_op_end(&op, err);
	if (rc) {
		cm_op_doubt(&op, from);
		cm_op_doubt(&op, to);
		cm_op_doubt(&op, moved);
		doubt_victim(&op, victim_of(to, before_to, to_name));
	}
	if (rc == 0) {
		tell_victim(victim_of(to, before_to, to_name));
		rc = apply_dir(from, t, &q, &op, &reply.old_dir_status, &reply.sync, err);
		cm_dir_edit(from, rc ? NULL : before, edits, from == to ? 3 : 1);
		if (from != to) {
			int rc2 = apply_dir(to, t, &tq, &op, &reply.new_dir_status, &reply.sync, err);

			cm_dir_edit(to, rc2 ? NULL : before_to, edits + 1, 2);
			rc = rc ? rc : rc2;
			/* Its parent, and so the ACL that rules it, is another one now. */
			cm_dir_forget(moved);
			cm_vnode_break(moved);
		}
	} else if (err && err->code != 102) {
		cm_advise(from, t, CM_RIGHT_DELETE, err);
		not_empty(err);
		/* Linux servers mistranslate "into its own child". */
		if (err->errnum == EMSGSIZE || err->errnum == ELOOP)
			err->errnum = EINVAL;
	}
	cm_blob_put(before);
	cm_blob_put(before_to);
	return rc;
}

int cm_rename(struct cm_vnode *from, const char *from_name, struct cm_vnode *to, const char *to_name,
	      struct cm_token *t, struct rx_error *err)
{
	struct cm_vnode *moved, *target;
	bool same;
	int rc;

	if (check_name(from_name, err) || check_name(to_name, err))
		return -1;
	if (!from->volume || from->volume != to->volume)
		return rx_error_errno(err, EXDEV, "renaming %.80s to %.80s", from_name, to_name);
	if (cm_lookup(from, t, from_name, &moved, err))
		return -1;
	if (cm_lookup(to, t, to_name, &target, NULL) == 0) {
		same = target == moved;
		cm_vnode_put(target);
		/* Two names of one file: nothing to do, says POSIX. */
		if (same) {
			cm_vnode_put(moved);
			return 0;
		}
	}
	/* Who writes a file and renames it over another expects the bytes to be there. */
	rc = cm_records_dirty(&moved->records) > 0 ? cm_flush(moved, t, 0, UINT64_MAX, false, err) : 0;
	if (rc == 0) {
		cm_mutate_begin2(from, to);
		rc = rename_locked(from, from_name, to, to_name, t, moved, err);
		cm_mutate_end2(from, to);
	}
	if (rc)
		rx_error_prefix(err, "renaming %.60s to %.60s", from_name, to_name);
	cm_vnode_put(moved);
	return rc;
}
