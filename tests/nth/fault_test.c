/* Nothing untried, in umafs-wire and umafs-fault run: with the n-th call failing, it does the whole job, or ends with
 *clear words and not with 0; what must go red never goes green; nothing hangs, crashes or stays in TMPDIR.
 *	UMAFS_NTH=CASE[:N[:VARIANT]]	only this one, this call
 *	UMAFS_NTH_STEP=K		every K-th place only (default 37); 1: all; 0: none */
#include <dirent.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/nth/runner.h"
#include "tests/nth/tree.h"
#include "tests/unit.h"

enum { ARGS_MAX = 24 };

struct trial {
	const char *name, *program;
	const char *args; /* A and B stand for the servers' addresses, ~ for the directory of the programs */
	int status;       /* when nothing fails */
	const char *says; /* then */
	bool root;        /* needs to be it */
	bool may_differ;  /* a failure may show as a failed scenario, without other words */
};

static const struct trial trials[] = {
	{ "wire", "umafs-wire",
	  "umafs-wire|--private|--map|A:7003|--map|A:7000|--map|B:7000|--stats|--rule|late: packet prob 20% -> delay "
	  "1ms|--|~/../../umafs|--confdir|$|--as|@|cat|" TREE_DIR "/small",
	  0, "0123456789", true, false },
	{ "wire check", "umafs-wire", "umafs-wire|check|$/rules", 0, "drop", false, false },
	{ "fault check", "umafs-fault", "umafs-fault|check|$/good.scenario", 0, "", false, false },
	{ "fault list", "umafs-fault", "umafs-fault|list|$/good.scenario", 0, "good", false, false },
	{ "good", "umafs-fault", "umafs-fault|run|$/good.scenario", 0, "ok 1 - good", false, true },
	{ "packets", "umafs-fault", "umafs-fault|run|$/packets.scenario", 0, "ok 1 - packets", false, true },
	{ "bad", "umafs-fault", "umafs-fault|run|$/bad.scenario", 1, "not ok 1 - bad", false, true },
};
enum { TRIALS = sizeof(trials) / sizeof(trials[0]) };

static struct tree tree;
static char tmp[80];

static void write_file(const char *name, const char *text)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", tree.dir, name);
	f = fopen(path, "we");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	fputs(text, f);
	fclose(f);
}

static void add(char *text, size_t cap, const char *more)
{
	snprintf(text + strlen(text), cap - strlen(text), "%s", more);
}

static void split(const struct trial *t, char *text, size_t cap, char **argv)
{
	char here[PATH_MAX] = "", a[16], b[16], one[2] = "";
	ssize_t len = readlink("/proc/self/exe", here, sizeof(here) - 1);
	unsigned net = 1 + (unsigned)getpid() % 0xfffe, n = 0;

	if (len > 0)
		*strrchr(here, '/') = 0;
	snprintf(a, sizeof(a), "127.%u.%u.1", net >> 8, net & 255);
	snprintf(b, sizeof(b), "127.%u.%u.2", net >> 8, net & 255);
	*text = 0;
	for (const char *p = t->args; *p; p++) {
		one[0] = *p;
		add(text, cap,
		    *p == 'A'   ? a
		    : *p == 'B' ? b
		    : *p == '$' ? tree.dir
		    : *p == '@' ? tree.ccache
		    : *p == '~' ? here
				: one);
	}
	for (char *rest = text, *word; (word = strsep(&rest, "|")) && n < ARGS_MAX - 1;)
		argv[n++] = word;
	argv[n] = NULL;
}

/* Of what it leaves; which goes. */
static bool is_clean(void)
{
	char cmd[200];
	DIR *d = opendir(tmp);
	bool clean = true;

	for (struct dirent *e; d && (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		printf("      %s stays\n", e->d_name);
		clean = false;
	}
	closedir(d);
	snprintf(cmd, sizeof(cmd), "rm -rf %s/*", tmp);
	return system(cmd) == 0 && clean;
}

static bool judge(const struct trial *t, const struct run *r)
{
	bool same = r->status == t->status && strstr(r->said, t->says), words;

	if (same)
		return true;
	words = strstr(r->told, "umafs") && strlen(r->told) > 20;
	words |= t->may_differ && strstr(r->said, "not ok 1") && strstr(r->said, "\n# ");
	if (r->status <= 0 || r->status > 127 || !words) {
		printf("      %s\n", r->status > 0 ? "no clear words" : "not the whole job");
		return false;
	}
	return true;
}

static bool run_one(const struct trial *t, struct run *r)
{
	char text[4096], *argv[ARGS_MAX];
	bool ok;

	r->program = t->program;
	split(t, text, sizeof(text), argv);
	run_whole(r, argv);
	ok = judge(t, r) & is_clean();
	if (!ok) {
		run_explain(r, t->name);
		printf("%s\n", r->said);
	}
	return ok;
}

static bool all_places(const struct trial *t, unsigned only, unsigned variant)
{
	struct run *r = calloc(1, sizeof(*r));
	unsigned runs = 0, bad = 0, n, same = 0;
	struct run_plan plan;

	*r = (struct run){ .n = 1u << 30, .burst = 1 };
	if (!run_one(t, r) || r->status != t->status) {
		run_explain(r, "nothing failing");
		free(r);
		return false;
	}
	run_plan_begin(&plan, r);
	while ((n = only ? (runs ? 0 : only) : run_plan_next(&plan))) {
		*r = (struct run){ .n = n, .burst = 1, .variant = only ? variant : runs % 4 == 3 };
		bad += !run_one(t, r);
		same += r->status == t->status;
		runs++;
	}
	printf("  %-16s %4u calls, %4u runs: %u failed, %u ended as ever\n", t->name, plan.calls, runs, bad, same);
	run_plan_end(&plan);
	free(r);
	return bad == 0;
}

static void test_programs(void)
{
	const struct run_only only = run_only();
	bool ok = true;

	CU_ASSERT_FATAL(tree_begin(&tree) && tree_reset(&tree));
	write_file("rules", "packet prob 1% -> drop\n");
	write_file("good.scenario",
		   "scenario \"good\"\ntimeout 3s\nr: rpc name FetchStatus -> pass\nalice: put home/a \"x\"\n"
		   "bob: get home/a -> \"x\"\nexpect fired r 1-\n");
	write_file("packets.scenario",
		   "scenario \"packets\"\ntimeout 3s\nl: packet prob 30% -> delay 1ms\nalice: put home/a \"x\"\n"
		   "alice: get home/a -> \"x\"\n");
	write_file("bad.scenario", "scenario \"bad\"\ntimeout 3s\nalice: put home/a \"x\"\nbob: get home/a -> \"y\"\n");
	snprintf(tmp, sizeof(tmp), "%s/tmp", tree.dir);
	CU_ASSERT_EQUAL_FATAL(mkdir(tmp, 0700), 0);
	setenv("TMPDIR", tmp, 1);
	printf("\n");
	for (unsigned i = 0; i < TRIALS; i++) {
		if (run_is_wanted(&only, trials[i].name) && (!trials[i].root || geteuid() == 0))
			ok &= all_places(&trials[i], only.n, only.variant);
	}
	tree_end(&tree);
	CU_ASSERT(ok);
}

UNIT_MAIN("n-th failure in umafs-wire and umafs-fault", { "every place", test_programs })
