/* Serving one fault; see fault.h. A message is a hint: by the time it is served the page
 * may have come, gone, or changed hands, so only the state of now decides. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "rx/maybe.h"
#include "vfs-emu/fault.h"

/* Neighbours mapped along with a page that is there already: 0.25 µs each. */
enum { AROUND = 16 };

static void fault_wake(struct vfs *vfs, uintptr_t addr)
{
	vfs->source->ops->wake(vfs->source, addr, CM_PAGE);
}

static enum fault_result need(struct fault *f, struct vfs_mapping *m, enum fault_need what)
{
	f->need = what;
	f->mapping = m;
	mapping_get(m);
	return FAULT_RPC;
}

static enum fault_result park(struct vfs_mapping *m, struct fault *f, uint64_t seq)
{
	f->timed = false;
	fault_park(m->space, f, seq);
	return FAULT_PARKED;
}

static bool timed_out(const struct vfs *vfs, const struct fault *f)
{
	return f->deadline && f->deadline != UINT64_MAX && rx_now_us(vfs->env) >= f->deadline;
}

/* Another token's record is in the way (or our own is just being stored): wait for its
 * verdict, but not for ever, and in order of arrival. */
static enum fault_result park_conflict(struct vfs_mapping *m, uint64_t index, struct fault *f, uint64_t seq)
{
	struct vfs *vfs = m->vfs;

	if (timed_out(vfs, f)) {
		sigbus_store(m, index, f->addr, f->tid);
		return FAULT_DONE;
	}
	if (!f->deadline)
		f->deadline = vfs->conflict_us == UINT64_MAX ? UINT64_MAX : rx_now_us(vfs->env) + vfs->conflict_us;
	claim_file(&f->claim, m->space, index, m->token, f->seq);
	f->timed = true;
	fault_park(m->space, f, seq);
	return FAULT_PARKED;
}

static enum fault_result store(struct vfs_mapping *m, uint64_t index, struct fault *f, uint64_t seq)
{
	bool asked = f->may_write == __atomic_load_n(&m->space->rights_gen, __ATOMIC_ACQUIRE);

	switch (page_mkwrite(m, index, f->seq, asked)) {
	case MKWRITE_GRANTED:
		return FAULT_DONE;
	case MKWRITE_PARK:
		return park_conflict(m, index, f, seq);
	case MKWRITE_OWN:
		f->deadline = 0;
		claim_file(&f->claim, m->space, index, m->token, f->seq);
		return park(m, f, seq);
	case MKWRITE_RIGHT:
		return need(f, m, NEED_WRITE_RIGHT);
	case MKWRITE_NOMEM:
		break;
	}
	sigbus_store(m, index, f->addr, f->tid);
	return FAULT_DONE;
}

/* FULL: the page is here; map it, armed, and its neighbours with it. */
static void map_present(struct vfs_mapping *m, uint64_t index)
{
	uint64_t first, n, end = m->first + m->len / CM_PAGE;
	uintptr_t addr = mapping_addr(m, index);
	size_t done;

	if (end > index + AROUND)
		end = index + AROUND;
	if (m->nbad > 0 || UMAFS_MAYBE(m->vfs->env, AROUND_NOTHING))
		end = index + 1;
	if (!page_next_run(m->space, index, end, PAGE_U, PAGE_U, &first, &n))
		n = 1;
	if (m->vfs->source->ops->present(m->vfs->source, addr, (size_t)n * CM_PAGE, &done) != 0 && done == 0)
		fault_wake(m->vfs, addr); /* mapped already, or gone: it looks again */
}

static enum fault_result load(struct vfs_mapping *m, uint64_t index, struct fault *f)
{
	if (m->vfs->source->mode == VFS_MODE_BASIC) {
		fault_wake(m->vfs, f->addr); /* the kernel maps it, armed by its marker */
		return FAULT_DONE;
	}
	if (f->may_read != __atomic_load_n(&m->space->rights_gen, __ATOMIC_ACQUIRE) &&
	    (UMAFS_MAYBE(m->vfs->env, RIGHT_TO_READ_ASKED) || !cm_may_read_now(m->space->vnode, m->token)))
		return need(f, m, NEED_READ_RIGHT);
	map_present(m, index);
	return FAULT_DONE;
}

static enum fault_result page_in(struct vfs_mapping *m, uint64_t index, struct fault *f)
{
	uint64_t n = readpage_window(index, 1, &m->ahead_next, &m->ahead);
	uint64_t end = m->first + m->len / CM_PAGE;

	if (UMAFS_MAYBE(m->vfs->env, READ_AHEAD_NONE))
		n = 1;
	else if (UMAFS_MAYBE(m->vfs->env, READ_AHEAD_FAR))
		n = READ_PAGES_MAX;
	if (n > end - index)
		n = end - index;
	if (!readpage_mark(m->space, index, n, &f->run)) {
		sigbus_page(m, index);
		return FAULT_DONE;
	}
	m->ahead_next = index + f->run.n;
	return need(f, m, NEED_READ);
}

/* Both locks held. */
static enum fault_result serve(struct vfs_mapping *m, struct fault *f, uint64_t seq)
{
	struct space *sp = m->space;
	uint64_t index = mapping_index(m, f->addr);
	unsigned bits = page_bits(sp, index);

