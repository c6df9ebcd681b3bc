/* umafs-cell: options, the life of one embedded cell until a signal, and the client of its
 * control socket (umafs-cell ctl). The cell runs on threads of its own; main serves the
 * control socket and waits. */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/cell/cell.h"
#include "tools/fault/setup.h"

enum { EXIT_USAGE = 2, TICKET_LIFE_S = 28 * 86400, GRACE_S = 3 };

static const char help[] =
	"umafs-cell: a whole AFS cell in one process, without root and without a KDC.\n"
	"\n"
	"usage: umafs-cell [options]\n"
	"       umafs-cell ctl SOCKET COMMAND...\n"
	"\n"
	"Serves volume location, protection, volume and file servers until SIGINT or SIGTERM. Users are admin,\n"
	"alice, bob and carol; volumes root.afs, root.cell, home, quota (2,000 KiB), big, ro (replicated), far.\n"
	"\n"
	"Options:\n"
	"  --confdir DIR     write the clients' configuration and tickets here (default: a new directory in /tmp)\n"
	"  --data DIR        keep everything in DIR, through crashes too (default: in memory, gone at the end)\n"
	"  --sync            ... and through power failures: what is acknowledged is on the disk\n"
	"  --name CELL       the cell's name (default umafs.test)\n"
	"  --listen A,B,...  a file server on each address (default 127.0.0.1,127.0.0.2)\n"
	"  --db ADDRESS      where the database servers are (default: the first address)\n"
	"  --port-shift N    add N to all ports, 7000 to 7005; umafs itself finds only the usual ones\n"
	"  --keytab FILE     use the key of afs/CELL@REALM from there instead of a new one\n"
	"  --audit FILE      a line for each call to a file server: what, result, user, host, file\n"
	"  --help, --version\n"
	"\n"
	"Faults (doc/fault-scripts.md), and things done behind the clients' backs:\n"
	"%s"
	"\n"
	"Example:\n"
	"  umafs-cell --confdir /tmp/cell &\n"
	"  umafs --confdir /tmp/cell --as FILE:/tmp/cell/ccache/alice ls /afs/umafs.test/home\n";

struct options {
	struct cell_config cell;
	uint32_t fs_ip[CELL_FILESERVERS_MAX];
	struct fault_setup faults;
	const char *confdir;
	bool done; /* help or version was asked for */
};

static int wrong(const char *what, const char *value)
{
	fprintf(stderr, "umafs-cell: %s%s%s; see umafs-cell --help\n", what, value ? " " : "", value ? value : "");
	return EXIT_USAGE;
}

static int parse_address(const char *text, uint32_t *ip)
{
	struct in_addr in;

	if (inet_pton(AF_INET, text, &in) != 1 || in.s_addr == 0)
		return wrong("not an IPv4 address:", text);
	*ip = ntohl(in.s_addr);
	return 0;
}

static int parse_listen(char *list, struct options *o)
{
	char *rest = list;
	int rc = 0;

	o->cell.nfs = 0;
	while (rc == 0 && rest) {
		char *one = strsep(&rest, ",");

		if (o->cell.nfs == CELL_FILESERVERS_MAX)
			return wrong("more than 16 addresses", NULL);
		rc = parse_address(one, &o->fs_ip[o->cell.nfs++]);
	}
	return rc;
}

static int parse_shift(const char *text, uint16_t *shift)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end || n < 0 || n > 65535 - AFS_PORT_VOL)
		return wrong("--port-shift takes a number from 0 to 58530, not", text);
	*shift = (uint16_t)n;
	return 0;
}

static int check_name(const char *name)
{
	if (!*name || strlen(name) > 200 || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != strlen(name))
		return wrong("a cell's name is of small letters, digits, dots and hyphens, not", name);
	return 0;
}

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "confdir", required_argument, NULL, 'c' },
		{ "data", required_argument, NULL, 'd' },
		{ "sync", no_argument, NULL, 's' },
		{ "name", required_argument, NULL, 'n' },
		{ "listen", required_argument, NULL, 'l' },
		{ "db", required_argument, NULL, 'b' },
		{ "port-shift", required_argument, NULL, 'p' },
		{ "audit", required_argument, NULL, 'a' },
		{ "keytab", required_argument, NULL, 'k' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		FAULT_LONG_OPTIONS,
		{ NULL, 0, NULL, 0 },
	};
	struct rx_error err;
	int c, rc = 0;

	opterr = 0;
	while (rc == 0 && (c = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->confdir = optarg;
			break;
		case 'd':
			o->cell.data = optarg;
			break;
		case 's':
			o->cell.sync = true;
			break;
		case 'n':
			o->cell.name = optarg;
			rc = check_name(optarg);
			break;
		case 'l':
			rc = parse_listen(optarg, o);
			break;
		case 'b':
			rc = parse_address(optarg, &o->cell.db_ip);
			break;
		case 'p':
			rc = parse_shift(optarg, &o->cell.port_shift);
			break;
		case 'a':
			o->cell.audit = optarg;
			break;
		case 'k':
			o->cell.keytab = optarg;
			break;
		case 'h':
			printf(help, fault_setup_help);
			o->done = true;
			return 0;
		case 'v':
			puts("umafs-cell " UMAFS_VERSION);
			o->done = true;
			return 0;
		case ':':
			return wrong("a value is missing behind", argv[optind - 1]);
		default:
			rc = fault_setup_option(&o->faults, c, optarg, &err);
			if (rc)
				return rc > 0 ? wrong("unknown option", argv[optind - 1]) : wrong(err.text, NULL);
		}
	}
	if (rc == 0 && optind < argc)
		return wrong("unexpected", argv[optind]);
	return rc;
}

