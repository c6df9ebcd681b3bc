/* What the server is seen to hold, store by store, and what clients tell the owners of
 * changes. Every new byte must be one that its owner tried, must have come while a store
 * in its owner's name was under way, and is newer than the one before; only a store of
 * another client that covers it by accident may bring an older one back, and that must be
 * told. On the server's and the clients' threads. */
#include <stdlib.h>
#include <string.h>

#include "tools/storm/play.h"

static int user_of(const char *name)
{
	for (unsigned u = 0; u < STORM_USERS; u++)
		if (!strcmp(name, storm_user_name(u)))
			return (int)u;
	return -1;
}

static bool was_storing(const struct storm_storing *s, unsigned client, unsigned user)
{
	return s->now[client][user] > 0 || s->since[client][user];
}

static unsigned storing_clients(const struct storm_storing *s)
{
	unsigned clients = 0;

	for (unsigned c = 0; c < STORM_CLIENTS; c++)
		for (unsigned u = 0; u < STORM_USERS; u++)
			if (was_storing(s, c, u))
				clients |= 1u << c;
	return clients;
}

static void cover(struct storm_cell *k)
{
	k->overwritten = true;
	k->covers++;
}

static void went_back(struct storm_play *p, unsigned file, unsigned cell, uint8_t value)
{
	struct storm_cell *k = &p->files[file].cells[cell];
	unsigned owner = storm_cell_owner(p, cell, NULL), others = storing_clients(&p->storing[file]);

	others &= ~(1u << owner / STORM_USERS);
	if (!p->mixed || !others) {
		storm_broken(p, NULL, "file %u cell %u of %u goes back at the server, from %u to %u", file, cell, owner,
			     k->on_server, value);
		return;
	}
	if (p->nregresses < STORM_REGRESSES)
		p->regresses[p->nregresses++] = (struct storm_regress){ .file = file, .cell = cell, .clients = others };
	cover(k);
	k->floor = value < k->floor ? value : k->floor;
	k->acked = value < k->acked ? value : k->acked;
	memset(k->seen, 0, sizeof(k->seen));
}

static void look_at_cell(struct storm_play *p, unsigned file, unsigned cell, uint8_t value)
{
	struct storm_cell *k = &p->files[file].cells[cell];
	unsigned owner = storm_cell_owner(p, cell, NULL), author = owner;

	if (owner == STORM_CONTESTED) {
		if (value == k->on_server || value == 0)
			return;
		author = (value - 1u) % STORM_ACTORS;
	} else if (value == k->on_server) {
		return;
	} else if (value < k->on_server) {
		went_back(p, file, cell, value);
		k->on_server = value;
		return;
	}
	if (owner == STORM_CONTESTED ? !(k->values[value / 32] >> value % 32 & 1) : value > k->tried)
		storm_broken(p, NULL, "file %u cell %u: the server got %u, which nobody wrote", file, cell, value);
	else if (!was_storing(&p->storing[file], author / STORM_USERS, author % STORM_USERS) &&
		 owner != STORM_CONTESTED)
		storm_broken(p, NULL, "file %u cell %u: the value %u of %u came in another's name", file, cell, value,
			     author);
	k->on_server = value;
}

static bool is_storing(const struct storm_storing *s)
{
	for (unsigned c = 0; c < STORM_CLIENTS; c++)
		for (unsigned u = 0; u < STORM_USERS; u++)
			if (s->now[c][u] > 0)
				return true;
	return false;
}

/* False: the cell is dying, and nothing can be seen any more. */
static bool look_at_file(struct storm_play *p, unsigned file)
{
	uint8_t *now = malloc(STORM_SIZE);
	int64_t size = p->stage->ops->peek(p->stage, &p->files[file].fid, now, STORM_SIZE);

	if (size >= 0 && size < STORM_SIZE)
		storm_broken(p, NULL, "file %u has only %lld bytes at the server", file, (long long)size);
	for (unsigned c = 0; size == STORM_SIZE && c < STORM_CELLS; c++)
		look_at_cell(p, file, c, now[storm_cell_offset(c)]);
	free(now);
	return size >= 0;
}

/* Stores of several clients overlapped: one may have covered what another brought before
 * anybody looked. */
static void unsure_of_overlapping(struct storm_play *p, unsigned file)
{
	unsigned clients = storing_clients(&p->storing[file]);

	if (!p->mixed || !(clients & (clients - 1)))
		return;
	for (unsigned c = 0; c < STORM_CELLS; c++) {
		struct storm_cell *k = &p->files[file].cells[c];
		unsigned owner = storm_cell_owner(p, c, NULL);

		if (owner != STORM_CONTESTED && (clients >> owner / STORM_USERS & 1) && k->on_server < k->tried)
			cover(k);
	}
}

static bool same(const struct cm_fid *a, const struct cm_fid *b)
{
	return a->volume == b->volume && a->vnode == b->vnode && a->unique == b->unique;
}

/* What has been seen of a store that is still under way may never be acknowledged. */
static void acknowledge(struct storm_play *p, unsigned file)
{
	for (unsigned c = 0; c < STORM_CELLS && !is_storing(&p->storing[file]); c++)
		p->files[file].cells[c].acked = p->files[file].cells[c].on_server;
}

