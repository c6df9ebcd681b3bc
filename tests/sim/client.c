/* See client.h. */
#include "tests/sim/client.h"

#include "tests/sim/conf.h"
#include "vfs-emu/instance.h"

enum { RESTLESS = 16, WORKERS = 2 };

int sim_client_begin(struct sim_client *c, const struct cm_config *config, enum vfs_mode mode, struct rx_error *err)
{
	struct cm_config cm = *config;
	struct vfs_config vfs = { .workers = WORKERS };

	cm.confdir = sim_confdir();
	*c = (struct sim_client){ .cm = cm_new(&cm, err) };
	if (!c->cm)
		return -1;
	vfs.cm = c->cm;
	vfs.source = c->source = soft_mmu_new(config->env, mode, RESTLESS);
	c->vfs = vfs_new(&vfs, err);
	if (c->vfs)
		return 0;
	c->source->ops->free(c->source);
	cm_free(c->cm, 0);
	*c = (struct sim_client){ 0 };
	return -1;
}

uint64_t sim_client_end(struct sim_client *c, uint32_t patience_ms)
{
	uint64_t lost;

	vfs_stop(c->vfs); /* what is dirty in it the cache manager asks for at its end */
	lost = cm_free(c->cm, patience_ms);
	vfs_free(c->vfs);
	*c = (struct sim_client){ 0 };
	return lost;
}
