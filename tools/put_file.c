/* Storing one file or symbolic link; see put_file.h. */
#include "tools/put_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { TMP_NAME = 32 };

struct put {
	struct cli *cli;
	struct put_tally *tally;
	struct cm_vnode *dir;
	char *name, *path, *dir_path, *local;
	uint64_t expected;
};

struct source {
	struct transfer *t;
	int fd;
	uint64_t off;
	int error; /* errno; ENODATA: the file is shorter than it was */
};

static int from_file(void *arg, void *buf, size_t len)
{
	struct source *s = arg;
	char *p = buf;

	while (len) {
		ssize_t n = cli_stopped() ? -1 : pread(s->fd, p, len, (off_t)s->off);

		if (n <= 0) {
			s->error = cli_stopped() ? EINTR : n ? errno : ENODATA;
			return -1;
		}
		p += n;
		s->off += (uint64_t)n;
		len -= (size_t)n;
		transfer_moved(s->t, (uint64_t)n);
	}
	return 0;
}

static void temporary_name(char out[TMP_NAME])
{
	uint32_t r = 0;

	if (getrandom(&r, sizeof(r), 0) != sizeof(r))
		r = (uint32_t)getpid();
	snprintf(out, TMP_NAME, ".umafs-put-%08x", r);
}

/* What stands under the name now. 0 and *exists; or -1, told: it cannot be replaced. */
static int look(struct cli *cli, struct cm_vnode *dir, const char *name, const char *path, struct cm_vnode **old,
		enum cm_type *type)
{
	struct rx_error err = { 0 };
	struct cm_attr attr;

	*old = NULL;
	*type = CM_FILE;
	if (cm_lookup(dir, cli->token, name, old, &err))
		return err.errnum == ENOENT ? 0 : cli_error(cli, path, &err);
	/* Its status may be hidden from us; its number tells a directory. */
	if (!cm_getattr(*old, cli->token, &attr, NULL))
		*type = attr.type;
	else if (cm_vnode_fid(*old).vnode & 1)
		*type = CM_DIR;
	if (*type == CM_DIR)
		return cli_errorf(cli, path, EISDIR, "a directory stands here, it is not replaced by a file");
	if (*type == CM_MOUNT)
		return cli_errorf(cli, path, EEXIST, "a mount point stands here; umafs rmmount removes it");
	return 0;
}

/* After a failure: takes the temporary name away, or says that it is left. */
static void remove_temporary(struct put *p, const char *tmp)
{
	struct rx_error err = { 0 };

	if (cm_unlink(p->dir, p->cli->token, tmp, &err) && err.errnum != ENOENT)
		cli_note(p->cli, p->dir_path, "an unfinished %s is left here: %s; remove it with umafs rm", tmp,
			 err.text);
}

static int store(struct transfer *t, struct put *p, struct cm_vnode *v, int fd, const struct stat *st)
{
	struct source source = { .t = t, .fd = fd };
	struct cm_setattr time = { .set_mtime = true, .mtime = (int64_t)st->st_mtime };
	uint64_t size = (uint64_t)st->st_size;
	struct rx_error err = { 0 };
	int rc;

	rc = size ? cm_store_stream(v, p->cli->token, 0, size, size, time.mtime, true, from_file, &source, &err)
		  : cm_setattr(v, p->cli->token, &time, &err);
	if (!rc)
		return 0;
	transfer_unmoved(t, source.off);
	if (cli_stopped())
		return -1;
	if (source.error == ENODATA)
		return cli_errorf(p->cli, p->local, EBUSY, "it became shorter while it was stored; try again");
	if (source.error)
		return cli_errorf(p->cli, p->local, source.error, "reading failed: %s", strerror(source.error));
	cli_explain(p->cli, p->dir, size, &err);
	return cli_error(p->cli, p->path, &err);
}

/* Where nothing can be deleted nothing can be renamed: a new file goes straight to its
 * name there, and an old one cannot be replaced. */
static int choose_name(struct put *p, bool exists, char tmp[256], bool *direct)
{
	struct cm_attr attr;

	*direct = !cm_getattr(p->dir, p->cli->token, &attr, NULL) && !(attr.caller_rights & 16);
	if (*direct && exists)
		return cli_errorf(p->cli, p->path, EACCES,
				  "replacing it needs the d (delete) right on the directory, which you do not have");
	if (*direct)
		snprintf(tmp, 256, "%s", p->name);
	else
		temporary_name(tmp);
	return 0;
}

