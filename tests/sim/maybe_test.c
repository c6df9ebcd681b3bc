/* A tour of everything that one client can do, in worlds where the rarer ways of rx/maybe.h are
 * taken often: whatever they are, files and names are as in a model that knows of nothing but
 * them. In the end all of the places have been taken, or the tour does not lead there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/sim/client.h"
#include "tests/sim/seeds.h"
#include "tests/sim/site.h"
#include "tests/unit.h"

enum { FILES = 4, PAGES = 12, SIZE = PAGES * CM_PAGE, OPS = 60, PIECE = 3 * CM_PAGE };

#define DIR_PATH "/afs/umafs.test/big"

struct model {
	bool there;
	size_t len;
	uint8_t bytes[SIZE];
};

struct play {
	uint64_t seed;
	struct world *world;
	struct rx_env *env;
	struct world_net *net;
	struct sim_site site;
	struct sim_client client;
	struct cm_token *token, *other;
	struct cm_vnode *dir;
	struct model files[FILES];
	unsigned violations, moves;
};

static unsigned dice(struct play *p, unsigned n)
{
	return (unsigned)(world_random(p->world) % n);
}

static char *name_of(unsigned file, char name[16])
{
	snprintf(name, 16, "file%u", file);
	return name;
}

static bool begin(struct play *p)
{
	struct cm_config config = { .env = p->env,
				    .net = world_net_port(p->net, SIM_CLIENT_IP, 7001),
				    .level = RXKAD_CRYPT,
				    .max_dirty_age_ms = 300 };
	struct rx_error err = { 0 };
	char spec[64], other[64];
	bool ok;

	sim_site_init(&p->site, p->world, p->net, true);
	ok = sim_site_start(&p->site, &err) == 0 && sim_site_ticket(&p->site, 0, "alice", 3600, spec, &err) == 0 &&
	     sim_site_ticket(&p->site, 0, "bob", 3600, other, &err) == 0;
	ok = ok && sim_client_begin(&p->client, &config, p->seed & 2 ? VFS_MODE_FULL : VFS_MODE_BASIC, &err) == 0 &&
	     cm_token_open(p->client.cm, spec, NULL, &p->token, &err) == 0 &&
	     cm_token_open(p->client.cm, other, NULL, &p->other, &err) == 0 &&
	     cm_walk(p->client.cm, p->token, DIR_PATH, 0, &p->dir, &err) == 0;
	if (!ok)
		printf("\n  %s\n", err.text);
	return ok;
}

/* ---- names ---- */

static void create_or_remove(struct play *p, unsigned i)
{
	struct cm_setattr attr = { .set_mode = true, .mode = 0666 };
	struct cm_vnode *v = NULL;
	char name[16];

	if (p->files[i].there && dice(p, 3) == 0) {
		HOLDS(p, cm_unlink(p->dir, p->token, name_of(i, name), NULL) == 0);
		p->files[i].there = false;
	} else if (!p->files[i].there) {
		HOLDS(p, cm_create(p->dir, p->token, name_of(i, name), &attr, &v, NULL) == 0);
		p->files[i].there = true;
		p->files[i].len = 0;
	}
	cm_vnode_put(v);
}

static void rename_file(struct play *p, unsigned from, unsigned to)
{
	char a[16], b[16];

	if (from == to || !p->files[from].there)
		return;
	HOLDS(p, cm_rename(p->dir, name_of(from, a), p->dir, name_of(to, b), p->token, NULL) == 0);
	p->files[to] = p->files[from];
	p->files[from].there = false;
}

static int count_name(void *arg, const char *name, struct cm_fid fid, bool is_dir)
{
	(void)fid;
	(void)is_dir;
	*(unsigned *)arg += !strncmp(name, "file", 4);
	return 0;
}

