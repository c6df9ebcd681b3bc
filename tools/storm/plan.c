/* Plans: made from a seed, printed one event a line, read again. Pure; called before and
 * between plays. A plan's text can be kept as a test and played as it is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/storm/storm.h"

static const struct {
	const char *word, *args[4];
} kinds[] = {
#define KIND(name, word, a, b, c, d) [STORM_##name] = { word, { a, b, c, d } },
	STORM_ACTS(KIND) STORM_STRIKES(KIND)
#undef KIND
};

static const char *const user_names[STORM_USERS] = { "alice", "bob" };

const char *storm_kind_name(enum storm_kind kind)
{
	return kinds[kind].word;
}

const char *storm_user_name(unsigned user)
{
	return user_names[user];
}

/* ---- making ---- */

struct maker {
	uint64_t rng;
	struct storm_plan *plan;
	size_t cap;
	uint64_t length_us;
	unsigned rules;
	unsigned names, own, shared; /* weights of the sorts of acts */
	unsigned actors, rooms;      /* how many act, in how many directories and shared files */
};

static uint32_t dice(struct maker *m, uint32_t n)
{
	uint64_t z = (m->rng += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ (z >> 31)) % n);
}

static struct storm_event *add(struct maker *m, uint64_t at_us, enum storm_kind kind)
{
	struct storm_plan *plan = m->plan;

	if (plan->n == m->cap) {
		m->cap = m->cap ? 2 * m->cap : 64;
		plan->events = reallocarray(plan->events, m->cap, sizeof(*plan->events));
		if (!plan->events)
			abort();
	}
	plan->events[plan->n] = (struct storm_event){ .at_us = at_us, .kind = kind };
	return &plan->events[plan->n++];
}

/* Ends of pages, small pieces and large ones. */
static uint32_t some_offset(struct maker *m)
{
	switch (dice(m, 4)) {
	case 0:
		return dice(m, STORM_PAGES) * CM_PAGE;
	case 1:
		return dice(m, STORM_PAGES) * CM_PAGE + CM_PAGE - 1 - dice(m, 3);
	default:
		return dice(m, STORM_SIZE);
	}
}

static uint32_t some_length(struct maker *m, uint32_t off)
{
	static const uint32_t up_to[] = { 1, 8, 100, 5000, STORM_SIZE };
	uint32_t len = 1 + dice(m, up_to[dice(m, 5)]);

	return len > STORM_SIZE - off ? STORM_SIZE - off : len;
}

static void shared_act(struct maker *m, struct storm_event *e)
{
	static const enum storm_kind often[] = { STORM_STORE, STORM_STORE, STORM_STORE, STORM_WRITE, STORM_WRITE,
						 STORM_LOAD,  STORM_LOAD,  STORM_READ,  STORM_READ,  STORM_MSYNC,
						 STORM_FSYNC, STORM_ASYNC, STORM_CLOSE, STORM_STAT };

	e->kind = often[dice(m, sizeof(often) / sizeof(often[0]))];
	e->args[0] = dice(m, m->rooms);
	e->args[1] = dice(m, STORM_CELLS);
}

static void own_act(struct maker *m, struct storm_event *e)
{
	static const enum storm_kind often[] = { STORM_OWN_WRITE, STORM_OWN_WRITE, STORM_OWN_STORE, STORM_OWN_STORE,
						 STORM_OWN_READ,  STORM_OWN_READ,  STORM_OWN_LOAD,  STORM_OWN_TRUNCATE,
						 STORM_OWN_SYNC,  STORM_OWN_CLOSE, STORM_OWN_TOUCH };

	e->kind = often[dice(m, sizeof(often) / sizeof(often[0]))];
	e->args[0] = some_offset(m);
	e->args[1] = some_length(m, e->args[0]);
	if (e->kind == STORM_OWN_TOUCH) {
		e->args[0] = 1000000000 + dice(m, 1000);
		e->args[1] = 0644 + dice(m, 2) * 022;
	}
}

