/* What to tell a person about a fileserver's refusal, and what to learn from it: quota
 * and space get their numbers, missing rights the name of who lacks which. Called by the
 * operations of this room after their rotation loop, on the caller's thread, without
 * locks; may ask the server for the volume's status. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cm/internal.h"

/* "2,000" */
static const char *grouped(uint64_t n, char buf[32])
{
	char plain[24];
	size_t len = (size_t)snprintf(plain, sizeof(plain), "%llu", (unsigned long long)n), out = 0;

	for (size_t i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			buf[out++] = ',';
		buf[out++] = plain[i];
	}
	buf[out] = '\0';
	return buf;
}

static void tell_space(struct cm_vnode *v, struct cm_token *t, struct rx_error *err)
{
	struct cm_volume_status st;
	char a[32], b[32], text[sizeof(err->text)];

	if (cm_volume_status(v, t, &st, NULL))
		return;
	if (err->errnum == EDQUOT)
		snprintf(text, sizeof(text),
			 "quota of volume %.64s exceeded: %s KiB used of %s KiB; remove files or ask for more quota",
			 st.name, grouped(st.used_kib, a), grouped(st.quota_kib, b));
	else
		snprintf(text, sizeof(text),
			 "the server's partition with volume %.64s is full: %s KiB free of %s KiB; "
			 "ask its administrator",
			 st.name, grouped(st.partition_free_kib, a), grouped(st.partition_size_kib, b));
	memcpy(err->text, text, sizeof(text));
}

int cm_advise(struct cm_vnode *v, struct cm_token *t, uint32_t right, struct rx_error *err)
{
	struct rx_error own;
	char buf[384];

	if (!err)
		return -1;
	if (err->origin == RX_ORIGIN_AFS && err->code == 102) {
		err->errnum = ESTALE;
		cm_vnode_gone(v, err);
		return -1;
	}
	if (err->origin != RX_ORIGIN_AFS)
		return -1;
	switch (err->errnum) {
	case EDQUOT:
	case ENOSPC:
		tell_space(v, t, err);
		rx_error_prefix(err, "%s", cm_vnode_text(v, buf));
		break;
	case EACCES:
		cm_forget_rights(v, t);
		if (right) {
			cm_refuse(v, t, right, &own);
			memcpy(err->text, own.text, sizeof(err->text));
		}
		break;
	default:
		break;
	}
	return -1;
}
