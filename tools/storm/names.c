/* Acts on names. Each actor has a few names in each directory that nobody else changes, so
 * what a name leads to is known but for changes whose reply was lost: then it may be as
 * before or as after, until somebody looks. Bit n of what a name may be: object n of its
 * actor; bit 0: nothing. On the actors' threads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/storm/play.h"

enum { NOTHING = 1 };

struct slot {
	unsigned dir, name;
};

static void name_of(const struct storm_actor *a, unsigned name, char out[32])
{
	snprintf(out, 32, "n%u.%u", a->id, name);
}

static uint32_t *may_be(struct storm_actor *a, struct slot s)
{
	return &a->names.may[s.dir][s.name];
}

/* The object that all possibilities agree on; 0: nothing; -1: not sure. */
static int sure(struct storm_actor *a, struct slot s)
{
	uint32_t may = *may_be(a, s);

	for (int n = 0; n < STORM_OBJECTS; n++)
		if (may == 1u << n)
			return n;
	return -1;
}

static enum cm_type type_of(const struct storm_actor *a, int object)
{
	return a->names.objects[object].type;
}

static unsigned links_of(struct storm_actor *a, int object)
{
	unsigned n = 0;

	for (unsigned d = 0; d < STORM_DIRS; d++)
		for (unsigned k = 0; k < STORM_NAMES; k++)
			n += a->names.may[d][k] >> object & 1;
	return n;
}

/* ---- what an act should do ---- */

enum fate { FAILS, WORKS, EITHER };

/* A change of up to two names, were it carried out. */
struct change {
	struct slot slots[2];
	uint32_t to[2];       /* what each may be then */
	unsigned n, restarts; /* those so far */
	uint32_t right;
	enum fate fate;
};

static void set(struct change *c, struct slot s, uint32_t to)
{
	c->slots[c->n] = s;
	c->to[c->n++] = to;
}

static void plan_new(struct storm_actor *a, struct slot s, enum cm_type type, struct change *c)
{
	int now = sure(a, s);

	c->right = CM_RIGHT_INSERT;
	c->fate = now < 0 ? EITHER : now == 0 ? WORKS : FAILS;
	a->names.objects[++a->names.nobjects] = (struct storm_object){ .type = type };
	set(c, s, 1u << a->names.nobjects);
}

static void plan_link(struct storm_actor *a, struct slot from, struct slot to, struct change *c)
{
	int object = sure(a, from), there = sure(a, to);

	c->right = CM_RIGHT_INSERT | CM_RIGHT_WRITE;
	c->fate = object < 0 || there < 0                                     ? EITHER
		  : object > 0 && type_of(a, object) == CM_FILE && there == 0 ? WORKS
									      : FAILS;
	set(c, to, *may_be(a, from) & ~(uint32_t)NOTHING);
}

static void plan_remove(struct storm_actor *a, struct slot s, bool is_dir, struct change *c)
{
	int object = sure(a, s);

	c->right = CM_RIGHT_DELETE;
	c->fate = object < 0 ? EITHER : object > 0 && (type_of(a, object) == CM_DIR) == is_dir ? WORKS : FAILS;
	set(c, s, NOTHING);
}

static void plan_rename(struct storm_actor *a, struct slot from, struct slot to, struct change *c)
{
	int object = sure(a, from), there = sure(a, to);
	bool same = from.dir == to.dir && from.name == to.name, alike;

	c->right = CM_RIGHT_DELETE | CM_RIGHT_INSERT | CM_RIGHT_LOOKUP;
	if (object < 0 || there < 0) {
		c->fate = EITHER;
	} else if (object == 0) {
		c->fate = FAILS;
	} else if (object == there) {
		c->fate = WORKS; /* two names of one file: nothing is done */
		return;
	} else if (there > 0 && (type_of(a, there) == CM_DIR) != (type_of(a, object) == CM_DIR)) {
		c->fate = FAILS;
	} else {
		c->fate = from.dir != to.dir && links_of(a, object) > 1 ? EITHER : WORKS;
	}
	if (same)
		return;
	/* Of two names that may be one file's, nothing is done either. */
	alike = (*may_be(a, from) & *may_be(a, to) & ~(uint32_t)NOTHING) != 0;
	set(c, from, NOTHING | (object < 0 || alike ? *may_be(a, from) : 0));
	set(c, to, (*may_be(a, from) & ~(uint32_t)NOTHING) | (object < 0 || there < 0 ? *may_be(a, to) : 0));
}

