/* UDP and libevent: the one file that knows of sockets. Datagrams go in batches, ICMP
 * errors come from the socket's error queue. */
#include <errno.h>
#include <event2/event.h>
#include <linux/errqueue.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "rx/net.h"

enum { SOCKET_BUFFER = 4 << 20, SEND_WAIT_MS = 20, SEND_WAITS = 8, RECEIVE_ROOM = 65536 };

/* Datagrams of one system call. */
struct batch {
	struct mmsghdr msg[RX_BATCH];
	struct iovec iov[RX_BATCH];
	struct sockaddr_in addr[RX_BATCH];
};

struct udp {
	struct rx_net base;
	struct rx_env *env;
	int fd, kick_fd;
	struct batch in;  /* the leader's */
	struct batch out; /* the sender's */
	uint8_t *in_data; /* RX_BATCH * RECEIVE_ROOM */
	struct event_base *events;
	struct event *ev_read, *ev_kick, *ev_timer;
	bool readable; /* found by this wait */
};

static struct udp *udp_of(struct rx_net *net)
{
	return (struct udp *)net; /* base is its first member */
}

static void count_syscall(struct udp *u)
{
	__atomic_fetch_add(&u->base.syscalls, 1, __ATOMIC_RELAXED);
}

static struct rx_addr from_sockaddr(const struct sockaddr_in *sa)
{
	return rx_addr_ipv4(ntohl(sa->sin_addr.s_addr), ntohs(sa->sin_port));
}

static void to_sockaddr(struct sockaddr_in *sa, const struct rx_addr *a)
{
	*sa = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(a->port) };
	sa->sin_addr.s_addr = htonl(rx_addr_ip(a));
}

/* ---- ICMP errors ---- */

static bool means_unreachable(const struct sock_extended_err *e)
{
	return (e->ee_origin == SO_EE_ORIGIN_ICMP || e->ee_origin == SO_EE_ORIGIN_LOCAL) &&
	       (e->ee_errno == ECONNREFUSED || e->ee_errno == EHOSTUNREACH || e->ee_errno == ENETUNREACH ||
		e->ee_errno == EACCES);
}

static void report(struct udp *u, struct msghdr *m, const struct sockaddr_in *to, const uint8_t *quoted, size_t len)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		struct sock_extended_err e;
		struct rx_addr a;

		if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_RECVERR)
			continue;
		memcpy(&e, CMSG_DATA(c), sizeof e);
		if (!means_unreachable(&e) || to->sin_family != AF_INET)
			continue;
		a = from_sockaddr(to);
		u->base.unreachable(u->base.arg, &a, quoted, len);
	}
}

static void take_errors(struct udp *u)
{
	union {
		struct cmsghdr align;
		char buf[512];
	} control;
	uint8_t quoted[64];

	for (unsigned i = 0; i < 64; i++) {
		ssize_t len;

		struct sockaddr_in to = { 0 };
		struct iovec iov = { quoted, sizeof quoted };
		struct msghdr m = {
			.msg_name = &to,
			.msg_namelen = sizeof to,
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.buf,
			.msg_controllen = sizeof control.buf,
		};

		count_syscall(u);
		len = recvmsg(u->fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT);
		if (len < 0)
			return;
		report(u, &m, &to, quoted, (size_t)len);
	}
}

/* ---- datagrams ---- */

static unsigned receive(struct rx_net *net, struct rx_datagram in[RX_BATCH])
{
	struct udp *u = udp_of(net);
	int n = 0;

	for (unsigned i = 0; i < RX_BATCH; i++)
		u->in.msg[i].msg_hdr.msg_namelen = sizeof u->in.addr[i];
	for (unsigned tries = 0; tries < 8; tries++) {
		n = recvmmsg(u->fd, u->in.msg, RX_BATCH, MSG_DONTWAIT, NULL);
		count_syscall(u);
		if (n >= 0 || errno == EAGAIN || errno == EWOULDBLOCK)
			break;
		if (errno != EINTR)
			take_errors(u);
	}
	for (int i = 0; i < n; i++)
		in[i] = (struct rx_datagram){ from_sockaddr(&u->in.addr[i]), u->in.iov[i].iov_base,
					      u->in.msg[i].msg_len };
	return n > 0 ? (unsigned)n : 0;
}

static void send_all(struct rx_net *net, const struct rx_datagram *out, unsigned n)
{
	struct udp *u = udp_of(net);
	unsigned done = 0, errors = 0, waits = 0;

	for (unsigned i = 0; i < n; i++) {
		u->out.iov[i] = (struct iovec){ out[i].data, out[i].len };
		to_sockaddr(&u->out.addr[i], &out[i].addr);
	}
	while (done < n) {
		int k = sendmmsg(u->fd, u->out.msg + done, n - done, 0);

		count_syscall(u);
		if (k > 0) {
			done += (unsigned)k;
			waits = 0;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == ENOBUFS) {
			struct pollfd p = { .fd = u->fd, .events = POLLOUT };

			count_syscall(u);
			/* ENOBUFS is the device's queue, of which poll knows nothing. */
			if (++waits > SEND_WAITS || poll(&p, 1, SEND_WAIT_MS) <= 0)
				return;
			continue;
		}
		/* Either an ICMP error of an earlier packet, or this one cannot be sent. */
		take_errors(u);
		if (++errors > 2) {
			errors = 0;
			done++;
		}
	}
}

