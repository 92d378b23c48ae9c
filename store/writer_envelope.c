/* SPDX-License-Identifier: Apache-2.0 */
#include "writer_envelope.h"

#include <string.h>

#define CELLS (PST_ENVELOPE_CHANNELS * PST_ENVELOPE_SCALES)

/* ---- reading ---- */

/* "{1,2.5,…}" of @n numbers; zeroes where there is none. */
static void read_numbers(const PstPgRows *rows, int row, int column, double *out, gsize n)
{
    memset(out, 0, n * sizeof *out);
    if (pst_pg_is_null(rows, row, column))
        return;
    const char *at = pst_pg_text(rows, row, column) + 1;
    for (gsize i = 0; i < n && *at != '\0' && *at != '}'; i++) {
        char *end;
        out[i] = g_ascii_strtod(at, &end);
        at = *end == ',' ? end + 1 : end;
    }
}

static void read_counts(const PstPgRows *rows, int row, int column,
                        guint32 out[PST_ENVELOPE_CHANNELS])
{
    double counts[PST_ENVELOPE_CHANNELS];
    read_numbers(rows, row, column, counts, PST_ENVELOPE_CHANNELS);
    for (guint i = 0; i < PST_ENVELOPE_CHANNELS; i++)
        out[i] = (guint32)CLAMP(counts[i], 0, G_MAXUINT32);
}

enum { FIRST_PAIR = 9, PAIR_COLUMNS = 5 };

static void read_pair(const PstPgRows *rows, int row, guint pair, PstLearned *out)
{
    int column = FIRST_PAIR + PAIR_COLUMNS * (int)pair;
    double means[2 * PST_ENVELOPE_CHANNELS];
    out->present = !pst_pg_is_null(rows, row, column);
    out->sampling = pst_pg_real(rows, row, column);
    out->days = (guint)pst_pg_int(rows, row, column + 1);
    read_numbers(rows, row, column + 2, &out->record[0][0], CELLS);
    read_numbers(rows, row, column + 3, &out->target[0][0], CELLS);
    read_numbers(rows, row, column + 4, means, G_N_ELEMENTS(means));
    memcpy(out->mean_long, means, sizeof out->mean_long);
    memcpy(out->mean_short, means + PST_ENVELOPE_CHANNELS, sizeof out->mean_short);
}

static gboolean is_ours(const PstUnit *unit, gint64 row_partition, guint32 partition,
                        guint32 partitions)
{
    return row_partition >= 0 || pst_partition_of(&unit->addr, partitions) == partition;
}

/* $1 partition, $2 most rows, $3 and $4 after which unit and owner. */
static void add_page(PstPgParams *p, guint32 partition, guint max, const PstUnit *after,
                     guint64 owner)
{
    pst_pg_add_int(p, partition);
    pst_pg_add_int(p, max);
    if (after != NULL)
        pst_pg_add_prefix(p, after);
    else
        pst_pg_add_null(p);
    pst_pg_add_int(p, (gint64)owner);
}

GArray *writer_read_envelopes(PstPg *pg, guint32 partition, guint32 partitions,
                              const PstEnvelope *after, guint max, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    add_page(&p, partition, max, after != NULL ? &after->unit : NULL,
             after != NULL ? after->owner : 0);
    g_autoptr(PstPgRows) rows = pst_pg_query(
        pg,
        "SELECT unit, owner, partition, since, day - date '1970-01-01',"
        "       first_day - date '1970-01-01', mail_day - date '1970-01-01',"
        "       coalesce(confirmed_day - date '1970-01-01', 0), mail_days | (flags << 8),"
        "       smtp_sampling, smtp_days, smtp_most, smtp_target, smtp_mean,"
        "       submission_sampling, submission_days, submission_most, submission_target,"
        "       submission_mean"
        "  FROM postern.unit_envelope"
        " WHERE partition IN ($1, -1) AND ($3::inet IS NULL OR (unit, owner) > ($3::inet, $4))"
        " ORDER BY unit, owner LIMIT $2",
        &p, error);
    if (rows == NULL)
        return NULL;
    g_autoptr(GArray) found = g_array_new(FALSE, TRUE, sizeof(PstEnvelope));
    for (int i = 0; i < pst_pg_count(rows); i++) {
        PstEnvelope row = {.owner = (guint64)pst_pg_int(rows, i, 1)};
        if (!pst_pg_prefix(rows, i, 0, &row.unit))
            continue;
        row.since = pst_pg_int(rows, i, 3);
        row.day = (guint)pst_pg_int(rows, i, 4);
        row.first_day = (guint)pst_pg_int(rows, i, 5);
        row.mail_day = (guint)pst_pg_int(rows, i, 6);
        row.confirmed_day = (guint)pst_pg_int(rows, i, 7);
        row.mail_days = (guint)pst_pg_int(rows, i, 8) & 0xff;
        row.flags = (guint)pst_pg_int(rows, i, 8) >> 8;
        row.gone = !is_ours(&row.unit, pst_pg_int(rows, i, 2), partition, partitions);
        for (guint pair = 0; pair < PST_PAIR_COUNT; pair++)
            read_pair(rows, i, pair, &row.pair[pair]);
        g_array_append_val(found, row);
    }
    return g_steal_pointer(&found);
}

