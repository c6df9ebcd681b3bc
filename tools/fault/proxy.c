/* Sockets and clients of umafs-wire: see proxy.h. */
#include "tools/fault/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/fault/batch.h"
#include "tools/fault/icmp.h"
#include "tools/fault/memory.h"
#include "tools/fault/trace.h"

enum { BATCH = 64, BUCKETS = 1024, CLIENTS_MAX = 4096, ROUNDS = 4, SOCKET_BUFFER = 8 << 20 };

struct pair;

struct client {
	struct client *next; /* in its bucket */
	struct pair *pair;
	uint32_t flow;
	struct rx_addr addr;
	struct sockaddr_in sin;
	uint64_t used_us;
	int fd;
	struct event *readable;
};

struct pair {
	struct pair *next;
	struct fault_proxy *proxy;
	struct rx_addr listen, server;
	int fd;
	struct event *readable;
};

struct fault_proxy {
	struct event_base *base;
	struct fault_set *set;
	struct rx_env *env;
	struct fault_link link;
	struct pair *pairs;
	struct client *clients[BUCKETS]; /* of all pairs, by address */
	struct client *last;             /* whose packet came last */
	unsigned nclients;
	uint32_t flows;
	struct event *timer;
	int inner_ns, outer_ns, raw;
	struct fault_proxy_stats stats;
	struct fault_receiver *receiver;
	struct fault_sender *sender;
};

static struct sockaddr_in sin_of(const struct rx_addr *a)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(a->port),
				     .sin_addr.s_addr = htonl(rx_addr_ip(a)) };
}

static struct rx_addr addr_of(const struct sockaddr_in *s)
{
	return rx_addr_ipv4(ntohl(s->sin_addr.s_addr), ntohs(s->sin_port));
}

static int udp_socket(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = SOCKET_BUFFER, pmtu = IP_PMTUDISC_DONT;

	if (fd < 0)
		return -1;
	/* The first needs root; the second takes what it can get. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &pmtu, sizeof pmtu);
	fault_receiver_runs(fd);
	return fd;
}

static void send_to(struct fault_proxy *p, struct client *c, enum fault_dir dir, const uint8_t *data, size_t len)
{
	if (dir == FAULT_FROM_CLIENT)
		fault_send(p->sender, c->fd, NULL, data, len);
	else
		fault_send(p->sender, c->pair->fd, &c->sin, data, len);
}

/* ---- clients ---- */

static void on_server(evutil_socket_t fd, short what, void *arg);

static int upstream(struct fault_proxy *p, const struct rx_addr *server)
{
	struct sockaddr_in sin = sin_of(server);
	int fd = -1, e;

	if (p->outer_ns >= 0 && setns(p->outer_ns, CLONE_NEWNET))
		return -1;
	fd = udp_socket();
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sin, sizeof sin)) {
		e = errno;
		close(fd);
		fd = -1;
		errno = e;
	}
	e = errno;
	if (p->outer_ns >= 0 && setns(p->inner_ns, CLONE_NEWNET))
		fault_give_up("it cannot go back to its own network namespace");
	errno = e;
	return fd;
}

/* Gives the client a socket (another one, if it has one). */
static bool client_socket(struct fault_proxy *p, struct client *c)
{
	int fd = upstream(p, &c->pair->server);
	struct event *ev;

	if (fd < 0)
		return false;
	ev = event_new(p->base, fd, EV_READ | EV_PERSIST, on_server, c);
	if (!ev)
		fault_no_memory();
	if (c->readable) {
		event_free(c->readable);
		close(c->fd);
	}
	c->fd = fd;
	c->readable = ev;
	event_add(ev, NULL);
	return true;
}

static struct client **bucket(struct fault_proxy *p, const struct sockaddr_in *from)
{
	uint32_t h = (ntohl(from->sin_addr.s_addr) ^ (uint32_t)from->sin_port << 8) * 0x9e3779b1u;

	return &p->clients[h >> 16 & (BUCKETS - 1)];
}

static bool is_client(const struct client *c, const struct pair *pair, const struct sockaddr_in *from)
{
	return c->pair == pair && c->sin.sin_port == from->sin_port && c->sin.sin_addr.s_addr == from->sin_addr.s_addr;
}

static void free_client(struct fault_proxy *p, struct client **at)
{
	struct client *c = *at;

	*at = c->next;
	if (p->last == c)
		p->last = NULL;
	event_free(c->readable);
	close(c->fd);
	free(c);
	p->nclients--;
}

/* Whoever was silent for longest. */
static void forget_oldest(struct fault_proxy *p)
{
	struct client **oldest = NULL;

	fault_sender_flush(p->sender);
	for (unsigned i = 0; i < BUCKETS; i++) {
		for (struct client **at = &p->clients[i]; *at; at = &(*at)->next) {
			if (!oldest || (*at)->used_us < (*oldest)->used_us)
				oldest = at;
		}
	}
	free_client(p, oldest);
}

