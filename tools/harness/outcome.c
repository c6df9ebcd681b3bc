/* Reads and judges outcomes: see outcome.h. Pure functions. */
#include "tools/harness/outcome.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tools/fault/code.h"
#include "tools/fault/memory.h"

enum { SHOWN = 200 };

void harness_outcomes_free(struct harness_outcome *o)
{
	while (o) {
		struct harness_outcome *next = o->next;

		free(o);
		o = next;
	}
}

void harness_result_free(struct harness_result *r)
{
	for (int i = 0; i < HARNESS_STREAMS; i++)
		free(r->bytes[i]);
	*r = (struct harness_result){ 0 };
}

static int error_code(struct fault_lexer *lx, struct harness_outcome *o)
{
	if (fault_lexer_text(lx, "an error's name or number", o->word))
		return -1;
	return fault_code_by_name(o->word, &o->code) ? 0 : fault_lexer_expected(lx, "an error's name or number");
}

static int whole_number(struct fault_lexer *lx, uint64_t most, int *out)
{
	uint64_t n;

	if (fault_lexer_number(lx, 0, most, &n))
		return -1;
	*out = (int)n;
	return 0;
}

/* SIGBUS, SIGKILL ...; 0: no such. */
static int signal_by_name(const char *word)
{
	if (strncmp(word, "SIG", 3))
		return 0;
	for (int n = 1; n < NSIG; n++) {
		const char *name = sigabbrev_np(n);

		if (name && !strcmp(name, word + 3))
			return n;
	}
	return 0;
}

static int text_test(struct fault_lexer *lx, struct harness_outcome *o)
{
	o->kind = fault_lexer_accept(lx, "has")     ? HARNESS_HAS
		  : fault_lexer_accept(lx, "lacks") ? HARNESS_LACKS
						    : HARNESS_IS;
	return harness_data_parse(lx, &o->data);
}

static int parse(struct fault_lexer *lx, struct harness_outcome *o)
{
	struct fault_lexer look = *lx;

	if (harness_data_ahead(lx))
		return text_test(lx, o);
	if (fault_lexer_accept(lx, "stdout"))
		return text_test(lx, o);
	if (fault_lexer_next(&look))
		return -1;
	if (!strcmp(look.word, "has") || !strcmp(look.word, "lacks"))
		return text_test(lx, o);
	*lx = look;
	if (!strcmp(lx->word, "ok")) {
		o->kind = HARNESS_OK;
		return 0;
	}
	if (!strcmp(lx->word, "stderr")) {
		o->stream = HARNESS_STDERR;
		return text_test(lx, o);
	}
	if (!strcmp(lx->word, "error")) {
		o->kind = HARNESS_ERROR;
		return error_code(lx, o);
	}
	if (!strcmp(lx->word, "says")) {
		o->kind = HARNESS_SAYS;
		return harness_data_parse(lx, &o->data);
	}
	if (!strcmp(lx->word, "exit")) {
		o->kind = HARNESS_EXIT;
		return whole_number(lx, 255, &o->number);
	}
	if (!strcmp(lx->word, "within") || !strcmp(lx->word, "not-before")) {
		o->kind = lx->word[0] == 'w' ? HARNESS_WITHIN : HARNESS_NOT_BEFORE;
		return fault_lexer_duration(lx, &o->time_us);
	}
	o->kind = HARNESS_SIGNAL;
	o->number = signal_by_name(lx->word);
	snprintf(o->word, sizeof o->word, "%s", lx->word);
	if (o->number)
		return 0;
	return fault_lexer_expected(lx, "an outcome (ok, error CODE, says, \"text\", has, lacks, stdout, stderr, "
					"exit N, SIGBUS, within, not-before)");
}

struct harness_outcome *harness_outcome_parse(struct fault_lexer *lx)
{
	struct harness_outcome *o = calloc(1, sizeof *o);

	if (!o)
		fault_no_memory();
	if (!parse(lx, o))
		return o;
	free(o);
	return NULL;
}

/* ---- judging ---- */

static int wrong(char **why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int wrong(char **why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(why, fmt, ap) < 0)
		fault_no_memory();
	va_end(ap);
	return -1;
}

