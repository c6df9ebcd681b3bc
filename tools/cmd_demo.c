/* demo: the scenario on an embedded cell of this process, which serves on loopback addresses
 * that nobody else is likely to use; its configuration, tickets and audit log are in a
 * temporary directory. Ends with one line, the verdict. */
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/cell/cell.h"
#include "tools/cli.h"
#include "tools/scenario.h"

enum { TICKET_LIFE_S = 3600, TRIES = 16 };

/* Other cells on this machine have other addresses, unless by accident: then the next. */
static struct cell *start_cell(const char *audit, struct rx_error *err)
{
	struct cell *cell = NULL;

	for (uint32_t i = 0; i < TRIES && !cell; i++) {
		uint32_t net = 0x7f010000 + ((((uint32_t)getpid() + i) & 0x7fff) << 8);
		uint32_t ips[] = { net + 1, net + 2 };
		struct cell_config config = {
			.name = "umafs.test", .db_ip = ips[0], .fs_ip = ips, .nfs = 2, .audit = audit
		};

		cell = cell_new(&config, err);
		if (!cell && err->errnum != EADDRINUSE)
			break;
	}
	return cell;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	return remove(path);
}

static int play(struct cli *cli, const char *dir)
{
	char audit[PATH_MAX], ccaches[PATH_MAX], krb5[PATH_MAX], self[PATH_MAX] = "";
	struct scenario given = { self, dir, ccaches, audit, "/afs/umafs.test/home/demo" };
	struct scenario_score score = { 0 };
	struct rx_error err;
	struct cell *cell;
	int rc = -1;

	snprintf(audit, sizeof(audit), "%s/audit", dir);
	snprintf(ccaches, sizeof(ccaches), "%s/ccache", dir);
	snprintf(krb5, sizeof(krb5), "%s/krb5.conf", dir);
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return cli_errorf(cli, "/proc/self/exe", errno, "%s", strerror(errno));
	cell = start_cell(audit, &err);
	if (!cell)
		return cli_error(cli, "the embedded cell", &err);
	setenv("KRB5_CONFIG", krb5, 1);
	if (cell_write_client(cell, dir, TICKET_LIFE_S, &err))
		cli_error(cli, "the embedded cell", &err);
	else
		rc = scenario_play(&given, &score);
	cell_free(cell);
	if (cli_stopped())
		printf("\ndemo: stopped by a signal\n");
	else if (rc)
		printf("\ndemo: FAILED: it could not be played\n");
	else if (score.failures)
		printf("\ndemo: FAILED: %u of %u assertions did not hold\n", score.failures, score.checks);
	else
		printf("\ndemo: every assertion held (%u): each change reached the server in its author's name, or not "
		       "at "
		       "all\n",
		       score.checks);
	return rc || score.failures ? -1 : 0;
}

int cmd_demo(struct cli *cli, const struct cli_args *args)
{
	const char *tmp = getenv("TMPDIR");
	char dir[PATH_MAX - 64];
	enum vfs_mode mode = VFS_MODE_AUTO;
	struct rx_error err;
	int rc;

	if (options_has(args, CLI_OPT_JSON))
		return cli_misused(cli, "demo tells a story; it has no --json");
	if (vfs_probe(false, &mode, &err)) {
		cli_error(cli, "demo", &err);
		cli_note(cli, NULL,
			 "everything but mappings works without it (umafs ls, get, put, ...); in a container, try: "
			 "docker "
			 "run --security-opt seccomp=unconfined");
		return -1;
	}
	snprintf(dir, sizeof(dir), "%s/umafs-demo.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		return cli_errorf(cli, dir, errno, "%s; TMPDIR names another place", strerror(errno));
	rc = play(cli, dir);
	if (nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS))
		rc = cli_errorf(cli, dir, errno, "this temporary directory could not be removed: %s", strerror(errno));
	return rc;
}
