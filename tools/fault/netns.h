/* A network namespace of one's own in which this machine has the servers' addresses, so
 * that a client that knows its servers by address and fixed port (as AFS clients do)
 * talks to the injector. Needs root. */
#ifndef UMAFS_FAULT_NETNS_H
#define UMAFS_FAULT_NETNS_H

#include "rx/rx.h"

/* Moves this process into a new network namespace whose loopback device is up, has an
 * Ethernet's MTU and the n addresses. *outer gets an fd of the old one. The new one ends
 * with the last process in it. */
int fault_netns_enter(const struct rx_addr *addrs, unsigned n, int *outer, struct rx_error *err);

#endif
