/* Numbers and names as people read them; see format.h. */
#include "tools/format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* n tenths of a unit. */
static char *tenths(double n, const char *unit, char buf[FORMAT_SIZE])
{
	uint64_t t = n < 1e15 ? (uint64_t)(n + 0.5) : 1000000000000000;

	snprintf(buf, FORMAT_SIZE, "%" PRIu64 ".%u %.4s", t / 10, (unsigned)(t % 10), unit);
	return buf;
}

char *format_size(uint64_t bytes, char buf[FORMAT_SIZE])
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)bytes / 1024;
	size_t u = 0;

	if (bytes < 1024) {
		snprintf(buf, FORMAT_SIZE, "%u B", (unsigned)bytes);
		return buf;
	}
	for (; v >= 1023.95 && u + 1 < sizeof(units) / sizeof(units[0]); u++)
		v /= 1024;
	return tenths(v * 10, units[u], buf);
}

char *format_count(uint64_t n, char buf[FORMAT_SIZE])
{
	char digits[FORMAT_SIZE];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
	char *p = buf;

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			*p++ = ',';
		*p++ = digits[i];
	}
	*p = 0;
	return buf;
}

char *format_rate(double rate, char buf[FORMAT_SIZE])
{
	if (!(rate > 0))
		rate = 0;
	if (rate < 1e6)
		return tenths(rate / 1e2, "kB/s", buf);
	return rate < 1e9 ? tenths(rate / 1e5, "MB/s", buf) : tenths(rate / 1e8, "GB/s", buf);
}

char *format_duration(double seconds, char buf[FORMAT_SIZE])
{
	unsigned s;

	if (!(seconds >= 0 && seconds < 7 * 86400)) {
		snprintf(buf, FORMAT_SIZE, "-:--");
		return buf;
	}
	s = (unsigned)(seconds + 0.5);
	if (s < 3600)
		snprintf(buf, FORMAT_SIZE, "%u:%02u", s / 60, s % 60);
	else
		snprintf(buf, FORMAT_SIZE, "%u:%02u:%02u", s / 3600, s / 60 % 60, s % 60);
	return buf;
}

char *format_time(int64_t seconds, bool zero_is_never, char buf[FORMAT_SIZE])
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (!seconds && zero_is_never)
		snprintf(buf, FORMAT_SIZE, "never");
	else if (!localtime_r(&t, &tm) || !strftime(buf, FORMAT_SIZE, "%Y-%m-%d %H:%M:%S", &tm))
		snprintf(buf, FORMAT_SIZE, "@%lld", (long long)seconds);
	return buf;
}

char *format_mode(char kind, uint32_t mode, char buf[FORMAT_SIZE])
{
	static const char bits[] = "rwxrwxrwx";

	buf[0] = kind;
	for (unsigned i = 0; i < 9; i++)
		buf[1 + i] = mode & (0400u >> i) ? bits[i] : '-';
	if (mode & 04000)
		buf[3] = mode & 0100 ? 's' : 'S';
	if (mode & 02000)
		buf[6] = mode & 0010 ? 's' : 'S';
	if (mode & 01000)
		buf[9] = mode & 0001 ? 't' : 'T';
	buf[10] = 0;
	return buf;
}

static const struct {
	char letter;
	uint32_t bit;
} rights_table[] = {
	{ 'r', 1 },        { 'l', 8 },        { 'i', 4 },        { 'd', 16 },       { 'w', 2 },
	{ 'k', 32 },       { 'a', 64 },       { 'A', 1u << 24 }, { 'B', 1u << 25 }, { 'C', 1u << 26 },
	{ 'D', 1u << 27 }, { 'E', 1u << 28 }, { 'F', 1u << 29 }, { 'G', 1u << 30 }, { 'H', 1u << 31 },
};

enum { RIGHTS = sizeof(rights_table) / sizeof(rights_table[0]), RIGHTS_SMALL = 7 };

char *format_rights(uint32_t rights, char buf[FORMAT_SIZE])
{
	char *p = buf;

	for (unsigned i = 0; i < RIGHTS; i++) {
		if (rights & rights_table[i].bit)
			*p++ = rights_table[i].letter;
	}
	*p = 0;
	if (p == buf)
		snprintf(buf, FORMAT_SIZE, "none");
	return buf;
}

char *format_rights_fixed(uint32_t rights, char buf[FORMAT_SIZE])
{
	for (unsigned i = 0; i < RIGHTS_SMALL; i++)
		buf[i] = rights & rights_table[i].bit ? rights_table[i].letter : '-';
	buf[RIGHTS_SMALL] = 0;
	return buf;
}

bool parse_rights(const char *text, uint32_t *rights)
{
	static const struct {
		const char *word;
		uint32_t rights;
	} words[] = { { "read", 9 }, { "write", 63 }, { "all", 127 }, { "none", 0 } };
	uint32_t sum = 0;

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcasecmp(words[i].word, text)) {
			*rights = words[i].rights;
			return true;
		}
	}
	for (const char *p = text; *p; p++) {
		unsigned i = 0;

		while (i < RIGHTS && rights_table[i].letter != *p)
			i++;
		if (i == RIGHTS)
			return false;
		sum |= rights_table[i].bit;
	}
	*rights = sum;
	return *text != 0;
}

char *format_printable(const char *text, char *buf, size_t size)
{
	size_t n = 0;

	for (; *text && n + 1 < size; text++) {
		unsigned char c = (unsigned char)*text;

		buf[n++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
	}
	buf[n] = 0;
	return buf;
}

char *format_progress(uint64_t done, uint64_t total, double rate, unsigned columns, char buf[256])
{
	char a[FORMAT_SIZE], b[FORMAT_SIZE], r[FORMAT_SIZE], t[FORMAT_SIZE], bar[41];
	unsigned width = columns > 100 ? 40 : columns > 80 ? 20 : columns > 64 ? 10 : 0, full;
	double part = total ? (double)done / (double)total : 0;
	double left = total && rate > 0 ? ((double)total - (double)done) / rate : -1;

	if (part > 1)
		part = 1;
	if (left < 0 && total && done >= total)
		left = 0;
	full = (unsigned)(part * width);
	memset(bar, '.', width);
	memset(bar, '#', full);
	bar[width] = 0;
	snprintf(buf, 256, "%3u%% %s%s%s%s of %s  %s  %s left", (unsigned)(part * 100), width ? "[" : "", bar,
		 width ? "] " : "", format_size(done, a), format_size(total, b), format_rate(rate, r),
		 format_duration(left, t));
	if (columns && columns < 256)
		buf[columns] = 0;
	return buf;
}
