/* Names: mkdir, rmdir, rm, mv, ln, touch, truncate. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/cli.h"

/* Ends a change below dir: tells the error, with the rights that dir gives. */
static int finish(struct cli *cli, struct cm_vnode *dir, const char *path, const char *what, int rc,
		  struct rx_error *err)
{
	if (rc) {
		cli_explain(cli, dir, 0, err);
		return cli_error(cli, path, err);
	}
	cli_done(cli, what, path);
	return 0;
}

/* ---- mkdir, rmdir ---- */

static const struct cm_setattr dir_attr = { .set_mode = true, .mode = 0755 };
static const struct cm_setattr file_attr = { .set_mode = true, .mode = 0644 };

static int make_one(struct cli *cli, const char *path, bool may_exist)
{
	struct cm_vnode *dir, *made = NULL;
	struct rx_error err = { 0 };
	char name[256];
	int rc;

	dir = cli_walk_parent(cli, path, name);
	if (!dir)
		return -1;
	rc = cm_mkdir(dir, cli->token, name, &dir_attr, &made, &err);
	if (rc && may_exist && err.errnum == EEXIST)
		rc = 0;
	rc = finish(cli, dir, path, "mkdir", rc, &err);
	cm_vnode_put(made);
	cm_vnode_put(dir);
	return rc;
}

/* Makes every directory of path that is missing, from the left. */
static int make_parents(struct cli *cli, const char *path)
{
	char *copy = cli_strdup(path);
	size_t len = strlen(copy);
	int rc = 0;

	for (size_t i = strlen("/afs/"); i <= len && !rc; i++) {
		struct cm_vnode *v = NULL;
		struct cm_attr attr;

		if (copy[i] != '/' && copy[i])
			continue;
		copy[i] = 0;
		if (cm_walk(cli->cm, cli->token, copy, 0, &v, NULL))
			rc = make_one(cli, copy, true);
		else if (!cm_getattr(v, cli->token, &attr, NULL) && attr.type != CM_DIR)
			rc = cli_errorf(cli, copy, ENOTDIR, "this is no directory");
		cm_vnode_put(v);
		copy[i] = i < len ? '/' : 0;
	}
	free(copy);
	return rc;
}

int cmd_mkdir(struct cli *cli, const struct cli_args *args)
{
	int rc = 0;

	for (int i = 0; i < args->noperands && !cli_stopped(); i++) {
		const char *path = args->operands[i];

		if (cli_check_path(cli, path))
			rc = -1;
		else if (options_has(args, 'p') ? strlen(path) > 5 && make_parents(cli, path)
						: make_one(cli, path, false))
			rc = -1;
	}
	return rc;
}

int cmd_rmdir(struct cli *cli, const struct cli_args *args)
{
	int rc = 0;

	for (int i = 0; i < args->noperands && !cli_stopped(); i++) {
		struct rx_error err = { 0 };
		char name[256];
		struct cm_vnode *dir = cli_walk_parent(cli, args->operands[i], name);
		int failed;

		if (!dir) {
			rc = -1;
			continue;
		}
		failed = cm_rmdir(dir, cli->token, name, &err);
		if (failed && (err.errnum == EEXIST || err.errnum == ENOTEMPTY))
			failed = rx_error_set(&err, err.origin, err.code, ENOTEMPTY,
					      "the directory is not empty; umafs rm -r removes what is in it, too");
		if (finish(cli, dir, args->operands[i], "rmdir", failed, &err))
			rc = -1;
		cm_vnode_put(dir);
	}
	return rc;
}

/* ---- rm ---- */

struct names {
	char **names;
	size_t n, cap;
};

static int collect(void *arg, const char *name, struct cm_fid fid, bool is_dir)
{
	struct names *l = arg;

	(void)fid;
	(void)is_dir;
	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 64;
		l->names = cli_realloc(l->names, l->cap * sizeof(*l->names));
	}
	l->names[l->n++] = cli_strdup(name);
	return 0;
}

static int remove_one(struct cli *cli, struct cm_vnode *dir, const char *name, const char *path, bool recursive);

