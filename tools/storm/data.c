/* Acts on the shared files, and what must hold of their cells. The owner's client sees the
 * owner's last value at once; another client sees at least what the server held when it
 * began to look, unless a break may not have reached it; nobody sees a value that was not
 * tried, and none goes back unless its owner was told of a loss. On the actors' threads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tools/storm/play.h"

enum { SYNC_TRIES = 40, SYNC_PAUSE_US = 5000000 };

/* Some touch, some are nearer than a gap that a store bridges, some are not. */
uint64_t storm_cell_offset(unsigned cell)
{
	static const unsigned at[STORM_PER_PAGE] = { 0, 1, 2, 40, 41, 700, 2047, 2048, 4094, 4095 };

	return (uint64_t)(cell / STORM_PER_PAGE) * CM_PAGE + at[cell % STORM_PER_PAGE];
}

/* The last cell of a page is contested. Else pages belong to clients in turn, and their
 * cells to users; in mixed plans each page has cells of all. *client: of a contested one,
 * STORM_CLIENTS means all. */
unsigned storm_cell_owner(const struct storm_play *p, unsigned cell, unsigned *client)
{
	unsigned page = cell / STORM_PER_PAGE, k = cell % STORM_PER_PAGE, unused;

	client = client ? client : &unused;
	*client = p->mixed ? STORM_CLIENTS : page % STORM_CLIENTS;
	if (k == STORM_PER_PAGE - 1)
		return STORM_CONTESTED;
	if (p->mixed)
		return (k + page) % STORM_ACTORS;
	return *client * STORM_USERS + k % STORM_USERS;
}

static bool may_write(const struct storm_actor *a, unsigned cell)
{
	unsigned client, owner = storm_cell_owner(a->play, cell, &client);

	return owner == a->id || (owner == STORM_CONTESTED && (client == STORM_CLIENTS || client == a->client->id));
}

static unsigned own_cell(const struct storm_actor *a, unsigned cell)
{
	while (!may_write(a, cell))
		cell = (cell + 1) % STORM_CELLS;
	return cell;
}

/* ---- handles ---- */

static const char *path_of(const struct storm_actor *a, unsigned handle)
{
	return handle == STORM_OWN ? a->own->path : a->play->files[handle].path;
}

int storm_open(struct storm_actor *a, unsigned handle, struct rx_error *err)
{
	struct storm_client *c = a->client;
	struct cm_vnode *v = NULL;
	int rc;

	if (!a->handles[handle].file) {
		rc = cm_walk(c->cm, a->token, path_of(a, handle), 0, &v, err);
		if (rc == 0)
			rc = vfs_open(c->vfs, v, a->token, true, &a->handles[handle].file, err);
		cm_vnode_put(v);
		if (rc != 0)
			return -1;
	}
	if (!a->handles[handle].map)
		a->handles[handle].map =
			(uintptr_t)vfs_mmap(a->handles[handle].file, STORM_SIZE, PROT_READ | PROT_WRITE, 0, err);
	return a->handles[handle].map ? 0 : -1;
}

int storm_close(struct storm_actor *a, unsigned handle, bool drop, struct rx_error *err)
{
	struct vfs_file *file = a->handles[handle].file;
	uintptr_t map = a->handles[handle].map;
	struct rx_error unmap_err = { 0 };

	a->handles[handle].file = NULL;
	a->handles[handle].map = 0;
	if (map && vfs_munmap(a->client->vfs, (void *)map, STORM_SIZE, &unmap_err) != 0)
		storm_broken(a->play, a, "munmap failed: %s", unmap_err.text);
	if (!file)
		return 0;
	if (!drop)
		return vfs_close(file, err);
	vfs_drop(file);
	return 0;
}

/* ---- what may be seen ---- */

/* A page with changes of this client keeps what else it holds until they are stored, whatever
 * others have written there meanwhile. Lock held. */
