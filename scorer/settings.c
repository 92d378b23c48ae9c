/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "postern/unit.h"

#define ROW(name, type, field, unit, min, max, def, help)                                          \
    {                                                                                              \
        "scorer", name, type, offsetof(Settings, field), unit, min, max, NULL, def, FALSE, help    \
    }

const PstConfRow settings_rows[] = {
    ROW("bus", PST_CONF_TEXT, bus, "", 0, 0, "",
        "Where flows and complaints come from: kafka://HOST[:PORT],... or embedded:PATH."),
    ROW("bus_options", PST_CONF_TEXT, bus_options, "", 0, 0, "",
        "More settings of librdkafka: name=value;name=value."),
    ROW("database", PST_CONF_TEXT, database, "", 0, 0, "",
        "PostgreSQL, as libpq writes it: \"host=... user=postern_ingest dbname=...\"."),
    ROW("group", PST_CONF_TEXT, group, "", 0, 0, "postern-scorer",
        "Readers of one group share the partitions."),
    ROW("partitions", PST_CONF_INT, partitions, "", 1, PST_PARTITIONS_MAX, "8",
        "How many partitions the topics get if they do not exist yet."),
    ROW("networks", PST_CONF_TEXT, networks, "", 0, 0, "",
        "Our own networks, FILE or CIDR,...: for backtests of flows that do not say which side is "
        "ours."),
    ROW("state", PST_CONF_TEXT, state, "", 0, 0, "",
        "Folder for what this host keeps: the key of the hashes, made at the first start, and "
        "snapshots."),
    ROW("snapshots", PST_CONF_TEXT, snapshots, "", 0, 0, "",
        "Folder of snapshots of the state, for a quick start; none: keep none. Not set: "
        "\"snapshots\" in the state folder, if that is set. Hosts that share partitions may share "
        "the folder; their hash_secret must be the same."),
    ROW("snapshot_every", PST_CONF_SPAN_S, snapshot_every_s, "s", 1, 86400, "5m",
        "How often a snapshot of each partition is taken; another one at the end."),
    ROW("hash_secret", PST_CONF_TEXT, hash_secret, "", 0, 0, "",
        "32 hex digits; the same on every host that may take a partition over. Not set: the key in "
        "the state folder, or a well-known one."),
    ROW("novelty_memory", PST_CONF_BYTES, novelty_memory, "bytes", 1 << 20, 17179869184.0, "32M",
        "Memory of a partition's novelty filter: 45 bytes for each new session of 15 minutes."),
    ROW("max_units", PST_CONF_INT, max_units, "", 1000, 50000000, "1000000",
        "Units a partition holds; more evicts the idle."),
    ROW("max_episodes", PST_CONF_INT, max_episodes, "", 16, 1000000, "20000",
        "Episodes a partition holds open."),
    ROW("idle", PST_CONF_SPAN_S, idle_s, "s", 21600, 31536000, "2d",
        "A unit silent for so long is forgotten."),
    ROW("watermark", PST_CONF_SPAN_S, watermark_s, "s", 1, 3600, "120",
        "How late records may come and still count in their own window."),
    ROW("straggler", PST_CONF_SPAN_S, straggler_s, "s", 1, 3600, "120",
        "An exporter further behind than this does not hold the others up."),
    ROW("clock_ahead", PST_CONF_SPAN_S, clock_ahead_s, "s", 1, 86400, "300",
        "Records further in the future than this are set aside."),
    ROW("quiet", PST_CONF_SPAN_S, quiet_s, "s", 60, 86400, "30m",
        "An episode ends after so long below the watch band."),
    ROW("session_packets_smtp", PST_CONF_REAL, session_packets_smtp, "packets", 1, 10000, "14",
        "Packets of one session on port 25 that an exporter sees, for sampled exporters."),
    ROW("session_packets_submission", PST_CONF_REAL, session_packets_submission, "packets", 1,
        10000, "23", "The same for 465, 587 and 2525."),
    ROW("both_directions", PST_CONF_REAL, both_directions, "", 1, 10, "1.93",
        "So many times these packets where an exporter tells of both directions; found out by "
        "itself."),
    ROW("floor_sessions", PST_CONF_LIST, floor_sessions, "", 0, 0, "8,20,50,150,450",
        "Sessions that anyone may open in 10 s, 60 s, 5 min, 30 min, 3 h."),
    ROW("floor_destinations", PST_CONF_LIST, floor_destinations, "", 0, 0, "6,15,35,90,250",
        "Destinations that anyone may reach in the same windows."),
    ROW("phi_cold", PST_CONF_LIST, phi_cold, "", 0, 0, "0.18,0.075,0.0018,0.00035",
        "How much of these a unit without history is granted, at 1:1, 1:100, 1:1000, 1:4096."),
    ROW("phi_known", PST_CONF_LIST, phi_known, "", 0, 0, "0.8,0.5,0.06,0.03",
        "The same for units with history."),
    ROW("gate_cold", PST_CONF_REAL, gate_cold, "sessions", 1, 1000000, "50",
        "Sessions before a unit without history is flagged."),
    ROW("gate_known", PST_CONF_REAL, gate_known, "sessions", 1, 1000000, "100",
        "Sessions before a unit with history is flagged."),
    ROW("strangers", PST_CONF_REAL, strangers, "servers", 1, 8, "5",
        "Servers that a burst must reach within an hour; who sends to fewer relays is not "
        "flagged."),
    ROW("watch_at", PST_CONF_REAL, watch_at, "", 1, 1000, "300",
        "Evidence of the watch band; 100 more is ten times less chance."),
    ROW("flag_at", PST_CONF_REAL, flag_at, "", 1, 1000, "600", "Evidence of the flag band."),
    ROW("block_at", PST_CONF_REAL, block_at, "", 1, 1000, "900", "Evidence of the block band."),
    ROW("v6_unit_len", PST_CONF_INT, v6_unit_len, "", PST_UNIT_LEN_V6_MIN, PST_UNIT_LEN_V6_DEFAULT,
        "64", "Length of an IPv6 unit where no assignment says otherwise."),
    {NULL},
};

