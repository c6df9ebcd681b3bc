/* The kernel as the source of faults: mappings of memfds that a userfaultfd watches.
 * A page that cannot be had is covered by a page of an empty memfd, which makes a
 * genuine SIGBUS with the exact address for whoever touches it. Stateless but for its
 * descriptors; what must not fail ends the process, since the alternatives are pages
 * that show garbage or stores without an author. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vfs-emu/source.h"
#include "vfs-emu/uffd.h"

enum { BATCH = 16, WAIT_MAX_MS = 60000 };

struct kernel {
	struct vfs_source base;
	struct rx_env *env;
	int uffd, wake_fd;
	int empty_memfd; /* of size 0: every access to a mapping of it is a SIGBUS */
};

static struct kernel *kernel_of(struct vfs_source *s)
{
	return (struct kernel *)s; /* base is its first member */
}

/* ---- mappings ---- */

static void *map(struct vfs_source *s, int memfd, size_t len, int prot, uint64_t off, int *error)
{
	void *addr = mmap(NULL, len, prot, MAP_SHARED, memfd, (off_t)off);

	if (addr == MAP_FAILED) {
		*error = errno;
		return NULL;
	}
	/* A child's stores would land in the shared pages without any message. */
	*error = madvise(addr, len, MADV_DONTFORK) == 0 ? 0 : errno;
	if (*error == 0)
		*error = uffd_register(kernel_of(s)->uffd, s->mode, (uintptr_t)addr, len);
	if (*error == 0)
		return addr;
	munmap(addr, len);
	return NULL;
}

static void unmap(struct vfs_source *s, uintptr_t addr, size_t len)
{
	munmap((void *)addr, len);
	/* Without this, threads that wait for a page there sleep for ever. */
	uffd_wake(kernel_of(s)->uffd, addr, len);
}

static int arm(struct vfs_source *s, uintptr_t addr, size_t len)
{
	return uffd_arm(kernel_of(s)->uffd, addr, len);
}

static int unarm(struct vfs_source *s, uintptr_t addr, size_t len)
{
	return uffd_unarm(kernel_of(s)->uffd, addr, len);
}

static int present(struct vfs_source *s, uintptr_t addr, size_t len, size_t *done)
{
	return uffd_continue(kernel_of(s)->uffd, addr, len, done);
}

static void wake(struct vfs_source *s, uintptr_t addr, size_t len)
{
	uffd_wake(kernel_of(s)->uffd, addr, len);
}

static void zap(struct vfs_source *s, uintptr_t addr, size_t len)
{
	(void)s;
	if (madvise((void *)addr, len, MADV_DONTNEED) != 0 && errno != ENOMEM)
		abort(); /* stale pages would stay visible */
}

/* ---- refusals ---- */

static void cover(struct vfs_source *s, uintptr_t addr, int prot)
{
	if (mmap((void *)addr, CM_PAGE, prot, MAP_SHARED | MAP_FIXED, kernel_of(s)->empty_memfd, 0) == MAP_FAILED)
		abort(); /* the thread can be neither served nor refused */
	uffd_wake(kernel_of(s)->uffd, addr, CM_PAGE);
}

/* The real page comes back behind PROT_NONE, so that nobody gets at it before it is
 * watched and armed. */
static void uncover(struct vfs_source *s, uintptr_t addr, int prot, int memfd, uint64_t off)
{
	int uffd = kernel_of(s)->uffd;
	void *p = mmap((void *)addr, CM_PAGE, PROT_NONE, MAP_SHARED | MAP_FIXED, memfd, (off_t)off);

	if (p == MAP_FAILED || madvise(p, CM_PAGE, MADV_DONTFORK) != 0 ||
	    uffd_register(uffd, s->mode, addr, CM_PAGE) != 0 ||
	    (s->mode == VFS_MODE_BASIC && uffd_arm(uffd, addr, CM_PAGE) != 0) || mprotect(p, CM_PAGE, prot) != 0)
		abort(); /* an unwatched page would hand out zeros and swallow stores */
}

/* Blocked or ignored: a signal of ours would not end its wait. */
static bool deaf_to_sigbus(int tid)
{
	unsigned long long mask;
	bool deaf = false;
	char line[128];
	FILE *f;

	snprintf(line, sizeof(line), "/proc/self/task/%d/status", tid);
	f = fopen(line, "re");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "SigBlk: %llx", &mask) == 1 || sscanf(line, "SigIgn: %llx", &mask) == 1)
			deaf = deaf || (mask >> (SIGBUS - 1) & 1);
	fclose(f);
	return deaf;
}

