/* Files of scenarios: reading, what belongs together, freeing. The statements
 * themselves are read in statement.c. See script.h. */
#include "tools/harness/script.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/fault/memory.h"
#include "tools/harness/statement.h"

enum { SERVERS = 2, TIMEOUT_US = 10000000 };

void harness_statement_free(struct harness_statement *s)
{
	for (char **w = s->words; w && *w; w++)
		free(*w);
	free(s->words);
	free(s->text);
	free(s->command);
	harness_outcomes_free(s->outcomes);
	free(s);
}

static void free_scenario(struct harness_scenario *sc)
{
	while (sc->first) {
		struct harness_statement *next = sc->first->next;

		harness_statement_free(sc->first);
		sc->first = next;
	}
	free(sc->name);
	free(sc->todo);
	free(sc);
}

void harness_script_free(struct harness_script *script)
{
	while (script) {
		struct harness_script *next = script->next;

		while (script->first) {
			struct harness_scenario *sc = script->first;

			script->first = sc->next;
			free_scenario(sc);
		}
		free(script->file);
		free(script);
		script = next;
	}
}

char *harness_strndup(const char *text, size_t len)
{
	char *copy = strndup(text, len);

	if (!copy)
		fault_no_memory();
	return copy;
}

static struct harness_scenario *scenario_named(const struct harness_script *s, const char *name)
{
	struct harness_scenario *sc = s->first;

	while (sc && strcmp(sc->name, name))
		sc = sc->next;
	return sc;
}

/* `scenario "NAME"`, the first word taken. */
static int begin_scenario(struct fault_lexer *lx, struct harness_script *script, struct harness_scenario ***end)
{
	struct harness_scenario *sc;
	char name[HARNESS_WORD];
	size_t len;

	if (harness_text(lx, "the scenario's name", (uint8_t *)name, &len))
		return -1;
	if (!len || strchr(name, '\n') || strchr(name, '#'))
		return fault_lexer_expected(lx, "a scenario's name without newline and #");
	if (scenario_named(script, name))
		return fault_lexer_expected(lx, "a name that no scenario of the file has");
	if (harness_line_end(lx, "the scenario's name"))
		return -1;
	sc = calloc(1, sizeof *sc);
	if (!sc)
		fault_no_memory();
	*sc = (struct harness_scenario){ .file = script->file,
					 .line = lx->line,
					 .name = harness_strndup(name, len),
					 .servers = SERVERS,
					 .timeout_us = TIMEOUT_US };
	**end = sc;
	*end = &sc->next;
	return 0;
}

static int parse_line(const char *line, unsigned number, struct harness_script *script, struct harness_scenario **now,
		      struct harness_scenario ***end, struct rx_error *err)
{
	struct fault_lexer lx;

	fault_lexer_init(&lx, line, number, err);
	if (fault_lexer_end(&lx))
		return 0;
	if (fault_lexer_accept(&lx, "scenario")) {
		struct harness_scenario **at = *end;

		if (begin_scenario(&lx, script, end))
			return -1;
		*now = *at;
		return 0;
	}
	if (!*now)
		return fault_lexer_next(&lx) ? -1 : fault_lexer_expected(&lx, "scenario \"NAME\" before anything else");
	return harness_statement_parse(&lx, *now);
}

struct harness_script *harness_script_parse(const char *text, const char *file, struct rx_error *err)
{
	struct harness_script *script = calloc(1, sizeof *script);
	struct harness_scenario *now = NULL, **end;
	unsigned number = 1;

	if (!script)
		fault_no_memory();
	script->file = harness_strndup(file, strlen(file));
	end = &script->first;
	for (; *text; number++) {
		size_t len = strcspn(text, "\n");
		char *line = harness_strndup(text, len);
		int rc = parse_line(line, number, script, &now, &end, err);

		free(line);
		text += len + (text[len] == '\n');
		if (rc)
			goto fail;
	}
	if (script->first)
		return script;
	rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "no scenario in it");
fail:
	rx_error_prefix(err, "%s", file);
	harness_script_free(script);
	return NULL;
}

struct harness_script *harness_script_read(const char *path, struct rx_error *err)
{
	struct harness_script *script = NULL;
	char *text = NULL;
	size_t size = 0;
	ssize_t n;
	FILE *f = fopen(path, "re");

	if (!f) {
		rx_error_errno(err, errno, "%s cannot be opened", path);
		return NULL;
	}
	n = getdelim(&text, &size, 0, f);
	if (ferror(f))
		rx_error_errno(err, errno, "%s cannot be read", path);
	else if (n >= 0 && strlen(text) < (size_t)n)
		rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "%s has a byte 0, it is no text", path);
	else
		script = harness_script_parse(n < 0 ? "" : text, path, err);
	free(text);
	fclose(f);
	return script;
}
