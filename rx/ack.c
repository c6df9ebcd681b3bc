/* ACK bodies. Everything a peer can put into the trailer is clamped here, before
 * anybody calculates with it. Pure functions, any thread. */
#include "rx/ack.h"

#include <string.h>

#include "rx/packet.h"

enum { MTU_MAX = 16384, JUMBO_MAX = 6, WINDOW_MAX = 255 };

static uint32_t clamp(uint32_t v, uint32_t low, uint32_t high)
{
	return v < low ? low : v > high ? high : v;
}

bool rx_ack_parse(struct rx_ack *ack, const uint8_t *body, size_t len)
{
	const uint8_t *t;

	if (len < RX_ACK_FIXED || len < (size_t)RX_ACK_FIXED + body[17])
		return false;
	*ack = (struct rx_ack){
		.first = rx_get32(body + 4),
		.previous = rx_get32(body + 8),
		.serial = rx_get32(body + 12),
		.reason = body[16],
		.n = body[17],
		.acks = body + RX_ACK_FIXED,
	};
	t = body + RX_ACK_FIXED + ack->n + RX_ACK_PAD;
	while (ack->words < 4 && len >= (size_t)RX_ACK_FIXED + ack->n + RX_ACK_PAD + 4u * (ack->words + 1))
		ack->words++;
	if (ack->words >= 1)
		ack->max_mtu = clamp(rx_get32(t), RX_PACKET_MTU_MIN, MTU_MAX);
	if (ack->words >= 2)
		ack->if_mtu = clamp(rx_get32(t + 4), RX_PACKET_MTU_MIN, MTU_MAX);
	if (ack->words >= 3)
		ack->rwind = clamp(rx_get32(t + 8), 1, WINDOW_MAX);
	if (ack->words >= 4)
		ack->jumbo = clamp(rx_get32(t + 12), 1, JUMBO_MAX);
	return true;
}

size_t rx_ack_build(const struct rx_ack *ack, uint8_t out[RX_ACK_MAX])
{
	uint8_t *t = out + RX_ACK_FIXED + ack->n + RX_ACK_PAD;

	memset(out, 0, RX_ACK_FIXED);
	rx_put32(out + 4, ack->first);
	rx_put32(out + 8, ack->previous);
	rx_put32(out + 12, ack->serial);
	out[16] = ack->reason;
	out[17] = ack->n;
	if (ack->n)
		memcpy(out + RX_ACK_FIXED, ack->acks, ack->n);
	memset(t - RX_ACK_PAD, 0, RX_ACK_PAD);
	rx_put32(t, ack->max_mtu);
	rx_put32(t + 4, ack->if_mtu);
	rx_put32(t + 8, ack->rwind);
	rx_put32(t + 12, ack->jumbo);
	return (size_t)RX_ACK_FIXED + ack->n + RX_ACK_PAD + 16;
}

const char *rx_ack_reason_name(unsigned reason)
{
	static const char *const names[] = {
		"?",       "REQUESTED", "DUPLICATE",     "OUT_OF_SEQUENCE", "EXCEEDS_WINDOW",
		"NOSPACE", "PING",      "PING_RESPONSE", "DELAY",           "IDLE"
	};

	return reason < sizeof names / sizeof *names ? names[reason] : "?";
}
