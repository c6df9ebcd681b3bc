/* Control commands on files: what they hold, and changes to them, made as a client of another
 * host would make them, with all rights. On the thread of whoever commands, without
 * cell->lock. */
#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "tools/cell/control.h"

enum { PIECE = 65536, READ_MAX = 1 << 20 };

/* Takes the bytes of a file, a directory or a link one piece after another. */
typedef int take_fn(void *arg, const uint8_t *bytes, size_t len);

static int each_piece(struct cell_command *c, const struct afs_fid *fid, uint64_t off, uint64_t len, take_fn *take,
		      void *arg)
{
	struct cell_request rq = cell_own_request(c->cell);
	uint8_t *buf = malloc(PIECE);
	int32_t code = buf ? 0 : ENOMEM;

	while (code == 0 && len) {
		size_t n = len < PIECE ? (size_t)len : PIECE;
		struct cell_vnode *v;

		rx_mutex_lock(&c->cell->lock);
		code = cell_get(&rq, fid, CELL_READ, &v);
		if (code == 0 && off >= v->length)
			n = 0;
		else if (code == 0 && n > v->length - off)
			n = (size_t)(v->length - off);
		if (code == 0 && n && cell_read_piece(v, off, buf, n))
			code = EIO;
		rx_mutex_unlock(&c->cell->lock);
		if (code == 0 && (!n || take(arg, buf, n)))
			break;
		off += n;
		len -= n;
	}
	free(buf);
	return code ? cell_refuse(c, code, c->arg[0]) : 0;
}

static int print_piece(void *arg, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (isprint(bytes[i]) && bytes[i] < 0x80 && bytes[i] != '\\')
			fputc(bytes[i], arg);
		else
			fprintf(arg, "\\x%02x", bytes[i]);
	}
	return 0;
}

int cell_do_read(struct cell_command *c)
{
	uint64_t off = 0, len = READ_MAX;
	struct afs_fid fid;
	int rc;

	if (cell_path(c, c->arg[0], &fid) || (c->n > 1 && cell_number(c, c->arg[1], &off)) ||
	    (c->n > 2 && cell_number(c, c->arg[2], &len)))
		return -1;
	rc = each_piece(c, &fid, off, len < READ_MAX ? len : READ_MAX, print_piece, c->out);
	fputc('\n', c->out);
	return rc;
}

struct digest {
	EVP_MD_CTX *md;
	uint64_t len;
};

static int digest_piece(void *arg, const uint8_t *bytes, size_t len)
{
	struct digest *d = arg;

	d->len += len;
	return !EVP_DigestUpdate(d->md, bytes, len);
}

int cell_do_cksum(struct cell_command *c)
{
	struct digest d = { .md = EVP_MD_CTX_new() };
	uint8_t sum[EVP_MAX_MD_SIZE];
	struct afs_fid fid;
	unsigned n = 0;
	int rc = -1;

	if (!d.md || !EVP_DigestInit_ex(d.md, EVP_sha256(), NULL)) {
		rx_error_errno(c->err, ENOMEM, "cksum");
		goto out;
	}
	if (cell_path(c, c->arg[0], &fid) || each_piece(c, &fid, 0, UINT64_MAX, digest_piece, &d))
		goto out;
	if (!EVP_DigestFinal_ex(d.md, sum, &n))
		n = 0;
	for (unsigned i = 0; i < n; i++)
		fprintf(c->out, "%02x", sum[i]);
	fprintf(c->out, " %llu\n", (unsigned long long)d.len);
	rc = 0;
out:
	EVP_MD_CTX_free(d.md);
	return rc;
}

static int file_piece(void *arg, const uint8_t *bytes, size_t len)
{
	return fwrite(bytes, 1, len, arg) != len;
}

int cell_do_get(struct cell_command *c)
{
	struct afs_fid fid;
	FILE *f;
	int rc;

	if (cell_path(c, c->arg[0], &fid))
		return -1;
	f = fopen(c->arg[1], "we");
	if (!f)
		return rx_error_errno(c->err, errno, "cannot write %s", c->arg[1]);
	rc = each_piece(c, &fid, 0, UINT64_MAX, file_piece, f);
	if (fclose(f) && rc == 0)
		rc = rx_error_errno(c->err, errno, "cannot write %s", c->arg[1]);
	return rc;
}

