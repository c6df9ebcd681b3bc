/* The volume location service: entries made from the cell's volumes as they are. Reading
 * only; volumes come and go by other ways. Runs on worker threads. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/cell/internal.h"

enum { SITES = 13, OLD_SITES = 8 };

struct site {
	const struct cell_fs *fs;
	uint32_t flags;
};

/* What all forms of an entry say. */
struct entry {
	const char *name;
	struct site sites[SITES];
	int nsites;
	uint32_t volume[3], flags;
};

static void collect(struct cell *cell, const struct cell_volume *rw, struct entry *e)
{
	*e = (struct entry){ .name = rw->name };
	for (const struct cell_volume *v = cell->volumes; v; v = v->next) {
		if (v->rw_id != rw->id || e->nsites == SITES)
			continue;
		e->volume[v->kind] = v->id;
		e->flags |= v->kind == AFS_VOLUME_RW   ? VL_RW_EXISTS
			    : v->kind == AFS_VOLUME_RO ? VL_RO_EXISTS
						       : VL_BACK_EXISTS;
		if (v->kind != AFS_VOLUME_BACKUP) /* which lies where the read-write one does */
			e->sites[e->nsites++] =
				(struct site){ v->fs, v->kind == AFS_VOLUME_RW ? VL_SITE_RW : VL_SITE_RO };
	}
}

/* By any of its three names, or a number. Lock held. */
static int32_t find(struct cell *cell, const char *name, struct entry *e)
{
	static const char *const endings[] = { ".readonly", ".backup" };
	char base[CELL_NAME_MAX];
	const struct cell_volume *v;
	size_t len = strlen(name);

	if (len >= sizeof(base))
		return CELL_VL_BADNAME;
	if (strspn(name, "0123456789") == len) {
		v = cell_volume_find(cell, NULL, (uint32_t)strtoul(name, NULL, 10));
		v = v ? cell_volume_find(cell, NULL, v->rw_id) : NULL;
	} else {
		for (size_t i = 0; i < len; i++)
			if (!isalnum((unsigned char)name[i]) && !strchr(".-_", name[i]))
				return CELL_VL_BADNAME;
		for (size_t i = 0; i < 2; i++) {
			size_t n = strlen(endings[i]);

			if (len > n && !strcmp(name + len - n, endings[i])) {
				len -= n;
				break;
			}
		}
		memcpy(base, name, len);
		base[len] = 0;
		v = cell_volume_by_name(cell, base);
	}
	if (!v)
		return CELL_VL_NOENT;
	collect(cell, v, e);
	return 0;
}

static int32_t find_id(struct cell *cell, uint32_t id, struct entry *e)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", id);
	return find(cell, text, e);
}

static void fill_n(const struct entry *e, struct vl_entry_n *out)
{
	*out = (struct vl_entry_n){ .nservers = e->nsites, .flags = e->flags };
	snprintf(out->name, sizeof(out->name), "%s", e->name);
	memcpy(out->volume, e->volume, sizeof(out->volume));
	for (int i = 0; i < e->nsites; i++) {
		out->server[i] = e->sites[i].fs->ip;
		out->server_flags[i] = e->sites[i].flags;
	}
}

static void fill_old(const struct entry *e, struct vl_entry *out)
{
	*out = (struct vl_entry){ .nservers = e->nsites < OLD_SITES ? e->nsites : OLD_SITES, .flags = e->flags };
	snprintf(out->name, sizeof(out->name), "%s", e->name);
	memcpy(out->volume, e->volume, sizeof(out->volume));
	for (int i = 0; i < out->nservers; i++) {
		out->server[i] = e->sites[i].fs->ip;
		out->server_flags[i] = e->sites[i].flags;
	}
}

static void fill_u(const struct entry *e, struct vl_entry_u *out)
{
	*out = (struct vl_entry_u){ .nservers = e->nsites, .flags = e->flags };
	snprintf(out->name, sizeof(out->name), "%s", e->name);
	memcpy(out->volume, e->volume, sizeof(out->volume));
	for (int i = 0; i < e->nsites; i++) {
		out->server[i] = e->sites[i].fs->uuid;
		out->server_unique[i] = 1;
		out->server_flags[i] = e->sites[i].flags | VL_SITE_UUID;
	}
}

