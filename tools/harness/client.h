/* A client of a scenario: a process of its own with one cache manager and one page room,
 * in which users act as tokens, each on a thread of its own. It keeps files and mappings
 * open between steps. Internal to umafs-fault's `client` part: client.c has the process,
 * its threads and what it counts; client_file.c files and mappings; client_name.c names. */
#ifndef UMAFS_HARNESS_CLIENT_H
#define UMAFS_HARNESS_CLIENT_H

#include <pthread.h>
#include <stdio.h>

#include "tools/harness/message.h"
#include "tools/harness/step.h"
#include "vfs-emu/vfs.h"

/* A user's open file or mapping under its name in the scenario. Who closes it sees to it
 * that no other thread of the user is using it. */
struct client_file {
	struct client_file *next;
	char user[32], name[HARNESS_WORD];
	struct cm_vnode *vnode;
	struct vfs_file *file;
};

struct client_map {
	struct client_map *next;
	char user[32], name[HARNESS_WORD];
	uint8_t *addr;
	size_t len;
};

struct client {
	struct cm *cm;
	struct vfs *vfs;
	const char *ccaches;
	int fd;
	pthread_mutex_t lock; /* everything below, and writing to fd */
	struct client_token *tokens;
	struct client_actor *actors;
	struct client_file *files;
	struct client_map *maps;
	struct client_count *counts; /* calls by procedure */
	FILE *trace;                 /* a line for each call */
	char *events;                /* text */
	size_t events_len;
	FILE *events_out;
};

/* One step as its thread carries it out. */
struct client_task {
	struct client *client;
	const char *user;
	struct cm_token *token;
	const struct harness_step *step;
	FILE *answer;
	int signal; /* what a load or store raised */
};

int client_main(int argc, char **argv);

/* "/afs/CELL/PATH" for a path that does not begin with a slash. */
const char *client_path(const struct client_task *t, unsigned n, char buf[HARNESS_PATH]);

/* Carry out one verb each; 0, or -1 with err. */
typedef int client_verb(struct client_task *t, struct rx_error *err);
#define CLIENT_DECLARE(name, args, flags, usage) client_verb client_##name;
HARNESS_VERBS(CLIENT_DECLARE)
#undef CLIENT_DECLARE

/* Unmaps and closes all that users have left. 0, or -1 with the first error. */
int client_close_all(struct client *c, struct rx_error *err);
/* Catches SIGBUS in the threads that load and store. */
void client_catch_sigbus(void);

#endif
