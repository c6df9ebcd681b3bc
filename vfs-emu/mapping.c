/* The table of mappings, mmap and munmap. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vfs-emu/file.h"
#include "vfs-emu/mapping.h"

/* Position of the first mapping that ends beyond addr. */
static size_t position(const struct vfs *vfs, uintptr_t addr)
{
	size_t low = 0, high = vfs->nmappings;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (vfs->mappings[mid]->addr + vfs->mappings[mid]->len <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct vfs_mapping *mapping_find(struct vfs *vfs, uintptr_t addr)
{
	size_t i = position(vfs, addr);

	return i < vfs->nmappings && vfs->mappings[i]->addr <= addr ? vfs->mappings[i] : NULL;
}

void mapping_get(struct vfs_mapping *m)
{
	m->refs++;
}

void mapping_put(struct vfs_mapping *m)
{
	struct vfs *vfs = m->vfs;
	bool last;

	rx_mutex_lock(&vfs->mappings_lock);
	last = --m->refs == 0;
	rx_mutex_unlock(&vfs->mappings_lock);
	if (!last)
		return;
	assert(m->gone);
	space_put(m->space);
	cm_token_put(m->token);
	free(m->bad);
	free(m);
}

bool mapping_is_bad(const struct vfs_mapping *m, uint64_t index)
{
	for (size_t i = 0; i < m->nbad; i++)
		if (m->bad[i].index == index)
			return true;
	return false;
}

bool mapping_covers(const struct vfs_mapping *m, uint64_t index)
{
	return !m->gone && index >= m->first && index - m->first < m->len / CM_PAGE && !mapping_is_bad(m, index);
}

/* ---- arming ---- */

/* One ioctl for the run, page by page if there is a hole in it: pages that give SIGBUS
 * now, or that the application has unmapped behind our back. */
static void arm_run(const struct vfs_mapping *m, uint64_t first, uint64_t n)
{
	struct vfs_source *source = m->vfs->source;

	if (m->nbad == 0 && source->ops->arm(source, mapping_addr(m, first), (size_t)n * CM_PAGE) == 0)
		return;
	for (uint64_t i = first; i < first + n; i++) {
		int rc = mapping_is_bad(m, i) ? 0 : source->ops->arm(source, mapping_addr(m, i), CM_PAGE);

		if (rc != 0 && rc != ENOENT && rc != ESRCH)
			abort(); /* an un-armed page loses its author */
	}
}

static void arm_part(const struct vfs_mapping *m, uint64_t first, uint64_t n)
{
	uint64_t from = first > m->first ? first : m->first;
	uint64_t to = first + n, end = m->first + m->len / CM_PAGE;

	if (to > end)
		to = end;
	if (from < to)
		arm_run(m, from, to - from);
}

void mapping_arm_all(struct space *sp, uint64_t first, uint64_t n)
{
	for (const struct vfs_mapping *m = sp->mappings; m; m = m->next)
		arm_part(m, first, n);
}

void mapping_arm_token(struct space *sp, const struct cm_token *t, uint64_t first, uint64_t n)
{
	for (const struct vfs_mapping *m = sp->mappings; m; m = m->next)
		if (m->token == t)
			arm_part(m, first, n);
}

void mapping_zap_all(struct space *sp)
{
	for (const struct vfs_mapping *m = sp->mappings; m; m = m->next)
		m->vfs->source->ops->zap(m->vfs->source, m->addr, m->len);
}

/* ---- mmap ---- */

static int table_insert(struct vfs *vfs, struct vfs_mapping *m)
{
	size_t at = position(vfs, m->addr);

	if (vfs->nmappings == vfs->mappings_cap) {
		size_t cap = vfs->mappings_cap ? 2 * vfs->mappings_cap : 16;
		struct vfs_mapping **grown = reallocarray(vfs->mappings, cap, sizeof(struct vfs_mapping *));

		if (!grown)
			return -1;
		vfs->mappings = grown;
		vfs->mappings_cap = cap;
	}
	memmove(vfs->mappings + at + 1, vfs->mappings + at, (vfs->nmappings - at) * sizeof(struct vfs_mapping *));
	vfs->mappings[at] = m;
	vfs->nmappings++;
	return 0;
}

static void table_remove(struct vfs *vfs, const struct vfs_mapping *m)
{
	size_t at = position(vfs, m->addr);

	assert(vfs->mappings[at] == m);
	vfs->nmappings--;
	memmove(vfs->mappings + at, vfs->mappings + at + 1, (vfs->nmappings - at) * sizeof(struct vfs_mapping *));
}

static int check_mmap(const struct vfs_file *f, size_t len, int prot, uint64_t off, struct rx_error *err)
{
	if (len == 0 || off % CM_PAGE != 0 || len > (size_t)INT64_MAX || off > (uint64_t)INT64_MAX - len)
		return rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL,
				    "cannot map: the offset must be a multiple of 4096 and the length not 0");
	if (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC))
		return rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "cannot map: unknown protection bits");
	if ((prot & PROT_WRITE) && !f->write)
		return rx_error_set(err, RX_ORIGIN_ERRNO, EACCES, EACCES,
				    "cannot map for writing: the file is open for reading only");
	return cm_may_read(f->space->vnode, f->token, err);
}

static struct vfs_mapping *mapping_new(struct vfs_file *f, size_t len, int prot, uint64_t off)
{
	struct vfs_mapping *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->vfs = f->vfs;
	m->space = f->space;
	m->token = cm_token_get(f->token);
	m->refs = 1;
	m->len = (len + CM_PAGE - 1) / CM_PAGE * CM_PAGE;
	m->first = page_of(off);
	m->prot = prot;
	m->ahead_next = UINT64_MAX;
	m->cursor = cm_cursor_sample(m->space->vnode, m->token);
	return m;
}

