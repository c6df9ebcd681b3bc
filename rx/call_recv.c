/* The receiving half of a call: the window, delivery to the reader, and which ACK is
 * sent when and why. Called by call.c and the endpoint under its lock. */
#include <assert.h>
#include <string.h>

#include "rx/endpoint.h"
#include "rx/maybe.h"

enum {
	SOFT_ACK_US = 100000,
	ACK_EVERY = 2,                           /* unacknowledged packets at which an ack goes out at once */
	CONSUMED_MAX = 2,                        /* packets read without telling the sender */
	COPY_SPARE = 32,                         /* for classes that pad while they decrypt */
	ORDINARY = RX_PACKET_STORE - COPY_SPARE, /* more takes memory that strangers do not get */
};

void rx_recv_init(struct rx_call *call)
{
	call->rx_first = call->rx_top = call->rx_high = 1;
	call->rx_window =
		call->client || call->ep->cfg.window < RX_WINDOW_INITIAL ? call->ep->cfg.window : RX_WINDOW_INITIAL;
	call->ack_at = call->announce_at = UINT64_MAX;
}

void rx_recv_clear(struct rx_call *call)
{
	struct rx_packet_pool *pool = &call->ep->pool;

	for (uint32_t s = call->rx_first; s != call->rx_high; s++) {
		struct rx_packet **p = &call->rx[s % RX_RING];

		if (*p)
			rx_packet_put(pool, *p);
		*p = NULL;
	}
	if (call->rx_cur)
		rx_packet_put(pool, call->rx_cur);
	call->rx_cur = NULL;
	/* Whatever was in order counts as consumed; a hole cannot be acknowledged. */
	call->rx_first = call->rx_high = call->rx_top;
}

bool rx_recv_complete(const struct rx_call *call)
{
	return call->rx_last_known && call->rx_top == call->rx_last + 1;
}

/* More urgent reasons are not displaced by lesser ones of the same burst. */
static int urgency(unsigned reason)
{
	switch (reason) {
	case RX_ACK_NONE:
		return 0;
	case RX_ACK_DELAY:
		return 1;
	case RX_ACK_IDLE:
		return 2;
	case RX_ACK_REQUESTED:
		return 3;
	default:
		return 4;
	}
}

void rx_recv_ack_now(struct rx_call *call, enum rx_ack_reason reason, uint32_t serial)
{
	if (urgency(reason) >= urgency(call->ack_reason)) {
		call->ack_reason = (uint8_t)reason;
		call->ack_serial = serial;
	}
	rx_call_make_ready(call);
}

static void ack_later(struct rx_call *call)
{
	uint64_t at = call->ep->now + (UMAFS_MAYBE(call->ep->cfg.maybe, ACK_AT_ONCE) ? 0 : SOFT_ACK_US);

	if (at < call->ack_at)
		call->ack_at = at;
	rx_call_arm(call, call->ack_at);
}

size_t rx_recv_output_ack(struct rx_call *call, enum rx_ack_reason reason, uint32_t serial, uint8_t *buf)
{
	struct rx_header h = rx_conn_header(call->conn, RX_ACK, call->channel, call->number);
	uint8_t bits[RX_RING];
	struct rx_ack ack = {
		.first = call->rx_first,
		.previous = call->rx_high - 1,
		.serial = serial,
		.reason = (uint8_t)reason,
		.acks = bits,
		.max_mtu = RX_PACKET_MTU,
		.if_mtu = RX_PACKET_MTU,
		.rwind = call->rx_window,
		.jumbo = 1,
	};

	while (call->rx_first + ack.n != call->rx_high) {
		bits[ack.n] = call->rx[(call->rx_first + ack.n) % RX_RING] != NULL;
		ack.n++;
	}
	if (UMAFS_MAYBE(call->ep->cfg.maybe, WINDOW_OF_ONE))
		ack.rwind = 1;
	h.flags |= RX_SLOW_START_OK;
	if (reason == RX_ACK_PING) {
		unsigned i = call->probe_next++ % RX_PROBES;

		h.flags |= RX_REQUEST_ACK;
		call->probe[i].serial = h.serial;
		call->probe[i].at = call->ep->now;
		call->ep->count.pings_sent++;
	}
	rx_header_encode(buf, &h);
	call->ack_reason = RX_ACK_NONE;
	call->ack_at = UINT64_MAX;
	call->rx_unacked = call->rx_consumed = 0;
	call->sent_us = call->ep->now;
	call->ep->count.s.acks_sent++;
	return RX_HEADER_SIZE + rx_ack_build(&ack, buf + RX_HEADER_SIZE);
}

