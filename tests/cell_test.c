/* The embedded cell over loopback, driven through the client's stubs by bare clients: first
 * contact, promises and breaks, rights, data, names, quota, locks, hooks, releases. */
#include <errno.h>

#include "tests/cell_client.h"
#include "tests/unit.h"

enum { UAE = 49733376, VNOVNODE = 102, VOVERQUOTA = 109 };

static struct client a, b;
static struct afs_fid home;

static void begin(void)
{
	world_begin(NULL, false);
	client_begin(&a, 1, 0);
	client_begin(&b, 2, 0);
	home = client_root(&a, "home");
}

static void end(void)
{
	client_end(&a);
	client_end(&b);
	world_end();
}

/* ---- hosts and promises ---- */

static void test_first_contact(void)
{
	struct rx_rpc_client fs;
	struct afs_fid f;

	begin();
	fs = client_as(&a, NULL, 0);
	CU_ASSERT_EQUAL(afs_XStatsVersion(&fs, NULL, NULL, NULL), 0);
	CU_ASSERT_EQUAL(a.questions, 0); /* that is no contact */
	CU_ASSERT_EQUAL(afs_GetTime(&fs, NULL, NULL, NULL), 0);
	CU_ASSERT(a.questions == 1 && a.resets == 1);
	CU_ASSERT_EQUAL(client_status(&a, NULL, home, NULL), 0);
	CU_ASSERT(a.questions == 1 && a.resets == 1);
	CU_ASSERT_EQUAL(client_status(&a, "alice", home, NULL), 0);
	CU_ASSERT(a.questions == 2 && a.resets == 1); /* still the same? asked for a new connection */
	CU_ASSERT_EQUAL(client_status(&a, "alice", home, NULL), 0);
	CU_ASSERT_EQUAL(a.questions, 2);
	CU_ASSERT_EQUAL(client_create(&a, "carol", home, "f", &f), UAE_EACCES);
	b.old_style = true;
	CU_ASSERT_EQUAL(client_create(&b, "carol", home, "f", &f), EACCES); /* not translated */
	CU_ASSERT(b.questions == 1 && b.resets == 1);
	end();
}

static void test_breaks(void)
{
	struct afs_fid f;

	begin();
	CU_ASSERT_EQUAL(client_create(&a, "alice", home, "f", &f), 0);
	CU_ASSERT_EQUAL(client_status(&b, "bob", f, NULL), 0);
	CU_ASSERT_EQUAL(client_store(&b, "bob", f, 0, "one", 3, NULL), 0);
	CU_ASSERT_EQUAL(a.breaks, 1); /* before b had its answer */
	CU_ASSERT(afs_fid_equal(&a.last, &f));
	CU_ASSERT_EQUAL(b.breaks, 0); /* its own doing */
	CU_ASSERT_EQUAL(client_store(&b, "bob", f, 0, "two", 3, NULL), 0);
	CU_ASSERT_EQUAL(a.breaks, 1); /* nothing is promised any more */
	CU_ASSERT_STRING_EQUAL(client_read(&a, "alice", f), "two");
	CU_ASSERT_EQUAL(client_status(&a, "alice", home, NULL), 0);
	CU_ASSERT_EQUAL(client_create(&b, "bob", home, "g", NULL), 0);
	CU_ASSERT_EQUAL(a.breaks, 2);
	CU_ASSERT(afs_fid_equal(&a.last, &home));
	CU_ASSERT_EQUAL(client_status(&b, "bob", home, NULL), 0);
	CU_ASSERT_EQUAL(client_acl(&a, "admin", home, "1\n0\nalice\t127\n"), 0);
	CU_ASSERT_EQUAL(b.breaks, 1);
	end();
}

