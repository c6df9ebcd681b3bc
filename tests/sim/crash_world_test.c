/* Cells and clients that die in a deterministic world. Users with tickets, two on each
 * client, write bytes of their own in one file, while the network does what packet rules
 * say, tickets run out and are renewed, the cell is killed and started again from a disk
 * that fails, and clients lose what they had. What a successful fsync has covered is there
 * in the end; every byte is one that its writer wrote, and no older than that. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/sim/client.h"
#include "tests/sim/seeds.h"
#include "tests/sim/site.h"
#include "tests/unit.h"

enum {
	CLIENTS = 2,
	USERS = 2,
	ACTORS = CLIENTS * USERS,
	OBSERVER = CLIENTS, /* the client that looks in the end */
	PAGES = 4,
	PER_PAGE = 8,
	CELLS = PAGES * PER_PAGE, /* one byte each */
	OWN = CELLS / ACTORS,
	OPS = 10,
	SIZE = PAGES * CM_PAGE,
};

#define FILE_PATH "/afs/umafs.test/big/shared"

static const char *const users[USERS] = { "alice", "bob" };

struct play;

/* One user on one client. */
struct actor {
	struct play *play;
	unsigned client, user, number;
	struct cm_token *token;
	struct vfs_file *file;
	uintptr_t map;
	uint8_t last[OWN], kept[OWN]; /* values count up; kept: covered by a successful fsync */
};

struct client {
	struct sim_client sim;
	bool dead; /* told to stop */
};

struct play {
	uint64_t seed;
	struct world *world;
	struct rx_env *env;
	struct world_net *net;
	struct fault_set *rules;
	struct sim_site site;
	struct client clients[CLIENTS + 1];
	struct actor actors[ACTORS + 1];
	unsigned violations, going;
	int64_t life_s;
};

/* What happened over all seeds, so that a test that does nothing is seen. */
static struct {
	uint64_t plays, cell_deaths, client_deaths, failed_ops, synced, renewals;
} count;

static unsigned dice(struct play *p, unsigned n)
{
	return (unsigned)(world_random(p->world) % n);
}

static uint64_t offset_of(unsigned cell)
{
	return cell / PER_PAGE * CM_PAGE + cell % PER_PAGE * 500;
}

/* Pages belong to clients in turn, as AFS asks of those who share a file; cells of a page
 * to the client's users. */
static unsigned cell_of(const struct actor *a, unsigned own)
{
	const unsigned per_page = PER_PAGE / USERS;

	return (own / per_page * CLIENTS + a->client) * PER_PAGE + own % per_page * USERS + a->user;
}

/* ---- clients ---- */

static bool client_begin(struct play *p, unsigned i)
{
	struct client *c = &p->clients[i];
	struct cm_config config = { .env = p->env,
				    .net = world_net_port(p->net, SIM_CLIENT_IP + i, 7001),
				    .level = RXKAD_CRYPT,
				    .max_dirty_age_ms = 300 };
	struct rx_error err = { 0 };

	c->dead = false;
	if (sim_client_begin(&c->sim, &config, p->seed & 1 ? VFS_MODE_FULL : VFS_MODE_BASIC, &err) == 0)
		return true;
	printf("\n  client %u: %s\n", i, err.text);
	return false;
}

/* Writes down the value of the actor's own cells; what it wrote may have been lost. */
static bool look_at_own(struct actor *a)
{
	for (unsigned i = 0; i < OWN; i++) {
		uint8_t byte;
		struct rx_error err = { 0 };

		if (vfs_pread(a->file, &byte, 1, offset_of(cell_of(a, i)), &err) != 1)
			return false;
		HOLDS(a->play, byte >= a->kept[i] && byte <= a->last[i]);
		a->last[i] = byte;
	}
	return true;
}

