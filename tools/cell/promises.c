/* What a file server has promised to whom, and how that is taken back: promises are lists at
 * vnodes and volumes, breaks go to all hosts at once and are waited for. Called by operations
 * on worker threads; lists are guarded by cell->lock, RPCs to clients go out without it. */
#include <errno.h>
#include <stdlib.h>

#include "rx/maybe.h"
#include "tools/cell/internal.h"

enum {
	SHORTAGE_TRIES = 10,
	BREAK_DEAD_S = 8, /* real ones ask for 4, which their RX makes 8 to 15 */
	KEEP_S = 180, /* longer than the client is told */
	ROUND_S = 128,
	BULK_HOSTS = 22,
	RO_LIFE_S = 7200,
	BATCH = 16, /* hosts told at once */
};

void cell_promises_free(struct cell_promise **list)
{
	while (*list) {
		struct cell_promise *p = *list;

		*list = p->next;
		free(p);
	}
}

static int64_t life_for(unsigned hosts)
{
	static const struct {
		unsigned below;
		int64_t life;
	} table[] = { { 8, 4 * 3600 }, { 16, 3600 }, { 24, 1800 }, { 40, 900 }, { 64, 600 } };

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (hosts < table[i].below)
			return table[i].life;
	return 420;
}

void cell_promise(struct cell_request *rq, struct cell_vnode *v, bool bulk, struct afs_callback *out)
{
	bool ro = v->volume->kind != AFS_VOLUME_RW;
	struct cell_promise **list = ro ? &v->volume->promises : &v->promises, *mine = NULL;
	int64_t now = cell_now(rq->cell), end;
	unsigned n = bulk ? BULK_HOSTS : 0;

	*out = (struct afs_callback){ 0 };
	if (!rq->host)
		return;
	for (struct cell_promise *p = *list; p; p = p->next) {
		if (p->host == rq->host)
			mine = p;
		n += p->expires + KEEP_S > now;
	}
	end = now + (UMAFS_MAYBE(rq->cell->env, CELL_PROMISE_SHORT) ? 1 : ro ? RO_LIFE_S : life_for(n)) + KEEP_S;
	end = (end + ROUND_S - 1) / ROUND_S * ROUND_S - KEEP_S;
	if (!mine) {
		mine = UMAFS_MAYBE(rq->cell->env, CELL_NO_PROMISE) ? NULL : malloc(sizeof(*mine));
		if (!mine)
			return; /* none is given */
		*mine = (struct cell_promise){ .next = *list, .host = rq->host };
		*list = mine;
	}
	if (end > mine->expires)
		mine->expires = end;
	*out = (struct afs_callback){ .version = 1,
				      .expires = (uint32_t)(mine->expires - now),
				      .type = AFS_CALLBACK_SHARED };
}

static void drop(struct cell_promise **list, const struct cell_host *host)
{
	while (*list) {
		struct cell_promise *p = *list;

		if (p->host == host) {
			*list = p->next;
			free(p);
		} else {
			list = &p->next;
		}
	}
}

unsigned cell_promises_count(const struct cell *cell, const struct cell_host *host)
{
	unsigned n = 0;

	for (const struct cell_volume *v = cell->volumes; v; v = v->next) {
		for (const struct cell_promise *p = v->promises; p; p = p->next)
			n += p->host == host;
		for (uint32_t i = 0; i < v->nvnodes; i++)
			for (const struct cell_promise *p = v->vnodes[i] ? v->vnodes[i]->promises : NULL; p;
			     p = p->next)
				n += p->host == host;
	}
	return n;
}

void cell_promises_drop(struct cell *cell, const struct cell_host *host)
{
	for (struct cell_volume *volume = cell->volumes; volume; volume = volume->next) {
		drop(&volume->promises, host);
		for (uint32_t i = 0; i < volume->nvnodes; i++)
			if (volume->vnodes[i])
				drop(&volume->vnodes[i]->promises, host);
	}
}

