/* How replies leave: straight through, or as a fault rule shapes them. The file server's
 * transfers send their length and bytes here, the dispatcher gives every OUT to cell_reply.
 * Runs on the call's worker thread without cell->lock. */
#include <stdlib.h>

#include "tools/cell/bend.h"
#include "tools/cell/fault.h"
#include "tools/fault/match.h"

static struct cell_shape *shape_of(const struct cell_request *rq)
{
	return rq->fault && rq->fault->shape.active ? &rq->fault->shape : NULL;
}

static bool fetches(const struct rx_rpc *proc)
{
	return proc->split == RX_RPC_FETCH32 || proc->split == RX_RPC_FETCH64;
}

/* Where a `cut` reply ends; its bytes are counted behind the length of the data. */
static uint64_t end_of(const struct cell_shape *s)
{
	if (s->cut < 0)
		return UINT64_MAX;
	return (uint64_t)s->cut + (s->proc->split == RX_RPC_FETCH64 ? 8 : s->proc->split == RX_RPC_FETCH32 ? 4 : 0);
}

/* All bytes of a shaped reply pass here, in order. */
static int pass(struct cell_request *rq, struct cell_shape *s, const void *bytes, size_t len)
{
	uint64_t end = end_of(s), left = end > s->sent ? end - s->sent : 0;
	size_t n = len < left ? len : (size_t)left;

	s->sent += len;
	return n ? rx_call_write(rq->call, bytes, n) : 0;
}

int cell_send_length(struct cell_request *rq, const struct rx_rpc *proc, uint64_t len)
{
	struct cell_shape *s = shape_of(rq);

	if (!s)
		return rx_rpc_send_length(rq->call, proc, len);
	if (s->garbage >= 0)
		return 0;
	s->sent = proc->split == RX_RPC_FETCH64 ? 8 : 4;
	return rx_rpc_send_length(rq->call, proc, len + (uint64_t)s->length);
}

int cell_send(struct cell_request *rq, const void *bytes, size_t len)
{
	struct cell_shape *s = shape_of(rq);

	if (!s)
		return rx_call_write(rq->call, bytes, len);
	return s->garbage >= 0 ? 0 : pass(rq, s, bytes, len);
}

uint64_t cell_take_at_most(const struct cell_request *rq)
{
	const struct cell_shape *s = shape_of(rq);

	return s && s->cut >= 0 ? (uint64_t)s->cut : UINT64_MAX;
}

static int32_t send_garbage(struct cell_request *rq, struct cell_shape *s)
{
	uint8_t bytes[1024];
	uint64_t state = s->random;

	for (int64_t left = s->garbage; left > 0; left -= (int64_t)sizeof(bytes)) {
		size_t n = left < (int64_t)sizeof(bytes) ? (size_t)left : sizeof(bytes);

		for (size_t i = 0; i < n; i++)
			bytes[i] = (uint8_t)fault_random(&state);
		if (rx_call_write(rq->call, bytes, n))
			return RX_CALL_DEAD;
	}
	return 0;
}

int32_t cell_reply(struct rx_call *call, const struct rx_rpc *proc, const void *out, void *arg)
{
	struct cell_request *rq = arg;
	struct cell_shape *s = shape_of(rq);
	struct xdr_buf buf = { 0 };
	int32_t code = 0;

	if (!s)
		return rx_rpc_reply(call, proc, out);
	if (s->garbage >= 0)
		return send_garbage(rq, s);
	if (xdr_encode(proc->out, out, &buf, NULL))
		code = RXGEN_SS_MARSHAL;
	if (code == 0 && s->length && !fetches(proc))
		cell_bend_length(proc->out, &buf, s->length);
	if (code == 0 && s->array && !cell_bend_array(proc->out, &buf, s->array))
		code = RXGEN_SS_MARSHAL;
	if (code == 0 && pass(rq, s, buf.data, buf.len))
		code = RX_CALL_DEAD;
	xdr_buf_free(&buf);
	return code;
}
