/* One play: sets up cell, clients and files, lets the actors act and the faults strike at
 * their times, waits for calm, compares everything with everything. The faults' thread is
 * the caller's; each actor has one. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tools/storm/play.h"
#include "vfs-emu/instance.h"

enum {
	ALL = CM_RIGHTS_ALL & ~CM_RIGHT_ADMINISTER,
	TRIES = 40,
	PAUSE_US = 5000000,
	STALE_US = 310000000, /* after this a client that missed a break has asked */
	FORGET_US = 6000000,
	SHORT_LIFE_S = 10000,
	LONG_LIFE_S = 1000000,
	FREE_MS = 60000,
	NUDGES = 20,
	NUDGE_US = 500000,
};

void storm_broken(struct storm_play *p, const struct storm_actor *who, const char *fmt, ...)
{
	struct storm_verdict *v = p->verdict;
	uint64_t now = rx_now_us(p->env) - p->begin_us;
	va_list args;
	size_t n;

	if (!__atomic_exchange_n(&v->ok, false, __ATOMIC_ACQ_REL))
		return;
	n = (size_t)snprintf(v->broken, sizeof(v->broken), "at %.3f ms, ", (double)now / 1000);
	if (who)
		n += (size_t)snprintf(v->broken + n, sizeof(v->broken) - n, "c%u.%s%s%s: ", who->client->id,
				      storm_user_name(who->user), who->now ? " in " : "",
				      who->now ? storm_kind_name(who->now->kind) : "");
	va_start(args, fmt);
	vsnprintf(v->broken + n, sizeof(v->broken) - n, fmt, args);
	va_end(args);
}

void storm_say(struct storm_actor *a, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(a->said, sizeof(a->said), fmt, args);
	va_end(args);
}

static void trace(struct storm_play *p, const struct storm_event *e, const char *said)
{
	FILE *out = p->stage->trace;

	if (!out)
		return;
	fprintf(out, "%12.3f ", (double)(rx_now_us(p->env) - p->begin_us) / 1000);
	storm_event_print(e, out);
	if (*said)
		fprintf(out, "             %s\n", said);
}

static void wait_until(struct storm_play *p, uint64_t at_us)
{
	rx_mutex_lock(&p->lock);
	while (rx_now_us(p->env) < at_us)
		rx_cond_wait(&p->tick, &p->lock, at_us);
	rx_mutex_unlock(&p->lock);
}

void storm_pause(struct storm_play *p, uint64_t us)
{
	wait_until(p, rx_now_us(p->env) + us);
}

/* ---- clients ---- */

static void trace_client(void *arg, const struct cm_trace_event *ev)
{
	const struct storm_client *c = arg;
	struct storm_play *p = c->play;

	fprintf(p->stage->trace, "%12.3f   [c%u %s %s %s %s]%s%s\n", (double)(ev->end_us - p->begin_us) / 1000, c->id,
		ev->what, ev->name, ev->server, ev->detail, ev->error ? " " : "", ev->error ? ev->error->text : "");
}

static int client_begin(struct storm_play *p, unsigned id, struct rx_error *err)
{
	struct storm_client *c = &p->clients[id];
	const struct storm_weather *w = &p->plan->weather;
	struct cm_config cm = {
		.env = p->env, .max_dirty_age_ms = w->dirty_age_ms, .retry_limit_s = 60, .event = storm_event, .arg = c
	};
	struct vfs_config vfs = { .mode = w->full ? VFS_MODE_FULL : VFS_MODE_BASIC,
				  .conflict_timeout_ms = w->conflict_ms ? w->conflict_ms : UINT32_MAX,
				  .workers = 2 };

	if (p->stage->trace)
		cm.trace = trace_client;
	c->play = p;
	c->id = id;
	if (p->stage->ops->client(p->stage, id, &cm, &vfs) != 0)
		return -1;
	c->cm = cm_new(&cm, err);
	vfs.cm = c->cm;
	c->vfs = c->cm ? vfs_new(&vfs, err) : NULL;
	if (c->vfs)
		c->lives++;
	return c->vfs ? 0 : -1;
}

