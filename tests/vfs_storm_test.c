/* The page room in the deterministic world: the real code of mappings, faults, pages,
 * records and flusher on the soft MMU and the fake server, every lock and wait a
 * scheduling point, one seed one outcome. Fibers of two tokens store, load, write, read
 * and sync; an administrator takes rights away and gives them back, the server is busy, a
 * third party writes, the file shrinks and grows. Each cell (a byte offset) has one writing
 * fiber, and every value names its author, so whoever sees a byte knows whose it is. */
#include <errno.h>
#include <sys/mman.h>

#include "tests/fake_cm_internal.h"
#include "tests/sim/soft_mmu.h"
#include "tests/unit.h"
#include "tests/sim/world.h"
#include "vfs-emu/file.h"
#include "vfs-emu/mapping.h"

enum {
	PAGES = 4,
	PER_PAGE = 10,
	CELLS = PAGES * PER_PAGE,
	WRITERS = 4, /* two of each token */
	STRANGER = WRITERS,
	OPS = 40,
	ROUNDS = 120,
	SIZE = PAGES * CM_PAGE,
	TOKENS = 2,
	VALUES = 64, /* of each author */
};

/* Some touch, some are nearer than a gap that a store bridges, some are not. */
static const unsigned cell_at[PER_PAGE] = { 0, 1, 2, 40, 41, 700, 2047, 2048, 4094, 4095 };

struct cell {
	uint8_t last;        /* its writer's last value that went in */
	bool lost;           /* since its writer's token was last told of a loss, or cut off */
	bool on_server[256]; /* values that the server has ever had here */
	bool ever_stored[256];
};

struct storm {
	struct world *world;
	struct rx_env *env;
	struct cm *cm;
	struct vfs *vfs;
	struct vfs_source *source;
	struct cm_vnode *vnode;
	struct cm_token *tokens[TOKENS];
	bool ever_denied[TOKENS], truncates, denies, impatient;
	struct vfs_file *files[WRITERS];
	uintptr_t maps[WRITERS];
	struct cell cells[CELLS];
	unsigned counter, finished;
	unsigned violations, kills, stores, buses, cuts;
	uint64_t seed;
};

struct writer {
	struct storm *s;
	int id;
};

#define HOLDS(s, condition)                                                                                            \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			if ((s)->violations++ == 0)                                                                    \
				printf("\n  seed %llu: %s:%d: %s\n", (unsigned long long)(s)->seed, __FILE__,          \
				       __LINE__, #condition);                                                          \
		}                                                                                                      \
	} while (0)

static unsigned dice(struct storm *s, unsigned n)
{
	return (unsigned)(world_random(s->world) % n);
}

static uint64_t offset_of(unsigned cell)
{
	return (uint64_t)(cell / PER_PAGE) * CM_PAGE + cell_at[cell % PER_PAGE];
}

/* Values 1..63 are the server's first content; then come A's, B's, and the stranger's. */
static unsigned author_of(uint8_t value)
{
	return value / VALUES;
}

static uint8_t next_value(struct storm *s, unsigned author)
{
	return (uint8_t)(author * VALUES + s->counter++ % VALUES);
}

static uint8_t first_content(uint64_t off)
{
	return (uint8_t)(1 + off % 63);
}

static unsigned token_of(int writer)
{
	return (unsigned)writer % TOKENS;
}

static unsigned own_cell(struct storm *s, int writer)
{
	unsigned c = dice(s, CELLS / (WRITERS + 1)) * (WRITERS + 1) + (unsigned)writer;

	return c < CELLS ? c : (unsigned)writer;
}

static int cell_index(uint64_t off)
{
	for (unsigned k = 0; k < PER_PAGE; k++)
		if (cell_at[k] == off % CM_PAGE)
			return (int)(off / CM_PAGE * PER_PAGE + k);
	return -1;
}

/* ---- what must hold ---- */

static void travel(void *arg)
{
	struct storm *s = arg;

	world_sleep_us(s->world, dice(s, 400));
}

/* I1: every byte in a store under a token is that token's own, or one that the server
 * has had there. */
