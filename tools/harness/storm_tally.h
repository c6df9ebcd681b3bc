/* What has been done and what has struck in the plays of a storm, by kind: added up and
 * printed. Plain values. */
#ifndef UMAFS_HARNESS_STORM_TALLY_H
#define UMAFS_HARNESS_STORM_TALLY_H

#include "tools/storm/real_stage.h"

struct storm_tally {
	struct storm_counts counts;
	struct storm_struck struck;
};

void storm_tally_add(struct storm_tally *sum, const struct storm_tally *one);
uint64_t storm_tally_operations(const struct storm_tally *t);
uint64_t storm_tally_faults(const struct storm_tally *t);
/* A table of operations and one of faults. */
void storm_tally_print(const struct storm_tally *t, FILE *out);

#endif
