/* The pure parts of the command line: options, numbers as people read them, rights,
 * access list edits. */
#include <math.h>

#include "tests/unit.h"
#include "tools/acl_edit.h"
#include "tools/format.h"
#include "tools/options.h"

enum { OPT_OFFSET = CLI_OPT_COMMAND };

static const struct cli_option ls_options[] = {
	{ 'l', "long", NULL, "" },         { 'a', "all", NULL, "" }, { 's', "size", "N", "" },
	{ OPT_OFFSET, "offset", "N", "" }, { 0, NULL, NULL, NULL },
};
static const struct cli_command commands[] = {
	{ "ls", "[PATH...]", "", NULL, "", ls_options, 0, -1, NULL },
	{ "ln", "TARGET PATH", "", NULL, "", NULL, 2, 2, NULL },
	{ NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL },
};

static char why[256];

/* Splits at blanks. */
static int parse(const char *line, struct cli_args *args)
{
	static char copy[512];
	char *argv[32] = { copy };
	int argc = 1;

	snprintf(copy, sizeof(copy), "umafs %s", line);
	strtok(copy, " ");
	while ((argv[argc] = strtok(NULL, " ")))
		argc++;
	why[0] = 0;
	return options_parse(commands, argc, argv, args, why);
}

static void test_letters(void)
{
	struct cli_args a;

	CU_ASSERT_EQUAL_FATAL(parse("ls -la /afs/x -s 5 y", &a), 0);
	CU_ASSERT_STRING_EQUAL(a.command->name, "ls");
	CU_ASSERT_TRUE(options_has(&a, 'l') && options_has(&a, 'a'));
	CU_ASSERT_STRING_EQUAL(a.value['s'], "5");
	CU_ASSERT_EQUAL(a.noperands, 2);
	CU_ASSERT_STRING_EQUAL(a.operands[1], "y");
	options_free(&a);
	CU_ASSERT_EQUAL_FATAL(parse("ls -ls5", &a), 0);
	CU_ASSERT_STRING_EQUAL(a.value['s'], "5");
	options_free(&a);
}

static void test_long(void)
{
	struct cli_args a;

	CU_ASSERT_EQUAL_FATAL(parse("--cell=c --json ls --offset 7 --as k:p p", &a), 0);
	CU_ASSERT_STRING_EQUAL(a.value[CLI_OPT_CELL], "c");
	CU_ASSERT_STRING_EQUAL(a.value[CLI_OPT_AS], "k:p");
	CU_ASSERT_STRING_EQUAL(a.value[OPT_OFFSET], "7");
	CU_ASSERT_TRUE(options_has(&a, CLI_OPT_JSON));
	CU_ASSERT_FALSE(options_has(&a, CLI_OPT_TRACE));
	options_free(&a);
}

static void test_operands(void)
{
	struct cli_args a;

	CU_ASSERT_EQUAL_FATAL(parse("ls -204 -- -x --cell", &a), 0);
	CU_ASSERT_EQUAL(a.noperands, 3);
	CU_ASSERT_STRING_EQUAL(a.operands[0], "-204");
	CU_ASSERT_STRING_EQUAL(a.operands[2], "--cell");
	options_free(&a);
	CU_ASSERT_EQUAL_FATAL(parse("ls -", &a), 0);
	CU_ASSERT_STRING_EQUAL(a.operands[0], "-");
	options_free(&a);
}

static void test_usage(void)
{
	static const struct {
		const char *line, *says;
	} bad[] = {
		{ "ls --colour", "unknown option --colour; see umafs ls --help" },
		{ "ls -lx", "unknown option -x; see umafs ls --help" },
		{ "ls --colour=red", "unknown option --colour; see umafs ls --help" },
		{ "-x", "unknown option -x; see umafs --help" },
		{ "ln -l a b", "unknown option -l; see umafs ln --help" },
		{ "ls --cell", "option --cell needs a value: CELL" },
		{ "ls -s", "option -s needs a value: N" },
		{ "ls --json=1", "option --json takes no value" },
		{ "dir", "unknown command dir; umafs --help lists them" },
		{ "", "which command? umafs --help lists them" },
		{ "ln a", "ln: too few arguments; it wants TARGET PATH; see umafs ln --help" },
		{ "ln a b c", "ln: too many arguments; it wants TARGET PATH; see umafs ln --help" },
	};
	struct cli_args a;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CU_ASSERT_EQUAL(parse(bad[i].line, &a), -1);
		CU_ASSERT_STRING_EQUAL(why, bad[i].says);
	}
}

