/* Command line parsing; see options.h. */
#include "tools/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct cli_option cli_global_options[] = {
	{ CLI_OPT_CELL, "cell", "CELL", "the cell to be at home in, instead of ThisCell" },
	{ CLI_OPT_CONFDIR, "confdir", "DIR", "directory that holds ThisCell and CellServDB" },
	{ CLI_OPT_AS, "as", "WHO", "ccache, KEYTAB:PRINCIPAL or \"anonymous\" (default: your ccache)" },
	{ CLI_OPT_LEVEL, "level", "LEVEL", "clear, auth or crypt (default): protection of the packets" },
	{ CLI_OPT_PORT, "port", "N", "UDP port for calls and callbacks (default: any)" },
	{ CLI_OPT_JOBS, "jobs", "N", "how many transfers run side by side (default 4)" },
	{ CLI_OPT_JSON, "json", NULL, "print one JSON document" },
	{ CLI_OPT_TRACE, "trace", NULL, "tell every remote call on stderr: name, server, time, result" },
	{ CLI_OPT_VERSION, "version", NULL, "print the version" },
	{ CLI_OPT_HELP, "help", NULL, "print this; after a command: its help" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option *find(const struct cli_option *table, unsigned char letter, const char *name, size_t len)
{
	for (; table && table->name; table++) {
		if (name ? strlen(table->name) == len && !strncmp(table->name, name, len) : table->id == letter)
			return table;
	}
	return NULL;
}

static const struct cli_option *find_option(const struct cli_args *args, unsigned char letter, const char *name,
					    size_t len)
{
	const struct cli_option *o = args->command ? find(args->command->options, letter, name, len) : NULL;

	return o ? o : find(cli_global_options, letter, name, len);
}

static int unknown(const struct cli_args *args, const char *flag, size_t len, char why[256])
{
	char text[80];

	snprintf(text, sizeof(text), "%s", flag);
	if (len < sizeof(text))
		text[len] = 0;
	if (args->command)
		snprintf(why, 256, "unknown option %s; see umafs %.20s --help", text, args->command->name);
	else
		snprintf(why, 256, "unknown option %s; see umafs --help", text);
	return -1;
}

/* "--name", "--name=value", "--name value". */
static int parse_long(struct cli_args *args, int argc, char **argv, int *i, char why[256])
{
	const char *name = argv[*i] + 2, *eq = strchr(name, '=');
	size_t len = eq ? (size_t)(eq - name) : strlen(name);
	const struct cli_option *o = find_option(args, 0, name, len);

	if (!o)
		return unknown(args, argv[*i], len + 2, why);
	if (!o->arg) {
		if (eq) {
			snprintf(why, 256, "option --%s takes no value", o->name);
			return -1;
		}
		args->value[o->id] = "";
		return 0;
	}
	if (!eq && *i + 1 >= argc) {
		snprintf(why, 256, "option --%s needs a value: %s", o->name, o->arg);
		return -1;
	}
	args->value[o->id] = eq ? eq + 1 : argv[++*i];
	return 0;
}

/* "-la", "-s5", "-s 5". */
static int parse_letters(struct cli_args *args, int argc, char **argv, int *i, char why[256])
{
	for (const char *p = argv[*i] + 1; *p; p++) {
		const struct cli_option *o =
			(unsigned char)*p < 128 ? find_option(args, (unsigned char)*p, NULL, 0) : NULL;
		char flag[3] = { '-', *p, 0 };

		if (!o)
			return unknown(args, flag, 2, why);
		if (!o->arg) {
			args->value[o->id] = "";
			continue;
		}
		if (p[1]) {
			args->value[o->id] = p + 1;
			return 0;
		}
		if (*i + 1 >= argc) {
			snprintf(why, 256, "option -%c needs a value: %s", *p, o->arg);
			return -1;
		}
		args->value[o->id] = argv[++*i];
	}
	return 0;
}

static int operand(const struct cli_command *commands, struct cli_args *args, const char *text, char why[256])
{
	if (args->command) {
		args->operands[args->noperands++] = text;
		return 0;
	}
	for (const struct cli_command *c = commands; c->name; c++) {
		if (!strcmp(c->name, text)) {
			args->command = c;
			return 0;
		}
	}
	snprintf(why, 256, "unknown command %s; umafs --help lists them", text);
	return -1;
}

static int check_counts(const struct cli_args *args, char why[256])
{
	const struct cli_command *c = args->command;

	if (options_has(args, CLI_OPT_HELP) || options_has(args, CLI_OPT_VERSION))
		return 0;
	if (!c) {
		snprintf(why, 256, "which command? umafs --help lists them");
		return -1;
	}
	if (args->noperands < c->min || (c->max >= 0 && args->noperands > c->max)) {
		snprintf(why, 256, "%s: too %s arguments; it wants %s; see umafs %s --help", c->name,
			 args->noperands < c->min ? "few" : "many", *c->operands ? c->operands : "none", c->name);
		return -1;
	}
	return 0;
}

int options_parse(const struct cli_command *commands, int argc, char **argv, struct cli_args *out, char why[256])
{
	bool only_operands = false;
	int rc = 0;

	memset(out, 0, sizeof(*out));
	out->operands = calloc((size_t)argc + 1, sizeof(*out->operands));
	if (!out->operands) {
		snprintf(why, 256, "out of memory");
		return 1;
	}
	for (int i = 1; i < argc && !rc; i++) {
		const char *a = argv[i];

		if (!only_operands && !strcmp(a, "--"))
			only_operands = true;
		else if (only_operands || a[0] != '-' || !a[1] || isdigit((unsigned char)a[1]))
			rc = operand(commands, out, a, why);
		else if (!strcmp(a, "-h"))
			out->value[CLI_OPT_HELP] = "";
		else if (a[1] == '-')
			rc = parse_long(out, argc, argv, &i, why);
		else
			rc = parse_letters(out, argc, argv, &i, why);
	}
	if (!rc)
		rc = check_counts(out, why);
	if (rc)
		options_free(out);
	return rc;
}

void options_free(struct cli_args *args)
{
	free(args->operands);
	args->operands = NULL;
}

bool options_size(const char *text, uint64_t *out)
{
	static const char units[] = "KMGT";
	const char *unit;
	unsigned long long n;
	unsigned shift = 0;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno)
		return false;
	if (*end) {
		unit = strchr(units, toupper((unsigned char)*end));
		if (!unit)
			return false;
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
		if (*end && strcmp(end, "iB") && strcmp(end, "B"))
			return false;
	}
	if (n > (uint64_t)INT64_MAX >> shift)
		return false;
	*out = (uint64_t)n << shift;
	return true;
}

bool options_number(const char *text, unsigned long min, unsigned long max, unsigned long *out)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*out = strtoul(text, &end, 10);
	return !errno && !*end && *out >= min && *out <= max;
}
