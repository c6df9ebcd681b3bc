/* The steps on names, statuses and access lists: see client.h. */
#include <errno.h>
#include <string.h>

#include "cm/acl.h"
#include "tools/fault/memory.h"
#include "tools/harness/client.h"

enum { NEW_DIR_MODE = 0755 };

const char *client_path(const struct client_task *t, unsigned n, char buf[HARNESS_PATH])
{
	const char *path = t->step->path[n];

	if (path[0] == '/')
		return path;
	snprintf(buf, HARNESS_PATH, "/afs/%s/%s", cm_local_cell(t->client->cm), path);
	return buf;
}

static int walk(struct client_task *t, unsigned n, unsigned flags, struct cm_vnode **v, struct rx_error *err)
{
	char path[HARNESS_PATH];

	*v = NULL;
	return cm_walk(t->client->cm, t->token, client_path(t, n, path), flags, v, err);
}

static int parent(struct client_task *t, unsigned n, struct cm_vnode **dir, char name[256], struct rx_error *err)
{
	char path[HARNESS_PATH];

	*dir = NULL;
	return cm_walk_parent(t->client->cm, t->token, client_path(t, n, path), dir, name, err);
}

/* ---- statuses ---- */

static int tell_status(struct client_task *t, struct cm_vnode *v, struct rx_error *err)
{
	static const char *const types[] = { "?", "file", "directory", "symlink", "mount-point" };
	char rights[CM_RIGHTS_TEXT];
	struct cm_attr a;

	if (cm_getattr(v, t->token, &a, err))
		return -1;
	fprintf(t->answer,
		"%s size %llu dv %llu mode %04o owner %u group %u nlink %u mtime %lld rights %s fid %u.%u.%u",
		types[a.type <= CM_MOUNT ? a.type : 0], (unsigned long long)a.size, (unsigned long long)a.data_version,
		a.mode, a.owner, a.group, a.nlink, (long long)a.mtime, cm_rights_format(a.caller_rights, rights),
		a.fid.volume, a.fid.vnode, a.fid.unique);
	return 0;
}

int client_stat(struct client_task *t, struct rx_error *err)
{
	unsigned flags = t->step->flags ? CM_WALK_NOFOLLOW | CM_WALK_NOMOUNT : 0;
	struct cm_vnode *v;
	int rc = walk(t, 0, flags, &v, err);

	if (!rc)
		rc = tell_status(t, v, err);
	cm_vnode_put(v);
	return rc;
}

int client_fstat(struct client_task *t, struct rx_error *err)
{
	struct client_file *f;

	pthread_mutex_lock(&t->client->lock);
	for (f = t->client->files; f && (strcmp(f->user, t->user) || strcmp(f->name, t->step->name[0]));)
		f = f->next;
	pthread_mutex_unlock(&t->client->lock);
	if (!f)
		return rx_error_set(err, RX_ORIGIN_ERRNO, EBADF, EBADF, "%s has no open file %s", t->user,
				    t->step->name[0]);
	return tell_status(t, f->vnode, err);
}

struct names {
	char **names;
	size_t n;
};

