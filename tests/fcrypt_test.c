/* fcrypt against published vectors, and its fast forms against a byte-wise one written
 * here straight from the definition. `fcrypt_test SPEED` prints MB/s. */
#include <openssl/sha.h>
#include <time.h>

#include "rx/fcrypt.h"
#include "tests/unit.h"

static const struct {
	const char *key, *plain, *cipher;
} ecb[] = {
	{ "0000000000000000", "0000000000000000", "0e0900c73ef7ed41" },
	{ "114477aadd003366", "123456789abcdef0", "d8ed787477ec0680" },
	{ "ffffffffffffffff", "ffffffffffffffff", "f1f6ff38c10812be" },
	{ "0101010101010101", "0000000000000000", "0e0900c73ef7ed41" },
	{ "8000000000000000", "0000000000000000", "46f95f15cb2df666" },
	{ "0000000000000000", "8000000000000000", "cc75a39c64f5a1a2" },
	{ "0123456789abcdef", "0000000000000001", "c139c0cb02d49d01" },
	{ "6162636465666768", "11111111aaaaaaaa", "e03e8347d403f651" },
};

#define FOX "The quick brown fox jumps over the lazy dogs.\0\0" /* 48 bytes with its own NUL */

/* xorshift64*: the same numbers every run. */
static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t number(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * 0x2545f4914f6cdd1d;
}

static void fill(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(number() >> 56);
}

static void set_key(struct fcrypt_key *key, const char *hex)
{
	uint8_t bytes[8];

	CU_ASSERT_EQUAL_FATAL(unit_hex(hex, bytes, 8), 8);
	fcrypt_set_key(key, bytes);
}

/* The definition: bytes, no tables. */
static void slow_f(const uint8_t right[4], uint32_t round, uint8_t left[4])
{
	uint8_t x[4];
	uint32_t w;

	for (int i = 0; i < 4; i++)
		x[i] = (uint8_t)(right[i] ^ round >> (24 - 8 * i));
	w = (uint32_t)fcrypt_sbox[3][x[3]] << 24 | (uint32_t)fcrypt_sbox[2][x[2]] << 16 |
	    (uint32_t)fcrypt_sbox[0][x[0]] << 8 | fcrypt_sbox[1][x[1]];
	w = w >> 5 | w << 27;
	for (int i = 0; i < 4; i++)
		left[i] ^= (uint8_t)(w >> (24 - 8 * i));
}

static void slow_encrypt(const struct fcrypt_key *key, uint8_t b[8])
{
	for (int r = 0; r < 16; r++)
		slow_f(r & 1 ? b : b + 4, key->round[r], r & 1 ? b + 4 : b);
}

static void slow_pcbc(const struct fcrypt_key *key, const uint8_t iv[8], const uint8_t *in, uint8_t *out, size_t len)
{
	uint8_t v[8], p[8];

	memcpy(v, iv, 8);
	for (size_t at = 0; at < len; at += 8) {
		memset(p, 0, 8);
		memcpy(p, in + at, len - at < 8 ? len - at : 8);
		for (int i = 0; i < 8; i++)
			out[at + (size_t)i] = p[i] ^ v[i];
		slow_encrypt(key, out + at);
		for (int i = 0; i < 8; i++)
			v[i] = p[i] ^ out[at + (size_t)i];
	}
}

static void test_tables(void)
{
	const uint32_t(*t)[256] = fcrypt_tables();
	uint8_t bytes[4096], sum[32];

	SHA256(fcrypt_sbox[0], sizeof(fcrypt_sbox), sum);
	CU_ASSERT(unit_is_hex(sum, 32, "a558a40e6f1a01d0e33dff432fbc022b7eb72a01ecccef77f7dffeebe8e65dac"));
	for (size_t i = 0; i < 4096; i++)
		bytes[i] = (uint8_t)(t[i / 1024][i / 4 % 256] >> (24 - 8 * (i % 4)));
	SHA256(bytes, sizeof(bytes), sum);
	CU_ASSERT(unit_is_hex(sum, 32, "82c7369d2bb9e04a786f5052e7ed2c2ee9fa20a3fe72ea14af7dc5d0167509b6"));
}

static void test_ecb(void)
{
	uint8_t bytes[8], plain[8], out[8];
	struct fcrypt_key key, flipped;

	for (size_t i = 0; i < sizeof(ecb) / sizeof(ecb[0]); i++) {
		set_key(&key, ecb[i].key);
		unit_hex(ecb[i].plain, plain, 8);
		fcrypt_encrypt(&key, plain, out);
		CU_ASSERT(unit_is_hex(out, 8, ecb[i].cipher));
		fcrypt_decrypt(&key, out, out);
		CU_ASSERT(unit_is_hex(out, 8, ecb[i].plain));

		unit_hex(ecb[i].key, bytes, 8);
		for (int b = 0; b < 8; b++) {
			bytes[b] ^= 1;
			fcrypt_set_key(&flipped, bytes);
			CU_ASSERT_EQUAL(memcmp(&flipped, &key, sizeof(key)), 0);
		}
	}
}

