/* One line of a scenario into a statement. Called by script.c alone, once a line. */
#ifndef UMAFS_HARNESS_STATEMENT_H
#define UMAFS_HARNESS_STATEMENT_H

#include "tools/harness/script.h"

/* Reads the line and adds what it says to the scenario: a statement at its end, an
 * outcome of the last one, or how the scenario is set up. */
int harness_statement_parse(struct fault_lexer *lx, struct harness_scenario *sc);
void harness_statement_free(struct harness_statement *s);

/* 0 at the end of the line; else the error "the end of the line after WHAT". */
int harness_line_end(struct fault_lexer *lx, const char *what);
/* Never NULL. */
char *harness_strndup(const char *text, size_t len);

#endif
