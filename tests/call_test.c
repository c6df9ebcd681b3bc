/* One endpoint against hand-made packets: exactly what is answered, and when. */
#include "tests/rig.h"
#include "tests/toysec.h"

static struct rig R;

static void begin(void)
{
	rig_start(&R);
}

/* Handler: reads all, replies `text`. */
static void serve(const char *text)
{
	char buf[4096];

	rx_core_call_attach(R.incoming, R.now);
	rx_core_call_read(R.incoming, R.now, buf, sizeof buf);
	rx_core_call_write(R.incoming, R.now, text, strlen(text));
	rx_core_call_end(R.incoming, R.now, 0);
}

static void single(void)
{
	begin();
	rig_data(&R, 1, 1, RX_LAST_PACKET, "hello");
	CU_ASSERT_EQUAL(R.incomings, 1);
	serve("world");
	CU_ASSERT_EQUAL(rig_pull(&R), RX_DATA);
	CU_ASSERT(R.h.seq == 1 && R.h.serial == 1 && R.h.flags == RX_LAST_PACKET && R.len == 33);
	CU_ASSERT(!memcmp(R.out + 28, "world", 5));
	CU_ASSERT_EQUAL(rig_pull(&R), 0);
	rig_ack(&R, 1, 2, 1, RX_ACK_DELAY, "");
	CU_ASSERT_EQUAL(R.ep->ncalls, 0);
	CU_ASSERT_EQUAL(rig_pull(&R), 0);
	rig_stop(&R);
}

static void permutations(void)
{
	unsigned perm[5] = { 0, 1, 2, 3, 4 }, count = 0, c[5] = { 0 };
	unsigned i = 0;

	do {
		char got[6] = { 0 };
		unsigned have = 0;

		begin();
		for (unsigned k = 0; k < 5; k++) {
			char text[2] = { (char)('a' + perm[k]), 0 };
			bool order = true;

			for (unsigned m = 0; m < perm[k]; m++)
				order &= have >> m & 1;
			rig_data(&R, 1, perm[k] + 1, perm[k] == 4 ? RX_LAST_PACKET : 0, text);
			have |= 1u << perm[k];
			if (!order)
				CU_ASSERT(rig_acked(&R, RX_ACK_OUT_OF_SEQUENCE));
			while (rig_pull(&R))
				CU_ASSERT(R.h.type == RX_ACK);
		}
		CU_ASSERT_EQUAL(R.incomings, 1);
		rx_core_call_attach(R.incoming, R.now);
		CU_ASSERT_EQUAL(rx_core_call_read(R.incoming, R.now, got, 6), 5);
		CU_ASSERT(!strcmp(got, "abcde"));
		rx_core_call_end(R.incoming, R.now, 5);
		rig_stop(&R);
		count++;
		/* Heap's algorithm, one step. */
		for (; i < 5 && c[i] >= i; i++)
			c[i] = 0;
		if (i < 5) {
			unsigned j = i & 1 ? c[i] : 0, t = perm[j];

			perm[j] = perm[i];
			perm[i] = t;
			c[i]++;
			i = 0;
		} else {
			break;
		}
	} while (1);
	CU_ASSERT_EQUAL(count, 120);
}

static void duplicates(void)
{
	char buf[8];

	begin();
	rig_data(&R, 1, 1, 0, "a");
	rig_data(&R, 1, 1, 0, "a"); /* queued */
	CU_ASSERT(rig_acked(&R, RX_ACK_DUPLICATE) && R.ack.serial == 2 && R.ack.first == 1 && R.ack.n == 1);
	rx_core_call_attach(R.incoming, R.now);
	rx_core_call_read(R.incoming, R.now, buf, 1);
	rig_data(&R, 1, 1, 0, "a"); /* consumed */
	CU_ASSERT(rig_acked(&R, RX_ACK_DUPLICATE) && R.ack.serial == 3 && R.ack.first == 2 && R.ack.n == 0);
	rx_core_call_end(R.incoming, R.now, 1);
	rig_stop(&R);
}