GArray *writer_read_waiting(PstPg *pg, guint32 partition, guint32 partitions,
                            const PstWaitingDay *after, guint max, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    add_page(&p, partition, max, after != NULL ? &after->unit : NULL,
             after != NULL ? after->owner : 0);
    pst_pg_add_int(&p, after != NULL ? after->day : 0);
    g_autoptr(PstPgRows) rows = pst_pg_query(
        pg,
        "SELECT unit, owner, partition, day - date '1970-01-01', smtp_sampling, smtp_most,"
        "       smtp_count, submission_sampling, submission_most, submission_count"
        "  FROM postern.unit_waiting"
        " WHERE partition IN ($1, -1) AND fate = 'waiting' AND ($3::inet IS NULL"
        "       OR (unit, owner, day) > ($3::inet, $4, date '1970-01-01' + $5::int))"
        " ORDER BY unit, owner, day LIMIT $2",
        &p, error);
    if (rows == NULL)
        return NULL;
    g_autoptr(GArray) found = g_array_new(FALSE, TRUE, sizeof(PstWaitingDay));
    for (int i = 0; i < pst_pg_count(rows); i++) {
        PstWaitingDay row = {.owner = (guint64)pst_pg_int(rows, i, 1)};
        if (!pst_pg_prefix(rows, i, 0, &row.unit))
            continue;
        row.day = (guint)pst_pg_int(rows, i, 3);
        row.fate = is_ours(&row.unit, pst_pg_int(rows, i, 2), partition, partitions)
                       ? PST_WAITING
                       : PST_WAITING_DROPPED;
        for (guint pair = 0; pair < PST_PAIR_COUNT; pair++) {
            int column = 4 + 3 * (int)pair;
            row.sampling[pair] = pst_pg_real(rows, i, column);
            read_numbers(rows, i, column + 1, &row.most[pair][0][0], CELLS);
            read_counts(rows, i, column + 2, row.count[pair]);
        }
        g_array_append_val(found, row);
    }
    return g_steal_pointer(&found);
}

/* ---- writing ---- */

/* Arrays within arrays go as text: "{1,2.5,…}". */
static void add_numbers(PstPgArray *column, const double *numbers, gsize n)
{
    g_autoptr(GString) text = g_string_new("{");
    for (gsize i = 0; i < n; i++) {
        char number[G_ASCII_DTOSTR_BUF_SIZE];
        g_string_append_printf(text, "%s%s", i > 0 ? "," : "",
                               g_ascii_dtostr(number, sizeof number, numbers[i]));
    }
    g_string_append_c(text, '}');
    pst_pg_array_text(column, text->str);
}

static void add_pair(PstPgArray *columns, const PstLearned *learned)
{
    if (!learned->present) {
        for (guint c = 0; c < PAIR_COLUMNS; c++)
            pst_pg_array_null(&columns[c]);
        return;
    }
    double means[2 * PST_ENVELOPE_CHANNELS];
    memcpy(means, learned->mean_long, sizeof learned->mean_long);
    memcpy(means + PST_ENVELOPE_CHANNELS, learned->mean_short, sizeof learned->mean_short);
    pst_pg_array_real(&columns[0], learned->sampling);
    pst_pg_array_int(&columns[1], learned->days);
    add_numbers(&columns[2], &learned->record[0][0], CELLS);
    add_numbers(&columns[3], &learned->target[0][0], CELLS);
    add_numbers(&columns[4], means, G_N_ELEMENTS(means));
}

