/* Writeback records without pages or servers: joining, extending, cutting, states,
 * classes of refusals, the flusher's verdicts and the error cursors. The rest of the
 * room is stood in for below: a store "server" that answers what the test scripted. */
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

static void test_coalesce(void)
{
	struct cm_vnode *v = start();
	struct cm_token a = { 1 };
	struct cm_record_view r;

	grant(v, &a, 2);
	grant(v, &a, 3);
	grant(v, &a, 1);
	CU_ASSERT_EQUAL(count(v), 1);
	grant(v, &a, 5);
	CU_ASSERT_EQUAL(count(v), 2);
	grant(v, &a, 4);
	CU_ASSERT_EQUAL(count(v), 1);
	CU_ASSERT_TRUE(cm_record_at(v, 3, &r));
	CU_ASSERT_EQUAL(r.first, 1);
	CU_ASSERT_EQUAL(r.last, 5);
	CU_ASSERT_EQUAL(r.seq, 1);
	CU_ASSERT_EQUAL(v->refs, 2);
	CU_ASSERT_FALSE(cm_record_at(v, 0, &r));
	CU_ASSERT_FALSE(cm_record_at(v, 6, &r));
	stop(v);
	CU_ASSERT_EQUAL(a.refs, 1);
}

static void test_gap(void)
{
	struct cm_vnode *v = start();
	struct cm_token a = { 1 };
	struct cm_record_view r;

	cm_record_grant(v, &a, 0, 0, 100, false, &r);
	cm_record_grant(v, &a, 1, 200, 300, false, &r);
	CU_ASSERT_EQUAL(count(v), 2);
	cm_record_grant(v, &a, 0, 60, 160, false, &r);
	CU_ASSERT_EQUAL(r.off_first, 0);
	CU_ASSERT_EQUAL(r.to_last, 160);
	stop(v);
}

static void test_max(void)
{
	struct cm_vnode *v = start();
	struct cm_token a = { 1 };

	for (uint64_t i = 0; i < 600; i++)
		grant(v, &a, i);
	CU_ASSERT_EQUAL(count(v), 3);
	CU_ASSERT_EQUAL(cm_records_dirty(&v->records), 600u * CM_PAGE);
	stop(v);
}

static void test_interleaved(void)
{
	struct cm_vnode *v = start();
	struct cm_token a = { 1 }, b = { 1 };
	struct cm_record_view r;

	for (uint64_t i = 0; i < 5; i++)
		grant(v, i % 2 ? &b : &a, i);
	CU_ASSERT_EQUAL(count(v), 5);
	v->answers[0] = refusal(13);
	CU_ASSERT_EQUAL(cm_flush(v, &a, 2 * CM_PAGE, 3 * CM_PAGE, false, NULL), 0);
	CU_ASSERT_EQUAL(v->killed, 1);
	CU_ASSERT_EQUAL(v->last.first, 2);
	CU_ASSERT_EQUAL(count(v), 4);
	CU_ASSERT_FALSE(cm_record_at(v, 2, &r));
	CU_ASSERT_TRUE(cm_record_at(v, 3, &r));
	stop(v);
}

static void test_no_join(void)
{
	struct cm_vnode *v = start();
	struct cm_token a = { 1 }, b = { 1 };
	struct cm_record_view r;

	grant(v, &a, 0);
	CU_ASSERT_EQUAL(grant(v, &b, 0), CM_CONFLICT);
	CU_ASSERT_TRUE(cm_record_at(v, 0, &r));
	CU_ASSERT_EQUAL(r.state, CM_RECORD_CONFLICTING);
	CU_ASSERT_EQUAL(grant(v, &a, 0), CM_CONFLICT);
	CU_ASSERT_EQUAL(grant(v, &a, 1), CM_GRANTED);
	CU_ASSERT_EQUAL(count(v), 2);
	run_work(v);
	CU_ASSERT_EQUAL(v->stored, 1);
	CU_ASSERT_EQUAL(grant(v, &b, 0), CM_GRANTED);
	stop(v);
}

static void test_conflict_kill(void)
{
	struct cm_vnode *v = start();
	struct cm_token a = { 1 }, b = { 1 };
	uint64_t ca = cm_cursor_sample(v, &a), cb = cm_cursor_sample(v, &b);
	struct rx_error err;

	grant(v, &a, 0);
	grant(v, &b, 0);
	v->answers[0] = refusal(49733388);
	run_work(v);
	CU_ASSERT_EQUAL(v->killed, 1);
	CU_ASSERT_EQUAL(v->forgot, 1);
	CU_ASSERT_EQUAL(v->events, 1);
	CU_ASSERT_EQUAL(v->event.kind, CM_EVENT_KILLED);
	CU_ASSERT_EQUAL(v->lost, 1);
	CU_ASSERT_EQUAL(v->changed, 1);
	CU_ASSERT_EQUAL(cm_cursor_check(v, &a, &ca, &err), -1);
	CU_ASSERT_EQUAL(err.code, 49733388);
	CU_ASSERT_EQUAL(cm_cursor_check(v, &a, &ca, &err), 0);
	CU_ASSERT_EQUAL(cm_cursor_check(v, &b, &cb, &err), 0);
	stop(v);
}

