/* How replies can lie. The lies of a procedure are numbered from 0 and made from its
 * declaration: the reply as a whole, the announced length of data, the contents of a
 * directory or link, and of every field of OUT what its kind can get wrong. Pure. */
#ifndef UMAFS_TOOLS_CELL_LIE_H
#define UMAFS_TOOLS_CELL_LIE_H

#include "cm/afs.h"

enum { CELL_LIE_TEXT = 160 };

unsigned cell_lies(const struct rx_rpc *proc);
/* The lie in words; returns text. */
const char *cell_lie_text(const struct rx_rpc *proc, unsigned lie, char text[CELL_LIE_TEXT]);

/* Each of these tells the lie if it is one of its part and there is something to lie about. */
bool cell_lie_reply(const struct rx_rpc *proc, unsigned lie, struct xdr_buf *out);
bool cell_lie_length(const struct rx_rpc *proc, unsigned lie, uint64_t *len);
/* The first bytes of what is fetched, which is of this type; a directory's first page is there. */
bool cell_lie_contents(const struct rx_rpc *proc, unsigned lie, uint32_t vnode_type, uint8_t *bytes, size_t len);

/* lie_contents.c */
extern const unsigned cell_dir_lies, cell_link_lies;
const char *cell_dir_lie_text(unsigned lie);
const char *cell_link_lie_text(unsigned lie);
bool cell_lie_dir(unsigned lie, uint8_t *blob, size_t len);
bool cell_lie_link(unsigned lie, uint8_t *bytes, size_t len);

#endif
