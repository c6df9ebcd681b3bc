/* Access control lists: the text that travels in FetchACL and StoreACL, rights as
 * letters and bits, and changes to entries. The text comes from servers and from people:
 * it is bounded by its length, never by trust in a NUL. Called by cm.h's ACL functions,
 * the tools and the embedded fileserver. Pure; any thread. */
#ifndef UMAFS_CM_ACL_H
#define UMAFS_CM_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rx/error.h"

enum {
	CM_RIGHT_READ = 0x01,
	CM_RIGHT_WRITE = 0x02,
	CM_RIGHT_INSERT = 0x04,
	CM_RIGHT_LOOKUP = 0x08,
	CM_RIGHT_DELETE = 0x10,
	CM_RIGHT_LOCK = 0x20,
	CM_RIGHT_ADMINISTER = 0x40,
	CM_RIGHTS_ALL = 0x7f,
};
#define CM_RIGHTS_USER 0xff000000u /* A to H, with no meaning to AFS */

enum { CM_ACL_MAX = 20, CM_ACL_NAME = 64, CM_ACL_TEXT = 1024, CM_RIGHTS_TEXT = 16 };

struct cm_acl_entry {
	char name[CM_ACL_NAME]; /* user or group; digits if the id has no name */
	uint32_t rights;
};

struct cm_acl {
	unsigned npositive, nnegative; /* together at most CM_ACL_MAX */
	struct cm_acl_entry positive[CM_ACL_MAX], negative[CM_ACL_MAX];
};

/* The text ends at the first NUL among the len bytes; without one it is refused
 * (EINVAL), as is anything else than the lines that the counts announce. */
int cm_acl_parse(const void *text, size_t len, struct cm_acl *acl, struct rx_error *err);

/* Writes text and NUL; *len counts the NUL, as the wire does. E2BIG: over 1024 bytes. */
int cm_acl_format(const struct cm_acl *acl, char text[CM_ACL_TEXT], size_t *len, struct rx_error *err);

/* Gives `name` exactly these rights in one of the lists; 0 takes it out. EINVAL: bad
 * name; E2BIG: 20 entries already. */
int cm_acl_set(struct cm_acl *acl, const char *name, bool negative, uint32_t rights, struct rx_error *err);
/* Rights of a name in one of the lists; 0 if it is not there. */
uint32_t cm_acl_get(const struct cm_acl *acl, const char *name, bool negative);

/* "rlidwka", "A".."H", or a word: read (rl), write (rlidwk), all (rlidwka), mail (lik), none. */
int cm_rights_parse(const char *word, uint32_t *rights, struct rx_error *err);
/* In AFS's order, "rlidwkaABCDEFGH"; "" for none. Returns text. */
const char *cm_rights_format(uint32_t rights, char text[CM_RIGHTS_TEXT]);

#endif