/* ---- doing it ---- */

static int run(struct storm_actor *a, const struct storm_event *e, struct slot s, struct slot to,
	       struct cm_vnode **made, struct rx_error *err)
{
	struct cm_vnode *dir = a->dirs[s.dir], *file = NULL;
	char name[32], other[32], text[32];
	int rc;

	name_of(a, s.name, name);
	name_of(a, to.name, other);
	switch (e->kind) {
	case STORM_CREATE:
		return cm_create(dir, a->token, name, NULL, made, err);
	case STORM_MKDIR:
		return cm_mkdir(dir, a->token, name, NULL, made, err);
	case STORM_SYMLINK:
		snprintf(text, sizeof(text), "to.%u", a->names.nobjects);
		return cm_symlink(dir, a->token, name, text, false, err);
	case STORM_LINK:
		if (cm_lookup(dir, a->token, name, &file, err) != 0)
			return -1;
		rc = cm_link(dir, a->token, other, file, err);
		cm_vnode_put(file);
		return rc;
	case STORM_UNLINK:
		return cm_unlink(dir, a->token, name, err);
	case STORM_RMDIR:
		return cm_rmdir(dir, a->token, name, err);
	default:
		return cm_rename(dir, name, a->dirs[to.dir], other, a->token, err);
	}
}

static void plan_change(struct storm_actor *a, const struct storm_event *e, struct slot s, struct slot to,
			struct change *c)
{
	*c = (struct change){ .restarts = a->play->restarts };
	switch (e->kind) {
	case STORM_CREATE:
		plan_new(a, s, CM_FILE, c);
		break;
	case STORM_MKDIR:
		plan_new(a, s, CM_DIR, c);
		break;
	case STORM_SYMLINK:
		plan_new(a, s, CM_SYMLINK, c);
		break;
	case STORM_LINK:
		plan_link(a, s, to, c);
		break;
	case STORM_UNLINK:
	case STORM_RMDIR:
		plan_remove(a, s, e->kind == STORM_RMDIR, c);
		break;
	default:
		plan_rename(a, s, to, c);
	}
}

/* The server said no, so nothing was done; anything else may have been done. */
static bool is_refusal(const struct rx_error *err)
{
	return err->origin == RX_ORIGIN_AFS &&
	       (storm_is_loss(err) || err->errnum == EEXIST || err->errnum == ENOENT || err->errnum == ENOTDIR ||
		err->errnum == EISDIR || err->errnum == ENOTEMPTY || err->errnum == EXDEV || err->errnum == EDQUOT ||
		err->errnum == ENOSPC || err->code == 110 || err->code == 106);
}

/* A server that restarts in the middle of a call gets it again from below, as a new one; what
 * it says then is not about what it did before. */
static bool was_done_twice(const struct storm_play *p, const struct change *c)
{
	return p->may_restart || p->restarts != c->restarts;
}

/* Lock held. */
static void judge(struct storm_actor *a, const struct change *c, struct slot s, const struct storm_moment *m, int rc,
		  const struct rx_error *err)
{
	struct storm_play *p = a->play;

	if (rc == 0 && c->fate == FAILS)
		storm_broken(p, a, "%s of %u.%u works, though it cannot", storm_kind_name(a->now->kind), s.dir, s.name);
	/* Two names of one file: nothing is asked of the server. */
	if (rc == 0 && c->n > 0 && storm_had_not(p, a, s.dir, m, c->right & (CM_RIGHT_INSERT | CM_RIGHT_DELETE)))
		storm_broken(p, a, "%s of %u.%u works without the right", storm_kind_name(a->now->kind), s.dir, s.name);
	if (rc != 0) {
		p->counts->failed[a->now->kind]++;
		if (c->fate == WORKS && !storm_excused(p, a, s.dir, m, c->right, err))
			storm_broken(p, a, "%s of %u.%u fails: %s", storm_kind_name(a->now->kind), s.dir, s.name,
				     err->text);
	}
	for (unsigned i = 0; i < c->n; i++) {
		uint32_t *may = may_be(a, c->slots[i]);

		if (rc == 0)
			*may = c->to[i];
		else if (c->fate != FAILS && (!is_refusal(err) || was_done_twice(p, c)))
			*may |= c->to[i];
	}
}

