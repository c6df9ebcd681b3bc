/* The blocking face of connections and calls (rx.h): each takes the loop's mutex, asks
 * the endpoint, and waits by leading or following. Any thread; one thread per call. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "rx/loop.h"

/* As much of a reply as nobody wanted is waited for; a hostile one has no end. */
enum { DISCARD_MAX = 1 << 20 };

struct rx_conn *rx_conn_new(struct rx_loop *loop, const struct rx_addr *peer, uint16_t service, struct rx_security *sec,
			    struct rx_error *err)
{
	struct rx_conn *conn;

	rx_mutex_lock(&loop->mutex);
	conn = rx_core_conn_new(loop->ep, rx_now_us(loop->env), peer, service, sec, err);
	rx_mutex_unlock(&loop->mutex);
	return conn;
}

void rx_conn_free(struct rx_conn *conn)
{
	struct rx_loop *loop;

	if (!conn)
		return;
	loop = rx_loop_of(conn);
	rx_mutex_lock(&loop->mutex);
	rx_core_conn_release(conn, rx_now_us(loop->env));
	rx_loop_flush(loop);
	rx_loop_kick(loop);
	rx_mutex_unlock(&loop->mutex);
}

void rx_conn_set_dead_time(struct rx_conn *conn, unsigned seconds)
{
	struct rx_loop *loop = rx_loop_of(conn);

	rx_mutex_lock(&loop->mutex);
	conn->dead_us = (uint64_t)(seconds ? seconds : loop->ep->cfg.dead_time_s) * 1000000;
	rx_mutex_unlock(&loop->mutex);
}

void rx_conn_set_hard_time(struct rx_conn *conn, unsigned seconds)
{
	struct rx_loop *loop = rx_loop_of(conn);

	rx_mutex_lock(&loop->mutex);
	conn->hard_us = (uint64_t)seconds * 1000000;
	rx_mutex_unlock(&loop->mutex);
}

int32_t rx_conn_error(const struct rx_conn *conn)
{
	struct rx_loop *loop = rx_loop_of(conn);
	int32_t code;

	rx_mutex_lock(&loop->mutex);
	code = conn->error;
	rx_mutex_unlock(&loop->mutex);
	return code;
}

const struct rx_addr *rx_conn_peer(const struct rx_conn *conn)
{
	return &conn->peer->addr;
}

uint16_t rx_conn_service(const struct rx_conn *conn)
{
	return conn->service;
}

static void chan_wait(struct rx_loop *loop, struct rx_conn *conn)
{
	struct rx_waiter w = { .kind = RX_USER_WAITER, .conn = conn }, **at = &loop->chan_waiters;

	while (*at)
		at = &(*at)->chan_next;
	*at = &w;
	rx_loop_wait(loop, &w);
	for (at = &loop->chan_waiters; *at != &w; at = &(*at)->chan_next)
		;
	*at = w.chan_next;
}

struct rx_call *rx_call_new(struct rx_conn *conn, struct rx_error *err)
{
	struct rx_loop *loop = rx_loop_of(conn);
	struct rx_call *call;

	rx_mutex_lock(&loop->mutex);
	while (!(call = rx_core_call_new(conn, rx_now_us(loop->env))) && !conn->error && rx_core_conn_full(conn))
		chan_wait(loop, conn);
	if (!call && conn->error)
		rx_error_abort(err, RX_ORIGIN_RX, conn->error);
	else if (!call)
		rx_error_errno(err, ENOMEM, "making a call");
	rx_mutex_unlock(&loop->mutex);
	return call;
}

static bool is_inline(const struct rx_call *call)
{
	const enum rx_user_kind *kind = call->user;

	return kind && *kind == RX_USER_INLINE;
}

int rx_call_write(struct rx_call *call, const void *buf, size_t len)
{
	struct rx_loop *loop = rx_loop_of(call->conn);
	int rc = -1;

	if (is_inline(call))
		return rx_inline_write(call, buf, len);
	rx_mutex_lock(&loop->mutex);
	if (call->state == RX_CS_SEND || (!call->client && call->state == RX_CS_RECV)) {
		rx_core_call_post_write(call, rx_now_us(loop->env), buf, len);
		while (call->wr_done < len && call->state == RX_CS_SEND) {
			struct rx_waiter w = { .kind = RX_USER_WAITER };

			call->user = &w;
			rx_loop_wait(loop, &w);
			call->user = NULL;
		}
		rc = rx_core_call_unpost_write(call) == len ? 0 : -1;
	}
	/* Full packets may leave while the caller makes the next ones. */
	if (rx_endpoint_has_output(loop->ep))
		rx_loop_flush(loop);
	rx_loop_kick(loop);
	rx_mutex_unlock(&loop->mutex);
	return rc;
}