static void look_at_store(void *arg, const struct cm_token *t, uint64_t off, const void *bytes, size_t len)
{
	struct storm *s = arg;
	const uint8_t *p = bytes;

	s->stores++;
	for (size_t i = 0; i < len; i++) {
		int c = cell_index(off + i);
		unsigned author = t == s->tokens[0] ? 1 : 2;

		if (c < 0) {
			HOLDS(s, p[i] == first_content(off + i) || (p[i] == 0 && s->cuts > 0));
			continue;
		}
		HOLDS(s, s->cells[c].on_server[p[i]] || author_of(p[i]) == author);
		s->cells[c].on_server[p[i]] = true;
	}
}

/* I3: a load sees what the server had or what somebody stored; never zeros from a hole. */
static void look_at_load(struct storm *s, unsigned cell, int value)
{
	if (value < 0)
		return;
	HOLDS(s, s->cells[cell].on_server[value] || s->cells[cell].ever_stored[value]);
}

/* I7 to I10 over all pages and mappings, with both locks held. */
static void inspect_page(struct storm *s, struct space *sp, uint64_t index)
{
	unsigned bits = page_bits(sp, index);
	struct cm_record_view view;
	bool bound = cm_record_at(sp->vnode, index, &view);

	/* The verdict reaches the page a moment before the record goes. */
	HOLDS(s, bound == ((bits & (PAGE_D | PAGE_W)) != 0) ||
			 (bound && (view.state == CM_RECORD_KILLING || view.state == CM_RECORD_WRITING)));
	for (const struct vfs_mapping *m = sp->mappings; m; m = m->next) {
		uintptr_t addr = mapping_addr(m, index);

		if (!mapping_covers(m, index) || index * CM_PAGE >= sp->memfd_size)
			continue;
		HOLDS(s, !soft_in_file(s->source, addr) || (bits & PAGE_U));
		if (soft_mapped(s->source, addr) != '-')
			HOLDS(s, bits & PAGE_U);
		if (soft_armed(s->source, addr) || !soft_in_file(s->source, addr))
			continue;
		HOLDS(s, (bits & PAGE_D) && (bits & PAGE_HOT) && !(bits & PAGE_W));
		HOLDS(s, bound && view.token == m->token);
	}
}

static void inspect(struct storm *s)
{
	struct space *sp = s->files[0]->space;

	space_lock(sp);
	for (uint64_t i = 0; i < PAGES; i++)
		inspect_page(s, sp, i);
	space_unlock(sp);
}

/* ---- who acts ---- */

static void stored(struct storm *s, unsigned cell, uint8_t value, int rc, unsigned token)
{
	if (rc == 0) {
		s->cells[cell].last = value;
		return;
	}
	s->buses++;
	HOLDS(s, s->ever_denied[token] || s->cuts > 0 || s->impatient);
}

static void do_store(struct storm *s, int id, bool mapped)
{
	unsigned cell = own_cell(s, id), token = token_of(id);
	uint8_t value = next_value(s, token + 1);
	struct rx_error err = { 0 };
	int rc;

	s->cells[cell].ever_stored[value] = true;
	if (mapped)
		rc = soft_store(s->source, s->maps[id] + offset_of(cell), id, value);
	else
		rc = vfs_pwrite(s->files[id], &value, 1, offset_of(cell), &err) == 1 ? 0 : -1;
	stored(s, cell, value, rc, token);
}

static void do_load(struct storm *s, int id, bool mapped)
{
	bool own = dice(s, 2);
	unsigned cell = own ? own_cell(s, id) : dice(s, CELLS);
	uint8_t byte = 0;
	int value = -1;

	if (mapped)
		value = soft_load(s->source, s->maps[id] + offset_of(cell), id);
	else if (vfs_pread(s->files[id], &byte, 1, offset_of(cell), NULL) == 1)
		value = byte;
	look_at_load(s, cell, value);
	/* Nobody else writes there: one reads what one has written. */
	if (own && !s->denies && s->cuts == 0)
		HOLDS(s, value == s->cells[cell].last);
}

/* A loss is told to the token whose it is: then its cells may be older than they were. */
static void heard(struct storm *s, unsigned token, int rc, const struct rx_error *err)
{
	if (rc == 0 || err->errnum != EACCES)
		return;
	HOLDS(s, s->denies);
	for (unsigned c = 0; c < CELLS; c++)
		if (c % (WRITERS + 1) != STRANGER && token_of((int)(c % (WRITERS + 1))) == token)
			s->cells[c].lost = true;
}

