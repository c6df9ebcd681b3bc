/* See ask.h. */
#include "tests/nth/ask.h"

#include <stdio.h>

#include "cm/internal.h"

enum { ROOT_CELL = 536870915 };

struct conns {
	struct rx_rpc_client fs, vl, pt, vol;
};

/* One question: its count, or -1. */
#define QUESTION(name, client, count, ...)                                                                             \
	static long ask_##name(struct conns *c)                                                                        \
	{                                                                                                              \
		struct afs_##name##_in in = { __VA_ARGS__ };                                                           \
		struct afs_##name##_out out = { 0 };                                                                   \
		long n = afs_##name(&c->client, &in, &out, NULL) ? -1 : (long)(count);                                 \
                                                                                                                       \
		afs_##name##_free(&out);                                                                               \
		return n;                                                                                              \
	}
static int32_t ids[] = { 1, 2, 3, -204 };
static struct pt_name names[] = { { "alice" }, { "bob" } };
static struct afs_fid fids[] = { { ROOT_CELL, 1, 1 }, { ROOT_CELL, 1, 1 } };

QUESTION(pt_NameToID, pt, out.ids.len, .names = { 2, names })
QUESTION(pt_IDToName, pt, out.names.len, .ids = { 4, ids })
QUESTION(pt_ListEntries, pt, out.entries.len, .flags = 3)
QUESTION(pt_ListElements, pt, out.ids.len, .id = -204)
QUESTION(pt_GetCPS, pt, out.ids.len, .id = 2)
QUESTION(vl_GetAddrs, vl, out.addresses.len, 0)
QUESTION(vl_ListAttributesN, vl, out.entries.len, { 0 })
QUESTION(vol_ListVolumes, vol, out.entries.len, 0)
QUESTION(vol_XListVolumes, vol, out.entries.len, 0)
QUESTION(vol_ListOneVolume, vol, out.entries.len, .volume = ROOT_CELL)
QUESTION(vol_XListOneVolume, vol, out.entries.len, .volume = ROOT_CELL)
QUESTION(vol_XListPartitions, vol, out.partitions.len, )
QUESTION(GetCapabilities, fs, out.capabilities.len, )
QUESTION(GetStatistics64, fs, out.values.len, .version = 16)
QUESTION(BulkStatus, fs, out.statuses.len, .fids = { 2, fids })

static long (*const questions[ASK_QUESTIONS])(struct conns *) = {
	ask_pt_NameToID,      ask_pt_IDToName,       ask_pt_ListEntries,     ask_pt_ListElements,
	ask_pt_GetCPS,        ask_vl_GetAddrs,       ask_vl_ListAttributesN, ask_vol_ListVolumes,
	ask_vol_XListVolumes, ask_vol_ListOneVolume, ask_vol_XListOneVolume, ask_vol_XListPartitions,
	ask_GetCapabilities,  ask_GetStatistics64,   ask_BulkStatus,
};

static struct rx_security *credential(const char *confdir)
{
	char spec[128];
	struct cm_krb5_want want = { .spec = spec, .cell = "umafs.test", .level = RXKAD_CRYPT };
	struct rx_security *sec = NULL;
	struct cm_credential cred;

	snprintf(spec, sizeof(spec), "FILE:%s/ccache/admin", confdir);
	if (!cm_krb5_credential(&want, rx_env_posix()->ops->wall_s(rx_env_posix()), &cred, NULL))
		sec = rx_security_get(cred.sec);
	cm_credential_clear(&cred);
	return sec;
}

/* A file server talks to those only who are there for its callbacks; old ones know one call. */
static int32_t on_reset(struct rx_call *call, const struct afs_cb_InitCallBackState_in *in,
			struct afs_cb_InitCallBackState_out *out, void *arg)
{
	(void)call, (void)in, (void)out, (void)arg;
	return 0;
}

static int32_t serve(struct rx_call *call, void *arg)
{
	static const struct afs_cb_ops ops = { .cb_InitCallBackState = on_reset };

	return rx_rpc_dispatch(call, &afs_cb_table, &ops, arg);
}

static struct rx_loop *begin(void)
{
	struct rx_loop_config config = { .bind_ip = INADDR_LOOPBACK };
	struct rx_service_config service = {
		.id = AFS_SERVICE_CB, .name = "callback", .mode = RX_SERVICE_INLINE, .handler = serve
	};
	struct rx_loop *loop = rx_loop_new(&config, NULL);

	service.sec[RX_SECIDX_NULL] = rx_null_new();
	if (loop && rx_service_add(loop, &service, NULL)) {
		rx_loop_free(loop);
		loop = NULL;
	}
	rx_security_put(service.sec[RX_SECIDX_NULL]);
	return loop;
}

void ask_all(const char *confdir, uint32_t ip, long counts[ASK_QUESTIONS])
{
	struct rx_loop *loop = begin();
	struct rx_security *sec = credential(confdir);
	struct conns c = { 0 };
	const struct {
		struct rx_rpc_client *client;
		uint16_t port, service;
	} servers[] = {
		{ &c.fs, AFS_PORT_FS, AFS_SERVICE_FS },
		{ &c.vl, AFS_PORT_VL, AFS_SERVICE_VL },
		{ &c.pt, AFS_PORT_PT, AFS_SERVICE_PT },
		{ &c.vol, AFS_PORT_VOL, AFS_SERVICE_VOL },
	};

	for (unsigned i = 0; loop && sec && i < 4; i++) {
		struct rx_addr addr = rx_addr_ipv4(ip, servers[i].port);

		*servers[i].client =
			(struct rx_rpc_client){ .conn = rx_conn_new(loop, &addr, servers[i].service, sec, NULL),
						.origin = RX_ORIGIN_AFS };
	}
	for (unsigned i = 0; i < ASK_QUESTIONS; i++)
		counts[i] = c.vol.conn ? questions[i](&c) : -1;
	if (c.fs.conn)
		afs_GiveUpAllCallBacks(&c.fs, NULL, NULL, NULL);
	for (unsigned i = 0; i < 4; i++)
		if (servers[i].client->conn)
			rx_conn_free(servers[i].client->conn);
	rx_security_put(sec);
	if (loop)
		rx_loop_free(loop);
}
