/* The statements of a scenario, one after the other: see play.h. Every wait has the
 * scenario's time limit, and what could not be waited for is told with all that is
 * known: the rules with their counts, and the clients' last calls. */
#include "tools/harness/play.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "rx/env.h"
#include "tools/fault/memory.h"
#include "tools/harness/cast.h"
#include "tools/harness/order.h"

enum { POLL_FIRST_US = 500, POLL_MOST_US = 20000, LAST_CALLS = 4 };

struct play {
	const struct harness_scenario *scenario;
	const struct harness_statement *now;
	uint64_t timeout_us; /* of a step */
	struct harness_rig rig;
	struct cast cast;
	FILE *why;
	bool hung;
};

static uint64_t now_us(void)
{
	return rx_now_us(rx_env_posix());
}

/* ---- failing ---- */

static int fail(struct play *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int fail(struct play *p, const char *fmt, ...)
{
	va_list ap;

	if (p->now)
		fprintf(p->why, "%s:%u: %s\n  ", p->scenario->file, p->now->line, p->now->text);
	va_start(ap, fmt);
	vfprintf(p->why, fmt, ap);
	va_end(ap);
	fputc('\n', p->why);
	return -1;
}

static void tell_rules(struct play *p, enum fault_side side)
{
	char *text = NULL;
	size_t len;
	FILE *out;

	if (!*p->rig.socket[side])
		return;
	out = open_memstream(&text, &len);
	if (!out)
		fault_no_memory();
	harness_rig_control(&p->rig, side, "list", out, NULL);
	fclose(out);
	for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
		if (*line)
			fprintf(p->why, "  rule %s\n", line);
	}
	free(text);
}

/* Whether the call that begins in this line, "START NAME SERVER begins", has an end below. */
static bool has_ended(const char *line, const char *rest)
{
	size_t id = strcspn(line, " ");

	id += 1 + strcspn(line + id + 1, " ");
	for (; rest && *rest; rest += strcspn(rest, "\n"), rest += *rest == '\n') {
		if (!strncmp(line, rest, id))
			return true;
	}
	return false;
}

/* What it is waiting for, and its last calls; start times are those of traces. */
static void tell_calls(struct play *p, const struct cast_client *c)
{
	const char *last[LAST_CALLS] = { NULL };
	char path[HARNESS_DIR + 64];
	unsigned n = 0;
	uint8_t *text;
	size_t len;

	snprintf(path, sizeof path, "%s/%s.calls", p->rig.dir, c->name);
	text = harness_file_bytes(path, &len);
	for (char *rest = (char *)text, *line; (line = strsep(&rest, "\n"));) {
		if (!strstr(line, " begins")) {
			if (*line)
				last[n++ % LAST_CALLS] = line;
		} else if (!has_ended(line, rest)) {
			fprintf(p->why, "  %s waits for: %s\n", c->name, line);
		}
	}
	for (unsigned i = n > LAST_CALLS ? n - LAST_CALLS : 0; i < n; i++)
		fprintf(p->why, "  last calls of %s: %s\n", c->name, last[i % LAST_CALLS]);
	free(text);
}

/* What may help to understand it. */
static void tell_more(struct play *p)
{
	for (unsigned i = 0; i < p->cast.nactors; i++) {
		const struct cast_actor *a = &p->cast.actors[i];

		if (a->busy && !a->done)
			fprintf(p->why, "  %s is still in line %u: %s\n", a->text, a->busy->line, a->busy->text);
	}
	for (int side = 0; side < FAULT_SIDES; side++)
		tell_rules(p, side);
	for (unsigned i = 0; i < p->cast.nclients; i++)
		tell_calls(p, &p->cast.clients[i]);
}

/* ---- waiting ---- */

/* Waits for anything to come, until `us` have passed. */
static int wait_for_news(struct play *p, uint64_t us)
{
	struct pollfd polls[CAST_POLLS];
	struct timespec limit = { .tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000 };
	struct rx_error err;

	if (ppoll(polls, cast_polls(&p->cast, polls), &limit, NULL) < 0 && errno != EINTR)
		return fail(p, "poll: %s", strerror(errno));
	return cast_collect(&p->cast, &err) ? fail(p, "%s", err.text) : 0;
}

static int hang(struct play *p, const char *what)
{
	p->hung = true;
	return fail(p, "%s after %llu ms", what, (unsigned long long)p->timeout_us / 1000);
}

