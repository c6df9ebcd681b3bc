/* Unit tests of rx/xdr.c: every kind and form of field, byte for byte, and what a
 * hostile peer could write. Names carry the numbers of the RPC test catalogue. */
#include "rx/rx.h"
#include "rx/xdr.h"
#include "tests/unit.h"

struct pair {
	uint16_t a;
	int16_t b;
};

struct all {
	int32_t i32;
	uint64_t u64;
	char c;
	uint8_t uc;
	char name[4];
	uint8_t bytes[5];
	char *string;
	struct xdr_opaque opaque;
	struct pair pair;
	uint32_t vector[2];
	struct {
		uint32_t len;
		struct pair *items;
	} pairs;
	struct {
		uint32_t len;
		int64_t *items;
	} longs;
	struct {
		uint32_t len;
		char **items;
	} strings;
};

static const struct xdr_field pair_fields[] = {
	{ "a", XDR_U16, XDR_ONE, 1, offsetof(struct pair, a), NULL },
	{ "b", XDR_I16, XDR_ONE, 1, offsetof(struct pair, b), NULL },
};
static const struct xdr_type pair_type = { "pair", sizeof(struct pair), pair_fields, 2 };

static const struct xdr_field all_fields[] = {
	{ "i32", XDR_I32, XDR_ONE, 1, offsetof(struct all, i32), NULL },
	{ "u64", XDR_U64, XDR_ONE, 1, offsetof(struct all, u64), NULL },
	{ "c", XDR_CHAR, XDR_ONE, 1, offsetof(struct all, c), NULL },
	{ "uc", XDR_UCHAR, XDR_ONE, 1, offsetof(struct all, uc), NULL },
	{ "name", XDR_NAME, XDR_ONE, 4, offsetof(struct all, name), NULL },
	{ "bytes", XDR_BYTES, XDR_ONE, 5, offsetof(struct all, bytes), NULL },
	{ "string", XDR_STRING, XDR_ONE, 6, offsetof(struct all, string), NULL },
	{ "opaque", XDR_OPAQUE, XDR_ONE, 6, offsetof(struct all, opaque), NULL },
	{ "pair", XDR_STRUCT, XDR_ONE, 1, offsetof(struct all, pair), &pair_type },
	{ "vector", XDR_U32, XDR_VECTOR, 2, offsetof(struct all, vector), NULL },
	{ "pairs", XDR_STRUCT, XDR_ARRAY, 2, offsetof(struct all, pairs), &pair_type },
	{ "longs", XDR_I64, XDR_ARRAY, 500000000, offsetof(struct all, longs), NULL },
	{ "strings", XDR_STRING, XDR_ARRAY, 3, offsetof(struct all, strings), NULL },
};
static const struct xdr_type all_type = { "all", sizeof(struct all), all_fields, 13 };

static const char all_hex[] =
	"fffffffe 0102030405060708 ffffff80 00000080 00000061 ffffffe9 00000000 00000062 0102030405000000"
	"00000005 68656c6c6f000000 00000003 00ff0100 0000ffff ffff8000 00000007 00000008"
	"00000002 00000001 00000002 00000003 00000004 00000001 ffffffffffffffff"
	"00000002 00000000 00000001 78000000";

static struct all example(void)
{
	static struct pair pairs[] = { { 1, 2 }, { 3, 4 } };
	static int64_t longs[] = { -1 };
	static uint8_t opaque[] = { 0, 0xff, 1 };
	static char x[] = "x", hello[] = "hello";
	static char *strings[] = { NULL, x };
	struct all all = {
		.i32 = -2,
		.u64 = 0x0102030405060708,
		.c = (char)0x80,
		.uc = 0x80,
		.name = { 'a', (char)0xe9, 0, 'b' },
		.bytes = { 1, 2, 3, 4, 5 },
		.string = hello,
		.opaque = { 3, opaque },
		.pair = { 0xffff, -32768 },
		.vector = { 7, 8 },
	};

	all.pairs.len = 2;
	all.pairs.items = pairs;
	all.longs.len = 1;
	all.longs.items = longs;
	all.strings.len = 2;
	all.strings.items = strings;
	return all;
}

static int decode_hex(const struct xdr_type *type, const char *hex, void *obj, struct rx_error *err)
{
	uint8_t *bytes = malloc(512);
	size_t n = unit_hex(hex, bytes, 512);
	uint8_t *exact = malloc(n ? n : 1); /* ASan sees one byte too far */
	struct xdr_cursor in = { exact, exact + n };
	int rc;

	memcpy(exact, bytes, n);
	rc = xdr_decode(type, &in, obj, err);
	if (rc == 0)
		CU_ASSERT_PTR_EQUAL(in.p, in.end);
	free(exact);
	free(bytes);
	return rc;
}

