/* Unit tests of cm/acl.c: the text as servers send it and as nobody should. */
#include <errno.h>

#include "cm/acl.h"
#include "tests/unit.h"

/* As FetchACL of the test cell returned it (tests/captures/client-calls-clear.pcap). */
static const char server_text[] = "4\n0\nsystem:administrators\t127\nsystem:anyuser\t9\nalice\t63\nbob\t63\n";

static int parse(const char *text, struct cm_acl *acl)
{
	return cm_acl_parse(text, strlen(text) + 1, acl, NULL);
}

static void test_round_trip(void)
{
	static const char both[] = "1\n2\nalice\t-2147483521\nbob\t2\nsystem:anyuser\t9\n";
	struct cm_acl acl;
	char text[CM_ACL_TEXT];
	size_t len;

	CU_ASSERT_EQUAL_FATAL(parse(server_text, &acl), 0);
	CU_ASSERT_EQUAL(acl.npositive, 4);
	CU_ASSERT_EQUAL(cm_acl_get(&acl, "system:anyuser", false), CM_RIGHT_READ | CM_RIGHT_LOOKUP);
	CU_ASSERT_EQUAL(cm_acl_get(&acl, "system:anyuser", true), 0);
	CU_ASSERT_EQUAL(cm_acl_format(&acl, text, &len, NULL), 0);
	CU_ASSERT_STRING_EQUAL(text, server_text);
	CU_ASSERT_EQUAL(len, sizeof(server_text));
	CU_ASSERT_EQUAL_FATAL(parse(both, &acl), 0);
	CU_ASSERT_EQUAL(cm_acl_get(&acl, "alice", false), 0x8000007f);
	CU_ASSERT_EQUAL(cm_acl_get(&acl, "bob", true), CM_RIGHT_WRITE);
	CU_ASSERT_EQUAL(cm_acl_format(&acl, text, &len, NULL), 0);
	CU_ASSERT_STRING_EQUAL(text, both);
	CU_ASSERT_EQUAL(parse("0\n0\n", &acl), 0);
	CU_ASSERT_EQUAL(acl.npositive + acl.nnegative, 0);
}

static void test_twenty(void)
{
	struct cm_acl acl = { 0 };
	char text[CM_ACL_TEXT], name[CM_ACL_NAME];
	struct rx_error err;
	size_t len;

	for (int i = 0; i < CM_ACL_MAX; i++) {
		snprintf(name, sizeof(name), "user%d", i);
		CU_ASSERT_EQUAL(cm_acl_set(&acl, name, i % 2, CM_RIGHT_READ, NULL), 0);
	}
	CU_ASSERT_TRUE(cm_acl_set(&acl, "late", false, CM_RIGHT_READ, &err) == -1 && err.errnum == E2BIG);
	CU_ASSERT_EQUAL(cm_acl_set(&acl, "user3", true, CM_RIGHT_WRITE, NULL), 0);
	CU_ASSERT_EQUAL(cm_acl_format(&acl, text, &len, NULL), 0);
	CU_ASSERT_EQUAL(cm_acl_parse(text, len, &acl, NULL), 0);
	CU_ASSERT_EQUAL(acl.npositive + acl.nnegative, CM_ACL_MAX);
	text[1] = '1'; /* "10" becomes "11" and a line goes missing; then 11 + 10 is too much */
	CU_ASSERT_EQUAL(cm_acl_parse(text, len, &acl, &err), -1);
	CU_ASSERT_EQUAL(err.errnum, EINVAL);
	CU_ASSERT_EQUAL(parse("21\n0\n", &acl), -1);
	CU_ASSERT_EQUAL(parse("4294967295\n1\n", &acl), -1);
	for (int i = 0; i < CM_ACL_MAX; i++) {
		struct cm_acl_entry *e = i < 10 ? &acl.positive[i] : &acl.negative[i - 10];

		memset(e->name, 'a' + i, CM_ACL_NAME - 1);
		e->name[CM_ACL_NAME - 1] = 0;
	}
	CU_ASSERT_TRUE(cm_acl_format(&acl, text, &len, &err) == -1 && err.errnum == E2BIG);
}

static void test_unterminated(void)
{
	struct cm_acl acl = { .npositive = 7 };
	uint8_t *exact;
	char long_text[CM_ACL_TEXT + 1];

	for (size_t len = 0; len < sizeof(server_text); len++) {
		exact = malloc(len ? len : 1); /* ASan sees a byte too far */
		memcpy(exact, server_text, len);
		CU_ASSERT_EQUAL(cm_acl_parse(exact, len, &acl, NULL), -1);
		if (len) { /* a NUL, but too early */
			exact[len - 1] = 0;
			CU_ASSERT_EQUAL(cm_acl_parse(exact, len, &acl, NULL), -1);
		}
		free(exact);
	}
	memset(long_text, '1', sizeof(long_text));
	CU_ASSERT_EQUAL(cm_acl_parse(long_text, CM_ACL_TEXT, &acl, NULL), -1);
	long_text[CM_ACL_TEXT] = 0;
	CU_ASSERT_EQUAL(cm_acl_parse(long_text, CM_ACL_TEXT + 1, &acl, NULL), -1);
	CU_ASSERT_EQUAL(acl.npositive, 7); /* untouched by all of that */
	/* What lies behind the NUL is not text. */
	CU_ASSERT_EQUAL(cm_acl_parse("0\n0\n\0junk", 9, &acl, NULL), 0);
}

