/* The UDP socket: opening, datagrams in batches, ICMP errors. Receiving is the leader's,
 * sending that of the one thread that has `sending`; neither needs the mutex. */
#include <errno.h>
#include <time.h>
#include <linux/errqueue.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rx/loop.h"

enum { SOCKET_BUFFER = 4 << 20, SEND_WAIT_MS = 20, SEND_WAITS = 8 };

static void set_buffer(int fd, int forced, int plain)
{
	int size = SOCKET_BUFFER;

	if (setsockopt(fd, SOL_SOCKET, forced, &size, sizeof size))
		setsockopt(fd, SOL_SOCKET, plain, &size, sizeof size);
}

static void to_sockaddr(struct sockaddr_in *sa, const struct rx_addr *a)
{
	*sa = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(a->port) };
	sa->sin_addr.s_addr = htonl(rx_addr_ip(a));
}

int rx_io_open(struct rx_loop *loop, uint32_t ip, uint16_t port, struct rx_error *err)
{
	struct rx_addr a = rx_addr_ipv4(ip, port);
	struct sockaddr_in sa;
	socklen_t len = sizeof sa;
	int on = 1;
	char text[64];

	loop->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (loop->fd < 0)
		return rx_error_errno(err, errno, "cannot make a UDP socket");
	set_buffer(loop->fd, SO_RCVBUFFORCE, SO_RCVBUF);
	set_buffer(loop->fd, SO_SNDBUFFORCE, SO_SNDBUF);
	setsockopt(loop->fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on);
	to_sockaddr(&sa, &a);
	if (bind(loop->fd, (struct sockaddr *)&sa, sizeof sa))
		return rx_error_errno(err, errno, "cannot bind UDP port %s", rx_addr_text(&a, text));
	if (getsockname(loop->fd, (struct sockaddr *)&sa, &len))
		return rx_error_errno(err, errno, "getsockname");
	loop->port = ntohs(sa.sin_port);
	loop->in_data = malloc((size_t)RX_BATCH * RX_RECV_BUFFER);
	loop->out_data = malloc(RX_STAGE);
	if (!loop->in_data || !loop->out_data)
		return rx_error_errno(err, ENOMEM, "datagram buffers");
	for (unsigned i = 0; i < RX_BATCH; i++) {
		loop->in.iov[i] = (struct iovec){ loop->in_data + (size_t)i * RX_RECV_BUFFER, RX_RECV_BUFFER };
		loop->in.msg[i].msg_hdr.msg_iov = &loop->in.iov[i];
		loop->in.msg[i].msg_hdr.msg_iovlen = 1;
		loop->in.msg[i].msg_hdr.msg_name = &loop->in.addr[i];
		loop->out.msg[i].msg_hdr.msg_iov = &loop->out.iov[i];
		loop->out.msg[i].msg_hdr.msg_iovlen = 1;
		loop->out.msg[i].msg_hdr.msg_name = &loop->out.addr[i];
		loop->out.msg[i].msg_hdr.msg_namelen = sizeof loop->out.addr[i];
	}
	return 0;
}

int rx_io_receive(struct rx_loop *loop)
{
	int n;

	for (unsigned i = 0; i < RX_BATCH; i++)
		loop->in.msg[i].msg_hdr.msg_namelen = sizeof loop->in.addr[i];
	for (unsigned tries = 0; tries < 8; tries++) {
		n = recvmmsg(loop->fd, loop->in.msg, RX_BATCH, MSG_DONTWAIT, NULL);
		rx_loop_syscall(loop);
		if (n >= 0)
			return n;
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return 0;
		if (errno != EINTR)
			rx_io_errors(loop);
	}
	return 0;
}

void rx_io_send(struct rx_loop *loop, unsigned n)
{
	unsigned done = 0, errors = 0, waits = 0;

	while (done < n) {
		int k = sendmmsg(loop->fd, loop->out.msg + done, n - done, 0);

		rx_loop_syscall(loop);
		if (k > 0) {
			done += (unsigned)k;
			waits = 0;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == ENOBUFS) {
			struct pollfd p = { .fd = loop->fd, .events = POLLOUT };

			rx_loop_syscall(loop);
			/* ENOBUFS is the device's queue, of which poll knows nothing. */
			if (++waits > SEND_WAITS || poll(&p, 1, SEND_WAIT_MS) <= 0)
				return; /* as if the network had lost them */
			continue;
		}
		/* Either an ICMP error of an earlier packet, or this one cannot be sent. */
		rx_io_errors(loop);
		if (++errors > 2) {
			errors = 0;
			done++;
		}
	}
}

static bool means_unreachable(const struct sock_extended_err *e)
{
	return (e->ee_origin == SO_EE_ORIGIN_ICMP || e->ee_origin == SO_EE_ORIGIN_LOCAL) &&
	       (e->ee_errno == ECONNREFUSED || e->ee_errno == EHOSTUNREACH || e->ee_errno == ENETUNREACH ||
		e->ee_errno == EACCES);
}

static void report(struct rx_loop *loop, struct msghdr *m, const struct sockaddr_in *to)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		struct sock_extended_err e;
		struct rx_addr a;

		if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_RECVERR)
			continue;
		memcpy(&e, CMSG_DATA(c), sizeof e);
		if (!means_unreachable(&e) || to->sin_family != AF_INET)
			continue;
		a = rx_addr_ipv4(ntohl(to->sin_addr.s_addr), ntohs(to->sin_port));
		rx_mutex_lock(&loop->mutex);
		rx_endpoint_unreachable(loop->ep, rx_now_us(loop->env), &a);
		rx_mutex_unlock(&loop->mutex);
	}
}

void rx_io_errors(struct rx_loop *loop)
{
	union {
		struct cmsghdr align;
		char buf[512];
	} control;
	char data[64];

	for (unsigned i = 0; i < 64; i++) {
		struct sockaddr_in to = { 0 };
		struct iovec iov = { data, sizeof data };
		struct msghdr m = {
			.msg_name = &to,
			.msg_namelen = sizeof to,
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.buf,
			.msg_controllen = sizeof control.buf,
		};

		rx_loop_syscall(loop);
		if (recvmsg(loop->fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			return;
		report(loop, &m, &to);
	}
}
