/* From a Kerberos session key to rxkad's 8-byte key (rxkad-k5-kdf). Called where a
 * rxkad_client_new gets its credential and where a server accepts a ticket; any thread. */
#ifndef UMAFS_RX_RXKAD_KDF_H
#define UMAFS_RX_RXKAD_KDF_H

#include <stddef.h>
#include <stdint.h>

#include "rx/error.h"

/* HMAC-MD5 or, in tests, something else. 0 or -1. */
typedef int rxkad_hmac(const uint8_t *key, size_t key_len, const uint8_t *msg, size_t msg_len, uint8_t out[16]);

/* The rxkad key of a session key of `enctype`; -1 with err when there is none. */
int rxkad_kdf(int enctype, const uint8_t *key, size_t len, uint8_t out[8], struct rx_error *err);
int rxkad_kdf_with(rxkad_hmac *hmac, int enctype, const uint8_t *key, size_t len, uint8_t out[8], struct rx_error *err);

/* Undoes random-to-key of a 3DES key: 24 bytes to the 21 it was made of. */
void rxkad_compress_3des(const uint8_t key[24], uint8_t out[21]);

#endif
