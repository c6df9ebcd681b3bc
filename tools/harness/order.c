/* See order.h. */
#include "tools/harness/order.h"
#include "tools/fault/memory.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct firing {
	json_int_t t;
	size_t order; /* in its file */
	const char *rule;
};

struct firings {
	struct firing *at;
	size_t n;
};

static const char *one_of(char *const *rules, const char *name)
{
	for (; *rules; rules++) {
		if (name && !strcmp(*rules, name))
			return *rules;
	}
	return NULL;
}

static void note(struct firings *f, json_int_t t, const char *rule)
{
	if (!rule)
		return;
	f->at = reallocarray(f->at, f->n + 1, sizeof *f->at);
	if (!f->at)
		fault_no_memory();
	f->at[f->n] = (struct firing){ t, f->n, rule };
	f->n++;
}

static void read_event(struct firings *f, const json_t *ev, char *const *rules)
{
	const char *kind = json_string_value(json_object_get(ev, "ev"));
	json_int_t t = json_integer_value(json_object_get(ev, "t"));
	json_t *did = json_object_get(ev, "did"), *one;
	size_t i;

	if (kind && !strcmp(kind, "rpc"))
		note(f, t, one_of(rules, json_string_value(json_object_get(ev, "rule"))));
	json_array_foreach(did, i, one) note(f, t, one_of(rules, json_string_value(json_object_get(one, "rule"))));
}

static void read_trace(struct firings *f, const char *path, char *const *rules)
{
	FILE *in = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0;

	while (in && getline(&line, &cap, in) > 0) {
		json_t *ev = json_loads(line, 0, NULL);

		if (ev)
			read_event(f, ev, rules);
		json_decref(ev);
	}
	free(line);
	if (in)
		fclose(in);
}

static int by_time(const void *a, const void *b)
{
	const struct firing *x = a, *y = b;

	return x->t != y->t ? x->t < y->t ? -1 : 1 : x->order < y->order ? -1 : x->order > y->order;
}

/* The sequence with runs taken as one, as a text with blanks. */
static char *sequence(const struct firings *f)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		fault_no_memory();
	for (size_t i = 0; i < f->n; i++) {
		if (!i || strcmp(f->at[i].rule, f->at[i - 1].rule))
			fprintf(out, "%s%s", i ? " " : "", f->at[i].rule);
	}
	fclose(out);
	return text;
}

int harness_order_check(const char *const traces[FAULT_SIDES], char *const *rules, char **why)
{
	struct firings f = { 0 };
	char *got, *want = NULL;
	size_t len;
	FILE *out = open_memstream(&want, &len);
	bool same;

	for (int i = 0; i < FAULT_SIDES; i++)
		read_trace(&f, traces[i], rules);
	if (f.n)
		qsort(f.at, f.n, sizeof *f.at, by_time);
	got = sequence(&f);
	if (!out)
		fault_no_memory();
	for (char *const *r = rules; *r; r++)
		fprintf(out, "%s%s", r == rules ? "" : " ", *r);
	fclose(out);
	same = !strcmp(got, want);
	if (!same && asprintf(why, "the rules should have fired in the order %s, and did in the order %s", want,
			      *got ? got : "(none)") < 0)
		fault_no_memory();
	free(got);
	free(want);
	free(f.at);
	return same ? 0 : -1;
}
