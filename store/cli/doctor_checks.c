/* SPDX-License-Identifier: Apache-2.0 */
/* What the database can tell. */
#include <string.h>

#include "doctor.h"
#include "migrate.h"

#define LATE_S       60
#define ALARMS_SHOWN 20

gboolean doctor_schema(Doctor *doctor, GError **error)
{
    g_autoptr(GPtrArray) all = pst_migrate_status(doctor->pg, pst_schema_files, error);
    g_autoptr(PstPgRows) mode =
        all == NULL ? NULL
                    : pst_pg_query(doctor->pg,
                                   "SELECT postern.mode(), to_char(postern.now(), 'YYYY-MM-DD "
                                   "HH24:MI:SS'), postern.setting('test.clock')",
                                   NULL, error);
    if (mode == NULL)
        return FALSE;
    for (guint i = 0; i < all->len; i++) {
        const PstMigration *m = g_ptr_array_index(all, i);
        if (m->state == PST_MIGRATION_PENDING)
            doctor_wrong(doctor, "schema", "run postern schema upgrade",
                         "migration %s is not applied", m->name);
        else if (m->state != PST_MIGRATION_APPLIED)
            doctor_wrong(doctor, "schema", "use the postern that belongs to this database",
                         "migration %s is %s", m->name, pst_migration_state_name(m->state));
    }
    const char *test = pst_pg_text(mode, 0, 2);
    doctor_ok(doctor, "database", "%u migrations, mode %s, its clock %s UTC%s%s", all->len,
              pst_pg_text(mode, 0, 0), pst_pg_text(mode, 0, 1),
              test != NULL ? ", TEST installation: " : "", test != NULL ? test : "");
    return TRUE;
}

gboolean doctor_count_due(Doctor *doctor, gint64 *out_count, GError **error)
{
    g_autoptr(PstPgRows) rows = pst_pg_query(
        doctor->pg, "SELECT coalesce(sum(count), 0)::bigint FROM postern.due", NULL, error);
    if (rows == NULL)
        return FALSE;
    *out_count = pst_pg_int(rows, 0, 0);
    return TRUE;
}

static const char *work_of(const char *kind)
{
    static const struct {
        const char *kind, *work;
    } works[] = {
        {"verdict", "verdict"}, {"complaint", "verdict"}, {"timer", "deadline"},
        {"mail", "mail"},       {"order", "enforce"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(works); i++)
        if (strcmp(works[i].kind, kind) == 0)
            return works[i].work;
    return kind;
}

/* Rows are due all the time; rows that stay due are not looked after. */
gboolean doctor_due(Doctor *doctor, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, LATE_S);
    g_autoptr(PstPgRows) rows =
        pst_pg_query(doctor->pg,
                     "SELECT kind, count, to_char(oldest, 'YYYY-MM-DD HH24:MI:SS'),"
                     " coalesce(oldest < postern.now() - make_interval(secs => $1), false)"
                     " FROM postern.due WHERE count > 0 ORDER BY kind",
                     &p, error);
    if (rows == NULL)
        return FALSE;
    guint late = 0;
    for (int i = 0; i < pst_pg_count(rows); i++) {
        if (!pst_pg_bool(rows, i, 3))
            continue;
        late++;
        g_autofree char *remedy =
            g_strdup_printf("is postern-dispatch --work=%s running? Its log and /readyz say more",
                            work_of(pst_pg_text(rows, i, 0)));
        doctor_wrong(doctor, "due", remedy, "%s rows of kind %s are due, the oldest since %s UTC",
                     pst_pg_text(rows, i, 1), pst_pg_text(rows, i, 0), pst_pg_text(rows, i, 2));
    }
    if (late == 0)
        doctor_ok(doctor, "due", "nothing waits longer than %d s", LATE_S);
    return TRUE;
}

