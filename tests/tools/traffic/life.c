/* SPDX-License-Identifier: Apache-2.0 */
#include "life.h"

#include <math.h>

#define NS_PER_S   1e9
#define NET_V6     G_GUINT64_CONSTANT(0x20010db800000000)
#define SERVERS_V6 G_GUINT64_CONSTANT(0x20010db8ffff0000)

/* Big mailbox providers: share of private recipients, MX addresses in use. Orders of magnitude
 * only. */
static const struct {
    double share;
    guint8 addresses;
} providers[] = {{0.38, 5}, {0.24, 24}, {0.09, 8}, {0.07, 4}, {0.06, 4}, {0.04, 6},
                 {0.03, 4}, {0.03, 4},  {0.02, 4}, {0.02, 2}, {0.01, 2}, {0.01, 2}};

typedef struct {
    const Life *life;
    guint part;
    guint32 index;
    gint day;
    Luck luck;
    GArray *out;
    guint32 one; /* the event's own server */
    guint32 at;  /* sessions of the event so far */
} Event;

void life_begin(Life *life, const Scene *scene, const Class *class, guint64 seed, guint32 number,
                const Span *span)
{
    Luck luck;
    *life = (Life){.class = class, .scene = scene, .number = number, .hosts = 1, .last_event = -2};
    luck_seed(&luck, seed, g_str_hash(class->name), number, 1);
    life->seed = luck_next(&luck);
    guint32 days = (guint32)MAX(span->measured, 1);
    life->once_day = span->history + (gint)luck_below(&luck, days);
    if (class->fresh) {
        gint before = MIN(21, span->history);
        life->first_day = span->history - before + (gint)luck_below(&luck, days + (guint32)before);
    }
    for (guint own = 0; own < 2; own++) {
        const Class *from = own              ? class
                            : class->on >= 0 ? scene_class(scene, (guint) class->on)
                                             : NULL;
        for (guint i = 0; from != NULL && i < from->n_parts; i++) {
            const Part *part = from->part[i];
            life->part[life->n_parts].part = part;
            life->part[life->n_parts].per_day = amount_draw(&part->per_day, &luck);
            life->part[life->n_parts].scale = amount_draw(&part->scale, &luck);
            life->part[life->n_parts].weekday = (guint8)luck_below(&luck, 7);
            life->part[life->n_parts].spam = own && class->spam;
            double share = luck_unit(&luck);
            guint hour = 0;
            while (part->clock[hour + 1] < share)
                hour++;
            life->part[life->n_parts].own_s = hour * 3600 + luck_below(&luck, 3600);
            life->hosts = MAX(life->hosts, part->hosts);
            life->n_parts++;
        }
    }
}

/* --- whom a session goes to ---------------------------------------------------------------- */

static guint32 provider(Luck *luck, guint most)
{
    double sum = 0, share;
    for (guint i = 0; i < most; i++)
        sum += providers[i].share;
    share = luck_unit(luck) * sum;
    guint at = 0, before = 0;
    for (sum = providers[0].share; sum <= share && at + 1 < most; sum += providers[at].share)
        before += providers[at++].addresses;
    return 0xcb007100u + before + luck_below(luck, providers[at].addresses);
}

/* Servers of the rest of the world lie in 128.0.0.0/2. */
static guint32 somewhere(guint64 hash)
{
    return 0x80000000u | (guint32)(luck_mix(hash) & 0x3fffffff);
}

static guint32 server_of(Event *e, const Part *part)
{
    double share = luck_unit(&e->luck);
    const To *to = part->to;
    while (to->share < share && to + 1 < part->to + part->n_to)
        to++;
    guint64 own = e->life->seed + (guint64)(to->kind + 1) * 0x100000000u;
    switch (to->kind) {
    case TO_PROVIDERS:
        return provider(&e->luck, G_N_ELEMENTS(providers));
    case TO_FIVE:
        return provider(&e->luck, 5);
    case TO_CIRCLE: /* n^u: the first tenth of them gets a half or more */
        return somewhere(own + (guint64)luck_exp(luck_unit(&e->luck) * luck_log(to->n + 1.0)));
    case TO_LIST:
        return somewhere(own + e->at % to->n);
    case TO_FIXED:
        return somewhere(own + luck_below(&e->luck, to->n));
    case TO_ONE:
        return e->one;
    case TO_STRANGERS:
    case TO_KINDS:
    default:
        return somewhere(luck_next(&e->luck));
    }
}

