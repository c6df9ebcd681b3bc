/* The callback service: what fileservers and cmdebug ask of a client. All handlers run
 * inline on the thread that holds the loop: they mark, wake and answer, take only short
 * locks, and never call a server, wait for a change under way or for a page. Callers are
 * not authenticated, so they can make us forget, never believe. */
#include <stdlib.h>
#include <string.h>

#include "cm/internal.h"
#include "rx/maybe.h"

enum { STATE_STATD = 1, STATE_RO = 4, MV_PLAIN = 0, MV_MOUNT = 1, MV_ROOT = 2, XSTATS_VERSION = 2 };

static void trace_call(struct cm *cm, struct rx_call *call, const char *name, const char *detail)
{
	char addr[64];
	struct cm_trace_event ev = { .what = "callback", .name = name, .detail = detail };

	rx_addr_text(rx_call_peer(call), addr);
	ev.server = addr;
	ev.start_us = ev.end_us = rx_now_us(cm->env);
	cm_trace(cm, &ev);
}

static void remember_break(struct cm *cm, const struct afs_fid *fid)
{
	rx_mutex_lock(&cm->lock);
	cm->ring[cm->ring_next].fid = cm_fid_of(fid);
	cm->ring[cm->ring_next].when_us = rx_now_us(cm->env);
	cm->ring_next = (cm->ring_next + 1) % CM_BREAK_RING;
	rx_mutex_unlock(&cm->lock);
}

bool cm_break_heard(struct cm *cm, const struct cm_fid *fid, uint64_t since_us)
{
	bool heard = UMAFS_MAYBE(cm->env, BREAK_THOUGHT_HEARD);

	rx_mutex_lock(&cm->lock);
	/* If the oldest one kept is that young, ours may have been pushed out. */
	if (cm->ring[cm->ring_next].when_us >= since_us && cm->ring[cm->ring_next].when_us != 0)
		heard = true;
	for (unsigned i = 0; i < CM_BREAK_RING && !heard; i++) {
		const struct cm_fid_break *b = &cm->ring[i];

		heard = b->when_us >= since_us && b->when_us != 0 && b->fid.volume == fid->volume &&
			(b->fid.vnode == 0 || (b->fid.vnode == fid->vnode && b->fid.unique == fid->unique));
	}
	rx_mutex_unlock(&cm->lock);
	return heard;
}

static bool is_fid(const struct cm_vnode *v, const void *what)
{
	const struct afs_fid *f = what;

	return v->fid.volume == f->volume && v->fid.vnode == f->vnode && v->fid.unique == f->unique;
}

static bool in_volume(const struct cm_vnode *v, const void *what)
{
	return v->fid.volume == ((const struct afs_fid *)what)->volume;
}

static void break_volume(struct cm *cm, const struct afs_fid *fid)
{
	rx_mutex_lock(&cm->lock);
	for (struct cm_volume *vol = cm->volumes; vol; vol = vol->next) {
		if (vol->id != fid->volume)
			continue;
		vol->gen++;
		/* Released or moved: where it is must be asked again. */
		vol->family->loaded_us = 0;
	}
	rx_mutex_unlock(&cm->lock);
	cm_vnodes_break(cm, in_volume, fid);
}

static int32_t op_callback(struct rx_call *call, const struct afs_cb_CallBack_in *in, struct afs_cb_CallBack_out *out,
			   void *arg)
{
	struct cm *cm = arg;

	(void)out;
	for (uint32_t i = 0; i < in->fids.len; i++) {
		const struct afs_fid *fid = &in->fids.items[i];

		if (fid->volume == 0)
			continue;
		remember_break(cm, fid);
		if (fid->vnode == 0)
			break_volume(cm, fid);
		else
			cm_vnodes_break_fid(cm, fid, is_fid);
	}
	trace_call(cm, call, "CallBack", "");
	return 0;
}

