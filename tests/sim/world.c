/* See world.h. Fibers are ucontexts; ASan is told of each switch. Not thread safe: the
 * whole world lives on the thread that calls world_run. */
#include <assert.h>
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

enum { STACK = 256 * 1024 };

enum fiber_state { READY, WAIT_MUTEX, WAIT_COND, WAIT_JOIN, SLEEP, ENDED };

struct rx_thread {
	struct rx_thread *next;
	struct world *world;
	ucontext_t ctx;
	char *stack;
	void *fake_stack; /* ASan's */
	void (*fn)(void *);
	void *arg;
	enum fiber_state state;
	const void *what; /* mutex, condition or fiber it waits for */
	uint64_t deadline;
	bool timed_out;
	struct rx_held held;
	unsigned id;
};

struct world {
	struct rx_env env;
	ucontext_t scheduler;
	void *scheduler_fake;
	const void *scheduler_stack;
	size_t scheduler_size;
	struct rx_thread *fibers, *now_running;
	uint64_t now, rng, trace;
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

/* Back to the scheduler; returns when this fiber is chosen again. */
static void leave(struct rx_thread *f)
{
	struct world *w = f->world;

	SWITCH_START(f->state == ENDED ? NULL : &f->fake_stack, w->scheduler_stack, w->scheduler_size);
	swapcontext(&f->ctx, &w->scheduler);
	SWITCH_DONE(f->fake_stack, &w->scheduler_stack, &w->scheduler_size);
}

static void fiber_main(unsigned hi, unsigned lo)
{
	struct rx_thread *f = (struct rx_thread *)(((uintptr_t)hi << 32) | lo);

	SWITCH_DONE(NULL, &f->world->scheduler_stack, &f->world->scheduler_size);
	f->fn(f->arg);
	f->state = ENDED;
	for (struct rx_thread *o = f->world->fibers; o; o = o->next)
		if (o->state == WAIT_JOIN && o->what == f)
			o->state = READY;
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
	f->stack = malloc(STACK);
	getcontext(&f->ctx);
	f->ctx.uc_stack.ss_sp = f->stack;
	f->ctx.uc_stack.ss_size = STACK;
	makecontext(&f->ctx, (void (*)(void))fiber_main, 2, (unsigned)((uintptr_t)f >> 32), (unsigned)(uintptr_t)f);
	f->next = w->fibers;
	w->fibers = f;
	return f;
}

void world_yield(struct world *w)
{
	if (w->now_running)
		leave(w->now_running);
}

void world_sleep_us(struct world *w, uint64_t us)
{
	struct rx_thread *f = w->now_running;

	f->state = SLEEP;
	f->deadline = w->now + us;
	leave(f);
}

static uint64_t now_us(struct rx_env *env)
{
	return world_of(env)->now;
}

static int64_t wall_s(struct rx_env *env)
{
	return 1700000000 + (int64_t)(world_of(env)->now / 1000000u);
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
	m->held = NULL;
	for (struct rx_thread *o = world_of(m->env)->fibers; o; o = o->next)
		if (o->state == WAIT_MUTEX && o->what == m)
			o->state = READY;
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
		o->state = READY;
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
};

struct world *world_new(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));

	w->env.ops = &ops;
	w->rng = seed;
	w->now = 1000000;
	return w;
}

void world_free(struct world *w)
{
	while (w->fibers) {
		struct rx_thread *f = w->fibers;

		w->fibers = f->next;
		free(f->stack);
		free(f);
	}
	free(w);
}

struct rx_env *world_env(struct world *w)
{
	return &w->env;
}

/* Moves the clock to the earliest deadline and readies its fibers. */
static bool advance(struct world *w)
{
	uint64_t next = UINT64_MAX;

	for (struct rx_thread *f = w->fibers; f; f = f->next)
		if ((f->state == SLEEP || f->state == WAIT_COND) && f->deadline < next)
			next = f->deadline;
	if (next == UINT64_MAX)
		return false;
	w->now = next > w->now ? next : w->now;
	for (struct rx_thread *f = w->fibers; f; f = f->next) {
		if ((f->state != SLEEP && f->state != WAIT_COND) || f->deadline > w->now)
			continue;
		f->timed_out = f->state == WAIT_COND;
		f->state = READY;
	}
	return true;
}

static struct rx_thread *choose(struct world *w)
{
	struct rx_thread *chosen = NULL;
	uint64_t ready = 0, at;

	for (struct rx_thread *f = w->fibers; f; f = f->next)
		ready += f->state == READY;
	if (ready == 0)
		return NULL;
	at = world_random(w) % ready;
	for (struct rx_thread *f = w->fibers; f && !chosen; f = f->next)
		if (f->state == READY && at-- == 0)
			chosen = f;
	w->trace = (w->trace ^ chosen->id) * 0x100000001b3u;
	return chosen;
}

static bool all_ended(const struct world *w)
{
	for (const struct rx_thread *f = w->fibers; f; f = f->next)
		if (f->state != ENDED)
			return false;
	return true;
}

bool world_run(struct world *w, void (*main_fn)(void *), void *arg)
{
	struct rx_thread *f;

	fiber_new(&w->env, "main", main_fn, arg);
	while (!all_ended(w)) {
		f = choose(w);
		if (!f) {
			if (!advance(w))
				return false;
			continue;
		}
		w->now_running = f;
		rx_held_switch(&f->held);
		SWITCH_START(&w->scheduler_fake, f->stack, STACK);
		swapcontext(&w->scheduler, &f->ctx);
		SWITCH_DONE(w->scheduler_fake, NULL, NULL);
		rx_held_switch(NULL);
		w->now_running = NULL;
	}
	return true;
}
