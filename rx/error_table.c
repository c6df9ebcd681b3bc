/* What the abort codes of AFS services mean: name, nearest errno, and what a person can do
 * about it. Sorted by code, searched by halves. Constant data; any thread. */
#include "rx/error_table.h"

#include <errno.h>
#include <stddef.h>

#include "rx/rx.h"
#include "rx/security.h"

#define RX(code, errnum, meaning)                                                                                      \
	{                                                                                                              \
		code, RX_ORIGIN_RX, errnum, #code, meaning                                                             \
	}
#define AFS(code, name, errnum, meaning)                                                                               \
	{                                                                                                              \
		code, RX_ORIGIN_AFS, errnum, name, meaning                                                             \
	}
#define UBIK(n, name, errnum, meaning)                                                                                 \
	{                                                                                                              \
		5376 + (n), RX_ORIGIN_UBIK, errnum, name, meaning                                                      \
	}
#define PT(n, name, errnum, meaning)                                                                                   \
	{                                                                                                              \
		267264 + (n), RX_ORIGIN_PT, errnum, name, meaning                                                      \
	}
#define VL(n, name, errnum, meaning)                                                                                   \
	{                                                                                                              \
		363520 + (n), RX_ORIGIN_VL, errnum, name, meaning                                                      \
	}
#define KAD(code, errnum, meaning)                                                                                     \
	{                                                                                                              \
		code, RX_ORIGIN_RXKAD, errnum, #code, meaning                                                          \
	}
#define VOL(n, name, errnum, meaning)                                                                                  \
	{                                                                                                              \
		1492325120 + (n), RX_ORIGIN_VOL, errnum, name, meaning                                                 \
	}
#define ASN1(n, name)                                                                                                  \
	{                                                                                                              \
		1859794432 + (n), RX_ORIGIN_RXKAD, EKEYREJECTED, name,                                                 \
			"the server cannot read our Kerberos ticket; get a new one with kinit"                         \
	}

