/* get: files, trees, symbolic links from AFS to here. The calling thread looks at names
 * and queues files; the pool fetches them; directories get mode and time at the end. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/get_file.h"

enum { PREFETCH = 50 };

struct get_dir {
	struct get_dir *next;
	uint32_t mode;
	int64_t mtime;
	char *local;
};

struct run {
	struct cli *cli;
	struct transfer *t;
	struct get_tally tally;
	struct get_dir *dirs; /* the latest first, so children before parents */
	int rc;
};

/* The directories between the top and here: a mount point may lead back to one. */
struct above {
	const struct above *up;
	const char *cell;
	struct cm_fid fid;
};

struct child {
	char *name;
	struct cm_fid fid;
};

struct children {
	struct child *list;
	size_t n, cap;
};

static void get_one(struct run *r, struct cm_vnode *v, const char *path, const char *local, const struct above *up);

static int collect(void *arg, const char *name, struct cm_fid fid, bool is_dir)
{
	struct children *c = arg;

	(void)is_dir;
	if (c->n == c->cap) {
		c->cap = c->cap ? c->cap * 2 : 64;
		c->list = cli_realloc(c->list, c->cap * sizeof(*c->list));
	}
	c->list[c->n++] = (struct child){ cli_strdup(name), fid };
	return 0;
}

static void get_link(struct run *r, struct cm_vnode *v, const struct cm_attr *attr, const char *path, const char *local)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, { .tv_sec = (time_t)attr->mtime } };
	struct rx_error err = { 0 };
	struct cli_pending *pending;
	char *text = NULL, tmp[PATH_MAX];

	if (cm_readlink(v, r->cli->token, &text, &err)) {
		r->rc = cli_error(r->cli, path, &err);
		return;
	}
	snprintf(tmp, sizeof(tmp), "%s.umafs-get-%08x", local, (unsigned)getpid());
	pending = cli_pending_file(tmp);
	if (symlink(text, tmp) || utimensat(AT_FDCWD, tmp, times, AT_SYMLINK_NOFOLLOW) || rename(tmp, local)) {
		r->rc = cli_errorf(r->cli, local, errno, "this symbolic link cannot be made: %s", strerror(errno));
		unlink(tmp);
	}
	cli_pending_end(pending);
	free(text);
}

static bool leads_back(const char *cell, struct cm_fid fid, const struct above *up)
{
	for (; up; up = up->up) {
		if (!strcmp(up->cell, cell) && !memcmp(&up->fid, &fid, sizeof(fid)))
			return true;
	}
	return false;
}

static void get_child(struct run *r, struct cm_vnode *dir, const char *name, const char *path, const char *local,
		      const struct above *up)
{
	char *child_path = cli_join(path, name), *child_local = cli_join(local, name);
	struct cm_vnode *v = NULL;
	struct rx_error err = { 0 };
	struct cm_attr attr;

	if (!cli_good_name(name)) {
		r->rc = cli_errorf(r->cli, path, EPROTO, "the server sent the name \"%s\", which no directory can have",
				   name);
		goto out;
	}
	if (cm_lookup(dir, r->cli->token, name, &v, &err) || cm_getattr(v, r->cli->token, &attr, &err)) {
		r->rc = cli_error(r->cli, child_path, &err);
		goto out;
	}
	if (attr.type == CM_MOUNT) {
		cm_vnode_put(v);
		v = NULL;
		if (cm_walk(r->cli->cm, r->cli->token, child_path, 0, &v, &err)) {
			r->rc = cli_error(r->cli, child_path, &err);
			goto out;
		}
	}
	get_one(r, v, child_path, child_local, up);
out:
	cm_vnode_put(v);
	free(child_path);
	free(child_local);
}

static int make_dir(struct run *r, const char *local, const struct above *up, const struct cm_attr *attr)
{
	struct get_dir *d;
	struct stat st;

	if (mkdir(local, 0700)) {
		/* Below the top a link is no directory: it may be one that the server sent. */
		if (errno != EEXIST || (up ? lstat(local, &st) : stat(local, &st)) || !S_ISDIR(st.st_mode)) {
			r->rc = cli_errorf(r->cli, local, errno, "this directory cannot be made: %s", strerror(errno));
			return -1;
		}
	}
	d = cli_alloc(sizeof(*d));
	d->local = cli_strdup(local);
	d->mode = attr->mode & 0777;
	d->mtime = attr->mtime;
	d->next = r->dirs;
	r->dirs = d;
	return 0;
}

