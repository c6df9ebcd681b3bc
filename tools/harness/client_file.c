/* The steps on files and mappings: see client.h. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "tools/harness/client.h"
#include "tools/fault/memory.h"

enum { OPEN_RO = 1, OPEN_CREATE = 2, OPEN_EXCL = 4, OPEN_TRUNC = 8, PUT_MODE = 0644 };

static int no_such(const char *what, const struct client_task *t, struct rx_error *err)
{
	return rx_error_set(err, RX_ORIGIN_ERRNO, EBADF, EBADF, "%s has no %s %s", t->user, what, t->step->name[0]);
}

/* ---- the tables ---- */

static struct client_file **find_file(struct client *c, const char *user, const char *name)
{
	struct client_file **at = &c->files;

	while (*at && (strcmp((*at)->user, user) || strcmp((*at)->name, name)))
		at = &(*at)->next;
	return at;
}

static struct client_map **find_map(struct client *c, const char *user, const char *name)
{
	struct client_map **at = &c->maps;

	while (*at && (strcmp((*at)->user, user) || strcmp((*at)->name, name)))
		at = &(*at)->next;
	return at;
}

static struct client_file *file_named(struct client_task *t, unsigned n, struct rx_error *err)
{
	struct client_file *f;

	pthread_mutex_lock(&t->client->lock);
	f = *find_file(t->client, t->user, t->step->name[n]);
	pthread_mutex_unlock(&t->client->lock);
	if (!f)
		rx_error_set(err, RX_ORIGIN_ERRNO, EBADF, EBADF, "%s has no open file %s", t->user, t->step->name[n]);
	return f;
}

static struct client_map *map_of(struct client_task *t, struct rx_error *err)
{
	struct client_map *m;

	pthread_mutex_lock(&t->client->lock);
	m = *find_map(t->client, t->user, t->step->name[0]);
	pthread_mutex_unlock(&t->client->lock);
	if (!m)
		no_such("mapping", t, err);
	return m;
}

/* ---- opening ---- */

static int create(struct client_task *t, const char *path, unsigned flags, struct cm_vnode **v, struct rx_error *err)
{
	struct cm_setattr attr = { .set_mode = true, .mode = PUT_MODE };
	struct cm_vnode *dir = NULL;
	char name[256];
	int rc;

	if (cm_walk_parent(t->client->cm, t->token, path, &dir, name, err))
		return -1;
	rc = cm_create(dir, t->token, name, &attr, v, err);
	cm_vnode_put(dir);
	if (rc && err->errnum == EEXIST && !(flags & OPEN_EXCL))
		return cm_walk(t->client->cm, t->token, path, 0, v, err);
	return rc;
}

static int find(struct client_task *t, const char *path, unsigned flags, struct cm_vnode **v, struct rx_error *err)
{
	int rc = cm_walk(t->client->cm, t->token, path, 0, v, err);

	if (!rc && (flags & OPEN_CREATE) && (flags & OPEN_EXCL)) {
		cm_vnode_put(*v);
		*v = NULL;
		return rx_error_set(err, RX_ORIGIN_ERRNO, EEXIST, EEXIST, "%s exists already", path);
	}
	if (!rc || !(flags & OPEN_CREATE) || err->errnum != ENOENT)
		return rc;
	return create(t, path, flags, v, err);
}

static int open_file(struct client_task *t, const char *path, unsigned flags, struct client_file *f,
		     struct rx_error *err)
{
	bool write = !(flags & OPEN_RO);

	*f = (struct client_file){ 0 };
	if (find(t, path, flags, &f->vnode, err))
		return -1;
	if ((write ? cm_may_write(f->vnode, t->token, err) : cm_may_read(f->vnode, t->token, err)) ||
	    vfs_open(t->client->vfs, f->vnode, t->token, write, &f->file, err))
		goto fail;
	if (!(flags & OPEN_TRUNC) || !cm_size(f->vnode) || !vfs_truncate(f->file, 0, err))
		return 0;
fail:
	if (f->file)
		vfs_drop(f->file);
	cm_vnode_put(f->vnode);
	return -1;
}

static int close_file(struct client_file *f, struct rx_error *err)
{
	int rc = vfs_close(f->file, err);

	cm_vnode_put(f->vnode);
	return rc;
}

