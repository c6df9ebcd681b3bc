/* What administrators' programs and old clients ask a cell: lists of its databases and volumes,
 * many statuses at once, statistics; by bare stubs, anonymously or as admin. */
#ifndef UMAFS_TESTS_NTH_ASK_H
#define UMAFS_TESTS_NTH_ASK_H

#include "rx/rx.h"

enum { ASK_QUESTIONS = 15 };

/* Asks them all; counts[i]: how many items question i was answered with, or -1: it failed. */
void ask_all(const char *confdir, uint32_t ip, long counts[ASK_QUESTIONS]);

#endif
