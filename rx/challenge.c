/* CHALLENGE and RESPONSE at packet level, both roles; what is in them is the security
 * class's business. Also decides when a server call may be handed to its handler.
 * Endpoint's lock. */
#include <string.h>

#include "rx/endpoint.h"
#include "rx/maybe.h"

enum {
	RESEND_US = 2000000,
	TRIES = 50,
	BAD_RESPONSE_DELAY_US = 1000000,
	AGAIN_US = 10000,
	RESPONSE_MAX = RX_OUTPUT_MAX - RX_HEADER_SIZE,
	CHALLENGE_MAX = 256,
};

static bool any_call(const struct rx_conn *conn)
{
	for (unsigned i = 0; i < RX_CHANNELS; i++)
		if (conn->channel[i].call && conn->channel[i].call->state != RX_CS_DALLY)
			return true;
	return false;
}

static void send_challenge(struct rx_conn *conn)
{
	uint8_t body[CHALLENGE_MAX];
	struct rx_header h = rx_conn_header(conn, RX_CHALLENGE, 0, 0);
	size_t len;

	memset(body, 0, sizeof body);
	len = conn->sec->ops->challenge(conn->sec_state, body, sizeof body, conn->challenge_random);
	rx_endpoint_control(conn->ep, &conn->peer->addr, &h, body, len);
	conn->challenges++;
	conn->challenge_at = conn->ep->now + RESEND_US;
	rx_conn_arm(conn, conn->challenge_at);
}

void rx_challenge_start(struct rx_conn *conn)
{
	if (conn->state != RX_NS_OPEN || rx_conn_authenticated(conn))
		return;
	rx_conn_set_state(conn, RX_NS_CHALLENGED);
	conn->challenges = 0;
	send_challenge(conn);
	if (UMAFS_MAYBE(conn->ep->cfg.maybe, CHALLENGE_TWICE))
		send_challenge(conn);
}

uint64_t rx_challenge_timer(struct rx_conn *conn, uint64_t now)
{
	if (conn->challenge_at > now)
		return conn->challenge_at;
	conn->challenge_at = UINT64_MAX;
	if (conn->state != RX_NS_CHALLENGED)
		return UINT64_MAX;
	if (any_call(conn) && conn->challenges < TRIES) {
		send_challenge(conn);
		return conn->challenge_at;
	}
	for (unsigned i = 0; i < RX_CHANNELS; i++)
		if (conn->channel[i].call)
			rx_call_fail(conn->channel[i].call, RX_CALL_DEAD, true);
	rx_conn_set_state(conn, RX_NS_OPEN);
	return UINT64_MAX;
}

/* Client. Answered only while a call is under way: we sign nothing for strangers. */
void rx_challenge_received(struct rx_conn *conn, const uint8_t *body, size_t len)
{
	static const struct rx_header none;
	struct rx_header h = none;
	uint8_t out[RESPONSE_MAX];
	uint32_t calls[RX_CHANNELS];
	int n;

	if (!conn->client || !conn->sec->ops->respond || !any_call(conn)) {
		conn->ep->count.spurious++;
		return;
	}
	/* Anybody can make up a CHALLENGE, and the answer is long. */
	if (!rx_conn_allowed(conn->ep->now, &conn->response_window, &conn->responses)) {
		conn->ep->count.throttled++;
		return;
	}
	for (unsigned i = 0; i < RX_CHANNELS; i++)
		calls[i] = conn->channel[i].number;
	n = conn->sec->ops->respond(conn->sec_state, body, len, calls, out, sizeof out, conn->ep->wall);
	if (n < 0)
		rx_conn_fail(conn, -n, true);
	if (n <= 0) /* 0: a challenge that this class does not answer */
		return;
	h = rx_conn_header(conn, RX_RESPONSE, 0, 0);
	rx_endpoint_control(conn->ep, &conn->peer->addr, &h, out, (size_t)n);
	if (UMAFS_MAYBE(conn->ep->cfg.maybe, RESPONSE_TWICE))
		rx_endpoint_control(conn->ep, &conn->peer->addr, &h, out, (size_t)n);
}

/* Hands over every server call that has its first packet and nobody yet. */
void rx_conn_announce(struct rx_conn *conn)
{
	struct rx_endpoint *ep = conn->ep;

	for (unsigned i = 0; i < RX_CHANNELS; i++) {
		struct rx_call *call = conn->channel[i].call;

		if (!call || call->state != RX_CS_PRECALL || call->owned || call->rx_top == call->rx_first)
			continue;
		if (!rx_conn_authenticated(conn)) {
			rx_challenge_start(conn);
			continue;
		}
		call->owned = true;
		call->from = conn->peer->addr; /* to which this call's own data may have moved it */
		if (!rx_send_ready(call) || !ep->cfg.up->incoming(call, ep->cfg.up_arg)) {
			call->owned = false;
			call->announce_at = ep->now + AGAIN_US;
			rx_call_arm(call, call->announce_at);
		}
	}
}

/* Server. */
void rx_response_received(struct rx_conn *conn, const uint8_t *body, size_t len)
{
	uint32_t calls[RX_CHANNELS] = { 0 };
	int rc;

	if (conn->client || conn->state != RX_NS_CHALLENGED || rx_conn_authenticated(conn)) {
		conn->ep->count.spurious++;
		return;
	}
	rc = conn->sec->ops->check_response(conn->sec_state, body, len, calls, conn->ep->wall);
	if (rc == RX_SECURITY_DROP)
		return;
	if (rc) {
		rx_conn_fail(conn, rc, false);
		conn->abort_at = conn->ep->now + BAD_RESPONSE_DELAY_US;
		rx_conn_arm(conn, conn->abort_at);
		return;
	}
	rx_conn_set_state(conn, RX_NS_OPEN);
	conn->challenge_at = UINT64_MAX;
	rx_conn_prove(conn);
	for (unsigned i = 0; i < RX_CHANNELS; i++) {
		struct rx_channel *ch = &conn->channel[i];

		if (rx_seq_diff(calls[i], ch->number) > 0) {
			/* The client is further than the packets we hold: those were replayed. */
			if (ch->call && ch->call->state == RX_CS_PRECALL && !ch->call->owned)
				rx_call_release(ch->call);
			if (!ch->call) {
				ch->number = calls[i] - 1;
				ch->rx_next = 1;
			}
		}
		if (ch->call && ch->call->state == RX_CS_PRECALL && !rx_recv_open_held(ch->call))
			return;
	}
	rx_conn_announce(conn);
}
