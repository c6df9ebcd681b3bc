/* umafs-fault run: which scenarios, several side by side, each in a process group of its
 * own that can be ended as a whole, verdicts as TAP in the order of the files. One thread. */
#include "tools/harness/run.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rx/env.h"
#include "tools/fault/memory.h"
#include "tools/harness/play.h"

enum { EXIT_USAGE = 2, JOBS_MAX = 64, LIMIT_S = 120 };

static const char usage[] =
	"Usage: umafs-fault run [OPTIONS] FILE...\n"
	"\n"
	"Plays the scenarios of the files and prints their verdicts as TAP (doc/fault-scenarios.md).\n"
	"\n"
	"  --only TEXT      only scenarios whose name has this text; may be repeated\n"
	"  --jobs N         so many side by side (1)\n"
	"  --seed N         of all dice (1)\n"
	"  --repeat N       each N times, with the seeds N, N + 1, ...\n"
	"  --keep           leave each scenario's directory, with logs and traces, and say where\n"
	"  --list           print the names instead\n"
	"  --limit SECONDS  for a scenario as a whole (120)\n"
	"  --patience N     each step may take N times as long (1): real servers resend after seconds\n"
	"  --cell CONFDIR   on a real cell, configured here, with a ccache CONFDIR/ccache/USER for each user\n"
	"  --ccaches DIR    the users' ccaches are there\n"
	"  --wire SOCKET    packet rules go to the umafs-wire that listens there, before the real cell\n"
	"  --wire-trace F   which traces to this file; for expect order\n"
	"\n"
	"Exit status: 0 nothing failed, 1 something did, 2 wrong usage or wrong files.\n";

struct job {
	const struct harness_scenario *scenario;
	uint64_t seed;
	char dir[HARNESS_DIR];
	pid_t pid; /* 0: not started, or reaped */
	int pipe;  /* its account */
	char *text;
	size_t len;
	uint64_t deadline_us;
	bool over, stopped;
	enum harness_verdict verdict;
};

struct run {
	struct harness_options options;
	struct harness_script *scripts;
	const char *only[64];
	unsigned nonly, njobs, side_by_side, repeat, limit_s;
	bool keep, list;
	struct job *jobs;
	unsigned next, printed, running; /* jobs begun, told, under way */
	unsigned failed, todo_passed;
	char base[64];
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

/* ---- options ---- */

static int wrong(const char *what, const char *value)
{
	fprintf(stderr, "umafs-fault: %s%s%s; see umafs-fault run --help\n", what, value ? " " : "",
		value ? value : "");
	return -1;
}

static int number(const char *text, unsigned long long least, unsigned long long most, unsigned long long *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	if (end == text || *end || errno || *out < least || *out > most)
		return wrong("not a number that this option takes:", text);
	return 0;
}

/* 1: nothing more is to be done. */
static int read_options(struct run *r, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "only", required_argument, NULL, 'o' },     { "jobs", required_argument, NULL, 'j' },
		{ "seed", required_argument, NULL, 's' },     { "repeat", required_argument, NULL, 'r' },
		{ "keep", no_argument, NULL, 'k' },           { "list", no_argument, NULL, 'l' },
		{ "limit", required_argument, NULL, 't' },    { "cell", required_argument, NULL, 'c' },
		{ "patience", required_argument, NULL, 'p' }, { "ccaches", required_argument, NULL, 'u' },
		{ "wire", required_argument, NULL, 'w' },     { "wire-trace", required_argument, NULL, 'T' },
		{ "help", no_argument, NULL, 'h' },           { NULL, 0, NULL, 0 },
	};
	unsigned long long n;

	opterr = 0;
	for (int c; (c = getopt_long(argc, argv, ":h", longs, NULL)) != -1;) {
		switch (c) {
		case 'o':
			if (r->nonly == sizeof r->only / sizeof *r->only)
				return wrong("too many --only", NULL);
			r->only[r->nonly++] = optarg;
			break;
		case 'j':
			if (number(optarg, 1, JOBS_MAX, &n))
				return -1;
			r->side_by_side = (unsigned)n;
			break;
		case 's':
			if (number(optarg, 0, ULLONG_MAX, &n))
				return -1;
			r->options.seed = n;
			break;
		case 'r':
			if (number(optarg, 1, 1000000, &n))
				return -1;
			r->repeat = (unsigned)n;
			break;
		case 't':
			if (number(optarg, 1, 86400, &n))
				return -1;
			r->limit_s = (unsigned)n;
			break;
		case 'p':
			if (number(optarg, 1, 1000, &n))
				return -1;
			r->options.patience = (unsigned)n;
			break;
		case 'k':
			r->keep = true;
			break;
		case 'l':
			r->list = true;
			break;
		case 'c':
			r->options.confdir = optarg;
			break;
		case 'u':
			r->options.ccaches = optarg;
			break;
		case 'w':
			r->options.wire = optarg;
			break;
		case 'T':
			r->options.wire_trace = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return 1;
		case ':':
			return wrong("a value is missing behind", argv[optind - 1]);
		default:
			return wrong("unknown option", argv[optind - 1]);
		}
	}
	return argv[optind] ? 0 : wrong("no file", NULL);
}