static void reset(struct cm *cm, struct cm_server *s)
{
	struct cm_server *all;

	if (s) {
		cm_server_reset(s);
		cm_vnodes_reset(cm, s);
		return;
	}
	/* From somebody we do not know: it may be any of ours by another address. */
	rx_mutex_lock(&cm->lock);
	all = cm->servers;
	rx_mutex_unlock(&cm->lock);
	for (; all; all = all->next) {
		if (!all->is_db)
			cm_server_reset(all);
	}
	cm_vnodes_reset(cm, NULL);
}

static int32_t op_init(struct rx_call *call, const struct afs_cb_InitCallBackState_in *in,
		       struct afs_cb_InitCallBackState_out *out, void *arg)
{
	(void)in;
	(void)out;
	reset(arg, cm_server_find_addr(arg, rx_call_peer(call)));
	trace_call(arg, call, "InitCallBackState", "");
	return 0;
}

static int32_t op_init3(struct rx_call *call, const struct afs_cb_InitCallBackState3_in *in,
			struct afs_cb_InitCallBackState3_out *out, void *arg)
{
	struct cm_server *s = cm_server_find_uuid(arg, &in->server);

	(void)out;
	if (!s)
		s = cm_server_find_addr(arg, rx_call_peer(call));
	reset(arg, s);
	trace_call(arg, call, "InitCallBackState3", "");
	return 0;
}

static int32_t op_probe(struct rx_call *call, const struct afs_cb_Probe_in *in, struct afs_cb_Probe_out *out, void *arg)
{
	(void)in;
	(void)out;
	trace_call(arg, call, "Probe", "");
	return 0;
}

static int32_t op_probe_uuid(struct rx_call *call, const struct afs_cb_ProbeUuid_in *in,
			     struct afs_cb_ProbeUuid_out *out, void *arg)
{
	struct cm *cm = arg;

	(void)out;
	trace_call(cm, call, "ProbeUuid", "");
	return afs_uuid_equal(&in->client, &cm->uuid) ? 0 : 1;
}

static int32_t op_who(struct rx_call *call, const struct afs_cb_WhoAreYou_in *in, struct afs_cb_WhoAreYou_out *out,
		      void *arg)
{
	struct cm *cm = arg;

	(void)in;
	/* No addresses: the server sees where we are; behind a NAT ours would be others'. */
	out->addr.uuid = cm->uuid;
	trace_call(cm, call, "WhoAreYou", "");
	return 0;
}

static int32_t op_tell(struct rx_call *call, const struct afs_cb_TellMeAboutYourself_in *in,
		       struct afs_cb_TellMeAboutYourself_out *out, void *arg)
{
	struct cm *cm = arg;

	(void)in;
	out->addr.uuid = cm->uuid;
	out->capabilities.items = malloc(sizeof(uint32_t));
	if (!out->capabilities.items)
		return RXGEN_SS_MARSHAL;
	out->capabilities.len = 1;
	out->capabilities.items[0] = AFS_CAP_ERRORTRANS;
	trace_call(cm, call, "TellMeAboutYourself", "");
	return 0;
}

static int32_t op_get_lock(struct rx_call *call, const struct afs_cb_GetLock_in *in, struct afs_cb_GetLock_out *out,
			   void *arg)
{
	(void)call;
	(void)in;
	(void)out;
	(void)arg;
	return 1; /* there are none of that kind */
}

static int32_t get_ce(struct cm *cm, int32_t index, struct afs_db_cache_entry64 *e)
{
	struct cm_vnode *v = index < 0 ? NULL : cm_vnode_nth(cm, (unsigned)index);
	uint64_t now = rx_now_us(cm->env);
	const struct cm_server *s;

	if (!v)
		return 1;
	/* Not an address, but 0 would make cmdebug take it for a sleeping process. */
	e->addr = (uint32_t)index + 1;
	rx_mutex_lock(&v->lock);
	s = v->promise.held ? v->promise.server : NULL;
	e->cell = v->cell->number;
	e->fid = cm_fid_wire(&v->fid);
	e->length = (int64_t)v->attr.size;
	e->data_version = (uint32_t)v->attr.data_version;
	if (cm_vnode_good(v)) {
		e->states = STATE_STATD;
		e->expires =
			(uint32_t)(cm->env->ops->wall_s(cm->env) + (int64_t)((v->promise.until_us - now) / 1000000));
	}
	if (v->volume->kind != CM_VOL_RW)
		e->states = (char)(e->states | STATE_RO);
	e->mvstat = v->attr.type == CM_MOUNT ? MV_MOUNT : v->fid.vnode == 1 ? MV_ROOT : MV_PLAIN;
	rx_mutex_unlock(&v->lock);
	rx_mutex_lock(&cm->lock);
	e->refcount = (int16_t)(v->refs > INT16_MAX ? INT16_MAX : v->refs);
	e->callback = s && s->naddrs > 0 ? rx_addr_ip(&s->addrs[0].addr) : 0;
	rx_mutex_unlock(&cm->lock);
	cm_vnode_put(v);
	return 0;
}

