/* See store_log.h. Nothing that is read is trusted: every number is looked up or bounded. */
#include "tools/cell/store_log.h"

#include <errno.h>
#include <stdlib.h>

enum record { REC_VOLUME = 1, REC_VNODE, REC_GONE, REC_EDIT, REC_BLOB, REC_NOBODY, REC_PRINCIPAL, REC_COMMIT };
enum { COMMIT_LEN = 12, TEXT_MAX = 1025, MEMBERS_MAX = 100000, BLOB_MAX = CM_DIR_MAX_PAGES * CM_DIR_PAGE };

/* ---- writing ---- */

/* A record in the making; its length goes in front when it is whole. */
struct writer {
	struct xdr_buf *log;
	size_t start;
	bool failed;
};

static struct writer begin(struct xdr_buf *log, enum record type)
{
	struct writer w = { .log = log, .start = log->len };

	w.failed = xdr_put_u32(log, 0) || xdr_put_u32(log, type);
	return w;
}

static void word(struct writer *w, uint32_t v)
{
	w->failed = w->failed || xdr_put_u32(w->log, v);
}

static void wide(struct writer *w, int64_t v)
{
	w->failed = w->failed || xdr_put_u64(w->log, (uint64_t)v);
}

static void bytes(struct writer *w, const void *data, size_t len)
{
	const uint8_t *p = data;

	word(w, (uint32_t)len);
	for (size_t i = 0; i < len; i += 4) {
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++)
			v = v << 8 | (i + k < len ? p[i + k] : 0);
		word(w, v);
	}
}

static bool end(struct writer *w)
{
	uint32_t len = (uint32_t)(w->log->len - w->start - 4);
	uint8_t *at = w->log->data + w->start;

	if (w->failed) {
		w->log->len = w->start;
		return false;
	}
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(len >> (24 - 8 * i));
	return true;
}

static void place(struct writer *w, const struct cell_volume *volume)
{
	word(w, (uint32_t)(volume->fs - volume->cell->fs));
	word(w, volume->id);
}

bool cell_log_volume(struct xdr_buf *log, const struct cell_volume *v)
{
	struct writer w = begin(log, REC_VOLUME);

	place(&w, v);
	word(&w, v->rw_id);
	word(&w, (uint32_t)v->kind);
	word(&w, v->created);
	word(&w, v->updated);
	word(&w, v->copied);
	word(&w, v->next_unique);
	wide(&w, v->quota);
	wide(&w, v->min_quota);
	bytes(&w, v->name, strlen(v->name));
	bytes(&w, v->offline, strlen(v->offline));
	return end(&w);
}

static void acl(struct writer *w, const struct cell_acl *a)
{
	word(w, a->npositive);
	word(w, a->nnegative);
	for (unsigned i = 0; i < a->npositive; i++) {
		word(w, (uint32_t)a->positive[i].id);
		word(w, a->positive[i].rights);
	}
	for (unsigned i = 0; i < a->nnegative; i++) {
		word(w, (uint32_t)a->negative[i].id);
		word(w, a->negative[i].rights);
	}
}

bool cell_log_vnode(struct xdr_buf *log, const struct cell_vnode *v)
{
	struct writer w = begin(log, REC_VNODE);

	place(&w, v->volume);
	word(&w, v->vnode);
	word(&w, v->unique);
	word(&w, v->type);
	word(&w, v->parent_vnode);
	word(&w, v->parent_unique);
	word(&w, v->links);
	word(&w, v->data_version);
	word(&w, v->mode);
	word(&w, v->mtime);
	word(&w, v->server_mtime);
	word(&w, (uint32_t)v->author);
	word(&w, (uint32_t)v->owner);
	word(&w, (uint32_t)v->group);
	wide(&w, (int64_t)v->length);
	if (v->type == AFS_TYPE_DIR)
		acl(&w, &v->acl);
	else if (v->type == AFS_TYPE_SYMLINK)
		bytes(&w, v->link, strlen(v->link));
	return end(&w);
}

bool cell_log_gone(struct xdr_buf *log, const struct cell_vnode *v)
{
	struct writer w = begin(log, REC_GONE);

	place(&w, v->volume);
	word(&w, v->vnode);
	return end(&w);
}

