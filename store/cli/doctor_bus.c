/* SPDX-License-Identifier: Apache-2.0 */
/* The bus against the scorer's positions, and the programs' own readiness. */
#include <string.h>
#include <sys/statvfs.h>

#include "doctor.h"
#include "postern/unit.h"

/* A disk is short of room with less than both. */
#define ROOM_PERCENT 5
#define ROOM_BYTES   ((guint64)2 << 30)

#define MIB (1024.0 * 1024.0)

/* The file of an embedded bus, or NULL. */
static const char *bus_file(const Doctor *doctor)
{
    static const char scheme[] = "embedded:";
    gboolean is_file = doctor->bus_uri != NULL && g_str_has_prefix(doctor->bus_uri, scheme);
    return is_file ? doctor->bus_uri + strlen(scheme) : NULL;
}

/* Opening an embedded bus would make the file: a doctor makes nothing. */
static gboolean open_bus(Doctor *doctor, GError **error)
{
    if (doctor->bus != NULL)
        return TRUE;
    const char *path = bus_file(doctor);
    if (path != NULL && !g_file_test(path, G_FILE_TEST_EXISTS)) {
        g_set_error(error, PST_ERROR, PST_ERROR_NOT_FOUND,
                    "there is no bus at %s: the collector makes it when it starts", path);
        return FALSE;
    }
    doctor->bus = pst_bus_open(doctor->bus_uri, NULL, error);
    return doctor->bus != NULL;
}

/* Where the partition ended at the last look; a bus that goes on growing is reached by whoever
 * reads what had been there a moment ago. */
static gint64 remembered_end(Doctor *doctor, const char *topic, int partition, gint64 end)
{
    g_autofree char *key = g_strdup_printf("%s/%d", topic, partition);
    gint64 *known = g_hash_table_lookup(doctor->ends, key);
    gint64 before = known != NULL ? *known : end;
    gint64 *now = g_new(gint64, 1);
    *now = end;
    g_hash_table_replace(doctor->ends, g_steal_pointer(&key), now);
    return before;
}

static gboolean check_partition(Doctor *doctor, const char *topic, int partition, gint64 position,
                                const char *owner, GError **error)
{
    gint64 first = 0, end = 0;
    if (!pst_bus_bounds(doctor->bus, topic, partition, &first, &end, error))
        return FALSE;
    gint64 reach = remembered_end(doctor, topic, partition, end);
    gint64 next = position == PST_BUS_OLDEST ? first : MAX(position, first);
    if (next >= reach)
        return TRUE;
    g_autofree char *what = g_strdup_printf("%s partition %d: the scorer is at %" G_GINT64_FORMAT
                                            ", the bus ends at %" G_GINT64_FORMAT,
                                            topic, partition, next, end);
    doctor_wrong(
        doctor, "bus",
        owner != NULL && *owner != '\0'
            ? "is that postern-scorer running, and does it keep up? See its log and metrics"
            : "no scorer ever took this partition: start postern-scorer",
        "%s", what);
    return TRUE;
}

gboolean doctor_bus(Doctor *doctor, GError **error)
{
    if (doctor->bus_uri == NULL)
        return TRUE;
    g_autoptr(PstPgRows) rows = pst_pg_query(
        doctor->pg,
        "SELECT t.topic, p.n, coalesce(o.position, -2), coalesce(o.owner, '')"
        " FROM unnest(ARRAY['postern.smtp', 'postern.evidence']) AS t(topic),"
        " generate_series(0, coalesce(postern.setting('bus.partitions')::int, 0) - 1) AS p(n)"
        " LEFT JOIN postern.bus_offset o ON o.partition = p.n"
        " WHERE o.topic IS NULL OR o.topic = t.topic ORDER BY 1, 2",
        NULL, error);
    if (rows == NULL || !open_bus(doctor, error))
        return FALSE;
    if (pst_pg_count(rows) == 0) {
        doctor_wrong(doctor, "bus", "start postern-scorer", "no scorer has ever read this bus");
        return TRUE;
    }
    guint before = doctor->wrong;
    for (int i = 0; i < pst_pg_count(rows); i++)
        if (!check_partition(doctor, pst_pg_text(rows, i, 0), (int)pst_pg_int(rows, i, 1),
                             pst_pg_int(rows, i, 2), pst_pg_text(rows, i, 3), error))
            return FALSE;
    if (doctor->wrong == before)
        doctor_ok(doctor, "bus", "every partition is read to its end (%d)", pst_pg_count(rows) / 2);
    return TRUE;
}

