/* See mint.h. */
#include <krb5/krb5.h>
#include <time.h>

#include "tests/mint.h"
#include "tests/unit.h"

const uint8_t mint_service_key[32] = { 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa,
					   0xab, 0xac, 0xad, 0xae, 0xaf, 0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5,
					   0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf };

static void der_put(struct der *d, const void *bytes, size_t len)
{
	CU_ASSERT_FATAL(len <= d->at);
	d->at -= len;
	memcpy(d->buf + d->at, bytes, len);
}

/* Tag and length in front of all that was put since `end`. */
static void der_wrap(struct der *d, uint8_t tag, size_t end)
{
	size_t len = end - d->at;
	uint8_t head[4] = { tag, 0x82, (uint8_t)(len >> 8), (uint8_t)len };

	if (len < 0x80)
		head[1] = (uint8_t)len;
	else if (len < 0x100)
		memcpy(head, (uint8_t[]){ tag, 0x81, (uint8_t)len }, 3);
	der_put(d, head, len < 0x80 ? 2 : len < 0x100 ? 3 : 4);
}

static void der_field(struct der *d, int field, uint8_t tag, const void *bytes, size_t len)
{
	size_t end = d->at;

	der_put(d, bytes, len);
	der_wrap(d, tag, end);
	if (field >= 0)
		der_wrap(d, (uint8_t)(0xa0 + field), end);
}

static void der_int(struct der *d, int field, int value)
{
	uint8_t b[4] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value };
	size_t skip = value >= 0 && value < 0x80 ? 3 : value >= 0 && value < 0x8000 ? 2 : 0;

	der_field(d, field, 2, b + skip, 4 - skip);
}

static void der_time(struct der *d, int field, int64_t when)
{
	char text[32];
	struct tm tm;
	time_t t = (time_t)when;

	der_field(d, field, 0x18, text, strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", gmtime_r(&t, &tm)));
}

size_t mint_key_len(int enctype)
{
	return enctype == 18 || enctype == 20 ? 32 : 16;
}

static void mint_name(struct der *d, int field, const struct mint *m)
{
	size_t all = d->at, parts, n = 0;

	while (n < 4 && m->part[n])
		n++;
	parts = d->at;
	while (n-- > 0)
		der_field(d, -1, 0x1b, m->part[n], n == 0 && m->part_len ? m->part_len : strlen(m->part[n]));
	der_wrap(d, 0x30, parts);
	der_wrap(d, 0xa1, parts);
	der_int(d, 0, 1);
	der_wrap(d, 0x30, all);
	der_wrap(d, (uint8_t)(0xa0 + field), all);
}

void mint_part(struct der *d, const struct mint *m)
{
	uint8_t flags[5] = { 0, (uint8_t)(m->flags >> 24), (uint8_t)(m->flags >> 16), (uint8_t)(m->flags >> 8),
			     (uint8_t)m->flags };
	uint8_t session[64];
	size_t end = d->at, inner;

	for (size_t i = 0; i < sizeof(session); i++)
		session[i] = (uint8_t)i;
	der_time(d, 7, m->endtime);
	if (m->starttime >= 0)
		der_time(d, 6, m->starttime);
	der_time(d, 5, m->authtime);
	inner = d->at;
	der_field(d, 1, 4, "", 0);
	der_int(d, 0, 0);
	der_wrap(d, 0x30, inner);
	der_wrap(d, 0xa4, inner);
	mint_name(d, 3, m);
	der_field(d, 2, 0x1b, m->realm, strlen(m->realm));
	inner = d->at;
	der_field(d, 1, 4, session, m->session_len);
	der_int(d, 0, m->session_enctype);
	der_wrap(d, 0x30, inner);
	der_wrap(d, 0xa1, inner);
	der_field(d, 0, 3, flags, 5);
	der_wrap(d, 0x30, end);
	der_wrap(d, 0x63, end);
}

void mint_seal(struct der *d, const struct mint *m)
{
	krb5_keyblock key = { .enctype = m->enctype,
			      .length = (unsigned)mint_key_len(m->enctype),
			      .contents = (krb5_octet *)(uintptr_t)mint_service_key };
	krb5_data plain = { .length = (unsigned)(sizeof(d->buf) - d->at), .data = (char *)d->buf + d->at };
	const struct mint afs = { .part = { "afs", "example.org" } };
	krb5_enc_data sealed = { 0 };
	krb5_context ctx;
	size_t len, end;

	CU_ASSERT_EQUAL_FATAL(krb5_init_context(&ctx), 0);
	CU_ASSERT_EQUAL_FATAL(krb5_c_encrypt_length(ctx, m->enctype, plain.length, &len), 0);
	sealed.ciphertext.data = malloc(len);
	sealed.ciphertext.length = (unsigned)len;
	CU_ASSERT_EQUAL_FATAL(krb5_c_encrypt(ctx, &key, 2, NULL, &plain, &sealed), 0);
	d->at = end = sizeof(d->buf);
	der_field(d, 2, 4, sealed.ciphertext.data, sealed.ciphertext.length);
	if (m->kvno >= 0)
		der_int(d, 1, m->kvno);
	der_int(d, 0, m->enctype);
	der_wrap(d, 0x30, end);
	if (!m->bare) {
		der_wrap(d, 0xa3, end);
		mint_name(d, 2, &afs);
		der_field(d, 1, 0x1b, "EXAMPLE.ORG", 11);
		der_int(d, 0, 5);
		der_wrap(d, 0x30, end);
		der_wrap(d, 0x61, end);
	}
	free(sealed.ciphertext.data);
	krb5_free_context(ctx);
}
