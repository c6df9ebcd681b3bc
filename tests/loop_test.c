/* The libevent binding over real loopback UDP: two loops in one process, many threads,
 * inline and worker services, with and without a security class. */
#include <pthread.h>
#include <sched.h>
#include <unistd.h>
#include <arpa/inet.h>

#include "rx/rx.h"
#include "rx/packet.h"
#include "tests/toysec.h"
#include "tests/unit.h"

enum { INLINE = 10, WORKER = 11, ODD = 12, BULK = 16 << 20, THREADS = 6, CALLS = 150 };

static struct rx_loop *server, *client;
static struct rx_security *null_sec;
static struct toysec toy;
static struct rx_addr server_addr;

/* Echoes the request; a request that begins with 'X' is aborted with its length. */
static int32_t echo(struct rx_call *call, void *arg)
{
	uint8_t buf[8192];
	ptrdiff_t n;
	int32_t total = 0;
	uint8_t *all = NULL;

	(void)arg;
	while ((n = rx_call_read(call, buf, sizeof buf)) > 0) {
		all = realloc(all, (size_t)total + (size_t)n);
		memcpy(all + total, buf, (size_t)n);
		total += (int32_t)n;
	}
	if (!n && total && all[0] == 'X') {
		free(all);
		return total;
	}
	if (rx_call_write(call, all, (size_t)total))
		n = -1;
	free(all);
	return n < 0 ? RX_PROTOCOL_ERROR : 0;
}

/* First 4 bytes: how many to send back, before and after reading all the rest. */
static int32_t stream(struct rx_call *call, void *arg)
{
	static uint8_t buf[65536];
	uint8_t head[4], in[65536];
	uint32_t want;

	(void)arg;
	if (rx_call_read(call, head, 4) != 4)
		return RXGEN_SS_UNMARSHAL;
	want = rx_get32(head);
	while (rx_call_read(call, in, sizeof in) > 0)
		;
	for (uint32_t sent = 0; sent < want;) {
		uint32_t n = want - sent < sizeof buf ? want - sent : (uint32_t)sizeof buf;

		if (rx_call_write(call, buf, n))
			return RX_CALL_DEAD;
		sent += n;
	}
	return 0;
}

static void serve(struct rx_security *sec, struct rx_security *also)
{
	struct rx_service_config c = { .id = INLINE, .name = "echo", .mode = RX_SERVICE_INLINE, .handler = echo };

	c.sec[sec->ops->index] = sec;
	c.sec[also->ops->index] = also;
	CU_ASSERT_FATAL(!rx_service_add(server, &c, NULL));
	c.id = WORKER;
	c.name = "stream";
	c.mode = RX_SERVICE_WORKER;
	c.workers = 3;
	c.handler = stream;
	CU_ASSERT_FATAL(!rx_service_add(server, &c, NULL));
}

static void start(void)
{
	struct rx_loop_config c = { .bind_ip = 0x7f000001, .debug_answers = true };
	struct rx_error err;

	null_sec = rx_null_new();
	server = rx_loop_new(&c, &err);
	client = rx_loop_new(&c, &err);
	CU_ASSERT_FATAL(server && client);
	server_addr = rx_addr_ipv4(0x7f000001, rx_loop_port(server));
	toy_init(&toy, 0x77);
	serve(null_sec, &toy.base);
}

static void stop(void)
{
	rx_loop_free(client);
	rx_loop_free(server);
	rx_security_put(null_sec);
}

static bool echo_call(struct rx_conn *conn, size_t len, uint8_t seed)
{
	struct rx_error err = { 0 };
	struct rx_call *call = rx_call_new(conn, &err);
	uint8_t *out = malloc(len + 1), *in = malloc(len + 1);
	bool ok = call != NULL;

	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(seed + i * 13 + i / 251);
	if (len && out[0] == 'X')
		out[0] = 'Y';
	if (ok) {
		ok = !rx_call_write(call, out, len) && rx_call_read(call, in, len + 1) == (ptrdiff_t)len;
		ok &= !rx_call_end(call, 0, RX_ORIGIN_AFS, &err);
		ok &= !memcmp(in, out, len);
	}
	free(out);
	free(in);
	return ok;
}

