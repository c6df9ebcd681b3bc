/* The network under a loop: datagrams of one local address, and sleeping until some come.
 * UDP with libevent is one (net_udp.c); a deterministic world brings another. None of
 * these is called with the loop's mutex held but kick and free.
 *
 * receive and wait belong to the thread that leads, send to the one that sends, one of
 * each at a time; kick comes from any thread. */
#ifndef UMAFS_RX_NET_H
#define UMAFS_RX_NET_H

#include "rx/rx.h"

enum { RX_BATCH = 32 };

struct rx_datagram {
	struct rx_addr addr; /* whose, or to whom */
	uint8_t *data;
	size_t len;
};

struct rx_net {
	const struct rx_net_ops *ops;
	uint16_t port;
	bool may_spin; /* polling receive for a moment can be quicker than wait */
	/* The loop's, which sets them: a peer cannot be reached, says the network, and quotes of what
	 * was sent there (len 0: nothing). Called by receive and send. */
	void (*unreachable)(void *arg, const struct rx_addr *peer, const uint8_t *quoted, size_t len);
	void *arg;
	uint64_t syscalls; /* atomic */
};

struct rx_net_ops {
	void (*free)(struct rx_net *net);
	/* What has come, at most RX_BATCH; valid until the next receive. Never blocks. */
	unsigned (*receive)(struct rx_net *net, struct rx_datagram in[RX_BATCH]);
	/* n <= RX_BATCH. What cannot be sent is lost, as on any network. */
	void (*send)(struct rx_net *net, const struct rx_datagram *out, unsigned n);
	/* Until something can be received, a kick since the last wait, or the deadline. True:
	 * there is something. */
	bool (*wait)(struct rx_net *net, uint64_t deadline_us);
	void (*kick)(struct rx_net *net);
};

/* net_udp.c. NULL with err. */
struct rx_net *rx_net_udp(struct rx_env *env, uint32_t bind_ip, uint16_t bind_port, struct rx_error *err);

#endif
