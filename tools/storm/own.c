/* Acts on an actor's own file: any bytes, any size, exact. As nobody else changes it, it
 * is at each moment the last of a list of views, the first of which is on the server;
 * when something may have been lost, each byte is as in one of them until a look at the
 * whole file tells which. On the actors' threads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tools/storm/play.h"

enum { TRIES = 40, PAUSE_US = 5000000 };

static unsigned dir_of(const struct storm_actor *a)
{
	return a->id % STORM_DIRS;
}

static struct storm_view *latest(struct storm_own *o)
{
	return &o->views[o->nviews - 1];
}

/* A copy of the latest, to be changed. */
static struct storm_view *next_view(struct storm_own *o)
{
	if (o->nviews == STORM_VIEWS) { /* the caller has seen to it that there is room, or nothing is sure */
		o->doubt = true;
		memmove(&o->views[1], &o->views[2], (STORM_VIEWS - 2) * sizeof(o->views[0]));
		o->nviews--;
	}
	o->views[o->nviews] = o->views[o->nviews - 1];
	return &o->views[o->nviews++];
}

static void adopt(struct storm_own *o, const uint8_t *bytes, uint64_t size)
{
	o->views[0].size = o->views[0].off = o->views[0].end = size;
	memset(o->views[0].bytes, 0, STORM_SIZE);
	memcpy(o->views[0].bytes, bytes, size);
	o->nviews = 1;
	o->doubt = o->died = false;
}

int storm_own_begin(struct storm_actor *a)
{
	a->own = calloc(1, sizeof(*a->own));
	if (!a->own)
		return -1;
	a->own->nviews = 1;
	return 0;
}

/* Whether the file can be so long because of what made this view: as long as it was then, or
 * as what was written made it without the others, up to a page of it that was refused, or
 * to a store that was cut short. */
static bool explains(const struct storm_view *v, uint64_t size)
{
	return size == v->size || size == v->end || size == v->off ||
	       (size % CM_PAGE == 0 && size > v->off && size < v->end);
}

/* Each byte is as in one of the views. */
static void check_possible(struct storm_actor *a, const uint8_t *bytes, uint64_t size)
{
	const struct storm_own *o = a->own;
	bool fine = false;

	for (unsigned v = 0; v < o->nviews; v++)
		fine |= explains(&o->views[v], size);
	if (!fine)
		storm_broken(a->play, a, "own file has %llu bytes, as never before", (unsigned long long)size);
	for (uint64_t i = 0; i < size; i++) {
		fine = false;
		for (unsigned v = 0; v < o->nviews && !fine; v++)
			fine = o->views[v].bytes[i] == bytes[i];
		if (!fine) {
			storm_broken(a->play, a, "own file holds %u at %llu, as never before", bytes[i],
				     (unsigned long long)i);
			return;
		}
	}
}

static void check_exact(struct storm_actor *a, const char *how, const uint8_t *bytes, uint64_t off, int64_t got,
			uint64_t len)
{
	const struct storm_view *v = latest(a->own);
	uint64_t want = off >= v->size ? 0 : v->size - off < len ? v->size - off : len;

	if (got < 0)
		return;
	/* What fails on the way makes a read short. */
	if ((uint64_t)got != want && !(a->play->hindered && got > 0 && (uint64_t)got < want)) {
		storm_broken(a->play, a, "own file: %s of %llu at %llu gives %lld of %llu bytes", how,
			     (unsigned long long)len, (unsigned long long)off, (long long)got,
			     (unsigned long long)v->size);
		return;
	}
	for (uint64_t i = 0; i < (uint64_t)got && i < want; i++)
		if (bytes[i] != v->bytes[off + i]) {
			storm_broken(a->play, a, "own file: %s gives %u at %llu, not %u", how, bytes[i],
				     (unsigned long long)(off + i), v->bytes[off + i]);
			return;
		}
}

/* A read that ends before the file does was short because of an error, which the next one tells. */
static int64_t read_on(struct storm_actor *a, uint8_t *bytes, uint64_t len, uint64_t off, struct rx_error *err)
{
	uint64_t done = 0;
	ssize_t n = 1;

	while (done < len && n > 0) {
		n = vfs_pread(a->handles[STORM_OWN].file, bytes + done, len - done, off + done, err);
		if (n < 0)
			return -1;
		done += (uint64_t)n;
	}
	return (int64_t)done;
}

