/* The structs that the files of this room share, and the functions by which they help
 * each other. Nobody outside cm/ includes this. Behind each field stands the lock that
 * guards it: [cm] = cm->lock, [v] = the vnode's lock, [t] = the token's, [q] = the work
 * queue's, [const] = set before anybody else can see it, [atomic].
 *
 * Cells, servers and volumes live until cm_free; so plain pointers to them may be kept.
 * Vnodes and tokens are counted. No lock is held over an RPC; what serialises mutations
 * of one vnode is its bit `mutating`, which one can wait on. */
#ifndef UMAFS_CM_INTERNAL_H
#define UMAFS_CM_INTERNAL_H

#include "cm/afs.h"
#include "cm/cm.h"
#include "cm/mount.h"
#include "cm/promise.h"
#include "cm/record.h"
#include "rx/rpc.h"

enum {
	CM_SITES = 13,
	CM_ADDRS = 15,
	CM_CELL_SERVERS = 8,
	CM_CONNS_PER_TOKEN = 3,
	CM_VNODE_HASH = 4096,
	CM_VNODE_KEEP = 20000, /* unused ones kept */
	CM_ANONYMOUS_ID = 32766,
	CM_BREAK_RING = 256,
};

struct cm_cell;
struct cm_server;
struct cm_volume;

/* ---- servers and connections (cm/server.c) ---- */

struct cm_conn {
	struct cm_conn *next; /* [cm] in its server's list */
	struct rx_conn *rx;   /* [const] */
	struct cm_server *server;
	struct rx_addr addr; /* [const] */
	uint16_t service;    /* [const] */
	uint64_t token_id;   /* [const] 0: anonymous */
	uint64_t generation; /* [const] of the token's credential */
	unsigned users;      /* [cm] */
	bool retired;        /* [cm] no new users; freed with the last */
	bool trial;          /* [cm] of little patience and one user, until it is answered */
	uint64_t heard_us;   /* [cm] when a call on it was last answered; 0: none yet */
};

struct cm_server_addr {
	struct rx_addr addr;
	uint64_t down_until_us; /* [cm] 0: up */
	unsigned failures;      /* [cm] in a row */
};

struct cm_server {
	struct cm_server *next;                /* [cm] */
	struct cm *cm;                         /* [const] */
	struct cm_cell *cell;                  /* [const] of the VLDB that named it first */
	bool is_db;                            /* [const] */
	bool has_uuid;                         /* [const] */
	struct afs_uuid uuid;                  /* [const] */
	int32_t unique;                        /* [cm] of the address record */
	unsigned naddrs;                       /* [cm] */
	struct cm_server_addr addrs[CM_ADDRS]; /* [cm] */
	struct cm_conn *conns;                 /* [cm] */
	_Atomic uint64_t gen;                  /* InitCallBackState and the like: every promise of it is void */
	_Atomic uint64_t contacts;             /* calls answered; 0: it need not be told when we leave */
	uint64_t heard_us, probed_us;          /* [cm] when it answered last, and was asked for a sign of life */
	unsigned silences;                     /* [cm] probes not answered since it was heard of */
	bool probing;                          /* [cm] */
	struct rx_conn *probe;                 /* [cm] the probe's, while it is under way */
	_Atomic bool no_64bit, no_store_acl, no_name_u, no_bulk;
};

struct cm_server *cm_server_by_uuid(struct cm_cell *cell, const struct afs_uuid *uuid);
struct cm_server *cm_server_by_addr(struct cm_cell *cell, const struct rx_addr *addr, bool is_db);
void cm_server_set_addrs(struct cm_server *s, int32_t unique, const struct rx_addr *addrs, unsigned n);
struct cm_server *cm_server_find_uuid(struct cm *cm, const struct afs_uuid *uuid);
struct cm_server *cm_server_find_addr(struct cm *cm, const struct rx_addr *addr);
/* Promises void, features asked anew. Any thread; short. */
void cm_server_reset(struct cm_server *s);
/* Best address to try, fewest failures first. False: all are thought dead (try_down: then the
 * one that has been so for longest). `skip` has a bit for each already tried. */
