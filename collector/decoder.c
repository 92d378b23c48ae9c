/* SPDX-License-Identifier: Apache-2.0 */
#include "decoder.h"

#include "element.h"
#include "fixbuf.h"
#include "netflow_v5.h"
#include "netflow_v9.h"
#include "plan.h"
#include "section.h"
#include "skipped.h"

/* A domain without mail is looked at so often, for the event time of its heartbeats. */
#define PROBE_NS G_GINT64_CONSTANT(100000000)

struct Decoder {
    DecoderOptions options;
    Template *v5;     /* owned */
    Fixbuf *fixbuf;   /* owned; NULL without verify */
    Skipped *skipped; /* owned */
    DecoderCounts counts;
    TemplateSpec spec; /* scratch, as the next two */
    guint32 bases[PLAN_SEGMENTS_MAX];
    Record record;
};

/* A record further ahead of its receipt has a wrong clock, and does not move its domain's time: one
 * such record would silence the domain's heartbeats until the time has come. The scorer sets such
 * flows aside by the same measure (docs/detector.md, Time). */
#define CLOCK_AHEAD_NS (300 * G_GINT64_CONSTANT(1000000000))

/* A record of fewer bytes cannot name two hosts and their ports. Of such records a set may have as
 * many decoded as it had room for of the shortest real ones, and TINY_FREE: samplers tell their
 * rate in four bytes.
 */
enum { TINY_BYTES = 12, TINY_FREE = 64 };

/* What changes of templates cost, in units of a Purse. */
enum { UNITS_TEMPLATE = 4, FIELDS_PER_UNIT = 4, SLOTS_PER_UNIT = 8 };

/* Options are the domain's, whichever port told them: one purse for all. */
enum { ANY_PORT = 0 };

/* One data set on its way through. */
typedef struct {
    Decoder *decoder;
    Domain *domain;
    const Template *template;
    FlowContext context;
    gint64 newest_event_ns; /* of the records decoded in this set; 0: none */
    guint32 records;
    gsize broken; /* bytes behind a record that breaks its format */
    gsize spare;  /* how many may yet be decoded in full */
} Run;

static Template *v5_template(TemplateSpec *spec)
{
    gsize n;
    const Field *fields = netflow_v5_fields(&n);
    spec->id = TEMPLATE_ID_MIN;
    Drop drop = template_begin(spec, FALSE, n, 0);
    memcpy(spec->fields, fields, n * sizeof *fields);
    if (drop == DROP_NONE)
        drop = template_check(spec);
    g_assert(drop == DROP_NONE && spec->min_len == NETFLOW_V5_RECORD);
    return template_new(spec, VERSION_V5);
}

Decoder *decoder_new(const DecoderOptions *options)
{
    Decoder *decoder = g_new0(Decoder, 1);
    decoder->options = *options;
    decoder->v5 = v5_template(&decoder->spec);
    decoder->fixbuf = options->verify ? fixbuf_new() : NULL;
    decoder->skipped = skipped_new(options->stats);
    return decoder;
}

void decoder_free(Decoder *decoder)
{
    if (decoder == NULL)
        return;
    template_unref(decoder->v5);
    fixbuf_free(decoder->fixbuf);
    skipped_free(decoder->skipped);
    g_free(decoder);
}

DecoderCounts *decoder_counts(Decoder *decoder)
{
    return &decoder->counts;
}

static void count_drops(Decoder *decoder, const Domain *domain, Drop drop, guint n)
{
    decoder->counts.drops[drop] += n;
    exporter_dropped(domain->exporter, drop, n);
}

static void count_drop(Decoder *decoder, const Domain *domain, Drop drop)
{
    count_drops(decoder, domain, drop, 1);
}

