/* ICMP "fragmentation needed": see icmp.h. */
#include "tools/fault/icmp.h"

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

#include "rx/packet.h"

int fault_icmp_open(void)
{
	return socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
}

/* The checksum of the Internet (RFC 1071). */
static uint16_t checksum(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i += 2)
		sum += (uint32_t)p[i] << 8 | (i + 1 < len ? p[i + 1] : 0u);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

int fault_icmp_too_big(int fd, const struct rx_addr *from, const struct rx_addr *to, const uint8_t *data, size_t len,
		       unsigned mtu)
{
	uint8_t out[8 + 20 + 8 + 8] = { ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED }, *ip = out + 8, *udp = ip + 20;
	struct sockaddr_in dst = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(rx_addr_ip(from)) };
	size_t quoted = len < 8 ? len : 8;

	rx_put16(out + 6, (uint16_t)mtu);
	ip[0] = 0x45;
	rx_put16(ip + 2, (uint16_t)(28 + len));
	rx_put16(ip + 6, IP_DF);
	ip[8] = 64;
	ip[9] = IPPROTO_UDP;
	rx_put32(ip + 12, rx_addr_ip(from));
	rx_put32(ip + 16, rx_addr_ip(to));
	rx_put16(ip + 10, checksum(ip, 20));
	rx_put16(udp, from->port);
	rx_put16(udp + 2, to->port);
	rx_put16(udp + 4, (uint16_t)(8 + len));
	memcpy(udp + 8, data, quoted);
	rx_put16(out + 2, checksum(out, 36 + quoted));
	return sendto(fd, out, 36 + quoted, 0, (struct sockaddr *)&dst, sizeof dst) < 0 ? -1 : 0;
}
