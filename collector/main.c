/* SPDX-License-Identifier: Apache-2.0 */
/* postern-collector: from routers' exports to flows on the bus. */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "config.h"
#include "reader.h"
#include "run.h"

enum { TICK_MS = 500, EPOCH_NS_PER_US = 1000 };

/* What main owns for the life of the process. */
typedef struct {
    PstRun run;
    Config config;
    PortSet ports;
    char *producer;
    char *spool; /* path; NULL: none */
    State *state;
    Crew *crew;
    guint32 files; /* read, or begun */
} Collector;

static const char description[] =
    "Receives NetFlow v5, v9 and IPFIX over UDP, IPFIX also over TCP, and publishes flows.\n"
    "\n"
    "Examples:\n"
    "  postern-collector --listen udp://0.0.0.0:2055 --publish all --output json:-\n"
    "      shows every flow that a router sends, one JSON object a line\n"
    "  postern-collector --listen udp://[::]:2055 --networks /etc/postern/networks \\\n"
    "                    --output embedded:/var/lib/postern/bus.db\n"
    "      the usual single host: flows of mail for the scorer\n"
    "  postern-collector --read lab.pcap --publish all --output json:-\n"
    "      reads a capture of export traffic (or an IPFIX file) and ends\n"
    "  postern-collector --read uplink.pcap --packets yes --publish all --output json:-\n"
    "      makes flows of a capture of the traffic itself\n"
    "\n"
    "embedded:PATH is for one host; more than one host is kafka://'s job.\n"
    "SIGHUP rereads networks, exporters and sampling. SIGTERM delivers what is there and ends.\n"
    "Metrics, readiness: --metrics 127.0.0.1:9101. In operation say --exporters: without a list\n"
    "everyone who can send is heard. docs/collector.md: what to type on each maker's routers.";

static gboolean is_ready(gpointer user, GString *out_reasons)
{
    const Collector *collector = user;
    Crew *crew = g_atomic_pointer_get(&collector->crew);
    if (crew != NULL)
        return crew_ready(crew, out_reasons);
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
                      .extra = config->kafka_options,
                      .spool = collector->spool,
                      .spool_bytes = config->spool_bytes},
        .ports = &collector->ports,
        .exporters_max = (guint)config->exporters_max,
        .hold_bytes_max = (gsize)config->hold_bytes_all,
        .hold_domain_bytes = (gsize)config->hold_bytes,
        .hold_s = config->hold_time,
        .template_lifetime_s = config->template_lifetime,
        .tcp_connections = (guint)config->tcp_connections,
        .tcp_connections_each = (guint)config->tcp_connections_each,
        .tcp_idle_s = config->tcp_idle,
        .verify = config->verify,
        .state = collector->state,
        .clock = collector->run.clock,
        .stats = collector->run.stats,
    };
}

static gboolean reads_files(const Collector *collector)
{
    char *const *read = collector->config.read;
    char *const *args = collector->run.args;
    return (read != NULL && read[0] != NULL) || (args != NULL && args[0] != NULL);
}

/* A file that the operator named himself must be usable. */
static gboolean open_state(Collector *collector, GError **error)
{
    const Config *config = &collector->config;
    g_autofree char *path = config_state_path(config, collector->producer, reads_files(collector));
    if (path == NULL)
        return TRUE;
    g_autoptr(GError) problem = NULL;
    collector->state = state_open(path, collector->run.stats, &problem);
    if (collector->state != NULL)
        return TRUE;
    if (config_state_named(config)) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return FALSE;
    }
    pst_log(PST_LOG_WARN, NULL, "%s; what is known of exporters will not outlive this process",
            problem->message);
    return TRUE;
}

