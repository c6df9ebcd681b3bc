/* The language: lines that are right, lines that are wrong and what is said about them. */
#include "tests/unit.h"
#include "tools/fault/code.h"
#include "tools/fault/rule.h"

static struct fault_rule *parse(const char *text)
{
	struct fault_line line;
	struct rx_error err = { 0 };

	if (fault_parse_line(text, 1, &line, &err))
		printf("\n    %s: %s ", text, err.text);
	CU_ASSERT_EQUAL_FATAL(line.kind, FAULT_LINE_RULE);
	return line.rule;
}

static void test_conditions(void)
{
	struct fault_rule *r =
		parse("p1: packet from server type ack,data flag last,jumbo noflag request-ack reason "
		      "ping-response,delay cid 4 call 2-3 seq 7- serial 0x10 service 52 size 100-200 "
		      "client 10.0.0.1:7001 nth 2-3 every 4 prob 0.25 times 9 after 1.5s before 2min -> drop # no");
	const struct fault_when *w = &r->when;

	CU_ASSERT_STRING_EQUAL(r->name, "p1");
	CU_ASSERT_EQUAL(strncmp(r->text, "packet from", 11), 0);
	CU_ASSERT_STRING_EQUAL(r->text + strlen(r->text) - 7, "-> drop");
	CU_ASSERT_EQUAL(r->side, FAULT_PACKET);
	CU_ASSERT_EQUAL(w->from, FAULT_FROM_SERVER);
	CU_ASSERT_EQUAL(w->types, 1u << 1 | 1u << 2);
	CU_ASSERT_EQUAL(w->flags, 0x24);
	CU_ASSERT_EQUAL(w->noflags, 0x02);
	CU_ASSERT_EQUAL(w->reasons, 1u << 7 | 1u << 8);
	CU_ASSERT(w->cid.lo == 4 && w->cid.hi == 4 && w->call.lo == 2 && w->call.hi == 3);
	CU_ASSERT(w->seq.lo == 7 && w->seq.hi == UINT32_MAX && w->serial.lo == 16 && w->service.hi == 52);
	CU_ASSERT(w->size.lo == 100 && w->size.hi == 200 && w->nth.lo == 2 && w->nth.hi == 3);
	CU_ASSERT(w->client_ip == 0x0a000001 && w->client_port == 7001);
	CU_ASSERT(w->every == 4 && w->prob == 250000 && w->times == 9);
	CU_ASSERT(w->after_us == 1500000 && w->before_us == 120000000);
	fault_rule_free(r);
	r = parse("rpc name vl_Get* user \"a b\" fid 5.*.7 volume root.cell prob 5% -> pass");
	w = &r->when;
	CU_ASSERT(r->side == FAULT_RPC && !r->name[0] && w->prob == 50000);
	CU_ASSERT_STRING_EQUAL(w->name, "vl_Get*");
	CU_ASSERT_STRING_EQUAL(w->user, "a b");
	CU_ASSERT_STRING_EQUAL(w->volume, "root.cell");
	CU_ASSERT(w->fid_volume == 5 && w->fid_vnode == 0 && w->fid_unique == 7);
	fault_rule_free(r);
}

