/* The service's key and Kerberos tickets made with it, so that no KDC is needed: DER by hand
 * (RFC 4120, Ticket and EncTicketPart), sealed by libkrb5, written into credential caches.
 * Called while a cell starts and by cell_write_ticket; any thread. */
#include <errno.h>
#include <krb5.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tools/cell/disk.h"
#include "tools/cell/internal.h"

enum {
	AES256 = 18,
	KEY_LEN = 32,
	KEYS_MAX = 16,
	TICKET_USAGE = 2,
	DER_SPACE = 2048,
	TRANSITED_CHECKED = 0x00080000,
	CLOCK_SKEW_S = 300,
};

struct cell_keys {
	struct rxkad_service_key key[KEYS_MAX];
	size_t n;
	uint8_t bytes[KEYS_MAX][64];
};

static int krb5_fail(krb5_context ctx, krb5_error_code code, struct rx_error *err, const char *what, const char *name)
{
	const char *text = krb5_get_error_message(ctx, code);
	int rc = rx_error_set(err, RX_ORIGIN_KRB5, (int32_t)code, EINVAL, "%s %s: %s", what, name, text);

	krb5_free_error_message(ctx, text);
	return rc;
}

/* ---- the service's keys ---- */

static bool is_service(krb5_context ctx, const struct cell *cell, krb5_const_principal p)
{
	char want[600], *name = NULL;
	bool is;

	snprintf(want, sizeof(want), "afs/%s@%s", cell->name, cell->realm);
	if (krb5_unparse_name(ctx, p, &name))
		return false;
	is = !strcmp(name, want);
	krb5_free_unparsed_name(ctx, name);
	return is;
}

static int read_keytab(struct cell *cell, struct cell_keys *keys, const char *path, struct rx_error *err)
{
	krb5_context ctx = NULL;
	krb5_keytab kt = NULL;
	krb5_kt_cursor cursor;
	krb5_keytab_entry e;
	krb5_error_code code;
	int rc = -1;

	if (krb5_init_context(&ctx))
		return rx_error_errno(err, EINVAL, "starting the Kerberos library");
	code = krb5_kt_resolve(ctx, path, &kt);
	if (!code)
		code = krb5_kt_start_seq_get(ctx, kt, &cursor);
	if (code) {
		krb5_fail(ctx, code, err, "cannot read the keytab", path);
		goto out;
	}
	while (!krb5_kt_next_entry(ctx, kt, &e, &cursor)) {
		if (keys->n < KEYS_MAX && e.key.length <= sizeof(keys->bytes[0]) &&
		    is_service(ctx, cell, e.principal)) {
			uint8_t *bytes = keys->bytes[keys->n];

			memcpy(bytes, e.key.contents, e.key.length);
			keys->key[keys->n++] =
				(struct rxkad_service_key){ (int)e.vno, e.key.enctype, bytes, e.key.length };
		}
		krb5_free_keytab_entry_contents(ctx, &e);
	}
	krb5_kt_end_seq_get(ctx, kt, &cursor);
	rc = keys->n ? 0
		     : rx_error_set(err, RX_ORIGIN_ERRNO, ENOKEY, ENOKEY,
				    "the keytab %s has no key of afs/%s@%s; see what it has with klist -k", path,
				    cell->name, cell->realm);
out:
	if (kt)
		krb5_kt_close(ctx, kt);
	krb5_free_context(ctx);
	return rc;
}

/* The key of a cell that outlives this process, so that tickets do too. */
static int kept_key(struct cell *cell, const char *data, uint8_t key[KEY_LEN], struct rx_error *err)
{
	struct cell_file *f = cell->disk->ops->open(cell->disk, "key", CELL_DISK_WRITE);
	off_t size = f ? f->ops->size(f) : -1;
	int rc = size < 0 ? -1 : 0;

	if (size == 0) {
		cell->env->ops->random(cell->env, key, KEY_LEN);
		rc = cell_disk_write_all(f, key, KEY_LEN, 0);
		if (rc == 0 && cell->sync)
			rc = f->ops->sync(f) ? -1 : cell->disk->ops->sync_names(cell->disk, "");
	} else if (size == KEY_LEN) {
		rc = cell_disk_read_all(f, key, KEY_LEN, 0);
	}
	if (rc)
		rx_error_errno(err, errno, "cannot keep the key in %s/key", data);
	else if (size != 0 && size != KEY_LEN)
		rc = rx_error_errno(err, EIO, "%s/key has %lld bytes instead of %d: remove it", data, (long long)size,
				    KEY_LEN);
	if (f)
		f->ops->close(f);
	return rc;
}

