/* Two endpoints over a simulated network, by the catalogue's numbers. */
#include "tests/sim.h"
#include "tests/toysec.h"
#include "tests/unit.h"

enum { SERVICE = 147 };

static struct sim S;
static struct rx_security *null_sec;

static void start(uint64_t seed, const struct sim_link *link)
{
	sim_init(&S, seed, link);
	null_sec = rx_null_new();
	sim_node(&S, NULL);
	sim_node(&S, NULL);
	sim_serve(&S.node[1], SERVICE, null_sec);
}

static void stop(void)
{
	sim_end(&S);
	rx_security_put(null_sec);
}

static bool transfer(struct rx_conn *conn, uint32_t req, uint32_t reply, uint64_t limit_us)
{
	struct sim_call *c = sim_call(conn, req, reply);

	if (!c || !sim_finish(c, limit_us))
		return false;
	return !c->result && !c->bad && S.node[1].last && !S.node[1].last->bad;
}

static void simple(void)
{
	struct rx_conn *conn;

	start(1, &sim_perfect);
	conn = sim_conn(&S.node[0], &S.node[1], SERVICE, null_sec);
	CU_ASSERT(transfer(conn, 8, 4, 1000000));
	CU_ASSERT(transfer(conn, 100000, 100000, 10000000));
	stop();
}

/* RX-34 */
static void lossy(unsigned loss, uint32_t bytes, uint64_t seed)
{
	struct sim_link link = {
		.delay_us = 2000, .jitter_us = 500, .reorder_us = 3000, .loss = loss, .reorder = 100, .duplicate = 100
	};
	struct rx_conn *conn;
	uint64_t began;

	start(seed, &link);
	began = S.now;
	conn = sim_conn(&S.node[0], &S.node[1], SERVICE, null_sec);
	CU_ASSERT(transfer(conn, bytes, bytes, 36000000000));
	printf("loss %u: %.1f s virtual, %lu packets, rto %u fast %u tlp %u\n", loss, (double)(S.now - began) / 1e6,
	       (unsigned long)S.npackets, S.node[0].ep->count.timeouts + S.node[1].ep->count.timeouts,
	       S.node[0].ep->count.fast_resends + S.node[1].ep->count.fast_resends,
	       S.node[0].ep->count.probes + S.node[1].ep->count.probes);
	stop();
}

static void loss_all(void)
{
	lossy(10, 2000000, 1);
	lossy(50, 2000000, 2);
	lossy(200, 500000, 3);
	lossy(500, 100000, 4);
}

static struct rx_conn *conn_to_server(void)
{
	return sim_conn(&S.node[0], &S.node[1], SERVICE, null_sec);
}

static void channels(void)
{
	struct rx_conn *conn;
	struct sim_call *c[4];

	start(3, &sim_perfect);
	conn = conn_to_server();
	for (unsigned i = 0; i < 4; i++) {
		c[i] = sim_call(conn, 5000, 5000);
		CU_ASSERT_FATAL(c[i] != NULL);
		CU_ASSERT(c[i]->call->channel == i && c[i]->call->number == 1);
	}
	CU_ASSERT(sim_call(conn, 8, 8) == NULL);
	CU_ASSERT(!conn->error);
	for (unsigned i = 0; i < 4; i++)
		CU_ASSERT(sim_finish(c[i], 1000000) && !c[i]->result && !c[i]->bad);
	CU_ASSERT_EQUAL(S.node[0].channel_free, 4);
	for (unsigned n = 2; n < 5; n++) {
		struct sim_call *again = sim_call(conn, 8, 8);

		CU_ASSERT(again->call->channel == 0 && again->call->number == n);
		sim_finish(again, 1000000);
	}
	CU_ASSERT_EQUAL(conn->channel[1].number, 1);
	stop();
}

static void cids(void)
{
	uint32_t last = 0;

	start(4, &sim_perfect);
	S.node[0].ep->next_cid = 0xfffffff0u;
	for (unsigned i = 0; i < 1000000; i++) {
		struct rx_conn *conn = conn_to_server();

		if ((conn->cid & 3) || (i && conn->cid - last != 4))
			CU_FAIL("cid");
		last = conn->cid;
		rx_core_conn_release(conn, S.now);
	}
	stop();
}

static uint32_t serials[2];
static bool serial_ok;

