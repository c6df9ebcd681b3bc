/* See disk.h. Files are kept by name; one that is renamed over or removed lives on for those
 * who have it open. */
#include "tests/sim/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 512, NAME = 64 };

struct inode {
	struct inode *next;
	char name[NAME], synced_name[NAME]; /* "" when it has none any more */
	unsigned opens;
	uint8_t *data, *synced;
	size_t len, cap, synced_len;
};

struct disk {
	struct cell_disk base;
	struct world *world;
	struct inode *inodes;
	struct sim_disk_dice dice;
	bool dead;
	uint64_t bytes_left; /* until the crash */
	void (*on_crash)(void *arg);
	void *arg;
	struct sim_disk_stats stats;
};

struct file {
	struct cell_file base;
	struct disk *disk;
	struct inode *inode;
};

static struct disk *disk_of(const struct cell_disk *disk)
{
	return (struct disk *)(uintptr_t)disk; /* base is its first member */
}

static bool happens(struct disk *d, unsigned per_1000)
{
	return per_1000 && world_random(d->world) % 1000 < per_1000;
}

/* True, with errno, when this fails. */
static bool fails(struct disk *d)
{
	if (!d->dead && !happens(d, d->dice.eio))
		return false;
	d->stats.eio += !d->dead;
	errno = EIO;
	return true;
}

static struct inode *find(const struct disk *d, const char *name)
{
	struct inode *i = d->inodes;

	while (i && strcmp(i->name, name))
		i = i->next;
	return i;
}

static void unuse(struct disk *d, struct inode *inode)
{
	struct inode **at = &d->inodes;

	if (inode->opens || inode->name[0] || inode->synced_name[0])
		return;
	while (*at != inode)
		at = &(*at)->next;
	*at = inode->next;
	free(inode->data);
	free(inode->synced);
	free(inode);
}

static void set_len(struct inode *i, size_t len)
{
	if (len > i->cap) {
		i->cap = len < 256 ? 256 : 2 * len;
		i->data = realloc(i->data, i->cap);
		if (!i->data)
			abort();
	}
	if (len > i->len)
		memset(i->data + i->len, 0, len - i->len);
	i->len = len;
}

static struct cell_file *open_file(struct cell_disk *disk, const char *name, enum cell_disk_mode mode)
{
	struct disk *d = disk_of(disk);
	struct inode *i = find(d, name);
	struct file *f;

	if (fails(d))
		return NULL;
	if (!i && mode == CELL_DISK_READ) {
		errno = ENOENT;
		return NULL;
	}
	if (!i) {
		i = calloc(1, sizeof(*i));
		strncpy(i->name, name, sizeof(i->name) - 1);
		i->next = d->inodes;
		d->inodes = i;
	}
	if (mode == CELL_DISK_EMPTY)
		i->len = 0;
	i->opens++;
	f = malloc(sizeof(*f));
	*f = (struct file){ { disk->ops }, d, i };
	return &f->base;
}

static void close_file(struct cell_file *file)
{
	struct file *f = (struct file *)file;

	f->inode->opens--;
	unuse(f->disk, f->inode);
	free(f);
}

static size_t shorten(struct disk *d, size_t len)
{
	if (len < 2 || !happens(d, d->dice.brief))
		return len;
	d->stats.brief++;
	return 1 + (size_t)(world_random(d->world) % (len - 1));
}

static ssize_t read_file(struct cell_file *file, void *buf, size_t len, off_t off)
{
	struct file *f = (struct file *)file;
	size_t at = (size_t)off, n;

	if (fails(f->disk))
		return -1;
	if (at >= f->inode->len)
		return 0;
	n = f->inode->len - at;
	n = shorten(f->disk, len < n ? len : n);
	memcpy(buf, f->inode->data + at, n);
	return (ssize_t)n;
}

static void die(struct disk *d)
{
	d->dead = true;
	d->stats.crashes++;
	if (d->on_crash)
		d->on_crash(d->arg);
}

static ssize_t write_file(struct cell_file *file, const void *buf, size_t len, off_t off)
{
	struct file *f = (struct file *)file;
	struct disk *d = f->disk;
	size_t n = shorten(d, len);

	if (fails(d))
		return -1;
	if (happens(d, d->dice.full)) {
		d->stats.full++;
		errno = ENOSPC;
		return -1;
	}
	if (n > d->bytes_left) {
		n = (size_t)d->bytes_left;
		d->stats.torn += n > 0;
	}
	if ((size_t)off + n > f->inode->len)
		set_len(f->inode, (size_t)off + n);
	if (n)
		memcpy(f->inode->data + off, buf, n);
	d->stats.written += n;
	if (d->bytes_left == UINT64_MAX)
		return (ssize_t)n;
	d->bytes_left -= n;
	if (d->bytes_left)
		return (ssize_t)n;
	die(d);
	errno = EIO;
	return -1;
}

static int truncate_file(struct cell_file *file, off_t len)
{
	struct file *f = (struct file *)file;

	if (fails(f->disk))
		return -1;
	set_len(f->inode, (size_t)len);
	return 0;
}

static off_t size_of_file(struct cell_file *file)
{
	return (off_t)((struct file *)file)->inode->len;
}

static void keep(struct inode *i)
{
	i->synced = realloc(i->synced, i->len + 1);
	if (!i->synced)
		abort();
	if (i->len)
		memcpy(i->synced, i->data, i->len);
	i->synced_len = i->len;
}

