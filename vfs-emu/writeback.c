/* What the cache manager asks of a space: to give a record's bytes (prepare), to carry
 * out the server's verdict (settle), to save what is about to be killed (salvage), and to
 * react to news. No step waits for a page: pages that are bound to a record are never
 * being read (space.h), and a page under W is changed by nobody else. */
#include <assert.h>
#include <stdlib.h>

#include "rx/maybe.h"
#include "vfs-emu/mapping.h"
#include "vfs-emu/twin.h"

/* Both locks held. Arms what may be un-armed, then D becomes W: no store can land from
 * here to the verdict. */
static void begin(struct space *sp, const struct cm_record_view *r)
{
	uint64_t first, n, at, end = r->last + 1;

	for (at = r->first; page_next_run(sp, at, end, PAGE_HOT, PAGE_HOT, &first, &n); at = first + n)
		mapping_arm_token(sp, r->token, first, n);
	for (at = r->first; at < end; at++) {
		assert((page_bits(sp, at) & (PAGE_U | PAGE_D)) == (PAGE_U | PAGE_D));
		page_change(sp, at, PAGE_W, PAGE_D | PAGE_HOT);
	}
}

static int prepare(void *space, const struct cm_record_view *r, bool promise_broken, struct cm_plan *plan)
{
	struct space *sp = space;
	uint8_t **twins;
	uint64_t size;
	int rc;

	space_lock(sp);
	/* A store that arrives after a truncation would lengthen the file again. */
	if (sp->truncating) {
		space_unlock(sp);
		return 1;
	}
	twins = twin_collect(sp, r->first, r->last - r->first + 1);
	if (!twins) {
		space_unlock(sp);
		return -1;
	}
	begin(sp, r);
	size = sp->size;
	space_unlock(sp);

	rc = twin_plan(sp, r, twins, size, promise_broken || UMAFS_MAYBE(sp->vfs->env, PLAN_APART), plan);
	free(twins);
	return rc;
}

/* Both locks held. What must be revalidated is out of sight: FULL keeps content and takes
 * the page table entries away; BASIC would map them again unasked, so there what is clean
 * goes and what is dirty is armed, for the next grant to revalidate. */
static void hide(struct space *sp)
{
	uint64_t first, n, at = 0;

	if (sp->vfs->source->mode == VFS_MODE_FULL) {
		mapping_zap_all(sp);
		return;
	}
	while (page_next_run(sp, at, UINT64_MAX, PAGE_U | PAGE_D | PAGE_W, PAGE_U, &first, &n)) {
		space_punch(sp, first, n);
		at = first + n;
	}
	for (at = 0; page_next_run(sp, at, UINT64_MAX, PAGE_HOT, PAGE_HOT, &first, &n); at = first + n) {
		mapping_arm_all(sp, first, n);
		for (uint64_t i = first; i < first + n; i++)
			page_change(sp, i, 0, PAGE_HOT);
	}
}

static void stored(struct space *sp, const struct cm_record_view *r)
{
	uint64_t first, n, at, end = r->last + 1;

	for (at = r->first; at < end; at++) {
		bool stale = page_bits(sp, at) & PAGE_STALE;

		assert(page_bits(sp, at) & PAGE_W);
		if (stale)
			continue;
		twin_drop(sp, at);
		page_change(sp, at, 0, PAGE_W);
	}
	for (at = r->first; page_next_run(sp, at, end, PAGE_STALE, PAGE_STALE, &first, &n); at = first + n)
		space_punch(sp, first, n);
	/* The promise went while the page was W, or the store itself met a stranger's. */
	if (!cm_is_current(sp->vnode, sp->version) || UMAFS_MAYBE(sp->vfs->env, HIDE_AFTER_STORE))
		hide(sp);
}

/* Back to dirty; armed, so that the next store asks again. */
static void kept(struct space *sp, const struct cm_record_view *r)
{
	for (uint64_t i = r->first; i <= r->last; i++)
		if (page_bits(sp, i) & PAGE_W)
			page_change(sp, i, PAGE_D, PAGE_W);
}

static void settle(void *space, const struct cm_record_view *r, enum cm_verdict verdict)
{
	struct space *sp = space;

	space_lock(sp);
	switch (verdict) {
	case CM_VERDICT_STORED:
		stored(sp, r);
		break;
	case CM_VERDICT_KEEP:
		kept(sp, r);
		break;
	case CM_VERDICT_KILL:
		space_punch(sp, r->first, r->last - r->first + 1);
		break;
	}
	if (verdict != CM_VERDICT_KEEP)
		cm_settle_size(sp->vnode, r->seq);
	space_sync_size(sp);
	space_unlock(sp);
}

static int salvage(void *space, const struct cm_record_view *r, struct cm_plan *plan)
{
	struct space *sp = space;
	uint8_t **twins;
	uint64_t size;
	int rc;

	space_lock(sp);
	twins = twin_collect(sp, r->first, r->last - r->first + 1);
	size = sp->size;
	space_unlock(sp);
	if (!twins)
		return -1;
	rc = twin_plan(sp, r, twins, size, true, plan);
	free(twins);
	return rc;
}

static void changed(void *space)
{
	struct space *sp = space;

	__atomic_add_fetch(&sp->rights_gen, 1, __ATOMIC_ACQ_REL);
	space_changed(sp);
}

/* In the callback service, with the server waiting: local work only. */
static void invalidate(void *space)
{
	struct space *sp = space;

	__atomic_add_fetch(&sp->rights_gen, 1, __ATOMIC_ACQ_REL);
	space_lock(sp);
	hide(sp);
	space_unlock(sp);
	space_changed(sp);
}

const struct cm_space_ops space_ops = {
	.prepare = prepare,
	.settle = settle,
	.salvage = salvage,
	.changed = changed,
	.invalidate = invalidate,
};