static int wait_for_actor(struct play *p, struct cast_actor *a)
{
	uint64_t deadline = now_us() + p->timeout_us;

	while (!a->done) {
		uint64_t now = now_us();

		if (now >= deadline)
			return hang(p, "this has not ended");
		if (wait_for_news(p, deadline - now))
			return -1;
	}
	return 0;
}

/* ---- judging ---- */

static int judge_all(const struct harness_result *r, const struct harness_outcome *first,
		     const struct harness_outcome *second, char **why)
{
	int rc = 0;

	if (!harness_speaks_of_end(first) && !harness_speaks_of_end(second))
		rc = harness_judge_success(r, why);
	for (const struct harness_outcome *o = first; o && !rc; o = o->next)
		rc = harness_judge(r, o, why);
	for (const struct harness_outcome *o = second; o && !rc; o = o->next)
		rc = harness_judge(r, o, why);
	return rc;
}

/* What the actor did came to its end: it is free again. */
static int judge_actor(struct play *p, struct cast_actor *a, char **why)
{
	const struct harness_outcome *more = a->busy == p->now ? NULL : p->now->outcomes;
	int rc = judge_all(&a->result, a->busy->outcomes, more, why);

	a->busy = NULL;
	return rc;
}

static int failed_judgement(struct play *p, char *why)
{
	fail(p, "%s", why);
	free(why);
	return -1;
}

/* Result of something that was done at once. */
static int judge_here(struct play *p, struct harness_result *r, char **why)
{
	int rc = judge_all(r, p->now->outcomes, NULL, why);

	harness_result_free(r);
	return rc;
}

/* ---- acting ---- */

static int user_acts(struct play *p, char **why)
{
	const struct harness_statement *s = p->now;
	struct rx_error err;
	struct cast_actor *a = cast_actor(&p->cast, s->actor.text, &err);

	if (!a)
		return fail(p, "%s", err.text);
	if (s->act == HARNESS_ACT_WAIT) {
		if (!a->busy)
			return fail(p, "%s has nothing in the background", a->text);
		return wait_for_actor(p, a) ? -1 : judge_actor(p, a, why);
	}
	if (s->act == HARNESS_ACT_SIGNAL) {
		if (!a->busy || !a->program.pid)
			return fail(p, "%s runs no program", a->text);
		kill(a->program.pid, s->number);
		return 0;
	}
	if (a->busy)
		return fail(p, "%s is still in line %u; write %s: wait before", a->text, a->busy->line, a->text);
	if (cast_begin(&p->cast, a, s, &err))
		return fail(p, "%s", err.text);
	if (s->background)
		return 0;
	return wait_for_actor(p, a) ? -1 : judge_actor(p, a, why);
}

static int end_client(struct play *p, struct cast_client *c, char **why)
{
	uint64_t began = now_us(), deadline = began + p->timeout_us;
	struct harness_result r = { 0 };

	cast_end(c);
	while (!cast_client_gone(c)) {
		uint64_t now = now_us();

		if (now >= deadline)
			return hang(p, "the client has not ended");
		if (wait_for_news(p, deadline - now))
			return -1;
	}
	r.took_us = now_us() - began;
	if (cast_client_left(c)) {
		r.status = HARNESS_FAILED;
		rx_error_set(&r.err, RX_ORIGIN_ERRNO, EIO, EIO, "bytes could not be stored; see %s.err", c->name);
	}
	return judge_here(p, &r, why);
}

static int client_acts(struct play *p, char **why)
{
	const struct harness_statement *s = p->now;
	struct cast_client *c = cast_client(&p->cast, s->actor.client);

	switch (s->act) {
	case HARNESS_ACT_KILL:
		cast_kill(&p->cast, c);
		return 0;
	case HARNESS_ACT_PAUSE:
		harness_process_pause(&c->process);
		return 0;
	case HARNESS_ACT_RESUME:
		harness_process_resume(&c->process);
		return 0;
	case HARNESS_ACT_END:
		return end_client(p, c, why);
	default:
		return user_acts(p, why);
	}
}

static int control(struct play *p, enum fault_side side, char **why)
{
	struct harness_result r = { 0 };
	uint64_t began = now_us();
	FILE *out = open_memstream((char **)&r.bytes[HARNESS_ANSWER], &r.len[HARNESS_ANSWER]);

	if (!out)
		fault_no_memory();
	if (harness_rig_control(&p->rig, side, p->now->command, out, &r.err))
		r.status = HARNESS_FAILED;
	fclose(out);
	r.took_us = now_us() - began;
	return judge_here(p, &r, why);
}

