/* What a scenario plays on: a directory, the embedded cell on loopback addresses that
 * nobody else uses, and if packets are to suffer an injector between it and the clients,
 * at the addresses that the cell's database names; the cell's own ports are shifted. No
 * root is needed. Or a real cell that is there already. The runner's one thread. */
#ifndef UMAFS_HARNESS_RIG_H
#define UMAFS_HARNESS_RIG_H

#include <stdio.h>

#include "tools/harness/expand.h"
#include "tools/harness/process.h"
#include "tools/harness/script.h"

enum { HARNESS_DIR = 512 };

struct harness_options {
	char bin[HARNESS_DIR];  /* where umafs, umafs-cell and umafs-wire are */
	const char *confdir;    /* of a real cell; NULL: the embedded one */
	const char *ccaches;    /* of it: a ccache for each user */
	const char *wire;       /* control socket of an injector that stands before it; NULL: none */
	const char *wire_trace; /* what that one traces to; NULL: nobody knows */
	uint64_t seed;
	unsigned patience; /* a step may take so many times as long as the scenario says */
};

struct harness_rig {
	const struct harness_options *options;
	const struct harness_scenario *scenario;
	char dir[HARNESS_DIR], conf[HARNESS_DIR], ccaches[HARNESS_DIR];
	char files[HARNESS_DIR]; /* where programs run and files of the scenario are */
	char cell_name[256];
	char socket[FAULT_SIDES][HARNESS_DIR]; /* control; "": there is none */
	uint32_t ip;                           /* of the first server, host order */
	struct harness_process cell, wire;
	bool cell_down; /* on purpose */
};

/* What such a rig does not have and the scenario needs; NULL: nothing. */
const char *harness_rig_lacks(const struct harness_options *options, const struct harness_scenario *scenario);
/* On failure -1 and what was started stays for harness_rig_stop. `dir` exists and is empty. */
int harness_rig_start(struct harness_rig *rig, const struct harness_options *options,
		      const struct harness_scenario *scenario, const char *dir, struct rx_error *err);
/* Once again, with the data it has. */
int harness_rig_start_cell(struct harness_rig *rig, struct rx_error *err);
/* Ends what was started. -1: the cell or the injector did not end in good order. */
int harness_rig_stop(struct harness_rig *rig, struct rx_error *err);
/* -1: the cell or the injector has ended by itself. */
int harness_rig_check(struct harness_rig *rig, struct rx_error *err);
/* Valid as long as the rig. */
struct harness_variables harness_rig_variables(const struct harness_rig *rig);
/* One command to a control socket, variables in it replaced; its answer to out. */
int harness_rig_control(struct harness_rig *rig, enum fault_side side, const char *command, FILE *out,
			struct rx_error *err);
/* How often the rule has fired. */
int harness_rig_fired(struct harness_rig *rig, enum fault_side side, const char *rule, uint64_t *fired,
		      struct rx_error *err);
/* Runs a program, umafs' own first, with what a user of the cell has in the environment. */
int harness_rig_run(struct harness_rig *rig, const char *user, char *const *argv, const char *out, const char *errout,
		    struct harness_process *p, struct rx_error *err);

#endif
