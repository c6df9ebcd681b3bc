/* Nothing untried, in the program umafs-cell: with the n-th call failing, while it starts on a
 * new or a used data directory, serves, and ends. It must end with clear words or serve; a
 * client is told of success or failure; what was acknowledged is there at the next start, and
 * the next start always succeeds.
 *	UMAFS_NTH=CASE[:N[:VARIANT]]	only this one, this call
 *	UMAFS_NTH_STEP=K		every K-th place only (default 37); 1: all */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <krb5.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cm/cm.h"
#include "tests/nth/ask.h"
#include "tests/nth/runner.h"
#include "tests/unit.h"
#include "tools/fault/control.h"

enum { STEPS = 9, UP_MS = 20000, FILE_SIZE = 9000, CTL_WORDS = 5 };
enum start { NEW, USED, MEMORY };

static char base[64], data[80], confdir[80];
static char listen_on[64], control[100];
static uint32_t ip;
static long answers[ASK_QUESTIONS]; /* when nothing fails */

/* ---- a client's doings ---- */

struct user {
	struct cm *cm;
	struct cm_token *token;
	struct cm_vnode *top;
};

static bool user_begin(struct user *u, struct rx_error *err)
{
	struct cm_config config = { .confdir = confdir, .level = 2, .dead_time_s = 12, .retry_limit_s = 3 };
	char spec[128];

	*u = (struct user){ 0 };
	snprintf(spec, sizeof(spec), "FILE:%s/ccache/admin", confdir);
	u->cm = cm_new(&config, err);
	return u->cm && !cm_token_open(u->cm, spec, NULL, &u->token, err) &&
	       !cm_walk(u->cm, u->token, "/afs/umafs.test/home", 0, &u->top, err);
}

static void user_end(struct user *u)
{
	cm_vnode_put(u->top);
	cm_token_put(u->token);
	if (u->cm)
		cm_free(u->cm, 1000);
}

static const struct cm_setattr mode_of = { .set_mode = true, .mode = 0640 };

static int give_bytes(void *arg, void *buf, size_t len)
{
	(void)arg;
	memset(buf, 'c', len);
	return 0;
}

static int make(struct user *u, const char *name, uint64_t size, struct cm_vnode **v, struct rx_error *err)
{
	if (cm_create(u->top, u->token, name, &mode_of, v, err))
		return -1;
	return size ? cm_store_stream(*v, u->token, 0, size, size, 0, false, give_bytes, NULL, err) : 0;
}

/* Each is one thing that may be acknowledged or not; none leans on another. */
static int step(struct user *u, unsigned which, struct rx_error *err)
{
	struct cm_vnode *v = NULL;
	int rc = -1;

	switch (which) {
	case 0:
		rc = cm_mkdir(u->top, u->token, "d0", &mode_of, &v, err);
		break;
	case 1:
		rc = make(u, "f1", FILE_SIZE, &v, err);
		break;
	case 2:
		rc = cm_symlink(u->top, u->token, "s2", "where", false, err);
		break;
	case 3:
		rc = make(u, "f3", 0, &v, err) || cm_rename(u->top, "f3", u->top, "r3", u->token, err);
		break;
	case 4:
		rc = make(u, "f4", 100, &v, err) || cm_unlink(u->top, u->token, "f4", err);
		break;
	case 5:
		rc = cm_mkdir(u->top, u->token, "d5", &mode_of, &v, err) ||
		     cm_acl_store(v, u->token, "2\n0\nadmin\t127\nbob\t9\n", err);
		break;
	case 6:
		rc = make(u, "f6", 0, &v, err) || cm_link(u->top, u->token, "l6", v, err);
		break;
	case 7:
		rc = make(u, "f7", FILE_SIZE, &v, err) || cm_truncate(v, u->token, 100, err);
		break;
	case 8:
		rc = cm_mkdir(u->top, u->token, "d8", &mode_of, &v, err) || cm_rmdir(u->top, u->token, "d8", err);
		break;
	}
	cm_vnode_put(v);
	return rc ? -1 : 0;
}

