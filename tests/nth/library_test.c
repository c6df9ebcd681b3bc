/* Nothing untried, in the library with real threads, sockets and userfaultfd: each operation of
 * tests/nth/client.c with the n-th call failing, in both modes, on a cell in this process. What
 * the cell holds in the end must be what it holds when nothing fails.
 *	UMAFS_NTH=OPERATION[:N[:VARIANT]]	only this one, this call
 *	UMAFS_NTH_STEP=K		every K-th place only (default 37); 1: all; 0: none */
#include <sys/stat.h>

#include "tests/nth/runner.h"
#include "tests/nth/tree.h"
#include "tests/unit.h"
#include "vfs-emu/vfs.h"

static struct tree tree;

static bool run_one(struct run *r, const char *operation, const char *before, const char *after)
{
	char *argv[] = { "client", tree.dir, (char *)(uintptr_t)operation, NULL }, *now;
	bool ok;

	r->program = "client";
	r->later = true;
	run_whole(r, argv);
	now = tree_text(&tree);
	ok = r->status == 0 && (!after || !strcmp(now, after));
	if (!ok) {
		run_explain(r, operation);
		printf("%s", r->said);
		if (after && strcmp(now, after))
			printf("      left:\n%s", now);
	}
	if (strcmp(now, before))
		CU_ASSERT_FATAL(tree_reset(&tree));
	free(now);
	return ok;
}

static bool all_places(const char *operation, char **env, unsigned only, unsigned variant)
{
	char *argv[] = { "client", tree.dir, (char *)(uintptr_t)operation, NULL }, *before, *after;
	struct run *r = calloc(1, sizeof(*r));
	unsigned runs = 0, bad = 0, n;
	struct run_plan plan;

	CU_ASSERT_FATAL(tree_reset(&tree));
	before = tree_text(&tree);
	*r = (struct run){ .program = "client", .later = true, .n = 1u << 30, .burst = 1, .env = env };
	run_whole(r, argv);
	after = tree_text(&tree);
	run_plan_begin(&plan, r);
	if (r->status) {
		run_explain(r, "nothing failing");
		printf("%s", r->said);
		bad++;
	}
	CU_ASSERT_FATAL(tree_reset(&tree));
	while (!bad && (n = only ? (runs ? 0 : only) : run_plan_next(&plan))) {
		*r = (struct run){ .n = n, .burst = 1, .variant = only ? variant : runs % 4 == 3, .env = env };
		bad += !run_one(r, operation, before, after);
		runs++;
	}
	printf("  %-16s %4u calls, %4u runs: %u failed\n", operation, plan.calls, runs, bad);
	run_plan_end(&plan);
	free(before);
	free(after);
	free(r);
	return bad == 0;
}

static void all_operations(char *mode)
{
	const struct run_only only = run_only();
	char *argv[] = { "client", NULL }, *env[] = { mode, NULL };
	struct run *r = calloc(1, sizeof(*r));
	unsigned i = 0;
	bool ok = true;

	run_plan_forget();
	CU_ASSERT_FATAL(tree_begin(&tree));
	r->program = "client";
	r->later = true;
	run_whole(r, argv);
	printf("\n");
	for (char *rest = r->said, *one; (one = strsep(&rest, "\n")) && *one; i++) {
		if (run_is_wanted(&only, one) && (only.name || run_plan_whole() || i % 5 == 0))
			ok &= all_places(one, env, only.n, only.variant);
	}
	free(r);
	tree_end(&tree);
	CU_ASSERT(ok);
}

static bool can(enum vfs_mode mode)
{
	struct rx_error err;

	return vfs_probe(false, &mode, &err) == 0;
}

static void test_full(void)
{
	if (can(VFS_MODE_FULL))
		all_operations((char[]){ "UMAFS_UFFD_MODE=full" });
	else
		unit_skip("this kernel has only the BASIC way");
}

static void test_basic(void)
{
	if (can(VFS_MODE_BASIC))
		all_operations((char[]){ "UMAFS_UFFD_MODE=basic" });
	else
		unit_skip("this kernel has no userfaultfd");
}

UNIT_MAIN("n-th failure in the library", { "every operation, FULL", test_full },
	  { "every operation, BASIC", test_basic })
