/* Outcomes: what is a success, what excuses a failure, and what is said of the rest; and the
 * bytes that scenarios write down. */
#include <errno.h>
#include <signal.h>

#include "tests/unit.h"
#include "tools/harness/expand.h"
#include "tools/harness/outcome.h"

static struct harness_result done(const char *answer)
{
	struct harness_result r = { .took_us = 5000 };

	r.bytes[HARNESS_ANSWER] = (uint8_t *)strdup(answer);
	r.len[HARNESS_ANSWER] = strlen(answer);
	r.bytes[HARNESS_STDERR] = (uint8_t *)strdup("oh no\n");
	r.len[HARNESS_STDERR] = 6;
	return r;
}

/* What is wrong with the result by this outcome; NULL: nothing. Valid until the next call. */
static const char *judged(struct harness_result *r, const char *outcome)
{
	static char text[1000];
	struct rx_error err = { 0 };
	struct fault_lexer lx;
	struct harness_outcome *o;
	char *why = NULL;
	int rc;

	fault_lexer_init(&lx, outcome, 1, &err);
	o = harness_outcome_parse(&lx);
	if (!o)
		printf("\n    %s: %s ", outcome, err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	rc = harness_speaks_of_end(o) ? 0 : harness_judge_success(r, &why);
	if (!rc)
		rc = harness_judge(r, o, &why);
	CU_ASSERT_EQUAL(rc != 0, why != NULL);
	snprintf(text, sizeof text, "%s", why ? why : "");
	harness_outcomes_free(o);
	free(why);
	return rc ? text : NULL;
}

static void test_answers(void)
{
	struct harness_result r = done("hello\n");
	static const char *const good[] = { "ok",
					    "\"hello\"",
					    "\"hello\\n\"",
					    "has \"ell\"",
					    "stdout has \"ell\"",
					    "lacks \"help\"",
					    "stdout \"hello\"",
					    "stderr has \"no\"",
					    "stderr lacks \"yes\"",
					    "exit 0",
					    "within 5ms",
					    "not-before 5ms",
					    "has \"\"" };
	static const struct {
		const char *outcome, *said;
	} bad[] = {
		{ "\"help\"", "the answer should be \"help\", and is \"hello\\n\"" },
		{ "\"hello\\n\\n\"", "should be" },
		{ "has \"help\"", "should have" },
		{ "lacks \"ell\"", "should lack" },
		{ "stderr \"x\"", "stderr should be" },
		{ "error EACCES", "error EACCES was wanted, but it succeeded" },
		{ "says \"x\"", "it succeeded" },
		{ "SIGBUS", "SIGBUS was wanted, but it succeeded" },
		{ "exit 1", "exit status 1 was wanted" },
		{ "within 4ms", "it took 5 ms, 4 at most" },
		{ "not-before 6ms", "it took 5 ms, 6 at least" },
		{ "300 of \"x\"", "and 100 more bytes, and is" },
	};

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		CU_ASSERT_PTR_NULL(judged(&r, good[i]));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		const char *why = judged(&r, bad[i].outcome);

		if (!why || !strstr(why, bad[i].said))
			printf("\n    %s: %s ", bad[i].outcome, why ? why : "(nothing)");
		CU_ASSERT(why && strstr(why, bad[i].said));
	}
	harness_result_free(&r);
}

static void test_failures(void)
{
	struct harness_result r = { .status = HARNESS_FAILED };

	rx_error_set(&r.err, RX_ORIGIN_AFS, 49733376 + 12, EACCES, "you may not");
	CU_ASSERT_PTR_NULL(judged(&r, "error EACCES"));
	CU_ASSERT_PTR_NULL(judged(&r, "error UAEACCES"));
	CU_ASSERT_PTR_NULL(judged(&r, "error 49733388"));
	CU_ASSERT_PTR_NULL(judged(&r, "says \"may not\""));
	CU_ASSERT(strstr(judged(&r, "error EPERM"), "it failed with EACCES") != NULL);
	CU_ASSERT(strstr(judged(&r, "says \"may\\x20so\""), "may so") != NULL);
	/* What speaks of the answer alone does not excuse a failure. */
	CU_ASSERT_PTR_NOT_NULL(judged(&r, "ok"));
	CU_ASSERT_PTR_NOT_NULL(judged(&r, "lacks \"x\""));
	CU_ASSERT_PTR_NOT_NULL(judged(&r, "within 1s"));
	r = (struct harness_result){ .status = HARNESS_SIGNALLED, .number = SIGBUS };
	CU_ASSERT_PTR_NULL(judged(&r, "SIGBUS"));
	CU_ASSERT_PTR_NOT_NULL(judged(&r, "SIGSEGV"));
	CU_ASSERT_STRING_EQUAL(judged(&r, "ok"), "it got SIGBUS");
	r = (struct harness_result){ .status = HARNESS_EXITED, .number = 2 };
	CU_ASSERT_PTR_NULL(judged(&r, "exit 2"));
	CU_ASSERT_PTR_NOT_NULL(judged(&r, "exit 1"));
	CU_ASSERT_PTR_NOT_NULL(judged(&r, "ok"));
}

static struct harness_data data(const char *text)
{
	struct rx_error err = { 0 };
	struct harness_data d;
	struct fault_lexer lx;

	fault_lexer_init(&lx, text, 1, &err);
	CU_ASSERT_EQUAL(harness_data_parse(&lx, &d), 0);
	return d;
}

static void test_data(void)
{
	struct harness_data d = data("\"a\\n\\x41\\\\\\t\"");
	uint8_t *a = harness_data_bytes(&d), *b;

	CU_ASSERT_EQUAL(d.size, 5);
	CU_ASSERT_STRING_EQUAL((char *)a, "a\nA\\\t");
	free(a);
	d = data("5 of \"ab\"");
	a = harness_data_bytes(&d);
	CU_ASSERT_STRING_EQUAL((char *)a, "ababa");
	free(a);
	d = data("8K of random");
	CU_ASSERT_EQUAL(d.size, 8192);
	a = harness_data_bytes(&d);
	b = harness_data_bytes(&d);
	CU_ASSERT_EQUAL(memcmp(a, b, 8192), 0);
	free(b);
	d = data("8K of random 2");
	b = harness_data_bytes(&d);
	CU_ASSERT_NOT_EQUAL(memcmp(a, b, 8192), 0);
	free(a);
	free(b);
	d = data("\"\"");
	CU_ASSERT_EQUAL(d.size, 0);
	a = (uint8_t *)harness_show((const uint8_t *)"a\n\x01\"z", 5, 4);
	CU_ASSERT_STRING_EQUAL((char *)a, "\"a\\n\\x01\\x22\" and 1 more bytes");
	free(a);
}

static void test_variables(void)
{
	const struct harness_variables v = { .cell = "c.d", .tmp = "/t", .conf = "/k", .ip = 0x7f010201, .seed = 9 };
	char *text = harness_expand("$afs/x $tmp$conf $seed $server2 $server9 $x $", &v);

	CU_ASSERT_STRING_EQUAL(text, "/afs/c.d/x /t/k 9 127.1.2.2 $server9 $x $");
	free(text);
}

UNIT_MAIN("scenario outcomes", { "answers", test_answers }, { "failures must be expected by name", test_failures },
	  { "data", test_data }, { "variables", test_variables })
