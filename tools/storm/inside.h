/* An embedded cell of this process as a storm's stage: what such stages share, in whatever
 * world they are. One play at a time. A stage has a struct storm_inside as its first member
 * and takes the functions that it does not have to change into its struct storm_stage_ops. */
#ifndef UMAFS_TOOLS_STORM_INSIDE_H
#define UMAFS_TOOLS_STORM_INSIDE_H

#include "tools/cell/internal.h"
#include "tools/storm/storm.h"

struct storm_inside {
	struct storm_stage base;
	struct rx_mutex lock;    /* covers `cell` */
	struct cell *cell;       /* the stage's; NULL: there is none just now */
	struct fault_set *rules; /* the stage's */
	struct storm_play *play;
	uint32_t client_ip;                                 /* of client 0; the others' follow */
	bool knew[CELL_FILESERVERS_MAX][STORM_CLIENTS + 1]; /* the client, when the server restarted last */
	char spec[64];
};

static inline struct storm_inside *storm_inside_of(struct storm_stage *s)
{
	return (struct storm_inside *)s; /* base is its first member */
}

/* Before a play, when base.env is known, and after it. */
void storm_inside_begin(struct storm_inside *s);
void storm_inside_end(struct storm_inside *s);
/* Another cell takes the old one's place; NULL: none yet. The old one may be freed then. */
void storm_inside_set_cell(struct storm_inside *s, struct cell *cell);

/* What the cell's hooks do; arg: the struct storm_inside. */
int32_t storm_inside_before(void *arg, const struct cell_rpc *rpc);
int32_t storm_inside_after(void *arg, const struct cell_rpc *rpc, int32_t code);
bool storm_inside_is_store(const struct cell_rpc *rpc);
/* Everybody's first ticket, when the cell is up. */
int storm_inside_tickets(struct storm_inside *s, const struct storm_plan *plan, struct rx_error *err);
/* Before servers restart, which forget their clients. */
void storm_inside_note_clients(struct storm_inside *s);
/* Takes away all rules of the play. */
void storm_inside_calm(struct storm_inside *s);
/* cell->lock held; NULL: there is none. */
struct cell_vnode *storm_inside_vnode(struct cell *cell, const struct cm_fid *fid);

/* See struct storm_stage_ops. */
const char *storm_inside_token(struct storm_stage *base, unsigned client, unsigned user);
int64_t storm_inside_peek(struct storm_stage *base, const struct cm_fid *fid, uint8_t *buf, size_t cap);
bool storm_inside_missed(struct storm_stage *base, unsigned client);
int storm_inside_rule(struct storm_stage *base, const char *line, struct rx_error *err);
void storm_inside_unrule(struct storm_stage *base, const char *name);
void storm_inside_release(struct storm_stage *base, const char *gate);
void storm_inside_move(struct storm_stage *base, unsigned server);
int storm_inside_restart(struct storm_stage *base, struct rx_error *err);
int storm_inside_ticket(struct storm_stage *base, unsigned client, unsigned user, int64_t life_s, struct rx_error *err);

#endif
