/* Twins and plans; see twin.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vfs-emu/twin.h"

/* Two changes closer than this go in one StoreData: an RPC costs more than 64 bytes. */
enum { GAP = 64 };

int twin_make(struct space *sp, uint64_t index)
{
	uint8_t *twin = page_twin_alloc(sp, index);

	if (!twin)
		return -1;
	if (pread(sp->memfd, twin, CM_PAGE, (off_t)(index * CM_PAGE)) != CM_PAGE) {
		page_twin_free(sp, index);
		return -1;
	}
	return 0;
}

void twin_drop(struct space *sp, uint64_t index)
{
	page_twin_free(sp, index);
}

uint8_t **twin_collect(const struct space *sp, uint64_t first, uint64_t n)
{
	uint8_t **twins = calloc(n, sizeof(*twins));

	for (uint64_t i = 0; twins && i < n; i++)
		twins[i] = page_twin(sp, first + i);
	return twins;
}

static int add_run(struct cm_plan *plan, size_t *cap, const struct cm_run *run, bool apart)
{
	struct cm_run *last = plan->nruns ? &plan->runs[plan->nruns - 1] : NULL, *runs;

	if (last && (!apart || run->off - (last->off + last->len) <= GAP)) {
		last->len = (size_t)(run->off - last->off) + run->len;
		return 0;
	}
	if (plan->nruns == *cap) {
		*cap = *cap ? 2 * *cap : 4;
		runs = reallocarray(plan->runs, *cap, sizeof(*runs));
		if (!runs)
			return -1;
		plan->runs = runs;
	}
	plan->runs[plan->nruns++] = *run;
	return 0;
}

/* Adds what differs in one page's bytes [from, to). */
static int add_page(struct cm_plan *plan, size_t *cap, uint64_t page_off, const uint8_t *bytes, const uint8_t *twin,
		    size_t from, size_t to, bool apart)
{
	while (from < to) {
		size_t end = to;

		if (twin) {
			while (from < to && bytes[from] == twin[from])
				from++;
			for (end = from; end < to && bytes[end] != twin[end];)
				end++;
		}
		if (from == end)
			return 0;
		if (add_run(plan, cap, &(struct cm_run){ page_off + from, end - from, bytes + from }, apart) != 0)
			return -1;
		from = end;
	}
	return 0;
}

/* The last byte that write() gave goes along though it may not differ: it makes the file
 * that long. */
static int add_end(struct cm_plan *plan, size_t *cap, uint64_t end, uint64_t base, bool apart)
{
	const struct cm_run *last = plan->nruns ? &plan->runs[plan->nruns - 1] : NULL;

	if (last && last->off + last->len >= end)
		return 0;
	return add_run(plan, cap, &(struct cm_run){ end - 1, 1, plan->buffer + (end - 1 - base) }, apart);
}

static int read_all(int fd, uint8_t *buf, size_t len, uint64_t off)
{
	while (len > 0) {
		ssize_t n = pread(fd, buf, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		buf += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int twin_plan(const struct space *sp, const struct cm_record_view *r, uint8_t *const *twins, uint64_t size, bool apart,
	      struct cm_plan *plan)
{
	uint64_t base = r->first * CM_PAGE, start = base + r->off_first, end = r->last * CM_PAGE + r->to_last;
	size_t cap = 0;

	memset(plan, 0, sizeof(*plan));
	if (end > size)
		end = size;
	if (start >= end)
		return 0;
	plan->buffer = malloc((size_t)(end - base));
	if (!plan->buffer || read_all(sp->memfd, plan->buffer, (size_t)(end - base), base) != 0)
		goto fail;
	if (!r->mapped && !apart) {
		if (add_run(plan, &cap, &(struct cm_run){ start, (size_t)(end - start), plan->buffer + r->off_first },
			    apart) != 0)
			goto fail;
		return 0;
	}
	for (uint64_t i = r->first; i <= r->last && i * CM_PAGE < end; i++) {
		size_t from = i == r->first ? r->off_first : 0;
		size_t to = (size_t)(end - i * CM_PAGE < CM_PAGE ? end - i * CM_PAGE : CM_PAGE);

		if (add_page(plan, &cap, i * CM_PAGE, plan->buffer + (i - r->first) * CM_PAGE, twins[i - r->first],
			     from, to, apart) != 0)
			goto fail;
	}
	if (r->end > base && add_end(plan, &cap, r->end < end ? r->end : end, base, apart) != 0)
		goto fail;
	return 0;
fail:
	free(plan->runs);
	free(plan->buffer);
	memset(plan, 0, sizeof(*plan));
	return -1;
}