static void name_act(struct maker *m, struct storm_event *e)
{
	static const enum storm_kind often[] = {
		STORM_CREATE,  STORM_CREATE, STORM_CREATE, STORM_CREATE, STORM_MKDIR,  STORM_MKDIR,
		STORM_SYMLINK, STORM_LINK,   STORM_LINK,   STORM_UNLINK, STORM_UNLINK, STORM_RMDIR,
		STORM_RENAME,  STORM_RENAME, STORM_RENAME, STORM_LOOKUP, STORM_LOOKUP, STORM_LIST,
	};

	e->kind = often[dice(m, sizeof(often) / sizeof(often[0]))];
	e->args[0] = dice(m, m->rooms);
	e->args[1] = dice(m, STORM_NAMES);
	e->args[2] = e->kind == STORM_RENAME ? dice(m, m->rooms) : dice(m, STORM_NAMES);
	e->args[3] = dice(m, STORM_NAMES);
}

static void act(struct maker *m)
{
	struct storm_event *e = add(m, dice(m, (uint32_t)m->length_us), STORM_STORE);
	unsigned sort = dice(m, m->names + m->own + m->shared);

	e->actor = dice(m, m->actors) * (STORM_ACTORS / m->actors);
	if (sort < m->names)
		name_act(m, e);
	else if (sort < m->names + m->own)
		own_act(m, e);
	else
		shared_act(m, e);
	for (unsigned i = 0; i < 4; i++)
		if (!kinds[e->kind].args[i])
			e->args[i] = 0;
}

static void rights(struct maker *m)
{
	static const uint32_t all = CM_RIGHTS_ALL & ~CM_RIGHT_ADMINISTER;
	static const uint32_t less[] = { CM_RIGHT_READ | CM_RIGHT_LOOKUP, CM_RIGHT_LOOKUP, 0,
					 CM_RIGHTS_ALL & ~CM_RIGHT_ADMINISTER & ~CM_RIGHT_WRITE };
	uint32_t dir = dice(m, STORM_DIRS), user = dice(m, STORM_USERS), at = dice(m, (uint32_t)m->length_us);
	struct storm_event *e = add(m, at, STORM_RIGHTS);

	e->args[0] = dir;
	e->args[1] = user;
	e->args[2] = less[dice(m, 4)];
	if (dice(m, 3) == 0)
		return;
	e = add(m, at + dice(m, (uint32_t)(m->length_us - at)), STORM_RIGHTS);
	e->args[0] = dir;
	e->args[1] = user;
	e->args[2] = all;
}

/* What a call may meet without anything being lost for good. */
static void rpc_rule(struct maker *m, char *text, size_t cap)
{
	static const char *const calls[] = { "StoreData64", "StoreData64", "FetchData64", "FetchStatus", "*",
					     "CreateFile",  "Rename",      "Remove*",     "StoreStatus", "MakeDir",
					     "StoreData64", "Symlink",     "Link" };
	static const char *const actions[] = {
		"abort VBUSY",     "busy 2",     "abort VOVERQUOTA", "abort VOFFLINE",    "abort VDISKFULL",
		"delay 30ms",      "delay 2s",   "abort UAEIO",      "abort VRESTARTING", "abort VNOSERVICE",
		"lose-reply",      "lose-reply", "break before",     "break after",       "break during",
		"change",          "expire",     "offline",          "salvage",           "abort RX_CALL_DEAD",
		"moved 10.0.0.99",
	};
	static const char *const lies[] = { "cut 100", "length -4", "length +4", "garbage 100" };
	bool lie = dice(m, 6) == 0;
	char whose[32] = "";
	const char *call = lie ? "FetchData64" : calls[dice(m, sizeof(calls) / sizeof(calls[0]))];
	const char *action = lie ? lies[dice(m, 4)] : actions[dice(m, sizeof(actions) / sizeof(actions[0]))];

	/* The administrator stands outside of what is played. */
	if (!strcmp(action, "expire"))
		snprintf(whose, sizeof(whose), "user %s ", user_names[dice(m, STORM_USERS)]);
	snprintf(text, cap, "s%u: rpc name %s %sprob %u%% times %u -> %s", ++m->rules, call, whose, 20 + dice(m, 80),
		 1 + dice(m, 3), action);
}

