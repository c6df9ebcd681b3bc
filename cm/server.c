/* Servers, their addresses, and the connections to them: one set for each (address,
 * service, token credential), at most CM_CONNS_PER_TOKEN of four channels each. Called
 * by cm/op.c on any thread, by cm/callback.c on the loop's. All tables are under
 * cm->lock; making a connection sends nothing, so it is made under it too. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cm/internal.h"
#include "rx/maybe.h"

enum { BUSY_USERS = 3, DOWN_STEP_S = 5, DOWN_MAX_S = 30, GOODBYE_S = 3, TRIAL_DEAD_S = 12 };

static struct cm_server *server_new(struct cm_cell *cell, bool is_db)
{
	struct cm_server *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->cm = cell->cm;
	s->cell = cell;
	s->is_db = is_db;
	s->next = cell->cm->servers;
	cell->cm->servers = s;
	return s;
}

struct cm_server *cm_server_by_uuid(struct cm_cell *cell, const struct afs_uuid *uuid)
{
	struct cm *cm = cell->cm;
	struct cm_server *s;

	rx_mutex_lock(&cm->lock);
	for (s = cm->servers; s; s = s->next) {
		if (s->has_uuid && afs_uuid_equal(&s->uuid, uuid))
			break;
	}
	if (!s) {
		s = server_new(cell, false);
		if (s) {
			s->has_uuid = true;
			s->uuid = *uuid;
		}
	}
	rx_mutex_unlock(&cm->lock);
	return s;
}

static struct cm_server *find_addr(struct cm *cm, const struct rx_addr *addr, int is_db)
{
	for (struct cm_server *s = cm->servers; s; s = s->next) {
		if (is_db >= 0 && s->is_db != (is_db > 0))
			continue;
		for (unsigned i = 0; i < s->naddrs; i++) {
			if (rx_addr_equal(&s->addrs[i].addr, addr))
				return s;
		}
	}
	return NULL;
}

struct cm_server *cm_server_by_addr(struct cm_cell *cell, const struct rx_addr *addr, bool is_db)
{
	struct cm *cm = cell->cm;
	struct cm_server *s;

	rx_mutex_lock(&cm->lock);
	s = find_addr(cm, addr, is_db);
	if (!s) {
		s = server_new(cell, is_db);
		if (s) {
			s->addrs[0].addr = *addr;
			s->naddrs = 1;
		}
	}
	rx_mutex_unlock(&cm->lock);
	return s;
}

struct cm_server *cm_server_find_uuid(struct cm *cm, const struct afs_uuid *uuid)
{
	struct cm_server *s;

	rx_mutex_lock(&cm->lock);
	for (s = cm->servers; s; s = s->next) {
		if (s->has_uuid && afs_uuid_equal(&s->uuid, uuid))
			break;
	}
	rx_mutex_unlock(&cm->lock);
	return s;
}

struct cm_server *cm_server_find_addr(struct cm *cm, const struct rx_addr *addr)
{
	struct cm_server *s;

	rx_mutex_lock(&cm->lock);
	s = find_addr(cm, addr, 0);
	rx_mutex_unlock(&cm->lock);
	return s;
}

void cm_server_set_addrs(struct cm_server *s, int32_t unique, const struct rx_addr *addrs, unsigned n)
{
	struct cm_server_addr fresh[CM_ADDRS];

	memset(fresh, 0, sizeof(fresh));
	if (n > CM_ADDRS)
		n = CM_ADDRS;
	rx_mutex_lock(&s->cm->lock);
	for (unsigned i = 0; i < n; i++) {
		fresh[i].addr = addrs[i];
		for (unsigned k = 0; k < s->naddrs; k++) {
			if (rx_addr_equal(&s->addrs[k].addr, &addrs[i]))
				fresh[i] = s->addrs[k];
		}
	}
	memcpy(s->addrs, fresh, sizeof(fresh));
	s->naddrs = n;
	s->unique = unique;
	rx_mutex_unlock(&s->cm->lock);
}

void cm_server_reset(struct cm_server *s)
{
	s->gen++;
	/* It may have been upgraded. */
	s->no_64bit = s->no_store_acl = s->no_bulk = false;
}

