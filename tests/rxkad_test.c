/* rxkad's packets and handshake, both ends, against worked examples and real captures. */
#include <errno.h>

#include "rx/rxkad.h"
#include "tests/unit.h"

#define TICKET "TICKET-0123456789abcdefghijklmnopqrstuv"
#define TICKET_HEX "5449434b45542d303132333435363738396162636465666768696a6b6c6d6e6f70717273747576"

enum { EPOCH = 0x5f3c1a20, FOREVER = 0x7fffffff };
static const uint32_t CID = 0x8d6b4c10;
static const uint8_t K[8] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef };
static const char D[] = "00000085111122223333444455";

/* A published service key and a ticket sealed with it; its session key is 00 01 .. 1f. */
enum { TICKET_START = 1735689600, TICKET_END = TICKET_START + 36000, NOW = TICKET_START + 60 };
static const char published_ticket[] =
	"3081bea003020112a103020103a281b10481aec8d63ae23dfb8c1e1e86ee626bee3f4994edb80e84e60f76901d027cab0455d8fb012b"
	"c2a3a2a38505f8c00c110d8e2fd20d8227734a2d87988dc8e7aa5ae176c9d8bf057c0c30958080d364a855311d3a5963a6da5730a64a"
	"a1695fdd17bfebed39b991c7f7bb114809348cb93127029efef6ff2f5f3a1cdecc7538d8843afff694a69caa6e74c39d015aaa9920d9"
	"6f5bab4d43c586d121125be7f0bec6ffee8bb9b9053e88d2afcfddea879a61";

struct end {
	struct rx_security *sec;
	const struct rx_security_ops *ops;
	void *state;
};

static struct end end_of(struct rx_security *sec, bool client, uint32_t epoch, uint32_t cid)
{
	struct end e = { .sec = sec };
	struct rx_error err;

	CU_ASSERT_PTR_NOT_NULL_FATAL(sec);
	e.ops = sec->ops;
	CU_ASSERT_EQUAL_FATAL(e.ops->conn_new(sec, client, epoch, cid, &e.state, &err), 0);
	return e;
}

static void end_free(struct end *e)
{
	e->ops->conn_free(e->state);
	rx_security_put(e->sec);
}

static struct end client_with(int level, int kvno)
{
	return end_of(rxkad_client_new(level, kvno, 1, K, 8, (const uint8_t *)TICKET, strlen(TICKET), FOREVER, NULL),
		      true, EPOCH, CID);
}

static struct end client(int level)
{
	return client_with(level, 256);
}

/* A client and a server that share the published ticket. */
static struct end published_client(int level)
{
	uint8_t session[32], ticket[193];

	for (int i = 0; i < 32; i++)
		session[i] = (uint8_t)i;
	CU_ASSERT_EQUAL(unit_hex(published_ticket, ticket, sizeof(ticket)), 193);
	return end_of(rxkad_client_new(level, 213, 18, session, 32, ticket, 193, TICKET_END, NULL), true, EPOCH, CID);
}

static struct end published_server_at(int min_level, uint32_t epoch, uint32_t cid)
{
	struct rxkad_service_key key = { .kvno = 3, .enctype = 18, .len = 32 };
	uint8_t bytes[32];

	for (int i = 0; i < 32; i++)
		bytes[i] = (uint8_t)(0xa0 + i);
	key.key = bytes;
	return end_of(rxkad_server_new(&key, 1, min_level, "EXAMPLE.ORG", NULL), false, epoch, cid);
}

static struct end published_server(int min_level)
{
	return published_server_at(min_level, EPOCH, CID);
}

static struct rx_packet_ident ident(uint32_t call, uint32_t channel, uint32_t seq)
{
	return (struct rx_packet_ident){
		.epoch = EPOCH,
		.cid = CID | channel,
		.call = call,
		.seq = seq,
		.security_index = RX_SECIDX_RXKAD,
	};
}

/* Seals `hex`; the payload stays in buf. */
static size_t seal(struct end *e, struct rx_packet_ident *id, const char *hex, uint8_t buf[2048])
{
	size_t header, trailer, len;

	memset(buf, 0xee, 2048);
	e->ops->overhead(e->state, &header, &trailer);
	len = unit_hex(hex, buf + header, 1408);
	return e->ops->seal(e->state, id, buf, len, &id->checksum);
}

static int open_copy(struct end *e, const struct rx_packet_ident *id, const uint8_t *payload, size_t len,
		     size_t *user_len)
{
	uint8_t *copy = malloc(len + 1); /* exact: a read beyond is seen by the sanitizer */
	size_t off = 0;
	int code;

	memcpy(copy, payload, len);
	*user_len = 0;
	code = e->ops->open(e->state, id, copy, len, &off, user_len, NOW);
	CU_ASSERT(code != 0 || off + *user_len <= len);
	free(copy);
	return code;
}