static bool may_be_dirty(const struct storm_play *p, const struct storm_client *c, unsigned file, unsigned cell)
{
	for (unsigned u = 0; u < STORM_USERS; u++)
		if (p->files[file].dirty[c->id * STORM_USERS + u][cell / STORM_PER_PAGE])
			return true;
	return false;
}

/* Lock held, before the look: the least value that may be seen. */
static uint8_t least(const struct storm_play *p, const struct storm_client *c, unsigned file, unsigned cell)
{
	const struct storm_cell *k = &p->files[file].cells[cell];

	if (storm_cell_owner(p, cell, NULL) / STORM_USERS == c->id)
		return k->doubt ? k->floor : k->last;
	if (k->overwritten)
		return k->floor;
	if (storm_is_stale(p, c) || may_be_dirty(p, c, file, cell))
		return 0;
	return k->on_server > k->floor ? k->on_server : k->floor;
}

/* Lock held, after the look. */
static void judge(struct storm_play *p, const struct storm_actor *a, const struct storm_client *c, unsigned file,
		  unsigned cell, uint8_t low, int value)
{
	struct storm_cell *k = &p->files[file].cells[cell];
	bool own = storm_cell_owner(p, cell, NULL) / STORM_USERS == c->id;

	if (storm_cell_owner(p, cell, NULL) == STORM_CONTESTED) {
		if (value != 0 && !(k->values[value / 32] >> value % 32 & 1))
			storm_broken(p, a, "file %u cell %u holds %d, which nobody wrote", file, cell, value);
		return;
	}
	/* It may have come into doubt meanwhile. */
	if (k->overwritten || (own && k->doubt))
		low = k->floor < low ? k->floor : low;
	if (!own && !k->overwritten && !k->doubt && low < k->seen[c->id])
		low = k->seen[c->id];
	if (value < low || value > k->tried)
		storm_broken(p, a, "file %u cell %u: client %u sees %d, not %u to %u%s (server had %u, synced %u)",
			     file, cell, c->id, value, low, k->tried, k->doubt ? ", in doubt" : "", k->on_server,
			     k->floor);
	else
		k->seen[c->id] = (uint8_t)value;
}

static void look(struct storm_actor *a, unsigned file, unsigned cell, bool mapped)
{
	struct storm_play *p = a->play;
	struct rx_error err = { 0 };
	struct storm_moment m;
	uint8_t low, byte = 0;
	int value = -1;

	rx_mutex_lock(&p->lock);
	storm_moment(p, a->user, file, &m);
	low = least(p, a->client, file, cell);
	rx_mutex_unlock(&p->lock);
	if (mapped)
		value = p->stage->ops->load(p->stage, a->client->id, a->handles[file].map + storm_cell_offset(cell),
					    a->id);
	else if (vfs_pread(a->handles[file].file, &byte, 1, storm_cell_offset(cell), &err) == 1)
		value = byte;
	rx_mutex_lock(&p->lock);
	if (value >= 0) {
		storm_say(a, "%d", value);
		judge(p, a, a->client, file, cell, low, value);
		if (!mapped && storm_had_not(p, a, file, &m, CM_RIGHT_READ))
			storm_broken(p, a, "read file %u without the right", file);
	} else {
		p->counts->failed[a->now->kind]++;
		if (mapped)
			err.errnum = storm_had(p, a->user, file, &m, CM_RIGHT_READ) ? EIO : EACCES;
		if (!storm_excused(p, a, file, &m, CM_RIGHT_READ, &err))
			storm_broken(p, a, "cannot see file %u cell %u: %s", file, cell, mapped ? "SIGBUS" : err.text);
	}
	rx_mutex_unlock(&p->lock);
}

/* ---- changing ---- */

static uint8_t next_value(struct storm_actor *a, struct storm_cell *k, bool contested)
{
	uint8_t value;

	if (!contested)
		return k->tried == UINT8_MAX ? UINT8_MAX : ++k->tried;
	/* Names its author; used again after 50. */
	value = (uint8_t)(1 + a->id + STORM_ACTORS * (k->tried++ % 50));
	k->values[value / 32] |= 1u << value % 32;
	return value;
}

