/* Delta debugging: takes ever smaller runs of events out of a plan that fails, and calms
 * the weather, as long as it still fails. Calls back for every play; holds nothing. */
#include <stdlib.h>
#include <string.h>

#include "tools/storm/storm.h"

struct shrinker {
	struct storm_plan *plan;
	storm_holds_fn *holds;
	void *arg;
	unsigned plays, limit;
};

static bool fails(struct shrinker *s, const struct storm_plan *plan)
{
	if (s->plays == s->limit)
		return false;
	s->plays++;
	return !s->holds(s->arg, plan);
}

/* True: it fails without [at, at + n) too, and they are gone. */
static bool without(struct shrinker *s, size_t at, size_t n)
{
	struct storm_plan *plan = s->plan, less = *plan;

	less.n = plan->n - n;
	less.events = malloc((less.n + 1) * sizeof(*less.events));
	if (!less.events)
		return false;
	memcpy(less.events, plan->events, at * sizeof(*less.events));
	memcpy(less.events + at, plan->events + at + n, (plan->n - at - n) * sizeof(*less.events));
	if (!fails(s, &less)) {
		free(less.events);
		return false;
	}
	free(plan->events);
	*plan = less;
	return true;
}

static bool pass(struct shrinker *s, size_t n)
{
	bool any = false;

	for (size_t at = 0; at < s->plan->n;) {
		size_t some = n < s->plan->n - at ? n : s->plan->n - at;

		if (without(s, at, some))
			any = true;
		else
			at += some;
	}
	return any;
}

static void calm(struct shrinker *s)
{
	struct storm_weather was = s->plan->weather;

	s->plan->weather.loss = s->plan->weather.duplicate = s->plan->weather.jitter_us = 0;
	if (!fails(s, s->plan))
		s->plan->weather = was;
}

unsigned storm_shrink(struct storm_plan *plan, storm_holds_fn *holds, void *arg, unsigned plays)
{
	struct shrinker s = { .plan = plan, .holds = holds, .arg = arg, .limit = plays };
	size_t n = plan->n / 2;

	calm(&s);
	while (n > 0 && s.plays < s.limit) {
		bool any = pass(&s, n);

		if (!any || n > plan->n / 2)
			n = n == 1 && any ? 1 : n / 2;
	}
	return s.plays;
}
