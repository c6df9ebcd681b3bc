/* The audit log: a line for each of the file servers' calls, in the words that OpenAFS's own
 * has. Written by serve.c behind each call, on worker threads; one write(2) a line. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tools/cell/internal.h"

static const struct {
	const char *name, *event;
} events[] = {
	{ "FetchData", "FchData" },
	{ "FetchData64", "FchData" },
	{ "FetchACL", "FchACL" },
	{ "FetchStatus", "FchStat" },
	{ "StoreData", "StData" },
	{ "StoreData64", "StData" },
	{ "OldStoreACL", "StACL" },
	{ "StoreStatus", "StStat" },
	{ "RemoveFile", "RmFile" },
	{ "CreateFile", "CrFile" },
	{ "Rename", "RNmFile" },
	{ "Symlink", "SymLink" },
	{ "Link", "Link" },
	{ "MakeDir", "MakeDir" },
	{ "RemoveDir", "RmDir" },
	{ "SetLock", "SetLock" },
	{ "ExtendLock", "ExtLock" },
	{ "ReleaseLock", "RelLock" },
	{ "GetVolumeStatus", "GetVolS" },
	{ "SetVolumeStatus", "SetVolS" },
	{ "BulkStatus", "BFchSta" },
	{ "InlineBulkStatus", "InBFcSt" },
};

int cell_audit_open(struct cell *cell, const char *path, struct rx_error *err)
{
	cell->audit = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return cell->audit < 0 ? rx_error_errno(err, errno, "cannot write the audit log %s", path) : 0;
}

void cell_audit(const struct cell_request *rq, const struct cell_rpc *rpc, int32_t code)
{
	struct in_addr host = { .s_addr = htonl(rx_addr_ip(&rpc->client)) };
	char address[INET_ADDRSTRLEN], when[64];
	time_t now = (time_t)cell_now(rq->cell);
	struct tm tm;

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		if (strcmp(events[i].name, rpc->name))
			continue;
		strftime(when, sizeof(when), "%a %b %e %H:%M:%S %Y", localtime_r(&now, &tm));
		inet_ntop(AF_INET, &host, address, sizeof(address));
		/* A line that cannot be written is lost: the call has been done. */
		if (dprintf(rq->cell->audit, "%s [%d] EVENT AFS_SRX_%s CODE %d NAME %s HOST %s ID %d FID %u:%u:%u \n",
			    when, (int)getpid(), events[i].event, code, *rpc->user ? rpc->user : "--UnAuth--", address,
			    rq->caller.id, rpc->fid.volume, rpc->fid.vnode, rpc->fid.unique) < 0)
			return;
	}
}
