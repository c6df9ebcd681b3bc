/* Server calls on their way to handlers: inline ones run on the leader's thread with
 * the request collected and the reply buffered; workers have threads of their own and
 * stream. Everything under the loop's mutex except the handlers themselves. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rx/loop.h"
#include "rx/maybe.h"

enum { REQUEST_MAX = 65536, BUFFER_FIRST = 2048, KEEP_BUFFER = 65536, THREADS_MAX = 256 };

struct rx_service {
	struct rx_service *next;
	struct rx_loop *loop;
	struct rx_service_config cfg;
	struct rx_cond cond;
	struct rx_call *head, *tail; /* calls without a worker */
	struct rx_thread **threads;
	unsigned nthreads, waiting; /* of the threads: those whose handlers wait for something else */
	struct rx_inline *spare;    /* buffers of the last inline call */
};

struct buffer {
	uint8_t *data;
	size_t len, cap, pos;
};

struct rx_inline {
	enum rx_user_kind kind;
	bool queued, replying;
	struct rx_inline *next;
	struct rx_call *call;
	struct rx_service *service;
	struct buffer req, out;
};

static struct rx_service *service_of(struct rx_loop *loop, const struct rx_call *call)
{
	return rx_endpoint_find_service(loop->ep, call->conn->service)->user;
}

static bool reserve(struct buffer *b, size_t more)
{
	size_t cap = b->cap ? b->cap : BUFFER_FIRST;
	uint8_t *data;

	if (b->len + more <= b->cap)
		return true;
	while (cap < b->len + more)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data)
		return false;
	b->data = data;
	b->cap = cap;
	return true;
}

static void enqueue(struct rx_loop *loop, struct rx_inline *ic)
{
	if (ic->queued)
		return;
	ic->queued = true;
	ic->next = NULL;
	if (loop->inline_tail)
		loop->inline_tail->next = ic;
	else
		loop->inline_head = ic;
	loop->inline_tail = ic;
	/* Handlers run on the leader; one that sleeps must hear of it. */
	if (loop->asleep)
		rx_loop_kick(loop);
}

static struct rx_inline *dequeue(struct rx_loop *loop)
{
	struct rx_inline *ic = loop->inline_head;

	if (!ic)
		return NULL;
	loop->inline_head = ic->next;
	if (!loop->inline_head)
		loop->inline_tail = NULL;
	ic->queued = false;
	return ic;
}

static void unqueue(struct rx_loop *loop, struct rx_inline *ic)
{
	struct rx_inline **at = &loop->inline_head, *prev = NULL;

	if (!ic->queued)
		return;
	while (*at != ic) {
		prev = *at;
		at = &(*at)->next;
	}
	*at = ic->next;
	if (loop->inline_tail == ic)
		loop->inline_tail = prev;
	ic->queued = false;
}

static void inline_free(struct rx_inline *ic)
{
	free(ic->req.data);
	free(ic->out.data);
	free(ic);
}

static void inline_end(struct rx_loop *loop, struct rx_inline *ic, int32_t code)
{
	struct rx_service *s = ic->service;

	rx_core_call_end(ic->call, rx_now_us(loop->env), code);
	unqueue(loop, ic);
	ic->call = NULL;
	if (s->spare || ic->req.cap > KEEP_BUFFER || ic->out.cap > KEEP_BUFFER)
		inline_free(ic);
	else
		s->spare = ic;
}

/* With room for a request and a reply of the usual size: these cannot fail later. */
static struct rx_inline *inline_alloc(void)
{
	struct rx_inline *ic = calloc(1, sizeof *ic);

	if (ic && reserve(&ic->req, BUFFER_FIRST) && reserve(&ic->out, BUFFER_FIRST))
		return ic;
	if (ic)
		inline_free(ic);
	return NULL;
}

