/* SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"

#include <time.h>

#include "log.h"
#include "metrics.h"
#include "peerlog.h"
#include "roster.h"
#include "saver.h"
#include "tcp.h"

#define TICK_NS       (100 * PST_NS_PER_MS)
#define EXPIRE_NS     (10 * PST_NS_PER_S)
#define BEAT_NS       PST_NS_PER_S
#define BEAT_EVENT_NS (10 * PST_NS_PER_S)
#define SHOW_NS       PST_NS_PER_S
#define REFUSED_NS    (3600 * PST_NS_PER_S)
#define SAVE_NS       PST_NS_PER_S

enum { RECEIVE_ROUNDS = 16, CLOCK_OFFSET_SHARE = 16 };

/* So many messages may be glued together in a datagram: more than any exporter was seen to. */
enum { MESSAGES_FREE = 32, MESSAGE_BYTES = 512 };

struct Worker {
    WorkerOptions options;
    Rules *rules; /* owned */
    Exporters *exporters;
    Decoder *decoder;
    Publisher *publisher;
    Heirs *heirs;         /* NULL: none */
    Saver *saver;         /* owned; NULL without a state file */
    GPtrArray *listeners; /* owned */
    GPtrArray *tcps;      /* owned */
    TcpCounts tcp_counts;
    Roster *roster;
    PeerLog *refusals;
    gint64 mono_ns; /* as of the last tick */
    Metrics *metrics;
    gint64 clock_shift_ns; /* our clock − the machine's, for kernel receive times */
    gint64 ticked_ns;
    gint64 expired_ns;
    gint64 shown_ns;
    gint64 saved_ns;
    guint64 kernel_dropped;   /* in all */
    guint64 kernel_uncharged; /* not yet found as a gap of somebody's sequence */
    guint64 datagrams;
    guint64 bytes;
    guint64 strangers; /* datagrams of senders that we know nothing of, not used … */
    PstAddr stranger;  /* … the last of them, and why */
    Drop stranger_drop;
    guint64 strangers_logged;
    PstLogLimit strangers_limit;
};

Rules *rules_new(void)
{
    Rules *rules = g_new0(Rules, 1);
    rules->refs = 1;
    return rules;
}

Rules *rules_ref(Rules *rules)
{
    __atomic_add_fetch(&rules->refs, 1, __ATOMIC_RELAXED);
    return rules;
}

