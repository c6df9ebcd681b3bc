/* rx_error: filling it, and classifying abort codes. */
#include <errno.h>

#include "rx/error_table.h"
#include "rx/rx.h"
#include "tests/unit.h"

static void test_set(void)
{
	struct rx_error err;
	char longer[400];

	CU_ASSERT_EQUAL(rx_error_set(NULL, RX_ORIGIN_RX, -1, EIO, "x"), -1);
	CU_ASSERT_EQUAL(rx_error_errno(NULL, EIO, "x"), -1);
	rx_error_prefix(NULL, "x");
	rx_error_clear(NULL);

	CU_ASSERT_EQUAL(rx_error_set(&err, RX_ORIGIN_VL, 363524, ENODEV, "no volume %s", "root"), -1);
	CU_ASSERT_EQUAL(err.origin, RX_ORIGIN_VL);
	CU_ASSERT_EQUAL(err.code, 363524);
	CU_ASSERT_EQUAL(err.errnum, ENODEV);
	CU_ASSERT_STRING_EQUAL(err.text, "no volume root");
	rx_error_prefix(&err, "mounting %s", "/afs");
	CU_ASSERT_STRING_EQUAL(err.text, "mounting /afs: no volume root");
	CU_ASSERT_EQUAL(err.code, 363524);

	CU_ASSERT_EQUAL(rx_error_errno(&err, ENOENT, "open %d", 7), -1);
	CU_ASSERT_STRING_EQUAL(err.text, "open 7: No such file or directory");
	CU_ASSERT_EQUAL(err.origin, RX_ORIGIN_ERRNO);
	CU_ASSERT_EQUAL(err.errnum, ENOENT);

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	rx_error_prefix(&err, "%s", longer);
	CU_ASSERT_EQUAL(strlen(err.text), sizeof(err.text) - 1);
	rx_error_errno(&err, ENOENT, "%s", longer);
	CU_ASSERT_EQUAL(strlen(err.text), sizeof(err.text) - 1);

	rx_error_clear(&err);
	CU_ASSERT_EQUAL(err.origin, RX_ORIGIN_NONE);
	CU_ASSERT_EQUAL(err.code, 0);
	CU_ASSERT_EQUAL(err.errnum, 0);
	CU_ASSERT_STRING_EQUAL(err.text, "");
}

static const struct {
	enum rx_origin service;
	int32_t code;
	enum rx_origin origin;
	int errnum;
	const char *says;
} aborts[] = {
	{ RX_ORIGIN_AFS, RX_CALL_DEAD, RX_ORIGIN_RX, ETIMEDOUT, "RX_CALL_DEAD (-1)" },
	{ RX_ORIGIN_VL, RX_CALL_TIMEOUT, RX_ORIGIN_RX, ETIMEDOUT, "RX_CALL_TIMEOUT" },
	{ RX_ORIGIN_AFS, RXGEN_OPCODE, RX_ORIGIN_RX, ENOTSUP, "RXGEN_OPCODE" },
	{ RX_ORIGIN_AFS, -100, RX_ORIGIN_AFS, EBUSY, "VRESTARTING" },
	{ RX_ORIGIN_AFS, -999, RX_ORIGIN_RX, EIO, "-999" },
	{ RX_ORIGIN_AFS, INT32_MIN, RX_ORIGIN_RX, EIO, "-2147483648" },
	{ RX_ORIGIN_AFS, INT32_MAX, RX_ORIGIN_AFS, EIO, "2147483647" },
	{ RX_ORIGIN_AFS, 0, RX_ORIGIN_AFS, EIO, "0" },
	{ RX_ORIGIN_AFS, 13, RX_ORIGIN_AFS, EACCES, "EACCES" },
	{ RX_ORIGIN_AFS, 100, RX_ORIGIN_AFS, ENETDOWN, "ENETDOWN" },
	{ RX_ORIGIN_AFS, 102, RX_ORIGIN_AFS, ESTALE, "VNOVNODE" },
	{ RX_ORIGIN_VL, 102, RX_ORIGIN_VL, ENETRESET, "ENETRESET" },
	{ RX_ORIGIN_AFS, 103, RX_ORIGIN_AFS, ENODEV, "VNOVOL" },
	{ RX_ORIGIN_VOL, 103, RX_ORIGIN_AFS, ENODEV, "VNOVOL" },
	{ RX_ORIGIN_AFS, 108, RX_ORIGIN_AFS, ENOSPC, "VDISKFULL" },
	{ RX_ORIGIN_AFS, 109, RX_ORIGIN_AFS, EDQUOT, "VOVERQUOTA" },
	{ RX_ORIGIN_AFS, 110, RX_ORIGIN_AFS, EBUSY, "VBUSY" },
	{ RX_ORIGIN_AFS, 111, RX_ORIGIN_AFS, ENXIO, "VMOVED" },
	{ RX_ORIGIN_AFS, 120, RX_ORIGIN_AFS, EIO, "VRESTRICTED" },
	{ RX_ORIGIN_AFS, 122, RX_ORIGIN_AFS, EDQUOT, "EDQUOT" },
	{ RX_ORIGIN_AFS, 400, RX_ORIGIN_AFS, EIO, "400" },
	{ RX_ORIGIN_VL, 5377, RX_ORIGIN_UBIK, EAGAIN, "UNOTSYNC" },
	{ RX_ORIGIN_VL, 5376 + 20, RX_ORIGIN_UBIK, EIO, "5396" },
	{ RX_ORIGIN_AFS, 267268, RX_ORIGIN_PT, ENOENT, "PRNOENT" },
	{ RX_ORIGIN_AFS, 363524, RX_ORIGIN_VL, ENODEV, "VL_NOENT" },
	{ RX_ORIGIN_AFS, RXKAD_EXPIRED, RX_ORIGIN_RXKAD, EKEYEXPIRED, "RXKAD_EXPIRED (19270409)" },
	{ RX_ORIGIN_AFS, RXKAD_UNKNOWNKEY, RX_ORIGIN_RXKAD, EKEYREJECTED, "RXKAD_UNKNOWNKEY" },
	{ RX_ORIGIN_AFS, RXKAD_ILLEGALLEVEL, RX_ORIGIN_RXKAD, EKEYREJECTED, "RXKAD_ILLEGALLEVEL" },
	{ RX_ORIGIN_AFS, 19270413, RX_ORIGIN_RXKAD, EKEYREJECTED, "19270413" },
	{ RX_ORIGIN_AFS, 1859794433, RX_ORIGIN_RXKAD, EKEYREJECTED, "ASN1_MISSING_FIELD" },
	{ RX_ORIGIN_AFS, 49733377, RX_ORIGIN_AFS, ENOENT, "ENOENT" },
	{ RX_ORIGIN_AFS, 49733376, RX_ORIGIN_AFS, EPERM, "EPERM" },
	{ RX_ORIGIN_AFS, 49733376 + 37, RX_ORIGIN_AFS, ENOSYS, "ENOSYS" },
	{ RX_ORIGIN_AFS, 49733376 + 57, RX_ORIGIN_AFS, EBFONT, "EBFONT" },
	{ RX_ORIGIN_AFS, 49733376 + 88, RX_ORIGIN_AFS, EMSGSIZE, "EMSGSIZE" },
	{ RX_ORIGIN_AFS, 49733376 + 120, RX_ORIGIN_AFS, EDQUOT, "EDQUOT" },
	{ RX_ORIGIN_AFS, 49733376 + 126, RX_ORIGIN_AFS, EIO, "49733502" },
	{ RX_ORIGIN_AFS, 49733376 + 127, RX_ORIGIN_AFS, EOWNERDEAD, "EOWNERDEAD" },
	{ RX_ORIGIN_AFS, 49733376 + 255, RX_ORIGIN_AFS, EIO, "49733631" },
	{ RX_ORIGIN_VOL, 1492325127, RX_ORIGIN_VOL, EACCES, "VOLSERBAD_ACCESS" },
};

