/* Plays one scenario from its first statement to its last, or to the first that does not
 * hold. One play to a process, on its one thread. */
#ifndef UMAFS_HARNESS_PLAY_H
#define UMAFS_HARNESS_PLAY_H

#include "tools/harness/rig.h"

enum harness_verdict { HARNESS_PASSED, HARNESS_BROKEN, HARNESS_SKIPPED };

/* `dir` exists and is empty; logs and traces stay there. *why: malloc'ed lines about a
 * failure, or the reason to skip; NULL if it passed. */
enum harness_verdict harness_play(const struct harness_scenario *scenario, const struct harness_options *options,
				  const char *dir, char **why);

#endif