static void beyond(void)
{
	begin();
	rig_data(&R, 1, 17, 0, "z"); /* initial window 16 */
	CU_ASSERT(rig_acked(&R, RX_ACK_EXCEEDS_WINDOW) && R.ack.rwind == 16 && R.ack.n == 0);
	rig_data(&R, 1, 16, 0, "y");
	CU_ASSERT(rig_acked(&R, RX_ACK_OUT_OF_SEQUENCE) && R.ack.n == 16);
	rig_stop(&R);
}

static void ack_rate(void)
{
	uint64_t began;

	begin();
	rig_data(&R, 1, 1, 0, "a");
	CU_ASSERT_EQUAL(rig_pull(&R), 0);
	rig_data(&R, 1, 2, 0, "b");
	CU_ASSERT(rig_acked(&R, RX_ACK_IDLE) && R.ack.serial == 2);
	rig_data(&R, 1, 3, 0, "c");
	CU_ASSERT_EQUAL(rig_pull(&R), 0);
	began = R.now;
	rig_wait(&R, 1000000);
	CU_ASSERT(rig_acked(&R, RX_ACK_DELAY) && R.ack.serial == 0);
	CU_ASSERT_EQUAL(R.now - began, 100000);
	rig_data(&R, 1, 4, RX_REQUEST_ACK, "d");
	CU_ASSERT(rig_acked(&R, RX_ACK_REQUESTED) && R.ack.serial == 4);
	rx_core_call_attach(R.incoming, R.now);
	rx_core_call_end(R.incoming, R.now, 1);
	rig_stop(&R);
}

static void last_rules(void)
{
	for (unsigned k = 0; k < 2; k++) {
		begin();
		rig_data(&R, 1, 2, RX_LAST_PACKET, "b");
		rig_pull(&R);
		rig_data(&R, 1, k ? 3 : 4, k ? RX_LAST_PACKET : 0, "x");
		CU_ASSERT_EQUAL(rig_pull(&R), RX_ABORT);
		CU_ASSERT_EQUAL(rig_abort_code(&R), RX_PROTOCOL_ERROR);
		rig_stop(&R);
	}
}

static void impossible_acks(void)
{
	static const struct {
		uint32_t first;
		const char *bits;
		bool dies;
	} t[] = { { 0, "", true }, { 3, "", true }, { 2, "1", true }, { 2, "000", false }, { 1, "", false } };

	for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
		begin();
		rig_data(&R, 1, 1, RX_LAST_PACKET, "q");
		serve("reply");
		rig_pull(&R);
		rig_ack(&R, 1, t[i].first, 1, RX_ACK_DELAY, t[i].bits);
		CU_ASSERT_EQUAL(rig_pull(&R) == RX_ABORT, t[i].dies);
		if (t[i].dies)
			CU_ASSERT_EQUAL(rig_abort_code(&R), RX_PROTOCOL_ERROR);
		rig_stop(&R);
	}
}

/* A stream of three packets from the server, all sent. */
static void three_out(void)
{
	static char big[3 * 1416 - 10];

	begin();
	rig_data(&R, 1, 1, RX_LAST_PACKET, "q");
	rx_core_call_attach(R.incoming, R.now);
	rx_core_call_read(R.incoming, R.now, big, 1);
	CU_ASSERT_EQUAL(rx_core_call_write(R.incoming, R.now, big, sizeof big), sizeof big);
	rx_core_call_end(R.incoming, R.now, 0);
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT(rig_pull(&R) == RX_DATA && R.h.seq == i + 1);
	CU_ASSERT(!rig_pull(&R));
}

