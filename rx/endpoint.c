/* The endpoint: one packet in and to whom it belongs, one packet out, and the clock.
 * Called by the binding, which holds the lock. */
#include "rx/endpoint.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "rx/maybe.h"

enum {
	DEAD_TIME_S = 50,
	WINDOW = 64,
	BURST = 16,         /* packets of one call before another has its turn */
	FIRST_SEQ_MAX = 32, /* a first packet of a call lies within this */
	CONTROL_MAX = 1024, /* datagrams queued that nobody has pulled yet */
	HEARD_RECENTLY_US = 1000000,
};

/* As other implementations choose theirs: bit 31 says that the epoch names the host. */
static uint32_t usable_epoch(uint32_t random)
{
	return (random & ~0x40000000u) | 0x80000000u;
}

struct rx_endpoint *rx_endpoint_new(const struct rx_endpoint_config *cfg, uint64_t now_us, int64_t wall_s)
{
	struct rx_endpoint *ep = calloc(1, sizeof *ep);

	if (!ep)
		return NULL;
	ep->cfg = *cfg;
	ep->cfg.epoch = usable_epoch(cfg->epoch);
	if (!ep->cfg.dead_time_s)
		ep->cfg.dead_time_s = DEAD_TIME_S;
	if (!ep->cfg.window)
		ep->cfg.window = WINDOW;
	if (ep->cfg.window > RX_WINDOW_MAX)
		ep->cfg.window = RX_WINDOW_MAX;
	if (!ep->cfg.version)
		ep->cfg.version = "umafs";
	/* Throttle windows begin in the past, whatever the clock says. */
	for (unsigned i = 0; i < RX_RAW_SLOTS; i++)
		ep->raw[i].window = now_us - 10000000;
	ep->debug_slot.window = now_us - 10000000;
	ep->now = now_us;
	ep->wall = wall_s;
	cfg->random(cfg->random_arg, &ep->next_cid, sizeof ep->next_cid);
	ep->next_cid &= ~(uint32_t)RX_CHANNEL_MASK;
	return ep;
}

void rx_endpoint_free(struct rx_endpoint *ep)
{
	if (!ep)
		return;
	for (unsigned i = 0; i < RX_CONN_BUCKETS; i++)
		while (ep->conns[i])
			rx_conn_destroy(ep->conns[i]);
	for (unsigned i = 0; i < ep->nservices; i++)
		for (unsigned j = 0; j < 5; j++)
			rx_security_put(ep->service[i].sec[j]);
	while (ep->control_head) {
		struct rx_control *c = ep->control_head;

		ep->control_head = c->next;
		free(c);
	}
	while (ep->free_calls) {
		struct rx_call *call = ep->free_calls;

		ep->free_calls = call->ready_next;
		free(call);
	}
	rx_packet_pool_clear(&ep->pool);
	rx_timers_clear(&ep->timers);
	assert(!ep->npeers && !ep->nconns && !ep->ncalls);
	free(ep);
}

struct rx_core_service *rx_endpoint_find_service(struct rx_endpoint *ep, uint16_t id)
{
	for (unsigned i = 0; i < ep->nservices; i++)
		if (ep->service[i].id == id)
			return &ep->service[i];
	return NULL;
}

int rx_endpoint_service(struct rx_endpoint *ep, uint16_t id, struct rx_security *const sec[5], void *user)
{
	struct rx_core_service *s = &ep->service[ep->nservices];

	if (ep->nservices == RX_SERVICES || rx_endpoint_find_service(ep, id))
		return -1;
	s->id = id;
	s->user = user;
	for (unsigned i = 0; i < 5; i++)
		s->sec[i] = sec[i] ? rx_security_get(sec[i]) : NULL;
	ep->nservices++;
	return 0;
}

void rx_endpoint_control(struct rx_endpoint *ep, const struct rx_addr *to, const struct rx_header *h, const void *body,
			 size_t len)
{
	struct rx_control *c;

	assert(RX_HEADER_SIZE + len <= RX_OUTPUT_MAX);
	c = ep->ncontrol < CONTROL_MAX ? malloc(sizeof *c + RX_HEADER_SIZE + len) : NULL;
	if (!c) { /* as if the network had lost it */
		ep->count.s.dropped++;
		return;
	}
	c->next = NULL;
	c->to = *to;
	c->len = RX_HEADER_SIZE + len;
	rx_header_encode(c->data, h);
	if (len)
		memcpy(c->data + RX_HEADER_SIZE, body, len);
	if (ep->control_tail)
		ep->control_tail->next = c;
	else
		ep->control_head = c;
	ep->control_tail = c;
	ep->ncontrol++;
}

