/* stat: everything a file server says of a file. */
#include <stdlib.h>

#include "tools/cli.h"

static const char *type_name(enum cm_type type)
{
	static const char *const names[] = { "?", "file", "directory", "symlink", "mount point" };

	return names[type <= CM_MOUNT ? type : 0];
}

static json_t *to_json(const char *path, const char *cell, const struct cm_attr *a, const char *target)
{
	char mine[FORMAT_SIZE], others[FORMAT_SIZE];
	json_t *o =
		json_pack("{s:o, s:s, s:s, s:[I,I,I], s:I, s:I, s:i, s:I, s:I, s:I, s:i, s:I, s:I, s:s, s:s, s:i}",
			  "path", cli_json_string(path), "type", type_name(a->type), "cell", cell, "fid",
			  (json_int_t)a->fid.volume, (json_int_t)a->fid.vnode, (json_int_t)a->fid.unique, "size",
			  (json_int_t)a->size, "data_version", (json_int_t)a->data_version, "mode", (int)a->mode,
			  "owner", (json_int_t)a->owner, "group", (json_int_t)a->group, "author", (json_int_t)a->author,
			  "links", (int)a->nlink, "mtime", (json_int_t)a->mtime, "server_mtime",
			  (json_int_t)a->server_mtime, "rights", format_rights(a->caller_rights, mine),
			  "anonymous_rights", format_rights(a->anonymous_rights, others), "locks", (int)a->lock_count);

	if (target)
		json_object_set_new(o, "target", cli_json_string(target));
	return o;
}

static void print(const char *path, const char *cell, const struct cm_attr *a, const char *target)
{
	char a1[FORMAT_SIZE], a2[FORMAT_SIZE];

	printf("%s%s%s\n", path, target ? " -> " : "", target ? target : "");
	printf("  type      %s, mode %s (%04o), %u link%s\n", type_name(a->type),
	       format_mode("?-dlm"[a->type <= CM_MOUNT ? a->type : 0], a -> mode, a1), a->mode, a->nlink,
	       a->nlink == 1 ? "" : "s");
	printf("  size      %llu bytes (%s)\n", (unsigned long long)a->size, format_size(a->size, a1));
	printf("  fid       %u.%u.%u in cell %s, data version %llu\n", a->fid.volume, a->fid.vnode, a->fid.unique, cell,
	       (unsigned long long)a->data_version);
	printf("  owner     %u, group %u, last author %u\n", a->owner, a->group, a->author);
	printf("  changed   %s (by the server's clock %s)\n", format_time(a->mtime, false, a1),
	       format_time(a->server_mtime, false, a2));
	printf("  rights    yours %s, anybody's %s\n", format_rights(a->caller_rights, a1),
	       format_rights(a->anonymous_rights, a2));
	if (a->lock_count)
		printf("  locks     %s\n", a->lock_count < 0 ? "locked for writing" : "locked for reading");
}

int cmd_stat(struct cli *cli, const struct cli_args *args)
{
	unsigned flags = options_has(args, 'L') ? 0 : CM_WALK_NOFOLLOW;
	int rc = 0;

	for (int i = 0; i < args->noperands && !cli_stopped(); i++) {
		const char *path = args->operands[i];
		struct cm_vnode *v = cli_walk(cli, path, flags);
		struct rx_error err = { 0 };
		struct cm_attr attr;
		char *target = NULL;

		if (!v) {
			rc = -1;
			continue;
		}
		if (cm_getattr(v, cli->token, &attr, &err)) {
			cli_explain(cli, v, 0, &err);
			rc = cli_error(cli, path, &err);
		} else {
			if (attr.type == CM_SYMLINK || attr.type == CM_MOUNT)
				cm_readlink(v, cli->token, &target, NULL);
			if (cli->json)
				cli_result(cli, to_json(path, cm_vnode_cell(v), &attr, target));
			else
				print(path, cm_vnode_cell(v), &attr, target);
			free(target);
		}
		cm_vnode_put(v);
	}
	return rc;
}
