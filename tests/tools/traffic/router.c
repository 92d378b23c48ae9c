/* SPDX-License-Identifier: Apache-2.0 */
#include "router.h"

#include <math.h>
#include <string.h>

#define NS_PER_S  G_GINT64_CONSTANT(1000000000)
#define NS_PER_MS G_GINT64_CONSTANT(1000000)
#define SURVIVE   256 /* packets for which the chance of being missed stands in a table */

enum { FIN = 1, SYN = 2, PSH = 8, ACK = 16 };

struct Router {
    View view;
    guint64 seed;
    double log_miss;         /* log(1 − 1/N) */
    double survive[SURVIVE]; /* (1 − 1/N)^k */
    GArray *waiting;         /* Record, not taken yet */
    GArray *taken;           /* Record, sorted */
    GArray *count;           /* guint32, of the sort */
};

Router *router_new(const View *view, guint64 seed)
{
    Router *r = g_new0(Router, 1);
    r->view = *view;
    r->seed = seed;
    double miss = 1 - 1.0 / view->rate;
    r->log_miss = view->rate > 1 ? luck_log(miss) : 0;
    r->survive[0] = 1;
    for (guint k = 1; k < SURVIVE; k++)
        r->survive[k] = r->survive[k - 1] * miss;
    r->waiting = g_array_new(FALSE, FALSE, sizeof(Record));
    r->taken = g_array_new(FALSE, FALSE, sizeof(Record));
    r->count = g_array_new(FALSE, TRUE, sizeof(guint32));
    return r;
}

void router_free(Router *router)
{
    if (router == NULL)
        return;
    g_array_unref(router->waiting);
    g_array_unref(router->taken);
    g_array_unref(router->count);
    g_free(router);
}

/* --- the flow cache ------------------------------------------------------------------------ */

/* One direction of a session passing one router. */
typedef struct {
    Router *router;
    Luck *luck;
    const Session *session;
    guint n;       /* packets */
    gboolean back; /* from the session's server to its client */
    gboolean open; /* a record is in the cache */
    Record record;
} Cache;

static gint64 packet_ns(const Cache *c, guint i)
{
    gint64 ms = c->n > 1 ? (gint64)c->session->ms * i / (c->n - 1) : 0;
    return c->session->start_ns + ms * NS_PER_MS + (c->back ? 20 * NS_PER_MS : 0);
}

static guint8 packet_flags(const Cache *c, guint i)
{
    if (c->session->failed || (i == 0 && !c->back))
        return SYN;
    if (i == 0)
        return SYN | ACK;
    return (guint8)(ACK | (i + 1 == c->n ? FIN : 0) | (i >= 3 ? PSH : 0));
}

/* The record leaves at @due_ns and reaches the collector 1 to 5 s later. */
static void tell(Cache *c, gint64 due_ns)
{
    c->record.arrival_ns = due_ns + (gint64)((1 + 4 * luck_unit(c->luck)) * 1e9);
    g_array_append_val(c->router->waiting, c->record);
    c->open = FALSE;
}

static void tell_silent(Cache *c)
{
    gboolean closed = (c->record.flags & FIN) != 0;
    tell(c, c->record.end_ns + (closed ? 0 : ROUTER_INACTIVE * NS_PER_S));
}

static void pass(Cache *c, guint first, guint last)
{
    gint64 at_ns = packet_ns(c, first);
    if (c->open && at_ns - c->record.end_ns > ROUTER_INACTIVE * NS_PER_S)
        tell_silent(c);
    if (c->open && at_ns - c->record.start_ns > ROUTER_ACTIVE * NS_PER_S)
        tell(c, c->record.start_ns + ROUTER_ACTIVE * NS_PER_S);
    if (!c->open) {
        c->open = TRUE;
        c->record.start_ns = at_ns;
        c->record.packets = 0;
        c->record.flags = 0;
    }
    c->record.end_ns = packet_ns(c, last);
    c->record.packets = (guint16)(c->record.packets + last - first + 1);
    c->record.flags |= packet_flags(c, first) | packet_flags(c, last);
}

/* Distance to the next packet that is seen. */
static guint skip(Cache *c, guint left)
{
    double u = 1 - luck_unit(c->luck);
    if (left < SURVIVE && u <= c->router->survive[left])
        return left;
    double gap = floor(luck_log(u) / c->router->log_miss);
    return gap < left ? (guint)gap : left;
}

static void see_direction(Cache *c)
{
    if (c->n == 0)
        return;
    if (c->router->view.rate > 1) {
        for (guint i = skip(c, c->n); i < c->n; i += 1 + skip(c, c->n - i - 1))
            pass(c, i, i);
    } else if (c->session->ms < ROUTER_INACTIVE * 1000) {
        pass(c, 0, c->n - 1);
        c->record.flags |= (guint8)(c->n > 4 && !c->session->failed ? PSH | ACK : 0);
    } else {
        for (guint i = 0; i < c->n; i++)
            pass(c, i, i);
    }
    if (c->open)
        tell_silent(c);
}