static void test_actions(void)
{
	static const struct {
		const char *rule;
		enum fault_op op;
		int64_t number;
		uint64_t time_us;
		bool flag;
		const char *text;
	} t[] = {
		{ "packet -> pass", FAULT_PASS, 0, 0, false, "" },
		{ "rpc -> note", FAULT_NOTE, 0, 0, false, "" },
		{ "packet -> delay 20ms", FAULT_DELAY, 0, 20000, false, "" },
		{ "packet -> hold gate", FAULT_HOLD, 0, 0, false, "gate" },
		{ "packet -> drop", FAULT_DROP, 0, 0, false, "" },
		{ "packet -> burst 4", FAULT_BURST, 4, 0, false, "" },
		{ "packet -> jitter 5us", FAULT_JITTER, 0, 5, false, "" },
		{ "packet -> reorder 3 within 1s", FAULT_REORDER, 3, 1000000, false, "" },
		{ "packet -> duplicate", FAULT_DUPLICATE, 1, 0, false, "" },
		{ "packet -> duplicate 3", FAULT_DUPLICATE, 3, 0, false, "" },
		{ "packet -> duplicate gap 1ms", FAULT_DUPLICATE, 1, 1000, false, "" },
		{ "packet -> duplicate 2 gap 1ms", FAULT_DUPLICATE, 2, 1000, false, "" },
		{ "packet -> truncate 27", FAULT_TRUNCATE, 27, 0, false, "" },
		{ "packet -> flip 2", FAULT_FLIP, 2, 0, false, "" },
		{ "packet -> limit 1.5M queue 64K", FAULT_LIMIT, 1572864, 65536, false, "" },
		{ "packet -> partition", FAULT_PARTITION, 0, 0, false, "" },
		{ "packet -> partition 2s", FAULT_PARTITION, 0, 2000000, false, "" },
		{ "packet -> rebind", FAULT_REBIND, 0, 0, false, "" },
		{ "packet -> mtu 576", FAULT_MTU, 576, 0, false, "" },
		{ "packet -> mtu 576 icmp", FAULT_MTU, 576, 0, true, "" },
		{ "rpc -> delay 1s", FAULT_DELAY, 0, 1000000, false, "" },
		{ "rpc -> hold g", FAULT_HOLD, 0, 0, false, "g" },
		{ "rpc -> abort VBUSY", FAULT_ABORT, 110, 0, false, "VBUSY" },
		{ "rpc -> abort -455", FAULT_ABORT, -455, 0, false, "-455" },
		{ "rpc -> abort RXKAD_EXPIRED", FAULT_ABORT, 19270409, 0, false, "RXKAD_EXPIRED" },
		{ "rpc -> abort UNOQUORUM # ubik", FAULT_ABORT, 5376, 0, false, "UNOQUORUM" },
		{ "rpc -> lose-reply", FAULT_LOSE_REPLY, 0, 0, false, "" },
		{ "rpc -> cut 4K", FAULT_CUT, 4096, 0, false, "" },
		{ "rpc -> length -4", FAULT_LENGTH, -4, 0, false, "" },
		{ "rpc -> length +4", FAULT_LENGTH, 4, 0, false, "" },
		{ "rpc -> array short 2", FAULT_ARRAY, 2, 0, false, "" },
		{ "rpc -> array long 1000", FAULT_ARRAY, 1000, 0, true, "" },
		{ "rpc -> garbage 100", FAULT_GARBAGE, 100, 0, false, "" },
		{ "rpc -> lie 7", FAULT_LIE, 7, 0, false, "" },
		{ "rpc -> lie any", FAULT_LIE, -1, 0, false, "" },
		{ "rpc -> break before", FAULT_BREAK, FAULT_BEFORE, 0, false, "" },
		{ "rpc -> break during", FAULT_BREAK, FAULT_DURING, 0, false, "" },
		{ "rpc -> break after", FAULT_BREAK, FAULT_AFTER, 0, false, "" },
		{ "rpc -> revoke wi", FAULT_REVOKE, 0, 0, false, "wi" },
		{ "rpc -> change", FAULT_CHANGE, 0, 0, false, "" },
		{ "rpc -> change \"new text\"", FAULT_CHANGE, 0, 0, true, "new text" },
		{ "rpc -> busy 3", FAULT_BUSY, 3, 0, false, "" },
		{ "rpc -> moved 10.0.0.2", FAULT_MOVED, 0, 0, false, "10.0.0.2" },
		{ "rpc -> offline", FAULT_OFFLINE, 0, 0, false, "" },
		{ "rpc -> salvage", FAULT_SALVAGE, 0, 0, false, "" },
		{ "rpc -> no-quorum", FAULT_NO_QUORUM, 0, 0, false, "" },
		{ "rpc -> expire", FAULT_EXPIRE, 0, 0, false, "" },
		{ "rpc -> restart", FAULT_RESTART, 0, 0, false, "" },
		{ "rpc -> restart down 3s", FAULT_RESTART, 0, 3000000, false, "" },
		{ "rpc -> clock +5min", FAULT_CLOCK, 300000000, 0, false, "" },
		{ "rpc -> clock -30s", FAULT_CLOCK, -30000000, 0, false, "" },
	};
	uint64_t seen = 0;

	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct fault_rule *r = parse(t[i].rule);

		CU_ASSERT_EQUAL(r->action.op, t[i].op);
		CU_ASSERT_EQUAL(r->action.number, t[i].number);
		CU_ASSERT_EQUAL(r->action.time_us, t[i].time_us);
		CU_ASSERT_EQUAL(r->action.flag, t[i].flag);
		CU_ASSERT_STRING_EQUAL(r->action.text, t[i].text);
		CU_ASSERT(strstr(t[i].rule, fault_op_name(t[i].op)) != NULL);
		seen |= 1ull << t[i].op;
		fault_rule_free(r);
	}
	CU_ASSERT_EQUAL(seen, (1ull << FAULT_OPS) - 1);
}