static FlowContext context_of(const Domain *domain, const Message *message, gint64 received_ns)
{
    return (FlowContext){
        .sampler = domain->addr,
        .domain = domain->id,
        .sequence = message->sequence,
        .export_ns = normalize_export_ns(message->export_ns, received_ns),
        .received_ns = received_ns,
        .has_uptime = message->has_uptime,
        .uptime_ms = message->uptime_ms,
        .init_ms = domain->init_ms,
        .header_rate = message->header_rate,
        .operator_rate = domain->exporter->operator_rate,
        .sampling = &domain->sampling,
        .elsewhere = domain->sampling.n == 0 ? domain_elsewhere(domain) : NULL,
    };
}

/* Options data: sampling rates, when the exporter's uptime began, what it tells of itself. */
static void take_options(Run *run, const Record *record, const guint8 *bytes, gsize len)
{
    Domain *domain = run->domain;
    guint changes = domain_changes(domain);
    run->decoder->counts.options++;
    if (!exporter_may_work(domain->exporter, WORK_OPTIONS, ANY_PORT, run->context.received_ns)) {
        count_drop(run->decoder, run->domain, DROP_OPTIONS_STORM);
        return;
    }
    (void)sampling_learn(&domain->sampling, record, run->context.received_ns);
    if (record_saw(record, RAW_INIT_MS) && record->raw[RAW_INIT_MS] != 0 &&
        record->raw[RAW_INIT_MS] != domain->init_ms) {
        domain->init_ms = record->raw[RAW_INIT_MS];
        domain->init_changes++;
    }
    notes_learn(&domain->notes, run->template, pst_cursor(bytes, len));
    exporter_worked(domain->exporter, WORK_OPTIONS, ANY_PORT, domain_changes(domain) - changes);
}

/* A decoded record of a flow: finished, judged, handed on. */
static void finish(Run *run, Record *record)
{
    Decoder *decoder = run->decoder;
    normalize_record(record, &run->context, &decoder->counts.nonsense);
    gint64 event_ns = pst_flow_event_ns(&record->flow);
    if (event_ns <= run->context.received_ns + CLOCK_AHEAD_NS)
        run->newest_event_ns = MAX(run->newest_event_ns, event_ns);
    if (decoder->options.mail_only && !flow_is_mail(&record->flow, decoder->options.ports))
        return;
    decoder->counts.flows++;
    decoder->options.flow(decoder->options.user, &record->flow, run->domain);
}

/* The packet in a record whose fields do not say who talks with whom. */
static void read_section(const Template *template, Record *record, const guint8 *bytes, gsize len)
{
    PstCursor c = pst_cursor(bytes, len);
    for (guint i = 0; i < template->n_fields; i++) {
        const Field *field = &template->fields[i];
        gsize section_len;
        const guint8 *section = template_take_field(&c, field, &section_len);
        if (section == NULL)
            return;
        if (field->pen == 0 && section_of(field->id) != SECTION_NONE)
            section_fill(section_of(field->id), section, section_len, record);
    }
}

static void decode_record(Run *run, const guint8 *bytes, gsize len, const guint32 *bases)
{
    Record *record = &run->decoder->record;
    if (G_UNLIKELY(run->spare == 0)) {
        count_drop(run->decoder, run->domain, DROP_RECORD_TINY);
        return;
    }
    run->spare--;
    plan_run(run->template->plan, bytes, bases, record);
    if (G_UNLIKELY(run->template->section))
        read_section(run->template, record, bytes, len);
    if (run->template->options)
        take_options(run, record, bytes, len);
    else
        finish(run, record);
}

/* May this record be skipped unread? */
static inline gboolean is_other(const Run *run, const guint8 *bytes, const guint32 *bases)
{
    const DecoderOptions *options = &run->decoder->options;
    return options->mail_only && !run->template->options && !run->template->section &&
           !plan_may_be_mail(run->template->plan, bytes, bases, options->ports);
}

static gboolean probe_due(const Run *run)
{
    return run->newest_event_ns == 0 && !run->template->options &&
           run->context.received_ns - run->domain->probed_ns >= PROBE_NS;
}