/* Again until it works: the cell may be down just now. */
static bool actor_begin(struct actor *a)
{
	struct play *p = a->play;
	struct client *c = &p->clients[a->client];
	struct cm_setattr attr = { .set_mode = true, .mode = 0666 };
	struct rx_error err = { 0 };
	char spec[64], name[256];

	snprintf(spec, sizeof(spec), "MEMORY:sim-%u-%s", a->client, users[a->user]);
	for (unsigned tries = 0; tries < 50 && !a->map && !c->dead; tries++) {
		struct cm_vnode *v = NULL, *dir = NULL;
		int rc = a->token ? 0 : cm_token_open(c->sim.cm, spec, NULL, &a->token, &err);

		if (rc == 0 && cm_walk(c->sim.cm, a->token, FILE_PATH, 0, &v, &err) != 0) {
			rc = cm_walk_parent(c->sim.cm, a->token, FILE_PATH, &dir, name, &err);
			if (rc == 0 && a->number == 0)
				cm_create(dir, a->token, name, &attr, &v, &err);
		}
		if (v && !a->file)
			vfs_open(c->sim.vfs, v, a->token, true, &a->file, &err);
		if (a->file && (a->number || vfs_truncate(a->file, SIZE, &err) == 0) &&
		    (a->number == ACTORS || look_at_own(a)))
			a->map = (uintptr_t)vfs_mmap(a->file, SIZE, PROT_READ | PROT_WRITE, 0, &err);
		cm_vnode_put(v);
		cm_vnode_put(dir);
		if (a->map)
			break;
		world_sleep_us(p->world, 5000000);
		/* On a bad disk this may take longer than a short ticket lasts. */
		if (err.errnum == EKEYEXPIRED)
			HOLDS(p, sim_site_ticket(&p->site, a->client, users[a->user], p->life_s, spec, &err) == 0);
	}
	if (!a->map && !c->dead)
		printf("\n  seed %llu: actor %u: %s\n", (unsigned long long)p->seed, a->number, err.text);
	return a->map;
}

/* dying: nothing can be stored any more, and nothing is expected. */
static void actor_end(struct actor *a, bool dying)
{
	struct vfs *vfs = a->play->clients[a->client].sim.vfs;
	struct rx_error err = { 0 };

	if (a->map)
		HOLDS(a->play, vfs_munmap(vfs, (void *)a->map, SIZE, &err) == 0 || dying);
	if (a->file)
		HOLDS(a->play, vfs_close(a->file, &err) == 0 || dying);
	cm_token_put(a->token);
	a->token = NULL;
	a->file = NULL;
	a->map = 0;
}

static void client_end(struct play *p, unsigned i, bool dying)
{
	uint64_t lost = sim_client_end(&p->clients[i].sim, dying ? 0 : 60000);

	HOLDS(p, lost == 0 || dying);
}

/* ---- what actors do ---- */

static void store(struct actor *a, unsigned own)
{
	struct play *p = a->play;
	struct client *c = &p->clients[a->client];
	uint64_t off = offset_of(cell_of(a, own));
	uint8_t value = (uint8_t)(a->last[own] + 1);
	bool done;

	if (dice(p, 2))
		done = soft_store(c->sim.source, a->map + off, (int)a->number, value) == 0;
	else
		done = vfs_pwrite(a->file, &value, 1, off, NULL) == 1;
	if (done)
		a->last[own] = value;
	else
		count.failed_ops++;
	world_note(p->world, &done, sizeof(done));
}

static void look(struct actor *a, unsigned own)
{
	struct client *c = &a->play->clients[a->client];
	uint64_t off = offset_of(cell_of(a, own));
	uint8_t byte = 0;
	int value;

	if (dice(a->play, 2))
		value = soft_load(c->sim.source, a->map + off, (int)a->number);
	else
		value = vfs_pread(a->file, &byte, 1, off, NULL) == 1 ? byte : -1;
	if (value < 0)
		count.failed_ops++;
	else
		HOLDS(a->play, value == a->last[own]);
	world_note(a->play->world, &value, sizeof(value));
}

/* The value of another's byte is one that it has written, or is writing. */
static void look_around(struct actor *a)
{
	struct actor *other = &a->play->actors[dice(a->play, ACTORS)];
	unsigned own = dice(a->play, OWN);
	uint8_t byte;

	if (vfs_pread(a->file, &byte, 1, offset_of(cell_of(other, own)), NULL) == 1)
		HOLDS(a->play, byte <= other->last[own] + 1);
}

static void keep(struct actor *a)
{
	struct rx_error err = { 0 };
	uint8_t covered[OWN];
	int rc;

	memcpy(covered, a->last, sizeof(covered));
	if (dice(a->play, 2))
		rc = vfs_fsync(a->file, &err);
	else
		rc = vfs_msync(a->play->clients[a->client].sim.vfs, (void *)a->map, SIZE, MS_SYNC, &err);
	if (rc == 0) {
		memcpy(a->kept, covered, sizeof(covered));
		count.synced++;
	} else {
		count.failed_ops++;
	}
	world_note(a->play->world, &rc, sizeof(rc));
}

static void act(void *arg)
{
	struct actor *a = arg;
	struct play *p = a->play;

	HOLDS(p, a->map || actor_begin(a) || p->clients[a->client].dead);
	if (a->map) {
		for (unsigned i = 0; i < OPS && !p->clients[a->client].dead; i++) {
			unsigned own = dice(p, OWN);

			switch (dice(p, 8)) {
			case 0:
				keep(a);
				break;
			case 1:
				world_sleep_us(p->world, dice(p, 3000000));
				break;
			case 2:
				look_around(a);
				break;
			case 3:
				look(a, own);
				break;
			default:
				store(a, own);
			}
		}
	}
	p->going--;
}

