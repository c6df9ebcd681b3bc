/* The thin layer under every room: clock, wall clock, randomness, threads, locks and
 * waiting. Everything above asks a `struct rx_env`, never the system, so that a
 * deterministic scheduler can stand in for the whole world. rx_env_posix() is the
 * real one. In debug builds (UMAFS_DEBUG) locks check their rank: a thread may only
 * take a lock of a higher rank than those it holds; the order is the list below. */
#ifndef UMAFS_RX_ENV_H
#define UMAFS_RX_ENV_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The lock order of umafs, lowest first. Page bits (vfs-emu) stand before all of it:
 * they are bits to wait on, never mutexes. Nothing here is held over an RPC. */
enum rx_rank {
	RX_RANK_MAPPINGS = 10, /* vfs: address -> mapping, around every userfaultfd ioctl */
	RX_RANK_SPACE = 20,    /* vfs: one address space's pages and size */
	RX_RANK_VNODE = 30,    /* cm: status, rights, promises of one vnode */
	RX_RANK_RECORDS = 40,  /* cm: one vnode's writeback records */
	RX_RANK_CM = 50,       /* cm: tables of cells, servers, volumes, vnodes */
	RX_RANK_TOKEN = 60,    /* cm: credentials of one token, error cursors, events */
	RX_RANK_QUEUE = 70,    /* work queues */
	RX_RANK_LOOP = 80,     /* rx: the endpoint */
	RX_RANK_LEAF = 90,     /* trace output and the like */
};

struct rx_env;

struct rx_mutex {
	struct rx_env *env;
	const char *name;
	int rank;
	pthread_mutex_t m; /* the posix env's; other envs use `held` */
	void *held;
};

struct rx_cond {
	struct rx_env *env;
	pthread_cond_t c;
	void *waiters;
};

struct rx_thread;

struct rx_env_ops {
	uint64_t (*now_us)(struct rx_env *env); /* monotonic, counts suspend */
	int64_t (*wall_s)(struct rx_env *env);  /* seconds since 1970 */
	void (*random)(struct rx_env *env, void *buf, size_t len);
	struct rx_thread *(*spawn)(struct rx_env *env, const char *name, void (*fn)(void *), void *arg);
	void (*join)(struct rx_env *env, struct rx_thread *thread);
	void (*mutex_init)(struct rx_mutex *m);
	void (*mutex_destroy)(struct rx_mutex *m);
	void (*lock)(struct rx_mutex *m);
	void (*unlock)(struct rx_mutex *m);
	void (*cond_init)(struct rx_cond *c);
	void (*cond_destroy)(struct rx_cond *c);
	/* False when `deadline_us` (of now_us; UINT64_MAX = never) passed. */
	bool (*wait)(struct rx_cond *c, struct rx_mutex *m, uint64_t deadline_us);
	void (*wake)(struct rx_cond *c, bool all);
	/* Whether to take the rarer way here (rx/maybe.h; an enum umafs_maybe). NULL: never. */
	bool (*maybe)(struct rx_env *env, int which);
};

struct rx_env {
	const struct rx_env_ops *ops;
};

/* The real world; static, never freed. */
struct rx_env *rx_env_posix(void);

void rx_mutex_init(struct rx_mutex *m, struct rx_env *env, enum rx_rank rank, const char *name);
void rx_mutex_destroy(struct rx_mutex *m);
void rx_mutex_lock(struct rx_mutex *m);
void rx_mutex_unlock(struct rx_mutex *m);
void rx_cond_init(struct rx_cond *c, struct rx_env *env);
void rx_cond_destroy(struct rx_cond *c);

/* The locks a thread holds, for the rank check of debug builds. An env whose threads are
 * not the system's switches the record with them: makes `to` current (NULL: the system
 * thread's own) and returns the one that was. */
enum { RX_HELD_MAX = 16 };
struct rx_held {
	const struct rx_mutex *locks[RX_HELD_MAX];
	int n;
};
struct rx_held *rx_held_switch(struct rx_held *to);

static inline uint64_t rx_now_us(struct rx_env *env)
{
	return env->ops->now_us(env);
}

/* May return true without a signal. */
bool rx_cond_wait(struct rx_cond *c, struct rx_mutex *m, uint64_t deadline_us);

static inline void rx_cond_signal(struct rx_cond *c)
{
	c->env->ops->wake(c, false);
}

static inline void rx_cond_broadcast(struct rx_cond *c)
{
	c->env->ops->wake(c, true);
}

/* The caller owns the thread until rx_thread_join. NULL when none can be made. */
struct rx_thread *rx_thread_spawn(struct rx_env *env, const char *name, void (*fn)(void *), void *arg);
void rx_thread_join(struct rx_env *env, struct rx_thread *thread);

#endif