bool cm_server_pick_addr(struct cm_server *s, unsigned skip, bool try_down, struct rx_addr *out, unsigned *index)
{
	uint64_t now = rx_now_us(s->cm->env);
	const struct cm_server_addr *best = NULL;

	rx_mutex_lock(&s->cm->lock);
	for (unsigned i = 0; i < s->naddrs; i++) {
		const struct cm_server_addr *a = &s->addrs[i];

		if (skip & 1u << i || (!try_down && a->down_until_us > now))
			continue;
		if (!best || a->down_until_us < best->down_until_us ||
		    (a->down_until_us == best->down_until_us && a->failures < best->failures)) {
			best = a;
			*index = i;
		}
	}
	if (best)
		*out = best->addr;
	rx_mutex_unlock(&s->cm->lock);
	return best != NULL;
}

void cm_server_mark(struct cm_server *s, const struct rx_addr *addr, bool up)
{
	uint64_t now = rx_now_us(s->cm->env);

	rx_mutex_lock(&s->cm->lock);
	for (unsigned i = 0; i < s->naddrs; i++) {
		struct cm_server_addr *a = &s->addrs[i];
		uint64_t pause;

		if (!rx_addr_equal(&a->addr, addr))
			continue;
		if (up) {
			a->failures = 0;
			a->down_until_us = 0;
			s->heard_us = now;
			s->silences = 0;
			s->contacts++;
			continue;
		}
		a->failures++;
		pause = a->failures * (uint64_t)DOWN_STEP_S;
		a->down_until_us = now + (pause < DOWN_MAX_S ? pause : DOWN_MAX_S) * 1000000;
	}
	rx_mutex_unlock(&s->cm->lock);
}

/* Takes the conn off its server's list if nobody uses it; with cm->lock held. The
 * caller frees what is returned without the lock. */
static struct rx_conn *unlink_unused(struct cm_conn *c)
{
	struct rx_conn *rx = c->rx;

	if (!c->retired || c->users > 0)
		return NULL;
	for (struct cm_conn **p = &c->server->conns; *p; p = &(*p)->next) {
		if (*p == c) {
			*p = c->next;
			break;
		}
	}
	free(c);
	return rx;
}

static struct cm_conn *conn_new(struct cm_server *s, const struct rx_addr *addr, uint16_t service, uint64_t token_id,
				uint64_t generation, struct rx_security *sec, struct rx_error *err)
{
	struct cm_conn *c = calloc(1, sizeof(*c));

	if (!c) {
		rx_error_errno(err, ENOMEM, "making a connection");
		return NULL;
	}
	c->rx = rx_conn_new(s->cm->loop, addr, service, sec, err);
	if (!c->rx) {
		free(c);
		return NULL;
	}
	c->server = s;
	c->addr = *addr;
	c->service = service;
	c->token_id = token_id;
	c->generation = generation;
	c->next = s->conns;
	s->conns = c;
	return c;
}

int cm_conn_get(struct cm_server *s, const struct rx_addr *addr, uint16_t service, struct cm_token *t, bool trial,
		struct cm_conn **out, struct rx_error *err)
{
	uint64_t token_id = t && !t->anonymous ? t->id : 0, generation = 0;
	struct cm_conn *best = NULL;
	struct rx_security *sec = NULL;
	unsigned n = 0;

	*out = NULL;
	if (token_id != 0) {
		if (cm_token_credential(t, &sec, &generation, err))
			return -1;
	} else {
		sec = rx_null_new();
		if (!sec)
			return rx_error_errno(err, ENOMEM, "making a connection");
	}
	rx_mutex_lock(&s->cm->lock);
	for (struct cm_conn *c = s->conns; c; c = c->next) {
		if (c->retired || c->trial || c->service != service || c->token_id != token_id ||
		    c->generation != generation || !rx_addr_equal(&c->addr, addr))
			continue;
		if (rx_conn_error(c->rx) != 0) {
			c->retired = true;
			continue;
		}
		n++;
		if (!best || c->users < best->users)
			best = c;
	}
	/* One channel of each stays free for status calls. */
	if (trial || !best ||
	    (n < CM_CONNS_PER_TOKEN && (best->users >= BUSY_USERS || UMAFS_MAYBE(s->cm->env, CONN_ANOTHER)))) {
		struct cm_conn *fresh = conn_new(s, addr, service, token_id, generation, sec, err);

		if (fresh || trial)
			best = fresh;
	}
	if (best && trial) {
		unsigned usual = s->cm->config.dead_time_s;

		best->trial = true;
		rx_conn_set_dead_time(best->rx, usual && usual < TRIAL_DEAD_S ? usual : TRIAL_DEAD_S);
	}
	if (best)
		best->users++;
	rx_mutex_unlock(&s->cm->lock);
	rx_security_put(sec);
	*out = best;
	return best ? 0 : -1;
}

