/* This machine as the clients' side of a storm, with whatever cell: sockets that rules and
 * dice befall, loads and stores of the processor. One play at a time. Used by stages, whose
 * functions of the same names these are. */
#ifndef UMAFS_TOOLS_STORM_MACHINE_H
#define UMAFS_TOOLS_STORM_MACHINE_H

#include <signal.h>

#include "tools/storm/rough_net.h"
#include "tools/storm/storm.h"

/* How often faults met somebody: rules by what they do, datagrams. */
struct storm_struck {
	fault_fired rules;
	uint64_t lost, doubled;
};

struct storm_machine {
	struct fault_set *rules; /* owned, for one play */
	enum vfs_mode best;
	struct rough_way ways[STORM_CLIENTS + 1];
	struct sigaction before;
};

/* Before there are threads: catches SIGBUS of loads and stores until storm_machine_end. */
int storm_machine_begin(struct storm_machine *m, struct rx_error *err);
void storm_machine_end(struct storm_machine *m);
/* A play of the stage, which has m. Fills in the last three. */
void storm_machine_play(struct storm_machine *m, struct storm_stage *stage, const struct storm_plan *plan,
			struct storm_verdict *verdict, struct storm_counts *counts, struct storm_struck *struck);

/* A client's configuration; ip 0, port 0: any. */
int storm_machine_client(struct storm_machine *m, unsigned client, uint32_t ip, uint16_t port, struct cm_config *cm,
			 struct vfs_config *vfs, struct rx_error *err);
int storm_machine_load(struct storm_stage *base, unsigned client, uintptr_t addr, unsigned actor);
int storm_machine_store(struct storm_stage *base, unsigned client, uintptr_t addr, unsigned actor, uint8_t value);
void storm_machine_cut(struct storm_machine *m, unsigned client, bool on);
void storm_machine_calm(struct storm_machine *m);

/* Makes what takes virtual minutes short enough for real time. */
void storm_machine_hurry(struct storm_plan *plan);

#endif
