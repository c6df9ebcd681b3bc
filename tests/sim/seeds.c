/* See seeds.h. */
#include "tests/sim/seeds.h"

#include <stdio.h>
#include <stdlib.h>

#include "rx/env.h"

enum { TWICE_FIRST = 5, TWICE_EVERY = 1000 };

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void report(uint64_t seeds, uint64_t virtual_us, uint64_t real_us)
{
	double real_s = (double)real_us / 1e6;

	printf("%llu seeds, %.0f a minute, %.0f times as fast as their clocks ", (unsigned long long)seeds,
	       (double)seeds / real_s * 60, (double)virtual_us / (double)real_us);
}

struct sim_outcome sim_run(struct world *world, uint64_t seed, void (*conduct)(void *), void *arg,
			   const unsigned *violations)
{
	struct sim_outcome o = { .ok = world_run(world, conduct, arg) };

	if (!o.ok)
		printf("\n  seed %llu: nobody can go on\n", (unsigned long long)seed);
	o.ok = o.ok && *violations == 0;
	o.virtual_us = rx_now_us(world_env(world));
	o.trace = world_trace(world);
	return o;
}

bool sim_seeds(unsigned standard, sim_play_fn *play)
{
	uint64_t seeds = setting("UMAFS_SEEDS", standard), first = setting("UMAFS_FIRST_SEED", 1);
	bool all_twice = setting("UMAFS_TWICE", 0);
	uint64_t began = rx_now_us(rx_env_posix()), virtual_us = 0, played = 0;

	for (uint64_t i = 0; i < seeds; i++) {
		struct sim_outcome o = play(first + i);

		played++;
		virtual_us += o.virtual_us;
		if (!o.ok)
			return false;
		if (!all_twice && i >= TWICE_FIRST && (first + i) % TWICE_EVERY)
			continue;
		played++;
		virtual_us += o.virtual_us;
		if (play(first + i).trace != o.trace) {
			printf("\n  seed %llu: two outcomes\n", (unsigned long long)(first + i));
			return false;
		}
	}
	report(played, virtual_us, rx_now_us(rx_env_posix()) - began + 1);
	return true;
}
