/* Puts umafs-wire beside the least that a UDP forwarder can do, a bare loop of recvmmsg
 * and sendmmsg, in one run and in turn: packets a second in bulk, and the time that a
 * round trip takes through each and without any. Prints medians and ratios.
 *
 *   tests/bench/wire [UMAFS-WIRE] [ROUNDS]      default: umafs-wire beside it in the build */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 1444, BATCH = 64, PER_ROUND = 400000, WINDOW = 512, PINGS = 4000, ROUNDS_MAX = 99 };
enum way { DIRECT, BARE, WIRE, WIRE_RULES, WAYS };

static const char *const names[WAYS] = { "direct", "bare loop", "umafs-wire", "umafs-wire with a rule" };

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "tests/bench/wire: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static int udp(struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 8 << 20;
	struct timeval tv = { 1, 0 };
	socklen_t len = sizeof *at;

	*at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	check(fd >= 0 && !bind(fd, (struct sockaddr *)at, sizeof *at), "socket");
	getsockname(fd, (struct sockaddr *)at, &len);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	return fd;
}

static void batch(struct mmsghdr *msg, struct iovec *iov, uint8_t *data, struct sockaddr_in *to)
{
	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ data + i * SIZE, SIZE };
		msg[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
		if (to) {
			msg[i].msg_hdr.msg_name = to;
			msg[i].msg_hdr.msg_namelen = sizeof *to;
		}
	}
}

/* A receiver that counts; the first byte 1 is answered at once. */
struct receiver {
	int fd;
	uint64_t got; /* atomic */
	bool stop;    /* atomic */
};

