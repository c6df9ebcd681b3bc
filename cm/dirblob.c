/* Directories as bytes: the whole blob of a directory at one data version, fetched at
 * need, checked once and shared by readers; after an own change that no other came
 * between, the same edit is made on a copy. Called by cm/walk.c and cm/dirops.c on any
 * thread, without locks. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cm/dir.h"
#include "cm/internal.h"
#include "rx/maybe.h"

enum { TRIES = 10 };

struct cm_blob *cm_blob_get(struct cm_blob *b)
{
	b->refs++;
	return b;
}

void cm_blob_put(struct cm_blob *b)
{
	if (b && --b->refs == 0)
		free(b);
}

void cm_dir_forget(struct cm_vnode *dir)
{
	struct cm_blob *old;

	rx_mutex_lock(&dir->lock);
	old = dir->blob;
	dir->blob = NULL;
	rx_mutex_unlock(&dir->lock);
	cm_blob_put(old);
}

static struct cm_blob *blob_new(size_t len)
{
	struct cm_blob *b = malloc(sizeof(*b) + len);

	if (b) {
		b->refs = 1;
		b->version = 0;
		b->len = len;
	}
	return b;
}

static int fetch_blob(struct cm_vnode *dir, struct cm_token *t, uint64_t size, struct cm_blob **out,
		      struct rx_error *err)
{
	struct cm_blob *b = blob_new(size);
	size_t got;

	if (!b)
		return rx_error_errno(err, ENOMEM, "reading a directory");
	if (cm_fetch(dir, t, 0, b->bytes, size, &got, &b->version, err)) {
		free(b);
		return -1;
	}
	b->len = got;
	*out = b;
	return 0;
}

/* The cached one, if it may be used now. With *size: how big the directory is. */
static struct cm_blob *cached(struct cm_vnode *dir, uint64_t *size)
{
	struct cm_blob *b = NULL;

	rx_mutex_lock(&dir->lock);
	*size = dir->attr.server_size;
	if (cm_vnode_good(dir) && dir->blob && dir->blob->version == dir->attr.data_version)
		b = cm_blob_get(dir->blob);
	rx_mutex_unlock(&dir->lock);
	return b;
}

int cm_dir_blob(struct cm_vnode *dir, struct cm_token *t, struct cm_blob **out, struct rx_error *err)
{
	struct cm_blob *b = NULL, *old;
	struct cm_attr attr;
	uint64_t size;
	char buf[384];
	bool whole;

	if (UMAFS_MAYBE(dir->cm->env, BLOB_FORGOTTEN))
		cm_dir_forget(dir);
	for (int i = 0; i < TRIES; i++) {
		if (cm_getattr(dir, t, &attr, err))
			return -1;
		if (attr.type != CM_DIR)
			return rx_error_set(err, RX_ORIGIN_ERRNO, ENOTDIR, ENOTDIR, "%s is not a directory",
					    cm_vnode_text(dir, buf));
		if (cm_may_read(dir, t, err))
			return -1;
		b = cached(dir, &size);
		if (b) {
			*out = b;
			return 0;
		}
		if (size == 0 || size > (uint64_t)CM_DIR_MAX_PAGES * CM_DIR_PAGE)
			return rx_error_set(err, RX_ORIGIN_ERRNO, EIO, EIO, "%s: a directory of %llu bytes cannot be",
					    cm_vnode_text(dir, buf), (unsigned long long)size);
		if (fetch_blob(dir, t, size, &b, err))
			return -1;
		rx_mutex_lock(&dir->lock);
		whole = b->version == dir->attr.data_version && b->len == dir->attr.server_size;
		rx_mutex_unlock(&dir->lock);
		if (whole)
			break;
		/* It changed while we read it. */
		cm_blob_put(b);
		b = NULL;
	}
	if (!b)
		return rx_error_set(err, RX_ORIGIN_ERRNO, ESTALE, ESTALE,
				    "%s changes faster than it can be read: try again", cm_vnode_text(dir, buf));
	if (cm_dir_check(b->bytes, b->len, err)) {
		rx_error_prefix(err, "%s", cm_vnode_text(dir, buf));
		cm_blob_put(b);
		return -1;
	}
	rx_mutex_lock(&dir->lock);
	old = dir->blob;
	dir->blob = cm_blob_get(b);
	rx_mutex_unlock(&dir->lock);
	cm_blob_put(old);
	*out = b;
	return 0;
}

static int edit(struct cm_dir_blob *copy, const struct cm_dir_edit *edits, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct cm_dir_edit *e = &edits[i];
		struct cm_dir_entry entry;
		bool there = cm_dir_lookup(copy->data, copy->len, e->name, &entry);

		if (e->add) {
			if (there || cm_dir_add(copy, e->name, e->fid.vnode, e->fid.unique, NULL))
				return -1;
		} else if (there) {
			if (cm_dir_delete(copy, e->name, NULL))
				return -1;
		} else if (!e->may_lack) {
			return -1;
		}
	}
	return 0;
}

void cm_dir_edit(struct cm_vnode *dir, struct cm_blob *before, const struct cm_dir_edit *edits, unsigned n)
{
	struct cm_dir_blob copy = { NULL, 0 };
	struct cm_blob *after = NULL, *old;

	if (before) {
		copy.data = malloc(before->len);
		if (copy.data) {
			copy.len = before->len;
			memcpy(copy.data, before->bytes, before->len);
			if (edit(&copy, edits, n) == 0)
				after = blob_new(copy.len);
		}
		if (after)
			memcpy(after->bytes, copy.data, copy.len);
		free(copy.data);
	}
	if (UMAFS_MAYBE(dir->cm->env, DIR_NOT_EDITED)) {
		cm_blob_put(after);
		after = NULL;
	}
	rx_mutex_lock(&dir->lock);
	old = dir->blob;
	dir->blob = NULL;
	/* Only our own change lies between the two versions, or nothing is known. */
	if (after && cm_vnode_good(dir) && dir->attr.data_version == before->version + 1 &&
	    dir->proven_from <= before->version && dir->attr.server_size == after->len) {
		after->version = dir->attr.data_version;
		dir->blob = after;
		after = NULL;
	}
	rx_mutex_unlock(&dir->lock);
	cm_blob_put(old);
	cm_blob_put(after);
}

struct cm_blob *cm_dir_peek(struct cm_vnode *dir)
{
	uint64_t size;

	return cached(dir, &size);
}
