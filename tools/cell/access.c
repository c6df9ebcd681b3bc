/* Rights: what an access list grants to whom, and what each operation asks for. Called by
 * the file server's operations with cell->lock held; changes nothing. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/cell/internal.h"

enum { SUID_BITS = 06000, MODE_BITS = 0777 };

uint32_t cell_acl_rights(const struct cell_acl *acl, const int32_t *cps, unsigned n)
{
	uint32_t yes = 0, no = 0;

	for (unsigned i = 0; i < n; i++) {
		for (unsigned k = 0; k < acl->npositive; k++)
			if (acl->positive[k].id == cps[i])
				yes |= acl->positive[k].rights;
		for (unsigned k = 0; k < acl->nnegative; k++)
			if (acl->negative[k].id == cps[i])
				no |= acl->negative[k].rights;
	}
	return yes & ~no;
}

static int by_id(const void *a, const void *b)
{
	int32_t x = ((const struct cell_grant *)a)->id, y = ((const struct cell_grant *)b)->id;

	return (x > y) - (x < y);
}

void cell_acl_sort(struct cell_acl *acl)
{
	qsort(acl->positive, acl->npositive, sizeof(acl->positive[0]), by_id);
	qsort(acl->negative, acl->nnegative, sizeof(acl->negative[0]), by_id);
}

static void name_of(struct cell *cell, int32_t id, char name[CM_ACL_NAME])
{
	const struct cell_principal *p = cell_principal_by_id(cell, id);

	if (p)
		memcpy(name, p->name, CM_ACL_NAME);
	else
		snprintf(name, CM_ACL_NAME, "%d", id);
}

int32_t cell_acl_to_text(struct cell *cell, const struct cell_acl *acl, char text[CM_ACL_TEXT], size_t *len)
{
	struct cm_acl named = { .npositive = acl->npositive, .nnegative = acl->nnegative };

	for (unsigned i = 0; i < acl->npositive; i++) {
		name_of(cell, acl->positive[i].id, named.positive[i].name);
		named.positive[i].rights = acl->positive[i].rights;
	}
	for (unsigned i = 0; i < acl->nnegative; i++) {
		name_of(cell, acl->negative[i].id, named.negative[i].name);
		named.negative[i].rights = acl->negative[i].rights;
	}
	return cm_acl_format(&named, text, len, NULL) ? E2BIG : 0;
}

static bool id_of(struct cell *cell, const char *name, int32_t *id)
{
	const struct cell_principal *p = cell_principal_by_name(cell, name);
	char *end;
	long number;

	if (p) {
		*id = p->id;
		return *id != AFS_ID_ANONYMOUS;
	}
	number = strtol(name, &end, 10);
	*id = (int32_t)number;
	return *end == 0 && end != name && number == *id && number != 0 && number != AFS_ID_ANONYMOUS;
}

int32_t cell_acl_from_text(struct cell *cell, const void *text, size_t len, struct cell_acl *acl)
{
	struct cm_acl named;

	if (cm_acl_parse(text, len, &named, NULL))
		return EINVAL;
	*acl = (struct cell_acl){ .npositive = named.npositive, .nnegative = named.nnegative };
	for (unsigned i = 0; i < named.npositive; i++) {
		acl->positive[i].rights = named.positive[i].rights;
		if (!id_of(cell, named.positive[i].name, &acl->positive[i].id))
			return EINVAL;
	}
	for (unsigned i = 0; i < named.nnegative; i++) {
		acl->negative[i].rights = named.negative[i].rights;
		if (!id_of(cell, named.negative[i].name, &acl->negative[i].id))
			return EINVAL;
	}
	cell_acl_sort(acl);
	return 0;
}

static const struct cell_acl *acl_of(const struct cell_vnode *v)
{
	static const struct cell_acl nothing;
	const struct cell_vnode *parent;

	if (v->type == AFS_TYPE_DIR)
		return &v->acl;
	parent = cell_vnode_find(v->volume, v->parent_vnode, v->parent_unique);
	return parent ? &parent->acl : &nothing;
}

void cell_rights(const struct cell_vnode *v, const struct cell_caller *who, uint32_t *caller, uint32_t *anonymous)
{
	static const int32_t nobody[] = { AFS_ID_ANYUSER, AFS_ID_ANONYMOUS };
	const struct cell_acl *acl = acl_of(v);

	*caller = cell_acl_rights(acl, who->cps, who->ncps);
	*anonymous = cell_acl_rights(acl, nobody, 2);
	if (who->admin)
		*caller |= CM_RIGHT_LOOKUP;
	if (who->server)
		*caller = CM_RIGHTS_ALL;
	if (v->type == AFS_TYPE_DIR)
		return;
	*caller &= ~(uint32_t)CM_RIGHT_ADMINISTER;
	if (v->owner == who->id)
		*caller |= CM_RIGHT_ADMINISTER;
}

static uint32_t rights_of(const struct cell_vnode *v, const struct cell_caller *who)
{
	uint32_t caller, anonymous;

	cell_rights(v, who, &caller, &anonymous);
	return caller;
}

bool cell_owns_volume(const struct cell_vnode *v, const struct cell_caller *who)
{
	const struct cell_vnode *root = cell_vnode_find(v->volume, 1, 1);

	return root && root->owner == who->id;
}

static bool owns(const struct cell_vnode *v, const struct cell_caller *who)
{
	return v->owner == who->id;
}

/* The rule of the fresh file: its owner may go on while insert is granted. */
static bool fresh(const struct cell_vnode *v, const struct cell_caller *who)
{
	return v->type == AFS_TYPE_FILE && owns(v, who) && rights_of(v, who) & CM_RIGHT_INSERT;
}

