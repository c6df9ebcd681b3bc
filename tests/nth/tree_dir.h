/* Where the tree of tree.h lies; for programs that know nothing else of it. */
#ifndef UMAFS_TESTS_NTH_TREE_DIR_H
#define UMAFS_TESTS_NTH_TREE_DIR_H

#define TREE_DIR "/afs/umafs.test/home/nth"

#endif
