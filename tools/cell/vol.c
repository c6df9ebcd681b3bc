/* The volume service: what `vos examine`, `vos listvol` and `vos partinfo` read. Each file
 * server has one partition, /vicepa. Runs on worker threads. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/cell/internal.h"

enum { PARTITION_KIB = 100000000, VOLUME_OK = 2 };

static void fill(const struct cell_volume *v, struct vol_info *out)
{
	*out = (struct vol_info){
		.volume = v->id,
		.type = v->kind,
		.parent = v->rw_id,
		.status = VOLUME_OK,
		.copy_date = v->copied,
		.in_use = 1,
		.creation_date = v->created,
		.update_date = v->updated,
		.file_count = (int32_t)v->files,
		.max_quota = (int32_t)v->quota,
		.size = (int32_t)v->used,
	};
	snprintf(out->name, sizeof(out->name), "%.31s", v->name);
}

static void fill_x(const struct cell_volume *v, struct vol_xinfo *out)
{
	struct vol_info i;

	fill(v, &i);
	*out = (struct vol_xinfo){
		.volume = i.volume,
		.type = i.type,
		.parent = i.parent,
		.status = i.status,
		.copy_date = i.copy_date,
		.in_use = i.in_use,
		.creation_date = i.creation_date,
		.update_date = i.update_date,
		.file_count = i.file_count,
		.max_quota = i.max_quota,
		.size = i.size,
	};
	memcpy(out->name, i.name, sizeof(out->name));
}

/* How many volumes the server has; 0 also for a partition that it does not have. */
static uint32_t count(const struct cell_request *rq, int32_t partition)
{
	uint32_t n = 0;

	for (const struct cell_volume *v = rq->cell->volumes; v; v = v->next)
		n += v->fs == rq->fs && partition == 0;
	return n;
}

#define LIST(op, fill)                                                                                                 \
	static int32_t op(struct rx_call *call, const struct afs_vol_##op##_in *in, struct afs_vol_##op##_out *out,    \
			  void *arg)                                                                                   \
	{                                                                                                              \
		struct cell_request *rq = arg;                                                                         \
                                                                                                                       \
		(void)call;                                                                                            \
		if (in->partition != 0)                                                                                \
			return CELL_VOL_BADPARTITION;                                                                  \
		rx_mutex_lock(&rq->cell->lock);                                                                        \
		out->entries.items = calloc(count(rq, 0) + 1, sizeof(*out->entries.items));                            \
		for (const struct cell_volume *v = rq->cell->volumes; v && out->entries.items; v = v->next)            \
			if (v->fs == rq->fs)                                                                           \
				fill(v, &out->entries.items[out->entries.len++]);                                      \
		rx_mutex_unlock(&rq->cell->lock);                                                                      \
		return out->entries.items ? 0 : ENOMEM;                                                                \
	}
LIST(ListVolumes, fill)
LIST(XListVolumes, fill_x)

#define LIST_ONE(op, fill)                                                                                             \
	static int32_t op(struct rx_call *call, const struct afs_vol_##op##_in *in, struct afs_vol_##op##_out *out,    \
			  void *arg)                                                                                   \
	{                                                                                                              \
		struct cell_request *rq = arg;                                                                         \
		const struct cell_volume *v = NULL;                                                                    \
                                                                                                                       \
		(void)call;                                                                                            \
		out->entries.items = calloc(1, sizeof(*out->entries.items));                                           \
		if (!out->entries.items)                                                                               \
			return ENOMEM;                                                                                 \
		rx_mutex_lock(&rq->cell->lock);                                                                        \
		if (in->partition == 0)                                                                                \
			v = cell_volume_find(rq->cell, rq->fs, in->volume);                                            \
		if (v)                                                                                                 \
			fill(v, &out->entries.items[out->entries.len++]);                                              \
		rx_mutex_unlock(&rq->cell->lock);                                                                      \
		return v ? 0 : ENODEV;                                                                                 \
	}
LIST_ONE(ListOneVolume, fill)
LIST_ONE(XListOneVolume, fill_x)

static int32_t ListPartitions(struct rx_call *call, const struct afs_vol_ListPartitions_in *in,
			      struct afs_vol_ListPartitions_out *out, void *arg)
{
	(void)call;
	(void)in;
	(void)arg;
	for (unsigned i = 1; i < 26; i++)
		out->partitions[i] = -1;
	return 0;
}

static int32_t XListPartitions(struct rx_call *call, const struct afs_vol_XListPartitions_in *in,
			       struct afs_vol_XListPartitions_out *out, void *arg)
{
	(void)call;
	(void)in;
	(void)arg;
	out->partitions.items = calloc(1, sizeof(int32_t));
	if (!out->partitions.items)
		return ENOMEM;
	out->partitions.len = 1;
	return 0;
}

static int32_t PartitionInfo(struct rx_call *call, const struct afs_vol_PartitionInfo_in *in,
			     struct afs_vol_PartitionInfo_out *out, void *arg)
{
	(void)call;
	(void)arg;
	if (strcmp(in->name, "/vicepa"))
		return CELL_VOL_BADPARTITION;
	out->partition = (struct vol_disk_partition){
		.total_usable = PARTITION_KIB,
		.free_blocks = PARTITION_KIB,
		.min_free = PARTITION_KIB, /* what vos shows as the total */
	};
	strcpy(out->partition.name, "/vicepa");
	strcpy(out->partition.device, "/vicepa");
	return 0;
}

static int32_t PartitionInfo64(struct rx_call *call, const struct afs_vol_PartitionInfo64_in *in,
			       struct afs_vol_PartitionInfo64_out *out, void *arg)
{
	(void)call;
	(void)arg;
	if (strcmp(in->name, "/vicepa"))
		return CELL_VOL_BADPARTITION;
	out->partition.total_usable = out->partition.free_blocks = out->partition.min_free = PARTITION_KIB;
	strcpy(out->partition.name, "/vicepa");
	strcpy(out->partition.device, "/vicepa");
	return 0;
}

static int32_t Monitor(struct rx_call *call, const struct afs_vol_Monitor_in *in, struct afs_vol_Monitor_out *out,
		       void *arg)
{
	(void)call;
	(void)in;
	(void)out;
	(void)arg;
	return 0; /* no transactions */
}

static int32_t TransCreate(struct rx_call *call, const struct afs_vol_TransCreate_in *in,
			   struct afs_vol_TransCreate_out *out, void *arg)
{
	(void)call;
	(void)in;
	(void)out;
	(void)arg;
	return CELL_VOL_BAD_ACCESS; /* volumes are not changed this way here */
}

const struct afs_vol_ops cell_vol_ops = {
	.vol_TransCreate = TransCreate,
	.vol_ListPartitions = ListPartitions,
	.vol_ListVolumes = ListVolumes,
	.vol_Monitor = Monitor,
	.vol_PartitionInfo = PartitionInfo,
	.vol_ListOneVolume = ListOneVolume,
	.vol_XListVolumes = XListVolumes,
	.vol_XListOneVolume = XListOneVolume,
	.vol_XListPartitions = XListPartitions,
	.vol_PartitionInfo64 = PartitionInfo64,
};
