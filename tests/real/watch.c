/* Holds a file open and prints its content again for each line on standard input: what
 * a program sees of a file that another client changes. Used by tests/real/callbacks.sh.
 *
 *	watch CONFDIR TOKEN PORT PATH
 */
#include <stdio.h>
#include <stdlib.h>

#include "vfs-emu/umafs.h"

static int show(struct umafs_file *file)
{
	struct umafs_error err;
	struct umafs_stat st;
	char buf[4096];
	ssize_t n = umafs_pread(file, buf, sizeof(buf), 0, &err);

	if (n < 0 || umafs_fstat(file, &st, &err) != 0) {
		printf("error %s\n", err.text);
		return -1;
	}
	printf("version %llu size %llu content %.*s\n", (unsigned long long)st.data_version,
	       (unsigned long long)st.size, (int)n, buf);
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	struct umafs_config config = { .size = sizeof(config) };
	struct umafs_token *token = NULL;
	struct umafs_file *file = NULL;
	struct umafs *fs;
	struct umafs_error err;
	char line[256];
	int rc = 1;

	if (argc != 5)
		return 2;
	config.confdir = argv[1];
	config.port = (uint16_t)atoi(argv[3]);
	fs = umafs_new(&config, &err);
	if (!fs)
		goto fail;
	token = umafs_token_open(fs, argv[2], NULL, &err);
	if (!token)
		goto fail;
	file = umafs_open(fs, token, argv[4], UMAFS_RDONLY, 0, &err);
	if (!file)
		goto fail;
	do
		rc = show(file);
	while (rc == 0 && fgets(line, sizeof(line), stdin));
	goto out;
fail:
	fprintf(stderr, "watch: %s\n", err.text);
out:
	if (file)
		umafs_close(file, NULL);
	if (token)
		umafs_token_close(token);
	if (fs)
		umafs_free(fs);
	return rc ? 1 : 0;
}
