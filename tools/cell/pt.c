/* The protection service: names, ids, groups. Anybody may look; administrators may change.
 * Runs on worker threads; the tables are users.c's. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/cell/internal.h"

static int32_t NameToID(struct rx_call *call, const struct afs_pt_NameToID_in *in, struct afs_pt_NameToID_out *out,
			void *arg)
{
	struct cell_request *rq = arg;

	(void)call;
	out->ids.items = calloc(in->names.len + 1, sizeof(int32_t));
	if (!out->ids.items)
		return ENOMEM;
	out->ids.len = in->names.len;
	rx_mutex_lock(&rq->cell->lock);
	for (uint32_t i = 0; i < in->names.len; i++) {
		const struct cell_principal *p = cell_principal_by_name(rq->cell, in->names.items[i].name);

		out->ids.items[i] = p ? p->id : AFS_ID_ANONYMOUS;
	}
	rx_mutex_unlock(&rq->cell->lock);
	return 0;
}

static int32_t IDToName(struct rx_call *call, const struct afs_pt_IDToName_in *in, struct afs_pt_IDToName_out *out,
			void *arg)
{
	struct cell_request *rq = arg;

	(void)call;
	out->names.items = calloc(in->ids.len + 1, sizeof(*out->names.items));
	if (!out->names.items)
		return ENOMEM;
	out->names.len = in->ids.len;
	rx_mutex_lock(&rq->cell->lock);
	for (uint32_t i = 0; i < in->ids.len; i++) {
		const struct cell_principal *p = cell_principal_by_id(rq->cell, in->ids.items[i]);
		char *name = out->names.items[i].name;

		if (p)
			snprintf(name, CELL_NAME_MAX, "%s", p->name);
		else
			snprintf(name, CELL_NAME_MAX, "%d", in->ids.items[i]);
	}
	rx_mutex_unlock(&rq->cell->lock);
	return 0;
}

static int32_t copy_ids(const int32_t *ids, unsigned n, uint32_t *len, int32_t **items)
{
	*items = calloc(n + 1, sizeof(int32_t));
	if (!*items)
		return ENOMEM;
	if (n)
		memcpy(*items, ids, n * sizeof(int32_t));
	*len = n;
	return 0;
}

static bool may_see(const struct cell_request *rq, int32_t id)
{
	return rq->caller.admin || rq->caller.id == id;
}

static int32_t GetCPS(struct rx_call *call, const struct afs_pt_GetCPS_in *in, struct afs_pt_GetCPS_out *out, void *arg)
{
	struct cell_request *rq = arg;
	struct cell_caller who;
	int32_t code = 0;

	(void)call;
	rx_mutex_lock(&rq->cell->lock);
	if (!cell_principal_by_id(rq->cell, in->id))
		code = CELL_PT_NOENT;
	else if (!may_see(rq, in->id))
		code = CELL_PT_PERM;
	else
		cell_caller_of_id(rq->cell, in->id, &who);
	rx_mutex_unlock(&rq->cell->lock);
	return code ? code : copy_ids(who.cps, who.ncps, &out->ids.len, &out->ids.items);
}

static void fill(struct cell *cell, const struct cell_principal *p, struct pt_entry *e)
{
	*e = (struct pt_entry){ .flags = p->flags, .id = p->id, .owner = p->owner, .creator = p->creator };
	memcpy(e->name, p->name, sizeof(e->name));
	e->count = (int32_t)p->nmembers;
	for (unsigned i = 0; p->id > 0 && i < cell->nprincipals; i++)
		e->count += cell_is_member(&cell->principals[i], p->id);
	if (p->id > 0)
		e->ngroups = 20;
}

static int32_t ListEntry(struct rx_call *call, const struct afs_pt_ListEntry_in *in, struct afs_pt_ListEntry_out *out,
			 void *arg)
{
	struct cell_request *rq = arg;
	const struct cell_principal *p;

	(void)call;
	rx_mutex_lock(&rq->cell->lock);
	p = cell_principal_by_id(rq->cell, in->id);
	if (p)
		fill(rq->cell, p, &out->entry);
	rx_mutex_unlock(&rq->cell->lock);
	return p ? 0 : CELL_PT_NOENT;
}

/* Members of a group, groups of a user. */
static int32_t ListElements(struct rx_call *call, const struct afs_pt_ListElements_in *in,
			    struct afs_pt_ListElements_out *out, void *arg)
{
	struct cell_request *rq = arg;
	const struct cell_principal *p;
	int32_t groups[CELL_CPS_MAX], code;
	unsigned n = 0;

