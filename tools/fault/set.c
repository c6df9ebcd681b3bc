/* The list of rules and the gates of those that hold: see set.h. */
#include "tools/fault/set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/fault/match.h"
#include "tools/fault/memory.h"
#include "tools/fault/trace.h"

enum { LINE_MAX_BYTES = 1024 };

/* How often a gate was released; made when first waited for. */
struct gate {
	struct gate *next;
	char name[FAULT_TEXT_MAX];
	uint64_t released;
};

struct fault_set {
	struct rx_env *env;
	struct fault_trace *trace;
	struct rx_mutex mutex;
	struct rx_cond released;
	struct fault_rule *rules;
	unsigned count[FAULT_SIDES]; /* atomic */
	struct gate *gates;
	uint64_t began_us, seed, made;
	fault_fired fired;
	void (*on_release)(void *arg, const char *gate);
	void *on_release_arg;
};

struct fault_set *fault_set_new(struct rx_env *env, uint64_t seed, struct fault_trace *trace)
{
	struct fault_set *set = calloc(1, sizeof *set);

	if (!set)
		fault_no_memory();
	set->env = env;
	set->trace = trace;
	set->seed = seed;
	set->began_us = rx_now_us(env);
	rx_mutex_init(&set->mutex, env, RX_RANK_LEAF, "fault rules");
	rx_cond_init(&set->released, env);
	return set;
}

static void free_rules(struct fault_rule *r)
{
	while (r) {
		struct fault_rule *next = r->next;

		fault_rule_free(r);
		r = next;
	}
}

void fault_set_free(struct fault_set *set)
{
	if (!set)
		return;
	free_rules(set->rules);
	while (set->gates) {
		struct gate *next = set->gates->next;

		free(set->gates);
		set->gates = next;
	}
	rx_cond_destroy(&set->released);
	rx_mutex_destroy(&set->mutex);
	free(set);
}

struct rx_env *fault_set_env(const struct fault_set *set)
{
	return set->env;
}

struct fault_trace *fault_set_trace(const struct fault_set *set)
{
	return set->trace;
}

unsigned fault_set_has(const struct fault_set *set, enum fault_side side)
{
	return __atomic_load_n(&set->count[side], __ATOMIC_RELAXED);
}

static struct fault_rule **find(struct fault_rule **at, const char *name)
{
	while (*at && strcmp((*at)->name, name))
		at = &(*at)->next;
	return at;
}

/* Numbers are given in the order of the rules, and the number and the seed make the
 * rule's own sequence. Lock held. */
static void enlist(struct fault_set *set, struct fault_rule *r)
{
	set->made++;
	if (!r->name[0])
		snprintf(r->name, sizeof r->name, "r%llu", (unsigned long long)set->made);
	r->rng = set->seed + set->made * 0x9e3779b97f4a7c15u;
	r->rng = fault_random(&r->rng);
	r->next = NULL;
	*find(&set->rules, "") = r;
	__atomic_fetch_add(&set->count[r->side], 1, __ATOMIC_RELAXED);
}

static int name_taken(const char *name, unsigned line, struct rx_error *err)
{
	return rx_error_set(err, RX_ORIGIN_ERRNO, EEXIST, EEXIST,
			    "line %u, column 1: expected a new name, not \"%s\", which is a rule already", line, name);
}

static bool taken(struct fault_set *set, const struct fault_rule *r)
{
	return r->name[0] && *find(&set->rules, r->name);
}

int fault_set_add(struct fault_set *set, const char *text, unsigned line_number, char name_out[FAULT_NAME_MAX],
		  struct rx_error *err)
{
	struct fault_line line;
	bool clash;

	if (fault_parse_line(text, line_number, &line, err))
		return -1;
	if (name_out)
		name_out[0] = '\0';
	rx_mutex_lock(&set->mutex);
	if (line.kind == FAULT_LINE_SEED)
		set->seed = line.seed;
	clash = line.rule && taken(set, line.rule);
	if (line.rule && !clash) {
		enlist(set, line.rule);
		if (name_out)
			strcpy(name_out, line.rule->name);
	}
	rx_mutex_unlock(&set->mutex);
	if (clash) {
		name_taken(line.rule->name, line_number, err);
		fault_rule_free(line.rule);
		return -1;
	}
	if (line.rule)
		fault_trace_note(set->trace, "rule", line.rule->name, text);
	return 0;
}