void cell_give_up(struct cell_request *rq, const struct afs_fid *fid)
{
	struct cell_volume *volume = cell_volume_find(rq->cell, rq->fs, fid->volume);
	struct cell_vnode *v;

	if (!volume)
		return;
	if (!fid->vnode) {
		drop(&volume->promises, rq->host);
		return;
	}
	v = cell_vnode_find(volume, fid->vnode, fid->unique);
	if (v)
		drop(&v->promises, rq->host);
}

/* Clients say this when they end: whoever comes from that port next is asked anew. */
void cell_give_up_all(struct cell_request *rq)
{
	cell_promises_drop(rq->cell, rq->host);
	rq->host->ndelayed = rq->host->nusers = 0;
	rq->host->idle = true;
}

/* ---- breaks ---- */

static bool told(const struct cell_breaks *breaks, const struct cell_host *host, const struct afs_fid *fid)
{
	for (const struct cell_promise *p = breaks->first; p; p = p->next)
		if (p->host == host && afs_fid_equal(&p->fid, fid))
			return true;
	return false;
}

/* The last to be told. Takes p and a reference to its host. */
static void add(struct cell_breaks *breaks, struct cell_promise *p, const struct afs_fid *fid)
{
	struct cell_promise **at = &breaks->first;

	while (*at)
		at = &(*at)->next;
	*at = p;
	p->next = NULL;
	p->fid = *fid;
	p->host->refs++;
}

static void take(struct cell_breaks *breaks, struct cell_promise **list, const struct cell_host *except,
		 struct afs_fid fid, int64_t now)
{
	while (*list) {
		struct cell_promise *p = *list;

		if (p->host == except) {
			list = &p->next;
			continue;
		}
		*list = p->next;
		if (p->expires + KEEP_S > now && !told(breaks, p->host, &fid))
			add(breaks, p, &fid);
		else
			free(p);
	}
}

void cell_break_vnode(struct cell_breaks *breaks, struct cell_vnode *v, const struct cell_host *except)
{
	take(breaks, &v->promises, except, cell_fid(v), cell_now(v->volume->cell));
}

void cell_break_volume(struct cell_breaks *breaks, struct cell_volume *volume)
{
	struct afs_fid all = { .volume = volume->id };
	int64_t now = cell_now(volume->cell);

	take(breaks, &volume->promises, NULL, all, now);
	for (uint32_t i = 0; i < volume->nvnodes; i++)
		if (volume->vnodes[i])
			take(breaks, &volume->vnodes[i]->promises, NULL, all, now);
}

static struct rx_rpc_client callback_service(const struct cell_host *host)
{
	return (struct rx_rpc_client){ .conn = host->conn, .origin = RX_ORIGIN_AFS };
}

int cell_host_tell(struct cell_host *host, struct afs_fid *fids, unsigned n, unsigned dead_s)
{
	struct rx_rpc_client c = callback_service(host);
	struct afs_cb_CallBack_in in = { .fids = { n, fids } };

	rx_conn_set_dead_time(host->conn, dead_s);
	for (unsigned tries = SHORTAGE_TRIES;; tries--) {
		struct rx_error err = { 0 };
		int rc = afs_cb_CallBack(&c, &in, NULL, &err);

		/* That we had no memory for the call is not the client's silence. */
		if (rc == 0 || err.origin != RX_ORIGIN_ERRNO || err.code != ENOMEM || tries == 0)
			return rc;
	}
}

/* It did not answer: what it missed waits for its next call. */
static void delay(struct cell_host *host, const struct afs_fid *fid)
{
	host->state = CELL_HOST_DOWN;
	if (host->ndelayed == CELL_DELAYED_MAX)
		host->reset_due = true;
	else
		host->delayed[host->ndelayed++] = *fid;
}