/* Absolute names, for processes that are elsewhere. */
static int real_cell(struct run *r)
{
	static char confdir[PATH_MAX], ccaches[PATH_MAX + 8];

	if (!r->options.confdir)
		return r->options.ccaches || r->options.wire ? wrong("--ccaches and --wire belong to --cell", NULL) : 0;
	if (!realpath(r->options.confdir, confdir))
		return wrong(strerror(errno), r->options.confdir);
	if (!r->options.ccaches)
		snprintf(ccaches, sizeof ccaches, "%s/ccache", confdir);
	else if (!realpath(r->options.ccaches, ccaches))
		return wrong(strerror(errno), r->options.ccaches);
	r->options.confdir = confdir;
	r->options.ccaches = ccaches;
	return 0;
}

static int find_programs(struct harness_options *o)
{
	ssize_t n = readlink("/proc/self/exe", o->bin, sizeof o->bin - 1);
	char *slash;

	if (n < 0 || !(slash = strrchr(o->bin, '/')))
		return wrong("the directory of this program cannot be found", NULL);
	*slash = '\0';
	return 0;
}

/* ---- which ---- */

static bool wanted(const struct run *r, const struct harness_scenario *sc)
{
	for (unsigned i = 0; i < r->nonly; i++) {
		if (strstr(sc->name, r->only[i]))
			return true;
	}
	return !r->nonly;
}

static void make_jobs(struct run *r)
{
	unsigned n = 0;

	for (const struct harness_script *s = r->scripts; s; s = s->next) {
		for (const struct harness_scenario *sc = s->first; sc; sc = sc->next)
			n += wanted(r, sc) ? r->repeat : 0;
	}
	r->jobs = calloc(n + 1, sizeof *r->jobs);
	if (!r->jobs)
		fault_no_memory();
	for (const struct harness_script *s = r->scripts; s; s = s->next) {
		for (const struct harness_scenario *sc = s->first; sc; sc = sc->next) {
			for (unsigned i = 0; wanted(r, sc) && i < r->repeat; i++)
				r->jobs[r->njobs++] =
					(struct job){ .scenario = sc, .seed = r->options.seed + i, .pipe = -1 };
		}
	}
}

/* ---- one scenario ---- */

static void __attribute__((noreturn)) worker(struct run *r, const struct job *job, int pipe)
{
	enum harness_verdict v;
	char *why = NULL;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	r->options.seed = job->seed;
	v = harness_play(job->scenario, &r->options, job->dir, &why);
	if (why && dprintf(pipe, "%s", why) < 0)
		_exit(EXIT_FAILURE);
	free(why);
	_exit(10 + (int)v);
}

static int begin(struct run *r, struct job *job)
{
	int fds[2];

	snprintf(job->dir, sizeof job->dir, "%s/%u", r->base, (unsigned)(job - r->jobs) + 1);
	if (mkdir(job->dir, 0700) || pipe2(fds, O_CLOEXEC))
		return wrong(job->dir, strerror(errno));
	fflush(stdout);
	job->pid = fork();
	if (job->pid < 0)
		return wrong("fork:", strerror(errno));
	if (!job->pid)
		worker(r, job, fds[1]);
	setpgid(job->pid, job->pid);
	close(fds[1]);
	job->pipe = fds[0];
	job->deadline_us = now_us() + r->limit_s * (uint64_t)1000000;
	r->running++;
	return 0;
}

static void stop(struct job *job)
{
	if (job->pid && !job->stopped)
		kill(-job->pid, SIGKILL);
	job->stopped = true;
}

static void add_text(struct job *job, const char *text, size_t n)
{
	job->text = realloc(job->text, job->len + n + 1);
	if (!job->text)
		fault_no_memory();
	memcpy(job->text + job->len, text, n);
	job->len += n;
	job->text[job->len] = '\0';
}

static void end(struct run *r, struct job *job)
{
	int status;

	while (waitpid(job->pid, &status, 0) < 0 && errno == EINTR)
		;
	kill(-job->pid, SIGKILL); /* whatever it has left behind */
	close(job->pipe);
	job->pid = 0;
	job->over = true;
	r->running--;
	job->verdict = WIFEXITED(status) && WEXITSTATUS(status) >= 10 ? (enum harness_verdict)(WEXITSTATUS(status) - 10)
								      : HARNESS_BROKEN;
	if (job->stopped)
		add_text(job, "it was ended: --limit was over\n", strlen("it was ended: --limit was over\n"));
	else if (!WIFEXITED(status) || WEXITSTATUS(status) < 10)
		add_text(job, "its runner ended by itself\n", strlen("its runner ended by itself\n"));
}