	if (f->refused == REFUSED_STORE) {
		sigbus_store(m, index, f->addr, f->tid);
		return FAULT_DONE;
	}
	/* Beyond the memfd the kernel itself raises SIGBUS; so does a page of sigbus.c. */
	if (mapping_is_bad(m, index) || index * CM_PAGE >= sp->memfd_size) {
		fault_wake(m->vfs, f->addr);
		return FAULT_DONE;
	}
	if (f->refused == REFUSED_PAGE || index >= pages_up(sp->size)) {
		sigbus_page(m, index);
		return FAULT_DONE;
	}
	if (index >= page_of(sp->bound))
		return park(m, f, seq);
	if (!space_is_valid(sp, f->validated_gen)) {
		if (sp->validating)
			return park(m, f, seq);
		sp->validating = true;
		return need(f, m, NEED_VALIDATE);
	}
	if (UMAFS_MAYBE(m->vfs->env, FAULT_AGAIN))
		return park(m, f, seq - 1);
	if (bits & PAGE_L)
		return park(m, f, seq);
	if (!(bits & PAGE_U))
		return page_in(m, index, f);
	if (f->store)
		return store(m, index, f, seq);
	return load(m, index, f);
}

enum fault_result fault_serve(struct vfs *vfs, struct fault *f)
{
	enum fault_result result = FAULT_DONE;
	struct vfs_mapping *m;

	rx_mutex_lock(&vfs->mappings_lock);
	m = mapping_find(vfs, f->addr);
	if (!m || (f->mapping_id && f->mapping_id != m->id)) {
		fault_wake(vfs, f->addr); /* unmapped meanwhile: let it find out */
	} else {
		uint64_t seq = space_seq(m->space);

		f->mapping_id = m->id;
		space_lock_mapped(m->space);
		result = serve(m, f, seq);
		rx_mutex_unlock(&m->space->lock);
	}
	rx_mutex_unlock(&vfs->mappings_lock);
	if (result == FAULT_DONE)
		claim_drop(&f->claim);
	return result;
}

/* ---- with RPCs ---- */

static void trace(struct vfs *vfs, const struct fault *f, uint64_t start_us, const struct rx_error *error)
{
	static const char *const names[] = { "none", "validate", "readpage", "read-right", "write-right" };
	struct cm_trace_event ev = { .what = "fault", .name = names[f->need], .server = "", .error = error };
	struct cm_fid fid = cm_vnode_fid(f->mapping->space->vnode);
	char detail[96];

	snprintf(detail, sizeof(detail), "%u.%u.%u address 0x%llx", fid.volume, fid.vnode, fid.unique,
		 (unsigned long long)f->addr);
	ev.detail = detail;
	ev.start_us = start_us;
	ev.end_us = rx_now_us(vfs->env);
	cm_trace(vfs->cm, &ev);
}

static int validate(struct fault *f, struct rx_error *err)
{
	struct space *sp = f->mapping->space;
	int rc = space_validate(sp, f->mapping->token, &f->validated_gen, err);

	rx_mutex_lock(&sp->lock);
	sp->validating = false;
	rx_mutex_unlock(&sp->lock);
	space_changed(sp);
	return rc;
}

/* For this fault only; it is served by one thread at a time. The moment is that before the
 * question. */
static void remember(struct fault *f, uint64_t gen, bool write)
{
	if (write)
		f->may_write = gen;
	else
		f->may_read = gen;
}

static int ask_right(struct fault *f, bool write, struct rx_error *err)
{
	struct space *sp = f->mapping->space;
	struct cm_token *t = f->mapping->token;
	uint64_t gen = __atomic_load_n(&sp->rights_gen, __ATOMIC_ACQUIRE);
	int rc = write ? cm_may_write(sp->vnode, t, err) : cm_may_read(sp->vnode, t, err);

	if (rc != 0) {
		/* What is remembered may be old: it may have been given back. */
		cm_forget_rights(sp->vnode, t);
		rc = write ? cm_may_write(sp->vnode, t, err) : cm_may_read(sp->vnode, t, err);
	}
	if (rc == 0)
		remember(f, gen, write);
	return rc;
}

static int page_in_rpc(struct fault *f, struct rx_error *err)
{
	uint64_t gen = __atomic_load_n(&f->mapping->space->rights_gen, __ATOMIC_ACQUIRE);
	int rc = readpage_fill(f->mapping->space, f->mapping->token, &f->run, err);

	if (rc == 0)
		remember(f, gen, false); /* the server let it read: no need to ask again */
	return rc;
}

void fault_rpc(struct vfs *vfs, struct fault *f)
{
	uint64_t start_us = rx_now_us(vfs->env);
	struct rx_error error = { 0 };
	int rc = 0;

	switch (f->need) {
	case NEED_NOTHING:
		return;
	case NEED_VALIDATE:
		rc = validate(f, &error);
		break;
	case NEED_READ:
		rc = page_in_rpc(f, &error);
		break;
	case NEED_READ_RIGHT:
	case NEED_WRITE_RIGHT:
		rc = ask_right(f, f->need == NEED_WRITE_RIGHT, &error);
		break;
	}
	if (rc != 0)
		f->refused = f->need == NEED_WRITE_RIGHT ? REFUSED_STORE : REFUSED_PAGE;
	trace(vfs, f, start_us, rc != 0 ? &error : NULL);
	mapping_put(f->mapping);
	f->mapping = NULL;
	f->need = NEED_NOTHING;
}
