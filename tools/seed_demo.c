/* The seed's scenario on real servers, with the library's public API alone. alice, bob
 * and carol map one page of one file in this process. alice stores through her mapping;
 * another process, umafs as admin, takes her w right away; bob stores into the same
 * page. Afterwards bob's bytes must be on the server, alice's nowhere, alice must have
 * been told exactly once, and the server's audit log must show no byte of hers under
 * another name. Each step prints what the server (read by a fresh process) and every
 * mapping hold. tools/quickstart runs it. */
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
static const char *umafs, *confdir, *ccaches, *audit_path, *dir;
static char path[1024], fid[64]; /* fid: as in the audit log */
static unsigned checks, failures;
static long audit_start, audit_shown;
static sigjmp_buf bus_jump;

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("seed: ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
	exit(1);
}

static void __attribute__((format(printf, 2, 3))) check(bool held, const char *fmt, ...)
{
	va_list ap;

	checks++;
	failures += !held;
	printf("    %s  ", held ? "ok    " : "FAILED");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

static void step(const char *what)
{
	static int n;

	printf("\n%d. %s\n", ++n, what);
}

/* ---- other processes ---- */

/* Runs umafs as `who` with up to four arguments. Its output goes to out (cap bytes; NULL:
 * nowhere). Returns the number of bytes, or -1 when it failed. */
static ssize_t run_umafs(const char *who, void *out, size_t cap, const char *const args[])
{
	char ccache[1024];
	const char *argv[32] = { umafs, "--confdir", confdir, "--as", ccache };
	int fds[2], status, n = 5;
	size_t got = 0;
	ssize_t r = 0;
	pid_t pid;

	snprintf(ccache, sizeof(ccache), "%s/%s", ccaches, who);
	while (*args && n < 31)
		argv[n++] = *args++;
	if (pipe2(fds, O_CLOEXEC))
		die("pipe: %s", strerror(errno));
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		dup2(fds[1], STDOUT_FILENO);
		execv(umafs, (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(fds[1]);
	while (out && got < cap && (r = read(fds[0], (char *)out + got, cap - got)) > 0)
		got += (size_t)r;
	close(fds[0]);
	if (waitpid(pid, &status, 0) < 0 || status)
		return -1;
	return (ssize_t)got;
}

static void must_umafs(const char *who, const char *const args[])
{
	if (run_umafs(who, NULL, 0, args) < 0)
		die("umafs %s as %s failed", args[0], who);
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

static void read_server(char page[PAGE])
{
	const char *const args[] = { "cat", path, NULL };

	memset(page, '?', PAGE);
	if (run_umafs("carol", page, PAGE, args) != PAGE)
		die("the server's content cannot be read");
}

/* Shows and checks. content: of the mappings. */
static void look(char *const maps[WHO], bool server_a, bool server_b, bool map_a, bool map_b)
{
	char server[PAGE], want_server[PAGE], want[PAGE], seen[PAGE];
	bool same = true;

	make_page(want_server, server_a, server_b);
	make_page(want, map_a, map_b);
	read_server(server);
	show("server", server);
	for (int i = 0; i < WHO; i++) {
		char label[32];

		memcpy(seen, maps[i], PAGE);
		snprintf(label, sizeof(label), "%s's mapping", names[i]);
		show(label, seen);
		same = same && !memcmp(seen, want, PAGE);
	}
	check(!memcmp(server, want_server, PAGE), "the server holds s0%s%s, all 4096 bytes", server_a ? "+a" : "",
	      server_b ? "+b" : "");
	check(same, "every mapping holds s0%s%s, all 4096 bytes", map_a ? "+a" : "", map_b ? "+b" : "");
}

/* ---- the audit log ---- */

static long audit_size(void)
{
	FILE *f = fopen(audit_path, "r");
	long n;

	if (!f)
		die("the audit log %s cannot be read: %s", audit_path, strerror(errno));
	fseek(f, 0, SEEK_END);
	n = ftell(f);
	fclose(f);
	return n;
}

/* How many StoreData of the file in that name were (not) refused since the start. print:
 * first the lines that were not shown yet, also of access list changes. */
static unsigned audit_count(const char *name, bool refused, bool print)
{
	FILE *f = fopen(audit_path, "r");
	char line[1024], who[64];
	unsigned n = 0;

	if (!f)
		return 0;
	fseek(f, print ? audit_shown : audit_start, SEEK_SET);
	while (fgets(line, sizeof(line), f)) {
		const char *event = strstr(line, "EVENT AFS_SRX_"), *code = strstr(line, " CODE ");
		bool store = event && !strncmp(event, "EVENT AFS_SRX_StData", 20);

		if (print && event && (store || !strncmp(event, "EVENT AFS_SRX_StACL", 19)))
			printf("    audit: %s", event);
		snprintf(who, sizeof(who), " NAME %s ", name);
		if (store && code && (atoi(code + 6) != 0) == refused && strstr(line, who) && strstr(line, fid))
			n++;
	}
	if (print)
		audit_shown = ftell(f);
	fclose(f);
	return n;
}

/* The server writes the line after its answer. */
static unsigned audit_wait(const char *name, bool refused, unsigned at_least)
{
	const struct timespec nap = { .tv_nsec = 50 * 1000000 };
	unsigned n = 0;

	for (int i = 0; i < 60 && (n = audit_count(name, refused, false)) < at_least; i++)
		nanosleep(&nap, NULL);
	return n;
}

/* ---- the scenario ---- */

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

static char local[] = "/tmp/umafs-seed-XXXXXX";

static void remove_local(void)
{
	unlink(local);
}

static void prepare(void)
{
	char page[PAGE];
	int fd = mkstemp(local);

	atexit(remove_local);
	snprintf(path, sizeof(path), "%s/page", dir);
	make_page(page, false, false);
	if (fd < 0 || write(fd, page, PAGE) != PAGE)
		die("no temporary file: %s", strerror(errno));
	close(fd);
	must_umafs("admin", (const char *const[]){ "mkdir", "-p", dir, NULL });
	must_umafs("admin", (const char *const[]){ "setacl", "--clear", dir, "admin", "all", "alice", "write", "bob",
						   "write", "carol", "read", NULL });
	/* admin owns the file: an owner could write without the w right. */
	must_umafs("admin", (const char *const[]){ "put", local, path, NULL });
	audit_start = audit_shown = audit_size();
}

static void open_all(struct umafs *fs, struct umafs_token *tokens[WHO], char *maps[WHO])
{
	struct umafs_error err;

	for (int i = 0; i < WHO; i++) {
		bool writes = i < 2;
		struct umafs_stat st;
		struct umafs_file *f;
		char ccache[1024];

		snprintf(ccache, sizeof(ccache), "%s/%s", ccaches, names[i]);
		tokens[i] = umafs_token_open(fs, ccache, NULL, &err);
		if (!tokens[i])
			die("%s's token: %s", names[i], err.text);
		f = umafs_open(fs, tokens[i], path, writes ? UMAFS_RDWR : UMAFS_RDONLY, 0, &err);
		if (!f)
			die("%s opens: %s", names[i], err.text);
		if (umafs_fstat(f, &st, &err))
			die("%s's file: %s", names[i], err.text);
		snprintf(fid, sizeof(fid), " FID %u:%u:%u ", st.volume, st.vnode, st.unique);
		maps[i] = umafs_mmap(f, PAGE, PROT_READ | (writes ? PROT_WRITE : 0), 0, &err);
		if (!maps[i])
			die("%s maps: %s", names[i], err.text);
		if (umafs_close(f, &err))
			die("%s closes: %s", names[i], err.text);
	}
}

static void play(struct umafs *fs, char *maps[WHO])
{
	struct umafs_error err = { 0 };
	int first, second;
	bool went;

	step("alice, bob and carol have mapped the page in one process; nobody has stored");
	look(maps, false, false, false, false);

	step("alice stores a through her mapping");
	check(store(maps[0], A_AT, 'a'), "her store instructions went through");
	look(maps, false, false, true, false);

	step("admin takes alice's w right away, in another process, on the server");
	must_umafs("admin", (const char *const[]){ "setacl", dir, "alice", "rl", NULL });
	read_server((char[PAGE]){ 0 });
	audit_count("", false, true);

	step("bob stores b into the same page");
	check(store(maps[1], B_AT, 'b'), "his store instructions went through");
	check(audit_wait("alice", true, 1) == 1, "the server refused one StoreData of alice");
	check(audit_count("alice", false, false) == 0, "it accepted none of hers");
	check(audit_count("bob", false, false) == 0, "nothing was stored in bob's name yet");
	audit_count("", false, true);
	look(maps, false, false, false, true);

	step("alice asks with msync, twice");
	first = umafs_msync(fs, maps[0], PAGE, MS_SYNC, &err);
	printf("    first: %s\n", first ? err.text : "0");
	check(first == -1 && err.errnum == EACCES, "the first tells her EACCES");
	second = umafs_msync(fs, maps[0], PAGE, MS_SYNC, &err);
	check(second == 0, "the second returns 0");

	step("alice stores again");
	went = store(maps[0], A_AT, 'a');
	check(!went, "she gets SIGBUS: she has no w right");
	look(maps, false, false, false, true);

	step("bob calls msync");
	check(umafs_msync(fs, maps[1], PAGE, MS_SYNC, &err) == 0, "it returns 0");
	check(audit_wait("bob", false, 1) >= 1, "the server stored in bob's name");
	check(audit_count("bob", true, false) == 0, "and refused nothing of his");
	check(audit_count("--UnAuth--", false, false) + audit_count("--UnAuth--", true, false) == 0,
	      "nothing came without a name");
	check(audit_count("alice", false, false) == 0, "nothing was ever stored in alice's name");
	audit_count("", false, true);
	look(maps, false, true, false, true);
}

int main(int argc, char **argv)
{
	struct umafs_config config = { .size = sizeof(config), .max_dirty_age_ms = 600000 };
	struct sigaction action = { .sa_handler = on_bus };
	struct umafs_token *tokens[WHO];
	struct umafs_error err = { 0 };
	char *maps[WHO];
	struct umafs *fs;

	if (argc != 6) {
		fprintf(stderr, "usage: umafs-seed UMAFS CONFDIR CCACHES AUDITLOG /afs/CELL/DIR\n"
				"DIR is made; CCACHES holds ticket caches named admin, alice, bob, carol.\n");
		return 2;
	}
	umafs = argv[1];
	confdir = argv[2];
	ccaches = argv[3];
	audit_path = argv[4];
	dir = argv[5];
	config.confdir = confdir;
	sigaction(SIGBUS, &action, NULL);
	prepare();
	fs = umafs_new(&config, &err);
	if (!fs)
		die("%s", err.text);
	open_all(fs, tokens, maps);
	play(fs, maps);
	for (int i = 0; i < WHO; i++) {
		if (umafs_munmap(fs, maps[i], PAGE, &err))
			check(false, "%s unmaps: %s", names[i], err.text);
		umafs_token_close(tokens[i]);
	}
	check(umafs_free(fs) == 0, "nothing was left unstored");
	if (failures)
		printf("\nseed: %u of %u assertions FAILED\n", failures, checks);
	else
		printf("\nseed: all %u assertions held\n", checks);
	return failures ? 1 : 0;
}
