/* A program on the installed API, umafs.h, with real threads, sockets and faults: does one
 * operation, in which the n-th call fails (tests/nth/nth.h). It must succeed or say why, and
 * succeed when it is asked again; no memory and no descriptor may be left. Run by library_test.
 *
 *	client CONFDIR OPERATION */
#include <dirent.h>
#include <errno.h>
#include <krb5.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cm/cm.h"
#include "tests/nth/nth.h"
#include "tests/nth/tree_dir.h"
#include "vfs-emu/umafs.h"

enum { SIZE = 9000, MAP = 16384, TRIES = 3 };

struct client {
	const char *confdir;
	struct umafs *fs;
	struct umafs_token *alice, *bob;
	struct umafs_file *file, *bobs;
	char *map, *bobs_map;
	struct cm *other; /* somebody elsewhere, as admin */
	struct cm_token *others;
};

struct operation {
	const char *name;
	int (*prepare)(struct client *c, struct umafs_error *err);
	int (*run)(struct client *c, struct umafs_error *err);
	int done; /* what a second try may say: it was done after all */
};

/* ---- how far a client has come ---- */

static int with_client(struct client *c, struct umafs_error *err)
{
	struct umafs_config config = { .size = sizeof(config), .confdir = c->confdir, .max_dirty_age_ms = 600000 };

	if (!c->fs)
		c->fs = umafs_new(&config, err);
	return c->fs ? 0 : -1;
}

static int token(struct client *c, const char *user, struct umafs_token **out, struct umafs_error *err)
{
	char spec[256];

	snprintf(spec, sizeof(spec), "FILE:%s/ccache/%s", c->confdir, user);
	if (!*out)
		*out = umafs_token_open(c->fs, spec, NULL, err);
	return *out ? 0 : -1;
}

static int with_tokens(struct client *c, struct umafs_error *err)
{
	return with_client(c, err) || token(c, "alice", &c->alice, err) || token(c, "admin", &c->bob, err) ? -1 : 0;
}

static int open_as(struct client *c, struct umafs_token *t, const char *path, int flags, struct umafs_file **out,
		   struct umafs_error *err)
{
	if (!*out)
		*out = umafs_open(c->fs, t, path, flags, 0644, err);
	return *out ? 0 : -1;
}

static int with_files(struct client *c, struct umafs_error *err)
{
	if (with_tokens(c, err) || open_as(c, c->alice, TREE_DIR "/old", UMAFS_RDWR, &c->file, err))
		return -1;
	return open_as(c, c->bob, TREE_DIR "/old", UMAFS_RDWR, &c->bobs, err);
}

static int map_as(struct umafs_file *f, char **map, struct umafs_error *err)
{
	if (!*map)
		*map = umafs_mmap(f, MAP, PROT_READ | PROT_WRITE, 0, err);
	return *map ? 0 : -1;
}

static int with_maps(struct client *c, struct umafs_error *err)
{
	return with_files(c, err) || map_as(c->file, &c->map, err) || map_as(c->bobs, &c->bobs_map, err) ? -1 : 0;
}

/* ---- loads and stores ---- */

static sigjmp_buf bus;

static void on_bus(int sig)
{
	(void)sig;
	siglongjmp(bus, 1);
}

static int refused(struct umafs_error *err)
{
	err->code = err->errnum = EFAULT;
	strcpy(err->text, "SIGBUS");
	return -1;
}

static int store(char *at, char value, struct umafs_error *err)
{
	if (sigsetjmp(bus, 1))
		return refused(err);
	*(volatile char *)at = value;
	return 0;
}

static int load(const char *at, char *value, struct umafs_error *err)
{
	if (sigsetjmp(bus, 1))
		return refused(err);
	*value = *(const volatile char *)at;
	return 0;
}

static int with_dirt(struct client *c, struct umafs_error *err)
{
	return with_maps(c, err) || store(c->map + 10, 'a', err) || umafs_pwrite(c->file, "A", 1, 5000, err) != 1 ? -1
														  : 0;
}

