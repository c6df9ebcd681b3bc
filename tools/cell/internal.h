/* What the files of the embedded cell share. One mutex (cell->lock) covers every table;
 * it is never held over an RPC, nor while file data travel: a vnode is then marked as
 * read or written, and whoever wants it otherwise waits on cell->moved and starts again. */
#ifndef UMAFS_TOOLS_CELL_INTERNAL_H
#define UMAFS_TOOLS_CELL_INTERNAL_H

#include "cm/acl.h"
#include "cm/dir.h"
#include "tools/cell/cell.h"
#include "tools/fault/set.h"

enum { /* abort codes of file servers and the others */
       CELL_VSALVAGE = 101,
       CELL_VNOVNODE = 102,
       CELL_VNOVOL = 103,
       CELL_VOFFLINE = 106,
       CELL_VOVERQUOTA = 109,
       CELL_VBUSY = 110,
       CELL_VMOVED = 111,
       CELL_STORE_SHORT = -32,
       CELL_VL_NOENT = 363524,
       CELL_VL_BADNAME = 363527,
       CELL_VL_INDEXERANGE = 363549,
       CELL_VL_BADMASK = 363551,
       CELL_UNOQUORUM = 5376,
       CELL_PT_EXIST = 267264,
       CELL_PT_IDEXIST = 267265,
       CELL_PT_NOENT = 267268,
       CELL_PT_PERM = 267269,
       CELL_PT_BADNAME = 267272,
       CELL_VOL_BAD_ACCESS = 1492325127,
       CELL_VOL_BADPARTITION = 1492325125,
};

enum { CELL_CPS_MAX = 64, CELL_NAME_MAX = 64, CELL_SPARE_KIB = 1024 };

/* ---- users and groups (users.c) ---- */

struct cell_principal {
	char name[CELL_NAME_MAX];
	int32_t id, owner, creator, flags;
	int32_t *members; /* of a group */
	unsigned nmembers;
	int64_t last_ticket;   /* when the last one made here starts */
	int64_t expired_until; /* tickets that start until then have expired */
};

/* An identity with all groups that it is in. */
struct cell_caller {
	char name[CELL_NAME_MAX]; /* "" is anonymous */
	int32_t id;
	int32_t cps[CELL_CPS_MAX];
	unsigned ncps;
	bool admin, server;    /* server: this cell itself, which may do everything */
	int64_t expired_until; /* as of the principal */
};

/* ---- volumes and vnodes (volume.c) ---- */

struct cell_grant {
	int32_t id;
	uint32_t rights;
};

/* Each list in the order of the ids, as servers show them. */
struct cell_acl {
	unsigned npositive, nnegative;
	struct cell_grant positive[CM_ACL_MAX], negative[CM_ACL_MAX];
};

struct cell_host;
struct cell_promise {
	struct cell_promise *next;
	struct cell_host *host;
	int64_t expires;    /* wall clock of the server */
	struct afs_fid fid; /* once it is taken back: what its host is told */
};

struct cell_content;
struct cell_volume;

struct cell_vnode {
	struct cell_volume *volume;
	uint32_t vnode, unique;
	uint32_t type; /* AFS_TYPE_* */
	uint32_t links, data_version, mode;
	uint32_t parent_vnode, parent_unique; /* of a directory too: ".." */
	uint32_t mtime, server_mtime;
	int32_t author, owner, group;
	uint64_t length;
	int32_t lock_count; /* -1: a writer */
	int64_t lock_expires;
	struct cell_acl acl;          /* directories */
	struct cm_dir_blob dir;       /* directories */
	char *link;                   /* symbolic links and mount points */
	struct cell_content *content; /* files */
	unsigned readers;             /* transfers in progress */
	bool writer;
	bool ragged; /* a write that failed may have left bytes behind its end */
	struct cell_promise *promises;
};

struct cell_volume {
	struct cell_volume *next;
	struct cell *cell;
	struct cell_fs *fs;         /* where it lies */
	struct cell_fs *moved_from; /* which still knows that it has gone; NULL: none */
	int32_t refusal;            /* what calls that name it get instead of an answer ... */
	unsigned refusals;          /* ... so many of them; UINT_MAX: until further notice */
	uint32_t id, rw_id;
	int kind; /* AFS_VOLUME_* */
	char name[CELL_NAME_MAX], offline[256];
	uint32_t created, updated, copied;
	int64_t quota, min_quota, used; /* KiB */
	uint32_t next_unique, files;
	struct cell_vnode **vnodes; /* by number; NULL: free */
	uint32_t nvnodes, free_hint[2];
	struct cell_promise *promises; /* on the whole volume: read-only ones */
};

