/* The installed API over the cache manager and the page room: objects that hold both
 * halves, errors copied into the public type, open flags. No state of its own; as
 * thread safe as what it calls. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include "rx/security.h"
#include "vfs-emu/instance.h"
#include "vfs-emu/umafs.h"

enum { FREE_TIMEOUT_MS = 10000 };

struct umafs {
	struct cm *cm;
	struct vfs *vfs;
};

struct umafs_token {
	struct cm_token *token;
};

struct umafs_file {
	struct vfs_file *file;
	struct cm_vnode *vnode;
	struct cm_token *token;
};

/* Copies and returns -1, so that `return fail(&error, err)` works. */
static int fail(const struct rx_error *from, struct umafs_error *err)
{
	_Static_assert((int)UMAFS_ORIGIN_KRB5 == (int)RX_ORIGIN_KRB5, "the two lists of origins are one list");
	_Static_assert(sizeof(err->text) == sizeof(from->text), "a sentence fits");

	if (!err)
		return -1;
	err->origin = (enum umafs_origin)from->origin;
	err->code = from->code;
	err->errnum = from->errnum;
	memcpy(err->text, from->text, sizeof(err->text));
	return -1;
}

static int result(int rc, const struct rx_error *from, struct umafs_error *err)
{
	return rc == 0 ? 0 : fail(from, err);
}

static int no_memory(struct umafs_error *err)
{
	struct rx_error error;

	rx_error_errno(&error, ENOMEM, "no memory");
	return fail(&error, err);
}

/* ---- clients and tokens ---- */

static int rxkad_level(enum umafs_level level)
{
	switch (level) {
	case UMAFS_LEVEL_CLEAR:
		return RXKAD_CLEAR;
	case UMAFS_LEVEL_AUTH:
		return RXKAD_AUTH;
	case UMAFS_LEVEL_DEFAULT:
	case UMAFS_LEVEL_CRYPT:
		break;
	}
	return RXKAD_CRYPT;
}

struct umafs *umafs_new(const struct umafs_config *config, struct umafs_error *err)
{
	struct umafs_config c = { 0 };
	struct cm_config cm_config = { 0 };
	struct vfs_config vfs_config = { 0 };
	struct rx_error error = { 0 };
	struct umafs *fs;

	if (config && config->size == 0) {
		rx_error_set(&error, RX_ORIGIN_ERRNO, EINVAL, EINVAL,
			     "umafs_config.size is 0: set it to sizeof(struct umafs_config)");
		fail(&error, err);
		return NULL;
	}
	fs = calloc(1, sizeof(*fs));
	if (!fs) {
		no_memory(err);
		return NULL;
	}
	/* A program built against an older header has a shorter struct. */
	if (config)
		memcpy(&c, config, config->size < sizeof(c) ? config->size : sizeof(c));
	cm_config.confdir = c.confdir;
	cm_config.cell = c.cell;
	cm_config.port = c.port;
	cm_config.level = rxkad_level(c.level);
	cm_config.max_dirty_age_ms = c.max_dirty_age_ms ? c.max_dirty_age_ms : 5000;
	fs->cm = cm_new(&cm_config, &error);
	if (!fs->cm)
		goto fail;
	vfs_config.cm = fs->cm;
	vfs_config.conflict_timeout_ms = c.conflict_timeout_ms;
	fs->vfs = vfs_new(&vfs_config, &error);
	if (!fs->vfs)
		goto fail;
	return fs;
fail:
	if (fs->cm)
		cm_free(fs->cm, 0);
	free(fs);
	fail(&error, err);
	return NULL;
}

uint64_t umafs_free(struct umafs *fs)
{
	uint64_t left;

	if (!fs)
		return 0;
	vfs_stop(fs->vfs);
	left = cm_free(fs->cm, FREE_TIMEOUT_MS);
	vfs_free(fs->vfs);
	free(fs);
	return left;
}

uint16_t umafs_port(const struct umafs *fs)
{
	return cm_port(fs->cm);
}

struct umafs_token *umafs_token_open(struct umafs *fs, const char *spec, const char *cell, struct umafs_error *err)
{
	struct umafs_token *token = calloc(1, sizeof(*token));
	struct rx_error error = { 0 };

	if (!token) {
		no_memory(err);
		return NULL;
	}
	if (cm_token_open(fs->cm, spec, cell, &token->token, &error) != 0) {
		fail(&error, err);
		free(token);
		return NULL;
	}
	return token;
}

void umafs_token_close(struct umafs_token *token)
{
	if (!token)
		return;
	cm_token_put(token->token);
	free(token);
}