static void read_account(struct run *r, struct job *job)
{
	char buf[4096];
	ssize_t n = read(job->pipe, buf, sizeof buf);

	if (n > 0)
		add_text(job, buf, (size_t)n);
	else if (!n || errno != EINTR)
		end(r, job);
}

/* ---- the account ---- */

static void print_lines(const char *text)
{
	while (text && *text) {
		size_t n = strcspn(text, "\n");

		printf("# %.*s\n", (int)n, text);
		text += n + (text[n] == '\n');
	}
}

static void print_job(struct run *r, const struct job *job)
{
	const struct harness_scenario *sc = job->scenario;

	printf("%sok %u - %s", job->verdict == HARNESS_BROKEN ? "not " : "", r->printed, sc->name);
	if (r->repeat > 1)
		printf(" (seed %llu)", (unsigned long long)job->seed);
	if (job->verdict == HARNESS_SKIPPED)
		printf(" # SKIP %s", job->text);
	else if (sc->todo)
		printf(" # TODO %s", sc->todo);
	putchar('\n');
	if (job->verdict == HARNESS_BROKEN)
		print_lines(job->text);
	if (r->keep)
		printf("# kept: %s\n", job->dir);
	r->failed += job->verdict == HARNESS_BROKEN && !sc->todo;
	if (job->verdict == HARNESS_PASSED && sc->todo) {
		r->todo_passed++;
		printf("# this was to do and passes: take its todo line away\n");
	}
	fflush(stdout);
}

static void remove_tree(const char *path)
{
	pid_t pid = fork();

	if (!pid) {
		execlp("rm", "rm", "-rf", path, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

/* In the order of the files, though they end in another. */
static void print_what_is_over(struct run *r)
{
	while (r->printed < r->next && r->jobs[r->printed].over) {
		struct job *job = &r->jobs[r->printed++];

		print_job(r, job);
		if (!r->keep)
			remove_tree(job->dir);
		free(job->text);
		job->text = NULL;
	}
}

static void wait_for_jobs(struct run *r)
{
	struct pollfd polls[JOBS_MAX];
	struct job *jobs[JOBS_MAX];
	nfds_t n = 0;

	for (unsigned i = r->printed; i < r->next; i++) {
		if (!r->jobs[i].pid)
			continue;
		if (interrupted || now_us() >= r->jobs[i].deadline_us)
			stop(&r->jobs[i]);
		jobs[n] = &r->jobs[i];
		polls[n++] = (struct pollfd){ .fd = r->jobs[i].pipe, .events = POLLIN };
	}
	if (poll(polls, n, 200) < 0)
		return;
	for (nfds_t i = 0; i < n; i++) {
		if (polls[i].revents)
			read_account(r, jobs[i]);
	}
}

static int play_all(struct run *r)
{
	int rc = 0;

	while (!rc && !interrupted && r->printed < r->njobs) {
		while (!rc && r->running < r->side_by_side && r->next < r->njobs)
			rc = begin(r, &r->jobs[r->next++]);
		wait_for_jobs(r);
		print_what_is_over(r);
	}
	for (unsigned i = 0; i < r->next; i++) {
		if (!r->jobs[i].pid)
			continue;
		stop(&r->jobs[i]);
		end(r, &r->jobs[i]);
	}
	printf("1..%u\n", r->njobs);
	if (r->todo_passed)
		printf("# %u to do passed\n", r->todo_passed);
	if (interrupted)
		printf("Bail out! stopped by SIG%s\n", sigabbrev_np(interrupted));
	return rc || r->failed || interrupted ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run_jobs(struct run *r)
{
	struct sigaction action = { .sa_handler = on_signal };
	const char *tmp = getenv("TMPDIR");
	int rc;

	/* Sockets lie in it, whose names must be short. */
	snprintf(r->base, sizeof r->base, "%s/umafs-fault.XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	if (!mkdtemp(r->base)) {
		wrong("no directory:", strerror(errno));
		return EXIT_FAILURE;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	rc = play_all(r);
	if (!r->keep)
		remove_tree(r->base);
	return rc;
}

int harness_run_main(int argc, char **argv)
{
	struct run r = { .options = { .seed = 1, .patience = 1 }, .side_by_side = 1, .repeat = 1, .limit_s = LIMIT_S };
	int rc = read_options(&r, argc, argv);

	if (rc)
		return rc > 0 ? EXIT_SUCCESS : EXIT_USAGE;
	if (real_cell(&r) || find_programs(&r.options))
		return EXIT_USAGE;
	r.scripts = harness_read_files(argv + optind);
	if (!r.scripts)
		return EXIT_USAGE;
	make_jobs(&r);
	if (r.list) {
		for (unsigned i = 0; i < r.njobs; i++)
			printf("%s\n", r.jobs[i].scenario->name);
	} else {
		rc = run_jobs(&r);
	}
	free(r.jobs);
	harness_script_free(r.scripts);
	return rc;
}
