/* Cells from the DNS; see cm/dns.h. Answers come from the net: libresolv's parser checks
 * the bounds, and what is copied here is bounded by its own buffers. */
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cm/afs.h"
#include "cm/dns.h"

enum { TYPE_AFSDB = 18, TYPE_SRV = 33, AFSDB_CELL = 1, MAX_ANSWER = 8192, RETRANS_S = 3, RETRIES = 2 };

bool cm_dns_may_ask(const char *cell)
{
	static const char *const never[] = { "autorun.inf", "desktop.ini", "CVS", "HEAD" };
	size_t n = strlen(cell);

	if (n == 0 || n > 250 || !strchr(cell, '.') || cell[0] == '.' || cell[n - 1] == '~' || strstr(cell, ".so"))
		return false;
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		if (strcasecmp(cell, never[i]) == 0)
			return false;
	}
	return true;
}

static unsigned add_host(const char *host, uint16_t port, unsigned rank, struct cm_dns_server *out, unsigned n,
			 unsigned max)
{
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_DGRAM }, *list = NULL;

	if (getaddrinfo(host, NULL, &hints, &list))
		return n;
	for (const struct addrinfo *a = list; a && n < max; a = a->ai_next) {
		struct sockaddr_in in;

		memcpy(&in, a->ai_addr, sizeof(in));
		out[n].addr = rx_addr_ipv4(ntohl(in.sin_addr.s_addr), port);
		out[n].rank = rank;
		snprintf(out[n].host, sizeof(out[n].host), "%s", host);
		n++;
	}
	freeaddrinfo(list);
	return n;
}

static unsigned take_record(const ns_msg *msg, const ns_rr *rr, struct cm_dns_server *out, unsigned n, unsigned max)
{
	const unsigned char *data = ns_rr_rdata(*rr);
	size_t len = ns_rr_rdlen(*rr), fixed = (int)ns_rr_type(*rr) == TYPE_SRV ? 6 : 2;
	char host[NS_MAXDNAME];
	unsigned first;

	if (len <= fixed)
		return n;
	if (dn_expand(ns_msg_base(*msg), ns_msg_end(*msg), data + fixed, host, sizeof(host)) < 0 || strlen(host) > 255)
		return n;
	first = ns_get16(data);
	if ((int)ns_rr_type(*rr) == TYPE_SRV)
		return add_host(host, (uint16_t)ns_get16(data + 4), first, out, n, max);
	return first == AFSDB_CELL ? add_host(host, AFS_PORT_VL, 0, out, n, max) : n;
}

static unsigned query(res_state res, const char *name, int type, struct cm_dns_server *out, unsigned max)
{
	unsigned char answer[MAX_ANSWER];
	unsigned n = 0;
	ns_msg msg;
	int len = res_nquery(res, name, ns_c_in, type, answer, sizeof(answer));

	if (len <= 0 || len > (int)sizeof(answer) || ns_initparse(answer, len, &msg))
		return 0;
	for (int i = 0; i < ns_msg_count(msg, ns_s_an) && n < max; i++) {
		ns_rr rr;

		if (ns_parserr(&msg, ns_s_an, i, &rr))
			break;
		if ((int)ns_rr_type(rr) == type)
			n = take_record(&msg, &rr, out, n, max);
	}
	return n;
}

static int by_rank(const void *a, const void *b)
{
	const struct cm_dns_server *x = a, *y = b;

	return x->rank < y->rank ? -1 : x->rank > y->rank;
}

unsigned cm_dns_cell(const char *cell, struct cm_dns_server *out, unsigned max)
{
	struct __res_state res;
	char name[320];
	unsigned n;

	memset(&res, 0, sizeof(res));
	if (res_ninit(&res))
		return 0;
	res.retrans = RETRANS_S;
	res.retry = RETRIES;
	snprintf(name, sizeof(name), "_afs3-vlserver._udp.%s", cell);
	n = query(&res, name, TYPE_SRV, out, max);
	if (n == 0)
		n = query(&res, cell, TYPE_AFSDB, out, max);
	qsort(out, n, sizeof(*out), by_rank);
	res_nclose(&res);
	return n;
}