static void test_schedules(void)
{
	static const struct {
		const char *key;
		uint32_t round[16];
	} want[] = {
		{ "114477aadd003366",
		  { 0x5dc00cb3, 0x3babb801, 0x42277577, 0x598844ee, 0x00cb3108, 0xbb801966, 0x77577003, 0x844eeaee,
		    0xb31089dd, 0x01966211, 0x770032cc, 0xeeaee006, 0x089dd5dc, 0x662113ba, 0x032cc422, 0xee006598 } },
		{ "0123456789abcdef",
		  { 0x38957377, 0xa26712ae, 0x01144ce2, 0xbb802289, 0x57377004, 0x712ae6ee, 0x44ce255c, 0x022899c4,
		    0x77004513, 0xae6ee008, 0xe255cddc, 0x899c4ab9, 0x04513389, 0xee008a26, 0x5cddc011, 0xc4ab9bb8 } },
	};
	struct fcrypt_key key;

	for (size_t i = 0; i < 2; i++) {
		set_key(&key, want[i].key);
		CU_ASSERT_EQUAL(memcmp(key.round, want[i].round, sizeof(key.round)), 0);
	}
}

static void pcbc_vector(const char *key_hex, const char *iv_hex, const uint8_t *text, size_t len, const char *cipher)
{
	uint8_t iv[8], v[8], out[48], pieces[48];
	size_t padded = (len + 7) / 8 * 8;
	struct fcrypt_key key;

	set_key(&key, key_hex);
	unit_hex(iv_hex, iv, 8);
	memcpy(v, iv, 8);
	fcrypt_pcbc_encrypt(&key, v, text, out, len);
	CU_ASSERT(unit_is_hex(out, padded, cipher));

	for (size_t cut = 0; cut <= len; cut += 8) { /* in place, in two pieces */
		memcpy(v, iv, 8);
		memcpy(pieces, text, len);
		fcrypt_pcbc_encrypt(&key, v, pieces, pieces, cut);
		fcrypt_pcbc_encrypt(&key, v, pieces + cut, pieces + cut, len - cut);
		CU_ASSERT_EQUAL(memcmp(pieces, out, padded), 0);

		memcpy(v, iv, 8);
		fcrypt_pcbc_decrypt(&key, v, pieces, pieces, cut);
		fcrypt_pcbc_decrypt(&key, v, pieces + cut, pieces + cut, padded - cut);
		CU_ASSERT_EQUAL(memcmp(pieces, text, len), 0);
		for (size_t i = len; i < padded; i++)
			CU_ASSERT_EQUAL(pieces[i], 0);
	}
	memcpy(v, iv, 8);
	fcrypt_pcbc_decrypt(&key, v, out, pieces, padded);
	CU_ASSERT_EQUAL(memcmp(pieces, text, len), 0);
}

static void test_pcbc(void)
{
	uint8_t count[24];

	for (size_t i = 0; i < sizeof(count); i++)
		count[i] = (uint8_t)i;
	pcbc_vector("f0e1d2c3b4a59687", "fedcba9876543210", (const uint8_t *)FOX, 48,
		    "00f00e1175e62382eeac98624451e484c359d8aa6460aef7d2d9137972a3450323b562d70cf527d1f8913cac442292ef");
	pcbc_vector("fedcba9876543210", "f0e1d2c3b4a59687", (const uint8_t *)FOX, 48,
		    "ca90f59dcbd4d23c01887f3e316e629dd8e057a3063a42582a28fe72522fdde01989091c2a8e8c94fcc768e488aade0f");
	pcbc_vector("0123456789abcdef", "0123456789abcdef", count, 24,
		    "678ff1396eb24d56ce0580004f1274dddf5edbdaac952892");
	pcbc_vector("0123456789abcdef", "0123456789abcdef", count, 13, "678ff1396eb24d56502c762d71f06cc5");
}

static void test_decrypt_rounds_down(void)
{
	uint8_t iv[8] = { 0 }, buf[20], want[20];
	struct fcrypt_key key;

	set_key(&key, "0123456789abcdef");
	fill(buf, sizeof(buf));
	memcpy(want, buf, sizeof(buf));
	fcrypt_pcbc_decrypt(&key, iv, buf, buf, 20);
	CU_ASSERT_EQUAL(memcmp(buf + 16, want + 16, 4), 0);
	CU_ASSERT_NOT_EQUAL(memcmp(buf, want, 16), 0);
}