/* ---- somebody elsewhere ---- */

static int told(const struct rx_error *from, struct umafs_error *err)
{
	err->code = from->code;
	err->errnum = from->errnum;
	snprintf(err->text, sizeof(err->text), "%.250s", from->text);
	return -1;
}

static int with_other(struct client *c, struct umafs_error *err)
{
	struct cm_config config = { .confdir = c->confdir, .level = 2 };
	struct rx_error error = { 0 };
	char spec[256], value;

	snprintf(spec, sizeof(spec), "FILE:%s/ccache/admin", c->confdir);
	c->other = cm_new(&config, &error);
	if (!c->other || cm_token_open(c->other, spec, NULL, &c->others, &error))
		return told(&error, err);
	if (with_maps(c, err))
		return -1;
	for (unsigned at = 0; at < SIZE; at += 4096)
		if (load(c->map + at, &value, err) || load(c->bobs_map + at, &value, err))
			return -1;
	return 0;
}

static int give_bytes(void *arg, void *buf, size_t len)
{
	(void)arg;
	memset(buf, 'S', len);
	return 0;
}

/* It stores into the file; or takes alice's right to. */
static int elsewhere(struct client *c, bool revokes, struct umafs_error *err)
{
	static const char acl[] = "2\n0\nadmin\t127\nalice\t9\n";
	struct rx_error error = { 0 };
	struct cm_vnode *v = NULL;
	int rc = cm_walk(c->other, c->others, revokes ? TREE_DIR : TREE_DIR "/old", 0, &v, &error);

	if (rc == 0 && revokes)
		rc = cm_acl_store(v, c->others, acl, &error);
	else if (rc == 0)
		rc = cm_store_stream(v, c->others, 0, SIZE, SIZE, 0, false, give_bytes, NULL, &error);
	cm_vnode_put(v);
	return rc ? told(&error, err) : 0;
}

/* ---- operations ---- */

static int op_break(struct client *c, struct umafs_error *err)
{
	char a, b;

	if (elsewhere(c, false, err) || load(c->map + 5000, &a, err) || load(c->bobs_map + 8999, &b, err))
		return -1;
	if (a != 'S' || b != 'S')
		exit((puts("what was stored elsewhere is not seen"), 3));
	return 0;
}

/* The store raises SIGBUS, or is refused when it is to be stored; for good. */
static int op_revoked(struct client *c, struct umafs_error *err)
{
	if (elsewhere(c, true, err))
		return -1;
	if (store(c->map + 5000, 'x', err) || umafs_fsync(c->file, err))
		return err->errnum == EACCES || err->errnum == EFAULT ? 0 : -1;
	exit((puts("a store without the right was let through"), 3));
}

/* Beyond the end there is nothing, until the file is longer. */
static int op_beyond(struct client *c, struct umafs_error *err)
{
	struct umafs_stat st;
	char value;

	if (umafs_fstat(c->file, &st, err))
		return -1;
	if (st.size == SIZE && load(c->map + 12288, &value, err) == 0)
		exit((puts("there is something beyond the end"), 3));
	return umafs_ftruncate(c->file, MAP, err) || umafs_fsync(c->file, err) ? -1 : load(c->map + 12288, &value, err);
}

static int make_keytab(struct client *c, struct umafs_error *err)
{
	krb5_octet key[32] = "0123456789abcdef0123456789abcde";
	krb5_keytab_entry entry = { .vno = 1 };
	krb5_context ctx = NULL;
	krb5_keytab kt = NULL;
	char name[256];
	int rc = -1;

	snprintf(name, sizeof(name), "FILE:%s/keytab", c->confdir);
	entry.key = (krb5_keyblock){ .enctype = ENCTYPE_AES256_CTS_HMAC_SHA1_96, .length = 32, .contents = key };
	if (!krb5_init_context(&ctx) && !krb5_parse_name(ctx, "alice", &entry.principal) &&
	    !krb5_kt_resolve(ctx, name, &kt))
		rc = krb5_kt_add_entry(ctx, kt, &entry) ? -1 : with_client(c, err);
	if (kt)
		krb5_kt_close(ctx, kt);
	krb5_free_principal(ctx, entry.principal);
	krb5_free_context(ctx);
	return rc;
}

