/* Fetching one file; see get_file.h. */
#include "tools/get_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEGMENT = 16 << 20, ZERO_RUN = 4096, TRIES = 3 };

struct get {
	struct cli *cli;
	struct get_tally *tally;
	struct cm_vnode *v;
	struct cm_attr attr;
	char *path, *local, *tmp; /* tmp is the pending one's */
	struct cli_pending *pending;

	pthread_mutex_t lock;
	int fd;        /* -1 until the first segment */
	uint64_t left; /* segments not done */
	bool failed;   /* told */
	bool changed;  /* versions differ: fetch again in one piece */
};

struct segment {
	struct get *get;
	uint64_t off, len;
};

struct sink {
	struct transfer *t;
	struct get *get;
	uint64_t off, got;
	int error;
};

static bool all_zero(const char *p, size_t len)
{
	return len >= ZERO_RUN && !p[0] && !memcmp(p, p + 1, len - 1);
}

/* The file is new, so what is not written reads as zeros. */
static int to_file(void *arg, const void *buf, size_t len)
{
	struct sink *s = arg;
	const char *p = buf;

	if (cli_stopped()) {
		s->error = EINTR;
		return -1;
	}
	transfer_moved(s->t, len);
	if (all_zero(p, len)) {
		s->got += len;
		return 0;
	}
	while (len) {
		ssize_t n = pwrite(s->get->fd, p, len, (off_t)(s->off + s->got));

		if (n < 0) {
			s->error = errno;
			return -1;
		}
		p += n;
		s->got += (size_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static void fail_local(struct get *g, const char *what, int errnum)
{
	if (!g->failed && !cli_stopped())
		cli_errorf(g->cli, g->local, errnum, "%s: %s", what, strerror(errnum));
	g->failed = true;
}

/* Called with the lock. */
static int open_tmp(struct get *g)
{
	const char *slash = strrchr(g->local, '/');
	char *dir, *tmp;

	if (g->failed || g->fd >= 0)
		return g->failed ? -1 : 0;
	dir = cli_strdup(slash ? g->local : "./");
	if (slash)
		dir[slash - g->local + 1] = 0;
	tmp = cli_join(dir, ".umafs-get-XXXXXX");
	free(dir);
	/* Before it is made, as memory may end in between. */
	g->pending = cli_pending_file(tmp);
	free(tmp);
	g->tmp = cli_pending_path(g->pending);
	g->fd = mkostemp(g->tmp, O_CLOEXEC);
	if (g->fd < 0) {
		fail_local(g, "no temporary file can be made beside it", errno);
		return -1;
	}
	if (ftruncate(g->fd, (off_t)g->attr.size)) {
		fail_local(g, "it cannot have this size here", errno);
		return -1;
	}
	return 0;
}

/* One call, so one version. 0; or -1, told; or 1: another version than attr's. */
static int fetch(struct transfer *t, struct get *g, uint64_t off, uint64_t len)
{
	struct sink sink = { .t = t, .get = g, .off = off };
	struct rx_error err = { 0 };
	uint64_t version = 0;
	int rc = cm_fetch_stream(g->v, g->cli->token, off, len, to_file, &sink, &version, &err);

	if (!rc && !sink.error) {
		if (sink.got == len && version == g->attr.data_version)
			return 0;
		transfer_unmoved(t, sink.got);
		return 1;
	}
	transfer_unmoved(t, sink.got);
	pthread_mutex_lock(&g->lock);
	if (sink.error) {
		fail_local(g, "writing failed", sink.error);
	} else if (!g->failed && !cli_stopped()) {
		cli_explain(g->cli, g->v, 0, &err);
		cli_error(g->cli, g->path, &err);
	}
	g->failed = true;
	pthread_mutex_unlock(&g->lock);
	return -1;
}

/* Somebody stored into the file meanwhile: all of it again, in one call. */
static void fetch_again(struct transfer *t, struct get *g)
{
	struct rx_error err = { 0 };
	int rc = 1;

	for (int i = 0; i < TRIES && rc == 1; i++) {
		uint64_t version;

		if (cm_validate(g->v, g->cli->token, &version, &err) ||
		    cm_getattr(g->v, g->cli->token, &g->attr, &err)) {
			cli_error(g->cli, g->path, &err);
			rc = -1;
		} else if (ftruncate(g->fd, 0) || ftruncate(g->fd, (off_t)g->attr.size)) {
			fail_local(g, "it cannot have this size here", errno);
			rc = -1;
		} else {
			rc = g->attr.size ? fetch(t, g, 0, g->attr.size) : 0;
		}
	}
	if (rc == 1)
		cli_errorf(g->cli, g->path, EBUSY,
			   "it keeps changing on the server while it is fetched; try again later");
	if (rc)
		g->failed = true;
}

static void give_name(struct get *g)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, { .tv_sec = (time_t)g->attr.mtime } };

	/* What is replaced must not be lost in a crash for something not yet on disk. */
	if (!access(g->local, F_OK) && fsync(g->fd))
		fail_local(g, "it cannot be written to disk", errno);
	else if (fchmod(g->fd, g->attr.mode & 0777) || futimens(g->fd, times))
		fail_local(g, "its mode and time cannot be set", errno);
	else if (rename(g->tmp, g->local))
		fail_local(g, "the temporary file cannot take this name", errno);
}

static void finish(struct transfer *t, struct get *g)
{
	if (!g->failed && g->changed)
		fetch_again(t, g);
	if (cli_stopped())
		g->failed = true;
	if (!g->failed)
		give_name(g);
	if (g->fd >= 0 && g->failed && unlink(g->tmp))
		cli_note(g->cli, g->tmp, "this temporary file could not be removed: %s", strerror(errno));
	if (g->fd >= 0 && close(g->fd) && !g->failed)
		fail_local(g, "closing failed", errno);
	cli_pending_end(g->pending);
	if (!g->failed) {
		__atomic_add_fetch(&g->tally->fetched, 1, __ATOMIC_RELAXED);
		if (g->cli->json)
			cli_result(g->cli,
				   json_pack("{s:s, s:o, s:o, s:I}", "done", "get", "path", cli_json_string(g->path),
					     "local", cli_json_string(g->local), "bytes", (json_int_t)g->attr.size));
	} else {
		cli_fail(g->cli);
	}
	pthread_mutex_destroy(&g->lock);
	cm_vnode_put(g->v);
	free(g->path);
	free(g->local);
	free(g);
}

static void run_segment(struct transfer *t, void *arg)
{
	struct segment *s = arg;
	struct get *g = s->get;
	bool go, last;
	int rc = 0;

	pthread_mutex_lock(&g->lock);
	if (cli_stopped())
		g->failed = true;
	go = !open_tmp(g) && !g->changed;
	pthread_mutex_unlock(&g->lock);
	if (go && s->len)
		rc = fetch(t, g, s->off, s->len);
	pthread_mutex_lock(&g->lock);
	if (rc == 1)
		g->changed = true;
	last = --g->left == 0;
	pthread_mutex_unlock(&g->lock);
	free(s);
	if (last)
		finish(t, g);
}

void get_file(struct transfer *t, struct get_tally *tally, struct cm_vnode *v, const struct cm_attr *attr,
	      const char *path, const char *local)
{
	struct get *g = cli_alloc(sizeof(*g));
	uint64_t n = attr->size ? (attr->size + SEGMENT - 1) / SEGMENT : 1, size = attr->size;

	g->cli = transfer_cli(t);
	g->tally = tally;
	g->v = cm_vnode_get(v);
	g->attr = *attr;
	g->path = cli_strdup(path);
	g->local = cli_strdup(local);
	g->fd = -1;
	g->left = n;
	pthread_mutex_init(&g->lock, NULL);
	__atomic_add_fetch(&tally->wanted, 1, __ATOMIC_RELAXED);
	transfer_expect(t, size);
	/* g is gone once the last segment has run, so only n and size are used. */
	for (uint64_t i = 0; i < n; i++) {
		struct segment *s = cli_alloc(sizeof(*s));

		s->get = g;
		s->off = i * SEGMENT;
		s->len = size - s->off < SEGMENT ? size - s->off : SEGMENT;
		transfer_submit(t, run_segment, s);
	}
}