	(void)call;
	rx_mutex_lock(&rq->cell->lock);
	p = cell_principal_by_id(rq->cell, in->id);
	if (!p) {
		code = CELL_PT_NOENT;
	} else if (!may_see(rq, p->id < 0 ? p->owner : p->id)) {
		code = CELL_PT_PERM;
	} else if (p->id < 0) {
		code = copy_ids(p->members, p->nmembers, &out->ids.len, &out->ids.items);
	} else {
		for (unsigned i = 0; i < rq->cell->nprincipals && n < CELL_CPS_MAX; i++)
			if (cell_is_member(&rq->cell->principals[i], p->id))
				groups[n++] = rq->cell->principals[i].id;
		code = copy_ids(groups, n, &out->ids.len, &out->ids.items);
	}
	rx_mutex_unlock(&rq->cell->lock);
	return code;
}

static int32_t ListEntries(struct rx_call *call, const struct afs_pt_ListEntries_in *in,
			   struct afs_pt_ListEntries_out *out, void *arg)
{
	struct cell_request *rq = arg;
	struct cell *cell = rq->cell;

	(void)call;
	if (!rq->caller.admin)
		return CELL_PT_PERM;
	out->next = -1;
	rx_mutex_lock(&cell->lock);
	out->entries.items = calloc(cell->nprincipals + 1, sizeof(*out->entries.items));
	for (unsigned i = 0; out->entries.items && i < cell->nprincipals; i++) {
		const struct cell_principal *p = &cell->principals[i];

		if (in->flags & (p->id > 0 ? PT_LIST_USERS : PT_LIST_GROUPS))
			fill(cell, p, &out->entries.items[out->entries.len++]);
	}
	rx_mutex_unlock(&cell->lock);
	return out->entries.items ? 0 : ENOMEM;
}

static void largest(struct cell *cell, int32_t *user, int32_t *group)
{
	*user = 0;
	*group = -205;
	for (unsigned i = 0; i < cell->nprincipals; i++) {
		int32_t id = cell->principals[i].id;

		if (id > *user && id != AFS_ID_ANONYMOUS)
			*user = id;
		if (id < *group)
			*group = id;
	}
}

static int32_t ListMax(struct rx_call *call, const struct afs_pt_ListMax_in *in, struct afs_pt_ListMax_out *out,
		       void *arg)
{
	struct cell_request *rq = arg;

	(void)call;
	(void)in;
	rx_mutex_lock(&rq->cell->lock);
	largest(rq->cell, &out->user, &out->group);
	rx_mutex_unlock(&rq->cell->lock);
	return 0;
}

static int32_t IsAMemberOf(struct rx_call *call, const struct afs_pt_IsAMemberOf_in *in,
			   struct afs_pt_IsAMemberOf_out *out, void *arg)
{
	struct cell_request *rq = arg;
	const struct cell_principal *group;

	(void)call;
	rx_mutex_lock(&rq->cell->lock);
	group = cell_principal_by_id(rq->cell, in->group);
	out->flag = in->group == AFS_ID_ANYUSER || (in->group == AFS_ID_AUTHUSER && in->user != AFS_ID_ANONYMOUS) ||
		    (group && cell_is_member(group, in->user));
	rx_mutex_unlock(&rq->cell->lock);
	return group ? 0 : CELL_PT_NOENT;
}

/* ---- changes, by administrators only ---- */

/* Users have no colon in their names; groups are owner:name or system:name. */
static bool good_name(const char *name, bool group)
{
	const char *colon = strchr(name, ':');

	for (const char *c = name; *c; c++)
		if (isspace((unsigned char)*c) || !isprint((unsigned char)*c))
			return false;
	return *name && strlen(name) < CELL_NAME_MAX && (group ? colon && colon != name && colon[1] : !colon);
}

