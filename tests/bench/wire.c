/* Puts umafs-wire beside the least that a UDP forwarder can do, bare loops of recvmmsg and
 * sendmmsg, one of which takes and gives runs of equal packets as one (UDP_GRO and
 * UDP_SEGMENT), all in one run and in turn. Two kinds of traffic: single packets, as RX
 * programs send them, and whole runs. Prints medians: MB/s that arrive; the forwarder's
 * own processor time for a packet, which other load on the machine changes least; and what
 * a hop adds to a round trip. What `direct` reaches is the generator's and the sink's limit.
 *
 *   tests/bench/wire [UMAFS-WIRE] [ROUNDS]      default: umafs-wire beside it in the build */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
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

enum { SIZE = 1444, RUN = 45, BATCH = 64, ROOM = 65536 + 1472, PER_ROUND = 200000, WINDOW = 512, PINGS = 2000 };
enum { ROUNDS_MAX = 99, LOST_S = 5 };
enum way { DIRECT, BARE, BARE_RUNS, WIRE, WIRE_RULES, WAYS };
enum kind { SINGLE, RUNS, KINDS };

static const char *const names[WAYS] = { "direct", "bare loop", "bare loop, runs", "umafs-wire", "  with a rule" };

/* One figure of each round. */
struct figures {
	double rate[KINDS][ROUNDS_MAX], cpu_us[KINDS][ROUNDS_MAX], trip_us[ROUNDS_MAX];
};

static double clock_s(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double now(void)
{
	return clock_s(CLOCK_MONOTONIC);
}

/* Processor time that a process has used; 0: there is none. */
static double cpu_of(pid_t pid)
{
	clockid_t id;

	return pid && !clock_getcpuclockid(pid, &id) ? clock_s(id) : 0;
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

static void take_runs(int fd, int on)
{
	check(!setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on), "UDP_GRO");
}

/* BATCH messages with room for the largest of runs. */
struct batch {
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control[BATCH];
	struct sockaddr_in from;
	uint8_t *data;
};

static void to_receive(struct batch *b)
{
	if (!b->data)
		b->data = calloc(BATCH, ROOM);
	check(b->data, "memory");
	for (size_t i = 0; i < BATCH; i++) {
		b->iov[i] = (struct iovec){ b->data + i * ROOM, ROOM };
		b->msg[i].msg_hdr = (struct msghdr){ .msg_iov = &b->iov[i],
						     .msg_iovlen = 1,
						     .msg_control = &b->control[i],
						     .msg_controllen = sizeof b->control[i] };
	}
	b->msg[0].msg_hdr.msg_name = &b->from;
	b->msg[0].msg_hdr.msg_namelen = sizeof b->from;
}

static void as_run(struct msghdr *h, void *control)
{
	uint16_t size = SIZE;
	struct cmsghdr *c;

	h->msg_control = control;
	h->msg_controllen = CMSG_SPACE(sizeof size);
	c = CMSG_FIRSTHDR(h);
	c->cmsg_level = IPPROTO_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof size);
	memcpy(CMSG_DATA(c), &size, sizeof size);
}

/* ---- the sink ---- */

/* Counts packets; the first byte 1 is answered at once. */
struct receiver {
	int fd;
	uint64_t got;    /* atomic */
	uint64_t wanted; /* atomic: the generator sleeps until then */
	sem_t there;
	bool stop; /* atomic */
};

static void *receive(void *arg)
{
	struct receiver *r = arg;
	static struct batch b;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		uint64_t got = 0, wanted;
		int n;

		to_receive(&b);
		n = recvmmsg(r->fd, b.msg, BATCH, MSG_WAITFORONE, NULL);
		if (n == 1 && b.data[0] == 1)
			sendto(r->fd, b.data, b.msg[0].msg_len, 0, (struct sockaddr *)&b.from, sizeof b.from);
		for (int i = 0; i < n; i++)
			got += (b.msg[i].msg_len + SIZE - 1) / SIZE;
		got = __atomic_add_fetch(&r->got, got, __ATOMIC_SEQ_CST);
		wanted = __atomic_load_n(&r->wanted, __ATOMIC_SEQ_CST);
		if (got >= wanted && __atomic_exchange_n(&r->wanted, UINT64_MAX, __ATOMIC_SEQ_CST) != UINT64_MAX)
			sem_post(&r->there);
	}
	free(b.data);
	return NULL;
}