static void alter(struct storm_actor *a, const struct storm_event *e, struct slot s, struct slot to)
{
	struct storm_play *p = a->play;
	struct cm_vnode *made = NULL;
	struct rx_error err = { 0 };
	struct storm_moment m, m2;
	struct change c;
	int rc;

	if (a->names.nobjects + 1 == STORM_OBJECTS)
		return;
	rx_mutex_lock(&p->lock);
	plan_change(a, e, s, to, &c);
	storm_moment(p, a->user, s.dir, &m);
	storm_moment(p, a->user, to.dir, &m2);
	p->naming[s.dir]++;
	p->naming[to.dir]++;
	p->named[s.dir]++;
	p->named[to.dir]++;
	rx_mutex_unlock(&p->lock);
	rc = run(a, e, s, to, &made, &err);
	rx_mutex_lock(&p->lock);
	p->naming[s.dir]--;
	p->naming[to.dir]--;
	if (s.dir != to.dir && c.fate == WORKS && rc != 0 && storm_excused(p, a, to.dir, &m2, c.right, &err))
		c.fate = EITHER;
	judge(a, &c, s, &m, rc, &err);
	if (made)
		a->names.objects[a->names.nobjects].fid = cm_vnode_fid(made);
	rx_mutex_unlock(&p->lock);
	cm_vnode_put(made);
}

/* ---- looking ---- */

/* Whether the object can be what was found; types: a bit for each that it may be of. */
static bool fits(const struct storm_object *o, const struct cm_fid *fid, unsigned types)
{
	if (!(types >> o->type & 1))
		return false;
	return o->fid.vnode == 0 || (o->fid.vnode == fid->vnode && o->fid.unique == fid->unique);
}

/* What the name led to: narrows what it may be. found NULL: nothing. Lock held. */
static void learn(struct storm_actor *a, const struct storm_client *by, struct slot s, const struct cm_fid *found,
		  unsigned types)
{
	uint32_t *may = may_be(a, s), can = found ? 0 : *may & NOTHING;

	for (unsigned n = 1; found && n <= a->names.nobjects; n++)
		if ((*may >> n & 1) && fits(&a->names.objects[n], found, types))
			can |= 1u << n;
	if (can == 0)
		storm_broken(a->play, a, "client %u: name %u.%u leads to %s%u of types %x, not to what it should (%x)",
			     by->id, s.dir, s.name, found ? "" : "nothing, ", found ? found->vnode : 0, types, *may);
	else if (by == a->client)
		*may = can;
}

static void lookup(struct storm_actor *a, struct slot s)
{
	struct storm_play *p = a->play;
	struct rx_error err = { 0 };
	struct storm_moment m;
	struct cm_vnode *v = NULL;
	struct cm_attr attr = { 0 };
	char name[32], *text = NULL;
	struct cm_fid fid;
	int rc, rc2 = 0;

	name_of(a, s.name, name);
	rx_mutex_lock(&p->lock);
	storm_moment(p, a->user, s.dir, &m);
	rx_mutex_unlock(&p->lock);
	rc = cm_lookup(a->dirs[s.dir], a->token, name, &v, &err);
	if (rc == 0)
		rc2 = cm_getattr(v, a->token, &attr, &err);
	if (rc == 0 && rc2 == 0 && attr.type == CM_SYMLINK)
		rc2 = cm_readlink(v, a->token, &text, &err);
	rx_mutex_lock(&p->lock);
	if (rc == 0 && rc2 == 0) {
		fid = cm_vnode_fid(v);
		learn(a, a->client, s, &fid, 1u << attr.type);
		if (text && strncmp(text, "to.", 3) != 0)
			storm_broken(p, a, "symbolic link %u.%u leads to \"%.40s\"", s.dir, s.name, text);
	} else if (rc != 0 && err.errnum == ENOENT) {
		learn(a, a->client, s, NULL, 0);
	} else {
		p->counts->failed[a->now->kind]++;
		if (!storm_excused(p, a, s.dir, &m, CM_RIGHT_LOOKUP | CM_RIGHT_READ, &err))
			storm_broken(p, a, "cannot look up %u.%u: %s", s.dir, s.name, err.text);
	}
	rx_mutex_unlock(&p->lock);
	cm_vnode_put(v);
	free(text);
}

