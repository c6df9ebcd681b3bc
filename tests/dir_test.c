/* Unit tests of cm/dir.c and cm/dir_edit.c, against a blob that an OpenAFS server wrote
 * (the root directory in tests/captures/client-anon.pcap). */
#include <errno.h>

#include "cm/dir.h"
#include "tests/unit.h"

static struct cm_dir_blob server_blob(void)
{
	struct cm_dir_blob dir = { malloc(CM_DIR_PAGE), CM_DIR_PAGE };
	FILE *f = fopen(unit_path("tests/captures/root-dir.blob"), "rb");

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_EQUAL_FATAL(fread(dir.data, 1, CM_DIR_PAGE, f), CM_DIR_PAGE);
	fclose(f);
	return dir;
}

static void test_hash(void)
{
	char xs[256];
	static const struct {
		const char *name;
		uint32_t hash;
		unsigned bucket;
	} vectors[] = {
		{ ".", 0x2e, 46 },
		{ "..", 0x1f44, 68 },
		{ "a", 0x61, 97 },
		{ "README", 0x0eaf9786, 6 },
		{ "Makefile", 0x827e719e, 98 },
		{ "file1", 0x666f9e81, 1 },
		{ "file2", 0x666f9e82, 2 },
		{ "@sys", 0x13f53423, 35 },
		{ "hello.txt", 0xd9e5606e, 18 },
		{ "core", 0x1ec08eb5, 53 },
		{ "longer-name-with-20ch", 0x6bdecfc8, 72 },
		{ "\xc3\xa9t\xc3\xa9", 0xdf867534, 76 },
		{ "\xff", 0xff, 127 },
		{ "0123456789abcdef", 0x14a67eee, 110 },
		{ "UPPER lower", 0x4baa77c1, 65 },
	};

	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		CU_ASSERT_EQUAL(cm_dir_hash(vectors[i].name), vectors[i].hash);
		CU_ASSERT_EQUAL(cm_dir_bucket(vectors[i].name), vectors[i].bucket);
	}
	memset(xs, 'x', 255);
	xs[255] = 0;
	CU_ASSERT_EQUAL(cm_dir_hash(xs), 0x78674ea8);
	CU_ASSERT_EQUAL(cm_dir_bucket(xs), 40);
}

