/* Opening, storing and closing. */
#include <errno.h>
#include <stdlib.h>

#include "vfs-emu/file.h"

int vfs_open(struct vfs *vfs, struct cm_vnode *v, struct cm_token *t, bool write, struct vfs_file **out,
	     struct rx_error *err)
{
	struct vfs_file *f = calloc(1, sizeof(*f));

	if (!f)
		return rx_error_errno(err, ENOMEM, "cannot open");
	space_reap(vfs);
	f->vfs = vfs;
	f->space = space_open(vfs, v, err);
	if (!f->space) {
		free(f);
		return -1;
	}
	f->token = cm_token_get(t);
	f->write = write;
	f->cursor = cm_cursor_sample(v, t);
	f->ahead_next = UINT64_MAX;
	*out = f;
	return 0;
}

struct cm_vnode *vfs_file_vnode(struct vfs_file *f)
{
	return f->space->vnode;
}

/* A flush during a truncation would be put off: wait until that is over. */
static void wait_truncation(struct space *sp)
{
	uint64_t seq;
	bool busy = true;

	while (busy) {
		seq = space_seq(sp);
		rx_mutex_lock(&sp->lock);
		busy = sp->truncating;
		rx_mutex_unlock(&sp->lock);
		if (busy)
			space_wait(sp, seq, UINT64_MAX);
	}
}

int file_sync(struct space *sp, struct cm_token *t, uint64_t from, uint64_t to, uint64_t *cursor, struct rx_error *err)
{
	struct rx_error lost = { 0 }, kept = { 0 };
	int flushed, told;

	do {
		wait_truncation(sp);
		flushed = cm_flush(sp->vnode, t, from, to, true, &kept);
	} while (flushed != 0 && kept.origin == RX_ORIGIN_ERRNO && kept.code == EAGAIN);
	/* A record that was killed just now has moved the cursor too: one error, told once. */
	rx_mutex_lock(&sp->lock);
	told = cm_cursor_check(sp->vnode, t, cursor, &lost);
	rx_mutex_unlock(&sp->lock);
	if (flushed != 0 && err)
		*err = kept;
	if (told != 0 && err)
		*err = lost;
	return flushed != 0 || told != 0 ? -1 : 0;
}

int vfs_fsync(struct vfs_file *f, struct rx_error *err)
{
	return file_sync(f->space, f->token, 0, UINT64_MAX, &f->cursor, err);
}

int vfs_close(struct vfs_file *f, struct rx_error *err)
{
	int rc = vfs_fsync(f, err);

	vfs_drop(f);
	return rc;
}

void vfs_drop(struct vfs_file *f)
{
	struct vfs *vfs = f->vfs;

	space_put(f->space);
	cm_token_put(f->token);
	free(f);
	space_reap(vfs);
}

void vfs_page_view(struct vfs_file *f, uint64_t index, struct vfs_page_view *out)
{
	struct space *sp = f->space;
	unsigned bits;

	rx_mutex_lock(&sp->lock);
	bits = page_bits(sp, index);
	*out = (struct vfs_page_view){
		.uptodate = bits & PAGE_U,
		.dirty = bits & PAGE_D,
		.writeback = bits & PAGE_W,
		.locked = bits & PAGE_L,
	};
	out->bound = cm_record_at(sp->vnode, index, &out->record);
	rx_mutex_unlock(&sp->lock);
}
