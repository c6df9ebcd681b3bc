/* See stage.h. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "tests/nth/stage.h"
#include "vfs-emu/instance.h"

enum { DB_IP = 0x0a000001, FS_IP = 0x0a00000b, CLIENT_IP = 0x0a000065, OTHER_IP = 0x0a000066 };

static struct world *stage_world; /* of the one stage; for stage_party */

void stage_as(struct stage *s, enum party who)
{
	world_set_tag(s->world, (int)who);
}

enum party stage_party(void)
{
	return stage_world ? (enum party)world_tag(stage_world) : BYSTANDER;
}

int stage_client_new(struct stage *s, struct stage_client *c, uint32_t ip, struct rx_error *err)
{
	struct cm_config config = { .env = s->env, .confdir = s->dir, .level = 2, .max_dirty_age_ms = 600000 };
	struct vfs_config pages = { .workers = 2 };

	config.net = world_net_port(s->net, ip, 7001);
	c->cm = cm_new(&config, err);
	if (!c->cm)
		return -1;
	pages.cm = c->cm;
	pages.source = c->source = soft_mmu_new(s->env, s->mode, 0);
	c->vfs = vfs_new(&pages, err);
	if (c->vfs)
		return 0;
	pages.source->ops->free(pages.source);
	cm_free(c->cm, 0);
	*c = (struct stage_client){ 0 };
	return -1;
}

uint64_t stage_client_free(struct stage_client *c)
{
	uint64_t lost;

	if (!c->cm)
		return 0;
	vfs_stop(c->vfs);
	lost = cm_free(c->cm, 10000);
	vfs_free(c->vfs);
	*c = (struct stage_client){ 0 };
	return lost;
}

static int give_bytes(void *arg, void *buf, size_t len)
{
	struct stage *s = arg;

	memcpy(buf, s->want, len);
	return 0;
}

static int make_tree(struct stage *s, struct rx_error *err)
{
	struct cm_setattr dir = { .set_mode = true, .mode = 0755 }, file = { .set_mode = true, .mode = 0666 };
	struct cm_vnode *big, *sub;
	int rc;

	if (cm_walk(s->other.cm, s->admin, "/afs/umafs.test/big", 0, &big, err))
		return -1;
	rc = cm_mkdir(big, s->admin, "nth", &dir, &s->other_top, err);
	cm_vnode_put(big);
	if (rc || cm_acl_store(s->other_top, s->admin, "3\n0\nadmin\t127\nalice\t63\nbob\t63\n", err) ||
	    cm_create(s->other_top, s->admin, "file", &file, &s->other_file, err) ||
	    cm_store_stream(s->other_file, s->admin, 0, STAGE_SIZE, STAGE_SIZE, 0, false, give_bytes, s, err) ||
	    cm_symlink(s->other_top, s->admin, "link", "file", false, err) ||
	    cm_mkdir(s->other_top, s->admin, "sub", &dir, &sub, err))
		return -1;
	cm_vnode_put(sub);
	return 0;
}

bool stage_begin(struct stage *s, struct world *w)
{
	static const struct world_link link = { .delay_us = 300 };
	static const uint32_t fs_ip[] = { FS_IP, FS_IP + 1 };
	struct cell_config config = { .name = "umafs.test", .db_ip = DB_IP, .fs_ip = fs_ip, .nfs = 2 };
	struct rx_error err = { 0 };
	char spec[128];

	s->world = stage_world = w;
	s->env = config.env = world_env(w);
	s->net = world_net_new(w, &link);
	s->sound = true;
	world_set_wall(w, time(NULL)); /* the Kerberos library looks at the real one */
	strcpy(s->dir, "/tmp/umafs-nth.XXXXXX");
	if (!mkdtemp(s->dir))
		return false;
	snprintf(spec, sizeof(spec), "%s/krb5.conf", s->dir);
	setenv("KRB5_CONFIG", spec, 1);
	config.net_arg = s->net;
	config.net = (struct rx_net * (*)(void *, uint32_t, uint16_t)) world_net_port;
	stage_as(s, CELL);
	s->cell = cell_new(&config, &err);
	if (!s->cell || cell_write_client(s->cell, s->dir, 3600, &err))
		goto fail;
	stage_as(s, BYSTANDER);
	for (unsigned i = 0; i < STAGE_SIZE; i++)
		s->want[i] = (uint8_t)(i * 7 + i / 256);
	snprintf(s->spec, sizeof(s->spec), "FILE:%s/ccache/alice", s->dir);
	snprintf(spec, sizeof(spec), "FILE:%s/ccache/admin", s->dir);
	if (stage_client_new(s, &s->other, OTHER_IP, &err) || cm_token_open(s->other.cm, spec, NULL, &s->admin, &err) ||
	    make_tree(s, &err))
		goto fail;
	return true;
fail:
	printf("    the stage: %s\n", err.text);
	s->sound = false;
	return false;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	return remove(path);
}

void stage_end(struct stage *s)
{
	stage_as(s, BYSTANDER);
	cm_vnode_put(s->other_file);
	cm_vnode_put(s->other_top);
	cm_token_put(s->admin);
	STAGE_HOLDS(s, stage_client_free(&s->other) == 0);
	stage_as(s, CELL);
	cell_free(s->cell);
	STAGE_HOLDS(s, nftw(s->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

bool stage_close(struct stage *s, uint64_t *lost, struct rx_error *err)
{
	int rc = 0;

	if (s->map)
		rc |= vfs_munmap(s->client.vfs, (void *)s->map, STAGE_SIZE, err);
	if (s->bobs_map)
		rc |= vfs_munmap(s->client.vfs, (void *)s->bobs_map, STAGE_SIZE, err);
	if (s->file)
		rc |= vfs_close(s->file, err);
	if (s->bobs)
		rc |= vfs_close(s->bobs, err);
	cm_vnode_put(s->vnode);
	cm_vnode_put(s->top);
	cm_token_put(s->alice);
	cm_token_put(s->bob);
	s->map = s->bobs_map = 0;
	s->file = s->bobs = NULL;
	s->vnode = s->top = NULL;
	s->alice = s->bob = NULL;
	*lost = stage_client_free(&s->client);
	return rc == 0;
}

void stage_look(struct stage *s)
{
	uint8_t seen[STAGE_SIZE + 1];
	struct rx_error err = { 0 };
	uint64_t version;
	size_t got = 0;

	stage_as(s, BYSTANDER);
	if (cm_fetch(s->other_file, s->admin, 0, seen, sizeof(seen), &got, &version, &err))
		printf("    the bystander reads: %s\n", err.text);
	STAGE_HOLDS(s, got == STAGE_SIZE);
	for (unsigned i = 0; i < got && i < STAGE_SIZE; i++) {
		if (seen[i] != s->want[i]) {
			printf("    byte %u is %u instead of %u\n", i, seen[i], s->want[i]);
			s->sound = false;
			break;
		}
	}
	stage_as(s, CLIENT);
}
