/* The cache manager's public header: cells, volumes, vnodes, tokens, per-token
 * writeback records. Knows nothing of page faults; the room above registers a
 * `struct cm_space_ops` per vnode and owns the pages.
 *
 * Unless said otherwise a function may be called from any thread, blocks while it
 * waits for RPCs, holds no lock meanwhile, and returns 0, or -1 with *err filled.
 * Objects are reference counted: _get/_put pairs; a function that hands out a pointer
 * through an out-parameter hands out a reference with it. */
#ifndef UMAFS_CM_CM_H
#define UMAFS_CM_CM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cm/acl.h"
#include "rx/rx.h"

struct cm;
struct cm_plan;
struct cm_token;
struct cm_vnode;
struct cm_record;

/* ---- the instance ---- */

/* One fact of the trace; strings live only during the call. Called on any thread with
 * leaf locks held: write it down and return. */
struct cm_trace_event {
	const char *what;   /* "call" (an rpc begins), "rpc" (it has ended), "callback", "record", "fault", "page" */
	const char *name;   /* RPC's or state's name */
	const char *server; /* "10.0.0.1:7000" or "" */
	const char *detail; /* free text, e.g. the fid and range; "" if none */
	uint64_t start_us, end_us;
	const struct rx_error *error; /* NULL: success */
};

/* What its owner must learn about a record. Called without locks. */
enum cm_event_kind { CM_EVENT_KILLED, CM_EVENT_EXPIRED, CM_EVENT_DELAYED, CM_EVENT_OVERWROTE };

struct cm_event {
	enum cm_event_kind kind;
	struct cm_vnode *vnode; /* borrowed */
	struct cm_token *token; /* borrowed */
	uint64_t from, to;      /* byte range [from, to) */
	struct rx_error error;
	uint64_t seq;
	const struct cm_plan *lost; /* KILLED: the bytes that were thrown away; NULL if there was no memory for them */
};

struct cm_config {
	struct rx_env *env;        /* NULL: rx_env_posix() */
	struct rx_net *net;        /* taken over, whatever is returned (rx/net.h); NULL: UDP, see port and bind_ip */
	const char *confdir;       /* NULL: the search list */
	const char *cell;          /* NULL: ThisCell */
	uint16_t port;             /* callback service and all calls; 0 = any */
	uint32_t bind_ip;          /* 0 = any */
	int level;                 /* RXKAD_CLEAR/AUTH/CRYPT for connections with a token */
	unsigned dead_time_s;      /* 0 = 50 */
	unsigned max_dirty_age_ms; /* record's age at which it is stored; UINT_MAX = only on demand */
	unsigned retry_limit_s;    /* how long foreground calls wait for VBUSY and the like; 0 = 60 */
	void (*trace)(void *arg, const struct cm_trace_event *ev);
	void (*event)(void *arg, const struct cm_event *ev);
	void *arg;
};

struct cm *cm_new(const struct cm_config *config, struct rx_error *err);
/* Stores what is dirty for up to timeout_ms, gives up all callbacks, frees. Returns how
 * many bytes could not be stored (each named by a CM_EVENT_DELAYED event before). */
uint64_t cm_free(struct cm *cm, unsigned timeout_ms);
uint16_t cm_port(const struct cm *cm);
struct rx_env *cm_env(const struct cm *cm);
const char *cm_local_cell(const struct cm *cm);
void cm_trace(struct cm *cm, const struct cm_trace_event *ev);

/* ---- tokens: an identity, whose credential may be replaced ---- */

/* spec: "anonymous", a ccache name ("FILE:/tmp/x", "/tmp/x", "" or NULL = default
 * ccache), or "KEYTAB:PRINCIPAL". cell NULL = local cell. */
int cm_token_open(struct cm *cm, const char *spec, const char *cell, struct cm_token **out, struct rx_error *err);
struct cm_token *cm_token_get(struct cm_token *t);
void cm_token_put(struct cm_token *t);

struct cm_token_info {
	char cell[256], principal[256]; /* principal "" = anonymous */
	int64_t expires;                /* seconds since 1970, 0 = never */
	int32_t vice_id;                /* 32766 = anonymous, 0 = not known */
	int level, enctype;
};
void cm_token_info(struct cm_token *t, struct cm_token_info *out);
bool cm_token_is_anonymous(const struct cm_token *t);

