/* Clients and actors of a scenario: see cast.h. */
#include "tools/harness/cast.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rx/env.h"
#include "tools/fault/memory.h"
#include "tools/harness/message.h"

enum { FILE_NAME = HARNESS_DIR + 96 };

static uint64_t now_us(void)
{
	return rx_now_us(rx_env_posix());
}

static void add_client(struct cast *cast, const char *name, const char *options)
{
	struct cast_client *c = &cast->clients[cast->nclients++];

	*c = (struct cast_client){ .options = options, .process.fd = -1, .fd = -1 };
	snprintf(c->name, sizeof c->name, "%s", name);
}

void cast_init(struct cast *cast, struct harness_rig *rig)
{
	const struct harness_scenario *sc = rig->scenario;

	*cast = (struct cast){ .rig = rig };
	for (unsigned i = 0; i < sc->nclients; i++)
		add_client(cast, sc->clients[i].name, sc->clients[i].options);
	if (!cast_client(cast, "here"))
		add_client(cast, "here", "");
}

struct cast_client *cast_client(struct cast *cast, const char *name)
{
	for (unsigned i = 0; i < cast->nclients; i++) {
		if (!strcmp(cast->clients[i].name, name))
			return &cast->clients[i];
	}
	return NULL;
}

struct cast_actor *cast_actor(struct cast *cast, const char *text, struct rx_error *err)
{
	for (unsigned i = 0; i < cast->nactors; i++) {
		if (!strcmp(cast->actors[i].text, text))
			return &cast->actors[i];
	}
	if (cast->nactors == CAST_ACTORS) {
		rx_error_set(err, RX_ORIGIN_ERRNO, E2BIG, E2BIG, "more than %d actors", CAST_ACTORS);
		return NULL;
	}
	snprintf(cast->actors[cast->nactors].text, sizeof cast->actors->text, "%s", text);
	cast->actors[cast->nactors].program.fd = -1;
	return &cast->actors[cast->nactors++];
}

/* ---- clients ---- */

static int start_client(struct cast *cast, struct cast_client *c, struct rx_error *err)
{
	char program[HARNESS_DIR + 16], trace[FILE_NAME], out[FILE_NAME], errout[FILE_NAME], fd[16];
	char krb5[HARNESS_DIR + 32];
	const struct harness_rig *rig = cast->rig;
	const char *const env[] = { rig->options->confdir ? NULL : krb5, NULL };
	char *const argv[] = { program,
			       "client",
			       fd,
			       (char *)(uintptr_t)rig->conf,
			       (char *)(uintptr_t)rig->ccaches,
			       trace,
			       (char *)(uintptr_t)c->options,
			       NULL };
	struct harness_spawn spawn = { .argv = argv, .env = env, .out = out, .err = errout, .append = true };
	int pair[2], rc;

	snprintf(program, sizeof program, "%s/umafs-fault", rig->options->bin);
	snprintf(trace, sizeof trace, "%s/%s.calls", rig->dir, c->name);
	snprintf(out, sizeof out, "%s/%s.out", rig->dir, c->name);
	snprintf(errout, sizeof errout, "%s/%s.err", rig->dir, c->name);
	snprintf(krb5, sizeof krb5, "KRB5_CONFIG=%s/krb5.conf", rig->conf);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return rx_error_errno(err, errno, "no socket pair");
	snprintf(fd, sizeof fd, "%d", pair[1]);
	spawn.keep = pair[1];
	rc = harness_process_start(&c->process, &spawn, err);
	close(pair[1]);
	if (rc) {
		close(pair[0]);
		return -1;
	}
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	c->fd = pair[0];
	c->ending = c->hello = false;
	c->in_len = 0;
	c->failed = (struct rx_error){ 0 };
	return 0;
}

static void finish_step(struct cast_actor *a, enum harness_status status)
{
	a->result.status = status;
	a->done = true;
}

/* Whatever waits for the client fails. */
static void forget_client(struct cast *cast, struct cast_client *c, const char *why)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	free(c->in);
	c->in = NULL;
	c->in_len = c->in_cap = 0;
	for (unsigned i = 0; i < cast->nactors; i++) {
		struct cast_actor *a = &cast->actors[i];

		if (a->client != c || !a->busy || a->done)
			continue;
		rx_error_set(&a->result.err, RX_ORIGIN_ERRNO, EPIPE, EPIPE, "client %s %s", c->name, why);
		finish_step(a, HARNESS_FAILED);
	}
}

void cast_kill(struct cast *cast, struct cast_client *c)
{
	harness_process_stop(&c->process, SIGKILL, 0);
	forget_client(cast, c, "was killed");
}

void cast_end(struct cast_client *c)
{
	c->ending = true;
	if (c->fd >= 0)
		shutdown(c->fd, SHUT_WR);
}

