/* See world.h. A fiber begins by swapcontext and is switched by _setjmp and _longjmp, which
 * make no system call; ASan is told of each switch, valgrind of each stack. Not thread safe:
 * the whole world lives on the thread that calls world_run. */
#undef _FORTIFY_SOURCE /* its longjmp refuses to change stacks */
#include <assert.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "tests/sim/world.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define SWITCH_START(save, stack, size) __sanitizer_start_switch_fiber(save, stack, size)
#define SWITCH_DONE(save, stack, size) __sanitizer_finish_switch_fiber(save, stack, size)
#else
#define SWITCH_START(save, stack, size) ((void)(save), (void)(stack), (void)(size))
#define SWITCH_DONE(save, stack, size) ((void)(save), (void)(stack), (void)(size))
#endif

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define STACK_BEGIN(from, size) VALGRIND_STACK_REGISTER(from, from + size)
#define STACK_END(id) VALGRIND_STACK_DEREGISTER(id)
#else
#define STACK_BEGIN(from, size) ((void)(from), 0u)
#define STACK_END(id) ((void)(id))
#endif

enum { STACK = 256 * 1024 };

enum fiber_state { READY, WAIT_MUTEX, WAIT_COND, WAIT_JOIN, SLEEP, ENDED };

/* Where control is when it is not running: a fiber's, or that of world_run. */
struct place {
	jmp_buf at;
	ucontext_t first; /* until it has run once */
	bool begun;
	const void *stack;
	size_t size;
	void *fake_stack; /* ASan's */
	unsigned valgrind;
};

struct rx_thread {
	struct rx_thread *next;
	struct world *world;
	struct place place;
	void (*fn)(void *);
	void *arg;
	enum fiber_state state;
	const void *what; /* mutex, condition or fiber it waits for */
	uint64_t deadline;
	bool timed_out;
	struct rx_held held;
	unsigned id;
	int tag;
};

struct world {
	struct rx_env env;
	struct place runner;
	struct rx_thread *fibers, *now_running;
	struct rx_thread **ready; /* in no order that means anything */
	unsigned nready, room;
	unsigned living, want_mutex;
	bool stuck;
	uint64_t now, rng, trace, turns;
	sigset_t signals;
	unsigned maybe;                                  /* per 1000; 0: never */
	uint64_t seasons[(UMAFS_MAYBE_COUNT + 63) / 64]; /* where */
	int64_t wall_at_0;
	unsigned ids;
};

static struct world *world_of(struct rx_env *env)
{
	return (struct world *)env; /* env is its first member */
}

