/* Reading ThisCell and CellServDB: see cm/cellconf.h. A bad line costs itself (and the
 * servers below it, if it should have named a cell), never the file: a client must come
 * up with whatever is readable. Inside a file the first entry of a cell wins; a later
 * file replaces the whole cell. */
#include "cm/cellconf.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

struct cm_cellconf_file {
	char *path;
	bool exists;
	struct timespec mtime;
	off_t size;
};

struct reader {
	struct cm_cellconf *conf;
	cm_cellconf_warn *warn;
	void *arg;
	const char *file;
	unsigned line;
	size_t nold;    /* cells that earlier files have given */
	bool *replaced; /* which of those this file has named again */
	size_t current; /* index of the cell that takes servers; SIZE_MAX: none, skip them */
	bool skipping;  /* servers below a bad or repeated cell line, already warned about */
	int failed;     /* errno: no memory or no descriptors; what was read is not all */
};

static const char blanks[] = " \t\r\n\v\f";

/* Not about the files, but about this process: another time they can be read. */
static bool is_shortage(int errnum)
{
	return errnum == ENOMEM || errnum == EMFILE || errnum == ENFILE;
}

static void __attribute__((format(printf, 2, 3))) warn(struct reader *r, const char *fmt, ...)
{
	char message[512];
	va_list args;

	if (!r->warn)
		return;
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	r->warn(r->arg, r->file, r->line, message);
}

static void free_servers(struct cm_cellconf_cell *cell)
{
	for (size_t i = 0; i < cell->nservers; i++)
		free(cell->servers[i].name);
	free(cell->servers);
	cell->servers = NULL;
	cell->nservers = 0;
	free(cell->linked);
	cell->linked = NULL;
}

void cm_cellconf_free(struct cm_cellconf *conf)
{
	if (!conf)
		return;
	for (size_t i = 0; i < conf->ncells; i++) {
		free_servers(&conf->cells[i]);
		free(conf->cells[i].name);
	}
	for (size_t i = 0; i < conf->nfiles; i++)
		free(conf->files[i].path);
	free(conf->cells);
	free(conf->files);
	free(conf->dir);
	free(conf->local);
	free(conf);
}

static struct cm_cellconf_cell *find_cell(const struct cm_cellconf *conf, const char *name)
{
	for (size_t i = 0; i < conf->ncells; i++)
		if (!strcasecmp(conf->cells[i].name, name))
			return &conf->cells[i];
	return NULL;
}

const struct cm_cellconf_cell *cm_cellconf_find(const struct cm_cellconf *conf, const char *name)
{
	return find_cell(conf, name);
}

const char *cm_cellconf_local(const struct cm_cellconf *conf)
{
	const char *cell = getenv("AFSCELL");

	return cell && *cell ? cell : conf->local;
}

/* Cells are directory names under /afs. */
static bool is_cell_name(const char *name)
{
	if (!*name || *name == '.')
		return false;
	for (; *name; name++)
		if ((uint8_t)*name <= ' ' || *name == 0x7f || *name == '/' || *name == ':')
			return false;
	return true;
}

/* The next word of a line, NUL-terminated in place; NULL at the end. */
static char *word(char **line)
{
	char *start = *line + strspn(*line, blanks), *end = start + strcspn(start, blanks);

	if (start == end)
		return NULL;
	*line = *end ? end + 1 : end;
	*end = 0;
	return start;
}

/* ">cell [linked] [#comment]" */
static void cell_line(struct reader *r, char *rest)
{
	struct cm_cellconf *conf = r->conf;
	struct cm_cellconf_cell *cell, *cells;
	char *name = word(&rest), *second = word(&rest);
	size_t i;

	r->current = SIZE_MAX;
	r->skipping = true;
	if (!name || !is_cell_name(name)) {
		warn(r, "no cell name after '>'; this cell is skipped");
		return;
	}
	cell = find_cell(conf, name);
	i = cell ? (size_t)(cell - conf->cells) : conf->ncells;
	if (cell && (i >= r->nold || r->replaced[i])) {
		warn(r, "cell %s is here for the second time; the first entry is used", name);
		return;
	}
	if (cell) {
		free_servers(cell);
		r->replaced[i] = true;
	} else {
		cells = realloc(conf->cells, (conf->ncells + 1) * sizeof(*cells));
		if (!cells) {
			r->failed = ENOMEM;
			return;
		}
		conf->cells = cells;
		cell = &cells[i];
		*cell = (struct cm_cellconf_cell){ .name = strdup(name) };
		if (!cell->name) {
			r->failed = ENOMEM;
			return;
		}
		conf->ncells++;
	}
	if (second && *second != '#') {
		cell->linked = strdup(second);
		if (!cell->linked)
			r->failed = ENOMEM;
	}
	r->current = i;
	r->skipping = false;
}