static gboolean set_up(Collector *collector, GError **error)
{
    Config *config = &collector->config;
    if (!config_check(config, reads_files(collector), error) ||
        !config_ports(config, &collector->ports, error))
        return FALSE;
    collector->producer = config->producer != NULL && *config->producer != '\0'
                              ? g_strdup(config->producer)
                              : g_strconcat("collector-", g_get_host_name(), NULL);
    g_autoptr(Rules) rules = config_rules(config, error);
    if (rules == NULL || !open_state(collector, error))
        return FALSE;
    collector->spool = config_spool_path(config, collector->producer, reads_files(collector));
    WorkerOptions options = worker_options(collector);
    Crew *crew = crew_new(&options, (guint)config->workers, g_steal_pointer(&rules), error);
    if (crew == NULL)
        return FALSE;
    g_atomic_pointer_set(&collector->crew, crew);
    for (guint i = 0; config->listen[i] != NULL; i++) {
        if (!crew_listen(crew, config->listen[i], config->rcvbuf, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean read_files(Collector *collector, char **files, GError **error)
{
    const ReaderOptions options = {
        .packets = (PacketsMode)collector->config.packets,
        .packets_sampled = (guint32)collector->config.packets_sampled,
    };
    for (guint i = 0; files != NULL && files[i] != NULL; i++) {
        if (!reader_file(&collector->run, crew_reader(collector->crew), &options, files[i],
                         ++collector->files, error))
            return FALSE;
    }
    return TRUE;
}

/* NULL: the new configuration is not in order. */
static Rules *fresh_rules(const Collector *collector, char **out_restart, GError **error)
{
    Config fresh = {0};
    if (!pst_run_load(&collector->run, &fresh, error))
        return NULL;
    g_autoptr(Rules) rules = config_rules(&fresh, error);
    *out_restart = pst_conf_changed(config_rows, &collector->config, &fresh, FALSE);
    pst_conf_clear(config_rows, &fresh);
    if (rules != NULL && rules->networks == NULL && collector->config.publish == 0) {
        g_set_error_literal(error, PST_ERROR, PST_ERROR_USAGE, "no networks");
        return NULL;
    }
    return g_steal_pointer(&rules);
}

static void reload(Collector *collector)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *restart = NULL;
    Rules *rules = fresh_rules(collector, &restart, &error);
    if (rules == NULL) {
        pst_log(PST_LOG_ERR, NULL, "reload refused, the old rules stay: %s", error->message);
        return;
    }
    crew_reload_take(collector->crew, rules);
    pst_log(PST_LOG_NOTICE, NULL, "networks, exporters and sampling reread%s%s",
            restart != NULL ? "; needs a restart: " : "", restart != NULL ? restart : "");
}

static gboolean listen_until_stopped(Collector *collector, GError **error)
{
    Crew *crew = collector->crew;
    if (!crew_start(crew, error))
        return FALSE;
    struct pollfd fds[] = {{.fd = pst_run_signal_fd(&collector->run), .events = POLLIN},
                           {.fd = crew_fd(crew), .events = POLLIN}};
    while (!pst_run_stopping(&collector->run) && !crew_failed(crew)) {
        if (poll(fds, G_N_ELEMENTS(fds), TICK_MS) < 0 && errno != EINTR) {
            g_set_error(error, PST_ERROR, PST_ERROR_IO, "poll: %s", g_strerror(errno));
            return FALSE;
        }
        if (crew_alive(crew))
            pst_run_tick(&collector->run);
        if (pst_run_take_reload(&collector->run))
            reload(collector);
    }
    return TRUE;
}

static gboolean work(Collector *collector, GError **error)
{
    if (!set_up(collector, error))
        return FALSE;
    pst_run_ready(&collector->run);
    gboolean good = read_files(collector, collector->config.read, error) &&
                    read_files(collector, collector->run.args, error) &&
                    (collector->config.listen[0] == NULL || listen_until_stopped(collector, error));
    /* whatever ended it: what was read until then is delivered */
    return crew_stop(collector->crew, good ? error : NULL) && good;
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
    Crew *crew = collector.crew;
    g_atomic_pointer_set(&collector.crew, NULL);
    state_close(collector.state);
    pst_run_done(&collector.run); /* the metrics server first: it looks at the crew */
    crew_free(crew);
    pst_conf_clear(config_rows, &collector.config);
    g_free(collector.spool);
    g_free(collector.producer);
    return status;
}
