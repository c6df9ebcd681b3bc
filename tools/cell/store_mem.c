/* The store that forgets: file data in chunks of memory, holes cost nothing. Chunks are
 * mapped, not allocated: what is removed goes back to the system at once, and of a small
 * file's chunk only the pages that were written exist. Called through struct
 * cell_store_ops with cell->lock held. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "tools/cell/internal.h"

enum { CHUNK = 65536 };

struct mem_content {
	struct cell_content content;
	uint8_t **chunks; /* NULL: a hole */
	size_t n;
};

static const struct cell_store_ops memory_ops;

static struct cell_content *mem_open(struct cell_store *store, const struct cell_vnode *v)
{
	struct mem_content *c = calloc(1, sizeof(*c));

	(void)v;
	if (!c)
		return NULL;
	c->content.ops = store->ops;
	return &c->content;
}

/* Zeros. */
static uint8_t *chunk_new(void)
{
	void *p = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void cut(struct mem_content *c, size_t n)
{
	for (size_t i = n; i < c->n; i++) {
		if (c->chunks[i])
			munmap(c->chunks[i], CHUNK);
	}
	if (n < c->n)
		c->n = n;
}

static void mem_close(struct cell_content *content, bool remove)
{
	struct mem_content *c = (struct mem_content *)content;

	(void)remove;
	cut(c, 0);
	free(c->chunks);
	free(c);
}

static int mem_read(struct cell_content *content, uint64_t off, void *buf, size_t len)
{
	struct mem_content *c = (struct mem_content *)content;
	uint8_t *to = buf;

	while (len) {
		size_t i = (size_t)(off / CHUNK), at = (size_t)(off % CHUNK);
		size_t n = CHUNK - at < len ? CHUNK - at : len;

		if (i < c->n && c->chunks[i])
			memcpy(to, c->chunks[i] + at, n);
		else
			memset(to, 0, n);
		to += n;
		off += n;
		len -= n;
	}
	return 0;
}

static int reserve(struct mem_content *c, uint64_t end)
{
	uint64_t want = (end + CHUNK - 1) / CHUNK;
	uint8_t **chunks;

	if (want <= c->n)
		return 0;
	if (want > SIZE_MAX / sizeof(*chunks) / 2)
		return EFBIG;
	chunks = realloc(c->chunks, (size_t)want * sizeof(*chunks));
	if (!chunks)
		return ENOSPC;
	memset(chunks + c->n, 0, ((size_t)want - c->n) * sizeof(*chunks));
	c->chunks = chunks;
	c->n = (size_t)want;
	return 0;
}

static int mem_write(struct cell_content *content, uint64_t off, const void *buf, size_t len)
{
	struct mem_content *c = (struct mem_content *)content;
	const uint8_t *from = buf;
	int rc = reserve(c, off + len);

	while (!rc && len) {
		size_t i = (size_t)(off / CHUNK), at = (size_t)(off % CHUNK);
		size_t n = CHUNK - at < len ? CHUNK - at : len;

		if (!c->chunks[i])
			c->chunks[i] = chunk_new();
		if (!c->chunks[i])
			return ENOSPC;
		memcpy(c->chunks[i] + at, from, n);
		from += n;
		off += n;
		len -= n;
	}
	return rc;
}

/* What lies behind the new end is zero when the file grows again. */
static int mem_truncate(struct cell_content *content, uint64_t length)
{
	struct mem_content *c = (struct mem_content *)content;
	size_t whole = (size_t)(length / CHUNK), at = (size_t)(length % CHUNK);

	if (at && whole < c->n && c->chunks[whole])
		memset(c->chunks[whole] + at, 0, CHUNK - at);
	cut(c, whole + (at != 0));
	return 0;
}

static void mem_free(struct cell_store *store)
{
	free(store);
}

static const struct cell_store_ops memory_ops = {
	.open = mem_open,
	.close = mem_close,
	.read = mem_read,
	.write = mem_write,
	.truncate = mem_truncate,
	.free = mem_free,
};

struct cell_store *cell_store_memory(void)
{
	struct cell_store *store = calloc(1, sizeof(*store));

	if (store)
		store->ops = &memory_ops;
	return store;
}