static void test_giving_up(void)
{
	struct afs_GiveUpCallBacks_in in = { 0 };
	struct rx_rpc_client fs;
	struct afs_fid f, g;

	begin();
	CU_ASSERT_EQUAL(client_create(&a, "alice", home, "f", &f), 0);
	CU_ASSERT_EQUAL(client_create(&a, "alice", home, "g", &g), 0);
	fs = client_as(&a, "alice", 0);
	in.fids.len = 1;
	in.fids.items = &f;
	CU_ASSERT_EQUAL(afs_GiveUpCallBacks(&fs, &in, NULL, NULL), 0);
	CU_ASSERT_EQUAL(client_store(&b, "bob", f, 0, "x", 1, NULL), 0);
	CU_ASSERT_EQUAL(a.breaks, 0);
	CU_ASSERT_EQUAL(afs_GiveUpAllCallBacks(&fs, NULL, NULL, NULL), 0);
	CU_ASSERT_EQUAL(client_store(&b, "bob", g, 0, "x", 1, NULL), 0);
	CU_ASSERT_EQUAL(a.breaks, 0);
	CU_ASSERT_EQUAL(client_status(&a, "alice", g, NULL), 0); /* who comes now is asked anew */
	CU_ASSERT(a.questions == 2 && a.resets == 1);
	end();
}

static void test_breaks_at_once(void)
{
	struct client_meeting meeting = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 3 };
	struct client more[3];
	struct afs_fid f;

	begin();
	CU_ASSERT_EQUAL(client_create(&b, "bob", home, "f", &f), 0);
	for (uint8_t i = 0; i < 3; i++) {
		client_begin(&more[i], (uint8_t)(10 + i), 0);
		CU_ASSERT_EQUAL(client_status(&more[i], "alice", f, NULL), 0);
		more[i].meeting = &meeting;
	}
	CU_ASSERT_EQUAL(client_store(&b, "bob", f, 0, "x", 1, NULL), 0);
	CU_ASSERT_EQUAL(meeting.here, 3);
	for (unsigned i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(more[i].breaks, 1);
		client_end(&more[i]);
	}
	end();
}

static void test_silent_client(void)
{
	uint16_t port;
	struct afs_fid f;

	begin();
	port = rx_loop_port(a.loop);
	CU_ASSERT_EQUAL(client_create(&a, "alice", home, "f", &f), 0);
	client_end(&a);
	CU_ASSERT_EQUAL(client_store(&b, "bob", f, 0, "x", 1, NULL), 0); /* waits for a, then goes on */
	client_begin(&a, 1, port);
	CU_ASSERT_EQUAL(client_status(&a, "alice", f, NULL), 0);
	CU_ASSERT_EQUAL(a.breaks, 1); /* what it missed came before the answer */
	CU_ASSERT(afs_fid_equal(&a.last, &f));
	end();
}

static void test_moved_client(void)
{
	struct client again;
	struct afs_fid f;

	begin();
	CU_ASSERT_EQUAL(client_create(&a, "alice", home, "f", &f), 0);
	client_begin(&again, 1, 0); /* the same client at another port: its promises are there too */
	CU_ASSERT_EQUAL(client_status(&again, "alice", home, NULL), 0);
	CU_ASSERT(again.questions == 1 && again.resets == 0);
	CU_ASSERT_EQUAL(client_store(&b, "bob", f, 0, "x", 1, NULL), 0);
	CU_ASSERT(again.breaks == 1 && a.breaks == 0);
	client_end(&again);
	end();
}

static void control(const char *command, char said[256])
{
	FILE *out = fmemopen(memset(said, 0, 256), 256, "w");
	struct rx_error err;
	int rc;

	CU_ASSERT(cell_control(world.cell, command, out, &rc, &err) && rc == 0);
	fclose(out);
}

