/* The simulator: one thread, one seed, one outcome. */
#include "tests/sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const struct sim_link sim_perfect = { .delay_us = 1000 };

uint64_t sim_rand(struct sim *sim)
{
	uint64_t z = sim->seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void node_random(void *arg, void *buf, size_t len)
{
	struct sim_node *node = arg;
	uint8_t *p = buf;

	while (len--)
		*p++ = (uint8_t)sim_rand(node->sim);
}

static bool hits(struct sim *sim, unsigned per_mille)
{
	return per_mille && sim_rand(sim) % 1000 < per_mille;
}

static uint8_t pattern(uint32_t at, bool reply)
{
	return (uint8_t)(at * 7 + at / 251 + (reply ? 99 : 0));
}

static void mark(struct sim_call *c)
{
	if (c->dirty)
		return;
	c->dirty = true;
	c->dirty_next = c->node->dirty;
	c->node->dirty = c;
}

static void on_progress(struct rx_call *call, void *arg)
{
	(void)arg;
	if (call->user)
		mark(call->user);
}

static struct sim_call *new_call(struct sim_node *node, struct rx_call *call)
{
	struct sim_call *c = calloc(1, sizeof *c);

	c->node = node;
	c->call = call;
	c->next = node->calls;
	c->started = node->sim->now;
	node->calls = c;
	call->user = c;
	mark(c);
	return c;
}

static bool on_incoming(struct rx_call *call, void *arg)
{
	struct sim_node *node = arg;

	node->last = new_call(node, call);
	node->last->read_step = node->read_step;
	node->last->read_every_us = node->read_every_us;
	node->incoming++;
	return true;
}

static void on_channel_free(struct rx_conn *conn, void *arg)
{
	(void)conn;
	((struct sim_node *)arg)->channel_free++;
}

static const struct rx_upcalls upcalls = { on_progress, on_incoming, on_channel_free };

void sim_init(struct sim *sim, uint64_t seed, const struct sim_link *link)
{
	memset(sim, 0, sizeof *sim);
	sim->seed = seed;
	sim->now = 1000000000;
	sim->link = *link;
	sim->hash = 0xcbf29ce484222325u;
}

struct sim_node *sim_node(struct sim *sim, const struct rx_endpoint_config *cfg)
{
	struct sim_node *n = &sim->node[sim->nnodes];
	struct rx_endpoint_config c = { 0 };

	if (cfg)
		c = *cfg;
	n->sim = sim;
	n->addr = rx_addr_ipv4(0x0a000001u + sim->nnodes, (uint16_t)(7000 + sim->nnodes));
	c.random = node_random;
	c.random_arg = n;
	if (!c.epoch)
		c.epoch = (uint32_t)sim_rand(sim);
	c.up = &upcalls;
	c.up_arg = n;
	n->ep = rx_endpoint_new(&c, sim->now, 1700000000);
	sim->nnodes++;
	return n;
}

void sim_serve(struct sim_node *node, uint16_t service, struct rx_security *sec)
{
	struct rx_security *secs[5] = { 0 };

	secs[sec->ops->index] = sec;
	rx_endpoint_service(node->ep, service, secs, NULL);
}

static void end_call(struct sim_call *c, int32_t code)
{
	struct rx_call *call = c->call;

	c->result = call->error ? call->error : code;
	c->ended = true;
	c->finished = c->node->sim->now;
	c->call = NULL;
	if (!c->result)
		c->node->completed++;
	rx_core_call_end(call, c->node->sim->now, code);
}

void sim_abort(struct sim_call *call, int32_t code)
{
	end_call(call, code);
}

void sim_restart(struct sim_node *node)
{
	struct rx_endpoint_config cfg = node->ep->cfg;
	struct rx_core_service services[RX_SERVICES];
	unsigned n = node->ep->nservices;

	memcpy(services, node->ep->service, sizeof services);
	for (unsigned i = 0; i < n; i++)
		for (unsigned j = 0; j < 5; j++)
			if (services[i].sec[j])
				rx_security_get(services[i].sec[j]);
	for (struct sim_call *c = node->calls; c; c = c->next)
		if (!c->ended)
			end_call(c, RX_CALL_DEAD);
	rx_endpoint_free(node->ep);
	cfg.epoch = (uint32_t)sim_rand(node->sim);
	node->ep = rx_endpoint_new(&cfg, node->sim->now, 1700000000);
	for (unsigned i = 0; i < n; i++) {
		rx_endpoint_service(node->ep, services[i].id, services[i].sec, NULL);
		for (unsigned j = 0; j < 5; j++)
			rx_security_put(services[i].sec[j]);
	}
}

struct rx_conn *sim_conn(struct sim_node *client, struct sim_node *server, uint16_t service, struct rx_security *sec)
{
	return rx_core_conn_new(client->ep, client->sim->now, &server->addr, service, sec, NULL);
}

struct sim_call *sim_call(struct rx_conn *conn, uint32_t req_len, uint32_t reply_len)
{
	struct sim_node *node = conn->ep->cfg.up_arg;
	struct rx_call *call = rx_core_call_new(conn, node->sim->now);
	struct sim_call *c;

	if (!call)
		return NULL;
	c = new_call(node, call);
	c->client = true;
	c->req_len = req_len;
	c->reply_len = reply_len;
	rx_put32(c->head, req_len);
	rx_put32(c->head + 4, reply_len);
	return c;
}

/* Writes the stream on; true when all of it was taken. */
static bool write_on(struct sim_call *c, uint32_t len, bool reply)
{
	uint8_t buf[4096];

	while (c->sent < len) {
		uint32_t n = len - c->sent < sizeof buf ? len - c->sent : (uint32_t)sizeof buf;
		size_t taken;

		for (uint32_t i = 0; i < n; i++)
			buf[i] = !reply && c->sent + i < 8 ? c->head[c->sent + i] : pattern(c->sent + i, reply);
		taken = rx_core_call_write(c->call, c->node->sim->now, buf, n);
		c->sent += (uint32_t)taken;
		if (taken < n)
			return false;
	}
	return true;
}

/* Reads what is there, as fast as this call may; true at the end of the stream. */
static bool read_on(struct sim_call *c, bool reply)
{
	uint8_t buf[4096];

	for (;;) {
		size_t want = sizeof buf, n;

		if (c->read_step) {
			if (c->node->sim->now < c->wake_at)
				return false;
			want = c->read_step < sizeof buf ? c->read_step : sizeof buf;
			c->wake_at = c->node->sim->now + c->read_every_us;
		}
		n = rx_core_call_read(c->call, c->node->sim->now, buf, want);
		for (size_t i = 0; i < n; i++, c->got++) {
			if (!reply && c->got < 8)
				c->head[c->got] = buf[i];
			else if (buf[i] != pattern(c->got, reply))
				c->bad = true;
		}
		if (c->call->rx_eof)
			return true;
		if (n < want || c->read_step)
			return false;
	}
}

static void pump_client(struct sim_call *c)
{
	if (c->call->state == RX_CS_SEND && !write_on(c, c->req_len, false))
		return;
	rx_core_call_flush(c->call, c->node->sim->now);
	if (!read_on(c, true))
		return;
	if (c->got != c->reply_len)
		c->bad = true;
	end_call(c, 0);
}

static void pump_server(struct sim_call *c)
{
	struct sim_node *node = c->node;

	rx_core_call_attach(c->call, node->sim->now);
	if (c->call->state == RX_CS_RECV && !c->call->rx_eof) {
		if (!read_on(c, false))
			return;
		c->req_len = rx_get32(c->head);
		c->reply_len = rx_get32(c->head + 4);
		if (c->req_len != c->got)
			c->bad = true;
		c->wake_at = node->sim->now + node->think_us;
	}
	if (node->hang || node->sim->now < c->wake_at)
		return;
	if (node->abort_code) {
		end_call(c, node->abort_code);
		return;
	}
	if (!write_on(c, c->reply_len, true))
		return;
	end_call(c, 0);
}

static void pump(struct sim_node *node)
{
	while (node->dirty) {
		struct sim_call *c = node->dirty;

		node->dirty = c->dirty_next;
		c->dirty = false;
		if (c->ended)
			continue;
		if (c->call->state == RX_CS_ERROR)
			end_call(c, 0);
		else if (c->client)
			pump_client(c);
		else
			pump_server(c);
	}
}

static void hash_bytes(struct sim *sim, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len--)
		sim->hash = (sim->hash ^ *p++) * 0x100000001b3u;
}

