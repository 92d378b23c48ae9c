/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One data model, several ways to write it down.
 *
 * A section is a row of the table in sections.c: a name that stays, a title, a statement over the
 * period [$1, $2). Text, CSV and JSON write every section in the table's order, empty ones too.
 */
#include <stdio.h>

#include "pg.h"

typedef struct {
    const char *name;  /* "new_blocks": key in JSON and CSV, stays */
    const char *title; /* for people */
    const char *none;  /* what text says when there are no rows */
    const char *sql;   /* rows; $1 from, $2 to */
    const char *json;  /* the same as one JSON array */
} ReportSection;

extern const ReportSection report_sections[]; /* ended by name NULL */

typedef struct {
    const char *kind;                      /* "day", "week", "month" */
    char *from, *to;                       /* timestamptz text, UTC; from inclusive, to exclusive */
    char *from_text, *to_text, *made_text; /* "2026-05-01 00:00" */
    char *from_json, *to_json, *made_json; /* RFC 3339 */
} ReportPeriod;

void report_period_clear(ReportPeriod *period);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ReportPeriod, report_period_clear)

/* The period of @kind that holds @at (RFC 3339 or a date; NULL: the last one that is over; "today":
 * the one that is not), by the database's clock. @error USAGE: @at is no time. */
gboolean report_period_read(PstPg *pg, const char *kind, const char *at, ReportPeriod *out,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A writer: begin, each section, end. What it cannot write shows in ferror(@out). */
typedef struct {
    const char *name;
    gboolean json; /* wants ReportSection.json */
    void (*begin)(FILE *out, const ReportPeriod *period);
    void (*section)(FILE *out, const ReportSection *section, const PstPgRows *rows, gboolean first);
    void (*end)(FILE *out);
} ReportWriter;

extern const ReportWriter report_text;
extern const ReportWriter report_json;
extern const ReportWriter report_csv;

/* A cell of CSV: quoted where needed; a text that a spreadsheet would take for a formula gets an
 * apostrophe before it. Appends. */
void report_csv_cell(GString *out, const char *text);
/* A value as people want it: times without fraction and zone, booleans as yes and no, arrays with
 * commas. Given. */
char *report_plain(const char *value);
