/* See inside.h. Looks into the embedded cell behind the protocol's back, hands out tickets,
 * adds and removes rules. Hooks run on the cell's worker threads, the rest on the threads of
 * a play; takes the cell's lock. */
#include "tools/storm/inside.h"

#include <stdio.h>
#include <string.h>

enum {
	ADMIN_LIFE_S = 1000000,
	RULES_MAX = 32,
	INSIDE_RANK = 2, /* above the play's, under which the cell is looked at */
};

void storm_inside_begin(struct storm_inside *s)
{
	memset(s->knew, 0, sizeof(s->knew));
	rx_mutex_init(&s->lock, s->base.env, (enum rx_rank)INSIDE_RANK, "storm inside");
}

void storm_inside_end(struct storm_inside *s)
{
	rx_mutex_destroy(&s->lock);
}

void storm_inside_set_cell(struct storm_inside *s, struct cell *cell)
{
	rx_mutex_lock(&s->lock);
	s->cell = cell;
	rx_mutex_unlock(&s->lock);
}

/* ---- the cell's hooks ---- */

bool storm_inside_is_store(const struct cell_rpc *rpc)
{
	return !strcmp(rpc->service, "fs") && !strncmp(rpc->name, "StoreData", 9);
}

static void saw(struct storm_inside *s, const struct cell_rpc *rpc, enum storm_store what)
{
	const struct cm_fid fid = { rpc->fid.volume, rpc->fid.vnode, rpc->fid.unique };

	if (storm_inside_is_store(rpc))
		storm_saw_store(s->play, rx_addr_ip(&rpc->client) - s->client_ip, rpc->user, &fid, what);
}

int32_t storm_inside_before(void *arg, const struct cell_rpc *rpc)
{
	saw(arg, rpc, STORM_STORE_BEGINS);
	return 0;
}

int32_t storm_inside_after(void *arg, const struct cell_rpc *rpc, int32_t code)
{
	saw(arg, rpc, code ? STORM_STORE_FAILED : STORM_STORE_DONE);
	return code;
}

/* ---- what is in it ---- */

struct cell_vnode *storm_inside_vnode(struct cell *cell, const struct cm_fid *fid)
{
	struct cell_volume *volume = cell_volume_find(cell, NULL, fid->volume);

	return volume ? cell_vnode_find(volume, fid->vnode, fid->unique) : NULL;
}

static int64_t look_into(struct cell *cell, const struct cm_fid *fid, uint8_t *buf, size_t cap)
{
	struct cell_vnode *v;
	int64_t size = -1;

	rx_mutex_lock(&cell->lock);
	v = storm_inside_vnode(cell, fid);
	if (v && v->type == AFS_TYPE_FILE) {
		size = (int64_t)v->length;
		if (v->content->ops->read(v->content, 0, buf, v->length < cap ? v->length : cap) != 0)
			size = -1;
	}
	rx_mutex_unlock(&cell->lock);
	return size;
}

int64_t storm_inside_peek(struct storm_stage *base, const struct cm_fid *fid, uint8_t *buf, size_t cap)
{
	struct storm_inside *s = storm_inside_of(base);
	int64_t size;

	rx_mutex_lock(&s->lock);
	size = s->cell ? look_into(s->cell, fid, buf, cap) : -1;
	rx_mutex_unlock(&s->lock);
	return size;
}

/* The volume that is played in. cell->lock held. */
static struct cell_volume *stage_volume(struct cell *cell)
{
	return cell_volume_by_name(cell, "big");
}

/* What a server knows of a client, at whatever ports. cell->lock held. */
enum knows { NOTHING, BEHIND, ALL };

static enum knows what_knows(const struct cell_fs *fs, uint32_t ip)
{
	enum knows knows = NOTHING;

	for (const struct cell_host *h = fs->hosts; h; h = h->next) {
		if (h->gone || rx_addr_ip(&h->addr) != ip)
			continue;
		if (h->state != CELL_HOST_GOOD || h->ndelayed > 0 || h->reset_due)
			return BEHIND;
		knows = ALL;
	}
	return knows;
}

void storm_inside_note_clients(struct storm_inside *s)
{
	rx_mutex_lock(&s->cell->lock);
	for (unsigned i = 0; i < s->cell->nfs; i++)
		for (unsigned c = 0; c <= STORM_CLIENTS; c++)
			s->knew[i][c] |= what_knows(&s->cell->fs[i], s->client_ip + c) != NOTHING;
	rx_mutex_unlock(&s->cell->lock);
}

