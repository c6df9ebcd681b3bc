/* Unit tests of both ends of the generic stubs (rx/rpc.c) with the RPCs of cm/afs.h, over
 * a transport that is two byte arrays. */
#include "cm/afs.h"
#include "tests/unit.h"

/* ---- the transport ---- */

struct rx_call {
	const uint8_t *input; /* what this side reads */
	size_t len, pos;
	int32_t aborted; /* the peer's abort code behind it */
	struct xdr_buf output;
	int32_t ended_with;
	unsigned ends;
};

struct rx_call *rx_call_new(struct rx_conn *conn, struct rx_error *err)
{
	struct rx_call *call = (struct rx_call *)conn;

	if (!call)
		rx_error_set(err, RX_ORIGIN_RX, RX_CALL_DEAD, ETIMEDOUT, "no connection");
	return call;
}

int rx_call_write(struct rx_call *call, const void *buf, size_t len)
{
	for (size_t i = 0; i + 4 <= len; i += 4)
		xdr_put_u32(&call->output,
			    (uint32_t)((const uint8_t *)buf)[i] << 24 | (uint32_t)((const uint8_t *)buf)[i + 1] << 16 |
				    (uint32_t)((const uint8_t *)buf)[i + 2] << 8 | ((const uint8_t *)buf)[i + 3]);
	CU_ASSERT_EQUAL(len % 4, 0); /* all that these tests send */
	return 0;
}

ptrdiff_t rx_call_read(struct rx_call *call, void *buf, size_t len)
{
	size_t n = call->len - call->pos < len ? call->len - call->pos : len;

	if (n < len && call->aborted)
		return -1;
	if (n)
		memcpy(buf, call->input + call->pos, n);
	call->pos += n;
	return (ptrdiff_t)n;
}

int rx_call_end(struct rx_call *call, int32_t abort_code, enum rx_origin origin, struct rx_error *err)
{
	call->ended_with = abort_code;
	call->ends++;
	if (call->aborted)
		return rx_error_abort(err, origin, call->aborted);
	if (abort_code)
		return rx_error_abort(err, origin, RX_USER_ABORT);
	return 0;
}

const struct rx_addr *rx_conn_peer(const struct rx_conn *conn)
{
	static struct rx_addr addr;

	(void)conn;
	addr = rx_addr_ipv4(0x0a4d000b, 7000);
	return &addr;
}

static struct rx_rpc_client client_of(struct rx_call *call)
{
	return (struct rx_rpc_client){ .conn = (struct rx_conn *)call, .origin = RX_ORIGIN_AFS };
}

/* ---- stubs ---- */

static void test_plain_call(void)
{
	static const uint8_t reply[] = { 0, 0, 0, 9, 0, 0, 0, 8, 0xde, 0xad, 0xbe, 0xef };
	struct rx_call call = { .input = reply, .len = sizeof(reply) };
	struct rx_rpc_client c = client_of(&call);
	struct afs_GetTime_out out;
	struct rx_error err;

	CU_ASSERT_EQUAL(afs_GetTime(&c, NULL, &out, &err), 0);
	CU_ASSERT_EQUAL(out.seconds, 9);
	CU_ASSERT_EQUAL(out.useconds, 8);
	CU_ASSERT_TRUE(unit_is_hex(call.output.data, call.output.len, "00000099"));
	CU_ASSERT_EQUAL(err.code, 0);
	for (size_t len = 0; len < 8; len++) {
		call.len = len;
		call.pos = 0;
		call.ends = 0;
		CU_ASSERT_EQUAL(afs_GetTime(&c, NULL, &out, &err), -1);
		CU_ASSERT_EQUAL(err.code, RXGEN_CC_UNMARSHAL);
		CU_ASSERT_EQUAL(call.ends, 1);
		CU_ASSERT_EQUAL(call.ended_with, RXGEN_CC_UNMARSHAL);
		CU_ASSERT_EQUAL(out.seconds, 0);
	}
	call.aborted = 102;
	CU_ASSERT_EQUAL(afs_GetTime(&c, NULL, NULL, &err), -1);
	CU_ASSERT_EQUAL(call.ended_with, 0); /* the peer has spoken already */
	CU_ASSERT_EQUAL(err.origin, RX_ORIGIN_AFS);
	CU_ASSERT_EQUAL(err.code, 102);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "GetTime at 10.77.0.11:7000"));
	xdr_buf_free(&call.output);
	c.conn = NULL;
	CU_ASSERT_EQUAL(afs_GetTime(&c, NULL, &out, &err), -1);
	CU_ASSERT_EQUAL(err.code, RX_CALL_DEAD);
}

