/* RX packets on the wire and in memory: the 28-byte header, the packet buffer and its
 * pool. Owned by an endpoint; used on whichever thread holds the endpoint's lock. */
#ifndef UMAFS_RX_PACKET_H
#define UMAFS_RX_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	RX_HEADER_SIZE = 28,
	RX_PACKET_MTU = 1444, /* largest packet sent and advertised, header included */
	RX_PACKET_MTU_MIN = 520,
	RX_JUMBO_DATA = 1412, /* payload of every piece of a jumbogram but the last */
	RX_JUMBO_HEADER = 4,
	RX_PACKET_STORE = 1536, /* room of a pooled buffer; longer payloads get their own */
	RX_CHANNELS = 4,
	RX_CHANNEL_MASK = 3,
};

enum rx_packet_type {
	RX_DATA = 1,
	RX_ACK = 2,
	RX_BUSY = 3,
	RX_ABORT = 4,
	RX_ACKALL = 5,
	RX_CHALLENGE = 6,
	RX_RESPONSE = 7,
	RX_DEBUG = 8,
	RX_VERSION = 13,
	RX_PACKET_TYPES = 14,
};

enum {
	RX_CLIENT_INITIATED = 0x01,
	RX_REQUEST_ACK = 0x02,
	RX_LAST_PACKET = 0x04,
	RX_MORE_PACKETS = 0x08,
	RX_JUMBO_PACKET = 0x20,  /* in DATA */
	RX_SLOW_START_OK = 0x20, /* in ACK */
};

struct rx_header {
	uint32_t epoch, cid, call, seq, serial;
	uint8_t type, flags, user_status, security;
	uint16_t checksum, service;
};

/* a - b as RX compares serials, seqs and call numbers. */
static inline int32_t rx_seq_diff(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

static inline uint32_t rx_get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void rx_put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static inline uint16_t rx_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void rx_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* False: shorter than a header, or of a type nobody uses. */
bool rx_header_decode(struct rx_header *h, const uint8_t *pkt, size_t len);
void rx_header_encode(uint8_t out[RX_HEADER_SIZE], const struct rx_header *h);
const char *rx_packet_type_name(unsigned type);

/* One buffer. An outgoing DATA packet has its header's room at data[0], the payload
 * from RX_HEADER_SIZE; an incoming one has the payload alone from data[0]. */
struct rx_packet {
	struct rx_packet *next;
	uint64_t sent_us; /* last transmission */
	uint32_t seq;
	uint32_t serial; /* of the last transmission (or as received) */
	uint32_t len;    /* payload bytes; before sealing or after opening the user's bytes */
	uint32_t off;    /* incoming: first byte not yet read; outgoing: where user bytes start */
	uint32_t cap;
	uint16_t checksum;
	uint16_t transmissions;
	uint8_t flags; /* those that survive retransmission */
	bool sealed;   /* outgoing: ready for the wire */
	bool opened;   /* incoming: the security class has passed it */
	bool acked, lost;
	uint8_t *data; /* store, or a block of its own */
	uint8_t store[RX_PACKET_STORE];
};

struct rx_packet_pool {
	struct rx_packet *free;
	unsigned nfree, nused;
};

/* A packet with room for `need` bytes; contents undefined, fields zero. NULL: no memory. */
struct rx_packet *rx_packet_get(struct rx_packet_pool *pool, size_t need);
void rx_packet_put(struct rx_packet_pool *pool, struct rx_packet *p);
void rx_packet_pool_clear(struct rx_packet_pool *pool);

/* One DATA packet out of a datagram. */
struct rx_piece {
	struct rx_header h;
	const uint8_t *payload;
	size_t len;
};

/* Splits the DATA packet h/payload (which may be a jumbogram) piece by piece: starts
 * with *at = 0 and h as received; false when there is no further valid piece. *bad is
 * set when a rest was dropped. */
struct rx_jumbo {
	struct rx_header h;
	const uint8_t *rest;
	size_t left;
	bool done, bad;
};

void rx_jumbo_start(struct rx_jumbo *j, const struct rx_header *h, const uint8_t *payload, size_t len);
bool rx_jumbo_next(struct rx_jumbo *j, struct rx_piece *out);

#endif
