/* The variables of scenarios: $afs, $tmp, $conf, $seed, $server1 ... $server8. Pure. */
#ifndef UMAFS_HARNESS_EXPAND_H
#define UMAFS_HARNESS_EXPAND_H

#include <stdint.h>

struct harness_variables {
	const char *cell; /* $afs is /afs/CELL */
	const char *tmp;  /* $tmp: where the scenario's files are */
	const char *conf; /* $conf: the clients' configuration */
	uint32_t ip;      /* $server1; the others follow; host order */
	uint64_t seed;    /* $seed */
};

/* For reading a script without playing it: values of the right form. */
extern const struct harness_variables harness_stand_ins;

/* malloc'ed, never NULL. What is none of them stays as it is. */
char *harness_expand(const char *text, const struct harness_variables *v);

#endif
