/* userfaultfd, and nothing but it: finding out what the kernel can do, the file
 * descriptor, and its ioctls with their many results reduced to three: done, gone (the
 * range is no longer ours), or an errno that is a bug or a dying process. No state; any
 * thread. Constants that older headers lack are defined here and tried at run time. */
#ifndef UMAFS_VFS_EMU_UFFD_H
#define UMAFS_VFS_EMU_UFFD_H

#include <linux/userfaultfd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vfs-emu/vfs.h"

#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif
#ifndef UFFDIO_CONTINUE_MODE_WP
#define UFFDIO_CONTINUE_MODE_WP ((uint64_t)1 << 1)
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

/* Opens and negotiates. *mode: AUTO becomes what the kernel does best. -1 with one
 * sentence that says what is lacking. */
int uffd_open(bool privileged, enum vfs_mode *mode, struct rx_error *err);

/* All return 0, or an errno. ENOENT: the range is not (any more) a registered one. */
int uffd_register(int fd, enum vfs_mode mode, uintptr_t addr, size_t len);
/* Write-protects [addr, addr+len), present or not; no store lands there from the
 * return of this until the next un-arm. */
int uffd_arm(int fd, uintptr_t addr, size_t len);
int uffd_unarm(int fd, uintptr_t addr, size_t len); /* wakes that range */
/* Inserts a page, armed; EEXIST: one is there already. */
int uffd_copy(int fd, uintptr_t addr, const void *page);
/* FULL: maps present pages, armed. *done: bytes mapped, also on failure. EEXIST: the
 * next one is mapped already; EFAULT: it is not in the file. */
int uffd_continue(int fd, uintptr_t addr, size_t len, size_t *done);
void uffd_wake(int fd, uintptr_t addr, size_t len);

#endif
