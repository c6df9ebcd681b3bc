/* For tests of the embedded cell: a cell on loopback addresses of this process's own, with
 * a clock that can be turned, and bare clients that speak to it through the stubs alone and
 * count what the server tells them. CUnit assertions inside: all or nothing. */
#ifndef UMAFS_TESTS_CELL_CLIENT_H
#define UMAFS_TESTS_CELL_CLIENT_H

#include <pthread.h>

#include "tools/cell/cell.h"

enum { CLIENT_USERS = 5, UAE_EACCES = 49733376 + 12 };

/* Whose breaks come at the same time meet here; the first of those that come one after another waits in vain. */
struct client_meeting {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	unsigned here, wanted;
};

struct client {
	struct rx_loop *loop;
	struct afs_uuid uuid;
	bool old_style;                 /* knows neither TellMeAboutYourself nor WhoAreYou */
	struct client_meeting *meeting; /* NULL: breaks are answered at once */
	/* What the server said; atomic. */
	unsigned breaks, resets, questions, probes;
	struct afs_fid last; /* of the last break */
	struct {
		char user[16];
		unsigned server;
		struct rx_conn *conn;
	} conns[2 * CLIENT_USERS];
	unsigned nconns;
};

/* Everything of the cell under test; one at a time. */
struct cell_world {
	struct cell *cell;
	struct fault_set *faults; /* the next cell's; the test's own */
	uint32_t ip[2];
	char dir[64]; /* the clients' configuration, and data of a lasting cell below it */
};
extern struct cell_world world;

void world_begin(const struct cell_hooks *hooks, bool lasting);
/* The cell again, from what it has on disk. */
void world_restart(void);
void world_end(void);
void world_turn_clock(int64_t seconds);

void client_begin(struct client *c, uint8_t who, uint16_t port);
/* user NULL: anonymous; server 0 or 1. */
struct rx_rpc_client client_as(struct client *c, const char *user, unsigned server);
void client_end(struct client *c);

/* Root of a volume, by asking the VLDB. */
struct afs_fid client_root(struct client *c, const char *volume);
/* 0, or the abort code. */
int32_t client_create(struct client *c, const char *user, struct afs_fid dir, const char *name, struct afs_fid *out);
int32_t client_mkdir(struct client *c, const char *user, struct afs_fid dir, const char *name, struct afs_fid *out);
int32_t client_store(struct client *c, const char *user, struct afs_fid fid, uint64_t pos, const char *text,
		     uint64_t file_length, struct afs_fetch_status *st);
int32_t client_status(struct client *c, const char *user, struct afs_fid fid, struct afs_fetch_status *st);
/* What the file holds, as a string; NULL: refused. Valid until the next call. */
const char *client_read(struct client *c, const char *user, struct afs_fid fid);
int32_t client_acl(struct client *c, const char *user, struct afs_fid dir, const char *text);

#endif