static int count_sink(void *arg, const void *bytes, size_t len, struct rx_error *err)
{
	(void)bytes;
	(void)err;
	*(size_t *)arg += len;
	return 0;
}

static int failing_sink(void *arg, const void *bytes, size_t len, struct rx_error *err)
{
	(void)arg;
	(void)bytes;
	return rx_error_errno(err, ENOSPC, "writing %zu bytes", len);
}

/* A reply of FetchData(64): announced length, data bytes and status, maybe cut. */
static struct rx_call fetch_reply(bool wide, int64_t announced, size_t data, size_t status)
{
	static uint8_t bytes[8 + 4096 + 120];

	memset(bytes, 0x11, sizeof(bytes));
	for (int i = 0; i < 8; i++)
		bytes[i] = (uint8_t)((uint64_t)announced >> (56 - 8 * i));
	memset(bytes + 8, 'd', data);
	return (struct rx_call){ .input = bytes + (wide ? 0 : 4), .len = (wide ? 8 : 4) + data + status };
}

static int fetch(struct rx_call *call, bool wide, int32_t asked, const struct rx_rpc_sink *sink, uint64_t *got,
		 struct rx_error *err)
{
	struct rx_rpc_client c = client_of(call);
	struct afs_FetchData_in in = { .fid = { 1, 2, 3 }, .length = asked };
	struct afs_FetchData64_in in64 = { .fid = { 1, 2, 3 }, .length = asked };
	struct afs_FetchData_out out;
	struct afs_FetchData64_out out64;
	int rc = wide ? afs_FetchData64(&c, &in64, sink, got, &out64, err)
		      : afs_FetchData(&c, &in, sink, got, &out, err);

	xdr_buf_free(&call->output);
	/* The reply's words are all the same; a failed call leaves zeros. */
	CU_ASSERT_EQUAL(wide ? out64.sync.creation : out.sync.creation, rc ? 0 : 0x11111111);
	return rc;
}

static void test_fetch(void)
{
	static const struct {
		int64_t announced;
		size_t data, status;
		int32_t code, ended_with;
	} cases[] = {
		{ 100, 100, 120, 0, 0 },
		{ 97, 97, 120, 0, 0 },
		{ 0, 0, 120, 0, 0 },
		{ 1, 1, 120, 0, 0 },
		{ 101, 101, 120, RX_PROTOCOL_ERROR, RX_PROTOCOL_ERROR },
		{ -1, 0, 120, RX_PROTOCOL_ERROR, RX_PROTOCOL_ERROR },
		{ 100, 60, 0, RXGEN_CC_UNMARSHAL, RXGEN_CC_UNMARSHAL },
		{ 50, 54, 120, RXGEN_CC_UNMARSHAL, RXGEN_CC_UNMARSHAL },
		{ 50, 50, 116, RXGEN_CC_UNMARSHAL, RXGEN_CC_UNMARSHAL },
		{ 50, 50, 0, RXGEN_CC_UNMARSHAL, RXGEN_CC_UNMARSHAL },
	};
	uint8_t space[100];
	size_t count;
	const struct rx_rpc_sink to_buf = { .buf = space }, to_count = { .fn = count_sink, .arg = &count };
	const struct rx_rpc_sink to_nowhere = { .fn = failing_sink };
	struct rx_error err;
	struct rx_call call;
	uint64_t got;

	for (size_t i = 0; i < 4 * sizeof(cases) / sizeof(cases[0]); i++) {
		bool wide = i & 1;

		call = fetch_reply(wide, cases[i / 4].announced, cases[i / 4].data, cases[i / 4].status);
		count = 0;
		CU_ASSERT_EQUAL(fetch(&call, wide, 100, i & 2 ? &to_buf : &to_count, &got, &err),
				cases[i / 4].code ? -1 : 0);
		CU_ASSERT_EQUAL(err.code, cases[i / 4].code);
		CU_ASSERT_EQUAL(call.ended_with, cases[i / 4].ended_with);
		CU_ASSERT_EQUAL(call.ends, 1);
		if (!cases[i / 4].code)
			CU_ASSERT_EQUAL(got, cases[i / 4].data);
		if (!(i & 2))
			CU_ASSERT_EQUAL(count, got);
	}
	call = fetch_reply(true, (int64_t)1 << 32 | 50, 50, 120);
	CU_ASSERT_EQUAL(fetch(&call, true, 100, &to_buf, &got, &err), -1);
	CU_ASSERT_EQUAL(err.code, RX_PROTOCOL_ERROR);
	call = fetch_reply(true, 50, 50, 120);
	CU_ASSERT_EQUAL(fetch(&call, true, 100, &to_nowhere, &got, &err), -1);
	CU_ASSERT_EQUAL(err.errnum, ENOSPC);
	CU_ASSERT_EQUAL(call.ended_with, RX_USER_ABORT);
}

