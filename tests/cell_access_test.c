/* Rights of the embedded file server: what an access list grants, and what each operation
 * asks for, on tables in memory without any network. */
#include <errno.h>

#include "tools/cell/internal.h"
#include "tests/unit.h"

enum { ALICE = 2, BOB = 3, ROOT = 9, STAFF = -300 };

static struct cell cell;
static struct cell_volume *volume;
static struct cell_vnode *dir, *file;
static struct cell_caller alice, bob, admin, nobody;

static void begin(void)
{
	int32_t code;

	memset(&cell, 0, sizeof(cell));
	cell.env = rx_env_posix();
	cell.nfs = 1;
	cell.store = cell_store_memory();
	cell_principal_add(&cell, "system:administrators", AFS_ID_ADMINISTRATORS, AFS_ID_ADMINISTRATORS);
	cell_principal_add(&cell, "alice:staff", STAFF, ALICE);
	cell_principal_add(&cell, "alice", ALICE, AFS_ID_ADMINISTRATORS);
	cell_principal_add(&cell, "bob", BOB, AFS_ID_ADMINISTRATORS);
	cell_principal_add(&cell, "root", ROOT, AFS_ID_ADMINISTRATORS);
	cell_member_add(cell_principal_by_id(&cell, AFS_ID_ADMINISTRATORS), ROOT);
	cell_member_add(cell_principal_by_id(&cell, STAFF), BOB);
	cell_caller_set(&cell, "alice", &alice);
	cell_caller_set(&cell, "BOB", &bob);
	cell_caller_set(&cell, "root", &admin);
	cell_caller_set(&cell, "", &nobody);
	volume = cell_volume_new(&cell, &cell.fs[0], "v", 1, 0);
	dir = volume->vnodes[1];
	file = cell_vnode_new(volume, AFS_TYPE_FILE, &code);
	file->parent_vnode = file->parent_unique = 1;
	file->owner = ALICE;
	file->mode = 0644;
	dir->acl.npositive = 0;
	dir->owner = 12345; /* nobody of ours: the volume's owner has rights of his own */
}

static void end(void)
{
	while (cell.volumes)
		cell_volume_free(cell.volumes);
	cell.store->ops->free(cell.store);
	cell_principals_free(&cell);
}

static void grant(int32_t id, const char *rights)
{
	dir->acl.positive[dir->acl.npositive].id = id;
	CU_ASSERT_EQUAL(cm_rights_parse(rights, &dir->acl.positive[dir->acl.npositive++].rights, NULL), 0);
}

static void deny(int32_t id, const char *rights)
{
	dir->acl.negative[dir->acl.nnegative].id = id;
	CU_ASSERT_EQUAL(cm_rights_parse(rights, &dir->acl.negative[dir->acl.nnegative++].rights, NULL), 0);
}

/* Caller's and anonymous rights as letters, like "rl/l". */
static const char *rights(const struct cell_vnode *v, const struct cell_caller *who)
{
	static char text[64];
	char letters[CM_RIGHTS_TEXT];
	uint32_t mine, all;

	cell_rights(v, who, &mine, &all);
	strcpy(text, cm_rights_format(mine, letters));
	strcat(text, "/");
	strcat(text, cm_rights_format(all, letters));
	return text;
}

static void test_identity(void)
{
	static const int32_t of_bob[] = { STAFF, AFS_ID_AUTHUSER, AFS_ID_ANYUSER, BOB };

	begin();
	CU_ASSERT_EQUAL(bob.ncps, 4);
	CU_ASSERT_EQUAL(memcmp(bob.cps, of_bob, sizeof(of_bob)), 0);
	CU_ASSERT_EQUAL(nobody.ncps, 2);
	CU_ASSERT_EQUAL(nobody.id, AFS_ID_ANONYMOUS);
	CU_ASSERT(admin.admin && !bob.admin && !nobody.admin);
	cell_caller_set(&cell, "stranger", &nobody);
	CU_ASSERT_EQUAL(nobody.id, AFS_ID_ANONYMOUS);
	end();
}

static void test_lists(void)
{
	begin();
	CU_ASSERT_STRING_EQUAL(rights(dir, &bob), "/");
	grant(AFS_ID_ANYUSER, "l");
	grant(AFS_ID_AUTHUSER, "r");
	grant(STAFF, "id");
	grant(BOB, "w");
	CU_ASSERT_STRING_EQUAL(rights(dir, &bob), "rlidw/l");
	CU_ASSERT_STRING_EQUAL(rights(dir, &alice), "rl/l");
	CU_ASSERT_STRING_EQUAL(rights(dir, &nobody), "l/l");
	deny(STAFF, "w");
	deny(AFS_ID_ANYUSER, "d");
	CU_ASSERT_STRING_EQUAL(rights(dir, &bob), "rli/l");
	CU_ASSERT_STRING_EQUAL(rights(dir, &admin), "rl/l");
	dir->acl.npositive = 0;
	deny(ROOT, "l");
	CU_ASSERT_STRING_EQUAL(rights(dir, &admin), "l/"); /* theirs, whatever the list says */
	end();
}