/* ---- servers ---- */

enum cell_host_state { CELL_HOST_NEW, CELL_HOST_VERIFYING, CELL_HOST_GOOD, CELL_HOST_DOWN };
enum { CELL_DELAYED_MAX = 50, CELL_HOST_USERS = 16 };

/* A client's callback address, as one file server knows it. Guarded by cell->lock. */
struct cell_host {
	struct cell_host *next;
	struct cell_fs *fs;
	struct rx_addr addr;
	enum cell_host_state state;
	struct afs_uuid uuid;
	bool has_uuid, error_translation;
	bool reset_due; /* it must be told that it has no promises */
	struct afs_fid delayed[CELL_DELAYED_MAX];
	unsigned ndelayed, refs;
	int32_t users[CELL_HOST_USERS]; /* who has called since it was asked last */
	unsigned nusers;
	int64_t heard;  /* when it called last, by the server's clock */
	unsigned round; /* of watch.c, in which it was looked at */
	bool idle;      /* it gave up all promises and has not called since */
	bool gone;
	struct cell_host *heir; /* the same client at its new address, once this is gone; holds a reference */
	struct rx_conn *conn;
};

struct cell_fs {
	struct cell *cell;
	uint32_t ip;
	struct afs_uuid uuid;
	struct rx_loop *loop, *vol_loop;
	struct cell_host *hosts;
	uint32_t started;
	unsigned life; /* counts restarts; any thread may look at it */
	uint64_t fetches, stores, fetched, stored, calls;
};

struct cell_service {
	struct cell *cell;
	struct cell_fs *fs; /* NULL: a database */
	const char *name;
	const struct rx_rpc_table *table;
	const void *ops;
	struct rx_addr addr;
	bool contact; /* calls make the caller known, errors are translated */
};

struct cell {
	struct rx_env *env;
	struct rx_net *(*net)(void *arg, uint32_t ip, uint16_t port); /* NULL: UDP */
	void *net_arg;
	struct rx_mutex lock;
	struct rx_cond moved;
	char name[256], realm[256];
	uint16_t port_shift;
	const struct cell_hooks *hooks;
	struct fault_set *faults; /* NULL: none */
	bool stopping;            /* calls that a rule makes wait go on; set.c guards it */
	unsigned nrefusing;       /* atomic: volumes with refusals */
	int64_t clock_ahead_s;    /* atomic */
	uint32_t db_ip, started;
	struct rx_thread *watcher; /* watch.c */
	struct rx_cond watch_moved;
	unsigned watch_round;
	bool watch_ends;
	int audit; /* descriptor, -1: none */
	struct rx_security *anonymous, *rxkad;
	struct cell_keys *keys;
	struct rx_loop *vl_loop, *pt_loop;
	struct cell_service services[2 + 2 * CELL_FILESERVERS_MAX];
	unsigned nservices, nfs;
	struct cell_fs fs[CELL_FILESERVERS_MAX];
	struct cell_volume *volumes;
	uint32_t next_volume;
	struct cell_principal *principals;
	unsigned nprincipals;
	struct cell_disk *disk; /* NULL: everything is in memory */
	bool own_disk, sync;
	struct cell_store *store;
	int32_t uae[256]; /* by errno: what a client that asked for it is told */
};

/* Whom to tell of what: the promises that were taken back. Filled under the lock, sent
 * without it. */
struct cell_breaks {
	struct cell_promise *first;
};

/* One call in progress: what every operation gets as its arg. */
struct cell_request {
	struct cell_service *service;
	struct cell *cell;
	struct cell_fs *fs;
	struct rx_call *call;
	unsigned life;          /* of the server, when this came */
	struct cell_host *host; /* file server's calls, but for a few */
	struct cell_caller caller;
	int64_t ticket_start;      /* 0: no ticket */
	struct cell_breaks breaks; /* those that this call causes, until cell_end */
	struct cell_fault *fault;  /* what rules do to this call; NULL: nothing */
};

static inline int64_t cell_now(const struct cell *cell)
{
	return cell->env->ops->wall_s(cell->env) + __atomic_load_n(&cell->clock_ahead_s, __ATOMIC_RELAXED);
}