static void change(struct storm_actor *a, unsigned file, unsigned cell, bool mapped)
{
	struct storm_play *p = a->play;
	struct storm_cell *k = &p->files[file].cells[cell];
	bool contested = storm_cell_owner(p, cell, NULL) == STORM_CONTESTED;
	struct rx_error err = { 0 };
	struct storm_moment m;
	unsigned covers;
	uint8_t value;
	int rc;

	rx_mutex_lock(&p->lock);
	storm_moment(p, a->user, file, &m);
	value = next_value(a, k, contested);
	covers = k->covers;
	p->files[file].dirty[a->id][cell / STORM_PER_PAGE] = true;
	rx_mutex_unlock(&p->lock);
	if (mapped)
		rc = p->stage->ops->store(p->stage, a->client->id, a->handles[file].map + storm_cell_offset(cell),
					  a->id, value);
	else
		rc = vfs_pwrite(a->handles[file].file, &value, 1, storm_cell_offset(cell), &err) == 1 ? 0 : -1;
	rx_mutex_lock(&p->lock);
	if (rc == 0) {
		storm_say(a, "%u in cell %u", value, cell);
		k->last = value;
		if (!contested && storm_clean_since(p, a->user, file, &m)) {
			k->doubt = k->died = false;
			/* The new value may have been stored and covered before this thread came back. */
			k->overwritten = k->overwritten && k->covers != covers;
		} else {
			k->doubt = true;
		}
		if (!mapped && storm_had_not(p, a, file, &m, CM_RIGHT_WRITE))
			storm_broken(p, a, "wrote file %u without the right", file);
	} else {
		p->counts->failed[a->now->kind]++;
		if (mapped)
			err.errnum =
				storm_had(p, a->user, file, &m, CM_RIGHT_WRITE | CM_RIGHT_READ) ? ETIMEDOUT : EACCES;
		if (!storm_excused(p, a, file, &m, CM_RIGHT_WRITE, &err))
			storm_broken(p, a, "cannot change file %u cell %u: %s", file, cell,
				     mapped ? "SIGBUS" : err.text);
	}
	rx_mutex_unlock(&p->lock);
}

/* ---- syncing ---- */

/* Lock held: what a sync that succeeded has made sure. */
static void synced(struct storm_actor *a, unsigned file)
{
	struct storm_play *p = a->play;

	memset(p->files[file].dirty[a->id], 0, sizeof(p->files[file].dirty[a->id]));
	for (unsigned c = 0; c < STORM_CELLS; c++) {
		struct storm_cell *k = &p->files[file].cells[c];

		if (storm_cell_owner(p, c, NULL) != a->id || k->doubt || k->overwritten)
			continue;
		if (p->can_peek && k->on_server < k->last)
			storm_broken(p, a, "file %u cell %u was synced as %u, the server has %u", file, c, k->last,
				     k->on_server);
		k->floor = k->last;
	}
}

static int sync_file(struct storm_actor *a, unsigned file, enum storm_kind how, struct rx_error *err)
{
	struct vfs *vfs = a->client->vfs;

	switch (how) {
	case STORM_MSYNC:
		return vfs_msync(vfs, (void *)a->handles[file].map, STORM_SIZE, MS_SYNC, err);
	case STORM_ASYNC:
		return vfs_msync(vfs, (void *)a->handles[file].map, STORM_SIZE, MS_ASYNC, err);
	case STORM_CLOSE:
		return storm_close(a, file, false, err);
	default:
		return vfs_fsync(a->handles[file].file, err);
	}
}