static uint64_t got(struct receiver *r)
{
	return __atomic_load_n(&r->got, __ATOMIC_SEQ_CST);
}

static void wait_for(struct receiver *r, uint64_t wanted)
{
	struct timespec until;

	__atomic_store_n(&r->wanted, wanted, __ATOMIC_SEQ_CST);
	if (got(r) >= wanted && __atomic_exchange_n(&r->wanted, UINT64_MAX, __ATOMIC_SEQ_CST) != UINT64_MAX)
		return;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LOST_S;
	while (sem_timedwait(&r->there, &until))
		check(errno == EINTR, "packets were lost on loopback");
}

/* ---- the bare loops ---- */

/* The packets of a batch, all but the last of SIZE, as few messages: what arrived as a run
 * leaves as one, and single ones are put together. */
static int join(struct batch *b, int n, struct iovec *iov, struct mmsghdr *out, struct sockaddr_in *to)
{
	int k = -1;

	for (int i = 0, packets = RUN; i < n; i++) {
		int more = (int)((b->msg[i].msg_len + SIZE - 1) / SIZE);

		if (packets + more > RUN) {
			packets = 0;
			out[++k].msg_hdr = (struct msghdr){ .msg_iov = &iov[i],
							    .msg_name = to,
							    .msg_namelen = to ? sizeof *to : 0 };
		}
		packets += more;
		iov[i] = (struct iovec){ b->iov[i].iov_base, b->msg[i].msg_len };
		out[k].msg_hdr.msg_iovlen++;
		if (packets > 1)
			as_run(&out[k].msg_hdr, &b->control[k]);
	}
	return k + 1;
}

static int one_by_one(struct batch *b, int n, struct iovec *iov, struct mmsghdr *out, struct sockaddr_in *to)
{
	for (int i = 0; i < n; i++) {
		iov[i] = (struct iovec){ b->iov[i].iov_base, b->msg[i].msg_len };
		out[i].msg_hdr = (struct msghdr){
			.msg_iov = &iov[i], .msg_iovlen = 1, .msg_name = to, .msg_namelen = to ? sizeof *to : 0
		};
	}
	return n;
}

/* One client, one server, nothing decided, no clock asked. In a process of its own. */
static void forward(int front, struct sockaddr_in server, bool runs)
{
	static struct batch b[2];
	struct mmsghdr out[BATCH];
	struct iovec iov[BATCH];
	struct sockaddr_in own, client;
	int back = udp(&own);
	struct pollfd at[2] = { { .fd = front, .events = POLLIN }, { .fd = back, .events = POLLIN } };

	check(!connect(back, (struct sockaddr *)&server, sizeof server), "connect");
	if (runs) {
		take_runs(front, 1);
		take_runs(back, 1);
	}
	for (;;) {
		if (poll(at, 2, -1) < 0)
			continue;
		for (int side = 0; side < 2; side++) {
			int n, sent = 0;

			if (!at[side].revents)
				continue;
			to_receive(&b[side]);
			n = recvmmsg(at[side].fd, b[side].msg, BATCH, MSG_DONTWAIT, NULL);
			if (n > 0 && !side)
				client = b[side].from;
			n = (runs ? join : one_by_one)(&b[side], n, iov, out, side ? &client : NULL);
			while (sent < n) {
				int k = sendmmsg(at[1 - side].fd, out + sent, (unsigned)(n - sent), 0);

				sent += k > 0 ? k : 1;
			}
		}
	}
}

