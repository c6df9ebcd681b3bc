/* rxkad as a server: one object per set of service keys. A connection begins with neither
 * key nor level; both come with the RESPONSE to its one challenge, and are used only after
 * every check of it has passed. Called by the endpoint under its lock. */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "rx/rxkad.h"
#include "rx/ticket.h"

struct server {
	struct rx_security base;
	struct rxkad_keyring *keys;
	int min_level;
	char local_realm[256];
};

struct server_conn {
	struct server *server;
	uint32_t epoch, cid;
	uint8_t nonce[4];
	bool challenged, authenticated;
	/* Known once authenticated: */
	struct rxkad_session session;
	struct rx_peer_identity peer;
};

static void server_destroy(struct rx_security *sec)
{
	struct server *s = (struct server *)sec;

	rxkad_keyring_free(s->keys);
	free(s);
}

static int server_conn_new(struct rx_security *sec, bool client, uint32_t epoch, uint32_t cid, void **state,
			   struct rx_error *err)
{
	struct server_conn *conn;

	if (client)
		return rx_error_errno(err, EINVAL, "a service's keys are no credential of a client");
	conn = calloc(1, sizeof(*conn));
	if (!conn)
		return rx_error_errno(err, ENOMEM, "no memory for a connection");
	conn->server = (struct server *)rx_security_get(sec);
	conn->epoch = epoch;
	conn->cid = cid;
	*state = conn;
	return 0;
}

static void server_conn_free(void *state)
{
	struct server_conn *conn = state;

	if (!conn)
		return;
	rx_security_put(&conn->server->base);
	OPENSSL_cleanse(conn, sizeof(*conn));
	free(conn);
}

static void server_overhead(void *state, size_t *header, size_t *trailer)
{
	struct server_conn *conn = state;

	rxkad_overhead(conn->session.level, header, trailer);
}

static size_t server_seal(void *state, const struct rx_packet_ident *id, uint8_t *buf, size_t len, uint16_t *checksum)
{
	struct server_conn *conn = state;

	return rxkad_seal(&conn->session, id, buf, len, checksum);
}

static int server_open(void *state, const struct rx_packet_ident *id, uint8_t *buf, size_t payload, size_t *off,
		       size_t *len, int64_t wall_s)
{
	struct server_conn *conn = state;
	int code;

	if (!conn->authenticated)
		return RX_SECURITY_DROP;
	code = rxkad_open(&conn->session, id, buf, payload, off, len);
	/* Only now: a forged packet must not end the connection, be it at its end or not. */
	return code == 0 && wall_s >= conn->peer.expires ? RXKAD_EXPIRED : code;
}

/* A CHALLENGE on a server connection is forged or misdirected. */
static int server_respond(void *state, const uint8_t *challenge, size_t len, const uint32_t calls[4], uint8_t *out,
			  size_t cap, int64_t wall_s)
{
	(void)state, (void)challenge, (void)len, (void)calls, (void)out, (void)cap, (void)wall_s;
	return 0;
}

static bool server_authenticated(void *state)
{
	struct server_conn *conn = state;

	return conn->authenticated;
}

static size_t server_challenge(void *state, uint8_t *out, size_t cap, const uint8_t random[4])
{
	struct server_conn *conn = state;

	if (conn->authenticated || cap < RXKAD_CHALLENGE_LEN)
		return 0;
	if (!conn->challenged) {
		memcpy(conn->nonce, random, sizeof(conn->nonce));
		conn->challenged = true;
	}
	memset(out, 0, RXKAD_CHALLENGE_LEN);
	rxkad_put32(out, RXKAD_VERSION);
	memcpy(out + 4, conn->nonce, sizeof(conn->nonce));
	rxkad_put32(out + 8, (uint32_t)conn->server->min_level);
	return RXKAD_CHALLENGE_LEN;
}

/* Of a decrypted RESPONSE: is it ours, and an answer to our challenge? */
static int check_decrypted(const struct server_conn *conn, const uint8_t r[RXKAD_RESPONSE_LEN])
{
	uint8_t want[RXKAD_RESPONSE_LEN];
	uint32_t level;

	rxkad_put32(want + RXKAD_R_CHECKSUM, rxkad_response_checksum(r));
	rxkad_put32(want + RXKAD_R_EPOCH, conn->epoch);
	rxkad_put32(want + RXKAD_R_CID, conn->cid & ~3u);
	rxkad_put32(want + RXKAD_R_INDEX, RX_SECIDX_RXKAD);
	/* epoch, cid, checksum and index stand side by side */
	if (CRYPTO_memcmp(r + RXKAD_R_SEALED, want + RXKAD_R_SEALED, RXKAD_R_CALLS - RXKAD_R_SEALED))
		return RXKAD_SEALEDINCON;
	for (int i = 0; i < 4; i++)
		if (r[RXKAD_R_CALLS + 4 * i] & 0x80)
			return RXKAD_SEALEDINCON;
	rxkad_put32(want + RXKAD_R_NONCE, rxkad_get32(conn->nonce) + 1);
	if (CRYPTO_memcmp(r + RXKAD_R_NONCE, want + RXKAD_R_NONCE, 4))
		return RXKAD_OUTOFSEQUENCE;
	level = rxkad_get32(r + RXKAD_R_LEVEL);
	if (level > RXKAD_CRYPT || level < (uint32_t)conn->server->min_level)
		return RXKAD_LEVELFAIL;
	return 0;
}

