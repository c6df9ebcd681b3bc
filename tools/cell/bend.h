/* Changes to the bytes of a reply that is encoded already. Pure. */
#ifndef UMAFS_TOOLS_CELL_BEND_H
#define UMAFS_TOOLS_CELL_BEND_H

#include "cm/afs.h"

uint32_t cell_word_at(const struct xdr_buf *buf, size_t at);
void cell_word_set(struct xdr_buf *buf, size_t at, uint32_t word);
/* Where the field's first element begins (*at moves there), and how many there are. */
uint32_t cell_elements_at(const struct xdr_buf *buf, const struct xdr_field *f, size_t *at);
/* Where what begins at `at` ends. */
size_t cell_skip_element(const struct xdr_buf *buf, const struct xdr_field *f, size_t at);
size_t cell_skip_field(const struct xdr_buf *buf, const struct xdr_field *f, size_t at);
/* Puts len bytes (zeros if NULL) in the place of `gone` others. False: no memory, unchanged. */
bool cell_splice(struct xdr_buf *buf, size_t at, size_t gone, const void *bytes, size_t len);

/* The array whose count stands at `at` gets so many elements more (the last one again) or
 * fewer, as if it were so. False: no memory. */
bool cell_array_resize(struct xdr_buf *buf, const struct xdr_field *f, size_t at, int64_t more);
/* The first array of a reply. */
bool cell_bend_array(const struct xdr_type *type, struct xdr_buf *buf, int64_t more);
/* The length in the first status of a reply. */
void cell_bend_length(const struct xdr_type *type, struct xdr_buf *buf, int64_t more);

#endif
