/* Calls to clients' callback services that somebody wants made, rightly or not: by a file
 * server of the cell, or by a stranger at an address of this machine (the control command
 * `callback`). On the thread of whoever commands, without cell->lock; tables stay as they are. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "tools/cell/control.h"
#include "tools/fault/match.h"

enum { CLIENTS_MAX = 64, FIDS_MAX = 50, DEAD_S = 4, RAW_MAX = 65536 };

struct target {
	struct rx_addr addr;
	struct afs_uuid uuid;
};

struct speech;
/* The code that the call ended with; 0: it was answered. */
typedef int32_t say_fn(const struct speech *s, const struct rx_rpc_client *to, const struct target *t);

/* What is to be said, and how often. */
struct speech {
	struct cell_command *c;
	say_fn *say;
	uint64_t times;
	const struct cell_fs *fs; /* NULL: a stranger speaks */
	struct afs_fid fid;
	uint64_t number;
	uint32_t opcode;
};

static const struct afs_uuid nobody = { .time_low = 0x6e6f6e65 };

static int32_t code_of(int rc, const struct rx_error *err)
{
	return rc ? err->code : 0;
}

static int32_t say_break(const struct speech *s, const struct rx_rpc_client *to, const struct target *t)
{
	struct afs_fid fid = s->fid;
	struct afs_cb_CallBack_in in = { .fids = { 1, &fid } };
	struct rx_error err = { 0 };

	(void)t;
	return code_of(afs_cb_CallBack(to, &in, NULL, &err), &err);
}

/* Fids that nobody has. */
static int32_t say_fids(const struct speech *s, const struct rx_rpc_client *to, const struct target *t)
{
	struct afs_fid fids[FIDS_MAX];
	struct afs_cb_CallBack_in in = { .fids = { (uint32_t)s->number, fids } };
	struct rx_error err = { 0 };

	(void)t;
	for (uint32_t i = 0; i < s->number; i++)
		fids[i] = (struct afs_fid){ 1 + i, 2 * i, UINT32_MAX - i };
	return code_of(afs_cb_CallBack(to, &in, NULL, &err), &err);
}

static int32_t say_bytes(const struct rx_rpc_client *to, const uint8_t *bytes, size_t len)
{
	struct rx_error err = { 0 };
	struct rx_call *call = rx_call_new(to->conn, &err);

	if (!call)
		return err.code;
	rx_call_write(call, bytes, len);
	return code_of(rx_call_end(call, 0, to->origin, &err), &err);
}

static size_t put_word(uint8_t *at, uint32_t word)
{
	word = htonl(word);
	memcpy(at, &word, 4);
	return 4;
}

/* So many fids are announced, and one follows. */
static int32_t say_short(const struct speech *s, const struct rx_rpc_client *to, const struct target *t)
{
	uint8_t bytes[24];
	size_t len = put_word(bytes, afs_rpc_cb_CallBack.opcode);

	(void)t;
	len += put_word(bytes + len, (uint32_t)s->number);
	for (uint32_t i = 1; i <= 3; i++)
		len += put_word(bytes + len, i);
	return say_bytes(to, bytes, len);
}

static int32_t say_garbage(const struct speech *s, const struct rx_rpc_client *to, const struct target *t)
{
	uint8_t *bytes = malloc(4 + s->number);
	uint64_t state = s->number;
	size_t len;
	int32_t code;

	(void)t;
	if (!bytes)
		return ENOMEM;
	for (len = put_word(bytes, s->opcode); len < 4 + s->number; len++)
		bytes[len] = (uint8_t)fault_random(&state);
	code = say_bytes(to, bytes, len);
	free(bytes);
	return code;
}

static int32_t say_reset_of(const struct rx_rpc_client *to, const struct afs_uuid *server)
{
	struct afs_cb_InitCallBackState3_in in = { .server = *server };
	struct rx_error err = { 0 };

	return code_of(afs_cb_InitCallBackState3(to, &in, NULL, &err), &err);
}

static int32_t say_reset(const struct speech *s, const struct rx_rpc_client *to, const struct target *t)
{
	(void)t;
	return say_reset_of(to, s->fs ? &s->fs->uuid : &nobody);
}

static int32_t say_reset_of_nobody(const struct speech *s, const struct rx_rpc_client *to, const struct target *t)
{
	(void)s;
	(void)t;
	return say_reset_of(to, &nobody);
}

static int32_t say_probe_of(const struct rx_rpc_client *to, const struct afs_uuid *client)
{
	struct afs_cb_ProbeUuid_in in = { .client = *client };
	struct rx_error err = { 0 };

	return code_of(afs_cb_ProbeUuid(to, &in, NULL, &err), &err);
}

static int32_t say_probe(const struct speech *s, const struct rx_rpc_client *to, const struct target *t)
{
	(void)s;
	return say_probe_of(to, &t->uuid);
}

static int32_t say_probe_of_nobody(const struct speech *s, const struct rx_rpc_client *to, const struct target *t)
{
	(void)s;
	(void)t;
	return say_probe_of(to, &nobody);
}

/* What stands behind the word: nothing, a file, a number, a procedure's number and a number. */
enum argument { NOTHING, FILE_NAME, NUMBER, PROCEDURE };

static const struct {
	const char *word;
	enum argument argument;
	uint64_t most; /* of the number */
	say_fn *say;
} speeches[] = {
	{ "break", FILE_NAME, 0, say_break },       { "fids", NUMBER, FIDS_MAX, say_fids },
	{ "short", NUMBER, UINT32_MAX, say_short }, { "garbage", PROCEDURE, RAW_MAX, say_garbage },
	{ "reset", NOTHING, 0, say_reset },         { "reset-of-nobody", NOTHING, 0, say_reset_of_nobody },
	{ "probe", NOTHING, 0, say_probe },         { "probe-of-nobody", NOTHING, 0, say_probe_of_nobody },
};

