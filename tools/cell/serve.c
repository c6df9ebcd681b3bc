/* The way of every call through the cell: hooks, the caller's identity, the host's state,
 * fault rules, the operation, the error's translation. Runs on the services' worker threads; the tables
 * are made from the RPC declarations. */
#include "tools/cell/internal.h"

/* What of a request's arguments a hook is told. */
static void describe(const struct cell_request *rq, const struct rx_rpc *rpc, const void *in, struct cell_rpc *out)
{
	*out = (struct cell_rpc){ .service = rq->service->name,
				  .name = rpc->name,
				  .user = rq->caller.name,
				  .client = *rx_call_peer(rq->call),
				  .server = rq->service->addr };
	for (unsigned i = 0; i < rpc->in->n; i++) {
		const struct xdr_field *f = &rpc->in->fields[i];
		const uint8_t *at = (const uint8_t *)in + f->offset;
		struct xdr_array fids = { 1, (void *)(uintptr_t)at };

		if (f->form == XDR_ARRAY)
			memcpy(&fids, at, sizeof(fids));
		if (f->type == &afs_type_afs_fid && fids.len && !out->fid.volume)
			memcpy(&out->fid, fids.items, sizeof(out->fid));
		else if (f->form == XDR_ONE && (f->kind == XDR_U32 || f->kind == XDR_I32) && !strcmp(f->name, "volume"))
			memcpy(&out->volume, at, sizeof(out->volume));
		else if (f->kind == XDR_STRING && !strcmp(f->name, "name"))
			memcpy(&out->name_arg, at, sizeof(out->name_arg));
	}
	if (!out->volume)
		out->volume = out->fid.volume;
}

/* Calls that nobody becomes known by, and whose errors stay as they are. */
static bool needs_contact(uint32_t opcode)
{
	switch (opcode) {
	case 148: /* GetVolumeInfo */
	case 151: /* GetRootVolume */
	case 152: /* CheckToken */
	case 154: /* NGetVolumeInfo */
	case 159: /* XStatsVersion */
	case 160: /* GetXStats */
	case 161: /* Lookup */
	case 162: /* FlushCPS */
	case 163: /* DFSSymlink */
		return false;
	default:
		return true;
	}
}

static int32_t translate(const struct cell_request *rq, int32_t code)
{
	bool own = (code >= 101 && code <= 112) || code == 120;

	if (!rq->host || !rq->host->error_translation || code <= 0 || code >= 256 || own || !rq->cell->uae[code])
		return code;
	return rq->cell->uae[code];
}

static void identify(struct cell_request *rq)
{
	struct rx_peer_identity id;

	rx_call_identity(rq->call, &id);
	rx_mutex_lock(&rq->cell->lock);
	cell_caller_set(rq->cell, id.name, &rq->caller);
	rx_mutex_unlock(&rq->cell->lock);
	rq->ticket_start = *id.name ? id.starts : 0;
}

/* A ticket that has ended before its time. */
static int32_t refuse_ticket(const struct cell_request *rq)
{
	if (!rq->ticket_start || rq->ticket_start > rq->caller.expired_until)
		return 0;
	rx_call_fail_conn(rq->call, RXKAD_EXPIRED);
	return RXKAD_EXPIRED;
}

static int32_t run(const struct rx_rpc_entry *entry, const void *ops, struct rx_call *call, const void *in, void *out,
		   struct cell_request *rq)
{
	struct cell *cell = rq->cell;
	const struct cell_hooks *hooks = cell->hooks;
	bool audit = cell->audit >= 0 && rq->service->contact, faulty = cell_faulty(cell);
	bool known = rx_rpc_has_operation(entry, ops);
	struct cell_rpc rpc;
	int32_t code;

