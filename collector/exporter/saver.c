/* SPDX-License-Identifier: Apache-2.0 */
#include "saver.h"

#include "image.h"
#include "log.h"

#define NS_PER_S G_GINT64_CONSTANT(1000000000)

typedef struct {
    PstAddr addr;
    guint32 domain;
} Gone;

struct Saver {
    State *state; /* borrowed */
    gint64 lifetime_ns;
    StateDesk desk;
    gint failed;   /* of desk.failed, as of the last tick */
    GArray *gone;  /* of Gone: to be forgotten */
    guint domains; /* as of the last tick */
    SaverCounts counts;
    PstLogLimit log;
    TemplateSpec spec; /* scratch */
};

Saver *saver_new(State *state, gint64 lifetime_s)
{
    Saver *saver = g_new0(Saver, 1);
    saver->state = state;
    saver->lifetime_ns = lifetime_s * NS_PER_S;
    saver->gone = g_array_new(FALSE, FALSE, sizeof(Gone));
    return saver;
}

void saver_free(Saver *saver)
{
    if (saver == NULL)
        return;
    g_array_unref(saver->gone);
    g_free(saver);
}

static void restore(Saver *saver, Domain *domain, GBytes *image, gint64 now_ns, ImageCounts *counts)
{
    gsize len;
    const guint8 *bytes = g_bytes_get_data(image, &len);
    image_restore(domain, bytes, len, now_ns - saver->lifetime_ns, &saver->spec, counts);
}

void saver_born(gpointer user, Exporters *exporters, Exporter *exporter, gint64 now_ns)
{
    Saver *saver = user;
    g_autoptr(GArray) known = state_take(saver->state, &exporter->addr);
    ImageCounts counts = {0};
    for (guint i = 0; known != NULL && i < known->len; i++) {
        const StateDomain *entry = &g_array_index(known, StateDomain, i);
        Drop drop;
        Domain *domain = exporters_domain(exporters, &exporter->addr, entry->domain,
                                          MIN(entry->seen_ns, now_ns), &drop);
        if (domain == NULL)
            return;
        restore(saver, domain, entry->sequences, now_ns, &counts);
        restore(saver, domain, entry->memory, now_ns, &counts);
        domain->saved_changes = domain_changes(domain);
        domain->marked_seen_ns = domain->seen_ns;
        saver->counts.domains++;
    }
    saver->counts.templates += counts.templates;
    saver->counts.old += counts.old;
    saver->counts.refused += counts.refused;
    char text[PST_ADDR_TEXT_MAX];
    if (counts.refused > 0)
        pst_log_limited(&saver->log, PST_LOG_WARN, "state", "exporter %s: items refused n=%u",
                        pst_addr_format(&exporter->addr, text), counts.refused);
}

void saver_gone(gpointer user, const Domain *domain)
{
    Saver *saver = user;
    Gone gone = {.addr = domain->addr, .domain = domain->id};
    if (domain->marked_seen_ns != 0)
        g_array_append_val(saver->gone, gone);
}

typedef struct {
    guint domains;
    gint64 bytes; /* below zero after the last that fitted */
} Room;

typedef struct {
    Saver *saver;
    StateBatch *batch;
    gint64 now_ns;
    gint64 period_ns; /* of one domain */
    gboolean last;
    gboolean all; /* an earlier batch was lost */
    guint domains;
    Room proven;
    Room others;
} Round;

/* The clock may be set back: then a period is over, too. */
static gboolean passed(const Round *round, gint64 since_ns, gint64 period_ns)
{
    return round->last || ABS(round->now_ns - since_ns) >= period_ns;
}

static gboolean sequences_due(const Round *round, const Domain *domain)
{
    return domain->seen_ns != domain->marked_seen_ns &&
           passed(round, domain->marked_ns, round->period_ns);
}

static gboolean memory_due(const Round *round, const Domain *domain)
{
    return domain_changes(domain) != domain->saved_changes ||
           (domain->seen_ns != domain->marked_seen_ns &&
            passed(round, domain->saved_ns, SAVER_RENEW_S * NS_PER_S));
}

static void save_domain(gpointer user, Domain *domain)
{
    Round *round = user;
    round->domains++;
    if (round->all) {
        domain->saved_changes = domain_changes(domain) - 1;
        domain->marked_seen_ns = 0;
    }
    gboolean memory = memory_due(round, domain);
    if (!memory && !sequences_due(round, domain))
        return;
    Room *room = domain->exporter->proven ? &round->proven : &round->others;
    if ((room->domains == 0 || room->bytes <= 0) && !round->last)
        return;
    room->domains -= room->domains > 0;
    StateDomain entry = {.domain = domain->id, .seen_ns = domain->seen_ns};
    GByteArray *image = g_byte_array_new();
    image_sequences(domain, round->now_ns, image);
    entry.sequences = g_byte_array_free_to_bytes(image);
    domain->marked_ns = round->now_ns;
    domain->marked_seen_ns = domain->seen_ns;
    if (memory) {
        image = g_byte_array_new();
        image_memory(domain, image);
        room->bytes -= image->len;
        entry.memory = g_byte_array_free_to_bytes(image);
        domain->saved_changes = domain_changes(domain);
        domain->saved_ns = round->now_ns;
    }
    state_batch_add(round->batch, &domain->addr, &entry);
}

static void forget(Saver *saver, StateBatch *batch)
{
    for (guint i = 0; i < saver->gone->len; i++) {
        const Gone *gone = &g_array_index(saver->gone, Gone, i);
        StateDomain entry = {.domain = gone->domain};
        state_batch_add(batch, &gone->addr, &entry);
    }
    g_array_set_size(saver->gone, 0);
}

void saver_tick(Saver *saver, Exporters *exporters, gint64 now_ns, gboolean last)
{
    if (!last && g_atomic_int_get(&saver->desk.busy) != 0)
        return;
    gint failed = g_atomic_int_get(&saver->desk.failed);
    Round round = {.saver = saver,
                   .batch = state_batch_new(&saver->desk),
                   .now_ns = now_ns,
                   .last = last,
                   .all = failed != saver->failed,
                   .proven = {SAVER_DOMAINS_MAX, SAVER_BYTES_MAX},
                   .others = {SAVER_DOMAINS_MAX / 4, SAVER_BYTES_MAX / 4}};
    round.period_ns = (1 + saver->domains / SAVER_DOMAINS_MAX) * NS_PER_S;
    saver->failed = failed;
    forget(saver, round.batch);
    exporters_each(exporters, save_domain, &round);
    saver->domains = round.domains;
    if (state_batch_len(round.batch) > 0)
        state_save_take(saver->state, round.batch);
    else
        state_batch_free(round.batch);
}

const SaverCounts *saver_counts(const Saver *saver)
{
    static const SaverCounts none;
    return saver != NULL ? &saver->counts : &none;
}