static const struct rx_error_entry entries[] = {
	AFS(-1001, "VNOCPS", EAGAIN, "the fileserver cannot reach its protection server; try again later"),
	RX(RXGEN_OPCODE, ENOTSUP, "the server does not know this operation; it may be an older version"),
	RX(RXGEN_DECODE, EIO, "the peer could not decode a message; report this as a bug"),
	RX(RXGEN_SS_UNMARSHAL, EIO, "the server could not decode our request; report this as a bug"),
	RX(RXGEN_SS_MARSHAL, EIO, "the server could not encode its reply"),
	RX(RXGEN_CC_UNMARSHAL, EIO, "the server's reply could not be decoded; report this as a bug"),
	RX(RXGEN_CC_MARSHAL, EIO, "our request could not be encoded or sent whole"),
	{ RX_RESTARTING, RX_ORIGIN_AFS, EBUSY, "VRESTARTING", "the fileserver is starting up; try again in a minute" },
	AFS(-32, "VSTORESHORT", EIO, "the fileserver got less data than announced; the store may be partly done"),
	AFS(-31, "VFETCHSHORT", EIO, "the fileserver could not send all of the data; try again"),
	RX(RX_MSGSIZE, EMSGSIZE, "a packet was too big for the path to the server"),
	RX(RX_ADDRINUSE, EADDRINUSE, "the UDP port is taken by another program"),
	RX(RX_USER_ABORT, EIO, "the peer gave the call up"),
	RX(RX_PROTOCOL_ERROR, EPROTO, "the peer broke the RX protocol, or says we did"),
	RX(RX_EOF, EIO, "the stream ended too early"),
	RX(RX_CALL_TIMEOUT, ETIMEDOUT, "the call took too long; the server may be overloaded"),
	RX(RX_INVALID_OPERATION, EOPNOTSUPP, "the server does not offer this service or its kind of security"),
	RX(RX_CALL_DEAD, ETIMEDOUT, "no answer; check that the server is up and UDP to it passes the firewalls"),
	AFS(101, "VSALVAGE", EIO, "the volume is damaged; its administrator must run the salvager"),
	AFS(102, "VNOVNODE", ESTALE, "the file is no longer on the server"),
	AFS(103, "VNOVOL", ENODEV, "the volume is not on this server"),
	AFS(104, "VVOLEXISTS", EEXIST, "the volume exists already"),
	AFS(105, "VNOSERVICE", ETIMEDOUT, "the volume is out of service"),
	AFS(106, "VOFFLINE", EIO, "the volume is offline; its administrator can bring it back"),
	AFS(107, "VONLINE", EEXIST, "the volume is online already"),
	AFS(108, "VDISKFULL", ENOSPC, "the server's disk is full; ask its administrator for room"),
	AFS(109, "VOVERQUOTA", EDQUOT, "the volume's quota is used up; remove files or ask for more"),
	AFS(110, "VBUSY", EBUSY, "the volume is busy, perhaps being moved or backed up; try again"),
	AFS(111, "VMOVED", ENXIO, "the volume has moved to another server"),
	AFS(112, "VIO", EIO, "the server failed to read or write its disk"),
	AFS(113, "VSALVAGING", EBUSY, "the volume is being repaired; try again in a few minutes"),
	AFS(120, "VRESTRICTED", EIO, "the volume may not be used that way"),
	AFS(1234, "VICECONNBAD", ECONNRESET, "the server has forgotten this connection"),
	AFS(1235, "VICETOKENDEAD", EKEYREJECTED, "the server has dropped the token; get a new one with kinit"),
	UBIK(0, "UNOQUORUM", EAGAIN, "too few database servers are in touch with each other; try again later"),
	UBIK(1, "UNOTSYNC", EAGAIN, "this database server does not take changes; another one does"),
	UBIK(2, "UNHOSTS", EIO, "too many database servers"),
	UBIK(3, "UIOERROR", EIO, "the database server failed to read or write its disk"),
	UBIK(4, "UINTERNAL", EIO, "the database server failed"),
	UBIK(5, "USYNC", EAGAIN, "the database changed meanwhile; try again"),
	UBIK(6, "UNOENT", ENOENT, "the database file is missing"),
	UBIK(7, "UBADLOCK", EIO, "the database server got a bad lock request"),
	UBIK(8, "UBADLOG", EIO, "the database server's log is damaged"),
	UBIK(9, "UBADHOST", EIO, "a database server is not known to the others"),
	UBIK(10, "UBADTYPE", EIO, "the database server got a bad transaction type"),
	UBIK(11, "UTWOENDS", EIO, "a database transaction was ended twice"),
	UBIK(12, "UDONE", EIO, "a database transaction had ended already"),
	UBIK(13, "UNOSERVERS", EHOSTUNREACH, "no database server answers"),
	UBIK(14, "UEOF", EIO, "the database ended too early"),
	UBIK(15, "ULOGIO", EIO, "the database server failed to write its log"),
	UBIK(26, "UDEADLOCK", EDEADLK, "two database transactions waited for each other; try again"),
	UBIK(27, "UEXCEPTION", EIO, "the database server failed"),
	UBIK(28, "UTPQFAIL", EIO, "the database server failed"),
	UBIK(29, "USKEWED", EIO, "the clocks of the database servers differ too much"),
	UBIK(30, "UNOLOCK", ENOLCK, "the database server has no lock left"),
	UBIK(31, "UNOACCESS", EACCES, "the database server refused access"),
	UBIK(32, "UNOSPC", ENOSPC, "the database server's disk is full"),
	UBIK(33, "UBADPATH", EIO, "the database's path is bad"),
	UBIK(34, "UBADF", EIO, "the database's file handle is bad"),
	UBIK(35, "UREINITIALIZE", EAGAIN, "the database server is starting anew; try again"),
	PT(0, "PREXIST", EEXIST, "a user or group of that name exists already"),
	PT(1, "PRIDEXIST", EEXIST, "a user or group of that number exists already"),
	PT(2, "PRNOIDS", ENOSPC, "no user or group number is left"),
	PT(3, "PRDBFAIL", EIO, "the protection database failed"),
	PT(4, "PRNOENT", ENOENT, "no such user or group"),
	PT(5, "PRPERM", EACCES, "you may not do that in the protection database"),
	PT(6, "PRNOTGROUP", EINVAL, "that is not a group"),
	PT(7, "PRNOTUSER", EINVAL, "that is not a user"),
	PT(8, "PRBADNAM", EINVAL, "that is not a valid name of a user or group"),
	PT(9, "PRBADARG", EINVAL, "the protection server found an argument invalid"),
	PT(10, "PRNOMORE", ENOENT, "there are no more entries"),
	PT(11, "PRDBBAD", EIO, "the protection database is damaged"),
	PT(12, "PRGROUPEMPTY", ENOENT, "the group has no members"),
	PT(13, "PRINCONSISTENT", EIO, "the protection database is damaged"),
	PT(14, "PRDBADDR", EIO, "the protection database is damaged"),
	PT(15, "PRTOOMANY", E2BIG, "there are too many groups or members"),
	PT(16, "PRNOMEM", ENOMEM, "the protection server is out of memory"),
	PT(17, "PRINTERNAL", EIO, "the protection server failed"),
	PT(18, "PRNAMETOOLONG", ENAMETOOLONG, "the name of the user or group is too long"),
	VL(0, "VL_IDEXIST", EEXIST, "a volume of that number exists already"),
	VL(1, "VL_IO", EIO, "the volume location database failed; another server may do"),
	VL(2, "VL_NAMEEXIST", EEXIST, "a volume of that name exists already"),
	VL(3, "VL_CREATEFAIL", EIO, "the volume's entry could not be made"),
	VL(4, "VL_NOENT", ENODEV, "no such volume in this cell"),
	VL(5, "VL_EMPTY", ENODEV, "the volume location database is empty"),
	VL(6, "VL_ENTDELETED", ENODEV, "the volume has been deleted"),
	VL(7, "VL_BADNAME", ENODEV, "that is not a valid name of a volume"),
	VL(8, "VL_BADINDEX", EINVAL, "the volume location server found an index invalid"),
	VL(9, "VL_BADVOLTYPE", EINVAL, "the volume location server found a volume type invalid"),
	VL(10, "VL_BADSERVER", EINVAL, "the volume location server found a server number invalid"),
	VL(11, "VL_BADPARTITION", EINVAL, "the volume location server found a partition invalid"),
	VL(12, "VL_REPSFULL", ENOSPC, "the volume has as many replicas as it can have"),
	VL(13, "VL_NOREPSERVER", ENOENT, "the volume has no such replica"),
	VL(14, "VL_DUPREPSERVER", EEXIST, "the volume has that replica already"),
	VL(15, "VL_RWNOTFOUND", ENOENT, "the volume has no read-write site"),
	VL(16, "VL_BADREFCOUNT", EIO, "the volume location database is damaged"),
	VL(17, "VL_SIZEEXCEEDED", E2BIG, "the answer is too long"),
	VL(18, "VL_BADENTRY", EIO, "the volume's entry is damaged"),
	VL(19, "VL_BADVOLIDBUMP", EINVAL, "the volume location server found a count invalid"),
	VL(20, "VL_IDALREADYHASHED", EIO, "the volume location database is damaged"),
	VL(21, "VL_ENTRYLOCKED", EBUSY, "the volume's entry is locked by an administrator; try again later"),
	VL(22, "VL_BADVOLOPER", EINVAL, "the volume location server found an operation invalid"),
	VL(23, "VL_BADRELLOCKTYPE", EINVAL, "the volume location server found a lock type invalid"),
	VL(24, "VL_RERELEASE", EIO, "the last release of the volume was not finished; release it again"),
	VL(25, "VL_BADSERVERFLAG", EINVAL, "the volume location server found a flag invalid"),
	VL(26, "VL_PERM", EACCES, "only an administrator of the cell may do that"),
	VL(27, "VL_NOMEM", ENOMEM, "the volume location server is out of memory; another one may do"),
	VL(28, "VL_BADVERSION", EIO, "the volume location database has an unknown version"),
	VL(29, "VL_INDEXERANGE", EINVAL, "the volume location server found an index out of range"),
	VL(30, "VL_MULTIPADDR", EEXIST, "the server's addresses belong to several entries"),
	VL(31, "VL_BADMASK", EINVAL, "the volume location server found a mask invalid"),
	VL(32, "VL_DBBAD", EIO, "the volume location database is damaged; another server may do"),
	KAD(RXKAD_INCONSISTENCY, EKEYREJECTED, "the security handshake went wrong; report this as a bug"),
	KAD(RXKAD_PACKETSHORT, EKEYREJECTED,
	    "a handshake packet was too short; if the Kerberos ticket is large, have the KDC leave out "
	    "authorisation data (no-auth-data-required)"),
	KAD(RXKAD_LEVELFAIL, EKEYREJECTED, "the server requires a higher protection level"),
	KAD(RXKAD_TICKETLEN, EKEYREJECTED,
	    "the Kerberos ticket is too large for AFS; have the KDC leave out authorisation data "
	    "(no-auth-data-required)"),
	KAD(RXKAD_OUTOFSEQUENCE, EKEYREJECTED, "an answer to an old challenge came late; try again"),
	KAD(RXKAD_NOAUTH, EKEYREJECTED, "the server does not accept the ticket yet; check the clocks of both machines"),
	KAD(RXKAD_BADKEY, EKEYREJECTED, "the session key cannot be used with AFS; get a new ticket with kinit"),
	KAD(RXKAD_BADTICKET, EKEYREJECTED,
	    "the server rejected the ticket; get a new one with kinit (a dot in the user's name or a "
	    "lifetime above 30 days can be the reason)"),
	KAD(RXKAD_UNKNOWNKEY, EKEYREJECTED,
	    "the server lacks the key of this ticket: the cell's key was changed and not given to this server, "
	    "or the ticket is older; get a new one with kinit"),
	KAD(RXKAD_EXPIRED, EKEYEXPIRED, "the token has expired; get a new one with kinit"),
	KAD(RXKAD_SEALEDINCON, EKEYREJECTED,
	    "a packet failed its integrity check: wrong key, or someone altered it on the way"),
	KAD(RXKAD_DATALEN, EKEYREJECTED,
	    "a packet's sealed length was wrong: wrong key, or someone altered it on the way"),
	KAD(RXKAD_ILLEGALLEVEL, EKEYREJECTED, "the server does not permit this protection level"),
	VOL(0, "VOLSERTRELE_ERROR", EIO, "the volume server failed to end a transaction"),
	VOL(1, "VOLSERNO_OP", ENOTSUP, "the volume server does not know this operation"),
	VOL(2, "VOLSERREAD_DUMPERROR", EIO, "the volume server could not read the dump"),
	VOL(3, "VOLSERDUMPERROR", EIO, "the volume server could not write the dump"),
	VOL(4, "VOLSERATTACH_ERROR", EIO, "the volume server could not attach the volume"),
	VOL(5, "VOLSERILLEGAL_PARTITION", EINVAL, "the server has no such partition"),
	VOL(6, "VOLSERDETACH_ERROR", EIO, "the volume server could not detach the volume"),
	VOL(7, "VOLSERBAD_ACCESS", EACCES, "only an administrator of the server may do that"),
	VOL(8, "VOLSERVLDB_ERROR", EIO, "the volume server cannot use the volume location database"),
	VOL(9, "VOLSERBADNAME", EINVAL, "that is not a valid name of a volume"),
	VOL(10, "VOLSERVOLMOVED", ENXIO, "the volume has moved to another server"),
	VOL(11, "VOLSERBADOP", EINVAL, "the volume cannot do that in its present state"),
	VOL(12, "VOLSERBADRELEASE", EIO, "the release of the volume failed"),
	VOL(13, "VOLSERVOLBUSY", EBUSY, "the volume is busy; try again"),
	VOL(14, "VOLSERNO_MEMORY", ENOMEM, "the volume server is out of memory"),
	VOL(15, "VOLSERNOVOL", ENODEV, "the volume is not on this server"),
	VOL(16, "VOLSERMULTIRWVOL", EEXIST, "the volume has several read-write sites"),
	VOL(17, "VOLSERFAILEDOP", EIO, "the volume server failed to do it for some volumes"),
	ASN1(0, "ASN1_BAD_TIMEFORMAT"),
	ASN1(1, "ASN1_MISSING_FIELD"),
	ASN1(2, "ASN1_MISPLACED_FIELD"),
	ASN1(3, "ASN1_TYPE_MISMATCH"),
	ASN1(4, "ASN1_OVERFLOW"),
	ASN1(5, "ASN1_OVERRUN"),
	ASN1(6, "ASN1_BAD_ID"),
};