static void stale(void)
{
	struct rx_call *call;
	uint64_t heard;

	three_out();
	rig_ack(&R, 1, 2, 2, RX_ACK_DELAY, "");
	call = R.ep->conns[0] ? NULL : NULL;
	for (unsigned i = 0; i < RX_CONN_BUCKETS && !call; i++)
		if (R.ep->conns[i])
			call = R.ep->conns[i]->channel[0].call;
	CU_ASSERT_FATAL(call != NULL);
	heard = call->heard_us;
	R.now += 1000;
	rig_ack(&R, 1, 1, 3, RX_ACK_DELAY, ""); /* RX-14: first goes back */
	CU_ASSERT_EQUAL(call->heard_us, heard);
	CU_ASSERT(!rig_pull(&R));
	rig_ack(&R, 1, 1, 3, RX_ACK_PING, "");
	CU_ASSERT(rig_acked(&R, RX_ACK_PING_RESPONSE) && R.ack.serial == R.serial);
	CU_ASSERT_EQUAL(call->heard_us, heard);
	rig_ack(&R, 1, 2, 1, RX_ACK_DELAY, "1"); /* RX-15: previous goes back */
	CU_ASSERT_EQUAL(call->tx_flight, 2);
	rig_ack(&R, 1, 2, 0x1000, RX_ACK_DELAY, "1"); /* a serial */
	CU_ASSERT_EQUAL(call->tx_flight, 1);
	rig_ack(&R, 1, 2, 3, RX_ACK_DELAY, "0"); /* RX-17: it reneges */
	CU_ASSERT(rig_pull(&R) == RX_DATA && R.h.seq == 2 && (R.h.flags & RX_REQUEST_ACK));
	rig_stop(&R);
}

static void retransmission(void)
{
	uint64_t began, gap[4];
	uint32_t serial;

	begin();
	rig_data(&R, 1, 1, RX_LAST_PACKET, "q");
	serve("reply");
	rig_pull(&R);
	serial = R.h.serial;
	for (unsigned i = 0; i < 4; i++) {
		began = R.now;
		do
			rig_wait(&R, 100000000);
		while (!rig_pull(&R) || R.h.type == RX_ACK);
		gap[i] = R.now - began;
		CU_ASSERT(R.h.type == RX_DATA && R.h.seq == 1 && (R.h.flags & RX_LAST_PACKET) && R.h.serial > serial);
		CU_ASSERT(!(R.h.flags & RX_REQUEST_ACK)); /* RX-36 */
		serial = R.h.serial;
	}
	CU_ASSERT(gap[0] >= 1000000 && gap[0] < 2000000); /* RX-31 */
	CU_ASSERT_EQUAL(gap[1], 2 * gap[0]);
	CU_ASSERT_EQUAL(gap[2], 4 * gap[0]);
	CU_ASSERT_EQUAL(gap[3], 8 * gap[0]);
	rig_ack(&R, 1, 1, 1, RX_ACK_DELAY, "1"); /* RX-37: soft only */
	CU_ASSERT_EQUAL(R.ep->ncalls, 0);
	rig_stop(&R);
}

static void unknown(void)
{
	static const uint8_t code[4] = { 0, 0, 0, 5 };

	begin();
	rig_send_h(&R, (struct rx_header){ .type = RX_DATA, .call = 1, .seq = 1, .service = 99 }, "x", 1);
	CU_ASSERT(rig_pull(&R) == RX_ABORT && rig_abort_code(&R) == RX_INVALID_OPERATION);
	CU_ASSERT(R.h.serial == 0 && !(R.h.flags & RX_CLIENT_INITIATED) && R.h.call == 1 && R.h.epoch == RIG_EPOCH);
	rig_send_h(&R,
		   (struct rx_header){ .type = RX_DATA, .call = 1, .seq = 1, .service = RIG_SERVICE, .security = 2 },
		   "x", 1);
	CU_ASSERT(rig_pull(&R) == RX_ABORT && rig_abort_code(&R) == RX_INVALID_OPERATION && R.h.security == 2);
	rig_send_h(&R, (struct rx_header){ .type = RX_ABORT, .call = 1, .service = 99 }, code, 4);
	CU_ASSERT(!rig_pull(&R));
	for (unsigned i = 0; i < 100; i++) /* RX-46 */
		rig_send_h(&R, (struct rx_header){ .type = RX_DATA, .call = 1, .seq = 1, .service = 99 }, "x", 1);
	for (unsigned n = 0;; n++)
		if (!rig_pull(&R)) {
			CU_ASSERT(n <= 11);
			break;
		}
	rig_stop(&R);
}