static void test_help(void)
{
	struct cli_args a;

	CU_ASSERT_EQUAL_FATAL(parse("ln --help", &a), 0);
	CU_ASSERT_TRUE(options_has(&a, CLI_OPT_HELP));
	options_free(&a);
	CU_ASSERT_EQUAL_FATAL(parse("-h", &a), 0);
	CU_ASSERT_PTR_NULL(a.command);
	options_free(&a);
}

static void test_sizes(void)
{
	static const struct {
		const char *text;
		uint64_t size;
	} good[] = { { "0", 0 },
		     { "4095", 4095 },
		     { "64K", 65536 },
		     { "1k", 1024 },
		     { "1M", 1048576 },
		     { "5GiB", 5368709120u },
		     { "2T", 2199023255552u },
		     { "1KB", 1024 },
		     { "9223372036854775807", INT64_MAX } };
	static const char *const bad[] = { "",     "-1", "K", "1X", "1KK", "9223372036854775808", "9007199254740992K",
					   "1.5M", " 1" };
	uint64_t n;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		CU_ASSERT_TRUE_FATAL(options_size(good[i].text, &n));
		CU_ASSERT_EQUAL(n, good[i].size);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT_FALSE(options_size(bad[i], &n));
}

static void test_numbers(void)
{
	unsigned long n;

	CU_ASSERT_TRUE(options_number("65535", 0, 65535, &n));
	CU_ASSERT_EQUAL(n, 65535);
	CU_ASSERT_FALSE(options_number("65536", 0, 65535, &n));
	CU_ASSERT_FALSE(options_number("0", 1, 64, &n));
	CU_ASSERT_FALSE(options_number("7x", 1, 64, &n));
	CU_ASSERT_FALSE(options_number("", 0, 64, &n));
	CU_ASSERT_FALSE(options_number("-1", 0, 64, &n));
}

static void test_format(void)
{
	char b[FORMAT_SIZE];

	CU_ASSERT_STRING_EQUAL(format_size(0, b), "0 B");
	CU_ASSERT_STRING_EQUAL(format_size(1023, b), "1023 B");
	CU_ASSERT_STRING_EQUAL(format_size(1024, b), "1.0 KiB");
	CU_ASSERT_STRING_EQUAL(format_size(1024 * 1024 - 1, b), "1.0 MiB");
	CU_ASSERT_STRING_EQUAL(format_size(5368709120u, b), "5.0 GiB");
	CU_ASSERT_STRING_EQUAL(format_size(UINT64_MAX, b), "16.0 EiB");
	CU_ASSERT_STRING_EQUAL(format_count(0, b), "0");
	CU_ASSERT_STRING_EQUAL(format_count(999, b), "999");
	CU_ASSERT_STRING_EQUAL(format_count(1000, b), "1,000");
	CU_ASSERT_STRING_EQUAL(format_count(UINT64_MAX, b), "18,446,744,073,709,551,615");
	CU_ASSERT_STRING_EQUAL(format_rate(38.2e6, b), "38.2 MB/s");
	CU_ASSERT_STRING_EQUAL(format_rate(900, b), "0.9 kB/s");
	CU_ASSERT_STRING_EQUAL(format_rate(2.5e9, b), "2.5 GB/s");
	CU_ASSERT_STRING_EQUAL(format_duration(4.2, b), "0:04");
	CU_ASSERT_STRING_EQUAL(format_duration(750, b), "12:30");
	CU_ASSERT_STRING_EQUAL(format_duration(11100, b), "3:05:00");
	CU_ASSERT_STRING_EQUAL(format_duration(-1, b), "-:--");
	CU_ASSERT_STRING_EQUAL(format_duration((double)NAN, b), "-:--");
	CU_ASSERT_STRING_EQUAL(format_time(0, true, b), "never");
	CU_ASSERT_STRING_EQUAL(format_mode('-', 0644, b), "-rw-r--r--");
	CU_ASSERT_STRING_EQUAL(format_mode('d', 04711, b), "drws--x--x");
}

