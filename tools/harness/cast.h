/* Who plays in a scenario: client processes, and actors that act in them or run programs.
 * Steps begin here, and what they come to is collected here, without waiting. Owned by
 * one play; the runner's one thread. */
#ifndef UMAFS_HARNESS_CAST_H
#define UMAFS_HARNESS_CAST_H

#include <poll.h>

#include "tools/harness/rig.h"

enum { CAST_ACTORS = 64, CAST_POLLS = 2 * HARNESS_CLIENTS + CAST_ACTORS + 4 };

struct cast_client {
	char name[32];
	const char *options;
	struct harness_process process;
	int fd; /* to it; -1: not running */
	bool ending;
	uint8_t *in; /* what has come of replies */
	size_t in_len, in_cap;
	bool hello;             /* it is up */
	struct rx_error failed; /* to come up */
};

struct cast_actor {
	char text[64];                        /* as scripts write it */
	const struct harness_statement *busy; /* NULL: nothing to wait for */
	bool done;                            /* `result` is that of `busy` */
	struct harness_result result;
	struct cast_client *client;
	uint32_t id;
	struct harness_process program;
	unsigned nprograms;
	uint64_t began_us;
};

struct cast {
	struct harness_rig *rig;
	struct cast_client clients[HARNESS_CLIENTS + 1];
	unsigned nclients;
	struct cast_actor actors[CAST_ACTORS];
	unsigned nactors;
	uint32_t id;
};

void cast_init(struct cast *cast, struct harness_rig *rig);
/* The actor, made if need be. NULL with err: too many. */
struct cast_actor *cast_actor(struct cast *cast, const char *text, struct rx_error *err);
struct cast_client *cast_client(struct cast *cast, const char *name);
/* Starts the step or program; the actor is busy then. The client is started with it. */
int cast_begin(struct cast *cast, struct cast_actor *a, const struct harness_statement *s, struct rx_error *err);
/* Takes in whatever has come. -1: somebody who should be there has gone. */
int cast_collect(struct cast *cast, struct rx_error *err);
/* All that cast_collect may find something at. */
unsigned cast_polls(struct cast *cast, struct pollfd polls[CAST_POLLS]);
/* Kills it; its actors' steps fail. */
void cast_kill(struct cast *cast, struct cast_client *c);
/* Asks it to end in good order; cast_client_gone tells when. */
void cast_end(struct cast_client *c);
bool cast_client_gone(const struct cast_client *c);
/* Having gone, whether it left bytes unstored. */
bool cast_client_left(const struct cast_client *c);
/* Ends all; -1: one did not end in good order in time. */
int cast_finish(struct cast *cast, uint64_t limit_us, struct rx_error *err);

#endif
