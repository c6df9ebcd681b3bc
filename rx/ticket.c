/* Kerberos 5 tickets as rxkad takes them: possession of the service's key is all that is
 * asked of them, as the other AFS servers do. DER and cryptography are libkrb5's; a key is
 * handed to it as a keytab in memory, since that is the public way to open a ticket with a
 * known key. libkrb5's context wants one thread at a time: a mutex of the keyring, held
 * for one decryption, nothing else taken under it. Any thread. */
#include "rx/ticket.h"

#include <errno.h>
#include <krb5/krb5.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rx/rxkad.h"
#include "rx/rxkad_kdf.h"

enum { MINUTE = 60, DAY = 86400, SKEW = 15 * MINUTE, LIFETIME_MAX = 30 * DAY };

struct service_key {
	krb5_kvno kvno;
	krb5_enctype enctype;
	krb5_keytab keytab;
};

struct rxkad_keyring {
	pthread_mutex_t lock;
	krb5_context ctx;
	size_t n;
	struct service_key keys[];
};

static int krb5_failed(struct rx_error *err, krb5_context ctx, krb5_error_code rc, const char *what)
{
	const char *text = krb5_get_error_message(ctx, rc);

	rx_error_set(err, RX_ORIGIN_KRB5, rc, rc == ENOMEM ? ENOMEM : EINVAL, "%s: %s", what, text);
	krb5_free_error_message(ctx, text);
	return -1;
}

static int add_key(struct rxkad_keyring *ring, const struct rxkad_service_key *key, struct rx_error *err)
{
	struct service_key *slot = &ring->keys[ring->n];
	krb5_keytab_entry entry = { .vno = (krb5_kvno)key->kvno };
	krb5_principal owner = NULL;
	krb5_error_code rc;
	char name[64];
	size_t size;

	rc = krb5_c_keylengths(ring->ctx, key->enctype, NULL, &size);
	if (rc || size != key->len)
		return rx_error_set(err, RX_ORIGIN_KRB5, rc, EINVAL,
				    "service key of enctype %d, %zu bytes: libkrb5 cannot use it", key->enctype,
				    key->len);
	snprintf(name, sizeof(name), "MEMORY:umafs-%p-%zu", (void *)ring, ring->n);
	rc = krb5_kt_resolve(ring->ctx, name, &slot->keytab);
	if (rc)
		return krb5_failed(err, ring->ctx, rc, "making a keytab");
	slot->kvno = (krb5_kvno)key->kvno;
	slot->enctype = key->enctype;
	ring->n++;
	/* The name is asked for but never compared. */
	rc = krb5_parse_name(ring->ctx, "afs@UMAFS", &owner);
	if (!rc) {
		entry.principal = owner;
		entry.key.enctype = key->enctype;
		entry.key.length = (unsigned)key->len;
		entry.key.contents = (krb5_octet *)(uintptr_t)key->key; /* only copied */
		rc = krb5_kt_add_entry(ring->ctx, slot->keytab, &entry);
	}
	krb5_free_principal(ring->ctx, owner);
	return rc ? krb5_failed(err, ring->ctx, rc, "storing a service key") : 0;
}

struct rxkad_keyring *rxkad_keyring_new(const struct rxkad_service_key *keys, size_t n, struct rx_error *err)
{
	struct rxkad_keyring *ring = calloc(1, sizeof(*ring) + n * sizeof(ring->keys[0]));
	krb5_error_code rc;

	if (!ring) {
		rx_error_errno(err, ENOMEM, "no memory for service keys");
		return NULL;
	}
	pthread_mutex_init(&ring->lock, NULL);
	rc = krb5_init_context(&ring->ctx);
	if (rc) {
		krb5_failed(err, NULL, rc, "starting libkrb5");
		goto fail;
	}
	for (size_t i = 0; i < n; i++)
		if (add_key(ring, &keys[i], err) < 0)
			goto fail;
	return ring;

fail:
	rxkad_keyring_free(ring);
	return NULL;
}

void rxkad_keyring_free(struct rxkad_keyring *ring)
{
	if (!ring)
		return;
	for (size_t i = 0; i < ring->n; i++)
		krb5_kt_close(ring->ctx, ring->keys[i].keytab); /* zeroises the key */
	if (ring->ctx)
		krb5_free_context(ring->ctx);
	pthread_mutex_destroy(&ring->lock);
	free(ring);
}