static void one_call(void)
{
	struct rx_conn *conn;
	struct rx_error err = { 0 };
	struct rx_call *call;

	start();
	conn = rx_conn_new(client, &server_addr, INLINE, null_sec, &err);
	CU_ASSERT(echo_call(conn, 0, 1));
	CU_ASSERT(echo_call(conn, 1, 2));
	CU_ASSERT(echo_call(conn, 1416, 3));
	CU_ASSERT(echo_call(conn, 60000, 4));
	call = rx_call_new(conn, &err);
	CU_ASSERT(!rx_call_write(call, "XYZ", 3));
	CU_ASSERT(rx_call_end(call, 0, RX_ORIGIN_AFS, &err) == -1 && err.code == 3);
	rx_conn_free(conn);
	conn = rx_conn_new(client, &server_addr, 99, null_sec, &err);
	call = rx_call_new(conn, &err);
	CU_ASSERT(rx_call_end(call, 0, RX_ORIGIN_AFS, &err) == -1 && err.code == RX_INVALID_OPERATION);
	rx_conn_free(conn);
	stop();
}

struct job {
	struct rx_conn *conn;
	unsigned seed, good;
};

static void *caller(void *arg)
{
	struct job *j = arg;

	for (unsigned i = 0; i < CALLS; i++)
		j->good += echo_call(j->conn, (j->seed * 977 + i * 131) % 9000, (uint8_t)(j->seed + i));
	return NULL;
}

static void parallel(void)
{
	struct job job[THREADS] = { 0 };
	pthread_t t[THREADS];
	struct rx_conn *conn;

	start();
	conn = rx_conn_new(client, &server_addr, INLINE, null_sec, NULL);
	for (unsigned i = 0; i < THREADS; i++) {
		job[i].conn = conn;
		job[i].seed = i;
		pthread_create(&t[i], NULL, caller, &job[i]);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(t[i], NULL);
		CU_ASSERT_EQUAL(job[i].good, CALLS);
	}
	rx_conn_free(conn);
	stop();
}

static double bulk_call(struct rx_security *sec, uint32_t up, uint32_t down, bool *ok)
{
	struct rx_conn *conn = rx_conn_new(client, &server_addr, WORKER, sec, NULL);
	struct rx_call *call = rx_call_new(conn, NULL);
	struct rx_env *env = rx_loop_env(client);
	uint64_t began = rx_now_us(env);
	static uint8_t buf[262144];
	uint8_t head[4];
	uint32_t got = 0;
	ptrdiff_t n;

	rx_put32(head, down);
	*ok = !rx_call_write(call, head, 4);
	for (uint32_t sent = 0; sent < up && *ok; sent += sizeof buf)
		*ok = !rx_call_write(call, buf, sizeof buf);
	while (*ok && (n = rx_call_read(call, buf, sizeof buf)) > 0)
		got += (uint32_t)n;
	*ok &= got == down;
	*ok &= !rx_call_end(call, 0, RX_ORIGIN_AFS, NULL);
	rx_conn_free(conn);
	return (double)(up + down) / (double)(rx_now_us(env) - began);
}

static void report(const char *what, double rate, uint32_t bytes, const struct rx_stats *a, const struct rx_stats *b)
{
	printf("\n    %s: %.0f MB/s, %.0f client syscalls/MB, resent %lu ", what, rate,
	       (double)(b->syscalls - a->syscalls) / (bytes / 1e6), (unsigned long)(b->data_resent - a->data_resent));
}

static void bulk(struct rx_security *sec)
{
	struct rx_stats a, b;
	double rate;
	bool ok;

	rx_loop_stats(client, &a);
	rate = bulk_call(sec, BULK, 0, &ok);
	CU_ASSERT(ok);
	rx_loop_stats(client, &b);
	report("up", rate, BULK, &a, &b);
	rate = bulk_call(sec, 0, BULK, &ok);
	CU_ASSERT(ok);
	rx_loop_stats(client, &a);
	report("down", rate, BULK, &b, &a);
}

static void bulk_null(void)
{
	start();
	bulk(null_sec);
	stop();
}

static void bulk_secure(void)
{
	start();
	bulk(&toy.base);
	stop();
}

