/* The sending half of a call: cutting the stream into packets, what may be sent when,
 * and the timers that guess at loss. What an ACK does is in send_ack.c. Called by
 * call.c and the endpoint under its lock. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "rx/endpoint.h"
#include "rx/maybe.h"

enum {
	QUEUE_MIN = 32,
	QUEUE_MAX = 250, /* below RX_RING, so that LAST always has room */
	BACKOFF_MAX = 6,
	RTO_CAP_US = 60000000,
	SOFT_ACK_DELAY_US = 100000, /* what a peer may wait before it acknowledges */
	LAST_ACK_DELAY_US = 400000, /* ... the last packet of a reply */
	REQUEST_EVERY_US = 1000000,
	REQUEST_SAMPLES = 3,
	STARVED_US = 10000,
};

void rx_send_init(struct rx_call *call)
{
	call->tx_first = call->tx_top = call->tx_next = call->tx_high = 1;
	call->tx_window = RX_WINDOW_INITIAL;
	call->rto_at = call->tlp_at = call->rack_at = call->starved_at = UINT64_MAX;
	rx_cong_init(&call->cong, rx_peer_cwnd_hint(call->conn->peer, call->ep->now));
}

bool rx_send_ready(struct rx_call *call)
{
	if (!call->tx_spare)
		call->tx_spare = rx_packet_get(&call->ep->pool, 0);
	return call->tx_spare;
}

void rx_send_clear(struct rx_call *call)
{
	struct rx_packet_pool *pool = &call->ep->pool;

	for (uint32_t s = call->tx_first; s != call->tx_next; s++) {
		rx_packet_put(pool, call->tx[s % RX_RING]);
		call->tx[s % RX_RING] = NULL;
	}
	if (call->tx_cur)
		rx_packet_put(pool, call->tx_cur);
	if (call->tx_spare)
		rx_packet_put(pool, call->tx_spare);
	call->tx_cur = call->tx_spare = NULL;
	call->tx_first = call->tx_top = call->tx_next;
	call->tx_flight = call->tx_lost = 0;
	call->rto_at = call->tlp_at = call->rack_at = call->starved_at = UINT64_MAX;
}

void rx_send_all_acked(struct rx_call *call)
{
	if (!call->tx_done)
		call->tx_moot = true;
	call->tx_done = true;
	rx_send_clear(call);
}

void rx_send_answered(struct rx_call *call)
{
	if (call->tx_done && call->tx_first == call->tx_next)
		return;
	rx_send_all_acked(call);
	if (call->wr_buf) {
		call->wr_done = call->wr_len;
		rx_call_progress(call);
	}
}

static unsigned queue_limit(const struct rx_call *call)
{
	unsigned n = 2 * call->tx_window;

	return n < QUEUE_MIN ? QUEUE_MIN : n > QUEUE_MAX ? QUEUE_MAX : n;
}

static void queue_current(struct rx_call *call, uint8_t flags)
{
	struct rx_packet *p = call->tx_cur;

	p->seq = call->tx_next++;
	p->flags = flags;
	assert(!call->tx[p->seq % RX_RING]);
	call->tx[p->seq % RX_RING] = p;
	call->tx_cur = NULL;
	rx_call_make_ready(call);
}

/* False: no memory. Never for the first one, so that each call can say at least so much. */
static bool new_current(struct rx_call *call)
{
	struct rx_packet *p = call->tx_spare ? call->tx_spare : rx_packet_get(&call->ep->pool, 0);
	size_t header = 0, trailer = 0;

	if (!p)
		return false;
	call->tx_spare = NULL;
	call->conn->sec->ops->overhead(call->conn->sec_state, &header, &trailer);
	p->off = (uint32_t)(RX_HEADER_SIZE + header);
	/* cap: how many of the user's bytes fit. */
	p->cap = (uint32_t)(call->conn->peer->mtu - RX_HEADER_SIZE - header - trailer);
	if (UMAFS_MAYBE(call->ep->cfg.maybe, PACKET_SHORT))
		p->cap /= 2;
	call->tx_cur = p;
	return true;
}

size_t rx_send_fill(struct rx_call *call, const uint8_t *buf, size_t len)
{
	size_t taken = 0;

	if (call->tx_moot)
		return len;
	assert(!call->tx_done);
	while (taken < len) {
		struct rx_packet *p = call->tx_cur;
		size_t n;

		if (p && p->len == p->cap) {
			queue_current(call, 0);
			p = NULL;
		}
		if (!p) {
			if (call->tx_next - call->tx_first >= queue_limit(call)) {
				call->tx_blocked = true;
				break;
			}
			if (!new_current(call)) {
				call->tx_blocked = true;
				call->starved_at = call->ep->now + STARVED_US;
				rx_call_arm(call, call->starved_at);
				break;
			}
			p = call->tx_cur;
		}
		n = p->cap - p->len < len - taken ? p->cap - p->len : len - taken;
		memcpy(p->data + p->off + p->len, buf + taken, n);
		p->len += (uint32_t)n;
		taken += n;
	}
	return taken;
}