static void packet_rule(struct maker *m, char *text, size_t cap)
{
	static const char *const rules[] = {
		"from client type data prob 5% -> drop",
		"from server type ack prob 20% -> drop",
		"prob 1% -> burst 6",
		"prob 5% -> reorder 3 within 20ms",
		"prob 5% -> duplicate 2 gap 1ms",
		"prob 30% -> jitter 30ms",
		"type ack prob 5% -> truncate 40",
		"type challenge,response,busy,abort prob 50% -> drop",
		"nth 70 -> partition 2s",
		"client 10.0.0.101 nth 50 -> partition 9s",
		"-> limit 300K queue 16K",
		"flag last prob 10% -> delay 300ms",
		"type data seq 2- prob 10% -> drop",
		"client 10.0.0.101 nth 20 -> rebind",
		"from client prob 5% times 20 -> mtu 1200",
	};

	snprintf(text, cap, "s%u: packet %s", ++m->rules, rules[dice(m, sizeof(rules) / sizeof(rules[0]))]);
}

/* A cell's clock that goes far ahead ends promises that clients believe in: no server can
 * help that. Tickets are valid fifteen minutes before their time. */
static void clock_step(struct maker *m, struct storm_event *e)
{
	static const uint32_t far[] = { 5, 50, 1000, 40000, 100000 };
	bool back = dice(m, 2);

	e->args[0] = dice(m, 2);
	if (e->args[0])
		e->args[1 + back] = 1 + dice(m, back ? 300 : 50);
	else
		e->args[1 + back] = far[dice(m, 5)];
}

/* The administrator stands outside of what is played; the director must not wait for what only
 * the director releases. */
static void hold(struct maker *m, uint32_t at)
{
	static const char *const calls[] = { "StoreData64 times 2",
					     "FetchData64 times 2",
					     "FetchStatus prob 30% times 2",
					     "CreateFile times 1",
					     "Rename times 1",
					     "Remove* times 1",
					     "* prob 10% times 3",
					     "StoreData64 prob 50% times 9" };
	struct storm_event *e = add(m, at, STORM_RULE);
	const char *user = user_names[dice(m, STORM_USERS)];

	snprintf(e->text, sizeof(e->text), "s%u: rpc user %s name %s -> hold g%u", m->rules + 1, user,
		 calls[dice(m, sizeof(calls) / sizeof(calls[0]))], m->rules + 1);
	e = add(m, at + dice(m, dice(m, 4) ? 3000000 : 90000000), STORM_RELEASE);
	snprintf(e->text, sizeof(e->text), "g%u", ++m->rules);
}

static void strike(struct maker *m, unsigned fault)
{
	uint32_t at = dice(m, (uint32_t)m->length_us);
	struct storm_event *e;

	switch (fault) {
	case STORM_F_CUT:
		e = add(m, at, STORM_CUT);
		e->args[0] = dice(m, STORM_CLIENTS);
		e->args[1] = 1 + dice(m, dice(m, 4) ? 3000 : 90000);
		break;
	case STORM_F_RIGHTS:
		if (dice(m, 3)) {
			rights(m);
			break;
		}
		e = add(m, at, STORM_REFUSE);
		e->args[0] = dice(m, STORM_USERS);
		e->args[1] = 1 + dice(m, 2);
		break;
	case STORM_F_RPC:
	case STORM_F_PACKET:
		e = add(m, at, STORM_RULE);
		(fault == STORM_F_RPC ? rpc_rule : packet_rule)(m, e->text, sizeof(e->text));
		break;
	case STORM_F_CRASH:
		add(m, at, STORM_CRASH)->args[0] = dice(m, STORM_CLIENTS);
		break;
	case STORM_F_RESTART:
		add(m, at, STORM_RESTART);
		break;
	case STORM_F_DISK:
		e = add(m, at, dice(m, 2) ? STORM_DIES : STORM_DISK);
		e->args[0] = e->kind == STORM_DISK ? dice(m, 3) * 50 : dice(m, 2) * dice(m, 20000);
		e->args[1] = e->kind == STORM_DISK ? dice(m, 3) * 10 : 1 + dice(m, dice(m, 4) ? 3000 : 90000);
		e->args[2] = e->kind == STORM_DISK ? dice(m, 3) * 500 : dice(m, 2);
		break;
	case STORM_F_CLOCK:
		clock_step(m, add(m, at, STORM_CLOCK));
		break;
	case STORM_F_MOVE:
		add(m, at, STORM_MOVE)->args[0] = dice(m, 2);
		break;
	case STORM_F_HOLD:
		hold(m, at);
		break;
	case STORM_F_TICKET:
		e = add(m, at + dice(m, 200) * 1000000, STORM_TICKET);
		e->args[0] = dice(m, STORM_CLIENTS);
		e->args[1] = dice(m, STORM_USERS);
		e->args[2] = 65 + dice(m, 3600);
		break;
	}
}