static void test_server_blob(void)
{
	static const struct {
		const char *name;
		uint32_t vnode, unique;
	} want[] = {
		{ ".", 1, 1 },
		{ "..", 1, 1 },
		{ "secret", 3, 2 },
		{ "drop", 5, 3 },
		{ "three-million", 2, 4 },
		{ "seed", 7, 5 },
		{ "kseed", 9, 7 },
		{ "open", 0xb, 9 },
		{ "lk0", 0xe, 0x80a },
		{ "lk1", 0x10, 0x80b },
		{ "lk2", 0x12, 0x80c },
	};
	struct cm_dir_blob dir = server_blob(), ours;
	struct cm_dir_entry e;
	uint32_t cookie = 0;

	CU_ASSERT_EQUAL(cm_dir_check(dir.data, dir.len, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(cm_dir_make(&ours, 1, 1, 1, 1, NULL), 0);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		CU_ASSERT_TRUE_FATAL(cm_dir_next(dir.data, dir.len, &cookie, &e));
		CU_ASSERT_STRING_EQUAL(e.name, want[i].name);
		CU_ASSERT_EQUAL(e.vnode, want[i].vnode);
		CU_ASSERT_EQUAL(e.unique, want[i].unique);
		CU_ASSERT_EQUAL(e.slot, 13 + i);
		CU_ASSERT_TRUE(cm_dir_lookup(dir.data, dir.len, want[i].name, &e));
		CU_ASSERT_EQUAL(e.vnode, want[i].vnode);
		if (i >= 2)
			CU_ASSERT_EQUAL(cm_dir_add(&ours, want[i].name, want[i].vnode, want[i].unique, NULL), 0);
	}
	CU_ASSERT_FALSE(cm_dir_next(dir.data, dir.len, &cookie, &e));
	CU_ASSERT_FALSE(cm_dir_lookup(dir.data, dir.len, "nobody", &e));
	CU_ASSERT_FALSE(cm_dir_is_empty(dir.data, dir.len));
	/* The server's directory had other entries in between; removing leaves no trace. */
	CU_ASSERT_EQUAL(cm_dir_add(&ours, "gone", 4, 4, NULL), 0);
	CU_ASSERT_EQUAL(cm_dir_delete(&ours, "gone", NULL), 0);
	CU_ASSERT_EQUAL_FATAL(ours.len, dir.len);
	CU_ASSERT_EQUAL(memcmp(ours.data, dir.data, dir.len), 0);
	free(dir.data);
	free(ours.data);
}

/* Slots come back first-fit, chains push at the head, an entry never crosses a page. */
static void test_reuse(void)
{
	struct cm_dir_blob dir;
	struct cm_dir_entry e;
	char long_name[64];

	CU_ASSERT_EQUAL_FATAL(cm_dir_make(&dir, 1, 1, 1, 1, NULL), 0);
	CU_ASSERT_TRUE(cm_dir_is_empty(dir.data, dir.len));
	CU_ASSERT_EQUAL(cm_dir_add(&dir, "a", 2, 2, NULL), 0);
	memset(long_name, 'n', 47);
	long_name[47] = 0;
	CU_ASSERT_EQUAL(cm_dir_add(&dir, long_name, 4, 3, NULL), 0);
	CU_ASSERT_EQUAL(cm_dir_add(&dir, "c", 6, 4, NULL), 0);
	CU_ASSERT_EQUAL(cm_dir_delete(&dir, long_name, NULL), 0);
	/* Of the two slots' 64 bytes the server clears 56, which leaves the name's tail. */
	CU_ASSERT_TRUE(unit_is_hex(dir.data + 16 * CM_DIR_SLOT + 52, 12, "00000000 6e6e6e00 00000000"));
	CU_ASSERT_EQUAL(cm_dir_add(&dir, "sixteen-letters!", 8, 5, NULL), 0);
	CU_ASSERT_TRUE(cm_dir_lookup(dir.data, dir.len, "sixteen-letters!", &e));
	CU_ASSERT_EQUAL(e.slot, 16);
	CU_ASSERT_EQUAL(cm_dir_add(&dir, "d", 10, 6, NULL), 0);
	CU_ASSERT_TRUE(cm_dir_lookup(dir.data, dir.len, "d", &e));
	CU_ASSERT_EQUAL(e.slot, 19);
	CU_ASSERT_EQUAL(cm_dir_check(dir.data, dir.len, NULL), 0);
	CU_ASSERT_EQUAL(dir.data[CM_DIR_AT_ALLOMAP], 64 - 20);
	CU_ASSERT_EQUAL(cm_dir_replace(&dir, "..", 77, 78, NULL), 0);
	CU_ASSERT_TRUE(cm_dir_lookup(dir.data, dir.len, "..", &e));
	CU_ASSERT_EQUAL(e.vnode, 77);
	free(dir.data);
}

static void test_refusals(void)
{
	struct cm_dir_blob dir;
	struct rx_error err;
	char name[300];

	CU_ASSERT_EQUAL_FATAL(cm_dir_make(&dir, 1, 1, 1, 1, NULL), 0);
	memset(name, 'n', 257);
	name[257] = 0;
	CU_ASSERT_TRUE(cm_dir_add(&dir, name, 2, 2, &err) == -1 && err.errnum == ENAMETOOLONG);
	name[256] = 0;
	CU_ASSERT_EQUAL(cm_dir_add(&dir, name, 2, 2, NULL), 0);
	CU_ASSERT_EQUAL(cm_dir_check(dir.data, dir.len, NULL), 0);
	CU_ASSERT_TRUE(cm_dir_add(&dir, name, 2, 2, &err) == -1 && err.errnum == EEXIST);
	CU_ASSERT_TRUE(cm_dir_add(&dir, "", 2, 2, &err) == -1 && err.errnum == EINVAL);
	CU_ASSERT_TRUE(cm_dir_add(&dir, "a/b", 2, 2, &err) == -1 && err.errnum == EINVAL);
	CU_ASSERT_TRUE(cm_dir_delete(&dir, "..", &err) == -1 && err.errnum == EINVAL);
	CU_ASSERT_TRUE(cm_dir_delete(&dir, "x", &err) == -1 && err.errnum == ENOENT);
	CU_ASSERT_TRUE(cm_dir_replace(&dir, "x", 1, 1, &err) == -1 && err.errnum == ENOENT);
	free(dir.data);
}

/* Fills with numbered names; returns how many fitted before EFBIG. */
static unsigned fill(struct cm_dir_blob *dir, const char *format)
{
	struct rx_error err = { 0 };
	char name[64];
	unsigned n = 0;

	for (;; n++) {
		snprintf(name, sizeof(name), format, n);
		if (cm_dir_add(dir, name, 2 * n + 2, n + 1, &err))
			break;
	}
	CU_ASSERT_EQUAL(err.errnum, EFBIG);
	return n;
}

static void test_full(void)
{
	struct cm_dir_blob dir;
	struct cm_dir_entry e;
	uint32_t cookie = 0, n = 0;

	CU_ASSERT_EQUAL_FATAL(cm_dir_make(&dir, 1, 1, 1, 1, NULL), 0);
	CU_ASSERT_EQUAL(fill(&dir, "n%u"), 64435);
	CU_ASSERT_EQUAL(dir.len, CM_DIR_MAX_PAGES * CM_DIR_PAGE);
	CU_ASSERT_EQUAL(cm_dir_check(dir.data, dir.len, NULL), 0);
	while (cm_dir_next(dir.data, dir.len, &cookie, &e))
		n++;
	CU_ASSERT_EQUAL(n, 64437);
	CU_ASSERT_EQUAL(cm_dir_delete(&dir, "n50000", NULL), 0);
	CU_ASSERT_EQUAL(cm_dir_add(&dir, "x", 2, 2, NULL), 0);
	CU_ASSERT_TRUE(cm_dir_lookup(dir.data, dir.len, "x", &e));
	CU_ASSERT_TRUE(e.slot > 128 * 64);
	CU_ASSERT_EQUAL(cm_dir_check(dir.data, dir.len, NULL), 0);
	free(dir.data);
	CU_ASSERT_EQUAL_FATAL(cm_dir_make(&dir, 1, 1, 1, 1, NULL), 0);
	CU_ASSERT_EQUAL(fill(&dir, "a-name-of-sixteen-and-more-%u"), 31706);
	CU_ASSERT_EQUAL(cm_dir_check(dir.data, dir.len, NULL), 0);
	free(dir.data);
}

/* Readers must not run away on it, whatever the check says. */
static void read_all(const uint8_t *blob, size_t len)
{
	struct cm_dir_entry e;
	uint32_t cookie = 0;

	while (cm_dir_next(blob, len, &cookie, &e))
		;
	cm_dir_lookup(blob, len, "secret", &e);
	cm_dir_lookup(blob, len, "nobody", &e);
	cm_dir_is_empty(blob, len);
}

struct violation {
	const char *says;
	size_t at;
	const char *hex;
};

/* Slot 15 is "secret", its bucket's head at 160 + 2 * bucket. */
enum { SECRET = 15 * CM_DIR_SLOT, LAST = 63 * CM_DIR_SLOT };

static void test_violations(void)
{
	const size_t head = CM_DIR_AT_HASH + 2 * cm_dir_bucket("secret");
	const size_t dots = CM_DIR_AT_HASH + 2 * cm_dir_bucket("..");
	const struct violation violations[] = {
		{ "no tag", CM_DIR_AT_TAG, "04d3" },
		{ "pages are missing", CM_DIR_AT_PGCOUNT, "0002" },
		{ "outside the entries", head, "0040" },
		{ "outside the entries", head, "ffff" },
		{ "outside the entries", head, "000c" },
		{ "outside the entries", SECRET + CM_DIR_AT_NEXT, "0001" },
		{ "loops", SECRET + CM_DIR_AT_NEXT, "000f" },
		{ "not marked as one", SECRET, "00" },
		{ "not marked as one", SECRET, "03" },
		{ "name is empty", SECRET + CM_DIR_AT_NAME, "00" },
		{ "contains '/'", SECRET + CM_DIR_AT_NAME, "73652f726574" },
		{ "not in its place", SECRET + 12, "2e00" },
		{ "not in its place", SECRET + 12, "2e2e00" },
		{ "wrong chain", SECRET + CM_DIR_AT_NAME, "53" },
		{ "has no object", SECRET + CM_DIR_AT_VNODE, "00000000" },
		{ "free slot", CM_DIR_AT_BITMAP + 1, "7f" },
		{ "has no object", SECRET + CM_DIR_AT_UNIQUE, "00000000" },
		{ "not marked as one", dots, "0018" },
	};
	struct cm_dir_blob dir = server_blob();

	for (size_t i = 0; i < sizeof(violations) / sizeof(violations[0]); i++) {
		const struct violation *v = &violations[i];
		uint8_t *blob = malloc(dir.len);
		struct rx_error err = { 0 };

		memcpy(blob, dir.data, dir.len);
		unit_hex(v->hex, blob + v->at, strlen(v->hex) / 2);
		CU_ASSERT_EQUAL(cm_dir_check(blob, dir.len, &err), -1);
		CU_ASSERT_EQUAL(err.errnum, EIO);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, v->says));
		if (!strstr(err.text, v->says))
			printf("\n%zu: wanted \"%s\", got \"%s\"\n", i, v->says, err.text);
		read_all(blob, dir.len);
		free(blob);
	}
	free(dir.data);
}

