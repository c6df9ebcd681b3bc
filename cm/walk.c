/* From a path to a vnode: the synthetic /afs, names in directories, mount points and
 * symlinks. Called on any thread; all state of a walk is on its stack, so ".." belongs to
 * the path and not to the volume. Nothing is locked between two steps. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cm/dir.h"
#include "cm/internal.h"

enum { MAX_SYMLINKS = 40, MAX_DEPTH = 256, MAX_SAME_VOLUME = 64, PATH_CAP = 8192 };

struct walk {
	struct cm *cm;
	struct cm_token *token;
	struct cm_vnode *stack[MAX_DEPTH]; /* references; [0] is /afs */
	unsigned depth;                    /* stack[depth] is where we are */
	unsigned symlinks;
	unsigned flags;
	char rest[PATH_CAP]; /* still to go */
	struct rx_error *err;
};

int cm_readlink(struct cm_vnode *v, struct cm_token *t, char **text, struct rx_error *err)
{
	char buf[AFS_PATH_MAX + 1], where[384], *copy;
	struct cm_attr attr;
	uint64_t version;
	size_t got;

	*text = NULL;
	if (cm_getattr(v, t, &attr, err) || cm_may_read(v, t, err))
		return -1;
	if (attr.type != CM_SYMLINK && attr.type != CM_MOUNT)
		return rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "%s is not a symbolic link",
				    cm_vnode_text(v, where));
	rx_mutex_lock(&v->lock);
	if (v->text)
		*text = strdup(v->text);
	rx_mutex_unlock(&v->lock);
	if (*text)
		return 0;
	if (attr.server_size > AFS_PATH_MAX)
		return rx_error_set(err, RX_ORIGIN_ERRNO, EIO, EIO, "%s: a link's text of %llu bytes cannot be",
				    cm_vnode_text(v, where), (unsigned long long)attr.server_size);
	if (cm_fetch(v, t, 0, buf, (size_t)attr.server_size, &got, &version, err))
		return -1;
	buf[got] = '\0';
	*text = strdup(buf);
	copy = strdup(buf);
	if (!*text || !copy) {
		free(copy);
		free(*text);
		*text = NULL;
		return rx_error_errno(err, ENOMEM, "reading a link");
	}
	rx_mutex_lock(&v->lock);
	if (!v->text) {
		v->text = copy;
		copy = NULL;
	}
	rx_mutex_unlock(&v->lock);
	free(copy);
	return 0;
}

/* The root directory that m leads to, seen from a volume of `parent` kind in `from`. */
static int mount_root(struct cm *cm, struct cm_cell *from, enum cm_volume_kind parent, const struct cm_mount *m,
		      struct cm_vnode **root, struct rx_error *err)
{
	struct cm_cell *cell = *m->cell ? cm_cell_find(cm, m->cell, err) : from;
	enum cm_volume_kind kind;
	struct cm_family *family;
	struct cm_volume *vol;
	uint32_t ids[3];
	char name[80];

	if (!cell || cm_family_get(cell, m->volume, &family, err))
		return -1;
	cm_family_ids(family, ids, name);
	kind = cm_mount_choose(m, parent, !cm_cells_same(cell, from), ids);
	if (kind == CM_VOL_NONE)
		return rx_error_set(err, RX_ORIGIN_ERRNO, ENODEV, ENODEV,
				    "volume %s of cell %s has no %s that may be used here", name, cell->name,
				    m->suffix == CM_VOL_BK   ? "backup"
				    : m->suffix == CM_VOL_RO ? "read-only copy"
							     : "member");
	vol = cm_volume_get(family, kind);
	*root = vol ? cm_vnode_root(vol, m->vnode, m->unique) : NULL;
	return *root ? 0 : rx_error_errno(err, ENOMEM, "entering volume %s", name);
}

int cm_mount_target(struct cm_vnode *mount, struct cm_token *t, struct cm_vnode **root, struct rx_error *err)
{
	struct cm_mount m;
	char *text, where[384];
	int rc;

	*root = NULL;
	if (cm_readlink(mount, t, &text, err))
		return -1;
	if (cm_mount_parse(text, &m))
		rc = rx_error_set(err, RX_ORIGIN_ERRNO, ENODEV, ENODEV, "%s: \"%.80s\" is no mount point's text",
				  cm_vnode_text(mount, where), text);
	else
		rc = mount_root(mount->cm, mount->cell, mount->volume->kind, &m, root, err);
	if (rc)
		rx_error_prefix(err, "mount point \"%.80s\"", text);
	free(text);
	return rc;
}

