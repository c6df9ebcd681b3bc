/* A deterministic world as a storm's stage: a cell in memory or on a disk that keeps, the
 * soft MMU, packet and call rules, clients that die, all under the plan's seed. */
#ifndef UMAFS_TESTS_SIM_STORM_STAGE_H
#define UMAFS_TESTS_SIM_STORM_STAGE_H

#include "tests/sim/seeds.h"
#include "tools/storm/storm.h"

/* A defect made on purpose, to see the storm find it. */
enum storm_defect {
	STORM_SOUND,
	STORM_LOSES_STORES,   /* the server says yes to a store, and holds zeros then */
	STORM_BREAKS_NOTHING, /* no callback is ever broken */
};

/* Plays the plan in a new world. verdict->broken also says if nobody could go on. */
struct sim_outcome storm_in_world(const struct storm_plan *plan, enum storm_defect defect,
				  struct storm_verdict *verdict, struct storm_counts *counts);

/* What it can do. */
enum {
	STORM_WORLD_FAULTS = STORM_F_NET | STORM_F_CUT | STORM_F_RIGHTS | STORM_F_RPC | STORM_F_PACKET | STORM_F_CRASH |
			     STORM_F_RESTART | STORM_F_TICKET | STORM_F_DISK | STORM_F_MAYBE | STORM_F_CLOCK |
			     STORM_F_MOVE | STORM_F_HOLD,
};

#endif