/* A name that runs to the end of its page, or over it, or is too long for an entry. */
static void test_endless_names(void)
{
	struct cm_dir_blob dir = server_blob();
	const size_t head = CM_DIR_AT_HASH + 2 * cm_dir_bucket("secret");
	struct rx_error err;

	memset(dir.data + 24 * CM_DIR_SLOT, 'x', CM_DIR_PAGE - 24 * CM_DIR_SLOT);
	dir.data[LAST] = 1;
	unit_hex("003f", dir.data + head, 2);
	CU_ASSERT_EQUAL(cm_dir_check(dir.data, dir.len, &err), -1);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "does not end"));
	read_all(dir.data, dir.len);
	dir.data[CM_DIR_PAGE - 1] = 0;
	CU_ASSERT_EQUAL(cm_dir_check(dir.data, dir.len, &err), -1);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "crosses"));
	dir.data[30 * CM_DIR_SLOT] = 1;
	unit_hex("001e", dir.data + head, 2);
	CU_ASSERT_EQUAL(cm_dir_check(dir.data, dir.len, &err), -1);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "too long"));
	read_all(dir.data, dir.len);
	free(dir.data);
}

static void test_lengths(void)
{
	struct cm_dir_blob dir = server_blob();
	size_t most = (CM_DIR_MAX_PAGES + 1) * (size_t)CM_DIR_PAGE;
	uint8_t *big = calloc(1, most);

	for (size_t i = 0; i < most; i += CM_DIR_PAGE)
		memcpy(big + i, dir.data, CM_DIR_PAGE);
	CU_ASSERT_EQUAL(cm_dir_check(NULL, 0, NULL), -1);
	read_all(NULL, 0);
	CU_ASSERT_EQUAL(cm_dir_check(dir.data, 2047, NULL), -1);
	read_all(dir.data, 2047);
	CU_ASSERT_EQUAL(cm_dir_check(big, 2049, NULL), -1);
	CU_ASSERT_EQUAL(cm_dir_check(big, 2 * CM_DIR_PAGE, NULL), 0);
	CU_ASSERT_EQUAL(cm_dir_check(big, most - CM_DIR_PAGE, NULL), 0);
	CU_ASSERT_EQUAL(cm_dir_check(big, most, NULL), -1);
	read_all(big, most);
	big[CM_DIR_AT_PGCOUNT + 1] = 0; /* old style */
	CU_ASSERT_EQUAL(cm_dir_check(big, 2 * CM_DIR_PAGE, NULL), 0);
	free(big);
	free(dir.data);
}