static int remove_inside(struct cli *cli, struct cm_vnode *v, const char *path)
{
	struct names list = { NULL, 0, 0 };
	struct rx_error err = { 0 };
	int rc = 0;

	if (cm_readdir(v, cli->token, collect, &list, &err)) {
		cli_explain(cli, v, 0, &err);
		rc = cli_error(cli, path, &err);
	}
	for (size_t i = 0; i < list.n; i++) {
		char *child = cli_join(path, list.names[i]);

		if (!rc && cli_stopped())
			rc = -1;
		else if (!cli_stopped() && remove_one(cli, v, list.names[i], child, true))
			rc = -1;
		free(child);
		free(list.names[i]);
	}
	free(list.names);
	return rc;
}

static int remove_one(struct cli *cli, struct cm_vnode *dir, const char *name, const char *path, bool recursive)
{
	struct cm_vnode *v = NULL;
	struct rx_error err = { 0 };
	struct cm_attr attr = { .type = CM_FILE };
	int rc = -1;

	if (cm_lookup(dir, cli->token, name, &v, &err)) {
		if (err.errnum == ENOENT && options_has(cli->args, 'f'))
			return 0;
		return cli_error(cli, path, &err);
	}
	/* Who may delete but not look may still delete. */
	if (cm_getattr(v, cli->token, &attr, NULL))
		attr.type = cm_vnode_fid(v).vnode & 1 ? CM_DIR : CM_FILE;
	if (attr.type == CM_MOUNT) {
		rc = cli_errorf(cli, path, EBUSY, "this is a mount point; umafs rmmount removes it");
	} else if (attr.type == CM_DIR && !recursive) {
		rc = cli_errorf(cli, path, EISDIR,
				"this is a directory; umafs rm -r removes it with all that is in it");
	} else if (attr.type == CM_DIR) {
		rc = remove_inside(cli, v, path);
		if (!rc && !cli_stopped())
			rc = finish(cli, dir, path, "rmdir", cm_rmdir(dir, cli->token, name, &err), &err);
	} else {
		rc = finish(cli, dir, path, "rm", cm_unlink(dir, cli->token, name, &err), &err);
	}
	cm_vnode_put(v);
	return rc;
}

int cmd_rm(struct cli *cli, const struct cli_args *args)
{
	int rc = 0;

	for (int i = 0; i < args->noperands && !cli_stopped(); i++) {
		char name[256];
		struct cm_vnode *dir = cli_walk_parent(cli, args->operands[i], name);

		if (!dir || remove_one(cli, dir, name, args->operands[i], options_has(args, 'r')))
			rc = -1;
		cm_vnode_put(dir);
	}
	return rc;
}

/* ---- mv, ln ---- */

/* Why the server says EXDEV: another volume, or a file with names that must stay together. */
static int tell_xdev(struct cli *cli, struct cm_vnode *dir, struct cm_vnode *to_dir, const char *name, const char *path)
{
	struct cm_vnode *v = NULL;
	struct cm_attr attr = { .nlink = 1 };
	int rc;

	if (!cm_lookup(dir, cli->token, name, &v, NULL) && cm_getattr(v, cli->token, &attr, NULL))
		attr.nlink = 1;
	if (attr.nlink > 1 && attr.type == CM_FILE && cm_vnode_fid(dir).volume == cm_vnode_fid(to_dir).volume)
		rc = cli_errorf(cli, path, EXDEV, "it has %u names (hard links), which must all stay in this directory",
				attr.nlink);
	else
		rc = cli_errorf(cli, path, EXDEV,
				"it cannot move to another volume; umafs get it, put it there, and rm it here");
	cm_vnode_put(v);
	return rc;
}

static int move_to(struct cli *cli, const char *from, struct cm_vnode *to_dir, const char *to_name)
{
	struct rx_error err = { 0 };
	char name[256];
	struct cm_vnode *dir = cli_walk_parent(cli, from, name);
	int rc;

	if (!dir)
		return -1;
	rc = cm_rename(dir, name, to_dir, to_name, cli->token, &err);
	if (rc && err.errnum == EXDEV)
		rc = tell_xdev(cli, dir, to_dir, name, from);
	else
		rc = finish(cli, dir, from, "mv", rc, &err);
	cm_vnode_put(dir);
	return rc;
}