static void list(struct play *p)
{
	unsigned n = 0, want = 0;

	for (unsigned i = 0; i < FILES; i++)
		want += p->files[i].there;
	HOLDS(p, cm_readdir(p->dir, p->token, count_name, &n, NULL) == 0);
	HOLDS(p, n == want);
}

/* One that comes and goes at once. */
static void directory(struct play *p)
{
	struct cm_vnode *v = NULL;

	HOLDS(p, cm_mkdir(p->dir, p->token, "sub", NULL, &v, NULL) == 0);
	HOLDS(p, cm_symlink(p->dir, p->token, "link", "file0", false, NULL) == 0);
	HOLDS(p, cm_unlink(p->dir, p->token, "link", NULL) == 0);
	HOLDS(p, cm_rmdir(p->dir, p->token, "sub", NULL) == 0);
	cm_vnode_put(v);
	cm_walk(p->client.cm, p->token, "/afs/umafs.test/ro", 0, &v, NULL);
	HOLDS(p, v);
	cm_vnode_put(v);
}

/* ---- content ---- */

static void fill(struct play *p, uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(1 + (p->moves * 7 + i / 100) % 255);
}

static void put(struct play *p, struct model *m, const uint8_t *buf, size_t len, size_t off)
{
	if (off > m->len)
		memset(m->bytes + m->len, 0, off - m->len);
	memcpy(m->bytes + off, buf, len);
	m->len = off + len > m->len ? off + len : m->len;
	(void)p;
}

static void check(struct play *p, struct vfs_file *f, const struct model *m)
{
	size_t off = dice(p, 2) ? 0 : dice(p, SIZE), len = dice(p, 2) ? SIZE : dice(p, PIECE);
	uint8_t *buf = malloc(SIZE);
	size_t want = off < m->len ? m->len - off : 0;
	ssize_t n = vfs_pread(f, buf, len < SIZE - off ? len : SIZE - off, off, NULL);

	want = want < len ? want : len;
	want = want < SIZE - off ? want : SIZE - off;
	HOLDS(p, n == (ssize_t)want);
	HOLDS(p, n < 0 || !memcmp(buf, m->bytes + off, (size_t)n));
	free(buf);
}

/* Through a mapping, by one byte in each of some pages. */
static void scribble(struct play *p, struct vfs_file *f, struct model *m, bool other)
{
	size_t pages = (m->len + CM_PAGE - 1) / CM_PAGE, off;
	uintptr_t map = pages ? (uintptr_t)vfs_mmap(f, pages * CM_PAGE, PROT_READ | PROT_WRITE, 0, NULL) : 0;

	for (size_t i = 0; map && i < pages; i += 1 + dice(p, 3)) {
		off = i * CM_PAGE + dice(p, CM_PAGE);
		if (off >= m->len)
			break;
		HOLDS(p, soft_load(p->client.source, map + off, other) == m->bytes[off]);
		HOLDS(p, soft_store(p->client.source, map + off, other, (uint8_t)p->moves) == 0);
		m->bytes[off] = (uint8_t)p->moves;
	}
	if (map && dice(p, 2))
		HOLDS(p, vfs_msync(p->client.vfs, (void *)map, pages * CM_PAGE, MS_SYNC, NULL) == 0);
	if (map)
		HOLDS(p, vfs_munmap(p->client.vfs, (void *)map, pages * CM_PAGE, NULL) == 0);
}

/* The page between two that are dirty. */
static void close_gap(struct play *p, struct vfs_file *f, struct model *m)
{
	static const unsigned order[] = { 0, 2, 1 };
	size_t first = dice(p, PAGES - 2);
	uint8_t page[CM_PAGE];

	for (unsigned i = 0; i < 3; i++) {
		size_t off = (first + order[i]) * CM_PAGE;

		fill(p, page, CM_PAGE);
		HOLDS(p, vfs_pwrite(f, page, CM_PAGE, off, NULL) == CM_PAGE);
		put(p, m, page, CM_PAGE, off);
	}
}