static void test_every_kind(void)
{
	struct all all = example(), back;
	struct xdr_buf buf = { 0 };

	CU_ASSERT_EQUAL_FATAL(xdr_encode(&all_type, &all, &buf, NULL), 0);
	CU_ASSERT_TRUE(unit_is_hex(buf.data, buf.len, all_hex));
	CU_ASSERT_EQUAL(xdr_size(&all_type, &all), buf.len);
	CU_ASSERT_EQUAL_FATAL(decode_hex(&all_type, all_hex, &back, NULL), 0);
	CU_ASSERT_EQUAL(back.i32, -2);
	CU_ASSERT_EQUAL(back.u64, 0x0102030405060708);
	CU_ASSERT_EQUAL(back.pair.b, -32768);
	CU_ASSERT_STRING_EQUAL(back.string, "hello");
	CU_ASSERT_STRING_EQUAL(back.strings.items[0], "");
	CU_ASSERT_EQUAL(back.longs.items[0], -1);
	buf.len = 0;
	CU_ASSERT_EQUAL(xdr_encode(&all_type, &back, &buf, NULL), 0);
	CU_ASSERT_TRUE(unit_is_hex(buf.data, buf.len, all_hex));
	xdr_free(&all_type, &back);
	CU_ASSERT_PTR_NULL(back.string);
	xdr_buf_free(&buf);
}

static void test_out_of_range_words(void)
{
	struct pair pair;
	struct all all;
	char hex[sizeof(all_hex)];

	CU_ASSERT_EQUAL(decode_hex(&pair_type, "12345678 12348001", &pair, NULL), 0);
	CU_ASSERT_EQUAL(pair.a, 0x5678);
	CU_ASSERT_EQUAL(pair.b, (int16_t)0x8001);
	strcpy(hex, all_hex);
	memcpy(strstr(hex, "ffffff80"), "00000180", 8);
	memcpy(strstr(hex, "ffffffe9"), "123456e9", 8);
	CU_ASSERT_EQUAL_FATAL(decode_hex(&all_type, hex, &all, NULL), 0);
	CU_ASSERT_EQUAL((uint8_t)all.c, 0x80);
	CU_ASSERT_EQUAL((uint8_t)all.name[1], 0xe9);
	xdr_free(&all_type, &all);
}

struct one_string {
	char *s;
};
static const struct xdr_field one_string_fields[] = { { "s", XDR_STRING, XDR_ONE, 4, 0, NULL } };
static const struct xdr_type one_string = { "one_string", sizeof(struct one_string), one_string_fields, 1 };

static void test_strings(void)
{
	struct one_string s = { NULL };
	struct xdr_buf buf = { 0 };
	struct rx_error err;

	CU_ASSERT_EQUAL(decode_hex(&one_string, "00000004 61626364", &s, NULL), 0);
	CU_ASSERT_STRING_EQUAL(s.s, "abcd");
	xdr_free(&one_string, &s);
	CU_ASSERT_EQUAL(decode_hex(&one_string, "00000000", &s, NULL), 0);
	CU_ASSERT_STRING_EQUAL(s.s, "");
	xdr_free(&one_string, &s);
	/* Padding is not looked at. */
	CU_ASSERT_EQUAL(decode_hex(&one_string, "00000001 61ffffff", &s, NULL), 0);
	CU_ASSERT_STRING_EQUAL(s.s, "a");
	xdr_free(&one_string, &s);
	CU_ASSERT_EQUAL(decode_hex(&one_string, "00000005 6162636465000000", &s, &err), -1);
	CU_ASSERT_EQUAL(err.origin, RX_ORIGIN_RX);
	CU_ASSERT_EQUAL(err.code, RXGEN_CC_UNMARSHAL);
	CU_ASSERT_PTR_NULL(s.s);
	CU_ASSERT_EQUAL(decode_hex(&one_string, "00000003 61006300", &s, NULL), -1);
	CU_ASSERT_EQUAL(decode_hex(&one_string, "00000003 616263", &s, NULL), -1);
	CU_ASSERT_EQUAL(decode_hex(&one_string, "ffffffff 61626364", &s, NULL), -1);
	s.s = (char[]){ "abcde" };
	CU_ASSERT_EQUAL(xdr_encode(&one_string, &s, &buf, &err), -1);
	CU_ASSERT_EQUAL(err.code, RXGEN_CC_MARSHAL);
	CU_ASSERT_EQUAL(buf.len, 0);
	s.s[4] = 0;
	CU_ASSERT_EQUAL(xdr_encode(&one_string, &s, &buf, &err), 0);
	CU_ASSERT_TRUE(unit_is_hex(buf.data, buf.len, "00000004 61626364"));
	xdr_buf_free(&buf);
}

struct longs {
	struct {
		uint32_t len;
		int64_t *items;
	} longs;
};
static const struct xdr_field longs_fields[] = { { "longs", XDR_I64, XDR_ARRAY, UINT32_MAX, 0, NULL } };
static const struct xdr_type longs_type = { "longs", sizeof(struct longs), longs_fields, 1 };

