/* See process.h. */
#include "tools/harness/process.h"
#include "tools/fault/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void redirect(int to, const char *path, bool append)
{
	int fd = open(path, O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC), 0600);

	if (fd < 0 || dup2(fd, to) < 0)
		_exit(127);
	close(fd);
}

static void __attribute__((noreturn)) become(const struct harness_spawn *s, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127); /* it died before we asked to be told */
	redirect(STDOUT_FILENO, s->out, s->append);
	redirect(STDERR_FILENO, s->err, s->append);
	redirect(STDIN_FILENO, "/dev/null", true);
	for (const char *const *e = s->env; e && *e; e++)
		putenv((char *)(uintptr_t)*e);
	if (s->keep >= 0)
		fcntl(s->keep, F_SETFD, 0);
	if (!s->dir || !chdir(s->dir))
		execvp(s->argv[0], s->argv);
	fprintf(stderr, "%s cannot be run: %s\n", s->argv[0], strerror(errno));
	_exit(127);
}

int harness_process_start(struct harness_process *p, const struct harness_spawn *s, struct rx_error *err)
{
	pid_t parent = getpid();

	*p = (struct harness_process){ .fd = -1 };
	p->pid = fork();
	if (!p->pid)
		become(s, parent);
	if (p->pid < 0) {
		p->pid = 0;
		return rx_error_errno(err, errno, "%s cannot be started", s->argv[0]);
	}
	p->fd = pidfd_open(p->pid, 0);
	if (p->fd >= 0)
		return 0;
	rx_error_errno(err, errno, "pidfd_open");
	harness_process_stop(p, SIGKILL, 0);
	return -1;
}

bool harness_process_ended(struct harness_process *p)
{
	if (p->pid && waitpid(p->pid, &p->status, WNOHANG) != p->pid)
		return false;
	if (p->fd >= 0 && p->pid)
		close(p->fd);
	p->pid = 0;
	p->fd = -1;
	return true;
}

bool harness_process_stop(struct harness_process *p, int sig, uint64_t limit_us)
{
	struct pollfd wait = { .fd = p->fd, .events = POLLIN };
	bool orderly = true;

	if (!p->pid || harness_process_ended(p))
		return true;
	kill(p->pid, sig);
	kill(p->pid, SIGCONT);
	if (p->fd < 0 || (sig != SIGKILL && poll(&wait, 1, (int)(limit_us / 1000)) != 1)) {
		kill(p->pid, SIGKILL);
		orderly = false;
	}
	while (waitpid(p->pid, &p->status, 0) < 0 && errno == EINTR)
		;
	if (p->fd >= 0)
		close(p->fd);
	*p = (struct harness_process){ .fd = -1, .status = p->status };
	return orderly;
}

void harness_process_pause(struct harness_process *p)
{
	siginfo_t info;

	if (p->pid && !kill(p->pid, SIGSTOP))
		waitid(P_PID, (id_t)p->pid, &info, WSTOPPED | WEXITED | WNOWAIT);
}

void harness_process_resume(struct harness_process *p)
{
	if (p->pid)
		kill(p->pid, SIGCONT);
}

const char *harness_status_text(int status, char buf[32])
{
	const char *name = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;

	if (name)
		snprintf(buf, 32, "SIG%s", name);
	else
		snprintf(buf, 32, "exit status %d", WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
	return buf;
}

uint8_t *harness_file_bytes(const char *path, size_t *len)
{
	uint8_t *bytes = NULL;
	size_t cap = 0;
	FILE *f = fopen(path, "re");

	*len = 0;
	for (size_t n = 1; f && n > 0; *len += n) {
		if (cap - *len < 2) {
			cap = cap ? cap * 2 : 4096;
			bytes = realloc(bytes, cap);
			if (!bytes)
				fault_no_memory();
		}
		n = fread(bytes + *len, 1, cap - *len - 1, f);
	}
	if (f)
		fclose(f);
	if (!bytes && !(bytes = calloc(1, 1)))
		fault_no_memory();
	bytes[*len] = 0;
	return bytes;
}