static void consumed(struct rx_call *call)
{
	call->rx_first++;
	call->rx_consumed++;
	if (rx_recv_complete(call)) /* the reply, or the end of the call, says it all */
		return;
	if (call->rx_consumed > CONSUMED_MAX)
		rx_recv_ack_now(call, RX_ACK_DELAY, 0);
	else
		ack_later(call);
}

/* Moves in-order bytes into the reader's buffer. */
void rx_recv_pump(struct rx_call *call)
{
	while (!call->rx_eof && (call->rd_done < call->rd_len || call->rx_cur || call->rx_first != call->rx_top)) {
		struct rx_packet *p = call->rx_cur;
		size_t n;

		if (!p) {
			if (call->rx_first == call->rx_top)
				break;
			if (call->rd_done == call->rd_len && call->rx[call->rx_first % RX_RING]->len)
				break;
			p = call->rx[call->rx_first % RX_RING];
			assert(p && p->opened);
			call->rx[call->rx_first % RX_RING] = NULL;
			call->rx_cur = p;
			consumed(call);
		}
		n = p->len < call->rd_len - call->rd_done ? p->len : call->rd_len - call->rd_done;
		if (call->rd_buf && n)
			memcpy(call->rd_buf + call->rd_done, p->data + p->off, n);
		call->rd_done += n;
		p->off += (uint32_t)n;
		p->len -= (uint32_t)n;
		if (p->len)
			break;
		call->rx_eof = p->flags & RX_LAST_PACKET;
		call->rx_cur = NULL;
		rx_packet_put(&call->ep->pool, p);
	}
}

/* 0: fine (or to be opened later). RX_SECURITY_DROP or a code as from `open`. */
static int open_packet(struct rx_call *call, struct rx_packet *p)
{
	struct rx_conn *conn = call->conn;
	struct rx_packet_ident id = {
		.epoch = conn->epoch,
		.cid = conn->cid | call->channel,
		.call = call->number,
		.seq = p->seq,
		.checksum = p->checksum,
		.security_index = conn->secidx,
	};
	size_t off = 0, len = 0;
	int rc;

	if (!rx_conn_authenticated(conn))
		return 0;
	rc = conn->sec->ops->open(conn->sec_state, &id, p->data, p->len, &off, &len, call->ep->wall);
	if (rc)
		return rc;
	assert(off <= p->len && len <= p->len - off);
	p->off = (uint32_t)off;
	p->len = (uint32_t)len;
	p->opened = true;
	return 0;
}

bool rx_recv_open_held(struct rx_call *call)
{
	uint32_t high = call->rx_first;

	for (uint32_t s = call->rx_first; s != call->rx_high; s++) {
		struct rx_packet **slot = &call->rx[s % RX_RING];
		int rc;

		if (!*slot)
			continue;
		rc = (*slot)->opened ? 0 : open_packet(call, *slot);
		if (rc > 0) {
			rx_conn_fail(call->conn, rc, true);
			return false;
		}
		if (rc) { /* forged; the true one will come again */
			call->ep->count.forged++;
			if (((*slot)->flags & RX_LAST_PACKET))
				call->rx_last_known = false;
			rx_packet_put(&call->ep->pool, *slot);
			*slot = NULL;
			continue;
		}
		high = s + 1;
	}
	call->rx_high = high;
	call->rx_top = call->rx_first;
	while (call->rx_top != call->rx_high && call->rx[call->rx_top % RX_RING])
		call->rx_top++;
	return true;
}

/* Rows 2 to 4 of the receiver's table, and its size; false: the packet is not wanted. */
static bool acceptable(struct rx_call *call, const struct rx_header *h, size_t len)
{
	int32_t ahead = rx_seq_diff(h->seq, call->rx_first);

	if (len > ORDINARY && !call->client && !call->conn->proven) {
		call->ep->count.s.bogus++;
		return false;
	}
	if (ahead < 0 || (ahead < (int32_t)call->rx_window && call->rx[h->seq % RX_RING])) {
		call->ep->count.dup++;
		rx_recv_ack_now(call, RX_ACK_DUPLICATE, h->serial);
		return false;
	}
	if (ahead >= (int32_t)call->rx_window) {
		rx_recv_ack_now(call, RX_ACK_EXCEEDS_WINDOW, h->serial);
		return false;
	}
	return true;
}

