/* Each action on packets, under a clock that the test moves: what comes out, when, in
 * which order, with which bytes. */
#include "tests/fault_world.h"

enum { FLOW = 5 };

static bool input(struct fault_world *w, uint32_t seq, enum fault_dir dir)
{
	fault_world_data(w, seq, 100);
	return fault_link_input(&w->link, w->now, FLOW, dir, &w->client, &w->server, w->packet, w->len);
}

/* What comes out until `until` as "seq@ms seq@ms", the clock going along. */
static const char *output(struct fault_world *w, uint64_t until_us)
{
	static char text[1000];
	uint64_t began = w->now;
	size_t n = 0;

	text[0] = '\0';
	for (;;) {
		struct fault_out *o = fault_link_output(&w->link, w->now);

		if (o) {
			if (o->kind == FAULT_OUT_PACKET)
				n += (size_t)snprintf(text + n, sizeof text - n, "%u@%g ", rx_get32(o->data + 12),
						      (double)(w->now - began) / 1000);
			else
				n += (size_t)snprintf(text + n, sizeof text - n, "%s ",
						      o->kind == FAULT_OUT_REBIND ? "rebind" : "icmp");
			CU_ASSERT_EQUAL(o->flow, FLOW);
			free(o);
		} else if (fault_link_deadline(&w->link) <= began + until_us) {
			w->now = fault_link_deadline(&w->link);
		} else {
			break;
		}
	}
	w->now = began + until_us;
	return text;
}

/* Five packets at once through one rule. */
static void five(const char *rule, const char *expected)
{
	struct fault_world w;
	const char *got;

	fault_world_start(&w, 3);
	fault_world_rule(&w, rule);
	for (uint32_t i = 1; i <= 5; i++) {
		if (input(&w, i, FAULT_FROM_CLIENT)) {
			struct fault_out *o;

			/* Goes on at once: show it in its place. */
			CU_ASSERT_PTR_NULL(o = fault_link_output(&w.link, w.now));
			free(o);
		}
	}
	got = output(&w, 10000000);
	if (strcmp(got, expected))
		printf("\n    %s: %s, not %s ", rule, got, expected);
	CU_ASSERT_STRING_EQUAL(got, expected);
	fault_world_stop(&w);
}

static void test_idle(void)
{
	struct fault_world w;

	fault_world_start(&w, 1);
	CU_ASSERT(fault_link_idle(&w.link));
	CU_ASSERT(input(&w, 1, FAULT_FROM_CLIENT));
	CU_ASSERT_EQUAL(fault_link_deadline(&w.link), UINT64_MAX);
	fault_world_rule(&w, "packet seq 9 -> delay 1s");
	CU_ASSERT(!fault_link_idle(&w.link));
	CU_ASSERT(input(&w, 1, FAULT_FROM_CLIENT));
	CU_ASSERT(!input(&w, 9, FAULT_FROM_CLIENT));
	CU_ASSERT_EQUAL(fault_set_remove(w.set, "r1", NULL), 0);
	CU_ASSERT(!fault_link_idle(&w.link));
	CU_ASSERT_STRING_EQUAL(output(&w, 1000000), "9@1000 ");
	CU_ASSERT(fault_link_idle(&w.link));
	fault_world_stop(&w);
}

static void test_loss(void)
{
	five("packet -> drop", "");
	five("packet -> partition", "");
	five("packet seq 1 -> burst 5", "");
}

static void test_later(void)
{
	five("packet -> delay 20ms", "1@20 2@20 3@20 4@20 5@20 ");
	five("packet -> duplicate", "1@0 1@0 2@0 2@0 3@0 3@0 4@0 4@0 5@0 5@0 ");
	five("packet -> duplicate 2 gap 3ms", "1@0 2@0 3@0 4@0 5@0 1@3 2@3 3@3 4@3 5@3 1@6 2@6 3@6 4@6 5@6 ");
	/* 100 bytes at 10,000 a second are 10 ms each; three fit into the queue. */
	five("packet -> limit 10000 queue 300", "1@10 2@20 3@30 ");
	five("packet seq 2 -> reorder 2 within 1s", "3@0 4@0 2@0 5@0 ");
	five("packet seq 4 -> reorder 2 within 1s", "5@0 4@1000 ");
}

static void test_jitter(void)
{
	struct fault_world w;
	char first[1000];

	fault_world_start(&w, 3);
	fault_world_rule(&w, "packet -> jitter 10ms");
	for (uint32_t i = 1; i <= 20; i++)
		CU_ASSERT(!input(&w, i, FAULT_FROM_CLIENT));
	CU_ASSERT(fault_link_deadline(&w.link) >= w.now);
	strcpy(first, output(&w, 10000));
	CU_ASSERT_EQUAL(fault_link_deadline(&w.link), UINT64_MAX);
	CU_ASSERT_STRING_NOT_EQUAL(first, "");
	fault_world_stop(&w);
	fault_world_start(&w, 3);
	fault_world_rule(&w, "packet -> jitter 10ms");
	for (uint32_t i = 1; i <= 20; i++)
		input(&w, i, FAULT_FROM_CLIENT);
	CU_ASSERT_STRING_EQUAL(output(&w, 10000), first);
	fault_world_stop(&w);
}

