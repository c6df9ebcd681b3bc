/* umafs, the command-line client: the table of commands, the global options, help, and
 * the life of one client from its start to the last byte stored. */
#include <errno.h>
#include <krb5.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli.h"

enum { EXIT_USAGE = 2, END_TIMEOUT_MS = 10000 };

static const struct cli_option ls_options[] = {
	{ 'l', "long", NULL, "type, mode, your rights, size, time of change, name" },
	{ 'a', "all", NULL, "also names that begin with a dot" },
	{ 'd', "directory", NULL, "the directory itself, not what is in it" },
	{ 0, NULL, NULL, NULL },
};
static const struct cli_option recursive_options[] = {
	{ 'r', "recursive", NULL, "whole directory trees" },
	{ 0, NULL, NULL, NULL },
};
static const struct cli_option stat_options[] = {
	{ 'L', "dereference", NULL, "of what a symbolic link leads to" },
	{ 0, NULL, NULL, NULL },
};
static const struct cli_option mkdir_options[] = {
	{ 'p', "parents", NULL, "make what is missing on the way; it may all be there" },
	{ 0, NULL, NULL, NULL },
};
static const struct cli_option rm_options[] = {
	{ 'r', "recursive", NULL, "directories with all that is in them" },
	{ 'f', "force", NULL, "names that do not exist are no failure" },
	{ 0, NULL, NULL, NULL },
};
static const struct cli_option ln_options[] = {
	{ 's', "symbolic", NULL, "a symbolic link; TARGET is its text as it stands" },
	{ 0, NULL, NULL, NULL },
};
static const struct cli_option truncate_options[] = {
	{ 's', "size", "N", "the new size in bytes; K, M, G, T are powers of 1024" },
	{ 0, NULL, NULL, NULL },
};
static const struct cli_option setacl_options[] = {
	{ CLI_OPT_COMMAND, "negative", NULL, "entries that take rights away" },
	{ CLI_OPT_COMMAND + 1, "clear", NULL, "drop all other entries first" },
	{ 0, NULL, NULL, NULL },
};
static const struct cli_option mkmount_options[] = {
	{ CLI_OPT_COMMAND, "rw", NULL, "lead to the read-write volume even from a read-only one" },
	{ 0, NULL, NULL, NULL },
};
static const struct cli_option mmap_options[] = {
	{ CLI_OPT_COMMAND, "offset", "N", "where in the file the bytes go (default 0); K, M, G, T allowed" },
	{ 0, NULL, NULL, NULL },
};

