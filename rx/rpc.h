/* Remote procedures by description: one struct rx_rpc per procedure serves the client
 * stub, the server's dispatcher and the trace. The descriptions and typed wrappers come
 * from the declarations in cm/afs_*.def through cm/afs.h; transport is rx/rx.h.
 * Client functions block the calling thread; dispatching runs on the handler's thread. */
#ifndef UMAFS_RX_RPC_H
#define UMAFS_RX_RPC_H

#include <stddef.h>
#include <stdint.h>

#include "rx/rx.h"
#include "rx/xdr.h"

/* What raw bytes travel beside the arguments. */
enum rx_rpc_split {
	RX_RPC_PLAIN,
	RX_RPC_FETCH32, /* reply: one length word, the bytes, then OUT */
	RX_RPC_FETCH64, /* reply: two length words, the bytes, then OUT */
	RX_RPC_STORE,   /* request: IN, then as many bytes as IN says; IN is of fixed size */
};

struct rx_rpc {
	const char *name;
	uint32_t opcode;
	enum rx_rpc_split split;
	const struct xdr_type *in, *out;
};

/* Told of every call of a client when it has ended, and if `begun` is not NULL when it begins. */
struct rx_rpc_trace {
	void (*begun)(void *arg, const char *name, const struct rx_addr *server, uint64_t start_us);
	void (*rpc)(void *arg, const char *name, const struct rx_addr *server, uint64_t start_us, uint64_t end_us,
		    const struct rx_error *err); /* err->code 0: success */
	void *arg;
	struct rx_env *env; /* whose clock */
};

/* Where calls go. `origin` is the service whose abort codes these are. */
struct rx_rpc_client {
	struct rx_conn *conn;
	enum rx_origin origin;
	const struct rx_rpc_trace *trace; /* NULL: none */
};

/* Where fetched bytes go: into buf (which has room for what was asked), or if that is
 * NULL to fn, piece by piece; its -1 with err ends the call. */
struct rx_rpc_sink {
	void *buf;
	int (*fn)(void *arg, const void *bytes, size_t len, struct rx_error *err);
	void *arg;
};

/* Where bytes to store come from: buf, or if that is NULL fn, which fills all len
 * bytes; its -1 with err aborts the call (the server may keep what it had). */
struct rx_rpc_source {
	const void *buf;
	int (*fn)(void *arg, void *bytes, size_t len, struct rx_error *err);
	void *arg;
};

/* Each: `in` may be NULL if the procedure has no arguments, `out` if nothing comes back
 * or nobody cares. On 0 the caller frees *out with xdr_free; on -1 *out is zero. Bytes
 * behind OUT are ignored, as every AFS client but Linux's does. */
int rx_rpc(const struct rx_rpc_client *c, const struct rx_rpc *rpc, const void *in, void *out, struct rx_error *err);

/* The same procedure of several servers at once, one whose reply is empty. */
struct rx_rpc_each {
	struct rx_rpc_client client;
	const void *in;
	int rc; /* how this call ended: as of rx_rpc */
	struct rx_error err;
};
void rx_rpc_multi(const struct rx_rpc *rpc, struct rx_rpc_each *each, unsigned n);

/* *got <= asked bytes have come, also counted when the call fails after them: bytes in
 * the sink mean nothing unless 0 is returned. More, or a negative count, is a protocol
 * error of the server. */
int rx_rpc_fetch(const struct rx_rpc_client *c, const struct rx_rpc *rpc, const void *in, uint64_t asked,
		 const struct rx_rpc_sink *sink, uint64_t *got, void *out, struct rx_error *err);

int rx_rpc_store(const struct rx_rpc_client *c, const struct rx_rpc *rpc, const void *in, uint64_t len,
		 const struct rx_rpc_source *source, void *out, struct rx_error *err);

/* Server side. A service has a struct of typed function pointers, its operations; an
 * entry knows at which offset a procedure's stands and how to call it. NULL operations
 * are answered with RXGEN_OPCODE. */
struct rx_rpc_entry {
	const struct rx_rpc *rpc;
	size_t slot;
	int32_t (*run)(const void *ops, struct rx_call *call, const void *in, void *out, void *arg);
};

struct rx_rpc_table {
	const char *name;
	const struct rx_rpc_entry *entries;
	unsigned n;
	/* How OUT is written, with the dispatcher's arg; NULL: rx_rpc_reply. */
	int32_t (*reply)(struct rx_call *call, const struct rx_rpc *rpc, const void *out, void *arg);
	/* `run` is called for NULL operations too, if the request can be read, and answers
	 * RXGEN_OPCODE itself. */
	bool with_missing;
};

bool rx_rpc_has_operation(const struct rx_rpc_entry *entry, const void *ops);

/* The abort code for rx_handler to return; 0 after a complete reply. Reads opcode and
 * IN, runs the operation, writes OUT only if that returned 0, frees both: what an
 * operation puts into *out must be malloc'ed. The operation of a split procedure moves
 * the bytes itself with rx_call_read, or rx_rpc_send_length and rx_call_write. */
int32_t rx_rpc_dispatch(struct rx_call *call, const struct rx_rpc_table *table, const void *ops, void *arg);

/* Writes OUT as it is: 0, or the abort code. */
int32_t rx_rpc_reply(struct rx_call *call, const struct rx_rpc *rpc, const void *out);

/* The length word(s) before a fetch's bytes. -1: the call is dead, return any code. */
int rx_rpc_send_length(struct rx_call *call, const struct rx_rpc *rpc, uint64_t len);

#endif
