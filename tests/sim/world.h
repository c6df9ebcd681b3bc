/* A deterministic world: an rx_env whose threads are fibers on one OS thread, whose clock
 * moves only when nobody can run, and whose every choice comes from a seed. One seed, one
 * outcome. A fiber may be switched away at each lock, unlock, wait and world_yield. When
 * all fibers wait and no deadline is left, that is a deadlock: world_run returns false. */
#ifndef UMAFS_TESTS_SIM_WORLD_H
#define UMAFS_TESTS_SIM_WORLD_H

#include <stdio.h>

#include "rx/maybe.h"

struct world;

enum { WORLD_TURNS_MAX = 20000000, WORLD_DAYS_MAX = 20 };

struct world *world_new(uint64_t seed);
void world_free(struct world *w);
struct rx_env *world_env(struct world *w);
/* Runs main_fn(arg) as the first fiber until every fiber has ended. False: nobody can go on,
 * or they go on without an end (WORLD_TURNS_MAX turns, WORLD_DAYS_MAX of their clock). */
bool world_run(struct world *w, void (*main_fn)(void *), void *arg);
void world_yield(struct world *w);
/* Lets virtual time pass. */
void world_sleep_us(struct world *w, uint64_t us);
uint64_t world_random(struct world *w);
/* A word about the fiber that runs, for tests; fibers inherit it from who spawns them. */
void world_set_tag(struct world *w, int tag);
int world_tag(const struct world *w);
/* What the wall clock says now, in seconds since 1970. */
void world_set_wall(struct world *w, int64_t s);
/* A hash of every scheduling decision so far, and of what was noted: packets, and what
 * operations returned. Equal seeds must give equal traces. */
uint64_t world_trace(const struct world *w);
void world_note(struct world *w, const void *data, size_t len);

/* Of the places of rx/maybe.h the seed picks some; there the rarer way is taken so many times
 * in a thousand, from now on. Counts are those of all worlds of the process. */
void world_set_maybe(struct world *w, unsigned per_1000);
unsigned world_maybe_print(FILE *out); /* how many were never taken */

#endif