/* Clients that have not called for long: asked after 15 minutes if they hold promises, forgotten after two hours. */
static void test_quiet_clients(void)
{
	char said[256] = "";
	struct afs_fid f;

	begin();
	CU_ASSERT_EQUAL(client_create(&a, "alice", home, "f", &f), 0);
	CU_ASSERT_EQUAL(client_create(&b, "bob", home, "g", &f), 0);
	CU_ASSERT_EQUAL(afs_GiveUpAllCallBacks(&(struct rx_rpc_client){ .conn = client_as(&b, "bob", 0).conn }, NULL,
					       NULL, NULL),
			0);
	control("check-hosts", said);
	CU_ASSERT(a.probes == 0 && b.probes == 0);
	world_turn_clock(16 * 60);
	control("check-hosts", said);
	CU_ASSERT(a.probes == 1 && b.probes == 0 && a.resets == 1);
	a.uuid.time_low++; /* somebody else lives there now */
	control("check-hosts", said);
	control("promises", said);
	CU_ASSERT_PTR_NOT_NULL(strstr(said, " down"));
	a.uuid.time_low--;
	CU_ASSERT_EQUAL(client_status(&a, "alice", home, NULL), 0);
	control("promises", said);
	CU_ASSERT_PTR_NULL(strstr(said, " down"));
	world_turn_clock(2 * 3600 + 1);
	control("check-hosts", said);
	CU_ASSERT(a.resets == 2 && b.resets == 2);
	control("promises", said);
	CU_ASSERT_STRING_EQUAL(said, "");
	end();
}

/* Another client has the port now: its promises are not those of the one before. */
static void test_other_client(void)
{
	struct afs_fid f;
	uint16_t port;

	begin();
	port = rx_loop_port(a.loop);
	CU_ASSERT_EQUAL(client_create(&a, "alice", home, "f", &f), 0);
	client_end(&a);
	client_begin(&a, 3, port);
	CU_ASSERT_EQUAL(client_status(&a, "bob", home, NULL), 0);
	CU_ASSERT(a.questions == 1 && a.resets == 1);
	CU_ASSERT_EQUAL(client_store(&b, "bob", f, 0, "x", 1, NULL), 0);
	CU_ASSERT_EQUAL(a.breaks, 0);
	end();
}

static void test_release(void)
{
	struct afs_fid ro, rw, f;
	struct afs_fetch_status st;

	begin();
	rw = client_root(&a, "ro");
	ro = client_root(&a, "ro.readonly");
	CU_ASSERT_NOT_EQUAL(rw.volume, ro.volume);
	CU_ASSERT_EQUAL(client_status(&a, NULL, ro, &st), 0);
	CU_ASSERT_EQUAL(st.data_version, 1);
	CU_ASSERT_EQUAL(client_create(&b, "alice", ro, "f", &f), UAE + 29); /* EROFS */
	CU_ASSERT_EQUAL(client_create(&b, "alice", rw, "f", &f), 0);
	CU_ASSERT_EQUAL(a.breaks, 0);
	CU_ASSERT_EQUAL(cell_release(world.cell, "ro", NULL), 0);
	CU_ASSERT_EQUAL(a.breaks, 1);
	CU_ASSERT(a.last.volume == ro.volume && a.last.vnode == 0 && a.last.unique == 0);
	CU_ASSERT_EQUAL(client_status(&a, NULL, ro, &st), 0);
	CU_ASSERT_EQUAL(st.data_version, 2);
	CU_ASSERT_EQUAL(cell_release(world.cell, "no-such", NULL), -1);
	end();
}

/* ---- data ---- */

