/* ls: names, or names with type, mode, rights, size and time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli.h"

enum { PREFETCH = 50 };

struct entry {
	char *name;
	struct cm_fid fid;
	bool is_dir;
};

struct listing {
	struct entry *entries;
	size_t n, cap;
	bool all;
};

static int add_entry(void *arg, const char *name, struct cm_fid fid, bool is_dir)
{
	struct listing *l = arg;

	if (!l->all && name[0] == '.')
		return 0;
	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 64;
		l->entries = cli_realloc(l->entries, l->cap * sizeof(*l->entries));
	}
	l->entries[l->n++] = (struct entry){ cli_strdup(name), fid, is_dir };
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static const char *type_name(enum cm_type type)
{
	static const char *const names[] = { "?", "file", "directory", "symlink", "mount point" };

	return names[type <= CM_MOUNT ? type : 0];
}

static char type_letter(enum cm_type type)
{
	return "?-dlm"[type <= CM_MOUNT ? type : 0];
}

static void print_name(const char *name)
{
	char clean[1024];

	fputs(isatty(STDOUT_FILENO) ? format_printable(name, clean, sizeof(clean)) : name, stdout);
}

/* target NULL: it leads nowhere, or that cannot be said. */
static void print_long(const char *name, const struct cm_attr *a, const char *target)
{
	char mode[FORMAT_SIZE], rights[FORMAT_SIZE], when[FORMAT_SIZE];

	printf("%s %s %12llu %s ", format_mode(type_letter(a->type), a->mode, mode),
	       format_rights_fixed(a->caller_rights, rights), (unsigned long long)a->size,
	       format_time(a->mtime, false, when));
	print_name(name);
	if (target) {
		printf(" -> ");
		print_name(target);
	}
	putchar('\n');
}

static json_t *to_json(const char *name, const struct cm_attr *a, const char *target)
{
	char rights[FORMAT_SIZE];
	json_t *o = json_pack("{s:o, s:s, s:I, s:i, s:s, s:I, s:i, s:i}", "name", cli_json_string(name), "type",
			      type_name(a->type), "size", (json_int_t)a->size, "mode", (int)a->mode, "rights",
			      format_rights(a->caller_rights, rights), "mtime", (json_int_t)a->mtime, "owner",
			      (int)a->owner, "links", (int)a->nlink);

	if (target)
		json_object_set_new(o, "target", cli_json_string(target));
	return o;
}

static int show_attr(struct cli *cli, struct cm_vnode *v, const char *name, const char *path, const struct cm_attr *a)
{
	struct rx_error err = { 0 };
	char *target = NULL;
	int rc = 0;

	if (a->type == CM_SYMLINK || a->type == CM_MOUNT)
		rc = cm_readlink(v, cli->token, &target, &err);
	if (cli->json)
		cli_result(cli, to_json(name, a, target));
	else
		print_long(name, a, target);
	free(target);
	return rc ? cli_error(cli, path, &err) : 0;
}

static int show_long(struct cli *cli, struct cm_vnode *dir, const char *path, const struct entry *e)
{
	struct cm_vnode *v = NULL;
	struct rx_error err = { 0 };
	struct cm_attr attr;
	char *full = cli_join(path, e->name);
	int rc = -1;

	if (cm_lookup(dir, cli->token, e->name, &v, &err) || cm_getattr(v, cli->token, &attr, &err)) {
		cli_error(cli, full, &err);
		goto out;
	}
	rc = show_attr(cli, v, e->name, full, &attr);
out:
	free(full);
	cm_vnode_put(v);
	return rc;
}

static int show_entries(struct cli *cli, struct cm_vnode *dir, const char *path, const struct listing *l)
{
	bool want_long = options_has(cli->args, 'l');
	int rc = 0;

	for (size_t i = 0; i < l->n && !cli_stopped(); i++) {
		const struct entry *e = &l->entries[i];

		if (want_long && i % PREFETCH == 0) {
			struct cm_fid fids[PREFETCH];
			size_t n = 0;

			for (; n < PREFETCH && i + n < l->n; n++)
				fids[n] = l->entries[i + n].fid;
			/* Only to save time; each failure is told when it is asked for by name. */
			cm_prefetch_status(dir, cli->token, fids, n, NULL);
		}
		if (want_long) {
			if (show_long(cli, dir, path, e))
				rc = -1;
		} else if (cli->json) {
			cli_result(cli,
				   json_pack("{s:o, s:b}", "name", cli_json_string(e->name), "directory", e->is_dir));
		} else {
			print_name(e->name);
			putchar('\n');
		}
	}
	return rc;
}

static int list_directory(struct cli *cli, struct cm_vnode *dir, const char *path)
{
	struct listing l = { .all = options_has(cli->args, 'a') };
	struct rx_error err = { 0 };
	int rc;

	if (cm_readdir(dir, cli->token, add_entry, &l, &err)) {
		cli_explain(cli, dir, 0, &err);
		rc = cli_error(cli, path, &err);
	} else {
		if (l.n)
			qsort(l.entries, l.n, sizeof(*l.entries), by_name);
		rc = show_entries(cli, dir, path, &l);
	}
	for (size_t i = 0; i < l.n; i++)
		free(l.entries[i].name);
	free(l.entries);
	return rc;
}

static int list_one(struct cli *cli, const char *path, bool headed)
{
	bool itself = options_has(cli->args, 'd');
	struct cm_vnode *v = cli_walk(cli, path, itself ? CM_WALK_NOFOLLOW | CM_WALK_NOMOUNT : 0);
	struct rx_error err = { 0 };
	struct cm_attr attr;
	int rc = -1;

	if (!v)
		return -1;
	if (cm_getattr(v, cli->token, &attr, &err)) {
		cli_explain(cli, v, 0, &err);
		cli_error(cli, path, &err);
	} else if (attr.type == CM_DIR && !itself) {
		if (headed && !cli->json)
			printf("%s:\n", path);
		rc = list_directory(cli, v, path);
	} else {
		rc = 0;
		if (cli->json || options_has(cli->args, 'l')) {
			rc = show_attr(cli, v, path, path, &attr);
		} else {
			print_name(path);
			putchar('\n');
		}
	}
	cm_vnode_put(v);
	return rc;
}

int cmd_ls(struct cli *cli, const struct cli_args *args)
{
	char home[300];
	int rc = 0;

	if (!args->noperands) {
		snprintf(home, sizeof(home), "/afs/%s", cm_local_cell(cli->cm));
		return list_one(cli, home, false);
	}
	for (int i = 0; i < args->noperands && !cli_stopped(); i++) {
		if (i && !cli->json)
			putchar('\n');
		if (list_one(cli, args->operands[i], args->noperands > 1))
			rc = -1;
	}
	return rc;
}
