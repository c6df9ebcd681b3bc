/* What every command of umafs shares; see cli.h. */
#include "tools/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void *cli_alloc(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		cli_out_of_memory();
	return p;
}

void *cli_realloc(void *p, size_t size)
{
	void *q = realloc(p, size);

	if (!q)
		cli_out_of_memory();
	return q;
}

char *cli_strdup(const char *text)
{
	size_t len = strlen(text) + 1;

	return memcpy(cli_alloc(len), text, len);
}

/* ---- failures ---- */

static void say(struct cli *cli, const char *path, const char *text)
{
	char clean[1200], clean_path[1200];

	format_printable(text, clean, sizeof(clean));
	if (cli->progress)
		fputs("\r\033[K", stderr);
	cli->progress = false;
	if (path)
		fprintf(stderr, "umafs: %s: %s\n", format_printable(path, clean_path, sizeof(clean_path)), clean);
	else
		fprintf(stderr, "umafs: %s\n", clean);
}

/* The rooms below put the path they were given before some sentences themselves. */
static const char *without_path(const char *text, const char *path)
{
	size_t len = path ? strlen(path) : 0;

	return len && !strncmp(text, path, len) && !strncmp(text + len, ": ", 2) ? text + len + 2 : text;
}

int cli_error(struct cli *cli, const char *path, const struct rx_error *err)
{
	const char *text = without_path(err->text[0] ? err->text : strerror(err->errnum), path);

	pthread_mutex_lock(&cli->lock);
	say(cli, path, text);
	cli->failed = true;
	json_array_append_new(cli->errors,
			      json_pack("{s:o, s:s, s:i, s:i, s:o}", "path", path ? cli_json_string(path) : json_null(),
					"origin", rx_origin_name(err->origin), "code", err->code, "errno", err->errnum,
					"text", cli_json_string(text)));
	pthread_mutex_unlock(&cli->lock);
	return -1;
}

int cli_errorf(struct cli *cli, const char *path, int errnum, const char *fmt, ...)
{
	struct rx_error err = { .origin = RX_ORIGIN_ERRNO, .code = errnum, .errnum = errnum };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err.text, sizeof(err.text), fmt, ap);
	va_end(ap);
	return cli_error(cli, path, &err);
}

int cli_misused(struct cli *cli, const char *fmt, ...)
{
	struct rx_error err = { .origin = RX_ORIGIN_ERRNO, .code = EINVAL, .errnum = EINVAL };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err.text, sizeof(err.text), fmt, ap);
	va_end(ap);
	cli->misused = true;
	return cli_error(cli, NULL, &err);
}

void cli_fail(struct cli *cli)
{
	pthread_mutex_lock(&cli->lock);
	cli->failed = true;
	pthread_mutex_unlock(&cli->lock);
}

void cli_note(struct cli *cli, const char *path, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&cli->lock);
	say(cli, path, text);
	pthread_mutex_unlock(&cli->lock);
}

static void explain_space(struct cli *cli, struct cm_vnode *v, uint64_t need, struct rx_error *err)
{
	char used[FORMAT_SIZE], quota[FORMAT_SIZE], over[FORMAT_SIZE], wanted[FORMAT_SIZE];
	struct cm_volume_status vs;
	uint64_t kib = (need + 1023) / 1024;

	if (cm_volume_status(v, cli->token, &vs, NULL))
		return;
	if (vs.quota_kib && (err->errnum == EDQUOT || vs.used_kib + kib > vs.quota_kib)) {
		uint64_t sum = vs.used_kib + kib, by = sum > vs.quota_kib ? sum - vs.quota_kib : 0;

		snprintf(err->text, sizeof(err->text),
			 "the quota of volume %.64s is exceeded by %s KiB: %s of %s KiB are used and %s KiB were to "
			 "come; "
			 "remove something or ask for more quota",
			 vs.name, format_count(by, over), format_count(vs.used_kib, used),
			 format_count(vs.quota_kib, quota), format_count(kib, wanted));
		return;
	}
	snprintf(err->text, sizeof(err->text),
		 "the server's partition is full: %s KiB are free and %s KiB were to come; ask the cell's "
		 "administrators",
		 format_count(vs.partition_free_kib, used), format_count(kib, wanted));
}

