/* The language of scenarios: lines that are right, lines that are wrong and what is said. */
#include "tests/unit.h"
#include "tools/harness/script.h"

static struct harness_script *parse(const char *text)
{
	struct rx_error err = { 0 };
	struct harness_script *s = harness_script_parse(text, "t", &err);

	if (!s)
		printf("\n    %s ", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	return s;
}

static const struct harness_statement *nth(const struct harness_script *s, unsigned n)
{
	const struct harness_statement *at = s->first->first;

	while (at && n--)
		at = at->next;
	CU_ASSERT_PTR_NOT_NULL_FATAL(at);
	return at;
}

static void test_scenarios(void)
{
	struct harness_script *s = parse("# comment\n\nscenario \"A-01 one\" # more\n"
					 "todo cm \"no locks yet\"\ncell servers 3 lasting\ntimeout 2s\n"
					 "client laptop dirty-age 100ms level clear\n"
					 "scenario \"B\"\n");
	const struct harness_scenario *a = s->first, *b = a->next;

	CU_ASSERT_STRING_EQUAL(a->name, "A-01 one");
	CU_ASSERT_STRING_EQUAL(a->todo, "cm: no locks yet");
	CU_ASSERT(a->servers == 3 && a->lasting && a->timeout_us == 2000000 && a->line == 3);
	CU_ASSERT(a->nclients == 1 && !a->packets && !a->control);
	CU_ASSERT_STRING_EQUAL(a->clients[0].name, "laptop");
	CU_ASSERT_STRING_EQUAL(a->clients[0].options, " dirty-age 100ms level clear");
	CU_ASSERT(b && !b->next && !b->todo && b->servers == 2 && !b->first);
	harness_script_free(s);
}

static void test_steps(void)
{
	struct harness_script *s = parse("scenario \"x\"\nclient far\n"
					 "  alice: open f home/a ro -> error EACCES -> says \"w right\"\n"
					 "bob.2@far: store m 4K 8K of \"ab\" &\n"
					 "bob.2@far: wait -> SIGBUS\n"
					 "carol: run umafs cat \"a b\" -> exit 1\n"
					 "  -> stderr has \"no\"\n"
					 "@far: calls Store* -> \"2\"\n"
					 "until cell: read home:a -> \"x\" # wait\n");
	const struct harness_statement *st = nth(s, 0);

	CU_ASSERT(st->kind == HARNESS_ACT && st->act == HARNESS_ACT_STEP && st->step.verb == HARNESS_open &&
		  st->line == 3);
	CU_ASSERT_STRING_EQUAL(st->step.name[0], "f");
	CU_ASSERT_STRING_EQUAL(st->step.path[0], "home/a");
	CU_ASSERT_EQUAL(st->step.flags, 1);
	CU_ASSERT_STRING_EQUAL(st->command, "open f home/a ro");
	CU_ASSERT_STRING_EQUAL(st->actor.user, "alice");
	CU_ASSERT_STRING_EQUAL(st->actor.client, "here");
	CU_ASSERT(st->outcomes->kind == HARNESS_ERROR && st->outcomes->code == 13);
	CU_ASSERT(st->outcomes->next->kind == HARNESS_SAYS && !st->outcomes->next->next);
	st = nth(s, 1);
	CU_ASSERT(st->background && st->step.verb == HARNESS_store && st->step.size[0] == 4096 &&
		  st->step.data.size == 8192);
	CU_ASSERT_STRING_EQUAL(st->actor.text, "bob.2@far");
	CU_ASSERT_STRING_EQUAL(st->actor.user, "bob");
	CU_ASSERT_STRING_EQUAL(st->actor.client, "far");
	st = nth(s, 2);
	CU_ASSERT(st->act == HARNESS_ACT_WAIT && st->outcomes->kind == HARNESS_SIGNAL && !st->background);
	st = nth(s, 3);
	CU_ASSERT(st->act == HARNESS_ACT_RUN && st->outcomes->kind == HARNESS_EXIT && st->outcomes->number == 1);
	CU_ASSERT(st->outcomes->next->kind == HARNESS_HAS && st->outcomes->next->stream == HARNESS_STDERR);
	CU_ASSERT_STRING_EQUAL(st->words[2], "a b");
	CU_ASSERT_PTR_NULL(st->words[3]);
	st = nth(s, 4);
	CU_ASSERT(st->actor.kind == HARNESS_CLIENT && st->step.verb == HARNESS_calls);
	st = nth(s, 5);
	CU_ASSERT(st->until && st->act == HARNESS_ACT_CONTROL && st->outcomes->kind == HARNESS_IS);
	CU_ASSERT_STRING_EQUAL(st->command, "read home:a");
	CU_ASSERT_STRING_EQUAL(st->text, "until cell: read home:a -> \"x\" # wait");
	CU_ASSERT(s->first->control && !s->first->packets);
	harness_script_free(s);
}

static void test_rules(void)
{
	struct harness_script *s =
		parse("scenario \"x\"\nseed 7\nbusy: rpc name Fetch* -> busy 2\n"
		      "gone: rpc name FetchStatus -> moved $server2\npacket prob 5% -> drop\n"
		      "lossy: packet type data -> drop\nexpect fired busy 2-3\nuntil fired lossy 1\n"
		      "expect order busy lossy busy\nremove lossy\nrelease gate\nfile in 3 of \"x\"\n");
	const struct harness_statement *st = nth(s, 1);

	CU_ASSERT(nth(s, 0)->kind == HARNESS_SEED);
	CU_ASSERT(st->kind == HARNESS_RULE && st->rule_side == FAULT_RPC);
	CU_ASSERT_STRING_EQUAL(st->name, "busy");
	CU_ASSERT_STRING_EQUAL(st->command, "busy: rpc name Fetch* -> busy 2");
	CU_ASSERT_STRING_EQUAL(nth(s, 2)->command, "gone: rpc name FetchStatus -> moved $server2");
	CU_ASSERT(nth(s, 3)->rule_side == FAULT_PACKET && !nth(s, 3)->name[0]);
	st = nth(s, 5);
	CU_ASSERT(st->kind == HARNESS_FIRED && !st->until && st->range.lo == 2 && st->range.hi == 3);
	CU_ASSERT_EQUAL(st->rule_side, FAULT_RPC);
	CU_ASSERT(nth(s, 6)->until && nth(s, 6)->rule_side == FAULT_PACKET);
	CU_ASSERT(nth(s, 7)->kind == HARNESS_ORDER && !strcmp(nth(s, 7)->words[2], "busy") && !nth(s, 7)->words[3]);
	CU_ASSERT(nth(s, 8)->kind == HARNESS_REMOVE && nth(s, 8)->rule_side == FAULT_PACKET);
	CU_ASSERT(nth(s, 9)->kind == HARNESS_RELEASE && nth(s, 10)->kind == HARNESS_FILE);
	CU_ASSERT(s->first->control && s->first->packets);
	harness_script_free(s);
}

static void test_wrong(void)
{
	static const struct {
		const char *line, *said;
	} t[] = {
		{ "alice: opne f home/a", "line 2, column 8: expected a step" },
		{ "alice: open f", "line 2, column 14: expected a path, not the end of the line" },
		{ "alice: open f home/a rw", "column 22: expected the end of open NAME PATH" },
		{ "alice: store m 0 text", "column 18: expected data such as" },
		{ "alice: store m 0 4 of 5", "column 23: expected \"text\" or random" },
		{ "alice: store m 0 100M of \"x\"", "expected a size of at most 64M" },
		{ "alice: store m 0 \"\\q\"", "behind a backslash" },
		{ "alice: load m 0 3 -> SIGFOO", "column 22: expected an outcome" },
		{ "alice: load m 0 3 -> error EFOO", "column 28: expected an error's name or number" },
		{ "alice: load m 0 3 -> ok ok", "expected the end of the line after the outcome" },
		{ "alice: chmod home/a 9", "expected a mode" },
		{ "alice@there: fsync f", "column 1: expected a client named by a line" },
		{ "Alice: fsync f", "column 1: expected an actor" },
		{ "alice.: fsync f", "column 1: expected an actor" },
		{ "@: kill", "column 1: expected an actor" },
		{ "alice: kill", "expected a step" },
		{ "alice: events", "events, calls and dirty are asked of @CLIENT" },
		{ "@here: fsync f", "for a client" },
		{ "@here: end &", "expected this not to run in the background" },
		{ "alice: run", "column 11: expected a word, not the end of the line" },
		{ "alice: signal FOO", "expected INT, TERM" },
		{ "cell:", "expected a command" },
		{ "until alice", "expected fired, or an actor's step" },
		{ "expect frozen", "expected fired or order" },
		{ "expect fired busy 1", "column 14: expected the name of a rule above" },
		{ "remove busy", "expected the name of a rule above" },
		{ "busy: rpc nam x -> busy 2", "column 11: expected -> or a condition" },
		{ "packet -> dorp", "column 11: expected an action" },
		{ "-> ok", "column 1: expected a step before its outcome" },
		{ "client here level loud", "expected clear, auth or crypt" },
		{ "client here speed 3", "expected dirty-age" },
		{ "cell servers 9", "expected a number from 1 to 8" },
		{ "todo moon \"x\"", "expected a room" },
		{ "todo cm why", "one reason in quotes" },
		{ "timeout 5", "expected a duration" },
		{ "file a/b \"x\"", "expected a name without /" },
		{ "scenario \"x\"", "expected a name that no scenario of the file has" },
		{ "sleep 5s", "column 1: expected a statement" },
	};

	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct rx_error err = { 0 };
		char text[256];
		struct harness_script *s;

		snprintf(text, sizeof text, "scenario \"x\"\n%s\n", t[i].line);
		s = harness_script_parse(text, "file", &err);
		CU_ASSERT_PTR_NULL(s);
		if (!strstr(err.text, t[i].said) || strncmp(err.text, "file: line 2, column ", 21))
			printf("\n    %s: %s ", t[i].line, err.text);
		CU_ASSERT(strstr(err.text, t[i].said) && !strncmp(err.text, "file: line 2, column ", 21));
		harness_script_free(s);
	}
}

static void test_no_scenario(void)
{
	struct rx_error err = { 0 };

	CU_ASSERT_PTR_NULL(harness_script_parse("# nothing\n", "f", &err));
	CU_ASSERT_STRING_EQUAL(err.text, "f: no scenario in it");
	CU_ASSERT_PTR_NULL(harness_script_parse("alice: fsync f\n", "f", &err));
	CU_ASSERT(strstr(err.text, "f: line 1, column 1: expected scenario") != NULL);
	CU_ASSERT_PTR_NULL(harness_script_read("/nowhere/x", &err));
	CU_ASSERT_EQUAL(err.errnum, 2);
}

UNIT_MAIN("scenario scripts", { "what a scenario is set up with", test_scenarios },
	  { "actors, steps and outcomes", test_steps }, { "rules and what is asked of them", test_rules },
	  { "mistakes are told with line, column and what was expected", test_wrong },
	  { "a file without scenarios", test_no_scenario })
