/* The heap of timers of one endpoint. Runs under the endpoint's lock. */
#include "rx/timer.h"

#include <assert.h>
#include <stdlib.h>

static bool before(const struct rx_timer *a, const struct rx_timer *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void place(struct rx_timers *ts, struct rx_timer *t, size_t pos)
{
	ts->heap[pos] = t;
	t->pos = pos;
}

static void sift_up(struct rx_timers *ts, struct rx_timer *t)
{
	size_t pos = t->pos;

	while (pos > 1 && before(t, ts->heap[pos / 2])) {
		place(ts, ts->heap[pos / 2], pos);
		pos /= 2;
	}
	place(ts, t, pos);
}

static void sift_down(struct rx_timers *ts, struct rx_timer *t)
{
	size_t pos = t->pos;

	for (;;) {
		size_t child = 2 * pos;

		if (child > ts->n)
			break;
		if (child < ts->n && before(ts->heap[child + 1], ts->heap[child]))
			child++;
		if (!before(ts->heap[child], t))
			break;
		place(ts, ts->heap[child], pos);
		pos = child;
	}
	place(ts, t, pos);
}

bool rx_timer_init(struct rx_timers *ts, struct rx_timer *t, void (*fire)(struct rx_timer *t, uint64_t now_us))
{
	if (ts->owners + 2 > ts->cap) {
		size_t cap = ts->cap ? 2 * ts->cap : 64;
		struct rx_timer **heap = realloc(ts->heap, cap * sizeof *heap);

		if (!heap)
			return false;
		ts->heap = heap;
		ts->cap = cap;
	}
	ts->owners++;
	*t = (struct rx_timer){ .at = UINT64_MAX, .fire = fire };
	return true;
}

void rx_timer_done(struct rx_timers *ts, struct rx_timer *t)
{
	assert(ts->owners > 0);
	rx_timer_stop(ts, t);
	ts->owners--;
}

void rx_timer_set(struct rx_timers *ts, struct rx_timer *t, uint64_t at)
{
	if (at == UINT64_MAX) {
		rx_timer_stop(ts, t);
		return;
	}
	t->at = at;
	t->order = ts->order++;
	if (!t->pos) {
		assert(ts->n < ts->owners);
		t->pos = ++ts->n;
		sift_up(ts, t);
		return;
	}
	sift_up(ts, t);
	sift_down(ts, t);
}

void rx_timer_by(struct rx_timers *ts, struct rx_timer *t, uint64_t at)
{
	if (at < t->at)
		rx_timer_set(ts, t, at);
}

void rx_timer_stop(struct rx_timers *ts, struct rx_timer *t)
{
	struct rx_timer *last;

	t->at = UINT64_MAX;
	if (!t->pos)
		return;
	last = ts->heap[ts->n--];
	if (last != t) {
		place(ts, last, t->pos);
		sift_up(ts, last);
		sift_down(ts, last);
	}
	t->pos = 0;
}

uint64_t rx_timers_next(const struct rx_timers *ts)
{
	return ts->n ? ts->heap[1]->at : UINT64_MAX;
}

void rx_timers_run(struct rx_timers *ts, uint64_t now_us)
{
	while (ts->n && ts->heap[1]->at <= now_us) {
		struct rx_timer *t = ts->heap[1];

		rx_timer_stop(ts, t);
		t->fire(t, now_us);
	}
}

void rx_timers_clear(struct rx_timers *ts)
{
	assert(ts->n == 0 && ts->owners == 0);
	free(ts->heap);
	*ts = (struct rx_timers){ 0 };
}
