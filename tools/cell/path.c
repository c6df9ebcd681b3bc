/* Paths of control commands: /afs/CELL/..., VOLUME:a/b, or a fid. Through mount points to
 * read-write volumes; symbolic links are not followed. Any thread, without cell->lock. */
#include <errno.h>
#include <stdlib.h>

#include "tools/cell/control.h"

static bool is_mount(const struct cell_vnode *v)
{
	return v->type == AFS_TYPE_SYMLINK && !(v->mode & 0111) && (*v->link == '#' || *v->link == '%');
}

static struct cell_vnode *root_of(struct cell *cell, const char *name, size_t len)
{
	char base[CELL_NAME_MAX];
	struct cell_volume *volume;

	if (len >= sizeof(base))
		return NULL;
	memcpy(base, name, len);
	base[len] = 0;
	volume = cell_volume_by_name(cell, base);
	return volume ? cell_vnode_find(volume, 1, 1) : NULL;
}

/* "#VOLUME." or "%VOLUME.", perhaps with this cell's name in front. */
static struct cell_vnode *mounted(struct cell *cell, const char *link)
{
	const char *name = strchr(link, ':');
	size_t len;

	name = name ? name + 1 : link + 1;
	len = strlen(name);
	return root_of(cell, name, len && name[len - 1] == '.' ? len - 1 : len);
}

/* Where a path begins; *rest gets what is to be walked from there. */
static struct cell_vnode *start(struct cell *cell, const char *path, const char **rest)
{
	size_t len = strlen(cell->name);
	const char *colon = strchr(path, ':');
	struct afs_fid fid;
	int used = 0;

	*rest = "";
	if (sscanf(path, "%u.%u.%u%n", &fid.volume, &fid.vnode, &fid.unique, &used) == 3 && !path[used]) {
		struct cell_volume *volume = cell_volume_find(cell, NULL, fid.volume);

		return volume ? cell_vnode_find(volume, fid.vnode, fid.unique) : NULL;
	}
	if (!strncmp(path, "/afs/", 5)) {
		path += 5 + (path[5] == '.');
		if (strncmp(path, cell->name, len) || (path[len] && path[len] != '/'))
			return NULL;
		*rest = path + len;
		return root_of(cell, "root.cell", 9);
	}
	if (!colon)
		return NULL;
	*rest = colon + 1;
	return root_of(cell, path, (size_t)(colon - path));
}

static int32_t walk(struct cell *cell, struct cell_vnode *v, const char *rest, struct cell_vnode **out)
{
	while (v && *(rest += strspn(rest, "/"))) {
		size_t len = strcspn(rest, "/");
		char name[AFS_NAME_MAX];
		int32_t code;

		if (v->type != AFS_TYPE_DIR)
			return ENOTDIR;
		if (len >= sizeof(name))
			return ENAMETOOLONG;
		memcpy(name, rest, len);
		name[len] = 0;
		code = cell_dir_find(v, name, &v);
		if (code)
			return code;
		if (is_mount(v))
			v = mounted(cell, v->link);
		rest += len;
	}
	*out = v;
	return v ? 0 : ENOENT;
}

int cell_path(struct cell_command *c, const char *path, struct afs_fid *fid)
{
	struct cell_vnode *v;
	const char *rest;
	int32_t code;

	rx_mutex_lock(&c->cell->lock);
	v = start(c->cell, path, &rest);
	code = walk(c->cell, v, rest, &v);
	if (code == 0)
		*fid = cell_fid(v);
	rx_mutex_unlock(&c->cell->lock);
	return code ? cell_refuse(c, code, path) : 0;
}

int cell_path_parent(struct cell_command *c, const char *path, struct afs_fid *dir, char name[AFS_NAME_MAX])
{
	const char *slash = strrchr(path, '/'), *colon = strrchr(path, ':');
	const char *last = slash && (!colon || slash > colon) ? slash : colon;
	char *parent;
	int rc;

	if (!last || !last[1] || strlen(last + 1) >= AFS_NAME_MAX)
		return cell_refuse(c, EINVAL, path);
	strcpy(name, last + 1);
	parent = strndup(path, (size_t)(last - path) + 1);
	if (!parent)
		return cell_refuse(c, ENOMEM, path);
	rc = cell_path(c, parent, dir);
	free(parent);
	return rc;
}
