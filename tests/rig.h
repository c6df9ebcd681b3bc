/* One endpoint, hand-made packets in, packets out one by one: for tests of what exactly
 * is answered. The peer is `rig_peer`; connection epoch and cid are fixed. */
#ifndef UMAFS_TESTS_RIG_H
#define UMAFS_TESTS_RIG_H

#include "rx/endpoint.h"
#include "tests/unit.h"

enum { RIG_SERVICE = 52, RIG_EPOCH = 0x80001234, RIG_CID = 0x55550000 };

struct rig {
	struct rx_endpoint *ep;
	struct rx_security *null_sec;
	struct rx_addr peer;
	uint64_t now;
	uint32_t serial;     /* of the packets we send */
	uint32_t epoch, cid; /* of the packets we send */
	uint8_t role;        /* RX_CLIENT_INITIATED when the endpoint is the server */
	struct rx_call *incoming;
	unsigned incomings, progress;
	uint8_t out[RX_OUTPUT_MAX]; /* last packet pulled ... */
	struct rx_header h;         /* ... its header ... */
	struct rx_ack ack;          /* ... and its body, if an ACK */
	size_t len;
	uint8_t random;
};

static inline void rig_random(void *arg, void *buf, size_t len)
{
	struct rig *r = arg;

	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = r->random++;
}

static inline void rig_progress(struct rx_call *call, void *arg)
{
	(void)call;
	((struct rig *)arg)->progress++;
}

static inline bool rig_incoming(struct rx_call *call, void *arg)
{
	struct rig *r = arg;

	r->incoming = call;
	r->incomings++;
	return true;
}

static inline void rig_channel(struct rx_conn *conn, void *arg)
{
	(void)conn;
	(void)arg;
}

static inline void rig_start(struct rig *r)
{
	static const struct rx_upcalls up = { rig_progress, rig_incoming, rig_channel };
	struct rx_security *sec[5] = { 0 };
	struct rx_endpoint_config cfg = { .epoch = 7,
					  .random = rig_random,
					  .random_arg = r,
					  .up = &up,
					  .up_arg = r,
					  .debug_answers = true,
					  .version = "umafs test" };

	memset(r, 0, sizeof *r);
	r->now = 5000000;
	r->peer = rx_addr_ipv4(0x0a000002, 7001);
	r->epoch = RIG_EPOCH;
	r->cid = RIG_CID;
	r->role = RX_CLIENT_INITIATED;
	r->null_sec = sec[0] = rx_null_new();
	r->ep = rx_endpoint_new(&cfg, r->now, 1700000000);
	rx_endpoint_service(r->ep, RIG_SERVICE, sec, NULL);
}

static inline void rig_stop(struct rig *r)
{
	rx_endpoint_free(r->ep);
	rx_security_put(r->null_sec);
}

static inline void rig_send_h(struct rig *r, struct rx_header h, const void *body, size_t len)
{
	uint8_t buf[8192];

	h.epoch = r->epoch;
	h.cid |= r->cid;
	h.serial = ++r->serial;
	h.flags |= r->role;
	rx_header_encode(buf, &h);
	if (len)
		memcpy(buf + RX_HEADER_SIZE, body, len);
	rx_endpoint_input(r->ep, r->now, 1700000000, &r->peer, buf, RX_HEADER_SIZE + len);
}

static inline void rig_data(struct rig *r, uint32_t call, uint32_t seq, uint8_t flags, const char *text)
{
	rig_send_h(
		r,
		(struct rx_header){ .type = RX_DATA, .call = call, .seq = seq, .flags = flags, .service = RIG_SERVICE },
		text, strlen(text));
}

/* ACK with `bits` as a string of 0 and 1. */
static inline void rig_ack(struct rig *r, uint32_t call, uint32_t first, uint32_t previous, uint8_t reason,
			   const char *bits)
{
	uint8_t acks[256], body[RX_ACK_MAX];
	struct rx_ack a = { .first = first,
			    .previous = previous,
			    .reason = reason,
			    .acks = acks,
			    .n = (uint8_t)strlen(bits),
			    .max_mtu = 1444,
			    .if_mtu = 1444,
			    .rwind = 32,
			    .jumbo = 1 };

	for (unsigned i = 0; i < a.n; i++)
		acks[i] = bits[i] == '1';
	rig_send_h(r,
		   (struct rx_header){ .type = RX_ACK,
				       .call = call,
				       .service = RIG_SERVICE,
				       .flags = reason == RX_ACK_PING ? RX_REQUEST_ACK : 0 },
		   body, rx_ack_build(&a, body));
}

/* Pulls one packet; its type, 0 = none. */
static inline unsigned rig_pull(struct rig *r)
{
	struct rx_addr to;

	r->len = rx_endpoint_output(r->ep, r->now, &to, r->out);
	if (!r->len)
		return 0;
	rx_header_decode(&r->h, r->out, r->len);
	if (r->h.type == RX_ACK)
		rx_ack_parse(&r->ack, r->out + RX_HEADER_SIZE, r->len - RX_HEADER_SIZE);
	return r->h.type;
}

/* The next packet is an ACK with this reason. */
static inline bool rig_acked(struct rig *r, unsigned reason)
{
	return rig_pull(r) == RX_ACK && r->ack.reason == reason;
}

static inline void rig_wait(struct rig *r, uint64_t us)
{
	uint64_t until = r->now + us;

	while (rx_endpoint_deadline(r->ep) <= until) {
		if (rx_endpoint_deadline(r->ep) > r->now)
			r->now = rx_endpoint_deadline(r->ep);
		rx_endpoint_tick(r->ep, r->now);
		if (rx_endpoint_has_output(r->ep))
			return;
	}
	r->now = until;
}

static inline int32_t rig_abort_code(struct rig *r)
{
	return (int32_t)rx_get32(r->out + RX_HEADER_SIZE);
}

#endif