static int32_t op_get_ce64(struct rx_call *call, const struct afs_cb_GetCE64_in *in, struct afs_cb_GetCE64_out *out,
			   void *arg)
{
	(void)call;
	return get_ce(arg, in->index, &out->entry);
}

static int32_t op_get_ce(struct rx_call *call, const struct afs_cb_GetCE_in *in, struct afs_cb_GetCE_out *out,
			 void *arg)
{
	struct afs_db_cache_entry64 e;
	struct afs_db_cache_entry *o = &out->entry;
	int32_t rc;

	(void)call;
	memset(&e, 0, sizeof(e));
	rc = get_ce(arg, in->index, &e);
	o->addr = e.addr;
	o->cell = e.cell;
	o->fid = e.fid;
	o->length = (int32_t)(e.length > INT32_MAX ? INT32_MAX : e.length);
	o->data_version = e.data_version;
	o->lock = e.lock;
	o->callback = e.callback;
	o->expires = e.expires;
	o->refcount = e.refcount;
	o->opens = e.opens;
	o->writers = e.writers;
	o->mvstat = e.mvstat;
	o->states = e.states;
	return rc;
}

static int32_t op_xstats_version(struct rx_call *call, const struct afs_cb_XStatsVersion_in *in,
				 struct afs_cb_XStatsVersion_out *out, void *arg)
{
	(void)call;
	(void)in;
	(void)arg;
	out->version = XSTATS_VERSION;
	return 0;
}

static int32_t op_get_xstats(struct rx_call *call, const struct afs_cb_GetXStats_in *in,
			     struct afs_cb_GetXStats_out *out, void *arg)
{
	struct cm *cm = arg;

	(void)call;
	if (in->collection != 0)
		return 1;
	out->server_version = XSTATS_VERSION;
	out->time = (int32_t)cm->env->ops->wall_s(cm->env);
	return 0;
}

static int32_t op_prefs(struct rx_call *call, const struct afs_cb_GetServerPrefs_in *in,
			struct afs_cb_GetServerPrefs_out *out, void *arg)
{
	struct cm *cm = arg;
	int32_t n = in->index;

	(void)call;
	out->address = UINT32_MAX;
	out->rank = -1;
	if (n < 0)
		return 0;
	rx_mutex_lock(&cm->lock);
	for (const struct cm_server *s = cm->servers; s; s = s->next) {
		if (s->is_db || s->naddrs == 0 || n-- > 0)
			continue;
		out->address = rx_addr_ip(&s->addrs[0].addr);
		out->rank = (int32_t)s->addrs[0].failures;
		break;
	}
	rx_mutex_unlock(&cm->lock);
	return 0;
}

/* Past the end: an empty name and no hosts. */
static int32_t describe_cell(const struct cm_cell *c, char **name, uint32_t *len, uint32_t **hosts)
{
	*name = strdup(c ? c->name : "");
	if (!*name)
		return RXGEN_SS_MARSHAL;
	if (!c || c->nservers == 0)
		return 0;
	*hosts = calloc(CM_CELL_SERVERS, sizeof(uint32_t));
	if (!*hosts)
		return RXGEN_SS_MARSHAL;
	for (unsigned i = 0; i < c->nservers; i++)
		(*hosts)[i] = rx_addr_ip(&c->servers[i]->addrs[0].addr);
	*len = c->nservers;
	return 0;
}

