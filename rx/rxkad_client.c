/* rxkad as a client: one object per credential and level, holding the derived 8-byte key
 * and the opaque ticket; a connection's state is the sealing session alone. The cache
 * manager makes the objects, on any thread; the rest runs under the endpoint's lock. */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "rx/rxkad.h"
#include "rx/rxkad_kdf.h"

struct client {
	struct rx_security base;
	int level, kvno;
	int64_t expires;
	uint8_t key[8];
	size_t ticket_len;
	uint8_t ticket[];
};

struct client_conn {
	struct client *client;
	uint32_t epoch, cid;
	struct rxkad_session session;
};

static void client_destroy(struct rx_security *sec)
{
	struct client *c = (struct client *)sec;

	OPENSSL_cleanse(c, sizeof(*c) + c->ticket_len);
	free(c);
}

static int client_conn_new(struct rx_security *sec, bool client, uint32_t epoch, uint32_t cid, void **state,
			   struct rx_error *err)
{
	struct client *c = (struct client *)sec;
	struct client_conn *conn;

	if (!client)
		return rx_error_errno(err, EINVAL, "a client's credential cannot serve connections");
	conn = malloc(sizeof(*conn));
	if (!conn)
		return rx_error_errno(err, ENOMEM, "no memory for a connection");
	conn->client = (struct client *)rx_security_get(sec);
	conn->epoch = epoch;
	conn->cid = cid;
	rxkad_session_init(&conn->session, c->key, c->level, epoch, cid);
	*state = conn;
	return 0;
}

static void client_conn_free(void *state)
{
	struct client_conn *conn = state;

	if (!conn)
		return;
	rx_security_put(&conn->client->base);
	OPENSSL_cleanse(conn, sizeof(*conn));
	free(conn);
}

static void client_overhead(void *state, size_t *header, size_t *trailer)
{
	struct client_conn *conn = state;

	rxkad_overhead(conn->session.level, header, trailer);
}

static size_t client_seal(void *state, const struct rx_packet_ident *id, uint8_t *buf, size_t len, uint16_t *checksum)
{
	struct client_conn *conn = state;

	return rxkad_seal(&conn->session, id, buf, len, checksum);
}

static int client_open(void *state, const struct rx_packet_ident *id, uint8_t *buf, size_t payload, size_t *off,
		       size_t *len, int64_t wall_s)
{
	struct client_conn *conn = state;

	(void)wall_s; /* the server is the one that tests it */
	return rxkad_open(&conn->session, id, buf, payload, off, len);
}

static int check_challenge(const struct client_conn *conn, const uint8_t *challenge, size_t len, int64_t wall_s)
{
	/* Shorter is the old form, whose answer would not be bound to this connection. */
	if (len < RXKAD_CHALLENGE_LEN)
		return RXKAD_PACKETSHORT;
	if (rxkad_get32(challenge) != RXKAD_VERSION)
		return RXKAD_INCONSISTENCY;
	if (rxkad_get32(challenge + 8) > (uint32_t)conn->session.level)
		return RXKAD_LEVELFAIL;
	if (wall_s >= conn->client->expires)
		return RXKAD_EXPIRED;
	return 0;
}

