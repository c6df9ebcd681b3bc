/* Answers to DEBUG (rxdebug) and VERSION packets. Record layouts are those of OpenAFS,
 * version letter 'S'. Endpoint's lock. */
#include <string.h>

#include "rx/endpoint.h"

enum {
	GETSTATS = 1,
	GETCONN = 2,
	GETALLCONN = 3,
	RXSTATS = 4,
	GETPEER = 5,
	STATS_LEN = 56,
	CONN_LEN = 176,
	RXSTATS_LEN = 284,
	PEER_LEN = 132,
	BAD_LEN = 8,
	VERSION_LEN = 65,
	WINDOW_US = 1000000,
	PER_WINDOW = 2000,
};

static void put_addr(uint8_t *host, uint8_t *port, const struct rx_addr *a)
{
	rx_put32(host, rx_addr_ip(a));
	rx_put16(port, a->port);
}

static size_t get_stats(struct rx_endpoint *ep, uint8_t *r)
{
	rx_put32(r, ep->pool.nfree);
	rx_put32(r + 8, ep->count.calls);
	r[14] = 'S';
	rx_put32(r + 28, ep->pool.nfree + ep->pool.nused);
	return STATS_LEN;
}

/* OpenAFS's numbers for our states: state, then mode. */
static void state_numbers(const struct rx_call *call, uint8_t *state, uint8_t *mode)
{
	static const struct {
		uint8_t state, mode;
	} map[] = {
		[RX_CS_IDLE] = { 0, 0 }, [RX_CS_PRECALL] = { 1, 2 }, [RX_CS_SEND] = { 2, 1 },  [RX_CS_RECV] = { 2, 2 },
		[RX_CS_HOLD] = { 4, 4 }, [RX_CS_DALLY] = { 3, 4 },   [RX_CS_ERROR] = { 2, 3 },
	};

	*state = map[call->state].state;
	*mode = map[call->state].mode;
}

static bool interesting(const struct rx_conn *conn)
{
	for (unsigned i = 0; i < RX_CHANNELS; i++) {
		const struct rx_call *call = conn->channel[i].call;

		if (call && (call->state == RX_CS_PRECALL || call->state == RX_CS_SEND || call->state == RX_CS_RECV))
			return true;
	}
	return conn->client && conn->released;
}

static const struct rx_conn *nth_conn(struct rx_endpoint *ep, uint32_t index, bool all)
{
	for (unsigned i = 0; i < RX_CONN_BUCKETS; i++)
		for (const struct rx_conn *c = ep->conns[i]; c; c = c->next)
			if ((all || interesting(c)) && index-- == 0)
				return c;
	return NULL;
}

static size_t get_conn(struct rx_endpoint *ep, uint32_t index, bool all, uint8_t *r)
{
	const struct rx_conn *c = nth_conn(ep, index, all);

	if (!c) {
		rx_put32(r + 4, 0xffffffffu);
		return CONN_LEN;
	}
	put_addr(r, r + 32, &c->peer->addr);
	rx_put32(r + 4, c->cid);
	rx_put32(r + 8, c->serial);
	rx_put32(r + 28, (uint32_t)c->error);
	r[34] = c->client && c->released ? 2 : 0;
	r[35] = c->client ? 0 : 1;
	r[36] = c->secidx;
	for (unsigned i = 0; i < RX_CHANNELS; i++) {
		const struct rx_call *call = c->channel[i].call;

		rx_put32(r + 12 + 4 * i, c->channel[i].number);
		if (!call)
			continue;
		state_numbers(call, &r[40 + i], &r[44 + i]);
		r[48 + i] = rx_recv_complete(call) ? 32 : 0;
		r[52 + i] = (uint8_t)((call->rx_high != call->rx_first ? 1 : 0) |
				      (call->tx_next != call->tx_first ? 2 : 0));
	}
	r[56] = c->secidx == RX_SECIDX_NULL ? 1 : c->secidx == RX_SECIDX_RXKAD ? 3 : 0;
	if (c->secidx != RX_SECIDX_NULL) {
		rx_put32(r + 68, rx_conn_authenticated(c) ? 2 : 0);
		rx_put32(r + 76, (uint32_t)c->packets_received);
		rx_put32(r + 80, (uint32_t)c->packets_sent);
		rx_put32(r + 84, (uint32_t)c->bytes_received);
		rx_put32(r + 88, (uint32_t)c->bytes_sent);
	}
	rx_put32(r + 132, c->epoch);
	rx_put32(r + 136, c->peer->mtu);
	return CONN_LEN;
}

