/* The lies of replies, counted, told and named by walking the declaration of OUT: see lie.h.
 * Of arrays and vectors the first element lies. Called by reply.c on worker threads, by
 * commands and by tests. */
#include "tools/cell/lie.h"

#include <stdio.h>
#include <stdlib.h>

#include "tools/cell/bend.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { FILL_MAX = 2000, SURPLUS = 65536, FLOOD = 2 << 20 };

/* ---- what each kind can get wrong ---- */

static const uint32_t words[] = { 0, 0x7fffffff, 0x80000000, 0xffffffff };
static const uint32_t chars[] = { 0, 0x7f, 0x80, 0x100, 0xffffffff };
static const uint64_t doubles[] = {
	0, 0x7fffffff, 0x80000000, 0xffffffff, 1ull << 32, INT64_MAX, 1ull << 63, UINT64_MAX
};
/* Contents of names, strings and opaques. */
static const struct {
	const char *text;
	size_t len;
	const char *what;
} contents[] = {
#define TEXT(text, what)                                                                                               \
	{                                                                                                              \
		text, sizeof(text) - 1, what                                                                           \
	}
	TEXT("", "empty"),
	TEXT("a/b", "with a slash"),
	TEXT("..", "dots"),
	TEXT("\x1b[2J\n\xff", "control characters"),
	TEXT("half\0behind", "with a NUL inside"),
	/* access lists */
	TEXT("1\n0\nalice 127", "a list without its end"),
	TEXT("-1\n-1\n", "a list of negative counts"),
	TEXT("4000000000\n1\nalice 127\n", "a list of many, they say"),
	TEXT("1\n0\nalice 99999999999\n", "a list with huge rights"),
	TEXT("1\n0\n"
	     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	     "aaa 7\n",
	     "a list with a long name"),
#undef TEXT
};
enum name_lie { NAME_ENDLESS, NAME_WIDE, NAME_CONTENTS, NAME_LIES = NAME_CONTENTS + 5 };
static const char *const name_texts[] = { "without NUL", "of words that are no chars" };
enum counted_lie {
	COUNTED_MORE,
	COUNTED_LESS,
	COUNTED_LIMIT,
	COUNTED_OVER,
	COUNTED_WORDS,
	COUNTED_CONTENTS = COUNTED_WORDS + 3,
	COUNTED_LIES = COUNTED_CONTENTS + COUNT(contents),
};
static const char *const counted_texts[] = { "one byte more than there is", "one byte less", "of the greatest length",
					     "above the greatest length" };
enum array_lie {
	ARRAY_NONE,
	ARRAY_HIDDEN,
	ARRAY_FEWER,
	ARRAY_MORE,
	ARRAY_MISSING,
	ARRAY_LIMIT,
	ARRAY_OVER,
	ARRAY_WORDS,
	ARRAY_LIES = ARRAY_WORDS + 3,
};
static const char *const array_texts[] = { "none",           "said to be none",   "one fewer",
					   "one more",       "one more, missing", "at the limit, missing",
					   "above the limit" };
/* The words behind the kinds' own lies: all but 0. */
static const uint32_t *const huge = words + 1;

static unsigned own_lies(const struct xdr_field *f)
{
	switch (f->kind) {
	case XDR_I64:
	case XDR_U64:
		return COUNT(doubles);
	case XDR_CHAR:
	case XDR_UCHAR:
	case XDR_I16:
	case XDR_U16:
		return COUNT(chars);
	case XDR_NAME:
		return NAME_LIES;
	case XDR_STRING:
	case XDR_OPAQUE:
		return COUNTED_LIES;
	case XDR_BYTES:
		return 1;
	default:
		return COUNT(words);
	}
}

static unsigned type_lies(const struct xdr_type *type);

static unsigned element_lies(const struct xdr_field *f)
{
	return f->kind == XDR_STRUCT ? type_lies(f->type) : own_lies(f);
}

static unsigned field_lies(const struct xdr_field *f)
{
	return (f->form == XDR_ARRAY ? ARRAY_LIES : 0) + element_lies(f);
}

static unsigned type_lies(const struct xdr_type *type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < type->n; i++)
		n += field_lies(&type->fields[i]);
	return n;
}