static void test_progress(void)
{
	char line[256];

	CU_ASSERT_STRING_EQUAL(format_progress(50 << 20, 100 << 20, 10 * 1048576.0, 60, line),
			       " 50% 50.0 MiB of 100.0 MiB  10.5 MB/s  0:05 left");
	CU_ASSERT_STRING_EQUAL(format_progress(0, 0, 0, 60, line), "  0% 0 B of 0 B  0.0 kB/s  -:-- left");
	format_progress(1, 2, 1, 20, line);
	CU_ASSERT_EQUAL(strlen(line), 20);
	/* More came than was announced. */
	format_progress(200, 100, 1, 120, line);
	CU_ASSERT_EQUAL(strncmp(line, "100% [####", 10), 0);
}

static void test_rights(void)
{
	char b[FORMAT_SIZE];
	uint32_t r;

	CU_ASSERT_TRUE(parse_rights("rl", &r) && r == 9);
	CU_ASSERT_TRUE(parse_rights("rlidwka", &r) && r == 127);
	CU_ASSERT_TRUE(parse_rights("read", &r) && r == 9);
	CU_ASSERT_TRUE(parse_rights("write", &r) && r == 63);
	CU_ASSERT_TRUE(parse_rights("all", &r) && r == 127);
	CU_ASSERT_TRUE(parse_rights("none", &r) && r == 0);
	CU_ASSERT_TRUE(parse_rights("rA", &r) && r == (1u | 1u << 24));
	CU_ASSERT_FALSE(parse_rights("rz", &r));
	CU_ASSERT_FALSE(parse_rights("", &r));
	CU_ASSERT_STRING_EQUAL(format_rights(127, b), "rlidwka");
	CU_ASSERT_STRING_EQUAL(format_rights(0, b), "none");
	CU_ASSERT_STRING_EQUAL(format_rights_fixed(9, b), "rl-----");
}

static void test_printable(void)
{
	char b[16];

	CU_ASSERT_STRING_EQUAL(format_printable("a\x1b[1m\nb", b, sizeof(b)), "a?[1m?b");
	CU_ASSERT_STRING_EQUAL(format_printable("abcdef", b, 4), "abc");
}

static void test_acl(void)
{
	static const char *const add[] = { "bob", "read", "carol", "rlidwk" };
	static const char *const drop[] = { "alice", "none" };
	static const char *const wrong[] = { "bob", "rq" };
	const char *text = "2\n0\nadmin\t127\nalice\t63\n";
	struct rx_error err = { 0 };
	char out[ACL_EDIT_TEXT];

	CU_ASSERT_EQUAL(acl_edit(text, add, 2, false, false, out, &err), 0);
	CU_ASSERT_STRING_EQUAL(out, "4\n0\nadmin\t127\nalice\t63\nbob\t9\ncarol\t63\n");
	CU_ASSERT_EQUAL(acl_edit(text, drop, 1, false, false, out, &err), 0);
	CU_ASSERT_STRING_EQUAL(out, "1\n0\nadmin\t127\n");
	CU_ASSERT_EQUAL(acl_edit(text, add, 1, true, false, out, &err), 0);
	CU_ASSERT_STRING_EQUAL(out, "2\n1\nadmin\t127\nalice\t63\nbob\t9\n");
	CU_ASSERT_EQUAL(acl_edit(text, add, 1, false, true, out, &err), 0);
	CU_ASSERT_STRING_EQUAL(out, "1\n0\nbob\t9\n");
	CU_ASSERT_EQUAL(acl_edit(text, wrong, 1, false, false, out, &err), -1);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "\"rq\""));
	CU_ASSERT_EQUAL(acl_edit("nonsense", add, 1, false, false, out, &err), -1);
}

UNIT_MAIN("cli", { "letters, joined and with values", test_letters }, { "long options", test_long },
	  { "operands, negative numbers, --", test_operands }, { "wrong usage names the flag and --help", test_usage },
	  { "help needs no operands", test_help }, { "sizes", test_sizes }, { "numbers", test_numbers },
	  { "sizes, rates and times as text", test_format }, { "progress line", test_progress },
	  { "rights", test_rights }, { "control characters", test_printable }, { "access list edits", test_acl })
