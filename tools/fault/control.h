/* The control socket: a unix stream socket, one command a line, answered by any number of
 * lines and then one line, "ok" or "error: SENTENCE". Runs on the thread that runs the
 * libevent base. The commands are those of fault_control_help. */
#ifndef UMAFS_FAULT_CONTROL_H
#define UMAFS_FAULT_CONTROL_H

#include <event2/event.h>

#include "tools/fault/set.h"

struct fault_control;

/* Commands beyond those of the set (stats, rebind ...). True: known; what it printed to
 * `out` is the answer; *err filled and -1 in *rc: refused. */
typedef bool fault_control_extra(void *arg, const char *command, FILE *out, int *rc, struct rx_error *err);

extern const char fault_control_help[];

/* Listens at `path` (a leftover socket nobody listens at is replaced; nothing else is).
 * `extra` may be NULL. NULL with err. */
struct fault_control *fault_control_new(struct event_base *base, const char *path, struct fault_set *set,
					fault_control_extra *extra, void *arg, struct rx_error *err);
/* Closes the connections and removes the socket. NULL is fine. */
void fault_control_free(struct fault_control *control);

/* The client's side, blocking: sends the words as one command, copies the answer to
 * `out`. 0; 1 when it was refused (the sentence in err); -1 when nobody answers. */
int fault_control_call(const char *path, char *const words[], FILE *out, struct rx_error *err);

#endif