static int sync_file(struct cell_file *file)
{
	struct file *f = (struct file *)file;

	if (fails(f->disk))
		return -1;
	keep(f->inode);
	return 0;
}

static int lock_file(struct cell_file *file)
{
	(void)file;
	return 0;
}

static int rename_file(struct cell_disk *disk, const char *from, const char *to)
{
	struct disk *d = disk_of(disk);
	struct inode *old = find(d, to), *i = find(d, from);

	if (fails(d))
		return -1;
	if (!i) {
		errno = ENOENT;
		return -1;
	}
	memcpy(i->name, to, strlen(to) + 1);
	if (old) {
		old->name[0] = '\0';
		unuse(d, old);
	}
	return 0;
}

static int remove_file(struct cell_disk *disk, const char *name)
{
	struct disk *d = disk_of(disk);
	struct inode *i = find(d, name);

	if (fails(d))
		return -1;
	if (!i) {
		errno = ENOENT;
		return -1;
	}
	i->name[0] = '\0';
	unuse(d, i);
	return 0;
}

static int make_dir(struct cell_disk *disk, const char *name)
{
	(void)name;
	return fails(disk_of(disk)) ? -1 : 0;
}

static bool is_in(const char *name, const char *dir)
{
	size_t len = strlen(dir);

	return *name && (len ? !strncmp(name, dir, len) && name[len] == '/' : !strchr(name, '/'));
}

/* Back: as they were, not as they are. */
static void keep_names(struct disk *d, const char *dir, bool back)
{
	struct inode *next;

	for (struct inode *i = d->inodes; i; i = next) {
		next = i->next;
		if (!is_in(i->name, dir) && !is_in(i->synced_name, dir))
			continue;
		memcpy(back ? i->name : i->synced_name, back ? i->synced_name : i->name, NAME);
		unuse(d, i);
	}
}

static int sync_names(struct cell_disk *disk, const char *name)
{
	struct disk *d = disk_of(disk);

	if (fails(d))
		return -1;
	keep_names(d, name, false);
	return 0;
}

static void never(struct cell_disk *disk)
{
	(void)disk;
	abort(); /* a cell does not own it */
}

static const struct cell_disk_ops ops = {
	.open = open_file,
	.close = close_file,
	.read = read_file,
	.write = write_file,
	.truncate = truncate_file,
	.size = size_of_file,
	.sync = sync_file,
	.lock = lock_file,
	.rename = rename_file,
	.remove = remove_file,
	.make_dir = make_dir,
	.sync_names = sync_names,
	.free = never,
};

struct cell_disk *sim_disk_new(struct world *w)
{
	struct disk *d = calloc(1, sizeof(*d));

	d->base.ops = &ops;
	d->world = w;
	d->bytes_left = UINT64_MAX;
	return &d->base;
}

void sim_disk_free(struct cell_disk *disk)
{
	struct disk *d = disk_of(disk);

	while (d->inodes) {
		struct inode *i = d->inodes;

		d->inodes = i->next;
		free(i->data);
		free(i->synced);
		free(i);
	}
	free(d);
}

void sim_disk_set_dice(struct cell_disk *disk, const struct sim_disk_dice *dice)
{
	disk_of(disk)->dice = *dice;
}

void sim_disk_crash_after(struct cell_disk *disk, uint64_t bytes, void (*fn)(void *arg), void *arg)
{
	struct disk *d = disk_of(disk);

	d->bytes_left = bytes;
	d->on_crash = fn;
	d->arg = arg;
}

void sim_disk_crash(struct cell_disk *disk)
{
	if (!disk_of(disk)->dead)
		die(disk_of(disk));
}

void sim_disk_revive(struct cell_disk *disk)
{
	disk_of(disk)->dead = false;
	disk_of(disk)->bytes_left = UINT64_MAX;
	disk_of(disk)->on_crash = NULL;
}

static void lose_blocks(struct disk *d, struct inode *i)
{
	size_t was = i->len, len = world_random(d->world) % 2 ? i->synced_len : was;

	if (len > i->cap)
		set_len(i, len);
	for (size_t at = 0; at < len; at += BLOCK) {
		size_t n = len - at < BLOCK ? len - at : BLOCK;
		size_t there = at < i->synced_len ? i->synced_len - at : 0;

		if (world_random(d->world) % 2)
			continue;
		d->stats.blocks_lost++;
		memset(i->data + at, 0, n);
		if (there)
			memcpy(i->data + at, i->synced + at, there < n ? there : n);
	}
	set_len(i, len);
	keep(i);
}

void sim_disk_unplug(struct cell_disk *disk)
{
	struct disk *d = disk_of(disk);

	for (struct inode *i = d->inodes; i; i = i->next)
		if (i->len != i->synced_len || (i->len && memcmp(i->data, i->synced, i->len)))
			lose_blocks(d, i);
	keep_names(d, "", world_random(d->world) % 2);
	keep_names(d, "data", world_random(d->world) % 2);
	for (struct inode *i = d->inodes; i; i = i->next)
		memcpy(i->synced_name, i->name, NAME);
}

void sim_disk_stats(const struct cell_disk *disk, struct sim_disk_stats *out)
{
	*out = disk_of(disk)->stats;
}
