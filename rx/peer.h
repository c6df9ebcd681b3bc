/* What an endpoint knows of one remote address: round-trip time, MTU, liveness and
 * how often it was refused. Reference counted by connections; endpoint's lock. */
#ifndef UMAFS_RX_PEER_H
#define UMAFS_RX_PEER_H

#include "rx/rx.h"

struct rx_endpoint;

struct rx_peer {
	struct rx_peer *next; /* hash chain */
	struct rx_addr addr;
	unsigned refs;
	uint64_t srtt_us, rttvar_us; /* 0: no sample yet */
	uint64_t rtt_samples, rtt_at;
	uint64_t heard_us;  /* last packet from there; 0 = never */
	unsigned mtu;       /* largest packet to send there */
	unsigned cwnd_hint; /* of the last call that ended well */
	uint64_t cwnd_at;
	uint64_t sent, resent, bytes_sent, bytes_received;
};

struct rx_peer *rx_peer_get(struct rx_endpoint *ep, const struct rx_addr *addr);
void rx_peer_put(struct rx_endpoint *ep, struct rx_peer *peer);
/* NULL when no connection leads there. */
struct rx_peer *rx_peer_find(struct rx_endpoint *ep, const struct rx_addr *addr);
void rx_peer_rtt_sample(struct rx_peer *peer, uint64_t now_us, uint64_t rtt_us);
/* Retransmission timeout without backoff. */
uint64_t rx_peer_rto_us(const struct rx_peer *peer);
/* The sizes an ACK told. */
void rx_peer_mtu(struct rx_peer *peer, uint32_t max_mtu);
void rx_peer_cwnd_store(struct rx_peer *peer, uint64_t now_us, unsigned cwnd);
unsigned rx_peer_cwnd_hint(const struct rx_peer *peer, uint64_t now_us);

#endif
