/* See storm_run.h. A play that fails is named with its seed when it does; the others are
 * played to their end, then it is made short alone. Called by storm.c. */
#include "tools/harness/storm_run.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHRINK_PLAYS = 200, SHRINK_S = 300, SHRINK_TRIES = 3, PROGRESS_S = 30 };

struct storm_run {
	const struct storm_options *options;
	struct storm_process processes[STORM_BESIDE_MAX];
	unsigned running, nfailed;
	struct {
		uint64_t seed;
		struct storm_verdict verdict;
	} failed[STORM_BESIDE_MAX]; /* no play begins when there is one */
	uint64_t begun, dirs, began_us, progress_us, shrink_end_us;
	struct storm_tally tally;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	interrupted = sig;
}

static uint64_t now_us(void)
{
	return rx_now_us(rx_env_posix());
}

static int complain(const struct rx_error *err)
{
	fprintf(stderr, "umafs-fault storm: %s\n", err->text);
	return -1;
}

/* ---- plans ---- */

static int read_plan(const char *path, struct storm_plan *plan)
{
	struct rx_error err = { 0 };
	FILE *f = fopen(path, "re");
	int rc = f ? storm_plan_read(plan, f, &err) : rx_error_errno(&err, errno, "it cannot be read");

	if (rc != 0)
		fprintf(stderr, "umafs-fault storm: %s: %s\n", path, err.text);
	if (f)
		fclose(f);
	return rc;
}

static int make_plan(const struct storm_options *o, uint64_t seed, struct storm_plan *plan)
{
	if (o->replay)
		return read_plan(o->replay, plan);
	storm_plan_make(plan, seed, o->events, o->cell.confdir ? STORM_CELL_FAULTS : STORM_REAL_FAULTS);
	if (o->cell.confdir)
		cell_stage_plan(plan);
	else
		storm_machine_hurry(plan);
	return 0;
}

/* ---- one play ---- */

static int start(struct storm_run *r, struct storm_process *p, const struct storm_plan *plan)
{
	const struct storm_options *o = r->options;
	struct rx_error err = { 0 };
	char dir[STORM_DIR];

	snprintf(dir, sizeof(dir), "%s/%" PRIu64, o->dir, r->dirs++);
	return storm_process_start(p, plan, dir, o->cell.confdir ? &o->cell : NULL, o->trace, &err) ? complain(&err)
												    : 0;
}

/* Waits for ends of processes, half a second at most. */
static void wait_for(const struct storm_process *processes, unsigned n)
{
	struct pollfd polls[STORM_BESIDE_MAX];

	for (unsigned i = 0; i < n; i++)
		polls[i] = (struct pollfd){ .fd = processes[i].pid ? processes[i].pipe : -1, .events = POLLIN };
	poll(polls, n, 500);
}

static bool is_over(const struct storm_process *p)
{
	struct pollfd poll_one = { .fd = p->pipe, .events = POLLIN };

	return p->pid != 0 && (poll(&poll_one, 1, 0) > 0 || now_us() >= p->deadline_us);
}

/* ---- one that failed ---- */

/* Threads do not run twice in the same way: a plan holds if it does so several times. */
static bool holds(void *arg, const struct storm_plan *plan)
{
	struct storm_run *r = arg;
	struct storm_result result = { .verdict.ok = true };
	struct storm_process p;

	for (unsigned i = 0; i < SHRINK_TRIES && result.verdict.ok; i++) {
		if (interrupted || now_us() >= r->shrink_end_us || start(r, &p, plan) != 0)
			break;
		while (!is_over(&p) && !interrupted && now_us() < r->shrink_end_us)
			wait_for(&p, 1);
		if (!is_over(&p)) {
			storm_process_kill(&p);
			break;
		}
		storm_process_end(&p, &result);
	}
	return result.verdict.ok;
}

static void keep_plan(const struct storm_plan *plan, const struct storm_verdict *verdict)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "umafs-storm-%" PRIu64 ".plan", plan->seed);
	f = fopen(path, "we");
	if (f) {
		fprintf(f, "# %s\n", verdict->broken);
		storm_plan_print(plan, f);
	}
	if (!f || fclose(f))
		printf("%s cannot be written: %s\n", path, strerror(errno));
	else
		printf("again: umafs-fault storm --replay %s --plays 10\n", path);
}

static void explain(struct storm_run *r, uint64_t seed, const struct storm_verdict *verdict)
{
	struct storm_plan plan;
	size_t before;

	if (make_plan(r->options, seed, &plan) != 0)
		return;
	before = plan.n;
	printf("making the plan of seed %" PRIu64 " shorter, for %d s at most\n", seed, SHRINK_S);
	r->shrink_end_us = now_us() + SHRINK_S * UINT64_C(1000000);
	storm_shrink(&plan, holds, r, SHRINK_PLAYS);
	printf("%zu of %zu events are left:\n", plan.n, before);
	storm_plan_print(&plan, stdout);
	keep_plan(&plan, verdict);
	storm_plan_free(&plan);
}