static guint16 port_of(Event *e, const Part *part)
{
    if (part->n_ports == 1)
        return part->port[0].port;
    double share = luck_unit(&e->luck);
    guint i = 0;
    while (i + 1 < part->n_ports && part->port[i].share < share)
        i++;
    return part->port[i].port;
}

/* --- sessions ------------------------------------------------------------------------------ */

static guint16 random_port(Luck *luck)
{
    return (guint16)(32768 + luck_below(luck, 28232));
}

static void add(Event *e, Session *s, gint64 start_ns)
{
    gint64 day_ns = (FIRST_DAY + e->day) * DAY_NS;
    s->start_ns = MAX(start_ns, day_ns);
    g_array_append_val(e->out, *s);
}

/* Mail that came in before: what a forwarder, a caller-back or a bouncing server acts on. */
static void add_inbound(Event *e, const Session *out, gint64 start_ns, double share)
{
    for (; luck_unit(&e->luck) < share; share--) {
        Session in = *out;
        in.inbound = 1;
        in.port = 25;
        in.failed = in.spam = 0;
        in.client_port = random_port(&e->luck);
        in.server = somewhere(luck_next(&e->luck));
        in.packets = 14;
        in.packets_back = 12;
        add(e, &in, start_ns - (gint64)((0.5 + 4 * luck_unit(&e->luck)) * NS_PER_S));
    }
}

static void add_session(Event *e, gint64 start_ns)
{
    const Part *part = e->life->part[e->part].part;
    guint64 draw = luck_next(&e->luck);
    Session s = {
        .life = e->index,
        .server = server_of(e, part),
        .ms = part->seconds_ms[draw % TABLE],
        .packets = part->packets[(draw >> 16) % TABLE],
        .client_port = random_port(&e->luck),
        .port = port_of(e, part),
        .spam = e->life->part[e->part].spam,
    };
    if (part->rotate)
        s.host = (guint32)(draw >> 32);
    else if (part->hosts > 1)
        s.host = (guint32)(draw >> 32) % part->hosts;
    s.packets_back = (guint16)MAX(1, s.packets * 13 / 14);
    s.failed = luck_unit(&e->luck) < part->failed;
    if (s.failed) { /* three SYNs and nothing */
        s.packets = 3;
        s.packets_back = 0;
        s.ms = 3000;
    }
    if (part->inbound > 0)
        add_inbound(e, &s, start_ns, part->inbound);
    add(e, &s, start_ns);
    while (luck_unit(&e->luck) < part->again) { /* greylisted, or the server was busy */
        start_ns += (gint64)((300 + 1500 * luck_unit(&e->luck)) * NS_PER_S);
        s.client_port = random_port(&e->luck);
        add(e, &s, start_ns);
    }
    e->at++;
}

static void add_event(Event *e, gint64 start_ns)
{
    const Part *part = e->life->part[e->part].part;
    double scale = e->life->part[e->part].scale;
    guint64 size = (guint64)MAX(1, scale * amount_draw(&part->size, &e->luck) + 0.5);
    e->at = 0;
    if (size == 1) {
        e->one = somewhere(luck_next(&e->luck));
        add_session(e, start_ns);
        return;
    }
    e->one = somewhere(luck_next(&e->luck));
    double gap_ns = NS_PER_S / MAX(amount_draw(&part->rate, &e->luck), 1e-4);
    for (guint64 i = 0; i < size; i++) {
        add_session(e, start_ns);
        start_ns += (gint64)(gap_ns * (part->even ? 1 : luck_wait(&e->luck)));
    }
}

/* --- days ---------------------------------------------------------------------------------- */

static gint64 clock_ns(const Part *part, double share)
{
    guint hour = 0;
    while (hour < HOURS - 1 && part->clock[hour + 1] <= share)
        hour++;
    double within = (share - part->clock[hour]) / (part->clock[hour + 1] - part->clock[hour]);
    return (gint64)((hour + within) * 3600 * NS_PER_S);
}

