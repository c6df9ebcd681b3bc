/* The library's calls on a real server, judged by a second client that shares nothing with
 * the first: random writes, reads, truncations, stores through a mapping and syncs
 * against an image in memory, as fsx does; then names. Prints TAP.
 *
 *	library CONFDIR TOKEN /afs/CELL/DIR SEED STEPS
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vfs-emu/umafs.h"

enum { SIZE_MAX_TESTED = 1 << 20, WRITE_MAX = 70000, MAP = 64 * 4096 };

struct client {
	struct umafs *fs;
	struct umafs_token *token;
};

static unsigned tests, failures;
static struct umafs_error err;

static bool check(bool held, const char *what)
{
	printf("%sok %u - %s\n", held ? "" : "not ", ++tests, what);
	if (!held) {
		failures++;
		printf("# %s\n", err.text);
	}
	return held;
}

static void start(struct client *c, const char *confdir, const char *spec, unsigned age_ms)
{
	struct umafs_config config = { .size = sizeof(config) };

	config.confdir = confdir;
	config.max_dirty_age_ms = age_ms;
	c->fs = umafs_new(&config, &err);
	c->token = c->fs ? umafs_token_open(c->fs, spec, NULL, &err) : NULL;
	if (c->token)
		return;
	printf("not ok 1 - a client starts\n# %s\n", err.text);
	exit(1);
}

static void end(struct client *c)
{
	umafs_token_close(c->token);
	check(umafs_free(c->fs) == 0, "the client ends with nothing unstored");
}

static void fill(uint8_t *p, size_t len)
{
	while (len-- > 0)
		*p++ = (uint8_t)random();
}

struct image {
	uint8_t *bytes;
	size_t size;
};

/* One random step on file and image. False: they differ, or a call failed. */
static bool step(struct umafs_file *f, uint8_t *map, struct image *im, uint8_t *buf)
{
	size_t off = (size_t)random() % (SIZE_MAX_TESTED - WRITE_MAX), len = (size_t)random() % WRITE_MAX + 1;
	ssize_t n;

	switch (random() % 8) {
	case 0:
	case 1:
		fill(buf, len);
		memcpy(im->bytes + off, buf, len);
		if (off + len > im->size)
			im->size = off + len;
		return umafs_pwrite(f, buf, len, off, &err) == (ssize_t)len;
	case 2:
	case 3:
		n = umafs_pread(f, buf, len, off, &err);
		len = off >= im->size ? 0 : im->size - off < len ? im->size - off : len;
		return n == (ssize_t)len && memcmp(buf, im->bytes + off, len) == 0;
	case 4:
	case 5: /* through the mapping, where the file is */
		off %= MAP;
		if (off >= im->size)
			return true;
		len = len % 9000 + 1;
		len = off + len > im->size ? im->size - off : len;
		len = off + len > MAP ? MAP - off : len;
		fill(buf, len);
		memcpy(map + off, buf, len);
		memcpy(im->bytes + off, buf, len);
		return true;
	case 6:
		if (random() % 4 > 0)
			return umafs_fsync(f, &err) == 0;
		if (off < im->size)
			memset(im->bytes + off, 0, im->size - off);
		im->size = off;
		return umafs_ftruncate(f, off, &err) == 0;
	default: /* what the mapping shows */
		off %= MAP;
		if (off >= im->size)
			return true;
		len = im->size < MAP ? im->size - off : MAP - off;
		return memcmp(map + off, im->bytes + off, len) == 0;
	}
}

static bool same_elsewhere(struct client *other, const char *path, const struct image *im, uint8_t *buf)
{
	struct umafs_file *f = umafs_open(other->fs, other->token, path, UMAFS_RDONLY, 0, &err);
	ssize_t n = f ? umafs_pread(f, buf, SIZE_MAX_TESTED, 0, &err) : -1;
	bool same = n == (ssize_t)im->size && memcmp(buf, im->bytes, im->size) == 0;

	if (f)
		same = umafs_close(f, &err) == 0 && same;
	return same;
}