static pid_t start_bare(bool runs, const struct sockaddr_in *server, struct sockaddr_in *front)
{
	int fd = udp(front);
	pid_t pid = fork();

	check(pid >= 0, "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		forward(fd, *server, runs);
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

/* ---- the generator ---- */

/* Sends with never more than WINDOW packets under way; returns MB/s. */
static double bulk(struct receiver *r, struct sockaddr_in *to, enum kind kind, double *cpu_us, pid_t pid)
{
	static uint8_t data[RUN * SIZE];
	static struct batch b;
	struct sockaddr_in own;
	int fd = udp(&own), messages = kind == RUNS ? 2 : BATCH, each = kind == RUNS ? RUN : 1;
	uint64_t before = got(r), sent = 0;
	double began, cpu = cpu_of(pid), took;

	take_runs(r->fd, kind == RUNS);
	for (int i = 0; i < messages; i++) {
		b.iov[i] = (struct iovec){ data, (size_t)each * SIZE };
		b.msg[i].msg_hdr = (struct msghdr){
			.msg_iov = &b.iov[i], .msg_iovlen = 1, .msg_name = to, .msg_namelen = sizeof *to
		};
		if (kind == RUNS)
			as_run(&b.msg[i].msg_hdr, &b.control[i]);
	}
	began = now();
	while (sent < PER_ROUND) {
		int n = sendmmsg(fd, b.msg, (unsigned)messages, 0);

		sent += n > 0 ? (uint64_t)n * (uint64_t)each : 0;
		if (got(r) - before + WINDOW < sent)
			wait_for(r, before + sent - WINDOW / 2);
	}
	wait_for(r, before + sent);
	took = now() - began;
	*cpu_us = (cpu_of(pid) - cpu) / (double)sent * 1e6;
	close(fd);
	return (double)sent * SIZE / 1e6 / took;
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

static void report(const struct figures f[WAYS], int rounds)
{
	printf("%d rounds of %d packets of %d bytes, single and in runs of %d, and of %d round trips\n", rounds,
	       PER_ROUND, SIZE, RUN, PINGS);
	printf("%-16s  single: MB/s  of bare  of bare, runs  CPU us/packet   runs: MB/s  CPU us/packet   adds us/hop\n",
	       "");
	for (int w = 0; w < WAYS; w++) {
		double of[2][ROUNDS_MAX], added[ROUNDS_MAX];

		for (int i = 0; i < rounds; i++) {
			of[0][i] = f[w].rate[SINGLE][i] / f[BARE].rate[SINGLE][i];
			of[1][i] = f[w].rate[SINGLE][i] / f[BARE_RUNS].rate[SINGLE][i];
			added[i] = (f[w].trip_us[i] - f[DIRECT].trip_us[i]) / 2;
		}
		printf("%-16s  %12.0f  %7.2f  %13.2f  %13.2f  %11.0f  %13.2f  %12.1f\n", names[w],
		       median(f[w].rate[SINGLE], rounds), median(of[0], rounds), median(of[1], rounds),
		       median(f[w].cpu_us[SINGLE], rounds), median(f[w].rate[RUNS], rounds),
		       median(f[w].cpu_us[RUNS], rounds), median(added, rounds));
	}
}

int main(int argc, char **argv)
{
	static struct figures f[WAYS];
	const char *program = argc > 1 ? argv[1] : "./umafs-wire";
	int rounds = argc > 2 ? atoi(argv[2]) : 5;
	struct sockaddr_in server, front[WAYS];
	struct receiver r = { .fd = udp(&server), .wanted = UINT64_MAX };
	pid_t pid[WAYS] = { 0 };
	pthread_t t;

	if (rounds < 1 || rounds > ROUNDS_MAX)
		rounds = 5;
	sem_init(&r.there, 0, 0);
	front[DIRECT] = server;
	pid[BARE] = start_bare(false, &server, &front[BARE]);
	pid[BARE_RUNS] = start_bare(true, &server, &front[BARE_RUNS]);
	pid[WIRE] = start_wire(program, NULL, &server, &front[WIRE]);
	pid[WIRE_RULES] = start_wire(program, "packet type abort -> drop", &server, &front[WIRE_RULES]);
	pthread_create(&t, NULL, receive, &r);
	for (int i = 0; i < rounds; i++) {
		for (int w = 0; w < WAYS; w++) {
			for (int k = 0; k < KINDS; k++)
				f[w].rate[k][i] = bulk(&r, &front[w], (enum kind)k, &f[w].cpu_us[k][i], pid[w]);
			f[w].trip_us[i] = ping(&front[w]);
		}
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	for (int w = BARE; w < WAYS; w++) {
		kill(pid[w], SIGKILL);
		waitpid(pid[w], NULL, 0);
	}
	close(r.fd);
	report(f, rounds);
	return EXIT_SUCCESS;
}