static int actor_begin(struct storm_actor *a, struct rx_error *err)
{
	struct storm_play *p = a->play;
	struct cm_vnode *dirs[STORM_DIRS] = { NULL };
	int rc = 0;

	if (!a->token)
		rc = cm_token_open(a->client->cm, p->stage->ops->token(p->stage, a->client->id, a->user), NULL,
				   &a->token, err);
	for (unsigned d = 0; d < STORM_DIRS && rc == 0; d++)
		if (!a->dirs[d])
			rc = cm_walk(a->client->cm, a->token, p->dir_path[d], 0, &dirs[d], err);
	rx_mutex_lock(&p->lock);
	for (unsigned d = 0; d < STORM_DIRS; d++)
		if (dirs[d])
			a->dirs[d] = dirs[d];
	rx_mutex_unlock(&p->lock);
	return rc;
}

/* What an actor holds of its client; drop: nothing is stored. */
static void actor_end(struct storm_actor *a, bool drop)
{
	struct storm_play *p = a->play;
	struct rx_error err = { 0 };

	for (unsigned h = 0; h < STORM_HANDLES; h++)
		if (storm_close(a, h, drop, &err) != 0 && !storm_is_loss(&err))
			storm_broken(p, a, "cannot close in the end: %s", err.text);
	for (unsigned d = 0; d < STORM_DIRS; d++) {
		struct cm_vnode *v = a->dirs[d];

		rx_mutex_lock(&p->lock);
		a->dirs[d] = NULL;
		rx_mutex_unlock(&p->lock);
		cm_vnode_put(v);
	}
	cm_token_put(a->token);
	a->token = NULL;
}

static void client_end(struct storm_client *c, bool crash)
{
	uint64_t lost;

	if (c->vfs)
		vfs_stop(c->vfs);
	lost = c->cm ? cm_free(c->cm, crash ? 0 : FREE_MS) : 0;
	if (lost > 0 && !crash)
		storm_broken(c->play, NULL, "client %u ends with %llu bytes not stored", c->id,
			     (unsigned long long)lost);
	vfs_free(c->vfs);
	c->vfs = NULL;
	c->cm = NULL;
}

/* ---- the beginning ---- */

static int make_file(struct storm_play *p, unsigned dir, const char *name, uint64_t size, char path[128],
		     struct cm_fid *fid, struct rx_error *err)
{
	struct cm_setattr attr = { .set_mode = true, .mode = 0666 };
	struct cm_vnode *v = NULL;
	int rc = cm_create(p->admin_dirs[dir], p->admin, name, &attr, &v, err);

	if (rc == 0 && size > 0)
		rc = cm_truncate(v, p->admin, size, err);
	if (rc == 0) {
		*fid = cm_vnode_fid(v);
		snprintf(path, 128, "%s/%s", p->dir_path[dir], name);
	}
	cm_vnode_put(v);
	return rc;
}

static int make_dir(struct storm_play *p, struct cm_vnode *root, unsigned dir, struct rx_error *err)
{
	struct cm_acl acl = { .npositive = 1, .positive = { { "admin", CM_RIGHTS_ALL } } };
	char name[8], text[CM_ACL_TEXT];
	size_t len;

	snprintf(name, sizeof(name), "d%u", dir);
	snprintf(p->dir_path[dir], sizeof(p->dir_path[dir]), "%s/%s", p->stage->root, name);
	if (cm_mkdir(root, p->admin, name, NULL, &p->admin_dirs[dir], err) != 0)
		return -1;
	for (unsigned u = 0; u < STORM_USERS; u++) {
		p->grants[dir][u].rights = ALL;
		cm_acl_set(&acl, storm_user_name(u), false, ALL, NULL);
	}
	cm_acl_format(&acl, text, &len, NULL);
	return cm_acl_store(p->admin_dirs[dir], p->admin, text, err);
}

static int make_files(struct storm_play *p, struct rx_error *err)
{
	struct cm_vnode *root = NULL;
	char name[16];
	int rc = cm_walk(p->clients[STORM_ADMIN].cm, p->admin, p->stage->root, 0, &root, err);

	for (unsigned d = 0; d < STORM_DIRS && rc == 0; d++)
		rc = make_dir(p, root, d, err);
	for (unsigned f = 0; f < STORM_FILES && rc == 0; f++) {
		snprintf(name, sizeof(name), "shared%u", f);
		rc = make_file(p, f, name, STORM_SIZE, p->files[f].path, &p->files[f].fid, err);
	}
	for (unsigned i = 0; i < STORM_ACTORS && rc == 0; i++) {
		struct storm_own *o = p->actors[i].own;

		snprintf(name, sizeof(name), "own%u", i);
		rc = make_file(p, i % STORM_DIRS, name, 0, o->path, &o->fid, err);
	}
	cm_vnode_put(root);
	return rc;
}

