/* What the operations call of a store: see struct cell_store_ops. cell->lock held. */
#include <errno.h>

#include "tools/cell/internal.h"

void cell_note_vnode(const struct cell_vnode *v)
{
	struct cell_store *s = v->volume->cell->store;

	if (s->ops->note_vnode)
		s->ops->note_vnode(s, v);
}

void cell_note_gone(const struct cell_vnode *v)
{
	struct cell_store *s = v->volume->cell->store;

	if (s->ops->note_gone)
		s->ops->note_gone(s, v);
}

void cell_note_edit(const struct cell_vnode *dir, enum cell_edit edit, const char *name, uint32_t vnode,
		    uint32_t unique)
{
	struct cell_store *s = dir->volume->cell->store;

	if (s->ops->note_edit)
		s->ops->note_edit(s, dir, edit, name, vnode, unique);
}

void cell_note_volume(const struct cell_volume *volume)
{
	struct cell_store *s = volume->cell->store;

	if (s->ops->note_volume)
		s->ops->note_volume(s, volume);
}

void cell_note_principals(struct cell *cell)
{
	if (cell->store->ops->note_principals)
		cell->store->ops->note_principals(cell->store, cell);
}

void cell_note_everything(struct cell *cell)
{
	if (cell->store->ops->note_everything)
		cell->store->ops->note_everything(cell->store);
}

int32_t cell_commit(struct cell *cell)
{
	return cell->store->ops->commit && cell->store->ops->commit(cell->store) ? EIO : 0;
}
