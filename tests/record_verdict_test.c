/* What repeated answers make of a record: when it is tried again, when two refusals kill,
 * how long an expired ticket is waited for. */
#include <errno.h>

#include "cm/record.h"
#include "tests/unit.h"

struct cm_token {
	int refs;
};

struct cm_vnode {
	struct cm_records records;
	int refs;
	uint64_t inval_gen;
	struct rx_error answers[8]; /* code 0 = stored */
	unsigned asked, refreshed, forgot;
	bool refreshable;
	unsigned stored, kept, killed, changed;
	struct cm_record_view last; /* of the last prepare */
	struct cm_event event;
	unsigned events;
	uint64_t timer_us;
	bool broken;
	size_t lost; /* runs of bytes handed over with events */
	void (*work)(void *);
	void *work_arg;
};

static struct cm_vnode *vnode;

struct cm_vnode *cm_vnode_get(struct cm_vnode *v)
{
	v->refs++;
	return v;
}

void cm_vnode_put(struct cm_vnode *v)
{
	v->refs--;
}

struct cm_token *cm_token_get(struct cm_token *t)
{
	t->refs++;
	return t;
}

void cm_token_put(struct cm_token *t)
{
	t->refs--;
}

const char *cm_token_name(struct cm_token *t, char buf[256])
{
	(void)t;
	return strcpy(buf, "somebody");
}

struct cm *cm_vnode_cm(struct cm_vnode *v)
{
	(void)v;
	return NULL;
}

struct cm_records *cm_vnode_records(struct cm_vnode *v)
{
	return &v->records;
}

uint64_t cm_inval_gen(const struct cm_vnode *v)
{
	return v->inval_gen;
}

uint64_t cm_data_version(const struct cm_vnode *v)
{
	(void)v;
	return 1;
}

bool cm_has_moved(const struct cm_vnode *v, uint64_t version)
{
	(void)v;
	return version != 1;
}

int cm_store_runs(struct cm_vnode *v, struct cm_token *t, const struct cm_plan *plan, bool sync, struct rx_error *err)
{
	const struct rx_error *a = &v->answers[v->asked++];

	(void)t, (void)plan, (void)sync;
	*err = *a;
	return a->code ? -1 : 0;
}

bool cm_work(struct cm *cm, void (*fn)(void *), void *arg)
{
	(void)cm;
	vnode->work = fn;
	vnode->work_arg = arg;
	return true;
}

void cm_flush_timer(struct cm_vnode *v, uint64_t when_us)
{
	v->timer_us = when_us;
}

void cm_emit(struct cm *cm, const struct cm_event *ev)
{
	(void)cm;
	vnode->event = *ev;
	vnode->events++;
	vnode->lost += ev->lost ? ev->lost->nruns : 0;
}

void cm_trace(struct cm *cm, const struct cm_trace_event *ev)
{
	(void)cm, (void)ev;
}

int cm_token_refresh(struct cm_token *t, struct rx_error *err)
{
	(void)t, (void)err;
	vnode->refreshed++;
	return vnode->refreshable ? 0 : -1;
}

void cm_forget_rights(struct cm_vnode *v, struct cm_token *t)
{
	(void)t;
	v->forgot++;
}

static int prepare(void *space, const struct cm_record_view *r, bool promise_broken, struct cm_plan *plan)
{
	((struct cm_vnode *)space)->broken = promise_broken;
	((struct cm_vnode *)space)->last = *r;
	plan->buffer = calloc(1, 1);
	plan->runs = calloc(1, sizeof(*plan->runs));
	plan->nruns = 1;
	plan->runs[0] = (struct cm_run){ .off = r->first * CM_PAGE, .len = 1, .bytes = plan->buffer };
	return 0;
}

static void settle(void *space, const struct cm_record_view *r, enum cm_verdict verdict)
{
	struct cm_vnode *v = space;

	(void)r;
	v->stored += verdict == CM_VERDICT_STORED;
	v->kept += verdict == CM_VERDICT_KEEP;
	v->killed += verdict == CM_VERDICT_KILL;
}

static void changed(void *space)
{
	((struct cm_vnode *)space)->changed++;
}

static int salvage(void *space, const struct cm_record_view *r, struct cm_plan *plan)
{
	return prepare(space, r, true, plan);
}

static const struct cm_space_ops ops = {
	.prepare = prepare, .salvage = salvage, .settle = settle, .changed = changed, .invalidate = changed
};

static struct cm_vnode *start(void)
{
	vnode = calloc(1, sizeof(*vnode));
	vnode->refs = 1;
	cm_records_init(&vnode->records, vnode, rx_env_posix());
	cm_space_attach(vnode, &ops, vnode);
	return vnode;
}

static void stop(struct cm_vnode *v)
{
	cm_record_truncate(v, 0);
	cm_space_detach(v);
	cm_records_destroy(&v->records);
	CU_ASSERT_EQUAL(v->refs, 1);
	free(v);
}