/* Reads all lines into a chain of rules; the last seed counts for those after it. */
static int read_script(struct fault_set *set, FILE *f, const char *path, struct fault_rule **chain, uint64_t *seed,
		       bool *seeded, struct rx_error *err)
{
	char text[LINE_MAX_BYTES];
	struct fault_rule **end = chain;

	for (unsigned n = 1; fgets(text, sizeof text, f); n++) {
		struct fault_line line;

		if (!strchr(text, '\n') && !feof(f))
			return rx_error_set(err, RX_ORIGIN_ERRNO, E2BIG, E2BIG, "%s: line %u is longer than %d bytes",
					    path, n, LINE_MAX_BYTES - 1);
		if (fault_parse_line(text, n, &line, err)) {
			rx_error_prefix(err, "%s", path);
			return -1;
		}
		if (line.kind == FAULT_LINE_SEED) {
			*seed = line.seed;
			*seeded = true;
		}
		if (!line.rule)
			continue;
		if (taken(set, line.rule) || (line.rule->name[0] && *find(chain, line.rule->name))) {
			name_taken(line.rule->name, n, err);
			rx_error_prefix(err, "%s", path);
			fault_rule_free(line.rule);
			return -1;
		}
		*end = line.rule;
		end = &line.rule->next;
	}
	return ferror(f) ? rx_error_errno(err, errno, "%s cannot be read", path) : 0;
}

int fault_set_load(struct fault_set *set, const char *path, struct rx_error *err)
{
	struct fault_rule *chain = NULL;
	FILE *f = fopen(path, "re");
	bool seeded = false;
	uint64_t seed = 0;
	int rc;

	if (!f)
		return rx_error_errno(err, errno, "the fault script %s cannot be opened", path);
	rx_mutex_lock(&set->mutex);
	rc = read_script(set, f, path, &chain, &seed, &seeded, err);
	if (!rc) {
		if (seeded)
			set->seed = seed;
		while (chain) {
			struct fault_rule *next = chain->next;

			enlist(set, chain);
			chain = next;
		}
	}
	rx_mutex_unlock(&set->mutex);
	free_rules(chain);
	fclose(f);
	return rc;
}

int fault_set_remove(struct fault_set *set, const char *name, struct rx_error *err)
{
	struct fault_rule **at, *r;

	rx_mutex_lock(&set->mutex);
	at = find(&set->rules, name);
	r = *at;
	if (r) {
		*at = r->next;
		__atomic_fetch_sub(&set->count[r->side], 1, __ATOMIC_RELAXED);
	}
	rx_mutex_unlock(&set->mutex);
	if (!r)
		return rx_error_set(err, RX_ORIGIN_ERRNO, ENOENT, ENOENT,
				    "there is no rule %s; list shows those there are", name);
	fault_trace_note(set->trace, "removed", name, r->text);
	fault_rule_free(r);
	return 0;
}

void fault_set_list(struct fault_set *set, FILE *out)
{
	rx_mutex_lock(&set->mutex);
	for (const struct fault_rule *r = set->rules; r; r = r->next)
		fprintf(out, "%s matched %llu fired %llu: %s\n", r->name, (unsigned long long)r->matched,
			(unsigned long long)r->fired, r->text);
	rx_mutex_unlock(&set->mutex);
}

void fault_set_fired(struct fault_set *set, fault_fired fired)
{
	rx_mutex_lock(&set->mutex);
	memcpy(fired, set->fired, sizeof(set->fired));
	rx_mutex_unlock(&set->mutex);
}

