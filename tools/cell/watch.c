/* What file servers do about clients that have not called for long: those with promises are
 * asked whether they live, those of whom nothing was heard for two hours are forgotten. One
 * thread of the cell, which begins a round every five minutes; the control command
 * `check-hosts` is such a round. Tables are guarded by cell->lock, clients are asked without it. */
#include "tools/cell/internal.h"

enum { ROUND_US = 300 * 1000000, QUIET_S = 15 * 60, FORGOTTEN_S = 2 * 3600 };

static int64_t quiet_for(const struct cell_host *host)
{
	return cell_now(host->fs->cell) - host->heard;
}

static bool is_due(const struct cell_host *host, unsigned round)
{
	if (host->gone || host->round == round || host->state == CELL_HOST_VERIFYING)
		return false;
	if (quiet_for(host) > FORGOTTEN_S)
		return true;
	return host->state == CELL_HOST_GOOD && quiet_for(host) > QUIET_S &&
	       cell_promises_count(host->fs->cell, host) > 0;
}

/* Lock held on entry and exit, not in between. */
static void check(struct cell_host *host)
{
	struct cell *cell = host->fs->cell;
	bool forget = quiet_for(host) > FORGOTTEN_S, has_uuid = host->has_uuid, alive;
	struct afs_uuid uuid = host->uuid;

	host->refs++;
	rx_mutex_unlock(&cell->lock);
	alive = forget ? cell_host_reset(host, has_uuid) : cell_host_probe(host, &uuid);
	rx_mutex_lock(&cell->lock);
	if (forget && quiet_for(host) > FORGOTTEN_S)
		host->gone = true;
	else if (!alive && host->state == CELL_HOST_GOOD)
		host->state = CELL_HOST_DOWN;
	cell_host_put(cell, host);
}

static struct cell_host *next_due(struct cell *cell, unsigned round)
{
	for (unsigned i = 0; i < cell->nfs; i++)
		for (struct cell_host *h = cell->fs[i].hosts; h; h = h->next)
			if (is_due(h, round))
				return h;
	return NULL;
}

void cell_check_hosts(struct cell *cell)
{
	struct cell_host *host;
	unsigned round;

	rx_mutex_lock(&cell->lock);
	round = ++cell->watch_round;
	while (!cell->watch_ends && (host = next_due(cell, round))) {
		host->round = round;
		check(host);
	}
	rx_mutex_unlock(&cell->lock);
}

static void watch(void *arg)
{
	struct cell *cell = arg;
	bool ends;

	do {
		uint64_t until = rx_now_us(cell->env) + ROUND_US;

		rx_mutex_lock(&cell->lock);
		while (!cell->watch_ends && rx_cond_wait(&cell->watch_moved, &cell->lock, until))
			;
		ends = cell->watch_ends;
		rx_mutex_unlock(&cell->lock);
		if (!ends)
			cell_check_hosts(cell);
	} while (!ends);
}

bool cell_watch_start(struct cell *cell)
{
	cell->watcher = rx_thread_spawn(cell->env, "cell hosts", watch, cell);
	return cell->watcher;
}

void cell_watch_stop(struct cell *cell)
{
	rx_mutex_lock(&cell->lock);
	cell->watch_ends = true;
	rx_cond_broadcast(&cell->watch_moved);
	for (unsigned i = 0; i < cell->nfs; i++)
		cell_hosts_hurry(&cell->fs[i]);
	rx_mutex_unlock(&cell->lock);
	if (cell->watcher)
		rx_thread_join(cell->env, cell->watcher);
}
