/* Stores of a vnode through the whole cache manager: lengths, and files that are gone. A
 * second loop on loopback plays a fileserver with one file; the space is a stand-in. */
#include <sys/stat.h>
#include <unistd.h>

#include "cm/internal.h"
#include "tests/unit.h"

enum { VOLUME = 536870915 };

static char dir[] = "/tmp/umafs-file-test.XXXXXX";
static struct cm *cm;
static struct rx_loop *loop;
static struct cm_vnode *file;
static struct cm_token *a, *b;
static uint8_t zeros[16 * CM_PAGE];

/* The server's side. */
static uint64_t length, version;
static int32_t store_code, status_code; /* abort with it */
static uint64_t last_file_length;
static unsigned stores;

static void fill(struct afs_fetch_status *st)
{
	memset(st, 0, sizeof(*st));
	st->interface_version = 1;
	st->file_type = AFS_TYPE_FILE;
	st->link_count = 1;
	st->length = (uint32_t)length;
	st->data_version = (uint32_t)version;
	st->caller_access = st->anonymous_access = CM_RIGHT_READ | CM_RIGHT_WRITE | CM_RIGHT_LOOKUP;
	st->mode = 0644;
}

static int32_t op_status(struct rx_call *call, const struct afs_FetchStatus_in *in, struct afs_FetchStatus_out *out,
			 void *arg)
{
	(void)call, (void)in, (void)arg;
	if (status_code)
		return status_code;
	fill(&out->status);
	out->callback = (struct afs_callback){ .version = 1, .expires = 3600, .type = 1 };
	return 0;
}

static int32_t op_store(struct rx_call *call, const struct afs_StoreData64_in *in, struct afs_StoreData64_out *out,
			void *arg)
{
	static uint8_t sink[65536];
	uint64_t left = in->length;

	(void)arg;
	while (left > 0) {
		ptrdiff_t n = rx_call_read(call, sink, left < sizeof(sink) ? left : sizeof(sink));

		if (n <= 0)
			return 5;
		left -= (uint64_t)n;
	}
	stores++;
	if (store_code)
		return store_code;
	last_file_length = in->file_length;
	if (in->file_length > length)
		length = in->file_length;
	version++;
	fill(&out->status);
	return 0;
}

static const struct afs_fs_ops operations = { .FetchStatus = op_status, .StoreData64 = op_store };

static int32_t handler(struct rx_call *call, void *arg)
{
	return rx_rpc_dispatch(call, &afs_fs_table, &operations, arg);
}

/* The space: gives zeros for what the record covers. */
static int prepare(void *space, const struct cm_record_view *r, bool broken, struct cm_plan *plan)
{
	uint64_t from = r->first * CM_PAGE + r->off_first, to = r->last * CM_PAGE + r->to_last;

	(void)space, (void)broken;
	plan->runs = calloc(1, sizeof(*plan->runs));
	plan->nruns = 1;
	plan->runs[0] = (struct cm_run){ from, to - from, zeros };
	return 0;
}

static int salvage(void *space, const struct cm_record_view *r, struct cm_plan *plan)
{
	return prepare(space, r, true, plan);
}

static void settle(void *space, const struct cm_record_view *r, enum cm_verdict verdict)
{
	(void)space, (void)r, (void)verdict;
}

static void changed(void *space)
{
	(void)space;
}

static const struct cm_space_ops ops = {
	.prepare = prepare, .salvage = salvage, .settle = settle, .changed = changed, .invalidate = changed
};

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