/* A name in /afs: CELL, .CELL; "@cell" and ".@cell" stand for the local one. */
static int top_lookup(struct cm *cm, const char *name, struct cm_vnode **out, struct rx_error *err)
{
	struct cm_mount m = { .suffix = CM_VOL_NONE, .vnode = 1, .unique = 1, .volume = "root.cell" };
	struct cm_cell *cell;

	if (name[0] == '.') {
		m.force_rw = true;
		name++;
	}
	cell = strcmp(name, "@cell") == 0 ? cm->local : cm_cell_find(cm, name, err);
	if (!cell)
		return -1;
	return mount_root(cm, cell, CM_VOL_RO, &m, out, err);
}

/* "CELL:VOLUME" below /afs/.:mount: always the read-write volume unless a suffix or an
 * id says otherwise. */
static int direct_lookup(struct cm *cm, const char *name, struct cm_vnode **out, struct rx_error *err)
{
	const char *colon = strchr(name, ':');
	struct cm_mount m = { .force_rw = true };
	struct cm_cell *cell;
	char cell_name[256];

	if (!colon || (size_t)(colon - name) >= sizeof(cell_name) || cm_mount_parse_volume(colon + 1, &m))
		return rx_error_set(err, RX_ORIGIN_ERRNO, ENOENT, ENOENT,
				    "/afs/.:mount/%.100s: write CELL:VOLUME or CELL:ID:VNODE:UNIQUE", name);
	snprintf(cell_name, sizeof(cell_name), "%.*s", (int)(colon - name), name);
	cell = cm_cell_find(cm, cell_name, err);
	if (!cell)
		return -1;
	return mount_root(cm, cell, CM_VOL_RW, &m, out, err);
}

int cm_lookup(struct cm_vnode *dir, struct cm_token *t, const char *name, struct cm_vnode **out, struct rx_error *err)
{
	struct cm_dir_entry entry;
	struct cm_blob *blob;
	struct cm_fid fid;
	char where[384];
	bool found;

	*out = NULL;
	if (!dir->volume) {
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
			*out = cm_vnode_get(dir);
			return 0;
		}
		return top_lookup(dir->cm, name, out, err);
	}
	if (cm_dir_blob(dir, t, &blob, err))
		return -1;
	found = cm_dir_lookup(blob->bytes, blob->len, name, &entry);
	if (found)
		fid = (struct cm_fid){ dir->fid.volume, entry.vnode, entry.unique };
	cm_blob_put(blob);
	if (!found)
		return rx_error_set(err, RX_ORIGIN_ERRNO, ENOENT, ENOENT, "there is no \"%.100s\" in %s", name,
				    cm_vnode_text(dir, where));
	*out = cm_vnode_find(dir->volume, &fid);
	return *out ? 0 : rx_error_errno(err, ENOMEM, "looking up %.100s", name);
}

static int push(struct walk *w, struct cm_vnode *v)
{
	unsigned same = 0;

	for (unsigned i = 1; i <= w->depth; i++)
		same += v->fid.vnode == 1 && w->stack[i]->fid.vnode == 1 && w->stack[i]->volume == v->volume;
	if (w->depth + 1 == MAX_DEPTH || same >= MAX_SAME_VOLUME) {
		cm_vnode_put(v);
		return rx_error_set(w->err, RX_ORIGIN_ERRNO, ELOOP, ELOOP, "the path is nested too deeply");
	}
	w->stack[++w->depth] = v;
	return 0;
}

static void pop_to(struct walk *w, unsigned depth)
{
	while (w->depth > depth)
		cm_vnode_put(w->stack[w->depth--]);
}

/* Takes the next component off rest; false at the end. */
static bool next_component(struct walk *w, char name[256], bool *last, bool *too_long)
{
	const char *p = w->rest + strspn(w->rest, "/");
	size_t n = strcspn(p, "/");

	*too_long = n > 255;
	if (n == 0 || *too_long)
		return *too_long;
	memcpy(name, p, n);
	name[n] = '\0';
	p += n;
	/* "x/" wants the directory behind x. */
	*last = *p == '\0';
	memmove(w->rest, p, strlen(p) + 1);
	return true;
}

/* Puts a symlink's text in front of what is left, and goes back to where it counts from. */
static int follow(struct walk *w, const char *text)
{
	char rest[PATH_CAP];
	const char *from = text;

	if (++w->symlinks > MAX_SYMLINKS)
		return rx_error_set(w->err, RX_ORIGIN_ERRNO, ELOOP, ELOOP, "more than %d symbolic links in the path",
				    MAX_SYMLINKS);
	if (text[0] == '/') {
		if (strncmp(text, "/afs", 4) != 0 || (text[4] != '/' && text[4] != '\0'))
			return rx_error_set(w->err, RX_ORIGIN_ERRNO, EXDEV, EXDEV,
					    "the symbolic link to %.150s leaves AFS", text);
		pop_to(w, 0);
		from = text + 4;
	}
	if ((size_t)snprintf(rest, sizeof(rest), "%s/%s", from, w->rest) >= sizeof(rest))
		return rx_error_errno(w->err, ENAMETOOLONG, "following a symbolic link");
	if (*w->rest == '\0')
		rest[strlen(rest) - 1] = '\0';
	memcpy(w->rest, rest, strlen(rest) + 1);
	return 0;
}

