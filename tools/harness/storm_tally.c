/* See storm_tally.h. Called by storm.c and storm_process.c, on their one thread. */
#include "tools/harness/storm_tally.h"

#include <inttypes.h>

void storm_tally_add(struct storm_tally *sum, const struct storm_tally *one)
{
	struct storm_counts *a = &sum->counts;
	const struct storm_counts *b = &one->counts;

	a->plays += b->plays;
	a->stores += b->stores;
	a->kills += b->kills;
	a->overwrites += b->overwrites;
	a->sigbuses += b->sigbuses;
	a->virtual_us += b->virtual_us;
	for (unsigned k = 0; k < STORM_KINDS; k++) {
		a->done[k] += b->done[k];
		a->failed[k] += b->failed[k];
	}
	for (unsigned side = 0; side < FAULT_SIDES; side++)
		for (unsigned op = 0; op < FAULT_OPS; op++)
			sum->struck.rules[side][op] += one->struck.rules[side][op];
	sum->struck.lost += one->struck.lost;
	sum->struck.doubled += one->struck.doubled;
}

uint64_t storm_tally_operations(const struct storm_tally *t)
{
	uint64_t n = 0;

	for (unsigned k = 0; k < STORM_ACT_COUNT; k++)
		n += t->counts.done[k];
	return n;
}

/* A rule counts when it meets somebody, not when it is made; a refusal is a rule too. */
static bool is_rule(unsigned kind)
{
	return kind == STORM_RULE || kind == STORM_UNRULE || kind == STORM_REFUSE;
}

uint64_t storm_tally_faults(const struct storm_tally *t)
{
	uint64_t n = t->struck.lost + t->struck.doubled;

	for (unsigned k = STORM_ACT_COUNT; k < STORM_KINDS; k++)
		n += is_rule(k) ? 0 : t->counts.done[k];
	for (unsigned side = 0; side < FAULT_SIDES; side++)
		for (unsigned op = 0; op < FAULT_OPS; op++)
			n += t->struck.rules[side][op];
	return n;
}

static void line(FILE *out, const char *what, const char *kind, uint64_t n)
{
	if (n)
		fprintf(out, "  %-8s%-14s%12" PRIu64 "\n", what, kind, n);
}

void storm_tally_print(const struct storm_tally *t, FILE *out)
{
	const struct storm_counts *c = &t->counts;

	fprintf(out, "operations                        done      failed\n");
	for (unsigned k = 0; k < STORM_ACT_COUNT; k++)
		if (c->done[k])
			fprintf(out, "  %-22s%12" PRIu64 "%12" PRIu64 "\n", storm_kind_name(k), c->done[k],
				c->failed[k]);
	fprintf(out, "  %-22s%12" PRIu64 "\n", "together", storm_tally_operations(t));
	fprintf(out, "faults                          struck\n");
	for (unsigned k = STORM_ACT_COUNT; k < STORM_KINDS; k++)
		if (!is_rule(k))
			line(out, "", storm_kind_name(k), c->done[k]);
	for (unsigned op = 0; op < FAULT_OPS; op++)
		line(out, "call", fault_op_name(op), t->struck.rules[FAULT_RPC][op]);
	for (unsigned op = 0; op < FAULT_OPS; op++)
		line(out, "packet", fault_op_name(op), t->struck.rules[FAULT_PACKET][op]);
	line(out, "packet", "lost", t->struck.lost);
	line(out, "packet", "doubled", t->struck.doubled);
	line(out, "", "together", storm_tally_faults(t));
	if (c->stores)
		fprintf(out,
			"%" PRIu64 " stores were seen at the server; %" PRIu64
			" changes were thrown away and told, %" PRIu64 " overwritten by another client, %" PRIu64
			" accesses raised SIGBUS\n",
			c->stores, c->kills, c->overwrites, c->sigbuses);
}
