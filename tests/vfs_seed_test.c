/* The seed's scenario and its nearest relatives: shared-writable mappings of one file by
 * several tokens. */
#include "tests/vfs_world.h"

enum { PAGE = CM_PAGE };

static const struct user *const nobody;

/* The value that the server has at the first byte of page i, and what A and B store. */
#define S0 fake_byte(0)
enum { VALUE_A = 0xa1, VALUE_B = 0xb2 };

VFS_TEST(seed_three_step)
{
	struct task store_b;
	struct fake_event event;
	struct fake_rpc rpc;
	struct rx_error err;
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, PAGE);
	world_map(&w, &w.r, PROT_READ, PAGE);
	CHECK_PAGE(&w, 0, .bound = nobody, .maps = "---"); /* 0 */

	CU_ASSERT_EQUAL(load(w.a.map), S0); /* 1: A loads */
	CHECK_PAGE(&w, 0, .u = true, .maps = "r--");
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_FETCH, w.a.token), 1);
	CU_ASSERT_EQUAL(load(w.r.map), S0); /* 2: R loads */
	CHECK_PAGE(&w, 0, .u = true, .maps = "r-r");
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_FETCH, NULL), 1);

	CU_ASSERT_EQUAL(store(w.a.map, VALUE_A), 0); /* 3: A stores, R sees it */
	CHECK_PAGE(&w, 0, .u = true, .d = true, .bound = &w.a, .state = CM_RECORD_PENDING, .maps = "w-r");
	CU_ASSERT_EQUAL(load(w.r.map), VALUE_A);
	fake_set_rights(w.a.token, CM_RIGHT_READ); /* 4: A may no longer write, and does */
	CU_ASSERT_EQUAL(store(w.a.map + 1, VALUE_A), 0);
	CHECK_PAGE(&w, 0, .u = true, .d = true, .bound = &w.a, .state = CM_RECORD_PENDING, .maps = "w-r");

	fake_block(w.cm, FAKE_STORE, NULL);
	fake_block(w.cm, FAKE_FETCH, NULL);
	task_store(&store_b, w.b.map + 2, VALUE_B); /* 5 and 6: B stores, A's record is on its way */
	fake_wait_blocked(w.cm, FAKE_STORE, 1);
	CHECK_PAGE(&w, 0, .u = true, .w = true, .bound = &w.a, .state = CM_RECORD_WRITING, .maps = "rrr");
	CU_ASSERT_EQUAL(load(w.r.map), VALUE_A);
	fake_release(w.cm, FAKE_STORE); /* 7 and 8: refused, killed; B reads anew, as B */
	fake_wait_blocked(w.cm, FAKE_FETCH, 1);
	CHECK_PAGE(&w, 0, .bound = nobody, .maps = "---");
	CU_ASSERT_EQUAL(fake_events(w.cm, &event, 1), 1); /* 9: A is told */
	CU_ASSERT(event.kind == CM_EVENT_KILLED && event.token == w.a.token && event.errnum == EACCES);
	fake_release(w.cm, FAKE_FETCH);
	CU_ASSERT_EQUAL(task_wait(&store_b), 0); /* 10 and 11 */
	CHECK_PAGE(&w, 0, .u = true, .d = true, .bound = &w.b, .state = CM_RECORD_PENDING, .maps = "-w-");
	CU_ASSERT(fake_nth(w.cm, FAKE_FETCH, 1, &rpc) && rpc.token == w.b.token);

	CU_ASSERT_EQUAL(load(w.a.map), S0); /* 12: everybody sees s0+b */
	CU_ASSERT_EQUAL(load(w.a.map + 2), VALUE_B);
	CU_ASSERT_EQUAL(load(w.r.map + 1), fake_byte(1));
	CHECK_PAGE(&w, 0, .u = true, .d = true, .bound = &w.b, .state = CM_RECORD_PENDING, .maps = "rwr");
	CU_ASSERT(vfs_fsync(w.a.file, &err) == -1 && err.errnum == EACCES); /* 13: once */
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, &err), 0);
	CU_ASSERT(vfs_msync(w.vfs, (void *)w.a.map, PAGE, MS_SYNC, &err) == -1 && err.errnum == EACCES);
	CU_ASSERT_EQUAL(vfs_msync(w.vfs, (void *)w.a.map, PAGE, MS_SYNC, &err), 0);
	CU_ASSERT_EQUAL(store(w.a.map, VALUE_A), -1); /* 14: A may not */
	CU_ASSERT_EQUAL(access_signal(), SIGBUS);
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_STORE, w.b.token), 0);
	CHECK_PAGE(&w, 0, .u = true, .d = true, .bound = &w.b, .state = CM_RECORD_PENDING, .maps = "rwr");

	CU_ASSERT_EQUAL(vfs_fsync(w.b.file, &err), 0); /* 15 */
	CHECK_PAGE(&w, 0, .u = true, .bound = nobody, .maps = "rrr");
	CU_ASSERT(fake_nth(w.cm, FAKE_STORE, 1, &rpc) && rpc.token == w.b.token && rpc.off == 2 && rpc.len == 1);
	CU_ASSERT(rpc.bytes[0] == VALUE_B && fake_server_version(w.vnode) == 8);
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_STORE, NULL), 2);
	world_free(&w);
}