/* ---- all of them ---- */

static bool goes_on(const struct storm_run *r)
{
	const struct storm_options *o = r->options;

	if (interrupted || r->nfailed)
		return false;
	return o->plays ? r->begun < o->plays : now_us() < r->began_us + o->minutes * 60000000;
}

static int begin_one(struct storm_run *r, struct storm_process *p)
{
	struct storm_plan plan;
	int rc = make_plan(r->options, r->options->seed + r->begun, &plan);

	if (rc == 0) {
		rc = start(r, p, &plan);
		storm_plan_free(&plan);
	}
	if (rc == 0) {
		r->begun++;
		r->running++;
	}
	return rc;
}

static void end_one(struct storm_run *r, struct storm_process *p)
{
	struct storm_result result;

	storm_process_end(p, &result);
	r->running--;
	storm_tally_add(&r->tally, &result.tally);
	if (result.verdict.ok)
		return;
	if (r->options->replay)
		printf("%s: %s\n", r->options->replay, result.verdict.broken);
	else
		printf("seed %" PRIu64 ": %s\n", p->seed, result.verdict.broken);
	fflush(stdout);
	r->failed[r->nfailed].seed = p->seed;
	r->failed[r->nfailed++].verdict = result.verdict;
}

/* The play that has been going on for longest. */
static const struct storm_process *oldest(const struct storm_run *r)
{
	const struct storm_process *old = NULL;

	for (unsigned i = 0; i < r->options->beside; i++)
		if (r->processes[i].pid && (!old || r->processes[i].began_us < old->began_us))
			old = &r->processes[i];
	return old;
}

static void tell_progress(struct storm_run *r)
{
	const struct storm_process *old = oldest(r);
	uint64_t now = now_us();

	if (now < r->progress_us || !old)
		return;
	r->progress_us = now + PROGRESS_S * UINT64_C(1000000);
	printf("after %.1f min: %" PRIu64 " plays, %" PRIu64 " operations, %" PRIu64
	       " faults; under way: %u, seed %" PRIu64 " for %.0f s\n",
	       (double)(now - r->began_us) / 6e7, r->tally.counts.plays, storm_tally_operations(&r->tally),
	       storm_tally_faults(&r->tally), r->running, old->seed, (double)(now - old->began_us) / 1e6);
	fflush(stdout);
}

static int play_all(struct storm_run *r)
{
	int rc = 0;

	while (rc == 0 && !interrupted && (r->running || goes_on(r))) {
		for (unsigned i = 0; i < r->options->beside && rc == 0; i++) {
			struct storm_process *p = &r->processes[i];

			if (is_over(p))
				end_one(r, p);
			if (p->pid == 0 && goes_on(r))
				rc = begin_one(r, p);
		}
		if (rc == 0)
			wait_for(r->processes, r->options->beside);
		tell_progress(r);
	}
	for (unsigned i = 0; i < r->options->beside; i++)
		storm_process_kill(&r->processes[i]);
	return rc;
}

static int conclude(const struct storm_run *r, int rc)
{
	const struct storm_options *o = r->options;
	uint64_t n = r->tally.counts.plays;
	char what[STORM_DIR];

	if (o->replay)
		snprintf(what, sizeof(what), "%" PRIu64 " plays of %.400s", n, o->replay);
	else
		snprintf(what, sizeof(what), "%" PRIu64 " plays from seed %" PRIu64 " on", n, o->seed);
	storm_tally_print(&r->tally, stdout);
	if (r->nfailed)
		printf("storm: FAILED: promises were broken in %u of %s\n", r->nfailed, what);
	else if (rc != 0)
		printf("storm: FAILED: not all could be played\n");
	else if (interrupted)
		printf("storm: stopped by SIG%s; every promise was kept in %s\n", sigabbrev_np(interrupted), what);
	else
		printf("storm: every promise was kept: %s, %.1f a minute\n", what,
		       (double)n * 6e7 / (double)(now_us() - r->began_us + 1));
	if (interrupted)
		return 128 + interrupted;
	return rc || r->nfailed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int storm_run(const struct storm_options *options)
{
	struct storm_run *r = calloc(1, sizeof(*r));
	struct sigaction action = { .sa_handler = on_signal };
	int rc;

	if (!r)
		abort();
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	r->options = options;
	r->began_us = now_us();
	r->progress_us = r->began_us + PROGRESS_S * UINT64_C(1000000);
	if (options->cell.confdir)
		printf("on the cell of %s, where there are no %s\n", options->cell.confdir, cell_stage_lacks);
	rc = play_all(r);
	for (unsigned i = 0; i < r->nfailed && !options->replay && !interrupted; i++)
		explain(r, r->failed[i].seed, &r->failed[i].verdict);
	rc = conclude(r, rc);
	free(r);
	return rc;
}
