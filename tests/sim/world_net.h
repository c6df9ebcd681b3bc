/* A network in the deterministic world: ports whose datagrams take their time, get lost,
 * overtake each other and come twice, as the world's seed says, and, given a set of rules,
 * as its packet rules say before that (doc/fault-scripts.md). Loops on it run their real
 * code: leading, following, sleeping. Ports 7000 to 7009 are servers, 7001 excepted; a rule's
 * `client` is whoever talks to one. Any fiber. */
#ifndef UMAFS_TESTS_SIM_WORLD_NET_H
#define UMAFS_TESTS_SIM_WORLD_NET_H

#include "rx/net.h"
#include "tests/sim/world.h"
#include "tools/fault/set.h"

struct world_net;

struct world_link {
	uint64_t delay_us, jitter_us;
	unsigned loss, duplicate; /* per 1000 */
	unsigned refused;         /* per 1000: who sends to a port that is not there is told so */
};

struct world_net *world_net_new(struct world *w, const struct world_link *link);
void world_net_free(struct world_net *n); /* all its ports' loops are freed */
/* For rx_loop_config.net. port 0: any. */
struct rx_net *world_net_port(struct world_net *n, uint32_t ip, uint16_t port);
void world_net_set_link(struct world_net *n, const struct world_link *link);

/* The set outlives the network, or is replaced (NULL: none) before it goes. */
void world_net_set_faults(struct world_net *n, struct fault_set *set);
/* Whatever goes to or comes from this address is lost, until off. */
void world_net_cut(struct world_net *n, uint32_t ip, bool on);

struct world_net_stats {
	uint64_t sent, lost, delivered, rebound, icmp;
};
void world_net_stats(const struct world_net *n, struct world_net_stats *out);

#endif