static void get_dir(struct run *r, struct cm_vnode *v, const struct cm_attr *attr, const char *path, const char *local,
		    const struct above *up)
{
	struct above here = { up, cm_vnode_cell(v), attr->fid };
	struct children c = { NULL, 0, 0 };
	struct rx_error err = { 0 };

	if (leads_back(here.cell, here.fid, up)) {
		cli_note(r->cli, path, "skipped: this mount point leads back to a directory above it");
		return;
	}
	if (cm_readdir(v, r->cli->token, collect, &c, &err)) {
		cli_explain(r->cli, v, 0, &err);
		r->rc = cli_error(r->cli, path, &err);
	} else if (!make_dir(r, local, up, attr)) {
		for (size_t i = 0; i < c.n && !cli_stopped(); i++) {
			if (i % PREFETCH == 0) {
				struct cm_fid fids[PREFETCH];
				size_t n = 0;

				for (; n < PREFETCH && i + n < c.n; n++)
					fids[n] = c.list[i + n].fid;
				cm_prefetch_status(v, r->cli->token, fids, n, NULL);
			}
			get_child(r, v, c.list[i].name, path, local, &here);
		}
	}
	for (size_t i = 0; i < c.n; i++)
		free(c.list[i].name);
	free(c.list);
}

static void get_one(struct run *r, struct cm_vnode *v, const char *path, const char *local, const struct above *up)
{
	struct rx_error err = { 0 };
	struct cm_attr attr;
	struct stat st;

	if (cm_getattr(v, r->cli->token, &attr, &err)) {
		cli_explain(r->cli, v, 0, &err);
		r->rc = cli_error(r->cli, path, &err);
	} else if (attr.type == CM_DIR) {
		if (options_has(r->cli->args, 'r'))
			get_dir(r, v, &attr, path, local, up);
		else
			r->rc = cli_errorf(r->cli, path, EISDIR, "this is a directory; umafs get -r fetches it");
	} else if (attr.type == CM_SYMLINK) {
		get_link(r, v, &attr, path, local);
	} else if (!lstat(local, &st) && S_ISDIR(st.st_mode)) {
		r->rc = cli_errorf(r->cli, local, EISDIR, "a directory stands here, it is not replaced by a file");
	} else {
		get_file(r->t, &r->tally, v, &attr, path, local);
	}
}

static void settle_dirs(struct run *r)
{
	while (r->dirs) {
		struct get_dir *d = r->dirs;
		struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, { .tv_sec = (time_t)d->mtime } };

		if (chmod(d->local, d->mode) || utimensat(AT_FDCWD, d->local, times, 0))
			r->rc = cli_errorf(r->cli, d->local, errno, "its mode and time cannot be set: %s",
					   strerror(errno));
		r->dirs = d->next;
		free(d->local);
		free(d);
	}
}

int cmd_get(struct cli *cli, const struct cli_args *args)
{
	const char *to = args->operands[args->noperands - 1];
	struct run r = { .cli = cli };
	struct stat st;
	bool there = !stat(to, &st), into = there && S_ISDIR(st.st_mode);

	if (!there && errno != ENOENT)
		return cli_errorf(cli, to, errno, "whether this is a directory cannot be found out: %s",
				  strerror(errno));
	if (args->noperands > 2 && !into)
		return cli_errorf(cli, to, ENOTDIR, "several files need a directory to go to, and this is none");
	r.t = transfer_new(cli);
	for (int i = 0; i + 1 < args->noperands && !cli_stopped(); i++) {
		struct cm_vnode *v = cli_walk(cli, args->operands[i], 0);
		char *base = cli_basename(args->operands[i]), *local = into ? cli_join(to, base) : cli_strdup(to);

		if (v)
			get_one(&r, v, args->operands[i], local, NULL);
		else
			r.rc = -1;
		cm_vnode_put(v);
		free(base);
		free(local);
	}
	transfer_free(r.t);
	settle_dirs(&r);
	if (cli_stopped())
		cli_note(cli, NULL, "stopped: %llu of %llu files were fetched, the others are as before",
			 (unsigned long long)r.tally.fetched, (unsigned long long)r.tally.wanted);
	return r.rc;
}
