/* Clients as a file server knows them: first contact, and what they missed. State is guarded
 * by cell->lock; RPCs to clients go out without it, from the server's own port. A host is
 * freed when it is gone and no request refers to it. Called on worker threads. */
#include <stdlib.h>

#include "tools/cell/internal.h"

enum { VERIFY_DEAD_S = 50, HARD_S = 120, IDLE_KEPT = 16 };

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
	cell_promises_drop(cell, host); /* a request that was under way may have added some */
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
	host->fs = fs;
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

static const struct afs_uuid none;

struct answer {
	struct afs_uuid uuid;
	bool has_uuid, error_translation;
};

/* Who is there? -1: nobody answers. */
static int ask(struct cell_host *host, struct answer *out)
{
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

bool cell_host_reset(struct cell_host *host, bool has_uuid)
{
	struct rx_rpc_client c = { .conn = host->conn, .origin = RX_ORIGIN_AFS };
	struct afs_cb_InitCallBackState3_in in = { .server = host->fs->uuid };

	rx_conn_set_dead_time(host->conn, VERIFY_DEAD_S);
	if (!has_uuid)
		return afs_cb_InitCallBackState(&c, NULL, NULL, NULL) == 0;
	return afs_cb_InitCallBackState3(&c, &in, NULL, NULL) == 0;
}

bool cell_host_probe(struct cell_host *host, const struct afs_uuid *uuid)
{
	struct rx_rpc_client c = { .conn = host->conn, .origin = RX_ORIGIN_AFS };
	struct afs_cb_ProbeUuid_in in = { .client = *uuid };

	rx_conn_set_dead_time(host->conn, VERIFY_DEAD_S);
	if (afs_uuid_equal(uuid, &none))
		return afs_cb_Probe(&c, NULL, NULL, NULL) == 0;
	return afs_cb_ProbeUuid(&c, &in, NULL, NULL) == 0;
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
	ok = cell_host_reset(host, answer.has_uuid);
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
	cell_promises_drop(cell, host);
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
		cell_promises_drop(cell, host);
	rx_mutex_unlock(&cell->lock);
	if (all)
		ok = cell_host_reset(host, has_uuid);
	else if (n)
		ok = cell_host_tell(host, fids, n, VERIFY_DEAD_S) == 0;
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
	host->heard = cell_now(cell);
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
