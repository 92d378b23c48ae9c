/* SPDX-License-Identifier: Apache-2.0 */
#include "consume.h"

#include <string.h>
#include <unistd.h>

#include "partition.h"
#include "postern/unit.h"

enum {
    POLL_MS = 200,
    POLL_MESSAGES = 64,
    PAUSE_FIRST_MS = 100,
    PAUSE_MAX_MS = 10000,
    LAG_EVERY_S = 5,
    LAG_PAUSE_MS = 50
};

static const char *const topics[] = {PST_TOPIC_SMTP, PST_TOPIC_EVIDENCE, NULL};

typedef struct {
    const ConsumeOptions *o;
    Meters *meters;
    char *owner;            /* host and process, for people */
    PartitionConf conf;     /* of all partitions */
    guint32 count;          /* partitions of the bus */
    PstMono *snapshot_due;  /* count of them */
    Partition **partitions; /* count of them; NULL: not ours */
    GError *fatal;          /* why we cannot go on, found inside a callback */
    PstMono lag_next;
    guint32 lag_at;
    gboolean unanswered; /* the bus did not tell a partition's end */
    gboolean closing;    /* all was done that could be */
    PstLogLimit bus_limit;
} Consumer;

/* ---- patience ---- */

typedef gboolean (*Attempt)(Consumer *c, gpointer user, GError **error);

/* Tries until it works. FALSE with *error: it never will; FALSE without: asked to stop. */
static gboolean persist(Consumer *c, PstCell *away, const char *subject, Attempt attempt,
                        gpointer user, GError **error)
{
    int pause_ms = PAUSE_FIRST_MS;
    for (gboolean told = FALSE; !pst_run_stopping(c->o->run);) {
        g_autoptr(GError) why = NULL;
        if (attempt(c, user, &why)) {
            if (told)
                pst_log(PST_LOG_NOTICE, subject, "back");
            meters_away(c->meters, away, NULL);
            return TRUE;
        }
        if (pst_error_class(why) != PST_ERROR_CLASS_TRANSIENT) {
            g_propagate_error(error, g_steal_pointer(&why));
            return FALSE;
        }
        if (!told)
            pst_log(PST_LOG_ERR, subject, "away, trying again until it is back: %s", why->message);
        told = TRUE;
        meters_away(c->meters, away, why->message);
        if (away == c->meters->database_away)
            pst_cell_add_owned(c->meters->retries, 1);
        pst_run_tick(c->o->run);
        pst_run_wait(c->o->run, pause_ms);
        pause_ms = MIN(pause_ms * 2, PAUSE_MAX_MS);
    }
    return FALSE;
}

/* ---- partitions come and go ---- */

static void count_partitions(Consumer *c)
{
    guint64 held = 0, rebuilding = 0;
    for (guint32 i = 0; i < c->count; i++) {
        held += c->partitions[i] != NULL;
        rebuilding += c->partitions[i] != NULL && partition_is_rebuilding(c->partitions[i]);
    }
    pst_cell_set(c->meters->partitions, held);
    pst_cell_set(c->meters->rebuilding, rebuilding);
}

static void drop_partition(Consumer *c, guint32 number)
{
    g_clear_pointer(&c->partitions[number], partition_free);
    count_partitions(c);
}

static gboolean try_take(Consumer *c, gpointer user, GError **error)
{
    guint32 number = GPOINTER_TO_UINT(user);
    c->partitions[number] = partition_take(&c->conf, number, error);
    return c->partitions[number] != NULL;
}

typedef struct {
    const char *topic;
    guint32 partition;
    gint64 first, end;
    gint64 from; /* where to read on */
} Bounds;

static gboolean try_bounds(Consumer *c, gpointer user, GError **error)
{
    Bounds *bounds = user;
    return pst_bus_bounds(c->o->bus, bounds->topic, (gint32)bounds->partition, &bounds->first,
                          &bounds->end, error);
}

static gboolean try_assigned(Consumer *c, gpointer user, GError **error)
{
    Bounds *bounds = user;
    return partition_assigned(c->partitions[bounds->partition], bounds->topic, bounds->first,
                              bounds->end, &bounds->from, error);
}

/* What is older than the oldest snapshot is of no use to anybody; what is younger may be needed to
 * rebuild from it. One that could not be written (−1) holds nothing back. */
static void keep_log_from(Consumer *c, guint32 number, gint64 oldest)
{
    pst_bus_keep(c->o->bus, PST_TOPIC_SMTP, (gint32)number, oldest >= 0 ? oldest : G_MAXINT64);
}

