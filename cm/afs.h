/* Every AFS structure and remote procedure, generated from the one declaration in
 * cm/afs_types.def and cm/afs_{fs,cb,vl,pt,vol}.def. For AFS_RPC(Name, ...) there are:
 *   struct afs_Name_in, struct afs_Name_out   its arguments and results
 *   afs_rpc_Name                              its description (rx/rpc.h), name in traces
 *   afs_Name(client, in, out, err)            the client's stub, blocking; FETCH ones also
 *                                             take a sink and *got, STORE ones a source
 *   afs_Name_free(out)                        frees what a stub's success has left in *out
 *   ops->Name                                 the server's operation in struct afs_<service>_ops
 * No state; any thread. Called by all of cm/ and by the servers and tools. */
#ifndef UMAFS_CM_AFS_H
#define UMAFS_CM_AFS_H

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "rx/rpc.h"

enum { /* RX service ids, with the ports in host byte order */
       AFS_SERVICE_FS = 1,
       AFS_PORT_FS = 7000,
       AFS_SERVICE_CB = 1,
       AFS_PORT_CB = 7001,
       AFS_SERVICE_PT = 73,
       AFS_PORT_PT = 7002,
       AFS_SERVICE_VL = 52,
       AFS_PORT_VL = 7003,
       AFS_SERVICE_VOL = 4,
       AFS_PORT_VOL = 7005,
};

enum { AFS_CB_MAX = 50, AFS_NAME_MAX = 256, AFS_PATH_MAX = 1024, AFS_OPAQUE_MAX = 1024 };
enum { AFS_TYPE_FILE = 1, AFS_TYPE_DIR = 2, AFS_TYPE_SYMLINK = 3 };
enum { AFS_CALLBACK_EXCLUSIVE = 1, AFS_CALLBACK_SHARED = 2, AFS_CALLBACK_DROPPED = 3 };
enum { AFS_LOCK_READ = 0, AFS_LOCK_WRITE = 1 };
enum { /* bits of afs_store_status.mask */
       AFS_SET_MTIME = 1,
       AFS_SET_OWNER = 2,
       AFS_SET_GROUP = 4,
       AFS_SET_MODE = 8,
       AFS_FSYNC = 1024,
};
enum { AFS_SET_MIN_QUOTA = 1, AFS_SET_MAX_QUOTA = 2 };
enum { /* word 0 of a fileserver's capabilities; of a client's only ERRORTRANS */
       AFS_CAP_ERRORTRANS = 1,
       AFS_CAP_64BITFILES = 2,
       AFS_CAP_WRITELOCKACL = 4,
       AFS_CAP_SANEACLS = 8,
};
enum { AFS_ID_ANONYMOUS = 32766, AFS_ID_ANYUSER = -101, AFS_ID_AUTHUSER = -102, AFS_ID_ADMINISTRATORS = -204 };
enum { AFS_VOLUME_RW = 0, AFS_VOLUME_RO = 1, AFS_VOLUME_BACKUP = 2 };
enum { /* vl_entry*.flags */
       VL_RW_EXISTS = 0x1000,
       VL_RO_EXISTS = 0x2000,
       VL_BACK_EXISTS = 0x4000,
};
enum { /* vl_entry*.server_flags */
       VL_SITE_NEWREP = 0x01,
       VL_SITE_RO = 0x02,
       VL_SITE_RW = 0x04,
       VL_SITE_BACK = 0x08,
       VL_SITE_UUID = 0x10,
       VL_SITE_DONTUSE = 0x20,
       VL_SITE_RWREPLICA = 0x40,
};
enum { VL_BY_IP = 1, VL_BY_INDEX = 2, VL_BY_UUID = 4 }; /* vl_list_addr_by_attributes.mask: exactly one */
enum { PT_LIST_USERS = 1, PT_LIST_GROUPS = 2 };
enum { PT_NEW_USER = 0, PT_NEW_GROUP = 2 };

/* Fields, as C sees them. Kinds in lower case are for VECTOR and ARRAY. */
#define AFS_C_i32 int32_t
#define AFS_C_u32 uint32_t
#define AFS_C_i64 int64_t
#define AFS_C_u64 uint64_t
#define AFS_C_u16 uint16_t
#define AFS_C_char char
#define AFS_C_octet uint8_t
#define I32(f) int32_t f;
#define U32(f) uint32_t f;
#define I64(f) int64_t f;
#define U64(f) uint64_t f;
#define I16(f) int16_t f;
#define U16(f) uint16_t f;
#define CHAR(f) char f;
#define OCTET(f) uint8_t f; /* a char on the wire, a byte here */
#define UCHAR(f) uint8_t f;
#define NAME(f, n) char f[n];
#define BYTES(f, n) uint8_t f[n];
#define STRING(f, max) char *f;
#define OPAQUE(f, max) struct xdr_opaque f;
#define STRUCT(t, f) struct t f;
#define VECTOR(k, f, n) AFS_C_##k f[n];
#define VECTOR_OF(t, f, n) struct t f[n];
#define ARRAY(k, f, max)                                                                                               \
	struct {                                                                                                       \
		uint32_t len;                                                                                          \
		AFS_C_##k *items;                                                                                      \
	} f;
#define ARRAY_OF(t, f, max)                                                                                            \
	struct {                                                                                                       \
		uint32_t len;                                                                                          \
		struct t *items;                                                                                       \
	} f;