static void content(struct play *p, unsigned i)
{
	bool other = dice(p, 3) == 0;
	struct cm_token *t = other ? p->other : p->token;
	struct model *m = &p->files[i];
	struct cm_vnode *v = NULL;
	struct vfs_file *f = NULL;
	uint8_t buf[PIECE];
	char path[64], name[16];
	size_t len = 1 + dice(p, PIECE), off = dice(p, (unsigned)(SIZE - len)), size;

	snprintf(path, sizeof(path), DIR_PATH "/%s", name_of(i, name));
	HOLDS(p, cm_walk(p->client.cm, t, path, 0, &v, NULL) == 0);
	if (!v || vfs_open(p->client.vfs, v, t, true, &f, NULL)) {
		HOLDS(p, !"the file opens");
		cm_vnode_put(v);
		return;
	}
	for (unsigned n = 1 + dice(p, 4); n > 0; n--) {
		switch (dice(p, 6)) {
		case 3:
			close_gap(p, f, m);
			break;
		case 0:
			fill(p, buf, len);
			HOLDS(p, vfs_pwrite(f, buf, len, off, NULL) == (ssize_t)len);
			put(p, m, buf, len, off);
			break;
		case 1:
			scribble(p, f, m, other);
			break;
		case 2:
			size = dice(p, SIZE);
			HOLDS(p, vfs_truncate(f, size, NULL) == 0);
			if (size > m->len)
				memset(m->bytes + m->len, 0, size - m->len);
			m->len = size;
			break;
		default:
			check(p, f, m);
		}
	}
	if (dice(p, 2))
		world_sleep_us(p->world, dice(p, 600000));
	HOLDS(p, vfs_close(f, NULL) == 0);
	cm_vnode_put(v);
}

/* ---- one seed ---- */

static void conduct(void *arg)
{
	struct play *p = arg;

	if (!begin(p)) {
		HOLDS(p, !"the cell and the client start");
		return;
	}
	for (p->moves = 1; p->moves <= OPS && !p->violations; p->moves++) {
		unsigned i = dice(p, FILES);

		switch (dice(p, 8)) {
		case 0:
			rename_file(p, i, dice(p, FILES));
			break;
		case 1:
			list(p);
			break;
		case 2:
			directory(p);
			break;
		case 3:
			create_or_remove(p, i);
			break;
		default:
			if (p->files[i].there)
				content(p, i);
			else
				create_or_remove(p, i);
		}
		world_note(p->world, &p->violations, sizeof(p->violations));
	}
	cm_vnode_put(p->dir);
	cm_token_put(p->token);
	cm_token_put(p->other);
	HOLDS(p, sim_client_end(&p->client, 60000) == 0);
	sim_site_end(&p->site);
}

static struct sim_outcome play(uint64_t seed)
{
	struct world_link link = { .delay_us = 300, .jitter_us = 400, .loss = (unsigned)(seed % 3) * 5 };
	struct play *p = calloc(1, sizeof(*p));
	struct sim_outcome o;

	p->seed = seed;
	p->world = world_new(seed);
	p->env = world_env(p->world);
	p->net = world_net_new(p->world, &link);
	world_set_maybe(p->world, 40 + (unsigned)(seed % 4) * 60);
	o = sim_run(p->world, seed, conduct, p, &p->violations);
	if (o.ok)
		world_net_free(p->net);
	world_free(p->world);
	free(p);
	return o;
}

static void test_tour(void)
{
	CU_ASSERT(sim_seeds(60, play));
}

static void test_all_taken(void)
{
#ifdef UMAFS_DEBUG
	CU_ASSERT_EQUAL(world_maybe_print(stdout), 0);
	CU_ASSERT(UMAFS_MAYBE_COUNT >= 60);
#else
	unit_skip("not configured with --enable-debug");
#endif
}

UNIT_MAIN("maybe", { "the rarer ways lead to the same places", test_tour },
	  { "... and each of them was gone", test_all_taken })
