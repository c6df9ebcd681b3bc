/* Clients as a file server knows them: first contact, promises, breaks. State is guarded by
 * cell->lock; RPCs to clients go out without it, from the server's own port. A host is freed
 * when it is gone and no request refers to it. */
#include <errno.h>
#include <stdlib.h>

#include "rx/maybe.h"
#include "tools/cell/internal.h"

enum {
	VERIFY_DEAD_S = 50,
	SHORTAGE_TRIES = 10,
	BREAK_DEAD_S = 4,
	HARD_S = 120,
	KEEP_S = 180, /* longer than the client is told */
	ROUND_S = 128,
	BULK_HOSTS = 22,
	RO_LIFE_S = 7200,
	IDLE_KEPT = 16,
};

/* ---- promises ---- */

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

static void drop_all(struct cell *cell, const struct cell_host *host)
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
	drop_all(rq->cell, rq->host);
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

static int tell(struct cell_host *host, struct afs_fid *fids, unsigned n, unsigned dead_s)
{
	struct rx_rpc_client c = { .conn = host->conn, .origin = RX_ORIGIN_AFS };
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
static bool pass_on(struct cell *cell, struct cell_promise *p)
{
	struct cell_host *host = p->host;

	if (!host->heir)
		return false;
	p->host = host->heir;
	p->host->refs++;
	cell_host_put(cell, host);
	return true;
}

static void send_break(struct cell *cell, struct cell_promise *p)
{
	bool silent;

	rx_mutex_lock(&cell->lock);
	do {
		silent = p->host->state == CELL_HOST_DOWN;
		if (!silent) {
			rx_mutex_unlock(&cell->lock);
			silent = tell(p->host, &p->fid, 1, BREAK_DEAD_S) != 0;
			rx_mutex_lock(&cell->lock);
		}
	} while (silent && pass_on(cell, p));
	if (silent)
		delay(p->host, &p->fid);
	cell_host_put(cell, p->host);
	rx_mutex_unlock(&cell->lock);
	free(p);
}

void cell_send_breaks(struct cell *cell, struct cell_breaks *breaks)
{
	struct cell_promise *p;

	while ((p = breaks->first)) {
		breaks->first = p->next;
		send_break(cell, p);
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

/* ---- hosts ---- */

static void host_free(struct cell_host *host)
{
	rx_conn_free(host->conn);
	free(host);
}

static void unlink_host(struct cell_fs *fs, struct cell_host *host)
{
	struct cell_host **at = &fs->hosts;

	while (*at && *at != host)
		at = &(*at)->next;
	if (*at)
		*at = host->next;
}

void cell_host_put(struct cell *cell, struct cell_host *host)
{
	struct cell_host *heir = host->heir;

	if (--host->refs || !host->gone)
		return;
	drop_all(cell, host); /* a request that was under way may have added some */
	for (unsigned i = 0; i < cell->nfs; i++)
		unlink_host(&cell->fs[i], host);
	host_free(host);
	if (heir)
		cell_host_put(cell, heir);
}

void cell_hosts_hurry(struct cell_fs *fs)
{
	for (struct cell_host *host = fs->hosts; host; host = host->next)
		rx_conn_set_dead_time(host->conn, 1);
}

/* The loop is gone, and with it the connections. */
void cell_hosts_free(struct cell_fs *fs)
{
	while (fs->hosts) {
		struct cell_host *host = fs->hosts;

		fs->hosts = host->next;
		free(host);
	}
}

void cell_hosts_forget(struct cell_fs *fs)
{
	struct cell_host *next;

	for (struct cell_host *h = fs->hosts; h; h = next) {
		next = h->next;
		if (h->gone)
			continue;
		h->gone = true;
		h->refs++;
		cell_host_put(fs->cell, h);
	}
}

static struct cell_host *find_host(struct cell_fs *fs, const struct rx_addr *addr)
{
	for (struct cell_host *h = fs->hosts; h; h = h->next)
		if (!h->gone && rx_addr_equal(&h->addr, addr))
			return h;
	return NULL;
}

/* Clients that said goodbye are forgotten, but for the last ones, which may be back. */
static void sweep(struct cell_fs *fs)
{
	struct cell_host *next;
	unsigned n = 0;

	for (struct cell_host *h = fs->hosts; h; h = next) {
		next = h->next;
		if (!h->idle || h->refs || ++n <= IDLE_KEPT)
			continue;
		h->gone = true;
		h->refs++;
		cell_host_put(fs->cell, h);
	}
}

static struct cell_host *new_host(struct cell_fs *fs, const struct rx_addr *addr)
{
	struct cell_host *host = calloc(1, sizeof(*host));

	if (!host)
		return NULL;
	sweep(fs);
	host->addr = *addr;
	host->conn = rx_conn_new(fs->loop, addr, AFS_SERVICE_CB, fs->cell->anonymous, NULL);
	if (!host->conn) {
		free(host);
		return NULL;
	}
	rx_conn_set_hard_time(host->conn, HARD_S);
	host->next = fs->hosts;
	fs->hosts = host;
	return host;
}

struct answer {
	struct afs_uuid uuid;
	bool has_uuid, error_translation;
};

/* Who is there? -1: nobody answers. */
static int ask(struct cell_host *host, struct answer *out)
{
	static const struct afs_uuid none;
	struct rx_rpc_client c = { .conn = host->conn, .origin = RX_ORIGIN_AFS };
	struct afs_cb_TellMeAboutYourself_out me;
	struct afs_cb_WhoAreYou_out who;
	struct rx_error err;

	*out = (struct answer){ 0 };
	rx_conn_set_dead_time(host->conn, VERIFY_DEAD_S);
	if (afs_cb_TellMeAboutYourself(&c, NULL, &me, &err) == 0) {
		out->uuid = me.addr.uuid;
		out->error_translation = me.capabilities.len && me.capabilities.items[0] & AFS_CAP_ERRORTRANS;
		afs_cb_TellMeAboutYourself_free(&me);
	} else if (err.code != RXGEN_OPCODE) {
		return -1;
	} else if (afs_cb_WhoAreYou(&c, NULL, &who, &err) == 0) {
		out->uuid = who.addr.uuid;
	} else if (err.code != RXGEN_OPCODE) {
		return -1;
	}
	out->has_uuid = !afs_uuid_equal(&out->uuid, &none);
	return 0;
}

static int reset(struct cell_fs *fs, struct cell_host *host, bool has_uuid)
{
	struct rx_rpc_client c = { .conn = host->conn, .origin = RX_ORIGIN_AFS };
	struct afs_cb_InitCallBackState3_in in = { .server = fs->uuid };

	rx_conn_set_dead_time(host->conn, VERIFY_DEAD_S);
	if (!has_uuid)
		return afs_cb_InitCallBackState(&c, NULL, NULL, NULL);
	return afs_cb_InitCallBackState3(&c, &in, NULL, NULL);
}

/* The same client at another address or port: its promises move with it. Lock held. */
static bool inherit(struct cell_fs *fs, struct cell_host *host)
{
	struct cell_host *old = fs->hosts;

	while (old && (old == host || old->gone || !old->has_uuid || !afs_uuid_equal(&old->uuid, &host->uuid)))
		old = old->next;
	if (!old)
		return false;
	for (struct cell_volume *volume = fs->cell->volumes; volume; volume = volume->next) {
		for (struct cell_promise *p = volume->promises; p; p = p->next)
			p->host = p->host == old ? host : p->host;
		for (uint32_t i = 0; i < volume->nvnodes; i++)
			for (struct cell_promise *p = volume->vnodes[i] ? volume->vnodes[i]->promises : NULL; p;
			     p = p->next)
				p->host = p->host == old ? host : p->host;
	}
	memcpy(host->delayed, old->delayed, sizeof(host->delayed));
	host->ndelayed = old->ndelayed;
	host->reset_due = old->reset_due;
	old->gone = true;
	old->heir = host;
	host->refs++;
	old->refs++;
	cell_host_put(fs->cell, old);
	return true;
}

/* Asks a new host who it is and tells it that it has no promises. Lock held on entry and
 * exit, not in between; the host is VERIFYING meanwhile. */
static bool verify(struct cell_fs *fs, struct cell_host *host)
{
	struct cell *cell = fs->cell;
	struct answer answer;
	bool known = false, ok;

	rx_mutex_unlock(&cell->lock);
	ok = ask(host, &answer) == 0;
	rx_mutex_lock(&cell->lock);
	if (!ok)
		return false;
	host->uuid = answer.uuid;
	host->has_uuid = answer.has_uuid;
	host->error_translation = answer.error_translation;
	if (host->has_uuid)
		known = inherit(fs, host);
	if (known)
		return true;
	rx_mutex_unlock(&cell->lock);
	ok = reset(fs, host, answer.has_uuid) == 0;
	rx_mutex_lock(&cell->lock);
	return ok;
}

/* Somebody else's first call from a known address, so a new connection: real servers ask then
 * whether it is still the same client. As verify. */
static bool verify_again(struct cell_fs *fs, struct cell_host *host)
{
	struct cell *cell = fs->cell;
	struct answer answer;
	bool ok;

	rx_mutex_unlock(&cell->lock);
	ok = ask(host, &answer) == 0;
	rx_mutex_lock(&cell->lock);
	/* Silence is not another client: what it was promised, or missed, stays its own. */
	if (!ok)
		return false;
	if (answer.has_uuid == host->has_uuid && afs_uuid_equal(&answer.uuid, &host->uuid))
		return true;
	drop_all(cell, host);
	host->ndelayed = 0;
	host->uuid = answer.uuid;
	host->has_uuid = answer.has_uuid;
	host->error_translation = answer.error_translation;
	host->reset_due = true; /* and is done at once, by catch_up */
	return true;
}

static bool knows_user(const struct cell_host *host, int32_t id)
{
	for (unsigned i = 0; i < host->nusers; i++)
		if (host->users[i] == id)
			return true;
	return host->nusers == CELL_HOST_USERS;
}

/* Tells a host that was silent what it missed; until it has heard, it counts as missed, for whoever inherits it
 * meanwhile. As verify. */
static bool catch_up(struct cell_fs *fs, struct cell_host *host)
{
	struct cell *cell = fs->cell;
	struct afs_fid fids[CELL_DELAYED_MAX];
	unsigned n = host->ndelayed;
	bool all = host->reset_due, has_uuid = host->has_uuid, ok = true;

	memcpy(fids, host->delayed, sizeof(fids));
	if (all)
		drop_all(cell, host);
	rx_mutex_unlock(&cell->lock);
	if (all)
		ok = reset(fs, host, has_uuid) == 0;
	else if (n)
		ok = tell(host, fids, n, VERIFY_DEAD_S) == 0;
	rx_mutex_lock(&cell->lock);
	if (!ok)
		return false;
	if (all)
		host->reset_due = false;
	/* More may have been added, or all given up. */
	n = n < host->ndelayed ? n : host->ndelayed;
	host->ndelayed -= n;
	memmove(host->delayed, host->delayed + n, host->ndelayed * sizeof(*fids));
	return true;
}

int32_t cell_contact(struct cell_request *rq)
{
	const struct rx_addr *addr = rx_call_peer(rq->call);
	struct cell *cell = rq->cell;
	struct cell_host *host;
	enum cell_host_state was;
	int32_t code = 0;
	bool known;

	rx_mutex_lock(&cell->lock);
	host = find_host(rq->fs, addr);
	if (!host)
		host = new_host(rq->fs, addr);
	if (!host) {
		rx_mutex_unlock(&cell->lock);
		return RX_CALL_DEAD;
	}
	host->refs++;
	rq->host = host;
	while (host->state == CELL_HOST_VERIFYING)
		rx_cond_wait(&cell->moved, &cell->lock, UINT64_MAX);
	was = host->state;
	host->idle = false;
	known = knows_user(host, rq->caller.id);
	if (was != CELL_HOST_GOOD || host->ndelayed || host->reset_due || !known) {
		bool ok = true;

		host->state = CELL_HOST_VERIFYING;
		if (was == CELL_HOST_NEW)
			ok = verify(rq->fs, host);
		else if (!known)
			ok = verify_again(rq->fs, host);
		if (ok && !known)
			host->users[host->nusers++] = rq->caller.id;
		if (ok && (was == CELL_HOST_DOWN || host->ndelayed || host->reset_due))
			ok = catch_up(rq->fs, host);
		host->state = ok ? CELL_HOST_GOOD : was;
		code = ok ? 0 : RX_CALL_DEAD;
		rx_cond_broadcast(&cell->moved);
	}
	rq->fs->calls++;
	rx_mutex_unlock(&cell->lock);
	return code;
}
