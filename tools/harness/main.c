/* umafs-fault: one program, a few subcommands; each lies in a file of its own. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/harness/client.h"
#include "tools/harness/run.h"
#include "tools/harness/step.h"
#include "tools/harness/storm.h"

static int help_main(int argc, char **argv)
{
	char steps[4096];

	(void)argc;
	(void)argv;
	harness_step_help(steps, sizeof steps);
	printf("umafs-fault: tests of AFS clients under faults.\n"
	       "\n"
	       "  umafs-fault run [OPTIONS] FILE...   play scenarios; umafs-fault run --help tells the options\n"
	       "  umafs-fault check FILE...           read scenarios, say what is wrong\n"
	       "  umafs-fault list FILE...            what they cover\n"
	       "  umafs-fault storm [OPTIONS]         random operations under random faults; storm --help tells more\n"
	       "\n"
	       "A user's steps in a scenario (doc/fault-scenarios.md), beside run, wait and signal:\n"
	       "%s",
	       steps);
	return EXIT_SUCCESS;
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "run", harness_run_main },     { "check", harness_check_main }, { "list", harness_list_main },
	{ "client", client_main }, /* a part of run */
	{ "storm", harness_storm_main }, { "help", help_main },           { "--help", help_main },
};

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++) {
		if (!strcmp(commands[i].name, argv[1]))
			return commands[i].run(argc - 1, argv + 1);
	}
	fprintf(stderr, "umafs-fault: run, check, list, storm or help?\n");
	return 2;
}
