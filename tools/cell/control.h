/* Commands to a running cell (cell_control in cell.h). control.c parses them and has those on
 * servers, volumes and users; control_files.c those on files; callback.c the one that speaks to clients. */
#ifndef UMAFS_TOOLS_CELL_CONTROL_H
#define UMAFS_TOOLS_CELL_CONTROL_H

#include <stdio.h>

#include "tools/cell/internal.h"

enum { CELL_ARGS_MAX = 4 };

/* One command in progress. Functions return 0, or -1 with err. */
struct cell_command {
	struct cell *cell;
	unsigned n;
	const char *arg[CELL_ARGS_MAX]; /* behind the command's word */
	FILE *out;
	struct rx_error *err;
};

typedef int cell_command_fn(struct cell_command *c);
cell_command_fn cell_do_acl, cell_do_break, cell_do_callback, cell_do_change, cell_do_cksum, cell_do_get, cell_do_ls,
	cell_do_mkdir, cell_do_put, cell_do_read, cell_do_revoke, cell_do_rm, cell_do_setacl, cell_do_stat,
	cell_do_truncate, cell_do_write;

int cell_refuse(struct cell_command *c, int32_t code, const char *what);
int cell_number(struct cell_command *c, const char *text, uint64_t *out);
int cell_user(struct cell_command *c, const char *name, int32_t *id);

/* path.c */
int cell_path(struct cell_command *c, const char *path, struct afs_fid *fid);
/* The directory, and the last name. */
int cell_path_parent(struct cell_command *c, const char *path, struct afs_fid *dir, char name[AFS_NAME_MAX]);

#endif
