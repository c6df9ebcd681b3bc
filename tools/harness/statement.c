/* Statements of scenarios, line by line: see statement.h. */
#include "tools/harness/statement.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tools/fault/memory.h"
#include "tools/harness/client_config.h"
#include "tools/harness/expand.h"

enum { WORDS_MAX = 64, SERVERS_MAX = 8 };

int harness_line_end(struct fault_lexer *lx, const char *what)
{
	if (fault_lexer_end(lx))
		return 0;
	return fault_lexer_next(lx) ? -1 : fault_lexer_expected(lx, "the end of the line after %s", what);
}

/* Whether the unquoted word stands next. */
static bool ahead(const struct fault_lexer *lx, const char *word)
{
	struct fault_lexer look = *lx;

	return fault_lexer_accept(&look, word);
}

static bool at_end(const struct fault_lexer *lx)
{
	struct fault_lexer look = *lx;

	return fault_lexer_end(&look) || ahead(lx, "->") || ahead(lx, "&");
}

/* Outcomes come in any number, each behind its own arrow. */
static int outcomes(struct fault_lexer *lx, struct harness_statement *s)
{
	struct harness_outcome **end = &s->outcomes;

	while (*end)
		end = &(*end)->next;
	while (fault_lexer_accept(lx, "->")) {
		*end = harness_outcome_parse(lx);
		if (!*end)
			return -1;
		end = &(*end)->next;
	}
	return harness_line_end(lx, "the outcome");
}

/* ---- actors ---- */

static bool small_name(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!islower((unsigned char)s[i]) && !isdigit((unsigned char)s[i]) && s[i] != '-')
			return false;
	}
	return len > 0 && len < 32;
}

static int known_client(struct fault_lexer *lx, const struct harness_scenario *sc, const char *name)
{
	if (!strcmp(name, "here"))
		return 0;
	for (unsigned i = 0; i < sc->nclients; i++) {
		if (!strcmp(sc->clients[i].name, name))
			return 0;
	}
	return fault_lexer_expected(lx, "a client named by a line `client NAME` before");
}

/* The word last taken, with its colon. */
static int parse_actor(struct fault_lexer *lx, const struct harness_scenario *sc, struct harness_actor *a)
{
	size_t len = strlen(lx->word) - 1, user;
	const char *at, *dot;

	if (!len || len >= sizeof a->text)
		goto bad;
	memcpy(a->text, lx->word, len);
	if (!strcmp(a->text, "cell") || !strcmp(a->text, "wire")) {
		a->kind = a->text[0] == 'c' ? HARNESS_CELL : HARNESS_WIRE;
		return 0;
	}
	at = strchrnul(a->text, '@');
	dot = memchr(a->text, '.', (size_t)(at - a->text));
	user = (size_t)((dot ? dot : at) - a->text);
	if ((*at && !small_name(at + 1, strlen(at + 1))) || (user && !small_name(a->text, user)) ||
	    (dot && (!user || !small_name(dot + 1, (size_t)(at - dot - 1)))) || (!user && !*at))
		goto bad;
	a->kind = user ? HARNESS_USER : HARNESS_CLIENT;
	memcpy(a->user, a->text, user);
	strcpy(a->client, *at ? at + 1 : "here");
	return known_client(lx, sc, a->client);
bad:
	return fault_lexer_expected(lx, "an actor (alice:, alice.2:, alice@CLIENT:, @CLIENT:, cell:, wire:)");
}

/* ---- what actors do ---- */

static int words_of(struct fault_lexer *lx, struct harness_statement *s)
{
	unsigned n = 0;

	s->words = calloc(WORDS_MAX + 1, sizeof *s->words);
	if (!s->words)
		fault_no_memory();
	while (!at_end(lx)) {
		char word[HARNESS_WORD];
		size_t len;

		if (harness_text(lx, "a word", (uint8_t *)word, &len))
			return -1;
		if (n == WORDS_MAX)
			return fault_lexer_expected(lx, "at most %d words", WORDS_MAX);
		s->words[n++] = harness_strndup(word, len);
	}
	return n ? 0 : fault_lexer_next(lx) ? -1 : fault_lexer_expected(lx, "a word");
}

static int signal_of(struct fault_lexer *lx, struct harness_statement *s)
{
	static const struct {
		const char *name;
		int number;
	} signals[] = {
		{ "INT", SIGINT }, { "TERM", SIGTERM }, { "KILL", SIGKILL }, { "HUP", SIGHUP }, { "USR1", SIGUSR1 }
	};

	if (fault_lexer_next(lx))
		return -1;
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
		if (!strcmp(signals[i].name, lx->word))
			s->number = signals[i].number;
	}
	return s->number ? 0 : fault_lexer_expected(lx, "INT, TERM, KILL, HUP or USR1");
}

