/* Status of vnodes: what a reply may change, asking for it, sizes, validation. Called
 * on any thread; a vnode's lock guards its status and is never held over an RPC. The
 * rules of versions and promises are in cm/promise.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cm/internal.h"
#include "rx/maybe.h"

enum { LONE_RIGHTS_US = 60 * 1000000, PREFETCH_MAX = AFS_CB_MAX };

void cm_vnode_note(struct cm_vnode *v, struct cm_server *s, struct cm_noted *q)
{
	rx_mutex_lock(&v->lock);
	cm_promise_note(&v->promise, v->volume->gen, s->gen, s, rx_now_us(v->cm->env), q);
	if (v->parent)
		q->parent_gen = v->parent->gen_now;
	rx_mutex_unlock(&v->lock);
}

static enum cm_type type_of(const struct afs_fetch_status *st)
{
	switch (st->file_type) {
	case AFS_TYPE_FILE:
		return CM_FILE;
	case AFS_TYPE_DIR:
		return CM_DIR;
	default:
		return st->mode & 0111 ? CM_SYMLINK : CM_MOUNT;
	}
}

/* The local size: the server's, or our own unstored extension's end. With [v] held. */
static void settle_size(struct cm_vnode *v)
{
	if (v->floor <= v->attr.server_size)
		v->floor = 0;
	v->attr.size = v->floor ? v->floor : v->attr.server_size;
}

uint64_t cm_size(const struct cm_vnode *cv)
{
	struct cm_vnode *v = (struct cm_vnode *)cv;
	uint64_t size;

	rx_mutex_lock(&v->lock);
	settle_size(v);
	size = v->attr.size;
	rx_mutex_unlock(&v->lock);
	return size;
}

void cm_extend(struct cm_vnode *v, uint64_t size)
{
	rx_mutex_lock(&v->lock);
	settle_size(v);
	if (size > v->attr.size)
		v->floor = v->attr.size = size;
	rx_mutex_unlock(&v->lock);
}

void cm_settle_size(struct cm_vnode *v, uint64_t seq)
{
	uint64_t reach;

	rx_mutex_lock(&v->lock);
	reach = cm_records_reach(&v->records, seq);
	v->floor = reach < v->floor ? reach : v->floor;
	settle_size(v);
	rx_mutex_unlock(&v->lock);
}

void cm_size_cut(struct cm_vnode *v, uint64_t size)
{
	rx_mutex_lock(&v->lock);
	v->floor = 0;
	v->attr.size = v->attr.server_size = size;
	rx_mutex_unlock(&v->lock);
}

/* With [v] held. */
static void take_status(struct cm_vnode *v, const struct afs_fetch_status *st)
{
	struct cm_attr *a = &v->attr;

	a->type = type_of(st);
	a->server_size = afs_status_length(st);
	a->data_version = v->version_now = afs_status_version(st);
	a->mode = st->mode & 07777;
	a->owner = (uint32_t)st->owner;
	a->group = (uint32_t)st->group;
	a->author = (uint32_t)st->author;
	a->nlink = st->link_count;
	a->mtime = st->client_mtime;
	a->server_mtime = st->server_mtime;
	a->anonymous_rights = st->anonymous_access;
	a->lock_count = st->lock_count;
	settle_size(v);
	if (v->blob && v->blob->version != a->data_version) {
		cm_blob_put(v->blob);
		v->blob = NULL;
	}
}

static bool is_stale(const struct cm_vnode *v, const struct cm_noted *q, const struct cm_reply *r)
{
	if (!v->known)
		return false;
	switch (cm_version_order(v->attr.data_version, afs_status_version(r->status))) {
	case CM_ORDER_OLDER:
		/* Asked for after all that we know had come: the server went back, as after a
		 * restore. Else the replies only overtook each other. */
		return q->sent_us < v->arrived_us;
	case CM_ORDER_SAME:
		return r->kind == CM_REPLY_READ && q->sent_us < v->applied_us;
	case CM_ORDER_NEWER:
		break;
	}
	return false;
}

