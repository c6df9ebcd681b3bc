/* fcrypt, the 64-bit block cipher of rxkad, and its PCBC mode. It is obfuscation by
 * today's measure (56-bit key); AFS servers speak nothing better. Used by rx/rxkad*.c
 * only. Functions are pure; any thread. A key must be set before anything else: that
 * also builds the tables, once per process. */
#ifndef UMAFS_RX_FCRYPT_H
#define UMAFS_RX_FCRYPT_H

#include <stddef.h>
#include <stdint.h>

enum { FCRYPT_BLOCK = 8, FCRYPT_ROUNDS = 16 };

struct fcrypt_key {
	uint32_t round[FCRYPT_ROUNDS];
};

/* The lowest bit of each key byte is parity and makes no difference. */
void fcrypt_set_key(struct fcrypt_key *key, const uint8_t bytes[8]);

/* One block; in and out may be the same. */
void fcrypt_encrypt(const struct fcrypt_key *key, const uint8_t in[8], uint8_t out[8]);
void fcrypt_decrypt(const struct fcrypt_key *key, const uint8_t in[8], uint8_t out[8]);

/* PCBC. in and out are the same or do not overlap. iv is updated, so that a message may
 * be given in pieces if all but the last are a multiple of 8 long. A short last block is
 * padded with zeros: out gets len rounded up to a multiple of 8. */
void fcrypt_pcbc_encrypt(const struct fcrypt_key *key, uint8_t iv[8], const uint8_t *in, uint8_t *out, size_t len);

/* len is rounded down to a multiple of 8; bytes beyond are not touched. */
void fcrypt_pcbc_decrypt(const struct fcrypt_key *key, uint8_t iv[8], const uint8_t *in, uint8_t *out, size_t len);

/* Encrypts n messages in place, each starting anew from iv (which is kept), several at a
 * time: the blocks of one message depend on each other, those of two do not. Each len
 * must be a multiple of 8. */
void fcrypt_pcbc_encrypt_many(const struct fcrypt_key *key, const uint8_t iv[8], uint8_t *const buf[],
			      const size_t len[], size_t n);

/* For tests. */
extern const uint8_t fcrypt_sbox[4][256];
const uint32_t (*fcrypt_tables(void))[256];

#endif
