/* Editing directory blobs as OpenAFS's fileserver does, slot for slot, so that a copy
 * edited here equals the one the server has. Called by the embedded fileserver and by
 * clients on their cached copy, under their lock of the directory. Never follows the
 * blob's own numbers outside of it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cm/dir.h"

enum { NO_PAGE = CM_DIR_PAGE_SLOTS }; /* allocation map: the page does not exist */

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static int damaged(struct rx_error *err)
{
	return rx_error_set(err, RX_ORIGIN_ERRNO, EIO, EIO, "the directory is damaged; salvage its volume");
}

static uint8_t *bitmap_of(struct cm_dir_blob *dir, size_t page)
{
	return dir->data + page * CM_DIR_PAGE + CM_DIR_AT_BITMAP;
}

static bool marked(const uint8_t *bitmap, unsigned k)
{
	return bitmap[k >> 3] >> (k & 7) & 1;
}

static int add_page(struct cm_dir_blob *dir, struct rx_error *err)
{
	uint8_t *data = realloc(dir->data, dir->len + CM_DIR_PAGE);

	if (!data)
		return rx_error_errno(err, ENOMEM, "making room in a directory");
	dir->data = data;
	data += dir->len;
	memset(data, 0, CM_DIR_PAGE);
	put16(data + CM_DIR_AT_TAG, CM_DIR_TAG);
	data[CM_DIR_AT_FREECOUNT] = CM_DIR_PAGE_SLOTS - 1;
	data[CM_DIR_AT_BITMAP] = 1;
	dir->len += CM_DIR_PAGE;
	return 0;
}

/* Page i, which is to be allocated from, is there afterwards. */
static int want_page(struct cm_dir_blob *dir, size_t i, struct rx_error *err)
{
	bool missing;

	if (i < CM_DIR_COUNTED_PAGES) {
		missing = dir->data[CM_DIR_AT_ALLOMAP + i] == NO_PAGE;
	} else {
		uint32_t pages = get16(dir->data + CM_DIR_AT_PGCOUNT);

		missing = i >= (pages ? pages : CM_DIR_COUNTED_PAGES);
	}
	if (missing != (i >= dir->len / CM_DIR_PAGE) || i > dir->len / CM_DIR_PAGE)
		return damaged(err);
	if (!missing)
		return 0;
	if (add_page(dir, err))
		return -1;
	if (i < CM_DIR_COUNTED_PAGES)
		dir->data[CM_DIR_AT_ALLOMAP + i] = CM_DIR_PAGE_SLOTS - 1;
	put16(dir->data + CM_DIR_AT_PGCOUNT, (uint32_t)i + 1);
	return 0;
}

/* First fit of n slots inside one page, or -1. */
static int find_run(const uint8_t *bitmap, unsigned n)
{
	static const uint8_t full[8] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	unsigned run = 0;

	if (!memcmp(bitmap, full, sizeof(full))) /* most pages of a big directory */
		return -1;
	for (unsigned k = 0; k < CM_DIR_PAGE_SLOTS; k++) {
		run = marked(bitmap, k) ? 0 : run + 1;
		if (run == n)
			return (int)(k + 1 - n);
	}
	return -1;
}

static int allocate(struct cm_dir_blob *dir, unsigned n, uint32_t *slot, struct rx_error *err)
{
	for (size_t i = 0; i < CM_DIR_MAX_PAGES; i++) {
		uint8_t *bitmap;
		int first;

		if (i < CM_DIR_COUNTED_PAGES && dir->data[CM_DIR_AT_ALLOMAP + i] < n)
			continue;
		if (want_page(dir, i, err))
			return -1;
		bitmap = bitmap_of(dir, i);
		first = find_run(bitmap, n);
		if (first < (i == 0 ? CM_DIR_HEADER_SLOTS : 1)) {
			if (first >= 0)
				return damaged(err); /* the header's slots are marked free */
			continue;
		}
		if (i < CM_DIR_COUNTED_PAGES)
			dir->data[CM_DIR_AT_ALLOMAP + i] = (uint8_t)(dir->data[CM_DIR_AT_ALLOMAP + i] - n);
		for (unsigned k = (unsigned)first; k < (unsigned)first + n; k++)
			bitmap[k >> 3] = (uint8_t)(bitmap[k >> 3] | 1 << (k & 7));
		*slot = (uint32_t)i * CM_DIR_PAGE_SLOTS + (uint32_t)first;
		return 0;
	}
	return rx_error_set(err, RX_ORIGIN_ERRNO, EFBIG, EFBIG, "the directory is full");
}

