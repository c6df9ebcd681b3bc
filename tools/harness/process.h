/* Child processes of the runner: started with their output in files, ended for sure, and
 * dead when the runner is. Called by rig.c and play.c on the runner's one thread. */
#ifndef UMAFS_HARNESS_PROCESS_H
#define UMAFS_HARNESS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "rx/error.h"

struct harness_process {
	pid_t pid; /* 0: not started, or reaped */
	int fd;    /* of the process: readable when it has ended; -1 */
	int status;
};

struct harness_spawn {
	char *const *argv;      /* argv[0] is looked up in PATH */
	const char *const *env; /* "NAME=VALUE" over what is there already; NULL at the end; may be NULL */
	const char *dir;        /* to be in; NULL: here */
	const char *out, *err;  /* files, made anew (appended to if `append`) */
	bool append;
	int keep; /* an fd it inherits; -1: none */
};

int harness_process_start(struct harness_process *p, const struct harness_spawn *spawn, struct rx_error *err);
/* True when it has ended and been reaped now or before; then `status` is waitpid's. */
bool harness_process_ended(struct harness_process *p);
/* Sends the signal and waits for the end, `limit_us` at most, then kills it. False: it had to be. */
bool harness_process_stop(struct harness_process *p, int sig, uint64_t limit_us);
/* It has stopped when the first returns. Both do nothing to what has ended. */
void harness_process_pause(struct harness_process *p);
void harness_process_resume(struct harness_process *p);
/* "exit status 3", "SIGSEGV". Returns buf. */
const char *harness_status_text(int status, char buf[32]);

/* The whole file, malloc'ed with a 0 behind it; "" when there is none. */
uint8_t *harness_file_bytes(const char *path, size_t *len);

#endif
