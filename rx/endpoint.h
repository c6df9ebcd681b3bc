/* The sans-IO RX endpoint: packets and a clock go in, packets and a next deadline come
 * out. It opens no socket, starts no thread, reads no clock and draws no random number
 * that was not handed to it; nothing here blocks. The binding (rx/loop.c, or a
 * simulator) serialises all calls and owns the lock. Upcalls come from inside these
 * functions: they may take note and wake somebody, but must not call back. */
#ifndef UMAFS_RX_ENDPOINT_H
#define UMAFS_RX_ENDPOINT_H

#include "rx/call.h"
#include "rx/conn.h"
#include "rx/packet.h"
#include "rx/peer.h"
#include "rx/rx.h"
#include "rx/timer.h"

struct rx_upcalls {
	/* The call has data, room, its end or an error for its owner. */
	void (*progress)(struct rx_call *call, void *arg);
	/* A server call wants a handler; the binding owns it from now on. False: it has no
	 * memory for that; it is asked again in a moment. */
	bool (*incoming)(struct rx_call *call, void *arg);
	/* A client connection has a channel free again. */
	void (*channel_free)(struct rx_conn *conn, void *arg);
};

struct rx_endpoint_config {
	uint32_t epoch; /* bit 31 is set by the endpoint */
	void (*random)(void *arg, void *buf, size_t len);
	void *random_arg;
	struct rx_env *maybe; /* for UMAFS_MAYBE alone; NULL: never */
	const struct rx_upcalls *up;
	void *up_arg;
	unsigned dead_time_s, window, max_unproven; /* 0: 50, 64, 1024 */
	const char *version;
	bool debug_answers;
};

enum {
	RX_PEER_BUCKETS = 256,
	RX_CONN_BUCKETS = 1024,
	RX_SERVICES = 16,
	RX_OUTPUT_MAX = 16384, /* a buffer for rx_endpoint_output */
	RX_RAW_SLOTS = 64,
};

struct rx_core_service {
	uint16_t id;
	struct rx_security *sec[5];
	void *user;
};

struct rx_endpoint_counts {
	struct rx_stats s;
	uint32_t read[RX_PACKET_TYPES], sent[RX_PACKET_TYPES];
	uint32_t dup, spurious, pings_sent, stale_acks, forged, calls, busies, throttled;
	uint32_t rtt_samples, fast_resends, timeouts, probes;
};

struct rx_endpoint {
	struct rx_endpoint_config cfg;
	uint64_t now, deaf_until;
	int64_t wall;
	uint32_t next_cid;
	struct rx_conn *conns[RX_CONN_BUCKETS];
	struct rx_peer *peers[RX_PEER_BUCKETS];
	unsigned nconns, npeers, ncalls;
	struct rx_conn_list unproven, anonymous; /* server connections; the latter proven, but rxnull */
	struct rx_core_service service[RX_SERVICES];
	unsigned nservices;
	struct rx_packet_pool pool;
	struct rx_timers timers;
	struct rx_call *ready_head, *ready_tail;
	struct rx_call *free_calls;
	unsigned nfree_calls;
	struct rx_control *control_head, *control_tail; /* ready-made datagrams */
	unsigned ncontrol;
	struct {
		uint64_t window;
		unsigned n;
	} raw[RX_RAW_SLOTS], debug_slot;
	struct rx_endpoint_counts count;
};

/* A datagram that is complete; everything but DATA and ACK goes this way. */
struct rx_control {
	struct rx_control *next;
	struct rx_addr to;
	size_t len;
	uint8_t data[];
};

struct rx_endpoint *rx_endpoint_new(const struct rx_endpoint_config *cfg, uint64_t now_us, int64_t wall_s);
/* Forgets everything without telling anybody; no call may be owned any more. */
void rx_endpoint_free(struct rx_endpoint *ep);
int rx_endpoint_service(struct rx_endpoint *ep, uint16_t id, struct rx_security *const sec[5], void *user);
struct rx_core_service *rx_endpoint_find_service(struct rx_endpoint *ep, uint16_t id);
void rx_endpoint_input(struct rx_endpoint *ep, uint64_t now_us, int64_t wall_s, const struct rx_addr *from,
		       const uint8_t *pkt, size_t len);
