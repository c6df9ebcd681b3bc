/* Volumes and where they are: VLDB entries with the times they may be believed, the
 * members of a family, and the sites to use. Called by cm/op.c, cm/walk.c and cm/attr.c
 * on any thread; asks the VLDB anonymously, without locks held. Tables are under
 * cm->lock and live until the instance goes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cm/internal.h"
#include "rx/maybe.h"

enum {
	TTL_RW_S = 3600,
	TTL_RO_S = 7200,
	TTL_RELEASING_S = 60,
	TTL_NO_SITES_S = 30,
};

struct site {
	bool by_uuid;
	struct afs_uuid uuid;
	int32_t unique;
	uint32_t ip, partition, flags;
};

struct entry {
	char name[80];
	uint32_t ids[3], flags;
	unsigned nsites;
	struct site sites[CM_SITES];
};

static unsigned site_count(int32_t n)
{
	return n < 0 ? 0 : n > CM_SITES ? CM_SITES : (unsigned)n;
}

static void set_ids(struct entry *e, const uint32_t ids[3], uint32_t flags)
{
	e->flags = flags;
	e->ids[CM_VOL_RW] = flags & VL_RW_EXISTS ? ids[AFS_VOLUME_RW] : 0;
	e->ids[CM_VOL_RO] = flags & VL_RO_EXISTS ? ids[AFS_VOLUME_RO] : 0;
	e->ids[CM_VOL_BK] = flags & VL_BACK_EXISTS ? ids[AFS_VOLUME_BACKUP] : 0;
}

static int query_u(struct cm_op *op, const char *name, struct entry *e)
{
	struct afs_vl_GetEntryByNameU_in in = { .name = (char *)name };
	struct afs_vl_GetEntryByNameU_out out;

	if (afs_vl_GetEntryByNameU(&op->rpc, &in, &out, &op->error))
		return -1;
	snprintf(e->name, sizeof(e->name), "%s", out.entry.name);
	set_ids(e, out.entry.volume, out.entry.flags);
	e->nsites = site_count(out.entry.nservers);
	for (unsigned i = 0; i < e->nsites; i++) {
		struct site *s = &e->sites[i];

		s->flags = out.entry.server_flags[i];
		s->partition = (uint32_t)out.entry.partition[i];
		s->by_uuid = s->flags & VL_SITE_UUID;
		s->uuid = out.entry.server[i];
		s->unique = out.entry.server_unique[i];
		s->ip = out.entry.server[i].time_low;
	}
	afs_vl_GetEntryByNameU_free(&out);
	return 0;
}

static int query_n(struct cm_op *op, const char *name, struct entry *e)
{
	struct afs_vl_GetEntryByNameN_in in = { .name = (char *)name };
	struct afs_vl_GetEntryByNameN_out out;

	if (afs_vl_GetEntryByNameN(&op->rpc, &in, &out, &op->error))
		return -1;
	snprintf(e->name, sizeof(e->name), "%s", out.entry.name);
	set_ids(e, out.entry.volume, out.entry.flags);
	e->nsites = site_count(out.entry.nservers);
	for (unsigned i = 0; i < e->nsites; i++) {
		struct site *s = &e->sites[i];

		s->flags = out.entry.server_flags[i];
		s->partition = (uint32_t)out.entry.partition[i];
		s->ip = out.entry.server[i];
	}
	afs_vl_GetEntryByNameN_free(&out);
	return 0;
}

/* A name goes into messages and paths of others: nobody gets to see what no volume is called. */
static int check_name(struct cm_cell *cell, const char *asked, const struct entry *e, struct rx_error *err)
{
	if (e->name[0] &&
	    e->name[strspn(e->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")] == 0)
		return 0;
	return rx_error_set(err, RX_ORIGIN_VL, RX_PROTOCOL_ERROR, EPROTO,
			    "the entry of volume %s in cell %s has a name that no volume can have", asked, cell->name);
}

static int query(struct cm_cell *cell, const char *name, struct entry *e, struct rx_error *err)
{
	struct cm_op op;
	int rc;

	memset(e, 0, sizeof(*e));
	cm_op_begin_db(&op, cell, AFS_SERVICE_VL, "GetEntryByName");
	while (cm_op_next(&op)) {
		rc = op.server->no_name_u ? query_n(&op, name, e) : query_u(&op, name, e);
		if (rc && !op.server->no_name_u && op.error.code == RXGEN_OPCODE) {
			op.server->no_name_u = true;
			rc = query_n(&op, name, e);
		}
		cm_op_result(&op, rc);
	}
	if (cm_op_end(&op, err)) {
		if (err && err->origin == RX_ORIGIN_VL && err->errnum != ETIMEDOUT) {
			err->errnum = ENODEV;
			rx_error_prefix(err, "volume %s of cell %s", name, cell->name);
		}
		return -1;
	}
	return check_name(cell, name, e, err);
}

static int ask_addrs(struct cm_cell *cell, struct cm_server *s, const struct site *site, struct rx_error *err)
{
	struct afs_vl_GetAddrsU_in in = { .attributes = { .mask = VL_BY_UUID, .uuid = site->uuid } };
	struct afs_vl_GetAddrsU_out out;
	struct rx_addr addrs[CM_ADDRS];
	unsigned n = 0;
	struct cm_op op;

	cm_op_begin_db(&op, cell, AFS_SERVICE_VL, "GetAddrsU");
	while (cm_op_next(&op))
		cm_op_result(&op, afs_vl_GetAddrsU(&op.rpc, &in, &out, &op.error));
	if (cm_op_end(&op, err))
		return -1;
	for (uint32_t i = 0; i < out.addresses.len && n < CM_ADDRS; i++) {
		if (out.addresses.items[i] != 0)
			addrs[n++] = rx_addr_ipv4(out.addresses.items[i], AFS_PORT_FS);
	}
	if (n)
		cm_server_set_addrs(s, out.unique, addrs, n);
	afs_vl_GetAddrsU_free(&out);
	return n ? 0
		 : rx_error_set(err, RX_ORIGIN_ERRNO, EHOSTUNREACH, EHOSTUNREACH,
				"the VLDB of cell %s knows no address of a server", cell->name);
}

static struct cm_server *site_server(struct cm_cell *cell, const struct site *site, struct rx_error *err)
{
	struct cm_server *s;
	struct rx_addr addr;
	bool ask = true, known;

	if (!site->by_uuid) {
		addr = rx_addr_ipv4(site->ip, AFS_PORT_FS);
		s = cm_server_by_addr(cell, &addr, false);
	} else {
		s = cm_server_by_uuid(cell, &site->uuid);
	}
	if (!s) {
		rx_error_errno(err, ENOMEM, "a server");
		return NULL;
	}
	if (!site->by_uuid)
		return s;
	/* Anew, too, when it answers at none of those it is thought to have. */
	rx_mutex_lock(&cell->cm->lock);
	for (unsigned i = 0; i < s->naddrs; i++)
		ask = ask && s->addrs[i].failures != 0;
	known = s->naddrs != 0 && s->unique == site->unique;
	rx_mutex_unlock(&cell->cm->lock);
	if ((ask || !known) && ask_addrs(cell, s, site, err) && !known)
		return NULL;
	return s;
}

/* Puts the answer into the family. True: ids or sites are not what they were. */
static bool family_fill(struct cm_family *f, const struct entry *e, struct cm_server *const servers[CM_SITES])
{
	struct cm *cm = f->cell->cm;
	bool changed = false;
	unsigned n = 0;

	rx_mutex_lock(&cm->lock);
	if (memcmp(f->ids, e->ids, sizeof(f->ids)) != 0)
		changed = true;
	memcpy(f->ids, e->ids, sizeof(f->ids));
	snprintf(f->name, sizeof(f->name), "%s", e->name);
	for (unsigned i = 0; i < e->nsites; i++) {
		struct cm_family_site *site = &f->sites[n];

		if (!servers[i])
			continue;
		if (n >= f->nsites || site->server != servers[i] || site->flags != e->sites[i].flags)
			changed = true;
		site->server = servers[i];
		site->flags = e->sites[i].flags;
		site->partition = e->sites[i].partition;
		n++;
	}
	if (n != f->nsites)
		changed = true;
	f->nsites = n;
	f->loaded_us = rx_now_us(cm->env);
	if (changed)
		f->lost_us = 0;
	rx_mutex_unlock(&cm->lock);
	return changed;
}

static int load(struct cm_cell *cell, const char *name, struct entry *e, struct cm_server *servers[CM_SITES],
		struct rx_error *err)
{
	struct rx_error site_err;
	unsigned good = 0;

	if (query(cell, name, e, err))
		return -1;
	rx_error_clear(&site_err);
	for (unsigned i = 0; i < e->nsites; i++) {
		servers[i] = site_server(cell, &e->sites[i], &site_err);
		if (servers[i])
			good++;
	}
	if (good == 0 && e->nsites > 0) {
		if (err)
			*err = site_err;
		rx_error_prefix(err, "finding the servers of volume %s in cell %s", name, cell->name);
		return -1;
	}
	return 0;
}

static struct cm_family *find_family(struct cm_cell *cell, const char *name)
{
	uint32_t id = strspn(name, "0123456789") == strlen(name) ? (uint32_t)strtoul(name, NULL, 10) : 0;

	for (struct cm_family *f = cell->families; f; f = f->next) {
		if (id != 0 ? (f->ids[0] == id || f->ids[1] == id || f->ids[2] == id) : strcmp(f->name, name) == 0)
			return f;
	}
	return NULL;
}

static bool site_serves(uint32_t flags, enum cm_volume_kind kind)
{
	if (flags & VL_SITE_DONTUSE)
		return false;
	switch (kind) {
	case CM_VOL_RO:
		return flags & VL_SITE_RO;
	case CM_VOL_BK: /* lies where the read-write volume does */
	case CM_VOL_RW:
		return flags & VL_SITE_RW;
	case CM_VOL_NONE:
		break;
	}
	return false;
}

/* Seconds that the entry may be believed. */
static unsigned time_to_live(const struct cm_family *f)
{
	bool releasing = false, usable = false;

	for (unsigned i = 0; i < f->nsites; i++) {
		releasing |= (f->sites[i].flags & (VL_SITE_NEWREP | VL_SITE_DONTUSE)) != 0;
		for (enum cm_volume_kind k = CM_VOL_RW; k <= CM_VOL_BK; k++)
			usable |= f->ids[k] && site_serves(f->sites[i].flags, k);
	}
	if (!usable)
		return TTL_NO_SITES_S;
	return releasing ? TTL_RELEASING_S : f->ids[CM_VOL_RO] ? TTL_RO_S : TTL_RW_S;
}

static bool is_fresh(struct cm_family *f)
{
	struct cm *cm = f->cell->cm;

	return f->loaded_us != 0 && rx_now_us(cm->env) - f->loaded_us < time_to_live(f) * (uint64_t)1000000 &&
	       !UMAFS_MAYBE(cm->env, VOLUME_ASKED);
}

int cm_family_get(struct cm_cell *cell, const char *name, struct cm_family **out, struct rx_error *err)
{
	struct cm *cm = cell->cm;
	struct cm_server *servers[CM_SITES] = { NULL };
	struct cm_family *f, *made;
	struct entry e;
	bool fresh;

	rx_mutex_lock(&cm->lock);
	f = find_family(cell, name);
	fresh = f && is_fresh(f);
	rx_mutex_unlock(&cm->lock);
	*out = f;
	if (fresh)
		return 0;
	if (load(cell, name, &e, servers, err))
		return -1;
	made = calloc(1, sizeof(*made));
	if (!made)
		return rx_error_errno(err, ENOMEM, "looking up volume %s", name);
	rx_mutex_lock(&cm->lock);
	/* The entry may be known by another name or number already. */
	f = find_family(cell, e.name);
	if (!f) {
		f = made;
		made = NULL;
		f->cell = cell;
		f->next = cell->families;
		cell->families = f;
		snprintf(f->name, sizeof(f->name), "%s", e.name);
		memcpy(f->ids, e.ids, sizeof(f->ids));
	}
	rx_mutex_unlock(&cm->lock);
	free(made);
	family_fill(f, &e, servers);
	*out = f;
	return 0;
}

int cm_family_refresh(struct cm_family *f, bool *changed, struct rx_error *err)
{
	struct cm_server *servers[CM_SITES] = { NULL };
	struct entry e;
	uint32_t ids[3];
	char name[80];

	*changed = false;
	cm_family_ids(f, ids, name);
	if (load(f->cell, name, &e, servers, err))
		return -1;
	*changed = family_fill(f, &e, servers);
	return 0;
}

void cm_family_ids(struct cm_family *f, uint32_t ids[3], char name[80])
{
	rx_mutex_lock(&f->cell->cm->lock);
	memcpy(ids, f->ids, sizeof(f->ids));
	snprintf(name, 80, "%s", f->name);
	rx_mutex_unlock(&f->cell->cm->lock);
}

struct cm_volume *cm_volume_get(struct cm_family *f, enum cm_volume_kind kind)
{
	struct cm *cm = f->cell->cm;
	struct cm_volume *v;
	uint32_t id;

	rx_mutex_lock(&cm->lock);
	id = f->ids[kind];
	for (v = cm->volumes; v; v = v->next) {
		if (v->id == id && v->cell == f->cell)
			break;
	}
	if (!v && id != 0 && (v = calloc(1, sizeof(*v)))) {
		v->cell = f->cell;
		v->id = id;
		v->kind = kind;
		v->family = f;
		v->next = cm->volumes;
		cm->volumes = v;
	}
	rx_mutex_unlock(&cm->lock);
	return v;
}

int cm_volume_by_id(struct cm_cell *cell, uint32_t id, struct cm_volume **out, struct rx_error *err)
{
	struct cm_family *f;
	char name[16];

	*out = NULL;
	snprintf(name, sizeof(name), "%u", id);
	if (cm_family_get(cell, name, &f, err))
		return -1;
	for (enum cm_volume_kind k = CM_VOL_RW; k <= CM_VOL_BK; k++) {
		if (f->ids[k] == id)
			*out = cm_volume_get(f, k);
	}
	if (!*out)
		return rx_error_set(err, RX_ORIGIN_ERRNO, ENODEV, ENODEV, "cell %s has no volume %u", cell->name, id);
	return 0;
}

/* Sites of the new release only, once half of them have it; else the others only. */
static bool use_new_release(const struct cm_family *f)
{
	unsigned usable = 0, fresh = 0;

	for (unsigned i = 0; i < f->nsites; i++) {
		if (!site_serves(f->sites[i].flags, CM_VOL_RO))
			continue;
		usable++;
		fresh += (f->sites[i].flags & VL_SITE_NEWREP) != 0;
	}
	return fresh > 0 && fresh >= usable / 2;
}

int cm_volume_sites(struct cm_volume *vol, struct cm_server *out[CM_SITES], unsigned *n, struct rx_error *err)
{
	struct cm_family *f = vol->family;
	struct cm *cm = vol->cell->cm;
	bool fresh, changed, new_release;

	rx_mutex_lock(&cm->lock);
	fresh = is_fresh(f);
	rx_mutex_unlock(&cm->lock);
	if (!fresh && cm_family_refresh(f, &changed, err) && f->nsites == 0)
		return -1;
	*n = 0;
	rx_mutex_lock(&cm->lock);
	new_release = use_new_release(f);
	for (unsigned i = 0; i < f->nsites; i++) {
		const struct cm_family_site *s = &f->sites[i];

		if (!site_serves(s->flags, vol->kind))
			continue;
		if (vol->kind == CM_VOL_RO && ((s->flags & VL_SITE_NEWREP) != 0) != new_release)
			continue;
		out[(*n)++] = s->server;
		/* Promises are at the site that answered last: stay there. */
		if (s->server == vol->last && *n > 1) {
			out[*n - 1] = out[0];
			out[0] = s->server;
		}
	}
	rx_mutex_unlock(&cm->lock);
	if (*n == 0)
		return rx_error_set(err, RX_ORIGIN_ERRNO, ENODEV, ENODEV,
				    "volume %s of cell %s is on no server now: try again, or ask its administrator",
				    f->name, vol->cell->name);
	return 0;
}

void cm_volume_saw(struct cm_volume *vol, struct cm_server *s, uint32_t created)
{
	struct cm *cm = vol->cell->cm;

	rx_mutex_lock(&cm->lock);
	vol->last = s;
	if (created != 0 && vol->created != created) {
		/* Released, restored or dumped anew: no promise of before speaks for it. */
		if (vol->created != 0)
			vol->gen++;
		vol->created = created;
	}
	rx_mutex_unlock(&cm->lock);
}

void cm_volumes_destroy(struct cm *cm)
{
	for (struct cm_cell *c = cm->cells; c; c = c->next) {
		while (c->families) {
			struct cm_family *f = c->families;

			c->families = f->next;
			free(f);
		}
	}
	while (cm->volumes) {
		struct cm_volume *v = cm->volumes;

		cm->volumes = v->next;
		free(v);
	}
}