/* ---- what befalls them ---- */

/* All actors of a client are stopped with whatever they had, and others take their place. */
static void kill_client(struct play *p, unsigned client, struct rx_thread **threads)
{
	count.client_deaths++;
	p->clients[client].dead = true;
	world_net_cut(p->net, SIM_CLIENT_IP + client, true);
	for (unsigned i = 0; i < ACTORS; i++)
		if (p->actors[i].client == client) {
			rx_thread_join(p->env, threads[i]);
			actor_end(&p->actors[i], true);
		}
	client_end(p, client, true);
	world_net_cut(p->net, SIM_CLIENT_IP + client, false);
	if (!client_begin(p, client)) {
		HOLDS(p, !"a client starts again");
		return;
	}
	for (unsigned i = 0; i < ACTORS; i++)
		if (p->actors[i].client == client) {
			p->going++;
			threads[i] = rx_thread_spawn(p->env, "actor", act, &p->actors[i]);
		}
}

static void kill_cell(struct play *p)
{
	struct rx_error err = { 0 };

	count.cell_deaths++;
	if (dice(p, 2)) {
		sim_site_crash_after(&p->site, dice(p, 3000));
		world_sleep_us(p->world, dice(p, 3000000));
	}
	world_sleep_us(p->world, dice(p, 2000000));
	HOLDS(p, sim_site_restart(&p->site, &err) == 0);
}

static void renew(struct play *p)
{
	struct rx_error err = { 0 };
	char spec[64];

	for (unsigned i = 0; i < ACTORS; i++)
		HOLDS(p, sim_site_ticket(&p->site, i / USERS, users[i % USERS], p->life_s, spec, &err) == 0);
	count.renewals++;
}

static void befall(struct play *p, struct rx_thread **threads)
{
	unsigned deaths = dice(p, 3);

	while (p->going) {
		world_sleep_us(p->world, 500000 + dice(p, 2000000));
		if (dice(p, 4) == 0)
			renew(p);
		if (!deaths || dice(p, 3))
			continue;
		deaths--;
		if (dice(p, 2))
			kill_cell(p);
		else
			kill_client(p, dice(p, CLIENTS), threads);
	}
}

/* ---- one seed ---- */

static const char *const weather[] = {
	"packet prob 2% -> drop",
	"packet prob 1% -> burst 6",
	"packet prob 5% -> reorder 3 within 20ms",
	"packet prob 5% -> duplicate 2 gap 1ms",
	"packet prob 30% -> jitter 30ms",
	"packet type ack prob 5% -> truncate 40",
	"packet type challenge,response,busy,abort prob 50% -> drop",
	"packet from client every 60 -> rebind",
	"packet nth 70 -> partition 2s",
	"packet client 10.0.0.101 nth 50 -> partition 9s",
	"packet client 10.0.0.102 nth 50 -> partition 70s",
	"packet -> limit 300K queue 16K",
};

static const char *const *only_rules; /* instead of the weather */

static void set_weather(struct play *p)
{
	p->rules = fault_set_new(p->env, p->seed, NULL);
	for (const char *const *r = only_rules; r && *r; r++)
		HOLDS(p, fault_set_add(p->rules, *r, 0, NULL, NULL) == 0);
	for (unsigned n = only_rules ? 0 : dice(p, 3); n > 0; n--)
		HOLDS(p, fault_set_add(p->rules, weather[dice(p, sizeof(weather) / sizeof(*weather))], 0, NULL, NULL) ==
				 0);
}

static bool begin(struct play *p)
{
	const struct sim_disk_dice bad = { .brief = dice(p, 3) * 50, .eio = dice(p, 3) * 10, .full = dice(p, 3) * 20 };
	struct rx_error err = { 0 };

	set_weather(p);
	sim_site_init(&p->site, p->world, p->net, true);
	sim_site_set_dice(&p->site, &bad);
	p->life_s = dice(p, 2) ? 36000 : 20 + dice(p, 60);
	if (sim_site_start(&p->site, &err)) {
		printf("\n  the cell: %s\n", err.text);
		return false;
	}
	for (unsigned i = 0; i < ACTORS; i++)
		p->actors[i] = (struct actor){ .play = p, .client = i / USERS, .user = i % USERS, .number = i };
	renew(p);
	for (unsigned i = 0; i < CLIENTS; i++)
		if (!client_begin(p, i))
			return false;
	return actor_begin(&p->actors[0]);
}