VFS_TEST(flush_ok_then_b)
{
	struct fake_rpc rpc;
	struct world w;
	uint8_t on_server[3];

	if (!world_new(&w, mode, PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, PAGE);
	CU_ASSERT_EQUAL(store(w.a.map, VALUE_A), 0);
	CU_ASSERT_EQUAL(store(w.b.map + 1, VALUE_B), 0);
	CU_ASSERT_EQUAL(load(w.b.map), VALUE_A);
	CU_ASSERT_EQUAL(vfs_fsync(w.b.file, NULL), 0);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
	CU_ASSERT(fake_nth(w.cm, FAKE_STORE, 0, &rpc) && rpc.token == w.a.token && rpc.off == 0 && rpc.len == 1);
	CU_ASSERT(fake_nth(w.cm, FAKE_STORE, 1, &rpc) && rpc.token == w.b.token && rpc.off == 1 && rpc.len == 1);
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_STORE, NULL), 2);
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_FETCH, NULL), 1);
	CU_ASSERT_EQUAL(fake_server_version(w.vnode), 9);
	fake_server_read(w.vnode, 0, on_server, sizeof(on_server));
	CU_ASSERT(on_server[0] == VALUE_A && on_server[1] == VALUE_B && on_server[2] == fake_byte(2));
	world_free(&w);
}

VFS_TEST(single_writer)
{
	struct world w;

	if (!world_new(&w, mode, 2 * PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, 2 * PAGE);
	CU_ASSERT_EQUAL(store(w.a.map + 9, VALUE_A), 0);
	CU_ASSERT_EQUAL(vfs_msync(w.vfs, (void *)w.a.map, PAGE, MS_SYNC, NULL), 0);
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_STORE, NULL), 1);
	CU_ASSERT_EQUAL(vfs_msync(w.vfs, (void *)w.a.map, PAGE, MS_SYNC, NULL), 0);
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_STORE, NULL), 1);
	/* Our own store moved the data version: what is here is still good. */
	CU_ASSERT_EQUAL(load(w.a.map + PAGE), fake_byte(PAGE));
	CHECK_PAGE(&w, 0, .u = true, .maps = "r--");
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_FETCH, NULL), 2);
	world_free(&w);
}

VFS_TEST(same_token_two_vmas)
{
	volatile uint8_t *second;
	struct cm_record_view r;
	struct fake_rpc rpc;
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	second = vfs_mmap(w.a.file, PAGE, PROT_READ | PROT_WRITE, 0, NULL);
	CU_ASSERT_EQUAL(store(w.a.map + 10, VALUE_A), 0);
	CU_ASSERT_EQUAL(store(second + 12, VALUE_A), 0);
	CU_ASSERT_EQUAL(mapped(w.a.map), 'w');
	CU_ASSERT_EQUAL(mapped(second), 'w');
	CU_ASSERT(fake_records(w.vnode, &r, 1) == 1 && r.state == CM_RECORD_PENDING);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
	CU_ASSERT_EQUAL(mapped(w.a.map), 'r');
	CU_ASSERT_EQUAL(mapped(second), 'r');
	CU_ASSERT(fake_nth(w.cm, FAKE_STORE, 0, &rpc) && rpc.off == 10 && rpc.len == 3);
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_STORE, NULL), 1);
	CU_ASSERT_EQUAL(vfs_munmap(w.vfs, (void *)second, PAGE, NULL), 0);
	world_free(&w);
}