static void no_rerun(void)
{
	begin();
	rig_data(&R, 1, 1, RX_LAST_PACKET, "q");
	serve("reply");
	rig_pull(&R);
	rig_ack(&R, 1, 2, 1, RX_ACK_DELAY, "");
	rig_data(&R, 1, 1, RX_LAST_PACKET, "q");
	CU_ASSERT(rig_acked(&R, RX_ACK_DUPLICATE) && R.ack.first == 2);
	CU_ASSERT_EQUAL(R.incomings, 1);
	rig_ack(&R, 1, 2, 1, RX_ACK_PING, ""); /* RX-40, after the end */
	CU_ASSERT(rig_acked(&R, RX_ACK_PING_RESPONSE));
	rig_data(&R, 2, 1, RX_LAST_PACKET, "q");
	CU_ASSERT_EQUAL(R.incomings, 2);
	serve("two");
	rig_pull(&R);
	rig_data(&R, 1, 1, RX_LAST_PACKET, "q"); /* older still */
	CU_ASSERT(!rig_pull(&R));
	rig_stop(&R);
}

static void future(void)
{
	static const uint8_t code[4] = { 0, 0, 0, 9 };

	begin();
	rig_data(&R, 1, 1, 0, "q");
	rig_pull(&R);
	rig_ack(&R, 5, 1, 0, RX_ACK_PING, "");
	rig_send_h(&R, (struct rx_header){ .type = RX_ABORT, .call = 5 }, code, 4);
	CU_ASSERT(!rig_pull(&R));
	CU_ASSERT(R.incoming->state == RX_CS_PRECALL && R.incoming->number == 1);
	rig_data(&R, 2, 1, 0, "q"); /* the handler has the old one: BUSY, and it is told */
	CU_ASSERT(rig_pull(&R) == RX_BUSY && R.h.call == 2);
	CU_ASSERT(R.incoming->state == RX_CS_ERROR && R.incoming->error == RX_CALL_DEAD);
	rx_core_call_end(R.incoming, R.now, 0);
	rig_data(&R, 2, 1, 0, "q");
	CU_ASSERT_EQUAL(R.incomings, 2);
	rx_core_call_end(R.incoming, R.now, 1);
	rig_stop(&R);
}

static void aborts(void)
{
	static const uint8_t code[4] = { 0, 0, 0, 0 };

	begin();
	rig_data(&R, 3, 1, 0, "q");
	rig_send_h(&R, (struct rx_header){ .type = RX_ABORT, .call = 2 }, code, 4);
	rig_send_h(&R, (struct rx_header){ .type = RX_ABORT, .call = 4 }, code, 4);
	for (size_t n = 0; n < 4; n++)
		rig_send_h(&R, (struct rx_header){ .type = RX_ABORT, .call = 3 }, code, n);
	CU_ASSERT_EQUAL(R.incoming->error, 0);
	rig_send_h(&R, (struct rx_header){ .type = RX_ABORT, .call = 3 }, code, 4);
	CU_ASSERT_EQUAL(R.incoming->error, RX_PROTOCOL_ERROR);
	CU_ASSERT(!rig_pull(&R));
	rig_data(&R, 3, 2, 0, "r"); /* the call is in error */
	CU_ASSERT_EQUAL(rig_pull(&R), RX_ABORT);
	rx_core_call_end(R.incoming, R.now, 0);
	rig_stop(&R);
}

static void ackall(void)
{
	three_out();
	rig_send_h(&R, (struct rx_header){ .type = RX_ACKALL, .call = 1 }, NULL, 0);
	CU_ASSERT_EQUAL(R.ep->ncalls, 0);
	rig_send_h(&R, (struct rx_header){ .type = RX_ACKALL, .call = 1 }, NULL, 0);
	CU_ASSERT(!rig_pull(&R));
	rig_data(&R, 2, 1, 0, "q");
	rig_send_h(&R, (struct rx_header){ .type = RX_ACKALL, .call = 2 }, NULL, 0);
	CU_ASSERT_EQUAL(R.incoming->state, RX_CS_PRECALL);
	rx_core_call_end(R.incoming, R.now, 1);
	rig_stop(&R);
}

