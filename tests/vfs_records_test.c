/* Writeback records seen from above: which pages and bytes go to the server together,
 * and what a refusal takes along. */
#include "tests/vfs_world.h"

enum { PAGE = CM_PAGE };

static void store_page(volatile uint8_t *map, uint64_t index, uint8_t value)
{
	for (size_t i = 0; i < PAGE; i++)
		CU_ASSERT_EQUAL_FATAL(store(map + index * PAGE + i, value), 0);
}

VFS_TEST(append_prepend_coalesce)
{
	static const uint64_t order[] = { 2, 3, 1, 4 };
	struct cm_record_view r;
	struct fake_rpc rpc;
	struct world w;

	if (!world_new(&w, mode, 6 * PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, 6 * PAGE);
	for (size_t i = 0; i < 4; i++)
		store_page(w.a.map, order[i], 250);
	CU_ASSERT_EQUAL(fake_records(w.vnode, &r, 1), 1);
	CU_ASSERT(r.first == 1 && r.last == 4);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
	CU_ASSERT(fake_nth(w.cm, FAKE_STORE, 0, &rpc) && rpc.off == PAGE && rpc.len == 4 * PAGE);
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_STORE, NULL), 1);
	world_free(&w);
}

VFS_TEST(append_gap)
{
	static const uint8_t bytes[100] = { 1 };
	struct fake_rpc rpc;
	struct world w;

	if (!world_new(&w, mode, 2 * PAGE))
		return;
	CU_ASSERT_EQUAL(vfs_pwrite(w.a.file, bytes, 100, 0, NULL), 100);
	CU_ASSERT_EQUAL(vfs_pwrite(w.a.file, bytes, 100, PAGE + 200, NULL), 100);
	CU_ASSERT_EQUAL(fake_records(w.vnode, NULL, 0), 2);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
	CU_ASSERT(fake_nth(w.cm, FAKE_STORE, 0, &rpc) && rpc.off == 0 && rpc.len == 100);
	CU_ASSERT(fake_nth(w.cm, FAKE_STORE, 1, &rpc) && rpc.off == PAGE + 200 && rpc.len == 100);
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_STORE, NULL), 2);
	world_free(&w);
}

VFS_TEST(hull_in_page)
{
	static const uint8_t bytes[10] = { 255, 255, 255, 255, 255, 255, 255, 255, 255, 255 };
	uint8_t on_server[112];
	struct world w;
	bool same = true;

	if (!world_new(&w, mode, PAGE))
		return;
	CU_ASSERT_EQUAL(vfs_pwrite(w.a.file, bytes, 10, 0, NULL), 10);
	CU_ASSERT_EQUAL(vfs_pwrite(w.a.file, bytes, 10, 100, NULL), 10);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
	fake_server_read(w.vnode, 0, on_server, sizeof(on_server));
	for (size_t i = 0; i < sizeof(on_server); i++)
		same = same && on_server[i] == (i < 10 || (i >= 100 && i < 110) ? 255 : fake_byte(i));
	CU_ASSERT(same);
	CU_ASSERT_EQUAL(fake_server_size(w.vnode), PAGE);
	world_free(&w);
}

VFS_TEST(rec_max)
{
	enum { PAGES = 600 };
	struct cm_record_view r[4];
	struct fake_rpc rpc;
	struct rx_error err;
	struct world w;

	if (!world_new(&w, mode, PAGES * PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGES * PAGE);
	for (uint64_t i = 0; i < PAGES; i++) {
		CU_ASSERT_EQUAL_FATAL(store(w.a.map + i * PAGE, 251), 0);
		CU_ASSERT_EQUAL_FATAL(store(w.a.map + i * PAGE + PAGE - 1, 252), 0);
	}
	CU_ASSERT_EQUAL_FATAL(fake_records(w.vnode, r, 4), 3);
	CU_ASSERT(r[0].last == 255 && r[1].last == 511 && r[2].last == 599);
	fake_block(w.cm, FAKE_STORE, NULL);
	cm_flush_start(w.vnode, NULL, PAGE * 256, PAGE * 257);
	fake_wait_blocked(w.cm, FAKE_STORE, 1);
	fake_refuse(w.cm, FAKE_STORE, NULL, EACCES, 1); /* for the one that waits: the middle */
	fake_release(w.cm, FAKE_STORE);
	fake_idle(w.cm);
	CU_ASSERT(vfs_fsync(w.a.file, &err) == -1 && err.errnum == EACCES);
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_STORE, NULL), 3);
	CU_ASSERT(fake_nth(w.cm, FAKE_STORE, 0, &rpc) && rpc.off == 256 * PAGE && rpc.len == 256 * PAGE);
	CHECK_PAGE(&w, 255, .u = true, .maps = "r--");
	CHECK_PAGE(&w, 256, .maps = "---");
	CHECK_PAGE(&w, 511, .maps = "---");
	CHECK_PAGE(&w, 512, .u = true, .maps = "r--");
	world_free(&w);
}

