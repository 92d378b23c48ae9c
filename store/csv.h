/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A reader of comma-separated files as people and their tools write them (RFC 4180).
 *
 * Fields are UTF-8; a field in quotes may hold commas, line ends and "" for a quote. Lines end in
 * LF or CRLF; a byte order mark is skipped; empty lines and lines that start with # are skipped.
 * The first record names the columns, in any order. Every error names file and line.
 * Everything is bounded: 64 MiB a file, 64 KiB a field, PST_CSV_COLUMNS_MAX columns.
 */
#include "postern/error.h"

#define PST_CSV_FILE_MAX    (64 * 1024 * 1024)
#define PST_CSV_FIELD_MAX   (64 * 1024)
#define PST_CSV_COLUMNS_MAX 64

typedef struct {
    const char *name;
    gboolean required; /* the header must have it */
} PstCsvColumn;

typedef struct PstCsv PstCsv;

/* @name for errors; @data kept until freed; @columns ended by name NULL, kept until freed.
 * @error DATA: an unknown, missing or repeated column, or no header at all. Given. */
PstCsv *pst_csv_open(const char *name, const char *data, gsize len, const PstCsvColumn *columns,
                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
void pst_csv_free(PstCsv *csv);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PstCsv, pst_csv_free)

typedef enum { PST_CSV_RECORD, PST_CSV_END, PST_CSV_ERROR } PstCsvItem;
/* Reads the next record. @error DATA "NAME:LINE: …". */
PstCsvItem pst_csv_next(PstCsv *csv, GError **error);
/* The record's field of the @column-th row of the table given to open, surrounding blanks cut off;
 * "" if the file has no such column. Borrowed until the next call. */
const char *pst_csv_field(const PstCsv *csv, guint column);
/* The line on which the record begins, from 1. */
guint pst_csv_line(const PstCsv *csv);