static void test_abort(void)
{
	struct rx_error err;

	CU_ASSERT_EQUAL(rx_error_abort(NULL, RX_ORIGIN_AFS, 102), -1);
	for (size_t i = 0; i < sizeof(aborts) / sizeof(aborts[0]); i++) {
		CU_ASSERT_EQUAL(rx_error_abort(&err, aborts[i].service, aborts[i].code), -1);
		CU_ASSERT_EQUAL(err.origin, aborts[i].origin);
		CU_ASSERT_EQUAL(err.code, aborts[i].code);
		CU_ASSERT_EQUAL(err.errnum, aborts[i].errnum);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, aborts[i].says));
		if (err.errnum != aborts[i].errnum || !strstr(err.text, aborts[i].says))
			printf("\n    %d: errno %d, \"%s\"", err.code, err.errnum, err.text);
	}
}

/* The table is searched by halves; every sentence must fit. */
static void test_every_code(void)
{
	static const int32_t bases[][2] = { { -1010, 1300 },           { 5300, 5500 },
					    { 267200, 267300 },        { 363500, 363600 },
					    { 19270400, 19270413 },    { 1492325120, 1492325138 },
					    { 1859794432, 1859794439 } };
	struct rx_error err;
	unsigned known = 0;

	for (size_t b = 0; b < sizeof(bases) / sizeof(bases[0]); b++)
		for (int32_t code = bases[b][0]; code < bases[b][1]; code++) {
			const struct rx_error_entry *entry = rx_error_lookup(code);

			known += entry != NULL;
			CU_ASSERT(!entry || (entry->code == code && entry->errnum > 0));
			rx_error_abort(&err, RX_ORIGIN_AFS, code);
			CU_ASSERT(err.errnum > 0 && err.code == code && err.origin != RX_ORIGIN_NONE);
			CU_ASSERT(strlen(err.text) < sizeof(err.text) - 1);
		}
	CU_ASSERT_EQUAL(known, 150);
	CU_ASSERT_EQUAL(rx_error_uae(-1), 0);
	CU_ASSERT_EQUAL(rx_error_uae(130), 0);
}

static void test_origins(void)
{
	for (int o = RX_ORIGIN_NONE; o <= RX_ORIGIN_KRB5; o++)
		CU_ASSERT_STRING_NOT_EQUAL(rx_origin_name((enum rx_origin)o), "unknown");
	CU_ASSERT_STRING_EQUAL(rx_origin_name((enum rx_origin)99), "unknown");
}

UNIT_MAIN("error", { "filling, prefixing, clearing; NULL is fine; long text is cut", test_set },
	  { "SEC-36 abort codes: origin, errno, name (the injecting server is elsewhere)", test_abort },
	  { "every known code is found and its sentence fits", test_every_code },
	  { "every origin has a name", test_origins })
