/* Which tickets an rxkad server takes, under which name and until when. */
#include <krb5/krb5.h>
#include <time.h>

#include "rx/rxkad.h"
#include "rx/ticket.h"
#include "tests/mint.h"
#include "tests/unit.h"

enum { NOW = 1735707600, MINUTE = 60, DAY = 86400, INVALID = 0x01000000 };

/* alice's. */
static const struct mint good = {
	.realm = "EXAMPLE.ORG",
	.part = { "alice" },
	.session_enctype = 18,
	.session_len = 32,
	.flags = MINT_TRANSITED_CHECKED,
	.authtime = NOW - 100,
	.starttime = NOW - 50,
	.endtime = NOW + 36000,
	.kvno = 3,
	.enctype = 18,
};

static struct rxkad_keyring *ring_of(const int (*keys)[2], size_t n)
{
	struct rxkad_service_key k[8];
	struct rxkad_keyring *ring;

	for (size_t i = 0; i < n; i++)
		k[i] = (struct rxkad_service_key){ keys[i][0], keys[i][1], mint_service_key, mint_key_len(keys[i][1]) };
	ring = rxkad_keyring_new(k, n, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(ring);
	return ring;
}

/* Mints and presents it to a server with keys of all AES enctypes at kvno 3. */
static int present(const struct mint *m, struct rxkad_ticket *t)
{
	static const int keys[][2] = { { 3, 17 }, { 3, 18 }, { 3, 19 }, { 3, 20 }, { 0, 18 } };
	struct der d = { .at = sizeof(d.buf) };
	struct rxkad_keyring *ring = ring_of(keys, 5);
	size_t len;
	uint8_t *exact;
	int code;

	mint_part(&d, m);
	mint_seal(&d, m);
	len = sizeof(d.buf) - d.at;
	exact = malloc(len);
	memcpy(exact, d.buf + d.at, len);
	code = rxkad_ticket_accept(ring, m->bare ? 213 : 256, exact, len, NOW, t);
	free(exact);
	rxkad_keyring_free(ring);
	return code;
}

static void test_vector(void)
{
	static const char front[] =
		"6181fa3081f7a003020105a10d1b0b4558414d504c452e4f5247a21d301ba003020101a11430121b036166731b0b6578616d70"
		"6c652e6f7267a381c1";
	static const char sealed[] =
		"3081bea003020112a103020103a281b10481aec8d63ae23dfb8c1e1e86ee626bee3f4994edb80e84e60f76901d027cab0455d8"
		"fb012bc2a3a2a38505f8c00c110d8e2fd20d8227734a2d87988dc8e7aa5ae176c9d8bf057c0c30958080d364a855311d3a5963"
		"a6da5730a64aa1695fdd17bfebed39b991c7f7bb114809348cb93127029efef6ff2f5f3a1cdecc7538d8843afff694a69caa6e"
		"74c39d015aaa9920d96f5bab4d43c586d121125be7f0bec6ffee8bb9b9053e88d2afcfddea879a61";
	static const int keys[][2] = { { 3, 18 } };
	struct rxkad_keyring *ring = ring_of(keys, 1);
	struct rxkad_ticket t;
	uint8_t bytes[300];
	size_t front_len = unit_hex(front, bytes, 300), len = unit_hex(sealed, bytes + front_len, 300 - front_len);

	CU_ASSERT_EQUAL(front_len + len, 253);
	for (int bare = 0; bare < 2; bare++) {
		CU_ASSERT_EQUAL(rxkad_ticket_accept(ring, bare ? 213 : 256, bytes + (bare ? front_len : 0),
						    bare ? len : 253, NOW, &t),
				0);
		CU_ASSERT_STRING_EQUAL(t.name, "alice");
		CU_ASSERT_STRING_EQUAL(t.instance, "");
		CU_ASSERT_STRING_EQUAL(t.realm, "EXAMPLE.ORG");
		CU_ASSERT(unit_is_hex(t.key, 8, "b60db5e30b266b16"));
		CU_ASSERT_EQUAL(t.start, 1735689600);
		CU_ASSERT_EQUAL(t.end, 1735689600 + 36000);
	}
	/* the other form than the kvno field promises */
	CU_ASSERT_EQUAL(rxkad_ticket_accept(ring, 213, bytes, 253, NOW, &t), RXKAD_BADTICKET);
	CU_ASSERT_EQUAL(rxkad_ticket_accept(ring, 256, bytes + front_len, len, NOW, &t), RXKAD_BADTICKET);
	bytes[250] ^= 1;
	CU_ASSERT_EQUAL(rxkad_ticket_accept(ring, 256, bytes, 253, NOW, &t), RXKAD_BADTICKET);
	rxkad_keyring_free(ring);
}

static void test_enctypes(void)
{
	struct mint m = good;
	struct rxkad_ticket t;

	for (m.enctype = 17; m.enctype <= 20; m.enctype++)
		for (int bare = 0; bare < 2; bare++) {
			m.bare = bare;
			CU_ASSERT_EQUAL(present(&m, &t), 0);
			CU_ASSERT_STRING_EQUAL(t.name, "alice");
			CU_ASSERT(unit_is_hex(t.key, 8, "b60db5e30b266b16"));
		}
	m = good;
	m.session_enctype = 1; /* as localauth makes them: used unchanged */
	m.session_len = 8;
	CU_ASSERT_EQUAL(present(&m, &t), 0);
	CU_ASSERT(unit_is_hex(t.key, 8, "0001020304050607"));
	m.session_len = 9;
	CU_ASSERT_EQUAL(present(&m, &t), RXKAD_BADTICKET);
	m.session_enctype = 4;
	CU_ASSERT_EQUAL(present(&m, &t), RXKAD_BADTICKET);
	m.session_enctype = 18;
	m.session_len = 0;
	CU_ASSERT_EQUAL(present(&m, &t), RXKAD_BADTICKET);
}

/* Cut anywhere, one bit changed anywhere: refused or accepted, never a crash, and never
 * read beyond (the copies are exact). */
static void test_damage(void)
{
	static const int keys[][2] = { { 3, 18 } };
	struct rxkad_keyring *ring = ring_of(keys, 1);
	struct rxkad_ticket t;

	for (int bare = 0; bare < 2; bare++) {
		struct der d = { .at = sizeof(d.buf) };
		struct mint m = good;
		uint8_t *exact;
		size_t len;

		m.bare = bare;
		mint_part(&d, &m);
		mint_seal(&d, &m);
		len = sizeof(d.buf) - d.at;
		for (size_t n = 0; n < len; n++) {
			exact = malloc(n + 1);
			exact = realloc(exact, n ? n : 1);
			memcpy(exact, d.buf + d.at, n);
			CU_ASSERT_NOT_EQUAL(rxkad_ticket_accept(ring, bare ? 213 : 256, exact, n, NOW, &t), 0);
			free(exact);
		}
		exact = malloc(len);
		for (size_t bit = 0; bit < len * 8; bit++) {
			memcpy(exact, d.buf + d.at, len);
			exact[bit / 8] ^= (uint8_t)(1 << bit % 8);
			rxkad_ticket_accept(ring, bare ? 213 : 256, exact, len, NOW, &t);
		}
		free(exact);
	}
	rxkad_keyring_free(ring);
}

#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void test_names(void)
{
	static const struct {
		const char *realm, *part[4];
		const char *identity; /* NULL: BADTICKET */
	} names[] = {
		{ "EXAMPLE.ORG", { "alice" }, "alice" },
		{ "EXAMPLE.ORG", { "alice", "admin" }, "alice.admin" },
		{ "EXAMPLE.ORG", { "alice", "a.b" }, "alice.a.b" },
		{ "EXAMPLE.ORG", { "a", "b", "c" }, NULL },
		{ "EXAMPLE.ORG", { NULL }, NULL },
		{ "EXAMPLE.ORG", { "" }, NULL },
		{ "EXAMPLE.ORG", { "alice.admin" }, NULL },
		{ "EXAMPLE.ORG", { "host", "foo.example.org" }, "rcmd.foo" },
		{ "EXAMPLE.ORG", { "host", "foo" }, NULL },
		{ "EXAMPLE.ORG", { "imap", "foo.example.org" }, "imap.foo" },
		{ "EXAMPLE.ORG", { "kadmin", "foo.example.org" }, "kadmin.foo.example.org" },
		{ "EXAMPLE.ORG", { "zephyr", "zephyr" }, "zephyr.zephyr" },
		{ "EXAMPLE.ORG", { A63 }, A63 },
		{ "EXAMPLE.ORG", { A63 "a" }, NULL },
		{ "EXAMPLE.ORG", { "alice", A63 "a" }, NULL },
		{ "OTHER.ORG", { "alice" }, "alice@OTHER.ORG" },
		{ "example.org", { "alice" }, "alice@example.org" },
		{ "OTHER.ORG", { "alice", "admin" }, "alice.admin@OTHER.ORG" },
		{ A63, { A63, A63 }, A63 "." A63 "@" A63 },
		{ A63 "a", { "alice" }, NULL },
		{ "", { "afs" }, "afs" }, /* localauth */
		{ "EXAMPLE.ORG", { "afs" }, "afs@EXAMPLE.ORG" },
		{ "EXAMPLE.ORG", { "alice@OTHER.ORG" }, NULL },
		{ "EXAMPLE.ORG", { "al\nice" }, NULL },
	};
	struct rxkad_ticket t;
	char identity[256];
	struct mint m;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		m = good;
		m.realm = names[i].realm;
		memcpy(m.part, names[i].part, sizeof(m.part));
		CU_ASSERT_EQUAL(present(&m, &t), names[i].identity ? 0 : RXKAD_BADTICKET);
		rxkad_ticket_identity(&t, "EXAMPLE.ORG", identity);
		CU_ASSERT_STRING_EQUAL(identity, names[i].identity ? names[i].identity : "");
	}
	m = good;
	m.part[0] = "alice\0x";
	m.part_len = 7;
	CU_ASSERT_EQUAL(present(&m, &t), RXKAD_BADTICKET);
	CU_ASSERT_EQUAL(present(&good, &t), 0);
	rxkad_ticket_identity(&t, NULL, identity);
	CU_ASSERT_STRING_EQUAL(identity, "alice@EXAMPLE.ORG");
}

