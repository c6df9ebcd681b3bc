/* rxkad over real UDP, both ends ours: the three levels with a minted Kerberos ticket,
 * who the server takes the caller for, and what a refused ticket looks like. */
#include <errno.h>
#include <netinet/in.h>

#include "rx/rx.h"
#include "tests/mint.h"
#include "tests/unit.h"

enum { SERVICE = 77, BULK = 1 << 20, HOUR = 3600 };

struct setup {
	struct rx_loop *server, *client;
	struct rx_security *keys;
	struct rx_addr addr;
};

/* Replies with the caller's name and level (a line), then with what it was sent. */
static int32_t handler(struct rx_call *call, void *arg)
{
	uint8_t *all = malloc(BULK);
	struct rx_peer_identity id;
	char line[300];
	ptrdiff_t n;
	int32_t rc = 0;

	(void)arg;
	n = rx_call_read(call, all, BULK);
	rx_call_identity(call, &id);
	snprintf(line, sizeof(line), "%s %d\n", id.name, id.level);
	if (n < 0 || rx_call_write(call, line, strlen(line)) != 0 || rx_call_write(call, all, (size_t)n) != 0)
		rc = RX_USER_ABORT;
	free(all);
	return rc;
}

static void start(struct setup *s, int kvno, int min_level)
{
	struct rxkad_service_key key = { kvno, 18, mint_service_key, sizeof(mint_service_key) };
	struct rx_service_config service = { .id = SERVICE,
					     .name = "echo",
					     .mode = RX_SERVICE_WORKER,
					     .workers = 1,
					     .handler = handler };
	struct rx_loop_config config = { .bind_ip = INADDR_LOOPBACK };

	s->server = rx_loop_new(&config, NULL);
	s->client = rx_loop_new(&config, NULL);
	CU_ASSERT_FATAL(s->server && s->client);
	s->keys = rxkad_server_new(&key, 1, min_level, "EXAMPLE.ORG", NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s->keys);
	service.sec[RX_SECIDX_RXKAD] = s->keys;
	CU_ASSERT_EQUAL_FATAL(rx_service_add(s->server, &service, NULL), 0);
	s->addr = rx_addr_ipv4(INADDR_LOOPBACK, rx_loop_port(s->server));
}

static void stop(struct setup *s)
{
	rx_loop_free(s->client);
	rx_loop_free(s->server);
	rx_security_put(s->keys);
}

/* A connection as alice whose ticket ends (or ended) that many seconds from now. */
static struct rx_conn *connect_as_alice(struct setup *s, int level, int64_t life)
{
	int64_t now = rx_env_posix()->ops->wall_s(rx_env_posix());
	struct mint m = {
		.realm = "EXAMPLE.ORG",
		.part = { "alice" },
		.session_enctype = 18,
		.session_len = 32,
		.flags = MINT_TRANSITED_CHECKED,
		.authtime = now - HOUR,
		.starttime = now - HOUR,
		.endtime = now + life,
		.kvno = 3,
		.enctype = 18,
	};
	struct der d = { .at = sizeof(d.buf) };
	struct rx_security *sec;
	struct rx_conn *conn;
	uint8_t session[32];

	for (uint8_t i = 0; i < sizeof(session); i++)
		session[i] = i;
	mint_part(&d, &m);
	mint_seal(&d, &m);
	/* The client believes in a good ticket: what the server says is the point. */
	sec = rxkad_client_new(level, 256, 18, session, sizeof(session), d.buf + d.at, sizeof(d.buf) - d.at,
			       now + HOUR, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(sec);
	conn = rx_conn_new(s->client, &s->addr, SERVICE, sec, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(conn);
	rx_security_put(sec);
	return conn;
}

static int echo(struct rx_conn *conn, size_t len, const char *who, struct rx_error *err)
{
	struct rx_call *call = rx_call_new(conn, err);
	uint8_t *out = malloc(BULK), *in = malloc(BULK + 300);
	ptrdiff_t n = -1;
	int rc;

	CU_ASSERT_PTR_NOT_NULL_FATAL(call);
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(i * 7 + i / 251);
	if (rx_call_write(call, out, len) == 0)
		n = rx_call_read(call, in, BULK + 300);
	rc = rx_call_end(call, 0, RX_ORIGIN_AFS, err);
	if (rc == 0) {
		CU_ASSERT_EQUAL(n, (ptrdiff_t)(strlen(who) + len));
		CU_ASSERT(memcmp(in, who, strlen(who)) == 0 && memcmp(in + strlen(who), out, len) == 0);
	}
	free(out);
	free(in);
	return rc;
}

static void test_levels(void)
{
	static const size_t lens[] = { 0, 1, 1399, 1400, 1401, 65536, BULK };
	struct setup s;
	char who[16];

	start(&s, 3, RXKAD_CLEAR);
	for (int level = RXKAD_CLEAR; level <= RXKAD_CRYPT; level++) {
		struct rx_conn *conn = connect_as_alice(&s, level, HOUR);

		snprintf(who, sizeof(who), "alice %d\n", level);
		for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
			CU_ASSERT_EQUAL(echo(conn, lens[i], who, NULL), 0);
		rx_conn_free(conn);
	}
	stop(&s);
}

static void refused(int kvno, int min_level, int level, int64_t life, int32_t code)
{
	struct rx_error err = { 0 };
	struct setup s;
	struct rx_conn *conn;

	start(&s, kvno, min_level);
	conn = connect_as_alice(&s, level, life);
	CU_ASSERT_EQUAL(echo(conn, 100, "", &err), -1);
	CU_ASSERT_EQUAL(err.origin, RX_ORIGIN_RXKAD);
	CU_ASSERT_EQUAL(err.code, code);
	CU_ASSERT_EQUAL(rx_conn_error(conn), code);
	rx_conn_free(conn);
	stop(&s);
}

static void test_refused(void)
{
	refused(4, RXKAD_CLEAR, RXKAD_CRYPT, HOUR, RXKAD_UNKNOWNKEY);
	refused(3, RXKAD_CRYPT, RXKAD_AUTH, HOUR, RXKAD_LEVELFAIL);
	refused(3, RXKAD_CLEAR, RXKAD_CRYPT, -1, RXKAD_EXPIRED);
}

UNIT_MAIN("rxkad loop",
	  { "SEC-35 interop at clear/auth/crypt, here our client with our server: data both ways, alice is alice",
	    test_levels },
	  { "SEC-31 unknown kvno -> UNKNOWNKEY; SEC-24 level below the server's minimum -> LEVELFAIL; expired -> EXPIRED",
	    test_refused })