#define LOOK_UP(op, find, key, fill)                                                                                   \
	static int32_t op(struct rx_call *call, const struct afs_vl_##op##_in *in, struct afs_vl_##op##_out *out,      \
			  void *arg)                                                                                   \
	{                                                                                                              \
		struct cell_request *rq = arg;                                                                         \
		struct entry e;                                                                                        \
		int32_t code;                                                                                          \
                                                                                                                       \
		(void)call;                                                                                            \
		cell_begin(rq);                                                                                        \
		code = find(rq->cell, in->key, &e);                                                                    \
		if (code == 0)                                                                                         \
			fill(&e, &out->entry);                                                                         \
		return cell_end(rq, code);                                                                             \
	}
LOOK_UP(GetEntryByName, find, name, fill_old)
LOOK_UP(GetEntryByNameN, find, name, fill_n)
LOOK_UP(GetEntryByNameU, find, name, fill_u)
LOOK_UP(GetEntryByID, find_id, volume, fill_old)
LOOK_UP(GetEntryByIDN, find_id, volume, fill_n)

static bool wanted(const struct entry *e, const struct vl_list_by_attributes *a)
{
	bool here = !(a->mask & 1);

	for (int i = 0; i < e->nsites; i++)
		here |= e->sites[i].fs->ip == a->server;
	if (a->mask & 2 && a->partition != 0)
		return false;
	if (a->mask & 8 && a->volume != e->volume[0] && a->volume != e->volume[1] && a->volume != e->volume[2])
		return false;
	return here;
}

/* All entries that are wanted, malloc'ed; NULL: none. 0 or ENOMEM. Lock held. */
static int32_t list(struct cell *cell, const struct vl_list_by_attributes *a, struct vl_entry_n **items, uint32_t *len)
{
	uint32_t n = 0, all = 0;
	struct entry e;

	for (const struct cell_volume *v = cell->volumes; v; v = v->next)
		all++;
	*items = calloc(all + 1, sizeof(**items));
	if (!*items)
		return ENOMEM;
	for (const struct cell_volume *v = cell->volumes; v; v = v->next) {
		if (v->kind != AFS_VOLUME_RW)
			continue;
		collect(cell, v, &e);
		if (wanted(&e, a))
			fill_n(&e, &(*items)[n++]);
	}
	if (!n) {
		free(*items);
		*items = NULL;
	}
	*len = n;
	return 0;
}

static int32_t ListAttributesN(struct rx_call *call, const struct afs_vl_ListAttributesN_in *in,
			       struct afs_vl_ListAttributesN_out *out, void *arg)
{
	struct cell_request *rq = arg;
	int32_t code;

	(void)call;
	rx_mutex_lock(&rq->cell->lock);
	code = list(rq->cell, &in->attributes, &out->entries.items, &out->entries.len);
	rx_mutex_unlock(&rq->cell->lock);
	out->count = (int32_t)out->entries.len;
	return code;
}

static int32_t ListAttributesN2(struct rx_call *call, const struct afs_vl_ListAttributesN2_in *in,
				struct afs_vl_ListAttributesN2_out *out, void *arg)
{
	struct cell_request *rq = arg;
	int32_t code = 0;

	(void)call;
	rx_mutex_lock(&rq->cell->lock);
	if (in->start == 0)
		code = list(rq->cell, &in->attributes, &out->entries.items, &out->entries.len);
	rx_mutex_unlock(&rq->cell->lock);
	out->count = (int32_t)out->entries.len;
	out->next = -1;
	return code;
}

static int32_t ListEntryN(struct rx_call *call, const struct afs_vl_ListEntryN_in *in,
			  struct afs_vl_ListEntryN_out *out, void *arg)
{
	static const struct vl_list_by_attributes everything;
	struct cell_request *rq = arg;
	struct vl_entry_n *items;
	uint32_t n = 0;
	int32_t code;