/* Each at its own moment: no two pauses follow each other, no two are in memory. */
static void plan_first_snapshot(Consumer *c, guint32 number)
{
    gint64 every_ms = c->o->snapshot_every_s * 1000;
    gint64 wait_ms = every_ms * (number + 1) / c->count;
    c->snapshot_due[number] = pst_mono_add(pst_mono_now(), pst_span_ms(wait_ms));
}

static gboolean on_assigned(gpointer user, const char *topic, gint32 number, gint64 *out_position)
{
    Consumer *c = user;
    if (c->fatal != NULL || number < 0 || (guint32)number >= c->count)
        return FALSE;
    g_atomic_int_set(&c->meters->taking, 1); /* until all of them are told */
    Bounds bounds = {.topic = topic, .partition = (guint32)number};
    if (!persist(c, c->meters->bus_away, "bus", try_bounds, &bounds, &c->fatal))
        return FALSE;
    if (c->partitions[number] == NULL && !persist(c, c->meters->database_away, "database", try_take,
                                                  GUINT_TO_POINTER(number), &c->fatal))
        return FALSE;
    if (!persist(c, c->meters->database_away, "database", try_assigned, &bounds, &c->fatal)) {
        drop_partition(c, (guint32)number);
        return FALSE;
    }
    *out_position = bounds.from;
    if (c->o->snapshots != NULL)
        keep_log_from(c, bounds.partition, snapshots_oldest(c->o->snapshots, bounds.partition));
    plan_first_snapshot(c, (guint32)number);
    count_partitions(c);
    return TRUE;
}

/* ---- snapshots ---- */

static void snapshot_done(Consumer *c, const SnapshotDone *done)
{
    meters_snapshot(c->meters, done);
    keep_log_from(c, done->partition, done->oldest);
}

static void collect_snapshot(Consumer *c, gboolean wait)
{
    SnapshotDone done;
    if (c->o->snapshots != NULL && snapshots_collect(c->o->snapshots, wait, &done))
        snapshot_done(c, &done);
}

/* Right after a commit: then the state is what PostgreSQL has. */
static void snapshot_if_due(Consumer *c, guint32 number)
{
    Partition *p = c->partitions[number];
    PstMono now = pst_mono_now();
    if (!partition_has_news(p) || now.ns < c->snapshot_due[number].ns ||
        snapshots_busy(c->o->snapshots))
        return;
    partition_snapshot(p);
    c->snapshot_due[number] = pst_mono_add(now, pst_span_s(c->o->snapshot_every_s));
}

static void take_last_snapshots(Consumer *c)
{
    for (guint32 i = 0; i < c->count; i++) {
        Partition *p = c->partitions[i];
        if (p == NULL || !partition_has_news(p))
            continue;
        collect_snapshot(c, TRUE);
        partition_snapshot(p);
        pst_run_tick(c->o->run);
    }
    collect_snapshot(c, TRUE);
}

/* Whoever has the partition next begins where we stop, if he finds our snapshot. Each step is tried
 * once: he may have it already (then we are fenced), and he waits. */
static void leave_behind(Consumer *c, Partition *p)
{
    g_autoptr(GError) why = NULL;
    if (partition_tick_is_open(p) && !partition_commit(p, &why)) {
        pst_log(PST_LOG_INFO, "consumer", "the last tick is left for the next owner: %s",
                why->message);
        return;
    }
    if (!partition_has_news(p))
        return;
    collect_snapshot(c, TRUE);
    partition_snapshot(p);
    collect_snapshot(c, TRUE); /* he looks for it in a moment */
}

static void on_revoked(gpointer user, const char *topic, gint32 number)
{
    Consumer *c = user;
    if (number < 0 || (guint32)number >= c->count || c->partitions[number] == NULL)
        return;
    if (!c->closing)
        leave_behind(c, c->partitions[number]);
    drop_partition(c, (guint32)number);
}

/* ---- ticks ---- */

static gboolean try_open(Consumer *c, gpointer user, GError **error)
{
    return partition_open_tick(user, error);
}

static gboolean try_commit(Consumer *c, gpointer user, GError **error)
{
    return partition_commit(user, error);
}

/* TRUE: go on (a partition that was lost is dropped). FALSE: the end, *error says why or nothing.
 */
