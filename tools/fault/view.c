/* Reads the header of a packet for the rules. Pure. */
#include "tools/fault/view.h"

#include "rx/ack.h"

void fault_packet_view(struct fault_packet_view *v, enum fault_dir dir, const struct rx_addr *client,
		       const struct rx_addr *server, const uint8_t *data, size_t len)
{
	struct rx_ack ack;

	*v = (struct fault_packet_view){ .dir = dir, .client = client, .server = server, .len = len };
	v->rx = rx_header_decode(&v->h, data, len);
	if (v->rx && v->h.type == RX_ACK && rx_ack_parse(&ack, data + RX_HEADER_SIZE, len - RX_HEADER_SIZE))
		v->reason = ack.reason;
}
