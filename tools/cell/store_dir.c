/* The store in a directory: a log of all changes to names, statuses, volumes and users, and a
 * file for each file's data. What has been acknowledged survives kill -9: commit has written
 * it to the kernel; and a power failure if cell->sync asks for it: commit has seen it on the
 * disk, data before the log that speaks of them. Called through struct cell_store_ops with
 * cell->lock held. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "rx/maybe.h"
#include "tools/cell/disk.h"
#include "tools/cell/store_log.h"

enum { NAME_SPACE = 64, LOG_MAX = 64 << 20 };

struct names {
	char (*list)[NAME_SPACE];
	size_t n;
};

struct dir_store {
	struct cell_store store;
	struct cell *cell;
	struct cell_disk *disk; /* the cell's */
	char *path;
	struct cell_file *log; /* also the lock against a second process */
	off_t log_len;
	struct xdr_buf pending;
	bool loading, lost; /* lost: the notes do not say everything, so all is written anew */
	struct names doomed, unsynced;
	bool names_unsynced; /* the log's */
};

struct dir_content {
	struct cell_content content;
	struct dir_store *store;
	char name[NAME_SPACE];
};

static bool remember(struct names *names, const char *name)
{
	void *more;

	if (names->n && !strcmp(names->list[names->n - 1], name))
		return true;
	more = realloc(names->list, (names->n + 1) * sizeof(*names->list));
	if (!more)
		return false;
	names->list = more;
	snprintf(names->list[names->n++], NAME_SPACE, "%s", name);
	return true;
}

/* ---- file data ---- */

static struct cell_content *dir_open(struct cell_store *store, const struct cell_vnode *v)
{
	struct dir_content *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->content.ops = store->ops;
	c->store = (struct dir_store *)store;
	/* There are copies of one number on several servers, but they stay where they are. */
	if (v->volume->kind == AFS_VOLUME_RW)
		snprintf(c->name, sizeof(c->name), "data/%u.%u.%u", v->volume->id, v->vnode, v->unique);
	else
		snprintf(c->name, sizeof(c->name), "data/%u.%u.%u.%u", (unsigned)(v->volume->fs - v->volume->cell->fs),
			 v->volume->id, v->vnode, v->unique);
	return &c->content;
}

/* The file goes when the log says so: until then a crash must find it. */
static void dir_close(struct cell_content *content, bool remove)
{
	struct dir_content *c = (struct dir_content *)content;
	struct dir_store *s = c->store;

	if (remove)
		remember(&s->doomed, c->name);
	free(c);
}

static struct cell_file *open_data(const struct dir_content *c, enum cell_disk_mode mode)
{
	return c->store->disk->ops->open(c->store->disk, c->name, mode);
}

static int dir_read(struct cell_content *content, uint64_t off, void *buf, size_t len)
{
	struct cell_file *f = open_data((struct dir_content *)content, CELL_DISK_READ);
	int rc;

	if (!f) {
		memset(buf, 0, len);
		return errno == ENOENT ? 0 : errno;
	}
	rc = cell_disk_read_all(f, buf, len, (off_t)off) ? errno : 0;
	f->ops->close(f);
	return rc;
}

/* NULL with errno. */
static struct cell_file *open_to_change(struct cell_content *content)
{
	struct dir_content *c = (struct dir_content *)content;

	if (c->store->cell->sync && !remember(&c->store->unsynced, c->name)) {
		errno = ENOMEM;
		return NULL;
	}
	return open_data(c, CELL_DISK_WRITE);
}

static int dir_write(struct cell_content *content, uint64_t off, const void *buf, size_t len)
{
	struct cell_file *f = open_to_change(content);
	int rc;

	if (!f)
		return errno;
	rc = cell_disk_write_all(f, buf, len, (off_t)off) ? errno : 0;
	f->ops->close(f);
	return rc;
}

static int dir_truncate(struct cell_content *content, uint64_t length)
{
	struct cell_file *f = open_to_change(content);
	int rc;

	if (!f)
		return errno;
	rc = f->ops->truncate(f, (off_t)length) ? errno : 0;
	f->ops->close(f);
	return rc;
}

/* ---- everything else ---- */