struct listing {
	struct cm_fid fids[STORM_ACTORS][STORM_NAMES];
	bool is_dir[STORM_ACTORS][STORM_NAMES];
	unsigned strangers;
};

static int note(void *arg, const char *name, struct cm_fid fid, bool is_dir)
{
	struct listing *l = arg;
	unsigned actor, n;

	if (sscanf(name, "n%u.%u", &actor, &n) != 2 || actor >= STORM_ACTORS || n >= STORM_NAMES) {
		l->strangers++;
		return 0;
	}
	if (l->fids[actor][n].vnode != 0)
		l->strangers += 100; /* twice */
	l->fids[actor][n] = fid;
	l->is_dir[actor][n] = is_dir;
	return 0;
}

/* A listing tells directories from the rest, no more. Lock held. */
static void compare(struct storm_actor *a, const struct storm_client *by, unsigned dir, const struct listing *l)
{
	for (unsigned k = 0; k < STORM_NAMES; k++) {
		struct slot s = { dir, k };
		const struct cm_fid *fid = &l->fids[a->id][k];
		unsigned types = l->is_dir[a->id][k] ? 1u << CM_DIR : 1u << CM_FILE | 1u << CM_SYMLINK;

		learn(a, by, s, fid->vnode ? fid : NULL, types);
	}
}

static void list(struct storm_actor *a, unsigned dir)
{
	struct storm_play *p = a->play;
	struct rx_error err = { 0 };
	struct storm_moment m;
	struct listing l = { .strangers = 0 };
	int rc;

	rx_mutex_lock(&p->lock);
	storm_moment(p, a->user, dir, &m);
	rx_mutex_unlock(&p->lock);
	rc = cm_readdir(a->dirs[dir], a->token, note, &l, &err);
	rx_mutex_lock(&p->lock);
	if (rc == 0) {
		compare(a, a->client, dir, &l);
		if (l.strangers > 1 + STORM_ACTORS)
			storm_broken(p, a, "directory %u has names twice, or that nobody made", dir);
	} else {
		p->counts->failed[a->now->kind]++;
		if (!storm_excused(p, a, dir, &m, CM_RIGHT_LOOKUP, &err))
			storm_broken(p, a, "cannot list directory %u: %s", dir, err.text);
	}
	rx_mutex_unlock(&p->lock);
}

void storm_name_act(struct storm_actor *a, const struct storm_event *e)
{
	struct slot s = { e->args[0] % STORM_DIRS, e->args[1] % STORM_NAMES }, to = s;

	if (!a->dirs[0] || !a->dirs[1])
		return;
	if (e->kind == STORM_LINK)
		to.name = e->args[2] % STORM_NAMES;
	if (e->kind == STORM_RENAME)
		to = (struct slot){ e->args[2] % STORM_DIRS, e->args[3] % STORM_NAMES };
	if (e->kind == STORM_LOOKUP)
		lookup(a, s);
	else if (e->kind == STORM_LIST)
		list(a, s.dir);
	else
		alter(a, e, s, to);
}

/* Every client lists the same, and what the actors' names lead to. */
void storm_names_check(struct storm_play *p)
{
	for (unsigned c = 0; c <= STORM_CLIENTS; c++)
		for (unsigned d = 0; d < STORM_DIRS; d++) {
			struct storm_actor *first = &p->actors[c * STORM_USERS % STORM_ACTORS];
			struct cm_vnode *dir = c == STORM_ADMIN ? p->admin_dirs[d] : first->dirs[d];
			struct cm_token *t = c == STORM_ADMIN ? p->admin : first->token;
			struct listing l = { .strangers = 0 };
			struct rx_error err = { 0 };

			if (cm_readdir(dir, t, note, &l, &err) != 0)
				storm_broken(p, NULL, "at rest, client %u cannot list directory %u: %s", c, d,
					     err.text);
			for (unsigned a = 0; a < STORM_ACTORS; a++) {
				/* The first to look tells the others what became of lost replies. */
				rx_mutex_lock(&p->lock);
				compare(&p->actors[a], c == 0 ? p->actors[a].client : &p->clients[c], d, &l);
				rx_mutex_unlock(&p->lock);
			}
		}
}