/* What is left behind the last record is padding, however long (NX-OS). */
static void decode_fixed(Run *run, PstCursor *set, gsize len)
{
    static const guint32 bases[1] = {0};
    const DecoderOptions *options = &run->decoder->options;
    const Plan *plan = run->template->plan;
    const gboolean skips = options->mail_only && !run->template->options;
    const guint n = (guint)(pst_cursor_left(set) / len);
    const guint8 *records = pst_cursor_take(set, n * len);
    run->records += n;
    for (guint i = 0; i < n; i++) {
        if (skips)
            i += plan_skip_others(plan, records + i * len, n - i, options->ports);
        if (i == n)
            break;
        if (G_UNLIKELY(run->spare == 0)) {
            count_drops(run->decoder, run->domain, DROP_RECORD_TINY, n - i);
            break;
        }
        decode_record(run, records + i * len, len, bases);
    }
    if (n > 0 && probe_due(run)) {
        run->domain->probed_ns = run->context.received_ns;
        decode_record(run, records + (n - 1) * len, len, bases);
    }
}

static void decode_varying(Run *run, PstCursor *set)
{
    Decoder *decoder = run->decoder;
    const guint8 *bytes = NULL;
    while (pst_cursor_left(set) >= run->template->min_len) {
        const guint8 *next = plan_measure(run->template->plan, set, decoder->bases);
        if (next == NULL) {
            count_drop(decoder, run->domain, DROP_RECORD_SHORT);
            run->broken = MAX(pst_cursor_left(set), 1);
            return;
        }
        bytes = next;
        run->records++;
        if (!is_other(run, bytes, decoder->bases))
            decode_record(run, bytes, (gsize)(set->at - bytes), decoder->bases);
    }
    if (bytes != NULL && probe_due(run)) {
        run->domain->probed_ns = run->context.received_ns;
        decode_record(run, bytes, (gsize)(set->at - bytes), decoder->bases);
    }
}

static void verify(Decoder *decoder, const Template *template, const PstCursor *set)
{
    decoder->counts.differences +=
        fixbuf_differences(decoder->fixbuf, template, set->at, pst_cursor_left(set));
    decoder->counts.verified = fixbuf_compared(decoder->fixbuf);
}

/* Returns the number of records. */
static guint32 decode_set(Run *run, PstCursor set)
{
    gsize len = plan_fixed_len(run->template->plan);
    run->spare = run->template->min_len >= TINY_BYTES
                     ? G_MAXSIZE
                     : TINY_FREE + pst_cursor_left(&set) / TINY_BYTES;
    if (G_UNLIKELY(run->decoder->fixbuf != NULL))
        verify(run->decoder, run->template, &set);
    if (len > 0)
        decode_fixed(run, &set, len);
    else
        decode_varying(run, &set);
    Domain *domain = run->domain;
    if (run->records > 0)
        domain->exporter->proven = TRUE;
    if (!run->template->options)
        run->decoder->counts.records += run->records;
    domain->newest_event_ns = MAX(domain->newest_event_ns, run->newest_event_ns);
    return run->records;
}

/* The transport session that a message came by: where its templates are, and what waits for
 * them. */
typedef struct {
    Templates *templates;
    Hold *hold;
    guint16 port;
} Session;

typedef struct {
    Decoder *decoder;
    Domain *domain;
} HoldOwner;

static void held_lost(gpointer user, const HeldSet *held)
{
    const HoldOwner *owner = user;
    count_drop(owner->decoder, owner->domain, DROP_NO_TEMPLATE);
    ledger_held_lost(owner->domain->ledger, &held->message, held->port, held->len);
}

