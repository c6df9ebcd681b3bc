/* See world_net.h. One lock of the last rank; what flies to a port is sorted by arrival. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world_net.h"

struct flying {
	struct flying *next;
	uint64_t at;
	struct rx_addr from;
	size_t len;
	uint8_t data[];
};

struct port {
	struct rx_net base;
	struct world_net *net;
	struct port *next;
	struct rx_addr addr;
	struct rx_cond news;
	struct flying *coming, *given; /* given: valid until the next receive */
	bool kicked;
};

struct world_net {
	struct world *world;
	struct rx_env *env;
	struct rx_mutex lock;
	struct world_link link;
	struct port *ports;
	uint16_t last_port;
};

static struct port *port_of(struct rx_net *net)
{
	return (struct port *)net; /* base is its first member */
}

static bool happens(struct world_net *n, unsigned per_1000)
{
	return per_1000 && world_random(n->world) % 1000 < per_1000;
}

static void launch(struct world_net *n, const struct port *from, struct port *to, const struct rx_datagram *d)
{
	struct flying *f = malloc(sizeof(*f) + d->len), **p = &to->coming;

	f->at = rx_now_us(n->env) + n->link.delay_us;
	if (n->link.jitter_us)
		f->at += world_random(n->world) % n->link.jitter_us;
	f->from = from->addr;
	f->len = d->len;
	memcpy(f->data, d->data, d->len);
	while (*p && (*p)->at <= f->at)
		p = &(*p)->next;
	f->next = *p;
	*p = f;
	rx_cond_signal(&to->news);
}

static void send_all(struct rx_net *net, const struct rx_datagram *out, unsigned count)
{
	struct port *from = port_of(net);
	struct world_net *n = from->net;

	rx_mutex_lock(&n->lock);
	for (unsigned i = 0; i < count; i++) {
		struct port *to = n->ports;

		while (to && !rx_addr_equal(&to->addr, &out[i].addr))
			to = to->next;
		if (!to || happens(n, n->link.loss))
			continue;
		launch(n, from, to, &out[i]);
		if (happens(n, n->link.duplicate))
			launch(n, from, to, &out[i]);
	}
	rx_mutex_unlock(&n->lock);
}

static void drop(struct flying **list)
{
	while (*list) {
		struct flying *f = *list;

		*list = f->next;
		free(f);
	}
}

static unsigned receive(struct rx_net *net, struct rx_datagram in[RX_BATCH])
{
	struct port *p = port_of(net);
	unsigned count = 0;

	rx_mutex_lock(&p->net->lock);
	drop(&p->given);
	while (count < RX_BATCH && p->coming && p->coming->at <= rx_now_us(p->net->env)) {
		struct flying *f = p->coming;

		p->coming = f->next;
		f->next = p->given;
		p->given = f;
		in[count++] = (struct rx_datagram){ f->from, f->data, f->len };
	}
	rx_mutex_unlock(&p->net->lock);
	return count;
}

static bool wait_until(struct rx_net *net, uint64_t deadline_us)
{
	struct port *p = port_of(net);
	bool readable = false;

	rx_mutex_lock(&p->net->lock);
	while (!p->kicked && !readable && rx_now_us(p->net->env) < deadline_us) {
		uint64_t until = p->coming && p->coming->at < deadline_us ? p->coming->at : deadline_us;

		readable = p->coming && p->coming->at <= rx_now_us(p->net->env);
		if (!readable)
			rx_cond_wait(&p->news, &p->net->lock, until);
	}
	p->kicked = false;
	rx_mutex_unlock(&p->net->lock);
	return readable;
}

static void kick(struct rx_net *net)
{
	struct port *p = port_of(net);

	rx_mutex_lock(&p->net->lock);
	p->kicked = true;
	rx_cond_signal(&p->news);
	rx_mutex_unlock(&p->net->lock);
}

static void port_free(struct rx_net *net)
{
	struct port *p = port_of(net), **at = &p->net->ports;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	drop(&p->coming);
	drop(&p->given);
	rx_cond_destroy(&p->news);
	free(p);
}

static const struct rx_net_ops ops = {
	.free = port_free,
	.receive = receive,
	.send = send_all,
	.wait = wait_until,
	.kick = kick,
};

struct rx_net *world_net_port(struct world_net *n, uint32_t ip, uint16_t port)
{
	struct port *p = calloc(1, sizeof(*p));

	p->base = (struct rx_net){ .ops = &ops, .port = port ? port : ++n->last_port };
	p->net = n;
	p->addr = rx_addr_ipv4(ip, p->base.port);
	rx_cond_init(&p->news, n->env);
	p->next = n->ports;
	n->ports = p;
	return &p->base;
}

struct world_net *world_net_new(struct world *w, const struct world_link *link)
{
	struct world_net *n = calloc(1, sizeof(*n));

	n->world = w;
	n->env = world_env(w);
	n->link = *link;
	n->last_port = 20000;
	rx_mutex_init(&n->lock, n->env, RX_RANK_LEAF, "world net");
	return n;
}

void world_net_set_link(struct world_net *n, const struct world_link *link)
{
	n->link = *link;
}

void world_net_free(struct world_net *n)
{
	assert(!n->ports);
	rx_mutex_destroy(&n->lock);
	free(n);
}
