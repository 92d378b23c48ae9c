/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The life of a program: common options, signals, readiness, watchdog, progress. Every main.c is
 * built on it, so that all programs look and behave alike.
 *
 *   1. pst_run_init parses the command line (GOption), loads the configuration file, applies
 *      options over it, opens log, clock, stats and the metrics server.
 *   2. the program opens what it needs and calls pst_run_ready();
 *   3. it loops while !pst_run_stopping(), calling pst_run_tick() at least each second;
 *   4. pst_run_done.
 * SIGTERM and SIGINT ask to stop (a second one ends at once), SIGHUP asks to reload. What serves
 * one command (brief) leaves them alone: its transaction is rolled back, its mail not taken.
 * Common options: --config FILE, --clock SPEC, --metrics ADDR:PORT, --log-level L, --show-config,
 * --version, --help. Clock, log level and metrics address are keys of the file too. Thread: main;
 * stopping may be asked from any.
 */
#include "clock.h"
#include "conf.h"
#include "http.h"
#include "log.h"
#include "postern/error.h"
#include "stats.h"

typedef struct {
    const char *program;         /* "postern-collector" */
    const char *summary;         /* one line for --help */
    const char *description;     /* paragraphs and examples before the options of --help */
    const char *positional;      /* "FILE…", or NULL if there is none */
    const PstConfRow *rows;      /* the program's keys, ended by name NULL; may be NULL */
    gpointer target;             /* zeroed configuration struct of rows */
    const GOptionEntry *options; /* options that are no keys; ended; may be NULL */
    gboolean brief;              /* a command, no service: signals end it at once, like any */
    PstReadiness ready;          /* for /readyz; NULL: ready after pst_run_ready */
    gpointer ready_user;
} PstProgram;

/* Options "--NAME VALUE" are made for every row automatically (underscores become dashes; BOOL
 * rows are flags --NAME and --no-NAME; LIST rows may be repeated and then replace the file's list),
 * in a group of their own in --help. A row whose name is an option of @options gets none. */

typedef struct {
    PstClock *clock;
    PstStats *stats;
    PstHttp *http;             /* NULL without --metrics */
    char **args;               /* positional arguments, NULL-terminated, may be empty */
    const char *config_file;   /* or NULL */
    struct PstRunState *state; /* run.c's own */
} PstRun;

/* Returns TRUE: go on. FALSE: end with *out_status (help and version printed: 0; usage: 2); the
 * target is cleared. */
gboolean pst_run_init(const PstProgram *program, int argc, char **argv, PstRun *out_run,
                      int *out_status) G_GNUC_WARN_UNUSED_RESULT;
/* Fills the zeroed @target as pst_run_init did: defaults, the file as it is now, the command line
 * over it. For SIGHUP: load a new target, compare what is reloadable, swap, clear the old one.
 * @error USAGE; @target is then cleared. */
gboolean pst_run_load(const PstRun *run, gpointer target, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void pst_run_ready(PstRun *run); /* sd_notify READY=1, /readyz may turn 200 */
gboolean pst_run_stopping(const PstRun *run);
gboolean pst_run_take_reload(PstRun *run); /* TRUE once per SIGHUP */
void pst_run_tick(PstRun *run);            /* watchdog */
int pst_run_signal_fd(const PstRun *run);  /* readable when a signal asks for something; for poll */
/* Sleeps at most @timeout_ms; a signal wakes it. */
void pst_run_wait(PstRun *run, int timeout_ms);
void pst_run_done(PstRun *run); /* frees what init made; not the program's target */

/* Logs @error (prefixed by @what) once and returns the exit status for it. Frees @error. */
int pst_run_fail_take(const char *what, GError *error);

/* A progress line on stderr for work that a person waits for: shown only on a terminal, at most
 * ten times a second, after two seconds; the last line says total and rate.
 *     reading lab.pcap: 1.2 GB of 4.8 GB (25 %), 310 MB/s, 2,400,113 records (612,000/s), 12 s left
 */
typedef struct {
    const char *what;    /* "replaying lab.pcap" */
    const char *unit;    /* "datagrams"; "bytes" are shown in thousands, millions … */
    guint64 total;       /* 0: unknown */
    const char *yielded; /* what came of it so far, "records"; NULL: nothing to tell */
    guint64 yield;
    gboolean on_terminal;
    gint64 started_ns, shown_ns;
} PstProgress;
void pst_progress_init(PstProgress *progress, const char *what, const char *unit, guint64 total);
/* Would an update show anything now? (for who has to look for his numbers) */
gboolean pst_progress_due(const PstProgress *progress);
void pst_progress_update(PstProgress *progress, guint64 done);
void pst_progress_end(PstProgress *progress, guint64 done);
/* A number as people read it: "999 bytes", "1.2 GB"; "2,400,113 records"; @out 48 bytes. Returns
 * @out. */
char *pst_quantity(double n, const char *unit, char out[48]);
