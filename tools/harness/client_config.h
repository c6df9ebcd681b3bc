/* How a client of a scenario is: what stands behind `client NAME`. Read by the script's
 * parser, to find mistakes, and by the client itself, to follow. */
#ifndef UMAFS_HARNESS_CLIENT_CONFIG_H
#define UMAFS_HARNESS_CLIENT_CONFIG_H

#include "tools/fault/lexer.h"
#include "vfs-emu/vfs.h"

struct harness_client_config {
	unsigned dirty_age_ms;        /* UINT_MAX: stored only when asked for */
	unsigned conflict_timeout_ms; /* 0: the library's own */
	unsigned dead_time_s, retry_limit_s;
	int level;
	enum vfs_mode mode;
	uint16_t port;
};

/* Takes all options up to the end of the line. */
int harness_client_config_parse(struct fault_lexer *lx, struct harness_client_config *out);

#endif
