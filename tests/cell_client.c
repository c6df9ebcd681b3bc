/* See cell_client.h. */
#include <errno.h>
#include <ftw.h>
#include <unistd.h>

#include "cm/internal.h"
#include "tests/cell_client.h"
#include "tests/unit.h"

struct cell_world world;

/* ---- the world ---- */

static struct rx_env_ops turned_ops;
static struct rx_env turned = { &turned_ops };
static int64_t turned_by;
static struct cell_config config;
static char data_dir[96];

static int64_t turned_wall(struct rx_env *env)
{
	(void)env;
	return rx_env_posix()->ops->wall_s(rx_env_posix()) + __atomic_load_n(&turned_by, __ATOMIC_RELAXED);
}

void world_turn_clock(int64_t seconds)
{
	__atomic_add_fetch(&turned_by, seconds, __ATOMIC_RELAXED);
}

static void start(void)
{
	struct rx_error err = { 0 };

	world.cell = cell_new(&config, &err);
	if (!world.cell)
		printf("%s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(world.cell);
	CU_ASSERT_EQUAL_FATAL(cell_write_client(world.cell, world.dir, 3600, NULL), 0);
}

void world_begin(const struct cell_hooks *hooks, bool lasting)
{
	uint32_t net = 0x7f000000 | (1 + (uint32_t)getpid() % 0xfffe) << 8;

	turned_ops = *rx_env_posix()->ops;
	turned_ops.wall_s = turned_wall;
	turned_by = 0;
	strcpy(world.dir, "/tmp/umafs-cell-test.XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(world.dir));
	snprintf(data_dir, sizeof(data_dir), "%s/data", world.dir);
	world.ip[0] = net | 1;
	world.ip[1] = net | 2;
	config = (struct cell_config){ .env = &turned,
				       .name = "test.cell",
				       .db_ip = world.ip[0],
				       .fs_ip = world.ip,
				       .nfs = 2,
				       .data = lasting ? data_dir : NULL,
				       .hooks = hooks,
				       .faults = world.faults };
	start();
}

void world_restart(void)
{
	cell_free(world.cell);
	start();
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

void world_end(void)
{
	cell_free(world.cell);
	world.cell = NULL;
	nftw(world.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- a client's callback service ---- */

static void meet(struct client_meeting *m)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 3; /* less than a server waits for an answer */
	pthread_mutex_lock(&m->lock);
	m->here++;
	pthread_cond_broadcast(&m->moved);
	while (m->here < m->wanted && pthread_cond_timedwait(&m->moved, &m->lock, &until) == 0)
		continue;
	if (m->here < m->wanted)
		m->here--;
	pthread_mutex_unlock(&m->lock);
}

static int32_t on_break(struct rx_call *call, const struct afs_cb_CallBack_in *in, struct afs_cb_CallBack_out *out,
			void *arg)
{
	struct client *c = arg;

	(void)call;
	(void)out;
	if (in->fids.len)
		c->last = in->fids.items[in->fids.len - 1];
	__atomic_add_fetch(&c->breaks, in->fids.len, __ATOMIC_RELEASE);
	if (c->meeting)
		meet(c->meeting);
	return 0;
}

static int32_t on_reset(struct rx_call *call, const struct afs_cb_InitCallBackState_in *in,
			struct afs_cb_InitCallBackState_out *out, void *arg)
{
	(void)call;
	(void)in;
	(void)out;
	__atomic_add_fetch(&((struct client *)arg)->resets, 1, __ATOMIC_RELEASE);
	return 0;
}

static int32_t on_reset3(struct rx_call *call, const struct afs_cb_InitCallBackState3_in *in,
			 struct afs_cb_InitCallBackState3_out *out, void *arg)
{
	(void)in;
	(void)out;
	return on_reset(call, NULL, NULL, arg);
}

static int32_t on_question(struct rx_call *call, const struct afs_cb_TellMeAboutYourself_in *in,
			   struct afs_cb_TellMeAboutYourself_out *out, void *arg)
{
	struct client *c = arg;

	(void)call;
	(void)in;
	__atomic_add_fetch(&c->questions, 1, __ATOMIC_RELEASE);
	if (c->old_style)
		return RXGEN_OPCODE;
	out->addr.uuid = c->uuid;
	out->capabilities.items = malloc(sizeof(uint32_t));
	out->capabilities.items[0] = AFS_CAP_ERRORTRANS;
	out->capabilities.len = 1;
	return 0;
}

static int32_t on_probe(struct rx_call *call, const struct afs_cb_ProbeUuid_in *in, struct afs_cb_ProbeUuid_out *out,
			void *arg)
{
	struct client *c = arg;

	(void)call;
	(void)out;
	__atomic_add_fetch(&c->probes, 1, __ATOMIC_RELEASE);
	return afs_uuid_equal(&in->client, &c->uuid) ? 0 : 1;
}

static const struct afs_cb_ops callback_ops = {
	.cb_CallBack = on_break,
	.cb_InitCallBackState = on_reset,
	.cb_InitCallBackState3 = on_reset3,
	.cb_TellMeAboutYourself = on_question,
	.cb_ProbeUuid = on_probe,
};

static int32_t serve(struct rx_call *call, void *arg)
{
	return rx_rpc_dispatch(call, &afs_cb_table, &callback_ops, arg);
}

/* ---- clients ---- */

void client_begin(struct client *c, uint8_t who, uint16_t port)
{
	struct rx_loop_config loop = { .bind_ip = INADDR_LOOPBACK, .bind_port = port };
	struct rx_service_config service = {
		.id = AFS_SERVICE_CB, .name = "callback", .mode = RX_SERVICE_INLINE, .handler = serve, .arg = c
	};

	*c = (struct client){ .uuid = { .time_low = who, .node = { who } } };
	c->loop = rx_loop_new(&loop, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c->loop);
	service.sec[RX_SECIDX_NULL] = rx_null_new();
	CU_ASSERT_EQUAL_FATAL(rx_service_add(c->loop, &service, NULL), 0);
	rx_security_put(service.sec[RX_SECIDX_NULL]);
}

static struct rx_security *credential(const char *user)
{
	char spec[128];
	struct cm_krb5_want want = { .spec = spec, .cell = "test.cell", .level = RXKAD_CRYPT };
	struct cm_credential cred;
	struct rx_error err = { 0 };
	struct rx_security *sec;

	if (!user)
		return rx_null_new();
	snprintf(spec, sizeof(spec), "FILE:%s/ccache/%s", world.dir, user);
	if (cm_krb5_credential(&want, rx_env_posix()->ops->wall_s(rx_env_posix()), &cred, &err))
		printf("%s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(cred.sec);
	sec = rx_security_get(cred.sec);
	cm_credential_clear(&cred);
	return sec;
}

static struct rx_conn *connect_to(struct client *c, uint16_t port, uint16_t service, unsigned server, const char *user)
{
	struct rx_addr addr = rx_addr_ipv4(world.ip[server], port);
	struct rx_security *sec = credential(user);
	struct rx_conn *conn = rx_conn_new(c->loop, &addr, service, sec, NULL);

	rx_security_put(sec);
	CU_ASSERT_PTR_NOT_NULL_FATAL(conn);
	return conn;
}

struct rx_rpc_client client_as(struct client *c, const char *user, unsigned server)
{
	const char *name = user ? user : "";
	unsigned i = 0;

	while (i < c->nconns && (c->conns[i].server != server || strcmp(c->conns[i].user, name)))
		i++;
	if (i == c->nconns) {
		c->nconns++;
		snprintf(c->conns[i].user, sizeof(c->conns[i].user), "%s", name);
		c->conns[i].server = server;
		c->conns[i].conn = connect_to(c, AFS_PORT_FS, AFS_SERVICE_FS, server, user);
	}
	return (struct rx_rpc_client){ .conn = c->conns[i].conn, .origin = RX_ORIGIN_AFS };
}

void client_end(struct client *c)
{
	for (unsigned i = 0; i < c->nconns; i++)
		rx_conn_free(c->conns[i].conn);
	rx_loop_free(c->loop);
}

struct afs_fid client_root(struct client *c, const char *volume)
{
	struct rx_rpc_client vl = { .conn = connect_to(c, AFS_PORT_VL, AFS_SERVICE_VL, 0, NULL),
				    .origin = RX_ORIGIN_VL };
	struct afs_vl_GetEntryByNameU_in in = { .name = (char *)(uintptr_t)volume };
	struct afs_vl_GetEntryByNameU_out out = { 0 };

	CU_ASSERT_EQUAL_FATAL(afs_vl_GetEntryByNameU(&vl, &in, &out, NULL), 0);
	rx_conn_free(vl.conn);
	return (struct afs_fid){ out.entry.volume[strstr(volume, ".readonly") ? AFS_VOLUME_RO : AFS_VOLUME_RW], 1, 1 };
}

static int32_t code_of(int rc, const struct rx_error *err)
{
	return rc ? err->code : 0;
}

int32_t client_create(struct client *c, const char *user, struct afs_fid dir, const char *name, struct afs_fid *out)
{
	struct rx_rpc_client fs = client_as(c, user, 0);
	struct afs_CreateFile_in in = { .dir = dir,
					.name = (char *)(uintptr_t)name,
					.status = { .mask = AFS_SET_MODE, .mode = 0644 } };
	struct afs_CreateFile_out got = { 0 };
	struct rx_error err;
	int32_t code = code_of(afs_CreateFile(&fs, &in, &got, &err), &err);

	if (out)
		*out = got.fid;
	return code;
}

int32_t client_mkdir(struct client *c, const char *user, struct afs_fid dir, const char *name, struct afs_fid *out)
{
	struct rx_rpc_client fs = client_as(c, user, 0);
	struct afs_MakeDir_in in = { .dir = dir, .name = (char *)(uintptr_t)name };
	struct afs_MakeDir_out got = { 0 };
	struct rx_error err;
	int32_t code = code_of(afs_MakeDir(&fs, &in, &got, &err), &err);

	if (out)
		*out = got.fid;
	return code;
}

int32_t client_store(struct client *c, const char *user, struct afs_fid fid, uint64_t pos, const char *text,
		     uint64_t file_length, struct afs_fetch_status *st)
{
	struct rx_rpc_client fs = client_as(c, user, 0);
	struct afs_StoreData64_in in = {
		.fid = fid, .position = pos, .length = strlen(text), .file_length = file_length
	};
	struct rx_rpc_source source = { .buf = text };
	struct afs_StoreData64_out got = { 0 };
	struct rx_error err;
	int32_t code = code_of(afs_StoreData64(&fs, &in, &source, &got, &err), &err);

	if (st)
		*st = got.status;
	return code;
}

int32_t client_status(struct client *c, const char *user, struct afs_fid fid, struct afs_fetch_status *st)
{
	struct rx_rpc_client fs = client_as(c, user, 0);
	struct afs_FetchStatus_in in = { .fid = fid };
	struct afs_FetchStatus_out got = { 0 };
	struct rx_error err;
	int32_t code = code_of(afs_FetchStatus(&fs, &in, &got, &err), &err);

	if (st)
		*st = got.status;
	return code;
}

const char *client_read(struct client *c, const char *user, struct afs_fid fid)
{
	static char text[4096];
	struct rx_rpc_client fs = client_as(c, user, 0);
	struct afs_FetchData64_in in = { .fid = fid, .length = sizeof(text) - 1 };
	struct rx_rpc_sink sink = { .buf = text };
	struct afs_FetchData64_out got;
	uint64_t n;

	if (afs_FetchData64(&fs, &in, &sink, &n, &got, NULL))
		return NULL;
	text[n] = 0;
	return text;
}

int32_t client_acl(struct client *c, const char *user, struct afs_fid dir, const char *text)
{
	struct rx_rpc_client fs = client_as(c, user, 0);
	struct afs_OldStoreACL_in in = { .dir = dir,
					 .acl = { (uint32_t)strlen(text) + 1, (uint8_t *)(uintptr_t)text } };
	struct rx_error err;

	return code_of(afs_OldStoreACL(&fs, &in, NULL, &err), &err);
}