static void test_malformed(void)
{
	static const char *const texts[] = {
		"",
		"0",
		"0\n",
		"x\n0\n",
		"-1\n0\n",
		"0\n0\nalice\t1\n",
		"1\n0\nalice 1\n",
		"1\n0\nalice\t\n",
		"1\n0\nalice\tread\n",
		"1\n0\n\t1\n",
		"1\n0\nalice\t4294967296\n",
		"1\n0\nalice\t1",
		" 0\n0\n",
		"1\n0\na b\t1\n",
		"2\n0\nalice\t1\n",
		"0\n dfs:1 cell\n0\n",
		"1\n0\nalice\t99999999999999999999\n",
		"1\n0\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\t1\n",
	};
	struct cm_acl acl;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		CU_ASSERT_EQUAL(parse(texts[i], &acl), -1);
}

static void test_merge(void)
{
	struct cm_acl acl;
	struct rx_error err;

	CU_ASSERT_EQUAL_FATAL(parse(server_text, &acl), 0);
	CU_ASSERT_EQUAL(cm_acl_set(&acl, "alice", false, CM_RIGHT_READ, NULL), 0);
	CU_ASSERT_EQUAL(cm_acl_get(&acl, "alice", false), CM_RIGHT_READ);
	CU_ASSERT_EQUAL(cm_acl_set(&acl, "alice", true, CM_RIGHT_WRITE, NULL), 0);
	CU_ASSERT_EQUAL(acl.npositive, 4);
	CU_ASSERT_EQUAL(acl.nnegative, 1);
	CU_ASSERT_EQUAL(cm_acl_set(&acl, "system:anyuser", false, 0, NULL), 0);
	CU_ASSERT_EQUAL(cm_acl_set(&acl, "nobody", false, 0, NULL), 0);
	CU_ASSERT_EQUAL(acl.npositive, 3);
	CU_ASSERT_EQUAL(cm_acl_get(&acl, "bob", false), 63);
	CU_ASSERT_TRUE(cm_acl_set(&acl, "", false, 1, &err) == -1 && err.errnum == EINVAL);
	CU_ASSERT_EQUAL(cm_acl_set(&acl, "a\tb", false, 1, NULL), -1);
	CU_ASSERT_EQUAL(
		cm_acl_set(&acl, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", false, 1, NULL),
		-1);
}

static void test_rights(void)
{
	static const struct {
		const char *word;
		uint32_t rights;
		const char *text;
	} vectors[] = {
		{ "read", 0x09, "rl" },
		{ "write", 0x3f, "rlidwk" },
		{ "all", 0x7f, "rlidwka" },
		{ "none", 0, "" },
		{ "mail", 0x2c, "lik" },
		{ "", 0, "" },
		{ "wr", 0x03, "rw" },
		{ "rlA", 0x01000009, "rlA" },
		{ "HGFEDCBAakwdilr", 0xff00007f, "rlidwkaABCDEFGH" },
	};
	char text[CM_RIGHTS_TEXT];
	uint32_t rights;
	struct rx_error err;

	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		CU_ASSERT_EQUAL(cm_rights_parse(vectors[i].word, &rights, NULL), 0);
		CU_ASSERT_EQUAL(rights, vectors[i].rights);
		CU_ASSERT_STRING_EQUAL(cm_rights_format(rights, text), vectors[i].text);
	}
	CU_ASSERT_TRUE(cm_rights_parse("rz", &rights, &err) == -1 && err.errnum == EINVAL);
	CU_ASSERT_EQUAL(cm_rights_parse("Read", &rights, NULL), -1);
	CU_ASSERT_STRING_EQUAL(cm_rights_format(0x00ffff80, text), "");
}

UNIT_MAIN("acl", { "RPC-29 ACL round trip, negative entries", test_round_trip },
	  { "RPC-29 21 entries -> EINVAL; texts over 1024 bytes", test_twenty },
	  { "SA-2024-002 RPC-64 text without NUL, cut at every byte, is refused without reading on",
	    test_unterminated },
	  { "SA-2024-002 malformed texts are refused", test_malformed },
	  { "ACL an entry replaces, is added, is taken out", test_merge },
	  { "ACL rights as letters, words and bits", test_rights })
