/* Stores of a vnode through the whole cache manager: lengths, and files that are gone. The
 * server has one file, the space is a stand-in. */
#include <errno.h>

#include "tests/one_file.h"
#include "tests/unit.h"

static uint8_t zeros[16 * CM_PAGE];

/* The space: gives zeros for what the record covers. */
static int prepare(void *space, const struct cm_record_view *r, bool broken, struct cm_plan *plan)
{
	uint64_t from = r->first * CM_PAGE + r->off_first, to = r->last * CM_PAGE + r->to_last;

	(void)space, (void)broken;
	plan->runs = calloc(1, sizeof(*plan->runs));
	plan->nruns = 1;
	plan->runs[0] = (struct cm_run){ from, to - from, zeros };
	return 0;
}

static int salvage(void *space, const struct cm_record_view *r, struct cm_plan *plan)
{
	return prepare(space, r, true, plan);
}

static void settle(void *space, const struct cm_record_view *r, enum cm_verdict verdict)
{
	(void)space;
	if (verdict != CM_VERDICT_KEEP)
		cm_settle_size(server.file, r->seq);
}

static void changed(void *space)
{
	(void)space;
}

static const struct cm_space_ops ops = {
	.prepare = prepare, .salvage = salvage, .settle = settle, .changed = changed, .invalidate = changed
};

static void start(void)
{
	one_file_start(100, 0);
	cm_space_attach(server.file, &ops, server.file);
}

static void stop(void)
{
	cm_record_truncate(server.file, 0);
	cm_space_detach(server.file);
	one_file_stop();
}

static void grant(struct cm_token *t, uint64_t page)
{
	struct cm_record_view r;

	CU_ASSERT_EQUAL(cm_record_grant(server.file, t, page, 0, CM_PAGE, false, &r), CM_GRANTED);
}

/* The file was removed on the server: StoreData says VNOVNODE. */
static void test_gone_on_store(void)
{
	struct cm_record_view r;
	uint64_t cursor;

	start();
	cursor = cm_cursor_sample(server.file, server.a);
	grant(server.a, 0);
	server.store_code = 102;
	CU_ASSERT_EQUAL(cm_flush(server.file, server.a, 0, UINT64_MAX, false, NULL), 0);
	CU_ASSERT_FALSE(cm_record_next(server.file, 0, &r));
	CU_ASSERT_EQUAL(cm_cursor_check(server.file, server.a, &cursor, NULL), -1);
	stop();
}

/* The break for the removal has come: it is FetchStatus before the store that says so. */
static void test_gone_on_status(void)
{
	start();
	grant(server.a, 0);
	server.store_code = server.status_code = 102;
	cm_vnode_break(server.file);
	CU_ASSERT_EQUAL(cm_flush(server.file, server.a, 0, UINT64_MAX, false, NULL), 0);
	CU_ASSERT_EQUAL(cm_records_dirty(&server.file->records), 0);
	stop();
}

/* B has extended the file and that is not stored: A's store says nothing of it. */
static void test_file_length(void)
{
	start();
	grant(server.a, 0);
	cm_extend(server.file, 11 * CM_PAGE);
	grant(server.b, 10);
	CU_ASSERT_EQUAL(cm_flush(server.file, server.a, 0, UINT64_MAX, false, NULL), 0);
	CU_ASSERT_EQUAL(server.last_file_length, CM_PAGE);
	CU_ASSERT_EQUAL(server.length, CM_PAGE);
	stop();
}

/* B's extension is refused and killed: the file is as long as before, here and, after A's
 * store, there. */
static void test_killed_extension(void)
{
	start();
	grant(server.a, 0);
	cm_extend(server.file, 11 * CM_PAGE);
	grant(server.b, 10);
	server.store_code = 13;
	CU_ASSERT_EQUAL(cm_flush(server.file, server.b, 0, UINT64_MAX, false, NULL), 0);
	server.store_code = 0;
	CU_ASSERT_EQUAL(cm_size(server.file), CM_PAGE); /* what A has written */
	CU_ASSERT_EQUAL(cm_flush(server.file, server.a, 0, UINT64_MAX, false, NULL), 0);
	CU_ASSERT_EQUAL(server.length, CM_PAGE);
	stop();
}

/* Bytes that are there, as the reply's own status says, but do not come, are not zeros. */
static void test_short_reply(void)
{
	struct rx_error err = { 0 };
	uint8_t bytes[100];
	uint64_t version;
	size_t got;

	start();
	CU_ASSERT_EQUAL(cm_fetch(server.file, server.a, 0, bytes, sizeof(bytes), &got, &version, &err), 0);
	CU_ASSERT_EQUAL(got, 100);
	CU_ASSERT_EQUAL(cm_fetch(server.file, server.a, 60, bytes, sizeof(bytes), &got, &version, &err), 0);
	CU_ASSERT_EQUAL(got, 40);
	server.keeps_back = 4;
	CU_ASSERT_EQUAL(cm_fetch(server.file, server.a, 0, bytes, sizeof(bytes), &got, &version, &err), -1);
	CU_ASSERT_EQUAL(err.errnum, EIO);
	CU_ASSERT_EQUAL(cm_fetch(server.file, server.a, 60, bytes, sizeof(bytes), &got, &version, &err), -1);
	CU_ASSERT_EQUAL(err.errnum, EIO);
	stop();
}

UNIT_MAIN("file store", { "a reply shorter than its own status says is an error", test_short_reply },
	  { "FileLength of A's store does not carry B's unstored extension", test_file_length },
	  { "B's killed extension is gone", test_killed_extension },
	  { "VNOVNODE from StoreData: the flush ends, the record is killed", test_gone_on_store },
	  { "VNOVNODE from the FetchStatus before it: the flush ends, the record is killed", test_gone_on_status })
