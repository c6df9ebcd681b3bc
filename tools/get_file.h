/* Fetching one file: segments side by side into a temporary file next to the final name,
 * which it gets when every byte is there and all belong to one version. */
#ifndef UMAFS_TOOLS_GET_FILE_H
#define UMAFS_TOOLS_GET_FILE_H

#include "tools/transfer.h"

/* How the run went, for the closing line. */
struct get_tally {
	uint64_t wanted, fetched; /* files; atomic */
};

/* Queues the fetch of v to local; takes references and copies what it needs. */
void get_file(struct transfer *t, struct get_tally *tally, struct cm_vnode *v, const struct cm_attr *attr,
	      const char *path, const char *local);

#endif
