/* umafs-fault storm: plays plans of random operations and faults (tools/storm) on real
 * sockets, threads and mappings, seed after seed, until one breaks a promise or the time is
 * over. A plan that fails is made short and kept in a file. On the main thread. */
#include "tools/harness/storm.h"

#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/storm/real_stage.h"

enum { EXIT_USAGE = 2, EVENTS = 40, SHRINK_PLAYS = 200, SHRINK_S = 300, SHRINK_TRIES = 3, PLAY_S = 600 };

static const char help[] =
	"usage: umafs-fault storm [OPTIONS]\n"
	"\n"
	"Two clients of umafs with two users each, in this process, do random things to the same files of an\n"
	"embedded cell while random faults strike, on real sockets, threads and mappings; what they see and what\n"
	"the server holds is compared with a model of what AFS promises.\n"
	"\n"
	"  --seed S      the first plan's seed (default: a random one); then S+1, S+2, ...\n"
	"  --minutes M   how long (default 1); or\n"
	"  --plays N     how many plans\n"
	"  --events N    operations of a plan (default 40)\n"
	"  --replay FILE play this plan instead, once or --plays N times\n"
	"  --trace       print every event, and every call of the clients\n"
	"\n"
	"A plan that fails is shrunk, printed, and written to umafs-storm-SEED.plan.\n"
	"Exit status: 0 when every promise was kept, 1 when one was not, 2 for wrong usage.\n";

struct storm_run {
	uint64_t seed, plays, minutes;
	unsigned events;
	const char *replay;
	bool trace, helped;
	struct real_stage *stage;
	struct storm_counts counts;
	uint64_t shrink_end_us;
};

/* ---- plays ---- */

/* What is printed when a play never ends; threads that hang cannot be ended. */
static char stuck[200];

static void on_alarm(int sig)
{
	(void)sig;
	(void)!write(STDOUT_FILENO, stuck, strlen(stuck));
	_exit(EXIT_FAILURE);
}

static void play(struct storm_run *r, const struct storm_plan *plan, struct storm_verdict *verdict,
		 struct storm_counts *counts)
{
	snprintf(stuck, sizeof(stuck),
		 "storm: FAILED: seed %llu: nobody can go on; again: umafs-fault storm --seed %llu --events %u "
		 "--plays 1\n",
		 (unsigned long long)plan->seed, (unsigned long long)plan->seed, r->events);
	fflush(stdout);
	alarm(PLAY_S);
	real_stage_play(r->stage, plan, verdict, counts);
	alarm(0);
}

/* Threads do not run twice in the same way: a plan holds if it does so several times. */
static bool holds(void *arg, const struct storm_plan *plan)
{
	struct storm_run *r = arg;
	struct storm_verdict verdict = { .ok = true };

	for (unsigned i = 0; i < SHRINK_TRIES && verdict.ok && rx_now_us(rx_env_posix()) < r->shrink_end_us; i++)
		play(r, plan, &verdict, NULL);
	return verdict.ok;
}

