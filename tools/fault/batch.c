/* recvmmsg, sendmmsg, UDP_GRO and UDP_SEGMENT: see batch.h. */
#include "tools/fault/batch.h"
#include "tools/fault/memory.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ROOM is more than a power of two, so that the packets of a batch do not share a set of
 * the processor's caches. RUN_BYTES is the most that an IP packet holds. */
enum { MESSAGES = 64, VECTORS = 512, RUN_PACKETS = 64, RUN_BYTES = 65507, ROOM = 65536 + 1472 };

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(sizeof(int))];
};

/* ---- receiving ---- */

struct fault_receiver {
	struct mmsghdr msg[MESSAGES];
	struct iovec iov[MESSAGES];
	struct sockaddr_in addr[MESSAGES];
	union control control[MESSAGES];
	struct fault_run runs[MESSAGES];
	uint8_t data[MESSAGES][ROOM];
};

struct fault_receiver *fault_receiver_new(void)
{
	struct fault_receiver *r = malloc(sizeof *r);

	if (!r)
		fault_no_memory();
	for (unsigned i = 0; i < MESSAGES; i++) {
		r->iov[i] = (struct iovec){ r->data[i], ROOM };
		r->msg[i].msg_hdr = (struct msghdr){
			.msg_iov = &r->iov[i], .msg_iovlen = 1, .msg_name = &r->addr[i], .msg_control = &r->control[i]
		};
	}
	return r;
}

void fault_receiver_free(struct fault_receiver *r)
{
	free(r);
}

void fault_receiver_runs(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
}

static size_t size_of_each(struct msghdr *h, size_t len)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		int each;

		if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&each, CMSG_DATA(c), sizeof each);
		if (each > 0 && (size_t)each < len)
			return (size_t)each;
	}
	return len;
}

unsigned fault_receive(struct fault_receiver *r, int fd, const struct fault_run **runs, bool *more, uint64_t *refused)
{
	int n;

	for (unsigned i = 0; i < MESSAGES; i++) {
		r->msg[i].msg_hdr.msg_namelen = sizeof r->addr[i];
		r->msg[i].msg_hdr.msg_controllen = sizeof r->control[i];
	}
	do {
		n = recvmmsg(fd, r->msg, MESSAGES, MSG_DONTWAIT, NULL);
		if (n < 0 && errno == ECONNREFUSED)
			++*refused;
	} while (n < 0 && (errno == EINTR || errno == ECONNREFUSED));
	*runs = r->runs;
	*more = n == MESSAGES;
	for (int i = 0; i < n; i++)
		r->runs[i] = (struct fault_run){ r->data[i], r->msg[i].msg_len,
						 size_of_each(&r->msg[i].msg_hdr, r->msg[i].msg_len), &r->addr[i] };
	return n < 0 ? 0 : (unsigned)n;
}

/* ---- sending ---- */

/* What one message carries. */
struct load {
	size_t each, len;
	unsigned packets;
};

struct fault_sender {
	struct mmsghdr msg[MESSAGES];
	struct load load[MESSAGES];
	union control control[MESSAGES];
	struct iovec iov[VECTORS];
	unsigned n, vectors;
	int fd;
	size_t joined_max; /* longer packets go alone: the kernel has refused to cut up such */
	struct fault_sent sent;
};

struct fault_sender *fault_sender_new(void)
{
	struct fault_sender *s = calloc(1, sizeof *s);

	if (!s)
		fault_no_memory();
	s->joined_max = RUN_BYTES;
	return s;
}

void fault_sender_free(struct fault_sender *s)
{
	free(s);
}

const struct fault_sent *fault_sender_sent(const struct fault_sender *s)
{
	return &s->sent;
}

/* Only the last packet of a message may be shorter than the others. */
static bool fits(const struct fault_sender *s, const struct sockaddr_in *to, size_t len)
{
	const struct load *l = &s->load[s->n - 1];

	return s->msg[s->n - 1].msg_hdr.msg_name == to && len && len <= l->each && l->each <= s->joined_max &&
	       l->len == l->each * l->packets && l->packets < RUN_PACKETS && l->len + len <= RUN_BYTES;
}