const struct cli_command cli_commands[] = {
	{ "ls", "[PATH...]", "list directories", "Without a path: the root of the local cell.",
	  "ls -la /afs/example.org/home", ls_options, 0, -1, cmd_ls },
	{ "stat", "PATH...", "what a file server says of a file", NULL, "stat /afs/example.org/home/notes.txt",
	  stat_options, 1, -1, cmd_stat },
	{ "cat", "PATH...", "print files", NULL, "cat /afs/example.org/home/notes.txt", NULL, 1, -1, cmd_cat },
	{ "get", "PATH... LOCAL", "fetch files",
	  "LOCAL is the new name, or a directory. A file gets a temporary name until all of it is there.",
	  "get -r /afs/example.org/home/src /tmp/src", recursive_options, 2, -1, cmd_get },
	{ "put", "LOCAL... PATH", "store files",
	  "PATH is the new name, or a directory. A file gets a temporary name (.umafs-put-...) until all of it is "
	  "there.",
	  "put -r src /afs/example.org/home/src", recursive_options, 2, -1, cmd_put },
	{ "mkdir", "PATH...", "make directories", NULL, "mkdir -p /afs/example.org/home/a/b", mkdir_options, 1, -1,
	  cmd_mkdir },
	{ "rmdir", "PATH...", "remove empty directories", NULL, "rmdir /afs/example.org/home/a/b", NULL, 1, -1,
	  cmd_rmdir },
	{ "rm", "PATH...", "remove files", "Mount points are left alone: umafs rmmount removes them.",
	  "rm -r /afs/example.org/home/a", rm_options, 1, -1, cmd_rm },
	{ "mv", "PATH... PATH", "rename or move within a volume", "The last is the new name, or a directory.",
	  "mv /afs/example.org/home/a /afs/example.org/home/b", NULL, 2, -1, cmd_mv },
	{ "ln", "TARGET PATH", "make a link", "A hard link must lie in the same directory as its target.",
	  "ln -s ../shared /afs/example.org/home/shared", ln_options, 2, 2, cmd_ln },
	{ "touch", "PATH...", "set the time of change to now, or make an empty file", NULL,
	  "touch /afs/example.org/home/seen", NULL, 1, -1, cmd_touch },
	{ "truncate", "-s N PATH...", "make files shorter or longer", "What is added reads as zeros.",
	  "truncate -s 64K /afs/example.org/home/map", truncate_options, 1, -1, cmd_truncate },
	{ "listacl", "PATH...", "who has which rights on a directory", NULL, "listacl /afs/example.org/home", NULL, 1,
	  -1, cmd_listacl },
	{ "setacl", "PATH USER RIGHTS [USER RIGHTS...]", "change who has which rights on a directory",
	  "RIGHTS: letters of rlidwka, or read (rl), write (rlidwk), all (rlidwka), none.",
	  "setacl /afs/example.org/home bob read carol rlidwk", setacl_options, 1, -1, cmd_setacl },
	{ "mkmount", "PATH VOLUME", "make a mount point", "VOLUME is a name or number, or CELL:VOLUME.",
	  "mkmount /afs/.example.org/home/far far", mkmount_options, 2, 2, cmd_mkmount },
	{ "rmmount", "PATH...", "remove mount points", "The volume itself is not touched.",
	  "rmmount /afs/.example.org/home/far", NULL, 1, -1, cmd_rmmount },
	{ "lsmount", "PATH...", "which volume a mount point leads to", NULL, "lsmount /afs/example.org/home", NULL, 1,
	  -1, cmd_lsmount },
	{ "listquota", "PATH...", "how full the volume of a path is", NULL, "listquota /afs/example.org/home", NULL, 1,
	  -1, cmd_listquota },
	{ "examine", "PATH...", "volume and servers of a path", NULL, "examine /afs/example.org/home", NULL, 1, -1,
	  cmd_examine },
	{ "tokens", "", "as whom umafs acts: cell, principal, expiry", NULL, "tokens --as /tmp/krb5cc_1000", NULL, 0, 0,
	  cmd_tokens },
	{ "mmap", "PATH", "write standard input into a file through a shared mapping",
	  "The bytes are stored by the CPU into mapped pages of the existing file; msync sends them to the server.",
	  "mmap /afs/example.org/home/map --offset 4090 < bytes", mmap_options, 1, 1, cmd_mmap },
	{ "demo", "", "show what umafs does, on a cell of its own, in a few seconds",
	  "Two users store into one mapped page, and one of them loses the right to: each step prints what the server\n"
	  "and every mapping hold, and in whose name the server was called. The cell is started in this process on\n"
	  "loopback addresses: neither root nor configuration nor tickets are needed.",
	  "demo", NULL, 0, 0, cmd_demo },
	{ NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL },
};

/* ---- help ---- */

static void print_options(const struct cli_option *o)
{
	for (; o && o->name; o++) {
		char left[64], letter[8] = "    ";

		if (o->id < 128)
			snprintf(letter, sizeof(letter), "-%c, ", o->id);
		snprintf(left, sizeof(left), "%s--%s%s%s", letter, o->name, o->arg ? " " : "", o->arg ? o->arg : "");
		printf("  %-22s %s\n", left, o->help);
	}
}

/* demo brings a cell of its own, and a client of that. */
static bool needs_client(const struct cli_command *c)
{
	return c->run != cmd_demo;
}

