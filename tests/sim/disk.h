/* A disk in memory under a cell's store. It fails as the dice say, and crashes: from some
 * byte on nothing reaches it any more, in the middle of a write if that is where it falls,
 * and what the dying cell does is lost. Outlives the cells that run on it. */
#ifndef UMAFS_TESTS_SIM_DISK_H
#define UMAFS_TESTS_SIM_DISK_H

#include "tests/sim/world.h"
#include "tools/cell/disk.h"

struct sim_disk_dice {
	unsigned brief; /* per 1000 reads and writes: only a part of it */
	unsigned eio;   /* per 1000 reads, writes, syncs and other changes */
	unsigned full;  /* per 1000 writes: ENOSPC, after a part of it */
};

struct cell_disk *sim_disk_new(struct world *w);
/* Not by cells: they do not own it. */
void sim_disk_free(struct cell_disk *disk);
void sim_disk_set_dice(struct cell_disk *disk, const struct sim_disk_dice *dice);

/* After so many more bytes; `fn`, unless NULL, hears of it at that moment, with cell->lock
 * held: to cut the cell's network, before anybody is told of what was not written. */
void sim_disk_crash_after(struct cell_disk *disk, uint64_t bytes, void (*fn)(void *arg), void *arg);
void sim_disk_crash(struct cell_disk *disk);
/* As a new process finds it. */
void sim_disk_revive(struct cell_disk *disk);
/* The power fails, while nobody has a file open: of what was not synced each block is there or
 * as it was, and each directory's names are as they were when they were synced, or as now. */
void sim_disk_unplug(struct cell_disk *disk);

struct sim_disk_stats {
	uint64_t written, brief, eio, full, crashes, torn, blocks_lost;
};
void sim_disk_stats(const struct cell_disk *disk, struct sim_disk_stats *out);

#endif
