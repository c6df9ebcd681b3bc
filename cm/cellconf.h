/* The cell configuration on this machine: ThisCell, CellServDB and CellServDB.d. Read
 * once into a list that never changes; whoever wants news asks cm_cellconf_changed now
 * and then (or on SIGHUP) and reads again. Called by the cell table of cm/ and by the
 * tools. Reads files and environment; no other state, any thread. */
#ifndef UMAFS_CM_CELLCONF_H
#define UMAFS_CM_CELLCONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rx/error.h"

struct cm_cellconf_server {
	uint32_t ip; /* host byte order */
	bool clone;  /* [a.b.c.d]: answers reads, never takes writes */
	char *name;  /* host name, or the address as text */
};

struct cm_cellconf_cell {
	char *name;
	char *linked;    /* NULL: none */
	size_t nservers; /* 0 is legal: ask DNS */
	struct cm_cellconf_server *servers;
};

struct cm_cellconf_file; /* what was read, to see whether it changed */

struct cm_cellconf {
	char *dir;
	char *local; /* from ThisCell; NULL if there is none (only with an explicit directory) */
	size_t ncells;
	struct cm_cellconf_cell *cells;
	size_t nfiles;
	struct cm_cellconf_file *files;
};

/* A line that was skipped or deserves attention; line 0: the whole file. */
typedef void cm_cellconf_warn(void *arg, const char *file, unsigned line, const char *message);

/* dir NULL: $UMAFS_CONF, ~/.config/umafs, /etc/umafs, /etc/openafs, /usr/vice/etc; the
 * first with a cell name in ThisCell. ENOENT when there is none. `warn` may be NULL. */
struct cm_cellconf *cm_cellconf_read(const char *dir, cm_cellconf_warn *warn, void *arg, struct rx_error *err);
void cm_cellconf_free(struct cm_cellconf *conf);

/* The cell of this name, or NULL. Case does not matter, as in DNS. */
const struct cm_cellconf_cell *cm_cellconf_find(const struct cm_cellconf *conf, const char *name);

/* $AFSCELL if set, else ThisCell; NULL: neither. */
const char *cm_cellconf_local(const struct cm_cellconf *conf);

/* A file came, went, or has another time or size. */
bool cm_cellconf_changed(const struct cm_cellconf *conf);

#endif
