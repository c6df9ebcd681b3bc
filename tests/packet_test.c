/* Headers, jumbograms, and that every packet real peers sent is understood. */
#include "rx/packet.h"

#include "rx/ack.h"
#include "tests/unit.h"

static void golden(void)
{
	struct rx_header h = { .epoch = 0x81020304,
			       .cid = 0x11223346,
			       .call = 7,
			       .seq = 9,
			       .serial = 0x01000002,
			       .type = RX_DATA,
			       .flags = RX_CLIENT_INITIATED | RX_LAST_PACKET,
			       .user_status = 1,
			       .security = 2,
			       .checksum = 0xabcd,
			       .service = 52 };
	struct rx_header back;
	uint8_t out[RX_HEADER_SIZE];

	rx_header_encode(out, &h);
	CU_ASSERT(unit_is_hex(out, sizeof out, "81020304 11223346 00000007 00000009 01000002 01050102 abcd0034"));
	CU_ASSERT(rx_header_decode(&back, out, sizeof out));
	CU_ASSERT(!memcmp(&h, &back, sizeof h));
}

static void too_short(void)
{
	uint8_t pkt[RX_HEADER_SIZE] = { [20] = RX_DATA };
	struct rx_header h;

	for (size_t n = 0; n < RX_HEADER_SIZE; n++)
		CU_ASSERT(!rx_header_decode(&h, pkt, n));
	CU_ASSERT(rx_header_decode(&h, pkt, sizeof pkt));
}

static void types(void)
{
	for (unsigned t = 0; t < 256; t++) {
		uint8_t pkt[RX_HEADER_SIZE] = { [20] = (uint8_t)t };
		struct rx_header h;
		bool known = (t >= 1 && t <= 8) || t == 13;

		CU_ASSERT_EQUAL(rx_header_decode(&h, pkt, sizeof pkt), known);
	}
}

/* n pieces: full ones and a last one of `tail` bytes. */
static size_t make_jumbo(uint8_t *buf, unsigned n, size_t tail)
{
	size_t at = 0;

	for (unsigned i = 0; i + 1 < n; i++) {
		memset(buf + at, (int)i + 1, RX_JUMBO_DATA);
		at += RX_JUMBO_DATA;
		buf[at] = i + 2 < n ? RX_JUMBO_PACKET : RX_LAST_PACKET;
		buf[at + 1] = 0;
		rx_put16(buf + at + 2, (uint16_t)(i + 100));
		at += RX_JUMBO_HEADER;
	}
	memset(buf + at, (int)n, tail);
	return at + tail;
}

static void jumbo(void)
{
	static uint8_t buf[16384];
	struct rx_header h = { .type = RX_DATA, .flags = RX_JUMBO_PACKET, .seq = 5, .serial = 50, .user_status = 3 };

	for (unsigned n = 2; n <= 6; n++) {
		size_t len = make_jumbo(buf, n, 10);
		struct rx_jumbo j;
		struct rx_piece p;
		unsigned k = 0;

		rx_jumbo_start(&j, &h, buf, len);
		while (rx_jumbo_next(&j, &p)) {
			CU_ASSERT_EQUAL(p.h.seq, 5 + k);
			CU_ASSERT_EQUAL(p.h.serial, 50 + k);
			CU_ASSERT_EQUAL(p.h.user_status, k ? 0 : 3);
			CU_ASSERT_EQUAL(p.h.checksum, k ? 99 + k : 0);
			CU_ASSERT_EQUAL(p.len, k + 1 < n ? RX_JUMBO_DATA : 10);
			CU_ASSERT_EQUAL(p.payload[0], k + 1);
			CU_ASSERT_EQUAL(!!(p.h.flags & RX_LAST_PACKET), k + 1 == n);
			k++;
		}
		CU_ASSERT_EQUAL(k, n);
		CU_ASSERT(!j.bad);
	}
}

static void bad_jumbo(void)
{
	static uint8_t buf[16384];
	struct rx_header h = { .type = RX_DATA, .flags = RX_JUMBO_PACKET, .seq = 1 };
	struct rx_jumbo j;
	struct rx_piece p;
	unsigned k = 0;

	make_jumbo(buf, 3, 10);
	rx_jumbo_start(&j, &h, buf, RX_JUMBO_DATA + RX_JUMBO_HEADER + 100); /* the second piece is cut */
	while (rx_jumbo_next(&j, &p))
		k++;
	CU_ASSERT(k == 1 && j.bad);
	rx_jumbo_start(&j, &h, buf, RX_JUMBO_DATA + RX_JUMBO_HEADER - 1);
	CU_ASSERT(!rx_jumbo_next(&j, &p) && j.bad);
	h.flags |= RX_LAST_PACKET;
	rx_jumbo_start(&j, &h, buf, 5000);
	CU_ASSERT(!rx_jumbo_next(&j, &p) && j.bad);
}

/* Every unfragmented RX packet of a capture: decodes, encodes to the same bytes, ACKs parse. */
static void capture(void)
{
	static const char *const names[] = { "client-calls-crypt.pcap", "client-loss-crypt.pcap", "rxperf-jumbo.pcap" };
	unsigned seen = 0, acks = 0, jumbos = 0;

	for (unsigned f = 0; f < sizeof names / sizeof *names; f++) {
		char path[128];
		static uint8_t pkt[70000];
		uint8_t rec[16];
		FILE *in;

		snprintf(path, sizeof path, "tests/captures/%s", names[f]);
		in = fopen(unit_path(path), "rb");
		CU_ASSERT_FATAL(in != NULL);
		fseek(in, 24, SEEK_SET);
		while (fread(rec, 1, 16, in) == 16) {
			uint32_t len = rec[8] | (uint32_t)rec[9] << 8 | (uint32_t)rec[10] << 16;
			uint8_t *udp = pkt + 34, out[RX_HEADER_SIZE];
			struct rx_header h;
			struct rx_ack ack;

			CU_ASSERT_FATAL(fread(pkt, 1, len, in) == len);
			if (len < 42 + RX_HEADER_SIZE || pkt[23] != 17 || (rx_get16(pkt + 20) & 0x3fff))
				continue;
			CU_ASSERT(rx_header_decode(&h, udp + 8, len - 42));
			rx_header_encode(out, &h);
			CU_ASSERT(!memcmp(out, udp + 8, sizeof out));
			seen++;
			if (h.type == RX_ACK) {
				CU_ASSERT(rx_ack_parse(&ack, udp + 8 + 28, rx_get16(udp + 4) - 36u));
				CU_ASSERT(ack.words == 4 && ack.first >= 1 && ack.rwind >= 16);
				acks++;
			}
			jumbos += h.type == RX_DATA && (h.flags & RX_JUMBO_PACKET);
		}
		fclose(in);
	}
	CU_ASSERT(seen > 300 && acks > 50 && jumbos == 29);
}

UNIT_MAIN("packet", { "RX-01 header golden bytes; checksum before serviceId", golden },
	  { "RX-02 datagrams of 0..27 bytes ignored", too_short }, { "RX-03 only known types", types },
	  { "RX-53 jumbograms of 2..6 pieces split", jumbo }, { "RX-53 truncated piece, JUMBO with LAST", bad_jumbo },
	  { "packets of real peers decode and encode unchanged", capture })