static void explain_rights(struct cli *cli, struct cm_vnode *v, struct rx_error *err)
{
	char letters[FORMAT_SIZE], who[300];
	struct cm_token_info info;
	struct cm_attr attr;

	cm_token_info(cli->token, &info);
	if (info.principal[0])
		snprintf(who, sizeof(who), "%.120s has", info.principal);
	else
		snprintf(who, sizeof(who), "you act as nobody (anonymous; umafs tokens says why) and have");
	if (cm_getattr(v, cli->token, &attr, NULL)) {
		snprintf(err->text, sizeof(err->text), "%.90s no right to look here; ask for an ACL entry", who);
		return;
	}
	snprintf(err->text, sizeof(err->text),
		 "permission denied: %.100s the rights \"%s\" here, which is not enough; umafs listacl shows who may "
		 "what",
		 who, format_rights(attr.caller_rights, letters));
}

void cli_explain(struct cli *cli, struct cm_vnode *v, uint64_t need, struct rx_error *err)
{
	if (err->errnum == EDQUOT || err->errnum == ENOSPC)
		explain_space(cli, v, need, err);
	else if ((err->errnum == EACCES || err->errnum == EPERM) && err->origin == RX_ORIGIN_AFS &&
		 !strstr(err->text, "permission denied: "))
		explain_rights(cli, v, err);
}

/* ---- results ---- */

void cli_result(struct cli *cli, json_t *value)
{
	pthread_mutex_lock(&cli->lock);
	json_array_append_new(cli->result, value);
	pthread_mutex_unlock(&cli->lock);
}

json_t *cli_json_string(const char *text)
{
	json_t *s = json_string(text);
	char *clean;
	size_t n = 0;

	if (s)
		return s;
	clean = cli_alloc(strlen(text) * 3 + 1);
	for (; *text; text++) {
		if ((unsigned char)*text < 128)
			clean[n++] = *text;
		else
			n += (size_t)sprintf(clean + n, "\xef\xbf\xbd"); /* U+FFFD */
	}
	s = json_string(clean);
	free(clean);
	return s;
}

void cli_done(struct cli *cli, const char *what, const char *path)
{
	if (cli->json)
		cli_result(cli, json_pack("{s:s, s:o}", "done", what, "path", cli_json_string(path)));
}

/* ---- names ---- */

int cli_check_path(struct cli *cli, const char *path)
{
	if (!strncmp(path, "/afs", 4) && (path[4] == '/' || !path[4]))
		return 0;
	return cli_errorf(cli, path, EINVAL, "not a path in AFS; write /afs/%s/...", cm_local_cell(cli->cm));
}

struct cm_vnode *cli_walk(struct cli *cli, const char *path, unsigned flags)
{
	struct cm_vnode *v = NULL;
	struct rx_error err = { 0 };

	if (cli_check_path(cli, path))
		return NULL;
	if (cm_walk(cli->cm, cli->token, path, flags, &v, &err)) {
		cli_error(cli, path, &err);
		return NULL;
	}
	return v;
}

struct cm_vnode *cli_walk_parent(struct cli *cli, const char *path, char name[256])
{
	struct cm_vnode *dir = NULL;
	struct rx_error err = { 0 };

	if (cli_check_path(cli, path))
		return NULL;
	if (cm_walk_parent(cli->cm, cli->token, path, &dir, name, &err)) {
		cli_error(cli, path, &err);
		return NULL;
	}
	if (!cli_good_name(name)) {
		cli_errorf(cli, path, EINVAL, "\"%s\" cannot be the last part of this path", name);
		cm_vnode_put(dir);
		return NULL;
	}
	return dir;
}

char *cli_join(const char *dir, const char *name)
{
	size_t n = strlen(dir), m = strlen(name);
	char *path = cli_alloc(n + m + 2);

	memcpy(path, dir, n);
	while (n > 1 && path[n - 1] == '/')
		n--;
	if (path[n - 1] != '/')
		path[n++] = '/';
	memcpy(path + n, name, m + 1);
	return path;
}

char *cli_basename(const char *path)
{
	size_t end = strlen(path), from;
	char *name;

	while (end > 1 && path[end - 1] == '/')
		end--;
	for (from = end; from && path[from - 1] != '/'; from--)
		;
	name = cli_alloc(end - from + 1);
	memcpy(name, path + from, end - from);
	return name;
}

bool cli_good_name(const char *name)
{
	return *name && strcmp(name, ".") && strcmp(name, "..") && !strchr(name, '/');
}

struct vfs *cli_vfs(struct cli *cli)
{
	struct vfs_config config = { .cm = cli->cm, .mode = VFS_MODE_AUTO };
	struct rx_error err = { 0 };

	if (!cli->vfs) {
		cli->vfs = vfs_new(&config, &err);
		if (!cli->vfs)
			cli_error(cli, NULL, &err);
	}
	return cli->vfs;
}
