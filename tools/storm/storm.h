/* A storm: random operations by several clients with several users under random faults,
 * against a model of what AFS promises. A seed gives a plan, a list of events with times;
 * a stage says where it is played (the deterministic world, or real sockets and real
 * mappings); play() runs it and returns the first broken promise; shrink() finds a short
 * plan that still breaks one.
 *
 * The model is exact because of who writes what. Each actor, one user on one client, is
 * one thread. In the shared files each byte that is used (a cell) has one writing actor,
 * whose values count up from 1, so a cell that goes back is seen; a few cells are
 * contested by all. Each actor has one file and a few names that nobody else changes. */
#ifndef UMAFS_TOOLS_STORM_H
#define UMAFS_TOOLS_STORM_H

#include <stdio.h>

#include "vfs-emu/vfs.h"

enum {
	STORM_CLIENTS = 2,
	STORM_USERS = 2, /* of each client: alice, bob */
	STORM_ACTORS = STORM_CLIENTS * STORM_USERS,
	STORM_ADMIN = STORM_CLIENTS, /* the client that sets up, changes rights and looks in the end */
	STORM_DIRS = 2,
	STORM_FILES = 2, /* shared; one in each directory */
	STORM_PAGES = 4, /* of every file */
	STORM_PER_PAGE = 10,
	STORM_CELLS = STORM_PAGES * STORM_PER_PAGE,
	STORM_NAMES = 3, /* of each actor in each directory */
	STORM_SIZE = STORM_PAGES * CM_PAGE,
	STORM_TEXT_MAX = 160,
};

/* ---- plans ---- */

/* A word and the names of up to four numbers. Acts are those of a client's user. */
#define STORM_ACTS(X)                                                                                                  \
	X(STORE, "store", "file", "cell", NULL, NULL) /* through the mapping, a cell of one's own */                   \
	X(LOAD, "load", "file", "cell", NULL, NULL)   /* any cell */                                                   \
	X(WRITE, "write", "file", "cell", NULL, NULL)                                                                  \
	X(READ, "read", "file", "cell", NULL, NULL)                                                                    \
	X(MSYNC, "msync", "file", NULL, NULL, NULL)                                                                    \
	X(ASYNC, "msync-async", "file", NULL, NULL, NULL)                                                              \
	X(FSYNC, "fsync", "file", NULL, NULL, NULL)                                                                    \
	X(CLOSE, "close", "file", NULL, NULL, NULL) /* unmap and close; opened again when needed */                    \
	X(STAT, "stat", "file", NULL, NULL, NULL)                                                                      \
	X(OWN_WRITE, "own-write", "off", "len", NULL, NULL) /* one's own file, any bytes */                            \
	X(OWN_STORE, "own-store", "off", "len", NULL, NULL)                                                            \
	X(OWN_READ, "own-read", "off", "len", NULL, NULL)                                                              \
	X(OWN_LOAD, "own-load", "off", "len", NULL, NULL)                                                              \
	X(OWN_TRUNCATE, "own-truncate", "size", NULL, NULL, NULL)                                                      \
	X(OWN_SYNC, "own-sync", NULL, NULL, NULL, NULL)                                                                \
	X(OWN_CLOSE, "own-close", NULL, NULL, NULL, NULL)                                                              \
	X(OWN_TOUCH, "own-touch", "mtime", "mode", NULL, NULL)                                                         \
	X(CREATE, "create", "dir", "name", NULL, NULL)                                                                 \
	X(MKDIR, "mkdir", "dir", "name", NULL, NULL)                                                                   \
	X(SYMLINK, "symlink", "dir", "name", NULL, NULL)                                                               \
	X(LINK, "link", "dir", "name", "to", NULL) /* a second name in the same directory */                           \
	X(UNLINK, "unlink", "dir", "name", NULL, NULL)                                                                 \
	X(RMDIR, "rmdir", "dir", "name", NULL, NULL)                                                                   \
	X(RENAME, "rename", "dir", "name", "to-dir", "to")                                                             \
	X(LOOKUP, "lookup", "dir", "name", NULL, NULL)                                                                 \
	X(LIST, "list", "dir", NULL, NULL, NULL)

