/* Writes the trace as JSON lines: see trace.h. */
#include "tools/fault/trace.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "rx/ack.h"
#include "tools/fault/memory.h"

struct fault_trace {
	struct rx_env *env;
	struct rx_mutex mutex;
	FILE *out;
	int failed; /* an errno */
};

struct fault_trace *fault_trace_new(struct rx_env *env, FILE *out)
{
	struct fault_trace *t = calloc(1, sizeof *t);

	if (!t)
		fault_no_memory();
	t->env = env;
	t->out = out;
	rx_mutex_init(&t->mutex, env, RX_RANK_LEAF, "fault trace");
	return t;
}

int fault_trace_free(struct fault_trace *t, struct rx_error *err)
{
	int failed;

	if (!t)
		return 0;
	if (fflush(t->out) && !t->failed)
		t->failed = errno;
	failed = t->failed;
	rx_mutex_destroy(&t->mutex);
	free(t);
	return failed ? rx_error_errno(err, failed, "the trace could not be written whole") : 0;
}

/* Takes the object. */
static void write_line(struct fault_trace *t, json_t *o)
{
	char *line = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);

	json_decref(o);
	rx_mutex_lock(&t->mutex);
	if (!line || fputs(line, t->out) < 0 || fputc('\n', t->out) < 0)
		t->failed = line ? errno : ENOMEM;
	rx_mutex_unlock(&t->mutex);
	free(line);
}

static json_t *begin(struct fault_trace *t, const char *ev)
{
	return json_pack("{s:I, s:s}", "t", (json_int_t)rx_now_us(t->env), "ev", ev);
}

/* Text of a script or a caller need not be UTF-8; what is not becomes "?". */
static void set_text(json_t *o, const char *key, const char *text)
{
	json_t *s = json_string(text);

	json_object_set_new(o, key, s ? s : json_string("?"));
}

static json_t *packet(struct fault_trace *t, const char *ev, const struct fault_packet_view *p)
{
	json_t *o = begin(t, ev);
	char addr[64];

	json_object_set_new(o, "from", json_string(p->dir == FAULT_FROM_CLIENT ? "client" : "server"));
	json_object_set_new(o, "client", json_string(rx_addr_text(p->client, addr)));
	json_object_set_new(o, "len", json_integer((json_int_t)p->len));
	if (!p->rx)
		return o;
	json_object_set_new(o, "type", json_string(rx_packet_type_name(p->h.type)));
	json_object_set_new(o, "flags", json_integer(p->h.flags));
	json_object_set_new(o, "cid", json_integer(p->h.cid));
	json_object_set_new(o, "call", json_integer(p->h.call));
	json_object_set_new(o, "seq", json_integer(p->h.seq));
	json_object_set_new(o, "serial", json_integer(p->h.serial));
	json_object_set_new(o, "service", json_integer(p->h.service));
	if (p->reason)
		json_object_set_new(o, "reason", json_string(rx_ack_reason_name(p->reason)));
	return o;
}

void fault_trace_packet(struct fault_trace *t, const struct fault_packet_view *p, const struct fault_hit *hits,
			unsigned n)
{
	json_t *o, *did;

	if (!t)
		return;
	o = packet(t, "packet", p);
	did = json_array();
	for (unsigned i = 0; i < n; i++) {
		json_t *h = json_pack("{s:s}", "action", fault_op_name(hits[i].action.op));

		set_text(h, "rule", hits[i].rule);
		if (hits[i].overflow)
			json_object_set_new(h, "overflow", json_true());
		json_array_append_new(did, h);
	}
	json_object_set_new(o, "did", did);
	write_line(t, o);
}

void fault_trace_sent(struct fault_trace *t, enum fault_dir dir, const struct rx_addr *client, const uint8_t *data,
		      size_t len, const char *what)
{
	struct fault_packet_view p;
	json_t *o;

	if (!t)
		return;
	fault_packet_view(&p, dir, client, NULL, data, len);
	o = packet(t, "sent", &p);
	json_object_set_new(o, "what", json_string(what));
	write_line(t, o);
}

void fault_trace_rpc(struct fault_trace *t, const struct fault_rpc *c, const struct fault_hit *hit)
{
	char addr[64];
	json_t *o;

	if (!t)
		return;
	o = begin(t, "rpc");
	set_text(o, "name", c->name ? c->name : "");
	set_text(o, "user", c->user ? c->user : "");
	json_object_set_new(o, "client", json_string(rx_addr_text(&c->client, addr)));
	json_object_set_new(o, "fid",
			    json_pack("[I,I,I]", (json_int_t)c->volume, (json_int_t)c->vnode, (json_int_t)c->unique));
	json_object_set_new(o, "action", json_string(fault_op_name(hit->action.op)));
	set_text(o, "rule", hit->rule);
	write_line(t, o);
}

void fault_trace_note(struct fault_trace *t, const char *ev, const char *name, const char *text)
{
	json_t *o;

	if (!t)
		return;
	o = begin(t, ev);
	set_text(o, "name", name);
	if (text)
		set_text(o, "text", text);
	write_line(t, o);
}
