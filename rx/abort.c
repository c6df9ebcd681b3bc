/* ABORT packets, with the throttles that keep us from being a reflector. Called by the
 * core under the endpoint's lock. */
#include "rx/endpoint.h"

enum { THROTTLE_US = 3000000, THROTTLE_MAX = 10 };

static bool allowed(uint64_t now, uint64_t *window, unsigned *n)
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

void rx_abort_call(struct rx_conn *conn, unsigned channel, uint32_t number, int32_t code)
{
	struct rx_header h = rx_conn_header(conn, RX_ABORT, channel, number);

	put_code(conn->ep, &conn->peer->addr, &h, code);
}

void rx_abort_conn(struct rx_conn *conn)
{
	struct rx_header h;

	if (!allowed(conn->ep->now, &conn->abort_window, &conn->aborts)) {
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
	if (!allowed(ep->now, &ep->raw[slot].window, &ep->raw[slot].n)) {
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
