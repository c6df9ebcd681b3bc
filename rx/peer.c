/* Peers of an endpoint: lookup by address, RTT estimation (RFC 6298) and MTU. Called
 * by connections and calls under the endpoint's lock. */
#include "rx/peer.h"

#include <assert.h>
#include <stdlib.h>

#include "rx/endpoint.h"
#include "rx/packet.h"

enum {
	RTO_INITIAL = 1000000,
	RTO_MIN = 100000,
	RTO_MAX = 60000000,
	RTT_CREDIBLE = 60000000, /* longer is a clock step */
	HINT_VALID = 10000000,
	HINT_MAX = 64,
};

static struct rx_peer **bucket(struct rx_endpoint *ep, const struct rx_addr *addr)
{
	uint32_t h = (rx_addr_ip(addr) * 2654435761u) ^ ((uint32_t)addr->port * 40503u);

	return &ep->peers[(h ^ h >> 15) % RX_PEER_BUCKETS];
}

struct rx_peer *rx_peer_find(struct rx_endpoint *ep, const struct rx_addr *addr)
{
	struct rx_peer *p = *bucket(ep, addr);

	while (p && !rx_addr_equal(&p->addr, addr))
		p = p->next;
	return p;
}

struct rx_peer *rx_peer_get(struct rx_endpoint *ep, const struct rx_addr *addr)
{
	struct rx_peer *p = rx_peer_find(ep, addr), **b = bucket(ep, addr);

	if (!p) {
		p = calloc(1, sizeof *p);
		if (!p)
			return NULL;
		p->addr = *addr;
		p->mtu = RX_PACKET_MTU;
		p->next = *b;
		*b = p;
		ep->npeers++;
	}
	p->refs++;
	return p;
}

void rx_peer_put(struct rx_endpoint *ep, struct rx_peer *peer)
{
	struct rx_peer **b = bucket(ep, &peer->addr);

	assert(peer->refs > 0);
	if (--peer->refs)
		return;
	while (*b != peer)
		b = &(*b)->next;
	*b = peer->next;
	ep->npeers--;
	free(peer);
}

void rx_peer_rtt_sample(struct rx_peer *peer, uint64_t now_us, uint64_t rtt_us)
{
	uint64_t err;

	if (rtt_us > RTT_CREDIBLE)
		return;
	if (!rtt_us)
		rtt_us = 1;
	peer->rtt_samples++;
	peer->rtt_at = now_us;
	if (!peer->srtt_us) {
		peer->srtt_us = rtt_us;
		peer->rttvar_us = rtt_us / 2;
		return;
	}
	err = rtt_us > peer->srtt_us ? rtt_us - peer->srtt_us : peer->srtt_us - rtt_us;
	peer->rttvar_us = (3 * peer->rttvar_us + err) / 4;
	peer->srtt_us = (7 * peer->srtt_us + rtt_us) / 8;
	if (!peer->srtt_us)
		peer->srtt_us = 1;
}

uint64_t rx_peer_rto_us(const struct rx_peer *peer)
{
	uint64_t rto = peer->srtt_us + 4 * peer->rttvar_us;

	if (!peer->srtt_us)
		return RTO_INITIAL;
	return rto < RTO_MIN ? RTO_MIN : rto > RTO_MAX ? RTO_MAX : rto;
}

void rx_peer_mtu(struct rx_peer *peer, uint32_t max_mtu)
{
	peer->mtu = max_mtu > RX_PACKET_MTU ? RX_PACKET_MTU : max_mtu < RX_PACKET_MTU_MIN ? RX_PACKET_MTU_MIN : max_mtu;
}

void rx_peer_cwnd_store(struct rx_peer *peer, uint64_t now_us, unsigned cwnd)
{
	peer->cwnd_hint = cwnd > HINT_MAX ? HINT_MAX : cwnd;
	peer->cwnd_at = now_us;
}

unsigned rx_peer_cwnd_hint(const struct rx_peer *peer, uint64_t now_us)
{
	return peer->cwnd_hint && now_us - peer->cwnd_at < HINT_VALID ? peer->cwnd_hint : 0;
}