static void say_how(const char *dir, const char *cell, uint16_t shift)
{
	printf("cell %s is up; stop it with SIGINT or SIGTERM\n", cell);
	if (shift)
		printf("ports are shifted by %u: umafs does not find them\n", shift);
	printf("  umafs --confdir %s --as FILE:%s/ccache/alice ls /afs/%s/home\n", dir, dir, cell);
	printf("or: export UMAFS_CONF=%s KRB5_CONFIG=%s/krb5.conf KRB5CCNAME=FILE:%s/ccache/alice\n", dir, dir, dir);
	fflush(stdout);
}

/* Calls that wait for a silent client are not waited for: what was acknowledged is safe. */
static void on_alarm(int sig)
{
	(void)sig;
	_exit(EXIT_SUCCESS);
}

static bool control(void *arg, const char *command, FILE *out, int *rc, struct rx_error *err)
{
	if (!strcmp(command, "help")) {
		fprintf(out, "%s\n%s\n", fault_control_help, cell_control_help);
		*rc = 0;
		return true;
	}
	return cell_control(arg, command, out, rc, err);
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	event_base_loopbreak(arg);
}

/* Until a signal; the second one ends the program at once. */
static int serve(struct options *o, struct cell *cell, const sigset_t *ends, struct rx_error *err)
{
	struct event_base *base = event_base_new();
	struct event *ev[2] = { NULL, NULL };
	int rc = -1;

	if (base) {
		ev[0] = evsignal_new(base, SIGINT, on_signal, base);
		ev[1] = evsignal_new(base, SIGTERM, on_signal, base);
	}
	if (!ev[0] || !ev[1] || event_add(ev[0], NULL) || event_add(ev[1], NULL))
		rx_error_errno(err, ENOMEM, "waiting for signals");
	else
		rc = fault_setup_listen(&o->faults, base, control, cell, err);
	if (rc == 0) {
		say_how(o->confdir, o->cell.name, o->cell.port_shift);
		sigprocmask(SIG_UNBLOCK, ends, NULL);
		event_base_dispatch(base);
		fault_setup_unlisten(&o->faults);
	}
	for (unsigned i = 0; i < 2; i++)
		if (ev[i])
			event_free(ev[i]);
	if (base)
		event_base_free(base);
	return rc;
}

static int complain(const struct rx_error *err)
{
	fprintf(stderr, "umafs-cell: %s%s\n", err->text,
		err->errnum == EADDRINUSE      ? "; another cell may be running: end it, or choose with --listen"
		: err->errnum == EADDRNOTAVAIL ? "; this machine has no such address: choose with --listen"
					       : "");
	return EXIT_FAILURE;
}

static int run(struct options *o, const sigset_t *ends)
{
	char made[] = "/tmp/umafs-cell.XXXXXX";
	struct rx_error err = { 0 };
	struct cell *cell = NULL;
	int rc = -1;

	if (!o->cell.db_ip)
		o->cell.db_ip = o->fs_ip[0];
	if (fault_setup_begin(&o->faults, &err) == 0) {
		o->cell.faults = o->faults.set;
		cell = cell_new(&o->cell, &err);
	}
	if (cell && !o->confdir)
		o->confdir = mkdtemp(made);
	if (cell && !o->confdir)
		rx_error_errno(&err, errno, "cannot make a directory in /tmp (name one with --confdir)");
	else if (cell && cell_write_client(cell, o->confdir, TICKET_LIFE_S, &err) == 0)
		rc = serve(o, cell, ends, &err);
	if (rc == 0) {
		signal(SIGALRM, on_alarm);
		alarm(GRACE_S);
	}
	cell_free(cell);
	if (fault_setup_end(&o->faults, rc ? NULL : &err))
		rc = -1;
	return rc ? complain(&err) : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct options o = { .cell = { .name = "umafs.test", .nfs = 2 }, .fs_ip = { 0x7f000001, 0x7f000002 } };
	sigset_t ends;
	int rc;

	signal(SIGPIPE, SIG_IGN);
	if (argc > 3 && !strcmp(argv[1], "ctl"))
		return fault_setup_ctl("umafs-cell", argv + 2);
	if (argc > 1 && !strcmp(argv[1], "ctl"))
		return wrong("ctl takes a socket and a command", NULL);
	fault_setup_init(&o.faults, rx_env_posix());
	o.cell.fs_ip = o.fs_ip;
	rc = parse(argc, argv, &o);
	if (rc || o.done) {
		fault_setup_end(&o.faults, NULL);
		return rc;
	}
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_BLOCK, &ends, NULL); /* before there are threads, which inherit it */
	return run(&o, &ends);
}
