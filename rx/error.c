/* Filling `struct rx_error`, and telling what an ABORT code of an AFS service means. The
 * meanings themselves are in rx/error_table.c. Pure; any thread. */
#include "rx/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "rx/error_table.h"

enum {
	UAE_BASE = 49733376,
	V_FIRST = 101,
	ERRNO_END = 512,
};

static void set_text(struct rx_error *err, const char *fmt, va_list ap)
{
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
}

int rx_error_set(struct rx_error *err, enum rx_origin origin, int32_t code, int errnum, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -1;
	err->origin = origin;
	err->code = code;
	err->errnum = errnum;
	va_start(ap, fmt);
	set_text(err, fmt, ap);
	va_end(ap);
	return -1;
}

/* Adds to the end of the sentence; what does not fit is cut. */
static void append(struct rx_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void append(struct rx_error *err, const char *fmt, ...)
{
	size_t used = strlen(err->text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text + used, sizeof(err->text) - used, fmt, ap);
	va_end(ap);
}

/* The table-free form of strerror is not thread-safe in every libc. */
static const char *describe_errno(int errnum)
{
	const char *text = strerrordesc_np(errnum);

	return text ? text : "unknown error";
}

int rx_error_errno(struct rx_error *err, int errnum, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -1;
	err->origin = RX_ORIGIN_ERRNO;
	err->code = err->errnum = errnum;
	va_start(ap, fmt);
	set_text(err, fmt, ap);
	va_end(ap);
	append(err, ": %s", describe_errno(errnum));
	return -1;
}

void rx_error_prefix(struct rx_error *err, const char *fmt, ...)
{
	char old[sizeof(err->text)];
	va_list ap;

	if (!err)
		return;
	memcpy(old, err->text, sizeof(old));
	va_start(ap, fmt);
	set_text(err, fmt, ap);
	va_end(ap);
	append(err, ": %s", old);
}

void rx_error_clear(struct rx_error *err)
{
	if (err)
		*err = (struct rx_error){ 0 };
}

const char *rx_origin_name(enum rx_origin origin)
{
	switch (origin) {
	case RX_ORIGIN_NONE:
		return "none";
	case RX_ORIGIN_ERRNO:
		return "system";
	case RX_ORIGIN_RX:
		return "rx";
	case RX_ORIGIN_RXKAD:
		return "rxkad";
	case RX_ORIGIN_AFS:
		return "fileserver";
	case RX_ORIGIN_VL:
		return "vlserver";
	case RX_ORIGIN_PT:
		return "ptserver";
	case RX_ORIGIN_UBIK:
		return "ubik";
	case RX_ORIGIN_VOL:
		return "volserver";
	case RX_ORIGIN_KRB5:
		return "krb5";
	}
	return "unknown";
}

/* An errno of the server, translated (UAE) or raw. */
static int set_errno_code(struct rx_error *err, enum rx_origin service, int32_t code, int errnum)
{
	const char *name = strerrorname_np(errnum);

	return rx_error_set(err, service, code, errnum, "%s: %s, says the server", name ? name : "E?",
			    describe_errno(errnum));
}

/* Whose table of 256 codes a number is in. */
static enum rx_origin origin_of(enum rx_origin service, int32_t code)
{
	static const struct {
		int32_t base;
		enum rx_origin origin;
	} tables[] = {
		{ 5376, RX_ORIGIN_UBIK },      { 267264, RX_ORIGIN_PT },    { 363520, RX_ORIGIN_VL },
		{ 19270400, RX_ORIGIN_RXKAD }, { UAE_BASE, RX_ORIGIN_AFS }, { 1492325120, RX_ORIGIN_VOL },
	};

	if (code < 0)
		return RX_ORIGIN_RX;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		if ((code & ~0xff) == tables[i].base)
			return tables[i].origin;
	return service;
}

int rx_error_abort(struct rx_error *err, enum rx_origin service, int32_t code)
{
	const struct rx_error_entry *entry = rx_error_lookup(code);
	/* 101 ... are volume errors where there are volumes, errnos elsewhere. */
	bool volumes = service == RX_ORIGIN_AFS || service == RX_ORIGIN_VOL;
	enum rx_origin origin = origin_of(service, code);
	int errnum;

	if (entry && (volumes || code < V_FIRST || code >= ERRNO_END))
		return rx_error_set(err, entry->origin, code, entry->errnum, "%s (%d): %s", entry->name, code,
				    entry->meaning);
	errnum = rx_error_uae((int64_t)code - UAE_BASE);
	if (errnum)
		return set_errno_code(err, origin, code, errnum);
	if (code > 0 && code < ERRNO_END && strerrorname_np(code))
		return set_errno_code(err, service, code, code);
	return rx_error_set(err, origin, code, origin == RX_ORIGIN_RXKAD ? EKEYREJECTED : EIO,
			    "the server aborted the call with code %d, which is unknown here", code);
}
