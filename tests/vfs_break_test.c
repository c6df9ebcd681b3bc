/* Breaks with the whole cache manager under the page room: a second loop on loopback
 * plays a fileserver with one file, which a stranger stores into. */
#include <sys/stat.h>
#include <unistd.h>

#include "cm/internal.h"
#include "tests/unit.h"
#include "vfs-emu/vfs.h"

enum { VOLUME = 536870915 };

static char dir[] = "/tmp/umafs-break-test.XXXXXX";
static struct cm *cm;
static struct rx_loop *loop;
static struct cm_vnode *file;
static struct cm_token *a, *b;
static uint8_t content[4 * CM_PAGE];
static struct vfs *vfs;
static struct vfs_file *fa, *fb;

/* The server's side. */
static uint64_t length, version;
static int32_t store_code, status_code; /* abort with it */
static uint64_t last_file_length;
static unsigned stores;
static int hold_reply, held; /* the reply of a store waits after the deed */

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

static int32_t op_fetch(struct rx_call *call, const struct afs_FetchData64_in *in, struct afs_FetchData64_out *out,
			void *arg)
{
	uint64_t off = (uint64_t)in->position, len = (uint64_t)in->length;

	(void)arg;
	if (off > length)
		off = length;
	if (len > length - off)
		len = length - off;
	if (rx_rpc_send_length(call, &afs_rpc_FetchData64, len) || rx_call_write(call, content + off, len))
		return 5;
	fill(&out->status);
	out->callback = (struct afs_callback){ .version = 1, .expires = 3600, .type = 1 };
	return 0;
}

static int32_t op_store(struct rx_call *call, const struct afs_StoreData64_in *in, struct afs_StoreData64_out *out,
			void *arg)
{
	uint8_t *to = content + in->position;
	uint64_t left = in->length;

	(void)arg;
	while (left > 0) {
		ptrdiff_t n = rx_call_read(call, to, left);

		if (n <= 0)
			return 5;
		left -= (uint64_t)n;
		to += n;
	}
	stores++;
	if (store_code)
		return store_code;
	last_file_length = in->file_length;
	if (in->file_length > length || in->length == 0)
		length = in->file_length;
	version++;
	fill(&out->status);
	while (__atomic_load_n(&hold_reply, __ATOMIC_ACQUIRE)) {
		__atomic_store_n(&held, 1, __ATOMIC_RELEASE);
		usleep(1000);
	}
	return 0;
}

static const struct afs_fs_ops operations = { .FetchStatus = op_status,
					      .StoreData64 = op_store,
					      .FetchData64 = op_fetch };

static int32_t handler(struct rx_call *call, void *arg)
{
	return rx_rpc_dispatch(call, &afs_fs_table, &operations, arg);
}

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

static void start(enum vfs_mode mode)
{
	struct cm_config config = { .confdir = dir, .bind_ip = 0x7f000001, .max_dirty_age_ms = UINT32_MAX };
	struct rx_loop_config other = { .bind_ip = 0x7f000001 };
	struct rx_service_config service = {
		.id = AFS_SERVICE_FS, .name = "fs", .mode = RX_SERVICE_WORKER, .workers = 2, .handler = handler
	};
	struct cm_family *f = calloc(1, sizeof(*f));
	struct vfs_config vc = { .mode = mode };
	struct cm_volume *volume;
	struct rx_error err;
	struct rx_addr addr;

	strcpy(dir, "/tmp/umafs-break-test.XXXXXX");
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
	length = sizeof(content);
	memset(content, 1, sizeof(content));
	version = 7;
	store_code = status_code = 0;
	stores = 0;
	CU_ASSERT_FATAL(cm_token_open(cm, "anonymous", NULL, &a, &err) == 0);
	CU_ASSERT_FATAL(cm_token_open(cm, "anonymous", NULL, &b, &err) == 0);
	CU_ASSERT_FATAL(cm_vnode_fetch_status(file, a, &err) == 0);
	CU_ASSERT(cm_is_valid(file));
	vc.cm = cm;
	vfs = vfs_new(&vc, &err);
	CU_ASSERT_FATAL(vfs != NULL);
	CU_ASSERT_FATAL(vfs_open(vfs, file, a, true, &fa, &err) == 0);
	CU_ASSERT_FATAL(vfs_open(vfs, file, b, true, &fb, &err) == 0);
}

