/* Tokens: identities whose credential may be replaced by a newer one of the same
 * identity. Called on any thread; asks Kerberos without locks held. A token never turns
 * into another identity, least of all into nobody. cm/server.c asks for the credential
 * when it makes a connection, cm/op.c and cm/flush.c for a fresh one after a refusal. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cm/internal.h"
#include "rx/maybe.h"

enum {
	RENEW_BEFORE_S = 300, /* look for a newer ticket when ours ends so soon */
	LOOK_EVERY_US = 20 * 1000 * 1000,
	DEAD_BEFORE_S = 60, /* no new calls with a ticket that ends so soon */
};

static int get_credential(struct cm_token *t, struct cm_credential *out, struct rx_error *err)
{
	struct cm_krb5_want want = {
		.spec = t->spec, .cell = t->cell->name, .db_host = t->cell->host, .level = t->level
	};

	return cm_krb5_credential(&want, t->cm->env->ops->wall_s(t->cm->env), out, err);
}

int cm_token_open(struct cm *cm, const char *spec, const char *cell, struct cm_token **out, struct rx_error *err)
{
	struct cm_token *t;
	struct cm_cell *c = cell ? cm_cell_find(cm, cell, err) : cm->local;

	*out = NULL;
	if (!c)
		return -1;
	t = calloc(1, sizeof(*t));
	if (!t)
		return rx_error_errno(err, ENOMEM, "opening a token");
	t->cm = cm;
	t->cell = c;
	t->refs = 1;
	t->level = cm->config.level;
	t->generation = 1;
	snprintf(t->spec, sizeof(t->spec), "%s", spec ? spec : "");
	t->anonymous = strcmp(t->spec, "anonymous") == 0;
	if (t->anonymous)
		t->vice_id = CM_ANONYMOUS_ID;
	else if (get_credential(t, &t->cred, err)) {
		free(t);
		return -1;
	}
	t->looked_us = rx_now_us(cm->env);
	rx_mutex_init(&t->lock, cm->env, RX_RANK_TOKEN, "token");
	rx_mutex_lock(&cm->lock);
	t->id = ++cm->token_ids;
	t->next = cm->tokens;
	cm->tokens = t;
	rx_mutex_unlock(&cm->lock);
	*out = t;
	return 0;
}

struct cm_token *cm_token_get(struct cm_token *t)
{
	rx_mutex_lock(&t->cm->lock);
	t->refs++;
	rx_mutex_unlock(&t->cm->lock);
	return t;
}

static void token_free(struct cm_token *t)
{
	rx_mutex_destroy(&t->lock);
	cm_credential_clear(&t->cred);
	free(t);
}

void cm_token_put(struct cm_token *t)
{
	struct cm *cm;

	if (!t)
		return;
	cm = t->cm;
	rx_mutex_lock(&cm->lock);
	if (--t->refs > 0) {
		rx_mutex_unlock(&cm->lock);
		return;
	}
	for (struct cm_token **p = &cm->tokens; *p; p = &(*p)->next) {
		if (*p == t) {
			*p = t->next;
			break;
		}
	}
	rx_mutex_unlock(&cm->lock);
	cm_conns_retire(cm, t->id, UINT64_MAX);
	token_free(t);
}

void cm_tokens_destroy(struct cm *cm)
{
	while (cm->tokens) {
		struct cm_token *t = cm->tokens;

		cm->tokens = t->next;
		token_free(t);
	}
}

bool cm_token_is_anonymous(const struct cm_token *t)
{
	return t->anonymous;
}

const char *cm_token_name(struct cm_token *t, char buf[256])
{
	if (t->anonymous) {
		snprintf(buf, 256, "anonymous");
		return buf;
	}
	rx_mutex_lock(&t->lock);
	snprintf(buf, 256, "%s", t->cred.principal);
	rx_mutex_unlock(&t->lock);
	return buf;
}

