/* Callback promises as arithmetic; see cm/promise.h. */
#include "cm/promise.h"

enum { GUARD_S = 15, GUARD_PART = 20, OLD_SERVER_RO_S = 600 };

void cm_promise_note(const struct cm_promise *p, uint64_t vol_gen, uint64_t srv_gen, const void *server,
		     uint64_t now_us, struct cm_noted *q)
{
	q->cb_gen = p->cb_gen;
	q->vol_gen = vol_gen;
	q->srv_gen = srv_gen;
	q->server = server;
	q->sent_us = now_us;
	q->parent_gen = 0;
}

uint64_t cm_promise_usable_us(uint32_t expiration_s)
{
	uint64_t guard = expiration_s / GUARD_PART;

	if (guard < GUARD_S)
		guard = GUARD_S;
	return expiration_s > guard ? (expiration_s - guard) * 1000000u : 0;
}

bool cm_promise_install(struct cm_promise *p, const struct cm_noted *q, const struct cm_reply_facts *r)
{
	uint32_t life = r->expiration_s;
	uint64_t until;

	if (!r->promised)
		return false;
	if (p->cb_gen != q->cb_gen || r->vol_gen != q->vol_gen || r->srv_gen != q->srv_gen || r->server != q->server)
		return false;
	/* Servers before 1.2 promise for a read-only volume without saying for how long. */
	if (life == 0 && r->read_only)
		life = OLD_SERVER_RO_S;
	until = cm_promise_usable_us(life);
	if (until == 0)
		return false;
	until += q->sent_us;
	/* The server keeps the longer of two promises, so may we. */
	if (p->held && p->server == r->server && p->vol_gen == r->vol_gen && p->srv_gen == r->srv_gen &&
	    p->until_us > until)
		until = p->until_us;
	p->held = true;
	p->server = r->server;
	p->vol_gen = r->vol_gen;
	p->srv_gen = r->srv_gen;
	p->until_us = until;
	return true;
}

bool cm_promise_break(struct cm_promise *p)
{
	bool held = p->held;

	p->cb_gen++;
	p->held = false;
	return held;
}

bool cm_promise_good(const struct cm_promise *p, uint64_t vol_gen, uint64_t srv_gen, uint64_t now_us)
{
	return p->held && p->vol_gen == vol_gen && p->srv_gen == srv_gen && now_us < p->until_us;
}

enum cm_order cm_version_order(uint64_t known, uint64_t reply)
{
	if (known == reply)
		return CM_ORDER_SAME;
	if (known <= UINT32_MAX && known > 0xffffff00u && reply < 256)
		return CM_ORDER_NEWER;
	return reply > known ? CM_ORDER_NEWER : CM_ORDER_OLDER;
}

bool cm_version_is_under_way(uint64_t before, uint64_t after, bool promise_held, bool mutating)
{
	return promise_held && mutating && cm_version_is_ours(before, after, 1);
}

bool cm_version_is_ours(uint64_t before, uint64_t after, uint64_t own_changes)
{
	uint64_t want = before + own_changes;

	if (after == want)
		return true;
	return before <= UINT32_MAX && want > UINT32_MAX && after == (uint32_t)want;
}