/* Who rules the ACL of v, which is not a directory. Without locks. */
static void learn_parent(struct cm_vnode *v, const struct afs_fetch_status *st)
{
	struct cm_fid fid = { v->fid.volume, st->parent_vnode, st->parent_unique };
	struct cm_vnode *parent, *old;
	bool known;

	if (st->file_type == AFS_TYPE_DIR || fid.vnode == 0 || fid.vnode % 2 == 0)
		return;
	rx_mutex_lock(&v->lock);
	known = v->parent && v->parent->fid.vnode == fid.vnode && v->parent->fid.unique == fid.unique;
	rx_mutex_unlock(&v->lock);
	if (known)
		return;
	parent = cm_vnode_find(v->volume, &fid);
	if (!parent)
		return;
	rx_mutex_lock(&v->lock);
	old = v->parent;
	v->parent = parent;
	rx_mutex_unlock(&v->lock);
	cm_vnode_put(old);
}

static void take_rights(struct cm_vnode *v, struct cm_token *t, const struct cm_noted *q, const struct cm_reply *r)
{
	uint64_t until = UINT64_MAX, gen = q->parent_gen, now = rx_now_us(v->cm->env);

	if (v->parent) {
		/* Nobody will tell us of a change of the ACL unless we hold its promise. */
		if (v->parent->ends_us == UINT64_MAX)
			until = now + LONE_RIGHTS_US;
		if (gen == 0 && !cm_break_heard(v->cm, &v->parent->fid, q->sent_us))
			gen = v->parent->gen_now;
	}
	cm_rights_set(v, t, r->status->caller_access, gen, until);
}

static bool is_sane(const struct cm_vnode *v, const struct afs_fetch_status *st)
{
	if (st->interface_version != 1 || st->file_type < AFS_TYPE_FILE || st->file_type > AFS_TYPE_SYMLINK)
		return false;
	if (afs_status_length(st) > INT64_MAX) /* no offset leads there */
		return false;
	return (st->file_type == AFS_TYPE_DIR) == (v->fid.vnode % 2 == 1);
}

/* Whether nothing but our own changes lies between what we know and the reply. A version is
 * taken for that of a change under way once: should the change's own reply count up again,
 * the first was somebody else's, whose break we have not heard. With [v] held. */
static bool is_ours(struct cm_vnode *v, const struct cm_reply *r, uint64_t version)
{
	uint64_t before = v->attr.data_version, counted = v->counted;

	if (version == before && (!counted || r->kind == CM_REPLY_READ))
		return true;
	if (r->kind == CM_REPLY_MUTATION) {
		v->counted = false;
		return counted <= r->own_changes && cm_version_is_ours(before, version, r->own_changes - counted);
	}
	v->counted = !counted && cm_version_is_under_way(before, version, cm_vnode_good(v), v->mutating);
	return v->counted;
}

int cm_vnode_apply(struct cm_vnode *v, struct cm_token *t, const struct cm_noted *q, const struct cm_reply *r,
		   struct rx_error *err)
{
	uint64_t version = afs_status_version(r->status), got_us;
	bool stale, ours, others = false;
	uint32_t rights;
	char buf[384];

