/* See real_stage.h. The clients' sockets are cut, lose datagrams and obey packet rules by
 * rough_net.c, the cell obeys rpc rules; loads and stores are the processor's own. Called by harness/storm.c; the
 * stage's functions by the threads of a play. */
#include "tools/storm/real_stage.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/storm/inside.h"
#include "tools/storm/rough_net.h"

enum {
	CLIENT_LIFE_S = 1000000,
	KNOWN_NETWORK = 0x0a000000, /* 10.0.0.0: of the addresses that plans have */
	CLIENT_HOST = 101,
	CLIENT_PORT = 7001,
	TRIES = 16,
	CUT_MS = 3000,
	SHORT_LIFE_S = 10000,
	TICKET_REST_S = 60,
	TICKET_S = 6,
	TICKETS_US = 8000000,
	DEAD_S = 5,
	RETRY_S = 10
};

struct real_stage {
	struct storm_inside inside;
	const char *dir;
	uint32_t network; /* 127.x.y.0: the cell's address is .1, the clients' from .101 */
	enum vfs_mode best;
	struct cell_hooks hooks;
	struct rough_way ways[STORM_CLIENTS + 1];
	struct sigaction before;
};

static struct real_stage *stage_of(struct storm_stage *s)
{
	return (struct real_stage *)s; /* inside is its first member, and base is inside's */
}

/* ---- the cell ---- */

/* Other cells on this machine have other addresses, unless by accident: then the next. */
static int start_cell(struct real_stage *s, struct rx_error *err)
{
	for (unsigned i = 0; i < TRIES; i++) {
		uint32_t ip = s->network + 1;
		struct cell_config config = { .env = s->inside.base.env,
					      .name = "umafs.test",
					      .db_ip = ip,
					      .fs_ip = &ip,
					      .nfs = 1,
					      .hooks = &s->hooks,
					      .faults = s->inside.rules };

		s->inside.cell = cell_new(&config, err);
		if (s->inside.cell || err->errnum != EADDRINUSE)
			break;
		s->network = 0x7f010000 + ((s->network + 0x100) & 0x7fff00);
	}
	s->inside.client_ip = s->network + CLIENT_HOST;
	return s->inside.cell ? 0 : -1;
}

static int begin(struct storm_stage *base, const struct storm_plan *plan, struct storm_play *play, struct rx_error *err)
{
	struct real_stage *s = stage_of(base);

	s->inside.play = play;
	for (unsigned c = 0; c <= STORM_CLIENTS; c++)
		s->ways[c] = (struct rough_way){ .seed = plan->seed + c,
						 .rules = s->inside.rules,
						 .known = rx_addr_ipv4(KNOWN_NETWORK + CLIENT_HOST + c, CLIENT_PORT) };
	for (unsigned c = 0; c < STORM_CLIENTS; c++) {
		s->ways[c].loss = plan->weather.loss;
		s->ways[c].duplicate = plan->weather.duplicate;
	}
	if (start_cell(s, err) != 0 || cell_write_client(s->inside.cell, s->dir, CLIENT_LIFE_S, err) != 0)
		return -1;
	return storm_inside_tickets(&s->inside, plan, err);
}

static void end(struct storm_stage *base)
{
	struct storm_inside *s = storm_inside_of(base);

	cell_free(s->cell);
	s->cell = NULL;
}

/* ---- clients ---- */

static int client(struct storm_stage *base, unsigned id, struct cm_config *cm, struct vfs_config *vfs,
		  struct rx_error *err)
{
	struct real_stage *s = stage_of(base);

	cm->net = rough_net_new(base->env, s->network + CLIENT_HOST + id, CLIENT_PORT, &s->ways[id], err);
	cm->confdir = s->dir;
	cm->dead_time_s = DEAD_S;
	cm->retry_limit_s = RETRY_S;
	if (s->best == VFS_MODE_BASIC)
		vfs->mode = VFS_MODE_BASIC;
	return cm->net ? 0 : -1;
}

/* ---- loads and stores ---- */

/* The signal is for the thread whose load or store it was; others' go their usual way. */
static __thread sigjmp_buf bus_jump;
static __thread volatile sig_atomic_t bus_armed;

static void on_bus(int sig)
{
	if (bus_armed)
		siglongjmp(bus_jump, 1);
	signal(sig, SIG_DFL);
	raise(sig);
}

/* Several threads, and the client, use the same byte at once: that is what is tried. */
#define RACY __attribute__((no_sanitize("thread"), noinline))