/* Tag and length of a DER element of len bytes of content; returns their size. */
static size_t put_der(uint8_t *out, uint8_t tag, size_t len)
{
	out[0] = tag;
	if (len < 0x80) {
		out[1] = (uint8_t)len;
		return 2;
	}
	out[1] = 0x82;
	out[2] = (uint8_t)(len >> 8);
	out[3] = (uint8_t)len;
	return 4;
}

/* The size of the DER SEQUENCE that in begins with, tag and all; 0 when there is none. */
static size_t sequence_size(const uint8_t *in, size_t len)
{
	size_t size, head = 2;

	if (len < 2 || in[0] != 0x30)
		return 0;
	size = in[1];
	if (size >= 0x80) {
		size_t n = size - 0x80;

		if (n < 1 || n > 2 || len < 2 + n)
			return 0;
		head += n;
		size = n == 1 ? in[2] : (size_t)in[2] << 8 | in[3];
	}
	return size <= len - head ? head + size : 0;
}

/* Makes a Ticket (malloced; *out_len) around a bare EncryptedData. */
static uint8_t *wrap_encrypted_data(const uint8_t *in, size_t len, size_t *out_len)
{
	/* tkt-vno 5, realm "X", sname type 0 ["x"]: never looked at */
	static const uint8_t front[] = {
		0xa0, 3,    2, 1, 5, 0xa1, 3,    0x1b, 1,    'X', 0xa2, 14, 0x30,
		12,   0xa0, 3, 2, 1, 0,    0xa1, 5,    0x30, 3,   0x1b, 1,  'x',
	};
	size_t size = sequence_size(in, len), at, inner;
	uint8_t head[4], *out;

	if (!size)
		return NULL;
	inner = sizeof(front) + put_der(head, 0xa3, size) + size;
	out = malloc(inner + 8);
	if (!out)
		return NULL;
	at = put_der(out, 0x61, put_der(head, 0x30, inner) + inner);
	at += put_der(out + at, 0x30, inner);
	memcpy(out + at, front, sizeof(front));
	at += sizeof(front);
	at += put_der(out + at, 0xa3, size);
	memcpy(out + at, in, size);
	*out_len = at + size;
	return out;
}

static krb5_error_code decode(uint32_t kvno, const uint8_t *ticket, size_t len, krb5_ticket **out)
{
	krb5_data data = { .length = (unsigned)len, .data = (char *)(uintptr_t)ticket };
	uint8_t *wrapped = NULL;
	krb5_error_code rc;
	size_t size;

	if (kvno == RXKAD_KVNO_V5_ENCPART) {
		wrapped = wrap_encrypted_data(ticket, len, &size);
		if (!wrapped)
			return EINVAL;
		data.length = (unsigned)size;
		data.data = (char *)wrapped;
	}
	rc = krb5_decode_ticket(&data, out);
	free(wrapped);
	return rc;
}

static const struct service_key *find_key(const struct rxkad_keyring *ring, krb5_kvno kvno, krb5_enctype enctype)
{
	for (size_t i = 0; i < ring->n; i++)
		if (ring->keys[i].kvno == kvno && ring->keys[i].enctype == enctype)
			return &ring->keys[i];
	return NULL;
}

/* Copies a part of a name. What could make two peers look alike in "name.inst@realm" is
 * refused: cutting long ones, NULs and other control characters, '@'. */
static bool copy_part(char out[RXKAD_NAME_MAX + 1], const krb5_data *in)
{
	if (in->length > RXKAD_NAME_MAX)
		return false;
	for (unsigned i = 0; i < in->length; i++)
		if ((unsigned char)in->data[i] < 0x20 || in->data[i] == 0x7f || in->data[i] == '@')
			return false;
	if (in->length)
		memcpy(out, in->data, in->length);
	out[in->length] = '\0';
	return true;
}

/* Services named after hosts, whose instance AFS knows by the host's short name. */
static bool is_host_service(const char *name)
{
	static const char *const services[] = {
		"host",  "discuss",   "rvdsrv", "sample",    "olc",      "pop",
		"sis",   "rfs",       "imap",   "ftp",       "ecat",     "daemon",
		"gnats", "moira",     "prms",   "mandarin",  "register", "changepw",
		"sms",   "afpserver", "gdss",   "news",      "abs",      "nfs",
		"tftp",  "http",      "khttp",  "pgpsigner", "irc",      "mandarin-agent",
		"write", "palladium", "lmtp",   "smtp",      "ldap",     "acap",
		"argus", "mupdate",   "sieve",  "cvs",
	};

	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
		if (!strcmp(name, services[i]))
			return true;
	return false;
}

