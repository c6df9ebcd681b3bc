/* Clients and who acts on them: how they begin, as in a process of their own, and end, in good
 * order or not. Called by the director's thread. */
#include "tools/storm/play.h"
#include "vfs-emu/instance.h"

enum { FREE_MS = 60000 };

static void trace_client(void *arg, const struct cm_trace_event *ev)
{
	const struct storm_client *c = arg;
	struct storm_play *p = c->play;

	fprintf(p->stage->trace, "%12.3f   [c%u %s %s %s %s]%s%s\n", (double)(ev->end_us - p->begin_us) / 1000, c->id,
		ev->what, ev->name, ev->server, ev->detail, ev->error ? " " : "", ev->error ? ev->error->text : "");
}

int storm_client_begin(struct storm_play *p, unsigned id, struct rx_error *err)
{
	struct storm_client *c = &p->clients[id];
	const struct storm_weather *w = &p->plan->weather;
	struct cm_config cm = {
		.env = p->env, .max_dirty_age_ms = w->dirty_age_ms, .retry_limit_s = 60, .event = storm_event, .arg = c
	};
	struct vfs_config vfs = { .mode = w->full ? VFS_MODE_FULL : VFS_MODE_BASIC,
				  .conflict_timeout_ms = w->conflict_ms ? w->conflict_ms : UINT32_MAX,
				  .workers = 2 };

	if (p->stage->trace)
		cm.trace = trace_client;
	c->play = p;
	c->id = id;
	if (p->stage->ops->client(p->stage, id, &cm, &vfs, err) != 0)
		return -1;
	c->cm = cm_new(&cm, err);
	vfs.cm = c->cm;
	c->vfs = c->cm ? vfs_new(&vfs, err) : NULL;
	if (c->vfs)
		c->lives++;
	return c->vfs ? 0 : -1;
}

int storm_actor_begin(struct storm_actor *a, struct rx_error *err)
{
	struct storm_play *p = a->play;
	struct cm_vnode *dirs[STORM_DIRS] = { NULL };
	int rc = 0;

	if (!a->token)
		rc = cm_token_open(a->client->cm, p->stage->ops->token(p->stage, a->client->id, a->user), NULL,
				   &a->token, err);
	for (unsigned d = 0; d < STORM_DIRS && rc == 0; d++)
		if (!a->dirs[d])
			rc = cm_walk(a->client->cm, a->token, p->dir_path[d], 0, &dirs[d], err);
	rx_mutex_lock(&p->lock);
	for (unsigned d = 0; d < STORM_DIRS; d++)
		if (dirs[d])
			a->dirs[d] = dirs[d];
	rx_mutex_unlock(&p->lock);
	return rc;
}

void storm_actor_end(struct storm_actor *a, bool drop)
{
	struct storm_play *p = a->play;
	struct rx_error err = { 0 };

	for (unsigned h = 0; h < STORM_HANDLES; h++)
		if (storm_close(a, h, drop, &err) != 0 && !storm_is_loss(&err))
			storm_broken(p, a, "cannot close in the end: %s", err.text);
	for (unsigned d = 0; d < STORM_DIRS; d++) {
		struct cm_vnode *v = a->dirs[d];

		rx_mutex_lock(&p->lock);
		a->dirs[d] = NULL;
		rx_mutex_unlock(&p->lock);
		cm_vnode_put(v);
	}
	cm_token_put(a->token);
	a->token = NULL;
}

void storm_client_end(struct storm_client *c, bool crash)
{
	uint64_t lost;

	if (c->vfs)
		vfs_stop(c->vfs);
	lost = c->cm ? cm_free(c->cm, crash ? 0 : FREE_MS) : 0;
	if (lost > 0 && !crash)
		storm_broken(c->play, NULL, "client %u ends with %llu bytes not stored", c->id,
			     (unsigned long long)lost);
	vfs_free(c->vfs);
	c->vfs = NULL;
	c->cm = NULL;
}