static void evil_trailer(void)
{
	static const uint32_t evil[] = { 0, 1, 27, 0xffffffff };
	static char big[100000];

	for (unsigned i = 0; i < 4; i++) {
		uint8_t body[RX_ACK_MAX];
		struct rx_ack a = { .first = 5,
				    .previous = 1,
				    .reason = RX_ACK_IDLE,
				    .max_mtu = evil[i],
				    .if_mtu = evil[i],
				    .rwind = evil[i],
				    .jumbo = evil[i] };

		begin();
		rig_data(&R, 1, 1, RX_LAST_PACKET, "q");
		rx_core_call_attach(R.incoming, R.now);
		rx_core_call_write(R.incoming, R.now, big, sizeof big);
		for (unsigned k = 1; k <= 4; k++)
			CU_ASSERT(rig_pull(&R) == RX_DATA && R.h.seq == k);
		CU_ASSERT(!rig_pull(&R)); /* the initial congestion window */
		rig_send_h(&R, (struct rx_header){ .type = RX_ACK, .call = 1 }, body, rx_ack_build(&a, body));
		CU_ASSERT_EQUAL(rig_pull(&R), RX_DATA);
		rx_core_call_end(R.incoming, R.now, 1);
		rig_stop(&R);
	}
}

static void bad_packets(void)
{
	begin();
	rig_data(&R, 0, 1, 0, "q");
	rig_data(&R, 1, 0, 0, "q");
	rig_data(&R, 1, 33, 0, "q");
	rig_ack(&R, 1, 1, 0, RX_ACK_PING, "");
	R.role = 0; /* not client-initiated, unknown */
	rig_data(&R, 1, 1, 0, "q");
	CU_ASSERT(!rig_pull(&R));
	CU_ASSERT_EQUAL(R.ep->nconns, 0);
	rig_stop(&R);
}

static void wrap(void)
{
	begin();
	R.serial = 0xfffffff0u;
	for (uint32_t n = 0xfffffffau; n != 5; n++) {
		if (!n)
			continue;
		rig_data(&R, n, 1, RX_LAST_PACKET, "q");
		serve("a");
		CU_ASSERT(rig_pull(&R) == RX_DATA && R.h.call == n);
		rig_ack(&R, n, 2, 1, RX_ACK_DELAY, "");
	}
	CU_ASSERT_EQUAL(R.incomings, 10);
	rig_stop(&R);
}

static void flood(void)
{
	begin();
	for (uint32_t i = 0; i < 100000; i++) {
		R.peer = rx_addr_ipv4(0x0b000000 + i, 7001);
		R.cid = i * 4;
		rig_data(&R, 1, 2, 0, "q"); /* never complete, so no handler */
		while (rig_pull(&R))
			;
	}
	CU_ASSERT(R.ep->nconns <= 1024 && R.ep->npeers <= 1024 && R.ep->pool.nused <= 1024);
	rig_stop(&R);
}

/* A call whose whole request has been sent, to a server that is played from here on. */
static struct rx_call *sent_request(const char *text, size_t len)
{
	struct rx_conn *conn;
	struct rx_call *call;

	begin();
	conn = rx_core_conn_new(R.ep, R.now, &R.peer, RIG_SERVICE, R.null_sec, NULL);
	call = rx_core_call_new(conn, R.now);
	rx_core_call_write(call, R.now, text, len);
	rx_core_call_flush(call, R.now);
	while (rig_pull(&R))
		;
	R.role = 0;
	R.epoch = conn->epoch;
	R.cid = conn->cid;
	return call;
}

/* A server that began to reply before it had read everything acknowledges no more of the
 * request; that it answers PINGs must do. */
