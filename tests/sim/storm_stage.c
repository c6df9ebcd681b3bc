/* See storm_stage.h. */
#include "tests/sim/storm_stage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/conf.h"
#include "tests/sim/soft_mmu.h"
#include "tests/sim/world_net.h"
#include "tools/storm/inside.h"

enum { RESTLESS = 16 };

struct world_stage {
	struct storm_stage base;
	struct world *world;
	struct world_net *net;
	struct cell *cell;
	struct fault_set *rules;
	struct cell_hooks hooks;
	struct storm_play *play;
	const struct storm_plan *plan;
	struct vfs_source *sources[STORM_CLIENTS + 1];
	enum storm_defect defect;
	char spec[64];
	struct storm_verdict *verdict;
	struct storm_counts *counts;
};

static struct world_stage *stage_of(struct storm_stage *s)
{
	return (struct world_stage *)s; /* base is its first member */
}

/* ---- the cell ---- */

static unsigned client_of(const struct cell_rpc *rpc)
{
	return rx_addr_ip(&rpc->client) - SIM_CLIENT_IP;
}

/* So that nobody is told of the store. */
static void forget_promises(struct world_stage *s, const struct cm_fid *fid)
{
	struct cell_vnode *v;

	rx_mutex_lock(&s->cell->lock);
	v = storm_inside_vnode(s->cell, fid);
	for (struct cell_promise *p = v ? v->promises : NULL; p; p = p->next)
		p->expires = 0;
	rx_mutex_unlock(&s->cell->lock);
}

static void lose_content(struct world_stage *s, const struct cm_fid *fid)
{
	struct cell_vnode *v;
	uint64_t length;

	rx_mutex_lock(&s->cell->lock);
	v = storm_inside_vnode(s->cell, fid);
	length = v && v->type == AFS_TYPE_FILE ? v->length : 0;
	if (length > 0 && (v->content->ops->truncate(v->content, 0) || v->content->ops->truncate(v->content, length)))
		abort();
	rx_mutex_unlock(&s->cell->lock);
}

static void saw(struct world_stage *s, const struct cell_rpc *rpc, bool over)
{
	const struct cm_fid fid = { rpc->fid.volume, rpc->fid.vnode, rpc->fid.unique };

	if (!storm_inside_is_store(rpc))
		return;
	if (s->defect == STORM_BREAKS_NOTHING && !over)
		forget_promises(s, &fid);
	if (s->defect == STORM_LOSES_STORES && over)
		lose_content(s, &fid);
	storm_saw_store(s->play, client_of(rpc), rpc->user, &fid, over);
}

static int32_t before(void *arg, const struct cell_rpc *rpc)
{
	saw(arg, rpc, false);
	return 0;
}

static int32_t after(void *arg, const struct cell_rpc *rpc, int32_t code)
{
	saw(arg, rpc, true);
	return code;
}

static int begin(struct storm_stage *base, const struct storm_plan *plan, struct storm_play *play, struct rx_error *err)
{
	static const uint32_t fs_ip[] = { SIM_FS_IP };
	struct world_stage *s = stage_of(base);
	struct cell_config config = { .env = base->env,
				      .name = SIM_CELL,
				      .db_ip = SIM_DB_IP,
				      .fs_ip = fs_ip,
				      .nfs = 1,
				      .net_arg = s->net,
				      .hooks = &s->hooks,
				      .faults = s->rules };

	(void)plan;
	s->play = play;
	s->hooks = (struct cell_hooks){ before, after, s };
	config.net = (struct rx_net * (*)(void *, uint32_t, uint16_t)) world_net_port;
	s->cell = cell_new(&config, err);
	if (!s->cell)
		return -1;
	for (unsigned c = 0; c < STORM_CLIENTS; c++)
		for (unsigned u = 0; u < STORM_USERS; u++) {
			snprintf(s->spec, sizeof(s->spec), "MEMORY:storm-%u-%s", c, storm_user_name(u));
			if (cell_write_ticket(s->cell, storm_user_name(u), s->spec, s->plan->weather.life_s, err) != 0)
				return -1;
		}
	return cell_write_ticket(s->cell, "admin", "MEMORY:storm-admin", 1000000, err);
}

static void end(struct storm_stage *base)
{
	struct world_stage *s = stage_of(base);

	cell_free(s->cell);
	s->cell = NULL;
}

static int64_t peek(struct storm_stage *base, const struct cm_fid *fid, uint8_t *buf, size_t cap)
{
	return storm_inside_peek(stage_of(base)->cell, fid, buf, cap);
}

static bool missed(struct storm_stage *base, unsigned id)
{
	return storm_inside_missed(stage_of(base)->cell, SIM_CLIENT_IP + id);
}

/* ---- clients ---- */