/* A scorer that is away lets an embedded bus grow beyond its retention, until the disk is full. */
gboolean doctor_disk(Doctor *doctor, GError **error)
{
    const char *path = bus_file(doctor);
    struct statvfs disk;
    if (path == NULL || statvfs(path, &disk) != 0)
        return TRUE; /* doctor_bus tells what is wrong with the file */
    guint64 room = (guint64)disk.f_bavail * disk.f_frsize;
    double percent =
        disk.f_blocks > 0 ? 100.0 * (double)disk.f_bavail / (double)disk.f_blocks : 100;
    if (room < ROOM_BYTES && percent < ROOM_PERCENT)
        doctor_wrong(
            doctor, "disk",
            "make room, and see whether postern-scorer keeps up; what the collector cannot "
            "write is lost in the end",
            "the disk under %s is nearly full: %.1f %% free (%" G_GUINT64_FORMAT " MiB)", path,
            percent, room >> 20);
    return TRUE;
}

/* What can be told of the bus without the scorer's positions. */
gboolean doctor_bus_alone(Doctor *doctor, GError **error)
{
    gint64 first, end;
    return doctor->bus_uri == NULL ||
           (open_bus(doctor, error) &&
            pst_bus_bounds(doctor->bus, PST_TOPIC_SMTP, 0, &first, &end, error));
}

/* The sum of a metric's series in @text; −1: it has none. */
static double metric_of(const char *text, const char *name)
{
    double sum = -1;
    gsize len = strlen(name);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        const char *value = g_str_has_prefix(line, name) ? strchr(line, ' ') : NULL;
        if (value != NULL && (line[len] == ' ' || line[len] == '{'))
            sum = MAX(sum, 0) + g_ascii_strtod(value, NULL);
    }
    return sum;
}

/* A collector keeps batches while the bus is away: how many, since when, and can it write them? */
static void tell_spool(Doctor *doctor, const char *url)
{
    int status = 0;
    g_autofree char *text = doctor_fetch(url, "/metrics", &status, NULL);
    double batches = text != NULL ? metric_of(text, "postern_collector_spool_batches") : -1;
    if (batches < 0)
        return; /* no collector */
    double unwritten = metric_of(text, "postern_collector_spool_unwritten_bytes");
    double age_s = metric_of(text, "postern_collector_spool_oldest_seconds");
    if (unwritten > 0)
        doctor_wrong(doctor, "spool", "make room on the spool's disk, or let it be faster",
                     "%s: %.1f MiB wait for the spool's disk", url, unwritten / MIB);
    if (batches == 0)
        doctor_ok(doctor, "spool", "%s: nothing waits in its spool", url);
    else
        doctor_wrong(doctor, "spool",
                     "bring the bus back; the spool is then delivered by itself, the oldest first",
                     "%s: %.0f batches (%.1f MiB) wait in its spool, the oldest for %.0f min", url,
                     batches, metric_of(text, "postern_collector_spool_bytes") / MIB, age_s / 60);
}

gboolean doctor_programs(Doctor *doctor, GError **error)
{
    for (char *const *url = doctor->metrics; url != NULL && *url != NULL; url++) {
        int status = 0;
        g_autoptr(GError) why = NULL;
        g_autofree char *body = doctor_fetch(*url, "/readyz", &status, &why);
        if (body == NULL && pst_error_class(why) == PST_ERROR_CLASS_CONFIG) {
            g_propagate_error(error, g_steal_pointer(&why));
            return FALSE;
        }
        if (body == NULL) {
            doctor_wrong(doctor, "program", "start it, or correct the address", "%s", why->message);
            continue;
        }
        g_strdelimit(g_strchomp(body), "\n", ';');
        if (status == 200)
            doctor_ok(doctor, "program", "%s is ready", *url);
        else
            doctor_wrong(doctor, "program", "its log says more", "%s is not ready: %s", *url, body);
        tell_spool(doctor, *url);
    }
    return TRUE;
}
