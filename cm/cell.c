/* Cells: from the configuration files, else from the DNS (cm/dns.c), each with its
 * database servers. Also the one question this room asks a protection server. Called by
 * cm/cm.c at start and by cm/walk.c and cm/token.c on any thread; a cell lives until the
 * instance goes. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cm/cellconf.h"
#include "cm/dns.h"
#include "cm/internal.h"

static void lower(char *out, size_t cap, const char *name)
{
	size_t n = 0;

	for (; name[n] && n + 1 < cap; n++)
		out[n] = (char)tolower((unsigned char)name[n]);
	out[n] = '\0';
}

static bool is_name(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n >= 256 || name[0] == '.')
		return false;
	for (; *name; name++) {
		if (!isprint((unsigned char)*name) || *name == '/' || *name == '@' || *name == ' ')
			return false;
	}
	return true;
}

static struct cm_cell *find(struct cm *cm, const char *name)
{
	for (struct cm_cell *c = cm->cells; c; c = c->next) {
		if (strcmp(c->name, name) == 0)
			return c;
	}
	return NULL;
}

/* Puts a ready cell into the table; if there is one of that name by now, that wins. */
static struct cm_cell *add(struct cm *cm, struct cm_cell *fresh)
{
	struct cm_cell *c, **p;

	rx_mutex_lock(&cm->lock);
	c = find(cm, fresh->name);
	if (!c) {
		c = fresh;
		fresh = NULL;
		c->number = ++cm->ncells;
		for (p = &cm->cells; *p; p = &(*p)->next)
			;
		*p = c;
	}
	rx_mutex_unlock(&cm->lock);
	free(fresh);
	return c;
}

static struct cm_cell *cell_new(struct cm *cm, const char *name)
{
	struct cm_cell *c = calloc(1, sizeof(*c));

	if (c) {
		c->cm = cm;
		lower(c->name, sizeof(c->name), name);
	}
	return c;
}

/* False: no memory. */
static bool add_server(struct cm_cell *c, const struct rx_addr *addr, const char *host)
{
	struct cm_server *s;

	if (c->nservers == CM_CELL_SERVERS)
		return true;
	s = cm_server_by_addr(c, addr, true);
	if (!s)
		return false;
	if (c->nservers == 0)
		snprintf(c->host, sizeof(c->host), "%s", host ? host : "");
	c->servers[c->nservers++] = s;
	return true;
}

static struct cm_cell *cell_from_conf(struct cm *cm, const struct cm_cellconf_cell *conf)
{
	struct cm_cell *c = cell_new(cm, conf->name);

	if (!c)
		return NULL;
	c->listed = true;
	if (conf->linked)
		lower(c->linked, sizeof(c->linked), conf->linked);
	for (size_t i = 0; i < conf->nservers; i++) {
		struct rx_addr addr = rx_addr_ipv4(conf->servers[i].ip, AFS_PORT_VL);

		if (!add_server(c, &addr, conf->servers[i].name)) {
			free(c);
			return NULL;
		}
	}
	return c;
}

static void fill_from_dns(struct cm_cell *c)
{
	struct cm_dns_server servers[CM_CELL_SERVERS];
	unsigned n = cm_dns_cell(c->name, servers, CM_CELL_SERVERS);

	for (unsigned i = 0; i < n; i++)
		add_server(c, &servers[i].addr, servers[i].host);
}

struct cm_cell *cm_cell_find(struct cm *cm, const char *name, struct rx_error *err)
{
	struct cm_cell *c;
	char low[256];

	if (!is_name(name)) {
		rx_error_set(err, RX_ORIGIN_ERRNO, ENOENT, ENOENT, "\"%.100s\" cannot be the name of a cell", name);
		return NULL;
	}
	lower(low, sizeof(low), name);
	rx_mutex_lock(&cm->lock);
	c = find(cm, low);
	rx_mutex_unlock(&cm->lock);
	if (c)
		return c;
	c = cm_dns_may_ask(low) ? cell_new(cm, low) : NULL;
	if (c)
		fill_from_dns(c);
	if (!c || c->nservers == 0) {
		free(c);
		rx_error_set(err, RX_ORIGIN_ERRNO, ENOENT, ENOENT,
			     "cell %.100s is not known: add it to CellServDB, or check its DNS records", low);
		return NULL;
	}
	return add(cm, c);
}

struct cm_cell *cm_cell_nth(struct cm *cm, unsigned n)
{
	struct cm_cell *c;

	rx_mutex_lock(&cm->lock);
	for (c = cm->cells; c && n > 0; c = c->next)
		n--;
	rx_mutex_unlock(&cm->lock);
	return c;
}

bool cm_cells_same(const struct cm_cell *a, const struct cm_cell *b)
{
	return a == b || strcmp(a->linked, b->name) == 0 || strcmp(b->linked, a->name) == 0;
}

int cm_cells_load(struct cm *cm, const struct cm_config *config, struct rx_error *err)
{
	struct cm_cellconf *conf = cm_cellconf_read(config->confdir, NULL, NULL, err);
	const char *local;

	if (!conf)
		return -1;
	for (size_t i = 0; i < conf->ncells; i++) {
		struct cm_cell *c = cell_from_conf(cm, &conf->cells[i]);

		if (!c) {
			cm_cellconf_free(conf);
			return rx_error_errno(err, ENOMEM, "reading the list of cells");
		}
		/* A cell without servers is legal: they are in the DNS. */
		if (c->nservers == 0)
			fill_from_dns(c);
		add(cm, c);
	}
	local = config->cell ? config->cell : cm_cellconf_local(conf);
	if (local)
		cm->local = cm_cell_find(cm, local, err);
	else
		rx_error_set(err, RX_ORIGIN_ERRNO, ENOENT, ENOENT, "%s has no ThisCell: write the cell's name into it",
			     conf->dir);
	cm_cellconf_free(conf);
	return cm->local ? 0 : -1;
}

void cm_cells_destroy(struct cm *cm)
{
	while (cm->cells) {
		struct cm_cell *c = cm->cells;

		cm->cells = c->next;
		free(c);
	}
}

int cm_pt_name_to_id(struct cm_cell *cell, const char *name, int32_t *id)
{
	struct pt_name wire;
	struct afs_pt_NameToID_in in = { .names = { .len = 1, .items = &wire } };
	struct afs_pt_NameToID_out out;
	struct cm_op op;
	int rc = -1;

	memset(&wire, 0, sizeof(wire));
	lower(wire.name, sizeof(wire.name), name);
	cm_op_begin_db(&op, cell, AFS_SERVICE_PT, "NameToID");
	while (cm_op_next(&op))
		cm_op_result(&op, afs_pt_NameToID(&op.rpc, &in, &out, &op.error));
	if (cm_op_end(&op, NULL))
		return -1;
	if (out.ids.len == 1) {
		*id = out.ids.items[0];
		rc = 0;
	}
	afs_pt_NameToID_free(&out);
	return rc;
}
