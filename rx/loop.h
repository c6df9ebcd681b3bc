/* Inside the binding of an endpoint to a network: loop.c (who leads), blocking.c (the
 * calls that wait), service.c (handlers). One mutex guards the endpoint and everything
 * here except what is marked as the leader's. */
#ifndef UMAFS_RX_LOOP_H
#define UMAFS_RX_LOOP_H

#include "rx/endpoint.h"
#include "rx/net.h"

enum { RX_STAGE = 8 * RX_OUTPUT_MAX };

/* What call->user points to starts with its kind. */
enum rx_user_kind { RX_USER_WAITER, RX_USER_INLINE };

/* One thread that waits: for its call, or for a channel of conn. On its stack. */
struct rx_waiter {
	enum rx_user_kind kind;
	bool done, parked;
	struct rx_cond cond;           /* valid while parked */
	struct rx_waiter *next, *prev; /* among the parked */
	struct rx_conn *conn;
	struct rx_waiter *chan_next;
};

struct rx_service;

struct rx_loop {
	struct rx_env *env;
	struct rx_mutex mutex;
	struct rx_endpoint *ep;
	struct rx_net *net; /* owned */
	bool leading, asleep, sending, stopping;
	struct rx_waiter *leader; /* NULL: nobody, or the background thread */
	uint64_t sleep_until, idle_since, lead_count;
	unsigned callers;
	struct rx_waiter *parked_head, *parked_tail;
	struct rx_waiter *chan_waiters;
	struct rx_thread *background;
	struct rx_cond background_cond;
	bool background_deep;
	struct rx_service *services;
	struct rx_inline *inline_head, *inline_tail;
	char version[65];
	int64_t clock_ahead_s;

	/* The leader's alone. */
	struct rx_datagram in[RX_BATCH];
	unsigned in_count;
	unsigned spin_misses;
	uint64_t spin_pause_until;
	long involuntary;

	/* The sender's alone (`sending`). */
	struct rx_datagram out[RX_BATCH];
	uint8_t *out_data; /* RX_STAGE */

	uint64_t wakeups; /* atomic */
};

/* loop.c; mutex held */
void rx_loop_wait(struct rx_loop *loop, struct rx_waiter *w);
void rx_loop_wake(struct rx_loop *loop, struct rx_waiter *w);
/* Sends what there is to send; may drop and retake the mutex. */
void rx_loop_flush(struct rx_loop *loop);
/* The leader sleeps too long for the endpoint's deadline: wakes it. */
void rx_loop_kick(struct rx_loop *loop);

static inline struct rx_loop *rx_loop_of(const struct rx_conn *conn)
{
	return conn->ep->cfg.up_arg;
}

/* service.c; mutex held */
bool rx_service_incoming(struct rx_loop *loop, struct rx_call *call);
void rx_service_progress(struct rx_loop *loop, struct rx_call *call);
/* Runs inline handlers that are due; drops the mutex around each. */
void rx_service_run_inline(struct rx_loop *loop);
void rx_service_stop(struct rx_loop *loop);
/* A worker of the call's service waits, or no longer. */
void rx_service_wait(struct rx_call *call, bool begins);
/* ... no mutex: the handler's side of an inline call */
ptrdiff_t rx_inline_read(struct rx_call *call, void *buf, size_t len);
int rx_inline_write(struct rx_call *call, const void *buf, size_t len);

#endif
