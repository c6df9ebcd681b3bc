/* A cell in a world: at SIM_DB_IP and SIM_FS_IP (a second file server, if config.nfs is set to
 * 2, at the next address), in memory or on a disk that fails and
 * crashes, and restarted there as after kill -9. Called by one fiber at a time. */
#ifndef UMAFS_TESTS_SIM_SITE_H
#define UMAFS_TESTS_SIM_SITE_H

#include "tests/sim/conf.h"
#include "tests/sim/disk.h"
#include "tests/sim/world_net.h"
#include "tools/cell/cell.h"

struct sim_site {
	struct world *world;
	struct world_net *net;
	struct cell_config config; /* hooks, audit and the like may be set before sim_site_start */
	struct cell_disk *disk;    /* NULL: in memory */
	struct sim_disk_dice dice;
	struct cell *cell;
	unsigned restarts;
	bool unplugged;
};

/* Fills in the configuration; starts nothing. */
void sim_site_init(struct sim_site *s, struct world *w, struct world_net *n, bool on_disk);
int sim_site_start(struct sim_site *s, struct rx_error *err);
void sim_site_set_dice(struct sim_site *s, const struct sim_disk_dice *dice);

/* kill -9, now or in the middle of what it writes after so many more bytes: nobody hears
 * from it any more, and nothing reaches its disk. */
void sim_site_crash(struct sim_site *s);
void sim_site_crash_after(struct sim_site *s, uint64_t bytes);
/* ... and the power fails: what its disk was not told to keep may be gone. */
void sim_site_unplug(struct sim_site *s);
/* Crashed or not, a new process takes its place; one without a disk begins anew. */
int sim_site_restart(struct sim_site *s, struct rx_error *err);

/* A ticket, or a newer one, for a user of a client. `spec`: for cm_token_open. */
int sim_site_ticket(struct sim_site *s, unsigned client, const char *user, int64_t life_s, char spec[64],
		    struct rx_error *err);

void sim_site_end(struct sim_site *s);

#endif
