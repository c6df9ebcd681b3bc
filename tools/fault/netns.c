/* The private namespace: see netns.h. */
#include "tools/fault/netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ETHERNET_MTU = 1500 };

static int set(int fd, unsigned long what, struct ifreq *r, const char *name, struct rx_error *err)
{
	snprintf(r->ifr_name, sizeof r->ifr_name, "%.15s", name);
	return ioctl(fd, what, r) ? rx_error_errno(err, errno, "the private network's device %s cannot be set up", name)
				  : 0;
}

static int set_address(int fd, const char *name, uint32_t ip, struct rx_error *err)
{
	struct ifreq r = { 0 };
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(ip) };

	memcpy(&r.ifr_addr, &sin, sizeof sin);
	if (set(fd, SIOCSIFADDR, &r, name, err))
		return -1;
	sin.sin_addr.s_addr = 0xffffffff;
	memcpy(&r.ifr_netmask, &sin, sizeof sin);
	return set(fd, SIOCSIFNETMASK, &r, name, err);
}

static int set_up(const struct rx_addr *addrs, unsigned n, struct rx_error *err)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc;
	struct ifreq r = { .ifr_flags = IFF_UP | IFF_RUNNING };
	char name[IFNAMSIZ];

	if (fd < 0)
		return rx_error_errno(err, errno, "no socket in the private network");
	rc = set(fd, SIOCSIFFLAGS, &r, "lo", err);
	r = (struct ifreq){ .ifr_mtu = ETHERNET_MTU };
	if (!rc)
		rc = set(fd, SIOCSIFMTU, &r, "lo", err);
	for (unsigned i = 0; i < n && !rc; i++) {
		snprintf(name, sizeof name, "lo:%u", i + 1);
		rc = set_address(fd, name, rx_addr_ip(&addrs[i]), err);
	}
	close(fd);
	return rc;
}

int fault_netns_enter(const struct rx_addr *addrs, unsigned n, int *outer, struct rx_error *err)
{
	*outer = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (*outer < 0)
		return rx_error_errno(err, errno, "the network namespace cannot be opened");
	if (unshare(CLONE_NEWNET)) {
		rx_error_errno(err, errno, "a private network cannot be made; --private takes root");
		goto fail;
	}
	if (!set_up(addrs, n, err))
		return 0;
fail:
	close(*outer);
	*outer = -1;
	return -1;
}