static void print_command_help(const struct cli_command *c)
{
	printf("umafs %s%s%s%s: %s\n", c->name, c->options ? " [options]" : "", *c->operands ? " " : "", c->operands,
	       c->summary);
	if (c->detail)
		printf("%s\n", c->detail);
	if (c->options)
		printf("\nOptions:\n");
	print_options(c->options);
	if (needs_client(c)) {
		printf("\nOptions of every command:\n");
		print_options(cli_global_options);
	}
	printf("\nExample:\n  umafs %s\n", c->example);
}

static void print_help(void)
{
	printf("umafs: AFS in user mode.\n\nusage: umafs [options] COMMAND ...\n\nCommands:\n");
	for (const struct cli_command *c = cli_commands; c->name; c++)
		printf("  %-10s %s\n", c->name, c->summary);
	printf("\nOptions of every command:\n");
	print_options(cli_global_options);
	printf("\numafs COMMAND --help tells more. Exit status: 0 done, 1 something failed, 2 wrong usage.\n"
	       "\nExample:\n  umafs put -r src /afs/example.org/home/src\n");
}

/* ---- what the rooms below report ---- */

static void on_trace(void *arg, const struct cm_trace_event *ev)
{
	struct cli *cli = arg;
	double ms = (double)(ev->end_us - ev->start_us) / 1000;

	if (!cli->trace || !strcmp(ev->what, "call"))
		return;
	fprintf(stderr, "trace: %s %s%s%s %.3f ms %s%s%s\n", ev->what, ev->name, *ev->server ? " " : "", ev->server, ms,
		ev->error ? ev->error->text : "ok", *ev->detail ? " " : "", ev->detail);
}

static void on_event(void *arg, const struct cm_event *ev)
{
	static const char *const told[] = {
		[CM_EVENT_KILLED] = "were refused by the server and are lost",
		[CM_EVENT_EXPIRED] = "wait for a new ticket: run kinit",
		[CM_EVENT_DELAYED] = "are not stored yet",
		[CM_EVENT_OVERWROTE] = "were stored over somebody else's change",
	};
	struct cm_fid fid = cm_vnode_fid(ev->vnode);

	cli_note(arg, NULL, "bytes %llu to %llu of file %u.%u.%u %s: %s", (unsigned long long)ev->from,
		 (unsigned long long)ev->to, fid.volume, fid.vnode, fid.unique, told[ev->kind], ev->error.text);
}

/* ---- start and end ---- */

static int usage(const char *why)
{
	fprintf(stderr, "umafs: %s\n", why);
	return EXIT_USAGE;
}

static int parse_globals(struct cli *cli, const struct cli_args *args, struct cm_config *config)
{
	const char *level = args->value[CLI_OPT_LEVEL], *port = args->value[CLI_OPT_PORT],
		   *jobs = args->value[CLI_OPT_JOBS];
	unsigned long n;

	cli->args = args;
	cli->json = options_has(args, CLI_OPT_JSON);
	cli->trace = options_has(args, CLI_OPT_TRACE);
	cli->level = RXKAD_CRYPT;
	cli->jobs = 4;
	if (level && !strcmp(level, "clear"))
		cli->level = RXKAD_CLEAR;
	else if (level && !strcmp(level, "auth"))
		cli->level = RXKAD_AUTH;
	else if (level && strcmp(level, "crypt"))
		return usage("--level must be clear, auth or crypt; see umafs --help");
	if (port) {
		if (!options_number(port, 0, 65535, &n))
			return usage("--port must be a number up to 65535; see umafs --help");
		config->port = (uint16_t)n;
	}
	if (jobs) {
		if (!options_number(jobs, 1, 64, &n))
			return usage("--jobs must be a number from 1 to 64; see umafs --help");
		cli->jobs = (unsigned)n;
	}
	config->confdir = args->value[CLI_OPT_CONFDIR];
	config->cell = args->value[CLI_OPT_CELL];
	config->level = cli->level;
	config->trace = on_trace;
	config->event = on_event;
	config->arg = cli;
	return 0;
}

