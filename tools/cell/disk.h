/* The files below a cell's data directory, as its store uses them. cell_disk_directory() is
 * the real one; tests bring a disk that fails and crashes. Names are relative, with at most
 * one directory. Functions return as the system calls that they stand for, with errno.
 * Called with cell->lock held, or while a cell starts and ends. */
#ifndef UMAFS_TOOLS_CELL_DISK_H
#define UMAFS_TOOLS_CELL_DISK_H

#include <sys/types.h>

#include "rx/error.h"

enum cell_disk_mode {
	CELL_DISK_READ,  /* one that is there */
	CELL_DISK_WRITE, /* made if it is missing; may be read too */
	CELL_DISK_EMPTY, /* ... and what was in it is gone */
};

struct cell_disk {
	const struct cell_disk_ops *ops;
};
struct cell_file {
	const struct cell_disk_ops *ops;
};

struct cell_disk_ops {
	struct cell_file *(*open)(struct cell_disk *disk, const char *name, enum cell_disk_mode mode);
	void (*close)(struct cell_file *file);
	ssize_t (*read)(struct cell_file *file, void *buf, size_t len, off_t off);
	ssize_t (*write)(struct cell_file *file, const void *buf, size_t len, off_t off);
	int (*truncate)(struct cell_file *file, off_t len);
	off_t (*size)(struct cell_file *file);
	int (*sync)(struct cell_file *file); /* what it holds outlasts a power failure from now on */
	int (*lock)(struct cell_file *file); /* against other processes; as long as it is open */
	int (*rename)(struct cell_disk *disk, const char *from, const char *to);
	int (*remove)(struct cell_disk *disk, const char *name);
	int (*make_dir)(struct cell_disk *disk, const char *name); /* fine if it is there */
	/* Which names there are in a directory ("": the data directory itself) outlasts it too. */
	int (*sync_names)(struct cell_disk *disk, const char *name);
	void (*free)(struct cell_disk *disk);
};

/* Made if it is missing. NULL with err. */
struct cell_disk *cell_disk_directory(const char *path, struct rx_error *err);

/* All of it, whatever pieces the system makes; 0 or -1 with errno. Reading beyond the end
 * gives zeros. */
int cell_disk_read_all(struct cell_file *file, void *buf, size_t len, off_t off);
int cell_disk_write_all(struct cell_file *file, const void *buf, size_t len, off_t off);

#endif