static void test_unseen(void)
{
	struct cm_vnode *v = start();
	struct cm_token a = { 1 };
	uint64_t first, second;

	grant(v, &a, 0);
	v->answers[0] = refusal(13);
	CU_ASSERT_EQUAL(cm_flush(v, NULL, 0, UINT64_MAX, false, NULL), 0);
	first = cm_cursor_sample(v, &a);
	CU_ASSERT_EQUAL(cm_cursor_check(v, &a, &first, NULL), -1);
	second = cm_cursor_sample(v, &a);
	CU_ASSERT_EQUAL(cm_cursor_check(v, &a, &second, NULL), 0);
	stop(v);
}

static void test_quota(void)
{
	struct cm_vnode *v = start();
	struct cm_token a = { 1 };
	uint64_t cursor = cm_cursor_sample(v, &a);
	struct rx_error err;

	grant(v, &a, 0);
	v->answers[0] = refusal(109);
	v->answers[1] = refusal(109);
	CU_ASSERT_EQUAL(cm_flush(v, &a, 0, UINT64_MAX, false, &err), -1);
	CU_ASSERT_EQUAL(err.code, 109);
	CU_ASSERT_EQUAL(cm_flush(v, &a, 0, UINT64_MAX, false, &err), -1);
	CU_ASSERT_EQUAL(count(v), 1);
	CU_ASSERT_EQUAL(cm_flush(v, &a, 0, UINT64_MAX, false, &err), 0);
	CU_ASSERT_EQUAL(v->stored, 1);
	CU_ASSERT_EQUAL(count(v), 0);
	CU_ASSERT_EQUAL(cm_cursor_check(v, &a, &cursor, NULL), 0);
	stop(v);
}

static void test_badcred(void)
{
	struct cm_vnode *v = start();
	struct cm_token a = { 1 };

	grant(v, &a, 0);
	v->refreshable = true;
	rx_error_set(&v->answers[0], RX_ORIGIN_RXKAD, RXKAD_UNKNOWNKEY, EKEYREJECTED, "scripted");
	CU_ASSERT_EQUAL(cm_flush(v, &a, 0, UINT64_MAX, false, NULL), 0);
	CU_ASSERT_EQUAL(v->refreshed, 1);
	CU_ASSERT_EQUAL(v->asked, 2);
	CU_ASSERT_EQUAL(v->stored, 1);
	grant(v, &a, 0); /* the fresh one is disliked too: that is a refusal */
	for (int n = 2; n < 8; n++)
		rx_error_set(&v->answers[n], RX_ORIGIN_RXKAD, RXKAD_BADTICKET, EKEYREJECTED, "scripted");
	CU_ASSERT_EQUAL(cm_flush(v, &a, 0, UINT64_MAX, false, NULL), 0);
	CU_ASSERT_EQUAL(v->refreshed, 2);
	CU_ASSERT_EQUAL(v->asked, 4);
	CU_ASSERT_EQUAL(v->killed, 1);
	stop(v);
}

static void test_expired(void)
{
	struct cm_vnode *v = start();
	struct cm_token a = { 1 };

	grant(v, &a, 0);
	for (int i = 0; i < 2; i++)
		rx_error_set(&v->answers[i], RX_ORIGIN_RXKAD, RXKAD_EXPIRED, EKEYEXPIRED, "scripted");
	CU_ASSERT_EQUAL(cm_flush(v, &a, 0, UINT64_MAX, false, NULL), -1);
	CU_ASSERT_EQUAL(cm_flush(v, &a, 0, UINT64_MAX, false, NULL), -1);
	CU_ASSERT_EQUAL(v->events, 1);
	CU_ASSERT_EQUAL(v->event.kind, CM_EVENT_EXPIRED);
	CU_ASSERT_EQUAL(v->killed, 0);
	CU_ASSERT_EQUAL(cm_flush(v, &a, 0, UINT64_MAX, false, NULL), 0);
	stop(v);
}

static void test_gone(void)
{
	struct cm_vnode *v = start();
	struct cm_token a = { 1 }, b = { 1 };
	uint64_t cb = cm_cursor_sample(v, &b);

	grant(v, &a, 0);
	grant(v, &b, 7);
	v->answers[0] = refusal(102);
	CU_ASSERT_EQUAL(cm_flush(v, &a, 0, CM_PAGE, false, NULL), 0);
	CU_ASSERT_EQUAL(v->killed, 2);
	CU_ASSERT_EQUAL(v->lost, 2);
	CU_ASSERT_EQUAL(count(v), 0);
	CU_ASSERT_EQUAL(cm_cursor_check(v, &b, &cb, NULL), -1);
	stop(v);
}