static size_t get_rxstats(struct rx_endpoint *ep, uint8_t *r)
{
	const struct rx_endpoint_counts *k = &ep->count;
	unsigned servers = 0, clients = 0;

	for (unsigned i = 0; i < RX_CONN_BUCKETS; i++)
		for (const struct rx_conn *c = ep->conns[i]; c; c = c->next)
			*(c->client ? &clients : &servers) += 1;
	rx_put32(r + 4 * 5, (uint32_t)k->s.bogus);
	for (unsigned t = 1; t < RX_PACKET_TYPES; t++) {
		rx_put32(r + 4 * (10 + t), k->read[t]);
		rx_put32(r + 4 * (27 + t), k->sent[t]);
	}
	rx_put32(r + 4 * 24, (uint32_t)k->s.data_received);
	rx_put32(r + 4 * 25, (uint32_t)k->s.acks_received);
	rx_put32(r + 4 * 26, k->dup);
	rx_put32(r + 4 * 27, k->spurious);
	rx_put32(r + 4 * 41, (uint32_t)k->s.acks_sent);
	rx_put32(r + 4 * 42, k->pings_sent);
	rx_put32(r + 4 * 43, (uint32_t)k->s.aborts_sent);
	rx_put32(r + 4 * 44, k->busies);
	rx_put32(r + 4 * 45, (uint32_t)(k->s.data_sent - k->s.data_resent));
	rx_put32(r + 4 * 46, (uint32_t)k->s.data_resent);
	rx_put32(r + 4 * 48, k->stale_acks);
	rx_put32(r + 4 * 55, k->rtt_samples);
	rx_put32(r + 4 * 56, servers);
	rx_put32(r + 4 * 57, clients);
	rx_put32(r + 4 * 58, ep->npeers);
	rx_put32(r + 4 * 59, ep->ncalls);
	rx_put32(r + 4 * 60, ep->nfree_calls);
	return RXSTATS_LEN;
}

static size_t get_peer(struct rx_endpoint *ep, uint32_t index, uint8_t *r)
{
	const struct rx_peer *p = NULL;
	uint64_t rto;

	for (unsigned i = 0; i < RX_PEER_BUCKETS && !p; i++)
		for (const struct rx_peer *q = ep->peers[i]; q && !p; q = q->next)
			if (index-- == 0)
				p = q;
	if (!p) {
		rx_put32(r, 0xffffffffu);
		return PEER_LEN;
	}
	rto = rx_peer_rto_us(p);
	put_addr(r, r + 4, &p->addr);
	rx_put16(r + 6, RX_PACKET_MTU);
	rx_put16(r + 12, (uint16_t)(p->refs > UINT16_MAX ? UINT16_MAX : p->refs));
	rx_put32(r + 24, (uint32_t)(p->srtt_us * 8 / 1000));
	rx_put32(r + 28, (uint32_t)(p->rttvar_us * 4 / 1000));
	rx_put32(r + 32, (uint32_t)(rto / 1000000));
	rx_put32(r + 36, (uint32_t)(rto % 1000000));
	rx_put32(r + 40, (uint32_t)p->sent);
	rx_put32(r + 44, (uint32_t)p->resent);
	rx_put16(r + 60, (uint16_t)p->mtu);
	rx_put16(r + 62, RX_PACKET_MTU);
	rx_put16(r + 64, 1);
	rx_put16(r + 66, 1);
	rx_put16(r + 68, (uint16_t)p->mtu);
	rx_put16(r + 70, (uint16_t)p->cwnd_hint);
	rx_put16(r + 72, 1);
	rx_put32(r + 76, (uint32_t)(p->bytes_sent >> 32));
	rx_put32(r + 80, (uint32_t)p->bytes_sent);
	rx_put32(r + 84, (uint32_t)(p->bytes_received >> 32));
	rx_put32(r + 88, (uint32_t)p->bytes_received);
	return PEER_LEN;
}

static size_t answer(struct rx_endpoint *ep, uint32_t type, uint32_t index, uint8_t *r)
{
	switch (type) {
	case GETSTATS:
		return get_stats(ep, r);
	case GETCONN:
	case GETALLCONN:
		return get_conn(ep, index, type == GETALLCONN, r);
	case RXSTATS:
		return get_rxstats(ep, r);
	case GETPEER:
		return get_peer(ep, index, r);
	default:
		rx_put32(r, (uint32_t)RX_MSGSIZE);
		rx_put32(r + 4, (uint32_t)RX_MSGSIZE);
		return BAD_LEN;
	}
}

void rx_debug_received(struct rx_endpoint *ep, const struct rx_header *h, const struct rx_addr *from,
		       const uint8_t *body, size_t len)
{
	uint8_t r[RXSTATS_LEN] = { 0 };
	struct rx_header reply = *h;

	/* Keepalives of NATs look like this without the flag; they want no answer. */
	if (!(h->flags & RX_CLIENT_INITIATED))
		return;
	reply.flags &= (uint8_t)~RX_CLIENT_INITIATED;
	if (ep->now - ep->debug_slot.window >= WINDOW_US) {
		ep->debug_slot.window = ep->now;
		ep->debug_slot.n = 0;
	}
	if (++ep->debug_slot.n > PER_WINDOW)
		return;
	if (h->type == RX_VERSION) {
		size_t n = strlen(ep->cfg.version);

		memcpy(r, ep->cfg.version, n < VERSION_LEN ? n : VERSION_LEN - 1);
		rx_endpoint_control(ep, from, &reply, r, VERSION_LEN);
	} else if (ep->cfg.debug_answers && len >= 8) {
		size_t n = answer(ep, rx_get32(body), rx_get32(body + 4), r);

		rx_endpoint_control(ep, from, &reply, r, n);
	}
}
