/* One RX call, both roles: its states, its sending and its receiving half. Inside the
 * sans-IO core; everything here runs under the endpoint's lock. The binding sees calls
 * only through rx/endpoint.h. */
#ifndef UMAFS_RX_CALL_H
#define UMAFS_RX_CALL_H

#include "rx/ack.h"
#include "rx/cong.h"
#include "rx/packet.h"
#include "rx/rx.h"
#include "rx/timer.h"

struct rx_endpoint;

/* Every state with the states that may follow. SEND and RECV say what the owner does:
 * a client sends, then receives; a server receives, then sends. */
#define RX_CALL_STATES(X)                                                                                              \
	X(IDLE, RX_CS_BIT(PRECALL) | RX_CS_BIT(SEND))                                                                  \
	X(PRECALL, RX_CS_BIT(RECV) | RX_CS_BIT(ERROR) | RX_CS_BIT(IDLE))                /* server, no handler yet */   \
	X(SEND, RX_CS_BIT(RECV) | RX_CS_BIT(HOLD) | RX_CS_BIT(ERROR) | RX_CS_BIT(IDLE)) /* IDLE: owner aborts */       \
	X(RECV, RX_CS_BIT(SEND) | RX_CS_BIT(DALLY) | RX_CS_BIT(ERROR) | RX_CS_BIT(IDLE))                               \
	X(HOLD, RX_CS_BIT(DALLY) | RX_CS_BIT(IDLE)) /* reply not yet acked */                                          \
	X(DALLY, RX_CS_BIT(IDLE))                   /* client: last ack owed */                                        \
	X(ERROR, RX_CS_BIT(IDLE))                   /* dead, its owner still there */

#define RX_CS_BIT(name) (1u << RX_CS_##name)

enum rx_call_state {
#define X(name, to) RX_CS_##name,
	RX_CALL_STATES(X)
#undef X
};

enum { RX_RING = 256, RX_WINDOW_INITIAL = 16, RX_WINDOW_MAX = 255, RX_PROBES = 4 };

struct rx_call {
	struct rx_endpoint *ep;
	struct rx_conn *conn;
	void *user;                /* the binding's */
	struct rx_call *user_next; /* likewise */
	bool *ended;               /* likewise: set when a handler has ended its own call */
	enum rx_call_state state;
	uint32_t number;
	uint8_t channel;
	bool client;
	bool owned; /* somebody outside the core will call rx_core_call_end */
	bool ready; /* on the endpoint's list of calls with something to send */
	int32_t error;
	struct rx_addr from; /* the peer when the call began, or was handed to its handler */
	struct rx_call *ready_next, *ready_prev;

	struct rx_timer timer;
	uint64_t started_us, heard_us, sent_us, hard_at;
	uint64_t announce_at; /* the binding had no memory for the call: it is offered again */
	struct {
		uint32_t serial;
		uint64_t at;
	} probe[RX_PROBES]; /* PINGs under way */
	unsigned probe_next;
	bool ping_now;

	/* Sending: [tx_first, tx_top) was sent at least once, [tx_top, tx_next) waits. */
	struct rx_packet *tx[RX_RING];
	struct rx_packet *tx_cur;                    /* being filled, no seq yet */
	struct rx_packet *tx_spare;                  /* the first one: it is there when it is needed */
	uint32_t tx_first, tx_top, tx_next, tx_high; /* tx_high: one beyond the highest acknowledged */
	uint32_t tx_previous;
	uint32_t tx_hard;        /* the highest firstPacket of any ACK */
	uint32_t tx_news_serial; /* our last serial when an ACK last said something new */
	unsigned tx_window, tx_flight, tx_lost;
	bool tx_done;    /* LAST is queued, or the peer's reply made the rest moot */
	bool tx_moot;    /* the peer answered early: what is written goes nowhere */
	bool tx_blocked; /* a write found no room: its owner wants to know when there is */
	bool tx_probe;   /* one packet may go out regardless of the congestion window */
	struct rx_cong cong;
	unsigned backoff, reorder, burst;
	uint32_t rack_serial;
	uint64_t rto_at, tlp_at, rack_at;
	uint64_t starved_at;   /* there was no memory for a packet: to be tried again */
	const uint8_t *wr_buf; /* a writer's bytes, taken as room appears */
	size_t wr_len, wr_done;