/* Monday is 0; day 0 of 1970 was a Thursday. */
static guint weekday_of(gint day)
{
    return (guint)(FIRST_DAY + day + 3) % 7;
}

static double grown(const Life *life, const Part *part, double per_day, gint day)
{
    if (part->growth <= 0)
        return per_day;
    double log_mean =
        luck_log(part->growth_from) + (day - life->first_day) * luck_log(part->growth);
    return log_mean < luck_log(per_day) ? luck_exp(log_mean) : per_day;
}

static gboolean is_due(const Life *life, guint i, gint day)
{
    switch (life->part[i].part->when) {
    case WHEN_WEEKLY:
        return weekday_of(day) == life->part[i].weekday;
    case WHEN_MONTHLY: /* every 30 days, on one of seven days */
        return (FIRST_DAY + day) % 30 == 4 * (gint)life->part[i].weekday;
    case WHEN_ONCE:
        return day == life->once_day;
    case WHEN_ANY:
    case WHEN_DAILY:
    default:
        return TRUE;
    }
}

/* Events at random times: a Poisson process of rate 1 over the day's mean, bent by the clock. */
static guint add_random(Event *e)
{
    const Part *part = e->life->part[e->part].part;
    double mean = grown(e->life, part, e->life->part[e->part].per_day, e->day);
    if (weekday_of(e->day) >= 5)
        mean *= part->weekend;
    if (part->swing > 0) /* the mean of the factor is 1 */
        mean *= luck_exp(part->swing * luck_normal(&e->luck) - part->swing * part->swing / 2);
    guint n = 0;
    if (mean <= 0)
        return 0;
    for (double t = luck_wait(&e->luck); t < mean; t += luck_wait(&e->luck), n++)
        add_event(e, (FIRST_DAY + e->day) * DAY_NS + clock_ns(part, t / mean));
    return n;
}

void life_day(Life *life, gint day, guint32 life_index, GArray *sessions)
{
    if (day < life->first_day)
        return;
    for (guint i = 0; i < life->n_parts; i++) {
        const Part *part = life->part[i].part;
        if (!is_due(life, i, day))
            continue;
        Event e = {.life = life, .part = i, .index = life_index, .day = day, .out = sessions};
        luck_seed(&e.luck, life->seed, (guint64)day + 1, i, 2);
        guint n = 1;
        if (part->when == WHEN_ANY) {
            n = add_random(&e);
        } else {
            double late_s = part->when == WHEN_ONCE ? 0 : 300 * luck_normal(&e.luck);
            double second = CLAMP(life->part[i].own_s + late_s, 0, 86000);
            add_event(&e, (FIRST_DAY + day) * DAY_NS + (gint64)(second * NS_PER_S));
        }
        if (n > 0 && (part->event || life->part[i].spam))
            life->last_event = day;
    }
}

double life_growth(const Life *life, gint day)
{
    double most = 1;
    for (guint i = 0; i < life->n_parts; i++) {
        const Part *part = life->part[i].part;
        double per_day = life->part[i].per_day;
        if (part->growth > 0)
            most = MAX(most, grown(life, part, per_day, day) / grown(life, part, per_day, day - 1));
    }
    return most;
}

/* --- addresses ----------------------------------------------------------------------------- */

static PstAddr v6(guint64 high, guint64 low)
{
    guint8 bytes[16];
    for (guint i = 0; i < 8; i++) {
        bytes[i] = (guint8)(high >> (56 - 8 * i));
        bytes[8 + i] = (guint8)(low >> (56 - 8 * i));
    }
    return pst_addr_v6_bytes(bytes);
}

PstAddr life_addr(const Life *life, const Session *session)
{
    if (!life->class->v6)
        return pst_addr_v4(life->address + session->host);
    return v6(NET_V6 | life->address, session->host ? luck_mix(session->host) : 25);
}

PstAddr life_server(const Life *life, guint32 server)
{
    return life->class->v6 ? v6(SERVERS_V6, server) : pst_addr_v4(server);
}
