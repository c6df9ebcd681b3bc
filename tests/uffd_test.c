/* userfaultfd alone: the facts that the page room builds on, on the kernel at hand. */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>

#include "tests/vfs_world.h"
#include "vfs-emu/uffd.h"

enum { PAGE = CM_PAGE };

struct range {
	int uffd, memfd;
	volatile uint8_t *p, *q; /* two mappings of one page */
};

static bool range_new(struct range *r, enum vfs_mode mode)
{
	struct rx_error err;

	catch_signals();
	r->uffd = uffd_open(false, &mode, &err);
	if (r->uffd < 0) {
		unit_skip(err.text);
		return false;
	}
	r->memfd = memfd_create("uffd_test", MFD_CLOEXEC);
	CU_ASSERT_EQUAL_FATAL(ftruncate(r->memfd, PAGE), 0);
	r->p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, r->memfd, 0);
	r->q = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, r->memfd, 0);
	CU_ASSERT_EQUAL_FATAL(uffd_register(r->uffd, mode, (uintptr_t)r->p, PAGE), 0);
	CU_ASSERT_EQUAL_FATAL(uffd_register(r->uffd, mode, (uintptr_t)r->q, PAGE), 0);
	return true;
}

static void range_free(struct range *r)
{
	munmap((void *)r->p, PAGE);
	munmap((void *)r->q, PAGE);
	close(r->memfd);
	close(r->uffd);
}

static struct uffd_msg message(const struct range *r)
{
	struct pollfd fd = { .fd = r->uffd, .events = POLLIN };
	struct uffd_msg msg = { 0 };

	poll(&fd, 1, -1);
	CU_ASSERT_FATAL(read(r->uffd, &msg, sizeof(msg)) == (ssize_t)sizeof(msg));
	return msg;
}

static void test_probe(void)
{
	enum vfs_mode mode = VFS_MODE_AUTO;
	struct rx_error err;

	if (vfs_probe(false, &mode, &err) != 0) {
		unit_skip(err.text);
		return;
	}
	CU_ASSERT(mode == VFS_MODE_FULL || mode == VFS_MODE_BASIC);
	printf("(%s) ", vfs_mode_name(mode));
}

VFS_TEST(copy_inserts_armed)
{
	uint8_t page[PAGE] = { 42 };
	struct uffd_msg msg;
	struct task t;
	struct range r;

	if (!range_new(&r, mode))
		return;
	task_load(&t, r.p + 7);
	msg = message(&r);
	CU_ASSERT_EQUAL(msg.arg.pagefault.address & ~(uint64_t)(PAGE - 1), (uintptr_t)r.p);
	CU_ASSERT_EQUAL((int)msg.arg.pagefault.feat.ptid, __atomic_load_n(&t.tid, __ATOMIC_ACQUIRE));
	page[7] = 43;
	CU_ASSERT_EQUAL(uffd_copy(r.uffd, (uintptr_t)r.p, page), 0);
	CU_ASSERT_EQUAL(task_wait(&t), 43);
	CU_ASSERT_EQUAL(mapped(r.p), 'r');
	CU_ASSERT_EQUAL(uffd_copy(r.uffd, (uintptr_t)r.p, page), EEXIST);
	task_store(&t, r.p, 1);
	msg = message(&r);
	CU_ASSERT(msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP);
	CU_ASSERT_EQUAL(uffd_unarm(r.uffd, (uintptr_t)r.p, PAGE), 0);
	CU_ASSERT_EQUAL(task_wait(&t), 0);
	CU_ASSERT_EQUAL(mapped(r.p), 'w');
	CU_ASSERT_EQUAL(uffd_arm(r.uffd, (uintptr_t)r.p, PAGE), 0);
	CU_ASSERT_EQUAL(mapped(r.p), 'r');
	range_free(&r);
}

/* FULL gives a message for a present page that is not mapped here; BASIC maps it, armed
 * only because it was armed before. */
VFS_TEST(present_page)
{
	uint8_t page[PAGE] = { 42 };
	struct uffd_msg msg;
	size_t done;
	struct task t;
	struct range r;

	if (!range_new(&r, mode))
		return;
	CU_ASSERT_EQUAL(uffd_arm(r.uffd, (uintptr_t)r.q, PAGE), 0);
	CU_ASSERT_EQUAL(pwrite(r.memfd, page, PAGE, 0), PAGE);
	task_load(&t, r.q);
	if (mode == VFS_MODE_FULL) {
		msg = message(&r);
		CU_ASSERT(msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_MINOR);
		CU_ASSERT_EQUAL(uffd_continue(r.uffd, (uintptr_t)r.q, PAGE, &done), 0);
		CU_ASSERT_EQUAL(done, PAGE);
	}
	CU_ASSERT_EQUAL(task_wait(&t), 42);
	CU_ASSERT_EQUAL(mapped(r.q), 'r');
	if (mode == VFS_MODE_FULL)
		CU_ASSERT_EQUAL(uffd_continue(r.uffd, (uintptr_t)r.q, PAGE, &done), EEXIST);
	range_free(&r);
}

