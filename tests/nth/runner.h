/* Runs a copy of a program whose n-th call fails (tests/nth/nth.h), with what it prints caught
 * and its time limited; and chooses which calls are to fail. For the test's main thread. */
#ifndef UMAFS_TESTS_NTH_RUNNER_H
#define UMAFS_TESTS_NTH_RUNNER_H

#include <stdbool.h>
#include <sys/types.h>

#include "tests/nth/nth.h"

enum { RUN_TEXT_MAX = 1 << 16 };

struct run {
	const char *program; /* "umafs": tests/nth/umafs beside the test */
	unsigned n, burst, variant;
	bool later; /* it arms itself */
	char **env; /* in addition; NULL: none */
	const char *input;
	pid_t pid;
	int pidfd, in, out, err;

	/* Afterwards. */
	int status; /* exit status; -1: a signal; -2: it hung and was killed */
	int signal;
	char said[RUN_TEXT_MAX], told[RUN_TEXT_MAX]; /* stdout, stderr */
	struct nth_report report;
	unsigned descriptors;
};

void run_start(struct run *r, char **argv);
/* False: it has not ended within so much time. */
bool run_wait(struct run *r, unsigned ms);
/* Until its end, or kills it after a generous time. */
void run_end(struct run *r);
/* All three. */
void run_whole(struct run *r, char **argv);

/* Where the failure was, and how it ended; for messages. */
void run_explain(const struct run *r, const char *what);

/* $UMAFS_NTH=NAME[:N[:VARIANT]]: the one trial to make, and there only the n-th call's failure; n 0: all. */
struct run_only {
	const char *name; /* NULL: all trials */
	size_t len;
	unsigned n, variant;
};
struct run_only run_only(void);
bool run_is_wanted(const struct run_only *only, const char *name);

/* The calls to fail of what a run without failures made: each place's first few, fewer when
 * it has failed in earlier plans; every step-th place only; step 0: none. Asks for n from 1 on; 0: no more. */
struct run_plan {
	const char *program;
	unsigned step, calls, at;
	uint32_t *order;
};
/* What has failed in earlier plans counts no more. */
void run_plan_forget(void);
unsigned run_plan_step(void); /* $UMAFS_NTH_STEP */
/* Whether a sample must be of everything: places are looked for. */
bool run_plan_whole(void);
void run_plan_begin(struct run_plan *p, const struct run *clean);
unsigned run_plan_next(struct run_plan *p);
void run_plan_end(struct run_plan *p);

#endif
