/* What an ACK does to the sending half of a call: freeing, soft acks, round-trip
 * samples, loss detection by serial (RACK), the peer's window. Endpoint's lock. */
#include <assert.h>

#include "rx/endpoint.h"

enum { DUP_THRESHOLD = 3, REORDER_MAX = 32, REO_FLOOR_US = 1000, OLD_WINDOW = 15 };

/* How one ACK changes things. */
struct tally {
	const struct rx_ack *ack;
	unsigned newly;
	bool fresh; /* something never retransmitted was acknowledged, or a sample was taken */
	bool holes;
	bool later; /* than any other that said something */
};

static bool samples_rtt(unsigned reason)
{
	return reason == RX_ACK_REQUESTED || reason == RX_ACK_DUPLICATE || reason == RX_ACK_OUT_OF_SEQUENCE ||
	       reason == RX_ACK_EXCEEDS_WINDOW || reason == RX_ACK_PING_RESPONSE || reason == RX_ACK_IDLE;
}

static void newly_acked(struct rx_call *call, struct rx_packet *p, struct tally *t)
{
	const struct rx_ack *ack = t->ack;
	bool exact = ack->serial && p->serial == ack->serial;

	if (p->lost)
		call->tx_lost--;
	else
		call->tx_flight--;
	p->lost = false;
	p->acked = true;
	t->newly++;
	if (exact && samples_rtt(ack->reason)) {
		rx_peer_rtt_sample(call->conn->peer, call->ep->now, call->ep->now - p->sent_us);
		call->ep->count.rtt_samples++;
		t->fresh = true;
	}
	if (p->transmissions == 1)
		t->fresh = true;
	/* Of a packet sent twice nobody knows which one arrived, unless the serial tells. */
	if ((p->transmissions == 1 || exact) && rx_seq_diff(p->serial, call->rack_serial) > 0)
		call->rack_serial = p->serial;
}

static void ping_answered(struct rx_call *call, uint32_t serial)
{
	for (unsigned i = 0; i < RX_PROBES; i++) {
		if (!call->probe[i].serial || call->probe[i].serial != serial)
			continue;
		rx_peer_rtt_sample(call->conn->peer, call->ep->now, call->ep->now - call->probe[i].at);
		call->ep->count.rtt_samples++;
		call->probe[i].serial = 0;
		call->heard_us = call->ep->now;
	}
}

/* It answers what was sent after the last ACK that said something new, so it is no older
 * one that was overtaken. */
static bool answers_later(const struct rx_call *call, const struct rx_ack *ack)
{
	return ack->serial && rx_seq_diff(ack->serial, call->tx_news_serial) > 0;
}

/* False: the ACK is impossible (the call has been aborted) or stale. */
static bool valid(struct rx_call *call, const struct rx_ack *ack)
{
	int32_t back = rx_seq_diff(ack->first, call->tx_first);

	if (ack->first == 0 || rx_seq_diff(ack->first, call->tx_top) > 0) {
		rx_call_fail(call, RX_PROTOCOL_ERROR, true);
		return false;
	}
	if (back < 0 && call->client && ack->first == 1 && ack->previous == 0 &&
	    (ack->reason == RX_ACK_OUT_OF_SEQUENCE || ack->reason == RX_ACK_EXCEEDS_WINDOW)) {
		/* The server sees a new connection: our address changed on the way. */
		rx_call_fail(call, RX_CALL_DEAD, true);
		return false;
	}
	if (call->client && answers_later(call, ack) && rx_seq_diff(ack->first, call->tx_hard) < 0) {
		/* It takes back that it had a packet: it has begun anew, and would wait for that
		 * one for ever. */
		rx_call_fail(call, RX_CALL_DEAD, true);
		return false;
	}
	if (back < 0 || (back == 0 && !answers_later(call, ack) && rx_seq_diff(ack->previous, call->tx_previous) < 0 &&
			 rx_seq_diff(ack->previous, call->tx_first + call->tx_window) < 0)) {
		call->ep->count.stale_acks++;
		return false;
	}
	for (unsigned i = 0; i < ack->n; i++) {
		if (rx_seq_diff(ack->first + i, call->tx_top) >= 0 && (ack->acks[i] & 1)) {
			rx_call_fail(call, RX_PROTOCOL_ERROR, true);
			return false;
		}
	}
	return true;
}

static void take_back(struct rx_call *call, struct rx_packet *p)
{
	p->acked = false;
	p->lost = true;
	call->tx_lost++;
}

static void soft_acks(struct rx_call *call, struct tally *t)
{
	const struct rx_ack *ack = t->ack;
	bool gap = false;

	for (unsigned i = 0; i < ack->n && rx_seq_diff(ack->first + i, call->tx_top) < 0; i++) {
		struct rx_packet *p = call->tx[(ack->first + i) % RX_RING];

		if (ack->acks[i] & 1) {
			if (!p->acked)
				newly_acked(call, p, t);
			if (rx_seq_diff(p->seq + 1, call->tx_high) > 0)
				call->tx_high = p->seq + 1;
			t->holes |= gap;
			continue;
		}
		gap = true;
		if (p->acked) /* the peer had it and threw it away */
			take_back(call, p);
	}
	for (uint32_t s = ack->first + ack->n; t->later && rx_seq_diff(s, call->tx_top) < 0; s++)
		if (call->tx[s % RX_RING]->acked)
			take_back(call, call->tx[s % RX_RING]);
}

