/* The scenario of umafs on a cell that is up: alice and bob map the same page and store
 * into it while an administrator takes alice's right away. Afterwards bob's bytes must be
 * on the server, alice's nowhere, alice must have been told exactly once, and the server's
 * audit log must show no byte of hers under another name. It is told on standard output.
 * Played by `umafs demo` on the embedded cell and by umafs-seed on real servers. One at a
 * time: it catches SIGBUS meanwhile. */
#ifndef UMAFS_TOOLS_SCENARIO_H
#define UMAFS_TOOLS_SCENARIO_H

struct scenario {
	const char *umafs;   /* the program, run for what other processes do */
	const char *confdir; /* its ThisCell and CellServDB */
	const char *ccaches; /* directory of ticket caches named admin, alice, bob, carol */
	const char *audit;   /* the file server's audit log */
	const char *dir;     /* "/afs/CELL/DIR"; is made */
};

struct scenario_score {
	unsigned checks, failures;
};

/* 0 with the score, or -1 when it could not be played; that has been said. */
int scenario_play(const struct scenario *given, struct scenario_score *score);

#endif
