/* Breaks with the whole cache manager under the page room: a stranger stores into the
 * one file of a server on loopback. */
#include <unistd.h>

#include "tests/one_file.h"
#include "tests/unit.h"
#include "vfs-emu/vfs.h"

static struct vfs *vfs;
static struct vfs_file *fa, *fb;

static void start(enum vfs_mode mode)
{
	struct vfs_config config = { .mode = mode };
	struct rx_error err;

	one_file_start(4 * CM_PAGE, 1);
	config.cm = server.cm;
	vfs = vfs_new(&config, &err);
	CU_ASSERT_FATAL(vfs != NULL);
	CU_ASSERT_FATAL(vfs_open(vfs, server.file, server.a, true, &fa, &err) == 0);
	CU_ASSERT_FATAL(vfs_open(vfs, server.file, server.b, true, &fb, &err) == 0);
}

static void stop(void)
{
	vfs_close(fa, NULL);
	vfs_close(fb, NULL);
	vfs_free(vfs);
	one_file_stop();
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
	server.content[off] = byte;
	server.version++;
	cm_vnode_break(server.file);
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
	CU_ASSERT_EQUAL(server.content[100], 'a');
	CU_ASSERT_EQUAL(server.content[0], 8);
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
	server.content[CM_PAGE] = 9;
	stranger(0, 8);
	CU_ASSERT_EQUAL(vfs_fsync(fa, NULL), 0);
	CU_ASSERT_EQUAL(server.content[100], 'a');
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
	server.hold_reply = 1;
	server.held = 0;
	t = rx_thread_spawn(server.cm->env, "cut", truncate_a, NULL);
	while (!__atomic_load_n(&server.held, __ATOMIC_ACQUIRE))
		usleep(1000);
	CU_ASSERT_EQUAL(look(fb, 0), 1);
	CU_ASSERT_EQUAL(look(fb, CM_PAGE), 1);
	__atomic_store_n(&server.hold_reply, 0, __ATOMIC_RELEASE);
	rx_thread_join(server.cm->env, t);
	CU_ASSERT_EQUAL(look(fb, 0), 1);
	stranger(0, 8);
	CU_ASSERT_EQUAL(look(fb, 0), 8);
	stop();
}

static void sync_a(void *arg)
{
	(void)arg;
	CU_ASSERT_EQUAL(vfs_fsync(fa, NULL), 0);
}

/* A stranger's change, whose break has not reached us, is seen by a status while our own
 * store is under way, and looks like it: the store's reply then counts one too many. */
static void unheard_break_under_a_store(void)
{
	struct rx_thread *t;

	start(VFS_MODE_FULL);
	CU_ASSERT_EQUAL(look(fb, CM_PAGE), 1);
	CU_ASSERT_EQUAL(vfs_pwrite(fa, "a", 1, 100, NULL), 1);
	server.content[CM_PAGE] = 9;
	server.version++;
	server.hold_reply = 1;
	server.held = 0;
	t = rx_thread_spawn(server.cm->env, "sync", sync_a, NULL);
	while (!__atomic_load_n(&server.held, __ATOMIC_ACQUIRE))
		usleep(1000);
	server.version--;
	CU_ASSERT_EQUAL(cm_vnode_fetch_status(server.file, server.b, NULL), 0);
	server.version++;
	__atomic_store_n(&server.hold_reply, 0, __ATOMIC_RELEASE);
	rx_thread_join(server.cm->env, t);
	CU_ASSERT_EQUAL(look(fb, CM_PAGE), 9);
	CU_ASSERT_EQUAL(look(fb, 100), 'a');
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
	  { "a truncation is counted once [full]", truncation_counted_twice },
	  { "a stranger's change is not taken for our store that is under way", unheard_break_under_a_store })
