/* The cell and the injector of one scenario: see rig.h. */
#include "tools/harness/rig.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/fault/control.h"
#include "tools/fault/memory.h"

enum { SHIFT = 1000, TRIES = 20, START_MS = 20000, STOP_US = 8000000, ARGS_MAX = 64 };

static const unsigned ports[] = { 7000, 7002, 7003, 7005 };

/* ---- starting ---- */

/* Waits until the file says `word`, or the process ends: 1. */
static int until_says(struct harness_process *p, const char *path, const char *word, unsigned times,
		      struct rx_error *err)
{
	for (int waited = 0; waited < START_MS; waited++) {
		struct pollfd wait = { .fd = p->fd, .events = POLLIN };
		size_t len;
		uint8_t *text = harness_file_bytes(path, &len);
		unsigned n = 0;

		for (char *at = (char *)text; (at = strstr(at, word)); at += strlen(word))
			n++;
		free(text);
		if (n >= times)
			return 0;
		if (poll(&wait, 1, 1) > 0 && harness_process_ended(p))
			return 1;
	}
	return rx_error_set(err, RX_ORIGIN_ERRNO, ETIMEDOUT, ETIMEDOUT, "%s does not say that it is up", path);
}

/* Waits until somebody answers at the control socket, which comes a little later. */
static int until_listens(struct harness_process *p, const char *socket, struct rx_error *err)
{
	char *const words[] = { "help", NULL };
	int rc = -1;

	for (int waited = 0; rc && waited < START_MS; waited++) {
		struct pollfd wait = { .fd = p->fd, .events = POLLIN };
		char *text = NULL;
		size_t len;
		FILE *out = open_memstream(&text, &len);

		if (!out)
			fault_no_memory();
		rc = fault_control_call(socket, words, out, err);
		fclose(out);
		free(text);
		if (rc && poll(&wait, 1, 1) > 0)
			break;
	}
	return rc;
}

