/* The real records, flusher and cursors in the deterministic world: writers of three
 * tokens, a reader, a truncater and fsyncs on a handful of pages, against a server that
 * takes rights away and is busy at random. Each page holds one cell that names its
 * author, so every value seen anywhere can be judged. $UMAFS_SEEDS sets how many worlds. */
#include <assert.h>

#include "cm/record.h"
#include "tests/unit.h"
#include "tests/sim/world.h"

enum { PAGES = 6, TOKENS = 3, STEPS = 30, WORKERS = 2, CELLS_MAX = 4096 };

struct cm_token {
	unsigned id;
	bool allowed;
	unsigned told, killed;
};

struct page {
	bool u, d, w;
	uint32_t cell; /* serial number of the store that made it; 0 = the server's first */
};

struct cm_vnode {
	struct cm_records records;
	struct world *world;
	struct rx_env *env;
	struct rx_mutex lock; /* the space's */
	struct rx_cond changed;
	struct page pages[PAGES];
	uint32_t server[PAGES];
	struct cm_token tokens[TOKENS];
	uint32_t cells;
	unsigned author[CELLS_MAX];
	bool killed[CELLS_MAX];
	struct rx_mutex work_lock;
	struct rx_cond work_ready;
	struct {
		void (*fn)(void *);
		void *arg;
	} work[64];
	unsigned nwork, writers;
	bool calm, quit;
	int refs;
	unsigned violations;
};

/* The one world that runs; the stand-ins below have no other way to it. */
static struct cm_vnode *world_vnode;

#define HOLDS(v, what) ((v)->violations += !(what))

struct cm_vnode *cm_vnode_get(struct cm_vnode *v)
{
	v->refs++;
	return v;
}

void cm_vnode_put(struct cm_vnode *v)
{
	v->refs--;
}

struct cm_token *cm_token_get(struct cm_token *t)
{
	return t;
}

void cm_token_put(struct cm_token *t)
{
	(void)t;
}

const char *cm_token_name(struct cm_token *t, char buf[256])
{
	(void)t;
	return strcpy(buf, "somebody");
}

struct cm *cm_vnode_cm(struct cm_vnode *v)
{
	(void)v;
	return NULL;
}

struct cm_records *cm_vnode_records(struct cm_vnode *v)
{
	return &v->records;
}

uint64_t cm_inval_gen(const struct cm_vnode *v)
{
	(void)v;
	return 0;
}

void cm_flush_timer(struct cm_vnode *v, uint64_t when_us)
{
	(void)v, (void)when_us;
}

void cm_trace(struct cm *cm, const struct cm_trace_event *ev)
{
	(void)cm, (void)ev;
}

void cm_forget_rights(struct cm_vnode *v, struct cm_token *t)
{
	(void)v, (void)t;
}

int cm_token_refresh(struct cm_token *t, struct rx_error *err)
{
	(void)t, (void)err;
	return -1;
}

void cm_emit(struct cm *cm, const struct cm_event *ev)
{
	(void)cm;
	if (ev->kind == CM_EVENT_KILLED)
		ev->token->killed++;
}

bool cm_work(struct cm *cm, void (*fn)(void *), void *arg)
{
	struct cm_vnode *v = world_vnode;

	(void)cm;
	rx_mutex_lock(&v->work_lock);
	assert(v->nwork < 64);
	v->work[v->nwork].fn = fn;
	v->work[v->nwork++].arg = arg;
	rx_cond_signal(&v->work_ready);
	rx_mutex_unlock(&v->work_lock);
	return true;
}

uint64_t cm_data_version(const struct cm_vnode *v)
{
	(void)v;
	return 1;
}

bool cm_has_moved(const struct cm_vnode *v, uint64_t version)
{
	(void)v;
	return version != 1;
}

int cm_store_runs(struct cm_vnode *v, struct cm_token *t, const struct cm_plan *plan, bool sync, struct rx_error *err)
{
	(void)sync;
	for (unsigned i = world_random(v->world) % 4; i > 0; i--)
		world_yield(v->world);
	if (!t->allowed)
		return rx_error_set(err, RX_ORIGIN_AFS, 13, EACCES, "refused");
	if (!v->calm && world_random(v->world) % 8 == 0)
		return rx_error_set(err, RX_ORIGIN_AFS, 110, EBUSY, "busy");
	for (size_t i = 0; i < plan->nruns; i++) {
		const struct cm_run *r = &plan->runs[i];
		uint32_t cell;

		memcpy(&cell, r->bytes, sizeof(cell));
		HOLDS(v, cell == v->server[r->off / CM_PAGE] || v->author[cell] == t->id); /* I1 */
		HOLDS(v, !v->killed[cell]);                                                /* I2 */
		v->server[r->off / CM_PAGE] = cell;
	}
	return 0;
}