/* ---- telling them ---- */

static bool set_word(struct xdr_buf *buf, size_t at, uint32_t word)
{
	cell_word_set(buf, at, word);
	return true;
}

static bool set_name(struct xdr_buf *buf, const struct xdr_field *f, size_t at, unsigned lie)
{
	for (uint32_t i = 0; i < f->count; i++) {
		uint32_t word = lie == NAME_ENDLESS ? 'A' : lie == NAME_WIDE ? 0x41414141 : 0;

		if (lie >= NAME_CONTENTS && i < contents[lie - NAME_CONTENTS].len)
			word = (uint32_t)(int32_t)(signed char)contents[lie - NAME_CONTENTS].text[i];
		cell_word_set(buf, at + 4 * (size_t)i, word);
	}
	return true;
}

/* Puts a string or opaque of len bytes there, with its padding. */
static bool set_bytes(struct xdr_buf *buf, const struct xdr_field *f, size_t at, const char *bytes, size_t len)
{
	size_t padded = (len + 3) & ~(size_t)3, gone = cell_skip_element(buf, f, at) - at - 4;
	uint8_t *copy = calloc(1, padded + 1);
	bool ok = copy;

	if (ok && bytes)
		memcpy(copy, bytes, len);
	else if (ok)
		memset(copy, 'A', len);
	ok = ok && cell_splice(buf, at + 4, gone, copy, padded) && set_word(buf, at, (uint32_t)len);
	free(copy);
	return ok;
}

static bool lie_counted(struct xdr_buf *buf, const struct xdr_field *f, size_t at, unsigned lie)
{
	uint32_t len = cell_word_at(buf, at);

	switch (lie) {
	case COUNTED_MORE:
		return set_word(buf, at, len + 4);
	case COUNTED_LESS:
		return len && set_word(buf, at, len - 1);
	case COUNTED_LIMIT:
		return set_bytes(buf, f, at, NULL, f->count);
	case COUNTED_OVER:
		return set_bytes(buf, f, at, NULL, (size_t)f->count + 1);
	default:
		if (lie < COUNTED_CONTENTS)
			return set_word(buf, at, huge[lie - COUNTED_WORDS]);
		lie -= COUNTED_CONTENTS;
		return contents[lie].len <= f->count && set_bytes(buf, f, at, contents[lie].text, contents[lie].len);
	}
}

static bool lie_array(struct xdr_buf *buf, const struct xdr_field *f, size_t at, unsigned lie)
{
	uint32_t n = cell_word_at(buf, at);

	switch (lie) {
	case ARRAY_NONE:
		return n && cell_array_resize(buf, f, at, -(int64_t)n);
	case ARRAY_HIDDEN:
		return n && set_word(buf, at, 0);
	case ARRAY_FEWER:
		return n && cell_array_resize(buf, f, at, -1);
	case ARRAY_MORE:
		return cell_array_resize(buf, f, at, 1);
	case ARRAY_MISSING:
		return set_word(buf, at, n + 1);
	case ARRAY_LIMIT:
		return set_word(buf, at, f->count);
	case ARRAY_OVER:
		return f->count < FILL_MAX ? cell_array_resize(buf, f, at, (int64_t)f->count + 1 - n)
					   : set_word(buf, at, f->count + 1);
	default:
		return set_word(buf, at, huge[lie - ARRAY_WORDS]);
	}
}

static bool lie_element(struct xdr_buf *buf, const struct xdr_field *f, size_t at, unsigned lie)
{
	switch (f->kind) {
	case XDR_I64:
	case XDR_U64:
		return set_word(buf, at, (uint32_t)(doubles[lie] >> 32)) &&
		       set_word(buf, at + 4, (uint32_t)doubles[lie]);
	case XDR_CHAR:
	case XDR_UCHAR:
	case XDR_I16:
	case XDR_U16:
		return set_word(buf, at, chars[lie]);
	case XDR_NAME:
		return set_name(buf, f, at, lie);
	case XDR_STRING:
	case XDR_OPAQUE:
		return lie_counted(buf, f, at, lie);
	case XDR_BYTES:
		memset(buf->data + at, 0xff, f->count);
		return true;
	default:
		return set_word(buf, at, words[lie]);
	}
}

