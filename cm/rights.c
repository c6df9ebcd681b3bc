/* Rights: what a token may do, cached per (vnode, token) as long as the promise of the
 * vnode and that of the directory whose ACL it is. Called on any thread; asks the server
 * by FetchStatus without locks. A refusal is believed for five seconds only. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cm/internal.h"
#include "rx/maybe.h"

enum { REFUSAL_US = 5 * 1000000 };

static uint64_t generation_of(struct cm_token *t)
{
	uint64_t g;

	rx_mutex_lock(&t->lock);
	g = t->generation;
	rx_mutex_unlock(&t->lock);
	return g;
}

bool cm_rights_cached(struct cm_vnode *v, struct cm_token *t, uint32_t *rights, uint64_t *got_us)
{
	uint64_t now = rx_now_us(v->cm->env);

	*got_us = now;
	if (!v->volume) {
		*rights = v->attr.caller_rights;
		return true;
	}
	if (t->anonymous && v->known && v->attr.anonymous_rights != 0) {
		*rights = v->attr.anonymous_rights;
		return true;
	}
	for (const struct cm_right *r = v->rights; r; r = r->next) {
		if (r->token_id != t->id)
			continue;
		*rights = r->rights;
		*got_us = r->got_us;
		return r->generation == generation_of(t) && r->cb_gen == v->promise.cb_gen && now < r->until_us &&
		       (!v->parent || r->parent_gen == v->parent->gen_now);
	}
	return false;
}

void cm_rights_set(struct cm_vnode *v, struct cm_token *t, uint32_t rights, uint64_t parent_gen, uint64_t until_us)
{
	struct cm_right *r;

	for (r = v->rights; r && r->token_id != t->id; r = r->next)
		;
	if (!r) {
		r = calloc(1, sizeof(*r));
		if (!r)
			return;
		r->token_id = t->id;
		r->next = v->rights;
		v->rights = r;
	}
	r->generation = generation_of(t);
	r->rights = rights;
	r->cb_gen = v->promise.cb_gen;
	r->parent_gen = parent_gen;
	r->got_us = rx_now_us(v->cm->env);
	r->until_us = until_us;
}

void cm_forget_rights(struct cm_vnode *v, struct cm_token *t)
{
	rx_mutex_lock(&v->lock);
	for (struct cm_right **p = &v->rights; *p; p = &(*p)->next) {
		struct cm_right *r = *p;

		if (r->token_id != t->id)
			continue;
		*p = r->next;
		free(r);
		break;
	}
	rx_mutex_unlock(&v->lock);
}

/* Rights and status as of one moment; `fresh`: from the server. */
static int look(struct cm_vnode *v, struct cm_token *t, bool fresh, uint32_t *rights, struct cm_attr *attr,
		uint64_t *got_us, struct rx_error *err)
{
	bool have;

	if (UMAFS_MAYBE(v->cm->env, RIGHTS_FORGOTTEN))
		cm_forget_rights(v, t);
	rx_mutex_lock(&v->lock);
	have = !fresh && cm_vnode_good(v) && cm_rights_cached(v, t, rights, got_us);
	rx_mutex_unlock(&v->lock);
	if (!have && cm_vnode_fetch_status(v, t, err))
		return -1;
	rx_mutex_lock(&v->lock);
	if (!have && !cm_rights_cached(v, t, rights, got_us)) {
		/* The promise broke at once; what the reply said was true all the same. */
		for (const struct cm_right *r = v->rights; r; r = r->next) {
			if (r->token_id == t->id) {
				*rights = r->rights;
				break;
			}
		}
	}
	*attr = v->attr;
	rx_mutex_unlock(&v->lock);
	return 0;
}

int cm_rights(struct cm_vnode *v, struct cm_token *t, uint32_t *rights, struct rx_error *err)
{
	struct cm_attr attr;
	uint64_t got;

	*rights = 0;
	return look(v, t, false, rights, &attr, &got, err);
}

/* Of a file only the owner is told of `a`. */
static bool owns(const struct cm_token *t, const struct cm_attr *attr, uint32_t rights)
{
	return t->anonymous ? attr->owner == CM_ANONYMOUS_ID : (rights & CM_RIGHT_ADMINISTER) != 0;
}

/* 0, or the right that is missing. */
static uint32_t missing_to_write(const struct cm_token *t, const struct cm_attr *attr, uint32_t rights)
{
	if (attr->type == CM_DIR)
		return rights & (CM_RIGHT_INSERT | CM_RIGHT_DELETE) ? 0 : CM_RIGHT_INSERT;
	if (rights & CM_RIGHT_INSERT && owns(t, attr, rights))
		return 0;
	return rights & CM_RIGHT_WRITE && attr->mode & 0200 ? 0 : CM_RIGHT_WRITE;
}

