/* SPDX-License-Identifier: Apache-2.0 */
#include "peerlog.h"

enum { PEERS_MAX = 1024 };

typedef struct {
    PstAddr addr;
    gint64 seen_ns;
    gint64 line_ns; /* when the last line was written */
    guint64 times;  /* since then */
} Peer;

struct PeerLog {
    gint64 period_ns;
    GTree *peers;    /* Peer, a set by addr (strangers choose them: no hash); owns */
    gint64 began_ns; /* of the present period, of all peers */
    guint lines;     /* in it */
};

static int compare_peers(gconstpointer a, gconstpointer b, gpointer user)
{
    return pst_addr_compare(&((const Peer *)a)->addr, &((const Peer *)b)->addr);
}

PeerLog *peerlog_new(gint64 period_ns)
{
    PeerLog *log = g_new0(PeerLog, 1);
    log->period_ns = period_ns;
    log->peers = g_tree_new_full(compare_peers, NULL, g_free, NULL);
    return log;
}

void peerlog_free(PeerLog *log)
{
    if (log == NULL)
        return;
    g_tree_unref(log->peers);
    g_free(log);
}

typedef struct {
    gint64 before_ns;
    GPtrArray *silent;
} Search;

static gboolean note_silent(gpointer key, gpointer value, gpointer user)
{
    Search *search = user;
    if (((Peer *)key)->seen_ns <= search->before_ns)
        g_ptr_array_add(search->silent, key);
    return FALSE;
}

/* A new period: who was silent for the last one is forgotten. */
static void begin_period(PeerLog *log, gint64 now_ns)
{
    log->began_ns = now_ns;
    log->lines = 0;
    g_autoptr(GPtrArray) silent = g_ptr_array_new();
    Search search = {.before_ns = now_ns - log->period_ns, .silent = silent};
    g_tree_foreach(log->peers, note_silent, &search);
    for (guint i = 0; i < silent->len; i++)
        g_tree_remove(log->peers, g_ptr_array_index(silent, i));
}

/* NULL: there are too many. */
static Peer *find_or_make(PeerLog *log, const PstAddr *addr, gint64 now_ns)
{
    Peer key = {.addr = *addr, .line_ns = now_ns - log->period_ns};
    gpointer found = NULL;
    if (g_tree_lookup_extended(log->peers, &key, &found, NULL) ||
        g_tree_nnodes(log->peers) >= PEERS_MAX)
        return found;
    Peer *peer = g_memdup2(&key, sizeof key);
    g_tree_insert(log->peers, peer, NULL);
    return peer;
}

gboolean peerlog_due(PeerLog *log, const PstAddr *addr, gint64 now_ns, guint64 *out_times)
{
    if (now_ns - log->began_ns >= log->period_ns)
        begin_period(log, now_ns);
    Peer *peer = find_or_make(log, addr, now_ns);
    if (peer == NULL)
        return FALSE;
    peer->times++;
    peer->seen_ns = now_ns;
    if (now_ns - peer->line_ns < log->period_ns || log->lines >= PEERLOG_LINES)
        return FALSE;
    log->lines++;
    *out_times = peer->times;
    peer->times = 0;
    peer->line_ns = now_ns;
    return TRUE;
}