bool cast_client_gone(const struct cast_client *c)
{
	return !c->process.pid;
}

bool cast_client_left(const struct cast_client *c)
{
	return WIFEXITED(c->process.status) && WEXITSTATUS(c->process.status) == HARNESS_LEFT;
}

static void take_reply(struct cast *cast, struct cast_client *c, const struct harness_reply *r, const uint8_t *answer)
{
	if (!r->id) {
		c->hello = true;
		c->failed = r->err;
		return;
	}
	for (unsigned i = 0; i < cast->nactors; i++) {
		struct cast_actor *a = &cast->actors[i];

		if (a->client != c || a->id != r->id || !a->busy || a->done)
			continue;
		a->result = (struct harness_result){ .err = r->err, .number = r->number, .took_us = r->took_us };
		a->result.bytes[HARNESS_ANSWER] = malloc(r->len + 1);
		if (!a->result.bytes[HARNESS_ANSWER])
			fault_no_memory();
		memcpy(a->result.bytes[HARNESS_ANSWER], answer, r->len);
		a->result.bytes[HARNESS_ANSWER][r->len] = 0;
		a->result.len[HARNESS_ANSWER] = r->len;
		finish_step(a, r->status);
	}
}

static void take_replies(struct cast *cast, struct cast_client *c)
{
	struct harness_reply r;
	size_t used = 0;

	while (c->in_len - used >= sizeof r) {
		memcpy(&r, c->in + used, sizeof r);
		if (c->in_len - used - sizeof r < r.len)
			break;
		take_reply(cast, c, &r, c->in + used + sizeof r);
		used += sizeof r + r.len;
	}
	c->in_len -= used;
	if (used && c->in_len)
		memmove(c->in, c->in + used, c->in_len);
}

static void read_client(struct cast *cast, struct cast_client *c)
{
	ssize_t n = 1;

	while (c->fd >= 0 && n > 0) {
		if (c->in_cap - c->in_len < 65536) {
			c->in_cap = c->in_cap * 2 + 65536;
			c->in = realloc(c->in, c->in_cap);
			if (!c->in)
				fault_no_memory();
		}
		n = recv(c->fd, c->in + c->in_len, c->in_cap - c->in_len, 0);
		if (n > 0)
			c->in_len += (size_t)n;
	}
	take_replies(cast, c);
}

/* Unstored bytes are told by `end`; at a scenario's end they are the scenario's own affair. */
static bool in_order(const struct harness_process *p)
{
	return WIFEXITED(p->status) && (!WEXITSTATUS(p->status) || WEXITSTATUS(p->status) == HARNESS_LEFT);
}

static int collect_client(struct cast *cast, struct cast_client *c, struct rx_error *err)
{
	char buf[32];

	read_client(cast, c);
	if (!c->process.pid || !harness_process_ended(&c->process))
		return 0;
	read_client(cast, c);
	forget_client(cast, c, c->failed.code ? c->failed.text : "has ended");
	if (c->ending && in_order(&c->process))
		return 0;
	if (c->failed.code)
		return rx_error_set(err, c->failed.origin, c->failed.code, c->failed.errnum,
				    "client %s does not start: %.200s", c->name, c->failed.text);
	return rx_error_set(err, RX_ORIGIN_ERRNO, ECHILD, ECHILD, "client %s ended with %s", c->name,
			    harness_status_text(c->process.status, buf));
}

/* ---- programs ---- */

static char **expand_words(const struct harness_rig *rig, char *const *words)
{
	struct harness_variables v = harness_rig_variables(rig);
	size_t n = 0;
	char **out;

	while (words[n])
		n++;
	out = calloc(n + 1, sizeof *out);
	if (!out)
		fault_no_memory();
	for (size_t i = 0; i < n; i++)
		out[i] = harness_expand(words[i], &v);
	return out;
}

static void output_name(const struct cast *cast, const struct cast_actor *a, const char *kind, char out[FILE_NAME])
{
	snprintf(out, FILE_NAME, "%s/%s.%u.%s", cast->rig->dir, a->text, a->nprograms, kind);
}

static int start_program(struct cast *cast, struct cast_actor *a, const struct harness_statement *s,
			 struct rx_error *err)
{
	char **argv = expand_words(cast->rig, s->words);
	char out[FILE_NAME], errout[FILE_NAME];
	int rc;

	a->nprograms++;
	output_name(cast, a, "stdout", out);
	output_name(cast, a, "stderr", errout);
	rc = harness_rig_run(cast->rig, s->actor.user, argv, out, errout, &a->program, err);
	for (size_t i = 0; argv[i]; i++)
		free(argv[i]);
	free(argv);
	return rc;
}