static void test_store_lengths(void)
{
	struct afs_fetch_status st;
	struct afs_fid f;

	begin();
	CU_ASSERT_EQUAL(client_create(&a, "alice", home, "f", &f), 0);
	CU_ASSERT_EQUAL(client_store(&a, "alice", f, 0, "0123456789", 10, &st), 0);
	CU_ASSERT(st.length == 10 && st.data_version == 1 && st.author == 2);
	CU_ASSERT_EQUAL(client_store(&a, "alice", f, 2, "ab", 5, &st), 0); /* cut to 5, then written */
	CU_ASSERT_STRING_EQUAL(client_read(&a, "alice", f), "01ab4");
	CU_ASSERT_EQUAL(client_store(&a, "alice", f, 8, "", 100, &st), 0); /* a longer FileLength extends nothing */
	CU_ASSERT_EQUAL(st.length, 8);
	CU_ASSERT_EQUAL(client_store(&a, "alice", f, 0, "", 3, &st), 0);
	CU_ASSERT(st.length == 3 && st.data_version == 4);
	CU_ASSERT_EQUAL(client_store(&a, "alice", f, 5, "z", 6, &st), 0);
	CU_ASSERT_EQUAL(st.length, 6);
	client_read(&a, "alice", f);
	CU_ASSERT_EQUAL(memcmp(client_read(&a, "alice", f), "01a\0\0z", 6), 0);      /* a hole reads as zeros */
	CU_ASSERT_EQUAL(client_store(&a, "alice", home, 0, "x", 1, NULL), UAE + 20); /* EISDIR */
	CU_ASSERT_EQUAL(client_store(&a, "alice", (struct afs_fid){ home.volume, 2, 99 }, 0, "x", 1, NULL), VNOVNODE);
	end();
}

static int fail_after_16k(void *arg, void *bytes, size_t len, struct rx_error *err)
{
	if (*(int *)arg)
		return rx_error_errno(err, EIO, "the source fails");
	memset(bytes, 'x', len);
	*(int *)arg = 1;
	return 0;
}

/* RPC-17: an aborted store leaves whole pieces and a new version. */
static void test_aborted_store(void)
{
	int pieces = 0;
	struct rx_rpc_source source = { .fn = fail_after_16k, .arg = &pieces };
	struct afs_StoreData64_in in = { .length = 200000, .file_length = 200000 };
	struct rx_rpc_client fs;
	struct afs_fetch_status st;

	begin();
	fs = client_as(&a, "alice", 0);
	CU_ASSERT_EQUAL(client_create(&a, "alice", home, "f", &in.fid), 0);
	CU_ASSERT_EQUAL(afs_StoreData64(&fs, &in, &source, NULL, NULL), -1);
	CU_ASSERT_EQUAL(client_status(&a, "alice", in.fid, &st), 0);
	CU_ASSERT_EQUAL(st.data_version, 1);
	CU_ASSERT(st.length % 16384 == 0 && st.length <= 65536);
	end();
}

static void test_quota(void)
{
	struct afs_SetVolumeStatus_in in = { .status = { .mask = AFS_SET_MAX_QUOTA, .max_quota = 3 },
					     .name = (char[]){ "" },
					     .offline_message = (char[]){ "" },
					     .motd = (char[]){ "" } };
	struct rx_rpc_client fs, as_alice;
	struct afs_fetch_status st;
	struct rx_error err;
	struct afs_fid q, f;

	begin();
	q = client_root(&a, "quota");
	in.volume = q.volume;
	fs = client_as(&a, "admin", 0);
	as_alice = client_as(&a, "alice", 0);
	CU_ASSERT_EQUAL(afs_SetVolumeStatus(&as_alice, &in, NULL, &err), -1);
	CU_ASSERT_EQUAL(err.code, UAE_EACCES);
	CU_ASSERT_EQUAL(afs_SetVolumeStatus(&fs, &in, NULL, NULL), 0);
	CU_ASSERT_EQUAL(client_create(&a, "alice", q, "f", &f), 0);
	CU_ASSERT_EQUAL(client_create(&a, "alice", q, "g", NULL), VOVERQUOTA);
	/* Stores have 1 MiB of slack. */
	CU_ASSERT_EQUAL(client_store(&a, "alice", f, 1024 * 1024, "x", 2000000, NULL), 0);
	CU_ASSERT_EQUAL(client_store(&a, "alice", f, 1025 * 1024, "x", 2000000, NULL), VOVERQUOTA);
	CU_ASSERT_EQUAL(client_status(&a, "alice", f, &st), 0);
	CU_ASSERT(st.length == 1024 * 1024 + 1 && st.data_version == 1); /* the refused one changed nothing */
	end();
}

/* ---- rights ---- */