static const char *ip_text(uint32_t ip, char buf[16])
{
	snprintf(buf, 16, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
	return buf;
}

static void server_list(const struct harness_rig *rig, char *out, size_t cap)
{
	char ip[16];
	size_t n = 0;

	for (unsigned i = 0; i < rig->scenario->servers; i++)
		n += (size_t)snprintf(out + n, cap - n, "%s%s", i ? "," : "", ip_text(rig->ip + i, ip));
}

/* 1: the addresses are somebody's, or something else was wrong that cell.err tells. */
static int try_cell(struct harness_rig *rig, struct rx_error *err)
{
	char program[HARNESS_DIR + 16], listen[256], out[HARNESS_DIR + 16], errout[HARNESS_DIR + 16];
	char data[HARNESS_DIR + 16], trace[HARNESS_DIR + 16], audit[HARNESS_DIR + 16], seed[24], shift[8];
	char *argv[ARGS_MAX] = { program, "--confdir", rig->conf, "--listen", listen, "--audit", audit };
	struct harness_spawn spawn = { .argv = argv, .out = out, .err = errout, .keep = -1 };
	unsigned n = 7;
	int rc;

	snprintf(program, sizeof program, "%s/umafs-cell", rig->options->bin);
	snprintf(out, sizeof out, "%s/cell.out", rig->dir);
	snprintf(errout, sizeof errout, "%s/cell.err", rig->dir);
	snprintf(data, sizeof data, "%s/data", rig->dir);
	snprintf(audit, sizeof audit, "%s/audit", rig->dir);
	snprintf(trace, sizeof trace, "%s/cell.trace", rig->dir);
	snprintf(seed, sizeof seed, "%llu", (unsigned long long)rig->options->seed);
	snprintf(shift, sizeof shift, "%d", SHIFT);
	server_list(rig, listen, sizeof listen);
	if (rig->scenario->lasting) {
		argv[n++] = "--data";
		argv[n++] = data;
	}
	if (rig->scenario->packets) {
		argv[n++] = "--port-shift";
		argv[n++] = shift;
	}
	if (rig->scenario->control) {
		char *const more[] = { "--control", rig->socket[FAULT_RPC], "--trace", trace, "--seed", seed };

		for (size_t i = 0; i < sizeof more / sizeof *more; i++)
			argv[n++] = more[i];
	}
	if (harness_process_start(&rig->cell, &spawn, err))
		return -1;
	rc = until_says(&rig->cell, out, "is up", 1, err);
	return rc || !rig->scenario->control ? rc : until_listens(&rig->cell, rig->socket[FAULT_RPC], err);
}

/* 127.64.0.0/10, a /24 for each scenario; who else is there is found out by trying. */
static uint32_t place(const char *dir, unsigned try)
{
	uint32_t h = 2166136261u + try * 16777619u;

	for (const char *p = dir; *p; p++)
		h = (h ^ (uint8_t)*p) * 16777619u;
	return 127u << 24 | (64 + (h >> 8) % 64) << 16 | (h >> 16 & 255) << 8 | 1;
}

static int cell_error(const struct harness_rig *rig, struct rx_error *err)
{
	char path[HARNESS_DIR + 16];
	size_t len;
	uint8_t *text;

	snprintf(path, sizeof path, "%s/cell.err", rig->dir);
	text = harness_file_bytes(path, &len);
	rx_error_set(err, RX_ORIGIN_ERRNO, ECHILD, ECHILD, "the cell does not start: %.*s",
		     (int)strcspn((char *)text, "\n"), text);
	free(text);
	return -1;
}

static int start_cell(struct harness_rig *rig, struct rx_error *err)
{
	int rc = 1;

	for (unsigned i = 0; rc > 0 && i < TRIES; i++) {
		rig->ip = place(rig->dir, i);
		rc = try_cell(rig, err);
	}
	return rc > 0 ? cell_error(rig, err) : rc;
}

int harness_rig_start_cell(struct harness_rig *rig, struct rx_error *err)
{
	int rc = try_cell(rig, err);

	rig->cell_down = false;
	return rc > 0 ? cell_error(rig, err) : rc;
}

static int start_wire(struct harness_rig *rig, struct rx_error *err)
{
	enum { PORTS = sizeof ports / sizeof *ports };
	char program[HARNESS_DIR + 16], out[HARNESS_DIR + 16], errout[HARNESS_DIR + 16], trace[HARNESS_DIR + 16],
		seed[24];
	char maps[8 * PORTS][64], ip[16];
	char *argv[ARGS_MAX + 2 * 8 * PORTS] = { program,  "--control", rig->socket[FAULT_PACKET], "--trace", trace,
						 "--seed", seed };
	struct harness_spawn spawn = { .argv = argv, .out = out, .err = errout, .keep = -1 };
	unsigned n = 7, nmaps = 0;
	int rc;

	snprintf(program, sizeof program, "%s/umafs-wire", rig->options->bin);
	snprintf(out, sizeof out, "%s/wire.out", rig->dir);
	snprintf(errout, sizeof errout, "%s/wire.err", rig->dir);
	snprintf(trace, sizeof trace, "%s/wire.trace", rig->dir);
	snprintf(seed, sizeof seed, "%llu", (unsigned long long)rig->options->seed);
	for (unsigned i = 0; i < rig->scenario->servers; i++) {
		for (unsigned k = 0; k < PORTS; k++) {
			bool database = ports[k] == 7002 || ports[k] == 7003;

			if (database && i > 0)
				continue;
			ip_text(rig->ip + i, ip);
			snprintf(maps[nmaps], sizeof maps[nmaps], "%s:%u=%s:%u", ip, ports[k], ip, ports[k] + SHIFT);
			argv[n++] = "--map";
			argv[n++] = maps[nmaps++];
		}
	}
	if (harness_process_start(&rig->wire, &spawn, err))
		return -1;
	rc = until_says(&rig->wire, out, "=", nmaps, err);
	if (!rc)
		rc = until_listens(&rig->wire, rig->socket[FAULT_PACKET], err);
	return rc > 0 ? rx_error_set(err, RX_ORIGIN_ERRNO, ECHILD, ECHILD, "the injector does not start: see %s",
				     errout)
		      : rc;
}

static int read_cell_name(struct harness_rig *rig, struct rx_error *err)
{
	char path[HARNESS_DIR + 16];
	size_t len;
	uint8_t *text;

	snprintf(path, sizeof path, "%s/ThisCell", rig->conf);
	text = harness_file_bytes(path, &len);
	snprintf(rig->cell_name, sizeof rig->cell_name, "%.*s", (int)strcspn((char *)text, " \t\n"), text);
	free(text);
	return *rig->cell_name ? 0 : rx_error_set(err, RX_ORIGIN_ERRNO, ENOENT, ENOENT, "%s names no cell", path);
}

static bool asks_for_order(const struct harness_scenario *sc)
{
	const struct harness_statement *s = sc->first;

	while (s && s->kind != HARNESS_ORDER)
		s = s->next;
	return s;
}

const char *harness_rig_lacks(const struct harness_options *o, const struct harness_scenario *sc)
{
	if (o->confdir && (sc->control || sc->lasting))
		return "needs the embedded cell";
	if (o->confdir && sc->packets && !o->wire)
		return "needs the embedded cell, or --wire SOCKET";
	if (o->confdir && asks_for_order(sc) && !o->wire_trace)
		return "needs the embedded cell, or --wire-trace FILE";
	return NULL;
}

int harness_rig_start(struct harness_rig *rig, const struct harness_options *options,
		      const struct harness_scenario *scenario, const char *dir, struct rx_error *err)
{
	*rig = (struct harness_rig){ .options = options, .scenario = scenario, .cell.fd = -1, .wire.fd = -1 };
	snprintf(rig->dir, sizeof rig->dir, "%s", dir);
	snprintf(rig->files, sizeof rig->files, "%.480s/files", dir);
	if (mkdir(rig->files, 0700))
		return rx_error_errno(err, errno, "%s cannot be made", rig->files);
	if (options->confdir) {
		snprintf(rig->conf, sizeof rig->conf, "%s", options->confdir);
		snprintf(rig->ccaches, sizeof rig->ccaches, "%s", options->ccaches);
		snprintf(rig->socket[FAULT_PACKET], HARNESS_DIR, "%s", options->wire ? options->wire : "");
		return read_cell_name(rig, err);
	}
	if (snprintf(rig->conf, sizeof rig->conf, "%s/conf", dir) >= HARNESS_DIR - 16)
		return rx_error_errno(err, ENAMETOOLONG, "the directory's name %.60s...", dir);
	snprintf(rig->ccaches, sizeof rig->ccaches, "%.480s/ccache", rig->conf);
	if (scenario->control)
		snprintf(rig->socket[FAULT_RPC], HARNESS_DIR, "%.490s/cell.sock", dir);
	if (start_cell(rig, err))
		return -1;
	if (scenario->packets) {
		snprintf(rig->socket[FAULT_PACKET], HARNESS_DIR, "%.490s/wire.sock", dir);
		if (start_wire(rig, err))
			return -1;
	}
	return read_cell_name(rig, err);
}

/* ---- ending ---- */

static int ended(const char *what, const struct harness_process *p, struct rx_error *err)
{
	char buf[32];

	return rx_error_set(err, RX_ORIGIN_ERRNO, ECHILD, ECHILD, "the %s ended by itself: %s", what,
			    harness_status_text(p->status, buf));
}

int harness_rig_check(struct harness_rig *rig, struct rx_error *err)
{
	if (rig->cell.pid && harness_process_ended(&rig->cell))
		return ended("cell", &rig->cell, err);
	if (rig->wire.pid && harness_process_ended(&rig->wire))
		return ended("injector", &rig->wire, err);
	return 0;
}

static int stop(struct harness_process *p, const char *what, struct rx_error *err)
{
	char buf[32];

	if (!p->pid)
		return 0;
	if (!harness_process_stop(p, SIGTERM, STOP_US))
		return rx_error_set(err, RX_ORIGIN_ERRNO, ETIMEDOUT, ETIMEDOUT, "the %s did not end in %d s", what,
				    STOP_US / 1000000);
	return p->status ? rx_error_set(err, RX_ORIGIN_ERRNO, ECHILD, ECHILD, "the %s ended with %s", what,
					harness_status_text(p->status, buf))
			 : 0;
}

int harness_rig_stop(struct harness_rig *rig, struct rx_error *err)
{
	int rc = stop(&rig->wire, "injector", err);

	return stop(&rig->cell, "cell", rc ? NULL : err) || rc ? -1 : 0;
}

/* ---- the control sockets ---- */

struct harness_variables harness_rig_variables(const struct harness_rig *rig)
{
	return (struct harness_variables){
		.cell = rig->cell_name, .tmp = rig->files, .conf = rig->conf, .ip = rig->ip, .seed = rig->options->seed
	};
}

int harness_rig_control(struct harness_rig *rig, enum fault_side side, const char *command, FILE *out,
			struct rx_error *err)
{
	struct harness_variables v = harness_rig_variables(rig);
	const char *path = rig->socket[side];
	char *expanded, *words[2] = { NULL };
	int rc;

	if (!*path)
		return rx_error_set(err, RX_ORIGIN_ERRNO, ENOTCONN, ENOTCONN, "there is no %s to be told: %.100s",
				    side == FAULT_RPC ? "embedded cell" : "injector", command);
	expanded = harness_expand(command, &v);
	words[0] = expanded;
	rc = fault_control_call(path, words, out, err);
	free(expanded);
	return rc ? -1 : 0;
}

int harness_rig_fired(struct harness_rig *rig, enum fault_side side, const char *rule, uint64_t *fired,
		      struct rx_error *err)
{
	char *text = NULL, *line;
	size_t len = 0, n = strlen(rule);
	unsigned long long matched, count = 0;
	FILE *out = open_memstream(&text, &len);
	bool found = false;
	int rc;

	if (!out)
		fault_no_memory();
	rc = harness_rig_control(rig, side, "list", out, err);
	fclose(out);
	for (char *rest = text; !rc && (line = strsep(&rest, "\n"));) {
		if (!strncmp(line, rule, n) && sscanf(line + n, " matched %llu fired %llu:", &matched, &count) == 2)
			found = true;
		if (found)
			break;
	}
	*fired = count;
	free(text);
	if (!rc && !found)
		return rx_error_set(err, RX_ORIGIN_ERRNO, ENOENT, ENOENT, "rule %s is not there now", rule);
	return rc;
}

/* ---- programs ---- */

int harness_rig_run(struct harness_rig *rig, const char *user, char *const *argv, const char *out, const char *errout,
		    struct harness_process *p, struct rx_error *err)
{
	char path[2 * HARNESS_DIR + 4096], conf[HARNESS_DIR + 16], krb5[HARNESS_DIR + 32], ccache[HARNESS_DIR + 64];
	const char *const env[] = { path, conf, ccache, rig->options->confdir ? NULL : krb5, NULL };
	struct harness_spawn spawn = {
		.argv = argv, .env = env, .dir = rig->files, .out = out, .err = errout, .keep = -1
	};
	const char *old = getenv("PATH");

	snprintf(path, sizeof path, "PATH=%s:%.4000s", rig->options->bin, old ? old : "/usr/bin:/bin");
	snprintf(conf, sizeof conf, "UMAFS_CONF=%s", rig->conf);
	snprintf(krb5, sizeof krb5, "KRB5_CONFIG=%s/krb5.conf", rig->conf);
	snprintf(ccache, sizeof ccache, "KRB5CCNAME=FILE:%s/%s", rig->ccaches, user);
	return harness_process_start(p, &spawn, err);
}