/* ---- after doubt ---- */

/* Stores what is left, and looks at what there is. True: the file is known again. */
static bool resync(struct storm_actor *a)
{
	struct storm_play *p = a->play;
	struct storm_own *o = a->own;
	uint8_t *now = malloc(STORM_SIZE + 1);
	struct rx_error err = { 0 };
	struct storm_moment m;
	int64_t got = -1;
	int rc;

	rx_mutex_lock(&p->lock);
	storm_moment(p, a->user, dir_of(a), &m);
	rx_mutex_unlock(&p->lock);
	rc = vfs_fsync(a->handles[STORM_OWN].file, &err);
	if (rc != 0 && storm_is_loss(&err)) {
		a->told[STORM_OWN]++;
		rc = vfs_fsync(a->handles[STORM_OWN].file, &err);
	}
	if (rc == 0)
		got = read_on(a, now, STORM_SIZE + 1, 0, &err);
	rx_mutex_lock(&p->lock);
	rc = rc == 0 && got >= 0 && storm_clean_since(p, a->user, dir_of(a), &m) ? 0 : -1;
	if (rc == 0) {
		check_possible(a, now, (uint64_t)got);
		adopt(o, now, (uint64_t)got);
	}
	rx_mutex_unlock(&p->lock);
	free(now);
	return rc == 0;
}

/* ---- acts ---- */

/* What this act writes; never zero. */
static void fill(const struct storm_actor *a, uint8_t *bytes, uint64_t len)
{
	uint64_t z = a->now->at_us * 0x9e3779b97f4a7c15u + a->id;

	for (uint64_t i = 0; i < len; i++) {
		z = z * 6364136223846793005u + 1442695040888963407u;
		bytes[i] = (uint8_t)(1 + (z >> 33) % 255);
	}
}

static void write_bytes(struct storm_view *v, const uint8_t *bytes, uint64_t off, uint64_t len)
{
	memcpy(v->bytes + off, bytes, len);
	v->off = off;
	v->end = off + len;
	v->size = v->end > v->size ? v->end : v->size;
}

/* Through the mapping, as far as the file goes; stops at the first SIGBUS. */
static uint64_t store_bytes(struct storm_actor *a, const uint8_t *bytes, uint64_t off, uint64_t len)
{
	struct storm_stage *s = a->play->stage;
	uint64_t i = 0;

	while (i < len && s->ops->store(s, a->client->id, a->handles[STORM_OWN].map + off + i, a->id, bytes[i]) == 0)
		i++;
	return i;
}

static int64_t load_bytes(struct storm_actor *a, uint8_t *bytes, uint64_t off, uint64_t len)
{
	struct storm_stage *s = a->play->stage;

	for (uint64_t i = 0; i < len; i++) {
		int value = s->ops->load(s, a->client->id, a->handles[STORM_OWN].map + off + i, a->id);

		if (value < 0)
			return -1;
		bytes[i] = (uint8_t)value;
	}
	return (int64_t)len;
}

/* Bytes that went in one by one: a mapping has a limit of its own, so few are taken. */
enum { BY_BYTE = 40 };

/* Lock held. What may be beyond the end of the file, should a change that made it longer have
 * been refused, gives SIGBUS. */
static void failed(struct storm_actor *a, const struct storm_moment *m, uint32_t right, const struct rx_error *err)
{
	struct storm_play *p = a->play;
	bool sure = !a->own->doubt && storm_clean_since(p, a->user, dir_of(a), m);

	p->counts->failed[a->now->kind]++;
	if ((*err->text || sure) && !storm_excused(p, a, dir_of(a), m, right, err))
		storm_broken(p, a, "%s of the own file fails: %s", storm_kind_name(a->now->kind),
			     *err->text ? err->text : "SIGBUS");
}

static uint64_t within_mapping(struct storm_own *o, uint64_t off, uint64_t len)
{
	uint64_t size = latest(o)->size, there = off >= size ? 0 : size - off;

	len = len < there ? len : there;
	return len < BY_BYTE ? len : BY_BYTE;
}

