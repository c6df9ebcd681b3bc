/* One RX connection, both roles, with its four channels. Inside the sans-IO core,
 * under the endpoint's lock. */
#ifndef UMAFS_RX_CONN_H
#define UMAFS_RX_CONN_H

#include "rx/call.h"
#include "rx/peer.h"
#include "rx/rx.h"

/* What a channel remembers across its calls. */
struct rx_channel {
	struct rx_call *call; /* NULL: none, or all of it is below */
	uint32_t number;      /* of the current or last call; 0 = none yet */
	uint32_t rx_next;     /* one beyond the last seq received in the last call */
	uint64_t busy_at;     /* client: when the server last said BUSY; 0 = never */
	int32_t abort_code;   /* how the last call ended, 0 = well */
	uint64_t abort_sent;  /* when we last told the peer of it ... */
	uint64_t abort_at;    /* ... and shall again; 0 = never, both */
	unsigned abort_left;  /* how often again without being asked */
	bool mute;            /* server: the last call is over, and nobody is told */
};

#define RX_CONN_STATES(X)                                                                                              \
	X(OPEN, RX_NS_BIT(CHALLENGED) | RX_NS_BIT(FAILED) | RX_NS_BIT(CLOSING))                                        \
	X(CHALLENGED, RX_NS_BIT(OPEN) | RX_NS_BIT(FAILED) | RX_NS_BIT(CLOSING))                                        \
	X(FAILED, RX_NS_BIT(CLOSING))                                                                                  \
	X(CLOSING, 0)

#define RX_NS_BIT(name) (1u << RX_NS_##name)

enum rx_conn_state {
#define X(name, to) RX_NS_##name,
	RX_CONN_STATES(X)
#undef X
};

/* Oldest first. */
struct rx_conn_list {
	struct rx_conn *head, *tail;
	unsigned n;
};

struct rx_conn {
	struct rx_endpoint *ep;
	struct rx_conn *next;                  /* hash chain */
	struct rx_conn_list *list;             /* server: of those that are bounded in number ... */
	struct rx_conn *list_next, *list_prev; /* ... and its neighbours there */
	void *user;
	enum rx_conn_state state;
	bool client, released, proven;
	bool forgotten;              /* server: no packet belongs to it; it ends with its handlers */
	uint32_t epoch, cid, serial; /* cid: channel bits 0; serial: the last one sent */
	uint16_t service;
	uint8_t secidx;
	int32_t error;
	struct rx_peer *peer;
	struct rx_security *sec;
	void *sec_state;
	struct rx_channel channel[RX_CHANNELS];
	uint64_t dead_us, hard_us, used_us;
	struct rx_timer timer;
	uint64_t challenge_at, abort_at, reap_at;
	unsigned challenges;
	uint8_t challenge_random[4];
	uint64_t abort_window;    /* throttle: start of the current 3 s ... */
	unsigned aborts;          /* ... and how many went out in it */
	uint64_t response_window; /* likewise of RESPONSEs */
	unsigned responses;
	uint64_t packets_sent, packets_received, bytes_sent, bytes_received;
};

const char *rx_conn_state_name(enum rx_conn_state state);
void rx_conn_set_state(struct rx_conn *conn, enum rx_conn_state state);

/* conn.c */
struct rx_conn *rx_conn_lookup(struct rx_endpoint *ep, const struct rx_header *h, bool client,
			       const struct rx_addr *from);
struct rx_conn *rx_conn_accept(struct rx_endpoint *ep, const struct rx_header *h, const struct rx_addr *from,
			       struct rx_security *sec);
void rx_conn_destroy(struct rx_conn *conn);
/* Nobody is told; handlers find their calls failed. */
void rx_conn_forget_served(struct rx_endpoint *ep);
/* Sticky failure: all calls end with the code; `tell` sends a connection ABORT. */
void rx_conn_fail(struct rx_conn *conn, int32_t code, bool tell);
void rx_conn_arm(struct rx_conn *conn, uint64_t at);
void rx_conn_prove(struct rx_conn *conn);
/* A channel was set free: wakes who waits, and destroys a released connection. */
void rx_conn_call_gone(struct rx_conn *conn);
bool rx_conn_busy(const struct rx_conn *conn);
/* Header of a packet of this connection with a fresh serial. */
struct rx_header rx_conn_header(struct rx_conn *conn, enum rx_packet_type type, unsigned channel, uint32_t call);
bool rx_conn_authenticated(const struct rx_conn *conn);

/* abort.c */
/* Throttle: ten times in three seconds. */
bool rx_conn_allowed(uint64_t now, uint64_t *window, unsigned *n);
/* Tells how the channel's last call ended; too soon after the last time: a little later. */
void rx_abort_call(struct rx_conn *conn, unsigned channel);
/* ... and again, a few times, until the channel is used: for a peer that would wait. */
void rx_abort_repeat(struct rx_conn *conn, unsigned channel);
/* Sends what is due; when there is more to send, UINT64_MAX = nothing. */
uint64_t rx_abort_timer(struct rx_conn *conn, uint64_t now);
void rx_abort_conn(struct rx_conn *conn);
void rx_abort_raw(struct rx_endpoint *ep, const struct rx_header *h, const struct rx_addr *to, int32_t code);

/* challenge.c */
void rx_challenge_start(struct rx_conn *conn);
void rx_challenge_received(struct rx_conn *conn, const uint8_t *body, size_t len);
void rx_response_received(struct rx_conn *conn, const uint8_t *body, size_t len);
uint64_t rx_challenge_timer(struct rx_conn *conn, uint64_t now);
/* Tells the binding of server calls that may start. */
void rx_conn_announce(struct rx_conn *conn);

#endif
