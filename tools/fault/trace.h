/* The trace: one JSON object a line, time `t` in microseconds of one monotonic clock.
 * One writer for packets, calls and what happens to the rules; doc/fault-scripts.md
 * lists the fields. Any thread. Every function takes NULL for "no trace". */
#ifndef UMAFS_FAULT_TRACE_H
#define UMAFS_FAULT_TRACE_H

#include <stdio.h>

#include "rx/env.h"
#include "tools/fault/set.h"

struct fault_trace;

/* Writes to `out`, which stays the caller's and is flushed by fault_trace_free. */
struct fault_trace *fault_trace_new(struct rx_env *env, FILE *out);
/* -1 with err when something could not be written (a full disk): the trace has holes. */
int fault_trace_free(struct fault_trace *trace, struct rx_error *err);

/* A packet that came in, and what the rules did with it (n == 0: went on as it was). */
void fault_trace_packet(struct fault_trace *trace, const struct fault_packet_view *p, const struct fault_hit *hits,
			unsigned n);
/* A packet that left later than it came, or in another form. */
void fault_trace_sent(struct fault_trace *trace, enum fault_dir dir, const struct rx_addr *client, const uint8_t *data,
		      size_t len, const char *what);
void fault_trace_rpc(struct fault_trace *trace, const struct fault_rpc *c, const struct fault_hit *hit);
/* {"ev": ev, "name": name, "text": text}; text may be NULL. */
void fault_trace_note(struct fault_trace *trace, const char *ev, const char *name, const char *text);

#endif