int cmd_mv(struct cli *cli, const struct cli_args *args)
{
	const char *to = args->operands[args->noperands - 1];
	struct cm_vnode *dir = NULL;
	struct cm_attr attr;
	char name[256];
	int rc = 0;

	if (cli_check_path(cli, to))
		return -1;
	if (!cm_walk(cli->cm, cli->token, to, 0, &dir, NULL) &&
	    (cm_getattr(dir, cli->token, &attr, NULL) || attr.type != CM_DIR)) {
		cm_vnode_put(dir);
		dir = NULL;
	}
	if (dir) {
		for (int i = 0; i + 1 < args->noperands && !cli_stopped(); i++) {
			char *base = cli_basename(args->operands[i]);

			if (move_to(cli, args->operands[i], dir, base))
				rc = -1;
			free(base);
		}
	} else if (args->noperands > 2) {
		rc = cli_errorf(cli, to, ENOTDIR, "several files can only move into a directory, and this is none");
	} else {
		dir = cli_walk_parent(cli, to, name);
		rc = dir ? move_to(cli, args->operands[0], dir, name) : -1;
	}
	cm_vnode_put(dir);
	return rc;
}

int cmd_ln(struct cli *cli, const struct cli_args *args)
{
	const char *target = args->operands[0], *path = args->operands[1];
	struct cm_vnode *dir, *file = NULL;
	struct rx_error err = { 0 };
	char name[256];
	int rc = -1;

	dir = cli_walk_parent(cli, path, name);
	if (!dir)
		return -1;
	if (options_has(args, 's')) {
		rc = cm_symlink(dir, cli->token, name, target, false, &err);
	} else {
		file = cli_walk(cli, target, CM_WALK_NOFOLLOW);
		if (!file)
			goto out;
		rc = cm_link(dir, cli->token, name, file, &err);
		if (rc && err.errnum == EXDEV) {
			cli_errorf(cli, path, EXDEV, "a hard link must lie in the directory of its target; use ln -s");
			goto out;
		}
	}
	rc = finish(cli, dir, path, "ln", rc, &err);
out:
	cm_vnode_put(file);
	cm_vnode_put(dir);
	return rc;
}

/* ---- touch, truncate ---- */

static int touch_one(struct cli *cli, const char *path)
{
	struct cm_setattr now = { .set_mtime = true, .mtime = (int64_t)time(NULL) };
	struct cm_vnode *v = NULL, *dir = NULL;
	struct rx_error err = { 0 };
	char name[256];
	int rc;

	if (cli_check_path(cli, path))
		return -1;
	if (!cm_walk(cli->cm, cli->token, path, 0, &v, &err)) {
		rc = finish(cli, v, path, "touch", cm_setattr(v, cli->token, &now, &err), &err);
	} else if (err.errnum != ENOENT) {
		rc = cli_error(cli, path, &err);
	} else {
		dir = cli_walk_parent(cli, path, name);
		rc = dir ? finish(cli, dir, path, "create", cm_create(dir, cli->token, name, &file_attr, &v, &err),
				  &err)
			 : -1;
	}
	cm_vnode_put(v);
	cm_vnode_put(dir);
	return rc;
}

int cmd_touch(struct cli *cli, const struct cli_args *args)
{
	int rc = 0;

	for (int i = 0; i < args->noperands && !cli_stopped(); i++) {
		if (touch_one(cli, args->operands[i]))
			rc = -1;
	}
	return rc;
}

int cmd_truncate(struct cli *cli, const struct cli_args *args)
{
	const char *text = args->value['s'];
	uint64_t size = 0;
	int rc = 0;

	if (!text || !options_size(text, &size))
		return cli_misused(cli,
				   "truncate wants -s and a size in bytes, like -s 64K; see umafs truncate --help");
	for (int i = 0; i < args->noperands && !cli_stopped(); i++) {
		struct cm_vnode *v = cli_walk(cli, args->operands[i], 0);
		struct rx_error err = { 0 };
		struct cm_attr attr;
		int failed;

		if (!v) {
			rc = -1;
			continue;
		}
		failed = cm_getattr(v, cli->token, &attr, &err);
		if (!failed && attr.type != CM_FILE)
			failed = rx_error_set(&err, RX_ORIGIN_ERRNO, EISDIR, EISDIR, "this is not a file");
		if (!failed)
			failed = cm_truncate(v, cli->token, size, &err);
		if (finish(cli, v, args->operands[i], "truncate", failed, &err))
			rc = -1;
		cm_vnode_put(v);
	}
	return rc;
}
