/* The body of ACK packets: building and validated parsing, trailer included. Pure
 * functions. */
#ifndef UMAFS_RX_ACK_H
#define UMAFS_RX_ACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rx_ack_reason {
	RX_ACK_NONE = 0,
	RX_ACK_REQUESTED = 1,
	RX_ACK_DUPLICATE = 2,
	RX_ACK_OUT_OF_SEQUENCE = 3,
	RX_ACK_EXCEEDS_WINDOW = 4,
	RX_ACK_NOSPACE = 5,
	RX_ACK_PING = 6,
	RX_ACK_PING_RESPONSE = 7,
	RX_ACK_DELAY = 8,
	RX_ACK_IDLE = 9,
};

enum { RX_ACK_FIXED = 18, RX_ACK_PAD = 3, RX_ACK_MAX = RX_ACK_FIXED + 255 + RX_ACK_PAD + 16 };

struct rx_ack {
	uint32_t first, previous, serial;
	uint8_t reason, n;
	const uint8_t *acks;                    /* n bytes; bit 0 tells */
	unsigned words;                         /* trailer words that follow, 0..4 */
	uint32_t max_mtu, if_mtu, rwind, jumbo; /* after parsing: clamped to sane values */
};

/* False: shorter than it claims to be. */
bool rx_ack_parse(struct rx_ack *ack, const uint8_t *body, size_t len);
/* Writes the body with all four trailer words as they stand in *ack; its length. */
size_t rx_ack_build(const struct rx_ack *ack, uint8_t out[RX_ACK_MAX]);
const char *rx_ack_reason_name(unsigned reason);

#endif