static void unread_request(void)
{
	static const char text[4000];
	struct rx_call *call = sent_request(text, sizeof text);
	struct rx_conn *conn = call->conn;
	unsigned pings = 0;

	rig_data(&R, 1, 1, 0, "early");
	for (uint64_t end = R.now + 200000000; R.now < end && call->state == RX_CS_RECV;) {
		rig_wait(&R, 1000000);
		while (rig_pull(&R)) {
			uint8_t body[RX_ACK_MAX];
			struct rx_ack a = { .first = 2, .previous = 3, .reason = RX_ACK_PING_RESPONSE, .rwind = 16 };

			if (R.h.type != RX_ACK || R.ack.reason != RX_ACK_PING)
				continue;
			pings++;
			a.serial = R.h.serial;
			rig_send_h(&R, (struct rx_header){ .type = RX_ACK, .call = 1, .service = RIG_SERVICE }, body,
				   rx_ack_build(&a, body));
		}
	}
	CU_ASSERT(call->state == RX_CS_RECV && pings > 10);
	rx_core_call_end(call, R.now, 1);
	rx_core_conn_release(conn, R.now);
	rig_stop(&R);
}

/* ... nor do more packets of each help, or handlers that wait for the rest. */
static void flood_of_calls(void)
{
	begin();
	for (uint32_t i = 0; i < 20000; i++) {
		R.peer = rx_addr_ipv4(0x0b000000 + i, 7001);
		R.cid = i * 4;
		rig_data(&R, 1, 1, RX_LAST_PACKET, "q");
		if (R.incoming)
			serve("r");
		R.incoming = NULL;
		rig_data(&R, 2, 2, 0, "q");
		while (rig_pull(&R))
			;
	}
	CU_ASSERT(R.ep->nconns <= 1024 + 4096);
	rig_stop(&R);
}

static void flood_of_requests(void)
{
	static struct rx_call *calls[1100];
	unsigned n = 0, ended = 0;

	begin();
	for (uint32_t i = 0; i < 20000; i++) {
		R.peer = rx_addr_ipv4(0x0b000000 + i, 7001);
		R.cid = i * 4;
		rig_data(&R, 1, 1, 0, "q");
		if (R.incoming && n < 1100) {
			rx_core_call_attach(R.incoming, R.now);
			calls[n++] = R.incoming;
		}
		R.incoming = NULL;
		while (rig_pull(&R))
			;
		for (unsigned k = 0; k < n; k++) {
			if (calls[k]->state != RX_CS_ERROR)
				continue;
			rx_core_call_end(calls[k], R.now, 0);
			calls[k--] = calls[--n];
			ended++;
		}
		if (R.ep->nconns > 1024)
			break;
	}
	CU_ASSERT(R.ep->nconns <= 1024 && ended > 9000);
	while (n)
		rx_core_call_end(calls[--n], R.now, 1);
	rig_stop(&R);
}

/* One connection has one security class for life. */
static void other_index(void)
{
	struct rx_header h = { .type = RX_DATA, .call = 1, .seq = 1, .flags = RX_LAST_PACKET, .service = RIG_SERVICE };
	struct rx_security *sec[5] = { 0 };
	struct toysec toy;

	begin();
	toy_init(&toy, 1);
	sec[0] = R.null_sec;
	sec[2] = &toy.base;
	rx_endpoint_service(R.ep, RIG_SERVICE + 1, sec, NULL);
	h.service = RIG_SERVICE + 1;
	h.security = 2;
	rig_send_h(&R, h, "12345678", 8);
	CU_ASSERT_EQUAL(rig_pull(&R), RX_CHALLENGE);
	h.security = 0;
	rig_send_h(&R, h, "12345678", 8);
	CU_ASSERT(R.incomings == 0 && R.ep->nconns == 1);
	rig_stop(&R);
}

/* A client signs for one server at a sane rate, whoever asks. */
static void challenge_rate(void)
{
	unsigned responses = 0;
	struct rx_conn *conn;
	struct rx_call *call;
	struct toysec toy;

	begin();
	toy_init(&toy, 1);
	conn = rx_core_conn_new(R.ep, R.now, &R.peer, RIG_SERVICE, &toy.base, NULL);
	call = rx_core_call_new(conn, R.now);
	rx_core_call_write(call, R.now, "x", 1);
	R.role = 0;
	R.epoch = conn->epoch;
	R.cid = conn->cid;
	for (unsigned i = 0; i < 1000; i++) {
		rig_send_h(&R, (struct rx_header){ .type = RX_CHALLENGE, .security = 2, .service = RIG_SERVICE },
			   "nonc", 4);
		while (rig_pull(&R))
			responses += R.h.type == RX_RESPONSE;
		R.now += 1000;
	}
	CU_ASSERT(responses >= 5 && responses <= 20);
	rx_core_call_end(call, R.now, 1);
	rx_core_conn_release(conn, R.now);
	rig_stop(&R);
}

