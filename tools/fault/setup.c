/* The common options of programs with fault rules: see setup.h. */
#include "tools/fault/setup.h"
#include "tools/fault/memory.h"

#include <errno.h>
#include <stdlib.h>

const char fault_setup_help[] =
	"  --script FILE        rules to begin with; may be repeated\n"
	"  --rule RULE          one rule; may be repeated\n"
	"  --seed N             of all dice; a line \"seed N\" in a script overrides it. Random without\n"
	"  --control SOCKET     listen there for ctl\n"
	"  --trace FILE         write what happens, as JSON lines\n";

void fault_setup_init(struct fault_setup *setup, struct rx_env *env)
{
	*setup = (struct fault_setup){ .env = env };
	env->ops->random(env, &setup->seed, sizeof setup->seed);
}

static void add_source(struct fault_setup *s, bool script, const char *text)
{
	s->sources = realloc(s->sources, (s->nsources + 1) * sizeof *s->sources);
	if (!s->sources)
		fault_no_memory();
	s->sources[s->nsources].script = script;
	s->sources[s->nsources++].text = text;
}

int fault_setup_option(struct fault_setup *s, int c, const char *value, struct rx_error *err)
{
	char *end;

	switch (c) {
	case FAULT_OPT_SCRIPT:
	case FAULT_OPT_RULE:
		add_source(s, c == FAULT_OPT_SCRIPT, value);
		return 0;
	case FAULT_OPT_SEED:
		s->seed = strtoull(value, &end, 10);
		if (end != value && !*end)
			return 0;
		return rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "--seed wants a number, not %.40s", value);
	case FAULT_OPT_CONTROL:
		s->control_path = value;
		return 0;
	case FAULT_OPT_TRACE:
		s->trace_path = value;
		return 0;
	default:
		return 1;
	}
}

int fault_setup_begin(struct fault_setup *s, struct rx_error *err)
{
	unsigned rules = 0;

	if (s->trace_path) {
		s->trace_file = fopen(s->trace_path, "we");
		if (!s->trace_file)
			return rx_error_errno(err, errno, "the trace %s cannot be written", s->trace_path);
		setvbuf(s->trace_file, NULL, _IOLBF, 0); /* whoever reads it meanwhile sees whole lines */
		s->trace = fault_trace_new(s->env, s->trace_file);
	}
	s->set = fault_set_new(s->env, s->seed, s->trace);
	for (unsigned i = 0; i < s->nsources; i++) {
		const char *text = s->sources[i].text;

		if (s->sources[i].script) {
			if (fault_set_load(s->set, text, err))
				return -1;
		} else if (fault_set_add(s->set, text, ++rules, NULL, err)) {
			rx_error_prefix(err, "--rule");
			return -1;
		}
	}
	return 0;
}

int fault_setup_listen(struct fault_setup *s, struct event_base *base, fault_control_extra *extra, void *arg,
		       struct rx_error *err)
{
	if (!s->control_path)
		return 0;
	s->control = fault_control_new(base, s->control_path, s->set, extra, arg, err);
	return s->control ? 0 : -1;
}

void fault_setup_unlisten(struct fault_setup *s)
{
	fault_control_free(s->control);
	s->control = NULL;
}

int fault_setup_end(struct fault_setup *s, struct rx_error *err)
{
	int rc;

	fault_setup_unlisten(s);
	fault_set_free(s->set);
	rc = fault_trace_free(s->trace, err);
	if (s->trace_file)
		fclose(s->trace_file);
	free(s->sources);
	*s = (struct fault_setup){ 0 };
	return rc;
}

int fault_setup_ctl(const char *program, char *const argv[])
{
	struct rx_error err = { 0 };

	if (fault_control_call(argv[0], argv + 1, stdout, &err) == 0)
		return EXIT_SUCCESS;
	fprintf(stderr, "%s: %s\n", program, err.text);
	return EXIT_FAILURE;
}