static void weather(struct maker *m, unsigned faults)
{
	struct storm_weather *w = &m->plan->weather;
	static const uint32_t ages[] = { 1, 20, 200, 5000 };

	*w = (struct storm_weather){ .delay_us = 50 + dice(m, 500), .jitter_us = dice(m, 800), .life_s = 36000 };
	w->full = dice(m, 2);
	w->mixed = dice(m, 2);
	w->dirty_age_ms = ages[dice(m, 4)];
	w->conflict_ms = dice(m, 4) ? 0 : 50;
	if (faults & STORM_F_NET) {
		w->loss = dice(m, 40);
		w->duplicate = dice(m, 20);
	}
	if (faults & STORM_F_TICKET)
		w->life_s = 62 + dice(m, 100);
	if (faults & STORM_F_DISK)
		w->disk = STORM_DISK_KEPT + dice(m, 2);
	if (faults & STORM_F_MOVE)
		w->servers = 2;
	if (faults & STORM_F_MAYBE)
		w->maybe = 5 + dice(m, 100);
}

static int by_time(const void *a, const void *b)
{
	const struct storm_event *x = a, *y = b;

	if (x->at_us != y->at_us)
		return x->at_us < y->at_us ? -1 : 1;
	return (x->kind > y->kind) - (x->kind < y->kind);
}

void storm_plan_make(struct storm_plan *plan, uint64_t seed, unsigned events, unsigned faults)
{
	static const uint32_t pace_us[] = { 300, 1000, 5000, 200000 };
	struct maker m = { .rng = seed * 0x2545f4914f6cdd1du + 1, .plan = plan };
	unsigned some = 0;

	*plan = (struct storm_plan){ .seed = seed };
	/* Most plans have few sorts of faults, so that what is rare is not always drowned. */
	for (unsigned f = 1; f < STORM_F_ALL; f <<= 1)
		if ((faults & f) && dice(&m, 3) == 0)
			some |= f;
	/* A call that is held is carried out at its release, whatever has become of its client: AFS
	 * has no fence. The model knows of no such calls, so whoever is held stays in touch. */
	if (some & STORM_F_HOLD)
		some &= ~(unsigned)(STORM_F_NET | STORM_F_CUT | STORM_F_PACKET | STORM_F_CRASH);
	weather(&m, some);
	m.length_us = (uint64_t)events * pace_us[dice(&m, 4)];
	m.actors = 1u << dice(&m, 3);
	m.rooms = 1 + dice(&m, 2);
	m.names = dice(&m, 3);
	m.own = dice(&m, 3);
	m.shared = m.names + m.own ? dice(&m, 4) : 1;
	for (unsigned i = 0; i < events; i++)
		act(&m);
	for (unsigned f = 1; f < STORM_F_ALL; f <<= 1)
		for (unsigned n = some & f ? 1 + dice(&m, 3) : 0; n > 0; n--)
			strike(&m, f);
	qsort(plan->events, plan->n, sizeof(*plan->events), by_time);
}

void storm_plan_free(struct storm_plan *plan)
{
	free(plan->events);
	*plan = (struct storm_plan){ 0 };
}

/* ---- as text ---- */

#define WEATHER(X)                                                                                                     \
	X(delay_us)                                                                                                    \
	X(jitter_us)                                                                                                   \
	X(loss)                                                                                                        \
	X(duplicate)                                                                                                   \
	X(full)                                                                                                        \
	X(mixed)                                                                                                       \
	X(dirty_age_ms)                                                                                                \
	X(conflict_ms)                                                                                                 \
	X(life_s)                                                                                                      \
	X(disk)                                                                                                        \
	X(servers)                                                                                                     \
	X(maybe)

static bool is_act(enum storm_kind kind)
{
	return kind < STORM_ACT_COUNT;
}

void storm_event_print(const struct storm_event *e, FILE *out)
{
	fprintf(out, "%.3f ", (double)e->at_us / 1000);
	if (is_act(e->kind))
		fprintf(out, "c%u.%s ", e->actor / STORM_USERS, user_names[e->actor % STORM_USERS]);
	fprintf(out, "%s", kinds[e->kind].word);
	for (unsigned i = 0; i < 4 && kinds[e->kind].args[i]; i++)
		fprintf(out, " %s %u", kinds[e->kind].args[i], e->args[i]);
	fprintf(out, "%s%s\n", *e->text ? " " : "", e->text);
}

