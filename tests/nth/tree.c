/* See tree.h. */
#include "tests/nth/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct cm_setattr dir_mode = { .set_mode = true, .mode = 0755 };
static const struct cm_setattr file_mode = { .set_mode = true, .mode = 0644 };

static bool say(const char *what, const struct rx_error *err)
{
	printf("    %s: %s\n", what, err->text);
	return false;
}

/* More of a configuration than the cell writes: another cell, a home directory that leads
 * here, a ticket that has ended. */
static bool add_configuration(struct tree *t, struct rx_error *err)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/ccache/expired", t->dir);
	if (cell_write_ticket(t->cell, "alice", path, -3600, err))
		return false;
	snprintf(path, sizeof(path), "%s/CellServDB.d", t->dir);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/CellServDB.d/other", t->dir);
	f = fopen(path, "we");
	if (!f)
		return false;
	fputs(">other.cell linked.cell #another\n127.0.0.1 #localhost\n", f);
	fclose(f);
	snprintf(path, sizeof(path), "%s/home", t->dir);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/home/.config", t->dir);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/home/.config/umafs", t->dir);
	return symlink(t->dir, path) == 0;
}

bool tree_begin(struct tree *t)
{
	uint32_t net = 0x7f000000 | (1 + (uint32_t)getpid() % 0xfffe) << 8;
	uint32_t ip[2] = { net | 1, net | 2 };
	struct cell_config config = { .name = "umafs.test", .db_ip = ip[0], .fs_ip = ip, .nfs = 2 };
	struct cm_config client = { .level = 2 };
	struct rx_error err = { 0 };
	char spec[128];

	*t = (struct tree){ 0 };
	strcpy(t->dir, "/tmp/umafs-nth.XXXXXX");
	if (!mkdtemp(t->dir))
		return false;
	snprintf(t->local, sizeof(t->local), "%s/local", t->dir);
	snprintf(t->ccache, sizeof(t->ccache), "FILE:%s/ccache/alice", t->dir);
	snprintf(spec, sizeof(spec), "%s/krb5.conf", t->dir);
	setenv("KRB5_CONFIG", spec, 1);
	t->cell = cell_new(&config, &err);
	if (!t->cell || cell_write_client(t->cell, t->dir, 86400, &err) || !add_configuration(t, &err))
		return say("cell", &err);
	client.confdir = t->dir;
	snprintf(spec, sizeof(spec), "FILE:%s/ccache/admin", t->dir);
	t->cm = cm_new(&client, &err);
	if (!t->cm || cm_token_open(t->cm, spec, NULL, &t->admin, &err))
		return say("bystander", &err);
	return true;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	return remove(path);
}

