/* The loop in the deterministic world: who leads, who follows, who sleeps and who is woken,
 * in the real code, with every lock and wait a scheduling point. Threads call inline and
 * worker services over links that lose, delay and duplicate; connections come and go; one
 * seed, one outcome. A wakeup that gets lost is a world in which nobody can go on. */
#include <string.h>

#include "tests/sim/seeds.h"
#include "tests/unit.h"
#include "tests/sim/world_net.h"

enum { INLINE = 10, WORKER = 11, CALLERS = 4, CALLS = 6, MOST = 6000, SERVER_IP = 0x0a000001, CLIENT_IP = 0x0a000002 };

struct play {
	struct world *world;
	struct rx_env *env;
	struct world_net *net;
	struct rx_loop *server, *client;
	struct rx_addr server_addr;
	struct rx_security *sec;
	struct rx_conn *shared; /* more callers than channels */
	unsigned wrong, done;
	uint64_t seed;
};

static int32_t echo(struct rx_call *call, void *arg)
{
	uint8_t buf[MOST];
	ptrdiff_t n = rx_call_read(call, buf, sizeof buf);

	(void)arg;
	if (n < 0)
		return RX_PROTOCOL_ERROR;
	if (n > 0 && buf[0] == 'X')
		return 77;
	return rx_call_write(call, buf, (size_t)n) ? RX_CALL_DEAD : 0;
}

static bool serve(struct play *p)
{
	struct rx_service_config c = {
		.id = INLINE, .name = "inline", .mode = RX_SERVICE_INLINE, .handler = echo, .sec = { p->sec }
	};
	struct rx_error err;

	if (rx_service_add(p->server, &c, &err))
		return false;
	c.id = WORKER;
	c.name = "worker";
	c.mode = RX_SERVICE_WORKER;
	c.workers = 2;
	return !rx_service_add(p->server, &c, &err);
}

static bool one_call(struct play *p, struct rx_conn *conn)
{
	uint8_t out[MOST], in[MOST + 1];
	size_t len = world_random(p->world) % MOST;
	bool refused = world_random(p->world) % 8 == 0, ok;
	struct rx_error err = { 0 };
	struct rx_call *call = rx_call_new(conn, &err);

	if (!call)
		return false;
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(len * 3 + i * 7 + i / 253);
	if (len)
		out[0] = refused ? 'X' : 'Y';
	ok = !rx_call_write(call, out, len);
	if (world_random(p->world) % 10 == 0) /* changes its mind */
		return rx_call_end(call, RX_USER_ABORT, RX_ORIGIN_AFS, &err) != 0;
	if (ok)
		ok = rx_call_read(call, in, len + 1) == (len && refused ? -1 : (ptrdiff_t)len);
	if (len && refused)
		return rx_call_end(call, 0, RX_ORIGIN_AFS, &err) == -1 && err.code == 77;
	return rx_call_end(call, 0, RX_ORIGIN_AFS, &err) == 0 && ok && !memcmp(in, out, len);
}

static void caller(void *arg)
{
	struct play *p = arg;
	struct rx_error err;

	for (unsigned i = 0; i < CALLS; i++) {
		struct rx_conn *own = NULL;

		if (world_random(p->world) % 3 == 0)
			own = rx_conn_new(p->client, &p->server_addr, world_random(p->world) % 2 ? INLINE : WORKER,
					  p->sec, &err);
		if (!one_call(p, own ? own : p->shared) && p->wrong++ == 0)
			printf("\n  seed %llu: a call went wrong\n", (unsigned long long)p->seed);
		rx_conn_free(own);
		if (world_random(p->world) % 4 == 0)
			world_sleep_us(p->world, world_random(p->world) % 20000);
	}
	p->done++;
}

static struct rx_loop *loop_at(struct play *p, uint32_t ip, uint16_t port)
{
	struct rx_loop_config c = { .env = p->env, .net = world_net_port(p->net, ip, port) };
	struct rx_error err;

	return rx_loop_new(&c, &err);
}

static void conduct(void *arg)
{
	struct play *p = arg;
	struct rx_thread *threads[CALLERS];
	struct rx_error err;

	p->sec = rx_null_new();
	p->server = loop_at(p, SERVER_IP, 7000);
	p->client = loop_at(p, CLIENT_IP, 0);
	p->server_addr = rx_addr_ipv4(SERVER_IP, 7000);
	p->wrong += !serve(p);
	p->shared = rx_conn_new(p->client, &p->server_addr, WORKER, p->sec, &err);
	for (int i = 0; i < CALLERS; i++)
		threads[i] = rx_thread_spawn(p->env, "caller", caller, p);
	for (int i = 0; i < CALLERS; i++)
		rx_thread_join(p->env, threads[i]);
	rx_conn_free(p->shared);
	rx_loop_free(p->client);
	rx_loop_free(p->server);
	rx_security_put(p->sec);
}

static struct sim_outcome play(uint64_t seed)
{
	const struct world_link link = {
		.delay_us = 200,
		.jitter_us = seed % 3 ? 900 : 0,
		.loss = (unsigned)(seed % 4) * 15,
		.duplicate = (unsigned)(seed % 5) * 10,
	};
	struct play p = { .seed = seed, .world = world_new(seed) };
	struct sim_outcome o;

	p.env = world_env(p.world);
	world_set_maybe(p.world, seed % 2 ? 50 : 0);
	p.net = world_net_new(p.world, &link);
	o = sim_run(p.world, seed, conduct, &p, &p.wrong);
	o.ok = o.ok && p.done == CALLERS;
	if (o.ok)
		world_net_free(p.net);
	world_free(p.world);
	return o;
}

static void test_world(void)
{
	CU_ASSERT(sim_seeds(200, play));
}

UNIT_MAIN("loop in the world", { "calls of many threads end, over links that lose and duplicate", test_world })
