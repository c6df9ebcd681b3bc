/* A file of scenarios as parsed: doc/fault-scenarios.md tells the language. Read once
 * by `umafs-fault`, then constant; freed as a whole. */
#ifndef UMAFS_HARNESS_SCRIPT_H
#define UMAFS_HARNESS_SCRIPT_H

#include "tools/fault/rule.h"
#include "tools/harness/outcome.h"
#include "tools/harness/step.h"

enum harness_kind {
	HARNESS_RULE,    /* rule_side, name, command: the line for the control socket */
	HARNESS_SEED,    /* command */
	HARNESS_REMOVE,  /* name of a rule; rule_side */
	HARNESS_RELEASE, /* name of a gate */
	HARNESS_FILE,    /* name, step.data */
	HARNESS_FIRED,   /* name, range, rule_side; until or expected now */
	HARNESS_ORDER,   /* words */
	HARNESS_ACT,     /* actor, what */
};

enum harness_act {
	HARNESS_ACT_STEP,    /* of the library: step, command */
	HARNESS_ACT_RUN,     /* a program: words */
	HARNESS_ACT_WAIT,    /* for the actor's step in the background */
	HARNESS_ACT_SIGNAL,  /* number: to the actor's program */
	HARNESS_ACT_KILL,    /* a client, the cell, the wire: SIGKILL */
	HARNESS_ACT_END,     /* a client, in good order */
	HARNESS_ACT_PAUSE,   /* SIGSTOP */
	HARNESS_ACT_RESUME,  /* SIGCONT */
	HARNESS_ACT_START,   /* the cell, again */
	HARNESS_ACT_CONTROL, /* the cell or the wire: command, to the control socket */
};

/* USER, USER.THREAD, USER@CLIENT; @CLIENT; cell; wire. */
struct harness_actor {
	enum { HARNESS_USER, HARNESS_CLIENT, HARNESS_CELL, HARNESS_WIRE } kind;
	char text[64]; /* as written, without the colon */
	char user[32], client[32];
};

struct harness_statement {
	struct harness_statement *next;
	enum harness_kind kind;
	unsigned line;
	char *text; /* the line, without comment and indentation */
	char *command;
	char name[FAULT_TEXT_MAX];
	enum fault_side rule_side;
	struct fault_range range;
	bool until;
	/* ACT */
	struct harness_actor actor;
	enum harness_act act;
	struct harness_step step;
	char **words; /* ends with NULL */
	int number;
	bool background;
	struct harness_outcome *outcomes;
};

enum { HARNESS_CLIENTS = 8, HARNESS_OPTIONS = 512 };

/* `client NAME OPTION...`: options as the client's own command line has them. */
struct harness_client_options {
	char name[32];
	char options[HARNESS_OPTIONS];
};

struct harness_scenario {
	struct harness_scenario *next;
	const char *file; /* of the script */
	unsigned line;
	char *name;
	char *todo; /* "ROOM: REASON"; NULL: must pass */
	unsigned servers;
	bool lasting;        /* the cell keeps its data in a directory */
	uint64_t timeout_us; /* of each step */
	struct harness_client_options clients[HARNESS_CLIENTS];
	unsigned nclients;
	bool packets; /* an injector is needed */
	bool control; /* of the embedded cell: rpc rules, commands, its process */
	struct harness_statement *first;
};

struct harness_script {
	struct harness_script *next;
	char *file;
	struct harness_scenario *first;
};

/* NULL with "FILE: line L, column C: expected ..., not ...". */
struct harness_script *harness_script_read(const char *path, struct rx_error *err);
/* The same from memory; `file` is what errors and scenarios call it. */
struct harness_script *harness_script_parse(const char *text, const char *file, struct rx_error *err);
/* With those chained to it. */
void harness_script_free(struct harness_script *script);

#endif
