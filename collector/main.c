/* SPDX-License-Identifier: Apache-2.0 */
/* postern-collector: from routers' exports to flows on the bus. */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "capture.h"
#include "config.h"
#include "run.h"

enum { TICK_MS = 100, FLUSH_MS = 10000, EPOCH_NS_PER_US = 1000, LAST_ROUNDS = 64 };

/* What main owns for the life of the process. */
typedef struct {
    PstRun run;
    Config config;
    PortSet ports;
    char *producer;
    Worker *worker;
} Collector;

static const char description[] =
    "Receives NetFlow v5, v9 and IPFIX over UDP, and publishes flows.\n"
    "\n"
    "Examples:\n"
    "  postern-collector --listen udp://0.0.0.0:2055 --publish all --output json:-\n"
    "      shows every flow that a router sends, one JSON object a line\n"
    "  postern-collector --listen udp://[::]:2055 --networks /etc/postern/networks \\\n"
    "                    --output embedded:/var/lib/postern/bus.db\n"
    "      the usual single host: flows of mail for the scorer\n"
    "  postern-collector --read lab.pcap --publish all --output json:-\n"
    "      reads a capture of export traffic (or an IPFIX file) and ends\n"
    "\n"
    "embedded:PATH is for one host; more than one host is kafka://'s job.\n"
    "SIGHUP rereads networks, exporters and sampling. SIGTERM delivers what is there and ends.\n"
    "Metrics, readiness: --metrics 127.0.0.1:9101. See docs/collector.md.";

static gboolean is_ready(gpointer user, GString *out_reasons)
{
    const Collector *collector = user;
    const Worker *worker = g_atomic_pointer_get(&collector->worker);
    if (worker != NULL)
        return worker_ready(worker, out_reasons);
    g_string_append(out_reasons, "starting\n");
    return FALSE;
}

static WorkerOptions worker_options(const Collector *collector)
{
    const Config *config = &collector->config;
    return (WorkerOptions){
        .publisher = {.output = config->output,
                      .all = config->publish == 1,
                      .partitions = (guint32)config->partitions,
                      .batch_bytes = (gsize)config->batch_bytes,
                      .batch_ms = config->batch_ms,
                      .queue_bytes = (gsize)config->queue_bytes,
                      .producer = collector->producer,
                      .epoch = (guint64)g_get_real_time() * EPOCH_NS_PER_US,
                      .delivery_timeout_ms = config->delivery_timeout_s * 1000,
                      .group_name = config->bus_group,
                      .extra = config->kafka_options},
        .ports = &collector->ports,
        .exporters_max = (guint)config->exporters_max,
        .hold_bytes_max = (gsize)config->hold_bytes_all,
        .hold_domain_bytes = (gsize)config->hold_bytes,
        .hold_s = config->hold_time,
        .template_lifetime_s = config->template_lifetime,
        .verify = config->verify,
        .clock = collector->run.clock,
        .stats = collector->run.stats,
    };
}

static gboolean set_up(Collector *collector, GError **error)
{
    Config *config = &collector->config;
    if (!config_check(config, error) || !config_ports(config, &collector->ports, error))
        return FALSE;
    collector->producer = config->producer != NULL && *config->producer != '\0'
                              ? g_strdup(config->producer)
                              : g_strconcat("collector-", g_get_host_name(), NULL);
    g_autoptr(Rules) rules = config_rules(config, error);
    if (rules == NULL)
        return FALSE;
    WorkerOptions options = worker_options(collector);
    Worker *worker = worker_new(&options, g_steal_pointer(&rules), error);
    if (worker == NULL)
        return FALSE;
    g_atomic_pointer_set(&collector->worker, worker);
    for (guint i = 0; config->listen != NULL && config->listen[i] != NULL; i++) {
        Listener *listener = listener_open(config->listen[i], config->rcvbuf, error);
        if (listener == NULL)
            return FALSE;
        worker_listen_take(worker, listener);
        pst_log(PST_LOG_INFO, config->listen[i], "listening port=%u rcvbuf_bytes=%" G_GINT64_FORMAT,
                listener_port(listener), listener_rcvbuf(listener));
    }
    return TRUE;
}

static void take_packet(Worker *worker, CaptureItem item, const Datagram *datagram)
{
    if (item == CAPTURE_FRAGMENT)
        worker_dropped(worker, DROP_FRAGMENT);
    else if (item == CAPTURE_OTHER || !datagram_is_export(datagram->payload, datagram->len))
        worker_dropped(worker, DROP_NOT_EXPORT);
    else
        worker_datagram(worker, datagram, datagram->kernel_ns);
}

