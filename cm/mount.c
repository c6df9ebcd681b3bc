/* Mount point texts and the choice of the volume; see cm/mount.h. */
#include "cm/mount.h"

#include <stdlib.h>
#include <string.h>

static bool all_digits(const char *s)
{
	return *s != '\0' && strspn(s, "0123456789") == strlen(s);
}

static bool ends_with(const char *s, const char *tail)
{
	size_t n = strlen(s), m = strlen(tail);

	return n > m && strcmp(s + n - m, tail) == 0;
}

static int parse_number(const char *s, uint32_t *out)
{
	unsigned long long n;

	if (!all_digits(s) || strlen(s) > 10)
		return -1;
	n = strtoull(s, NULL, 10);
	if (n > UINT32_MAX)
		return -1;
	*out = (uint32_t)n;
	return 0;
}

bool cm_mount_is(uint32_t mode, const char *text)
{
	size_t n = strlen(text);

	return (mode & 0111) == 0 && n >= 3 && (text[0] == '#' || text[0] == '%') && text[n - 1] == '.';
}

int cm_mount_parse_volume(const char *text, struct cm_mount *m)
{
	char *colon;

	m->suffix = CM_VOL_NONE;
	m->vnode = m->unique = 1;
	m->id = 0;
	if (text[0] == '\0' || strlen(text) >= sizeof(m->volume))
		return -1;
	strcpy(m->volume, text);
	colon = strchr(m->volume, ':');
	if (colon) {
		char *second = strchr(colon + 1, ':');

		if (!second)
			return -1;
		*colon = *second = '\0';
		if (parse_number(colon + 1, &m->vnode) || parse_number(second + 1, &m->unique))
			return -1;
		if (m->vnode == 0)
			return -1;
	}
	if (all_digits(m->volume))
		return parse_number(m->volume, &m->id) || m->id == 0 ? -1 : 0;
	if (colon)
		return -1;
	if (ends_with(m->volume, ".readonly")) {
		m->suffix = CM_VOL_RO;
		m->volume[strlen(m->volume) - strlen(".readonly")] = '\0';
	} else if (ends_with(m->volume, ".backup")) {
		m->suffix = CM_VOL_BK;
		m->volume[strlen(m->volume) - strlen(".backup")] = '\0';
	}
	return 0;
}

int cm_mount_parse(const char *text, struct cm_mount *m)
{
	size_t n = strlen(text);
	char rest[sizeof(m->cell) + sizeof(m->volume)], *colon, *volume;

	memset(m, 0, sizeof(*m));
	if (n < 3 || n - 2 >= sizeof(rest) || (text[0] != '#' && text[0] != '%'))
		return -1;
	m->force_rw = text[0] == '%';
	/* The last byte goes whatever it is. */
	memcpy(rest, text + 1, n - 2);
	rest[n - 2] = '\0';
	volume = rest;
	colon = strchr(rest, ':');
	if (colon) {
		*colon = '\0';
		volume = colon + 1;
		if (rest[0] == '\0' || strlen(rest) >= sizeof(m->cell) || strchr(rest, '/'))
			return -1;
		strcpy(m->cell, rest);
	}
	if (strchr(volume, '/'))
		return -1;
	return cm_mount_parse_volume(volume, m);
}

enum cm_volume_kind cm_mount_choose(const struct cm_mount *m, enum cm_volume_kind parent, bool crosses_cells,
				    const uint32_t ids[3])
{
	enum cm_volume_kind want = CM_VOL_RW;

	if (m->suffix != CM_VOL_NONE) {
		want = m->suffix;
	} else if (m->id != 0 && (m->force_rw || m->id != ids[CM_VOL_RW])) {
		/* A number names one member; only the RW's number may lead to the RO. */
		if (m->id == ids[CM_VOL_RO])
			want = CM_VOL_RO;
		else if (m->id == ids[CM_VOL_BK])
			want = CM_VOL_BK;
	} else if (!m->force_rw && (parent == CM_VOL_RO || crosses_cells) && ids[CM_VOL_RO] != 0) {
		want = CM_VOL_RO;
	}
	if (want == CM_VOL_BK && parent == CM_VOL_BK)
		return CM_VOL_NONE;
	return ids[want] != 0 ? want : CM_VOL_NONE;
}
