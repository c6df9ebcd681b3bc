/* The end of the file: beyond it, its last page's tail, and truncation. */
#include "tests/vfs_world.h"

enum { PAGE = CM_PAGE };

VFS_TEST(beyond_eof)
{
	unsigned rpcs;
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, 4 * PAGE);
	rpcs = fake_count(w.cm, FAKE_STATUS, NULL);
	CU_ASSERT_EQUAL(load(w.a.map + 2 * PAGE + 5), -1);
	CU_ASSERT(access_signal() == SIGBUS && access_code() == BUS_ADRERR);
	CU_ASSERT_PTR_EQUAL(access_address(), (void *)(w.a.map + 2 * PAGE + 5));
	CU_ASSERT_EQUAL(store(w.a.map + 3 * PAGE, 1), -1);
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_FETCH, NULL), 0);
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_STATUS, NULL), rpcs);
	world_free(&w);
}

VFS_TEST(tail_not_stored)
{
	struct fake_rpc rpc;
	struct world w;

	if (!world_new(&w, mode, 100))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	CU_ASSERT_EQUAL(load(w.a.map + 100), 0);
	CU_ASSERT_EQUAL(store(w.a.map + 200, 9), 0);
	CU_ASSERT_EQUAL(store(w.a.map + 99, 8), 0);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
	CU_ASSERT(fake_nth(w.cm, FAKE_STORE, 0, &rpc) && rpc.off == 99 && rpc.len == 1 && rpc.file_length == 100);
	CU_ASSERT_EQUAL(fake_server_size(w.vnode), 100);
	CU_ASSERT_EQUAL(store(w.a.map + 300, 9), 0); /* only the tail: nothing to store */
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_STORE, NULL), 1);
	world_free(&w);
}

VFS_TEST(tail_then_extend)
{
	uint8_t seen[301], on_server[301];
	bool zeros = true;
	struct world w;

	if (!world_new(&w, mode, 100))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, PAGE);
	CU_ASSERT_EQUAL(store(w.a.map + 200, 9), 0);
	CU_ASSERT_EQUAL(vfs_pwrite(w.b.file, "x", 1, 300, NULL), 1);
	CU_ASSERT_EQUAL(vfs_pread(w.r.file, seen, sizeof(seen), 0, NULL), 301);
	CU_ASSERT_EQUAL(vfs_fsync(w.b.file, NULL), 0);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
	fake_server_read(w.vnode, 0, on_server, sizeof(on_server));
	for (size_t i = 100; i < 300; i++)
		zeros = zeros && seen[i] == 0 && on_server[i] == 0 && load(w.a.map + i) == 0 && load(w.b.map + i) == 0;
	CU_ASSERT(zeros);
	CU_ASSERT(seen[300] == 'x' && on_server[300] == 'x');
	CU_ASSERT_EQUAL(fake_server_size(w.vnode), 301);
	world_free(&w);
}

/* A's longer file is refused: it is as short as before for everybody, at once. */
VFS_TEST(killed_extension)
{
	struct rx_error err;
	uint8_t seen[301];
	struct world w;

	if (!world_new(&w, mode, 100))
		return;
	fake_refuse(w.cm, FAKE_STORE, w.a.token, EACCES, 1);
	CU_ASSERT_EQUAL(vfs_pwrite(w.a.file, "x", 1, 300, NULL), 1);
	CU_ASSERT_EQUAL(vfs_pread(w.b.file, seen, sizeof(seen), 0, NULL), 301);
	CU_ASSERT(vfs_fsync(w.a.file, &err) == -1 && err.errnum == EACCES);
	CU_ASSERT_EQUAL(cm_size(w.vnode), 100);
	CU_ASSERT_EQUAL(vfs_pread(w.b.file, seen, sizeof(seen), 0, NULL), 100);
	world_free(&w);
}

/* truncate waits for what is in flight, and its own RPC holds off grants beyond: the store
 * that was on its way finds the file shorter. */
VFS_TEST(truncate_vs_grant)
{
	struct task store_a;
	struct world w;

	if (!world_new(&w, mode, 4 * PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, 4 * PAGE);
	CU_ASSERT_EQUAL(load(w.a.map + 3 * PAGE), fake_byte(3 * PAGE));
	fake_block(w.cm, FAKE_FETCH, NULL);
	task_store(&store_a, w.a.map + 2 * PAGE, 245); /* parked in readpage */
	fake_wait_blocked(w.cm, FAKE_FETCH, 1);
	CU_ASSERT_EQUAL(vfs_truncate(w.b.file, PAGE, NULL), 0);
	fake_release(w.cm, FAKE_FETCH);
	CU_ASSERT_EQUAL(task_wait(&store_a), -1);
	CU_ASSERT(store_a.signal == SIGBUS && store_a.code == BUS_ADRERR);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
	CU_ASSERT(fake_count(w.cm, FAKE_STORE, NULL) == 0 && fake_server_size(w.vnode) == PAGE);
	world_free(&w);
}

struct truncation {
	struct vfs_file *file;
	uint64_t size;
};

static void *run_truncate(void *arg)
{
	struct truncation *t = arg;

	return (void *)(intptr_t)vfs_truncate(t->file, t->size, NULL);
}

VFS_TEST(truncate_vs_writeback)
{
	struct task fsync_a;
	struct truncation cut;
	pthread_t thread;
	void *result;
	struct world w;

	if (!world_new(&w, mode, 4 * PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, 4 * PAGE);
	CU_ASSERT_EQUAL(store(w.a.map + 3 * PAGE, 245), 0);
	fake_block(w.cm, FAKE_STORE, NULL);
	task_fsync(&fsync_a, w.a.file);
	fake_wait_blocked(w.cm, FAKE_STORE, 1);
	cut = (struct truncation){ w.b.file, PAGE + 10 };
	pthread_create(&thread, NULL, run_truncate, &cut);
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_TRUNCATE, NULL), 0);
	fake_release(w.cm, FAKE_STORE);
	pthread_join(thread, &result);
	CU_ASSERT_PTR_NULL(result);
	CU_ASSERT_EQUAL(task_wait(&fsync_a), 0);
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_TRUNCATE, NULL), 1);
	CU_ASSERT(fake_server_size(w.vnode) == PAGE + 10 && cm_size(w.vnode) == PAGE + 10);
	CU_ASSERT_EQUAL(load(w.a.map + 2 * PAGE), -1);
	world_free(&w);
}

