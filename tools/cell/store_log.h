/* The records in which a directory store keeps everything but file data: one after another
 * in one log, each a length and its words; and which of them came about together. store_log.c
 * writes and reads them; store_dir.c owns the file. cell->lock held. */
#ifndef UMAFS_TOOLS_CELL_STORE_LOG_H
#define UMAFS_TOOLS_CELL_STORE_LOG_H

#include "rx/xdr.h"
#include "tools/cell/internal.h"

/* Each appends one record. No memory: the buffer stays as it is, and false comes back. */
bool cell_log_volume(struct xdr_buf *log, const struct cell_volume *volume);
bool cell_log_vnode(struct xdr_buf *log, const struct cell_vnode *v);
bool cell_log_gone(struct xdr_buf *log, const struct cell_vnode *v);
bool cell_log_edit(struct xdr_buf *log, const struct cell_vnode *dir, enum cell_edit edit, const char *name,
		   uint32_t vnode, uint32_t unique);
bool cell_log_principals(struct xdr_buf *log, const struct cell *cell);
/* What was appended from there on holds as a whole or not at all. */
bool cell_log_commit(struct xdr_buf *log, size_t from);
/* All that the cell has, without history. */
bool cell_log_everything(struct xdr_buf *log, const struct cell *cell);

/* Does what the records say to the cell's empty tables. What is cut before it was committed was
 * never acknowledged and is ignored; with cell->sync also all that follows what is not whole,
 * which a power failure has left. -1 with err: the log is damaged or of another cell. */
int cell_log_replay(struct cell *cell, const uint8_t *log, size_t len, struct rx_error *err);

#endif