/* Faults strike whoever they meet. */
#define STORM_STRIKES(X)                                                                                               \
	X(RIGHTS, "rights", "dir", "user", "rights", NULL) /* what the user may do there from now on (CM_RIGHT_*) */   \
	X(REFUSE, "refuse", "user", "times", NULL, NULL)   /* so many of the user's stores, whatever the rights are */ \
	X(RULE, "rule", NULL, NULL, NULL, NULL)            /* text: a rule of doc/fault-scripts.md, with its name */   \
	X(UNRULE, "unrule", NULL, NULL, NULL, NULL)        /* text: its name */                                        \
	X(CUT, "cut", "client", "ms", NULL, NULL)          /* nothing reaches it or leaves it for so long */           \
	X(CRASH, "crash", "client", NULL, NULL, NULL)      /* a client dies with what it had, and is started again */  \
	X(RESTART, "restart", NULL, NULL, NULL, NULL)      /* the servers forget all but volumes */                    \
	X(TICKET, "ticket", "client", "user", "life", NULL) /* a newer ticket for so many seconds */                   \
	X(DIES, "cell-dies", "after", "ms", "power", NULL) /* the cell, so many more bytes on; comes back from disk */ \
	X(DISK, "disk", "brief", "eio", "full", NULL)      /* what befalls so many in 1000 uses of the cell's disk */  \
	X(CLOCK, "clock", "cell", "ahead", "behind", NULL) /* the cell's (1) or the clients' (0) steps; seconds */     \
	X(MOVE, "move", "server", NULL, NULL, NULL)   /* the volume lies on that server of the cell from now on */     \
	X(RELEASE, "release", NULL, NULL, NULL, NULL) /* text: the gate that a rule holds calls or packets at */

enum storm_kind {
#define STORM_ENUM(name, ...) STORM_##name,
	STORM_ACTS(STORM_ENUM) STORM_ACT_COUNT,
	STORM_BEFORE_STRIKES = STORM_ACT_COUNT - 1,
	STORM_STRIKES(STORM_ENUM)
#undef STORM_ENUM
		STORM_KINDS
};
const char *storm_kind_name(enum storm_kind kind);
const char *storm_user_name(unsigned user);

struct storm_event {
	uint64_t at_us; /* from the beginning of the play; later if its actor is still busy */
	enum storm_kind kind;
	unsigned actor; /* acts: client * STORM_USERS + user */
	uint32_t args[4];
	char text[STORM_TEXT_MAX];
};

/* What the plan as a whole is played with. */
struct storm_weather {
	uint32_t delay_us, jitter_us, loss, duplicate; /* of the network; loss, duplicate per 1000 */
	uint32_t full;                                 /* the way of userfaultfd: 1 FULL, 0 BASIC */
	uint32_t mixed;                                /* 1: each page has cells of both clients */
	uint32_t dirty_age_ms;                         /* after which changes are stored */
	uint32_t conflict_ms;                          /* how long a writer waits for another's; 0: for ever */
	uint32_t life_s;                               /* of the first tickets */
	uint32_t disk;                                 /* where the cell is: enum storm_disk */
	uint32_t servers;                              /* of the cell; 0: one */
	uint32_t maybe;                                /* how often the rarer way is gone; per 1000 */
};

enum storm_disk { STORM_DISK_NONE, STORM_DISK_KEPT, STORM_DISK_SYNCED }; /* through kill -9; power failures too */

struct storm_plan {
	uint64_t seed; /* of the stage's own dice */
	struct storm_weather weather;
	struct storm_event *events; /* malloc'ed; in order of time */
	size_t n;
};

/* What may strike: bits of `faults`; a stage says what it can do. */
enum {
	STORM_F_NET = 1,     /* loss, duplicates */
	STORM_F_CUT = 2,     /* a client alone */
	STORM_F_RIGHTS = 4,  /* taken and given */
	STORM_F_RPC = 8,     /* rpc rules */
	STORM_F_PACKET = 16, /* packet rules */
	STORM_F_CRASH = 32,
	STORM_F_RESTART = 64,
	STORM_F_TICKET = 128,
	STORM_F_DISK = 256,  /* the cell's: it fails, and the cell dies on it */
	STORM_F_MAYBE = 512, /* the rarer of two right ways in the code (rx/maybe.h) */
	STORM_F_CLOCK = 1024,
	STORM_F_MOVE = 2048, /* the volume, between two servers */
	STORM_F_HOLD = 4096, /* rules that hold */
	STORM_F_ALL = 8192,
};

/* A pure function of its arguments. */
void storm_plan_make(struct storm_plan *plan, uint64_t seed, unsigned events, unsigned faults);
void storm_plan_free(struct storm_plan *plan);
void storm_plan_print(const struct storm_plan *plan, FILE *out);
void storm_event_print(const struct storm_event *e, FILE *out);
/* What storm_plan_print wrote; -1 with line and reason. */
int storm_plan_read(struct storm_plan *plan, FILE *in, struct rx_error *err);

/* ---- stages ---- */

struct storm_stage;
struct storm_play;