/* Answers for a call of which only the channel's memory is left. */
static void ack_from_memory(struct rx_conn *conn, unsigned channel, enum rx_ack_reason reason, uint32_t serial)
{
	const struct rx_channel *ch = &conn->channel[channel];
	struct rx_header h = rx_conn_header(conn, RX_ACK, channel, ch->number);
	uint8_t body[RX_ACK_MAX];
	struct rx_ack ack = {
		.first = ch->rx_next,
		.previous = ch->rx_next - 1,
		.serial = serial,
		.reason = (uint8_t)reason,
		.max_mtu = RX_PACKET_MTU,
		.if_mtu = RX_PACKET_MTU,
		.rwind = conn->ep->cfg.window,
		.jumbo = 1,
	};

	h.flags |= RX_SLOW_START_OK;
	rx_endpoint_control(conn->ep, &conn->peer->addr, &h, body, rx_ack_build(&ack, body));
	conn->ep->count.s.acks_sent++;
}

static void ping_response(struct rx_call *call, uint32_t serial)
{
	uint8_t buf[RX_HEADER_SIZE + RX_ACK_MAX];
	struct rx_header h;
	size_t n = rx_recv_output_ack(call, RX_ACK_PING_RESPONSE, serial, buf);

	rx_header_decode(&h, buf, n);
	rx_endpoint_control(call->ep, &call->conn->peer->addr, &h, buf + RX_HEADER_SIZE, n - RX_HEADER_SIZE);
}

/* Whether one who knew that the channel's last call was aborted would not send this. A
 * server's ACKs say so only if they follow an ABORT of ours: it may have been lost. */
static bool unaware(const struct rx_conn *conn, const struct rx_header *h)
{
	if (h->type != RX_ACK)
		return h->type == RX_DATA;
	return (h->flags & RX_REQUEST_ACK) || (conn->client && conn->channel[h->cid & RX_CHANNEL_MASK].abort_sent);
}

/* The packet is for the channel's last call, which is over. */
static void to_finished(struct rx_conn *conn, const struct rx_header *h)
{
	unsigned channel = h->cid & RX_CHANNEL_MASK;
	const struct rx_channel *ch = &conn->channel[channel];
	bool asks = h->type == RX_ACK && (h->flags & RX_REQUEST_ACK);

	if (ch->abort_code) {
		if (unaware(conn, h))
			rx_abort_call(conn, channel);
	} else if (h->type == RX_DATA || asks) {
		ack_from_memory(conn, channel, asks ? RX_ACK_PING_RESPONSE : RX_ACK_DUPLICATE, h->serial);
	}
}

static void busy(struct rx_conn *conn, const struct rx_header *h)
{
	struct rx_header b = rx_conn_header(conn, RX_BUSY, h->cid & RX_CHANNEL_MASK, h->call);

	rx_endpoint_control(conn->ep, &conn->peer->addr, &b, NULL, 0);
	conn->ep->count.busies++;
}

/* Server: the call this packet is for, made if it starts one; NULL if none. */
static struct rx_call *server_call(struct rx_conn *conn, const struct rx_header *h)
{
	struct rx_channel *ch = &conn->channel[h->cid & RX_CHANNEL_MASK];
	int32_t ahead = ch->number ? rx_seq_diff(h->call, ch->number) : 1; /* a channel never used: any number */
	struct rx_call *call;