static bool inline_new(struct rx_loop *loop, struct rx_service *s, struct rx_call *call)
{
	struct rx_inline *ic = s->spare ? s->spare : inline_alloc();

	s->spare = NULL;
	if (!ic)
		return false;
	ic->kind = RX_USER_INLINE;
	ic->queued = ic->replying = false;
	ic->call = call;
	ic->service = s;
	ic->req.len = ic->req.pos = ic->out.len = ic->out.pos = 0;
	call->user = ic;
	rx_core_call_attach(call, rx_now_us(loop->env));
	enqueue(loop, ic);
	return true;
}

bool rx_service_incoming(struct rx_loop *loop, struct rx_call *call)
{
	struct rx_service *s = service_of(loop, call);

	if (s->cfg.mode == RX_SERVICE_INLINE)
		return inline_new(loop, s, call);
	call->user_next = NULL;
	if (s->tail)
		s->tail->user_next = call;
	else
		s->head = call;
	s->tail = call;
	rx_cond_signal(&s->cond);
	return true;
}

void rx_service_progress(struct rx_loop *loop, struct rx_call *call)
{
	enqueue(loop, call->user);
}

/* True when the request is complete. False: more must come, or the call has ended. */
static bool collect(struct rx_loop *loop, struct rx_inline *ic)
{
	struct buffer *b = &ic->req;
	size_t max = ic->service->cfg.max_request;
	size_t n;

	do {
		if (b->len == b->cap && !reserve(b, BUFFER_FIRST)) {
			inline_end(loop, ic, RXGEN_SS_UNMARSHAL);
			return false;
		}
		n = rx_core_call_read(ic->call, rx_now_us(loop->env), b->data + b->len, b->cap - b->len);
		b->len += n;
		if (b->len > max) {
			inline_end(loop, ic, RXGEN_SS_UNMARSHAL);
			return false;
		}
	} while (n && !ic->call->rx_eof);
	return ic->call->rx_eof;
}

static void reply(struct rx_loop *loop, struct rx_inline *ic)
{
	struct buffer *b = &ic->out;

	b->pos += rx_core_call_write(ic->call, rx_now_us(loop->env), b->data + b->pos, b->len - b->pos);
	if (b->pos == b->len || ic->call->state == RX_CS_ERROR)
		inline_end(loop, ic, 0);
}

void rx_service_run_inline(struct rx_loop *loop)
{
	struct rx_inline *ic;

	while ((ic = dequeue(loop)) != NULL) {
		int32_t code;

		if (ic->call->state == RX_CS_ERROR) {
			inline_end(loop, ic, 0);
			continue;
		}
		if (ic->replying) {
			reply(loop, ic);
			continue;
		}
		if (!collect(loop, ic))
			continue;
		ic->replying = true;
		rx_mutex_unlock(&loop->mutex);
		code = ic->service->cfg.handler(ic->call, ic->service->cfg.arg);
		rx_mutex_lock(&loop->mutex);
		if (code || ic->call->state == RX_CS_ERROR)
			inline_end(loop, ic, code);
		else
			reply(loop, ic);
		if (UMAFS_MAYBE(loop->env, INLINE_LATE))
			break;
	}
}

ptrdiff_t rx_inline_read(struct rx_call *call, void *buf, size_t len)
{
	struct rx_inline *ic = call->user;
	struct buffer *b = &ic->req;
	size_t n = len < b->len - b->pos ? len : b->len - b->pos;

	if (n)
		memcpy(buf, b->data + b->pos, n);
	b->pos += n;
	return (ptrdiff_t)n;
}

int rx_inline_write(struct rx_call *call, const void *buf, size_t len)
{
	struct rx_inline *ic = call->user;

	if (!len)
		return 0;
	if (!reserve(&ic->out, len))
		return -1;
	memcpy(ic->out.data + ic->out.len, buf, len);
	ic->out.len += len;
	return 0;
}