void rx_send_detect_loss(struct rx_call *call)
{
	const struct rx_peer *peer = call->conn->peer;
	uint64_t reo = peer->srtt_us + peer->srtt_us / 4 + REO_FLOOR_US, now = call->ep->now;
	unsigned above = 0, lost = 0, flight = call->tx_flight;

	call->rack_at = UINT64_MAX;
	if (rx_seq_diff(call->tx_high, call->tx_first) <= 0)
		return;
	for (uint32_t s = call->tx_high; s != call->tx_first; s--) {
		struct rx_packet *p = call->tx[(s - 1) % RX_RING];

		if (p->acked) {
			above++;
			continue;
		}
		if (p->lost || rx_seq_diff(p->serial, call->rack_serial) >= 0)
			continue;
		if (p->transmissions == 1 ? above >= DUP_THRESHOLD + call->reorder : false) {
			lost++;
		} else if (peer->srtt_us && now >= p->sent_us + reo * (1 + call->reorder / 4)) {
			lost++;
		} else {
			uint64_t at = p->sent_us + reo * (1 + call->reorder / 4);

			if (peer->srtt_us && at < call->rack_at)
				call->rack_at = at;
			continue;
		}
		p->lost = true;
		call->tx_lost++;
		call->tx_flight--;
	}
	if (lost) {
		rx_cong_lost(&call->cong, flight, call->tx_top);
		call->ep->count.fast_resends += lost;
		rx_call_make_ready(call);
	}
	rx_call_arm(call, call->rack_at);
}

static void trailer(struct rx_call *call, const struct rx_ack *ack)
{
	if (ack->words >= 4)
		call->tx_window = ack->rwind;
	else if (ack->words == 3 && ack->rwind < call->tx_window)
		call->tx_window = ack->rwind;
	else if (ack->words < 3 && call->tx_window > OLD_WINDOW)
		call->tx_window = OLD_WINDOW;
	if (ack->words >= 2)
		rx_peer_mtu(call->conn->peer, ack->max_mtu < ack->if_mtu ? ack->max_mtu : ack->if_mtu);
	else
		rx_peer_mtu(call->conn->peer, RX_PACKET_MTU);
}

static bool all_acked(const struct rx_call *call)
{
	return call->tx_done && call->tx_top == call->tx_next && !call->tx_flight && !call->tx_lost;
}

void rx_send_acked(struct rx_call *call, const struct rx_ack *ack)
{
	struct tally t = { .ack = ack };
	unsigned flight = call->tx_flight;
	bool shut;

	if (ack->reason == RX_ACK_PING_RESPONSE && ack->serial)
		ping_answered(call, ack->serial);
	if (!valid(call, ack))
		return;
	call->heard_us = call->ep->now;
	t.later = answers_later(call, ack);
	if (rx_seq_diff(ack->first, call->tx_hard) > 0) {
		call->tx_hard = ack->first;
		call->tx_news_serial = call->conn->serial;
	}
	if (rx_seq_diff(ack->previous, call->tx_previous) > 0 &&
	    rx_seq_diff(ack->previous, call->tx_first + call->tx_window) < 0) {
		call->tx_previous = ack->previous;
		call->tx_news_serial = call->conn->serial;
	}
	while (call->tx_first != ack->first) {
		struct rx_packet *p = call->tx[call->tx_first % RX_RING];

		if (!p->acked)
			newly_acked(call, p, &t);
		call->tx[call->tx_first % RX_RING] = NULL;
		rx_packet_put(&call->ep->pool, p);
		call->tx_first++;
	}
	if (rx_seq_diff(call->tx_high, call->tx_first) < 0)
		call->tx_high = call->tx_first;
	soft_acks(call, &t);
	if (t.newly)
		call->tx_news_serial = call->conn->serial;
	if (ack->reason == RX_ACK_DUPLICATE && call->reorder < REORDER_MAX && call->cong.recovering)
		call->reorder += 2;
	shut = call->tx_window <= call->tx_top - call->tx_first;
	trailer(call, ack);
	if (t.fresh || (shut && call->tx_window > call->tx_top - call->tx_first))
		call->backoff = 0;
	if (t.newly)
		rx_cong_acked(&call->cong, t.newly, call->tx_first, 2 * flight >= call->cong.cwnd);
	if (t.holes)
		rx_send_detect_loss(call);
	else
		call->rack_at = UINT64_MAX;
	if (call->state == RX_CS_HOLD && all_acked(call)) {
		rx_peer_cwnd_store(call->conn->peer, call->ep->now, call->cong.cwnd);
		rx_conn_prove(call->conn);
		rx_call_set_state(call, RX_CS_DALLY);
		rx_call_release(call);
		return;
	}
	if (all_acked(call))
		rx_peer_cwnd_store(call->conn->peer, call->ep->now, call->cong.cwnd);
	if (t.newly || shut)
		rx_send_rearm(call);
	rx_send_pump(call);
	if (rx_send_wants(call))
		rx_call_make_ready(call);
}
