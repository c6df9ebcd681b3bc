/* Kerberos: from a credential cache or a keytab to an rxkad security object for one
 * cell. Called by cm/token.c on any thread without locks; blocks while the Kerberos
 * library talks to the KDC. Each call has a krb5_context of its own. Service principals
 * are tried in aklog's order. Key copies are wiped by the library and by rx/. */
#include <ctype.h>
#include <errno.h>
#include <krb5.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cm/internal.h"

struct session {
	krb5_context ctx;
	krb5_ccache cc;
	bool destroy_cc; /* ours, in memory */
	krb5_principal client;
	const struct cm_krb5_want *want;
};

enum { KVNO_KRB5 = 256, CLOCKS_DIFFER_S = 60 };

static const char *advice(krb5_error_code code)
{
	switch (code) {
	case KRB5KRB_AP_ERR_TKT_EXPIRED:
		return "; the ticket has expired: run kinit";
	case KRB5_FCC_NOFILE:
	case KRB5_CC_NOTFOUND:
	case KRB5_CC_END:
		return "; there are no tickets: run kinit";
	case KRB5KDC_ERR_C_PRINCIPAL_UNKNOWN:
		return "; the KDC does not know this user: check the spelling of the principal and its realm";
	case KRB5_KT_NOTFOUND:
		return "; see with klist -k whose keys it holds";
	case KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN:
		return "; check the name of the cell and of its realm";
	case KRB5_KDC_UNREACH:
	case KRB5_REALM_UNKNOWN:
		return "; check krb5.conf and the network";
	case KRB5KRB_AP_ERR_SKEW:
		return "; set this machine's clock";
	case KRB5KDC_ERR_PREAUTH_FAILED:
		return "; the keytab's key is not the KDC's: make a new keytab";
	default:
		return "";
	}
}

static int errno_of(krb5_error_code code)
{
	switch (code) {
	case KRB5KRB_AP_ERR_TKT_EXPIRED:
		return EKEYEXPIRED;
	case KRB5_FCC_NOFILE:
	case KRB5_CC_NOTFOUND:
	case KRB5_CC_END:
	case KRB5KDC_ERR_C_PRINCIPAL_UNKNOWN:
	case KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN:
	case KRB5_KT_NOTFOUND:
		return ENOKEY;
	case KRB5_KDC_UNREACH:
		return ETIMEDOUT;
	case ENOMEM:
		return ENOMEM;
	default:
		return EKEYREJECTED;
	}
}

static int krb5_fail(const struct session *s, krb5_error_code code, struct rx_error *err, const char *what,
		     const char *name)
{
	const char *text = krb5_get_error_message(s->ctx, code);
	int rc;

	if (code == KRB5KRB_AP_ERR_TKT_EXPIRED)
		rc = rx_error_set(err, RX_ORIGIN_RXKAD, RXKAD_EXPIRED, EKEYEXPIRED,
				  "%s %s: the Kerberos ticket has expired: run kinit", what, name);
	else
		rc = rx_error_set(err, RX_ORIGIN_KRB5, (int32_t)code, errno_of(code), "%s %s: %s%s", what, name, text,
				  advice(code));
	krb5_free_error_message(s->ctx, text);
	return rc;
}

/* The library looks for tickets that are good by its own clock; ours may be another. */
static void set_clock(krb5_context ctx, int64_t now_s)
{
	krb5_timestamp library = 0;

	if (krb5_timeofday(ctx, &library) == 0 && llabs(now_s - (int64_t)(uint32_t)library) > CLOCKS_DIFFER_S)
		krb5_set_real_time(ctx, (krb5_timestamp)now_s, -1);
}

/* Splits "KEYTAB:PRINCIPAL"; false if spec is a credential cache's name. An optional
 * literal "KEYTAB:" in front forces it, then without a file the default keytab serves. */
