/* The scenario of scenario.h, played with the library's public API alone: alice, bob and
 * carol map one page of one file in this process. What others do, and every look at the
 * server, is done by another process, the program umafs. Each step prints what the server
 * and every mapping hold and what the audit log says. */
#include "tools/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vfs-emu/umafs.h"

enum { PAGE = 4096, STORED = 12, A_AT = 0, B_AT = 100, WHO = 3 };

static const char *const names[WHO] = { "alice", "bob", "carol" };

struct play {
	const struct scenario *given;
	char path[1024], fid[64]; /* fid: as in the audit log */
	unsigned steps, checks, failures;
	long audit_start, audit_shown;
};

static int __attribute__((format(printf, 1, 2))) cannot(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("    cannot be played: ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
	return -1;
}

static void __attribute__((format(printf, 3, 4))) check(struct play *p, bool held, const char *fmt, ...)
{
	va_list ap;

	p->checks++;
	p->failures += !held;
	printf("    %s  ", held ? "ok    " : "FAILED");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

/* why: what one sees in it; NULL when that is plain. */
static void step(struct play *p, const char *what, const char *why)
{
	printf("\n%u. %s\n", ++p->steps, what);
	if (why)
		printf("    (%s)\n", why);
	fflush(stdout);
}

/* ---- other processes ---- */

/* Runs umafs as `who` with up to four arguments. Its output goes to out (cap bytes; NULL:
 * nowhere). Returns the number of bytes, or -1 when it failed. */
static ssize_t run_umafs(const struct play *p, const char *who, void *out, size_t cap, const char *const args[])
{
	char ccache[1024];
	const char *argv[32] = { p->given->umafs, "--confdir", p->given->confdir, "--as", ccache };
	int fds[2], status, n = 5;
	size_t got = 0;
	ssize_t r = 0;
	pid_t pid;

	snprintf(ccache, sizeof(ccache), "FILE:%s/%s", p->given->ccaches, who);
	while (*args && n < 31)
		argv[n++] = *args++;
	if (pipe2(fds, O_CLOEXEC))
		return cannot("pipe: %s", strerror(errno));
	fflush(stdout);
	pid = fork();
	if (!pid) {
		dup2(fds[1], STDOUT_FILENO);
		execv(p->given->umafs, (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return cannot("fork: %s", strerror(errno));
	}
	while (out && got < cap && (r = read(fds[0], (char *)out + got, cap - got)) > 0)
		got += (size_t)r;
	close(fds[0]);
	if (waitpid(pid, &status, 0) < 0 || status)
		return -1;
	return (ssize_t)got;
}

static int must_umafs(const struct play *p, const char *who, const char *const args[])
{
	return run_umafs(p, who, NULL, 0, args) < 0 ? cannot("umafs %s as %s failed", args[0], who) : 0;
}

/* ---- what is where ---- */

static void make_page(char page[PAGE], bool a, bool b)
{
	memset(page, 's', PAGE);
	if (a)
		memset(page + A_AT, 'a', STORED);
	if (b)
		memset(page + B_AT, 'b', STORED);
}

static void show(const char *who, const char page[PAGE])
{
	printf("    %-15s bytes %d-%d %.*s   bytes %d-%d %.*s\n", who, A_AT, A_AT + STORED - 1, STORED, page + A_AT,
	       B_AT, B_AT + STORED - 1, STORED, page + B_AT);
}

/* What a fresh process reads; '?' when it cannot. */
static void read_server(const struct play *p, char page[PAGE])
{
	const char *const args[] = { "cat", p->path, NULL };

	memset(page, '?', PAGE);
	if (run_umafs(p, "carol", page, PAGE, args) != PAGE)
		memset(page, '?', PAGE);
}

/* Shows and checks. content: of the mappings. */
static void look(struct play *p, char *const maps[WHO], bool server_a, bool server_b, bool map_a, bool map_b)
{
	char server[PAGE], want_server[PAGE], want[PAGE], seen[PAGE];
	bool same = true;

	make_page(want_server, server_a, server_b);
	make_page(want, map_a, map_b);
	read_server(p, server);
	show("server", server);
	for (int i = 0; i < WHO; i++) {
		char label[32];

		memcpy(seen, maps[i], PAGE);
		snprintf(label, sizeof(label), "%s's mapping", names[i]);
		show(label, seen);
		same = same && !memcmp(seen, want, PAGE);
	}
	check(p, !memcmp(server, want_server, PAGE), "the server holds s%s%s, all %d bytes as they must be",
	      server_a ? " and a" : "", server_b ? " and b" : "", PAGE);
	check(p, same, "every mapping holds s%s%s, all %d bytes as they must be", map_a ? " and a" : "",
	      map_b ? " and b" : "", PAGE);
}

/* ---- the audit log ---- */

static long audit_size(const struct play *p)
{
	FILE *f = fopen(p->given->audit, "r");
	long n;

	if (!f)
		return cannot("the audit log %s cannot be read: %s", p->given->audit, strerror(errno));
	fseek(f, 0, SEEK_END);
	n = ftell(f);
	fclose(f);
	return n;
}

/* How many StoreData of the file in that name were (not) refused since the start. print:
 * first the lines that were not shown yet, also of access list changes. */
static unsigned audit_count(struct play *p, const char *name, bool refused, bool print)
{
	FILE *f = fopen(p->given->audit, "r");
	char line[1024], who[64];
	unsigned n = 0;

	if (!f)
		return 0;
	fseek(f, print ? p->audit_shown : p->audit_start, SEEK_SET);
	while (fgets(line, sizeof(line), f)) {
		const char *event = strstr(line, "EVENT AFS_SRX_"), *code = strstr(line, " CODE ");
		bool store = event && !strncmp(event, "EVENT AFS_SRX_StData", 20);

		if (print && event && (store || !strncmp(event, "EVENT AFS_SRX_StACL", 19)))
			printf("    audit: %s", event);
		snprintf(who, sizeof(who), " NAME %s ", name);
		if (store && code && (atoi(code + 6) != 0) == refused && strstr(line, who) && strstr(line, p->fid))
			n++;
	}
	if (print)
		p->audit_shown = ftell(f);
	fclose(f);
	return n;
}

/* The server writes the line after its answer. */
static unsigned audit_wait(struct play *p, const char *name, bool refused, unsigned at_least)
{
	const struct timespec nap = { .tv_nsec = 50 * 1000000 };
	unsigned n = 0;

	for (int i = 0; i < 60 && (n = audit_count(p, name, refused, false)) < at_least; i++)
		nanosleep(&nap, NULL);
	return n;
}

/* ---- the scenario ---- */

static sigjmp_buf bus_jump;

static void on_bus(int sig)
{
	(void)sig;
	siglongjmp(bus_jump, 1);
}

/* True when the stores went through. */
static bool store(char *map, int at, char c)
{
	if (sigsetjmp(bus_jump, 1))
		return false;
	memset(map + at, c, STORED);
	return true;
}

static int put_page(const struct play *p)
{
	char local[] = "/tmp/umafs-page-XXXXXX", page[PAGE];
	int fd = mkstemp(local), rc = -1;

	if (fd < 0)
		return cannot("no temporary file: %s", strerror(errno));
	make_page(page, false, false);
	if (write(fd, page, PAGE) != PAGE)
		cannot("the temporary file cannot be written: %s", strerror(errno));
	else /* admin owns the file: an owner could write without the w right. */
		rc = must_umafs(p, "admin", (const char *const[]){ "put", local, p->path, NULL });
	close(fd);
	unlink(local);
	return rc;
}

static int prepare(struct play *p)
{
	const char *dir = p->given->dir;

	snprintf(p->path, sizeof(p->path), "%s/page", dir);
	if (must_umafs(p, "admin", (const char *const[]){ "mkdir", "-p", dir, NULL }) ||
	    must_umafs(p, "admin",
		       (const char *const[]){ "setacl", "--clear", dir, "admin", "all", "alice", "write", "bob",
					      "write", "carol", "read", NULL }) ||
	    put_page(p))
		return -1;
	p->audit_start = p->audit_shown = audit_size(p);
	return p->audit_start < 0 ? -1 : 0;
}

static int open_one(struct play *p, struct umafs *fs, int who, struct umafs_token **token, char **map)
{
	struct umafs_error err;
	bool writes = who < 2;
	struct umafs_stat st;
	struct umafs_file *f;
	char ccache[1024];

	snprintf(ccache, sizeof(ccache), "FILE:%s/%s", p->given->ccaches, names[who]);
	*token = umafs_token_open(fs, ccache, NULL, &err);
	if (!*token)
		return cannot("%s's token: %s", names[who], err.text);
	f = umafs_open(fs, *token, p->path, writes ? UMAFS_RDWR : UMAFS_RDONLY, 0, &err);
	if (!f)
		return cannot("%s opens: %s", names[who], err.text);
	if (umafs_fstat(f, &st, &err) == 0) {
		snprintf(p->fid, sizeof(p->fid), " FID %u:%u:%u ", st.volume, st.vnode, st.unique);
		*map = umafs_mmap(f, PAGE, PROT_READ | (writes ? PROT_WRITE : 0), 0, &err);
	}
	if (!*map)
		cannot("%s maps: %s", names[who], err.text);
	if (umafs_close(f, &err))
		return cannot("%s closes: %s", names[who], err.text);
	return *map ? 0 : -1;
}

static void refused(struct play *p, struct umafs *fs, char *maps[WHO])
{
	struct umafs_error err = { 0 };
	int first, second;

	step(p, "bob stores b into the same page",
	     "before the page is his, alice's change goes to the server, in her name; refused, it is thrown away, "
	     "all of it and nothing else");
	check(p, store(maps[1], B_AT, 'b'), "his store instructions went through");
	check(p, audit_wait(p, "alice", true, 1) == 1, "the server refused one StoreData of alice");
	check(p, audit_count(p, "alice", false, false) == 0, "it accepted none of hers");
	check(p, audit_count(p, "bob", false, false) == 0, "nothing was stored in bob's name yet");
	audit_count(p, "", false, true);
	look(p, maps, false, false, false, true);

	step(p, "alice asks with msync, twice", "who lost a change is told, once");
	first = umafs_msync(fs, maps[0], PAGE, MS_SYNC, &err);
	printf("    first: %s\n", first ? err.text : "0");
	check(p, first == -1 && err.errnum == EACCES, "the first tells her EACCES");
	second = umafs_msync(fs, maps[0], PAGE, MS_SYNC, &err);
	check(p, second == 0, "the second returns 0");

	step(p, "alice stores again", NULL);
	check(p, !store(maps[0], A_AT, 'a'), "she gets SIGBUS: she has no w right");
	look(p, maps, false, false, false, true);
}

static void play(struct play *p, struct umafs *fs, char *maps[WHO])
{
	struct umafs_error err = { 0 };

	step(p, "alice, bob and carol have mapped the page in one process; nobody has stored", NULL);
	look(p, maps, false, false, false, false);

	step(p, "alice stores a through her mapping",
	     "the mappings are one page, so everybody here sees it at once; the server has not been told yet");
	check(p, store(maps[0], A_AT, 'a'), "her store instructions went through");
	look(p, maps, false, false, true, false);

	step(p, "admin takes alice's w right away, in another process, on the server", NULL);
	check(p, must_umafs(p, "admin", (const char *const[]){ "setacl", p->given->dir, "alice", "rl", NULL }) == 0,
	      "umafs setacl as admin");
	read_server(p, (char[PAGE]){ 0 });
	audit_count(p, "", false, true);

	refused(p, fs, maps);

	step(p, "bob calls msync", "his change is stored in his name, without a byte of hers");
	check(p, umafs_msync(fs, maps[1], PAGE, MS_SYNC, &err) == 0, "it returns 0");
	check(p, audit_wait(p, "bob", false, 1) >= 1, "the server stored in bob's name");
	check(p, audit_count(p, "bob", true, false) == 0, "and refused nothing of his");
	check(p, audit_count(p, "--UnAuth--", false, false) + audit_count(p, "--UnAuth--", true, false) == 0,
	      "nothing came without a name");
	check(p, audit_count(p, "alice", false, false) == 0, "nothing was ever stored in alice's name");
	audit_count(p, "", false, true);
	look(p, maps, false, true, false, true);
}

int scenario_play(const struct scenario *given, struct scenario_score *score)
{
	struct play p = { .given = given };
	struct umafs_config config = { .size = sizeof(config), .confdir = given->confdir, .max_dirty_age_ms = 600000 };
	struct sigaction action = { .sa_handler = on_bus }, before;
	struct umafs_token *tokens[WHO] = { NULL };
	struct umafs_error err = { 0 };
	char *maps[WHO] = { NULL };
	struct umafs *fs;
	int rc = 0;

	printf("One page of one file, %d times the byte s, is mapped by three users. What alice stores shows as a in "
	       "bytes\n%d-%d, what bob stores as b in bytes %d-%d. After each step stands what the server holds, read "
	       "by another\nprocess, and what every mapping holds. The audit lines are the file server's: they say in "
	       "whose name it was called.\n",
	       PAGE, A_AT, A_AT + STORED - 1, B_AT, B_AT + STORED - 1);
	if (prepare(&p))
		return -1;
	fs = umafs_new(&config, &err);
	if (!fs)
		return cannot("%s", err.text);
	sigaction(SIGBUS, &action, &before);
	for (int i = 0; i < WHO && rc == 0; i++)
		rc = open_one(&p, fs, i, &tokens[i], &maps[i]);
	if (rc == 0)
		play(&p, fs, maps);
	for (int i = 0; i < WHO; i++) {
		if (maps[i] && umafs_munmap(fs, maps[i], PAGE, &err))
			check(&p, false, "%s unmaps: %s", names[i], err.text);
		if (tokens[i])
			umafs_token_close(tokens[i]);
	}
	check(&p, umafs_free(fs) == 0, "nothing was left unstored");
	sigaction(SIGBUS, &before, NULL);
	*score = (struct scenario_score){ .checks = p.checks, .failures = p.failures };
	return rc;
}
