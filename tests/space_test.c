/* Spaces without faults: the table of pages, sharing, and read() and write() through it. */
#include "tests/vfs_world.h"
#include "vfs-emu/file.h"
#include "vfs-emu/space.h"

enum { PAGE = CM_PAGE, MIB = 1 << 20 };

VFS_TEST(sparse_pages)
{
	static const uint64_t indexes[] = { 5000000000, 7, 511, 512, 513, 99999 };
	uint64_t first, n;
	struct space *sp;
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	sp = w.a.file->space;
	rx_mutex_lock(&sp->lock);
	for (size_t i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++) {
		CU_ASSERT(page_reserve(sp, indexes[i], 1) == 1);
		page_change(sp, indexes[i], PAGE_L, 0);
	}
	CU_ASSERT_EQUAL(sp->nleaves, 4);
	CU_ASSERT(page_next_run(sp, 0, UINT64_MAX, PAGE_L, PAGE_L, &first, &n) && first == 7 && n == 1);
	CU_ASSERT(page_next_run(sp, 8, UINT64_MAX, PAGE_L, PAGE_L, &first, &n) && first == 511 && n == 3);
	CU_ASSERT(page_next_run(sp, 512, 513, PAGE_L, PAGE_L, &first, &n) && first == 512 && n == 1);
	CU_ASSERT(page_next_run(sp, 514, UINT64_MAX, PAGE_L, PAGE_L, &first, &n) && first == 99999 && n == 1);
	CU_ASSERT(!page_next_run(sp, 100000, 5000000000, PAGE_L, PAGE_L, &first, &n));
	CU_ASSERT(page_next_run(sp, 100000, UINT64_MAX, PAGE_L, PAGE_L, &first, &n) && first == 5000000000);
	for (size_t i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++)
		page_change(sp, indexes[i], 0, PAGE_L);
	rx_mutex_unlock(&sp->lock);
	CU_ASSERT_STRING_EQUAL(page_state_name(PAGE_U | PAGE_D), "DIRTY");
	world_free(&w);
}

VFS_TEST(one_space)
{
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	CU_ASSERT_PTR_EQUAL(w.a.file->space, w.b.file->space);
	CU_ASSERT_EQUAL(w.a.file->space->refs, 4);
	world_free(&w);
}

/* Dirty data of a closed file keeps its space until it is stored. */
VFS_TEST(dirty_after_close)
{
	struct rx_error err;
	struct world w;
	uint8_t on_server;

	if (!world_new(&w, mode, PAGE))
		return;
	CU_ASSERT_EQUAL(vfs_pwrite(w.a.file, "x", 1, 0, NULL), 1);
	fake_refuse(w.cm, FAKE_STORE, w.a.token, 106, 1); /* VOFFLINE */
	CU_ASSERT_EQUAL(vfs_close(w.a.file, &err), -1);
	vfs_close(w.b.file, NULL);
	vfs_close(w.c.file, NULL);
	vfs_close(w.r.file, NULL);
	CU_ASSERT_EQUAL(fake_records(w.vnode, NULL, 0), 1);
	CU_ASSERT_EQUAL(vfs_open(w.vfs, w.vnode, w.b.token, false, &w.b.file, NULL), 0);
	CU_ASSERT(vfs_pread(w.b.file, &on_server, 1, 0, NULL) == 1 && on_server == 'x');
	CU_ASSERT_EQUAL(cm_flush(w.vnode, NULL, 0, UINT64_MAX, true, NULL), 0);
	fake_server_read(w.vnode, 0, &on_server, 1);
	CU_ASSERT_EQUAL(on_server, 'x');
	w.a.file = w.c.file = w.r.file = NULL;
	world_free(&w);
}

VFS_TEST(big_sequential)
{
	enum { SIZE = 9 * MIB + 1234 };
	uint8_t *buf = malloc(SIZE), *back = calloc(1, SIZE);
	struct fake_rpc rpc;
	unsigned stores;
	struct world w;

	for (size_t i = 0; i < SIZE; i++)
		buf[i] = (uint8_t)(i * 31 + i / 4096);
	if (world_new(&w, mode, 0)) {
		CU_ASSERT_EQUAL(vfs_pwrite(w.a.file, buf, SIZE, 0, NULL), SIZE);
		CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
		stores = fake_count(w.cm, FAKE_STORE, NULL);
		CU_ASSERT_EQUAL(stores, 1); /* one record, one stream */
		CU_ASSERT(fake_nth(w.cm, FAKE_STORE, 0, &rpc) && rpc.len == SIZE && !memcmp(rpc.bytes, buf, SIZE));
		CU_ASSERT_EQUAL(vfs_pread(w.r.file, back, SIZE, 0, NULL), SIZE);
		CU_ASSERT(!memcmp(buf, back, SIZE));
		CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_FETCH, NULL), 0);
		buf[0] ^= 1;
		fake_server_write(w.vnode, 0, buf, 1);
		fake_break(w.vnode);
		for (size_t at = 0; at < SIZE; at += MIB)
			CU_ASSERT(vfs_pread(w.r.file, back + at, MIB, at, NULL) > 0);
		CU_ASSERT(!memcmp(buf, back, SIZE));
		CU_ASSERT(fake_count(w.cm, FAKE_FETCH, NULL) <= 10);
		world_free(&w);
	}
	free(buf);
	free(back);
}

/* A hole that a write leaves behind reads as zeros, here and at the server. */
VFS_TEST(write_beyond_end)
{
	uint8_t seen[3 * PAGE + 1];
	bool zeros = true;
	struct world w;

	if (!world_new(&w, mode, 10))
		return;
	CU_ASSERT_EQUAL(vfs_pwrite(w.a.file, "y", 1, 3 * PAGE, NULL), 1);
	CU_ASSERT_EQUAL(vfs_pread(w.a.file, seen, sizeof(seen) + 0, 0, NULL), 3 * PAGE + 1);
	for (size_t i = 10; i < 3 * PAGE; i++)
		zeros = zeros && seen[i] == 0;
	CU_ASSERT(zeros && seen[9] == fake_byte(9) && seen[3 * PAGE] == 'y');
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
	CU_ASSERT_EQUAL(fake_server_size(w.vnode), 3 * PAGE + 1);
	CU_ASSERT_EQUAL(vfs_pread(w.a.file, seen, 5, 3 * PAGE + 1, NULL), 0);
	world_free(&w);
}

UNIT_MAIN("space", VFS_BOTH(3.3, sparse_pages, "pages far apart cost their leaves, runs are found across leaves"),
	  VFS_BOTH(4.1, one_space, "two openers of a vnode share its space"),
	  VFS_BOTH(3.12, dirty_after_close, "what could not be stored at close stays, readable, until it can"),
	  VFS_BOTH(4.5, big_sequential, "9 MiB written in order: one StoreData; read back in few fetches"),
	  VFS_BOTH(3.13, write_beyond_end, "a hole left by a write reads as zeros"))