	if (!is_sane(v, r->status))
		return rx_error_set(err, RX_ORIGIN_ERRNO, EIO, EIO, "%s: the server sent a status that makes no sense",
				    cm_vnode_text(v, buf));
	if (r->sync)
		cm_volume_saw(v->volume, r->server, r->sync->creation);
	learn_parent(v, r->status);
	rx_mutex_lock(&v->lock);
	stale = is_stale(v, q, r);
	if (!stale) {
		ours = is_ours(v, r, version);
		if (!ours || !v->known || v->unproven)
			v->proven_from = version;
		others = !ours && v->known && !v->unproven && r->kind == CM_REPLY_MUTATION;
		take_status(v, r->status);
		v->arrived_us = rx_now_us(v->cm->env);
		v->applied_us = r->kind == CM_REPLY_READ ? q->sent_us : v->arrived_us;
		v->known = true;
		v->unproven = false;
		if (r->callback || r->kind == CM_REPLY_READ) {
			struct cm_reply_facts facts = {
				.vol_gen = v->volume->gen,
				.srv_gen = r->server->gen,
				.server = r->server,
				.promised = r->callback && r->callback->type != AFS_CALLBACK_DROPPED,
				.read_only = v->volume->kind != CM_VOL_RW,
				.expiration_s = r->callback ? r->callback->expires : 0,
			};

			if (!UMAFS_MAYBE(v->cm->env, PROMISE_NOT_TAKEN) && cm_promise_install(&v->promise, q, &facts))
				v->ends_us = v->promise.until_us;
		}
	}
	/* What an overtaken reply says of its caller's rights is true all the same. */
	if (t && !r->keep_rights && !(stale && cm_rights_cached(v, t, &rights, &got_us)))
		take_rights(v, t, q, r);
	rx_mutex_unlock(&v->lock);
	if (others)
		cm_vnode_break(v);
	return 0;
}

void cm_vnode_gone(struct cm_vnode *v, const struct rx_error *why)
{
	rx_mutex_lock(&v->lock);
	v->gone = true;
	rx_mutex_unlock(&v->lock);
	cm_vnode_break(v);
	cm_records_gone(&v->records, why);
}

void cm_vnode_distrust(struct cm_vnode *v)
{
	rx_mutex_lock(&v->lock);
	v->unproven = true;
	rx_mutex_unlock(&v->lock);
}

int cm_vnode_fetch_status(struct cm_vnode *v, struct cm_token *t, struct rx_error *err)
{
	struct afs_FetchStatus_in in = { .fid = cm_fid_wire(&v->fid) };
	struct afs_FetchStatus_out out;
	struct cm_reply r = {
		.kind = CM_REPLY_READ, .status = &out.status, .callback = &out.callback, .sync = &out.sync
	};
	struct cm_noted q;
	struct cm_op op;

	cm_op_begin(&op, v, t, "FetchStatus", 0);
	while (cm_op_next(&op)) {
		cm_vnode_note(v, op.server, &q);
		cm_op_result(&op, afs_FetchStatus(&op.rpc, &in, &out, &op.error));
	}
	if (cm_op_end(&op, err))
		return cm_advise(v, t, v->fid.vnode % 2 ? CM_RIGHT_LOOKUP : CM_RIGHT_READ, err);
	r.server = op.server;
	if (UMAFS_MAYBE(v->cm->env, BREAK_AFTER_STATUS))
		cm_vnode_break(v);
	return cm_vnode_apply(v, t, &q, &r, err);
}

int cm_getattr(struct cm_vnode *v, struct cm_token *t, struct cm_attr *out, struct rx_error *err)
{
	uint32_t rights = 0;
	uint64_t got;
	bool have;

	rx_mutex_lock(&v->lock);
	have = cm_vnode_good(v) && cm_rights_cached(v, t, &rights, &got);
	rx_mutex_unlock(&v->lock);
	have = have && !(v->volume && UMAFS_MAYBE(v->cm->env, STATUS_ASKED));
	if (!have && cm_vnode_fetch_status(v, t, err))
		return -1;
	rx_mutex_lock(&v->lock);
	settle_size(v);
	*out = v->attr;
	if (!have && !cm_rights_cached(v, t, &rights, &got))
		rights = 0;
	out->caller_rights = rights;
	rx_mutex_unlock(&v->lock);
	return 0;
}

/* With [v] held. */
static bool content_moved(const struct cm_vnode *v, uint64_t version)
{
	return version != v->attr.data_version && (version < v->proven_from || version > v->attr.data_version);
}

