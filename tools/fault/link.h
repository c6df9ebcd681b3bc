/* The network between clients and servers, without sockets: packets go in with a time and
 * come out with a time, changed as the packet rules of a set say. proxy.c binds it to
 * UDP; tests give it a virtual clock. One thread; fault_link_release too must be called
 * on it. A flow is one client at one server; its number is the caller's and never used
 * again. */
#ifndef UMAFS_FAULT_LINK_H
#define UMAFS_FAULT_LINK_H

#include "tools/fault/queue.h"
#include "tools/fault/set.h"

struct fault_link {
	struct fault_set *set; /* not owned */
	struct fault_trace *trace;
	struct fault_queue queue;
	struct fault_out *waiting;   /* for a release, or for others to pass */
	uint64_t dropped, forwarded; /* by the rules; as they were */
};

void fault_link_init(struct fault_link *link, struct fault_set *set);
/* What waits in it is lost. */
void fault_link_clear(struct fault_link *link);

/* True when packets need not be shown to the link at all: the one check of an empty set. */
static inline bool fault_link_idle(const struct fault_link *link)
{
	return !fault_set_has(link->set, FAULT_PACKET) && !link->trace && !link->queue.n && !link->waiting;
}

/* True: send it on now, as it is. False: the link has taken what it needs of it. */
bool fault_link_input(struct fault_link *link, uint64_t now, uint32_t flow, enum fault_dir dir,
		      const struct rx_addr *client, const struct rx_addr *server, const uint8_t *data, size_t len);
/* When fault_link_output has something next; UINT64_MAX: never. */
uint64_t fault_link_deadline(const struct fault_link *link);
/* The next thing that is due, or NULL. The caller does it, and frees it with free(). */
struct fault_out *fault_link_output(struct fault_link *link, uint64_t now);
/* Everything that `hold GATE` stopped is due now. */
void fault_link_release(struct fault_link *link, uint64_t now, const char *gate);

#endif
