/* Carries out packet actions: see link.h. The rules that fired on a packet are applied in
 * their order; one that drops or holds it ends that. */
#include "tools/fault/link.h"

#include <stdlib.h>
#include <string.h>

#include "tools/fault/match.h"
#include "tools/fault/memory.h"
#include "tools/fault/trace.h"

enum { UDP_IP_HEADERS = 28 };

void fault_link_init(struct fault_link *link, struct fault_set *set)
{
	*link = (struct fault_link){ .set = set, .trace = fault_set_trace(set) };
}

void fault_link_clear(struct fault_link *link)
{
	fault_queue_clear(&link->queue);
	while (link->waiting) {
		struct fault_out *next = link->waiting->next;

		free(link->waiting);
		link->waiting = next;
	}
}

static struct fault_out *new_out(enum fault_out_kind kind, uint64_t at, uint32_t flow, enum fault_dir dir,
				 const uint8_t *data, size_t len)
{
	struct fault_out *out = calloc(1, sizeof *out + len);

	if (!out)
		fault_no_memory();
	out->kind = kind;
	out->at = at;
	out->flow = flow;
	out->dir = dir;
	out->len = len;
	if (len)
		memcpy(out->data, data, len);
	return out;
}

/* What becomes of one packet. */
struct fate {
	uint64_t delay_us;
	bool lost;
	const struct fault_hit *hold, *reorder, *duplicate;
	struct fault_out *out;
};

static void flip(struct fault_out *out, uint64_t bits, uint64_t dice)
{
	for (uint64_t i = 0; i < bits && out->len; i++) {
		uint64_t bit = fault_random(&dice) % (out->len * 8);

		out->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

/* Too big for the path: gone, and the sender is told if the rule says so. */
static void mtu(struct fault_link *link, const struct fault_hit *h, struct fate *f, uint64_t now)
{
	struct fault_out *icmp;

	if (f->out->len + UDP_IP_HEADERS <= (size_t)h->action.number)
		return;
	f->lost = true;
	if (!h->action.flag)
		return;
	icmp = new_out(FAULT_OUT_ICMP, now, f->out->flow, f->out->dir, f->out->data, f->out->len);
	icmp->mtu = (uint32_t)h->action.number;
	fault_queue_push(&link->queue, icmp);
}

static void apply(struct fault_link *link, const struct fault_hit *h, struct fate *f, uint64_t now)
{
	switch (h->action.op) {
	case FAULT_DROP:
	case FAULT_BURST:
	case FAULT_PARTITION:
		f->lost = true;
		break;
	case FAULT_LIMIT:
		f->lost = h->overflow;
		f->delay_us += h->wait_us;
		break;
	case FAULT_DELAY:
		f->delay_us += h->action.time_us;
		break;
	case FAULT_JITTER:
		f->delay_us += h->random % (h->action.time_us + 1);
		break;
	case FAULT_HOLD:
		f->hold = h;
		break;
	case FAULT_REORDER:
		f->reorder = h;
		break;
	case FAULT_DUPLICATE:
		f->duplicate = h;
		break;
	case FAULT_TRUNCATE:
		if (f->out->len > (size_t)h->action.number)
			f->out->len = (size_t)h->action.number;
		break;
	case FAULT_FLIP:
		flip(f->out, (uint64_t)h->action.number, h->random);
		break;
	case FAULT_REBIND:
		fault_queue_push(&link->queue, new_out(FAULT_OUT_REBIND, now, f->out->flow, f->out->dir, NULL, 0));
		break;
	case FAULT_MTU:
		mtu(link, h, f, now);
		break;
	default:
		break;
	}
}

static void wait_for(struct fault_link *link, struct fault_out *out)
{
	struct fault_out **end = &link->waiting;

	while (*end)
		end = &(*end)->next;
	*end = out;
}

/* A packet of this flow and direction goes on: those that let others pass count it. */
static void passes(struct fault_link *link, const struct fault_out *by)
{
	for (struct fault_out **at = &link->waiting; *at;) {
		struct fault_out *w = *at;

		if (w->pass_left && w->flow == by->flow && w->dir == by->dir && !--w->pass_left) {
			*at = w->next;
			w->at = by->at;
			fault_queue_push(&link->queue, w);
		} else {
			at = &w->next;
		}
	}
}

static void schedule(struct fault_link *link, struct fate *f, uint64_t now)
{
	const struct fault_hit *d = f->duplicate;
	struct fault_out *out = f->out;

	out->at = now + f->delay_us;
	for (int64_t i = 1; d && i <= d->action.number; i++)
		fault_queue_push(&link->queue, new_out(FAULT_OUT_PACKET, out->at + (uint64_t)i * d->action.time_us,
						       out->flow, out->dir, out->data, out->len));
	if (f->hold) {
		out->at = UINT64_MAX;
		memcpy(out->gate, f->hold->action.text, sizeof out->gate);
		wait_for(link, out);
	} else if (f->reorder) {
		out->pass_left = (uint32_t)f->reorder->action.number;
		out->at += f->reorder->action.time_us;
		wait_for(link, out);
	} else {
		fault_queue_push(&link->queue, out);
		passes(link, out);
	}
}

static bool only_watched(const struct fault_hit *hits, unsigned n)
{
	while (n && (hits[n - 1].action.op == FAULT_PASS || hits[n - 1].action.op == FAULT_NOTE))
		n--;
	return !n;
}

bool fault_link_input(struct fault_link *link, uint64_t now, uint32_t flow, enum fault_dir dir,
		      const struct rx_addr *client, const struct rx_addr *server, const uint8_t *data, size_t len)
{
	struct fault_hit hits[FAULT_HITS];
	struct fault_packet_view view;
	struct fate f = { 0 };
	unsigned n;

	fault_packet_view(&view, dir, client, server, data, len);
	n = fault_set_packet(link->set, &view, hits);
	fault_trace_packet(link->trace, &view, hits, n);
	/* What goes straight on must not overtake what is due, nor what counts it. */
	if (only_watched(hits, n) && !link->waiting && fault_queue_first_at(&link->queue) > now) {
		link->forwarded++;
		return true;
	}
	f.out = new_out(FAULT_OUT_PACKET, now, flow, dir, data, len);
	for (unsigned i = 0; i < n && !f.lost && !f.hold; i++)
		apply(link, &hits[i], &f, now);
	if (f.lost) {
		link->dropped++;
		free(f.out);
	} else {
		schedule(link, &f, now);
	}
	return false;
}

uint64_t fault_link_deadline(const struct fault_link *link)
{
	uint64_t at = fault_queue_first_at(&link->queue);

	for (const struct fault_out *w = link->waiting; w; w = w->next) {
		if (w->at < at)
			at = w->at;
	}
	return at;
}

/* Moves those whose patience (or gate) has ended into the queue. */
static void give_up_waiting(struct fault_link *link, uint64_t now)
{
	for (struct fault_out **at = &link->waiting; *at;) {
		struct fault_out *w = *at;

		if (w->at <= now) {
			*at = w->next;
			fault_queue_push(&link->queue, w);
		} else {
			at = &w->next;
		}
	}
}

struct fault_out *fault_link_output(struct fault_link *link, uint64_t now)
{
	if (link->waiting)
		give_up_waiting(link, now);
	return fault_queue_pop(&link->queue, now);
}

void fault_link_release(struct fault_link *link, uint64_t now, const char *gate)
{
	for (struct fault_out *w = link->waiting; w; w = w->next) {
		if (!strcmp(w->gate, gate))
			w->at = now;
	}
}