	if (ahead == 0 && ch->mute)
		return NULL;
	if (ahead == 0 && ch->call)
		return ch->call;
	if (ahead == 0) {
		to_finished(conn, h);
		return NULL;
	}
	if (ahead < 0 || h->type != RX_DATA || h->seq < 1 || h->seq > FIRST_SEQ_MAX) {
		conn->ep->count.spurious++;
		return NULL;
	}
	if (ch->call && ch->call->owned) {
		/* A handler is still at the old call: it is told to stop, the client to wait. */
		rx_call_fail(ch->call, RX_CALL_DEAD, false);
		busy(conn, h);
		return NULL;
	}
	if (h->seq == 1 && !ch->busy_at && UMAFS_MAYBE(conn->ep->cfg.maybe, BUSY_CHANNEL)) {
		ch->busy_at = conn->ep->now + 1; /* once a channel: the client's patience ends */
		busy(conn, h);
		return NULL;
	}
	if (ch->call) {
		rx_conn_prove(conn);
		rx_call_release(ch->call);
	}
	call = rx_call_alloc(conn, h->cid & RX_CHANNEL_MASK, h->call, false);
	if (!call) {
		conn->ep->count.s.dropped++;
		return NULL;
	}
	rx_call_set_state(call, RX_CS_PRECALL);
	return call;
}

static struct rx_call *client_call(struct rx_conn *conn, const struct rx_header *h)
{
	struct rx_channel *ch = &conn->channel[h->cid & RX_CHANNEL_MASK];

	if (h->type == RX_BUSY && ch->call && (h->call == ch->number || rx_seq_diff(h->call, ch->number) == 1)) {
		ch->busy_at = conn->ep->now + 1;
		ch->call->heard_us = conn->ep->now;
		return NULL;
	}
	if (!ch->number || h->call != ch->number) {
		conn->ep->count.spurious++;
		return NULL;
	}
	if (!ch->call)
		to_finished(conn, h);
	return ch->call;
}

static void data_received(struct rx_call *call, const struct rx_header *h, const uint8_t *body, size_t len,
			  const struct rx_addr *from)
{
	struct rx_conn *conn = call->conn;
	struct rx_endpoint *ep = call->ep;
	struct rx_jumbo j;
	struct rx_piece piece;
	uint32_t top = call->rx_top;

	rx_jumbo_start(&j, h, body, len);
	while (rx_jumbo_next(&j, &piece)) {
		ep->count.s.data_received++;
		conn->bytes_received += piece.len;
		conn->peer->bytes_received += piece.len;
		if (!rx_recv_data(call, &piece))
			return;
	}
	if (j.bad)
		ep->count.s.bogus++;
	if (conn->client)
		return;
	/* A verified packet from elsewhere moves the connection there (never unverified ones). */
	if (conn->secidx != RX_SECIDX_NULL && rx_conn_authenticated(conn) && call->rx_top != top &&
	    !rx_addr_equal(&conn->peer->addr, from)) {
		struct rx_peer *now = rx_peer_get(ep, from);

		if (now) { /* else with a later packet */
			rx_peer_put(ep, conn->peer);
			conn->peer = now;
		}
	}
	if (call->state == RX_CS_PRECALL && !call->owned)
		rx_conn_announce(conn);
}

static void ack_received(struct rx_call *call, const struct rx_header *h, const uint8_t *body, size_t len)
{
	struct rx_ack ack;

	call->ep->count.s.acks_received++;
	if (!rx_ack_parse(&ack, body, len)) {
		call->ep->count.s.bogus++;
		return;
	}
	if (h->flags & RX_REQUEST_ACK)
		ping_response(call, h->serial);
	if (call->state == RX_CS_DALLY)
		return;
	rx_send_acked(call, &ack);
}

/* A packet of a call that exists. */
static void call_packet(struct rx_call *call, const struct rx_header *h, const uint8_t *body, size_t len,
			const struct rx_addr *from)
{
	struct rx_conn *conn = call->conn;

	if (call->state == RX_CS_ERROR && h->type != RX_ABORT) {
		if (unaware(conn, h))
			rx_abort_call(conn, call->channel);
		return;
	}
	switch (h->type) {
	case RX_DATA:
		call->heard_us = call->ep->now;
		data_received(call, h, body, len, from);
		break;
	case RX_ACK:
		ack_received(call, h, body, len);
		break;
	case RX_ACKALL:
		call->heard_us = call->ep->now;
		if (call->tx_done && call->tx_top == call->tx_next) {
			rx_send_all_acked(call);
			if (call->state == RX_CS_HOLD) {
				rx_call_set_state(call, RX_CS_DALLY);
				rx_call_release(call);
			}
		}
		break;
	case RX_ABORT:
		if (len >= 4) {
			call->ep->count.s.aborts_received++;
			rx_call_fail(call, (int32_t)rx_get32(body), false);
		}
		break;
	default:
		call->ep->count.spurious++;
	}
}