static bool watch_serials(struct sim *sim, struct sim_node *from, uint8_t *pkt, size_t len)
{
	unsigned i = (unsigned)(from - sim->node);

	(void)len;
	serial_ok &= rx_get32(pkt + 16) == ++serials[i];
	return true;
}

static void serial_numbers(void)
{
	struct sim_link link = { .delay_us = 1000, .jitter_us = 300, .loss = 50 };
	struct sim_call *c[3];
	struct rx_conn *conn;

	start(5, &link);
	serials[0] = serials[1] = 0;
	serial_ok = true;
	S.filter = watch_serials;
	conn = conn_to_server();
	for (unsigned i = 0; i < 3; i++)
		c[i] = sim_call(conn, 50000, 50000);
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT(sim_finish(c[i], 60000000));
	CU_ASSERT(serial_ok && serials[0] > 100);
	stop();
}

static unsigned sent[RX_PACKET_TYPES], request_on_last;

static bool count_types(struct sim *sim, struct sim_node *from, uint8_t *pkt, size_t len)
{
	(void)sim;
	(void)from;
	(void)len;
	sent[pkt[20]]++;
	if (pkt[20] == RX_DATA &&
	    (pkt[21] & (RX_CLIENT_INITIATED | RX_LAST_PACKET | RX_REQUEST_ACK)) == (RX_LAST_PACKET | RX_REQUEST_ACK))
		request_on_last++;
	return true;
}

/* Once the round-trip time is known, calls back to back cost two packets each. */
static void back_to_back(void)
{
	struct rx_conn *conn;

	start(6, &sim_perfect);
	conn = conn_to_server();
	for (unsigned i = 0; i < 10; i++)
		CU_ASSERT(transfer(conn, 8, 8, 1000000));
	memset(sent, 0, sizeof sent);
	S.filter = count_types;
	for (unsigned i = 0; i < 20; i++)
		CU_ASSERT(transfer(conn, 8, 8, 1000000));
	CU_ASSERT(sent[RX_DATA] == 40 && sent[RX_ACK] == 0);
	sim_run(&S, 1000000);
	CU_ASSERT_EQUAL(sent[RX_ACK], 1); /* the last reply's, when nothing follows */
	CU_ASSERT_EQUAL(S.node[1].ep->ncalls, 0);
	stop();
}

static void sizes(void)
{
	struct rx_conn *conn;

	start(7, &sim_perfect);
	conn = conn_to_server();
	CU_ASSERT(transfer(conn, 8, 0, 1000000));
	CU_ASSERT(transfer(conn, 9, 1, 1000000));
	for (uint32_t n = 1414; n < 1420; n++)
		CU_ASSERT(transfer(conn, n, 2 * n, 1000000));
	stop();
}

static void windows(void)
{
	static const unsigned w[] = { 1, 2, 16, 32, 255 };

	for (unsigned i = 0; i < 5; i++) {
		struct rx_endpoint_config cfg = { .window = w[i] };

		sim_init(&S, 8, &sim_perfect);
		null_sec = rx_null_new();
		sim_node(&S, &cfg);
		sim_node(&S, &cfg);
		sim_serve(&S.node[1], SERVICE, null_sec);
		memset(sent, 0, sizeof sent);
		request_on_last = 0;
		S.filter = count_types;
		CU_ASSERT(transfer(conn_to_server(), 300000, 300000, 3000000));
		CU_ASSERT_EQUAL(request_on_last, 0); /* RX-36 */
		CU_ASSERT_EQUAL(S.node[0].ep->count.s.data_resent + S.node[1].ep->count.s.data_resent, 0);
		stop();
	}
}

static void slow_reader(void)
{
	struct rx_conn *conn;
	struct sim_call *c;

	start(9, &sim_perfect);
	conn = conn_to_server();
	c = sim_call(conn, 8, 400000);
	c->read_step = 2000;
	c->read_every_us = 20000;
	CU_ASSERT(sim_finish(c, 10000000) && !c->bad && !c->result);
	CU_ASSERT_EQUAL(S.node[1].ep->count.s.data_resent, 0);
	CU_ASSERT(S.npackets < 1500);
	stop();
}

static uint64_t drop_until;

static bool drop_acks_from_client(struct sim *sim, struct sim_node *from, uint8_t *pkt, size_t len)
{
	(void)len;
	return !(from == &sim->node[0] && pkt[20] == RX_ACK && sim->now < drop_until);
}