bool cm_server_pick_addr(struct cm_server *s, unsigned skip, bool try_down, struct rx_addr *out, unsigned *index);
void cm_server_mark(struct cm_server *s, const struct rx_addr *addr, bool up);

/* A connection to talk over as t (NULL: anonymous); at most CM_CONNS_PER_TOKEN each. trial: a new one for this
 * caller alone, of little patience until it is answered. */
int cm_conn_get(struct cm_server *s, const struct rx_addr *addr, uint16_t service, struct cm_token *t, bool trial,
		struct cm_conn **out, struct rx_error *err);
/* A call on it was answered, or (retire) it is not to be used again. */
void cm_conn_put(struct cm_conn *c, bool retire);
/* Nothing came on a connection to addr since since_us: all of that time and before are retired, for the server may
 * send to an address (of before a NAT's rebinding) that is no longer ours. True: some of them had been answered. */
bool cm_conns_silent(struct cm_server *s, const struct rx_addr *addr, uint64_t since_us);
/* Retires all connections of this token with an older credential (UINT64_MAX: all). */
void cm_conns_retire(struct cm *cm, uint64_t token_id, uint64_t below_generation);
void cm_servers_destroy(struct cm *cm);
/* GiveUpAllCallBacks to each fileserver that knows us. */
void cm_servers_goodbye(struct cm *cm);
/* (cm/probe.c) Asks those for a sign of life that promised something and have long been
 * silent; does not wait. At the end: probes under way become impatient. */
void cm_servers_probe(struct cm *cm);
void cm_probes_hurry(struct cm *cm);

/* ---- cells (cm/cell.c) ---- */

struct cm_cell {
	struct cm_cell *next;                       /* [cm] */
	struct cm *cm;                              /* [const] */
	int32_t number;                             /* [const] from 1 */
	bool listed;                                /* [const] named by a configuration file */
	char name[256];                             /* [const] lower case */
	char host[256];                             /* [const] name of its first database server, or "" */
	char linked[256];                           /* [const] */
	unsigned nservers;                          /* [const] */
	struct cm_server *servers[CM_CELL_SERVERS]; /* [const] database servers */
	struct cm_family *families;                 /* [cm] */
};

/* Looks the cell up in the configuration, then in the DNS. */
struct cm_cell *cm_cell_find(struct cm *cm, const char *name, struct rx_error *err);
/* By position, for listings; NULL past the end. */
struct cm_cell *cm_cell_nth(struct cm *cm, unsigned n);
int cm_cells_load(struct cm *cm, const struct cm_config *config, struct rx_error *err);
void cm_cells_destroy(struct cm *cm);
bool cm_cells_same(const struct cm_cell *a, const struct cm_cell *b);

/* ---- volumes (cm/volume.c) ---- */

struct cm_family_site {
	struct cm_server *server;
	uint32_t partition, flags;
};

/* One VLDB entry: the read-write volume, its clones, and where they are. */
struct cm_family {
	struct cm_family *next;                /* [cm] in the cell's list */
	struct cm_cell *cell;                  /* [const] */
	char name[80];                         /* [cm] */
	uint32_t ids[3];                       /* [cm] */
	unsigned nsites;                       /* [cm] */
	struct cm_family_site sites[CM_SITES]; /* [cm] */
	uint64_t loaded_us;                    /* [cm] 0: void */
	uint64_t lost_us;                      /* [cm] when the VLDB last knew no better; 0: it did */
};

struct cm_volume {
	struct cm_volume *next;   /* [cm] */
	struct cm_cell *cell;     /* [const] */
	uint32_t id;              /* [const] */
	enum cm_volume_kind kind; /* [const] */
	struct cm_family *family; /* [const] */
	_Atomic uint64_t gen;     /* volume-wide breaks, releases, moves */
	uint32_t created;         /* [cm] VolSync; 0 = not known */
	struct cm_server *last;   /* [cm] who answered last */
};