static void conn_packet(struct rx_conn *conn, const struct rx_header *h, const uint8_t *body, size_t len,
			const struct rx_addr *from)
{
	struct rx_endpoint *ep = conn->ep;
	struct rx_call *call;

	conn->packets_received++;
	conn->used_us = ep->now;
	if (rx_addr_equal(from, &conn->peer->addr))
		conn->peer->heard_us = ep->now;
	if (conn->error) {
		if (h->type != RX_ABORT && conn->abort_at == UINT64_MAX)
			rx_abort_conn(conn);
		return;
	}
	if (h->call == 0) {
		if (h->type == RX_ABORT && len >= 4) {
			ep->count.s.aborts_received++;
			rx_conn_fail(conn, (int32_t)rx_get32(body), false);
		} else if (h->type == RX_CHALLENGE) {
			rx_challenge_received(conn, body, len);
		} else if (h->type == RX_RESPONSE) {
			rx_response_received(conn, body, len);
		} else {
			ep->count.s.bogus++;
		}
		return;
	}
	if (h->type == RX_CHALLENGE || h->type == RX_RESPONSE || (h->type == RX_DATA && h->seq == 0)) {
		ep->count.s.bogus++;
		return;
	}
	call = conn->client ? client_call(conn, h) : server_call(conn, h);
	if (call)
		call_packet(call, h, body, len, from);
}

/* A client's packet of a connection that we do not know. */
static void stranger(struct rx_endpoint *ep, const struct rx_header *h, const struct rx_addr *from, const uint8_t *body,
		     size_t len)
{
	struct rx_core_service *s = rx_endpoint_find_service(ep, h->service);
	struct rx_conn *conn;

	if (h->type != RX_DATA && h->type != RX_ACK)
		return;
	if (!s || h->security >= 5 || !s->sec[h->security]) {
		rx_abort_raw(ep, h, from, RX_INVALID_OPERATION);
		return;
	}
	if (h->type != RX_DATA || !h->call || h->seq < 1 || h->seq > FIRST_SEQ_MAX) {
		ep->count.spurious++;
		return;
	}
	conn = rx_conn_accept(ep, h, from, s->sec[h->security]);
	if (conn)
		conn_packet(conn, h, body, len, from);
}

void rx_endpoint_input(struct rx_endpoint *ep, uint64_t now_us, int64_t wall_s, const struct rx_addr *from,
		       const uint8_t *pkt, size_t len)
{
	struct rx_header h;
	struct rx_conn *conn;
	bool client;

	ep->now = now_us;
	ep->wall = wall_s;
	if (now_us < ep->deaf_until) {
		ep->count.s.dropped++;
		return;
	}
	ep->count.s.packets_received++;
	if (!rx_header_decode(&h, pkt, len)) {
		ep->count.s.bogus++;
		return;
	}
	ep->count.read[h.type]++;
	if (h.type == RX_VERSION || h.type == RX_DEBUG) {
		rx_debug_received(ep, &h, from, pkt + RX_HEADER_SIZE, len - RX_HEADER_SIZE);
		return;
	}
	client = !(h.flags & RX_CLIENT_INITIATED);
	conn = rx_conn_lookup(ep, &h, client, from);
	if (conn && conn->secidx == h.security)
		conn_packet(conn, &h, pkt + RX_HEADER_SIZE, len - RX_HEADER_SIZE, from);
	else if (!conn && !client)
		stranger(ep, &h, from, pkt + RX_HEADER_SIZE, len - RX_HEADER_SIZE);
	else
		ep->count.spurious++;
}

void rx_endpoint_tick(struct rx_endpoint *ep, uint64_t now_us)
{
	ep->now = now_us;
	rx_timers_run(&ep->timers, now_us);
}

uint64_t rx_endpoint_deadline(const struct rx_endpoint *ep)
{
	return rx_timers_next(&ep->timers);
}

bool rx_endpoint_has_output(const struct rx_endpoint *ep)
{
	return ep->control_head || ep->ready_head;
}