/* RX-29: the ack that opens the window is lost; the sender's probe finds out. */
static void lost_reopen(void)
{
	struct sim_call *c;

	start(10, &sim_perfect);
	c = sim_call(conn_to_server(), 8, 300000);
	c->read_step = 1;
	c->read_every_us = 5000000;
	sim_run(&S, 4000000);
	S.filter = drop_acks_from_client;
	drop_until = S.now + 2500000;
	c->read_step = 0;
	CU_ASSERT(sim_finish(c, 12000000) && !c->bad && !c->result);
	stop();
}

static int drop_seq, dropped;

static bool drop_one(struct sim *sim, struct sim_node *from, uint8_t *pkt, size_t len)
{
	(void)sim;
	(void)from;
	(void)len;
	return !(pkt[20] == RX_DATA && !(pkt[21] & RX_CLIENT_INITIATED) && (int)rx_get32(pkt + 12) == drop_seq &&
		 !dropped++);
}

static void one_loss(void)
{
	struct rx_conn *conn;
	uint64_t began;

	start(11, &sim_perfect);
	conn = conn_to_server();
	CU_ASSERT(transfer(conn, 8, 100000, 1000000));
	for (drop_seq = 1; drop_seq <= 71; drop_seq += 7) {
		dropped = 0;
		S.filter = drop_one;
		began = S.now;
		CU_ASSERT(transfer(conn, 8, 100 * 1416, 1000000));
		CU_ASSERT(dropped == 2 && S.now - began < 60000); /* the lost one and once more */
	}
	CU_ASSERT_EQUAL(S.node[1].ep->count.timeouts, 0);
	CU_ASSERT(S.node[1].ep->count.fast_resends >= 10);
	drop_seq = 101; /* past the end of this reply's last full packet: nothing */
	drop_seq = 100;
	dropped = 0;
	began = S.now;
	CU_ASSERT(transfer(conn, 8, 100 * 1416, 2000000));
	CU_ASSERT(S.now - began < 500000);
	CU_ASSERT_EQUAL(S.node[1].ep->count.timeouts, 0);
	CU_ASSERT(S.node[1].ep->count.probes >= 1);
	stop();
}

static bool drop_acks(struct sim *sim, struct sim_node *from, uint8_t *pkt, size_t len)
{
	(void)from;
	(void)len;
	return pkt[20] != RX_ACK || sim_rand(sim) % 10 >= 3;
}

static void ack_loss(void)
{
	start(12, &sim_perfect);
	S.filter = drop_acks;
	CU_ASSERT(transfer(conn_to_server(), 1000000, 1000000, 20000000));
	stop();
}

static void keepalive(void)
{
	struct rx_endpoint_config cfg = { .dead_time_s = 12 };
	struct sim_call *c;
	uint64_t began;

	sim_init(&S, 13, &sim_perfect);
	null_sec = rx_null_new();
	sim_node(&S, &cfg);
	sim_node(&S, &cfg);
	sim_serve(&S.node[1], SERVICE, null_sec);
	S.node[1].think_us = 60000000;
	c = sim_call(conn_to_server(), 8, 8);
	CU_ASSERT(sim_finish(c, 100000000) && !c->result);
	CU_ASSERT(S.node[0].ep->count.pings_sent >= 28 && S.node[0].ep->count.pings_sent <= 32);
	c = sim_call(conn_to_server(), 8, 8);
	sim_run(&S, 5000000);
	S.node[1].dead = true;
	began = S.now;
	CU_ASSERT(sim_finish(c, 100000000));
	CU_ASSERT_EQUAL(c->result, RX_CALL_DEAD);
	CU_ASSERT(S.now - began >= 9000000 && S.now - began <= 13000000);
	stop();
}

static void hard_time(void)
{
	struct rx_conn *conn;
	struct sim_call *c;

	start(14, &sim_perfect);
	S.node[1].hang = true;
	conn = conn_to_server();
	conn->hard_us = 7000000;
	c = sim_call(conn, 8, 8);
	CU_ASSERT(sim_finish(c, 100000000) && c->result == RX_CALL_TIMEOUT);
	CU_ASSERT(c->finished - c->started <= 7010000);
	/* RX-42: that channel is avoided, the next takes its place. */
	CU_ASSERT_EQUAL(sim_call(conn, 8, 8)->call->channel, 1);
	stop();
}