static bool split_keytab(const char *spec, char file[512], char principal[256])
{
	bool forced = strncmp(spec, "KEYTAB:", 7) == 0;
	const char *rest = forced ? spec + 7 : spec, *path = rest, *colon = strrchr(rest, ':');
	unsigned char magic[2] = { 0, 0 };
	FILE *f;

	if (strncmp(rest, "FILE:", 5) == 0)
		path = rest + 5;
	if (!colon || colon < path) {
		snprintf(file, 512, "%s", "");
		snprintf(principal, 256, "%s", rest);
		return forced;
	}
	if (colon[1] == '\0' || colon[1] == '/' || (size_t)(colon - path) >= 512)
		return false;
	snprintf(file, 512, "%.*s", (int)(colon - path), path);
	snprintf(principal, 256, "%s", colon + 1);
	if (forced)
		return true;
	/* A cache may have a colon in its name too: look whether it is a keytab. */
	f = fopen(file, "rbe");
	if (!f)
		return file[0] == '/';
	if (fread(magic, 1, 2, f) != 2)
		magic[0] = 0;
	fclose(f);
	return magic[0] == 5 && (magic[1] == 1 || magic[1] == 2);
}

static int open_keytab(struct session *s, const char *file, const char *principal, struct rx_error *err)
{
	krb5_keytab kt = NULL;
	krb5_creds creds;
	krb5_error_code code;
	int rc = -1;

	memset(&creds, 0, sizeof(creds));
	code = krb5_parse_name(s->ctx, principal, &s->client);
	if (code)
		return krb5_fail(s, code, err, "cannot read the principal", principal);
	code = *file ? krb5_kt_resolve(s->ctx, file, &kt) : krb5_kt_default(s->ctx, &kt);
	if (code)
		return krb5_fail(s, code, err, "cannot open the keytab", *file ? file : "of this machine");
	code = krb5_get_init_creds_keytab(s->ctx, &creds, s->client, kt, 0, NULL, NULL);
	if (code) {
		krb5_fail(s, code, err, "cannot log in from the keytab as", principal);
		goto out;
	}
	code = krb5_cc_new_unique(s->ctx, "MEMORY", NULL, &s->cc);
	if (code) {
		krb5_fail(s, code, err, "cannot make a ticket cache for", principal);
		goto out;
	}
	s->destroy_cc = true;
	code = krb5_cc_initialize(s->ctx, s->cc, creds.client);
	if (!code)
		code = krb5_cc_store_cred(s->ctx, s->cc, &creds);
	if (code) {
		krb5_fail(s, code, err, "cannot fill a ticket cache for", principal);
		goto out;
	}
	rc = 0;
out:
	krb5_free_cred_contents(s->ctx, &creds);
	krb5_kt_close(s->ctx, kt);
	return rc;
}

static int open_ccache(struct session *s, const char *spec, struct rx_error *err)
{
	const char *shown = spec && *spec ? spec : "(default)";
	krb5_error_code code;

	code = spec && *spec ? krb5_cc_resolve(s->ctx, spec, &s->cc) : krb5_cc_default(s->ctx, &s->cc);
	if (code)
		return krb5_fail(s, code, err, "cannot open the ticket cache", shown);
	code = krb5_cc_get_principal(s->ctx, s->cc, &s->client);
	if (code)
		return krb5_fail(s, code, err, "cannot read the ticket cache", shown);
	return 0;
}

static krb5_error_code try_service(struct session *s, const char *cell, const char *realm, krb5_creds **out)
{
	krb5_creds in;
	krb5_error_code code;
	unsigned len = (unsigned)strlen(realm);

	memset(&in, 0, sizeof(in));
	if (cell)
		code = krb5_build_principal(s->ctx, &in.server, len, realm, "afs", cell, (char *)NULL);
	else
		code = krb5_build_principal(s->ctx, &in.server, len, realm, "afs", (char *)NULL);
	if (code)
		return code;
	code = krb5_copy_principal(s->ctx, s->client, &in.client);
	if (!code)
		code = krb5_get_credentials(s->ctx, 0, s->cc, &in, out);
	krb5_free_cred_contents(s->ctx, &in);
	return code;
}

static bool may_try_next(krb5_error_code code)
{
	return code == KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN || code == KRB5_KT_NOTFOUND || code == KRB5KRB_ERR_GENERIC;
}

