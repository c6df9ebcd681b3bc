/* Directories and links that no client may believe: each changes the bytes of an honest one
 * in place. The table is the list. Pure. */
#include <stdlib.h>

#include "cm/dir.h"
#include "tools/cell/lie.h"

enum { DOT = 13, DOT_DOT = 14 };

static uint8_t *slot(uint8_t *blob, unsigned n)
{
	return blob + (size_t)n * CM_DIR_SLOT;
}

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static uint8_t *bucket(uint8_t *blob, unsigned n)
{
	return blob + CM_DIR_AT_HASH + 2 * n;
}

/* The entry in the highest slot of the first page: one with a name of its own, if there is any. */
static unsigned last(uint8_t *blob)
{
	unsigned found = DOT;

	for (unsigned b = 0; b < CM_DIR_BUCKETS; b++)
		for (unsigned s = get16(bucket(blob, b)); s; s = get16(slot(blob, s) + CM_DIR_AT_NEXT))
			if (s > found && s < CM_DIR_PAGE_SLOTS)
				found = s;
	return found;
}

/* Gives an entry another name, in the chain where that belongs. */
static void rename_entry(uint8_t *blob, unsigned n, const char *name)
{
	uint8_t *e = slot(blob, n), *head;

	for (unsigned b = 0; b < CM_DIR_BUCKETS; b++) {
		uint8_t *link = bucket(blob, b);

		while (get16(link) && get16(link) != n)
			link = slot(blob, get16(link)) + CM_DIR_AT_NEXT;
		if (get16(link))
			put16(link, get16(e + CM_DIR_AT_NEXT));
	}
	strcpy((char *)e + CM_DIR_AT_NAME, name);
	head = bucket(blob, cm_dir_bucket(name));
	put16(e + CM_DIR_AT_NEXT, get16(head));
	put16(head, n);
}

static void wrong_tag(uint8_t *blob, size_t len)
{
	(void)len;
	put16(blob + CM_DIR_AT_TAG, 4321);
}

static void wrong_count(uint8_t *blob, size_t len)
{
	(void)len;
	put16(blob + CM_DIR_AT_PGCOUNT, 0xffff);
}

static void set_buckets(uint8_t *blob, unsigned to)
{
	for (unsigned b = 0; b < CM_DIR_BUCKETS; b++)
		put16(bucket(blob, b), to);
}

static void beyond(uint8_t *blob, size_t len)
{
	(void)len;
	set_buckets(blob, 0xffff);
}

static void into_header(uint8_t *blob, size_t len)
{
	(void)len;
	set_buckets(blob, 1);
}

static void all_the_same(uint8_t *blob, size_t len)
{
	(void)len;
	set_buckets(blob, last(blob));
}

static void loop(uint8_t *blob, size_t len)
{
	unsigned n = last(blob);

	(void)len;
	put16(slot(blob, n) + CM_DIR_AT_NEXT, n);
}

static void next_beyond(uint8_t *blob, size_t len)
{
	put16(slot(blob, last(blob)) + CM_DIR_AT_NEXT, (unsigned)(len / CM_DIR_SLOT));
}

static void free_entry(uint8_t *blob, size_t len)
{
	(void)len;
	*slot(blob, last(blob)) = 0;
}

static void free_slots(uint8_t *blob, size_t len)
{
	(void)len;
	memset(blob + CM_DIR_AT_BITMAP, 0, CM_DIR_PAGE_SLOTS / 8);
}

static void endless_name(uint8_t *blob, size_t len)
{
	uint8_t *name = slot(blob, last(blob)) + CM_DIR_AT_NAME;

	memset(name, 'A', len - (size_t)(name - blob));
}

static void long_name(uint8_t *blob, size_t len)
{
	uint8_t *name = slot(blob, last(blob)) + CM_DIR_AT_NAME;
	size_t room = len - (size_t)(name - blob);

	memset(name, 'A', room < 300 ? room : 300);
	name[room < 300 ? room - 1 : 300] = 0;
}

static void slash(uint8_t *blob, size_t len)
{
	(void)len;
	rename_entry(blob, last(blob), "a/b");
}

static void climb(uint8_t *blob, size_t len)
{
	(void)len;
	rename_entry(blob, last(blob), "../../x");
}

static void no_name(uint8_t *blob, size_t len)
{
	(void)len;
	rename_entry(blob, last(blob), "");
}

static void second_dots(uint8_t *blob, size_t len)
{
	(void)len;
	rename_entry(blob, last(blob), "..");
}

static void control(uint8_t *blob, size_t len)
{
	(void)len;
	rename_entry(blob, last(blob), "\x1b[2J\n\xff");
}

