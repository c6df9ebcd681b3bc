/* Places where the code may go either of two ways that are both right, and takes the rarer one
 * when the env says so: a deterministic world does, by its seed, so that what hardly ever
 * happens is played often. All of them are declared here, once; rx, cm, vfs-emu and the
 * embedded cell ask with UMAFS_MAYBE. Nothing of it is left unless configured with
 * --enable-debug. */
#ifndef UMAFS_RX_MAYBE_H
#define UMAFS_RX_MAYBE_H

#include "rx/env.h"

#define UMAFS_MAYBES(X)                                                                                                \
	/* rx */                                                                                                       \
	X(WAKE_SPURIOUSLY)     /* a condition's waiter, though nobody signalled */                                     \
	X(RECEIVE_NOTHING)     /* what has come is received at the next look */                                        \
	X(FLUSH_ONE)           /* one datagram handed to the network at a time */                                      \
	X(SEND_FAILS)          /* the network takes only the first of them (ENOBUFS) */                                \
	X(SLEEP_SHORT)         /* the leader wakes before anything has happened */                                     \
	X(KICK_NEEDLESSLY)     /* ... is woken though it would wake in time */                                         \
	X(BACKGROUND_LEADS)    /* without the time of grace */                                                         \
	X(INLINE_LATE)         /* one inline handler a turn */                                                         \
	X(RTO_SOON)            /* a packet is thought lost that is only under way */                                   \
	X(TAIL_PROBE_SOON)     /* ... the last one */                                                                  \
	X(ACK_AT_ONCE)         /* instead of later */                                                                  \
	X(ACK_EACH)            /* packet */                                                                            \
	X(ACK_NOT_PIGGYBACKED) /* sent though a reply says it */                                                       \
	X(WINDOW_OF_ONE)       /* announced by the receiver */                                                         \
	X(CWND_OF_ONE)         /* kept by the sender */                                                                \
	X(PACKET_SHORT)        /* half as full as it could be */                                                       \
	X(BUSY_CHANNEL)        /* a new call is answered BUSY first, once */                                           \
	X(CHALLENGE_TWICE)                                                                                             \
	X(RESPONSE_TWICE)                                                                                              \
	X(PING_NOW)                                                                                                    \
	X(CHANNEL_OTHER)   /* not the first free one */                                                                \
	X(CONNECTION_ANEW) /* takes a new identity while it is quiet */                                                \
	X(CALL_NOT_KEPT)   /* its memory goes back at once */                                                          \
	/* cm */                                                                                                       \
	X(BREAK_BEFORE_VALIDATE) /* a callback break, just there */                                                    \
	X(BREAK_BEFORE_RIGHTS)                                                                                         \
	X(BREAK_BEFORE_STORE)                                                                                          \
	X(BREAK_AFTER_STORE)                                                                                           \
	X(BREAK_AFTER_FETCH)                                                                                           \
	X(BREAK_AFTER_STATUS)                                                                                          \
	X(BREAK_AFTER_CHANGE) /* of a directory */                                                                     \
	X(PROMISE_NOT_TAKEN)  /* as if it came too late */                                                             \
	X(STATUS_ASKED)       /* though it is known */                                                                 \
	X(RIGHTS_FORGOTTEN)                                                                                            \
	X(BREAK_THOUGHT_HEARD) /* the ring of breaks says yes */                                                       \
	X(VOLUME_ASKED)        /* the VLDB, though the answer is fresh */                                              \
	X(CONN_ANOTHER)        /* a second one beside one that is free */                                              \
	X(CONN_RETIRED)        /* after a call that went well */                                                       \
	X(TOKEN_LOOK)          /* for a newer ticket */                                                                \
	X(VNODE_EVICTED)                                                                                               \
	X(BLOB_FORGOTTEN)  /* a directory's bytes */                                                                   \
	X(DIR_NOT_EDITED)  /* locally: it is read again */                                                             \
	X(RECORD_APART)    /* not joined with its neighbour */                                                         \
	X(RECORD_UNMERGED) /* two that touch stay two */                                                               \
	X(RECORD_CLOSED)   /* for joining, and stored at once */                                                       \
	X(FLUSH_LATER)     /* the worker comes back */                                                                 \
	X(TIMER_EARLY)     /* looks at a vnode too soon */                                                             \
	X(WORK_REFUSED)    /* no memory to remember it */                                                              \
	X(WORKER_MORE)     /* one more than needed */                                                                  \
	X(FETCH_SPLIT)     /* small ones too */                                                                        \
	/* vfs */                                                                                                      \
	X(FAULT_AGAIN)    /* from the top, once more */                                                                \
	X(MESSAGE_SINGLE) /* one a wait */                                                                             \
	X(AROUND_NOTHING) /* no neighbour is mapped along */                                                           \
	X(READ_AHEAD_NONE)                                                                                             \
	X(READ_AHEAD_FAR)                                                                                              \
	X(FILL_SINGLE)    /* one page under a hold of the locks */                                                     \
	X(FILL_OVERTAKEN) /* what was read is not used */                                                              \
	X(READ_PUNCHED)   /* copied again */                                                                           \
	X(READ_BY_PAGE)                                                                                                \
	X(WRITE_BY_PAGE)                                                                                               \
	X(SPACE_INVALID) /* asks whether it is still current */                                                        \
	X(RIGHT_TO_WRITE_ASKED)                                                                                        \
	X(RIGHT_TO_READ_ASKED)                                                                                         \
	X(HIDE_AFTER_STORE) /* as if the promise had gone meanwhile */                                                 \
	X(PLAN_APART)       /* each changed run in a store of its own */                                               \
	/* the embedded cell */                                                                                        \
	X(CELL_STORE_PIECES) /* data read in small pieces */                                                           \
	X(CELL_FETCH_PIECES)                                                                                           \
	X(CELL_BREAK_OWN) /* the promise of whoever changes it too */                                                  \
	X(CELL_NO_PROMISE)                                                                                             \
	X(CELL_PROMISE_SHORT)                                                                                          \
	X(CELL_COMPACT) /* the log is written anew */

enum umafs_maybe {
#define UMAFS_MAYBE_ENUM(name) UMAFS_MAYBE_##name,
	UMAFS_MAYBES(UMAFS_MAYBE_ENUM)
#undef UMAFS_MAYBE_ENUM
		UMAFS_MAYBE_COUNT
};

/* env may be NULL. */
#ifdef UMAFS_DEBUG
#define UMAFS_MAYBE(env, name) umafs_maybe(env, UMAFS_MAYBE_##name)
static inline bool umafs_maybe(struct rx_env *env, enum umafs_maybe which)
{
	return env && env->ops->maybe && env->ops->maybe(env, which);
}
#else
#define UMAFS_MAYBE(env, name) ((void)(env), false)
#endif

#endif
