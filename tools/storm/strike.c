/* What strikes, and the calm afterwards: the director, who goes through the plan's faults at
 * their times. One thread; the play's lock is not held. */
#include <stdio.h>
#include <string.h>

#include "tools/storm/play.h"

enum {
	TRIES = 40,
	PAUSE_US = 5000000,
	LONG_LIFE_S = 1000000,
	STEPS_HARMLESS_S = 100, /* for tickets of hours */
	CRASH_US = 60000000,
	DELAYED_US = 2500000, /* longer than any rule's delay */
};

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
		storm_wait_until(p, next->uncut_us);
		cut(p, next->id, false);
	}
	storm_wait_until(p, at_us);
}

/* Waits until the client's acts are over. One may need another user's change to reach the server first, however
 * long that takes; then the network is back for as long. Lock held. */
static void wait_for_acts(struct storm_play *p, struct storm_client *c)
{
	uint64_t end = rx_now_us(p->env) + CRASH_US;

	while (c->busy > 0 && rx_now_us(p->env) < end)
		rx_cond_wait(&p->tick, &p->lock, end);
	if (c->busy == 0)
		return;
	rx_mutex_unlock(&p->lock);
	cut(p, c->id, false);
	rx_mutex_lock(&p->lock);
	while (c->busy > 0)
		rx_cond_wait(&p->tick, &p->lock, UINT64_MAX);
	rx_mutex_unlock(&p->lock);
	cut(p, c->id, true);
	rx_mutex_lock(&p->lock);
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
	wait_for_acts(p, c);
	for (unsigned u = 0; u < STORM_USERS; u++) {
		storm_data_crashed(&p->actors[client * STORM_USERS + u]);
		storm_own_crashed(&p->actors[client * STORM_USERS + u]);
	}
	rx_mutex_unlock(&p->lock);
	for (unsigned u = 0; u < STORM_USERS; u++)
		storm_actor_end(&p->actors[client * STORM_USERS + u], true);
	storm_client_end(c, true);
	cut(p, client, false);
	do {
		if (tries)
			storm_pause(p, PAUSE_US);
		rc = c->vfs ? 0 : storm_client_begin(p, client, &err);
		/* Whoever starts a client has a ticket. */
		for (unsigned u = 0; u < STORM_USERS && rc == 0 && p->expired; u++)
			rc = p->stage->ops->ticket(p->stage, client, u, LONG_LIFE_S, &err);
		for (unsigned u = 0; u < STORM_USERS && rc == 0; u++)
			rc = storm_actor_begin(&p->actors[client * STORM_USERS + u], &err);
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
void storm_expire(struct storm_play *p)
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

/* Away for `ms`; nothing else strikes meanwhile. */
static int die(struct storm_play *p, uint32_t after, uint32_t ms, bool power, struct rx_error *err)
{
	power = power && p->plan->weather.disk == STORM_DISK_SYNCED;
	p->stage->ops->die(p->stage, after, power);
	storm_pause(p, ms * UINT64_C(1000));
	if (p->stage->ops->come_back(p->stage, err) != 0)
		return -1;
	storm_watch_restarted(p, power);
	return 0;
}

/* The disk works while something is done that must come about. */
static void heal(struct storm_play *p, bool on)
{
	static const uint32_t sound[3];

	if (p->stage->ops->disk)
		p->stage->ops->disk(p->stage, on ? sound : p->disk);
}

static void step_clock(struct storm_play *p, bool cell, uint32_t ahead, uint32_t behind)
{
	p->stepped += ahead + behind;
	if (p->stepped > STEPS_HARMLESS_S)
		storm_expire(p);
	p->stage->ops->clock(p->stage, cell, (int64_t)ahead - behind);
}

static bool is_possible(const struct storm_stage_ops *ops, enum storm_kind kind)
{
	switch (kind) {
	case STORM_RESTART:
		return ops->restart;
	case STORM_DIES:
		return ops->die;
	case STORM_DISK:
		return ops->disk;
	case STORM_CLOCK:
		return ops->clock;
	case STORM_MOVE:
		return ops->move;
	case STORM_RELEASE:
		return ops->release;
	default:
		return true;
	}
}

static bool is_restart(const struct storm_event *e)
{
	return e->kind == STORM_RESTART || e->kind == STORM_DIES;
}

/* Whether calls may fail because of it, but for want of rights. */
static bool hinders(const struct storm_play *p, const struct storm_event *e)
{
	switch (e->kind) {
	case STORM_RIGHTS:
	case STORM_REFUSE:
	case STORM_RELEASE:
		return false;
	case STORM_MOVE: /* there and back at once: the VLDB names the server that has just said no */
		return p->moves > 1;
	case STORM_RULE:
		return !strstr(e->text, "-> hold");
	case STORM_CLOCK:
		return p->stepped + e->args[1] + e->args[2] > STEPS_HARMLESS_S;
	default:
		return true;
	}
}

static void strike(struct storm_play *p, const struct storm_event *e)
{
	const struct storm_stage_ops *ops = p->stage->ops;
	struct rx_error err = { 0 };
	int rc = 0;

	rx_mutex_lock(&p->lock);
	p->counts->done[e->kind]++;
	p->moves += e->kind == STORM_MOVE;
	p->hindered = p->hindered || hinders(p, e);
	p->restarts += is_restart(e);
	p->may_restart = p->may_restart || strstr(e->text, "-> restart");
	rx_mutex_unlock(&p->lock);
	switch (e->kind) {
	case STORM_RIGHTS:
		heal(p, true);
		storm_set_rights(p, e->args[0] % STORM_DIRS, e->args[1] % STORM_USERS, e->args[2] & STORM_ALL_RIGHTS);
		heal(p, false);
		break;
	case STORM_REFUSE:
		refuse(p, e->args[0] % STORM_USERS, e->args[1]);
		break;
	case STORM_RULE:
		if (strstr(e->text, "-> expire"))
			storm_expire(p);
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
		heal(p, true);
		crash(p, e->args[0] % STORM_CLIENTS);
		heal(p, false);
		break;
	case STORM_RESTART:
		rc = ops->restart(p->stage, &err);
		break;
	case STORM_TICKET:
		rc = ops->ticket(p->stage, e->args[0] % STORM_CLIENTS, e->args[1] % STORM_USERS, e->args[2], &err);
		break;
	case STORM_DIES:
		rc = die(p, e->args[0], e->args[1], e->args[2], &err);
		break;
	case STORM_DISK:
		memcpy(p->disk, e->args, sizeof(p->disk));
		heal(p, false);
		break;
	case STORM_CLOCK:
		step_clock(p, e->args[0], e->args[1], e->args[2]);
		break;
	case STORM_MOVE:
		ops->move(p->stage, e->args[0]);
		break;
	case STORM_RELEASE:
		ops->release(p->stage, e->text);
		break;
	default:
		break;
	}
	rx_mutex_lock(&p->lock);
	p->restarts += is_restart(e);
	storm_trace(p, e, "");
	rx_mutex_unlock(&p->lock);
	if (rc != 0)
		storm_broken(p, NULL, "cannot strike with %s: %s", storm_kind_name(e->kind), err.text);
}

void storm_direct(struct storm_play *p)
{
	for (size_t i = 0; i < p->plan->n && storm_unbroken(p); i++) {
		const struct storm_event *e = &p->plan->events[i];

		if (e->kind < STORM_ACT_COUNT)
			continue;
		director_wait(p, p->begin_us + e->at_us);
		if (is_possible(p->stage->ops, e->kind))
			strike(p, e);
	}
	director_wait(p, p->begin_us + (p->plan->n ? p->plan->events[p->plan->n - 1].at_us : 0));
}

void storm_calm(struct storm_play *p)
{
	struct rx_error err = { 0 };

	for (unsigned c = 0; c < STORM_CLIENTS; c++)
		if (p->clients[c].cut)
			cut(p, c, false);
	p->stage->ops->calm(p->stage);
	for (unsigned d = 0; d < STORM_DIRS; d++)
		for (unsigned u = 0; u < STORM_USERS; u++)
			if (p->grants[d][u].rights != STORM_ALL_RIGHTS)
				storm_set_rights(p, d, u, STORM_ALL_RIGHTS);
	/* A call that a rule delays can end a ticket yet. */
	if (p->expired)
		storm_pause(p, DELAYED_US);
	for (unsigned i = 0; i < STORM_ACTORS && p->expired; i++)
		if (p->stage->ops->ticket(p->stage, i / STORM_USERS, i % STORM_USERS, LONG_LIFE_S, &err) != 0)
			storm_broken(p, NULL, "no ticket in the end: %s", err.text);
	rx_mutex_lock(&p->lock);
	memset(p->refusing, 0, sizeof(p->refusing));
	rx_mutex_unlock(&p->lock);
}
