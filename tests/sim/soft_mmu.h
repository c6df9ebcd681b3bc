/* A source of faults made of software: page tables with the kernel's rules of arming,
 * markers and messages for mappings that are numbers, not memory, so that the page room
 * runs in a deterministic world. Content lies in the real memfds. What it imitates is
 * tested on the real kernel by uffd_test. */
#ifndef UMAFS_TESTS_SIM_SOFT_MMU_H
#define UMAFS_TESTS_SIM_SOFT_MMU_H

#include "vfs-emu/source.h"

/* Goes to vfs_new, which owns it. restless: one wait in so many is cut short, as by a
 * signal, and gives a second message; 0: none. */
struct vfs_source *soft_mmu_new(struct rx_env *env, enum vfs_mode mode, unsigned restless);

/* What a thread with number tid does to a byte of a mapping. -1: SIGBUS. */
int soft_load(struct vfs_source *s, uintptr_t addr, int tid);
int soft_store(struct vfs_source *s, uintptr_t addr, int tid, uint8_t value);

/* '-' nothing mapped, 'r' present and armed, 'w' present and un-armed. */
char soft_mapped(struct vfs_source *s, uintptr_t addr);
/* Whether a store there would give a message first, were the page in the memfd now. */
bool soft_armed(struct vfs_source *s, uintptr_t addr);
/* Whether the memfd behind it has this page. */
bool soft_in_file(struct vfs_source *s, uintptr_t addr);

#endif
