/* Changes to a reply that is encoded already: the description of its type says where in the
 * bytes a field lies. The bytes are our own encoder's, so they are what the type says. Pure;
 * called by reply.c and lie.c. */
#include "tools/cell/bend.h"

#include <stdlib.h>
#include <string.h>

uint32_t cell_word_at(const struct xdr_buf *buf, size_t at)
{
	const uint8_t *p = buf->data + at;

	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void cell_word_set(struct xdr_buf *buf, size_t at, uint32_t word)
{
	for (unsigned i = 0; i < 4; i++)
		buf->data[at + i] = (uint8_t)(word >> (24 - 8 * i));
}

static size_t padded(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

size_t cell_skip_element(const struct xdr_buf *buf, const struct xdr_field *f, size_t at)
{
	switch (f->kind) {
	case XDR_I64:
	case XDR_U64:
		return at + 8;
	case XDR_NAME:
		return at + 4 * (size_t)f->count;
	case XDR_BYTES:
		return at + padded(f->count);
	case XDR_STRING:
	case XDR_OPAQUE:
		return at + 4 + padded(cell_word_at(buf, at));
	case XDR_STRUCT:
		for (unsigned i = 0; i < f->type->n; i++)
			at = cell_skip_field(buf, &f->type->fields[i], at);
		return at;
	default:
		return at + 4;
	}
}

uint32_t cell_elements_at(const struct xdr_buf *buf, const struct xdr_field *f, size_t *at)
{
	if (f->form == XDR_VECTOR)
		return f->count;
	if (f->form == XDR_ONE)
		return 1;
	*at += 4;
	return cell_word_at(buf, *at - 4);
}

size_t cell_skip_field(const struct xdr_buf *buf, const struct xdr_field *f, size_t at)
{
	for (uint32_t n = cell_elements_at(buf, f, &at); n; n--)
		at = cell_skip_element(buf, f, at);
	return at;
}

bool cell_splice(struct xdr_buf *buf, size_t at, size_t gone, const void *bytes, size_t len)
{
	size_t rest = buf->len - at - gone;
	uint8_t *data = malloc(buf->len - gone + len + 1);

	if (!data)
		return false;
	if (at)
		memcpy(data, buf->data, at);
	if (bytes && len)
		memcpy(data + at, bytes, len);
	else
		memset(data + at, 0, len);
	if (rest)
		memcpy(data + at + len, buf->data + at + gone, rest);
	free(buf->data);
	*buf = (struct xdr_buf){ .data = data, .len = at + len + rest, .cap = at + len + rest + 1 };
	return true;
}

static size_t least_size(const struct xdr_field *f)
{
	return f->kind == XDR_STRUCT ? xdr_min_size(f->type) : f->kind == XDR_I64 || f->kind == XDR_U64 ? 8 : 4;
}

bool cell_array_resize(struct xdr_buf *buf, const struct xdr_field *f, size_t at, int64_t more)
{
	uint32_t n = cell_word_at(buf, at), keep = n + more < 0 ? 0 : n + more < n ? (uint32_t)(n + more) : n;
	size_t end = at + 4, last = end, cut = end, size = least_size(f);
	uint8_t *copies;
	bool ok;

	for (uint32_t i = 0; i < n; i++) {
		last = end;
		end = cell_skip_element(buf, f, end);
		size = end - last;
		if (i + 1 == keep)
			cut = end;
	}
	cell_word_set(buf, at, more < 0 ? keep : n + (uint32_t)more);
	if (more < 0)
		return cell_splice(buf, cut, end - cut, NULL, 0);
	copies = calloc((size_t)more, size);
	for (int64_t i = 0; copies && n && i < more; i++)
		memcpy(copies + (size_t)i * size, buf->data + last, size);
	ok = copies && cell_splice(buf, end, 0, copies, size * (size_t)more);
	free(copies);
	return ok;
}

bool cell_bend_array(const struct xdr_type *type, struct xdr_buf *buf, int64_t more)
{
	size_t at = 0;

	for (unsigned i = 0; i < type->n; i++) {
		if (type->fields[i].form == XDR_ARRAY)
			return cell_array_resize(buf, &type->fields[i], at, more);
		at = cell_skip_field(buf, &type->fields[i], at);
	}
	return true;
}

void cell_bend_length(const struct xdr_type *type, struct xdr_buf *buf, int64_t more)
{
	const size_t length = 12; /* fourth word of a status */
	size_t at = 0;

	for (unsigned i = 0; i < type->n; i++) {
		const struct xdr_field *f = &type->fields[i];
		size_t element = at;

		if (f->type == &afs_type_afs_fetch_status && cell_elements_at(buf, f, &element)) {
			cell_word_set(buf, element + length, cell_word_at(buf, element + length) + (uint32_t)more);
			return;
		}
		at = cell_skip_field(buf, f, at);
	}
}
