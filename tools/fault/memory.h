/* Where memory ends, the programs of fault injection end: in one sentence, with exit status 1.
 * They keep nothing that a crash would lose. Any thread. */
#ifndef UMAFS_TOOLS_FAULT_MEMORY_H
#define UMAFS_TOOLS_FAULT_MEMORY_H

void fault_no_memory(void) __attribute__((noreturn));
/* Likewise, for another reason. */
void fault_give_up(const char *why) __attribute__((noreturn));

#endif
