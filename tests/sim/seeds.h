/* Plays a test's seeds, as many as UMAFS_SEEDS and from UMAFS_FIRST_SEED on, if these are
 * set; the first few and every thousandth, or with UMAFS_TWICE=1 all, twice, which must have
 * one outcome. Prints how fast that went. Called by the tests of worlds. */
#ifndef UMAFS_TESTS_SIM_SEEDS_H
#define UMAFS_TESTS_SIM_SEEDS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/sim/world.h"

struct sim_outcome {
	bool ok;        /* what is wrong has been printed */
	uint64_t trace; /* world_trace */
	uint64_t virtual_us;
};

typedef struct sim_outcome sim_play_fn(uint64_t seed);

/* In a play p that has a seed and counts its violations: the first one is told. */
#define HOLDS(p, condition)                                                                                            \
	do {                                                                                                           \
		if (!(condition) && (p)->violations++ == 0)                                                            \
			printf("\n  seed %llu: line %d: %s\n", (unsigned long long)(p)->seed, __LINE__, #condition);   \
	} while (0)

/* Runs the world until conduct(arg) and all else in it has ended. Not ok: nobody could go on, which is
 * told, or *violations is not 0. The world stays the caller's. */
struct sim_outcome sim_run(struct world *world, uint64_t seed, void (*conduct)(void *), void *arg,
			   const unsigned *violations);

/* False: a seed went wrong, or had two outcomes; it is the last that was played. */
bool sim_seeds(unsigned standard, sim_play_fn *play);

#endif
