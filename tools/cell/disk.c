/* See disk.h: a real directory, and what holds for any disk. */
#include "tools/cell/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct directory {
	struct cell_disk disk;
	int fd;
};

struct file {
	struct cell_file file;
	int fd;
};

static int at(const struct cell_disk *disk)
{
	return ((const struct directory *)disk)->fd;
}

static int fd_of(const struct cell_file *file)
{
	return ((const struct file *)file)->fd;
}

static struct cell_file *dir_open(struct cell_disk *disk, const char *name, enum cell_disk_mode mode)
{
	static const int flags[] = { O_RDONLY, O_RDWR | O_CREAT, O_RDWR | O_CREAT | O_TRUNC };
	int fd = openat(at(disk), name, flags[mode] | O_CLOEXEC, 0600);
	struct file *f = fd >= 0 ? calloc(1, sizeof(*f)) : NULL;

	if (!f) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	*f = (struct file){ { disk->ops }, fd };
	return &f->file;
}

static void dir_close(struct cell_file *file)
{
	close(fd_of(file));
	free(file);
}

static ssize_t dir_read(struct cell_file *file, void *buf, size_t len, off_t off)
{
	return pread(fd_of(file), buf, len, off);
}

static ssize_t dir_write(struct cell_file *file, const void *buf, size_t len, off_t off)
{
	return pwrite(fd_of(file), buf, len, off);
}

static int dir_truncate(struct cell_file *file, off_t len)
{
	return ftruncate(fd_of(file), len);
}

static off_t dir_size(struct cell_file *file)
{
	struct stat st;

	return fstat(fd_of(file), &st) ? -1 : st.st_size;
}

static int dir_sync(struct cell_file *file)
{
	return fsync(fd_of(file));
}

static int dir_lock(struct cell_file *file)
{
	return flock(fd_of(file), LOCK_EX | LOCK_NB);
}

static int dir_rename(struct cell_disk *disk, const char *from, const char *to)
{
	return renameat(at(disk), from, at(disk), to);
}

static int dir_remove(struct cell_disk *disk, const char *name)
{
	return unlinkat(at(disk), name, 0);
}

static int dir_make_dir(struct cell_disk *disk, const char *name)
{
	return mkdirat(at(disk), name, 0700) && errno != EEXIST ? -1 : 0;
}

static int dir_sync_names(struct cell_disk *disk, const char *name)
{
	int fd = openat(at(disk), *name ? name : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (fd < 0)
		return -1;
	rc = fsync(fd);
	close(fd);
	return rc;
}

static void dir_free(struct cell_disk *disk)
{
	close(at(disk));
	free(disk);
}

static const struct cell_disk_ops ops = {
	.open = dir_open,
	.close = dir_close,
	.read = dir_read,
	.write = dir_write,
	.truncate = dir_truncate,
	.size = dir_size,
	.sync = dir_sync,
	.lock = dir_lock,
	.rename = dir_rename,
	.remove = dir_remove,
	.make_dir = dir_make_dir,
	.sync_names = dir_sync_names,
	.free = dir_free,
};

struct cell_disk *cell_disk_directory(const char *path, struct rx_error *err)
{
	struct directory *d = calloc(1, sizeof(*d));

	if (!d) {
		rx_error_errno(err, ENOMEM, "opening %s", path);
		return NULL;
	}
	d->disk.ops = &ops;
	if (mkdir(path, 0700) && errno != EEXIST) {
		rx_error_errno(err, errno, "cannot make the directory %s", path);
		free(d);
		return NULL;
	}
	d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->fd < 0) {
		rx_error_errno(err, errno, "cannot open the directory %s", path);
		free(d);
		return NULL;
	}
	return &d->disk;
}

int cell_disk_read_all(struct cell_file *file, void *buf, size_t len, off_t off)
{
	uint8_t *to = buf;
	ssize_t n = 0;

	while (len && (n = file->ops->read(file, to, len, off)) > 0) {
		to += n;
		off += n;
		len -= (size_t)n;
	}
	memset(to, 0, len);
	return n < 0 ? -1 : 0;
}

int cell_disk_write_all(struct cell_file *file, const void *buf, size_t len, off_t off)
{
	const uint8_t *from = buf;

	while (len) {
		ssize_t n = file->ops->write(file, from, len, off);

		if (n == 0)
			errno = ENOSPC;
		if (n <= 0)
			return -1;
		from += n;
		off += n;
		len -= (size_t)n;
	}
	return 0;
}
