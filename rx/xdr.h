/* XDR as rxgen writes it: C structs are turned into big-endian words and back by
 * walking a table that describes them. Called by rx/rpc.c for every RPC, by servers
 * and tests; the tables come from the RPC declarations of upper rooms (cm/afs.h).
 * Everything from the wire is compared with its declared maximum and with what is
 * left of the input before memory is taken for it. No state; any thread. */
#ifndef UMAFS_RX_XDR_H
#define UMAFS_RX_XDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rx/error.h"

/* One element of a field. Names in the comments: C type; what is on the wire. */
enum xdr_kind {
	XDR_I32,    /* int32_t; a word */
	XDR_U32,    /* uint32_t; a word */
	XDR_I64,    /* int64_t; two words, high first */
	XDR_U64,    /* uint64_t; two words, high first */
	XDR_I16,    /* int16_t; a sign-extended word, only its low 16 bits count */
	XDR_U16,    /* uint16_t; a word, only its low 16 bits count */
	XDR_CHAR,   /* char or uint8_t; a sign-extended word, only its low 8 bits count */
	XDR_UCHAR,  /* uint8_t; a zero-extended word, only its low 8 bits count */
	XDR_NAME,   /* char[count]; count sign-extended words, with a NUL among them */
	XDR_STRING, /* char * (malloc, NUL-terminated); length <= count, bytes without NUL, padding */
	XDR_OPAQUE, /* struct xdr_opaque; length <= count, bytes, padding */
	XDR_BYTES,  /* uint8_t[count]; bytes, padding */
	XDR_STRUCT, /* struct of `type` */
};

/* How often the element occurs. NAME, STRING, OPAQUE and BYTES only come ONE at a time. */
enum xdr_form {
	XDR_ONE,
	XDR_VECTOR, /* T[count]; no count on the wire */
	XDR_ARRAY,  /* struct { uint32_t len; T *items; }; len <= count as a word, then the items */
};

struct xdr_field {
	const char *name;
	enum xdr_kind kind;
	enum xdr_form form;
	uint32_t count; /* vector's length, or the maximum of an array, string or opaque */
	size_t offset;
	const struct xdr_type *type; /* XDR_STRUCT */
};

struct xdr_type {
	const char *name;
	size_t size; /* of the C struct */
	const struct xdr_field *fields;
	unsigned n;
};

struct xdr_opaque {
	uint32_t len;
	uint8_t *data; /* malloc; NULL when len is 0 */
};

/* How every XDR_ARRAY field looks to the codec. */
struct xdr_array {
	uint32_t len;
	void *items; /* malloc; NULL when len is 0 */
};

/* Input: what is still unread. */
struct xdr_cursor {
	const uint8_t *p, *end;
};

/* Output: grows by realloc, unless `fixed` (then data is the caller's). {0} is an empty growing one. */
struct xdr_buf {
	uint8_t *data;
	size_t len, cap;
	bool fixed;
};

void xdr_buf_free(struct xdr_buf *buf);
int xdr_put_u32(struct xdr_buf *buf, uint32_t v);
int xdr_put_u64(struct xdr_buf *buf, uint64_t v);
/* False when too little is left; nothing is consumed then. */
bool xdr_get_u32(struct xdr_cursor *in, uint32_t *v);
bool xdr_get_u64(struct xdr_cursor *in, uint64_t *v);

/* Appends obj. A NULL string counts as "". On -1 (longer than declared: EINVAL and
 * RXGEN_CC_MARSHAL; no memory or fixed buffer full) buf holds what it held before. */
int xdr_encode(const struct xdr_type *type, const void *obj, struct xdr_buf *buf, struct rx_error *err);

/* Zeroes obj and fills it; xdr_free it afterwards. On -1 (RXGEN_CC_UNMARSHAL) obj is
 * zero again and owns nothing; the cursor is somewhere inside the bad value. */
int xdr_decode(const struct xdr_type *type, struct xdr_cursor *in, void *obj, struct rx_error *err);

/* Frees what obj owns, and zeroes it. Not obj itself. */
void xdr_free(const struct xdr_type *type, void *obj);

/* Bytes that xdr_encode will write for obj. */
size_t xdr_size(const struct xdr_type *type, const void *obj);

/* Least and most bytes that any object of the type takes; equal when it is of fixed
 * size. SIZE_MAX: more than can be counted. */
size_t xdr_min_size(const struct xdr_type *type);
size_t xdr_max_size(const struct xdr_type *type);

#endif
