/* Clients whole against servers that lie, in the deterministic world: for every procedure
 * that a client calls, and every lie that its reply can tell (tools/cell/lie.h), a fresh
 * client does something that calls it. That ends, in an error that says so or well, within
 * bounded time; and once the server is honest again and has taken its promises back, the
 * same client sees what is there. UMAFS_LIES_OF=PROCEDURE: only its. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cm/cm.h"
#include "tests/sim/conf.h"
#include "tests/sim/world_net.h"
#include "tests/unit.h"
#include "tools/cell/cell.h"
#include "tools/cell/lie.h"

#define BIG "/afs/" SIM_CELL "/big"

enum { LONGEST_S = 300, VLDB_BELIEVED_S = 7300 };

struct play {
	struct world *world;
	struct rx_env *env;
	struct world_net *net;
	struct fault_set *rules;
	struct cell *cell;
	char ticket[128];
	/* The client at work. */
	struct cm *cm;
	struct cm_token *token;
	const struct act *act;
	unsigned lie, violations;
};

/* Something that makes a client call the procedure. */
struct act {
	const struct rx_rpc *proc;
	const char *target;  /* whose fid the rule asks for, under BIG; NULL: any */
	const char *refused; /* what is not to be used instead; NULL: nothing */
	bool alice;          /* not anonymous */
	int (*run)(struct play *p, struct rx_error *err);
};

static bool violate(struct play *p, const char *what, const struct rx_error *err)
{
	char text[CELL_LIE_TEXT];

	if (p->violations++ < 20)
		printf("\n  %s lie %u (%s): %s%s%s", p->act ? p->act->proc->name : "", p->lie,
		       p->act ? cell_lie_text(p->act->proc, p->lie, text) : "", what, err ? ": " : "",
		       err ? err->text : "");
	return false;
}

static bool ctl(struct play *p, const char *command)
{
	struct rx_error err = { 0 };
	FILE *out = fopen("/dev/null", "we");
	int rc = -1;

	if (!out || !cell_control(p->cell, command, out, &rc, &err) || rc)
		violate(p, command, &err);
	fclose(out);
	return rc == 0;
}

/* ---- clients ---- */

static bool client_begin(struct play *p, const char *who)
{
	struct cm_config config = { .env = p->env,
				    .net = world_net_port(p->net, SIM_CLIENT_IP, 0),
				    .confdir = sim_confdir(),
				    .dead_time_s = 5,
				    .retry_limit_s = 5 };
	struct rx_error err = { 0 };

	p->cm = cm_new(&config, &err);
	if (p->cm && cm_token_open(p->cm, who, NULL, &p->token, &err) == 0)
		return true;
	if (p->cm)
		cm_free(p->cm, 0);
	return violate(p, "a client", &err);
}

static void client_end(struct play *p)
{
	cm_token_put(p->token);
	if (cm_free(p->cm, 1000))
		violate(p, "something was left to store", NULL);
}

static int walk(struct play *p, const char *path, unsigned flags, struct cm_vnode **v, struct rx_error *err)
{
	char whole[256];

	snprintf(whole, sizeof(whole), "%s/%s", BIG, path);
	return cm_walk(p->cm, p->token, whole, flags, v, err);
}

static bool fid_of(struct play *p, const char *path, struct cm_fid *fid)
{
	struct cm_vnode *v = NULL;
	struct rx_error err = { 0 };

	if (walk(p, path, CM_WALK_NOFOLLOW | CM_WALK_NOMOUNT, &v, &err))
		return violate(p, path, &err);
	*fid = cm_vnode_fid(v);
	cm_vnode_put(v);
	return true;
}

/* ---- what they do ---- */

static int no_entry(void *arg, const char *name, struct cm_fid fid, bool is_dir)
{
	struct play *p = arg;

	(void)fid;
	(void)is_dir;
	if (!*name || strchr(name, '/') || strlen(name) > 255)
		violate(p, "a name that is none", NULL);
	return 0;
}

static int act_status(struct play *p, struct rx_error *err)
{
	struct cm_vnode *v = NULL;
	struct cm_attr attr;
	int rc = walk(p, "file", 0, &v, err);

	rc = rc ? rc : cm_getattr(v, p->token, &attr, err);
	cm_vnode_put(v);
	return rc;
}

