/* One `struct vfs`: the source of faults, the tables of mappings and spaces, and the fault
 * service. Internal to the room. Its locks, in order:
 *	open_lock      spaces come (attach) and go (detach)
 *	mappings_lock  RX_RANK_MAPPINGS: mappings, list and counts of spaces, every ioctl
 *	space->lock    RX_RANK_SPACE: pages, size, claims (space.h)
 *	... cm's locks ...
 *	service.lock   RX_RANK_QUEUE: faults that wait, space->change_seq */
#ifndef UMAFS_VFS_EMU_INSTANCE_H
#define UMAFS_VFS_EMU_INSTANCE_H

#include "rx/env.h"
#include "vfs-emu/source.h"

enum { VFS_RANK_OPEN = 5, VFS_WORKERS_MAX = 16, VFS_SIGBUS_US = 50000 };

struct space;
struct fault;
struct vfs_mapping;

struct service {
	struct rx_mutex lock;
	struct rx_cond work;
	struct fault *again, **again_tail; /* for the handler: were parked, may go on */
	struct fault *rpcs, **rpcs_tail;   /* for the workers */
	unsigned nrpcs, idle;              /* length of that, workers that wait */
	struct fault *outstanding;         /* every fault that is not answered yet */
	uint64_t next_deadline;            /* of a parked fault or an undone SIGBUS page */
	uint64_t seq;                      /* arrival order of requests */
	bool started, stop;
	unsigned nworkers, max_workers;
	struct rx_thread *handler, *workers[VFS_WORKERS_MAX];
};

struct vfs {
	struct cm *cm;
	struct rx_env *env;
	struct vfs_source *source; /* owned */
	uint64_t conflict_us;      /* UINT64_MAX: for ever */
	bool trace_pages, stopped;
	struct rx_mutex open_lock, mappings_lock;
	struct vfs_mapping **mappings; /* ascending by address */
	size_t nmappings, mappings_cap;
	uint64_t mapping_id;
	struct space *spaces;
	struct service service;
};

/* Stops the threads, lets go of every space without a record. Spaces that still have one
 * stay attached to their vnodes, for cm_free to store them, until vfs_free. */
void vfs_stop(struct vfs *vfs);

/* service.c */
void service_init(struct vfs *vfs, unsigned workers);
int service_start(struct vfs *vfs, struct rx_error *err); /* with the first mapping; idempotent */
void service_stop(struct vfs *vfs);
void service_destroy(struct vfs *vfs);
/* Next number in arrival order. */
uint64_t service_seq(struct vfs *vfs);
/* The handler looks at the clock again at `when` at the latest. */
void service_deadline(struct vfs *vfs, uint64_t when);

#endif
