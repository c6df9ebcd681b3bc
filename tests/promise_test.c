/* Every interleaving of requests, replies and breaks that the promise rules name, on the
 * pure functions of cm/promise.c. q: request sent, r: reply came, B: break came. */
#include "cm/promise.h"
#include "tests/unit.h"

static const int server_a, server_b;

struct side {
	struct cm_promise p;
	uint64_t vol_gen, srv_gen, now_us;
};

static struct cm_noted q(struct side *s)
{
	struct cm_noted n;

	cm_promise_note(&s->p, s->vol_gen, s->srv_gen, &server_a, s->now_us, &n);
	return n;
}

static bool r_for(struct side *s, const struct cm_noted *n, uint32_t life_s, const void *server)
{
	struct cm_reply_facts f = {
		.vol_gen = s->vol_gen, .srv_gen = s->srv_gen, .server = server, .promised = true, .expiration_s = life_s
	};

	return cm_promise_install(&s->p, n, &f);
}

static bool r(struct side *s, const struct cm_noted *n)
{
	return r_for(s, n, 14400, &server_a);
}

static bool good(const struct side *s)
{
	return cm_promise_good(&s->p, s->vol_gen, s->srv_gen, s->now_us);
}

static void test_1_normal(void)
{
	struct side s = { 0 };
	struct cm_noted n = q(&s);

	CU_ASSERT(r(&s, &n));
	CU_ASSERT(good(&s));
	CU_ASSERT(cm_promise_break(&s.p));
	CU_ASSERT_FALSE(good(&s));
}

static void test_2_3_break_before_reply(void)
{
	struct side s = { 0 };
	struct cm_noted n = q(&s);

	CU_ASSERT_FALSE(cm_promise_break(&s.p));
	CU_ASSERT_FALSE(r(&s, &n));
	CU_ASSERT_FALSE(good(&s));
	/* 3: the break was of an older promise: one promise is lost, no harm. */
	n = q(&s);
	CU_ASSERT(r(&s, &n));
	n = q(&s);
	CU_ASSERT(cm_promise_break(&s.p));
	CU_ASSERT_FALSE(r(&s, &n));
	n = q(&s);
	CU_ASSERT(r(&s, &n));
	CU_ASSERT(good(&s));
}

static void test_5_replies_overtake(void)
{
	struct side s = { 0 };
	struct cm_noted q1 = q(&s), q2 = q(&s);

	CU_ASSERT(r(&s, &q2));
	cm_promise_break(&s.p);
	CU_ASSERT_FALSE(r(&s, &q1));
	CU_ASSERT_FALSE(good(&s));
	CU_ASSERT_EQUAL(cm_version_order(7, 6), CM_ORDER_OLDER);
}

static void test_6_7_own_store(void)
{
	/* 6: nobody else: the promise stays, the version moves by one. */
	CU_ASSERT(cm_version_is_ours(7, 8, 1));
	CU_ASSERT(cm_version_is_ours(7, 7, 0));
	/* 7: others wrote. */
	CU_ASSERT_FALSE(cm_version_is_ours(7, 9, 1));
	CU_ASSERT_FALSE(cm_version_is_ours(7, 8, 0));
	CU_ASSERT_FALSE(cm_version_is_ours(7, 7, 1));
	/* Servers count in 32 bits. */
	CU_ASSERT(cm_version_is_ours(UINT32_MAX, 0, 1));
	CU_ASSERT(cm_version_is_ours((uint64_t)UINT32_MAX, (uint64_t)UINT32_MAX + 1, 1));
	CU_ASSERT_FALSE(cm_version_is_ours(100, 0, 1));
}

static void test_under_way(void)
{
	CU_ASSERT(cm_version_is_under_way(7, 8, true, true));
	/* The promise went: it may be anybody's. Ours would move it by one. */
	CU_ASSERT_FALSE(cm_version_is_under_way(7, 8, false, true));
	CU_ASSERT_FALSE(cm_version_is_under_way(7, 8, true, false));
	CU_ASSERT_FALSE(cm_version_is_under_way(7, 9, true, true));
	CU_ASSERT_FALSE(cm_version_is_under_way(7, 7, true, true));
}