static int zeros(void *arg, void *bytes, size_t len, struct rx_error *err)
{
	if (arg)
		return rx_error_errno(err, EIO, "reading the page");
	memset(bytes, 0, len);
	return 0;
}

static void test_store(void)
{
	static const uint8_t reply[108], data[8] = "datadata";
	struct afs_StoreData64_in in = { .fid = { 1, 2, 3 }, .position = 1, .length = 8, .file_length = 9 };
	struct rx_call call = { .input = reply, .len = sizeof(reply) };
	struct rx_rpc_client c = client_of(&call);
	struct afs_StoreData64_out out;
	struct rx_error err;

	CU_ASSERT_EQUAL(afs_StoreData64(&c, &in, &(struct rx_rpc_source){ .buf = data }, &out, &err), 0);
	CU_ASSERT_EQUAL(call.output.len, 4 + 12 + 24 + 24 + 8);
	CU_ASSERT_EQUAL(memcmp(call.output.data + 64, data, 8), 0);
	call.output.len = call.pos = 0;
	in.length = 200000;
	CU_ASSERT_EQUAL(afs_StoreData64(&c, &in, &(struct rx_rpc_source){ .fn = zeros }, &out, &err), 0);
	CU_ASSERT_EQUAL(call.output.len, 64 + 200000);
	call.pos = 0;
	CU_ASSERT_EQUAL(afs_StoreData64(&c, &in, &(struct rx_rpc_source){ .fn = zeros, .arg = &in }, &out, &err), -1);
	CU_ASSERT_EQUAL(err.errnum, EIO);
	CU_ASSERT_EQUAL(call.ended_with, RX_USER_ABORT);
	xdr_buf_free(&call.output);
}

/* ---- server ---- */

static int32_t on_volume_status(struct rx_call *call, const struct afs_GetVolumeStatus_in *in,
				struct afs_GetVolumeStatus_out *out, void *arg)
{
	(void)call;
	++*(int *)arg;
	out->name = strdup("root.cell");
	out->status.volume = in->volume;
	return in->volume == 5 ? 103 : 0;
}

static int32_t on_fetch(struct rx_call *call, const struct afs_FetchData_in *in, struct afs_FetchData_out *out,
			void *arg)
{
	(void)arg;
	rx_rpc_send_length(call, &afs_rpc_FetchData, (uint64_t)in->length);
	rx_call_write(call, "12345678", (size_t)in->length);
	out->status.length = (uint32_t)in->length;
	return 0;
}

static int32_t on_remove(struct rx_call *call, const struct afs_RemoveFile_in *in, struct afs_RemoveFile_out *out,
			 void *arg)
{
	(void)call;
	(void)out;
	(void)arg;
	return (int32_t)strlen(in->name);
}

