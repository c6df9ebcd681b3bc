/* The client process: takes requests from the runner, gives each to its actor's thread,
 * sends replies as they come; counts calls and writes events down. Main thread: requests;
 * one thread for each USER or USER.THREAD; the library's own call the trace. */
#include "tools/harness/client.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "tools/fault/memory.h"
#include "tools/harness/client_config.h"
#include "vfs-emu/instance.h"

enum { END_MS = 10000 };

struct client_token {
	struct client_token *next;
	char user[32];
	struct cm_token *token;
};

struct client_count {
	struct client_count *next;
	char name[64];
	unsigned n;
};

/* A thread that carries out one request after another. */
struct client_actor {
	struct client_actor *next;
	struct client *client;
	char name[64], user[32];
	pthread_t thread;
	pthread_cond_t more;
	struct client_job *first, **end;
	bool stop;
};

struct client_job {
	struct client_job *next;
	uint32_t id;
	char *line;
};

static client_verb *const verbs[] = {
#define CLIENT_VERB_ROW(name, args, flags, usage) client_##name,
	HARNESS_VERBS(CLIENT_VERB_ROW)
#undef CLIENT_VERB_ROW
};

static uint64_t now_us(void)
{
	return rx_now_us(rx_env_posix());
}

/* ---- what the library tells ---- */

/* Lock held. */
static void count(struct client *c, const char *name)
{
	struct client_count *n = c->counts;

	while (n && strcmp(n->name, name))
		n = n->next;
	if (!n) {
		n = calloc(1, sizeof *n);
		if (!n)
			fault_no_memory();
		snprintf(n->name, sizeof n->name, "%s", name);
		n->next = c->counts;
		c->counts = n;
	}
	n->n++;
}

static void on_trace(void *arg, const struct cm_trace_event *ev)
{
	bool begins = !strcmp(ev->what, "call");
	struct client *c = arg;

	if (!begins && strcmp(ev->what, "rpc"))
		return;
	pthread_mutex_lock(&c->lock);
	fprintf(c->trace, "%llu %s %s ", (unsigned long long)ev->start_us, ev->name, ev->server);
	if (begins) {
		fputs("begins\n", c->trace);
	} else {
		fprintf(c->trace, "%llu us: %s\n", (unsigned long long)(ev->end_us - ev->start_us),
			ev->error ? ev->error->text : "ok");
		count(c, ev->name);
	}
	fflush(c->trace);
	pthread_mutex_unlock(&c->lock);
}

static void on_event(void *arg, const struct cm_event *ev)
{
	static const char *const kinds[] = { "killed", "expired", "delayed", "overwrote" };
	const char *name = strerrorname_np(ev->error.errnum);
	struct cm_token_info info;
	struct client *c = arg;

	cm_token_info(ev->token, &info);
	pthread_mutex_lock(&c->lock);
	fprintf(c->events_out, "%s %.*s %llu-%llu %s\n", kinds[ev->kind], (int)strcspn(info.principal, "@"),
		*info.principal ? info.principal : "anonymous", (unsigned long long)ev->from,
		(unsigned long long)ev->to, name ? name : "ok");
	fflush(c->events_out);
	pthread_mutex_unlock(&c->lock);
}

int client_events(struct client_task *t, struct rx_error *err)
{
	(void)err;
	pthread_mutex_lock(&t->client->lock);
	if (t->client->events_len) /* else there is no buffer either */
		fwrite(t->client->events, 1, t->client->events_len, t->answer);
	pthread_mutex_unlock(&t->client->lock);
	return 0;
}

int client_calls(struct client_task *t, struct rx_error *err)
{
	const char *pattern = t->step->text[0];
	unsigned sum = 0;

	(void)err;
	pthread_mutex_lock(&t->client->lock);
	for (struct client_count *n = t->client->counts; n; n = n->next) {
		if (!*pattern)
			fprintf(t->answer, "%s %u\n", n->name, n->n);
		else if (!fnmatch(pattern, n->name, 0))
			sum += n->n;
	}
	pthread_mutex_unlock(&t->client->lock);
	if (*pattern)
		fprintf(t->answer, "%u", sum);
	return 0;
}

/* Records that wait to be stored, one a line: "f: alice 0-12 PENDING". The library calls the
 * trace with its locks held, so ours is not held when the library is asked. */
