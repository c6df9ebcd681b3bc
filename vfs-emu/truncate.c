/* Truncation, one at a time per space: grants and page-ins beyond the new end wait (the
 * bound), what is in flight lands first (its late arrival would lengthen the file again),
 * the server is asked, and only on its yes anything changes here. */
#include <assert.h>
#include <errno.h>

#include "vfs-emu/file.h"

static void begin(struct space *sp, uint64_t bound)
{
	uint64_t seq;
	bool mine = false;

	while (!mine) {
		seq = space_seq(sp);
		space_lock(sp);
		mine = !sp->truncating;
		if (mine) {
			sp->truncating = true;
			sp->bound = bound;
		}
		space_unlock(sp);
		if (!mine)
			space_wait(sp, seq, UINT64_MAX);
	}
}

static void end(struct space *sp)
{
	rx_mutex_lock(&sp->lock);
	sp->truncating = false;
	sp->bound = UINT64_MAX;
	rx_mutex_unlock(&sp->lock);
	space_changed(sp);
}

/* Records that have become WRITING since are refused by prepare and come back at once. */
static void cut(struct space *sp, uint64_t size)
{
	bool done = false;

	while (!done) {
		cm_flush_settle(sp->vnode, size);
		space_lock(sp);
		done = cm_record_truncate(sp->vnode, size);
		if (done) {
			space_cut(sp, size);
			space_sync_size(sp);
		}
		space_unlock(sp);
	}
}

int vfs_truncate(struct vfs_file *f, uint64_t size, struct rx_error *err)
{
	struct space *sp = f->space;
	uint64_t old, validated;
	int rc;

	if (!f->write)
		return rx_error_errno(err, EBADF, "cannot truncate: the file is open for reading only");
	if (size > (uint64_t)INT64_MAX - CM_PAGE)
		return rx_error_errno(err, EFBIG, "cannot truncate to %llu bytes", (unsigned long long)size);
	if (!cm_is_valid(sp->vnode) && space_validate(sp, f->token, &validated, err) != 0)
		return -1;
	old = cm_size(sp->vnode);
	begin(sp, size < old ? size : old);
	cm_flush_settle(sp->vnode, 0);
	rc = cm_truncate(sp->vnode, f->token, size, err);
	if (rc == 0)
		cut(sp, size);
	end(sp);
	return rc;
}
