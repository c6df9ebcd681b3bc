/* What a security class does for the transport: seal and open DATA packets, make and
 * answer challenges. Called by the endpoint with its lock held; never blocks, does no
 * I/O. A `struct rx_security` is a class plus a credential (client) or the keys of a
 * service (server); it is reference counted and shared by connections. */
#ifndef UMAFS_RX_SECURITY_H
#define UMAFS_RX_SECURITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rx/error.h"

enum { RX_SECIDX_NULL = 0, RX_SECIDX_RXKAD = 2 };
enum { RXKAD_CLEAR = 0, RXKAD_AUTH = 1, RXKAD_CRYPT = 2 };

/* RXKAD_* error codes, rx-security section 5. */
enum {
	RXKAD_INCONSISTENCY = 19270400,
	RXKAD_PACKETSHORT,
	RXKAD_LEVELFAIL,
	RXKAD_TICKETLEN,
	RXKAD_OUTOFSEQUENCE,
	RXKAD_NOAUTH,
	RXKAD_BADKEY,
	RXKAD_BADTICKET,
	RXKAD_UNKNOWNKEY,
	RXKAD_EXPIRED,
	RXKAD_SEALEDINCON,
	RXKAD_DATALEN,
	RXKAD_ILLEGALLEVEL,
};

/* What of a packet's header the classes look at; host byte order. */
struct rx_packet_ident {
	uint32_t epoch, cid; /* cid with channel bits */
	uint32_t call, seq;
	uint16_t checksum; /* as received; ignored by seal */
	uint8_t security_index;
};

struct rx_peer_identity {
	char name[256];          /* "alice", "host.inst@cell"; empty: anonymous */
	int64_t starts, expires; /* the ticket */
	int level;
};

struct rx_security;

struct rx_security_ops {
	const char *name;
	uint8_t index;

	void (*destroy)(struct rx_security *sec);

	/* State for one connection; freed by conn_free. cid has channel bits 0. */
	int (*conn_new)(struct rx_security *sec, bool client, uint32_t epoch, uint32_t cid, void **state,
			struct rx_error *err);
	void (*conn_free)(void *state);

	/* Bytes before and after the user data of one DATA packet. The server's may
	 * change once the RESPONSE has told the level. */
	void (*overhead)(void *state, size_t *header, size_t *trailer);

	/* buf holds `header` spare bytes, then len user bytes, then room for trailer.
	 * Turns it into the payload in place; returns its length, sets *checksum. */
	size_t (*seal)(void *state, const struct rx_packet_ident *id, uint8_t *buf, size_t len, uint16_t *checksum);

	/* buf is a private copy of the payload, decrypted in place. 0: the user bytes
	 * are buf[*off .. *off+*len). RX_SECURITY_DROP: forged or damaged, drop the
	 * packet silently. Positive: abort the connection with that code. */
	int (*open)(void *state, const struct rx_packet_ident *id, uint8_t *buf, size_t payload, size_t *off,
		    size_t *len, int64_t wall_s);

	/* Client: answers a CHALLENGE. calls: the number in progress of each channel.
	 * Returns the length of the RESPONSE body put into out, 0 to ignore the challenge,
	 * or a negative value: minus the code to abort the connection with. */
	int (*respond)(void *state, const uint8_t *challenge, size_t len, const uint32_t calls[4], uint8_t *out,
		       size_t cap, int64_t wall_s);

	/* Server: true once a good RESPONSE has come (always for rxnull). */
	bool (*authenticated)(void *state);
	/* Server: the CHALLENGE body to send; same until answered. Returns its length. */
	size_t (*challenge)(void *state, uint8_t *out, size_t cap, const uint8_t random[4]);
	/* Server: checks a RESPONSE. 0 and *calls = its call-number vector, or the code
	 * to abort the connection with, or RX_SECURITY_DROP when none is awaited; state is
	 * unchanged then. */
	int (*check_response)(void *state, const uint8_t *body, size_t len, uint32_t calls[4], int64_t wall_s);
	/* Who the peer of a server connection is. */
	void (*identity)(void *state, struct rx_peer_identity *out);
};

enum { RX_SECURITY_DROP = -1 };

struct rx_security {
	const struct rx_security_ops *ops;
	int refs; /* atomic */
};

struct rx_security *rx_security_get(struct rx_security *sec);
void rx_security_put(struct rx_security *sec); /* NULL is fine */

/* Anonymous; one reference is the caller's. */
struct rx_security *rx_null_new(void);

/* rxkad as a client. session: the Kerberos session key of `enctype`, ticket: the
 * service ticket exactly as in the ccache. Copies both. expires: end time, seconds
 * since 1970. kvno 256 for a Kerberos 5 ticket, 213 for its EncryptedData alone. NULL
 * with err when the key cannot be used or the ticket is longer than 12,000 bytes. */
struct rx_security *rxkad_client_new(int level, int kvno, int enctype, const uint8_t *session, size_t session_len,
				     const uint8_t *ticket, size_t ticket_len, int64_t expires, struct rx_error *err);

/* One key of an rxkad service. */
struct rxkad_service_key {
	int kvno, enctype;
	const uint8_t *key;
	size_t len;
};

/* rxkad as a server: accepts Kerberos 5 tickets sealed with any of these keys (copied).
 * local_realm: realm whose users get no "@cell" suffix. */
struct rx_security *rxkad_server_new(const struct rxkad_service_key *keys, size_t n, int min_level,
				     const char *local_realm, struct rx_error *err);

#endif
