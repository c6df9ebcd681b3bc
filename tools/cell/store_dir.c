#include "tools/cell/internal.h"
struct cell_store *cell_store_directory(struct cell *cell, const char *dir, bool *fresh, struct rx_error *err)
{
	(void)cell;
	(void)fresh;
	rx_error_set(err, RX_ORIGIN_ERRNO, 38, 38, "%s", dir);
	return NULL;
}
int cell_store_load(struct cell *cell, struct rx_error *err)
{
	(void)cell;
	(void)err;
	return -1;
}
