/* Vnodes: the table by (cell, fid), status, promises and who changes them. The table
 * and the reference counts are under cm->lock, a vnode's own state under its lock (rank
 * VNODE, so it is taken first). Called by everything in this room on any thread; breaks
 * come from cm/callback.c on the loop's thread and only mark. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cm/internal.h"
#include "rx/maybe.h"

static unsigned hash(const struct cm_fid *f)
{
	return (f->volume * 0x9e3779b1u ^ f->vnode * 0x85ebca6bu ^ f->unique * 0xc2b2ae35u) % CM_VNODE_HASH;
}

struct cm_fid cm_fid_of(const struct afs_fid *f)
{
	return (struct cm_fid){ f->volume, f->vnode, f->unique };
}

struct afs_fid cm_fid_wire(const struct cm_fid *f)
{
	return (struct afs_fid){ f->volume, f->vnode, f->unique };
}

static void lru_remove(struct cm_vnode *v)
{
	v->lru_prev->lru_next = v->lru_next;
	v->lru_next->lru_prev = v->lru_prev;
	v->lru_prev = v->lru_next = NULL;
	v->cm->nunused--;
}

static void lru_add(struct cm_vnode *v)
{
	struct cm_vnode *head = &v->cm->lru;

	v->lru_next = head->lru_next;
	v->lru_prev = head;
	head->lru_next->lru_prev = v;
	head->lru_next = v;
	v->cm->nunused++;
}

static struct cm_vnode *vnode_new(struct cm *cm, struct cm_cell *cell, struct cm_volume *vol, const struct cm_fid *fid)
{
	struct cm_vnode *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->cm = cm;
	v->cell = cell;
	v->volume = vol;
	v->fid = *fid;
	v->refs = 1;
	v->attr.fid = *fid;
	v->ends_us = UINT64_MAX;
	rx_mutex_init(&v->lock, cm->env, RX_RANK_VNODE, "vnode");
	rx_cond_init(&v->cond, cm->env);
	cm_records_init(&v->records, v, cm->env);
	if (cm->config.max_dirty_age_ms == UINT32_MAX)
		v->records.max_age_us = UINT64_MAX;
	else if (cm->config.max_dirty_age_ms)
		v->records.max_age_us = cm->config.max_dirty_age_ms * (uint64_t)1000;
	return v;
}

static void vnode_free(struct cm_vnode *v)
{
	while (v->rights) {
		struct cm_right *r = v->rights;

		v->rights = r->next;
		free(r);
	}
	cm_blob_put(v->blob);
	free(v->text);
	cm_records_destroy(&v->records);
	rx_cond_destroy(&v->cond);
	rx_mutex_destroy(&v->lock);
	free(v);
}

struct cm_vnode *cm_vnode_get(struct cm_vnode *v)
{
	rx_mutex_lock(&v->cm->lock);
	if (v->refs++ == 0)
		lru_remove(v);
	rx_mutex_unlock(&v->cm->lock);
	return v;
}

void cm_vnode_put(struct cm_vnode *v)
{
	if (!v)
		return;
	rx_mutex_lock(&v->cm->lock);
	if (--v->refs == 0)
		lru_add(v);
	rx_mutex_unlock(&v->cm->lock);
}

/* Takes the vnode longest unused out of the table; with cm->lock held. */
static struct cm_vnode *evict(struct cm *cm)
{
	struct cm_vnode *v = cm->lru.lru_prev;

	if (cm->nunused <= CM_VNODE_KEEP && !(cm->nunused && UMAFS_MAYBE(cm->env, VNODE_EVICTED)))
		return NULL;
	lru_remove(v);
	for (struct cm_vnode **p = &cm->vnodes[hash(&v->fid)]; *p; p = &(*p)->hash_next) {
		if (*p == v) {
			*p = v->hash_next;
			break;
		}
	}
	cm->nvnodes--;
	return v;
}

struct cm_vnode *cm_vnode_find(struct cm_volume *vol, const struct cm_fid *fid)
{
	struct cm *cm = vol->cell->cm;
	struct cm_vnode *v, *fresh = NULL, *old = NULL, **bucket = &cm->vnodes[hash(fid)];

	for (;;) {
		rx_mutex_lock(&cm->lock);
		for (v = *bucket; v; v = v->hash_next) {
			if (v->volume == vol && v->fid.vnode == fid->vnode && v->fid.unique == fid->unique)
				break;
		}
		if (v || fresh)
			break;
		rx_mutex_unlock(&cm->lock);
		fresh = vnode_new(cm, vol->cell, vol, fid);
		if (!fresh)
			return NULL;
	}
	if (v) {
		if (v->refs++ == 0)
			lru_remove(v);
	} else {
		v = fresh;
		fresh = NULL;
		v->hash_next = *bucket;
		*bucket = v;
		cm->nvnodes++;
		old = evict(cm);
	}
	rx_mutex_unlock(&cm->lock);
	if (fresh)
		vnode_free(fresh);
	if (old) {
		cm_vnode_put(old->parent);
		vnode_free(old);
	}
	return v;
}