static void hold_set(Decoder *decoder, Domain *domain, const Session *session,
                     const Message *message, const Set *set, gint64 received_ns)
{
    HoldOwner owner = {.decoder = decoder, .domain = domain};
    HoldBudget *budget = decoder->options.budget;
    if (budget != NULL && hold_put(session->hold, budget, message, set, session->port, received_ns,
                                   held_lost, &owner)) {
        decoder->counts.held++;
        ledger_held(domain->ledger, message, session->port);
        return;
    }
    count_drop(decoder, domain, DROP_NO_TEMPLATE);
    ledger_not_held(domain->ledger, message, session->port, pst_cursor_left(&set->body));
}

/* Sets that waited for the template that has just come. */
static void decode_held(Decoder *decoder, Domain *domain, const Session *session, guint16 id,
                        gint64 now_ns)
{
    HoldBudget *budget = decoder->options.budget;
    const Template *template = templates_find(session->templates, id, session->port, now_ns);
    if (budget == NULL || template == NULL)
        return;
    for (;;) {
        g_autoptr(HeldSet) held = hold_take(session->hold, budget, id);
        if (held == NULL)
            return;
        Run run = {.decoder = decoder,
                   .domain = domain,
                   .template = template,
                   .context = context_of(domain, &held->message, held->received_ns)};
        guint32 records = decode_set(&run, pst_cursor(held->bytes, held->len));
        decoder->counts.late += records;
        ledger_late(domain->ledger, &held->message, held->port, records);
    }
}

static void expire_hold(Decoder *decoder, Domain *domain, Hold *hold, gint64 before_ns)
{
    HoldOwner owner = {.decoder = decoder, .domain = domain};
    if (decoder->options.budget != NULL)
        hold_expire(hold, decoder->options.budget, before_ns, held_lost, &owner);
}

void decoder_expire_stream(Decoder *decoder, Domain *domain, Stream *stream, gint64 before_ns)
{
    expire_hold(decoder, domain, &stream->hold, before_ns);
    if (before_ns == G_MAXINT64)
        ledger_end(domain->ledger, stream->port);
}

void decoder_expire(Decoder *decoder, Domain *domain, gint64 before_ns)
{
    expire_hold(decoder, domain, &domain->hold, before_ns);
    for (Stream *stream = domain->streams; stream != NULL; stream = stream->next)
        decoder_expire_stream(decoder, domain, stream, before_ns);
}

static void take_template(Decoder *decoder, Domain *domain, const Session *session,
                          const Message *message, gint64 received_ns)
{
    TemplateSpec *spec = &decoder->spec;
    if (!exporter_may_work(domain->exporter, WORK_TEMPLATES, session->port, received_ns) &&
        !templates_has(session->templates, spec, message->version, session->port)) {
        /* the old one must go: what follows is not laid out by it */
        templates_withdraw(session->templates, spec->id, session->port);
        count_drop(decoder, domain, DROP_TEMPLATE_STORM);
        return;
    }
    gboolean is_new;
    Drop drop = templates_define(session->templates, spec, message->version, session->port,
                                 message->export_ns, received_ns, &is_new);
    if (is_new || drop != DROP_NONE)
        exporter_worked(domain->exporter, WORK_TEMPLATES, session->port,
                        UNITS_TEMPLATE + spec->n_fields / FIELDS_PER_UNIT);
    if (drop != DROP_NONE) {
        count_drop(decoder, domain, drop);
        return;
    }
    if (!is_new)
        return;
    decoder->counts.templates++;
    decoder->counts.unknown_fields += skipped_count(decoder->skipped, spec);
    decode_held(decoder, domain, session, spec->id, received_ns);
}

/* RFC 7011 §8.1: no fields; the set's own id instead of a template's means all of them. */
static void take_withdrawal(Decoder *decoder, Domain *domain, const Session *session,
                            gint64 received_ns)
{
    const TemplateSpec *spec = &decoder->spec;
    if (!exporter_may_work(domain->exporter, WORK_TEMPLATES, session->port, received_ns)) {
        count_drop(decoder, domain, DROP_TEMPLATE_STORM);
        return;
    }
    decoder->counts.withdrawals++;
    exporter_worked(domain->exporter, WORK_TEMPLATES, session->port,
                    1 + session->templates->slots->len / SLOTS_PER_UNIT);
    if (spec->id >= TEMPLATE_ID_MIN)
        templates_withdraw(session->templates, spec->id, session->port);
    else
        templates_withdraw_all(session->templates, spec->options, session->port);
}