/* ---- names ---- */

enum cm_walk_flags {
	CM_WALK_NOFOLLOW = 1, /* a symlink at the end is itself */
	CM_WALK_NOMOUNT = 2,  /* a mount point at the end is itself */
};

/* path: "/afs/CELL/...", "/afs/.CELL/...", "/afs/.:mount/CELL:VOLUME/...". */
int cm_walk(struct cm *cm, struct cm_token *t, const char *path, unsigned flags, struct cm_vnode **out,
	    struct rx_error *err);
/* As cm_walk for all but the last component, which is copied into name. */
int cm_walk_parent(struct cm *cm, struct cm_token *t, const char *path, struct cm_vnode **dir, char name[256],
		   struct rx_error *err);

enum cm_type { CM_FILE = 1, CM_DIR = 2, CM_SYMLINK = 3, CM_MOUNT = 4 };

struct cm_fid {
	uint32_t volume, vnode, unique;
};

struct cm_attr {
	struct cm_fid fid;
	enum cm_type type;
	uint64_t size;        /* as seen locally: includes unstored extension */
	uint64_t server_size; /* as the server last said */
	uint64_t data_version;
	uint32_t mode; /* 07777 bits */
	uint32_t owner, group, author, nlink;
	int64_t mtime, server_mtime;
	uint32_t caller_rights, anonymous_rights;
	int32_t lock_count;
};

struct cm_vnode *cm_vnode_get(struct cm_vnode *v);
void cm_vnode_put(struct cm_vnode *v); /* NULL is fine */
struct cm *cm_vnode_cm(struct cm_vnode *v);
struct cm_fid cm_vnode_fid(const struct cm_vnode *v);
const char *cm_vnode_cell(const struct cm_vnode *v);

/* Status as this token sees it; asks the server unless a promise is held and the
 * token's rights are known. */
int cm_getattr(struct cm_vnode *v, struct cm_token *t, struct cm_attr *out, struct rx_error *err);
/* Rights of the token (cm/acl.h), from cache or server; EACCES (RX_ORIGIN_ERRNO) with a
 * sentence that names the missing right. Knows the owner-with-insert rule. */
int cm_may_write(struct cm_vnode *v, struct cm_token *t, struct rx_error *err);
/* What is known without asking; takes only short locks. False: not known, or not so. */
bool cm_may_write_now(struct cm_vnode *v, struct cm_token *t);
bool cm_may_read_now(struct cm_vnode *v, struct cm_token *t);
int cm_may_read(struct cm_vnode *v, struct cm_token *t, struct rx_error *err);
/* Forgets what is cached about the token's rights (after a refusal). */
void cm_forget_rights(struct cm_vnode *v, struct cm_token *t);

/* Calls cb for each name but "." and ".."; a non-zero return stops. is_dir is the
 * vnode number's parity. */
typedef int cm_dirent_fn(void *arg, const char *name, struct cm_fid fid, bool is_dir);
int cm_readdir(struct cm_vnode *dir, struct cm_token *t, cm_dirent_fn *cb, void *arg, struct rx_error *err);
int cm_lookup(struct cm_vnode *dir, struct cm_token *t, const char *name, struct cm_vnode **out, struct rx_error *err);
/* Up to 50 statuses in one RPC into the vnode cache (InlineBulkStatus). */
int cm_prefetch_status(struct cm_vnode *dir, struct cm_token *t, const struct cm_fid *fids, size_t n,
		       struct rx_error *err);
/* Text of a symlink or mount point, malloc'ed, caller frees. */
int cm_readlink(struct cm_vnode *v, struct cm_token *t, char **text, struct rx_error *err);

struct cm_setattr {
	bool set_mode, set_mtime, set_owner, set_group;
	uint32_t mode, owner, group;
	int64_t mtime;
};
int cm_create(struct cm_vnode *dir, struct cm_token *t, const char *name, const struct cm_setattr *attr,
	      struct cm_vnode **out, struct rx_error *err);
