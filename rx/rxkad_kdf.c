/* The key derivation of rxkad with Kerberos 5: single DES keys as they are, all others
 * through HMAC-MD5 in counter mode, skipping DES's weak keys. MD5 comes from OpenSSL's
 * default provider in a library context of our own, so that a FIPS configuration of the
 * process does not take it away: nothing here rests on MD5's strength. Any thread. */
#include "rx/rxkad_kdf.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "rx/security.h"

struct hmac {
	OSSL_LIB_CTX *ctx;
	OSSL_PROVIDER *provider;
	EVP_MAC *method;
};

static void drop_hmac(struct hmac *h)
{
	EVP_MAC_free(h->method);
	if (h->provider)
		OSSL_PROVIDER_unload(h->provider);
	OSSL_LIB_CTX_free(h->ctx);
	OPENSSL_free(h);
}

static struct hmac *fetch_hmac(void)
{
	struct hmac *h = OPENSSL_zalloc(sizeof(*h));

	if (!h)
		return NULL;
	h->ctx = OSSL_LIB_CTX_new();
	h->provider = h->ctx ? OSSL_PROVIDER_load(h->ctx, "default") : NULL;
	h->method = h->provider ? EVP_MAC_fetch(h->ctx, "HMAC", "-fips") : NULL;
	if (h->method)
		return h;
	drop_hmac(h);
	return NULL;
}

/* Fetched once for the life of the process; what had no memory for it tries again. */
static EVP_MAC *hmac_method(void)
{
	static _Atomic(struct hmac *) known;
	struct hmac *h = known, *none = NULL;

	if (h)
		return h->method;
	h = fetch_hmac();
	if (!h)
		return NULL;
	if (atomic_compare_exchange_strong(&known, &none, h))
		return h->method;
	drop_hmac(h);
	return none->method;
}

static int hmac_md5(const uint8_t *key, size_t key_len, const uint8_t *msg, size_t msg_len, uint8_t out[16])
{
	char digest[] = "MD5", properties[] = "-fips";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_PROPERTIES, properties, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *method = hmac_method();
	EVP_MAC_CTX *mac = method ? EVP_MAC_CTX_new(method) : NULL;
	size_t len = 0;
	bool done;

	if (!mac)
		return -1;
	done = EVP_MAC_init(mac, key, key_len, params) && EVP_MAC_update(mac, msg, msg_len) &&
	       EVP_MAC_final(mac, out, &len, 16) && len == 16;
	EVP_MAC_CTX_free(mac);
	return done ? 0 : -1;
}

static void set_odd_parity(uint8_t key[8])
{
	for (int i = 0; i < 8; i++)
		key[i] = (uint8_t)((key[i] & 0xfe) | !__builtin_parity(key[i] & 0xfe));
}

static bool is_weak(const uint8_t key[8])
{
	static const uint64_t weak[] = {
		0x0101010101010101, 0xfefefefefefefefe, 0x1f1f1f1f0e0e0e0e, 0xe0e0e0e0f1f1f1f1,
		0x01fe01fe01fe01fe, 0xfe01fe01fe01fe01, 0x1fe01fe00ef10ef1, 0xe01fe01ff10ef10e,
		0x01e001e001f101f1, 0xe001e001f101f101, 0x1ffe1ffe0efe0efe, 0xfe1ffe1ffe0efe0e,
		0x011f011f010e010e, 0x1f011f010e010e01, 0xe0fee0fef1fef1fe, 0xfee0fee0fef1fef1,
	};
	uint64_t k = 0;

	for (int i = 0; i < 8; i++)
		k = k << 8 | key[i];
	for (size_t i = 0; i < sizeof(weak) / sizeof(weak[0]); i++)
		if (k == weak[i])
			return true;
	return false;
}

void rxkad_compress_3des(const uint8_t key[24], uint8_t out[21])
{
	for (int group = 0; group < 3; group++)
		for (int j = 0; j < 7; j++)
			out[7 * group + j] =
				(uint8_t)((key[8 * group + j] & 0xfe) | (key[8 * group + 7] >> (j + 1) & 1));
}

static int derive(rxkad_hmac *hmac, const uint8_t *key, size_t len, uint8_t out[8], struct rx_error *err)
{
	/* counter, label, 0, length of the result in bits */
	uint8_t msg[11] = { 0, 'r', 'x', 'k', 'a', 'd', 0, 0, 0, 0, 0x40 };
	uint8_t mac[16];
	int rc = -1;

	for (int i = 1; i <= 255; i++) {
		msg[0] = (uint8_t)i;
		if (hmac(key, len, msg, sizeof(msg), mac) < 0) {
			rx_error_set(err, RX_ORIGIN_ERRNO, ENOTSUP, ENOTSUP,
				     "OpenSSL gives no HMAC-MD5, which AFS keys are derived with");
			goto out;
		}
		set_odd_parity(mac);
		if (!is_weak(mac)) {
			memcpy(out, mac, 8);
			rc = 0;
			goto out;
		}
	}
	rx_error_set(err, RX_ORIGIN_RXKAD, RXKAD_BADKEY, EKEYREJECTED, "the session key yields only weak DES keys");
out:
	OPENSSL_cleanse(mac, sizeof(mac));
	return rc;
}

int rxkad_kdf_with(rxkad_hmac *hmac, int enctype, const uint8_t *key, size_t len, uint8_t out[8], struct rx_error *err)
{
	uint8_t compressed[21];
	int rc;

	if (enctype >= 1 && enctype <= 3) { /* single DES */
		if (len != 8)
			goto bad_length;
		memcpy(out, key, 8);
		return 0;
	}
	if (enctype == 5 || enctype == 7 || enctype == 16) { /* 3DES */
		if (len != 24)
			goto bad_length;
		rxkad_compress_3des(key, compressed);
		rc = derive(hmac, compressed, sizeof(compressed), out, err);
		OPENSSL_cleanse(compressed, sizeof(compressed));
		return rc;
	}
	if (enctype <= 15)
		return rx_error_set(err, RX_ORIGIN_RXKAD, RXKAD_BADKEY, EKEYREJECTED,
				    "session keys of enctype %d cannot be used with AFS; "
				    "have the KDC issue AES keys for the cell's service",
				    enctype);
	if (len < 7)
		goto bad_length;
	return derive(hmac, key, len, out, err);

bad_length:
	return rx_error_set(err, RX_ORIGIN_RXKAD, RXKAD_BADKEY, EKEYREJECTED,
			    "a session key of enctype %d cannot be %zu bytes long; get a new ticket", enctype, len);
}

int rxkad_kdf(int enctype, const uint8_t *key, size_t len, uint8_t out[8], struct rx_error *err)
{
	return rxkad_kdf_with(hmac_md5, enctype, key, len, out, err);
}
