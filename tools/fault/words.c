/* Conditions and actions of the language, each declared once: see words.h. The order of
 * the tables is the order in which errors list them. */
#include "tools/fault/words.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "rx/ack.h"
#include "rx/packet.h"
#include "tools/fault/code.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
enum { REASONS = RX_ACK_IDLE + 1 };

/* "out-of-sequence" is OUT_OF_SEQUENCE. */
static bool same_word(const char *written, const char *name)
{
	for (; *written && *name; written++, name++) {
		if (strncasecmp(*written == '-' ? "_" : written, name, 1))
			return false;
	}
	return *written == *name;
}

static int type_number(const char *item)
{
	for (unsigned t = 1; t < RX_PACKET_TYPES; t++) {
		if (same_word(item, rx_packet_type_name(t)))
			return (int)t;
	}
	return -1;
}

static int reason_number(const char *item)
{
	for (unsigned r = 1; r < REASONS; r++) {
		if (same_word(item, rx_ack_reason_name(r)))
			return (int)r;
	}
	return -1;
}

static int flag_number(const char *item)
{
	static const char *const names[] = { "client-initiated", "request-ack", "last", "more", NULL, "jumbo" };

	for (unsigned i = 0; i < COUNT(names); i++) {
		if (names[i] && !strcmp(item, names[i]))
			return (int)i;
	}
	return -1;
}

static int read_from(struct fault_lexer *lx, struct fault_when *w)
{
	if (fault_lexer_next(lx))
		return -1;
	if (!strcmp(lx->word, "client"))
		w->from = FAULT_FROM_CLIENT;
	else if (!strcmp(lx->word, "server"))
		w->from = FAULT_FROM_SERVER;
	else
		return fault_lexer_expected(lx, "client or server");
	return 0;
}

static int read_type(struct fault_lexer *lx, struct fault_when *w)
{
	return fault_lexer_set(lx,
			       "packet types (data, ack, busy, abort, ackall, challenge, response, debug or version)",
			       type_number, &w->types);
}

static int read_reason(struct fault_lexer *lx, struct fault_when *w)
{
	return fault_lexer_set(lx,
			       "ACK reasons (requested, duplicate, out-of-sequence, exceeds-window, nospace, ping, "
			       "ping-response, delay or idle)",
			       reason_number, &w->reasons);
}

static int read_flags(struct fault_lexer *lx, uint8_t *out)
{
	uint32_t bits;

	if (fault_lexer_set(lx, "flags (client-initiated, request-ack, last, more or jumbo)", flag_number, &bits))
		return -1;
	*out = (uint8_t)bits;
	return 0;
}

static int read_flag(struct fault_lexer *lx, struct fault_when *w)
{
	return read_flags(lx, &w->flags);
}

static int read_noflag(struct fault_lexer *lx, struct fault_when *w)
{
	return read_flags(lx, &w->noflags);
}

#define READ_RANGE(field)                                                                                              \
	static int read_##field(struct fault_lexer *lx, struct fault_when *w)                                          \
	{                                                                                                              \
		return fault_lexer_range(lx, &w->field);                                                               \
	}
READ_RANGE(cid)
READ_RANGE(call)
READ_RANGE(seq)
READ_RANGE(serial)
READ_RANGE(service)
READ_RANGE(size)

static int read_nth(struct fault_lexer *lx, struct fault_when *w)
{
	if (fault_lexer_range(lx, &w->nth))
		return -1;
	return w->nth.lo ? 0 : fault_lexer_expected(lx, "a count from 1");
}

static int read_count(struct fault_lexer *lx, uint32_t *out)
{
	uint64_t n;

	if (fault_lexer_number(lx, 1, UINT32_MAX, &n))
		return -1;
	*out = (uint32_t)n;
	return 0;
}

static int read_every(struct fault_lexer *lx, struct fault_when *w)
{
	return read_count(lx, &w->every);
}

