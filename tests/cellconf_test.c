/* Unit tests of cm/cellconf.c over small configuration directories made on the spot. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cm/cellconf.h"
#include "tests/unit.h"

static char root[] = "/tmp/umafs-cellconf-XXXXXX";
static char warnings[4096];

static void note(void *arg, const char *file, unsigned line, const char *message)
{
	size_t len = strlen(warnings);
	const char *base = strrchr(file, '/');

	(void)arg;
	snprintf(warnings + len, sizeof(warnings) - len, "%s:%u: %s\n", base + 1, line, message);
}

static const char *below(const char *path)
{
	static char full[4096];

	snprintf(full, sizeof(full), "%s/%s", root, path);
	return full;
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(below(path), "w");

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	fputs(text, f);
	fclose(f);
}

static struct cm_cellconf *read_root(const char *path)
{
	char dir[4096];

	warnings[0] = 0;
	snprintf(dir, sizeof(dir), "%s", below(path));
	return cm_cellconf_read(dir, note, NULL, NULL);
}

static void test_everything_odd(void)
{
	struct cm_cellconf *conf;
	const struct cm_cellconf_cell *cell;

	mkdir(below("odd"), 0755);
	write_file("odd/ThisCell", "  one.example trailing words\nsecond line\n");
	write_file("odd/CellServDB", "10.9.9.9 #orphan\n"
				     ">one.example        #Cell one\n"
				     "10.0.0.1            #db1.one.example\n"
				     "# a remark\n"
				     "[10.0.0.2]          #db2.one.example\r\n"
				     "10.0.0.256          #db3\n"
				     "10.0.0.4\n"
				     "\n"
				     "  10.0.0.5 # db5.one.example\n"
				     ">two.example one.example #linked\n"
				     ">three.example #no servers\n"
				     ">one.example #again\n"
				     "10.7.7.7 #never\n"
				     "nonsense of the second one\n"
				     ">\n"
				     "10.6.6.6 #nobody's\n"
				     ">../etc\n"
				     ">four.example\n"
				     "10.4.0.1 #db.four.example");
	conf = read_root("odd");
	CU_ASSERT_PTR_NOT_NULL_FATAL(conf);
	CU_ASSERT_STRING_EQUAL(conf->local, "one.example");
	CU_ASSERT_EQUAL(conf->ncells, 4);
	cell = cm_cellconf_find(conf, "One.Example");
	CU_ASSERT_PTR_NOT_NULL_FATAL(cell);
	CU_ASSERT_EQUAL_FATAL(cell->nservers, 4);
	CU_ASSERT_EQUAL(cell->servers[0].ip, 0x0a000001);
	CU_ASSERT_STRING_EQUAL(cell->servers[0].name, "db1.one.example");
	CU_ASSERT_FALSE(cell->servers[0].clone);
	CU_ASSERT_TRUE(cell->servers[1].clone);
	CU_ASSERT_EQUAL(cell->servers[1].ip, 0x0a000002);
	CU_ASSERT_STRING_EQUAL(cell->servers[1].name, "db2.one.example");
	CU_ASSERT_STRING_EQUAL(cell->servers[2].name, "10.0.0.4");
	CU_ASSERT_STRING_EQUAL(cell->servers[3].name, "db5.one.example");
	CU_ASSERT_PTR_NULL(cell->linked);
	cell = cm_cellconf_find(conf, "two.example");
	CU_ASSERT_TRUE(cell && cell->nservers == 0 && !strcmp(cell->linked, "one.example"));
	cell = cm_cellconf_find(conf, "three.example");
	CU_ASSERT_TRUE(cell && cell->nservers == 0 && !cell->linked);
	cell = cm_cellconf_find(conf, "four.example");
	CU_ASSERT_TRUE(cell && cell->nservers == 1);
	CU_ASSERT_PTR_NULL(cm_cellconf_find(conf, "five.example"));
	CU_ASSERT_STRING_EQUAL(
		warnings, "CellServDB:1: server 10.9.9.9 before any \">cell\" line; the line is skipped\n"
			  "CellServDB:4: neither \">cell\" nor \"address #host\"; the line is skipped\n"
			  "CellServDB:6: neither \">cell\" nor \"address #host\"; the line is skipped\n"
			  "CellServDB:7: no \"#host\" behind 10.0.0.4; it is used, but OpenAFS would refuse the file\n"
			  "CellServDB:12: cell one.example is here for the second time; the first entry is used\n"
			  "CellServDB:15: no cell name after '>'; this cell is skipped\n"
			  "CellServDB:17: no cell name after '>'; this cell is skipped\n");
	cm_cellconf_free(conf);
}

static void test_later_files(void)
{
	struct cm_cellconf *conf;
	const struct cm_cellconf_cell *cell;

	mkdir(below("d"), 0755);
	mkdir(below("d/CellServDB.d"), 0755);
	write_file("d/ThisCell", "a.example\n");
	write_file("d/CellServDB",
		   ">a.example linked.example #\n1.0.0.1 #a1\n1.0.0.2 #a2\n>b.example #\n2.0.0.1 #b1\n");
	write_file("d/CellServDB.d/Z", ">a.example #\n1.0.0.9 #a9\n");
	write_file("d/CellServDB.d/a",
		   ">a.example #\n1.0.0.8 #a8\n1.0.0.7 #a7\n>c.example #\n3.0.0.1 #c1\n>a.example\n");
	write_file("d/CellServDB.d/.hidden", ">d.example #\n");
	conf = read_root("d");
	CU_ASSERT_PTR_NOT_NULL_FATAL(conf);
	CU_ASSERT_EQUAL(conf->ncells, 3);
	/* 'Z' < 'a' in bytes: "a" has the last word. */
	cell = cm_cellconf_find(conf, "a.example");
	CU_ASSERT_TRUE_FATAL(cell && cell->nservers == 2);
	CU_ASSERT_EQUAL(cell->servers[0].ip, 0x01000008);
	CU_ASSERT_PTR_NULL(cell->linked);
	CU_ASSERT_PTR_NOT_NULL(cm_cellconf_find(conf, "b.example"));
	CU_ASSERT_STRING_EQUAL(warnings, "a:6: cell a.example is here for the second time; the first entry is used\n");
	cm_cellconf_free(conf);
}

