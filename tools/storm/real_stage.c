/* See real_stage.h. The clients' side is machine.c; the cell obeys rpc rules. Called by
 * harness/storm_process.c; the stage's functions by the threads of a play. */
#include "tools/storm/real_stage.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/storm/inside.h"

enum { CLIENT_LIFE_S = 1000000, CLIENT_HOST = 101, CLIENT_PORT = 7001, TRIES = 16 };

struct real_stage {
	struct storm_inside inside;
	struct storm_machine machine;
	const char *dir;
	uint32_t network; /* 127.x.y.0: the cell's address is .1, the clients' from .101 */
	struct cell_hooks hooks;
};

static struct real_stage *stage_of(struct storm_stage *s)
{
	return (struct real_stage *)s; /* inside is its first member, and base is inside's */
}

/* ---- the cell ---- */

/* Other cells on this machine have other addresses, unless by accident: then the next. */
static int start_cell(struct real_stage *s, struct rx_error *err)
{
	for (unsigned i = 0; i < TRIES; i++) {
		uint32_t ip = s->network + 1;
		struct cell_config config = { .env = s->inside.base.env,
					      .name = "umafs.test",
					      .db_ip = ip,
					      .fs_ip = &ip,
					      .nfs = 1,
					      .hooks = &s->hooks,
					      .faults = s->inside.rules };

		s->inside.cell = cell_new(&config, err);
		if (s->inside.cell || err->errnum != EADDRINUSE)
			break;
		s->network = 0x7f010000 + ((s->network + 0x100) & 0x7fff00);
	}
	s->inside.client_ip = s->network + CLIENT_HOST;
	return s->inside.cell ? 0 : -1;
}

static int begin(struct storm_stage *base, const struct storm_plan *plan, struct storm_play *play, struct rx_error *err)
{
	struct real_stage *s = stage_of(base);

	s->inside.play = play;
	s->inside.rules = s->machine.rules;
	if (start_cell(s, err) != 0 || cell_write_client(s->inside.cell, s->dir, CLIENT_LIFE_S, err) != 0)
		return -1;
	return storm_inside_tickets(&s->inside, plan, err);
}

static void end(struct storm_stage *base)
{
	struct storm_inside *s = storm_inside_of(base);

	cell_free(s->cell);
	s->cell = NULL;
}

/* ---- clients ---- */

static int client(struct storm_stage *base, unsigned id, struct cm_config *cm, struct vfs_config *vfs,
		  struct rx_error *err)
{
	struct real_stage *s = stage_of(base);

	cm->confdir = s->dir;
	return storm_machine_client(&s->machine, id, s->network + CLIENT_HOST + id, CLIENT_PORT, cm, vfs, err);
}

/* ---- faults ---- */

static void cut(struct storm_stage *base, unsigned id, bool on)
{
	storm_machine_cut(&stage_of(base)->machine, id, on);
}

static void calm(struct storm_stage *base)
{
	struct real_stage *s = stage_of(base);

	storm_machine_calm(&s->machine);
	storm_inside_calm(&s->inside);
}

static const struct storm_stage_ops ops = {
	.begin = begin,
	.end = end,
	.client = client,
	.token = storm_inside_token,
	.load = storm_machine_load,
	.store = storm_machine_store,
	.peek = storm_inside_peek,
	.missed = storm_inside_missed,
	.rule = storm_inside_rule,
	.unrule = storm_inside_unrule,
	.cut = cut,
	.restart = storm_inside_restart,
	.ticket = storm_inside_ticket,
	.calm = calm,
};

/* ---- the stage ---- */

struct real_stage *real_stage_new(const char *dir, FILE *trace, struct rx_error *err)
{
	struct real_stage *s = calloc(1, sizeof(*s));
	char krb5[512];

	if (!s) {
		rx_error_errno(err, ENOMEM, "a stage");
		return NULL;
	}
	if (storm_machine_begin(&s->machine, err) != 0) {
		free(s);
		return NULL;
	}
	s->inside.base = (struct storm_stage){ .ops = &ops,
					       .env = rx_env_posix(),
					       .faults = STORM_REAL_FAULTS,
					       .root = "/afs/umafs.test/big",
					       .hurried = true,
					       .trace = trace };
	s->dir = dir;
	s->network = 0x7f010000 + (((uint32_t)getpid() & 0x7fff) << 8);
	s->hooks = (struct cell_hooks){ storm_inside_before, storm_inside_after, &s->inside };
	snprintf(krb5, sizeof(krb5), "%s/krb5.conf", dir);
	setenv("KRB5_CONFIG", krb5, 1);
	return s;
}

void real_stage_free(struct real_stage *s)
{
	storm_machine_end(&s->machine);
	free(s);
}

void real_stage_play(struct real_stage *s, const struct storm_plan *plan, struct storm_verdict *verdict,
		     struct storm_counts *counts, struct storm_struck *struck)
{
	storm_inside_begin(&s->inside);
	storm_machine_play(&s->machine, &s->inside.base, plan, verdict, counts, struck);
	storm_inside_end(&s->inside);
}