static void do_sync(struct storm *s, int id, bool by_address)
{
	struct rx_error err = { 0 };
	int rc = by_address ? vfs_msync(s->vfs, (void *)s->maps[id], SIZE, MS_SYNC, &err)
			    : vfs_fsync(s->files[id], &err);

	heard(s, token_of(id), rc, &err);
}

static void do_remap(struct storm *s, int id)
{
	struct rx_error err = { 0 };
	void *addr;

	HOLDS(s, vfs_munmap(s->vfs, (void *)s->maps[id], SIZE, &err) == 0);
	/* Its cursor goes with it: what was lost meanwhile is told by the handle. */
	heard(s, token_of(id), vfs_fsync(s->files[id], &err), &err);
	while (!(addr = vfs_mmap(s->files[id], SIZE, PROT_READ | PROT_WRITE, 0, &err))) {
		world_sleep_us(s->world, 1000);
		cm_forget_rights(s->vnode, s->tokens[token_of(id)]); /* refusals are not believed for long */
	}
	s->maps[id] = (uintptr_t)addr;
}

static void writer(void *arg)
{
	struct writer *w = arg;
	struct storm *s = w->s;

	for (unsigned i = 0; i < OPS; i++) {
		unsigned op = dice(s, 100);

		if (op < 45)
			do_store(s, w->id, true);
		else if (op < 65)
			do_load(s, w->id, true);
		else if (op < 75)
			do_store(s, w->id, false);
		else if (op < 85)
			do_load(s, w->id, false);
		else if (op < 92)
			do_sync(s, w->id, op & 1);
		else if (op < 94)
			do_remap(s, w->id);
		else
			world_sleep_us(s->world, dice(s, 3000));
	}
	s->finished++;
}

static void third_party(struct storm *s)
{
	unsigned cell = dice(s, CELLS / (WRITERS + 1)) * (WRITERS + 1) + STRANGER;
	uint8_t value = next_value(s, 3);

	s->cells[cell].on_server[value] = true;
	s->cells[cell].last = value;
	fake_third_party(s->vnode, offset_of(cell), &value, 1);
}

/* Shrinks and grows again: everything beyond may be zero from now on. */
static void cut(struct storm *s)
{
	uint64_t size = dice(s, SIZE);
	struct rx_error err = { 0 };

	s->cuts++;
	for (unsigned c = 0; c < CELLS; c++)
		s->cells[c].lost = s->cells[c].on_server[0] = true;
	if (vfs_truncate(s->files[0], size, &err) == 0)
		world_sleep_us(s->world, dice(s, 2000));
	while (vfs_truncate(s->files[0], SIZE, &err) != 0)
		world_sleep_us(s->world, 5000);
}

/* The faults are over: from here on everything must go well again. */
static void calm(struct storm *s)
{
	for (unsigned t = 0; t < TOKENS; t++)
		fake_set_rights(s->tokens[t], CM_RIGHT_READ | CM_RIGHT_WRITE);
	s->cm->rules[0].times = 0;
}

/* What keeps a store from the server and kills nothing. */
static const int32_t hindrances[] = { 110 /* VBUSY */, 109 /* VOVERQUOTA */, RX_CALL_DEAD, FAKE_REPLY_LOST,
				      RXKAD_EXPIRED };
enum { NHINDRANCES = sizeof(hindrances) / sizeof(hindrances[0]) };

static void chaos(void *arg)
{
	struct storm *s = arg;

	for (unsigned round = 0; round < ROUNDS && s->finished < WRITERS; round++) {
		unsigned what = dice(s, 10), token = dice(s, TOKENS);

		inspect(s);
		if (what < 2 && s->denies) {
			s->ever_denied[token] = true;
			fake_set_rights(s->tokens[token], dice(s, 4) ? CM_RIGHT_READ : 0);
			if (what)
				fake_break(s->vnode);
		} else if (what == 3 && s->cm->rules[0].times == 0) {
			fake_refuse(s->cm, FAKE_STORE, NULL, hindrances[dice(s, NHINDRANCES)], 1 + dice(s, 2));
		} else if (what == 4) {
			third_party(s);
		} else if (what == 5) {
			fake_break(s->vnode);
		} else if (what == 6 && s->truncates && !s->ever_denied[0]) {
			cut(s);
		} else {
			fake_set_rights(s->tokens[token], CM_RIGHT_READ | CM_RIGHT_WRITE);
		}
		world_sleep_us(s->world, dice(s, 4000));
	}
	calm(s);
}