static int begin(struct storm_play *p, struct rx_error *err)
{
	for (unsigned i = 0; i < STORM_ACTORS; i++) {
		struct storm_actor *a = &p->actors[i];

		a->play = p;
		a->id = i;
		a->user = i % STORM_USERS;
		a->client = &p->clients[i / STORM_USERS];
		for (unsigned d = 0; d < STORM_DIRS; d++)
			for (unsigned k = 0; k < STORM_NAMES; k++)
				a->names.may[d][k] = 1;
		if (storm_own_begin(a) != 0)
			return -1;
	}
	if (p->stage->ops->begin(p->stage, p->plan, p, err) != 0 || client_begin(p, STORM_ADMIN, err) != 0 ||
	    cm_token_open(p->clients[STORM_ADMIN].cm, p->stage->ops->token(p->stage, STORM_ADMIN, STORM_USERS), NULL,
			  &p->admin, err) != 0 ||
	    make_files(p, err) != 0)
		return -1;
	for (unsigned c = 0; c < STORM_CLIENTS; c++)
		if (client_begin(p, c, err) != 0)
			return -1;
	for (unsigned i = 0; i < STORM_ACTORS; i++)
		if (actor_begin(&p->actors[i], err) != 0)
			return -1;
	return 0;
}

/* ---- acting ---- */

static void enter(struct storm_actor *a)
{
	struct storm_play *p = a->play;

	rx_mutex_lock(&p->lock);
	while (a->client->pausing)
		rx_cond_wait(&p->tick, &p->lock, UINT64_MAX);
	a->client->busy++;
	*a->said = 0;
	p->counts->done[a->now->kind]++;
	rx_mutex_unlock(&p->lock);
}

static void leave(struct storm_actor *a)
{
	struct storm_play *p = a->play;

	rx_mutex_lock(&p->lock);
	trace(p, a->now, a->said);
	a->client->busy--;
	rx_cond_broadcast(&p->tick);
	rx_mutex_unlock(&p->lock);
}

static void actor(void *arg)
{
	struct storm_actor *a = arg;
	struct storm_play *p = a->play;

	for (size_t i = 0; i < p->plan->n && storm_unbroken(p); i++) {
		const struct storm_event *e = &p->plan->events[i];

		if (e->kind >= STORM_ACT_COUNT || e->actor != a->id)
			continue;
		wait_until(p, p->begin_us + e->at_us);
		a->now = e;
		enter(a);
		if (!storm_unbroken(p))
			; /* its client may not have come again */
		else if (e->kind >= STORM_CREATE)
			storm_name_act(a, e);
		else if (e->kind >= STORM_OWN_WRITE)
			storm_own_act(a, e);
		else
			storm_data_act(a, e);
		leave(a);
	}
	a->now = NULL;
}

/* ---- striking ---- */

static void cut(struct storm_play *p, unsigned client, bool on)
{
	struct storm_client *c = &p->clients[client];

	rx_mutex_lock(&p->lock);
	c->cut = on;
	c->missed |= on;
	c->cuts += on;
	rx_mutex_unlock(&p->lock);
	p->stage->ops->cut(p->stage, client, on);
}

/* Waits for the time of the next strike; ends cuts whose time has come on the way. */
static void director_wait(struct storm_play *p, uint64_t at_us)
{
	for (;;) {
		struct storm_client *next = NULL;

		for (unsigned c = 0; c < STORM_CLIENTS; c++)
			if (p->clients[c].cut && p->clients[c].uncut_us <= at_us &&
			    (!next || p->clients[c].uncut_us < next->uncut_us))
				next = &p->clients[c];
		if (!next)
			break;
		wait_until(p, next->uncut_us);
		cut(p, next->id, false);
	}
	wait_until(p, at_us);
}

