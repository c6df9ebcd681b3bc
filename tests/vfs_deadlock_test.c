/* Attempts at deadlock: writers that want each other's pages, writes from one's own
 * mapping, conflicts with what nobody is storing. */
#include "tests/vfs_world.h"

enum { PAGE = CM_PAGE, ROUNDS = 2000 };

struct writer {
	pthread_t thread;
	struct user *user;
	unsigned first, pages, failed;
	pthread_barrier_t *start;
};

static void *write_round(void *arg)
{
	struct writer *wr = arg;

	pthread_barrier_wait(wr->start);
	for (unsigned i = 0; i < ROUNDS; i++)
		if (store(wr->user->map + (wr->first + i) % wr->pages * PAGE + 16 + wr->first, (uint8_t)i) != 0)
			wr->failed++;
	return NULL;
}

/* n tokens store to n pages in turn, each beginning with its own. */
static void rotate(enum vfs_mode mode, unsigned n)
{
	struct writer writers[3] = { 0 };
	pthread_barrier_t start;
	struct fake_rpc rpc;
	struct world w;
	struct user *users[] = { &w.a, &w.b, &w.c };

	if (!world_new(&w, mode, n * PAGE))
		return;
	pthread_barrier_init(&start, NULL, n);
	for (unsigned i = 0; i < n; i++) {
		world_map(&w, users[i], PROT_READ | PROT_WRITE, n * PAGE);
		writers[i] = (struct writer){ .user = users[i], .first = i, .pages = n, .start = &start };
		pthread_create(&writers[i].thread, NULL, write_round, &writers[i]);
	}
	for (unsigned i = 0; i < n; i++) {
		pthread_join(writers[i].thread, NULL);
		CU_ASSERT_EQUAL(writers[i].failed, 0);
	}
	for (unsigned i = 0; i < n; i++)
		CU_ASSERT_EQUAL(vfs_fsync(users[i]->file, NULL), 0);
	/* Nobody's byte went under another's token: writer i stores at offset 16 + i only. */
	for (unsigned i = 0; fake_nth(w.cm, FAKE_STORE, i, &rpc); i++) {
		for (unsigned u = 0; u < n; u++)
			if (rpc.token == users[u]->token && (rpc.off % PAGE != 16 + u || rpc.len % PAGE != 1))
				CU_FAIL("a byte under another's token");
	}
	CU_ASSERT_EQUAL(fake_records(w.vnode, NULL, 0), 0);
	CU_ASSERT(fake_count(w.cm, FAKE_FETCH, NULL) <= n); /* no page was thrown away on the way */
	pthread_barrier_destroy(&start);
	world_free(&w);
}

VFS_TEST(crossed_pages)
{
	rotate(mode, 2);
}

VFS_TEST(three_cycle)
{
	rotate(mode, 3);
}

VFS_TEST(write_from_own_map)
{
	uint8_t seen[2 * PAGE];
	struct world w;
	bool same = true;

	if (!world_new(&w, mode, 2 * PAGE))
		return;
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, 2 * PAGE);
	CU_ASSERT_EQUAL(vfs_pwrite(w.b.file, (void *)w.b.map, PAGE, 100, NULL), PAGE);
	for (size_t i = 0; i < PAGE; i++)
		same = same && load(w.b.map + 100 + i) == fake_byte(i);
	CU_ASSERT(same);
	/* and read() into it, where the kernel itself cannot touch the pages */
	CU_ASSERT_EQUAL(vfs_fsync(w.b.file, NULL), 0);
	CU_ASSERT_EQUAL(vfs_pread(w.a.file, (void *)(w.b.map + PAGE), PAGE, 0, NULL), PAGE);
	CU_ASSERT_EQUAL(vfs_pread(w.a.file, seen, sizeof(seen), 0, NULL), (ssize_t)sizeof(seen));
	CU_ASSERT(memcmp(seen, seen + PAGE, PAGE) == 0);
	world_free(&w);
}