static void worker(void *arg)
{
	struct rx_service *s = arg;
	struct rx_loop *loop = s->loop;

	rx_mutex_lock(&loop->mutex);
	for (;;) {
		struct rx_call *call = s->head;
		bool ended = false;
		int32_t code;

		if (!call) {
			if (loop->stopping)
				break;
			rx_cond_wait(&s->cond, &loop->mutex, UINT64_MAX);
			continue;
		}
		s->head = call->user_next;
		if (!s->head)
			s->tail = NULL;
		rx_core_call_attach(call, rx_now_us(loop->env));
		call->ended = &ended;
		code = 0;
		if (call->state != RX_CS_ERROR) {
			rx_mutex_unlock(&loop->mutex);
			code = s->cfg.handler(call, s->cfg.arg);
			rx_mutex_lock(&loop->mutex);
		}
		if (!ended)
			rx_core_call_end(call, rx_now_us(loop->env), code);
		rx_loop_flush(loop);
		rx_loop_kick(loop);
	}
	rx_mutex_unlock(&loop->mutex);
}

/* False when there can be no more. Mutex held. */
static bool add_thread(struct rx_service *s)
{
	struct rx_thread **threads = realloc(s->threads, (s->nthreads + 1) * sizeof *threads);

	if (!threads)
		return false;
	s->threads = threads;
	threads[s->nthreads] = rx_thread_spawn(s->loop->env, s->cfg.name, worker, s);
	if (!threads[s->nthreads])
		return false;
	s->nthreads++;
	return true;
}

void rx_service_wait(struct rx_call *call, bool begins)
{
	struct rx_loop *loop = rx_loop_of(call->conn);
	struct rx_service *s;

	rx_mutex_lock(&loop->mutex);
	s = service_of(loop, call);
	if (begins)
		s->waiting++;
	else
		s->waiting--;
	if (begins && !loop->stopping && s->nthreads < THREADS_MAX && s->nthreads - s->waiting < s->cfg.workers)
		add_thread(s);
	rx_mutex_unlock(&loop->mutex);
}

int rx_service_add(struct rx_loop *loop, const struct rx_service_config *config, struct rx_error *err)
{
	struct rx_service *s = calloc(1, sizeof *s);
	int rc;

	if (!s)
		return rx_error_errno(err, ENOMEM, "service %s", config->name);
	s->loop = loop;
	s->cfg = *config;
	if (!s->cfg.max_request)
		s->cfg.max_request = REQUEST_MAX;
	if (!s->cfg.workers)
		s->cfg.workers = 1;
	rx_cond_init(&s->cond, loop->env);
	rx_mutex_lock(&loop->mutex);
	rc = rx_endpoint_service(loop->ep, config->id, config->sec, s);
	if (!rc) {
		s->next = loop->services;
		loop->services = s;
	}
	rx_mutex_unlock(&loop->mutex);
	if (rc) {
		rx_cond_destroy(&s->cond);
		free(s);
		return rx_error_set(err, RX_ORIGIN_RX, RX_ADDRINUSE, EADDRINUSE, "service %u (%s) exists already",
				    config->id, config->name);
	}
	if (config->mode != RX_SERVICE_WORKER)
		return 0;
	rx_mutex_lock(&loop->mutex);
	while (s->nthreads < s->cfg.workers && add_thread(s))
		;
	rx_mutex_unlock(&loop->mutex);
	return s->nthreads ? 0 : rx_error_errno(err, EAGAIN, "no worker threads for %s", config->name);
}

/* Mutex not held; the loop is stopping. */
void rx_service_stop(struct rx_loop *loop)
{
	/* Nobody waits for the rest of a request; nothing new comes in any more. */
	rx_mutex_lock(&loop->mutex);
	rx_endpoint_stop_serving(loop->ep, rx_now_us(loop->env));
	rx_service_run_inline(loop);
	rx_loop_flush(loop);
	rx_mutex_unlock(&loop->mutex);
	while (loop->services) {
		struct rx_service *s = loop->services;

		rx_mutex_lock(&loop->mutex);
		rx_cond_broadcast(&s->cond);
		rx_mutex_unlock(&loop->mutex);
		for (unsigned i = 0; i < s->nthreads; i++)
			rx_thread_join(loop->env, s->threads[i]);
		free(s->threads);
		rx_cond_destroy(&s->cond);
		if (s->spare)
			inline_free(s->spare);
		loop->services = s->next;
		free(s);
	}
}
