/* A storm: plays beside each other, seed after seed, until one breaks a promise or the
 * time is over; what is done about one that fails. One thread. */
#ifndef UMAFS_HARNESS_STORM_RUN_H
#define UMAFS_HARNESS_STORM_RUN_H

#include "tools/harness/storm_process.h"

enum { STORM_BESIDE_MAX = 256 };

struct storm_options {
	uint64_t seed, plays, minutes; /* plays 0: minutes count */
	unsigned events, beside;
	const char *replay; /* a plan's file; NULL: plans of seeds */
	bool trace;
	const char *dir;               /* an empty directory */
	struct cell_stage_config cell; /* confdir NULL: an embedded one for each play */
};

/* Prints progress, failures, counts and one line at the end; the exit status. */
int storm_run(const struct storm_options *options);

#endif
