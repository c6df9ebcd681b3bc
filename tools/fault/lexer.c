/* Words and values of a fault script's line: see lexer.h. Knows nothing of rules; each
 * reader consumes exactly one word and leaves its column for the error. */
#include "tools/fault/lexer.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void fault_lexer_init(struct fault_lexer *lx, const char *text, unsigned line, struct rx_error *err)
{
	*lx = (struct fault_lexer){ .start = text, .at = text, .line = line, .err = err, .word_at = text };
}

static int complain(struct fault_lexer *lx, const char *sentence)
{
	return rx_error_set(lx->err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "line %u, column %u: %s", lx->line,
			    (unsigned)(lx->word_at - lx->start) + 1, sentence);
}

int fault_lexer_expected(struct fault_lexer *lx, const char *fmt, ...)
{
	char what[200], all[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	if (lx->word[0] || lx->quoted)
		snprintf(all, sizeof all, "expected %s, not \"%.24s\"", what, lx->word);
	else
		snprintf(all, sizeof all, "expected %s, not the end of the line", what);
	return complain(lx, all);
}

static const char *skip_blanks(const char *p)
{
	while (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')
		p++;
	return p;
}

static bool ends(const char *p)
{
	return !*p || *p == '#';
}

bool fault_lexer_end(struct fault_lexer *lx)
{
	return ends(skip_blanks(lx->at));
}

int fault_lexer_next(struct fault_lexer *lx)
{
	const char *p = skip_blanks(lx->at);
	size_t n = 0;

	lx->word_at = p;
	lx->quoted = *p == '"';
	lx->word[0] = '\0';
	if (lx->quoted)
		p++;
	else if (ends(p))
		return 0;
	for (; lx->quoted ? *p && *p != '"' : !ends(p) && !strchr(" \t\r\n", *p); p++) {
		if (n + 1 == sizeof lx->word) {
			return complain(lx, "this word is too long; the limit is 127 characters");
		}
		lx->word[n++] = *p;
	}
	lx->word[n] = '\0';
	if (lx->quoted && *p++ != '"')
		return complain(lx, "expected a second \" before the end of the line");
	lx->at = p;
	return 0;
}

bool fault_lexer_accept(struct fault_lexer *lx, const char *word)
{
	struct fault_lexer look = *lx;

	look.err = NULL;
	if (fault_lexer_next(&look) || look.quoted || strcmp(look.word, word))
		return false;
	look.err = lx->err;
	*lx = look;
	return true;
}

/* Decimal or 0x...; the rest after it in *end. */
static bool digits(const char *p, uint64_t *out, const char **end)
{
	char *e;

	if (!isdigit((unsigned char)*p))
		return false;
	errno = 0;
	*out = strtoull(p, &e, p[0] == '0' && (p[1] | 32) == 'x' ? 16 : 10);
	*end = e;
	return !errno;
}

int fault_lexer_number(struct fault_lexer *lx, uint64_t lo, uint64_t hi, uint64_t *out)
{
	const char *end;

	if (fault_lexer_next(lx))
		return -1;
	if (!digits(lx->word, out, &end) || *end || *out < lo || *out > hi)
		return hi == UINT64_MAX ? fault_lexer_expected(lx, "a number of at least %llu", (unsigned long long)lo)
					: fault_lexer_expected(lx, "a number from %llu to %llu", (unsigned long long)lo,
							       (unsigned long long)hi);
	return 0;
}

int fault_lexer_signed(struct fault_lexer *lx, int64_t *out)
{
	const char *end, *p;
	uint64_t n;

	if (fault_lexer_next(lx))
		return -1;
	p = lx->word + (lx->word[0] == '-' || lx->word[0] == '+');
	if (p == lx->word || !digits(p, &n, &end) || *end || n > INT32_MAX)
		return fault_lexer_expected(lx, "a number with its sign, such as +4 or -4");
	*out = lx->word[0] == '-' ? -(int64_t)n : (int64_t)n;
	return 0;
}

int fault_lexer_range(struct fault_lexer *lx, struct fault_range *out)
{
	const char *end;
	uint64_t lo, hi;

	if (fault_lexer_next(lx))
		return -1;
	if (!digits(lx->word, &lo, &end))
		goto bad;
	hi = lo;
	if (*end == '-' && !end[1]) {
		hi = UINT32_MAX;
		end++;
	} else if (*end == '-' && !digits(end + 1, &hi, &end)) {
		goto bad;
	}
	if (*end || lo > hi || hi > UINT32_MAX)
		goto bad;
	*out = (struct fault_range){ (uint32_t)lo, (uint32_t)hi };
	return 0;
bad:
	return fault_lexer_expected(lx, "a number or a range such as 3, 3-7 or 3-");
}

/* A number with a unit out of a table; the unit "" stands for a bare number. */
struct unit {
	const char *name;
	double factor;
};

static bool scaled(const char *word, const struct unit *units, size_t n, double *out)
{
	char *end;
	double v;

	if (!isdigit((unsigned char)word[0]) && word[0] != '.')
		return false;
	v = strtod(word, &end);
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(end, units[i].name)) {
			*out = v * units[i].factor;
			return isfinite(*out) && *out < 1e15;
		}
	}
	return false;
}

