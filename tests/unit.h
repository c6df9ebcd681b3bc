/* What every unit test file shares: CUnit, a table of tests run as one suite, and the
 * way to data files. A test file lists its tests once:
 *
 *	UNIT_MAIN("fcrypt", { "SEC-02 all ECB vectors, both directions", test_ecb }, ...)
 *
 * which makes main(): runs them all (or those whose name contains argv[1]), exits 0 when
 * nothing failed. Data paths are relative to the directory in $srcdir, default ".". */
#ifndef UMAFS_TESTS_UNIT_H
#define UMAFS_TESTS_UNIT_H

#include <CUnit/Basic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit_test {
	const char *name;
	void (*run)(void);
};

/* "path" below $srcdir; valid until the next call. */
static inline const char *unit_path(const char *path)
{
	static char full[4096];
	const char *dir = getenv("srcdir");

	snprintf(full, sizeof(full), "%s/%s", dir ? dir : ".", path);
	return full;
}

/* Hex digits (blanks skipped) to bytes; returns how many, at most cap. */
static inline size_t unit_hex(const char *hex, void *out, size_t cap)
{
	uint8_t *bytes = out;
	unsigned byte;
	size_t n = 0;

	while (n < cap && sscanf(hex += strspn(hex, " \n\t"), "%2x", &byte) == 1) {
		bytes[n++] = (uint8_t)byte;
		hex += 2;
	}
	return n;
}

/* True when the len bytes are the ones written in hex. */
static inline int unit_is_hex(const void *bytes, size_t len, const char *hex)
{
	uint8_t *want = malloc(len + 1);
	int same = unit_hex(hex, want, len + 1) == len && !memcmp(bytes, want, len);

	free(want);
	return same;
}

/* For a test that cannot run here: names the reason, then the test returns. tests/run
 * counts it as skipped, not as passed. */
static inline void unit_skip(const char *reason)
{
	printf("SKIPPED: %s\n", reason);
}

static inline int unit_main(const char *suite_name, const struct unit_test *tests, size_t n, int argc, char **argv)
{
	unsigned failures = 1, ran = 0;
	CU_pSuite suite;

	if (CU_initialize_registry() != CUE_SUCCESS)
		return EXIT_FAILURE;
	suite = CU_add_suite(suite_name, NULL, NULL);
	if (!suite)
		goto out;
	for (size_t i = 0; i < n; i++) {
		if (argc > 1 && !strstr(tests[i].name, argv[1]))
			continue;
		if (!CU_add_test(suite, tests[i].name, tests[i].run))
			goto out;
		ran++;
	}
	CU_basic_set_mode(CU_BRM_VERBOSE);
	CU_basic_run_tests();
	failures = CU_get_number_of_failures() + CU_get_number_of_tests_failed() + (ran == 0);
out:
	CU_cleanup_registry();
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define UNIT_MAIN(suite, ...)                                                                                          \
	int main(int argc, char **argv)                                                                                \
	{                                                                                                              \
		static const struct unit_test tests[] = { __VA_ARGS__ };                                               \
                                                                                                                       \
		return unit_main(suite, tests, sizeof(tests) / sizeof(tests[0]), argc, argv);                          \
	}

#endif