VFS_TEST(reader_sees_unflushed)
{
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	world_map(&w, &w.r, PROT_READ, PAGE);
	CU_ASSERT_EQUAL(store(w.a.map, VALUE_A), 0);
	CU_ASSERT_EQUAL(load(w.r.map), VALUE_A);
	fake_refuse(w.cm, FAKE_STORE, w.a.token, EACCES, 1);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), -1);
	CU_ASSERT_EQUAL(load(w.r.map), S0);
	CU_ASSERT(fake_nth(w.cm, FAKE_FETCH, 1, &(struct fake_rpc){ 0 }));
	world_free(&w);
}

VFS_TEST(write_api_vs_mmap)
{
	static const uint8_t bytes[2] = { VALUE_B, VALUE_B };
	struct fake_rpc rpc;
	struct rx_error err;
	struct world w;
	uint8_t seen[4];

	if (!world_new(&w, mode, PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	CU_ASSERT_EQUAL(store(w.a.map, VALUE_A), 0);
	fake_refuse(w.cm, FAKE_STORE, w.a.token, EACCES, 1);
	CU_ASSERT_EQUAL(vfs_pwrite(w.b.file, bytes, 2, 2, &err), 2);
	CU_ASSERT_EQUAL(vfs_pread(w.r.file, seen, 4, 0, &err), 4);
	CU_ASSERT(seen[0] == S0 && seen[1] == fake_byte(1) && seen[2] == VALUE_B && seen[3] == VALUE_B);
	CU_ASSERT_EQUAL(load(w.a.map + 3), VALUE_B);
	CU_ASSERT_EQUAL(vfs_fsync(w.b.file, &err), 0);
	CU_ASSERT(fake_nth(w.cm, FAKE_STORE, 1, &rpc) && rpc.token == w.b.token && rpc.off == 2 && rpc.len == 2);
	CU_ASSERT(vfs_fsync(w.a.file, &err) == -1 && err.errnum == EACCES);
	world_free(&w);
}

VFS_TEST(store_same_value)
{
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	CU_ASSERT_EQUAL(store(w.a.map, S0), 0);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_STORE, NULL), 0);
	CHECK_PAGE(&w, 0, .u = true, .bound = nobody, .maps = "r--");
	world_free(&w);
}

VFS_TEST(rmw_restart)
{
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, PAGE);
	CU_ASSERT_EQUAL(store(w.a.map, VALUE_A), 0);
	fake_refuse(w.cm, FAKE_STORE, w.a.token, EACCES, 1);
	CU_ASSERT_EQUAL(add(w.b.map, 1), S0);
	CU_ASSERT_EQUAL(load(w.a.map), S0 + 1);
	world_free(&w);
}

VFS_TEST(reattribution)
{
	struct fake_rpc rpc;
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, PAGE);
	CU_ASSERT_EQUAL(store(w.a.map, 11), 0);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
	CU_ASSERT_EQUAL(store(w.b.map, 12), 0);
	CU_ASSERT_EQUAL(vfs_fsync(w.b.file, NULL), 0);
	CU_ASSERT_EQUAL(store(w.a.map, 13), 0);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
	for (unsigned i = 0; i < 3; i++) {
		CU_ASSERT_FATAL(fake_nth(w.cm, FAKE_STORE, i, &rpc));
		CU_ASSERT_PTR_EQUAL(rpc.token, i == 1 ? w.b.token : w.a.token);
		CU_ASSERT_EQUAL(rpc.bytes[0], 11 + i);
	}
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_STORE, NULL), 3);
	world_free(&w);
}

UNIT_MAIN("vfs seed",
	  VFS_BOTH(1, seed_three_step, "a refused writer's change is killed, the next writer goes on, all are told"),
	  VFS_BOTH(3, flush_ok_then_b, "the first writer is allowed: two stores, each under its own token, no refetch"),
	  VFS_BOTH(4, single_writer, "one StoreData for one change, none for none"),
	  VFS_BOTH(5, same_token_two_vmas, "two mappings of one token: one record, one RPC, no conflict"),
	  VFS_BOTH(6, reader_sees_unflushed, "a reader sees the change at once and the old content after the kill"),
	  VFS_BOTH(7, write_api_vs_mmap, "write() on another's dirty page: the other is killed, write() succeeds"),
	  VFS_BOTH(8, store_same_value, "storing what is there already is no write: no RPC"),
	  VFS_BOTH(9, rmw_restart, "a locked add on a page that is killed meanwhile works on the server's value"),
	  VFS_BOTH(10, reattribution, "three stores by A, B, A: three records, three authors"))