static void test_times(void)
{
	static const struct {
		int64_t auth, start, end;
		int code;
	} times[] = {
		{ NOW, NOW + 14 * MINUTE, NOW + DAY, 0 },
		{ NOW, NOW + 15 * MINUTE, NOW + DAY, 0 },
		{ NOW, NOW + 16 * MINUTE, NOW + DAY, RXKAD_NOAUTH },
		{ NOW - DAY, NOW - DAY, NOW, 0 },
		{ NOW - DAY, NOW - DAY, NOW - 1, RXKAD_EXPIRED },
		{ NOW - DAY, NOW - DAY, NOW + 29 * DAY, 0 },
		{ NOW - DAY, NOW - DAY, NOW + 29 * DAY + 1, RXKAD_BADTICKET },
		{ NOW - DAY, -1, NOW + 29 * DAY, 0 }, /* no start: authtime */
		{ NOW - DAY, -1, NOW + 29 * DAY + 1, RXKAD_BADTICKET },
		{ NOW, NOW + 10, NOW + 10, RXKAD_BADTICKET },
		{ NOW, NOW + 31 * DAY, NOW + 32 * DAY, RXKAD_BADTICKET },
		{ NOW, NOW + 30 * DAY, NOW + 31 * DAY, RXKAD_NOAUTH },
		{ 0, -1, 0x7fffffff, 0 },
		{ 0, 0, 0x7fffffff, 0 },
		{ NOW, NOW, 0xffffffff, 0 },
	};
	struct rxkad_ticket t;
	struct mint m;

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		m = good;
		m.authtime = times[i].auth;
		m.starttime = times[i].start;
		m.endtime = times[i].end;
		CU_ASSERT_EQUAL(present(&m, &t), times[i].code);
		CU_ASSERT(times[i].code || t.end == times[i].end);
	}
	m = good;
	m.flags = INVALID;
	CU_ASSERT_EQUAL(present(&m, &t), RXKAD_NOAUTH);
}