static bool lie_type(struct xdr_buf *buf, const struct xdr_type *type, size_t at, unsigned lie)
{
	for (unsigned i = 0; i < type->n; i++) {
		const struct xdr_field *f = &type->fields[i];
		unsigned lies = field_lies(f), behind = f->form == XDR_ARRAY ? ARRAY_LIES : 0;
		size_t element = at;

		if (lie >= lies) {
			lie -= lies;
			at = cell_skip_field(buf, f, at);
			continue;
		}
		if (lie < behind)
			return lie_array(buf, f, at, lie);
		if (!cell_elements_at(buf, f, &element))
			return false;
		return f->kind == XDR_STRUCT ? lie_type(buf, f->type, element, lie - behind)
					     : lie_element(buf, f, element, lie - behind);
	}
	return false;
}

enum whole_lie {
	WHOLE_NOTHING,
	WHOLE_HALF,
	WHOLE_WORD,
	WHOLE_BYTE,
	WHOLE_MORE,
	WHOLE_SURPLUS,
	WHOLE_FLOOD,
	WHOLE_LIES
};
static const char *const whole_texts[] = { "nothing",         "half of it",  "a word short", "a byte short",
					   "four bytes more", "64 KiB more", "2 MiB more" };

static bool lie_whole(struct xdr_buf *buf, unsigned lie)
{
	size_t more = lie == WHOLE_MORE ? 4 : lie == WHOLE_SURPLUS ? SURPLUS : FLOOD;

	if (lie >= WHOLE_MORE)
		return cell_splice(buf, buf->len, 0, NULL, more);
	if (!buf->len)
		return false;
	buf->len = lie == WHOLE_NOTHING ? 0 : lie == WHOLE_HALF ? buf->len / 2 : buf->len - (lie == WHOLE_WORD ? 4 : 1);
	return true;
}

/* ---- the parts of a procedure's lies ---- */

enum part { WHOLE, LENGTH, DIRECTORY, LINK, FIELD };
enum length_lie { LENGTH_MORE, LENGTH_LESS, LENGTH_VALUES, LENGTH_LIES = LENGTH_VALUES + COUNT(doubles) };

static bool fetches(const struct rx_rpc *proc)
{
	return proc->split == RX_RPC_FETCH32 || proc->split == RX_RPC_FETCH64;
}

static unsigned part_lies(const struct rx_rpc *proc, enum part part)
{
	switch (part) {
	case WHOLE:
		return WHOLE_LIES;
	case LENGTH:
		return fetches(proc) ? LENGTH_LIES : 0;
	case DIRECTORY:
		return fetches(proc) ? cell_dir_lies : 0;
	case LINK:
		return fetches(proc) ? cell_link_lies : 0;
	default:
		return type_lies(proc->out);
	}
}

unsigned cell_lies(const struct rx_rpc *proc)
{
	unsigned n = 0;

	for (enum part part = WHOLE; part <= FIELD; part++)
		n += part_lies(proc, part);
	return n;
}

/* True if the lie is one of the part; then *lie becomes its number there. */
static bool is_of(const struct rx_rpc *proc, enum part wanted, unsigned *lie)
{
	for (enum part part = WHOLE; part < wanted; part++) {
		if (*lie < part_lies(proc, part))
			return false;
		*lie -= part_lies(proc, part);
	}
	return *lie < part_lies(proc, wanted);
}

bool cell_lie_reply(const struct rx_rpc *proc, unsigned lie, struct xdr_buf *out)
{
	unsigned field = lie;

	if (is_of(proc, WHOLE, &lie))
		return lie_whole(out, lie);
	return is_of(proc, FIELD, &field) && lie_type(out, proc->out, 0, field);
}

bool cell_lie_length(const struct rx_rpc *proc, unsigned lie, uint64_t *len)
{
	if (!is_of(proc, LENGTH, &lie))
		return false;
	if (lie < LENGTH_VALUES)
		*len += lie == LENGTH_MORE ? 1 : UINT64_MAX;
	else
		*len = doubles[lie - LENGTH_VALUES];
	return true;
}

