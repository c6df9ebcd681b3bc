/* Nothing untried: every call that fails once, at each place it is made, in every operation.
 * The operation must then succeed or say why, and what is asked again must succeed; the
 * server must hold the right bytes; no memory, descriptor or thread may be left.
 *
 * Each case runs in a child of its own, so that one that crashes hides no other.
 *	UMAFS_NTH=OPERATION[:N]   only this one, this place
 *	UMAFS_NTH_STEP=K          every K-th place only; 1: all of them; 0: none (default 19) */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cm/internal.h"
#include "tests/nth/nth.h"
#include "tests/nth/stage.h"
#include "tests/unit.h"

enum { CLIENT_IP = 0x0a000065, TIME_LIMIT_S = 20, BURST = 4, STEP = 19 };

struct operation {
	const char *name;
	int (*prepare)(struct stage *s, struct rx_error *err); /* NULL: nothing, not even a client */
	int (*run)(struct stage *s, struct rx_error *err);     /* 0, or -1 */
	int done;                                              /* what a second try may say: it was done after all */
	bool changes;                                          /* the file's bytes: the bystander looks */
};

/* ---- how far a client has come ---- */

static int with_client(struct stage *s, struct rx_error *err)
{
	return stage_client_new(s, &s->client, CLIENT_IP, err);
}

static int with_tokens(struct stage *s, struct rx_error *err)
{
	char spec[128];

	snprintf(spec, sizeof(spec), "FILE:%s/ccache/bob", s->dir);
	if (with_client(s, err) || cm_token_open(s->client.cm, s->spec, NULL, &s->alice, err))
		return -1;
	return cm_token_open(s->client.cm, spec, NULL, &s->bob, err);
}

static int with_names(struct stage *s, struct rx_error *err)
{
	if (with_tokens(s, err) || cm_walk(s->client.cm, s->alice, STAGE_DIR, 0, &s->top, err))
		return -1;
	return cm_walk(s->client.cm, s->alice, STAGE_DIR "/file", 0, &s->vnode, err);
}

static int with_file(struct stage *s, struct rx_error *err)
{
	if (with_names(s, err) || vfs_open(s->client.vfs, s->vnode, s->alice, true, &s->file, err))
		return -1;
	return vfs_open(s->client.vfs, s->vnode, s->bob, true, &s->bobs, err);
}

static int map_as(struct vfs_file *f, uintptr_t *map, struct rx_error *err)
{
	*map = (uintptr_t)vfs_mmap(f, STAGE_SIZE, PROT_READ | PROT_WRITE, 0, err);
	return *map ? 0 : -1;
}

static int with_maps(struct stage *s, struct rx_error *err)
{
	if (with_file(s, err) || map_as(s->file, &s->map, err))
		return -1;
	return map_as(s->bobs, &s->bobs_map, err);
}

/* A store or load that failed may be served once the page that gave SIGBUS is itself again. */
static int touched(struct stage *s, int rc, struct rx_error *err)
{
	if (rc >= 0)
		return 0;
	world_sleep_us(s->world, 200000);
	return rx_error_set(err, RX_ORIGIN_ERRNO, EFAULT, EFAULT, "SIGBUS");
}

static int store(struct stage *s, uintptr_t map, unsigned at, uint8_t value, struct rx_error *err)
{
	s->want[at] = value;
	return touched(s, soft_store(s->client.source, map + at, map == s->map ? 1 : 2, value), err);
}

static int with_dirt(struct stage *s, struct rx_error *err)
{
	if (with_maps(s, err) || store(s, s->map, 10, 'a', err))
		return -1;
	s->want[CM_PAGE + 5] = 'A';
	return vfs_pwrite(s->file, "A", 1, CM_PAGE + 5, err) == 1 ? 0 : -1;
}

/* ---- operations: starting and names ---- */

static int op_start(struct stage *s, struct rx_error *err)
{
	return with_client(s, err);
}

static int op_stop(struct stage *s, struct rx_error *err)
{
	uint64_t lost;

	/* What close could not store then is stored in the end. */
	if (!stage_close(s, &lost, err))
		STAGE_HOLDS(s, err->code != 0 && strlen(err->text) > 5);
	STAGE_HOLDS(s, lost == 0);
	return 0;
}

static int op_token(struct stage *s, struct rx_error *err)
{
	return cm_token_open(s->client.cm, s->spec, NULL, &s->alice, err);
}

