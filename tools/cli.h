/* What every command of umafs shares: the client instance, whom it acts as, the way to
 * say what went wrong, JSON, signals and temporary files. One `struct cli` per process;
 * its functions may be called from any thread. */
#ifndef UMAFS_TOOLS_CLI_H
#define UMAFS_TOOLS_CLI_H

#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cm/cm.h"
#include "tools/format.h"
#include "tools/options.h"
#include "vfs-emu/vfs.h"

struct cli {
	const struct cli_args *args;
	struct cm *cm;
	struct cm_token *token;
	struct vfs *vfs; /* NULL until cli_vfs */
	bool json, trace;
	unsigned jobs;
	int level;
	char anonymous_why[300]; /* why nobody's ticket is used; "" if one is or none was wanted */

	pthread_mutex_t lock; /* output, and what follows */
	json_t *result;       /* array; owned */
	json_t *errors;       /* array; owned */
	bool failed;
	bool misused;  /* wrong usage that only the command could see */
	bool progress; /* a progress line stands on stderr */
};

/* ---- commands: rows of the table in umafs.c ---- */

extern const struct cli_command cli_commands[];

#define CLI_COMMANDS(X)                                                                                                \
	X(ls)                                                                                                          \
	X(stat)                                                                                                        \
	X(cat)                                                                                                         \
	X(get)                                                                                                         \
	X(put)                                                                                                         \
	X(mkdir)                                                                                                       \
	X(rmdir)                                                                                                       \
	X(rm) X(mv) X(ln) X(touch) X(truncate) X(listacl) X(setacl) X(mkmount) X(rmmount) X(lsmount) X(listquota)      \
		X(examine) X(tokens) X(mmap) X(demo)
#define CLI_DECLARE(name) int cmd_##name(struct cli *cli, const struct cli_args *args);
CLI_COMMANDS(CLI_DECLARE)
#undef CLI_DECLARE

/* ---- failures: one line on stderr, and a member of "errors" in JSON. Return -1. ---- */

int cli_error(struct cli *cli, const char *path, const struct rx_error *err);
int cli_errorf(struct cli *cli, const char *path, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Wrong usage: exit status 2. Returns -1. */
int cli_misused(struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A failure that has been told, or that a signal made. */
void cli_fail(struct cli *cli);
/* One line for something worth knowing that is no failure. */
void cli_note(struct cli *cli, const char *path, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Rewrites a quota or space error with the numbers of v's volume, and a refusal with the
 * rights that the caller has. v: where it was tried; need: bytes wanted, 0 = not known. */
void cli_explain(struct cli *cli, struct cm_vnode *v, uint64_t need, struct rx_error *err);

/* ---- results ---- */

/* Appends to the JSON document; takes the reference. */
void cli_result(struct cli *cli, json_t *value);
/* A string, with bytes that are not UTF-8 replaced. */
json_t *cli_json_string(const char *text);
/* One line that says what was done; nothing unless JSON is wanted. */
void cli_done(struct cli *cli, const char *what, const char *path);

/* ---- names ---- */

/* "/afs/..." and nothing else; says so and returns -1 when it is not. */
int cli_check_path(struct cli *cli, const char *path);
/* cm_walk with the path checked and the error told. NULL on failure. */
struct cm_vnode *cli_walk(struct cli *cli, const char *path, unsigned flags);
/* cm_walk_parent likewise. */
struct cm_vnode *cli_walk_parent(struct cli *cli, const char *path, char name[256]);
/* dir/name, malloc'ed; never NULL (ends the process when memory is out). */
char *cli_join(const char *dir, const char *name);
/* The last component of a path, trailing slashes aside; malloc'ed likewise. */
char *cli_basename(const char *path);
/* False for "", ".", ".." and what has a slash: names no server should send. */
bool cli_good_name(const char *name);
/* Zeroed. Never NULL, as all of these. */
void *cli_alloc(size_t size);
void *cli_realloc(void *p, size_t size);
char *cli_strdup(const char *text);

/* The page room, made when first asked for. NULL: told why. */
struct vfs *cli_vfs(struct cli *cli);

/* ---- signals (signals.c) ---- */

/* Blocks SIGINT, SIGTERM and SIGHUP in every thread and starts the one that waits for
 * them: the first asks everybody to stop, and ends the process when that takes longer
 * than a few seconds. */
void cli_signals_start(void);
/* The signal that asked to stop, 0 = none. */
int cli_stopped(void);
/* Readable once cli_stopped() is not 0. */
int cli_stop_fd(void);

/* What must not stay behind: a local file to unlink, or a sentence to print. Returns a
 * handle for cli_pending_end, which only forgets it. */
struct cli_pending;
struct cli_pending *cli_pending_file(const char *path);
char *cli_pending_path(struct cli_pending *p); /* of a file; for mkstemp, which gives it its name */
struct cli_pending *cli_pending_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void cli_pending_end(struct cli_pending *p);
/* Ends the process in one sentence, with exit status 1; what is pending is not left behind. */
void cli_out_of_memory(void) __attribute__((noreturn));

#endif
