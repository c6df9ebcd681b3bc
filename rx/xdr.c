/* The XDR codec: see rx/xdr.h. One walk per direction over the field tables; objects
 * are touched with memcpy only, so that an array of any T can be reached through
 * struct xdr_array. Nesting is as deep as the tables, which are constant and finite,
 * so the recursion is bounded by the program, never by the wire. */
#include "rx/xdr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rx/rx.h"

static size_t padded(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

/* Saturating, for sizes of types whose arrays have huge maxima. */
static size_t sat_add(size_t a, size_t b)
{
	size_t sum;

	return __builtin_add_overflow(a, b, &sum) ? SIZE_MAX : sum;
}

static size_t sat_mul(size_t a, size_t b)
{
	size_t product;

	return __builtin_mul_overflow(a, b, &product) ? SIZE_MAX : product;
}

/* Size of one element in memory; NAME and BYTES are one element of their whole length. */
static size_t element_size(const struct xdr_field *f)
{
	switch (f->kind) {
	case XDR_I32:
	case XDR_U32:
		return 4;
	case XDR_I64:
	case XDR_U64:
		return 8;
	case XDR_I16:
	case XDR_U16:
		return 2;
	case XDR_CHAR:
	case XDR_UCHAR:
		return 1;
	case XDR_NAME:
	case XDR_BYTES:
		return f->count;
	case XDR_STRING:
		return sizeof(char *);
	case XDR_OPAQUE:
		return sizeof(struct xdr_opaque);
	case XDR_STRUCT:
		return f->type->size;
	}
	abort();
}

/* Least bytes of one element on the wire, or most. */
static size_t element_wire_size(const struct xdr_field *f, bool most)
{
	switch (f->kind) {
	case XDR_I64:
	case XDR_U64:
		return 8;
	case XDR_NAME:
		return 4 * (size_t)f->count;
	case XDR_BYTES:
		return padded(f->count);
	case XDR_STRING:
	case XDR_OPAQUE:
		return 4 + (most ? padded(f->count) : 0);
	case XDR_STRUCT:
		return most ? xdr_max_size(f->type) : xdr_min_size(f->type);
	default:
		return 4;
	}
}

static size_t wire_bound(const struct xdr_type *type, bool most)
{
	size_t sum = 0;

	for (unsigned i = 0; i < type->n; i++) {
		const struct xdr_field *f = &type->fields[i];
		size_t n = f->form == XDR_VECTOR || (f->form == XDR_ARRAY && most) ? f->count : f->form == XDR_ONE;

		if (f->form == XDR_ARRAY)
			sum = sat_add(sum, 4);
		if (n)
			sum = sat_add(sum, sat_mul(n, element_wire_size(f, most)));
	}
	return sum;
}

size_t xdr_min_size(const struct xdr_type *type)
{
	return wire_bound(type, false);
}

size_t xdr_max_size(const struct xdr_type *type)
{
	return wire_bound(type, true);
}

/* The elements of a field: where they lie and how many there are. */
static const uint8_t *elements(const struct xdr_field *f, const uint8_t *obj, uint32_t *n)
{
	struct xdr_array array;

	*n = f->form == XDR_VECTOR ? f->count : 1;
	if (f->form != XDR_ARRAY)
		return obj + f->offset;
	memcpy(&array, obj + f->offset, sizeof(array));
	*n = array.items ? array.len : 0;
	return array.items;
}

size_t xdr_size(const struct xdr_type *type, const void *obj)
{
	size_t sum = 0;

	for (unsigned i = 0; i < type->n; i++) {
		const struct xdr_field *f = &type->fields[i];
		struct xdr_opaque opaque;
		char *string;
		uint32_t n;
		const uint8_t *p = elements(f, obj, &n);

		if (f->form == XDR_ARRAY)
			sum += 4;
		for (; n; n--, p += element_size(f)) {
			switch (f->kind) {
			case XDR_STRUCT:
				sum += xdr_size(f->type, p);
				break;
			case XDR_STRING:
				memcpy(&string, p, sizeof(string));
				sum += 4 + (string ? padded(strlen(string)) : 0);
				break;
			case XDR_OPAQUE:
				memcpy(&opaque, p, sizeof(opaque));
				sum += 4 + padded(opaque.len);
				break;
			default:
				sum += element_wire_size(f, false);
			}
		}
	}
	return sum;
}

/* ---- encoding ---- */

void xdr_buf_free(struct xdr_buf *buf)
{
	if (!buf->fixed)
		free(buf->data);
	*buf = (struct xdr_buf){ 0 };
}

/* Where n more bytes go, or NULL. */
static uint8_t *grow(struct xdr_buf *buf, size_t n)
{
	if (n > SIZE_MAX / 4 - buf->len)
		return NULL;
	if (buf->len + n > buf->cap) {
		size_t cap = buf->cap ? buf->cap : 256;
		uint8_t *data;

		if (buf->fixed)
			return NULL;
		while (cap < buf->len + n)
			cap *= 2;
		data = realloc(buf->data, cap);
		if (!data)
			return NULL;
		buf->data = data;
		buf->cap = cap;
	}
	buf->len += n;
	return buf->data + buf->len - n;
}

static void store_word(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static uint32_t load_word(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

int xdr_put_u32(struct xdr_buf *buf, uint32_t v)
{
	uint8_t *p = grow(buf, 4);

	if (!p)
		return -1;
	store_word(p, v);
	return 0;
}

int xdr_put_u64(struct xdr_buf *buf, uint64_t v)
{
	uint8_t *p = grow(buf, 8);

	if (!p)
		return -1;
	store_word(p, (uint32_t)(v >> 32));
	store_word(p + 4, (uint32_t)v);
	return 0;
}

static int put_bytes(struct xdr_buf *buf, const void *bytes, size_t len)
{
	uint8_t *p = grow(buf, padded(len));

	if (!p)
		return -1;
	if (len)
		memcpy(p, bytes, len);
	memset(p + len, 0, padded(len) - len);
	return 0;
}

static int no_room(struct rx_error *err, const struct xdr_buf *buf)
{
	return rx_error_set(err, RX_ORIGIN_RX, RXGEN_CC_MARSHAL, buf->fixed ? EMSGSIZE : ENOMEM,
			    "no room to encode more than %zu bytes", buf->len);
}

static int too_long(struct rx_error *err, const struct xdr_type *type, const struct xdr_field *f, size_t len)
{
	return rx_error_set(err, RX_ORIGIN_RX, RXGEN_CC_MARSHAL, EINVAL, "%s.%s is %zu long, the protocol allows %u",
			    type->name, f->name, len, f->count);
}

/* The kinds that are one word per element (or per byte of a NAME). */
static uint32_t word_of(enum xdr_kind kind, const uint8_t *p)
{
	uint32_t word;
	int16_t i16;
	uint16_t u16;

	switch (kind) {
	case XDR_I16:
		memcpy(&i16, p, sizeof(i16));
		return (uint32_t)(int32_t)i16;
	case XDR_U16:
		memcpy(&u16, p, sizeof(u16));
		return u16;
	case XDR_CHAR:
	case XDR_NAME:
		return (uint32_t)(int32_t)(int8_t)*p;
	case XDR_UCHAR:
		return *p;
	default:
		memcpy(&word, p, sizeof(word));
		return word;
	}
}

static int encode_bytes(const struct xdr_type *type, const struct xdr_field *f, const uint8_t *p, struct xdr_buf *buf,
			struct rx_error *err)
{
	struct xdr_opaque opaque = { 0 };
	const void *data;
	size_t len;

	if (f->kind == XDR_BYTES)
		return put_bytes(buf, p, f->count) ? no_room(err, buf) : 0;
	if (f->kind == XDR_STRING) {
		char *string;

		memcpy(&string, p, sizeof(string));
		data = string ? string : "";
		len = strlen(data);
	} else {
		memcpy(&opaque, p, sizeof(opaque));
		data = opaque.data;
		len = opaque.len;
	}
	if (len > f->count)
		return too_long(err, type, f, len);
	if (xdr_put_u32(buf, (uint32_t)len) || put_bytes(buf, data, len))
		return no_room(err, buf);
	return 0;
}

static int encode_fields(const struct xdr_type *type, const uint8_t *obj, struct xdr_buf *buf, struct rx_error *err);

static int encode_field(const struct xdr_type *type, const struct xdr_field *f, const uint8_t *obj, struct xdr_buf *buf,
			struct rx_error *err)
{
	uint32_t n;
	const uint8_t *p = elements(f, obj, &n);
	size_t size = f->kind == XDR_NAME ? 1 : element_size(f);

	if (f->form == XDR_ARRAY) {
		if (n > f->count)
			return too_long(err, type, f, n);
		if (xdr_put_u32(buf, n))
			return no_room(err, buf);
	}
	if (f->kind == XDR_NAME) {
		n = f->count;
		if (!memchr(p, 0, n))
			return too_long(err, type, f, n);
	}
	for (; n; n--, p += size) {
		uint64_t v;

		switch (f->kind) {
		case XDR_I64:
		case XDR_U64:
			memcpy(&v, p, sizeof(v));
			if (xdr_put_u64(buf, v))
				return no_room(err, buf);
			break;
		case XDR_STRING:
		case XDR_OPAQUE:
		case XDR_BYTES:
			if (encode_bytes(type, f, p, buf, err))
				return -1;
			break;
		case XDR_STRUCT:
			if (encode_fields(f->type, p, buf, err))
				return -1;
			break;
		default:
			if (xdr_put_u32(buf, word_of(f->kind, p)))
				return no_room(err, buf);
		}
	}
	return 0;
}

static int encode_fields(const struct xdr_type *type, const uint8_t *obj, struct xdr_buf *buf, struct rx_error *err)
{
	for (unsigned i = 0; i < type->n; i++)
		if (encode_field(type, &type->fields[i], obj, buf, err))
			return -1;
	return 0;
}

int xdr_encode(const struct xdr_type *type, const void *obj, struct xdr_buf *buf, struct rx_error *err)
{
	size_t before = buf->len;

	if (encode_fields(type, obj, buf, err)) {
		buf->len = before;
		return -1;
	}
	return 0;
}

/* ---- decoding ---- */

static size_t left(const struct xdr_cursor *in)
{
	return (size_t)(in->end - in->p);
}

bool xdr_get_u32(struct xdr_cursor *in, uint32_t *v)
{
	if (left(in) < 4)
		return false;
	*v = load_word(in->p);
	in->p += 4;
	return true;
}

bool xdr_get_u64(struct xdr_cursor *in, uint64_t *v)
{
	if (left(in) < 8)
		return false;
	*v = (uint64_t)load_word(in->p) << 32 | load_word(in->p + 4);
	in->p += 8;
	return true;
}

static int bad(struct rx_error *err, const struct xdr_type *type, const struct xdr_field *f, const char *what)
{
	return rx_error_set(err, RX_ORIGIN_RX, RXGEN_CC_UNMARSHAL, EBADMSG, "malformed data: %s.%s %s", type->name,
			    f->name, what);
}

static void set_word(enum xdr_kind kind, uint8_t *p, uint32_t word)
{
	uint16_t half = (uint16_t)word;

	switch (kind) {
	case XDR_I16:
	case XDR_U16:
		memcpy(p, &half, sizeof(half));
		break;
	case XDR_CHAR:
	case XDR_UCHAR:
	case XDR_NAME:
		*p = (uint8_t)word;
		break;
	default:
		memcpy(p, &word, sizeof(word));
	}
}

static int decode_bytes(const struct xdr_type *type, const struct xdr_field *f, struct xdr_cursor *in, uint8_t *p,
			struct rx_error *err)
{
	uint32_t len = f->count;
	uint8_t *copy;

	if (f->kind != XDR_BYTES && !xdr_get_u32(in, &len))
		return bad(err, type, f, "is cut short");
	if (len > f->count)
		return bad(err, type, f, "is longer than the protocol allows");
	if (padded(len) > left(in))
		return bad(err, type, f, "is cut short");
	if (f->kind == XDR_BYTES) {
		memcpy(p, in->p, len);
	} else if (f->kind == XDR_STRING || len) {
		if (f->kind == XDR_STRING && memchr(in->p, 0, len))
			return bad(err, type, f, "contains a NUL");
		copy = malloc((size_t)len + 1);
		if (!copy)
			return rx_error_errno(err, ENOMEM, "decoding %s.%s", type->name, f->name);
		memcpy(copy, in->p, len);
		copy[len] = 0;
		if (f->kind == XDR_STRING)
			memcpy(p, &copy, sizeof(copy));
		else
			memcpy(p, &(struct xdr_opaque){ len, copy }, sizeof(struct xdr_opaque));
	}
	in->p += padded(len);
	return 0;
}

/* Takes the count, and the memory only once that many items can still follow. */
static int decode_array(const struct xdr_type *type, const struct xdr_field *f, struct xdr_cursor *in, uint8_t *p,
			struct rx_error *err)
{
	struct xdr_array array = { 0 };
	size_t least = element_wire_size(f, false);

	if (!xdr_get_u32(in, &array.len))
		return bad(err, type, f, "is cut short");
	if (array.len > f->count)
		return bad(err, type, f, "has more items than the protocol allows");
	if (array.len > left(in) / (least ? least : 4))
		return bad(err, type, f, "is cut short");
	if (array.len) {
		array.items = calloc(array.len, element_size(f));
		if (!array.items)
			return rx_error_errno(err, ENOMEM, "decoding %s.%s", type->name, f->name);
	}
	memcpy(p, &array, sizeof(array));
	return 0;
}

static int decode_fields(const struct xdr_type *type, struct xdr_cursor *in, uint8_t *obj, struct rx_error *err);

static int decode_field(const struct xdr_type *type, const struct xdr_field *f, struct xdr_cursor *in, uint8_t *obj,
			struct rx_error *err)
{
	size_t size = f->kind == XDR_NAME ? 1 : element_size(f);
	struct xdr_array array = { f->form == XDR_VECTOR || f->kind == XDR_NAME ? f->count : 1, obj + f->offset };
	uint8_t *p;

	if (f->form == XDR_ARRAY) {
		if (decode_array(type, f, in, obj + f->offset, err))
			return -1;
		memcpy(&array, obj + f->offset, sizeof(array));
	}
	p = array.items;
	for (uint32_t n = array.len; n; n--, p += size) {
		uint32_t word;
		uint64_t v;

		switch (f->kind) {
		case XDR_I64:
		case XDR_U64:
			if (!xdr_get_u64(in, &v))
				return bad(err, type, f, "is cut short");
			memcpy(p, &v, sizeof(v));
			break;
		case XDR_STRING:
		case XDR_OPAQUE:
		case XDR_BYTES:
			if (decode_bytes(type, f, in, p, err))
				return -1;
			break;
		case XDR_STRUCT:
			if (decode_fields(f->type, in, p, err))
				return -1;
			break;
		default:
			if (!xdr_get_u32(in, &word))
				return bad(err, type, f, "is cut short");
			set_word(f->kind, p, word);
		}
	}
	if (f->kind == XDR_NAME && !memchr(obj + f->offset, 0, f->count))
		return bad(err, type, f, "has no NUL");
	return 0;
}

static int decode_fields(const struct xdr_type *type, struct xdr_cursor *in, uint8_t *obj, struct rx_error *err)
{
	for (unsigned i = 0; i < type->n; i++)
		if (decode_field(type, &type->fields[i], in, obj, err))
			return -1;
	return 0;
}

int xdr_decode(const struct xdr_type *type, struct xdr_cursor *in, void *obj, struct rx_error *err)
{
	if (type->size)
		memset(obj, 0, type->size);
	if (decode_fields(type, in, obj, err)) {
		xdr_free(type, obj);
		return -1;
	}
	return 0;
}

void xdr_free(const struct xdr_type *type, void *obj)
{
	for (unsigned i = 0; i < type->n; i++) {
		const struct xdr_field *f = &type->fields[i];
		struct xdr_opaque opaque;
		struct xdr_array array;
		uint32_t n;
		uint8_t *p = (uint8_t *)(uintptr_t)elements(f, obj, &n);
		char *string;

		if (f->kind != XDR_STRUCT && f->kind != XDR_STRING && f->kind != XDR_OPAQUE)
			n = 0; /* plain bytes own nothing */
		for (; n; n--, p += element_size(f)) {
			if (f->kind == XDR_STRUCT) {
				xdr_free(f->type, p);
			} else if (f->kind == XDR_STRING) {
				memcpy(&string, p, sizeof(string));
				free(string);
			} else {
				memcpy(&opaque, p, sizeof(opaque));
				free(opaque.data);
			}
		}
		if (f->form == XDR_ARRAY) {
			memcpy(&array, (uint8_t *)obj + f->offset, sizeof(array));
			free(array.items);
		}
	}
	if (type->size)
		memset(obj, 0, type->size);
}
