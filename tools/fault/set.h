/* The rules in force. A set is filled from scripts and through the control socket while
 * events are matched against it; it may be used from any thread (it has a lock, of leaf
 * rank, held only inside these functions). Things that a `hold` rule stopped wait here
 * for their release. A set without rules of a side costs that side one check:
 * fault_set_has(). */
#ifndef UMAFS_FAULT_SET_H
#define UMAFS_FAULT_SET_H

#include <stdio.h>

#include "rx/env.h"
#include "tools/fault/view.h"

struct fault_set;
struct fault_trace;

enum { FAULT_HITS = 16 };

/* A rule that fired; all by value, the rule may be removed meanwhile. */
struct fault_hit {
	struct fault_action action;
	char rule[FAULT_NAME_MAX];
	uint64_t random;  /* the rule's, for what the action itself draws */
	uint64_t wait_us; /* limit: the time in the queue */
	bool overflow;    /* limit: the queue is full */
	uint64_t opened;  /* hold: how often the gate had been released by then */
};

/* Times in rules count from now. `trace` may be NULL; env and trace outlive the set. */
struct fault_set *fault_set_new(struct rx_env *env, uint64_t seed, struct fault_trace *trace);
/* Nobody may be waiting in fault_set_wait. */
void fault_set_free(struct fault_set *set);

/* One line of the language; empty ones are fine. `name_out` (or NULL) gets the rule's name. */
int fault_set_add(struct fault_set *set, const char *line, unsigned line_number, char name_out[FAULT_NAME_MAX],
		  struct rx_error *err);
/* A whole script: all of its rules or none. */
int fault_set_load(struct fault_set *set, const char *path, struct rx_error *err);
/* What the rule holds is not released by that. */
int fault_set_remove(struct fault_set *set, const char *name, struct rx_error *err);
/* One line per rule: name, events matched, times fired, the rule; in order. */
void fault_set_list(struct fault_set *set, FILE *out);
/* How often each action was taken so far, by rules of each side, those that are gone included. */
typedef uint64_t fault_fired[FAULT_SIDES][FAULT_OPS];
void fault_set_fired(struct fault_set *set, fault_fired fired);

/* Number of rules of a side, without the lock. */
unsigned fault_set_has(const struct fault_set *set, enum fault_side side);

/* The rules that fire, in order, at most FAULT_HITS. A `pass` ends the list and is its last. */
unsigned fault_set_packet(struct fault_set *set, const struct fault_packet_view *p, struct fault_hit hits[FAULT_HITS]);
unsigned fault_set_rpc(struct fault_set *set, const struct fault_rpc *c, struct fault_hit hits[FAULT_HITS]);

/* Sends everything on that `hold NAME` stopped so far; those that come later are held
 * again. Calls `on_release` (of fault_set_on_release) too. */
void fault_set_release(struct fault_set *set, const char *gate);
void fault_set_on_release(struct fault_set *set, void (*fn)(void *arg, const char *gate), void *arg);
/* Waits until the gate of a `hold` that has fired is released (hit NULL: there is none), also
 * when that was before this call; false when the deadline (of rx_now_us; UINT64_MAX: never) has
 * passed, or *stop is set (NULL: never), by fault_set_stop. For calls; packets wait in link.c. */
bool fault_set_wait(struct fault_set *set, const struct fault_hit *hit, uint64_t deadline_us, const bool *stop);
/* Sets *stop, of which several waits may know. */
void fault_set_stop(struct fault_set *set, bool *stop);

struct rx_env *fault_set_env(const struct fault_set *set);
struct fault_trace *fault_set_trace(const struct fault_set *set);

#endif
