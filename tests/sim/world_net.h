/* A network in the deterministic world: ports whose datagrams take their time, get lost,
 * overtake each other and come twice, as the world's seed says. Loops on it run their
 * real code: leading, following, sleeping. */
#ifndef UMAFS_TESTS_SIM_WORLD_NET_H
#define UMAFS_TESTS_SIM_WORLD_NET_H

#include "rx/net.h"
#include "tests/sim/world.h"

struct world_net;

struct world_link {
	uint64_t delay_us, jitter_us;
	unsigned loss, duplicate; /* per 1000 */
};

struct world_net *world_net_new(struct world *w, const struct world_link *link);
void world_net_free(struct world_net *n); /* all its ports' loops are freed */
/* For rx_loop_config.net. port 0: any. */
struct rx_net *world_net_port(struct world_net *n, uint32_t ip, uint16_t port);
void world_net_set_link(struct world_net *n, const struct world_link *link);

#endif