static struct client *client_of(struct pair *pair, const struct sockaddr_in *from, uint64_t now)
{
	struct fault_proxy *p = pair->proxy;
	struct client *c = p->last, **at = bucket(p, from);
	char text[64];

	if (c && is_client(c, pair, from))
		goto found;
	for (c = *at; c; c = c->next) {
		if (is_client(c, pair, from))
			goto found;
	}
	if (p->nclients == CLIENTS_MAX)
		forget_oldest(p);
	c = calloc(1, sizeof *c);
	if (!c)
		fault_no_memory();
	*c = (struct client){ .pair = pair, .flow = ++p->flows, .addr = addr_of(from), .sin = *from, .fd = -1 };
	if (!client_socket(p, c)) {
		fault_trace_note(p->link.trace, "no-socket", rx_addr_text(&c->addr, text), strerror(errno));
		free(c);
		return NULL;
	}
	fault_trace_note(p->link.trace, "client", rx_addr_text(&c->addr, text), NULL);
	c->next = *at;
	*at = c;
	p->nclients++;
	p->stats.clients++;
found:
	c->used_us = now;
	p->last = c;
	return c;
}

static struct client *client_by_flow(struct fault_proxy *p, uint32_t flow)
{
	if (p->last && p->last->flow == flow)
		return p->last;
	for (unsigned i = 0; i < BUCKETS; i++) {
		for (struct client *c = p->clients[i]; c; c = c->next) {
			if (c->flow == flow)
				return c;
		}
	}
	return NULL;
}

static void rebind(struct fault_proxy *p, struct client *c)
{
	char text[64];

	fault_sender_flush(p->sender);
	if (client_socket(p, c))
		fault_trace_note(p->link.trace, "rebound", rx_addr_text(&c->addr, text), NULL);
}

unsigned fault_proxy_rebind(struct fault_proxy *p, const char *client)
{
	unsigned n = 0;
	char text[64];

	for (unsigned i = 0; i < BUCKETS; i++) {
		for (struct client *c = p->clients[i]; c; c = c->next) {
			if (strcmp(client, "all") && strcmp(client, rx_addr_text(&c->addr, text)))
				continue;
			rebind(p, c);
			n++;
		}
	}
	return n;
}

/* ---- what the link gives back ---- */

static void too_big(struct fault_proxy *p, struct client *c, const struct fault_out *o)
{
	bool up = o->dir == FAULT_FROM_CLIENT;
	char text[64];

	/* The server sent to our own port: its namespace, its socket. */
	if (!up) {
		fault_trace_note(p->link.trace, "icmp-unsent", rx_addr_text(&c->addr, text),
				 "only clients are told of the MTU");
		return;
	}
	if (p->raw < 0)
		p->raw = fault_icmp_open();
	if (p->raw < 0 || fault_icmp_too_big(p->raw, &c->addr, &c->pair->listen, o->data, o->len, o->mtu))
		fault_trace_note(p->link.trace, "icmp-unsent", rx_addr_text(&c->addr, text), strerror(errno));
	else
		fault_trace_note(p->link.trace, "icmp", rx_addr_text(&c->addr, text), NULL);
}

static void carry_out(struct fault_proxy *p, const struct fault_out *o)
{
	struct client *c = client_by_flow(p, o->flow);

	if (!c)
		return;
	switch (o->kind) {
	case FAULT_OUT_PACKET:
		send_to(p, c, o->dir, o->data, o->len);
		fault_trace_sent(p->link.trace, o->dir, &c->addr, o->data, o->len, "queued");
		break;
	case FAULT_OUT_REBIND:
		rebind(p, c);
		break;
	case FAULT_OUT_ICMP:
		too_big(p, c, o);
		break;
	}
}

static void set_timer(struct fault_proxy *p, uint64_t now)
{
	uint64_t at = fault_link_deadline(&p->link), wait = at > now ? at - now : 0;
	struct timeval tv = { (time_t)(wait / 1000000), (suseconds_t)(wait % 1000000) };

	if (at == UINT64_MAX)
		event_del(p->timer);
	else
		event_add(p->timer, &tv);
}

/* Sends what is due, in batches: data are freed only after they were sent. */
static void drain(struct fault_proxy *p)
{
	uint64_t now = rx_now_us(p->env);
	struct fault_out *done[BATCH];
	unsigned n;

	do {
		for (n = 0; n < BATCH && (done[n] = fault_link_output(&p->link, now)); n++)
			carry_out(p, done[n]);
		fault_sender_flush(p->sender);
		for (unsigned i = 0; i < n; i++)
			free(done[i]);
	} while (n == BATCH);
	set_timer(p, now);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	drain(arg);
}

static void on_release(void *arg, const char *gate)
{
	struct fault_proxy *p = arg;

	fault_link_release(&p->link, rx_now_us(p->env), gate);
	drain(p);
}

/* ---- receiving ---- */

