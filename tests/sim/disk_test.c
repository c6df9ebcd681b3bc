/* The embedded cell's store on a disk that goes away at each byte of what it writes, one world
 * for each, and on one that refuses a change that has been made in memory. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cm/cm.h"
#include "tests/sim/site.h"
#include "tests/unit.h"

/* What befalls the cell in the middle of the change. */
enum blow { KILL, POWER };

struct scene {
	struct world *world;
	struct rx_env *env;
	struct world_net *net;
	struct sim_site site;
	struct cm *cm;
	struct cm_token *token;
	struct cm_vnode *dir;
	void (*story)(struct scene *s);
	int (*change)(struct scene *s);
	enum blow blow;
	uint64_t bytes;
	bool done; /* the disk lived longer than the change took */
};

static bool begin(struct scene *s)
{
	struct cm_config config = { .env = s->env,
				    .net = world_net_port(s->net, SIM_CLIENT_IP, 7001),
				    .confdir = sim_confdir(),
				    .dead_time_s = 5,
				    .max_dirty_age_ms = UINT32_MAX };
	char spec[64];

	sim_site_init(&s->site, s->world, s->net, true);
	s->site.config.sync = s->blow == POWER;
	return sim_site_start(&s->site, NULL) == 0 && sim_site_ticket(&s->site, 0, "alice", 36000, spec, NULL) == 0 &&
	       (s->cm = cm_new(&config, NULL)) && cm_token_open(s->cm, spec, NULL, &s->token, NULL) == 0 &&
	       cm_walk(s->cm, s->token, "/afs/umafs.test/home", 0, &s->dir, NULL) == 0;
}

static void conduct(void *arg)
{
	struct scene *s = arg;

	CU_ASSERT_FATAL(begin(s));
	s->story(s);
	cm_vnode_put(s->dir);
	cm_token_put(s->token);
	cm_free(s->cm, 1000);
	sim_site_end(&s->site);
}

static void play(struct scene *s, void (*fn)(void *arg))
{
	const struct world_link link = { .delay_us = 300 };

	s->world = world_new(s->bytes + 1);
	s->env = world_env(s->world);
	s->net = world_net_new(s->world, &link);
	CU_ASSERT_FATAL(world_run(s->world, fn, s));
	world_net_free(s->net);
	world_free(s->world);
}

static int create(struct scene *s, const char *name)
{
	struct cm_vnode *v = NULL;
	int rc = cm_create(s->dir, s->token, name, NULL, &v, NULL);

	cm_vnode_put(v);
	return rc;
}

static bool there(struct scene *s, const char *name)
{
	struct cm_vnode *v = NULL;
	struct rx_error err = { 0 };
	bool found;

	for (int i = 0; i < 10; i++) {
		found = cm_lookup(s->dir, s->token, name, &v, &err) == 0;
		if (found || err.errnum == ENOENT)
			break;
		world_sleep_us(s->world, 5000000); /* the server was not there just now */
	}
	cm_vnode_put(v);
	return found;
}

static int create_torn(struct scene *s)
{
	return create(s, "torn");
}

static int rename_kept(struct scene *s)
{
	return cm_rename(s->dir, "kept", s->dir, "torn", s->token, NULL);
}

/* "kept" was acknowledged; the change may have been made or not; then everything works again. */
static void story_of_a_crash(struct scene *s)
{
	CU_ASSERT_EQUAL(create(s, "kept"), 0);
	sim_site_crash_after(&s->site, s->bytes);
	s->done = s->change(s) == 0;
	if (s->blow == POWER)
		sim_site_unplug(&s->site);
	CU_ASSERT_EQUAL_FATAL(sim_site_restart(&s->site, NULL), 0);
	cm_vnode_put(s->dir);
	cm_token_put(s->token);
	cm_free(s->cm, 0);
}

/* A client that knows nothing of before. */
static void look_after(struct scene *s)
{
	struct cm_config config = { .env = s->env,
				    .net = world_net_port(s->net, SIM_CLIENT_IP + 1, 7001),
				    .confdir = sim_confdir() };
	char spec[64];

	CU_ASSERT_FATAL(sim_site_ticket(&s->site, 1, "alice", 36000, spec, NULL) == 0);
	s->cm = cm_new(&config, NULL);
	CU_ASSERT_FATAL(cm_token_open(s->cm, spec, NULL, &s->token, NULL) == 0 &&
			cm_walk(s->cm, s->token, "/afs/umafs.test/home", 0, &s->dir, NULL) == 0);
	CU_ASSERT_EQUAL(create(s, "new"), 0);
	CU_ASSERT(there(s, "new"));
}

static void crash_and_look(struct scene *s)
{
	story_of_a_crash(s);
	look_after(s);
	CU_ASSERT(there(s, "kept") == (s->change == create_torn || !there(s, "torn")));
	CU_ASSERT(there(s, "torn") || !s->done);
}

static void crash_at_bytes(unsigned step, int (*change)(struct scene *s), enum blow blow)
{
	struct scene s = { 0 };

	for (uint64_t bytes = 1; !s.done && bytes < 5000; bytes += step) {
		s = (struct scene){ .story = crash_and_look, .change = change, .blow = blow, .bytes = bytes };
		play(&s, conduct);
	}
	CU_ASSERT(s.done && s.bytes > 50);
}

static void test_torn(void)
{
	crash_at_bytes(1, create_torn, KILL);
}

/* Whatever remains of a change, it is all of it: a file that is renamed has one name. */
static void test_torn_rename(void)
{
	crash_at_bytes(5, rename_kept, KILL);
}

static void test_power(void)
{
	crash_at_bytes(5, create_torn, POWER);
}

/* Killed before it has kept anything, it starts from nothing once more. */
static void first_start(void *arg)
{
	struct scene *s = arg;

	sim_site_init(&s->site, s->world, s->net, true);
	sim_site_crash_after(&s->site, s->bytes);
	s->done = sim_site_start(&s->site, NULL) == 0;
	CU_ASSERT_EQUAL_FATAL(sim_site_restart(&s->site, NULL), 0);
	look_after(s);
	cm_vnode_put(s->dir);
	cm_token_put(s->token);
	cm_free(s->cm, 1000);
	sim_site_end(&s->site);
}

static void test_first_start(void)
{
	struct scene s = { 0 };

	for (uint64_t bytes = 1; !s.done && bytes < 1000000; bytes += 4999) {
		s = (struct scene){ .bytes = bytes };
		play(&s, first_start);
	}
	CU_ASSERT(s.done);
}

static void story_of_a_refusal(struct scene *s)
{
	CU_ASSERT_EQUAL(create(s, "first"), 0);
	CU_ASSERT(!there(s, "second"));
	sim_site_set_dice(&s->site, &(struct sim_disk_dice){ .full = 1000 });
	CU_ASSERT_NOT_EQUAL(create(s, "second"), 0);
	sim_site_set_dice(&s->site, &(struct sim_disk_dice){ 0 });
	CU_ASSERT(there(s, "second"));
	CU_ASSERT_NOT_EQUAL(create(s, "second"), 0);
}

/* Whoever is told that a change failed that all others can see hears of it. */
static void test_refused(void)
{
	struct scene s = { .story = story_of_a_refusal };

	play(&s, conduct);
}

UNIT_MAIN("sim disk", { "a first start that is killed", test_first_start }, { "a record torn at any byte", test_torn },
	  { "a rename torn anywhere", test_torn_rename }, { "power that fails anywhere", test_power },
	  { "a change that the disk refuses is no secret", test_refused })
