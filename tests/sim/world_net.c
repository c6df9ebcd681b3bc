/* See world_net.h. One lock behind the loops'; what flies to a port is sorted by arrival.
 * What the rules delay or hold is in the link; whoever waits for packets looks there too. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world_net.h"
#include "tools/fault/link.h"

enum { CUTS = 16, MAPPED_FIRST = 40000 };

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

/* One client at one server; `seen`: the client as the server knows it. */
struct flow {
	struct flow *next;
	uint32_t number;
	struct rx_addr client, server, seen;
};

struct world_net {
	struct world *world;
	struct rx_env *env;
	struct rx_mutex lock;
	struct world_link link;
	struct port *ports;
	uint16_t last_port, last_mapped;
	struct fault_set *set;
	struct fault_link rules;
	struct flow *flows;
	uint32_t cut[CUTS];
	struct world_net_stats stats;
};

static struct port *port_of(struct rx_net *net)
{
	return (struct port *)net; /* base is its first member */
}

static bool happens(struct world_net *n, unsigned per_1000)
{
	return per_1000 && world_random(n->world) % 1000 < per_1000;
}

static bool is_cut(const struct world_net *n, uint32_t ip)
{
	for (unsigned i = 0; i < CUTS; i++)
		if (n->cut[i] == ip && ip)
			return true;
	return false;
}

static bool is_server(const struct rx_addr *a)
{
	return a->port >= 7000 && a->port < 7010 && a->port != 7001;
}

static struct port *port_at(const struct world_net *n, const struct rx_addr *a)
{
	struct port *p = n->ports;

	while (p && !rx_addr_equal(&p->addr, a))
		p = p->next;
	return p;
}

/* ---- flows ---- */

/* Of a client that sends, made if need be; or of a server that sends to what it has seen. */
static struct flow *flow_of(struct world_net *n, const struct rx_addr *from, const struct rx_addr *to)
{
	bool up = is_server(to);
	struct flow *f = n->flows;

	while (f && !(up ? rx_addr_equal(&f->client, from) && rx_addr_equal(&f->server, to)
			 : rx_addr_equal(&f->seen, to) && rx_addr_equal(&f->server, from)))
		f = f->next;
	if (f || (!up && to->port >= MAPPED_FIRST)) /* an old mapping leads nowhere */
		return f;
	f = calloc(1, sizeof(*f));
	*f = (struct flow){ .next = n->flows,
			    .number = n->flows ? n->flows->number + 1 : 1,
			    .client = up ? *from : *to,
			    .server = up ? *to : *from,
			    .seen = up ? *from : *to };
	n->flows = f;
	return f;
}

static struct flow *flow_number(const struct world_net *n, uint32_t number)
{
	struct flow *f = n->flows;

	while (f && f->number != number)
		f = f->next;
	return f;
}

/* ---- what comes through ---- */

static void fly(struct world_net *n, const struct rx_addr *from, struct port *to, const uint8_t *data, size_t len)
{
	struct flying *f = malloc(sizeof(*f) + len), **p = &to->coming;

	f->at = rx_now_us(n->env) + n->link.delay_us;
	if (n->link.jitter_us)
		f->at += world_random(n->world) % n->link.jitter_us;
	f->from = *from;
	f->len = len;
	if (len)
		memcpy(f->data, data, len);
	while (*p && (*p)->at <= f->at)
		p = &(*p)->next;
	f->next = *p;
	*p = f;
	rx_cond_signal(&to->news);
}

/* The dice of the way, for what the rules have let through. False: nobody is there. */
static bool launch(struct world_net *n, const struct rx_addr *from, const struct rx_addr *dest, const uint8_t *data,
		   size_t len)
{
	struct port *to = port_at(n, dest);

	if (is_cut(n, rx_addr_ip(from)) || is_cut(n, rx_addr_ip(dest)) || happens(n, n->link.loss)) {
		n->stats.lost++;
		return true;
	}
	if (!to)
		return false;
	fly(n, from, to, data, len);
	if (happens(n, n->link.duplicate))
		fly(n, from, to, data, len);
	return true;
}

static void carry_out(struct world_net *n, const struct fault_out *o)
{
	struct flow *f = flow_number(n, o->flow);

	switch (o->kind) {
	case FAULT_OUT_PACKET:
		if (o->dir == FAULT_FROM_CLIENT)
			launch(n, &f->seen, &f->server, o->data, o->len);
		else
			launch(n, &f->server, &f->client, o->data, o->len);
		break;
	case FAULT_OUT_REBIND:
		f->seen.port = ++n->last_mapped;
		n->stats.rebound++;
		break;
	case FAULT_OUT_ICMP: /* a kernel would send smaller fragments: there is nobody to tell */
		n->stats.icmp++;
		break;
	}
}

/* What is due in the link goes on. */
static void pump(struct world_net *n)
{
	struct fault_out *o;

	while (n->set && (o = fault_link_output(&n->rules, rx_now_us(n->env)))) {
		carry_out(n, o);
		free(o);
	}
}

static uint64_t next_due(const struct world_net *n)
{
	return n->set ? fault_link_deadline(&n->rules) : UINT64_MAX;
}