/* Everything has ended well: what everybody sees is the same, and what was kept is there. */
static void settle(struct play *p)
{
	const struct world_link fair = { .delay_us = 300, .jitter_us = 400 };
	struct actor *o = &p->actors[ACTORS];
	struct rx_error err = { 0 };
	char spec[64];

	world_net_set_faults(p->net, NULL);
	world_net_set_link(p->net, &fair);
	sim_site_set_dice(&p->site, &(struct sim_disk_dice){ 0 });
	HOLDS(p, sim_site_restart(&p->site, &err) == 0);
	p->life_s = 36000;
	renew(p);
	for (unsigned i = 0; i < ACTORS; i++)
		for (unsigned k = 0; k < 20 && p->actors[i].file && vfs_fsync(p->actors[i].file, &err) != 0; k++)
			world_sleep_us(p->world, 5000000);
	for (unsigned i = 0; i < ACTORS; i++)
		HOLDS(p, p->actors[i].file && vfs_fsync(p->actors[i].file, &err) == 0);
	*o = (struct actor){ .play = p, .client = OBSERVER, .number = ACTORS };
	HOLDS(p, sim_site_ticket(&p->site, OBSERVER, users[0], 3600, spec, &err) == 0);
	if (!client_begin(p, OBSERVER) || !actor_begin(o)) {
		HOLDS(p, !"the observer starts");
		return;
	}
	for (unsigned i = 0; i < ACTORS; i++)
		for (unsigned k = 0; k < OWN; k++) {
			struct actor *a = &p->actors[i];
			uint8_t byte = 0;

			HOLDS(p, vfs_pread(o->file, &byte, 1, offset_of(cell_of(a, k)), &err) == 1);
			HOLDS(p, byte == a->last[k]);
			world_note(p->world, &byte, 1);
		}
	actor_end(o, false);
	client_end(p, OBSERVER, false);
}

static void conduct(void *arg)
{
	struct play *p = arg;
	struct rx_thread *threads[ACTORS];

	if (!begin(p)) {
		HOLDS(p, !"the cell and its clients start");
		return;
	}
	world_net_set_faults(p->net, p->rules);
	p->going = ACTORS;
	for (unsigned i = 0; i < ACTORS; i++)
		threads[i] = rx_thread_spawn(p->env, "actor", act, &p->actors[i]);
	befall(p, threads);
	for (unsigned i = 0; i < ACTORS; i++)
		rx_thread_join(p->env, threads[i]);
	settle(p);
	for (unsigned i = 0; i < ACTORS; i++)
		actor_end(&p->actors[i], false);
	for (unsigned i = 0; i < CLIENTS; i++)
		client_end(p, i, false);
	sim_site_end(&p->site);
}

static struct sim_outcome play(uint64_t seed)
{
	struct world_link link = { .delay_us = 300, .jitter_us = 400, .loss = (unsigned)(seed % 3) * 8 };
	struct play *p = calloc(1, sizeof(*p));
	struct sim_outcome o;

	p->seed = seed;
	p->world = world_new(seed);
	p->env = world_env(p->world);
	world_set_maybe(p->world, seed % 2 ? 50 : 0);
	p->net = world_net_new(p->world, &link);
	o = sim_run(p->world, seed, conduct, p, &p->violations);
	if (o.ok) {
		world_net_free(p->net);
		fault_set_free(p->rules);
	}
	world_free(p->world);
	free(p);
	count.plays++;
	return o;
}

static void test_world(void)
{
	CU_ASSERT(sim_seeds(40, play));
	printf("%llu cells and %llu clients died, %llu renewals, %llu synced, %llu refused ",
	       (unsigned long long)count.cell_deaths, (unsigned long long)count.client_deaths,
	       (unsigned long long)count.renewals, (unsigned long long)count.synced,
	       (unsigned long long)count.failed_ops);
}

/* Servers may know a connection, not yet proven, at a port that leads nowhere any more, and
 * send their challenges there for ever. */
static void test_address_changes(void)
{
	static const char *const rules[] = { "packet type challenge,response,busy,abort prob 50% -> drop",
					     "packet from client every 30 -> rebind", NULL };
	bool ok = true;

	only_rules = rules;
	for (uint64_t seed = 1; seed <= 60 && ok; seed++)
		ok = play(seed).ok;
	only_rules = NULL;
	CU_ASSERT(ok);
}

UNIT_MAIN("crash world",
	  { "clients whose addresses change while they are asked for tickets come through", test_address_changes },
	  { "what was stored survives, whoever dies", test_world })
