/* What fault rules do to one call: fault.c decides, reply.c changes the bytes of the reply,
 * lie.c knows how replies can lie. Belongs to one request; its worker thread's alone. */
#ifndef UMAFS_TOOLS_CELL_FAULT_H
#define UMAFS_TOOLS_CELL_FAULT_H

#include "tools/cell/internal.h"

struct cell_shape {
	const struct rx_rpc *proc;
	bool active;
	int64_t cut, garbage; /* bytes; -1: no */
	int64_t length;       /* added to what is announced */
	int64_t array;        /* elements more, or fewer */
	int64_t lie;          /* its number; -1: none */
	uint64_t random;
	uint64_t sent;       /* bytes of the reply so far */
	uint32_t vnode_type; /* of what is fetched; 0: nothing is */
	bool told;           /* the lie */
};

struct cell_fault {
	struct cell_shape shape;
	struct afs_fid fid;
	bool lose, break_during, break_after;
};

#endif
