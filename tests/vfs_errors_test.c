/* What a refusal does, to whom it is told, and what does not happen to the innocent. */
#include "tests/vfs_world.h"

enum { PAGE = CM_PAGE };

static void killed_with(enum vfs_mode mode, int32_t code, int errnum)
{
	struct fake_event event;
	struct rx_error err;
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	world_map(&w, &w.r, PROT_READ, PAGE);
	CU_ASSERT_EQUAL(store(w.a.map, 245), 0);
	CU_ASSERT_EQUAL(load(w.r.map), 245);
	fake_refuse(w.cm, FAKE_STORE, w.a.token, code, 1);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, &err), -1);
	CU_ASSERT(err.errnum == errnum && err.code == code && err.origin == RX_ORIGIN_AFS);
	CHECK_PAGE(&w, 0, .maps = "---");
	CU_ASSERT_EQUAL(load(w.r.map), fake_byte(0));
	CU_ASSERT(fake_events(w.cm, &event, 1) == 1 && event.kind == CM_EVENT_KILLED && event.errnum == errnum);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, &err), 0);
	world_free(&w);
}

VFS_TEST(eacces)
{
	killed_with(mode, 13, EACCES);
}

VFS_TEST(eperm)
{
	killed_with(mode, 1, EPERM);
}

VFS_TEST(uae_codes)
{
	killed_with(mode, 49733376 + 12, EACCES);
	killed_with(mode, 49733376, EPERM);
}

VFS_TEST(quota)
{
	enum { VOVERQUOTA = 109 };
	uint8_t on_server;
	struct rx_error err;
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	CU_ASSERT_EQUAL(store(w.a.map, 245), 0);
	fake_refuse(w.cm, FAKE_STORE, w.a.token, VOVERQUOTA, 2);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT(vfs_fsync(w.a.file, &err) == -1 && err.errnum == EDQUOT);
		CHECK_PAGE(&w, 0, .u = true, .d = true, .bound = &w.a, .state = CM_RECORD_PENDING, .maps = "r--");
		CU_ASSERT_EQUAL(load(w.a.map), 245);
	}
	CU_ASSERT_EQUAL(store(w.a.map + 1, 246), 0);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, &err), 0);
	fake_server_read(w.vnode, 1, &on_server, 1);
	CU_ASSERT_EQUAL(on_server, 246);
	CU_ASSERT_EQUAL(fake_events(w.cm, NULL, 0), 0);
	world_free(&w);
}

/* Not in the catalogue by number: variant 1.3.2, and the deadline of 27 with a short one. */
VFS_TEST(conflict_timeout)
{
	struct rx_error err;
	struct world w;

	if (!world_new_timeout(&w, mode, PAGE, 30))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, PAGE);
	CU_ASSERT_EQUAL(store(w.a.map, 245), 0);
	fake_refuse(w.cm, FAKE_STORE, w.a.token, 106, 1); /* VOFFLINE */
	CU_ASSERT_EQUAL(store(w.b.map, 246), -1);
	CU_ASSERT_EQUAL(access_signal(), SIGBUS);
	CU_ASSERT(vfs_pwrite(w.b.file, "x", 1, 0, &err) == -1 && err.errnum == ETIMEDOUT);
	CU_ASSERT_EQUAL(load(w.a.map), 245);
	CU_ASSERT_EQUAL(vfs_fsync(w.b.file, &err), 0);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, &err), 0);
	CU_ASSERT_EQUAL(fake_events(w.cm, NULL, 0), 0);
	world_free(&w);
}

VFS_TEST(b_without_right)
{
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, PAGE);
	CU_ASSERT_EQUAL(store(w.a.map, 245), 0);
	CU_ASSERT_EQUAL(load(w.b.map), 245);
	fake_set_rights(w.b.token, CM_RIGHT_READ);
	cm_forget_rights(w.vnode, w.b.token);
	CU_ASSERT_EQUAL(store(w.b.map, 246), -1);
	CU_ASSERT_EQUAL(access_signal(), SIGBUS);
	CU_ASSERT_PTR_EQUAL(access_address(), (void *)w.b.map);
	CHECK_PAGE(&w, 0, .u = true, .d = true, .bound = &w.a, .state = CM_RECORD_PENDING, .maps = "wr-");
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_STORE, NULL), 0);
	CU_ASSERT_EQUAL(vfs_pwrite(w.b.file, "x", 1, 0, NULL), -1);
	CHECK_PAGE(&w, 0, .u = true, .d = true, .bound = &w.a, .state = CM_RECORD_PENDING, .maps = "wr-");
	world_free(&w);
}

VFS_TEST(right_restored)
{
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	CU_ASSERT_EQUAL(store(w.a.map, 245), 0);
	fake_set_rights(w.a.token, CM_RIGHT_READ);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), -1);
	CU_ASSERT_EQUAL(store(w.a.map, 246), -1);
	fake_set_rights(w.a.token, CM_RIGHT_READ | CM_RIGHT_WRITE);
	CU_ASSERT_EQUAL(store(w.a.map, 247), 0);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
	CU_ASSERT_EQUAL(fake_server_version(w.vnode), 8);
	world_free(&w);
}

VFS_TEST(error_to_the_right_one)
{
	struct vfs_file *later, *last;
	struct rx_error err;
	struct world w;

	if (!world_new(&w, mode, 2 * PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, 2 * PAGE);
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, 2 * PAGE);
	CU_ASSERT_EQUAL(store(w.a.map, 245), 0);
	CU_ASSERT_EQUAL(store(w.b.map + PAGE, 245), 0);
	fake_refuse(w.cm, FAKE_STORE, w.a.token, EACCES, 1);
	CU_ASSERT_EQUAL(store(w.b.map, 246), 0); /* kills A's */
	CU_ASSERT_EQUAL(vfs_open(w.vfs, w.vnode, w.a.token, true, &later, NULL), 0);
	CU_ASSERT_EQUAL(vfs_fsync(w.b.file, &err), 0);
	CU_ASSERT(vfs_fsync(w.a.file, &err) == -1 && err.errnum == EACCES);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, &err), 0);
	CU_ASSERT(vfs_fsync(later, &err) == -1 && err.errnum == EACCES); /* opened before anybody had seen it */
	CU_ASSERT_EQUAL(vfs_fsync(later, &err), 0);
	CU_ASSERT_EQUAL(vfs_open(w.vfs, w.vnode, w.a.token, true, &last, NULL), 0);
	CU_ASSERT_EQUAL(vfs_close(last, &err), 0);
	CU_ASSERT_EQUAL(vfs_close(later, &err), 0);
	world_free(&w);
}

UNIT_MAIN("vfs errors", VFS_BOTH(19, eacces, "refused with 13: killed, told once, errno kept"),
	  VFS_BOTH(20, eperm, "refused with 1: killed, told once, errno kept"),
	  VFS_BOTH(21, uae_codes, "refused with UAEACCES and UAEPERM: as with 13 and 1"),
	  VFS_BOTH(24, quota, "over quota: stays dirty, told per attempt, stored when there is room"),
	  VFS_BOTH(27, conflict_timeout, "the volume is off line: B gives up, A's data stays and is stored later"),
	  VFS_BOTH(37, b_without_right, "B may not write: SIGBUS for B, A's record untouched, no RPC"),
	  VFS_BOTH(38, right_restored, "A was killed and is allowed again: stores without ado"),
	  VFS_BOTH(40, error_to_the_right_one, "A's loss is told to A's handles once each, never to B"))