/* name: without suffix, or a decimal id. */
int cm_family_get(struct cm_cell *cell, const char *name, struct cm_family **out, struct rx_error *err);
/* Asks the VLDB again. *changed: the sites moved. */
int cm_family_refresh(struct cm_family *f, bool *changed, struct rx_error *err);
void cm_family_ids(struct cm_family *f, uint32_t ids[3], char name[80]);
struct cm_volume *cm_volume_get(struct cm_family *f, enum cm_volume_kind kind);
int cm_volume_by_id(struct cm_cell *cell, uint32_t id, struct cm_volume **out, struct rx_error *err);
/* Sites that may be used now, best first; refreshes a record past its time. */
int cm_volume_sites(struct cm_volume *vol, struct cm_server *out[CM_SITES], unsigned *n, struct rx_error *err);
void cm_volume_saw(struct cm_volume *vol, struct cm_server *s, uint32_t created);
void cm_volumes_destroy(struct cm *cm);

/* ---- tokens (cm/token.c, cm/krb5.c) ---- */

struct cm_credential {
	struct rx_security *sec;
	char principal[256];
	int64_t expires;
	int enctype;
	uint8_t ticket_hash[32]; /* tells one ticket from another */
};

struct cm_token {
	struct cm_token *next; /* [cm] */
	struct cm *cm;         /* [const] */
	struct cm_cell *cell;  /* [const] */
	uint64_t id;           /* [const] never used again; 0 is nobody's */
	bool anonymous;        /* [const] */
	char spec[512];        /* [const] */
	int level;             /* [const] */
	unsigned refs;         /* [cm] */
	struct rx_mutex lock;
	struct cm_credential cred; /* [t] sec NULL: anonymous */
	uint64_t generation;       /* [t] of cred */
	int32_t vice_id;           /* [t] */
	uint64_t looked_us;        /* [t] at the ccache, last */
};

struct cm_krb5_want {
	const char *spec, *cell, *db_host;
	int level;
};
/* Gets a service ticket for the cell; blocks on the KDC. */
int cm_krb5_credential(const struct cm_krb5_want *want, int64_t now_s, struct cm_credential *out, struct rx_error *err);
void cm_credential_clear(struct cm_credential *c);
/* The credential to use now, renewed if it is about to end; *sec is a reference. */
int cm_token_credential(struct cm_token *t, struct rx_security **sec, uint64_t *generation, struct rx_error *err);
void cm_tokens_destroy(struct cm *cm);
/* (cm/cell.c) */
int cm_pt_name_to_id(struct cm_cell *cell, const char *name, int32_t *id);

/* ---- vnodes (cm/vnode.c) ---- */

struct cm_right {
	struct cm_right *next;
	uint64_t token_id, generation;
	uint32_t rights;
	uint64_t cb_gen;     /* of this vnode when they came */
	uint64_t parent_gen; /* cb_gen of the directory whose ACL it was, before the request */
	uint64_t got_us, until_us;
};

/* A directory's bytes at one data version; shared by readers, never changed. */
struct cm_blob {
	_Atomic unsigned refs;
	uint64_t version;
	size_t len;
	uint8_t bytes[];
};

struct cm_vnode {
	struct cm_vnode *hash_next;           /* [cm] */
	struct cm_vnode *lru_prev, *lru_next; /* [cm] only while refs is 0 */
	unsigned refs;                        /* [cm] */
	bool in_timer;                        /* [q] */
	uint64_t timer_us;                    /* [q] */
	struct cm_vnode *timer_next;          /* [q] */

	struct cm *cm;            /* [const] */
	struct cm_cell *cell;     /* [const] */
	struct cm_volume *volume; /* [const] NULL: the synthetic /afs */
	struct cm_fid fid;        /* [const] */