static int op_anonymous(struct stage *s, struct rx_error *err)
{
	return cm_token_open(s->client.cm, "anonymous", NULL, &s->alice, err);
}

static int walk(struct stage *s, const char *path, struct rx_error *err)
{
	return cm_walk(s->client.cm, s->alice, path, 0, &s->vnode, err);
}

static int op_walk(struct stage *s, struct rx_error *err)
{
	return walk(s, STAGE_DIR "/link", err);
}

static int op_walk_mount(struct stage *s, struct rx_error *err)
{
	return walk(s, "/afs/.:mount/umafs.test:big/nth/file", err);
}

static int op_walk_parent(struct stage *s, struct rx_error *err)
{
	char name[256];

	return cm_walk_parent(s->client.cm, s->alice, STAGE_DIR "/new", &s->top, name, err);
}

static int count_name(void *arg, const char *name, struct cm_fid fid, bool is_dir)
{
	unsigned *n = arg;

	(void)name, (void)fid, (void)is_dir;
	(*n)++;
	return 0;
}

static int op_readdir(struct stage *s, struct rx_error *err)
{
	unsigned n = 0;
	int rc = cm_readdir(s->top, s->bob, count_name, &n, err);

	STAGE_HOLDS(s, rc || n == 3);
	return rc;
}

static int op_lookup(struct stage *s, struct rx_error *err)
{
	struct cm_vnode *v = NULL;
	int rc = cm_lookup(s->top, s->bob, "sub", &v, err);

	cm_vnode_put(v);
	return rc;
}

static int op_prefetch(struct stage *s, struct rx_error *err)
{
	struct cm_fid fids[40];

	for (unsigned i = 0; i < 40; i++)
		fids[i] = cm_vnode_fid(s->vnode);
	return cm_prefetch_status(s->top, s->bob, fids, 40, err);
}

static int op_readlink(struct stage *s, struct rx_error *err)
{
	struct cm_vnode *v = NULL;
	char *text = NULL;
	int rc = cm_walk(s->client.cm, s->bob, STAGE_DIR "/link", CM_WALK_NOFOLLOW, &v, err);

	if (rc == 0)
		rc = cm_readlink(v, s->bob, &text, err);
	STAGE_HOLDS(s, rc || strcmp(text, "file") == 0);
	nth_free(text);
	cm_vnode_put(v);
	return rc;
}

static const struct cm_setattr mode_of = { .set_mode = true, .mode = 0700 };

static int op_create(struct stage *s, struct rx_error *err)
{
	struct cm_vnode *v = NULL;
	int rc = cm_create(s->top, s->alice, "new", &mode_of, &v, err);

	cm_vnode_put(v);
	return rc;
}

static int op_mkdir(struct stage *s, struct rx_error *err)
{
	struct cm_vnode *v = NULL;
	int rc = cm_mkdir(s->top, s->alice, "new", &mode_of, &v, err);

	cm_vnode_put(v);
	return rc;
}

static int op_symlink(struct stage *s, struct rx_error *err)
{
	return cm_symlink(s->top, s->alice, "new", "file", false, err);
}

static int op_link(struct stage *s, struct rx_error *err)
{
	return cm_link(s->top, s->alice, "new", s->vnode, err);
}

static int op_unlink(struct stage *s, struct rx_error *err)
{
	return cm_unlink(s->top, s->alice, "link", err);
}

static int op_rmdir(struct stage *s, struct rx_error *err)
{
	return cm_rmdir(s->top, s->alice, "sub", err);
}

static int op_rename(struct stage *s, struct rx_error *err)
{
	return cm_rename(s->top, "link", s->top, "moved", s->alice, err);
}

static int op_getattr(struct stage *s, struct rx_error *err)
{
	struct cm_attr attr;
	int rc = cm_getattr(s->vnode, s->bob, &attr, err);

	STAGE_HOLDS(s, rc || attr.size == STAGE_SIZE);
	return rc;
}

static int op_setattr(struct stage *s, struct rx_error *err)
{
	return cm_setattr(s->vnode, s->alice, &mode_of, err);
}

static int op_acl(struct stage *s, struct rx_error *err)
{
	char *text = NULL;
	int rc = cm_acl_fetch(s->top, s->bob, &text, err);

	nth_free(text);
	return rc;
}