struct cm_vnode *cm_vnode_root(struct cm_volume *vol, uint32_t vnode, uint32_t unique)
{
	struct cm_fid fid = { vol->id, vnode, unique };

	return cm_vnode_find(vol, &fid);
}

struct cm_vnode *cm_vnode_top(struct cm *cm)
{
	struct cm_fid fid = { 0, 1, 1 };
	struct cm_vnode *v, *fresh = vnode_new(cm, cm->local, NULL, &fid);

	if (!fresh)
		return NULL;
	fresh->known = true;
	fresh->attr.type = CM_DIR;
	fresh->attr.mode = 0555;
	fresh->attr.nlink = 2;
	fresh->attr.caller_rights = fresh->attr.anonymous_rights = CM_RIGHT_READ | CM_RIGHT_LOOKUP;
	rx_mutex_lock(&cm->lock);
	v = cm->top;
	if (!v) {
		v = cm->top = fresh;
		fresh = NULL;
	} else if (v->refs++ == 0) {
		lru_remove(v);
	}
	if (!fresh)
		v->refs++; /* the instance's own */
	rx_mutex_unlock(&cm->lock);
	if (fresh)
		vnode_free(fresh);
	return v;
}

struct cm_vnode *cm_vnode_nth(struct cm *cm, unsigned n)
{
	struct cm_vnode *found = NULL;

	rx_mutex_lock(&cm->lock);
	for (unsigned b = 0; b < CM_VNODE_HASH && !found; b++) {
		for (struct cm_vnode *v = cm->vnodes[b]; v; v = v->hash_next) {
			if (n-- == 0) {
				found = v;
				if (v->refs++ == 0)
					lru_remove(v);
				break;
			}
		}
	}
	rx_mutex_unlock(&cm->lock);
	return found;
}

static void mark_broken(struct cm_vnode *v)
{
	rx_mutex_lock(&v->lock);
	cm_promise_break(&v->promise);
	v->gen_now = v->promise.cb_gen;
	v->ends_us = UINT64_MAX;
	rx_mutex_unlock(&v->lock);
}

void cm_vnode_break(struct cm_vnode *v)
{
	mark_broken(v);
	cm_records_notify_invalidate(&v->records);
}

/* The first vnode behind `at` (NULL: of all) that matches, with a reference; that to `at` is
 * put. Who is referenced stays in its place of the table, so this needs no memory: breaks
 * must not fail. Unlocked in between, as the table's lock comes after a vnode's. */
static struct cm_vnode *next_match(struct cm *cm, struct cm_vnode *at,
				   bool (*match)(const struct cm_vnode *v, const void *what), const void *what)
{
	unsigned b = at ? hash(&at->fid) : 0;
	struct cm_vnode *v;

	rx_mutex_lock(&cm->lock);
	v = at ? at->hash_next : cm->vnodes[0];
	for (;;) {
		while (v && !match(v, what))
			v = v->hash_next;
		if (v || ++b == CM_VNODE_HASH)
			break;
		v = cm->vnodes[b];
	}
	if (v && v->refs++ == 0)
		lru_remove(v);
	rx_mutex_unlock(&cm->lock);
	cm_vnode_put(at);
	return v;
}

void cm_vnodes_break(struct cm *cm, bool (*match)(const struct cm_vnode *v, const void *what), const void *what)
{
	struct cm_vnode *v = NULL;

	while ((v = next_match(cm, v, match, what)))
		cm_vnode_break(v);
}

void cm_vnodes_break_fid(struct cm *cm, const struct afs_fid *fid,
			 bool (*match)(const struct cm_vnode *v, const void *what))
{
	struct cm_fid f = cm_fid_of(fid);
	struct cm_vnode *found[8];
	unsigned n = 0;

	/* The same fid may exist in several cells; more than eight do not share one. */
	rx_mutex_lock(&cm->lock);
	for (struct cm_vnode *v = cm->vnodes[hash(&f)]; v && n < 8; v = v->hash_next) {
		if (!match(v, fid))
			continue;
		if (v->refs++ == 0)
			lru_remove(v);
		found[n++] = v;
	}
	rx_mutex_unlock(&cm->lock);
	for (unsigned i = 0; i < n; i++) {
		cm_vnode_break(found[i]);
		cm_vnode_put(found[i]);
	}
}

static bool has_promise(const struct cm_vnode *v, const void *what)
{
	(void)what;
	return v->ends_us != UINT64_MAX;
}