static int prepare(void *space, const struct cm_record_view *r, bool promise_broken, struct cm_plan *plan)
{
	struct cm_vnode *v = space;
	size_t n = (size_t)(r->last - r->first + 1);
	uint32_t *cells = calloc(n, sizeof(*cells));

	(void)promise_broken;
	plan->buffer = (uint8_t *)cells;
	plan->runs = calloc(n, sizeof(*plan->runs));
	rx_mutex_lock(&v->lock);
	for (uint64_t i = r->first; i <= r->last; i++) {
		struct page *p = &v->pages[i];

		HOLDS(v, p->u && p->d && !p->w); /* I7 */
		p->d = false;
		p->w = true;
		cells[i - r->first] = p->cell;
		plan->runs[plan->nruns++] = (struct cm_run){
			.off = i * CM_PAGE,
			.len = sizeof(*cells),
			.bytes = (const uint8_t *)&cells[i - r->first],
		};
	}
	rx_mutex_unlock(&v->lock);
	return 0;
}

static void settle(void *space, const struct cm_record_view *r, enum cm_verdict verdict)
{
	struct cm_vnode *v = space;

	rx_mutex_lock(&v->lock);
	for (uint64_t i = r->first; i <= r->last; i++) {
		struct page *p = &v->pages[i];

		HOLDS(v, p->w || p->d);
		if (verdict == CM_VERDICT_KILL) {
			HOLDS(v, v->author[p->cell] == r->token->id); /* I4 */
			v->killed[p->cell] = true;
			p->u = p->d = p->w = false;
		} else {
			p->w = false;
			p->d = verdict == CM_VERDICT_KEEP;
		}
	}
	rx_mutex_unlock(&v->lock);
}

static void changed(void *space)
{
	struct cm_vnode *v = space;

	rx_mutex_lock(&v->lock);
	rx_cond_broadcast(&v->changed);
	rx_mutex_unlock(&v->lock);
}

static const struct cm_space_ops ops = {
	.prepare = prepare, .settle = settle, .changed = changed, .invalidate = changed
};

/* page_mkwrite as a writer sees it: from the top again after every wait. */
static void store(struct cm_vnode *v, struct cm_token *t, unsigned index)
{
	struct page *p = &v->pages[index];
	struct cm_record_view r;

	rx_mutex_lock(&v->lock);
	for (;;) {
		if (!p->u) {
			rx_mutex_unlock(&v->lock);
			world_yield(v->world);
			rx_mutex_lock(&v->lock);
			if (!p->u) {
				p->cell = v->server[index];
				p->u = true;
			}
			continue;
		}
		if (cm_record_grant(v, t, index, 0, CM_PAGE, true, &r) == CM_GRANTED && !p->w)
			break;
		rx_cond_wait(&v->changed, &v->lock, rx_now_us(v->env) + 2000000);
	}
	p->d = true;
	p->cell = ++v->cells;
	assert(p->cell < CELLS_MAX);
	v->author[p->cell] = t->id;
	rx_mutex_unlock(&v->lock);
}

static void writer(void *arg)
{
	struct cm_token *t = arg;
	struct cm_vnode *v = world_vnode;
	uint64_t cursor = cm_cursor_sample(v, t);
	struct rx_error err;

	for (unsigned step = 0; step < STEPS; step++) {
		store(v, t, (unsigned)(world_random(v->world) % PAGES));
		if (world_random(v->world) % 6 == 0)
			t->allowed = !t->allowed;
		if (world_random(v->world) % 5 == 0)
			cm_flush(v, t, 0, UINT64_MAX, false, NULL);
		if (cm_cursor_check(v, t, &cursor, &err) != 0)
			t->told++;
	}
	t->allowed = true;
	v->writers--;
}

static void reader(void *arg)
{
	struct cm_vnode *v = arg;

	while (v->writers > 0) {
		rx_mutex_lock(&v->lock);
		for (unsigned i = 0; i < PAGES; i++)
			HOLDS(v, !v->pages[i].u || !v->killed[v->pages[i].cell]); /* I3 */
		rx_mutex_unlock(&v->lock);
		world_sleep_us(v->world, 1000);
	}
}

