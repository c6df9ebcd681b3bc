/* Looks up abort codes by name and checks names of procedures. The error table is
 * searched by number, so the numbers that codes can have are gone through; scripts are
 * read once. Pure functions. */
#include "tools/fault/code.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "rx/error_table.h"

enum { COM_ERR_TABLE = 256, UAE_BASE = 49733376, ERRNO_END = 134 };

/* Small codes of RX and AFS, and the tables of 256 codes of ubik, pts, vl, rxkad, volumes and ASN.1. */
static const struct {
	int32_t first, count;
} spans[] = {
	{ -1024, 1536 },
	{ 5376, COM_ERR_TABLE },
	{ 267264, COM_ERR_TABLE },
	{ 363520, COM_ERR_TABLE },
	{ 19270400, COM_ERR_TABLE },
	{ 1492325120, COM_ERR_TABLE },
	{ 1859794432, COM_ERR_TABLE },
};

static bool in_table(const char *name, int32_t *code)
{
	for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
		for (int32_t n = 0; n < spans[i].count; n++) {
			const struct rx_error_entry *e = rx_error_lookup(spans[i].first + n);

			if (e && !strcmp(e->name, name)) {
				*code = e->code;
				return true;
			}
		}
	}
	return false;
}

/* An errno's own name as number; 0: no such. */
static int errno_by_name(const char *name)
{
	for (int n = 1; n < ERRNO_END; n++) {
		const char *s = strerrorname_np(n);

		if (s && !strcmp(s, name))
			return n;
	}
	return 0;
}

static bool is_uae(const char *name, int32_t *code)
{
	int wanted = strncmp(name, "UA", 2) ? 0 : errno_by_name(name + 2);

	for (int i = 0; wanted && i < COM_ERR_TABLE; i++) {
		if (rx_error_uae(i) == wanted) {
			*code = UAE_BASE + i;
			return true;
		}
	}
	return false;
}

bool fault_code_by_name(const char *name, int32_t *code)
{
	char *end;
	long long n;

	if (in_table(name, code) || is_uae(name, code))
		return true;
	*code = errno_by_name(name);
	if (*code)
		return true;
	errno = 0;
	n = strtoll(name, &end, 10);
	if (end == name || *end || errno || n < INT32_MIN || n > INT32_MAX || !n)
		return false;
	*code = (int32_t)n;
	return true;
}

bool fault_rpc_known(const char *pattern)
{
#define AFS_RPC(name, opcode, how, in, out) #name,
	static const char *const names[] = {
#include "cm/afs_fs.def"
#include "cm/afs_cb.def"
#include "cm/afs_vl.def"
#include "cm/afs_pt.def"
#include "cm/afs_vol.def"
	};
#undef AFS_RPC

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (!fnmatch(pattern, names[i], 0))
			return true;
	}
	return false;
}
