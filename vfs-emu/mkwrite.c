/* page_mkwrite: a store wants to happen on an armed page. It grants, or says what it is
 * waiting for; it never waits, flushes or asks the server itself, and whoever comes back
 * starts from the top of fault_serve, where everything is read again. The bind, D and the
 * un-arming are one step under the locks, so no store is ever without an author. */
#include <assert.h>

#include "rx/maybe.h"
#include "vfs-emu/fault.h"

static void check_owner(struct space *sp, const struct cm_token *t, uint64_t index)
{
#ifndef NDEBUG
	struct cm_record_view view;

	/* It may have been closed for joining already, but prepare waits for our lock. */
	assert(cm_record_at(sp->vnode, index, &view) && view.token == t);
	assert((page_bits(sp, index) & (PAGE_U | PAGE_D | PAGE_W | PAGE_L)) == (PAGE_U | PAGE_D));
#else
	(void)sp, (void)t, (void)index;
#endif
}

/* The record in the way: the token's own? */
static enum mkwrite_result in_the_way(const struct vfs_mapping *m, uint64_t index)
{
	struct cm_record_view view;

	return cm_record_at(m->space->vnode, index, &view) && view.token == m->token ? MKWRITE_OWN : MKWRITE_PARK;
}

enum mkwrite_result page_mkwrite(struct vfs_mapping *m, uint64_t index, uint64_t seq, bool asked)
{
	struct space *sp = m->space;
	unsigned bits = page_bits(sp, index);
	struct cm_record_view view;
	enum cm_grant grant;
	bool made = false;

	if (!asked && (UMAFS_MAYBE(m->vfs->env, RIGHT_TO_WRITE_ASKED) || !cm_may_write_now(sp->vnode, m->token)))
		return MKWRITE_RIGHT;
	/* The writeback of this token's own record is waited for too: its bytes are stable
	 * until the verdict. */
	if (bits & PAGE_W)
		return in_the_way(m, index);
	if (claim_is_behind(sp, index, m->token, seq))
		return MKWRITE_PARK;
	/* Before the grant, while the page is armed everywhere. A dirty page has its twin, or
	 * was written as a whole. */
	if (!(bits & PAGE_D)) {
		if (twin_make(sp, index) != 0)
			return MKWRITE_NOMEM;
		made = true;
	}
	grant = cm_record_grant(sp->vnode, m->token, index, 0, CM_PAGE, true, &view);
	if (grant != CM_GRANTED) {
		if (made)
			twin_drop(sp, index);
		return grant == CM_NOMEM ? MKWRITE_NOMEM : in_the_way(m, index);
	}
	page_change(sp, index, PAGE_D | PAGE_HOT, 0);
	check_owner(sp, m->token, index);
	m->vfs->source->ops->unarm(m->vfs->source, mapping_addr(m, index), CM_PAGE);
	return MKWRITE_GRANTED;
}