/* One name from where we are. */
static int step(struct walk *w, const char *name, bool last)
{
	struct cm_vnode *here = w->stack[w->depth], *v, *root;
	struct cm_attr attr;
	char *text;
	int rc;

	if (strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0) {
		pop_to(w, w->depth > 0 ? w->depth - 1 : 0);
		return 0;
	}
	if (cm_lookup(here, w->token, name, &v, w->err))
		return -1;
	/* The odd ones are directories; only the others can lead elsewhere. */
	if (v->fid.vnode % 2 == 1)
		return push(w, v);
	if (last && w->flags & CM_WALK_NOFOLLOW && w->flags & CM_WALK_NOMOUNT)
		return push(w, v);
	if (cm_getattr(v, w->token, &attr, w->err)) {
		cm_vnode_put(v);
		return -1;
	}
	if (attr.type == CM_MOUNT && !(last && w->flags & CM_WALK_NOMOUNT)) {
		rc = cm_mount_target(v, w->token, &root, w->err);
		cm_vnode_put(v);
		return rc ? -1 : push(w, root);
	}
	if (attr.type == CM_SYMLINK && !(last && w->flags & CM_WALK_NOFOLLOW)) {
		rc = cm_readlink(v, w->token, &text, w->err);
		cm_vnode_put(v);
		if (rc == 0)
			rc = follow(w, text);
		free(text);
		return rc;
	}
	return push(w, v);
}

static int run(struct walk *w)
{
	bool last, too_long, direct = false;
	char name[256];

	while (next_component(w, name, &last, &too_long)) {
		struct cm_vnode *v;

		if (too_long)
			return rx_error_errno(w->err, ENAMETOOLONG, "a name of the path");
		if (direct) {
			direct = false;
			if (direct_lookup(w->cm, name, &v, w->err) || push(w, v))
				return -1;
		} else if (w->depth == 0 && strcmp(name, ".:mount") == 0) {
			direct = true;
		} else if (step(w, name, last)) {
			return -1;
		}
	}
	if (direct)
		return rx_error_set(w->err, RX_ORIGIN_ERRNO, ENOENT, ENOENT,
				    "/afs/.:mount cannot be listed: write /afs/.:mount/CELL:VOLUME");
	return 0;
}

static int begin(struct walk *w, struct cm *cm, struct cm_token *t, const char *path, unsigned flags,
		 struct rx_error *err)
{
	w->cm = cm;
	w->token = t;
	w->depth = w->symlinks = 0;
	w->flags = flags;
	w->err = err;
	w->stack[0] = NULL;
	if (strncmp(path, "/afs", 4) != 0 || (path[4] != '/' && path[4] != '\0'))
		return rx_error_set(err, RX_ORIGIN_ERRNO, ENOENT, ENOENT, "%.150s does not begin with /afs/", path);
	if (strlen(path) >= sizeof(w->rest))
		return rx_error_errno(err, ENAMETOOLONG, "the path");
	strcpy(w->rest, path + 4);
	w->stack[0] = cm_vnode_top(cm);
	return w->stack[0] ? 0 : rx_error_errno(err, ENOMEM, "walking");
}

static void end(struct walk *w)
{
	pop_to(w, 0);
	cm_vnode_put(w->stack[0]);
}

int cm_walk(struct cm *cm, struct cm_token *t, const char *path, unsigned flags, struct cm_vnode **out,
	    struct rx_error *err)
{
	struct walk *w = malloc(sizeof(*w));
	int rc;

	*out = NULL;
	if (!w)
		return rx_error_errno(err, ENOMEM, "walking");
	rc = begin(w, cm, t, path, flags, err);
	if (rc == 0)
		rc = run(w);
	if (rc == 0)
		*out = cm_vnode_get(w->stack[w->depth]);
	else
		rx_error_prefix(err, "%.120s", path);
	end(w);
	free(w);
	return rc;
}

int cm_walk_parent(struct cm *cm, struct cm_token *t, const char *path, struct cm_vnode **dir, char name[256],
		   struct rx_error *err)
{
	size_t len = strlen(path), start;
	char *head;
	int rc;

	*dir = NULL;
	while (len > 0 && path[len - 1] == '/')
		len--;
	for (start = len; start > 0 && path[start - 1] != '/'; start--)
		;
	if (len - start == 0 || len - start > 255 || start == 0)
		return rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "%.150s has no last name that could be used",
				    path);
	memcpy(name, path + start, len - start);
	name[len - start] = '\0';
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "%.150s ends in \"%s\"", path, name);
	head = strndup(path, start);
	if (!head)
		return rx_error_errno(err, ENOMEM, "walking");
	rc = cm_walk(cm, t, head, 0, dir, err);
	free(head);
	return rc;
}