static void run_work(struct cm_vnode *v)
{
	void (*fn)(void *) = v->work;

	v->work = NULL;
	CU_ASSERT_PTR_NOT_NULL_FATAL(fn);
	fn(v->work_arg);
}

static enum cm_grant grant(struct cm_vnode *v, struct cm_token *t, uint64_t page)
{
	struct cm_record_view r;

	return cm_record_grant(v, t, page, 0, CM_PAGE, true, &r);
}

static unsigned count(struct cm_vnode *v)
{
	struct cm_record_view r;
	uint64_t at = 0;
	unsigned n = 0;

	for (; cm_record_next(v, at, &r); at = r.last + 1)
		n++;
	return n;
}

static struct rx_error refusal(int32_t code)
{
	struct rx_error e = { 0 };

	rx_error_set(&e, RX_ORIGIN_AFS, code, EACCES, "scripted");
	return e;
}

static unsigned left(struct cm_vnode *v)
{
	return count(v);
}

/* Stored by its age, the server is busy: it must be tried again some time. */
static void test_age_retry(void)
{
	struct cm_vnode *v = start();
	struct cm_token a = { 1 };
	uint64_t now = rx_now_us(rx_env_posix()), next;

	grant(v, &a, 0);
	v->timer_us = 0;
	next = cm_records_age(&v->records, now + 6000000, 5000000); /* the timer's look */
	v->answers[0] = refusal(110);
	run_work(v);
	CU_ASSERT_EQUAL(v->kept, 1);
	/* The one look that is due now was asked for by its return value or by cm_flush_timer. */
	CU_ASSERT(next != UINT64_MAX || v->timer_us != 0);
	stop(v);
}

/* Busy, then once VREADONLY: the second answer is the first of its kind. */
static void test_rofs_once(void)
{
	struct cm_vnode *v = start();
	struct cm_token a = { 1 };

	grant(v, &a, 0);
	v->answers[0] = refusal(110);
	v->answers[1] = refusal(30);
	CU_ASSERT_EQUAL(cm_flush(v, &a, 0, UINT64_MAX, false, NULL), -1);
	CU_ASSERT_EQUAL(cm_flush(v, &a, 0, UINT64_MAX, false, NULL), -1);
	CU_ASSERT_EQUAL(v->killed, 0);
	CU_ASSERT_EQUAL(left(v), 1);
	stop(v);
}

/* Expired, then renewed (the server is busy with it): the grace begins anew next time. */
static void test_grace_anew(void)
{
	struct cm_vnode *v = start();
	struct cm_token a = { 1 };

	grant(v, &a, 0);
	rx_error_set(&v->answers[0], RX_ORIGIN_RXKAD, RXKAD_EXPIRED, EKEYEXPIRED, "scripted");
	v->answers[1] = refusal(110);
	CU_ASSERT_EQUAL(cm_flush(v, &a, 0, UINT64_MAX, false, NULL), -1);
	CU_ASSERT(v->records.list->expired_us != 0);
	CU_ASSERT_EQUAL(cm_flush(v, &a, 0, UINT64_MAX, false, NULL), -1);
	CU_ASSERT_EQUAL(v->records.list->expired_us, 0);
	stop(v);
}

/* Two records of before and after a break become one: it is of before. */
static void test_coalesce_gen(void)
{
	struct cm_vnode *v = start();
	struct cm_token a = { 1 };

	grant(v, &a, 3);
	v->inval_gen = 1;
	grant(v, &a, 1);
	grant(v, &a, 2);
	CU_ASSERT_EQUAL(count(v), 1);
	CU_ASSERT_EQUAL(cm_flush(v, &a, 0, UINT64_MAX, false, NULL), 0);
	CU_ASSERT_TRUE(v->broken);
	stop(v);
}

/* A ticket that the server does not know, and no other to be had now (the KDC does not
 * answer, nobody has run kinit): not a word about the right. */
static void test_badcred_no_fresh(void)
{
	struct cm_vnode *v = start();
	struct cm_token a = { 1 };

	grant(v, &a, 0);
	v->refreshable = false;
	rx_error_set(&v->answers[0], RX_ORIGIN_RXKAD, RXKAD_UNKNOWNKEY, EKEYREJECTED, "scripted");
	CU_ASSERT_EQUAL(cm_flush(v, &a, 0, UINT64_MAX, false, NULL), -1);
	CU_ASSERT_EQUAL(v->killed, 0);
	CU_ASSERT_EQUAL(left(v), 1);
	stop(v);
}

UNIT_MAIN("record verdict", { "kept after an attempt by age: tried again", test_age_retry },
	  { "VBUSY, then VREADONLY once: kept", test_rofs_once },
	  { "expiry grace begins anew after a renewal", test_grace_anew },
	  { "a coalesced record is as old as its older half", test_coalesce_gen },
	  { "BADCRED and no fresh ticket: kept", test_badcred_no_fresh })
