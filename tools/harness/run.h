/* The subcommands on scenario files. Each takes main's arguments from its own name on and
 * returns the exit status. */
#ifndef UMAFS_HARNESS_RUN_H
#define UMAFS_HARNESS_RUN_H

struct harness_script;

int harness_run_main(int argc, char **argv);
int harness_list_main(int argc, char **argv);
int harness_check_main(int argc, char **argv);

/* The files (NULL at the end), chained. NULL: what is wrong has been said on stderr. */
struct harness_script *harness_read_files(char **paths);

#endif