/* aklog's order: the user's realm, the database server's, the one guessed from its name. */
static krb5_error_code get_service(struct session *s, krb5_creds **out)
{
	const char *cell = s->want->cell, *host = s->want->db_host && *s->want->db_host ? s->want->db_host : cell;
	char realms[3][256] = { { 0 } };
	bool empty_referral = false;
	unsigned n = 0;
	char **list = NULL;
	krb5_error_code code = KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN;

	snprintf(realms[n++], 256, "%.*s", (int)s->client->realm.length, s->client->realm.data);
	if (krb5_get_host_realm(s->ctx, host, &list) == 0 && list) {
		empty_referral = list[0] && !*list[0];
		if (list[0])
			snprintf(realms[n++], 256, "%s", list[0]);
		krb5_free_host_realm(s->ctx, list);
	}
	if (empty_referral || n == 1) {
		const char *dot = strchr(host, '.');

		snprintf(realms[n], 256, "%s", dot ? dot + 1 : cell);
		for (char *c = realms[n]; *c; c++)
			*c = (char)toupper((unsigned char)*c);
		n++;
	}
	for (unsigned i = 0; i < n; i++) {
		code = try_service(s, cell, realms[i], out);
		if (code == 0 || !may_try_next(code))
			return code;
		if (*realms[i] && strcasecmp(realms[i], cell) == 0) {
			code = try_service(s, NULL, realms[i], out);
			if (code == 0 || !may_try_next(code))
				return code;
		}
	}
	return code;
}

/* The PTS name: name[.instance][@realm]; the realm only if it is not the cell's. */
static void set_principal(struct session *s, struct cm_credential *out)
{
	char *name = NULL, *at, *slash;

	if (krb5_unparse_name(s->ctx, s->client, &name))
		return;
	at = strrchr(name, '@');
	if (at && strcasecmp(at + 1, s->want->cell) == 0)
		*at = '\0';
	slash = strchr(name, '/');
	if (slash)
		*slash = '.';
	snprintf(out->principal, sizeof(out->principal), "%s", name);
	krb5_free_unparsed_name(s->ctx, name);
}

static int make_security(struct session *s, const krb5_creds *creds, int64_t now_s, struct cm_credential *out,
			 struct rx_error *err)
{
	out->expires = (int64_t)(uint32_t)creds->times.endtime;
	out->enctype = creds->keyblock.enctype;
	set_principal(s, out);
	if (out->expires <= now_s)
		return rx_error_set(err, RX_ORIGIN_RXKAD, RXKAD_EXPIRED, EKEYEXPIRED,
				    "%s: the ticket for cell %s has expired: run kinit", out->principal, s->want->cell);
	SHA256((const unsigned char *)creds->ticket.data, creds->ticket.length, out->ticket_hash);
	out->sec = rxkad_client_new(s->want->level, KVNO_KRB5, creds->keyblock.enctype, creds->keyblock.contents,
				    creds->keyblock.length, (const uint8_t *)creds->ticket.data, creds->ticket.length,
				    out->expires, err);
	return out->sec ? 0 : -1;
}

int cm_krb5_credential(const struct cm_krb5_want *want, int64_t now_s, struct cm_credential *out, struct rx_error *err)
{
	struct session s = { .want = want };
	char file[512], principal[256], what[600];
	krb5_creds *creds = NULL;
	krb5_error_code code;
	int rc;

	memset(out, 0, sizeof(*out));
	code = krb5_init_context(&s.ctx);
	if (code)
		return rx_error_set(err, RX_ORIGIN_KRB5, (int32_t)code, EINVAL,
				    "cannot start the Kerberos library: check krb5.conf");
	set_clock(s.ctx, now_s);
	if (want->spec && split_keytab(want->spec, file, principal))
		rc = open_keytab(&s, file, principal, err);
	else
		rc = open_ccache(&s, want->spec, err);
	if (rc)
		goto out;
	code = get_service(&s, &creds);
	if (code == KRB5KRB_AP_ERR_MSG_TYPE)
		code = get_service(&s, &creds);
	if (code) {
		char *name = NULL;

		if (krb5_unparse_name(s.ctx, s.client, &name))
			name = NULL;
		snprintf(what, sizeof(what), "%s: cannot get a ticket for cell", name ? name : "the user");
		rc = krb5_fail(&s, code, err, what, want->cell);
		krb5_free_unparsed_name(s.ctx, name);
		goto out;
	}
	rc = make_security(&s, creds, now_s, out, err);
out:
	if (rc)
		cm_credential_clear(out);
	if (creds)
		krb5_free_creds(s.ctx, creds);
	krb5_free_principal(s.ctx, s.client);
	if (s.cc) {
		if (s.destroy_cc)
			krb5_cc_destroy(s.ctx, s.cc);
		else
			krb5_cc_close(s.ctx, s.cc);
	}
	krb5_free_context(s.ctx);
	return rc;
}

void cm_credential_clear(struct cm_credential *c)
{
	rx_security_put(c->sec);
	memset(c, 0, sizeof(*c));
}
