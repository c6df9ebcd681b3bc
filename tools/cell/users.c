/* Users and groups, and what an identity amounts to: the protection database's tables.
 * Called by the protection service and, for each call, by serve.c; cell->lock held. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/cell/internal.h"

struct cell_principal *cell_principal_by_id(struct cell *cell, int32_t id)
{
	for (unsigned i = 0; i < cell->nprincipals; i++)
		if (cell->principals[i].id == id)
			return &cell->principals[i];
	return NULL;
}

/* Names are stored in small letters; "user@our.realm" is "user". */
struct cell_principal *cell_principal_by_name(struct cell *cell, const char *name)
{
	char small[CELL_NAME_MAX];
	size_t len = strlen(name);
	const char *at = strchr(name, '@');

	if (at && !strcasecmp(at + 1, cell->name))
		len = (size_t)(at - name);
	if (len >= sizeof(small))
		return NULL;
	for (size_t i = 0; i < len; i++)
		small[i] = (char)tolower((unsigned char)name[i]);
	small[len] = 0;
	for (unsigned i = 0; i < cell->nprincipals; i++)
		if (!strcmp(cell->principals[i].name, small))
			return &cell->principals[i];
	return NULL;
}

struct cell_principal *cell_principal_add(struct cell *cell, const char *name, int32_t id, int32_t owner)
{
	struct cell_principal *all, *p;

	if (id == 0 || strlen(name) >= CELL_NAME_MAX || cell_principal_by_id(cell, id) ||
	    cell_principal_by_name(cell, name))
		return NULL;
	all = realloc(cell->principals, (cell->nprincipals + 1) * sizeof(*all));
	if (!all)
		return NULL;
	cell->principals = all;
	p = &all[cell->nprincipals++];
	*p = (struct cell_principal){ .id = id, .owner = owner, .creator = owner, .flags = id < 0 ? 0x90 : 0x80 };
	for (size_t i = 0; name[i]; i++)
		p->name[i] = (char)tolower((unsigned char)name[i]);
	return p;
}

void cell_principal_remove(struct cell *cell, struct cell_principal *p)
{
	int32_t id = p->id;

	free(p->members);
	*p = cell->principals[--cell->nprincipals];
	for (unsigned i = 0; i < cell->nprincipals; i++)
		cell_member_remove(&cell->principals[i], id);
}

bool cell_is_member(const struct cell_principal *group, int32_t id)
{
	for (unsigned i = 0; i < group->nmembers; i++)
		if (group->members[i] == id)
			return true;
	return false;
}

bool cell_member_add(struct cell_principal *group, int32_t id)
{
	int32_t *members;

	if (cell_is_member(group, id))
		return false;
	members = realloc(group->members, (group->nmembers + 1) * sizeof(*members));
	if (!members)
		return false;
	group->members = members;
	members[group->nmembers++] = id;
	return true;
}

bool cell_member_remove(struct cell_principal *group, int32_t id)
{
	for (unsigned i = 0; i < group->nmembers; i++)
		if (group->members[i] == id) {
			group->members[i] = group->members[--group->nmembers];
			return true;
		}
	return false;
}

static int by_id(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return (x > y) - (x < y);
}

void cell_caller_of_id(struct cell *cell, int32_t id, struct cell_caller *out)
{
	struct cell_principal *p = cell_principal_by_id(cell, id);

	*out = (struct cell_caller){ .id = id };
	if (p && id != AFS_ID_ANONYMOUS) {
		memcpy(out->name, p->name, sizeof(out->name));
		out->expired_until = p->expired_until;
	}
	out->cps[out->ncps++] = id;
	out->cps[out->ncps++] = AFS_ID_ANYUSER;
	if (id != AFS_ID_ANONYMOUS)
		out->cps[out->ncps++] = AFS_ID_AUTHUSER;
	for (unsigned i = 0; i < cell->nprincipals && out->ncps < CELL_CPS_MAX; i++)
		if (cell_is_member(&cell->principals[i], id))
			out->cps[out->ncps++] = cell->principals[i].id;
	for (unsigned i = 0; i < out->ncps; i++)
		out->admin |= out->cps[i] == AFS_ID_ADMINISTRATORS;
	qsort(out->cps, out->ncps, sizeof(out->cps[0]), by_id);
}

void cell_caller_set(struct cell *cell, const char *name, struct cell_caller *out)
{
	struct cell_principal *p = *name ? cell_principal_by_name(cell, name) : NULL;

	cell_caller_of_id(cell, p ? p->id : AFS_ID_ANONYMOUS, out);
}

void cell_principals_free(struct cell *cell)
{
	for (unsigned i = 0; i < cell->nprincipals; i++)
		free(cell->principals[i].members);
	free(cell->principals);
}
