/* See one_file.h. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/one_file.h"
#include "tests/unit.h"

enum { VOLUME = 536870915 };

struct one_file server;

static void fill(struct afs_fetch_status *st)
{
	memset(st, 0, sizeof(*st));
	st->interface_version = 1;
	st->file_type = AFS_TYPE_FILE;
	st->link_count = 1;
	st->length = (uint32_t)server.length;
	st->data_version = (uint32_t)server.version;
	st->caller_access = st->anonymous_access = CM_RIGHT_READ | CM_RIGHT_WRITE | CM_RIGHT_LOOKUP;
	st->mode = 0644;
}

static int32_t op_status(struct rx_call *call, const struct afs_FetchStatus_in *in, struct afs_FetchStatus_out *out,
			 void *arg)
{
	(void)call, (void)in, (void)arg;
	if (server.status_code)
		return server.status_code;
	fill(&out->status);
	out->callback = (struct afs_callback){ .version = 1, .expires = 3600, .type = 1 };
	return 0;
}

static int32_t op_fetch(struct rx_call *call, const struct afs_FetchData64_in *in, struct afs_FetchData64_out *out,
			void *arg)
{
	uint64_t off = (uint64_t)in->position, len = (uint64_t)in->length;

	(void)arg;
	if (off > server.length)
		off = server.length;
	if (len > server.length - off)
		len = server.length - off;
	len -= server.keeps_back < len ? server.keeps_back : len;
	if (rx_rpc_send_length(call, &afs_rpc_FetchData64, len) || rx_call_write(call, server.content + off, len))
		return 5;
	fill(&out->status);
	out->callback = (struct afs_callback){ .version = 1, .expires = 3600, .type = 1 };
	return 0;
}

static int32_t op_store(struct rx_call *call, const struct afs_StoreData64_in *in, struct afs_StoreData64_out *out,
			void *arg)
{
	uint8_t *to = server.content + in->position;
	uint64_t left = in->length;

	(void)arg;
	while (left > 0) {
		ptrdiff_t n = rx_call_read(call, to, left);

		if (n <= 0)
			return 5;
		left -= (uint64_t)n;
		to += n;
	}
	server.stores++;
	if (server.store_code)
		return server.store_code;
	server.last_file_length = in->file_length;
	if (in->file_length > server.length || in->length == 0)
		server.length = in->file_length;
	server.version++;
	fill(&out->status);
	while (__atomic_load_n(&server.hold_reply, __ATOMIC_ACQUIRE)) {
		__atomic_store_n(&server.held, 1, __ATOMIC_RELEASE);
		usleep(1000);
	}
	return 0;
}

static const struct afs_fs_ops operations = { .FetchStatus = op_status,
					      .StoreData64 = op_store,
					      .FetchData64 = op_fetch };

static int32_t handler(struct rx_call *call, void *arg)
{
	return rx_rpc_dispatch(call, &afs_fs_table, &operations, arg);
}

static void write_file(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", server.dir, name);
	f = fopen(path, "w");
	CU_ASSERT_FATAL(f != NULL);
	fputs(text, f);
	fclose(f);
}

void one_file_start(uint64_t length, uint8_t fill)
{
	struct cm_config config = { .confdir = server.dir, .bind_ip = 0x7f000001, .max_dirty_age_ms = UINT32_MAX };
	struct rx_loop_config other = { .bind_ip = 0x7f000001 };
	struct rx_service_config service = {
		.id = AFS_SERVICE_FS, .name = "fs", .mode = RX_SERVICE_WORKER, .workers = 2, .handler = handler
	};
	struct cm_family *f = calloc(1, sizeof(*f));
	struct rx_error err;
	struct rx_addr addr;

	server = (struct one_file){ .dir = "/tmp/umafs-one-file.XXXXXX", .length = length, .version = 7 };
	memset(server.content, fill, (size_t)length);
	CU_ASSERT_FATAL(mkdtemp(server.dir) != NULL);
	write_file("ThisCell", "unit.test\n");
	write_file("CellServDB", ">unit.test\n127.0.0.1 #localhost\n");
	server.cm = cm_new(&config, &err);
	server.loop = rx_loop_new(&other, &err);
	CU_ASSERT_FATAL(server.cm && server.loop && f);
	service.sec[RX_SECIDX_NULL] = rx_null_new();
	CU_ASSERT_FATAL(rx_service_add(server.loop, &service, &err) == 0);
	rx_security_put(service.sec[RX_SECIDX_NULL]);
	addr = rx_addr_ipv4(0x7f000001, rx_loop_port(server.loop));
	f->cell = server.cm->local;
	f->ids[CM_VOL_RW] = VOLUME;
	f->loaded_us = rx_now_us(server.cm->env);
	f->nsites = 1;
	f->sites[0].server = cm_server_by_addr(server.cm->local, &addr, false);
	f->sites[0].flags = VL_SITE_RW;
	f->next = server.cm->local->families;
	server.cm->local->families = f;
	server.file = cm_vnode_root(cm_volume_get(f, CM_VOL_RW), 2, 5);
	CU_ASSERT_FATAL(cm_token_open(server.cm, "anonymous", NULL, &server.a, &err) == 0);
	CU_ASSERT_FATAL(cm_token_open(server.cm, "anonymous", NULL, &server.b, &err) == 0);
	CU_ASSERT_FATAL(cm_vnode_fetch_status(server.file, server.a, &err) == 0);
	CU_ASSERT(cm_is_valid(server.file));
}

void one_file_stop(void)
{
	char cmd[128];

	cm_vnode_put(server.file);
	cm_token_put(server.a);
	cm_token_put(server.b);
	cm_free(server.cm, 0);
	rx_loop_free(server.loop);
	snprintf(cmd, sizeof(cmd), "rm -r %s", server.dir);
	CU_ASSERT_EQUAL(system(cmd), 0);
}
