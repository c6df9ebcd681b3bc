/* umafs-fault storm. */
#ifndef UMAFS_HARNESS_STORM_H
#define UMAFS_HARNESS_STORM_H

int harness_storm_main(int argc, char **argv);

#endif
