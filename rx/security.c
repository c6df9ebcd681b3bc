/* References to security objects. A connection holds one and drops it with its last packet,
 * on whatever thread holds the endpoint then. */
#include "rx/security.h"

struct rx_security *rx_security_get(struct rx_security *sec)
{
	__atomic_add_fetch(&sec->refs, 1, __ATOMIC_RELAXED);
	return sec;
}

void rx_security_put(struct rx_security *sec)
{
	if (sec && __atomic_sub_fetch(&sec->refs, 1, __ATOMIC_ACQ_REL) == 0)
		sec->ops->destroy(sec);
}
