/* See soft_mmu.h. One lock of the last rank; threads that wait stand in a list. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/sim/soft_mmu.h"

#define BASE ((uintptr_t)1 << 32)

enum pte_bits { MAPPED = 1, PRESENT = 2, ARMED = 4 /* on an empty entry: the marker */, COVERED = 8 };

struct pte {
	unsigned bits;
	int memfd;
	uint64_t off;
};

struct waiter {
	struct waiter *next;
	struct rx_cond woken;
	uintptr_t page;
	int tid;
	bool store, told, free, bus;
};

struct mmu {
	struct vfs_source base;
	struct rx_env *env;
	unsigned restless;
	struct rx_mutex lock;
	struct rx_cond message;
	struct pte *table; /* of the addresses from BASE on */
	size_t npages;
	struct waiter *waiters;
	bool poked;
};

static struct mmu *mmu_of(struct vfs_source *s)
{
	return (struct mmu *)s; /* base is its first member */
}

static struct pte *pte_at(struct mmu *m, uintptr_t addr)
{
	size_t i = (addr - BASE) / CM_PAGE;

	assert(addr >= BASE && i < m->npages);
	return &m->table[i];
}

static bool in_file(const struct pte *p)
{
	return lseek(p->memfd, (off_t)p->off, SEEK_DATA) == (off_t)p->off;
}

static bool beyond_end(const struct pte *p)
{
	struct stat st;

	if (fstat(p->memfd, &st) != 0)
		abort();
	return p->off >= (uint64_t)st.st_size;
}

/* Lock held. */
static void wake_range(struct mmu *m, uintptr_t addr, size_t len)
{
	for (struct waiter *w = m->waiters; w; w = w->next) {
		if (w->page < addr || w->page >= addr + len)
			continue;
		w->free = true;
		rx_cond_signal(&w->woken);
	}
}

/* ---- the source ---- */

/* The lowest free range: addresses are used again as soon as they can be. */
static void *map(struct vfs_source *s, int memfd, size_t len, int prot, uint64_t off, int *error)
{
	struct mmu *m = mmu_of(s);
	size_t n = len / CM_PAGE, at = 0, run = 0;

	(void)prot;
	*error = 0;
	rx_mutex_lock(&m->lock);
	for (size_t i = 0; i < m->npages && run < n; i++) {
		run = m->table[i].bits ? 0 : run + 1;
		at = i + 1 - run;
	}
	if (run < n) {
		at = m->npages - run;
		m->table = reallocarray(m->table, at + n, sizeof(*m->table));
		m->npages = at + n;
	}
	for (size_t i = 0; i < n; i++)
		m->table[at + i] = (struct pte){ MAPPED, memfd, off + i * CM_PAGE };
	rx_mutex_unlock(&m->lock);
	return (void *)(BASE + at * CM_PAGE);
}

static void unmap(struct vfs_source *s, uintptr_t addr, size_t len)
{
	struct mmu *m = mmu_of(s);

	rx_mutex_lock(&m->lock);
	for (size_t i = 0; i < len; i += CM_PAGE)
		pte_at(m, addr + i)->bits = 0;
	wake_range(m, addr, len);
	rx_mutex_unlock(&m->lock);
}

static bool watched(struct mmu *m, uintptr_t addr, size_t len)
{
	for (size_t i = 0; i < len; i += CM_PAGE)
		if (!(pte_at(m, addr + i)->bits & MAPPED))
			return false;
	return true;
}

static int protect(struct vfs_source *s, uintptr_t addr, size_t len, bool on)
{
	struct mmu *m = mmu_of(s);
	int rc = ENOENT;

	rx_mutex_lock(&m->lock);
	if (watched(m, addr, len)) {
		for (size_t i = 0; i < len; i += CM_PAGE) {
			struct pte *p = pte_at(m, addr + i);

			p->bits = on ? p->bits | ARMED : p->bits & ~(unsigned)ARMED;
		}
		if (!on)
			wake_range(m, addr, len);
		rc = 0;
	}
	rx_mutex_unlock(&m->lock);
	return rc;
}

static int arm(struct vfs_source *s, uintptr_t addr, size_t len)
{
	return protect(s, addr, len, true);
}

static int unarm(struct vfs_source *s, uintptr_t addr, size_t len)
{
	return protect(s, addr, len, false);
}