/* serve.c: reads a request, asks the hooks, identifies the caller, runs the operation. */
rx_handler cell_serve;
extern const struct rx_rpc_table cell_fs_table, cell_vl_table, cell_pt_table, cell_vol_table;
extern const struct afs_fs_ops cell_fs_ops;
extern const struct afs_vl_ops cell_vl_ops;
extern const struct afs_pt_ops cell_pt_ops;
extern const struct afs_vol_ops cell_vol_ops;

/* fault.c: fault rules on calls. True when a call must be shown to them. */
static inline bool cell_faulty(const struct cell *cell)
{
	return (cell->faults && fault_set_has(cell->faults, FAULT_RPC)) ||
	       __atomic_load_n(&cell->nrefusing, __ATOMIC_RELAXED);
}
/* What is due before the operation: waits, does, refuses. 0, or the code to end the call with.
 * What is due later is in rq->fault. */
int32_t cell_fault_before(struct cell_request *rq, const struct rx_rpc *proc, const struct cell_rpc *rpc);
/* Between operation and reply; the code to go on with. */
int32_t cell_fault_between(struct cell_request *rq, int32_t code);
/* When the reply is written; frees rq->fault. */
int32_t cell_fault_after(struct cell_request *rq, int32_t code);

/* reply.c: how replies leave, and what rules do to their bytes. Worker threads, no lock. */
int cell_send_length(struct cell_request *rq, const struct rx_rpc *proc, uint32_t vnode_type, uint64_t len);
/* A piece of data; what is in `bytes` afterwards is what was sent. */
int cell_send(struct cell_request *rq, void *bytes, size_t len);
/* How many bytes of a store are taken at most. */
uint64_t cell_take_at_most(const struct cell_request *rq);
/* For struct rx_rpc_table. */
int32_t cell_reply(struct rx_call *call, const struct rx_rpc *proc, const void *out, void *arg);

/* acts.c: what is done behind the clients' backs, by rules and by commands. Without the lock,
 * but where it says otherwise; whoever has promises is told. */
/* A request of an administrator's who is no client: it sees the volumes of all servers and
 * gets no promises. */
struct cell_request cell_own_request(struct cell *cell);
/* These take a directory; revoke also what lies in it. 0, or a file server's code. */
int32_t cell_act_grant(struct cell *cell, const struct afs_fid *fid, int32_t id, uint32_t rights, bool negative);
int32_t cell_act_revoke(struct cell *cell, const struct afs_fid *fid, int32_t id, uint32_t rights);
/* Another version of a file or directory; text (NULL: none) is written at `off` of a file. 0,
 * or a file server's code. */
int32_t cell_act_change(struct cell *cell, const struct afs_fid *fid, uint64_t off, const void *text, size_t len);
int32_t cell_act_truncate(struct cell *cell, const struct afs_fid *fid, uint64_t length);
/* The volume lies elsewhere from now on. False: there already, no such one, or only a copy. */
bool cell_act_move(struct cell *cell, struct cell_fs *from, uint32_t volume, struct cell_fs *to);
/* The next n calls to the volume are refused with the code. */
bool cell_act_refuse(struct cell *cell, struct cell_fs *fs, uint32_t volume, int32_t code, unsigned n);
/* The user's tickets that start until then; all that were made so far. */
void cell_act_expire(struct cell *cell, int32_t id, int64_t until);
void cell_act_expire_all(struct cell *cell, int32_t id);
void cell_act_restart_fs(struct cell_fs *fs);
void cell_act_restart_db(struct cell *cell);
/* For so long nobody is there; after a restart. fs NULL: the databases. */
void cell_act_down(struct cell *cell, struct cell_fs *fs, uint64_t us);
void cell_act_clock(struct cell *cell, int64_t ahead_s);
/* Tells everybody who has a promise on it. */
int32_t cell_act_break(struct cell *cell, const struct afs_fid *fid);
void cell_act_break_all(struct cell *cell);

/* audit.c */
int cell_audit_open(struct cell *cell, const char *path, struct rx_error *err);
void cell_audit(const struct cell_request *rq, const struct cell_rpc *rpc, int32_t code);

