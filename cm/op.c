/* The rotation loop: who is to be called, and after each answer whether another
 * server, address or connection, the VLDB, or a while of waiting may help. Everything
 * that calls a server runs inside it, on its own thread, without locks. All bounds are
 * here: each site once a round, each address once a site, the VLDB three times, one
 * fresh connection, and rounds of waiting only until the deadline. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cm/internal.h"

enum { RETRY_LIMIT_S = 60, WAIT_MAX_S = 15, VLDB_TIMES = 3, VLDB_PAUSE_US = 2000000, LOST_FOR_US = 10000000 };
enum {
	VL_IO_CODE = 363521,
	VL_NOMEM_CODE = 363547,
	VL_DBBAD_CODE = 363552,
	VL_NOENT_CODE = 363524,
	VNOSERVICE_CODE = 105
};

enum action {
	FINAL,
	NEXT_SITE,
	NEXT_ADDR, /* the network, not the server, failed */
	BUSY,      /* next site; if there is none, wait */
	ELSEWHERE, /* the volume is not here: VLDB */
	RECONNECT, /* once over a new connection */
};

static uint64_t now_us(const struct cm_op *op)
{
	return rx_now_us(op->cm->env);
}

static void begin(struct cm_op *op, struct cm *cm, const char *name, unsigned flags)
{
	unsigned limit = cm->config.retry_limit_s ? cm->config.retry_limit_s : RETRY_LIMIT_S;

	memset(op, 0, sizeof(*op));
	op->cm = cm;
	op->name = name;
	op->flags = flags;
	op->wait_s = 1;
	op->deadline_us = now_us(op) + limit * (uint64_t)1000000;
}

void cm_op_begin_volume(struct cm_op *op, struct cm_volume *vol, struct cm_token *t, const char *name, unsigned flags)
{
	begin(op, vol->cell->cm, name, flags);
	op->volume = vol;
	op->cell = vol->cell;
	op->service = AFS_SERVICE_FS;
	op->token = t;
	op->rpc.origin = RX_ORIGIN_AFS;
	op->rpc.trace = &op->cm->rpc_trace;
	if (cm_volume_sites(vol, op->sites, &op->nsites, &op->worst))
		op->done = op->failed = true;
}

void cm_op_begin(struct cm_op *op, struct cm_vnode *v, struct cm_token *t, const char *name, unsigned flags)
{
	if (!v->volume) {
		begin(op, v->cm, name, flags);
		op->done = op->failed = true;
		rx_error_set(&op->worst, RX_ORIGIN_ERRNO, EROFS, EROFS, "/afs itself lies on no server");
	} else {
		cm_op_begin_volume(op, v->volume, t, name, flags);
	}
	op->vnode = v;
}

void cm_op_begin_db(struct cm_op *op, struct cm_cell *cell, uint16_t service, const char *name)
{
	begin(op, cell->cm, name, 0);
	op->cell = cell;
	op->service = service;
	op->rpc.origin = service == AFS_SERVICE_PT ? RX_ORIGIN_PT : RX_ORIGIN_VL;
	op->rpc.trace = &op->cm->rpc_trace;
	op->nsites = cell->nservers;
	memcpy(op->sites, cell->servers, sizeof(cell->servers));
	if (op->nsites == 0) {
		op->done = op->failed = true;
		rx_error_set(&op->worst, RX_ORIGIN_ERRNO, EHOSTUNREACH, EHOSTUNREACH,
			     "cell %s has no database servers: check its CellServDB entry or the DNS", cell->name);
	}
}

static bool closing(const struct cm_op *op)
{
	uint64_t at = op->cm->closing_us;

	return at != 0 && now_us(op) >= at;
}

static void fail(struct cm_op *op)
{
	op->done = op->failed = true;
}

static void set_worst(struct cm_op *op, const struct rx_error *e)
{
	op->worst = *e;
	op->named = false;
}

/* Keeps the more telling one: what a server said counts more than that one was silent,
 * unless the silence leaves it open whether a change was made. */
