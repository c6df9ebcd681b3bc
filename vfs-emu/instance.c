/* One vfs: made from a probe, stopped, freed. */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vfs-emu/space.h"
#include "vfs-emu/uffd.h"

const char *vfs_mode_name(enum vfs_mode mode)
{
	static const char *const names[] = { "auto", "basic", "full" };

	return (unsigned)mode < sizeof(names) / sizeof(names[0]) ? names[mode] : "?";
}

enum vfs_mode vfs_mode(const struct vfs *vfs)
{
	return vfs->source->mode;
}

int vfs_probe(bool privileged, enum vfs_mode *mode, struct rx_error *err)
{
	int fd;

	*mode = VFS_MODE_AUTO;
	fd = uffd_open(privileged, mode, err);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int mode_from_environment(enum vfs_mode *mode, struct rx_error *err)
{
	const char *forced = getenv("UMAFS_UFFD_MODE");

	if (!forced || !*forced)
		return 0;
	if (strcmp(forced, "basic") == 0)
		*mode = VFS_MODE_BASIC;
	else if (strcmp(forced, "full") == 0)
		*mode = VFS_MODE_FULL;
	else
		return rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL,
				    "UMAFS_UFFD_MODE is \"%s\"; it must be \"basic\" or \"full\"", forced);
	return 0;
}

static uint64_t conflict_us(unsigned ms)
{
	if (ms == UINT_MAX)
		return UINT64_MAX;
	return (ms ? ms : 30000) * UINT64_C(1000);
}

struct vfs *vfs_new(const struct vfs_config *config, struct rx_error *err)
{
	struct vfs *vfs = calloc(1, sizeof(*vfs));

	if (!vfs) {
		rx_error_errno(err, ENOMEM, "cannot start");
		return NULL;
	}
	vfs->cm = config->cm;
	vfs->env = cm_env(config->cm);
	vfs->source = config->source;
	vfs->conflict_us = conflict_us(config->conflict_timeout_ms);
	vfs->trace_pages = getenv("UMAFS_TRACE_PAGES") != NULL;
	if (!vfs->source) {
		enum vfs_mode mode = config->mode;

		if (mode_from_environment(&mode, err) == 0)
			vfs->source = vfs_source_kernel(vfs->env, config->privileged, mode, err);
	}
	if (!vfs->source) {
		free(vfs);
		return NULL;
	}
	service_init(vfs, config->workers);
	rx_mutex_init(&vfs->open_lock, vfs->env, (enum rx_rank)VFS_RANK_OPEN, "spaces");
	rx_mutex_init(&vfs->mappings_lock, vfs->env, RX_RANK_MAPPINGS, "mappings");
	return vfs;
}

void vfs_stop(struct vfs *vfs)
{
	assert(vfs->nmappings == 0);
	service_stop(vfs);
	space_reap(vfs);
	vfs->stopped = true;
}

void vfs_free(struct vfs *vfs)
{
	struct space *sp;
	bool dirty_gone;

	if (!vfs)
		return;
	dirty_gone = vfs->stopped;
	if (!vfs->stopped)
		vfs_stop(vfs);
	if (vfs->spaces && !dirty_gone)
		return; /* the cache manager still calls them: vfs_stop, cm_free, then vfs_free */
	while ((sp = vfs->spaces) != NULL) {
		vfs->spaces = sp->next;
		space_free(sp);
	}
	service_destroy(vfs);
	rx_mutex_destroy(&vfs->mappings_lock);
	rx_mutex_destroy(&vfs->open_lock);
	vfs->source->ops->free(vfs->source);
	free(vfs->mappings);
	free(vfs);
}
