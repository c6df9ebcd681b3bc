/* A stand-in for the cache manager's other half: tokens, one server in memory, status and
 * rights, as cm/record.c, cm/flush.c, cm/cursor.c and the page room need them, which are
 * the real ones. The server refuses what it is told to, stops at named points until it
 * is released, and logs every RPC with its token, range and bytes. */
#ifndef UMAFS_TESTS_FAKE_CM_H
#define UMAFS_TESTS_FAKE_CM_H

#include "cm/record.h"

enum fake_rpc_kind { FAKE_FETCH, FAKE_STATUS, FAKE_STORE, FAKE_TRUNCATE };

struct fake_rpc {
	enum fake_rpc_kind kind;
	const struct cm_token *token;
	uint64_t off, len, file_length;
	uint8_t *bytes; /* FETCH, STORE: what went over the wire */
	int32_t code;   /* 0 or the server's refusal */
};

struct fake_event {
	enum cm_event_kind kind;
	const struct cm_token *token;
	uint64_t from, to;
	int errnum;
};

struct cm *fake_new(void);
struct cm *fake_new_in(struct rx_env *env);
/* What the network does before and after each RPC (nothing at first), and who looks at
 * each store that the server is about to carry out, with the server's lock held. */
struct fake_hooks {
	void (*travel)(void *arg);
	void (*store)(void *arg, const struct cm_token *t, uint64_t off, const void *bytes, size_t len);
	void *arg;
};
void fake_set_hooks(struct cm *cm, const struct fake_hooks *hooks);
void fake_free(struct cm *cm); /* everything put */

struct cm_token *fake_token(struct cm *cm, const char *name); /* may read and write */
/* A file of `len` bytes, each page filled with its own value; data version 7, a promise
 * held. */
struct cm_vnode *fake_vnode(struct cm *cm, uint64_t len);
uint8_t fake_byte(uint64_t off); /* what the server has at off at first */

/* The server's side. */
void fake_set_rights(struct cm_token *t, unsigned rights); /* CM_RIGHT_READ | CM_RIGHT_WRITE */
/* As a code: a store is carried out, and its reply is lost. */
enum { FAKE_REPLY_LOST = -3 };
/* The next `times` RPCs of that kind by t (NULL: anybody) end with the server's `code`. */
void fake_refuse(struct cm *cm, enum fake_rpc_kind kind, struct cm_token *t, int32_t code, unsigned times);
/* StoreData calls end with EACCES at random. */
void fake_refuse_randomly(struct cm *cm, unsigned percent);
/* Every RPC of that kind by t stops before the server does anything, until released. */
void fake_block(struct cm *cm, enum fake_rpc_kind kind, struct cm_token *t);
void fake_wait_blocked(struct cm *cm, enum fake_rpc_kind kind, unsigned n);
void fake_release(struct cm *cm, enum fake_rpc_kind kind);
/* As a server does it: promises are broken first, and nobody gets at the file until the
 * write is done. */
void fake_third_party(struct cm_vnode *v, uint64_t off, const void *buf, size_t len);
/* A third party's write, and a callback break. */
void fake_server_write(struct cm_vnode *v, uint64_t off, const void *buf, size_t len);
void fake_break(struct cm_vnode *v);
void fake_server_read(struct cm_vnode *v, uint64_t off, void *buf, size_t len);
uint64_t fake_server_size(struct cm_vnode *v);
uint64_t fake_server_version(struct cm_vnode *v);

/* What happened. */
unsigned fake_count(struct cm *cm, enum fake_rpc_kind kind, const struct cm_token *t);
/* The n-th RPC of that kind, from 0; false: there were fewer. bytes stay the fake's. */
bool fake_nth(struct cm *cm, enum fake_rpc_kind kind, unsigned n, struct fake_rpc *out);
unsigned fake_events(struct cm *cm, struct fake_event *out, unsigned cap);
/* No flush is under way or queued. */
void fake_idle(struct cm *cm);
/* Records of v now, ascending. */
unsigned fake_records(struct cm_vnode *v, struct cm_record_view *out, unsigned cap);

#endif