/* The client vanishes with all that it has not stored, and comes again at the same place. */
static void crash(struct storm_play *p, unsigned client)
{
	struct storm_client *c = &p->clients[client];
	struct rx_error err = { 0 };
	unsigned tries = 0;
	int rc;

	rx_mutex_lock(&p->lock);
	c->pausing = true;
	rx_mutex_unlock(&p->lock);
	cut(p, client, true);
	rx_mutex_lock(&p->lock);
	while (c->busy > 0)
		rx_cond_wait(&p->tick, &p->lock, UINT64_MAX);
	for (unsigned u = 0; u < STORM_USERS; u++) {
		storm_data_crashed(&p->actors[client * STORM_USERS + u]);
		storm_own_crashed(&p->actors[client * STORM_USERS + u]);
	}
	rx_mutex_unlock(&p->lock);
	for (unsigned u = 0; u < STORM_USERS; u++)
		actor_end(&p->actors[client * STORM_USERS + u], true);
	client_end(c, true);
	cut(p, client, false);
	do {
		if (tries)
			storm_pause(p, PAUSE_US);
		rc = c->vfs ? 0 : client_begin(p, client, &err);
		/* Whoever starts a client has a ticket. */
		for (unsigned u = 0; u < STORM_USERS && rc == 0 && p->expired; u++)
			rc = p->stage->ops->ticket(p->stage, client, u, LONG_LIFE_S, &err);
		for (unsigned u = 0; u < STORM_USERS && rc == 0; u++)
			rc = actor_begin(&p->actors[client * STORM_USERS + u], &err);
	} while (rc != 0 && ++tries < TRIES);
	if (rc != 0)
		storm_broken(p, NULL, "client %u does not start again: %s", client, err.text);
	rx_mutex_lock(&p->lock);
	c->pausing = false;
	rx_cond_broadcast(&p->tick);
	rx_mutex_unlock(&p->lock);
}

static void refuse(struct storm_play *p, unsigned user, unsigned times)
{
	char line[STORM_TEXT_MAX];
	struct rx_error err = { 0 };

	rx_mutex_lock(&p->lock);
	p->refusing[user] = true;
	p->refusals[user]++;
	for (unsigned d = 0; d < STORM_DIRS; d++)
		storm_doubt(p, user, d);
	snprintf(line, sizeof(line), "refuse%u%u: rpc name StoreData64 user %s times %u -> abort UAEACCES", user,
		 p->refusals[user], storm_user_name(user), times);
	rx_mutex_unlock(&p->lock);
	if (p->stage->ops->rule(p->stage, line, &err) != 0)
		storm_broken(p, NULL, "%s: %s", line, err.text);
}

/* A ticket that is over for long is a refusal, if somebody else waits for the page. */
static void expire(struct storm_play *p)
{
	rx_mutex_lock(&p->lock);
	for (unsigned u = 0; u < STORM_USERS; u++) {
		p->refusing[u] = true;
		p->refusals[u]++;
		for (unsigned d = 0; d < STORM_DIRS; d++)
			storm_doubt(p, u, d);
	}
	p->expired = true;
	rx_mutex_unlock(&p->lock);
}

static void strike(struct storm_play *p, const struct storm_event *e)
{
	const struct storm_stage_ops *ops = p->stage->ops;
	struct rx_error err = { 0 };
	int rc = 0;

	rx_mutex_lock(&p->lock);
	p->counts->done[e->kind]++;
	if (e->kind != STORM_RIGHTS && e->kind != STORM_REFUSE)
		p->hindered = true;
	p->restarts += e->kind == STORM_RESTART;
	p->may_restart = p->may_restart || strstr(e->text, "-> restart");
	rx_mutex_unlock(&p->lock);
	switch (e->kind) {
	case STORM_RIGHTS:
		storm_set_rights(p, e->args[0] % STORM_DIRS, e->args[1] % STORM_USERS, e->args[2] & ALL);
		break;
	case STORM_REFUSE:
		refuse(p, e->args[0] % STORM_USERS, e->args[1]);
		break;
	case STORM_RULE:
		if (strstr(e->text, "-> expire"))
			expire(p);
		rc = ops->rule(p->stage, e->text, &err);
		break;
	case STORM_UNRULE:
		ops->unrule(p->stage, e->text);
		break;
	case STORM_CUT:
		p->clients[e->args[0] % STORM_CLIENTS].uncut_us = rx_now_us(p->env) + e->args[1] * UINT64_C(1000);
		cut(p, e->args[0] % STORM_CLIENTS, true);
		break;
	case STORM_CRASH:
		crash(p, e->args[0] % STORM_CLIENTS);
		break;
	case STORM_RESTART:
		rc = ops->restart(p->stage, &err);
		break;
	case STORM_TICKET:
		rc = ops->ticket(p->stage, e->args[0] % STORM_CLIENTS, e->args[1] % STORM_USERS, e->args[2], &err);
		break;
	default:
		break;
	}
	rx_mutex_lock(&p->lock);
	p->restarts += e->kind == STORM_RESTART;
	trace(p, e, "");
	rx_mutex_unlock(&p->lock);
	if (rc != 0)
		storm_broken(p, NULL, "cannot strike with %s: %s", storm_kind_name(e->kind), err.text);
}

