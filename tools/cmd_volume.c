/* listquota, examine: the volume that a path lies in. */
#include <string.h>

#include "tools/cli.h"

static unsigned percent(uint64_t part, uint64_t whole)
{
	return whole ? (unsigned)(part * 100 / whole) : 0;
}

static json_t *status_json(const char *path, const struct cm_volume_status *vs)
{
	return json_pack("{s:o, s:I, s:o, s:I, s:I, s:I, s:I, s:b, s:b}", "path", cli_json_string(path), "volume",
			 (json_int_t)vs->volume, "name", cli_json_string(vs->name), "quota_kib",
			 (json_int_t)vs->quota_kib, "used_kib", (json_int_t)vs->used_kib, "partition_free_kib",
			 (json_int_t)vs->partition_free_kib, "partition_size_kib", (json_int_t)vs->partition_size_kib,
			 "read_only", vs->read_only, "online", vs->online);
}

static int get_status(struct cli *cli, const char *path, struct cm_vnode **v, struct cm_volume_status *vs)
{
	struct rx_error err = { 0 };

	*v = cli_walk(cli, path, 0);
	if (!*v)
		return -1;
	if (!cm_volume_status(*v, cli->token, vs, &err))
		return 0;
	cli_explain(cli, *v, 0, &err);
	cli_error(cli, path, &err);
	cm_vnode_put(*v);
	return -1;
}

int cmd_listquota(struct cli *cli, const struct cli_args *args)
{
	char quota[FORMAT_SIZE], used[FORMAT_SIZE], of_quota[FORMAT_SIZE];
	bool headed = false;
	int rc = 0;

	for (int i = 0; i < args->noperands && !cli_stopped(); i++) {
		struct cm_volume_status vs;
		struct cm_vnode *v;

		if (get_status(cli, args->operands[i], &v, &vs)) {
			rc = -1;
			continue;
		}
		cm_vnode_put(v);
		if (cli->json) {
			cli_result(cli, status_json(args->operands[i], &vs));
			continue;
		}
		if (!headed)
			printf("%-24s %14s %14s %6s %10s\n", "Volume", "Quota KiB", "Used KiB", "Used", "Partition");
		headed = true;
		if (vs.quota_kib) {
			format_count(vs.quota_kib, quota);
			snprintf(of_quota, sizeof(of_quota), "%u%%", percent(vs.used_kib, vs.quota_kib));
		} else {
			snprintf(quota, sizeof(quota), "no limit");
			snprintf(of_quota, sizeof(of_quota), "-");
		}
		printf("%-24s %14s %14s %6s %9u%%\n", vs.name, quota, format_count(vs.used_kib, used), of_quota,
		       percent(vs.partition_size_kib - vs.partition_free_kib, vs.partition_size_kib));
	}
	return rc;
}

/* VLDB site flags: 2 read-only, 4 read-write, 8 backup. */
static const char *site_kind(uint32_t flags)
{
	return flags & 4 ? "read-write" : flags & 2 ? "read-only" : flags & 8 ? "backup" : "?";
}

static void partition_name(uint32_t n, char name[16])
{
	if (n < 26)
		snprintf(name, 16, "/vicep%c", 'a' + n);
	else
		snprintf(name, 16, "/vicep%c%c", 'a' + (n - 26) / 26 % 26, 'a' + (n - 26) % 26);
}

static void examine_print(struct cm_vnode *v, const char *path, const struct cm_volume_status *vs,
			  const struct cm_volume_info *info)
{
	char a[FORMAT_SIZE], b[FORMAT_SIZE], addr[64], part[16];
	struct cm_fid fid = cm_vnode_fid(v);

	printf("%s\n  fid        %u.%u.%u\n", path, fid.volume, fid.vnode, fid.unique);
	printf("  volume     %s, number %u, in cell %s%s%s\n", vs->name, vs->volume, cm_vnode_cell(v),
	       vs->read_only ? ", read-only" : "", vs->online ? "" : ", off line");
	if (vs->quota_kib)
		printf("  used       %s of %s KiB (%u%%)\n", format_count(vs->used_kib, a),
		       format_count(vs->quota_kib, b), percent(vs->used_kib, vs->quota_kib));
	else
		printf("  used       %s KiB, no quota\n", format_count(vs->used_kib, a));
	printf("  partition  %s of %s KiB free\n", format_count(vs->partition_free_kib, a),
	       format_count(vs->partition_size_kib, b));
	if (!info)
		return;
	printf("  numbers    read-write %u, read-only %u, backup %u\n", info->ids[0], info->ids[1], info->ids[2]);
	for (unsigned i = 0; i < info->nsites; i++) {
		partition_name(info->sites[i].partition, part);
		printf("  site       %s %s, %s\n", rx_addr_text(&info->sites[i].addr, addr), part,
		       site_kind(info->sites[i].flags));
	}
}

static json_t *examine_json(struct cm_vnode *v, const char *path, const struct cm_volume_status *vs,
			    const struct cm_volume_info *info)
{
	struct cm_fid fid = cm_vnode_fid(v);
	json_t *o = status_json(path, vs), *sites = json_array();
	char addr[64], part[16];

	json_object_set_new(o, "cell", json_string(cm_vnode_cell(v)));
	json_object_set_new(
		o, "fid", json_pack("[I,I,I]", (json_int_t)fid.volume, (json_int_t)fid.vnode, (json_int_t)fid.unique));
	for (unsigned i = 0; info && i < info->nsites; i++) {
		partition_name(info->sites[i].partition, part);
		json_array_append_new(sites,
				      json_pack("{s:s, s:s, s:s}", "server", rx_addr_text(&info->sites[i].addr, addr),
						"partition", part, "kind", site_kind(info->sites[i].flags)));
	}
	json_object_set_new(o, "sites", sites);
	if (info)
		json_object_set_new(o, "numbers",
				    json_pack("{s:I, s:I, s:I}", "rw", (json_int_t)info->ids[0], "ro",
					      (json_int_t)info->ids[1], "backup", (json_int_t)info->ids[2]));
	return o;
}

int cmd_examine(struct cli *cli, const struct cli_args *args)
{
	int rc = 0;

	for (int i = 0; i < args->noperands && !cli_stopped(); i++) {
		const char *path = args->operands[i];
		struct cm_volume_status vs;
		struct cm_volume_info info, *known = NULL;
		struct rx_error err = { 0 };
		struct cm_vnode *v;

		if (get_status(cli, path, &v, &vs)) {
			rc = -1;
			continue;
		}
		if (!cm_volume_info(v, &info, &err))
			known = &info;
		else
			rc = cli_error(cli, path, &err);
		if (cli->json)
			cli_result(cli, examine_json(v, path, &vs, known));
		else
			examine_print(v, path, &vs, known);
		cm_vnode_put(v);
	}
	return rc;
}
