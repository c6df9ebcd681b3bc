/* See cell_stage.h. Each play has a directory of its own, which goes with it. Called by
 * harness/storm_process.c; the stage's functions by the threads of a play. */
#include "tools/storm/cell_stage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 512, FREE_MS = 10000, RULES_MAX = 32 };

const char cell_stage_lacks[] = "refused stores, rules for calls, restarts, tickets that end, pages that several "
				"clients store into";

struct cell_stage {
	struct storm_stage base;
	struct storm_machine machine;
	const struct cell_stage_config *config;
	uint16_t ports[STORM_CLIENTS + 1]; /* that clients had when they began first; 0: any */
	char spec[PATH_SIZE], root[PATH_SIZE], name[64];
	/* The administrator's, beside the play's clients. */
	struct cm *cm;
	struct cm_token *admin;
	struct cm_vnode *under;
};

static struct cell_stage *stage_of(struct storm_stage *s)
{
	return (struct cell_stage *)s; /* base is its first member */
}

/* ---- a play's directory ---- */

struct names {
	struct names *next;
	bool is_dir;
	char name[256];
};

static int collect(void *arg, const char *name, struct cm_fid fid, bool is_dir)
{
	struct names **list = arg, *n = calloc(1, sizeof(*n));

	(void)fid;
	if (!n)
		return -1;
	n->next = *list;
	n->is_dir = is_dir;
	snprintf(n->name, sizeof(n->name), "%s", name);
	*list = n;
	return 0;
}

/* Everything below dir/name, and itself. */
static int remove_tree(struct cell_stage *s, struct cm_vnode *dir, const char *name, struct rx_error *err)
{
	struct cm_vnode *v = NULL;
	struct names *list = NULL;
	int rc = cm_lookup(dir, s->admin, name, &v, err);

	if (rc == 0)
		rc = cm_readdir(v, s->admin, collect, &list, err);
	while (list) {
		struct names *n = list;

		if (rc == 0)
			rc = n->is_dir ? remove_tree(s, v, n->name, err) : cm_unlink(v, s->admin, n->name, err);
		list = n->next;
		free(n);
	}
	cm_vnode_put(v);
	return rc == 0 ? cm_rmdir(dir, s->admin, name, err) : rc;
}

static int make_root(struct cell_stage *s, uint64_t seed, struct rx_error *err)
{
	struct cm_config config = { .env = s->base.env, .confdir = s->config->confdir };
	struct cm_vnode *dir = NULL;
	char under[PATH_SIZE / 2];
	int rc;

	s->cm = cm_new(&config, err);
	if (!s->cm ||
	    cm_token_open(s->cm, s->base.ops->token(&s->base, STORM_ADMIN, STORM_USERS), NULL, &s->admin, err) != 0)
		return -1;
	snprintf(under, sizeof(under), "/afs/%.200s/big", cm_local_cell(s->cm));
	if (s->config->under)
		snprintf(under, sizeof(under), "%s", s->config->under);
	snprintf(s->name, sizeof(s->name), "storm-%llu-%d", (unsigned long long)seed, (int)getpid());
	snprintf(s->root, sizeof(s->root), "%s/%s", under, s->name);
	rc = cm_walk(s->cm, s->admin, under, 0, &s->under, err);
	if (rc == 0)
		rc = cm_mkdir(s->under, s->admin, s->name, NULL, &dir, err);
	cm_vnode_put(dir);
	if (rc != 0)
		*s->name = 0;
	return rc;
}

static int begin(struct storm_stage *base, const struct storm_plan *plan, struct storm_play *play, struct rx_error *err)
{
	struct cell_stage *s = stage_of(base);

	(void)play;
	memset(s->ports, 0, sizeof(s->ports));
	return make_root(s, plan->seed, err);
}

static void end(struct storm_stage *base)
{
	struct cell_stage *s = stage_of(base);
	struct rx_error err = { 0 };

	if (*s->name && remove_tree(s, s->under, s->name, &err) != 0)
		fprintf(stderr, "storm: %s is left behind: %s\n", s->root, err.text);
	*s->name = 0;
	cm_vnode_put(s->under);
	if (s->admin)
		cm_token_put(s->admin);
	if (s->cm)
		cm_free(s->cm, FREE_MS);
	s->under = NULL;
	s->admin = NULL;
	s->cm = NULL;
}