static void conn_abort(void)
{
	struct rx_conn *conn;
	struct sim_call *c[4];

	start(15, &sim_perfect);
	S.node[1].hang = true;
	conn = conn_to_server();
	for (unsigned i = 0; i < 4; i++)
		c[i] = sim_call(conn, 8, 8);
	sim_run(&S, 100000);
	for (unsigned i = 0; i < RX_CONN_BUCKETS; i++)
		if (S.node[1].ep->conns[i])
			rx_conn_fail(S.node[1].ep->conns[i], 19270410, true);
	for (unsigned i = 0; i < 4; i++)
		CU_ASSERT(sim_finish(c[i], 100000) && c[i]->result == 19270410);
	CU_ASSERT(sim_call(conn, 8, 8) == NULL && conn->error == 19270410);
	stop();
}

static void handler_abort(void)
{
	struct sim_call *c;

	start(16, &sim_perfect);
	S.node[1].abort_code = 101;
	c = sim_call(conn_to_server(), 3000, 8);
	CU_ASSERT(sim_finish(c, 1000000) && c->result == 101);
	stop();
}

/* A link that loses ABORTs of the client, and what the server says once one was sent. */
static struct {
	uint64_t until;      /* ABORTs are lost before */
	bool quiet;          /* the server's packets are lost, too */
	unsigned sent, lost; /* ABORTs */
} aborts;

static bool lose_aborts(struct sim *sim, struct sim_node *from, uint8_t *pkt, size_t len)
{
	bool lose = sim->now < aborts.until;

	(void)len;
	if (from == &sim->node[1])
		return !(aborts.quiet && aborts.sent);
	if (pkt[20] != RX_ABORT)
		return true;
	aborts.sent++;
	aborts.lost += lose;
	return !lose;
}

/* A request of which the server still waits for more is given up. */
static struct sim_call *given_up(struct rx_conn *conn, uint64_t lost_for_us, bool quiet)
{
	struct sim_call *c = sim_call(conn, 100000000, 8);

	sim_run(&S, 500000);
	CU_ASSERT_EQUAL(c->call->state, RX_CS_SEND);
	memset(&aborts, 0, sizeof aborts);
	aborts.until = S.now + lost_for_us;
	aborts.quiet = quiet;
	S.filter = lose_aborts;
	sim_abort(c, RX_USER_ABORT);
	return S.node[1].last;
}

static void lost_abort(void)
{
	struct sim_call *served;

	/* What the server still says is answered. */
	start(26, &sim_perfect);
	served = given_up(conn_to_server(), 1000, false);
	CU_ASSERT(sim_finish(served, 50000) && served->result == RX_USER_ABORT && aborts.lost == 1);
	sim_run(&S, 60000000);
	CU_ASSERT(aborts.sent <= 6);
	stop();
	/* It says nothing any more: the ABORT is repeated. */
	start(27, &sim_perfect);
	served = given_up(conn_to_server(), 400000, true);
	CU_ASSERT(sim_finish(served, 2000000) && served->result == RX_USER_ABORT && aborts.lost >= 2);
	sim_run(&S, 60000000);
	CU_ASSERT(aborts.sent <= 6);
	stop();
}

static void lost_abort_released(void)
{
	struct sim_call *served;
	struct rx_conn *conn;

	start(28, &sim_perfect);
	conn = conn_to_server();
	served = given_up(conn, 400000, true);
	rx_core_conn_release(conn, S.now);
	CU_ASSERT(sim_finish(served, 2000000) && served->result == RX_USER_ABORT);
	sim_run(&S, 10000000);
	CU_ASSERT_EQUAL(S.node[0].ep->nconns, 0);
	stop();
}

/* Nothing is repeated where the server waits for nothing, nor once the channel is used. */
static void abort_once(void)
{
	struct rx_conn *conn;
	struct sim_call *c;

	start(29, &sim_perfect);
	S.node[1].hang = true;
	conn = conn_to_server();
	c = sim_call(conn, 8, 8);
	sim_run(&S, 500000);
	memset(&aborts, 0, sizeof aborts);
	S.filter = lose_aborts;
	sim_abort(c, RX_USER_ABORT);
	sim_run(&S, 60000000);
	CU_ASSERT_EQUAL(aborts.sent, 1);
	S.node[1].hang = false;
	for (unsigned i = 0; i < RX_CHANNELS; i++)
		given_up(conn, 0, false);
	for (unsigned i = 0; i < RX_CHANNELS; i++)
		CU_ASSERT_FATAL((c = sim_call(conn, 8, 8)) != NULL);
	sim_run(&S, 1000);
	aborts.sent = 0;
	CU_ASSERT(sim_finish(c, 5000000) && !c->result);
	CU_ASSERT_EQUAL(aborts.sent, 0);
	stop();
}

