/* read() and write() through the page cache. Both run on the caller's thread, RPCs
 * included; while a lock is held they touch no caller's memory, which may lie in one of
 * our own mappings: write copies it into a bounce buffer first, read out of one last. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rx/maybe.h"
#include "vfs-emu/file.h"
#include "vfs-emu/mapping.h"
#include "vfs-emu/readpage.h"

enum { BOUNCE = 256 * 1024 };

/* ---- read ---- */

/* The memfd's bytes into the caller's memory. The kernel fills it directly unless it is an
 * umafs mapping whose pages it cannot touch; then by way of a bounce buffer. */
static int copy_out(const struct space *sp, uint8_t *buf, size_t len, uint64_t off, struct rx_error *err)
{
	uint8_t *bounce = NULL;
	int rc = 0;

	while (len > 0 && rc == 0) {
		size_t want = bounce && len > BOUNCE ? BOUNCE : len;
		ssize_t n = pread(sp->memfd, bounce ? bounce : buf, want, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 && !bounce) {
			bounce = malloc(BOUNCE);
			if (!bounce)
				rc = rx_error_errno(err, ENOMEM, "cannot read");
			continue;
		}
		if (n <= 0) {
			rc = rx_error_errno(err, n < 0 ? errno : EAGAIN, "cannot read a cached page");
			break;
		}
		if (bounce)
			memcpy(buf, bounce, (size_t)n);
		buf += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	free(bounce);
	return rc;
}

enum look { LOOK_READY, LOOK_EOF, LOOK_WAIT, LOOK_INVALID, LOOK_ABSENT, LOOK_NOMEM };

/* What can be done about bytes [off, off+*len) now; READY: *len of them are up to date. */
static enum look look_for_read(struct vfs_file *f, uint64_t off, size_t *len, uint64_t validated, uint64_t *punch_gen,
			       struct read_run *run)
{
	struct space *sp = f->space;
	uint64_t index = page_of(off), first, n, want;
	enum look look = LOOK_READY;
	unsigned bits;

	space_lock(sp);
	bits = page_bits(sp, index);
	if (!space_is_valid(sp, validated)) {
		look = LOOK_INVALID;
	} else if (off >= sp->size) {
		look = LOOK_EOF;
	} else if ((bits & PAGE_L) || (!(bits & PAGE_U) && index >= page_of(sp->bound))) {
		look = LOOK_WAIT;
	} else if (bits & PAGE_U) {
		if (*len > sp->size - off)
			*len = (size_t)(sp->size - off);
		if (*len > CM_PAGE - off % CM_PAGE && UMAFS_MAYBE(sp->vfs->env, READ_BY_PAGE))
			*len = (size_t)(CM_PAGE - off % CM_PAGE);
		page_next_run(sp, index, page_of(off + *len - 1) + 1, PAGE_U, PAGE_U, &first, &n);
		if (off + *len > (first + n) * CM_PAGE)
			*len = (size_t)((first + n) * CM_PAGE - off);
		*punch_gen = sp->punch_gen;
	} else {
		look = LOOK_ABSENT;
		want = page_of(off + *len - 1) - index + 1;
		want = readpage_window(index, want < READ_PAGES_MAX ? want : READ_PAGES_MAX, &f->ahead_next, &f->ahead);
		if (!readpage_mark(sp, index, want, run))
			look = LOOK_NOMEM;
		f->ahead_next = index + run->n;
	}
	space_unlock(sp);
	return look;
}

static bool was_punched(struct space *sp, uint64_t punch_gen)
{
	bool moved;

	rx_mutex_lock(&sp->lock);
	moved = sp->punch_gen != punch_gen;
	rx_mutex_unlock(&sp->lock);
	return moved || UMAFS_MAYBE(sp->vfs->env, READ_PUNCHED);
}

/* Some bytes at off: > 0, 0 at the end of the file, -1. */
static ssize_t read_some(struct vfs_file *f, uint8_t *buf, size_t len, uint64_t off, struct rx_error *err)
{
	struct space *sp = f->space;
	uint64_t validated = 0, punch_gen, seq;
	struct read_run run;
	size_t n;
	int rc = 0;

	for (;;) {
		n = len;
		seq = space_seq(sp);
		switch (look_for_read(f, off, &n, validated, &punch_gen, &run)) {
		case LOOK_EOF:
			return 0;
		case LOOK_INVALID:
			rc = space_validate(sp, f->token, &validated, err);
			break;
		case LOOK_WAIT:
			space_wait(sp, seq, UINT64_MAX);
			break;
		case LOOK_ABSENT:
			rc = readpage_fill(sp, f->token, &run, err);
			break;
		case LOOK_NOMEM:
			rc = rx_error_errno(err, ENOMEM, "no memory for a file's pages");
			break;
		case LOOK_READY:
			rc = copy_out(sp, buf, n, off, err);
			/* A page that went while it was copied may have been copied as a hole. */
			if (!was_punched(sp, punch_gen))
				return rc == 0 ? (ssize_t)n : -1;
			rc = 0;
			break;
		}
		if (rc != 0)
			return -1;
	}
}

ssize_t vfs_pread(struct vfs_file *f, void *buf, size_t len, uint64_t off, struct rx_error *err)
{
	size_t done = 0;

	if (off > (uint64_t)INT64_MAX || len > (size_t)INT64_MAX - off)
		return rx_error_errno(err, EINVAL, "cannot read at %llu", (unsigned long long)off);
	if (cm_may_read(f->space->vnode, f->token, err) != 0)
		return -1;
	while (done < len) {
		ssize_t n = read_some(f, (uint8_t *)buf + done, len - done, off + done, err);

		if (n < 0)
			return done > 0 ? (ssize_t)done : -1;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* ---- write ---- */

enum put { PUT_DONE, PUT_WAIT, PUT_CONFLICT, PUT_INVALID, PUT_READ, PUT_NOMEM };

struct writer {
	struct vfs_file *f;
	const uint8_t *bytes; /* what is left of the bounce buffer */
	size_t len;
	uint64_t off;
	uint64_t seq, deadline, validated;
	struct claim claim;
	struct read_run run;
};

/* The dirty bytes of page index, [*from, *to) in it. */
static void span(const struct writer *w, uint64_t index, uint32_t *from, uint32_t *to)
{
	uint64_t base = index * CM_PAGE, end = w->off + w->len;

	*from = w->off > base ? (uint32_t)(w->off - base) : 0;
	*to = end < base + CM_PAGE ? (uint32_t)(end - base) : CM_PAGE;
}

/* Nothing of the page's present content outlives the write. */
static bool covers(const struct writer *w, uint64_t index, uint64_t size)
{
	uint32_t from, to;

	span(w, index, &from, &to);
	return index * CM_PAGE >= size || (from == 0 && (to == CM_PAGE || index * CM_PAGE + to >= size));
}

static int put_bytes(int fd, const uint8_t *bytes, size_t len, uint64_t off)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, bytes, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		bytes += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* The file is as long as the write makes it before a page beyond its end is touched. */
static void extend(struct writer *w, uint64_t end)
{
	struct space *sp = w->f->space;

	if (end <= sp->size)
		return;
	cm_extend(sp->vnode, end);
	space_sync_size(sp);
}

static void advance(struct writer *w, uint64_t to)
{
	size_t n = (size_t)(to - w->off);

	w->bytes += n;
	w->off += n;
	w->len -= n;
}

/* What a new page held before it was written in part. Without memory for it the page
 * counts as written as a whole. */
static void blank_twin(struct space *sp, uint64_t index)
{
	uint8_t *twin = page_twin_alloc(sp, index);

	if (twin)
		memset(twin, 0, CM_PAGE);
}

/* The bytes for n pages that are L, whole pages of them. */
static int fill_fresh(struct writer *w, uint64_t first, uint64_t n, uint64_t end)
{
	struct space *sp = w->f->space;
	uint8_t page[CM_PAGE];
	uint32_t from, to;
	int rc = 0;

	if (end - w->off == n * CM_PAGE)
		return put_bytes(sp->memfd, w->bytes, (size_t)(n * CM_PAGE), first * CM_PAGE);
	for (uint64_t i = first; i < first + n && rc == 0; i++) {
		const uint8_t *src = w->bytes + (i == first ? 0 : i * CM_PAGE - w->off);

		span(w, i, &from, &to);
		memset(page, 0, sizeof(page));
		memcpy(page + from, src, to - from);
		rc = put_bytes(sp->memfd, page, CM_PAGE, i * CM_PAGE);
	}
	return rc;
}

/* Binds pages that nobody has; returns how many there was memory for. Nobody can have them:
 * without a record in the way (checked) an EMPTY page is granted to whoever comes. */
static uint64_t bind_fresh(struct writer *w, uint64_t first, uint64_t n)
{
	struct space *sp = w->f->space;
	struct cm_record_view view;
	uint32_t from, to;

	for (uint64_t i = first; i < first + n; i++) {
		enum cm_grant grant;

		span(w, i, &from, &to);
		grant = cm_record_grant(sp->vnode, w->f->token, i, from, to, false, &view);
		assert(grant != CM_CONFLICT);
		if (grant == CM_NOMEM)
			return i - first;
	}
	return n;
}

/* Pages that are not there and need not be read: written first, so that failure leaves no
 * record behind, then bound; what could not be is as if it had never been written. */
static enum put put_fresh(struct writer *w, uint64_t first, uint64_t n)
{
	struct space *sp = w->f->space;
	uint64_t base = first * CM_PAGE, end = w->off + w->len, bound = 0;
	uint32_t from, to;

	n = page_reserve(sp, first, n);
	if (end > base + n * CM_PAGE)
		end = base + n * CM_PAGE;
	if (n > 0)
		space_make_room(sp, end);
	if (sp->vfs->source->mode == VFS_MODE_BASIC)
		mapping_arm_all(sp, first, n);
	for (uint64_t i = first; i < first + n; i++)
		page_change(sp, i, PAGE_L, 0);
	if (n > 0 && fill_fresh(w, first, n, end) == 0)
		bound = bind_fresh(w, first, n);
	if (bound < n)
		space_punch(sp, first + bound, n - bound);
	for (uint64_t i = first + bound; i < first + n; i++)
		page_change(sp, i, 0, PAGE_L);
	if (bound == 0) {
		space_sync_size(sp);
		return PUT_NOMEM;
	}
	if (end > base + bound * CM_PAGE)
		end = base + bound * CM_PAGE;
	extend(w, end);
	for (uint64_t i = first; i < first + bound; i++) {
		page_change(sp, i, PAGE_U, PAGE_L);
		page_change(sp, i, PAGE_D, 0);
		span(w, i, &from, &to);
		if (from > 0 || to < CM_PAGE)
			blank_twin(sp, i);
	}
	space_sync_size(sp);
	advance(w, end);
	return PUT_DONE;
}

/* Pages that are up to date: bound one by one up to the first that another holds, then
 * written. Pages that are written in part get a twin, in case a mapping joins later. */
static enum put put_over(struct writer *w, uint64_t first, uint64_t n)
{
	struct space *sp = w->f->space;
	uint64_t granted = 0, end = w->off + w->len;
	struct cm_record_view view;
	enum cm_grant grant;
	uint32_t from, to;

	for (; granted < n; granted++) {
		uint64_t i = first + granted;
		bool fresh = !(page_bits(sp, i) & PAGE_D), whole;

		span(w, i, &from, &to);
		whole = from == 0 && to == CM_PAGE;
		if (claim_is_behind(sp, i, w->f->token, w->seq))
			break;
		if (fresh && !whole && twin_make(sp, i) != 0) {
			if (granted == 0)
				return PUT_NOMEM;
			break;
		}
		grant = cm_record_grant(sp->vnode, w->f->token, i, from, to, false, &view);
		if (grant != CM_GRANTED) {
			if (fresh)
				twin_drop(sp, i);
			if (grant == CM_NOMEM && granted == 0)
				return PUT_NOMEM;
			break;
		}
		page_change(sp, i, PAGE_D, 0);
		if (whole)
			twin_drop(sp, i); /* every byte of it is ours now */
	}
	if (granted == 0)
		return PUT_CONFLICT;
	if (end > (first + granted) * CM_PAGE)
		end = (first + granted) * CM_PAGE;
	extend(w, end);
	if (put_bytes(sp->memfd, w->bytes, (size_t)(end - w->off), w->off) != 0)
		abort(); /* bound pages that are present cannot fail to be written but for a lost swap device */
	advance(w, end);
	return PUT_DONE;
}

/* How many pages from first on are absent, unbound, and need no reading. */
static uint64_t fresh_run(struct writer *w, uint64_t first, uint64_t end)
{
	struct space *sp = w->f->space;
	struct cm_record_view view;
	uint64_t n = 0;

	if (cm_record_next(sp->vnode, first, &view) && view.first < end)
		end = view.first > first ? view.first : first;
	while (first + n < end && page_bits(sp, first + n) == 0 && covers(w, first + n, sp->size))
		n++;
	return n;
}

/* Both locks held: as many bytes as can be put in one go. */
static enum put put_some(struct writer *w)
{
	struct space *sp = w->f->space;
	uint64_t index = page_of(w->off), end = page_of(w->off + w->len - 1) + 1, first, n;
	unsigned bits = page_bits(sp, index);

	/* Pages need a version to be compared with later, also those that are only written. */
	if (!space_is_valid(sp, w->validated) || !sp->has_version)
		return PUT_INVALID;
	if (end > page_of(sp->bound))
		end = page_of(sp->bound);
	if (end > index + 1 && UMAFS_MAYBE(sp->vfs->env, WRITE_BY_PAGE))
		end = index + 1;
	if (index >= end)
		return PUT_WAIT;
	if (bits & PAGE_L)
		return PUT_WAIT;
	if (bits & PAGE_W)
		return PUT_CONFLICT;
	if (bits & PAGE_U) {
		page_next_run(sp, index, end, PAGE_U | PAGE_W, PAGE_U, &first, &n);
		return put_over(w, index, n);
	}
	if (!covers(w, index, sp->size)) {
		return readpage_mark(sp, index, 1, &w->run) ? PUT_READ : PUT_NOMEM;
	}
	n = fresh_run(w, index, end);
	return n > 0 ? put_fresh(w, index, n) : PUT_CONFLICT; /* killed just now, still bound */
}

static int wait_turn(struct writer *w, uint64_t change_seq, struct rx_error *err)
{
	struct space *sp = w->f->space;
	struct vfs *vfs = w->f->vfs;
	struct cm_record_view view;

	/* One's own record that is just being stored is waited for. */
	if (cm_record_at(sp->vnode, page_of(w->off), &view) && view.token == w->f->token) {
		w->deadline = 0;
		space_wait(sp, change_seq, UINT64_MAX);
		return 0;
	}
	if (!w->deadline)
		w->deadline = vfs->conflict_us == UINT64_MAX ? UINT64_MAX : rx_now_us(vfs->env) + vfs->conflict_us;
	if (rx_now_us(vfs->env) < w->deadline && space_wait(sp, change_seq, w->deadline))
		return 0;
	return rx_error_set(err, RX_ORIGIN_ERRNO, ETIMEDOUT, ETIMEDOUT,
			    "another user's change of the same page could not be stored yet: try again later");
}

/* Puts the bounce buffer's bytes, waiting and asking the server as needed. */
static int put_all(struct writer *w, struct rx_error *err)
{
	struct space *sp = w->f->space;
	int rc = 0;

	while (w->len > 0 && rc == 0) {
		uint64_t index = page_of(w->off), change_seq = space_seq(sp);
		enum put put;

		if (w->claim.space && w->claim.index != index)
			claim_drop(&w->claim);
		space_lock(sp);
		put = put_some(w);
		if (put == PUT_CONFLICT)
			claim_file(&w->claim, sp, index, w->f->token, w->seq);
		space_unlock(sp);
		switch (put) {
		case PUT_DONE:
			w->deadline = 0;
			break;
		case PUT_WAIT:
			space_wait(sp, change_seq, UINT64_MAX);
			break;
		case PUT_CONFLICT:
			rc = wait_turn(w, change_seq, err);
			break;
		case PUT_INVALID:
			rc = space_validate(sp, w->f->token, &w->validated, err);
			break;
		case PUT_READ:
			rc = readpage_fill(sp, w->f->token, &w->run, err);
			break;
		case PUT_NOMEM:
			rc = rx_error_errno(err, ENOMEM, "no memory for a file's pages");
			break;
		}
	}
	claim_drop(&w->claim);
	return rc;
}

ssize_t vfs_pwrite(struct vfs_file *f, const void *buf, size_t len, uint64_t off, struct rx_error *err)
{
	struct writer w = { .f = f, .seq = service_seq(f->vfs) };
	size_t done = 0;
	uint8_t *bounce;
	int rc = 0;

	if (!f->write)
		return rx_error_errno(err, EBADF, "cannot write: the file is open for reading only");
	if (off > (uint64_t)INT64_MAX - CM_PAGE || len > (size_t)INT64_MAX - CM_PAGE - off)
		return rx_error_errno(err, EFBIG, "cannot write at %llu", (unsigned long long)off);
	if (cm_may_write(f->space->vnode, f->token, err) != 0)
		return -1;
	bounce = len ? malloc(len < BOUNCE ? len : BOUNCE) : NULL;
	if (len && !bounce)
		return rx_error_errno(err, ENOMEM, "cannot write");
	while (done < len && rc == 0) {
		size_t n = BOUNCE - (size_t)((off + done) % CM_PAGE);

		if (n > len - done)
			n = len - done;
		memcpy(bounce, (const uint8_t *)buf + done, n);
		w.bytes = bounce;
		w.len = n;
		w.off = off + done;
		rc = put_all(&w, err);
		done += n - w.len;
	}
	free(bounce);
	return rc != 0 && done == 0 ? -1 : (ssize_t)done;
}
