/* Leader and followers: whoever waits for a call runs the loop if nobody else does; the
 * others sleep until their own call has moved or the lead is handed to them. A
 * background thread leads when nobody has for a while, so timers and services never
 * stop. Public calls of rx.h, from any thread. */
#include "rx/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "rx/maybe.h"

enum {
	SPIN_US = 50,
	SPIN_MISSES = 4, /* after so many in vain only every 16th sleep is tried */
	SPIN_CHECK = 16,
	SPIN_PAUSE_US = 200000,
	LEAD_GRACE_US = 5000, /* nobody led for so long: the background thread does */
};

/* At most one thread of the process burns a CPU. */
static int spinning;

void rx_loop_wake(struct rx_loop *loop, struct rx_waiter *w)
{
	w->done = true;
	if (w->parked) {
		__atomic_fetch_add(&loop->wakeups, 1, __ATOMIC_RELAXED);
		rx_cond_signal(&w->cond);
	} else if (w == loop->leader && loop->asleep) {
		loop->asleep = false;
		loop->net->ops->kick(loop->net);
	}
}

void rx_loop_kick(struct rx_loop *loop)
{
	if (!loop->asleep)
		return;
	if (!loop->stopping && !loop->inline_head && rx_endpoint_deadline(loop->ep) >= loop->sleep_until &&
	    !UMAFS_MAYBE(loop->env, KICK_NEEDLESSLY))
		return;
	loop->asleep = false;
	__atomic_fetch_add(&loop->wakeups, 1, __ATOMIC_RELAXED);
	loop->net->ops->kick(loop->net);
}

static void on_progress(struct rx_call *call, void *arg)
{
	enum rx_user_kind *kind = call->user;

	if (!kind)
		return;
	if (*kind == RX_USER_INLINE)
		rx_service_progress(arg, call);
	else
		rx_loop_wake(arg, call->user);
}

static bool on_incoming(struct rx_call *call, void *arg)
{
	return rx_service_incoming(arg, call);
}

static void on_channel_free(struct rx_conn *conn, void *arg)
{
	struct rx_loop *loop = arg;

	for (struct rx_waiter *w = loop->chan_waiters; w; w = w->chan_next) {
		if (w->conn != conn || w->done)
			continue;
		rx_loop_wake(loop, w);
		if (!conn->error)
			return;
	}
}

void rx_loop_flush(struct rx_loop *loop)
{
	if (loop->sending) /* that thread will find it */
		return;
	loop->sending = true;
	while (rx_endpoint_has_output(loop->ep)) {
		uint64_t now = rx_now_us(loop->env);
		size_t used = 0;
		unsigned n = 0;

		while (n < RX_BATCH && used + RX_OUTPUT_MAX <= RX_STAGE) {
			struct rx_datagram *d = &loop->out[n];

			d->data = loop->out_data + used;
			d->len = rx_endpoint_output(loop->ep, now, &d->addr, d->data);
			if (!d->len)
				break;
			used += d->len;
			n++;
			if (UMAFS_MAYBE(loop->env, FLUSH_ONE))
				break;
		}
		if (!n)
			break;
		rx_mutex_unlock(&loop->mutex);
		loop->net->ops->send(loop->net, loop->out, UMAFS_MAYBE(loop->env, SEND_FAILS) ? 1 : n);
		rx_mutex_lock(&loop->mutex);
	}
	loop->sending = false;
}

static unsigned receive(struct rx_loop *loop)
{
	if (UMAFS_MAYBE(loop->env, RECEIVE_NOTHING))
		return 0;
	return loop->net->ops->receive(loop->net, loop->in);
}

/* Whether this leader may spin before it sleeps now. */
static bool may_spin(struct rx_loop *loop, uint64_t now)
{
	if (!loop->net->may_spin || now < loop->spin_pause_until)
		return false;
	if (loop->spin_misses > SPIN_MISSES && loop->spin_misses++ % SPIN_CHECK)
		return false;
	return !__atomic_exchange_n(&spinning, 1, __ATOMIC_ACQUIRE);
}

/* Polls the socket for a moment. */
static unsigned spin(struct rx_loop *loop)
{
	uint64_t began = rx_now_us(loop->env), now = began;
	struct rusage usage;
	unsigned n = 0;

	if (!may_spin(loop, began))
		return 0;
	while (!n && now - began < SPIN_US) {
		n = receive(loop);
		now = rx_now_us(loop->env);
	}
	__atomic_store_n(&spinning, 0, __ATOMIC_RELEASE);
	if (n) {
		loop->spin_misses = 0;
		return n;
	}
	loop->spin_misses++;
	/* Somebody else wanted this CPU: leave it to them for a while. */
	__atomic_fetch_add(&loop->net->syscalls, 1, __ATOMIC_RELAXED);
	if (!getrusage(RUSAGE_THREAD, &usage)) {
		if (usage.ru_nivcsw > loop->involuntary + 1)
			loop->spin_pause_until = now + SPIN_PAUSE_US;
		loop->involuntary = usage.ru_nivcsw;
	}
	return 0;
}