static void restart(void)
{
	struct rx_conn *conn;
	struct sim_call *c;

	start(17, &sim_perfect);
	S.node[1].read_step = 1000;
	S.node[1].read_every_us = 100000;
	conn = conn_to_server();
	c = sim_call(conn, 1000000, 8);
	sim_run(&S, 5000000);
	sim_restart(&S.node[1]);
	CU_ASSERT(sim_finish(c, 100000000) && c->result == RX_CALL_DEAD);
	S.node[1].read_step = 0;
	CU_ASSERT(transfer(conn_to_server(), 8, 8, 1000000));
	stop();
}

static uint64_t hash_of(uint64_t seed)
{
	struct sim_link link = {
		.delay_us = 500, .jitter_us = 5000, .reorder_us = 9000, .loss = 80, .reorder = 50, .duplicate = 20
	};
	struct sim_call *c[4];
	struct rx_conn *conn;
	uint64_t hash;

	start(seed, &link);
	conn = conn_to_server();
	for (unsigned i = 0; i < 4; i++)
		c[i] = sim_call(conn, 30000 * i + 8, 50000);
	for (unsigned i = 0; i < 4; i++)
		CU_ASSERT(sim_finish(c[i], 600000000) && !c[i]->result && !c[i]->bad);
	hash = S.hash;
	stop();
	return hash;
}

static void deterministic(void)
{
	CU_ASSERT_EQUAL(hash_of(64), hash_of(64));
	CU_ASSERT_NOT_EQUAL(hash_of(64), hash_of(65));
}

static void many_seeds(void)
{
	for (uint64_t seed = 1000; seed < 1200; seed++)
		hash_of(seed);
}

static void delay_50ms(void)
{
	struct sim_link link = { .delay_us = 25000 };
	struct rx_conn *conn;
	uint64_t began;

	start(18, &link);
	conn = conn_to_server();
	CU_ASSERT(transfer(conn, 8, 500000, 10000000));
	began = S.now;
	CU_ASSERT(transfer(conn, 8, 2000000, 10000000));
	/* Window 64: 90 KB per round trip of 50 ms. */
	CU_ASSERT((double)(S.now - began) < 1.25 * 50000 * 2000000 / (64 * 1416));
	stop();
}

static void renewal(void)
{
	struct rx_conn *conn;
	uint32_t cid;

	start(19, &sim_perfect);
	conn = conn_to_server();
	CU_ASSERT(transfer(conn, 8, 8, 1000000));
	cid = conn->cid;
	conn->serial = 0xf0000001u;
	CU_ASSERT(transfer(conn, 8, 8, 1000000));
	CU_ASSERT(conn->cid != cid && conn->serial < 10);
	stop();
}

static unsigned challenges, drop_responses;

static bool watch_challenges(struct sim *sim, struct sim_node *from, uint8_t *pkt, size_t len)
{
	(void)sim;
	(void)from;
	(void)len;
	challenges += pkt[20] == RX_CHALLENGE;
	if (pkt[20] == RX_RESPONSE && drop_responses) {
		drop_responses--;
		return false;
	}
	return true;
}

static void challenge(void)
{
	struct toysec right, wrong;
	struct rx_conn *conn;
	struct sim_call *c;
	uint64_t began;

	start(20, &sim_perfect);
	toy_init(&right, 0x5a);
	toy_init(&wrong, 0x11);
	sim_serve(&S.node[1], SERVICE + 1, &right.base);
	challenges = 0;
	drop_responses = 2;
	S.filter = watch_challenges;
	conn = sim_conn(&S.node[0], &S.node[1], SERVICE + 1, &right.base);
	began = S.now;
	CU_ASSERT(transfer(conn, 100000, 100000, 20000000));
	CU_ASSERT(challenges == 3 && S.now - began >= 4000000 && S.now - began < 5000000);
	/* RX-50: without a call under way nothing is signed; RX-47: nor is it believed. */
	memset(sent, 0, sizeof sent);
	S.filter = count_types;
	sim_run(&S, 1000000);
	rx_challenge_received(conn, (const uint8_t *)"abcd", 4);
	sim_run(&S, 1000000);
	CU_ASSERT_EQUAL(sent[RX_RESPONSE], 0);
	/* RX-51: the wrong key is told after a second. */
	conn = sim_conn(&S.node[0], &S.node[1], SERVICE + 1, &wrong.base);
	began = S.now;
	c = sim_call(conn, 8, 8);
	CU_ASSERT(sim_finish(c, 10000000) && c->result == RXKAD_SEALEDINCON);
	CU_ASSERT(S.now - began >= 1000000 && S.now - began < 1100000);
	stop();
}