void cm_conn_put(struct cm_conn *c, bool retire)
{
	struct cm *cm = c->server->cm;
	struct rx_conn *rx;

	rx_mutex_lock(&cm->lock);
	c->users--;
	if (!retire)
		c->heard_us = rx_now_us(cm->env);
	if (!retire && c->trial) {
		c->trial = false;
		rx_conn_set_dead_time(c->rx, 0);
	}
	if (retire || rx_conn_error(c->rx) != 0 || UMAFS_MAYBE(cm->env, CONN_RETIRED))
		c->retired = true;
	rx = unlink_unused(c);
	rx_mutex_unlock(&cm->lock);
	if (rx)
		rx_conn_free(rx);
}

/* Frees one retired, unused connection. False: there is none. */
static bool reap_one(struct cm *cm)
{
	struct rx_conn *rx = NULL;

	rx_mutex_lock(&cm->lock);
	for (struct cm_server *s = cm->servers; s && !rx; s = s->next) {
		struct cm_conn *next;

		for (struct cm_conn *c = s->conns; c && !rx; c = next) {
			next = c->next;
			rx = unlink_unused(c);
		}
	}
	rx_mutex_unlock(&cm->lock);
	if (rx)
		rx_conn_free(rx);
	return rx != NULL;
}

void cm_conns_retire(struct cm *cm, uint64_t token_id, uint64_t below_generation)
{
	rx_mutex_lock(&cm->lock);
	for (struct cm_server *s = cm->servers; s; s = s->next) {
		for (struct cm_conn *c = s->conns; c; c = c->next) {
			if (c->token_id == token_id && c->generation < below_generation)
				c->retired = true;
		}
	}
	rx_mutex_unlock(&cm->lock);
	while (reap_one(cm))
		;
}

bool cm_conns_silent(struct cm_server *s, const struct rx_addr *addr, uint64_t since_us)
{
	bool answered = false;

	rx_mutex_lock(&s->cm->lock);
	for (struct cm_conn *c = s->conns; c; c = c->next) {
		if (!rx_addr_equal(&c->addr, addr) || c->heard_us >= since_us || c->trial)
			continue;
		c->retired = true;
		answered = answered || c->heard_us != 0;
	}
	rx_mutex_unlock(&s->cm->lock);
	while (reap_one(s->cm))
		;
	return answered;
}

void cm_servers_goodbye(struct cm *cm)
{
	uint64_t end = rx_now_us(cm->env) + GOODBYE_S * 1000000;
	struct cm_server *s;

	rx_mutex_lock(&cm->lock);
	s = cm->servers;
	rx_mutex_unlock(&cm->lock);
	for (; s; s = s->next) {
		uint64_t now = rx_now_us(cm->env);
		struct rx_rpc_client client = { .origin = RX_ORIGIN_AFS, .trace = &cm->rpc_trace };
		struct rx_addr addr;
		struct cm_conn *c;
		unsigned index;

		if (s->is_db || s->contacts == 0 || now >= end || !cm_server_pick_addr(s, 0, false, &addr, &index) ||
		    cm_conn_get(s, &addr, AFS_SERVICE_FS, NULL, false, &c, NULL))
			continue;
		rx_conn_set_hard_time(c->rx, (unsigned)((end - now + 999999) / 1000000));
		client.conn = c->rx;
		(void)afs_GiveUpAllCallBacks(&client, NULL, NULL, NULL);
		cm_conn_put(c, true);
	}
}

void cm_servers_destroy(struct cm *cm)
{
	while (cm->servers) {
		struct cm_server *s = cm->servers;

		while (s->conns) {
			struct cm_conn *c = s->conns;

			s->conns = c->next;
			rx_conn_free(c->rx);
			free(c);
		}
		cm->servers = s->next;
		free(s);
	}
}