/* Waits until the posted read is satisfied. */
static void read_wait(struct rx_loop *loop, struct rx_call *call)
{
	while (call->rd_done < call->rd_len && !call->rx_eof && call->state == RX_CS_RECV) {
		struct rx_waiter w = { .kind = RX_USER_WAITER };

		call->user = &w;
		rx_loop_wait(loop, &w);
		call->user = NULL;
	}
}

ptrdiff_t rx_call_read(struct rx_call *call, void *buf, size_t len)
{
	struct rx_loop *loop = rx_loop_of(call->conn);
	ptrdiff_t got = -1;

	if (is_inline(call))
		return rx_inline_read(call, buf, len);
	rx_mutex_lock(&loop->mutex);
	rx_core_call_flush(call, rx_now_us(loop->env));
	if (call->state == RX_CS_RECV) {
		rx_core_call_post_read(call, rx_now_us(loop->env), buf, len);
		read_wait(loop, call);
		got = (ptrdiff_t)rx_core_call_unpost_read(call);
		if (call->state != RX_CS_RECV && (size_t)got < len)
			got = -1;
	}
	if (rx_endpoint_has_output(loop->ep))
		rx_loop_flush(loop);
	rx_loop_kick(loop);
	rx_mutex_unlock(&loop->mutex);
	return got;
}

int rx_call_end(struct rx_call *call, int32_t abort_code, enum rx_origin service_origin, struct rx_error *err)
{
	struct rx_loop *loop = rx_loop_of(call->conn);
	int32_t code;

	assert(call->client);
	rx_mutex_lock(&loop->mutex);
	if (!abort_code) {
		rx_core_call_flush(call, rx_now_us(loop->env));
		if (call->state == RX_CS_RECV && !call->rx_eof) {
			rx_core_call_post_read(call, rx_now_us(loop->env), NULL, DISCARD_MAX);
			read_wait(loop, call);
			rx_core_call_unpost_read(call);
			if (call->state == RX_CS_RECV && !call->rx_eof)
				abort_code = RX_PROTOCOL_ERROR;
		}
	}
	code = call->error ? call->error : abort_code;
	rx_core_call_end(call, rx_now_us(loop->env), abort_code);
	if (rx_endpoint_has_output(loop->ep))
		rx_loop_flush(loop);
	rx_loop_kick(loop);
	rx_mutex_unlock(&loop->mutex);
	if (!code) {
		rx_error_clear(err);
		return 0;
	}
	return rx_error_abort(err, service_origin, code);
}

void rx_call_finish(struct rx_call *call)
{
	struct rx_loop *loop = rx_loop_of(call->conn);

	rx_mutex_lock(&loop->mutex);
	assert(call->ended && !*call->ended);
	*call->ended = true;
	rx_core_call_end(call, rx_now_us(loop->env), 0);
	rx_loop_flush(loop);
	rx_loop_kick(loop);
	rx_mutex_unlock(&loop->mutex);
}

void rx_call_mute(struct rx_call *call)
{
	struct rx_loop *loop = rx_loop_of(call->conn);

	rx_mutex_lock(&loop->mutex);
	rx_core_call_mute(call, rx_now_us(loop->env));
	rx_mutex_unlock(&loop->mutex);
}

void rx_call_fail_conn(struct rx_call *call, int32_t code)
{
	struct rx_loop *loop = rx_loop_of(call->conn);

	rx_mutex_lock(&loop->mutex);
	loop->ep->now = rx_now_us(loop->env);
	rx_conn_fail(call->conn, code, true);
	rx_loop_flush(loop);
	rx_loop_kick(loop);
	rx_mutex_unlock(&loop->mutex);
}

void rx_call_begin_wait(struct rx_call *call)
{
	rx_service_wait(call, true);
}

void rx_call_end_wait(struct rx_call *call)
{
	rx_service_wait(call, false);
}

const struct rx_addr *rx_call_peer(const struct rx_call *call)
{
	return &call->from;
}

void rx_call_identity(struct rx_call *call, struct rx_peer_identity *out)
{
	struct rx_loop *loop = rx_loop_of(call->conn);

	memset(out, 0, sizeof *out);
	rx_mutex_lock(&loop->mutex);
	if (!call->client && call->conn->sec->ops->identity)
		call->conn->sec->ops->identity(call->conn->sec_state, out);
	rx_mutex_unlock(&loop->mutex);
}
