/* Spaces: their life, waiting, and size. The table of pages is page.c. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rx/maybe.h"
#include "vfs-emu/fault.h"
#include "vfs-emu/mapping.h"
#include "vfs-emu/space.h"

/* ---- life ---- */

static struct space *space_new(struct vfs *vfs, struct cm_vnode *v, struct rx_error *err)
{
	struct space *sp = calloc(1, sizeof(*sp));

	if (!sp) {
		rx_error_errno(err, ENOMEM, "cannot cache a file");
		return NULL;
	}
	sp->memfd = memfd_create("umafs", MFD_CLOEXEC);
	if (sp->memfd < 0) {
		rx_error_errno(err, errno, "cannot make memory for a file's pages");
		free(sp);
		return NULL;
	}
	sp->vfs = vfs;
	sp->vnode = cm_vnode_get(v);
	sp->bound = UINT64_MAX;
	sp->rights_gen = 1;
	rx_mutex_init(&sp->lock, vfs->env, RX_RANK_SPACE, "space");
	rx_cond_init(&sp->changed, vfs->env);
	return sp;
}

/* Frees memory only; the vnode may be gone already (see vfs_stop). */
void space_free(struct space *sp)
{
	assert(!sp->mappings && !sp->parked && !sp->claims);
	for (size_t i = 0; i < sp->nleaves; i++) {
		struct leaf *leaf = sp->leaves[i];

		for (int j = 0; leaf->twins && j < LEAF_PAGES; j++)
			free(leaf->twins[j]);
		free(leaf->twins);
		free(leaf);
	}
	free(sp->leaves);
	rx_cond_destroy(&sp->changed);
	rx_mutex_destroy(&sp->lock);
	close(sp->memfd);
	free(sp);
}

struct space *space_open(struct vfs *vfs, struct cm_vnode *v, struct rx_error *err)
{
	struct space *sp, *old, *fresh = space_new(vfs, v, err);

	if (!fresh)
		return NULL;
	rx_mutex_lock(&vfs->open_lock);
	old = cm_space_attach(v, &space_ops, fresh);
	sp = old ? old : fresh;
	rx_mutex_lock(&vfs->mappings_lock);
	sp->refs++;
	if (!old) {
		sp->next = vfs->spaces;
		vfs->spaces = sp;
	}
	rx_mutex_unlock(&vfs->mappings_lock);
	rx_mutex_unlock(&vfs->open_lock);
	if (old) {
		cm_vnode_put(fresh->vnode);
		space_free(fresh);
	}
	return sp;
}

void space_get(struct space *sp)
{
	sp->refs++;
}

void space_put(struct space *sp)
{
	struct vfs *vfs = sp->vfs;

	rx_mutex_lock(&vfs->mappings_lock);
	assert(sp->refs > 0);
	sp->refs--;
	rx_mutex_unlock(&vfs->mappings_lock);
}

/* One unused space without records, off the list; NULL if there is none. */
static struct space *take_unused(struct vfs *vfs)
{
	struct cm_record_view view;
	struct space **p, *sp = NULL;

	rx_mutex_lock(&vfs->mappings_lock);
	for (p = &vfs->spaces; *p; p = &(*p)->next) {
		if ((*p)->refs > 0 || cm_record_next((*p)->vnode, 0, &view))
			continue;
		sp = *p;
		*p = sp->next;
		break;
	}
	rx_mutex_unlock(&vfs->mappings_lock);
	return sp;
}

void space_reap(struct vfs *vfs)
{
	struct cm_vnode *v;
	struct space *sp;

	for (;;) {
		rx_mutex_lock(&vfs->open_lock);
		sp = take_unused(vfs);
		if (sp)
			cm_space_detach(sp->vnode);
		rx_mutex_unlock(&vfs->open_lock);
		if (!sp)
			return;
		v = sp->vnode;
		space_free(sp);
		cm_vnode_put(v);
	}
}

/* ---- locks and waiting ---- */

void space_lock_mapped(struct space *sp)
{
	rx_mutex_lock(&sp->lock);
	space_sync_size(sp);
}

void space_lock(struct space *sp)
{
	rx_mutex_lock(&sp->vfs->mappings_lock);
	space_lock_mapped(sp);
}

void space_unlock(struct space *sp)
{
	rx_mutex_unlock(&sp->lock);
	rx_mutex_unlock(&sp->vfs->mappings_lock);
}

uint64_t space_seq(struct space *sp)
{
	struct service *s = &sp->vfs->service;
	uint64_t seq;

	rx_mutex_lock(&s->lock);
	seq = sp->change_seq;
	rx_mutex_unlock(&s->lock);
	return seq;
}

void space_changed(struct space *sp)
{
	struct service *s = &sp->vfs->service;

	rx_mutex_lock(&s->lock);
	sp->change_seq++;
	fault_unpark_all(sp);
	rx_cond_broadcast(&sp->changed);
	rx_mutex_unlock(&s->lock);
}

bool space_wait(struct space *sp, uint64_t seq, uint64_t deadline_us)
{
	struct service *s = &sp->vfs->service;
	bool moved;

	rx_mutex_lock(&s->lock);
	while (sp->change_seq == seq && rx_cond_wait(&sp->changed, &s->lock, deadline_us))
		;
	moved = sp->change_seq != seq;
	rx_mutex_unlock(&s->lock);
	return moved;
}

/* ---- validity ---- */

bool space_is_valid(const struct space *sp, uint64_t validated_gen)
{
	/* Somebody's status call may have renewed the promise over newer content than ours. */
	bool current = sp->has_version ? cm_is_current(sp->vnode, sp->version) : cm_is_valid(sp->vnode);

	if (!validated_gen && UMAFS_MAYBE(sp->vfs->env, SPACE_INVALID))
		return false;
	return current || (validated_gen && validated_gen == cm_inval_gen(sp->vnode) + 1);
}