static void test_rights(void)
{
	struct afs_fetch_status st;
	struct afs_fid drop, f;

	begin();
	CU_ASSERT_EQUAL(client_mkdir(&a, "alice", home, "drop", &drop), 0);
	CU_ASSERT_EQUAL(client_acl(&a, "alice", drop, "1\n0\ncarol\t4\n"), UAE_EACCES); /* no a */
	CU_ASSERT_EQUAL(client_acl(&a, "admin", drop, "3\n1\ncarol\t4\nalice\t9\nsystem:anyuser\t8\ncarol\t8\n"), 0);
	CU_ASSERT_EQUAL(client_create(&a, "carol", drop, "f", &f), 0);
	CU_ASSERT_EQUAL(client_store(&a, "carol", f, 0, "mail", 4, NULL), 0); /* insert-only: her own */
	CU_ASSERT_STRING_EQUAL(client_read(&a, "carol", f), "mail");
	CU_ASSERT_PTR_NULL(client_read(&a, "carol", drop)); /* l was taken away */
	CU_ASSERT_STRING_EQUAL(client_read(&a, "alice", f), "mail");
	CU_ASSERT_EQUAL(client_store(&a, "alice", f, 0, "ours", 4, NULL), UAE_EACCES);
	CU_ASSERT_PTR_NULL(client_read(&a, NULL, f));
	CU_ASSERT_EQUAL(client_status(&a, NULL, drop, &st), 0);
	CU_ASSERT(st.caller_access == 8 && st.anonymous_access == 8);
	CU_ASSERT_EQUAL(client_status(&a, "carol", f, &st), 0);
	CU_ASSERT_EQUAL(st.caller_access, 4 | 64); /* a: she owns it */
	end();
}

static void test_bulk(void)
{
	struct afs_fid fids[3];
	struct afs_InlineBulkStatus_in in = { .fids = { 3, fids } };
	struct afs_InlineBulkStatus_out out;
	struct afs_BulkStatus_in old = { .fids = { 3, fids } };
	struct afs_StoreACL_in acl = { .dir = home };
	struct afs_Lookup_in lookup = { .name = (char[]){ "x" } };
	struct rx_rpc_client fs;
	struct rx_error err;

	begin();
	fids[0] = fids[1] = fids[2] = home;
	fids[1].unique = 77;
	fs = client_as(&a, "alice", 0);
	CU_ASSERT_EQUAL(afs_InlineBulkStatus(&fs, &in, &out, NULL), 0);
	CU_ASSERT_EQUAL(out.statuses.len, 3);
	CU_ASSERT(out.statuses.items[0].error_code == 0 && out.callbacks.items[0].expires > 0);
	CU_ASSERT(out.statuses.items[1].error_code == VNOVNODE && out.statuses.items[1].interface_version == 1);
	CU_ASSERT(out.callbacks.items[1].expires == 0 && out.statuses.items[2].file_type == AFS_TYPE_DIR);
	afs_InlineBulkStatus_free(&out);
	CU_ASSERT_EQUAL(afs_BulkStatus(&fs, &old, NULL, &err), -1);
	CU_ASSERT_EQUAL(err.code, VNOVNODE);
	CU_ASSERT_EQUAL(afs_StoreACL(&fs, &acl, NULL, &err), -1);
	CU_ASSERT_EQUAL(err.code, RXGEN_OPCODE); /* as 1.8.9; the connection goes on */
	CU_ASSERT_EQUAL(afs_Lookup(&fs, &lookup, NULL, &err), -1);
	CU_ASSERT_EQUAL(err.code, EINVAL); /* never translated */
	end();
}

/* ---- names ---- */

static int32_t move(const char *user, struct afs_fid from, const char *old, struct afs_fid to, const char *new)
{
	struct rx_rpc_client fs = client_as(&a, user, 0);
	struct afs_Rename_in in = {
		.old_dir = from, .old_name = (char *)(uintptr_t)old, .new_dir = to, .new_name = (char *)(uintptr_t) new
	};
	struct rx_error err;

	return afs_Rename(&fs, &in, NULL, &err) ? err.code : 0;
}