static int act_read(struct play *p, struct rx_error *err)
{
	struct cm_vnode *v = NULL;
	uint64_t version;
	char buf[100];
	size_t got;
	int rc = walk(p, "file", 0, &v, err);

	rc = rc ? rc : cm_fetch(v, p->token, 0, buf, sizeof(buf), &got, &version, err);
	cm_vnode_put(v);
	return rc;
}

static int act_list(struct play *p, struct rx_error *err)
{
	struct cm_vnode *v = NULL;
	int rc = walk(p, "dir", 0, &v, err);

	rc = rc ? rc : cm_readdir(v, p->token, no_entry, p, err);
	cm_vnode_put(v);
	return rc;
}

static int act_link(struct play *p, struct rx_error *err)
{
	struct cm_vnode *v = NULL;
	int rc = walk(p, "link", 0, &v, err);

	cm_vnode_put(v);
	return rc;
}

static int act_mount(struct play *p, struct rx_error *err)
{
	struct cm_vnode *v = NULL;
	int rc = walk(p, "mount/private", 0, &v, err);

	cm_vnode_put(v);
	return rc;
}

static int act_bulk(struct play *p, struct rx_error *err)
{
	struct cm_vnode *dir = NULL;
	struct cm_attr attr;
	struct cm_fid fids[3] = { { 0 } };
	int rc = walk(p, "", 0, &dir, err);

	rc = rc ? rc : cm_getattr(dir, p->token, &attr, err);
	for (unsigned i = 0; i < 3 && rc == 0; i++)
		fids[i] = (struct cm_fid){ attr.fid.volume, 2 * (i + 1), i + 2 };
	rc = rc ? rc : cm_prefetch_status(dir, p->token, fids, 3, err);
	cm_vnode_put(dir);
	return rc;
}

static int store_zeros(void *arg, void *buf, size_t len)
{
	(void)arg;
	memset(buf, 0, len);
	return 0;
}

static int act_store(struct play *p, struct rx_error *err)
{
	struct cm_vnode *v = NULL;
	int rc = walk(p, "stored", 0, &v, err);

	rc = rc ? rc : cm_store_stream(v, p->token, 0, 10000, 10000, 0, false, store_zeros, NULL, err);
	rc = rc ? rc : cm_truncate(v, p->token, 3, err);
	cm_vnode_put(v);
	return rc;
}

static int act_setattr(struct play *p, struct rx_error *err)
{
	struct cm_setattr attr = { .set_mtime = true, .mtime = 1000 };
	struct cm_vnode *v = NULL;
	int rc = walk(p, "stored", 0, &v, err);

	rc = rc ? rc : cm_setattr(v, p->token, &attr, err);
	cm_vnode_put(v);
	return rc;
}

static int act_create(struct play *p, struct rx_error *err)
{
	struct cm_setattr attr = { .set_mode = true, .mode = 0644 };
	struct cm_vnode *dir = NULL, *v = NULL;
	char name[32];
	int rc = walk(p, "dir", 0, &dir, err);

	snprintf(name, sizeof(name), "f%u", p->lie);
	rc = rc ? rc : cm_create(dir, p->token, name, &attr, &v, err);
	cm_vnode_put(v);
	cm_vnode_put(dir);
	return rc;
}

static int act_mkdir(struct play *p, struct rx_error *err)
{
	struct cm_setattr attr = { .set_mode = true, .mode = 0755 };
	struct cm_vnode *dir = NULL, *v = NULL;
	char name[32];
	int rc = walk(p, "dir", 0, &dir, err);

	snprintf(name, sizeof(name), "d%u", p->lie);
	rc = rc ? rc : cm_mkdir(dir, p->token, name, &attr, &v, err);
	cm_vnode_put(v);
	cm_vnode_put(dir);
	return rc;
}

static int act_symlink(struct play *p, struct rx_error *err)
{
	struct cm_vnode *dir = NULL;
	char name[32];
	int rc = walk(p, "dir", 0, &dir, err);

	snprintf(name, sizeof(name), "l%u", p->lie);
	rc = rc ? rc : cm_symlink(dir, p->token, name, "f", false, err);
	cm_vnode_put(dir);
	return rc;
}