static void fly(struct sim *sim, struct sim_node *from, struct sim_node *to, const uint8_t *pkt, size_t len)
{
	struct sim_packet *p = malloc(sizeof *p + len), **at = &sim->flying;

	p->at = sim->now + sim->link.delay_us;
	if (sim->link.jitter_us)
		p->at += sim_rand(sim) % sim->link.jitter_us;
	if (hits(sim, sim->link.reorder))
		p->at += sim->link.reorder_us;
	p->order = sim->order++;
	p->from = from->addr;
	p->to = to;
	p->len = len;
	memcpy(p->data, pkt, len);
	while (*at && (*at)->at <= p->at)
		at = &(*at)->next;
	p->next = *at;
	*at = p;
}

static void pull(struct sim *sim, struct sim_node *node)
{
	uint8_t buf[RX_OUTPUT_MAX];
	struct rx_addr to;
	size_t n;

	while ((n = rx_endpoint_output(node->ep, sim->now, &to, buf)) != 0) {
		if (node->dead)
			continue;
		sim->npackets++;
		hash_bytes(sim, &sim->now, sizeof sim->now);
		hash_bytes(sim, buf, n);
		if ((sim->filter && !sim->filter(sim, node, buf, n)) || hits(sim, sim->link.loss)) {
			sim->drops++;
			continue;
		}
		for (unsigned i = 0; i < sim->nnodes; i++) {
			if (!rx_addr_equal(&sim->node[i].addr, &to))
				continue;
			fly(sim, node, &sim->node[i], buf, n);
			if (hits(sim, sim->link.duplicate))
				fly(sim, node, &sim->node[i], buf, n);
		}
	}
}