static int read_times(struct fault_lexer *lx, struct fault_when *w)
{
	return read_count(lx, &w->times);
}

static int read_prob(struct fault_lexer *lx, struct fault_when *w)
{
	return fault_lexer_probability(lx, &w->prob);
}

static int read_after(struct fault_lexer *lx, struct fault_when *w)
{
	return fault_lexer_duration(lx, &w->after_us);
}

static int read_before(struct fault_lexer *lx, struct fault_when *w)
{
	return fault_lexer_duration(lx, &w->before_us);
}

static int read_client(struct fault_lexer *lx, struct fault_when *w)
{
	return fault_lexer_address(lx, &w->client_ip, &w->client_port);
}

static int read_server(struct fault_lexer *lx, struct fault_when *w)
{
	return fault_lexer_address(lx, &w->server_ip, &w->server_port);
}

static int read_name(struct fault_lexer *lx, struct fault_when *w)
{
	if (fault_lexer_text(lx, "a procedure's name", w->name))
		return -1;
	return fault_rpc_known(w->name)
		       ? 0
		       : fault_lexer_expected(lx, "a procedure that exists, such as StoreData or vl_*");
}

static int read_user(struct fault_lexer *lx, struct fault_when *w)
{
	return fault_lexer_text(lx, "a user's name", w->user);
}

static int read_volume(struct fault_lexer *lx, struct fault_when *w)
{
	return fault_lexer_text(lx, "a volume's name or number", w->volume);
}

/* One part of a fid: a number or *. */
static bool fid_part(const char **p, char end, uint32_t *out)
{
	unsigned long v = 0;
	int n = 0;

	if (**p == '*') {
		n = 1;
	} else if (sscanf(*p, "%lu%n", &v, &n) != 1 || **p < '0' || **p > '9' || !v || v > UINT32_MAX) {
		return false;
	}
	*out = (uint32_t)v;
	*p += n;
	return *(*p)++ == end;
}

static int read_fid(struct fault_lexer *lx, struct fault_when *w)
{
	const char *p = lx->word;

	if (fault_lexer_next(lx))
		return -1;
	if (!fid_part(&p, '.', &w->fid_volume) || !fid_part(&p, '.', &w->fid_vnode) ||
	    !fid_part(&p, '\0', &w->fid_unique))
		return fault_lexer_expected(lx, "a fid such as 536870915.2.3 or 536870915.*.*");
	return 0;
}

static const struct fault_condition_word conditions[] = {
	{ "from", FAULT_ON_PACKET, FAULT_IF_FROM, read_from },
	{ "type", FAULT_ON_PACKET, FAULT_IF_TYPE, read_type },
	{ "flag", FAULT_ON_PACKET, FAULT_IF_FLAG, read_flag },
	{ "noflag", FAULT_ON_PACKET, FAULT_IF_NOFLAG, read_noflag },
	{ "reason", FAULT_ON_PACKET, FAULT_IF_REASON, read_reason },
	{ "cid", FAULT_ON_PACKET, FAULT_IF_CID, read_cid },
	{ "call", FAULT_ON_PACKET, FAULT_IF_CALL, read_call },
	{ "seq", FAULT_ON_PACKET, FAULT_IF_SEQ, read_seq },
	{ "serial", FAULT_ON_PACKET, FAULT_IF_SERIAL, read_serial },
	{ "service", FAULT_ON_PACKET, FAULT_IF_SERVICE, read_service },
	{ "size", FAULT_ON_PACKET, FAULT_IF_SIZE, read_size },
	{ "name", FAULT_ON_RPC, FAULT_IF_NAME, read_name },
	{ "user", FAULT_ON_RPC, FAULT_IF_USER, read_user },
	{ "fid", FAULT_ON_RPC, FAULT_IF_FID, read_fid },
	{ "volume", FAULT_ON_RPC, FAULT_IF_VOLUME, read_volume },
	{ "client", FAULT_ON_BOTH, FAULT_IF_CLIENT, read_client },
	{ "server", FAULT_ON_BOTH, FAULT_IF_SERVER, read_server },
	{ "nth", FAULT_ON_BOTH, FAULT_IF_NTH, read_nth },
	{ "every", FAULT_ON_BOTH, FAULT_IF_EVERY, read_every },
	{ "prob", FAULT_ON_BOTH, FAULT_IF_PROB, read_prob },
	{ "times", FAULT_ON_BOTH, FAULT_IF_TIMES, read_times },
	{ "after", FAULT_ON_BOTH, FAULT_IF_AFTER, read_after },
	{ "before", FAULT_ON_BOTH, FAULT_IF_BEFORE, read_before },
};

