/* The callback service as a fileserver sees it: a second loop on loopback calls a cache
 * manager that knows one server, one volume and a few vnodes with promises. */
#include <sys/stat.h>
#include <unistd.h>

#include "cm/internal.h"
#include "tests/unit.h"

enum { VOLUME = 536870915, VNODES = 50 };

static char dir[] = "/tmp/callback_test.XXXXXX";
static struct cm *cm;
static struct rx_loop *loop;
static struct rx_conn *conn;
static struct cm_server *server;
static struct cm_volume *volume;
static struct cm_vnode *vnodes[VNODES];
static struct rx_rpc_client client = { .origin = RX_ORIGIN_AFS };

static void write_file(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	CU_ASSERT_FATAL(f != NULL);
	fputs(text, f);
	fclose(f);
}

static void promise(struct cm_vnode *v)
{
	struct cm_noted q;
	struct cm_reply_facts f = { .server = server, .promised = true, .expiration_s = 3600 };

	cm_vnode_note(v, server, &q);
	f.vol_gen = volume->gen;
	f.srv_gen = server->gen;
	rx_mutex_lock(&v->lock);
	v->known = true;
	CU_ASSERT(cm_promise_install(&v->promise, &q, &f));
	v->ends_us = v->promise.until_us;
	rx_mutex_unlock(&v->lock);
	CU_ASSERT(cm_is_valid(v));
}

static void start(void)
{
	struct cm_config config = { .confdir = dir, .bind_ip = 0x7f000001 };
	struct rx_loop_config other = { .bind_ip = 0x7f000001 };
	struct rx_security *null = rx_null_new();
	struct cm_family *f = calloc(1, sizeof(*f));
	struct rx_error err;
	struct rx_addr addr;

	CU_ASSERT_FATAL(mkdtemp(dir) != NULL);
	write_file("ThisCell", "unit.test\n");
	write_file("CellServDB", ">unit.test\n127.0.0.1 #localhost\n");
	cm = cm_new(&config, &err);
	loop = rx_loop_new(&other, &err);
	CU_ASSERT_FATAL(cm && loop && f);
	addr = rx_addr_ipv4(0x7f000001, cm_port(cm));
	conn = rx_conn_new(loop, &addr, AFS_SERVICE_CB, null, &err);
	CU_ASSERT_FATAL(conn != NULL);
	rx_security_put(null);
	client.conn = conn;
	/* The server's calls come from where its loop is bound. */
	addr.port = rx_loop_port(loop);
	server = cm_server_by_addr(cm->local, &addr, false);
	server->has_uuid = true;
	server->uuid.time_low = 77;
	f->cell = cm->local;
	f->ids[CM_VOL_RW] = VOLUME;
	f->loaded_us = 1;
	f->next = cm->local->families;
	cm->local->families = f;
	volume = cm_volume_get(f, CM_VOL_RW);
	for (unsigned i = 0; i < VNODES; i++)
		vnodes[i] = cm_vnode_root(volume, i * 2 + 2, 5);
}

static void stop(void)
{
	char path[256];

	for (unsigned i = 0; i < VNODES; i++)
		cm_vnode_put(vnodes[i]);
	rx_conn_free(conn);
	rx_loop_free(loop);
	CU_ASSERT_EQUAL(cm_free(cm, 0), 0);
	for (const char *const *n = (const char *const[]){ "ThisCell", "CellServDB", NULL }; *n; n++) {
		snprintf(path, sizeof(path), "%s/%s", dir, *n);
		unlink(path);
	}
	rmdir(dir);
}

static int send_break(uint32_t nfids, uint32_t ncbs)
{
	struct afs_fid fids[VNODES];
	struct afs_callback cbs[VNODES];
	struct afs_cb_CallBack_in in = { .fids = { .len = nfids, .items = fids },
					 .callbacks = { .len = ncbs, .items = cbs } };
	struct rx_error err;

	memset(cbs, 0, sizeof(cbs));
	for (unsigned i = 0; i < nfids; i++)
		fids[i] = cm_fid_wire(&vnodes[i]->fid);
	return afs_cb_CallBack(&client, &in, NULL, &err);
}

static void test_breaks(void)
{
	static const uint32_t counts[][2] = { { 1, 0 }, { 1, 1 }, { 50, 50 }, { 50, 0 }, { 3, 1 }, { 0, 0 } };

	start();
	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		uint64_t gen = cm_inval_gen(vnodes[0]);

		for (unsigned i = 0; i < VNODES; i++)
			promise(vnodes[i]);
		CU_ASSERT_EQUAL(send_break(counts[c][0], counts[c][1]), 0);
		for (unsigned i = 0; i < VNODES; i++)
			CU_ASSERT_EQUAL(cm_is_valid(vnodes[i]), i >= counts[c][0]);
		CU_ASSERT_EQUAL(cm_inval_gen(vnodes[0]), gen + (counts[c][0] > 0));
	}
	/* Remembered also for whom it found nobody. */
	CU_ASSERT(cm_break_heard(cm, &vnodes[0]->fid, 1));
	CU_ASSERT_FALSE(cm_break_heard(cm, &vnodes[0]->fid, UINT64_MAX));
	stop();
}

