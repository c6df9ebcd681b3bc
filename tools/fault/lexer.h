/* The words of one line of a fault script, and the values they stand for. Used by parse.c
 * and words.c alone, on the stack of one parse. Every reader takes the next word, or
 * fails with the line, the column and what was expected. */
#ifndef UMAFS_FAULT_LEXER_H
#define UMAFS_FAULT_LEXER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/fault/rule.h"

struct fault_lexer {
	const char *start, *at; /* the line; where the next word is looked for */
	unsigned line;
	struct rx_error *err;
	char word[128]; /* the word last taken, "" at the end of the line */
	const char *word_at;
	bool quoted;
};

void fault_lexer_init(struct fault_lexer *lx, const char *text, unsigned line, struct rx_error *err);
/* Takes the next word; 0, or -1 when it is too long or a quote is open. */
int fault_lexer_next(struct fault_lexer *lx);
/* True when the next word is `word`, which is then taken. */
bool fault_lexer_accept(struct fault_lexer *lx, const char *word);
bool fault_lexer_end(struct fault_lexer *lx);
/* The error about the word last taken; -1. */
int fault_lexer_expected(struct fault_lexer *lx, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Values. Durations need a unit (us, ms, s, min), sizes may have K, M or G (of 1024). */
int fault_lexer_number(struct fault_lexer *lx, uint64_t lo, uint64_t hi, uint64_t *out);
int fault_lexer_signed(struct fault_lexer *lx, int64_t *out);
int fault_lexer_range(struct fault_lexer *lx, struct fault_range *out);
int fault_lexer_duration(struct fault_lexer *lx, uint64_t *out_us);
int fault_lexer_size(struct fault_lexer *lx, const char *what, uint64_t *out);
int fault_lexer_probability(struct fault_lexer *lx, uint32_t *out_millionths);
int fault_lexer_address(struct fault_lexer *lx, uint32_t *ip, uint16_t *port);
int fault_lexer_text(struct fault_lexer *lx, const char *what, char out[FAULT_TEXT_MAX]);
/* A list such as data,ack: each item's number by `number_of` (-1: unknown) sets a bit. */
int fault_lexer_set(struct fault_lexer *lx, const char *expected, int (*number_of)(const char *item), uint32_t *bits);

#endif