/* Rows of the same tick may speak of one unit twice: the last one counts, in the order of @n. */
static gboolean upsert(PstPg *pg, guint32 partition, const PstEnvelope *rows, gsize n,
                       GError **error)
{
    PstPgArray columns[FIRST_PAIR + PST_PAIR_COUNT * PAIR_COLUMNS];
    pst_pg_arrays(columns, G_N_ELEMENTS(columns));
    gsize written = 0;
    for (gsize i = 0; i < n; i++) {
        if (rows[i].gone)
            continue;
        written++;
        pst_pg_array_prefix(&columns[0], &rows[i].unit);
        pst_pg_array_int(&columns[1], (gint64)rows[i].owner);
        pst_pg_array_int(&columns[2], rows[i].since);
        pst_pg_array_int(&columns[3], rows[i].day);
        pst_pg_array_int(&columns[4], rows[i].first_day);
        pst_pg_array_int(&columns[5], rows[i].mail_day);
        pst_pg_array_int(&columns[6], rows[i].confirmed_day);
        pst_pg_array_int(&columns[7], rows[i].mail_days);
        pst_pg_array_int(&columns[8], rows[i].flags);
        for (guint pair = 0; pair < PST_PAIR_COUNT; pair++)
            add_pair(&columns[FIRST_PAIR + PAIR_COLUMNS * pair], &rows[i].pair[pair]);
    }
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, partition);
    pst_pg_add_arrays_take(&p, columns, G_N_ELEMENTS(columns));
    return written == 0 ||
           pst_pg_run(
               pg,
               "INSERT INTO postern.unit_envelope (unit, owner, partition, since, day, first_day,"
               "    mail_day, confirmed_day, mail_days, flags, smtp_sampling, smtp_days, smtp_most,"
               "    smtp_target, smtp_mean, submission_sampling, submission_days, submission_most,"
               "    submission_target, submission_mean, updated_at)"
               " SELECT DISTINCT ON (unit, owner) unit, owner, $1, since, date '1970-01-01' + day,"
               "    date '1970-01-01' + first, date '1970-01-01' + mail,"
               "    date '1970-01-01' + nullif(confirmed, 0), mail_days, flags,"
               "    s0, d0, m0::double precision[], t0::double precision[], a0::double precision[],"
               "    s1, d1, m1::double precision[], t1::double precision[], a1::double precision[],"
               "    postern.now()"
               "   FROM unnest($2::inet[], $3::bigint[], $4::bigint[], $5::int[], $6::int[],"
               "        $7::int[], $8::int[], $9::int[], $10::int[], $11::double precision[],"
               "        $12::int[], $13::text[], $14::text[], $15::text[], $16::double precision[],"
               "        $17::int[], $18::text[], $19::text[], $20::text[]) WITH ORDINALITY"
               "        AS t (unit, owner, since, day, first, mail, confirmed, mail_days, flags,"
               "              s0, d0, m0, t0, a0, s1, d1, m1, t1, a1, n)"
               "  ORDER BY unit, owner, n DESC"
               " ON CONFLICT (unit, owner) DO UPDATE SET"
               "    partition = excluded.partition, since = excluded.since, day = excluded.day,"
               "    first_day = excluded.first_day, mail_day = excluded.mail_day,"
               "    confirmed_day = excluded.confirmed_day, mail_days = excluded.mail_days,"
               "    flags = excluded.flags, smtp_sampling = excluded.smtp_sampling,"
               "    smtp_days = excluded.smtp_days, smtp_most = excluded.smtp_most,"
               "    smtp_target = excluded.smtp_target, smtp_mean = excluded.smtp_mean,"
               "    submission_sampling = excluded.submission_sampling,"
               "    submission_days = excluded.submission_days,"
               "    submission_most = excluded.submission_most,"
               "    submission_target = excluded.submission_target,"
               "    submission_mean = excluded.submission_mean, updated_at = excluded.updated_at",
               &p, NULL, error);
}