	struct rx_mutex lock;
	struct rx_cond cond;          /* [v] mutating went */
	bool mutating;                /* [v] */
	bool counted;                 /* [v] a status has shown a version taken for that change's */
	bool known;                   /* [v] attr holds a server's word */
	bool gone;                    /* [v] VNOVNODE */
	bool unproven;                /* [v] a store failed half way: version and data are not known */
	struct cm_promise promise;    /* [v] */
	struct cm_attr attr;          /* [v] .size is the local one */
	uint64_t applied_us;          /* [v] when the newest applied reply was asked for */
	uint64_t arrived_us;          /* [v] when it came */
	uint64_t proven_from;         /* [v] data version since which every change was ours */
	uint64_t floor;               /* [v] local end of file beyond the server's; 0: none */
	_Atomic uint64_t gen_now;     /* promise.cb_gen, for those who hold another vnode's lock */
	_Atomic uint64_t version_now; /* attr.data_version, likewise */
	_Atomic uint64_t ends_us;     /* promise.until_us if held, else UINT64_MAX */
	struct cm_vnode *parent;      /* [v] whose ACL rules a file; a reference; NULL: not known */
	struct cm_right *rights;      /* [v] */
	struct cm_blob *blob;         /* [v] */
	char *text;                   /* [v] a symlink's; never changes */
	struct cm_records records;
};

/* Finds or makes. NULL: no memory. */
struct cm_vnode *cm_vnode_find(struct cm_volume *vol, const struct cm_fid *fid);
struct cm_vnode *cm_vnode_root(struct cm_volume *vol, uint32_t vnode, uint32_t unique);
/* The synthetic directory /afs. */
struct cm_vnode *cm_vnode_top(struct cm *cm);
/* Calls fn for each vnode that `match` wants, without locks held. Used by callbacks. */
void cm_vnodes_break(struct cm *cm, bool (*match)(const struct cm_vnode *v, const void *what), const void *what);
/* The nth in the table, for cmdebug. */
struct cm_vnode *cm_vnode_nth(struct cm *cm, unsigned n);
/* As cm_vnodes_break for one fid in all cells; looks into one bucket only. */
void cm_vnodes_break_fid(struct cm *cm, const struct afs_fid *fid,
			 bool (*match)(const struct cm_vnode *v, const void *what));
/* Voids what this server has promised; NULL: what anybody has. */
void cm_vnodes_reset(struct cm *cm, const struct cm_server *s);
/* Whether it has promised anything that is believed now. */
bool cm_vnodes_promised(struct cm *cm, const struct cm_server *s);
/* The first vnode (at NULL), or the one behind `at`, whose reference it takes. */
struct cm_vnode *cm_vnode_next(struct cm *cm, struct cm_vnode *at);
void cm_vnode_break(struct cm_vnode *v);
void cm_vnodes_expire(struct cm *cm);
void cm_vnodes_destroy(struct cm *cm);
/* "/afs/.:mount/cell:volume:vnode:uniq" for sentences. */
const char *cm_vnode_text(const struct cm_vnode *v, char buf[384]);

/* How a status came. */
enum cm_reply_kind {
	CM_REPLY_READ,
	CM_REPLY_MUTATION, /* our own change; version moved by `own_changes` */
};
struct cm_reply {
	enum cm_reply_kind kind;
	const struct afs_fetch_status *status;
	const struct afs_callback *callback; /* NULL: none */
	const struct afs_volsync *sync;      /* NULL: not known */
	struct cm_server *server;
	uint64_t own_changes;
	bool keep_rights; /* CallerAccess of this reply is not the caller's (Link, Symlink) */
};
void cm_vnode_note(struct cm_vnode *v, struct cm_server *s, struct cm_noted *q);
/* 0; -1 with EIO when the reply is nonsense. */
int cm_vnode_apply(struct cm_vnode *v, struct cm_token *t, const struct cm_noted *q, const struct cm_reply *r,
		   struct rx_error *err);
