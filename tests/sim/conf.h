/* What clients in a world are configured with: files that are the same for every seed, so
 * one directory serves the whole process and goes when it ends. Called on the thread that
 * runs worlds. */
#ifndef UMAFS_TESTS_SIM_CONF_H
#define UMAFS_TESTS_SIM_CONF_H

enum { SIM_DB_IP = 0x0a000001, SIM_FS_IP = 0x0a00000b, SIM_CLIENT_IP = 0x0a000065 };
#define SIM_CELL "umafs.test"

/* Has ThisCell and CellServDB for SIM_CELL at SIM_DB_IP; libkrb5 is told to ask nobody. */
const char *sim_confdir(void);

#endif
