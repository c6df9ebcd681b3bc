/* Fault rules in the embedded cell, each action as a bare client sees it over loopback. */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>

#include "tests/cell_client.h"
#include "tests/unit.h"
#include "tools/fault/set.h"

enum { VSALVAGE = 101, VOFFLINE = 106, VBUSY = 110, VMOVED = 111, UNOQUORUM = 5376 };

static struct client a, b;
static struct afs_fid home, file;

static void begin(void)
{
	world.faults = fault_set_new(rx_env_posix(), 1, NULL);
	world_begin(NULL, false);
	client_begin(&a, 1, 0);
	client_begin(&b, 2, 0);
	home = client_root(&a, "home");
	CU_ASSERT_EQUAL_FATAL(client_create(&a, "alice", home, "f", &file), 0);
	CU_ASSERT_EQUAL_FATAL(client_store(&a, "alice", file, 0, "text", 4, NULL), 0);
}

static void end(void)
{
	client_end(&a);
	client_end(&b);
	world_end();
	fault_set_free(world.faults);
	world.faults = NULL;
}

static void rule(const char *text)
{
	struct rx_error err = { 0 };

	if (fault_set_add(world.faults, text, 1, NULL, &err))
		printf("%s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(err.code, 0);
}

static int32_t status(struct client *c, const char *user)
{
	return client_status(c, user, file, NULL);
}

static void test_abort(void)
{
	begin();
	rule("rpc name FetchStatus user alice nth 2 -> abort VOVERQUOTA");
	CU_ASSERT_EQUAL(status(&a, "alice"), 0);
	CU_ASSERT_EQUAL(status(&a, "bob"), 0);
	CU_ASSERT_EQUAL(status(&a, "alice"), 109);
	CU_ASSERT_EQUAL(status(&a, "alice"), 0);
	rule("rpc user anonymous -> offline");
	CU_ASSERT_EQUAL(status(&a, NULL), VOFFLINE);
	rule("rpc user carol -> salvage");
	rule("rpc user carol -> offline"); /* the first one counts */
	CU_ASSERT_EQUAL(status(&a, "carol"), VSALVAGE);
	end();
}

static void test_no_quorum(void)
{
	struct rx_rpc_client vl = { .origin = RX_ORIGIN_VL };
	struct rx_addr addr;
	struct rx_security *sec = rx_null_new();
	struct afs_vl_GetEntryByNameU_in in = { .name = (char *)(uintptr_t) "home" };
	struct rx_error err = { 0 };

	begin();
	rule("rpc name vl_* volume home -> no-quorum");
	addr = rx_addr_ipv4(world.ip[0], AFS_PORT_VL);
	vl.conn = rx_conn_new(a.loop, &addr, AFS_SERVICE_VL, sec, NULL);
	CU_ASSERT_EQUAL(afs_vl_GetEntryByNameU(&vl, &in, NULL, &err), -1);
	CU_ASSERT_EQUAL(err.code, UNOQUORUM);
	in.name = (char *)(uintptr_t) "big";
	CU_ASSERT_EQUAL(afs_vl_GetEntryByNameU(&vl, &in, NULL, &err), 0);
	rx_conn_free(vl.conn);
	rx_security_put(sec);
	end();
}

static void test_delay(void)
{
	uint64_t before;

	begin();
	rule("rpc name FetchStatus nth 1 -> delay 20ms");
	before = rx_now_us(rx_env_posix());
	CU_ASSERT_EQUAL(status(&a, "alice"), 0);
	CU_ASSERT(rx_now_us(rx_env_posix()) - before >= 20000);
	end();
}

/* What the command says; NULL: refused. Valid until the next one. */
static const char *ctl(const char *fmt, ...)
{
	static char said[4096];
	struct rx_error err = { 0 };
	char line[512];
	va_list args;
	FILE *out;
	int rc = -1;

	memset(said, 0, sizeof(said));
	out = fmemopen(said, sizeof(said), "w");
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	CU_ASSERT(cell_control(world.cell, line, out, &rc, &err));
	fclose(out);
	if (rc)
		snprintf(said, sizeof(said), "%s", err.text);
	return rc ? NULL : said;
}

/* ---- hold ---- */

enum { HELD = 100, OTHERS = HELD / 4 }; /* more than a file server has workers */

static struct client others[OTHERS];
static unsigned finished;

static void *ask(void *arg)
{
	CU_ASSERT_EQUAL(status(arg, NULL), 0);
	__atomic_add_fetch(&finished, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void *ask_in_vain(void *arg)
{
	CU_ASSERT_NOT_EQUAL(status(arg, NULL), 0);
	return NULL;
}

static unsigned fired(const char *name)
{
	char text[4096], want[64], *at;
	unsigned long long matched, times = 0;
	FILE *out = fmemopen(text, sizeof(text), "w");

	fault_set_list(world.faults, out);
	fclose(out);
	snprintf(want, sizeof(want), "%s matched", name);
	at = strstr(text, want);
	if (at)
		sscanf(at + strlen(name), " matched %llu fired %llu", &matched, &times);
	return (unsigned)times;
}

static void test_hold(void)
{
	pthread_t t[HELD];

	begin();
	rule("all: rpc name FetchStatus user anonymous -> hold gate");
	finished = 0;
	for (unsigned i = 0; i < OTHERS; i++) {
		client_begin(&others[i], (uint8_t)(10 + i), 0);
		client_as(&others[i], NULL, 0);
	}
	for (unsigned i = 0; i < HELD; i++)
		pthread_create(&t[i], NULL, ask, &others[i / 4]);
	while (fired("all") < HELD)
		sched_yield();
	CU_ASSERT_EQUAL(status(&a, "alice"), 0); /* nobody else waits for them */
	CU_ASSERT_PTR_NOT_NULL(ctl("write home:f 0 TEXT"));
	CU_ASSERT_PTR_NOT_NULL(ctl("read home:f"));
	CU_ASSERT_EQUAL(__atomic_load_n(&finished, __ATOMIC_ACQUIRE), 0);
	CU_ASSERT_EQUAL(fault_set_remove(world.faults, "all", NULL), 0);
	while (__atomic_load_n(&finished, __ATOMIC_ACQUIRE) < HELD) {
		fault_set_release(world.faults, "gate");
		sched_yield();
	}
	for (unsigned i = 0; i < HELD; i++)
		pthread_join(t[i], NULL);
	for (unsigned i = 0; i < OTHERS; i++)
		client_end(&others[i]);
	end();
}

static void test_hold_ends_with_cell(void)
{
	pthread_t t;

	begin();
	rule("all: rpc name FetchStatus user anonymous -> hold gate");
	pthread_create(&t, NULL, ask_in_vain, &b);
	while (!fired("all"))
		sched_yield();
	world_restart();
	pthread_join(t, NULL);
	end();
}

/* ---- busy, lose-reply ---- */

static void test_busy(void)
{
	struct afs_fid big;

	begin();
	big = client_root(&a, "big");
	rule("rpc name FetchStatus volume home nth 1 -> busy 3");
	CU_ASSERT_EQUAL(status(&a, "alice"), VBUSY);
	CU_ASSERT_EQUAL(client_status(&a, "alice", big, NULL), 0);
	CU_ASSERT_EQUAL(status(&b, "bob"), VBUSY);
	CU_ASSERT_EQUAL(status(&a, NULL), VBUSY);
	CU_ASSERT_EQUAL(status(&a, NULL), 0);
	end();
}

static void test_lose_reply(void)
{
	struct rx_rpc_client fs;

	begin();
	rule("rpc name StoreData64 -> lose-reply");
	fs = client_as(&b, "bob", 0);
	CU_ASSERT_EQUAL(status(&b, "bob"), 0);
	rx_conn_set_dead_time(fs.conn, 1);
	CU_ASSERT_EQUAL(client_store(&b, "bob", file, 0, "done", 4, NULL), RX_CALL_DEAD);
	CU_ASSERT_EQUAL(status(&b, "bob"), 0); /* the connection is as good as before */
	CU_ASSERT_STRING_EQUAL(client_read(&a, "alice", file), "done");
	end();
}

/* ---- behind the caller's back ---- */

static void test_break(void)
{
	begin();
	CU_ASSERT_EQUAL(status(&a, "alice"), 0);
	rule("rpc name FetchStatus nth 1 -> break before");
	rule("rpc name FetchStatus nth 2 -> break during");
	rule("rpc name FetchStatus nth 3 -> break after");
	CU_ASSERT_EQUAL(status(&a, "alice"), 0);
	CU_ASSERT_EQUAL(a.breaks, 1);
	CU_ASSERT(afs_fid_equal(&a.last, &file));
	CU_ASSERT_EQUAL(client_store(&b, "bob", file, 0, "x", 1, NULL), 0);
	CU_ASSERT_EQUAL(a.breaks, 2); /* the call had given a promise again */
	CU_ASSERT_EQUAL(status(&a, "alice"), 0);
	CU_ASSERT_EQUAL(a.breaks, 3);
	CU_ASSERT_EQUAL(client_store(&b, "bob", file, 0, "y", 1, NULL), 0);
	CU_ASSERT_EQUAL(a.breaks, 3); /* nothing was promised any more */
	CU_ASSERT_EQUAL(status(&a, "alice"), 0);
	while (__atomic_load_n(&a.breaks, __ATOMIC_ACQUIRE) < 4)
		sched_yield();
	end();
}

static void test_revoke(void)
{
	struct afs_fetch_status st;

	begin();
	CU_ASSERT_EQUAL(client_status(&b, "bob", home, NULL), 0);
	rule("rpc name StoreData64 user alice nth 1 -> revoke wi");
	CU_ASSERT_EQUAL(client_store(&a, "alice", file, 0, "late", 4, NULL), UAE_EACCES);
	CU_ASSERT_EQUAL(b.breaks, 1);
	CU_ASSERT(afs_fid_equal(&b.last, &home));
	CU_ASSERT_EQUAL(client_status(&a, "alice", file, &st), 0);
	CU_ASSERT_EQUAL(st.caller_access & 0x3f, 0x39);
	CU_ASSERT_STRING_EQUAL(client_read(&a, "alice", file), "text");
	CU_ASSERT_EQUAL(client_store(&b, "bob", file, 0, "bobs", 4, NULL), 0);
	rule("rpc name FetchData64 user carol nth 1 -> revoke r"); /* who has it by a group too */
	CU_ASSERT_PTR_NULL(client_read(&b, "carol", file));
	end();
}

static void test_change(void)
{
	struct afs_fetch_status was, is;

	begin();
	CU_ASSERT_EQUAL(client_status(&b, "bob", file, &was), 0);
	rule("rpc name FetchStatus user alice nth 1 -> change");
	rule("rpc name FetchStatus user alice nth 2 -> change \"other\"");
	CU_ASSERT_EQUAL(client_status(&a, "alice", file, &is), 0);
	CU_ASSERT(is.data_version == was.data_version + 1 && is.length == 4);
	CU_ASSERT_EQUAL(b.breaks, 1);
	CU_ASSERT_STRING_EQUAL(client_read(&a, "alice", file), "text");
	CU_ASSERT_EQUAL(client_status(&a, "alice", file, &is), 0);
	CU_ASSERT(is.data_version == was.data_version + 2 && is.length == 5);
	CU_ASSERT_STRING_EQUAL(client_read(&a, "alice", file), "other");
	end();
}

static void test_moved(void)
{
	char text[64];

	begin();
	CU_ASSERT_EQUAL(client_status(&b, "bob", file, NULL), 0);
	snprintf(text, sizeof(text), "rpc name FetchStatus nth 1 -> moved 127.%u.%u.2", world.ip[1] >> 16 & 0xff,
		 world.ip[1] >> 8 & 0xff);
	rule(text);
	CU_ASSERT_EQUAL(status(&a, "alice"), VMOVED);
	CU_ASSERT_EQUAL(b.breaks, 1);
	CU_ASSERT_EQUAL(status(&a, "alice"), VMOVED); /* it is gone from there */
	{
		struct rx_rpc_client fs = client_as(&a, "alice", 1);
		struct afs_FetchStatus_in in = { .fid = file };

		CU_ASSERT_EQUAL(afs_FetchStatus(&fs, &in, NULL, NULL), 0);
	}
	end();
}

static void test_expire(void)
{
	begin();
	rule("rpc name FetchStatus user bob nth 1 -> expire");
	CU_ASSERT_EQUAL(status(&b, "alice"), 0);
	CU_ASSERT_EQUAL(status(&b, "bob"), RXKAD_EXPIRED);
	CU_ASSERT_EQUAL(status(&b, "alice"), 0);
	CU_ASSERT_EQUAL(status(&a, "bob"), RXKAD_EXPIRED); /* the ticket, not the connection */
	end();
}

static void test_restart(void)
{
	unsigned resets;

	begin();
	CU_ASSERT_EQUAL(status(&a, "alice"), 0);
	resets = a.resets;
	rule("rpc name FetchStatus user bob nth 1 -> restart");
	rx_conn_set_dead_time(client_as(&b, "bob", 0).conn, 1);
	CU_ASSERT_EQUAL(status(&b, "bob"), RX_CALL_DEAD);
	CU_ASSERT_EQUAL(client_store(&b, "bob", file, 0, "text", 4, NULL), 0);
	CU_ASSERT_EQUAL(a.breaks, 0); /* forgotten */
	CU_ASSERT_EQUAL(status(&a, "alice"), 0);
	CU_ASSERT_EQUAL(a.resets, resets + 1);
	end();
}

/* What is sent to a server that is down is lost, and sent again. */
static void test_down(void)
{
	struct rx_stats before, after;

	begin();
	CU_ASSERT_EQUAL(status(&a, "alice"), 0);
	rx_loop_stats(a.loop, &before);
	CU_ASSERT_PTR_NOT_NULL(ctl("restart down 200ms"));
	CU_ASSERT_EQUAL(status(&a, "alice"), 0);
	rx_loop_stats(a.loop, &after);
	CU_ASSERT(after.data_resent > before.data_resent);
	CU_ASSERT_PTR_NOT_NULL(ctl("restart db down 1ms"));
	CU_ASSERT_PTR_NULL(ctl("restart down"));
	CU_ASSERT_PTR_NULL(ctl("restart db 1ms"));
	CU_ASSERT_PTR_NULL(ctl("restart 127.0.0.77 down 1ms"));
	end();
}

static void test_clock(void)
{
	struct afs_GetTime_out before, after;
	struct rx_rpc_client fs;

	begin();
	fs = client_as(&a, "alice", 0);
	CU_ASSERT_EQUAL(afs_GetTime(&fs, NULL, &before, NULL), 0);
	rule("rpc name GetTime nth 1 -> clock +5min");
	CU_ASSERT_EQUAL(afs_GetTime(&fs, NULL, &after, NULL), 0);
	CU_ASSERT(after.seconds - before.seconds >= 300 && after.seconds - before.seconds < 400);
	rule("rpc name GetTime nth 1 -> clock +2min"); /* tickets here are good for an hour */
	rule("rpc name GetTime nth 2 -> clock +60min");
	CU_ASSERT_EQUAL(afs_GetTime(&fs, NULL, NULL, NULL), 0);
	CU_ASSERT_EQUAL(afs_GetTime(&fs, NULL, NULL, NULL), 0);
	CU_ASSERT_EQUAL(status(&a, "alice"), RXKAD_EXPIRED);
	end();
}

/* ---- the reply's bytes ---- */

static int fetch(const char *user, uint64_t *got, struct rx_error *err)
{
	struct rx_rpc_client fs = client_as(&a, user, 0);
	struct afs_FetchData64_in in = { .fid = file, .length = 4 };
	struct afs_FetchData64_out out;
	char text[8];
	struct rx_rpc_sink sink = { .buf = text };

	return afs_FetchData64(&fs, &in, &sink, got, &out, err);
}

static void test_cut(void)
{
	struct rx_error err;
	uint64_t got;

	begin();
	rule("rpc name FetchData64 -> cut 3");
	CU_ASSERT_EQUAL(fetch("alice", &got, &err), -1);
	CU_ASSERT(got == 3 && err.code == RXGEN_CC_UNMARSHAL);
	rule("rpc name FetchStatus -> cut 40");
	CU_ASSERT_EQUAL(status(&a, "alice"), RXGEN_CC_UNMARSHAL);
	rule("rpc name StoreData64 -> cut 2");
	CU_ASSERT_EQUAL(client_store(&a, "alice", file, 0, "abcd", 4, NULL), -32);
	end();
}

static void test_length(void)
{
	struct afs_fetch_status st;
	struct rx_error err;
	uint64_t got;

	begin();
	rule("rpc name FetchData64 nth 1 -> length +1");
	rule("rpc name FetchData64 nth 2 -> length -1");
	CU_ASSERT_EQUAL(fetch("alice", &got, &err), -1);
	CU_ASSERT_EQUAL(err.code, RX_PROTOCOL_ERROR);
	/* One byte of the data is taken for the status, which is nonsense then, but would decode. */
	CU_ASSERT_EQUAL(fetch("alice", &got, &err), -1);
	CU_ASSERT(got == 3 && err.code == RXGEN_CC_UNMARSHAL);
	rule("rpc name FetchStatus -> length -2");
	CU_ASSERT_EQUAL(client_status(&a, "alice", file, &st), 0);
	CU_ASSERT_EQUAL(st.length, 2);
	end();
}

static void test_array(void)
{
	struct afs_fid fids[2];
	struct afs_InlineBulkStatus_in in = { .fids = { 2, fids } };
	struct afs_InlineBulkStatus_out out;
	struct rx_rpc_client fs;

	begin();
	fids[0] = home;
	fids[1] = file;
	fs = client_as(&a, "alice", 0);
	rule("rpc name InlineBulkStatus nth 1 -> array short 1");
	rule("rpc name InlineBulkStatus nth 2 -> array long 3");
	rule("rpc name InlineBulkStatus nth 3 -> array short 7");
	rule("rpc name InlineBulkStatus nth 4 -> array long 60"); /* beyond the protocol's limit */
	for (unsigned i = 0; i < 3; i++) {
		static const uint32_t n[] = { 1, 5, 0 };

		CU_ASSERT_EQUAL(afs_InlineBulkStatus(&fs, &in, &out, NULL), 0);
		CU_ASSERT(out.statuses.len == n[i] && out.callbacks.len == 2);
		CU_ASSERT(!n[i] || out.statuses.items[0].file_type == AFS_TYPE_DIR);
		CU_ASSERT(n[i] < 5 || out.statuses.items[4].length == 4);
		afs_InlineBulkStatus_free(&out);
	}
	CU_ASSERT_EQUAL(afs_InlineBulkStatus(&fs, &in, &out, NULL), -1);
	end();
}

static void test_garbage(void)
{
	begin();
	rule("rpc name FetchStatus nth 1 -> garbage 10");
	rule("rpc name FetchStatus nth 2 -> garbage 5000");
	CU_ASSERT_EQUAL(status(&a, "alice"), RXGEN_CC_UNMARSHAL);
	CU_ASSERT_EQUAL(status(&a, "alice"), 0); /* any words are a status */
	CU_ASSERT_EQUAL(status(&a, "alice"), 0);
	end();
}

/* ---- commands ---- */

#define SAYS(text, ...)                                                                                                \
	do {                                                                                                           \
		const char *said_ = ctl(__VA_ARGS__);                                                                  \
                                                                                                                       \
		CU_ASSERT(said_ && !strcmp(said_, text));                                                              \
		if (!said_ || strcmp(said_, text))                                                                     \
			printf("\n    %s", said_ ? said_ : "refused");                                                 \
	} while (0)

static void test_control_files(void)
{
	char path[128];

	begin();
	SAYS("text\n", "read home:f");
	CU_ASSERT_EQUAL(status(&b, "bob"), 0);
	SAYS("", "write home:f 2 behind \x01");
	CU_ASSERT_EQUAL(b.breaks, 1);
	SAYS("tebehind \\x01\n", "read /afs/test.cell/home/f");
	SAYS("be\n", "read %u.%u.%u 2 2", file.volume, file.vnode, file.unique);
	CU_ASSERT_STRING_EQUAL(client_read(&b, "bob", file), "tebehind \x01");
	SAYS("", "truncate home:f 2");
	CU_ASSERT_EQUAL(b.breaks, 2);
	SAYS("2d6c9a90dd38f6852515274cde41a8cd8e7e1a7a053835334ec7e29f61b918dd 2\n", "cksum home:f");
	CU_ASSERT_PTR_NOT_NULL(strstr(ctl("ls home:private/.."), "f\n"));
	SAYS("", "mkdir home:d");
	SAYS("", "write home:d/new 0 x");
	CU_ASSERT_PTR_NULL(ctl("rm home:d"));
	SAYS("", "rm home:d/new");
	SAYS("", "rm home:d");
	CU_ASSERT_PTR_NULL(ctl("stat home:d"));
	snprintf(path, sizeof(path), "%s/copy", world.dir);
	SAYS("", "get home:f %s", path);
	SAYS("", "put %s /afs/test.cell/home/g", path);
	SAYS("te\n", "read home:g");
	CU_ASSERT_PTR_NULL(ctl("put %s/none home:g", world.dir));
	CU_ASSERT_PTR_NULL(ctl("read nowhere:g"));
	CU_ASSERT_PTR_NULL(ctl("read home:f x"));
	CU_ASSERT_PTR_NULL(ctl("read"));
	end();
}

static void test_control_rights(void)
{
	begin();
	SAYS("", "setacl home: alice none");
	SAYS("", "setacl home: bob rlw");
	SAYS("", "setacl home: carol -l");
	SAYS("system:administrators rlidwka\nsystem:anyuser rl\nbob rlw\ncarol rl\ncarol -l\n", "acl home:");
	CU_ASSERT_EQUAL(client_store(&b, "bob", file, 0, "x", 1, NULL), 0);
	SAYS("", "revoke bob w home:f");
	CU_ASSERT_EQUAL(client_store(&b, "bob", file, 0, "x", 1, NULL), UAE_EACCES);
	CU_ASSERT_PTR_NULL(ctl("setacl home: nobody rl"));
	CU_ASSERT_PTR_NULL(ctl("setacl home: bob rx"));
	CU_ASSERT_PTR_NULL(ctl("setacl home:f bob r"));
	end();
}

static void test_control_servers(void)
{
	char path[128];

	begin();
	CU_ASSERT_EQUAL(status(&b, "bob"), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(ctl("stat home:f"), "promises 2"));
	SAYS("", "break home:f");
	CU_ASSERT(a.breaks == 1 && b.breaks == 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(ctl("stat home:f"), "promises 0"));
	SAYS("", "busy home 2");
	CU_ASSERT_EQUAL(status(&a, "alice"), VBUSY);
	CU_ASSERT_EQUAL(status(&b, "bob"), VBUSY);
	CU_ASSERT_EQUAL(status(&b, "bob"), 0);
	SAYS("", "offline home");
	CU_ASSERT_EQUAL(status(&b, "bob"), VOFFLINE);
	SAYS("", "online home");
	CU_ASSERT_EQUAL(status(&b, "bob"), 0);
	SAYS("", "expire bob");
	CU_ASSERT_EQUAL(status(&b, "bob"), RXKAD_EXPIRED);
	snprintf(path, sizeof(path), "%s/ccache/bob", world.dir);
	SAYS("", "ticket bob 1min %s", path);
	CU_ASSERT_EQUAL(status(&b, "bob"), RXKAD_EXPIRED); /* with the old one */
	client_end(&b);
	client_begin(&b, 2, 0);
	CU_ASSERT_EQUAL(status(&b, "bob"), 0);
	SAYS("", "restart");
	rx_conn_set_dead_time(client_as(&b, "bob", 0).conn, 1);
	CU_ASSERT_EQUAL(status(&b, "bob"), 0); /* the connection is made anew, unseen */
	CU_ASSERT_EQUAL(b.resets, 1);
	CU_ASSERT_PTR_NOT_NULL(ctl("clock +1min"));
	SAYS("", "break all");
	CU_ASSERT_PTR_NULL(ctl("clock 1"));
	CU_ASSERT_PTR_NULL(ctl("restart 10.0.0.1"));
	CU_ASSERT_PTR_NULL(ctl("move nothing 10.0.0.1"));
	end();
}

UNIT_MAIN("cell faults", { "abort, offline, salvage", test_abort }, { "no quorum", test_no_quorum },
	  { "delay", test_delay }, { "held calls keep nobody else waiting", test_hold },
	  { "what is held ends with the cell", test_hold_ends_with_cell }, { "busy, so many times", test_busy },
	  { "done, and never answered", test_lose_reply }, { "breaks before, during and after", test_break },
	  { "rights taken", test_revoke }, { "the file changed", test_change }, { "the volume moved", test_moved },
	  { "tickets expired", test_expire }, { "the server restarted", test_restart },
	  { "the server down", test_down }, { "the clock", test_clock }, { "replies and stores cut", test_cut },
	  { "lengths", test_length }, { "arrays", test_array }, { "garbage", test_garbage },
	  { "commands on files", test_control_files }, { "commands on rights", test_control_rights },
	  { "commands on servers", test_control_servers })
