/* Side by side transfers: a pool of threads with a bounded queue, and the progress line
 * that they share. A job runs once; it may not wait for another job. */
#ifndef UMAFS_TOOLS_TRANSFER_H
#define UMAFS_TOOLS_TRANSFER_H

#include "tools/cli.h"

struct transfer;

typedef void transfer_job(struct transfer *t, void *arg);

/* Starts cli->jobs threads, and the progress line if stderr is a terminal and neither
 * JSON nor a trace is wanted. */
struct transfer *transfer_new(struct cli *cli);
struct cli *transfer_cli(struct transfer *t);
/* Waits while the queue is full. After a stop signal jobs still run: each looks at
 * cli_stopped() and cleans up after itself. Not to be called by a job. */
void transfer_submit(struct transfer *t, transfer_job *job, void *arg);
/* Waits until every job has run, ends the threads, frees. */
void transfer_free(struct transfer *t);

/* What the progress line counts. Any thread. */
void transfer_expect(struct transfer *t, uint64_t bytes);
void transfer_moved(struct transfer *t, uint64_t bytes);
/* A transfer that must start again: its bytes do not count. */
void transfer_unmoved(struct transfer *t, uint64_t bytes);

#endif
