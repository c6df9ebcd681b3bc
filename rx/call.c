/* Calls as a whole: states, birth and death, deadlines, and the operations of their
 * owners. The halves are in call_send.c and call_recv.c. Endpoint's lock. */
#include "rx/call.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "rx/endpoint.h"
#include "rx/maybe.h"

enum { KEEP_CALLS = 256, PINGS_PER_DEAD = 6, LAST_ACK_US = 100000 };

static const unsigned transitions[] = {
#define X(name, to) [RX_CS_##name] = (to),
	RX_CALL_STATES(X)
#undef X
};

static void call_timer(struct rx_timer *t, uint64_t now);

const char *rx_call_state_name(enum rx_call_state state)
{
	static const char *const names[] = {
#define X(name, to) #name,
		RX_CALL_STATES(X)
#undef X
	};

	return names[state];
}

void rx_call_set_state(struct rx_call *call, enum rx_call_state state)
{
	assert(call->state == state || (transitions[call->state] & 1u << state));
	call->state = state;
}

struct rx_call *rx_call_alloc(struct rx_conn *conn, unsigned channel, uint32_t number, bool client)
{
	struct rx_endpoint *ep = conn->ep;
	struct rx_call *call = ep->free_calls;

	if (call) {
		ep->free_calls = call->ready_next;
		ep->nfree_calls--;
		memset(call, 0, sizeof *call);
	} else {
		call = calloc(1, sizeof *call);
		if (!call)
			return NULL;
	}
	if (!rx_timer_init(&ep->timers, &call->timer, call_timer)) {
		free(call);
		return NULL;
	}
	call->ep = ep;
	call->conn = conn;
	call->channel = (uint8_t)channel;
	call->number = number;
	call->client = client;
	call->from = conn->peer->addr;
	call->started_us = call->heard_us = call->sent_us = ep->now;
	call->hard_at = conn->hard_us ? ep->now + conn->hard_us : UINT64_MAX;
	rx_send_init(call);
	rx_recv_init(call);
	assert(!conn->channel[channel].call);
	conn->channel[channel].call = call;
	conn->channel[channel].number = number;
	conn->channel[channel].abort_code = 0;
	conn->channel[channel].abort_sent = conn->channel[channel].abort_at = 0;
	conn->channel[channel].abort_left = 0;
	conn->channel[channel].mute = false;
	conn->channel[channel].rx_next = 1;
	ep->ncalls++;
	ep->count.calls++;
	rx_call_arm(call, ep->now + conn->dead_us / PINGS_PER_DEAD);
	rx_call_arm(call, call->hard_at);
	return call;
}

void rx_call_release(struct rx_call *call)
{
	struct rx_endpoint *ep = call->ep;
	struct rx_channel *ch = &call->conn->channel[call->channel];

	assert(!call->owned && ch->call == call);
	rx_call_set_state(call, RX_CS_IDLE);
	ch->rx_next = call->rx_high;
	ch->call = NULL;
	rx_send_clear(call);
	rx_recv_clear(call);
	rx_call_unready(call);
	rx_timer_done(&ep->timers, &call->timer);
	ep->ncalls--;
	if (ep->nfree_calls >= KEEP_CALLS || UMAFS_MAYBE(ep->cfg.maybe, CALL_NOT_KEPT)) {
		free(call);
		return;
	}
	call->ready_next = ep->free_calls;
	ep->free_calls = call;
	ep->nfree_calls++;
}

/* The server has heard of the call and waits for more of the request. */
static bool keeps_waiting(const struct rx_call *call)
{
	if (!call->client || call->tx_top == 1)
		return false;
	return !call->tx_done || call->tx_top != call->tx_next || call->tx_flight || call->tx_lost;
}