static void take_templates(Decoder *decoder, Domain *domain, const Session *session,
                           const Message *message, Set *set, gint64 received_ns)
{
    gboolean options = set->kind == SET_OPTIONS_TEMPLATES;
    while (pst_cursor_left(&set->body) >= 4) { /* less is padding */
        if (pst_load_be32(set->body.at) == 0)
            return; /* padding of four bytes and more */
        Drop drop = message->version == VERSION_V9
                        ? netflow_v9_template(&set->body, options, &decoder->spec)
                        : template_read(&set->body, options, &decoder->spec);
        if (drop != DROP_NONE)
            count_drop(decoder, domain, drop);
        else if (decoder->spec.withdrawal)
            take_withdrawal(decoder, domain, session, received_ns);
        else
            take_template(decoder, domain, session, message, received_ns);
    }
}

/* The first message since our own restart. If the exporter started anew meanwhile, the numbers of
 * its old templates may mean other things now: their data waits for the new ones. */
static void check_resumed(Domain *domain, const Message *message, guint16 port)
{
    domain->resumed = FALSE;
    if (!ledger_resumed_anew(domain->ledger, message, port))
        return;
    templates_withdraw_all(&domain->templates, FALSE, port);
    templates_withdraw_all(&domain->templates, TRUE, port);
}

static void take_message(Decoder *decoder, Domain *domain, const Session *session, Message *message,
                         gint64 received_ns)
{
    guint32 records = 0;
    gsize unread = 0;
    PstLoss why = PST_LOSS_NO_TEMPLATE;
    Set set;
    Drop drop;
    decoder->counts.messages++;
    gsize before = pst_cursor_left(&message->body);
    while (message_next_set(message, &set, &drop)) {
        if (set.kind == SET_RESERVED) {
            count_drop(decoder, domain, DROP_SET_ID);
            continue;
        }
        if (set.kind != SET_DATA) {
            take_templates(decoder, domain, session, message, &set, received_ns);
            continue;
        }
        const Template *template = set.id == SET_ID_V5 ? decoder->v5
                                                       : templates_find(session->templates, set.id,
                                                                        session->port, received_ns);
        if (template == NULL) {
            if (pst_cursor_left(&set.body) == 0)
                continue;
            unread += pst_cursor_left(&set.body);
            hold_set(decoder, domain, session, message, &set, received_ns);
            continue;
        }
        Run run = {.decoder = decoder,
                   .domain = domain,
                   .template = template,
                   .context = context_of(domain, message, received_ns)};
        guint32 found = decode_set(&run, set.body);
        records += found;
        message->options += template->options ? found : 0;
        if (run.broken > 0)
            why = PST_LOSS_MALFORMED;
        unread += run.broken;
    }
    if (drop != DROP_NONE) {
        count_drop(decoder, domain, drop);
        unread += before;
        why = PST_LOSS_MALFORMED;
    }
    ledger_message(domain->ledger, message, session->port, records, unread, why, received_ns);
}

void decoder_message(Decoder *decoder, Domain *domain, Message *message, guint16 port,
                     gint64 received_ns)
{
    Session session = {.templates = &domain->templates, .hold = &domain->hold, .port = port};
    if (G_UNLIKELY(domain->resumed))
        check_resumed(domain, message, port);
    take_message(decoder, domain, &session, message, received_ns);
}

void decoder_stream_message(Decoder *decoder, Domain *domain, Stream *stream, Message *message,
                            guint16 port, gint64 received_ns)
{
    Session session = {.templates = &stream->templates, .hold = &stream->hold, .port = port};
    stream->port = port;
    take_message(decoder, domain, &session, message, received_ns);
}