/* Some server has something to tell it, or does not know it any more, or the volume's does not
 * know it yet. cell->lock held. */
static bool is_behind(const struct storm_inside *s, unsigned client)
{
	const struct cell_fs *home = stage_volume(s->cell)->fs;

	for (unsigned i = 0; i < s->cell->nfs; i++) {
		const struct cell_fs *fs = &s->cell->fs[i];
		enum knows knows = what_knows(fs, s->client_ip + client);

		if (knows == BEHIND || (knows == NOTHING && (fs == home || s->knew[i][client])))
			return true;
	}
	return false;
}

bool storm_inside_missed(struct storm_stage *base, unsigned client)
{
	struct storm_inside *s = storm_inside_of(base);
	bool missed;

	rx_mutex_lock(&s->lock);
	missed = !s->cell;
	if (s->cell) {
		rx_mutex_lock(&s->cell->lock);
		missed = is_behind(s, client);
		rx_mutex_unlock(&s->cell->lock);
	}
	rx_mutex_unlock(&s->lock);
	return missed;
}

/* ---- tickets ---- */

static void spec_of(unsigned client, unsigned user, char spec[64])
{
	if (user == STORM_USERS)
		snprintf(spec, 64, "MEMORY:storm-admin");
	else
		snprintf(spec, 64, "MEMORY:storm-%u-%s", client, storm_user_name(user));
}

const char *storm_inside_token(struct storm_stage *base, unsigned client, unsigned user)
{
	struct storm_inside *s = storm_inside_of(base);

	spec_of(client, user, s->spec);
	return s->spec;
}

int storm_inside_ticket(struct storm_stage *base, unsigned client, unsigned user, int64_t life_s, struct rx_error *err)
{
	const char *name = user == STORM_USERS ? "admin" : storm_user_name(user);
	char spec[64];

	spec_of(client, user, spec);
	return cell_write_ticket(storm_inside_of(base)->cell, name, spec, life_s, err);
}

int storm_inside_tickets(struct storm_inside *s, const struct storm_plan *plan, struct rx_error *err)
{
	int rc = storm_inside_ticket(&s->base, STORM_ADMIN, STORM_USERS, ADMIN_LIFE_S, err);

	for (unsigned i = 0; i < STORM_ACTORS && rc == 0; i++)
		rc = storm_inside_ticket(&s->base, i / STORM_USERS, i % STORM_USERS, plan->weather.life_s, err);
	return rc;
}

/* ---- faults ---- */

int storm_inside_rule(struct storm_stage *base, const char *line, struct rx_error *err)
{
	return fault_set_add(storm_inside_of(base)->rules, line, 1, NULL, err);
}

void storm_inside_unrule(struct storm_stage *base, const char *name)
{
	fault_set_remove(storm_inside_of(base)->rules, name, NULL);
}

void storm_inside_release(struct storm_stage *base, const char *gate)
{
	fault_set_release(storm_inside_of(base)->rules, gate);
}

void storm_inside_move(struct storm_stage *base, unsigned server)
{
	struct cell *cell = storm_inside_of(base)->cell;
	struct cell_volume *volume;
	struct cell_fs *from;
	uint32_t id;

	rx_mutex_lock(&cell->lock);
	volume = stage_volume(cell);
	from = volume->fs;
	id = volume->id;
	rx_mutex_unlock(&cell->lock);
	cell_act_move(cell, from, id, &cell->fs[server % cell->nfs]);
}

int storm_inside_restart(struct storm_stage *base, struct rx_error *err)
{
	struct cell *cell = storm_inside_of(base)->cell;

	(void)err;
	storm_inside_note_clients(storm_inside_of(base));
	for (unsigned i = 0; i < cell->nfs; i++)
		cell_act_restart_fs(&cell->fs[i]);
	return 0;
}

void storm_inside_calm(struct storm_inside *s)
{
	char name[16];

	for (unsigned i = 1; i < RULES_MAX; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		fault_set_remove(s->rules, name, NULL);
		snprintf(name, sizeof(name), "g%u", i);
		fault_set_release(s->rules, name);
		for (unsigned u = 0; u < STORM_USERS; u++) {
			snprintf(name, sizeof(name), "refuse%u%u", u, i);
			fault_set_remove(s->rules, name, NULL);
		}
	}
}