bool cell_log_edit(struct xdr_buf *log, const struct cell_vnode *dir, enum cell_edit edit, const char *name,
		   uint32_t vnode, uint32_t unique)
{
	struct writer w = begin(log, REC_EDIT);

	place(&w, dir->volume);
	word(&w, dir->vnode);
	word(&w, edit);
	word(&w, vnode);
	word(&w, unique);
	bytes(&w, name, strlen(name));
	return end(&w);
}

static bool log_blob(struct xdr_buf *log, const struct cell_vnode *dir)
{
	struct writer w = begin(log, REC_BLOB);

	place(&w, dir->volume);
	word(&w, dir->vnode);
	bytes(&w, dir->dir.data, dir->dir.len);
	return end(&w);
}

bool cell_log_principals(struct xdr_buf *log, const struct cell *cell)
{
	struct writer w = begin(log, REC_NOBODY);
	bool ok = end(&w);

	for (unsigned i = 0; ok && i < cell->nprincipals; i++) {
		const struct cell_principal *p = &cell->principals[i];

		w = begin(log, REC_PRINCIPAL);
		word(&w, (uint32_t)p->id);
		word(&w, (uint32_t)p->owner);
		word(&w, (uint32_t)p->creator);
		word(&w, (uint32_t)p->flags);
		bytes(&w, p->name, strlen(p->name));
		word(&w, p->nmembers);
		for (unsigned k = 0; k < p->nmembers; k++)
			word(&w, (uint32_t)p->members[k]);
		ok = end(&w);
	}
	return ok;
}

/* FNV-1a. */
static uint32_t check_of(const uint8_t *bytes, size_t len)
{
	uint32_t sum = 2166136261u;

	for (size_t i = 0; i < len; i++)
		sum = (sum ^ bytes[i]) * 16777619u;
	return sum;
}

bool cell_log_commit(struct xdr_buf *log, size_t from)
{
	uint32_t sum = check_of(log->data + from, log->len - from);
	struct writer w = begin(log, REC_COMMIT);

	word(&w, sum);
	return end(&w);
}

bool cell_log_everything(struct xdr_buf *log, const struct cell *cell)
{
	bool ok = cell_log_principals(log, cell);

	for (const struct cell_volume *volume = cell->volumes; ok && volume; volume = volume->next) {
		ok = cell_log_volume(log, volume);
		for (uint32_t i = 0; ok && i < volume->nvnodes; i++) {
			const struct cell_vnode *v = volume->vnodes[i];

			if (!v)
				continue;
			ok = cell_log_vnode(log, v) && (v->type != AFS_TYPE_DIR || log_blob(log, v));
		}
	}
	return ok;
}

/* ---- reading ---- */

/* One record; bad once anything was not as it must be. */
struct reader {
	struct cell *cell;
	struct xdr_cursor in;
	bool bad;
};

static uint32_t get(struct reader *r)
{
	uint32_t v = 0;

	r->bad = r->bad || !xdr_get_u32(&r->in, &v);
	return v;
}

static uint64_t get_wide(struct reader *r)
{
	uint64_t v = 0;

	r->bad = r->bad || !xdr_get_u64(&r->in, &v);
	return v;
}

/* malloc'ed, with a NUL behind; NULL: bad. */
static char *get_bytes(struct reader *r, size_t max, size_t *len)
{
	uint32_t n = get(r);
	size_t padded = ((size_t)n + 3) / 4 * 4;
	char *out;

	if (r->bad || n > max || padded > (size_t)(r->in.end - r->in.p) || !(out = malloc((size_t)n + 1))) {
		r->bad = true;
		return NULL;
	}
	memcpy(out, r->in.p, n);
	out[n] = 0;
	r->in.p += padded;
	if (len)
		*len = n;
	return out;
}

static void get_text(struct reader *r, char *to, size_t cap)
{
	char *text = get_bytes(r, cap - 1, NULL);

	if (text)
		strcpy(to, text);
	free(text);
}

static struct cell_volume *get_volume(struct reader *r, struct cell_fs **fs, uint32_t *id)
{
	uint32_t server = get(r);

	*id = get(r);
	if (r->bad || server >= r->cell->nfs) {
		r->bad = true;
		return NULL;
	}
	*fs = &r->cell->fs[server];
	return cell_volume_find(r->cell, *fs, *id);
}