/* Who has proven nothing gets no room for more than ordinary packets. */
static void oversize(void)
{
	static uint8_t body[8000];
	struct rx_header h = { .type = RX_DATA, .call = 1, .seq = 2, .service = RIG_SERVICE };

	begin();
	rig_send_h(&R, h, body, sizeof body);
	CU_ASSERT(R.ep->pool.nused == 0 && R.ep->count.s.bogus == 1);
	rig_send_h(&R, h, body, 1472);
	CU_ASSERT_EQUAL(R.ep->pool.nused, 1);
	rig_stop(&R);
}

static void answer(uint32_t first, uint32_t previous, uint8_t reason, uint32_t serial)
{
	uint8_t body[RX_ACK_MAX];
	struct rx_ack a = { .first = first, .previous = previous, .reason = reason, .serial = serial, .rwind = 16 };

	rig_send_h(&R, (struct rx_header){ .type = RX_ACK, .call = 1, .service = RIG_SERVICE }, body,
		   rx_ack_build(&a, body));
}

/* A server that was started again takes the middle of a request for its beginning, and acknowledges
 * each repetition of that: a sign of life, but the call can never end. */
static void forgotten(void)
{
	static const char text[4000];
	struct rx_call *call = sent_request(text, sizeof text);
	struct rx_conn *conn = call->conn;
	uint32_t early = R.h.serial;

	answer(2, 1, RX_ACK_REQUESTED, early);
	answer(1, 3, RX_ACK_DELAY, early); /* late: it was sent before the other one */
	CU_ASSERT(call->state == RX_CS_RECV);
	do
		rig_wait(&R, 2000000);
	while (rig_pull(&R) != RX_DATA);
	answer(1, 3, RX_ACK_DUPLICATE, R.h.serial);
	CU_ASSERT(call->state == RX_CS_ERROR && call->error == RX_CALL_DEAD);
	CU_ASSERT(rig_pull(&R) == RX_ABORT);
	rx_core_call_end(call, R.now, 0);
	rx_core_conn_release(conn, R.now);
	rig_stop(&R);
}

/* ... or it has the first half, and not the second, which its predecessor had seen too. */
static void half_forgotten(void)
{
	static const char text[2000];
	struct rx_call *call = sent_request(text, sizeof text);
	struct rx_conn *conn = call->conn;

	rig_ack(&R, 1, 1, 2, RX_ACK_DELAY, "11");
	do
		rig_wait(&R, 20000000);
	while (rig_pull(&R) != RX_ACK);
	CU_ASSERT(R.ack.reason == RX_ACK_PING);
	answer(2, 1, RX_ACK_PING_RESPONSE, R.h.serial);
	CU_ASSERT(rig_pull(&R) == RX_DATA && R.h.seq == 2);
	answer(3, 2, RX_ACK_REQUESTED, R.h.serial);
	CU_ASSERT(call->state == RX_CS_RECV && !rig_pull(&R));
	rx_core_call_end(call, R.now, 1);
	rx_core_conn_release(conn, R.now);
	rig_stop(&R);
}

static void jumbogram(void)
{
	static uint8_t body[2 * 1416 + 3];
	char buf[4000];

	begin();
	body[1412] = RX_JUMBO_PACKET;
	body[1416 + 1412] = RX_LAST_PACKET;
	rig_send_h(&R,
		   (struct rx_header){
			   .type = RX_DATA, .call = 1, .seq = 1, .flags = RX_JUMBO_PACKET, .service = RIG_SERVICE },
		   body, sizeof body);
	rx_core_call_attach(R.incoming, R.now);
	CU_ASSERT_EQUAL(rx_core_call_read(R.incoming, R.now, buf, sizeof buf), 2 * 1412 + 3);
	CU_ASSERT(R.incoming->rx_eof);
	rx_core_call_end(R.incoming, R.now, 1);
	rig_stop(&R);
}

