/* listacl, setacl. */
#include <errno.h>
#include <stdlib.h>

#include "tools/acl_edit.h"
#include "tools/cli.h"

struct lister {
	struct cli *cli;
	json_t *lists[2]; /* positive, negative; NULL: print */
	bool headed[2];
};

static void show(void *arg, bool negative, const char *name, uint32_t rights)
{
	struct lister *l = arg;
	char letters[FORMAT_SIZE];

	format_rights(rights, letters);
	if (l->cli->json) {
		json_object_set_new(l->lists[negative], name, json_string(letters));
		return;
	}
	if (!l->headed[negative])
		puts(negative ? "Negative rights:" : "Normal rights:");
	l->headed[negative] = true;
	printf("  %s %s\n", name, letters);
}

static int list_one(struct cli *cli, const char *path)
{
	struct cm_vnode *v = cli_walk(cli, path, 0);
	struct lister l = { .cli = cli };
	struct rx_error err = { 0 };
	char *text = NULL;
	int rc = -1;

	if (!v)
		return -1;
	if (cm_acl_fetch(v, cli->token, &text, &err)) {
		cli_explain(cli, v, 0, &err);
		cli_error(cli, path, &err);
		goto out;
	}
	if (cli->json) {
		l.lists[0] = json_object();
		l.lists[1] = json_object();
	} else {
		printf("Access list for %s is\n", path);
	}
	rc = acl_each(text, show, &l, &err);
	if (rc)
		cli_error(cli, path, &err);
	if (cli->json)
		cli_result(cli, json_pack("{s:o, s:o, s:o}", "path", cli_json_string(path), "normal", l.lists[0],
					  "negative", l.lists[1]));
out:
	free(text);
	cm_vnode_put(v);
	return rc;
}

int cmd_listacl(struct cli *cli, const struct cli_args *args)
{
	int rc = 0;

	for (int i = 0; i < args->noperands && !cli_stopped(); i++) {
		if (list_one(cli, args->operands[i]))
			rc = -1;
	}
	return rc;
}

int cmd_setacl(struct cli *cli, const struct cli_args *args)
{
	bool negative = options_has(args, CLI_OPT_COMMAND), clear = options_has(args, CLI_OPT_COMMAND + 1);
	const char *path = args->operands[0];
	struct cm_vnode *v;
	struct rx_error err = { 0 };
	char edited[ACL_EDIT_TEXT], *text = NULL;
	int rc = -1;

	if (args->noperands % 2 == 0 || (args->noperands == 1 && !clear))
		return cli_misused(
			cli,
			"setacl wants PATH and then pairs of USER and RIGHTS, like: bob read; see umafs setacl --help");
	v = cli_walk(cli, path, 0);
	if (!v)
		return -1;
	if (cm_acl_fetch(v, cli->token, &text, &err)) {
		cli_explain(cli, v, 0, &err);
		cli_error(cli, path, &err);
	} else if (acl_edit(text, args->operands + 1, args->noperands / 2, negative, clear, edited, &err)) {
		cli_error(cli, path, &err);
	} else if (cm_acl_store(v, cli->token, edited, &err)) {
		if (err.errnum == EINVAL)
			rx_error_set(&err, err.origin, err.code, EINVAL,
				     "the server does not accept this access list; are all the users and groups known "
				     "to the cell?");
		cli_explain(cli, v, 0, &err);
		cli_error(cli, path, &err);
	} else {
		cli_done(cli, "setacl", path);
		rc = 0;
	}
	free(text);
	cm_vnode_put(v);
	return rc;
}