static struct cell_vnode *get_vnode(struct reader *r)
{
	struct cell_fs *fs;
	uint32_t id, n;
	struct cell_volume *volume = get_volume(r, &fs, &id);
	struct cell_vnode *v;

	n = get(r);
	v = !r->bad && volume && n < volume->nvnodes ? volume->vnodes[n] : NULL;
	r->bad = r->bad || !v;
	return v;
}

static void read_volume(struct reader *r)
{
	struct cell_fs *fs;
	uint32_t id;
	struct cell_volume *v = get_volume(r, &fs, &id);

	if (!v && !r->bad)
		v = cell_volume_place(r->cell, fs, "", id);
	if (!v) {
		r->bad = true;
		return;
	}
	v->rw_id = get(r);
	v->kind = (int)(get(r) % 3);
	v->created = get(r);
	v->updated = get(r);
	v->copied = get(r);
	v->next_unique = get(r);
	v->quota = (int64_t)get_wide(r);
	v->min_quota = (int64_t)get_wide(r);
	get_text(r, v->name, sizeof(v->name));
	get_text(r, v->offline, sizeof(v->offline));
}

static void read_acl(struct reader *r, struct cell_acl *a)
{
	uint32_t np = get(r), nn = get(r);

	if (np > CM_ACL_MAX || nn > CM_ACL_MAX) {
		r->bad = true;
		return;
	}
	*a = (struct cell_acl){ .npositive = np, .nnegative = nn };
	for (unsigned i = 0; i < np; i++) {
		a->positive[i].id = (int32_t)get(r);
		a->positive[i].rights = get(r);
	}
	for (unsigned i = 0; i < nn; i++) {
		a->negative[i].id = (int32_t)get(r);
		a->negative[i].rights = get(r);
	}
}

/* The vnode of that number, made when it is new. */
static struct cell_vnode *want_vnode(struct reader *r, struct cell_volume *volume)
{
	uint32_t n = get(r), unique = get(r), type = get(r), pv = get(r), pu = get(r);
	struct cell_vnode *v;

	if (r->bad || n == 0 || n > UINT32_MAX / 4 || type < AFS_TYPE_FILE || type > AFS_TYPE_SYMLINK ||
	    (n & 1) != (type == AFS_TYPE_DIR))
		return NULL;
	v = n < volume->nvnodes ? volume->vnodes[n] : NULL;
	if (!v) {
		struct cell_vnode parent = { .vnode = pv, .unique = pu };

		v = cell_vnode_place(volume, n, unique, type);
		if (v && type == AFS_TYPE_DIR && cell_dir_new(v, &parent))
			return NULL;
	}
	if (!v || v->unique != unique || v->type != type)
		return NULL;
	v->parent_vnode = pv;
	v->parent_unique = pu;
	if (volume->next_unique <= unique)
		volume->next_unique = unique + 1;
	return v;
}

static void read_vnode(struct reader *r)
{
	struct cell_fs *fs;
	uint32_t id;
	struct cell_volume *volume = get_volume(r, &fs, &id);
	struct cell_vnode *v = volume ? want_vnode(r, volume) : NULL;
	uint64_t length;

	if (!v) {
		r->bad = true;
		return;
	}
	v->links = get(r);
	v->data_version = get(r);
	v->mode = get(r);
	v->mtime = get(r);
	v->server_mtime = get(r);
	v->author = (int32_t)get(r);
	v->owner = (int32_t)get(r);
	v->group = (int32_t)get(r);
	length = get_wide(r);
	if (v->type == AFS_TYPE_DIR) {
		read_acl(r, &v->acl); /* the length is the blob's */
		return;
	}
	if (v->type == AFS_TYPE_SYMLINK) {
		free(v->link);
		v->link = get_bytes(r, TEXT_MAX, NULL);
		if (!v->link || strlen(v->link) != length)
			r->bad = true;
	}
	cell_set_length(v, length);
}

