/* An embedded cell in this process as a storm's stage, with UDP sockets at loopback addresses
 * of their own, real threads, real mappings. One play at a time. */
#ifndef UMAFS_TOOLS_STORM_REAL_STAGE_H
#define UMAFS_TOOLS_STORM_REAL_STAGE_H

#include "tools/storm/machine.h"

/* What it can do in seconds. */
enum {
	STORM_REAL_FAULTS = STORM_F_NET | STORM_F_CUT | STORM_F_RIGHTS | STORM_F_RPC | STORM_F_PACKET | STORM_F_CRASH |
			    STORM_F_RESTART | STORM_F_TICKET
};

struct real_stage;

/* Before there are threads. dir: an empty directory, for the clients' configuration. */
struct real_stage *real_stage_new(const char *dir, FILE *trace, struct rx_error *err);
void real_stage_free(struct real_stage *s);
/* See storm_machine_play. */
void real_stage_play(struct real_stage *s, const struct storm_plan *plan, struct storm_verdict *verdict,
		     struct storm_counts *counts, struct storm_struck *struck);

#endif
