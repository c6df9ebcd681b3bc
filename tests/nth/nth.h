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

enum { NTH_CALL_MAX = 32, NTH_ORDER_MAX = 1 << 15 };

/* Whether the calling thread's calls count. Asked each time while armed; NULL: all do. */
void nth_scope(bool (*counts)(void));
/* From now on calls are counted from 1; those from the n-th on, `burst` of them, fail. */
void nth_arm(unsigned n, unsigned burst);
void nth_arm_as_asked(void); /* by $UMAFS_NTH_REPORT */
void nth_disarm(void);
/* Of the last time armed: how many calls there were; whether one failed, and from where. */
struct nth_report {
	unsigned calls, allocations, failed;
	char call[NTH_CALL_MAX]; /* the first that failed; "": none */
	uintptr_t at;            /* from the program's start */
};
struct nth_report nth_report(void);

/* What a program of its own is told and tells, in the file $UMAFS_NTH_REPORT: armed from its
 * start when n is not 0; its children count along, if they are `program` too. */
struct nth_shared {
	unsigned n, burst, variant;
	char program[NTH_CALL_MAX];
	bool later; /* only from nth_arm_as_asked on */
	bool armed;
	struct nth_report report;
	unsigned descriptors;          /* at its end */
	uint32_t order[NTH_ORDER_MAX]; /* of the first calls: place and caller of that, mixed */
};

/* Which places have called while armed, in this process and its children, and in all that
 * ran with the same directory $UMAFS_NTH_PLACES: a hash table by `at` in PROGRAM.places. */
struct nth_place {
	uintptr_t at; /* from the program's start; 0: free */
	unsigned reached, failed;
	char call[NTH_CALL_MAX];
};
enum { NTH_PLACES = 4096, NTH_PLACES_SIZE = NTH_PLACES * sizeof(struct nth_place) };

/* What the rooms have allocated and not freed since the mark; prints the first few. */
unsigned nth_mark(void);
unsigned nth_leaked(unsigned mark);
/* For what a room hands out to be freed. */
void nth_free(void *p);

/* "function at file:line" of a place in a program (NULL: this one); valid until the next call. */
const char *nth_place(const char *exe, uintptr_t at);

/* For calls.c: whether this call, from `at` in a function called from `from`, fails; which
 * errno then; the books. */
bool nth_fails_from(const char *call, bool allocation, uintptr_t at, uintptr_t from);
unsigned nth_variant(void);
void *nth_born(void *p, uintptr_t at);
void nth_died(void *p);

#endif
