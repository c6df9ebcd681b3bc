/* What runner and client say to each other over a socket pair: a step as its line, and
 * what it came to. Both ends are the same program, so structs travel as they are. */
#ifndef UMAFS_HARNESS_MESSAGE_H
#define UMAFS_HARNESS_MESSAGE_H

#include "tools/harness/outcome.h"

/* A client's exit status when bytes could not be stored. */
enum { HARNESS_LEFT = 3 };

struct harness_request {
	uint32_t id, len; /* `len` bytes follow: "ACTOR VERB ARGUMENTS" */
	char actor[64];   /* USER or USER.THREAD; "" is the client itself */
};

struct harness_reply {
	uint32_t id; /* of the request */
	enum harness_status status;
	int number;
	struct rx_error err;
	uint64_t took_us;
	uint64_t len; /* bytes of the answer, which follow */
};

/* Whole, whatever signals come. -1 when the other end has gone. */
int harness_send(int fd, const void *bytes, size_t len);
int harness_receive(int fd, void *bytes, size_t len);

#endif
