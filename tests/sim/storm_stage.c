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
	struct storm_inside inside;
	struct world *world;
	struct world_net *net;
	struct cell_hooks hooks;
	const struct storm_plan *plan;
	struct vfs_source *sources[STORM_CLIENTS + 1];
	enum storm_defect defect;
	struct storm_verdict *verdict;
	struct storm_counts *counts;
};

static struct world_stage *stage_of(struct storm_stage *s)
{
	return (struct world_stage *)s; /* inside is its first member, and base is inside's */
}

/* ---- the cell ---- */

/* So that nobody is told of the store. */
static void forget_promises(struct world_stage *s, const struct cm_fid *fid)
{
	struct cell_vnode *v;

	rx_mutex_lock(&s->inside.cell->lock);
	v = storm_inside_vnode(s->inside.cell, fid);
	for (struct cell_promise *p = v ? v->promises : NULL; p; p = p->next)
		p->expires = 0;
	rx_mutex_unlock(&s->inside.cell->lock);
}

static void lose_content(struct world_stage *s, const struct cm_fid *fid)
{
	struct cell_vnode *v;
	uint64_t length;

	rx_mutex_lock(&s->inside.cell->lock);
	v = storm_inside_vnode(s->inside.cell, fid);
	length = v && v->type == AFS_TYPE_FILE ? v->length : 0;
	if (length > 0 && (v->content->ops->truncate(v->content, 0) || v->content->ops->truncate(v->content, length)))
		abort();
	rx_mutex_unlock(&s->inside.cell->lock);
}

static int32_t before(void *arg, const struct cell_rpc *rpc)
{
	struct world_stage *s = arg;
	const struct cm_fid fid = { rpc->fid.volume, rpc->fid.vnode, rpc->fid.unique };

	if (s->defect == STORM_BREAKS_NOTHING && storm_inside_is_store(rpc))
		forget_promises(s, &fid);
	return storm_inside_before(&s->inside, rpc);
}

static int32_t after(void *arg, const struct cell_rpc *rpc, int32_t code)
{
	struct world_stage *s = arg;
	const struct cm_fid fid = { rpc->fid.volume, rpc->fid.vnode, rpc->fid.unique };

	if (s->defect == STORM_LOSES_STORES && storm_inside_is_store(rpc))
		lose_content(s, &fid);
	return storm_inside_after(&s->inside, rpc, code);
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
				      .faults = s->inside.rules };

	s->inside.play = play;
	s->inside.client_ip = SIM_CLIENT_IP;
	s->hooks = (struct cell_hooks){ before, after, s };
	config.net = (struct rx_net * (*)(void *, uint32_t, uint16_t)) world_net_port;
	s->inside.cell = cell_new(&config, err);
	return s->inside.cell ? storm_inside_tickets(&s->inside, plan, err) : -1;
}

static void end(struct storm_stage *base)
{
	struct world_stage *s = stage_of(base);

	cell_free(s->inside.cell);
	s->inside.cell = NULL;
}

/* ---- clients ---- */

static int client(struct storm_stage *base, unsigned id, struct cm_config *cm, struct vfs_config *vfs,
		  struct rx_error *err)
{
	struct world_stage *s = stage_of(base);

	(void)err;
	cm->net = world_net_port(s->net, SIM_CLIENT_IP + id, 7001);
	cm->confdir = sim_confdir();
	vfs->source = s->sources[id] = soft_mmu_new(base->env, vfs->mode, RESTLESS);
	return 0;
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

static void cut(struct storm_stage *base, unsigned id, bool on)
{
	world_net_cut(stage_of(base)->net, SIM_CLIENT_IP + id, on);
}

static void calm(struct storm_stage *base)
{
	struct world_stage *s = stage_of(base);
	const struct world_link fair = { .delay_us = s->plan->weather.delay_us };

	world_net_set_link(s->net, &fair);
	world_net_set_faults(s->net, NULL);
	storm_inside_calm(&s->inside);
}

static const struct storm_stage_ops ops = {
	.begin = begin,
	.end = end,
	.client = client,
	.token = storm_inside_token,
	.load = load,
	.store = store,
	.peek = storm_inside_peek,
	.missed = storm_inside_missed,
	.rule = storm_inside_rule,
	.unrule = storm_inside_unrule,
	.cut = cut,
	.restart = storm_inside_restart,
	.ticket = storm_inside_ticket,
	.calm = calm,
};

/* ---- one plan ---- */

static void conduct(void *arg)
{
	struct world_stage *s = arg;

	storm_play(s->plan, &s->inside.base, s->verdict, s->counts);
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

	s->inside.base =
		(struct storm_stage){ .ops = &ops, .faults = STORM_WORLD_FAULTS, .root = "/afs/umafs.test/big" };
	if (getenv("UMAFS_STORM_TRACE"))
		s->inside.base.trace = stdout;
	s->plan = plan;
	s->defect = defect;
	s->verdict = verdict;
	s->counts = counts;
	s->world = world_new(plan->seed);
	s->inside.base.env = world_env(s->world);
	s->net = world_net_new(s->world, &link);
	s->inside.rules = fault_set_new(s->inside.base.env, plan->seed, NULL);
	world_net_set_faults(s->net, s->inside.rules);
	o.ok = world_run(s->world, conduct, s);
	o.virtual_us = rx_now_us(s->inside.base.env);
	o.trace = world_trace(s->world);
	if (!o.ok) {
		/* Fibers that can never go on hold what they hold. */
		if (verdict->ok)
			snprintf(verdict->broken, sizeof(verdict->broken), "nobody can go on");
		verdict->ok = false;
	} else {
		world_net_free(s->net);
		fault_set_free(s->inside.rules);
	}
	o.ok = o.ok && verdict->ok;
	world_free(s->world);
	free(s);
	return o;
}