static gboolean settle(Consumer *c, Partition *p, Attempt attempt, GError **error)
{
    g_autoptr(GError) why = NULL;
    if (persist(c, c->meters->database_away, "database", attempt, p, &why))
        return TRUE;
    if (why != NULL && g_error_matches(why, PST_ERROR, PST_ERROR_FENCED)) {
        pst_log(PST_LOG_ERR, "consumer", "partition given up: %s", why->message);
        pst_cell_add_owned(c->meters->fenced, 1);
        drop_partition(c, partition_number(p));
        return TRUE;
    }
    if (why != NULL)
        g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

static gboolean commit(Consumer *c, guint32 number, GError **error)
{
    Partition *p = c->partitions[number];
    if (!settle(c, p, try_commit, error))
        return FALSE;
    p = c->partitions[number];
    if (p == NULL)
        return TRUE; /* fenced */
    for (gsize t = 0; topics[t] != NULL; t++)
        if (partition_position(p, topics[t]) != PST_BUS_OLDEST)
            pst_bus_commit(c->o->bus, topics[t], (gint32)number, partition_position(p, topics[t]));
    meters_engine(c->meters, number, partition_engine_stats(p));
    snapshot_if_due(c, number);
    return TRUE;
}

static gboolean commit_due(Consumer *c, GError **error)
{
    PstMono now = pst_mono_now();
    for (guint32 i = 0; i < c->count; i++)
        if (c->partitions[i] != NULL && partition_tick_is_due(c->partitions[i], now) &&
            !commit(c, i, error))
            return FALSE;
    return TRUE;
}

/* ---- messages ---- */

static gboolean take_message(Consumer *c, const PstBusMessage *m, GError **error)
{
    guint32 number = (guint32)m->partition;
    if (m->partition < 0 || number >= c->count || c->partitions[number] == NULL)
        return TRUE; /* fenced a moment ago */
    Partition *p = c->partitions[number];
    if (partition_needs_tick(p, m)) {
        if (!settle(c, p, try_open, error))
            return FALSE;
        if (c->partitions[number] == NULL)
            return TRUE;
    }
    gboolean was_rebuilding = partition_is_rebuilding(p);
    partition_message(p, m);
    if (was_rebuilding && !partition_is_rebuilding(p))
        count_partitions(c);
    return !partition_tick_is_due(p, (PstMono){0}) || commit(c, number, error);
}

/* One partition at a time, so that asking a broker about many never stops the stream; each comes up
 * every LAG_EVERY_S, or as often as LAG_PAUSE_MS allows. */
static void show_lag(Consumer *c)
{
    PstMono now = pst_mono_now();
    gboolean away = pst_cell_get(c->meters->bus_away) != 0 && !c->unanswered;
    if (now.ns < c->lag_next.ns || away)
        return;
    gint64 pause_ms = MAX(LAG_EVERY_S * 1000 / (gint64)c->count, LAG_PAUSE_MS);
    c->lag_next = pst_mono_add(now, pst_span_ms(pause_ms));
    guint32 i = c->lag_at++ % c->count;
    for (gsize t = 0; topics[t] != NULL && c->partitions[i] != NULL; t++) {
        gint64 first, end, position = partition_position(c->partitions[i], topics[t]);
        c->unanswered = !pst_bus_bounds(c->o->bus, topics[t], (gint32)i, &first, &end, NULL);
        if (c->unanswered) { /* each of these questions may take seconds */
            c->lag_next = pst_mono_add(pst_mono_now(), pst_span_ms(LAG_EVERY_S * 1000));
            return;
        }
        meters_lag(c->meters, topics[t], i, (guint64)MAX(0, end - MAX(position, first)));
    }
}

static gboolean poll_once(Consumer *c, GError **error)
{
    PstBusMessage messages[POLL_MESSAGES];
    g_autoptr(GError) why = NULL;
    gssize n = pst_bus_poll(c->o->bus, POLL_MS, messages, POLL_MESSAGES, &why);
    g_atomic_int_set(&c->meters->taking, 0);
    if (c->fatal != NULL) {
        g_propagate_error(error, g_steal_pointer(&c->fatal));
        return FALSE;
    }
    /* a broker that hangs gives no error, and nothing to read either */
    const char *silent = n == 0 && c->unanswered ? "it does not answer" : NULL;
    meters_away(c->meters, c->meters->bus_away, n < 0 ? why->message : silent);
    if (n < 0 && pst_error_class(why) != PST_ERROR_CLASS_TRANSIENT) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    if (n < 0) {
        pst_log_limited(&c->bus_limit, PST_LOG_ERR, "bus", "away, polling on: %s", why->message);
        pst_run_wait(c->o->run, POLL_MS);
    }
    for (gssize i = 0; i < n; i++)
        if (!take_message(c, &messages[i], error))
            return FALSE;
    return commit_due(c, error);
}

/* What was read is committed once, if the database is there; otherwise it is read again. */
static void commit_the_rest(Consumer *c)
{
    for (guint32 i = 0; i < c->count; i++) {
        g_autoptr(GError) why = NULL;
        Partition *p = c->partitions[i];
        if (p != NULL && partition_tick_is_open(p) && !partition_commit(p, &why))
            pst_log(PST_LOG_WARN, "consumer", "the last tick is left for the next start: %s",
                    why->message);
    }
}

/* ---- joining ---- */

/* A topic that is missing gets as many partitions as the other one. */
static gboolean try_topics(Consumer *c, gpointer user, GError **error)
{
    gint32 *counts = user;
    gint32 wanted = (gint32)c->o->partitions;
    for (gsize t = 0; topics[t] != NULL; t++) {
        if (!pst_bus_ensure_topic(c->o->bus, topics[t], wanted, &counts[t], error))
            return FALSE;
        wanted = counts[t];
    }
    return TRUE;
}

static gboolean try_identity(Consumer *c, gpointer user, GError **error)
{
    g_autofree char *bus = pst_bus_identity(c->o->bus, error);
    if (bus != NULL)
        snapshots_name_bus(c->o->snapshots, bus);
    return bus != NULL;
}

static gboolean try_subscribe(Consumer *c, gpointer user, GError **error)
{
    PstBusAssignment assignment = {.assigned = on_assigned, .revoked = on_revoked, .user = c};
    return pst_bus_subscribe(c->o->bus, c->o->group, topics, &assignment, error);
}

static gboolean join(Consumer *c, GError **error)
{
    gint32 counts[2] = {0};
    if (!persist(c, c->meters->bus_away, "bus", try_topics, counts, error))
        return FALSE;
    if (c->o->snapshots != NULL &&
        !persist(c, c->meters->bus_away, "bus", try_identity, NULL, error))
        return FALSE;
    if (counts[0] != counts[1] || counts[0] < 1 || counts[0] > PST_PARTITIONS_MAX) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "%s has %d partitions and %s has %d: both need the same number, 1 to %d "
                    "(docs/scaling.md)",
                    topics[0], counts[0], topics[1], counts[1], PST_PARTITIONS_MAX);
        return FALSE;
    }
    c->count = (guint32)counts[0];
    c->partitions = g_new0(Partition *, c->count);
    c->snapshot_due = g_new0(PstMono, c->count);
    c->conf.partitions = c->count;
    return persist(c, c->meters->bus_away, "bus", try_subscribe, NULL, error);
}