static void direct(struct storm_play *p)
{
	for (size_t i = 0; i < p->plan->n && storm_unbroken(p); i++) {
		const struct storm_event *e = &p->plan->events[i];

		if (e->kind < STORM_ACT_COUNT)
			continue;
		director_wait(p, p->begin_us + e->at_us);
		strike(p, e);
	}
	director_wait(p, p->begin_us + (p->plan->n ? p->plan->events[p->plan->n - 1].at_us : 0));
}

/* ---- the end ---- */

/* Nothing strikes any more, everybody may do everything. */
static void calm(struct storm_play *p)
{
	struct rx_error err = { 0 };

	for (unsigned c = 0; c < STORM_CLIENTS; c++)
		if (p->clients[c].cut)
			cut(p, c, false);
	p->stage->ops->calm(p->stage);
	for (unsigned d = 0; d < STORM_DIRS; d++)
		for (unsigned u = 0; u < STORM_USERS; u++)
			if (p->grants[d][u].rights != ALL)
				storm_set_rights(p, d, u, ALL);
	for (unsigned i = 0; i < STORM_ACTORS && p->expired; i++)
		if (p->stage->ops->ticket(p->stage, i / STORM_USERS, i % STORM_USERS, LONG_LIFE_S, &err) != 0)
			storm_broken(p, NULL, "no ticket in the end: %s", err.text);
	rx_mutex_lock(&p->lock);
	memset(p->refusing, 0, sizeof(p->refusing));
	rx_mutex_unlock(&p->lock);
}

/* The server tells a client that calls what it could not tell it before. True: some client
 * has not been told yet. */
static bool nudge(struct storm_play *p)
{
	bool stale = false;

	for (unsigned c = 0; c < STORM_CLIENTS; c++) {
		struct storm_actor *a = &p->actors[c * STORM_USERS];
		struct rx_error err;
		char *text;

		if (!storm_is_stale(p, &p->clients[c]))
			continue;
		if (cm_acl_fetch(a->dirs[0], a->token, &text, &err) == 0)
			free(text);
		stale |= storm_is_stale(p, &p->clients[c]);
	}
	if (stale)
		storm_pause(p, NUDGE_US);
	return stale;
}

/* What may not have been told is found out, refusals are forgotten. */
static void rest(struct storm_play *p)
{
	bool stale = false, denied = false;

	rx_mutex_lock(&p->lock);
	for (unsigned c = 0; c < STORM_CLIENTS; c++)
		stale |= storm_is_stale(p, &p->clients[c]);
	for (unsigned u = 0; u < STORM_USERS; u++)
		denied |= p->ever_denied[u];
	rx_mutex_unlock(&p->lock);
	for (unsigned n = 0; stale && p->stage->hurried && n < NUDGES; n++)
		stale = nudge(p);
	if (stale)
		storm_pause(p, STALE_US);
	else if (denied)
		storm_pause(p, FORGET_US);
}

ssize_t storm_read_fresh(struct storm_play *p, const char *path, uint8_t *buf, size_t len)
{
	struct storm_client *c = &p->clients[STORM_ADMIN];
	struct rx_error err = { 0 };
	struct vfs_file *f = NULL;
	struct cm_vnode *v = NULL;
	ssize_t n = -1;

	if (cm_walk(c->cm, p->admin, path, 0, &v, &err) == 0 && vfs_open(c->vfs, v, p->admin, false, &f, &err) == 0)
		n = vfs_pread(f, buf, len, 0, &err);
	if (n < 0)
		storm_broken(p, NULL, "a fresh client cannot read %s: %s", path, err.text);
	if (f)
		vfs_drop(f);
	cm_vnode_put(v);
	return n;
}