/* A token that cannot be had, and says so each time. */
static int refused_token(struct client *c, const char *spec, const char *cell, int errnum, struct umafs_error *err)
{
	c->alice = umafs_token_open(c->fs, spec, cell, err);
	if (c->alice)
		exit((puts("a token came from nowhere"), 3));
	if (!err->code || strlen(err->text) < 6)
		exit((puts("it fails without words"), 3));
	return errnum && err->errnum != errnum ? -1 : 0;
}

/* There is no KDC: it fails, and not as if it had been a ticket cache. */
static int op_keytab(struct client *c, struct umafs_error *err)
{
	char spec[256];

	snprintf(spec, sizeof(spec), "%s/keytab:alice", c->confdir);
	return refused_token(c, spec, NULL, 0, err);
}

static int op_expired(struct client *c, struct umafs_error *err)
{
	char spec[256];

	snprintf(spec, sizeof(spec), "FILE:%s/ccache/expired", c->confdir);
	return refused_token(c, spec, NULL, EKEYEXPIRED, err);
}

static int op_no_ticket(struct client *c, struct umafs_error *err)
{
	char spec[256];

	snprintf(spec, sizeof(spec), "FILE:%s/ccache/alice", c->confdir);
	return refused_token(c, spec, "other.cell", 0, err);
}

static int op_default_keytab(struct client *c, struct umafs_error *err)
{
	char value[256];

	snprintf(value, sizeof(value), "FILE:%s/keytab", c->confdir);
	setenv("KRB5_KTNAME", value, 1);
	return refused_token(c, "KEYTAB:alice", NULL, 0, err);
}

static int op_default(struct client *c, struct umafs_error *err)
{
	char value[256];

	snprintf(value, sizeof(value), "FILE:%s/ccache/alice", c->confdir);
	setenv("KRB5CCNAME", value, 1);
	if (!c->alice)
		c->alice = umafs_token_open(c->fs, NULL, NULL, err);
	return c->alice ? 0 : -1;
}

/* Where the configuration is, is found. */
static int op_search(struct client *c, struct umafs_error *err)
{
	char home[256];

	snprintf(home, sizeof(home), "%s/home", c->confdir);
	setenv("UMAFS_CONF", "/nowhere", 1);
	setenv("HOME", home, 1);
	if (!c->fs)
		c->fs = umafs_new(NULL, err);
	return c->fs ? 0 : -1;
}

static int op_token(struct client *c, struct umafs_error *err)
{
	return token(c, "alice", &c->alice, err);
}

static int op_anonymous(struct client *c, struct umafs_error *err)
{
	c->bob = umafs_token_open(c->fs, "anonymous", NULL, err);
	return c->bob ? 0 : -1;
}

static int op_open(struct client *c, struct umafs_error *err)
{
	return open_as(c, c->alice, TREE_DIR "/link", UMAFS_RDONLY, &c->file, err);
}

static int op_create(struct client *c, struct umafs_error *err)
{
	return open_as(c, c->alice, TREE_DIR "/new", UMAFS_RDWR | UMAFS_CREAT, &c->file, err);
}

static int op_exclusive(struct client *c, struct umafs_error *err)
{
	return open_as(c, c->alice, TREE_DIR "/new", UMAFS_RDWR | UMAFS_CREAT | UMAFS_EXCL, &c->file, err);
}

static int op_open_truncate(struct client *c, struct umafs_error *err)
{
	return open_as(c, c->alice, TREE_DIR "/old", UMAFS_RDWR | UMAFS_TRUNC, &c->file, err);
}

static int op_fstat(struct client *c, struct umafs_error *err)
{
	struct umafs_stat st;

	return umafs_fstat(c->bobs, &st, err);
}

