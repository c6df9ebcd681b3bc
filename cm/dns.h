/* Database servers of cells that no file lists, from the DNS: SRV records, else AFSDB.
 * Called by cm/cell.c on the thread that walks there; blocks on the resolver. */
#ifndef UMAFS_CM_DNS_H
#define UMAFS_CM_DNS_H

#include <stdbool.h>

#include "rx/rx.h"

struct cm_dns_server {
	struct rx_addr addr;
	char host[256];
	unsigned rank; /* lower is better */
};

/* False for names that no cell has and that shells and desktops like to look up. */
bool cm_dns_may_ask(const char *cell);
/* How many were found. */
unsigned cm_dns_cell(const char *cell, struct cm_dns_server *out, unsigned max);

#endif
