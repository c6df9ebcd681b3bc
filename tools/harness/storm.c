/* umafs-fault storm: its options. Plays plans of random operations and faults (tools/storm)
 * on real sockets, threads and mappings. On the main thread. */
#include "tools/harness/storm.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/harness/storm_run.h"

enum { EXIT_USAGE = 2, EVENTS = 40, BESIDE = 32, BESIDE_ON_CELL = 8 };

static const char help[] =
	"usage: umafs-fault storm [OPTIONS]\n"
	"\n"
	"Two clients of umafs with two users each do random things to the same files of an embedded cell while\n"
	"random faults strike, on real sockets, threads and mappings; what they see and what the server holds is\n"
	"compared with a model of what AFS promises. Each play is a process of its own, with a seed of its own.\n"
	"\n"
	"  --seed S      the first plan's seed (default: a random one); then S+1, S+2, ...\n"
	"  --minutes M   how long (default 1); or\n"
	"  --plays N     how many plans\n"
	"  --beside N    so many plays beside each other (default 32; 8 with --cell; 1 with --trace)\n"
	"  --events N    operations of a plan (default 40)\n"
	"  --cell CONFDIR   on a real cell, configured here, with ccaches CONFDIR/ccache/alice, bob and admin, who\n"
	"                may administer; what cannot strike there is named\n"
	"  --ccaches DIR the ccaches are there\n"
	"  --under PATH  plays make their directories there (default /afs/CELL/big)\n"
	"  --replay FILE play this plan instead, once or --plays N times\n"
	"  --trace       print every event, and every call of the clients\n"
	"\n"
	"After a failure no play begins; the plan that failed is shrunk, alone, printed, and written to\n"
	"umafs-storm-SEED.plan. A play that crashes or hangs has failed too.\n"
	"Exit status: 0 when every promise was kept, 1 when one was not, 2 for wrong usage, 130 or 143 stopped\n"
	"by a signal.\n";

/* ---- options ---- */

static int wrong(const char *what)
{
	fprintf(stderr, "umafs-fault storm: %s; see umafs-fault storm --help\n", what);
	return -1;
}

static int number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return *text < '0' || *text > '9' || *end || errno || *out < min || *out > max ? wrong("not a number that fits")
										       : 0;
}

/* 1: nothing is to be played. */
static int parse(int argc, char **argv, struct storm_options *o)
{
	static const struct option longs[] = {
		{ "seed", required_argument, NULL, 's' },   { "minutes", required_argument, NULL, 'm' },
		{ "plays", required_argument, NULL, 'p' },  { "events", required_argument, NULL, 'e' },
		{ "cell", required_argument, NULL, 'c' },   { "ccaches", required_argument, NULL, 'u' },
		{ "under", required_argument, NULL, 'd' },  { "beside", required_argument, NULL, 'b' },
		{ "replay", required_argument, NULL, 'r' }, { "trace", no_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
	};
	uint64_t n;
	int c, rc = 0;

	opterr = 0;
	while (rc == 0 && (c = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			rc = number(optarg, 0, UINT64_MAX - UINT32_MAX, &o->seed);
			break;
		case 'm':
			rc = number(optarg, 1, 100000, &o->minutes);
			break;
		case 'p':
			rc = number(optarg, 1, UINT32_MAX, &o->plays);
			break;
		case 'e':
			rc = number(optarg, 1, 10000, &n);
			o->events = (unsigned)n;
			break;
		case 'b':
			rc = number(optarg, 1, STORM_BESIDE_MAX, &n);
			o->beside = (unsigned)n;
			break;
		case 'r':
			o->replay = optarg;
			break;
		case 'c':
			o->cell.confdir = optarg;
			break;
		case 'u':
			o->cell.ccaches = optarg;
			break;
		case 'd':
			o->cell.under = optarg;
			break;
		case 't':
			o->trace = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 1;
		default:
			rc = wrong(c == ':' ? "a value is missing" : "unknown option");
		}
	}
	if (rc == 0 && !o->cell.confdir && (o->cell.ccaches || o->cell.under))
		rc = wrong("--ccaches and --under belong to --cell");
	if (o->replay && !o->plays)
		o->plays = 1;
	if (!o->beside)
		o->beside = o->trace ? 1 : o->cell.confdir ? BESIDE_ON_CELL : BESIDE;
	return rc == 0 && optind < argc ? wrong("it takes options only") : rc;
}

int harness_storm_main(int argc, char **argv)
{
	struct storm_options options = { .minutes = 1, .events = EVENTS };
	const char *tmp = getenv("TMPDIR");
	char dir[STORM_DIR / 2], ccaches[STORM_DIR];
	int rc;

	rx_env_posix()->ops->random(rx_env_posix(), &options.seed, sizeof(uint32_t));
	rc = parse(argc, argv, &options);
	if (rc != 0)
		return rc > 0 ? EXIT_SUCCESS : EXIT_USAGE;
	snprintf(dir, sizeof(dir), "%s/umafs-storm.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(dir)) {
		fprintf(stderr, "umafs-fault storm: %s: %s; TMPDIR names another place\n", dir, strerror(errno));
		return EXIT_FAILURE;
	}
	options.dir = dir;
	if (options.cell.confdir && !options.cell.ccaches) {
		snprintf(ccaches, sizeof(ccaches), "%s/ccache", options.cell.confdir);
		options.cell.ccaches = ccaches;
	}
	rc = storm_run(&options);
	rmdir(dir);
	return rc;
}
