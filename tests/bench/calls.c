/* Asks a file server for the status of one directory again and again, from a few threads of
 * one client, and prints how many calls a second it answers and how long one takes. Part of
 * tests/bench/cell.
 *
 *   tests/bench/calls ADDRESS VOLUME-NUMBER [THREADS] [SECONDS] */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "cm/afs.h"
#include "rx/rx.h"

enum { THREADS_MAX = 64 };

struct asker {
	struct rx_rpc_client fs;
	struct afs_FetchStatus_in in;
	uint64_t until_us, calls, failed;
	pthread_t thread;
};

/* A file server asks who calls before it answers. */
static int32_t on_question(struct rx_call *call, const struct afs_cb_TellMeAboutYourself_in *in,
			   struct afs_cb_TellMeAboutYourself_out *out, void *arg)
{
	(void)call, (void)in, (void)arg;
	out->addr.uuid.node[0] = 1;
	return 0;
}

static int32_t on_reset(struct rx_call *call, const struct afs_cb_InitCallBackState3_in *in,
			struct afs_cb_InitCallBackState3_out *out, void *arg)
{
	(void)call, (void)in, (void)out, (void)arg;
	return 0;
}

static const struct afs_cb_ops callback_ops = { .cb_TellMeAboutYourself = on_question,
						.cb_InitCallBackState3 = on_reset };

static int32_t serve(struct rx_call *call, void *arg)
{
	return rx_rpc_dispatch(call, &afs_cb_table, &callback_ops, arg);
}

static void *ask(void *arg)
{
	struct asker *a = arg;
	struct afs_FetchStatus_out out;

	while (rx_now_us(rx_env_posix()) < a->until_us) {
		if (afs_FetchStatus(&a->fs, &a->in, &out, NULL))
			a->failed++;
		a->calls++;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static struct asker asker[THREADS_MAX];
	struct rx_loop_config config = { .bind_ip = INADDR_LOOPBACK };
	unsigned threads = argc > 3 ? (unsigned)atoi(argv[3]) : 4, seconds = argc > 4 ? (unsigned)atoi(argv[4]) : 3;
	struct in_addr in;
	struct rx_loop *loop;
	struct rx_security *sec = rx_null_new();
	uint64_t calls = 0, failed = 0;
	struct rx_service_config service = {
		.id = AFS_SERVICE_CB, .name = "callback", .mode = RX_SERVICE_INLINE, .handler = serve, .sec = { sec }
	};
	struct rx_addr addr;

	if (argc < 3 || inet_pton(AF_INET, argv[1], &in) != 1 || !threads || threads > THREADS_MAX || !seconds) {
		fputs("usage: tests/bench/calls ADDRESS VOLUME-NUMBER [THREADS] [SECONDS]\n", stderr);
		return 2;
	}
	addr = rx_addr_ipv4(ntohl(in.s_addr), AFS_PORT_FS);
	loop = rx_loop_new(&config, NULL);
	if (!loop || rx_service_add(loop, &service, NULL))
		return EXIT_FAILURE;
	for (unsigned i = 0; i < threads; i++) {
		asker[i].in.fid = (struct afs_fid){ (uint32_t)strtoul(argv[2], NULL, 10), 1, 1 };
		asker[i].fs.conn = rx_conn_new(loop, &addr, AFS_SERVICE_FS, sec, NULL);
		asker[i].fs.origin = RX_ORIGIN_AFS;
		asker[i].until_us = rx_now_us(rx_env_posix()) + seconds * 1000000ull;
		pthread_create(&asker[i].thread, NULL, ask, &asker[i]);
	}
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(asker[i].thread, NULL);
		calls += asker[i].calls;
		failed += asker[i].failed;
		rx_conn_free(asker[i].fs.conn);
	}
	printf("%u threads: %.0f FetchStatus/s, %.0f us each, %llu failed\n", threads, (double)calls / seconds,
	       1e6 * seconds * threads / (double)calls, (unsigned long long)failed);
	rx_loop_free(loop);
	rx_security_put(sec);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