/* What the step came to, as a clause. Static buffer: one thread judges. */
static const char *came_to(const struct harness_result *r, char buf[400])
{
	const char *name = r->status == HARNESS_FAILED ? strerrorname_np(r->err.errnum) : NULL;

	switch (r->status) {
	case HARNESS_DONE:
		snprintf(buf, 400, "it succeeded");
		break;
	case HARNESS_FAILED:
		snprintf(buf, 400, "it failed with %s (%s %d): %s", name ? name : "?", rx_origin_name(r->err.origin),
			 r->err.code, r->err.text);
		break;
	case HARNESS_SIGNALLED:
		snprintf(buf, 400, "it got SIG%s", sigabbrev_np(r->number));
		break;
	case HARNESS_EXITED:
		snprintf(buf, 400, "its exit status was %d, and it said: %.300s", r->number,
			 r->bytes[HARNESS_STDERR] ? (char *)r->bytes[HARNESS_STDERR] : "");
		break;
	}
	return buf;
}

/* By code, or by errno: EACCES is also what a server's UAEACCES means. */
static bool is_error(const struct harness_result *r, int32_t code)
{
	return r->status == HARNESS_FAILED && (r->err.code == code || r->err.errnum == code);
}

static int compare(const struct harness_result *r, const struct harness_outcome *o, char **why)
{
	const char *what = o->stream == HARNESS_STDERR ? "stderr" : "the answer";
	uint8_t *want = harness_data_bytes(&o->data), *got = r->bytes[o->stream];
	size_t len = r->len[o->stream], size = o->data.size;
	bool found = size <= len && (!size || memmem(got, len, want, size));
	char *a = NULL, *b = NULL;
	int rc = 0;

	if (o->kind == HARNESS_IS && len == size + 1 && got[size] == '\n' && !(size && want[size - 1] == '\n'))
		len = size; /* a program's last newline */
	if (o->kind == HARNESS_IS ? len != size || (size && memcmp(got, want, size))
				  : found != (o->kind == HARNESS_HAS)) {
		size_t at = 0;

		while (o->kind == HARNESS_IS && at < len && at < size && got[at] == want[at])
			at++;
		a = harness_show(want, size, SHOWN);
		b = harness_show(got, len, SHOWN);
		if (o->kind == HARNESS_IS && size > SHOWN && at)
			rc = wrong(why, "%s of %zu bytes differs from the %zu bytes wanted from byte %zu on", what, len,
				   size, at);
		else
			rc = wrong(why, "%s should %s %s, and is %s", what,
				   o->kind == HARNESS_IS    ? "be"
				   : o->kind == HARNESS_HAS ? "have"
							    : "lack",
				   a, b);
	}
	free(want);
	free(a);
	free(b);
	return rc;
}

int harness_judge(const struct harness_result *r, const struct harness_outcome *o, char **why)
{
	char buf[400];

	switch (o->kind) {
	case HARNESS_OK:
		return harness_judge_success(r, why);
	case HARNESS_ERROR:
		return is_error(r, o->code) ? 0 : wrong(why, "error %s was wanted, but %s", o->word, came_to(r, buf));
	case HARNESS_SAYS:
		if (r->status == HARNESS_FAILED && strstr(r->err.text, (const char *)o->data.text))
			return 0;
		return wrong(why, "an error that says \"%s\" was wanted, but %s", o->data.text, came_to(r, buf));
	case HARNESS_SIGNAL:
		return r->status == HARNESS_SIGNALLED && r->number == o->number
			       ? 0
			       : wrong(why, "%s was wanted, but %s", o->word, came_to(r, buf));
	case HARNESS_EXIT:
		return (r->status == HARNESS_EXITED && r->number == o->number) ||
				       (r->status == HARNESS_DONE && !o->number)
			       ? 0
			       : wrong(why, "exit status %d was wanted, but %s", o->number, came_to(r, buf));
	case HARNESS_WITHIN:
		return r->took_us <= o->time_us
			       ? 0
			       : wrong(why, "it took %llu ms, %llu at most were wanted",
				       (unsigned long long)r->took_us / 1000, (unsigned long long)o->time_us / 1000);
	case HARNESS_NOT_BEFORE:
		return r->took_us >= o->time_us
			       ? 0
			       : wrong(why, "it took %llu ms, %llu at least were wanted",
				       (unsigned long long)r->took_us / 1000, (unsigned long long)o->time_us / 1000);
	case HARNESS_IS:
	case HARNESS_HAS:
	case HARNESS_LACKS:
		return compare(r, o, why);
	}
	return 0;
}

int harness_judge_success(const struct harness_result *r, char **why)
{
	char buf[400];

	return r->status == HARNESS_DONE ? 0 : wrong(why, "%s", came_to(r, buf));
}

bool harness_speaks_of_end(const struct harness_outcome *o)
{
	while (o && o->kind != HARNESS_ERROR && o->kind != HARNESS_SAYS && o->kind != HARNESS_SIGNAL &&
	       o->kind != HARNESS_EXIT)
		o = o->next;
	return o;
}