static bool refuse(struct vfs_source *s, uintptr_t addr, int tid)
{
	siginfo_t info;

	if (deaf_to_sigbus(tid))
		return false;
	memset(&info, 0, sizeof(info));
	info.si_signo = SIGBUS;
	info.si_code = SI_QUEUE; /* the kernel lets nobody claim its own codes for another thread */
	info.si_addr = (void *)addr;
	if (syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, SIGBUS, &info) != 0)
		uffd_wake(kernel_of(s)->uffd, addr & ~(uintptr_t)(CM_PAGE - 1), CM_PAGE); /* it is gone */
	return true;
}

/* ---- content ---- */

static void punch(struct vfs_source *s, int memfd, uint64_t off, uint64_t len)
{
	(void)s;
	if (fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len) != 0)
		abort(); /* killed bytes that stay visible would be worse than no process */
}

static void resize(struct vfs_source *s, int memfd, uint64_t size)
{
	(void)s;
	if (ftruncate(memfd, (off_t)size) != 0)
		abort(); /* a size that pages and kernel disagree about hands out zeros */
}

/* ---- messages ---- */

static int timeout_ms(const struct kernel *k, uint64_t deadline_us)
{
	uint64_t now = rx_now_us(k->env), ms;

	if (deadline_us == UINT64_MAX)
		return -1;
	ms = deadline_us > now ? (deadline_us - now + 999) / 1000 : 0;
	return ms < WAIT_MAX_MS ? (int)ms : WAIT_MAX_MS;
}

static unsigned messages(const struct kernel *k, struct vfs_message *out, unsigned cap)
{
	struct uffd_msg msgs[BATCH];
	ssize_t n = read(k->uffd, msgs, sizeof(msgs[0]) * (cap < BATCH ? cap : BATCH));
	unsigned used = 0;

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		abort(); /* faults that nobody answers: better no process than zeros */
	for (ssize_t i = 0; i < n / (ssize_t)sizeof(msgs[0]); i++) {
		if (msgs[i].event != UFFD_EVENT_PAGEFAULT)
			continue;
		out[used++] = (struct vfs_message){
			.addr = (uintptr_t)msgs[i].arg.pagefault.address,
			.store = msgs[i].arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP,
			.tid = (int)msgs[i].arg.pagefault.feat.ptid,
		};
	}
	return used;
}

static unsigned wait_messages(struct vfs_source *s, uint64_t deadline_us, struct vfs_message *out, unsigned cap)
{
	struct kernel *k = kernel_of(s);
	struct pollfd fds[2] = { { .fd = k->uffd, .events = POLLIN }, { .fd = k->wake_fd, .events = POLLIN } };
	unsigned n = 0;
	uint64_t drain;

	if (poll(fds, 2, timeout_ms(k, deadline_us)) < 0) {
		if (errno != EINTR)
			abort();
		return 0;
	}
	if (fds[0].revents)
		n = messages(k, out, cap);
	if (fds[1].revents && read(k->wake_fd, &drain, sizeof(drain)) < 0 && errno != EAGAIN)
		abort();
	return n;
}

static void poke(struct vfs_source *s)
{
	uint64_t one = 1;

	if (write(kernel_of(s)->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		abort(); /* a deadline nobody looks at is a hang */
}

/* ---- life ---- */

static void kernel_free(struct vfs_source *s)
{
	struct kernel *k = kernel_of(s);

	if (k->uffd >= 0)
		close(k->uffd);
	if (k->wake_fd >= 0)
		close(k->wake_fd);
	if (k->empty_memfd >= 0)
		close(k->empty_memfd);
	free(k);
}

static const struct vfs_source_ops ops = {
	.free = kernel_free,
	.map = map,
	.unmap = unmap,
	.arm = arm,
	.unarm = unarm,
	.present = present,
	.wake = wake,
	.zap = zap,
	.cover = cover,
	.uncover = uncover,
	.refuse = refuse,
	.punch = punch,
	.resize = resize,
	.wait = wait_messages,
	.poke = poke,
};

struct vfs_source *vfs_source_kernel(struct rx_env *env, bool privileged, enum vfs_mode mode, struct rx_error *err)
{
	struct kernel *k = calloc(1, sizeof(*k));

	if (!k) {
		rx_error_errno(err, ENOMEM, "cannot start");
		return NULL;
	}
	k->base = (struct vfs_source){ .ops = &ops, .mode = mode };
	k->env = env;
	k->wake_fd = k->empty_memfd = -1;
	k->uffd = uffd_open(privileged, &k->base.mode, err);
	if (k->uffd < 0)
		goto fail;
	k->empty_memfd = memfd_create("umafs-sigbus", MFD_CLOEXEC);
	k->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (k->empty_memfd < 0 || k->wake_fd < 0) {
		rx_error_errno(err, errno, "cannot make the descriptors that page faults need");
		goto fail;
	}
	return &k->base;
fail:
	kernel_free(&k->base);
	return NULL;
}
