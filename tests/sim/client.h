/* A client in a world: a cache manager, and pages on the soft MMU, as a process of its own would
 * have them. Called by one fiber at a time. */
#ifndef UMAFS_TESTS_SIM_CLIENT_H
#define UMAFS_TESTS_SIM_CLIENT_H

#include "tests/sim/soft_mmu.h"
#include "vfs-emu/vfs.h"

struct sim_client {
	struct cm *cm;
	struct vfs *vfs;
	struct vfs_source *source; /* for soft_load and soft_store */
};

/* config: all but confdir. 0, or -1 with err and nothing left behind. */
int sim_client_begin(struct sim_client *c, const struct cm_config *config, enum vfs_mode mode, struct rx_error *err);
/* What is dirty is stored first, for at most so long; 0: as if the process were killed. Returns
 * how many bytes were lost. */
uint64_t sim_client_end(struct sim_client *c, uint32_t patience_ms);

#endif
