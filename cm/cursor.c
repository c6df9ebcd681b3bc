/* Error cursors: per vnode and token a counter of lost writes and the last reason. Each
 * handle keeps the count it last saw; a difference is told once. An error that nobody
 * has seen is shown to the token's next opener. Guarded by the records' lock. */
#include <assert.h>
#include <stdlib.h>

#include "cm/record.h"

static struct cm_cursor *find(struct cm_records *rs, const struct cm_token *t)
{
	struct cm_cursor *c = rs->cursors;

	while (c && c->token != t)
		c = c->next;
	return c;
}

int cm_cursor_prepare(struct cm_records *rs, struct cm_token *t)
{
	struct cm_cursor *c;

	if (find(rs, t))
		return 0;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -1;
	c->token = cm_token_get(t);
	c->seen = true;
	c->next = rs->cursors;
	rs->cursors = c;
	return 0;
}

/* It was made with the record. */
void cm_cursor_advance(struct cm_records *rs, struct cm_token *t, const struct rx_error *error)
{
	struct cm_cursor *c = find(rs, t);

	assert(c);
	c->count++;
	c->seen = false;
	c->error = *error;
}

uint64_t cm_cursor_sample(struct cm_vnode *v, struct cm_token *t)
{
	struct cm_records *rs = cm_vnode_records(v);
	const struct cm_cursor *c;
	uint64_t count = 0;

	rx_mutex_lock(&rs->lock);
	c = find(rs, t);
	if (c)
		count = c->seen ? c->count : c->count - 1;
	rx_mutex_unlock(&rs->lock);
	return count;
}

int cm_cursor_check(struct cm_vnode *v, struct cm_token *t, uint64_t *cursor, struct rx_error *err)
{
	struct cm_records *rs = cm_vnode_records(v);
	struct cm_cursor *c;
	int rc = 0;

	rx_mutex_lock(&rs->lock);
	c = find(rs, t);
	if (c && c->count != *cursor) {
		*cursor = c->count;
		c->seen = true;
		if (err)
			*err = c->error;
		rc = -1;
	}
	rx_mutex_unlock(&rs->lock);
	return rc;
}

void cm_cursors_free(struct cm_records *rs)
{
	while (rs->cursors) {
		struct cm_cursor *c = rs->cursors;

		rs->cursors = c->next;
		cm_token_put(c->token);
		free(c);
	}
}