static int op_volume(struct stage *s, struct rx_error *err)
{
	struct cm_volume_status status;
	struct cm_volume_info info;

	return cm_volume_status(s->vnode, s->bob, &status, err) || cm_volume_info(s->vnode, &info, err) ||
			       cm_volume_info_by_name(s->client.cm, NULL, "ro", &info, err)
		       ? -1
		       : 0;
}

static int op_token_info(struct stage *s, struct rx_error *err)
{
	struct cm_token_info info;

	(void)err;
	cm_token_info(s->alice, &info);
	return 0;
}

/* ---- operations: data ---- */

static int op_fetch(struct stage *s, struct rx_error *err)
{
	uint8_t seen[STAGE_SIZE];
	uint64_t version;
	size_t got = 0;
	int rc = cm_fetch(s->vnode, s->bob, 0, seen, sizeof(seen), &got, &version, err);

	STAGE_HOLDS(s, rc || (got == STAGE_SIZE && memcmp(seen, s->want, got) == 0));
	return rc;
}

static int take_bytes(void *arg, const void *buf, size_t len)
{
	(void)arg, (void)buf, (void)len;
	return 0;
}

static int op_fetch_stream(struct stage *s, struct rx_error *err)
{
	uint64_t version;

	return cm_fetch_stream(s->vnode, s->bob, 0, STAGE_SIZE, take_bytes, NULL, &version, err);
}

static int give_bytes(void *arg, void *buf, size_t len)
{
	(void)arg;
	memset(buf, 'S', len);
	return 0;
}

static int op_store_stream(struct stage *s, struct rx_error *err)
{
	memset(s->want, 'S', STAGE_SIZE);
	return cm_store_stream(s->vnode, s->alice, 0, STAGE_SIZE, STAGE_SIZE, 0, false, give_bytes, NULL, err);
}

static int op_open(struct stage *s, struct rx_error *err)
{
	return vfs_open(s->client.vfs, s->vnode, s->alice, true, &s->file, err);
}

static int op_pread(struct stage *s, struct rx_error *err)
{
	uint8_t seen[STAGE_SIZE];
	ssize_t n = vfs_pread(s->file, seen, sizeof(seen), 0, err);

	STAGE_HOLDS(s, n < 0 || (n == STAGE_SIZE && memcmp(seen, s->want, STAGE_SIZE) == 0));
	return n < 0 ? -1 : 0;
}

/* write() may do a part and leave the rest to the next call. */
static int op_pwrite(struct stage *s, struct rx_error *err)
{
	size_t done = 0;

	memset(s->want + 100, 'P', CM_PAGE);
	while (done < CM_PAGE) {
		ssize_t n = vfs_pwrite(s->file, s->want + 100 + done, CM_PAGE - done, 100 + done, err);

		if (n <= 0)
			return -1;
		done += (size_t)n;
	}
	return vfs_fsync(s->file, err);
}

static int op_fsync(struct stage *s, struct rx_error *err)
{
	return vfs_fsync(s->file, err);
}

static int op_truncate(struct stage *s, struct rx_error *err)
{
	memset(s->want + 5000, 0, STAGE_SIZE - 5000);
	return vfs_truncate(s->file, 5000, err) || vfs_truncate(s->file, STAGE_SIZE, err) ? -1
											  : vfs_fsync(s->file, err);
}

static int op_mmap(struct stage *s, struct rx_error *err)
{
	return map_as(s->file, &s->map, err);
}

static int op_load(struct stage *s, struct rx_error *err)
{
	int value = soft_load(s->client.source, s->map + CM_PAGE, 1);

	STAGE_HOLDS(s, value < 0 || value == s->want[CM_PAGE]);
	return touched(s, value, err);
}

static int op_store(struct stage *s, struct rx_error *err)
{
	if (store(s, s->map, 7, 'm', err))
		return -1;
	return vfs_msync(s->client.vfs, (void *)s->map, STAGE_SIZE, MS_SYNC, err);
}

static int op_munmap(struct stage *s, struct rx_error *err)
{
	if (s->map && vfs_munmap(s->client.vfs, (void *)s->map, STAGE_SIZE, err))
		return -1;
	s->map = 0;
	return vfs_fsync(s->file, err);
}