static void noted(struct dir_store *s, bool ok)
{
	s->lost |= !ok;
}

static void note_vnode(struct cell_store *store, const struct cell_vnode *v)
{
	struct dir_store *s = (struct dir_store *)store;

	if (!s->loading)
		noted(s, cell_log_vnode(&s->pending, v));
}

static void note_gone(struct cell_store *store, const struct cell_vnode *v)
{
	struct dir_store *s = (struct dir_store *)store;

	if (!s->loading)
		noted(s, cell_log_gone(&s->pending, v));
}

static void note_edit(struct cell_store *store, const struct cell_vnode *dir, enum cell_edit edit, const char *name,
		      uint32_t vnode, uint32_t unique)
{
	struct dir_store *s = (struct dir_store *)store;

	if (!s->loading)
		noted(s, cell_log_edit(&s->pending, dir, edit, name, vnode, unique));
}

static void note_volume(struct cell_store *store, const struct cell_volume *volume)
{
	struct dir_store *s = (struct dir_store *)store;

	if (!s->loading)
		noted(s, cell_log_volume(&s->pending, volume));
}

static void note_principals(struct cell_store *store, const struct cell *cell)
{
	struct dir_store *s = (struct dir_store *)store;

	if (!s->loading)
		noted(s, cell_log_principals(&s->pending, cell));
}

static void note_everything(struct cell_store *store)
{
	((struct dir_store *)store)->lost = true;
}

/* The data that were written since the last commit. */
static int sync_data(struct dir_store *s)
{
	const struct cell_disk_ops *ops = s->disk->ops;

	if (!s->unsynced.n)
		return 0;
	for (size_t i = 0; i < s->unsynced.n; i++) {
		struct cell_file *f = ops->open(s->disk, s->unsynced.list[i], CELL_DISK_READ);
		int rc = f ? ops->sync(f) : errno == ENOENT ? 0 : -1; /* it may have gone since */

		if (f)
			ops->close(f);
		if (rc)
			return -1;
	}
	if (ops->sync_names(s->disk, "data"))
		return -1;
	s->unsynced.n = 0;
	return 0;
}

static int sync_log(struct dir_store *s, struct cell_file *log)
{
	return s->cell->sync ? log->ops->sync(log) : 0;
}

static int sync_names(struct dir_store *s)
{
	if (!s->names_unsynced || !s->cell->sync)
		return 0;
	if (s->disk->ops->sync_names(s->disk, ""))
		return -1;
	s->names_unsynced = false;
	return 0;
}

/* A new log without history in the place of the old one. */
static int compact(struct dir_store *s)
{
	const struct cell_disk_ops *ops = s->disk->ops;
	struct xdr_buf all = { 0 };
	struct cell_file *f = ops->open(s->disk, "log.new", CELL_DISK_EMPTY);
	int rc = -1;

	if (f && !ops->lock(f) && cell_log_everything(&all, s->cell) && cell_log_commit(&all, 0) &&
	    !cell_disk_write_all(f, all.data, all.len, 0) && !sync_log(s, f) && !ops->rename(s->disk, "log.new", "log"))
		rc = 0;
	if (rc == 0) {
		if (s->log)
			ops->close(s->log);
		s->log = f;
		s->log_len = (off_t)all.len;
		s->pending.len = 0;
		s->lost = false;
		s->names_unsynced = true;
	} else if (f) {
		ops->close(f);
	}
	xdr_buf_free(&all);
	return rc;
}

/* A log that cannot be written in part is as it was, and nothing was acknowledged; what is
 * in memory goes into the next one that can. */
static int append(struct dir_store *s)
{
	size_t len = s->pending.len;
	bool fine = cell_log_commit(&s->pending, 0);

	if (!fine || cell_disk_write_all(s->log, s->pending.data, s->pending.len, s->log_len) || sync_log(s, s->log)) {
		s->lost = fine && s->log->ops->truncate(s->log, s->log_len) != 0;
		s->pending.len = len;
		return -1;
	}
	s->log_len += (off_t)s->pending.len;
	s->pending.len = 0;
	return 0;
}