/* Both locks held. The address is known to nobody before this returns. */
static int attach(struct vfs_mapping *m, uint64_t off, struct rx_error *err)
{
	struct vfs *vfs = m->vfs;
	struct space *sp = m->space;
	uint64_t first, n, at, end = m->first + m->len / CM_PAGE;
	struct vfs_source *source = vfs->source;
	int error;
	void *addr = source->ops->map(source, sp->memfd, m->len, m->prot, off, &error);

	if (!addr)
		return rx_error_errno(err, error, "cannot map %zu bytes", m->len);
	m->addr = (uintptr_t)addr;
	if (table_insert(vfs, m) != 0) {
		source->ops->unmap(source, m->addr, m->len);
		return rx_error_errno(err, ENOMEM, "cannot map %zu bytes", m->len);
	}
	m->id = ++vfs->mapping_id;
	m->next = sp->mappings;
	sp->mappings = m;
	space_get(sp);
	/* BASIC maps present pages without asking: arm them before anybody can touch them. */
	for (at = m->first; source->mode == VFS_MODE_BASIC && page_next_run(sp, at, end, PAGE_U, PAGE_U, &first, &n);
	     at = first + n)
		arm_part(m, first, n);
	return 0;
}

void *vfs_mmap(struct vfs_file *f, size_t len, int prot, uint64_t off, struct rx_error *err)
{
	struct vfs_mapping *m;
	void *addr;
	int rc;

	if (check_mmap(f, len, prot, off, err) != 0 || service_start(f->vfs, err) != 0)
		return NULL;
	m = mapping_new(f, len, prot, off);
	if (!m) {
		rx_error_errno(err, ENOMEM, "cannot map");
		return NULL;
	}
	space_lock(m->space);
	rc = attach(m, off, err);
	addr = (void *)m->addr; /* once unlocked, it may be unmapped again */
	space_unlock(m->space);
	if (rc != 0) {
		cm_token_put(m->token);
		free(m);
		return NULL;
	}
	return addr;
}

/* ---- munmap ---- */

/* Every mapping in [addr, end) is hit from one end at least. */
static bool only_ends(const struct vfs *vfs, uintptr_t addr, uintptr_t end)
{
	const struct vfs_mapping *m;
	size_t i = position(vfs, addr);

	if (i == vfs->nmappings || vfs->mappings[i]->addr >= end)
		return false;
	m = vfs->mappings[i];
	return m->addr >= addr || m->addr + m->len <= end;
}

static void forget_bad(struct vfs_mapping *m)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->nbad; i++)
		if (m->bad[i].index >= m->first && m->bad[i].index - m->first < m->len / CM_PAGE)
			m->bad[kept++] = m->bad[i];
	m->nbad = kept;
}

static void detach(struct vfs_mapping *m)
{
	struct vfs_mapping **p = &m->space->mappings;

	while (*p != m)
		p = &(*p)->next;
	*p = m->next;
	table_remove(m->vfs, m);
	m->gone = true;
	m->nbad = 0;
}

/* mappings_lock held. Takes [addr, end) away from the first mapping there that is no
 * younger than `youngest`: the range may have been given to others meanwhile. Returns it
 * with a reference, or NULL when there is none; [*from, *to) are the file's bytes. */
static struct vfs_mapping *unmap_one(struct vfs *vfs, uintptr_t addr, uintptr_t end, uint64_t youngest, uint64_t *from,
				     uint64_t *to)
{
	struct vfs_mapping *m;
	size_t i = position(vfs, addr);
	uintptr_t low, high;

	while (i < vfs->nmappings && vfs->mappings[i]->id > youngest)
		i++;
	if (i == vfs->nmappings || vfs->mappings[i]->addr >= end)
		return NULL;
	m = vfs->mappings[i];
	low = m->addr > addr ? m->addr : addr;
	high = m->addr + m->len < end ? m->addr + m->len : end;
	*from = mapping_index(m, low) * CM_PAGE;
	*to = *from + (high - low);
	space_lock_mapped(m->space);
	if (low == m->addr && high == m->addr + m->len) {
		detach(m); /* hands the table's reference to the caller */
	} else {
		mapping_get(m);
		if (low == m->addr) {
			m->first += (high - low) / CM_PAGE;
			m->addr = high;
		}
		m->len -= high - low;
		forget_bad(m);
	}
	rx_mutex_unlock(&m->space->lock);
	vfs->source->ops->unmap(vfs->source, low, high - low);
	return m;
}

int vfs_munmap(struct vfs *vfs, void *addr, size_t len, struct rx_error *err)
{
	uintptr_t start = (uintptr_t)addr, end = start + (len + CM_PAGE - 1) / CM_PAGE * CM_PAGE;
	struct vfs_mapping *m;
	uint64_t from, to, youngest;
	bool fits;

	rx_mutex_lock(&vfs->mappings_lock);
	fits = len > 0 && start % CM_PAGE == 0 && only_ends(vfs, start, end);
	youngest = vfs->mapping_id;
	rx_mutex_unlock(&vfs->mappings_lock);
	if (!fits)
		return rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL,
				    "cannot unmap: neither a whole mapping of this client nor a part at an end of one");
	for (;;) {
		rx_mutex_lock(&vfs->mappings_lock);
		m = unmap_one(vfs, start, end, youngest, &from, &to);
		rx_mutex_unlock(&vfs->mappings_lock);
		if (!m)
			break;
		cm_flush_start(m->space->vnode, m->token, from, to);
		space_changed(m->space); /* its parked faults look again and find it gone */
		mapping_put(m);
	}
	space_reap(vfs);
	return 0;
}