/* The negative control of "arm, then punch": where a mapping was not armed, BASIC lets a
 * store into the refilled page pass without a message, and the oracle sees it ('w'). */
VFS_TEST(unarmed_at_punch)
{
	uint8_t page[PAGE] = { 42 };
	struct uffd_msg msg;
	struct task t;
	struct range r;

	if (!range_new(&r, mode))
		return;
	for (int armed = 0; armed < 2; armed++) {
		CU_ASSERT_EQUAL(uffd_copy(r.uffd, (uintptr_t)r.p, page), 0);
		CU_ASSERT_EQUAL(uffd_unarm(r.uffd, (uintptr_t)r.p, PAGE), 0);
		if (armed)
			CU_ASSERT_EQUAL(uffd_arm(r.uffd, (uintptr_t)r.p, PAGE), 0);
		CU_ASSERT_EQUAL(fallocate(r.memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE), 0);
		CU_ASSERT_EQUAL(pwrite(r.memfd, page, PAGE, 0), PAGE);
		task_store(&t, r.p, 1);
		if (armed || mode == VFS_MODE_FULL) {
			msg = message(&r);
			CU_ASSERT(msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE);
			uffd_wake(r.uffd, (uintptr_t)r.p, PAGE);
			munmap((void *)r.p, PAGE); /* let it end */
			uffd_wake(r.uffd, (uintptr_t)r.p, PAGE);
			CU_ASSERT_EQUAL(task_wait(&t), -1);
			r.p = mmap((void *)r.p, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, r.memfd, 0);
			CU_ASSERT_EQUAL(uffd_register(r.uffd, mode, (uintptr_t)r.p, PAGE), 0);
		} else {
			CU_ASSERT_EQUAL(task_wait(&t), 0);
			CU_ASSERT_EQUAL(mapped(r.p), 'w');
		}
		CU_ASSERT_EQUAL(fallocate(r.memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE), 0);
	}
	range_free(&r);
}

VFS_TEST(gone_ranges)
{
	struct range r;
	size_t done;

	if (!range_new(&r, mode))
		return;
	munmap((void *)r.q, PAGE);
	CU_ASSERT_EQUAL(uffd_arm(r.uffd, (uintptr_t)r.q, PAGE), ENOENT);
	if (mode == VFS_MODE_FULL) {
		CU_ASSERT_EQUAL(uffd_continue(r.uffd, (uintptr_t)r.q, PAGE, &done), ENOENT);
		CU_ASSERT_EQUAL(uffd_continue(r.uffd, (uintptr_t)r.p, PAGE, &done), EFAULT);
	}
	uffd_wake(r.uffd, (uintptr_t)r.q, PAGE);
	range_free(&r);
}

VFS_TEST(forced_by_environment)
{
	struct vfs_config config = { .mode = VFS_MODE_AUTO };
	struct rx_error err;
	struct vfs *vfs;

	config.cm = fake_new();
	setenv("UMAFS_UFFD_MODE", vfs_mode_name(mode), 1);
	vfs = vfs_new(&config, &err);
	if (!vfs)
		unit_skip(err.text);
	CU_ASSERT(!vfs || vfs_mode(vfs) == mode);
	vfs_free(vfs);
	setenv("UMAFS_UFFD_MODE", "fast", 1);
	CU_ASSERT(!vfs_new(&config, &err) && err.errnum == EINVAL && strstr(err.text, "fast"));
	unsetenv("UMAFS_UFFD_MODE");
	fake_free(config.cm);
}

UNIT_MAIN("uffd", { "probing says what this kernel can do", test_probe },
	  VFS_BOTH(5.3, copy_inserts_armed, "COPY inserts armed and wakes; a second one is EEXIST; WP is seen"),
	  VFS_BOTH(4.1, present_page, "a page that came another way: FULL asks, BASIC keeps the marker"),
	  VFS_BOTH(59, unarmed_at_punch, "punched without arming: BASIC misses the next store, and that is seen"),
	  VFS_BOTH(5.3, gone_ranges, "ioctls on unmapped ranges say ENOENT, on holes EFAULT"),
	  VFS_BOTH(5.2, forced_by_environment, "UMAFS_UFFD_MODE forces the mode; nonsense is refused"))
