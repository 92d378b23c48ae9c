/* SPDX-License-Identifier: Apache-2.0 */
#include "exporter.h"

#include <sys/random.h>

#include "shown.h"

#define NS_PER_S G_GINT64_CONSTANT(1000000000)

/* What all exporters together may hold, for each that may be known: domains, and templates in the
 * weight of TemplateBudget. Fewer than SMALL exporters share what SMALL have. */
enum { SMALL = 128, DOMAINS_EACH = 4, TEMPLATES_EACH = 256 };

struct Exporters {
    ExportersOptions options;
    GHashTable *exporters; /* Exporter, a set by (hash, addr); owns */
    GHashTable *domains;   /* Domain, a set by (hash, addr, id); owned by their exporter */
    guint64 key[2];        /* of the hash: strangers choose the addresses */
    HoldBudget budget;
    TemplateBudget templates;
    Shown shown;
    gboolean ending;
};

static guint exporter_hash(gconstpointer exporter)
{
    return (guint)((const Exporter *)exporter)->hash;
}

static gboolean exporter_equal(gconstpointer left, gconstpointer right)
{
    const Exporter *a = left, *b = right;
    return a->hash == b->hash && pst_addr_equal(&a->addr, &b->addr);
}

static guint domain_hash(gconstpointer domain)
{
    return (guint)((const Domain *)domain)->hash;
}

static gboolean domain_equal(gconstpointer left, gconstpointer right)
{
    const Domain *a = left, *b = right;
    return a->hash == b->hash && a->id == b->id && pst_addr_equal(&a->addr, &b->addr);
}

static void stream_free(Exporters *exporters, Stream *stream)
{
    templates_clear(&stream->templates);
    hold_clear(&stream->hold, &exporters->budget);
    g_free(stream);
}

void domain_end_stream(Exporters *exporters, Domain *domain, guint32 id)
{
    for (Stream **at = &domain->streams; *at != NULL; at = &(*at)->next) {
        if ((*at)->id != id)
            continue;
        Stream *ended = *at;
        *at = ended->next;
        domain->exporter->n_streams--;
        stream_free(exporters, ended);
        return;
    }
}

Stream *domain_stream(Domain *domain, guint32 id, Drop *out_drop)
{
    for (Stream *stream = domain->streams; stream != NULL; stream = stream->next) {
        if (stream->id == id)
            return stream;
    }
    if (domain->exporter->n_streams >= EXPORTER_STREAMS_MAX) {
        *out_drop = DROP_EXPORTERS_BOUND;
        return NULL;
    }
    Stream *stream = g_new0(Stream, 1);
    stream->id = id;
    stream->next = domain->streams;
    templates_init(&stream->templates, domain->templates.budget);
    domain->streams = stream;
    domain->exporter->n_streams++;
    return stream;
}

static void domain_free(Exporters *exporters, Domain *domain)
{
    while (domain->streams != NULL)
        domain_end_stream(exporters, domain, domain->streams->id);
    g_hash_table_remove(exporters->domains, domain);
    if (exporters->options.gone != NULL && !exporters->ending)
        exporters->options.gone(exporters->options.user, domain);
    templates_clear(&domain->templates);
    sampling_clear(&domain->sampling);
    notes_clear(&domain->notes);
    hold_clear(&domain->hold, &exporters->budget);
    ledger_unref(domain->ledger);
    g_free(domain->cells);
    g_free(domain);
}

static void exporter_free(Exporters *exporters, Exporter *exporter)
{
    while (exporter->domains != NULL) {
        Domain *domain = exporter->domains;
        exporter->domains = domain->next;
        domain_free(exporters, domain);
    }
    shown_forget(&exporters->shown, exporter);
    g_free(exporter);
}

Exporters *exporters_new(const ExportersOptions *options)
{
    Exporters *exporters = g_new0(Exporters, 1);
    exporters->options = *options;
    exporters->shown = (Shown){.stats = options->stats, .max = options->shown_max};
    exporters->exporters = g_hash_table_new(exporter_hash, exporter_equal);
    exporters->domains = g_hash_table_new(domain_hash, domain_equal);
    exporters->templates.max = (gsize)MAX(options->exporters_max, SMALL) * TEMPLATES_EACH;
    exporters->budget = (HoldBudget){.bytes_max = options->hold_bytes_max,
                                     .domain_max = options->hold_domain_bytes};
    if (getrandom(exporters->key, sizeof exporters->key, 0) != (gssize)sizeof exporters->key)
        exporters->key[0] = (guint64)g_get_monotonic_time(); /* early boot: better than nothing */
    return exporters;
}

