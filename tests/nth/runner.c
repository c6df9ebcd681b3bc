/* See runner.h. */
#include "tests/nth/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIMIT_MS = 60000, STEP = 37, OFTEN = 2, KNOWN = 1 << 16, ENV_MAX = 256 };

static struct nth_shared *shared;
static char report_path[64];

static void remove_report(void)
{
	unlink(report_path);
}

static void share_report(void)
{
	int fd;

	if (shared)
		return;
	strcpy(report_path, "/tmp/umafs-nth-report.XXXXXX");
	fd = mkostemp(report_path, O_CLOEXEC);
	if (fd < 0 || ftruncate(fd, sizeof(*shared)))
		abort();
	atexit(remove_report);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		abort();
	close(fd);
}

static const char *path_of(const char *program)
{
	static char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 100);
	char *slash;

	if (n < 0)
		abort();
	path[n] = 0;
	slash = strrchr(path, '/');
	snprintf(slash + 1, (size_t)(path + sizeof(path) - slash) - 1, "%s", program);
	return path;
}

static int text_file(const char *content)
{
	int fd = memfd_create("text", MFD_CLOEXEC);

	if (fd < 0 || (content && write(fd, content, strlen(content)) < 0) || lseek(fd, 0, SEEK_SET) < 0)
		abort();
	return fd;
}

static void spawn(struct run *r, char **argv, char **env)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none;

	sigemptyset(&none);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, r->in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&files, r->out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&files, r->err, STDERR_FILENO);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	if (posix_spawn(&r->pid, path_of(r->program), &files, &attr, argv, env))
		abort();
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	r->pidfd = pidfd_open(r->pid, 0);
	if (r->pidfd < 0)
		abort();
}

void run_start(struct run *r, char **argv)
{
	char *env[ENV_MAX], report[96];
	unsigned n = 0;

	share_report();
	shared->n = r->n;
	shared->burst = r->burst;
	shared->variant = r->variant;
	shared->armed = false;
	shared->later = r->later;
	snprintf(shared->program, sizeof(shared->program), "%s", r->program);
	shared->report = (struct nth_report){ 0 };
	snprintf(report, sizeof(report), "UMAFS_NTH_REPORT=%s", report_path);
	env[n++] = report;
	for (char **e = r->env; e && *e; e++)
		env[n++] = *e;
	for (char **e = environ; *e && n < ENV_MAX - 1; e++)
		env[n++] = *e;
	env[n] = NULL;
	r->in = text_file(r->input);
	r->out = text_file(NULL);
	r->err = text_file(NULL);
	spawn(r, argv, env);
}

bool run_wait(struct run *r, unsigned ms)
{
	struct pollfd p = { .fd = r->pidfd, .events = POLLIN };

	return poll(&p, 1, (int)ms) > 0;
}

static void take(int fd, char *text)
{
	ssize_t n = pread(fd, text, RUN_TEXT_MAX - 1, 0);

	text[n > 0 ? n : 0] = 0;
	close(fd);
}

void run_end(struct run *r)
{
	bool hung = !run_wait(r, LIMIT_MS);
	int status;

	if (hung)
		kill(r->pid, SIGABRT);
	if (waitpid(r->pid, &status, 0) != r->pid)
		abort();
	r->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	r->status = hung ? -2 : WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	close(r->pidfd);
	close(r->in);
	take(r->out, r->said);
	take(r->err, r->told);
	r->report = shared->report;
	r->descriptors = shared->descriptors;
}

void run_whole(struct run *r, char **argv)
{
	run_start(r, argv);
	run_end(r);
}

static void print_indented(const char *text)
{
	for (unsigned lines = 0; *text && lines < 12; lines++) {
		size_t len = strcspn(text, "\n");

		printf("      | %.*s\n", (int)len, text);
		text += len + (text[len] == '\n');
	}
}

void run_explain(const struct run *r, const char *what)
{
	printf("  %s, n = %u+%u, variant %u: %s failed in %s of %s; ", what, r->n, r->burst, r->variant, r->report.call,
	       nth_place(path_of(r->program), r->report.at), r->program);
	if (r->status == -2)
		printf("it hung\n");
	else if (r->status == -1)
		printf("signal %d\n", r->signal);
	else
		printf("exit status %d\n", r->status);
	print_indented(r->told);
}

/* ---- plans ---- */

static struct {
	uint32_t place;
	uint8_t times;
} known[KNOWN];

static uint8_t *times_of(const char *program, uint32_t at)
{
	uint32_t place = at, i;

	for (const char *c = program; *c; c++)
		place = place * 31 + (uint8_t)*c;
	place |= 1u << 31;
	for (i = (place * 0x9e3779b1u) >> 16; known[i].place && known[i].place != place; i = (i + 1) % KNOWN)
		;
	known[i].place = place;
	return &known[i].times;
}

void run_plan_forget(void)
{
	memset(known, 0, sizeof(known));
}

struct run_only run_only(void)
{
	struct run_only only = { .name = getenv("UMAFS_NTH") };

	only.len = only.name ? strcspn(only.name, ":") : 0;
	if (only.name && only.name[only.len])
		sscanf(only.name + only.len, ":%u:%u", &only.n, &only.variant);
	return only;
}

bool run_is_wanted(const struct run_only *only, const char *name)
{
	return !only->name || (strlen(name) == only->len && !strncmp(name, only->name, only->len));
}

unsigned run_plan_step(void)
{
	const char *step = getenv("UMAFS_NTH_STEP");

	return step ? (unsigned)atoi(step) : STEP;
}

bool run_plan_whole(void)
{
	return run_plan_step() < 2 || getenv("UMAFS_NTH_PLACES");
}

void run_plan_begin(struct run_plan *p, const struct run *clean)
{
	*p = (struct run_plan){ .program = clean->program, .step = run_plan_step() };
	p->calls = clean->report.calls < NTH_ORDER_MAX ? clean->report.calls : NTH_ORDER_MAX;
	p->order = malloc(p->calls * sizeof(*p->order) + 1);
	memcpy(p->order, shared->order, p->calls * sizeof(*p->order));
}

unsigned run_plan_next(struct run_plan *p)
{
	while (p->step && p->at < p->calls) {
		uint32_t at = p->order[p->at++];
		uint8_t *times = times_of(p->program, at);
		unsigned seen = 0;

		for (unsigned i = 0; i + 1 < p->at; i++)
			seen += p->order[i] == at;
		/* The first few of each plan, and of everybody's start fewer and fewer. */
		if (seen >= OFTEN || *times >= (p->step == 1 ? 3 * OFTEN : 1) || (at * 0x85ebca6bu >> 8) % p->step != 0)
			continue;
		(*times)++;
		return p->at;
	}
	return 0;
}

void run_plan_end(struct run_plan *p)
{
	free(p->order);
}
