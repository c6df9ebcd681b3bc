/* ACK bodies: golden bytes, trailers, lies. */
#include "rx/ack.h"

#include "rx/packet.h"
#include "tests/unit.h"

static void golden(void)
{
	static const unsigned sizes[] = { 0, 1, 3, 255 };
	uint8_t bits[255], out[RX_ACK_MAX];

	for (unsigned i = 0; i < sizeof bits; i++)
		bits[i] = (uint8_t)(i % 3 == 0);
	for (unsigned k = 0; k < 4; k++) {
		struct rx_ack a = { .first = 5,
				    .previous = 9,
				    .serial = 0x77,
				    .reason = RX_ACK_REQUESTED,
				    .n = (uint8_t)sizes[k],
				    .acks = bits,
				    .max_mtu = 1444,
				    .if_mtu = 1444,
				    .rwind = 64,
				    .jumbo = 1 },
			      b;
		size_t n;

		memset(out, 0xee, sizeof out);
		n = rx_ack_build(&a, out);
		CU_ASSERT_EQUAL(n, 37 + sizes[k]);
		CU_ASSERT(unit_is_hex(out, 17, "0000 0000 00000005 00000009 00000077 01"));
		CU_ASSERT_EQUAL(out[17], sizes[k]);
		CU_ASSERT(!memcmp(out + 18, bits, sizes[k]));
		CU_ASSERT(unit_is_hex(out + 18 + sizes[k], 19, "000000 000005a4 000005a4 00000040 00000001"));
		CU_ASSERT(rx_ack_parse(&b, out, n));
		CU_ASSERT(b.words == 4 && b.n == a.n && b.rwind == 64 && b.jumbo == 1 && b.first == 5 &&
			  b.serial == 0x77);
	}
}

static void words(void)
{
	uint8_t out[RX_ACK_MAX];
	struct rx_ack a = {
		.first = 1, .reason = RX_ACK_DELAY, .max_mtu = 1444, .if_mtu = 1444, .rwind = 32, .jumbo = 4
	};
	size_t n = rx_ack_build(&a, out);

	for (unsigned k = 0; k <= 4; k++)
		for (unsigned extra = 0; extra < (k < 4 ? 4u : 1u); extra++) {
			struct rx_ack b;

			CU_ASSERT(rx_ack_parse(&b, out, n - 16 + 4 * k + extra));
			CU_ASSERT_EQUAL(b.words, k);
			CU_ASSERT_EQUAL(b.rwind, k >= 3 ? 32 : 0);
		}
}

static void too_long(void)
{
	uint8_t out[RX_ACK_MAX] = { 0 };
	struct rx_ack a;

	for (size_t n = 0; n < 18; n++)
		CU_ASSERT(!rx_ack_parse(&a, out, n));
	CU_ASSERT(rx_ack_parse(&a, out, 18));
	out[17] = 200;
	CU_ASSERT(!rx_ack_parse(&a, out, 18 + 199));
	CU_ASSERT(rx_ack_parse(&a, out, 18 + 200) && a.words == 0);
}

static void clamps(void)
{
	static const uint32_t evil[] = { 0, 1, 27, 0x7fffffff, 0xffffffff };
	uint8_t out[RX_ACK_MAX];

	for (unsigned i = 0; i < 5; i++) {
		struct rx_ack a = { .first = 1,
				    .max_mtu = evil[i],
				    .if_mtu = evil[i],
				    .rwind = evil[i],
				    .jumbo = evil[i] },
			      b;

		CU_ASSERT(rx_ack_parse(&b, out, rx_ack_build(&a, out)));
		CU_ASSERT(b.max_mtu >= 520 && b.max_mtu <= 16384 && b.if_mtu >= 520 && b.if_mtu <= 16384);
		CU_ASSERT(b.rwind >= 1 && b.rwind <= 255 && b.jumbo >= 1 && b.jumbo <= 6);
	}
}

UNIT_MAIN("ack", { "RX-10 golden bytes for N = 0, 1, 3, 255; zero pads", golden },
	  { "RX-11 0..4 trailer words", words }, { "RX-12 N larger than the body is refused", too_long },
	  { "RX-16 trailer values 0, 1, 27, 2^32-1 are clamped", clamps })
