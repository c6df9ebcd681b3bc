/* readpage; see readpage.h. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rx/maybe.h"
#include "vfs-emu/mapping.h"
#include "vfs-emu/readpage.h"

/* Pages that become present under one hold of the locks: about 100 µs. */
enum { FILL_PAGES = 64 };

uint64_t readpage_window(uint64_t index, uint64_t want, uint64_t *next, uint64_t *ahead)
{
	uint64_t n = want;

	if (index == *next) {
		*ahead = *ahead ? 2 * *ahead : READ_AHEAD_MIN;
		if (*ahead > READ_AHEAD_MAX)
			*ahead = READ_AHEAD_MAX;
		n += *ahead;
	} else {
		*ahead = 0;
	}
	return n < READ_PAGES_MAX ? n : READ_PAGES_MAX;
}

bool readpage_mark(struct space *sp, uint64_t index, uint64_t max, struct read_run *run)
{
	uint64_t end = pages_up(sp->size);

	if (end > page_of(sp->bound))
		end = page_of(sp->bound);
	assert(index < end && page_bits(sp, index) == 0);
	*run = (struct read_run){
		.first = index,
		.gen = sp->gen,
		.inval_gen = cm_inval_gen(sp->vnode),
	};
	while (run->n < max && index + run->n < end && page_bits(sp, index + run->n) == 0 &&
	       page_reserve(sp, index + run->n, 1))
		page_change(sp, index + run->n++, PAGE_L, 0);
	return run->n > 0;
}

static bool overtaken(const struct space *sp, const struct read_run *run)
{
	return sp->gen != run->gen || cm_inval_gen(sp->vnode) != run->inval_gen;
}

/* Both locks held. Armed first: from the moment a page is in the memfd, BASIC maps it
 * without asking. Whole pages: nobody sees half of one. */
static int insert(struct space *sp, uint64_t first, uint64_t n, const uint8_t *bytes)
{
	size_t len = (size_t)n * CM_PAGE;

	if (sp->vfs->source->mode == VFS_MODE_BASIC)
		mapping_arm_all(sp, first, n);
	while (len > 0) {
		ssize_t done = pwrite(sp->memfd, bytes, len, (off_t)(first * CM_PAGE + (n * CM_PAGE - len)));

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return -1;
		bytes += done;
		len -= (size_t)done;
	}
	for (uint64_t i = first; i < first + n; i++)
		page_change(sp, i, PAGE_U, PAGE_L);
	return 0;
}

static void unmark(struct space *sp, uint64_t first, uint64_t n)
{
	for (uint64_t i = first; i < first + n; i++)
		page_change(sp, i, 0, PAGE_L);
}

static int fill_pages(struct space *sp, const struct read_run *run, const uint8_t *bytes, uint64_t version,
		      struct rx_error *err)
{
	const uint64_t most = UMAFS_MAYBE(sp->vfs->env, FILL_SINGLE) ? 1 : FILL_PAGES;
	bool stale = false, stop = UMAFS_MAYBE(sp->vfs->env, FILL_OVERTAKEN);
	int rc = 0;

	for (uint64_t done = 0; done < run->n; done += most) {
		uint64_t n = run->n - done < most ? run->n - done : most, at = run->first + done;

		space_lock(sp);
		stop = stop || overtaken(sp, run);
		/* Overtaken by newer content that did not break a promise of ours: none was held. */
		stop = stop || cm_has_moved(sp->vnode, version);
		if (!stop && done == 0)
			stale = space_adopt_version(sp, version);
		if (!stop && insert(sp, at, n, bytes + done * CM_PAGE) != 0) {
			space_punch(sp, at, n); /* part of it may be present */
			rc = rx_error_errno(err, ENOMEM, "no memory for a file's pages");
			stop = true;
		}
		if (page_bits(sp, at) & PAGE_L)
			unmark(sp, at, n);
		space_unlock(sp);
		space_changed(sp);
	}
	if (stale)
		cm_flush_start(sp->vnode, NULL, 0, UINT64_MAX);
	return rc;
}

int readpage_fill(struct space *sp, struct cm_token *t, const struct read_run *run, struct rx_error *err)
{
	size_t len = (size_t)run->n * CM_PAGE, got = 0;
	uint8_t *bytes = malloc(len);
	uint64_t version = 0;
	int rc;

	if (bytes)
		rc = cm_fetch(sp->vnode, t, run->first * CM_PAGE, bytes, len, &got, &version, err);
	else
		rc = rx_error_errno(err, ENOMEM, "no memory to read into");
	if (rc == 0) {
		memset(bytes + got, 0, len - got);
		rc = fill_pages(sp, run, bytes, version, err);
	} else {
		space_lock(sp);
		unmark(sp, run->first, run->n);
		space_unlock(sp);
		space_changed(sp);
	}
	free(bytes);
	return rc;
}