const struct rx_error_entry *rx_error_lookup(int32_t code)
{
	size_t low = 0, high = sizeof(entries) / sizeof(entries[0]), mid;

	while (low < high) {
		mid = (low + high) / 2;
		if (entries[mid].code == code)
			return &entries[mid];
		if (entries[mid].code < code)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

int rx_error_uae(int64_t index)
{
	/* By index; 0: that error has no errno here. */
	static const uint8_t uae[] = {
		EPERM,
		ENOENT,
		ESRCH,
		EINTR,
		EIO,
		ENXIO,
		E2BIG,
		ENOEXEC,
		EBADF,
		ECHILD,
		EAGAIN,
		ENOMEM,
		EACCES,
		EFAULT,
		ENOTBLK,
		EBUSY,
		EEXIST,
		EXDEV,
		ENODEV,
		ENOTDIR,
		EISDIR,
		EINVAL,
		ENFILE,
		EMFILE,
		ENOTTY,
		ETXTBSY,
		EFBIG,
		ENOSPC,
		ESPIPE,
		EROFS,
		EMLINK,
		EPIPE,
		EDOM,
		ERANGE,
		EDEADLK,
		ENAMETOOLONG,
		ENOLCK,
		ENOSYS,
		ENOTEMPTY,
		ELOOP,
		EWOULDBLOCK,
		ENOMSG,
		EIDRM,
		ECHRNG,
		EL2NSYNC,
		EL3HLT,
		EL3RST,
		ELNRNG,
		EUNATCH,
		ENOCSI,
		EL2HLT,
		EBADE,
		EBADR,
		EXFULL,
		ENOANO,
		EBADRQC,
		EBADSLT,
		EBFONT,
		ENOSTR,
		ENODATA,
		ETIME,
		ENOSR,
		ENONET,
		ENOPKG,
		EREMOTE,
		ENOLINK,
		EADV,
		ESRMNT,
		ECOMM,
		EPROTO,
		EMULTIHOP,
		EDOTDOT,
		EBADMSG,
		EOVERFLOW,
		ENOTUNIQ,
		EBADFD,
		EREMCHG,
		ELIBACC,
		ELIBBAD,
		ELIBSCN,
		ELIBMAX,
		ELIBEXEC,
		EILSEQ,
		ERESTART,
		ESTRPIPE,
		EUSERS,
		ENOTSOCK,
		EDESTADDRREQ,
		EMSGSIZE,
		EPROTOTYPE,
		ENOPROTOOPT,
		EPROTONOSUPPORT,
		ESOCKTNOSUPPORT,
		EOPNOTSUPP,
		EPFNOSUPPORT,
		EAFNOSUPPORT,
		EADDRINUSE,
		EADDRNOTAVAIL,
		ENETDOWN,
		ENETUNREACH,
		ENETRESET,
		ECONNABORTED,
		ECONNRESET,
		ENOBUFS,
		EISCONN,
		ENOTCONN,
		ESHUTDOWN,
		ETOOMANYREFS,
		ETIMEDOUT,
		ECONNREFUSED,
		EHOSTDOWN,
		EHOSTUNREACH,
		EALREADY,
		EINPROGRESS,
		ESTALE,
		EUCLEAN,
		ENOTNAM,
		ENAVAIL,
		EISNAM,
		EREMOTEIO,
		EDQUOT,
		ENOMEDIUM,
		EMEDIUMTYPE,
		ECANCELED,
		ENOTRECOVERABLE,
		ENOTSUP,
		0,
		EOWNERDEAD,
		0,
		0,
	};

	return index >= 0 && (size_t)index < sizeof(uae) ? uae[index] : 0;
}