static void stop(void)
{
	char cmd[300];

	vfs_close(fa, NULL);
	vfs_close(fb, NULL);
	vfs_free(vfs);
	cm_vnode_put(file);
	cm_token_put(a);
	cm_token_put(b);
	cm_free(cm, 0);
	rx_loop_free(loop);
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	CU_ASSERT_EQUAL(system(cmd), 0);
}

static uint8_t look(struct vfs_file *f, uint64_t off)
{
	uint8_t byte = 0;

	CU_ASSERT_EQUAL(vfs_pread(f, &byte, 1, off, NULL), 1);
	return byte;
}

/* What CallBack does for one fid. */
static void stranger(uint64_t off, uint8_t byte)
{
	content[off] = byte;
	version++;
	cm_vnode_break(file);
}

/* A has dirtied page 0, a stranger changes pages 0 and 1, A's change is stored before
 * anybody looks. The status call before the store must not make the old pages current. */
static void break_then_fsync(enum vfs_mode mode)
{
	start(mode);
	CU_ASSERT_EQUAL(look(fb, CM_PAGE), 1);
	CU_ASSERT_EQUAL(look(fb, 0), 1);
	CU_ASSERT_EQUAL(vfs_pwrite(fa, "a", 1, 100, NULL), 1);
	stranger(CM_PAGE, 9);
	stranger(0, 8);
	CU_ASSERT_EQUAL(vfs_fsync(fa, NULL), 0);
	CU_ASSERT_EQUAL(content[100], 'a');
	CU_ASSERT_EQUAL(content[0], 8);
	CU_ASSERT_EQUAL(look(fb, CM_PAGE), 9);
	CU_ASSERT_EQUAL(look(fb, 0), 8);
	stop();
}

/* The same with one store of the stranger's: then the numbers fit by chance. */
static void one_break_then_fsync(enum vfs_mode mode)
{
	start(mode);
	CU_ASSERT_EQUAL(look(fb, CM_PAGE), 1);
	CU_ASSERT_EQUAL(look(fb, 0), 1);
	CU_ASSERT_EQUAL(vfs_pwrite(fa, "a", 1, 100, NULL), 1);
	content[CM_PAGE] = 9;
	stranger(0, 8);
	CU_ASSERT_EQUAL(vfs_fsync(fa, NULL), 0);
	CU_ASSERT_EQUAL(content[100], 'a');
	CU_ASSERT_EQUAL(look(fb, 0), 8);
	CU_ASSERT_EQUAL(look(fb, CM_PAGE), 9);
	stop();
}

static void truncate_a(void *arg)
{
	(void)arg;
	CU_ASSERT_EQUAL(vfs_truncate(fa, 3 * CM_PAGE, NULL), 0);
}

/* Somebody reads while the reply to our truncation is under way, and so knows its version
 * before we count it. */
static void truncation_counted_twice(void)
{
	struct rx_thread *t;

	start(VFS_MODE_FULL);
	hold_reply = 1;
	held = 0;
	t = rx_thread_spawn(cm->env, "cut", truncate_a, NULL);
	while (!__atomic_load_n(&held, __ATOMIC_ACQUIRE))
		usleep(1000);
	CU_ASSERT_EQUAL(look(fb, 0), 1);
	CU_ASSERT_EQUAL(look(fb, CM_PAGE), 1);
	__atomic_store_n(&hold_reply, 0, __ATOMIC_RELEASE);
	rx_thread_join(cm->env, t);
	CU_ASSERT_EQUAL(look(fb, 0), 1);
	stranger(0, 8);
	CU_ASSERT_EQUAL(look(fb, 0), 8);
	stop();
}

static void full(void)
{
	break_then_fsync(VFS_MODE_FULL);
}

static void basic(void)
{
	break_then_fsync(VFS_MODE_BASIC);
}

static void one_full(void)
{
	one_break_then_fsync(VFS_MODE_FULL);
}

static void one_basic(void)
{
	one_break_then_fsync(VFS_MODE_BASIC);
}

UNIT_MAIN("vfs break", { "one break, then fsync [full]: the old pages go", one_full },
	  { "one break, then fsync [basic]: the old pages go", one_basic },
	  { "two breaks, then fsync [full]: the old pages go", full },
	  { "two breaks, then fsync [basic]: the old pages go", basic },
	  { "a truncation is counted once [full]", truncation_counted_twice })
