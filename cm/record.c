/* The list of one vnode's writeback records: binding pages to a token's record, joining,
 * extending, shrinking, and the states with their allowed changes. Called by the room
 * above (grants, truncation) and by cm/flush.c; any thread, never blocks on anything
 * but the short mutex. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cm/record.h"
#include "rx/maybe.h"

/* One record is one StoreData: small for mappings, where a refusal costs every page of
 * it; large for write(), where a big sequential store is one stream. */
enum { PAGES_MAX_MAPPED = 256, PAGES_MAX_WRITTEN = 16384, MAX_AGE_US = 5000000 };

const char *cm_record_state_name(enum cm_record_state s)
{
#define NAME(name, text) #name,
	static const char *const names[] = { CM_RECORD_STATES(NAME) };
#undef NAME
	return s < CM_RECORD_STATE_COUNT ? names[s] : "?";
}

static bool allowed(enum cm_record_state from, enum cm_record_state to)
{
#define PAIR(a, b) { CM_RECORD_##a, CM_RECORD_##b },
	static const struct {
		enum cm_record_state from, to;
	} pairs[] = { CM_RECORD_TRANSITIONS(PAIR) };
#undef PAIR
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if (pairs[i].from == from && pairs[i].to == to)
			return true;
	return false;
}

void cm_record_set_state(struct cm_record *r, enum cm_record_state to)
{
	if (!allowed(r->state, to))
		abort();
	r->state = to;
}

void cm_records_init(struct cm_records *rs, struct cm_vnode *v, struct rx_env *env)
{
	memset(rs, 0, sizeof(*rs));
	rs->vnode = v;
	rs->max_age_us = MAX_AGE_US;
	rx_mutex_init(&rs->lock, env, RX_RANK_RECORDS, "records");
	rx_cond_init(&rs->settled, env);
}

void cm_records_destroy(struct cm_records *rs)
{
	assert(!rs->list && !rs->writing);
	cm_cursors_free(rs);
	rx_cond_destroy(&rs->settled);
	rx_mutex_destroy(&rs->lock);
}

void cm_record_view(const struct cm_record *r, struct cm_record_view *view)
{
	*view = (struct cm_record_view){
		.seq = r->seq,
		.token = r->token,
		.state = r->state,
		.first = r->first,
		.last = r->last,
		.off_first = r->off_first,
		.to_last = r->to_last,
		.end = r->end,
		.mapped = r->mapped,
	};
}

static void check(const struct cm_records *rs)
{
	for (const struct cm_record *r = rs->list; r; r = r->next) {
		assert(r->first <= r->last);
		assert(r->off_first < CM_PAGE && r->to_last > 0 && r->to_last <= CM_PAGE);
		assert(r->first != r->last || r->off_first < r->to_last);
		assert(!r->next || r->last < r->next->first);
	}
}

struct cm_record *cm_record_find(struct cm_records *rs, uint64_t seq)
{
	struct cm_record *r = rs->list;

	while (r && r->seq != seq)
		r = r->next;
	return r;
}

/* The first record whose last page is at or after index. */
static struct cm_record *at_or_after(struct cm_records *rs, uint64_t index)
{
	struct cm_record *r = rs->list;

	while (r && r->last < index)
		r = r->next;
	return r;
}

static void unlink_record(struct cm_records *rs, struct cm_record *r)
{
	struct cm_record **p = &rs->list;

	while (*p != r)
		p = &(*p)->next;
	*p = r->next;
}

void cm_record_remove(struct cm_records *rs, struct cm_record *r)
{
	assert(r->state == CM_RECORD_DONE || r->state == CM_RECORD_KILLED);
	unlink_record(rs, r);
	cm_token_put(r->token);
	free(r);
}

static bool joinable(const struct cm_records *rs, const struct cm_record *r, const struct cm_token *t, bool mapped)
{
	uint64_t max = r->mapped || mapped ? PAGES_MAX_MAPPED : PAGES_MAX_WRITTEN;

	return r->token == t && r->state == CM_RECORD_PENDING && r->last - r->first + 1 < max &&
	       !UMAFS_MAYBE(rs->lock.env, RECORD_APART);
}

/* Joins `next` onto `r` where they touch: both PENDING, of one token, and no unwritten
 * byte between them. */
static bool coalesce(struct cm_records *rs, struct cm_record *r)
{
	struct cm_record *next = r->next;
	uint64_t max = r->mapped || (next && next->mapped) ? PAGES_MAX_MAPPED : PAGES_MAX_WRITTEN;

	if (!next || next->token != r->token || next->first != r->last + 1)
		return false;
	if (r->state != CM_RECORD_PENDING || next->state != CM_RECORD_PENDING)
		return false;
	if (UMAFS_MAYBE(rs->lock.env, RECORD_UNMERGED))
		return false;
	if (r->to_last != CM_PAGE || next->off_first != 0 || next->last - r->first + 1 > max)
		return false;
	r->last = next->last;
	r->to_last = next->to_last;
	r->end = r->end > next->end ? r->end : next->end;
	r->mapped |= next->mapped;
	r->seq = r->seq < next->seq ? r->seq : next->seq;
	r->dirtied_us = r->dirtied_us < next->dirtied_us ? r->dirtied_us : next->dirtied_us;
	r->inval_gen = r->inval_gen < next->inval_gen ? r->inval_gen : next->inval_gen;
	r->version = r->version < next->version ? r->version : next->version;
	unlink_record(rs, next);
	cm_token_put(next->token);
	free(next);
	return true;
}

