/* Deadlines of an endpoint: a binary heap of timers that live inside their owners.
 * Equal deadlines fire in the order in which they were armed. Endpoint's lock. */
#ifndef UMAFS_RX_TIMER_H
#define UMAFS_RX_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rx_timer {
	uint64_t at;    /* UINT64_MAX: not armed */
	uint64_t order; /* tie-breaker */
	size_t pos;     /* 1-based place in the heap, 0 = not in it */
	void (*fire)(struct rx_timer *t, uint64_t now_us);
};

struct rx_timers {
	struct rx_timer **heap; /* 1-based */
	size_t n, cap, owners;  /* owners: timers that there is room for */
	uint64_t order;
};

/* Makes room for a timer, so that it can always be set. False: no memory. */
bool rx_timer_init(struct rx_timers *ts, struct rx_timer *t, void (*fire)(struct rx_timer *t, uint64_t now_us));
void rx_timer_done(struct rx_timers *ts, struct rx_timer *t);
/* Sets the deadline, later or earlier. */
void rx_timer_set(struct rx_timers *ts, struct rx_timer *t, uint64_t at);
/* Only ever moves it to an earlier time; cheap when it is early enough already. Owners
 * whose timer fires too early look at their deadlines and set it again. */
void rx_timer_by(struct rx_timers *ts, struct rx_timer *t, uint64_t at);
void rx_timer_stop(struct rx_timers *ts, struct rx_timer *t);
uint64_t rx_timers_next(const struct rx_timers *ts);
void rx_timers_run(struct rx_timers *ts, uint64_t now_us);
void rx_timers_clear(struct rx_timers *ts);

#endif