/* users.c; cell->lock held. */
struct cell_principal *cell_principal_by_id(struct cell *cell, int32_t id);
struct cell_principal *cell_principal_by_name(struct cell *cell, const char *name);
/* NULL: no memory, or the name or id is taken. */
struct cell_principal *cell_principal_add(struct cell *cell, const char *name, int32_t id, int32_t owner);
void cell_principal_remove(struct cell *cell, struct cell_principal *p);
bool cell_member_add(struct cell_principal *group, int32_t id); /* false: no memory, or is one */
bool cell_member_remove(struct cell_principal *group, int32_t id);
bool cell_is_member(const struct cell_principal *group, int32_t id);
/* name "" or unknown: anonymous. */
void cell_caller_set(struct cell *cell, const char *name, struct cell_caller *out);
void cell_caller_of_id(struct cell *cell, int32_t id, struct cell_caller *out);
void cell_principals_free(struct cell *cell);

/* access.c: pure, but for the names of ids. */
uint32_t cell_acl_rights(const struct cell_acl *acl, const int32_t *cps, unsigned n);
void cell_acl_sort(struct cell_acl *acl);
/* E2BIG: the text is too long. */
int32_t cell_acl_to_text(struct cell *cell, const struct cell_acl *acl, char text[CM_ACL_TEXT], size_t *len);
/* EINVAL: malformed, or a name that nobody has. */
int32_t cell_acl_from_text(struct cell *cell, const void *text, size_t len, struct cell_acl *acl);
/* CallerAccess and AnonymousAccess of a vnode. */
void cell_rights(const struct cell_vnode *v, const struct cell_caller *who, uint32_t *caller, uint32_t *anonymous);
bool cell_owns_volume(const struct cell_vnode *v, const struct cell_caller *who);
/* 0, or the code of the refusal. */
int32_t cell_may_fetch(const struct cell_vnode *v, const struct cell_caller *who, bool data);
int32_t cell_may_store(const struct cell_vnode *v, const struct cell_caller *who);
/* Also cuts from ss what is silently not done. */
int32_t cell_may_store_status(const struct cell_vnode *v, const struct cell_caller *who, struct afs_store_status *ss);
int32_t cell_may_change(const struct cell_vnode *dir, const struct cell_caller *who, uint32_t right);
int32_t cell_may_store_acl(const struct cell_vnode *dir, const struct cell_caller *who);
int32_t cell_may_fetch_acl(const struct cell_vnode *v, const struct cell_caller *who);
int32_t cell_may_lock(const struct cell_vnode *v, const struct cell_caller *who, int32_t type);

/* volume.c; cell->lock held. */
struct cell_volume *cell_volume_new(struct cell *cell, struct cell_fs *fs, const char *name, uint32_t id,
				    int64_t quota);
/* A copy as it is now, as read-only or backup volume. */
struct cell_volume *cell_volume_clone(struct cell_volume *rw, struct cell_fs *fs, int kind, uint32_t id);
/* Throws away what the copy holds and copies anew. No vnode of either is busy. */
bool cell_volume_refresh(struct cell_volume *copy, const struct cell_volume *rw);
bool cell_volume_busy(const struct cell_volume *volume);
void cell_volume_free(struct cell_volume *volume);
/* Empty ones at a known place, for copies and for what a store holds. */
struct cell_volume *cell_volume_place(struct cell *cell, struct cell_fs *fs, const char *name, uint32_t id);
struct cell_vnode *cell_vnode_place(struct cell_volume *volume, uint32_t vnode, uint32_t unique, uint32_t type);
struct cell_volume *cell_volume_find(struct cell *cell, const struct cell_fs *fs, uint32_t id);
struct cell_volume *cell_volume_by_name(struct cell *cell, const char *name); /* the read-write one */
struct cell_vnode *cell_vnode_find(struct cell_volume *volume, uint32_t vnode, uint32_t unique);
/* A free number of the right parity with a new uniquifier, charged to the quota; the caller
 * fills in the rest. NULL with *code: quota, or ENOSPC. */
struct cell_vnode *cell_vnode_new(struct cell_volume *volume, uint32_t type, int32_t *code);
void cell_vnode_free(struct cell_vnode *v);
void cell_vnode_discard(struct cell_vnode *v); /* one that the store was never told of */
bool cell_vnode_busy(const struct cell_vnode *v, bool exclusive);
int64_t cell_blocks(uint64_t length);
/* Room for a file or directory of that many bytes; 0 or the code. `spare`: a store's slack. */
int32_t cell_quota_check(const struct cell_volume *volume, int64_t more, int64_t spare);
void cell_set_length(struct cell_vnode *v, uint64_t length);
/* Data or names have changed: version, times, author. */
void cell_vnode_changed(struct cell_vnode *v, const struct cell_caller *who);