static void test_owner_bit(void)
{
	begin();
	grant(AFS_ID_ANYUSER, "rla");
	CU_ASSERT_STRING_EQUAL(rights(file, &alice), "rla/rla");
	CU_ASSERT_STRING_EQUAL(rights(file, &bob), "rl/rla"); /* a says "owner" on files */
	CU_ASSERT_STRING_EQUAL(rights(dir, &bob), "rla/rla");
	end();
}

static void test_fetch(void)
{
	begin();
	CU_ASSERT_EQUAL(cell_may_fetch(dir, &nobody, false), 0); /* a directory's status is free */
	CU_ASSERT_EQUAL(cell_may_fetch(dir, &nobody, true), EACCES);
	CU_ASSERT_EQUAL(cell_may_fetch(file, &bob, false), EACCES);
	CU_ASSERT_EQUAL(cell_may_fetch(file, &admin, false), 0);
	CU_ASSERT_EQUAL(cell_may_fetch(file, &admin, true), EACCES);
	grant(BOB, "r");
	CU_ASSERT_EQUAL(cell_may_fetch(file, &bob, true), 0);
	file->mode = 0044;
	CU_ASSERT_EQUAL(cell_may_fetch(file, &bob, true), EACCES);
	CU_ASSERT_EQUAL(cell_may_fetch(file, &bob, false), 0);
	file->mode = 0100;
	CU_ASSERT_EQUAL(cell_may_fetch(file, &bob, true), 0);
	dir->owner = BOB; /* owns the volume */
	CU_ASSERT_EQUAL(cell_may_fetch(dir, &bob, true), 0);
	end();
}

static void test_insert_only(void)
{
	struct afs_store_status ss = { .mask = AFS_SET_MODE, .mode = 04755 };

	begin();
	file->mode = 0444;
	grant(ALICE, "i");
	grant(AFS_ID_ANYUSER, "i");
	CU_ASSERT_EQUAL(cell_may_store(file, &alice), 0); /* the fresh file is hers, 0444 or not */
	CU_ASSERT_EQUAL(cell_may_fetch(file, &alice, true), 0);
	CU_ASSERT_EQUAL(cell_may_store(file, &bob), EACCES);
	CU_ASSERT_EQUAL(cell_may_store_status(file, &alice, &ss), 0);
	CU_ASSERT_EQUAL(ss.mode, 0755);
	ss = (struct afs_store_status){ .mask = AFS_SET_OWNER, .owner = BOB };
	CU_ASSERT_EQUAL(cell_may_store_status(file, &alice, &ss), EPERM);
	CU_ASSERT_EQUAL(cell_may_lock(file, &alice, AFS_LOCK_WRITE), 0);
	CU_ASSERT_EQUAL(cell_may_lock(file, &bob, AFS_LOCK_READ), EACCES);
	/* Anonymous owns what anonymous made: it may write there, but not read. */
	file->owner = AFS_ID_ANONYMOUS;
	CU_ASSERT_EQUAL(cell_may_store(file, &nobody), 0);
	CU_ASSERT_EQUAL(cell_may_fetch(file, &nobody, false), EACCES);
	end();
}

static void test_store(void)
{
	struct afs_store_status ss = { .mask = AFS_SET_MODE, .mode = 02644 };

	begin();
	grant(BOB, "w");
	CU_ASSERT_EQUAL(cell_may_store(file, &bob), 0);
	CU_ASSERT_EQUAL(cell_may_store(dir, &bob), EISDIR);
	file->mode = 0444;
	CU_ASSERT_EQUAL(cell_may_store(file, &bob), EACCES);
	CU_ASSERT_EQUAL(cell_may_store(file, &admin), EACCES); /* w is needed all the same */
	grant(ROOT, "w");
	CU_ASSERT_EQUAL(cell_may_store(file, &admin), 0);
	CU_ASSERT_EQUAL(cell_may_store_status(file, &bob, &ss), EACCES);
	ss = (struct afs_store_status){ .mask = AFS_SET_OWNER | AFS_SET_GROUP, .owner = ALICE };
	CU_ASSERT_EQUAL(cell_may_store_status(file, &bob, &ss), 0);        /* what it is already */
	CU_ASSERT_EQUAL(cell_may_store_status(file, &alice, &ss), EACCES); /* an owner alone is nothing */
	CU_ASSERT_EQUAL(cell_may_store_status(dir, &bob, &ss), EACCES);
	grant(BOB, "d");
	ss.mask = AFS_SET_MTIME;
	CU_ASSERT_EQUAL(cell_may_store_status(dir, &bob, &ss), 0);
	file->type = AFS_TYPE_SYMLINK;
	ss.mask = AFS_SET_MODE;
	CU_ASSERT_EQUAL(cell_may_store_status(file, &admin, &ss), EINVAL);
	file->type = AFS_TYPE_FILE;
	end();
}