static void test_checksum(void)
{
	static const struct {
		uint32_t call, channel, seq;
		uint16_t sum;
	} want[] = { { 7, 1, 1, 0xce72 },
		     { 7, 1, 2, 0x5065 },
		     { 7, 1, 3, 0x3590 },
		     { 0x12345678, 3, 0x40000001, 0x3272 },
		     { 0x12345678, 3, 1, 0x3272 },
		     { 0x12345678, 3, 0x80000001, 0x3272 },
		     { 1, 0, 11446, 1 } };
	struct rxkad_session s;
	struct rx_packet_ident id;
	uint8_t other[8];

	unit_hex("b60db5e30b266b16", other, 8);
	rxkad_session_init(&s, other, RXKAD_CLEAR, EPOCH, CID);
	CU_ASSERT(unit_is_hex(s.preseq, 8, "520dfa163b25015b"));
	rxkad_session_init(&s, K, RXKAD_CLEAR, EPOCH, CID | 3);
	CU_ASSERT(unit_is_hex(s.preseq, 8, "2909ec415a3e3246"));
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		id = ident(want[i].call, want[i].channel, want[i].seq);
		CU_ASSERT_EQUAL(rxkad_packet_checksum(&s, &id), want[i].sum);
	}
	for (uint32_t a = 0; a < 4; a++)
		for (uint32_t b = 0; b < a; b++) {
			struct rx_packet_ident x = ident(7, a, 1), y = ident(7, b, 1);

			CU_ASSERT_NOT_EQUAL(rxkad_packet_checksum(&s, &x), rxkad_packet_checksum(&s, &y));
		}
}

static void response_is(int level, int kvno, const char *challenge_hex, const uint32_t calls[4], const char *want)
{
	struct end c = client_with(level, kvno);
	uint8_t challenge[16], out[200];
	int len;

	unit_hex(challenge_hex, challenge, 16);
	len = c.ops->respond(c.state, challenge, 16, calls, out, sizeof(out), 0);
	CU_ASSERT_EQUAL_FATAL(len, 56 + 39);
	CU_ASSERT(unit_is_hex(out, (size_t)len, want));
	CU_ASSERT_EQUAL(c.ops->respond(c.state, challenge, 16, calls, out, 94, 0), -RXKAD_PACKETSHORT);
	CU_ASSERT_EQUAL(c.ops->respond(c.state, challenge, 16, calls, out, 55, 0), -RXKAD_PACKETSHORT);
	CU_ASSERT_EQUAL(c.ops->respond(c.state, challenge, 16, calls, out, 95, 0), 95);
	CU_ASSERT_EQUAL(c.ops->respond(c.state, challenge, 16, calls, out, 95, FOREVER), -RXKAD_EXPIRED);
	end_free(&c);
}

static void test_response(void)
{
	static const uint32_t calls[4] = { 1, 0, 0, 7 }, none[4] = { 0 };
	static const size_t lengths[] = { 31, 32, 1024, 12000, 12001 };
	uint8_t *ticket = calloc(1, 12001), *out = malloc(12056), challenge[16] = { 0, 0, 0, 2 };

	response_is(RXKAD_CRYPT, 256, "00000002deadbeef0000000000000000", calls,
		    "00000002000000004903a6241b57c97cf4d5f48df962cab2982d35dd9e5b85386e674a30b352262746e0f2227458972e"
		    "0000010000000027" TICKET_HEX);
	response_is(RXKAD_CLEAR, 213, "00000002ffffffff0000000000000000", none,
		    "00000002000000004903a6241b57c97c5a2f62caf07fcbbd8ddaf2885d75fab717c2a1f495fd1a100be4f7e9fdb19a9d"
		    "000000d500000027" TICKET_HEX);
	for (size_t i = 0; i < 5; i++) {
		struct rx_error err;
		struct rx_security *sec =
			rxkad_client_new(RXKAD_CRYPT, 256, 1, K, 8, ticket, lengths[i], FOREVER, &err);
		struct end c;

		if (lengths[i] == 31 || lengths[i] == 12001) {
			CU_ASSERT_PTR_NULL(sec);
			CU_ASSERT_EQUAL(err.code, RXKAD_TICKETLEN);
			continue;
		}
		c = end_of(sec, true, EPOCH, CID);
		CU_ASSERT_EQUAL(c.ops->respond(c.state, challenge, 16, none, out, 12056, 0), (int)lengths[i] + 56);
		CU_ASSERT_EQUAL(rxkad_get32(out + RXKAD_R_TICKET_LEN), lengths[i]);
		end_free(&c);
	}
	free(ticket);
	free(out);
}