static void test_hold(void)
{
	struct fault_world w;

	fault_world_start(&w, 1);
	fault_world_rule(&w, "packet seq 1-2 -> hold gate");
	CU_ASSERT(!input(&w, 1, FAULT_FROM_CLIENT) && !input(&w, 2, FAULT_FROM_CLIENT));
	CU_ASSERT(!input(&w, 3, FAULT_FROM_CLIENT));
	CU_ASSERT_STRING_EQUAL(output(&w, 5000000), "3@0 ");
	fault_link_release(&w.link, w.now, "other");
	CU_ASSERT_STRING_EQUAL(output(&w, 5000000), "");
	fault_link_release(&w.link, w.now, "gate");
	CU_ASSERT(!input(&w, 2, FAULT_FROM_CLIENT));
	CU_ASSERT_STRING_EQUAL(output(&w, 5000000), "1@0 2@0 ");
	fault_world_stop(&w); /* one is still held: it is lost, and freed */
}

static void test_partition(void)
{
	struct fault_world w;

	fault_world_start(&w, 1);
	fault_world_rule(&w, "packet seq 3 times 1 -> partition 2s");
	CU_ASSERT(input(&w, 1, FAULT_FROM_CLIENT));
	CU_ASSERT(!input(&w, 3, FAULT_FROM_CLIENT));
	CU_ASSERT(!input(&w, 1, FAULT_FROM_SERVER) && !input(&w, 4, FAULT_FROM_CLIENT));
	CU_ASSERT_EQUAL(w.link.dropped, 3);
	w.now += 2000000;
	CU_ASSERT(input(&w, 1, FAULT_FROM_SERVER) && input(&w, 3, FAULT_FROM_CLIENT));
	fault_world_stop(&w);
}

static void one_out(struct fault_world *w, struct fault_out **o)
{
	*o = fault_link_output(&w->link, w->now);
	CU_ASSERT_PTR_NOT_NULL_FATAL(*o);
}

static void test_bytes(void)
{
	struct fault_world w;
	struct fault_out *o;
	unsigned bits = 0;

	fault_world_start(&w, 1);
	fault_world_rule(&w, "packet seq 1 -> truncate 20");
	fault_world_rule(&w, "packet seq 2 -> flip 1");
	CU_ASSERT(!input(&w, 1, FAULT_FROM_CLIENT));
	one_out(&w, &o);
	CU_ASSERT(o->len == 20 && !memcmp(o->data, w.packet, 20));
	free(o);
	CU_ASSERT(!input(&w, 2, FAULT_FROM_CLIENT));
	one_out(&w, &o);
	CU_ASSERT_EQUAL(o->len, 100);
	for (size_t i = 0; i < o->len; i++)
		bits += (unsigned)__builtin_popcount(o->data[i] ^ w.packet[i]);
	CU_ASSERT_EQUAL(bits, 1);
	free(o);
	fault_world_stop(&w);
}

static void test_mtu(void)
{
	struct fault_world w;
	struct fault_out *o;

	fault_world_start(&w, 1);
	fault_world_rule(&w, "packet from client -> mtu 128 icmp");
	fault_world_rule(&w, "packet from server -> mtu 127");
	CU_ASSERT(!input(&w, 1, FAULT_FROM_CLIENT));
	CU_ASSERT_STRING_EQUAL(output(&w, 1000), "1@0 ");
	fault_world_data(&w, 1, 101);
	CU_ASSERT(!fault_link_input(&w.link, w.now, FLOW, FAULT_FROM_CLIENT, &w.client, &w.server, w.packet, w.len));
	one_out(&w, &o);
	CU_ASSERT(o->kind == FAULT_OUT_ICMP && o->mtu == 128 && o->len == 101 && o->dir == FAULT_FROM_CLIENT);
	free(o);
	CU_ASSERT(!input(&w, 2, FAULT_FROM_SERVER));
	CU_ASSERT_STRING_EQUAL(output(&w, 1000), "");
	CU_ASSERT_EQUAL(w.link.dropped, 2);
	fault_world_stop(&w);
}

static void test_together(void)
{
	struct fault_world w;

	five("packet seq 2 -> rebind", "rebind 2@0 3@0 4@0 5@0 ");
	fault_world_start(&w, 1);
	fault_world_rule(&w, "packet seq 4 -> pass");
	fault_world_rule(&w, "packet -> delay 5ms");
	fault_world_rule(&w, "packet seq 2 -> drop");
	fault_world_rule(&w, "packet -> delay 5ms");
	for (uint32_t i = 1; i <= 3; i++)
		CU_ASSERT(!input(&w, i, FAULT_FROM_CLIENT));
	CU_ASSERT(input(&w, 4, FAULT_FROM_CLIENT));
	CU_ASSERT_STRING_EQUAL(output(&w, 20000), "1@10 3@10 ");
	fault_world_stop(&w);
}

UNIT_MAIN("fault_link", { "an empty set; what does not fire", test_idle }, { "drop, burst, partition", test_loss },
	  { "delay, duplicate, limit, reorder", test_later }, { "jitter, twice the same", test_jitter },
	  { "hold and release", test_hold }, { "partition for a time", test_partition },
	  { "truncate, flip", test_bytes }, { "mtu with and without ICMP", test_mtu },
	  { "rebind; several rules; pass", test_together })
