/* Reads one step of a client: see step.h. */
#include "tools/harness/step.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *word, *args, *flags, *usage;
} verbs[] = {
#define HARNESS_VERB_ROW(name, args, flags, usage) { #name, args, flags, usage },
	HARNESS_VERBS(HARNESS_VERB_ROW)
#undef HARNESS_VERB_ROW
};

void harness_step_help(char *out, size_t cap)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < HARNESS_VERB_COUNT && n < cap; i++)
		n += (size_t)snprintf(out + n, cap - n, "  %s %s\n", verbs[i].word, verbs[i].usage);
}

static bool at_end(const struct fault_lexer *lx)
{
	struct fault_lexer look = *lx;

	look.err = NULL;
	return fault_lexer_end(&look) || fault_lexer_accept(&look, "->") || fault_lexer_accept(&look, "&");
}

static int word(struct fault_lexer *lx, const char *what, char out[HARNESS_WORD])
{
	size_t len;

	if (at_end(lx))
		return fault_lexer_next(lx) ? -1 : fault_lexer_expected(lx, "%s", what);
	return harness_text(lx, what, (uint8_t *)out, &len);
}

static int octal(struct fault_lexer *lx, uint32_t *out)
{
	char *end;

	if (fault_lexer_next(lx))
		return -1;
	*out = (uint32_t)strtoul(lx->word, &end, 8);
	return *lx->word && !*end && *out <= 07777 ? 0 : fault_lexer_expected(lx, "a mode such as 0644");
}

static int argument(struct fault_lexer *lx, char kind, struct harness_step *s, unsigned used[128])
{
	unsigned n = used[(int)kind]++;

	switch (kind) {
	case 'n':
		return word(lx, "a name", s->name[n]);
	case 'p':
		return word(lx, "a path", s->path[n]);
	case 't':
		return word(lx, "a word", s->text[n]);
	case 's':
		return fault_lexer_size(lx, "a number", &s->size[n]);
	case 'm':
		return octal(lx, &s->mode);
	default:
		return harness_data_parse(lx, &s->data);
	}
}

/* The flag's place in the verb's list; -1: none of them. */
static int flag_number(const char *flags, const char *given)
{
	char list[64], *rest = list, *item;
	int n = 0;

	strcpy(list, flags);
	for (; (item = strsep(&rest, " ")); n++) {
		if (*item && !strcmp(item, given))
			return n;
	}
	return -1;
}

int harness_step_parse(struct fault_lexer *lx, struct harness_step *out)
{
	unsigned used[128] = { 0 };

	*out = (struct harness_step){ 0 };
	if (fault_lexer_next(lx))
		return -1;
	while (out->verb < HARNESS_VERB_COUNT && strcmp(verbs[out->verb].word, lx->word))
		out->verb++;
	if (out->verb == HARNESS_VERB_COUNT || lx->quoted)
		return fault_lexer_expected(lx, "a step (open, store, run, ...; umafs-fault help lists them)");
	for (const char *kind = verbs[out->verb].args; *kind; kind++) {
		if (*kind == '?' && at_end(lx))
			break;
		if (*kind != '?' && argument(lx, *kind, out, used))
			return -1;
	}
	while (!at_end(lx)) {
		int n;

		if (fault_lexer_next(lx))
			return -1;
		n = flag_number(verbs[out->verb].flags, lx->word);
		if (n < 0)
			return fault_lexer_expected(lx, "the end of %s %s", verbs[out->verb].word,
						    verbs[out->verb].usage);
		out->flags |= 1u << n;
	}
	return 0;
}
