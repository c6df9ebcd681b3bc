/* Fault rules on calls: which rules fire, and what they do before the operation, between it
 * and the reply, and behind the reply. Called by serve.c on worker threads without
 * cell->lock; what rules do to the bytes of a reply is in reply.c. */
#include <arpa/inet.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/cell/fault.h"
#include "tools/cell/lie.h"
#include "tools/fault/trace.h"

enum { USEC = 1000000 };

/* The call as rules see it. */
static unsigned match(struct cell_request *rq, const struct cell_rpc *rpc, struct fault_hit hits[FAULT_HITS])
{
	struct fault_rpc view = { .name = rpc->name,
				  .user = *rpc->user ? rpc->user : "anonymous",
				  .volume = rpc->volume,
				  .vnode = rpc->fid.vnode,
				  .unique = rpc->fid.unique,
				  .client = rpc->client,
				  .server = rpc->server };
	char name[CELL_NAME_MAX] = "";
	struct cell_volume *volume;

	rx_mutex_lock(&rq->cell->lock);
	volume = view.volume ? cell_volume_find(rq->cell, NULL, view.volume) : NULL;
	if (!volume && rpc->name_arg && !strcmp(rpc->service, "vl"))
		volume = cell_volume_by_name(rq->cell, rpc->name_arg);
	if (volume) {
		memcpy(name, volume->name, sizeof(name));
		view.volume_name = name;
		view.volume = volume->id;
	}
	rx_mutex_unlock(&rq->cell->lock);
	return rq->cell->faults ? fault_set_rpc(rq->cell->faults, &view, hits) : 0;
}

/* One of the refusals that the volume still owes. */
static int32_t refused(struct cell_request *rq, uint32_t id)
{
	struct cell_volume *volume;
	int32_t code = 0;

	if (!rq->fs || !id || !__atomic_load_n(&rq->cell->nrefusing, __ATOMIC_RELAXED))
		return 0;
	rx_mutex_lock(&rq->cell->lock);
	volume = cell_volume_find(rq->cell, rq->fs, id);
	if (volume && volume->refusals) {
		code = volume->refusal;
		if (volume->refusals != UINT_MAX && --volume->refusals == 0)
			__atomic_fetch_sub(&rq->cell->nrefusing, 1, __ATOMIC_RELAXED);
	}
	rx_mutex_unlock(&rq->cell->lock);
	return code;
}

/* Meanwhile somebody else serves in this thread's place. */
static int32_t wait_for(struct cell_request *rq, const struct fault_hit *hold, uint64_t deadline)
{
	bool ended;

	rx_call_begin_wait(rq->call);
	ended = fault_set_wait(rq->cell->faults, hold, deadline, &rq->cell->stopping);
	rx_call_end_wait(rq->call);
	return ended || rx_now_us(rq->cell->env) >= deadline ? 0 : RX_CALL_DEAD;
}

static struct cell_fs *server_of(struct cell *cell, const char *address)
{
	struct in_addr in;

	for (unsigned i = 0; inet_pton(AF_INET, address, &in) == 1 && i < cell->nfs; i++)
		if (cell->fs[i].ip == ntohl(in.s_addr))
			return &cell->fs[i];
	return NULL;
}

static int32_t moved(struct cell_request *rq, const struct fault_action *a, const struct cell_rpc *rpc)
{
	struct cell_fs *to = server_of(rq->cell, a->text);

	if (to && rq->fs && rpc->volume)
		cell_act_move(rq->cell, rq->fs, rpc->volume, to);
	return CELL_VMOVED;
}

static void revoke(struct cell_request *rq, const char *letters, const struct cell_rpc *rpc)
{
	uint32_t rights = 0;

	if (rpc->fid.volume && cm_rights_parse(letters, &rights, NULL) == 0)
		cell_act_revoke(rq->cell, &rpc->fid, rq->caller.id, rights);
}

static int32_t expire(struct cell_request *rq)
{
	if (!rq->ticket_start)
		return 0;
	cell_act_expire(rq->cell, rq->caller.id, rq->ticket_start);
	rx_call_fail_conn(rq->call, RXKAD_EXPIRED);
	return RXKAD_EXPIRED;
}

static int32_t restart(struct cell_request *rq, uint64_t down_us)
{
	if (rq->fs)
		cell_act_restart_fs(rq->fs);
	else
		cell_act_restart_db(rq->cell);
	if (down_us)
		cell_act_down(rq->cell, rq->fs, down_us);
	return RX_CALL_DEAD;
}