/* A client that moved while its old address was being told is told at the new one. Lock held. */
static bool pass_on(struct cell *cell, struct cell_breaks *breaks, struct cell_promise *p)
{
	struct cell_host *host = p->host;

	if (!host->heir)
		return false;
	p->host = host->heir;
	p->host->refs++;
	cell_host_put(cell, host);
	p->next = breaks->first;
	breaks->first = p;
	return true;
}

/* The host has heard of it, or will. Lock held; frees p, or puts it back. */
static void settle(struct cell *cell, struct cell_breaks *breaks, struct cell_promise *p, bool heard)
{
	if (!heard && pass_on(cell, breaks, p))
		return;
	if (!heard)
		delay(p->host, &p->fid);
	cell_host_put(cell, p->host);
	free(p);
}

/* Takes the first ones off that are about the same file, and are of hosts that may answer. Lock held. */
static unsigned next_batch(struct cell *cell, struct cell_breaks *breaks, struct cell_promise *batch[BATCH])
{
	struct afs_fid fid = breaks->first->fid;
	struct cell_promise *p;
	unsigned n = 0;

	while (n < BATCH && (p = breaks->first) && afs_fid_equal(&p->fid, &fid)) {
		breaks->first = p->next;
		if (p->host->state == CELL_HOST_DOWN)
			settle(cell, breaks, p, false);
		else
			batch[n++] = p;
	}
	return n;
}

/* All at once: a silent one does not keep the others from hearing of it. */
static void tell_batch(struct cell_promise *const batch[BATCH], unsigned n, bool heard[BATCH])
{
	struct rx_rpc_each calls[BATCH];
	struct afs_cb_CallBack_in in = { .fids = { 1, n ? &batch[0]->fid : NULL } };

	for (unsigned i = 0; i < n; i++) {
		rx_conn_set_dead_time(batch[i]->host->conn, BREAK_DEAD_S);
		calls[i] = (struct rx_rpc_each){ .client = callback_service(batch[i]->host), .in = &in };
	}
	rx_rpc_multi(&afs_rpc_cb_CallBack, calls, n);
	for (unsigned i = 0; i < n; i++) {
		heard[i] = calls[i].rc == 0;
		if (!heard[i] && calls[i].err.origin == RX_ORIGIN_ERRNO && calls[i].err.code == ENOMEM)
			heard[i] = cell_host_tell(batch[i]->host, &batch[i]->fid, 1, BREAK_DEAD_S) == 0;
	}
}

void cell_send_breaks(struct cell *cell, struct cell_breaks *breaks)
{
	struct cell_promise *batch[BATCH];
	bool heard[BATCH];

	while (breaks->first) {
		unsigned n;

		rx_mutex_lock(&cell->lock);
		n = next_batch(cell, breaks, batch);
		rx_mutex_unlock(&cell->lock);
		tell_batch(batch, n, heard);
		rx_mutex_lock(&cell->lock);
		for (unsigned i = 0; i < n; i++)
			settle(cell, breaks, batch[i], heard[i]);
		rx_mutex_unlock(&cell->lock);
	}
}

void cell_break_caller(struct cell_request *rq, const struct afs_fid *fid)
{
	struct cell *cell = rq->cell;
	struct cell_breaks breaks = { 0 };
	struct cell_promise *p;
	struct cell_volume *volume;
	struct afs_fid what = *fid;

	if (!rq->host || !fid->volume)
		return;
	p = malloc(sizeof(*p));
	if (!p)
		return;
	*p = (struct cell_promise){ .host = rq->host };
	rx_mutex_lock(&cell->lock);
	volume = cell_volume_find(cell, rq->fs, fid->volume);
	if (volume && volume->kind != AFS_VOLUME_RW)
		what = (struct afs_fid){ .volume = fid->volume };
	cell_give_up(rq, &what);
	add(&breaks, p, &what);
	rx_mutex_unlock(&cell->lock);
	cell_send_breaks(cell, &breaks);
}