static int32_t remove_dir(struct afs_fid dir, const char *name)
{
	struct rx_rpc_client fs = client_as(&a, "alice", 0);
	struct afs_RemoveDir_in in = { .dir = dir, .name = (char *)(uintptr_t)name };
	struct rx_error err;

	return afs_RemoveDir(&fs, &in, NULL, &err) ? err.code : 0;
}

static void test_rename(void)
{
	struct afs_fid d, e, f, g, far;
	struct afs_fetch_status st;

	begin();
	far = client_root(&a, "far");
	CU_ASSERT_EQUAL(client_mkdir(&a, "alice", home, "d", &d), 0);
	CU_ASSERT_EQUAL(client_mkdir(&a, "alice", d, "e", &e), 0);
	CU_ASSERT_EQUAL(client_create(&a, "alice", d, "f", &f), 0);
	CU_ASSERT_EQUAL(client_create(&a, "alice", d, "g", &g), 0);
	CU_ASSERT_EQUAL(client_status(&a, "alice", d, &st), 0);
	CU_ASSERT(st.data_version == 3 && st.link_count == 3 && st.parent_vnode == d.vnode);
	CU_ASSERT_EQUAL(move("alice", home, "d", e, "x"), UAE + 88); /* 90: into itself */
	CU_ASSERT_EQUAL(move("alice", d, "f", far, "x"), UAE + 17);  /* EXDEV */
	CU_ASSERT_EQUAL(move("alice", d, "f", d, "e"), UAE + 20);    /* over a directory */
	CU_ASSERT_EQUAL(move("alice", d, "e", d, "f"), UAE + 19);
	CU_ASSERT_EQUAL(move("alice", d, "f", d, "f"), UAE + 21);
	CU_ASSERT_EQUAL(move("alice", d, ".", d, "x"), UAE + 21);
	CU_ASSERT_EQUAL(move("carol", d, "f", d, "x"), UAE_EACCES);
	CU_ASSERT_EQUAL(move("alice", d, "f", d, "g"), 0); /* over another file, which is gone then */
	CU_ASSERT_EQUAL(client_status(&a, "alice", g, NULL), VNOVNODE);
	CU_ASSERT_EQUAL(client_status(&a, "alice", d, &st), 0);
	CU_ASSERT_EQUAL(st.data_version, 4);
	CU_ASSERT_EQUAL(move("alice", d, "e", home, "e"), 0);
	CU_ASSERT_EQUAL(client_status(&a, "alice", e, &st), 0);
	CU_ASSERT_EQUAL(st.data_version, 1); /* its ".." */
	CU_ASSERT_EQUAL(a.breaks, 1);        /* which even the caller is told */
	CU_ASSERT_EQUAL(client_status(&a, "alice", d, &st), 0);
	CU_ASSERT_EQUAL(st.link_count, 2);
	CU_ASSERT_EQUAL(remove_dir(home, "d"), UAE + 16); /* not empty */
	CU_ASSERT_EQUAL(remove_dir(home, "e"), 0);
	CU_ASSERT_EQUAL(client_create(&a, "alice", home, "x@sys", NULL), UAE + 21);
	CU_ASSERT_EQUAL(client_create(&a, "alice", home, "a/b", NULL), UAE + 21);
	CU_ASSERT_EQUAL(client_create(&a, "alice", home, "d", NULL), UAE + 16);
	end();
}

static int32_t make_link(const char *name, struct afs_fid dir, struct afs_fid file, struct afs_fetch_status *st)
{
	struct rx_rpc_client fs = client_as(&a, "alice", 0);
	struct afs_Link_in in = { .dir = dir, .name = (char *)(uintptr_t)name, .existing = file };
	struct afs_Link_out out = { 0 };
	struct rx_error err;
	int32_t code = afs_Link(&fs, &in, &out, &err) ? err.code : 0;

	*st = out.status;
	return code;
}

