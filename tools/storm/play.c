/* One play: sets up cell, clients and files, lets the actors act at their times, waits for
 * calm, compares everything with everything. The faults' thread (strike.c) is the caller's;
 * each actor has one. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tools/storm/play.h"

enum {
	STALE_US = 310000000, /* after this a client that missed a break has asked */
	FORGET_US = 6000000,
	REST_MAX_US = 900000000, /* for acts that were under way too */
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

void storm_trace(struct storm_play *p, const struct storm_event *e, const char *said)
{
	FILE *out = p->stage->trace;

	if (!out)
		return;
	fprintf(out, "%12.3f ", (double)(rx_now_us(p->env) - p->begin_us) / 1000);
	storm_event_print(e, out);
	if (*said)
		fprintf(out, "             %s\n", said);
}

void storm_wait_until(struct storm_play *p, uint64_t at_us)
{
	rx_mutex_lock(&p->lock);
	while (rx_now_us(p->env) < at_us)
		rx_cond_wait(&p->tick, &p->lock, at_us);
	rx_mutex_unlock(&p->lock);
}

void storm_pause(struct storm_play *p, uint64_t us)
{
	storm_wait_until(p, rx_now_us(p->env) + us);
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
		p->grants[dir][u].rights = STORM_ALL_RIGHTS;
		cm_acl_set(&acl, storm_user_name(u), false, STORM_ALL_RIGHTS, NULL);
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
	if (p->stage->ops->begin(p->stage, p->plan, p, err) != 0 || storm_client_begin(p, STORM_ADMIN, err) != 0 ||
	    cm_token_open(p->clients[STORM_ADMIN].cm, p->stage->ops->token(p->stage, STORM_ADMIN, STORM_USERS), NULL,
			  &p->admin, err) != 0 ||
	    make_files(p, err) != 0)
		return -1;
	for (unsigned c = 0; c < STORM_CLIENTS; c++)
		if (storm_client_begin(p, c, err) != 0)
			return -1;
	for (unsigned i = 0; i < STORM_ACTORS; i++)
		if (storm_actor_begin(&p->actors[i], err) != 0)
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
	storm_trace(p, a->now, a->said);
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
		storm_wait_until(p, p->begin_us + e->at_us);
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

/* ---- the end ---- */

/* The server tells a client that calls what it could not tell it before. True: some client
 * has not been told yet. */
static bool nudge(struct storm_play *p)
{
	bool stale = false;

	for (unsigned c = 0; c <= STORM_CLIENTS; c++) {
		struct storm_actor *a = &p->actors[c * STORM_USERS % STORM_ACTORS];
		struct cm_vnode *dir = c == STORM_ADMIN ? p->admin_dirs[0] : a->dirs[0];
		struct rx_error err;
		char *text;

		if (!storm_is_stale(p, &p->clients[c]))
			continue;
		if (cm_acl_fetch(dir, c == STORM_ADMIN ? p->admin : a->token, &text, &err) == 0) {
			free(text);
			p->clients[c].missed = false;
		}
		stale |= storm_is_stale(p, &p->clients[c]);
	}
	if (stale)
		storm_pause(p, NUDGE_US);
	return stale;
}

/* What may not have been told is found out, refusals are forgotten. again: where time is real, whoever still seems
 * to have missed something is so by what the server keeps of his former life, which the first rest has waited for. */
static void rest(struct storm_play *p, bool again)
{
	bool stale = false, denied = false;

	rx_mutex_lock(&p->lock);
	for (unsigned c = 0; c <= STORM_CLIENTS; c++)
		stale |= storm_is_stale(p, &p->clients[c]);
	for (unsigned u = 0; u < STORM_USERS; u++)
		denied |= p->ever_denied[u];
	rx_mutex_unlock(&p->lock);
	for (unsigned n = 0; stale && p->stage->hurried && n < NUDGES; n++)
		stale = nudge(p);
	if (stale && !(again && p->stage->hurried))
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
	uint64_t took_us;

	rest(p, false);
	for (unsigned i = 0; i < STORM_ACTORS && storm_unbroken(p); i++) {
		storm_data_settle(&p->actors[i]);
		storm_own_settle(&p->actors[i]);
	}
	if (!storm_unbroken(p))
		return;
	/* What was stored just now may not have reached everybody. */
	rest(p, true);
	storm_data_check(p);
	for (unsigned i = 0; i < STORM_ACTORS; i++)
		storm_own_check(&p->actors[i]);
	storm_names_check(p);
	storm_watch_check(p);
	took_us = rx_now_us(p->env) - p->calm_us;
	if (took_us > REST_MAX_US)
		storm_broken(p, NULL, "it took %llu s of calm until all was at rest",
			     (unsigned long long)(took_us / 1000000));
}

static void end(struct storm_play *p)
{
	for (unsigned i = 0; i < STORM_ACTORS; i++)
		storm_actor_end(&p->actors[i], !storm_unbroken(p));
	for (unsigned d = 0; d < STORM_DIRS; d++)
		cm_vnode_put(p->admin_dirs[d]);
	cm_token_put(p->admin);
	for (unsigned c = 0; c <= STORM_CLIENTS; c++)
		storm_client_end(&p->clients[c], !storm_unbroken(p));
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
	storm_direct(p);
	storm_calm(p);
	p->calm_us = rx_now_us(p->env);
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
	p->hindered = plan->weather.loss > 0 || plan->weather.life_s < STORM_SHORT_LIFE_S;
	rx_mutex_init(&p->lock, p->env, (enum rx_rank)STORM_RANK, "storm");
	rx_cond_init(&p->tick, p->env);
	if (begin(p, &err) != 0) {
		storm_broken(p, NULL, "cannot begin: %s", err.text);
	} else {
		if (plan->weather.life_s < STORM_SHORT_LIFE_S)
			storm_expire(p);
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