/* ---- files ---- */

static int create(struct umafs *fs, struct cm_token *t, const char *path, int flags, unsigned mode, struct cm_vnode **v,
		  struct rx_error *err)
{
	struct cm_setattr attr = { .set_mode = true, .mode = mode & 07777 };
	struct cm_vnode *dir = NULL;
	char name[256];
	int rc;

	if (cm_walk_parent(fs->cm, t, path, &dir, name, err) != 0)
		return -1;
	rc = cm_create(dir, t, name, &attr, v, err);
	cm_vnode_put(dir);
	/* Somebody else was faster: then it exists, which is all that was asked for. */
	if (rc != 0 && err->errnum == EEXIST && !(flags & UMAFS_EXCL))
		return cm_walk(fs->cm, t, path, 0, v, err);
	return rc;
}

static int find_or_create(struct umafs *fs, struct cm_token *t, const char *path, int flags, unsigned mode,
			  struct cm_vnode **v, struct rx_error *err)
{
	int rc = cm_walk(fs->cm, t, path, 0, v, err);

	if (rc == 0 && (flags & UMAFS_CREAT) && (flags & UMAFS_EXCL)) {
		cm_vnode_put(*v);
		return rx_error_set(err, RX_ORIGIN_ERRNO, EEXIST, EEXIST, "%s exists already", path);
	}
	if (rc == 0 || !(flags & UMAFS_CREAT) || err->errnum != ENOENT)
		return rc;
	return create(fs, t, path, flags, mode, v, err);
}

static int check_open(struct cm_vnode *v, struct cm_token *t, const char *path, bool write, struct rx_error *err)
{
	struct cm_attr attr;

	if (cm_getattr(v, t, &attr, err) != 0)
		return -1;
	if (attr.type == CM_DIR)
		return rx_error_set(err, RX_ORIGIN_ERRNO, EISDIR, EISDIR, "%s is a directory", path);
	if (attr.type != CM_FILE)
		return rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "%s is not a file", path);
	return write ? cm_may_write(v, t, err) : cm_may_read(v, t, err);
}

static int open_file(struct umafs *fs, struct umafs_file *f, const char *path, int flags, unsigned mode,
		     struct rx_error *err)
{
	bool write = (flags & UMAFS_RDWR) != 0;

	if ((flags & ~(UMAFS_RDWR | UMAFS_CREAT | UMAFS_EXCL | UMAFS_TRUNC)) || (!write && (flags & UMAFS_TRUNC)))
		return rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "cannot open %s with flags 0%o", path,
				    (unsigned)flags);
	if (find_or_create(fs, f->token, path, flags, mode, &f->vnode, err) != 0)
		return -1;
	if (check_open(f->vnode, f->token, path, write, err) != 0 ||
	    vfs_open(fs->vfs, f->vnode, f->token, write, &f->file, err) != 0)
		return -1;
	if (!(flags & UMAFS_TRUNC) || cm_size(f->vnode) == 0)
		return 0;
	return vfs_truncate(f->file, 0, err);
}

static void file_free(struct umafs_file *f)
{
	cm_vnode_put(f->vnode);
	cm_token_put(f->token);
	free(f);
}

struct umafs_file *umafs_open(struct umafs *fs, struct umafs_token *token, const char *path, int flags, unsigned mode,
			      struct umafs_error *err)
{
	struct umafs_file *f = calloc(1, sizeof(*f));
	struct rx_error error = { 0 };

	if (!f) {
		no_memory(err);
		return NULL;
	}
	f->token = cm_token_get(token->token);
	if (open_file(fs, f, path, flags, mode, &error) == 0)
		return f;
	fail(&error, err);
	if (f->file)
		vfs_drop(f->file);
	file_free(f);
	return NULL;
}

ssize_t umafs_pread(struct umafs_file *file, void *buf, size_t len, uint64_t off, struct umafs_error *err)
{
	struct rx_error error = { 0 };
	ssize_t n = vfs_pread(file->file, buf, len, off, &error);

	return n < 0 ? fail(&error, err) : n;
}

ssize_t umafs_pwrite(struct umafs_file *file, const void *buf, size_t len, uint64_t off, struct umafs_error *err)
{
	struct rx_error error = { 0 };
	ssize_t n = vfs_pwrite(file->file, buf, len, off, &error);

	return n < 0 ? fail(&error, err) : n;
}

int umafs_ftruncate(struct umafs_file *file, uint64_t size, struct umafs_error *err)
{
	struct rx_error error = { 0 };

	return result(vfs_truncate(file->file, size, &error), &error, err);
}

