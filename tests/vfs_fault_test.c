/* The mechanics of faults: many waiters, several mappings, unmapping under a waiter,
 * forks, and SIGBUS. */
#include <sched.h>
#include <sys/wait.h>

#include "tests/vfs_world.h"

enum { PAGE = CM_PAGE, THREADS = 32 };

VFS_TEST(arm_before_publish)
{
	struct cm_record_view r;
	volatile uint8_t *p;
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, PAGE);
	CU_ASSERT_EQUAL(load(w.b.map), fake_byte(0)); /* the page is present when A maps it */
	p = vfs_mmap(w.a.file, PAGE, PROT_READ | PROT_WRITE, 0, NULL);
	CU_ASSERT_EQUAL(store(p, 245), 0);
	CU_ASSERT(fake_records(w.vnode, &r, 1) == 1 && r.token == w.a.token);
	CU_ASSERT_EQUAL(vfs_munmap(w.vfs, (void *)p, PAGE, NULL), 0);
	world_free(&w);
}

VFS_TEST(n_messages)
{
	struct task tasks[THREADS];
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	fake_block(w.cm, FAKE_FETCH, NULL);
	for (int i = 0; i < THREADS; i++)
		task_load(&tasks[i], w.a.map + i);
	fake_wait_blocked(w.cm, FAKE_FETCH, 1);
	for (int i = 0; i < THREADS; i++)
		AWAIT(__atomic_load_n(&tasks[i].tid, __ATOMIC_ACQUIRE) != 0);
	fake_release(w.cm, FAKE_FETCH);
	for (int i = 0; i < THREADS; i++)
		CU_ASSERT_EQUAL(task_wait(&tasks[i]), fake_byte((uint64_t)i));
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_FETCH, NULL), 1);
	world_free(&w);
}

static void on_usr1(int sig)
{
	(void)sig;
}

VFS_TEST(signal_storm)
{
	struct sigaction sa = { .sa_handler = on_usr1 };
	struct cm_record_view r;
	struct task store_a;
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	sigaction(SIGUSR1, &sa, NULL);
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, PAGE);
	CU_ASSERT_EQUAL(store(w.b.map, 244), 0);
	fake_block(w.cm, FAKE_STORE, NULL);
	task_store(&store_a, w.a.map, 245);
	fake_wait_blocked(w.cm, FAKE_STORE, 1);
	for (int i = 0; i < 1000; i++) {
		pthread_kill(store_a.thread, SIGUSR1);
		sched_yield();
	}
	fake_release(w.cm, FAKE_STORE);
	CU_ASSERT_EQUAL(task_wait(&store_a), 0);
	CU_ASSERT(fake_records(w.vnode, &r, 1) == 1 && r.token == w.a.token);
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_STORE, NULL), 1);
	world_free(&w);
}

VFS_TEST(wake_other_vma)
{
	struct task tasks[3];
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, PAGE);
	world_map(&w, &w.r, PROT_READ, PAGE);
	fake_block(w.cm, FAKE_FETCH, NULL);
	task_load(&tasks[0], w.a.map);
	task_load(&tasks[1], w.b.map);
	task_load(&tasks[2], w.r.map);
	fake_wait_blocked(w.cm, FAKE_FETCH, 1);
	fake_release(w.cm, FAKE_FETCH);
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(task_wait(&tasks[i]), fake_byte(0));
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_FETCH, NULL), 1);
	world_free(&w);
}

VFS_TEST(munmap_while_blocked)
{
	struct cm_vnode *other;
	struct vfs_file *file;
	struct task waiter;
	struct world w;
	void *again;

	if (!world_new(&w, mode, PAGE))
		return;
	other = fake_vnode(w.cm, PAGE);
	fake_server_write(other, 0, "\371", 1);
	CU_ASSERT_EQUAL_FATAL(vfs_open(w.vfs, other, w.b.token, true, &file, NULL), 0);
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	fake_block(w.cm, FAKE_FETCH, w.a.token);
	task_load(&waiter, w.a.map);
	fake_wait_blocked(w.cm, FAKE_FETCH, 1);
	CU_ASSERT_EQUAL(vfs_munmap(w.vfs, (void *)w.a.map, PAGE, NULL), 0);
	CU_ASSERT_EQUAL(task_wait(&waiter), -1);
	CU_ASSERT_EQUAL(waiter.signal, SIGSEGV);
	again = vfs_mmap(file, PAGE, PROT_READ, 0, NULL);
	if (again != (void *)w.a.map)
		printf("\n  (the address was not used again)\n");
	w.a.map = NULL;
	CU_ASSERT_EQUAL(load(again), 0371);
	fake_release(w.cm, FAKE_FETCH); /* the old file's page comes in: nothing of it shows here */
	CU_ASSERT_EQUAL(load(again), 0371);
	CU_ASSERT_EQUAL(vfs_munmap(w.vfs, again, PAGE, NULL), 0);
	CU_ASSERT_EQUAL(vfs_close(file, NULL), 0);
	cm_vnode_put(other);
	world_free(&w);
}

