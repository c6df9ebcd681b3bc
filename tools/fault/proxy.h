/* The UDP side of umafs-wire: for every server a socket where clients send to, and for
 * every client at a server a socket of its own towards the server, so that the server
 * sees clients apart; what comes back on that one, replies and the server's own calls
 * alike, goes to that client. In between stands a link. One thread, libevent. */
#ifndef UMAFS_FAULT_PROXY_H
#define UMAFS_FAULT_PROXY_H

#include <event2/event.h>

#include "tools/fault/link.h"

struct fault_proxy;

struct fault_proxy_stats {
	uint64_t from_client, from_server; /* packets in */
	uint64_t bytes, sent, unsent, refused, dropped, clients;
};

/* The set must outlive the proxy; its releases reach the link (fault_set_on_release). */
struct fault_proxy *fault_proxy_new(struct event_base *base, struct fault_set *set);
void fault_proxy_free(struct fault_proxy *proxy);

/* Takes what arrives at `listen` to `server`. *bound (or NULL) gets the address with the
 * port chosen, where `listen` has port 0. */
int fault_proxy_map(struct fault_proxy *proxy, const struct rx_addr *listen, const struct rx_addr *server,
		    struct rx_addr *bound, struct rx_error *err);
/* From now on sockets towards servers are made in this network namespace (an fd of it,
 * which is the caller's); those towards clients stay where they are. */
int fault_proxy_upstream_netns(struct fault_proxy *proxy, int fd, struct rx_error *err);
/* A new port for every client, or for one (its address as in the trace, or "all"): how many. */
unsigned fault_proxy_rebind(struct fault_proxy *proxy, const char *client);
void fault_proxy_stats(const struct fault_proxy *proxy, struct fault_proxy_stats *out);

#endif
