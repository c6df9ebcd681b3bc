/* What setacl does to an access list, as text in and text out. Pure. */
#ifndef UMAFS_TOOLS_ACL_EDIT_H
#define UMAFS_TOOLS_ACL_EDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rx/error.h"

enum { ACL_EDIT_TEXT = 1024 };

/* pairs: USER RIGHTS USER RIGHTS ..., npairs of them. clear: drop all entries of both
 * lists first. 0, or -1 with err naming what is wrong. */
int acl_edit(const char *text, const char *const *pairs, int npairs, bool negative, bool clear, char out[ACL_EDIT_TEXT],
	     struct rx_error *err);

/* Calls cb for every entry, the positive ones first. */
typedef void acl_entry_fn(void *arg, bool negative, const char *name, uint32_t rights);
int acl_each(const char *text, acl_entry_fn *cb, void *arg, struct rx_error *err);

#endif
