/* The life of an embedded cell: its tables, its ports, its threads. See cell.h. */
#include "tools/cell/cell.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/cell/disk.h"
#include "tools/cell/internal.h"

enum { FS_WORKERS = 12, OTHER_WORKERS = 2, UAE_BASE = 49733376, UAE_N = 130, REQUEST_MAX = 1 << 20 };

/* The codes that a client wants instead of errnos, by asking what each means. */
static void make_translations(struct cell *cell)
{
	for (int32_t i = UAE_N - 1; i >= 0; i--) {
		struct rx_error err;

		rx_error_abort(&err, RX_ORIGIN_AFS, UAE_BASE + i);
		/* The first of several for one errno wins; EIO is also what has no meaning. */
		if (err.errnum > 0 && err.errnum < 256 && (err.errnum != EIO || i == 4))
			cell->uae[err.errnum] = UAE_BASE + i;
	}
}

static struct rx_loop *listen_at(struct cell *cell, uint32_t ip, uint16_t port, const char *what, struct rx_error *err)
{
	struct rx_loop_config config = { .env = cell->env,
					 .bind_ip = ip,
					 .bind_port = (uint16_t)(port + cell->port_shift),
					 .version = "umafs-cell " UMAFS_VERSION,
					 .debug_answers = true };
	struct rx_addr addr = rx_addr_ipv4(ip, config.bind_port);
	struct rx_loop *loop;
	char text[64];

	if (cell->net)
		config.net = cell->net(cell->net_arg, ip, config.bind_port);
	loop = rx_loop_new(&config, err);
	if (!loop && err)
		rx_error_prefix(err, "the port of the %s, %s", what, rx_addr_text(&addr, text));
	return loop;
}

static int serve(struct cell *cell, struct rx_loop *loop, uint16_t id, unsigned workers, struct cell_service s,
		 struct rx_error *err)
{
	struct cell_service *at = &cell->services[cell->nservices++];
	struct rx_service_config config = { .id = id,
					    .name = s.name,
					    .mode = RX_SERVICE_WORKER,
					    .workers = workers,
					    .handler = cell_serve,
					    .arg = at };

	*at = s;
	at->cell = cell;
	config.sec[RX_SECIDX_NULL] = cell->anonymous;
	config.sec[RX_SECIDX_RXKAD] = cell->rxkad;
	return rx_service_add(loop, &config, err);
}

static int start_fs(struct cell *cell, struct cell_fs *fs, struct rx_error *err)
{
	uint16_t fs_port = (uint16_t)(AFS_PORT_FS + cell->port_shift);
	uint16_t vol_port = (uint16_t)(AFS_PORT_VOL + cell->port_shift);

	fs->loop = listen_at(cell, fs->ip, AFS_PORT_FS, "file server", err);
	if (!fs->loop)
		return -1;
	fs->vol_loop = listen_at(cell, fs->ip, AFS_PORT_VOL, "volume server", err);
	if (!fs->vol_loop)
		return -1;
	if (serve(cell, fs->loop, AFS_SERVICE_FS, FS_WORKERS,
		  (struct cell_service){ .fs = fs,
					 .name = "fs",
					 .table = &cell_fs_table,
					 .ops = &cell_fs_ops,
					 .addr = rx_addr_ipv4(fs->ip, fs_port),
					 .contact = true },
		  err))
		return -1;
	return serve(cell, fs->vol_loop, AFS_SERVICE_VOL, OTHER_WORKERS,
		     (struct cell_service){ .fs = fs,
					    .name = "vol",
					    .table = &cell_vol_table,
					    .ops = &cell_vol_ops,
					    .addr = rx_addr_ipv4(fs->ip, vol_port) },
		     err);
}

static int start_db(struct cell *cell, struct rx_error *err)
{
	uint16_t vl_port = (uint16_t)(AFS_PORT_VL + cell->port_shift);
	uint16_t pt_port = (uint16_t)(AFS_PORT_PT + cell->port_shift);

	cell->vl_loop = listen_at(cell, cell->db_ip, AFS_PORT_VL, "volume location server", err);
	if (!cell->vl_loop)
		return -1;
	cell->pt_loop = listen_at(cell, cell->db_ip, AFS_PORT_PT, "protection server", err);
	if (!cell->pt_loop)
		return -1;
	if (serve(cell, cell->vl_loop, AFS_SERVICE_VL, OTHER_WORKERS,
		  (struct cell_service){ .name = "vl",
					 .table = &cell_vl_table,
					 .ops = &cell_vl_ops,
					 .addr = rx_addr_ipv4(cell->db_ip, vl_port) },
		  err))
		return -1;
	return serve(cell, cell->pt_loop, AFS_SERVICE_PT, OTHER_WORKERS,
		     (struct cell_service){ .name = "pt",
					    .table = &cell_pt_table,
					    .ops = &cell_pt_ops,
					    .addr = rx_addr_ipv4(cell->db_ip, pt_port) },
		     err);
}

/* Stable over restarts, different for each address: clients know servers by it. */
static struct afs_uuid server_uuid(uint32_t ip)
{
	return (struct afs_uuid){ .time_low = ip,
				  .time_mid = 0x7563,
				  .time_high = 0x4000,
				  .clock_high = 0x80,
				  .node = { 'u', 'm', 'a', 'f', 's', 1 } };
}

