/* In which order rules fired, out of the traces of cell and injector. Reads files only. */
#ifndef UMAFS_HARNESS_ORDER_H
#define UMAFS_HARNESS_ORDER_H

#include "tools/fault/rule.h"

/* The firings of these rules (NULL at the end), runs of one and the same taken as one,
 * must be what `rules` says. Missing files have no firings. -1 with a malloc'ed sentence. */
int harness_order_check(const char *const traces[FAULT_SIDES], char *const *rules, char **why);

#endif