static int client_respond(void *state, const uint8_t *challenge, size_t len, const uint32_t calls[4], uint8_t *out,
			  size_t cap, int64_t wall_s)
{
	struct client_conn *conn = state;
	struct client *c = conn->client;
	int code = check_challenge(conn, challenge, len, wall_s);

	if (code)
		return -code;
	if (cap < RXKAD_RESPONSE_LEN || cap - RXKAD_RESPONSE_LEN < c->ticket_len)
		return -RXKAD_PACKETSHORT;
	memset(out, 0, RXKAD_RESPONSE_LEN);
	rxkad_put32(out + RXKAD_R_VERSION, RXKAD_VERSION);
	rxkad_put32(out + RXKAD_R_EPOCH, conn->epoch);
	rxkad_put32(out + RXKAD_R_CID, conn->cid & ~3u);
	rxkad_put32(out + RXKAD_R_INDEX, RX_SECIDX_RXKAD);
	for (int i = 0; i < 4; i++)
		rxkad_put32(out + RXKAD_R_CALLS + 4 * i, calls[i]);
	rxkad_put32(out + RXKAD_R_NONCE, rxkad_get32(challenge + 4) + 1);
	rxkad_put32(out + RXKAD_R_LEVEL, (uint32_t)conn->session.level);
	rxkad_put32(out + RXKAD_R_KVNO, (uint32_t)c->kvno);
	rxkad_put32(out + RXKAD_R_TICKET_LEN, (uint32_t)c->ticket_len);
	rxkad_put32(out + RXKAD_R_CHECKSUM, rxkad_response_checksum(out));
	rxkad_response_encrypt(&conn->session, out);
	memcpy(out + RXKAD_RESPONSE_LEN, c->ticket, c->ticket_len);
	return (int)(RXKAD_RESPONSE_LEN + c->ticket_len);
}

/* The server's half, which no client connection has. */
static bool client_authenticated(void *state)
{
	(void)state;
	return true;
}

static size_t client_challenge(void *state, uint8_t *out, size_t cap, const uint8_t random[4])
{
	(void)state, (void)out, (void)cap, (void)random;
	return 0;
}

static int client_check_response(void *state, const uint8_t *body, size_t len, uint32_t calls[4], int64_t wall_s)
{
	(void)state, (void)body, (void)len, (void)calls, (void)wall_s;
	return RX_SECURITY_DROP;
}

static void client_identity(void *state, struct rx_peer_identity *out)
{
	struct client_conn *conn = state;

	*out = (struct rx_peer_identity){ .expires = conn->client->expires, .level = conn->session.level };
}

static const struct rx_security_ops client_ops = {
	.name = "rxkad client",
	.index = RX_SECIDX_RXKAD,
	.destroy = client_destroy,
	.conn_new = client_conn_new,
	.conn_free = client_conn_free,
	.overhead = client_overhead,
	.seal = client_seal,
	.open = client_open,
	.respond = client_respond,
	.authenticated = client_authenticated,
	.challenge = client_challenge,
	.check_response = client_check_response,
	.identity = client_identity,
};

struct rx_security *rxkad_client_new(int level, int kvno, int enctype, const uint8_t *session, size_t session_len,
				     const uint8_t *ticket, size_t ticket_len, int64_t expires, struct rx_error *err)
{
	struct client *c;
	uint8_t key[8];

	if (level < RXKAD_CLEAR || level > RXKAD_CRYPT || kvno < 0 || kvno > RXKAD_KVNO_V5) {
		rx_error_errno(err, EINVAL, "rxkad knows no level %d with ticket version %d", level, kvno);
		return NULL;
	}
	if (ticket_len < RXKAD_TICKET_MIN || ticket_len > RXKAD_TICKET_MAX) {
		rx_error_set(err, RX_ORIGIN_RXKAD, RXKAD_TICKETLEN, EKEYREJECTED,
			     "the Kerberos ticket is %zu bytes long, AFS takes %d to %d; if it is too large, have the "
			     "KDC leave out authorisation data (no-auth-data-required)",
			     ticket_len, RXKAD_TICKET_MIN, RXKAD_TICKET_MAX);
		return NULL;
	}
	if (rxkad_kdf(enctype, session, session_len, key, err) < 0)
		return NULL;
	c = malloc(sizeof(*c) + ticket_len);
	if (c) {
		c->base = (struct rx_security){ .ops = &client_ops, .refs = 1 };
		c->level = level;
		c->kvno = kvno;
		c->expires = expires;
		memcpy(c->key, key, sizeof(c->key));
		c->ticket_len = ticket_len;
		memcpy(c->ticket, ticket, ticket_len);
	} else {
		rx_error_errno(err, ENOMEM, "no memory for a credential");
	}
	OPENSSL_cleanse(key, sizeof(key));
	return c ? &c->base : NULL;
}