static void explain(struct storm_run *r, struct storm_plan *plan, const struct storm_verdict *verdict)
{
	size_t before = plan->n;
	char path[64];
	FILE *f;

	printf("seed %llu: %s\n", (unsigned long long)plan->seed, verdict->broken);
	r->shrink_end_us = rx_now_us(rx_env_posix()) + SHRINK_S * UINT64_C(1000000);
	storm_shrink(plan, holds, r, SHRINK_PLAYS);
	printf("%zu of %zu events are left:\n", plan->n, before);
	storm_plan_print(plan, stdout);
	snprintf(path, sizeof(path), "umafs-storm-%llu.plan", (unsigned long long)plan->seed);
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

static int read_plan(const char *path, struct storm_plan *plan)
{
	struct rx_error err = { 0 };
	FILE *f = fopen(path, "re");
	int rc = f ? storm_plan_read(plan, f, &err) : -1;

	if (rc)
		fprintf(stderr, "umafs-fault storm: %s: %s\n", path, f ? err.text : strerror(errno));
	if (f)
		fclose(f);
	return rc;
}

/* One plan, of the replayed file or of this seed; 0 when it held. */
static int one(struct storm_run *r, uint64_t seed)
{
	struct storm_verdict verdict = { .ok = true };
	struct storm_plan plan;

	if (r->replay && read_plan(r->replay, &plan) != 0)
		return -1;
	if (!r->replay) {
		storm_plan_make(&plan, seed, r->events, STORM_REAL_FAULTS);
		real_stage_hurry(&plan);
	}
	play(r, &plan, &verdict, &r->counts);
	if (!verdict.ok && r->replay)
		printf("%s: %s\n", r->replay, verdict.broken);
	else if (!verdict.ok)
		explain(r, &plan, &verdict);
	storm_plan_free(&plan);
	return verdict.ok ? 0 : -1;
}

static int play_all(struct storm_run *r)
{
	uint64_t began = rx_now_us(rx_env_posix()), end = began + r->minutes * 60000000, now = began, n = 0;
	int rc = 0;

	while (rc == 0 && (r->plays ? n < r->plays : now < end)) {
		rc = one(r, r->seed + n++);
		now = rx_now_us(rx_env_posix());
	}
	storm_counts_print(&r->counts, stdout);
	if (rc)
		printf("storm: FAILED: a promise was broken in play %llu\n", (unsigned long long)n);
	else
		printf("storm: every promise was kept: %llu plays from seed %llu on, %.1f a minute\n",
		       (unsigned long long)n, (unsigned long long)r->seed, (double)n * 6e7 / (double)(now - began + 1));
	return rc;
}

/* ---- options ---- */

static int wrong(const char *what)
{
	fprintf(stderr, "umafs-fault storm: %s; see umafs-fault storm --help\n", what);
	return -1;
}

static int number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return *text < '0' || *text > '9' || *end || errno || *out < min || *out > max ? wrong("not a number that fits")
										       : 0;
}

static int parse(int argc, char **argv, struct storm_run *r)
{
	static const struct option longs[] = {
		{ "seed", required_argument, NULL, 's' },   { "minutes", required_argument, NULL, 'm' },
		{ "plays", required_argument, NULL, 'p' },  { "events", required_argument, NULL, 'e' },
		{ "replay", required_argument, NULL, 'r' }, { "trace", no_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
	};
	uint64_t n;
	int c, rc = 0;

	opterr = 0;
	while (rc == 0 && (c = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			rc = number(optarg, 0, UINT64_MAX - UINT32_MAX, &r->seed);
			break;
		case 'm':
			rc = number(optarg, 1, 100000, &r->minutes);
			break;
		case 'p':
			rc = number(optarg, 1, UINT32_MAX, &r->plays);
			break;
		case 'e':
			rc = number(optarg, 1, 10000, &n);
			r->events = (unsigned)n;
			break;
		case 'r':
			r->replay = optarg;
			break;
		case 't':
			r->trace = true;
			break;
		case 'h':
			fputs(help, stdout);
			r->helped = true;
			return 0;
		default:
			rc = wrong(c == ':' ? "a value is missing" : "unknown option");
		}
	}
	if (r->replay && !r->plays)
		r->plays = 1;
	return rc == 0 && optind < argc ? wrong("it takes options only") : rc;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	return remove(path);
}

int harness_storm_main(int argc, char **argv)
{
	struct storm_run r = { .minutes = 1, .events = EVENTS };
	const char *tmp = getenv("TMPDIR");
	struct rx_error err = { 0 };
	char dir[PATH_MAX - 64];
	int rc = -1;

	rx_env_posix()->ops->random(rx_env_posix(), &r.seed, sizeof(uint32_t));
	if (parse(argc, argv, &r) != 0)
		return EXIT_USAGE;
	if (r.helped)
		return EXIT_SUCCESS;
	snprintf(dir, sizeof(dir), "%s/umafs-storm.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(dir)) {
		fprintf(stderr, "umafs-fault storm: %s: %s; TMPDIR names another place\n", dir, strerror(errno));
		return EXIT_FAILURE;
	}
	signal(SIGALRM, on_alarm);
	r.stage = real_stage_new(dir, r.trace ? stdout : NULL, &err);
	if (r.stage) {
		rc = play_all(&r);
		real_stage_free(r.stage);
	} else {
		fprintf(stderr, "umafs-fault storm: %s\n", err.text);
	}
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
