/* Client stubs and server dispatch over struct rx_rpc: see rx/rpc.h. The client side
 * holds a call from rx_call_new to rx_call_end within one function; whatever goes wrong
 * in between, the call is ended exactly once and the first cause is what is reported.
 * Called by the stubs of cm/afs.h and by service handlers; no state of its own. */
#include "rx/rpc.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
	CHUNK = 65536,          /* pieces in which split data pass through callbacks */
	FIRST_READ = 2048,      /* most replies end within this */
	MAX_REPLY = 256 << 20,  /* bytes of OUT that are believed of any server */
	MAX_REQUEST = 16 << 20, /* bytes of IN that are believed of any client */
	AT_ONCE = 16,           /* calls of rx_rpc_multi */
};

/* Reads what may be an object of the type: exactly, if its size is fixed, else up to
 * the end of the stream or `limit`. The memory follows what has really come. *buf is
 * `space` or malloc'ed. Returns 0, or -1 when the call has failed. */
static int read_object(struct rx_call *call, const struct xdr_type *type, size_t limit, uint8_t space[FIRST_READ],
		       uint8_t **buf, size_t *len)
{
	size_t most = xdr_max_size(type), room = FIRST_READ;

	if (most > limit)
		most = limit;
	*buf = space;
	*len = 0;
	while (*len < most) {
		size_t want = (room < most ? room : most) - *len;
		ptrdiff_t n = rx_call_read(call, *buf + *len, want);
		uint8_t *bigger;

		if (n < 0)
			return -1;
		*len += (size_t)n;
		if ((size_t)n < want || *len == most)
			break;
		room *= 4;
		bigger = realloc(*buf == space ? NULL : *buf, room);
		if (!bigger)
			break; /* decoding will find it short */
		if (*buf == space)
			memcpy(bigger, space, *len);
		*buf = bigger;
	}
	return 0;
}

/* ---- client ---- */

/* One call in progress. code != 0: this side found something wrong, and err says what. */
struct attempt {
	const struct rx_rpc_client *c;
	const struct rx_rpc *rpc;
	struct rx_call *call;
	uint64_t start_us;
	int32_t code; /* also what the peer is told */
	bool lost;    /* the transport failed: rx_call_end knows why, and overrides err */
	void *out;
	struct rx_error *err;
	struct rx_error own; /* err if the caller gave none */
};

static int begin(struct attempt *a, const void *in)
{
	uint8_t space[512];
	struct xdr_buf buf = { .data = space, .cap = sizeof(space), .fixed = true };
	size_t size = 4 + xdr_size(a->rpc->in, in);
	int rc = -1;

	if (!a->err)
		a->err = &a->own;
	rx_error_clear(a->err);
	a->code = RXGEN_CC_MARSHAL; /* never sent: there is no call yet */
	if (a->c->trace)
		a->start_us = rx_now_us(a->c->trace->env);
	if (a->c->trace && a->c->trace->begun)
		a->c->trace->begun(a->c->trace->arg, a->rpc->name, rx_conn_peer(a->c->conn), a->start_us);
	if (a->out && a->rpc->out->size)
		memset(a->out, 0, a->rpc->out->size);
	if (size > sizeof(space))
		buf = (struct xdr_buf){ 0 };
	if (xdr_put_u32(&buf, a->rpc->opcode)) {
		rx_error_errno(a->err, ENOMEM, "encoding the request");
		goto out;
	}
	if (xdr_encode(a->rpc->in, in, &buf, a->err))
		goto out;
	a->call = rx_call_new(a->c->conn, a->err);
	if (!a->call)
		goto out;
	rx_call_write(a->call, buf.data, buf.len); /* a failure shows when the call is ended */
	a->code = 0;
	rc = 0;
out:
	xdr_buf_free(&buf);
	return rc;
}

static int unreadable(struct attempt *a)
{
	a->code = RXGEN_CC_UNMARSHAL;
	a->lost = true;
	return rx_error_set(a->err, RX_ORIGIN_RX, RXGEN_CC_UNMARSHAL, EIO, "the reply cannot be read");
}

