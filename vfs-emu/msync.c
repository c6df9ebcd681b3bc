/* msync: the part of fsync that goes by address. Each mapping in the range reports with
 * its own token and its own cursor. */
#include <errno.h>
#include <sys/mman.h>

#include "vfs-emu/file.h"
#include "vfs-emu/mapping.h"

/* The first mapping that ends beyond *at, with a reference, and its bytes below end;
 * *at moves behind it. */
static struct vfs_mapping *next_mapping(struct vfs *vfs, uintptr_t *at, uintptr_t end, uint64_t *from, uint64_t *to)
{
	struct vfs_mapping *m = NULL;
	uintptr_t low, high;

	rx_mutex_lock(&vfs->mappings_lock);
	for (size_t i = 0; i < vfs->nmappings && !m; i++)
		if (vfs->mappings[i]->addr + vfs->mappings[i]->len > *at && vfs->mappings[i]->addr < end)
			m = vfs->mappings[i];
	if (m) {
		mapping_get(m);
		low = m->addr > *at ? m->addr : *at;
		high = m->addr + m->len < end ? m->addr + m->len : end;
		*from = mapping_index(m, low) * CM_PAGE + low % CM_PAGE;
		*to = *from + (high - low);
		*at = high;
	}
	rx_mutex_unlock(&vfs->mappings_lock);
	return m;
}

int vfs_msync(struct vfs *vfs, void *addr, size_t len, int flags, struct rx_error *err)
{
	uintptr_t at = (uintptr_t)addr, end = at + len;
	struct rx_error error;
	struct vfs_mapping *m;
	uint64_t from, to;
	bool any = false;
	int rc = 0;

	if (at % CM_PAGE != 0 || end < at || (flags & ~(MS_SYNC | MS_ASYNC | MS_INVALIDATE)) ||
	    ((flags & MS_SYNC) && (flags & MS_ASYNC)))
		return rx_error_errno(err, EINVAL, "msync");
	while (at < end && (m = next_mapping(vfs, &at, end, &from, &to)) != NULL) {
		any = true;
		if (!(flags & MS_SYNC)) {
			cm_flush_start(m->space->vnode, m->token, from, to);
		} else if (file_sync(m->space, m->token, from, to, &m->cursor, &error) != 0 && rc == 0) {
			rc = -1;
			if (err)
				*err = error;
		}
		mapping_put(m);
	}
	if (!any && len > 0)
		return rx_error_errno(err, ENOMEM, "msync: no mapping of this client there");
	return rc;
}