int space_validate(struct space *sp, struct cm_token *t, uint64_t *validated_gen, struct rx_error *err)
{
	uint64_t gen = cm_inval_gen(sp->vnode), version = 0;
	bool dirty;

	if (cm_validate(sp->vnode, t, &version, err) != 0)
		return -1;
	space_lock(sp);
	dirty = space_adopt_version(sp, version);
	space_unlock(sp);
	if (dirty)
		cm_flush_start(sp->vnode, NULL, 0, UINT64_MAX);
	*validated_gen = gen + 1;
	return 0;
}

/* ---- content and size ---- */

void space_punch(struct space *sp, uint64_t first, uint64_t n)
{
	mapping_arm_all(sp, first, n);
	sp->punch_gen++;
	sp->vfs->source->ops->punch(sp->vfs->source, sp->memfd, first * CM_PAGE, n * CM_PAGE);
	for (uint64_t i = first; i < first + n; i++) {
		twin_drop(sp, i);
		page_change(sp, i, 0, PAGE_U | PAGE_D | PAGE_W | PAGE_HOT | PAGE_STALE);
	}
}

static void drop_clean(struct space *sp)
{
	uint64_t first, n, at = 0;

	while (page_next_run(sp, at, UINT64_MAX, PAGE_U | PAGE_D | PAGE_W, PAGE_U, &first, &n)) {
		space_punch(sp, first, n);
		at = first + n;
	}
	for (at = 0; page_next_run(sp, at, UINT64_MAX, PAGE_U, PAGE_U, &first, &n); at = first + n)
		for (uint64_t i = first; i < first + n; i++)
			page_change(sp, i, PAGE_STALE, 0);
}

bool space_adopt_version(struct space *sp, uint64_t version)
{
	bool had = sp->has_version;

	assert(had || sp->nuptodate == 0);
	if (had && !cm_has_moved(sp->vnode, sp->version))
		return false;
	if (had)
		drop_clean(sp);
	sp->version = version;
	sp->has_version = true;
	return had;
}

static void memfd_resize(struct space *sp, uint64_t size)
{
	if (size < sp->memfd_size)
		sp->punch_gen++;
	if (size != sp->memfd_size)
		sp->vfs->source->ops->resize(sp->vfs->source, sp->memfd, size);
	sp->memfd_size = size;
}

void space_make_room(struct space *sp, uint64_t n)
{
	if (pages_up(n) * CM_PAGE > sp->memfd_size)
		memfd_resize(sp, pages_up(n) * CM_PAGE);
}

/* Zeroes [from, end of its page) where the page is there: a mapping may have scribbled. */
static void zero_tail(struct space *sp, uint64_t from)
{
	static const uint8_t zeros[CM_PAGE];
	size_t n = CM_PAGE - from % CM_PAGE;
	unsigned bits = page_bits(sp, page_of(from));

	if (from % CM_PAGE == 0 || !(bits & PAGE_U))
		return;
	if (bits & PAGE_HOT) {
		mapping_arm_all(sp, page_of(from), 1);
		page_change(sp, page_of(from), 0, PAGE_HOT);
	}
	if (pwrite(sp->memfd, zeros, n, (off_t)from) != (ssize_t)n)
		abort();
	if (page_twin(sp, page_of(from)))
		memset(page_twin(sp, page_of(from)) + from % CM_PAGE, 0, n);
}

/* The page in which the file ends now: a record that lay wholly beyond the end is gone. */
static void release_last(struct space *sp, uint64_t index)
{
	struct cm_record_view view;
	unsigned bits = page_bits(sp, index);

	if (!(bits & PAGE_D) || cm_record_at(sp->vnode, index, &view))
		return;
	if (bits & PAGE_STALE) {
		space_punch(sp, index, 1);
		return;
	}
	if (bits & PAGE_HOT)
		mapping_arm_all(sp, index, 1);
	twin_drop(sp, index);
	page_change(sp, index, 0, PAGE_D | PAGE_HOT);
}

void space_cut(struct space *sp, uint64_t n)
{
	uint64_t first, count, at = pages_up(n);

	while (page_next_run(sp, at, UINT64_MAX, PAGE_U | PAGE_W, PAGE_U, &first, &count)) {
		space_punch(sp, first, count);
		at = first + count;
	}
	sp->gen++;
	sp->size = n;
	if (n % CM_PAGE != 0)
		release_last(sp, page_of(n));
	zero_tail(sp, n);
	memfd_resize(sp, pages_up(n) * CM_PAGE);
}

/* Shrinking here is news from the server, not our truncate: bound pages beyond the end
 * stay until their records are settled (stores are clamped), the rest goes. */
void space_sync_size(struct space *sp)
{
	uint64_t size = cm_size(sp->vnode), keep = pages_up(size), first, n, at = keep;

	if (size == sp->size && sp->memfd_size == keep * CM_PAGE)
		return;
	if (size > sp->size) {
		zero_tail(sp, sp->size);
	} else if (size < sp->size) {
		sp->gen++;
		zero_tail(sp, size);
	}
	while (page_next_run(sp, at, UINT64_MAX, PAGE_U | PAGE_D | PAGE_W, PAGE_U, &first, &n)) {
		space_punch(sp, first, n);
		at = first + n;
	}
	for (at = keep; page_next_run(sp, at, UINT64_MAX, PAGE_U, PAGE_U, &first, &n); at = first + n)
		keep = first + n;
	sp->size = size;
	memfd_resize(sp, keep * CM_PAGE);
}