/* Reads OUT behind whatever has been read. */
static void finish(struct attempt *a)
{
	uint8_t space[FIRST_READ], *buf = space;
	size_t len = 0;
	struct xdr_cursor in;
	void *scratch = NULL, *out = a->out;

	if (a->rpc->out->n == 0)
		return;
	if (read_object(a->call, a->rpc->out, MAX_REPLY, space, &buf, &len) < 0) {
		unreadable(a);
		goto out;
	}
	if (!out)
		out = scratch = calloc(1, a->rpc->out->size);
	if (!out) {
		rx_error_errno(a->err, ENOMEM, "decoding the reply");
		a->code = RXGEN_CC_UNMARSHAL;
		goto out;
	}
	in = (struct xdr_cursor){ buf, buf + len };
	if (xdr_decode(a->rpc->out, &in, out, a->err))
		a->code = RXGEN_CC_UNMARSHAL;
	else if (scratch)
		xdr_free(a->rpc->out, scratch);
out:
	free(scratch);
	if (buf != space)
		free(buf);
}

/* The first cause is reported: this side's, unless that was only that nothing came. A
 * malformed reply is aborted rather than read to its end, which may never come. */
static int end(struct attempt *a)
{
	char text[64];
	const struct rx_addr *peer = rx_conn_peer(a->c->conn);
	int rc = a->code ? -1 : 0;

	if (a->call) {
		struct rx_error ended = { 0 };

		if (rx_call_end(a->call, a->lost ? 0 : a->code, a->c->origin, &ended)) {
			if (!a->code || a->lost)
				*a->err = ended;
			rc = -1;
		}
	}
	if (rc && a->out)
		xdr_free(a->rpc->out, a->out);
	if (rc)
		rx_error_prefix(a->err, "%s at %s", a->rpc->name, rx_addr_text(peer, text));
	if (a->c->trace)
		a->c->trace->rpc(a->c->trace->arg, a->rpc->name, peer, a->start_us, rx_now_us(a->c->trace->env),
				 a->err);
	return rc;
}

int rx_rpc(const struct rx_rpc_client *c, const struct rx_rpc *rpc, const void *in, void *out, struct rx_error *err)
{
	struct attempt a = { .c = c, .rpc = rpc, .out = out, .err = err };

	if (begin(&a, in) == 0)
		finish(&a);
	return end(&a);
}

/* All requests are on their way before the first reply is waited for. */
static void all_at_once(const struct rx_rpc *rpc, struct rx_rpc_each *each, unsigned n)
{
	struct attempt a[AT_ONCE];

	for (unsigned i = 0; i < n; i++) {
		a[i] = (struct attempt){ .c = &each[i].client, .rpc = rpc, .err = &each[i].err };
		if (begin(&a[i], each[i].in) == 0)
			rx_call_read(a[i].call, NULL, 0);
	}
	for (unsigned i = 0; i < n; i++)
		each[i].rc = end(&a[i]);
}

void rx_rpc_multi(const struct rx_rpc *rpc, struct rx_rpc_each *each, unsigned n)
{
	assert(rpc->out->n == 0);
	for (unsigned done = 0; done < n; done += AT_ONCE)
		all_at_once(rpc, each + done, n - done < AT_ONCE ? n - done : AT_ONCE);
}

static int read_length(struct attempt *a, uint64_t asked, uint64_t *len)
{
	uint8_t word[8];
	size_t n = a->rpc->split == RX_RPC_FETCH64 ? 8 : 4;
	struct xdr_cursor in = { word, word + n };
	uint32_t len32;
	ptrdiff_t got = rx_call_read(a->call, word, n);

	if (got < 0)
		return unreadable(a);
	if ((size_t)got < n) {
		rx_error_set(a->err, RX_ORIGIN_RX, RXGEN_CC_UNMARSHAL, EBADMSG,
			     "the reply ends before the data's length");
		a->code = RXGEN_CC_UNMARSHAL;
		return -1;
	}
	if (n == 8) {
		xdr_get_u64(&in, len);
	} else {
		xdr_get_u32(&in, &len32);
		*len = len32;
	}
	if (*len <= asked) /* a negative count is a huge one here */
		return 0;
	rx_error_set(a->err, RX_ORIGIN_RX, RX_PROTOCOL_ERROR, EPROTO,
		     "the server announces %lld bytes where %llu were asked",
		     n == 8 ? (long long)*len : (long long)(int32_t)*len, (unsigned long long)asked);
	a->code = RX_PROTOCOL_ERROR;
	return -1;
}

