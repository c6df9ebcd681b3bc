/* Connections: identity, lookup, birth and death, and the bounds on server connections
 * of strangers: those that have proven nothing yet, and those that are anonymous for
 * good. Called under the endpoint's lock. */
#include "rx/conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rx/endpoint.h"
#include "rx/maybe.h"

enum {
	SERVER_IDLE_US = 700000000,
	YOUNG_IDLE_US = 60000000,
	MAX_UNPROVEN = 1024,
	MAX_ANONYMOUS = 4096,
};
#define SERIAL_RETIRE 0xf0000000u
#define CALL_RETIRE 0xffffff00u

static const unsigned transitions[] = {
#define X(name, to) [RX_NS_##name] = (to),
	RX_CONN_STATES(X)
#undef X
};

static void conn_timer(struct rx_timer *t, uint64_t now);

const char *rx_conn_state_name(enum rx_conn_state state)
{
	static const char *const names[] = {
#define X(name, to) #name,
		RX_CONN_STATES(X)
#undef X
	};

	return names[state];
}

void rx_conn_set_state(struct rx_conn *conn, enum rx_conn_state state)
{
	assert(conn->state == state || (transitions[conn->state] & 1u << state));
	conn->state = state;
}

static struct rx_conn **bucket(struct rx_endpoint *ep, uint32_t epoch, uint32_t cid)
{
	uint32_t h = ((cid >> 2) * 2654435761u) ^ (epoch * 40503u);

	return &ep->conns[(h ^ h >> 16) % RX_CONN_BUCKETS];
}

struct rx_conn *rx_conn_lookup(struct rx_endpoint *ep, const struct rx_header *h, bool client,
			       const struct rx_addr *from)
{
	uint32_t cid = h->cid & ~(uint32_t)RX_CHANNEL_MASK;
	struct rx_conn *c = *bucket(ep, h->epoch, cid);

	for (; c; c = c->next) {
		if (c->cid != cid || c->epoch != h->epoch || c->client != client || c->forgotten)
			continue;
		/* Servers may meet a client behind another address; clients insist. */
		if (rx_addr_equal(&c->peer->addr, from) || (!client && (h->epoch & 0x80000000u)))
			return c;
	}
	return NULL;
}

static void list_leave(struct rx_conn *conn)
{
	struct rx_conn_list *list = conn->list;

	if (!list)
		return;
	*(conn->list_prev ? &conn->list_prev->list_next : &list->head) = conn->list_next;
	*(conn->list_next ? &conn->list_next->list_prev : &list->tail) = conn->list_prev;
	conn->list = NULL;
	list->n--;
}

static void list_join(struct rx_conn_list *list, struct rx_conn *conn)
{
	list_leave(conn);
	conn->list = list;
	conn->list_next = NULL;
	conn->list_prev = list->tail;
	*(list->tail ? &list->tail->list_next : &list->head) = conn;
	list->tail = conn;
	list->n++;
}

static bool owned(const struct rx_conn *conn)
{
	for (unsigned i = 0; i < RX_CHANNELS; i++)
		if (conn->channel[i].call && conn->channel[i].call->owned)
			return true;
	return false;
}

/* Makes room for one more: the oldest goes, or if a handler is at its calls, these fail
 * and it goes later. False: there is none yet. */
static bool make_room(struct rx_conn_list *list, unsigned max)
{
	for (unsigned looked = 0; list->n >= max && looked < 16; looked++) {
		struct rx_conn *c = list->head;

		if (!owned(c)) {
			rx_conn_destroy(c);
			continue;
		}
		list_join(list, c);
		for (unsigned i = 0; i < RX_CHANNELS; i++)
			if (c->channel[i].call)
				rx_call_fail(c->channel[i].call, RX_CALL_DEAD, false);
	}
	return list->n < max;
}

void rx_conn_prove(struct rx_conn *conn)
{
	struct rx_endpoint *ep = conn->ep;

	if (conn->client)
		return;
	conn->proven = true;
	list_leave(conn);
	/* Without a ticket it may be as forged as before: a bound, if another one. */
	if (conn->secidx == RX_SECIDX_NULL) {
		make_room(&ep->anonymous, MAX_ANONYMOUS);
		list_join(&ep->anonymous, conn);
	}
}

