/* See machine.h. The clients' sockets are cut, lose datagrams and obey packet rules by
 * rough_net.c. Called on the threads of a play. */
#include "tools/storm/machine.h"

#include <setjmp.h>
#include <string.h>

enum {
	KNOWN_NETWORK = 0x0a000000, /* 10.0.0.0: of the addresses that plans have */
	CLIENT_HOST = 101,
	CLIENT_PORT = 7001,
	CUT_MS = 3000,
	SHORT_LIFE_S = 10000,
	TICKET_REST_S = 60,
	TICKET_S = 6,
	TICKETS_US = 8000000,
	DEAD_S = 5,
	RETRY_S = 10
};

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

RACY int storm_machine_load(struct storm_stage *base, unsigned id, uintptr_t addr, unsigned actor)
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

RACY int storm_machine_store(struct storm_stage *base, unsigned id, uintptr_t addr, unsigned actor, uint8_t value)
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

/* ---- clients ---- */

int storm_machine_client(struct storm_machine *m, unsigned client, uint32_t ip, uint16_t port, struct cm_config *cm,
			 struct vfs_config *vfs, struct rx_error *err)
{
	cm->net = rough_net_new(cm->env, ip, port, &m->ways[client], err);
	cm->dead_time_s = DEAD_S;
	cm->retry_limit_s = RETRY_S;
	if (m->best == VFS_MODE_BASIC)
		vfs->mode = VFS_MODE_BASIC;
	return cm->net ? 0 : -1;
}

void storm_machine_cut(struct storm_machine *m, unsigned client, bool on)
{
	__atomic_store_n(&m->ways[client].cut, on, __ATOMIC_RELAXED);
}

void storm_machine_calm(struct storm_machine *m)
{
	for (unsigned c = 0; c < STORM_CLIENTS; c++) {
		__atomic_store_n(&m->ways[c].loss, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&m->ways[c].duplicate, 0, __ATOMIC_RELAXED);
	}
}

/* ---- plays ---- */

int storm_machine_begin(struct storm_machine *m, struct rx_error *err)
{
	struct sigaction action = { .sa_handler = on_bus };

	*m = (struct storm_machine){ .best = VFS_MODE_AUTO };
	if (vfs_probe(false, &m->best, err) != 0)
		return -1;
	sigaction(SIGBUS, &action, &m->before);
	return 0;
}

void storm_machine_end(struct storm_machine *m)
{
	sigaction(SIGBUS, &m->before, NULL);
}

static void set_out(struct storm_machine *m, const struct storm_plan *plan)
{
	for (unsigned c = 0; c <= STORM_CLIENTS; c++)
		m->ways[c] = (struct rough_way){ .seed = plan->seed + c,
						 .rules = m->rules,
						 .known = rx_addr_ipv4(KNOWN_NETWORK + CLIENT_HOST + c, CLIENT_PORT) };
	for (unsigned c = 0; c < STORM_CLIENTS; c++) {
		m->ways[c].loss = plan->weather.loss;
		m->ways[c].duplicate = plan->weather.duplicate;
	}
}

void storm_machine_play(struct storm_machine *m, struct storm_stage *stage, const struct storm_plan *plan,
			struct storm_verdict *verdict, struct storm_counts *counts, struct storm_struck *struck)
{
	*counts = (struct storm_counts){ 0 };
	*struck = (struct storm_struck){ 0 };
	m->rules = fault_set_new(stage->env, plan->seed, NULL);
	set_out(m, plan);
	storm_play(plan, stage, verdict, counts);
	fault_set_fired(m->rules, struck->rules);
	for (unsigned c = 0; c <= STORM_CLIENTS; c++) {
		struck->lost += m->ways[c].lost;
		struck->doubled += m->ways[c].doubled;
	}
	fault_set_free(m->rules);
	m->rules = NULL;
}

/* ---- plans ---- */

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

void storm_machine_hurry(struct storm_plan *plan)
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