#define COUNT(a) (sizeof(a) / sizeof *(a))

int fault_lexer_duration(struct fault_lexer *lx, uint64_t *out_us)
{
	static const struct unit units[] = { { "us", 1 }, { "ms", 1e3 }, { "s", 1e6 }, { "min", 60e6 } };
	double v;

	if (fault_lexer_next(lx))
		return -1;
	if (!scaled(lx->word, units, COUNT(units), &v))
		return fault_lexer_expected(lx, "a duration such as 20ms or 1.5s (us, ms, s or min)");
	*out_us = (uint64_t)v;
	return 0;
}

int fault_lexer_size(struct fault_lexer *lx, const char *what, uint64_t *out)
{
	static const struct unit units[] = { { "", 1 }, { "K", 1024 }, { "M", 1048576 }, { "G", 1073741824 } };
	double v;

	if (fault_lexer_next(lx))
		return -1;
	if (!scaled(lx->word, units, COUNT(units), &v))
		return fault_lexer_expected(lx, "%s such as 1444, 64K or 1.5M", what);
	*out = (uint64_t)v;
	return 0;
}

int fault_lexer_probability(struct fault_lexer *lx, uint32_t *out)
{
	static const struct unit units[] = { { "", FAULT_CERTAIN }, { "%", FAULT_CERTAIN / 100.0 } };
	double v;

	if (fault_lexer_next(lx))
		return -1;
	if (!scaled(lx->word, units, COUNT(units), &v) || v > FAULT_CERTAIN)
		return fault_lexer_expected(lx, "a probability such as 5%% or 0.05");
	*out = (uint32_t)lrint(v);
	return 0;
}

int fault_lexer_address(struct fault_lexer *lx, uint32_t *ip, uint16_t *port)
{
	struct in_addr in;
	char host[64], *colon;
	const char *end;
	uint64_t n = 0;

	if (fault_lexer_next(lx))
		return -1;
	snprintf(host, sizeof host, "%.63s", lx->word);
	colon = strchr(host, ':');
	if (colon) {
		*colon = '\0';
		if (!digits(colon + 1, &n, &end) || *end || n < 1 || n > 65535)
			goto bad;
	}
	if (inet_pton(AF_INET, host, &in) != 1)
		goto bad;
	*ip = ntohl(in.s_addr);
	*port = (uint16_t)n;
	return 0;
bad:
	return fault_lexer_expected(lx, "an address such as 10.0.0.1 or 10.0.0.1:7001");
}

int fault_lexer_text(struct fault_lexer *lx, const char *what, char out[FAULT_TEXT_MAX])
{
	if (fault_lexer_next(lx))
		return -1;
	if (!lx->word[0] || strlen(lx->word) >= FAULT_TEXT_MAX)
		return fault_lexer_expected(lx, "%s of at most %d characters", what, FAULT_TEXT_MAX - 1);
	strcpy(out, lx->word);
	return 0;
}

int fault_lexer_set(struct fault_lexer *lx, const char *expected, int (*number_of)(const char *item), uint32_t *bits)
{
	char list[sizeof lx->word], *rest = list, *item;

	if (fault_lexer_next(lx))
		return -1;
	strcpy(list, lx->word);
	*bits = 0;
	while ((item = strsep(&rest, ","))) {
		int n = number_of(item);

		if (n < 0) {
			lx->word_at += item - list;
			snprintf(lx->word, sizeof lx->word, "%s", item);
			return fault_lexer_expected(lx, "%s", expected);
		}
		*bits |= 1u << n;
	}
	return 0;
}