static int op_pread(struct client *c, struct umafs_error *err)
{
	char bytes[SIZE + 1];
	ssize_t n = umafs_pread(c->file, bytes, sizeof(bytes), 0, err);

	if (n < 0)
		return -1;
	if (n != SIZE || bytes[1] != '1' || bytes[SIZE - 1] != "0123456789abcdefghijklmnopqrstu\n"[(SIZE - 1) % 32])
		exit((puts("what was read is wrong"), 3));
	return 0;
}

static int op_pwrite(struct client *c, struct umafs_error *err)
{
	char bytes[SIZE];
	size_t done = 0;

	memset(bytes, 'P', sizeof(bytes));
	while (done < SIZE) {
		ssize_t n = umafs_pwrite(c->file, bytes, SIZE - done, 100 + done, err);

		if (n <= 0)
			return -1;
		done += (size_t)n;
	}
	return umafs_fsync(c->file, err);
}

static int op_fsync(struct client *c, struct umafs_error *err)
{
	return umafs_fsync(c->file, err);
}

static int op_truncate(struct client *c, struct umafs_error *err)
{
	return umafs_ftruncate(c->file, 5000, err) || umafs_ftruncate(c->file, MAP, err) ? -1
											 : umafs_fsync(c->file, err);
}

static int op_close(struct client *c, struct umafs_error *err)
{
	struct umafs_file *f = c->file;

	c->file = NULL; /* freed, whatever is returned */
	if (f && umafs_close(f, err))
		return -1;
	return umafs_fsync(c->bobs, err);
}

static int op_mmap(struct client *c, struct umafs_error *err)
{
	return map_as(c->file, &c->map, err);
}

static int op_load(struct client *c, struct umafs_error *err)
{
	char value;

	if (load(c->map + 4097, &value, err))
		return -1;
	if (value != '1')
		exit((puts("what was loaded is wrong"), 3));
	return 0;
}

static int op_store(struct client *c, struct umafs_error *err)
{
	if (store(c->map + 7, 'm', err) || store(c->map + 8000, 'n', err))
		return -1;
	return umafs_msync(c->fs, c->map, MAP, MS_SYNC, err);
}

static int op_msync_async(struct client *c, struct umafs_error *err)
{
	return umafs_msync(c->fs, c->map, MAP, MS_ASYNC, err) ? -1 : umafs_fsync(c->file, err);
}

static int op_munmap(struct client *c, struct umafs_error *err)
{
	if (c->map && umafs_munmap(c->fs, c->map, MAP, err))
		return -1;
	c->map = NULL;
	return umafs_fsync(c->file, err);
}

static int op_conflict(struct client *c, struct umafs_error *err)
{
	if (store(c->bobs_map + 20, 'b', err) || umafs_msync(c->fs, c->bobs_map, MAP, MS_SYNC, err))
		return -1;
	return umafs_fsync(c->file, err);
}

static int op_mkdir(struct client *c, struct umafs_error *err)
{
	return umafs_mkdir(c->fs, c->alice, TREE_DIR "/made", 0755, err);
}

static int op_unlink(struct client *c, struct umafs_error *err)
{
	return umafs_unlink(c->fs, c->alice, TREE_DIR "/small", err);
}

static int op_rename(struct client *c, struct umafs_error *err)
{
	return umafs_rename(c->fs, c->alice, TREE_DIR "/small", TREE_DIR "/sub/a", err);
}

/* Frees everything; what could not be stored at one time is stored at the next. */
static uint64_t end(struct client *c, struct umafs_error *err)
{
	uint64_t lost = 0;

	if (c->map)
		umafs_munmap(c->fs, c->map, MAP, err);
	if (c->bobs_map)
		umafs_munmap(c->fs, c->bobs_map, MAP, err);
	umafs_close(c->file, err);
	umafs_close(c->bobs, err);
	umafs_token_close(c->alice);
	umafs_token_close(c->bob);
	lost = umafs_free(c->fs);
	cm_token_put(c->others);
	if (c->other)
		cm_free(c->other, 1000);
	*c = (struct client){ .confdir = c->confdir };
	return lost;
}