static void put(struct storm_actor *a, const struct storm_moment *m, uint64_t off, uint64_t len, bool mapped)
{
	struct storm_play *p = a->play;
	struct storm_own *o = a->own;
	uint8_t *bytes = malloc(STORM_SIZE);
	struct rx_error err = { 0 };
	int64_t done;

	if (mapped)
		len = within_mapping(o, off, len);
	fill(a, bytes, len);
	done = mapped ? (int64_t)store_bytes(a, bytes, off, len)
		      : vfs_pwrite(a->handles[STORM_OWN].file, bytes, len, off, &err);
	rx_mutex_lock(&p->lock);
	if (done > 0)
		write_bytes(next_view(o), bytes, off, (uint64_t)done);
	if (done < (int64_t)len) {
		if (mapped && storm_had(p, a->user, dir_of(a), m, CM_RIGHT_WRITE | CM_RIGHT_READ))
			err.errnum = ETIMEDOUT;
		else if (mapped)
			err.errnum = EACCES;
		failed(a, m, CM_RIGHT_WRITE, &err);
	}
	if (!storm_clean_since(p, a->user, dir_of(a), m))
		o->doubt = true;
	rx_mutex_unlock(&p->lock);
	free(bytes);
}

static void get(struct storm_actor *a, const struct storm_moment *m, uint64_t off, uint64_t len, bool mapped)
{
	struct storm_play *p = a->play;
	struct storm_own *o = a->own;
	uint8_t *bytes = malloc(STORM_SIZE);
	struct rx_error err = { 0 };
	int64_t got;

	if (mapped)
		len = within_mapping(o, off, len);
	got = mapped ? load_bytes(a, bytes, off, len) : read_on(a, bytes, len, off, &err);
	rx_mutex_lock(&p->lock);
	if (!o->doubt)
		check_exact(a, mapped ? "load" : "read", bytes, off, got, len);
	if (got < 0) {
		if (mapped)
			err.errnum = storm_had(p, a->user, dir_of(a), m, CM_RIGHT_READ) ? ETIMEDOUT : EACCES;
		failed(a, m, CM_RIGHT_READ, &err);
	}
	rx_mutex_unlock(&p->lock);
	free(bytes);
}

static void truncate_to(struct storm_actor *a, const struct storm_moment *m, uint64_t size)
{
	struct storm_play *p = a->play;
	struct storm_own *o = a->own;
	struct rx_error err = { 0 };
	struct storm_view *v;
	int rc = vfs_truncate(a->handles[STORM_OWN].file, size, &err);

	rx_mutex_lock(&p->lock);
	if (rc != 0)
		failed(a, m, CM_RIGHT_WRITE, &err);
	/* One that failed may have been done all the same, even if it is refused when it is sent again
	 * because the first reply was lost. */
	if (rc == 0 || !storm_is_loss(&err) || p->hindered) {
		v = next_view(o);
		if (size < v->size)
			memset(v->bytes + size, 0, v->size - size);
		v->size = v->off = v->end = size;
	}
	if (rc != 0 || !storm_clean_since(p, a->user, dir_of(a), m))
		o->doubt = true;
	rx_mutex_unlock(&p->lock);
}

/* What the server has after a sync is the latest view. Lock held. */
static void check_server(struct storm_actor *a)
{
	struct storm_play *p = a->play;
	struct storm_own *o = a->own;
	struct storm_view *v = latest(o);
	uint8_t *now = malloc(STORM_SIZE);
	int64_t size = p->stage->ops->peek(p->stage, &o->fid, now, STORM_SIZE);

	if (size >= 0 && ((uint64_t)size != v->size || memcmp(now, v->bytes, v->size) != 0))
		storm_broken(p, a, "own file was synced with %llu bytes, the server has %lld%s",
			     (unsigned long long)v->size, (long long)size, (uint64_t)size == v->size ? ", others" : "");
	free(now);
}