	(void)call;
	rx_mutex_lock(&rq->cell->lock);
	code = list(rq->cell, &everything, &items, &n);
	rx_mutex_unlock(&rq->cell->lock);
	if (code)
		return code;
	/* The index of the next one is its place, from 1; 0 is the end. */
	if (in->previous >= 0 && (uint32_t)in->previous < n) {
		out->entry = items[in->previous];
		out->next = in->previous + 1;
		out->count = (int32_t)n - in->previous - 1;
		if (!out->count)
			out->next = 0;
	}
	free(items);
	return 0;
}

static const struct cell_fs *server_of(struct cell *cell, const struct vl_list_addr_by_attributes *a, int32_t *code)
{
	*code = CELL_VL_NOENT;
	if (a->mask != VL_BY_IP && a->mask != VL_BY_INDEX && a->mask != VL_BY_UUID)
		*code = CELL_VL_BADMASK;
	else if (a->mask == VL_BY_INDEX && (a->index < 1 || a->index > 254))
		*code = CELL_VL_INDEXERANGE;
	for (unsigned i = 0; i < cell->nfs; i++) {
		const struct cell_fs *fs = &cell->fs[i];

		if ((a->mask == VL_BY_IP && a->ip == fs->ip) ||
		    (a->mask == VL_BY_INDEX && a->index == (int32_t)i + 1) ||
		    (a->mask == VL_BY_UUID && afs_uuid_equal(&a->uuid, &fs->uuid))) {
			*code = 0;
			return fs;
		}
	}
	return NULL;
}

static int32_t GetAddrsU(struct rx_call *call, const struct afs_vl_GetAddrsU_in *in, struct afs_vl_GetAddrsU_out *out,
			 void *arg)
{
	struct cell_request *rq = arg;
	int32_t code;
	const struct cell_fs *fs = server_of(rq->cell, &in->attributes, &code);

	(void)call;
	if (!fs)
		return code;
	out->addresses.items = malloc(sizeof(uint32_t));
	if (!out->addresses.items)
		return ENOMEM;
	out->addresses.items[0] = fs->ip;
	out->addresses.len = 1;
	out->count = 1;
	out->uuid = fs->uuid;
	out->unique = 1;
	return 0;
}

static int32_t GetAddrs(struct rx_call *call, const struct afs_vl_GetAddrs_in *in, struct afs_vl_GetAddrs_out *out,
			void *arg)
{
	struct cell_request *rq = arg;

	(void)call;
	(void)in;
	out->addresses.items = calloc(rq->cell->nfs, sizeof(uint32_t));
	if (!out->addresses.items)
		return ENOMEM;
	for (unsigned i = 0; i < rq->cell->nfs; i++)
		out->addresses.items[i] = rq->cell->fs[i].ip;
	out->addresses.len = rq->cell->nfs;
	out->count = (int32_t)rq->cell->nfs;
	return 0;
}

static int32_t ProbeServer(struct rx_call *call, const struct afs_vl_ProbeServer_in *in,
			   struct afs_vl_ProbeServer_out *out, void *arg)
{
	(void)call;
	(void)in;
	(void)out;
	(void)arg;
	return 0;
}

const struct afs_vl_ops cell_vl_ops = {
	.vl_GetEntryByID = GetEntryByID,
	.vl_GetEntryByName = GetEntryByName,
	.vl_ProbeServer = ProbeServer,
	.vl_GetAddrs = GetAddrs,
	.vl_GetEntryByIDN = GetEntryByIDN,
	.vl_GetEntryByNameN = GetEntryByNameN,
	.vl_ListEntryN = ListEntryN,
	.vl_ListAttributesN = ListAttributesN,
	.vl_GetEntryByNameU = GetEntryByNameU,
	.vl_GetAddrsU = GetAddrsU,
	.vl_ListAttributesN2 = ListAttributesN2,
};
