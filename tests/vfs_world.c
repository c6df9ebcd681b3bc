/* See vfs_world.h. */
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/syscall.h>

#include "tests/vfs_world.h"

static _Thread_local sigjmp_buf access_jump;
static _Thread_local volatile sig_atomic_t accessing;
static _Thread_local siginfo_t access_info;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (!accessing) {
		signal(sig, SIG_DFL);
		return;
	}
	access_info = *info;
	siglongjmp(access_jump, 1);
}

void catch_signals(void)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
}

#define ACCESS(expression)                                                                                             \
	do {                                                                                                           \
		if (sigsetjmp(access_jump, 1)) {                                                                       \
			accessing = 0;                                                                                 \
			return -1;                                                                                     \
		}                                                                                                      \
		accessing = 1;                                                                                         \
		expression;                                                                                            \
		accessing = 0;                                                                                         \
	} while (0)

/* The mappings are written by several threads on purpose; what is checked is who may. */
#define RACY __attribute__((no_sanitize("thread"), noinline))

RACY int load(volatile const uint8_t *p)
{
	volatile int value;

	ACCESS(value = *p);
	return value;
}

RACY int store(volatile uint8_t *p, uint8_t value)
{
	ACCESS(*p = value);
	return 0;
}

RACY int add(volatile uint8_t *p, uint8_t value)
{
	volatile int old;

	ACCESS(old = __atomic_fetch_add(p, value, __ATOMIC_SEQ_CST));
	return old;
}

int access_signal(void)
{
	return access_info.si_signo;
}

int access_code(void)
{
	return access_info.si_code;
}

void *access_address(void)
{
	return access_info.si_addr;
}

/* ---- tasks ---- */

static void *task_main(void *arg)
{
	struct task *t = arg;

	__atomic_store_n(&t->tid, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
	t->run(t);
	t->signal = access_info.si_signo;
	t->code = access_info.si_code;
	t->address = access_info.si_addr;
	return NULL;
}

static void start(struct task *t, void (*run)(struct task *))
{
	t->run = run;
	t->tid = 0;
	pthread_create(&t->thread, NULL, task_main, t);
}

static void run_load(struct task *t)
{
	t->result = load(t->p);
}

static void run_store(struct task *t)
{
	t->result = store(t->p, t->value);
}

static void run_pwrite(struct task *t)
{
	t->result = (int)vfs_pwrite(t->file, t->buf, t->len, t->off, &t->error);
}

static void run_fsync(struct task *t)
{
	t->result = vfs_fsync(t->file, &t->error);
}

void task_load(struct task *t, volatile uint8_t *p)
{
	t->p = p;
	start(t, run_load);
}

void task_store(struct task *t, volatile uint8_t *p, uint8_t value)
{
	t->p = p;
	t->value = value;
	start(t, run_store);
}

void task_pwrite(struct task *t, struct vfs_file *f, const void *buf, size_t len, uint64_t off)
{
	t->file = f;
	t->buf = buf;
	t->len = len;
	t->off = off;
	start(t, run_pwrite);
}

void task_fsync(struct task *t, struct vfs_file *f)
{
	t->file = f;
	start(t, run_fsync);
}

int task_wait(struct task *t)
{
	pthread_join(t->thread, NULL);
	return t->result;
}

/* ---- the world ---- */

static void open_user(struct world *w, struct user *u, const char *name, bool write)
{
	u->token = fake_token(w->cm, name);
	CU_ASSERT_FATAL(vfs_open(w->vfs, w->vnode, u->token, write, &u->file, NULL) == 0);
}

bool world_new_timeout(struct world *w, enum vfs_mode mode, uint64_t size, unsigned conflict_timeout_ms)
{
	struct vfs_config config = { .mode = mode, .conflict_timeout_ms = conflict_timeout_ms };
	struct rx_error err;

	catch_signals();
	memset(w, 0, sizeof(*w));
	w->cm = fake_new();
	config.cm = w->cm;
	w->vfs = vfs_new(&config, &err);
	if (!w->vfs) {
		fake_free(w->cm);
		unit_skip(err.text);
		return false;
	}
	w->vnode = fake_vnode(w->cm, size);
	open_user(w, &w->a, "A", true);
	open_user(w, &w->b, "B", true);
	open_user(w, &w->c, "C", true);
	open_user(w, &w->r, "R", false);
	return true;
}

bool world_new(struct world *w, enum vfs_mode mode, uint64_t size)
{
	return world_new_timeout(w, mode, size, UINT_MAX);
}

void world_map(struct world *w, struct user *u, int prot, size_t len)
{
	(void)w;
	u->map = vfs_mmap(u->file, len, prot, 0, NULL);
	u->len = len;
	CU_ASSERT_PTR_NOT_NULL_FATAL((const void *)u->map);
}

static void close_user(struct world *w, struct user *u)
{
	struct rx_error err;

	if (u->map)
		CU_ASSERT_EQUAL(vfs_munmap(w->vfs, (void *)u->map, u->len, &err), 0);
	if (u->file)
		vfs_close(u->file, &err);
	cm_token_put(u->token);
}

void world_free(struct world *w)
{
	close_user(w, &w->a);
	close_user(w, &w->b);
	close_user(w, &w->c);
	close_user(w, &w->r);
	fake_idle(w->cm);
	vfs_free(w->vfs);
	cm_vnode_put(w->vnode);
	fake_free(w->cm);
}

/* ---- the oracle ---- */

char mapped(volatile const uint8_t *p)
{
	static int fd = -1;
	uint64_t entry = 0;

	if (fd < 0)
		fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	CU_ASSERT_FATAL(pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)p / CM_PAGE * sizeof(entry))) ==
			sizeof(entry));
	if (!(entry >> 63 & 1))
		return '-';
	return entry >> 57 & 1 ? 'r' : 'w';
}

static char mapped_of(const struct user *u, uint64_t index)
{
	return u->map ? mapped(u->map + index * CM_PAGE) : '-';
}

void check_page(struct world *w, uint64_t index, struct page_want want, int line)
{
	char maps[4] = { mapped_of(&w->a, index), mapped_of(&w->b, index), mapped_of(&w->r, index), 0 };
	struct vfs_page_view is;
	bool good, maps_good = true;

	vfs_page_view(w->a.file, index, &is);
	good = is.uptodate == want.u && is.dirty == want.d && is.writeback == want.w &&
	       is.bound == (want.bound != NULL);
	if (want.bound)
		good = good && is.record.token == want.bound->token && is.record.state == want.state;
	for (int i = 0; i < 3; i++)
		maps_good = maps_good && (want.maps[i] == '.' || want.maps[i] == maps[i]);
	if (!good || !maps_good)
		printf("\n  line %d: page %u: U%d D%d W%d %s maps %s, wanted U%d D%d W%d maps %s\n", line,
		       (unsigned)index, is.uptodate, is.dirty, is.writeback,
		       is.bound ? cm_record_state_name(is.record.state) : "unbound", maps, want.u, want.d, want.w,
		       want.maps);
	CU_ASSERT(good);
	CU_ASSERT(maps_good);
}
