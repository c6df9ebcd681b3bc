/* A toy security class with a real one's shape, for transport tests: an 8-byte header
 * (a sum and the length), payload xor'ed, padded to 8, and a challenge that the right
 * key answers. Index 2. Keys are one byte; the object is static. */
#ifndef UMAFS_TESTS_TOYSEC_H
#define UMAFS_TESTS_TOYSEC_H

#include <stdlib.h>
#include <string.h>

#include "rx/packet.h"
#include "rx/security.h"

struct toysec {
	struct rx_security base;
	uint8_t key;
};

struct toystate {
	uint8_t key;
	bool client, passed;
	uint8_t nonce[4];
};

static inline int toy_conn_new(struct rx_security *sec, bool client, uint32_t epoch, uint32_t cid, void **state,
			       struct rx_error *err)
{
	struct toystate *s = calloc(1, sizeof *s);

	(void)epoch;
	(void)cid;
	(void)err;
	s->key = ((struct toysec *)sec)->key;
	s->client = client;
	*state = s;
	return 0;
}

static inline void toy_overhead(void *state, size_t *header, size_t *trailer)
{
	(void)state;
	*header = 8;
	*trailer = 0;
}

static inline uint32_t toy_sum(const struct toystate *s, const struct rx_packet_ident *id, const uint8_t *p, size_t n)
{
	uint32_t sum = s->key ^ id->cid ^ id->call ^ (id->seq << 8);

	for (size_t i = 0; i < n; i++)
		sum = sum * 31 + p[i];
	return sum;
}

static inline size_t toy_seal(void *state, const struct rx_packet_ident *id, uint8_t *buf, size_t len, uint16_t *ck)
{
	struct toystate *s = state;
	size_t total = (8 + len + 7) & ~(size_t)7;

	memset(buf + 8 + len, 0, total - 8 - len);
	rx_put32(buf, toy_sum(s, id, buf + 8, len));
	rx_put32(buf + 4, (uint32_t)len);
	for (size_t i = 8; i < total; i++)
		buf[i] ^= s->key;
	*ck = 0x1234;
	return total;
}

static inline int toy_open(void *state, const struct rx_packet_ident *id, uint8_t *buf, size_t payload, size_t *off,
			   size_t *len, int64_t wall_s)
{
	struct toystate *s = state;

	(void)wall_s;
	if (payload < 8 || rx_get32(buf + 4) > payload - 8)
		return RX_SECURITY_DROP;
	for (size_t i = 8; i < payload; i++)
		buf[i] ^= s->key;
	*off = 8;
	*len = rx_get32(buf + 4);
	return rx_get32(buf) == toy_sum(s, id, buf + 8, *len) && id->checksum == 0x1234 ? 0 : RX_SECURITY_DROP;
}

static inline int toy_respond(void *state, const uint8_t *challenge, size_t len, const uint32_t calls[4], uint8_t *out,
			      size_t cap, int64_t wall_s)
{
	struct toystate *s = state;

	(void)cap;
	(void)wall_s;
	if (len != 4)
		return -RXKAD_PACKETSHORT;
	for (unsigned i = 0; i < 4; i++) {
		out[i] = challenge[i] ^ s->key;
		rx_put32(out + 4 + 4 * i, calls[i]);
	}
	return 20;
}

static inline bool toy_authenticated(void *state)
{
	struct toystate *s = state;

	return s->client || s->passed;
}

static inline size_t toy_challenge(void *state, uint8_t *out, size_t cap, const uint8_t random[4])
{
	(void)cap;
	memcpy(((struct toystate *)state)->nonce, random, 4);
	memcpy(out, random, 4);
	return 4;
}

static inline int toy_check(void *state, const uint8_t *body, size_t len, uint32_t calls[4], int64_t wall_s)
{
	struct toystate *s = state;

	(void)wall_s;
	if (len != 20)
		return RXKAD_PACKETSHORT;
	for (unsigned i = 0; i < 4; i++) {
		if (body[i] != (s->nonce[i] ^ s->key))
			return RXKAD_SEALEDINCON;
		calls[i] = rx_get32(body + 4 + 4 * i);
	}
	s->passed = true;
	return 0;
}

static inline void toy_destroy(struct rx_security *sec)
{
	(void)sec; /* static */
}

static inline void toy_init(struct toysec *t, uint8_t key)
{
	static const struct rx_security_ops ops = {
		.name = "toy",
		.index = 2,
		.destroy = toy_destroy,
		.conn_new = toy_conn_new,
		.conn_free = free,
		.overhead = toy_overhead,
		.seal = toy_seal,
		.open = toy_open,
		.respond = toy_respond,
		.authenticated = toy_authenticated,
		.challenge = toy_challenge,
		.check_response = toy_check,
	};

	*t = (struct toysec){ .base = { .ops = &ops, .refs = 1 }, .key = key };
}

#endif