VFS_TEST(truncate_refused)
{
	struct cm_record_view r;
	struct rx_error err;
	struct world w;

	if (!world_new(&w, mode, 4 * PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, 4 * PAGE);
	CU_ASSERT_EQUAL(store(w.a.map + 3 * PAGE, 245), 0);
	fake_set_rights(w.b.token, CM_RIGHT_READ);
	CU_ASSERT(vfs_truncate(w.b.file, 10, &err) == -1 && err.errnum == EACCES);
	CU_ASSERT_EQUAL(cm_size(w.vnode), 4 * PAGE);
	CU_ASSERT(fake_records(w.vnode, &r, 1) == 1 && r.first == 3 && r.last == 3);
	CHECK_PAGE(&w, 3, .u = true, .d = true, .bound = &w.a, .state = CM_RECORD_PENDING, .maps = "w--");
	CU_ASSERT_EQUAL(store(w.a.map + 2 * PAGE, 246), 0);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
	world_free(&w);
}

VFS_TEST(truncate_cuts_record)
{
	struct cm_record_view r;
	struct fake_rpc rpc;
	struct world w;

	if (!world_new(&w, mode, 6 * PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, 6 * PAGE);
	for (uint64_t i = 0; i < 6; i++) {
		CU_ASSERT_EQUAL(store(w.a.map + i * PAGE, 245), 0);
		CU_ASSERT_EQUAL(store(w.a.map + i * PAGE + 200, 246), 0);
	}
	CU_ASSERT_EQUAL(vfs_truncate(w.b.file, 3 * PAGE + 100, NULL), 0);
	CU_ASSERT(fake_records(w.vnode, &r, 1) == 1 && r.first == 0 && r.last == 3 && r.to_last == 100);
	CU_ASSERT_EQUAL(load(w.a.map + 3 * PAGE + 200), 0);
	CU_ASSERT_EQUAL(load(w.a.map + 4 * PAGE), -1);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
	CU_ASSERT(fake_nth(w.cm, FAKE_STORE, 0, &rpc) && rpc.off == 0 && rpc.len == 3 * PAGE + 1);
	CU_ASSERT_EQUAL(fake_server_size(w.vnode), 3 * PAGE + 100);
	world_free(&w);
}

VFS_TEST(truncate_ends_record_in_page)
{
	struct world w;

	if (!world_new(&w, mode, 2 * PAGE))
		return;
	CU_ASSERT_EQUAL(vfs_pwrite(w.a.file, "yy", 2, PAGE + 500, NULL), 2);
	CU_ASSERT_EQUAL(vfs_truncate(w.a.file, PAGE + 100, NULL), 0);
	CHECK_PAGE(&w, 1, .u = true, .bound = NULL, .maps = "...");
	fake_server_write(w.vnode, PAGE, "n", 1);
	fake_break(w.vnode);
	world_map(&w, &w.r, PROT_READ, 2 * PAGE);
	CU_ASSERT_EQUAL(load(w.r.map + PAGE), 'n');
	world_free(&w);
}

UNIT_MAIN("vfs end of file", VFS_BOTH(50, beyond_eof, "a load beyond the end: SIGBUS BUS_ADRERR, no RPC"),
	  VFS_BOTH(51, tail_not_stored, "what a mapping writes beyond the end in the last page is never stored"),
	  VFS_BOTH(52, tail_then_extend, "the scribbled tail reads as zeros once write() extends the file"),
	  VFS_BOTH(53, truncate_vs_grant, "the file is cut while a store waits for its page: SIGBUS, nothing stored"),
	  VFS_BOTH(54, truncate_vs_writeback, "a truncation waits for what is in flight"),
	  VFS_BOTH(I16, killed_extension, "what a refused write added to the length goes with it"),
	  VFS_BOTH(55, truncate_refused, "a refused truncation changes nothing here"),
	  VFS_BOTH(56, truncate_cuts_record, "a truncation in the middle of a record shrinks it"),
	  VFS_BOTH(56b, truncate_ends_record_in_page, "a record wholly beyond the new end goes, its page is clean"))
