/* Kerberos tickets for tests, without a KDC: DER by hand, sealed by libkrb5. Their session
 * key is 00 01 02 ...; the service's key is a0 a1 .... */
#ifndef UMAFS_TESTS_MINT_H
#define UMAFS_TESTS_MINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MINT_TRANSITED_CHECKED = 0x00080000 };

/* DER grows from the end of the buffer to its front. */
struct der {
	uint8_t buf[8192];
	size_t at;
};

/* What is in a ticket. */
struct mint {
	const char *realm, *part[4]; /* NULL ends the parts */
	size_t part_len;             /* of part[0] if not 0, for NULs in names */
	int session_enctype;
	unsigned session_len;
	uint32_t flags;
	int64_t authtime, starttime, endtime; /* starttime -1: left out */
	int kvno, enctype;                    /* of the service key; kvno -1: left out */
	bool bare;                            /* EncryptedData alone */
};

extern const uint8_t mint_service_key[32];

size_t mint_key_len(int enctype);
/* Puts the part that will be sealed at d's front; d starts as { .at = sizeof(d.buf) }. */
void mint_part(struct der *d, const struct mint *m);
/* Seals it and makes the ticket around it: d.buf from d.at to its end. */
void mint_seal(struct der *d, const struct mint *m);

#endif