uint64_t world_random(struct world *w)
{
	uint64_t z = (w->rng += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t world_trace(const struct world *w)
{
	return w->trace;
}

static void mix(struct world *w, uint64_t v)
{
	w->trace = (w->trace ^ v) * 0x9e3779b97f4a7c15u;
	w->trace ^= w->trace >> 32;
}

void world_note(struct world *w, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t v;

	mix(w, w->now ^ (uint64_t)len << 48);
	for (; len >= sizeof(v); p += sizeof(v), len -= sizeof(v)) {
		memcpy(&v, p, sizeof(v));
		mix(w, v);
	}
	v = 0;
	memcpy(&v, p, len);
	mix(w, v);
}

static void set_ready(struct rx_thread *f)
{
	struct world *w = f->world;

	w->want_mutex -= f->state == WAIT_MUTEX;
	f->state = READY;
	if (w->nready == w->room) {
		w->room = w->room ? 2 * w->room : 64;
		w->ready = reallocarray(w->ready, w->room, sizeof(struct rx_thread *));
	}
	w->ready[w->nready++] = f;
}

static struct place *current_place(struct world *w)
{
	return w->now_running ? &w->now_running->place : &w->runner;
}

/* Does not return. */
static void enter(struct place *p)
{
	if (p->begun)
		_longjmp(p->at, 1);
	p->begun = true;
	setcontext(&p->first);
	abort();
}

/* Returns when somebody enters `from`. */
static void swap(struct place *from, struct place *to)
{
	if (_setjmp(from->at) == 0)
		enter(to);
}

/* From where control is to `to` (NULL: world_run). */
static void jump(struct world *w, struct rx_thread *to, bool for_ever)
{
	struct place *from = current_place(w), *p = to ? &to->place : &w->runner;

	w->now_running = to;
	rx_held_switch(to ? &to->held : NULL);
	SWITCH_START(for_ever ? NULL : &from->fake_stack, p->stack, p->size);
	swap(from, p);
	SWITCH_DONE(from->fake_stack, NULL, NULL);
}

/* Moves the clock to the earliest deadline and readies its fibers. */
static bool advance(struct world *w)
{
	uint64_t next = UINT64_MAX;

	for (struct rx_thread *f = w->fibers; f; f = f->next)
		if ((f->state == SLEEP || f->state == WAIT_COND) && f->deadline < next)
			next = f->deadline;
	if (next == UINT64_MAX || next > WORLD_DAYS_MAX * 86400000000u)
		return false;
	w->now = next > w->now ? next : w->now;
	for (struct rx_thread *f = w->fibers; f; f = f->next) {
		if ((f->state != SLEEP && f->state != WAIT_COND) || f->deadline > w->now)
			continue;
		f->timed_out = f->state == WAIT_COND;
		set_ready(f);
	}
	return true;
}

/* The next one to run; it leaves the list. NULL: all have ended, or nobody ever can. */
static struct rx_thread *choose(struct world *w)
{
	struct rx_thread *chosen;
	unsigned at;

	if (!w->living)
		return NULL;
	if (++w->turns > WORLD_TURNS_MAX || (!w->nready && !advance(w))) {
		w->stuck = true;
		return NULL;
	}
	at = w->nready > 1 ? (unsigned)(world_random(w) % w->nready) : 0;
	chosen = w->ready[at];
	w->ready[at] = w->ready[--w->nready];
	mix(w, chosen->id);
	return chosen;
}

/* Somebody else's turn, or again this one's. */
static void leave(struct rx_thread *f)
{
	struct rx_thread *to = choose(f->world);

	if (to != f)
		jump(f->world, to, f->state == ENDED);
}

static void fiber_main(unsigned hi, unsigned lo)
{
	struct rx_thread *f = (struct rx_thread *)(((uintptr_t)hi << 32) | lo);
	struct world *w = f->world;

	/* The first fiber of all learns where world_run's own stack lies. */
	SWITCH_DONE(NULL, w->runner.stack ? NULL : &w->runner.stack, w->runner.stack ? NULL : &w->runner.size);
	f->fn(f->arg);
	f->state = ENDED;
	w->living--;
	for (struct rx_thread *o = w->fibers; o; o = o->next)
		if (o->state == WAIT_JOIN && o->what == f)
			set_ready(o);
	leave(f);
	abort();
}

static struct rx_thread *fiber_new(struct rx_env *env, const char *name, void (*fn)(void *), void *arg)
{
	struct world *w = world_of(env);
	struct rx_thread *f = calloc(1, sizeof(*f));

	(void)name;
	f->world = w;
	f->fn = fn;
	f->arg = arg;
	f->id = ++w->ids;
	f->tag = w->now_running ? w->now_running->tag : 0;
	f->place.stack = malloc(STACK);
	f->place.size = STACK;
	f->place.valgrind = STACK_BEGIN((const char *)f->place.stack, STACK);
	getcontext(&f->place.first);
	f->place.first.uc_sigmask = w->signals; /* whoever spawns may have blocked some just for that */
	f->place.first.uc_stack.ss_sp = (void *)(uintptr_t)f->place.stack;
	f->place.first.uc_stack.ss_size = STACK;
	makecontext(&f->place.first, (void (*)(void))fiber_main, 2, (unsigned)((uintptr_t)f >> 32),
		    (unsigned)(uintptr_t)f);
	f->next = w->fibers;
	w->fibers = f;
	w->living++;
	set_ready(f);
	return f;
}

void world_set_tag(struct world *w, int tag)
{
	w->now_running->tag = tag;
}

int world_tag(const struct world *w)
{
	return w->now_running ? w->now_running->tag : 0;
}

void world_set_wall(struct world *w, int64_t s)
{
	w->wall_at_0 = s - (int64_t)(w->now / 1000000u);
}

void world_yield(struct world *w)
{
	if (!w->now_running)
		return;
	set_ready(w->now_running);
	leave(w->now_running);
}

void world_sleep_us(struct world *w, uint64_t us)
{
	struct rx_thread *f = w->now_running;

	f->state = SLEEP;
	f->deadline = w->now + us;
	leave(f);
}

static struct {
	const char *name;
	uint64_t reached, taken;
} maybe_counts[] = {
#define COUNT(point) { .name = #point },
	UMAFS_MAYBES(COUNT)
#undef COUNT
};

unsigned world_maybe_print(FILE *out)
{
	unsigned never = 0;

	fprintf(out, "%d places\n%28s %12s %12s\n", UMAFS_MAYBE_COUNT, "", "reached", "taken");
	for (unsigned i = 0; i < UMAFS_MAYBE_COUNT; i++) {
		fprintf(out, "%28s %12llu %12llu%s\n", maybe_counts[i].name,
			(unsigned long long)maybe_counts[i].reached, (unsigned long long)maybe_counts[i].taken,
			maybe_counts[i].taken ? "" : " !");
		never += maybe_counts[i].taken == 0;
	}
	return never;
}

void world_set_maybe(struct world *w, unsigned per_1000)
{
	w->maybe = per_1000;
	for (size_t i = 0; i < sizeof(w->seasons) / sizeof(*w->seasons); i++)
		w->seasons[i] = world_random(w) & world_random(w);
}

static bool maybe(struct rx_env *env, int which)
{
	struct world *w = world_of(env);
	bool taken;

	maybe_counts[which].reached++;
	if (!w->maybe || !(w->seasons[which / 64] >> which % 64 & 1))
		return false;
	taken = world_random(w) % 1000 < w->maybe;
	maybe_counts[which].taken += taken;
	return taken;
}

static uint64_t now_us(struct rx_env *env)
{
	return world_of(env)->now;
}

static int64_t wall_s(struct rx_env *env)
{
	return world_of(env)->wall_at_0 + (int64_t)(world_of(env)->now / 1000000u);
}

static void random_bytes(struct rx_env *env, void *buf, size_t len)
{
	uint8_t *p = buf;

	while (len-- > 0)
		*p++ = (uint8_t)world_random(world_of(env));
}

static void join(struct rx_env *env, struct rx_thread *t)
{
	struct rx_thread *f = world_of(env)->now_running;

	if (t->state != ENDED) {
		f->state = WAIT_JOIN;
		f->what = t;
		leave(f);
	}
}

static void mutex_init(struct rx_mutex *m)
{
	m->held = NULL;
}

static void mutex_destroy(struct rx_mutex *m)
{
	assert(!m->held);
}

static void take(struct rx_mutex *m, struct rx_thread *f)
{
	while (m->held) {
		f->state = WAIT_MUTEX;
		f->what = m;
		f->world->want_mutex++;
		leave(f);
	}
	m->held = f;
}

static void lock(struct rx_mutex *m)
{
	struct world *w = world_of(m->env);

	world_yield(w);
	if (w->now_running)
		take(m, w->now_running);
}

static void release(struct rx_mutex *m)
{
	struct world *w = world_of(m->env);

	m->held = NULL;
	for (struct rx_thread *o = w->want_mutex ? w->fibers : NULL; o; o = o->next)
		if (o->state == WAIT_MUTEX && o->what == m)
			set_ready(o);
}

static void unlock(struct rx_mutex *m)
{
	if (world_of(m->env)->now_running)
		release(m);
	world_yield(world_of(m->env));
}

static void cond_init(struct rx_cond *c)
{
	(void)c;
}

static bool cond_wait(struct rx_cond *c, struct rx_mutex *m, uint64_t deadline)
{
	struct rx_thread *f = world_of(c->env)->now_running;

	assert(m->held == f);
	release(m);
	f->state = WAIT_COND;
	f->what = c;
	f->deadline = deadline;
	f->timed_out = false;
	leave(f);
	take(m, f);
	return !f->timed_out;
}

static void wake(struct rx_cond *c, bool all)
{
	for (struct rx_thread *o = world_of(c->env)->fibers; o; o = o->next) {
		if (o->state != WAIT_COND || o->what != c)
			continue;
		set_ready(o);
		if (!all)
			return;
	}
}

static const struct rx_env_ops ops = {
	.now_us = now_us,
	.wall_s = wall_s,
	.random = random_bytes,
	.spawn = fiber_new,
	.join = join,
	.mutex_init = mutex_init,
	.mutex_destroy = mutex_destroy,
	.lock = lock,
	.unlock = unlock,
	.cond_init = cond_init,
	.cond_destroy = cond_init,
	.wait = cond_wait,
	.wake = wake,
	.maybe = maybe,
};

struct world *world_new(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));

	w->env.ops = &ops;
	w->rng = seed;
	w->now = 1000000;
	sigprocmask(SIG_SETMASK, NULL, &w->signals);
	w->wall_at_0 = 1700000000;
	return w;
}

void world_free(struct world *w)
{
	while (w->fibers) {
		struct rx_thread *f = w->fibers;

		w->fibers = f->next;
		STACK_END(f->place.valgrind);
		free((void *)(uintptr_t)f->place.stack);
		free(f);
	}
	free(w->ready);
	free(w);
}

struct rx_env *world_env(struct world *w)
{
	return &w->env;
}

bool world_run(struct world *w, void (*main_fn)(void *), void *arg)
{
	fiber_new(&w->env, "main", main_fn, arg);
	w->runner.begun = true;
	jump(w, choose(w), false);
	return !w->stuck;
}