static struct rx_conn *conn_alloc(struct rx_endpoint *ep, const struct rx_addr *peer, struct rx_security *sec)
{
	struct rx_conn *conn = calloc(1, sizeof *conn);

	if (!conn)
		return NULL;
	conn->peer = rx_peer_get(ep, peer);
	if (!conn->peer || !rx_timer_init(&ep->timers, &conn->timer, conn_timer)) {
		if (conn->peer)
			rx_peer_put(ep, conn->peer);
		free(conn);
		return NULL;
	}
	conn->ep = ep;
	conn->sec = rx_security_get(sec);
	conn->secidx = sec->ops->index;
	conn->dead_us = (uint64_t)ep->cfg.dead_time_s * 1000000;
	conn->used_us = ep->now;
	conn->challenge_at = conn->abort_at = conn->reap_at = UINT64_MAX;
	/* The throttles' windows begin in the past. */
	conn->abort_window = conn->response_window = ep->now - 3000000;
	ep->nconns++;
	return conn;
}

static void conn_link(struct rx_conn *conn)
{
	struct rx_conn **b = bucket(conn->ep, conn->epoch, conn->cid);

	conn->next = *b;
	*b = conn;
}

static void conn_unlink(struct rx_conn *conn)
{
	struct rx_conn **b = bucket(conn->ep, conn->epoch, conn->cid);

	while (*b != conn)
		b = &(*b)->next;
	*b = conn->next;
}

static void conn_drop(struct rx_conn *conn)
{
	struct rx_endpoint *ep = conn->ep;

	list_leave(conn);
	rx_timer_done(&ep->timers, &conn->timer);
	if (conn->sec_state)
		conn->sec->ops->conn_free(conn->sec_state);
	rx_security_put(conn->sec);
	rx_peer_put(ep, conn->peer);
	ep->nconns--;
	free(conn);
}

/* The next client connection id that no live connection has. */
static uint32_t fresh_cid(struct rx_endpoint *ep)
{
	for (;;) {
		uint32_t cid = ep->next_cid;
		struct rx_conn *c = *bucket(ep, ep->cfg.epoch, cid);

		ep->next_cid += RX_CHANNELS;
		while (c && !(c->client && c->cid == cid))
			c = c->next;
		if (!c)
			return cid;
	}
}

struct rx_conn *rx_core_conn_new(struct rx_endpoint *ep, uint64_t now_us, const struct rx_addr *peer, uint16_t service,
				 struct rx_security *sec, struct rx_error *err)
{
	struct rx_conn *conn;

	ep->now = now_us;
	conn = conn_alloc(ep, peer, sec);
	if (!conn) {
		rx_error_errno(err, ENOMEM, "making a connection");
		return NULL;
	}
	conn->client = true;
	conn->epoch = ep->cfg.epoch;
	conn->cid = fresh_cid(ep);
	conn->service = service;
	if (sec->ops->conn_new(sec, true, conn->epoch, conn->cid, &conn->sec_state, err)) {
		conn_drop(conn);
		return NULL;
	}
	conn_link(conn);
	return conn;
}

struct rx_conn *rx_conn_accept(struct rx_endpoint *ep, const struct rx_header *h, const struct rx_addr *from,
			       struct rx_security *sec)
{
	struct rx_conn *conn;

	if (!make_room(&ep->unproven, ep->cfg.max_unproven ? ep->cfg.max_unproven : MAX_UNPROVEN)) {
		ep->count.s.dropped++;
		return NULL;
	}
	conn = conn_alloc(ep, from, sec);
	if (!conn) {
		ep->count.s.dropped++;
		return NULL;
	}
	conn->epoch = h->epoch;
	conn->cid = h->cid & ~(uint32_t)RX_CHANNEL_MASK;
	conn->service = h->service;
	if (sec->ops->conn_new(sec, false, conn->epoch, conn->cid, &conn->sec_state, NULL)) {
		conn_drop(conn);
		return NULL;
	}
	ep->cfg.random(ep->cfg.random_arg, conn->challenge_random, sizeof conn->challenge_random);
	conn_link(conn);
	list_join(&ep->unproven, conn);
	conn->reap_at = ep->now + YOUNG_IDLE_US;
	rx_conn_arm(conn, conn->reap_at);
	return conn;
}

