/* mmap: standard input into an existing file, by store instructions into a shared
 * mapping, window by window; msync after each waits for the server's verdict. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/cli.h"

enum { WINDOW = 4 << 20 };

static sigjmp_buf bus_jump;
static volatile sig_atomic_t bus_armed;

static void on_bus(int sig)
{
	if (bus_armed)
		siglongjmp(bus_jump, 1);
	signal(sig, SIG_DFL);
	raise(sig);
}

/* True when the store was let through. */
static bool store_bytes(void *to, const void *from, size_t len)
{
	if (sigsetjmp(bus_jump, 1)) {
		bus_armed = 0;
		return false;
	}
	bus_armed = 1;
	memcpy(to, from, len);
	bus_armed = 0;
	return true;
}

/* Reads until len bytes have come or standard input ends. The count, or -1. */
static ssize_t read_input(struct cli *cli, char *buf, size_t len)
{
	struct pollfd fds[2] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = cli_stop_fd(), .events = POLLIN } };
	size_t got = 0;

	while (got < len) {
		ssize_t n;

		n = poll(fds, 2, -1);
		if (cli_stopped())
			break;
		if (n >= 0)
			n = read(STDIN_FILENO, buf + got, len - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cli_errorf(cli, "standard input", errno, "%s", strerror(errno));
		if (!n)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/* Maps the pages around [off, off+len), stores, and waits until the server has them. */
static int write_window(struct cli *cli, struct vfs_file *f, const char *path, uint64_t off, const char *buf,
			size_t len)
{
	uint64_t start = off & ~(uint64_t)(CM_PAGE - 1);
	size_t span = (size_t)(off - start) + len;
	struct cli_pending *pending;
	struct rx_error err = { 0 };
	struct cm_attr attr;
	char *at = vfs_mmap(f, span, PROT_READ | PROT_WRITE, start, &err);
	int rc = -1;

	if (!at)
		return cli_error(cli, path, &err);
	pending = cli_pending_text("%s: bytes %llu to %llu may not have reached the server", path,
				   (unsigned long long)off, (unsigned long long)(off + len));
	if (!store_bytes(at + (off - start), buf, len)) {
		if (!cm_may_write(vfs_file_vnode(f), cli->token, &err) &&
		    !cm_getattr(vfs_file_vnode(f), cli->token, &attr, &err) && attr.size < off + len)
			cli_errorf(cli, path, EIO, "a store near byte %llu failed: the file has only %llu bytes now",
				   (unsigned long long)off, (unsigned long long)attr.size);
		else if (err.code)
			cli_error(cli, path, &err);
		else
			cli_errorf(cli, path, EIO,
				   "a store near byte %llu was refused (SIGBUS); umafs --trace shows the calls",
				   (unsigned long long)off);
	} else if (vfs_msync(cli->vfs, at, span, MS_SYNC, &err)) {
		cli_explain(cli, vfs_file_vnode(f), 0, &err);
		cli_error(cli, path, &err);
	} else {
		rc = 0;
	}
	if (vfs_munmap(cli->vfs, at, span, &err) && !rc)
		rc = cli_error(cli, path, &err);
	cli_pending_end(pending);
	return rc;
}

static int write_all(struct cli *cli, struct vfs_file *f, const char *path, uint64_t off, uint64_t size)
{
	char *buf = cli_alloc(WINDOW);
	uint64_t done = 0;
	int rc = 0;

	while (!rc) {
		ssize_t n = read_input(cli, buf, WINDOW);

		if (n <= 0) {
			rc = n < 0 ? -1 : 0;
			break;
		}
		if (off > size || (uint64_t)n > size - off)
			rc = cli_errorf(cli, path, EFBIG,
					"the file has %llu bytes and these would go to %llu; make it longer: umafs "
					"truncate -s %llu %.100s",
					(unsigned long long)size, (unsigned long long)(off + (uint64_t)n),
					(unsigned long long)(off + (uint64_t)n), path);
		else
			rc = write_window(cli, f, path, off, buf, (size_t)n);
		if (!rc)
			done += (uint64_t)n;
		off += (uint64_t)n;
	}
	if (cli_stopped())
		cli_note(cli, path,
			 "stopped: the first %llu bytes of standard input are stored, what came after is not",
			 (unsigned long long)done);
	if (!rc && cli->json)
		cli_result(cli, json_pack("{s:s, s:o, s:I}", "done", "mmap", "path", cli_json_string(path), "bytes",
					  (json_int_t)done));
	free(buf);
	return rc;
}

int cmd_mmap(struct cli *cli, const struct cli_args *args)
{
	const char *path = args->operands[0], *text = args->value[CLI_OPT_COMMAND];
	struct sigaction action = { .sa_handler = on_bus };
	struct vfs_file *f = NULL;
	struct rx_error err = { 0 };
	struct cm_vnode *v;
	struct cm_attr attr;
	uint64_t off = 0;
	int rc = -1;

	if (text && !options_size(text, &off))
		return cli_misused(cli, "--offset wants a number of bytes, like 4096 or 1M; see umafs mmap --help");
	v = cli_walk(cli, path, 0);
	if (!v)
		return -1;
	if (!cli_vfs(cli))
		goto out;
	sigaction(SIGBUS, &action, NULL);
	if (cm_getattr(v, cli->token, &attr, &err) || vfs_open(cli->vfs, v, cli->token, true, &f, &err)) {
		cli_explain(cli, v, 0, &err);
		cli_error(cli, path, &err);
		goto out;
	}
	rc = write_all(cli, f, path, off, attr.size);
	if (vfs_close(f, &err) && !rc)
		rc = cli_error(cli, path, &err);
out:
	cm_vnode_put(v);
	return rc;
}