void rx_call_fail(struct rx_call *call, int32_t code, bool tell)
{
	struct rx_channel *ch = &call->conn->channel[call->channel];
	bool repeat = tell && keeps_waiting(call);

	if (call->state == RX_CS_ERROR)
		return;
	call->error = code ? code : RX_PROTOCOL_ERROR;
	ch->abort_code = call->error;
	if (tell)
		rx_abort_call(call->conn, call->channel);
	if (repeat)
		rx_abort_repeat(call->conn, call->channel);
	/* The server's thread may be at it for a while yet. */
	if (repeat || (call->client && call->error == RX_CALL_TIMEOUT))
		ch->busy_at = call->ep->now + 1;
	if (!call->owned) {
		rx_call_release(call);
		return;
	}
	rx_call_set_state(call, RX_CS_ERROR);
	rx_send_clear(call);
	rx_recv_clear(call);
	rx_call_unready(call);
	rx_timer_stop(&call->ep->timers, &call->timer);
	rx_call_progress(call);
}

void rx_call_make_ready(struct rx_call *call)
{
	struct rx_endpoint *ep = call->ep;

	if (call->ready)
		return;
	call->ready = true;
	call->burst = 0;
	call->ready_next = NULL;
	call->ready_prev = ep->ready_tail;
	if (ep->ready_tail)
		ep->ready_tail->ready_next = call;
	else
		ep->ready_head = call;
	ep->ready_tail = call;
}

void rx_call_unready(struct rx_call *call)
{
	struct rx_endpoint *ep = call->ep;

	if (!call->ready)
		return;
	call->ready = false;
	if (call->ready_prev)
		call->ready_prev->ready_next = call->ready_next;
	else
		ep->ready_head = call->ready_next;
	if (call->ready_next)
		call->ready_next->ready_prev = call->ready_prev;
	else
		ep->ready_tail = call->ready_prev;
}

void rx_call_progress(struct rx_call *call)
{
	if (call->owned)
		call->ep->cfg.up->progress(call, call->ep->cfg.up_arg);
}

void rx_call_arm(struct rx_call *call, uint64_t at)
{
	rx_timer_by(&call->ep->timers, &call->timer, at);
}

void rx_call_ping(struct rx_call *call)
{
	call->ping_now = true;
	rx_call_make_ready(call);
}

/* Silence, keepalive and the whole call's limit. False: the call is gone or dead. */
static bool liveness(struct rx_call *call, uint64_t now, uint64_t *next)
{
	const struct rx_peer *peer = call->conn->peer;
	uint64_t interval = call->conn->dead_us / PINGS_PER_DEAD, dead_at;

	if (call->hard_at <= now) {
		rx_call_fail(call, RX_CALL_TIMEOUT, true);
		return false;
	}
	if (call->hard_at < *next)
		*next = call->hard_at;
	dead_at = call->heard_us + call->conn->dead_us + peer->srtt_us + 8 * peer->rttvar_us;
	if (dead_at <= now) {
		rx_call_fail(call, RX_CALL_DEAD, false);
		return false;
	}
	if (dead_at < *next)
		*next = dead_at;
	if (call->state == RX_CS_DALLY || call->state == RX_CS_PRECALL)
		return true;
	if (call->sent_us + interval <= now || UMAFS_MAYBE(call->ep->cfg.maybe, PING_NOW)) {
		rx_call_ping(call);
		call->sent_us = now;
	}
	if (call->sent_us + interval < *next)
		*next = call->sent_us + interval;
	return true;
}

static void call_timer(struct rx_timer *t, uint64_t now)
{
	struct rx_call *call = (struct rx_call *)((char *)t - offsetof(struct rx_call, timer));
	uint64_t next = UINT64_MAX, at;

	if (call->state == RX_CS_ERROR)
		return;
	if (!liveness(call, now, &next))
		return;
	if (call->announce_at <= now) {
		call->announce_at = UINT64_MAX;
		rx_conn_announce(call->conn);
	}
	next = next < call->announce_at ? next : call->announce_at;
	at = rx_recv_timer(call, now);
	if (at < next)
		next = at;
	at = rx_send_timer(call, now);
	if (at < next)
		next = at;
	rx_timer_set(&call->ep->timers, &call->timer, next);
}

void rx_core_call_attach(struct rx_call *call, uint64_t now_us)
{
	call->ep->now = now_us;
	assert(call->owned && !call->client);
	if (call->state != RX_CS_PRECALL)
		return;
	rx_call_set_state(call, RX_CS_RECV);
	call->rx_window = call->ep->cfg.window;
	call->hard_at = UINT64_MAX;
}

