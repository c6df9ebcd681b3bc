/* Command line parsing, apart from anything that a command does: a command is a row of
 * a table, its options are rows of another, and `options_parse` fills in what was
 * said. Options may stand before or after operands; "--" ends them; letters may be
 * joined ("-la"); a value follows as "--name=v", "--name v", "-nv" or "-n v". An
 * operand may be a negative number, as AFS group ids are. Pure: no output, no exit. */
#ifndef UMAFS_TOOLS_OPTIONS_H
#define UMAFS_TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* id: the letter, or a number from 128 on for options without one. */
struct cli_option {
	unsigned char id;
	const char *name; /* NULL ends a table */
	const char *arg;  /* what help calls its value; NULL: a flag */
	const char *help;
};

enum {
	CLI_OPT_CELL = 128,
	CLI_OPT_CONFDIR,
	CLI_OPT_AS,
	CLI_OPT_LEVEL,
	CLI_OPT_PORT,
	CLI_OPT_JSON,
	CLI_OPT_TRACE,
	CLI_OPT_JOBS,
	CLI_OPT_VERSION,
	CLI_OPT_HELP,
	CLI_OPT_COMMAND, /* the first number free for a command's own */
};

extern const struct cli_option cli_global_options[];

struct cli;
struct cli_args;

struct cli_command {
	const char *name;
	const char *operands; /* as help shows them */
	const char *summary;
	const char *detail;               /* more sentences for help; may be NULL */
	const char *example;              /* the arguments of one that works, without "umafs" */
	const struct cli_option *options; /* NULL: none */
	int min, max;                     /* operands; max -1: any number */
	/* 0, or -1 when anything failed; it has been said by then. */
	int (*run)(struct cli *cli, const struct cli_args *args);
};

/* What was said. value[id]: NULL if the option was not given, "" for a flag. */
struct cli_args {
	const struct cli_command *command; /* NULL: none was named */
	const char *value[256];
	const char **operands; /* malloc'ed array of borrowed strings */
	int noperands;
};

/* 0; or -1, wrong usage, or 1, no memory, and one sentence in why. Asked for help or version, it checks no counts. */
int options_parse(const struct cli_command *commands, int argc, char **argv, struct cli_args *out, char why[256]);
void options_free(struct cli_args *args);

static inline bool options_has(const struct cli_args *args, unsigned char id)
{
	return args->value[id] != NULL;
}

/* A count of bytes: "4096", "64K", "1M", "5G", "2T" (powers of 1024, "KiB" and the
 * like too). False: not one, or beyond 2^63. */
bool options_size(const char *text, uint64_t *out);
/* A decimal number in [min, max]. */
bool options_number(const char *text, unsigned long min, unsigned long max, unsigned long *out);

#endif
