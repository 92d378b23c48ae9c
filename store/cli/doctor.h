/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What postern doctor looks at. A check says "ok" in one line, or names each thing that is wrong
 * together with what to do about it. */
#include "cli.h"
#include "postern/bus.h"

typedef struct {
    PstRun *run;
    PstPg *pg;              /* NULL: the database is away */
    const char *bus_uri;    /* NULL: not asked */
    const char *networks;   /* the collector's file, or NULL */
    const char *freezes;    /* the dispatcher's freeze file, or NULL */
    const char *freeze_key; /* the file with its key, or NULL */
    char *const *metrics;   /* base URLs, or NULL */
    const char *exporter;   /* to be told about, or NULL */
    PstBus *bus;            /* opened by the first check that needs it */
    GHashTable *ends;       /* "topic/partition" → gint64 *: where it ended at the last look */
    guint wrong;
    gboolean quiet; /* count, print nothing */
} Doctor;

void doctor_ok(Doctor *doctor, const char *what, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* @remedy what to do, or NULL. */
void doctor_wrong(Doctor *doctor, const char *what, const char *remedy, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

/* A check returns FALSE with @error if it could not look. */
typedef gboolean (*DoctorCheck)(Doctor *doctor, GError **error);

gboolean doctor_schema(Doctor *doctor, GError **error);
gboolean doctor_due(Doctor *doctor, GError **error);
gboolean doctor_alarms(Doctor *doctor, GError **error);
gboolean doctor_orders(Doctor *doctor, GError **error);
gboolean doctor_mails(Doctor *doctor, GError **error);
gboolean doctor_freezes(Doctor *doctor, GError **error);
gboolean doctor_networks(Doctor *doctor, GError **error);
gboolean doctor_loss(Doctor *doctor, GError **error);
/* Has the scorer read up to where each partition ended at the last look (or now, at the first)? */
gboolean doctor_bus(Doctor *doctor, GError **error);
/* Does it answer at all? Needs no database. */
gboolean doctor_bus_alone(Doctor *doctor, GError **error);
/* Has the disk of an embedded bus room? Needs no database. */
gboolean doctor_disk(Doctor *doctor, GError **error);
/* Needs no database. */
gboolean doctor_programs(Doctor *doctor, GError **error);

/* How many rows are due now. */
gboolean doctor_count_due(Doctor *doctor, gint64 *out_count, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* GET @url/readyz: status into @out_status, the body given. @error AWAY, USAGE. */
char *doctor_fetch(const char *url, const char *path, int *out_status, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
