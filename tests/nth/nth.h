/* Fails, on purpose, the n-th of the calls that the rooms' code makes: allocations, system
 * calls, and the libraries below (libevent, OpenSSL, Kerberos). The rooms are linked from
 * copies whose calls lead here (tests/nth/nth.syms), everybody else's go where they always
 * went. Only calls of a scope count. Also keeps the books of what is allocated, and by
 * whom. Thread safe. */
#ifndef UMAFS_TESTS_NTH_NTH_H
#define UMAFS_TESTS_NTH_NTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the calling thread's calls count. Asked each time while armed; NULL: all do. */
void nth_scope(bool (*counts)(void));
/* From now on calls are counted from 1; those from the n-th on, `burst` of them, fail. */
void nth_arm(unsigned n, unsigned burst);
void nth_disarm(void);
/* Of the last time armed: how many calls there were; whether one failed, and from where. */
struct nth_report {
	unsigned calls, allocations, failed;
	const char *call; /* the first that failed; NULL: none */
	uintptr_t at;
};
struct nth_report nth_report(void);

/* What the rooms have allocated and not freed since the mark; prints the first few. */
unsigned nth_mark(void);
unsigned nth_leaked(unsigned mark);
/* For what a room hands out to be freed. */
void nth_free(void *p);

/* "function at file:line" of a place in this program; valid until the next call. */
const char *nth_place(uintptr_t at);

/* Which places have called so far, in this process and its children: how many, and each. */
unsigned nth_places(void (*each)(void *arg, uintptr_t at, const char *call), void *arg);

#endif