static gboolean remove_gone(PstPg *pg, const PstEnvelope *rows, gsize n, GError **error)
{
    PstPgArray columns[2];
    pst_pg_arrays(columns, G_N_ELEMENTS(columns));
    gsize gone = 0;
    for (gsize i = 0; i < n; i++) {
        if (!rows[i].gone)
            continue;
        gone++;
        pst_pg_array_prefix(&columns[0], &rows[i].unit);
        pst_pg_array_int(&columns[1], (gint64)rows[i].owner);
    }
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_arrays_take(&p, columns, G_N_ELEMENTS(columns));
    return gone == 0 || pst_pg_run(pg,
                                   "DELETE FROM postern.unit_envelope e"
                                   " USING unnest($1::inet[], $2::bigint[]) AS t (unit, owner)"
                                   " WHERE e.unit = t.unit AND e.owner = t.owner",
                                   &p, NULL, error);
}

/* A unit that was forgotten and came back in one tick has young history only: too little for a row
 * of its own. So what goes may go last. */
gboolean writer_write_envelopes(PstPg *pg, guint32 partition, const PstEnvelope *rows, gsize n,
                                GError **error)
{
    return upsert(pg, partition, rows, n, error) && remove_gone(pg, rows, n, error);
}

gboolean writer_write_waiting(PstPg *pg, guint32 partition, const PstWaitingDay *rows, gsize n,
                              GError **error)
{
    enum { FIXED = 4, OF_PAIR = 3 };
    PstPgArray columns[FIXED + OF_PAIR * PST_PAIR_COUNT];
    pst_pg_arrays(columns, G_N_ELEMENTS(columns));
    for (gsize i = 0; i < n; i++) {
        pst_pg_array_prefix(&columns[0], &rows[i].unit);
        pst_pg_array_int(&columns[1], (gint64)rows[i].owner);
        pst_pg_array_int(&columns[2], rows[i].day);
        pst_pg_array_text(&columns[3], pst_waiting_fate_name(rows[i].fate));
        for (guint pair = 0; pair < PST_PAIR_COUNT; pair++) {
            PstPgArray *own = &columns[FIXED + OF_PAIR * pair];
            double counts[] = {rows[i].count[pair][0], rows[i].count[pair][1]};
            pst_pg_array_real(&own[0], rows[i].sampling[pair]);
            add_numbers(&own[1], &rows[i].most[pair][0][0], CELLS);
            add_numbers(&own[2], counts, G_N_ELEMENTS(counts));
        }
    }
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, partition);
    pst_pg_add_arrays_take(&p, columns, G_N_ELEMENTS(columns));
    return n == 0 ||
           pst_pg_run(
               pg,
               "INSERT INTO postern.unit_waiting (unit, owner, day, partition, fate,"
               "    smtp_sampling, smtp_most, smtp_count, submission_sampling, submission_most,"
               "    submission_count, withheld_at, decided_at)"
               " SELECT DISTINCT ON (unit, owner, day) unit, owner, date '1970-01-01' + day, $1,"
               "    fate, s0, m0::double precision[], c0::bigint[], s1, m1::double precision[],"
               "    c1::bigint[], postern.now(),"
               "    CASE WHEN fate <> 'waiting' THEN postern.now() END"
               "   FROM unnest($2::inet[], $3::bigint[], $4::int[], $5::text[],"
               "        $6::double precision[], $7::text[], $8::text[], $9::double precision[],"
               "        $10::text[], $11::text[]) WITH ORDINALITY"
               "        AS t (unit, owner, day, fate, s0, m0, c0, s1, m1, c1, n)"
               "  ORDER BY unit, owner, day, n DESC"
               " ON CONFLICT (unit, owner, day) DO UPDATE SET"
               "    partition = excluded.partition, fate = excluded.fate,"
               "    smtp_sampling = excluded.smtp_sampling, smtp_most = excluded.smtp_most,"
               "    smtp_count = excluded.smtp_count,"
               "    submission_sampling = excluded.submission_sampling,"
               "    submission_most = excluded.submission_most,"
               "    submission_count = excluded.submission_count,"
               "    decided_at = excluded.decided_at",
               &p, NULL, error);
}

gboolean writer_envelopes_outlive(PstPg *pg, guint32 partition, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, partition);
    return pst_pg_run(pg, "UPDATE postern.unit_envelope SET since = -1 WHERE partition = $1", &p,
                      NULL, error);
}