static void test_agreement(void)
{
	uint8_t key_bytes[8], iv[8], v[8], *plain = malloc(4096), *slow = malloc(4096), *fast = malloc(4096);
	struct fcrypt_key key;
	unsigned bad = 0;

	for (int i = 0; i < 1000000; i++) {
		if (i % 16 == 0) {
			fill(key_bytes, 8);
			fcrypt_set_key(&key, key_bytes);
		}
		uint64_t block = number();

		memcpy(plain, &block, 8);
		memcpy(slow, &block, 8);
		slow_encrypt(&key, slow);
		fcrypt_encrypt(&key, plain, fast);
		bad += memcmp(slow, fast, 8) != 0;
		fcrypt_decrypt(&key, fast, fast);
		bad += memcmp(plain, fast, 8) != 0;
	}
	for (size_t len = 0; len <= 4096; len += len < 80 ? 1 : 8) {
		fill(iv, 8);
		fill(plain, len);
		slow_pcbc(&key, iv, plain, slow, len);
		memcpy(v, iv, 8);
		fcrypt_pcbc_encrypt(&key, v, plain, fast, len);
		bad += memcmp(slow, fast, (len + 7) / 8 * 8) != 0;
		memcpy(v, iv, 8);
		fcrypt_pcbc_decrypt(&key, v, fast, fast, (len + 7) / 8 * 8);
		bad += memcmp(plain, fast, len) != 0;
	}
	CU_ASSERT_EQUAL(bad, 0);
	free(plain);
	free(slow);
	free(fast);
}

static void test_many(void)
{
	uint8_t iv[8], *buf[9], want[9][200];
	struct fcrypt_key key;
	size_t len[9];

	set_key(&key, "114477aadd003366");
	for (size_t n = 0; n <= 9; n++) {
		fill(iv, 8);
		for (size_t i = 0; i < n; i++) {
			len[i] = number() % 26 * 8;
			buf[i] = malloc(len[i] + 1);
			fill(buf[i], len[i]);
			slow_pcbc(&key, iv, buf[i], want[i], len[i]);
		}
		fcrypt_pcbc_encrypt_many(&key, iv, buf, len, n);
		for (size_t i = 0; i < n; i++) {
			CU_ASSERT_EQUAL(memcmp(buf[i], want[i], len[i]), 0);
			free(buf[i]);
		}
	}
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void test_speed(void)
{
	enum { ROUNDS = 2000, PACKET = 1408, N = 8 };
	static uint8_t packets[N][PACKET];
	double start, mb = (double)ROUNDS * N * PACKET / 1e6, enc, many, dec;
	uint8_t *buf[N], iv[8] = { 0 };
	struct fcrypt_key key;
	size_t len[N];

	set_key(&key, "114477aadd003366");
	for (int i = 0; i < N; i++) {
		buf[i] = packets[i];
		len[i] = PACKET;
	}
	start = seconds();
	for (int r = 0; r < ROUNDS * N; r++)
		fcrypt_pcbc_encrypt(&key, iv, buf[r % N], buf[r % N], PACKET);
	enc = mb / (seconds() - start);
	start = seconds();
	for (int r = 0; r < ROUNDS; r++)
		fcrypt_pcbc_encrypt_many(&key, iv, buf, len, N);
	many = mb / (seconds() - start);
	start = seconds();
	for (int r = 0; r < ROUNDS * N; r++)
		fcrypt_pcbc_decrypt(&key, iv, buf[r % N], buf[r % N], PACKET);
	dec = mb / (seconds() - start);
	printf("\n    MB/s: encrypt %.0f, encrypt 8 packets at a time %.0f, decrypt %.0f ...", enc, many, dec);
	CU_ASSERT(dec > 0);
}

UNIT_MAIN("fcrypt", { "SEC-01 SHA-256 of the four S-boxes and of T0..T3", test_tables },
	  { "SEC-02 all ECB vectors, both directions; parity-bit flips of the key change nothing", test_ecb },
	  { "SEC-03 both key schedules", test_schedules },
	  { "SEC-04 PCBC vectors incl. 13-byte padding; in place = out of place; split at every 8 bytes", test_pcbc },
	  { "SEC-04 decryption rounds its length down and touches nothing beyond", test_decrypt_rounds_down },
	  { "SEC-05 table-driven, interleaved and byte-wise forms agree on 10^6 inputs, lengths 0..4096",
	    test_agreement },
	  { "SEC-05 several packets at a time = each alone, any lengths", test_many },
	  { "SEC-39 SPEED, a figure to read", test_speed })
