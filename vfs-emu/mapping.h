/* Mappings: address -> (space, token), and the ioctls that act on every mapping of a run
 * of pages. A mapping belongs to one token; that is how a store instruction is attributed.
 * Everything here wants vfs->mappings_lock held unless it says otherwise: while it is
 * held no mapping goes, so no ioctl hits an address that somebody else has got since. */
#ifndef UMAFS_VFS_EMU_MAPPING_H
#define UMAFS_VFS_EMU_MAPPING_H

#include "vfs-emu/space.h"

/* A page of a mapping that gives SIGBUS until `due` (sigbus.c). */
struct bad_page {
	uint64_t index, due;
};

struct vfs_mapping {
	struct vfs *vfs;
	struct space *space;      /* one reference */
	struct cm_token *token;   /* one reference */
	struct vfs_mapping *next; /* of the space */
	unsigned refs;
	bool gone; /* unmapped; alive only for those who still hold it */
	uint64_t id;
	uintptr_t addr;
	size_t len;
	uint64_t first; /* page index at addr */
	int prot;
	uint64_t ahead_next, ahead; /* sequential page-ins: where the next one begins, how far it goes */
	uint64_t cursor;            /* space->lock */
	struct bad_page *bad;
	size_t nbad;
};

struct vfs_mapping *mapping_find(struct vfs *vfs, uintptr_t addr); /* borrowed */
void mapping_get(struct vfs_mapping *m);
void mapping_put(struct vfs_mapping *m); /* mappings_lock not held */

static inline uint64_t mapping_index(const struct vfs_mapping *m, uintptr_t addr)
{
	return m->first + (addr - m->addr) / CM_PAGE;
}

static inline uintptr_t mapping_addr(const struct vfs_mapping *m, uint64_t index)
{
	return m->addr + (uintptr_t)(index - m->first) * CM_PAGE;
}

/* Whether the mapping shows page index now (and not a SIGBUS in its place). */
bool mapping_covers(const struct vfs_mapping *m, uint64_t index);
bool mapping_is_bad(const struct vfs_mapping *m, uint64_t index);

/* Both locks held. Arm a run in every mapping, or in those of one token. */
void mapping_arm_all(struct space *sp, uint64_t first, uint64_t n);
void mapping_arm_token(struct space *sp, const struct cm_token *t, uint64_t first, uint64_t n);
/* Throws away page table entries, keeps content: every next access gives a message. */
void mapping_zap_all(struct space *sp);

#endif
