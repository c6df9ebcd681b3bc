/* Sealing and opening of rxkad packets at the three levels: clear (checksum of the header
 * only), auth (first 8 bytes encrypted), crypt (all encrypted). None of it is a real MAC:
 * what open accepts may still have been altered, so readers treat it as hostile input.
 * Called by the two ends' classes under the endpoint's lock. */
#include "rx/rxkad.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <string.h>

enum { AUTH_HEADER = 4, CRYPT_HEADER = 8, BLOCK = FCRYPT_BLOCK };

void rxkad_session_init(struct rxkad_session *s, const uint8_t key[8], int level, uint32_t epoch, uint32_t cid)
{
	uint8_t endpoint[16] = { 0 };

	memcpy(s->key, key, sizeof(s->key));
	s->level = level;
	fcrypt_set_key(&s->schedule, key);
	rxkad_put32(endpoint, epoch);
	rxkad_put32(endpoint + 4, cid & ~3u);
	rxkad_put32(endpoint + 12, RX_SECIDX_RXKAD);
	/* After two blocks the chaining value is of no use: only the last block is kept. */
	memcpy(s->preseq, key, sizeof(s->preseq));
	fcrypt_pcbc_encrypt(&s->schedule, s->preseq, endpoint, endpoint, sizeof(endpoint));
	memcpy(s->preseq, endpoint + 8, sizeof(s->preseq));
	OPENSSL_cleanse(endpoint, sizeof(endpoint));
}

uint16_t rxkad_packet_checksum(const struct rxkad_session *s, const struct rx_packet_ident *id)
{
	uint8_t block[BLOCK];
	uint16_t sum;

	rxkad_put32(block, id->call);
	rxkad_put32(block + 4, (id->cid & 3) << 30 | (id->seq & 0x3fffffff));
	for (int i = 0; i < BLOCK; i++)
		block[i] ^= s->preseq[i];
	fcrypt_encrypt(&s->schedule, block, block);
	sum = (uint16_t)(block[4] << 8 | block[5]);
	return sum ? sum : 1;
}

void rxkad_overhead(int level, size_t *header, size_t *trailer)
{
	static const size_t bytes[] = { [RXKAD_CLEAR] = 0, [RXKAD_AUTH] = AUTH_HEADER, [RXKAD_CRYPT] = CRYPT_HEADER };

	/* The padding never takes more; a multiple of 8 keeps full packets free of it. */
	*header = *trailer = bytes[level];
}

/* The upper half of the first sealed word ties the payload to its packet. */
static uint16_t tie(const struct rx_packet_ident *id)
{
	return (uint16_t)(id->seq ^ id->call);
}

size_t rxkad_seal(const struct rxkad_session *s, const struct rx_packet_ident *id, uint8_t *buf, size_t len,
		  uint16_t *checksum)
{
	size_t header, trailer, total;
	uint8_t iv[8];

	assert(len <= UINT16_MAX);
	*checksum = rxkad_packet_checksum(s, id);
	if (s->level == RXKAD_CLEAR)
		return len;
	rxkad_overhead(s->level, &header, &trailer);
	memset(buf, 0, header);
	rxkad_put32(buf, (uint32_t)tie(id) << 16 | (uint32_t)len);
	total = header + len;
	if (s->level == RXKAD_AUTH) {
		for (; total < BLOCK; total++)
			buf[total] = 0;
		fcrypt_encrypt(&s->schedule, buf, buf);
		return total;
	}
	for (; total % BLOCK; total++)
		buf[total] = 0;
	memcpy(iv, s->key, sizeof(iv));
	fcrypt_pcbc_encrypt(&s->schedule, iv, buf, buf, total);
	OPENSSL_cleanse(iv, sizeof(iv));
	return total;
}

static bool checksum_matches(const struct rxkad_session *s, const struct rx_packet_ident *id)
{
	uint16_t want = rxkad_packet_checksum(s, id);

	/* Never 0: a peer without checksums is not one we talk to. */
	return id->security_index == RX_SECIDX_RXKAD && !CRYPTO_memcmp(&want, &id->checksum, sizeof(want));
}

int rxkad_open(const struct rxkad_session *s, const struct rx_packet_ident *id, uint8_t *buf, size_t payload,
	       size_t *off, size_t *len)
{
	size_t header, trailer, sealed;
	uint32_t word;
	uint8_t iv[8];

	if (!checksum_matches(s, id))
		return RX_SECURITY_DROP;
	*off = 0;
	*len = payload;
	if (s->level == RXKAD_CLEAR)
		return 0;
	if (payload < BLOCK)
		return RXKAD_SEALEDINCON;
	if (s->level == RXKAD_AUTH) {
		fcrypt_decrypt(&s->schedule, buf, buf);
	} else {
		/* A piece of a kernel's jumbogram ends in 4 bytes that are not encrypted. */
		payload -= payload % BLOCK;
		memcpy(iv, s->key, sizeof(iv));
		fcrypt_pcbc_decrypt(&s->schedule, iv, buf, buf, payload);
		OPENSSL_cleanse(iv, sizeof(iv));
	}
	word = rxkad_get32(buf);
	if (word >> 16 != tie(id))
		return RXKAD_SEALEDINCON;
	rxkad_overhead(s->level, &header, &trailer);
	sealed = word & 0xffff;
	if (sealed > payload - header)
		return RXKAD_DATALEN;
	*off = header;
	*len = sealed;
	return 0;
}

uint32_t rxkad_response_checksum(const uint8_t response[RXKAD_RESPONSE_LEN])
{
	uint32_t sum = 1000003;

	for (int i = 0; i < RXKAD_RESPONSE_LEN; i++)
		sum = sum * 0x10204081 + (i / 4 == RXKAD_R_CHECKSUM / 4 ? 0 : response[i]);
	return sum;
}

void rxkad_response_encrypt(const struct rxkad_session *s, uint8_t response[RXKAD_RESPONSE_LEN])
{
	uint8_t iv[8];

	memcpy(iv, s->key, sizeof(iv));
	fcrypt_pcbc_encrypt(&s->schedule, iv, response + RXKAD_R_SEALED, response + RXKAD_R_SEALED,
			    RXKAD_R_SEALED_END - RXKAD_R_SEALED);
	OPENSSL_cleanse(iv, sizeof(iv));
}

void rxkad_response_decrypt(const struct rxkad_session *s, uint8_t response[RXKAD_RESPONSE_LEN])
{
	uint8_t iv[8];

	memcpy(iv, s->key, sizeof(iv));
	fcrypt_pcbc_decrypt(&s->schedule, iv, response + RXKAD_R_SEALED, response + RXKAD_R_SEALED,
			    RXKAD_R_SEALED_END - RXKAD_R_SEALED);
	OPENSSL_cleanse(iv, sizeof(iv));
}