/* The link's deadline may have come nearer: whoever waits looks again. */
static void look_again(struct world_net *n)
{
	for (struct port *p = n->ports; p; p = p->next)
		rx_cond_signal(&p->news);
}

static bool send_one(struct world_net *n, const struct rx_addr *from, const struct rx_datagram *d)
{
	const struct rx_addr *to = &d->addr;
	bool known = is_server(from) != is_server(to);
	struct flow *f = known && n->set ? flow_of(n, from, to) : NULL;
	enum fault_dir dir = is_server(to) ? FAULT_FROM_CLIENT : FAULT_FROM_SERVER;

	/* A ticket is sealed with the Kerberos library's own random numbers. */
	world_note(n->world, d->data, d->len > 20 && d->data[20] == RX_RESPONSE ? 0 : d->len);
	n->stats.sent++;
	if (!f)
		return launch(n, from, to, d->data, d->len);
	if (fault_link_idle(&n->rules) ||
	    fault_link_input(&n->rules, rx_now_us(n->env), f->number, dir, &f->client, &f->server, d->data, d->len))
		return dir == FAULT_FROM_CLIENT ? launch(n, &f->seen, to, d->data, d->len)
						: launch(n, from, &f->client, d->data, d->len);
	look_again(n);
	return true;
}

static void send_all(struct rx_net *net, const struct rx_datagram *out, unsigned count)
{
	struct port *from = port_of(net);
	struct world_net *n = from->net;
	const struct rx_addr *refused = NULL;

	rx_mutex_lock(&n->lock);
	pump(n);
	for (unsigned i = 0; i < count; i++)
		if (!send_one(n, &from->addr, &out[i]) && happens(n, n->link.refused))
			refused = &out[i].addr;
	pump(n);
	rx_mutex_unlock(&n->lock);
	if (refused)
		net->unreachable(net->arg, refused, NULL, 0);
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
	struct world_net *n = p->net;
	unsigned count = 0;

	rx_mutex_lock(&n->lock);
	pump(n);
	drop(&p->given);
	while (count < RX_BATCH && p->coming && p->coming->at <= rx_now_us(n->env)) {
		struct flying *f = p->coming;

		p->coming = f->next;
		f->next = p->given;
		p->given = f;
		in[count++] = (struct rx_datagram){ f->from, f->data, f->len };
	}
	n->stats.delivered += count;
	rx_mutex_unlock(&n->lock);
	return count;
}

static bool wait_until(struct rx_net *net, uint64_t deadline_us)
{
	struct port *p = port_of(net);
	struct world_net *n = p->net;
	bool readable = false;

	rx_mutex_lock(&n->lock);
	while (!p->kicked && !readable && rx_now_us(n->env) < deadline_us) {
		uint64_t until = deadline_us, due;

		pump(n);
		due = next_due(n);
		if (p->coming && p->coming->at < until)
			until = p->coming->at;
		if (due < until)
			until = due;
		readable = p->coming && p->coming->at <= rx_now_us(n->env);
		if (!readable)
			rx_cond_wait(&p->news, &n->lock, until);
	}
	p->kicked = false;
	rx_mutex_unlock(&n->lock);
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
	n->last_mapped = MAPPED_FIRST;
	/* Kicked under a loop's lock, and asks the rules, which have one of the last rank. */
	rx_mutex_init(&n->lock, n->env, (enum rx_rank)(RX_RANK_LOOP + 1), "world net");
	return n;
}

void world_net_set_link(struct world_net *n, const struct world_link *link)
{
	n->link = *link;
}

static void on_release(void *arg, const char *gate)
{
	struct world_net *n = arg;

	rx_mutex_lock(&n->lock);
	fault_link_release(&n->rules, rx_now_us(n->env), gate);
	look_again(n);
	rx_mutex_unlock(&n->lock);
}

void world_net_set_faults(struct world_net *n, struct fault_set *set)
{
	rx_mutex_lock(&n->lock);
	if (n->set) {
		fault_link_clear(&n->rules);
		fault_set_on_release(n->set, NULL, NULL);
	}
	n->set = set;
	if (set) {
		fault_link_init(&n->rules, set);
		fault_set_on_release(set, on_release, n);
	}
	rx_mutex_unlock(&n->lock);
}

void world_net_cut(struct world_net *n, uint32_t ip, bool on)
{
	bool done = on && is_cut(n, ip);

	rx_mutex_lock(&n->lock);
	for (unsigned i = 0; i < CUTS && !done; i++) {
		if (n->cut[i] != (on ? 0 : ip))
			continue;
		n->cut[i] = on ? ip : 0;
		done = true;
	}
	assert(done || !on);
	rx_mutex_unlock(&n->lock);
}

void world_net_stats(const struct world_net *n, struct world_net_stats *out)
{
	*out = n->stats;
}

void world_net_free(struct world_net *n)
{
	assert(!n->ports);
	if (n->set)
		world_net_set_faults(n, NULL);
	while (n->flows) {
		struct flow *f = n->flows;

		n->flows = f->next;
		free(f);
	}
	rx_mutex_destroy(&n->lock);
	free(n);
}
