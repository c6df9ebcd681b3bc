/* DEBUG and VERSION answers against the offsets of OpenAFS's records. */
#include "tests/rig.h"

static struct rig R;

static void ask(uint8_t type, uint32_t req, uint32_t index)
{
	uint8_t body[8];

	rx_put32(body, req);
	rx_put32(body + 4, index);
	rig_send_h(&R, (struct rx_header){ .type = type, .call = 77, .flags = RX_LAST_PACKET }, body, sizeof body);
}

static bool answered(size_t len)
{
	return rig_pull(&R) == RX_DEBUG && R.h.call == 77 && R.h.flags == RX_LAST_PACKET && R.len == 28 + len;
}

static uint32_t at(unsigned off)
{
	return rx_get32(R.out + 28 + off);
}

static void records(void)
{
	const uint8_t *b = R.out + 28;

	rig_start(&R);
	rig_data(&R, 1, 1, 0, "half a request");
	rx_core_call_attach(R.incoming, R.now);
	R.epoch = 999;
	R.cid = 0;
	ask(RX_DEBUG, 1, 0);
	CU_ASSERT(answered(56) && b[14] == 'S' && at(8) == 1 && at(28) >= 1);
	for (unsigned req = 2; req <= 3; req++) {
		ask(RX_DEBUG, req, 0);
		CU_ASSERT(answered(176));
		CU_ASSERT(at(0) == 0x0a000002 && at(4) == RIG_CID && at(12) == 1 && at(16) == 0 && at(28) == 0);
		CU_ASSERT(rx_get16(b + 32) == 7001 && b[34] == 0 && b[35] == 1 && b[36] == 0);
		CU_ASSERT(b[40] == 2 && b[44] == 2 && b[52] == 1 && b[56] == 1);
		CU_ASSERT(at(132) == RIG_EPOCH && at(136) == 1444);
		ask(RX_DEBUG, req, 1);
		CU_ASSERT(answered(176) && at(4) == 0xffffffff);
	}
	ask(RX_DEBUG, 4, 0);
	CU_ASSERT(answered(284));
	CU_ASSERT(at(4 * 11) == 1 && at(4 * 18) == 6 && at(4 * 24) == 1 && at(4 * 56) == 1 && at(4 * 57) == 0);
	CU_ASSERT(at(4 * 58) == 1 && at(4 * 59) == 1);
	ask(RX_DEBUG, 5, 0);
	CU_ASSERT(answered(132) && at(0) == 0x0a000002 && rx_get16(b + 4) == 7001 && rx_get16(b + 6) == 1444);
	CU_ASSERT(at(32) == 1 && rx_get16(b + 60) == 1444 && at(88) == 14);
	ask(RX_DEBUG, 5, 1);
	CU_ASSERT(answered(132) && at(0) == 0xffffffff);
	ask(RX_DEBUG, 6, 0);
	CU_ASSERT(answered(8) && at(0) == 0xfffffff8 && at(4) == 0xfffffff8);
	rig_send_h(&R, (struct rx_header){ .type = RX_DEBUG, .call = 77 }, "1234567", 7);
	CU_ASSERT(!rig_pull(&R));
	rx_core_call_end(R.incoming, R.now, 1);
	rig_stop(&R);
}

static void version(void)
{
	rig_start(&R);
	ask(RX_VERSION, 0, 0);
	CU_ASSERT(rig_pull(&R) == RX_VERSION && R.len == 28 + 65 && R.h.flags == RX_LAST_PACKET);
	CU_ASSERT(!strcmp((char *)R.out + 28, "umafs test"));
	R.role = 0;
	ask(RX_VERSION, 0, 0);
	ask(RX_DEBUG, 1, 0);
	CU_ASSERT(!rig_pull(&R));
	rig_stop(&R);
}

UNIT_MAIN("debug", { "RX-57 DEBUG requests 1-5, bad type", records },
	  { "RX-58 VERSION 65 bytes; keepalives unanswered", version })
