/* Security index 0: nothing is protected, everyone is anonymous. It keeps no state, so both
 * ends are one class. Called by the endpoint under its lock. */
#include <stdlib.h>

#include "rx/security.h"

static void null_destroy(struct rx_security *sec)
{
	free(sec);
}

static int null_conn_new(struct rx_security *sec, bool client, uint32_t epoch, uint32_t cid, void **state,
			 struct rx_error *err)
{
	(void)client, (void)epoch, (void)cid, (void)err;
	*state = sec; /* only to be something; never looked at */
	return 0;
}

static void null_conn_free(void *state)
{
	(void)state;
}

static void null_overhead(void *state, size_t *header, size_t *trailer)
{
	(void)state;
	*header = *trailer = 0;
}

static size_t null_seal(void *state, const struct rx_packet_ident *id, uint8_t *buf, size_t len, uint16_t *checksum)
{
	(void)state, (void)id, (void)buf;
	*checksum = 0;
	return len;
}

static int null_open(void *state, const struct rx_packet_ident *id, uint8_t *buf, size_t payload, size_t *off,
		     size_t *len, int64_t wall_s)
{
	(void)state, (void)buf, (void)wall_s;
	if (id->security_index != RX_SECIDX_NULL)
		return RX_SECURITY_DROP;
	*off = 0;
	*len = payload;
	return 0;
}

/* Nobody may challenge an anonymous connection; a forged CHALLENGE must not end it. */
static int null_respond(void *state, const uint8_t *challenge, size_t len, const uint32_t calls[4], uint8_t *out,
			size_t cap, int64_t wall_s)
{
	(void)state, (void)challenge, (void)len, (void)calls, (void)out, (void)cap, (void)wall_s;
	return 0;
}

static bool null_authenticated(void *state)
{
	(void)state;
	return true;
}

static size_t null_challenge(void *state, uint8_t *out, size_t cap, const uint8_t random[4])
{
	(void)state, (void)out, (void)cap, (void)random;
	return 0;
}

static int null_check_response(void *state, const uint8_t *body, size_t len, uint32_t calls[4], int64_t wall_s)
{
	(void)state, (void)body, (void)len, (void)calls, (void)wall_s;
	return RX_SECURITY_DROP;
}

static void null_identity(void *state, struct rx_peer_identity *out)
{
	(void)state;
	*out = (struct rx_peer_identity){ .expires = INT64_MAX };
}

static const struct rx_security_ops null_ops = {
	.name = "rxnull",
	.index = RX_SECIDX_NULL,
	.destroy = null_destroy,
	.conn_new = null_conn_new,
	.conn_free = null_conn_free,
	.overhead = null_overhead,
	.seal = null_seal,
	.open = null_open,
	.respond = null_respond,
	.authenticated = null_authenticated,
	.challenge = null_challenge,
	.check_response = null_check_response,
	.identity = null_identity,
};

struct rx_security *rx_null_new(void)
{
	struct rx_security *sec = malloc(sizeof(*sec));

	if (sec)
		*sec = (struct rx_security){ .ops = &null_ops, .refs = 1 };
	return sec;
}
