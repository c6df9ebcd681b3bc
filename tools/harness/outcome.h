/* What a step came to, and what a scenario says that it must come to. An outcome is one
 * `-> ...` of a script; a result is filled by the client, the program or the control
 * socket. judge.c's caller is play.c alone. */
#ifndef UMAFS_HARNESS_OUTCOME_H
#define UMAFS_HARNESS_OUTCOME_H

#include "tools/harness/data.h"

enum harness_outcome_kind {
	HARNESS_OK,
	HARNESS_ERROR,  /* `code`, and as errno */
	HARNESS_SIGNAL, /* `number` */
	HARNESS_EXIT,   /* `number` */
	HARNESS_SAYS,   /* the error's sentence has `data` */
	HARNESS_IS,     /* the answer is `data` */
	HARNESS_HAS,
	HARNESS_LACKS,
	HARNESS_WITHIN,     /* `time_us` at most */
	HARNESS_NOT_BEFORE, /* `time_us` at least */
};

enum harness_stream { HARNESS_ANSWER, HARNESS_STDERR, HARNESS_STREAMS };

struct harness_outcome {
	struct harness_outcome *next;
	enum harness_outcome_kind kind;
	enum harness_stream stream; /* IS, HAS, LACKS */
	char word[HARNESS_WORD];    /* ERROR, SIGNAL: as written */
	int32_t code;
	int number;
	uint64_t time_us;
	struct harness_data data;
};

/* Takes what stands behind an ->. NULL with the lexer's error. Free with harness_outcomes_free. */
struct harness_outcome *harness_outcome_parse(struct fault_lexer *lx);
void harness_outcomes_free(struct harness_outcome *first);

enum harness_status { HARNESS_DONE, HARNESS_FAILED, HARNESS_SIGNALLED, HARNESS_EXITED };

struct harness_result {
	enum harness_status status;
	struct rx_error err;             /* FAILED */
	int number;                      /* SIGNALLED, EXITED */
	uint8_t *bytes[HARNESS_STREAMS]; /* malloc'ed or NULL */
	size_t len[HARNESS_STREAMS];
	uint64_t took_us;
};

void harness_result_free(struct harness_result *r);

/* Whether one of these says how the step ends; if none does it must succeed. */
bool harness_speaks_of_end(const struct harness_outcome *first);
/* Each: 0, or -1 with a malloc'ed sentence. */
int harness_judge(const struct harness_result *r, const struct harness_outcome *o, char **why);
int harness_judge_success(const struct harness_result *r, char **why);

#endif