/* ICMP from anybody counts only if it quotes a packet of ours, as long as the peer is heard. */
static void unreachable(void)
{
	struct rx_conn *conn;
	struct rx_call *call;
	uint8_t quoted[RX_HEADER_SIZE];

	begin();
	conn = rx_core_conn_new(R.ep, R.now, &R.peer, RIG_SERVICE, R.null_sec, NULL);
	call = rx_core_call_new(conn, R.now);
	rx_core_call_write(call, R.now, "x", 1);
	rx_core_call_flush(call, R.now);
	CU_ASSERT(rig_pull(&R) == RX_DATA);
	memcpy(quoted, R.out, sizeof quoted);
	R.role = 0;
	R.epoch = conn->epoch;
	R.cid = conn->cid;
	rig_ack(&R, 1, 1, 1, RX_ACK_PING, "");
	rx_endpoint_unreachable(R.ep, R.now, &R.peer, NULL, 0);
	rx_endpoint_unreachable(R.ep, R.now, &R.peer, quoted, sizeof quoted - 1);
	quoted[7] ^= 4; /* another cid */
	rx_endpoint_unreachable(R.ep, R.now, &R.peer, quoted, sizeof quoted);
	quoted[7] ^= 4;
	quoted[11]++; /* another call */
	rx_endpoint_unreachable(R.ep, R.now, &R.peer, quoted, sizeof quoted);
	quoted[11]--;
	CU_ASSERT(call->state == RX_CS_RECV);
	rx_endpoint_unreachable(R.ep, R.now, &R.peer, quoted, sizeof quoted);
	CU_ASSERT(call->state == RX_CS_ERROR && call->error == RX_CALL_DEAD);
	rx_core_call_end(call, R.now, 0);
	rx_core_conn_release(conn, R.now);
	rig_stop(&R);
}

UNIT_MAIN("call", { "ICMP that quotes our packets, and other", unreachable },
	  { "RX-18 single packet call: exact packets", single },
	  { "RX-19 every permutation of 5 packets", permutations },
	  { "RX-20 DUPLICATE consumed and queued", duplicates }, { "RX-21 EXCEEDS_WINDOW", beyond },
	  { "RX-22 two packets IDLE, one DELAY at 100 ms", ack_rate },
	  { "RX-26 second LAST, DATA after LAST: abort -5", last_rules },
	  { "RX-13 firstPacket 0, beyond tnext, N beyond tnext", impossible_acks },
	  { "RX-14/15/17 stale ACKs, previousPacket, reneging", stale },
	  { "RX-09/31/36/37 retransmission of a reply's LAST", retransmission },
	  { "RX-43/46 unknown service: raw -2, throttled; ABORT never answered", unknown },
	  { "RX-48 an old call never runs again", no_rerun }, { "RX-49 future call numbers; BUSY", future },
	  { "RX-45 aborts with wrong number, short body, code 0", aborts }, { "RX-56 ACKALL", ackall },
	  { "RX-16 evil trailers: progress", evil_trailer }, { "bad packets make no state", bad_packets },
	  { "RX-59 serial and call number wrap", wrap }, { "RX-60 flood of spoofed connections is bounded", flood },
	  { "... also of calls that are answered", flood_of_calls },
	  { "... and of requests that never end", flood_of_requests },
	  { "SEC-18 another security index on a live connection", other_index },
	  { "SEC-20 a flood of challenges", challenge_rate },
	  { "big packets only from peers that have proven themselves", oversize },
	  { "a server that answers PINGs lives, whatever else its ACKs say", unread_request },
	  { "a server that has forgotten half of a request is not waited for", forgotten },
	  { "... nor for one that has forgotten the other half", half_forgotten },
	  { "RX-53 jumbogram delivered", jumbogram })
