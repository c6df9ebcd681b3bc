/* Servers that promised something and have not been heard of for a while are asked for a
 * sign of life: one that could not deliver a break tells it before it answers, and what a
 * server promised that does not answer is believed no longer. Begun on the timer's thread,
 * asked on a worker; at most one probe of a server at a time. */
#include <stdlib.h>

#include "cm/internal.h"

enum { QUIET_US = 240 * 1000000, AGAIN_US = 30 * 1000000, DEAD_S = 12, SILENCES = 2 };

static void silent(struct cm_server *s)
{
	bool lost;

	rx_mutex_lock(&s->cm->lock);
	lost = ++s->silences >= SILENCES;
	if (lost)
		s->silences = 0;
	rx_mutex_unlock(&s->cm->lock);
	if (!lost)
		return;
	cm_server_reset(s);
	cm_vnodes_reset(s->cm, s);
}

/* The connection is the probe's own: its patience is short. */
static bool ask(struct cm_server *s, const struct rx_addr *addr)
{
	struct rx_rpc_client client = { .origin = RX_ORIGIN_AFS, .trace = &s->cm->rpc_trace };
	struct rx_security *sec = rx_null_new();
	struct afs_GetCapabilities_out out;
	struct rx_error err = { 0 };
	struct rx_conn *conn = sec ? rx_conn_new(s->cm->loop, addr, AFS_SERVICE_FS, sec, &err) : NULL;
	bool answered = true; /* what is wrong here says nothing of the server */

	rx_security_put(sec);
	if (!conn)
		return true;
	rx_mutex_lock(&s->cm->lock);
	rx_conn_set_dead_time(conn, s->cm->closing_us ? 1 : DEAD_S);
	s->probe = conn;
	rx_mutex_unlock(&s->cm->lock);
	client.conn = conn;
	if (afs_GetCapabilities(&client, NULL, &out, &err) == 0)
		afs_GetCapabilities_free(&out);
	else
		answered = err.origin != RX_ORIGIN_RX && err.origin != RX_ORIGIN_ERRNO;
	rx_mutex_lock(&s->cm->lock);
	s->probe = NULL;
	rx_mutex_unlock(&s->cm->lock);
	rx_conn_free(conn);
	return answered;
}

static void probe(void *arg)
{
	struct cm_server *s = arg;
	struct rx_addr addr;
	unsigned index;
	bool answered;

	if (cm_vnodes_promised(s->cm, s) && cm_server_pick_addr(s, 0, true, &addr, &index)) {
		answered = ask(s, &addr);
		cm_server_mark(s, &addr, answered);
		if (!answered)
			silent(s);
	}
	rx_mutex_lock(&s->cm->lock);
	s->probing = false;
	rx_mutex_unlock(&s->cm->lock);
}

static bool is_due(const struct cm_server *s, uint64_t now)
{
	return !s->is_db && s->contacts > 0 && !s->probing && now - s->heard_us >= QUIET_US &&
	       now - s->probed_us >= AGAIN_US;
}

static struct cm_server *take_due(struct cm *cm)
{
	uint64_t now = rx_now_us(cm->env);
	struct cm_server *s;

	rx_mutex_lock(&cm->lock);
	for (s = cm->servers; s && !is_due(s, now);)
		s = s->next;
	if (s) {
		s->probing = true;
		s->probed_us = now;
	}
	rx_mutex_unlock(&cm->lock);
	return s;
}

void cm_servers_probe(struct cm *cm)
{
	struct cm_server *s;

	while ((s = take_due(cm)))
		if (!cm_work(cm, probe, s)) {
			rx_mutex_lock(&cm->lock);
			s->probing = false;
			rx_mutex_unlock(&cm->lock);
		}
}

void cm_probes_hurry(struct cm *cm)
{
	rx_mutex_lock(&cm->lock);
	for (struct cm_server *s = cm->servers; s; s = s->next)
		if (s->probe)
			rx_conn_set_dead_time(s->probe, 1);
	rx_mutex_unlock(&cm->lock);
}