void rx_send_finish(struct rx_call *call)
{
	if (call->tx_done)
		return;
	/* There is one for the last: it is the first, or what was written has not filled it. */
	if (!call->tx_cur && !new_current(call))
		abort();
	queue_current(call, RX_LAST_PACKET);
	call->tx_done = true;
}

/* Takes from a writer's posted buffer what has room now. */
void rx_send_pump(struct rx_call *call)
{
	if (call->state != RX_CS_SEND || !call->tx_blocked || call->tx_next - call->tx_first >= queue_limit(call))
		return;
	call->tx_blocked = false;
	if (!call->wr_buf || call->wr_done == call->wr_len) {
		rx_call_progress(call);
		return;
	}
	call->wr_done += rx_send_fill(call, call->wr_buf + call->wr_done, call->wr_len - call->wr_done);
	if (call->wr_done == call->wr_len)
		rx_call_progress(call);
}

static bool window_open(const struct rx_call *call)
{
	return call->tx_top != call->tx_next && call->tx_top - call->tx_first < call->tx_window;
}

bool rx_send_wants(const struct rx_call *call)
{
	if (!call->tx_lost && !window_open(call))
		return false;
	return call->tx_probe ||
	       call->tx_flight < (UMAFS_MAYBE(call->ep->cfg.maybe, CWND_OF_ONE) ? 1 : call->cong.cwnd);
}

static struct rx_packet *pick(struct rx_call *call)
{
	if (call->tx_lost)
		for (uint32_t s = call->tx_first; s != call->tx_top; s++)
			if (call->tx[s % RX_RING]->lost)
				return call->tx[s % RX_RING];
	return window_open(call) ? call->tx[call->tx_top % RX_RING] : NULL;
}

/* Whether this transmission asks for an ack. Never on the last packet of a reply: such
 * clients would answer softly and keep the server waiting. */
static bool ask(struct rx_call *call, const struct rx_packet *p, bool again)
{
	const struct rx_peer *peer = call->conn->peer;
	bool last = p->flags & RX_LAST_PACKET;
	bool fills = p->seq - call->tx_first + 1 >= call->tx_window;

	if (last && !call->client)
		return false;
	if (again || fills || peer->rtt_samples < REQUEST_SAMPLES || call->ep->now - peer->rtt_at >= REQUEST_EVERY_US)
		return true;
	if (last)
		return false;
	if (call->tx_window <= 2 || call->cong.cwnd <= RX_CWND_INITIAL || p->seq % (call->tx_window / 2) == 0)
		return true;
	/* The application stalls, or the congestion window is used up. */
	return p->seq + 1 == call->tx_next || call->tx_flight + 1 >= call->cong.cwnd;
}

static void seal(struct rx_call *call, struct rx_packet *p)
{
	struct rx_packet_ident id = {
		.epoch = call->conn->epoch,
		.cid = call->conn->cid | call->channel,
		.call = call->number,
		.seq = p->seq,
		.security_index = call->conn->secidx,
	};

	p->len = (uint32_t)call->conn->sec->ops->seal(call->conn->sec_state, &id, p->data + RX_HEADER_SIZE, p->len,
						      &p->checksum);
	assert(RX_HEADER_SIZE + p->len <= RX_PACKET_STORE);
	p->sealed = true;
}

uint64_t rx_send_rto_us(const struct rx_call *call)
{
	uint64_t rto = rx_peer_rto_us(call->conn->peer) + SOFT_ACK_DELAY_US;

	/* The last packet is acknowledged late, or by the reply. */
	if (call->tx_done && call->tx_top == call->tx_next)
		rto += call->client ? SOFT_ACK_DELAY_US : LAST_ACK_DELAY_US;
	rto <<= call->backoff;
	return rto > RTO_CAP_US ? RTO_CAP_US : rto;
}