static int act_count(struct fault_lexer *lx, struct fault_action *a)
{
	uint64_t n;

	if (fault_lexer_number(lx, 1, 1000000, &n))
		return -1;
	a->number = (int64_t)n;
	return 0;
}

/* duplicate [COPIES] [gap T] */
static int act_duplicate(struct fault_lexer *lx, struct fault_action *a)
{
	uint64_t n = 1;

	a->number = 1;
	if (fault_lexer_end(lx))
		return 0;
	if (!fault_lexer_accept(lx, "gap")) {
		if (fault_lexer_number(lx, 1, 100, &n))
			return -1;
		a->number = (int64_t)n;
		if (!fault_lexer_accept(lx, "gap"))
			return 0;
	}
	return fault_lexer_duration(lx, &a->time_us);
}

static int act_time(struct fault_lexer *lx, struct fault_action *a)
{
	return fault_lexer_duration(lx, &a->time_us);
}

static int act_optional_time(struct fault_lexer *lx, struct fault_action *a)
{
	return fault_lexer_end(lx) ? 0 : fault_lexer_duration(lx, &a->time_us);
}

static int act_gate(struct fault_lexer *lx, struct fault_action *a)
{
	return fault_lexer_text(lx, "a name to release it by", a->text);
}

/* reorder N within T */
static int act_reorder(struct fault_lexer *lx, struct fault_action *a)
{
	if (act_count(lx, a))
		return -1;
	if (!fault_lexer_accept(lx, "within")) {
		fault_lexer_next(lx);
		return fault_lexer_expected(lx, "within, and the longest time to wait");
	}
	return fault_lexer_duration(lx, &a->time_us);
}

static int act_size(struct fault_lexer *lx, struct fault_action *a)
{
	uint64_t n;

	if (fault_lexer_size(lx, "a number of bytes", &n))
		return -1;
	a->number = (int64_t)n;
	return 0;
}

/* limit RATE queue SIZE; time_us carries the queue's bytes. */
static int act_limit(struct fault_lexer *lx, struct fault_action *a)
{
	uint64_t rate;

	if (fault_lexer_size(lx, "a number of bytes a second", &rate))
		return -1;
	if (!rate)
		return fault_lexer_expected(lx, "a rate above 0");
	a->number = (int64_t)rate;
	if (!fault_lexer_accept(lx, "queue")) {
		fault_lexer_next(lx);
		return fault_lexer_expected(lx, "queue, and its size in bytes");
	}
	return fault_lexer_size(lx, "a number of bytes", &a->time_us);
}

static int act_mtu(struct fault_lexer *lx, struct fault_action *a)
{
	uint64_t n;

	if (fault_lexer_number(lx, 68, 65535, &n))
		return -1;
	a->number = (int64_t)n;
	a->flag = fault_lexer_accept(lx, "icmp");
	return 0;
}

static int act_abort(struct fault_lexer *lx, struct fault_action *a)
{
	int32_t code;

	if (fault_lexer_next(lx))
		return -1;
	if (!fault_code_by_name(lx->word, &code))
		return fault_lexer_expected(lx, "an abort code such as VBUSY, UAENOSPC or -455");
	a->number = code;
	snprintf(a->text, sizeof a->text, "%.63s", lx->word);
	return 0;
}