static void see_session(Router *r, guint router, Luck *luck, const Session *s)
{
    for (guint back = 0; back < 2; back++) {
        gboolean ours = back == s->inbound; /* packets that leave our side */
        if (!ours && r->view.directions < 2)
            continue;
        static const PstDirection direction[2][2] = {{PST_DIR_OUT, PST_DIR_OUT_REPLY},
                                                     {PST_DIR_IN, PST_DIR_IN_REPLY}};
        Cache c = {
            .router = r,
            .luck = luck,
            .session = s,
            .n = back ? s->packets_back : s->packets,
            .back = back != 0,
            .record = {.life = s->life,
                       .server = s->server,
                       .host = s->host,
                       .client_port = s->client_port,
                       .port = s->port,
                       .router = (guint8)router,
                       .direction = (guint8)direction[s->inbound][back],
                       .spam = s->spam},
        };
        see_direction(&c);
    }
}

void router_see(Router *r, const Life *life, gint day, const Session *sessions, guint n)
{
    for (guint router = 0; router < r->view.routers; router++) {
        Luck luck;
        luck_seed(&luck, r->seed, life->seed, (guint64)day + 1,
                  (guint64)r->view.rate * ROUTERS_MAX + router);
        for (guint i = 0; i < n; i++)
            see_session(r, router, &luck, &sessions[i]);
    }
}

/* --- the order of arrival ------------------------------------------------------------------ */

static gboolean before(const Record *a, const Record *b)
{
    return a->arrival_ns < b->arrival_ns;
}

/* Nearly sorted: by the second. Equal ones keep their order. */
static void insertion_sort(Record *records, guint n)
{
    for (guint i = 1; i < n; i++) {
        Record record = records[i];
        guint at = i;
        for (; at > 0 && before(&record, &records[at - 1]); at--)
            records[at] = records[at - 1];
        records[at] = record;
    }
}

/* Sorts those before @until_ns from `waiting` into `taken`, the others stay. */
static void sort_into(Router *r, gint64 first_ns, gint64 until_ns)
{
    guint seconds = (guint)((until_ns - first_ns) / NS_PER_S) + 2, kept = 0;
    g_array_set_size(r->count, 0);
    g_array_set_size(r->count, seconds);
    guint32 *place = (guint32 *)(void *)r->count->data;
    Record *all = (Record *)(void *)r->waiting->data, *out = (Record *)(void *)r->taken->data;
    for (guint i = 0; i < r->waiting->len; i++)
        if (all[i].arrival_ns < until_ns)
            place[(all[i].arrival_ns - first_ns) / NS_PER_S + 1]++;
    for (guint i = 1; i < seconds; i++)
        place[i] += place[i - 1];
    for (guint i = 0; i < r->waiting->len; i++) {
        if (all[i].arrival_ns < until_ns)
            out[place[(all[i].arrival_ns - first_ns) / NS_PER_S]++] = all[i];
        else
            all[kept++] = all[i];
    }
    g_array_set_size(r->waiting, kept);
    for (guint i = 0, start = 0; i < seconds; start = place[i++])
        insertion_sort(out + start, place[i] - start);
}

const Record *router_take(Router *r, gint64 until_ns, guint *out_n)
{
    gint64 first_ns = G_MAXINT64;
    guint n = 0;
    for (guint i = 0; i < r->waiting->len; i++) {
        gint64 at_ns = g_array_index(r->waiting, Record, i).arrival_ns;
        if (at_ns < until_ns) {
            first_ns = MIN(first_ns, at_ns);
            n++;
        }
    }
    g_array_set_size(r->taken, n);
    if (n > 0)
        sort_into(r, first_ns, until_ns);
    *out_n = n;
    return (const Record *)(const void *)r->taken->data;
}

/* --- flows --------------------------------------------------------------------------------- */

PstAddr router_addr(guint router)
{
    return pst_addr_v4(0xc6336401u + router); /* 198.51.100.1 … */
}

void router_flow(const Router *r, const Record *record, const Life *life, PstFlow *out)
{
    const Session key = {.host = record->host};
    gboolean back = record->direction == PST_DIR_OUT_REPLY || record->direction == PST_DIR_IN_REPLY;
    gboolean inbound = record->direction == PST_DIR_IN || record->direction == PST_DIR_IN_REPLY;
    PstAddr own = life_addr(life, &key), other = life_server(life, record->server);
    gboolean own_is_src = inbound == back;
    memset(out, 0, sizeof *out);
    out->has = PST_HAS_BYTES | PST_HAS_PACKETS | PST_HAS_SRC_PORT | PST_HAS_DST_PORT |
               PST_HAS_PROTO | PST_HAS_TCP_FLAGS | PST_HAS_START | PST_HAS_END;
    out->type = PST_FLOW_IPFIX;
    out->rate_source = r->view.rate > 1 ? PST_RATE_OPTIONS : PST_RATE_NONE;
    out->direction = record->direction;
    out->src_addr = own_is_src ? own : other;
    out->dst_addr = own_is_src ? other : own;
    out->src_port = back ? record->port : record->client_port;
    out->dst_port = back ? record->client_port : record->port;
    out->sampler = router_addr(record->router);
    out->proto = 6;
    out->etype = life->class->v6 ? 0x86dd : 0x0800;
    out->packets = record->packets;
    out->bytes = (guint64)record->packets * (back ? 70 : 380);
    out->tcp_flags = record->flags;
    out->sampling_rate = r->view.rate;
    out->start_ns = record->start_ns;
    out->end_ns = record->end_ns;
    out->received_ns = record->arrival_ns;
}

PstHeartbeat router_beat(guint router, gint64 now_ns)
{
    return (PstHeartbeat){.sampler = router_addr(router),
                          .newest_event_ns = now_ns - ROUTER_LAG_S * NS_PER_S,
                          .received_ns = now_ns};
}