/* Every complaint, its column, and what was expected. */
static void test_errors(void)
{
	static const struct {
		const char *rule, *says;
	} t[] = {
		{ "foo", "line 7, column 1: expected NAME:, packet, rpc or seed, not \"foo\"" },
		{ "x: foo", "column 4: expected packet or rpc, not \"foo\"" },
		{ ": packet -> drop", "column 1: expected a name of 1 to 31 characters before the colon" },
		{ "seed x", "column 6: expected a number of at least 0, not \"x\"" },
		{ "seed 1 2", "column 8: expected the end of the line after the seed, not \"2\"" },
		{ "packet", "column 7: expected -> or a condition (from, type," },
		{ "packet user bob -> drop", "column 8: expected -> or a condition (from," },
		{ "rpc seq 3 -> pass", "column 5: expected -> or a condition (name, user, fid, volume, client," },
		{ "packet from nowhere -> drop", "column 13: expected client or server, not \"nowhere\"" },
		{ "packet from", "column 12: expected client or server, not the end of the line" },
		{ "packet seq 1 seq 2 -> drop", "column 14: expected each condition once, not \"seq\"" },
		{ "packet type data,foo -> drop", "column 18: expected packet types (data, ack, busy, abort, ackall, "
						  "challenge, response, debug or version), not \"foo\"" },
		{ "packet flag first -> drop", "column 13: expected flags (client-initiated, request-ack," },
		{ "packet noflag first -> drop", "column 15: expected flags (" },
		{ "packet reason lazy -> drop", "column 15: expected ACK reasons (requested, duplicate," },
		{ "packet seq 5-3 -> drop",
		  "column 12: expected a number or a range such as 3, 3-7 or 3-, not \"5-3\"" },
		{ "packet call x -> drop", "column 13: expected a number or a range" },
		{ "packet size 99999999999 -> drop", "column 13: expected a number or a range" },
		{ "packet nth 0 -> drop", "column 12: expected a count from 1, not \"0\"" },
		{ "packet every 0 -> drop", "column 14: expected a number from 1 to 4294967295, not \"0\"" },
		{ "packet times -> drop", "column 14: expected a number from 1 to 4294967295, not \"->\"" },
		{ "packet prob 120% -> drop", "column 13: expected a probability such as 5% or 0.05, not \"120%\"" },
		{ "packet prob nan -> drop", "column 13: expected a probability" },
		{ "packet after 5 -> drop",
		  "column 14: expected a duration such as 20ms or 1.5s (us, ms, s or min), not \"5\"" },
		{ "packet before soon -> drop", "column 15: expected a duration" },
		{ "packet client there -> drop", "column 15: expected an address such as 10.0.0.1 or 10.0.0.1:7001" },
		{ "packet client 10.0.0.1:99999 -> drop", "column 15: expected an address" },
		{ "rpc name StoreDat -> pass",
		  "column 10: expected a procedure that exists, such as StoreData or vl_*" },
		{ "rpc fid 1.2 -> pass",
		  "column 9: expected a fid such as 536870915.2.3 or 536870915.*.*, not \"1.2\"" },
		{ "rpc user \"bob -> pass", "column 10: expected a second \" before the end of the line" },
		{ "packet ->", "column 10: expected an action (pass, note, delay, hold, drop," },
		{ "packet -> dorp", "column 11: expected an action (pass, note, delay, hold, drop," },
		{ "packet -> drop it", "column 16: expected the end of the line after drop, not \"it\"" },
		{ "rpc -> drop", "column 8: expected an action (pass, note, delay, hold, abort," },
		{ "packet -> delay", "column 16: expected a duration" },
		{ "packet -> hold", "column 15: expected a name to release it by of at most 63 characters" },
		{ "packet -> burst 0", "column 17: expected a number from 1 to 1000000, not \"0\"" },
		{ "packet -> reorder 3", "column 20: expected within, and the longest time to wait, not the end" },
		{ "packet -> limit 0 queue 1", "column 17: expected a rate above 0" },
		{ "packet -> limit 1M", "column 19: expected queue, and its size in bytes, not the end of the line" },
		{ "packet -> limit fast queue 1", "column 17: expected a number of bytes a second such as 1444" },
		{ "packet -> mtu 20", "column 15: expected a number from 68 to 65535, not \"20\"" },
		{ "packet -> truncate -1", "column 20: expected a number of bytes such as" },
		{ "packet -> duplicate 0", "column 21: expected a number from 1 to 100" },
		{ "rpc -> abort VBUZY",
		  "column 14: expected an abort code such as VBUSY, UAENOSPC or -455, not \"VBUZY\"" },
		{ "rpc -> length much", "column 15: expected a number with its sign, such as +4 or -4" },
		{ "rpc -> array wide 3", "column 14: expected short or long, not \"wide\"" },
		{ "rpc -> break never", "column 14: expected before, during or after, not \"never\"" },
		{ "rpc -> revoke xyz", "column 15: expected rights out of rlidwka, not \"xyz\"" },
		{ "rpc -> moved away", "column 14: expected an address" },
		{ "rpc -> clock 5s", "column 14: expected a step with its sign, such as +5min or -30s, not \"5s\"" },
		{ "rpc -> clock +5", "column 15: expected a duration" },
	};
	char word[200];
	struct fault_line line;
	struct rx_error err;

	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		CU_ASSERT_EQUAL(fault_parse_line(t[i].rule, 7, &line, &err), -1);
		if (!strstr(err.text, t[i].says) || strncmp(err.text, "line 7, ", 8))
			printf("\n    %s\n    says %s\n    not %s ", t[i].rule, err.text, t[i].says);
		CU_ASSERT(strstr(err.text, t[i].says) && !strncmp(err.text, "line 7, ", 8));
	}
	memset(word, 'x', sizeof word - 1);
	word[sizeof word - 1] = '\0';
	CU_ASSERT_EQUAL(fault_parse_line(word, 1, &line, &err), -1);
	CU_ASSERT(strstr(err.text, "column 1: this word is too long") != NULL);
}

