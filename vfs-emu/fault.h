/* A fault: one message of the source until it is answered. It is served from the top
 * as often as it takes: fault_serve holds the locks, does what is local, and otherwise
 * parks the fault on the space or says which RPC it needs; fault_rpc does that RPC
 * without locks. service.c has the threads and the queues. */
#ifndef UMAFS_VFS_EMU_FAULT_H
#define UMAFS_VFS_EMU_FAULT_H

#include "vfs-emu/mapping.h"
#include "vfs-emu/readpage.h"

enum fault_need { NEED_NOTHING, NEED_VALIDATE, NEED_READ, NEED_READ_RIGHT, NEED_WRITE_RIGHT };

enum fault_refused {
	REFUSED_NOT,
	REFUSED_PAGE,  /* the page cannot be had: SIGBUS for whoever touches it */
	REFUSED_STORE, /* the store may not be: SIGBUS for the storing thread alone */
};

struct fault {
	struct fault *prev, *next; /* service.outstanding */
	struct fault *queued;      /* of service.again, service.rpcs or parked_on->parked */
	struct space *parked_on;
	uintptr_t addr; /* page aligned */
	bool store;     /* to a page that is present and armed */
	int tid;
	uint64_t seq, deadline; /* deadline 0: has met no conflict yet */
	bool timed;             /* parked for a conflict: until the deadline at most */
	uint64_t mapping_id;
	bool cancelled; /* service.lock; its thread has sent a newer message: nobody waits for this one */
	uint64_t validated_gen;
	uint64_t may_read, may_write; /* space->rights_gen at which the server said so; 0: not asked */
	enum fault_need need;
	struct vfs_mapping *mapping; /* one reference while need is not NOTHING */
	struct read_run run;
	enum fault_refused refused;
	struct claim claim;
};

enum fault_result {
	FAULT_DONE,   /* answered; free it */
	FAULT_PARKED, /* belongs to the space's list now: hands off */
	FAULT_RPC,    /* call fault_rpc, then serve again */
};
enum fault_result fault_serve(struct vfs *vfs, struct fault *f);
void fault_rpc(struct vfs *vfs, struct fault *f);

/* mkwrite.c: page_mkwrite. Both locks held; the vnode is valid, the page U, not L, and
 * within the file. PARK: until the space changes, with a deadline; OWN: without, it is
 * this token's own record that is being stored. asked: the write right is known to be
 * there whatever cm remembers. */
enum mkwrite_result { MKWRITE_GRANTED, MKWRITE_PARK, MKWRITE_OWN, MKWRITE_RIGHT, MKWRITE_NOMEM };
enum mkwrite_result page_mkwrite(struct vfs_mapping *m, uint64_t index, uint64_t seq, bool asked);

/* sigbus.c; mappings_lock held. Answers with SIGBUS. */
void sigbus_page(struct vfs_mapping *m, uint64_t index);
void sigbus_store(struct vfs_mapping *m, uint64_t index, uintptr_t addr, int tid);
/* Gives pages back whose time is over. Returns when to look again. No locks held. */
uint64_t sigbus_expire(struct vfs *vfs, uint64_t now);

/* service.c */
/* Both locks held: parks f unless the space has changed since `seq`. */
void fault_park(struct space *sp, struct fault *f, uint64_t seq);
/* service.lock held. */
void fault_unpark_all(struct space *sp);

#endif
