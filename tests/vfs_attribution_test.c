/* Whose bytes go and stay, at the edges: third parties between our own writes, pages that
 * write() and a mapping share, rights that go, refused and slow owners. */
#include <sched.h>
#include <sys/wait.h>

#include "tests/vfs_world.h"

enum { PAGE = CM_PAGE };

static uint8_t server_byte(struct world *w, uint64_t off)
{
	uint8_t byte;

	fake_server_read(w->vnode, off, &byte, 1);
	return byte;
}

/* A third party's store runs while ours is in flight: its data version must not pass for
 * ours. */
VFS_TEST(foreign_while_in_flight)
{
	struct task fsync_a;
	uint8_t seen = 0;
	struct world w;

	if (!world_new(&w, mode, 2 * PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, 2 * PAGE);
	world_map(&w, &w.r, PROT_READ, 2 * PAGE);
	CU_ASSERT_EQUAL(load(w.r.map + PAGE), fake_byte(PAGE)); /* CLEAN, version 7 */
	CU_ASSERT_EQUAL(store(w.a.map, 245), 0);
	fake_block(w.cm, FAKE_STORE, NULL);
	task_fsync(&fsync_a, w.a.file);
	fake_wait_blocked(w.cm, FAKE_STORE, 1);
	fake_server_write(w.vnode, PAGE, "\372", 1); /* version 8, not ours */
	fake_break(w.vnode);
	CU_ASSERT_EQUAL(load(w.r.map + PAGE), 0372);
	fake_release(w.cm, FAKE_STORE);
	CU_ASSERT_EQUAL(task_wait(&fsync_a), 0);
	CU_ASSERT_EQUAL(load(w.r.map + PAGE), 0372);
	CU_ASSERT_EQUAL(vfs_pread(w.r.file, &seen, 1, PAGE, NULL), 1);
	CU_ASSERT_EQUAL(seen, 0372);
	world_free(&w);
}

/* The same for a page that B had dirtied over the old content: BASIC too. */
VFS_TEST(foreign_under_dirty)
{
	struct task fsync_a;
	uint8_t seen = 0;
	struct world w;

	if (!world_new(&w, mode, 2 * PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, 2 * PAGE);
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, 2 * PAGE);
	CU_ASSERT_EQUAL(store(w.b.map + PAGE + 100, 246), 0);
	CU_ASSERT_EQUAL(store(w.a.map, 245), 0);
	fake_block(w.cm, FAKE_STORE, w.a.token);
	task_fsync(&fsync_a, w.a.file);
	fake_wait_blocked(w.cm, FAKE_STORE, 1);
	fake_server_write(w.vnode, PAGE, "\372", 1);
	fake_break(w.vnode);
	CU_ASSERT_EQUAL(vfs_pread(w.r.file, &seen, 1, 0, NULL), 1); /* validates */
	fake_release(w.cm, FAKE_STORE);
	CU_ASSERT_EQUAL(task_wait(&fsync_a), 0);
	CU_ASSERT_EQUAL(vfs_fsync(w.b.file, NULL), 0);
	fake_idle(w.cm);
	CU_ASSERT_EQUAL(vfs_pread(w.r.file, &seen, 1, PAGE, NULL), 1);
	CU_ASSERT_EQUAL(seen, 0372);
	world_free(&w);
}

/* A truncation takes a record away but leaves its first page: that page is dirty for
 * nobody, and nothing ever drops it again. */
VFS_TEST(dirty_without_record)
{
	static const uint8_t bytes[100] = { 1 };
	struct vfs_page_view view;
	uint8_t seen = 0;
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	CU_ASSERT_EQUAL(vfs_pwrite(w.a.file, bytes, 100, 3000, NULL), 100);
	CU_ASSERT_EQUAL(vfs_truncate(w.b.file, 100, NULL), 0);
	vfs_page_view(w.a.file, 0, &view);
	CU_ASSERT(view.dirty == view.bound); /* I7 */
	fake_server_write(w.vnode, 0, "\372", 1);
	fake_break(w.vnode);
	CU_ASSERT_EQUAL(vfs_pread(w.r.file, &seen, 1, 0, NULL), 1);
	CU_ASSERT_EQUAL(seen, 0372);
	world_free(&w);
}

/* write() twice into one page, a third party between: the gap is not ours to send. */
VFS_TEST(hull_over_third_party)
{
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	CU_ASSERT_EQUAL(vfs_pwrite(w.a.file, "a", 1, 0, NULL), 1);
	CU_ASSERT_EQUAL(vfs_pwrite(w.a.file, "a", 1, 1000, NULL), 1);
	fake_server_write(w.vnode, 500, "\372", 1);
	fake_break(w.vnode);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
	CU_ASSERT(server_byte(&w, 0) == 'a' && server_byte(&w, 1000) == 'a');
	CU_ASSERT_EQUAL(server_byte(&w, 500), 0372);
	world_free(&w);
}

/* A page that write() made has no twin though it was written in part: once a mapping
 * joins, zeros that nobody wrote go over a third party's bytes. */
VFS_TEST(fresh_page_has_no_twin)
{
	uint8_t seen;
	struct world w;

	if (!world_new(&w, mode, 0))
		return;
	CU_ASSERT_EQUAL(vfs_pwrite(w.a.file, "aaaaaaaaaa", 10, 0, NULL), 10);
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	CU_ASSERT_EQUAL(store(w.a.map + 5, 245), 0);
	fake_server_write(w.vnode, 100, "\372", 1); /* another client appends */
	fake_break(w.vnode);
	CU_ASSERT_EQUAL(vfs_pread(w.r.file, &seen, 1, 0, NULL), 1); /* the new length is learnt */
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
	CU_ASSERT_EQUAL(server_byte(&w, 5), 245);
	CU_ASSERT_EQUAL(server_byte(&w, 100), 0372);
	world_free(&w);
}

/* write() of zeros beyond the end, and a mapping of the same page: the new length must
 * reach the server. */
VFS_TEST(extension_by_zeros)
{
	static const uint8_t zeros[100];
	struct world w;

	if (!world_new(&w, mode, 100))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	CU_ASSERT_EQUAL(load(w.a.map), fake_byte(0));
	CU_ASSERT_EQUAL(vfs_pwrite(w.a.file, zeros, 100, 200, NULL), 100);
	CU_ASSERT_EQUAL(store(w.a.map, fake_byte(0)), 0); /* the value that is there */
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
	CU_ASSERT_EQUAL(fake_server_size(w.vnode), 300);
	world_free(&w);
}

/* B had the right and stored; then it is taken (what a break of the directory makes the
 * cache manager forget). B must not be able to force A's flush. */
VFS_TEST(right_taken_from_b)
{
	struct world w;

	if (!world_new(&w, mode, 2 * PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, 2 * PAGE);
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, 2 * PAGE);
	CU_ASSERT_EQUAL(store(w.b.map + PAGE, 246), 0);
	CU_ASSERT_EQUAL(store(w.a.map, 245), 0);
	fake_set_rights(w.b.token, CM_RIGHT_READ);
	cm_forget_rights(w.vnode, w.b.token);
	CU_ASSERT_EQUAL(store(w.b.map, 246), -1);
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_STORE, w.a.token), 0);
	world_free(&w);
}