static int act_signed(struct fault_lexer *lx, struct fault_action *a)
{
	return fault_lexer_signed(lx, &a->number);
}

/* array short N | long N */
static int act_array(struct fault_lexer *lx, struct fault_action *a)
{
	if (fault_lexer_next(lx))
		return -1;
	a->flag = !strcmp(lx->word, "long");
	if (!a->flag && strcmp(lx->word, "short"))
		return fault_lexer_expected(lx, "short or long");
	return act_count(lx, a);
}

/* lie N | any; any is -1 */
static int act_lie(struct fault_lexer *lx, struct fault_action *a)
{
	uint64_t n;

	a->number = -1;
	if (fault_lexer_accept(lx, "any"))
		return 0;
	if (fault_lexer_number(lx, 0, 1000000, &n))
		return -1;
	a->number = (int64_t)n;
	return 0;
}

/* change [TEXT] */
static int act_change(struct fault_lexer *lx, struct fault_action *a)
{
	a->flag = !fault_lexer_end(lx);
	return a->flag ? fault_lexer_text(lx, "what to write at the file's beginning", a->text) : 0;
}

static int act_break(struct fault_lexer *lx, struct fault_action *a)
{
	static const char *const moments[] = { "before", "during", "after" };

	if (fault_lexer_next(lx))
		return -1;
	for (unsigned i = 0; i < COUNT(moments); i++) {
		if (!strcmp(lx->word, moments[i])) {
			a->number = i;
			return 0;
		}
	}
	return fault_lexer_expected(lx, "before, during or after");
}

static int act_revoke(struct fault_lexer *lx, struct fault_action *a)
{
	if (fault_lexer_next(lx))
		return -1;
	if (!lx->word[0] || strspn(lx->word, "rlidwka") != strlen(lx->word))
		return fault_lexer_expected(lx, "rights out of rlidwka");
	snprintf(a->text, sizeof a->text, "%.63s", lx->word);
	return 0;
}

static int act_server(struct fault_lexer *lx, struct fault_action *a)
{
	uint32_t ip;
	uint16_t port;

	if (fault_lexer_address(lx, &ip, &port))
		return -1;
	snprintf(a->text, sizeof a->text, "%.63s", lx->word);
	return 0;
}

/* restart [down T] */
static int act_restart(struct fault_lexer *lx, struct fault_action *a)
{
	if (fault_lexer_end(lx))
		return 0;
	if (fault_lexer_accept(lx, "down"))
		return fault_lexer_duration(lx, &a->time_us);
	fault_lexer_next(lx);
	return fault_lexer_expected(lx, "down, and for how long");
}

/* clock +T | -T */
static int act_clock(struct fault_lexer *lx, struct fault_action *a)
{
	struct fault_lexer sign = *lx;
	uint64_t us;

	if (fault_lexer_next(&sign))
		return -1;
	if (sign.word[0] != '+' && sign.word[0] != '-') {
		*lx = sign;
		return fault_lexer_expected(lx, "a step with its sign, such as +5min or -30s");
	}
	lx->at = sign.word_at + 1;
	if (fault_lexer_duration(lx, &us))
		return -1;
	a->number = sign.word[0] == '-' ? -(int64_t)us : (int64_t)us;
	return 0;
}