/* The functions are called on the play's threads, without locks. Those of faults that the
 * stage cannot do are NULL: those do not strike. */
struct storm_stage_ops {
	/* Before anything else: a cell with the users alice, bob and admin, and a volume at
	 * stage->root where admin may do everything. `play` is who is told of stores. */
	int (*begin)(struct storm_stage *s, const struct storm_plan *plan, struct storm_play *play,
		     struct rx_error *err);
	void (*end)(struct storm_stage *s);
	/* Fills in what a client (STORM_ADMIN too) needs: env, net, confdir; source or mode. */
	int (*client)(struct storm_stage *s, unsigned client, struct cm_config *cm, struct vfs_config *vfs,
		      struct rx_error *err);
	/* What cm_token_open takes; user STORM_USERS: admin. Valid until the next call. */
	const char *(*token)(struct storm_stage *s, unsigned client, unsigned user);
	/* One byte through a mapping; -1: SIGBUS. */
	int (*load)(struct storm_stage *s, unsigned client, uintptr_t addr, unsigned actor);
	int (*store)(struct storm_stage *s, unsigned client, uintptr_t addr, unsigned actor, uint8_t value);
	/* A file's content at the server; -1: it cannot be seen. */
	int64_t (*peek)(struct storm_stage *s, const struct cm_fid *fid, uint8_t *buf, size_t cap);

	/* Whether the server could not tell this client something yet. NULL: nobody knows. */
	bool (*missed)(struct storm_stage *s, unsigned client);

	int (*rule)(struct storm_stage *s, const char *line, struct rx_error *err);
	void (*unrule)(struct storm_stage *s, const char *name);
	void (*cut)(struct storm_stage *s, unsigned client, bool on);
	int (*restart)(struct storm_stage *s, struct rx_error *err);
	/* The cell dies once it has written so many more bytes (0: now), at the latest when it
	 * comes back from its directory; power: what it had not synced by then may be gone. */
	void (*die)(struct storm_stage *s, uint32_t after, bool power);
	int (*come_back)(struct storm_stage *s, struct rx_error *err);
	/* Of a thousand uses of its disk: cut short, failed, refused for want of room. */
	void (*disk)(struct storm_stage *s, const uint32_t per_1000[3]);
	void (*clock)(struct storm_stage *s, bool cell, int64_t step_s);
	void (*move)(struct storm_stage *s, unsigned server);
	void (*release)(struct storm_stage *s, const char *gate);
	int (*ticket)(struct storm_stage *s, unsigned client, unsigned user, int64_t life_s, struct rx_error *err);
	/* Nothing strikes any more, the network loses nothing, the clients' clocks are right. */
	void (*calm)(struct storm_stage *s);
};

struct storm_stage {
	const struct storm_stage_ops *ops;
	struct rx_env *env;
	unsigned faults;  /* STORM_F_* that it can do */
	const char *root; /* path of a directory; the play makes its own below */
	bool hurried;     /* its time is real: a client that missed something is made to call, not waited for */
	FILE *trace;      /* gets a line for each event when it is over; NULL: none */
};

/* A StoreData under way at the server: before it is carried out, and after. user: as the
 * server knows it; DONE: it is acknowledged next. To be called by stages that can peek. */
enum storm_store { STORM_STORE_BEGINS, STORM_STORE_FAILED, STORM_STORE_DONE };
void storm_saw_store(struct storm_play *play, unsigned client, const char *user, const struct cm_fid *fid,
		     enum storm_store what);

/* ---- playing ---- */

struct storm_counts {
	uint64_t plays, done[STORM_KINDS], failed[STORM_KINDS]; /* acts and strikes */
	uint64_t stores, kills, overwrites, sigbuses, virtual_us;
};

struct storm_verdict {
	bool ok;          /* atomic while it is played */
	char broken[400]; /* the first promise that was not kept: when, who, what */
};

/* NULL counts: nobody asks. A world in which nobody can go on does not return here. */
void storm_play(const struct storm_plan *plan, struct storm_stage *stage, struct storm_verdict *verdict,
		struct storm_counts *counts);
void storm_counts_print(const struct storm_counts *c, FILE *out);

/* ---- shrinking ---- */

/* Plays a plan from nothing; false: it breaks a promise, or nobody can go on. */
typedef bool storm_holds_fn(void *arg, const struct storm_plan *plan);
/* Takes events out of a plan that fails as long as it still fails; at most `plays` times.
 * Returns how many plays that took. */
unsigned storm_shrink(struct storm_plan *plan, storm_holds_fn *holds, void *arg, unsigned plays);

#endif