gboolean doctor_alarms(Doctor *doctor, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, ALARMS_SHOWN);
    g_autoptr(PstPgRows) rows = pst_pg_query(
        doctor->pg,
        "SELECT id, kind, subject, detail, times, to_char(last_at, 'YYYY-MM-DD HH24:MI'),"
        " count(*) OVER () FROM api_v1.alarms WHERE cleared_at IS NULL"
        " ORDER BY last_at DESC LIMIT $1",
        &p, error);
    if (rows == NULL)
        return FALSE;
    for (int i = 0; i < pst_pg_count(rows); i++) {
        g_autofree char *remedy = g_strdup_printf(
            "when seen to: SELECT postern.clear_alarm(%s, 'your name')", pst_pg_text(rows, i, 0));
        doctor_wrong(doctor, "alarm", remedy, "%s, %s: %s (%s times, last %s UTC)",
                     pst_pg_text(rows, i, 1), pst_pg_text(rows, i, 2), pst_pg_text(rows, i, 3),
                     pst_pg_text(rows, i, 4), pst_pg_text(rows, i, 5));
    }
    int shown = pst_pg_count(rows);
    if (shown == 0)
        doctor_ok(doctor, "alarms", "none");
    else if (pst_pg_int(rows, 0, 6) > shown)
        doctor_wrong(doctor, "alarm", "SELECT * FROM api_v1.alarms WHERE cleared_at IS NULL",
                     "and %" G_GINT64_FORMAT " more", pst_pg_int(rows, 0, 6) - shown);
    return TRUE;
}

static void tell_adapter(Doctor *doctor, const PstPgRows *rows, int i)
{
    const char *name = pst_pg_text(rows, i, 0);
    if (pst_pg_int(rows, i, 1) > 0)
        doctor_wrong(doctor, "network",
                     "SELECT * FROM api_v1.enforcement_desired WHERE state = 'failed'",
                     "adapter %s refuses %s orders: %s", name, pst_pg_text(rows, i, 1),
                     pst_pg_text(rows, i, 2));
    if (pst_pg_int(rows, i, 3) > 0)
        doctor_wrong(doctor, "network",
                     "look at them, then postern enforcement limits … if it is right",
                     "%s orders of adapter %s are held back: %s", pst_pg_text(rows, i, 3), name,
                     pst_pg_text(rows, i, 4));
    if (pst_pg_int(rows, i, 7) > 0)
        doctor_wrong(doctor, "network",
                     "does postern-dispatch --work=enforce run? It closes them again by itself",
                     "%s blocks of adapter %s were not refreshed in time and are open in the "
                     "network",
                     pst_pg_text(rows, i, 7), name);
    if (!pst_pg_is_null(rows, i, 5))
        doctor_wrong(doctor, "network", "look at the script that adapter hook runs",
                     "nobody knows what adapter %s has applied: %s", name, pst_pg_text(rows, i, 5));
}

gboolean doctor_orders(Doctor *doctor, GError **error)
{
    g_autoptr(PstPgRows) rows =
        pst_pg_query(doctor->pg,
                     "SELECT a.adapter, a.failed, min(e.error) FILTER (WHERE e.state = 'failed'),"
                     " count(*) FILTER (WHERE e.state = 'pending' AND e.error LIKE 'held: %'),"
                     " min(e.error) FILTER (WHERE e.state = 'pending' AND e.error LIKE 'held: %'),"
                     " a.reconcile_error, a.switch, a.expired, a.lifted"
                     " FROM api_v1.adapters a LEFT JOIN api_v1.enforcement_desired e"
                     "  ON e.adapter = a.adapter AND e.state <> 'applied'"
                     " WHERE a.enabled GROUP BY a.adapter, a.failed, a.reconcile_error, a.switch,"
                     " a.expired, a.lifted",
                     NULL, error);
    if (rows == NULL)
        return FALSE;
    guint before = doctor->wrong;
    for (int i = 0; i < pst_pg_count(rows); i++)
        tell_adapter(doctor, rows, i);
    const char *turned = pst_pg_count(rows) > 0 ? pst_pg_text(rows, 0, 6) : "on";
    if (strcmp(turned, "off") == 0)
        doctor_wrong(doctor, "network", "postern enforcement start",
                     "setting enforcement is off: no order reaches the network");
    else if (strcmp(turned, "lift") == 0)
        doctor_wrong(doctor, "network", "postern enforcement start",
                     "setting enforcement is lift: every block is opened in the network");
    if (doctor->wrong == before)
        doctor_ok(doctor, "network", "no order is refused");
    return TRUE;
}

