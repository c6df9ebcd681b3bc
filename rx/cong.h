/* Congestion control of one call's sending direction, counted in packets (NewReno).
 * Knows neither packets nor clocks; call_send.c tells it what happened. */
#ifndef UMAFS_RX_CONG_H
#define UMAFS_RX_CONG_H

#include <stdbool.h>
#include <stdint.h>

enum { RX_CWND_INITIAL = 4, RX_CWND_MIN = 2, RX_CWND_MAX = 255 };

struct rx_cong {
	unsigned cwnd, ssthresh, credit;
	uint32_t recover; /* recovery ends when this seq is acknowledged */
	bool recovering;
};

void rx_cong_init(struct rx_cong *c, unsigned hint);
/* n packets newly acknowledged; `top` is the first seq not acknowledged cumulatively.
 * limited: the congestion window, not the application, held the sender back. */
void rx_cong_acked(struct rx_cong *c, unsigned n, uint32_t first, bool limited);
/* A packet was found lost while others still arrive; next: next new seq. */
void rx_cong_lost(struct rx_cong *c, unsigned in_flight, uint32_t next);
/* Nothing arrives any more. */
void rx_cong_timeout(struct rx_cong *c, unsigned in_flight, uint32_t next);

#endif