static int do_sync(struct storm_actor *a, unsigned file, enum storm_kind how)
{
	struct storm_play *p = a->play;
	struct rx_error err = { 0 };
	struct storm_moment m;
	int rc;

	rx_mutex_lock(&p->lock);
	storm_moment(p, a->user, file, &m);
	rx_mutex_unlock(&p->lock);
	rc = sync_file(a, file, how, &err);
	rx_mutex_lock(&p->lock);
	if (rc == 0 && how != STORM_ASYNC) {
		synced(a, file);
	} else if (rc != 0) {
		p->counts->failed[how]++;
		if (storm_is_loss(&err)) {
			a->told[file]++;
			if (!p->ever_denied[a->user])
				storm_broken(p, a, "told of a loss that cannot be: %s", err.text);
		} else if (!storm_excused(p, a, file, &m, CM_RIGHT_WRITE, &err)) {
			storm_broken(p, a, "cannot sync file %u: %s", file, err.text);
		}
	}
	rx_mutex_unlock(&p->lock);
	return rc;
}

static void stat_file(struct storm_actor *a, unsigned file)
{
	struct storm_play *p = a->play;
	struct rx_error err = { 0 };
	struct storm_moment m;
	struct cm_attr attr;
	int rc;

	rx_mutex_lock(&p->lock);
	storm_moment(p, a->user, file, &m);
	rx_mutex_unlock(&p->lock);
	rc = cm_getattr(vfs_file_vnode(a->handles[file].file), a->token, &attr, &err);
	rx_mutex_lock(&p->lock);
	if (rc == 0 && (attr.size != STORM_SIZE || attr.server_size != STORM_SIZE || attr.type != CM_FILE))
		storm_broken(p, a, "file %u has type %u, size %llu", file, attr.type, (unsigned long long)attr.size);
	if (rc != 0 && !storm_excused(p, a, file, &m, CM_RIGHT_READ, &err))
		storm_broken(p, a, "cannot stat file %u: %s", file, err.text);
	rx_mutex_unlock(&p->lock);
}

void storm_data_act(struct storm_actor *a, const struct storm_event *e)
{
	struct storm_play *p = a->play;
	unsigned file = e->args[0] % STORM_FILES, cell = e->args[1] % STORM_CELLS;
	struct rx_error err = { 0 };
	struct storm_moment m;

	rx_mutex_lock(&p->lock);
	storm_moment(p, a->user, file, &m);
	rx_mutex_unlock(&p->lock);
	if (storm_open(a, file, &err) != 0) {
		rx_mutex_lock(&p->lock);
		p->counts->failed[e->kind]++;
		if (!storm_excused(p, a, file, &m, CM_RIGHT_READ | CM_RIGHT_WRITE | CM_RIGHT_LOOKUP, &err))
			storm_broken(p, a, "cannot open or map file %u: %s", file, err.text);
		rx_mutex_unlock(&p->lock);
		return;
	}
	switch (e->kind) {
	case STORM_STORE:
	case STORM_WRITE:
		change(a, file, own_cell(a, cell), e->kind == STORM_STORE);
		break;
	case STORM_LOAD:
	case STORM_READ:
		look(a, file, cell, e->kind == STORM_LOAD);
		break;
	case STORM_STAT:
		stat_file(a, file);
		break;
	default:
		do_sync(a, file, e->kind);
	}
}

/* What was not on the server went with the client. Lock held. */
void storm_data_crashed(struct storm_actor *a)
{
	for (unsigned f = 0; f < STORM_FILES; f++)
		for (unsigned c = 0; c < STORM_CELLS; c++) {
			struct storm_cell *k = &a->play->files[f].cells[c];

			if (storm_cell_owner(a->play, c, NULL) == a->id && k->last > k->floor)
				k->doubt = k->died = true;
		}
}

/* ---- the end ---- */