static void start(void)
{
	struct cm_config config = { .confdir = dir, .bind_ip = 0x7f000001, .max_dirty_age_ms = UINT32_MAX };
	struct rx_loop_config other = { .bind_ip = 0x7f000001 };
	struct rx_service_config service = {
		.id = AFS_SERVICE_FS, .name = "fs", .mode = RX_SERVICE_WORKER, .workers = 2, .handler = handler
	};
	struct cm_family *f = calloc(1, sizeof(*f));
	struct cm_volume *volume;
	struct rx_error err;
	struct rx_addr addr;

	strcpy(dir, "/tmp/umafs-file-test.XXXXXX");
	CU_ASSERT_FATAL(mkdtemp(dir) != NULL);
	write_file("ThisCell", "unit.test\n");
	write_file("CellServDB", ">unit.test\n127.0.0.1 #localhost\n");
	cm = cm_new(&config, &err);
	loop = rx_loop_new(&other, &err);
	CU_ASSERT_FATAL(cm && loop && f);
	service.sec[RX_SECIDX_NULL] = rx_null_new();
	CU_ASSERT_FATAL(rx_service_add(loop, &service, &err) == 0);
	rx_security_put(service.sec[RX_SECIDX_NULL]);
	addr = rx_addr_ipv4(0x7f000001, rx_loop_port(loop));
	f->cell = cm->local;
	f->ids[CM_VOL_RW] = VOLUME;
	f->loaded_us = rx_now_us(cm->env);
	f->nsites = 1;
	f->sites[0].server = cm_server_by_addr(cm->local, &addr, false);
	f->sites[0].flags = VL_SITE_RW;
	f->next = cm->local->families;
	cm->local->families = f;
	volume = cm_volume_get(f, CM_VOL_RW);
	file = cm_vnode_root(volume, 2, 5);
	length = 100;
	version = 7;
	store_code = status_code = 0;
	stores = 0;
	CU_ASSERT_FATAL(cm_token_open(cm, "anonymous", NULL, &a, &err) == 0);
	CU_ASSERT_FATAL(cm_token_open(cm, "anonymous", NULL, &b, &err) == 0);
	CU_ASSERT_FATAL(cm_vnode_fetch_status(file, a, &err) == 0);
	CU_ASSERT(cm_is_valid(file));
	cm_space_attach(file, &ops, file);
}

static void stop(void)
{
	char cmd[300];

	cm_record_truncate(file, 0);
	cm_space_detach(file);
	cm_vnode_put(file);
	cm_token_put(a);
	cm_token_put(b);
	cm_free(cm, 0);
	rx_loop_free(loop);
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	CU_ASSERT_EQUAL(system(cmd), 0);
}

static void grant(struct cm_token *t, uint64_t page)
{
	struct cm_record_view r;

	CU_ASSERT_EQUAL(cm_record_grant(file, t, page, 0, CM_PAGE, false, &r), CM_GRANTED);
}

/* The file was removed on the server: StoreData says VNOVNODE. */
static void test_gone_on_store(void)
{
	struct cm_record_view r;
	uint64_t cursor;

	start();
	cursor = cm_cursor_sample(file, a);
	grant(a, 0);
	store_code = 102;
	CU_ASSERT_EQUAL(cm_flush(file, a, 0, UINT64_MAX, false, NULL), 0);
	CU_ASSERT_FALSE(cm_record_next(file, 0, &r));
	CU_ASSERT_EQUAL(cm_cursor_check(file, a, &cursor, NULL), -1);
	stop();
}

/* The break for the removal has come: it is FetchStatus before the store that says so. */
static void test_gone_on_status(void)
{
	start();
	grant(a, 0);
	store_code = status_code = 102;
	cm_vnode_break(file);
	CU_ASSERT_EQUAL(cm_flush(file, a, 0, UINT64_MAX, false, NULL), 0);
	CU_ASSERT_EQUAL(cm_records_dirty(&file->records), 0);
	stop();
}

/* B has extended the file and that is not stored: A's store says nothing of it. */
static void test_file_length(void)
{
	start();
	grant(a, 0);
	cm_extend(file, 11 * CM_PAGE);
	grant(b, 10);
	CU_ASSERT_EQUAL(cm_flush(file, a, 0, UINT64_MAX, false, NULL), 0);
	CU_ASSERT_EQUAL(last_file_length, CM_PAGE);
	CU_ASSERT_EQUAL(length, CM_PAGE);
	stop();
}

/* B's extension is refused and killed: the file is as long as before, here and, after A's
 * store, there. */
static void test_killed_extension(void)
{
	start();
	grant(a, 0);
	cm_extend(file, 11 * CM_PAGE);
	grant(b, 10);
	store_code = 13;
	CU_ASSERT_EQUAL(cm_flush(file, b, 0, UINT64_MAX, false, NULL), 0);
	store_code = 0;
	file->floor_us = 0;                      /* the extension was long ago */
	CU_ASSERT_EQUAL(cm_size(file), CM_PAGE); /* what A has written */
	CU_ASSERT_EQUAL(cm_flush(file, a, 0, UINT64_MAX, false, NULL), 0);
	CU_ASSERT_EQUAL(length, CM_PAGE);
	stop();
}

UNIT_MAIN("file store", { "FileLength of A's store does not carry B's unstored extension", test_file_length },
	  { "B's killed extension is gone", test_killed_extension },
	  { "VNOVNODE from StoreData: the flush ends, the record is killed", test_gone_on_store },
	  { "VNOVNODE from the FetchStatus before it: the flush ends, the record is killed", test_gone_on_status })