void fault_send(struct fault_sender *s, int fd, const struct sockaddr_in *to, const uint8_t *data, size_t len)
{
	struct iovec *last = &s->iov[s->vectors - (s->vectors != 0)];
	struct load *l;

	if (s->n && (s->fd != fd || s->n == MESSAGES || s->vectors == VECTORS))
		fault_sender_flush(s);
	s->fd = fd;
	if (s->n && fits(s, to, len)) {
		l = &s->load[s->n - 1];
		l->packets++;
		l->len += len;
		if ((const uint8_t *)last->iov_base + last->iov_len == data) {
			last->iov_len += len;
			return;
		}
	} else {
		s->load[s->n] = (struct load){ .each = len, .len = len, .packets = 1 };
		s->msg[s->n++].msg_hdr = (struct msghdr){ .msg_name = (void *)(uintptr_t)to,
							  .msg_namelen = to ? sizeof *to : 0,
							  .msg_iov = &s->iov[s->vectors] };
	}
	s->msg[s->n - 1].msg_hdr.msg_iovlen++;
	s->iov[s->vectors++] = (struct iovec){ (void *)(uintptr_t)data, len };
}

static void cut_up(struct msghdr *h, union control *control, size_t each)
{
	uint16_t size = (uint16_t)each;
	struct cmsghdr *c;

	h->msg_control = control;
	h->msg_controllen = CMSG_SPACE(sizeof size);
	c = CMSG_FIRSTHDR(h);
	c->cmsg_level = IPPROTO_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof size);
	memcpy(CMSG_DATA(c), &size, sizeof size);
}

/* True: try again. The error may be what an earlier packet met, nobody listening there. */
static bool again(struct fault_sender *s, unsigned *tries)
{
	if (errno == EINTR)
		return true;
	if (errno != ECONNREFUSED || (*tries)++)
		return false;
	s->sent.refused++;
	return true;
}

/* The packets of a message that could not go as one. */
static void send_apart(struct fault_sender *s, const struct mmsghdr *m, const struct load *l)
{
	for (size_t v = 0; v < m->msg_hdr.msg_iovlen; v++) {
		struct iovec rest = m->msg_hdr.msg_iov[v];

		while (rest.iov_len) {
			struct iovec one = { rest.iov_base, rest.iov_len < l->each ? rest.iov_len : l->each };
			struct msghdr h = { .msg_name = m->msg_hdr.msg_name,
					    .msg_namelen = m->msg_hdr.msg_namelen,
					    .msg_iov = &one,
					    .msg_iovlen = 1 };
			unsigned tries = 0;
			ssize_t n;

			do
				n = sendmsg(s->fd, &h, 0);
			while (n < 0 && again(s, &tries));
			*(n < 0 ? &s->sent.unsent : &s->sent.sent) += 1;
			rest.iov_base = (uint8_t *)rest.iov_base + one.iov_len;
			rest.iov_len -= one.iov_len;
		}
	}
}

/* Longer than the path carries in one piece, or no such path at all. */
static void joined_failed(struct fault_sender *s, const struct load *l)
{
	if (errno == EINVAL || errno == EMSGSIZE)
		s->joined_max = l->each - 1;
	else if (errno == EIO || errno == EOPNOTSUPP)
		s->joined_max = 0;
}

void fault_sender_flush(struct fault_sender *s)
{
	unsigned at = 0, tries = 0;

	for (unsigned i = 0; i < s->n; i++) {
		if (s->load[i].packets > 1)
			cut_up(&s->msg[i].msg_hdr, &s->control[i], s->load[i].each);
	}
	while (at < s->n) {
		int n = sendmmsg(s->fd, s->msg + at, s->n - at, 0);

		if (n < 0 && again(s, &tries))
			continue;
		tries = 0;
		for (int i = 0; i < n; i++)
			s->sent.sent += s->load[at++].packets;
		if (n > 0)
			continue;
		if (s->load[at].packets > 1) {
			joined_failed(s, &s->load[at]);
			send_apart(s, &s->msg[at], &s->load[at]);
		} else {
			s->sent.unsent++;
		}
		at++;
	}
	s->n = s->vectors = 0;
}
