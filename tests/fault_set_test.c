/* When rules fire: conditions, counts, dice that can be replayed, times; scripts; gates. */
#include <pthread.h>
#include <unistd.h>

#include "tests/fault_world.h"

static unsigned hits(struct fault_world *w, enum fault_dir dir, struct fault_hit out[FAULT_HITS])
{
	struct fault_packet_view v;

	fault_packet_view(&v, dir, &w->client, &w->server, w->packet, w->len);
	return fault_set_packet(w->set, &v, out);
}

/* The pattern of n events: '1' where the rule fires. */
static const char *pattern(struct fault_world *w, unsigned n)
{
	static char text[1001];
	struct fault_hit h[FAULT_HITS];

	for (unsigned i = 0; i < n; i++)
		text[i] = hits(w, FAULT_FROM_CLIENT, h) ? '1' : '0';
	text[n] = '\0';
	return text;
}

static bool fires(const char *rule, enum fault_dir dir, void (*make)(struct fault_world *))
{
	struct fault_hit h[FAULT_HITS];
	struct fault_world w;
	bool fired;

	fault_world_start(&w, 1);
	fault_world_rule(&w, rule);
	make(&w);
	fired = hits(&w, dir, h) == 1;
	fault_world_stop(&w);
	return fired;
}

static void data3(struct fault_world *w)
{
	fault_world_data(w, 3, 100);
}

static void ping(struct fault_world *w)
{
	fault_world_ack(w, RX_ACK_PING);
}

static void noise(struct fault_world *w)
{
	memset(w->packet, 0xff, 60);
	w->len = 60;
}

static void test_packets(void)
{
	static const struct {
		const char *rule;
		enum fault_dir dir;
		void (*make)(struct fault_world *);
		bool fires;
	} t[] = {
		{ "packet -> drop", FAULT_FROM_CLIENT, data3, true },
		{ "packet from client -> drop", FAULT_FROM_CLIENT, data3, true },
		{ "packet from server -> drop", FAULT_FROM_CLIENT, data3, false },
		{ "packet type data -> drop", FAULT_FROM_CLIENT, data3, true },
		{ "packet type ack,busy -> drop", FAULT_FROM_CLIENT, data3, false },
		{ "packet flag client-initiated -> drop", FAULT_FROM_CLIENT, data3, true },
		{ "packet flag client-initiated,last -> drop", FAULT_FROM_CLIENT, data3, false },
		{ "packet noflag client-initiated -> drop", FAULT_FROM_CLIENT, data3, false },
		{ "packet noflag last -> drop", FAULT_FROM_CLIENT, data3, true },
		{ "packet reason ping -> drop", FAULT_FROM_SERVER, ping, true },
		{ "packet reason ping-response -> drop", FAULT_FROM_SERVER, ping, false },
		{ "packet reason ping -> drop", FAULT_FROM_CLIENT, data3, false },
		{ "packet cid 4 -> drop", FAULT_FROM_CLIENT, data3, true },
		{ "packet cid 5- -> drop", FAULT_FROM_CLIENT, data3, false },
		{ "packet call 1 -> drop", FAULT_FROM_CLIENT, data3, true },
		{ "packet call 2 -> drop", FAULT_FROM_CLIENT, data3, false },
		{ "packet seq 2-3 -> drop", FAULT_FROM_CLIENT, data3, true },
		{ "packet seq 4- -> drop", FAULT_FROM_CLIENT, data3, false },
		{ "packet serial 3 -> drop", FAULT_FROM_CLIENT, data3, true },
		{ "packet serial 4 -> drop", FAULT_FROM_CLIENT, data3, false },
		{ "packet service 1 -> drop", FAULT_FROM_CLIENT, data3, true },
		{ "packet service 52 -> drop", FAULT_FROM_CLIENT, data3, false },
		{ "packet size 100 -> drop", FAULT_FROM_CLIENT, data3, true },
		{ "packet size 0-99 -> drop", FAULT_FROM_CLIENT, data3, false },
		{ "packet client 10.0.0.1 -> drop", FAULT_FROM_CLIENT, data3, true },
		{ "packet client 10.0.0.1:7001 -> drop", FAULT_FROM_CLIENT, data3, true },
		{ "packet client 10.0.0.1:7002 -> drop", FAULT_FROM_CLIENT, data3, false },
		{ "packet client 10.0.0.2 -> drop", FAULT_FROM_CLIENT, data3, false },
		{ "packet server 10.0.0.11 -> drop", FAULT_FROM_SERVER, data3, true },
		{ "packet server 10.0.0.11:7000 -> drop", FAULT_FROM_CLIENT, data3, true },
		{ "packet server 10.0.0.11:7003 -> drop", FAULT_FROM_CLIENT, data3, false },
		{ "packet server 10.0.0.12 -> drop", FAULT_FROM_CLIENT, data3, false },
		{ "packet size 60 from client -> drop", FAULT_FROM_CLIENT, noise, true },
		{ "packet service 65535 -> drop", FAULT_FROM_CLIENT, noise, false },
		{ "packet noflag last -> drop", FAULT_FROM_CLIENT, noise, false },
	};

	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		bool fired = fires(t[i].rule, t[i].dir, t[i].make);

		if (fired != t[i].fires)
			printf("\n    %s ", t[i].rule);
		CU_ASSERT_EQUAL(fired, t[i].fires);
	}
}

