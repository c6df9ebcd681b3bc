/* What packet rules do to the datagrams of a world's network, one rule at a time: a client
 * sends ten packets to a server, which answers each, and what arrives where is written down. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rx/packet.h"
#include "tests/sim/world_net.h"
#include "tests/unit.h"

enum { PACKETS = 10, CLIENT_IP = 0x0a000002, SERVER_IP = 0x0a000001, GAP_US = 1000 };

struct scene {
	struct world *world;
	struct rx_env *env;
	struct world_net *net;
	struct fault_set *set;
	struct rx_net *client, *server;
	const char *rule;
	bool cut;
	unsigned refused;
	char got[512]; /* what arrived: "c3" at the client, "s3" at the server, "@" after another port */
	uint16_t seen_port;
};

static void send_packet(struct rx_net *from, uint32_t ip, uint16_t port, uint32_t serial, bool client)
{
	uint8_t data[200] = { 0 };
	struct rx_header h = { .epoch = 1, .cid = 4, .call = 1, .seq = serial, .serial = serial, .type = RX_DATA };
	struct rx_datagram d = { rx_addr_ipv4(ip, port), data, sizeof(data) };

	h.flags = client ? RX_CLIENT_INITIATED : 0;
	rx_header_encode(data, &h);
	from->ops->send(from, &d, 1);
}

static void note(struct scene *s, char where, const struct rx_datagram *d)
{
	struct rx_header h;
	size_t at = strlen(s->got);

	if (where == 's' && d->addr.port != s->seen_port) {
		if (s->seen_port)
			s->got[at++] = '@';
		s->seen_port = d->addr.port;
	}
	if (rx_header_decode(&h, d->data, d->len))
		snprintf(s->got + at, sizeof(s->got) - at, "%c%u%s ", where, h.serial, d->len < 200 ? "<" : "");
	else
		snprintf(s->got + at, sizeof(s->got) - at, "%c? ", where);
}

/* Whoever has something receives it; the server answers. */
static void poll_both(struct scene *s)
{
	struct rx_datagram in[RX_BATCH];
	struct rx_header h;
	unsigned n = s->server->ops->receive(s->server, in);

	for (unsigned i = 0; i < n; i++) {
		note(s, 's', &in[i]);
		if (rx_header_decode(&h, in[i].data, in[i].len))
			send_packet(s->server, rx_addr_ip(&in[i].addr), in[i].addr.port, h.serial, false);
	}
	n = s->client->ops->receive(s->client, in);
	for (unsigned i = 0; i < n; i++)
		note(s, 'c', &in[i]);
}

static void on_unreachable(void *arg, const struct rx_addr *peer, const uint8_t *quoted, size_t len)
{
	(void)peer;
	(void)quoted;
	(void)len;
	((struct scene *)arg)->refused++;
}

static void conduct(void *arg)
{
	struct scene *s = arg;

	s->client = world_net_port(s->net, CLIENT_IP, 7001);
	s->server = world_net_port(s->net, SERVER_IP, 7000);
	s->client->unreachable = on_unreachable;
	s->client->arg = s;
	s->set = fault_set_new(s->env, 1, NULL);
	if (s->rule)
		CU_ASSERT_EQUAL(fault_set_add(s->set, s->rule, 1, NULL, NULL), 0);
	world_net_set_faults(s->net, s->set);
	world_net_cut(s->net, CLIENT_IP, s->cut);
	for (uint32_t i = 1; i <= PACKETS; i++) {
		send_packet(s->client, SERVER_IP, 7000, i, true);
		for (unsigned k = 0; k < 4; k++) {
			world_sleep_us(s->world, GAP_US / 4);
			poll_both(s);
		}
	}
	fault_set_release(s->set, "gate");
	world_net_cut(s->net, CLIENT_IP, false);
	for (unsigned i = 0; i < 40; i++) {
		world_sleep_us(s->world, GAP_US);
		poll_both(s);
	}
	send_packet(s->client, SERVER_IP, 7005, 11, true); /* nobody is there */
	s->client->ops->free(s->client);
	s->server->ops->free(s->server);
}

