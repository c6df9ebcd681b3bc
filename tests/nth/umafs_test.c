/* Nothing untried, in the program umafs: each command with the n-th call failing, on an
 * embedded cell in this process. It must do the whole job, or say why not, in clear words,
 * and exit with 1; what it leaves is what was there before or what was to come, with nothing
 * temporary; it must not crash, hang, or leave a descriptor open that it closes otherwise.
 *	UMAFS_NTH=COMMAND[:N[:VARIANT]]	only this one, this call
 *	UMAFS_NTH_STEP=K		every K-th place only (default 37, and not every command);
 *				1: all; 0: none, which only looks where calls are made */
#include <jansson.h>

#include "tests/nth/runner.h"
#include "tests/nth/tree.h"
#include "tests/unit.h"

enum { ARGS_MAX = 16, SELDOM = 7 };

struct command {
	const char *name, *args; /* @ is the directory in AFS, $ the local one; with ! as the default ccache says */
	const char *input;
	enum {
		WHOLE, /* it happens, or nothing does */
		PARTS, /* some of what is asked for may be done */
	} kind;
	bool varies;     /* what it prints is not always the same */
	bool run_seldom; /* it is many programs */
};

static const struct command commands[] = {
	{ "ls", "ls -la @", NULL, WHOLE, true, false },
	{ "ls two", "ls @ @/small", NULL, WHOLE, false, false },
	{ "ls json", "ls -l --json @", NULL, WHOLE, true, false },
	{ "ls trace", "ls --trace @", NULL, WHOLE, false, false },
	{ "stat", "stat @/small @/mnt @/link", NULL, WHOLE, true, false },
	{ "stat json", "stat --json @/small", NULL, WHOLE, true, false },
	{ "cat", "cat @/old @/link", NULL, WHOLE, false, false },
	{ "get", "get @/old $/have", NULL, WHOLE, false, false },
	{ "get tree", "get -r @ $/got", NULL, PARTS, false, false },
	{ "get into", "get -r @/sub $", NULL, PARTS, false, false },
	{ "get json", "get --json @/old @/small $", NULL, PARTS, true, false },
	{ "put", "put $/src @/old", NULL, WHOLE, false, false },
	{ "put tree", "put -r $/tree @", NULL, PARTS, false, false },
	{ "put json", "put --json $/src $/have @/sub", NULL, PARTS, true, false },
	{ "mkdir", "mkdir -p @/m/n", NULL, PARTS, false, false },
	{ "rmdir", "rmdir --json @/empty", NULL, WHOLE, true, false },
	{ "rm", "rm @/small", NULL, WHOLE, false, false },
	{ "rm tree", "rm -r --json @/sub @/old", NULL, PARTS, true, false },
	{ "mv", "mv @/small @/sub", NULL, WHOLE, false, false },
	{ "mv over", "mv @/small @/old", NULL, WHOLE, false, false },
	{ "ln", "ln @/small @/hard", NULL, WHOLE, false, false },
	{ "ln soft", "ln -s small @/soft", NULL, WHOLE, false, false },
	{ "touch", "touch @/new @/small", NULL, PARTS, false, false },
	{ "truncate", "truncate -s 100 @/old", NULL, WHOLE, false, false },
	{ "listacl", "listacl @", NULL, WHOLE, false, false },
	{ "listacl json", "listacl --json @", NULL, WHOLE, true, false },
	{ "setacl", "setacl @ bob read carol rlidwk", NULL, WHOLE, false, false },
	{ "setacl negative", "setacl --negative @ bob write", NULL, WHOLE, false, false },
	{ "mkmount", "mkmount @/mp ro", NULL, WHOLE, false, false },
	{ "rmmount", "rmmount @/mnt", NULL, WHOLE, false, false },
	{ "lsmount", "lsmount @/mnt", NULL, WHOLE, false, false },
	{ "lsmount json", "lsmount --json @/mnt", NULL, WHOLE, true, false },
	{ "listquota", "listquota @", NULL, WHOLE, true, false },
	{ "listquota json", "listquota --json @", NULL, WHOLE, true, false },
	{ "examine", "examine @", NULL, WHOLE, true, false },
	{ "examine json", "examine --json @", NULL, WHOLE, true, false },
	{ "tokens", "tokens", NULL, WHOLE, true, false },
	{ "tokens default", "!tokens", NULL, WHOLE, false, false },
	{ "touch default", "!touch @/new", NULL, WHOLE, false, false },
	{ "tokens json", "tokens --json", NULL, WHOLE, true, false },
	{ "mmap", "mmap @/old --offset 4090", "bytes through a mapping\n", WHOLE, false, false },
	{ "mmap json", "mmap --json @/small", "x", WHOLE, true, false },
	{ "demo", "demo", NULL, WHOLE, true, true },
	{ "help", "ls --help", NULL, WHOLE, false, false },
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static struct tree tree;

/* What a clean run of the command under test found and left. */
static char *before, *after;
static char printed[RUN_TEXT_MAX];
static unsigned descriptors;

static unsigned split(const struct command *c, char *text, size_t cap, char **argv)
{
	size_t len = 0;
	unsigned n = 0;

	if (*c->args == '!')
		len += (size_t)snprintf(text, cap, "umafs --confdir %s ", tree.dir);
	else
		len += (size_t)snprintf(text, cap, "umafs --confdir %s --as %s ", tree.dir, tree.ccache);
	for (const char *a = c->args + (*c->args == '!'); *a && len + 1 < cap; a++) {
		const char *stands = *a == '@' ? TREE_DIR : *a == '$' ? tree.local : NULL;

		len += (size_t)(stands ? snprintf(text + len, cap - len, "%s", stands)
				       : snprintf(text + len, cap - len, "%c", *a));
	}
	for (char *rest = text, *one; (one = strsep(&rest, " ")) && n < ARGS_MAX - 1;)
		argv[n++] = one;
	argv[n] = NULL;
	return n;
}

static bool has_line(const char *text, const char *line, size_t len)
{
	for (const char *at = text; (at = strstr(at, line)); at++)
		if ((at == text || at[-1] == '\n') && at[len] == '\n')
			return true;
	return false;
}

/* The last part of the line's path stands in what it said. */
static bool is_named(const char *line, const char *told)
{
	char path[1024], *name;

	snprintf(path, sizeof(path), "%.*s", (int)strcspn(line, " "), line);
	name = strrchr(path, '/');
	return name && !strncmp(name, "/.umafs-", 8) && strstr(told, name + 1);
}

/* Each line is of before or after, or of a temporary file that is named. */
static bool between(const char *now, const char *told)
{
	char line[4096];

	while (*now) {
		size_t len = strcspn(now, "\n");

		snprintf(line, sizeof(line), "%.*s", (int)len, now);
		/* A directory of a tree is for its owner alone until all of it is there. */
		if (!has_line(before, line, len) && !has_line(after, line, len) && !strstr(line, " 040700 ") &&
		    !is_named(line, told)) {
			printf("      neither before nor after: %s\n", line);
			return false;
		}
		now += len + (now[len] == '\n');
	}
	return true;
}

static bool is_json(const char *text, bool *ok)
{
	json_t *doc = json_loads(text, 0, NULL);

	if (!doc)
		return false;
	*ok = json_is_true(json_object_get(doc, "ok"));
	json_decref(doc);
	return true;
}

static bool judge_success(const struct command *c, const struct run *r, const char *now)
{
	bool ok = true;

	if (strcmp(now, after)) {
		printf("      it said that it was done, and it is not:\n%s\n", now);
		return false;
	}
	if (!c->varies && strcmp(r->said, printed)) {
		printf("      it printed something else\n");
		return false;
	}
	if (strstr(c->args, "--json") && (!is_json(r->said, &ok) || !ok || strlen(r->said) + 16 < strlen(printed))) {
		printf("      not the whole document: %s\n", r->said);
		return false;
	}
	return true;
}

static bool judge_failure(const struct command *c, const struct run *r, const char *now)
{
	const char *words = strstr(r->told, "umafs: ");
	bool ok = false;

	if (!words)
		words = strstr(r->said, "demo: FAILED");
	if (!words || strlen(words) < 20) {
		printf("      without clear words\n");
		return false;
	}
	if (strstr(c->args, "--json") && strcmp(r->report.call, "fflush") && is_json(r->said, &ok) && ok) {
		printf("      its document says that all is well\n");
		return false;
	}
	return strcmp(now, before) == 0 || strcmp(now, after) == 0 || (c->kind == PARTS && between(now, r->told)) ||
	       (printf("      left:\n%s\n", now), false);
}

static bool run_one(const struct command *c, struct run *r)
{
	char text[2048], *argv[ARGS_MAX], *now;
	bool ok;

	r->program = "umafs";
	r->input = c->input;
	split(c, text, sizeof(text), argv);
	run_whole(r, argv);
	now = tree_text(&tree);
	if (r->status == 0)
		ok = judge_success(c, r, now);
	else
		ok = r->status == 1 && judge_failure(c, r, now);
	/* Where memory or threads are out, nobody cleans up what ends with the process. */
	if (r->status >= 0 && r->descriptors > descriptors && !strstr(r->told, "out of memory") &&
	    !strstr(r->told, "no thread could be started")) {
		printf("      %u descriptors are open at its end, not %u\n", r->descriptors, descriptors);
		ok = false;
	}
	if (!ok)
		run_explain(r, c->name);
	if (strcmp(now, before))
		CU_ASSERT_FATAL(tree_reset(&tree));
	free(now);
	return ok;
}

static bool run_clean(const struct command *c, struct run *r)
{
	char text[2048], *argv[ARGS_MAX];

	CU_ASSERT_FATAL(tree_reset(&tree));
	before = tree_text(&tree);
	*r = (struct run){ .program = "umafs", .n = 1u << 30, .burst = 1, .input = c->input };
	split(c, text, sizeof(text), argv);
	run_whole(r, argv);
	after = tree_text(&tree);
	strcpy(printed, r->said);
	descriptors = r->descriptors;
	if (r->status)
		run_explain(r, c->name);
	CU_ASSERT_FATAL(tree_reset(&tree));
	return r->status == 0;
}

static bool all_places(const struct command *c, unsigned only, unsigned variant)
{
	struct run *r = calloc(1, sizeof(*r));
	struct run_plan plan;
	unsigned runs = 0, bad = 0, done = 0, n;

	if (!run_clean(c, r)) {
		free(r);
		return false;
	}
	run_plan_begin(&plan, r);
	if (c->run_seldom && plan.step == 1)
		plan.step = SELDOM;
	while ((n = only ? (runs ? 0 : only) : run_plan_next(&plan))) {
		*r = (struct run){ .n = n, .burst = 1, .variant = only ? variant : runs % 4 == 3 };
		bad += !run_one(c, r);
		done += r->status == 0;
		runs++;
	}
	printf("  %-16s %4u calls, %4u runs: %u failed, %u did the whole job\n", c->name, plan.calls, runs, bad, done);
	run_plan_end(&plan);
	free(before);
	free(after);
	free(r);
	return bad == 0;
}

static void test_commands(void)
{
	const struct run_only only = run_only();
	bool ok = true;

	CU_ASSERT_FATAL(tree_begin(&tree));
	setenv("KRB5CCNAME", tree.ccache, 1);
	printf("\n");
	for (unsigned i = 0; i < COMMANDS; i += only.name || run_plan_whole() ? 1 : 5)
		if (run_is_wanted(&only, commands[i].name))
			ok &= all_places(&commands[i], only.n, only.variant);
	tree_end(&tree);
	CU_ASSERT(ok);
}

UNIT_MAIN("n-th failure in umafs", { "every command", test_commands })
