/* Saying no to a fault. A page that cannot be had gives SIGBUS to whoever touches it,
 * until a timer gives the page back. A refused store to a page that may be read must not
 * disturb the others' loads, so the storing thread alone gets the signal; unless it
 * blocks SIGBUS, then it would wait for ever and the page is covered. */
#include <stdlib.h>

#include "vfs-emu/fault.h"

static int note_bad(struct vfs_mapping *m, uint64_t index, uint64_t due)
{
	struct bad_page *bad = reallocarray(m->bad, m->nbad + 1, sizeof(*bad));

	if (!bad)
		return -1;
	m->bad = bad;
	bad[m->nbad++] = (struct bad_page){ .index = index, .due = due };
	return 0;
}

void sigbus_page(struct vfs_mapping *m, uint64_t index)
{
	uintptr_t addr = mapping_addr(m, index);
	uint64_t due = rx_now_us(m->vfs->env) + VFS_SIGBUS_US;

	if (note_bad(m, index, due) != 0) {
		m->vfs->source->ops->wake(m->vfs->source, addr, CM_PAGE); /* it looks again, and is told then */
		return;
	}
	m->vfs->source->ops->cover(m->vfs->source, addr, m->prot);
	service_deadline(m->vfs, due);
}

void sigbus_store(struct vfs_mapping *m, uint64_t index, uintptr_t addr, int tid)
{
	if (!m->vfs->source->ops->refuse(m->vfs->source, addr, tid))
		sigbus_page(m, index);
}

static uint64_t expire_mapping(struct vfs_mapping *m, uint64_t now)
{
	struct vfs_source *source = m->vfs->source;
	uint64_t next = UINT64_MAX;
	size_t kept = 0;

	for (size_t i = 0; i < m->nbad; i++) {
		struct bad_page bad = m->bad[i];

		if (bad.due <= now) {
			source->ops->uncover(source, mapping_addr(m, bad.index), m->prot, m->space->memfd,
					     bad.index * CM_PAGE);
			continue;
		}
		m->bad[kept++] = bad;
		if (bad.due < next)
			next = bad.due;
	}
	m->nbad = kept;
	return next;
}

uint64_t sigbus_expire(struct vfs *vfs, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	rx_mutex_lock(&vfs->mappings_lock);
	for (size_t i = 0; i < vfs->nmappings; i++) {
		struct vfs_mapping *m = vfs->mappings[i];
		uint64_t due;

		if (m->nbad == 0)
			continue;
		space_lock_mapped(m->space); /* page-ins that would have to arm it come before or after */
		due = expire_mapping(m, now);
		rx_mutex_unlock(&m->space->lock);
		if (due < next)
			next = due;
	}
	rx_mutex_unlock(&vfs->mappings_lock);
	return next;
}