void rx_endpoint_tick(struct rx_endpoint *ep, uint64_t now_us);
/* When to call rx_endpoint_tick; UINT64_MAX = never. */
uint64_t rx_endpoint_deadline(const struct rx_endpoint *ep);
/* Pulls one datagram into buf, which has RX_OUTPUT_MAX bytes. 0 = none left. */
size_t rx_endpoint_output(struct rx_endpoint *ep, uint64_t now_us, struct rx_addr *to, uint8_t *buf);
bool rx_endpoint_has_output(const struct rx_endpoint *ep);
/* The network says that nothing can reach this address. Anybody can say so: it counts if the
 * quoted packet is one of a call in progress, or if the peer has been silent for a while. */
void rx_endpoint_unreachable(struct rx_endpoint *ep, uint64_t now_us, const struct rx_addr *peer, const uint8_t *quoted,
			     size_t len);
/* Ends every server call that a handler has or is to have, and tells the peers. */
void rx_endpoint_stop_serving(struct rx_endpoint *ep, uint64_t now_us);
/* Forgets all connections of clients without a word; own ones made from now on have the epoch. */
void rx_endpoint_restart(struct rx_endpoint *ep, uint64_t now_us, uint32_t epoch);
/* Until then what arrives is lost, as if nobody was there. */
void rx_endpoint_deafen(struct rx_endpoint *ep, uint64_t until_us);
/* Queues a datagram made of header and body. */
void rx_endpoint_control(struct rx_endpoint *ep, const struct rx_addr *to, const struct rx_header *h, const void *body,
			 size_t len);
/* Answers DEBUG and VERSION (debug.c). */
void rx_debug_received(struct rx_endpoint *ep, const struct rx_header *h, const struct rx_addr *from,
		       const uint8_t *body, size_t len);

/* Connections and calls, non-blocking. `user` fields belong to the binding. */
struct rx_conn *rx_core_conn_new(struct rx_endpoint *ep, uint64_t now_us, const struct rx_addr *peer, uint16_t service,
				 struct rx_security *sec, struct rx_error *err);
void rx_core_conn_release(struct rx_conn *conn, uint64_t now_us);
/* NULL: no channel is free, conn->error is set, or there is no memory. */
bool rx_core_conn_full(const struct rx_conn *conn);
struct rx_call *rx_core_call_new(struct rx_conn *conn, uint64_t now_us);
/* A handler takes an incoming call. */
void rx_core_call_attach(struct rx_call *call, uint64_t now_us);
/* How many bytes were taken. The first write of a server call starts its reply. */
size_t rx_core_call_write(struct rx_call *call, uint64_t now_us, const void *buf, size_t len);
/* Leaves a buffer with the core, which takes from it whenever there is room; progress
 * comes when all was taken. rx_core_call_unpost_write returns how much was. */
void rx_core_call_post_write(struct rx_call *call, uint64_t now_us, const void *buf, size_t len);
size_t rx_core_call_unpost_write(struct rx_call *call);
/* Ends the sending direction of a client's call. Harmless when it has ended. */
void rx_core_call_flush(struct rx_call *call, uint64_t now_us);
/* Bytes read now. */
size_t rx_core_call_read(struct rx_call *call, uint64_t now_us, void *buf, size_t len);
/* As post_write; buf NULL discards. Progress comes when len bytes or the end are there. */
void rx_core_call_post_read(struct rx_call *call, uint64_t now_us, void *buf, size_t len);
size_t rx_core_call_unpost_read(struct rx_call *call);
/* In-order user bytes are waiting, or the end of the stream. */
bool rx_core_call_readable(const struct rx_call *call);
/* A server call whose peer hears nothing more of it. It is still to be ended. */
void rx_core_call_mute(struct rx_call *call, uint64_t now_us);
/* The owner leaves. code != 0, or a client's reply not read to its end: ABORT. */
void rx_core_call_end(struct rx_call *call, uint64_t now_us, int32_t code);

#endif