/* Sleeps until a datagram, a kick or the deadline; mutex held at both ends. */
static void sleep_once(struct rx_loop *loop)
{
	uint64_t deadline = rx_endpoint_deadline(loop->ep);

	if (deadline <= rx_now_us(loop->env))
		return;
	if (UMAFS_MAYBE(loop->env, SLEEP_SHORT))
		deadline = rx_now_us(loop->env) + 1;
	loop->asleep = true;
	loop->sleep_until = deadline;
	rx_mutex_unlock(&loop->mutex);
	if (loop->net->ops->wait(loop->net, deadline))
		loop->in_count = receive(loop);
	rx_mutex_lock(&loop->mutex);
	loop->asleep = false;
}

static bool finished(const struct rx_loop *loop, const struct rx_waiter *w)
{
	return w ? w->done : loop->stopping || loop->callers;
}

static void feed(struct rx_loop *loop)
{
	uint64_t now = rx_now_us(loop->env);
	int64_t wall = loop->env->ops->wall_s(loop->env) + loop->clock_ahead_s;

	for (unsigned i = 0; i < loop->in_count && !loop->stopping; i++)
		rx_endpoint_input(loop->ep, now, wall, &loop->in[i].addr, loop->in[i].data, loop->in[i].len);
	loop->in_count = 0;
}

/* Runs the loop until w is done (or, in the background, until somebody else wants to). */
static void lead(struct rx_loop *loop, struct rx_waiter *w)
{
	bool fresh = true;

	loop->leading = true;
	loop->leader = w;
	loop->lead_count++;
	for (;;) {
		uint64_t now = rx_now_us(loop->env);

		if (rx_endpoint_deadline(loop->ep) <= now)
			rx_endpoint_tick(loop->ep, now);
		rx_service_run_inline(loop);
		rx_loop_flush(loop);
		if (finished(loop, w) && !fresh)
			break;
		if (fresh && w && w->done)
			break;
		fresh = false;
		if (loop->inline_head)
			continue;
		rx_mutex_unlock(&loop->mutex);
		loop->in_count = receive(loop);
		if (!loop->in_count && w)
			loop->in_count = spin(loop);
		rx_mutex_lock(&loop->mutex);
		if (!loop->in_count && !finished(loop, w) && !loop->inline_head)
			sleep_once(loop);
		feed(loop);
	}
	loop->leader = NULL;
	loop->leading = false;
	loop->idle_since = rx_now_us(loop->env);
}

/* Somebody must lead: the first who waits, or later the background thread. */
static void hand_on(struct rx_loop *loop)
{
	if (loop->leading)
		return;
	if (loop->parked_head) {
		__atomic_fetch_add(&loop->wakeups, 1, __ATOMIC_RELAXED);
		rx_cond_signal(&loop->parked_head->cond);
	} else if (loop->background_deep) {
		loop->background_deep = false;
		rx_cond_signal(&loop->background_cond);
	}
}

static void park(struct rx_loop *loop, struct rx_waiter *w)
{
	rx_cond_init(&w->cond, loop->env);
	w->parked = true;
	w->next = NULL;
	w->prev = loop->parked_tail;
	if (loop->parked_tail)
		loop->parked_tail->next = w;
	else
		loop->parked_head = w;
	loop->parked_tail = w;
	rx_cond_wait(&w->cond, &loop->mutex, UINT64_MAX);
	if (w->prev)
		w->prev->next = w->next;
	else
		loop->parked_head = w->next;
	if (w->next)
		w->next->prev = w->prev;
	else
		loop->parked_tail = w->prev;
	w->parked = false;
	rx_cond_destroy(&w->cond);
}

void rx_loop_wait(struct rx_loop *loop, struct rx_waiter *w)
{
	loop->callers++;
	rx_loop_flush(loop);
	rx_loop_kick(loop);
	while (!w->done) {
		if (loop->leading)
			park(loop, w);
		else
			lead(loop, w);
	}
	loop->callers--;
	hand_on(loop);
}

static void background(void *arg)
{
	struct rx_loop *loop = arg;
	uint64_t seen = 0;

	rx_mutex_lock(&loop->mutex);
	while (!loop->stopping) {
		uint64_t now = rx_now_us(loop->env);

		if (!loop->leading && !loop->parked_head &&
		    (now - loop->idle_since >= LEAD_GRACE_US || UMAFS_MAYBE(loop->env, BACKGROUND_LEADS))) {
			lead(loop, NULL);
			hand_on(loop);
			continue;
		}
		/* One leader for the whole of a grace period: no need to look again until
		 * it leaves. */
		loop->background_deep = loop->leading && loop->lead_count == seen;
		seen = loop->lead_count;
		rx_cond_wait(&loop->background_cond, &loop->mutex,
			     loop->background_deep ? UINT64_MAX : now + LEAD_GRACE_US);
		loop->background_deep = false;
	}
	rx_mutex_unlock(&loop->mutex);
}

