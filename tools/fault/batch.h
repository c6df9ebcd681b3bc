/* Datagrams in and out of UDP sockets, many with one system call. Equal packets that follow
 * one another to the same place leave as one message, which the kernel cuts up at the far
 * end of its own path (UDP_SEGMENT); what it hands over uncut (UDP_GRO) is received as a
 * run. Used by proxy.c, on its thread; nothing is copied. */
#ifndef UMAFS_FAULT_BATCH_H
#define UMAFS_FAULT_BATCH_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Packets that arrived together: `each` bytes long, but the last may be shorter. */
struct fault_run {
	const uint8_t *data;
	size_t len, each;
	const struct sockaddr_in *from;
};

struct fault_receiver;

struct fault_receiver *fault_receiver_new(void);
void fault_receiver_free(struct fault_receiver *receiver);
/* Asks the kernel for runs on this socket; without them every run is one packet. */
void fault_receiver_runs(int fd);
/* Never waits. Returns how many runs came; *runs (the receiver's) are valid until the next
 * call. *more: there may be others. *refused counts answers that nobody listens. */
unsigned fault_receive(struct fault_receiver *receiver, int fd, const struct fault_run **runs, bool *more,
		       uint64_t *refused);

struct fault_sender;

struct fault_sent {
	uint64_t sent, unsent, refused; /* packets */
};

struct fault_sender *fault_sender_new(void);
void fault_sender_free(struct fault_sender *sender);
/* Sends what waits if there is no room for this one or it takes another socket. `data` and
 * `to` (NULL: where the socket is connected to) stay valid until the next flush. */
void fault_send(struct fault_sender *sender, int fd, const struct sockaddr_in *to, const uint8_t *data, size_t len);
void fault_sender_flush(struct fault_sender *sender);
const struct fault_sent *fault_sender_sent(const struct fault_sender *sender);

#endif