static void *receive(void *arg)
{
	struct receiver *r = arg;
	static uint8_t data[BATCH * SIZE];
	struct mmsghdr msg[BATCH];
	struct sockaddr_in from;
	struct iovec iov[BATCH];

	batch(msg, iov, data, NULL);
	msg[0].msg_hdr.msg_name = &from;
	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		int n;

		msg[0].msg_hdr.msg_namelen = sizeof from;
		n = recvmmsg(r->fd, msg, BATCH, MSG_WAITFORONE, NULL);
		if (n == 1 && data[0] == 1)
			sendto(r->fd, data, msg[0].msg_len, 0, (struct sockaddr *)&from, sizeof from);
		if (n > 0)
			__atomic_fetch_add(&r->got, (uint64_t)n, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* The bare loop: one client, one server, nothing decided, no clock asked. In a process of its own. */
static void forward(int front, struct sockaddr_in server)
{
	static uint8_t data[2][BATCH * SIZE];
	struct mmsghdr msg[2][BATCH];
	struct iovec iov[2][BATCH];
	struct sockaddr_in client, own;
	int back = udp(&own), fds[2] = { front, back };
	fd_set set;

	check(!connect(back, (struct sockaddr *)&server, sizeof server), "connect");
	for (;;) {
		FD_ZERO(&set);
		FD_SET(front, &set);
		FD_SET(back, &set);
		if (select((front > back ? front : back) + 1, &set, NULL, NULL, NULL) < 0)
			continue;
		for (int side = 0; side < 2; side++) {
			int n, sent = 0;

			if (!FD_ISSET(fds[side], &set))
				continue;
			batch(msg[side], iov[side], data[side], NULL);
			msg[side][0].msg_hdr.msg_name = side ? NULL : &client;
			msg[side][0].msg_hdr.msg_namelen = side ? 0 : sizeof client;
			n = recvmmsg(fds[side], msg[side], BATCH, MSG_DONTWAIT, NULL);
			for (int i = 0; i < n; i++) {
				iov[side][i].iov_len = msg[side][i].msg_len;
				msg[side][i].msg_hdr.msg_name = side ? &client : NULL;
				msg[side][i].msg_hdr.msg_namelen = side ? sizeof client : 0;
			}
			while (sent < n) {
				int k = sendmmsg(fds[1 - side], msg[side] + sent, (unsigned)(n - sent), 0);

				sent += k > 0 ? k : 1;
			}
		}
	}
}

static pid_t start_bare(const struct sockaddr_in *server, struct sockaddr_in *front)
{
	int fd = udp(front);
	pid_t pid = fork();

	check(pid >= 0, "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		forward(fd, *server);
	}
	close(fd);
	return pid;
}

static pid_t start_wire(const char *program, const char *rule, const struct sockaddr_in *server,
			struct sockaddr_in *front)
{
	char map[64], line[100];
	unsigned port = 0;
	int out[2];
	FILE *f;
	pid_t pid;

	snprintf(map, sizeof map, "127.0.0.1:0=127.0.0.1:%u", ntohs(server->sin_port));
	check(!pipe(out), "pipe");
	pid = fork();
	check(pid >= 0, "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out[1], 1);
		execl(program, program, "--map", map, rule ? "--rule" : NULL, rule, NULL);
		check(false, program);
	}
	close(out[1]);
	f = fdopen(out[0], "r");
	check(fgets(line, sizeof line, f) && sscanf(line, "127.0.0.1:%u=", &port) == 1, "umafs-wire did not start");
	fclose(f);
	*front = *server;
	front->sin_port = htons((uint16_t)port);
	return pid;
}

/* MB/s that arrive while never more than WINDOW packets are under way. */
static double bulk(struct receiver *r, struct sockaddr_in *to)
{
	static uint8_t data[BATCH * SIZE];
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	struct sockaddr_in own;
	int fd = udp(&own);
	uint64_t before = __atomic_load_n(&r->got, __ATOMIC_RELAXED), got = 0, sent = 0;
	double began = now();

	batch(msg, iov, data, to);
	while (sent < PER_ROUND) {
		int n = sendmmsg(fd, msg, BATCH, 0);

		sent += n > 0 ? (unsigned)n : 0;
		while ((got = __atomic_load_n(&r->got, __ATOMIC_RELAXED) - before) + WINDOW < sent) {
			check(now() - began < 60, "packets were lost on loopback");
			sched_yield();
		}
	}
	while ((got = __atomic_load_n(&r->got, __ATOMIC_RELAXED) - before) < sent && now() - began < 60)
		sched_yield();
	close(fd);
	return (double)got * SIZE / 1e6 / (now() - began);
}

static int by_value(const void *a, const void *b)
{
	return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static double median(const double *v, int n)
{
	double s[PINGS];

	memcpy(s, v, (size_t)n * sizeof *v);
	qsort(s, (size_t)n, sizeof *s, by_value);
	return s[n / 2];
}

/* Median round trip of one small packet, in microseconds. */
static double ping(struct sockaddr_in *to)
{
	static double us[PINGS];
	struct sockaddr_in own;
	uint8_t buf[64] = { 1 };
	int fd = udp(&own);

	for (int i = 0; i < PINGS; i++) {
		double began = now();

		sendto(fd, buf, sizeof buf, 0, (struct sockaddr *)to, sizeof *to);
		check(recv(fd, buf, sizeof buf, 0) > 0, "no answer");
		us[i] = (now() - began) * 1e6;
	}
	close(fd);
	return median(us, PINGS);
}

static void report(double rate[WAYS][ROUNDS_MAX], double us[WAYS][ROUNDS_MAX], int rounds)
{
	printf("%d rounds of %d packets of %d bytes, and of %d round trips\n", rounds, PER_ROUND, SIZE, PINGS);
	for (int w = 0; w < WAYS; w++) {
		double ratio[ROUNDS_MAX], added[ROUNDS_MAX];

		for (int i = 0; i < rounds; i++) {
			ratio[i] = rate[w][i] / rate[BARE][i];
			added[i] = (us[w][i] - us[DIRECT][i]) / 2;
		}
		printf("%-24s %6.0f MB/s (%.2f of the bare loop), round trip %5.1f us (adds %4.1f us a packet)\n",
		       names[w], median(rate[w], rounds), median(ratio, rounds), median(us[w], rounds),
		       median(added, rounds));
	}
}

int main(int argc, char **argv)
{
	static double rate[WAYS][ROUNDS_MAX], us[WAYS][ROUNDS_MAX];
	const char *program = argc > 1 ? argv[1] : "./umafs-wire";
	int rounds = argc > 2 ? atoi(argv[2]) : 5;
	struct sockaddr_in server, front[WAYS];
	struct receiver r = { .fd = udp(&server) };
	pid_t pid[WAYS];
	pthread_t t;

	if (rounds < 1 || rounds > ROUNDS_MAX)
		rounds = 5;
	front[DIRECT] = server;
	pid[BARE] = start_bare(&server, &front[BARE]);
	pid[WIRE] = start_wire(program, NULL, &server, &front[WIRE]);
	pid[WIRE_RULES] = start_wire(program, "packet type abort -> drop", &server, &front[WIRE_RULES]);
	pthread_create(&t, NULL, receive, &r);
	for (int i = 0; i < rounds; i++) {
		for (int w = 0; w < WAYS; w++) {
			rate[w][i] = bulk(&r, &front[w]);
			us[w][i] = ping(&front[w]);
		}
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	for (int w = BARE; w < WAYS; w++) {
		kill(pid[w], SIGKILL);
		waitpid(pid[w], NULL, 0);
	}
	close(r.fd);
	report(rate, us, rounds);
	return EXIT_SUCCESS;
}