#define AFS_TYPE(name, fields)                                                                                         \
	struct name {                                                                                                  \
		fields                                                                                                 \
	};                                                                                                             \
	extern const struct xdr_type afs_type_##name;
#include "cm/afs_types.def"
#undef AFS_TYPE

#define AFS_STUB_PLAIN(name)                                                                                           \
	static inline int afs_##name(const struct rx_rpc_client *c, const struct afs_##name##_in *in,                  \
				     struct afs_##name##_out *out, struct rx_error *err)                               \
	{                                                                                                              \
		return rx_rpc(c, &afs_rpc_##name, in, out, err);                                                       \
	}
#define AFS_STUB_FETCH(name)                                                                                           \
	static inline int afs_##name(const struct rx_rpc_client *c, const struct afs_##name##_in *in,                  \
				     const struct rx_rpc_sink *sink, uint64_t *got, struct afs_##name##_out *out,      \
				     struct rx_error *err)                                                             \
	{                                                                                                              \
		if (in->length < 0)                                                                                    \
			return rx_error_errno(err, EINVAL, "%s of a negative length", #name);                          \
		return rx_rpc_fetch(c, &afs_rpc_##name, in, (uint64_t)in->length, sink, got, out, err);                \
	}
#define AFS_STUB_FETCH32(name) AFS_STUB_FETCH(name)
#define AFS_STUB_FETCH64(name) AFS_STUB_FETCH(name)
#define AFS_STUB_STORE(name)                                                                                           \
	static inline int afs_##name(const struct rx_rpc_client *c, const struct afs_##name##_in *in,                  \
				     const struct rx_rpc_source *source, struct afs_##name##_out *out,                 \
				     struct rx_error *err)                                                             \
	{                                                                                                              \
		return rx_rpc_store(c, &afs_rpc_##name, in, in->length, source, out, err);                             \
	}

#define AFS_RPC(name, opcode, split, in_fields, out_fields)                                                            \
	struct afs_##name##_in {                                                                                       \
		in_fields                                                                                              \
	};                                                                                                             \
	struct afs_##name##_out {                                                                                      \
		out_fields                                                                                             \
	};                                                                                                             \
	extern const struct rx_rpc afs_rpc_##name;                                                                     \
	AFS_STUB_##split(name) static inline void afs_##name##_free(struct afs_##name##_out *out)                      \
	{                                                                                                              \
		xdr_free(afs_rpc_##name.out, out);                                                                     \
	}
#include "cm/afs_fs.def"
#include "cm/afs_cb.def"
#include "cm/afs_vl.def"
#include "cm/afs_pt.def"
#include "cm/afs_vol.def"
#undef AFS_RPC

/* What a server implements: returns 0 with *out filled (malloc'ed parts), or the abort
 * code. NULL operations are answered with RXGEN_OPCODE. See rx_rpc_dispatch. */
#define AFS_RPC(name, opcode, split, in_fields, out_fields)                                                            \
	int32_t (*name)(struct rx_call * call, const struct afs_##name##_in *in, struct afs_##name##_out *out,         \
			void *arg);
struct afs_fs_ops {
#include "cm/afs_fs.def"
};
struct afs_cb_ops {
#include "cm/afs_cb.def"
};
struct afs_vl_ops {
#include "cm/afs_vl.def"
};
struct afs_pt_ops {
#include "cm/afs_pt.def"
};
struct afs_vol_ops {
#include "cm/afs_vol.def"
};
#undef AFS_RPC

extern const struct rx_rpc_table afs_fs_table, afs_cb_table, afs_vl_table, afs_pt_table, afs_vol_table;

#undef AFS_C_i32
#undef AFS_C_u32
#undef AFS_C_i64
#undef AFS_C_u64
#undef AFS_C_u16
#undef AFS_C_char
#undef AFS_C_octet
#undef I32
#undef U32
#undef I64
#undef U64
#undef I16
#undef U16
#undef CHAR
#undef OCTET
#undef UCHAR
#undef NAME
#undef BYTES
#undef STRING
#undef OPAQUE
#undef STRUCT
#undef VECTOR
#undef VECTOR_OF
#undef ARRAY
#undef ARRAY_OF
#undef AFS_STUB_PLAIN
#undef AFS_STUB_FETCH
#undef AFS_STUB_FETCH32
#undef AFS_STUB_FETCH64
#undef AFS_STUB_STORE

/* The two halves put together. Servers without AFS_CAP_64BITFILES leave length_high
 * undefined: clear it before asking. */
static inline uint64_t afs_status_length(const struct afs_fetch_status *st)
{
	return (uint64_t)st->length_high << 32 | st->length;
}

static inline uint64_t afs_status_version(const struct afs_fetch_status *st)
{
	return (uint64_t)st->data_version_high << 32 | st->data_version;
}

static inline bool afs_fid_equal(const struct afs_fid *a, const struct afs_fid *b)
{
	return a->volume == b->volume && a->vnode == b->vnode && a->unique == b->unique;
}

static inline bool afs_uuid_equal(const struct afs_uuid *a, const struct afs_uuid *b)
{
	return a->time_low == b->time_low && a->time_mid == b->time_mid && a->time_high == b->time_high &&
	       a->clock_high == b->clock_high && a->clock_low == b->clock_low &&
	       !memcmp(a->node, b->node, sizeof(a->node));
}

#endif
