/* Attributes, access control lists and what is known of volumes. Called on any thread,
 * without locks; one RPC each, inside the rotation loop. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cm/internal.h"

int cm_setattr(struct cm_vnode *v, struct cm_token *t, const struct cm_setattr *attr, struct rx_error *err)
{
	struct afs_StoreStatus_in in = { .fid = cm_fid_wire(&v->fid) };
	struct afs_StoreStatus_out out;
	struct cm_reply r = { .kind = CM_REPLY_MUTATION, .status = &out.status, .sync = &out.sync };
	struct cm_noted q;
	struct cm_op op;
	int rc;

	cm_store_status(attr, &in.status);
	if (in.status.mask == 0)
		return 0;
	cm_mutate_begin(v);
	cm_op_begin(&op, v, t, "StoreStatus", 0);
	while (cm_op_next(&op)) {
		cm_vnode_note(v, op.server, &q);
		cm_op_result(&op, afs_StoreStatus(&op.rpc, &in, &out, &op.error));
	}
	rc = cm_op_end(&op, err);
	if (rc) {
		if (cm_op_unsure(&op))
			cm_vnode_break(v);
		rc = cm_advise(v, t, attr->set_owner || attr->set_group ? 0 : CM_RIGHT_WRITE, err);
	} else {
		r.server = op.server;
		rc = cm_vnode_apply(v, t, &q, &r, err);
	}
	cm_mutate_end(v);
	return rc;
}

void cm_store_status(const struct cm_setattr *attr, struct afs_store_status *out)
{
	memset(out, 0, sizeof(*out));
	if (attr->set_mode) {
		out->mask |= AFS_SET_MODE;
		out->mode = attr->mode & 07777;
	}
	if (attr->set_mtime) {
		out->mask |= AFS_SET_MTIME;
		out->client_mtime = (uint32_t)attr->mtime;
	}
	if (attr->set_owner) {
		out->mask |= AFS_SET_OWNER;
		out->owner = (int32_t)attr->owner;
	}
	if (attr->set_group) {
		out->mask |= AFS_SET_GROUP;
		out->group = (int32_t)attr->group;
	}
}

int cm_acl_fetch(struct cm_vnode *v, struct cm_token *t, char **text, struct rx_error *err)
{
	struct afs_FetchACL_in in = { .fid = cm_fid_wire(&v->fid) };
	struct afs_FetchACL_out out;
	struct cm_op op;

	*text = NULL;
	cm_op_begin(&op, v, t, "FetchACL", 0);
	while (cm_op_next(&op))
		cm_op_result(&op, afs_FetchACL(&op.rpc, &in, &out, &op.error));
	if (cm_op_end(&op, err))
		return cm_advise(v, t, v->fid.vnode % 2 ? CM_RIGHT_LOOKUP : CM_RIGHT_READ, err);
	*text = strndup(out.acl.data ? (const char *)out.acl.data : "", out.acl.len);
	afs_FetchACL_free(&out);
	return *text ? 0 : rx_error_errno(err, ENOMEM, "reading an ACL");
}

/* Servers to 1.8 know only the old number of the call. */
static int call_store_acl(struct cm_op *op, const struct afs_StoreACL_in *in, struct afs_StoreACL_out *out)
{
	struct afs_OldStoreACL_in old_in = { .dir = in->dir, .acl = in->acl };
	struct afs_OldStoreACL_out old;
	int rc;

	if (!op->server->no_store_acl) {
		rc = afs_StoreACL(&op->rpc, in, out, &op->error);
		if (rc == 0 || op->error.code != RXGEN_OPCODE)
			return rc;
		op->server->no_store_acl = true;
	}
	rc = afs_OldStoreACL(&op->rpc, &old_in, &old, &op->error);
	if (rc == 0) {
		out->status = old.status;
		out->sync = old.sync;
	}
	return rc;
}

