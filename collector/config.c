/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stddef.h>
#include <string.h>

#include "roster.h"

#define LEARN "learn:"

#define ROW(key, kind, ...)                                                                        \
    {                                                                                              \
        .section = "collector", .name = #key, .type = kind, .offset = offsetof(Config, key),       \
        __VA_ARGS__                                                                                \
    }

/* clang-format off */
const PstConfRow config_rows[] = {
    ROW(listen, PST_CONF_LIST, .unit = "", .def = "",
        .help = "Sockets to receive on, as udp://0.0.0.0:2055 or tcp://[::]:4739 (IPFIX only)."),
    ROW(workers, PST_CONF_INT, .unit = "", .min = 1, .max = CREW_MAX, .def = "1",
        .help = "Threads that receive; an exporter's address decides which one gets it."),
    ROW(read, PST_CONF_LIST, .unit = "", .def = "",
        .help = "Capture files (pcap, pcapng, IPFIX) to read instead of, or before, listening."),
    ROW(packets, PST_CONF_ENUM, .unit = "", .choices = "no|yes|auto", .def = "no",
        .help = "yes: captures hold packets of the traffic itself, and flows are made of "
                "these; no: they hold flow exports; auto: packets, if no export is among them."),
    ROW(packets_sampled, PST_CONF_INT, .unit = "", .min = 1, .max = G_MAXUINT32, .def = "1",
        .help = "With packets: the capture holds 1 of so many packets."),
    ROW(networks, PST_CONF_TEXT, .unit = "", .def = "", .reloadable = TRUE,
        .help = "Our own networks: a file with one CIDR a line, or CIDRs separated by commas. "
                "Made by 'postern networks export'."),
    ROW(publish, PST_CONF_ENUM, .unit = "", .choices = "smtp|all", .def = "smtp",
        .help = "smtp: flows of mail that touch our networks; all: every flow, too."),
    ROW(output, PST_CONF_TEXT, .unit = "", .def = "",
        .help = "kafka://HOST:PORT,…, embedded:PATH (one host), json:PATH or json:- ."),
    ROW(mail_ports, PST_CONF_LIST, .unit = "", .def = "25,465,587,2525",
        .help = "TCP ports that mean mail."),
    ROW(exporters, PST_CONF_TEXT, .unit = "", .def = "", .reloadable = TRUE,
        .help = "Exporters to admit: a file or a list of CIDRs. learn:FILE admits everyone and "
                "writes newcomers into FILE, to be read and then enforced. Empty: everyone, within "
                "bounds."),
    ROW(sampling, PST_CONF_LIST, .unit = "", .def = "", .reloadable = TRUE,
        .help = "Sampling rates that override what exporters say, as 192.0.2.1=1000."),
    ROW(producer, PST_CONF_TEXT, .unit = "", .def = "",
        .help = "Name on the bus, unique per process and the same after a restart. Empty: "
                "collector-HOSTNAME."),
    ROW(partitions, PST_CONF_INT, .unit = "", .min = 1, .max = PST_PARTITIONS_MAX, .def = "8",
        .help = "Partitions of the topics, if this program is the first to use them "
                "(docs/scaling.md)."),
    ROW(batch_bytes, PST_CONF_BYTES, .unit = "bytes", .min = 1024, .max = 786432, .def = "64K",
        .help = "A batch is sent when it is this long."),
    ROW(batch_ms, PST_CONF_INT, .unit = "ms", .min = 1, .max = 10000, .def = "200",
        .help = "A batch is sent when it is this old."),
    ROW(queue_bytes, PST_CONF_BYTES, .unit = "bytes", .min = 1048576, .max = 68719476736.0,
        .def = "64M",
        .help = "Batches kept while the bus is away; above it the oldest goes, and is counted."),
    ROW(delivery_timeout_s, PST_CONF_SPAN_S, .unit = "s", .min = 1, .max = 86400, .def = "120",
        .help = "Without a spool: the bus gives a batch up after this."),
    ROW(spool, PST_CONF_TEXT, .unit = "", .def = "auto",
        .help = "File that keeps batches while the bus is away, over restarts, too; several "
                "workers use FILE-1, FILE-2 and so on. auto: with kafka://, PRODUCER.spool in "
                "systemd's state directory. none: no file."),
    ROW(spool_bytes, PST_CONF_BYTES, .unit = "bytes", .min = 1048576, .max = 1099511627776.0,
        .def = "4G",
        .help = "Bound of these files together; above it the oldest batches go, and are counted."),
    ROW(bus_group, PST_CONF_TEXT, .unit = "", .def = "",
        .help = "embedded: Unix group that may write the bus file."),
    ROW(kafka_options, PST_CONF_TEXT, .unit = "", .def = "",
        .help = "kafka: options of librdkafka, as name=value;name=value."),
    ROW(rcvbuf, PST_CONF_BYTES, .unit = "bytes", .min = 4096, .max = 1073741824, .def = "32M",
        .help = "Queue of each socket (SO_RCVBUF); above net.core.rmem_max it needs "
                "CAP_NET_ADMIN."),
    ROW(template_lifetime, PST_CONF_SPAN_S, .unit = "s", .min = 60, .max = 604800, .def = "30m",
        .help = "A template that was neither sent nor used for so long is forgotten."),
    ROW(hold_time, PST_CONF_SPAN_S, .unit = "s", .min = 0, .max = 3600, .def = "60",
        .help = "Data whose template has not come yet is kept so long."),
    ROW(hold_bytes, PST_CONF_BYTES, .unit = "bytes", .min = 0, .max = 1073741824, .def = "256K",
        .help = "Bytes so kept, per exporter and domain."),
    ROW(hold_bytes_all, PST_CONF_BYTES, .unit = "bytes", .min = 0, .max = 68719476736.0,
        .def = "32M", .help = "Bytes so kept, over all exporters."),
    ROW(exporters_max, PST_CONF_INT, .unit = "", .min = 1, .max = 1000000, .def = "16384",
        .help = "Exporters known at a time; more are refused, and counted."),
    ROW(state, PST_CONF_TEXT, .unit = "", .def = "auto",
        .help = "File in which templates, sampling rates and sequence numbers outlive the program. "
                "auto: PRODUCER.state in systemd's state directory or beside an embedded bus; no "
                "file with json: or when files are read. none: no file."),
    ROW(tcp_connections, PST_CONF_INT, .unit = "", .min = 1, .max = 100000, .def = "1024",
        .help = "TCP connections at a time."),
    ROW(tcp_connections_each, PST_CONF_INT, .unit = "", .min = 1, .max = 100000, .def = "16",
        .help = "TCP connections of one exporter at a time; its idle ones make room."),
    ROW(tcp_idle, PST_CONF_SPAN_S, .unit = "s", .min = 1, .max = 604800, .def = "30m",
        .help = "A TCP connection without a message for so long is closed."),
    ROW(verify, PST_CONF_BOOL, .unit = "", .def = "no",
        .help = "Decode everything a second time with libfixbuf and count differences (slow)."),
    {.name = NULL},
};
/* clang-format on */