gboolean consume_take(const ConsumeOptions *options, GError **error)
{
    Consumer c = {.o = options, .meters = options->meters};
    c.owner = g_strdup_printf("%s:%d", g_get_host_name(), (int)getpid());
    c.conf = (PartitionConf){.sink = options->sink,
                             .engine = options->engine,
                             .snapshots = options->snapshots,
                             .owner = c.owner,
                             .meters = options->meters};
    g_autoptr(GError) why = NULL;
    pst_run_ready(options->run); /* from here on /readyz tells what is away */
    gboolean going = join(&c, &why);
    while (going && !pst_run_stopping(options->run)) {
        pst_run_tick(options->run);
        if (pst_run_take_reload(options->run))
            pst_log(PST_LOG_NOTICE, "configuration", "every key of the scorer needs a restart");
        going = poll_once(&c, &why);
        show_lag(&c);
        collect_snapshot(&c, FALSE);
    }
    if (why == NULL) {
        commit_the_rest(&c);
        take_last_snapshots(&c);
    }
    c.closing = TRUE;
    pst_bus_close(options->bus);
    for (guint32 i = 0; i < c.count; i++)
        partition_free(c.partitions[i]);
    g_free(c.partitions);
    g_free(c.snapshot_due);
    g_free(c.owner);
    g_clear_error(&c.fatal);
    if (why != NULL)
        g_propagate_error(error, g_steal_pointer(&why));
    return error == NULL || *error == NULL;
}

gboolean consume_ready(gpointer user, GString *out_reasons)
{
    Meters *m = user;
    gsize before = out_reasons->len;
    guint64 rebuilding = pst_cell_get(m->rebuilding);
    meters_why(m, &m->bus_why, "the bus is away", out_reasons);
    meters_why(m, &m->database_why, "the database is away, nothing is read meanwhile", out_reasons);
    if (pst_cell_get(m->partitions) == 0)
        g_string_append(out_reasons, "no partition is ours yet\n");
    else if (g_atomic_int_get(&m->taking) != 0)
        g_string_append(out_reasons, "more partitions are being taken over\n");
    if (rebuilding != 0)
        g_string_append_printf(
            out_reasons, "%" G_GUINT64_FORMAT " partitions rebuild their state\n", rebuilding);
    return out_reasons->len == before;
}
