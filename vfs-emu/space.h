/* The address space of one vnode: a memfd and what is known about each of its pages.
 * Two openers of a vnode share one space. Costs are proportional to what was touched.
 *
 * Page bits change only under space->lock, and most changes (grant, kill, verdict) begin
 * and end within one hold of it: that hold *is* bit L then and is not written down. L is
 * written down where it outlives the lock, over a readpage RPC. Hence a page that is
 * bound to a record is never L, and flushing never waits for a page.
 *
 * Whoever finds a page busy samples space->change_seq *before* looking and waits until it
 * moves; then starts again from the top. */
#ifndef UMAFS_VFS_EMU_SPACE_H
#define UMAFS_VFS_EMU_SPACE_H

#include "vfs-emu/instance.h"

enum page_bits {
	PAGE_U = 1,      /* may be mapped and read */
	PAGE_D = 2,      /* bound to a record */
	PAGE_W = 4,      /* its record is being stored; nobody may write to it */
	PAGE_L = 8,      /* being read from the server */
	PAGE_HOT = 16,   /* may be un-armed in mappings of its record's token */
	PAGE_STALE = 32, /* dirty over old content: goes once it is stored */
};

enum { LEAF_PAGES = 512 };

struct leaf {
	uint64_t base; /* first page index */
	uint8_t bits[LEAF_PAGES];
	uint8_t **twins; /* LEAF_PAGES pointers, or NULL while there are none */
};

/* A request that met another token's record on a page and waits its turn: later requests
 * of other tokens for the same page queue up behind it. */
struct claim {
	struct claim *next;
	struct space *space; /* NULL: not filed */
	struct cm_token *token;
	uint64_t index, seq;
};

struct space {
	struct vfs *vfs;
	struct cm_vnode *vnode;
	struct space *next; /* mappings_lock: of vfs->spaces */
	unsigned refs;      /* mappings_lock: files, mappings, claims */
	int memfd;

	struct rx_mutex lock;
	uint64_t size;        /* cm_size as last seen */
	uint64_t memfd_size;  /* rounded up; more only while bound pages lie beyond */
	struct leaf **leaves; /* ascending */
	size_t nleaves, leaves_cap;
	uint64_t nuptodate;
	/* The CLEAN pages are the file's content at this data version, and at every later one
	 * as long as only our own stores lie between: that is the cache manager's word. */
	uint64_t version;
	bool has_version;
	uint64_t gen;       /* moves when pages are cut off */
	uint64_t punch_gen; /* moves before content goes away */
	bool truncating;
	uint64_t bound;  /* while truncating: no grant and no page-in at or beyond */
	bool validating; /* somebody asks the server: others wait */
	struct claim *claims;
	struct vfs_mapping *mappings; /* both locks to change */

	uint64_t change_seq;  /* service.lock; moves when waiting requests should try again */
	uint64_t rights_gen;  /* atomic; remembered rights older than it are asked for again */
	struct fault *parked; /* service.lock */
	struct rx_cond changed;
};

/* ---- life ---- */
struct space *space_open(struct vfs *vfs, struct cm_vnode *v, struct rx_error *err);
void space_get(struct space *sp); /* mappings_lock held */
/* Drops a reference; nothing is freed before space_reap. mappings_lock not held. */
void space_put(struct space *sp);
/* Frees the spaces that nobody uses and that have no record. No locks held. */
void space_reap(struct vfs *vfs);
void space_free(struct space *sp);

/* ---- locks and waiting ---- */
/* Takes mappings_lock and the space's, and adopts the vnode's size if it moved. */
void space_lock(struct space *sp);
void space_unlock(struct space *sp);
/* The same where mappings_lock is held by the caller and stays so. */
void space_lock_mapped(struct space *sp);
uint64_t space_seq(struct space *sp);
/* Everybody who waits on this space tries again. Needs no lock, takes only service.lock. */
void space_changed(struct space *sp);
/* Waits until change_seq is no longer `seq`. False: deadline passed. */
bool space_wait(struct space *sp, uint64_t seq, uint64_t deadline_us);

/* ---- pages; space->lock held ---- */
unsigned page_bits(const struct space *sp, uint64_t index);
/* Before pages get their first bit. Returns for how many there is memory, from the first on. */
uint64_t page_reserve(struct space *sp, uint64_t first, uint64_t n);
void page_change(struct space *sp, uint64_t index, unsigned set, unsigned clear);
uint8_t *page_twin(const struct space *sp, uint64_t index);
/* The next run of pages in [from, to) whose bits under mask are `want` (not 0). */
bool page_next_run(const struct space *sp, uint64_t from, uint64_t to, unsigned mask, unsigned want, uint64_t *first,
		   uint64_t *n);
const char *page_state_name(unsigned bits);

/* Arm in all mappings (both locks held), drop from the memfd, clear the bits: in that
 * order, so that nobody sees a hole as zeros or stores unnoticed into its refill. */
void space_punch(struct space *sp, uint64_t first, uint64_t n);
/* The server says that its file has this version. Unless only our own stores lie between,
 * the pages are not that file (any more): CLEAN ones go, dirty ones are marked, and true says that
 * the caller must start a flush once it has let go of the locks. Both locks held. */
bool space_adopt_version(struct space *sp, uint64_t version);
/* Cuts everything at and beyond byte n, bound or not. Both locks held. */
void space_cut(struct space *sp, uint64_t n);
/* Adopts cm_size. Both locks held. */
void space_sync_size(struct space *sp);
/* Room in the memfd up to byte n, for pages that are written before the file is that long;
 * space_sync_size ends it. Both locks held. */
void space_make_room(struct space *sp, uint64_t n);

/* Uninitialised memory for a twin that does not exist yet; NULL: none. */
uint8_t *page_twin_alloc(struct space *sp, uint64_t index);
void page_twin_free(struct space *sp, uint64_t index);

/* twin.c; space->lock held. -1: no memory. */
int twin_make(struct space *sp, uint64_t index);
void twin_drop(struct space *sp, uint64_t index);

/* claim.c; space->lock held, mappings_lock too for filing. */
bool claim_is_behind(const struct space *sp, uint64_t index, const struct cm_token *t, uint64_t seq);
void claim_file(struct claim *c, struct space *sp, uint64_t index, struct cm_token *t, uint64_t seq);
/* No locks held. */
void claim_drop(struct claim *c);

/* ---- the vnode's answers, without RPC ---- */
/* Valid, or validated since the last break although no promise came with it. */
bool space_is_valid(const struct space *sp, uint64_t validated_gen);
/* FetchStatus; punches what is stale. No locks held. *validated_gen for space_is_valid. */
int space_validate(struct space *sp, struct cm_token *t, uint64_t *validated_gen, struct rx_error *err);

/* writeback.c */
extern const struct cm_space_ops space_ops;

static inline uint64_t page_of(uint64_t off)
{
	return off / CM_PAGE;
}

static inline uint64_t pages_up(uint64_t size)
{
	return size / CM_PAGE + (size % CM_PAGE != 0);
}

#endif
