/* The embedded cell: VLDB, protection database, volume service and file servers in this
 * process, for tests, demonstrations and fault scripts. Called by umafs-cell and by tests.
 * cell_new starts the services' threads, cell_free ends them; any thread may call either.
 * Hooks run on the service's worker threads without locks and may block. */
#ifndef UMAFS_TOOLS_CELL_CELL_H
#define UMAFS_TOOLS_CELL_CELL_H

#include <stdio.h>

#include "cm/afs.h"
#include "rx/rx.h"

enum { CELL_FILESERVERS_MAX = 16 };

struct fault_set;
struct cell_disk;

/* One call, as a hook sees it. Strings live during the hook only. */
struct cell_rpc {
	const char *service; /* "fs", "vl", "pt", "vol" */
	const char *name;    /* "FetchStatus", "vl_GetEntryByNameU" */
	const char *user;    /* "" is anonymous */
	struct rx_addr client, server;
	struct afs_fid fid;   /* the first one among the arguments; zero if there is none */
	uint32_t volume;      /* fid.volume, or an argument that names a volume; 0 if neither */
	const char *name_arg; /* an argument that is the name of an entry, a volume or a user; NULL: none */
};

/* Consulted around every call. `before`: 0, or the code to abort the call with instead of
 * doing it. `after`, for each `before`: the code to end it with, usually the one it was
 * given. Either may be NULL. */
struct cell_hooks {
	int32_t (*before)(void *arg, const struct cell_rpc *rpc);
	int32_t (*after)(void *arg, const struct cell_rpc *rpc, int32_t code);
	void *arg;
};

struct cell_config {
	struct rx_env *env;                                           /* NULL: rx_env_posix() */
	struct rx_net *(*net)(void *arg, uint32_t ip, uint16_t port); /* NULL: UDP */
	void *net_arg;
	const char *name;      /* the cell's; its realm is this in capitals */
	uint32_t db_ip;        /* host byte order: VLDB and PTS */
	const uint32_t *fs_ip; /* one file server, and its volume server, on each */
	unsigned nfs;
	uint16_t port_shift;            /* added to 7000 ... 7005; umafs itself knows no other ports */
	const char *keytab;             /* of afs/CELL; NULL: a new key */
	const char *data;               /* directory that keeps everything; NULL: memory only */
	bool sync;                      /* what it acknowledges survives a power failure, not only kill -9 */
	struct cell_disk *disk;         /* that directory's files; NULL: the real ones; must outlive the cell */
	const char *audit;              /* file that gets a line for each file server call; NULL: none */
	const struct cell_hooks *hooks; /* NULL: none; must outlive the cell */
	struct fault_set *faults;       /* its rpc rules come true; NULL: none; must outlive the cell */
};

struct cell;

/* NULL with err. Copies the configuration, but not the hooks. */
struct cell *cell_new(const struct cell_config *config, struct rx_error *err);
void cell_free(struct cell *cell);

/* Writes what a client needs into dir (made if missing): ThisCell, CellServDB, krb5.conf,
 * and ccache/USER for each user, with a ticket that is good for `life_s` seconds. */
int cell_write_client(struct cell *cell, const char *dir, int64_t life_s, struct rx_error *err);
/* One user's ticket into the ccache FILE:path, or, for clients in this process, MEMORY:name. */
int cell_write_ticket(struct cell *cell, const char *user, const char *path, int64_t life_s, struct rx_error *err);

/* A command of `umafs-cell ctl` (doc/fault-scripts.md) other than those on rules. False: there
 * is none of that name. Else what it says goes to `out`, and *rc is 0, or -1 with err. */
bool cell_control(struct cell *cell, const char *command, FILE *out, int *rc, struct rx_error *err);
extern const char cell_control_help[];

/* Makes the read-only sites of a volume equal to it, and tells who has promises on them,
 * as `vos release` does. */
int cell_release(struct cell *cell, const char *volume, struct rx_error *err);

#endif