static gboolean read_file(Collector *collector, const char *path, GError **error)
{
    g_autoptr(Capture) capture = capture_open(path, error);
    if (capture == NULL)
        return FALSE;
    g_autofree char *what = g_strdup_printf("reading %s", path);
    PstProgress progress;
    pst_progress_init(&progress, what, "bytes", capture_size(capture));
    g_autoptr(GError) failure = NULL;
    while (!pst_run_stopping(&collector->run)) {
        Datagram datagram = {0};
        CaptureItem item = capture_next(capture, &datagram, &failure);
        if (item == CAPTURE_END)
            break;
        take_packet(collector->worker, item, &datagram);
        if (item == CAPTURE_DATAGRAM &&
            !worker_tick_at(collector->worker, datagram.kernel_ns, error))
            return FALSE;
        pst_progress_update(&progress, capture_position(capture));
        pst_run_tick(&collector->run);
    }
    pst_progress_end(&progress, capture_position(capture));
    if (failure == NULL)
        return TRUE;
    g_propagate_prefixed_error(error, g_steal_pointer(&failure), "%s: ", path);
    return FALSE;
}

static gboolean read_files(Collector *collector, char **files, GError **error)
{
    for (guint i = 0; files != NULL && files[i] != NULL; i++) {
        if (!read_file(collector, files[i], error))
            return FALSE;
    }
    return TRUE;
}

static void reload(Collector *collector)
{
    g_autoptr(GError) error = NULL;
    Config fresh = {0};
    g_autoptr(Rules) rules = NULL;
    if (pst_run_load(&collector->run, &fresh, &error)) {
        rules = config_rules(&fresh, &error);
        if (rules != NULL && rules->networks == NULL && collector->config.publish == 0) {
            g_clear_pointer(&rules, rules_free);
            g_set_error_literal(&error, PST_ERROR, PST_ERROR_USAGE, "no networks");
        }
        pst_conf_clear(config_rows, &fresh);
    }
    if (rules == NULL) {
        pst_log(PST_LOG_ERR, NULL, "reload refused, the old rules stay: %s", error->message);
        return;
    }
    worker_reload_take(collector->worker, g_steal_pointer(&rules));
    pst_log(PST_LOG_NOTICE, NULL, "networks, exporters and sampling reread");
}

/* One turn: sleep until something is to do, receive, tick. */
static gboolean turn(Collector *collector, struct pollfd *fds, guint n, gboolean *busy,
                     GError **error)
{
    Worker *worker = collector->worker;
    if (poll(fds, n + 1, *busy ? 0 : TICK_MS) < 0 && errno != EINTR) {
        g_set_error(error, PST_ERROR, PST_ERROR_IO, "poll: %s", g_strerror(errno));
        return FALSE;
    }
    *busy = FALSE;
    for (guint i = 0; i < n; i++) {
        if (fds[i].revents != 0)
            *busy |= worker_receive(worker, i);
    }
    pst_run_tick(&collector->run);
    if (pst_run_take_reload(&collector->run))
        reload(collector);
    return worker_tick(worker, error);
}

static gboolean listen_until_stopped(Collector *collector, GError **error)
{
    guint n = worker_listeners(collector->worker);
    g_autofree struct pollfd *fds = g_new0(struct pollfd, n + 1);
    for (guint i = 0; i < n; i++)
        fds[i] = (struct pollfd){.fd = worker_listener_fd(collector->worker, i), .events = POLLIN};
    fds[n] = (struct pollfd){.fd = pst_run_signal_fd(&collector->run), .events = POLLIN};
    gboolean busy = FALSE;
    while (!pst_run_stopping(&collector->run)) {
        if (!turn(collector, fds, n, &busy, error))
            return FALSE;
    }
    for (guint i = 0; i < n; i++) { /* what had arrived when we were asked to stop */
        for (guint round = 0; round < LAST_ROUNDS && worker_receive(collector->worker, i); round++)
            continue;
    }
    return TRUE;
}

static gboolean work(Collector *collector, GError **error)
{
    if (!set_up(collector, error) || !worker_tick(collector->worker, error))
        return FALSE;
    pst_run_ready(&collector->run);
    gboolean good =
        read_files(collector, collector->config.read, error) &&
        read_files(collector, collector->run.args, error) &&
        (worker_listeners(collector->worker) == 0 || listen_until_stopped(collector, error));
    /* whatever ended it: what was read until then is delivered */
    return worker_finish(collector->worker, FLUSH_MS, good ? error : NULL) && good;
}

int main(int argc, char **argv)
{
    Collector collector = {0};
    const PstProgram program = {.program = "postern-collector",
                                .summary = "from routers' exports to flows on the bus",
                                .description = description,
                                .positional = "FILE…",
                                .rows = config_rows,
                                .target = &collector.config,
                                .ready = is_ready,
                                .ready_user = &collector};
    int status = PST_EXIT_DONE;
    if (!pst_run_init(&program, argc, argv, &collector.run, &status))
        return status;
    GError *error = NULL;
    if (!work(&collector, &error))
        status = pst_run_fail_take("collector", error);
    Worker *worker = collector.worker;
    g_atomic_pointer_set(&collector.worker, NULL);
    pst_run_done(&collector.run); /* the metrics server first: it looks at the worker */
    worker_free(worker);
    pst_conf_clear(config_rows, &collector.config);
    g_free(collector.producer);
    return status;
}
