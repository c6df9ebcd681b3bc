/* Directories of the file server: blobs as they go over the wire, edited by cm/dir.h, with
 * the store told of each edit and the volume charged for growth. Called by operations with
 * cell->lock held. */
#include <errno.h>
#include <stdlib.h>

#include "tools/cell/internal.h"

static int32_t code_of(const struct rx_error *err)
{
	return err->code;
}

int32_t cell_name_check(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || strchr(name, '/') || (len >= 4 && !strcmp(name + len - 4, "@sys")))
		return EINVAL;
	return 0;
}

int32_t cell_dir_new(struct cell_vnode *dir, const struct cell_vnode *parent)
{
	struct rx_error err;

	if (cm_dir_make(&dir->dir, dir->vnode, dir->unique, parent->vnode, parent->unique, &err))
		return code_of(&err);
	dir->parent_vnode = parent->vnode;
	dir->parent_unique = parent->unique;
	cell_set_length(dir, dir->dir.len);
	return 0;
}

int32_t cell_dir_add(struct cell_vnode *dir, const char *name, uint32_t vnode, uint32_t unique)
{
	struct rx_error err;

	if (cm_dir_add(&dir->dir, name, vnode, unique, &err))
		return code_of(&err);
	cell_set_length(dir, dir->dir.len);
	cell_note_edit(dir, CELL_EDIT_ADD, name, vnode, unique);
	return 0;
}

int32_t cell_dir_remove(struct cell_vnode *dir, const char *name)
{
	struct rx_error err;

	if (cm_dir_delete(&dir->dir, name, &err))
		return code_of(&err);
	cell_note_edit(dir, CELL_EDIT_REMOVE, name, 0, 0);
	return 0;
}

int32_t cell_dir_find(struct cell_vnode *dir, const char *name, struct cell_vnode **out)
{
	struct cm_dir_entry e;

	if (!cm_dir_lookup(dir->dir.data, dir->dir.len, name, &e))
		return ENOENT;
	*out = cell_vnode_find(dir->volume, e.vnode, e.unique);
	return *out ? 0 : EIO;
}

int32_t cell_dir_set_parent(struct cell_vnode *dir, const struct cell_vnode *parent)
{
	struct rx_error err;

	if (cm_dir_replace(&dir->dir, "..", parent->vnode, parent->unique, &err))
		return code_of(&err);
	dir->parent_vnode = parent->vnode;
	dir->parent_unique = parent->unique;
	cell_note_edit(dir, CELL_EDIT_REPLACE, "..", parent->vnode, parent->unique);
	return 0;
}