/* A run is many packets to the rules, and one again to the sender if they let it be. */
static void forward(struct fault_proxy *p, struct client *c, enum fault_dir dir, const struct fault_run *run,
		    uint64_t now)
{
	const uint8_t *data = run->data;
	size_t left = run->len, len;

	do {
		len = left < run->each ? left : run->each;
		*(dir == FAULT_FROM_CLIENT ? &p->stats.from_client : &p->stats.from_server) += 1;
		p->stats.bytes += len;
		if (fault_link_idle(&p->link) ||
		    fault_link_input(&p->link, now, c->flow, dir, &c->addr, &c->pair->listen, data, len))
			send_to(p, c, dir, data, len);
		data += len;
		left -= len;
	} while (left);
}

static void on_client(evutil_socket_t fd, short what, void *arg)
{
	struct pair *pair = arg;
	struct fault_proxy *p = pair->proxy;
	uint64_t now = rx_now_us(p->env);
	const struct fault_run *runs;
	bool more = true;

	(void)what;
	for (unsigned round = 0; round < ROUNDS && more; round++) {
		unsigned n = fault_receive(p->receiver, fd, &runs, &more, &p->stats.refused);

		for (unsigned i = 0; i < n; i++) {
			struct client *c = client_of(pair, runs[i].from, now);

			if (c)
				forward(p, c, FAULT_FROM_CLIENT, &runs[i], now);
		}
		fault_sender_flush(p->sender);
	}
	if (!fault_link_idle(&p->link))
		drain(p);
}

static void on_server(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	struct fault_proxy *p = c->pair->proxy;
	uint64_t now = rx_now_us(p->env);
	const struct fault_run *runs;
	bool more = true;

	(void)what;
	c->used_us = now;
	for (unsigned round = 0; round < ROUNDS && more; round++) {
		unsigned n = fault_receive(p->receiver, fd, &runs, &more, &p->stats.refused);

		for (unsigned i = 0; i < n; i++)
			forward(p, c, FAULT_FROM_SERVER, &runs[i], now);
		fault_sender_flush(p->sender);
	}
	if (!fault_link_idle(&p->link))
		drain(p);
}

/* ---- life ---- */

struct fault_proxy *fault_proxy_new(struct event_base *base, struct fault_set *set)
{
	struct fault_proxy *p = calloc(1, sizeof *p);

	if (!p)
		fault_no_memory();
	p->base = base;
	p->set = set;
	p->env = fault_set_env(set);
	p->inner_ns = p->outer_ns = p->raw = -1;
	p->receiver = fault_receiver_new();
	p->sender = fault_sender_new();
	p->timer = evtimer_new(base, on_timer, p);
	if (!p->timer)
		fault_no_memory();
	fault_link_init(&p->link, set);
	fault_set_on_release(set, on_release, p);
	return p;
}

void fault_proxy_free(struct fault_proxy *p)
{
	if (!p)
		return;
	fault_set_on_release(p->set, NULL, NULL);
	for (unsigned i = 0; i < BUCKETS; i++) {
		while (p->clients[i])
			free_client(p, &p->clients[i]);
	}
	while (p->pairs) {
		struct pair *next = p->pairs->next;

		event_free(p->pairs->readable);
		close(p->pairs->fd);
		free(p->pairs);
		p->pairs = next;
	}
	fault_link_clear(&p->link);
	event_free(p->timer);
	if (p->inner_ns >= 0)
		close(p->inner_ns);
	if (p->raw >= 0)
		close(p->raw);
	fault_receiver_free(p->receiver);
	fault_sender_free(p->sender);
	free(p);
}

int fault_proxy_map(struct fault_proxy *p, const struct rx_addr *listen, const struct rx_addr *server,
		    struct rx_addr *bound, struct rx_error *err)
{
	struct sockaddr_in sin = sin_of(listen);
	socklen_t len = sizeof sin;
	struct pair *pair;
	char text[64];
	int fd = udp_socket();

	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof sin) || getsockname(fd, (struct sockaddr *)&sin, &len)) {
		rx_error_errno(err, errno, "cannot listen at %s", rx_addr_text(listen, text));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	pair = calloc(1, sizeof *pair);
	if (!pair)
		fault_no_memory();
	*pair = (struct pair){ .next = p->pairs, .proxy = p, .listen = addr_of(&sin), .server = *server, .fd = fd };
	pair->readable = event_new(p->base, fd, EV_READ | EV_PERSIST, on_client, pair);
	if (!pair->readable)
		fault_no_memory();
	event_add(pair->readable, NULL);
	p->pairs = pair;
	if (bound)
		*bound = pair->listen;
	return 0;
}

int fault_proxy_upstream_netns(struct fault_proxy *p, int fd, struct rx_error *err)
{
	p->inner_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (p->inner_ns < 0)
		return rx_error_errno(err, errno, "the network namespace cannot be opened");
	p->outer_ns = fd;
	return 0;
}

void fault_proxy_stats(const struct fault_proxy *p, struct fault_proxy_stats *out)
{
	const struct fault_sent *sent = fault_sender_sent(p->sender);

	*out = p->stats;
	out->sent = sent->sent;
	out->unsent = sent->unsent;
	out->refused += sent->refused;
	out->dropped = p->link.dropped;
}