static gboolean usage(GError **error, const char *what)
{
    g_set_error_literal(error, PST_ERROR, PST_ERROR_USAGE, what);
    return FALSE;
}

static gboolean read_numbers(char **texts, guint n, double out[])
{
    if (g_strv_length(texts) != n)
        return FALSE;
    for (guint i = 0; i < n; i++) {
        char *end;
        out[i] = g_ascii_strtod(texts[i], &end);
        if (end == texts[i] || *end != '\0' || !(out[i] > 0 && out[i] < 1e9))
            return FALSE;
    }
    return TRUE;
}

/* 32 hex digits → two words. */
static gboolean read_key(const char *text, guint64 out[2])
{
    if (strlen(text) != 32 || strspn(text, "0123456789abcdefABCDEF") != 32)
        return FALSE;
    guint64 key[2] = {0};
    for (guint i = 0; i < 32; i++)
        key[i / 16] = key[i / 16] << 4 | (guint64)g_ascii_xdigit_value(text[i]);
    memcpy(out, key, sizeof key);
    return TRUE;
}

/* Makes the key file, whole or not at all: a scorer killed meanwhile leaves none. */
static gboolean make_key_file(const char *path, GError **error)
{
    guint64 key[2];
    if (getrandom(key, sizeof key, 0) != sizeof key) {
        g_set_error(error, PST_ERROR, PST_ERROR_IO, "getrandom: %s", g_strerror(errno));
        return FALSE;
    }
    g_autofree char *text =
        g_strdup_printf("%016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x\n", key[0], key[1]);
    g_autoptr(GError) why = NULL;
    if (g_file_set_contents_full(path, text, -1,
                                 G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600,
                                 &why))
        return TRUE;
    g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "state folder: %s", why->message);
    return FALSE;
}

static gboolean key_of_folder(const char *folder, guint64 out[2], GError **error)
{
    g_autofree char *path = g_build_filename(folder, "hash_secret", NULL);
    g_autofree char *text = NULL;
    if (!g_file_test(path, G_FILE_TEST_EXISTS) && !make_key_file(path, error))
        return FALSE;
    g_autoptr(GError) why = NULL;
    if (!g_file_get_contents(path, &text, NULL, &why)) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "state folder: %s", why->message);
        return FALSE;
    }
    if (read_key(g_strstrip(text), out))
        return TRUE;
    g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                "%s does not hold 32 hex digits: write the key of the other hosts into it, or "
                "remove it for a new one",
                path);
    return FALSE;
}

static gboolean set_key(const Settings *s, EngineConf *out, GError **error)
{
    if (s->hash_secret != NULL)
        return read_key(s->hash_secret, out->key) ||
               usage(error, "hash_secret: allowed are 32 hex digits, such as those of "
                            "\"openssl rand -hex 16\"");
    return s->state == NULL || key_of_folder(s->state, out->key, error);
}

char *settings_snapshots(const Settings *s)
{
    if (s->snapshots != NULL)
        return strcmp(s->snapshots, "none") != 0 ? g_strdup(s->snapshots) : NULL;
    return s->state != NULL ? g_build_filename(s->state, "snapshots", NULL) : NULL;
}

gboolean settings_engine(const Settings *s, EngineConf *out, GError **error)
{
    EngineConf conf;
    engine_conf_init(&conf);
    conf.novelty_bytes = (guint64)s->novelty_memory;
    conf.max_units = (guint32)s->max_units;
    conf.max_episodes = (guint32)s->max_episodes;
    conf.idle_s = (guint32)s->idle_s;
    conf.watermark_s = (guint32)s->watermark_s;
    conf.straggler_s = (guint32)s->straggler_s;
    conf.clock_ahead_s = (guint32)s->clock_ahead_s;
    conf.quiet_s = (guint32)s->quiet_s;
    conf.session_packets[PST_PAIR_SMTP] = s->session_packets_smtp;
    conf.both_directions = s->both_directions;
    conf.session_packets[PST_PAIR_SUBMISSION] = s->session_packets_submission;
    conf.gate_cold = s->gate_cold;
    conf.gate_known = s->gate_known;
    conf.strangers = s->strangers;
    conf.band_at[PST_BAND_WATCH] = s->watch_at;
    conf.band_at[PST_BAND_FLAG] = s->flag_at;
    conf.band_at[PST_BAND_BLOCK] = s->block_at;
    conf.v6_unit_len = (guint8)s->v6_unit_len;
    if (!read_numbers(s->floor_sessions, 5, conf.floor_sessions) ||
        !read_numbers(s->floor_destinations, 5, conf.floor_destinations))
        return usage(error, "floor_sessions and floor_destinations: five positive numbers each, "
                            "for windows of 10 s, 60 s, 5 min, 30 min and 3 h");
    if (!read_numbers(s->phi_cold, 4, conf.phi_cold) ||
        !read_numbers(s->phi_known, 4, conf.phi_known))
        return usage(error, "phi_cold and phi_known: four positive numbers each, for sampling of "
                            "1:1, 1:100, 1:1000 and 1:4096");
    if (!(s->watch_at < s->flag_at && s->flag_at < s->block_at))
        return usage(error, "the bands must rise: watch_at < flag_at < block_at");
    if (!set_key(s, &conf, error))
        return FALSE;
    *out = conf;
    return TRUE;
}