static void env_random(void *arg, void *buf, size_t len)
{
	struct rx_env *env = arg;

	env->ops->random(env, buf, len);
}

static void on_unreachable(void *arg, const struct rx_addr *peer, const uint8_t *quoted, size_t len)
{
	struct rx_loop *loop = arg;

	rx_mutex_lock(&loop->mutex);
	rx_endpoint_unreachable(loop->ep, rx_now_us(loop->env), peer, quoted, len);
	rx_mutex_unlock(&loop->mutex);
}

static void loop_destroy(struct rx_loop *loop)
{
	rx_endpoint_free(loop->ep);
	rx_net_free(loop->net);
	free(loop->out_data);
	rx_cond_destroy(&loop->background_cond);
	rx_mutex_destroy(&loop->mutex);
	free(loop);
}

void rx_net_free(struct rx_net *net)
{
	if (net)
		net->ops->free(net);
}

struct rx_loop *rx_loop_new(const struct rx_loop_config *config, struct rx_error *err)
{
	static const struct rx_upcalls upcalls = { on_progress, on_incoming, on_channel_free };
	struct rx_loop *loop = calloc(1, sizeof *loop);
	struct rx_endpoint_config ec = { 0 };

	if (!loop) {
		rx_net_free(config->net);
		rx_error_errno(err, ENOMEM, "loop");
		return NULL;
	}
	loop->env = config->env ? config->env : rx_env_posix();
	rx_mutex_init(&loop->mutex, loop->env, RX_RANK_LOOP, "rx loop");
	rx_cond_init(&loop->background_cond, loop->env);
	strncpy(loop->version, config->version ? config->version : "umafs", sizeof loop->version - 1);
	loop->net = config->net ? config->net : rx_net_udp(loop->env, config->bind_ip, config->bind_port, err);
	if (!loop->net)
		goto fail;
	loop->net->unreachable = on_unreachable;
	loop->net->arg = loop;
	loop->out_data = malloc(RX_STAGE);
	if (!loop->out_data) {
		rx_error_errno(err, ENOMEM, "datagram buffers");
		goto fail;
	}
	ec.random = env_random;
	ec.random_arg = loop->env;
	ec.maybe = loop->env;
	env_random(loop->env, &ec.epoch, sizeof ec.epoch);
	ec.up = &upcalls;
	ec.up_arg = loop;
	ec.dead_time_s = config->dead_time_s;
	ec.window = config->window;
	ec.version = loop->version;
	ec.debug_answers = config->debug_answers;
	loop->ep = rx_endpoint_new(&ec, rx_now_us(loop->env), loop->env->ops->wall_s(loop->env));
	if (!loop->ep) {
		rx_error_errno(err, ENOMEM, "starting RX");
		goto fail;
	}
	loop->background = rx_thread_spawn(loop->env, "rx", background, loop);
	if (!loop->background) {
		rx_error_errno(err, EAGAIN, "no thread for the RX loop");
		goto fail;
	}
	return loop;
fail:
	loop_destroy(loop);
	return NULL;
}

void rx_loop_free(struct rx_loop *loop)
{
	if (!loop)
		return;
	rx_mutex_lock(&loop->mutex);
	loop->stopping = true;
	rx_loop_kick(loop);
	rx_cond_signal(&loop->background_cond);
	rx_mutex_unlock(&loop->mutex);
	rx_thread_join(loop->env, loop->background);
	rx_service_stop(loop);
	loop_destroy(loop);
}

void rx_loop_restart(struct rx_loop *loop)
{
	uint32_t epoch;

	env_random(loop->env, &epoch, sizeof epoch);
	rx_mutex_lock(&loop->mutex);
	rx_endpoint_restart(loop->ep, rx_now_us(loop->env), epoch);
	rx_mutex_unlock(&loop->mutex);
}

void rx_loop_deafen(struct rx_loop *loop, uint64_t us)
{
	rx_mutex_lock(&loop->mutex);
	rx_endpoint_deafen(loop->ep, rx_now_us(loop->env) + us);
	rx_mutex_unlock(&loop->mutex);
}

void rx_loop_set_clock(struct rx_loop *loop, int64_t ahead_s)
{
	rx_mutex_lock(&loop->mutex);
	loop->clock_ahead_s = ahead_s;
	rx_mutex_unlock(&loop->mutex);
}

uint16_t rx_loop_port(const struct rx_loop *loop)
{
	return loop->net->port;
}

struct rx_env *rx_loop_env(const struct rx_loop *loop)
{
	return loop->env;
}

void rx_loop_stats(struct rx_loop *loop, struct rx_stats *out)
{
	rx_mutex_lock(&loop->mutex);
	*out = loop->ep->count.s;
	rx_mutex_unlock(&loop->mutex);
	out->syscalls = __atomic_load_n(&loop->net->syscalls, __ATOMIC_RELAXED);
	out->wakeups = __atomic_load_n(&loop->wakeups, __ATOMIC_RELAXED);
}
