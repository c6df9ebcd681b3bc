/* Where faults come from and what answers them: page tables, their write protection,
 * and the messages of threads that wait. The kernel's userfaultfd is one source
 * (kernel.c); a deterministic world brings another. Nothing else in the room knows of
 * either. "Armed" as everywhere: a store there gives a message first.
 *
 * wait and poke are called without locks, everything else with vfs->mappings_lock held,
 * so that no range is reused while it is worked on; none of them may block on anybody. */
#ifndef UMAFS_VFS_EMU_SOURCE_H
#define UMAFS_VFS_EMU_SOURCE_H

#include "rx/env.h"
#include "vfs-emu/vfs.h"

struct vfs_source {
	const struct vfs_source_ops *ops;
	enum vfs_mode mode; /* BASIC or FULL */
};

/* A thread waits for the page at addr; a hint, as it may have been woken since. */
struct vfs_message {
	uintptr_t addr;
	bool store; /* it wants to store, and the page is present but armed */
	int tid;
};

struct vfs_source_ops {
	void (*free)(struct vfs_source *s);

	/* A mapping of memfd from byte off on, watched from the first access; a child
	 * process does not get it. NULL with *error, an errno. */
	void *(*map)(struct vfs_source *s, int memfd, size_t len, int prot, uint64_t off, int *error);
	/* A whole mapping or a part; who waits there finds out. */
	void (*unmap)(struct vfs_source *s, uintptr_t addr, size_t len);

	/* Each 0 or an errno; ENOENT, ESRCH: the range is not (any more) all ours. */
	int (*arm)(struct vfs_source *s, uintptr_t addr, size_t len); /* present or not */
	int (*unarm)(struct vfs_source *s, uintptr_t addr, size_t len);
	/* FULL: maps present pages, armed. *done: bytes mapped, also on failure. EEXIST: the
	 * next one is mapped already; EFAULT: it is not in the file. */
	int (*present)(struct vfs_source *s, uintptr_t addr, size_t len, size_t *done);
	void (*wake)(struct vfs_source *s, uintptr_t addr, size_t len);
	/* FULL: nothing of a mapping is mapped any more, content and arming stay. */
	void (*zap)(struct vfs_source *s, uintptr_t addr, size_t len);

	/* Whoever touches this page gets SIGBUS, until it is given back: watched and armed. */
	void (*cover)(struct vfs_source *s, uintptr_t addr, int prot);
	void (*uncover)(struct vfs_source *s, uintptr_t addr, int prot, int memfd, uint64_t off);
	/* SIGBUS for the thread that waits at addr. False: it would not take it. */
	bool (*refuse)(struct vfs_source *s, uintptr_t addr, int tid);

	/* Content: drops pages from the memfd and every mapping of it; arming stays. */
	void (*punch)(struct vfs_source *s, int memfd, uint64_t off, uint64_t len);
	void (*resize)(struct vfs_source *s, int memfd, uint64_t size);

	/* Up to cap messages; 0: poked, or the time has come. The handler's thread alone. */
	unsigned (*wait)(struct vfs_source *s, uint64_t deadline_us, struct vfs_message *out, unsigned cap);
	void (*poke)(struct vfs_source *s);
};

/* kernel.c. mode AUTO: what the kernel does best. NULL with one sentence. */
struct vfs_source *vfs_source_kernel(struct rx_env *env, bool privileged, enum vfs_mode mode, struct rx_error *err);

#endif
