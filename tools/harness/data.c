/* Bytes of scenarios: see data.h. */
#include "tools/harness/data.h"
#include "tools/fault/memory.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* The byte behind a backslash, and how many characters it took; 0: none is meant. */
static size_t escape(const char *p, uint8_t *out)
{
	static const char letters[] = "nt\\", bytes[] = "\n\t\\";
	const char *known = *p ? strchr(letters, *p) : NULL;
	char hex[3] = { 0 };

	if (known) {
		*out = (uint8_t)bytes[known - letters];
		return 1;
	}
	if (*p != 'x' || !isxdigit((unsigned char)p[1]) || !isxdigit((unsigned char)p[2]))
		return 0;
	memcpy(hex, p + 1, 2);
	*out = (uint8_t)strtoul(hex, NULL, 16);
	return 3;
}

int harness_text(struct fault_lexer *lx, const char *what, uint8_t out[HARNESS_WORD], size_t *len)
{
	size_t n = 0;

	if (fault_lexer_next(lx))
		return -1;
	if (!lx->word[0] && !lx->quoted)
		return fault_lexer_expected(lx, "%s", what);
	for (const char *p = lx->word; *p; p++) {
		if (!lx->quoted || *p != '\\') {
			out[n++] = (uint8_t)*p;
			continue;
		}
		size_t used = escape(p + 1, &out[n++]);

		if (!used)
			return fault_lexer_expected(lx, "\\n, \\t, \\\\ or \\xNN behind a backslash");
		p += used;
	}
	out[n] = 0;
	*len = n;
	return 0;
}

bool harness_data_ahead(const struct fault_lexer *lx)
{
	struct fault_lexer look = *lx;
	uint64_t size;

	look.err = NULL;
	if (fault_lexer_next(&look))
		return false;
	if (look.quoted)
		return true;
	look = *lx;
	look.err = NULL;
	return !fault_lexer_size(&look, "", &size) && fault_lexer_accept(&look, "of");
}

int harness_data_parse(struct fault_lexer *lx, struct harness_data *out)
{
	struct fault_lexer look = *lx;
	uint64_t number = 1;

	*out = (struct harness_data){ 0 };
	if (fault_lexer_next(&look))
		return -1;
	if (look.quoted) {
		if (harness_text(lx, "data", out->text, &out->len))
			return -1;
		out->size = out->len;
		return 0;
	}
	if (fault_lexer_size(lx, "data such as \"text\", 8K of \"ab\" or 8K of random, its size", &out->size))
		return -1;
	if (out->size > HARNESS_DATA_MAX)
		return fault_lexer_expected(lx, "a size of at most 64M");
	if (!fault_lexer_accept(lx, "of"))
		return fault_lexer_next(lx) ? -1 : fault_lexer_expected(lx, "of, and what the bytes are");
	if (fault_lexer_accept(lx, "random")) {
		look = *lx;
		look.err = NULL;
		if (!fault_lexer_number(&look, 1, UINT32_MAX, &number)) {
			look.err = lx->err;
			*lx = look;
		}
		out->random = number;
		return 0;
	}
	if (harness_text(lx, "\"text\" or random", out->text, &out->len))
		return -1;
	if (!lx->quoted || !out->len)
		return fault_lexer_expected(lx, "\"text\" or random");
	return 0;
}

/* The n-th word of a sequence; each stands alone (splitmix64). */
static uint64_t random_word(uint64_t sequence, uint64_t n)
{
	uint64_t z = (sequence << 40) + (n + 1) * 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint8_t *harness_data_bytes(const struct harness_data *d)
{
	uint8_t *p = malloc(d->size + 1);

	if (!p)
		fault_no_memory();
	for (uint64_t i = 0; i < d->size; i++) {
		if (d->random)
			p[i] = (uint8_t)(random_word(d->random, i / 8) >> i % 8 * 8);
		else
			p[i] = d->text[i % d->len];
	}
	p[d->size] = 0;
	return p;
}

char *harness_show(const uint8_t *bytes, size_t len, size_t most)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		fault_no_memory();
	fputc('"', f);
	for (size_t i = 0; i < len && i < most; i++)
		fprintf(f,
			bytes[i] == '\n'                       ? "\\n"
			: isprint(bytes[i]) && bytes[i] != '"' ? "%c"
							       : "\\x%02x",
			bytes[i]);
	fputc('"', f);
	if (len > most)
		fprintf(f, " and %zu more bytes", len - most);
	fclose(f);
	return text;
}