int umafs_fsync(struct umafs_file *file, struct umafs_error *err)
{
	struct rx_error error = { 0 };

	return result(vfs_fsync(file->file, &error), &error, err);
}

int umafs_close(struct umafs_file *file, struct umafs_error *err)
{
	struct rx_error error = { 0 };
	int rc;

	if (!file)
		return 0;
	rc = vfs_close(file->file, &error);
	file_free(file);
	return result(rc, &error, err);
}

int umafs_fstat(struct umafs_file *file, struct umafs_stat *out, struct umafs_error *err)
{
	struct rx_error error = { 0 };
	struct cm_attr attr;

	if (cm_getattr(file->vnode, file->token, &attr, &error) != 0)
		return fail(&error, err);
	*out = (struct umafs_stat){
		.volume = attr.fid.volume,
		.vnode = attr.fid.vnode,
		.unique = attr.fid.unique,
		.type = (unsigned)attr.type,
		.size = attr.size,
		.data_version = attr.data_version,
		.mode = attr.mode,
		.owner = attr.owner,
		.group = attr.group,
		.nlink = attr.nlink,
		.mtime = attr.mtime,
		.rights = attr.caller_rights,
	};
	return 0;
}

/* ---- mappings ---- */

void *umafs_mmap(struct umafs_file *file, size_t len, int prot, uint64_t off, struct umafs_error *err)
{
	struct rx_error error = { 0 };
	void *addr = vfs_mmap(file->file, len, prot, off, &error);

	if (!addr)
		fail(&error, err);
	return addr;
}

int umafs_msync(struct umafs *fs, void *addr, size_t len, int flags, struct umafs_error *err)
{
	struct rx_error error = { 0 };

	return result(vfs_msync(fs->vfs, addr, len, flags, &error), &error, err);
}

int umafs_munmap(struct umafs *fs, void *addr, size_t len, struct umafs_error *err)
{
	struct rx_error error = { 0 };

	return result(vfs_munmap(fs->vfs, addr, len, &error), &error, err);
}

/* ---- names ---- */

int umafs_mkdir(struct umafs *fs, struct umafs_token *token, const char *path, unsigned mode, struct umafs_error *err)
{
	struct cm_setattr attr = { .set_mode = true, .mode = mode & 07777 };
	struct cm_vnode *dir = NULL, *made = NULL;
	struct rx_error error = { 0 };
	char name[256];
	int rc;

	rc = cm_walk_parent(fs->cm, token->token, path, &dir, name, &error);
	if (rc == 0)
		rc = cm_mkdir(dir, token->token, name, &attr, &made, &error);
	cm_vnode_put(made);
	cm_vnode_put(dir);
	return result(rc, &error, err);
}

int umafs_unlink(struct umafs *fs, struct umafs_token *token, const char *path, struct umafs_error *err)
{
	struct cm_vnode *dir = NULL;
	struct rx_error error = { 0 };
	char name[256];
	int rc;

	rc = cm_walk_parent(fs->cm, token->token, path, &dir, name, &error);
	if (rc == 0)
		rc = cm_unlink(dir, token->token, name, &error);
	cm_vnode_put(dir);
	return result(rc, &error, err);
}

/* Another directory means another ACL: what waits to be stored goes first, under the one
 * it was written under. */
static void store_first(struct cm_vnode *dir, struct cm_token *t, const char *name)
{
	struct cm_vnode *v = NULL;

	if (cm_lookup(dir, t, name, &v, NULL) == 0)
		cm_flush(v, NULL, 0, UINT64_MAX, false, NULL);
	cm_vnode_put(v);
}

int umafs_rename(struct umafs *fs, struct umafs_token *token, const char *from, const char *to, struct umafs_error *err)
{
	struct cm_vnode *from_dir = NULL, *to_dir = NULL;
	char from_name[256], to_name[256];
	struct rx_error error = { 0 };
	int rc;

	rc = cm_walk_parent(fs->cm, token->token, from, &from_dir, from_name, &error);
	if (rc == 0)
		rc = cm_walk_parent(fs->cm, token->token, to, &to_dir, to_name, &error);
	if (rc == 0 && from_dir != to_dir)
		store_first(from_dir, token->token, from_name);
	if (rc == 0)
		rc = cm_rename(from_dir, from_name, to_dir, to_name, token->token, &error);
	cm_vnode_put(from_dir);
	cm_vnode_put(to_dir);
	return result(rc, &error, err);
}

const char *umafs_version(void)
{
	return UMAFS_VERSION;
}
