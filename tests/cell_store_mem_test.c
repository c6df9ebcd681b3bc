/* The embedded cell's store in memory: bytes as they were written, zeros elsewhere, and the
 * memory of what was removed goes back to the system. */
#include <unistd.h>

#include "tests/unit.h"
#include "tools/cell/internal.h"

enum { SPAN = 300000, MIB = 1 << 20, HELD_MIB = 32 };

static uint32_t dice(uint32_t below)
{
	static uint32_t x = 12345;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return x % below;
}

/* Writes and truncations at random places, beside the same in an array. */
static void test_bytes(void)
{
	static uint8_t want[SPAN], piece[SPAN], got[SPAN];
	struct cell_store *store = cell_store_memory();
	struct cell_content *c = store->ops->open(store, NULL);
	bool same = true;

	for (unsigned round = 0; round < 400 && same; round++) {
		uint32_t off = dice(SPAN), len = 1 + dice(round % 4 ? 3000 : SPAN), end = dice(SPAN);

		len = off + len > SPAN ? SPAN - off : len;
		memset(piece, (int)(1 + round % 255), len);
		memcpy(want + off, piece, len);
		same &= !c->ops->write(c, off, piece, len);
		if (round % 7 == 0) {
			memset(want + end, 0, SPAN - end);
			same &= !c->ops->truncate(c, end);
		}
		same &= !c->ops->read(c, 0, got, SPAN) && !memcmp(got, want, SPAN);
		same &= !c->ops->read(c, off, got, len) && !memcmp(got, want + off, len);
	}
	CU_ASSERT(same);
	c->ops->close(c, true);
	store->ops->free(store);
}

static size_t resident_mib(void)
{
	unsigned long size = 0, pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	CU_ASSERT_EQUAL(fscanf(f, "%lu %lu", &size, &pages), 2);
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE) / MIB;
}

static void fill(struct cell_content *c, size_t mib)
{
	static uint8_t data[16384];

	memset(data, 'x', sizeof(data));
	for (uint64_t off = 0; off < mib * MIB; off += sizeof(data))
		CU_ASSERT_EQUAL_FATAL(c->ops->write(c, off, data, sizeof(data)), 0);
}

/* Two files grow by turns; one is removed, the other cut to half. A sanitizer's notes on
 * addresses stay, a quarter of what there was at most. */
static void test_memory(void)
{
	struct cell_store *store = cell_store_memory();
	struct cell_content *a = store->ops->open(store, NULL), *b = store->ops->open(store, NULL);
	size_t before;

	fill(b, 1);
	before = resident_mib();
	for (size_t mib = 1; mib <= HELD_MIB; mib++) {
		fill(a, mib);
		fill(b, mib);
	}
	CU_ASSERT(resident_mib() >= before + 2 * HELD_MIB - 2);
	a->ops->close(a, true);
	CU_ASSERT(resident_mib() <= before + HELD_MIB * 7 / 4);
	CU_ASSERT_EQUAL(b->ops->truncate(b, HELD_MIB / 2 * MIB), 0);
	CU_ASSERT(resident_mib() <= before + HELD_MIB * 3 / 2);
	b->ops->close(b, true);
	store->ops->free(store);
}

UNIT_MAIN("cell_store_mem", { "bytes, holes, ends", test_bytes },
	  { "what is removed goes back to the system", test_memory })