void rx_conn_destroy(struct rx_conn *conn)
{
	assert(!owned(conn));
	rx_conn_set_state(conn, RX_NS_CLOSING);
	for (unsigned i = 0; i < RX_CHANNELS; i++)
		if (conn->channel[i].call)
			rx_call_release(conn->channel[i].call);
	conn_unlink(conn);
	conn_drop(conn);
}

bool rx_conn_busy(const struct rx_conn *conn)
{
	for (unsigned i = 0; i < RX_CHANNELS; i++) {
		const struct rx_call *call = conn->channel[i].call;

		if (call && (call->owned || call->state == RX_CS_HOLD || call->state == RX_CS_PRECALL))
			return true;
	}
	return false;
}

static bool aborting(const struct rx_conn *conn)
{
	for (unsigned i = 0; i < RX_CHANNELS; i++)
		if (conn->channel[i].abort_at)
			return true;
	return false;
}

void rx_core_conn_release(struct rx_conn *conn, uint64_t now_us)
{
	struct rx_endpoint *ep = conn->ep;
	uint8_t buf[RX_HEADER_SIZE + RX_ACK_MAX];

	assert(conn->client && !conn->released);
	ep->now = now_us;
	conn->released = true;
	if (owned(conn))
		return;
	/* The last acks still owed go out now. */
	for (unsigned i = 0; i < RX_CHANNELS; i++) {
		struct rx_call *call = conn->channel[i].call;
		struct rx_header h;
		size_t n;

		if (!call || call->state != RX_CS_DALLY)
			continue;
		n = rx_recv_output_ack(call, RX_ACK_DELAY, 0, buf);
		rx_header_decode(&h, buf, n);
		rx_endpoint_control(ep, &conn->peer->addr, &h, buf + RX_HEADER_SIZE, n - RX_HEADER_SIZE);
	}
	if (!aborting(conn)) {
		rx_conn_destroy(conn);
		return;
	}
	/* Lives until its ABORTs have been repeated. */
	conn->reap_at = now_us;
	rx_conn_arm(conn, now_us);
}

void rx_conn_call_gone(struct rx_conn *conn)
{
	if (!conn->client)
		return;
	if (conn->released) {
		if (!owned(conn))
			conn->reap_at = conn->ep->now, rx_conn_arm(conn, conn->reap_at);
		return;
	}
	conn->ep->cfg.up->channel_free(conn, conn->ep->cfg.up_arg);
}

void rx_conn_fail(struct rx_conn *conn, int32_t code, bool tell)
{
	if (conn->error)
		return;
	conn->error = code ? code : RX_PROTOCOL_ERROR;
	rx_conn_set_state(conn, RX_NS_FAILED);
	conn->challenge_at = UINT64_MAX;
	if (tell)
		rx_abort_conn(conn);
	for (unsigned i = 0; i < RX_CHANNELS; i++)
		if (conn->channel[i].call)
			rx_call_fail(conn->channel[i].call, conn->error, false);
	if (conn->client && !conn->released)
		conn->ep->cfg.up->channel_free(conn, conn->ep->cfg.up_arg);
}

void rx_conn_forget_served(struct rx_endpoint *ep)
{
	for (unsigned i = 0; i < RX_CONN_BUCKETS; i++) {
		struct rx_conn *next;

		for (struct rx_conn *c = ep->conns[i]; c; c = next) {
			next = c->next;
			if (c->client || c->forgotten)
				continue;
			c->forgotten = true;
			for (unsigned k = 0; k < RX_CHANNELS; k++)
				if (c->channel[k].call && c->channel[k].call->owned)
					rx_call_fail(c->channel[k].call, RX_CALL_DEAD, false);
			if (!owned(c))
				rx_conn_destroy(c);
		}
	}
}

struct rx_header rx_conn_header(struct rx_conn *conn, enum rx_packet_type type, unsigned channel, uint32_t call)
{
	return (struct rx_header){
		.epoch = conn->epoch,
		.cid = conn->cid | channel,
		.call = call,
		.serial = ++conn->serial,
		.type = (uint8_t)type,
		.flags = conn->client ? RX_CLIENT_INITIATED : 0,
		.security = conn->secidx,
		.service = conn->service,
	};
}