/* After something was sent or acknowledged: the timers run from now. */
void rx_send_rearm(struct rx_call *call)
{
	const struct rx_peer *peer = call->conn->peer;
	uint64_t now = call->ep->now, pto;

	call->tlp_at = UINT64_MAX;
	if (!call->tx_flight && !call->tx_lost) {
		/* Nothing under way; if the window alone is shut, the timer probes it. */
		call->rto_at = call->tx_top != call->tx_next ? now + rx_send_rto_us(call) : UINT64_MAX;
		rx_call_arm(call, call->rto_at);
		return;
	}
	call->rto_at = now + (UMAFS_MAYBE(call->ep->cfg.maybe, RTO_SOON) ? 1 : rx_send_rto_us(call));
	rx_call_arm(call, call->rto_at);
	if (!peer->srtt_us || call->backoff || call->cong.recovering || call->tx_lost)
		return;
	pto = 2 * peer->srtt_us + 2 * peer->rttvar_us + 2000;
	if (call->tx_done && call->tx_top == call->tx_next)
		pto += call->client ? SOFT_ACK_DELAY_US : LAST_ACK_DELAY_US;
	if (UMAFS_MAYBE(call->ep->cfg.maybe, TAIL_PROBE_SOON))
		pto = 1;
	if (now + pto < call->rto_at) {
		call->tlp_at = now + pto;
		rx_call_arm(call, call->tlp_at);
	}
}

size_t rx_send_output(struct rx_call *call, uint8_t *buf)
{
	struct rx_endpoint *ep = call->ep;
	struct rx_conn *conn = call->conn;
	struct rx_packet *p;
	struct rx_header h;
	bool again;

	if (!rx_send_wants(call) || !(p = pick(call)))
		return 0;
	if (!p->sealed)
		seal(call, p);
	again = p->transmissions > 0;
	h = rx_conn_header(conn, RX_DATA, call->channel, call->number);
	h.seq = p->seq;
	h.checksum = p->checksum;
	h.flags |= p->flags;
	if (ask(call, p, again))
		h.flags |= RX_REQUEST_ACK;
	p->serial = h.serial;
	p->sent_us = ep->now;
	if (p->transmissions < UINT16_MAX)
		p->transmissions++;
	if (p->lost) {
		p->lost = false;
		call->tx_lost--;
	}
	if (!again) {
		assert(p->seq == call->tx_top);
		call->tx_top++;
	}
	call->tx_flight++;
	call->tx_probe = false;
	if (rx_send_wants(call))
		h.flags |= RX_MORE_PACKETS;
	rx_header_encode(p->data, &h);
	memcpy(buf, p->data, RX_HEADER_SIZE + p->len);
	call->sent_us = ep->now;
	if (call->rto_at == UINT64_MAX || !again)
		rx_send_rearm(call);
	/* A reply is the ack of the request. */
	if (!call->client && !UMAFS_MAYBE(ep->cfg.maybe, ACK_NOT_PIGGYBACKED)) {
		call->ack_at = UINT64_MAX;
		call->rx_unacked = call->rx_consumed = 0;
	}
	ep->count.s.data_sent++;
	ep->count.s.data_resent += again;
	conn->peer->sent++;
	conn->peer->resent += again;
	conn->peer->bytes_sent += p->len;
	conn->bytes_sent += p->len;
	return RX_HEADER_SIZE + p->len;
}

static void timeout(struct rx_call *call)
{
	struct rx_packet *p;

	if (!call->tx_flight && !call->tx_lost) {
		rx_call_ping(call);
	} else {
		rx_cong_timeout(&call->cong, call->tx_flight, call->tx_top);
		for (uint32_t s = call->tx_first; s != call->tx_top; s++) {
			p = call->tx[s % RX_RING];
			if (p->acked || p->lost)
				continue;
			p->lost = true;
			call->tx_lost++;
			call->tx_flight--;
		}
		call->ep->count.timeouts++;
		rx_call_make_ready(call);
	}
	if (call->backoff < BACKOFF_MAX)
		call->backoff++;
	rx_send_rearm(call);
}

/* The tail may be lost with nobody there to say so: its last packet goes out again. */
static void tail_probe(struct rx_call *call)
{
	call->tlp_at = UINT64_MAX;
	for (uint32_t s = call->tx_top; s != call->tx_first; s--) {
		struct rx_packet *p = call->tx[(s - 1) % RX_RING];

		if (p->acked || p->lost)
			continue;
		p->lost = true;
		call->tx_lost++;
		call->tx_flight--;
		call->tx_probe = true;
		call->ep->count.probes++;
		rx_call_make_ready(call);
		return;
	}
}

uint64_t rx_send_timer(struct rx_call *call, uint64_t now)
{
	uint64_t next;

	if (call->starved_at <= now) {
		call->starved_at = UINT64_MAX;
		rx_send_pump(call);
	}
	if (call->rack_at <= now)
		rx_send_detect_loss(call);
	if (call->rto_at <= now)
		timeout(call);
	else if (call->tlp_at <= now)
		tail_probe(call);
	next = call->rto_at < call->tlp_at ? call->rto_at : call->tlp_at;
	next = next < call->rack_at ? next : call->rack_at;
	return next < call->starved_at ? next : call->starved_at;
}
