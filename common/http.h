/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The small HTTP server that every program carries: /metrics, /healthz, /readyz.
 * /healthz 200 as long as the process answers; /readyz 200 or 503 with one line per thing that is
 * not ready, tied to real progress; /metrics the registry, the same readiness as postern_ready,
 * and what the process uses (process.h). The only door to libmicrohttpd besides the API.
 */
#include "postern/error.h"
#include "stats.h"

typedef struct PstHttp PstHttp;

/* Appends one line per reason why the program is not ready; returns TRUE if there is none.
 * Called on the server's thread: read only what is safe there (cells, atomics). */
typedef gboolean (*PstReadiness)(gpointer user, GString *out_reasons);

/* @listen "127.0.0.1:9101", "[::1]:9101", port 0 picks one. @error USAGE, IO. Given. */
PstHttp *pst_http_open(const char *listen, PstStats *stats, PstReadiness ready, gpointer user,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
guint16 pst_http_port(const PstHttp *http);
void pst_http_close(PstHttp *http);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PstHttp, pst_http_close)
