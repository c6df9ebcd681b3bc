/* Volumes and their vnodes: numbers, uniquifiers, quota, copies. Called by operations with
 * cell->lock held. A vnode lives until it is removed or its volume goes; nobody frees one
 * that is busy. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/cell/internal.h"

enum { VNODES_FIRST = 64 };

int64_t cell_blocks(uint64_t length)
{
	return length ? (int64_t)((length + 1023) / 1024) : 1;
}

int32_t cell_quota_check(const struct cell_volume *volume, int64_t more, int64_t spare)
{
	if (volume->quota && more > 0 && volume->used + more > volume->quota + spare)
		return CELL_VOVERQUOTA;
	return 0;
}

void cell_set_length(struct cell_vnode *v, uint64_t length)
{
	v->volume->used += cell_blocks(length) - cell_blocks(v->length);
	v->length = length;
}

void cell_vnode_changed(struct cell_vnode *v, const struct cell_caller *who)
{
	v->data_version++;
	v->server_mtime = v->mtime = (uint32_t)cell_now(v->volume->cell);
	v->volume->updated = v->mtime;
	v->author = who->id;
}

bool cell_vnode_busy(const struct cell_vnode *v, bool exclusive)
{
	return v->writer || (exclusive && v->readers);
}

struct cell_vnode *cell_vnode_find(struct cell_volume *volume, uint32_t vnode, uint32_t unique)
{
	struct cell_vnode *v = vnode < volume->nvnodes ? volume->vnodes[vnode] : NULL;

	return v && v->unique == unique ? v : NULL;
}

/* Room for the number in the table. */
static int32_t make_room(struct cell_volume *volume, uint32_t vnode)
{
	uint32_t n = volume->nvnodes ? volume->nvnodes : VNODES_FIRST;
	struct cell_vnode **vnodes;

	if (vnode < volume->nvnodes)
		return 0;
	while (n <= vnode)
		n *= 2;
	vnodes = realloc(volume->vnodes, n * sizeof(struct cell_vnode *));
	if (!vnodes)
		return ENOMEM;
	memset(vnodes + volume->nvnodes, 0, (n - volume->nvnodes) * sizeof(struct cell_vnode *));
	volume->vnodes = vnodes;
	volume->nvnodes = n;
	return 0;
}

struct cell_vnode *cell_vnode_place(struct cell_volume *volume, uint32_t vnode, uint32_t unique, uint32_t type)
{
	struct cell_vnode *v;

	if (make_room(volume, vnode) || volume->vnodes[vnode])
		return NULL;
	v = calloc(1, sizeof(*v));
	if (!v)
		return NULL;
	*v = (struct cell_vnode){ .volume = volume, .vnode = vnode, .unique = unique, .type = type };
	if (type == AFS_TYPE_FILE) {
		v->content = volume->cell->store->ops->open(volume->cell->store, v);
		if (!v->content) {
			free(v);
			return NULL;
		}
	}
	volume->vnodes[vnode] = v;
	volume->used += cell_blocks(0);
	volume->files++;
	return v;
}

struct cell_vnode *cell_vnode_new(struct cell_volume *volume, uint32_t type, int32_t *code)
{
	unsigned odd = type == AFS_TYPE_DIR;
	uint32_t n = volume->free_hint[odd];
	struct cell_vnode *v;

	*code = cell_quota_check(volume, odd ? 2 : 1, 0);
	if (*code)
		return NULL;
	if (!n)
		n = odd ? 1 : 2;
	while (n < volume->nvnodes && volume->vnodes[n])
		n += 2;
	v = cell_vnode_place(volume, n, volume->next_unique, type);
	if (!v) {
		*code = ENOSPC;
		return NULL;
	}
	volume->next_unique++;
	volume->free_hint[odd] = n + 2;
	return v;
}

/* Everything but the note that it is gone. */
static void forget(struct cell_vnode *v, bool remove)
{
	struct cell_volume *volume = v->volume;
	unsigned odd = v->vnode & 1;

	cell_promises_free(&v->promises);
	if (v->content)
		v->content->ops->close(v->content, remove);
	free(v->dir.data);
	free(v->link);
	volume->used -= cell_blocks(v->length);
	volume->files--;
	volume->vnodes[v->vnode] = NULL;
	if (v->vnode < volume->free_hint[odd])
		volume->free_hint[odd] = v->vnode;
	free(v);
}

void cell_vnode_discard(struct cell_vnode *v)
{
	forget(v, true);
}

void cell_vnode_free(struct cell_vnode *v)
{
	cell_note_gone(v);
	forget(v, true);
}

struct cell_volume *cell_volume_place(struct cell *cell, struct cell_fs *fs, const char *name, uint32_t id)
{
	struct cell_volume *volume = calloc(1, sizeof(*volume)), **end = &cell->volumes;

	if (!volume)
		return NULL;
	volume->cell = cell;
	volume->fs = fs;
	volume->id = volume->rw_id = id;
	volume->next_unique = 1;
	volume->created = volume->updated = volume->copied = (uint32_t)cell_now(cell);
	snprintf(volume->name, sizeof(volume->name), "%s", name);
	while (*end)
		end = &(*end)->next;
	*end = volume;
	return volume;
}