int32_t cell_may_fetch(const struct cell_vnode *v, const struct cell_caller *who, bool data)
{
	uint32_t rights = rights_of(v, who);

	if (!data && (who->admin || v->type == AFS_TYPE_DIR))
		return 0;
	if (v->type != AFS_TYPE_FILE)
		return rights & CM_RIGHT_LOOKUP || cell_owns_volume(v, who) ? 0 : EACCES;
	if (!(rights & CM_RIGHT_READ) && !(fresh(v, who) && who->id != AFS_ID_ANONYMOUS))
		return EACCES;
	if (data && !owns(v, who) && !who->admin && !(v->mode & 0500))
		return EACCES;
	return 0;
}

int32_t cell_may_store(const struct cell_vnode *v, const struct cell_caller *who)
{
	if (v->type != AFS_TYPE_FILE)
		return EISDIR;
	if (fresh(v, who))
		return 0;
	if (!(rights_of(v, who) & CM_RIGHT_WRITE) || !(v->mode & 0200 || who->admin))
		return EACCES;
	return 0;
}

int32_t cell_may_store_status(const struct cell_vnode *v, const struct cell_caller *who, struct afs_store_status *ss)
{
	uint32_t rights = rights_of(v, who);
	bool insider = fresh(v, who);

	if (v->type == AFS_TYPE_SYMLINK && ss->mask & AFS_SET_MODE)
		return EINVAL;
	if (who->admin)
		return 0;
	if (v->type == AFS_TYPE_DIR) {
		if (!(rights & (CM_RIGHT_DELETE | CM_RIGHT_INSERT)))
			return EACCES;
	} else if (!insider && !(rights & CM_RIGHT_WRITE)) {
		return EACCES;
	}
	if ((ss->mask & AFS_SET_OWNER && ss->owner != v->owner) || (ss->mask & AFS_SET_GROUP && ss->group != v->group))
		return EPERM;
	if (ss->mask & AFS_SET_MODE && ss->mode & SUID_BITS && !insider)
		return EACCES;
	ss->mode &= MODE_BITS;
	return 0;
}

int32_t cell_may_change(const struct cell_vnode *dir, const struct cell_caller *who, uint32_t right)
{
	return (rights_of(dir, who) & right) == right ? 0 : EACCES;
}

int32_t cell_may_store_acl(const struct cell_vnode *dir, const struct cell_caller *who)
{
	if (who->admin || cell_owns_volume(dir, who))
		return 0;
	return cell_may_change(dir, who, CM_RIGHT_ADMINISTER);
}

int32_t cell_may_fetch_acl(const struct cell_vnode *v, const struct cell_caller *who)
{
	if (who->admin || cell_owns_volume(v, who))
		return 0;
	return cell_may_change(v, who, v->type == AFS_TYPE_FILE ? CM_RIGHT_READ : CM_RIGHT_LOOKUP);
}

int32_t cell_may_lock(const struct cell_vnode *v, const struct cell_caller *who, int32_t type)
{
	uint32_t enough = type == AFS_LOCK_READ ? CM_RIGHT_LOCK | CM_RIGHT_WRITE : CM_RIGHT_WRITE;

	return rights_of(v, who) & enough || fresh(v, who) ? 0 : EACCES;
}