/* A queue in front of a line of `number` bytes a second, of `time_us` bytes at most. */
static void queue_on_line(struct fault_rule *r, enum fault_dir dir, size_t len, uint64_t age_us, struct fault_hit *hit)
{
	uint64_t rate = (uint64_t)r->action.number, *free_at = &r->line_free_at[dir];
	uint64_t wait = *free_at > age_us ? *free_at - age_us : 0;
	double queued = (double)wait * (double)rate / 1e6;

	if (wait && queued + (double)len > (double)r->action.time_us) {
		hit->overflow = true;
		return;
	}
	hit->wait_us = wait + len * 1000000 / rate;
	*free_at = age_us + hit->wait_us;
}

static struct gate *gate_of(struct fault_set *set, const char *name)
{
	struct gate *g = set->gates;

	while (g && strcmp(g->name, name))
		g = g->next;
	if (!g) {
		g = calloc(1, sizeof *g);
		if (!g)
			fault_no_memory();
		snprintf(g->name, sizeof g->name, "%s", name);
		g->next = set->gates;
		set->gates = g;
	}
	return g;
}

static unsigned match_all(struct fault_set *set, enum fault_side side, const struct fault_packet_view *p,
			  const struct fault_rpc *c, struct fault_hit hits[FAULT_HITS])
{
	uint64_t age = rx_now_us(set->env) - set->began_us;
	unsigned n = 0;

	rx_mutex_lock(&set->mutex);
	for (struct fault_rule *r = set->rules; r && n < FAULT_HITS; r = r->next) {
		if (r->side != side || !fault_match(r, p, c, age))
			continue;
		hits[n] = (struct fault_hit){ .action = r->action };
		strcpy(hits[n].rule, r->name);
		set->fired[side][r->action.op]++;
		if (r->action.op == FAULT_JITTER || r->action.op == FAULT_FLIP || r->action.op == FAULT_GARBAGE ||
		    r->action.op == FAULT_LIE)
			hits[n].random = fault_random(&r->rng);
		if (r->action.op == FAULT_HOLD)
			hits[n].opened = gate_of(set, r->action.text)->released;
		if (r->action.op == FAULT_LIMIT)
			queue_on_line(r, p->dir, p->len, age, &hits[n]);
		n++;
		if (r->action.op == FAULT_PASS)
			break;
	}
	rx_mutex_unlock(&set->mutex);
	return n;
}

unsigned fault_set_packet(struct fault_set *set, const struct fault_packet_view *p, struct fault_hit hits[FAULT_HITS])
{
	return fault_set_has(set, FAULT_PACKET) ? match_all(set, FAULT_PACKET, p, NULL, hits) : 0;
}

unsigned fault_set_rpc(struct fault_set *set, const struct fault_rpc *c, struct fault_hit hits[FAULT_HITS])
{
	unsigned n = fault_set_has(set, FAULT_RPC) ? match_all(set, FAULT_RPC, NULL, c, hits) : 0;

	for (unsigned i = 0; i < n; i++)
		fault_trace_rpc(set->trace, c, &hits[i]);
	return n;
}

void fault_set_on_release(struct fault_set *set, void (*fn)(void *arg, const char *gate), void *arg)
{
	set->on_release = fn;
	set->on_release_arg = arg;
}

void fault_set_release(struct fault_set *set, const char *name)
{
	fault_trace_note(set->trace, "release", name, NULL);
	rx_mutex_lock(&set->mutex);
	gate_of(set, name)->released++;
	rx_cond_broadcast(&set->released);
	rx_mutex_unlock(&set->mutex);
	if (set->on_release)
		set->on_release(set->on_release_arg, name);
}

bool fault_set_wait(struct fault_set *set, const struct fault_hit *hit, uint64_t deadline_us, const bool *stop)
{
	const struct gate none = { 0 }, *g = &none;
	bool open;

	rx_mutex_lock(&set->mutex);
	if (hit)
		g = gate_of(set, hit->action.text);
	while (!(open = hit && g->released != hit->opened) && !(stop && *stop))
		if (!rx_cond_wait(&set->released, &set->mutex, deadline_us))
			break;
	rx_mutex_unlock(&set->mutex);
	return open;
}

void fault_set_stop(struct fault_set *set, bool *stop)
{
	rx_mutex_lock(&set->mutex);
	*stop = true;
	rx_cond_broadcast(&set->released);
	rx_mutex_unlock(&set->mutex);
}
