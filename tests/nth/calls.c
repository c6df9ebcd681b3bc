/* The rows of nth.syms: what a wrapper calls, what it returns and with which errno when it
 * fails; a second errno is of the other variant. Calls that cannot fail on a running kernel
 * are in nth.harmless, with what makes them so. */
#include <arpa/nameser.h>
#include <dirent.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <ftw.h>
#include <krb5.h>
#include <linux/userfaultfd.h>
#include <netdb.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <poll.h>
#include <pthread.h>
#include <resolv.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/nth/nth.h"

#define HERE ((uintptr_t)__builtin_return_address(0))

/* Who called the function that called the wrapper with this frame; 0: it has no frame pointer, as only builds for
 * debugging have for sure. */
static uintptr_t from(void **frame)
{
#ifdef UMAFS_DEBUG
	void **up = frame[0];

	return up > frame && (char *)up - (char *)frame < 1 << 16 ? (uintptr_t)up[1] : 0;
#else
	(void)frame;
	return 0;
#endif
}
#define nth_fails(call, allocation, at) nth_fails_from(call, allocation, at, from(__builtin_frame_address(0)))

/* ---- memory ---- */

#define ALLOCATES(name, params, args)                                                                                  \
	void *nth_##name params;                                                                                       \
	void *nth_##name params                                                                                        \
	{                                                                                                              \
		uintptr_t at = HERE;                                                                                   \
                                                                                                                       \
		if (nth_fails(#name, true, at)) {                                                                      \
			errno = ENOMEM;                                                                                \
			return NULL;                                                                                   \
		}                                                                                                      \
		return nth_born(name args, at);                                                                        \
	}
ALLOCATES(malloc, (size_t size), (size))
ALLOCATES(calloc, (size_t n, size_t size), (n, size))
ALLOCATES(strdup, (const char *s), (s))
ALLOCATES(strndup, (const char *s, size_t n), (s, n))

#define REALLOCATES(name, params, args)                                                                                \
	void *nth_##name params;                                                                                       \
	void *nth_##name params                                                                                        \
	{                                                                                                              \
		uintptr_t at = HERE;                                                                                   \
		void *q;                                                                                               \
                                                                                                                       \
		if (nth_fails(#name, true, at)) {                                                                      \
			errno = ENOMEM;                                                                                \
			return NULL;                                                                                   \
		}                                                                                                      \
		nth_died(p);                                                                                           \
		q = name args;                                                                                         \
		return nth_born(q ? q : p, at);                                                                        \
	}
REALLOCATES(realloc, (void *p, size_t size), (p, size))
REALLOCATES(reallocarray, (void *p, size_t n, size_t size), (p, n, size))

int nth_asprintf(char **out, const char *fmt, ...);
int nth_asprintf(char **out, const char *fmt, ...)
{
	uintptr_t at = HERE;
	va_list ap;
	int n;

	*out = NULL;
	if (nth_fails("asprintf", true, at)) {
		errno = ENOMEM;
		return -1;
	}
	va_start(ap, fmt);
	n = vasprintf(out, fmt, ap);
	va_end(ap);
	nth_born(*out, at);
	return n;
}

/* ---- calls that return -1, NULL or something else with an errno ---- */

#define FAILS(type, name, bad, code, params, args) FAILS2(type, name, bad, code, code, params, args)
#define FAILS2(type, name, bad, code, other, params, args)                                                             \
	type nth_##name params;                                                                                        \
	type nth_##name params                                                                                         \
	{                                                                                                              \
		if (nth_fails(#name, false, HERE)) {                                                                   \
			errno = nth_variant() ? other : code;                                                          \
			return bad;                                                                                    \
		}                                                                                                      \
		return name args;                                                                                      \
	}

FAILS2(int, socket, -1, EMFILE, EACCES, (int d, int t, int p), (d, t, p))
FAILS2(int, bind, -1, ENOBUFS, EADDRINUSE, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
FAILS(int, setsockopt, -1, ENOBUFS, (int fd, int l, int o, const void *v, socklen_t n), (fd, l, o, v, n))
FAILS(int, getsockname, -1, ENOBUFS, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n))
FAILS2(int, sendmmsg, -1, ENOBUFS, EPERM, (int fd, struct mmsghdr *m, unsigned n, int f), (fd, m, n, f))
FAILS2(int, recvmmsg, -1, ENOMEM, EINTR, (int fd, struct mmsghdr *m, unsigned n, int f, struct timespec *t),
       (fd, m, n, f, t))
FAILS(ssize_t, recvmsg, -1, ENOMEM, (int fd, struct msghdr *m, int f), (fd, m, f))
FAILS(int, eventfd, -1, EMFILE, (unsigned v, int f), (v, f))
FAILS2(int, memfd_create, -1, EMFILE, ENOMEM, (const char *n, unsigned f), (n, f))
FAILS(int, poll, -1, EINTR, (struct pollfd * f, nfds_t n, int t), (f, n, t))
FAILS(ssize_t, getrandom, -1, EINTR, (void *b, size_t n, unsigned f), (b, n, f))
FAILS2(ssize_t, pread, -1, EIO, EINTR, (int fd, void *b, size_t n, off_t o), (fd, b, n, o))
FAILS2(FILE *, fopen, NULL, EMFILE, EACCES, (const char *p, const char *m), (p, m))
FAILS(int, stat, -1, EACCES, (const char *p, struct stat *s), (p, s))
FAILS(size_t, fread, 0, EIO, (void *b, size_t s, size_t n, FILE *f), (b, s, n, f))
FAILS2(void *, mmap, MAP_FAILED, ENOMEM, EAGAIN, (void *a, size_t n, int p, int f, int fd, off_t o),
       (a, n, p, f, fd, o))
FAILS(int, mprotect, -1, ENOMEM, (void *a, size_t n, int p), (a, n, p))
FAILS(int, munmap, -1, ENOMEM, (void *a, size_t n), (a, n))
FAILS(int, fstat, -1, EIO, (int fd, struct stat *s), (fd, s))
FAILS(int, getaddrinfo, EAI_AGAIN, EAGAIN,
      (const char *n, const char *s, const struct addrinfo *h, struct addrinfo **r), (n, s, h, r))
FAILS(int, pthread_create, EAGAIN, EAGAIN, (pthread_t * t, const pthread_attr_t *a, void *(*fn)(void *), void *arg),
      (t, a, fn, arg))

/* ---- files and processes, of the programs ---- */

/* An eventfd or the like, whose reads and writes do not fail. */
static bool is_kernels(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && !(st.st_mode & S_IFMT);
}

ssize_t nth_read(int fd, void *buf, size_t len);
ssize_t nth_read(int fd, void *buf, size_t len)
{
	if (!is_kernels(fd) && nth_fails("read", false, HERE)) {
		errno = nth_variant() ? EINTR : EIO;
		return -1;
	}
	return read(fd, buf, len);
}

ssize_t nth_write(int fd, const void *buf, size_t len);
ssize_t nth_write(int fd, const void *buf, size_t len)
{
	if (!is_kernels(fd) && nth_fails("write", false, HERE)) {
		errno = nth_variant() ? EINTR : ENOSPC;
		return -1;
	}
	return write(fd, buf, len);
}

FAILS2(int, fsync, -1, EIO, ENOSPC, (int fd), (fd))
FAILS(int, fchmod, -1, EPERM, (int fd, mode_t m), (fd, m))
FAILS(int, chmod, -1, EPERM, (const char *p, mode_t m), (p, m))
FAILS(int, futimens, -1, EPERM, (int fd, const struct timespec t[2]), (fd, t))
FAILS(int, utimensat, -1, EPERM, (int d, const char *p, const struct timespec t[2], int f), (d, p, t, f))
FAILS2(int, rename, -1, ENOSPC, EACCES, (const char *a, const char *b), (a, b))
FAILS2(int, renameat, -1, ENOSPC, EIO, (int c, const char *a, int d, const char *b), (c, a, d, b))
FAILS2(int, mkdir, -1, ENOSPC, EACCES, (const char *p, mode_t m), (p, m))
FAILS2(int, mkdirat, -1, ENOSPC, EACCES, (int d, const char *p, mode_t m), (d, p, m))
FAILS(int, symlink, -1, ENOSPC, (const char *t, const char *p), (t, p))
FAILS(ssize_t, readlink, -1, EIO, (const char *p, char *b, size_t n), (p, b, n))
FAILS(char *, realpath, NULL, ENOMEM, (const char *p, char *b), (p, b))
FAILS2(int, unlink, -1, EIO, EACCES, (const char *p), (p))
FAILS2(int, unlinkat, -1, EIO, EACCES, (int d, const char *p, int f), (d, p, f))
FAILS(int, remove, -1, EACCES, (const char *p), (p))
FAILS(int, lstat, -1, EACCES, (const char *p, struct stat *s), (p, s))
FAILS(DIR *, opendir, NULL, EMFILE, (const char *p), (p))
FAILS(struct dirent *, readdir, NULL, EIO, (DIR * d), (d))
FAILS2(int, mkostemp, -1, ENOSPC, EMFILE, (char *t, int f), (t, f))
FAILS2(int, mkstemp, -1, ENOSPC, EMFILE, (char *t), (t))
FAILS(char *, mkdtemp, NULL, ENOSPC, (char *t), (t))
FAILS(FILE *, fdopen, NULL, ENOMEM, (int fd, const char *m), (fd, m))
FAILS(int, flock, -1, ENOLCK, (int fd, int o), (fd, o))
FAILS(int, pipe2, -1, EMFILE, (int p[2], int f), (p, f))
FAILS(int, dup2, -1, EBADF, (int a, int b), (a, b))
FAILS(int, socketpair, -1, EMFILE, (int d, int t, int p, int s[2]), (d, t, p, s))
FAILS2(ssize_t, recv, -1, ENOMEM, EINTR, (int fd, void *b, size_t n, int f), (fd, b, n, f))
FAILS2(ssize_t, send, -1, ENOBUFS, EPIPE, (int fd, const void *b, size_t n, int f), (fd, b, n, f))
FAILS2(ssize_t, sendto, -1, ENOBUFS, EPERM,
       (int fd, const void *b, size_t n, int f, const struct sockaddr *a, socklen_t l), (fd, b, n, f, a, l))
FAILS2(ssize_t, sendmsg, -1, ENOBUFS, EPERM, (int fd, const struct msghdr *m, int f), (fd, m, f))
FAILS2(int, connect, -1, EACCES, ENOBUFS, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
FAILS2(int, ppoll, -1, EINTR, ENOMEM, (struct pollfd * f, nfds_t n, const struct timespec *t, const sigset_t *s),
       (f, n, t, s))
FAILS2(pid_t, fork, -1, EAGAIN, ENOMEM, (void), ())
FAILS(int, pidfd_open, -1, EMFILE, (pid_t p, unsigned f), (p, f))
FAILS(int, setns, -1, EPERM, (int fd, int t), (fd, t))
FAILS(int, unshare, -1, EPERM, (int f), (f))
FAILS(int, setenv, -1, ENOMEM, (const char *n, const char *v, int o), (n, v, o))
FAILS(FILE *, open_memstream, NULL, ENOMEM, (char **b, size_t *n), (b, n))

/* A memfd can have any size. */
int nth_ftruncate(int fd, off_t len);
int nth_ftruncate(int fd, off_t len)
{
	struct stat st;

	if (!fstat(fd, &st) && st.st_nlink && nth_fails("ftruncate", false, HERE)) {
		errno = nth_variant() ? EIO : ENOSPC;
		return -1;
	}
	return ftruncate(fd, len);
}

/* What has been written so far may be on the disk or not; the stream says it failed. */
int nth_fflush(FILE *f);
int nth_fflush(FILE *f)
{
	int rc = fflush(f);

	if (!nth_fails("fflush", false, HERE))
		return rc;
	errno = ENOSPC;
	return EOF;
}

int nth_fclose(FILE *f);
int nth_fclose(FILE *f)
{
	int rc = fclose(f);

	if (!nth_fails("fclose", false, HERE))
		return rc;
	errno = ENOSPC;
	return EOF;
}

/* The descriptor is gone whatever close says. */
int nth_close(int fd);
int nth_close(int fd)
{
	int rc = close(fd);

	if (!nth_fails("close", false, HERE))
		return rc;
	errno = nth_variant() ? EINTR : EIO;
	return -1;
}

int nth_openat(int dir, const char *path, int flags, int mode);
int nth_openat(int dir, const char *path, int flags, int mode)
{
	if (nth_fails("openat", false, HERE)) {
		errno = nth_variant() ? EACCES : EMFILE;
		return -1;
	}
	return openat(dir, path, flags, mode);
}

int nth_vasprintf(char **out, const char *fmt, va_list ap);
int nth_vasprintf(char **out, const char *fmt, va_list ap)
{
	uintptr_t at = HERE;
	int n;

	*out = NULL;
	if (nth_fails("vasprintf", true, at)) {
		errno = ENOMEM;
		return -1;
	}
	n = vasprintf(out, fmt, ap);
	nth_born(*out, at);
	return n;
}

/* Made by libc, freed by the rooms. */
ssize_t nth___getdelim(char **line, size_t *cap, int delimiter, FILE *f);
ssize_t nth___getdelim(char **line, size_t *cap, int delimiter, FILE *f)
{
	uintptr_t at = HERE;
	ssize_t n;

	if (nth_fails("getline", true, at)) {
		errno = ENOMEM;
		return -1;
	}
	nth_died(*line);
	n = getdelim(line, cap, delimiter, f);
	nth_born(*line, at);
	return n;
}

int nth_scandir(const char *dir, struct dirent ***names, int (*wanted)(const struct dirent *),
		int (*order)(const struct dirent **, const struct dirent **));
int nth_scandir(const char *dir, struct dirent ***names, int (*wanted)(const struct dirent *),
		int (*order)(const struct dirent **, const struct dirent **))
{
	if (nth_fails("scandir", true, HERE)) {
		errno = ENOMEM;
		return -1;
	}
	return scandir(dir, names, wanted, order);
}

/* Only where a page has to be made. */
ssize_t nth_pwrite(int fd, const void *buf, size_t len, off_t off);
ssize_t nth_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	off_t hole = lseek(fd, off, SEEK_HOLE);

	if ((hole < 0 || hole < off + (off_t)len) && nth_fails("pwrite", false, HERE)) {
		errno = ENOSPC;
		return -1;
	}
	return pwrite(fd, buf, len, off);
}

/* ---- userfaultfd ---- */

/* The errno that the kernel may give to a request; 0: none. */
static int ioctl_error(unsigned long request)
{
	switch (request) {
	case UFFDIO_API:
		return EINVAL;
	case UFFDIO_REGISTER:
	case UFFDIO_CONTINUE:
		return ENOMEM;
	case UFFDIO_WRITEPROTECT:
		return EAGAIN; /* the address space is changing */
	default:
		return 0;
	}
}

int nth_ioctl(int fd, unsigned long request, void *arg);
int nth_ioctl(int fd, unsigned long request, void *arg)
{
	int error = ioctl_error(request);

	if (error && nth_fails("ioctl", false, HERE)) {
		errno = error;
		return -1;
	}
	return ioctl(fd, request, arg);
}

/* Dropping pages cannot fail; a flag of a mapping can, as mappings split. */
int nth_madvise(void *addr, size_t len, int advice);
int nth_madvise(void *addr, size_t len, int advice)
{
	if (advice != MADV_DONTNEED && nth_fails("madvise", false, HERE)) {
		errno = ENOMEM;
		return -1;
	}
	return madvise(addr, len, advice);
}

long nth_syscall(long number, long a, long b, long c, long d);
long nth_syscall(long number, long a, long b, long c, long d)
{
	if (nth_fails("syscall", false, HERE)) {
		errno = number == SYS_userfaultfd ? EMFILE : EAGAIN;
		return -1;
	}
	return syscall(number, a, b, c, d);
}

int nth_open(const char *path, int flags, int mode);
int nth_open(const char *path, int flags, int mode)
{
	if (nth_fails("open", false, HERE)) {
		errno = EMFILE;
		return -1;
	}
	return open(path, flags, mode);
}

/* ---- libraries ---- */

FAILS(struct event_config *, event_config_new, NULL, ENOMEM, (void), ())
FAILS(struct event_base *, event_base_new_with_config, NULL, ENOMEM, (const struct event_config *c), (c))
FAILS(struct event *, event_new, NULL, ENOMEM,
      (struct event_base * b, evutil_socket_t s, short w, event_callback_fn f, void *a), (b, s, w, f, a))
FAILS(int, event_add, -1, ENOMEM, (struct event * e, const struct timeval *t), (e, t))

FAILS(struct event_base *, event_base_new, NULL, ENOMEM, (void), ())
FAILS(struct evconnlistener *, evconnlistener_new_bind, NULL, ENOMEM,
      (struct event_base * b, evconnlistener_cb cb, void *p, unsigned f, int n, const struct sockaddr *a, int l),
      (b, cb, p, f, n, a, l))
FAILS(struct bufferevent *, bufferevent_socket_new, NULL, ENOMEM, (struct event_base * b, evutil_socket_t fd, int o),
      (b, fd, o))
FAILS(int, bufferevent_enable, -1, ENOMEM, (struct bufferevent * b, short e), (b, e))
FAILS(int, evbuffer_add, -1, ENOMEM, (struct evbuffer * b, const void *d, size_t n), (b, d, n))
FAILS(char *, evbuffer_readln, NULL, ENOMEM, (struct evbuffer * b, size_t *n, enum evbuffer_eol_style e), (b, n, e))

FAILS(EVP_MD_CTX *, EVP_MD_CTX_new, NULL, ENOMEM, (void), ())
FAILS(int, EVP_DigestInit_ex, 0, ENOMEM, (EVP_MD_CTX * c, const EVP_MD *t, ENGINE *e), (c, t, e))
FAILS(int, EVP_DigestUpdate, 0, ENOMEM, (EVP_MD_CTX * c, const void *d, size_t n), (c, d, n))
FAILS(int, EVP_DigestFinal_ex, 0, ENOMEM, (EVP_MD_CTX * c, unsigned char *o, unsigned *n), (c, o, n))
FAILS(void *, CRYPTO_zalloc, NULL, ENOMEM, (size_t n, const char *f, int l), (n, f, l))
FAILS(OSSL_LIB_CTX *, OSSL_LIB_CTX_new, NULL, ENOMEM, (void), ())
FAILS(OSSL_PROVIDER *, OSSL_PROVIDER_load, NULL, ENOMEM, (OSSL_LIB_CTX * c, const char *n), (c, n))
FAILS(EVP_MAC *, EVP_MAC_fetch, NULL, ENOMEM, (OSSL_LIB_CTX * c, const char *a, const char *p), (c, a, p))
FAILS(EVP_MAC_CTX *, EVP_MAC_CTX_new, NULL, ENOMEM, (EVP_MAC * m), (m))
FAILS(int, EVP_MAC_init, 0, ENOMEM, (EVP_MAC_CTX * c, const unsigned char *k, size_t n, const OSSL_PARAM *p),
      (c, k, n, p))
FAILS(int, EVP_MAC_update, 0, ENOMEM, (EVP_MAC_CTX * c, const unsigned char *d, size_t n), (c, d, n))
FAILS(int, EVP_MAC_final, 0, ENOMEM, (EVP_MAC_CTX * c, unsigned char *o, size_t *l, size_t n), (c, o, l, n))

#define KRB5(name, params, args) FAILS(krb5_error_code, name, ENOMEM, ENOMEM, params, args)
KRB5(krb5_init_context, (krb5_context * c), (c))
KRB5(krb5_cc_resolve, (krb5_context c, const char *n, krb5_ccache *o), (c, n, o))
KRB5(krb5_cc_default, (krb5_context c, krb5_ccache *o), (c, o))
KRB5(krb5_cc_get_principal, (krb5_context c, krb5_ccache cc, krb5_principal *o), (c, cc, o))
KRB5(krb5_cc_initialize, (krb5_context c, krb5_ccache cc, krb5_principal p), (c, cc, p))
KRB5(krb5_cc_store_cred, (krb5_context c, krb5_ccache cc, krb5_creds *k), (c, cc, k))
KRB5(krb5_cc_new_unique, (krb5_context c, const char *t, const char *h, krb5_ccache *o), (c, t, h, o))
KRB5(krb5_copy_principal, (krb5_context c, krb5_const_principal p, krb5_principal *o), (c, p, o))
KRB5(krb5_parse_name, (krb5_context c, const char *n, krb5_principal *o), (c, n, o))
KRB5(krb5_unparse_name, (krb5_context c, krb5_const_principal p, char **o), (c, p, o))
KRB5(krb5_get_credentials, (krb5_context c, krb5_flags f, krb5_ccache cc, krb5_creds *i, krb5_creds **o),
     (c, f, cc, i, o))
KRB5(krb5_get_host_realm, (krb5_context c, const char *h, char ***r), (c, h, r))
KRB5(krb5_kt_resolve, (krb5_context c, const char *n, krb5_keytab *o), (c, n, o))
KRB5(krb5_kt_default, (krb5_context c, krb5_keytab *o), (c, o))
KRB5(krb5_kt_add_entry, (krb5_context c, krb5_keytab k, krb5_keytab_entry *e), (c, k, e))
KRB5(krb5_get_init_creds_keytab,
     (krb5_context c, krb5_creds *o, krb5_principal p, krb5_keytab k, krb5_deltat t, const char *s,
      krb5_get_init_creds_opt *x),
     (c, o, p, k, t, s, x))
KRB5(krb5_cc_retrieve_cred, (krb5_context c, krb5_ccache cc, krb5_flags f, krb5_creds *m, krb5_creds *o),
     (c, cc, f, m, o))
KRB5(krb5_copy_creds, (krb5_context c, const krb5_creds *i, krb5_creds **o), (c, i, o))
KRB5(krb5_kt_start_seq_get, (krb5_context c, krb5_keytab k, krb5_kt_cursor *u), (c, k, u))
KRB5(krb5_kt_next_entry, (krb5_context c, krb5_keytab k, krb5_keytab_entry *e, krb5_kt_cursor *u), (c, k, e, u))
KRB5(krb5_timeofday, (krb5_context c, krb5_timestamp *t), (c, t))
KRB5(krb5_set_real_time, (krb5_context c, krb5_timestamp s, krb5_int32 u), (c, s, u))
KRB5(krb5_c_encrypt,
     (krb5_context c, const krb5_keyblock *k, krb5_keyusage u, const krb5_data *s, const krb5_data *i,
      krb5_enc_data *o),
     (c, k, u, s, i, o))
KRB5(krb5_c_encrypt_length, (krb5_context c, krb5_enctype e, size_t i, size_t *o), (c, e, i, o))
KRB5(krb5_c_keylengths, (krb5_context c, krb5_enctype e, size_t *b, size_t *k), (c, e, b, k))
KRB5(krb5_decode_ticket, (const krb5_data *d, krb5_ticket **t), (d, t))
KRB5(krb5_server_decrypt_ticket_keytab, (krb5_context c, const krb5_keytab k, krb5_ticket *t), (c, k, t))

krb5_error_code nth_krb5_build_principal(krb5_context c, krb5_principal *out, unsigned len, const char *realm,
					 const char *a, const char *b, const char *d);
krb5_error_code nth_krb5_build_principal(krb5_context c, krb5_principal *out, unsigned len, const char *realm,
					 const char *a, const char *b, const char *d)
{
	if (nth_fails("krb5_build_principal", false, HERE))
		return ENOMEM;
	return krb5_build_principal(c, out, len, realm, a, b, d, NULL);
}
