/* NewReno in packets: slow start, avoidance, one reduction per window of losses, and a
 * restart from the minimum after a timeout. Called by call_send.c only. */
#include "rx/cong.h"

#include "rx/packet.h"

static unsigned half(unsigned in_flight)
{
	return in_flight / 2 > RX_CWND_MIN ? in_flight / 2 : RX_CWND_MIN;
}

void rx_cong_init(struct rx_cong *c, unsigned hint)
{
	*c = (struct rx_cong){
		.cwnd = hint > RX_CWND_INITIAL ? hint : RX_CWND_INITIAL,
		.ssthresh = RX_CWND_MAX,
	};
}

void rx_cong_acked(struct rx_cong *c, unsigned n, uint32_t first, bool limited)
{
	if (c->recovering) {
		if (rx_seq_diff(first, c->recover) < 0)
			return;
		c->recovering = false;
	}
	if (!limited)
		return;
	if (c->cwnd < c->ssthresh) {
		c->cwnd += n;
		if (c->cwnd > c->ssthresh)
			c->cwnd = c->ssthresh;
	} else {
		c->credit += n;
		if (c->credit >= c->cwnd) {
			c->credit -= c->cwnd;
			c->cwnd++;
		}
	}
	if (c->cwnd > RX_CWND_MAX)
		c->cwnd = RX_CWND_MAX;
}

void rx_cong_lost(struct rx_cong *c, unsigned in_flight, uint32_t next)
{
	if (c->recovering)
		return;
	c->recovering = true;
	c->recover = next;
	c->ssthresh = half(in_flight);
	c->cwnd = c->ssthresh;
	c->credit = 0;
}

void rx_cong_timeout(struct rx_cong *c, unsigned in_flight, uint32_t next)
{
	if (!c->recovering)
		c->ssthresh = half(in_flight);
	c->cwnd = RX_CWND_MIN;
	c->credit = 0;
	/* Slow start resumes at once: there is nothing left in flight to wait for. */
	c->recovering = false;
	c->recover = next;
}
