/* See rough_net.h. A datagram on its way out meets the rules first, then the dice; one on
 * its way in the other way round. What rules delay lies in the link until a loop's thread
 * comes by. A rebind gives the client another port, as a router that has forgotten it: the
 * old socket stays, and nobody reads it. Called by a loop, under the rules of rx/net.h. */
#include "tools/storm/rough_net.h"

#include <errno.h>
#include <stdlib.h>

#include "tools/fault/link.h"

enum { PEERS = 32, SOCKETS = 16 };

struct rough {
	struct rx_net base;
	struct rx_env *env;
	struct rough_way *way;
	uint32_t ip;
	struct rx_mutex lock;            /* everything below, and reading and writing of sockets */
	struct rx_net *sockets[SOCKETS]; /* owned; the last one is used */
	unsigned nsockets;
	uint64_t rng;
	struct fault_link link;
	struct rx_addr peers[PEERS]; /* servers; a flow's number is the place here */
	uint32_t npeers;
	struct fault_out *arrived, *given; /* from the link; given: valid until the next receive */
	struct rx_addr refused[RX_BATCH];  /* to be told to the loop when the lock is not held */
	unsigned nrefused;
};

static struct rough *rough_of(struct rx_net *net)
{
	return (struct rough *)net; /* base is its first member */
}

static struct rx_net *udp_of(const struct rough *r)
{
	return r->sockets[r->nsockets - 1];
}

/* ---- dice ---- */

