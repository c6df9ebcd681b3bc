/* Packets that leave later: a heap by time, first come first served at the same time.
 * Owned by one link; no lock. */
#ifndef UMAFS_FAULT_QUEUE_H
#define UMAFS_FAULT_QUEUE_H

#include <stddef.h>

#include "tools/fault/rule.h"

enum fault_out_kind {
	FAULT_OUT_PACKET,
	FAULT_OUT_REBIND, /* from here on the flow has another port towards the server */
	FAULT_OUT_ICMP,   /* tell the sender of `data` that `mtu` is the limit */
};

/* One thing to do; freed with free(). */
struct fault_out {
	uint64_t at, order;
	uint32_t flow;
	enum fault_dir dir;
	enum fault_out_kind kind;
	uint32_t mtu;
	struct fault_out *next;    /* link.c: among those that wait for an event */
	uint32_t pass_left;        /* reorder: packets that still have to pass */
	char gate[FAULT_TEXT_MAX]; /* hold */
	size_t len;
	uint8_t data[];
};

struct fault_queue {
	struct fault_out **heap;
	size_t n, cap;
	uint64_t order;
};

void fault_queue_push(struct fault_queue *q, struct fault_out *out);
/* UINT64_MAX when empty. */
uint64_t fault_queue_first_at(const struct fault_queue *q);
/* NULL when nothing is due at `now`. */
struct fault_out *fault_queue_pop(struct fault_queue *q, uint64_t now);
/* Frees everything in it. */
void fault_queue_clear(struct fault_queue *q);

#endif
