/* What a storm can see inside an embedded cell of its own process. */
#ifndef UMAFS_TOOLS_STORM_INSIDE_H
#define UMAFS_TOOLS_STORM_INSIDE_H

#include "tools/cell/internal.h"
#include "tools/storm/storm.h"

/* Lock of the cell held; NULL: there is none. */
struct cell_vnode *storm_inside_vnode(struct cell *cell, const struct cm_fid *fid);
/* As peek and missed of struct storm_stage_ops; ip: the client's. */
int64_t storm_inside_peek(struct cell *cell, const struct cm_fid *fid, uint8_t *buf, size_t cap);
bool storm_inside_missed(struct cell *cell, uint32_t ip);
bool storm_inside_is_store(const struct cell_rpc *rpc);

#endif
