/* Commands to a running cell: their words and arguments, and those on servers, volumes and
 * users. Called by umafs-cell's control socket and by tests, on any thread, without
 * cell->lock; what is done is in acts.c, control_files.c, cell.c. */
#include "tools/cell/control.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "tools/cell/lie.h"
#include "tools/fault/lexer.h"
#include "tools/fault/trace.h"

enum { USEC = 1000000, LINE_MAX_BYTES = 4096 };

int cell_refuse(struct cell_command *c, int32_t code, const char *what)
{
	rx_error_abort(c->err, RX_ORIGIN_AFS, code);
	rx_error_prefix(c->err, "%s", what);
	return -1;
}

int cell_number(struct cell_command *c, const char *text, uint64_t *out)
{
	char *end;

	*out = strtoull(text, &end, 0);
	if (end != text && !*end && *text != '-')
		return 0;
	return rx_error_set(c->err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "a number was expected, not %.40s", text);
}

int cell_user(struct cell_command *c, const char *name, int32_t *id)
{
	struct cell_principal *p;

	rx_mutex_lock(&c->cell->lock);
	p = cell_principal_by_name(c->cell, name);
	*id = p ? p->id : 0;
	rx_mutex_unlock(&c->cell->lock);
	return p ? 0 : rx_error_set(c->err, RX_ORIGIN_ERRNO, ENOENT, ENOENT, "there is no user %.40s", name);
}

static int duration(struct cell_command *c, const char *text, uint64_t *us)
{
	struct fault_lexer lx;

	fault_lexer_init(&lx, text, 1, c->err);
	return fault_lexer_duration(&lx, us);
}

/* A duration with or without a sign. */
static int seconds(struct cell_command *c, const char *text, int64_t *out)
{
	uint64_t us;

	if (duration(c, text + (*text == '-' || *text == '+'), &us))
		return -1;
	*out = (int64_t)(us / USEC) * (*text == '-' ? -1 : 1);
	return 0;
}

static int server(struct cell_command *c, const char *address, struct cell_fs **out)
{
	struct in_addr in;

	for (unsigned i = 0; inet_pton(AF_INET, address, &in) == 1 && i < c->cell->nfs; i++) {
		*out = &c->cell->fs[i];
		if ((*out)->ip == ntohl(in.s_addr))
			return 0;
	}
	return rx_error_set(c->err, RX_ORIGIN_ERRNO, ENOENT, ENOENT, "no file server of this cell is at %.40s",
			    address);
}

static int volume(struct cell_command *c, const char *name, uint32_t *id)
{
	struct cell_volume *v;

	rx_mutex_lock(&c->cell->lock);
	v = cell_volume_by_name(c->cell, name);
	*id = v ? v->id : 0;
	rx_mutex_unlock(&c->cell->lock);
	return v ? 0 : rx_error_set(c->err, RX_ORIGIN_ERRNO, ENOENT, ENOENT, "there is no volume %.40s", name);
}

/* ---- servers ---- */

static void restart(struct cell_command *c, struct cell_fs *fs, uint64_t down_us)
{
	struct rx_addr addr = rx_addr_ipv4(fs ? fs->ip : c->cell->db_ip,
					   (uint16_t)((fs ? AFS_PORT_FS : AFS_PORT_VL) + c->cell->port_shift));
	char name[64], text[48];

	if (fs)
		cell_act_restart_fs(fs);
	else
		cell_act_restart_db(c->cell);
	if (down_us)
		cell_act_down(c->cell, fs, down_us);
	snprintf(text, sizeof(text), "down %lluus", (unsigned long long)down_us);
	if (c->cell->faults)
		fault_trace_note(fault_set_trace(c->cell->faults), "restart", rx_addr_text(&addr, name), text);
}

/* restart [db|ADDRESS] [down T] */
static int do_restart(struct cell_command *c)
{
	bool named = c->n && strcmp(c->arg[0], "down");
	const char *const *more = c->arg + named;
	struct cell_fs *fs = NULL;
	uint64_t down_us = 0;

	if (c->n > named && (c->n - named != 2 || strcmp(more[0], "down")))
		return rx_error_set(c->err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "restart [db|ADDRESS] [down T]");
	if (c->n > named && duration(c, more[1], &down_us))
		return -1;
	if (named && strcmp(c->arg[0], "db") && server(c, c->arg[0], &fs))
		return -1;
	restart(c, fs, down_us);
	for (unsigned i = 0; !named && i < c->cell->nfs; i++)
		restart(c, &c->cell->fs[i], down_us);
	return 0;
}