static void adopt(struct server_conn *conn, const struct rxkad_ticket *ticket, int level)
{
	rxkad_session_init(&conn->session, ticket->key, level, conn->epoch, conn->cid);
	rxkad_ticket_identity(ticket, conn->server->local_realm, conn->peer.name);
	conn->peer.starts = ticket->start;
	conn->peer.expires = ticket->end;
	conn->peer.level = level;
	conn->authenticated = true;
	/* The nonce is used up. */
	conn->challenged = false;
	memset(conn->nonce, 0, sizeof(conn->nonce));
}

static int server_check_response(void *state, const uint8_t *body, size_t len, uint32_t calls[4], int64_t wall_s)
{
	struct server_conn *conn = state;
	struct rxkad_session session;
	struct rxkad_ticket ticket;
	uint8_t r[RXKAD_RESPONSE_LEN];
	uint32_t ticket_len;
	int code;

	if (conn->authenticated || !conn->challenged)
		return RX_SECURITY_DROP; /* late, or an answer to a server before us */
	if (len < RXKAD_RESPONSE_LEN)
		return RXKAD_PACKETSHORT;
	memcpy(r, body, sizeof(r));
	if (rxkad_get32(r + RXKAD_R_VERSION) != RXKAD_VERSION)
		return RXKAD_INCONSISTENCY;
	ticket_len = rxkad_get32(r + RXKAD_R_TICKET_LEN);
	if (ticket_len > len - RXKAD_RESPONSE_LEN)
		return RXKAD_PACKETSHORT;
	if (ticket_len < RXKAD_TICKET_MIN || ticket_len > RXKAD_TICKET_MAX)
		return RXKAD_TICKETLEN;
	code = rxkad_ticket_accept(conn->server->keys, rxkad_get32(r + RXKAD_R_KVNO), body + RXKAD_RESPONSE_LEN,
				   ticket_len, wall_s, &ticket);
	if (code)
		return code;
	rxkad_session_init(&session, ticket.key, RXKAD_CLEAR, conn->epoch, conn->cid);
	rxkad_response_decrypt(&session, r);
	code = check_decrypted(conn, r);
	if (!code) {
		for (int i = 0; i < 4; i++)
			calls[i] = rxkad_get32(r + RXKAD_R_CALLS + 4 * i);
		adopt(conn, &ticket, (int)rxkad_get32(r + RXKAD_R_LEVEL));
	}
	OPENSSL_cleanse(&session, sizeof(session));
	OPENSSL_cleanse(&ticket, sizeof(ticket));
	OPENSSL_cleanse(r, sizeof(r));
	return code;
}

static void server_identity(void *state, struct rx_peer_identity *out)
{
	struct server_conn *conn = state;

	*out = conn->peer;
}

static const struct rx_security_ops server_ops = {
	.name = "rxkad server",
	.index = RX_SECIDX_RXKAD,
	.destroy = server_destroy,
	.conn_new = server_conn_new,
	.conn_free = server_conn_free,
	.overhead = server_overhead,
	.seal = server_seal,
	.open = server_open,
	.respond = server_respond,
	.authenticated = server_authenticated,
	.challenge = server_challenge,
	.check_response = server_check_response,
	.identity = server_identity,
};

struct rx_security *rxkad_server_new(const struct rxkad_service_key *keys, size_t n, int min_level,
				     const char *local_realm, struct rx_error *err)
{
	struct server *s;

	if (min_level < RXKAD_CLEAR || min_level > RXKAD_CRYPT ||
	    (local_realm && strlen(local_realm) >= sizeof(s->local_realm))) {
		rx_error_errno(err, EINVAL, "rxkad service with level %d, realm %s", min_level,
			       local_realm ? local_realm : "none");
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		rx_error_errno(err, ENOMEM, "no memory for an rxkad service");
		return NULL;
	}
	s->base = (struct rx_security){ .ops = &server_ops, .refs = 1 };
	s->min_level = min_level;
	if (local_realm)
		strcpy(s->local_realm, local_realm);
	s->keys = rxkad_keyring_new(keys, n, err);
	if (!s->keys) {
		free(s);
		return NULL;
	}
	return &s->base;
}