static int read_data(struct attempt *a, uint64_t len, const struct rx_rpc_sink *sink, uint64_t *got)
{
	uint8_t *chunk = NULL;
	int rc = -1;

	if (!sink->buf && len) {
		chunk = malloc(CHUNK);
		if (!chunk) {
			a->code = RX_USER_ABORT;
			return rx_error_errno(a->err, ENOMEM, "receiving data");
		}
	}
	while (*got < len) {
		uint64_t rest = len - *got;
		size_t want = sink->buf      ? (rest < SSIZE_MAX ? (size_t)rest : SSIZE_MAX)
			      : rest < CHUNK ? (size_t)rest
					     : CHUNK;
		uint8_t *to = sink->buf ? (uint8_t *)sink->buf + *got : chunk;
		ptrdiff_t n = rx_call_read(a->call, to, want);

		if (n < 0) {
			unreadable(a);
			goto out;
		}
		if (n && !sink->buf && sink->fn(sink->arg, to, (size_t)n, a->err)) {
			a->code = RX_USER_ABORT;
			goto out;
		}
		*got += (uint64_t)n;
		if ((size_t)n < want) {
			rx_error_set(a->err, RX_ORIGIN_RX, RXGEN_CC_UNMARSHAL, EBADMSG,
				     "the reply ends %llu bytes before the announced end of the data",
				     (unsigned long long)(len - *got));
			a->code = RXGEN_CC_UNMARSHAL;
			goto out;
		}
	}
	rc = 0;
out:
	free(chunk);
	return rc;
}

/* Junk behind a reply is nobody's harm; behind data and OUT it means that more data came than
 * were announced, and that OUT was read from among them. */
static void check_end(struct attempt *a)
{
	uint8_t byte;

	if (a->code || rx_call_read(a->call, &byte, 1) <= 0)
		return;
	rx_error_set(a->err, RX_ORIGIN_RX, RXGEN_CC_UNMARSHAL, EBADMSG, "the reply goes on behind its announced end");
	a->code = RXGEN_CC_UNMARSHAL;
}

int rx_rpc_fetch(const struct rx_rpc_client *c, const struct rx_rpc *rpc, const void *in, uint64_t asked,
		 const struct rx_rpc_sink *sink, uint64_t *got, void *out, struct rx_error *err)
{
	struct attempt a = { .c = c, .rpc = rpc, .out = out, .err = err };
	uint64_t len, count = 0;

	if (begin(&a, in) == 0 && read_length(&a, asked, &len) == 0 && read_data(&a, len, sink, &count) == 0) {
		finish(&a);
		check_end(&a);
	}
	if (got)
		*got = count;
	return end(&a);
}

/* -1: aborted by this side. When the server has ended the call early there is nothing
 * more to say to it, but its verdict is still to be read. */
static int write_data(struct attempt *a, uint64_t len, const struct rx_rpc_source *source)
{
	uint8_t *chunk = NULL;
	uint64_t done = 0;
	int rc = 0;

	if (!source->buf && len) {
		chunk = malloc(CHUNK);
		if (!chunk) {
			a->code = RX_USER_ABORT;
			return rx_error_errno(a->err, ENOMEM, "sending data");
		}
	}
	while (done < len) {
		size_t n = len - done < CHUNK ? (size_t)(len - done) : CHUNK;
		const uint8_t *from = source->buf ? (const uint8_t *)source->buf + done : chunk;

		if (chunk && source->fn(source->arg, chunk, n, a->err)) {
			a->code = RX_USER_ABORT;
			rc = -1;
			break;
		}
		if (rx_call_write(a->call, from, n))
			break;
		done += n;
	}
	free(chunk);
	return rc;
}

