/* See conf.h. */
#include "tests/sim/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[64];
static const char *const names[] = { "ThisCell", "CellServDB", "krb5.conf" };
static const char *const texts[] = {
	SIM_CELL "\n",
	">" SIM_CELL "\n10.0.0.1\t#db\n",
	"[libdefaults]\n\tdefault_realm = UMAFS.TEST\n\trdns = false\n\tdns_lookup_kdc = false\n"
	"\tdns_lookup_realm = false\n\tdns_canonicalize_hostname = false\n[realms]\n\tUMAFS.TEST = {\n\t}\n"
	"[domain_realm]\n\t" SIM_CELL " = UMAFS.TEST\n",
};

static char *path_of(unsigned i, char path[128])
{
	snprintf(path, 128, "%s/%s", dir, names[i]);
	return path;
}

static void tidy(void)
{
	char path[128];

	for (unsigned i = 0; i < 3; i++)
		unlink(path_of(i, path));
	rmdir(dir);
}

const char *sim_confdir(void)
{
	char path[128];

	if (*dir)
		return dir;
	snprintf(dir, sizeof(dir), "/tmp/umafs-sim.XXXXXX");
	if (!mkdtemp(dir))
		abort();
	atexit(tidy);
	for (unsigned i = 0; i < 3; i++) {
		FILE *f = fopen(path_of(i, path), "we");

		if (!f || fputs(texts[i], f) < 0 || fclose(f))
			abort();
	}
	setenv("KRB5_CONFIG", path_of(2, path), 1);
	return dir;
}