static void test_counts(void)
{
	static const struct {
		const char *rule, *pattern;
	} t[] = {
		{ "packet nth 3 -> drop", "00100000" },     { "packet nth 3-5 -> drop", "00111000" },
		{ "packet nth 6- -> drop", "00000111" },    { "packet every 3 -> drop", "00100100" },
		{ "packet times 2 -> drop", "11000000" },   { "packet every 2 times 2 -> drop", "01010000" },
		{ "packet nth 3 -> burst 4", "00111100" },  { "packet prob 0% -> drop", "00000000" },
		{ "packet prob 100% -> drop", "11111111" },
	};

	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct fault_world w;

		fault_world_start(&w, 1);
		fault_world_rule(&w, t[i].rule);
		data3(&w);
		CU_ASSERT_STRING_EQUAL(pattern(&w, 8), t[i].pattern);
		fault_world_stop(&w);
	}
}

/* One seed, one sequence; another seed, another; and a rule does not disturb the next. */
static void test_seed(void)
{
	struct fault_world w;
	char first[1001];
	unsigned ones = 0;

	fault_world_start(&w, 7);
	fault_world_rule(&w, "packet prob 20% -> drop");
	data3(&w);
	strcpy(first, pattern(&w, 1000));
	for (unsigned i = 0; i < 1000; i++)
		ones += first[i] == '1';
	CU_ASSERT(ones > 140 && ones < 260);
	fault_world_stop(&w);
	fault_world_start(&w, 7);
	fault_world_rule(&w, "packet prob 20% -> drop");
	fault_world_rule(&w, "packet type busy prob 20% -> drop");
	data3(&w);
	CU_ASSERT_STRING_EQUAL(pattern(&w, 1000), first);
	fault_world_stop(&w);
	fault_world_start(&w, 1);
	fault_world_rule(&w, "seed 7");
	fault_world_rule(&w, "packet prob 20% -> drop");
	data3(&w);
	CU_ASSERT_STRING_EQUAL(pattern(&w, 1000), first);
	fault_world_stop(&w);
	fault_world_start(&w, 8);
	fault_world_rule(&w, "packet prob 20% -> drop");
	data3(&w);
	CU_ASSERT_STRING_NOT_EQUAL(pattern(&w, 1000), first);
	fault_world_stop(&w);
}

static void test_times(void)
{
	struct fault_hit h[FAULT_HITS];
	struct fault_world w;

	fault_world_start(&w, 1);
	fault_world_rule(&w, "packet after 1s before 2s -> drop");
	data3(&w);
	CU_ASSERT_EQUAL(hits(&w, FAULT_FROM_CLIENT, h), 0);
	w.now += 999999;
	CU_ASSERT_EQUAL(hits(&w, FAULT_FROM_CLIENT, h), 0);
	w.now += 1;
	CU_ASSERT_EQUAL(hits(&w, FAULT_FROM_CLIENT, h), 1);
	w.now += 999999;
	CU_ASSERT_EQUAL(hits(&w, FAULT_FROM_CLIENT, h), 1);
	w.now += 1;
	CU_ASSERT_EQUAL(hits(&w, FAULT_FROM_CLIENT, h), 0);
	fault_world_stop(&w);
}