/* The line from `start` on up to where the lexer is. */
static char *text_since(const char *start, const struct fault_lexer *lx)
{
	return harness_strndup(start, (size_t)(lx->at - start));
}

static int control_command(struct fault_lexer *lx, struct harness_statement *s)
{
	const char *start = lx->at + strspn(lx->at, " \t");

	s->act = HARNESS_ACT_CONTROL;
	if (at_end(lx))
		return fault_lexer_next(lx) ? -1
					    : fault_lexer_expected(lx, "a command; %s: help lists them", s->actor.text);
	while (!at_end(lx)) {
		if (fault_lexer_next(lx))
			return -1;
	}
	s->command = text_since(start, lx);
	return 0;
}

static const struct {
	const char *word;
	enum harness_act act;
	unsigned actors; /* bit n: of that kind */
} acts[] = {
	{ "kill", HARNESS_ACT_KILL, 1 << HARNESS_CLIENT | 1 << HARNESS_CELL },
	{ "pause", HARNESS_ACT_PAUSE, 1 << HARNESS_CLIENT | 1 << HARNESS_CELL },
	{ "resume", HARNESS_ACT_RESUME, 1 << HARNESS_CLIENT | 1 << HARNESS_CELL },
	{ "end", HARNESS_ACT_END, 1 << HARNESS_CLIENT },
	{ "start", HARNESS_ACT_START, 1 << HARNESS_CELL },
	{ "wait", HARNESS_ACT_WAIT, 1 << HARNESS_USER },
};

static int what_is_done(struct fault_lexer *lx, struct harness_statement *s)
{
	const char *start = lx->at + strspn(lx->at, " \t");

	for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
		if ((acts[i].actors & 1u << s->actor.kind) && fault_lexer_accept(lx, acts[i].word)) {
			s->act = acts[i].act;
			return 0;
		}
	}
	if (s->actor.kind == HARNESS_CELL || s->actor.kind == HARNESS_WIRE)
		return control_command(lx, s);
	if (s->actor.kind == HARNESS_USER && fault_lexer_accept(lx, "run")) {
		s->act = HARNESS_ACT_RUN;
		return words_of(lx, s);
	}
	if (s->actor.kind == HARNESS_USER && fault_lexer_accept(lx, "signal")) {
		s->act = HARNESS_ACT_SIGNAL;
		return signal_of(lx, s);
	}
	s->act = HARNESS_ACT_STEP;
	if (harness_step_parse(lx, &s->step))
		return -1;
	if ((s->actor.kind == HARNESS_CLIENT) != (s->step.verb >= HARNESS_events))
		return fault_lexer_expected(lx,
					    s->actor.kind == HARNESS_CLIENT
						    ? "events, calls, dirty, kill, end, pause or resume for a client"
						    : "a user's step; events, calls and dirty are asked of @CLIENT");
	s->command = text_since(start, lx);
	return 0;
}

static int act(struct fault_lexer *lx, const struct harness_scenario *sc, struct harness_statement *s)
{
	s->kind = HARNESS_ACT;
	if (parse_actor(lx, sc, &s->actor) || what_is_done(lx, s))
		return -1;
	if (ahead(lx, "&") && (s->actor.kind != HARNESS_USER || s->act == HARNESS_ACT_WAIT || s->until))
		return fault_lexer_next(lx) ? -1 : fault_lexer_expected(lx, "this not to run in the background");
	s->background = fault_lexer_accept(lx, "&");
	return outcomes(lx, s);
}

/* ---- rules and the rest ---- */

static int rule(struct fault_lexer *lx, struct harness_scenario *sc, struct harness_statement *s)
{
	struct fault_line line;
	char *readable;
	int rc;

	/* Columns are right up to the first variable. */
	readable = harness_expand(lx->start, &harness_stand_ins);
	rc = fault_parse_line(readable, lx->line, &line, lx->err);
	free(readable);
	if (rc)
		return -1;
	s->kind = HARNESS_RULE;
	s->rule_side = line.rule->side;
	strcpy(s->name, line.rule->name);
	s->command = harness_strndup(lx->start, strlen(lx->start));
	s->command[strcspn(s->command, "\r\n")] = '\0';
	if (s->rule_side == FAULT_PACKET)
		sc->packets = true;
	else
		sc->control = true;
	fault_rule_free(line.rule);
	return 0;
}