	/* Receiving: the reader takes rx_first next; [rx_first, rx_top) is in order. */
	struct rx_packet *rx[RX_RING];
	struct rx_packet *rx_cur;                    /* partly read */
	uint32_t rx_first, rx_top, rx_high, rx_last; /* rx_high: one beyond the highest; rx_last: seq of LAST */
	unsigned rx_window;
	bool rx_last_known, rx_eof;
	unsigned rx_unacked, rx_consumed;
	uint32_t rx_serial; /* of the last DATA */
	uint8_t ack_reason; /* to be sent now; 0 = none */
	uint32_t ack_serial;
	uint64_t ack_at;
	uint8_t *rd_buf; /* a reader's buffer, filled as data arrives; NULL: discarded */
	size_t rd_len, rd_done;
};

const char *rx_call_state_name(enum rx_call_state state);
/* Asserts that the transition is allowed. */
void rx_call_set_state(struct rx_call *call, enum rx_call_state state);

/* call.c. NULL: no memory. */
struct rx_call *rx_call_alloc(struct rx_conn *conn, unsigned channel, uint32_t number, bool client);
/* Releases everything; the channel keeps what must be remembered. */
void rx_call_release(struct rx_call *call);
/* Ends the call with an error of either side; `tell` sends an ABORT. The call is gone
 * afterwards unless somebody owns it. */
void rx_call_fail(struct rx_call *call, int32_t code, bool tell);
void rx_call_make_ready(struct rx_call *call);
void rx_call_unready(struct rx_call *call);
void rx_call_progress(struct rx_call *call);
/* Puts the timer at the earliest of the call's deadlines. */
void rx_call_arm(struct rx_call *call, uint64_t at);
void rx_call_ping(struct rx_call *call);

/* call_send.c */
void rx_send_init(struct rx_call *call);
/* Before somebody owns the call: makes sure of its first packet. False: no memory. */
bool rx_send_ready(struct rx_call *call);
void rx_send_clear(struct rx_call *call);
/* The peer has everything (its reply, or ACKALL, says so). */
void rx_send_all_acked(struct rx_call *call);
/* Client: a packet of the reply has come, which acknowledges the whole request; what was
 * not sent yet is moot. */
void rx_send_answered(struct rx_call *call);
size_t rx_send_fill(struct rx_call *call, const uint8_t *buf, size_t len);
/* Queues the LAST packet. */
void rx_send_finish(struct rx_call *call);
void rx_send_pump(struct rx_call *call);
/* Next datagram of this call's DATA into buf; 0 = nothing may be sent now. */
size_t rx_send_output(struct rx_call *call, uint8_t *buf);
bool rx_send_wants(const struct rx_call *call);
/* ... and what the deadlines of this half ask for; returns the next one. */
uint64_t rx_send_timer(struct rx_call *call, uint64_t now);

/* send_ack.c: an ACK came. May end the call. */
void rx_send_acked(struct rx_call *call, const struct rx_ack *ack);
void rx_send_detect_loss(struct rx_call *call);
uint64_t rx_send_rto_us(const struct rx_call *call);
void rx_send_rearm(struct rx_call *call);

/* call_recv.c */
void rx_recv_init(struct rx_call *call);
void rx_recv_clear(struct rx_call *call);
/* One DATA packet. May end the call or the connection: false when the call is gone. */
bool rx_recv_data(struct rx_call *call, const struct rx_piece *piece);
/* Opens what came before the connection was authenticated. False: call gone. */
bool rx_recv_open_held(struct rx_call *call);
void rx_recv_pump(struct rx_call *call);
bool rx_recv_complete(const struct rx_call *call);
void rx_recv_ack_now(struct rx_call *call, enum rx_ack_reason reason, uint32_t serial);
/* Builds an ACK datagram. */
size_t rx_recv_output_ack(struct rx_call *call, enum rx_ack_reason reason, uint32_t serial, uint8_t *buf);
uint64_t rx_recv_timer(struct rx_call *call, uint64_t now);

#endif