static void test_counts(void)
{
	static const struct xdr_field two_fields[] = { { "longs", XDR_I64, XDR_ARRAY, 2, 0, NULL } };
	static const struct xdr_type two = { "two", sizeof(struct longs), two_fields, 1 };
	struct longs l;

	CU_ASSERT_EQUAL(decode_hex(&two, "00000003 0000000000000001 0000000000000002 0000000000000003", &l, NULL), -1);
	/* With these maxima only what is left in the input can refuse; 8 and 32 GiB would be asked for. */
	CU_ASSERT_EQUAL(decode_hex(&longs_type, "80000000 0000000000000001", &l, NULL), -1);
	CU_ASSERT_EQUAL(decode_hex(&longs_type, "ffffffff 0000000000000001", &l, NULL), -1);
	CU_ASSERT_EQUAL(decode_hex(&longs_type, "00000002 0000000000000001 00000000", &l, NULL), -1);
	CU_ASSERT_PTR_NULL(l.longs.items);
	CU_ASSERT_EQUAL(decode_hex(&longs_type, "00000001 0000000000000001", &l, NULL), 0);
	CU_ASSERT_EQUAL(l.longs.items[0], 1);
	xdr_free(&longs_type, &l);
	CU_ASSERT_EQUAL(decode_hex(&longs_type, "00000000", &l, NULL), 0);
	CU_ASSERT_PTR_NULL(l.longs.items);
	xdr_free(&longs_type, &l);
}

static void test_truncated(void)
{
	uint8_t bytes[512];
	size_t n = unit_hex(all_hex, bytes, sizeof(bytes));

	for (size_t len = 0; len < n; len++) {
		uint8_t *exact = malloc(len ? len : 1);
		struct xdr_cursor in = { exact, exact + len };
		struct rx_error err = { 0 };
		struct all all;

		memcpy(exact, bytes, len);
		CU_ASSERT_EQUAL(xdr_decode(&all_type, &in, &all, &err), -1);
		CU_ASSERT_EQUAL(err.code, RXGEN_CC_UNMARSHAL);
		CU_ASSERT_PTR_NULL(all.string);
		free(exact);
	}
}

static void test_names_end(void)
{
	struct all all = example();
	char hex[sizeof(all_hex)];
	struct xdr_buf buf = { 0 };

	strcpy(hex, all_hex);
	memcpy(strstr(hex, "ffffffe9 00000000") + 9, "00000063", 8);
	CU_ASSERT_EQUAL(decode_hex(&all_type, hex, &all, NULL), -1);
	all = example();
	all.name[2] = 'x';
	CU_ASSERT_EQUAL(xdr_encode(&all_type, &all, &buf, NULL), -1);
	xdr_buf_free(&buf);
}

static void test_bounds_of_types(void)
{
	CU_ASSERT_EQUAL(xdr_min_size(&pair_type), 8);
	CU_ASSERT_EQUAL(xdr_max_size(&pair_type), 8);
	CU_ASSERT_EQUAL(xdr_min_size(&one_string), 4);
	CU_ASSERT_EQUAL(xdr_max_size(&one_string), 8);
	CU_ASSERT_EQUAL(xdr_min_size(&longs_type), 4);
	CU_ASSERT_EQUAL(xdr_max_size(&longs_type), 4 + (size_t)UINT32_MAX * 8);
	CU_ASSERT_EQUAL(xdr_min_size(&all_type), 4 + 8 + 4 + 4 + 16 + 8 + 4 + 4 + 8 + 8 + 4 + 4 + 4);
}

static void test_fixed_buffer(void)
{
	struct all all = example();
	uint8_t space[512];
	size_t size = xdr_size(&all_type, &all);

	for (size_t cap = 0; cap <= size; cap++) {
		struct xdr_buf buf = { .data = space, .cap = cap, .fixed = true };

		CU_ASSERT_EQUAL(xdr_encode(&all_type, &all, &buf, NULL), cap == size ? 0 : -1);
		CU_ASSERT_EQUAL(buf.len, cap == size ? size : 0);
	}
}

UNIT_MAIN("xdr", { "XDR every kind and form of field is written as rxgen writes it, and read back", test_every_kind },
	  { "RPC-08 char/short out of range values truncated to low bits", test_out_of_range_words },
	  { "RPC-03 string of exactly max, max+1 (-453), empty, with NUL inside (-453)", test_strings },
	  { "RPC-04 array count max+1, 2^31, 2^32-1 refused without allocation", test_counts },
	  { "RPC-05 truncated at every boundary -> clean error", test_truncated },
	  { "RPC-64 a fixed name without NUL is refused in both directions", test_names_end },
	  { "XDR least and most sizes of types", test_bounds_of_types },
	  { "XDR a full fixed buffer refuses, and holds what it held", test_fixed_buffer })
