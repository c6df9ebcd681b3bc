/* The vocabulary of fault scripts: every condition and every action, with the reader of
 * its values. One table each; parse.c walks them. Constant; any thread. */
#ifndef UMAFS_FAULT_WORDS_H
#define UMAFS_FAULT_WORDS_H

#include "tools/fault/lexer.h"

enum { FAULT_ON_PACKET = 1 << FAULT_PACKET, FAULT_ON_RPC = 1 << FAULT_RPC, FAULT_ON_BOTH = 3 };

struct fault_condition_word {
	const char *word;
	unsigned sides;
	enum fault_condition id;
	int (*read)(struct fault_lexer *lx, struct fault_when *when);
};

struct fault_action_word {
	const char *word;
	unsigned sides;
	enum fault_op op;
	int (*read)(struct fault_lexer *lx, struct fault_action *action); /* NULL: no values */
};

/* NULL: no such word on that side. */
const struct fault_condition_word *fault_condition_find(const char *word, enum fault_side side);
const struct fault_action_word *fault_action_find(const char *word, enum fault_side side);
/* All words of a side, for errors: "from, type, ...". */
const char *fault_condition_list(enum fault_side side, char buf[200]);
const char *fault_action_list(enum fault_side side, char buf[200]);

#endif