/* bob wants a page with alice's change in it. */
static int op_conflict(struct stage *s, struct rx_error *err)
{
	if (store(s, s->bobs_map, 20, 'b', err))
		return -1;
	return vfs_msync(s->client.vfs, (void *)s->bobs_map, STAGE_SIZE, MS_SYNC, err);
}

/* ... and then stores the rest. */
static int op_both(struct stage *s, struct rx_error *err)
{
	return op_conflict(s, err) ? -1 : vfs_fsync(s->file, err);
}

static int with_refusal(struct stage *s, struct rx_error *err)
{
	uint8_t before = s->want[10], before_a = s->want[CM_PAGE + 5];
	int rc = with_dirt(s, err);

	stage_as(s, BYSTANDER);
	if (rc == 0)
		rc = cm_acl_store(s->other_top, s->admin, "3\n0\nadmin\t127\nalice\t9\nbob\t63\n", err);
	stage_as(s, CLIENT);
	s->want[10] = before;
	s->want[CM_PAGE + 5] = before_a;
	return rc;
}

/* Likewise, and the server refuses alice's: it vanishes and she is told, once. */
static int op_refused(struct stage *s, struct rx_error *err)
{
	return op_conflict(s, err);
}

/* The bystander stores; what is read then is that. */
static int op_break(struct stage *s, struct rx_error *err)
{
	int rc;

	memset(s->want, 'B', STAGE_SIZE);
	stage_as(s, BYSTANDER);
	rc = cm_store_stream(s->other_file, s->admin, 0, STAGE_SIZE, STAGE_SIZE, 0, false, give_bytes, NULL, err);
	memset(s->want, 'S', STAGE_SIZE);
	stage_as(s, CLIENT);
	return rc ? rc : op_pread(s, err);
}

static int with_read(struct stage *s, struct rx_error *err)
{
	return with_maps(s, err) ? -1 : op_pread(s, err);
}

/* What administrators ask a client. */
static int op_questions(struct stage *s, struct rx_error *err)
{
	struct rx_rpc_client c = { .origin = RX_ORIGIN_AFS };
	struct rx_addr addr = rx_addr_ipv4(CLIENT_IP, 7001);
	struct afs_cb_GetLocalCell_out cell = { 0 };
	struct afs_cb_GetCellServDB_out db = { 0 };
	struct afs_cb_GetCellByNum_out by_number = { 0 };
	struct afs_cb_GetCacheConfig_out config = { 0 };
	struct afs_cb_WhoAreYou_out who = { 0 };
	struct rx_security *sec;
	int rc;

	stage_as(s, BYSTANDER);
	sec = rx_null_new();
	c.conn = rx_conn_new(s->other.cm->loop, &addr, AFS_SERVICE_CB, sec, err);
	rc = afs_cb_GetLocalCell(&c, NULL, &cell, err) ||
	     afs_cb_GetCellServDB(&c, &(struct afs_cb_GetCellServDB_in){ 0 }, &db, err) ||
	     afs_cb_GetCellByNum(&c, &(struct afs_cb_GetCellByNum_in){ .cell = 1 }, &by_number, err) ||
	     afs_cb_GetCacheConfig(&c, &(struct afs_cb_GetCacheConfig_in){ .caller_version = 1 }, &config, err) ||
	     afs_cb_WhoAreYou(&c, NULL, &who, err);
	STAGE_HOLDS(s, rc || (strcmp(cell.name, "umafs.test") == 0 && strcmp(db.name, "umafs.test") == 0));
	afs_cb_GetLocalCell_free(&cell);
	afs_cb_GetCellServDB_free(&db);
	afs_cb_GetCellByNum_free(&by_number);
	afs_cb_GetCacheConfig_free(&config);
	afs_cb_WhoAreYou_free(&who);
	rx_conn_free(c.conn);
	rx_security_put(sec);
	stage_as(s, CLIENT);
	return rc ? -1 : 0;
}