static void play(struct scene *s)
{
	const struct world_link link = { .delay_us = 100, .refused = 1000 };

	s->world = world_new(1);
	s->env = world_env(s->world);
	s->net = world_net_new(s->world, &link);
	CU_ASSERT(world_run(s->world, conduct, s));
	world_net_free(s->net);
	fault_set_free(s->set);
	world_free(s->world);
}

#define EXPECT(rule_text, arrives)                                                                                     \
	do {                                                                                                           \
		struct scene scene = { .rule = (rule_text) };                                                          \
		play(&scene);                                                                                          \
		if (strcmp(scene.got, (arrives)))                                                                      \
			printf("\n    %s: %s\n", (rule_text) ? (rule_text) : "no rule", scene.got);                    \
		CU_ASSERT_STRING_EQUAL(scene.got, (arrives));                                                          \
	} while (0)

static void test_rules(void)
{
	EXPECT(NULL, "s1 c1 s2 c2 s3 c3 s4 c4 s5 c5 s6 c6 s7 c7 s8 c8 s9 c9 s10 c10 ");
	EXPECT("packet from client nth 2-9 -> drop", "s1 c1 s10 c10 ");
	EXPECT("packet from server nth 2-9 -> drop", "s1 c1 s2 s3 s4 s5 s6 s7 s8 s9 s10 c10 ");
	EXPECT("packet seq 3 -> burst 3", "s1 c1 s2 c2 s4 c4 s5 c5 s6 c6 s7 c7 s8 c8 s9 c9 s10 c10 ");
	EXPECT("packet client 10.0.0.2:7001 nth 3 -> partition 6ms", "s1 c1 s8 c8 s9 c9 s10 c10 ");
	EXPECT("packet client 10.0.0.3 -> drop", "s1 c1 s2 c2 s3 c3 s4 c4 s5 c5 s6 c6 s7 c7 s8 c8 s9 c9 s10 c10 ");
	EXPECT("packet from client seq 2 -> duplicate 2 gap 3ms",
	       "s1 c1 s2 c2 s3 c3 s4 c4 s2 s5 c2 c5 s6 c6 s7 c7 s2 s8 c2 c8 s9 c9 s10 c10 ");
	EXPECT("packet from client seq 2 -> reorder 3 within 20ms",
	       "s1 c1 s3 c3 s4 c4 s5 s2 c5 c2 s6 c6 s7 c7 s8 c8 s9 c9 s10 c10 ");
	EXPECT("packet from client seq 2 -> hold gate",
	       "s1 c1 s3 c3 s4 c4 s5 c5 s6 c6 s7 c7 s8 c8 s9 c9 s10 c10 s2 c2 ");
	EXPECT("packet from client seq 4- -> delay 20ms",
	       "s1 c1 s2 c2 s3 c3 s4 s5 c4 s6 c5 s7 c6 s8 c7 s9 c8 s10 c9 c10 ");
	EXPECT("packet seq 2- -> mtu 200", "s1 c1 ");
	EXPECT("packet seq 2- -> mtu 200 icmp", "s1 c1 ");
	EXPECT("packet from client nth 2 -> truncate 10",
	       "s1 c1 s? s3 c3 s4 c4 s5 c5 s6 c6 s7 c7 s8 c8 s9 c9 s10 c10 ");
	EXPECT("packet from server seq 9- -> truncate 30",
	       "s1 c1 s2 c2 s3 c3 s4 c4 s5 c5 s6 c6 s7 c7 s8 c8 s9 c9< s10 c10< ");
	/* The old mapping is gone: what the server sends there, if it had answered late, is lost. */
	EXPECT("packet from client nth 5 -> rebind", "s1 c1 s2 c2 s3 c3 s4 c4 @s5 c5 s6 c6 s7 c7 s8 c8 s9 c9 s10 c10 ");
}

static void test_cut(void)
{
	struct scene s = { .cut = true };

	play(&s);
	CU_ASSERT_STRING_EQUAL(s.got, "");
}

static void test_refused(void)
{
	struct scene s = { 0 };

	play(&s);
	CU_ASSERT_EQUAL(s.refused, 1);
}

UNIT_MAIN("world net", { "packet rules act in the world", test_rules }, { "who is cut off hears nothing", test_cut },
	  { "who sends to nobody is told", test_refused })