static void test_empty(void)
{
	struct fault_line line;

	CU_ASSERT(!fault_parse_line("", 1, &line, NULL) && line.kind == FAULT_LINE_EMPTY);
	CU_ASSERT(!fault_parse_line(" \t# packet -> drop\n", 1, &line, NULL) && line.kind == FAULT_LINE_EMPTY);
	CU_ASSERT(!fault_parse_line("seed 42 # x\n", 1, &line, NULL) && line.kind == FAULT_LINE_SEED &&
		  line.seed == 42);
}

static void test_codes(void)
{
	int32_t code;

	CU_ASSERT(fault_code_by_name("VNOVOL", &code) && code == 103);
	CU_ASSERT(fault_code_by_name("RX_CALL_DEAD", &code) && code == -1);
	CU_ASSERT(fault_code_by_name("EACCES", &code) && code == 13);
	CU_ASSERT(fault_code_by_name("UAEPERM", &code) && code == 49733376);
	CU_ASSERT(fault_code_by_name("UAEDQUOT", &code) && code > 49733376);
	CU_ASSERT(fault_code_by_name("-1", &code) && code == -1);
	CU_ASSERT(!fault_code_by_name("0", &code) && !fault_code_by_name("", &code));
	CU_ASSERT(!fault_code_by_name("99999999999", &code) && !fault_code_by_name("UAENOTHING", &code));
}

/* No line, however cut or scrambled, does more than fail. */
static void test_scrambled(void)
{
	static const char good[] =
		"p1: packet from server type ack,data reason ping prob 5% nth 2-3 -> limit 1M queue 64K #x";
	static const char bytes[] = " \t\"#:->,.-0123456789x%*\x80\xff";
	char text[sizeof good];
	uint32_t dice = 1;

	for (unsigned i = 0; i < 50000; i++) {
		struct fault_line line;

		memcpy(text, good, sizeof good);
		for (unsigned k = 0; k < 1 + i % 4; k++) {
			dice = dice * 1664525 + 1013904223;
			text[(dice >> 8) % (sizeof good - 1)] = bytes[(dice >> 20) % (sizeof bytes - 1)];
		}
		if (!(i % 3))
			text[(dice >> 4) % sizeof good] = '\0';
		if (!fault_parse_line(text, 1, &line, NULL))
			fault_rule_free(line.rule);
	}
}

UNIT_MAIN("fault_parse", { "every condition", test_conditions }, { "every action", test_actions },
	  { "what is wrong, where, and what was expected", test_errors }, { "empty lines, comments, seed", test_empty },
	  { "abort codes by name", test_codes }, { "scrambled lines do no harm", test_scrambled })