static const struct operation operations[] = {
	{ "start", NULL, op_start, 0, false },
	{ "token_open", with_client, op_token, 0, false },
	{ "token_open anonymous", with_client, op_anonymous, 0, false },
	{ "token_info", with_tokens, op_token_info, 0, false },
	{ "walk", with_tokens, op_walk, 0, false },
	{ "walk .:mount", with_tokens, op_walk_mount, 0, false },
	{ "walk_parent", with_tokens, op_walk_parent, 0, false },
	{ "readdir", with_names, op_readdir, 0, false },
	{ "lookup", with_names, op_lookup, 0, false },
	{ "prefetch_status", with_names, op_prefetch, 0, false },
	{ "readlink", with_names, op_readlink, 0, false },
	{ "create", with_names, op_create, EEXIST, false },
	{ "mkdir", with_names, op_mkdir, EEXIST, false },
	{ "symlink", with_names, op_symlink, EEXIST, false },
	{ "link", with_names, op_link, EEXIST, false },
	{ "unlink", with_names, op_unlink, ENOENT, false },
	{ "rmdir", with_names, op_rmdir, ENOENT, false },
	{ "rename", with_names, op_rename, ENOENT, false },
	{ "getattr", with_names, op_getattr, 0, false },
	{ "setattr", with_names, op_setattr, 0, false },
	{ "acl_fetch", with_names, op_acl, 0, false },
	{ "volume", with_names, op_volume, 0, false },
	{ "fetch", with_names, op_fetch, 0, false },
	{ "fetch_stream", with_names, op_fetch_stream, 0, false },
	{ "store_stream", with_names, op_store_stream, 0, true },
	{ "open", with_names, op_open, 0, false },
	{ "pread", with_file, op_pread, 0, false },
	{ "pwrite and fsync", with_file, op_pwrite, 0, true },
	{ "fsync", with_dirt, op_fsync, 0, true },
	{ "truncate", with_dirt, op_truncate, 0, true },
	{ "mmap", with_file, op_mmap, 0, false },
	{ "load", with_maps, op_load, 0, false },
	{ "store and msync", with_maps, op_store, 0, true },
	{ "munmap", with_dirt, op_munmap, 0, true },
	{ "conflict", with_dirt, op_both, 0, true },
	{ "refusal", with_refusal, op_refused, 0, true },
	{ "callback break", with_read, op_break, 0, true },
	{ "questions", with_client, op_questions, 0, false },
	{ "stop", with_dirt, op_stop, 0, true },
};
enum { OPERATIONS = sizeof(operations) / sizeof(operations[0]) };

/* ---- one case ---- */

struct verdict { /* shared with the child */
	bool ended, sound, tolerated;
	struct nth_report report;
};

struct attempt {
	struct stage stage;
	const struct operation *op;
	enum party victim;
	unsigned n, burst;
	struct verdict *verdict;
};

static enum party victim;

static bool counts(void)
{
	return stage_party() == victim;
}

static void try_it(struct attempt *a)
{
	struct stage *s = &a->stage;
	struct rx_error err = { 0 };
	int rc, again;

	nth_arm(a->n, a->burst);
	rc = a->op->run(s, &err);
	nth_disarm();
	a->verdict->report = nth_report();
	a->verdict->tolerated = rc == 0;
	if (rc == 0)
		return;
	STAGE_HOLDS(s, err.code != 0 && err.errnum != 0 && strlen(err.text) > 5);
	again = a->op->run(s, &err);
	if (again && err.errnum != a->op->done)
		printf("    again: %s\n", err.text);
	STAGE_HOLDS(s, again == 0 || (a->op->done && err.errnum == a->op->done));
}

/* What was started or opened can be worked with. */
static void use_client(struct stage *s)
{
	struct cm_token *nobody = NULL;
	struct cm_vnode *v = NULL;
	struct rx_error err = { 0 };

	if (!s->client.cm)
		return;
	if (cm_token_open(s->client.cm, "anonymous", NULL, &nobody, &err) ||
	    cm_walk(s->client.cm, nobody, "/afs/umafs.test/big", 0, &v, &err)) {
		printf("    afterwards: %s\n", err.text);
		s->sound = false;
	}
	cm_vnode_put(v);
	cm_token_put(nobody);
}

static void conduct(void *arg)
{
	struct attempt *a = arg;
	struct stage *s = &a->stage;
	struct rx_error err = { 0 };
	uint64_t lost;

	if (!stage_begin(s, s->world)) {
		fflush(stdout);
		_exit(1);
	}
	stage_as(s, CLIENT);
	if (a->op->prepare && a->op->prepare(s, &err)) {
		printf("    cannot be prepared: %s\n", err.text);
		s->sound = false;
	} else {
		try_it(a);
	}
	if (a->op->run == op_refused) {
		STAGE_HOLDS(s, vfs_fsync(s->file, &err) == -1 && err.errnum == EACCES);
		STAGE_HOLDS(s, vfs_fsync(s->file, &err) == 0);
	}
	if (a->op->changes)
		stage_look(s);
	use_client(s);
	STAGE_HOLDS(s, stage_close(s, &lost, &err) && lost == 0);
	stage_end(s);
}

