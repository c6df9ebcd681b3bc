/* Saying no to a fault. A page that cannot be had is covered by a page of an empty memfd:
 * a genuine SIGBUS with the exact address for whoever touches it, until a timer gives the
 * page back. A refused store to a page that may be read must not disturb the others'
 * loads, so the storing thread alone gets the signal; unless it blocks SIGBUS, then it
 * would wait for ever and the page is covered. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vfs-emu/fault.h"
#include "vfs-emu/uffd.h"

static int note_bad(struct vfs_mapping *m, uint64_t index, uint64_t due)
{
	struct bad_page *bad = reallocarray(m->bad, m->nbad + 1, sizeof(*bad));

	if (!bad)
		return -1;
	m->bad = bad;
	bad[m->nbad++] = (struct bad_page){ .index = index, .due = due };
	return 0;
}

void sigbus_page(struct vfs_mapping *m, uint64_t index)
{
	uintptr_t addr = mapping_addr(m, index);
	uint64_t due = rx_now_us(m->vfs->env) + VFS_SIGBUS_US;

	if (note_bad(m, index, due) != 0 ||
	    mmap((void *)addr, CM_PAGE, m->prot, MAP_SHARED | MAP_FIXED, m->vfs->empty_memfd, 0) == MAP_FAILED)
		abort(); /* the thread can be neither served nor refused */
	uffd_wake(m->vfs->uffd, addr, CM_PAGE);
	service_deadline(m->vfs, due);
}

static bool blocks_sigbus(int tid)
{
	unsigned long long mask;
	bool blocked = false;
	char line[128];
	FILE *f;

	snprintf(line, sizeof(line), "/proc/self/task/%d/status", tid);
	f = fopen(line, "re");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "SigBlk: %llx", &mask) == 1)
			blocked = mask >> (SIGBUS - 1) & 1;
	fclose(f);
	return blocked;
}

void sigbus_store(struct vfs_mapping *m, uint64_t index, uintptr_t addr, int tid)
{
	siginfo_t info;

	if (blocks_sigbus(tid)) {
		sigbus_page(m, index);
		return;
	}
	memset(&info, 0, sizeof(info));
	info.si_signo = SIGBUS;
	info.si_code = SI_QUEUE; /* the kernel lets nobody claim its own codes for another thread */
	info.si_addr = (void *)addr;
	if (syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, SIGBUS, &info) != 0)
		uffd_wake(m->vfs->uffd, mapping_addr(m, index), CM_PAGE); /* it is gone, or cannot be reached */
}

/* The real page comes back behind PROT_NONE, so that nobody gets at it before it is
 * watched and armed. */
static void give_back(struct vfs_mapping *m, uint64_t index)
{
	uintptr_t addr = mapping_addr(m, index);
	void *p = mmap((void *)addr, CM_PAGE, PROT_NONE, MAP_SHARED | MAP_FIXED, m->space->memfd,
		       (off_t)(index * CM_PAGE));

	if (p == MAP_FAILED || madvise(p, CM_PAGE, MADV_DONTFORK) != 0 ||
	    uffd_register(m->vfs->uffd, m->vfs->mode, addr, CM_PAGE) != 0 ||
	    (m->vfs->mode == VFS_MODE_BASIC && uffd_arm(m->vfs->uffd, addr, CM_PAGE) != 0) ||
	    mprotect(p, CM_PAGE, m->prot) != 0)
		abort(); /* an unwatched page would hand out zeros and swallow stores */
}

static uint64_t expire_mapping(struct vfs_mapping *m, uint64_t now)
{
	uint64_t next = UINT64_MAX;
	size_t kept = 0;

	for (size_t i = 0; i < m->nbad; i++) {
		struct bad_page bad = m->bad[i];

		if (bad.due <= now) {
			give_back(m, bad.index);
			continue;
		}
		m->bad[kept++] = bad;
		if (bad.due < next)
			next = bad.due;
	}
	m->nbad = kept;
	return next;
}

uint64_t sigbus_expire(struct vfs *vfs, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	rx_mutex_lock(&vfs->mappings_lock);
	for (size_t i = 0; i < vfs->nmappings; i++) {
		struct vfs_mapping *m = vfs->mappings[i];
		uint64_t due;

		if (m->nbad == 0)
			continue;
		space_lock_mapped(m->space); /* page-ins that would have to arm it come before or after */
		due = expire_mapping(m, now);
		rx_mutex_unlock(&m->space->lock);
		if (due < next)
			next = due;
	}
	rx_mutex_unlock(&vfs->mappings_lock);
	return next;
}
