/* What the tests of the page room share: a world of one fake server, one file and tokens
 * A, B, C and R; threads that load and store on command and survive SIGBUS; and the
 * oracle that reads /proc/self/pagemap. Every test is a function of the mode and is run
 * in both; VFS_TEST makes the two, VFS_BOTH lists them. */
#ifndef UMAFS_TESTS_VFS_WORLD_H
#define UMAFS_TESTS_VFS_WORLD_H

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fake_cm.h"
#include "tests/unit.h"
#include "vfs-emu/vfs.h"

struct user {
	struct cm_token *token;
	struct vfs_file *file;
	volatile uint8_t *map; /* NULL until world_map */
	size_t len;
};

struct world {
	struct cm *cm;
	struct vfs *vfs;
	struct cm_vnode *vnode;
	struct user a, b, c, r;
	unsigned conflict_timeout_ms;
};

/* False: this kernel lacks the mode; the test has been marked as skipped. */
bool world_new(struct world *w, enum vfs_mode mode, uint64_t size);
void world_free(struct world *w);
void world_map(struct world *w, struct user *u, int prot, size_t len);
/* With a conflict timeout other than for ever. */
bool world_new_timeout(struct world *w, enum vfs_mode mode, uint64_t size, unsigned conflict_timeout_ms);

/* So that accesses survive SIGBUS and SIGSEGV; world_new does it. */
void catch_signals(void);

/* An access on this thread. -1: SIGBUS or SIGSEGV, told by access_signal. */
int load(volatile const uint8_t *p);
int store(volatile uint8_t *p, uint8_t value);
int add(volatile uint8_t *p, uint8_t value); /* lock xadd: returns what was there, or -1 */
/* Of the last failed access on this thread. */
int access_signal(void);
int access_code(void);
void *access_address(void);

/* The same on another thread, which is waited for later. */
struct task {
	pthread_t thread;
	void (*run)(struct task *);
	volatile uint8_t *p;
	uint8_t value;
	int result;
	int signal, code;
	void *address;
	struct vfs_file *file;
	const void *buf;
	size_t len;
	uint64_t off;
	struct rx_error error;
	int tid;
};
void task_load(struct task *t, volatile uint8_t *p);
void task_store(struct task *t, volatile uint8_t *p, uint8_t value);
void task_pwrite(struct task *t, struct vfs_file *f, const void *buf, size_t len, uint64_t off);
void task_fsync(struct task *t, struct vfs_file *f);
int task_wait(struct task *t);

/* '-' nothing mapped, 'r' present and armed, 'w' present and un-armed. */
char mapped(volatile const uint8_t *p);

struct page_want {
	bool u, d, w;
	const struct user *bound; /* NULL: to nobody */
	enum cm_record_state state;
	const char *maps; /* of a, b, r; '.': whatever */
};
void check_page(struct world *w, uint64_t index, struct page_want want, int line);
#define CHECK_PAGE(w, index, ...) check_page(w, index, (struct page_want){ __VA_ARGS__ }, __LINE__)

/* Spins (yielding) until the condition holds: for states that nothing announces. */
#define AWAIT(condition)                                                                                               \
	while (!(condition))                                                                                           \
	sched_yield()

#define VFS_TEST(name)                                                                                                 \
	static void name(enum vfs_mode mode);                                                                          \
	static void name##_full(void)                                                                                  \
	{                                                                                                              \
		name(VFS_MODE_FULL);                                                                                   \
	}                                                                                                              \
	static void name##_basic(void)                                                                                 \
	{                                                                                                              \
		name(VFS_MODE_BASIC);                                                                                  \
	}                                                                                                              \
	static void name(enum vfs_mode mode)
#define VFS_BOTH(number, name, sentence)                                                                               \
	{ #number " " #name " [full]: " sentence, name##_full },                                                       \
	{                                                                                                              \
#number " " #name " [basic]: " sentence, name##_basic                                                  \
	}

#endif