/* Nobody said as whom: no ticket at all means nobody; a bad or expired one is an error,
 * because what a person meant to do as himself must not be done as nobody. */
static bool means_no_ticket(const struct rx_error *err)
{
	return err->errnum == ENOENT ||
	       (err->origin == RX_ORIGIN_KRB5 && (err->errnum == ENOKEY || err->code == (int32_t)KRB5_CONFIG_CANTOPEN));
}

static int open_token(struct cli *cli, const char *spec)
{
	struct rx_error err = { 0 };

	if (!cm_token_open(cli->cm, spec, NULL, &cli->token, &err))
		return 0;
	if (spec || !means_no_ticket(&err))
		return cli_error(cli, spec ? spec : "your tickets (--as anonymous goes without)", &err);
	snprintf(cli->anonymous_why, sizeof(cli->anonymous_why), "%s", err.text);
	if (!cm_token_open(cli->cm, "anonymous", NULL, &cli->token, &err))
		return 0;
	return cli_error(cli, "anonymous", &err);
}

static void print_json(struct cli *cli)
{
	json_t *doc = json_pack("{s:s, s:b, s:O, s:O}", "command", cli->args->command->name, "ok", !cli->failed,
				"result", cli->result, "errors", cli->errors);

	json_dumpf(doc, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(doc);
}

/* The command, with a client as whom the options say. */
static void run_as_client(struct cli *cli, const struct cm_config *config)
{
	const struct cli_args *args = cli->args;
	struct rx_error err = { 0 };
	uint64_t lost = 0;

	cli->cm = cm_new(config, &err);
	if (!cli->cm) {
		cli_error(cli, args->value[CLI_OPT_CELL], &err);
		return;
	}
	if (cli->trace)
		fprintf(stderr, "trace: callback port %u\n", cm_port(cli->cm));
	if (!open_token(cli, args->value[CLI_OPT_AS]) && args->command->run(cli, args))
		cli->failed = true;
	if (cli->vfs)
		vfs_free(cli->vfs);
	if (cli->token)
		cm_token_put(cli->token);
	lost = cm_free(cli->cm, END_TIMEOUT_MS);
	if (lost)
		cli_errorf(cli, NULL, EIO, "%llu bytes could not be stored", (unsigned long long)lost);
}

static int run(struct cli *cli, const struct cm_config *config)
{
	const struct cli_args *args = cli->args;

	if (needs_client(args->command))
		run_as_client(cli, config);
	else if (args->command->run(cli, args))
		cli->failed = true;
	if (cli->json)
		print_json(cli);
	if (fflush(stdout) || ferror(stdout))
		cli_errorf(cli, "standard output", errno, "%s", strerror(errno));
	if (cli_stopped())
		return 128 + cli_stopped();
	return cli->misused ? EXIT_USAGE : cli->failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct cm_config config = { 0 };
	struct cli cli = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct cli_args args;
	char why[256];
	int rc;

	json_set_alloc_funcs(cli_alloc, free); /* a document with gaps would be a lie */
	rc = options_parse(cli_commands, argc, argv, &args, why);
	if (rc) {
		usage(why);
		return rc > 0 ? EXIT_FAILURE : EXIT_USAGE;
	}
	if (options_has(&args, CLI_OPT_VERSION)) {
		printf("umafs %s\n", UMAFS_VERSION);
	} else if (options_has(&args, CLI_OPT_HELP)) {
		args.command ? print_command_help(args.command) : print_help();
	} else {
		rc = parse_globals(&cli, &args, &config);
		if (!rc) {
			cli.result = json_array();
			cli.errors = json_array();
			cli_signals_start();
			rc = run(&cli, &config);
			json_decref(cli.result);
			json_decref(cli.errors);
		}
	}
	options_free(&args);
	return rc;
}