static int done(struct cell_command *c, int32_t code, const char *path)
{
	rx_mutex_lock(&c->cell->lock);
	code = code ? code : cell_commit(c->cell);
	rx_mutex_unlock(&c->cell->lock);
	return code ? cell_refuse(c, code, path) : 0;
}

/* The file of that path, made if it is not there. */
static int find_or_make(struct cell_command *c, const char *path, struct afs_fid *fid)
{
	struct cell_request rq = cell_own_request(c->cell);
	struct afs_CreateFile_in in = { .status = { .mask = AFS_SET_MODE, .mode = 0644 } };
	struct afs_CreateFile_out out;
	char name[AFS_NAME_MAX];
	int32_t code;

	if (cell_path(c, path, fid) == 0)
		return 0;
	if (c->err->code != ENOENT || cell_path_parent(c, path, &in.dir, name))
		return -1;
	in.name = name;
	code = cell_op_CreateFile(NULL, &in, &out, &rq);
	*fid = out.fid;
	return done(c, code, path);
}

int cell_do_put(struct cell_command *c)
{
	uint8_t *buf = malloc(PIECE);
	FILE *f = fopen(c->arg[0], "re");
	struct afs_fid fid;
	uint64_t off = 0;
	int32_t code = 0;
	size_t n;
	int rc = -1;

	if (!buf || !f) {
		rx_error_errno(c->err, errno, "cannot read %s", c->arg[0]);
		goto out;
	}
	if (find_or_make(c, c->arg[1], &fid))
		goto out;
	code = cell_act_truncate(c->cell, &fid, 0);
	while (code == 0 && (n = fread(buf, 1, PIECE, f)) > 0) {
		code = cell_act_change(c->cell, &fid, off, buf, n);
		off += n;
	}
	rc = done(c, code, c->arg[1]);
out:
	if (f)
		fclose(f);
	free(buf);
	return rc;
}

int cell_do_write(struct cell_command *c)
{
	struct afs_fid fid;
	uint64_t off;

	if (cell_number(c, c->arg[1], &off) || find_or_make(c, c->arg[0], &fid))
		return -1;
	return done(c, cell_act_change(c->cell, &fid, off, c->arg[2], strlen(c->arg[2])), c->arg[0]);
}

int cell_do_truncate(struct cell_command *c)
{
	struct afs_fid fid;
	uint64_t length;

	if (cell_number(c, c->arg[1], &length) || cell_path(c, c->arg[0], &fid))
		return -1;
	return done(c, cell_act_truncate(c->cell, &fid, length), c->arg[0]);
}

int cell_do_change(struct cell_command *c)
{
	struct afs_fid fid;

	if (cell_path(c, c->arg[0], &fid))
		return -1;
	return done(c, cell_act_change(c->cell, &fid, 0, NULL, 0), c->arg[0]);
}

int cell_do_mkdir(struct cell_command *c)
{
	struct cell_request rq = cell_own_request(c->cell);
	struct afs_MakeDir_in in = { .status = { .mask = AFS_SET_MODE, .mode = 0755 } };
	struct afs_MakeDir_out out;
	char name[AFS_NAME_MAX];

	if (cell_path_parent(c, c->arg[0], &in.dir, name))
		return -1;
	in.name = name;
	return done(c, cell_op_MakeDir(NULL, &in, &out, &rq), c->arg[0]);
}

int cell_do_rm(struct cell_command *c)
{
	struct cell_request rq = cell_own_request(c->cell);
	char name[AFS_NAME_MAX];
	struct afs_fid dir;
	int32_t code;

	if (cell_path_parent(c, c->arg[0], &dir, name))
		return -1;
	code = cell_op_RemoveFile(NULL, &(struct afs_RemoveFile_in){ dir, name }, &(struct afs_RemoveFile_out){ 0 },
				  &rq);
	if (code == EISDIR)
		code = cell_op_RemoveDir(NULL, &(struct afs_RemoveDir_in){ dir, name },
					 &(struct afs_RemoveDir_out){ 0 }, &rq);
	return done(c, code, c->arg[0]);
}