static void test_keys(void)
{
	static const int two[][2] = { { 3, 18 }, { 4, 18 } };
	struct rxkad_service_key key = { 3, 18, mint_service_key, 31 };
	struct mint m = good;
	struct rxkad_ticket t;
	struct rx_error err;

	m.kvno = 4;
	CU_ASSERT_EQUAL(present(&m, &t), RXKAD_UNKNOWNKEY);
	m.kvno = 258; /* 3 in no bits of it */
	CU_ASSERT_EQUAL(present(&m, &t), RXKAD_UNKNOWNKEY);
	m.kvno = -1; /* left out: 0 */
	CU_ASSERT_EQUAL(present(&m, &t), 0);
	m.kvno = 0;
	m.enctype = 17;
	CU_ASSERT_EQUAL(present(&m, &t), RXKAD_UNKNOWNKEY);

	rxkad_keyring_free(ring_of(two, 2));
	rxkad_keyring_free(ring_of(two, 0));
	rxkad_keyring_free(NULL);
	rx_error_clear(&err);
	CU_ASSERT_PTR_NULL(rxkad_keyring_new(&key, 1, &err));
	CU_ASSERT_EQUAL(err.origin, RX_ORIGIN_KRB5);
	key.enctype = 1;
	CU_ASSERT_PTR_NULL(rxkad_keyring_new(&key, 1, &err));
}