static int find_rule(struct fault_lexer *lx, const struct harness_scenario *sc, struct harness_statement *s)
{
	if (fault_lexer_text(lx, "a rule's name", s->name))
		return -1;
	for (const struct harness_statement *r = sc->first; r; r = r->next) {
		if (r->kind == HARNESS_RULE && !strcmp(r->name, s->name)) {
			s->rule_side = r->rule_side;
			return 0;
		}
	}
	return fault_lexer_expected(lx, "the name of a rule above");
}

static int fired(struct fault_lexer *lx, const struct harness_scenario *sc, struct harness_statement *s)
{
	s->kind = HARNESS_FIRED;
	return find_rule(lx, sc, s) || fault_lexer_range(lx, &s->range) ? -1 : harness_line_end(lx, "the count");
}

static int order(struct fault_lexer *lx, const struct harness_scenario *sc, struct harness_statement *s)
{
	struct fault_lexer again = *lx;

	s->kind = HARNESS_ORDER;
	if (words_of(lx, s))
		return -1;
	for (char **w = s->words; *w; w++) {
		if (find_rule(&again, sc, s))
			return -1;
	}
	return harness_line_end(lx, "the rules");
}

/* until ...: the same is asked again and again until it is so. */
static int until(struct fault_lexer *lx, const struct harness_scenario *sc, struct harness_statement *s)
{
	s->until = true;
	if (fault_lexer_accept(lx, "fired"))
		return fired(lx, sc, s);
	if (fault_lexer_next(lx))
		return -1;
	if (!lx->word[0] || lx->quoted || lx->word[strlen(lx->word) - 1] != ':')
		return fault_lexer_expected(lx, "fired, or an actor's step");
	return act(lx, sc, s);
}

static int expect(struct fault_lexer *lx, const struct harness_scenario *sc, struct harness_statement *s)
{
	if (fault_lexer_accept(lx, "fired"))
		return fired(lx, sc, s);
	if (fault_lexer_accept(lx, "order"))
		return order(lx, sc, s);
	return fault_lexer_next(lx) ? -1 : fault_lexer_expected(lx, "fired or order");
}

static int local_file(struct fault_lexer *lx, struct harness_statement *s)
{
	s->kind = HARNESS_FILE;
	if (fault_lexer_text(lx, "a file's name", s->name))
		return -1;
	if (strchr(s->name, '/'))
		return fault_lexer_expected(lx, "a name without /");
	return harness_data_parse(lx, &s->step.data) || harness_line_end(lx, "the data") ? -1 : 0;
}

static bool is_rule(const struct fault_lexer *lx)
{
	struct fault_lexer look = *lx;

	look.err = NULL;
	if (ahead(&look, "packet") || ahead(&look, "rpc"))
		return true;
	return !fault_lexer_next(&look) && !look.quoted && look.word[0] && look.word[strlen(look.word) - 1] == ':' &&
	       (ahead(&look, "packet") || ahead(&look, "rpc"));
}

static int statement(struct fault_lexer *lx, struct harness_scenario *sc, struct harness_statement *s)
{
	if (is_rule(lx))
		return rule(lx, sc, s);
	if (fault_lexer_accept(lx, "until"))
		return until(lx, sc, s);
	if (fault_lexer_accept(lx, "expect"))
		return expect(lx, sc, s);
	if (fault_lexer_accept(lx, "file"))
		return local_file(lx, s);
	if (fault_lexer_accept(lx, "remove")) {
		s->kind = HARNESS_REMOVE;
		return find_rule(lx, sc, s) ? -1 : harness_line_end(lx, "the rule");
	}
	if (fault_lexer_accept(lx, "release")) {
		s->kind = HARNESS_RELEASE;
		return fault_lexer_text(lx, "a gate's name", s->name) ? -1 : harness_line_end(lx, "the gate");
	}
	if (fault_lexer_accept(lx, "seed")) {
		uint64_t n;

		s->kind = HARNESS_SEED;
		s->command = harness_strndup(lx->start, strlen(lx->start));
		return fault_lexer_number(lx, 0, UINT64_MAX, &n) || harness_line_end(lx, "the seed") ? -1 : 0;
	}
	if (fault_lexer_next(lx))
		return -1;
	if (!lx->quoted && lx->word[0] && lx->word[strlen(lx->word) - 1] == ':')
		return act(lx, sc, s);
	return fault_lexer_expected(lx, "a statement (ACTOR: STEP, a rule, until, expect, remove, release, file, seed, "
					"client, cell, timeout, todo, scenario)");
}