struct cell_keys *cell_keys_new(struct cell *cell, const char *keytab, const char *data, struct rx_error *err)
{
	struct cell_keys *keys = calloc(1, sizeof(*keys));

	if (!keys) {
		rx_error_errno(err, ENOMEM, "making keys");
		return NULL;
	}
	if (keytab) {
		if (read_keytab(cell, keys, keytab, err)) {
			free(keys);
			return NULL;
		}
		return keys;
	}
	if (data && kept_key(cell, data, keys->bytes[0], err)) {
		free(keys);
		return NULL;
	}
	if (!data)
		cell->env->ops->random(cell->env, keys->bytes[0], KEY_LEN);
	keys->key[0] = (struct rxkad_service_key){ 1, AES256, keys->bytes[0], KEY_LEN };
	keys->n = 1;
	return keys;
}

void cell_keys_free(struct cell_keys *keys)
{
	if (keys)
		explicit_bzero(keys, sizeof(*keys));
	free(keys);
}

struct rx_security *cell_keys_security(struct cell *cell, struct rx_error *err)
{
	return rxkad_server_new(cell->keys->key, cell->keys->n, RXKAD_CLEAR, cell->realm, err);
}

/* ---- DER, which grows from the end of its space to the front ---- */

struct der {
	uint8_t space[DER_SPACE];
	size_t at;
	bool full;
};

static void der_put(struct der *d, const void *bytes, size_t len)
{
	if (len > d->at) {
		d->full = true;
		return;
	}
	d->at -= len;
	if (len)
		memcpy(d->space + d->at, bytes, len);
}

/* Tag and length in front of all that was put since d->at was `end`. */
static void der_wrap(struct der *d, uint8_t tag, size_t end)
{
	size_t len = end - d->at;
	uint8_t head[4] = { tag, 0x82, (uint8_t)(len >> 8), (uint8_t)len };

	if (len < 0x80) {
		head[1] = (uint8_t)len;
		der_put(d, head, 2);
	} else {
		der_put(d, head, 4);
	}
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
	size_t skip = value < 0x80 ? 3 : value < 0x8000 ? 2 : 0;

	der_field(d, field, 2, b + skip, 4 - skip);
}