	if (!known && !faulty)
		return RXGEN_OPCODE;
	identify(rq);
	if (hooks || audit || faulty)
		describe(rq, entry->rpc, in, &rpc);
	code = hooks && hooks->before ? hooks->before(hooks->arg, &rpc) : 0;
	if (code == 0)
		code = refuse_ticket(rq);
	if (code == 0 && known && rq->service->contact && needs_contact(entry->rpc->opcode))
		code = cell_contact(rq);
	if (code == 0 && faulty)
		code = cell_fault_before(rq, entry->rpc, &rpc);
	if (code == 0 && !known)
		code = RXGEN_OPCODE;
	if (code == 0) {
		int32_t lost;

		code = entry->run(ops, call, in, out, rq);
		rx_mutex_lock(&cell->lock);
		lost = cell_commit(cell);
		/* It has been done, for all others to see; the caller is told that it failed. */
		if (code == 0 && lost && rq->host)
			rq->host->reset_due = true;
		rx_mutex_unlock(&cell->lock);
		code = translate(rq, code ? code : lost);
	}
	if (rq->fault)
		code = cell_fault_between(rq, code);
	if (hooks && hooks->after)
		code = hooks->after(hooks->arg, &rpc, code);
	if (audit)
		cell_audit(rq, &rpc, code);
	return code;
}

int32_t cell_serve(struct rx_call *call, void *arg)
{
	struct cell_service *s = arg;
	struct cell_request rq = { .service = s, .cell = s->cell, .fs = s->fs, .call = call };
	int32_t code;

	if (s->fs)
		rq.life = __atomic_load_n(&s->fs->life, __ATOMIC_RELAXED);
	code = rx_rpc_dispatch(call, s->table, s->ops, &rq);

	if (rq.fault)
		code = cell_fault_after(&rq, code);
	if (rq.host) {
		rx_mutex_lock(&s->cell->lock);
		cell_host_put(s->cell, rq.host);
		rx_mutex_unlock(&s->cell->lock);
	}
	return code;
}

/* ---- the tables: those of cm/afs.h with run() around each operation ---- */

#define RUN(service, name)                                                                                             \
	static int32_t run_##name(const void *ops, struct rx_call *call, const void *in, void *out, void *arg)         \
	{                                                                                                              \
		return run(&afs_##service##_table.entries[AT_##name], ops, call, in, out, arg);                        \
	}
#define ENTRY(service, name) { &afs_rpc_##name, offsetof(struct afs_##service##_ops, name), run_##name },

#define AFS_RPC(name, opcode, split, in_fields, out_fields) AT_##name,
enum {
#include "cm/afs_fs.def"
};
enum {
#include "cm/afs_vl.def"
};
enum {
#include "cm/afs_pt.def"
};
enum {
#include "cm/afs_vol.def"
};
#undef AFS_RPC

#define AFS_RPC(name, opcode, split, in_fields, out_fields) RUN(fs, name)
#include "cm/afs_fs.def"
#undef AFS_RPC
#define AFS_RPC(name, opcode, split, in_fields, out_fields) RUN(vl, name)
#include "cm/afs_vl.def"
#undef AFS_RPC
#define AFS_RPC(name, opcode, split, in_fields, out_fields) RUN(pt, name)
#include "cm/afs_pt.def"
#undef AFS_RPC
#define AFS_RPC(name, opcode, split, in_fields, out_fields) RUN(vol, name)
#include "cm/afs_vol.def"
#undef AFS_RPC

static const struct rx_rpc_entry fs_entries[] = {
#define AFS_RPC(name, opcode, split, in_fields, out_fields) ENTRY(fs, name)
#include "cm/afs_fs.def"
#undef AFS_RPC
};
static const struct rx_rpc_entry vl_entries[] = {
#define AFS_RPC(name, opcode, split, in_fields, out_fields) ENTRY(vl, name)
#include "cm/afs_vl.def"
#undef AFS_RPC
};
static const struct rx_rpc_entry pt_entries[] = {
#define AFS_RPC(name, opcode, split, in_fields, out_fields) ENTRY(pt, name)
#include "cm/afs_pt.def"
#undef AFS_RPC
};
static const struct rx_rpc_entry vol_entries[] = {
#define AFS_RPC(name, opcode, split, in_fields, out_fields) ENTRY(vol, name)
#include "cm/afs_vol.def"
#undef AFS_RPC
};

#define TABLE(service)                                                                                                 \
	const struct rx_rpc_table cell_##service##_table = { #service, service##_entries,                              \
							     sizeof(service##_entries) / sizeof(service##_entries[0]), \
							     cell_reply, true };
TABLE(fs)
TABLE(vl)
TABLE(pt)
TABLE(vol)
