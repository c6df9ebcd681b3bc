/* A real cache manager and, on another loop, a fileserver with one file; two anonymous
 * tokens. For tests of what no stand-in for the cache manager can show. One at a time. */
#ifndef UMAFS_TESTS_ONE_FILE_H
#define UMAFS_TESTS_ONE_FILE_H

#include "cm/internal.h"

enum { ONE_FILE_MAX = 16 * CM_PAGE };

struct one_file {
	struct cm *cm;
	struct cm_vnode *file;
	struct cm_token *a, *b;
	struct rx_loop *loop; /* the server's */
	char dir[64];

	/* The server's side. */
	uint8_t content[ONE_FILE_MAX];
	uint64_t length, version;
	int32_t store_code, status_code; /* abort with it */
	uint64_t last_file_length;
	uint64_t keeps_back; /* of what a fetch asks for, and what its status says is there */
	unsigned stores;
	int hold_reply, held; /* atomic: the reply of a store waits after the deed */
};
extern struct one_file server;

/* A file of `length` bytes of value `fill`, data version 7; its status has been fetched. */
void one_file_start(uint64_t length, uint8_t fill);
void one_file_stop(void);

#endif