static int do_clock(struct cell_command *c)
{
	int64_t ahead = __atomic_load_n(&c->cell->clock_ahead_s, __ATOMIC_RELAXED), step = 0;

	if (c->n && seconds(c, c->arg[0], &step))
		return -1;
	if (step)
		cell_act_clock(c->cell, ahead + step);
	fprintf(c->out, "%lld %+lld\n", (long long)cell_now(c->cell), (long long)(ahead + step));
	return 0;
}

static int all_promises(struct cell_command *c)
{
	char client[64], text[64];

	rx_mutex_lock(&c->cell->lock);
	for (unsigned i = 0; i < c->cell->nfs; i++) {
		struct cell_fs *fs = &c->cell->fs[i];
		struct rx_addr addr = rx_addr_ipv4(fs->ip, (uint16_t)(AFS_PORT_FS + c->cell->port_shift));

		for (struct cell_host *h = fs->hosts; h; h = h->next)
			if (!h->gone)
				fprintf(c->out, "%s at %s %u%s%s\n", rx_addr_text(&h->addr, client),
					rx_addr_text(&addr, text), cell_promises_count(c->cell, h),
					h->state == CELL_HOST_DOWN ? " down" : "",
					h->ndelayed || h->reset_due ? " missed something" : "");
	}
	rx_mutex_unlock(&c->cell->lock);
	return 0;
}

static int do_promises(struct cell_command *c)
{
	struct cell_request rq = cell_own_request(c->cell);
	struct cell_vnode *v;
	struct afs_fid fid;
	char client[64];
	int32_t code;

	if (!c->n)
		return all_promises(c);
	if (cell_path(c, c->arg[0], &fid))
		return -1;
	rx_mutex_lock(&c->cell->lock);
	code = cell_get(&rq, &fid, CELL_READ, &v);
	for (struct cell_promise *p = code == 0 ? v->promises : NULL; p; p = p->next)
		fprintf(c->out, "%s\n", rx_addr_text(&p->host->addr, client));
	rx_mutex_unlock(&c->cell->lock);
	return code ? cell_refuse(c, code, c->arg[0]) : 0;
}

static int do_check_hosts(struct cell_command *c)
{
	cell_check_hosts(c->cell);
	return 0;
}

/* ---- users ---- */

static int do_ticket(struct cell_command *c)
{
	int64_t life;
	int32_t id;

	if (cell_user(c, c->arg[0], &id) || seconds(c, c->arg[1], &life))
		return -1;
	return cell_write_ticket(c->cell, c->arg[0], c->arg[2], life, c->err);
}

static int do_expire(struct cell_command *c)
{
	int32_t id;

	if (cell_user(c, c->arg[0], &id))
		return -1;
	cell_act_expire_all(c->cell, id);
	return 0;
}

/* ---- volumes ---- */

static int refuse_calls(struct cell_command *c, int32_t code, uint64_t n)
{
	uint32_t id;

	if (volume(c, c->arg[0], &id))
		return -1;
	cell_act_refuse(c->cell, NULL, id, code, n < UINT_MAX ? (unsigned)n : UINT_MAX);
	return 0;
}

static int do_busy(struct cell_command *c)
{
	uint64_t n;

	return cell_number(c, c->arg[1], &n) ? -1 : refuse_calls(c, CELL_VBUSY, n);
}

static int do_offline(struct cell_command *c)
{
	return refuse_calls(c, CELL_VOFFLINE, UINT_MAX);
}

static int do_online(struct cell_command *c)
{
	return refuse_calls(c, 0, 0);
}

static int do_move(struct cell_command *c)
{
	struct cell_fs *to;
	uint32_t id;

	if (volume(c, c->arg[0], &id) || server(c, c->arg[1], &to))
		return -1;
	if (cell_act_move(c->cell, NULL, id, to))
		return 0;
	return rx_error_set(c->err, RX_ORIGIN_ERRNO, EEXIST, EEXIST, "%.40s is at %.40s already", c->arg[0], c->arg[1]);
}

static int do_release(struct cell_command *c)
{
	return cell_release(c->cell, c->arg[0], c->err);
}

static int do_quota(struct cell_command *c)
{
	struct cell_volume *v;
	uint64_t kib;

	if (cell_number(c, c->arg[1], &kib))
		return -1;
	rx_mutex_lock(&c->cell->lock);
	v = cell_volume_by_name(c->cell, c->arg[0]);
	if (v) {
		v->quota = (int64_t)kib;
		cell_note_volume(v);
		cell_commit(c->cell);
	}
	rx_mutex_unlock(&c->cell->lock);
	return v ? 0 : rx_error_set(c->err, RX_ORIGIN_ERRNO, ENOENT, ENOENT, "there is no volume %.40s", c->arg[0]);
}

/* ---- lies ---- */