static int cell_acts(struct play *p, char **why)
{
	struct harness_rig *rig = &p->rig;
	struct rx_error err;

	switch (p->now->act) {
	case HARNESS_ACT_KILL:
		harness_process_stop(&rig->cell, SIGKILL, 0);
		rig->cell_down = true;
		return 0;
	case HARNESS_ACT_START:
		if (rig->cell.pid)
			return fail(p, "the cell is there");
		return harness_rig_start_cell(rig, &err) ? fail(p, "%s", err.text) : 0;
	case HARNESS_ACT_PAUSE:
		harness_process_pause(&rig->cell);
		return 0;
	case HARNESS_ACT_RESUME:
		harness_process_resume(&rig->cell);
		return 0;
	default:
		return control(p, FAULT_RPC, why);
	}
}

/* -1: it does not hold; *why says so unless that has been told. */
static int act_once(struct play *p, char **why)
{
	*why = NULL;
	switch (p->now->actor.kind) {
	case HARNESS_USER:
		return user_acts(p, why);
	case HARNESS_CLIENT:
		return client_acts(p, why);
	case HARNESS_CELL:
		return cell_acts(p, why);
	case HARNESS_WIRE:
		break;
	}
	return control(p, FAULT_PACKET, why);
}

/* Between two tries: longer each time. */
static int pause_a_little(struct play *p, uint64_t *us)
{
	*us = *us * 2 > POLL_MOST_US ? POLL_MOST_US : *us * 2;
	return wait_for_news(p, *us);
}

static int act(struct play *p)
{
	uint64_t deadline = now_us() + p->timeout_us, nap = POLL_FIRST_US;
	char *why;

	while (act_once(p, &why)) {
		if (!why)
			return -1;
		if (!p->now->until)
			return failed_judgement(p, why);
		if (now_us() >= deadline) {
			p->hung = true;
			return failed_judgement(p, why);
		}
		free(why);
		if (pause_a_little(p, &nap))
			return -1;
	}
	return 0;
}

/* ---- rules ---- */

