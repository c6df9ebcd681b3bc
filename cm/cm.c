/* The instance: makes the loop, the callback service, the tables and the workers, and
 * takes them apart again in the opposite order, after storing what is dirty and giving
 * up all callbacks. Called by the room above and by tools, on one thread each. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cm/internal.h"

enum { SHORTAGE_US = 20000 };

static void on_rpc(void *arg, const char *name, const struct rx_addr *server, uint64_t start_us, uint64_t end_us,
		   const struct rx_error *err)
{
	char addr[64] = "";
	struct cm_trace_event ev = {
		.what = "rpc", .name = name, .server = addr, .detail = "", .start_us = start_us, .end_us = end_us
	};

	if (server)
		rx_addr_text(server, addr);
	if (err && err->code != 0)
		ev.error = err;
	cm_trace(arg, &ev);
}

static void on_call(void *arg, const char *name, const struct rx_addr *server, uint64_t start_us)
{
	char addr[64];
	struct cm_trace_event ev = {
		.what = "call", .name = name, .server = addr, .detail = "", .start_us = start_us, .end_us = start_us
	};

	rx_addr_text(server, addr);
	cm_trace(arg, &ev);
}

void cm_trace(struct cm *cm, const struct cm_trace_event *ev)
{
	if (cm->config.trace)
		cm->config.trace(cm->config.arg, ev);
}

void cm_emit(struct cm *cm, const struct cm_event *ev)
{
	if (cm->config.event)
		cm->config.event(cm->config.arg, ev);
}

bool cm_sleep(struct cm *cm, uint64_t us)
{
	uint64_t end = rx_now_us(cm->env) + us;

	rx_mutex_lock(&cm->sleep_lock);
	while (cm->closing_us == 0 && rx_now_us(cm->env) < end)
		rx_cond_wait(&cm->sleep, &cm->sleep_lock, end);
	rx_mutex_unlock(&cm->sleep_lock);
	return cm->closing_us == 0;
}

/* Version 4: random, so that no two living instances share one. */
static void make_uuid(struct cm *cm)
{
	struct afs_uuid *u = &cm->uuid;

	cm->env->ops->random(cm->env, u, sizeof(*u));
	u->time_high = (uint16_t)((u->time_high & 0x0fff) | 0x4000);
	u->clock_high = (uint8_t)((u->clock_high & 0x3f) | 0x80);
}

static void init_tables(struct cm *cm, const struct cm_config *config)
{
	cm->config = *config;
	cm->env = config->env ? config->env : rx_env_posix();
	rx_mutex_init(&cm->lock, cm->env, RX_RANK_CM, "cm tables");
	rx_mutex_init(&cm->sleep_lock, cm->env, RX_RANK_LEAF, "cm sleep");
	rx_cond_init(&cm->sleep, cm->env);
	cm->lru.lru_next = cm->lru.lru_prev = &cm->lru;
	cm->rpc_trace = (struct rx_rpc_trace){ .rpc = on_rpc, .arg = cm, .env = cm->env };
	if (config->trace)
		cm->rpc_trace.begun = on_call;
	make_uuid(cm);
}

static void destroy(struct cm *cm)
{
	if (cm->works.timer || cm->works.tail)
		cm_works_stop(cm);
	cm_vnodes_destroy(cm);
	cm_tokens_destroy(cm);
	cm_servers_destroy(cm);
	if (cm->loop)
		rx_loop_free(cm->loop);
	cm_volumes_destroy(cm);
	cm_cells_destroy(cm);
	rx_cond_destroy(&cm->sleep);
	rx_mutex_destroy(&cm->sleep_lock);
	rx_mutex_destroy(&cm->lock);
	free(cm);
}

struct cm *cm_new(const struct cm_config *config, struct rx_error *err)
{
	struct rx_loop_config loop = { .net = config->net,
				       .bind_ip = config->bind_ip,
				       .bind_port = config->port,
				       .dead_time_s = config->dead_time_s,
				       .debug_answers = true };
	struct cm *cm = calloc(1, sizeof(*cm));

	if (!cm) {
		rx_net_free(config->net);
		rx_error_errno(err, ENOMEM, "starting the cache manager");
		return NULL;
	}
	init_tables(cm, config);
	loop.env = cm->env;
	if (cm_cells_load(cm, config, err)) {
		rx_net_free(config->net);
		goto fail;
	}
	cm->loop = rx_loop_new(&loop, err);
	/* The first call already makes the server call us back. */
	if (!cm->loop || cm_callback_start(cm, err) || cm_works_start(cm, err))
		goto fail;
	return cm;
fail:
	destroy(cm);
	return NULL;
}

uint16_t cm_port(const struct cm *cm)
{
	return rx_loop_port(cm->loop);
}

struct rx_env *cm_env(const struct cm *cm)
{
	return cm->env;
}

const char *cm_local_cell(const struct cm *cm)
{
	return cm->local->name;
}

/* What could not be stored is named to its owners and dropped. */
static uint64_t abandon(struct cm_vnode *v)
{
	uint64_t bytes = cm_records_dirty(&v->records), index = 0;
	struct cm_record_view view;

	while (cm_record_next(v, index, &view)) {
		struct cm_event ev = { .kind = CM_EVENT_DELAYED, .vnode = v, .token = view.token, .seq = view.seq };

		ev.from = view.first * CM_PAGE + view.off_first;
		ev.to = view.last * CM_PAGE + view.to_last;
		rx_error_set(&ev.error, RX_ORIGIN_ERRNO, ETIMEDOUT, ETIMEDOUT,
			     "%llu bytes were not stored before the client ended",
			     (unsigned long long)(ev.to - ev.from));
		cm_emit(v->cm, &ev);
		index = view.last + 1;
	}
	/* A worker may begin another one just now. */
	do
		cm_flush_settle(v, 0);
	while (!cm_record_truncate(v, 0));
	return bytes;
}

static void wait_moment(struct cm *cm)
{
	uint64_t until = rx_now_us(cm->env) + SHORTAGE_US;

	rx_mutex_lock(&cm->sleep_lock);
	while (rx_now_us(cm->env) < until)
		rx_cond_wait(&cm->sleep, &cm->sleep_lock, until);
	rx_mutex_unlock(&cm->sleep_lock);
}

/* A shortage of memory may be over in a moment; all else would take longer than anybody
 * waits here. */
static void store_dirty(struct cm *cm, struct cm_vnode *v, uint64_t end)
{
	struct rx_error err = { 0 };

	while (rx_now_us(cm->env) < end && cm_flush(v, NULL, 0, UINT64_MAX, false, &err) != 0 &&
	       err.origin == RX_ORIGIN_ERRNO && err.code == ENOMEM)
		wait_moment(cm);
}

uint64_t cm_free(struct cm *cm, unsigned timeout_ms)
{
	struct cm_vnode *v = NULL;
	uint64_t end, lost = 0;

	if (!cm)
		return 0;
	end = rx_now_us(cm->env) + timeout_ms * (uint64_t)1000;
	cm->closing_us = end;
	rx_mutex_lock(&cm->sleep_lock);
	rx_cond_broadcast(&cm->sleep);
	rx_mutex_unlock(&cm->sleep_lock);
	cm_probes_hurry(cm);
	while ((v = cm_vnode_next(cm, v))) {
		if (cm_records_dirty(&v->records) == 0)
			continue;
		store_dirty(cm, v, end);
		lost += abandon(v);
	}
	/* Saying good-bye has its own few seconds. */
	cm->closing_us = UINT64_MAX;
	cm_servers_goodbye(cm);
	destroy(cm);
	return lost;
}
