/* UDP that loses and doubles datagrams, lets none through, and does what packet rules say
 * (doc/fault-scripts.md), as if the injector stood between this client and its servers. */
#ifndef UMAFS_TOOLS_STORM_ROUGH_NET_H
#define UMAFS_TOOLS_STORM_ROUGH_NET_H

#include "rx/net.h"
#include "tools/fault/set.h"

/* What befalls the datagrams of one address; outlives the nets that have it. Numbers behind
 * `known` may be changed and read at any time, atomically. */
struct rough_way {
	uint64_t seed;
	struct fault_set *rules;  /* its packet rules count; not owned */
	struct rx_addr known;     /* the client's address, as rules have it */
	uint32_t cut;             /* 1: nothing comes or goes */
	uint32_t loss, duplicate; /* per 1000; loss in both directions, duplicates of what is sent */
	uint64_t lost, doubled;   /* datagrams so far, rules aside */
};

/* NULL with err. */
struct rx_net *rough_net_new(struct rx_env *env, uint32_t ip, uint16_t port, struct rough_way *way,
			     struct rx_error *err);

#endif
