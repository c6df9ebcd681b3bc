/* What rules see: one packet on the wire, or one call at a server. Views point into the
 * caller's data and own nothing. */
#ifndef UMAFS_FAULT_VIEW_H
#define UMAFS_FAULT_VIEW_H

#include "rx/packet.h"
#include "rx/rx.h"
#include "tools/fault/rule.h"

struct fault_packet_view {
	enum fault_dir dir;
	const struct rx_addr *client, *server;
	size_t len;
	bool rx;            /* false: no RX packet; only from, size, client and server can match */
	struct rx_header h; /* of the first packet of a jumbogram */
	unsigned reason;    /* of an ACK, else 0 */
};

/* `server` may be NULL: not known. Never fails: what is no RX packet has rx == false. */
void fault_packet_view(struct fault_packet_view *v, enum fault_dir dir, const struct rx_addr *client,
		       const struct rx_addr *server, const uint8_t *data, size_t len);

/* A call as its server sees it before it is carried out. Unknown: NULL, 0. */
struct fault_rpc {
	const char *name;        /* as in cm/afs_*.def */
	const char *user;        /* "anonymous" without a ticket */
	const char *volume_name; /* as a second name of fid_volume */
	uint32_t volume, vnode, unique;
	struct rx_addr client, server;
};

#endif
