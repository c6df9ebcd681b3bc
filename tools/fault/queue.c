/* A binary heap: see queue.h. */
#include "tools/fault/queue.h"
#include "tools/fault/memory.h"

#include <stdlib.h>

static bool earlier(const struct fault_out *a, const struct fault_out *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void fault_queue_push(struct fault_queue *q, struct fault_out *out)
{
	size_t i = q->n++;

	if (q->n > q->cap) {
		q->cap = q->cap ? 2 * q->cap : 64;
		q->heap = realloc(q->heap, q->cap * sizeof(struct fault_out *));
		if (!q->heap)
			fault_no_memory();
	}
	out->order = q->order++;
	while (i > 0 && earlier(out, q->heap[(i - 1) / 2])) {
		q->heap[i] = q->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	q->heap[i] = out;
}

uint64_t fault_queue_first_at(const struct fault_queue *q)
{
	return q->n ? q->heap[0]->at : UINT64_MAX;
}

struct fault_out *fault_queue_pop(struct fault_queue *q, uint64_t now)
{
	struct fault_out *first, *last;
	size_t i = 0;

	if (!q->n || q->heap[0]->at > now)
		return NULL;
	first = q->heap[0];
	last = q->heap[--q->n];
	for (size_t child; (child = 2 * i + 1) < q->n; i = child) {
		if (child + 1 < q->n && earlier(q->heap[child + 1], q->heap[child]))
			child++;
		if (!earlier(q->heap[child], last))
			break;
		q->heap[i] = q->heap[child];
	}
	if (q->n)
		q->heap[i] = last;
	return first;
}

void fault_queue_clear(struct fault_queue *q)
{
	while (q->n)
		free(q->heap[--q->n]);
	free(q->heap);
	*q = (struct fault_queue){ 0 };
}