static int present(struct vfs_source *s, uintptr_t addr, size_t len, size_t *done)
{
	struct mmu *m = mmu_of(s);
	int rc = 0;

	rx_mutex_lock(&m->lock);
	for (*done = 0; *done < len && rc == 0;) {
		struct pte *p = pte_at(m, addr + *done);

		if (!(p->bits & MAPPED))
			rc = ENOENT;
		else if (beyond_end(p) || !in_file(p))
			rc = EFAULT;
		else if (p->bits & PRESENT)
			rc = EEXIST;
		if (rc != 0)
			break;
		p->bits |= PRESENT | ARMED;
		*done += CM_PAGE;
	}
	wake_range(m, addr, *done);
	rx_mutex_unlock(&m->lock);
	return rc;
}

static void wake(struct vfs_source *s, uintptr_t addr, size_t len)
{
	struct mmu *m = mmu_of(s);

	rx_mutex_lock(&m->lock);
	wake_range(m, addr, len);
	rx_mutex_unlock(&m->lock);
}

static void zap(struct vfs_source *s, uintptr_t addr, size_t len)
{
	struct mmu *m = mmu_of(s);

	rx_mutex_lock(&m->lock);
	for (size_t i = 0; i < len; i += CM_PAGE)
		pte_at(m, addr + i)->bits &= ~(unsigned)PRESENT;
	rx_mutex_unlock(&m->lock);
}

static void cover(struct vfs_source *s, uintptr_t addr, int prot)
{
	struct mmu *m = mmu_of(s);

	(void)prot;
	rx_mutex_lock(&m->lock);
	pte_at(m, addr)->bits = COVERED;
	wake_range(m, addr, CM_PAGE);
	rx_mutex_unlock(&m->lock);
}

static void uncover(struct vfs_source *s, uintptr_t addr, int prot, int memfd, uint64_t off)
{
	struct mmu *m = mmu_of(s);

	(void)prot;
	rx_mutex_lock(&m->lock);
	*pte_at(m, addr) = (struct pte){ MAPPED | (s->mode == VFS_MODE_BASIC ? ARMED : 0u), memfd, off };
	rx_mutex_unlock(&m->lock);
}

static bool refuse(struct vfs_source *s, uintptr_t addr, int tid)
{
	struct mmu *m = mmu_of(s);

	(void)addr;
	rx_mutex_lock(&m->lock);
	for (struct waiter *w = m->waiters; w; w = w->next) {
		if (w->tid != tid)
			continue;
		w->free = w->bus = true;
		rx_cond_signal(&w->woken);
	}
	rx_mutex_unlock(&m->lock);
	return true;
}

static void unmap_content(struct mmu *m, int memfd, uint64_t from, uint64_t to)
{
	for (size_t i = 0; i < m->npages; i++) {
		struct pte *p = &m->table[i];

		if ((p->bits & MAPPED) && p->memfd == memfd && p->off >= from && p->off < to)
			p->bits &= ~(unsigned)PRESENT;
	}
}

static void punch(struct vfs_source *s, int memfd, uint64_t off, uint64_t len)
{
	struct mmu *m = mmu_of(s);

	rx_mutex_lock(&m->lock);
	if (fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len) != 0)
		abort();
	unmap_content(m, memfd, off, off + len);
	rx_mutex_unlock(&m->lock);
}

static void resize(struct vfs_source *s, int memfd, uint64_t size)
{
	struct mmu *m = mmu_of(s);

	rx_mutex_lock(&m->lock);
	if (ftruncate(memfd, (off_t)size) != 0)
		abort();
	unmap_content(m, memfd, size, UINT64_MAX);
	rx_mutex_unlock(&m->lock);
}

static unsigned take_messages(struct mmu *m, struct vfs_message *out, unsigned cap)
{
	unsigned n = 0;

	for (struct waiter *w = m->waiters; w && n < cap; w = w->next) {
		if (w->told || w->free)
			continue;
		w->told = true;
		out[n++] = (struct vfs_message){ .addr = w->page, .store = w->store, .tid = w->tid };
	}
	return n;
}

static unsigned wait_messages(struct vfs_source *s, uint64_t deadline_us, struct vfs_message *out, unsigned cap)
{
	struct mmu *m = mmu_of(s);
	unsigned n;

	rx_mutex_lock(&m->lock);
	while ((n = take_messages(m, out, cap)) == 0 && !m->poked && rx_cond_wait(&m->message, &m->lock, deadline_us))
		;
	m->poked = false;
	rx_mutex_unlock(&m->lock);
	return n;
}