VFS_TEST(pool_exhaustion)
{
	enum { WRITERS = 8 };
	struct task writers[WRITERS];
	static const uint8_t byte = 246;
	struct world w;

	if (!world_new(&w, mode, 2 * PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, 2 * PAGE);
	CU_ASSERT_EQUAL(store(w.a.map, 245), 0);
	fake_block(w.cm, FAKE_STORE, w.a.token);
	for (unsigned i = 0; i < WRITERS; i++)
		task_pwrite(&writers[i], w.b.file, &byte, 1, i + 1);
	fake_wait_blocked(w.cm, FAKE_STORE, 1);
	CU_ASSERT_EQUAL(load(w.a.map + PAGE), fake_byte(PAGE)); /* served though everybody waits */
	fake_release(w.cm, FAKE_STORE);
	for (unsigned i = 0; i < WRITERS; i++)
		CU_ASSERT_EQUAL(task_wait(&writers[i]), 1);
	world_free(&w);
}

/* Writer u stores at offset 16 + u of even pages (so that records are single pages), only
 * values of its own; everybody reads everything all the time. */
struct storm {
	pthread_t thread;
	struct world *w;
	unsigned user; /* 3: reads only */
	unsigned sigbus, garbage;
	int *stop;
};

enum { STORM_PAGES = 4, STORM_ROUNDS = 500 };

static bool plausible(int value, uint64_t off, unsigned user)
{
	return value == fake_byte(off) || (value >= 201 + (int)user * 15 && value < 216 + (int)user * 15);
}

static void *storm_main(void *arg)
{
	struct storm *s = arg;
	struct user *users[] = { &s->w->a, &s->w->b, &s->w->c, &s->w->r };
	volatile uint8_t *map = users[s->user]->map;
	unsigned random = s->user + 1;

	for (unsigned i = 0; s->user == 3 ? !__atomic_load_n(s->stop, __ATOMIC_ACQUIRE) : i < STORM_ROUNDS; i++) {
		uint64_t page, off;
		int value;

		random = random * 1103515245 + 12345;
		page = 2 * ((random >> 16) % STORM_PAGES);
		if (s->user < 3 && store(map + page * PAGE + 16 + s->user, (uint8_t)(201 + s->user * 15 + i % 15)) != 0)
			s->sigbus++;
		for (unsigned u = 0; u < 3; u++) {
			off = page * PAGE + 16 + u;
			value = load(map + off);
			s->garbage += !plausible(value, off, u);
		}
	}
	return NULL;
}

VFS_TEST(kill_while_faulting_storm)
{
	enum { READERS = 5, ALL = 3 + READERS };
	struct storm storms[ALL] = { 0 };
	struct fake_rpc rpc;
	struct world w;
	int stop = 0;

	if (!world_new(&w, mode, 2 * STORM_PAGES * PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, 2 * STORM_PAGES * PAGE);
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, 2 * STORM_PAGES * PAGE);
	world_map(&w, &w.c, PROT_READ | PROT_WRITE, 2 * STORM_PAGES * PAGE);
	world_map(&w, &w.r, PROT_READ, 2 * STORM_PAGES * PAGE);
	fake_refuse_randomly(w.cm, 40);
	for (unsigned i = 0; i < ALL; i++) {
		storms[i] = (struct storm){ .w = &w, .user = i < 3 ? i : 3, .stop = &stop };
		pthread_create(&storms[i].thread, NULL, storm_main, &storms[i]);
	}
	for (unsigned i = 0; i < ALL; i++) {
		if (i == 3)
			__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
		pthread_join(storms[i].thread, NULL);
		CU_ASSERT_EQUAL(storms[i].garbage, 0);
		CU_ASSERT_EQUAL(storms[i].sigbus, 0);
	}
	fake_refuse_randomly(w.cm, 0);
	cm_flush(w.vnode, NULL, 0, UINT64_MAX, false, NULL);
	for (unsigned i = 0; fake_nth(w.cm, FAKE_STORE, i, &rpc); i++) {
		unsigned u = rpc.token == w.a.token ? 0 : rpc.token == w.b.token ? 1 : 2;

		if (rpc.len != 1 || rpc.off % PAGE != 16 + u || !plausible(rpc.bytes[0], 0, u))
			CU_FAIL("a byte under another's token");
	}
	for (uint64_t off = 0; off < 2 * STORM_PAGES * PAGE; off++) { /* I17 */
		uint8_t there, here;

		fake_server_read(w.vnode, off, &there, 1);
		if (off % PAGE < 32 && (vfs_pread(w.r.file, &here, 1, off, NULL) != 1 || here != there))
			CU_FAIL("the cache is not what the server has");
	}
	world_free(&w);
}

VFS_TEST(dirty_not_writeback)
{
	struct world w;

	if (!world_new(&w, mode, PAGE))
		return;
	world_map(&w, &w.a, PROT_READ | PROT_WRITE, PAGE);
	world_map(&w, &w.b, PROT_READ | PROT_WRITE, PAGE);
	CU_ASSERT_EQUAL(store(w.a.map, 245), 0);
	CU_ASSERT_EQUAL(vfs_pwrite(w.c.file, "x", 1, 1, NULL), 1); /* nobody was storing A's */
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_STORE, w.a.token), 1);
	CU_ASSERT_EQUAL(store(w.b.map + 2, 246), 0); /* nor C's */
	CU_ASSERT_EQUAL(fake_count(w.cm, FAKE_STORE, w.c.token), 1);
	world_free(&w);
}

UNIT_MAIN("vfs deadlocks",
	  VFS_BOTH(71, crossed_pages, "A and B store to each other's pages, 2000 times each: all are granted"),
	  VFS_BOTH(72, three_cycle, "three tokens in turn over three pages: all are granted"),
	  VFS_BOTH(73, write_from_own_map, "write() from a mapping of the same page, read() into one: right bytes"),
	  VFS_BOTH(76, pool_exhaustion, "many parked writes, then a fault: it is served"),
	  VFS_BOTH(77, kill_while_faulting_storm, "writers, readers, refusals at random: no garbage, no theft"),
	  VFS_BOTH(79, dirty_not_writeback, "a conflict with an idle dirty page starts its store"))