/* Nothing strikes any more: what is dirty is stored or told, soon. */
void storm_data_settle(struct storm_actor *a)
{
	for (unsigned f = 0; f < STORM_FILES; f++) {
		struct rx_error err = { 0 };
		unsigned tries = 0;

		while (storm_open(a, f, &err) != 0 && ++tries < SYNC_TRIES)
			storm_pause(a->play, SYNC_PAUSE_US);
		while (tries < SYNC_TRIES && do_sync(a, f, STORM_FSYNC) != 0 && ++tries < SYNC_TRIES)
			storm_pause(a->play, SYNC_PAUSE_US);
		while (tries < SYNC_TRIES && do_sync(a, f, STORM_MSYNC) != 0 && ++tries < SYNC_TRIES)
			storm_pause(a->play, SYNC_PAUSE_US);
		if (tries == SYNC_TRIES)
			storm_broken(a->play, a, "file %u cannot be synced though all is well again: %s", f, err.text);
	}
}

/* What a cell may be now that all is at rest; lock held. */
static void check_last(struct storm_play *p, unsigned file, unsigned cell, uint8_t value)
{
	struct storm_cell *k = &p->files[file].cells[cell];
	unsigned owner = storm_cell_owner(p, cell, NULL);

	if (owner == STORM_CONTESTED) {
		judge(p, NULL, &p->clients[STORM_ADMIN], file, cell, 0, value);
		return;
	}
	if (value == k->last)
		return;
	if (value < k->floor || value > k->tried || !(k->doubt || k->overwritten))
		storm_broken(p, NULL, "file %u cell %u of %u ends as %u; written %u, synced %u%s", file, cell, owner,
			     value, k->last, k->floor, k->doubt ? ", in doubt" : "");
	else if (value < k->last && !k->died && !k->overwritten && p->actors[owner].told[file] == 0)
		storm_broken(p, NULL, "file %u cell %u of %u lost %u, has %u; its owner was not told", file, cell,
			     owner, k->last, value);
}

static void check_actor(struct storm_actor *a, unsigned file, const uint8_t *want)
{
	struct storm_play *p = a->play;

	for (unsigned c = 0; c < STORM_CELLS; c++) {
		uint64_t off = storm_cell_offset(c);
		struct rx_error err = { 0 };
		uint8_t byte = 0;
		int value = -1;

		/* A page that gave SIGBUS is given back after a while. */
		for (unsigned tries = 0; value < 0 && tries < 5; tries++) {
			if (tries)
				storm_pause(p, SYNC_PAUSE_US);
			value = p->stage->ops->load(p->stage, a->client->id, a->handles[file].map + off, a->id);
		}
		if (value != want[off])
			storm_broken(p, a, "at rest, file %u cell %u: a load gives %d, the server has %u", file, c,
				     value, want[off]);
		if (vfs_pread(a->handles[file].file, &byte, 1, off, &err) != 1 || byte != want[off])
			storm_broken(p, a, "at rest, file %u cell %u: read gives %u, the server has %u: %s", file, c,
				     byte, want[off], err.text);
	}
}

void storm_data_check(struct storm_play *p)
{
	uint8_t *now = malloc(STORM_SIZE);

	for (unsigned f = 0; f < STORM_FILES; f++) {
		unsigned at = 0;

		if (storm_read_fresh(p, p->files[f].path, now, STORM_SIZE) != STORM_SIZE) {
			storm_broken(p, NULL, "file %u is short", f);
			continue;
		}
		rx_mutex_lock(&p->lock);
		for (unsigned c = 0; c < STORM_CELLS; c++)
			check_last(p, f, c, now[storm_cell_offset(c)]);
		for (unsigned i = 0; i < STORM_SIZE; i++) {
			if (at < STORM_CELLS && storm_cell_offset(at) == i)
				at++;
			else if (now[i] != 0)
				storm_broken(p, NULL, "file %u holds %u at %u, where nobody wrote", f, now[i], i);
		}
		rx_mutex_unlock(&p->lock);
		for (unsigned a = 0; a < STORM_ACTORS; a++)
			check_actor(&p->actors[a], f, now);
	}
	free(now);
}