void exporters_free(Exporters *exporters)
{
    if (exporters == NULL)
        return;
    exporters->ending = TRUE;
    GHashTableIter iter;
    gpointer exporter;
    g_hash_table_iter_init(&iter, exporters->exporters);
    while (g_hash_table_iter_next(&iter, &exporter, NULL)) {
        g_hash_table_iter_steal(&iter);
        exporter_free(exporters, exporter);
    }
    g_hash_table_unref(exporters->domains);
    g_hash_table_unref(exporters->exporters);
    g_free(exporters);
}

static guint64 operator_rate(const Exporters *exporters, const PstAddr *addr)
{
    guint32 rate = 0;
    if (exporters->options.rates != NULL)
        (void)pst_prefix_map_find(exporters->options.rates, addr, &rate, NULL);
    return rate;
}

static gboolean admitted(const Exporters *exporters, const PstAddr *addr)
{
    const PstPrefixMap *list = exporters->options.admitted;
    return list == NULL || pst_prefix_map_find(list, addr, NULL, NULL);
}

void exporters_set_rules(Exporters *exporters, const PstPrefixMap *list, const PstPrefixMap *rates)
{
    exporters->options.admitted = list;
    exporters->options.rates = rates;
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, exporters->exporters);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        Exporter *exporter = key;
        exporter->operator_rate = operator_rate(exporters, &exporter->addr);
        if (admitted(exporters, &exporter->addr))
            continue;
        g_hash_table_iter_steal(&iter);
        exporter_free(exporters, exporter);
    }
}

static Exporter *exporter_ensure(Exporters *exporters, const PstAddr *addr, guint64 hash,
                                 gint64 now_ns, Drop *out_drop)
{
    Exporter key = {.hash = hash, .addr = *addr};
    Exporter *exporter = g_hash_table_lookup(exporters->exporters, &key);
    if (exporter != NULL)
        return exporter;
    if (!admitted(exporters, addr)) {
        *out_drop = DROP_NOT_ADMITTED;
        return NULL;
    }
    if (g_hash_table_size(exporters->exporters) >= exporters->options.exporters_max) {
        *out_drop = DROP_EXPORTERS_BOUND;
        return NULL;
    }
    exporter = g_new0(Exporter, 1);
    exporter->hash = hash;
    exporter->addr = *addr;
    exporter->operator_rate = operator_rate(exporters, addr);
    g_hash_table_add(exporters->exporters, exporter);
    if (exporters->options.born != NULL)
        exporters->options.born(exporters->options.user, exporters, exporter, now_ns);
    return exporter;
}

static Domain *domain_new(Exporters *exporters, Exporter *exporter, const Domain *key)
{
    Domain *domain = g_new0(Domain, 1);
    domain->exporter = exporter;
    domain->hash = key->hash;
    domain->addr = key->addr;
    domain->id = key->id;
    domain->ledger = ledger_new(&key->addr, key->id);
    templates_init(&domain->templates, &exporters->templates);
    domain->next = exporter->domains;
    exporter->domains = domain;
    exporter->n_domains++;
    g_hash_table_add(exporters->domains, domain);
    return domain;
}

/* Room for one more domain: the one that was silent longest goes, if it was silent for a while. */
static gboolean make_room(Exporters *exporters, Exporter *exporter, gint64 now_ns)
{
    guint all = g_hash_table_size(exporters->domains);
    guint all_max = MAX(exporters->options.exporters_max, SMALL) * DOMAINS_EACH;
    if (exporter->n_domains == 0 || (exporter->n_domains < EXPORTER_DOMAINS_MAX && all < all_max))
        return TRUE;
    Domain **oldest = NULL;
    for (Domain **at = &exporter->domains; *at != NULL; at = &(*at)->next) {
        if ((*at)->streams == NULL && (oldest == NULL || (*at)->seen_ns < (*oldest)->seen_ns))
            oldest = at;
    }
    if (oldest == NULL || now_ns - (*oldest)->seen_ns < EXPORTER_PROBATION_S * NS_PER_S)
        return FALSE;
    Domain *silent = *oldest;
    *oldest = silent->next;
    exporter->n_domains--;
    domain_free(exporters, silent);
    return TRUE;
}

