/* The table of pages: leaves of 512 bytes of flags in an ascending array, and the one
 * place where flags change, with the allowed changes of vfs.h asserted. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vfs-emu/space.h"

enum page_state {
#define STATE(name, text) STATE_##name,
	VFS_PAGE_STATES(STATE)
#undef STATE
		STATE_COUNT
};

static enum page_state state_of(unsigned bits)
{
	switch (bits & (PAGE_U | PAGE_D | PAGE_W | PAGE_L)) {
	case 0:
		return STATE_EMPTY;
	case PAGE_L:
		return STATE_READING;
	case PAGE_U:
		return STATE_CLEAN;
	case PAGE_U | PAGE_D:
		return STATE_DIRTY;
	case PAGE_U | PAGE_W:
		return STATE_WRITEBACK;
	default:
		fprintf(stderr, "umafs: page with impossible flags 0x%x\n", bits);
		abort();
	}
}

static bool allowed(enum page_state from, enum page_state to)
{
#define PAIR(a, b) [STATE_##a][STATE_##b] = true,
	static const bool table[STATE_COUNT][STATE_COUNT] = { VFS_PAGE_TRANSITIONS(PAIR) };
#undef PAIR
	return from == to || table[from][to];
}

const char *page_state_name(unsigned bits)
{
#define NAME(name, text) #name,
	static const char *const names[] = { VFS_PAGE_STATES(NAME) };
#undef NAME
	return names[state_of(bits)];
}

/* Position of the first leaf that ends beyond index. */
static size_t leaf_position(const struct space *sp, uint64_t index)
{
	size_t low = 0, high = sp->nleaves;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (sp->leaves[mid]->base + LEAF_PAGES <= index)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct leaf *leaf_at(const struct space *sp, uint64_t index)
{
	size_t i = leaf_position(sp, index);

	return i < sp->nleaves && sp->leaves[i]->base <= index ? sp->leaves[i] : NULL;
}

static bool leaf_make(struct space *sp, uint64_t index)
{
	size_t at = leaf_position(sp, index);
	struct leaf *leaf;

	if (at < sp->nleaves && sp->leaves[at]->base <= index)
		return true;
	if (sp->nleaves == sp->leaves_cap) {
		size_t cap = sp->leaves_cap ? 2 * sp->leaves_cap : 4;
		struct leaf **leaves = reallocarray(sp->leaves, cap, sizeof(struct leaf *));

		if (!leaves)
			return false;
		sp->leaves = leaves;
		sp->leaves_cap = cap;
	}
	leaf = calloc(1, sizeof(*leaf));
	if (!leaf)
		return false;
	leaf->base = index - index % LEAF_PAGES;
	memmove(sp->leaves + at + 1, sp->leaves + at, (sp->nleaves - at) * sizeof(struct leaf *));
	sp->leaves[at] = leaf;
	sp->nleaves++;
	return true;
}

uint64_t page_reserve(struct space *sp, uint64_t first, uint64_t n)
{
	uint64_t end = first + n, i = first;

	while (i < end && leaf_make(sp, i))
		i += LEAF_PAGES - i % LEAF_PAGES;
	return i < end ? i - first : n;
}

unsigned page_bits(const struct space *sp, uint64_t index)
{
	const struct leaf *leaf = leaf_at(sp, index);

	return leaf ? leaf->bits[index % LEAF_PAGES] : 0;
}

static void trace(struct space *sp, uint64_t index, unsigned from, unsigned to)
{
	struct cm_trace_event ev = { .what = "page", .name = page_state_name(to), .server = "" };
	struct cm_fid fid = cm_vnode_fid(sp->vnode);
	char detail[96];

	snprintf(detail, sizeof(detail), "%u.%u.%u page %llu was %s", fid.volume, fid.vnode, fid.unique,
		 (unsigned long long)index, page_state_name(from));
	ev.detail = detail;
	ev.start_us = ev.end_us = rx_now_us(sp->vfs->env);
	cm_trace(sp->vfs->cm, &ev);
}

void page_change(struct space *sp, uint64_t index, unsigned set, unsigned clear)
{
	struct leaf *leaf = leaf_at(sp, index);
	unsigned old = leaf->bits[index % LEAF_PAGES], bits = (old & ~clear) | set;

	if (!allowed(state_of(old), state_of(bits))) {
		fprintf(stderr, "umafs: page %llu goes from %s to %s\n", (unsigned long long)index,
			page_state_name(old), page_state_name(bits));
		abort();
	}
	assert(!(bits & PAGE_HOT) || (bits & PAGE_D)); /* un-armed only where bound, never under W */
	assert(!(bits & PAGE_STALE) || (bits & (PAGE_D | PAGE_W)));
	leaf->bits[index % LEAF_PAGES] = (uint8_t)bits;
	sp->nuptodate += (bits & PAGE_U) != 0;
	sp->nuptodate -= (old & PAGE_U) != 0;
	if (sp->vfs->trace_pages && state_of(old) != state_of(bits))
		trace(sp, index, old, bits);
}

bool page_next_run(const struct space *sp, uint64_t from, uint64_t to, unsigned mask, unsigned want, uint64_t *first,
		   uint64_t *n)
{
	uint64_t i = from;

	*n = 0;
	for (size_t l = leaf_position(sp, from); l < sp->nleaves; l++) {
		const struct leaf *leaf = sp->leaves[l];

		if (i < leaf->base) {
			if (*n > 0)
				return true;
			i = leaf->base;
		}
		for (; i < leaf->base + LEAF_PAGES; i++) {
			bool hit = i < to && (leaf->bits[i % LEAF_PAGES] & mask) == want;

			if (hit && (*n)++ == 0)
				*first = i;
			if (!hit && (*n > 0 || i >= to))
				return *n > 0;
		}
	}
	return *n > 0;
}

uint8_t *page_twin(const struct space *sp, uint64_t index)
{
	const struct leaf *leaf = leaf_at(sp, index);

	return leaf && leaf->twins ? leaf->twins[index % LEAF_PAGES] : NULL;
}

/* Twins belong to this table too: they live in its leaves. */
static uint8_t **twin_slot(struct space *sp, uint64_t index)
{
	struct leaf *leaf = leaf_at(sp, index);

	if (!leaf->twins)
		leaf->twins = calloc(LEAF_PAGES, sizeof(uint8_t *));
	return leaf->twins ? &leaf->twins[index % LEAF_PAGES] : NULL;
}

uint8_t *page_twin_alloc(struct space *sp, uint64_t index)
{
	uint8_t **slot = twin_slot(sp, index);

	if (!slot)
		return NULL;
	assert(!*slot);
	*slot = malloc(CM_PAGE);
	return *slot;
}

void page_twin_free(struct space *sp, uint64_t index)
{
	struct leaf *leaf = leaf_at(sp, index);

	if (leaf && leaf->twins) {
		free(leaf->twins[index % LEAF_PAGES]);
		leaf->twins[index % LEAF_PAGES] = NULL;
	}
}