static uint32_t missing_to_read(const struct cm_token *t, const struct cm_attr *attr, uint32_t rights)
{
	if (attr->type != CM_FILE)
		return rights & CM_RIGHT_LOOKUP ? 0 : CM_RIGHT_LOOKUP;
	if (!t->anonymous && rights & CM_RIGHT_INSERT && owns(t, attr, rights))
		return 0;
	if (!(rights & CM_RIGHT_READ))
		return CM_RIGHT_READ;
	return attr->mode & 0500 || owns(t, attr, rights) ? 0 : CM_RIGHT_READ;
}

static const char *right_text(uint32_t right)
{
	switch (right) {
	case CM_RIGHT_READ:
		return "read (r)";
	case CM_RIGHT_WRITE:
		return "write (w)";
	case CM_RIGHT_INSERT:
		return "insert (i)";
	case CM_RIGHT_LOOKUP:
		return "lookup (l)";
	case CM_RIGHT_DELETE:
		return "delete (d)";
	case CM_RIGHT_LOCK:
		return "lock (k)";
	case CM_RIGHT_ADMINISTER:
		return "administer (a)";
	default:
		return "a right";
	}
}

int cm_refuse(struct cm_vnode *v, struct cm_token *t, uint32_t need, struct rx_error *err)
{
	char name[256], buf[384];
	const char *where;

	cm_token_name(t, name);
	where = v->fid.vnode % 2 ? "" : "the directory of ";
	return rx_error_set(err, RX_ORIGIN_ERRNO, EACCES, EACCES, "permission denied: %.60s lacks %s on %s%s%s", name,
			    right_text(need), where, cm_vnode_text(v, buf),
			    t->anonymous ? ": get a token" : ": ask for it whoever administers its ACL");
}

static int may(struct cm_vnode *v, struct cm_token *t, bool write, struct rx_error *err)
{
	uint64_t got = 0, now = rx_now_us(v->cm->env);
	uint32_t rights = 0, missing;
	struct cm_attr attr;
	char buf[384];

	if (write && (!v->volume || v->volume->kind != CM_VOL_RW))
		return rx_error_set(err, RX_ORIGIN_ERRNO, EROFS, EROFS, "%s is read-only", cm_vnode_text(v, buf));
	if (UMAFS_MAYBE(v->cm->env, BREAK_BEFORE_RIGHTS))
		cm_vnode_break(v);
	if (look(v, t, false, &rights, &attr, &got, err))
		return -1;
	missing = write ? missing_to_write(t, &attr, rights) : missing_to_read(t, &attr, rights);
	if (missing && got + REFUSAL_US < now) {
		if (look(v, t, true, &rights, &attr, &got, err))
			return -1;
		missing = write ? missing_to_write(t, &attr, rights) : missing_to_read(t, &attr, rights);
	}
	if (!missing)
		return 0;
	if (missing == CM_RIGHT_WRITE && rights & CM_RIGHT_WRITE)
		return rx_error_set(err, RX_ORIGIN_ERRNO, EACCES, EACCES,
				    "permission denied: the mode %03o of %s forbids writing: chmod u+w it",
				    attr.mode & 0777, cm_vnode_text(v, buf));
	return cm_refuse(v, t, missing, err);
}

int cm_may_write(struct cm_vnode *v, struct cm_token *t, struct rx_error *err)
{
	return may(v, t, true, err);
}

static bool may_now(struct cm_vnode *v, struct cm_token *t, bool write)
{
	uint32_t rights;
	uint64_t got;
	bool may;

	rx_mutex_lock(&v->lock);
	may = cm_vnode_good(v) && cm_rights_cached(v, t, &rights, &got) &&
	      (write ? missing_to_write(t, &v->attr, rights) : missing_to_read(t, &v->attr, rights)) == 0;
	rx_mutex_unlock(&v->lock);
	return may;
}

bool cm_may_write_now(struct cm_vnode *v, struct cm_token *t)
{
	return v->volume && v->volume->kind == CM_VOL_RW && may_now(v, t, true);
}

bool cm_may_read_now(struct cm_vnode *v, struct cm_token *t)
{
	return may_now(v, t, false);
}

int cm_may_read(struct cm_vnode *v, struct cm_token *t, struct rx_error *err)
{
	return may(v, t, false, err);
}