/* In one directory, as AFS wants it. */
static int act_hardlink(struct play *p, struct rx_error *err)
{
	struct cm_vnode *dir = NULL, *v = NULL;
	char name[32];
	int rc = walk(p, "", 0, &dir, err);

	snprintf(name, sizeof(name), "h%u", p->lie);
	rc = rc ? rc : walk(p, "stored", 0, &v, err);
	rc = rc ? rc : cm_link(dir, p->token, name, v, err);
	cm_vnode_put(v);
	cm_vnode_put(dir);
	return rc;
}

static int act_unlink(struct play *p, struct rx_error *err)
{
	struct cm_vnode *dir = NULL;
	int rc = walk(p, "dir", 0, &dir, err);

	rc = rc ? rc : cm_unlink(dir, p->token, "doomed", err);
	cm_vnode_put(dir);
	return rc;
}

static int act_rmdir(struct play *p, struct rx_error *err)
{
	struct cm_vnode *dir = NULL;
	int rc = walk(p, "dir", 0, &dir, err);

	rc = rc ? rc : cm_rmdir(dir, p->token, "doomed.d", err);
	cm_vnode_put(dir);
	return rc;
}

static int act_rename(struct play *p, struct rx_error *err)
{
	struct cm_vnode *from = NULL, *to = NULL;
	int rc = walk(p, "dir", 0, &from, err);

	rc = rc ? rc : walk(p, "", 0, &to, err);
	rc = rc ? rc : cm_rename(from, "doomed", to, "renamed", p->token, err);
	cm_vnode_put(from);
	cm_vnode_put(to);
	return rc;
}

static int act_acl_fetch(struct play *p, struct rx_error *err)
{
	struct cm_vnode *v = NULL;
	struct cm_acl acl;
	char *text = NULL;
	int rc = walk(p, "dir", 0, &v, err);

	rc = rc ? rc : cm_acl_fetch(v, p->token, &text, err);
	rc = rc ? rc : cm_acl_parse(text, strlen(text) + 1, &acl, err);
	free(text);
	cm_vnode_put(v);
	return rc;
}

static int act_acl_store(struct play *p, struct rx_error *err)
{
	struct cm_vnode *v = NULL;
	int rc = walk(p, "dir", 0, &v, err);

	rc = rc ? rc : cm_acl_store(v, p->token, "1\n0\nsystem:anyuser\t127\n", err);
	cm_vnode_put(v);
	return rc;
}

static int act_volume(struct play *p, struct rx_error *err)
{
	struct cm_volume_status status;
	struct cm_vnode *v = NULL;
	int rc = walk(p, "", 0, &v, err);

	rc = rc ? rc : cm_volume_status(v, p->token, &status, err);
	cm_vnode_put(v);
	return rc;
}

static int act_sites(struct play *p, struct rx_error *err)
{
	struct cm_volume_info info;
	struct cm_vnode *v = NULL;
	int rc = walk(p, "file", 0, &v, err);

	rc = rc ? rc : cm_volume_info(v, &info, err);
	rc = rc ? rc : cm_volume_info_by_name(p->cm, SIM_CELL, "ro", &info, err);
	if (rc == 0 && (info.nsites > 13 || !memchr(info.name, 0, sizeof(info.name)) || strchr(info.name, '/')))
		violate(p, "an entry that is none", NULL);
	cm_vnode_put(v);
	return rc;
}

static int act_who(struct play *p, struct rx_error *err)
{
	struct cm_token_info info;

	cm_token_info(p->token, &info);
	return act_store(p, err);
}