static void shape(struct cell_fault *fault, const struct fault_hit *hit)
{
	const struct fault_action *a = &hit->action;
	struct cell_shape *s = &fault->shape;

	s->active = true;
	s->random = hit->random;
	switch (a->op) {
	case FAULT_CUT:
		s->cut = a->number;
		break;
	case FAULT_LENGTH:
		s->length = a->number;
		break;
	case FAULT_ARRAY:
		s->array = a->flag ? a->number : -a->number;
		break;
	case FAULT_GARBAGE:
		s->garbage = a->number;
		break;
	default:
		s->lie = a->number >= 0 ? a->number : (int64_t)(hit->random % cell_lies(s->proc));
	}
}

/* Carries out one action, or keeps it for later. The code to refuse the call with, or 0. */
static int32_t act(struct cell_request *rq, const struct fault_hit *hit, const struct cell_rpc *rpc)
{
	const struct fault_action *a = &hit->action;
	struct cell_fault *fault = rq->fault;

	switch (a->op) {
	case FAULT_DELAY:
		return wait_for(rq, NULL, rx_now_us(rq->cell->env) + a->time_us);
	case FAULT_HOLD:
		return wait_for(rq, hit, UINT64_MAX);
	case FAULT_ABORT:
		return (int32_t)a->number;
	case FAULT_OFFLINE:
		return CELL_VOFFLINE;
	case FAULT_SALVAGE:
		return CELL_VSALVAGE;
	case FAULT_NO_QUORUM:
		return CELL_UNOQUORUM;
	case FAULT_BUSY:
		if (rq->fs && rpc->volume)
			cell_act_refuse(rq->cell, rq->fs, rpc->volume, CELL_VBUSY, (unsigned)a->number - 1);
		return CELL_VBUSY;
	case FAULT_MOVED:
		return moved(rq, a, rpc);
	case FAULT_EXPIRE:
		return expire(rq);
	case FAULT_RESTART:
		return restart(rq, a->time_us);
	case FAULT_CLOCK:
		cell_act_clock(rq->cell, rq->cell->clock_ahead_s + a->number / USEC);
		return 0;
	case FAULT_REVOKE:
		revoke(rq, a->text, rpc);
		return 0;
	case FAULT_CHANGE:
		cell_act_change(rq->cell, &rpc->fid, 0, a->text, a->flag ? strlen(a->text) : 0);
		return 0;
	case FAULT_BREAK:
		if (a->number == FAULT_BEFORE)
			cell_break_caller(rq, &rpc->fid);
		fault->break_during |= a->number == FAULT_DURING;
		fault->break_after |= a->number == FAULT_AFTER;
		return 0;
	case FAULT_LOSE_REPLY:
		fault->lose = true;
		return 0;
	case FAULT_PASS:
	case FAULT_NOTE:
		return 0;
	default:
		shape(fault, hit);
		return 0;
	}
}

int32_t cell_fault_before(struct cell_request *rq, const struct rx_rpc *proc, const struct cell_rpc *rpc)
{
	struct fault_hit hits[FAULT_HITS];
	unsigned n = match(rq, rpc, hits);
	int32_t code = refused(rq, rpc->volume);

	if (!n)
		return code;
	rq->fault = calloc(1, sizeof(*rq->fault));
	if (!rq->fault)
		return RX_CALL_DEAD;
	rq->fault->fid = rpc->fid;
	rq->fault->shape = (struct cell_shape){ .proc = proc, .cut = -1, .garbage = -1, .lie = -1 };
	for (unsigned i = 0; i < n; i++) {
		int32_t refusal = act(rq, &hits[i], rpc);

		code = code ? code : refusal;
	}
	return code;
}

int32_t cell_fault_between(struct cell_request *rq, int32_t code)
{
	if (rq->fault->break_during && code == 0)
		cell_break_caller(rq, &rq->fault->fid);
	if (!rq->fault->lose)
		return code;
	rx_call_mute(rq->call);
	return RX_CALL_DEAD;
}

int32_t cell_fault_after(struct cell_request *rq, int32_t code)
{
	struct cell_fault *fault = rq->fault;
	char text[CELL_LIE_TEXT];

	if (fault->break_after && code == 0) {
		rx_call_finish(rq->call);
		cell_break_caller(rq, &fault->fid);
	}
	if (fault->shape.told)
		fault_trace_note(fault_set_trace(rq->cell->faults), "lie", fault->shape.proc->name,
				 cell_lie_text(fault->shape.proc, (unsigned)fault->shape.lie, text));
	free(fault);
	rq->fault = NULL;
	return code;
}
