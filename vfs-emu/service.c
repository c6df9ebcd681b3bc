/* The fault service. One handler thread reads messages in batches and serves what needs
 * no RPC, what was parked and may go on included; workers, made as they are needed, do
 * the RPCs. So a dead server holds up only those who need it, and parked write()s cannot
 * starve a fault. These threads touch no application memory and run no application code. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "rx/maybe.h"
#include "vfs-emu/fault.h"

enum { BATCH = 16 };

/* ---- queues; service.lock held ---- */

/* To be served again, by the handler. */
static void push_again(struct vfs *vfs, struct fault *f)
{
	struct service *s = &vfs->service;

	f->parked_on = NULL;
	f->queued = NULL;
	*s->again_tail = f;
	s->again_tail = &f->queued;
	if (s->again == f)
		vfs->source->ops->poke(vfs->source);
}

static struct fault *take_again(struct service *s)
{
	struct fault *all = s->again;

	s->again = NULL;
	s->again_tail = &s->again;
	return all;
}

static struct fault *pop_rpc(struct service *s)
{
	struct fault *f = s->rpcs;

	if (f) {
		s->rpcs = f->queued;
		if (!s->rpcs)
			s->rpcs_tail = &s->rpcs;
		f->queued = NULL;
		s->nrpcs--;
	}
	return f;
}

/* In the order in which they came. */
static void park_sorted(struct space *sp, struct fault *f)
{
	struct fault **p = &sp->parked;

	while (*p && (*p)->seq < f->seq)
		p = &(*p)->queued;
	f->queued = *p;
	*p = f;
	f->parked_on = sp;
}

static void unpark(struct vfs *vfs, struct fault *f)
{
	struct fault **p = &f->parked_on->parked;

	while (*p != f)
		p = &(*p)->queued;
	*p = f->queued;
	push_again(vfs, f);
}

void fault_unpark_all(struct space *sp)
{
	struct fault *f;

	while ((f = sp->parked) != NULL) {
		sp->parked = f->queued;
		push_again(sp->vfs, f);
	}
}

static void set_deadline(struct vfs *vfs, uint64_t when)
{
	if (when >= vfs->service.next_deadline)
		return;
	vfs->service.next_deadline = when;
	vfs->source->ops->poke(vfs->source);
}

void fault_park(struct space *sp, struct fault *f, uint64_t seq)
{
	struct service *s = &sp->vfs->service;

	rx_mutex_lock(&s->lock);
	if (sp->change_seq != seq) {
		push_again(sp->vfs, f);
	} else {
		park_sorted(sp, f);
		if (f->timed)
			set_deadline(sp->vfs, f->deadline);
	}
	rx_mutex_unlock(&s->lock);
}

uint64_t service_seq(struct vfs *vfs)
{
	uint64_t seq;

	rx_mutex_lock(&vfs->service.lock);
	seq = ++vfs->service.seq;
	rx_mutex_unlock(&vfs->service.lock);
	return seq;
}

void service_deadline(struct vfs *vfs, uint64_t when)
{
	rx_mutex_lock(&vfs->service.lock);
	set_deadline(vfs, when);
	rx_mutex_unlock(&vfs->service.lock);
}

/* ---- faults come and go ---- */

/* A thread waits for one fault at a time: a newer message from it (it got a signal, or
 * its page came some other way) makes an older one void. If that one was still parked
 * for the same page, the newer takes its place in the order and its deadline. */
static void supersede(struct vfs *vfs, struct fault *f)
{
	for (struct fault *old = vfs->service.outstanding; old; old = old->next) {
		if (old->tid != f->tid || old->cancelled)
			continue;
		old->cancelled = true;
		if (!old->parked_on)
			continue;
		if (old->addr == f->addr) {
			f->seq = old->seq;
			f->deadline = old->deadline;
		}
		unpark(vfs, old);
	}
}