static int32_t add(struct cell_request *rq, const char *name, int32_t id, int32_t owner)
{
	int32_t code = 0;

	if (!rq->caller.admin)
		return CELL_PT_PERM;
	rx_mutex_lock(&rq->cell->lock);
	if (!good_name(name, id < 0))
		code = CELL_PT_BADNAME;
	else if (cell_principal_by_name(rq->cell, name))
		code = CELL_PT_EXIST;
	else if (!cell_principal_add(rq->cell, name, id, owner ? owner : AFS_ID_ADMINISTRATORS))
		code = CELL_PT_IDEXIST;
	cell_note_principals(rq->cell);
	rx_mutex_unlock(&rq->cell->lock);
	return code;
}

static int32_t INewEntry(struct rx_call *call, const struct afs_pt_INewEntry_in *in, struct afs_pt_INewEntry_out *out,
			 void *arg)
{
	(void)call;
	(void)out;
	return add(arg, in->name, in->id, in->owner);
}

static int32_t NewEntry(struct rx_call *call, const struct afs_pt_NewEntry_in *in, struct afs_pt_NewEntry_out *out,
			void *arg)
{
	struct cell_request *rq = arg;
	int32_t user, group;

	(void)call;
	rx_mutex_lock(&rq->cell->lock);
	largest(rq->cell, &user, &group);
	rx_mutex_unlock(&rq->cell->lock);
	out->id = in->flag & PT_NEW_GROUP ? group - 1 : user + 1;
	return add(rq, in->name, out->id, in->owner);
}

static int32_t change_member(struct cell_request *rq, int32_t user, int32_t group_id, bool in)
{
	struct cell_principal *group;
	int32_t code = 0;

	if (!rq->caller.admin)
		return CELL_PT_PERM;
	rx_mutex_lock(&rq->cell->lock);
	group = group_id < 0 ? cell_principal_by_id(rq->cell, group_id) : NULL;
	if (!group || !cell_principal_by_id(rq->cell, user))
		code = CELL_PT_NOENT;
	else if (in && cell_is_member(group, user))
		code = CELL_PT_IDEXIST;
	else if (in && !cell_member_add(group, user))
		code = ENOMEM;
	else if (!in && !cell_member_remove(group, user))
		code = CELL_PT_NOENT;
	cell_note_principals(rq->cell);
	rx_mutex_unlock(&rq->cell->lock);
	return code;
}

static int32_t AddToGroup(struct rx_call *call, const struct afs_pt_AddToGroup_in *in,
			  struct afs_pt_AddToGroup_out *out, void *arg)
{
	(void)call;
	(void)out;
	return change_member(arg, in->user, in->group, true);
}

static int32_t RemoveFromGroup(struct rx_call *call, const struct afs_pt_RemoveFromGroup_in *in,
			       struct afs_pt_RemoveFromGroup_out *out, void *arg)
{
	(void)call;
	(void)out;
	return change_member(arg, in->user, in->group, false);
}

static int32_t Delete(struct rx_call *call, const struct afs_pt_Delete_in *in, struct afs_pt_Delete_out *out, void *arg)
{
	struct cell_request *rq = arg;
	struct cell_principal *p;

	(void)call;
	(void)out;
	if (!rq->caller.admin)
		return CELL_PT_PERM;
	rx_mutex_lock(&rq->cell->lock);
	p = cell_principal_by_id(rq->cell, in->id);
	if (p)
		cell_principal_remove(rq->cell, p);
	cell_note_principals(rq->cell);
	rx_mutex_unlock(&rq->cell->lock);
	return p ? 0 : CELL_PT_NOENT;
}

const struct afs_pt_ops cell_pt_ops = {
	.pt_INewEntry = INewEntry,
	.pt_AddToGroup = AddToGroup,
	.pt_NameToID = NameToID,
	.pt_IDToName = IDToName,
	.pt_Delete = Delete,
	.pt_RemoveFromGroup = RemoveFromGroup,
	.pt_GetCPS = GetCPS,
	.pt_NewEntry = NewEntry,
	.pt_ListMax = ListMax,
	.pt_ListEntry = ListEntry,
	.pt_ListElements = ListElements,
	.pt_IsAMemberOf = IsAMemberOf,
	.pt_ListEntries = ListEntries,
};