/* The Kerberos 4 form of the client's name, which AFS thinks in. */
static int convert_name(krb5_const_principal client, struct rxkad_ticket *out)
{
	char *dot;

	if (client->length < 1 || client->length > 2 || !copy_part(out->name, &client->data[0]) ||
	    !copy_part(out->realm, &client->realm) || !out->name[0])
		return RXKAD_BADTICKET;
	out->instance[0] = '\0';
	if (client->length == 2 && !copy_part(out->instance, &client->data[1]))
		return RXKAD_BADTICKET;
	if (strchr(out->name, '.')) /* "a.b" and a/b would be the same */
		return RXKAD_BADTICKET;
	if (client->length == 2 && is_host_service(out->name)) {
		dot = strchr(out->instance, '.');
		if (!dot)
			return RXKAD_BADTICKET;
		*dot = '\0';
		if (!strcmp(out->name, "host"))
			strcpy(out->name, "rcmd");
	}
	return 0;
}

static int check_times(const krb5_enc_tkt_part *part, int64_t now, struct rxkad_ticket *out)
{
	/* 32 bits on the wire of libkrb5, unsigned since 1.16 */
	int64_t start = (uint32_t)part->times.starttime, end = (uint32_t)part->times.endtime;

	if (!start)
		start = (uint32_t)part->times.authtime;
	out->start = start;
	out->end = end;
	if (part->flags & TKT_FLG_INVALID) /* libkrb5 1.20 refuses it before us */
		return RXKAD_NOAUTH;
	if (now > end)
		return RXKAD_EXPIRED;
	if (start >= end || start > now + SKEW + LIFETIME_MAX)
		return RXKAD_BADTICKET;
	if (start != 0 && end != UINT32_MAX && end - start > LIFETIME_MAX)
		return RXKAD_BADTICKET;
	if (start - SKEW > now)
		return RXKAD_NOAUTH;
	return 0;
}

static int read_part(const krb5_enc_tkt_part *part, int64_t now, struct rxkad_ticket *out)
{
	int code;

	if (!part || !part->client || !part->session)
		return RXKAD_BADTICKET;
	code = convert_name(part->client, out);
	if (code)
		return code;
	if (rxkad_kdf(part->session->enctype, part->session->contents, part->session->length, out->key, NULL) < 0)
		return RXKAD_BADTICKET;
	return check_times(part, now, out);
}

int rxkad_ticket_accept(struct rxkad_keyring *ring, uint32_t kvno, const uint8_t *ticket, size_t len, int64_t wall_s,
			struct rxkad_ticket *out)
{
	const struct service_key *key;
	krb5_ticket *decoded = NULL;
	krb5_error_code rc;
	int code;

	memset(out, 0, sizeof(*out));
	if (kvno != RXKAD_KVNO_V5 && kvno != RXKAD_KVNO_V5_ENCPART)
		return RXKAD_UNKNOWNKEY;
	if (len > RXKAD_TICKET_MAX)
		return RXKAD_TICKETLEN;
	pthread_mutex_lock(&ring->lock);
	code = RXKAD_BADTICKET;
	if (decode(kvno, ticket, len, &decoded))
		goto out;
	code = RXKAD_UNKNOWNKEY;
	key = find_key(ring, decoded->enc_part.kvno, decoded->enc_part.enctype);
	if (!key)
		goto out;
	rc = krb5_server_decrypt_ticket_keytab(ring->ctx, key->keytab, decoded);
	if (rc)
		code = rc == KRB5KRB_AP_ERR_TKT_INVALID ? RXKAD_NOAUTH : RXKAD_BADTICKET;
	else
		code = read_part(decoded->enc_part2, wall_s, out);
out:
	krb5_free_ticket(ring->ctx, decoded);
	pthread_mutex_unlock(&ring->lock);
	if (code)
		OPENSSL_cleanse(out, sizeof(*out));
	return code;
}

void rxkad_ticket_identity(const struct rxkad_ticket *t, const char *local_realm, char name[256])
{
	bool local = t->realm[0] == '\0' || (local_realm && local_realm[0] && !strcmp(t->realm, local_realm));

	/* Plain "afs" is the administrator, whom only the service's own key can make, with
	 * an empty realm. A user of that name is somebody else. */
	if (t->realm[0] && !strcmp(t->name, "afs") && !t->instance[0])
		local = false;
	snprintf(name, 256, "%s%s%s%s%s", t->name, t->instance[0] ? "." : "", t->instance, local ? "" : "@",
		 local ? "" : t->realm);
}
