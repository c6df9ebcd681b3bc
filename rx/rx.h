/* The transport room's public header: RX endpoints, connections and calls.
 *
 * rx_loop binds one sans-IO endpoint (rx/endpoint.h) to one UDP socket and libevent.
 * All functions here may be called from any thread. Blocking ones wait on the calling
 * thread, which runs the loop itself when nobody else does (leader/follower). Server
 * handlers of RX_SERVICE_INLINE run on whichever thread holds the loop, without its
 * lock, with the whole request already received; they must not block nor call out. */
#ifndef UMAFS_RX_RX_H
#define UMAFS_RX_RX_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rx/env.h"
#include "rx/error.h"
#include "rx/security.h"

enum {
	RX_CALL_DEAD = -1,
	RX_INVALID_OPERATION = -2,
	RX_CALL_TIMEOUT = -3,
	RX_EOF = -4,
	RX_PROTOCOL_ERROR = -5,
	RX_USER_ABORT = -6,
	RX_ADDRINUSE = -7,
	RX_MSGSIZE = -8,
	RX_RESTARTING = -100,
	RXGEN_CC_MARSHAL = -450,
	RXGEN_CC_UNMARSHAL = -451,
	RXGEN_SS_MARSHAL = -452,
	RXGEN_SS_UNMARSHAL = -453,
	RXGEN_DECODE = -454,
	RXGEN_OPCODE = -455,
};

/* Room for IPv6; only IPv4 is sent today. Port in host byte order. */
struct rx_addr {
	int family; /* AF_INET */
	uint8_t ip[16];
	uint16_t port;
};

struct rx_addr rx_addr_ipv4(uint32_t host_order_ip, uint16_t port);
uint32_t rx_addr_ip(const struct rx_addr *a); /* host byte order */
bool rx_addr_equal(const struct rx_addr *a, const struct rx_addr *b);
/* "10.0.0.1:7000" */
const char *rx_addr_text(const struct rx_addr *a, char buf[64]);

struct rx_loop;
struct rx_net;
void rx_net_free(struct rx_net *net); /* one that no loop has taken; NULL is fine */
struct rx_conn;
struct rx_call;

struct rx_loop_config {
	struct rx_env *env;   /* NULL: rx_env_posix() */
	struct rx_net *net;   /* taken over, whatever is returned (rx/net.h); NULL: UDP, bound as follows */
	uint32_t bind_ip;     /* host order, 0 = any */
	uint16_t bind_port;   /* 0 = any; rx_loop_port() tells */
	unsigned dead_time_s; /* silence after which a call is dead; 0 = 50 */
	unsigned window;      /* receive window in packets; 0 = 64, at most 255 */
	const char *version;  /* answer to VERSION packets; NULL: "umafs" */
	bool debug_answers;   /* answer DEBUG packets (rxdebug) */
};

/* Binds the socket and starts the background thread that holds the loop when nobody
 * waits. NULL with err. */
struct rx_loop *rx_loop_new(const struct rx_loop_config *config, struct rx_error *err);
/* All calls of connections must have ended; those being served are aborted. */
void rx_loop_free(struct rx_loop *loop);
uint16_t rx_loop_port(const struct rx_loop *loop);
struct rx_env *rx_loop_env(const struct rx_loop *loop);
/* To its clients a server that has been started anew: it knows no call or connection of theirs, and
 * says nothing of those it had; connections made from now on have another epoch. */
void rx_loop_restart(struct rx_loop *loop);
/* For so long nothing that is sent to it arrives. */
void rx_loop_deafen(struct rx_loop *loop, uint64_t us);
/* Tickets are judged by a wall clock that goes so many seconds ahead of the env's. */
void rx_loop_set_clock(struct rx_loop *loop, int64_t ahead_s);

/* Connections (client side). Four calls at a time each; rx_call_new waits for a free
 * channel. The connection keeps a reference to the security object. */