static void test_response_checksum(void)
{
	uint8_t r[RXKAD_RESPONSE_LEN];
	uint32_t sum;

	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < RXKAD_RESPONSE_LEN; i++)
			r[i] = (uint8_t)(rand() >> 7);
		sum = rxkad_response_checksum(r);
		for (int bit = 0; bit < RXKAD_RESPONSE_LEN * 8; bit++) {
			bool own = bit / 32 == RXKAD_R_CHECKSUM / 4;

			r[bit / 8] ^= (uint8_t)(1 << bit % 8);
			CU_ASSERT_EQUAL(rxkad_response_checksum(r) == sum, own);
			r[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

static void payload_is(int level, struct rx_packet_ident id, const char *data, const char *want)
{
	struct end c = client(level);
	uint8_t buf[2048], user[64];
	size_t len, off, user_len, want_len = unit_hex(data, user, sizeof(user));

	len = seal(&c, &id, data, buf);
	CU_ASSERT(unit_is_hex(buf, len, want));
	CU_ASSERT_EQUAL(c.ops->open(c.state, &id, buf, len, &off, &user_len, NOW), 0);
	CU_ASSERT_EQUAL(user_len, want_len);
	CU_ASSERT_EQUAL(memcmp(buf + off, user, want_len), 0);
	for (size_t i = off + user_len; i < len; i++)
		CU_ASSERT_EQUAL(buf[i], 0); /* padding */
	end_free(&c);
}

static void test_payloads(void)
{
	payload_is(RXKAD_CLEAR, ident(7, 1, 1), D, D);
	payload_is(RXKAD_AUTH, ident(7, 1, 1), D, "f099d7fd007c147e111122223333444455");
	payload_is(RXKAD_CRYPT, ident(7, 1, 1), D, "43cf84daea10541003c47c38107fd1bd7085cdfdc70028b6");
	payload_is(RXKAD_AUTH, ident(7, 1, 2), "aa", "1dd6928519f5c8f3");
	payload_is(RXKAD_CRYPT, ident(7, 1, 2), "", "657c51abba391330");
	payload_is(RXKAD_AUTH, ident(7, 1, 3), "", "bcf6f6bbe13fde27");
	payload_is(RXKAD_CRYPT, ident(0x12345678, 3, 0x40000001), "6162636465666768",
		   "3168c8a239263d1ee1f6ed87ec1f648b");
}

static void test_lengths(void)
{
	uint8_t buf[1500], user[1408];

	for (size_t i = 0; i < sizeof(user); i++)
		user[i] = (uint8_t)(i * 7 + 1);
	for (int level = RXKAD_CLEAR; level <= RXKAD_CRYPT; level++) {
		struct end c = client(level);
		size_t header, trailer, len, off, user_len;

		c.ops->overhead(c.state, &header, &trailer);
		for (size_t n = 0; n <= sizeof(user); n++) {
			struct rx_packet_ident id = ident(3, 0, (uint32_t)n + 1);

			memset(buf, 0xee, sizeof(buf));
			memcpy(buf + header, user, n);
			len = c.ops->seal(c.state, &id, buf, n, &id.checksum);
			CU_ASSERT(len <= header + n + trailer && len >= n);
			CU_ASSERT(buf[len] == 0xee); /* nothing written beyond */
			CU_ASSERT(level != RXKAD_CRYPT || len % 8 == 0);
			CU_ASSERT_EQUAL(c.ops->open(c.state, &id, buf, len, &off, &user_len, NOW), 0);
			CU_ASSERT(user_len == n && !memcmp(buf + off, user, n));
		}
		end_free(&c);
	}
}

static void test_trailing(void)
{
	struct end c = client(RXKAD_CRYPT), a = client(RXKAD_AUTH);
	struct rx_packet_ident id = ident(7, 1, 1);
	size_t len, user_len;
	uint8_t buf[2048];

	len = seal(&c, &id, D, buf);
	memset(buf + len, 0, 4);
	CU_ASSERT_EQUAL(open_copy(&c, &id, buf, len + 4, &user_len), 0);
	CU_ASSERT_EQUAL(user_len, 13);
	for (size_t n = 0; n < 8; n++) {
		CU_ASSERT_EQUAL(open_copy(&c, &id, buf, n, &user_len), RXKAD_SEALEDINCON);
		CU_ASSERT_EQUAL(open_copy(&a, &id, buf, n, &user_len), RXKAD_SEALEDINCON);
	}
	len = seal(&a, &id, D, buf);
	CU_ASSERT_EQUAL(open_copy(&a, &id, buf, len + 4, &user_len), 0);
	CU_ASSERT_EQUAL(user_len, 13);
	end_free(&c);
	end_free(&a);
}

/* A crypt or auth payload whose sealed length says `says`. */
static int open_saying(int level, uint32_t says, size_t payload, size_t *user_len)
{
	struct rx_packet_ident id = ident(7, 1, 1);
	struct end c = client(level);
	uint8_t buf[64] = { 0 }, iv[8];
	struct fcrypt_key key;
	int code;

	fcrypt_set_key(&key, K);
	rxkad_put32(buf, (7u ^ 1u) << 16 | says);
	memcpy(iv, K, 8);
	if (level == RXKAD_AUTH)
		fcrypt_encrypt(&key, buf, buf);
	else
		fcrypt_pcbc_encrypt(&key, iv, buf, buf, sizeof(buf));
	id.checksum = 0xce72;
	code = open_copy(&c, &id, buf, payload, user_len);
	end_free(&c);
	return code;
}

static void test_sealed_length(void)
{
	size_t n;

	CU_ASSERT_EQUAL(open_saying(RXKAD_CRYPT, 16, 24, &n), 0);
	CU_ASSERT_EQUAL(n, 16);
	CU_ASSERT_EQUAL(open_saying(RXKAD_CRYPT, 17, 24, &n), RXKAD_DATALEN);
	CU_ASSERT_EQUAL(open_saying(RXKAD_CRYPT, 17, 28, &n), RXKAD_DATALEN); /* never undecrypted bytes */
	CU_ASSERT_EQUAL(open_saying(RXKAD_CRYPT, 24, 24, &n), RXKAD_DATALEN);
	CU_ASSERT_EQUAL(open_saying(RXKAD_CRYPT, 0xffff, 24, &n), RXKAD_DATALEN);
	CU_ASSERT_EQUAL(open_saying(RXKAD_CRYPT, 0, 8, &n), 0);
	CU_ASSERT_EQUAL(open_saying(RXKAD_CRYPT, 1, 8, &n), RXKAD_DATALEN);
	CU_ASSERT_EQUAL(open_saying(RXKAD_AUTH, 20, 24, &n), 0);
	CU_ASSERT_EQUAL(n, 20);
	CU_ASSERT_EQUAL(open_saying(RXKAD_AUTH, 21, 24, &n), RXKAD_DATALEN);
	CU_ASSERT_EQUAL(open_saying(RXKAD_AUTH, 0xffff, 24, &n), RXKAD_DATALEN);
}

static void test_sealed_word(void)
{
	for (int level = RXKAD_AUTH; level <= RXKAD_CRYPT; level++) {
		struct end c = client(level);
		struct rx_packet_ident id = ident(7, 1, 1), other;
		struct rxkad_session s;
		uint8_t buf[2048], again[2048];
		size_t len = seal(&c, &id, D, buf), user_len;

		rxkad_session_init(&s, K, level, EPOCH, CID);
		for (int i = 0; i < 2; i++) { /* right checksum, wrong word */
			other = ident(i ? 8 : 7, 1, i ? 1 : 2);
			other.checksum = rxkad_packet_checksum(&s, &other);
			CU_ASSERT_EQUAL(open_copy(&c, &other, buf, len, &user_len), RXKAD_SEALEDINCON);
		}
		buf[0] ^= 1;
		CU_ASSERT_EQUAL(open_copy(&c, &id, buf, len, &user_len), RXKAD_SEALEDINCON);
		buf[0] ^= 1;
		for (int i = 0; i < 2; i++) {
			CU_ASSERT_EQUAL(open_copy(&c, &id, buf, len, &user_len), 0);
			CU_ASSERT_EQUAL(user_len, 13);
		}
		CU_ASSERT_EQUAL(seal(&c, &id, D, again), len);
		CU_ASSERT_EQUAL(memcmp(buf, again, len), 0);
		end_free(&c);
	}
}

/* Runs the handshake to its end; the server's code. */
static int handshake(struct end *c, struct end *s, const uint32_t calls[4], uint32_t got[4])
{
	static const uint8_t nonce[4] = { 0xff, 0xff, 0xff, 0xff };
	uint8_t challenge[16], out[512];
	int len;

	CU_ASSERT_EQUAL_FATAL(s->ops->challenge(s->state, challenge, sizeof(challenge), nonce), 16);
	len = c->ops->respond(c->state, challenge, 16, calls, out, sizeof(out), NOW);
	if (len < 0)
		return len;
	return s->ops->check_response(s->state, out, (size_t)len, got, NOW);
}

static void test_zero_checksum(void)
{
	static const uint32_t calls[4] = { 1 };
	struct end c = published_client(RXKAD_CRYPT), s = published_server(0), *ends[] = { &c, &s };
	uint32_t got[4];

	CU_ASSERT_EQUAL_FATAL(handshake(&c, &s, calls, got), 0);
	for (int to = 0; to < 2; to++)
		for (uint32_t seq = 1; seq <= 3; seq++) { /* first, middle, last */
			struct rx_packet_ident id = ident(1, 0, seq), bad;
			uint8_t buf[2048];
			size_t len = seal(ends[!to], &id, D, buf), user_len;

			bad = id;
			bad.checksum = 0;
			CU_ASSERT_EQUAL(open_copy(ends[to], &bad, buf, len, &user_len), RX_SECURITY_DROP);
			bad.checksum = (uint16_t)(id.checksum + 1);
			CU_ASSERT_EQUAL(open_copy(ends[to], &bad, buf, len, &user_len), RX_SECURITY_DROP);
			CU_ASSERT_EQUAL(open_copy(ends[to], &id, buf, len, &user_len), 0);
			bad = id;
			bad.security_index = 0;
			CU_ASSERT_EQUAL(open_copy(ends[to], &bad, buf, len, &user_len), RX_SECURITY_DROP);
		}
	end_free(&c);
	end_free(&s);
}

static int respond_to(int level, const char *hex)
{
	static const uint32_t calls[4] = { 1 };
	struct end c = client(level);
	uint8_t *challenge = malloc(64), out[200];
	size_t len = unit_hex(hex, challenge, 64);
	int rc;

	challenge = realloc(challenge, len ? len : 1);
	rc = c.ops->respond(c.state, challenge, len, calls, out, sizeof(out), 0);
	end_free(&c);
	free(challenge);
	return rc;
}

static void test_challenge(void)
{
	CU_ASSERT_EQUAL(respond_to(2, ""), -RXKAD_PACKETSHORT);
	CU_ASSERT_EQUAL(respond_to(2, "deadbeef00000000"), -RXKAD_PACKETSHORT);
	CU_ASSERT_EQUAL(respond_to(2, "00000002deadbeef00000000000000"), -RXKAD_PACKETSHORT);
	CU_ASSERT_EQUAL(respond_to(2, "00000001deadbeef0000000000000000"), -RXKAD_INCONSISTENCY);
	CU_ASSERT_EQUAL(respond_to(2, "00000003deadbeef0000000000000000"), -RXKAD_INCONSISTENCY);
	CU_ASSERT_EQUAL(respond_to(2, "00000002deadbeef0000000300000000"), -RXKAD_LEVELFAIL);
	CU_ASSERT_EQUAL(respond_to(2, "00000002deadbeefffffffff00000000"), -RXKAD_LEVELFAIL);
	CU_ASSERT_EQUAL(respond_to(1, "00000002deadbeef0000000200000000"), -RXKAD_LEVELFAIL);
	CU_ASSERT_EQUAL(respond_to(2, "00000002deadbeef0000000200000000"), 95);
	CU_ASSERT_EQUAL(respond_to(2, "00000002deadbeef0000000000000000aabbcc"), 95);
}

static void test_wrong_end(void)
{
	static const uint32_t calls[4] = { 1 };
	struct end c = published_client(RXKAD_CRYPT), s = published_server(0);
	uint8_t challenge[16] = { 0, 0, 0, 2 }, out[512];
	uint32_t got[4];
	void *state;

	CU_ASSERT_EQUAL(s.ops->respond(s.state, challenge, 16, calls, out, sizeof(out), NOW), 0);
	CU_ASSERT_EQUAL(c.ops->challenge(c.state, out, sizeof(out), out), 0);
	CU_ASSERT_EQUAL(c.ops->check_response(c.state, out, 249, got, NOW), RX_SECURITY_DROP);
	CU_ASSERT_EQUAL(c.ops->conn_new(c.sec, false, 1, 4, &state, NULL), -1);
	CU_ASSERT_EQUAL(s.ops->conn_new(s.sec, true, 1, 4, &state, NULL), -1);
	end_free(&c);
	end_free(&s);
}

static void test_replay(void)
{
	static const uint8_t nonce[2][4] = { { 1, 2, 3, 4 }, { 5, 6, 7, 8 } };
	static const uint32_t calls[4] = { 3, 0, 0, 9 };
	struct end c = published_client(RXKAD_CRYPT), s = published_server(0), later = published_server(0);
	uint32_t got[4] = { 77, 77, 77, 77 };
	uint8_t challenge[16], again[16], out[512];
	size_t len;

	/* no challenge sent yet */
	CU_ASSERT_EQUAL(s.ops->challenge(s.state, challenge, 15, nonce[0]), 0);
	CU_ASSERT_EQUAL(s.ops->check_response(s.state, out, 249, got, NOW), RX_SECURITY_DROP);
	CU_ASSERT_EQUAL(s.ops->challenge(s.state, challenge, 16, nonce[0]), 16);
	CU_ASSERT_EQUAL(s.ops->challenge(s.state, again, 16, nonce[1]), 16);
	CU_ASSERT_EQUAL(memcmp(challenge, again, 16), 0); /* the same until answered */
	CU_ASSERT(unit_is_hex(challenge, 16, "00000002010203040000000000000000"));
	len = (size_t)c.ops->respond(c.state, challenge, 16, calls, out, sizeof(out), NOW);

	CU_ASSERT_EQUAL(later.ops->challenge(later.state, again, 16, nonce[1]), 16);
	CU_ASSERT_EQUAL(later.ops->check_response(later.state, out, len, got, NOW), RXKAD_OUTOFSEQUENCE);
	CU_ASSERT(got[0] == 77 && got[3] == 77 && !later.ops->authenticated(later.state));

	CU_ASSERT_FALSE(s.ops->authenticated(s.state));
	CU_ASSERT_EQUAL(s.ops->check_response(s.state, out, len, got, NOW), 0);
	CU_ASSERT_TRUE(s.ops->authenticated(s.state));
	CU_ASSERT(got[0] == 3 && got[1] == 0 && got[3] == 9);
	CU_ASSERT_EQUAL(s.ops->check_response(s.state, out, len, got, NOW), RX_SECURITY_DROP);
	CU_ASSERT_EQUAL(s.ops->challenge(s.state, again, 16, nonce[1]), 0);
	end_free(&c);
	end_free(&s);
	end_free(&later);
}

/* What the server says to a RESPONSE with 4 bytes at `at` replaced before sealing. */
static int altered(size_t at, uint32_t value, bool resum)
{
	static const uint8_t nonce[4] = { 1, 2, 3, 4 };
	static const uint32_t calls[4] = { 3, 0, 0, 9 };
	struct end c = published_client(RXKAD_CRYPT), s = published_server(0);
	uint32_t got[4] = { 77, 77, 77, 77 };
	uint8_t challenge[16], out[512], key[8];
	struct rxkad_session session;
	size_t len;
	int code;

	unit_hex("b60db5e30b266b16", key, 8);
	rxkad_session_init(&session, key, 0, EPOCH, CID);
	s.ops->challenge(s.state, challenge, 16, nonce);
	len = (size_t)c.ops->respond(c.state, challenge, 16, calls, out, sizeof(out), NOW);
	rxkad_response_decrypt(&session, out);
	rxkad_put32(out + at, value == UINT32_MAX ? rxkad_get32(out + at) + 1 : value);
	if (resum)
		rxkad_put32(out + RXKAD_R_CHECKSUM, rxkad_response_checksum(out));
	rxkad_response_encrypt(&session, out);
	code = s.ops->check_response(s.state, out, len, got, NOW);
	if (code) {
		CU_ASSERT(got[0] == 77 && got[1] == 77 && got[2] == 77 && got[3] == 77);
		CU_ASSERT_FALSE(s.ops->authenticated(s.state));
		s.ops->challenge(s.state, challenge, 16, nonce); /* a right one is still taken */
		len = (size_t)c.ops->respond(c.state, challenge, 16, calls, out, sizeof(out), NOW);
		CU_ASSERT_EQUAL(s.ops->check_response(s.state, out, len, got, NOW), 0);
	}
	end_free(&c);
	end_free(&s);
	return code;
}

static void test_altered(void)
{
	CU_ASSERT_EQUAL(altered(RXKAD_R_EPOCH, EPOCH + 1, true), RXKAD_SEALEDINCON);
	CU_ASSERT_EQUAL(altered(RXKAD_R_CID, CID + 4, true), RXKAD_SEALEDINCON);
	CU_ASSERT_EQUAL(altered(RXKAD_R_INDEX, 3, true), RXKAD_SEALEDINCON);
	CU_ASSERT_EQUAL(altered(RXKAD_R_CHECKSUM, UINT32_MAX, false), RXKAD_SEALEDINCON);
	CU_ASSERT_EQUAL(altered(4, 1, false), RXKAD_SEALEDINCON); /* spare is covered as well */
	for (size_t i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(altered(RXKAD_R_CALLS + 4 * i, 0x80000000, true), RXKAD_SEALEDINCON);
		CU_ASSERT_EQUAL(altered(RXKAD_R_CALLS + 4 * i, 0x7fffffff, true), 0);
	}
	CU_ASSERT_EQUAL(altered(RXKAD_R_NONCE, UINT32_MAX, true), RXKAD_OUTOFSEQUENCE);
	CU_ASSERT_EQUAL(altered(RXKAD_R_VERSION, 1, true), RXKAD_INCONSISTENCY);
	CU_ASSERT_EQUAL(altered(RXKAD_R_LEVEL, 3, true), RXKAD_LEVELFAIL);
	CU_ASSERT_EQUAL(altered(RXKAD_R_LEVEL, 0x80000000, true), RXKAD_LEVELFAIL);
	CU_ASSERT_EQUAL(altered(RXKAD_R_LEVEL, 0, true), 0);
	CU_ASSERT_EQUAL(altered(RXKAD_R_KVNO, 300, true), RXKAD_UNKNOWNKEY);
	CU_ASSERT_EQUAL(altered(RXKAD_R_KVNO, 5, true), RXKAD_UNKNOWNKEY);
	CU_ASSERT_EQUAL(altered(RXKAD_R_KVNO, 256, true), RXKAD_BADTICKET);
	CU_ASSERT_EQUAL(altered(RXKAD_R_TICKET_LEN, 194, true), RXKAD_PACKETSHORT);
	CU_ASSERT_EQUAL(altered(RXKAD_R_TICKET_LEN, 0xfffffffe, true), RXKAD_PACKETSHORT);
	CU_ASSERT_EQUAL(altered(RXKAD_R_TICKET_LEN, 31, true), RXKAD_TICKETLEN);
	CU_ASSERT_EQUAL(altered(RXKAD_R_TICKET_LEN, 192, true), RXKAD_BADTICKET);
}

static void test_short_response(void)
{
	static const uint8_t nonce[4] = { 1, 2, 3, 4 };
	static const uint32_t calls[4] = { 1 };
	struct end c = published_client(RXKAD_CRYPT), s = published_server(0);
	uint8_t challenge[16], out[512], *copy;
	uint32_t got[4];
	size_t len;

	s.ops->challenge(s.state, challenge, 16, nonce);
	len = (size_t)c.ops->respond(c.state, challenge, 16, calls, out, sizeof(out), NOW);
	CU_ASSERT_EQUAL(len, 249);
	for (size_t n = 0; n < len; n++) {
		copy = malloc(n + 1);
		copy = realloc(copy, n ? n : 1);
		memcpy(copy, out, n);
		CU_ASSERT_EQUAL(s.ops->check_response(s.state, copy, n, got, NOW), RXKAD_PACKETSHORT);
		free(copy);
	}
	CU_ASSERT_EQUAL(s.ops->check_response(s.state, out, len + 3, got, NOW), 0); /* bytes after the ticket */
	end_free(&c);
	end_free(&s);
}

static void test_min_level(void)
{
	static const uint32_t calls[4] = { 1 };
	static const uint8_t nonce[4] = { 1, 2, 3, 4 };
	uint32_t got[4];

	for (int level = 0; level <= 2; level++)
		for (int min = 0; min <= 2; min++) {
			struct end c = published_client(level), s = published_server(min);
			uint8_t challenge[16], out[512];
			int len;

			/* an honest client says no by itself ... */
			CU_ASSERT_EQUAL(handshake(&c, &s, calls, got), level < min ? -RXKAD_LEVELFAIL : 0);
			/* ... the server does not rest on that */
			if (level < min) {
				s.ops->challenge(s.state, challenge, 16, nonce);
				rxkad_put32(challenge + 8, 0);
				len = c.ops->respond(c.state, challenge, 16, calls, out, sizeof(out), NOW);
				CU_ASSERT_EQUAL(s.ops->check_response(s.state, out, (size_t)len, got, NOW),
						RXKAD_LEVELFAIL);
			}
			end_free(&c);
			end_free(&s);
		}
	CU_ASSERT_PTR_NULL(rxkad_client_new(3, 256, 1, K, 8, (const uint8_t *)TICKET, 39, FOREVER, NULL));
	CU_ASSERT_PTR_NULL(rxkad_client_new(-1, 256, 1, K, 8, (const uint8_t *)TICKET, 39, FOREVER, NULL));
	CU_ASSERT_PTR_NULL(rxkad_server_new(NULL, 0, 3, NULL, NULL));
}

static void test_both_ways(void)
{
	static const uint32_t calls[4] = { 0x7fffffff, 1, 2, 3 };

	for (int level = 0; level <= 2; level++) {
		struct end c = published_client(level), s = published_server(0), *ends[] = { &c, &s };
		struct rx_peer_identity who;
		size_t len, off, header, trailer;
		uint32_t got[4];
		uint8_t buf[2048];

		CU_ASSERT_EQUAL_FATAL(handshake(&c, &s, calls, got), 0);
		CU_ASSERT_EQUAL(memcmp(got, calls, sizeof(got)), 0);
		s.ops->overhead(s.state, &header, &trailer);
		CU_ASSERT_EQUAL(header, (size_t)level * 4);
		s.ops->identity(s.state, &who);
		CU_ASSERT_STRING_EQUAL(who.name, "alice");
		CU_ASSERT_EQUAL(who.level, level);
		CU_ASSERT_EQUAL(who.expires, TICKET_END);
		for (int from = 0; from < 2; from++) {
			struct rx_packet_ident id = ident(9, 2, 5);

			len = seal(ends[from], &id, D, buf);
			CU_ASSERT_EQUAL(ends[!from]->ops->open(ends[!from]->state, &id, buf, len, &off, &len, NOW), 0);
			CU_ASSERT(unit_is_hex(buf + off, len, D));
		}
		end_free(&c);
		end_free(&s);
	}
}

static void test_expiry(void)
{
	static const uint32_t calls[4] = { 1 };
	struct end c = published_client(RXKAD_CRYPT), s = published_server(0);
	struct rx_packet_ident id = ident(1, 0, 1);
	uint8_t buf[2048], copy[2048];
	size_t len, off, n;
	uint32_t got[4];

	CU_ASSERT_EQUAL(s.ops->open(s.state, &id, buf, 8, &off, &n, NOW), RX_SECURITY_DROP); /* not yet known */
	CU_ASSERT_EQUAL_FATAL(handshake(&c, &s, calls, got), 0);
	len = seal(&c, &id, D, buf);
	for (int64_t at = TICKET_END - 1; at <= TICKET_END + 1; at++) {
		memcpy(copy, buf, len);
		CU_ASSERT_EQUAL(s.ops->open(s.state, &id, copy, len, &off, &n, at),
				at < TICKET_END ? 0 : RXKAD_EXPIRED);
	}
	id.checksum ^= 1;
	CU_ASSERT_EQUAL(s.ops->open(s.state, &id, buf, len, &off, &n, TICKET_END), RX_SECURITY_DROP);
	end_free(&c);
	end_free(&s);
}

static void test_null(void)
{
	struct end e = end_of(rx_null_new(), false, EPOCH, CID);
	struct rx_packet_ident id = ident(1, 0, 1);
	struct rx_peer_identity who;
	size_t header, trailer, off, len;
	uint8_t buf[64] = { 0 };
	uint32_t calls[4] = { 0 };

	id.security_index = 0;
	id.checksum = 99; /* set to 0 by seal, ignored by open */
	e.ops->overhead(e.state, &header, &trailer);
	CU_ASSERT(header == 0 && trailer == 0);
	CU_ASSERT_EQUAL(e.ops->open(e.state, &id, buf, 13, &off, &len, NOW), 0);
	CU_ASSERT(off == 0 && len == 13);
	CU_ASSERT_EQUAL(e.ops->seal(e.state, &id, buf, 13, &id.checksum), 13);
	CU_ASSERT_EQUAL(id.checksum, 0);
	id.security_index = 2;
	CU_ASSERT_EQUAL(e.ops->open(e.state, &id, buf, 13, &off, &len, NOW), RX_SECURITY_DROP);
	CU_ASSERT_TRUE(e.ops->authenticated(e.state));
	CU_ASSERT_EQUAL(e.ops->challenge(e.state, buf, sizeof(buf), buf), 0);
	CU_ASSERT_EQUAL(e.ops->respond(e.state, buf, 16, calls, buf, sizeof(buf), NOW), 0);
	CU_ASSERT_EQUAL(e.ops->check_response(e.state, buf, 60, calls, NOW), RX_SECURITY_DROP);
	e.ops->identity(e.state, &who);
	CU_ASSERT_STRING_EQUAL(who.name, "");
	CU_ASSERT_EQUAL(rx_security_get(e.sec), e.sec);
	rx_security_put(e.sec);
	rx_security_put(NULL);
	end_free(&e);
}

UNIT_MAIN("rxkad",
	  { "SEC-08 preseq and header checksum vectors; channels differ; seq bits 30, 31 ignored; 0 -> 1",
	    test_checksum },
	  { "SEC-09 response bytes of both worked examples; nonce wrap; ticket lengths 32, 1024, 12000; 12001 refused",
	    test_response },
	  { "SEC-10 any single-bit change in the 56 bytes changes the response checksum", test_response_checksum },
	  { "SEC-11 auth/crypt payload vectors encode and decode; padding zeroed", test_payloads },
	  { "SEC-11 data lengths 0..1408 round-trip", test_lengths },
	  { "SEC-12 crypt packet with 4 trailing bytes decodes; payload 0..7 -> SEALEDINCON", test_trailing },
	  { "SEC-13 sealed length = payload - header accepted, +1 -> DATALEN, 0xffff -> DATALEN", test_sealed_length },
	  { "SEC-14 wrong seq or call in sealed word -> SEALEDINCON; retransmission accepted", test_sealed_word },
	  { "SEC-17 zero checksum refused on first, middle, last packet, both roles", test_zero_checksum },
	  { "SEC-19 challenge: old format, 15 bytes, version 1/3, min level 3, trailing garbage", test_challenge },
	  { "SEC-20 a challenge to a server, a response to a client: ignored", test_wrong_end },
	  { "SEC-22 replayed RESPONSE -> OUTOFSEQUENCE; without challenge and after success: ignored", test_replay },
	  { "SEC-23 altered RESPONSE: the right code, no state changed", test_altered },
	  { "SEC-23 cut RESPONSE -> PACKETSHORT; bytes after the ticket are fine", test_short_response },
	  { "SEC-24 server min level, client level below -> LEVELFAIL; level 3 -> LEVELFAIL", test_min_level },
	  { "SEC-25 the call-number vector comes through; DATA both ways at all levels", test_both_ways },
	  { "SEC-30 expiry is tested on each packet, after its checksum", test_expiry },
	  { "rxnull protects nothing and tells nothing", test_null })