void storm_plan_print(const struct storm_plan *plan, FILE *out)
{
	const struct storm_weather *w = &plan->weather;

	fprintf(out, "seed %llu\nweather", (unsigned long long)plan->seed);
#define PRINT(field) fprintf(out, " " #field " %u", w->field);
	WEATHER(PRINT)
#undef PRINT
	fprintf(out, "\n");
	for (size_t i = 0; i < plan->n; i++)
		storm_event_print(&plan->events[i], out);
}

/* The next word of a line; "" at its end. */
static char *word(char **line)
{
	char *w;

	*line += strspn(*line, " \t\n");
	w = *line;
	*line += strcspn(*line, " \t\n");
	if (**line)
		*(*line)++ = 0;
	return w;
}

static bool number(char **line, uint64_t *out)
{
	char *w = word(line), *end;

	*out = strtoull(w, &end, 0);
	return *w && !*end;
}

static bool read_weather(struct storm_weather *w, char *line)
{
	uint64_t value;
	char *name;

	while (*(name = word(&line))) {
		bool known = false;

		if (!number(&line, &value))
			return false;
#define READ(field)                                                                                                    \
	if (!strcmp(name, #field)) {                                                                                   \
		w->field = (uint32_t)value;                                                                            \
		known = true;                                                                                          \
	}
		WEATHER(READ)
#undef READ
		if (!known)
			return false;
	}
	return true;
}

static bool read_actor(const char *w, unsigned *actor)
{
	unsigned client;
	char user[16];

	if (sscanf(w, "c%u.%15s", &client, user) != 2 || client >= STORM_CLIENTS)
		return false;
	for (unsigned u = 0; u < STORM_USERS; u++)
		if (!strcmp(user, user_names[u])) {
			*actor = client * STORM_USERS + u;
			return true;
		}
	return false;
}

static bool has_text(enum storm_kind kind)
{
	return kind == STORM_RULE || kind == STORM_UNRULE || kind == STORM_RELEASE;
}

static bool read_event(struct maker *m, const char *time, char *line)
{
	char *w = word(&line), *end;
	double ms = strtod(time, &end);
	bool acts, found = false;
	struct storm_event *e;
	unsigned actor = 0;
	uint64_t value;

	if (*end || ms < 0)
		return false;
	acts = read_actor(w, &actor);
	if (acts)
		w = word(&line);
	e = add(m, (uint64_t)(ms * 1000 + 0.5), STORM_STORE);
	e->actor = actor;
	for (unsigned k = 0; k < STORM_KINDS && !found; k++) {
		found = !strcmp(w, kinds[k].word) && is_act(k) == acts;
		if (found)
			e->kind = k;
	}
	for (unsigned i = 0; found && i < 4 && kinds[e->kind].args[i]; i++) {
		found = !strcmp(word(&line), kinds[e->kind].args[i]) && number(&line, &value);
		e->args[i] = found ? (uint32_t)value : 0;
	}
	line += strspn(line, " ");
	line[strcspn(line, "\n")] = 0;
	if (found && has_text(e->kind))
		snprintf(e->text, sizeof(e->text), "%s", line);
	return found && (has_text(e->kind) == (*line != 0));
}

int storm_plan_read(struct storm_plan *plan, FILE *in, struct rx_error *err)
{
	struct maker m = { .plan = plan };
	char buf[2 * STORM_TEXT_MAX], *line, *w;
	unsigned number_of = 0;
	bool fine = true;

	*plan = (struct storm_plan){ 0 };
	while (fine && fgets(buf, sizeof(buf), in)) {
		number_of++;
		line = buf;
		w = word(&line);
		if (!*w || *w == '#')
			continue;
		if (!strcmp(w, "seed"))
			fine = number(&line, &plan->seed);
		else if (!strcmp(w, "weather"))
			fine = read_weather(&plan->weather, line);
		else
			fine = read_event(&m, w, line);
	}
	if (fine)
		return 0;
	storm_plan_free(plan);
	return rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "line %u is not an event of a storm", number_of);
}