static void test_changes(void)
{
	struct cm_cellconf *conf;

	mkdir(below("n"), 0755);
	write_file("n/ThisCell", "a.example\n");
	conf = read_root("n");
	CU_ASSERT_PTR_NOT_NULL_FATAL(conf);
	CU_ASSERT_EQUAL(conf->ncells, 0);
	CU_ASSERT_FALSE(cm_cellconf_changed(conf));
	write_file("n/CellServDB", ">a.example #\n");
	CU_ASSERT_TRUE(cm_cellconf_changed(conf));
	cm_cellconf_free(conf);
	conf = read_root("n");
	CU_ASSERT_FALSE(cm_cellconf_changed(conf));
	write_file("n/CellServDB", ">a.example #\n1.0.0.1 #x\n");
	CU_ASSERT_TRUE(cm_cellconf_changed(conf));
	cm_cellconf_free(conf);
	conf = read_root("n");
	mkdir(below("n/CellServDB.d"), 0755);
	CU_ASSERT_TRUE(cm_cellconf_changed(conf));
	cm_cellconf_free(conf);
}

static void test_search(void)
{
	struct cm_cellconf *conf;
	struct rx_error err;

	mkdir(below("empty"), 0755);
	mkdir(below("home"), 0755);
	mkdir(below("home/.config"), 0755);
	mkdir(below("home/.config/umafs"), 0755);
	write_file("empty/ThisCell", "\n");
	write_file("home/.config/umafs/ThisCell", "home.example");
	setenv("UMAFS_CONF", below("empty"), 1);
	setenv("HOME", below("home"), 1);
	unsetenv("AFSCELL");
	conf = cm_cellconf_read(NULL, NULL, NULL, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(conf);
	CU_ASSERT_STRING_EQUAL(cm_cellconf_local(conf), "home.example");
	setenv("AFSCELL", "env.example", 1);
	CU_ASSERT_STRING_EQUAL(cm_cellconf_local(conf), "env.example");
	unsetenv("AFSCELL");
	cm_cellconf_free(conf);
	setenv("UMAFS_CONF", below("d"), 1);
	conf = cm_cellconf_read(NULL, NULL, NULL, NULL);
	CU_ASSERT_TRUE(conf && !strcmp(conf->local, "a.example"));
	cm_cellconf_free(conf);
	conf = read_root("empty");
	CU_ASSERT_TRUE(conf && !cm_cellconf_local(conf));
	cm_cellconf_free(conf);
	CU_ASSERT_PTR_NULL(cm_cellconf_read(below("nowhere"), NULL, NULL, &err));
	CU_ASSERT_EQUAL(err.errnum, ENOENT);
	CU_ASSERT_PTR_NULL(cm_cellconf_read(below("d/ThisCell"), NULL, NULL, &err));
	CU_ASSERT_EQUAL(err.errnum, ENOTDIR);
}

static void test_bytes(void)
{
	static const char start[] = ">a.example\0 #\n1.0.0.1 #a\n>b.example #\n[1.2.3.4 #x\n[]#\n>";
	struct cm_cellconf *conf;
	FILE *f;

	mkdir(below("bytes"), 0755);
	f = fopen(below("bytes/CellServDB"), "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	fwrite(start, 1, sizeof(start) - 1, f);
	for (int i = 0; i < 100000; i++)
		fputc('x', f);
	fclose(f);
	conf = read_root("bytes");
	CU_ASSERT_TRUE(conf && conf->ncells == 2);
	CU_ASSERT_TRUE(conf && !strcmp(conf->cells[0].name, "b.example") && conf->cells[0].nservers == 0);
	cm_cellconf_free(conf);
}

static void make_root(void)
{
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(root));
}

static void remove_root(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	CU_ASSERT_EQUAL(system(command), 0);
}

#define WITH_ROOT(test)                                                                                                \
	static void rooted_##test(void)                                                                                \
	{                                                                                                              \
		strcpy(root + sizeof(root) - 7, "XXXXXX");                                                             \
		make_root();                                                                                           \
		test();                                                                                                \
		remove_root();                                                                                         \
	}
static void test_search_after_d(void)
{
	test_later_files();
	test_search();
}
WITH_ROOT(test_everything_odd)
WITH_ROOT(test_later_files)
WITH_ROOT(test_changes)
WITH_ROOT(test_search_after_d)
WITH_ROOT(test_bytes)

UNIT_MAIN("cellconf",
	  { "CM-47 CellServDB with a bad line, duplicate cell, clone, linked cell, no-server cell",
	    rooted_test_everything_odd },
	  { "CM-47 CellServDB.d in byte order, later files replace whole cells", rooted_test_later_files },
	  { "CM-47 changes of any file are seen", rooted_test_changes },
	  { "CM-47 the search list, AFSCELL, and no configuration", rooted_test_search_after_d },
	  { "CM-47 NUL bytes and endless lines", rooted_test_bytes })
