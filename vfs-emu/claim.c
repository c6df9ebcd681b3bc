/* Claims: who waits for a page that another token's record holds. They make waiting
 * fair: whoever comes later with another token, the record's owner included, queues up
 * behind. Guarded by the space's lock; a claim keeps its space. */
#include "vfs-emu/space.h"

bool claim_is_behind(const struct space *sp, uint64_t index, const struct cm_token *t, uint64_t seq)
{
	for (const struct claim *c = sp->claims; c; c = c->next)
		if (c->index == index && c->token != t && c->seq < seq)
			return true;
	return false;
}

void claim_file(struct claim *c, struct space *sp, uint64_t index, struct cm_token *t, uint64_t seq)
{
	if (c->space)
		return;
	*c = (struct claim){ .next = sp->claims, .space = sp, .token = t, .index = index, .seq = seq };
	sp->claims = c;
	space_get(sp);
}

void claim_drop(struct claim *c)
{
	struct space *sp = c->space;
	struct claim **p;

	if (!sp)
		return;
	rx_mutex_lock(&sp->lock);
	for (p = &sp->claims; *p != c;)
		p = &(*p)->next;
	*p = c->next;
	rx_mutex_unlock(&sp->lock);
	c->space = NULL;
	cm_record_unwant(sp->vnode, c->index);
	space_changed(sp);
	space_put(sp);
}