static void test_kvno_field(void)
{
	static const int keys[][2] = { { 3, 18 } }, fields[] = { 0, 3, 212, 214, 255, 257, 511, -1 };
	struct rxkad_keyring *ring = ring_of(keys, 1);
	struct der d = { .at = sizeof(d.buf) };
	struct rxkad_ticket t;
	uint8_t *big = calloc(1, RXKAD_TICKET_MAX + 1);

	mint_part(&d, &good);
	mint_seal(&d, &good);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		CU_ASSERT_EQUAL(
			rxkad_ticket_accept(ring, (uint32_t)fields[i], d.buf + d.at, sizeof(d.buf) - d.at, NOW, &t),
			RXKAD_UNKNOWNKEY);
	CU_ASSERT_EQUAL(rxkad_ticket_accept(ring, 256, big, RXKAD_TICKET_MAX, NOW, &t), RXKAD_BADTICKET);
	CU_ASSERT_EQUAL(rxkad_ticket_accept(ring, 213, big, RXKAD_TICKET_MAX, NOW, &t), RXKAD_BADTICKET);
	CU_ASSERT_EQUAL(rxkad_ticket_accept(ring, 256, big, RXKAD_TICKET_MAX + 1, NOW, &t), RXKAD_TICKETLEN);
	free(big);
	rxkad_keyring_free(ring);
}

UNIT_MAIN("ticket", { "SEC-27 the published ticket decoded in both forms", test_vector },
	  { "SEC-27 ticket enctypes 17, 18, 19, 20, both forms; session keys that cannot be used", test_enctypes },
	  { "SEC-26 tickets cut anywhere and changed in any bit", test_damage },
	  { "SEC-28 names: 1/2/3 components, dots, host services, long ones, foreign realm, afs", test_names },
	  { "SEC-29 times: start, end, lifetime, INVALID flag", test_times },
	  { "SEC-31 unknown kvno or enctype -> UNKNOWNKEY; unusable service keys", test_keys },
	  { "SEC-31 the RESPONSE's kvno field: 256 and 213 only", test_kvno_field })
