/* What the files of a play share: the model, and who acts in it. One lock covers the
 * model; it is the lowest of all, because the server's content is looked at under it, and
 * is held over no act. */
#ifndef UMAFS_TOOLS_STORM_PLAY_H
#define UMAFS_TOOLS_STORM_PLAY_H

#include "tools/storm/storm.h"

enum {
	STORM_RANK = 1,
	STORM_CONTESTED = STORM_ACTORS, /* as a cell's owner: all actors, or all of one client */
	STORM_OWN = STORM_FILES,        /* as a handle's number: the actor's own file */
	STORM_HANDLES = STORM_FILES + 1,
	STORM_VIEWS = 24,   /* of an own file, since it was last known to be on the server */
	STORM_OBJECTS = 32, /* that one actor's names ever led to; 0: none */
	STORM_REGRESSES = 64,
	STORM_ALL_RIGHTS = CM_RIGHTS_ALL & ~CM_RIGHT_ADMINISTER,
	STORM_SHORT_LIFE_S = 10000, /* tickets that may end before the play does */
};

struct storm_cell {
	uint8_t last;      /* its owner's last value that went in */
	uint8_t tried;     /* and the last one that was tried */
	uint8_t floor;     /* what the server holds at least, by fsync's word */
	uint8_t on_server; /* what it was seen to hold */
	uint8_t acked;     /* ... when it acknowledged a store */
	uint8_t seen[STORM_CLIENTS + 1];
	bool doubt;         /* `last` may have been thrown away, and then its owner was told */
	bool died;          /* or went with a client */
	bool overwritten;   /* an older value came back with another client's store */
	unsigned covers;    /* how often */
	uint32_t values[8]; /* contested: bit n: n was tried */
};

struct storm_file {
	char path[128];
	struct cm_fid fid;
	struct storm_cell cells[STORM_CELLS];
	bool dirty[STORM_ACTORS][STORM_PAGES]; /* maybe: written and not synced since */
};

/* An own file at one moment. */
struct storm_view {
	uint64_t size, off, end; /* [off, end): what was written to make it */
	uint8_t bytes[STORM_SIZE];
};

struct storm_own {
	char path[128];
	struct cm_fid fid;
	unsigned nviews; /* the first: on the server; the last: now */
	struct storm_view views[STORM_VIEWS];
	bool doubt; /* each byte is as in one of the views */
	bool died;
};

struct storm_object {
	enum cm_type type;
	struct cm_fid fid; /* 0: not known */
};

struct storm_names {
	uint32_t may[STORM_DIRS][STORM_NAMES]; /* bit n: the name may lead to object n */
	struct storm_object objects[STORM_OBJECTS];
	unsigned nobjects;
};

struct storm_client {
	struct storm_play *play;
	unsigned id, busy; /* acts under way */
	struct cm *cm;
	struct vfs *vfs;
	bool pausing; /* no act begins */
	bool cut;     /* nothing reaches it now */
	bool missed;  /* a break may not have reached it, ever */
	unsigned cuts, lives;
	uint64_t uncut_us;
};

struct storm_actor {
	struct storm_play *play;
	unsigned id, user;
	struct storm_client *client;
	struct rx_thread *thread;
	struct cm_token *token;
	struct {
		struct vfs_file *file;
		uintptr_t map;
	} handles[STORM_HANDLES];
	struct cm_vnode *dirs[STORM_DIRS];
	unsigned told[STORM_HANDLES]; /* losses */
	struct storm_own *own;
	struct storm_names names;
	const struct storm_event *now;
	char said[300]; /* what came of it, for the trace */
};

/* What a user may do in a directory. */
struct storm_grant {
	uint32_t rights;
	unsigned turn; /* goes up when a change begins and when it is over: odd meanwhile */
	uint64_t since_us;
	bool heard[STORM_CLIENTS]; /* of the last change, for sure */
};

struct storm_regress {
	unsigned file, cell, clients; /* bit n: client n was storing */
	bool told;
};

struct storm_storing {
	unsigned now[STORM_CLIENTS][STORM_USERS]; /* stores under way */
	bool since[STORM_CLIENTS][STORM_USERS];   /* or since the file was last looked at */
};

struct storm_play {
	const struct storm_plan *plan;
	struct storm_stage *stage;
	struct rx_env *env;
	struct rx_mutex lock;
	struct rx_cond tick;
	uint64_t begin_us, calm_us;
	bool mixed, can_peek;
	struct storm_client clients[STORM_CLIENTS + 1];
	struct storm_actor actors[STORM_ACTORS];
	struct cm_token *admin;
	struct cm_vnode *admin_dirs[STORM_DIRS];
	char dir_path[STORM_DIRS][96];
	struct storm_file files[STORM_FILES];
	struct storm_storing storing[STORM_FILES];
	struct storm_grant grants[STORM_DIRS][STORM_USERS];
	unsigned naming[STORM_DIRS], named[STORM_DIRS]; /* changes of names: under way, begun */
	bool refusing[STORM_USERS];                     /* a rule may refuse stores, or a ticket be over */
	unsigned refusals[STORM_USERS];                 /* such rules so far */
	bool ever_denied[STORM_USERS];
	bool expired;      /* tickets may be */
	unsigned restarts; /* of the cell; twice each, before and behind */
	uint32_t disk[3];  /* what befalls it: as the event */
	uint32_t stepped;  /* all steps of clocks, in seconds */
	unsigned moves;    /* of the volume */
	bool may_restart;  /* a rule may do it, at any time */
	bool hindered;     /* something but rights has struck: calls may fail */
	bool over;         /* the strikes are */
	struct storm_regress regresses[STORM_REGRESSES];
	unsigned nregresses;
	struct storm_verdict *verdict;
	struct storm_counts *counts, none;
};