/* dirs.c; cell->lock held. Codes as a file server's. */
int32_t cell_dir_new(struct cell_vnode *dir, const struct cell_vnode *parent);
int32_t cell_dir_add(struct cell_vnode *dir, const char *name, uint32_t vnode, uint32_t unique);
int32_t cell_dir_remove(struct cell_vnode *dir, const char *name);
int32_t cell_dir_find(struct cell_vnode *dir, const char *name, struct cell_vnode **out);
int32_t cell_dir_set_parent(struct cell_vnode *dir, const struct cell_vnode *parent);
int32_t cell_name_check(const char *name); /* of a new entry */

/* store.c: where file data and what else must last are kept; cell->lock held. Each backend
 * is a struct cell_store_ops: memory (store_mem.c), or a directory (store_dir.c). Bytes of
 * a content that were never written read as zeros. Functions return 0 or an errno. */
struct cell_content {
	const struct cell_store_ops *ops;
};
struct cell_store {
	const struct cell_store_ops *ops;
};
enum cell_edit { CELL_EDIT_ADD, CELL_EDIT_REMOVE, CELL_EDIT_REPLACE };
struct cell_store_ops {
	struct cell_content *(*open)(struct cell_store *store, const struct cell_vnode *v);
	void (*close)(struct cell_content *content, bool remove);
	int (*read)(struct cell_content *content, uint64_t off, void *buf, size_t len);
	int (*write)(struct cell_content *content, uint64_t off, const void *buf, size_t len);
	int (*truncate)(struct cell_content *content, uint64_t length);
	/* What must last besides data; may be NULL. Collected until commit writes it. */
	void (*note_vnode)(struct cell_store *store, const struct cell_vnode *v);
	void (*note_gone)(struct cell_store *store, const struct cell_vnode *v);
	void (*note_edit)(struct cell_store *store, const struct cell_vnode *dir, enum cell_edit edit, const char *name,
			  uint32_t vnode, uint32_t unique);
	void (*note_volume)(struct cell_store *store, const struct cell_volume *volume);
	void (*note_everything)(struct cell_store *store); /* too much changed to say what */
	void (*note_principals)(struct cell_store *store, const struct cell *cell);
	int (*commit)(struct cell_store *store);
	void (*free)(struct cell_store *store);
};
struct cell_store *cell_store_memory(void);
/* Opens or makes the directory; *fresh: nothing is in it yet. Else cell_store_load fills
 * the cell's tables from it. */
struct cell_store *cell_store_directory(struct cell *cell, const char *dir, bool *fresh, struct rx_error *err);
int cell_store_load(struct cell *cell, struct rx_error *err);
void cell_note_vnode(const struct cell_vnode *v);
void cell_note_gone(const struct cell_vnode *v);
void cell_note_edit(const struct cell_vnode *dir, enum cell_edit edit, const char *name, uint32_t vnode,
		    uint32_t unique);
void cell_note_volume(const struct cell_volume *volume);
void cell_note_principals(struct cell *cell);
void cell_note_everything(struct cell *cell);
/* Before anything is acknowledged: 0, or EIO. */
int32_t cell_commit(struct cell *cell);

/* hosts.c */
/* Makes the caller known, or brings a silent one up to date; sets rq->host. */
int32_t cell_contact(struct cell_request *rq);
void cell_host_put(struct cell *cell, struct cell_host *host); /* cell->lock held */
/* At the end: no more patience with silent ones; and, when the loop has ended, free all. */
void cell_hosts_hurry(struct cell_fs *fs);
void cell_hosts_free(struct cell_fs *fs);
/* Held: as a server that has just been started knows nobody. */
void cell_hosts_forget(struct cell_fs *fs);

/* Not held: InitCallBackState3, ProbeUuid; false: the client does not answer, or is another one. */
bool cell_host_reset(struct cell_host *host, bool has_uuid);
bool cell_host_probe(struct cell_host *host, const struct afs_uuid *uuid);

/* watch.c; not held. One round: silent clients are asked, those silent for long are forgotten. */
void cell_check_hosts(struct cell *cell);
bool cell_watch_start(struct cell *cell);
void cell_watch_stop(struct cell *cell);