static bool is_file(struct user *u, struct cm_vnode *v, uint64_t size, unsigned links, struct rx_error *err)
{
	static char bytes[FILE_SIZE + 1];
	struct cm_attr a;
	uint64_t version;
	size_t got = 0;

	if (cm_getattr(v, u->token, &a, err) || a.type != CM_FILE || a.size != size || a.mode != 0640 ||
	    a.nlink != links || cm_fetch(v, u->token, 0, bytes, sizeof(bytes), &got, &version, err) || got != size)
		return false;
	while (got && bytes[got - 1] == 'c')
		got--;
	return got == 0;
}

static bool holds(struct user *u, unsigned which, struct rx_error *err)
{
	static const char *const names[STEPS] = { "d0", "f1", "s2", "r3", NULL, "d5", "l6", "f7", NULL };
	static const char *const gone[STEPS] = { NULL, NULL, NULL, "f3", "f4", NULL, NULL, NULL, "d8" };
	struct cm_vnode *v = NULL;
	char *text = NULL;
	bool ok = true;

	if (gone[which]) {
		ok = cm_lookup(u->top, u->token, gone[which], &v, err) && err->errnum == ENOENT;
		cm_vnode_put(v);
		v = NULL;
	}
	if (!ok || !names[which])
		return ok;
	if (cm_lookup(u->top, u->token, names[which], &v, err))
		return false;
	if (which == 1 || which == 3 || which == 6 || which == 7)
		ok = is_file(u, v, which == 1 ? FILE_SIZE : which == 7 ? 100 : 0, which == 6 ? 2 : 1, err);
	else if (which == 2)
		ok = !cm_readlink(v, u->token, &text, err) && !strcmp(text, "where");
	else if (which == 5)
		ok = !cm_acl_fetch(v, u->token, &text, err) && strstr(text, "bob\t9\n");
	free(text);
	cm_vnode_put(v);
	return ok;
}

/* ---- the program ---- */

static void start(struct run *r, enum start how)
{
	char audit[100], keytab[100], trace[100];
	char *argv[] = { "umafs-cell",
			 "--confdir",
			 confdir,
			 "--listen",
			 listen_on,
			 "--audit",
			 audit,
			 "--control",
			 control,
			 "--trace",
			 trace,
			 how == MEMORY ? "--keytab" : "--data",
			 how == MEMORY ? keytab : data,
			 how == NEW ? "--sync" : NULL,
			 NULL };

	snprintf(audit, sizeof(audit), "%s/audit", base);
	snprintf(keytab, sizeof(keytab), "%s/keytab", base);
	snprintf(trace, sizeof(trace), "%s/trace", base);
	r->program = "umafs-cell";
	run_start(r, argv);
}

/* Serves; false: it has ended, or takes too long. */
static bool comes_up(struct run *r)
{
	char text[1024] = "";

	for (unsigned ms = 0; ms < UP_MS; ms += 2) {
		ssize_t n = pread(r->out, text, sizeof(text) - 1, 0);

		text[n > 0 ? n : 0] = 0;
		if (strstr(text, "is up;"))
			return true;
		if (run_wait(r, 2))
			return false;
	}
	return false;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	return remove(path);
}