static int client(struct storm_stage *base, unsigned id, struct cm_config *cm, struct vfs_config *vfs)
{
	struct world_stage *s = stage_of(base);

	cm->net = world_net_port(s->net, SIM_CLIENT_IP + id, 7001);
	cm->confdir = sim_confdir();
	vfs->source = s->sources[id] = soft_mmu_new(base->env, vfs->mode, RESTLESS);
	return 0;
}

static const char *token(struct storm_stage *base, unsigned id, unsigned user)
{
	struct world_stage *s = stage_of(base);

	if (user == STORM_USERS)
		return "MEMORY:storm-admin";
	snprintf(s->spec, sizeof(s->spec), "MEMORY:storm-%u-%s", id, storm_user_name(user));
	return s->spec;
}

static int load(struct storm_stage *base, unsigned id, uintptr_t addr, unsigned actor)
{
	return soft_load(stage_of(base)->sources[id], addr, (int)actor);
}

static int store(struct storm_stage *base, unsigned id, uintptr_t addr, unsigned actor, uint8_t value)
{
	return soft_store(stage_of(base)->sources[id], addr, (int)actor, value);
}

/* ---- faults ---- */

static int rule(struct storm_stage *base, const char *line, struct rx_error *err)
{
	return fault_set_add(stage_of(base)->rules, line, 1, NULL, err);
}

static void unrule(struct storm_stage *base, const char *name)
{
	fault_set_remove(stage_of(base)->rules, name, NULL);
}

static void cut(struct storm_stage *base, unsigned id, bool on)
{
	world_net_cut(stage_of(base)->net, SIM_CLIENT_IP + id, on);
}

static int restart(struct storm_stage *base, struct rx_error *err)
{
	(void)err;
	cell_act_restart_fs(&stage_of(base)->cell->fs[0]);
	return 0;
}

static int ticket(struct storm_stage *base, unsigned id, unsigned user, int64_t life_s, struct rx_error *err)
{
	char spec[64];

	snprintf(spec, sizeof(spec), "MEMORY:storm-%u-%s", id, storm_user_name(user));
	return cell_write_ticket(stage_of(base)->cell, storm_user_name(user), spec, life_s, err);
}

static void calm(struct storm_stage *base)
{
	struct world_stage *s = stage_of(base);
	const struct world_link fair = { .delay_us = s->plan->weather.delay_us };
	char name[16];

	world_net_set_link(s->net, &fair);
	world_net_set_faults(s->net, NULL);
	for (unsigned i = 1; i < 32; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		fault_set_remove(s->rules, name, NULL);
		for (unsigned u = 0; u < STORM_USERS; u++) {
			snprintf(name, sizeof(name), "refuse%u%u", u, i);
			fault_set_remove(s->rules, name, NULL);
		}
	}
}

static const struct storm_stage_ops ops = {
	.begin = begin,
	.end = end,
	.client = client,
	.token = token,
	.load = load,
	.store = store,
	.peek = peek,
	.missed = missed,
	.rule = rule,
	.unrule = unrule,
	.cut = cut,
	.restart = restart,
	.ticket = ticket,
	.calm = calm,
};

/* ---- one plan ---- */

static void conduct(void *arg)
{
	struct world_stage *s = arg;

	storm_play(s->plan, &s->base, s->verdict, s->counts);
}

struct sim_outcome storm_in_world(const struct storm_plan *plan, enum storm_defect defect,
				  struct storm_verdict *verdict, struct storm_counts *counts)
{
	const struct storm_weather *w = &plan->weather;
	const struct world_link link = {
		.delay_us = w->delay_us, .jitter_us = w->jitter_us, .loss = w->loss, .duplicate = w->duplicate
	};
	struct world_stage *s = calloc(1, sizeof(*s));
	struct sim_outcome o;

	s->base = (struct storm_stage){ .ops = &ops, .faults = STORM_WORLD_FAULTS, .root = "/afs/umafs.test/big" };
	if (getenv("UMAFS_STORM_TRACE"))
		s->base.trace = stdout;
	s->plan = plan;
	s->defect = defect;
	s->verdict = verdict;
	s->counts = counts;
	s->world = world_new(plan->seed);
	s->base.env = world_env(s->world);
	s->net = world_net_new(s->world, &link);
	s->rules = fault_set_new(s->base.env, plan->seed, NULL);
	world_net_set_faults(s->net, s->rules);
	o.ok = world_run(s->world, conduct, s);
	o.virtual_us = rx_now_us(s->base.env);
	o.trace = world_trace(s->world);
	if (!o.ok) {
		/* Fibers that can never go on hold what they hold. */
		if (verdict->ok)
			snprintf(verdict->broken, sizeof(verdict->broken), "nobody can go on");
		verdict->ok = false;
	} else {
		world_net_free(s->net);
		fault_set_free(s->rules);
	}
	o.ok = o.ok && verdict->ok;
	world_free(s->world);
	free(s);
	return o;
}
