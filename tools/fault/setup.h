/* The options that every program with fault rules has (--script, --rule, --seed, --control,
 * --trace), and what they ask for: the trace, the set with its first rules, the control
 * socket. Used by main functions, on their thread. */
#ifndef UMAFS_FAULT_SETUP_H
#define UMAFS_FAULT_SETUP_H

#include <getopt.h>

#include "tools/fault/control.h"
#include "tools/fault/trace.h"

enum { FAULT_OPT_SCRIPT = 512, FAULT_OPT_RULE, FAULT_OPT_SEED, FAULT_OPT_CONTROL, FAULT_OPT_TRACE };

/* For a program's table of struct option. */
/* clang-format off */
#define FAULT_LONG_OPTIONS \
	{ "script", required_argument, NULL, FAULT_OPT_SCRIPT }, { "rule", required_argument, NULL, FAULT_OPT_RULE }, \
	{ "seed", required_argument, NULL, FAULT_OPT_SEED }, { "control", required_argument, NULL, FAULT_OPT_CONTROL }, \
	{ "trace", required_argument, NULL, FAULT_OPT_TRACE }
/* clang-format on */
extern const char fault_setup_help[];

struct fault_setup {
	struct rx_env *env;
	uint64_t seed;
	const char *control_path, *trace_path; /* NULL: none */
	struct {
		bool script;
		const char *text; /* argv's */
	} * sources;
	unsigned nsources;
	/* From fault_setup_begin on. */
	FILE *trace_file;
	struct fault_trace *trace;
	struct fault_set *set;
	struct fault_control *control;
};

/* With a random seed. */
void fault_setup_init(struct fault_setup *setup, struct rx_env *env);
/* One option as getopt_long gives it: 0 taken, 1 not one of these, -1 with err. */
int fault_setup_option(struct fault_setup *setup, int c, const char *value, struct rx_error *err);
/* Makes the trace and the set and reads all rules, in the order of the options. */
int fault_setup_begin(struct fault_setup *setup, struct rx_error *err);
/* The control socket, if one was asked for; see fault_control_new. */
int fault_setup_listen(struct fault_setup *setup, struct event_base *base, fault_control_extra *extra, void *arg,
		       struct rx_error *err);
void fault_setup_unlisten(struct fault_setup *setup);
/* Frees all, however far it came. -1 with err (NULL: nobody cares): the trace has holes. */
int fault_setup_end(struct fault_setup *setup, struct rx_error *err);

/* `PROGRAM ctl SOCKET COMMAND...`: the exit status. */
int fault_setup_ctl(const char *program, char *const argv[]);

#endif