bool cell_lie_contents(const struct rx_rpc *proc, unsigned lie, uint32_t vnode_type, uint8_t *bytes, size_t len)
{
	unsigned link = lie;

	if (vnode_type == AFS_TYPE_DIR)
		return is_of(proc, DIRECTORY, &lie) && cell_lie_dir(lie, bytes, len);
	return vnode_type == AFS_TYPE_SYMLINK && is_of(proc, LINK, &link) && cell_lie_link(link, bytes, len);
}

/* ---- naming them ---- */

static void name_own(const struct xdr_field *f, unsigned lie, char *text, size_t size)
{
	switch (f->kind) {
	case XDR_I64:
	case XDR_U64:
		snprintf(text, size, "%#llx", (unsigned long long)doubles[lie]);
		break;
	case XDR_CHAR:
	case XDR_UCHAR:
	case XDR_I16:
	case XDR_U16:
		snprintf(text, size, "%#x", chars[lie]);
		break;
	case XDR_NAME:
		snprintf(text, size, "%s", lie < NAME_CONTENTS ? name_texts[lie] : contents[lie - NAME_CONTENTS].what);
		break;
	case XDR_STRING:
	case XDR_OPAQUE:
		if (lie >= COUNTED_WORDS && lie < COUNTED_CONTENTS)
			snprintf(text, size, "of length %#x", huge[lie - COUNTED_WORDS]);
		else
			snprintf(text, size, "%s",
				 lie < COUNTED_WORDS ? counted_texts[lie] : contents[lie - COUNTED_CONTENTS].what);
		break;
	case XDR_BYTES:
		snprintf(text, size, "all ones");
		break;
	default:
		snprintf(text, size, "%#x", words[lie]);
	}
}

static void name_type(const struct xdr_type *type, unsigned lie, char *text, size_t size)
{
	for (unsigned i = 0; i < type->n; i++) {
		const struct xdr_field *f = &type->fields[i];
		unsigned lies = field_lies(f), behind = f->form == XDR_ARRAY ? ARRAY_LIES : 0;
		size_t n;

		if (lie >= lies) {
			lie -= lies;
			continue;
		}
		n = (size_t)snprintf(text, size, "%s%s%s", f->name, f->form == XDR_ONE || lie < behind ? "" : "[0]",
				     f->kind == XDR_STRUCT && lie >= behind ? "." : " ");
		n = n < size ? n : size;
		if (lie >= behind && f->kind == XDR_STRUCT)
			name_type(f->type, lie - behind, text + n, size - n);
		else if (lie >= behind)
			name_own(f, lie - behind, text + n, size - n);
		else if (lie < ARRAY_WORDS)
			snprintf(text + n, size - n, "%s", array_texts[lie]);
		else
			snprintf(text + n, size - n, "said to be %#x", huge[lie - ARRAY_WORDS]);
		return;
	}
}

const char *cell_lie_text(const struct rx_rpc *proc, unsigned lie, char text[CELL_LIE_TEXT])
{
	unsigned k = lie;

	text[0] = 0;
	if (is_of(proc, WHOLE, &k))
		snprintf(text, CELL_LIE_TEXT, "the reply: %s", whole_texts[k]);
	else if (k = lie, is_of(proc, LENGTH, &k) && k < LENGTH_VALUES)
		snprintf(text, CELL_LIE_TEXT, "the data's length: one %s", k == LENGTH_MORE ? "more" : "less");
	else if (k = lie, is_of(proc, LENGTH, &k))
		snprintf(text, CELL_LIE_TEXT, "the data's length: %#llx",
			 (unsigned long long)doubles[k - LENGTH_VALUES]);
	else if (k = lie, is_of(proc, DIRECTORY, &k))
		snprintf(text, CELL_LIE_TEXT, "the directory: %s", cell_dir_lie_text(k));
	else if (k = lie, is_of(proc, LINK, &k))
		snprintf(text, CELL_LIE_TEXT, "the link: %s", cell_link_lie_text(k));
	else if (k = lie, is_of(proc, FIELD, &k))
		name_type(proc->out, k, text, CELL_LIE_TEXT);
	return text;
}