struct cell_volume *cell_volume_new(struct cell *cell, struct cell_fs *fs, const char *name, uint32_t id, int64_t quota)
{
	struct cell_volume *volume = cell_volume_place(cell, fs, name, id);
	struct cell_vnode *root;
	int32_t code;

	if (!volume)
		return NULL;
	root = cell_vnode_new(volume, AFS_TYPE_DIR, &code);
	if (!root || cell_dir_new(root, root)) {
		cell_volume_free(volume);
		return NULL;
	}
	root->mode = 0777;
	root->links = 2;
	root->data_version = 1;
	root->mtime = root->server_mtime = volume->created;
	root->acl.npositive = 1;
	root->acl.positive[0].id = AFS_ID_ADMINISTRATORS;
	root->acl.positive[0].rights = CM_RIGHTS_ALL;
	volume->quota = quota;
	cell_note_volume(volume);
	cell_note_vnode(root);
	return volume;
}

static bool copy_content(struct cell_vnode *to, const struct cell_vnode *from)
{
	static const size_t piece = 65536;
	uint8_t *buf = malloc(piece);
	bool ok = buf != NULL;

	for (uint64_t off = 0; ok && off < from->length; off += piece) {
		size_t n = from->length - off < piece ? (size_t)(from->length - off) : piece;

		ok = !from->content->ops->read(from->content, off, buf, n) &&
		     !to->content->ops->write(to->content, off, buf, n);
	}
	free(buf);
	return ok;
}

static bool copy_vnode(struct cell_volume *to, const struct cell_vnode *from)
{
	struct cell_vnode *v = cell_vnode_place(to, from->vnode, from->unique, from->type), fresh;

	if (!v)
		return false;
	fresh = *v;
	*v = *from;
	v->volume = to;
	v->content = fresh.content;
	v->dir = (struct cm_dir_blob){ 0 };
	v->link = NULL;
	v->promises = NULL;
	v->readers = 0;
	v->writer = false;
	v->lock_count = 0;
	v->length = 0;
	cell_set_length(v, from->length);
	if (from->dir.data) {
		v->dir.data = malloc(from->dir.len);
		if (!v->dir.data)
			return false;
		memcpy(v->dir.data, from->dir.data, from->dir.len);
		v->dir.len = from->dir.len;
	}
	if (from->link && !(v->link = strdup(from->link)))
		return false;
	if (from->content && !copy_content(v, from))
		return false;
	return true;
}

bool cell_volume_refresh(struct cell_volume *copy, const struct cell_volume *rw)
{
	for (uint32_t i = 0; i < copy->nvnodes; i++)
		if (copy->vnodes[i])
			cell_vnode_free(copy->vnodes[i]);
	copy->quota = rw->quota;
	copy->next_unique = rw->next_unique;
	copy->created = copy->copied = (uint32_t)cell_now(rw->cell);
	copy->updated = rw->updated;
	cell_note_everything(copy->cell);
	for (uint32_t i = 0; i < rw->nvnodes; i++)
		if (rw->vnodes[i] && !copy_vnode(copy, rw->vnodes[i]))
			return false;
	return true;
}

struct cell_volume *cell_volume_clone(struct cell_volume *rw, struct cell_fs *fs, int kind, uint32_t id)
{
	char name[CELL_NAME_MAX];
	struct cell_volume *copy;

	snprintf(name, sizeof(name), "%.48s%s", rw->name, kind == AFS_VOLUME_RO ? ".readonly" : ".backup");
	copy = cell_volume_place(rw->cell, fs, name, id);
	if (!copy)
		return NULL;
	copy->kind = kind;
	copy->rw_id = rw->id;
	if (!cell_volume_refresh(copy, rw)) {
		cell_volume_free(copy);
		return NULL;
	}
	return copy;
}

bool cell_volume_busy(const struct cell_volume *volume)
{
	for (uint32_t i = 0; i < volume->nvnodes; i++)
		if (volume->vnodes[i] && cell_vnode_busy(volume->vnodes[i], true))
			return true;
	return false;
}

void cell_volume_free(struct cell_volume *volume)
{
	struct cell_volume **at = &volume->cell->volumes;

	while (*at != volume)
		at = &(*at)->next;
	*at = volume->next;
	for (uint32_t i = 0; i < volume->nvnodes; i++)
		if (volume->vnodes[i])
			forget(volume->vnodes[i], false);
	cell_promises_free(&volume->promises);
	free(volume->vnodes);
	free(volume);
}

struct cell_volume *cell_volume_find(struct cell *cell, const struct cell_fs *fs, uint32_t id)
{
	for (struct cell_volume *v = cell->volumes; v; v = v->next)
		if (v->id == id && (!fs || v->fs == fs))
			return v;
	return NULL;
}

struct cell_volume *cell_volume_by_name(struct cell *cell, const char *name)
{
	for (struct cell_volume *v = cell->volumes; v; v = v->next)
		if (v->kind == AFS_VOLUME_RW && !strcmp(v->name, name))
			return v;
	return NULL;
}