/* Append to the record before, or prepend to the one after. */
static struct cm_record *extend(struct cm_records *rs, struct cm_token *t, uint64_t index, uint32_t from, uint32_t to,
				bool mapped)
{
	struct cm_record *prev = index ? at_or_after(rs, index - 1) : NULL, *next = at_or_after(rs, index);

	if (prev && prev->last == index - 1 && joinable(rs, prev, t, mapped) && prev->to_last == CM_PAGE && from == 0) {
		prev->last = index;
		prev->to_last = to;
		prev->mapped |= mapped;
		return prev;
	}
	if (next && next->first == index + 1 && joinable(rs, next, t, mapped) && next->off_first == 0 &&
	    to == CM_PAGE) {
		next->first = index;
		next->off_first = from;
		next->mapped |= mapped;
		return next;
	}
	return NULL;
}

static struct cm_record *create(struct cm_records *rs, struct cm_token *t, uint64_t index, uint32_t from, uint32_t to,
				bool mapped)
{
	struct cm_record *r = calloc(1, sizeof(*r)), **p = &rs->list;

	if (!r || cm_cursor_prepare(rs, t) != 0) {
		free(r);
		return NULL;
	}
	r->token = cm_token_get(t);
	r->seq = ++rs->seq;
	r->first = r->last = index;
	r->off_first = from;
	r->to_last = to;
	r->mapped = mapped;
	r->dirtied_us = rx_now_us(rs->lock.env);
	r->inval_gen = cm_inval_gen(rs->vnode);
	r->version = cm_data_version(rs->vnode);
	cm_record_set_state(r, CM_RECORD_PENDING);
	while (*p && (*p)->first < index)
		p = &(*p)->next;
	r->next = *p;
	*p = r;
	cm_vnode_get(rs->vnode);
	return r;
}

static struct cm_record *join_or_make(struct cm_records *rs, struct cm_token *t, uint64_t index, uint32_t from,
				      uint32_t to, bool mapped, int *dropped)
{
	struct cm_record *r = extend(rs, t, index, from, to, mapped), *prev;

	if (!r)
		return create(rs, t, index, from, to, mapped);
	*dropped = coalesce(rs, r);
	prev = index ? at_or_after(rs, r->first ? r->first - 1 : 0) : NULL;
	if (prev && prev != r && coalesce(rs, prev)) {
		*dropped += 1;
		r = prev;
	}
	return r;
}

enum cm_grant cm_record_grant(struct cm_vnode *v, struct cm_token *t, uint64_t index, uint32_t from, uint32_t to,
			      bool mapped, struct cm_record_view *view)
{
	struct cm_records *rs = cm_vnode_records(v);
	enum cm_grant grant = CM_GRANTED;
	struct cm_record *r;
	int dropped = 0;

	assert(from < to && to <= CM_PAGE);
	rx_mutex_lock(&rs->lock);
	r = at_or_after(rs, index);
	if (!r || r->first > index) {
		r = join_or_make(rs, t, index, from, to, mapped, &dropped);
		if (!r) {
			rx_mutex_unlock(&rs->lock);
			return CM_NOMEM;
		}
		cm_flush_timer(v, rs->max_age_us > UINT64_MAX - r->dirtied_us ? UINT64_MAX
									      : r->dirtied_us + rs->max_age_us);
	} else if (r->token == t && r->state == CM_RECORD_PENDING) {
		if (index == r->first && from < r->off_first)
			r->off_first = from;
		if (index == r->last && to > r->to_last)
			r->to_last = to;
		r->mapped |= mapped;
	} else {
		if (r->state == CM_RECORD_PENDING)
			cm_record_set_state(r, CM_RECORD_CONFLICTING);
		r->wanted |= r->token != t;
		cm_flush_kick(rs);
		grant = CM_CONFLICT;
	}
	if (grant == CM_GRANTED && !mapped && index * CM_PAGE + to > r->end)
		r->end = index * CM_PAGE + to;
	check(rs);
	cm_record_view(r, view);
	if (r->state == CM_RECORD_PENDING && UMAFS_MAYBE(rs->lock.env, RECORD_CLOSED)) {
		cm_record_set_state(r, CM_RECORD_CONFLICTING);
		cm_flush_kick(rs);
	}
	rx_mutex_unlock(&rs->lock);
	while (dropped-- > 0)
		cm_vnode_put(v);
	return grant;
}