static Domain domain_key(const Exporters *exporters, const PstAddr *addr, guint32 id,
                         guint64 *out_addr_hash)
{
    *out_addr_hash = pst_addr_hash_keyed(addr, exporters->key);
    guint64 mixed = *out_addr_hash ^ id * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
    return (Domain){.hash = mixed ^ mixed >> 32, .addr = *addr, .id = id};
}

Domain *exporters_peek(Exporters *exporters, const PstAddr *addr, guint32 id)
{
    guint64 addr_hash;
    Domain key = domain_key(exporters, addr, id, &addr_hash);
    return g_hash_table_lookup(exporters->domains, &key);
}

/* An exporter that was just born may have brought its domains with it. */
static Domain *domain_ensure(Exporters *exporters, Exporter *exporter, const Domain *key,
                             gint64 now_ns, Drop *out_drop)
{
    Domain *domain = g_hash_table_lookup(exporters->domains, key);
    if (domain != NULL)
        return domain;
    if (make_room(exporters, exporter, now_ns))
        return domain_new(exporters, exporter, key);
    *out_drop = DROP_EXPORTERS_BOUND;
    return NULL;
}

Domain *exporters_domain(Exporters *exporters, const PstAddr *addr, guint32 id, gint64 now_ns,
                         Drop *out_drop)
{
    guint64 addr_hash;
    Domain key = domain_key(exporters, addr, id, &addr_hash);
    Domain *domain = g_hash_table_lookup(exporters->domains, &key);
    if (domain == NULL) {
        Exporter *exporter = exporter_ensure(exporters, addr, addr_hash, now_ns, out_drop);
        domain =
            exporter != NULL ? domain_ensure(exporters, exporter, &key, now_ns, out_drop) : NULL;
        if (domain == NULL)
            return NULL;
    }
    domain->seen_ns = now_ns;
    domain->exporter->seen_ns = now_ns;
    return domain;
}

Domain *exporters_domains(Exporters *exporters, const PstAddr *addr)
{
    Exporter key = {.hash = pst_addr_hash_keyed(addr, exporters->key), .addr = *addr};
    Exporter *exporter = g_hash_table_lookup(exporters->exporters, &key);
    return exporter != NULL ? exporter->domains : NULL;
}

HoldBudget *exporters_budget(Exporters *exporters)
{
    return &exporters->budget;
}

guint domain_changes(const Domain *domain)
{
    return domain->templates.changes + domain->sampling.changes + domain->notes.changes +
           domain->init_changes;
}

gboolean exporter_may_work(Exporter *exporter, Work work, guint16 port, gint64 now_ns)
{
    Purse *purse = &exporter->purses[work][port % EXPORTER_PURSES];
    if (purse->left > 0)
        return TRUE;
    gint64 earned = (now_ns - purse->filled_ns) / (NS_PER_S / EXPORTER_WORK_PER_S);
    if (earned <= 0 && now_ns >= purse->filled_ns)
        return FALSE;
    /* a clock that was set back starts a new purse */
    purse->left = earned > 0 ? MIN(purse->left + earned, EXPORTER_WORK_MAX) : EXPORTER_WORK_MAX;
    purse->filled_ns = now_ns;
    return purse->left > 0;
}

const Sampling *domain_elsewhere(const Domain *domain)
{
    const Sampling *found = NULL;
    for (const Domain *other = domain->exporter->domains; other != NULL; other = other->next) {
        if (other == domain || other->sampling.n == 0)
            continue;
        if (found != NULL && !sampling_alike(found, &other->sampling))
            return NULL;
        found = &other->sampling;
    }
    return found;
}

void exporters_each(Exporters *exporters, DomainVisit visit, gpointer user)
{
    GHashTableIter iter;
    gpointer domain;
    g_hash_table_iter_init(&iter, exporters->domains);
    while (g_hash_table_iter_next(&iter, &domain, NULL))
        visit(user, domain);
}

guint exporters_expire(Exporters *exporters, gint64 now_ns)
{
    guint expired = 0;
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, exporters->exporters);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        Exporter *exporter = key;
        gint64 idle_s = exporter->proven ? EXPORTER_IDLE_S : EXPORTER_PROBATION_S;
        if (exporter->n_streams > 0 || now_ns - exporter->seen_ns < idle_s * NS_PER_S)
            continue;
        g_hash_table_iter_steal(&iter);
        exporter_free(exporters, exporter);
        expired++;
    }
    return expired;
}

guint exporters_count(const Exporters *exporters)
{
    return g_hash_table_size(exporters->exporters);
}

void exporter_show(Exporters *exporters, Exporter *exporter)
{
    shown_exporter(&exporters->shown, exporter);
}
