/* See storm_process.h. The process is a fork of this one, which has one thread and no
 * sockets; its result is one write of a pipe. */
#include "tools/harness/storm_process.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/harness/process.h"

/* Long: a client that missed a break asks after five minutes. */
enum { PLAY_S = 600 };

_Static_assert(sizeof(struct storm_result) <= PIPE_BUF, "a result must be written at once");

static int play_inside(const struct storm_plan *plan, const char *dir, FILE *trace, struct storm_result *result,
		       struct rx_error *err)
{
	struct real_stage *stage = real_stage_new(dir, trace, err);

	if (!stage)
		return -1;
	real_stage_play(stage, plan, &result->verdict, &result->tally.counts, &result->tally.struck);
	real_stage_free(stage);
	return 0;
}

static int play_on(const struct cell_stage_config *cell, const struct storm_plan *plan, FILE *trace,
		   struct storm_result *result, struct rx_error *err)
{
	struct cell_stage *stage = cell_stage_new(cell, trace, err);

	if (!stage)
		return -1;
	cell_stage_play(stage, plan, &result->verdict, &result->tally.counts, &result->tally.struck);
	cell_stage_free(stage);
	return 0;
}

static void __attribute__((noreturn))
play(const struct storm_plan *plan, const char *dir, const struct cell_stage_config *cell, FILE *trace, int pipe)
{
	struct storm_result result = { .verdict.ok = true };
	struct rx_error err = { 0 };
	int rc;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_IGN); /* of the terminal: the storm ends its plays */
	rc = cell ? play_on(cell, plan, trace, &result, &err) : play_inside(plan, dir, trace, &result, &err);
	if (rc != 0) {
		result.verdict.ok = false;
		snprintf(result.verdict.broken, sizeof(result.verdict.broken), "no play: %.*s", 380, err.text);
	}
	exit(write(pipe, &result, sizeof(result)) == (ssize_t)sizeof(result) ? EXIT_SUCCESS : EXIT_FAILURE);
}

int storm_process_start(struct storm_process *p, const struct storm_plan *plan, const char *dir,
			const struct cell_stage_config *cell, bool trace, struct rx_error *err)
{
	int fds[2];

	*p = (struct storm_process){ .pipe = -1, .seed = plan->seed };
	snprintf(p->dir, sizeof(p->dir), "%s", dir);
	if (mkdir(dir, 0700) != 0)
		return rx_error_errno(err, errno, "%s; TMPDIR names another place", dir);
	if (pipe2(fds, O_CLOEXEC) != 0)
		return rx_error_errno(err, errno, "a pipe");
	fflush(NULL);
	p->pid = fork();
	if (p->pid == 0)
		play(plan, p->dir, cell, trace ? stdout : NULL, fds[1]);
	close(fds[1]);
	if (p->pid < 0) {
		p->pid = 0;
		close(fds[0]);
		return rx_error_errno(err, errno, "a process for a play");
	}
	p->pipe = fds[0];
	p->began_us = rx_now_us(rx_env_posix());
	p->deadline_us = p->began_us + PLAY_S * UINT64_C(1000000);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	return remove(path);
}

static int reap(struct storm_process *p)
{
	int status = 0;

	close(p->pipe);
	while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
		;
	p->pid = 0;
	p->pipe = -1;
	nftw(p->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return status;
}

void storm_process_kill(struct storm_process *p)
{
	if (p->pid == 0)
		return;
	kill(p->pid, SIGKILL);
	reap(p);
}

void storm_process_end(struct storm_process *p, struct storm_result *result)
{
	bool late = rx_now_us(rx_env_posix()) >= p->deadline_us, told;
	struct storm_verdict *v = &result->verdict;
	char text[32];
	int status;

	if (late)
		kill(p->pid, SIGKILL);
	told = read(p->pipe, result, sizeof(*result)) == (ssize_t)sizeof(*result);
	status = reap(p);
	if (!told)
		*result = (struct storm_result){ .tally.counts.plays = 1 };
	if (late && !told)
		snprintf(v->broken, sizeof(v->broken), "nobody could go on for %d s", PLAY_S);
	else if (status != 0 && v->ok | !told)
		snprintf(v->broken, sizeof(v->broken), "its process ended with %s", harness_status_text(status, text));
	v->ok = told && v->ok && status == 0;
}