static const struct afs_fs_ops ops = {
	.GetVolumeStatus = on_volume_status,
	.FetchData = on_fetch,
	.RemoveFile = on_remove,
};

static int32_t serve(const char *hex, struct rx_call *call, int *calls)
{
	static uint8_t request[1024];

	*call = (struct rx_call){ .input = request, .len = unit_hex(hex, request, sizeof(request)) };
	return rx_rpc_dispatch(call, &afs_fs_table, &ops, calls);
}

static void test_dispatch(void)
{
	struct rx_call call;
	int calls = 0;

	CU_ASSERT_EQUAL(serve("00000095 00000007", &call, &calls), 0);
	CU_ASSERT_EQUAL(call.output.len, 48 + 4 + 12 + 4 + 4);
	xdr_buf_free(&call.output);
	CU_ASSERT_EQUAL(serve("00000095 00000007 00000000", &call, &calls), 0); /* more is ignored */
	xdr_buf_free(&call.output);
	CU_ASSERT_EQUAL(serve("00000095 00000005", &call, &calls), 103);
	CU_ASSERT_EQUAL(call.output.len, 0);
	CU_ASSERT_EQUAL(calls, 3);
	CU_ASSERT_EQUAL(serve("00000095 000000", &call, &calls), RXGEN_SS_UNMARSHAL);
	CU_ASSERT_EQUAL(serve("00000095", &call, &calls), RXGEN_SS_UNMARSHAL);
	CU_ASSERT_EQUAL(serve("000000", &call, &calls), RXGEN_DECODE);
	CU_ASSERT_EQUAL(serve("", &call, &calls), RXGEN_DECODE);
	CU_ASSERT_EQUAL(serve("0000270f", &call, &calls), RXGEN_OPCODE);
	CU_ASSERT_EQUAL(serve("00000099", &call, &calls), RXGEN_OPCODE); /* GetTime, not offered */
	CU_ASSERT_EQUAL(calls, 3);
	CU_ASSERT_EQUAL(serve("00000082 00000001 00000002 00000003 00000000 00000008", &call, &calls), 0);
	CU_ASSERT_EQUAL(call.output.len, 4 + 8 + 120);
	CU_ASSERT_TRUE(unit_is_hex(call.output.data, 12, "00000008 3132333435363738"));
	xdr_buf_free(&call.output);
}

/* The bounds of names and arrays as a server sees them. */
static void test_server_bounds(void)
{
	char hex[2048];
	struct rx_call call;
	int calls = 0;

	for (unsigned len = 255; len <= 257; len++) {
		int n = snprintf(hex, sizeof(hex), "00000088 00000001 00000001 00000001 %08x ", len);

		for (unsigned i = 0; i < (len + 3) / 4 * 4; i++)
			n += snprintf(hex + n, sizeof(hex) - (size_t)n, i < len ? "6e" : "00");
		CU_ASSERT_EQUAL(serve(hex, &call, &calls), len <= 256 ? (int32_t)len : RXGEN_SS_UNMARSHAL);
	}
	CU_ASSERT_EQUAL(serve("00000088 00000001 00000001 00000001 00000003 61006200", &call, &calls),
			RXGEN_SS_UNMARSHAL);
	CU_ASSERT_EQUAL(serve("00000088 00000001 00000001 00000001 00000000", &call, &calls), 0);
	xdr_buf_free(&call.output);
}

UNIT_MAIN("rpc", { "RPC-06 reply with trailing junk ignored, short reply and abort are errors", test_plain_call },
	  { "RPC-54 N > asked; N negative; N then fewer bytes; RPC-11 status at unaligned offset", test_fetch },
	  { "RPC a store sends exactly Length bytes, its source may fail", test_store },
	  { "RPC-07 unknown opcode -> -455, short ones -454, bad arguments -453, nothing after an error",
	    test_dispatch },
	  { "RPC-03 string of exactly max, max+1 (-453), empty, with NUL inside (-453)", test_server_bounds })