static void collect_program(struct cast *cast, struct cast_actor *a)
{
	char path[FILE_NAME];

	if (!a->busy || a->done || !a->program.pid || !harness_process_ended(&a->program))
		return;
	a->result = (struct harness_result){ .took_us = now_us() - a->began_us };
	output_name(cast, a, "stdout", path);
	a->result.bytes[HARNESS_ANSWER] = harness_file_bytes(path, &a->result.len[HARNESS_ANSWER]);
	output_name(cast, a, "stderr", path);
	a->result.bytes[HARNESS_STDERR] = harness_file_bytes(path, &a->result.len[HARNESS_STDERR]);
	if (WIFSIGNALED(a->program.status)) {
		a->result.number = WTERMSIG(a->program.status);
		finish_step(a, HARNESS_SIGNALLED);
	} else {
		a->result.number = WEXITSTATUS(a->program.status);
		finish_step(a, a->result.number ? HARNESS_EXITED : HARNESS_DONE);
	}
}

/* ---- all of them ---- */

static int send_step(struct cast *cast, struct cast_actor *a, const struct harness_statement *s, struct rx_error *err)
{
	struct harness_variables v = harness_rig_variables(cast->rig);
	struct cast_client *c = cast_client(cast, s->actor.client);
	char *command = harness_expand(s->command, &v);
	struct harness_request q = { .id = ++cast->id, .len = (uint32_t)strlen(command) };
	int rc = 0;

	a->client = c;
	a->id = q.id;
	memcpy(q.actor, s->actor.text, strcspn(s->actor.text, "@"));
	if (c->fd < 0)
		rc = start_client(cast, c, err);
	if (!rc && (harness_send(c->fd, &q, sizeof q) || harness_send(c->fd, command, q.len)))
		rc = rx_error_errno(err, errno, "client %s cannot be spoken to", c->name);
	free(command);
	return rc;
}

int cast_begin(struct cast *cast, struct cast_actor *a, const struct harness_statement *s, struct rx_error *err)
{
	harness_result_free(&a->result);
	a->done = false;
	a->busy = s;
	a->began_us = now_us();
	if ((s->act == HARNESS_ACT_RUN ? start_program(cast, a, s, err) : send_step(cast, a, s, err)) == 0)
		return 0;
	a->busy = NULL;
	return -1;
}

int cast_collect(struct cast *cast, struct rx_error *err)
{
	for (unsigned i = 0; i < cast->nactors; i++)
		collect_program(cast, &cast->actors[i]);
	for (unsigned i = 0; i < cast->nclients; i++) {
		if (collect_client(cast, &cast->clients[i], err))
			return -1;
	}
	return harness_rig_check(cast->rig, err);
}

unsigned cast_polls(struct cast *cast, struct pollfd polls[CAST_POLLS])
{
	unsigned n = 0;

	for (unsigned i = 0; i < cast->nclients; i++) {
		polls[n++] = (struct pollfd){ .fd = cast->clients[i].fd, .events = POLLIN };
		polls[n++] = (struct pollfd){ .fd = cast->clients[i].process.fd, .events = POLLIN };
	}
	for (unsigned i = 0; i < cast->nactors; i++) {
		if (cast->actors[i].busy && !cast->actors[i].done)
			polls[n++] = (struct pollfd){ .fd = cast->actors[i].program.fd, .events = POLLIN };
	}
	polls[n++] = (struct pollfd){ .fd = cast->rig->cell.fd, .events = POLLIN };
	polls[n++] = (struct pollfd){ .fd = cast->rig->wire.fd, .events = POLLIN };
	return n;
}

int cast_finish(struct cast *cast, uint64_t limit_us, struct rx_error *err)
{
	char buf[32];
	int rc = 0;

	for (unsigned i = 0; i < cast->nactors; i++) {
		harness_process_stop(&cast->actors[i].program, SIGKILL, 0);
		harness_result_free(&cast->actors[i].result);
	}
	for (unsigned i = 0; i < cast->nclients; i++)
		cast_end(&cast->clients[i]);
	for (unsigned i = 0; i < cast->nclients; i++) {
		struct cast_client *c = &cast->clients[i];
		struct pollfd wait = { .fd = c->process.fd, .events = POLLIN };
		bool running = c->process.pid;

		if (running && poll(&wait, 1, (int)(limit_us / 1000)) != 1) {
			harness_process_stop(&c->process, SIGKILL, 0);
			if (!rc)
				rx_error_set(err, RX_ORIGIN_ERRNO, ETIMEDOUT, ETIMEDOUT, "client %s does not end",
					     c->name);
			rc = -1;
		} else if (running) {
			harness_process_stop(&c->process, SIGKILL, 0);
			if (!in_order(&c->process) && !rc)
				rc = rx_error_set(err, RX_ORIGIN_ERRNO, ECHILD, ECHILD, "client %s ended with %s",
						  c->name, harness_status_text(c->process.status, buf));
		}
		forget_client(cast, c, "has ended");
	}
	return rc;
}
