/* Mount point texts and the choice of the volume they lead to. Pure functions; called
 * by cm/walk.c with the text of a mount point vnode, and by tests as a table. */
#ifndef UMAFS_CM_MOUNT_H
#define UMAFS_CM_MOUNT_H

#include <stdbool.h>
#include <stdint.h>

enum cm_volume_kind { CM_VOL_RW, CM_VOL_RO, CM_VOL_BK, CM_VOL_NONE };

struct cm_mount {
	bool force_rw;              /* '%' */
	char cell[256];             /* "" = the parent's */
	char volume[80];            /* without .readonly and .backup; or decimal digits */
	enum cm_volume_kind suffix; /* CM_VOL_NONE: no suffix */
	uint32_t id;                /* the number, if volume is one; else 0 */
	uint32_t vnode, unique;     /* 1, 1 unless "cell:volid:vnode:uniq" */
};

/* True if a symlink of this mode and text is a mount point. */
bool cm_mount_is(uint32_t mode, const char *text);
/* 0, or -1: not a mount point's text. */
int cm_mount_parse(const char *text, struct cm_mount *m);
/* A bare volume name or number, as after "/afs/.:mount/CELL:". */
int cm_mount_parse_volume(const char *text, struct cm_mount *m);

/* Which member of the family: ids[3] as in the VLDB, 0 = none. parent: the kind of the
 * volume that the mount point lies in. CM_VOL_NONE: there is none that the rules allow. */
enum cm_volume_kind cm_mount_choose(const struct cm_mount *m, enum cm_volume_kind parent, bool crosses_cells,
				    const uint32_t ids[3]);

#endif
