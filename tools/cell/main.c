/* umafs-cell: options, and the life of one embedded cell until a signal. Everything runs on
 * the cell's own threads; main waits. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/cell/cell.h"

enum { EXIT_USAGE = 2, TICKET_LIFE_S = 28 * 86400, GRACE_S = 3 };

static const char help[] =
	"umafs-cell: a whole AFS cell in one process, without root and without a KDC.\n"
	"\n"
	"usage: umafs-cell [options]\n"
	"\n"
	"Serves volume location, protection, volume and file servers until SIGINT or SIGTERM. Users are admin,\n"
	"alice, bob and carol; volumes root.afs, root.cell, home, quota (2,000 KiB), big, ro (replicated), far.\n"
	"\n"
	"Options:\n"
	"  --confdir DIR     write the clients' configuration and tickets here (default: a new directory in /tmp)\n"
	"  --data DIR        keep everything in DIR, through crashes too (default: in memory, gone at the end)\n"
	"  --name CELL       the cell's name (default umafs.test)\n"
	"  --listen A,B,...  a file server on each address (default 127.0.0.1,127.0.0.2)\n"
	"  --db ADDRESS      where the database servers are (default: the first address)\n"
	"  --port-shift N    add N to all ports, 7000 to 7005; umafs itself finds only the usual ones\n"
	"  --keytab FILE     use the key of afs/CELL@REALM from there instead of a new one\n"
	"  --audit FILE      a line for each call to a file server: what, result, user, host, file\n"
	"  --help, --version\n"
	"\n"
	"Example:\n"
	"  umafs-cell --confdir /tmp/cell &\n"
	"  umafs --confdir /tmp/cell --as FILE:/tmp/cell/ccache/alice ls /afs/umafs.test/home\n";

struct options {
	struct cell_config cell;
	uint32_t fs_ip[CELL_FILESERVERS_MAX];
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
		{ "name", required_argument, NULL, 'n' },
		{ "listen", required_argument, NULL, 'l' },
		{ "db", required_argument, NULL, 'b' },
		{ "port-shift", required_argument, NULL, 'p' },
		{ "audit", required_argument, NULL, 'a' },
		{ "keytab", required_argument, NULL, 'k' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
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
			fputs(help, stdout);
			o->done = true;
			return 0;
		case 'v':
			puts("umafs-cell " UMAFS_VERSION);
			o->done = true;
			return 0;
		case ':':
			return wrong("a value is missing behind", argv[optind - 1]);
		default:
			return wrong("unknown option", argv[optind - 1]);
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

static int run(struct options *o, const sigset_t *ends)
{
	char made[] = "/tmp/umafs-cell.XXXXXX";
	struct rx_error err;
	struct cell *cell;
	int got, rc = EXIT_FAILURE;

	if (!o->cell.db_ip)
		o->cell.db_ip = o->fs_ip[0];
	cell = cell_new(&o->cell, &err);
	if (!cell) {
		fprintf(stderr, "umafs-cell: %s%s\n", err.text,
			err.errnum == EADDRINUSE      ? "; another cell may be running: end it, or choose with --listen"
			: err.errnum == EADDRNOTAVAIL ? "; this machine has no such address: choose with --listen"
						      : "");
		return rc;
	}
	if (!o->confdir)
		o->confdir = mkdtemp(made);
	if (!o->confdir) {
		fprintf(stderr, "umafs-cell: cannot make a directory in /tmp: %s; name one with --confdir\n",
			strerror(errno));
	} else if (cell_write_client(cell, o->confdir, TICKET_LIFE_S, &err)) {
		fprintf(stderr, "umafs-cell: %s\n", err.text);
	} else {
		say_how(o->confdir, o->cell.name, o->cell.port_shift);
		sigwait(ends, &got);
		sigprocmask(SIG_UNBLOCK, ends, NULL); /* the second one ends it at once */
		signal(SIGALRM, on_alarm);
		alarm(GRACE_S);
		rc = EXIT_SUCCESS;
	}
	cell_free(cell);
	return rc;
}

int main(int argc, char **argv)
{
	struct options o = { .cell = { .name = "umafs.test", .nfs = 2 }, .fs_ip = { 0x7f000001, 0x7f000002 } };
	sigset_t ends;
	int rc;

	o.cell.fs_ip = o.fs_ip;
	rc = parse(argc, argv, &o);
	if (rc || o.done)
		return rc;
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_BLOCK, &ends, NULL); /* before there are threads, which inherit it */
	signal(SIGPIPE, SIG_IGN);
	return run(&o, &ends);
}
