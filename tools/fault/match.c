/* Matching: what a rule says of the event itself, then when, then how many, then dice.
 * A rule draws a number only for events that passed everything before, from a sequence
 * of its own: so adding a rule does not change what another one does. */
#include "tools/fault/match.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

/* splitmix64 */
uint64_t fault_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static bool given(const struct fault_when *w, enum fault_condition c)
{
	return w->given & 1u << c;
}

static bool within(const struct fault_when *w, enum fault_condition c, struct fault_range r, uint32_t value)
{
	return !given(w, c) || (value >= r.lo && value <= r.hi);
}

static bool is_client(const struct fault_when *w, const struct rx_addr *a)
{
	return !given(w, FAULT_IF_CLIENT) ||
	       (rx_addr_ip(a) == w->client_ip && (!w->client_port || w->client_port == a->port));
}

static bool is_server(const struct fault_when *w, const struct rx_addr *a)
{
	return !given(w, FAULT_IF_SERVER) ||
	       (a && rx_addr_ip(a) == w->server_ip && (!w->server_port || w->server_port == a->port));
}

static bool packet_fits(const struct fault_when *w, const struct fault_packet_view *p)
{
	const uint32_t plain = 1u << FAULT_IF_FROM | 1u << FAULT_IF_SIZE | 1u << FAULT_IF_CLIENT |
			       1u << FAULT_IF_SERVER | 1u << FAULT_IF_NTH | 1u << FAULT_IF_EVERY | 1u << FAULT_IF_PROB |
			       1u << FAULT_IF_TIMES | 1u << FAULT_IF_AFTER | 1u << FAULT_IF_BEFORE;

	if (given(w, FAULT_IF_FROM) && w->from != p->dir)
		return false;
	if (!within(w, FAULT_IF_SIZE, w->size, (uint32_t)p->len))
		return false;
	if (!p->rx)
		return !(w->given & ~plain);
	if (given(w, FAULT_IF_TYPE) && !(w->types & 1u << p->h.type))
		return false;
	if ((p->h.flags & w->flags) != w->flags || p->h.flags & w->noflags)
		return false;
	if (given(w, FAULT_IF_REASON) && (!p->reason || p->reason > 31 || !(w->reasons & 1u << p->reason)))
		return false;
	return within(w, FAULT_IF_CID, w->cid, p->h.cid) && within(w, FAULT_IF_CALL, w->call, p->h.call) &&
	       within(w, FAULT_IF_SEQ, w->seq, p->h.seq) && within(w, FAULT_IF_SERIAL, w->serial, p->h.serial) &&
	       within(w, FAULT_IF_SERVICE, w->service, p->h.service);
}

static bool is_volume(const char *wanted, const struct fault_rpc *c)
{
	char *end;
	unsigned long n = strtoul(wanted, &end, 10);

	if (end != wanted && !*end)
		return n == c->volume;
	return c->volume_name && !strcmp(wanted, c->volume_name);
}

static bool same_id(uint32_t wanted, uint32_t id)
{
	return !wanted || wanted == id;
}

static bool rpc_fits(const struct fault_when *w, const struct fault_rpc *c)
{
	if (given(w, FAULT_IF_NAME) && (!c->name || fnmatch(w->name, c->name, 0)))
		return false;
	if (given(w, FAULT_IF_USER) && (!c->user || strcmp(w->user, c->user)))
		return false;
	if (given(w, FAULT_IF_VOLUME) && !is_volume(w->volume, c))
		return false;
	return !given(w, FAULT_IF_FID) || (same_id(w->fid_volume, c->volume) && same_id(w->fid_vnode, c->vnode) &&
					   same_id(w->fid_unique, c->unique));
}

static bool its_turn(struct fault_rule *r)
{
	const struct fault_when *w = &r->when;

	if (given(w, FAULT_IF_TIMES) && r->fired >= w->times)
		return false;
	if (given(w, FAULT_IF_NTH) && (r->matched < w->nth.lo || r->matched > w->nth.hi))
		return false;
	if (given(w, FAULT_IF_EVERY) && r->matched % w->every)
		return false;
	return !given(w, FAULT_IF_PROB) || fault_random(&r->rng) % FAULT_CERTAIN < w->prob;
}

bool fault_match(struct fault_rule *r, const struct fault_packet_view *p, const struct fault_rpc *c, uint64_t age_us)
{
	const struct fault_when *w = &r->when;

	if (!is_client(w, p ? p->client : &c->client) || !is_server(w, p ? p->server : &c->server))
		return false;
	/* Once begun, a partition cuts everything of its clients and servers, whatever began it. */
	if (age_us < r->cut_off_until)
		return true;
	if (!(p ? packet_fits(w, p) : rpc_fits(w, c)))
		return false;
	if (r->burst_left) {
		r->burst_left--;
		return true;
	}
	if ((given(w, FAULT_IF_AFTER) && age_us < w->after_us) || (given(w, FAULT_IF_BEFORE) && age_us >= w->before_us))
		return false;
	r->matched++;
	if (!its_turn(r))
		return false;
	r->fired++;
	if (r->action.op == FAULT_BURST)
		r->burst_left = (uint64_t)r->action.number - 1;
	if (r->action.op == FAULT_PARTITION)
		r->cut_off_until = r->action.time_us ? age_us + r->action.time_us : 0;
	return true;
}