void rules_unref(Rules *rules)
{
    if (rules == NULL || __atomic_sub_fetch(&rules->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    pst_prefix_map_free(rules->networks);
    pst_prefix_map_free(rules->admitted);
    pst_prefix_map_free(rules->rates);
    pst_prefix_map_free(rules->known);
    g_free(rules->list);
    g_free(rules->learn);
    g_free(rules);
}

/* A finished flow: which side is ours, and is it wanted? */
static void take_flow(gpointer user, PstFlow *flow, Domain *domain)
{
    Worker *worker = user;
    const PortSet *ports = worker->options.ports;
    gboolean ours;
    const PstAddr *customer = normalize_direction(flow, worker->rules->networks, ports, &ours);
    gboolean smtp = ours && flow_is_mail(flow, ports);
    if (flow->rate_source != PST_RATE_NONE)
        domain->ledger->sampling_rate = flow->sampling_rate;
    if (smtp || worker->options.publisher.all)
        publisher_flow(worker->publisher, flow, customer, smtp, domain->ledger);
}

static Ledger *ledger_of(gpointer user, const PstAddr *exporter, guint32 domain)
{
    Worker *worker = user;
    const Domain *known = exporters_peek(worker->exporters, exporter, domain);
    return known != NULL ? known->ledger : NULL;
}

static void free_listener(gpointer listener)
{
    listener_close(listener);
}

static void free_tcp(gpointer tcp)
{
    tcp_free(tcp);
}

Worker *worker_new(const WorkerOptions *options, Rules *rules_take, GError **error)
{
    g_autoptr(Worker) worker = g_new0(Worker, 1);
    worker->options = *options;
    worker->rules = rules_take;
    worker->listeners = g_ptr_array_new_with_free_func(free_listener);
    worker->roster = roster_new();
    worker->refusals = peerlog_new(REFUSED_NS);
    worker->tcps = g_ptr_array_new_with_free_func(free_tcp);
    PublisherOptions publisher = options->publisher;
    publisher.ledger = ledger_of;
    publisher.user = worker;
    worker->publisher = publisher_open(&publisher, error);
    if (worker->publisher == NULL)
        return NULL;
    worker->saver =
        options->state != NULL ? saver_new(options->state, options->template_lifetime_s) : NULL;
    worker->exporters = exporters_new(&(ExportersOptions){
        .admitted = rules_take->admitted,
        .rates = rules_take->rates,
        .exporters_max = options->exporters_max,
        .shown_max = EXPORTERS_SHOWN_MAX / MAX(options->count, 1),
        .hold_bytes_max = options->hold_bytes_max,
        .hold_domain_bytes = options->hold_domain_bytes,
        .stats = options->stats,
        .born = worker->saver != NULL ? saver_born : NULL,
        .gone = worker->saver != NULL ? saver_gone : NULL,
        .user = worker->saver,
    });
    worker->decoder = decoder_new(&(DecoderOptions){
        .ports = options->ports,
        .mail_only = !options->publisher.all,
        .verify = options->verify,
        .budget = exporters_budget(worker->exporters),
        .stats = options->stats,
        .flow = take_flow,
        .user = worker,
    });
    worker->metrics = metrics_new(options->stats, options->number);
    return g_steal_pointer(&worker);
}

gboolean worker_inherit(Worker *worker, const PublisherOptions *program, GError **error)
{
    PublisherOptions options = *program;
    g_autoptr(GError) failure = NULL;
    options.ledger = ledger_of;
    options.user = worker;
    worker->heirs = heirs_open(&options, MAX(worker->options.count, 1), &failure);
    if (failure == NULL)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

void worker_free(Worker *worker)
{
    if (worker == NULL)
        return;
    g_ptr_array_unref(worker->tcps);
    heirs_close(worker->heirs);
    publisher_close(worker->publisher); /* charges ledgers, so it goes first */
    decoder_free(worker->decoder);
    exporters_free(worker->exporters);
    saver_free(worker->saver);
    metrics_free(worker->metrics);
    roster_free(worker->roster);
    peerlog_free(worker->refusals);
    g_ptr_array_unref(worker->listeners);
    rules_unref(worker->rules);
    g_free(worker);
}

void worker_listen_take(Worker *worker, Listener *listener)
{
    g_ptr_array_add(worker->listeners, listener);
}

guint worker_inputs(const Worker *worker)
{
    return worker->listeners->len + worker->tcps->len;
}

int worker_input_fd(const Worker *worker, guint i)
{
    guint n = worker->listeners->len;
    return i < n ? listener_fd(g_ptr_array_index(worker->listeners, i))
                 : tcp_fd(g_ptr_array_index(worker->tcps, i - n));
}

void worker_dropped(Worker *worker, Drop drop, guint64 times)
{
    decoder_counts(worker->decoder)->drops[drop] += times;
}

static void meet_stranger(Worker *worker, const Datagram *datagram, Drop drop)
{
    worker_dropped(worker, drop, 1);
    worker->strangers++;
    worker->stranger = datagram->sender;
    worker->stranger_drop = drop;
}

/* Who is not on the list: once an hour it is said what to write there. */
static void refuse(Worker *worker, const PstAddr *addr)
{
    guint64 times = 0;
    worker_dropped(worker, DROP_NOT_ADMITTED, 1);
    if (!peerlog_due(worker->refusals, addr, worker->mono_ns, &times))
        return;
    char text[PST_ADDR_TEXT_MAX];
    g_autofree char *subject = g_strconcat("exporter ", pst_addr_format(addr, text), NULL);
    pst_log(PST_LOG_NOTICE, subject,
            "not on the list, refused; to admit it add the line \"%s\" to %s "
            "refused_since_last_line=%" G_GUINT64_FORMAT,
            text, worker->rules->list, times);
}

static void note_clock(Exporter *exporter, const Message *message, gint64 received_ns)
{
    gint64 offset_ns = message->export_ns - received_ns;
    if (exporter->clock_offset_ns == 0)
        exporter->clock_offset_ns = offset_ns;
    else
        exporter->clock_offset_ns += (offset_ns - exporter->clock_offset_ns) / CLOCK_OFFSET_SHARE;
}

static void take_message(Worker *worker, const Datagram *datagram, Message *message,
                         gint64 received_ns)
{
    Drop drop = DROP_NONE;
    Domain *domain =
        exporters_domain(worker->exporters, &datagram->sender, message->domain, received_ns, &drop);
    if (domain == NULL) {
        if (drop == DROP_NOT_ADMITTED)
            refuse(worker, &datagram->sender);
        else
            meet_stranger(worker, datagram, drop);
        return;
    }
    note_clock(domain->exporter, message, received_ns);
    domain->beat_due = TRUE;
    if (datagram->stream == 0) {
        decoder_message(worker->decoder, domain, message, datagram->port, received_ns);
        return;
    }
    Stream *stream = domain_stream(domain, datagram->stream, &drop);
    if (stream != NULL)
        decoder_stream_message(worker->decoder, domain, stream, message, datagram->port,
                               received_ns);
    else
        worker_dropped(worker, drop, 1);
}

static void take_malformed(Worker *worker, const Datagram *datagram, const Message *message,
                           Drop drop)
{
    Domain *domain = exporters_peek(worker->exporters, &datagram->sender, message->domain);
    if (domain == NULL) {
        meet_stranger(worker, datagram, drop);
        return;
    }
    worker_dropped(worker, drop, 1);
    exporter_dropped(domain->exporter, drop, 1);
    if (message->version == 0)
        return;
    if (datagram->stream == 0)
        ledger_malformed(domain->ledger); /* a gap will tell how much it was */
    else
        ledger_lose(domain->ledger, PST_LOSS_MALFORMED, ledger_estimate(datagram->len));
}

void worker_datagram(Worker *worker, const Datagram *datagram, gint64 received_ns)
{
    worker->datagrams++;
    worker->bytes += datagram->len;
    PstCursor payload = pst_cursor(datagram->payload, datagram->len);
    if (datagram->truncated && datagram->stream == 0) {
        Message message;
        (void)datagram_next(&payload, &message);
        take_malformed(worker, datagram, &message, DROP_TRUNCATED);
        return;
    }
    gsize left = MESSAGES_FREE + datagram->len / MESSAGE_BYTES;
    do {
        Message message;
        Drop drop = datagram_next(&payload, &message);
        if (drop == DROP_NONE && left-- == 0)
            drop = DROP_MESSAGES;
        if (drop != DROP_NONE) {
            take_malformed(worker, datagram, &message, drop);
            return;
        }
        if (message.version == 0)
            return; /* nothing but padding */
        take_message(worker, datagram, &message, received_ns);
    } while (pst_cursor_left(&payload) > 0);
}

static void take_received(gpointer user, const Datagram *datagram)
{
    Worker *worker = user;
    gint64 kernel_ns = datagram->kernel_ns != 0 ? datagram->kernel_ns : g_get_real_time() * 1000;
    worker_datagram(worker, datagram, kernel_ns + worker->clock_shift_ns);
}

gboolean worker_receive(Worker *worker, guint i)
{
    if (i >= worker->listeners->len)
        return tcp_receive(g_ptr_array_index(worker->tcps, i - worker->listeners->len));
    Listener *listener = g_ptr_array_index(worker->listeners, i);
    for (guint round = 0; round < RECEIVE_ROUNDS; round++) {
        if (listener_receive(listener, take_received, worker) < LISTENER_BATCH)
            return FALSE;
    }
    return TRUE;
}

/* What waited in it for a template is lost, and told. */
static void end_stream(gpointer user, const PstAddr *sender, guint32 id)
{
    Worker *worker = user;
    Domain *domain = exporters_domains(worker->exporters, sender);
    for (; domain != NULL; domain = domain->next) {
        Stream *stream = domain->streams;
        while (stream != NULL && stream->id != id)
            stream = stream->next;
        if (stream == NULL)
            continue;
        decoder_expire_stream(worker->decoder, domain, stream, G_MAXINT64);
        domain_end_stream(worker->exporters, domain, id);
        domain->beat_due = TRUE;
    }
}

void worker_end_stream(Worker *worker, const PstAddr *sender, guint32 stream)
{
    end_stream(worker, sender, stream);
}

static gboolean admits(gpointer user, const PstAddr *addr)
{
    Worker *worker = user;
    const PstPrefixMap *list = worker->rules->admitted;
    if (list == NULL || pst_prefix_map_find(list, addr, NULL, NULL))
        return TRUE;
    refuse(worker, addr);
    return FALSE;
}

gboolean worker_listen_tcp_take(Worker *worker, int fd, GError **error)
{
    const WorkerOptions *options = &worker->options;
    Tcp *tcp = tcp_new_take(fd,
                            &(TcpOptions){.connections_max = options->tcp_connections,
                                          .connections_each = options->tcp_connections_each,
                                          .idle_ns = options->tcp_idle_s * PST_NS_PER_S,
                                          .worker = options->number,
                                          .workers = options->count,
                                          .counts = &worker->tcp_counts,
                                          .admits = admits,
                                          .message = take_received,
                                          .ended = end_stream,
                                          .user = worker},
                            error);
    if (tcp == NULL)
        return FALSE;
    g_ptr_array_add(worker->tcps, tcp);
    return TRUE;
}

static void count_kernel_drops(Worker *worker)
{
    for (guint i = 0; i < worker->listeners->len; i++) {
        guint64 dropped = listener_take_dropped(g_ptr_array_index(worker->listeners, i));
        worker->kernel_dropped += dropped;
        worker->kernel_uncharged += dropped;
    }
}

typedef struct {
    Worker *worker;
    gint64 now_ns;
    gboolean last; /* of the program: whatever is due is said now */
} Beat;

static gboolean beat_is_due(const Domain *domain, const Beat *beat)
{
    if (!domain->beat_due && !ledger_has_news(domain->ledger))
        return FALSE;
    return beat->last || beat->now_ns - domain->beat_at_ns >= BEAT_NS ||
           domain->newest_event_ns - domain->beat_event_ns >= BEAT_EVENT_NS;
}

/* After the flows that it covers: they stand in the batches already. */
static void beat_domain(gpointer user, Domain *domain)
{
    const Beat *beat = user;
    Worker *worker = beat->worker;
    if (!beat_is_due(domain, beat))
        return;
    ledger_settle(domain->ledger, beat->last ? G_MAXINT64 : beat->now_ns,
                  &worker->kernel_uncharged);
    PstHeartbeat heartbeat = {.sampler = domain->addr,
                              .domain = domain->id,
                              .newest_event_ns = domain->newest_event_ns,
                              .received_ns = beat->now_ns,
                              .clock_offset_ms = domain->exporter->clock_offset_ns / PST_NS_PER_MS};
    ledger_beat(domain->ledger, &heartbeat);
    publisher_heartbeat(worker->publisher, &heartbeat, domain->ledger);
    domain->beat_at_ns = beat->now_ns;
    domain->beat_event_ns = domain->newest_event_ns;
    domain->beat_due = ledger_waits(domain->ledger);
}

static void expire_domain(gpointer user, Domain *domain)
{
    const Beat *beat = user;
    const WorkerOptions *options = &beat->worker->options;
    guint64 lost = domain->ledger->lost[PST_LOSS_NO_TEMPLATE];
    decoder_expire(beat->worker->decoder, domain,
                   beat->last ? G_MAXINT64 : beat->now_ns - options->hold_s * PST_NS_PER_S);
    domain->beat_due |= domain->ledger->lost[PST_LOSS_NO_TEMPLATE] != lost;
    (void)templates_expire(&domain->templates,
                           beat->now_ns - options->template_lifetime_s * PST_NS_PER_S);
}

static void show_domain(gpointer user, Domain *domain)
{
    Worker *worker = user;
    Exporter *exporter = domain->exporter;
    if (domain != exporter->domains) /* once an exporter */
        return;
    exporter_show(worker->exporters, exporter);
    if (exporter->proven)
        roster_meet(worker->roster, worker->rules->learn, worker->rules->known, &exporter->addr,
                    worker->ticked_ns);
}

/* Of this thread, if it is the worker's own. */
static guint64 cpu_us(void)
{
    struct timespec used = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (guint64)(used.tv_sec * G_USEC_PER_SEC + used.tv_nsec / 1000);
}

/* One line a minute for all of them: their addresses may be forged, and are without number. */
static void remark_strangers(Worker *worker)
{
    if (worker->strangers == worker->strangers_logged)
        return;
    worker->strangers_logged = worker->strangers;
    char text[PST_ADDR_TEXT_MAX];
    g_autofree char *subject =
        g_strconcat("sender ", pst_addr_format(&worker->stranger, text), NULL);
    pst_log_limited(&worker->strangers_limit, PST_LOG_WARN, subject,
                    "is not taken: %s reason=%s datagrams_of_all_such_senders=%" G_GUINT64_FORMAT,
                    drop_text(worker->stranger_drop), drop_name(worker->stranger_drop),
                    worker->strangers);
}

static void show(Worker *worker)
{
    remark_strangers(worker);
    exporters_each(worker->exporters, show_domain, worker);
    metrics_show(worker->metrics, &(MetricsSource){
                                      .decoder = decoder_counts(worker->decoder),
                                      .publisher = publisher_counts(worker->publisher),
                                      .budget = exporters_budget(worker->exporters),
                                      .exporters = exporters_count(worker->exporters),
                                      .datagrams = worker->datagrams,
                                      .bytes = worker->bytes,
                                      .kernel_dropped = worker->kernel_dropped,
                                      .cpu_us = cpu_us(),
                                      .saver = saver_counts(worker->saver),
                                      .tcp = &worker->tcp_counts,
                                      .roster = roster_counts(worker->roster),
                                  });
}

gboolean worker_tick_at(Worker *worker, gint64 now_ns, GError **error)
{
    /* a moved clock may step back: then every period starts anew */
    if (now_ns - worker->ticked_ns < TICK_NS && now_ns >= worker->ticked_ns)
        return TRUE;
    worker->ticked_ns = now_ns;
    count_kernel_drops(worker);
    worker->mono_ns = pst_mono_now().ns;
    for (guint i = 0; i < worker->tcps->len; i++)
        tcp_tick(g_ptr_array_index(worker->tcps, i), worker->mono_ns);
    Beat beat = {.worker = worker, .now_ns = now_ns};
    exporters_each(worker->exporters, beat_domain, &beat);
    if (ABS(now_ns - worker->expired_ns) >= EXPIRE_NS) {
        worker->expired_ns = now_ns;
        worker->kernel_uncharged = 0; /* nobody's gap: exporters that were silent since */
        exporters_each(worker->exporters, expire_domain, &beat);
        (void)exporters_expire(worker->exporters, now_ns);
    }
    if (ABS(now_ns - worker->shown_ns) >= SHOW_NS) {
        worker->shown_ns = now_ns;
        show(worker);
    }
    if (worker->saver != NULL && ABS(now_ns - worker->saved_ns) >= SAVE_NS) {
        worker->saved_ns = now_ns;
        saver_tick(worker->saver, worker->exporters, now_ns, FALSE);
    }
    return publisher_tick(worker->publisher, pst_mono_now(), error) &&
           heirs_tick(worker->heirs, pst_mono_now(), error);
}

gboolean worker_tick(Worker *worker, GError **error)
{
    gint64 now_ns = pst_clock_now(worker->options.clock).ns;
    worker->clock_shift_ns = now_ns - g_get_real_time() * 1000;
    return worker_tick_at(worker, now_ns, error);
}

void worker_reload_take(Worker *worker, Rules *rules)
{
    /* who is forgotten now has said what he had to say */
    Beat beat = {.worker = worker, .now_ns = MAX(worker->ticked_ns, 0), .last = TRUE};
    exporters_each(worker->exporters, beat_domain, &beat);
    exporters_set_rules(worker->exporters, rules->admitted, rules->rates);
    rules_unref(worker->rules);
    worker->rules = rules;
    for (guint i = 0; i < worker->tcps->len; i++)
        tcp_review(g_ptr_array_index(worker->tcps, i));
}

WorkerReport worker_report(const Worker *worker)
{
    const DecoderCounts *decoder = decoder_counts(worker->decoder);
    const PublisherCounts *publisher = publisher_counts(worker->publisher);
    WorkerReport report = {.datagrams = worker->datagrams,
                           .bytes = worker->bytes,
                           .records = decoder->records,
                           .flows = publisher->flows[TOPIC_SMTP] + publisher->flows[TOPIC_FLOWS]};
    for (guint drop = 1; drop < DROP_COUNT; drop++)
        report.dropped += decoder->drops[drop];
    return report;
}

gboolean worker_finish(Worker *worker, int timeout_ms, GError **error)
{
    Beat beat = {.worker = worker, .now_ns = MAX(worker->ticked_ns, 0), .last = TRUE};
    count_kernel_drops(worker);
    g_ptr_array_set_size(worker->tcps, 0); /* ends their connections, so that the end is told */
    exporters_each(worker->exporters, expire_domain, &beat);
    exporters_each(worker->exporters, beat_domain, &beat);
    if (worker->saver != NULL)
        saver_tick(worker->saver, worker->exporters, beat.now_ns, TRUE);
    gboolean done = publisher_flush(worker->publisher, timeout_ms, error);
    show(worker);
    return done;
}

gboolean worker_ready(const Worker *worker, GString *out_reasons)
{
    return publisher_ready(worker->publisher, out_reasons);
}