/* "a.b.c.d #host.name" or "[a.b.c.d] #host.name" */
static void server_line(struct reader *r, char *line)
{
	struct cm_cellconf_server server = { 0 }, *servers;
	struct cm_cellconf_cell *cell;
	char *rest = line, *address = word(&rest), *name = word(&rest), *close;
	struct in_addr in;

	if (!address || r->skipping)
		return;
	if (*address == '[') {
		close = strchr(++address, ']');
		server.clone = close && !close[1];
		if (server.clone)
			*close = 0;
		else
			address = ""; /* no address at all, said below */
	}
	if (inet_pton(AF_INET, address, &in) != 1 || in.s_addr == 0) {
		warn(r, "neither \">cell\" nor \"address #host\"; the line is skipped");
		return;
	}
	if (r->current == SIZE_MAX) {
		warn(r, "server %s before any \">cell\" line; the line is skipped", address);
		return;
	}
	if (name && *name == '#')
		name = name[1] ? name + 1 : word(&rest);
	else
		name = NULL;
	if (!name)
		warn(r, "no \"#host\" behind %s; it is used, but OpenAFS would refuse the file", address);
	server.ip = ntohl(in.s_addr);
	server.name = strdup(name ? name : address);
	cell = &r->conf->cells[r->current];
	servers = realloc(cell->servers, (cell->nservers + 1) * sizeof(*servers));
	if (servers)
		cell->servers = servers;
	if (!servers || !server.name) {
		free(server.name);
		r->failed = ENOMEM;
		return;
	}
	servers[cell->nservers++] = server;
}

/* Notes the file so that changes are seen, also of one that does not exist yet. */
static int remember(struct cm_cellconf *conf, const char *path)
{
	struct cm_cellconf_file *files = realloc(conf->files, (conf->nfiles + 1) * sizeof(*files)), *f;
	struct stat st;

	if (!files)
		return -1;
	conf->files = files;
	f = &files[conf->nfiles];
	*f = (struct cm_cellconf_file){ .path = strdup(path) };
	if (!f->path)
		return -1;
	if (stat(path, &st) == 0) {
		f->exists = true;
		f->mtime = st.st_mtim;
		f->size = st.st_size;
	}
	conf->nfiles++;
	return 0;
}

bool cm_cellconf_changed(const struct cm_cellconf *conf)
{
	for (size_t i = 0; i < conf->nfiles; i++) {
		const struct cm_cellconf_file *f = &conf->files[i];
		struct stat st;
		bool exists = stat(f->path, &st) == 0;

		if (exists != f->exists || (exists && (st.st_size != f->size || st.st_mtim.tv_sec != f->mtime.tv_sec ||
						       st.st_mtim.tv_nsec != f->mtime.tv_nsec)))
			return true;
	}
	return false;
}

static void read_db(struct reader *r, const char *path)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;
	FILE *f;

	r->file = path;
	r->line = 0;
	r->current = SIZE_MAX;
	r->skipping = false;
	r->nold = r->conf->ncells;
	r->replaced = calloc(r->nold + 1, sizeof(*r->replaced));
	if (!r->replaced || remember(r->conf, path)) {
		r->failed = ENOMEM;
		goto out;
	}
	f = fopen(path, "re");
	if (!f) {
		if (is_shortage(errno))
			r->failed = errno;
		else if (errno != ENOENT)
			warn(r, "cannot be read: %s", strerror(errno));
		goto out;
	}
	while ((len = getline(&line, &cap, f)) > 0) {
		r->line++;
		if (*line == '>')
			cell_line(r, line + (strlen(line) == (size_t)len ? 1 : strlen(line)));
		else if (strlen(line) != (size_t)len)
			warn(r, "the line contains a NUL and is skipped");
		else
			server_line(r, line);
	}
	r->line = 0;
	if (!feof(f) && is_shortage(errno))
		r->failed = errno;
	else if (ferror(f))
		warn(r, "cannot be read: %s", strerror(errno));
	fclose(f);
out:
	free(line);
	free(r->replaced);
	r->replaced = NULL;
}

