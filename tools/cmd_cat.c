/* cat: files to standard output. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli.h"

struct sink {
	int error; /* errno of standard output */
};

static int to_stdout(void *arg, const void *buf, size_t len)
{
	struct sink *s = arg;
	const char *p = buf;

	while (len) {
		ssize_t n = cli_stopped() ? -1 : write(STDOUT_FILENO, p, len);

		if (n < 0) {
			s->error = cli_stopped() ? EINTR : errno;
			return -1;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int cat_one(struct cli *cli, const char *path)
{
	struct cm_vnode *v = cli_walk(cli, path, 0);
	struct rx_error err = { 0 };
	struct sink sink = { 0 };
	struct cm_attr attr;
	uint64_t version;
	int rc = 0;

	if (!v)
		return -1;
	if (cm_getattr(v, cli->token, &attr, &err)) {
		rc = cli_error(cli, path, &err);
	} else if (attr.type != CM_FILE) {
		rc = cli_errorf(cli, path, EISDIR, "this is a directory; umafs ls lists it, umafs get -r fetches it");
	} else if (attr.size &&
		   (cm_fetch_stream(v, cli->token, 0, attr.size, to_stdout, &sink, &version, &err) || sink.error)) {
		/* A reader that has seen enough, as head, is no failure worth a word. */
		if (sink.error == EPIPE || cli_stopped()) {
			rc = -1;
		} else if (sink.error) {
			rc = cli_errorf(cli, "standard output", sink.error, "%s", strerror(sink.error));
		} else {
			cli_explain(cli, v, 0, &err);
			rc = cli_error(cli, path, &err);
		}
	}
	cm_vnode_put(v);
	return rc;
}

int cmd_cat(struct cli *cli, const struct cli_args *args)
{
	int rc = 0;

	if (cli->json)
		return cli_misused(cli, "cat prints the file itself; it cannot be a JSON document");
	for (int i = 0; i < args->noperands && !cli_stopped(); i++) {
		if (cat_one(cli, args->operands[i]))
			rc = -1;
	}
	return rc;
}