int cell_do_ls(struct cell_command *c)
{
	struct cell_request rq = cell_own_request(c->cell);
	struct cm_dir_entry e;
	struct cell_vnode *v;
	struct afs_fid fid;
	uint32_t cookie = 0;
	int32_t code;

	if (cell_path(c, c->arg[0], &fid))
		return -1;
	rx_mutex_lock(&c->cell->lock);
	code = cell_get_dir(&rq, &fid, CELL_READ, &v);
	while (code == 0 && cm_dir_next(v->dir.data, v->dir.len, &cookie, &e))
		if (strcmp(e.name, ".") && strcmp(e.name, ".."))
			fprintf(c->out, "%s\n", e.name);
	rx_mutex_unlock(&c->cell->lock);
	return code ? cell_refuse(c, code, c->arg[0]) : 0;
}

int cell_do_stat(struct cell_command *c)
{
	static const char *const types[] = { "?", "file", "dir", "symlink" };
	struct cell_request rq = cell_own_request(c->cell);
	struct cell_vnode *v;
	struct afs_fid fid;
	unsigned promises = 0;
	int32_t code;

	if (cell_path(c, c->arg[0], &fid))
		return -1;
	rx_mutex_lock(&c->cell->lock);
	code = cell_get(&rq, &fid, CELL_READ, &v);
	if (code == 0) {
		for (struct cell_promise *p = v->promises; p; p = p->next)
			promises++;
		fprintf(c->out,
			"fid %u.%u.%u type %s length %llu version %u mode %o owner %d links %u mtime %u promises %u\n",
			fid.volume, fid.vnode, fid.unique, types[v->type], (unsigned long long)v->length,
			v->data_version, v->mode, v->owner, v->links, v->mtime, promises);
	}
	rx_mutex_unlock(&c->cell->lock);
	return code ? cell_refuse(c, code, c->arg[0]) : 0;
}

int cell_do_break(struct cell_command *c)
{
	struct cell_volume *volume;
	struct afs_fid fid = { 0 };

	rx_mutex_lock(&c->cell->lock);
	volume = cell_volume_by_name(c->cell, c->arg[0]);
	fid.volume = volume ? volume->id : 0;
	rx_mutex_unlock(&c->cell->lock);
	if (!strcmp(c->arg[0], "all")) {
		cell_act_break_all(c->cell);
		return 0;
	}
	if (!volume && cell_path(c, c->arg[0], &fid))
		return -1;
	return done(c, cell_act_break(c->cell, &fid), c->arg[0]);
}

/* ---- rights ---- */

int cell_do_acl(struct cell_command *c)
{
	struct cell_request rq = cell_own_request(c->cell);
	char text[CM_ACL_TEXT], rights[CM_RIGHTS_TEXT];
	struct cm_acl acl = { 0 };
	struct cell_vnode *v;
	struct afs_fid fid;
	size_t len;
	int32_t code;

	if (cell_path(c, c->arg[0], &fid))
		return -1;
	rx_mutex_lock(&c->cell->lock);
	code = cell_get_dir(&rq, &fid, CELL_READ, &v);
	if (code == 0)
		code = cell_acl_to_text(c->cell, &v->acl, text, &len);
	rx_mutex_unlock(&c->cell->lock);
	if (code == 0 && cm_acl_parse(text, len, &acl, NULL))
		code = EIO;
	for (unsigned i = 0; i < acl.npositive; i++)
		fprintf(c->out, "%s %s\n", acl.positive[i].name, cm_rights_format(acl.positive[i].rights, rights));
	for (unsigned i = 0; i < acl.nnegative; i++)
		fprintf(c->out, "%s -%s\n", acl.negative[i].name, cm_rights_format(acl.negative[i].rights, rights));
	return code ? cell_refuse(c, code, c->arg[0]) : 0;
}

int cell_do_setacl(struct cell_command *c)
{
	bool negative = *c->arg[2] == '-';
	struct afs_fid fid;
	uint32_t rights;
	int32_t id;

	if (cell_path(c, c->arg[0], &fid) || cell_user(c, c->arg[1], &id) ||
	    cm_rights_parse(c->arg[2] + negative, &rights, c->err))
		return -1;
	return done(c, cell_act_grant(c->cell, &fid, id, rights, negative), c->arg[0]);
}

int cell_do_revoke(struct cell_command *c)
{
	struct afs_fid fid;
	uint32_t rights;
	int32_t id;

	if (cell_user(c, c->arg[0], &id) || cm_rights_parse(c->arg[1], &rights, c->err) ||
	    cell_path(c, c->arg[2], &fid))
		return -1;
	return done(c, cell_act_revoke(c->cell, &fid, id, rights), c->arg[2]);
}