int cm_mkdir(struct cm_vnode *dir, struct cm_token *t, const char *name, const struct cm_setattr *attr,
	     struct cm_vnode **out, struct rx_error *err);
int cm_symlink(struct cm_vnode *dir, struct cm_token *t, const char *name, const char *text, bool mount_point,
	       struct rx_error *err);
int cm_link(struct cm_vnode *dir, struct cm_token *t, const char *name, struct cm_vnode *file, struct rx_error *err);
int cm_unlink(struct cm_vnode *dir, struct cm_token *t, const char *name, struct rx_error *err);
int cm_rmdir(struct cm_vnode *dir, struct cm_token *t, const char *name, struct rx_error *err);
int cm_rename(struct cm_vnode *from, const char *from_name, struct cm_vnode *to, const char *to_name,
	      struct cm_token *t, struct rx_error *err);
int cm_setattr(struct cm_vnode *v, struct cm_token *t, const struct cm_setattr *attr, struct rx_error *err);

/* ACL text as on the wire (cm/acl.h reads it); malloc'ed, caller frees. */
int cm_acl_fetch(struct cm_vnode *v, struct cm_token *t, char **text, struct rx_error *err);
int cm_acl_store(struct cm_vnode *v, struct cm_token *t, const char *text, struct rx_error *err);

struct cm_volume_status {
	uint32_t volume, parent;
	char name[256];
	uint64_t quota_kib, used_kib, partition_free_kib, partition_size_kib; /* quota 0 = none */
	bool read_only, online;
};
int cm_volume_status(struct cm_vnode *v, struct cm_token *t, struct cm_volume_status *out, struct rx_error *err);

struct cm_site {
	struct rx_addr addr;
	uint32_t partition; /* 0 = a */
	uint32_t flags;     /* VLDB site flags */
};
struct cm_volume_info {
	char name[80];
	char cell[256];
	uint32_t ids[3]; /* rw, ro, backup; 0 = none */
	unsigned nsites;
	struct cm_site sites[13];
};
int cm_volume_info(struct cm_vnode *v, struct cm_volume_info *out, struct rx_error *err);
int cm_volume_info_by_name(struct cm *cm, const char *cell, const char *name, struct cm_volume_info *out,
			   struct rx_error *err);

/* ---- file data ---- */

/* One FetchData64, or several side by side on other channels, of [off, off+len) into
 * buf; *got is short only at the server's end of file. *version is the data version
 * that all bytes belong to. */
int cm_fetch(struct cm_vnode *v, struct cm_token *t, uint64_t off, void *buf, size_t len, size_t *got,
	     uint64_t *version, struct rx_error *err);

/* Streams a store that belongs to no record (whole-file put): source gives the bytes
 * of [off, off+len) in order. file_length as in StoreData64. One StoreData64. */
typedef int cm_source_fn(void *arg, void *buf, size_t len); /* 0, or -1 = abort the call */
int cm_store_stream(struct cm_vnode *v, struct cm_token *t, uint64_t off, uint64_t len, uint64_t file_length,
		    int64_t mtime, bool sync, cm_source_fn *source, void *arg, struct rx_error *err);
/* Streams a fetch; sink gets the bytes in order; non-zero return stops. */
typedef int cm_sink_fn(void *arg, const void *buf, size_t len);
int cm_fetch_stream(struct cm_vnode *v, struct cm_token *t, uint64_t off, uint64_t len, cm_sink_fn *sink, void *arg,
		    uint64_t *version, struct rx_error *err);

/* Counts every event that ended or may have ended a promise on v. A reader samples it
 * before it fetches and compares afterwards. */
uint64_t cm_inval_gen(const struct cm_vnode *v);
/* True while a promise is held and nothing is marked unvalidated. Never blocks. */
bool cm_is_valid(const struct cm_vnode *v);
/* cm_is_valid, and what was fetched at `version` is still the file's content: nothing
 * but our own stores lies between. Never blocks. */
bool cm_is_current(const struct cm_vnode *v, uint64_t version);
/* The file's data version as last heard; needs no lock. */
uint64_t cm_data_version(const struct cm_vnode *v);
/* Whether somebody else's store lies between `version` and what is known now, promised
 * or not. Never blocks. */