static void storm(struct client *c, struct client *other, const char *path, unsigned steps)
{
	struct image im = { .bytes = calloc(1, SIZE_MAX_TESTED) };
	uint8_t *buf = malloc(SIZE_MAX_TESTED), *map;
	struct umafs_file *f = umafs_open(c->fs, c->token, path, UMAFS_RDWR | UMAFS_CREAT | UMAFS_EXCL, 0644, &err);
	bool ok = true;

	if (!check(f != NULL, "open creates a file"))
		exit(1);
	map = umafs_mmap(f, MAP, PROT_READ | PROT_WRITE, 0, &err);
	if (!check(map != NULL, "an empty file is mapped"))
		exit(1);
	for (unsigned i = 0; i < steps && ok; i++) {
		ok = step(f, map, &im, buf);
		if (!ok)
			printf("# step %u, size %zu\n", i, im.size);
	}
	check(ok, "random writes, reads, stores, truncations agree with the image");
	check(umafs_msync(c->fs, map, MAP, MS_SYNC, &err) == 0, "msync");
	check(umafs_fsync(f, &err) == 0, "fsync");
	check(same_elsewhere(other, path, &im, buf), "another client reads the same bytes");
	check(umafs_close(f, &err) == 0, "close, with the mapping still there");
	if (im.size > 0) {
		map[0] = im.bytes[0] = (uint8_t)~im.bytes[0];
		check(umafs_msync(c->fs, map, MAP, MS_SYNC, &err) == 0, "the mapping outlives the handle");
		check(same_elsewhere(other, path, &im, buf), "and what it stores arrives");
	}
	check(umafs_munmap(c->fs, map, MAP, &err) == 0, "munmap");
	free(im.bytes);
	free(buf);
}

/* Nobody asks for it, yet a store becomes visible elsewhere: its age sends it, and the
 * callback break reaches a client that is not waiting for anything. */
static void aged(struct client *c, struct client *other, const char *path)
{
	struct umafs_file *f = umafs_open(c->fs, c->token, path, UMAFS_RDWR | UMAFS_CREAT, 0644, &err), *seen = NULL;
	char *map = NULL, byte = 0;
	unsigned tries;

	if (f && umafs_pwrite(f, "-", 1, 0, &err) == 1 && umafs_fsync(f, &err) == 0)
		map = umafs_mmap(f, 4096, PROT_READ | PROT_WRITE, 0, &err);
	if (map)
		seen = umafs_open(other->fs, other->token, path, UMAFS_RDONLY, 0, &err);
	if (!check(seen && umafs_pread(seen, &byte, 1, 0, &err) == 1 && byte == '-', "two clients hold a file"))
		return;
	map[0] = '+';
	for (tries = 0; tries < 10000 && byte != '+' && umafs_pread(seen, &byte, 1, 0, &err) == 1; tries++)
		usleep(1000);
	check(byte == '+', "a store is sent when it is old enough, and seen elsewhere");
	check(umafs_munmap(c->fs, map, 4096, &err) == 0 && umafs_close(f, &err) == 0 && umafs_close(seen, &err) == 0,
	      "and all is closed");
}

static void names(struct client *c, const char *dir)
{
	char a[1024], b[1024];
	struct umafs_file *f;

	snprintf(a, sizeof(a), "%s/sub", dir);
	snprintf(b, sizeof(b), "%s/sub/file", dir);
	check(umafs_mkdir(c->fs, c->token, a, 0755, &err) == 0, "mkdir");
	f = umafs_open(c->fs, c->token, b, UMAFS_RDWR | UMAFS_CREAT, 0600, &err);
	check(f && umafs_pwrite(f, "abc", 3, 0, &err) == 3 && umafs_close(f, &err) == 0, "create, write, close");
	check(!umafs_open(c->fs, c->token, b, UMAFS_RDWR | UMAFS_CREAT | UMAFS_EXCL, 0600, &err) &&
		      err.errnum == EEXIST,
	      "O_EXCL on an old name: EEXIST");
	f = umafs_open(c->fs, c->token, b, UMAFS_RDWR | UMAFS_TRUNC, 0, &err);
	check(f && umafs_pread(f, a, 3, 0, &err) == 0 && umafs_close(f, &err) == 0, "O_TRUNC");
	snprintf(a, sizeof(a), "%s/moved", dir);
	check(umafs_rename(c->fs, c->token, b, a, &err) == 0, "rename across directories");
	check(umafs_unlink(c->fs, c->token, a, &err) == 0, "unlink");
	check(!umafs_open(c->fs, c->token, a, UMAFS_RDONLY, 0, &err) && err.errnum == ENOENT, "gone: ENOENT");
}

static void configuration(void)
{
	const struct umafs_config empty = { 0 };

	check(!umafs_new(&empty, &err) && err.errnum == EINVAL, "a configuration without its size: EINVAL");
}

int main(int argc, char **argv)
{
	struct client c, other;
	char path[1024];

	if (argc != 6)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	srandom((unsigned)atoi(argv[4]));
	configuration();
	start(&c, argv[1], argv[2], 0);
	start(&other, argv[1], argv[2], 100);
	check(umafs_mkdir(c.fs, c.token, argv[3], 0755, &err) == 0, "a directory of its own");
	snprintf(path, sizeof(path), "%s/storm", argv[3]);
	storm(&c, &other, path, (unsigned)atoi(argv[5]));
	snprintf(path, sizeof(path), "%s/aged", argv[3]);
	aged(&other, &c, path);
	names(&c, argv[3]);
	end(&other);
	end(&c);
	return failures > 0;
}