int cm_acl_store(struct cm_vnode *v, struct cm_token *t, const char *text, struct rx_error *err)
{
	struct afs_StoreACL_in in = { .dir = cm_fid_wire(&v->fid) };
	struct afs_StoreACL_out out;
	struct cm_reply r = { .kind = CM_REPLY_MUTATION, .status = &out.status, .sync = &out.sync };
	struct cm_noted q;
	struct cm_op op;
	char where[384];
	int rc;

	if (v->fid.vnode % 2 == 0)
		return rx_error_set(err, RX_ORIGIN_ERRNO, ENOTDIR, ENOTDIR,
				    "%s is not a directory: only they have ACLs", cm_vnode_text(v, where));
	/* The server wants the NUL. */
	in.acl.len = (uint32_t)strlen(text) + 1;
	in.acl.data = (uint8_t *)(uintptr_t)text;
	cm_mutate_begin(v);
	cm_op_begin(&op, v, t, "StoreACL", 0);
	while (cm_op_next(&op)) {
		cm_vnode_note(v, op.server, &q);
		cm_op_result(&op, call_store_acl(&op, &in, &out));
	}
	rc = cm_op_end(&op, err);
	if (rc) {
		if (cm_op_unsure(&op))
			cm_vnode_break(v);
		rc = cm_advise(v, t, CM_RIGHT_ADMINISTER, err);
	} else {
		r.server = op.server;
		rc = cm_vnode_apply(v, t, &q, &r, err);
		/* Everybody is told of the new ACL but us: rights here and in the files below. */
		cm_vnode_break(v);
	}
	cm_mutate_end(v);
	return rc;
}

static uint64_t kib(int32_t n)
{
	return n < 0 ? 0 : (uint64_t)n;
}

int cm_volume_status(struct cm_vnode *v, struct cm_token *t, struct cm_volume_status *out, struct rx_error *err)
{
	struct afs_GetVolumeStatus_in in = { .volume = v->fid.volume };
	struct afs_GetVolumeStatus_out reply;
	struct cm_op op;

	memset(out, 0, sizeof(*out));
	cm_op_begin(&op, v, t, "GetVolumeStatus", 0);
	while (cm_op_next(&op))
		cm_op_result(&op, afs_GetVolumeStatus(&op.rpc, &in, &reply, &op.error));
	if (cm_op_end(&op, err))
		return -1;
	out->volume = reply.status.volume;
	out->parent = reply.status.parent;
	snprintf(out->name, sizeof(out->name), "%s", reply.name ? reply.name : "");
	out->quota_kib = kib(reply.status.max_quota);
	out->used_kib = kib(reply.status.blocks_in_use);
	out->partition_free_kib = kib(reply.status.part_blocks_avail);
	out->partition_size_kib = kib(reply.status.part_max_blocks);
	out->read_only = reply.status.type == 0;
	out->online = reply.status.online != 0;
	afs_GetVolumeStatus_free(&reply);
	return 0;
}

static void describe(struct cm_family *f, struct cm_volume_info *out)
{
	struct cm *cm = f->cell->cm;

	memset(out, 0, sizeof(*out));
	snprintf(out->cell, sizeof(out->cell), "%s", f->cell->name);
	cm_family_ids(f, out->ids, out->name);
	rx_mutex_lock(&cm->lock);
	for (unsigned i = 0; i < f->nsites; i++) {
		struct cm_site *s = &out->sites[out->nsites];

		if (f->sites[i].server->naddrs == 0)
			continue;
		s->addr = f->sites[i].server->addrs[0].addr;
		s->partition = f->sites[i].partition;
		s->flags = f->sites[i].flags;
		out->nsites++;
	}
	rx_mutex_unlock(&cm->lock);
}

int cm_volume_info(struct cm_vnode *v, struct cm_volume_info *out, struct rx_error *err)
{
	if (!v->volume)
		return rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "/afs lies in no volume");
	describe(v->volume->family, out);
	return 0;
}

int cm_volume_info_by_name(struct cm *cm, const char *cell, const char *name, struct cm_volume_info *out,
			   struct rx_error *err)
{
	struct cm_cell *c = cell ? cm_cell_find(cm, cell, err) : cm->local;
	struct cm_family *f;
	struct cm_mount m;

	if (!c)
		return -1;
	if (cm_mount_parse_volume(name, &m))
		return rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "\"%.80s\" cannot be the name of a volume",
				    name);
	if (cm_family_get(c, m.volume, &f, err))
		return -1;
	describe(f, out);
	return 0;
}
