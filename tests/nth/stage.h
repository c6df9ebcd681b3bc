/* Where the n-th call fails in the deterministic world: the embedded cell, a client under
 * test and a bystander who prepares and looks, each with a tag of its own, so that only one
 * party's calls count. All on the fibers of one world. */
#ifndef UMAFS_TESTS_NTH_STAGE_H
#define UMAFS_TESTS_NTH_STAGE_H

#include "tests/sim/soft_mmu.h"
#include "tests/sim/world_net.h"
#include "tools/cell/cell.h"
#include "vfs-emu/vfs.h"

enum { STAGE_PAGES = 3, STAGE_SIZE = STAGE_PAGES * CM_PAGE };

enum party { BYSTANDER, CELL, CLIENT };

struct stage_client {
	struct cm *cm;
	struct vfs_source *source;
	struct vfs *vfs;
};

struct stage {
	struct world *world;
	struct rx_env *env;
	struct world_net *net;
	struct cell *cell;
	char dir[64]; /* the clients' configuration and tickets */
	enum vfs_mode mode;
	bool sound; /* nothing was wrong so far */

	/* The client under test; what an operation has not opened is NULL. */
	struct stage_client client;
	struct cm_token *alice, *bob;
	struct cm_vnode *top, *vnode; /* the directory, the file in it */
	struct vfs_file *file, *bobs;
	uintptr_t map, bobs_map;
	char spec[128]; /* alice's ticket cache */

	/* The bystander, as admin. */
	struct stage_client other;
	struct cm_token *admin;
	struct cm_vnode *other_top, *other_file;
	uint8_t want[STAGE_SIZE]; /* what the file holds in the end */
};

/* Says so and spoils the stage. */
#define STAGE_HOLDS(s, condition)                                                                                      \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			printf("    line %d: %s\n", __LINE__, #condition);                                             \
			(s)->sound = false;                                                                            \
		}                                                                                                      \
	} while (0)

/* Who acts from now on. */
void stage_as(struct stage *s, enum party who);
enum party stage_party(void); /* of the fiber that runs */

/* The cell with a directory "nth" (alice and bob may write) and in it "file", a symbolic
 * link "link" to it, and a directory "sub"; the bystander. False: said why. */
bool stage_begin(struct stage *s, struct world *w);
void stage_end(struct stage *s);
int stage_client_new(struct stage *s, struct stage_client *c, uint32_t ip, struct rx_error *err);
uint64_t stage_client_free(struct stage_client *c);
/* Ends the client under test, as far as it has been opened. False: something went wrong;
 * *lost bytes were not stored. */
bool stage_close(struct stage *s, uint64_t *lost, struct rx_error *err);
/* The bystander reads: the file holds what is wanted. */
void stage_look(struct stage *s);

#define STAGE_DIR "/afs/umafs.test/big/nth"

#endif
