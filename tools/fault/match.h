/* Whether a rule fires on an event, and its dice. Called by set.c with the set's lock
 * held. Depends on nothing but the rule, the event and the time given. */
#ifndef UMAFS_FAULT_MATCH_H
#define UMAFS_FAULT_MATCH_H

#include "tools/fault/view.h"

/* The next number of a rule's own sequence. */
uint64_t fault_random(uint64_t *state);
/* One of the two is not NULL. `age_us`: time since the set began. Counts the event. */
bool fault_match(struct fault_rule *r, const struct fault_packet_view *p, const struct fault_rpc *c, uint64_t age_us);

#endif
