/* A clock that stands still until a test moves it, a rule set on it, and packets made by
 * hand: for the tests of fault rules. */
#ifndef UMAFS_TESTS_FAULT_WORLD_H
#define UMAFS_TESTS_FAULT_WORLD_H

#include "rx/ack.h"
#include "tests/unit.h"
#include "tools/fault/link.h"
#include "tools/fault/trace.h"

struct fault_world {
	struct rx_env env;
	struct rx_env_ops ops;
	uint64_t now;
	struct fault_set *set;
	struct fault_link link;
	struct rx_addr client, server;
	uint8_t packet[2048];
	size_t len;
};

static inline uint64_t fault_world_now(struct rx_env *env)
{
	return ((struct fault_world *)env)->now;
}

static inline void fault_world_start(struct fault_world *w, uint64_t seed)
{
	memset(w, 0, sizeof *w);
	w->ops = *rx_env_posix()->ops;
	w->ops.now_us = fault_world_now;
	w->env.ops = &w->ops;
	w->now = 1000000;
	w->client = rx_addr_ipv4(0x0a000001, 7001);
	w->server = rx_addr_ipv4(0x0a00000b, 7000);
	w->set = fault_set_new(&w->env, seed, NULL);
	fault_link_init(&w->link, w->set);
}

static inline void fault_world_stop(struct fault_world *w)
{
	fault_link_clear(&w->link);
	fault_set_free(w->set);
}

static inline void fault_world_rule(struct fault_world *w, const char *rule)
{
	struct rx_error err = { 0 };

	if (fault_set_add(w->set, rule, 1, NULL, &err))
		printf("%s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(err.code, 0);
}

/* A DATA packet of len bytes in w->packet. */
static inline void fault_world_data(struct fault_world *w, uint32_t seq, size_t len)
{
	struct rx_header h = { .epoch = 0x80000001,
			       .cid = 4,
			       .call = 1,
			       .seq = seq,
			       .serial = seq,
			       .type = RX_DATA,
			       .flags = RX_CLIENT_INITIATED,
			       .service = 1 };

	memset(w->packet, 0, sizeof w->packet);
	rx_header_encode(w->packet, &h);
	w->len = len;
}

static inline void fault_world_ack(struct fault_world *w, unsigned reason)
{
	struct rx_ack a = { .first = 1, .reason = (uint8_t)reason };
	struct rx_header h = { .epoch = 0x80000001, .cid = 4, .call = 1, .serial = 9, .type = RX_ACK, .service = 1 };

	rx_header_encode(w->packet, &h);
	w->len = RX_HEADER_SIZE + rx_ack_build(&a, w->packet + RX_HEADER_SIZE);
}

#endif