static int sync_own(struct storm_actor *a, const struct storm_moment *m, bool close)
{
	struct storm_play *p = a->play;
	struct storm_own *o = a->own;
	struct rx_error err = { 0 };
	int rc = close ? storm_close(a, STORM_OWN, false, &err) : vfs_fsync(a->handles[STORM_OWN].file, &err);

	rx_mutex_lock(&p->lock);
	if (rc == 0 && !o->doubt) {
		if (p->can_peek)
			check_server(a);
		o->views[0] = *latest(o);
		o->nviews = 1;
	} else if (rc != 0 && storm_is_loss(&err)) {
		a->told[STORM_OWN]++;
		if (!p->ever_denied[a->user])
			storm_broken(p, a, "own file: told of a loss that cannot be: %s", err.text);
		o->doubt = true;
	} else if (rc != 0) {
		failed(a, m, CM_RIGHT_WRITE, &err);
	}
	rx_mutex_unlock(&p->lock);
	return rc;
}

static void touch(struct storm_actor *a, const struct storm_moment *m, uint32_t mtime, uint32_t mode)
{
	struct cm_vnode *v = vfs_file_vnode(a->handles[STORM_OWN].file);
	struct cm_setattr set = { .set_mode = true, .mode = mode, .set_mtime = true, .mtime = mtime };
	struct storm_play *p = a->play;
	struct rx_error err = { 0 };
	int rc = cm_setattr(v, a->token, &set, &err);

	rx_mutex_lock(&p->lock);
	if (rc != 0)
		failed(a, m, CM_RIGHT_WRITE, &err);
	rx_mutex_unlock(&p->lock);
}

void storm_own_act(struct storm_actor *a, const struct storm_event *e)
{
	struct storm_play *p = a->play;
	struct rx_error err = { 0 };
	struct storm_moment m;
	uint64_t off = e->args[0] % STORM_SIZE, len = e->args[1];
	bool doubt;

	len = len > STORM_SIZE - off ? STORM_SIZE - off : len;
	rx_mutex_lock(&p->lock);
	storm_moment(p, a->user, dir_of(a), &m);
	doubt = a->own->doubt || a->own->nviews == STORM_VIEWS;
	rx_mutex_unlock(&p->lock);
	if (storm_open(a, STORM_OWN, &err) != 0) {
		rx_mutex_lock(&p->lock);
		failed(a, &m, CM_RIGHT_READ | CM_RIGHT_WRITE | CM_RIGHT_LOOKUP, &err);
		rx_mutex_unlock(&p->lock);
		return;
	}
	if (doubt && !resync(a) && a->own->nviews == STORM_VIEWS) {
		p->counts->failed[e->kind]++;
		return;
	}
	switch (e->kind) {
	case STORM_OWN_WRITE:
	case STORM_OWN_STORE:
		put(a, &m, off, len, e->kind == STORM_OWN_STORE);
		break;
	case STORM_OWN_READ:
	case STORM_OWN_LOAD:
		get(a, &m, off, len, e->kind == STORM_OWN_LOAD);
		break;
	case STORM_OWN_TRUNCATE:
		truncate_to(a, &m, off);
		break;
	case STORM_OWN_TOUCH:
		touch(a, &m, e->args[0], e->args[1]);
		break;
	default:
		sync_own(a, &m, e->kind == STORM_OWN_CLOSE);
	}
}

/* Lock held. */
void storm_own_crashed(struct storm_actor *a)
{
	a->own->doubt = a->own->died = true;
}

void storm_own_settle(struct storm_actor *a)
{
	struct storm_play *p = a->play;
	struct rx_error err = { 0 };
	struct storm_moment m;
	unsigned tries = 0;

	rx_mutex_lock(&p->lock);
	storm_moment(p, a->user, dir_of(a), &m);
	rx_mutex_unlock(&p->lock);
	while (storm_open(a, STORM_OWN, &err) != 0 && ++tries < TRIES)
		storm_pause(p, PAUSE_US);
	while (tries < TRIES && !(a->own->doubt ? resync(a) : sync_own(a, &m, false) == 0) && ++tries < TRIES)
		storm_pause(p, PAUSE_US);
	if (tries == TRIES)
		storm_broken(p, a, "own file cannot be synced though all is well again: %s", err.text);
}

void storm_own_check(struct storm_actor *a)
{
	uint8_t *now = malloc(STORM_SIZE + 1);
	ssize_t got = storm_read_fresh(a->play, a->own->path, now, STORM_SIZE + 1);

	check_exact(a, "a fresh client's read", now, 0, got, STORM_SIZE + 1);
	free(now);
}
