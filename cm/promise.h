/* Callback promises as arithmetic: what a reply may be believed for, given what was
 * noted before its request was sent and what has happened since. Pure functions on
 * small structs; cm/vnode.c calls them with the vnode locked, cm/callback.c when a
 * break comes. No clock, no lock, no memory: time and generations are handed in. */
#ifndef UMAFS_CM_PROMISE_H
#define UMAFS_CM_PROMISE_H

#include <stdbool.h>
#include <stdint.h>

/* The promise of one vnode. `cb_gen` counts every event that ended or might have ended
 * one, also when none was held; it never goes back. */
struct cm_promise {
	uint64_t cb_gen;
	bool held;
	const void *server; /* who gave it; compared, never followed */
	uint64_t vol_gen, srv_gen;
	uint64_t until_us; /* monotonic; guard already taken off */
};

/* Noted before a request is sent. */
struct cm_noted {
	uint64_t cb_gen, vol_gen, srv_gen;
	const void *server;
	uint64_t sent_us;
	uint64_t parent_gen; /* cb_gen of the directory whose ACL rules; 0: not known */
};

/* What a reply brings, and the generations at the moment of its arrival. */
struct cm_reply_facts {
	uint64_t vol_gen, srv_gen;
	const void *server;
	bool promised;         /* the reply carries a callback */
	bool read_only;        /* of a read-only or backup volume */
	uint32_t expiration_s; /* relative, as on the wire */
};

enum cm_order {
	CM_ORDER_OLDER, /* the reply is older than what we know: its versioned fields are worthless */
	CM_ORDER_SAME,
	CM_ORDER_NEWER,
};

void cm_promise_note(const struct cm_promise *p, uint64_t vol_gen, uint64_t srv_gen, const void *server,
		     uint64_t now_us, struct cm_noted *q);

/* Installs the reply's promise if nothing has happened since the note. True if so. */
bool cm_promise_install(struct cm_promise *p, const struct cm_noted *q, const struct cm_reply_facts *r);

/* A break, a volume-wide break, a reset or an expiry. True if a promise was held. */
bool cm_promise_break(struct cm_promise *p);

/* True while it may be believed. */
bool cm_promise_good(const struct cm_promise *p, uint64_t vol_gen, uint64_t srv_gen, uint64_t now_us);

/* Compares data versions; servers wrap at 32 bits. */
enum cm_order cm_version_order(uint64_t known, uint64_t reply);

/* Seconds of a promise that we use: life less max(15 s, life / 20). */
uint64_t cm_promise_usable_us(uint32_t expiration_s);

/* Of a status that was read: true when the version moved by a change of our own whose
 * reply is still on its way. Servers break a promise before they let anybody else change
 * the file, so while ours is held nobody has. */
bool cm_version_is_under_way(uint64_t before, uint64_t after, bool promise_held, bool mutating);

/* Of an own mutation: true when `after` is what our own change alone makes of `before`. */
bool cm_version_is_ours(uint64_t before, uint64_t after, uint64_t own_changes);

#endif