static const struct rx_rpc *find_rpc(const char *name)
{
	static const struct rx_rpc_table *const tables[] = { &afs_fs_table, &afs_vl_table, &afs_pt_table,
							     &afs_vol_table };

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (unsigned k = 0; k < tables[i]->n; k++)
			if (!strcmp(tables[i]->entries[k].rpc->name, name))
				return tables[i]->entries[k].rpc;
	return NULL;
}

static int do_lies(struct cell_command *c)
{
	const struct rx_rpc *proc = find_rpc(c->arg[0]);
	char text[CELL_LIE_TEXT];

	if (!proc)
		return rx_error_set(c->err, RX_ORIGIN_ERRNO, ENOENT, ENOENT, "there is no procedure %.40s", c->arg[0]);
	for (unsigned i = 0; i < cell_lies(proc); i++)
		fprintf(c->out, "%u %s\n", i, cell_lie_text(proc, i, text));
	return 0;
}

/* ---- words ---- */

const char cell_control_help[] =
	"restart [db|ADDRESS] [down T] | clock [+T|-T] | setacl PATH USER [-]RIGHTS | acl PATH | revoke USER RIGHTS "
	"PATH | "
	"stat PATH | ls PATH | read PATH [OFFSET [LENGTH]] | cksum PATH | get PATH FILE | put FILE PATH | "
	"write PATH OFFSET TEXT | truncate PATH LENGTH | change PATH | mkdir PATH | rm PATH | break PATH|VOLUME|all | "
	"promises [PATH] | callback CLIENT|all ADDRESS [TIMES] WHAT | check-hosts | ticket USER LIFE FILE | expire "
	"USER | busy "
	"VOLUME N | offline VOLUME | online VOLUME | "
	"move VOLUME ADDRESS | vos-release VOLUME | quota VOLUME KIB | lies PROCEDURE";

/* The last argument reaches to the end of the line. */
static const struct {
	const char *word;
	unsigned least, most;
	cell_command_fn *fn;
} commands[] = {
	{ "acl", 1, 1, cell_do_acl },
	{ "break", 1, 1, cell_do_break },
	{ "busy", 2, 2, do_busy },
	{ "callback", 3, 3, cell_do_callback },
	{ "check-hosts", 0, 0, do_check_hosts },
	{ "change", 1, 1, cell_do_change },
	{ "cksum", 1, 1, cell_do_cksum },
	{ "clock", 0, 1, do_clock },
	{ "expire", 1, 1, do_expire },
	{ "get", 2, 2, cell_do_get },
	{ "lies", 1, 1, do_lies },
	{ "ls", 1, 1, cell_do_ls },
	{ "mkdir", 1, 1, cell_do_mkdir },
	{ "move", 2, 2, do_move },
	{ "offline", 1, 1, do_offline },
	{ "online", 1, 1, do_online },
	{ "promises", 0, 1, do_promises },
	{ "put", 2, 2, cell_do_put },
	{ "quota", 2, 2, do_quota },
	{ "read", 1, 3, cell_do_read },
	{ "restart", 0, 3, do_restart },
	{ "revoke", 3, 3, cell_do_revoke },
	{ "rm", 1, 1, cell_do_rm },
	{ "setacl", 3, 3, cell_do_setacl },
	{ "stat", 1, 1, cell_do_stat },
	{ "ticket", 3, 3, do_ticket },
	{ "truncate", 2, 2, cell_do_truncate },
	{ "vos-release", 1, 1, do_release },
	{ "write", 3, 3, cell_do_write },
};

/* Cuts the line into words at blanks; the last of `most` keeps its own. */
static void split(struct cell_command *c, char *line, unsigned most)
{
	while (c->n < most && *(line += strspn(line, " "))) {
		c->arg[c->n++] = line;
		if (c->n == most)
			return;
		line += strcspn(line, " ");
		if (*line)
			*line++ = 0;
	}
	c->n += *(line + strspn(line, " ")) != 0;
}

bool cell_control(struct cell *cell, const char *command, FILE *out, int *rc, struct rx_error *err)
{
	struct cell_command c = { .cell = cell, .out = out, .err = err };
	char line[LINE_MAX_BYTES];
	size_t word = strcspn(command, " "), i = 0;

	while (i < sizeof(commands) / sizeof(commands[0]) &&
	       (strlen(commands[i].word) != word || strncmp(commands[i].word, command, word)))
		i++;
	if (i == sizeof(commands) / sizeof(commands[0]))
		return false;
	snprintf(line, sizeof(line), "%s", command + word);
	split(&c, line, commands[i].most);
	if (c.n < commands[i].least || c.n > commands[i].most)
		*rc = rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "%s takes other arguments; see help",
				   commands[i].word);
	else
		*rc = commands[i].fn(&c);
	return true;
}