void tree_end(struct tree *t)
{
	cm_token_put(t->admin);
	if (t->cm)
		cm_free(t->cm, 1000);
	cell_free(t->cell);
	nftw(t->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- AFS ---- */

struct entry_name {
	char text[256];
};

struct names {
	struct entry_name *list;
	unsigned n;
};

static int add_name(void *arg, const char *name, struct cm_fid fid, bool is_dir)
{
	struct names *l = arg;

	(void)fid, (void)is_dir;
	l->list = realloc(l->list, (l->n + 1) * sizeof(*l->list));
	snprintf(l->list[l->n++].text, sizeof(l->list->text), "%s", name);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool remove_all(struct tree *t, struct cm_vnode *dir, struct rx_error *err)
{
	struct names l = { 0 };
	bool ok = cm_readdir(dir, t->admin, add_name, &l, err) == 0;

	for (unsigned i = 0; ok && i < l.n; i++) {
		struct cm_vnode *v = NULL;
		struct cm_attr attr;

		ok = !cm_lookup(dir, t->admin, l.list[i].text, &v, err) && !cm_getattr(v, t->admin, &attr, err);
		if (ok && attr.type == CM_DIR)
			ok = remove_all(t, v, err) && !cm_rmdir(dir, t->admin, l.list[i].text, err);
		else if (ok)
			ok = !cm_unlink(dir, t->admin, l.list[i].text, err);
		cm_vnode_put(v);
	}
	free(l.list);
	return ok;
}

static int give_bytes(void *arg, void *buf, size_t len)
{
	unsigned *at = arg;

	for (size_t i = 0; i < len; i++, (*at)++)
		((uint8_t *)buf)[i] = (uint8_t)("0123456789abcdefghijklmnopqrstu\n"[*at % 32]);
	return 0;
}

static bool make_file(struct tree *t, struct cm_vnode *dir, const char *name, uint64_t len, struct rx_error *err)
{
	struct cm_vnode *v = NULL;
	unsigned at = 0;
	bool ok = !cm_create(dir, t->admin, name, &file_mode, &v, err) &&
		  !cm_store_stream(v, t->admin, 0, len, len, 0, false, give_bytes, &at, err);

	cm_vnode_put(v);
	return ok;
}

static bool make_tree(struct tree *t, struct rx_error *err)
{
	struct cm_vnode *home = NULL, *dir = NULL, *sub = NULL, *empty = NULL;
	bool ok = !cm_walk(t->cm, t->admin, "/afs/umafs.test/home", 0, &home, err);

	if (ok && !cm_lookup(home, t->admin, "nth", &dir, err))
		ok = remove_all(t, dir, err);
	else if (ok)
		ok = !cm_mkdir(home, t->admin, "nth", &dir_mode, &dir, err);
	ok = ok && !cm_acl_store(dir, t->admin, "2\n0\nadmin\t127\nalice\t127\n", err) &&
	     make_file(t, dir, "old", 9000, err) && make_file(t, dir, "small", 32, err) &&
	     !cm_symlink(dir, t->admin, "link", "small", false, err) &&
	     !cm_symlink(dir, t->admin, "mnt", "#big.", true, err) &&
	     !cm_mkdir(dir, t->admin, "empty", &dir_mode, &empty, err) &&
	     !cm_mkdir(dir, t->admin, "sub", &dir_mode, &sub, err) && make_file(t, sub, "a", 64, err);
	cm_vnode_put(sub);
	cm_vnode_put(empty);
	cm_vnode_put(dir);
	cm_vnode_put(home);
	return ok;
}

/* FNV, so that a text stays short. */
static uint64_t hash(uint64_t h, const void *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		h = (h ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3u;
	return h;
}

static int hash_bytes(void *arg, const void *buf, size_t len)
{
	uint64_t *h = arg;

	*h = hash(*h, buf, len);
	return 0;
}

static void print_vnode(struct tree *t, FILE *out, struct cm_vnode *v, const char *path);

static void print_dir(struct tree *t, FILE *out, struct cm_vnode *dir, const char *path)
{
	struct names l = { 0 };
	struct rx_error err = { 0 };
	char *acl = NULL;

	if (cm_acl_fetch(dir, t->admin, &acl, &err) || cm_readdir(dir, t->admin, add_name, &l, &err))
		fprintf(out, "? %s\n", err.text);
	for (char *c = acl; c && *c; c++)
		fputc(*c == '\n' ? ' ' : *c, out);
	fputc('\n', out);
	if (l.n)
		qsort(l.list, l.n, sizeof(*l.list), by_name);
	for (unsigned i = 0; i < l.n; i++) {
		struct cm_vnode *v = NULL;
		char full[1024];

		snprintf(full, sizeof(full), "%s/%s", path, l.list[i].text);
		if (cm_lookup(dir, t->admin, l.list[i].text, &v, &err))
			fprintf(out, "%s ? %s\n", full, err.text);
		else
			print_vnode(t, out, v, full);
		cm_vnode_put(v);
	}
	free(acl);
	free(l.list);
}

static void print_vnode(struct tree *t, FILE *out, struct cm_vnode *v, const char *path)
{
	uint64_t h = 0xcbf29ce484222325u, version;
	struct rx_error err = { 0 };
	struct cm_attr a;
	char *text = NULL;

	if (cm_getattr(v, t->admin, &a, &err)) {
		fprintf(out, "%s ? %s\n", path, err.text);
		return;
	}
	fprintf(out, "%s %u 0%o ", path, a.type, a.mode);
	if (a.type == CM_DIR) {
		print_dir(t, out, v, path);
	} else if (a.type == CM_FILE) {
		if (a.size && cm_fetch_stream(v, t->admin, 0, a.size, hash_bytes, &h, &version, &err))
			fprintf(out, "? %s ", err.text);
		fprintf(out, "%llu %llx links %u\n", (unsigned long long)a.size, (unsigned long long)h, a.nlink);
	} else {
		fprintf(out, "-> %s\n", cm_readlink(v, t->admin, &text, &err) ? err.text : text);
		free(text);
	}
}

/* ---- local ---- */

static bool write_local(struct tree *t, const char *name, size_t len)
{
	char path[200], bytes[16384];
	unsigned at = 7;
	int fd;
	bool ok;

	snprintf(path, sizeof(path), "%s/%s", t->local, name);
	give_bytes(&at, bytes, len);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	ok = fd >= 0 && write(fd, bytes, len) == (ssize_t)len;
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool make_local(struct tree *t)
{
	char path[200];

	nftw(t->local, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	if (mkdir(t->local, 0755) || !write_local(t, "src", 10000) || !write_local(t, "have", 50))
		return false;
	snprintf(path, sizeof(path), "%s/tree", t->local);
	if (mkdir(path, 0755) || !write_local(t, "tree/x", 100))
		return false;
	snprintf(path, sizeof(path), "%s/tree/y", t->local);
	if (mkdir(path, 0755) || !write_local(t, "tree/y/z", 5000))
		return false;
	snprintf(path, sizeof(path), "%s/sub", t->local);
	if (mkdir(path, 0755))
		return false;
	snprintf(path, sizeof(path), "%s/tree/l", t->local);
	return symlink("x", path) == 0;
}

static void print_local(FILE *out, const char *path, const char *name)
{
	struct dirent **names = NULL;
	struct stat st;
	char buf[1 << 16];
	int n;

	if (lstat(path, &st))
		return;
	fprintf(out, "local%s 0%o ", name, st.st_mode);
	if (S_ISLNK(st.st_mode)) {
		ssize_t len = readlink(path, buf, sizeof(buf));

		fprintf(out, "-> %.*s\n", (int)len, buf);
	} else if (S_ISREG(st.st_mode)) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t len = fd >= 0 ? read(fd, buf, sizeof(buf)) : 0;

		close(fd);
		fprintf(out, "%lld %llx\n", (long long)st.st_size,
			(unsigned long long)hash(0xcbf29ce484222325u, buf, (size_t)len));
	} else {
		fputc('\n', out);
		n = scandir(path, &names, NULL, alphasort);
		for (int i = 0; i < n; i++) {
			char full[1024], below[1024];

			snprintf(full, sizeof(full), "%s/%s", path, names[i]->d_name);
			snprintf(below, sizeof(below), "%s/%s", name, names[i]->d_name);
			if (strcmp(names[i]->d_name, ".") && strcmp(names[i]->d_name, ".."))
				print_local(out, full, below);
			free(names[i]);
		}
		free(names);
	}
}

/* ---- both ---- */

bool tree_reset(struct tree *t)
{
	struct rx_error err = { 0 };

	if (!make_tree(t, &err))
		return say("the tree", &err);
	if (!make_local(t)) {
		rx_error_errno(&err, errno, "%s", t->local);
		return say("the tree", &err);
	}
	return true;
}

char *tree_text(struct tree *t)
{
	struct cm_vnode *dir = NULL;
	struct rx_error err = { 0 };
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (cm_walk(t->cm, t->admin, TREE_DIR, 0, &dir, &err))
		fprintf(out, "? %s\n", err.text);
	else
		print_vnode(t, out, dir, "nth");
	cm_vnode_put(dir);
	print_local(out, t->local, "");
	fclose(out);
	return text;
}