static RACY int load(struct storm_stage *base, unsigned id, uintptr_t addr, unsigned actor)
{
	int value = -1;

	(void)base, (void)id, (void)actor;
	if (sigsetjmp(bus_jump, 1) == 0) {
		bus_armed = 1;
		value = *(const volatile uint8_t *)addr;
		bus_armed = 0;
		return value;
	}
	bus_armed = 0;
	return -1;
}

static RACY int store(struct storm_stage *base, unsigned id, uintptr_t addr, unsigned actor, uint8_t value)
{
	(void)base, (void)id, (void)actor;
	if (sigsetjmp(bus_jump, 1) == 0) {
		bus_armed = 1;
		*(volatile uint8_t *)addr = value;
		bus_armed = 0;
		return 0;
	}
	bus_armed = 0;
	return -1;
}

/* ---- faults ---- */

static void cut(struct storm_stage *base, unsigned id, bool on)
{
	__atomic_store_n(&stage_of(base)->ways[id].cut, on, __ATOMIC_RELAXED);
}

static void calm(struct storm_stage *base)
{
	struct real_stage *s = stage_of(base);

	for (unsigned c = 0; c < STORM_CLIENTS; c++) {
		__atomic_store_n(&s->ways[c].loss, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&s->ways[c].duplicate, 0, __ATOMIC_RELAXED);
	}
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

/* ---- the stage ---- */

struct real_stage *real_stage_new(const char *dir, FILE *trace, struct rx_error *err)
{
	struct sigaction action = { .sa_handler = on_bus };
	enum vfs_mode best = VFS_MODE_AUTO;
	struct real_stage *s;
	char krb5[512];

	if (vfs_probe(false, &best, err) != 0)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s) {
		rx_error_errno(err, ENOMEM, "a stage");
		return NULL;
	}
	s->inside.base = (struct storm_stage){ .ops = &ops,
					       .env = rx_env_posix(),
					       .faults = STORM_REAL_FAULTS,
					       .root = "/afs/umafs.test/big",
					       .hurried = true,
					       .trace = trace };
	s->dir = dir;
	s->best = best;
	s->network = 0x7f010000 + (((uint32_t)getpid() & 0x7fff) << 8);
	s->hooks = (struct cell_hooks){ storm_inside_before, storm_inside_after, &s->inside };
	snprintf(krb5, sizeof(krb5), "%s/krb5.conf", dir);
	setenv("KRB5_CONFIG", krb5, 1);
	sigaction(SIGBUS, &action, &s->before);
	return s;
}

void real_stage_free(struct real_stage *s)
{
	sigaction(SIGBUS, &s->before, NULL);
	free(s);
}

void real_stage_play(struct real_stage *s, const struct storm_plan *plan, struct storm_verdict *verdict,
		     struct storm_counts *counts, struct real_struck *struck)
{
	*counts = (struct storm_counts){ 0 };
	*struck = (struct real_struck){ 0 };
	s->inside.rules = fault_set_new(s->inside.base.env, plan->seed, NULL);
	storm_inside_begin(&s->inside);
	storm_play(plan, &s->inside.base, verdict, counts);
	fault_set_fired(s->inside.rules, struck->rules);
	for (unsigned c = 0; c < STORM_CLIENTS; c++) {
		struck->lost += s->ways[c].lost;
		struck->doubled += s->ways[c].doubled;
	}
	storm_inside_end(&s->inside);
	fault_set_free(s->inside.rules);
}

/* Servers that are said to be where nobody is: one call after another lasts until it counts as dead. */
static bool is_slow(const struct storm_event *e)
{
	return e->kind == STORM_RULE && strstr(e->text, "-> moved");
}

/* Behind those that are there and not later. */
static void add(struct storm_plan *plan, size_t n, const struct storm_event *e)
{
	struct storm_event hurried = *e;

	while (n > 0 && plan->events[n - 1].at_us > hurried.at_us) {
		plan->events[n] = plan->events[n - 1];
		n--;
	}
	plan->events[n] = hurried;
}

void real_stage_hurry(struct storm_plan *plan)
{
	size_t n = 0;

	/* A ticket that ends within a minute makes no new connection. */
	if (plan->weather.life_s < SHORT_LIFE_S)
		plan->weather.life_s = TICKET_REST_S + 1 + plan->weather.life_s % TICKET_S;
	for (size_t i = 0; i < plan->n; i++) {
		struct storm_event *e = &plan->events[i];

		if (is_slow(e))
			continue;
		if (e->kind == STORM_CUT)
			e->args[1] %= CUT_MS;
		if (e->kind == STORM_TICKET) {
			e->at_us %= TICKETS_US;
			e->args[2] = TICKET_REST_S + 1 + e->args[2] % TICKET_S;
		}
		add(plan, n++, e);
	}
	plan->n = n;
}
