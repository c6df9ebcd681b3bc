/* Mount point texts, and the 24 cases of which volume one leads to. */
#include "cm/mount.h"
#include "tests/unit.h"

static void test_is(void)
{
	CU_ASSERT(cm_mount_is(0644, "#home."));
	CU_ASSERT(cm_mount_is(0644, "%home."));
	CU_ASSERT_FALSE(cm_mount_is(0755, "#home."));
	CU_ASSERT_FALSE(cm_mount_is(0644, "#home"));
	CU_ASSERT_FALSE(cm_mount_is(0644, "home."));
	CU_ASSERT_FALSE(cm_mount_is(0644, "#."));
	CU_ASSERT_FALSE(cm_mount_is(0644, ""));
}

static void test_parse(void)
{
	struct cm_mount m;
	char text[1024];

	CU_ASSERT_FATAL(cm_mount_parse("#home.", &m) == 0);
	CU_ASSERT(!m.force_rw && !*m.cell && m.suffix == CM_VOL_NONE && m.id == 0 && m.vnode == 1 && m.unique == 1);
	CU_ASSERT_STRING_EQUAL(m.volume, "home");
	CU_ASSERT_FATAL(cm_mount_parse("%other.org:a.b.readonly.", &m) == 0);
	CU_ASSERT(m.force_rw && m.suffix == CM_VOL_RO);
	CU_ASSERT_STRING_EQUAL(m.cell, "other.org");
	CU_ASSERT_STRING_EQUAL(m.volume, "a.b");
	CU_ASSERT_FATAL(cm_mount_parse("#x.backup.", &m) == 0);
	CU_ASSERT(m.suffix == CM_VOL_BK);
	CU_ASSERT_FATAL(cm_mount_parse("#536870918.", &m) == 0);
	CU_ASSERT(m.id == 536870918);
	CU_ASSERT_FATAL(cm_mount_parse("#c:536870918:3:7.", &m) == 0);
	CU_ASSERT(m.id == 536870918 && m.vnode == 3 && m.unique == 7);
	/* The last byte goes whatever it is. */
	CU_ASSERT_FATAL(cm_mount_parse("#homes", &m) == 0);
	CU_ASSERT_STRING_EQUAL(m.volume, "home");
	CU_ASSERT(cm_mount_parse("", &m) && cm_mount_parse("#.", &m) && cm_mount_parse("#:v.", &m));
	CU_ASSERT(cm_mount_parse("#c:.", &m) && cm_mount_parse("#a/b.", &m) && cm_mount_parse("#c:4294967296.", &m));
	CU_ASSERT(cm_mount_parse("#c:0.", &m) && cm_mount_parse("#c:5:0:1.", &m) && cm_mount_parse("#c:v:1:1.", &m));
	CU_ASSERT(cm_mount_parse("x home.", &m));
	memset(text, 'v', sizeof(text));
	text[0] = '#';
	text[sizeof(text) - 1] = '\0';
	CU_ASSERT(cm_mount_parse(text, &m));
}

static const struct {
	const char *text;
	enum cm_volume_kind parent;
	bool crosses, ro_exists;
	enum cm_volume_kind want;
} cases[] = {
	{ "#v.", CM_VOL_RO, false, true, CM_VOL_RO },
	{ "#v.", CM_VOL_RO, false, false, CM_VOL_RW },
	{ "#v.", CM_VOL_RO, true, true, CM_VOL_RO },
	{ "#v.", CM_VOL_RO, true, false, CM_VOL_RW },
	{ "#v.", CM_VOL_RW, false, true, CM_VOL_RW },
	{ "#v.", CM_VOL_RW, false, false, CM_VOL_RW },
	{ "#v.", CM_VOL_RW, true, true, CM_VOL_RO },
	{ "#v.", CM_VOL_RW, true, false, CM_VOL_RW },
	{ "#v.", CM_VOL_BK, false, true, CM_VOL_RW },
	{ "#v.", CM_VOL_BK, false, false, CM_VOL_RW },
	{ "#v.", CM_VOL_BK, true, true, CM_VOL_RO },
	{ "#v.", CM_VOL_BK, true, false, CM_VOL_RW },
	{ "%v.", CM_VOL_RO, false, true, CM_VOL_RW },
	{ "%v.", CM_VOL_RO, false, false, CM_VOL_RW },
	{ "%v.", CM_VOL_RO, true, true, CM_VOL_RW },
	{ "%v.", CM_VOL_RO, true, false, CM_VOL_RW },
	{ "%v.", CM_VOL_RW, false, true, CM_VOL_RW },
	{ "%v.", CM_VOL_RW, false, false, CM_VOL_RW },
	{ "%v.", CM_VOL_RW, true, true, CM_VOL_RW },
	{ "%v.", CM_VOL_RW, true, false, CM_VOL_RW },
	{ "%v.", CM_VOL_BK, false, true, CM_VOL_RW },
	{ "%v.", CM_VOL_BK, false, false, CM_VOL_RW },
	{ "%v.", CM_VOL_BK, true, true, CM_VOL_RW },
	{ "%v.", CM_VOL_BK, true, false, CM_VOL_RW },
	/* Suffixes and numbers say it themselves. */
	{ "#v.readonly.", CM_VOL_RW, false, true, CM_VOL_RO },
	{ "#v.readonly.", CM_VOL_RO, false, false, CM_VOL_NONE },
	{ "#v.backup.", CM_VOL_RW, false, true, CM_VOL_BK },
	{ "#v.backup.", CM_VOL_BK, false, true, CM_VOL_NONE },
	{ "#10.", CM_VOL_RO, false, true, CM_VOL_RO },
	{ "%10.", CM_VOL_RO, false, true, CM_VOL_RW },
	{ "#11.", CM_VOL_RW, false, true, CM_VOL_RO },
	{ "#12.", CM_VOL_RW, false, true, CM_VOL_BK },
};

static void test_choose(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t ids[3] = { 10, cases[i].ro_exists ? 11 : 0, 12 };
		struct cm_mount m;

		CU_ASSERT_FATAL(cm_mount_parse(cases[i].text, &m) == 0);
		CU_ASSERT_EQUAL(cm_mount_choose(&m, cases[i].parent, cases[i].crosses, ids), cases[i].want);
	}
}

UNIT_MAIN("mount", { "what a mount point is", test_is }, { "RPC-60 texts", test_parse },
	  { "CM-43 the 24 cases, suffixes, numbers", test_choose })
