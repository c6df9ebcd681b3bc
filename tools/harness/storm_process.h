/* One play of a storm in a process of its own: its cell, sockets and threads go with it,
 * and if it crashes or hangs that is its verdict. Started and ended by storm.c, on its one
 * thread. */
#ifndef UMAFS_HARNESS_STORM_PROCESS_H
#define UMAFS_HARNESS_STORM_PROCESS_H

#include <sys/types.h>

#include "tools/harness/storm_tally.h"
#include "tools/storm/cell_stage.h"

enum { STORM_DIR = 512 };

struct storm_process {
	pid_t pid; /* 0: not started, or reaped */
	int pipe;  /* readable when it has ended; -1 */
	uint64_t seed;
	uint64_t began_us, deadline_us; /* then it counts as hanging */
	char dir[STORM_DIR];
};

struct storm_result {
	struct storm_verdict verdict;
	struct storm_tally tally;
};

/* dir does not exist and is the process's; cell: NULL, an embedded one in the process; trace:
 * to stdout. The plan stays the caller's. */
int storm_process_start(struct storm_process *p, const struct storm_plan *plan, const char *dir,
			const struct cell_stage_config *cell, bool trace, struct rx_error *err);
/* Takes what it came to, and waits for its end, or makes it if its time is over. */
void storm_process_end(struct storm_process *p, struct storm_result *result);
/* Nobody wants to know any more. */
void storm_process_kill(struct storm_process *p);

#endif