static bool happens(struct rough *r, uint32_t per_1000)
{
	uint64_t z = (r->rng += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	return (z >> 33) % 1000 < per_1000;
}

static bool is_lost(struct rough *r)
{
	bool lost = __atomic_load_n(&r->way->cut, __ATOMIC_RELAXED) ||
		    happens(r, __atomic_load_n(&r->way->loss, __ATOMIC_RELAXED));

	if (lost)
		__atomic_fetch_add(&r->way->lost, 1, __ATOMIC_RELAXED);
	return lost;
}

static void launch(struct rough *r, const struct rx_datagram *d)
{
	struct rx_net *udp = udp_of(r);

	if (is_lost(r))
		return;
	udp->ops->send(udp, d, 1);
	if (happens(r, __atomic_load_n(&r->way->duplicate, __ATOMIC_RELAXED))) {
		udp->ops->send(udp, d, 1);
		__atomic_fetch_add(&r->way->doubled, 1, __ATOMIC_RELAXED);
	}
}

/* ---- sockets ---- */

/* Called within sends and receives, so with the lock, which the loop's one must not follow. */
static void unreachable(void *arg, const struct rx_addr *peer, const uint8_t *quoted, size_t len)
{
	struct rough *r = arg;

	(void)quoted;
	(void)len;
	if (r->nrefused < RX_BATCH)
		r->refused[r->nrefused++] = *peer;
}

static void unlock(struct rough *r)
{
	struct rx_addr refused[RX_BATCH];
	unsigned n = r->nrefused;

	for (unsigned i = 0; i < n; i++)
		refused[i] = r->refused[i];
	r->nrefused = 0;
	rx_mutex_unlock(&r->lock);
	for (unsigned i = 0; i < n; i++)
		r->base.unreachable(r->base.arg, &refused[i], NULL, 0);
}

static int add_socket(struct rough *r, uint16_t port, struct rx_error *err)
{
	struct rx_net *udp;

	if (r->nsockets == SOCKETS)
		return rx_error_errno(err, EMFILE, "another port for a client");
	udp = rx_net_udp(r->env, r->ip, port, err);
	if (!udp)
		return -1;
	udp->unreachable = unreachable;
	udp->arg = r;
	r->sockets[r->nsockets++] = udp;
	return 0;
}

static void rebind(struct rough *r)
{
	struct rx_net *old = udp_of(r);
	struct rx_error err;

	/* Who sleeps at the old one comes back and sleeps at the new one. */
	if (add_socket(r, 0, &err) == 0)
		old->ops->kick(old);
}

/* ---- rules ---- */

static uint32_t flow_of(struct rough *r, const struct rx_addr *peer)
{
	uint32_t i = 0;

	while (i < r->npeers && !rx_addr_equal(&r->peers[i], peer))
		i++;
	if (i == PEERS)
		return PEERS - 1; /* strangers share one */
	r->peers[i] = *peer;
	if (i == r->npeers)
		r->npeers++;
	return i;
}

/* True: it goes on as it is. */
static bool passes(struct rough *r, enum fault_dir dir, const struct rx_datagram *d)
{
	return fault_link_idle(&r->link) || fault_link_input(&r->link, rx_now_us(r->env), flow_of(r, &d->addr), dir,
							     &r->way->known, &d->addr, d->data, d->len);
}

/* What is due in the link goes on. */
static void pump(struct rough *r)
{
	struct fault_out *o, **last = &r->arrived;

	while (*last)
		last = &(*last)->next;
	while ((o = fault_link_output(&r->link, rx_now_us(r->env)))) {
		o->next = NULL;
		if (o->kind == FAULT_OUT_PACKET && o->dir == FAULT_FROM_SERVER) {
			*last = o;
			last = &o->next;
			continue;
		}
		if (o->kind == FAULT_OUT_PACKET)
			launch(r, &(struct rx_datagram){ r->peers[o->flow], o->data, o->len });
		else if (o->kind == FAULT_OUT_REBIND)
			rebind(r);
		free(o);
	}
}

static void free_outs(struct fault_out **list)
{
	while (*list) {
		struct fault_out *o = *list;

		*list = o->next;
		free(o);
	}
}

/* ---- a loop's network ---- */

static unsigned take_arrived(struct rough *r, struct rx_datagram in[RX_BATCH])
{
	unsigned n = 0;

	while (n < RX_BATCH && r->arrived) {
		struct fault_out *o = r->arrived;

		r->arrived = o->next;
		o->next = r->given;
		r->given = o;
		in[n++] = (struct rx_datagram){ r->peers[o->flow], o->data, o->len };
	}
	return n;
}

static unsigned receive(struct rx_net *net, struct rx_datagram in[RX_BATCH])
{
	struct rough *r = rough_of(net);
	struct rx_net *udp;
	unsigned came, n;

	rx_mutex_lock(&r->lock);
	free_outs(&r->given);
	pump(r);
	udp = udp_of(r);
	n = take_arrived(r, in);
	/* Nothing means that nothing is there: lost ones are not. */
	while (n == 0 && (came = udp->ops->receive(udp, in)) > 0) {
		for (unsigned i = 0; i < came; i++)
			if (!is_lost(r) && passes(r, FAULT_FROM_SERVER, &in[i]))
				in[n++] = in[i];
		pump(r);
	}
	unlock(r);
	return n;
}

static void send_all(struct rx_net *net, const struct rx_datagram *out, unsigned count)
{
	struct rough *r = rough_of(net);
	uint64_t due;

	rx_mutex_lock(&r->lock);
	due = fault_link_deadline(&r->link);
	pump(r);
	for (unsigned i = 0; i < count; i++)
		if (passes(r, FAULT_FROM_CLIENT, &out[i]))
			launch(r, &out[i]);
	pump(r);
	/* Who sleeps does not know of what is due earlier now. */
	if (r->arrived || fault_link_deadline(&r->link) < due)
		udp_of(r)->ops->kick(udp_of(r));
	unlock(r);
}

static bool wait_some(struct rx_net *net, uint64_t deadline_us)
{
	struct rough *r = rough_of(net);
	struct rx_net *udp;
	bool readable;
	uint64_t due;

	rx_mutex_lock(&r->lock);
	pump(r);
	udp = udp_of(r);
	due = fault_link_deadline(&r->link);
	readable = r->arrived;
	unlock(r);
	if (!readable)
		readable = udp->ops->wait(udp, due < deadline_us ? due : deadline_us);
	rx_mutex_lock(&r->lock);
	pump(r);
	readable |= r->arrived != NULL;
	unlock(r);
	return readable;
}

static void kick(struct rx_net *net)
{
	struct rough *r = rough_of(net);

	rx_mutex_lock(&r->lock);
	udp_of(r)->ops->kick(udp_of(r));
	rx_mutex_unlock(&r->lock);
}

static void free_net(struct rx_net *net)
{
	struct rough *r = rough_of(net);

	for (unsigned i = 0; i < r->nsockets; i++)
		r->sockets[i]->ops->free(r->sockets[i]);
	fault_link_clear(&r->link);
	free_outs(&r->arrived);
	free_outs(&r->given);
	rx_mutex_destroy(&r->lock);
	free(r);
}

static const struct rx_net_ops ops = {
	.free = free_net, .receive = receive, .send = send_all, .wait = wait_some, .kick = kick
};

struct rx_net *rough_net_new(struct rx_env *env, uint32_t ip, uint16_t port, struct rough_way *way,
			     struct rx_error *err)
{
	struct rough *r = calloc(1, sizeof(*r));

	if (!r) {
		rx_error_errno(err, ENOMEM, "a network");
		return NULL;
	}
	r->env = env;
	r->way = way;
	r->ip = ip;
	r->rng = way->seed;
	/* Kicked under a loop's lock, and asks the rules, which have one of the last rank. */
	rx_mutex_init(&r->lock, env, (enum rx_rank)(RX_RANK_LOOP + 1), "rough net");
	fault_link_init(&r->link, way->rules);
	if (add_socket(r, port, err) != 0) {
		free_net(&r->base);
		return NULL;
	}
	r->base = (struct rx_net){ .ops = &ops, .port = udp_of(r)->port, .may_spin = udp_of(r)->may_spin };
	return &r->base;
}
