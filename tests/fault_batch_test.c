/* Batches over loopback: what is sent arrives packet by packet and in order, whether the
 * kernel takes runs of equal packets as one, hands them over as one, or refuses to. */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit.h"
#include "tools/fault/batch.h"

enum { WAIT_S = 20, ROUNDS = 300 };

static struct fault_sender *sender;
static struct fault_receiver *receiver;
static uint64_t refused;

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

static bool hear(int fd, const uint8_t *data, size_t len)
{
	static uint8_t buf[70000];
	ssize_t n = recv(fd, buf, sizeof buf, 0);

	return n == (ssize_t)len && !memcmp(buf, data, len);
}

static uint64_t sent(void)
{
	return fault_sender_sent(sender)->sent;
}

/* Packets of these sizes, scattered or one behind the other in memory. */
static bool there(int from, int to, const struct sockaddr_in *at, const size_t *sizes, unsigned n, size_t gap)
{
	static uint8_t data[300000];
	uint64_t before = sent();
	size_t off = 0;
	bool ok = true;

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 7 + i / 253);
	for (unsigned i = 0; i < n; off += sizes[i++] + gap)
		fault_send(sender, from, at, data + off, sizes[i]);
	fault_sender_flush(sender);
	off = 0;
	for (unsigned i = 0; i < n; off += sizes[i++] + gap)
		ok = ok && hear(to, data + off, sizes[i]);
	return ok && sent() == before + n;
}

static const size_t sizes[] = { 100,  100,  100,  40,   100, 0,     0,     7,     7,     8, 8, 6,
				1400, 1400, 1400, 1400, 9,   20000, 20000, 20000, 20000, 1, 1, 1 };
enum { SIZES = sizeof sizes / sizeof sizes[0] };

static void test_sizes(void)
{
	struct sockaddr_in from_at, to_at;
	int from = udp(&from_at), to = udp(&to_at);

	sender = fault_sender_new();
	CU_ASSERT(there(from, to, &to_at, sizes, SIZES, 0));
	CU_ASSERT(there(from, to, &to_at, sizes, SIZES, 3));
	CU_ASSERT_EQUAL_FATAL(connect(from, (struct sockaddr *)&to_at, sizeof to_at), 0);
	CU_ASSERT(there(from, to, NULL, sizes, SIZES, 0));
	CU_ASSERT_EQUAL(fault_sender_sent(sender)->unsent, 0);
	fault_sender_free(sender);
	close(from);
	close(to);
}

/* More of them than a message, and than a batch, has room for. */
static void test_many(void)
{
	size_t small[150], alternating[150];
	struct sockaddr_in from_at, to_at;
	int from = udp(&from_at), to = udp(&to_at);

	for (unsigned i = 0; i < 150; i++) {
		small[i] = 30;
		alternating[i] = 20 + i % 2 * 5;
	}
	sender = fault_sender_new();
	CU_ASSERT(there(from, to, &to_at, small, 150, 0));
	CU_ASSERT(there(from, to, &to_at, small, 150, 1));
	CU_ASSERT(there(from, to, &to_at, alternating, 150, 1));
	fault_sender_free(sender);
	close(from);
	close(to);
}

/* A socket without checksums does not take runs: each packet goes alone, none is lost. */
static void test_refused_runs(void)
{
	struct sockaddr_in from_at, to_at;
	int from = udp(&from_at), to = udp(&to_at), on = 1;

	CU_ASSERT_EQUAL_FATAL(setsockopt(from, SOL_SOCKET, SO_NO_CHECK, &on, sizeof on), 0);
	sender = fault_sender_new();
	CU_ASSERT(there(from, to, &to_at, sizes, SIZES, 0));
	CU_ASSERT(there(from, to, &to_at, sizes, SIZES, 3));
	CU_ASSERT_EQUAL(fault_sender_sent(sender)->unsent, 0);
	fault_sender_free(sender);
	close(from);
	close(to);
}

/* The run's packets, in order, whether it came in one piece or not. */
static void test_receive(void)
{
	static const uint8_t text[] = "aaaabbbbccccddddee";
	struct sockaddr_in from_at, to_at;
	int from = udp(&from_at), to = udp(&to_at);
	const struct fault_run *runs;
	bool more;

	sender = fault_sender_new();
	receiver = fault_receiver_new();
	fault_receiver_runs(to);
	CU_ASSERT_EQUAL(fault_receive(receiver, to, &runs, &more, &refused), 0);
	CU_ASSERT_FALSE(more);
	for (unsigned i = 0; i < 18; i += 4)
		fault_send(sender, from, &to_at, text + i, i == 16 ? 2 : 4);
	fault_send(sender, from, &to_at, text, 18);
	fault_sender_flush(sender);
	CU_ASSERT_EQUAL_FATAL(fault_receive(receiver, to, &runs, &more, &refused), 2);
	CU_ASSERT_EQUAL(runs[0].len, 18);
	CU_ASSERT_EQUAL(runs[0].each, 4);
	CU_ASSERT_EQUAL(memcmp(runs[0].data, text, 18), 0);
	CU_ASSERT_EQUAL(runs[0].from->sin_port, from_at.sin_port);
	CU_ASSERT_EQUAL(runs[1].len, 18);
	CU_ASSERT_EQUAL(runs[1].each, 18);
	fault_receiver_free(receiver);
	fault_sender_free(sender);
	close(from);
	close(to);
}

/* What an earlier packet met is not taken for a failure of this one. */
static void test_nobody_listens(void)
{
	static const uint8_t text[] = "xxxxyyyy";
	struct sockaddr_in from_at, to_at, gone_at;
	int from = udp(&from_at), gone = udp(&gone_at), to;

	close(gone);
	sender = fault_sender_new();
	CU_ASSERT_EQUAL_FATAL(connect(from, (struct sockaddr *)&gone_at, sizeof gone_at), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		fault_send(sender, from, NULL, text, 4);
		fault_send(sender, from, NULL, text + 4, 4);
		fault_sender_flush(sender);
	}
	CU_ASSERT_EQUAL(sent(), 2 * ROUNDS);
	CU_ASSERT(fault_sender_sent(sender)->refused > 0);
	CU_ASSERT_EQUAL(fault_sender_sent(sender)->unsent, 0);
	to = udp(&to_at);
	CU_ASSERT(there(from, to, &to_at, sizes, SIZES, 0));
	fault_sender_free(sender);
	close(from);
	close(to);
}

UNIT_MAIN("fault_batch", { "packets of all sizes, one by one and joined", test_sizes },
	  { "more than one message holds", test_many }, { "a kernel that takes no runs", test_refused_runs },
	  { "a run is received whole", test_receive }, { "nobody listens", test_nobody_listens })