bool cm_has_moved(const struct cm_vnode *cv, uint64_t version)
{
	struct cm_vnode *v = (struct cm_vnode *)cv;
	bool moved;

	rx_mutex_lock(&v->lock);
	moved = content_moved(v, version);
	rx_mutex_unlock(&v->lock);
	return moved;
}

uint64_t cm_data_version(const struct cm_vnode *v)
{
	return v->version_now;
}

bool cm_is_current(const struct cm_vnode *cv, uint64_t version)
{
	struct cm_vnode *v = (struct cm_vnode *)cv;
	bool current;

	rx_mutex_lock(&v->lock);
	current = cm_vnode_good(v) && !content_moved(v, version);
	rx_mutex_unlock(&v->lock);
	return current;
}

int cm_validate(struct cm_vnode *v, struct cm_token *t, uint64_t *version, struct rx_error *err)
{
	if (UMAFS_MAYBE(v->cm->env, BREAK_BEFORE_VALIDATE))
		cm_vnode_break(v);
	if (!cm_is_valid(v) && cm_vnode_fetch_status(v, t, err))
		return -1;
	rx_mutex_lock(&v->lock);
	*version = v->attr.data_version;
	rx_mutex_unlock(&v->lock);
	return 0;
}

/* One reply of InlineBulkStatus into as many vnodes. */
static void apply_bulk(struct cm_vnode **vs, struct cm_noted *qs, size_t n, struct cm_token *t, struct cm_server *s,
		       const struct afs_InlineBulkStatus_out *out)
{
	for (size_t i = 0; i < n; i++) {
		const struct afs_fetch_status *st = &out->statuses.items[i];
		struct cm_reply r = { .kind = CM_REPLY_READ,
				      .status = st,
				      .callback = &out->callbacks.items[i],
				      .sync = &out->sync,
				      .server = s };
		bool busy;

		rx_mutex_lock(&vs[i]->lock);
		busy = vs[i]->mutating;
		rx_mutex_unlock(&vs[i]->lock);
		/* What was not asked for by name must not disturb a change under way. */
		if (st->error_code != 0 || busy)
			continue;
		(void)cm_vnode_apply(vs[i], t, &qs[i], &r, NULL);
	}
}

int cm_prefetch_status(struct cm_vnode *dir, struct cm_token *t, const struct cm_fid *fids, size_t n,
		       struct rx_error *err)
{
	struct afs_fid wire[PREFETCH_MAX];
	struct afs_InlineBulkStatus_in in = { .fids = { .items = wire } };
	struct afs_InlineBulkStatus_out out;
	struct cm_vnode *vs[PREFETCH_MAX];
	struct cm_noted qs[PREFETCH_MAX];
	size_t have = 0;
	struct cm_op op;
	int rc = -1;

	for (size_t i = 0; i < n && have < PREFETCH_MAX; i++) {
		if (fids[i].volume != dir->fid.volume)
			continue;
		vs[have] = cm_vnode_find(dir->volume, &fids[i]);
		if (!vs[have])
			break;
		wire[have++] = cm_fid_wire(&fids[i]);
	}
	if (have == 0)
		return 0;
	in.fids.len = (uint32_t)have;
	cm_op_begin(&op, dir, t, "InlineBulkStatus", 0);
	while (cm_op_next(&op)) {
		for (size_t i = 0; i < have; i++)
			cm_vnode_note(vs[i], op.server, &qs[i]);
		cm_op_result(&op, afs_InlineBulkStatus(&op.rpc, &in, &out, &op.error));
	}
	if (cm_op_end(&op, err))
		goto out;
	if (out.statuses.len == have && out.callbacks.len == have) {
		apply_bulk(vs, qs, have, t, op.server, &out);
		rc = 0;
	} else {
		rx_error_set(err, RX_ORIGIN_ERRNO, EIO, EIO,
			     "InlineBulkStatus: the server answered %u statuses to %zu questions", out.statuses.len,
			     have);
	}
	afs_InlineBulkStatus_free(&out);
out:
	while (have > 0)
		cm_vnode_put(vs[--have]);
	return rc;
}