bool cm_has_moved(const struct cm_vnode *v, uint64_t version);
/* FetchStatus if not cm_is_valid; *version: the file's data version now. */
int cm_validate(struct cm_vnode *v, struct cm_token *t, uint64_t *version, struct rx_error *err);

/* Local size, and its growth by write(); truncation is cm_truncate. */
uint64_t cm_size(const struct cm_vnode *v);
void cm_extend(struct cm_vnode *v, uint64_t size);
/* Record `seq` ends, stored or killed: the file is as long as the server says or the other
 * records reach. Called with the space locked, as cm_extend: no extension is without its
 * record then. */
void cm_settle_size(struct cm_vnode *v, uint64_t seq);
/* The RPC part of a truncate: StoreData of length 0 under t. The caller (the room above)
 * has seen to it that no record reaching beyond is in flight. Sets both sizes. */
int cm_truncate(struct cm_vnode *v, struct cm_token *t, uint64_t size, struct rx_error *err);

/* ---- writeback records (one token's dirty range; one record, one verdict) ----
 *
 * States and their allowed changes are declared once, here. */
#define CM_RECORD_STATES(X)                                                                                            \
	X(NONE, "no record")                                                                                           \
	X(PENDING, "may be joined")                                                                                    \
	X(CONFLICTING, "closed for joining, waits for the flusher")                                                    \
	X(WRITING, "its StoreData is under way")                                                                       \
	X(KILLING, "refused; its pages are being thrown away")                                                         \
	X(KILLED, "refused, all pages settled")                                                                        \
	X(DONE, "stored, or nothing of it was left")

#define CM_RECORD_TRANSITIONS(X)                                                                                       \
	X(NONE, PENDING)                                                                                               \
	X(PENDING, CONFLICTING)                                                                                        \
	X(PENDING, WRITING)                                                                                            \
	X(CONFLICTING, WRITING)                                                                                        \
	X(WRITING, PENDING)                                                                                            \
	X(WRITING, CONFLICTING)                                                                                        \
	X(WRITING, KILLING)                                                                                            \
	X(WRITING, DONE)                                                                                               \
	X(PENDING, KILLING)                                                                                            \
	X(CONFLICTING, KILLING)                                                                                        \
	X(KILLING, KILLED)                                                                                             \
	X(PENDING, DONE)                                                                                               \
	X(CONFLICTING, DONE)

#define CM_RECORD_ENUM(name, text) CM_RECORD_##name,
enum cm_record_state { CM_RECORD_STATES(CM_RECORD_ENUM) CM_RECORD_STATE_COUNT };
#undef CM_RECORD_ENUM
const char *cm_record_state_name(enum cm_record_state s);

enum { CM_PAGE = 4096 };

/* A record as the room above sees it; a copy, valid at the moment of the call. */
struct cm_record_view {
	uint64_t seq;           /* names the record; vnode-wide counter from 1 */
	struct cm_token *token; /* borrowed; lives as long as the record */
	enum cm_record_state state;
	uint64_t first, last;        /* page indexes, inclusive */
	uint32_t off_first, to_last; /* first dirty byte in `first`; after the last in `last` */
	uint64_t end; /* after the last byte that write() gave, which makes the file that long; 0: none */
	bool mapped;  /* some page was granted to a mapping: bytes come from twins */
};

enum cm_grant {
	CM_GRANTED,  /* page is bound to a PENDING record of this token now */
	CM_CONFLICT, /* bound to a record that must go first; it is CONFLICTING now and queued. Park. */
	CM_NOMEM,    /* no memory for a record, or for telling of its loss; nothing has changed */
};

/* Wants bytes [from, to) of page `index` for token t: joins, extends or creates a
 * record. view->seq is the record granted or in the way. Called with the space locked
 * and the page's bit L held; never blocks. mapped: from/to are 0/CM_PAGE. */
enum cm_grant cm_record_grant(struct cm_vnode *v, struct cm_token *t, uint64_t index, uint32_t from, uint32_t to,
			      bool mapped, struct cm_record_view *view);

/* Somebody who was told CM_CONFLICT has gone; who still waits for the page asks again. */
void cm_record_unwant(struct cm_vnode *v, uint64_t index);

