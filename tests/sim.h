/* A deterministic network for sans-IO RX endpoints: virtual clock, links with delay,
 * jitter, loss, reordering and duplication drawn from one seed, and a simple
 * application on both sides. The same seed gives the same packets; sim->hash says so.
 *
 * The application: a request is 8 bytes (its own length, the reply's length) and then
 * a byte pattern; the reply is a pattern of that length. Both sides check it. */
#ifndef UMAFS_TESTS_SIM_H
#define UMAFS_TESTS_SIM_H

#include "rx/endpoint.h"

struct sim;
struct sim_node;

struct sim_call {
	struct sim_node *node;
	struct rx_call *call;
	struct sim_call *next, *dirty_next;
	bool client, dirty, ended, bad;
	uint8_t head[8];
	uint32_t req_len, reply_len, sent, got; /* of the stream of its direction */
	uint64_t wake_at;                       /* server: reply not before; slow reader: next read */
	uint32_t read_step;                     /* 0: read all there is; else bytes per read_every_us */
	uint64_t read_every_us;
	int32_t result;
	uint64_t started, finished;
};

struct sim_node {
	struct sim *sim;
	struct rx_endpoint *ep;
	struct rx_addr addr;
	struct sim_call *calls, *dirty;
	bool dead;          /* neither hears nor speaks */
	uint64_t think_us;  /* server: pause before the reply */
	uint32_t read_step; /* server: given to new calls */
	uint64_t read_every_us;
	int32_t abort_code; /* server: handlers end with this */
	bool hang;          /* server: never replies */
	unsigned incoming, completed, channel_free;
	struct sim_call *last; /* last incoming */
};

struct sim_packet {
	struct sim_packet *next;
	uint64_t at, order;
	struct rx_addr from;
	struct sim_node *to;
	size_t len;
	uint8_t data[];
};

struct sim_link {
	uint64_t delay_us, jitter_us, reorder_us; /* reordered packets take this much more */
	unsigned loss, reorder, duplicate;        /* per 1000 */
};

struct sim {
	uint64_t now, seed, order, hash, npackets, drops;
	struct sim_link link;
	struct sim_node node[4];
	unsigned nnodes;
	struct sim_packet *flying;
	/* Sees every packet before the link's dice; false drops it. May change it. */
	bool (*filter)(struct sim *sim, struct sim_node *from, uint8_t *pkt, size_t len);
	void *arg;
};

extern const struct sim_link sim_perfect; /* 1 ms, nothing lost */

void sim_init(struct sim *sim, uint64_t seed, const struct sim_link *link);
/* cfg may be NULL; ports are 7000 + index. */
struct sim_node *sim_node(struct sim *sim, const struct rx_endpoint_config *cfg);
void sim_serve(struct sim_node *node, uint16_t service, struct rx_security *sec);
/* Forgets everything, as a crash does. */
void sim_restart(struct sim_node *node);
struct rx_conn *sim_conn(struct sim_node *client, struct sim_node *server, uint16_t service, struct rx_security *sec);
/* NULL when no channel is free. req_len >= 8, or 0 for an empty request. */
struct sim_call *sim_call(struct rx_conn *conn, uint32_t req_len, uint32_t reply_len);
/* The owner of the call gives it up. */
void sim_abort(struct sim_call *call, int32_t code);
/* Runs until the call has ended (true) or the virtual time limit has passed. */
bool sim_finish(struct sim_call *call, uint64_t limit_us);
void sim_run(struct sim *sim, uint64_t for_us);
/* One event; false when nothing is left before `limit`. */
bool sim_step(struct sim *sim, uint64_t limit);
void sim_end(struct sim *sim);
uint64_t sim_rand(struct sim *sim);

#endif