static gboolean empty(const char *text)
{
    return text == NULL || *text == '\0';
}

static gboolean empty_list(char *const *list)
{
    return list == NULL || list[0] == NULL;
}

static gboolean is_output(const char *output)
{
    return g_str_has_prefix(output, "json:") || g_str_has_prefix(output, "kafka://") ||
           g_str_has_prefix(output, "embedded:");
}

gboolean config_check(const Config *config, gboolean reads_files, GError **error)
{
    const char *problem = NULL;
    if (empty(config->output))
        problem = "no output: say where flows go, --output json:- or embedded:PATH or kafka://…";
    else if (!is_output(config->output))
        problem = "output must begin with kafka://, embedded: or json:";
    else if (empty_list(config->listen) && !reads_files)
        problem = "no input: say --listen udp://0.0.0.0:2055, or --read FILE";
    else if (empty(config->networks) && config->publish == 0)
        problem = "no networks: with publish = smtp the direction of mail must be known. Say "
                  "--networks FILE (made by 'postern networks export') or --networks CIDR,…; or "
                  "--publish all";
    else if (config->workers > 1 && g_str_has_prefix(config->output, "json:"))
        problem = "json: is written by one worker; say --workers 1, or another output";
    if (problem == NULL)
        return TRUE;
    g_set_error_literal(error, PST_ERROR, PST_ERROR_USAGE, problem);
    return FALSE;
}