static int is_visible(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

/* alphasort would ask the locale. */
static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void read_db_dir(struct reader *r, const char *dir)
{
	struct dirent **names;
	int n;

	if (remember(r->conf, dir)) {
		r->failed = ENOMEM;
		return;
	}
	n = scandir(dir, &names, is_visible, by_bytes);
	if (n < 0 && is_shortage(errno))
		r->failed = errno;
	if (n < 0)
		return;
	for (int i = 0; i < n; i++) {
		char *path;
		struct stat st;

		if (asprintf(&path, "%s/%s", dir, names[i]->d_name) < 0) {
			r->failed = ENOMEM;
		} else {
			if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
				read_db(r, path);
			free(path);
		}
		free(names[i]);
	}
	free(names);
}

/* The cell name in a ThisCell: first word of the first line. NULL: none. malloc'ed. Returns
 * 0, or an errno when that could not be found out. */
static int read_this_cell(const char *path, char **cell)
{
	FILE *f = fopen(path, "re");
	char *line = NULL, *rest, *name;
	int failed = 0;
	size_t cap = 0;

	*cell = NULL;
	if (!f)
		return is_shortage(errno) ? errno : 0;
	if (getline(&line, &cap, f) > 0) {
		rest = line;
		name = word(&rest);
		if (name && is_cell_name(name)) {
			*cell = strdup(name);
			failed = *cell ? 0 : ENOMEM;
		}
	} else if (!feof(f) && is_shortage(errno)) {
		failed = errno;
	}
	free(line);
	fclose(f);
	return failed;
}

static struct cm_cellconf *read_dir(const char *dir, char *local, cm_cellconf_warn *warn_fn, void *arg,
				    struct rx_error *err)
{
	struct cm_cellconf *conf = calloc(1, sizeof(*conf));
	struct reader r = { .conf = conf, .warn = warn_fn, .arg = arg };
	char *db = NULL, *db_dir = NULL, *this_cell = NULL;

	if (!conf || asprintf(&this_cell, "%s/ThisCell", dir) < 0 || asprintf(&db, "%s/CellServDB", dir) < 0 ||
	    asprintf(&db_dir, "%s/CellServDB.d", dir) < 0) {
		r.failed = ENOMEM;
		goto out;
	}
	conf->dir = strdup(dir);
	if (!conf->dir || remember(conf, this_cell))
		r.failed = ENOMEM;
	read_db(&r, db);
	read_db_dir(&r, db_dir);
out:
	free(this_cell);
	free(db);
	free(db_dir);
	if (conf)
		conf->local = local;
	else
		free(local);
	if (!r.failed)
		return conf;
	cm_cellconf_free(conf);
	rx_error_errno(err, r.failed, "reading the cell configuration in %s", dir);
	return NULL;
}

/* Reads a directory of the search list. False: it is not a configuration, look further. */
static bool try_dir(const char *dir, cm_cellconf_warn *warn_fn, void *arg, struct cm_cellconf **conf,
		    struct rx_error *err)
{
	char *path, *local = NULL;
	int failed = ENOMEM;

	*conf = NULL;
	if (asprintf(&path, "%s/ThisCell", dir) >= 0) {
		failed = read_this_cell(path, &local);
		free(path);
	}
	if (failed)
		rx_error_errno(err, failed, "reading the cell configuration in %s", dir);
	else if (local)
		*conf = read_dir(dir, local, warn_fn, arg, err);
	return failed || local;
}

/* A named directory counts without a ThisCell too. */
static struct cm_cellconf *read_named(const char *dir, cm_cellconf_warn *warn_fn, void *arg, struct rx_error *err)
{
	struct cm_cellconf *conf;
	struct stat st;
	int errnum = stat(dir, &st) ? errno : S_ISDIR(st.st_mode) ? 0 : ENOTDIR;

	if (errnum) {
		rx_error_errno(err, errnum, "no cell configuration in %s", dir);
		return NULL;
	}
	return try_dir(dir, warn_fn, arg, &conf, err) ? conf : read_dir(dir, NULL, warn_fn, arg, err);
}

struct cm_cellconf *cm_cellconf_read(const char *dir, cm_cellconf_warn *warn_fn, void *arg, struct rx_error *err)
{
	static const char *const system_dirs[] = { "/etc/umafs", "/etc/openafs", "/usr/vice/etc" };
	const char *own = getenv("UMAFS_CONF"), *home = getenv("HOME");
	struct cm_cellconf *conf;

	if (dir)
		return read_named(dir, warn_fn, arg, err);
	if (own && *own && try_dir(own, warn_fn, arg, &conf, err))
		return conf;
	if (home && *home) {
		char *path;
		bool found;

		if (asprintf(&path, "%s/.config/umafs", home) < 0) {
			rx_error_errno(err, ENOMEM, "reading the cell configuration");
			return NULL;
		}
		found = try_dir(path, warn_fn, arg, &conf, err);
		free(path);
		if (found)
			return conf;
	}
	for (size_t i = 0; i < sizeof(system_dirs) / sizeof(system_dirs[0]); i++)
		if (try_dir(system_dirs[i], warn_fn, arg, &conf, err))
			return conf;
	rx_error_set(
		err, RX_ORIGIN_ERRNO, ENOENT, ENOENT,
		"no cell is configured: put its name into ThisCell and its servers into CellServDB in $UMAFS_CONF, "
		"~/.config/umafs, /etc/umafs, /etc/openafs or /usr/vice/etc");
	return NULL;
}
