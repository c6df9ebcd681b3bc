/* What setacl does to an access list; see acl_edit.h. */
#include "tools/acl_edit.h"

#include <errno.h>
#include <string.h>

#include "cm/acl.h"
#include "tools/format.h"

int acl_edit(const char *text, const char *const *pairs, int npairs, bool negative, bool clear, char out[ACL_EDIT_TEXT],
	     struct rx_error *err)
{
	struct cm_acl acl;
	uint32_t rights;
	size_t len;

	_Static_assert((int)ACL_EDIT_TEXT == (int)CM_ACL_TEXT, "the same bound");
	if (cm_acl_parse(text, strlen(text) + 1, &acl, err))
		return -1;
	if (clear)
		acl.npositive = acl.nnegative = 0;
	for (int i = 0; i < npairs; i++) {
		const char *name = pairs[2 * i], *letters = pairs[2 * i + 1];

		if (!parse_rights(letters, &rights))
			return rx_error_set(
				err, RX_ORIGIN_ERRNO, EINVAL, EINVAL,
				"\"%.40s\" are no rights; use letters of rlidwka, or read, write, all, none", letters);
		if (cm_acl_set(&acl, name, negative, rights, err))
			return -1;
	}
	return cm_acl_format(&acl, out, &len, err);
}

int acl_each(const char *text, acl_entry_fn *cb, void *arg, struct rx_error *err)
{
	struct cm_acl acl;

	if (cm_acl_parse(text, strlen(text) + 1, &acl, err))
		return -1;
	for (unsigned i = 0; i < acl.npositive; i++)
		cb(arg, false, acl.positive[i].name, acl.positive[i].rights);
	for (unsigned i = 0; i < acl.nnegative; i++)
		cb(arg, true, acl.negative[i].name, acl.negative[i].rights);
	return 0;
}