static bool forge(struct sim *sim, struct sim_node *from, uint8_t *pkt, size_t len)
{
	(void)from;
	if (pkt[20] == RX_DATA && len > 40 && sim_rand(sim) % 10 == 0)
		pkt[len - 9] ^= 4;
	return true;
}

static void forged(void)
{
	struct toysec toy;

	start(21, &sim_perfect);
	toy_init(&toy, 0x33);
	sim_serve(&S.node[1], SERVICE + 1, &toy.base);
	S.filter = forge;
	CU_ASSERT(transfer(sim_conn(&S.node[0], &S.node[1], SERVICE + 1, &toy.base), 100000, 100000, 60000000));
	CU_ASSERT(S.node[0].ep->count.forged > 3 && S.node[1].ep->count.forged > 3);
	stop();
}

/* With every ACK of the server comes something that claims to be its reply. */
static bool add_forged_reply(struct sim *sim, struct sim_node *from, uint8_t *pkt, size_t len)
{
	uint8_t forgery[100];

	(void)len;
	if (from != &sim->node[1] || pkt[20] != RX_ACK)
		return true;
	memcpy(forgery, pkt, RX_HEADER_SIZE);
	memset(forgery + RX_HEADER_SIZE, 0, sizeof forgery - RX_HEADER_SIZE);
	rx_put32(forgery + 12, 1);
	forgery[20] = RX_DATA;
	forgery[21] = 0;
	rx_endpoint_input(sim->node[0].ep, sim->now, 1700000000, &from->addr, forgery, sizeof forgery);
	return true;
}

static void forged_reply(void)
{
	struct toysec toy;

	start(30, &sim_perfect);
	toy_init(&toy, 0x33);
	sim_serve(&S.node[1], SERVICE + 1, &toy.base);
	S.filter = add_forged_reply;
	CU_ASSERT(transfer(sim_conn(&S.node[0], &S.node[1], SERVICE + 1, &toy.base), 1000000, 8, 60000000));
	CU_ASSERT(S.node[0].ep->count.forged > 3);
	stop();
}

UNIT_MAIN("rx_sim", { "two endpoints exchange calls", simple },
	  { "RX-05/06 four channels, the fifth call waits; call numbers", channels },
	  { "RX-07 cid uniqueness over 10^6 connections", cids },
	  { "RX-08 serial +1 for every transmission of every channel", serial_numbers },
	  { "RX-18/23/24 calls back to back need no acks", back_to_back },
	  { "RX-25 empty and one-byte streams, packet boundaries", sizes },
	  { "RX-27/36 windows 1, 2, 16, 32, 255 both ways, nothing resent", windows },
	  { "RX-28 slow reader: window closes, no loss, no busy loop", slow_reader },
	  { "RX-29 lost reopening ack is recovered by a probe", lost_reopen },
	  { "RX-33 single loss: fast retransmit; tail loss: probe; no RTO", one_loss },
	  { "RX-34 loss 1/5/20/50 %, reorder 10 %, duplicate 10 %: intact", loss_all },
	  { "RX-35 30 % of acks lost", ack_loss },
	  { "RX-38 keepalive through a silent 60 s handler; dead responder", keepalive },
	  { "RX-39/42 hard timeout -3; that channel is avoided", hard_time },
	  { "RX-44 connection abort fails all calls", conn_abort }, { "handler's code arrives", handler_abort },
	  { "a lost ABORT is said again until the server knows", lost_abort },
	  { "... also by a connection given back", lost_abort_released }, { "... and only then", abort_once },
	  { "RX-47 server restart mid-call", restart },
	  { "RX-47/50/51 challenge resent, oracle refused, wrong key", challenge },
	  { "damaged packets never take a true one's place", forged },
	  { "a forged reply does not count as one", forged_reply },
	  { "RX-59 worn-out connection renews itself", renewal },
	  { "RX-62 50 ms delay: window-limited rate", delay_50ms }, { "RX-64 same seed, same packets", deterministic },
	  { "200 seeds of a bad network", many_seeds })
