/* umafs-wire: a UDP proxy between RX clients and servers that does to packets what a
 * fault script says. Options, the event loop, the command it may run in a network of its
 * own, and the client of the control socket (umafs-wire ctl). One thread. */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/fault/netns.h"
#include "tools/fault/memory.h"
#include "tools/fault/proxy.h"
#include "tools/fault/setup.h"

enum { MAPS_MAX = 64, EXIT_USAGE = 2 };

static const char usage[] =
	"Usage: umafs-wire [OPTIONS] --map LISTEN[=SERVER]... [-- COMMAND...]\n"
	"       umafs-wire ctl SOCKET list | add RULE | remove NAME | release GATE | rebind CLIENT|all | stats\n"
	"       umafs-wire check SCRIPT\n"
	"\n"
	"Stands between RX clients and servers and loses, delays, changes ... packets as a fault\n"
	"script says (doc/fault-scripts.md).\n"
	"\n"
	"  --map LISTEN=SERVER  take what comes to LISTEN (ADDRESS:PORT) to SERVER; may be repeated\n"
	"%s"
	"  --private            see below; LISTEN alone means the same address as SERVER\n"
	"  --stats              print counts on stderr at the end\n"
	"\n"
	"With COMMAND, runs it and ends with it and its exit status; without, until SIGINT or SIGTERM.\n"
	"\n"
	"AFS clients find their servers by address and at fixed ports. --private (as root) makes a\n"
	"network namespace in which this machine has the LISTEN addresses itself, and runs COMMAND\n"
	"in it, so that it meets the injector where the servers should be; the injector's other\n"
	"side stays in the network it was started in:\n"
	"\n"
	"  umafs-wire --private --map 10.0.0.1:7003 --map 10.0.0.11:7000 --rule 'packet prob 5%% -> drop' \\\n"
	"      -- umafs get /afs/example.org/home/file /tmp/file\n"
	"\n"
	"Map every port that COMMAND needs: 7000 fileserver, 7002 pts, 7003 vl, 7005 volserver, 88 KDC.\n";

struct map {
	struct rx_addr listen, server;
};

struct options {
	struct map maps[MAPS_MAX];
	unsigned nmaps;
	bool private, stats;
	char **command; /* NULL: none */
};

struct wire {
	struct rx_env *env;
	struct options opt;
	struct fault_setup setup;
	struct event_base *base;
	struct fault_proxy *proxy;
	int outer;
	pid_t child;
	int status;
	bool stopped;
};

static int fail(const struct rx_error *err, int status)
{
	fprintf(stderr, "umafs-wire: %s\n", err->text);
	return status;
}

static bool parse_addr(const char *text, size_t len, struct rx_addr *out)
{
	char host[64], *colon, *end;
	struct in_addr in;
	unsigned long port;

	if (len >= sizeof host)
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	colon = strchr(host, ':');
	if (!colon)
		return false;
	*colon++ = '\0';
	port = strtoul(colon, &end, 10);
	if (inet_pton(AF_INET, host, &in) != 1 || end == colon || *end || port > 65535)
		return false;
	*out = rx_addr_ipv4(ntohl(in.s_addr), (uint16_t)port);
	return true;
}

static int add_map(struct options *o, const char *text, struct rx_error *err)
{
	const char *eq = strchrnul(text, '=');
	struct map *m = &o->maps[o->nmaps];

	if (o->nmaps == MAPS_MAX)
		return rx_error_set(err, RX_ORIGIN_ERRNO, E2BIG, E2BIG, "more than %d maps", MAPS_MAX);
	if (!parse_addr(text, (size_t)(eq - text), &m->listen) ||
	    !parse_addr(*eq ? eq + 1 : text, strlen(*eq ? eq + 1 : text), &m->server) || !m->server.port)
		return rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL,
				    "--map wants ADDRESS:PORT or ADDRESS:PORT=ADDRESS:PORT, not %.60s", text);
	o->nmaps++;
	return 0;
}