/* A fid that need not be anybody's, a volume, a path. */
static int parse_file(struct cell_command *c, const char *text, struct afs_fid *fid)
{
	struct cell_volume *volume;
	int used = 0;

	if (sscanf(text, "%u.%u.%u%n", &fid->volume, &fid->vnode, &fid->unique, &used) == 3 && !text[used])
		return 0;
	rx_mutex_lock(&c->cell->lock);
	volume = cell_volume_by_name(c->cell, text);
	*fid = (struct afs_fid){ .volume = volume ? volume->id : 0 };
	rx_mutex_unlock(&c->cell->lock);
	return volume ? 0 : cell_path(c, text, fid);
}

static int parse_number(struct cell_command *c, const char *text, uint64_t most, uint64_t *out)
{
	if (cell_number(c, text, out))
		return -1;
	return *out <= most ? 0
			    : rx_error_set(c->err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "%s is more than %llu", text,
					   (unsigned long long)most);
}

/* "[TIMES] WHAT [ARGUMENT]..." */
static int parse(struct cell_command *c, const char *text, struct speech *s)
{
	char words[4][64] = { "" }, (*w)[64] = words;
	int n = sscanf(text, "%63s %63s %63s %63s", words[0], words[1], words[2], words[3]);
	uint64_t opcode = 0;

	s->times = 1;
	if (n > 1 && words[0][strspn(words[0], "0123456789")] == 0) {
		s->times = strtoull(words[0], NULL, 10);
		w++;
	}
	for (size_t i = 0; i < sizeof(speeches) / sizeof(speeches[0]); i++) {
		if (strcmp(*w, speeches[i].word))
			continue;
		s->say = speeches[i].say;
		switch (speeches[i].argument) {
		case FILE_NAME:
			return parse_file(c, w[1], &s->fid);
		case NUMBER:
			return parse_number(c, w[1], speeches[i].most, &s->number);
		case PROCEDURE:
			if (cell_number(c, w[1], &opcode))
				return -1;
			s->opcode = (uint32_t)opcode;
			return parse_number(c, w[2], speeches[i].most, &s->number);
		default:
			return 0;
		}
	}
	return rx_error_set(c->err, RX_ORIGIN_ERRNO, EINVAL, EINVAL,
			    "nothing is said by %.40s; see doc/fault-scripts.md", *w);
}

/* The clients that file servers know, or the one of that address. */
static unsigned find_targets(struct cell_command *c, const char *who, struct target out[CLIENTS_MAX])
{
	unsigned n = 0;
	char text[64];

	rx_mutex_lock(&c->cell->lock);
	for (unsigned i = 0; i < c->cell->nfs; i++) {
		for (const struct cell_host *h = c->cell->fs[i].hosts; h && n < CLIENTS_MAX; h = h->next) {
			bool known = h->gone || (strcmp(who, "all") && strcmp(who, rx_addr_text(&h->addr, text)));

			for (unsigned k = 0; k < n && !known; k++)
				known = rx_addr_equal(&out[k].addr, &h->addr);
			if (!known)
				out[n++] = (struct target){ h->addr, h->uuid };
		}
	}
	rx_mutex_unlock(&c->cell->lock);
	return n;
}

static int speak(const struct speech *s, struct rx_loop *loop, const struct target *t)
{
	struct rx_rpc_client to = { .origin = RX_ORIGIN_AFS };
	int32_t code = 0;
	char text[64];

	to.conn = rx_conn_new(loop, &t->addr, AFS_SERVICE_CB, s->c->cell->anonymous, s->c->err);
	if (!to.conn)
		return -1;
	rx_conn_set_dead_time(to.conn, DEAD_S);
	for (uint64_t i = 0; i < s->times && code != RX_CALL_DEAD; i++)
		code = s->say(s, &to, t);
	rx_conn_free(to.conn);
	fprintf(s->c->out, "%s %d\n", rx_addr_text(&t->addr, text), code);
	return 0;
}

int cell_do_callback(struct cell_command *c)
{
	struct target targets[CLIENTS_MAX];
	struct speech s = { .c = c };
	struct rx_loop *loop = NULL;
	struct in_addr from;
	unsigned n;
	int rc = 0;

	if (parse(c, c->arg[2], &s))
		return -1;
	if (inet_pton(AF_INET, c->arg[1], &from) != 1)
		return rx_error_set(c->err, RX_ORIGIN_ERRNO, EINVAL, EINVAL, "%.40s is no address", c->arg[1]);
	for (unsigned i = 0; i < c->cell->nfs; i++)
		if (c->cell->fs[i].ip == ntohl(from.s_addr))
			s.fs = &c->cell->fs[i];
	n = find_targets(c, c->arg[0], targets);
	if (!n)
		return rx_error_set(c->err, RX_ORIGIN_ERRNO, ENOENT, ENOENT, "no file server knows the client %.40s",
				    c->arg[0]);
	if (!s.fs) {
		struct rx_loop_config config = { .env = c->cell->env, .bind_ip = ntohl(from.s_addr) };

		loop = rx_loop_new(&config, c->err);
		if (!loop)
			return -1;
	}
	for (unsigned i = 0; i < n && rc == 0; i++)
		rc = speak(&s, s.fs ? s.fs->loop : loop, &targets[i]);
	rx_loop_free(loop);
	return rc;
}
