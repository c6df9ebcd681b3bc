/* rxkad against a real fileserver: captures of one client's work at each level are replayed
 * between our two ends. */
#include "rx/rxkad.h"
#include "tests/unit.h"

enum { FOREVER = 0x7fffffff };

struct end {
	const struct rx_security_ops *ops;
	void *state;
};

static struct end end_of(struct rx_security *sec, bool client, uint32_t epoch, uint32_t cid)
{
	struct end e = { .ops = sec->ops };

	CU_ASSERT_EQUAL_FATAL(e.ops->conn_new(sec, client, epoch, cid, &e.state, NULL), 0);
	return e;
}

/* Whether the client's end opens it. */
static bool opens(struct end *e, const struct rx_packet_ident *id, const uint8_t *payload, size_t len)
{
	uint8_t *copy = malloc(len + 1);
	size_t off, user_len;
	int code;

	memcpy(copy, payload, len);
	code = e->ops->open(e->state, id, copy, len, &off, &user_len, 0);
	free(copy);
	return code == 0 && off + user_len <= len;
}

/* One connection of ours at each end of the captured one: every DATA packet goes through
 * the client's session, and the real RESPONSE through a server with the service's key. */
struct replay {
	int level;
	struct rx_security *client, *service;
	uint32_t epoch, cid;
	struct end c, s;
	unsigned data, responses, bad;
};

static void replay_data(struct replay *r, const uint8_t *rx, size_t len)
{
	struct rx_packet_ident id = { .epoch = r->epoch,
				      .cid = rxkad_get32(rx + 4),
				      .call = rxkad_get32(rx + 8),
				      .seq = rxkad_get32(rx + 12),
				      .checksum = (uint16_t)(rx[24] << 8 | rx[25]),
				      .security_index = rx[23] };
	uint8_t flags = rx[21];
	size_t at = 28, piece;

	for (;;) {
		bool more = (flags & 0x20) && len - at > 1412 + 4; /* a jumbogram */

		piece = more ? 1412 : len - at;
		r->data++;
		r->bad += !opens(&r->c, &id, rx + at, piece);
		if (!more)
			return;
		at += piece + 4;
		flags = rx[at - 4];
		id.checksum = (uint16_t)(rx[at - 2] << 8 | rx[at - 1]);
		id.seq++;
	}
}

static void replay_response(struct replay *r, const uint8_t *body, size_t len, int64_t wall_s)
{
	struct rx_peer_identity who;
	uint32_t calls[4];

	r->responses++;
	CU_ASSERT_EQUAL(r->s.ops->check_response(r->s.state, body, len, calls, wall_s), 0);
	r->s.ops->identity(r->s.state, &who);
	CU_ASSERT_STRING_EQUAL(who.name, "alice");
	CU_ASSERT_EQUAL(who.level, r->level);
}

static void replay_packet(struct replay *r, const uint8_t *rx, size_t len, int64_t wall_s)
{
	uint8_t challenge[16];

	if (len < 28 || rx[23] != RX_SECIDX_RXKAD)
		return;
	if (!r->c.ops) {
		r->epoch = rxkad_get32(rx);
		r->cid = rxkad_get32(rx + 4) & ~3u;
		r->c = end_of(r->client, true, r->epoch, r->cid);
		r->s = end_of(r->service, false, r->epoch, r->cid);
	}
	CU_ASSERT_EQUAL_FATAL(rxkad_get32(rx), r->epoch);
	CU_ASSERT_EQUAL_FATAL(rxkad_get32(rx + 4) & ~3u, r->cid);
	if (rx[20] == 1)
		replay_data(r, rx, len);
	else if (rx[20] == 6 && len >= 28 + 16)
		CU_ASSERT_EQUAL(r->s.ops->challenge(r->s.state, challenge, 16, rx + 28 + 4), 16);
	if (rx[20] == 7)
		replay_response(r, rx + 28, len - 28, wall_s);
}

static uint32_t get_le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* pcap, little-endian, Ethernet, IPv4 without fragments. */
static void replay_file(struct replay *r, const char *path)
{
	uint8_t head[24], record[16], frame[65536];
	FILE *f = fopen(unit_path(path), "rb");

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_EQUAL_FATAL(fread(head, 1, sizeof(head), f), sizeof(head));
	CU_ASSERT_EQUAL_FATAL(get_le32(head), 0xa1b2c3d4);
	while (fread(record, 1, sizeof(record), f) == sizeof(record)) {
		size_t len = get_le32(record + 8), udp, udp_len;

		CU_ASSERT_FATAL(len <= sizeof(frame) && fread(frame, 1, len, f) == len);
		if (len < 42 || frame[12] != 8 || frame[23] != 17)
			continue;
		udp = 14 + (frame[14] & 15) * 4u;
		udp_len = (size_t)frame[udp + 4] << 8 | frame[udp + 5];
		CU_ASSERT_FATAL(udp_len >= 8 && udp + udp_len <= len);
		replay_packet(r, frame + udp + 8, udp_len - 8, get_le32(record));
	}
	fclose(f);
}

static void replay_capture(const char *path, int level)
{
	struct rxkad_service_key key = { .kvno = 2, .enctype = 18, .len = 32 };
	uint8_t session[32], service[32];
	struct replay r = { .level = level };

	unit_hex("85784fb96158d8c490261c7724809acb33b899be876f20dcfd39e539c15dc777", session, 32);
	unit_hex("1d53399a19f52961cf4f81f2f114b3ce02290b4597c0c3d31c0ca5297b8de939", service, 32);
	key.key = service;
	r.client = rxkad_client_new(level, 256, 18, session, 32, service, 32, FOREVER, NULL);
	r.service = rxkad_server_new(&key, 1, 0, "TEST.EXAMPLE", NULL);
	CU_ASSERT_FATAL(r.client && r.service);
	replay_file(&r, path);
	CU_ASSERT(r.data > 80);
	CU_ASSERT_EQUAL(r.bad, 0);
	CU_ASSERT_EQUAL(r.responses, 1);
	printf("\n    %s: %u DATA packets ...", path, r.data);
	if (r.c.ops) {
		r.c.ops->conn_free(r.c.state);
		r.s.ops->conn_free(r.s.state);
	}
	rx_security_put(r.client);
	rx_security_put(r.service);
}

static void test_clear(void)
{
	replay_capture("tests/captures/client-rxkad-clear.pcap", RXKAD_CLEAR);
}

static void test_auth(void)
{
	replay_capture("tests/captures/client-rxkad-auth.pcap", RXKAD_AUTH);
}

static void test_crypt(void)
{
	replay_capture("tests/captures/client-rxkad-crypt.pcap", RXKAD_CRYPT);
}

UNIT_MAIN("rxkad_capture", { "SEC-35 real packets, level clear: each checksum, and the RESPONSE", test_clear },
	  { "SEC-35 real packets, level auth: each checksum and sealed word, and the RESPONSE", test_auth },
	  { "SEC-35 real packets, level crypt: each checksum and sealed word, and the RESPONSE", test_crypt })
