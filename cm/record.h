/* Writeback records of one vnode: who wrote which pages, in what state, and the error
 * cursors of their tokens. cm/record.c owns the list and the states, cm/flush.c the
 * RPCs and verdicts; the vnode embeds one `struct cm_records`. No two records share a
 * page and a record has no holes, so "the record of page i" is a look-up in this list:
 * there is no pointer from page to record that could disagree.
 *
 * What these two files need of the rest of the room is declared at the end, so that
 * tests can stand in for it. */
#ifndef UMAFS_CM_RECORD_H
#define UMAFS_CM_RECORD_H

#include "cm/cm.h"

struct cm_record {
	struct cm_record *next; /* ascending by first */
	struct cm_token *token; /* one reference */
	uint64_t seq;
	uint64_t first, last;
	uint32_t off_first, to_last;
	uint64_t end; /* after the last byte of a write(); 0: there was none */
	bool mapped;
	enum cm_record_state state;
	unsigned attempts;      /* failed ones since the last success */
	uint64_t not_before_us; /* back-off: no attempt by the flusher earlier */
	uint64_t dirtied_us;    /* oldest grant */
	uint64_t inval_gen;     /* of the vnode when the record was made */
	uint64_t version;       /* the file's data version then, as last heard */
	struct rx_error error;  /* of the last failed attempt */
	bool wanted;            /* another token wants its page: back to CONFLICTING, not PENDING */
	bool refused_rofs;      /* the last answer was VREADONLY: another one kills */
	bool told_expired;      /* its owner knows that it waits for a ticket */
	uint64_t expired_us;    /* first attempt that failed for an expired ticket, 0 = none */
};

struct cm_cursor {
	struct cm_cursor *next;
	struct cm_token *token; /* one reference */
	uint64_t count;
	bool seen; /* by anybody: an unseen error is shown to the token's next opener */
	struct rx_error error;
};

struct cm_records {
	struct cm_vnode *vnode; /* borrowed: embeds us */
	struct rx_mutex lock;   /* RX_RANK_RECORDS */
	struct rx_cond settled; /* some record left WRITING or went */
	struct cm_record *list;
	struct cm_record *writing; /* at most one: stores on one vnode are serialised */
	struct cm_cursor *cursors;
	uint64_t seq;
	uint64_t max_age_us; /* a record older than this is stored; the vnode's maker may set it */
	bool queued;         /* a flush of this vnode is in the work queue */
	bool gone;           /* the file went while a record was WRITING: whoever ends that kills the rest */
	struct rx_error gone_why;
	unsigned notifying; /* calls into ops under way; detach waits for them */
	const struct cm_space_ops *ops;
	void *space;
};

void cm_records_init(struct cm_records *rs, struct cm_vnode *v, struct rx_env *env);
/* No record may be left. */
void cm_records_destroy(struct cm_records *rs);

/* The flusher's periodic look (every second or so, for every vnode with records):
 * queues what is older than max_dirty_age or whose back-off is over. Returns the time
 * of the next look this vnode needs, UINT64_MAX if none. */
uint64_t cm_records_age(struct cm_records *rs, uint64_t now_us, uint64_t max_age_us);
/* Everything of the vnode is gone at the server (VNOVNODE): kills all records, or leaves
 * that to the thread that has one WRITING, which may be the caller. Never waits. */
void cm_records_gone(struct cm_records *rs, const struct rx_error *why);
/* Bytes in records; for the report at exit. */
uint64_t cm_records_dirty(struct cm_records *rs);
/* After the last byte that any record but the one of this number covers. */
uint64_t cm_records_reach(struct cm_records *rs, uint64_t but);
/* Calls ops->changed / ops->invalidate if a space is attached. */
void cm_records_notify_changed(struct cm_records *rs);
void cm_records_notify_invalidate(struct cm_records *rs);

/* ---- between record.c, flush.c and cursor.c ---- */

/* All with rs->lock held. */
struct cm_record *cm_record_find(struct cm_records *rs, uint64_t seq);
void cm_record_set_state(struct cm_record *r, enum cm_record_state to);
void cm_record_view(const struct cm_record *r, struct cm_record_view *view);
/* Takes it off the list and frees it in state DONE or KILLED. The caller puts rs->vnode
 * once the lock is released: the record held one reference. */
void cm_record_remove(struct cm_records *rs, struct cm_record *r);
/* Sees to it that a loss of t can be told. -1: no memory. */
int cm_cursor_prepare(struct cm_records *rs, struct cm_token *t);
void cm_cursor_advance(struct cm_records *rs, struct cm_token *t, const struct rx_error *error);
void cm_cursors_free(struct cm_records *rs);
/* Queues a flush if a CONFLICTING record is due, or sets the timer for the next one. */
void cm_flush_kick(struct cm_records *rs);

enum cm_store_class {
	CM_STORE_OK,
	CM_STORE_DENIED,  /* this token may not */
	CM_STORE_BADCRED, /* the ticket is no good; a fresh one may be */
	CM_STORE_EXPIRED, /* waits for renewal */
	CM_STORE_GONE,    /* this file is not */
	CM_STORE_ROFS,
	CM_STORE_FATAL, /* the server will never take this */
	CM_STORE_SPACE,
	CM_STORE_BUSY,    /* busy, moved, off line, network: later */
	CM_STORE_PUT_OFF, /* nobody was asked: at once, when a truncation is over */
};
enum cm_store_class cm_store_classify(const struct rx_error *e);

/* ---- what record.c and flush.c ask of the rest of cm/ ---- */

struct cm_records *cm_vnode_records(struct cm_vnode *v);
/* Stores the runs in ascending order, one StoreData64 each, under t, serialised per
 * vnode by the caller. FileLength = max(server's length, end of the run): nobody else's
 * unstored extension. mtime = now. Updates status and data version. */
int cm_store_runs(struct cm_vnode *v, struct cm_token *t, const struct cm_plan *plan, bool sync, struct rx_error *err);
/* Runs fn(arg) on a worker thread soon. False: no memory or no thread, nothing happens. */
bool cm_work(struct cm *cm, void (*fn)(void *), void *arg);
/* Has cm_records_age called for this vnode at `when_us` at the latest. */
void cm_flush_timer(struct cm_vnode *v, uint64_t when_us);
/* Never asks anybody. */
const char *cm_token_name(struct cm_token *t, char buf[256]);
void cm_emit(struct cm *cm, const struct cm_event *ev);
/* Replaces the credential by a fresh one of the same identity. 0 if there is a new one. */
int cm_token_refresh(struct cm_token *t, struct rx_error *err);

#endif
