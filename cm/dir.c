/* Reading directory blobs: see cm/dir.h. Blobs come from servers that may be broken or
 * hostile, so every slot number is compared with the blob's size before it is followed
 * and every walk along a chain is bounded by the number of slots. Pure; any thread. */
#include "cm/dir.h"

#include <errno.h>
#include <string.h>

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

uint32_t cm_dir_hash(const char *name)
{
	uint32_t h = 0;

	for (; *name; name++)
		h = h * 173 + (uint8_t)*name;
	return h;
}

unsigned cm_dir_bucket(const char *name)
{
	uint32_t h = cm_dir_hash(name), b = h & (CM_DIR_BUCKETS - 1);

	/* The original code took a signed remainder. */
	return b && h >> 31 ? CM_DIR_BUCKETS - b : b;
}

unsigned cm_dir_slots(size_t len)
{
	return 1 + (unsigned)((len + 16) >> 5);
}

static uint32_t slot_count(size_t len)
{
	return len > (size_t)CM_DIR_MAX_PAGES * CM_DIR_PAGE ? CM_DIR_MAX_PAGES * CM_DIR_PAGE_SLOTS
							    : (uint32_t)(len / CM_DIR_PAGE) * CM_DIR_PAGE_SLOTS;
}

/* In the blob and not in a page's header. */
static bool is_entry_slot(size_t len, uint32_t slot)
{
	uint32_t in_page = slot % CM_DIR_PAGE_SLOTS;

	return slot < slot_count(len) && in_page >= (slot < CM_DIR_PAGE_SLOTS ? CM_DIR_HEADER_SLOTS : 1);
}

static bool is_marked(const uint8_t *blob, uint32_t slot)
{
	const uint8_t *page = blob + (size_t)(slot / CM_DIR_PAGE_SLOTS) * CM_DIR_PAGE;
	uint32_t k = slot % CM_DIR_PAGE_SLOTS;

	return page[CM_DIR_AT_BITMAP + (k >> 3)] >> (k & 7) & 1;
}

static uint32_t next_in_chain(const uint8_t *blob, uint32_t slot)
{
	return get16(blob + (size_t)slot * CM_DIR_SLOT + CM_DIR_AT_NEXT);
}

/* Reads the entry that starts in a slot. NULL when it could be one, else what is wrong. */
static const char *read_entry(const uint8_t *blob, size_t len, uint32_t slot, struct cm_dir_entry *entry)
{
	const uint8_t *p = blob + (size_t)slot * CM_DIR_SLOT, *end;

	if (!is_entry_slot(len, slot))
		return "chain leads outside the entries";
	if (p[0] != 1)
		return "entry is not marked as one";
	end = blob + ((size_t)(slot / CM_DIR_PAGE_SLOTS) + 1) * CM_DIR_PAGE;
	entry->slot = slot;
	entry->vnode = get32(p + CM_DIR_AT_VNODE);
	entry->unique = get32(p + CM_DIR_AT_UNIQUE);
	entry->name = (const char *)p + CM_DIR_AT_NAME;
	entry->len = strnlen(entry->name, (size_t)(end - p) - CM_DIR_AT_NAME);
	if (p + CM_DIR_AT_NAME + entry->len == end)
		return "name does not end in its page";
	if (entry->len == 0)
		return "name is empty";
	if (entry->len > CM_DIR_NAME_MAX)
		return "name is too long";
	if (slot % CM_DIR_PAGE_SLOTS + cm_dir_slots(entry->len) > CM_DIR_PAGE_SLOTS)
		return "entry crosses its page";
	return NULL;
}

static bool is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static const char *check_entry(const uint8_t *blob, const struct cm_dir_entry *e, unsigned bucket, uint8_t *used)
{
	if (memchr(e->name, '/', e->len))
		return "name contains '/'";
	if (is_dots(e->name) && e->slot != (e->len == 1 ? 13u : 14u))
		return "\".\" or \"..\" is not in its place";
	if (cm_dir_bucket(e->name) != bucket)
		return "name is in the wrong chain";
	if (e->vnode == 0 || e->unique == 0)
		return "entry has no object";
	for (uint32_t s = e->slot; s < e->slot + cm_dir_slots(e->len); s++) {
		if (!is_marked(blob, s))
			return "entry lies in a free slot";
		if (used[s >> 3] >> (s & 7) & 1)
			return "chain loops, or entries overlap";
		used[s >> 3] = (uint8_t)(used[s >> 3] | 1 << (s & 7));
	}
	return NULL;
}