static void empty_calls(void)
{
	struct rx_conn *conn;
	struct rx_env *env;
	struct rx_stats a, b;
	uint64_t began;
	unsigned good = 0;

	start();
	env = rx_loop_env(client);
	conn = rx_conn_new(client, &server_addr, INLINE, null_sec, NULL);
	for (unsigned i = 0; i < 2000; i++)
		echo_call(conn, 4, 1);
	rx_loop_stats(client, &a);
	began = rx_now_us(env);
	for (unsigned i = 0; i < 5000; i++)
		good += echo_call(conn, 4, 1);
	rx_loop_stats(client, &b);
	printf("\n    %.1f us per call, client: %.2f syscalls, %.2f wakeups, %.2f packets sent per call ",
	       (double)(rx_now_us(env) - began) / 5000, (double)(b.syscalls - a.syscalls) / 5000,
	       (double)(b.wakeups - a.wakeups) / 5000, (double)(b.packets_sent - a.packets_sent) / 5000);
	CU_ASSERT_EQUAL(good, 5000);
	CU_ASSERT(rx_conn_error(conn) == 0);
	rx_conn_free(conn);
	stop();
}

/* ICMP port unreachable ends the call at once, not after the dead time. */
static void refused(void)
{
	struct rx_addr nobody;
	struct rx_error err = { 0 };
	struct rx_conn *conn;
	struct rx_call *call;
	uint64_t began;

	start();
	nobody = server_addr;
	nobody.port = 1;
	conn = rx_conn_new(client, &nobody, INLINE, null_sec, NULL);
	began = rx_now_us(rx_loop_env(client));
	call = rx_call_new(conn, &err);
	CU_ASSERT(rx_call_end(call, 0, RX_ORIGIN_AFS, &err) == -1);
	CU_ASSERT_EQUAL(err.code, RX_CALL_DEAD);
	CU_ASSERT(rx_now_us(rx_loop_env(client)) - began < 3000000);
	rx_conn_free(conn);
	stop();
}

/* A reply may be left unread, but not one without end. */
static void unread_reply(void)
{
	static const uint32_t size[] = { 100000, BULK };
	struct rx_error err = { 0 };
	struct rx_conn *conn;
	uint8_t head[4];

	start();
	conn = rx_conn_new(client, &server_addr, WORKER, null_sec, &err);
	for (unsigned i = 0; i < 2; i++) {
		struct rx_call *call = rx_call_new(conn, &err);

		rx_put32(head, size[i]);
		CU_ASSERT(!rx_call_write(call, head, sizeof head));
		CU_ASSERT_EQUAL(rx_call_end(call, 0, RX_ORIGIN_AFS, &err), i ? -1 : 0);
		CU_ASSERT_EQUAL(err.code, i ? RX_PROTOCOL_ERROR : 0);
	}
	rx_conn_free(conn);
	stop();
}

/* A loop goes while its services still wait for the rest of their requests. */
static void stop_serving(void)
{
	static const uint16_t services[] = { INLINE, WORKER };
	struct rx_error err = { 0 };
	struct rx_conn *conn[2];
	struct rx_call *call[2];
	struct rx_stats stats;
	static uint8_t some[20000];
	uint64_t began;

	start();
	for (unsigned i = 0; i < 2; i++) {
		conn[i] = rx_conn_new(client, &server_addr, services[i], null_sec, &err);
		call[i] = rx_call_new(conn[i], &err);
		CU_ASSERT(!rx_call_write(call[i], some, sizeof some));
	}
	do
		rx_loop_stats(server, &stats);
	while (stats.data_received < 20);
	began = rx_now_us(rx_loop_env(client));
	rx_loop_free(server);
	CU_ASSERT(rx_now_us(rx_loop_env(client)) - began < 10000000);
	for (unsigned i = 0; i < 2; i++) {
		CU_ASSERT(rx_call_end(call[i], 0, RX_ORIGIN_AFS, &err) == -1 && err.code == RX_CALL_DEAD);
		rx_conn_free(conn[i]);
	}
	rx_loop_free(client);
	rx_security_put(null_sec);
}

/* ---- servers that are not what they should be ---- */

enum { ODD_CODE = 77, ODD_WORKERS = 2, WAITING = 5 };

static unsigned went_on, waiting;
static bool go;

/* The first byte says how. */
static int32_t odd(struct rx_call *call, void *arg)
{
	char how;

	(void)arg;
	if (rx_call_read(call, &how, 1) != 1)
		return RXGEN_SS_UNMARSHAL;
	switch (how) {
	case 'f':
		rx_call_write(call, "done", 4);
		rx_call_finish(call);
		__atomic_add_fetch(&went_on, 1, __ATOMIC_RELEASE);
		break;
	case 'm':
		rx_call_mute(call);
		return rx_call_write(call, "done", 4) ? 0 : ODD_CODE;
	case 'c':
		rx_call_fail_conn(call, ODD_CODE);
		break;
	case 'w':
		rx_call_begin_wait(call);
		__atomic_add_fetch(&waiting, 1, __ATOMIC_RELEASE);
		while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE))
			sched_yield();
		rx_call_end_wait(call);
		rx_call_write(call, "done", 4);
		break;
	case 'r':
		rx_loop_restart(server);
		return rx_call_write(call, "done", 4) ? 0 : ODD_CODE;
	default:
		rx_call_write(call, "done", 4);
	}
	return 0;
}