static void settle(struct storm_play *p)
{
	rest(p);
	for (unsigned i = 0; i < STORM_ACTORS && storm_unbroken(p); i++) {
		storm_data_settle(&p->actors[i]);
		storm_own_settle(&p->actors[i]);
	}
	if (!storm_unbroken(p))
		return;
	storm_data_check(p);
	for (unsigned i = 0; i < STORM_ACTORS; i++)
		storm_own_check(&p->actors[i]);
	storm_names_check(p);
	storm_watch_check(p);
}

static void end(struct storm_play *p)
{
	for (unsigned i = 0; i < STORM_ACTORS; i++)
		actor_end(&p->actors[i], !storm_unbroken(p));
	for (unsigned d = 0; d < STORM_DIRS; d++)
		cm_vnode_put(p->admin_dirs[d]);
	cm_token_put(p->admin);
	for (unsigned c = 0; c <= STORM_CLIENTS; c++)
		client_end(&p->clients[c], !storm_unbroken(p));
	p->stage->ops->end(p->stage);
	for (unsigned i = 0; i < STORM_ACTORS; i++)
		free(p->actors[i].own);
}

static bool can_peek(struct storm_play *p)
{
	uint8_t byte;

	return p->stage->ops->peek && p->stage->ops->peek(p->stage, &p->files[0].fid, &byte, 1) >= 0;
}

static void act_all(struct storm_play *p)
{
	unsigned n = 0;

	p->begin_us = rx_now_us(p->env);
	for (; n < STORM_ACTORS; n++) {
		p->actors[n].thread = rx_thread_spawn(p->env, "storm", actor, &p->actors[n]);
		if (!p->actors[n].thread) {
			storm_broken(p, NULL, "no threads left");
			break;
		}
	}
	direct(p);
	calm(p);
	while (n > 0)
		rx_thread_join(p->env, p->actors[--n].thread);
}

void storm_play(const struct storm_plan *plan, struct storm_stage *stage, struct storm_verdict *verdict,
		struct storm_counts *counts)
{
	struct storm_play *p = calloc(1, sizeof(*p));
	struct rx_error err = { 0 };

	*verdict = (struct storm_verdict){ .ok = true };
	if (!p)
		abort();
	p->plan = plan;
	p->stage = stage;
	p->env = stage->env;
	p->verdict = verdict;
	p->counts = counts ? counts : &p->none;
	p->begin_us = rx_now_us(p->env);
	p->hindered = plan->weather.loss > 0 || plan->weather.life_s < SHORT_LIFE_S;
	rx_mutex_init(&p->lock, p->env, (enum rx_rank)STORM_RANK, "storm");
	rx_cond_init(&p->tick, p->env);
	if (begin(p, &err) != 0) {
		storm_broken(p, NULL, "cannot begin: %s", err.text);
	} else {
		if (plan->weather.life_s < SHORT_LIFE_S)
			expire(p);
		p->can_peek = can_peek(p);
		p->mixed = plan->weather.mixed && p->can_peek;
		act_all(p);
		if (storm_unbroken(p))
			settle(p);
	}
	end(p);
	p->counts->plays++;
	p->counts->virtual_us += rx_now_us(p->env) - p->begin_us;
	rx_cond_destroy(&p->tick);
	rx_mutex_destroy(&p->lock);
	free(p);
}

void storm_counts_print(const struct storm_counts *c, FILE *out)
{
	fprintf(out, "%llu plays, %llu stores, %llu kills, %llu overwritten", (unsigned long long)c->plays,
		(unsigned long long)c->stores, (unsigned long long)c->kills, (unsigned long long)c->overwrites);
	for (unsigned k = 0; k < STORM_KINDS; k++)
		if (c->done[k])
			fprintf(out, "%s %s %llu (%llu failed)", k % 6 ? "," : "\n ", storm_kind_name(k),
				(unsigned long long)c->done[k], (unsigned long long)c->failed[k]);
	fprintf(out, "\n");
}