static void read_edit(struct reader *r)
{
	struct cell_vnode *dir = get_vnode(r);
	uint32_t edit = get(r), vnode = get(r), unique = get(r);
	char name[CM_DIR_NAME_MAX + 1] = "";
	int rc;

	get_text(r, name, sizeof(name));
	if (r->bad || dir->type != AFS_TYPE_DIR) {
		r->bad = true;
		return;
	}
	if (edit == CELL_EDIT_ADD)
		rc = cm_dir_add(&dir->dir, name, vnode, unique, NULL);
	else if (edit == CELL_EDIT_REMOVE)
		rc = cm_dir_delete(&dir->dir, name, NULL);
	else
		rc = cm_dir_replace(&dir->dir, name, vnode, unique, NULL);
	r->bad = rc != 0;
	cell_set_length(dir, dir->dir.len);
}

static void read_blob(struct reader *r)
{
	struct cell_vnode *dir = get_vnode(r);
	size_t len = 0;
	char *blob = get_bytes(r, BLOB_MAX, &len);

	if (r->bad || dir->type != AFS_TYPE_DIR || cm_dir_check((uint8_t *)blob, len, NULL)) {
		free(blob);
		r->bad = true;
		return;
	}
	free(dir->dir.data);
	dir->dir.data = (uint8_t *)blob;
	dir->dir.len = len;
	cell_set_length(dir, len);
}

static void read_principal(struct reader *r)
{
	int32_t id = (int32_t)get(r), owner = (int32_t)get(r), creator = (int32_t)get(r), flags = (int32_t)get(r);
	char name[CELL_NAME_MAX] = "";
	struct cell_principal *p;
	uint32_t n;

	get_text(r, name, sizeof(name));
	n = get(r);
	p = r->bad || n > MEMBERS_MAX ? NULL : cell_principal_add(r->cell, name, id, owner);
	if (!p) {
		r->bad = true;
		return;
	}
	p->creator = creator;
	p->flags = flags;
	while (n-- && !r->bad) {
		int32_t member = (int32_t)get(r);

		r->bad |= !cell_member_add(p, member) && !cell_is_member(p, member);
	}
}

static void read_record(struct reader *r)
{
	struct cell_vnode *v;

	switch (get(r)) {
	case REC_VOLUME:
		read_volume(r);
		break;
	case REC_VNODE:
		read_vnode(r);
		break;
	case REC_GONE:
		v = get_vnode(r);
		if (v)
			cell_vnode_free(v);
		break;
	case REC_EDIT:
		read_edit(r);
		break;
	case REC_BLOB:
		read_blob(r);
		break;
	case REC_NOBODY:
		while (r->cell->nprincipals)
			cell_principal_remove(r->cell, &r->cell->principals[0]);
		break;
	case REC_PRINCIPAL:
		read_principal(r);
		break;
	default:
		r->bad = true;
	}
}

enum batch { CUT, DAMAGED, WHOLE };

/* The records from p on that were committed together; *end: the record that says so. */
static enum batch find_batch(const uint8_t *p, const uint8_t *log_end, const uint8_t **end)
{
	struct xdr_cursor in = { p, log_end };
	uint32_t n, type, sum;

	while (xdr_get_u32(&in, &n) && n <= (size_t)(in.end - in.p)) {
		struct xdr_cursor record = { in.p, in.p + n };

		if (!xdr_get_u32(&record, &type))
			return DAMAGED;
		*end = in.p - 4;
		in.p += n;
		if (type == REC_COMMIT)
			return xdr_get_u32(&record, &sum) && sum == check_of(p, (size_t)(*end - p)) ? WHOLE : DAMAGED;
	}
	return CUT;
}

static bool read_batch(struct cell *cell, struct xdr_cursor *in)
{
	uint32_t n;

	while (in->p < in->end && xdr_get_u32(in, &n)) {
		struct reader r = { .cell = cell, .in = { in->p, in->p + n } };

		read_record(&r);
		if (r.bad)
			return false;
		in->p += n;
	}
	return true;
}

int cell_log_replay(struct cell *cell, const uint8_t *log, size_t len, struct rx_error *err)
{
	struct xdr_cursor in = { log, log };
	enum batch batch;

	while ((batch = find_batch(in.p, log + len, &in.end)) == WHOLE && read_batch(cell, &in))
		in.p += COMMIT_LEN;
	if (batch == CUT || (batch == DAMAGED && cell->sync))
		return 0;
	return rx_error_set(err, RX_ORIGIN_ERRNO, EIO, EIO,
			    "its log is damaged at byte %zu, or it needs more addresses with --listen",
			    (size_t)(in.p - log));
}
