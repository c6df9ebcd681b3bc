/* The page room's public header: address spaces, mappings and the file calls on them.
 * A vnode has at most one address space, backed by a memfd; every mapping of it and
 * every pread and pwrite go through the same pages. A mapping belongs to one token.
 * Blocking functions may be called from any thread but the handlers' own, with no
 * umafs lock held. Return 0 or -1 with *err unless said otherwise. */
#ifndef UMAFS_VFS_EMU_VFS_H
#define UMAFS_VFS_EMU_VFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cm/cm.h"

/* What a page can be; U up to date, D dirty, W under writeback, L locked. */
#define VFS_PAGE_STATES(X)                                                                                             \
	X(EMPTY, "not in the memfd, zapped and armed everywhere")                                                      \
	X(READING, "locked while it is being filled")                                                                  \
	X(CLEAN, "up to date, armed everywhere")                                                                       \
	X(DIRTY, "bound to a record; un-armed at most in the owner's mappings")                                        \
	X(WRITEBACK, "its record is being stored; armed everywhere")

#define VFS_PAGE_TRANSITIONS(X)                                                                                        \
	X(EMPTY, READING)                                                                                              \
	X(READING, EMPTY)                                                                                              \
	X(READING, CLEAN)                                                                                              \
	X(CLEAN, DIRTY)                                                                                                \
	X(CLEAN, EMPTY)                                                                                                \
	X(DIRTY, CLEAN)                                                                                                \
	X(DIRTY, WRITEBACK)                                                                                            \
	X(DIRTY, EMPTY)                                                                                                \
	X(WRITEBACK, DIRTY)                                                                                            \
	X(WRITEBACK, CLEAN)                                                                                            \
	X(WRITEBACK, EMPTY)

enum vfs_mode { VFS_MODE_AUTO, VFS_MODE_BASIC, VFS_MODE_FULL };

struct vfs;
struct vfs_file;
struct vfs_mapping;
struct vfs_source;

struct vfs_config {
	struct cm *cm;
	enum vfs_mode mode;           /* AUTO probes; UMAFS_UFFD_MODE=basic|full in the environment forces */
	bool privileged;              /* use /dev/userfaultfd or a full userfaultfd: catch kernel faults too */
	unsigned conflict_timeout_ms; /* 0 = 30,000; UINT_MAX = for ever */
	unsigned workers;             /* at most so many page-in and rights RPCs at a time; 0 = 16 */
	struct vfs_source *source;    /* taken over; NULL: the kernel's, as mode and privileged say (source.h) */
};

/* Probes userfaultfd; NULL with one clear sentence when the kernel lacks something. The
 * handler thread starts with the first mapping. */
struct vfs *vfs_new(const struct vfs_config *config, struct rx_error *err);
void vfs_free(struct vfs *vfs); /* all files closed, all mappings unmapped */
enum vfs_mode vfs_mode(const struct vfs *vfs);
const char *vfs_mode_name(enum vfs_mode mode);
/* Probe alone: what this kernel can do; -1 with the sentence when nothing will work. */
int vfs_probe(bool privileged, enum vfs_mode *mode, struct rx_error *err);

/* A file handle: vnode and token, fixed. Takes references. */
int vfs_open(struct vfs *vfs, struct cm_vnode *v, struct cm_token *t, bool write, struct vfs_file **out,
	     struct rx_error *err);
ssize_t vfs_pread(struct vfs_file *f, void *buf, size_t len, uint64_t off, struct rx_error *err);
/* Write-behind: dirty pages of this token. Conflicts with other tokens' records are
 * flushed first. */
ssize_t vfs_pwrite(struct vfs_file *f, const void *buf, size_t len, uint64_t off, struct rx_error *err);
int vfs_truncate(struct vfs_file *f, uint64_t size, struct rx_error *err);
/* Flushes this token's records, reports lost writes once. */
int vfs_fsync(struct vfs_file *f, struct rx_error *err);
int vfs_close(struct vfs_file *f, struct rx_error *err);
/* Frees a handle that nobody has used: nothing is stored, no loss is told. */
void vfs_drop(struct vfs_file *f);
struct cm_vnode *vfs_file_vnode(struct vfs_file *f); /* borrowed */

/* addr of a new MAP_SHARED mapping of [off, off+len), off a multiple of 4096. The
 * mapping keeps the vnode and token; it outlives the handle. NULL with err. */
void *vfs_mmap(struct vfs_file *f, size_t len, int prot, uint64_t off, struct rx_error *err);
/* flags: MS_SYNC, MS_ASYNC, MS_INVALIDATE. */
int vfs_msync(struct vfs *vfs, void *addr, size_t len, int flags, struct rx_error *err);
/* Whole mappings or parts at either end; starts writeback, does not wait. */
int vfs_munmap(struct vfs *vfs, void *addr, size_t len, struct rx_error *err);

/* For tests and `umafs share`: what a page is. */
struct vfs_page_view {
	bool uptodate, dirty, writeback, locked;
	bool bound;
	struct cm_record_view record;
};
void vfs_page_view(struct vfs_file *f, uint64_t index, struct vfs_page_view *out);

#endif