static int add_name(void *arg, const char *name, struct cm_fid fid, bool is_dir)
{
	struct names *l = arg;

	(void)fid;
	l->names = reallocarray(l->names, l->n + 1, sizeof *l->names);
	if (!l->names || asprintf(&l->names[l->n++], "%s%s", name, is_dir ? "/" : "") < 0)
		fault_no_memory();
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names, sorted, with blanks between; directories end in a slash. */
int client_list(struct client_task *t, struct rx_error *err)
{
	struct names l = { 0 };
	struct cm_vnode *v;
	int rc = walk(t, 0, 0, &v, err);

	if (!rc)
		rc = cm_readdir(v, t->token, add_name, &l, err);
	if (l.n)
		qsort(l.names, l.n, sizeof *l.names, by_name);
	for (size_t i = 0; i < l.n; i++) {
		fprintf(t->answer, "%s%s", i ? " " : "", l.names[i]);
		free(l.names[i]);
	}
	free(l.names);
	cm_vnode_put(v);
	return rc;
}

static int set_status(struct client_task *t, const struct cm_setattr *attr, struct rx_error *err)
{
	struct cm_vnode *v;
	int rc = walk(t, 0, 0, &v, err);

	if (!rc)
		rc = cm_setattr(v, t->token, attr, err);
	cm_vnode_put(v);
	return rc;
}

int client_chmod(struct client_task *t, struct rx_error *err)
{
	return set_status(t, &(struct cm_setattr){ .set_mode = true, .mode = t->step->mode }, err);
}

int client_utime(struct client_task *t, struct rx_error *err)
{
	return set_status(t, &(struct cm_setattr){ .set_mtime = true, .mtime = (int64_t)t->step->size[0] }, err);
}

/* ---- names ---- */

int client_mkdir(struct client_task *t, struct rx_error *err)
{
	struct cm_setattr attr = { .set_mode = true, .mode = NEW_DIR_MODE };
	struct cm_vnode *dir, *made = NULL;
	char name[256];
	int rc = parent(t, 0, &dir, name, err);

	if (!rc)
		rc = cm_mkdir(dir, t->token, name, &attr, &made, err);
	cm_vnode_put(made);
	cm_vnode_put(dir);
	return rc;
}

typedef int remover(struct cm_vnode *dir, struct cm_token *token, const char *name, struct rx_error *err);

static int take_away(struct client_task *t, remover *fn, struct rx_error *err)
{
	struct cm_vnode *dir;
	char name[256];
	int rc = parent(t, 0, &dir, name, err);

	if (!rc)
		rc = fn(dir, t->token, name, err);
	cm_vnode_put(dir);
	return rc;
}

int client_rmdir(struct client_task *t, struct rx_error *err)
{
	return take_away(t, cm_rmdir, err);
}

int client_remove(struct client_task *t, struct rx_error *err)
{
	return take_away(t, cm_unlink, err);
}

int client_rename(struct client_task *t, struct rx_error *err)
{
	struct cm_vnode *from, *to = NULL;
	char from_name[256], to_name[256];
	int rc = parent(t, 0, &from, from_name, err);

	if (!rc)
		rc = parent(t, 1, &to, to_name, err);
	if (!rc)
		rc = cm_rename(from, from_name, to, to_name, t->token, err);
	cm_vnode_put(from);
	cm_vnode_put(to);
	return rc;
}

int client_link(struct client_task *t, struct rx_error *err)
{
	struct cm_vnode *file, *dir = NULL;
	char name[256];
	int rc = walk(t, 0, CM_WALK_NOFOLLOW, &file, err);

	if (!rc)
		rc = parent(t, 1, &dir, name, err);
	if (!rc)
		rc = cm_link(dir, t->token, name, file, err);
	cm_vnode_put(file);
	cm_vnode_put(dir);
	return rc;
}

static int make_link(struct client_task *t, bool mount_point, struct rx_error *err)
{
	struct cm_vnode *dir;
	char name[256];
	int rc = parent(t, 0, &dir, name, err);

	if (!rc)
		rc = cm_symlink(dir, t->token, name, t->step->text[0], mount_point, err);
	cm_vnode_put(dir);
	return rc;
}

int client_symlink(struct client_task *t, struct rx_error *err)
{
	return make_link(t, false, err);
}

int client_mount(struct client_task *t, struct rx_error *err)
{
	return make_link(t, true, err);
}

int client_readlink(struct client_task *t, struct rx_error *err)
{
	struct cm_vnode *v;
	char *text = NULL;
	int rc = walk(t, 0, CM_WALK_NOFOLLOW | CM_WALK_NOMOUNT, &v, err);

	if (!rc)
		rc = cm_readlink(v, t->token, &text, err);
	if (!rc)
		fputs(text, t->answer);
	free(text);
	cm_vnode_put(v);
	return rc;
}

/* ---- access lists and volumes ---- */

static int fetch_acl(struct client_task *t, struct cm_vnode *v, struct cm_acl *acl, struct rx_error *err)
{
	char *text = NULL;
	int rc = cm_acl_fetch(v, t->token, &text, err);

	if (!rc)
		rc = cm_acl_parse(text, strlen(text) + 1, acl, err);
	free(text);
	return rc;
}

/* "alice rlidwk, bob rl"; negative ones with a minus. */
int client_acl(struct client_task *t, struct rx_error *err)
{
	struct cm_vnode *v;
	struct cm_acl acl;
	int rc = walk(t, 0, 0, &v, err);

	if (!rc)
		rc = fetch_acl(t, v, &acl, err);
	for (unsigned i = 0; !rc && i < acl.npositive + acl.nnegative; i++) {
		bool negative = i >= acl.npositive;
		const struct cm_acl_entry *e = negative ? &acl.negative[i - acl.npositive] : &acl.positive[i];
		char rights[CM_RIGHTS_TEXT];

		fprintf(t->answer, "%s%s %s%s", i ? ", " : "", e->name, negative ? "-" : "",
			cm_rights_format(e->rights, rights));
	}
	cm_vnode_put(v);
	return rc;
}

int client_setacl(struct client_task *t, struct rx_error *err)
{
	char text[CM_ACL_TEXT];
	struct cm_vnode *v = NULL;
	struct cm_acl acl;
	uint32_t rights;
	size_t len;
	int rc = cm_rights_parse(t->step->text[1], &rights, err);

	if (!rc)
		rc = walk(t, 0, 0, &v, err);
	if (!rc)
		rc = fetch_acl(t, v, &acl, err);
	if (!rc)
		rc = cm_acl_set(&acl, t->step->text[0], false, rights, err);
	if (!rc)
		rc = cm_acl_format(&acl, text, &len, err);
	if (!rc)
		rc = cm_acl_store(v, t->token, text, err);
	cm_vnode_put(v);
	return rc;
}

int client_quota(struct client_task *t, struct rx_error *err)
{
	struct cm_volume_status s;
	struct cm_vnode *v;
	int rc = walk(t, 0, 0, &v, err);

	if (!rc)
		rc = cm_volume_status(v, t->token, &s, err);
	if (!rc)
		fprintf(t->answer, "%s quota %llu used %llu%s%s", s.name, (unsigned long long)s.quota_kib,
			(unsigned long long)s.used_kib, s.read_only ? " read-only" : "", s.online ? "" : " offline");
	cm_vnode_put(v);
	return rc;
}

/* Where the path's volume is, as the client knows it. */
int client_sites(struct client_task *t, struct rx_error *err)
{
	struct cm_volume_info info;
	struct cm_vnode *v;
	int rc = walk(t, 0, 0, &v, err);

	if (!rc)
		rc = cm_volume_info(v, &info, err);
	if (!rc)
		fprintf(t->answer, "%s", info.name);
	for (unsigned i = 0; !rc && i < info.nsites; i++) {
		char addr[64];

		rx_addr_text(&info.sites[i].addr, addr);
		fprintf(t->answer, " %.*s", (int)strcspn(addr, ":"), addr);
	}
	cm_vnode_put(v);
	return rc;
}
