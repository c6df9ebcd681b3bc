/* The one error type of umafs: where a failure came from, its code there, the
 * nearest errno, and one sentence for a person that says what failed and what to
 * do about it. Functions that can fail return 0 or -1 and fill the `struct
 * rx_error` they were given; it may be NULL where the caller only wants to know
 * that it failed. An rx_error owns nothing and may be copied. Any thread. */
#ifndef UMAFS_RX_ERROR_H
#define UMAFS_RX_ERROR_H

#include <stdint.h>

enum rx_origin {
	RX_ORIGIN_NONE,  /* no error */
	RX_ORIGIN_ERRNO, /* this machine: code is an errno */
	RX_ORIGIN_RX,    /* transport: RX_CALL_DEAD ... and the stub's -450 ... */
	RX_ORIGIN_RXKAD, /* security class: 19270400 ... */
	RX_ORIGIN_AFS,   /* fileserver: V codes, UAE codes, raw errnos of its OS */
	RX_ORIGIN_VL,    /* volume location server: 363520 ... */
	RX_ORIGIN_PT,    /* protection server: 267264 ... */
	RX_ORIGIN_UBIK,  /* replicated databases: 5376 ... */
	RX_ORIGIN_VOL,   /* volume server: 1492325120 ... */
	RX_ORIGIN_KRB5,  /* Kerberos library */
};

struct rx_error {
	enum rx_origin origin; /* whose number `code` is */
	int32_t code;          /* 0 when there is no error */
	int errnum;            /* nearest errno, positive; 0 when there is no error */
	char text[256];        /* one sentence, no trailing newline */
};

/* Fills *err (if not NULL) and returns -1, so that `return rx_error_set(...)` works. */
int rx_error_set(struct rx_error *err, enum rx_origin origin, int32_t code, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* As rx_error_set for an errno of this machine; ": strerror" is appended. */
int rx_error_errno(struct rx_error *err, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the sentence; keeps the codes. */
void rx_error_prefix(struct rx_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void rx_error_clear(struct rx_error *err);

/* Classifies an ABORT code of any AFS service by its number alone. `service` breaks
 * the ties of small numbers: RX_ORIGIN_AFS, _VL, _PT or _VOL. Fills text with the
 * code's name and meaning. Returns -1 like rx_error_set. */
int rx_error_abort(struct rx_error *err, enum rx_origin service, int32_t code);

const char *rx_origin_name(enum rx_origin origin);

#endif