static void test_10_reset(void)
{
	struct side s = { 0 };
	struct cm_noted n = q(&s);

	s.srv_gen++;
	CU_ASSERT_FALSE(r(&s, &n));
	n = q(&s);
	CU_ASSERT(r(&s, &n));
	s.srv_gen++;
	CU_ASSERT_FALSE(good(&s));
}

static void test_11_volume_break(void)
{
	struct side s = { 0 };
	struct cm_noted n = q(&s);

	s.vol_gen++;
	CU_ASSERT_FALSE(r(&s, &n));
	n = q(&s);
	CU_ASSERT(r(&s, &n));
	s.vol_gen++;
	CU_ASSERT_FALSE(good(&s));
}

static void test_other_server(void)
{
	struct side s = { 0 };
	struct cm_noted n = q(&s);

	CU_ASSERT_FALSE(r_for(&s, &n, 14400, &server_b));
}

static void test_time(void)
{
	struct side s = { .now_us = 5000000 };
	struct cm_noted n = q(&s);

	/* Counted from when the request was sent, not from the reply. */
	s.now_us += 30 * 1000000u;
	CU_ASSERT(r_for(&s, &n, 60, &server_a));
	s.now_us = 5000000 + 44999999;
	CU_ASSERT(good(&s));
	s.now_us = 5000000 + 45000000;
	CU_ASSERT_FALSE(good(&s));
	/* A shorter promise does not replace a longer one. */
	n = q(&s);
	CU_ASSERT(r_for(&s, &n, 1000, &server_a));
	CU_ASSERT(r_for(&s, &n, 100, &server_a));
	s.now_us += 949 * (uint64_t)1000000;
	CU_ASSERT(good(&s));
	/* One that the guard eats is none. */
	cm_promise_break(&s.p);
	n = q(&s);
	CU_ASSERT_FALSE(r_for(&s, &n, 15, &server_a));
	CU_ASSERT_FALSE(r_for(&s, &n, 0, &server_a));
	CU_ASSERT_EQUAL(cm_promise_usable_us(14400), 13680 * (uint64_t)1000000);
	CU_ASSERT_EQUAL(cm_promise_usable_us(UINT32_MAX), (UINT32_MAX - UINT32_MAX / 20) * (uint64_t)1000000);
}

static void test_read_only_without_time(void)
{
	struct side s = { 0 };
	struct cm_noted n = q(&s);
	struct cm_reply_facts f = { .server = &server_a, .promised = true, .read_only = true };

	CU_ASSERT(cm_promise_install(&s.p, &n, &f));
	s.now_us = 500 * (uint64_t)1000000;
	CU_ASSERT(good(&s));
	s.now_us = 600 * (uint64_t)1000000;
	CU_ASSERT_FALSE(good(&s));
}

static void test_versions(void)
{
	CU_ASSERT_EQUAL(cm_version_order(5, 5), CM_ORDER_SAME);
	CU_ASSERT_EQUAL(cm_version_order(5, 6), CM_ORDER_NEWER);
	CU_ASSERT_EQUAL(cm_version_order(0xffffff01u, 3), CM_ORDER_NEWER);
	CU_ASSERT_EQUAL(cm_version_order(0xffffff00u, 3), CM_ORDER_OLDER);
	CU_ASSERT_EQUAL(cm_version_order(0x1ffffff01u, 3), CM_ORDER_OLDER);
}

UNIT_MAIN("promise", { "1 normal", test_1_normal },
	  { "2, 3, CM-21, CM-22, RPC-37 break before reply", test_2_3_break_before_reply },
	  { "5, CM-23 replies overtake", test_5_replies_overtake }, { "6, 7 own store", test_6_7_own_store },
	  { "a status shows our own store before its reply does", test_under_way },
	  { "10, CM-24 reset between q and r", test_10_reset },
	  { "11, CM-26 volume break between q and r", test_11_volume_break },
	  { "another server answers", test_other_server }, { "CM-27, RPC-36 time", test_time },
	  { "read-only promise without a time", test_read_only_without_time },
	  { "order of versions, wrap", test_versions })
