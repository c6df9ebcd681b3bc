/* See expand.h. */
#include "tools/harness/expand.h"
#include "tools/fault/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct harness_variables harness_stand_ins = {
	.cell = "umafs.test", .tmp = "/tmp", .conf = "/tmp", .ip = 0x7f000001, .seed = 1
};

static size_t name_length(const char *p, const char *name)
{
	size_t n = strlen(name);

	return strncmp(p, name, n) ? 0 : n;
}

/* Writes the variable that stands at p; how long its name is, 0: there is none. */
static size_t value(const char *p, const struct harness_variables *v, FILE *out)
{
	size_t n;

	if ((n = name_length(p, "$afs"))) {
		fprintf(out, "/afs/%s", v->cell);
	} else if ((n = name_length(p, "$tmp"))) {
		fputs(v->tmp, out);
	} else if ((n = name_length(p, "$conf"))) {
		fputs(v->conf, out);
	} else if ((n = name_length(p, "$seed"))) {
		fprintf(out, "%llu", (unsigned long long)v->seed);
	} else if ((n = name_length(p, "$server")) && p[n] >= '1' && p[n] <= '8') {
		uint32_t ip = v->ip + (uint32_t)(p[n++] - '1');

		fprintf(out, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
	} else {
		n = 0;
	}
	return n;
}

char *harness_expand(const char *text, const struct harness_variables *v)
{
	char *all = NULL;
	size_t len;
	FILE *out = open_memstream(&all, &len);

	if (!out)
		fault_no_memory();
	while (*text) {
		size_t n = value(text, v, out);

		if (!n)
			fputc(*text, out);
		text += n ? n : 1;
	}
	fclose(out);
	return all;
}
