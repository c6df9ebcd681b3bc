/* See nth.h. A wrapper is a row: what it calls, what it returns and with which errno when it
 * fails. Calls that cannot fail on a running kernel are not here. */
#include <arpa/nameser.h>
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <krb5.h>
#include <linux/userfaultfd.h>
#include <netdb.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <poll.h>
#include <pthread.h>
#include <resolv.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/nth/nth.h"

#define HERE ((uintptr_t)__builtin_return_address(0))

enum { PLACES = 4096, LIVE = 1 << 16 };

struct place {
	uintptr_t at;
	const char *call;
};

struct live {
	void *p; /* NULL: free; GONE: was used */
	uintptr_t at;
	unsigned serial;
};
#define GONE ((void *)1)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool (*scope)(void);
static bool armed;
static unsigned first, last;
static struct nth_report report;
static struct place *places; /* shared with children */
static struct live live[LIVE];
static unsigned serial;

/* ---- the n-th ---- */

static void __attribute__((constructor)) share_places(void)
{
	places = mmap(NULL, PLACES * sizeof(*places), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (places == MAP_FAILED)
		abort();
}

static void remember(uintptr_t at, const char *call)
{
	unsigned i = (unsigned)(at * 0x9e3779b97f4a7c15u >> 52);

	while (places[i].at && places[i].at != at)
		i = (i + 1) % PLACES;
	places[i] = (struct place){ at, call };
}

static bool fails(const char *call, bool allocation, uintptr_t at)
{
	int saved = errno;
	bool yes = false;

	pthread_mutex_lock(&lock);
	if (armed && (!scope || scope())) {
		remember(at, call);
		report.calls++;
		report.allocations += allocation;
		yes = report.calls >= first && report.calls <= last;
		if (yes && report.failed++ == 0) {
			report.call = call;
			report.at = at;
		}
	}
	pthread_mutex_unlock(&lock);
	errno = saved;
	return yes;
}

void nth_scope(bool (*counts)(void))
{
	scope = counts;
}

void nth_arm(unsigned n, unsigned burst)
{
	pthread_mutex_lock(&lock);
	first = n;
	last = n + burst - 1;
	report = (struct nth_report){ 0 };
	armed = true;
	pthread_mutex_unlock(&lock);
}

void nth_disarm(void)
{
	pthread_mutex_lock(&lock);
	armed = false;
	pthread_mutex_unlock(&lock);
}

struct nth_report nth_report(void)
{
	struct nth_report copy;

	pthread_mutex_lock(&lock);
	copy = report;
	pthread_mutex_unlock(&lock);
	return copy;
}

unsigned nth_places(void (*each)(void *arg, uintptr_t at, const char *call), void *arg)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PLACES; i++) {
		if (!places[i].at)
			continue;
		n++;
		if (each)
			each(arg, places[i].at, places[i].call);
	}
	return n;
}

const char *nth_place(uintptr_t at)
{
	extern const char __executable_start;
	static char text[512];
	char cmd[128], file[256] = "";
	FILE *f;

	snprintf(text, sizeof(text), "%#lx", at);
	snprintf(cmd, sizeof(cmd), "addr2line -s -f -e /proc/%d/exe %#lx 2>/dev/null", getpid(),
		 at - 1 - (uintptr_t)&__executable_start);
	f = popen(cmd, "r");
	if (!f)
		return text;
	if (fgets(text, 200, f) && fgets(file, sizeof(file), f)) {
		text[strcspn(text, "\n")] = 0;
		file[strcspn(file, "\n")] = 0;
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " at %s", file);
	}
	pclose(f);
	return text;
}

/* ---- the books ---- */

static unsigned slot_of(const void *p)
{
	return (unsigned)((uintptr_t)p * 0x9e3779b97f4a7c15u >> 48);
}

