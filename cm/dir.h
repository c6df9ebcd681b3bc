/* Directory blobs: the files of 2048-byte pages in which fileservers keep names.
 * Reading is for clients and servers (dir.c), editing for the server and for clients
 * that repeat the server's edit on their copy (dir_edit.c). Pure functions over bytes:
 * nothing here blocks, allocates (but cm_dir_make and cm_dir_add) or locks. Readers
 * stay inside the blob whatever it holds; only cm_dir_check says whether it makes sense. */
#ifndef UMAFS_CM_DIR_H
#define UMAFS_CM_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rx/error.h"

enum {
	CM_DIR_PAGE = 2048,
	CM_DIR_SLOT = 32,
	CM_DIR_PAGE_SLOTS = 64,
	CM_DIR_MAX_PAGES = 1023,
	CM_DIR_COUNTED_PAGES = 128, /* pages that have a free counter in the header */
	CM_DIR_BUCKETS = 128,
	CM_DIR_HEADER_SLOTS = 13, /* of page 0; later pages have 1 */
	CM_DIR_TAG = 1234,
	CM_DIR_NAME_MAX = 256,  /* what servers store */
	CM_DIR_POSIX_MAX = 255, /* what cm_dir_next shows */
};

/* Where things lie. */
enum {
	CM_DIR_AT_PGCOUNT = 0,
	CM_DIR_AT_TAG = 2,
	CM_DIR_AT_FREECOUNT = 4,
	CM_DIR_AT_BITMAP = 5, /* any page */
	CM_DIR_AT_ALLOMAP = 32,
	CM_DIR_AT_HASH = 160, /* page 0 */
	CM_DIR_AT_NEXT = 2,
	CM_DIR_AT_VNODE = 4,
	CM_DIR_AT_UNIQUE = 8,
	CM_DIR_AT_NAME = 12, /* entry */
};

struct cm_dir_entry {
	uint32_t vnode, unique; /* odd vnode: directory; even: file, symlink, mount point */
	uint32_t slot;
	const char *name; /* inside the blob, NUL-terminated */
	size_t len;
};

/* 0, or -1 with EIO and a sentence that says what is wrong where. Checks pages, tags,
 * every chain (bounds, loops, flags, hash), every reachable entry (NUL in its page, no
 * '/', "." and ".." only in slots 13 and 14, vnode and unique not 0, its slots marked
 * and used once). The blob's counters are never believed. */
int cm_dir_check(const uint8_t *blob, size_t len, struct rx_error *err);

/* The first entry of that name in its chain. */
bool cm_dir_lookup(const uint8_t *blob, size_t len, const char *name, struct cm_dir_entry *entry);

/* The next entry at or after slot *cookie (0: the first), in slot order, "." and ".."
 * included; *cookie moves behind it. Exactly the names that cm_dir_lookup finds, less
 * those longer than CM_DIR_POSIX_MAX. False at the end. A cookie stays good while its
 * entry's neighbours change: slots never move. */
bool cm_dir_next(const uint8_t *blob, size_t len, uint32_t *cookie, struct cm_dir_entry *entry);

unsigned cm_dir_bucket(const char *name);
uint32_t cm_dir_hash(const char *name); /* before reduction to a bucket */
/* Slots that a name of len bytes takes. */
unsigned cm_dir_slots(size_t len);

/* ---- editing (dir_edit.c): the server's algorithm, slot for slot ---- */

struct cm_dir_blob {
	uint8_t *data; /* malloc */
	size_t len;
};

/* An empty directory: "." and "..". ENOMEM. */
int cm_dir_make(struct cm_dir_blob *dir, uint32_t vnode, uint32_t unique, uint32_t parent_vnode, uint32_t parent_unique,
		struct rx_error *err);
/* EEXIST; EINVAL ("" or '/' inside); ENAMETOOLONG; EFBIG: full; ENOMEM; EIO: the blob is
 * not sane. Nothing has changed then, except that empty pages may have been appended. */
int cm_dir_add(struct cm_dir_blob *dir, const char *name, uint32_t vnode, uint32_t unique, struct rx_error *err);
/* ENOENT; EINVAL for "." and "..". The blob never gets shorter. */
int cm_dir_delete(struct cm_dir_blob *dir, const char *name, struct rx_error *err);
/* Points an existing name elsewhere (".." of a moved directory). ENOENT. */
int cm_dir_replace(struct cm_dir_blob *dir, const char *name, uint32_t vnode, uint32_t unique, struct rx_error *err);
/* No names but "." and "..". */
bool cm_dir_is_empty(const uint8_t *blob, size_t len);

#endif