static struct fault *fault_new(struct vfs *vfs, const struct vfs_message *msg)
{
	struct service *s = &vfs->service;
	struct fault *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->addr = msg->addr & ~(uintptr_t)(CM_PAGE - 1);
	f->store = msg->store;
	f->tid = msg->tid;
	rx_mutex_lock(&s->lock);
	f->seq = ++s->seq;
	supersede(vfs, f);
	f->next = s->outstanding;
	if (f->next)
		f->next->prev = f;
	s->outstanding = f;
	rx_mutex_unlock(&s->lock);
	return f;
}

static void fault_free(struct vfs *vfs, struct fault *f)
{
	struct service *s = &vfs->service;

	rx_mutex_lock(&s->lock);
	if (f->prev)
		f->prev->next = f->next;
	else
		s->outstanding = f->next;
	if (f->next)
		f->next->prev = f->prev;
	rx_mutex_unlock(&s->lock);
	free(f);
}

static bool is_cancelled(struct vfs *vfs, const struct fault *f)
{
	bool cancelled;

	rx_mutex_lock(&vfs->service.lock);
	cancelled = f->cancelled;
	rx_mutex_unlock(&vfs->service.lock);
	return cancelled;
}

/* What was begun (a page that is being read) is ended first. */
static void work_on(struct vfs *vfs, struct fault *f)
{
	enum fault_result result = FAULT_RPC;

	while (result == FAULT_RPC) {
		fault_rpc(vfs, f);
		if (is_cancelled(vfs, f)) {
			claim_drop(&f->claim);
			result = FAULT_DONE;
			break;
		}
		result = fault_serve(vfs, f);
	}
	if (result == FAULT_DONE)
		fault_free(vfs, f);
}

/* ---- threads ---- */

static void worker_main(void *arg)
{
	struct vfs *vfs = arg;
	struct service *s = &vfs->service;
	struct fault *f;

	for (;;) {
		rx_mutex_lock(&s->lock);
		s->idle++;
		while (!(f = pop_rpc(s)) && !s->stop)
			rx_cond_wait(&s->work, &s->lock, UINT64_MAX);
		s->idle--;
		rx_mutex_unlock(&s->lock);
		if (!f)
			return;
		work_on(vfs, f);
	}
}

/* Only the handler makes workers, so they inherit its signal mask. */
static void hand_over(struct vfs *vfs, struct fault *f)
{
	struct service *s = &vfs->service;
	bool nobody;
	char name[24];

	rx_mutex_lock(&s->lock);
	f->queued = NULL;
	*s->rpcs_tail = f;
	s->rpcs_tail = &f->queued;
	s->nrpcs++;
	if (s->nrpcs > s->idle && s->nworkers < s->max_workers) {
		snprintf(name, sizeof(name), "umafs-fault%u", s->nworkers % 100);
		s->workers[s->nworkers] = rx_thread_spawn(vfs->env, name, worker_main, vfs);
		s->nworkers += s->workers[s->nworkers] != NULL;
	}
	nobody = s->nworkers == 0;
	f = nobody ? pop_rpc(s) : NULL;
	rx_cond_signal(&s->work);
	rx_mutex_unlock(&s->lock);
	if (f)
		work_on(vfs, f);
}

static void handle(struct vfs *vfs, struct fault *f)
{
	switch (fault_serve(vfs, f)) {
	case FAULT_DONE:
		fault_free(vfs, f);
		break;
	case FAULT_PARKED:
		break;
	case FAULT_RPC:
		hand_over(vfs, f);
		break;
	}
}

static void receive(struct vfs *vfs, const struct vfs_message *msg)
{
	struct fault *f = fault_new(vfs, msg);

	if (f) {
		handle(vfs, f);
		return;
	}
	/* No memory to remember it by: the thread looks again, and sends another. */
	rx_mutex_lock(&vfs->mappings_lock);
	vfs->source->ops->wake(vfs->source, msg->addr & ~(uintptr_t)(CM_PAGE - 1), CM_PAGE);
	rx_mutex_unlock(&vfs->mappings_lock);
}

