/* The injector over loopback UDP: plain sockets, an RX client and server through loss,
 * duplication and reordering, other ports after a rebind, the control socket. */
#include <arpa/inet.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rx/rx.h"
#include "tests/unit.h"
#include "tools/fault/control.h"
#include "tools/fault/proxy.h"

enum { SERVICE = 10, WAIT_S = 20 };

static struct fault_set *set;
static struct event_base *base;
static struct fault_proxy *proxy;
static struct fault_control *control;
static char path[64];
static struct rx_addr front;
static pthread_t thread;
static int quit_pipe[2];

static void stop_loop(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(arg);
}

static bool extra(void *arg, const char *command, FILE *out, int *rc, struct rx_error *err)
{
	(void)arg;
	(void)err;
	*rc = 0;
	if (!strcmp(command, "dropped")) {
		struct fault_proxy_stats stats;

		fault_proxy_stats(proxy, &stats);
		fprintf(out, "%u\n", (unsigned)stats.dropped);
	} else if (!strncmp(command, "rebind ", 7)) {
		fprintf(out, "%u\n", fault_proxy_rebind(proxy, command + 7));
	} else {
		return false;
	}
	return true;
}

/* Until the pipe is written to. */
static void *run(void *arg)
{
	struct event *quit = event_new(base, quit_pipe[0], EV_READ, stop_loop, base);

	event_add(quit, NULL);
	event_base_dispatch(base);
	event_free(quit);
	return arg;
}