int cm_dir_add(struct cm_dir_blob *dir, const char *name, uint32_t vnode, uint32_t unique, struct rx_error *err)
{
	size_t len = strlen(name);
	struct cm_dir_entry e;
	uint32_t slot = 0;
	uint8_t *p, *head;

	if (len == 0 || strchr(name, '/'))
		return rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "\"%s\" cannot be a file's name", name);
	if (len > CM_DIR_NAME_MAX)
		return rx_error_set(err, RX_ORIGIN_ERRNO, ENAMETOOLONG, ENAMETOOLONG,
				    "the name has %zu bytes, %d can be stored", len, CM_DIR_NAME_MAX);
	if (dir->len < CM_DIR_PAGE)
		return damaged(err);
	if (cm_dir_lookup(dir->data, dir->len, name, &e))
		return rx_error_set(err, RX_ORIGIN_ERRNO, EEXIST, EEXIST, "\"%s\" exists already", name);
	if (allocate(dir, cm_dir_slots(len), &slot, err))
		return -1;
	p = dir->data + (size_t)slot * CM_DIR_SLOT;
	head = dir->data + CM_DIR_AT_HASH + 2 * cm_dir_bucket(name);
	p[0] = 1;
	memcpy(p + CM_DIR_AT_NEXT, head, 2);
	put32(p + CM_DIR_AT_VNODE, vnode);
	put32(p + CM_DIR_AT_UNIQUE, unique);
	memcpy(p + CM_DIR_AT_NAME, name, len + 1);
	put16(head, slot);
	return 0;
}

int cm_dir_make(struct cm_dir_blob *dir, uint32_t vnode, uint32_t unique, uint32_t parent_vnode, uint32_t parent_unique,
		struct rx_error *err)
{
	uint8_t *page;

	*dir = (struct cm_dir_blob){ 0 };
	if (add_page(dir, err))
		return -1;
	page = dir->data;
	put16(page + CM_DIR_AT_PGCOUNT, 1);
	page[CM_DIR_AT_FREECOUNT] = CM_DIR_PAGE_SLOTS - CM_DIR_HEADER_SLOTS;
	page[CM_DIR_AT_BITMAP] = 0xff;
	page[CM_DIR_AT_BITMAP + 1] = 0x1f;
	memset(page + CM_DIR_AT_ALLOMAP, NO_PAGE, CM_DIR_COUNTED_PAGES);
	page[CM_DIR_AT_ALLOMAP] = CM_DIR_PAGE_SLOTS - CM_DIR_HEADER_SLOTS;
	/* Neither can fail: the page is empty. */
	cm_dir_add(dir, ".", vnode, unique, NULL);
	cm_dir_add(dir, "..", parent_vnode, parent_unique, NULL);
	return 0;
}

/* Where the number of `slot` stands: in its chain's head or in the entry before it. */
static uint8_t *link_to(struct cm_dir_blob *dir, const char *name, uint32_t slot)
{
	uint8_t *link = dir->data + CM_DIR_AT_HASH + 2 * cm_dir_bucket(name);

	while (get16(link) != slot) /* cm_dir_lookup has walked this way */
		link = dir->data + (size_t)get16(link) * CM_DIR_SLOT + CM_DIR_AT_NEXT;
	return link;
}

static int find(struct cm_dir_blob *dir, const char *name, struct cm_dir_entry *e, struct rx_error *err)
{
	if (cm_dir_lookup(dir->data, dir->len, name, e))
		return 0;
	return rx_error_set(err, RX_ORIGIN_ERRNO, ENOENT, ENOENT, "there is no \"%s\" in the directory", name);
}

int cm_dir_delete(struct cm_dir_blob *dir, const char *name, struct rx_error *err)
{
	struct cm_dir_entry e;
	unsigned n, first;
	uint8_t *entry, *bitmap, *counter;

	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "\"%s\" cannot be removed", name);
	if (find(dir, name, &e, err))
		return -1;
	n = cm_dir_slots(e.len);
	first = e.slot % CM_DIR_PAGE_SLOTS;
	entry = dir->data + (size_t)e.slot * CM_DIR_SLOT;
	bitmap = bitmap_of(dir, e.slot / CM_DIR_PAGE_SLOTS);
	memcpy(link_to(dir, name, e.slot), entry + CM_DIR_AT_NEXT, 2);
	/* The server's C struct of an entry has 28 bytes, and it clears n of those. */
	memset(entry, 0, n * (size_t)28);
	for (unsigned k = first; k < first + n; k++)
		bitmap[k >> 3] = (uint8_t)(bitmap[k >> 3] & ~(1 << (k & 7)));
	if (e.slot / CM_DIR_PAGE_SLOTS < CM_DIR_COUNTED_PAGES) {
		counter = dir->data + CM_DIR_AT_ALLOMAP + e.slot / CM_DIR_PAGE_SLOTS;
		*counter = (uint8_t)(*counter + n);
	}
	return 0;
}

int cm_dir_replace(struct cm_dir_blob *dir, const char *name, uint32_t vnode, uint32_t unique, struct rx_error *err)
{
	struct cm_dir_entry e;

	if (find(dir, name, &e, err))
		return -1;
	put32(dir->data + (size_t)e.slot * CM_DIR_SLOT + CM_DIR_AT_VNODE, vnode);
	put32(dir->data + (size_t)e.slot * CM_DIR_SLOT + CM_DIR_AT_UNIQUE, unique);
	return 0;
}