int client_dirty(struct client_task *t, struct rx_error *err)
{
	struct client *c = t->client;
	struct client_file files[64];
	size_t n = 0;

	(void)err;
	pthread_mutex_lock(&c->lock);
	for (struct client_file *f = c->files; f && n < sizeof files / sizeof *files; f = f->next) {
		files[n] = *f;
		cm_vnode_get(files[n++].vnode);
	}
	pthread_mutex_unlock(&c->lock);
	for (size_t i = 0; i < n; i++) {
		struct cm_record_view r;

		for (uint64_t at = 0; cm_record_next(files[i].vnode, at, &r); at = r.last + 1) {
			struct cm_token_info info;

			cm_token_info(r.token, &info);
			fprintf(t->answer, "%s: %.*s %llu-%llu %s\n", files[i].name, (int)strcspn(info.principal, "@"),
				*info.principal ? info.principal : "anonymous",
				(unsigned long long)(r.first * CM_PAGE + r.off_first),
				(unsigned long long)(r.last * CM_PAGE + r.to_last), cm_record_state_name(r.state));
		}
		cm_vnode_put(files[i].vnode);
	}
	return 0;
}

/* ---- carrying out ---- */

static struct cm_token *token_of(struct client *c, const char *user, struct rx_error *err)
{
	struct client_token *t;
	char spec[HARNESS_PATH];

	pthread_mutex_lock(&c->lock);
	for (t = c->tokens; t && strcmp(t->user, user);)
		t = t->next;
	pthread_mutex_unlock(&c->lock);
	if (t)
		return t->token;
	t = calloc(1, sizeof *t);
	if (!t)
		fault_no_memory();
	snprintf(t->user, sizeof t->user, "%s", user);
	snprintf(spec, sizeof spec, "FILE:%s/%s", c->ccaches, user);
	if (cm_token_open(c->cm, strcmp(user, "anonymous") ? spec : user, NULL, &t->token, err)) {
		free(t);
		return NULL;
	}
	/* Two threads of one user may have come this far: both tokens are one identity. */
	pthread_mutex_lock(&c->lock);
	t->next = c->tokens;
	c->tokens = t;
	pthread_mutex_unlock(&c->lock);
	return t->token;
}

static void reply(struct client *c, const struct harness_reply *r, const char *answer)
{
	pthread_mutex_lock(&c->lock);
	if (harness_send(c->fd, r, sizeof *r) || harness_send(c->fd, answer, r->len))
		_exit(EXIT_FAILURE); /* the runner has gone */
	pthread_mutex_unlock(&c->lock);
}

static void carry_out(struct client *c, const char *user, const struct client_job *job)
{
	struct harness_reply r = { .id = job->id };
	struct client_task t = { .client = c, .user = user };
	struct harness_step step;
	struct fault_lexer lx;
	char *answer = NULL;
	size_t len = 0;
	uint64_t began = now_us();
	int rc;

	t.answer = open_memstream(&answer, &len);
	if (!t.answer)
		fault_no_memory();
	t.step = &step;
	fault_lexer_init(&lx, job->line, 1, &r.err);
	rc = harness_step_parse(&lx, &step);
	if (!rc && step.verb < HARNESS_events) {
		t.token = token_of(c, user, &r.err);
		rc = t.token ? 0 : -1;
	}
	if (!rc)
		rc = verbs[step.verb](&t, &r.err);
	fclose(t.answer);
	r.took_us = now_us() - began;
	r.status = rc ? HARNESS_FAILED : t.signal ? HARNESS_SIGNALLED : HARNESS_DONE;
	r.number = t.signal;
	r.len = len;
	reply(c, &r, answer);
	free(answer);
}