static void test_locks_and_lists(void)
{
	begin();
	grant(BOB, "k");
	CU_ASSERT_EQUAL(cell_may_lock(file, &bob, AFS_LOCK_READ), 0);
	CU_ASSERT_EQUAL(cell_may_lock(file, &bob, AFS_LOCK_WRITE), EACCES);
	CU_ASSERT_EQUAL(cell_may_store_acl(dir, &bob), EACCES);
	CU_ASSERT_EQUAL(cell_may_fetch_acl(dir, &bob), EACCES);
	grant(BOB, "la");
	CU_ASSERT_EQUAL(cell_may_store_acl(dir, &bob), 0);
	CU_ASSERT_EQUAL(cell_may_fetch_acl(dir, &bob), 0);
	CU_ASSERT_EQUAL(cell_may_store_acl(dir, &admin), 0);
	CU_ASSERT_EQUAL(cell_may_store_acl(dir, &alice), EACCES);
	dir->owner = ALICE;
	CU_ASSERT_EQUAL(cell_may_store_acl(dir, &alice), 0);
	end();
}

static void test_text(void)
{
	static const char good[] = "2\n1\nalice\t9\n-300\t127\nbob\t2\n", bad[] = "1\n0\ncarol\t1\n",
			  anon[] = "1\n0\n32766\t1\n";
	char text[CM_ACL_TEXT];
	struct cell_acl acl;
	size_t len;

	begin();
	CU_ASSERT_EQUAL(cell_acl_from_text(&cell, good, sizeof(good), &acl), 0);
	CU_ASSERT_EQUAL(acl.positive[0].id, STAFF);
	CU_ASSERT_EQUAL(acl.negative[0].id, BOB);
	CU_ASSERT_EQUAL(cell_acl_to_text(&cell, &acl, text, &len), 0);
	CU_ASSERT_STRING_EQUAL(text, "2\n1\nalice:staff\t127\nalice\t9\nbob\t2\n");
	CU_ASSERT_EQUAL(len, strlen(text) + 1);
	CU_ASSERT_EQUAL(cell_acl_from_text(&cell, good, sizeof(good) - 1, &acl), EINVAL); /* no NUL */
	CU_ASSERT_EQUAL(cell_acl_from_text(&cell, bad, sizeof(bad), &acl), EINVAL);
	CU_ASSERT_EQUAL(cell_acl_from_text(&cell, anon, sizeof(anon), &acl), EINVAL);
	end();
}

static void test_quota(void)
{
	struct cell_vnode *v;
	int32_t code;

	begin();
	CU_ASSERT_EQUAL(cell_blocks(0), 1);
	CU_ASSERT_EQUAL(cell_blocks(1024), 1);
	CU_ASSERT_EQUAL(cell_blocks(1025), 2);
	CU_ASSERT_EQUAL(volume->used, 3); /* the root's page and an empty file */
	cell_set_length(file, 10000);
	CU_ASSERT_EQUAL(volume->used, 12);
	volume->quota = 13;
	v = cell_vnode_new(volume, AFS_TYPE_FILE, &code);
	CU_ASSERT_PTR_NOT_NULL_FATAL(v);
	CU_ASSERT_PTR_NULL(cell_vnode_new(volume, AFS_TYPE_FILE, &code));
	CU_ASSERT_EQUAL(code, CELL_VOVERQUOTA);
	CU_ASSERT_EQUAL(cell_quota_check(volume, 1024, CELL_SPARE_KIB), 0);
	CU_ASSERT_EQUAL(cell_quota_check(volume, 1025, CELL_SPARE_KIB), CELL_VOVERQUOTA);
	CU_ASSERT_EQUAL(cell_quota_check(volume, -5, 0), 0);
	cell_vnode_free(v);
	CU_ASSERT_EQUAL(volume->used, 12);
	v = cell_vnode_new(volume, AFS_TYPE_FILE, &code); /* the slot again, but another file */
	CU_ASSERT_PTR_NOT_NULL_FATAL(v);
	CU_ASSERT(v->vnode == 4 && v->unique == 4);
	CU_ASSERT_PTR_NULL(cell_vnode_find(volume, 4, 3));
	end();
}

UNIT_MAIN("cell_access", { "identities: groups, anyuser, authuser, strangers", test_identity },
	  { "rights: union of the positive ones less the negative ones", test_lists },
	  { "rights: a on a file says who owns it", test_owner_bit },
	  { "fetching: r, l, mode bits, administrators, the volume's owner", test_fetch },
	  { "RPC-28 owner with insert writes own fresh 0444 file", test_insert_only },
	  { "RPC-27 storing: w and 0200, setuid, chown, symlinks", test_store },
	  { "locks and access lists: who may", test_locks_and_lists },
	  { "RPC-29 access lists as text: names, ids, strangers, no NUL", test_text },
	  { "quota in KiB, slack for stores only, slots and uniquifiers", test_quota })