int rx_rpc_store(const struct rx_rpc_client *c, const struct rx_rpc *rpc, const void *in, uint64_t len,
		 const struct rx_rpc_source *source, void *out, struct rx_error *err)
{
	struct attempt a = { .c = c, .rpc = rpc, .out = out, .err = err };

	if (begin(&a, in) == 0 && write_data(&a, len, source) == 0)
		finish(&a);
	return end(&a);
}

/* ---- server ---- */

/* Function pointers of any type are stored alike; this one is only compared. */
bool rx_rpc_has_operation(const struct rx_rpc_entry *entry, const void *ops)
{
	void (*op)(void);

	memcpy(&op, (const uint8_t *)ops + entry->slot, sizeof(op));
	return op != NULL;
}

static const struct rx_rpc_entry *find_entry(const struct rx_rpc_table *table, uint32_t opcode)
{
	for (unsigned i = 0; i < table->n; i++)
		if (table->entries[i].rpc->opcode == opcode)
			return &table->entries[i];
	return NULL;
}

static int32_t read_in(struct rx_call *call, const struct xdr_type *type, void *in)
{
	uint8_t space[FIRST_READ], *buf = space;
	struct xdr_cursor cursor;
	size_t len = 0;
	int32_t code = RXGEN_SS_UNMARSHAL;

	if (read_object(call, type, MAX_REQUEST, space, &buf, &len) == 0) {
		cursor = (struct xdr_cursor){ buf, buf + len };
		if (xdr_decode(type, &cursor, in, NULL) == 0)
			code = 0;
	}
	if (buf != space)
		free(buf);
	return code;
}

int32_t rx_rpc_reply(struct rx_call *call, const struct rx_rpc *rpc, const void *out)
{
	uint8_t space[FIRST_READ];
	struct xdr_buf buf = { .data = space, .cap = sizeof(space), .fixed = true };
	int32_t code = 0;

	if (xdr_size(rpc->out, out) > sizeof(space))
		buf = (struct xdr_buf){ 0 };
	if (xdr_encode(rpc->out, out, &buf, NULL))
		code = RXGEN_SS_MARSHAL;
	else if (buf.len && rx_call_write(call, buf.data, buf.len))
		code = RX_CALL_DEAD;
	xdr_buf_free(&buf);
	return code;
}

int32_t rx_rpc_dispatch(struct rx_call *call, const struct rx_rpc_table *table, const void *ops, void *arg)
{
	uint8_t word[4];
	struct xdr_cursor cursor = { word, word + sizeof(word) };
	const struct rx_rpc_entry *entry;
	uint32_t opcode;
	void *in, *out;
	int32_t code;
	bool known;

	if (rx_call_read(call, word, sizeof(word)) != sizeof(word))
		return RXGEN_DECODE;
	xdr_get_u32(&cursor, &opcode);
	entry = find_entry(table, opcode);
	known = entry && rx_rpc_has_operation(entry, ops);
	if (!known && !(entry && table->with_missing))
		return RXGEN_OPCODE;
	/* One byte more: procedures without arguments have empty structs. */
	in = calloc(1, entry->rpc->in->size + 1);
	out = calloc(1, entry->rpc->out->size + 1);
	code = in && out ? read_in(call, entry->rpc->in, in) : RXGEN_SS_UNMARSHAL;
	if (code == 0) {
		code = entry->run(ops, call, in, out, arg);
		if (code == 0)
			code = table->reply ? table->reply(call, entry->rpc, out, arg)
					    : rx_rpc_reply(call, entry->rpc, out);
		xdr_free(entry->rpc->in, in);
		xdr_free(entry->rpc->out, out);
	} else if (!known) {
		code = RXGEN_OPCODE;
	}
	free(in);
	free(out);
	return code;
}

int rx_rpc_send_length(struct rx_call *call, const struct rx_rpc *rpc, uint64_t len)
{
	uint8_t space[8];
	struct xdr_buf buf = { .data = space, .cap = sizeof(space), .fixed = true };

	if (rpc->split == RX_RPC_FETCH64)
		xdr_put_u64(&buf, len);
	else
		xdr_put_u32(&buf, (uint32_t)len);
	return rx_call_write(call, buf.data, buf.len);
}
