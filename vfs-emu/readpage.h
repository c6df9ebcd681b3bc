/* readpage: filling a run of pages from the server. The pages are L from mark to the end
 * of fill; others park on them and retry with their own tokens. */
#ifndef UMAFS_VFS_EMU_READPAGE_H
#define UMAFS_VFS_EMU_READPAGE_H

#include "vfs-emu/space.h"

enum { READ_PAGES_MAX = 1024, READ_AHEAD_MAX = 256, READ_AHEAD_MIN = 16 };

struct read_run {
	uint64_t first, n;
	uint64_t gen, inval_gen; /* of the moment of the mark */
};

/* space->lock held. Marks EMPTY pages from index on, at most max, up to the first other
 * one, the end of the file or a truncation in progress. index itself must be EMPTY. */
bool readpage_mark(struct space *sp, uint64_t index, uint64_t max, struct read_run *run);
/* No locks held. One fetch under t. 0: filled, or overtaken by an invalidation or
 * truncation (start again from the top). -1: this token does not get it. */
int readpage_fill(struct space *sp, struct cm_token *t, const struct read_run *run, struct rx_error *err);
/* How far to read when page-ins come one after the other. */
uint64_t readpage_window(uint64_t index, uint64_t want, uint64_t *next, uint64_t *ahead);

#endif