static const struct fault_action_word actions[] = {
	{ "pass", FAULT_ON_BOTH, FAULT_PASS, NULL },
	{ "note", FAULT_ON_BOTH, FAULT_NOTE, NULL },
	{ "delay", FAULT_ON_BOTH, FAULT_DELAY, act_time },
	{ "hold", FAULT_ON_BOTH, FAULT_HOLD, act_gate },
	{ "drop", FAULT_ON_PACKET, FAULT_DROP, NULL },
	{ "burst", FAULT_ON_PACKET, FAULT_BURST, act_count },
	{ "jitter", FAULT_ON_PACKET, FAULT_JITTER, act_time },
	{ "reorder", FAULT_ON_PACKET, FAULT_REORDER, act_reorder },
	{ "duplicate", FAULT_ON_PACKET, FAULT_DUPLICATE, act_duplicate },
	{ "truncate", FAULT_ON_PACKET, FAULT_TRUNCATE, act_size },
	{ "flip", FAULT_ON_PACKET, FAULT_FLIP, act_count },
	{ "limit", FAULT_ON_PACKET, FAULT_LIMIT, act_limit },
	{ "partition", FAULT_ON_PACKET, FAULT_PARTITION, act_optional_time },
	{ "rebind", FAULT_ON_PACKET, FAULT_REBIND, NULL },
	{ "mtu", FAULT_ON_PACKET, FAULT_MTU, act_mtu },
	{ "abort", FAULT_ON_RPC, FAULT_ABORT, act_abort },
	{ "lose-reply", FAULT_ON_RPC, FAULT_LOSE_REPLY, NULL },
	{ "cut", FAULT_ON_RPC, FAULT_CUT, act_size },
	{ "length", FAULT_ON_RPC, FAULT_LENGTH, act_signed },
	{ "array", FAULT_ON_RPC, FAULT_ARRAY, act_array },
	{ "garbage", FAULT_ON_RPC, FAULT_GARBAGE, act_size },
	{ "lie", FAULT_ON_RPC, FAULT_LIE, act_lie },
	{ "break", FAULT_ON_RPC, FAULT_BREAK, act_break },
	{ "revoke", FAULT_ON_RPC, FAULT_REVOKE, act_revoke },
	{ "change", FAULT_ON_RPC, FAULT_CHANGE, act_change },
	{ "busy", FAULT_ON_RPC, FAULT_BUSY, act_count },
	{ "moved", FAULT_ON_RPC, FAULT_MOVED, act_server },
	{ "offline", FAULT_ON_RPC, FAULT_OFFLINE, NULL },
	{ "salvage", FAULT_ON_RPC, FAULT_SALVAGE, NULL },
	{ "no-quorum", FAULT_ON_RPC, FAULT_NO_QUORUM, NULL },
	{ "expire", FAULT_ON_RPC, FAULT_EXPIRE, NULL },
	{ "restart", FAULT_ON_RPC, FAULT_RESTART, act_restart },
	{ "clock", FAULT_ON_RPC, FAULT_CLOCK, act_clock },
};

const struct fault_condition_word *fault_condition_find(const char *word, enum fault_side side)
{
	for (size_t i = 0; i < COUNT(conditions); i++) {
		if (conditions[i].sides & 1u << side && !strcmp(conditions[i].word, word))
			return &conditions[i];
	}
	return NULL;
}

const struct fault_action_word *fault_action_find(const char *word, enum fault_side side)
{
	for (size_t i = 0; i < COUNT(actions); i++) {
		if (actions[i].sides & 1u << side && !strcmp(actions[i].word, word))
			return &actions[i];
	}
	return NULL;
}

static void append(char buf[200], const char *word)
{
	size_t n = strlen(buf);

	snprintf(buf + n, 200 - n, "%s%s", n ? ", " : "", word);
}

const char *fault_condition_list(enum fault_side side, char buf[200])
{
	buf[0] = '\0';
	for (size_t i = 0; i < COUNT(conditions); i++) {
		if (conditions[i].sides & 1u << side)
			append(buf, conditions[i].word);
	}
	return buf;
}

const char *fault_action_list(enum fault_side side, char buf[200])
{
	buf[0] = '\0';
	for (size_t i = 0; i < COUNT(actions); i++) {
		if (actions[i].sides & 1u << side)
			append(buf, actions[i].word);
	}
	return buf;
}

const char *fault_op_name(enum fault_op op)
{
	for (size_t i = 0; i < COUNT(actions); i++) {
		if (actions[i].op == op)
			return actions[i].word;
	}
	return "?";
}