enum { OPT_MAP = 256, OPT_PRIVATE, OPT_STATS, OPT_HELP };

static const struct option long_options[] = {
	{ "map", required_argument, NULL, OPT_MAP },
	{ "private", no_argument, NULL, OPT_PRIVATE },
	{ "stats", no_argument, NULL, OPT_STATS },
	{ "help", no_argument, NULL, OPT_HELP },
	FAULT_LONG_OPTIONS,
	{ NULL, 0, NULL, 0 },
};

static int read_options(struct wire *w, int argc, char **argv, struct rx_error *err)
{
	struct options *o = &w->opt;
	int rc = 0;

	for (int c; !rc && (c = getopt_long(argc, argv, "+h", long_options, NULL)) != -1;) {
		switch (c) {
		case OPT_MAP:
			rc = add_map(o, optarg, err);
			break;
		case OPT_PRIVATE:
			o->private = true;
			break;
		case OPT_STATS:
			o->stats = true;
			break;
		case OPT_HELP:
		case 'h':
			printf(usage, fault_setup_help);
			exit(EXIT_SUCCESS);
		default:
			rc = fault_setup_option(&w->setup, c, optarg, err);
			if (rc > 0)
				rc = rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "see umafs-wire --help");
		}
	}
	if (rc)
		return -1;
	if (!o->nmaps)
		return rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "no --map; see umafs-wire --help");
	o->command = argv[optind] ? argv + optind : NULL;
	return 0;
}

static void print_stats(const struct wire *w, FILE *out)
{
	struct fault_proxy_stats s;

	fault_proxy_stats(w->proxy, &s);
	fprintf(out,
		"from clients %llu, from servers %llu, bytes %llu, sent %llu, dropped %llu, unsent %llu, refused %llu, "
		"clients %llu\n",
		(unsigned long long)s.from_client, (unsigned long long)s.from_server, (unsigned long long)s.bytes,
		(unsigned long long)s.sent, (unsigned long long)s.dropped, (unsigned long long)s.unsent,
		(unsigned long long)s.refused, (unsigned long long)s.clients);
}

static bool extra(void *arg, const char *command, FILE *out, int *rc, struct rx_error *err)
{
	struct wire *w = arg;

	*rc = 0;
	if (!strcmp(command, "stats")) {
		print_stats(w, out);
	} else if (!strncmp(command, "rebind ", 7)) {
		if (!fault_proxy_rebind(w->proxy, command + 7))
			*rc = rx_error_set(err, RX_ORIGIN_ERRNO, ENOENT, ENOENT,
					   "no client %.40s; name one as the trace does, or say all", command + 7);
	} else {
		return false;
	}
	return true;
}

/* All that listens is there before the command begins. */
static int set_up_network(struct wire *w, struct rx_error *err)
{
	struct rx_addr addrs[MAPS_MAX];
	unsigned n = 0;

	for (unsigned i = 0; w->opt.private && i < w->opt.nmaps; i++) {
		unsigned k = 0;

		while (k < n && rx_addr_ip(&addrs[k]) != rx_addr_ip(&w->opt.maps[i].listen))
			k++;
		if (k == n)
			addrs[n++] = w->opt.maps[i].listen;
	}
	if (w->opt.private && fault_netns_enter(addrs, n, &w->outer, err))
		return -1;
	w->proxy = fault_proxy_new(w->base, w->setup.set);
	if (w->opt.private && fault_proxy_upstream_netns(w->proxy, w->outer, err))
		return -1;
	for (unsigned i = 0; i < w->opt.nmaps; i++) {
		struct rx_addr bound;
		char a[64], b[64];

		if (fault_proxy_map(w->proxy, &w->opt.maps[i].listen, &w->opt.maps[i].server, &bound, err))
			return -1;
		if (!w->opt.command)
			printf("%s=%s\n", rx_addr_text(&bound, a), rx_addr_text(&w->opt.maps[i].server, b));
	}
	fflush(stdout);
	return 0;
}

