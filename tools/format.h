/* Numbers and names as people read them. Pure. Each fills the caller's buffer and
 * returns it. */
#ifndef UMAFS_TOOLS_FORMAT_H
#define UMAFS_TOOLS_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FORMAT_SIZE = 32 };

/* "0 B", "1023 B", "1.0 KiB", "64.0 MiB", "5.0 GiB". */
char *format_size(uint64_t bytes, char buf[FORMAT_SIZE]);
/* "1,234,567". */
char *format_count(uint64_t n, char buf[FORMAT_SIZE]);
/* "38.2 MB/s" (powers of 1000, as networks count). */
char *format_rate(double bytes_per_second, char buf[FORMAT_SIZE]);
/* "0:04", "12:30", "3:05:00"; "-:--" for what is not known (negative or a week). */
char *format_duration(double seconds, char buf[FORMAT_SIZE]);
/* Local time, "2024-01-31 12:00:05"; "never" for 0 when `zero_is_never`. */
char *format_time(int64_t seconds, bool zero_is_never, char buf[FORMAT_SIZE]);
/* "-rw-r--r--"; kind is the first character. */
char *format_mode(char kind, uint32_t mode, char buf[FORMAT_SIZE]);
/* AFS rights as letters in the order rlidwka, then A to H; "none" for 0. */
char *format_rights(uint32_t rights, char buf[FORMAT_SIZE]);
/* As format_rights, of rlidwka only, with a "-" for each that is missing. */
char *format_rights_fixed(uint32_t rights, char buf[FORMAT_SIZE]);

/* Letters, or one of read write all none. False when it is neither. */
bool parse_rights(const char *text, uint32_t *rights);

/* A name with what would disturb a terminal replaced by "?". */
char *format_printable(const char *text, char *buf, size_t size);

/* One line of a progress bar, without a line end, at most `columns` wide.
 * total 0 = not known; rate 0 = none yet. */
char *format_progress(uint64_t done, uint64_t total, double rate, unsigned columns, char buf[256]);

#endif
