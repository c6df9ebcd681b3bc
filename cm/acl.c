/* ACL text, rights and entries: see cm/acl.h. */
#include "cm/acl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char letters[] = "rlidwkaABCDEFGH";
static const uint32_t bits[] = {
	CM_RIGHT_READ,
	CM_RIGHT_LOOKUP,
	CM_RIGHT_INSERT,
	CM_RIGHT_DELETE,
	CM_RIGHT_WRITE,
	CM_RIGHT_LOCK,
	CM_RIGHT_ADMINISTER,
	1u << 24,
	1u << 25,
	1u << 26,
	1u << 27,
	1u << 28,
	1u << 29,
	1u << 30,
	1u << 31,
};

static const struct {
	const char *word;
	uint32_t rights;
} words[] = {
	{ "none", 0 },
	{ "read", CM_RIGHT_READ | CM_RIGHT_LOOKUP },
	{ "write", CM_RIGHTS_ALL & ~CM_RIGHT_ADMINISTER },
	{ "mail", CM_RIGHT_LOOKUP | CM_RIGHT_INSERT | CM_RIGHT_LOCK },
	{ "all", CM_RIGHTS_ALL },
};

int cm_rights_parse(const char *word, uint32_t *rights, struct rx_error *err)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcmp(word, words[i].word)) {
			*rights = words[i].rights;
			return 0;
		}
	}
	*rights = 0;
	for (const char *p = word; *p; p++) {
		const char *letter = strchr(letters, *p);

		if (!letter)
			return rx_error_set(
				err, RX_ORIGIN_ERRNO, EINVAL, EINVAL,
				"\"%s\" is not a set of rights: use letters of %s, or read, write, all, mail, none",
				word, letters);
		*rights |= bits[letter - letters];
	}
	return 0;
}

const char *cm_rights_format(uint32_t rights, char text[CM_RIGHTS_TEXT])
{
	char *p = text;

	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if (rights & bits[i])
			*p++ = letters[i];
	*p = 0;
	return text;
}

static int malformed(struct rx_error *err, const char *what)
{
	return rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "malformed access control list: %s", what);
}

static bool is_name(const char *name, size_t len)
{
	if (len == 0 || len >= CM_ACL_NAME)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((uint8_t)name[i] <= ' ' || name[i] == 0x7f)
			return false;
	return true;
}

/* A decimal number up to `end`, which is not part of it; *p moves behind `end`. Servers
 * print rights as signed numbers. */
static bool number(const char **p, char end, uint32_t *value)
{
	bool minus = **p == '-';
	const char *digits = *p + minus, *q = digits;
	uint64_t v = 0;

	for (; *q >= '0' && *q <= '9' && q - digits < 11; q++)
		v = v * 10 + (uint64_t)(*q - '0');
	if (q == digits || *q != end || v > UINT32_MAX || (minus && v > 1u << 31))
		return false;
	*value = minus ? 0 - (uint32_t)v : (uint32_t)v;
	*p = q + 1;
	return true;
}

static bool entries(const char **p, unsigned n, struct cm_acl_entry *list)
{
	for (unsigned i = 0; i < n; i++) {
		size_t len = strcspn(*p, "\t\n");

		if ((*p)[len] != '\t' || !is_name(*p, len))
			return false;
		memcpy(list[i].name, *p, len);
		list[i].name[len] = 0;
		*p += len + 1;
		if (!number(p, '\n', &list[i].rights))
			return false;
	}
	return true;
}

int cm_acl_parse(const void *text, size_t len, struct cm_acl *acl, struct rx_error *err)
{
	struct cm_acl parsed = { 0 };
	uint32_t npositive, nnegative;
	const char *p = text;

	if (len > CM_ACL_TEXT)
		return malformed(err, "too long");
	if (len == 0 || !memchr(text, 0, len))
		return malformed(err, "its end is not marked");
	if (!number(&p, '\n', &npositive) || !number(&p, '\n', &nnegative))
		return malformed(err, "no counts");
	if (npositive > CM_ACL_MAX || nnegative > CM_ACL_MAX - npositive)
		return malformed(err, "more than 20 entries");
	parsed.npositive = npositive;
	parsed.nnegative = nnegative;
	if (!entries(&p, npositive, parsed.positive) || !entries(&p, nnegative, parsed.negative))
		return malformed(err, "a line is not \"name<tab>rights\"");
	if (*p)
		return malformed(err, "more lines than announced");
	*acl = parsed;
	return 0;
}

/* Appends unless text is full; *len then says so by exceeding CM_ACL_TEXT. */
static void append(char text[CM_ACL_TEXT], size_t *len, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void append(char text[CM_ACL_TEXT], size_t *len, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	if (*len < CM_ACL_TEXT)
		*len += (size_t)vsnprintf(text + *len, CM_ACL_TEXT - *len, fmt, args);
	va_end(args);
}

int cm_acl_format(const struct cm_acl *acl, char text[CM_ACL_TEXT], size_t *len, struct rx_error *err)
{
	*len = 0;
	append(text, len, "%u\n%u\n", acl->npositive, acl->nnegative);
	for (unsigned i = 0; i < acl->npositive; i++)
		append(text, len, "%s\t%d\n", acl->positive[i].name, (int32_t)acl->positive[i].rights);
	for (unsigned i = 0; i < acl->nnegative; i++)
		append(text, len, "%s\t%d\n", acl->negative[i].name, (int32_t)acl->negative[i].rights);
	if (++*len > CM_ACL_TEXT)
		return rx_error_set(err, RX_ORIGIN_ERRNO, E2BIG, E2BIG,
				    "the access control list is longer than 1024 bytes: use groups");
	return 0;
}

static struct cm_acl_entry *list_of(struct cm_acl *acl, bool negative, unsigned **n)
{
	*n = negative ? &acl->nnegative : &acl->npositive;
	return negative ? acl->negative : acl->positive;
}

int cm_acl_set(struct cm_acl *acl, const char *name, bool negative, uint32_t rights, struct rx_error *err)
{
	unsigned *n, i = 0;
	struct cm_acl_entry *list = list_of(acl, negative, &n);

	if (!is_name(name, strlen(name)))
		return rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "\"%s\" cannot be a user or group", name);
	while (i < *n && strcmp(list[i].name, name))
		i++;
	if (rights == 0) {
		if (i < *n)
			memmove(&list[i], &list[i + 1], (--*n - i) * sizeof(*list));
		return 0;
	}
	if (i == *n) {
		if (acl->npositive + acl->nnegative >= CM_ACL_MAX)
			return rx_error_set(err, RX_ORIGIN_ERRNO, E2BIG, E2BIG,
					    "an access control list has at most 20 entries: use groups");
		strcpy(list[i].name, name); /* is_name has measured it */
		++*n;
	}
	list[i].rights = rights;
	return 0;
}

uint32_t cm_acl_get(const struct cm_acl *acl, const char *name, bool negative)
{
	unsigned n = negative ? acl->nnegative : acl->npositive;
	const struct cm_acl_entry *list = negative ? acl->negative : acl->positive;

	for (unsigned i = 0; i < n; i++)
		if (!strcmp(list[i].name, name))
			return list[i].rights;
	return 0;
}
