/* Session key to rxkad key: published results, and what the injected HMAC brings up that
 * no search would find. */
#include "rx/rxkad_kdf.h"
#include "rx/security.h"
#include "tests/unit.h"

static void kdf_is(int enctype, const uint8_t *key, size_t len, const char *want)
{
	struct rx_error err;
	uint8_t out[8];

	rx_error_clear(&err);
	CU_ASSERT_EQUAL(rxkad_kdf(enctype, key, len, out, &err), 0);
	CU_ASSERT(unit_is_hex(out, 8, want));
}

static void refused(int enctype, size_t len)
{
	static const uint8_t key[64] = { 1, 2, 3 };
	struct rx_error err;
	uint8_t out[8];

	rx_error_clear(&err);
	CU_ASSERT_EQUAL(rxkad_kdf(enctype, key, len, out, &err), -1);
	CU_ASSERT_EQUAL(err.origin, RX_ORIGIN_RXKAD);
	CU_ASSERT_EQUAL(err.code, RXKAD_BADKEY);
	CU_ASSERT_EQUAL(rxkad_kdf(enctype, key, len, out, NULL), -1);
}

static void test_table(void)
{
	uint8_t key[64];

	for (size_t i = 0; i < 32; i++)
		key[i] = (uint8_t)i;
	kdf_is(18, key, 32, "b60db5e30b266b16");
	kdf_is(17, key, 16, "07838c58c11c64ab");
	memset(key, 0xff, 32);
	kdf_is(20, key, 32, "0be0d5b0e6899d26");
	memset(key, 0, 16);
	kdf_is(19, key, 16, "9da4198f510dcd8c");
	kdf_is(23, (const uint8_t *)"umafs-session-16", 16, "385b34914f02a829");
	unit_hex("85784fb96158d8c490261c7724809acb33b899be876f20dcfd39e539c15dc777", key, 32);
	kdf_is(18, key, 32, "ce2ca8f4b3077fb3");
}

static void test_3des(void)
{
	static const int enctypes[] = { 5, 7, 16 };
	uint8_t key[24], out[21];

	unit_hex("850bb51358548cd05e86768c313e3bfef7511937dcf72c3e", key, 24);
	rxkad_compress_3des(key, out);
	CU_ASSERT(unit_is_hex(out, 21, "840ab41358558d5f87778d313f3bf7511937ddf62c"));
	for (size_t i = 0; i < 3; i++) {
		kdf_is(enctypes[i], key, 24, "07f2340443cd5b54");
		refused(enctypes[i], 21);
		refused(enctypes[i], 25);
	}
}

static const char weak[16][17] = {
	"0101010101010101", "fefefefefefefefe", "1f1f1f1f0e0e0e0e", "e0e0e0e0f1f1f1f1",
	"01fe01fe01fe01fe", "fe01fe01fe01fe01", "1fe01fe00ef10ef1", "e01fe01ff10ef10e",
	"01e001e001f101f1", "e001e001f101f101", "1ffe1ffe0efe0efe", "fe1ffe1ffe0efe0e",
	"011f011f010e010e", "1f011f010e010e01", "e0fee0fef1fef1fe", "fee0fee0fef1fef1",
};

static int calls;
static const char *first;

/* Gives `first` without its parity for counter 1, a good key for any other. */
static int fake_hmac(const uint8_t *key, size_t key_len, const uint8_t *msg, size_t msg_len, uint8_t out[16])
{
	(void)key, (void)key_len;
	calls++;
	CU_ASSERT_EQUAL(msg_len, 11);
	CU_ASSERT_EQUAL(msg[0], calls);
	CU_ASSERT_EQUAL(memcmp(msg + 1, "rxkad\0\0\0\0\x40", 10), 0);
	unit_hex(msg[0] == 1 ? first : "102030405060708090a0b0c0d0e0f000", out, 16);
	for (int i = 0; i < 8; i++)
		out[i] ^= (uint8_t)(i & 1);
	return 0;
}

static int weak_hmac(const uint8_t *key, size_t key_len, const uint8_t *msg, size_t msg_len, uint8_t out[16])
{
	(void)key, (void)key_len, (void)msg, (void)msg_len;
	unit_hex(weak[calls++ % 16], out, 8);
	return 0;
}

static int failing_hmac(const uint8_t *key, size_t key_len, const uint8_t *msg, size_t msg_len, uint8_t out[16])
{
	(void)key, (void)key_len, (void)msg, (void)msg_len, (void)out;
	return -1;
}

static void test_weak(void)
{
	uint8_t key[16] = { 0 }, out[8];
	struct rx_error err;

	for (int i = 0; i < 16; i++) {
		first = weak[i];
		calls = 0;
		CU_ASSERT_EQUAL(rxkad_kdf_with(fake_hmac, 17, key, 16, out, &err), 0);
		CU_ASSERT_EQUAL(calls, 2);
		CU_ASSERT(unit_is_hex(out, 8, "1020314051617080"));
	}
	first = "0101010101010103"; /* nearly weak */
	calls = 0;
	CU_ASSERT_EQUAL(rxkad_kdf_with(fake_hmac, 17, key, 16, out, &err), 0);
	CU_ASSERT_EQUAL(calls, 1);

	calls = 0;
	rx_error_clear(&err);
	CU_ASSERT_EQUAL(rxkad_kdf_with(weak_hmac, 17, key, 16, out, &err), -1);
	CU_ASSERT_EQUAL(calls, 255);
	CU_ASSERT_EQUAL(err.code, RXKAD_BADKEY);
	CU_ASSERT_EQUAL(rxkad_kdf_with(failing_hmac, 17, key, 16, out, &err), -1);
	CU_ASSERT_EQUAL(err.origin, RX_ORIGIN_ERRNO);
}

static void test_enctypes(void)
{
	static const int bad[] = { -1, -2147483647 - 1, 0, 4, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
	static const struct {
		int enctype;
		size_t len;
	} good[] = { { 17, 16 }, { 18, 32 }, { 19, 16 }, { 20, 32 }, { 23, 16 }, { 25, 16 }, { 26, 32 }, { 18, 7 } };
	static const uint8_t key[32] = { 9 };
	uint8_t out[8];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused(bad[i], 16);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		CU_ASSERT_EQUAL(rxkad_kdf(good[i].enctype, key, good[i].len, out, NULL), 0);
		for (int b = 0; b < 8; b++)
			CU_ASSERT(__builtin_parity(out[b])); /* odd */
	}
	refused(18, 6);
	refused(18, 0);
	for (int des = 1; des <= 3; des++) {
		kdf_is(des, (const uint8_t *)"\x01\x23\x45\x67\x89\xab\xcd\xef", 8, "0123456789abcdef");
		refused(des, 7);
		refused(des, 16);
	}
}

UNIT_MAIN("rxkad_kdf", { "SEC-06 KDF table", test_table }, { "SEC-06 3DES compression", test_3des },
	  { "SEC-06 injected HMAC: each of the 16 weak keys -> next counter; 255 weak -> error", test_weak },
	  { "SEC-06 enctypes 0,4,6,8-15,-1, key length 6 refused; the others by length; DES unchanged", test_enctypes })
