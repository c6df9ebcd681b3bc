/* Addresses: making, comparing, printing. Pure functions, any thread. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "rx/rx.h"

struct rx_addr rx_addr_ipv4(uint32_t host_order_ip, uint16_t port)
{
	struct rx_addr a = { .family = AF_INET, .port = port };

	a.ip[0] = (uint8_t)(host_order_ip >> 24);
	a.ip[1] = (uint8_t)(host_order_ip >> 16);
	a.ip[2] = (uint8_t)(host_order_ip >> 8);
	a.ip[3] = (uint8_t)host_order_ip;
	return a;
}

uint32_t rx_addr_ip(const struct rx_addr *a)
{
	return (uint32_t)a->ip[0] << 24 | (uint32_t)a->ip[1] << 16 | (uint32_t)a->ip[2] << 8 | a->ip[3];
}

bool rx_addr_equal(const struct rx_addr *a, const struct rx_addr *b)
{
	return a->family == b->family && a->port == b->port && !memcmp(a->ip, b->ip, sizeof a->ip);
}

const char *rx_addr_text(const struct rx_addr *a, char buf[64])
{
	snprintf(buf, 64, "%u.%u.%u.%u:%u", a->ip[0], a->ip[1], a->ip[2], a->ip[3], a->port);
	return buf;
}