gboolean config_ports(const Config *config, PortSet *out, GError **error)
{
    PortSet ports = {0};
    for (guint i = 0; config->mail_ports[i] != NULL; i++) {
        guint64 port;
        if (!g_ascii_string_to_unsigned(config->mail_ports[i], 10, 1, 65535, &port, NULL)) {
            g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "mail_ports: '%s' is no port number",
                        config->mail_ports[i]);
            return FALSE;
        }
        portset_add(&ports, (guint16)port);
    }
    *out = ports;
    return TRUE;
}

static gboolean add_rate(PstPrefixMap *map, const char *text, GError **error)
{
    const char *sign = strchr(text, '=');
    PstPrefix prefix;
    guint64 n;
    if (sign == NULL || !pst_prefix_parse(text, (gsize)(sign - text), TRUE, &prefix) ||
        !g_ascii_string_to_unsigned(sign + 1, 10, 1, G_MAXUINT32, &n, NULL)) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "sampling: '%s' is not EXPORTER=N, as 192.0.2.1=1000", text);
        return FALSE;
    }
    pst_prefix_map_add(map, &prefix, (guint32)n);
    return TRUE;
}

static gboolean load_rates(const Config *config, Rules *rules, GError **error)
{
    if (empty_list(config->sampling))
        return TRUE;
    rules->rates = pst_prefix_map_new();
    for (guint i = 0; config->sampling[i] != NULL; i++) {
        if (!add_rate(rules->rates, config->sampling[i], error))
            return FALSE;
    }
    pst_prefix_map_seal(rules->rates);
    return TRUE;
}

static gboolean load_exporters(const char *exporters, Rules *rules, GError **error)
{
    if (empty(exporters))
        return TRUE;
    if (g_str_has_prefix(exporters, LEARN)) {
        rules->learn = g_strdup(exporters + strlen(LEARN));
        rules->known = roster_prepare(rules->learn, error);
        return rules->known != NULL;
    }
    gboolean is_file = g_file_test(exporters, G_FILE_TEST_EXISTS);
    rules->list = g_strdup(is_file ? exporters : "exporters");
    rules->admitted = pst_networks_load(exporters, error);
    return rules->admitted != NULL;
}

Rules *config_rules(const Config *config, GError **error)
{
    g_autoptr(Rules) rules = rules_new();
    if (!empty(config->networks)) {
        rules->networks = pst_networks_load(config->networks, error);
        if (rules->networks == NULL)
            return NULL;
    }
    if (!load_exporters(config->exporters, rules, error)) {
        g_prefix_error(error, "exporters: ");
        return NULL;
    }
    return load_rates(config, rules, error) ? g_steal_pointer(&rules) : NULL;
}

gboolean config_state_named(const Config *config)
{
    return !empty(config->state) && !g_str_equal(config->state, "auto") &&
           !g_str_equal(config->state, "none");
}

/* PRODUCER.@suffix in the folder that is ours; NULL: there is none. Given. */
static char *path_in(const char *folder, const char *producer, const char *suffix)
{
    g_autofree char *name = g_strdelimit(g_strconcat(producer, suffix, NULL), "/", '_');
    return folder != NULL ? g_build_filename(folder, name, NULL) : NULL;
}

/* What systemd made for us; NULL: it did not start us. Given. */
static char *state_directory(void)
{
    const char *ours = g_getenv("STATE_DIRECTORY"); /* systemd.exec(5); several by colons */
    return empty(ours) ? NULL : g_strndup(ours, strcspn(ours, ":"));
}

char *config_state_path(const Config *config, const char *producer, gboolean reads_files)
{
    static const char embedded[] = "embedded:";
    if (config_state_named(config))
        return g_strdup(config->state);
    if (empty(config->state) || g_str_equal(config->state, "none") || reads_files ||
        g_str_has_prefix(config->output, "json:"))
        return NULL;
    g_autofree char *folder = state_directory();
    if (folder == NULL && g_str_has_prefix(config->output, embedded))
        folder = g_path_get_dirname(config->output + strlen(embedded));
    return path_in(folder, producer, ".state");
}

char *config_spool_path(const Config *config, const char *producer, gboolean reads_files)
{
    if (empty(config->spool) || g_str_equal(config->spool, "none") ||
        g_str_has_prefix(config->output, "json:"))
        return NULL;
    if (!g_str_equal(config->spool, "auto"))
        return g_strdup(config->spool);
    g_autofree char *folder = state_directory();
    gboolean wanted = g_str_has_prefix(config->output, "kafka:") && !reads_files;
    return wanted ? path_in(folder, producer, ".spool") : NULL;
}
