/* Looks into the embedded cell behind the protocol's back: what a file holds at the server,
 * and whether the server could not tell a client something yet. Called by stages, on any
 * thread of a play; takes the cell's lock. */
#include "tools/storm/inside.h"

#include <string.h>

struct cell_vnode *storm_inside_vnode(struct cell *cell, const struct cm_fid *fid)
{
	struct cell_volume *volume = cell_volume_find(cell, &cell->fs[0], fid->volume);

	return volume ? cell_vnode_find(volume, fid->vnode, fid->unique) : NULL;
}

int64_t storm_inside_peek(struct cell *cell, const struct cm_fid *fid, uint8_t *buf, size_t cap)
{
	struct cell_vnode *v;
	int64_t size = -1;

	rx_mutex_lock(&cell->lock);
	v = storm_inside_vnode(cell, fid);
	if (v && v->type == AFS_TYPE_FILE) {
		size = (int64_t)v->length;
		if (v->content->ops->read(v->content, 0, buf, v->length < cap ? v->length : cap) != 0)
			size = -1;
	}
	rx_mutex_unlock(&cell->lock);
	return size;
}

/* The server has something to tell it, or does not know it (any more). */
bool storm_inside_missed(struct cell *cell, uint32_t ip)
{
	bool known = false, behind = false;

	rx_mutex_lock(&cell->lock);
	for (const struct cell_host *h = cell->fs[0].hosts; h; h = h->next) {
		if (h->gone || rx_addr_ip(&h->addr) != ip)
			continue;
		known = true;
		behind |= h->state != CELL_HOST_GOOD || h->ndelayed > 0 || h->reset_due;
	}
	rx_mutex_unlock(&cell->lock);
	return !known || behind;
}

bool storm_inside_is_store(const struct cell_rpc *rpc)
{
	return !strcmp(rpc->service, "fs") && !strncmp(rpc->name, "StoreData", 9);
}