static void *born(void *p, uintptr_t at)
{
	unsigned i = slot_of(p);

	if (!p)
		return NULL;
	pthread_mutex_lock(&lock);
	while (live[i].p && live[i].p != GONE)
		i = (i + 1) % LIVE;
	live[i] = (struct live){ p, at, ++serial };
	pthread_mutex_unlock(&lock);
	return p;
}

static void died(void *p)
{
	unsigned i = slot_of(p);

	if (!p)
		return;
	pthread_mutex_lock(&lock);
	while (live[i].p && live[i].p != p)
		i = (i + 1) % LIVE;
	if (live[i].p)
		live[i].p = live[(i + 1) % LIVE].p ? GONE : NULL;
	pthread_mutex_unlock(&lock);
}

unsigned nth_mark(void)
{
	return serial;
}

unsigned nth_leaked(unsigned mark)
{
	unsigned n = 0;

	for (unsigned i = 0; i < LIVE; i++)
		if (live[i].p && live[i].p != GONE && live[i].serial > mark && n++ < 4)
			printf("    leaked: allocated by %s\n", nth_place(live[i].at));
	return n;
}

void nth_free(void *p)
{
	died(p);
	free(p);
}

/* ---- memory ---- */

#define ALLOCATES(name, params, args)                                                                                  \
	void *nth_##name params;                                                                                       \
	void *nth_##name params                                                                                        \
	{                                                                                                              \
		uintptr_t at = HERE;                                                                                   \
                                                                                                                       \
		if (fails(#name, true, at)) {                                                                          \
			errno = ENOMEM;                                                                                \
			return NULL;                                                                                   \
		}                                                                                                      \
		return born(name args, at);                                                                            \
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
		if (fails(#name, true, at)) {                                                                          \
			errno = ENOMEM;                                                                                \
			return NULL;                                                                                   \
		}                                                                                                      \
		died(p);                                                                                               \
		q = name args;                                                                                         \
		return born(q ? q : p, at);                                                                            \
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
	if (fails("asprintf", true, at)) {
		errno = ENOMEM;
		return -1;
	}
	va_start(ap, fmt);
	n = vasprintf(out, fmt, ap);
	va_end(ap);
	born(*out, at);
	return n;
}

/* ---- calls that return -1, NULL or something else with an errno ---- */

#define FAILS(type, name, bad, code, params, args)                                                                     \
	type nth_##name params;                                                                                        \
	type nth_##name params                                                                                         \
	{                                                                                                              \
		if (fails(#name, false, HERE)) {                                                                       \
			errno = code;                                                                                  \
			return bad;                                                                                    \
		}                                                                                                      \
		return name args;                                                                                      \
	}

FAILS(int, socket, -1, EMFILE, (int d, int t, int p), (d, t, p))
FAILS(int, bind, -1, ENOBUFS, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
FAILS(int, setsockopt, -1, ENOBUFS, (int fd, int l, int o, const void *v, socklen_t n), (fd, l, o, v, n))
FAILS(int, getsockname, -1, ENOBUFS, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n))
FAILS(int, sendmmsg, -1, ENOBUFS, (int fd, struct mmsghdr *m, unsigned n, int f), (fd, m, n, f))
FAILS(int, recvmmsg, -1, ENOMEM, (int fd, struct mmsghdr *m, unsigned n, int f, struct timespec *t), (fd, m, n, f, t))
FAILS(ssize_t, recvmsg, -1, ENOMEM, (int fd, struct msghdr *m, int f), (fd, m, f))
FAILS(int, eventfd, -1, EMFILE, (unsigned v, int f), (v, f))
FAILS(int, memfd_create, -1, EMFILE, (const char *n, unsigned f), (n, f))
FAILS(int, poll, -1, EINTR, (struct pollfd * f, nfds_t n, int t), (f, n, t))
FAILS(ssize_t, getrandom, -1, EINTR, (void *b, size_t n, unsigned f), (b, n, f))
FAILS(ssize_t, pread, -1, EIO, (int fd, void *b, size_t n, off_t o), (fd, b, n, o))
FAILS(FILE *, fopen, NULL, EMFILE, (const char *p, const char *m), (p, m))
FAILS(int, stat, -1, EACCES, (const char *p, struct stat *s), (p, s))
FAILS(size_t, fread, 0, EIO, (void *b, size_t s, size_t n, FILE *f), (b, s, n, f))
FAILS(void *, mmap, MAP_FAILED, ENOMEM, (void *a, size_t n, int p, int f, int fd, off_t o), (a, n, p, f, fd, o))
FAILS(int, mprotect, -1, ENOMEM, (void *a, size_t n, int p), (a, n, p))
FAILS(int, munmap, -1, ENOMEM, (void *a, size_t n), (a, n))
FAILS(int, fstat, -1, EIO, (int fd, struct stat *s), (fd, s))
FAILS(int, getaddrinfo, EAI_AGAIN, EAGAIN,
      (const char *n, const char *s, const struct addrinfo *h, struct addrinfo **r), (n, s, h, r))
FAILS(int, pthread_create, EAGAIN, EAGAIN, (pthread_t * t, const pthread_attr_t *a, void *(*fn)(void *), void *arg),
      (t, a, fn, arg))

/* Made by libc, freed by the rooms. */
ssize_t nth___getdelim(char **line, size_t *cap, int delimiter, FILE *f);
ssize_t nth___getdelim(char **line, size_t *cap, int delimiter, FILE *f)
{
	uintptr_t at = HERE;
	ssize_t n;

	if (fails("getline", true, at)) {
		errno = ENOMEM;
		return -1;
	}
	died(*line);
	n = getdelim(line, cap, delimiter, f);
	born(*line, at);
	return n;
}

int nth_scandir(const char *dir, struct dirent ***names, int (*wanted)(const struct dirent *),
		int (*order)(const struct dirent **, const struct dirent **));
int nth_scandir(const char *dir, struct dirent ***names, int (*wanted)(const struct dirent *),
		int (*order)(const struct dirent **, const struct dirent **))
{
	if (fails("scandir", true, HERE)) {
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

	if ((hole < 0 || hole < off + (off_t)len) && fails("pwrite", false, HERE)) {
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

	if (error && fails("ioctl", false, HERE)) {
		errno = error;
		return -1;
	}
	return ioctl(fd, request, arg);
}

/* Dropping pages cannot fail; a flag of a mapping can, as mappings split. */
int nth_madvise(void *addr, size_t len, int advice);
int nth_madvise(void *addr, size_t len, int advice)
{
	if (advice != MADV_DONTNEED && fails("madvise", false, HERE)) {
		errno = ENOMEM;
		return -1;
	}
	return madvise(addr, len, advice);
}

long nth_syscall(long number, long a, long b, long c, long d);
long nth_syscall(long number, long a, long b, long c, long d)
{
	if (fails("syscall", false, HERE)) {
		errno = number == SYS_userfaultfd ? EMFILE : EAGAIN;
		return -1;
	}
	return syscall(number, a, b, c, d);
}

int nth_open(const char *path, int flags, int mode);
int nth_open(const char *path, int flags, int mode)
{
	if (fails("open", false, HERE)) {
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
KRB5(krb5_decode_ticket, (const krb5_data *d, krb5_ticket **t), (d, t))
KRB5(krb5_server_decrypt_ticket_keytab, (krb5_context c, const krb5_keytab k, krb5_ticket *t), (c, k, t))

krb5_error_code nth_krb5_build_principal(krb5_context c, krb5_principal *out, unsigned len, const char *realm,
					 const char *a, const char *b, const char *d);
krb5_error_code nth_krb5_build_principal(krb5_context c, krb5_principal *out, unsigned len, const char *realm,
					 const char *a, const char *b, const char *d)
{
	if (fails("krb5_build_principal", false, HERE))
		return ENOMEM;
	return krb5_build_principal(c, out, len, realm, a, b, d, NULL);
}