/* Lock held, or not: the first one counts. who: NULL, the director. */
void storm_broken(struct storm_play *p, const struct storm_actor *who, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Whether no promise was broken so far; any thread. */
static inline bool storm_unbroken(const struct storm_play *p)
{
	return __atomic_load_n(&p->verdict->ok, __ATOMIC_ACQUIRE);
}

/* For the trace; on the actor's thread. */
void storm_say(struct storm_actor *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void storm_trace(struct storm_play *p, const struct storm_event *e, const char *said);
/* These let time pass; no lock held. */
void storm_wait_until(struct storm_play *p, uint64_t at_us);
void storm_pause(struct storm_play *p, uint64_t us);
/* What a client that has cached nothing reads; -1: it was told to storm_broken. */
ssize_t storm_read_fresh(struct storm_play *p, const char *path, uint8_t *buf, size_t len);

/* ---- client.c ---- */
int storm_client_begin(struct storm_play *p, unsigned id, struct rx_error *err);
void storm_client_end(struct storm_client *c, bool crash);
int storm_actor_begin(struct storm_actor *a, struct rx_error *err);
/* What an actor holds of its client; drop: nothing is stored. */
void storm_actor_end(struct storm_actor *a, bool drop);

/* ---- strike.c ---- */
/* All faults of the plan, in order; returns when the last event is due. */
void storm_direct(struct storm_play *p);
/* Nothing strikes any more, everybody may do everything. */
void storm_calm(struct storm_play *p);
/* Tickets may be over from now on. */
void storm_expire(struct storm_play *p);

/* ---- rights.c: who may be refused what, as of when. Lock held. ---- */

struct storm_moment {
	uint64_t at_us;
	unsigned turn, refusals;
	bool clean; /* no store of this user in this directory could be refused then */
};
void storm_moment(const struct storm_play *p, unsigned user, unsigned dir, struct storm_moment *m);
/* Nor at any time since m. */
bool storm_clean_since(const struct storm_play *p, unsigned user, unsigned dir, const struct storm_moment *m);
/* The right was there from m on, and long enough for refusals to be forgotten. */
bool storm_had(const struct storm_play *p, unsigned user, unsigned dir, const struct storm_moment *m, uint32_t right);
/* It was not there, and this client knew. */
bool storm_had_not(const struct storm_play *p, const struct storm_actor *a, unsigned dir, const struct storm_moment *m,
		   uint32_t right);
/* An act that wanted the right failed; is that as it should be? */
bool storm_excused(const struct storm_play *p, struct storm_actor *a, unsigned dir, const struct storm_moment *m,
		   uint32_t right, const struct rx_error *err);
/* From now on what the user has not stored may be thrown away. */
void storm_doubt(struct storm_play *p, unsigned user, unsigned dir);
/* Whether the client may have missed a break, and believes what is old. */
bool storm_is_stale(const struct storm_play *p, const struct storm_client *c);
/* A sync's answer: was it told of a loss? */
bool storm_is_loss(const struct rx_error *err);
void storm_set_rights(struct storm_play *p, unsigned dir, unsigned user, uint32_t rights);

/* ---- data.c: the shared files ---- */
uint64_t storm_cell_offset(unsigned cell);
unsigned storm_cell_owner(const struct storm_play *p, unsigned cell, unsigned *client);
/* Opens and maps if need be. */
int storm_open(struct storm_actor *a, unsigned handle, struct rx_error *err);
/* How a handle goes: stored and told, or dropped. 0, or -1 with the loss or failure. */
int storm_close(struct storm_actor *a, unsigned handle, bool drop, struct rx_error *err);
void storm_data_act(struct storm_actor *a, const struct storm_event *e);
void storm_data_crashed(struct storm_actor *a);
/* In the end: syncs all; checks what everybody sees. */
void storm_data_settle(struct storm_actor *a);
void storm_data_check(struct storm_play *p);

/* ---- watch.c: what the server is seen to hold, and what owners are told ---- */
void storm_event(void *arg, const struct cm_event *ev); /* arg: the client */
/* The cell has come back from its directory; power: what it had not synced may be gone. */
void storm_watch_restarted(struct storm_play *p, bool power);
/* Whether what one client overwrote of another's was told. */
void storm_watch_check(struct storm_play *p);

/* ---- own.c ---- */
int storm_own_begin(struct storm_actor *a);
void storm_own_act(struct storm_actor *a, const struct storm_event *e);
void storm_own_crashed(struct storm_actor *a);
void storm_own_settle(struct storm_actor *a);
void storm_own_check(struct storm_actor *a);

/* ---- names.c ---- */
void storm_name_act(struct storm_actor *a, const struct storm_event *e);
void storm_names_check(struct storm_play *p);

#endif