static int fill(struct cell *cell, const struct cell_config *config, struct rx_error *err)
{
	bool fresh = true;
	int rc;

	if (config->data && !config->disk) {
		cell->disk = cell_disk_directory(config->data, err);
		cell->own_disk = cell->disk;
		if (!cell->disk)
			return -1;
	} else if (config->data) {
		cell->disk = config->disk;
	}
	cell->store = config->data ? cell_store_directory(cell, config->data, &fresh, err) : cell_store_memory();
	if (!cell->store)
		return config->data ? -1 : rx_error_errno(err, ENOMEM, "starting the cell");
	rx_mutex_lock(&cell->lock);
	rc = fresh ? cell_populate(cell, err) : cell_store_load(cell, err);
	if (rc == 0 && cell_commit(cell))
		rc = rx_error_errno(err, EIO, "cannot write to %s; is the disk full?", config->data);
	rx_mutex_unlock(&cell->lock);
	return rc;
}

struct cell *cell_new(const struct cell_config *config, struct rx_error *err)
{
	struct cell *cell = calloc(1, sizeof(*cell));

	if (!cell) {
		rx_error_errno(err, ENOMEM, "starting the cell");
		return NULL;
	}
	cell->audit = -1;
	cell->env = config->env ? config->env : rx_env_posix();
	cell->net = config->net;
	cell->net_arg = config->net_arg;
	rx_mutex_init(&cell->lock, cell->env, RX_RANK_CM, "cell");
	rx_cond_init(&cell->moved, cell->env);
	rx_cond_init(&cell->watch_moved, cell->env);
	snprintf(cell->name, sizeof(cell->name), "%s", config->name);
	for (size_t i = 0; cell->name[i]; i++)
		cell->realm[i] = (char)toupper((unsigned char)cell->name[i]);
	cell->port_shift = config->port_shift;
	cell->hooks = config->hooks;
	cell->faults = config->faults;
	cell->db_ip = config->db_ip;
	cell->sync = config->sync;
	cell->started = (uint32_t)cell_now(cell);
	cell->nfs = config->nfs < CELL_FILESERVERS_MAX ? config->nfs : CELL_FILESERVERS_MAX;
	make_translations(cell);
	for (unsigned i = 0; i < cell->nfs; i++)
		cell->fs[i] = (struct cell_fs){ .cell = cell,
						.ip = config->fs_ip[i],
						.uuid = server_uuid(config->fs_ip[i]),
						.started = cell->started };
	cell->anonymous = rx_null_new();
	if (!cell->anonymous) {
		rx_error_errno(err, ENOMEM, "starting the cell");
		goto fail;
	}
	if ((config->audit && cell_audit_open(cell, config->audit, err)) || fill(cell, config, err))
		goto fail;
	cell->keys = cell_keys_new(cell, config->keytab, config->data, err);
	if (!cell->keys)
		goto fail;
	cell->rxkad = cell_keys_security(cell, err);
	if (!cell->rxkad || start_db(cell, err))
		goto fail;
	for (unsigned i = 0; i < cell->nfs; i++)
		if (start_fs(cell, &cell->fs[i], err))
			goto fail;
	if (!cell_watch_start(cell)) {
		rx_error_errno(err, ENOMEM, "starting the cell");
		goto fail;
	}
	return cell;
fail:
	cell_free(cell);
	return NULL;
}

void cell_free(struct cell *cell)
{
	if (!cell)
		return;
	if (cell->faults)
		fault_set_stop(cell->faults, &cell->stopping);
	cell_watch_stop(cell);
	for (unsigned i = 0; i < cell->nfs; i++) {
		struct cell_fs *fs = &cell->fs[i];

		rx_loop_free(fs->loop);
		rx_loop_free(fs->vol_loop);
	}
	rx_loop_free(cell->vl_loop);
	rx_loop_free(cell->pt_loop);
	while (cell->volumes)
		cell_volume_free(cell->volumes);
	for (unsigned i = 0; i < cell->nfs; i++)
		cell_hosts_free(&cell->fs[i]);
	if (cell->store)
		cell->store->ops->free(cell->store);
	if (cell->own_disk)
		cell->disk->ops->free(cell->disk);
	if (cell->audit >= 0)
		close(cell->audit);
	cell_principals_free(cell);
	rx_security_put(cell->rxkad);
	rx_security_put(cell->anonymous);
	cell_keys_free(cell->keys);
	rx_cond_destroy(&cell->watch_moved);
	rx_cond_destroy(&cell->moved);
	rx_mutex_destroy(&cell->lock);
	free(cell);
}

/* Waits until no site of the volume is being read or written. Lock held. */
static struct cell_volume *idle_volume(struct cell *cell, const char *name)
{
	for (;;) {
		struct cell_volume *rw = cell_volume_by_name(cell, name);
		bool busy = false;

		for (struct cell_volume *v = cell->volumes; v && rw; v = v->next)
			busy |= v->rw_id == rw->id && cell_volume_busy(v);
		if (!busy)
			return rw;
		rx_cond_wait(&cell->moved, &cell->lock, UINT64_MAX);
	}
}

int cell_release(struct cell *cell, const char *volume, struct rx_error *err)
{
	struct cell_breaks breaks = { 0 };
	struct cell_volume *rw;
	int rc = 0;

	rx_mutex_lock(&cell->lock);
	rw = idle_volume(cell, volume);
	if (!rw)
		rc = rx_error_set(err, RX_ORIGIN_VL, CELL_VL_NOENT, ENODEV, "there is no volume %s", volume);
	for (struct cell_volume *v = cell->volumes; v && rw; v = v->next) {
		if (v->rw_id != rw->id || v->kind != AFS_VOLUME_RO)
			continue;
		cell_break_volume(&breaks, v);
		if (!cell_volume_refresh(v, rw))
			rc = rx_error_errno(err, ENOMEM, "releasing %s", volume);
	}
	if (cell_commit(cell))
		rc = rx_error_errno(err, EIO, "releasing %s", volume);
	rx_mutex_unlock(&cell->lock);
	cell_send_breaks(cell, &breaks);
	return rc;
}
