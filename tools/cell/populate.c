/* What a new cell begins with: users and volumes like those of the cell of real servers that
 * tests/cell brings up. Called while a cell starts, with cell->lock held. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/cell/internal.h"

enum { READ = CM_RIGHT_READ | CM_RIGHT_LOOKUP, WRITE = CM_RIGHTS_ALL & ~CM_RIGHT_ADMINISTER };
enum { ADMIN = 1, ALICE = 2, BOB = 3, CAROL = 4 };
enum { FIRST_VOLUME = 536870912 };

static const struct {
	const char *name;
	int32_t id, owner;
} people[] = {
	{ "system:administrators", AFS_ID_ADMINISTRATORS, AFS_ID_ADMINISTRATORS },
	{ "system:anyuser", AFS_ID_ANYUSER, AFS_ID_ADMINISTRATORS },
	{ "system:authuser", AFS_ID_AUTHUSER, AFS_ID_ADMINISTRATORS },
	{ "system:backup", -205, AFS_ID_ADMINISTRATORS },
	{ "system:ptsviewers", -203, AFS_ID_ADMINISTRATORS },
	{ "anonymous", AFS_ID_ANONYMOUS, AFS_ID_ADMINISTRATORS },
	{ "admin", ADMIN, AFS_ID_ADMINISTRATORS },
	{ "alice", ALICE, AFS_ID_ADMINISTRATORS },
	{ "bob", BOB, AFS_ID_ADMINISTRATORS },
	{ "carol", CAROL, AFS_ID_ADMINISTRATORS },
};

static const struct {
	const char *name;
	int64_t quota;
	bool last_server, mounted;
	struct cell_grant grants[4];
} volumes[] = {
	{ "root.afs", 0, false, false, { { AFS_ID_ANYUSER, READ } } },
	{ "root.cell", 0, false, false, { { AFS_ID_ANYUSER, READ } } },
	{ "home", 0, false, true, { { ALICE, WRITE }, { BOB, WRITE }, { CAROL, READ }, { AFS_ID_ANYUSER, READ } } },
	{ "quota", 2000, false, true, { { ALICE, WRITE }, { BOB, WRITE }, { AFS_ID_ANYUSER, READ } } },
	{ "big", 0, false, true, { { ALICE, WRITE }, { BOB, WRITE }, { AFS_ID_ANYUSER, WRITE } } },
	{ "ro", 0, false, true, { { ALICE, WRITE }, { BOB, WRITE }, { AFS_ID_ANYUSER, READ } } },
	{ "far", 0, true, true, { { ALICE, WRITE }, { BOB, WRITE }, { AFS_ID_ANYUSER, READ } } },
};

static void grant(struct cell_acl *acl, const struct cell_grant *g, unsigned n)
{
	for (unsigned i = 0; i < n && g[i].id; i++) {
		acl->positive[acl->npositive].id = g[i].id;
		acl->positive[acl->npositive++].rights = g[i].rights;
	}
	cell_acl_sort(acl);
}

/* A name in a volume's root, made by admin. */
static int add(struct cell *cell, struct cell_vnode *root, const char *name, uint32_t type, const char *text)
{
	int32_t code;
	struct cell_vnode *v = cell_vnode_new(root->volume, type, &code);
	struct cell_caller admin;

	if (!v)
		return -1;
	cell_caller_of_id(cell, ADMIN, &admin);
	v->owner = v->author = ADMIN;
	v->mode = type == AFS_TYPE_DIR ? 0755 : 0644;
	v->links = type == AFS_TYPE_DIR ? 2 : 1;
	v->mtime = v->server_mtime = (uint32_t)cell_now(cell);
	v->parent_vnode = root->vnode;
	v->parent_unique = root->unique;
	if (type == AFS_TYPE_DIR) {
		v->acl = root->acl;
		code = cell_dir_new(v, root);
		root->links++;
	} else {
		v->link = strdup(text);
		cell_set_length(v, strlen(text));
	}
	if (code || (text && !v->link) || cell_dir_add(root, name, v->vnode, v->unique))
		return -1;
	if (type == AFS_TYPE_DIR)
		grant(&v->acl, &(struct cell_grant){ ADMIN, CM_RIGHTS_ALL }, 1);
	cell_vnode_changed(root, &admin);
	cell_note_vnode(v);
	cell_note_vnode(root);
	return 0;
}

static int mount(struct cell *cell, const char *in, const char *name, const char *fmt, const char *volume)
{
	struct cell_volume *v = cell_volume_by_name(cell, in);
	char text[CELL_NAME_MAX + 4];

	snprintf(text, sizeof(text), fmt, volume);
	return add(cell, v->vnodes[1], name, AFS_TYPE_SYMLINK, text);
}

static int make_people(struct cell *cell)
{
	for (size_t i = 0; i < sizeof(people) / sizeof(people[0]); i++)
		if (!cell_principal_add(cell, people[i].name, people[i].id, people[i].owner))
			return -1;
	if (!cell_member_add(cell_principal_by_id(cell, AFS_ID_ADMINISTRATORS), ADMIN))
		return -1;
	cell_note_principals(cell);
	return 0;
}

/* Numbers go up in threes: read-write, read-only, backup. */
static int make_volumes(struct cell *cell)
{
	char dotted[sizeof(cell->name) + 1];

	for (size_t i = 0; i < sizeof(volumes) / sizeof(volumes[0]); i++) {
		struct cell_fs *fs = &cell->fs[volumes[i].last_server ? cell->nfs - 1 : 0];
		struct cell_volume *v =
			cell_volume_new(cell, fs, volumes[i].name, FIRST_VOLUME + 3 * (uint32_t)i, volumes[i].quota);

		if (!v || (!strcmp(volumes[i].name, "home") && add(cell, v->vnodes[1], "private", AFS_TYPE_DIR, NULL)))
			return -1;
		grant(&v->vnodes[1]->acl, volumes[i].grants, 4);
		cell_note_vnode(v->vnodes[1]);
	}
	for (size_t i = 0; i < sizeof(volumes) / sizeof(volumes[0]); i++)
		if (volumes[i].mounted && mount(cell, "root.cell", volumes[i].name, "#%s.", volumes[i].name))
			return -1;
	snprintf(dotted, sizeof(dotted), ".%s", cell->name);
	return mount(cell, "root.afs", cell->name, "#%s.", "root.cell") ||
			       mount(cell, "root.afs", dotted, "%%%s.", "root.cell")
		       ? -1
		       : 0;
}

int cell_populate(struct cell *cell, struct rx_error *err)
{
	struct cell_volume *ro;

	if (make_people(cell) || make_volumes(cell))
		return rx_error_errno(err, ENOMEM, "making the cell's first volumes");
	ro = cell_volume_by_name(cell, "ro");
	for (unsigned i = 0; i < cell->nfs && i < 2; i++)
		if (!cell_volume_clone(ro, &cell->fs[i], AFS_VOLUME_RO, ro->id + 1))
			return rx_error_errno(err, ENOMEM, "making the replicas of ro");
	if (!cell_volume_clone(cell_volume_by_name(cell, "home"), &cell->fs[0], AFS_VOLUME_BACKUP,
			       cell_volume_by_name(cell, "home")->id + 2))
		return rx_error_errno(err, ENOMEM, "making the backup of home");
	return 0;
}