/* ---- clients ---- */

static int client(struct storm_stage *base, unsigned id, struct cm_config *cm, struct vfs_config *vfs,
		  struct rx_error *err)
{
	struct cell_stage *s = stage_of(base);

	cm->confdir = s->config->confdir;
	if (storm_machine_client(&s->machine, id, 0, s->ports[id], cm, vfs, err) != 0)
		return -1;
	s->ports[id] = cm->net->port;
	return 0;
}

static const char *token(struct storm_stage *base, unsigned id, unsigned user)
{
	struct cell_stage *s = stage_of(base);

	(void)id;
	snprintf(s->spec, sizeof(s->spec), "FILE:%s/%s", s->config->ccaches,
		 user == STORM_USERS ? "admin" : storm_user_name(user));
	return s->spec;
}

/* ---- faults ---- */

static int rule(struct storm_stage *base, const char *line, struct rx_error *err)
{
	char name[FAULT_NAME_MAX];
	struct fault_set *rules = stage_of(base)->machine.rules;

	if (fault_set_add(rules, line, 1, name, err) != 0)
		return -1;
	if (fault_set_has(rules, FAULT_RPC) == 0)
		return 0;
	fault_set_remove(rules, name, NULL);
	return rx_error_set(err, RX_ORIGIN_ERRNO, ENOTSUP, ENOTSUP, "a real cell obeys no rule for calls");
}

static void unrule(struct storm_stage *base, const char *name)
{
	fault_set_remove(stage_of(base)->machine.rules, name, NULL);
}

static void cut(struct storm_stage *base, unsigned id, bool on)
{
	storm_machine_cut(&stage_of(base)->machine, id, on);
}

/* Tickets are those of the ccaches, which do not end. */
static int ticket(struct storm_stage *base, unsigned id, unsigned user, int64_t life_s, struct rx_error *err)
{
	(void)base, (void)id, (void)user, (void)life_s, (void)err;
	return 0;
}

static void calm(struct storm_stage *base)
{
	struct cell_stage *s = stage_of(base);
	char name[16];

	storm_machine_calm(&s->machine);
	for (unsigned i = 1; i < RULES_MAX; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		fault_set_remove(s->machine.rules, name, NULL);
	}
}

static const struct storm_stage_ops ops = {
	.begin = begin,
	.end = end,
	.client = client,
	.token = token,
	.load = storm_machine_load,
	.store = storm_machine_store,
	.rule = rule,
	.unrule = unrule,
	.cut = cut,
	.ticket = ticket,
	.calm = calm,
};

/* ---- the stage ---- */

struct cell_stage *cell_stage_new(const struct cell_stage_config *config, FILE *trace, struct rx_error *err)
{
	struct cell_stage *s = calloc(1, sizeof(*s));

	if (!s) {
		rx_error_errno(err, ENOMEM, "a stage");
		return NULL;
	}
	if (storm_machine_begin(&s->machine, err) != 0) {
		free(s);
		return NULL;
	}
	s->base = (struct storm_stage){ .ops = &ops,
					.env = rx_env_posix(),
					.faults = STORM_CELL_FAULTS,
					.root = s->root,
					.hurried = true,
					.trace = trace };
	s->config = config;
	return s;
}

void cell_stage_free(struct cell_stage *s)
{
	storm_machine_end(&s->machine);
	free(s);
}

void cell_stage_plan(struct storm_plan *plan)
{
	size_t n = 0;

	storm_machine_hurry(plan);
	for (size_t i = 0; i < plan->n; i++)
		if (plan->events[i].kind != STORM_REFUSE)
			plan->events[n++] = plan->events[i];
	plan->n = n;
}

void cell_stage_play(struct cell_stage *s, const struct storm_plan *plan, struct storm_verdict *verdict,
		     struct storm_counts *counts, struct storm_struck *struck)
{
	storm_machine_play(&s->machine, &s->base, plan, verdict, counts, struck);
}