static const char *check_pages(const uint8_t *blob, size_t len, uint32_t *slot)
{
	size_t pages = len / CM_DIR_PAGE;

	*slot = 0;
	if (len == 0 || len % CM_DIR_PAGE)
		return "length is not a number of pages";
	if (pages > CM_DIR_MAX_PAGES)
		return "more pages than a directory can have";
	for (size_t i = 0; i < pages; i++) {
		*slot = (uint32_t)i * CM_DIR_PAGE_SLOTS;
		if (get16(blob + i * CM_DIR_PAGE + CM_DIR_AT_TAG) != CM_DIR_TAG)
			return "page has no tag";
	}
	*slot = 0;
	if (get16(blob + CM_DIR_AT_PGCOUNT) > pages)
		return "pages are missing";
	return NULL;
}

int cm_dir_check(const uint8_t *blob, size_t len, struct rx_error *err)
{
	uint8_t used[CM_DIR_MAX_PAGES * CM_DIR_PAGE_SLOTS / 8] = { 0 };
	struct cm_dir_entry e;
	uint32_t slot;
	const char *wrong = check_pages(blob, len, &slot);

	for (unsigned b = 0; !wrong && b < CM_DIR_BUCKETS; b++) {
		slot = get16(blob + CM_DIR_AT_HASH + 2 * b);
		/* Ends in any case: an entry that is met again finds its slots used. */
		for (; slot; slot = next_in_chain(blob, slot)) {
			wrong = read_entry(blob, len, slot, &e);
			if (!wrong)
				wrong = check_entry(blob, &e, b, used);
			if (wrong)
				break;
		}
	}
	if (!wrong) {
		for (slot = 13; slot < 15; slot++)
			if (read_entry(blob, len, slot, &e) || e.len != slot - 12 || !is_dots(e.name))
				wrong = "\".\" or \"..\" is missing";
		slot = 13;
	}
	if (wrong)
		return rx_error_set(err, RX_ORIGIN_ERRNO, EIO, EIO,
				    "the directory is damaged: %s (slot %u of %u); salvage its volume", wrong, slot,
				    slot_count(len));
	return 0;
}

bool cm_dir_lookup(const uint8_t *blob, size_t len, const char *name, struct cm_dir_entry *entry)
{
	uint32_t steps = slot_count(len), slot;
	size_t n = strlen(name);

	if (steps == 0)
		return false;
	slot = get16(blob + CM_DIR_AT_HASH + 2 * cm_dir_bucket(name));
	for (; slot && steps; steps--, slot = next_in_chain(blob, slot)) {
		if (!is_entry_slot(len, slot))
			return false;
		if (!read_entry(blob, len, slot, entry) && entry->len == n && !memcmp(entry->name, name, n))
			return true;
	}
	return false;
}

bool cm_dir_next(const uint8_t *blob, size_t len, uint32_t *cookie, struct cm_dir_entry *entry)
{
	uint32_t slots = slot_count(len);

	while (*cookie < slots) {
		uint32_t slot = *cookie;
		struct cm_dir_entry found;

		++*cookie;
		/* An old cookie may lead into the middle of an entry: the chain tells. It also
		 * hides what cannot be looked up, and all but one of equal names. */
		if (!is_marked(blob, slot) || read_entry(blob, len, slot, entry) ||
		    !cm_dir_lookup(blob, len, entry->name, &found) || found.slot != slot)
			continue;
		*cookie = slot + cm_dir_slots(entry->len);
		if (entry->len <= CM_DIR_POSIX_MAX)
			return true;
	}
	return false;
}

bool cm_dir_is_empty(const uint8_t *blob, size_t len)
{
	struct cm_dir_entry e;
	uint32_t cookie = 0;
	uint32_t slots = slot_count(len);

	/* Over-long names count too, so not by cm_dir_next's filter alone. */
	while (cookie < slots) {
		uint32_t slot = cookie++;
		struct cm_dir_entry found;

		if (is_marked(blob, slot) && !read_entry(blob, len, slot, &e) && !is_dots(e.name) &&
		    cm_dir_lookup(blob, len, e.name, &found) && found.slot == slot)
			return false;
	}
	return true;
}