static bool contradicts_last(const struct rx_call *call, const struct rx_header *h)
{
	bool last = h->flags & RX_LAST_PACKET;

	if (call->rx_last_known)
		return rx_seq_diff(h->seq, call->rx_last) > 0 || (last && h->seq != call->rx_last);
	return last && rx_seq_diff(h->seq + 1, call->rx_high) < 0;
}

static void choose_ack(struct rx_call *call, const struct rx_header *h, bool in_order, bool filled)
{
	call->rx_unacked++;
	call->rx_serial = h->serial;
	if (!in_order)
		rx_recv_ack_now(call, RX_ACK_OUT_OF_SEQUENCE, h->serial);
	else if (h->flags & RX_REQUEST_ACK)
		rx_recv_ack_now(call, RX_ACK_REQUESTED, h->serial);
	else if (filled)
		rx_recv_ack_now(call, RX_ACK_IDLE, h->serial);
	else if (rx_recv_complete(call))
		ack_later(call); /* the reply or the next call may say it for us */
	else if (call->rx_unacked >= ACK_EVERY || UMAFS_MAYBE(call->ep->cfg.maybe, ACK_EACH))
		rx_recv_ack_now(call, RX_ACK_IDLE, h->serial);
	else
		ack_later(call);
}

static struct rx_packet *copy_in(struct rx_call *call, const struct rx_piece *piece)
{
	struct rx_packet *p = rx_packet_get(&call->ep->pool, piece->len + COPY_SPARE);

	if (!p)
		return NULL;
	p->seq = piece->h.seq;
	p->serial = piece->h.serial;
	p->checksum = piece->h.checksum;
	p->flags = piece->h.flags & RX_LAST_PACKET;
	p->len = (uint32_t)piece->len;
	memcpy(p->data, piece->payload, piece->len);
	return p;
}

bool rx_recv_data(struct rx_call *call, const struct rx_piece *piece)
{
	const struct rx_header *h = &piece->h;
	bool in_order, filled, was_ready;
	struct rx_packet *p;
	int rc;

	if (!acceptable(call, h, piece->len))
		return true;
	/* Judged before the packet is opened: where anybody could have sent it, the
	 * class has its say first. */
	p = copy_in(call, piece);
	if (!p) { /* as if the network had lost it */
		call->ep->count.s.dropped++;
		return true;
	}
	rc = open_packet(call, p);
	if (rc || contradicts_last(call, h)) {
		rx_packet_put(&call->ep->pool, p);
		if (rc < 0) {
			call->ep->count.forged++;
			return true;
		}
		if (rc > 0)
			rx_conn_fail(call->conn, rc, true);
		else
			rx_call_fail(call, RX_PROTOCOL_ERROR, true);
		return false;
	}
	if (call->client)
		rx_send_answered(call);
	call->rx[h->seq % RX_RING] = p;
	if (h->flags & RX_LAST_PACKET) {
		call->rx_last_known = true;
		call->rx_last = h->seq;
	}
	if (rx_seq_diff(h->seq + 1, call->rx_high) > 0)
		call->rx_high = h->seq + 1;
	in_order = h->seq == call->rx_top;
	while (call->rx_top != call->rx_high && call->rx[call->rx_top % RX_RING])
		call->rx_top++;
	filled = in_order && call->rx_top != h->seq + 1;
	was_ready = call->rd_len && call->rd_done == call->rd_len;
	choose_ack(call, h, in_order, filled);
	if (!call->client && call->state != RX_CS_PRECALL && call->state != RX_CS_RECV) {
		rx_recv_clear(call); /* the handler replies already; nobody will read this */
		return true;
	}
	if (!in_order || !p->opened)
		return true;
	if (call->state == RX_CS_RECV && call->rd_len)
		rx_recv_pump(call);
	if (call->rx_eof || !call->rd_len || (call->rd_done == call->rd_len && !was_ready))
		rx_call_progress(call);
	return true;
}

uint64_t rx_recv_timer(struct rx_call *call, uint64_t now)
{
	if (call->ack_at <= now) {
		call->ack_at = UINT64_MAX;
		rx_recv_ack_now(call, RX_ACK_DELAY, 0);
	}
	return call->ack_at;
}
