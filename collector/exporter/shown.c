/* SPDX-License-Identifier: Apache-2.0 */
#include "shown.h"

#include "remark.h"

/* The ledger of an exporter or of a domain. */
typedef struct {
    PstCell *records;
    PstCell *expected;
    PstCell *twice;
    PstCell *lost[PST_LOSS_COUNT];
} LedgerCells;

struct DomainCells {
    LedgerCells ledger;
};

struct ExporterCells {
    LedgerCells ledger;
    PstCell *datagrams;
    PstCell *reordered;
    PstCell *duplicates;
    PstCell *restarts;
    PstCell *templates;
    PstCell *clock_behind;
    PstCell *clock_ahead;
    PstCell *says[NOTE_COUNT]; /* NULL: it does not */
    guint notes_shown;         /* changes of its notes, as of the last look */
    guint n_domains;           /* shown */
    Remarks remarks;
};

/* What a ledger shows, of one domain or summed up. */
typedef struct {
    guint64 records;
    guint64 expected; /* since our start */
    guint64 twice;
    guint64 lost[PST_LOSS_COUNT];
} LedgerSum;

static PstCell *cell_of(const Shown *shown, PstStatKind kind, const char *whose, const char *name,
                        const char *labels, const char *help)
{
    g_autofree char *full = g_strdup_printf("postern_collector_%s_%s", whose, name);
    return pst_stats_cell(shown->stats, kind, full, labels, help);
}

static PstCell *exporter_cell(const Shown *shown, PstStatKind kind, const char *name,
                              const char *labels, const char *help)
{
    return cell_of(shown, kind, "exporter", name, labels, help);
}

/* ---- ledgers ---- */

static void ledger_cells(const Shown *shown, const char *whose, const char *labels,
                         LedgerCells *out)
{
    out->records = cell_of(shown, PST_COUNTER, whose, "records_total", labels,
                           "Data records received (the loss ledger).");
    out->expected = cell_of(shown, PST_COUNTER, whose, "expected_records_total", labels,
                            "Records that were sent, by the exporter's own numbers.");
    out->twice = cell_of(shown, PST_COUNTER, whose, "duplicate_records_total", labels,
                         "Records of datagrams that came twice.");
    for (guint i = 0; i < PST_LOSS_COUNT; i++) {
        g_autofree char *reason =
            g_strdup_printf("%s,reason=\"%s\"", labels, pst_loss_name((PstLoss)i));
        out->lost[i] = cell_of(shown, PST_COUNTER, whose, "lost_records_total", reason,
                               "Records lost, by reason (the loss ledger).");
    }
}

static void ledger_add(const Ledger *ledger, LedgerSum *sum)
{
    sum->records += ledger->received;
    sum->expected += ledger_expected(ledger) - ledger->earlier;
    sum->twice += ledger->twice;
    for (guint i = 0; i < PST_LOSS_COUNT; i++)
        sum->lost[i] += ledger->lost[i];
}

static void ledger_show(const LedgerCells *cells, const LedgerSum *sum)
{
    pst_cell_set(cells->records, sum->records);
    pst_cell_set(cells->expected, sum->expected);
    pst_cell_set(cells->twice, sum->twice);
    for (guint i = 0; i < PST_LOSS_COUNT; i++)
        pst_cell_set(cells->lost[i], sum->lost[i]);
}

/* ---- domains ---- */

static char *label_of(const Exporter *exporter)
{
    char text[PST_ADDR_TEXT_MAX];
    return g_strdup_printf("exporter=\"%s\"", pst_addr_format(&exporter->addr, text));
}

/* One that comes back finds its series, and is not counted again. */
static struct DomainCells *domain_cells(Shown *shown, const Domain *domain)
{
    struct ExporterCells *exporter = domain->exporter->cells;
    if (domain->ledger->received == 0 || shown->n_domains >= shown->max ||
        exporter->n_domains >= SHOWN_DOMAINS_EACH)
        return NULL;
    g_autofree char *label = label_of(domain->exporter);
    g_autofree char *labels = g_strdup_printf("%s,domain=\"%u\"", label, domain->id);
    struct DomainCells *cells = g_new0(struct DomainCells, 1);
    ledger_cells(shown, "domain", labels, &cells->ledger);
    gboolean is_new = pst_cell_get(cells->ledger.records) == 0;
    shown->n_domains += is_new;
    exporter->n_domains += is_new;
    return cells;
}

static void show_domain(Shown *shown, Domain *domain)
{
    if (domain->cells == NULL)
        domain->cells = domain_cells(shown, domain);
    if (domain->cells == NULL)
        return;
    LedgerSum sum = {0};
    ledger_add(domain->ledger, &sum);
    ledger_show(&domain->cells->ledger, &sum);
}

/* ---- exporters ---- */

static struct ExporterCells *exporter_cells(Shown *shown, const Exporter *exporter)
{
    if (!exporter->proven || shown->stats == NULL || shown->n_exporters >= shown->max)
        return NULL;
    shown->n_exporters++;
    g_autofree char *label = label_of(exporter);
    struct ExporterCells *cells = g_new0(struct ExporterCells, 1);
    ledger_cells(shown, "exporter", label, &cells->ledger);
    cells->datagrams = exporter_cell(shown, PST_COUNTER, "datagrams_total", label,
                                     "Datagrams decoded, by exporter.");
    cells->reordered = exporter_cell(shown, PST_COUNTER, "reordered_total", label,
                                     "Datagrams that others overtook on the way.");
    cells->duplicates = exporter_cell(shown, PST_COUNTER, "duplicates_total", label,
                                      "Datagrams whose sequence number was seen before.");
    cells->restarts = exporter_cell(shown, PST_COUNTER, "restarts_total", label,
                                    "Times that the sequence number started anew.");
    cells->templates = exporter_cell(shown, PST_GAUGE, "templates", label, "Templates in force.");
    cells->clock_behind = exporter_cell(shown, PST_GAUGE_MICROS, "clock_behind_seconds", label,
                                        "Our clock minus the exporter's, 0 if that is ahead.");
    cells->clock_ahead = exporter_cell(shown, PST_GAUGE_MICROS, "clock_ahead_seconds", label,
                                       "The exporter's clock minus ours, 0 if that is ahead.");
    return cells;
}

