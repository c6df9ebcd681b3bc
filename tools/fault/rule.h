/* One fault rule: when it fires, and what it does then. Filled by parse.c from one line
 * of a script (doc/fault-scripts.md), asked by match.c, kept by set.c. Rules of the side
 * `packet` are carried out by link.c; those of the side `rpc` by whoever serves calls.
 * Plain data, owned by the set; the caller of the set guards it. */
#ifndef UMAFS_FAULT_RULE_H
#define UMAFS_FAULT_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include "rx/error.h"

enum fault_side { FAULT_PACKET, FAULT_RPC, FAULT_SIDES };
enum fault_dir { FAULT_FROM_CLIENT, FAULT_FROM_SERVER, FAULT_DIRS };

enum fault_op {
	FAULT_PASS, /* no rule after this one is asked */
	FAULT_NOTE, /* nothing: it counts, and stands in the trace */
	FAULT_DELAY,
	FAULT_HOLD,
	/* packets */
	FAULT_DROP,
	FAULT_BURST,
	FAULT_JITTER,
	FAULT_REORDER,
	FAULT_DUPLICATE,
	FAULT_TRUNCATE,
	FAULT_FLIP,
	FAULT_LIMIT,
	FAULT_PARTITION,
	FAULT_REBIND,
	FAULT_MTU,
	/* calls */
	FAULT_ABORT,
	FAULT_LOSE_REPLY,
	FAULT_CUT,
	FAULT_LENGTH,
	FAULT_ARRAY,
	FAULT_GARBAGE,
	FAULT_LIE,
	FAULT_BREAK,
	FAULT_REVOKE,
	FAULT_CHANGE,
	FAULT_BUSY,
	FAULT_MOVED,
	FAULT_OFFLINE,
	FAULT_SALVAGE,
	FAULT_NO_QUORUM,
	FAULT_EXPIRE,
	FAULT_RESTART,
	FAULT_CLOCK,
	FAULT_OPS,
};

/* Where a callback is broken. */
enum fault_moment { FAULT_BEFORE, FAULT_DURING, FAULT_AFTER };

enum { FAULT_NAME_MAX = 32, FAULT_TEXT_MAX = 64, FAULT_CERTAIN = 1000000 };

/* What `number`, `time_us` and `text` mean for each op stands in the table of actions
 * in words.c and in doc/fault-scripts.md; what is not named there is 0. */
struct fault_action {
	enum fault_op op;
	int64_t number;
	uint64_t time_us;
	bool flag;                 /* mtu: with ICMP; array: too long; change: with text */
	char text[FAULT_TEXT_MAX]; /* gate, server, rights, what to write */
};

struct fault_range {
	uint32_t lo, hi;
};

/* Conditions; `given` has a bit of enum fault_condition for each that was written. */
enum fault_condition {
	FAULT_IF_FROM,
	FAULT_IF_TYPE,
	FAULT_IF_FLAG,
	FAULT_IF_NOFLAG,
	FAULT_IF_REASON,
	FAULT_IF_CID,
	FAULT_IF_CALL,
	FAULT_IF_SEQ,
	FAULT_IF_SERIAL,
	FAULT_IF_SERVICE,
	FAULT_IF_SIZE,
	FAULT_IF_NAME,
	FAULT_IF_USER,
	FAULT_IF_FID,
	FAULT_IF_VOLUME,
	FAULT_IF_CLIENT,
	FAULT_IF_SERVER,
	FAULT_IF_NTH,
	FAULT_IF_EVERY,
	FAULT_IF_PROB,
	FAULT_IF_TIMES,
	FAULT_IF_AFTER,
	FAULT_IF_BEFORE,
	FAULT_CONDITIONS,
};

struct fault_when {
	uint32_t given;
	uint32_t client_ip; /* host order */
	uint16_t client_port;
	uint32_t server_ip;
	uint16_t server_port;
	struct fault_range nth;
	uint32_t every, times;
	uint32_t prob;                /* in millionths */
	uint64_t after_us, before_us; /* since the set began */
	/* packets */
	enum fault_dir from;
	uint32_t types, reasons; /* bit n: packet type n, ACK reason n */
	uint8_t flags, noflags;
	struct fault_range cid, call, seq, serial, service, size;
	/* calls */
	char name[FAULT_TEXT_MAX], user[FAULT_TEXT_MAX], volume[FAULT_TEXT_MAX];
	uint32_t fid_volume, fid_vnode, fid_unique; /* 0: any */
};

struct fault_rule {
	struct fault_rule *next;
	char name[FAULT_NAME_MAX];
	char *text; /* as written, without name and comment */
	enum fault_side side;
	struct fault_when when;
	struct fault_action action;
	/* how it stands; set.c and match.c */
	uint64_t rng;
	uint64_t matched, fired;
	uint64_t burst_left;
	uint64_t cut_off_until;            /* partition */
	uint64_t line_free_at[FAULT_DIRS]; /* limit: when the last byte queued has gone */
};

/* A line of a script. */
enum fault_line_kind { FAULT_LINE_EMPTY, FAULT_LINE_SEED, FAULT_LINE_RULE };
struct fault_line {
	enum fault_line_kind kind;
	uint64_t seed;
	struct fault_rule *rule; /* the caller's, to be freed with fault_rule_free */
};

/* parse.c. On failure -1 with "line L, column C: expected ..., not ..."; nothing to free. */
int fault_parse_line(const char *text, unsigned line_number, struct fault_line *out, struct rx_error *err);
void fault_rule_free(struct fault_rule *rule);

/* words.c */
const char *fault_op_name(enum fault_op op);

#endif