static void poke(struct vfs_source *s)
{
	struct mmu *m = mmu_of(s);

	rx_mutex_lock(&m->lock);
	m->poked = true;
	rx_cond_signal(&m->message);
	rx_mutex_unlock(&m->lock);
}

static void mmu_free(struct vfs_source *s)
{
	struct mmu *m = mmu_of(s);

	assert(!m->waiters);
	rx_cond_destroy(&m->message);
	rx_mutex_destroy(&m->lock);
	free(m->table);
	free(m);
}

static const struct vfs_source_ops ops = {
	.free = mmu_free,
	.map = map,
	.unmap = unmap,
	.arm = arm,
	.unarm = unarm,
	.present = present,
	.wake = wake,
	.zap = zap,
	.cover = cover,
	.uncover = uncover,
	.refuse = refuse,
	.punch = punch,
	.resize = resize,
	.wait = wait_messages,
	.poke = poke,
};

struct vfs_source *soft_mmu_new(struct rx_env *env, enum vfs_mode mode, unsigned restless)
{
	struct mmu *m = calloc(1, sizeof(*m));

	m->base = (struct vfs_source){ .ops = &ops, .mode = mode };
	m->env = env;
	m->restless = restless;
	rx_mutex_init(&m->lock, env, RX_RANK_LEAF, "soft mmu");
	rx_cond_init(&m->message, env);
	return &m->base;
}

/* ---- the threads' side ---- */

/* Lock held. Waits as a thread in a page fault does. False: SIGBUS. */
static bool fault(struct mmu *m, uintptr_t page, int tid, bool store)
{
	struct waiter w = { .next = m->waiters, .page = page, .tid = tid, .store = store }, **p;
	uint64_t until = UINT64_MAX;
	uint16_t dice;

	m->env->ops->random(m->env, &dice, sizeof(dice));
	if (m->restless && dice % m->restless == 0)
		until = rx_now_us(m->env) + dice;
	rx_cond_init(&w.woken, m->env);
	m->waiters = &w;
	rx_cond_signal(&m->message);
	while (!w.free && rx_cond_wait(&w.woken, &m->lock, until))
		;
	for (p = &m->waiters; *p != &w;)
		p = &(*p)->next;
	*p = w.next;
	rx_cond_destroy(&w.woken);
	return !w.bus;
}

/* One access, atomic when it takes place. */
static int access_byte(struct vfs_source *s, uintptr_t addr, int tid, const uint8_t *value)
{
	struct mmu *m = mmu_of(s);
	uintptr_t page = addr & ~(uintptr_t)(CM_PAGE - 1);
	uint8_t byte = 0;
	int result = -2;

	rx_mutex_lock(&m->lock);
	while (result == -2) {
		struct pte *p = pte_at(m, page);
		off_t at = (off_t)(p->off + addr % CM_PAGE);

		assert(p->bits);
		if ((p->bits & COVERED) || beyond_end(p)) {
			result = -1;
		} else if ((p->bits & PRESENT) && !(value && (p->bits & ARMED))) {
			if ((value ? pwrite(p->memfd, value, 1, at) : pread(p->memfd, &byte, 1, at)) != 1)
				abort();
			result = value ? 0 : byte;
		} else if (!(p->bits & PRESENT) && in_file(p) && s->mode == VFS_MODE_BASIC) {
			p->bits |= PRESENT; /* silently; armed by its marker alone */
		} else if (!fault(m, page, tid, p->bits & PRESENT)) {
			result = -1;
		}
	}
	rx_mutex_unlock(&m->lock);
	return result;
}

int soft_load(struct vfs_source *s, uintptr_t addr, int tid)
{
	return access_byte(s, addr, tid, NULL);
}

int soft_store(struct vfs_source *s, uintptr_t addr, int tid, uint8_t value)
{
	return access_byte(s, addr, tid, &value);
}

char soft_mapped(struct vfs_source *s, uintptr_t addr)
{
	unsigned bits = pte_at(mmu_of(s), addr)->bits;

	if (!(bits & PRESENT))
		return '-';
	return bits & ARMED ? 'r' : 'w';
}

bool soft_armed(struct vfs_source *s, uintptr_t addr)
{
	const struct pte *p = pte_at(mmu_of(s), addr);

	return (p->bits & (ARMED | COVERED)) || (s->mode == VFS_MODE_FULL && !(p->bits & PRESENT));
}

bool soft_in_file(struct vfs_source *s, uintptr_t addr)
{
	const struct pte *p = pte_at(mmu_of(s), addr);

	return !beyond_end(p) && in_file(p);
}
