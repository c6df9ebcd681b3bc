/* userfaultfd: probing and ioctls. A userfaultfd that has told its features is spent,
 * so probing and opening use two. FULL needs CONTINUE with write protection, which has
 * no feature bit: it is tried on a memfd page. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vfs-emu/uffd.h"

#define NEEDED                                                                                                         \
	((uint64_t)(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_THREAD_ID |             \
		    UFFD_FEATURE_EXACT_ADDRESS | UFFD_FEATURE_WP_HUGETLBFS_SHMEM))
#define WANTED_FULL ((uint64_t)UFFD_FEATURE_MINOR_SHMEM)

static int open_fd(bool privileged)
{
	int dev, fd;

	if (!privileged)
		return (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (dev < 0)
		return (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	fd = ioctl(dev, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	close(dev);
	return fd;
}

static int handshake(int fd, uint64_t features, uint64_t *have)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };

	if (ioctl(fd, UFFDIO_API, &api) != 0)
		return -1;
	if (have)
		*have = api.features;
	return 0;
}

/* Maps a present page armed; a kernel that knows no MODE_WP answers EINVAL. */
static bool try_continue(int fd)
{
	int memfd = memfd_create("umafs-probe", MFD_CLOEXEC);
	bool works = false;
	size_t done;
	void *p;

	if (memfd < 0)
		return false;
	if (ftruncate(memfd, CM_PAGE) != 0 || pwrite(memfd, "x", 1, 0) != 1)
		goto out;
	p = mmap(NULL, CM_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (p == MAP_FAILED)
		goto out;
	works = uffd_register(fd, VFS_MODE_FULL, (uintptr_t)p, CM_PAGE) == 0 &&
		uffd_continue(fd, (uintptr_t)p, CM_PAGE, &done) == 0;
	munmap(p, CM_PAGE);
out:
	close(memfd);
	return works;
}

static int cannot_open(bool privileged, int error, struct rx_error *err)
{
	if (error == ENOSYS)
		return rx_error_set(err, RX_ORIGIN_ERRNO, error, error,
				    "this kernel has no userfaultfd, or a seccomp profile hides it: mapping files "
				    "needs Linux 5.19 and a container profile that allows userfaultfd");
	if (error == EPERM && !privileged)
		return rx_error_set(err, RX_ORIGIN_ERRNO, error, error,
				    "userfaultfd is forbidden here, probably by a seccomp profile of the container: "
				    "allow the userfaultfd system call");
	if (error == EPERM || error == EACCES)
		return rx_error_set(err, RX_ORIGIN_ERRNO, error, error,
				    "catching faults of the kernel needs read-write access to /dev/userfaultfd or "
				    "CAP_SYS_PTRACE; without it use the unprivileged mode");
	return rx_error_errno(err, error, "cannot open a userfaultfd");
}

static int lacking(uint64_t have, struct rx_error *err)
{
	if (!(have & UFFD_FEATURE_WP_HUGETLBFS_SHMEM))
		return rx_error_set(err, RX_ORIGIN_ERRNO, ENOTSUP, ENOTSUP,
				    "this kernel's userfaultfd cannot write-protect file memory: mapping files needs "
				    "Linux 5.19 (x86-64) or 6.10 (arm64)");
	return rx_error_set(err, RX_ORIGIN_ERRNO, ENOTSUP, ENOTSUP,
			    "this kernel's userfaultfd lacks features (has 0x%llx, needs 0x%llx): Linux 5.19 has them",
			    (unsigned long long)have, (unsigned long long)NEEDED);
}

int uffd_open(bool privileged, enum vfs_mode *mode, struct rx_error *err)
{
	uint64_t have, want = NEEDED;
	int fd = open_fd(privileged);

	if (fd < 0)
		return cannot_open(privileged, errno, err);
	if (handshake(fd, 0, &have) != 0) {
		rx_error_errno(err, errno, "cannot ask userfaultfd for its features");
		close(fd);
		return -1;
	}
	close(fd);
	if ((have & NEEDED) != NEEDED)
		return lacking(have, err);
	if (*mode != VFS_MODE_BASIC && (have & WANTED_FULL))
		want |= WANTED_FULL;
	fd = open_fd(privileged);
	if (fd < 0)
		return cannot_open(privileged, errno, err);
	if (handshake(fd, want, NULL) != 0) {
		rx_error_errno(err, errno, "cannot set up userfaultfd with features 0x%llx", (unsigned long long)want);
		goto fail;
	}
	if (*mode == VFS_MODE_AUTO)
		*mode = (want & WANTED_FULL) && try_continue(fd) ? VFS_MODE_FULL : VFS_MODE_BASIC;
	else if (*mode == VFS_MODE_FULL && !((want & WANTED_FULL) && try_continue(fd))) {
		rx_error_set(err, RX_ORIGIN_ERRNO, ENOTSUP, ENOTSUP,
			     "this kernel's userfaultfd cannot map present pages write-protected: full mode needs "
			     "Linux 6.4, basic mode works");
		goto fail;
	}
	return fd;
fail:
	close(fd);
	return -1;
}

int uffd_register(int fd, enum vfs_mode mode, uintptr_t addr, size_t len)
{
	struct uffdio_register reg = {
		.range = { .start = addr, .len = len },
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};

	if (mode == VFS_MODE_FULL)
		reg.mode |= UFFDIO_REGISTER_MODE_MINOR;
	return ioctl(fd, UFFDIO_REGISTER, &reg) == 0 ? 0 : errno;
}

static int writeprotect(int fd, uintptr_t addr, size_t len, uint64_t mode)
{
	struct uffdio_writeprotect wp = { .range = { .start = addr, .len = len }, .mode = mode };

	while (ioctl(fd, UFFDIO_WRITEPROTECT, &wp) != 0)
		if (errno != EAGAIN)
			return errno;
	return 0;
}

int uffd_arm(int fd, uintptr_t addr, size_t len)
{
	return writeprotect(fd, addr, len, UFFDIO_WRITEPROTECT_MODE_WP);
}

int uffd_unarm(int fd, uintptr_t addr, size_t len)
{
	return writeprotect(fd, addr, len, 0);
}

int uffd_copy(int fd, uintptr_t addr, const void *page)
{
	struct uffdio_copy copy;

	do {
		copy = (struct uffdio_copy){
			.dst = addr,
			.src = (uintptr_t)page,
			.len = CM_PAGE,
			.mode = UFFDIO_COPY_MODE_WP,
		};
		if (ioctl(fd, UFFDIO_COPY, &copy) == 0)
			return 0;
	} while (errno == EAGAIN && copy.copy != -EEXIST);
	return errno == EAGAIN ? EEXIST : errno;
}

int uffd_continue(int fd, uintptr_t addr, size_t len, size_t *done)
{
	struct uffdio_continue cont;

	for (*done = 0; *done < len;) {
		cont = (struct uffdio_continue){
			.range = { .start = addr + *done, .len = len - *done },
			.mode = UFFDIO_CONTINUE_MODE_WP,
		};
		if (ioctl(fd, UFFDIO_CONTINUE, &cont) == 0)
			cont.mapped = (int64_t)(len - *done);
		else if (errno != EAGAIN)
			return errno;
		if (cont.mapped > 0)
			*done += (size_t)cont.mapped;
	}
	return 0;
}

void uffd_wake(int fd, uintptr_t addr, size_t len)
{
	struct uffdio_range range = { .start = addr, .len = len };

	ioctl(fd, UFFDIO_WAKE, &range);
}