/* Every byte of the header and the entries, several values: no crash, no endless loop,
 * and edits leave the blob's bounds alone. */
static void test_bytes_turned(void)
{
	static const uint8_t values[] = { 0, 1, 15, 64, 0x7f, 0xff };
	struct cm_dir_blob dir = server_blob(), copy;

	for (size_t at = 0; at < 24 * CM_DIR_SLOT; at++) {
		for (size_t v = 0; v < sizeof(values); v++) {
			copy.len = dir.len;
			copy.data = malloc(dir.len);
			memcpy(copy.data, dir.data, dir.len);
			copy.data[at] = values[v];
			read_all(copy.data, copy.len);
			cm_dir_check(copy.data, copy.len, NULL);
			cm_dir_add(&copy, "another-name-of-some-length", 2, 2, NULL);
			cm_dir_delete(&copy, "drop", NULL);
			read_all(copy.data, copy.len);
			free(copy.data);
		}
	}
	free(dir.data);
}

UNIT_MAIN("dir", { "RPC-45 hash vectors", test_hash },
	  { "RPC-47 add/delete matches a server-made blob byte for byte", test_server_blob },
	  { "RPC-47 slot reuse is first fit inside a page", test_reuse },
	  { "RPC-25 names that cannot be stored are refused, 256 bytes can", test_refusals },
	  { "RPC-46 fill to EFBIG; > 128 pages", test_full },
	  { "RPC-48 every violation of a single blob -> EIO", test_violations },
	  { "RPC-58 names without NUL, across the page, too long", test_endless_names },
	  { "RPC-48 lengths and page counts", test_lengths },
	  { "RPC-58 any byte turned: readers and edits stay inside the blob", test_bytes_turned })
