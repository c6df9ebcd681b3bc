/* Storms in the deterministic world: random operations of two clients with two users each
 * under random faults, against the model of tools/storm. A seed that fails is shrunk and
 * printed as a plan; UMAFS_PLAN=file plays such a plan. */
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/storm_stage.h"
#include "tests/sim/world.h"
#include "tests/unit.h"

/* Of what the stage can do, restarts of the server stand outside the usual run: some such
 * plans never come to an end. UMAFS_FAULTS=0xff plays them too. */
enum { EVENTS = 40, SHRINK_PLAYS = 2000, USUAL = STORM_WORLD_FAULTS };

static struct storm_counts counts;

static bool holds(void *arg, const struct storm_plan *plan)
{
	struct storm_verdict verdict = { .ok = true };

	return storm_in_world(plan, *(enum storm_defect *)arg, &verdict, NULL).ok;
}

static void explain(struct storm_plan *plan, enum storm_defect defect, const struct storm_verdict *verdict)
{
	struct storm_verdict last = { .ok = true };
	size_t before = plan->n;
	unsigned plays;

	printf("\n  seed %llu: %s\n", (unsigned long long)plan->seed, verdict->broken);
	plays = storm_shrink(plan, holds, &defect, SHRINK_PLAYS);
	storm_in_world(plan, defect, &last, NULL);
	printf("  %zu of %zu events are left after %u plays; to play them: UMAFS_PLAN=FILE\n", plan->n, before, plays);
	printf("# %s\n", last.broken);
	storm_plan_print(plan, stdout);
}

static unsigned events(void)
{
	const char *text = getenv("UMAFS_EVENTS");

	return text ? (unsigned)strtoul(text, NULL, 10) : EVENTS;
}

static unsigned faults(void)
{
	const char *text = getenv("UMAFS_FAULTS");

	return text ? (unsigned)strtoul(text, NULL, 0) : USUAL;
}

static struct sim_outcome play(uint64_t seed)
{
	struct storm_verdict verdict = { .ok = true };
	struct storm_plan plan;
	struct sim_outcome o;

	storm_plan_make(&plan, seed, events(), faults());
	o = storm_in_world(&plan, STORM_SOUND, &verdict, &counts);
	if (!o.ok)
		explain(&plan, STORM_SOUND, &verdict);
	storm_plan_free(&plan);
	return o;
}

static void test_storm(void)
{
	CU_ASSERT(sim_seeds(100, play));
	storm_counts_print(&counts, stdout);
	world_maybe_print(stdout);
}

static bool play_file(const char *path)
{
	struct storm_verdict verdict = { .ok = true };
	struct rx_error err = { 0 };
	struct storm_plan plan;
	FILE *f = fopen(path, "re");
	bool ok = f && storm_plan_read(&plan, f, &err) == 0;

	if (f)
		fclose(f);
	if (!ok) {
		printf("\n  %s: %s\n", path, f ? err.text : "cannot be read");
		return false;
	}
	ok = storm_in_world(&plan, STORM_SOUND, &verdict, NULL).ok;
	if (!ok)
		printf("\n  %s: %s\n", path, verdict.broken);
	storm_plan_free(&plan);
	return ok;
}

/* Plans that found a defect once. */
static void test_kept(void)
{
	const char *one = getenv("UMAFS_PLAN");
	glob_t found = { .gl_pathc = 0 };

	if (one) {
		CU_ASSERT(play_file(one));
		return;
	}
	CU_ASSERT_EQUAL_FATAL(glob(unit_path("tests/sim/storms/*.storm"), 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++)
		CU_ASSERT(play_file(found.gl_pathv[i]));
	globfree(&found);
}

/* A defect made on purpose is found within a few seeds, and few events are left of it. */
static void find(enum storm_defect defect, unsigned seeds, size_t most)
{
	struct storm_verdict verdict = { .ok = true };
	struct storm_plan plan = { 0 };

	for (uint64_t seed = 1; seed <= seeds && verdict.ok; seed++) {
		storm_plan_free(&plan);
		storm_plan_make(&plan, seed, EVENTS, 0);
		storm_in_world(&plan, defect, &verdict, NULL);
	}
	CU_ASSERT_FALSE(verdict.ok);
	if (!verdict.ok)
		storm_shrink(&plan, holds, &defect, SHRINK_PLAYS);
	printf("(%zu events) ", plan.n);
	CU_ASSERT(plan.n <= most);
	CU_ASSERT_FALSE(holds(&defect, &plan));
	storm_plan_free(&plan);
}

static void test_lost_store(void)
{
	find(STORM_LOSES_STORES, 20, 3);
}

static void test_no_breaks(void)
{
	find(STORM_BREAKS_NOTHING, 40, 6);
}

static void test_text(void)
{
	struct storm_plan plan, again;
	char *text[2];
	size_t len[2];
	FILE *f;

	for (uint64_t seed = 1; seed <= 20; seed++) {
		storm_plan_make(&plan, seed, EVENTS, STORM_F_ALL - 1);
		f = open_memstream(&text[0], &len[0]);
		storm_plan_print(&plan, f);
		fclose(f);
		f = fmemopen(text[0], len[0], "r");
		CU_ASSERT_EQUAL_FATAL(storm_plan_read(&again, f, NULL), 0);
		fclose(f);
		f = open_memstream(&text[1], &len[1]);
		storm_plan_print(&again, f);
		fclose(f);
		CU_ASSERT(len[0] == len[1] && !memcmp(text[0], text[1], len[0]));
		free(text[0]);
		free(text[1]);
		storm_plan_free(&plan);
		storm_plan_free(&again);
	}
}

UNIT_MAIN("storm", { "a plan is what it is printed as", test_text }, { "plans that found a defect", test_kept },
	  { "a lost store is found, and shrunk", test_lost_store },
	  { "a server that breaks nothing is found, and shrunk", test_no_breaks },
	  { "what AFS promises holds for random operations under random faults", test_storm })