static void test_rpc(void)
{
	static const struct {
		const char *rule;
		bool fires;
	} t[] = {
		{ "rpc -> change", true },
		{ "rpc name StoreData -> change", true },
		{ "rpc name Store* -> change", true },
		{ "rpc name FetchData -> change", false },
		{ "rpc user alice -> change", true },
		{ "rpc user bob -> change", false },
		{ "rpc fid 5.2.3 -> change", true },
		{ "rpc fid 5.*.* -> change", true },
		{ "rpc fid 5.2.4 -> change", false },
		{ "rpc volume 5 -> change", true },
		{ "rpc volume home -> change", true },
		{ "rpc volume root.cell -> change", false },
		{ "rpc client 10.0.0.1 -> change", true },
		{ "rpc client 10.0.0.9 -> change", false },
		{ "rpc server 10.0.0.11 -> change", true },
		{ "rpc server 10.0.0.1 -> change", false },
		{ "rpc nth 2 -> change", false },
		{ "packet -> drop", false },
	};
	struct fault_rpc call = { .name = "StoreData",
				  .user = "alice",
				  .volume_name = "home",
				  .volume = 5,
				  .vnode = 2,
				  .unique = 3,
				  .client = rx_addr_ipv4(0x0a000001, 7001),
				  .server = rx_addr_ipv4(0x0a00000b, 7000) };
	const struct fault_rpc bare = { .client = rx_addr_ipv4(0x0a000001, 7001) };
	struct fault_hit h[FAULT_HITS];

	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct fault_world w;

		fault_world_start(&w, 1);
		fault_world_rule(&w, t[i].rule);
		CU_ASSERT_EQUAL(fault_set_rpc(w.set, &call, h), t[i].fires);
		fault_world_stop(&w);
	}
	for (unsigned i = 1; i < 16; i++) {
		struct fault_world w;

		fault_world_start(&w, 1);
		fault_world_rule(&w, t[i].rule);
		CU_ASSERT_EQUAL(fault_set_rpc(w.set, &bare, h), i == 12);
		fault_world_stop(&w);
	}
}

static void test_order(void)
{
	struct fault_hit h[FAULT_HITS];
	struct rx_error err;
	struct fault_world w;
	char *text;
	size_t len;
	FILE *f;

	fault_world_start(&w, 1);
	CU_ASSERT_EQUAL(fault_set_has(w.set, FAULT_PACKET), 0);
	fault_world_rule(&w, "a: packet -> note");
	fault_world_rule(&w, "packet seq 3 -> pass");
	fault_world_rule(&w, "b: packet -> drop");
	data3(&w);
	CU_ASSERT_EQUAL(hits(&w, FAULT_FROM_CLIENT, h), 2);
	CU_ASSERT_STRING_EQUAL(h[0].rule, "a");
	CU_ASSERT_STRING_EQUAL(h[1].rule, "r2");
	CU_ASSERT_EQUAL(fault_set_add(w.set, "b: packet -> drop", 3, NULL, &err), -1);
	CU_ASSERT(strstr(err.text, "line 3, column 1: expected a new name, not \"b\"") != NULL);
	CU_ASSERT_EQUAL(fault_set_remove(w.set, "r2", &err), 0);
	CU_ASSERT_EQUAL(fault_set_remove(w.set, "r2", &err), -1);
	CU_ASSERT(strstr(err.text, "there is no rule r2") != NULL);
	CU_ASSERT_EQUAL(hits(&w, FAULT_FROM_CLIENT, h), 2);
	CU_ASSERT_EQUAL(fault_set_has(w.set, FAULT_PACKET), 2);
	f = open_memstream(&text, &len);
	fault_set_list(w.set, f);
	fclose(f);
	CU_ASSERT_STRING_EQUAL(text, "a matched 2 fired 2: packet -> note\nb matched 1 fired 1: packet -> drop\n");
	free(text);
	fault_world_stop(&w);
}

static int load(struct fault_world *w, const char *script, struct rx_error *err)
{
	char path[] = "/tmp/fault-script.XXXXXX";
	int fd = mkstemp(path), rc;

	CU_ASSERT_FATAL(fd >= 0 && write(fd, script, strlen(script)) == (ssize_t)strlen(script));
	close(fd);
	rc = fault_set_load(w->set, path, err);
	unlink(path);
	return rc;
}

static void test_script(void)
{
	struct rx_error err;
	struct fault_world w;

	fault_world_start(&w, 1);
	CU_ASSERT_EQUAL(load(&w, "# two rules\nseed 3\n\na: packet -> drop\nrpc -> change", &err), 0);
	CU_ASSERT(fault_set_has(w.set, FAULT_PACKET) == 1 && fault_set_has(w.set, FAULT_RPC) == 1);
	CU_ASSERT_EQUAL(load(&w, "b: packet -> drop\npacket -> dorp\n", &err), -1);
	CU_ASSERT(strstr(err.text, ": line 2, column 11: expected an action") != NULL);
	CU_ASSERT_EQUAL(load(&w, "b: packet -> drop\nb: packet -> drop\n", &err), -1);
	CU_ASSERT_EQUAL(load(&w, "a: packet -> drop\n", &err), -1);
	CU_ASSERT_EQUAL(fault_set_has(w.set, FAULT_PACKET), 1);
	CU_ASSERT_EQUAL(fault_set_load(w.set, "/nonexistent/script", &err), -1);
	CU_ASSERT(strstr(err.text, "the fault script /nonexistent/script cannot be opened") != NULL);
	fault_world_stop(&w);
}

