/* Bytes as scenarios write them: "text" (with \n, \t, \\ and \x22 for any byte),
 * 64K of "ab", 64K of random (the same bytes each time; "random 2": others). Parsed by
 * runner and client alike, so that both mean the same bytes. Plain values; any thread. */
#ifndef UMAFS_HARNESS_DATA_H
#define UMAFS_HARNESS_DATA_H

#include <stdlib.h>

#include "tools/fault/lexer.h"

enum { HARNESS_WORD = 128, HARNESS_DATA_MAX = 64 << 20 };

struct harness_data {
	uint8_t text[HARNESS_WORD]; /* repeated up to size */
	size_t len;
	uint64_t size;
	uint64_t random; /* not 0: these bytes instead */
};

/* The next word; escapes count in quotes. */
int harness_text(struct fault_lexer *lx, const char *what, uint8_t out[HARNESS_WORD], size_t *len);
int harness_data_parse(struct fault_lexer *lx, struct harness_data *out);
/* True when the next word can begin data. */
bool harness_data_ahead(const struct fault_lexer *lx);
/* d->size bytes, malloc'ed, and a 0 behind them. Ends the process when memory is out. */
uint8_t *harness_data_bytes(const struct harness_data *d);

/* A malloc'ed printable form: what is printable, \xNN, at most `most` bytes, then how many more. */
char *harness_show(const uint8_t *bytes, size_t len, size_t most);

#endif