VFS_TEST(interleaved_tokens)
{
	struct cm_record_view r[6];
	struct fake_event event;
	struct rx_error err;
	struct world w;

	if (!world_new(&w, mode, 5 * PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, 5 * PAGE);
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, 5 * PAGE);
	for (uint64_t i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(store((i % 2 ? w.b.map : w.a.map) + i * PAGE, (uint8_t)(240 + i)), 0);
	CU_ASSERT_EQUAL_FATAL(fake_records(w.vnode, r, 6), 5);
	fake_refuse(w.cm, FAKE_STORE, w.a.token, EACCES, 1);
	CU_ASSERT(cm_flush(w.vnode, NULL, 2 * PAGE, 3 * PAGE, false, &err) == 0);
	CHECK_PAGE(&w, 2, .maps = "---");
	for (uint64_t i = 0; i < 5; i += i == 1 ? 2 : 1)
		CHECK_PAGE(&w, i, .u = true, .d = true, .bound = i % 2 ? &w.b : &w.a, .state = CM_RECORD_PENDING,
			   .maps = i % 2 ? ".w-" : "w.-");
	CU_ASSERT(fake_events(w.cm, &event, 1) == 1 && event.from == 2 * PAGE && event.to == 3 * PAGE);
	CU_ASSERT_EQUAL(vfs_fsync(w.b.file, &err), 0);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, &err), -1);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, &err), 0);
	world_free(&w);
}

VFS_TEST(kill_multi_page)
{
	struct world w;

	if (!world_new(&w, mode, 10 * PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, 10 * PAGE);
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, 10 * PAGE);
	for (uint64_t i = 0; i < 10; i++)
		CU_ASSERT_EQUAL(store((i < 6 ? w.a.map : w.b.map) + i * PAGE, 245), 0);
	fake_refuse(w.cm, FAKE_STORE, w.a.token, EACCES, 1);
	CU_ASSERT_EQUAL(store(w.b.map + 3 * PAGE + 1, 246), 0);
	CU_ASSERT_EQUAL(load(w.b.map + 3 * PAGE), fake_byte(3 * PAGE));
	for (uint64_t i = 0; i < 6; i++)
		if (i != 3)
			CHECK_PAGE(&w, i, .maps = "---");
	for (uint64_t i = 6; i < 10; i++) {
		CHECK_PAGE(&w, i, .u = true, .d = true, .bound = &w.b, .state = CM_RECORD_PENDING, .maps = ".w-");
		CU_ASSERT_EQUAL(load(w.b.map + i * PAGE), 245);
	}
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_STORE, NULL), 1);
	world_free(&w);
}

VFS_TEST(kill_range_trap)
{
	struct cm_record_view r[3];
	struct world w;

	if (!world_new(&w, mode, 6 * PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, 6 * PAGE);
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, 6 * PAGE);
	for (uint64_t i = 0; i < 6; i++)
		CU_ASSERT_EQUAL(store(w.a.map + i * PAGE, 245), 0);
	CU_ASSERT_EQUAL(vfs_truncate(w.c.file, 2 * PAGE, NULL), 0);
	CU_ASSERT_EQUAL(vfs_truncate(w.c.file, 6 * PAGE, NULL), 0);
	CU_ASSERT_EQUAL(store(w.b.map + 2 * PAGE, 246), 0);
	CU_ASSERT_EQUAL(load(w.b.map + 2 * PAGE + 1), 0);
	CU_ASSERT_EQUAL_FATAL(fake_records(w.vnode, r, 3), 2);
	CU_ASSERT(r[0].token == w.a.token && r[0].first == 0 && r[0].last == 1);
	fake_refuse(w.cm, FAKE_STORE, w.a.token, EACCES, 1);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), -1);
	CHECK_PAGE(&w, 1, .maps = "---");
	CHECK_PAGE(&w, 2, .u = true, .d = true, .bound = &w.b, .state = CM_RECORD_PENDING, .maps = ".w-");
	CU_ASSERT_EQUAL(load(w.a.map + 2 * PAGE), 246);
	world_free(&w);
}

VFS_TEST(no_join_after_conflict)
{
	struct cm_record_view r[3];
	struct task store_b;
	struct world w;

	if (!world_new(&w, mode, 2 * PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, 2 * PAGE);
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, 2 * PAGE);
	CU_ASSERT_EQUAL(store(w.a.map, 245), 0);
	CU_ASSERT_EQUAL(load(w.a.map + PAGE), fake_byte(PAGE));
	fake_block(w.cm, FAKE_STORE, w.a.token);
	task_store(&store_b, w.b.map, 246);
	fake_wait_blocked(w.cm, FAKE_STORE, 1);
	CU_ASSERT_EQUAL(store(w.a.map + PAGE, 247), 0);
	CU_ASSERT_EQUAL(fake_records(w.vnode, r, 3), 2);
	CU_ASSERT(r[0].last == 0 && r[1].first == 1 && r[1].state == CM_RECORD_PENDING);
	fake_release(w.cm, FAKE_STORE);
	CU_ASSERT_EQUAL(task_wait(&store_b), 0);
	world_free(&w);
}

UNIT_MAIN("vfs records", VFS_BOTH(11, append_prepend_coalesce, "pages 2, 3, 1, 4 stored in full: one record, one RPC"),
	  VFS_BOTH(12, append_gap, "two writes with a gap: two records, no byte of the gap is sent"),
	  VFS_BOTH(13, hull_in_page, "two writes in one page: the bytes between keep the server's value"),
	  VFS_BOTH(14, rec_max, "600 dirty pages: three records, three RPCs, each with its own verdict"),
	  VFS_BOTH(15, interleaved_tokens, "pages A B A B A: A's second is refused, only page 2 is killed"),
	  VFS_BOTH(16, kill_multi_page, "six pages of one record go together, the neighbour's four stay"),
	  VFS_BOTH(17, kill_range_trap, "a cut record is refused: pages beyond, since written by B, survive"),
	  VFS_BOTH(18, no_join_after_conflict, "a record that is wanted is closed: the next page is a new record"))