static int32_t op_cell_db(struct rx_call *call, const struct afs_cb_GetCellServDB_in *in,
			  struct afs_cb_GetCellServDB_out *out, void *arg)
{
	(void)call;
	return describe_cell(in->index < 0 ? NULL : cm_cell_nth(arg, (unsigned)in->index), &out->name, &out->hosts.len,
			     &out->hosts.items);
}

static int32_t op_cell_num(struct rx_call *call, const struct afs_cb_GetCellByNum_in *in,
			   struct afs_cb_GetCellByNum_out *out, void *arg)
{
	(void)call;
	return describe_cell(in->cell < 1 ? NULL : cm_cell_nth(arg, (unsigned)in->cell - 1), &out->name,
			     &out->hosts.len, &out->hosts.items);
}

static int32_t op_local_cell(struct rx_call *call, const struct afs_cb_GetLocalCell_in *in,
			     struct afs_cb_GetLocalCell_out *out, void *arg)
{
	(void)call;
	(void)in;
	out->name = strdup(((struct cm *)arg)->local->name);
	return out->name ? 0 : RXGEN_SS_MARSHAL;
}

static int32_t op_cache_config(struct rx_call *call, const struct afs_cb_GetCacheConfig_in *in,
			       struct afs_cb_GetCacheConfig_out *out, void *arg)
{
	enum { WORDS = 9, STAT_CACHES = 1, MEM_CACHE = 8 };

	(void)call;
	(void)in;
	(void)arg;
	out->server_version = 1;
	out->config_count = WORDS * (uint32_t)sizeof(uint32_t);
	out->config.items = calloc(WORDS, sizeof(uint32_t));
	if (!out->config.items)
		return RXGEN_SS_MARSHAL;
	out->config.len = WORDS;
	out->config.items[STAT_CACHES] = CM_VNODE_KEEP;
	out->config.items[MEM_CACHE] = 1;
	return 0;
}

static const struct afs_cb_ops operations = {
	.cb_CallBack = op_callback,
	.cb_InitCallBackState = op_init,
	.cb_Probe = op_probe,
	.cb_GetLock = op_get_lock,
	.cb_GetCE = op_get_ce,
	.cb_XStatsVersion = op_xstats_version,
	.cb_GetXStats = op_get_xstats,
	.cb_WhoAreYou = op_who,
	.cb_InitCallBackState3 = op_init3,
	.cb_ProbeUuid = op_probe_uuid,
	.cb_GetServerPrefs = op_prefs,
	.cb_GetCellServDB = op_cell_db,
	.cb_GetLocalCell = op_local_cell,
	.cb_GetCacheConfig = op_cache_config,
	.cb_GetCE64 = op_get_ce64,
	.cb_GetCellByNum = op_cell_num,
	.cb_TellMeAboutYourself = op_tell,
};

/* A break that there was no memory to read is lost for the server, and must not be for us. */
static int32_t handler(struct rx_call *call, void *arg)
{
	int32_t code = rx_rpc_dispatch(call, &afs_cb_table, &operations, arg);
	struct cm_server *s = code == RXGEN_SS_UNMARSHAL ? cm_server_find_addr(arg, rx_call_peer(call)) : NULL;

	if (s)
		reset(arg, s);
	return code;
}

int cm_callback_start(struct cm *cm, struct rx_error *err)
{
	struct rx_service_config config = {
		.id = AFS_SERVICE_CB,
		.name = "callback",
		.mode = RX_SERVICE_INLINE,
		.handler = handler,
		.arg = cm,
	};
	int rc;

	config.sec[RX_SECIDX_NULL] = rx_null_new();
	if (!config.sec[RX_SECIDX_NULL])
		return rx_error_set(err, RX_ORIGIN_ERRNO, ENOMEM, ENOMEM, "starting the callback service");
	rc = rx_service_add(cm->loop, &config, err);
	rx_security_put(config.sec[RX_SECIDX_NULL]);
	return rc;
}