void cm_vnode_gone(struct cm_vnode *v, const struct rx_error *why);
void cm_vnode_distrust(struct cm_vnode *v);
/* Both sizes are this now. */
void cm_size_cut(struct cm_vnode *v, uint64_t size);
void cm_mutate_begin(struct cm_vnode *v);
void cm_mutate_end(struct cm_vnode *v);
/* Two vnodes, in one order; b may be NULL or a. */
void cm_mutate_begin2(struct cm_vnode *a, struct cm_vnode *b);
void cm_mutate_end2(struct cm_vnode *a, struct cm_vnode *b);
/* FetchStatus, whatever is cached. */
int cm_vnode_fetch_status(struct cm_vnode *v, struct cm_token *t, struct rx_error *err);
/* The token's rights; asks the server if need be. (cm/rights.c) */
int cm_rights(struct cm_vnode *v, struct cm_token *t, uint32_t *rights, struct rx_error *err);
/* Why it is not allowed, as EACCES. need: one bit. */
int cm_refuse(struct cm_vnode *v, struct cm_token *t, uint32_t need, struct rx_error *err);
/* With [v] held. *got_us: since when they are known. */
bool cm_rights_cached(struct cm_vnode *v, struct cm_token *t, uint32_t *rights, uint64_t *got_us);
/* parent_gen: noted before the request. */
void cm_rights_set(struct cm_vnode *v, struct cm_token *t, uint32_t rights, uint64_t parent_gen, uint64_t until_us);
bool cm_vnode_good(struct cm_vnode *v);
struct cm_fid cm_fid_of(const struct afs_fid *f);
struct afs_fid cm_fid_wire(const struct cm_fid *f);

/* ---- the rotation loop (cm/op.c) ----
 *
 *	cm_op_begin(&op, vol, t, "FetchStatus", 0);
 *	while (cm_op_next(&op))
 *		cm_op_result(&op, afs_FetchStatus(&op.rpc, ..., &op.error));
 *	return cm_op_end(&op, err);
 */
enum cm_op_flags {
	CM_OP_ONCE = 1,     /* a mutation that must not run twice */
	CM_OP_NOWAIT = 2,   /* no sleeping for VBUSY: writeback, which tries again later */
	CM_OP_NOROTATE = 4, /* only the first site */
};

struct cm_op {
	struct cm *cm;
	struct cm_volume *volume; /* a fileserver's call; NULL: of the cell's database servers */
	struct cm_cell *cell;
	uint16_t service;
	struct cm_token *token; /* borrowed */
	const char *name;
	unsigned flags;
	struct cm_vnode *vnode; /* borrowed; for sentences; may be NULL */

	struct cm_server *server; /* whom to call now */
	struct cm_conn *conn;
	struct rx_addr addr;
	struct rx_rpc_client rpc;
	struct rx_error error; /* the stub's */

	bool done, failed;
	bool busy, missing;    /* what some site of this round said */
	struct rx_error worst; /* what to say in the end */
	bool named;            /* it names the call and the server already */
	bool in_doubt;         /* some call that failed may have been carried out */
	struct cm_server *sites[CM_SITES];
	unsigned nsites, site;
	uint32_t tried_sites, tried_addrs; /* bits; the latter of the present site */
	unsigned addr_index;
	unsigned vldb_asked, fresh_conns, wait_s;
	bool again;         /* the same site and address, over a new connection */
	uint64_t called_us; /* when the call under way began */
	struct {            /* who answered once, but fell silent: tried over a new connection before we give up */
		bool known, tried;
		unsigned site, addr_index;
		struct rx_addr addr;
	} silent;
	uint64_t deadline_us;
};

void cm_op_begin(struct cm_op *op, struct cm_vnode *v, struct cm_token *t, const char *name, unsigned flags);
void cm_op_begin_volume(struct cm_op *op, struct cm_volume *vol, struct cm_token *t, const char *name, unsigned flags);
void cm_op_begin_db(struct cm_op *op, struct cm_cell *cell, uint16_t service, const char *name);
bool cm_op_next(struct cm_op *op);
/* Tells the loop how it went; returns rc. */
int cm_op_result(struct cm_op *op, int rc);
int cm_op_end(struct cm_op *op, struct rx_error *err);
/* After a change that failed: what is known of v (or NULL) is asked for again, unless surely nothing was changed. */
void cm_op_doubt(const struct cm_op *op, struct cm_vnode *v);
/* Puts numbers, names and advice into EDQUOT, ENOSPC and EACCES of what t did to v, and
 * acts on what they tell: rights are asked anew, a vnode that is gone is marked so.
 * Returns -1. right: what the server missed, 0 = unclear. (cm/advice.c) */