static void wrong_chain(uint8_t *blob, size_t len)
{
	(void)len;
	slot(blob, last(blob))[CM_DIR_AT_NAME] ^= 1;
}

static void vnode_zero(uint8_t *blob, size_t len)
{
	(void)len;
	put32(slot(blob, last(blob)) + CM_DIR_AT_VNODE, 0);
}

static void vnode_huge(uint8_t *blob, size_t len)
{
	(void)len;
	put32(slot(blob, last(blob)) + CM_DIR_AT_VNODE, 0xffffffff);
}

static void unique_zero(uint8_t *blob, size_t len)
{
	(void)len;
	put32(slot(blob, last(blob)) + CM_DIR_AT_UNIQUE, 0);
}

static void other_kind(uint8_t *blob, size_t len)
{
	(void)len;
	slot(blob, last(blob))[CM_DIR_AT_VNODE + 3] ^= 1;
}

static void itself(uint8_t *blob, size_t len)
{
	(void)len;
	memcpy(slot(blob, last(blob)) + CM_DIR_AT_VNODE, slot(blob, DOT) + CM_DIR_AT_VNODE, 8);
}

static void dot_elsewhere(uint8_t *blob, size_t len)
{
	(void)len;
	put32(slot(blob, DOT) + CM_DIR_AT_VNODE, 12345);
}

static void up_elsewhere(uint8_t *blob, size_t len)
{
	(void)len;
	put32(slot(blob, DOT_DOT) + CM_DIR_AT_VNODE, 12345);
}

static void ones(uint8_t *blob, size_t len)
{
	memset(blob, 0xff, len);
}

static void zeros(uint8_t *blob, size_t len)
{
	memset(blob, 0, len);
}

static void noise(uint8_t *blob, size_t len)
{
	uint32_t x = 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		blob[i] = (uint8_t)(x >> 24);
	}
}

static const struct {
	const char *text;
	void (*tell)(uint8_t *blob, size_t len);
} dir_lies[] = {
	{ "a wrong tag", wrong_tag },
	{ "a wrong number of pages", wrong_count },
	{ "chains that begin beyond the end", beyond },
	{ "chains that begin in the header", into_header },
	{ "chains that all begin at one entry", all_the_same },
	{ "a chain that loops", loop },
	{ "a chain that leads beyond the end", next_beyond },
	{ "an entry that is free", free_entry },
	{ "slots that are all free", free_slots },
	{ "a name without end", endless_name },
	{ "a name that is too long", long_name },
	{ "a name with a slash", slash },
	{ "a name that climbs", climb },
	{ "a name of no bytes", no_name },
	{ "a second ..", second_dots },
	{ "a name of control characters", control },
	{ "a name in the wrong chain", wrong_chain },
	{ "an entry without vnode", vnode_zero },
	{ "an entry with a huge vnode", vnode_huge },
	{ "an entry without uniquifier", unique_zero },
	{ "an entry that says another type", other_kind },
	{ "an entry that is the directory itself", itself },
	{ ". elsewhere", dot_elsewhere },
	{ ".. elsewhere", up_elsewhere },
	{ "all ones", ones },
	{ "all zeros", zeros },
	{ "noise", noise },
};
const unsigned cell_dir_lies = sizeof(dir_lies) / sizeof(dir_lies[0]);

const char *cell_dir_lie_text(unsigned lie)
{
	return dir_lies[lie].text;
}

bool cell_lie_dir(unsigned lie, uint8_t *blob, size_t len)
{
	if (len < CM_DIR_PAGE)
		return false;
	dir_lies[lie].tell(blob, len);
	return true;
}

/* What stands in a link or mount point instead; the last byte is repeated to its end. */
static const struct {
	const char *text, *bytes;
	size_t len;
} link_lies[] = {
	{ "of NULs", "\0", 1 },
	{ "of slashes", "/", 1 },
	{ "a mount point with a long name", "#A", 2 },
	{ "a mount point that climbs", "#../.", 5 },
	{ "a mount point of a cell without volume", "#c:", 3 },
	{ "a mount point of a number", "#9", 2 },
	{ "a read-write mount point of nothing", "%.", 2 },
	{ "control characters", "\x1b\n\xff", 3 },
};
const unsigned cell_link_lies = sizeof(link_lies) / sizeof(link_lies[0]);

const char *cell_link_lie_text(unsigned lie)
{
	return link_lies[lie].text;
}

bool cell_lie_link(unsigned lie, uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)link_lies[lie].bytes[i < link_lies[lie].len ? i : link_lies[lie].len - 1];
	return len;
}
