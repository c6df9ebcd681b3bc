/* The control socket's server side: see control.h. */
#include "tools/fault/control.h"
#include "tools/fault/memory.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { COMMAND_MAX = 4096 };

const char fault_control_help[] = "list | add RULE | remove NAME | release GATE | help";

struct session {
	struct session *next;
	struct fault_control *control;
	struct bufferevent *bev;
};

struct fault_control {
	struct event_base *base;
	struct fault_set *set;
	fault_control_extra *extra;
	void *arg;
	struct evconnlistener *listener;
	struct session *sessions;
	char path[sizeof((struct sockaddr_un *)NULL)->sun_path];
};

static int unix_address(const char *path, struct sockaddr_un *a, struct rx_error *err)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof a->sun_path)
		return rx_error_errno(err, ENAMETOOLONG, "the control socket's path %.60s... is longer than %zu bytes",
				      path, sizeof a->sun_path - 1);
	strcpy(a->sun_path, path);
	return 0;
}

/* "word" at the start of the line; what follows it in *rest. */
static bool command(const char *line, const char *word, const char **rest)
{
	size_t n = strlen(word);

	if (strncmp(line, word, n) || (line[n] && line[n] != ' '))
		return false;
	*rest = line + n + strspn(line + n, " ");
	return true;
}

static int perform(struct fault_control *c, const char *line, FILE *out, struct rx_error *err)
{
	char name[FAULT_NAME_MAX];
	const char *rest;
	int rc = 0;

	if (command(line, "list", &rest)) {
		fault_set_list(c->set, out);
	} else if (command(line, "add", &rest)) {
		rc = fault_set_add(c->set, rest, 1, name, err);
		if (!rc && name[0])
			fprintf(out, "%s\n", name);
	} else if (command(line, "remove", &rest)) {
		rc = fault_set_remove(c->set, rest, err);
	} else if (command(line, "release", &rest)) {
		fault_set_release(c->set, rest);
	} else if (c->extra && c->extra(c->arg, line, out, &rc, err)) {
		return rc;
	} else if (command(line, "help", &rest)) {
		fprintf(out, "%s\n", fault_control_help);
	} else {
		rc = rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "unknown command \"%.40s\"; help lists them",
				  line);
	}
	return rc;
}

static void end_session(struct session *s)
{
	struct session **at = &s->control->sessions;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	bufferevent_free(s->bev);
	free(s);
}

/* False: not all of the answer can be given, so none of it counts. */
static bool answer(struct session *s, const char *line)
{
	struct evbuffer *to = bufferevent_get_output(s->bev);
	struct rx_error err = { 0 };
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	bool whole;
	int rc;

	if (!out)
		fault_no_memory();
	rc = perform(s->control, line, out, &err);
	whole = !ferror(out);
	whole = fclose(out) == 0 && whole && evbuffer_add(to, text, len) == 0 &&
		evbuffer_add_printf(to, rc ? "error: %s\n" : "ok\n", err.text) >= 0;
	free(text);
	return whole;
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct session *s = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	bool whole = true;
	char *line;

	while (whole && (line = evbuffer_readln(in, NULL, EVBUFFER_EOL_LF))) {
		whole = answer(s, line);
		free(line);
	}
	/* Too long, or whole but without memory to take it. */
	if (!whole || evbuffer_get_length(in) > COMMAND_MAX ||
	    evbuffer_search_eol(in, NULL, NULL, EVBUFFER_EOL_LF).pos >= 0)
		end_session(s);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		end_session(arg);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *a, int len, void *arg)
{
	struct fault_control *c = arg;
	struct session *s = calloc(1, sizeof *s);

	(void)l;
	(void)a;
	(void)len;
	if (s)
		s->bev = bufferevent_socket_new(c->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!s || !s->bev) {
		free(s);
		close(fd);
		return;
	}
	bufferevent_setcb(s->bev, on_read, NULL, on_event, s);
	if (bufferevent_enable(s->bev, EV_READ | EV_WRITE)) {
		/* Nobody would ever answer: better a closed connection. */
		bufferevent_free(s->bev);
		free(s);
		return;
	}
	s->control = c;
	s->next = c->sessions;
	c->sessions = s;
}

/* A socket in the way that refuses connections is a leftover. */
static void remove_leftover(const struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof *a) && errno == ECONNREFUSED)
		unlink(a->sun_path);
	if (fd >= 0)
		close(fd);
}

struct fault_control *fault_control_new(struct event_base *base, const char *path, struct fault_set *set,
					fault_control_extra *extra, void *arg, struct rx_error *err)
{
	struct fault_control *c = calloc(1, sizeof *c);
	struct sockaddr_un a;

	if (!c)
		fault_no_memory();
	*c = (struct fault_control){ .base = base, .set = set, .extra = extra, .arg = arg };
	if (unix_address(path, &a, err))
		goto fail;
	remove_leftover(&a);
	c->listener = evconnlistener_new_bind(base, on_accept, c, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 8,
					      (struct sockaddr *)&a, (int)sizeof a);
	if (!c->listener) {
		rx_error_errno(err, errno, "the control socket %s cannot be made", path);
		goto fail;
	}
	strcpy(c->path, a.sun_path);
	return c;
fail:
	free(c);
	return NULL;
}

void fault_control_free(struct fault_control *c)
{
	if (!c)
		return;
	while (c->sessions)
		end_session(c->sessions);
	evconnlistener_free(c->listener);
	unlink(c->path);
	free(c);
}

static int read_answer(FILE *f, FILE *out, struct rx_error *err)
{
	char *line = NULL;
	size_t cap = 0;
	int rc = -2;

	while (rc == -2 && getline(&line, &cap, f) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (!strcmp(line, "ok"))
			rc = 0;
		else if (!strncmp(line, "error: ", 7))
			rc = -rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "%s", line + 7);
		else
			fprintf(out, "%s\n", line);
	}
	free(line);
	return rc;
}

/* A server that is gone is an error, not a signal. */
static int send_command(int fd, char *const words[])
{
	char line[COMMAND_MAX + 1];
	size_t len = 0;

	for (size_t i = 0; words[i]; i++) {
		int n = snprintf(line + len, sizeof(line) - len, "%s%s", i ? " " : "", words[i]);

		if (n < 0 || (size_t)n >= sizeof(line) - len) {
			errno = E2BIG;
			return -1;
		}
		len += (size_t)n;
	}
	line[len++] = '\n';
	return send(fd, line, len, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -1;
}

int fault_control_call(const char *path, char *const words[], FILE *out, struct rx_error *err)
{
	struct sockaddr_un a;
	FILE *f;
	int fd, rc;

	if (unix_address(path, &a, err))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a)) {
		rx_error_errno(err, errno, "nobody listens at the control socket %s", path);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	if (send_command(fd, words)) {
		rx_error_errno(err, errno, "the control socket %s takes no command", path);
		close(fd);
		return -1;
	}
	f = fdopen(fd, "r");
	if (!f)
		fault_no_memory();
	rc = read_answer(f, out, err);
	fclose(f);
	if (rc == -2)
		return rx_error_set(err, RX_ORIGIN_ERRNO, EPIPE, EPIPE,
				    "the control socket %s was closed before the answer", path);
	return rc;
}