/* One mail that a server puts off is its daily business; a server that does not answer is not. */
gboolean doctor_mails(Doctor *doctor, GError **error)
{
    g_autoptr(PstPgRows) rows =
        pst_pg_query(doctor->pg,
                     "SELECT sum(tried), to_char(min(oldest), 'YYYY-MM-DD HH24:MI:SS'),"
                     " coalesce(max(trouble), 'the last answer was ' || max(code)),"
                     " to_char(min(next_at), 'YYYY-MM-DD HH24:MI:SS') FROM api_v1.mail_queue"
                     " HAVING sum(tried) >= 3 OR sum(unanswered) > 0 OR max(most_attempts) > 1",
                     NULL, error);
    if (rows == NULL)
        return FALSE;
    if (pst_pg_count(rows) == 0)
        doctor_ok(doctor, "mail", "no mail server is away");
    else
        doctor_wrong(doctor, "mail",
                     "look after the mail server; postern-dispatch --work=mail then goes on by "
                     "itself",
                     "%s mails to customers wait, the oldest since %s UTC: %s (next try %s UTC)",
                     pst_pg_text(rows, 0, 0), pst_pg_text(rows, 0, 1), pst_pg_text(rows, 0, 2),
                     pst_pg_text(rows, 0, 3));
    return TRUE;
}

/* ---- networks ---- */

static GHashTable *read_networks_file(const char *file, GError **error)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) why = NULL;
    if (!g_file_get_contents(file, &text, NULL, &why)) {
        g_set_error(error, PST_ERROR, PST_ERROR_IO, "%s", why->message);
        return NULL;
    }
    g_autoptr(GHashTable) nets = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++) {
        lines[i][strcspn(lines[i], "#")] = '\0';
        const char *line = g_strstrip(lines[i]);
        PstPrefix net;
        char canonical[PST_PREFIX_TEXT_MAX];
        if (*line == '\0')
            continue;
        if (!pst_prefix_parse(line, strlen(line), FALSE, &net)) {
            g_set_error(error, PST_ERROR, PST_ERROR_DATA, "%s:%u: \"%.60s\" is no network", file,
                        i + 1, line);
            return NULL;
        }
        g_hash_table_add(nets, g_strdup(pst_prefix_format(&net, canonical)));
    }
    return g_steal_pointer(&nets);
}

static void compare_networks(Doctor *doctor, GHashTable *in_file, const PstPgRows *rows)
{
    static const char remedy[] = "run postern networks export --output on the collector's file";
    guint before = doctor->wrong;
    for (int i = 0; i < pst_pg_count(rows); i++) {
        PstPrefix net;
        char text[PST_PREFIX_TEXT_MAX];
        if (!pst_pg_prefix(rows, i, 0, &net))
            continue;
        if (!g_hash_table_remove(in_file, pst_prefix_format(&net, text)))
            doctor_wrong(doctor, "networks", remedy,
                         "%s is ours and not in %s: its flows are not "
                         "seen",
                         text, doctor->networks);
    }
    GHashTableIter iter;
    gpointer text;
    g_hash_table_iter_init(&iter, in_file);
    while (g_hash_table_iter_next(&iter, &text, NULL))
        doctor_wrong(doctor, "networks", remedy, "%s stands in %s and is not ours",
                     (const char *)text, doctor->networks);
    if (doctor->wrong == before)
        doctor_ok(doctor, "networks", "%d, as in %s", pst_pg_count(rows), doctor->networks);
}

gboolean doctor_networks(Doctor *doctor, GError **error)
{
    g_autoptr(PstPgRows) rows =
        pst_pg_query(doctor->pg, "SELECT net FROM postern.networks_in_force", NULL, error);
    if (rows == NULL)
        return FALSE;
    if (pst_pg_count(rows) == 0) {
        doctor_wrong(doctor, "networks", "run postern networks add",
                     "no network is ours: nothing is ever judged");
        return TRUE;
    }
    if (doctor->networks == NULL) {
        doctor_ok(doctor, "networks", "%d (--networks FILE compares the collector's)",
                  pst_pg_count(rows));
        return TRUE;
    }
    g_autoptr(GHashTable) in_file = read_networks_file(doctor->networks, error);
    if (in_file == NULL)
        return FALSE;
    compare_networks(doctor, in_file, rows);
    return TRUE;
}
