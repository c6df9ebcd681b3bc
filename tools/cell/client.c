/* The configuration that a client of the cell needs, written into a directory: ThisCell,
 * CellServDB, krb5.conf, tickets. Called after the cell has started. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tools/cell/internal.h"

enum { PATH_SPACE = 4096 };

static int write_file(const char *dir, const char *name, struct rx_error *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int write_file(const char *dir, const char *name, struct rx_error *err, const char *fmt, ...)
{
	char path[PATH_SPACE];
	va_list args;
	FILE *f;
	int bad;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	if (!f)
		return rx_error_errno(err, errno, "cannot write %s", path);
	va_start(args, fmt);
	bad = vfprintf(f, fmt, args) < 0;
	va_end(args);
	bad |= fclose(f) != 0;
	return bad ? rx_error_errno(err, errno, "cannot write %s", path) : 0;
}

static int make_dir(const char *path, mode_t mode, struct rx_error *err)
{
	if (mkdir(path, mode) && errno != EEXIST)
		return rx_error_errno(err, errno, "cannot make the directory %s", path);
	return 0;
}

int cell_write_client(struct cell *cell, const char *dir, int64_t life_s, struct rx_error *err)
{
	struct in_addr db = { .s_addr = htonl(cell->db_ip) };
	char address[INET_ADDRSTRLEN], path[PATH_SPACE];

	inet_ntop(AF_INET, &db, address, sizeof(address));
	snprintf(path, sizeof(path), "%s/ccache", dir);
	if (make_dir(dir, 0755, err) || make_dir(path, 0700, err) ||
	    write_file(dir, "ThisCell", err, "%s\n", cell->name) ||
	    write_file(dir, "CellServDB", err, ">%s\t#embedded cell\n%s\t#%s\n", cell->name, address, address) ||
	    write_file(dir, "krb5.conf", err,
		       "[libdefaults]\n\tdefault_realm = %s\n\trdns = false\n\tdns_lookup_kdc = false\n"
		       "\tdns_lookup_realm = false\n\tdns_canonicalize_hostname = false\n[realms]\n\t%s = {\n\t}\n"
		       "[domain_realm]\n\t%s = %s\n\t.%s = %s\n",
		       cell->realm, cell->realm, cell->name, cell->realm, cell->name, cell->realm))
		return -1;
	for (unsigned i = 0; i < cell->nprincipals; i++) {
		const struct cell_principal *p = &cell->principals[i];

		if (p->id < 0 || p->id == AFS_ID_ANONYMOUS)
			continue;
		snprintf(path, sizeof(path), "%s/ccache/%s", dir, p->name);
		if (cell_write_ticket(cell, p->name, path, life_s, err))
			return -1;
	}
	return 0;
}