static void *act(void *arg)
{
	struct client_actor *a = arg;
	struct client *c = a->client;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		struct client_job *job = a->first;

		if (!job && a->stop)
			break;
		if (!job) {
			pthread_cond_wait(&a->more, &c->lock);
			continue;
		}
		a->first = job->next;
		if (!a->first)
			a->end = &a->first;
		pthread_mutex_unlock(&c->lock);
		carry_out(c, a->user, job);
		free(job->line);
		free(job);
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* Lock held. */
static struct client_actor *actor_named(struct client *c, const char *name)
{
	struct client_actor *a = c->actors;

	while (a && strcmp(a->name, name))
		a = a->next;
	if (a)
		return a;
	a = calloc(1, sizeof *a);
	if (!a)
		fault_no_memory();
	a->client = c;
	a->end = &a->first;
	snprintf(a->name, sizeof a->name, "%s", name);
	snprintf(a->user, sizeof a->user, "%.*s", (int)strcspn(name, "."), name);
	pthread_cond_init(&a->more, NULL);
	if (pthread_create(&a->thread, NULL, act, a))
		fault_give_up("no thread could be started");
	a->next = c->actors;
	c->actors = a;
	return a;
}

/* Until the runner closes its end. */
static void serve(struct client *c)
{
	struct harness_request q;

	while (!harness_receive(c->fd, &q, sizeof q)) {
		struct client_job *job = calloc(1, sizeof *job);
		struct client_actor *a;

		if (!job || !(job->line = calloc(1, q.len + 1)))
			fault_no_memory();
		job->id = q.id;
		if (harness_receive(c->fd, job->line, q.len))
			_exit(EXIT_FAILURE);
		pthread_mutex_lock(&c->lock);
		a = actor_named(c, q.actor);
		*a->end = job;
		a->end = &job->next;
		pthread_cond_signal(&a->more);
		pthread_mutex_unlock(&c->lock);
	}
}

/* ---- beginning and end ---- */

static int start(struct client *c, const char *confdir, const struct harness_client_config *k, struct rx_error *err)
{
	struct cm_config cm = { .confdir = confdir,
				.port = k->port,
				.level = k->level,
				.dead_time_s = k->dead_time_s,
				.max_dirty_age_ms = k->dirty_age_ms,
				.retry_limit_s = k->retry_limit_s,
				.trace = on_trace,
				.event = on_event,
				.arg = c };
	struct vfs_config vfs = { .mode = k->mode, .conflict_timeout_ms = k->conflict_timeout_ms };

	c->cm = cm_new(&cm, err);
	if (!c->cm)
		return -1;
	vfs.cm = c->cm;
	c->vfs = vfs_new(&vfs, err);
	return c->vfs ? 0 : -1;
}

static void stop_actors(struct client *c)
{
	pthread_mutex_lock(&c->lock);
	for (struct client_actor *a = c->actors; a; a = a->next) {
		a->stop = true;
		pthread_cond_signal(&a->more);
	}
	pthread_mutex_unlock(&c->lock);
	while (c->actors) {
		struct client_actor *a = c->actors;

		c->actors = a->next;
		pthread_join(a->thread, NULL);
		pthread_cond_destroy(&a->more);
		free(a);
	}
}

/* How many bytes could not be stored. */
static uint64_t finish(struct client *c)
{
	uint64_t left = 0;

	stop_actors(c);
	if (c->vfs) {
		client_close_all(c, NULL);
		vfs_stop(c->vfs);
	}
	while (c->tokens) {
		struct client_token *t = c->tokens;

		c->tokens = t->next;
		cm_token_put(t->token);
		free(t);
	}
	if (c->cm)
		left = cm_free(c->cm, END_MS);
	if (c->vfs)
		vfs_free(c->vfs);
	while (c->counts) {
		struct client_count *n = c->counts;

		c->counts = n->next;
		free(n);
	}
	fclose(c->events_out);
	free(c->events);
	fclose(c->trace);
	return left;
}

/* umafs-fault client FD CONFDIR CCACHES TRACE OPTIONS; by the runner. */
int client_main(int argc, char **argv)
{
	struct client c = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct harness_client_config config;
	struct harness_reply hello = { 0 };
	struct fault_lexer lx;
	uint64_t left;
	int rc;

	if (argc != 6) {
		fprintf(stderr, "umafs-fault client: is started by umafs-fault run\n");
		return 2;
	}
	c.fd = atoi(argv[1]);
	c.ccaches = argv[3];
	c.trace = fopen(argv[4], "we");
	c.events_out = open_memstream(&c.events, &c.events_len);
	if (!c.trace)
		fault_give_up("its trace cannot be opened");
	if (!c.events_out)
		fault_no_memory();
	client_catch_sigbus();
	fault_lexer_init(&lx, argv[5], 1, &hello.err);
	rc = harness_client_config_parse(&lx, &config);
	if (!rc)
		rc = start(&c, argv[2], &config, &hello.err);
	hello.status = rc ? HARNESS_FAILED : HARNESS_DONE;
	reply(&c, &hello, "");
	if (!rc)
		serve(&c);
	left = finish(&c);
	if (left)
		fprintf(stderr, "%llu bytes could not be stored\n", (unsigned long long)left);
	return left ? HARNESS_LEFT : EXIT_SUCCESS;
}