bool rx_conn_authenticated(const struct rx_conn *conn)
{
	return conn->client || conn->sec->ops->authenticated(conn->sec_state);
}

void rx_conn_arm(struct rx_conn *conn, uint64_t at)
{
	rx_timer_by(&conn->ep->timers, &conn->timer, at);
}

static void conn_timer(struct rx_timer *t, uint64_t now)
{
	struct rx_conn *conn = (struct rx_conn *)((char *)t - offsetof(struct rx_conn, timer));
	uint64_t aborts = rx_abort_timer(conn, now), next, limit;

	if (conn->reap_at <= now && conn->released) {
		if (aborts == UINT64_MAX) {
			rx_conn_destroy(conn);
			return;
		}
		conn->reap_at = aborts;
	} else if (conn->reap_at <= now) {
		limit = conn->proven ? SERVER_IDLE_US : YOUNG_IDLE_US;
		if (!rx_conn_busy(conn) && now - conn->used_us >= limit) {
			rx_conn_destroy(conn);
			return;
		}
		conn->reap_at = conn->used_us + limit > now ? conn->used_us + limit : now + YOUNG_IDLE_US;
	}
	if (conn->abort_at <= now) {
		conn->abort_at = UINT64_MAX;
		rx_abort_conn(conn);
	}
	next = rx_challenge_timer(conn, now);
	if (aborts < next)
		next = aborts;
	if (conn->abort_at < next)
		next = conn->abort_at;
	if (conn->reap_at < next)
		next = conn->reap_at;
	rx_timer_set(&conn->ep->timers, &conn->timer, next);
}

/* A connection whose numbers run out takes a new identity while it is quiet. */
static bool renew(struct rx_conn *conn)
{
	void *state = NULL;

	for (unsigned i = 0; i < RX_CHANNELS; i++)
		if (conn->channel[i].call && conn->channel[i].call->owned)
			return false;
	for (unsigned i = 0; i < RX_CHANNELS; i++)
		if (conn->channel[i].call)
			rx_call_release(conn->channel[i].call);
	conn_unlink(conn);
	conn->cid = fresh_cid(conn->ep);
	if (!conn->sec->ops->conn_new(conn->sec, true, conn->epoch, conn->cid, &state, NULL)) {
		if (conn->sec_state)
			conn->sec->ops->conn_free(conn->sec_state);
		conn->sec_state = state;
	} else {
		conn->error = RX_CALL_DEAD;
	}
	conn->serial = 0;
	memset(conn->channel, 0, sizeof conn->channel);
	conn_link(conn);
	return !conn->error;
}

bool rx_core_conn_full(const struct rx_conn *conn)
{
	for (unsigned i = 0; i < RX_CHANNELS; i++)
		if (!conn->channel[i].call || !conn->channel[i].call->owned)
			return false;
	return true;
}

struct rx_call *rx_core_call_new(struct rx_conn *conn, uint64_t now_us)
{
	struct rx_channel *best = NULL;
	struct rx_call *call;

	assert(conn->client && !conn->released);
	conn->ep->now = now_us;
	if (conn->error)
		return NULL;
	for (unsigned i = 0; i < RX_CHANNELS; i++) {
		struct rx_channel *ch = &conn->channel[i];

		if (ch->call && ch->call->owned)
			continue;
		if (!best || ch->busy_at < best->busy_at || UMAFS_MAYBE(conn->ep->cfg.maybe, CHANNEL_OTHER))
			best = ch;
		if (conn->serial >= SERIAL_RETIRE || ch->number >= CALL_RETIRE ||
		    (!owned(conn) && UMAFS_MAYBE(conn->ep->cfg.maybe, CONNECTION_ANEW))) {
			if (!renew(conn))
				return NULL;
			best = &conn->channel[0];
			break;
		}
	}
	if (!best)
		return NULL;
	if (best->call) /* only the last ack was owed; the new call implies it */
		rx_call_release(best->call);
	call = rx_call_alloc(conn, (unsigned)(best - conn->channel), best->number + 1, true);
	if (!call)
		return NULL;
	if (!rx_send_ready(call)) {
		rx_call_release(call);
		return NULL;
	}
	call->owned = true;
	rx_call_set_state(call, RX_CS_SEND);
	conn->used_us = now_us;
	return call;
}
