/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The keys of the scorer, and what the engine makes of them. */
#include "conf.h"
#include "engine.h"

typedef struct {
    char *bus;
    char *bus_options;
    char *database;
    char *group;
    char *networks;
    gint64 partitions;
    char *state;
    char *snapshots;
    gint64 snapshot_every_s;
    char *hash_secret;
    gint64 novelty_memory;
    gint64 max_units;
    gint64 max_episodes;
    gint64 idle_s;
    gint64 watermark_s;
    gint64 straggler_s;
    gint64 clock_ahead_s;
    gint64 quiet_s;
    double session_packets_smtp;
    double session_packets_submission;
    double both_directions;
    char **floor_sessions;
    char **floor_destinations;
    char **phi_cold;
    char **phi_known;
    double gate_cold;
    double gate_known;
    double strangers;
    double watch_at;
    double flag_at;
    double block_at;
    gint64 v6_unit_len;
} Settings;

extern const PstConfRow settings_rows[];

/* Where snapshots stand: the folder, or NULL for none. Given (g_free). */
char *settings_snapshots(const Settings *settings);

/* @error USAGE: a list of floors is not five positive numbers, the bands do not rise, the key is no
 * key, the state folder cannot be used. */
gboolean settings_engine(const Settings *settings, EngineConf *out, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