void cm_vnodes_reset(struct cm *cm, const struct cm_server *s)
{
	struct cm_vnode *v = NULL;

	while ((v = next_match(cm, v, has_promise, NULL))) {
		bool mine;

		rx_mutex_lock(&v->lock);
		mine = !s || v->promise.server == s;
		rx_mutex_unlock(&v->lock);
		if (mine)
			cm_vnode_break(v);
	}
}

bool cm_vnodes_promised(struct cm *cm, const struct cm_server *s)
{
	struct cm_vnode *v = NULL;
	bool promised = false;

	while ((v = next_match(cm, v, has_promise, NULL))) {
		rx_mutex_lock(&v->lock);
		promised |= v->promise.held && v->promise.server == s;
		rx_mutex_unlock(&v->lock);
	}
	return promised;
}

static bool any(const struct cm_vnode *v, const void *what)
{
	(void)v;
	(void)what;
	return true;
}

struct cm_vnode *cm_vnode_next(struct cm *cm, struct cm_vnode *at)
{
	return next_match(cm, at, any, NULL);
}

static bool is_over(const struct cm_vnode *v, const void *now_us)
{
	return v->ends_us <= *(const uint64_t *)now_us;
}

/* A promise whose time is over ends as by a break, so that mappings are dropped. */
void cm_vnodes_expire(struct cm *cm)
{
	uint64_t now = rx_now_us(cm->env);

	cm_vnodes_break(cm, is_over, &now);
}

void cm_vnodes_destroy(struct cm *cm)
{
	if (cm->top)
		vnode_free(cm->top);
	for (unsigned b = 0; b < CM_VNODE_HASH; b++) {
		while (cm->vnodes[b]) {
			struct cm_vnode *v = cm->vnodes[b];

			cm->vnodes[b] = v->hash_next;
			vnode_free(v);
		}
	}
}

struct cm *cm_vnode_cm(struct cm_vnode *v)
{
	return v->cm;
}

struct cm_fid cm_vnode_fid(const struct cm_vnode *v)
{
	return v->fid;
}

const char *cm_vnode_cell(const struct cm_vnode *v)
{
	return v->cell->name;
}

struct cm_records *cm_vnode_records(struct cm_vnode *v)
{
	return &v->records;
}

const char *cm_vnode_text(const struct cm_vnode *v, char buf[384])
{
	if (!v->volume)
		snprintf(buf, 384, "/afs");
	else
		snprintf(buf, 384, "/afs/.:mount/%s:%u:%u:%u", v->cell->name, v->fid.volume, v->fid.vnode,
			 v->fid.unique);
	return buf;
}

uint64_t cm_inval_gen(const struct cm_vnode *v)
{
	return v->gen_now;
}

bool cm_vnode_good(struct cm_vnode *v)
{
	const struct cm_server *s = v->promise.server;

	if (!v->volume)
		return true;
	if (!v->known || v->gone || v->unproven || !s)
		return false;
	return cm_promise_good(&v->promise, v->volume->gen, s->gen, rx_now_us(v->cm->env));
}

bool cm_is_valid(const struct cm_vnode *cv)
{
	struct cm_vnode *v = (struct cm_vnode *)cv;
	bool good;

	rx_mutex_lock(&v->lock);
	good = cm_vnode_good(v);
	rx_mutex_unlock(&v->lock);
	return good;
}

void cm_mutate_begin(struct cm_vnode *v)
{
	rx_mutex_lock(&v->lock);
	while (v->mutating)
		rx_cond_wait(&v->cond, &v->lock, UINT64_MAX);
	v->mutating = true;
	rx_mutex_unlock(&v->lock);
}

void cm_mutate_end(struct cm_vnode *v)
{
	rx_mutex_lock(&v->lock);
	v->mutating = false;
	/* It was not made, or not by its reply: whose version that was is not known. */
	v->unproven |= v->counted;
	v->counted = false;
	rx_cond_broadcast(&v->cond);
	rx_mutex_unlock(&v->lock);
}

/* Not by address: that would be another order in another run. */
static bool is_before(const struct cm_vnode *a, const struct cm_vnode *b)
{
	if (a->fid.volume != b->fid.volume)
		return a->fid.volume < b->fid.volume;
	return a->fid.vnode != b->fid.vnode ? a->fid.vnode < b->fid.vnode : a->fid.unique < b->fid.unique;
}

void cm_mutate_begin2(struct cm_vnode *a, struct cm_vnode *b)
{
	struct cm_vnode *first = !b || b == a || is_before(a, b) ? a : b;

	cm_mutate_begin(first);
	if (b && b != a)
		cm_mutate_begin(first == a ? b : a);
}

void cm_mutate_end2(struct cm_vnode *a, struct cm_vnode *b)
{
	cm_mutate_end(a);
	if (b && b != a)
		cm_mutate_end(b);
}