/* 0: "done" came. */
static int32_t ask(struct rx_conn *conn, char how)
{
	struct rx_error err = { 0 };
	struct rx_call *call = rx_call_new(conn, &err);
	char in[8] = "";
	bool got;

	if (!call)
		return err.code;
	rx_call_write(call, &how, 1);
	got = rx_call_read(call, in, sizeof in) == 4 && !memcmp(in, "done", 4);
	return rx_call_end(call, 0, RX_ORIGIN_AFS, &err) ? err.code : got ? 0 : -9;
}

static struct rx_conn *start_odd(void)
{
	struct rx_service_config c = {
		.id = ODD, .name = "odd", .mode = RX_SERVICE_WORKER, .workers = ODD_WORKERS, .handler = odd
	};
	struct rx_conn *conn;

	start();
	c.sec[RX_SECIDX_NULL] = null_sec;
	CU_ASSERT_FATAL(!rx_service_add(server, &c, NULL));
	conn = rx_conn_new(client, &server_addr, ODD, null_sec, NULL);
	rx_conn_set_dead_time(conn, 1);
	return conn;
}

static void odd_ends(void)
{
	struct rx_conn *conn = start_odd();

	went_on = 0;
	CU_ASSERT_EQUAL(ask(conn, 'f'), 0);
	while (!__atomic_load_n(&went_on, __ATOMIC_ACQUIRE))
		sched_yield();
	CU_ASSERT_EQUAL(ask(conn, 'm'), RX_CALL_DEAD); /* pings were not answered either */
	CU_ASSERT_EQUAL(ask(conn, '.'), 0);
	CU_ASSERT_EQUAL(ask(conn, 'c'), ODD_CODE);
	CU_ASSERT_EQUAL(ask(conn, '.'), ODD_CODE);
	CU_ASSERT_EQUAL(rx_conn_error(conn), ODD_CODE);
	rx_conn_free(conn);
	stop();
}

static void odd_restart(void)
{
	struct rx_conn *conn = start_odd();

	CU_ASSERT_EQUAL(ask(conn, 'r'), RX_CALL_DEAD); /* nobody knows of the call any more */
	CU_ASSERT_EQUAL(ask(conn, '.'), 0);            /* nor of the connection, which is made anew */
	CU_ASSERT_EQUAL(rx_conn_error(conn), 0);
	rx_conn_free(conn);
	stop();
}

static void *ask_and_wait(void *arg)
{
	CU_ASSERT_EQUAL(ask(arg, 'w'), 0);
	return NULL;
}

static void odd_waits(void)
{
	struct rx_conn *conn = start_odd(), *conns[WAITING];
	pthread_t t[WAITING];

	waiting = 0;
	go = false;
	for (unsigned i = 0; i < WAITING; i++) {
		conns[i] = rx_conn_new(client, &server_addr, ODD, null_sec, NULL);
		pthread_create(&t[i], NULL, ask_and_wait, conns[i]);
	}
	while (__atomic_load_n(&waiting, __ATOMIC_ACQUIRE) < WAITING)
		sched_yield();
	CU_ASSERT_EQUAL(ask(conn, '.'), 0);
	__atomic_store_n(&go, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < WAITING; i++) {
		pthread_join(t[i], NULL);
		rx_conn_free(conns[i]);
	}
	rx_conn_free(conn);
	stop();
}

UNIT_MAIN("loop", { "one call at a time; aborts; unknown service", one_call },
	  { "six threads on one connection of four channels", parallel },
	  { "16 MiB each way, null security, streaming worker", bulk_null },
	  { "16 MiB each way, a class that challenges and seals", bulk_secure },
	  { "empty calls, inline service", empty_calls }, { "port unreachable ends a call at once", refused },
	  { "the rest of a reply is read, unless it has no end", unread_reply },
	  { "a loop ends with requests half received", stop_serving },
	  { "handlers that end their calls themselves, in three ways", odd_ends },
	  { "a server that was started anew", odd_restart },
	  { "handlers that wait keep no others from serving", odd_waits })