/* What the cache manager's timer does. */
static void ager(void *arg)
{
	struct storm *s = arg;

	while (s->finished < WRITERS + 1) {
		cm_records_age(&s->vnode->records, rx_now_us(s->env), 20000);
		world_sleep_us(s->world, 2000 + dice(s, 8000));
	}
}

/* ---- one seed ---- */

static void begin(struct storm *s, struct vfs_config *config)
{
	struct fake_hooks hooks = { travel, look_at_store, s };
	struct rx_error err = { 0 };

	s->cm = fake_new_in(s->env);
	config->cm = s->cm;
	s->vfs = vfs_new(config, &err);
	s->vnode = fake_vnode(s->cm, SIZE);
	for (uint64_t i = 0; i < SIZE; i++)
		s->vnode->content[i] = first_content(i);
	for (unsigned c = 0; c < CELLS; c++) {
		s->cells[c].last = first_content(offset_of(c));
		s->cells[c].on_server[s->cells[c].last] = true;
	}
	for (unsigned t = 0; t < TOKENS; t++)
		s->tokens[t] = fake_token(s->cm, t ? "B" : "A");
	for (int i = 0; i < WRITERS; i++) {
		HOLDS(s, vfs_open(s->vfs, s->vnode, s->tokens[token_of(i)], true, &s->files[i], &err) == 0);
		s->maps[i] = (uintptr_t)vfs_mmap(s->files[i], SIZE, PROT_READ | PROT_WRITE, 0, &err);
		HOLDS(s, s->maps[i] != 0);
	}
	fake_set_hooks(s->cm, &hooks);
}

static bool is_strangers(unsigned cell)
{
	return cell % (WRITERS + 1) == STRANGER;
}

static unsigned was_told(struct storm *s, enum cm_event_kind kind)
{
	struct fake_event events[EVENTS_MAX];
	unsigned n = fake_events(s->cm, events, EVENTS_MAX), count = 0;

	for (unsigned i = 0; i < n && i < EVENTS_MAX; i++)
		count += events[i].kind == kind;
	return count;
}

/* Everything must come to rest, and memory and server agree. */
static void settle(struct storm *s)
{
	struct rx_error err = { 0 };

	for (int i = 0; i < WRITERS; i++) {
		unsigned tries = 0;

		for (int rc = -1; rc != 0 && tries < 20; tries++) {
			rc = vfs_fsync(s->files[i], &err);
			heard(s, token_of(i), rc, &err);
		}
		HOLDS(s, tries < 20); /* I15 */
		for (tries = 0; tries < 3 && vfs_msync(s->vfs, (void *)s->maps[i], SIZE, MS_SYNC, &err) != 0; tries++)
			heard(s, token_of(i), -1, &err);
		HOLDS(s, tries < 3); /* I6: told once by each cursor */
	}
	HOLDS(s, cm_records_dirty(&s->vnode->records) == 0);
	world_sleep_us(s->world, 2 * VFS_SIGBUS_US); /* pages that gave SIGBUS are given back */
	for (unsigned c = 0; c < CELLS; c++) {
		uint8_t at_server = 0;

		fake_server_read(s->vnode, offset_of(c), &at_server, 1);
		for (int i = 0; i < WRITERS; i++) /* I17 */
			HOLDS(s, soft_load(s->source, s->maps[i] + offset_of(c), i) == at_server);
		HOLDS(s, s->cells[c].on_server[at_server]);
		/* I5. A store's hull, or a gap that it bridges, may bring back what the server had
		 * before a third party's write: the last writer of a range wins, and is told,
		 * unless a later part of that very store was refused: then it is told that. */
		if (s->cells[c].lost)
			continue;
		HOLDS(s, at_server == s->cells[c].last ||
				 (is_strangers(c) && was_told(s, CM_EVENT_OVERWROTE) + was_told(s, CM_EVENT_KILLED)));
	}
}

