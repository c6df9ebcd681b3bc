/* How replies leave: straight through, or as a fault rule shapes them. The file server's
 * transfers send their length and bytes here, the dispatcher gives every OUT to cell_reply.
 * Runs on the call's worker thread without cell->lock. */
#include <stdlib.h>

#include "tools/cell/bend.h"
#include "tools/cell/fault.h"
#include "tools/cell/lie.h"
#include "tools/fault/match.h"

static struct cell_shape *shape_of(const struct cell_request *rq)
{
	return rq->fault && rq->fault->shape.active ? &rq->fault->shape : NULL;
}

/* Bytes of the length of the data. */
static uint64_t head_of(const struct rx_rpc *proc)
{
	return proc->split == RX_RPC_FETCH64 ? 8 : proc->split == RX_RPC_FETCH32 ? 4 : 0;
}

/* Where a `cut` reply ends; its bytes are counted behind the length of the data. */
static uint64_t end_of(const struct cell_shape *s)
{
	return s->cut < 0 ? UINT64_MAX : (uint64_t)s->cut + head_of(s->proc);
}

/* All bytes of a shaped reply pass here, in order. */
static int pass(struct cell_request *rq, struct cell_shape *s, const void *bytes, size_t len)
{
	uint64_t end = end_of(s), left = end > s->sent ? end - s->sent : 0;
	size_t n = len < left ? len : (size_t)left;

	s->sent += len;
	return n ? rx_call_write(rq->call, bytes, n) : 0;
}

int cell_send_length(struct cell_request *rq, const struct rx_rpc *proc, uint32_t vnode_type, uint64_t len)
{
	struct cell_shape *s = shape_of(rq);

	if (!s)
		return rx_rpc_send_length(rq->call, proc, len);
	if (s->garbage >= 0)
		return 0;
	s->vnode_type = vnode_type;
	s->sent = head_of(proc);
	len += (uint64_t)s->length;
	s->told |= s->lie >= 0 && cell_lie_length(proc, (unsigned)s->lie, &len);
	return rx_rpc_send_length(rq->call, proc, len);
}

int cell_send(struct cell_request *rq, void *bytes, size_t len)
{
	struct cell_shape *s = shape_of(rq);

	if (!s)
		return rx_call_write(rq->call, bytes, len);
	if (s->garbage >= 0)
		return 0;
	if (s->lie >= 0 && s->sent == head_of(s->proc))
		s->told |= cell_lie_contents(s->proc, (unsigned)s->lie, s->vnode_type, bytes, len);
	return pass(rq, s, bytes, len);
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
	if (code == 0 && s->length && !head_of(proc))
		cell_bend_length(proc->out, &buf, s->length);
	if (code == 0 && s->array && !cell_bend_array(proc->out, &buf, s->array))
		code = RXGEN_SS_MARSHAL;
	if (code == 0 && s->lie >= 0)
		s->told |= cell_lie_reply(proc, (unsigned)s->lie, &buf);
	if (code == 0 && pass(rq, s, buf.data, buf.len))
		code = RX_CALL_DEAD;
	xdr_buf_free(&buf);
	return code;
}
