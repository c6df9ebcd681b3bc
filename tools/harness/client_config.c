/* Reads a client's options: see client_config.h. */
#include "tools/harness/client_config.h"

#include <limits.h>
#include <string.h>

#include "rx/security.h"

static int choice(struct fault_lexer *lx, const char *expected, const char *const words[], int *out)
{
	if (fault_lexer_next(lx))
		return -1;
	for (int i = 0; words[i]; i++) {
		if (!strcmp(words[i], lx->word)) {
			*out = i;
			return 0;
		}
	}
	return fault_lexer_expected(lx, "%s", expected);
}

static int duration(struct fault_lexer *lx, uint64_t unit_us, unsigned *out)
{
	uint64_t us;

	if (fault_lexer_duration(lx, &us))
		return -1;
	us = (us + unit_us - 1) / unit_us;
	*out = us ? us < UINT_MAX ? (unsigned)us : UINT_MAX - 1 : 1;
	return 0;
}

static int option(struct fault_lexer *lx, struct harness_client_config *c)
{
	static const char *const levels[] = { "clear", "auth", "crypt", NULL }, *const modes[] = { "auto", "basic",
												   "full", NULL };
	_Static_assert(RXKAD_CLEAR == 0 && RXKAD_AUTH == 1 && RXKAD_CRYPT == 2, "levels are in order");
	_Static_assert(VFS_MODE_AUTO == 0 && VFS_MODE_BASIC == 1 && VFS_MODE_FULL == 2, "modes are in order");
	uint64_t port;
	int n;

	if (fault_lexer_accept(lx, "dirty-age"))
		return duration(lx, 1000, &c->dirty_age_ms);
	if (fault_lexer_accept(lx, "conflict-timeout"))
		return duration(lx, 1000, &c->conflict_timeout_ms);
	if (fault_lexer_accept(lx, "dead-time"))
		return duration(lx, 1000000, &c->dead_time_s);
	if (fault_lexer_accept(lx, "retry-limit"))
		return duration(lx, 1000000, &c->retry_limit_s);
	if (fault_lexer_accept(lx, "level"))
		return choice(lx, "clear, auth or crypt", levels, &c->level);
	if (fault_lexer_accept(lx, "mode")) {
		if (choice(lx, "auto, basic or full", modes, &n))
			return -1;
		c->mode = (enum vfs_mode)n;
		return 0;
	}
	if (fault_lexer_accept(lx, "port")) {
		if (fault_lexer_number(lx, 0, 65535, &port))
			return -1;
		c->port = (uint16_t)port;
		return 0;
	}
	return fault_lexer_next(lx) ? -1
				    : fault_lexer_expected(lx, "dirty-age, conflict-timeout, dead-time, retry-limit, "
							       "level, mode or port");
}

int harness_client_config_parse(struct fault_lexer *lx, struct harness_client_config *out)
{
	*out = (struct harness_client_config){ .dirty_age_ms = UINT_MAX, .level = RXKAD_CRYPT };
	while (!fault_lexer_end(lx)) {
		if (option(lx, out))
			return -1;
	}
	return 0;
}
