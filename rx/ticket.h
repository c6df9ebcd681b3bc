/* Acceptance of Kerberos 5 service tickets by an rxkad server: rx/rxkad_server.c calls it
 * with the bytes of a RESPONSE, before anything is known of the peer. */
#ifndef UMAFS_RX_TICKET_H
#define UMAFS_RX_TICKET_H

#include <stddef.h>
#include <stdint.h>

#include "rx/error.h"
#include "rx/security.h"

enum { RXKAD_NAME_MAX = 63 };

/* What a good ticket says. */
struct rxkad_ticket {
	char name[RXKAD_NAME_MAX + 1], instance[RXKAD_NAME_MAX + 1], realm[RXKAD_NAME_MAX + 1];
	uint8_t key[8]; /* rxkad's, derived from the session key */
	int64_t start, end;
};

/* The keys of a service. Reads the system's Kerberos configuration: not on a hot path. */
struct rxkad_keyring;

struct rxkad_keyring *rxkad_keyring_new(const struct rxkad_service_key *keys, size_t n, struct rx_error *err);
void rxkad_keyring_free(struct rxkad_keyring *ring);

/* 0, or the code to refuse the ticket with. kvno is the RESPONSE's field, which tells the
 * form of the ticket. Any thread. */
int rxkad_ticket_accept(struct rxkad_keyring *ring, uint32_t kvno, const uint8_t *ticket, size_t len, int64_t wall_s,
			struct rxkad_ticket *out);

/* "name[.instance][@realm]", without the realm when it is the local one. */
void rxkad_ticket_identity(const struct rxkad_ticket *ticket, const char *local_realm, char name[256]);

#endif
