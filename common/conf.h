/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Configuration as a table: one row per key. From the rows come checking, defaults, --show-config
 * and the reference page. One INI file per program, or one shared file with a section per program;
 * section [postern] holds what programs share. A key of another program's section is not ours to
 * judge; an unknown key in our section or in [postern] stops the start and names file and line.
 * In [postern] may stand any key of a program's own section, as a default for programs that share
 * it (database, bus …); the own section wins.
 * Command-line options set the same rows (pst_conf_set) and win over the file.
 * A loaded configuration is read-only; reload loads a new target and swaps.
 */
#include <stdio.h>

#include "postern/error.h"

typedef enum {
    PST_CONF_BOOL,   /* gboolean: yes/no, true/false, on/off, 1/0 */
    PST_CONF_INT,    /* gint64, with min and max */
    PST_CONF_REAL,   /* double, with min and max */
    PST_CONF_BYTES,  /* gint64: number with optional K, M, G (1024) */
    PST_CONF_SPAN_S, /* gint64 seconds: number with optional s, m, h, d */
    PST_CONF_TEXT,   /* char *, owned by the target; NULL = not set (never "") */
    PST_CONF_LIST,   /* char **, comma-separated, owned by the target; never NULL, may be empty */
    PST_CONF_ENUM    /* gint64: index into choices "a|b|c" */
} PstConfType;

typedef struct {
    const char *section; /* "collector"; "postern" = shared by all */
    const char *name;
    PstConfType type;
    gsize offset;        /* offsetof(Target, field) */
    const char *unit;    /* "bytes", "s", "" */
    double min, max;     /* INT, REAL, BYTES, SPAN_S; both 0: unbounded */
    const char *choices; /* ENUM */
    const char *def;     /* default, as it would stand in the file; "" = not set */
    gboolean reloadable; /* a SIGHUP changes it; otherwise it needs a restart, and is said so */
    const char *help;    /* one sentence */
} PstConfRow;

/* Several tables may describe one file: a program's own and what every program has (run.h). */
typedef struct {
    const PstConfRow *rows;
    gpointer target;
} PstConfTable;

/* Rows end with name == NULL. Fills @target (zeroed by the caller) with defaults. */
void pst_conf_defaults(const PstConfRow *rows, gpointer target);
/* Reads the file into @target. Nothing of @target is changed on failure.
 * @error USAGE: "FILE:LINE: …: what is allowed", or the file cannot be read. */
gboolean pst_conf_load(const PstConfRow *rows, const char *file, gpointer target, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* The same for @n tables at once; a key is known if any of them knows it. */
gboolean pst_conf_load_tables(const PstConfTable *tables, gsize n, const char *file, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* Sets one key from text (command line). LIST: appends if @append. @error USAGE. */
gboolean pst_conf_set(const PstConfRow *rows, const char *section, const char *name,
                      const char *value, gboolean append, gpointer target, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* Writes an INI file with every key, its sentence, unit, range and value in force.
 * Values of keys whose name ends in "password" or "secret" are shown as "***", and so is a
 * password= inside a connection string. */
void pst_conf_show(const PstConfRow *rows, gconstpointer target, FILE *out);
/* The names of the keys, reloadable ones or the others, whose values differ between @a and @b:
 * "listen, output"; NULL: none. Given. */
char *pst_conf_changed(const PstConfRow *rows, gconstpointer a, gconstpointer b,
                       gboolean reloadable);
/* Frees what the rows own inside @target (not @target). */
void pst_conf_clear(const PstConfRow *rows, gpointer target);
