/* What lies in an AFS directory and in a local one, as one text: each name with its kind, mode,
 * content and rights, sorted. Two trees are the same when their texts are. A bystander's cache
 * manager looks and prepares, as admin, on a cell in this process. */
#ifndef UMAFS_TESTS_NTH_TREE_H
#define UMAFS_TESTS_NTH_TREE_H

#include <stdbool.h>

#include "cm/cm.h"
#include "tools/cell/cell.h"

#include "tests/nth/tree_dir.h"

struct tree {
	struct cell *cell;
	struct cm *cm;
	struct cm_token *admin;
	char dir[64];   /* the clients' configuration */
	char local[80]; /* the local directory */
	char ccache[96];
};

/* False: said why. */
bool tree_begin(struct tree *t);
void tree_end(struct tree *t);
/* Both directories as they are to be at first:
 *	AFS: old (9,000 bytes), small, link -> small, empty/, sub/a, mnt (of the volume big)
 *	local: src (10,000 bytes), have, sub/, tree/x, tree/y/z, tree/l -> x */
bool tree_reset(struct tree *t);
/* malloc'ed. */
char *tree_text(struct tree *t);

#endif
