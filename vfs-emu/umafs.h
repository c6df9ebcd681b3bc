/* umafs: AFS in user mode. The library's one installed header.
 *
 * A `struct umafs` is one client: a UDP port, a cache, its tokens. Calls are thread
 * safe unless they free what they are given. Functions return 0 (or a count, or a
 * pointer) on success and -1 (or NULL) on failure; then *err, if not NULL, says what
 * failed, where the code came from, and what to do. Offsets and lengths are bytes.
 * Paths are "/afs/CELL/...". Link with -lumafs. */
#ifndef UMAFS_H
#define UMAFS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct umafs;
struct umafs_token;
struct umafs_file;

enum umafs_origin {
	UMAFS_ORIGIN_NONE,
	UMAFS_ORIGIN_ERRNO,
	UMAFS_ORIGIN_RX,
	UMAFS_ORIGIN_RXKAD,
	UMAFS_ORIGIN_AFS,
	UMAFS_ORIGIN_VL,
	UMAFS_ORIGIN_PT,
	UMAFS_ORIGIN_UBIK,
	UMAFS_ORIGIN_VOL,
	UMAFS_ORIGIN_KRB5
};

struct umafs_error {
	enum umafs_origin origin; /* whose number code is */
	int32_t code;             /* e.g. 49733388 (UAEACCES) from a fileserver */
	int errnum;               /* the nearest errno */
	char text[256];           /* one sentence */
};

enum umafs_level { UMAFS_LEVEL_DEFAULT, UMAFS_LEVEL_CLEAR, UMAFS_LEVEL_AUTH, UMAFS_LEVEL_CRYPT };

struct umafs_config {
	size_t size;                  /* sizeof(struct umafs_config) */
	const char *confdir;          /* directory with ThisCell and CellServDB; NULL: the usual places */
	const char *cell;             /* NULL: ThisCell */
	uint16_t port;                /* UDP port of calls and callbacks, host order; 0 = any */
	enum umafs_level level;       /* protection of connections that have a token; default: crypt */
	unsigned max_dirty_age_ms;    /* 0 = 5,000; how long a change may wait before it is stored */
	unsigned conflict_timeout_ms; /* 0 = 30,000; how long a writer waits for another's refused or slow store */
};

/* Starts a client. config may be NULL: all defaults. EINVAL: config->size is 0. */
struct umafs *umafs_new(const struct umafs_config *config, struct umafs_error *err);
/* Stores what is dirty (up to 10 s), gives up callbacks, frees. Returns the number of
 * bytes that could not be stored; 0 is what you want. */
uint64_t umafs_free(struct umafs *fs);
uint16_t umafs_port(const struct umafs *fs);

/* An identity: "anonymous", a Kerberos ccache ("FILE:/tmp/krb5cc_0"; NULL = the default
 * one) or "KEYTAB:PRINCIPAL". cell NULL: the local one. Close after its files. */
struct umafs_token *umafs_token_open(struct umafs *fs, const char *spec, const char *cell, struct umafs_error *err);
void umafs_token_close(struct umafs_token *token);

enum { UMAFS_RDONLY = 0, UMAFS_RDWR = 2, UMAFS_CREAT = 0100, UMAFS_EXCL = 0200, UMAFS_TRUNC = 01000 };

/* mode: permission bits of a file that UMAFS_CREAT makes. */
struct umafs_file *umafs_open(struct umafs *fs, struct umafs_token *token, const char *path, int flags, unsigned mode,
			      struct umafs_error *err);
ssize_t umafs_pread(struct umafs_file *file, void *buf, size_t len, uint64_t off, struct umafs_error *err);
ssize_t umafs_pwrite(struct umafs_file *file, const void *buf, size_t len, uint64_t off, struct umafs_error *err);
int umafs_ftruncate(struct umafs_file *file, uint64_t size, struct umafs_error *err);
/* Stores this token's changes and waits for the server's verdict. A change of this
 * token that the server refused meanwhile is reported once, here or by msync or close. */
int umafs_fsync(struct umafs_file *file, struct umafs_error *err);
/* As fsync, then frees the handle, whatever is returned. */
int umafs_close(struct umafs_file *file, struct umafs_error *err);

struct umafs_stat {
	uint32_t volume, vnode, unique;
	unsigned type; /* 1 file, 2 directory, 3 symlink, 4 mount point */
	uint64_t size, data_version;
	uint32_t mode, owner, group, nlink;
	int64_t mtime;   /* seconds since 1970 */
	uint32_t rights; /* this token's: 1 r, 2 w, 4 i, 8 l, 16 d, 32 k, 64 a */
};
int umafs_fstat(struct umafs_file *file, struct umafs_stat *out, struct umafs_error *err);

/* Maps len bytes of the file from off (a multiple of 4096), shared, with this file's
 * token: every store into it is made in that token's name. prot as in mmap(2). The
 * mapping outlives the handle. NULL on failure. A store that the server's rights do
 * not allow, and an access beyond the end of the file, raise SIGBUS. */
void *umafs_mmap(struct umafs_file *file, size_t len, int prot, uint64_t off, struct umafs_error *err);
/* flags: MS_SYNC or MS_ASYNC of <sys/mman.h>. MS_SYNC waits for the verdict. */
int umafs_msync(struct umafs *fs, void *addr, size_t len, int flags, struct umafs_error *err);
int umafs_munmap(struct umafs *fs, void *addr, size_t len, struct umafs_error *err);

/* Names. */
int umafs_mkdir(struct umafs *fs, struct umafs_token *token, const char *path, unsigned mode, struct umafs_error *err);
int umafs_unlink(struct umafs *fs, struct umafs_token *token, const char *path, struct umafs_error *err);
int umafs_rename(struct umafs *fs, struct umafs_token *token, const char *from, const char *to,
		 struct umafs_error *err);

/* The library's version, "MAJOR.MINOR.PATCH". */
const char *umafs_version(void);

#ifdef __cplusplus
}
#endif

#endif