static const struct act acts[] = {
	{ &afs_rpc_FetchStatus, "file", NULL, false, act_status },
	{ &afs_rpc_FetchStatus, "", NULL, false, act_status },
	{ &afs_rpc_FetchData64, "file", NULL, false, act_read },
	{ &afs_rpc_FetchData64, "dir", NULL, false, act_list },
	{ &afs_rpc_FetchData64, "link", NULL, false, act_link },
	{ &afs_rpc_FetchData64, "mount", NULL, false, act_mount },
	{ &afs_rpc_FetchData, "file", "FetchData64", false, act_read },
	{ &afs_rpc_FetchData, "dir", "FetchData64", false, act_list },
	{ &afs_rpc_InlineBulkStatus, NULL, NULL, false, act_bulk },
	{ &afs_rpc_StoreData64, NULL, NULL, false, act_store },
	{ &afs_rpc_StoreData, NULL, "*Data64", false, act_store },
	{ &afs_rpc_StoreStatus, NULL, NULL, false, act_setattr },
	{ &afs_rpc_CreateFile, NULL, NULL, false, act_create },
	{ &afs_rpc_MakeDir, NULL, NULL, false, act_mkdir },
	{ &afs_rpc_Symlink, NULL, NULL, false, act_symlink },
	{ &afs_rpc_Link, NULL, NULL, false, act_hardlink },
	{ &afs_rpc_RemoveFile, NULL, NULL, false, act_unlink },
	{ &afs_rpc_RemoveDir, NULL, NULL, false, act_rmdir },
	{ &afs_rpc_Rename, NULL, NULL, false, act_rename },
	{ &afs_rpc_FetchACL, NULL, NULL, false, act_acl_fetch },
	{ &afs_rpc_OldStoreACL, NULL, NULL, false, act_acl_store },
	{ &afs_rpc_GetVolumeStatus, NULL, NULL, false, act_volume },
	{ &afs_rpc_GiveUpAllCallBacks, NULL, NULL, false, act_status }, /* called when the client ends */
	{ &afs_rpc_vl_GetEntryByNameU, NULL, NULL, false, act_sites },
	{ &afs_rpc_vl_GetEntryByNameN, NULL, "vl_GetEntryByNameU", false, act_sites },
	{ &afs_rpc_vl_GetAddrsU, NULL, NULL, false, act_sites },
	{ &afs_rpc_pt_NameToID, NULL, NULL, true, act_who },
};

/* ---- one lie ---- */

static void rule(struct play *p, const char *text)
{
	struct rx_error err = { 0 };

	if (fault_set_add(p->rules, text, 1, NULL, &err))
		violate(p, text, &err);
}

/* How often the lie was told. */
static unsigned told(struct play *p)
{
	char text[1024] = "", *at;
	unsigned matched, fired = 0;
	FILE *out = fmemopen(text, sizeof(text), "w");

	fault_set_list(p->rules, out);
	fclose(out);
	at = strstr(text, "lie matched");
	return at && sscanf(at, "lie matched %u fired %u", &matched, &fired) == 2 ? fired : 0;
}

/* Who has been lied to is not misled for longer than the promises say. */
static void see_truth(struct play *p)
{
	struct cm_vnode *v = NULL;
	struct cm_attr attr;
	struct rx_error err = { 0 };
	uint64_t version;
	char buf[100];
	size_t got = 0;

	if (!strncmp(p->act->proc->name, "vl_", 3))
		world_sleep_us(p->world, VLDB_BELIEVED_S * 1000000ull);
	ctl(p, "break all");
	if (walk(p, "file", 0, &v, &err) || cm_getattr(v, p->token, &attr, &err) ||
	    cm_fetch(v, p->token, 0, buf, sizeof(buf), &got, &version, &err))
		violate(p, "misled for good", &err);
	else if (got != 6 || memcmp(buf, "honest", 6) || attr.size != 6)
		violate(p, "misled for good", NULL);
	cm_vnode_put(v);
}