static void test_links(void)
{
	struct rx_rpc_client fs;
	struct afs_RemoveFile_in rm = { .name = (char[]){ "f" } };
	struct afs_Symlink_in mount = { .name = (char[]){ "m" },
					.contents = (char[]){ "#far." },
					.status = { .mask = AFS_SET_MODE, .mode = 0644 } };
	struct afs_fetch_status st;
	struct rx_error err;
	struct afs_fid d, f;

	begin();
	fs = client_as(&a, "alice", 0);
	rm.dir = mount.dir = home;
	CU_ASSERT_EQUAL(client_mkdir(&a, "alice", home, "d", &d), 0);
	CU_ASSERT_EQUAL(client_create(&a, "alice", home, "f", &f), 0);
	CU_ASSERT_EQUAL(make_link("g", home, f, &st), 0);
	CU_ASSERT(st.link_count == 2 && st.data_version == 0);
	CU_ASSERT_EQUAL(make_link("h", d, f, &st), UAE + 17);
	CU_ASSERT_EQUAL(make_link("h", home, d, &st), UAE + 20);
	CU_ASSERT_EQUAL(move("alice", home, "g", d, "g"), UAE + 17);
	CU_ASSERT_EQUAL(afs_RemoveFile(&fs, &rm, NULL, NULL), 0);
	CU_ASSERT_EQUAL(client_status(&a, "alice", f, &st), 0);
	CU_ASSERT_EQUAL(st.link_count, 1);
	CU_ASSERT_EQUAL(afs_Symlink(&fs, &mount, NULL, &err), -1); /* a mount point needs a */
	CU_ASSERT_EQUAL(err.code, UAE_EACCES);
	mount.status.mode = 0755;
	CU_ASSERT_EQUAL(afs_Symlink(&fs, &mount, NULL, NULL), 0);
	end();
}

/* ---- locks, hooks ---- */

static int32_t lock(struct client *c, const char *user, struct afs_fid f, int32_t type)
{
	struct rx_rpc_client fs = client_as(c, user, 0);
	struct afs_SetLock_in in = { .fid = f, .type = type };
	struct rx_error err;

	return afs_SetLock(&fs, &in, NULL, &err) ? err.code : 0;
}

static void test_locks(void)
{
	struct afs_ReleaseLock_in release;
	struct afs_fetch_status st;
	struct rx_rpc_client fs;
	struct afs_fid f;

	begin();
	fs = client_as(&a, "alice", 0);
	CU_ASSERT_EQUAL(client_create(&a, "alice", home, "f", &f), 0);
	CU_ASSERT_EQUAL(lock(&a, "alice", f, AFS_LOCK_READ), 0);
	CU_ASSERT_EQUAL(lock(&b, "bob", f, AFS_LOCK_READ), 0);
	CU_ASSERT_EQUAL(lock(&b, "bob", f, AFS_LOCK_WRITE), UAE + 10); /* EAGAIN */
	CU_ASSERT_EQUAL(lock(&b, "carol", f, AFS_LOCK_READ), UAE_EACCES);
	CU_ASSERT_EQUAL(lock(&b, "bob", f, 7), UAE + 21);
	world_turn_clock(301);
	CU_ASSERT_EQUAL(client_status(&a, "alice", f, &st), 0);
	CU_ASSERT_EQUAL(st.lock_count, 0); /* both have lapsed */
	CU_ASSERT_EQUAL(lock(&b, "bob", f, AFS_LOCK_WRITE), 0);
	CU_ASSERT_EQUAL(client_status(&a, "alice", f, &st), 0);
	CU_ASSERT_EQUAL(st.lock_count, -1);
	CU_ASSERT_EQUAL(lock(&a, "alice", f, AFS_LOCK_READ), UAE + 10);
	release.fid = f;
	CU_ASSERT_EQUAL(client_status(&b, "bob", f, NULL), 0);
	CU_ASSERT_EQUAL(afs_ReleaseLock(&fs, &release, NULL, NULL), 0); /* anybody's, by anybody */
	CU_ASSERT_EQUAL(b.breaks, 1);                                   /* it may be free now */
	CU_ASSERT_EQUAL(lock(&a, "alice", f, AFS_LOCK_READ), 0);
	end();
}