static void handle_again(struct vfs *vfs)
{
	struct service *s = &vfs->service;
	struct fault *f, *next;

	rx_mutex_lock(&s->lock);
	f = take_again(s);
	rx_mutex_unlock(&s->lock);
	for (; f; f = next) {
		next = f->queued;
		f->queued = NULL;
		if (is_cancelled(vfs, f)) {
			claim_drop(&f->claim);
			fault_free(vfs, f);
		} else {
			handle(vfs, f);
		}
	}
}

/* Faults whose patience is over are served again and find that out; SIGBUS pages end. */
static void look_at_clock(struct vfs *vfs)
{
	struct service *s = &vfs->service;
	uint64_t now = rx_now_us(vfs->env), next;

	rx_mutex_lock(&s->lock);
	if (s->next_deadline > now) {
		rx_mutex_unlock(&s->lock);
		return;
	}
	s->next_deadline = UINT64_MAX;
	for (struct fault *f = s->outstanding; f; f = f->next) {
		if (!f->parked_on || !f->timed)
			continue;
		if (f->deadline <= now)
			unpark(vfs, f);
		else if (f->deadline < s->next_deadline)
			s->next_deadline = f->deadline;
	}
	rx_mutex_unlock(&s->lock);
	next = sigbus_expire(vfs, now);
	service_deadline(vfs, next);
}

static void handler_main(void *arg)
{
	struct vfs *vfs = arg;
	struct service *s = &vfs->service;
	struct vfs_message msgs[BATCH];
	uint64_t deadline;
	bool stop = false;
	unsigned n;

	while (!stop) {
		rx_mutex_lock(&s->lock);
		deadline = s->next_deadline;
		rx_mutex_unlock(&s->lock);
		n = vfs->source->ops->wait(vfs->source, deadline, msgs,
					   UMAFS_MAYBE(vfs->env, MESSAGE_SINGLE) ? 1 : BATCH);
		for (unsigned i = 0; i < n; i++)
			receive(vfs, &msgs[i]);
		look_at_clock(vfs);
		handle_again(vfs);
		rx_mutex_lock(&s->lock);
		stop = s->stop;
		rx_mutex_unlock(&s->lock);
	}
}

/* ---- life ---- */

void service_init(struct vfs *vfs, unsigned workers)
{
	struct service *s = &vfs->service;

	s->max_workers = workers && workers < VFS_WORKERS_MAX ? workers : VFS_WORKERS_MAX;
	s->again_tail = &s->again;
	s->rpcs_tail = &s->rpcs;
	s->next_deadline = UINT64_MAX;
	rx_mutex_init(&s->lock, vfs->env, RX_RANK_QUEUE, "fault service");
	rx_cond_init(&s->work, vfs->env);
}

/* open_lock serialises the first mappings of two threads. */
int service_start(struct vfs *vfs, struct rx_error *err)
{
	struct service *s = &vfs->service;
	sigset_t all, old;
	bool started;

	rx_mutex_lock(&vfs->open_lock);
	if (!s->started) {
		/* Signals are the application's: its threads take them, ours inherit this. */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		s->handler = rx_thread_spawn(vfs->env, "umafs-uffd", handler_main, vfs);
		s->started = s->handler != NULL;
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	started = s->started;
	rx_mutex_unlock(&vfs->open_lock);
	return started ? 0 : rx_error_errno(err, EAGAIN, "cannot start the thread that serves page faults");
}

void service_stop(struct vfs *vfs)
{
	struct service *s = &vfs->service;

	rx_mutex_lock(&s->lock);
	s->stop = true;
	rx_cond_broadcast(&s->work);
	rx_mutex_unlock(&s->lock);
	vfs->source->ops->poke(vfs->source);
	if (s->handler)
		rx_thread_join(vfs->env, s->handler);
	for (unsigned i = 0; i < s->nworkers; i++)
		rx_thread_join(vfs->env, s->workers[i]);
}

void service_destroy(struct vfs *vfs)
{
	rx_cond_destroy(&vfs->service.work);
	rx_mutex_destroy(&vfs->service.lock);
}