static void copy_data(const char *from, const char *to)
{
	char cmd[256];

	nftw(to, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	snprintf(cmd, sizeof(cmd), "cp -a %s %s", from, to);
	CU_ASSERT_EQUAL_FATAL(system(cmd), 0);
}

/* Ends it, and tells whether it ended well. */
static bool stop(struct run *r)
{
	const char *words;

	kill(r->pid, SIGTERM);
	run_end(r);
	words = strstr(r->told, "umafs-cell: ");
	return r->status == 0 || (r->status == 1 && words && strlen(words) > 25);
}

/* Each question twice: what is answered is right, and at most one answer fails. */
static bool ask(bool clean)
{
	long counts[2][ASK_QUESTIONS];
	bool ok = true;

	for (unsigned i = 0; i < 2; i++)
		ask_all(confdir, ip, counts[i]);
	if (clean)
		memcpy(answers, counts[0], sizeof(answers));
	for (unsigned i = 0; i < ASK_QUESTIONS; i++) {
		long a = counts[0][i], b = counts[1][i];

		if ((a == answers[i] || b == answers[i]) && (a == -1 || b == -1 || a == b) && answers[i] > 0)
			continue;
		printf("      question %u is answered with %ld and %ld, not %ld\n", i, a, b, answers[i]);
		ok = false;
	}
	return ok;
}

/* What is refused once is done when it is said again. */
static bool command(void)
{
	static const char *const commands[][CTL_WORDS] = {
		{ "help" },
		{ "put", "", "home:put" },
		{ "get", "home:put", "" },
		{ "cksum", "home:put" },
		{ "write", "home:put", "3", "more" },
		{ "read", "home:put" },
		{ "truncate", "home:put", "5" },
		{ "mkdir", "home:ctl" },
		{ "ls", "home:" },
		{ "setacl", "home:ctl", "bob", "read" },
		{ "revoke", "bob", "l", "home:ctl" },
		{ "acl", "home:ctl" },
		{ "stat", "home:put" },
		{ "promises" },
		{ "break", "all" },
		{ "clock", "+1s" },
		{ "quota", "home", "5000" },
		{ "vos-release", "ro" },
		{ "move", "home", "2" },
		{ "ticket", "bob", "100s", "" },
		{ "list" },
		{ "add", "r: rpc name FetchACL -> pass" },
		{ "remove", "r" },
		{ "rm", "home:put" },
	};
	char path[100];
	bool ok = true;

	snprintf(path, sizeof(path), "%s/file", base);
	for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		char *words[CTL_WORDS + 1] = { NULL };
		struct rx_error err = { 0 };
		int rc = -1;

		for (unsigned k = 0; k < CTL_WORDS && commands[i][k]; k++)
			words[k] = *commands[i][k] ? (char *)(uintptr_t)commands[i][k] : path;
		if (!strcmp(words[0], "move"))
			words[2] = strchr(listen_on, ',') + 1;
		for (unsigned k = 0; k < 2 && rc; k++) {
			char *text = NULL;
			size_t len;
			FILE *out = open_memstream(&text, &len);

			rc = fault_control_call(control, words, out, &err);
			fclose(out);
			free(text);
		}
		if (rc && !strstr(err.text, "EEXIST") && !strstr(err.text, "ENOENT") && !strstr(err.text, "already") &&
		    !strstr(err.text, "there is no")) {
			printf("      ctl %s: %s\n", words[0], err.text);
			ok = false;
		}
	}
	return ok;
}

/* What was acknowledged; false: the client could not even begin. */
static bool act(bool acknowledged[STEPS])
{
	struct rx_error err = { 0 };
	struct user u;
	bool ok = user_begin(&u, &err);

	for (unsigned i = 0; ok && i < STEPS; i++)
		acknowledged[i] = step(&u, i, &err) == 0;
	user_end(&u);
	return ok;
}

static bool next_start(const bool acknowledged[STEPS])
{
	struct run *r = calloc(1, sizeof(*r));
	struct rx_error err = { 0 };
	struct user u = { 0 };
	char left[120];
	bool ok;

	r->n = 1u << 30;
	start(r, USED);
	ok = comes_up(r) && user_begin(&u, &err);
	if (!ok)
		printf("      the next start: %s\n", err.text);
	for (unsigned i = 0; ok && i < STEPS; i++) {
		if (!acknowledged[i] || holds(&u, i, &err))
			continue;
		printf("      step %u was acknowledged and is lost: %s\n", i, err.text);
		ok = false;
	}
	user_end(&u);
	snprintf(left, sizeof(left), "%s/log.new", data);
	if (access(left, F_OK) == 0) {
		printf("      %s is left\n", left);
		ok = false;
	}
	if (!stop(r) || r->status) {
		run_explain(r, "the next start");
		ok = false;
	}
	free(r);
	return ok;
}