static int put_open(struct transfer *t, struct put *p, int fd, const struct stat *st)
{
	struct cm_setattr attr = { .set_mode = true, .mode = st->st_mode & 0777 };
	struct cm_vnode *v = NULL, *old = NULL;
	struct cli_pending *pending = NULL;
	struct rx_error err = { 0 };
	enum cm_type type;
	char tmp[256];
	bool direct;
	int rc = look(p->cli, p->dir, p->name, p->path, &old, &type);

	if (rc || choose_name(p, old != NULL, tmp, &direct)) {
		rc = -1;
		goto out;
	}
	pending = cli_pending_text("%s: an unfinished %s may be left here; remove it with umafs rm", p->dir_path, tmp);
	if (cm_create(p->dir, p->cli->token, tmp, &attr, &v, &err)) {
		cli_explain(p->cli, p->dir, (uint64_t)st->st_size, &err);
		rc = cli_error(p->cli, p->path, &err);
		/* It may have been made, with no memory here to take it in. */
		if (err.errnum == ENOMEM && !direct)
			remove_temporary(p, tmp);
		goto out;
	}
	rc = store(t, p, v, fd, st);
	if (!rc && !direct && cm_rename(p->dir, tmp, p->dir, p->name, p->cli->token, &err)) {
		cli_explain(p->cli, p->dir, 0, &err);
		rc = cli_error(p->cli, p->path, &err);
	}
	if (rc)
		remove_temporary(p, tmp);
out:
	cli_pending_end(pending);
	cm_vnode_put(old);
	cm_vnode_put(v);
	return rc;
}

static void run_put(struct transfer *t, void *arg)
{
	struct put *p = arg;
	struct stat st, after;
	int fd = -1, rc = -1;

	if (cli_stopped())
		goto out;
	fd = open(p->local, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st)) {
		cli_errorf(p->cli, p->local, errno, "it cannot be opened: %s", strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		cli_errorf(p->cli, p->local, EINVAL, "this is no regular file any more");
		goto out;
	}
	/* The size may have changed since it was counted. */
	transfer_expect(t, (uint64_t)st.st_size - p->expected);
	rc = put_open(t, p, fd, &st);
	if (!rc && !fstat(fd, &after) &&
	    (after.st_size != st.st_size || memcmp(&after.st_mtim, &st.st_mtim, sizeof(st.st_mtim))))
		cli_note(p->cli, p->local, "it changed while it was stored; what is on the server may be a mixture");
	if (!rc) {
		__atomic_add_fetch(&p->tally->stored, 1, __ATOMIC_RELAXED);
		if (p->cli->json)
			cli_result(p->cli,
				   json_pack("{s:s, s:o, s:o, s:I}", "done", "put", "path", cli_json_string(p->path),
					     "local", cli_json_string(p->local), "bytes", (json_int_t)st.st_size));
	}
out:
	if (rc)
		cli_fail(p->cli);
	if (fd >= 0)
		close(fd);
	cm_vnode_put(p->dir);
	free(p->name);
	free(p->path);
	free(p->dir_path);
	free(p->local);
	free(p);
}

void put_file(struct transfer *t, struct put_tally *tally, struct cm_vnode *dir, const char *dir_path, const char *name,
	      const char *local, const struct stat *st)
{
	struct put *p = cli_alloc(sizeof(*p));

	p->cli = transfer_cli(t);
	p->tally = tally;
	p->dir = cm_vnode_get(dir);
	p->name = cli_strdup(name);
	p->dir_path = cli_strdup(dir_path);
	p->path = cli_join(dir_path, name);
	p->local = cli_strdup(local);
	p->expected = (uint64_t)st->st_size;
	__atomic_add_fetch(&tally->wanted, 1, __ATOMIC_RELAXED);
	transfer_expect(t, p->expected);
	transfer_submit(t, run_put, p);
}

int put_link(struct cli *cli, struct cm_vnode *dir, const char *path, const char *name, const char *local,
	     const struct stat *st)
{
	struct cm_setattr time = { .set_mtime = true, .mtime = (int64_t)st->st_mtime };
	struct cm_vnode *old = NULL, *v = NULL;
	struct rx_error err = { 0 };
	char text[PATH_MAX], tmp[TMP_NAME], *now = NULL;
	ssize_t n = readlink(local, text, sizeof(text) - 1);
	enum cm_type type;
	int rc = -1;

	if (n < 0)
		return cli_errorf(cli, local, errno, "it cannot be read: %s", strerror(errno));
	text[n] = 0;
	if (look(cli, dir, name, path, &old, &type))
		goto out;
	temporary_name(tmp);
	if (old && type == CM_SYMLINK && !cm_readlink(old, cli->token, &now, NULL) && !strcmp(now, text))
		rc = 0;
	else if (!old)
		rc = cm_symlink(dir, cli->token, name, text, false, &err);
	else
		rc = cm_symlink(dir, cli->token, tmp, text, false, &err);
	if (!rc && old && !(now && !strcmp(now, text))) {
		rc = cm_rename(dir, tmp, dir, name, cli->token, &err);
		if (rc)
			cm_unlink(dir, cli->token, tmp, NULL);
	}
	if (rc) {
		cli_explain(cli, dir, 0, &err);
		cli_error(cli, path, &err);
	} else if (!cm_lookup(dir, cli->token, name, &v, NULL)) {
		/* Servers of some kinds keep no time for links: a wish, not more. */
		cm_setattr(v, cli->token, &time, NULL);
	}
out:
	free(now);
	cm_vnode_put(old);
	cm_vnode_put(v);
	return rc;
}
