/* A network around the UDP one: drops and doubles on the way in and out, as its owner's
 * struct rough_way says. Called by a loop, under the rules of rx/net.h; the owner changes
 * the way on its own thread meanwhile. */
#include "tools/storm/rough_net.h"

#include <errno.h>
#include <stdlib.h>

struct rough {
	struct rx_net base;
	struct rx_net *udp; /* owned */
	struct rough_way *way;
	uint64_t in_rng, out_rng; /* the receiving and the sending thread's */
};

static struct rough *rough_of(struct rx_net *net)
{
	return (struct rough *)net; /* base is its first member */
}

static bool happens(uint64_t *rng, uint32_t per_1000)
{
	uint64_t z = (*rng += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	return (z >> 33) % 1000 < per_1000;
}

static bool is_lost(const struct rough *r, uint64_t *rng)
{
	bool lost = __atomic_load_n(&r->way->cut, __ATOMIC_RELAXED) ||
		    happens(rng, __atomic_load_n(&r->way->loss, __ATOMIC_RELAXED));

	if (lost)
		__atomic_fetch_add(&r->way->lost, 1, __ATOMIC_RELAXED);
	return lost;
}

static void unreachable(void *arg, const struct rx_addr *peer)
{
	struct rough *r = arg;

	r->base.unreachable(r->base.arg, peer);
}

static unsigned receive(struct rx_net *net, struct rx_datagram in[RX_BATCH])
{
	struct rough *r = rough_of(net);
	unsigned came, n = 0;

	/* Nothing means that nothing is there: lost ones are not. */
	while (n == 0 && (came = r->udp->ops->receive(r->udp, in)) > 0)
		for (unsigned i = 0; i < came; i++)
			if (!is_lost(r, &r->in_rng))
				in[n++] = in[i];
	return n;
}

static void send_all(struct rx_net *net, const struct rx_datagram *out, unsigned count)
{
	struct rough *r = rough_of(net);

	for (unsigned i = 0; i < count; i++) {
		if (is_lost(r, &r->out_rng))
			continue;
		r->udp->ops->send(r->udp, &out[i], 1);
		if (happens(&r->out_rng, __atomic_load_n(&r->way->duplicate, __ATOMIC_RELAXED))) {
			r->udp->ops->send(r->udp, &out[i], 1);
			__atomic_fetch_add(&r->way->doubled, 1, __ATOMIC_RELAXED);
		}
	}
}

static bool wait_some(struct rx_net *net, uint64_t deadline_us)
{
	struct rx_net *udp = rough_of(net)->udp;

	return udp->ops->wait(udp, deadline_us);
}

static void kick(struct rx_net *net)
{
	struct rx_net *udp = rough_of(net)->udp;

	udp->ops->kick(udp);
}

static void free_net(struct rx_net *net)
{
	struct rough *r = rough_of(net);

	r->udp->ops->free(r->udp);
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
	r->udp = rx_net_udp(env, ip, port, err);
	if (!r->udp) {
		free(r);
		return NULL;
	}
	r->way = way;
	r->in_rng = way->seed;
	r->out_rng = ~way->seed;
	r->base = (struct rx_net){ .ops = &ops, .port = r->udp->port, .may_spin = r->udp->may_spin };
	r->udp->unreachable = unreachable;
	r->udp->arg = r;
	return &r->base;
}
