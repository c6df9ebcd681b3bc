/* Twins: a page's bytes as they were when it was granted, to know afterwards what a
 * mapping wrote; and the plan of what to store, made from the difference. A dirty page
 * without a twin was written as a whole. */
#ifndef UMAFS_VFS_EMU_TWIN_H
#define UMAFS_VFS_EMU_TWIN_H

#include "vfs-emu/space.h"

/* The twins of pages [first, first+n), for use without the space's lock while the pages
 * are W; NULL: no memory. free() it. */
uint8_t **twin_collect(const struct space *sp, uint64_t first, uint64_t n);

/* What of record r differs, clamped to size: one run, or every differing run (merged over
 * small gaps) when apart. -1: no memory. No locks needed while the pages are W. */
int twin_plan(const struct space *sp, const struct cm_record_view *r, uint8_t *const *twins, uint64_t size, bool apart,
	      struct cm_plan *plan);

#endif
