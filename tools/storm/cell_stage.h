/* A cell that is there already, as a rule OpenAFS's, as a storm's stage. What other stages
 * do inside their cell is done over the wire, by an administrator's client that nothing
 * strikes; what cannot be done so is left out. One play at a time. */
#ifndef UMAFS_TOOLS_STORM_CELL_STAGE_H
#define UMAFS_TOOLS_STORM_CELL_STAGE_H

#include "tools/storm/machine.h"

enum { STORM_CELL_FAULTS = STORM_F_NET | STORM_F_CUT | STORM_F_RIGHTS | STORM_F_PACKET | STORM_F_CRASH };

/* What STORM_CELL_FAULTS and cell_stage_plan leave out, for whoever wants to know. */
extern const char cell_stage_lacks[];

struct cell_stage_config {
	const char *confdir;
	const char *ccaches; /* a directory with those of alice, bob and admin, who is an administrator */
	const char *under;   /* a directory of the cell, where plays make their own; NULL: /afs/CELL/big */
};

struct cell_stage;

/* Before there are threads. The configuration outlives the stage. */
struct cell_stage *cell_stage_new(const struct cell_stage_config *config, FILE *trace, struct rx_error *err);
void cell_stage_free(struct cell_stage *s);
/* Takes out of a plan what cannot be done there. */
void cell_stage_plan(struct storm_plan *plan);
/* See storm_machine_play. */
void cell_stage_play(struct cell_stage *s, const struct storm_plan *plan, struct storm_verdict *verdict,
		     struct storm_counts *counts, struct storm_struck *struck);

#endif