static int tell(struct play *p, enum fault_side side, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int tell(struct play *p, enum fault_side side, const char *fmt, ...)
{
	char command[2048], *ignored = NULL;
	struct rx_error err;
	size_t len;
	FILE *out = open_memstream(&ignored, &len);
	va_list ap;
	int rc;

	if (!out)
		fault_no_memory();
	va_start(ap, fmt);
	vsnprintf(command, sizeof command, fmt, ap);
	va_end(ap);
	rc = harness_rig_control(&p->rig, side, command, out, &err);
	fclose(out);
	free(ignored);
	return rc ? fail(p, "%s", err.text) : 0;
}

/* To whichever of the two is there. */
static int tell_both(struct play *p, const char *command, const char *value)
{
	for (int side = 0; side < FAULT_SIDES; side++) {
		if (*p->rig.socket[side] && tell(p, side, "%s %s", command, value))
			return -1;
	}
	return 0;
}

static int fired(struct play *p)
{
	const struct harness_statement *s = p->now;
	uint64_t deadline = now_us() + p->timeout_us, nap = POLL_FIRST_US, n = 0;
	struct rx_error err;

	for (;;) {
		if (harness_rig_fired(&p->rig, s->rule_side, s->name, &n, &err))
			return fail(p, "%s", err.text);
		if (n >= s->range.lo && (s->until || n <= s->range.hi))
			return 0;
		if (!s->until || now_us() >= deadline)
			break;
		if (pause_a_little(p, &nap))
			return -1;
	}
	p->hung = s->until;
	return fail(p, "rule %s has fired %llu times", s->name, (unsigned long long)n);
}

static int order(struct play *p)
{
	char packet[HARNESS_DIR + 16], rpc[HARNESS_DIR + 16], *why;
	const char *wire = p->rig.options->wire_trace;
	const char *const traces[FAULT_SIDES] = { [FAULT_PACKET] = wire ? wire : packet, [FAULT_RPC] = rpc };

	snprintf(packet, sizeof packet, "%s/wire.trace", p->rig.dir);
	snprintf(rpc, sizeof rpc, "%s/cell.trace", p->rig.dir);
	return harness_order_check(traces, p->now->words, &why) ? failed_judgement(p, why) : 0;
}

static int make_file(struct play *p)
{
	char path[HARNESS_DIR + FAULT_TEXT_MAX + 1];
	const struct harness_data *d = &p->now->step.data;
	uint8_t *bytes = harness_data_bytes(d);
	FILE *f;
	bool bad;

	snprintf(path, sizeof path, "%s/%s", p->rig.files, p->now->name);
	f = fopen(path, "we");
	bad = !f || fwrite(bytes, 1, d->size, f) != d->size;
	bad = (f && fclose(f)) || bad;
	free(bytes);
	return bad ? fail(p, "%s cannot be written: %s", path, strerror(errno)) : 0;
}

static int perform(struct play *p)
{
	const struct harness_statement *s = p->now;

	switch (s->kind) {
	case HARNESS_RULE:
		return tell(p, s->rule_side, "add %s", s->command);
	case HARNESS_SEED:
		return tell_both(p, "add", s->command);
	case HARNESS_REMOVE:
		return tell(p, s->rule_side, "remove %s", s->name);
	case HARNESS_RELEASE:
		return tell_both(p, "release", s->name);
	case HARNESS_FILE:
		return make_file(p);
	case HARNESS_FIRED:
		return fired(p);
	case HARNESS_ORDER:
		return order(p);
	case HARNESS_ACT:
		break;
	}
	return act(p);
}

/* ---- beginning and end ---- */

/* Nothing stands in the way of the clients' end any more. */
static void clear_rules(struct play *p)
{
	struct rx_error err;
	FILE *null = fopen("/dev/null", "we");

	harness_process_resume(&p->rig.cell);
	for (unsigned i = 0; i < p->cast.nclients; i++)
		harness_process_resume(&p->cast.clients[i].process);
	for (const struct harness_statement *s = p->scenario->first; null && s; s = s->next) {
		char command[FAULT_TEXT_MAX + 16];
		const char *gate = s->kind == HARNESS_RULE ? strstr(s->command, "hold ") : NULL;

		if (s->kind == HARNESS_RULE && *p->rig.socket[s->rule_side]) {
			snprintf(command, sizeof command, "remove %s", s->name);
			harness_rig_control(&p->rig, s->rule_side, command, null, &err);
		}
		if (gate && *p->rig.socket[s->rule_side]) {
			snprintf(command, sizeof command, "release %.60s", gate + strspn(gate + 5, " ") + 5);
			harness_rig_control(&p->rig, s->rule_side, command, null, &err);
		}
	}
	if (null)
		fclose(null);
}

static int nobody_left_behind(struct play *p)
{
	p->now = NULL;
	for (unsigned i = 0; i < p->cast.nactors; i++) {
		const struct cast_actor *a = &p->cast.actors[i];

		if (a->busy)
			return fail(p, "%s:%u: %s\n  nothing waits for what was begun here; write %s: wait",
				    p->scenario->file, a->busy->line, a->busy->text, a->text);
	}
	return 0;
}

static int play_statements(struct play *p)
{
	for (p->now = p->scenario->first; p->now; p->now = p->now->next) {
		if (perform(p))
			return -1;
	}
	return nobody_left_behind(p);
}

enum harness_verdict harness_play(const struct harness_scenario *sc, const struct harness_options *options,
				  const char *dir, char **why)
{
	struct play p = { .scenario = sc, .timeout_us = sc->timeout_us * options->patience };
	struct rx_error err;
	size_t len;
	bool bad;

	*why = NULL;
	if (harness_rig_lacks(options, sc)) {
		*why = strdup(harness_rig_lacks(options, sc));
		return HARNESS_SKIPPED;
	}
	p.why = open_memstream(why, &len);
	if (!p.why)
		fault_no_memory();
	p.rig.scenario = sc;
	cast_init(&p.cast, &p.rig);
	bad = harness_rig_start(&p.rig, options, sc, dir, &err) != 0;
	if (bad) {
		fail(&p, "%s", err.text);
	} else {
		bad = play_statements(&p) != 0;
		if (bad)
			tell_more(&p);
	}
	p.now = NULL;
	clear_rules(&p);
	if (cast_finish(&p.cast, p.timeout_us, &err) && !p.hung)
		bad = fail(&p, "at the end: %s", err.text);
	if (harness_rig_stop(&p.rig, &err))
		bad = fail(&p, "at the end: %s", err.text);
	fclose(p.why);
	return bad ? HARNESS_BROKEN : HARNESS_PASSED;
}
