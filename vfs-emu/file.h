/* A file handle: a space and a token, fixed for life, and where sequential reading is. */
#ifndef UMAFS_VFS_EMU_FILE_H
#define UMAFS_VFS_EMU_FILE_H

#include "vfs-emu/space.h"

struct vfs_file {
	struct vfs *vfs;
	struct space *space;    /* one reference */
	struct cm_token *token; /* one reference */
	bool write;
	/* space->lock: */
	uint64_t cursor;
	uint64_t ahead_next, ahead; /* where a sequential reader goes on, pages to read ahead */
};

/* Stores t's records in [from, to) and reports, once per cursor, what was lost. *cursor
 * is guarded by the space's lock. No locks held. */
int file_sync(struct space *sp, struct cm_token *t, uint64_t from, uint64_t to, uint64_t *cursor, struct rx_error *err);

#endif