static void on_stop(evutil_socket_t sig, short what, void *arg)
{
	struct wire *w = arg;

	(void)what;
	w->stopped = true;
	if (w->child > 0)
		kill(w->child, (int)sig);
	else
		event_base_loopbreak(w->base);
}

static void on_child(evutil_socket_t sig, short what, void *arg)
{
	struct wire *w = arg;

	(void)sig;
	(void)what;
	if (w->child > 0 && waitpid(w->child, &w->status, WNOHANG) == w->child) {
		w->child = 0;
		event_base_loopbreak(w->base);
	}
}

static int start_command(struct wire *w, struct rx_error *err)
{
	if (!w->opt.command)
		return 0;
	w->child = fork();
	if (w->child < 0)
		return rx_error_errno(err, errno, "%s cannot be started", w->opt.command[0]);
	if (w->child)
		return 0;
	prctl(PR_SET_PDEATHSIG, SIGTERM); /* its servers end with us */
	execvp(w->opt.command[0], w->opt.command);
	fprintf(stderr, "umafs-wire: %s cannot be run: %s\n", w->opt.command[0], strerror(errno));
	_exit(127);
}

static int run(struct wire *w, struct rx_error *err)
{
	struct event_config *config = event_config_new();
	struct event *ev[3] = { 0 };
	int rc = -1;

	if (!config)
		fault_no_memory();
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	w->base = event_base_new_with_config(config);
	event_config_free(config);
	if (!w->base)
		fault_no_memory();
	if (fault_setup_begin(&w->setup, err) || set_up_network(w, err) ||
	    fault_setup_listen(&w->setup, w->base, extra, w, err))
		goto out;
	ev[0] = evsignal_new(w->base, SIGINT, on_stop, w);
	ev[1] = evsignal_new(w->base, SIGTERM, on_stop, w);
	ev[2] = evsignal_new(w->base, SIGCHLD, on_child, w);
	for (unsigned i = 0; i < 3; i++) {
		if (!ev[i] || event_add(ev[i], NULL))
			fault_no_memory();
	}
	if (start_command(w, err))
		goto out;
	event_base_dispatch(w->base);
	if (w->opt.stats)
		print_stats(w, stderr);
	rc = 0;
out:
	for (unsigned i = 0; i < 3; i++) {
		if (ev[i])
			event_free(ev[i]);
	}
	fault_setup_unlisten(&w->setup);
	fault_proxy_free(w->proxy);
	if (fault_setup_end(&w->setup, rc ? NULL : err))
		rc = -1;
	event_base_free(w->base);
	if (w->outer >= 0)
		close(w->outer);
	return rc;
}

static int wire_main(int argc, char **argv)
{
	struct wire w = { .env = rx_env_posix(), .outer = -1 };
	struct rx_error err = { 0 };

	fault_setup_init(&w.setup, w.env);
	if (read_options(&w, argc, argv, &err))
		return fail(&err, EXIT_USAGE);
	if (run(&w, &err))
		return fail(&err, EXIT_FAILURE);
	if (WIFSIGNALED(w.status))
		return 128 + WTERMSIG(w.status);
	return WEXITSTATUS(w.status);
}

static int check_main(const char *path)
{
	struct fault_set *set = fault_set_new(rx_env_posix(), 0, NULL);
	struct rx_error err = { 0 };
	int rc = fault_set_load(set, path, &err);

	if (!rc)
		fault_set_list(set, stdout);
	fault_set_free(set);
	return rc ? fail(&err, EXIT_FAILURE) : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc > 3 && !strcmp(argv[1], "ctl"))
		return fault_setup_ctl("umafs-wire", argv + 2);
	if (argc == 3 && !strcmp(argv[1], "check"))
		return check_main(argv[2]);
	if (argc > 1 && (!strcmp(argv[1], "ctl") || !strcmp(argv[1], "check"))) {
		fprintf(stderr, usage, fault_setup_help);
		return EXIT_USAGE;
	}
	return wire_main(argc, argv);
}