static unsigned descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static void play(struct attempt *a)
{
	unsigned mark = nth_mark(), fds = descriptors();
	struct world *w = world_new(1);
	struct stage *s = &a->stage;

	s->world = w;
	s->mode = a->n % 2 ? VFS_MODE_BASIC : VFS_MODE_FULL;
	victim = a->victim;
	nth_scope(counts);
	if (!world_run(w, conduct, a)) {
		printf("    nobody can go on\n");
		s->sound = false;
		return;
	}
	world_net_free(s->net);
	world_free(w);
	STAGE_HOLDS(s, nth_leaked(mark) == 0);
	STAGE_HOLDS(s, descriptors() == fds);
}

static void on_fatal(int sig)
{
	struct nth_report r = nth_report();

	printf("    signal %d; %s failed in %s\n", sig, r.call, nth_place(NULL, r.at));
	fflush(stdout);
	_exit(1);
}

/* In a child. */
static void __attribute__((noreturn)) child(struct attempt *a)
{
	signal(SIGSEGV, on_fatal);
	signal(SIGABRT, on_fatal);
	signal(SIGALRM, on_fatal);
	alarm(TIME_LIMIT_S);
	play(a);
	a->verdict->sound = a->stage.sound;
	a->verdict->ended = true;
	fflush(stdout);
	_exit(0);
}

static bool run_case(struct attempt *a)
{
	int status;
	pid_t pid;

	*a->verdict = (struct verdict){ 0 };
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		child(a);
	waitpid(pid, &status, 0);
	if (a->verdict->ended && a->verdict->sound)
		return true;
	printf("  %s, n = %u+%u: %s failed in %s; status %#x\n", a->op->name, a->n, a->burst, a->verdict->report.call,
	       nth_place(NULL, a->verdict->report.at), status);
	return false;
}

/* ---- all cases ---- */

static unsigned number(const char *name, unsigned otherwise)
{
	const char *text = getenv(name);

	return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static bool all_places(struct attempt *a, const char *only)
{
	const char *colon = only ? strchr(only, ':') : NULL;
	unsigned step = number("UMAFS_NTH_STEP", STEP), bad = 0, tolerated = 0, calls, allocations;

	a->n = 1u << 30;
	if (!run_case(a))
		return false;
	calls = a->verdict->report.calls;
	allocations = a->verdict->report.allocations;
	/* Other places in other operations. */
	a->n = colon ? (unsigned)atoi(colon + 1) : step ? 1 + (unsigned)(a->op - operations) % step : calls + 1;
	for (; a->n <= calls; a->n += colon ? calls : step) {
		bad += !run_case(a);
		tolerated += a->verdict->tolerated;
	}
	printf("  %-22s %4u allocations, %4u other calls: %u failed, %u tolerated\n", a->op->name, allocations,
	       calls - allocations, bad, tolerated);
	return bad == 0;
}

static bool all_operations(enum party who, unsigned burst)
{
	const char *only = getenv("UMAFS_NTH");
	struct verdict *verdict =
		mmap(NULL, sizeof(*verdict), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	size_t len = only ? strcspn(only, ":") : 0;
	bool ok = true;

	printf("\n");
	for (unsigned i = 0; i < OPERATIONS; i++) {
		struct attempt *a = calloc(1, sizeof(*a));

		a->op = &operations[i];
		a->victim = who;
		a->burst = burst;
		a->verdict = verdict;
		if (!only || (strlen(a->op->name) == len && strncmp(a->op->name, only, len) == 0))
			ok &= all_places(a, only);
		free(a);
	}
	munmap(verdict, sizeof(*verdict));
	return ok;
}

static void test_client_once(void)
{
	CU_ASSERT(all_operations(CLIENT, 1));
}

static void test_client_burst(void)
{
	CU_ASSERT(all_operations(CLIENT, BURST));
}

static void test_cell_once(void)
{
	CU_ASSERT(all_operations(CELL, 1));
}

UNIT_MAIN("n-th failure", { "client, once", test_client_once }, { "client, four in a row", test_client_burst },
	  { "cell, once", test_cell_once })