VFS_TEST(fork_child)
{
	struct world w;
	int status;
	pid_t pid;

	if (!world_new(&w, mode, PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	CU_ASSERT_EQUAL(store(w.a.map, 245), 0);
	pid = fork();
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		*w.a.map = 1;
		_exit(0);
	}
	CU_ASSERT(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
	CU_ASSERT_EQUAL(load(w.a.map), 245);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
	world_free(&w);
}

struct loader {
	pthread_t thread;
	volatile uint8_t *p;
	volatile int stop, failed;
};

static void *load_on(void *arg)
{
	struct loader *l = arg;

	while (!__atomic_load_n(&l->stop, __ATOMIC_ACQUIRE))
		if (load(l->p) < 0)
			l->failed++;
	return NULL;
}

VFS_TEST(sigbus_cycle)
{
	struct loader loader = { 0 };
	struct world w;
	int value;

	if (!world_new(&w, mode, 2 * PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, 2 * PAGE);
	fake_refuse(w.cm, FAKE_FETCH, w.a.token, EACCES, 1);
	CU_ASSERT_EQUAL(load(w.a.map + PAGE + 77), -1);
	CU_ASSERT(access_signal() == SIGBUS && access_code() == BUS_ADRERR);
	CU_ASSERT_PTR_EQUAL(access_address(), (void *)(w.a.map + PAGE + 77));
	AWAIT((value = load(w.a.map + PAGE + 77)) >= 0); /* loadable again once the page is given back */
	CU_ASSERT_EQUAL(value, fake_byte(PAGE + 77));

	loader.p = w.a.map;
	CU_ASSERT_EQUAL(load(loader.p), fake_byte(0));
	fake_set_rights(w.a.token, CM_RIGHT_READ);
	cm_forget_rights(w.vnode, w.a.token);
	pthread_create(&loader.thread, NULL, load_on, &loader);
	for (int i = 0; i < 200; i++) {
		CU_ASSERT_EQUAL(store(w.a.map + 3, 245), -1);
		CU_ASSERT_PTR_EQUAL(access_address(), (void *)(w.a.map + 3 - (uintptr_t)3));
	}
	__atomic_store_n(&loader.stop, 1, __ATOMIC_RELEASE);
	pthread_join(loader.thread, NULL);
	CU_ASSERT_EQUAL(loader.failed, 0);
	fake_set_rights(w.a.token, CM_RIGHT_READ | CM_RIGHT_WRITE);
	CU_ASSERT_EQUAL(store(w.a.map + 3, 245), 0);
	world_free(&w);
}

/* A thread that blocks SIGBUS must not wait for ever: in a child, which the kernel kills. */
VFS_TEST(sigbus_blocked_mask)
{
	struct world w;
	sigset_t set;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (!world_new(&w, mode, PAGE))
			_exit(0);
		world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
		load(w.a.map);
		fake_set_rights(w.a.token, CM_RIGHT_READ);
		cm_forget_rights(w.vnode, w.a.token);
		signal(SIGBUS, SIG_DFL);
		sigemptyset(&set);
		sigaddset(&set, SIGBUS);
		sigprocmask(SIG_BLOCK, &set, NULL);
		*w.a.map = 1;
		_exit(1);
	}
	CU_ASSERT(waitpid(pid, &status, 0) == pid);
	CU_ASSERT((WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS) ||
		  (WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

/* The status call that asks for rights takes the new version along; what was read before
 * must not pass for it. */
VFS_TEST(renewed_by_status)
{
	struct world w;
	uint8_t byte = 0;

	if (!world_new(&w, mode, CM_PAGE))
		return;
	world_map(&w, &w.a, PROT_READ, CM_PAGE);
	CU_ASSERT_EQUAL(load(w.a.map), fake_byte(0));
	fake_server_write(w.vnode, 0, "n", 1);
	fake_break(w.vnode);
	cm_forget_rights(w.vnode, w.a.token);
	CU_ASSERT_EQUAL(cm_may_read(w.vnode, w.a.token, NULL), 0);
	CU_ASSERT_EQUAL(vfs_pread(w.a.file, &byte, 1, 0, NULL), 1);
	CU_ASSERT_EQUAL(byte, 'n');
	CU_ASSERT_EQUAL(load(w.a.map), 'n');
	world_free(&w);
}

/* Not a number of its own: 41 and 43 as far as this room goes. */
VFS_TEST(break_clean)
{
	struct world w;
	unsigned fetched;

	if (!world_new(&w, mode, 2 * PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, 2 * PAGE);
	world_map(&w, &w.r, PROT_READ, 2 * PAGE);
	CU_ASSERT_EQUAL(load(w.a.map), fake_byte(0));
	CU_ASSERT_EQUAL(load(w.r.map), fake_byte(0));
	fetched = fake_count(w.cm, FAKE_FETCH, NULL);
	fake_break(w.vnode); /* nothing changed: FULL keeps the content */
	CU_ASSERT(mapped(w.a.map) == '-' && mapped(w.r.map) == '-');
	CU_ASSERT_EQUAL(load(w.r.map), fake_byte(0));
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_FETCH, NULL), fetched + (mode == VFS_MODE_BASIC));
	fake_server_write(w.vnode, 0, "\372", 1);
	fake_break(w.vnode);
	CU_ASSERT_EQUAL(load(w.a.map), 0372);
	CU_ASSERT_EQUAL(load(w.r.map), 0372);
	world_free(&w);
}

VFS_TEST(break_dirty)
{
	uint8_t on_server[110];
	struct fake_event event;
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	CU_ASSERT_EQUAL(store(w.a.map + 100, 245), 0);
	fake_server_write(w.vnode, 0, "\372\373\374", 3);
	fake_break(w.vnode);
	CU_ASSERT_EQUAL(vfs_fsync(w.a.file, NULL), 0);
	fake_server_read(w.vnode, 0, on_server, sizeof(on_server));
	CU_ASSERT(on_server[0] == 0372 && on_server[2] == 0374);
	CU_ASSERT(on_server[3] == fake_byte(3) && on_server[100] == 245);
	CU_ASSERT(fake_events(w.cm, &event, 1) == 1 && event.kind == CM_EVENT_OVERWROTE);
	CU_ASSERT_EQUAL(load(w.a.map), 0372);
	CU_ASSERT_EQUAL(load(w.a.map + 100), 245);
	world_free(&w);
}

UNIT_MAIN("vfs faults",
	  VFS_BOTH(58, arm_before_publish, "the first store through a new mapping of a present page is noticed"),
	  VFS_BOTH(60, n_messages, "32 threads on one absent page: one FetchData, all go on"),
	  VFS_BOTH(61, signal_storm, "signals to a waiting writer: duplicates are ignored, one grant"),
	  VFS_BOTH(62, wake_other_vma, "waiters on one page in three mappings: one load, all go on"),
	  VFS_BOTH(63, munmap_while_blocked, "unmapped under a waiter: SIGSEGV, and the address's next file is clean"),
	  VFS_BOTH(65, fork_child, "a child's store is SIGSEGV, the parent does not notice"),
	  VFS_BOTH(67, sigbus_cycle, "SIGBUS with the exact address, loadable later; a refused store disturbs no load"),
	  VFS_BOTH(68, sigbus_blocked_mask, "a refused store of a thread that blocks SIGBUS does not hang"),
	  VFS_BOTH(41, renewed_by_status,
		   "after a break, a status call renews the promise: the old content is still dropped"),
	  VFS_BOTH(41, break_clean, "after a callback break no stale load; FULL refetches only what changed"),
	  VFS_BOTH(42, break_dirty, "a third party's bytes and ours in one page: both arrive, the owner is told"))