static void tell(struct play *p, const struct cm_fid *fid)
{
	uint64_t start;
	struct rx_error err = { 0 };
	char text[200], where[64] = "";

	ctl(p, "write big:dir/doomed 0 x");
	if (p->act->run == act_rmdir)
		ctl(p, "mkdir big:dir/doomed.d");
	if (!client_begin(p, p->act->alice ? p->ticket : "anonymous"))
		return;
	if (p->act->target)
		snprintf(where, sizeof(where), "fid %u.%u.%u", fid->volume, fid->vnode, fid->unique);
	snprintf(text, sizeof(text), "lie: rpc name %s %s -> lie %u", p->act->proc->name, where, p->lie);
	rule(p, text);
	start = rx_now_us(p->env);
	if (p->act->run(p, &err) && (!err.code || !err.text[0]))
		violate(p, "an error that says nothing", NULL);
	if (rx_now_us(p->env) - start > LONGEST_S * 1000000ull)
		violate(p, "took too long", &err);
	if (p->act->proc != &afs_rpc_GiveUpAllCallBacks) {
		if (!told(p))
			violate(p, "nobody asked", &err);
		fault_set_remove(p->rules, "lie", NULL);
	}
	see_truth(p);
	client_end(p);
	if (p->act->proc == &afs_rpc_GiveUpAllCallBacks) {
		if (!told(p))
			violate(p, "nobody asked", &err);
		fault_set_remove(p->rules, "lie", NULL);
	}
}

/* ---- one procedure ---- */

static bool make_files(struct play *p)
{
	struct cm_vnode *dir = NULL;
	struct rx_error err = { 0 };
	bool ok = ctl(p, "setacl big: system:anyuser rlidwka") && ctl(p, "write big:file 0 honest") &&
		  ctl(p, "write big:stored 0 x") && ctl(p, "mkdir big:dir") && ctl(p, "write big:dir/f 0 x");

	if (!ok || !client_begin(p, "anonymous"))
		return false;
	ok = walk(p, "", 0, &dir, &err) == 0 && cm_symlink(dir, p->token, "link", "file", false, &err) == 0 &&
	     cm_symlink(dir, p->token, "mount", "#home.", true, &err) == 0;
	cm_vnode_put(dir);
	return ok || violate(p, "links", &err);
}

static void conduct(void *arg)
{
	static const uint32_t fs_ip[] = { SIM_FS_IP };
	struct play *p = arg;
	struct cell_config config = { .env = p->env,
				      .name = SIM_CELL,
				      .db_ip = SIM_DB_IP,
				      .fs_ip = fs_ip,
				      .nfs = 1,
				      .net_arg = p->net,
				      .faults = p->rules };
	struct rx_error err = { 0 };
	struct cm_fid fid = { 0 };
	char text[100];

	config.net = (struct rx_net * (*)(void *, uint32_t, uint16_t)) world_net_port;
	p->cell = cell_new(&config, &err);
	/* libkrb5 looks at the system's clock, which is ahead of the world's: a ticket for ever. */
	if (!p->cell ||
	    cell_write_ticket(p->cell, "alice", p->ticket, UINT32_MAX - p->env->ops->wall_s(p->env), &err)) {
		violate(p, "the cell", &err);
		return;
	}
	if (make_files(p)) {
		if (p->act->target)
			fid_of(p, p->act->target, &fid);
		client_end(p);
		if (p->act->refused) {
			snprintf(text, sizeof(text), "rpc name %s -> abort RXGEN_OPCODE", p->act->refused);
			rule(p, text);
		}
		for (p->lie = 0; p->lie < cell_lies(p->act->proc); p->lie++)
			tell(p, &fid);
	}
	cell_free(p->cell);
}

static unsigned play(const struct act *act)
{
	struct world_link link = { .delay_us = 100 };
	struct play p = { .act = act, .world = world_new(1) };
	unsigned violations;

	snprintf(p.ticket, sizeof(p.ticket), "%s/alice", sim_confdir());
	p.env = world_env(p.world);
	p.net = world_net_new(p.world, &link);
	p.rules = fault_set_new(p.env, 1, NULL);
	if (!world_run(p.world, conduct, &p))
		violate(&p, "nobody can go on", NULL);
	violations = p.violations;
	if (!violations)
		world_net_free(p.net);
	fault_set_free(p.rules);
	world_free(p.world);
	unlink(p.ticket);
	return violations;
}

static void test_lies(void)
{
	const char *only = getenv("UMAFS_LIES_OF");

	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
		if (!only || !strcmp(only, acts[i].proc->name))
			CU_ASSERT_EQUAL(play(&acts[i]), 0);
}

UNIT_MAIN("lies", { "every lie of every reply, to a client that needs it", test_lies })