static void test_truncate(void)
{
	struct cm_vnode *v = start();
	struct cm_token a = { 1 };
	struct cm_record_view r;

	for (uint64_t i = 0; i < 6; i++)
		grant(v, &a, i);
	cm_record_truncate(v, 3 * CM_PAGE + 17);
	CU_ASSERT_TRUE(cm_record_at(v, 3, &r));
	CU_ASSERT_EQUAL(r.last, 3);
	CU_ASSERT_EQUAL(r.to_last, 17);
	cm_record_truncate(v, 2 * CM_PAGE);
	CU_ASSERT_TRUE(cm_record_at(v, 0, &r));
	CU_ASSERT_EQUAL(r.last, 1);
	CU_ASSERT_EQUAL(r.to_last, CM_PAGE);
	cm_record_grant(v, &a, 9, 100, 200, false, &r);
	cm_record_truncate(v, 9 * CM_PAGE + 100);
	CU_ASSERT_FALSE(cm_record_at(v, 9, &r));
	stop(v);
}

static void test_age(void)
{
	struct cm_vnode *v = start();
	struct cm_token a = { 1 };
	uint64_t now = rx_now_us(rx_env_posix());

	grant(v, &a, 0);
	CU_ASSERT(cm_records_age(&v->records, now, 60000000) > now);
	CU_ASSERT_PTR_NULL(v->work);
	cm_records_age(&v->records, now + 61000000, 60000000);
	run_work(v);
	CU_ASSERT_EQUAL(v->stored, 1);
	stop(v);
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
	CU_ASSERT_EQUAL(count(v), 1);
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
	CU_ASSERT_EQUAL(count(v), 1);
	stop(v);
}

static void test_classes(void)
{
	static const struct {
		int32_t code;
		enum cm_store_class class;
	} rows[] = {
		{ 13, CM_STORE_DENIED },       { 49733388, CM_STORE_DENIED }, { 1, CM_STORE_DENIED },
		{ 49733376, CM_STORE_DENIED }, { 102, CM_STORE_GONE },        { 30, CM_STORE_ROFS },
		{ 49733405, CM_STORE_ROFS },   { 27, CM_STORE_FATAL },        { 108, CM_STORE_SPACE },
		{ 109, CM_STORE_SPACE },       { 49733496, CM_STORE_SPACE },  { 110, CM_STORE_BUSY },
		{ -100, CM_STORE_BUSY },       { 106, CM_STORE_BUSY },        { 111, CM_STORE_BUSY },
		{ 5, CM_STORE_BUSY },          { 1235, CM_STORE_EXPIRED },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rx_error e = refusal(rows[i].code);

		CU_ASSERT_EQUAL(cm_store_classify(&e), rows[i].class);
	}
}

UNIT_MAIN("record", { "11 append_prepend_coalesce: A stores pages 2,3,1,4 fully; one record 1..4", test_coalesce },
	  { "12 append_gap: write() 0..100 of page 0, then 200..300 of page 1; two records", test_gap },
	  { "14 rec_max: 600 dirty pages; 3 records", test_max },
	  { "15 interleaved_tokens: pages A B A B A; five records; refuse A's second only; only page 2 killed",
	    test_interleaved },
	  { "18 no_join_after_conflict: r1 CONFLICTING; A stores next page; new record, not r1", test_no_join },
	  { "19 eacces, 21 uae_codes: killed, told once, errno kept, B untouched", test_conflict_kill },
	  { "40 error_to_the_right_one: a handle opened later by A sees an unseen error once", test_unseen },
	  { "24 quota: stays dirty, fsync EDQUOT once per attempt, then stored", test_quota },
	  { "a ticket the server dislikes is replaced once by a fresh one of the same identity", test_badcred },
	  { "33 expired: kept, told once, stored when renewed", test_expired },
	  { "30 deleted_file: VNOVNODE; all records of the vnode killed, each owner told", test_gone },
	  { "56 truncate_cuts_record: bounds shrink, what lies beyond vanishes", test_truncate },
	  { "max_dirty_age: an old record is stored without being asked for", test_age },
	  { "kept after an attempt by age: tried again", test_age_retry },
	  { "VBUSY, then VREADONLY once: kept", test_rofs_once },
	  { "expiry grace begins anew after a renewal", test_grace_anew },
	  { "a coalesced record is as old as its older half", test_coalesce_gen },
	  { "a ticket is disliked and no other can be had: kept", test_badcred_no_fresh },
	  { "3.8 every code has its class", test_classes })