static void remember(struct cm_op *op, const struct rx_error *e)
{
	bool had_word = op->worst.code != 0 && op->worst.origin != RX_ORIGIN_RX && op->worst.origin != RX_ORIGIN_ERRNO;

	if (had_word && !(op->flags & CM_OP_ONCE) && (e->origin == RX_ORIGIN_RX || e->origin == RX_ORIGIN_ERRNO))
		return;
	op->worst = *e;
	op->named = true;
}

/* A site not tried in this round: one that is up, else one thought down. */
static bool choose(struct cm_op *op)
{
	for (int try_down = 0; try_down <= 1; try_down++) {
		for (unsigned i = 0; i < op->nsites; i++) {
			uint32_t skip = i == op->site ? op->tried_addrs : 0;

			if (op->tried_sites & 1u << i)
				continue;
			if (!cm_server_pick_addr(op->sites[i], skip, try_down, &op->addr, &op->addr_index))
				continue;
			if (i != op->site)
				op->tried_addrs = 0;
			op->site = i;
			op->server = op->sites[i];
			return true;
		}
	}
	return false;
}

static void new_round(struct cm_op *op)
{
	op->tried_sites = op->tried_addrs = 0;
	op->site = 0;
	op->busy = op->missing = op->silent.known = false;
}

/* Asks the VLDB where the volume went. True: it has answered. *changed: there is something new
 * to try, by this answer or by one that another call has got meanwhile. */
static bool ask_vldb(struct cm_op *op, bool *changed)
{
	struct cm_server *before[CM_SITES];
	unsigned nbefore = op->nsites;
	struct rx_error err;

	memcpy(before, op->sites, sizeof(before));
	op->vldb_asked++;
	op->volume->gen++;
	if (cm_family_refresh(op->volume->family, changed, &err) ||
	    cm_volume_sites(op->volume, op->sites, &op->nsites, &err)) {
		if (err.code == VL_NOENT_CODE || err.errnum == ENODEV)
			set_worst(op, &err);
		return false;
	}
	*changed = *changed || op->nsites != nbefore || memcmp(before, op->sites, nbefore * sizeof(*before)) != 0;
	return true;
}

/* No site is left in this round. True: one that is worth trying over a new connection. */
static bool try_silent(struct cm_op *op)
{
	if (!op->silent.known || op->silent.tried || op->silent.site >= op->nsites)
		return false;
	op->silent.tried = true;
	op->site = op->silent.site;
	op->server = op->sites[op->site];
	op->addr = op->silent.addr;
	op->addr_index = op->silent.addr_index;
	return true;
}

/* The VLDB names servers that have not got the volume, and has been asked often enough: it is
 * left alone for a while. */
static void lost(const struct cm_op *op)
{
	rx_mutex_lock(&op->cm->lock);
	op->volume->family->lost_us = now_us(op);
	rx_mutex_unlock(&op->cm->lock);
}

static bool lost_lately(const struct cm_op *op)
{
	uint64_t at;

	rx_mutex_lock(&op->cm->lock);
	at = op->volume->family->lost_us;
	rx_mutex_unlock(&op->cm->lock);
	return at != 0 && now_us(op) - at < LOST_FOR_US;
}

/* No site is left in this round. True: begin another. */
static bool wait_for_round(struct cm_op *op)
{
	uint64_t now = now_us(op), pause = op->wait_s * (uint64_t)1000000;
	bool changed;

	if (op->flags & (CM_OP_NOWAIT | CM_OP_NOROTATE) || op->cm->closing_us != 0)
		return false;
	if (op->missing && !op->busy) {
		if (op->vldb_asked == 0)
			return false;
		if (op->vldb_asked >= VLDB_TIMES)
			lost(op);
		if (op->vldb_asked >= VLDB_TIMES || !cm_sleep(op->cm, VLDB_PAUSE_US) || !ask_vldb(op, &changed))
			return false;
		new_round(op);
		return true;
	}
	if (!op->busy || now >= op->deadline_us)
		return false;
	if (pause > op->deadline_us - now)
		pause = op->deadline_us - now;
	if (!cm_sleep(op->cm, pause))
		return false;
	op->wait_s = op->wait_s * 2 < WAIT_MAX_S ? op->wait_s * 2 : WAIT_MAX_S;
	new_round(op);
	return true;
}

