/* The fake's own structures, for fake_cm.c (instance, tokens, vnodes) and fake_server.c
 * (the server, its scripts, and the log). */
#ifndef UMAFS_TESTS_FAKE_CM_INTERNAL_H
#define UMAFS_TESTS_FAKE_CM_INTERNAL_H

#include "tests/fake_cm.h"

enum { LOG_MAX = 400000, RULES_MAX = 8, EVENTS_MAX = 256, WORKERS = 3, KINDS = 4 };

struct rule {
	enum fake_rpc_kind kind;
	const struct cm_token *token;
	int32_t code;
	unsigned times;
};

struct job {
	struct job *next;
	void (*fn)(void *);
	void *arg;
};

struct cm {
	struct rx_env *env;
	struct rx_mutex lock; /* RX_RANK_CM: all of the fake's state */
	struct rx_cond moved;
	struct fake_rpc *log;
	unsigned nlog;
	struct rule rules[RULES_MAX];
	bool blocking[KINDS];
	const struct cm_token *block_token[KINDS];
	unsigned blocked[KINDS];
	struct fake_event events[EVENTS_MAX];
	unsigned nevents;
	struct job *jobs, **jobs_tail;
	unsigned running;
	bool stop;
	struct rx_thread *workers[WORKERS];
	struct rx_mutex queue_lock; /* RX_RANK_LEAF: jobs, running */
	struct rx_cond work;
	struct rx_cond idle;
	unsigned vnodes;
	unsigned refuse_percent; /* of StoreData calls, with EACCES */
	unsigned random;
	struct fake_hooks hooks;
};

struct cm_token {
	struct cm *cm;
	char name[16];
	unsigned refs;
	unsigned rights, cached; /* cached 0: not known */
};

struct cm_vnode {
	struct cm *cm;
	struct cm_records records;
	unsigned refs;
	uint32_t number;
	uint8_t *content;
	uint64_t server_size, server_version;
	uint64_t size, inval_gen;
	_Atomic uint64_t known_version;
	uint64_t proven_from; /* data version since which every change was ours, as far as the client knows */
	bool valid;
	bool unproven; /* the outcome of a change is not known */
	bool storing;  /* a change of ours is under way */
	bool locked;   /* at the server: every other call waits */
};

#endif