void storm_saw_store(struct storm_play *p, unsigned client, const char *user, const struct cm_fid *fid,
		     enum storm_store what)
{
	int u = user_of(user);

	if (client >= STORM_CLIENTS || !p->can_peek)
		return;
	rx_mutex_lock(&p->lock);
	if (u < 0)
		storm_broken(p, NULL, "client %u stores as \"%s\"", client, user);
	for (unsigned f = 0; f < STORM_FILES && u >= 0; f++) {
		struct storm_storing *s = &p->storing[f];

		if (!same(&p->files[f].fid, fid))
			continue;
		if (what == STORM_STORE_BEGINS) {
			s->now[client][u]++;
			continue;
		}
		p->counts->stores++;
		if (s->now[client][u] == 0)
			storm_broken(p, NULL, "a store of %s ends at the server that never began", user);
		s->now[client][u] -= s->now[client][u] > 0;
		s->since[client][u] = true;
		if (!look_at_file(p, f))
			continue;
		unsure_of_overlapping(p, f);
		if (what == STORM_STORE_DONE)
			acknowledge(p, f);
		memset(s->since, 0, sizeof(s->since));
	}
	rx_mutex_unlock(&p->lock);
}

/* A store that the cell died in may have covered others' cells. */
static void look_again(struct storm_play *p, unsigned file, unsigned cell, uint8_t value, bool power)
{
	struct storm_cell *k = &p->files[file].cells[cell];
	unsigned owner = storm_cell_owner(p, cell, NULL);
	uint8_t low = power ? k->acked : k->on_server;

	if (owner != STORM_CONTESTED && value < low && p->mixed &&
	    (storing_clients(&p->storing[file]) & ~(1u << owner / STORM_USERS)))
		went_back(p, file, cell, value);
	else if (owner != STORM_CONTESTED && (value < low || value > k->tried))
		storm_broken(p, NULL, "file %u cell %u: the cell came back with %u, it had %u, acknowledged %u%s", file,
			     cell, value, k->on_server, k->acked, power ? ", the power failed" : "");
	k->on_server = value;
}

void storm_watch_restarted(struct storm_play *p, bool power)
{
	uint8_t *now = malloc(STORM_SIZE);

	rx_mutex_lock(&p->lock);
	for (unsigned f = 0; f < STORM_FILES && p->can_peek; f++) {
		if (p->stage->ops->peek(p->stage, &p->files[f].fid, now, STORM_SIZE) != STORM_SIZE) {
			storm_broken(p, NULL, "file %u is not what it was when the cell comes back", f);
			break;
		}
		for (unsigned c = 0; c < STORM_CELLS; c++)
			look_again(p, f, c, now[storm_cell_offset(c)], power);
		memset(p->storing[f].since, 0, sizeof(p->storing[f].since));
	}
	rx_mutex_unlock(&p->lock);
	free(now);
}

/* ---- events ---- */

static int file_of(const struct storm_play *p, const struct cm_fid *fid)
{
	for (unsigned f = 0; f < STORM_FILES; f++)
		if (same(&p->files[f].fid, fid))
			return (int)f;
	return -1;
}

static void overwrote(struct storm_play *p, const struct storm_client *c, const struct cm_event *ev)
{
	struct cm_fid fid = cm_vnode_fid(ev->vnode);
	int file = file_of(p, &fid);

	for (unsigned i = 0; i < p->nregresses; i++) {
		struct storm_regress *r = &p->regresses[i];
		uint64_t off = storm_cell_offset(r->cell);

		if ((int)r->file == file && (r->clients >> c->id & 1) && off >= ev->from && off < ev->to)
			r->told = true;
	}
}

void storm_event(void *arg, const struct cm_event *ev)
{
	struct storm_client *c = arg;
	struct storm_play *p = c->play;
	struct cm_token_info info;
	int user;

	if (ev->kind == CM_EVENT_DELAYED)
		return; /* the client dies */
	cm_token_info(ev->token, &info);
	info.principal[strcspn(info.principal, "@")] = 0;
	user = user_of(info.principal);
	rx_mutex_lock(&p->lock);
	if (user < 0)
		storm_broken(p, NULL, "client %u had changes of \"%s\"", c->id, info.principal);
	if (ev->kind == CM_EVENT_KILLED) {
		p->counts->kills++;
		if (user >= 0 && !p->ever_denied[user])
			storm_broken(p, NULL, "client %u threw away a change of %s, who may store: %s", c->id,
				     info.principal, ev->error.text);
	}
	if (ev->kind == CM_EVENT_OVERWROTE)
		p->counts->overwrites++;
	if (ev->kind == CM_EVENT_KILLED || ev->kind == CM_EVENT_OVERWROTE)
		overwrote(p, c, ev);
	rx_mutex_unlock(&p->lock);
}

void storm_watch_check(struct storm_play *p)
{
	for (unsigned i = 0; i < p->nregresses; i++) {
		const struct storm_regress *r = &p->regresses[i];
		bool died = false;

		for (unsigned c = 0; c < STORM_CLIENTS; c++)
			died |= (r->clients >> c & 1) && p->clients[c].lives > 1;
		if (!r->told && !died)
			storm_broken(p, NULL, "file %u cell %u was overwritten, and nobody told", r->file, r->cell);
	}
}
