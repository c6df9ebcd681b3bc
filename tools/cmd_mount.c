/* mkmount, rmmount, lsmount. A mount point is a symbolic link without execute bits
 * whose text is "#VOLUME." or "#CELL:VOLUME."; "%" instead of "#" insists on the
 * read-write volume. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cm/mount.h"
#include "tools/cli.h"

int cmd_mkmount(struct cli *cli, const struct cli_args *args)
{
	const char *path = args->operands[0], *volume = args->operands[1];
	struct cm_vnode *dir;
	struct cm_volume_info info;
	struct rx_error err = { 0 };
	struct cm_mount m;
	char name[256], text[400];
	int rc = -1;

	snprintf(text, sizeof(text), "%c%s.", options_has(args, CLI_OPT_COMMAND) ? '%' : '#', volume);
	if (strlen(volume) > 300 || cm_mount_parse(text, &m))
		return cli_errorf(cli, volume, EINVAL, "this is no volume name; use NAME, NUMBER or CELL:NAME");
	dir = cli_walk_parent(cli, path, name);
	if (!dir)
		return -1;
	if (cm_volume_info_by_name(cli->cm, m.cell[0] ? m.cell : cm_vnode_cell(dir), m.volume, &info, &err))
		cli_note(cli, volume, "warning: %s; the mount point will lead nowhere until there is one", err.text);
	if (cm_symlink(dir, cli->token, name, text, true, &err)) {
		cli_explain(cli, dir, 0, &err);
		cli_error(cli, path, &err);
	} else {
		cli_done(cli, "mkmount", path);
		rc = 0;
	}
	cm_vnode_put(dir);
	return rc;
}

/* The mount point itself. NULL: told that it is none. */
static struct cm_vnode *mount_point(struct cli *cli, const char *path)
{
	struct cm_vnode *v = cli_walk(cli, path, CM_WALK_NOFOLLOW | CM_WALK_NOMOUNT);
	struct rx_error err = { 0 };
	struct cm_attr attr;

	if (!v)
		return NULL;
	if (cm_getattr(v, cli->token, &attr, &err)) {
		cli_explain(cli, v, 0, &err);
		cli_error(cli, path, &err);
	} else if (attr.type != CM_MOUNT) {
		cli_errorf(cli, path, EINVAL, "this is no mount point");
	} else {
		return v;
	}
	cm_vnode_put(v);
	return NULL;
}

static int remove_one(struct cli *cli, const char *path)
{
	struct cm_vnode *v = mount_point(cli, path), *dir = NULL;
	struct rx_error err = { 0 };
	char name[256];
	int rc = -1;

	if (!v)
		return -1;
	dir = cli_walk_parent(cli, path, name);
	if (!dir)
		goto out;
	if (cm_unlink(dir, cli->token, name, &err)) {
		cli_explain(cli, dir, 0, &err);
		cli_error(cli, path, &err);
		goto out;
	}
	cli_done(cli, "rmmount", path);
	rc = 0;
out:
	cm_vnode_put(dir);
	cm_vnode_put(v);
	return rc;
}

int cmd_rmmount(struct cli *cli, const struct cli_args *args)
{
	int rc = 0;

	for (int i = 0; i < args->noperands && !cli_stopped(); i++) {
		if (remove_one(cli, args->operands[i]))
			rc = -1;
	}
	return rc;
}

static int show_one(struct cli *cli, const char *path)
{
	struct cm_vnode *v = mount_point(cli, path);
	struct rx_error err = { 0 };
	struct cm_mount m;
	char *text = NULL;
	int rc = -1;

	if (!v)
		return -1;
	if (cm_readlink(v, cli->token, &text, &err)) {
		cli_error(cli, path, &err);
	} else if (cm_mount_parse(text, &m)) {
		cli_errorf(cli, path, EINVAL, "\"%s\" is no mount point's text; umafs rmmount removes it", text);
	} else {
		rc = 0;
		if (cli->json)
			cli_result(cli, json_pack("{s:o, s:o, s:b}", "path", cli_json_string(path), "volume",
						  cli_json_string(text), "read_write", m.force_rw));
		else
			printf("%s leads to volume %s (%s)\n", path, m.volume, text);
	}
	free(text);
	cm_vnode_put(v);
	return rc;
}

int cmd_lsmount(struct cli *cli, const struct cli_args *args)
{
	int rc = 0;

	for (int i = 0; i < args->noperands && !cli_stopped(); i++) {
		if (show_one(cli, args->operands[i]))
			rc = -1;
	}
	return rc;
}