/* R's read right is taken: what R has not touched yet it does not get (69, FULL). */
static void read_right_taken(void)
{
	struct world w;

	if (!world_new(&w, VFS_MODE_FULL, 20 * PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, 20 * PAGE);
	world_map(&w, &w.r, PROT_READ, 20 * PAGE);
	CU_ASSERT_EQUAL(load(w.r.map), fake_byte(0));
	CU_ASSERT_EQUAL(load(w.a.map + 19 * PAGE), fake_byte(19 * PAGE));
	fake_set_rights(w.r.token, 0);
	cm_forget_rights(w.vnode, w.r.token);
	CU_ASSERT_EQUAL(load(w.r.map + 19 * PAGE), -1);
	CU_ASSERT_EQUAL(access_signal(), SIGBUS);
	fake_set_rights(w.r.token, CM_RIGHT_READ);
	world_free(&w);
}

/* A's own store is on a slow wire: A waits for it, nobody refuses A anything. */
VFS_TEST(own_writeback_is_slow)
{
	struct task fsync_a, store_a;
	struct world w;

	if (!world_new_timeout(&w, mode, PAGE, 30))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	CU_ASSERT_EQUAL(store(w.a.map, 245), 0);
	fake_block(w.cm, FAKE_STORE, NULL);
	task_fsync(&fsync_a, w.a.file);
	fake_wait_blocked(w.cm, FAKE_STORE, 1);
	task_store(&store_a, w.a.map + 1, 246);
	usleep(200000); /* ends early, by SIGBUS, if it does not wait */
	fake_release(w.cm, FAKE_STORE);
	CU_ASSERT_EQUAL(task_wait(&fsync_a), 0);
	CU_ASSERT_EQUAL(task_wait(&store_a), 0);
	world_free(&w);
}

/* A's ticket has been expired for longer than the grace, B has given up: nobody waits, so
 * A's data stays. */
VFS_TEST(expired_nobody_waits)
{
	enum { VICETOKENDEAD = 1235 };
	struct cm_records *rs;
	struct world w;

	if (!world_new_timeout(&w, mode, PAGE, 30))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, PAGE);
	CU_ASSERT_EQUAL(store(w.a.map, 245), 0);
	fake_refuse(w.cm, FAKE_STORE, w.a.token, VICETOKENDEAD, 2);
	CU_ASSERT_EQUAL(store(w.b.map, 246), -1); /* B's patience is over */
	fake_idle(w.cm);
	rs = cm_vnode_records(w.vnode);
	usleep(50000); /* B's claim goes after its SIGBUS */
	rx_mutex_lock(&rs->lock);
	CU_ASSERT_FATAL(rs->list && rs->list->expired_us);
	rs->list->expired_us = 1; /* long ago */
	rx_mutex_unlock(&rs->lock);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), -1);
	CU_ASSERT_EQUAL(fake_records(w.vnode, NULL, 0), 1);
	CU_ASSERT_EQUAL(load(w.a.map), 245);
	CU_ASSERT_EQUAL(fake_events(w.cm, &(struct fake_event){ 0 }, 1), 1); /* EXPIRED, not KILLED */
	world_free(&w);
}

