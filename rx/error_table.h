/* The known abort codes of AFS services, for rx/error.c alone. Constant data; any thread. */
#ifndef UMAFS_RX_ERROR_TABLE_H
#define UMAFS_RX_ERROR_TABLE_H

#include <stdint.h>

#include "rx/error.h"

struct rx_error_entry {
	int32_t code;
	enum rx_origin origin;
	int errnum;
	const char *name, *meaning;
};

/* NULL when the code has no entry of its own. */
const struct rx_error_entry *rx_error_lookup(int32_t code);

/* The errno of UAE code base + index; 0 when there is none. */
int rx_error_uae(int64_t index);

#endif
