/* put: files, trees, symbolic links from here to AFS. The calling thread makes
 * directories and links and queues files; the pool stores them; directories get mode
 * and time at the end. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/put_file.h"

struct put_dir {
	struct put_dir *next;
	struct cm_vnode *v;
	struct stat st;
	char *path;
};

struct run {
	struct cli *cli;
	struct transfer *t;
	struct put_tally tally;
	struct put_dir *dirs; /* the latest first */
	int rc;
};

static void put_one(struct run *r, struct cm_vnode *dir, const char *dir_path, const char *name, const char *local);

/* The directory `name` in dir, made if it is not there. NULL: told. */
static struct cm_vnode *enter(struct run *r, struct cm_vnode *dir, const char *name, const char *path)
{
	const struct cm_setattr attr = { .set_mode = true, .mode = 0755 };
	struct cm_vnode *v = NULL;
	struct rx_error err = { 0 };
	struct cm_attr is;

	/* By its path, so that a mount point or a link to a directory is as good as one. */
	if (!cm_walk(r->cli->cm, r->cli->token, path, 0, &v, &err)) {
		if (!cm_getattr(v, r->cli->token, &is, &err) && is.type == CM_DIR)
			return v;
		if (!err.code)
			cli_errorf(r->cli, path, ENOTDIR, "a file stands here, it is not replaced by a directory");
		else
			cli_error(r->cli, path, &err);
		cm_vnode_put(v);
	} else if (err.errnum != ENOENT) {
		cli_error(r->cli, path, &err);
	} else if (!cm_mkdir(dir, r->cli->token, name, &attr, &v, &err)) {
		return v;
	} else {
		cli_explain(r->cli, dir, 0, &err);
		cli_error(r->cli, path, &err);
	}
	r->rc = -1;
	return NULL;
}

static void put_dir(struct run *r, struct cm_vnode *dir, const char *name, const char *path, const char *local,
		    const struct stat *st)
{
	DIR *d = opendir(local);
	struct cm_vnode *v;
	struct put_dir *note;
	struct dirent *e;

	if (!d) {
		r->rc = cli_errorf(r->cli, local, errno, "this directory cannot be read: %s", strerror(errno));
		return;
	}
	v = enter(r, dir, name, path);
	while (v && !cli_stopped()) {
		char *child;

		errno = 0;
		e = readdir(d);
		if (!e && errno)
			r->rc = cli_errorf(r->cli, local, errno, "this directory cannot be read to its end: %s",
					   strerror(errno));
		if (!e)
			break;
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		child = cli_join(local, e->d_name);
		put_one(r, v, path, e->d_name, child);
		free(child);
	}
	if (v) {
		note = cli_alloc(sizeof(*note));
		note->v = v;
		note->st = *st;
		note->path = cli_strdup(path);
		note->next = r->dirs;
		r->dirs = note;
	}
	closedir(d);
}

static void put_one(struct run *r, struct cm_vnode *dir, const char *dir_path, const char *name, const char *local)
{
	bool recursive = options_has(r->cli->args, 'r');
	char *path = cli_join(dir_path, name);
	struct stat st;

	if (recursive ? lstat(local, &st) : stat(local, &st))
		r->rc = cli_errorf(r->cli, local, errno, "%s", strerror(errno));
	else if (S_ISREG(st.st_mode))
		put_file(r->t, &r->tally, dir, dir_path, name, local, &st);
	else if (S_ISLNK(st.st_mode))
		r->rc |= put_link(r->cli, dir, path, name, local, &st);
	else if (S_ISDIR(st.st_mode) && recursive)
		put_dir(r, dir, name, path, local, &st);
	else if (S_ISDIR(st.st_mode))
		r->rc = cli_errorf(r->cli, local, EISDIR, "this is a directory; umafs put -r stores it");
	else
		r->rc = cli_errorf(r->cli, local, EINVAL,
				   "neither file, directory nor symbolic link: AFS cannot hold it");
	free(path);
}

static void settle_dirs(struct run *r)
{
	while (r->dirs) {
		struct put_dir *d = r->dirs;
		struct cm_setattr attr = { .set_mode = true,
					   .mode = d->st.st_mode & 0777,
					   .set_mtime = true,
					   .mtime = (int64_t)d->st.st_mtime };
		struct rx_error err = { 0 };

		if (!cli_stopped() && cm_setattr(d->v, r->cli->token, &attr, &err)) {
			if (err.errnum == EACCES || err.errnum == EPERM)
				cli_note(r->cli, d->path,
					 "its mode and time stay as they are: you may not change them");
			else
				r->rc = cli_error(r->cli, d->path, &err);
		}
		r->dirs = d->next;
		cm_vnode_put(d->v);
		free(d->path);
		free(d);
	}
}

/* The directory that things go to, and the name there: NULL for their own. */
static struct cm_vnode *destination(struct cli *cli, const char *to, bool several, char **dir_path, char name[256])
{
	struct cm_vnode *v = NULL;
	struct rx_error err = { 0 };
	struct cm_attr attr;

	name[0] = 0;
	*dir_path = NULL;
	if (cli_check_path(cli, to))
		return NULL;
	if (!cm_walk(cli->cm, cli->token, to, 0, &v, &err)) {
		if (!cm_getattr(v, cli->token, &attr, &err) && attr.type == CM_DIR) {
			*dir_path = cli_strdup(to);
			return v;
		}
		cm_vnode_put(v);
	} else if (err.errnum != ENOENT) {
		cli_error(cli, to, &err);
		return NULL;
	}
	if (several) {
		cli_errorf(cli, to, ENOTDIR, "several files need a directory to go to, and this is none");
		return NULL;
	}
	v = cli_walk_parent(cli, to, name);
	if (v) {
		size_t len = strlen(to);

		while (len > 1 && to[len - 1] == '/')
			len--;
		*dir_path = cli_strdup(to);
		(*dir_path)[len - strlen(name)] = 0;
	}
	return v;
}

int cmd_put(struct cli *cli, const struct cli_args *args)
{
	const char *to = args->operands[args->noperands - 1];
	struct run r = { .cli = cli };
	struct cm_vnode *dir;
	char name[256], *dir_path;

	dir = destination(cli, to, args->noperands > 2, &dir_path, name);
	if (!dir)
		return -1;
	r.t = transfer_new(cli);
	for (int i = 0; i + 1 < args->noperands && !cli_stopped(); i++) {
		char *base = name[0] ? cli_strdup(name) : cli_basename(args->operands[i]);

		if (cli_good_name(base))
			put_one(&r, dir, dir_path, base, args->operands[i]);
		else
			r.rc = cli_errorf(cli, args->operands[i], EINVAL,
					  "it needs a name: give one as the last argument");
		free(base);
	}
	transfer_free(r.t);
	settle_dirs(&r);
	if (cli_stopped())
		cli_note(cli, NULL, "stopped: %llu of %llu files were stored, the others are as before",
			 (unsigned long long)r.tally.stored, (unsigned long long)r.tally.wanted);
	cm_vnode_put(dir);
	free(dir_path);
	return r.rc;
}