int client_open(struct client_task *t, struct rx_error *err)
{
	struct client_file *f = calloc(1, sizeof *f);
	struct client *c = t->client;
	char path[HARNESS_PATH];

	if (!f)
		fault_no_memory();
	if (open_file(t, client_path(t, 0, path), t->step->flags, f, err)) {
		free(f);
		return -1;
	}
	strcpy(f->user, t->user);
	strcpy(f->name, t->step->name[0]);
	pthread_mutex_lock(&c->lock);
	f->next = c->files;
	c->files = f;
	pthread_mutex_unlock(&c->lock);
	return 0;
}

int client_close(struct client_task *t, struct rx_error *err)
{
	struct client_file **at, *f;
	int rc;

	pthread_mutex_lock(&t->client->lock);
	at = find_file(t->client, t->user, t->step->name[0]);
	f = *at;
	if (f)
		*at = f->next;
	pthread_mutex_unlock(&t->client->lock);
	if (!f)
		return no_such("open file", t, err);
	rc = close_file(f, err);
	free(f);
	return rc;
}

/* ---- bytes ---- */

static int read_into_answer(struct client_task *t, struct vfs_file *f, uint64_t off, uint64_t len, struct rx_error *err)
{
	uint8_t *buf = malloc(len + 1);
	ssize_t n;

	if (!buf)
		return rx_error_errno(err, ENOMEM, "cannot read %llu bytes", (unsigned long long)len);
	n = vfs_pread(f, buf, len, off, err);
	if (n > 0)
		fwrite(buf, 1, (size_t)n, t->answer);
	free(buf);
	return n < 0 ? -1 : 0;
}

static int write_data(struct client_task *t, struct vfs_file *f, uint64_t off, struct rx_error *err)
{
	const struct harness_data *d = &t->step->data;
	uint8_t *bytes = harness_data_bytes(d);
	ssize_t n = vfs_pwrite(f, bytes, d->size, off, err);

	free(bytes);
	if (n >= 0 && (uint64_t)n < d->size)
		return rx_error_set(err, RX_ORIGIN_ERRNO, EIO, EIO, "only %zd bytes were written", n);
	return n < 0 ? -1 : 0;
}

int client_read(struct client_task *t, struct rx_error *err)
{
	struct client_file *f = file_named(t, 0, err);

	return f ? read_into_answer(t, f->file, t->step->size[0], t->step->size[1], err) : -1;
}

int client_write(struct client_task *t, struct rx_error *err)
{
	struct client_file *f = file_named(t, 0, err);

	return f ? write_data(t, f->file, t->step->size[0], err) : -1;
}

int client_truncate(struct client_task *t, struct rx_error *err)
{
	struct client_file *f = file_named(t, 0, err);

	return f ? vfs_truncate(f->file, t->step->size[0], err) : -1;
}

int client_fsync(struct client_task *t, struct rx_error *err)
{
	struct client_file *f = file_named(t, 0, err);

	return f ? vfs_fsync(f->file, err) : -1;
}

int client_page(struct client_task *t, struct rx_error *err)
{
	struct client_file *f = file_named(t, 0, err);
	struct vfs_page_view p;

	if (!f)
		return -1;
	vfs_page_view(f->file, t->step->size[0], &p);
	fprintf(t->answer, "%s%s%s", p.uptodate ? p.dirty ? "dirty" : "clean" : "empty",
		p.writeback ? " writeback" : "", p.locked ? " locked" : "");
	if (p.bound) {
		struct cm_token_info info;

		cm_token_info(p.record.token, &info);
		fprintf(t->answer, " %.*s", (int)strcspn(info.principal, "@"),
			*info.principal ? info.principal : "anonymous");
	}
	return 0;
}

int client_put(struct client_task *t, struct rx_error *err)
{
	struct client_file f;
	char path[HARNESS_PATH];
	int rc;

	if (open_file(t, client_path(t, 0, path), OPEN_CREATE | OPEN_TRUNC, &f, err))
		return -1;
	rc = write_data(t, f.file, 0, err);
	if (!rc)
		return close_file(&f, err);
	close_file(&f, NULL);
	return -1;
}

int client_get(struct client_task *t, struct rx_error *err)
{
	struct client_file f;
	char path[HARNESS_PATH];
	int rc;

	if (open_file(t, client_path(t, 0, path), OPEN_RO, &f, err))
		return -1;
	rc = read_into_answer(t, f.file, 0, cm_size(f.vnode), err);
	vfs_drop(f.file);
	cm_vnode_put(f.vnode);
	return rc;
}

