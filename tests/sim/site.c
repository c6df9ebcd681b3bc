/* See site.h. */
#include "tests/sim/site.h"

#include <stdio.h>

static const uint32_t fs_ip[] = { SIM_FS_IP, SIM_FS_IP + 1 };

static struct rx_net *port(void *arg, uint32_t ip, uint16_t number)
{
	return world_net_port(arg, ip, number);
}

void sim_site_init(struct sim_site *s, struct world *w, struct world_net *n, bool on_disk)
{
	*s = (struct sim_site){ .world = w,
				.net = n,
				.config = { .env = world_env(w),
					    .net = port,
					    .net_arg = n,
					    .name = SIM_CELL,
					    .db_ip = SIM_DB_IP,
					    .fs_ip = fs_ip,
					    .nfs = 1 } };
	sim_confdir();
	if (on_disk) {
		s->disk = sim_disk_new(w);
		s->config.disk = s->disk;
		s->config.data = "disk";
	}
}

static void cut(void *arg)
{
	struct sim_site *s = arg;

	world_net_cut(s->net, SIM_DB_IP, true);
	world_net_cut(s->net, SIM_FS_IP, true);
}

int sim_site_start(struct sim_site *s, struct rx_error *err)
{
	if (s->disk) /* a cell that cannot start is another test's */
		sim_disk_set_dice(s->disk, &(struct sim_disk_dice){ .brief = s->dice.brief });
	s->cell = cell_new(&s->config, err);
	if (s->disk)
		sim_disk_set_dice(s->disk, &s->dice);
	world_net_cut(s->net, SIM_DB_IP, false);
	world_net_cut(s->net, SIM_FS_IP, false);
	return s->cell ? 0 : -1;
}

void sim_site_set_dice(struct sim_site *s, const struct sim_disk_dice *dice)
{
	s->dice = *dice;
	if (s->disk)
		sim_disk_set_dice(s->disk, dice);
}

void sim_site_crash(struct sim_site *s)
{
	cut(s);
	if (s->disk)
		sim_disk_crash(s->disk);
}

void sim_site_crash_after(struct sim_site *s, uint64_t bytes)
{
	sim_disk_crash_after(s->disk, bytes, cut, s);
}

void sim_site_unplug(struct sim_site *s)
{
	sim_site_crash(s);
	s->unplugged = true;
}

int sim_site_restart(struct sim_site *s, struct rx_error *err)
{
	sim_site_crash(s);
	cell_free(s->cell);
	s->cell = NULL;
	if (s->disk && s->unplugged)
		sim_disk_unplug(s->disk);
	if (s->disk)
		sim_disk_revive(s->disk);
	s->unplugged = false;
	s->restarts++;
	return sim_site_start(s, err);
}

int sim_site_ticket(struct sim_site *s, unsigned client, const char *user, int64_t life_s, char spec[64],
		    struct rx_error *err)
{
	snprintf(spec, 64, "MEMORY:sim-%u-%.32s", client, user);
	return cell_write_ticket(s->cell, user, spec, life_s, err);
}

void sim_site_end(struct sim_site *s)
{
	cell_free(s->cell);
	if (s->disk)
		sim_disk_free(s->disk);
	s->cell = NULL;
	s->disk = NULL;
}