size_t rx_core_call_write(struct rx_call *call, uint64_t now_us, const void *buf, size_t len)
{
	call->ep->now = now_us;
	if (!call->client && call->state == RX_CS_RECV) {
		rx_recv_clear(call);
		rx_call_set_state(call, RX_CS_SEND);
	}
	if (call->state != RX_CS_SEND)
		return 0;
	return rx_send_fill(call, buf, len);
}

void rx_core_call_post_write(struct rx_call *call, uint64_t now_us, const void *buf, size_t len)
{
	call->wr_buf = buf;
	call->wr_len = len;
	call->wr_done = rx_core_call_write(call, now_us, buf, len);
}

size_t rx_core_call_unpost_write(struct rx_call *call)
{
	size_t done = call->wr_done;

	call->wr_buf = NULL;
	call->wr_len = call->wr_done = 0;
	return done;
}

void rx_core_call_flush(struct rx_call *call, uint64_t now_us)
{
	call->ep->now = now_us;
	if (!call->client || call->state != RX_CS_SEND)
		return;
	rx_send_finish(call);
	rx_call_set_state(call, RX_CS_RECV);
}

void rx_core_call_post_read(struct rx_call *call, uint64_t now_us, void *buf, size_t len)
{
	call->ep->now = now_us;
	call->rd_buf = buf;
	call->rd_len = len;
	call->rd_done = 0;
	if (call->state == RX_CS_RECV)
		rx_recv_pump(call);
}

size_t rx_core_call_unpost_read(struct rx_call *call)
{
	size_t done = call->rd_done;

	call->rd_buf = NULL;
	call->rd_len = call->rd_done = 0;
	return done;
}

size_t rx_core_call_read(struct rx_call *call, uint64_t now_us, void *buf, size_t len)
{
	rx_core_call_post_read(call, now_us, buf, len);
	return rx_core_call_unpost_read(call);
}

bool rx_core_call_readable(const struct rx_call *call)
{
	return call->rx_eof || call->rx_cur || call->rx_top != call->rx_first;
}

static void client_end(struct rx_call *call, int32_t code)
{
	struct rx_conn *conn = call->conn;

	call->owned = false;
	if (call->state == RX_CS_ERROR) {
		rx_call_release(call);
	} else if (code || !call->rx_eof || call->state != RX_CS_RECV) {
		rx_call_fail(call, code ? code : RX_USER_ABORT, true);
	} else {
		conn->channel[call->channel].busy_at = 0;
		rx_call_set_state(call, RX_CS_DALLY);
		call->rd_buf = NULL;
		if (!call->ack_reason && call->ack_at == UINT64_MAX) {
			if (call->rx_unacked || call->rx_consumed) {
				call->ack_at = call->ep->now + LAST_ACK_US;
				rx_call_arm(call, call->ack_at);
			} else {
				rx_call_release(call);
			}
		}
	}
	rx_conn_call_gone(conn);
}

void rx_core_call_mute(struct rx_call *call, uint64_t now_us)
{
	assert(call->owned && !call->client);
	call->ep->now = now_us;
	call->conn->channel[call->channel].mute = true;
	rx_call_fail(call, RX_USER_ABORT, false);
}

void rx_core_call_end(struct rx_call *call, uint64_t now_us, int32_t code)
{
	struct rx_conn *conn = call->conn;

	assert(call->owned);
	call->ep->now = now_us;
	call->user = NULL;
	conn->used_us = now_us;
	rx_core_call_unpost_read(call);
	rx_core_call_unpost_write(call);
	if (call->client) {
		client_end(call, code);
		return;
	}
	call->owned = false;
	if (call->state == RX_CS_ERROR) {
		rx_call_release(call);
		return;
	}
	if (code || call->state == RX_CS_PRECALL) {
		rx_call_fail(call, code ? code : RX_USER_ABORT, true);
		return;
	}
	if (call->state == RX_CS_RECV) {
		rx_recv_clear(call);
		rx_call_set_state(call, RX_CS_SEND);
	}
	rx_send_finish(call);
	rx_call_set_state(call, RX_CS_HOLD);
	call->hard_at = UINT64_MAX;
}
