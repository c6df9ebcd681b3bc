/* One line of a fault script into a rule: [NAME:] packet|rpc CONDITION... -> ACTION, or
 * "seed N". Called by set.c, on any thread; allocates only the rule that it returns. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/fault/words.h"

void fault_rule_free(struct fault_rule *rule)
{
	if (rule)
		free(rule->text);
	free(rule);
}

static int name_of_rule(struct fault_lexer *lx, struct fault_rule *r)
{
	size_t n = strlen(lx->word) - 1;

	if (!n || n >= FAULT_NAME_MAX)
		return fault_lexer_expected(lx, "a name of 1 to %d characters before the colon", FAULT_NAME_MAX - 1);
	memcpy(r->name, lx->word, n);
	return fault_lexer_next(lx);
}

static int conditions(struct fault_lexer *lx, struct fault_rule *r)
{
	for (;;) {
		const struct fault_condition_word *c;
		char list[200];

		if (fault_lexer_next(lx))
			return -1;
		if (!lx->quoted && !strcmp(lx->word, "->"))
			return 0;
		c = fault_condition_find(lx->word, r->side);
		if (!c)
			return fault_lexer_expected(lx, "-> or a condition (%s)", fault_condition_list(r->side, list));
		if (r->when.given & 1u << c->id)
			return fault_lexer_expected(lx, "each condition once");
		r->when.given |= 1u << c->id;
		if (c->read(lx, &r->when))
			return -1;
	}
}

static int action(struct fault_lexer *lx, struct fault_rule *r)
{
	const struct fault_action_word *a;
	char list[200];

	if (fault_lexer_next(lx))
		return -1;
	a = fault_action_find(lx->word, r->side);
	if (!a)
		return fault_lexer_expected(lx, "an action (%s)", fault_action_list(r->side, list));
	r->action.op = a->op;
	if (a->read && a->read(lx, &r->action))
		return -1;
	if (fault_lexer_end(lx))
		return 0;
	return fault_lexer_next(lx) ? -1 : fault_lexer_expected(lx, "the end of the line after %s", a->word);
}

/* The rule as written, without its name and its comment. */
static char *text_from(const char *start, const struct fault_lexer *lx)
{
	return strndup(start, (size_t)(lx->at - start));
}

static int seed(struct fault_lexer *lx, struct fault_line *out)
{
	out->kind = FAULT_LINE_SEED;
	if (fault_lexer_number(lx, 0, UINT64_MAX, &out->seed))
		return -1;
	if (fault_lexer_end(lx))
		return 0;
	return fault_lexer_next(lx) ? -1 : fault_lexer_expected(lx, "the end of the line after the seed");
}

int fault_parse_line(const char *text, unsigned line_number, struct fault_line *out, struct rx_error *err)
{
	struct fault_rule *r = NULL;
	struct fault_lexer lx;
	const char *start;
	size_t n;

	*out = (struct fault_line){ .kind = FAULT_LINE_EMPTY };
	fault_lexer_init(&lx, text, line_number, err);
	if (fault_lexer_end(&lx))
		return 0;
	if (fault_lexer_next(&lx))
		return -1;
	if (!strcmp(lx.word, "seed"))
		return seed(&lx, out);
	r = calloc(1, sizeof *r);
	if (!r)
		return rx_error_errno(err, ENOMEM, "no memory for a rule");
	n = strlen(lx.word);
	if (n && lx.word[n - 1] == ':' && name_of_rule(&lx, r))
		goto fail;
	start = lx.word_at;
	if (!strcmp(lx.word, "packet") || !strcmp(lx.word, "rpc")) {
		r->side = lx.word[0] == 'p' ? FAULT_PACKET : FAULT_RPC;
	} else {
		fault_lexer_expected(&lx, r->name[0] ? "packet or rpc" : "NAME:, packet, rpc or seed");
		goto fail;
	}
	if (conditions(&lx, r) || action(&lx, r))
		goto fail;
	r->text = text_from(start, &lx);
	if (!r->text) {
		rx_error_errno(err, ENOMEM, "no memory for a rule");
		goto fail;
	}
	out->kind = FAULT_LINE_RULE;
	out->rule = r;
	return 0;
fail:
	fault_rule_free(r);
	return -1;
}
