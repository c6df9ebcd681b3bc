/* What both ends of an rxkad connection share: the sealing of DATA packets once key and
 * level are known, and the layout of CHALLENGE and RESPONSE. Used by rx/rxkad_client.c
 * and rx/rxkad_server.c under the endpoint's lock. */
#ifndef UMAFS_RX_RXKAD_H
#define UMAFS_RX_RXKAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rx/fcrypt.h"
#include "rx/security.h"

enum {
	RXKAD_VERSION = 2,
	RXKAD_CHALLENGE_LEN = 16, /* version, nonce, min level, spare */
	RXKAD_TICKET_MIN = 32,
	RXKAD_TICKET_MAX = 12000,
	RXKAD_KVNO_V5 = 256,         /* a whole Kerberos 5 ticket */
	RXKAD_KVNO_V5_ENCPART = 213, /* its EncryptedData alone */
};

/* Offsets in a RESPONSE; the ticket follows. */
enum {
	RXKAD_R_VERSION = 0,
	RXKAD_R_SEALED = 8, /* encrypted from here ... */
	RXKAD_R_EPOCH = 8,
	RXKAD_R_CID = 12,
	RXKAD_R_CHECKSUM = 16,
	RXKAD_R_INDEX = 20,
	RXKAD_R_CALLS = 24,
	RXKAD_R_NONCE = 40,
	RXKAD_R_LEVEL = 44,
	RXKAD_R_SEALED_END = 48, /* ... up to here */
	RXKAD_R_KVNO = 48,
	RXKAD_R_TICKET_LEN = 52,
	RXKAD_RESPONSE_LEN = 56,
};

/* The secrets of one connection. */
struct rxkad_session {
	uint8_t key[8]; /* also the IV of everything */
	struct fcrypt_key schedule;
	uint8_t preseq[8];
	int level;
};

static inline uint32_t rxkad_get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void rxkad_put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

void rxkad_session_init(struct rxkad_session *s, const uint8_t key[8], int level, uint32_t epoch, uint32_t cid);

/* The header checksum of a packet, never 0. */
uint16_t rxkad_packet_checksum(const struct rxkad_session *s, const struct rx_packet_ident *id);

/* As the ops of the same names. */
void rxkad_overhead(int level, size_t *header, size_t *trailer);
size_t rxkad_seal(const struct rxkad_session *s, const struct rx_packet_ident *id, uint8_t *buf, size_t len,
		  uint16_t *checksum);
int rxkad_open(const struct rxkad_session *s, const struct rx_packet_ident *id, uint8_t *buf, size_t payload,
	       size_t *off, size_t *len);

/* Of the plain 56 bytes, whose checksum field is taken as 0. */
uint32_t rxkad_response_checksum(const uint8_t response[RXKAD_RESPONSE_LEN]);
void rxkad_response_encrypt(const struct rxkad_session *s, uint8_t response[RXKAD_RESPONSE_LEN]);
void rxkad_response_decrypt(const struct rxkad_session *s, uint8_t response[RXKAD_RESPONSE_LEN]);

#endif