bool cm_op_next(struct cm_op *op)
{
	while (!op->done) {
		struct rx_error err;
		struct rx_addr addr;
		bool trial = false;

		rx_error_clear(&op->error);
		if (closing(op)) {
			if (op->worst.code == 0)
				rx_error_set(&op->worst, RX_ORIGIN_ERRNO, ESHUTDOWN, ESHUTDOWN,
					     "the client is closing");
			fail(op);
			break;
		}
		if (!op->again && !choose(op)) {
			trial = try_silent(op);
			if (!trial && !wait_for_round(op))
				fail(op);
			if (!trial)
				continue;
		}
		op->again = false;
		addr = op->addr;
		/* One machine, two databases. */
		if (op->service == AFS_SERVICE_PT)
			addr.port = AFS_PORT_PT;
		if (cm_conn_get(op->server, &addr, op->service, op->token, trial, &op->conn, &err)) {
			set_worst(op, &err);
			fail(op);
			break;
		}
		op->rpc.conn = op->conn->rx;
		op->called_us = now_us(op);
		return true;
	}
	return false;
}

static bool is_network(const struct rx_error *e)
{
	if (e->origin == RX_ORIGIN_RX)
		return e->code < 0 && e->code > -100;
	if (e->origin != RX_ORIGIN_ERRNO)
		return false;
	return e->errnum == ECONNREFUSED || e->errnum == EHOSTUNREACH || e->errnum == ENETUNREACH ||
	       e->errnum == EHOSTDOWN || e->errnum == ENETDOWN || e->errnum == ETIMEDOUT;
}

static enum action classify_fs(const struct cm_op *op, const struct rx_error *e)
{
	switch (e->code) {
	case 101: /* VSALVAGE: also of a demand-attach server that is still starting */
	case 106: /* VOFFLINE */
	case 110: /* VBUSY */
	case 113: /* VSALVAGING */
	case RX_RESTARTING:
	case -1001: /* the fileserver cannot reach its protection server */
		return BUSY;
	case VNOSERVICE_CODE: /* of an idle call, which may still run */
		return op->flags & CM_OP_ONCE ? FINAL : BUSY;
	case 103: /* VNOVOL */
	case 111: /* VMOVED */
		return ELSEWHERE;
	case 112: /* VIO */
		return op->volume->kind == CM_VOL_RW ? FINAL : NEXT_SITE;
	case 1234: /* VICECONNBAD */
	case 1235: /* VICETOKENDEAD */
		return RECONNECT;
	default:
		if (e->errnum == EIO && e->origin == RX_ORIGIN_AFS && op->volume->kind != CM_VOL_RW)
			return NEXT_SITE;
		return FINAL;
	}
}

static enum action classify(const struct cm_op *op, const struct rx_error *e)
{
	if (e->origin == RX_ORIGIN_RXKAD)
		return RECONNECT;
	if (is_network(e))
		return op->flags & CM_OP_ONCE ? FINAL : NEXT_ADDR;
	if (op->volume)
		return classify_fs(op, e);
	if (e->origin == RX_ORIGIN_UBIK || e->code == VL_IO_CODE || e->code == VL_NOMEM_CODE ||
	    e->code == VL_DBBAD_CODE)
		return NEXT_SITE;
	return FINAL;
}

static void next_site(struct cm_op *op)
{
	op->tried_sites |= 1u << op->site;
	op->tried_addrs = 0;
}

static void elsewhere(struct cm_op *op)
{
	bool changed = false;

	op->missing = true;
	if (op->error.code == 103 && op->vldb_asked == 0 && lost_lately(op)) {
		next_site(op);
		return;
	}
	if (op->vldb_asked == 0 || (op->error.code == 111 && op->vldb_asked < VLDB_TIMES)) {
		if (!ask_vldb(op, &changed)) {
			fail(op);
			return;
		}
		if (changed) {
			new_round(op);
			return;
		}
	}
	next_site(op);
}