static struct cell_rpc seen;
static char seen_user[32];
static int32_t seen_code;

static int32_t before(void *arg, const struct cell_rpc *rpc)
{
	if (strcmp(rpc->name, "StoreData64"))
		return 0;
	seen = *rpc;
	snprintf(seen_user, sizeof(seen_user), "%s", rpc->user);
	return *(int32_t *)arg;
}

static int32_t after(void *arg, const struct cell_rpc *rpc, int32_t code)
{
	(void)arg;
	if (!strcmp(rpc->name, "StoreData64"))
		seen_code = code;
	return code;
}

static void test_hooks(void)
{
	int32_t code = 110;
	struct cell_hooks hooks = { before, after, &code };
	struct afs_fetch_status st;
	struct afs_fid f;

	world_begin(&hooks, false);
	client_begin(&a, 1, 0);
	home = client_root(&a, "home");
	CU_ASSERT_EQUAL(client_create(&a, "alice", home, "f", &f), 0);
	CU_ASSERT_EQUAL(client_store(&a, "alice", f, 0, "x", 1, NULL), 110);
	CU_ASSERT(afs_fid_equal(&seen.fid, &f) && seen.volume == home.volume && !strcmp(seen.service, "fs"));
	CU_ASSERT_STRING_EQUAL(seen_user, "alice");
	CU_ASSERT(seen.client.port == rx_loop_port(a.loop) && rx_addr_ip(&seen.server) == world.ip[0]);
	CU_ASSERT_EQUAL(seen_code, 110);
	CU_ASSERT_EQUAL(client_status(&a, "alice", f, &st), 0);
	CU_ASSERT_EQUAL(st.data_version, 0);
	code = 0;
	CU_ASSERT_EQUAL(client_store(&a, "alice", f, 0, "x", 1, NULL), 0);
	CU_ASSERT_EQUAL(seen_code, 0);
	client_end(&a);
	world_end();
}

static void test_port_in_use(void)
{
	struct cell_config config = { .name = "test.cell", .nfs = 1 };
	struct rx_error err = { 0 };

	begin();
	config.db_ip = world.ip[0];
	config.fs_ip = world.ip;
	CU_ASSERT_PTR_NULL(cell_new(&config, &err));
	CU_ASSERT_EQUAL(err.errnum, EADDRINUSE);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "volume location server"));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, ":7003"));
	end();
}

UNIT_MAIN("cell", { "first contact: asked and reset once, errors translated for who wants it", test_first_contact },
	  { "promises: who is told of what, and when", test_breaks },
	  { "promises given up, one or all", test_giving_up },
	  { "several clients are told at once", test_breaks_at_once },
	  { "a silent client is waited for once, and told later", test_silent_client },
	  { "a known client at another port keeps its promises", test_moved_client },
	  { "another client at a known port", test_other_client },
	  { "clients that do not call are asked, then forgotten", test_quiet_clients },
	  { "RPC-38 a release breaks the volume's promises", test_release },
	  { "RPC-14 RPC-15 Pos, Length, FileLength: cut, extend, holes", test_store_lengths },
	  { "RPC-17 an aborted store", test_aborted_store },
	  { "RPC-18 quota: none for creation, slack for stores", test_quota },
	  { "rights: insert-only, negative, nobody, owner", test_rights },
	  { "RPC-33 bulk statuses; calls that 1.8.9 does not know", test_bulk },
	  { "RPC-21 RPC-22 RPC-23 RPC-24 rename", test_rename }, { "RPC-26 links and mount points", test_links },
	  { "RPC-30 RPC-31 RPC-32 locks and their end", test_locks },
	  { "hooks see each call and may refuse it", test_hooks }, { "a port in use is named", test_port_in_use })