static void worker(void *arg)
{
	struct cm_vnode *v = arg;

	rx_mutex_lock(&v->work_lock);
	while (!v->quit || v->nwork > 0) {
		void (*fn)(void *);
		void *fn_arg;

		if (v->nwork == 0) {
			rx_cond_wait(&v->work_ready, &v->work_lock, UINT64_MAX);
			continue;
		}
		fn = v->work[0].fn;
		fn_arg = v->work[0].arg;
		memmove(&v->work[0], &v->work[1], --v->nwork * sizeof(v->work[0]));
		rx_mutex_unlock(&v->work_lock);
		fn(fn_arg);
		rx_mutex_lock(&v->work_lock);
	}
	rx_mutex_unlock(&v->work_lock);
}

/* Time passing: what the flush timer of the whole room does. */
static void ager(void *arg)
{
	struct cm_vnode *v = arg;

	while (v->writers > 0) {
		world_sleep_us(v->world, 500000);
		cm_records_age(&v->records, rx_now_us(v->env), 5000000);
	}
}

static void conduct(void *arg)
{
	struct cm_vnode *v = arg;
	struct rx_thread *t[TOKENS + WORKERS + 2];
	unsigned n = 0;

	cm_records_init(&v->records, v, v->env);
	cm_space_attach(v, &ops, v);
	for (unsigned i = 0; i < WORKERS; i++)
		t[n++] = rx_thread_spawn(v->env, "worker", worker, v);
	for (unsigned i = 0; i < TOKENS; i++)
		t[n++] = rx_thread_spawn(v->env, "writer", writer, &v->tokens[i]);
	t[n++] = rx_thread_spawn(v->env, "reader", reader, v);
	t[n++] = rx_thread_spawn(v->env, "ager", ager, v);
	for (unsigned i = WORKERS; i < n; i++)
		rx_thread_join(v->env, t[i]);
	v->calm = true;
	while (cm_flush(v, NULL, 0, UINT64_MAX, false, NULL) != 0)
		;
	HOLDS(v, cm_records_dirty(&v->records) == 0); /* I5, I17 */
	for (unsigned i = 0; i < PAGES; i++)
		HOLDS(v, !v->pages[i].u || v->pages[i].cell == v->server[i]);
	rx_mutex_lock(&v->work_lock);
	v->quit = true;
	rx_cond_broadcast(&v->work_ready);
	rx_mutex_unlock(&v->work_lock);
	for (unsigned i = 0; i < WORKERS; i++)
		rx_thread_join(v->env, t[i]);
	cm_space_detach(v);
	cm_records_destroy(&v->records);
	HOLDS(v, v->refs == 1);
	for (unsigned i = 0; i < TOKENS; i++)
		HOLDS(v, v->tokens[i].told <= v->tokens[i].killed); /* I6 */
}

/* Returns the trace; *ok: no deadlock and every invariant held. */
static uint64_t play(uint64_t seed, bool *ok, unsigned *kills)
{
	struct world *w = world_new(seed);
	struct cm_vnode *v = calloc(1, sizeof(*v));
	uint64_t trace;

	world_vnode = v;
	v->world = w;
	v->env = world_env(w);
	v->refs = 1;
	v->writers = TOKENS;
	for (unsigned i = 0; i < TOKENS; i++)
		v->tokens[i] = (struct cm_token){ .id = i + 1, .allowed = true };
	rx_mutex_init(&v->lock, v->env, RX_RANK_SPACE, "space");
	rx_cond_init(&v->changed, v->env);
	rx_mutex_init(&v->work_lock, v->env, RX_RANK_QUEUE, "work");
	rx_cond_init(&v->work_ready, v->env);
	*ok = world_run(w, conduct, v) && v->violations == 0;
	for (unsigned i = 0; i < TOKENS; i++)
		*kills += v->tokens[i].killed;
	trace = world_trace(w);
	world_free(w);
	free(v);
	return trace;
}

static void test_storm(void)
{
	const char *env = getenv("UMAFS_SEEDS");
	unsigned seeds = env ? (unsigned)atoi(env) : 300, kills = 0;
	bool ok = true;

	for (unsigned seed = 1; seed <= seeds && ok; seed++) {
		play(seed, &ok, &kills);
		if (!ok)
			printf("seed %u ", seed);
	}
	CU_ASSERT_TRUE(ok);
	CU_ASSERT(kills > 0);
}

static void test_determinism(void)
{
	unsigned kills = 0;
	bool ok;

	for (uint64_t seed = 1; seed <= 10; seed++)
		CU_ASSERT_EQUAL(play(seed, &ok, &kills), play(seed, &ok, &kills));
}

UNIT_MAIN("record_storm",
	  { "81 storm_seeded: tokens, pages, random stores, refusals, busy server; I1-I7, I14, I17 each step",
	    test_storm },
	  { "one seed, one outcome", test_determinism })
