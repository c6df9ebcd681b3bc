/* umafs-fault check and list: reads files of scenarios, says what is wrong with them, or
 * what they are about. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/harness/run.h"
#include "tools/harness/script.h"

enum { EXIT_USAGE = 2 };

struct harness_script *harness_read_files(char **paths)
{
	struct harness_script *first = NULL, **end = &first;
	struct rx_error err;
	bool bad = false;

	for (; *paths; paths++) {
		*end = harness_script_read(*paths, &err);
		if (*end)
			end = &(*end)->next;
		else
			bad = fprintf(stderr, "umafs-fault: %s\n", err.text) > 0;
	}
	if (!bad)
		return first;
	harness_script_free(first);
	return NULL;
}

int harness_check_main(int argc, char **argv)
{
	struct harness_script *s;

	if (argc < 2) {
		fprintf(stderr, "usage: umafs-fault check FILE...\n");
		return EXIT_USAGE;
	}
	s = harness_read_files(argv + 1);
	harness_script_free(s);
	return s ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- what is covered ---- */

/* The catalogue of a name such as "CM-17 ..." is what stands before the hyphen. */
static size_t catalogue(const char *name)
{
	size_t n = strcspn(name, "-");

	return name[n] && strspn(name + n + 1, "0123456789") ? n : 0;
}

static void print_sums(const struct harness_script *scripts)
{
	struct {
		const char *name;
		size_t len;
		unsigned n, todo;
	} sums[64];
	unsigned count = 0, all = 0, todo = 0;

	for (const struct harness_script *s = scripts; s; s = s->next) {
		for (const struct harness_scenario *sc = s->first; sc; sc = sc->next) {
			size_t len = catalogue(sc->name);
			unsigned i = 0;

			while (i < count && (sums[i].len != len || strncmp(sums[i].name, sc->name, len)))
				i++;
			if (i == 64)
				continue;
			if (i == count) {
				sums[count].name = sc->name;
				sums[count].len = len;
				sums[count].n = sums[count].todo = 0;
				count++;
			}
			sums[i].n++;
			sums[i].todo += sc->todo != NULL;
			all++;
			todo += sc->todo != NULL;
		}
	}
	for (unsigned i = 0; i < count; i++)
		printf("%.*s: %u scenarios, %u to do\n", sums[i].len ? (int)sums[i].len : 5,
		       sums[i].len ? sums[i].name : "other", sums[i].n, sums[i].todo);
	printf("all: %u scenarios, %u to do\n", all, todo);
}

int harness_list_main(int argc, char **argv)
{
	struct harness_script *scripts;

	if (argc < 2) {
		fprintf(stderr, "usage: umafs-fault list FILE...\n");
		return EXIT_USAGE;
	}
	scripts = harness_read_files(argv + 1);
	for (const struct harness_script *s = scripts; s; s = s->next) {
		for (const struct harness_scenario *sc = s->first; sc; sc = sc->next)
			printf("%s:%u: %s%s%s%s\n", sc->file, sc->line, sc->name, sc->todo ? "  (to do, " : "",
			       sc->todo ? sc->todo : "", sc->todo ? ")" : "");
	}
	if (scripts)
		print_sums(scripts);
	harness_script_free(scripts);
	return scripts ? EXIT_SUCCESS : EXIT_FAILURE;
}