/* The record that page `index` is bound to. False: none. */
bool cm_record_at(struct cm_vnode *v, uint64_t index, struct cm_record_view *view);
/* The first record with last >= index; to walk all of them. False: none. */
bool cm_record_next(struct cm_vnode *v, uint64_t index, struct cm_record_view *view);

/* Bytes from size on go: records beyond vanish, the one across shrinks. False, and
 * nothing done, while one that reaches the page of `size` is WRITING: cm_flush_settle,
 * then again. */
bool cm_record_truncate(struct cm_vnode *v, uint64_t size);

/* What the flusher stores of a record: runs of bytes, ascending. */
struct cm_run {
	uint64_t off;
	size_t len;
	const uint8_t *bytes;
};
struct cm_plan {
	struct cm_run *runs; /* malloc'ed array */
	size_t nruns;        /* 0: nothing differs, the record is done without an RPC */
	uint8_t *buffer;     /* malloc'ed; the runs point into it */
};

enum cm_verdict {
	CM_VERDICT_STORED, /* on the server */
	CM_VERDICT_KEEP,   /* transient: stays dirty */
	CM_VERDICT_KILL,   /* refused for good: throw the pages away, in the right order */
};

struct cm_space_ops {
	/* The record is WRITING now. Per page under L: arm the owner's mappings, D to W,
	 * compare with the twin, copy out. promise_broken: send only what differs. Sizes
	 * are clamped to cm_size(). Returns 0; -1 (out of memory) or 1 (a truncation is under
	 * way): verdict KEEP. */
	int (*prepare)(void *space, const struct cm_record_view *r, bool promise_broken, struct cm_plan *plan);
	/* Per page under L. STORED: W off, twin dropped. KEEP: W to D. KILL: arm in all
	 * mappings, punch, then U, D, W off. The record still stands while this runs;
	 * from its return on the pages are unbound (STORED, KILL). */
	void (*settle)(void *space, const struct cm_record_view *r, enum cm_verdict verdict);
	/* The bytes of a record about to be killed, for its owner's event. malloc'ed. */
	int (*salvage)(void *space, const struct cm_record_view *r, struct cm_plan *plan);
	/* A record left PENDING/CONFLICTING/WRITING, or rights or validity changed: parked
	 * requests start again from the top. Any thread; must not block or call out. */
	void (*changed)(void *space);
	/* A callback break, promise expiry or server reset: drop what must be revalidated
	 * (zap mappings). Runs inside the callback service: only local work, no waiting for
	 * page bits. */
	void (*invalidate)(void *space);
};

/* One space per vnode; cm calls ops->… until detached. Returns the space already
 * attached, or NULL when `space` was taken. The space must not go while records exist. */
void *cm_space_attach(struct cm_vnode *v, const struct cm_space_ops *ops, void *space);
void cm_space_detach(struct cm_vnode *v);

/* Stores records of t (NULL: everybody's) that touch [from, to) and waits for their
 * verdicts; the calling thread does the RPCs when it can. Returns the first transient
 * failure (that record stays dirty), without waiting for a cure. A record that was
 * refused for good is not reported here but by the owner's error cursor, so that
 * fsync = cm_flush, then cm_cursor_check tells each loss exactly once. */
int cm_flush(struct cm_vnode *v, struct cm_token *t, uint64_t from, uint64_t to, bool sync, struct rx_error *err);
/* Marks them CONFLICTING and wakes the flusher; does not wait. */
void cm_flush_start(struct cm_vnode *v, struct cm_token *t, uint64_t from, uint64_t to);
/* Waits until no record touching [from, ...) is WRITING. */
void cm_flush_settle(struct cm_vnode *v, uint64_t from);

/* Error cursors: one counter per (vnode, token). A handle samples it when it is made
 * and asks at msync, fsync, close: each advance is reported once. */
uint64_t cm_cursor_sample(struct cm_vnode *v, struct cm_token *t);
/* 0, or -1 with the last unreported error; *cursor moves on. */
int cm_cursor_check(struct cm_vnode *v, struct cm_token *t, uint64_t *cursor, struct rx_error *err);

#endif
