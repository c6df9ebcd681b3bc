/* See memory.h. */
#include "tools/fault/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void fault_give_up(const char *why)
{
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, why);
	_exit(EXIT_FAILURE);
}

void fault_no_memory(void)
{
	fault_give_up("out of memory");
}