static void prepare(enum start how)
{
	char path[100];
	FILE *f;

	snprintf(path, sizeof(path), "%s/used", base);
	if (how == USED)
		copy_data(path, data);
	else
		nftw(data, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	nftw(confdir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	snprintf(path, sizeof(path), "%s/file", base);
	f = fopen(path, "we");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	fputs("a file\n", f);
	fclose(f);
}

static bool one_run(struct run *r, enum start how, bool clean)
{
	bool acknowledged[STEPS] = { false }, ok = true;

	prepare(how);
	start(r, how);
	if (comes_up(r)) {
		ok = act(acknowledged) || !clean;
		for (unsigned i = 0; clean && i < STEPS; i++)
			ok = ok && acknowledged[i];
		/* ... unless the failure has ended the program meanwhile. */
		ok = ok && ((command() & ask(clean)) || run_wait(r, 0));
	}
	if (!stop(r)) {
		printf("      it ends badly\n");
		ok = false;
	}
	return (how == MEMORY || next_start(acknowledged)) && ok && (!clean || r->status == 0);
}

static bool all_places(const char *name, enum start how, unsigned only, unsigned variant)
{
	struct run *r = calloc(1, sizeof(*r));
	struct run_plan plan;
	unsigned runs = 0, bad = 0, n;
	bool ok;

	r->n = 1u << 30;
	if (!one_run(r, how, true)) {
		run_explain(r, "nothing failing");
		free(r);
		return false;
	}
	run_plan_begin(&plan, r);
	while ((n = only ? (runs ? 0 : only) : run_plan_next(&plan))) {
		*r = (struct run){ .n = n, .burst = 1, .variant = only ? variant : runs % 4 == 3 };
		ok = one_run(r, how, false);
		if (!ok)
			run_explain(r, name);
		bad += !ok;
		runs++;
	}
	printf("  %-16s %4u calls, %4u runs: %u failed\n", name, plan.calls, runs, bad);
	run_plan_end(&plan);
	free(r);
	return bad == 0;
}

/* What a cell in its prime leaves: files that a first start has not. */
static bool make_used(void)
{
	struct run *r = calloc(1, sizeof(*r));
	struct rx_error err = { 0 };
	struct user u = { 0 };
	struct cm_vnode *v = NULL;
	char to[100];
	bool ok;

	r->n = 1u << 30;
	start(r, NEW);
	ok = comes_up(r) && user_begin(&u, &err) && !make(&u, "before", FILE_SIZE, &v, &err) &&
	     !cm_symlink(u.top, u.token, "link", "before", false, &err);
	cm_vnode_put(v);
	user_end(&u);
	kill(r->pid, SIGKILL); /* its log is not compacted */
	run_end(r);
	free(r);
	snprintf(to, sizeof(to), "%s/used", base);
	copy_data(data, to);
	return ok;
}

static bool make_keytab(void)
{
	krb5_octet key[32] = "0123456789abcdef0123456789abcde";
	krb5_keytab_entry entry = { .vno = 1 };
	krb5_context ctx = NULL;
	krb5_keytab kt = NULL;
	char name[120];
	bool ok;

	snprintf(name, sizeof(name), "FILE:%s/keytab", base);
	entry.key = (krb5_keyblock){ .enctype = ENCTYPE_AES256_CTS_HMAC_SHA1_96, .length = 32, .contents = key };
	ok = !krb5_init_context(&ctx) && !krb5_parse_name(ctx, "afs/umafs.test@UMAFS.TEST", &entry.principal) &&
	     !krb5_kt_resolve(ctx, name, &kt) && !krb5_kt_add_entry(ctx, kt, &entry);
	if (kt)
		krb5_kt_close(ctx, kt);
	krb5_free_principal(ctx, entry.principal);
	krb5_free_context(ctx);
	return ok;
}

static void test_cell(void)
{
	const struct run_only only = run_only();
	unsigned net = 1 + (unsigned)getpid() % 0xfffe;
	char krb5[100];
	bool ok = true;

	strcpy(base, "/tmp/umafs-nth.XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(base));
	snprintf(data, sizeof(data), "%s/data", base);
	snprintf(confdir, sizeof(confdir), "%s/conf", base);
	snprintf(krb5, sizeof(krb5), "%s/krb5.conf", confdir);
	setenv("KRB5_CONFIG", krb5, 1);
	snprintf(listen_on, sizeof(listen_on), "127.%u.%u.1,127.%u.%u.2", net >> 8, net & 255, net >> 8, net & 255);
	snprintf(control, sizeof(control), "%s/control", base);
	ip = 0x7f000000 | net << 8 | 1;
	printf("\n");
	CU_ASSERT_FATAL(make_keytab() && make_used());
	if (run_is_wanted(&only, "new"))
		ok &= all_places("new", NEW, only.n, only.variant);
	if (run_is_wanted(&only, "used"))
		ok &= all_places("used", USED, only.n, only.variant);
	if (run_is_wanted(&only, "memory"))
		ok &= all_places("memory", MEMORY, only.n, only.variant);
	nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	CU_ASSERT(ok);
}

UNIT_MAIN("n-th failure in umafs-cell", { "from its start to its end", test_cell })
