/* umafs-seed: the scenario on a cell that is up, for tools/quickstart and tests. */
#include <stdio.h>

#include "tools/scenario.h"

int main(int argc, char **argv)
{
	struct scenario_score score = { 0 };
	struct scenario given;

	if (argc != 6) {
		fprintf(stderr, "usage: umafs-seed UMAFS CONFDIR CCACHES AUDITLOG /afs/CELL/DIR\n"
				"DIR is made; CCACHES holds ticket caches named admin, alice, bob, carol.\n");
		return 2;
	}
	given = (struct scenario){ argv[1], argv[2], argv[3], argv[4], argv[5] };
	if (scenario_play(&given, &score)) {
		printf("\nseed: the scenario could not be played\n");
		return 1;
	}
	if (score.failures)
		printf("\nseed: %u of %u assertions FAILED\n", score.failures, score.checks);
	else
		printf("\nseed: all %u assertions held\n", score.checks);
	return score.failures ? 1 : 0;
}
