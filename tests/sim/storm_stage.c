/* See storm_stage.h. */
#include "tests/sim/storm_stage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/site.h"
#include "tests/sim/soft_mmu.h"
#include "tools/storm/inside.h"

enum { RESTLESS = 16 };

struct world_stage {
	struct storm_inside inside;
	struct world *world;
	struct world_net *net;
	struct sim_site site;
	bool power_fails;
	int64_t cell_ahead_s, clients_ahead_s;
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
	struct world_stage *s = stage_of(base);

	s->inside.play = play;
	s->inside.client_ip = SIM_CLIENT_IP;
	s->hooks = (struct cell_hooks){ before, after, s };
	sim_site_init(&s->site, s->world, s->net, plan->weather.disk != STORM_DISK_NONE);
	s->site.config.nfs = plan->weather.servers == 2 ? 2 : 1;
	s->site.config.hooks = &s->hooks;
	s->site.config.faults = s->inside.rules;
	s->site.config.sync = plan->weather.disk == STORM_DISK_SYNCED;
	if (sim_site_start(&s->site, err) != 0)
		return -1;
	storm_inside_set_cell(&s->inside, s->site.cell);
	return storm_inside_tickets(&s->inside, plan, err);
}

static void end(struct storm_stage *base)
{
	struct world_stage *s = stage_of(base);

	storm_inside_set_cell(&s->inside, NULL);
	sim_site_end(&s->site);
}

/* Without what befalls the cell's own uses of its disk. */
static int64_t peek(struct storm_stage *base, const struct cm_fid *fid, uint8_t *buf, size_t cap)
{
	struct world_stage *s = stage_of(base);
	int64_t size;

	if (!s->site.disk)
		return storm_inside_peek(base, fid, buf, cap);
	sim_disk_set_dice(s->site.disk, &(struct sim_disk_dice){ 0 });
	size = storm_inside_peek(base, fid, buf, cap);
	sim_disk_set_dice(s->site.disk, &s->site.dice);
	return size;
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

/* The world's clock is the clients'; the cell's is told by how much it differs. */
static void set_clocks(struct world_stage *s, int64_t clients_step_s)
{
	struct rx_env *env = s->inside.base.env;

	s->clients_ahead_s += clients_step_s;
	world_set_wall(s->world, env->ops->wall_s(env) + clients_step_s);
	cell_act_clock(s->site.cell, s->cell_ahead_s - s->clients_ahead_s);
}

static void step_clock(struct storm_stage *base, bool cell, int64_t step_s)
{
	struct world_stage *s = stage_of(base);

	s->cell_ahead_s += cell ? step_s : 0;
	set_clocks(s, cell ? 0 : step_s);
}

static void die(struct storm_stage *base, uint32_t after, bool power)
{
	struct world_stage *s = stage_of(base);

	if (after && s->site.disk)
		sim_site_crash_after(&s->site, after);
	else
		sim_site_crash(&s->site);
	s->power_fails = power;
}

static int come_back(struct storm_stage *base, struct rx_error *err)
{
	struct world_stage *s = stage_of(base);

	if (s->power_fails)
		sim_site_unplug(&s->site);
	else
		sim_site_crash(&s->site);
	storm_inside_note_clients(&s->inside);
	storm_inside_set_cell(&s->inside, NULL);
	if (sim_site_restart(&s->site, err) != 0)
		return -1;
	set_clocks(s, 0);
	storm_inside_set_cell(&s->inside, s->site.cell);
	return 0;
}

static void disk(struct storm_stage *base, const uint32_t per_1000[3])
{
	const struct sim_disk_dice dice = { .brief = per_1000[0], .eio = per_1000[1], .full = per_1000[2] };

	sim_site_set_dice(&stage_of(base)->site, &dice);
}

static void calm(struct storm_stage *base)
{
	struct world_stage *s = stage_of(base);
	const struct world_link fair = { .delay_us = s->plan->weather.delay_us };

	world_net_set_link(s->net, &fair);
	world_net_set_faults(s->net, NULL);
	sim_site_set_dice(&s->site, &(struct sim_disk_dice){ 0 });
	set_clocks(s, -s->clients_ahead_s);
	storm_inside_calm(&s->inside);
}

static const struct storm_stage_ops ops = {
	.begin = begin,
	.end = end,
	.client = client,
	.token = storm_inside_token,
	.load = load,
	.store = store,
	.peek = peek,
	.missed = storm_inside_missed,
	.rule = storm_inside_rule,
	.unrule = storm_inside_unrule,
	.cut = cut,
	.restart = storm_inside_restart,
	.die = die,
	.come_back = come_back,
	.disk = disk,
	.clock = step_clock,
	.move = storm_inside_move,
	.release = storm_inside_release,
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
	if (w->maybe)
		world_set_maybe(s->world, w->maybe);
	s->inside.base.env = world_env(s->world);
	storm_inside_begin(&s->inside);
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
		storm_inside_end(&s->inside);
		world_net_free(s->net);
		fault_set_free(s->inside.rules);
	}
	o.ok = o.ok && verdict->ok;
	world_free(s->world);
	free(s);
	return o;
}