static uint64_t next_event(struct sim *sim)
{
	uint64_t next = sim->flying ? sim->flying->at : UINT64_MAX;

	for (unsigned i = 0; i < sim->nnodes; i++) {
		uint64_t d = rx_endpoint_deadline(sim->node[i].ep);

		if (d < next)
			next = d;
		for (struct sim_call *c = sim->node[i].calls; c; c = c->next)
			if (!c->ended && c->wake_at > sim->now && c->wake_at < next)
				next = c->wake_at;
	}
	return next;
}

bool sim_step(struct sim *sim, uint64_t limit)
{
	uint64_t next;

	for (unsigned i = 0; i < sim->nnodes; i++) {
		pump(&sim->node[i]);
		pull(sim, &sim->node[i]);
	}
	next = next_event(sim);
	if (next > limit) {
		sim->now = limit;
		return false;
	}
	if (next > sim->now)
		sim->now = next;
	while (sim->flying && sim->flying->at <= sim->now) {
		struct sim_packet *p = sim->flying;

		sim->flying = p->next;
		if (!p->to->dead)
			rx_endpoint_input(p->to->ep, sim->now, 1700000000 + (int64_t)(sim->now / 1000000), &p->from,
					  p->data, p->len);
		pump(p->to);
		pull(sim, p->to);
		free(p);
	}
	for (unsigned i = 0; i < sim->nnodes; i++) {
		rx_endpoint_tick(sim->node[i].ep, sim->now);
		for (struct sim_call *c = sim->node[i].calls; c; c = c->next)
			if (!c->ended && c->wake_at && c->wake_at <= sim->now)
				mark(c);
		pump(&sim->node[i]);
		pull(sim, &sim->node[i]);
	}
	return true;
}

void sim_run(struct sim *sim, uint64_t for_us)
{
	uint64_t limit = sim->now + for_us;

	while (sim_step(sim, limit))
		;
}

bool sim_finish(struct sim_call *call, uint64_t limit_us)
{
	uint64_t limit = call->node->sim->now + limit_us;

	while (!call->ended)
		if (!sim_step(call->node->sim, limit))
			return false;
	return true;
}

void sim_end(struct sim *sim)
{
	for (unsigned i = 0; i < sim->nnodes; i++) {
		struct sim_node *n = &sim->node[i];

		while (n->calls) {
			struct sim_call *c = n->calls;

			n->calls = c->next;
			if (!c->ended)
				end_call(c, RX_USER_ABORT);
			free(c);
		}
		rx_endpoint_free(n->ep);
	}
	while (sim->flying) {
		struct sim_packet *p = sim->flying;

		sim->flying = p->next;
		free(p);
	}
}