struct rx_conn *rx_conn_new(struct rx_loop *loop, const struct rx_addr *peer, uint16_t service, struct rx_security *sec,
			    struct rx_error *err);
/* Calls in progress go on; the connection is freed when the last has ended. */
void rx_conn_free(struct rx_conn *conn);
void rx_conn_set_dead_time(struct rx_conn *conn, unsigned seconds);
/* Whole-call limit; 0 = none. */
void rx_conn_set_hard_time(struct rx_conn *conn, unsigned seconds);
/* Sticky error of the connection: 0, or the abort code that ended it. */
int32_t rx_conn_error(const struct rx_conn *conn);
const struct rx_addr *rx_conn_peer(const struct rx_conn *conn);
uint16_t rx_conn_service(const struct rx_conn *conn);

/* Calls. NULL with err when the connection has failed. */
struct rx_call *rx_call_new(struct rx_conn *conn, struct rx_error *err);

/* Queues len bytes of the request (or of the reply in a handler); waits while the
 * send window is full. -1 when the call has ended with an error; the call must still
 * be ended with rx_call_end. */
int rx_call_write(struct rx_call *call, const void *buf, size_t len);

/* Reads up to len bytes, waiting until all have come or the stream ends; the first
 * read ends the request. Returns the count, short only at the end of the stream; -1
 * on error. */
ptrdiff_t rx_call_read(struct rx_call *call, void *buf, size_t len);

/* Sends what is left, and ends the call. abort_code != 0 aborts it. Frees the call.
 * Returns 0 when the peer's reply came to its end (up to 1 MiB unread is discarded), else
 * -1 with err from the abort code; err's origin for AFS codes is found by
 * `service_origin`. */
int rx_call_end(struct rx_call *call, int32_t abort_code, enum rx_origin service_origin, struct rx_error *err);

/* Whom a server call is from. */
const struct rx_addr *rx_call_peer(const struct rx_call *call);
void rx_call_identity(struct rx_call *call, struct rx_peer_identity *out);
/* For handlers. Sends the reply to its end: the call is gone, and the handler, a worker's,
 * goes on with other things and returns 0. */
void rx_call_finish(struct rx_call *call);
/* The peer hears nothing more of this call, not even that it is alive; the handler's reads and
 * writes fail. What it returns does not matter. */
void rx_call_mute(struct rx_call *call);
/* Ends the call's connection, and so all calls on it, with the code. */
void rx_call_fail_conn(struct rx_call *call, int32_t code);
/* A worker's handler waits for something else than its peer: meanwhile another thread serves in
 * its place. In pairs. */
void rx_call_begin_wait(struct rx_call *call);
void rx_call_end_wait(struct rx_call *call);

/* Services (server side). */
enum rx_service_mode {
	RX_SERVICE_INLINE, /* handler gets the complete request; runs on the loop's thread */
	RX_SERVICE_WORKER, /* handler runs on a worker thread and may stream and block */
};

/* Reads the request, writes the reply; a non-zero return aborts the call with it. */
typedef int32_t rx_handler(struct rx_call *call, void *arg);

struct rx_service_config {
	uint16_t id;
	const char *name;
	enum rx_service_mode mode;
	unsigned workers;           /* RX_SERVICE_WORKER: how many threads */
	size_t max_request;         /* RX_SERVICE_INLINE: longer requests are aborted; 0 = 64 KiB */
	struct rx_security *sec[5]; /* by security index; NULL = refused. References taken. */
	rx_handler *handler;
	void *arg;
};

int rx_service_add(struct rx_loop *loop, const struct rx_service_config *config, struct rx_error *err);

/* Counters since the start, for tests, benches and DEBUG answers. */
struct rx_stats {
	uint64_t packets_sent, packets_received, data_sent, data_received, data_resent, acks_sent, acks_received;
	uint64_t bogus, dropped, aborts_sent, aborts_received, syscalls, wakeups;
};
void rx_loop_stats(struct rx_loop *loop, struct rx_stats *out);

#endif
