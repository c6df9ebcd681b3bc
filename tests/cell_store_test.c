/* The embedded cell's store in a directory: what was acknowledged is there after a restart,
 * however the log ends. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/cell_client.h"
#include "tests/unit.h"

static struct client a;
static struct afs_fid home, d, f;

/* Some of everything. */
static void fill(void)
{
	struct rx_rpc_client fs = client_as(&a, "alice", 0);
	struct afs_Rename_in mv = { .old_name = (char[]){ "g" }, .new_name = (char[]){ "h" } };
	struct afs_RemoveFile_in rm = { .name = (char[]){ "gone" } };
	struct afs_Symlink_in ln = { .name = (char[]){ "s" }, .contents = (char[]){ "where" } };
	struct afs_fid gone;

	home = client_root(&a, "home");
	mv.old_dir = ln.dir = rm.dir = home;
	CU_ASSERT_EQUAL(client_mkdir(&a, "alice", home, "d", &d), 0);
	CU_ASSERT_EQUAL(client_create(&a, "alice", home, "gone", &gone), 0);
	CU_ASSERT_EQUAL(client_store(&a, "alice", gone, 0, "old bytes", 9, NULL), 0);
	CU_ASSERT_EQUAL(afs_RemoveFile(&fs, &rm, NULL, NULL), 0);
	CU_ASSERT_EQUAL(client_create(&a, "alice", home, "g", &f), 0);
	CU_ASSERT_EQUAL(f.vnode, gone.vnode);
	CU_ASSERT_EQUAL(client_store(&a, "alice", f, 3, "bytes", 8, NULL), 0);
	mv.new_dir = d;
	CU_ASSERT_EQUAL(afs_Rename(&fs, &mv, NULL, NULL), 0);
	CU_ASSERT_EQUAL(afs_Symlink(&fs, &ln, NULL, NULL), 0);
	CU_ASSERT_EQUAL(client_acl(&a, "admin", d, "2\n1\nalice\t127\nbob\t9\ncarol\t1\n"), 0);
}

static void check(void)
{
	struct afs_fetch_status st;
	struct afs_FetchACL_in in = { .fid = d };
	struct afs_FetchACL_out out = { 0 };
	struct rx_rpc_client fs = client_as(&a, "alice", 0);

	CU_ASSERT_EQUAL(client_status(&a, "alice", home, &st), 0);
	CU_ASSERT(st.link_count == 4 && st.data_version == 8); /* private was there; 6 changes */
	CU_ASSERT_EQUAL(client_status(&a, "alice", f, &st), 0);
	CU_ASSERT(st.length == 8 && st.data_version == 1 && st.owner == 2 && st.parent_vnode == d.vnode);
	CU_ASSERT_EQUAL(memcmp(client_read(&a, "alice", f), "\0\0\0bytes", 9), 0);
	CU_ASSERT_EQUAL(afs_FetchACL(&fs, &in, &out, NULL), 0);
	CU_ASSERT_STRING_EQUAL((char *)out.acl.data, "2\n1\nalice\t127\nbob\t9\ncarol\t1\n");
	afs_FetchACL_free(&out);
}

static void restart(void)
{
	client_end(&a);
	world_restart();
	client_begin(&a, 1, 0);
}

static void test_restart(void)
{
	struct afs_fid again;

	world_begin(NULL, true);
	client_begin(&a, 1, 0);
	fill();
	check();
	restart();
	check(); /* from the log as it grew */
	restart();
	check(); /* from what the start made of it */
	CU_ASSERT_EQUAL(client_create(&a, "alice", home, "new", &again), 0);
	CU_ASSERT_NOT_EQUAL(again.unique, f.unique);
	CU_ASSERT_EQUAL(cell_release(world.cell, "ro", NULL), 0);
	restart();
	CU_ASSERT_EQUAL(client_status(&a, NULL, client_root(&a, "ro.readonly"), NULL), 0);
	CU_ASSERT_EQUAL(client_status(&a, "alice", again, NULL), 0);
	client_end(&a);
	world_end();
}

/* One process at a time: a second cell on other ports must not touch the log. */
static void test_two(void)
{
	char data[96];
	struct cell_config config = { .name = "test.cell", .nfs = 2, .port_shift = 10000, .data = data };
	struct rx_error err = { 0 };

	world_begin(NULL, true);
	snprintf(data, sizeof(data), "%s/data", world.dir);
	config.db_ip = world.ip[0];
	config.fs_ip = world.ip;
	CU_ASSERT_PTR_NULL(cell_new(&config, &err));
	CU_ASSERT_EQUAL(err.errnum, EBUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "another umafs-cell"));
	world_end();
}

static size_t read_log(const char *path, uint8_t *log, size_t cap)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, log, cap);

	close(fd);
	CU_ASSERT_FATAL(n > 0 && (size_t)n < cap);
	return (size_t)n;
}

static void write_log(const char *path, const uint8_t *log, size_t len)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	CU_ASSERT_EQUAL(write(fd, log, len), (ssize_t)len);
	close(fd);
}

/* A kill can cut the last record anywhere: all before it holds. A damaged log is refused. */
static void test_cut_log(void)
{
	static uint8_t log[1 << 20];
	struct cell_config config = { .name = "test.cell", .nfs = 2, .port_shift = 10000 };
	struct rx_error err = { 0 };
	struct cell *cell;
	char path[128], data[96];
	size_t len;

	world_begin(NULL, true);
	client_begin(&a, 1, 0);
	fill();
	snprintf(data, sizeof(data), "%s/data", world.dir);
	snprintf(path, sizeof(path), "%s/log", data);
	len = read_log(path, log, sizeof(log));
	client_end(&a);
	cell_free(world.cell);
	world.cell = NULL;
	config.db_ip = world.ip[0];
	config.fs_ip = world.ip;
	config.data = data;
	for (size_t cut = len; cut > len - 200; cut -= 7) {
		write_log(path, log, cut);
		cell = cell_new(&config, &err);
		CU_ASSERT_PTR_NOT_NULL(cell);
		cell_free(cell);
	}
	/* A power failure leaves blocks that were never written behind what was synced. */
	memset(log + len, 0, 100);
	for (int sync = 0; sync < 2; sync++) {
		write_log(path, log, len + 100);
		config.sync = sync;
		cell = cell_new(&config, &err);
		CU_ASSERT_EQUAL(cell != NULL, sync);
		cell_free(cell);
	}
	config.sync = false;
	for (size_t at = 4; at < len; at += 331) {
		log[at] ^= 0x81;
		write_log(path, log, len);
		cell = cell_new(&config, &err); /* whatever it makes of it: no crash */
		if (!cell)
			CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "damaged at byte"));
		cell_free(cell);
		log[at] ^= 0x81;
	}
	world_end();
}

UNIT_MAIN("cell_store", { "everything is there after a restart, and after another", test_restart },
	  { "a directory serves one process", test_two }, { "a log that was cut or damaged", test_cut_log })