/* ---- mappings ---- */

static __thread sigjmp_buf bus_jump;
static __thread volatile sig_atomic_t bus_armed;

static void on_bus(int sig)
{
	if (!bus_armed) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
	siglongjmp(bus_jump, 1);
}

void client_catch_sigbus(void)
{
	struct sigaction action = { .sa_handler = on_bus };

	sigaction(SIGBUS, &action, NULL);
}

/* Copies with plain loads and stores. False: SIGBUS. */
static bool copy(volatile uint8_t *to, const volatile uint8_t *from, size_t len)
{
	bool done = false;

	if (!sigsetjmp(bus_jump, 1)) {
		bus_armed = 1;
		for (size_t i = 0; i < len; i++)
			to[i] = from[i];
		done = true;
	}
	bus_armed = 0;
	return done;
}

static int check_range(const struct client_map *m, uint64_t off, uint64_t len, struct rx_error *err)
{
	if (off <= m->len && len <= m->len - off)
		return 0;
	return rx_error_set(err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "the mapping has only %zu bytes", m->len);
}

int client_map(struct client_task *t, struct rx_error *err)
{
	struct client_file *f = file_named(t, 1, err);
	struct client_map *m;
	int prot = PROT_READ | (t->step->flags ? 0 : PROT_WRITE);

	if (!f)
		return -1;
	m = calloc(1, sizeof *m);
	if (!m)
		fault_no_memory();
	strcpy(m->user, t->user);
	strcpy(m->name, t->step->name[0]);
	m->len = t->step->size[1];
	m->addr = vfs_mmap(f->file, m->len, prot, t->step->size[0], err);
	if (!m->addr) {
		free(m);
		return -1;
	}
	pthread_mutex_lock(&t->client->lock);
	m->next = t->client->maps;
	t->client->maps = m;
	pthread_mutex_unlock(&t->client->lock);
	return 0;
}

int client_load(struct client_task *t, struct rx_error *err)
{
	uint64_t off = t->step->size[0], len = t->step->size[1];
	struct client_map *m = map_of(t, err);
	uint8_t *buf;

	if (!m || check_range(m, off, len, err))
		return -1;
	buf = malloc(len + 1);
	if (!buf)
		fault_no_memory();
	if (copy(buf, m->addr + off, len))
		fwrite(buf, 1, len, t->answer);
	else
		t->signal = SIGBUS;
	free(buf);
	return 0;
}

int client_store(struct client_task *t, struct rx_error *err)
{
	const struct harness_data *d = &t->step->data;
	struct client_map *m = map_of(t, err);
	uint8_t *bytes;

	if (!m || check_range(m, t->step->size[0], d->size, err))
		return -1;
	bytes = harness_data_bytes(d);
	if (!copy(m->addr + t->step->size[0], bytes, d->size))
		t->signal = SIGBUS;
	free(bytes);
	return 0;
}

int client_msync(struct client_task *t, struct rx_error *err)
{
	struct client_map *m = map_of(t, err);

	return m ? vfs_msync(t->client->vfs, m->addr, m->len, t->step->flags ? MS_ASYNC : MS_SYNC, err) : -1;
}

int client_unmap(struct client_task *t, struct rx_error *err)
{
	struct client_map **at, *m;
	int rc;

	pthread_mutex_lock(&t->client->lock);
	at = find_map(t->client, t->user, t->step->name[0]);
	m = *at;
	if (m)
		*at = m->next;
	pthread_mutex_unlock(&t->client->lock);
	if (!m)
		return no_such("mapping", t, err);
	rc = vfs_munmap(t->client->vfs, m->addr, m->len, err);
	free(m);
	return rc;
}

int client_close_all(struct client *c, struct rx_error *err)
{
	int rc = 0;

	while (c->maps) {
		struct client_map *m = c->maps;

		c->maps = m->next;
		if (vfs_munmap(c->vfs, m->addr, m->len, rc ? NULL : err))
			rc = -1;
		free(m);
	}
	while (c->files) {
		struct client_file *f = c->files;

		c->files = f->next;
		vfs_drop(f->file); /* what is dirty is stored at the end, by whoever asks for that */
		cm_vnode_put(f->vnode);
		free(f);
	}
	return rc;
}