void cm_record_unwant(struct cm_vnode *v, uint64_t index)
{
	struct cm_records *rs = cm_vnode_records(v);
	struct cm_record *r;

	rx_mutex_lock(&rs->lock);
	r = at_or_after(rs, index);
	if (r && r->first <= index)
		r->wanted = false;
	rx_mutex_unlock(&rs->lock);
}

bool cm_record_next(struct cm_vnode *v, uint64_t index, struct cm_record_view *view)
{
	struct cm_records *rs = cm_vnode_records(v);
	struct cm_record *r;

	rx_mutex_lock(&rs->lock);
	r = at_or_after(rs, index);
	if (r)
		cm_record_view(r, view);
	rx_mutex_unlock(&rs->lock);
	return r != NULL;
}

bool cm_record_at(struct cm_vnode *v, uint64_t index, struct cm_record_view *view)
{
	return cm_record_next(v, index, view) && view->first <= index;
}

/* Cuts r at byte `size`. False: nothing of it lies below. */
static bool cut(struct cm_record *r, uint64_t size)
{
	uint64_t last = size ? (size - 1) / CM_PAGE : 0;
	uint32_t to = size ? (uint32_t)((size - 1) % CM_PAGE + 1) : 0;

	if (size == 0 || r->first > last)
		return false;
	if (r->end > size)
		r->end = size;
	if (r->last > last) {
		r->last = last;
		r->to_last = to;
	} else if (r->last == last && r->to_last > to) {
		r->to_last = to;
	}
	return r->first != r->last || r->off_first < r->to_last;
}

bool cm_record_truncate(struct cm_vnode *v, uint64_t size)
{
	struct cm_records *rs = cm_vnode_records(v);
	struct cm_record *r, *next;
	unsigned dropped = 0;

	rx_mutex_lock(&rs->lock);
	if (rs->writing && rs->writing->last >= size / CM_PAGE) {
		rx_mutex_unlock(&rs->lock);
		return false;
	}
	for (r = rs->list; r; r = next) {
		next = r->next;
		if (cut(r, size))
			continue;
		cm_record_set_state(r, CM_RECORD_DONE);
		cm_record_remove(rs, r);
		dropped++;
	}
	check(rs);
	rx_cond_broadcast(&rs->settled);
	rx_mutex_unlock(&rs->lock);
	while (dropped-- > 0)
		cm_vnode_put(v);
	cm_records_notify_changed(rs);
	return true;
}

uint64_t cm_records_dirty(struct cm_records *rs)
{
	uint64_t bytes = 0;

	rx_mutex_lock(&rs->lock);
	for (const struct cm_record *r = rs->list; r; r = r->next)
		bytes += (r->last - r->first) * CM_PAGE + r->to_last - r->off_first;
	rx_mutex_unlock(&rs->lock);
	return bytes;
}

uint64_t cm_records_reach(struct cm_records *rs, uint64_t but)
{
	uint64_t reach = 0, end;

	rx_mutex_lock(&rs->lock);
	for (const struct cm_record *r = rs->list; r; r = r->next) {
		end = r->seq == but ? 0 : r->last * CM_PAGE + r->to_last;
		reach = end > reach ? end : reach;
	}
	rx_mutex_unlock(&rs->lock);
	return reach;
}

void *cm_space_attach(struct cm_vnode *v, const struct cm_space_ops *ops, void *space)
{
	struct cm_records *rs = cm_vnode_records(v);
	void *old;

	rx_mutex_lock(&rs->lock);
	old = rs->space;
	if (!old) {
		rs->ops = ops;
		rs->space = space;
	}
	rx_mutex_unlock(&rs->lock);
	return old;
}

void cm_space_detach(struct cm_vnode *v)
{
	struct cm_records *rs = cm_vnode_records(v);

	rx_mutex_lock(&rs->lock);
	assert(!rs->list);
	rs->ops = NULL;
	rs->space = NULL;
	while (rs->notifying > 0)
		rx_cond_wait(&rs->settled, &rs->lock, UINT64_MAX);
	rx_mutex_unlock(&rs->lock);
}

/* The upper room's functions take locks of lower rank than ours, so they run without
 * it; the counter keeps the space alive meanwhile. */
static void notify(struct cm_records *rs, bool invalidate)
{
	const struct cm_space_ops *ops;
	void *space;

	rx_mutex_lock(&rs->lock);
	ops = rs->ops;
	space = rs->space;
	if (ops)
		rs->notifying++;
	rx_mutex_unlock(&rs->lock);
	if (!ops)
		return;
	(invalidate ? ops->invalidate : ops->changed)(space);
	rx_mutex_lock(&rs->lock);
	if (--rs->notifying == 0)
		rx_cond_broadcast(&rs->settled);
	rx_mutex_unlock(&rs->lock);
}

void cm_records_notify_changed(struct cm_records *rs)
{
	notify(rs, false);
}

void cm_records_notify_invalidate(struct cm_records *rs)
{
	notify(rs, true);
}