static void der_time(struct der *d, int field, int64_t when)
{
	char text[32];
	struct tm tm;
	time_t t = (time_t)when;

	der_field(d, field, 0x18, text, strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", gmtime_r(&t, &tm)));
}

static void der_principal(struct der *d, int field, const char *first, const char *second)
{
	size_t all = d->at;

	if (second)
		der_field(d, -1, 0x1b, second, strlen(second));
	der_field(d, -1, 0x1b, first, strlen(first));
	der_wrap(d, 0x30, all);
	der_wrap(d, 0xa1, all);
	der_int(d, 0, 1);
	der_wrap(d, 0x30, all);
	der_wrap(d, (uint8_t)(0xa0 + field), all);
}

/* ---- tickets ---- */

struct ticket {
	const char *user;
	int64_t start, end;
	uint8_t session[KEY_LEN];
};

static void part(struct der *d, const struct cell *cell, const struct ticket *t)
{
	static const uint8_t flags[5] = { 0, 0, TRANSITED_CHECKED >> 16, 0, 0 };
	size_t end = d->at, inner;

	der_time(d, 7, t->end);
	der_time(d, 6, t->start);
	der_time(d, 5, t->start);
	inner = d->at;
	der_field(d, 1, 4, "", 0);
	der_int(d, 0, 0);
	der_wrap(d, 0x30, inner);
	der_wrap(d, 0xa4, inner);
	der_principal(d, 3, t->user, NULL);
	der_field(d, 2, 0x1b, cell->realm, strlen(cell->realm));
	inner = d->at;
	der_field(d, 1, 4, t->session, sizeof(t->session));
	der_int(d, 0, AES256);
	der_wrap(d, 0x30, inner);
	der_wrap(d, 0xa1, inner);
	der_field(d, 0, 3, flags, sizeof(flags));
	der_wrap(d, 0x30, end);
	der_wrap(d, 0x63, end);
}

/* d holds the part and then the ticket. */
static krb5_error_code seal(krb5_context ctx, const struct cell *cell, struct der *d)
{
	const struct rxkad_service_key *service = &cell->keys->key[0];
	krb5_keyblock key = { .enctype = service->enctype,
			      .length = (unsigned)service->len,
			      .contents = (krb5_octet *)(uintptr_t)service->key };
	krb5_data plain = { .length = (unsigned)(sizeof(d->space) - d->at), .data = (char *)d->space + d->at };
	krb5_enc_data sealed = { 0 };
	krb5_error_code code;
	size_t len, end;

	code = krb5_c_encrypt_length(ctx, key.enctype, plain.length, &len);
	if (code)
		return code;
	sealed.ciphertext.data = malloc(len);
	if (!sealed.ciphertext.data)
		return ENOMEM;
	sealed.ciphertext.length = (unsigned)len;
	code = krb5_c_encrypt(ctx, &key, TICKET_USAGE, NULL, &plain, &sealed);
	d->at = end = sizeof(d->space);
	if (code == 0) {
		der_field(d, 2, 4, sealed.ciphertext.data, sealed.ciphertext.length);
		der_int(d, 1, service->kvno);
		der_int(d, 0, service->enctype);
		der_wrap(d, 0x30, end);
		der_wrap(d, 0xa3, end);
		der_principal(d, 2, "afs", cell->name);
		der_field(d, 1, 0x1b, cell->realm, strlen(cell->realm));
		der_int(d, 0, 5);
		der_wrap(d, 0x30, end);
		der_wrap(d, 0x61, end);
	}
	free(sealed.ciphertext.data);
	return d->full ? ENOSPC : code;
}

static krb5_error_code store(krb5_context ctx, const struct cell *cell, const struct ticket *t, struct der *d,
			     const char *path)
{
	unsigned len = (unsigned)strlen(cell->realm);
	krb5_ccache cc = NULL;
	krb5_creds creds;
	char name[4200];
	krb5_error_code code;

	memset(&creds, 0, sizeof(creds));
	snprintf(name, sizeof(name), "%s%s", strncmp(path, "MEMORY:", 7) ? "FILE:" : "", path);
	code = krb5_build_principal(ctx, &creds.client, len, cell->realm, t->user, (char *)NULL);
	if (!code)
		code = krb5_build_principal(ctx, &creds.server, len, cell->realm, "afs", cell->name, (char *)NULL);
	if (!code)
		code = krb5_cc_resolve(ctx, name, &cc);
	if (!code)
		code = krb5_cc_initialize(ctx, cc, creds.client);
	if (!code) {
		creds.keyblock.enctype = AES256;
		creds.keyblock.length = KEY_LEN;
		creds.keyblock.contents = (krb5_octet *)(uintptr_t)t->session;
		creds.times.authtime = creds.times.starttime = (krb5_timestamp)t->start;
		creds.times.endtime = (krb5_timestamp)t->end;
		creds.ticket_flags = TRANSITED_CHECKED;
		creds.ticket.data = (char *)d->space + d->at;
		creds.ticket.length = (unsigned)(sizeof(d->space) - d->at);
		code = krb5_cc_store_cred(ctx, cc, &creds);
	}
	if (cc)
		krb5_cc_close(ctx, cc);
	krb5_free_principal(ctx, creds.client);
	krb5_free_principal(ctx, creds.server);
	return code;
}

/* A ticket's times. One that is made when the user's tickets have expired is none of those. */
static void set_times(struct cell *cell, struct ticket *t, int64_t life_s)
{
	int64_t now = cell_now(cell);
	struct cell_principal *p;

	t->start = now - CLOCK_SKEW_S;
	t->end = now + life_s;
	rx_mutex_lock(&cell->lock);
	p = cell_principal_by_name(cell, t->user);
	if (p && t->start <= p->expired_until)
		t->start = p->expired_until + 1;
	if (t->start >= t->end)
		t->start = t->end - 1;
	if (p && t->start > p->last_ticket)
		p->last_ticket = t->start;
	rx_mutex_unlock(&cell->lock);
}

int cell_write_ticket(struct cell *cell, const char *user, const char *path, int64_t life_s, struct rx_error *err)
{
	struct ticket t = { .user = user };
	struct der d = { .at = sizeof(d.space) };
	krb5_context ctx;
	krb5_error_code code;
	int rc = 0;

	if (krb5_init_context(&ctx))
		return rx_error_errno(err, EINVAL, "starting the Kerberos library");
	set_times(cell, &t, life_s);
	cell->env->ops->random(cell->env, t.session, sizeof(t.session));
	part(&d, cell, &t);
	code = d.full ? ENOSPC : seal(ctx, cell, &d);
	if (!code)
		code = store(ctx, cell, &t, &d, path);
	if (code)
		rc = krb5_fail(ctx, code, err, "cannot write the ticket cache", path);
	explicit_bzero(t.session, sizeof(t.session));
	krb5_free_context(ctx);
	return rc;
}
