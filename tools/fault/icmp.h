/* Tells the sender of a datagram that it was too big for the path, as a router would. */
#ifndef UMAFS_FAULT_ICMP_H
#define UMAFS_FAULT_ICMP_H

#include "rx/rx.h"

/* A raw socket, -1 with errno (EPERM: it takes root). */
int fault_icmp_open(void);
/* The datagram went from `from` to `to` with these bytes after the UDP header. 0 or -1 with errno. */
int fault_icmp_too_big(int fd, const struct rx_addr *from, const struct rx_addr *to, const uint8_t *data, size_t len,
		       unsigned mtu);

#endif