static int op_end(struct client *c, struct umafs_error *err)
{
	if (end(c, err))
		exit((puts("bytes were not stored"), 3));
	return 0;
}

static const struct operation operations[] = {
	{ "new", NULL, with_client, 0 },
	{ "token", with_client, op_token, 0 },
	{ "anonymous", with_client, op_anonymous, 0 },
	{ "default", with_client, op_default, 0 },
	{ "expired", with_client, op_expired, 0 },
	{ "no ticket", with_client, op_no_ticket, 0 },
	{ "keytab", make_keytab, op_keytab, 0 },
	{ "default keytab", make_keytab, op_default_keytab, 0 },
	{ "search", NULL, op_search, 0 },
	{ "open", with_tokens, op_open, 0 },
	{ "create", with_tokens, op_create, 0 },
	{ "exclusive", with_tokens, op_exclusive, EEXIST },
	{ "truncated", with_tokens, op_open_truncate, 0 },
	{ "fstat", with_files, op_fstat, 0 },
	{ "pread", with_files, op_pread, 0 },
	{ "pwrite", with_files, op_pwrite, 0 },
	{ "fsync", with_dirt, op_fsync, 0 },
	{ "ftruncate", with_dirt, op_truncate, 0 },
	{ "close", with_dirt, op_close, 0 },
	{ "mmap", with_files, op_mmap, 0 },
	{ "load", with_maps, op_load, 0 },
	{ "store", with_maps, op_store, 0 },
	{ "msync", with_dirt, op_msync_async, 0 },
	{ "munmap", with_dirt, op_munmap, 0 },
	{ "conflict", with_dirt, op_conflict, 0 },
	{ "beyond", with_maps, op_beyond, 0 },
	{ "break", with_other, op_break, 0 },
	{ "revoked", with_other, op_revoked, 0 },
	{ "mkdir", with_tokens, op_mkdir, EEXIST },
	{ "unlink", with_tokens, op_unlink, ENOENT },
	{ "rename", with_tokens, op_rename, ENOENT },
	{ "end", with_dirt, op_end, 0 },
};
enum { OPERATIONS = sizeof(operations) / sizeof(operations[0]) };

/* ---- one run ---- */

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

static int complain(const char *what, const struct umafs_error *err)
{
	printf("%s: %s\n", what, err->text);
	return 1;
}

static int play(struct client *c, const struct operation *op)
{
	struct umafs_error err = { 0 };
	int rc, tries = 0;

	if (op->prepare && op->prepare(c, &err))
		return complain("preparing", &err);
	nth_arm_as_asked();
	rc = op->run(c, &err);
	nth_disarm();
	if (rc && (!err.code || !err.errnum || strlen(err.text) < 6))
		return complain("it says nothing", &err);
	/* A page that gave SIGBUS is itself again when its handler has come to an end. */
	for (; rc && tries < TRIES && err.errnum != op->done; tries++) {
		if (tries)
			usleep(100000);
		rc = op->run(c, &err);
	}
	if (rc && (!op->done || err.errnum != op->done))
		return complain("again", &err);
	if (end(c, &err))
		return complain("bytes were not stored", &err);
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_bus, .sa_flags = SA_NODEFER };
	struct client c = { .confdir = argc > 2 ? argv[1] : "" };
	unsigned fds = descriptors(), mark = nth_mark();
	int rc;

	sigaction(SIGBUS, &action, NULL);
	for (unsigned i = 0; argc > 2 && i < OPERATIONS; i++) {
		if (strcmp(operations[i].name, argv[2]))
			continue;
		rc = play(&c, &operations[i]);
		if (nth_leaked(mark) || descriptors() != fds)
			rc = rc ? rc : complain("something is left", &(struct umafs_error){ .text = "" });
		return rc;
	}
	for (unsigned i = 0; i < OPERATIONS; i++)
		puts(operations[i].name);
	return argc > 1 ? 2 : 0;
}
