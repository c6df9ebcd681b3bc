/* Header codec, packet pool and the splitting of jumbograms. No state of its own; all
 * of it runs under the lock of the endpoint that owns the pool. */
#include "rx/packet.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { POOL_KEEP = 2048 };

bool rx_header_decode(struct rx_header *h, const uint8_t *pkt, size_t len)
{
	if (len < RX_HEADER_SIZE)
		return false;
	*h = (struct rx_header){
		.epoch = rx_get32(pkt),
		.cid = rx_get32(pkt + 4),
		.call = rx_get32(pkt + 8),
		.seq = rx_get32(pkt + 12),
		.serial = rx_get32(pkt + 16),
		.type = pkt[20],
		.flags = pkt[21],
		.user_status = pkt[22],
		.security = pkt[23],
		.checksum = rx_get16(pkt + 24),
		.service = rx_get16(pkt + 26),
	};
	return (h->type >= RX_DATA && h->type <= RX_DEBUG) || h->type == RX_VERSION;
}

void rx_header_encode(uint8_t out[RX_HEADER_SIZE], const struct rx_header *h)
{
	rx_put32(out, h->epoch);
	rx_put32(out + 4, h->cid);
	rx_put32(out + 8, h->call);
	rx_put32(out + 12, h->seq);
	rx_put32(out + 16, h->serial);
	out[20] = h->type;
	out[21] = h->flags;
	out[22] = h->user_status;
	out[23] = h->security;
	rx_put16(out + 24, h->checksum);
	rx_put16(out + 26, h->service);
}

const char *rx_packet_type_name(unsigned type)
{
	static const char *const names[RX_PACKET_TYPES] = {
		[RX_DATA] = "DATA",         [RX_ACK] = "ACK",       [RX_BUSY] = "BUSY",
		[RX_ABORT] = "ABORT",       [RX_ACKALL] = "ACKALL", [RX_CHALLENGE] = "CHALLENGE",
		[RX_RESPONSE] = "RESPONSE", [RX_DEBUG] = "DEBUG",   [RX_VERSION] = "VERSION",
	};

	return type < RX_PACKET_TYPES && names[type] ? names[type] : "?";
}

struct rx_packet *rx_packet_get(struct rx_packet_pool *pool, size_t need)
{
	struct rx_packet *p = pool->free;

	if (p) {
		pool->free = p->next;
		pool->nfree--;
	} else {
		p = malloc(sizeof *p);
		if (!p)
			return NULL;
	}
	memset(p, 0, offsetof(struct rx_packet, store));
	p->data = p->store;
	p->cap = sizeof p->store;
	pool->nused++;
	if (need > sizeof p->store) {
		uint8_t *own = malloc(need);

		if (!own) {
			rx_packet_put(pool, p);
			return NULL;
		}
		p->data = own;
		p->cap = (uint32_t)need;
	}
	return p;
}

void rx_packet_put(struct rx_packet_pool *pool, struct rx_packet *p)
{
	assert(pool->nused > 0);
	pool->nused--;
	if (p->data != p->store)
		free(p->data);
	if (pool->nfree >= POOL_KEEP) {
		free(p);
		return;
	}
	p->next = pool->free;
	pool->free = p;
	pool->nfree++;
}

void rx_packet_pool_clear(struct rx_packet_pool *pool)
{
	assert(pool->nused == 0);
	while (pool->free) {
		struct rx_packet *p = pool->free;

		pool->free = p->next;
		free(p);
	}
	pool->nfree = 0;
}

void rx_jumbo_start(struct rx_jumbo *j, const struct rx_header *h, const uint8_t *payload, size_t len)
{
	*j = (struct rx_jumbo){ .h = *h, .rest = payload, .left = len };
}

bool rx_jumbo_next(struct rx_jumbo *j, struct rx_piece *out)
{
	const uint8_t *jh;

	if (j->done)
		return false;
	*out = (struct rx_piece){ .h = j->h, .payload = j->rest, .len = j->left };
	out->h.flags &= (uint8_t)~RX_JUMBO_PACKET;
	if (!(j->h.flags & RX_JUMBO_PACKET)) {
		j->done = true;
		return true;
	}
	if ((j->h.flags & RX_LAST_PACKET) || j->left < RX_JUMBO_DATA + RX_JUMBO_HEADER) {
		j->done = j->bad = true;
		return false;
	}
	out->len = RX_JUMBO_DATA;
	jh = j->rest + RX_JUMBO_DATA;
	/* The role comes from the main header only. */
	j->h.flags = (uint8_t)((jh[0] & ~RX_CLIENT_INITIATED) | (j->h.flags & RX_CLIENT_INITIATED));
	j->h.checksum = rx_get16(jh + 2);
	j->h.seq++;
	j->h.serial++;
	j->h.user_status = 0;
	j->rest += RX_JUMBO_DATA + RX_JUMBO_HEADER;
	j->left -= RX_JUMBO_DATA + RX_JUMBO_HEADER;
	return true;
}