/* promises.c */
/* cell->lock held: takes back all promises on v but those of `except` (NULL: none). */
void cell_break_vnode(struct cell_breaks *breaks, struct cell_vnode *v, const struct cell_host *except);
void cell_break_volume(struct cell_breaks *breaks, struct cell_volume *volume);
/* Not held: takes the caller's own promise back, if it has one, and tells it in any case. */
void cell_break_caller(struct cell_request *rq, const struct afs_fid *fid);
/* Not held: waits until all have heard of it, or are known to be silent. */
void cell_send_breaks(struct cell *cell, struct cell_breaks *breaks);
/* Held. None for a request without a host. Bulk: as many more hosts as the real server counts for bulk calls. */
void cell_promise(struct cell_request *rq, struct cell_vnode *v, bool bulk, struct afs_callback *out);
void cell_give_up(struct cell_request *rq, const struct afs_fid *fid);
void cell_give_up_all(struct cell_request *rq);
void cell_promises_free(struct cell_promise **list);
/* Held. */
unsigned cell_promises_count(const struct cell *cell, const struct cell_host *host);
/* Held: all that the host has. */
void cell_promises_drop(struct cell *cell, const struct cell_host *host);
/* Not held: one CallBack; -1: it did not answer in time. */
int cell_host_tell(struct cell_host *host, struct afs_fid *fids, unsigned n, unsigned dead_s);

/* fs_call.c: how operations begin and end: with cell->lock in between, and behind that whoever
 * is to be told is told. Returns the code. */
void cell_begin(struct cell_request *rq);
int32_t cell_end(struct cell_request *rq, int32_t code);
/* What operations of the file server have in common; cell->lock held. */
enum cell_want { CELL_READ, CELL_CHANGE };
/* The server was restarted since: what came before changes nothing any more. */
bool cell_is_stale(const struct cell_request *rq);
/* The vnode, when nobody transfers it in a way that excludes this. Waits. */
int32_t cell_get(struct cell_request *rq, const struct afs_fid *fid, enum cell_want want, struct cell_vnode **out);
int32_t cell_get_dir(struct cell_request *rq, const struct afs_fid *fid, enum cell_want want, struct cell_vnode **out);
void cell_fill_status(struct cell_request *rq, const struct cell_vnode *v, struct afs_fetch_status *st);
void cell_fill_sync(const struct cell_vnode *v, struct afs_volsync *sync);
void cell_apply_status(struct cell_vnode *v, const struct afs_store_status *ss);
struct afs_fid cell_fid(const struct cell_vnode *v);
/* Names in it are others now: its version, and whom to tell. */
void cell_dir_changed(struct cell_request *rq, struct cell_vnode *dir);
/* One name less: frees v, or tells everybody (fs_names.c). */
void cell_drop_link(struct cell_request *rq, struct cell_vnode *v);

/* Bytes of a file, directory or link that are there: 0, or an errno. Lock held. */
int cell_read_piece(struct cell_vnode *v, uint64_t off, void *buf, size_t len);

/* The operations, by file: fs_status.c, fs_data.c, fs_names.c, fs_rename.c, fs_acl.c, fs_misc.c. */
#define CELL_OP(name)                                                                                                  \
	int32_t cell_op_##name(struct rx_call *call, const struct afs_##name##_in *in, struct afs_##name##_out *out,   \
			       void *arg);
CELL_OP(FetchData)
CELL_OP(FetchData64)
CELL_OP(StoreData)
CELL_OP(StoreData64)
CELL_OP(FetchStatus)
CELL_OP(BulkStatus)
CELL_OP(InlineBulkStatus)
CELL_OP(StoreStatus)
CELL_OP(FetchACL)
CELL_OP(OldStoreACL)
CELL_OP(SetLock)
CELL_OP(ExtendLock)
CELL_OP(ReleaseLock)
CELL_OP(CreateFile)
CELL_OP(MakeDir)
CELL_OP(Symlink)
CELL_OP(Link)
CELL_OP(RemoveFile)
CELL_OP(RemoveDir)
CELL_OP(Rename)
#undef CELL_OP

/* ticket.c: the service's key, and tickets made with it. */
struct cell_keys;
/* From a keytab; or from the file data/key, which is made when it is missing; or a new one. */
struct cell_keys *cell_keys_new(struct cell *cell, const char *keytab, const char *data, struct rx_error *err);
void cell_keys_free(struct cell_keys *keys);
struct rx_security *cell_keys_security(struct cell *cell, struct rx_error *err);

/* populate.c: users and volumes of a new cell. */
int cell_populate(struct cell *cell, struct rx_error *err);

#endif
