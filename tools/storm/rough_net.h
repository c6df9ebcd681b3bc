/* UDP that loses and doubles datagrams, or lets none through. */
#ifndef UMAFS_TOOLS_STORM_ROUGH_NET_H
#define UMAFS_TOOLS_STORM_ROUGH_NET_H

#include "rx/net.h"

/* What befalls the datagrams of one address; outlives the nets that have it. All but the
 * seed may be changed and read at any time, atomically. */
struct rough_way {
	uint64_t seed;
	uint32_t cut;             /* 1: nothing comes or goes */
	uint32_t loss, duplicate; /* per 1000; loss in both directions, duplicates of what is sent */
	uint64_t lost, doubled;   /* datagrams so far */
};

/* NULL with err. */
struct rx_net *rough_net_new(struct rx_env *env, uint32_t ip, uint16_t port, struct rough_way *way,
			     struct rx_error *err);

#endif
