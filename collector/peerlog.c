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
    GHashTable *peers; /* Peer, a set by addr; owns */
    gint64 began_ns;   /* of the present period, of all peers */
    guint lines;       /* in it */
};

static guint peer_hash(gconstpointer peer)
{
    return (guint)pst_addr_hash(&((const Peer *)peer)->addr);
}

static gboolean peer_equal(gconstpointer a, gconstpointer b)
{
    return pst_addr_equal(&((const Peer *)a)->addr, &((const Peer *)b)->addr);
}

PeerLog *peerlog_new(gint64 period_ns)
{
    PeerLog *log = g_new0(PeerLog, 1);
    log->period_ns = period_ns;
    log->peers = g_hash_table_new_full(peer_hash, peer_equal, g_free, NULL);
    return log;
}

void peerlog_free(PeerLog *log)
{
    if (log == NULL)
        return;
    g_hash_table_unref(log->peers);
    g_free(log);
}

/* A new period: who was silent for the last one is forgotten. */
static void begin_period(PeerLog *log, gint64 now_ns)
{
    log->began_ns = now_ns;
    log->lines = 0;
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, log->peers);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        const Peer *peer = key;
        if (now_ns - peer->seen_ns >= log->period_ns)
            g_hash_table_iter_remove(&iter);
    }
}

/* NULL: there are too many. */
static Peer *find_or_make(PeerLog *log, const PstAddr *addr, gint64 now_ns)
{
    Peer key = {.addr = *addr, .line_ns = now_ns - log->period_ns};
    Peer *peer = g_hash_table_lookup(log->peers, &key);
    if (peer != NULL || g_hash_table_size(log->peers) >= PEERS_MAX)
        return peer;
    peer = g_memdup2(&key, sizeof key);
    g_hash_table_add(log->peers, peer);
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
