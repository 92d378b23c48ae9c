/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The collector's configuration: one row per key (config.c), and what is made of it. */
#include "conf.h"
#include "crew.h"
#include "portset.h"

typedef struct {
    char **listen;
    gint64 workers;
    char **read;
    gint64 packets; /* PacketsMode */
    gint64 packets_sampled;
    char *networks;
    gint64 publish; /* 0 smtp, 1 all */
    char *output;
    char **mail_ports;
    char *exporters;
    char **sampling;
    char *producer;
    gint64 partitions;
    gint64 batch_bytes;
    gint64 batch_ms;
    gint64 queue_bytes;
    gint64 delivery_timeout_s;
    char *spool;
    gint64 spool_bytes;
    char *bus_group;
    char *kafka_options;
    gint64 rcvbuf;
    gint64 template_lifetime;
    gint64 hold_time;
    gint64 hold_bytes;
    gint64 hold_bytes_all;
    gint64 exporters_max;
    char *state;
    gint64 tcp_connections;
    gint64 tcp_connections_each;
    gint64 tcp_idle;
    gboolean verify;
} Config;

extern const PstConfRow config_rows[];

/* What needs more than a row to check: output given, networks where they must be. @reads_files:
 * captures are input. @error USAGE. */
gboolean config_check(const Config *config, gboolean reads_files, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* Networks, exporter list and overrides, read from their files. @error USAGE. Given. */
Rules *config_rules(const Config *config, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Where the state file is; NULL: nowhere. @reads_files: captures are input. Given. */
char *config_state_path(const Config *config, const char *producer, gboolean reads_files);
/* Where the spool is; NULL: nowhere. Given. */
char *config_spool_path(const Config *config, const char *producer, gboolean reads_files);
/* TRUE: the operator named the state file himself. */
gboolean config_state_named(const Config *config);

/* @error USAGE: no port number. */
gboolean config_ports(const Config *config, PortSet *out, GError **error) G_GNUC_WARN_UNUSED_RESULT;