void shown_forget(Shown *shown, Exporter *exporter)
{
    shown->n_exporters -= exporter->cells != NULL;
    g_clear_pointer(&exporter->cells, g_free);
}

/* What the exporter says of itself, over its domains. Cells are made when it first says it. */
static void show_says(const Shown *shown, const Exporter *exporter, const char *label)
{
    static const struct {
        const char *name;
        const char *help;
    } rows[NOTE_COUNT] = {
#define NOTES_ROW(identifier, element, name, text) [NOTE_##identifier] = {name, text},
        NOTES_COUNTS(NOTES_ROW)
#undef NOTES_ROW
    };
    for (guint i = 0; i < NOTE_COUNT; i++) {
        guint64 sum = 0;
        gboolean told = FALSE;
        for (const Domain *domain = exporter->domains; domain != NULL; domain = domain->next) {
            told |= (domain->notes.told >> i & 1) != 0;
            sum += domain->notes.counts[i];
        }
        PstCell **cell = &exporter->cells->says[i];
        if (told && *cell == NULL)
            *cell = exporter_cell(shown, PST_GAUGE, rows[i].name, label, rows[i].help);
        if (*cell != NULL)
            pst_cell_set(*cell, sum);
    }
}

static void append_label(GString *out, const char *name, const char *value)
{
    g_string_append_printf(out, ",%s=\"", name);
    for (const char *c = value; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            g_string_append_c(out, '\\');
        g_string_append_c(out, *c);
    }
    g_string_append_c(out, '"');
}

/* One series of value 1 for each name that was ever told, for joining in a dashboard. */
static void show_interfaces(Shown *shown, const Domain *domain, const char *label)
{
    const GArray *interfaces = domain->notes.interfaces;
    for (guint i = 0; interfaces != NULL && i < interfaces->len; i++) {
        const NotedInterface *noted = &g_array_index(interfaces, NotedInterface, i);
        g_autoptr(GString) labels = g_string_new(label);
        g_string_append_printf(labels, ",domain=\"%u\",interface=\"%u\"", domain->id,
                               noted->number);
        append_label(labels, "name", noted->name);
        append_label(labels, "description", noted->description);
        if (shown->n_interfaces >= INTERFACES_SHOWN_MAX)
            return;
        PstCell *cell = exporter_cell(shown, PST_GAUGE, "interface", labels->str,
                                      "Always 1: what the exporter calls its interfaces.");
        shown->n_interfaces += pst_cell_get(cell) == 0;
        pst_cell_set(cell, 1);
    }
}

static void show_notes(Shown *shown, const Exporter *exporter)
{
    struct ExporterCells *cells = exporter->cells;
    guint changes = 0;
    g_autofree char *label = label_of(exporter);
    show_says(shown, exporter, label);
    for (const Domain *domain = exporter->domains; domain != NULL; domain = domain->next)
        changes += domain->notes.changes;
    if (changes == cells->notes_shown)
        return;
    cells->notes_shown = changes;
    for (const Domain *domain = exporter->domains; domain != NULL; domain = domain->next)
        show_interfaces(shown, domain, label);
}

static guint templates_in_force(const Domain *domain)
{
    guint n = templates_count(&domain->templates);
    for (const Stream *stream = domain->streams; stream != NULL; stream = stream->next)
        n += templates_count(&stream->templates);
    return n;
}

void shown_exporter(Shown *shown, Exporter *exporter)
{
    if (exporter->cells == NULL)
        exporter->cells = exporter_cells(shown, exporter);
    struct ExporterCells *cells = exporter->cells;
    if (cells == NULL)
        return;
    LedgerSum sum = {0};
    guint64 datagrams = 0, reordered = 0, duplicates = 0, restarts = 0, templates = 0;
    for (Domain *domain = exporter->domains; domain != NULL; domain = domain->next) {
        ledger_add(domain->ledger, &sum);
        datagrams += domain->ledger->datagrams;
        reordered += domain->ledger->reordered;
        duplicates += domain->ledger->duplicates;
        restarts += domain->ledger->restarts;
        templates += templates_in_force(domain);
        show_domain(shown, domain);
    }
    ledger_show(&cells->ledger, &sum);
    pst_cell_set(cells->datagrams, datagrams);
    pst_cell_set(cells->reordered, reordered);
    pst_cell_set(cells->duplicates, duplicates);
    pst_cell_set(cells->restarts, restarts);
    pst_cell_set(cells->templates, templates);
    pst_cell_set(cells->clock_behind, (guint64)MAX(-exporter->clock_offset_ns / 1000, 0));
    pst_cell_set(cells->clock_ahead, (guint64)MAX(exporter->clock_offset_ns / 1000, 0));
    show_notes(shown, exporter);
    remarks_make(&cells->remarks, &exporter->addr,
                 &(RemarkSource){.lost = sum.lost,
                                 .received = sum.records,
                                 .broken = exporter->n_dropped,
                                 .drop = exporter->last_drop,
                                 .clock_ahead_ns = exporter->clock_offset_ns});
}