static void start(uint16_t server_port)
{
	struct rx_addr listen = rx_addr_ipv4(0x7f000001, 0), server = rx_addr_ipv4(0x7f000001, server_port);
	struct rx_error err = { 0 };

	snprintf(path, sizeof path, "/tmp/wire-test.%d", (int)getpid());
	set = fault_set_new(rx_env_posix(), 11, NULL);
	base = event_base_new();
	proxy = fault_proxy_new(base, set);
	CU_ASSERT_EQUAL_FATAL(fault_proxy_map(proxy, &listen, &server, &front, &err), 0);
	control = fault_control_new(base, path, set, extra, NULL, &err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(control);
	CU_ASSERT_EQUAL_FATAL(pipe(quit_pipe), 0);
	pthread_create(&thread, NULL, run, NULL);
}

/* One command; its answer, "" when there is none, or the error. */
static const char *ctl(const char *command)
{
	static char answer[2000];
	char *words[] = { (char *)(uintptr_t)command, NULL }, *text;
	struct rx_error err = { 0 };
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (fault_control_call(path, words, out, &err))
		fprintf(out, "%s", err.text);
	fclose(out);
	snprintf(answer, sizeof answer, "%s", text);
	free(text);
	return answer;
}

static void stop(void)
{
	CU_ASSERT_EQUAL(write(quit_pipe[1], "q", 1), 1);
	pthread_join(thread, NULL);
	close(quit_pipe[0]);
	close(quit_pipe[1]);
	fault_control_free(control);
	fault_proxy_free(proxy);
	fault_set_free(set);
	event_base_free(base);
	CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
}

static int udp(struct sockaddr_in *at)
{
	struct timeval tv = { WAIT_S, 0 };
	socklen_t len = sizeof *at;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	*at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	CU_ASSERT_FATAL(fd >= 0 && !bind(fd, (struct sockaddr *)at, sizeof *at));
	getsockname(fd, (struct sockaddr *)at, &len);
	return fd;
}

static void say(int fd, const struct sockaddr_in *to, const char *text)
{
	CU_ASSERT_EQUAL(sendto(fd, text, strlen(text), 0, (const struct sockaddr *)to, sizeof *to),
			(ssize_t)strlen(text));
}

static bool hear(int fd, struct sockaddr_in *from, const char *text)
{
	socklen_t len = sizeof *from;
	char buf[100];
	ssize_t n = recvfrom(fd, buf, sizeof buf, 0, (struct sockaddr *)from, &len);

	return n == (ssize_t)strlen(text) && !memcmp(buf, text, (size_t)n);
}

static void test_plain(void)
{
	struct sockaddr_in client_at, other_at, server_at, to, one, two, again;
	int client = udp(&client_at), other = udp(&other_at), server = udp(&server_at);

	start(ntohs(server_at.sin_port));
	to = (struct sockaddr_in){ .sin_family = AF_INET,
				   .sin_port = htons(front.port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	say(client, &to, "one");
	CU_ASSERT(hear(server, &one, "one"));
	say(other, &to, "two");
	CU_ASSERT(hear(server, &two, "two"));
	CU_ASSERT_NOT_EQUAL(one.sin_port, two.sin_port);
	/* What comes back goes to whom it is for, and comes from where the client sent to. */
	say(server, &two, "to two");
	CU_ASSERT(hear(other, &again, "to two"));
	CU_ASSERT_EQUAL(again.sin_port, to.sin_port);
	say(server, &one, "to one");
	CU_ASSERT(hear(client, &again, "to one"));
	CU_ASSERT_STRING_EQUAL(ctl("rebind all"), "2\n");
	say(client, &to, "three");
	CU_ASSERT(hear(server, &again, "three"));
	CU_ASSERT_NOT_EQUAL(again.sin_port, one.sin_port);
	say(server, &again, "to three");
	CU_ASSERT(hear(client, &again, "to three"));
	CU_ASSERT_STRING_EQUAL(ctl("add packet size 4 -> rebind"), "r1\n");
	say(client, &to, "four");
	CU_ASSERT(hear(server, &two, "four"));
	CU_ASSERT_NOT_EQUAL(again.sin_port, two.sin_port);
	stop();
	close(client);
	close(other);
	close(server);
}

static void test_control(void)
{
	struct sockaddr_in client_at, server_at, to, from;
	int client = udp(&client_at), server = udp(&server_at);
	struct rx_error err;

	start(ntohs(server_at.sin_port));
	to = (struct sockaddr_in){ .sin_family = AF_INET,
				   .sin_port = htons(front.port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	CU_ASSERT_STRING_EQUAL(ctl("list"), "");
	CU_ASSERT_STRING_EQUAL(ctl("add g: packet size 4 -> hold gate"), "g\n");
	CU_ASSERT_STRING_EQUAL(ctl("add d: packet size 5 -> delay 1ms"), "d\n");
	say(client, &to, "held");
	say(client, &to, "later");
	say(client, &to, "straight");
	CU_ASSERT(hear(server, &from, "straight") || hear(server, &from, "straight"));
	CU_ASSERT(strstr(ctl("list"), "g matched 1 fired 1: packet size 4 -> hold gate\nd matched 1 ") != NULL);
	CU_ASSERT_STRING_EQUAL(ctl("release gate"), "");
	while (!hear(server, &from, "held"))
		;
	CU_ASSERT_STRING_EQUAL(ctl("remove g"), "");
	CU_ASSERT(strstr(ctl("remove g"), "there is no rule g") != NULL);
	CU_ASSERT(strstr(ctl("add packet -> dorp"), "line 1, column 11: expected an action") != NULL);
	CU_ASSERT(strstr(ctl("dance"), "unknown command \"dance\"; help lists them") != NULL);
	CU_ASSERT(strstr(ctl("help"), "release GATE") != NULL);
	/* A second one at the same path is refused; the first goes on. */
	CU_ASSERT_PTR_NULL(fault_control_new(base, path, set, NULL, NULL, &err));
	CU_ASSERT(strstr(err.text, "the control socket") != NULL);
	stop();
	CU_ASSERT(strstr(ctl("list"), "nobody listens at the control socket") != NULL);
	close(client);
	close(server);
}

/* A sender that hands over a run of packets in one piece: rules see each of them. */
static void test_runs(void)
{
	struct sockaddr_in client_at, server_at, to, from;
	int client = udp(&client_at), server = udp(&server_at), each = 4;

	start(ntohs(server_at.sin_port));
	to = (struct sockaddr_in){ .sin_family = AF_INET,
				   .sin_port = htons(front.port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	CU_ASSERT_EQUAL_FATAL(setsockopt(client, IPPROTO_UDP, UDP_SEGMENT, &each, sizeof each), 0);
	say(client, &to, "aaaabbbbccccdd");
	CU_ASSERT(hear(server, &from, "aaaa") && hear(server, &from, "bbbb"));
	CU_ASSERT(hear(server, &from, "cccc") && hear(server, &from, "dd"));
	CU_ASSERT_STRING_EQUAL(ctl("add packet nth 2 -> drop"), "r1\n");
	CU_ASSERT_STRING_EQUAL(ctl("add packet size 2 -> duplicate"), "r2\n");
	say(client, &to, "aaaabbbbccccdd");
	CU_ASSERT(hear(server, &from, "aaaa") && hear(server, &from, "cccc"));
	CU_ASSERT(hear(server, &from, "dd") && hear(server, &from, "dd"));
	CU_ASSERT_STRING_EQUAL(ctl("dropped"), "1\n");
	stop();
	close(client);
	close(server);
}

static int32_t echo(struct rx_call *call, void *arg)
{
	uint8_t buf[8192];
	ptrdiff_t n;
	uint8_t *all = NULL;
	size_t total = 0;
	int rc;

	(void)arg;
	while ((n = rx_call_read(call, buf, sizeof buf)) > 0) {
		all = realloc(all, total + (size_t)n);
		memcpy(all + total, buf, (size_t)n);
		total += (size_t)n;
	}
	rc = n < 0 ? -1 : rx_call_write(call, all, total);
	free(all);
	return rc ? RX_PROTOCOL_ERROR : 0;
}

static bool echo_call(struct rx_conn *conn, size_t len, uint8_t seed)
{
	struct rx_call *call = rx_call_new(conn, NULL);
	uint8_t *out = malloc(len), *in = malloc(len + 1);
	bool ok = call != NULL;

	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(seed + i * 13 + i / 251);
	if (ok) {
		ok = !rx_call_write(call, out, len) && rx_call_read(call, in, len + 1) == (ptrdiff_t)len;
		ok &= !rx_call_end(call, 0, RX_ORIGIN_AFS, NULL) && !memcmp(in, out, len);
	}
	free(out);
	free(in);
	return ok;
}

static void test_rx(void)
{
	static const char *const rules[] = {
		"add packet prob 5% -> drop",
		"add packet prob 5% -> duplicate 2",
		"add packet prob 5% -> reorder 3 within 5ms",
		"add packet prob 5% -> jitter 2ms",
	};
	struct rx_loop_config c = { .bind_ip = 0x7f000001 };
	struct rx_loop *server = rx_loop_new(&c, NULL), *client = rx_loop_new(&c, NULL);
	struct rx_security *sec = rx_null_new();
	struct rx_service_config s = {
		.id = SERVICE, .name = "echo", .mode = RX_SERVICE_WORKER, .workers = 1, .handler = echo
	};
	struct rx_conn *conn;

	CU_ASSERT_FATAL(server && client);
	s.sec[0] = sec;
	CU_ASSERT_EQUAL_FATAL(rx_service_add(server, &s, NULL), 0);
	start(rx_loop_port(server));
	conn = rx_conn_new(client, &front, SERVICE, sec, NULL);
	CU_ASSERT(echo_call(conn, 300000, 1));
	CU_ASSERT_STRING_EQUAL(ctl("dropped"), "0\n");
	for (unsigned i = 0; i < sizeof rules / sizeof *rules; i++)
		ctl(rules[i]);
	for (uint8_t i = 0; i < 20; i++)
		CU_ASSERT(echo_call(conn, 3000 + i * 900u, i));
	CU_ASSERT_STRING_NOT_EQUAL(ctl("dropped"), "0\n");
	rx_conn_free(conn);
	for (unsigned i = 1; i <= 4; i++) {
		char name[20];

		snprintf(name, sizeof name, "remove r%u", i);
		CU_ASSERT_STRING_EQUAL(ctl(name), "");
	}
	stop();
	rx_loop_free(client);
	rx_loop_free(server);
	rx_security_put(sec);
}

UNIT_MAIN("wire_proxy", { "plain sockets: who gets what; rebind", test_plain }, { "the control socket", test_control },
	  { "runs of packets in one piece", test_runs }, { "RX through loss, duplication, reordering", test_rx })