static int dir_commit(struct cell_store *store)
{
	struct dir_store *s = (struct dir_store *)store;

	if (sync_data(s))
		return -1;
	if (s->lost || s->log_len + (off_t)s->pending.len > LOG_MAX || UMAFS_MAYBE(s->cell->env, CELL_COMPACT)) {
		if (compact(s))
			return -1;
	} else if (s->pending.len && append(s)) {
		return -1;
	}
	if (sync_names(s))
		return -1;
	while (s->doomed.n)
		s->disk->ops->remove(s->disk, s->doomed.list[--s->doomed.n]);
	return 0;
}

static void dir_free(struct cell_store *store)
{
	struct dir_store *s = (struct dir_store *)store;

	if (s->log)
		s->log->ops->close(s->log);
	xdr_buf_free(&s->pending);
	free(s->doomed.list);
	free(s->unsynced.list);
	free(s->path);
	free(s);
}

static const struct cell_store_ops directory_ops = {
	.open = dir_open,
	.close = dir_close,
	.read = dir_read,
	.write = dir_write,
	.truncate = dir_truncate,
	.note_vnode = note_vnode,
	.note_gone = note_gone,
	.note_edit = note_edit,
	.note_volume = note_volume,
	.note_principals = note_principals,
	.note_everything = note_everything,
	.commit = dir_commit,
	.free = dir_free,
};

/* ---- starting ---- */

static int open_all(struct dir_store *s, struct rx_error *err)
{
	const struct cell_disk_ops *ops = s->disk->ops;

	if (ops->make_dir(s->disk, "data"))
		return rx_error_errno(err, errno, "cannot make %s/data", s->path);
	s->log = ops->open(s->disk, "log", CELL_DISK_WRITE);
	if (s->log)
		s->log_len = ops->size(s->log);
	if (!s->log || s->log_len < 0)
		return rx_error_errno(err, errno, "cannot open %s/log", s->path);
	if (ops->lock(s->log))
		return rx_error_errno(err, EBUSY, "%s is used by another umafs-cell: end that first", s->path);
	return 0;
}

struct cell_store *cell_store_directory(struct cell *cell, const char *dir, bool *fresh, struct rx_error *err)
{
	struct dir_store *s = calloc(1, sizeof(*s));

	if (!s || !(s->path = strdup(dir))) {
		free(s);
		rx_error_errno(err, ENOMEM, "opening %s", dir);
		return NULL;
	}
	s->store.ops = &directory_ops;
	s->cell = cell;
	s->disk = cell->disk;
	if (open_all(s, err)) {
		dir_free(&s->store);
		return NULL;
	}
	*fresh = s->log_len == 0;
	s->names_unsynced = true;
	return &s->store;
}

/* What an interrupted store has left behind a file's end would show when the file grows. */
static void trim(struct dir_store *s)
{
	for (struct cell_volume *volume = s->cell->volumes; volume; volume = volume->next)
		for (uint32_t i = 0; i < volume->nvnodes; i++) {
			struct cell_vnode *v = volume->vnodes[i];
			struct cell_file *f =
				v && v->content ? open_data((struct dir_content *)v->content, CELL_DISK_READ) : NULL;
			off_t size = f ? f->ops->size(f) : 0;

			if (f)
				f->ops->close(f);
			if (size > 0 && (uint64_t)size > v->length)
				v->ragged = dir_truncate(v->content, v->length) != 0;
		}
}

int cell_store_load(struct cell *cell, struct rx_error *err)
{
	struct dir_store *s = (struct dir_store *)cell->store;
	size_t len = (size_t)s->log_len;
	uint8_t *log = malloc(len + 1);
	int rc = -1;

	s->loading = true;
	if (!log || cell_disk_read_all(s->log, log, len, 0))
		rx_error_errno(err, log ? EIO : ENOMEM, "cannot read %s/log", s->path);
	else if (cell_log_replay(cell, log, len, err))
		rx_error_prefix(err, "%s", s->path);
	else
		rc = 0;
	s->loading = false;
	free(log);
	if (rc)
		return rc;
	trim(s);
	if (compact(s))
		return rx_error_errno(err, errno, "cannot write %s/log", s->path);
	return 0;
}