/* ---- sleeping ---- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct udp *u = arg;

	(void)fd;
	(void)what;
	u->readable = true;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
	uint64_t n;

	(void)what;
	count_syscall(arg);
	if (read(fd, &n, sizeof n) < 0)
		return;
}

static bool wait_until(struct rx_net *net, uint64_t deadline_us)
{
	struct udp *u = udp_of(net);
	uint64_t now = rx_now_us(u->env), rest = deadline_us > now ? deadline_us - now : 0;
	struct timeval tv = { .tv_sec = (time_t)(rest / 1000000), .tv_usec = (suseconds_t)(rest % 1000000) };

	int how = EVLOOP_ONCE;

	/* Without memory for the timer nobody would wake in time: looks, and is asked again. */
	if (deadline_us == UINT64_MAX)
		event_del(u->ev_timer);
	else if (event_add(u->ev_timer, &tv))
		how |= EVLOOP_NONBLOCK;
	u->readable = false;
	count_syscall(u);
	event_base_loop(u->events, how);
	return u->readable;
}

static void kick(struct rx_net *net)
{
	struct udp *u = udp_of(net);
	uint64_t one = 1;

	count_syscall(u);
	if (write(u->kick_fd, &one, sizeof one) < 0)
		abort();
}

/* ---- life ---- */

static void udp_free(struct rx_net *net)
{
	struct udp *u = udp_of(net);

	if (u->ev_read)
		event_free(u->ev_read);
	if (u->ev_kick)
		event_free(u->ev_kick);
	if (u->ev_timer)
		event_free(u->ev_timer);
	if (u->events)
		event_base_free(u->events);
	if (u->fd >= 0)
		close(u->fd);
	if (u->kick_fd >= 0)
		close(u->kick_fd);
	free(u->in_data);
	free(u);
}

static const struct rx_net_ops ops = {
	.free = udp_free,
	.receive = receive,
	.send = send_all,
	.wait = wait_until,
	.kick = kick,
};

static void set_buffer(int fd, int forced, int plain)
{
	int size = SOCKET_BUFFER;

	if (setsockopt(fd, SOL_SOCKET, forced, &size, sizeof size))
		setsockopt(fd, SOL_SOCKET, plain, &size, sizeof size);
}

static int open_socket(struct udp *u, uint32_t ip, uint16_t port, struct rx_error *err)
{
	struct rx_addr a = rx_addr_ipv4(ip, port);
	struct sockaddr_in sa;
	socklen_t len = sizeof sa;
	int on = 1;
	char text[64];

	u->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (u->fd < 0)
		return rx_error_errno(err, errno, "cannot make a UDP socket");
	set_buffer(u->fd, SO_RCVBUFFORCE, SO_RCVBUF);
	set_buffer(u->fd, SO_SNDBUFFORCE, SO_SNDBUF);
	setsockopt(u->fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on);
	to_sockaddr(&sa, &a);
	if (bind(u->fd, (struct sockaddr *)&sa, sizeof sa))
		return rx_error_errno(err, errno, "cannot bind UDP port %s", rx_addr_text(&a, text));
	if (getsockname(u->fd, (struct sockaddr *)&sa, &len))
		return rx_error_errno(err, errno, "getsockname");
	u->base.port = ntohs(sa.sin_port);
	return 0;
}

static int make_batches(struct udp *u, struct rx_error *err)
{
	u->in_data = malloc((size_t)RX_BATCH * RECEIVE_ROOM);
	if (!u->in_data)
		return rx_error_errno(err, ENOMEM, "datagram buffers");
	for (unsigned i = 0; i < RX_BATCH; i++) {
		u->in.iov[i] = (struct iovec){ u->in_data + (size_t)i * RECEIVE_ROOM, RECEIVE_ROOM };
		u->in.msg[i].msg_hdr.msg_iov = &u->in.iov[i];
		u->in.msg[i].msg_hdr.msg_iovlen = 1;
		u->in.msg[i].msg_hdr.msg_name = &u->in.addr[i];
		u->out.msg[i].msg_hdr.msg_iov = &u->out.iov[i];
		u->out.msg[i].msg_hdr.msg_iovlen = 1;
		u->out.msg[i].msg_hdr.msg_name = &u->out.addr[i];
		u->out.msg[i].msg_hdr.msg_namelen = sizeof u->out.addr[i];
	}
	return 0;
}

static int make_events(struct udp *u, struct rx_error *err)
{
	struct event_config *cfg = event_config_new();

	if (!cfg)
		return rx_error_errno(err, ENOMEM, "cannot make an event loop");
	/* Only the leader touches the base, and leads pass through the loop's mutex. */
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	u->events = event_base_new_with_config(cfg);
	event_config_free(cfg);
	u->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!u->events || u->kick_fd < 0)
		return rx_error_errno(err, errno, "cannot make an event loop");
	u->ev_read = event_new(u->events, u->fd, EV_READ | EV_PERSIST, on_readable, u);
	u->ev_kick = event_new(u->events, u->kick_fd, EV_READ | EV_PERSIST, on_kick, u);
	u->ev_timer = evtimer_new(u->events, on_timer, u);
	if (!u->ev_read || !u->ev_kick || !u->ev_timer)
		return rx_error_errno(err, ENOMEM, "events");
	if (event_add(u->ev_read, NULL) || event_add(u->ev_kick, NULL))
		return rx_error_errno(err, ENOMEM, "events");
	return 0;
}

struct rx_net *rx_net_udp(struct rx_env *env, uint32_t bind_ip, uint16_t bind_port, struct rx_error *err)
{
	struct udp *u = calloc(1, sizeof *u);

	if (!u) {
		rx_error_errno(err, ENOMEM, "a UDP port");
		return NULL;
	}
	u->base = (struct rx_net){ .ops = &ops, .may_spin = true };
	u->env = env;
	u->fd = u->kick_fd = -1;
	if (open_socket(u, bind_ip, bind_port, err) || make_batches(u, err) || make_events(u, err)) {
		udp_free(&u->base);
		return NULL;
	}
	return &u->base;
}