/* Takes a newer ticket of the same identity. 0 if there was one. */
int cm_token_refresh(struct cm_token *t, struct rx_error *err)
{
	struct cm_credential fresh;
	uint64_t generation;
	bool same, other;

	if (t->anonymous)
		return rx_error_set(err, RX_ORIGIN_ERRNO, ENOKEY, ENOKEY, "anonymous has no ticket to renew");
	if (get_credential(t, &fresh, err))
		return -1;
	rx_mutex_lock(&t->lock);
	same = memcmp(fresh.ticket_hash, t->cred.ticket_hash, sizeof(fresh.ticket_hash)) == 0;
	other = strcmp(fresh.principal, t->cred.principal) != 0;
	t->looked_us = rx_now_us(t->cm->env);
	if (!same && !other) {
		struct cm_credential old = t->cred;

		t->cred = fresh;
		fresh = old;
		generation = ++t->generation;
	} else {
		generation = t->generation;
	}
	rx_mutex_unlock(&t->lock);
	if (other)
		rx_error_set(err, RX_ORIGIN_KRB5, 0, ENOKEY,
			     "the ticket cache belongs to %s now: run kinit for the former user again",
			     fresh.principal);
	else if (same)
		rx_error_set(err, RX_ORIGIN_RXKAD, RXKAD_EXPIRED, EKEYEXPIRED,
			     "%s has no newer ticket for cell %s: run kinit", fresh.principal, t->cell->name);
	cm_credential_clear(&fresh);
	if (same || other)
		return -1;
	cm_conns_retire(t->cm, t->id, generation);
	return 0;
}

static bool should_look(struct cm_token *t, int64_t now_s, uint64_t now_us)
{
	return t->cred.expires - now_s < RENEW_BEFORE_S && now_us - t->looked_us >= LOOK_EVERY_US;
}

int cm_token_credential(struct cm_token *t, struct rx_security **sec, uint64_t *generation, struct rx_error *err)
{
	struct cm *cm = t->cm;
	int64_t now_s = cm->env->ops->wall_s(cm->env), expires;
	bool look;

	*sec = NULL;
	*generation = 0;
	if (t->anonymous) {
		*sec = rx_null_new();
		return *sec ? 0 : rx_error_errno(err, ENOMEM, "making an anonymous connection");
	}
	rx_mutex_lock(&t->lock);
	look = should_look(t, now_s, rx_now_us(cm->env));
	/* One that is nearly dead is worth a look each time: somebody may have run kinit. */
	look = look || t->cred.expires - now_s < DEAD_BEFORE_S || UMAFS_MAYBE(cm->env, TOKEN_LOOK);
	rx_mutex_unlock(&t->lock);
	if (look)
		(void)cm_token_refresh(t, NULL);
	rx_mutex_lock(&t->lock);
	expires = t->cred.expires;
	if (expires > now_s) {
		*sec = rx_security_get(t->cred.sec);
		*generation = t->generation;
	}
	rx_mutex_unlock(&t->lock);
	if (*sec)
		return 0;
	return rx_error_set(err, RX_ORIGIN_RXKAD, RXKAD_EXPIRED, EKEYEXPIRED,
			    "the ticket of %s for cell %s has expired: run kinit", t->cred.principal, t->cell->name);
}

/* Asks the protection server which number the name has; 0 if it cannot be known now. */
static int32_t ask_vice_id(struct cm_token *t)
{
	char name[256];
	int32_t id = 0;
	char *at;

	cm_token_name(t, name);
	at = strchr(name, '@');
	/* Users of the cell's own realm are known without it. */
	if (at)
		*at = '\0';
	if (strlen(name) >= 64)
		return 0;
	return cm_pt_name_to_id(t->cell, name, &id) ? 0 : id;
}

void cm_token_info(struct cm_token *t, struct cm_token_info *out)
{
	int32_t id;

	memset(out, 0, sizeof(*out));
	snprintf(out->cell, sizeof(out->cell), "%s", t->cell->name);
	if (t->anonymous) {
		out->vice_id = CM_ANONYMOUS_ID;
		return;
	}
	rx_mutex_lock(&t->lock);
	id = t->vice_id;
	rx_mutex_unlock(&t->lock);
	if (id == 0)
		id = ask_vice_id(t);
	rx_mutex_lock(&t->lock);
	t->vice_id = id;
	snprintf(out->principal, sizeof(out->principal), "%s", t->cred.principal);
	out->expires = t->cred.expires;
	out->vice_id = id;
	out->level = t->level;
	out->enctype = t->cred.enctype;
	rx_mutex_unlock(&t->lock);
}