static void test_volume_and_reset(void)
{
	struct afs_fid whole = { VOLUME, 0, 0 }, none = { 0, 0, 0 };
	struct afs_cb_CallBack_in in = { .fids = { .len = 1, .items = &whole } };
	struct afs_cb_InitCallBackState3_in init = { .server = { .time_low = 77 } };
	struct rx_error err;

	strcpy(dir, "/tmp/callback_test.XXXXXX");
	start();
	promise(vnodes[0]);
	CU_ASSERT_EQUAL(afs_cb_CallBack(&client, &in, NULL, &err), 0);
	CU_ASSERT_FALSE(cm_is_valid(vnodes[0]));
	CU_ASSERT_EQUAL(volume->family->loaded_us, 0);
	promise(vnodes[0]);
	in.fids.items = &none;
	CU_ASSERT_EQUAL(afs_cb_CallBack(&client, &in, NULL, &err), 0);
	CU_ASSERT(cm_is_valid(vnodes[0]));
	CU_ASSERT_EQUAL(afs_cb_InitCallBackState3(&client, &init, NULL, &err), 0);
	CU_ASSERT_FALSE(cm_is_valid(vnodes[0]));
	promise(vnodes[0]);
	CU_ASSERT_EQUAL(afs_cb_InitCallBackState(&client, NULL, NULL, &err), 0);
	CU_ASSERT_FALSE(cm_is_valid(vnodes[0]));
	/* From a server that nobody knows: everything is void. */
	promise(vnodes[0]);
	init.server.time_low = 78;
	CU_ASSERT_EQUAL(afs_cb_InitCallBackState3(&client, &init, NULL, &err), 0);
	CU_ASSERT_FALSE(cm_is_valid(vnodes[0]));
	stop();
}

static void test_identity(void)
{
	struct afs_cb_ProbeUuid_in probe;
	struct afs_cb_TellMeAboutYourself_out tell;
	struct afs_cb_WhoAreYou_out who;
	struct rx_error err;

	strcpy(dir, "/tmp/callback_test.XXXXXX");
	start();
	probe.client = cm->uuid;
	CU_ASSERT_EQUAL(afs_cb_ProbeUuid(&client, &probe, NULL, &err), 0);
	probe.client.node[5] ^= 1;
	CU_ASSERT_EQUAL(afs_cb_ProbeUuid(&client, &probe, NULL, &err), -1);
	CU_ASSERT_EQUAL(err.code, 1);
	CU_ASSERT_EQUAL(afs_cb_Probe(&client, NULL, NULL, &err), 0);
	CU_ASSERT_FATAL(afs_cb_TellMeAboutYourself(&client, NULL, &tell, &err) == 0);
	CU_ASSERT(afs_uuid_equal(&tell.addr.uuid, &cm->uuid));
	CU_ASSERT_EQUAL(tell.addr.count, 0);
	CU_ASSERT_EQUAL(xdr_size(afs_rpc_cb_TellMeAboutYourself.out, &tell), 432 + 8);
	CU_ASSERT(tell.capabilities.len == 1 && tell.capabilities.items[0] == AFS_CAP_ERRORTRANS);
	afs_cb_TellMeAboutYourself_free(&tell);
	CU_ASSERT_FATAL(afs_cb_WhoAreYou(&client, NULL, &who, &err) == 0);
	CU_ASSERT(afs_uuid_equal(&who.addr.uuid, &cm->uuid));
	CU_ASSERT_EQUAL(afs_cb_InitCallBackState2(&client, NULL, NULL, &err), -1);
	CU_ASSERT_EQUAL(err.code, RXGEN_OPCODE);
	stop();
}

static void test_debug(void)
{
	struct afs_cb_GetCE64_in ce = { .index = VNODES - 1 };
	struct afs_cb_GetCE64_out entry;
	struct afs_cb_GetLock_in lock = { .index = 0 };
	struct afs_cb_GetLock_out locked;
	struct afs_cb_GetCellServDB_in db = { .index = 0 };
	struct afs_cb_GetCellServDB_out cell;
	struct rx_error err;

	strcpy(dir, "/tmp/callback_test.XXXXXX");
	start();
	CU_ASSERT_EQUAL(afs_cb_GetLock(&client, &lock, &locked, &err), -1);
	CU_ASSERT_EQUAL(err.code, 1);
	CU_ASSERT_EQUAL(afs_cb_GetCE64(&client, &ce, &entry, &err), 0);
	CU_ASSERT_EQUAL(entry.entry.fid.volume, VOLUME);
	ce.index = VNODES;
	CU_ASSERT_EQUAL(afs_cb_GetCE64(&client, &ce, &entry, &err), -1);
	CU_ASSERT_FATAL(afs_cb_GetCellServDB(&client, &db, &cell, &err) == 0);
	CU_ASSERT_STRING_EQUAL(cell.name, "unit.test");
	CU_ASSERT(cell.hosts.len == 1 && cell.hosts.items[0] == 0x7f000001);
	afs_cb_GetCellServDB_free(&cell);
	db.index = 1;
	CU_ASSERT_FATAL(afs_cb_GetCellServDB(&client, &db, &cell, &err) == 0);
	CU_ASSERT(cell.name[0] == '\0' && cell.hosts.len == 0);
	afs_cb_GetCellServDB_free(&cell);
	stop();
}

UNIT_MAIN("callback", { "RPC-39, CM-29 breaks with any number of callbacks", test_breaks },
	  { "RPC-38, RPC-40, CM-26 volumes and resets", test_volume_and_reset },
	  { "RPC-41, RPC-42, RPC-43 who we are", test_identity }, { "RPC-44 what cmdebug asks", test_debug })
