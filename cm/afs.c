/* The descriptors and server tables behind cm/afs.h, generated from the same
 * declarations. A declaration's fields are here a list of tuples, which EACH walks
 * together with the name of the struct that they are in. Constant data only. */
#include "cm/afs.h"

/* EACH(S, t1, t2, ...) is FIELD(S, t1) FIELD(S, t2) ...; a macro may not expand itself,
 * so every step leaves its successor's name behind for one of the rescans of EXPAND. */
#define PARENS ()
#define EXPAND(...) EXPAND3(EXPAND3(EXPAND3(EXPAND3(__VA_ARGS__))))
#define EXPAND3(...) EXPAND2(EXPAND2(EXPAND2(EXPAND2(__VA_ARGS__))))
#define EXPAND2(...) EXPAND1(EXPAND1(EXPAND1(EXPAND1(__VA_ARGS__))))
#define EXPAND1(...) __VA_ARGS__
#define EACH(s, ...) __VA_OPT__(EXPAND(EACH_STEP(s, __VA_ARGS__)))
#define EACH_STEP(s, tuple, ...) FIELD(s, tuple) __VA_OPT__(EACH_NAME PARENS(s, __VA_ARGS__))
#define EACH_NAME() EACH_STEP

#define FIELD(s, tuple) FIELD_OF(s, UNPACK tuple)
#define UNPACK(...) __VA_ARGS__
#define FIELD_OF(s, ...) FIELD_ENTRY(s, __VA_ARGS__)
#define FIELD_ENTRY(s, kind, form, f, count, type) { #f, kind, form, count, offsetof(struct s, f), type },

#define KIND_i32 XDR_I32
#define KIND_u32 XDR_U32
#define KIND_i64 XDR_I64
#define KIND_u64 XDR_U64
#define KIND_u16 XDR_U16
#define KIND_char XDR_CHAR
#define KIND_octet XDR_CHAR
#define I32(f) , (XDR_I32, XDR_ONE, f, 1, NULL)
#define U32(f) , (XDR_U32, XDR_ONE, f, 1, NULL)
#define I64(f) , (XDR_I64, XDR_ONE, f, 1, NULL)
#define U64(f) , (XDR_U64, XDR_ONE, f, 1, NULL)
#define I16(f) , (XDR_I16, XDR_ONE, f, 1, NULL)
#define U16(f) , (XDR_U16, XDR_ONE, f, 1, NULL)
#define CHAR(f) , (XDR_CHAR, XDR_ONE, f, 1, NULL)
#define OCTET(f) , (XDR_CHAR, XDR_ONE, f, 1, NULL)
#define UCHAR(f) , (XDR_UCHAR, XDR_ONE, f, 1, NULL)
#define NAME(f, n) , (XDR_NAME, XDR_ONE, f, n, NULL)
#define BYTES(f, n) , (XDR_BYTES, XDR_ONE, f, n, NULL)
#define STRING(f, max) , (XDR_STRING, XDR_ONE, f, max, NULL)
#define OPAQUE(f, max) , (XDR_OPAQUE, XDR_ONE, f, max, NULL)
#define STRUCT(t, f) , (XDR_STRUCT, XDR_ONE, f, 1, &afs_type_##t)
#define VECTOR(k, f, n) , (KIND_##k, XDR_VECTOR, f, n, NULL)
#define VECTOR_OF(t, f, n) , (XDR_STRUCT, XDR_VECTOR, f, n, &afs_type_##t)
#define ARRAY(k, f, max) , (KIND_##k, XDR_ARRAY, f, max, NULL)
#define ARRAY_OF(t, f, max) , (XDR_STRUCT, XDR_ARRAY, f, max, &afs_type_##t)

#define DESCRIBE(linkage, variable, s, ...)                                                                            \
	static const struct xdr_field variable##_fields[] = { EACH(s __VA_ARGS__) };                                   \
	linkage const struct xdr_type variable = { #s, sizeof(struct s), variable##_fields,                            \
						   sizeof(variable##_fields) / sizeof(struct xdr_field) };

#define AFS_TYPE(name, ...) DESCRIBE(, afs_type_##name, name, __VA_ARGS__)
#include "cm/afs_types.def"

#define AFS_RPC(name, opcode, split, in_fields, out_fields)                                                            \
	DESCRIBE(static, in_##name, afs_##name##_in, in_fields)                                                        \
	DESCRIBE(static, out_##name, afs_##name##_out, out_fields)                                                     \
	const struct rx_rpc afs_rpc_##name = { #name, opcode, RX_RPC_##split, &in_##name, &out_##name };
#include "cm/afs_fs.def"
#include "cm/afs_cb.def"
#include "cm/afs_vl.def"
#include "cm/afs_pt.def"
#include "cm/afs_vol.def"
#undef AFS_RPC

/* The server's half: from untyped arguments to the typed operation. */
#define RUN(ops_type, name)                                                                                            \
	static int32_t run_##name(const void *ops, struct rx_call *call, const void *in, void *out, void *arg)         \
	{                                                                                                              \
		return ((const struct ops_type *)ops)->name(call, in, out, arg);                                       \
	}
#define AFS_RPC(name, opcode, split, in_fields, out_fields) RUN(OPS, name)
#define OPS afs_fs_ops
#include "cm/afs_fs.def"
#undef OPS
#define OPS afs_cb_ops
#include "cm/afs_cb.def"
#undef OPS
#define OPS afs_vl_ops
#include "cm/afs_vl.def"
#undef OPS
#define OPS afs_pt_ops
#include "cm/afs_pt.def"
#undef OPS
#define OPS afs_vol_ops
#include "cm/afs_vol.def"
#undef OPS
#undef AFS_RPC

#define AFS_RPC(name, opcode, split, in_fields, out_fields) { &afs_rpc_##name, offsetof(struct OPS, name), run_##name },
#define TABLE(service, entries)                                                                                        \
	const struct rx_rpc_table afs_##service##_table = { #service, entries, sizeof(entries) / sizeof(entries[0]),   \
							    NULL, false };

static const struct rx_rpc_entry fs_entries[] = {
#define OPS afs_fs_ops
#include "cm/afs_fs.def"
#undef OPS
};
TABLE(fs, fs_entries)

static const struct rx_rpc_entry cb_entries[] = {
#define OPS afs_cb_ops
#include "cm/afs_cb.def"
#undef OPS
};
TABLE(cb, cb_entries)

static const struct rx_rpc_entry vl_entries[] = {
#define OPS afs_vl_ops
#include "cm/afs_vl.def"
#undef OPS
};
TABLE(vl, vl_entries)

static const struct rx_rpc_entry pt_entries[] = {
#define OPS afs_pt_ops
#include "cm/afs_pt.def"
#undef OPS
};
TABLE(pt, pt_entries)

static const struct rx_rpc_entry vol_entries[] = {
#define OPS afs_vol_ops
#include "cm/afs_vol.def"
#undef OPS
};
TABLE(vol, vol_entries)