/* One datagram of a call: acks before data. 0: nothing for now. */
static size_t call_output(struct rx_call *call, uint8_t *buf)
{
	size_t n;

	if (call->ping_now) {
		call->ping_now = false;
		return rx_recv_output_ack(call, RX_ACK_PING, 0, buf);
	}
	if (call->ack_reason) {
		n = rx_recv_output_ack(call, call->ack_reason, call->ack_serial, buf);
		if (call->state == RX_CS_DALLY)
			rx_call_release(call);
		return n;
	}
	return rx_send_output(call, buf);
}

size_t rx_endpoint_output(struct rx_endpoint *ep, uint64_t now_us, struct rx_addr *to, uint8_t *buf)
{
	size_t n = 0;

	ep->now = now_us;
	if (ep->control_head) {
		struct rx_control *c = ep->control_head;

		ep->control_head = c->next;
		if (!c->next)
			ep->control_tail = NULL;
		ep->ncontrol--;
		*to = c->to;
		n = c->len;
		memcpy(buf, c->data, n);
		free(c);
	}
	while (!n && ep->ready_head) {
		struct rx_call *call = ep->ready_head;
		struct rx_conn *conn = call->conn;

		*to = conn->peer->addr;
		n = call_output(call, buf);
		if (!n) {
			rx_call_unready(call);
		} else {
			conn->packets_sent++;
			if (call == ep->ready_head && ++call->burst >= BURST) {
				rx_call_unready(call);
				rx_call_make_ready(call);
			}
		}
	}
	if (n) {
		ep->count.s.packets_sent++;
		ep->count.sent[buf[20] % RX_PACKET_TYPES]++;
	}
	return n;
}

/* Whether the packet, which was sent to addr, is one of a call in progress. Who does not see our
 * packets does not know its epoch and cid. */
static bool is_ours(struct rx_endpoint *ep, const struct rx_addr *addr, const uint8_t *packet, size_t len)
{
	struct rx_header h;
	const struct rx_conn *conn;
	const struct rx_channel *ch;

	if (!rx_header_decode(&h, packet, len))
		return false;
	conn = rx_conn_lookup(ep, &h, h.flags & RX_CLIENT_INITIATED, addr);
	if (!conn)
		return false;
	ch = &conn->channel[h.cid & RX_CHANNEL_MASK];
	return ch->call && ch->number == h.call;
}

void rx_endpoint_unreachable(struct rx_endpoint *ep, uint64_t now_us, const struct rx_addr *addr, const uint8_t *quoted,
			     size_t len)
{
	struct rx_peer *peer = rx_peer_find(ep, addr);
	bool heard = peer && peer->heard_us && now_us - peer->heard_us < HEARD_RECENTLY_US;

	ep->now = now_us;
	if (!peer || (heard && !is_ours(ep, addr, quoted, len)))
		return;
	for (unsigned i = 0; i < RX_CONN_BUCKETS; i++) {
		for (struct rx_conn *c = ep->conns[i]; c; c = c->next) {
			if (c->peer != peer)
				continue;
			for (unsigned k = 0; k < RX_CHANNELS; k++)
				if (c->channel[k].call)
					rx_call_fail(c->channel[k].call, RX_CALL_DEAD, false);
		}
	}
}

void rx_endpoint_restart(struct rx_endpoint *ep, uint64_t now_us, uint32_t epoch)
{
	ep->now = now_us;
	ep->cfg.epoch = usable_epoch(epoch);
	rx_conn_forget_served(ep);
}

void rx_endpoint_deafen(struct rx_endpoint *ep, uint64_t until_us)
{
	ep->deaf_until = until_us;
}

void rx_endpoint_stop_serving(struct rx_endpoint *ep, uint64_t now_us)
{
	ep->now = now_us;
	for (unsigned i = 0; i < RX_CONN_BUCKETS; i++) {
		for (struct rx_conn *c = ep->conns[i]; c; c = c->next) {
			for (unsigned k = 0; k < RX_CHANNELS && !c->client; k++)
				if (c->channel[k].call && c->channel[k].call->owned)
					rx_call_fail(c->channel[k].call, RX_CALL_DEAD, true);
		}
	}
}
