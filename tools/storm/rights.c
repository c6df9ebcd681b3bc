/* Who may be refused what. Rights change while acts are under way, and clients learn of it
 * with a delay; so an act's outcome is judged by what held from its beginning to its end.
 * With the play's lock held, but for storm_set_rights, which is the director's. */
#include <errno.h>
#include <string.h>

#include "tools/storm/play.h"

/* A refusal is believed for five seconds. */
enum { FORGET_US = 6000000 };

static bool is_clean(const struct storm_play *p, unsigned user, unsigned dir)
{
	const struct storm_grant *g = &p->grants[dir][user];

	return g->turn % 2 == 0 && (g->rights & CM_RIGHT_WRITE) && !p->refusing[user];
}

void storm_moment(const struct storm_play *p, unsigned user, unsigned dir, struct storm_moment *m)
{
	*m = (struct storm_moment){ .at_us = rx_now_us(p->env),
				    .turn = p->grants[dir][user].turn,
				    .refusals = p->refusals[user],
				    .clean = is_clean(p, user, dir) };
}

bool storm_clean_since(const struct storm_play *p, unsigned user, unsigned dir, const struct storm_moment *m)
{
	return m->clean && m->turn == p->grants[dir][user].turn && m->refusals == p->refusals[user];
}

bool storm_had(const struct storm_play *p, unsigned user, unsigned dir, const struct storm_moment *m, uint32_t right)
{
	const struct storm_grant *g = &p->grants[dir][user];

	return m->turn == g->turn && g->turn % 2 == 0 && (g->rights & right) == right &&
	       (g->turn == 0 || m->at_us - g->since_us > FORGET_US);
}

bool storm_had_not(const struct storm_play *p, const struct storm_actor *a, unsigned dir, const struct storm_moment *m,
		   uint32_t right)
{
	const struct storm_grant *g = &p->grants[dir][a->user];

	return m->turn == g->turn && g->turn % 2 == 0 && (g->rights & right) != right && g->heard[a->client->id];
}

bool storm_is_stale(const struct storm_play *p, const struct storm_client *c)
{
	return p->stage->ops->missed ? p->stage->ops->missed(p->stage, c->id) : c->missed;
}

bool storm_is_loss(const struct rx_error *err)
{
	return err->errnum == EACCES || err->errnum == EPERM;
}

bool storm_excused(const struct storm_play *p, struct storm_actor *a, unsigned dir, const struct storm_moment *m,
		   uint32_t right, const struct rx_error *err)
{
	storm_say(a, "%d/%d %s", err->code, err->errnum, err->text);
	if (storm_is_loss(err))
		return !storm_had(p, a->user, dir, m, right) || a->client->cuts > 0 ||
		       (right == CM_RIGHT_WRITE && p->refusals[a->user] > 0);
	return p->hindered || (p->plan->weather.conflict_ms && err->errnum == ETIMEDOUT);
}

void storm_doubt(struct storm_play *p, unsigned user, unsigned dir)
{
	p->ever_denied[user] = true;
	for (unsigned a = 0; a < STORM_ACTORS; a++) {
		struct storm_actor *actor = &p->actors[a];

		if (actor->user != user)
			continue;
		for (unsigned c = 0; c < STORM_CELLS; c++)
			if (storm_cell_owner(p, c, NULL) == a)
				p->files[dir].cells[c].doubt = true;
		if (dir == a % STORM_DIRS)
			actor->own->doubt = true;
	}
}

/* The admin's own client changes it, so that the others are told by the server. Whether a
 * client held a promise on the directory, and so must hear, is only sure if no name
 * changed meanwhile. */
void storm_set_rights(struct storm_play *p, unsigned dir, unsigned user, uint32_t rights)
{
	struct cm_acl acl = { .npositive = 1, .positive = { { "admin", CM_RIGHTS_ALL } } };
	struct storm_grant *g = &p->grants[dir][user];
	bool promised[STORM_CLIENTS];
	unsigned named, cuts[STORM_CLIENTS];
	bool naming;
	char text[CM_ACL_TEXT];
	struct rx_error err = { 0 };
	size_t len;
	int rc;

	rx_mutex_lock(&p->lock);
	g->turn++;
	if (!(rights & CM_RIGHT_WRITE) || !(g->rights & CM_RIGHT_WRITE))
		storm_doubt(p, user, dir);
	naming = p->naming[dir] > 0;
	named = p->named[dir];
	for (unsigned c = 0; c < STORM_CLIENTS; c++) {
		struct cm_vnode *v = p->actors[c * STORM_USERS].dirs[dir];

		cuts[c] = p->clients[c].cuts;
		promised[c] = v && !storm_is_stale(p, &p->clients[c]) && cm_is_valid(v);
	}
	for (unsigned u = 0; u < STORM_USERS; u++)
		cm_acl_set(&acl, storm_user_name(u), false, u == user ? rights : p->grants[dir][u].rights, NULL);
	rx_mutex_unlock(&p->lock);

	cm_acl_format(&acl, text, &len, NULL);
	for (unsigned tries = 0; (rc = cm_acl_store(p->admin_dirs[dir], p->admin, text, &err)) != 0 && tries < 20;)
		tries++;

	rx_mutex_lock(&p->lock);
	if (rc != 0)
		storm_broken(p, NULL, "admin cannot change rights: %s", err.text);
	g->rights = rights;
	g->since_us = rx_now_us(p->env);
	g->turn++;
	for (unsigned c = 0; c < STORM_CLIENTS; c++)
		g->heard[c] = promised[c] && !naming && named == p->named[dir] && cuts[c] == p->clients[c].cuts &&
			      !p->clients[c].cut && !storm_is_stale(p, &p->clients[c]);
	rx_mutex_unlock(&p->lock);
}