/* Who ignores SIGBUS must not sleep for ever either: the kernel's own SIGBUS kills it. */
VFS_TEST(sigbus_ignored)
{
	struct world w;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (!world_new(&w, mode, PAGE))
			_exit(0);
		world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
		load(w.a.map);
		fake_set_rights(w.a.token, CM_RIGHT_READ);
		cm_forget_rights(w.vnode, w.a.token);
		signal(SIGBUS, SIG_IGN);
		alarm(3);
		*w.a.map = 1;
		_exit(1);
	}
	CU_ASSERT(waitpid(pid, &status, 0) == pid);
	CU_ASSERT((WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS) ||
		  (WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

/* Page-ins of one token hang; another token's are served. */
VFS_TEST(head_of_line)
{
	enum { LOADERS = 4 };
	struct task loaders[LOADERS], load_b;
	struct world w;
	int tries = 0;

	if (!world_new(&w, mode, 40 * PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, 40 * PAGE);
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, 40 * PAGE);
	fake_block(w.cm, FAKE_FETCH, w.a.token);
	for (unsigned i = 0; i < LOADERS; i++)
		task_load(&loaders[i], w.a.map + i * 8 * PAGE);
	fake_wait_blocked(w.cm, FAKE_FETCH, LOADERS);
	load_b.result = -2;
	task_load(&load_b, w.b.map + 39 * PAGE);
	while (fake_count(w.cm, FAKE_FETCH, w.b.token) == 0 && tries++ < 1000)
		usleep(1000);
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_FETCH, w.b.token), 1);
	fake_release(w.cm, FAKE_FETCH);
	for (unsigned i = 0; i < LOADERS; i++)
		task_wait(&loaders[i]);
	task_wait(&load_b);
	world_free(&w);
}

/* What umafs_open does with a handle when it fails half way: the loss stays untold. */
VFS_TEST(discarded_handle_eats_the_error)
{
	struct vfs_file *later;
	struct rx_error err;
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	CU_ASSERT_EQUAL(store(w.a.map, 245), 0);
	CU_ASSERT_EQUAL(vfs_close(w.a.file, NULL), 0); /* stored */
	w.a.file = NULL;
	CU_ASSERT_EQUAL(store(w.a.map, 246), 0);
	fake_refuse(w.cm, FAKE_STORE, w.a.token, EACCES, 1);
	CU_ASSERT_EQUAL(vfs_munmap(w.vfs, (void *)w.a.map, PAGE, NULL), 0);
	w.a.map = NULL;
	fake_idle(w.cm); /* killed; nobody has been told */
	/* umafs_open(TRUNC) is refused and discards its handle */
	CU_ASSERT_EQUAL(vfs_open(w.vfs, w.vnode, w.a.token, true, &later, NULL), 0);
	vfs_drop(later);
	CU_ASSERT_EQUAL(vfs_open(w.vfs, w.vnode, w.a.token, true, &w.a.file, NULL), 0);
	CU_ASSERT(vfs_fsync(w.a.file, &err) == -1 && err.errnum == EACCES);
	world_free(&w);
}

UNIT_MAIN("vfs attribution",
	  VFS_BOTH(I17, foreign_while_in_flight, "a third party's version does not pass for our store in flight"),
	  VFS_BOTH(I17, foreign_under_dirty, "nor under a page that another token has dirtied"),
	  VFS_BOTH(I7, dirty_without_record, "no page stays dirty without a record after a truncation"),
	  VFS_BOTH(I1, hull_over_third_party, "two write()s in one page, a third party's bytes between survive"),
	  VFS_BOTH(I1, fresh_page_has_no_twin, "a page made by write() sends no zeros over others' bytes"),
	  VFS_BOTH(I5, extension_by_zeros, "a length made by write() of zeros reaches the server"),
	  VFS_BOTH(37, right_taken_from_b, "B's right is taken: B cannot force A's flush"),
	  { "69 read_right_taken [full]: a first touch after the right is gone is SIGBUS", read_right_taken },
	  VFS_BOTH(I15, own_writeback_is_slow, "one's own slow store is waited for"),
	  VFS_BOTH(34, expired_nobody_waits, "an expired ticket and nobody who waits: kept"),
	  VFS_BOTH(68, sigbus_ignored, "a refused store of a thread that ignores SIGBUS does not hang"),
	  VFS_BOTH(I15, head_of_line, "one token's page-ins hang, another's are served"),
	  VFS_BOTH(I6, discarded_handle_eats_the_error, "a discarded handle does not eat the error"))
