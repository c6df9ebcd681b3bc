/* The steps of clients: every verb with its arguments, declared once. The script's parser,
 * the client that carries them out and `umafs-fault help` use the same table. A step is
 * one line's worth of plain data. */
#ifndef UMAFS_HARNESS_STEP_H
#define UMAFS_HARNESS_STEP_H

#include "tools/harness/data.h"

/* Arguments: n a name, p a path, s a size, d data, m a mode (octal), t a word, ? the
 * arguments from here on may be left out. Flags, at the end, in any order. */
#define HARNESS_VERBS(X)                                                                                               \
	X(open, "np", "ro create excl trunc", "NAME PATH [ro] [create] [excl] [trunc]")                                \
	X(close, "n", "", "NAME")                                                                                      \
	X(read, "nss", "", "NAME OFFSET LENGTH")                                                                       \
	X(write, "nsd", "", "NAME OFFSET DATA")                                                                        \
	X(truncate, "ns", "", "NAME SIZE")                                                                             \
	X(fsync, "n", "", "NAME")                                                                                      \
	X(fstat, "n", "", "NAME")                                                                                      \
	X(page, "ns", "", "NAME INDEX")                                                                                \
	X(map, "nnss", "ro", "MAPPING NAME OFFSET LENGTH [ro]")                                                        \
	X(load, "nss", "", "MAPPING OFFSET LENGTH")                                                                    \
	X(store, "nsd", "", "MAPPING OFFSET DATA")                                                                     \
	X(msync, "n", "async", "MAPPING [async]")                                                                      \
	X(unmap, "n", "", "MAPPING")                                                                                   \
	X(put, "pd", "", "PATH DATA")                                                                                  \
	X(get, "p", "", "PATH")                                                                                        \
	X(stat, "p", "nofollow", "PATH [nofollow]")                                                                    \
	X(list, "p", "", "PATH")                                                                                       \
	X(mkdir, "p", "", "PATH")                                                                                      \
	X(rmdir, "p", "", "PATH")                                                                                      \
	X(remove, "p", "", "PATH")                                                                                     \
	X(rename, "pp", "", "FROM TO")                                                                                 \
	X(link, "pp", "", "OLD NEW")                                                                                   \
	X(symlink, "tp", "", "TEXT PATH")                                                                              \
	X(mount, "tp", "", "TEXT PATH")                                                                                \
	X(readlink, "p", "", "PATH")                                                                                   \
	X(chmod, "pm", "", "PATH MODE")                                                                                \
	X(utime, "ps", "", "PATH SECONDS")                                                                             \
	X(acl, "p", "", "PATH")                                                                                        \
	X(setacl, "ptt", "", "PATH USER RIGHTS")                                                                       \
	X(quota, "p", "", "PATH")                                                                                      \
	X(sites, "p", "", "PATH")                                                                                      \
	X(events, "", "", "")                                                                                          \
	X(calls, "?t", "", "[PROCEDURE]")                                                                              \
	X(dirty, "", "", "")

#define HARNESS_VERB_ENUM(name, args, flags, usage) HARNESS_##name,
enum harness_verb { HARNESS_VERBS(HARNESS_VERB_ENUM) HARNESS_VERB_COUNT };
#undef HARNESS_VERB_ENUM

enum { HARNESS_PATH = 1024, HARNESS_FLAGS = 4 };

struct harness_step {
	enum harness_verb verb;
	char name[2][HARNESS_WORD];
	char path[2][HARNESS_WORD];
	char text[2][HARNESS_WORD];
	uint64_t size[2];
	uint32_t mode;
	struct harness_data data;
	unsigned flags; /* bit i: the verb's i-th flag was given */
};

/* Takes the verb and its arguments, up to -> or & or the end of the line. */
int harness_step_parse(struct fault_lexer *lx, struct harness_step *out);
/* "VERB ARGUMENTS" of each, one a line. */
void harness_step_help(char *out, size_t cap);

#endif
