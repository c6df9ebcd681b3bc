/* Names of abort codes, and of remote procedures, as scripts write them. Constant; any thread. */
#ifndef UMAFS_FAULT_CODE_H
#define UMAFS_FAULT_CODE_H

#include <stdbool.h>
#include <stdint.h>

/* A name of the project's error table (VBUSY), a UAE code (UAENOSPC), an errno (ENOSPC)
 * or a number. False: none of them. */
bool fault_code_by_name(const char *name, int32_t *code);
/* True when a procedure of any service matches the name or glob pattern. */
bool fault_rpc_known(const char *pattern);

#endif