/* ---- how the scenario is set up ---- */

static int client(struct fault_lexer *lx, struct harness_scenario *sc)
{
	struct harness_client_options *c = &sc->clients[sc->nclients];
	struct harness_client_config config;
	const char *start;

	if (fault_lexer_next(lx))
		return -1;
	if (!small_name(lx->word, strlen(lx->word)))
		return fault_lexer_expected(lx, "a client's name of small letters and digits");
	for (unsigned i = 0; i < sc->nclients; i++) {
		if (!strcmp(sc->clients[i].name, lx->word))
			return fault_lexer_expected(lx, "a name that no client has");
	}
	if (sc->nclients == HARNESS_CLIENTS)
		return fault_lexer_expected(lx, "at most %d clients", HARNESS_CLIENTS);
	strcpy(c->name, lx->word);
	start = lx->at;
	if (harness_client_config_parse(lx, &config))
		return -1;
	snprintf(c->options, sizeof c->options, "%.*s", (int)(lx->at - start), start);
	sc->nclients++;
	return 0;
}

static int cell(struct fault_lexer *lx, struct harness_scenario *sc)
{
	uint64_t n;

	while (!fault_lexer_end(lx)) {
		if (fault_lexer_accept(lx, "servers")) {
			if (fault_lexer_number(lx, 1, SERVERS_MAX, &n))
				return -1;
			sc->servers = (unsigned)n;
		} else if (fault_lexer_accept(lx, "lasting")) {
			sc->lasting = true;
		} else {
			return fault_lexer_next(lx) ? -1 : fault_lexer_expected(lx, "servers N or lasting");
		}
	}
	return 0;
}

static int todo(struct fault_lexer *lx, struct harness_scenario *sc)
{
	static const char *const rooms[] = { "rx", "cm", "vfs-emu", "cell", "wire", "tools" };
	char reason[HARNESS_WORD];
	const char *room = NULL;
	size_t len;

	if (fault_lexer_next(lx))
		return -1;
	for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
		if (!strcmp(rooms[i], lx->word))
			room = rooms[i];
	}
	if (!room)
		return fault_lexer_expected(lx, "a room (rx, cm, vfs-emu, cell, wire, tools)");
	if (harness_text(lx, "the reason in quotes", (uint8_t *)reason, &len))
		return -1;
	if (!lx->quoted || !len || sc->todo)
		return fault_lexer_expected(lx, "one reason in quotes");
	if (asprintf(&sc->todo, "%s: %s", room, reason) < 0)
		fault_no_memory();
	return harness_line_end(lx, "the reason");
}

/* 1: it was one of these. */
static int set_up(struct fault_lexer *lx, struct harness_scenario *sc)
{
	if (fault_lexer_accept(lx, "client"))
		return client(lx, sc) ? -1 : 1;
	if (fault_lexer_accept(lx, "cell"))
		return cell(lx, sc) ? -1 : 1;
	if (fault_lexer_accept(lx, "todo"))
		return todo(lx, sc) ? -1 : 1;
	if (fault_lexer_accept(lx, "timeout"))
		return fault_lexer_duration(lx, &sc->timeout_us) || harness_line_end(lx, "the duration") ? -1 : 1;
	return 0;
}

static char *trimmed(const char *line)
{
	size_t len;

	line += strspn(line, " \t");
	for (len = strlen(line); len && isspace((unsigned char)line[len - 1]);)
		len--;
	return harness_strndup(line, len);
}

int harness_statement_parse(struct fault_lexer *lx, struct harness_scenario *sc)
{
	struct harness_statement **end = &sc->first, *last = NULL, *s;
	int rc;

	while (*end) {
		last = *end;
		end = &last->next;
	}
	if (ahead(lx, "->")) {
		if (last && last->kind == HARNESS_ACT)
			return outcomes(lx, last);
		return fault_lexer_next(lx) ? -1 : fault_lexer_expected(lx, "a step before its outcome");
	}
	rc = set_up(lx, sc);
	if (rc)
		return rc < 0 ? -1 : 0;
	s = calloc(1, sizeof *s);
	if (!s)
		fault_no_memory();
	s->line = lx->line;
	s->text = trimmed(lx->start);
	if (statement(lx, sc, s)) {
		harness_statement_free(s);
		return -1;
	}
	sc->control |= s->kind == HARNESS_ACT && s->actor.kind == HARNESS_CELL;
	sc->packets |= s->kind == HARNESS_ACT && s->actor.kind == HARNESS_WIRE;
	*end = s;
	return 0;
}