static void test_trace(void)
{
	struct fault_hit h[FAULT_HITS];
	struct fault_packet_view v;
	struct fault_rpc call = { .name = "StoreData", .user = "al\xff", .client = rx_addr_ipv4(0x0a000001, 7001) };
	struct fault_world w;
	struct fault_set *set;
	struct fault_trace *trace;
	struct rx_error err;
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	fault_world_start(&w, 1);
	trace = fault_trace_new(&w.env, f);
	set = fault_set_new(&w.env, 1, trace);
	CU_ASSERT_EQUAL(fault_set_add(set, "a: packet -> drop", 1, NULL, &err), 0);
	CU_ASSERT_EQUAL(fault_set_add(set, "b: rpc -> abort VBUSY", 1, NULL, &err), 0);
	fault_world_ack(&w, RX_ACK_PING);
	w.now += 5;
	fault_packet_view(&v, FAULT_FROM_SERVER, &w.client, &w.server, w.packet, w.len);
	fault_trace_packet(trace, &v, h, fault_set_packet(set, &v, h));
	fault_set_rpc(set, &call, h);
	fault_set_free(set);
	CU_ASSERT_EQUAL(fault_trace_free(trace, &err), 0);
	fclose(f);
	CU_ASSERT(strstr(text, "{\"t\":1000000,\"ev\":\"rule\",\"name\":\"a\",\"text\":\"a: packet -> drop\"}\n") ==
		  text);
	CU_ASSERT(strstr(text,
			 "{\"t\":1000005,\"ev\":\"packet\",\"from\":\"server\",\"client\":\"10.0.0.1:7001\",\"len\":65,"
			 "\"type\":\"ACK\",\"flags\":0,\"cid\":4,\"call\":1,\"seq\":0,\"serial\":9,\"service\":1,"
			 "\"reason\":\"PING\",\"did\":[{\"action\":\"drop\",\"rule\":\"a\"}]}\n") != NULL);
	CU_ASSERT(strstr(text, "\"ev\":\"rpc\",\"name\":\"StoreData\",\"user\":\"?\",\"client\":\"10.0.0.1:7001\","
			       "\"fid\":[0,0,0],\"action\":\"abort\",\"rule\":\"b\"}\n") != NULL);
	free(text);
	f = fopen("/dev/full", "w");
	trace = fault_trace_new(&w.env, f);
	fault_trace_note(trace, "x", "y", NULL);
	CU_ASSERT_EQUAL(fault_trace_free(trace, &err), -1);
	CU_ASSERT(strstr(err.text, "the trace could not be written whole") != NULL);
	fclose(f);
	fault_world_stop(&w);
}

struct waiter {
	struct fault_set *set;
	struct fault_hit hit;
};

static void *wait_at_gate(void *arg)
{
	struct waiter *w = arg;

	CU_ASSERT(fault_set_wait(w->set, &w->hit, UINT64_MAX, NULL));
	return NULL;
}

static struct fault_hit held(struct fault_set *set)
{
	const struct fault_rpc call = { .name = "FetchStatus", .user = "alice" };
	struct fault_hit hits[FAULT_HITS];

	CU_ASSERT_EQUAL(fault_set_rpc(set, &call, hits), 1);
	return hits[0];
}

static void test_gate(void)
{
	struct waiter w = { .set = fault_set_new(rx_env_posix(), 1, NULL) };
	uint64_t now = rx_now_us(rx_env_posix());
	pthread_t t;

	CU_ASSERT_EQUAL(fault_set_add(w.set, "rpc -> hold g", 1, NULL, NULL), 0);
	w.hit = held(w.set);
	CU_ASSERT(!fault_set_wait(w.set, &w.hit, now, NULL));
	CU_ASSERT(!fault_set_wait(w.set, NULL, now, NULL));
	fault_set_release(w.set, "other");
	CU_ASSERT(!fault_set_wait(w.set, &w.hit, now, NULL));
	/* Whoever has seen the rule fire may release what does not wait yet. */
	fault_set_release(w.set, "g");
	CU_ASSERT(fault_set_wait(w.set, &w.hit, now, NULL));
	/* What was released is not open: the next one waits again. */
	w.hit = held(w.set);
	CU_ASSERT(!fault_set_wait(w.set, &w.hit, now, NULL));
	pthread_create(&t, NULL, wait_at_gate, &w);
	fault_set_release(w.set, "g");
	pthread_join(t, NULL);
	fault_set_free(w.set);
}

UNIT_MAIN("fault_set", { "conditions of packets", test_packets }, { "n-th, every, times, burst", test_counts },
	  { "one seed, one sequence", test_seed }, { "between two times", test_times },
	  { "conditions of calls", test_rpc }, { "order, names, removal, list", test_order },
	  { "scripts, whole or not at all", test_script }, { "the trace", test_trace },
	  { "a held call waits for its release", test_gate })
