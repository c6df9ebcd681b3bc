/* Storing one file or symbolic link: under a temporary name in the directory where it
 * will be, which it trades for its own when the server has all of it. */
#ifndef UMAFS_TOOLS_PUT_FILE_H
#define UMAFS_TOOLS_PUT_FILE_H

#include <sys/stat.h>

#include "tools/transfer.h"

struct put_tally {
	uint64_t wanted, stored; /* files; atomic */
};

/* Queues the store of `local` as `name` in dir; takes a reference, copies the rest.
 * dir_path: for messages. */
void put_file(struct transfer *t, struct put_tally *tally, struct cm_vnode *dir, const char *dir_path, const char *name,
	      const char *local, const struct stat *st);

/* Makes a symbolic link, or replaces one. Told on failure. */
int put_link(struct cli *cli, struct cm_vnode *dir, const char *path, const char *name, const char *local,
	     const struct stat *st);

#endif