static void reconnect(struct cm_op *op)
{
	bool expired = op->error.origin == RX_ORIGIN_RXKAD && op->error.code == RXKAD_EXPIRED;
	struct rx_error err = op->worst;

	if (op->fresh_conns++ == 0 && (!expired || (op->token && cm_token_refresh(op->token, &err) == 0))) {
		op->again = true;
		return;
	}
	if (expired)
		set_worst(op, &err);
	/* Without a new ticket no other server will think better of it; else one may
	 * miss the new key where another has it. */
	if (expired)
		fail(op);
	else
		next_site(op);
}

/* Whether a call that failed may have been carried out all the same: the file server has not said no. What the
 * security class says ends every call of its connection, also those that run already; and a disk that fails (EIO)
 * may do so behind the change. */
static bool may_have_run(const struct rx_error *e)
{
	return e->origin != RX_ORIGIN_AFS || e->code == VNOSERVICE_CODE || e->errnum == EIO;
}

/* The server may well be up, and know our connections at an address that is no longer ours. */
static void fell_silent(struct cm_op *op)
{
	bool answered = cm_conns_silent(op->server, &op->addr, op->called_us);

	if (!answered || op->silent.tried)
		return;
	op->silent.known = true;
	op->silent.site = op->site;
	op->silent.addr = op->addr;
	op->silent.addr_index = op->addr_index;
}

int cm_op_result(struct cm_op *op, int rc)
{
	enum action action;

	if (rc == 0) {
		cm_server_mark(op->server, &op->addr, true);
		cm_conn_put(op->conn, false);
		op->done = true;
		op->failed = false;
		return 0;
	}
	op->in_doubt = op->in_doubt || may_have_run(&op->error);
	action = classify(op, &op->error);
	if (op->error.origin == RX_ORIGIN_RX && op->error.code == RX_CALL_DEAD)
		fell_silent(op);
	cm_conn_put(op->conn, action == RECONNECT || is_network(&op->error));
	if (is_network(&op->error))
		cm_server_mark(op->server, &op->addr, op->error.code == RX_CALL_TIMEOUT);
	else
		cm_server_mark(op->server, &op->addr, true);
	remember(op, &op->error);
	switch (action) {
	case FINAL:
		fail(op);
		break;
	case NEXT_ADDR:
		op->tried_addrs |= 1u << op->addr_index;
		if (op->error.code == RX_CALL_TIMEOUT)
			next_site(op);
		break;
	case BUSY:
		op->busy = true;
		next_site(op);
		break;
	case NEXT_SITE:
		next_site(op);
		break;
	case ELSEWHERE:
		elsewhere(op);
		break;
	case RECONNECT:
		reconnect(op);
		break;
	}
	return rc;
}

void cm_op_doubt(const struct cm_op *op, struct cm_vnode *v)
{
	if (v && op->failed && op->in_doubt)
		cm_vnode_break(v);
}

int cm_op_end(struct cm_op *op, struct rx_error *err)
{
	char buf[384];

	if (!op->failed)
		return 0;
	if (!err)
		return -1;
	*err = op->worst;
	if (is_network(err) && op->flags & CM_OP_ONCE) {
		char text[sizeof(err->text)];

		snprintf(text, sizeof(text),
			 "%.170s; whether the change was made is not known: look before trying again", err->text);
		memcpy(err->text, text, sizeof(text));
	}
	if (op->missing && (err->code == 103 || err->code == 111))
		err->errnum = ENODEV;
	/* The stub has named the call and the server already. */
	if (op->named)
		rx_error_prefix(err, "%s", op->vnode ? cm_vnode_text(op->vnode, buf) : op->cell->name);
	else
		rx_error_prefix(err, "%s of %s", op->name, op->vnode ? cm_vnode_text(op->vnode, buf) : op->cell->name);
	return -1;
}