static void finish(struct storm *s)
{
	struct rx_error err = { 0 };

	s->kills = was_told(s, CM_EVENT_KILLED);
	for (int i = 0; i < WRITERS; i++) {
		HOLDS(s, vfs_munmap(s->vfs, (void *)s->maps[i], SIZE, &err) == 0);
		HOLDS(s, vfs_close(s->files[i], &err) == 0);
	}
	for (unsigned t = 0; t < TOKENS; t++)
		cm_token_put(s->tokens[t]);
	fake_idle(s->cm);
	vfs_free(s->vfs);
	cm_vnode_put(s->vnode);
	fake_free(s->cm);
}

static void conduct(void *arg)
{
	struct storm *s = arg;
	struct vfs_config config = { .conflict_timeout_ms = s->impatient ? 5 : UINT32_MAX,
				     .workers = 2,
				     .source = s->source };
	struct writer writers[WRITERS];
	struct rx_thread *threads[WRITERS], *admin, *timer;

	begin(s, &config);
	for (int i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){ s, i };
		threads[i] = rx_thread_spawn(s->env, "writer", writer, &writers[i]);
	}
	admin = rx_thread_spawn(s->env, "chaos", chaos, s);
	timer = rx_thread_spawn(s->env, "ager", ager, s);
	for (int i = 0; i < WRITERS; i++)
		rx_thread_join(s->env, threads[i]);
	rx_thread_join(s->env, admin);
	settle(s);
	s->finished++;
	rx_thread_join(s->env, timer);
	finish(s);
}

struct outcome {
	uint64_t trace;
	bool ok;
	unsigned kills, stores, buses, cuts;
};

static struct outcome play(uint64_t seed)
{
	struct storm *s = calloc(1, sizeof(*s));
	struct outcome o;

	s->seed = seed;
	s->world = world_new(seed);
	s->env = world_env(s->world);
	s->source = soft_mmu_new(s->env, seed & 1 ? VFS_MODE_FULL : VFS_MODE_BASIC, 8);
	s->denies = seed % 4 > 1;
	s->truncates = seed % 8 > 5;
	s->impatient = seed % 16 > 12;
	o.ok = world_run(s->world, conduct, s);
	if (!o.ok)
		printf("\n  seed %llu: nobody can go on\n", (unsigned long long)seed);
	o.ok = o.ok && s->violations == 0;
	o.trace = world_trace(s->world);
	o.kills = s->kills;
	o.stores = s->stores;
	o.buses = s->buses;
	o.cuts = s->cuts;
	world_free(s->world);
	free(s);
	return o;
}

static void test_storm(void)
{
	const char *seeds_text = getenv("UMAFS_SEEDS"), *first_text = getenv("UMAFS_FIRST_SEED");
	uint64_t seeds = seeds_text ? strtoull(seeds_text, NULL, 10) : 300;
	uint64_t first = first_text ? strtoull(first_text, NULL, 10) : 1;
	struct outcome sum = { 0 };
	bool ok = true;

	for (uint64_t seed = first; seed < first + seeds && ok; seed++) {
		struct outcome o = play(seed);

		ok = o.ok;
		sum.kills += o.kills;
		sum.stores += o.stores;
		sum.buses += o.buses;
		sum.cuts += o.cuts;
	}
	printf("(%u stores, %u kills, %u refusals, %u cuts) ", sum.stores, sum.kills, sum.buses, sum.cuts);
	CU_ASSERT(ok);
	CU_ASSERT(seeds < 300 || (sum.kills > 0 && sum.stores > 0 && sum.buses > 0 && sum.cuts > 0));
}

static void test_determinism(void)
{
	for (uint64_t seed = 1; seed <= 10; seed++)
		CU_ASSERT_EQUAL(play(seed).trace, play(seed).trace);
}

UNIT_MAIN("vfs_storm",
	  { "81 storm_seeded: tokens, pages, mappings, refusals, breaks, third parties, truncation; I1, I3, I5 to I10, "
	    "I15, I17",
	    test_storm },
	  { "one seed, one outcome", test_determinism })
