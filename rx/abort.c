/* ABORT packets, with the throttles that keep us from being a reflector. Nothing
 * acknowledges an ABORT, so the one of a call whose peer waits for more is repeated.
 * Called by the core under the endpoint's lock. */
#include "rx/endpoint.h"

enum { THROTTLE_US = 3000000, THROTTLE_MAX = 10, GAP_US = 10000, REPEATS = 4 };

bool rx_conn_allowed(uint64_t now, uint64_t *window, unsigned *n)
{
	if (now - *window >= THROTTLE_US) {
		*window = now;
		*n = 0;
	}
	return ++*n <= THROTTLE_MAX;
}

static void put_code(struct rx_endpoint *ep, const struct rx_addr *to, const struct rx_header *h, int32_t code)
{
	uint8_t body[4];

	rx_put32(body, (uint32_t)code);
	rx_endpoint_control(ep, to, h, body, sizeof body);
	ep->count.s.aborts_sent++;
}

static void again_at(struct rx_conn *conn, struct rx_channel *ch, uint64_t at)
{
	if (!ch->abort_at || at < ch->abort_at)
		ch->abort_at = at;
	rx_conn_arm(conn, ch->abort_at);
}

void rx_abort_call(struct rx_conn *conn, unsigned channel)
{
	struct rx_channel *ch = &conn->channel[channel];
	uint64_t now = conn->ep->now;
	struct rx_header h;

	if (ch->abort_sent && now - ch->abort_sent < GAP_US) {
		again_at(conn, ch, ch->abort_sent + GAP_US);
		return;
	}
	ch->abort_sent = now;
	h = rx_conn_header(conn, RX_ABORT, channel, ch->number);
	put_code(conn->ep, &conn->peer->addr, &h, ch->abort_code);
}

void rx_abort_repeat(struct rx_conn *conn, unsigned channel)
{
	struct rx_channel *ch = &conn->channel[channel];

	ch->abort_left = REPEATS;
	again_at(conn, ch, conn->ep->now + rx_peer_rto_us(conn->peer));
}

uint64_t rx_abort_timer(struct rx_conn *conn, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < RX_CHANNELS; i++) {
		struct rx_channel *ch = &conn->channel[i];

		if (conn->error)
			ch->abort_at = 0;
		if (ch->abort_at && ch->abort_at <= now) {
			ch->abort_at = 0;
			rx_abort_call(conn, i);
			if (ch->abort_left)
				again_at(conn, ch, now + (rx_peer_rto_us(conn->peer) << (REPEATS - --ch->abort_left)));
		}
		if (ch->abort_at && ch->abort_at < next)
			next = ch->abort_at;
	}
	return next;
}

void rx_abort_conn(struct rx_conn *conn)
{
	struct rx_header h;

	if (!rx_conn_allowed(conn->ep->now, &conn->abort_window, &conn->aborts)) {
		conn->ep->count.throttled++;
		return;
	}
	h = rx_conn_header(conn, RX_ABORT, 0, 0);
	put_code(conn->ep, &conn->peer->addr, &h, conn->error);
}

/* In the name of a connection that does not exist. */
void rx_abort_raw(struct rx_endpoint *ep, const struct rx_header *h, const struct rx_addr *to, int32_t code)
{
	unsigned slot = (rx_addr_ip(to) * 2654435761u >> 16) % RX_RAW_SLOTS;
	struct rx_header r = *h;

	if (h->type == RX_ABORT)
		return;
	if (!rx_conn_allowed(ep->now, &ep->raw[slot].window, &ep->raw[slot].n)) {
		ep->count.throttled++;
		return;
	}
	r.type = RX_ABORT;
	r.flags = (h->flags & RX_CLIENT_INITIATED) ? 0 : RX_CLIENT_INITIATED;
	r.seq = r.serial = 0;
	r.checksum = 0;
	r.user_status = 0;
	put_code(ep, to, &r, code);
}