int cm_advise(struct cm_vnode *v, struct cm_token *t, uint32_t right, struct rx_error *err);

/* (cm/attr.c) */
void cm_store_status(const struct cm_setattr *attr, struct afs_store_status *out);

/* ---- directories (cm/dirblob.c) ---- */

/* The whole directory at its present version; *out is a reference. */
int cm_dir_blob(struct cm_vnode *dir, struct cm_token *t, struct cm_blob **out, struct rx_error *err);
struct cm_blob *cm_blob_get(struct cm_blob *b);
void cm_blob_put(struct cm_blob *b);
void cm_dir_forget(struct cm_vnode *dir);
/* The blob if it is here and good, else NULL; a reference. */
struct cm_blob *cm_dir_peek(struct cm_vnode *dir);

/* What our own mutation did to the names. */
struct cm_dir_edit {
	const char *name;
	bool add;
	bool may_lack; /* removal of what need not be there: a rename's target */
	struct cm_fid fid;
};
/* After the mutation's reply: repeats it on `before` (NULL: not known), or drops the blob. */
void cm_dir_edit(struct cm_vnode *dir, struct cm_blob *before, const struct cm_dir_edit *edits, unsigned n);

/* ---- the walk ---- */

/* What a mount point vnode leads to. */
int cm_mount_target(struct cm_vnode *mount, struct cm_token *t, struct cm_vnode **root, struct rx_error *err);

/* ---- callbacks (cm/callback.c) ---- */

int cm_callback_start(struct cm *cm, struct rx_error *err);
/* True if a break for this fid came since `since_us`, when we had no vnode to mark. */
bool cm_break_heard(struct cm *cm, const struct cm_fid *fid, uint64_t since_us);

/* ---- workers (cm/work.c) ---- */

struct cm_work_item {
	struct cm_work_item *next;
	void (*fn)(void *);
	void *arg;
};

enum { CM_WORKERS = 6 };

struct cm_works {
	struct rx_mutex lock; /* rank QUEUE */
	struct rx_cond wake;  /* workers */
	struct rx_cond tick;  /* the timer thread */
	struct cm_work_item *head, **tail;
	unsigned busy, idle, nthreads;
	bool stop;
	struct rx_thread *threads[CM_WORKERS], *timer;
	struct cm_vnode *timers; /* vnodes with a time to look at their records */
};

int cm_works_start(struct cm *cm, struct rx_error *err);
/* After it nothing runs any more. */
void cm_works_stop(struct cm *cm);

/* ---- the instance ---- */

struct cm_fid_break {
	struct cm_fid fid;
	uint64_t when_us;
};

struct cm {
	struct rx_env *env;            /* [const] */
	struct rx_loop *loop;          /* [const] */
	struct cm_config config;       /* [const] */
	struct afs_uuid uuid;          /* [const] */
	struct rx_rpc_trace rpc_trace; /* [const] */
	struct cm_cell *local;         /* [const] */

	struct rx_mutex lock; /* rank CM: tables below */
	struct cm_cell *cells;
	int32_t ncells;
	struct cm_server *servers;
	struct cm_volume *volumes;
	struct cm_token *tokens;
	uint64_t token_ids;
	struct cm_vnode *vnodes[CM_VNODE_HASH];
	struct cm_vnode lru; /* ring head of unused vnodes, newest first */
	unsigned nvnodes, nunused;
	struct cm_vnode *top; /* /afs */
	struct cm_fid_break ring[CM_BREAK_RING];
	unsigned ring_next;

	struct rx_mutex sleep_lock;  /* rank LEAF */
	struct rx_cond sleep;        /* back-off; woken when the instance closes */
	_Atomic uint64_t closing_us; /* 0: open; else no operation goes on beyond */

	struct cm_works works;
};

/* Sleeps in a back-off. False: the instance is closing. */
bool cm_sleep(struct cm *cm, uint64_t us);

#endif
