/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Exporters (a sender's address) and their observation domains: all that is remembered of a peer,
 * and its bounds.
 *
 *   Exporter 192.0.2.1 ─┬─ Domain 0    templates, sampling, held data, ledger
 *                       └─ Domain 512  …
 *
 * Admission: with a list, only exporters on it; without, everyone, up to the bounds. What never
 * sent a record is forgotten after a minute, what was silent for EXPORTER_IDLE_S after that: a
 * flood of forged senders cannot keep the table full.
 * Thread: the worker's.
 */
#include "hold.h"
#include "ledger.h"
#include "notes.h"
#include "prefix_map.h"
#include "sampling.h"
#include "stats.h"
#include "template.h"

enum {
    EXPORTERS_MAX_DEFAULT = 16384,
    EXPORTERS_SHOWN_MAX = 1000,  /* with metrics of their own, and so many domains (shown.h) */
    INTERFACES_SHOWN_MAX = 1000, /* named in the metrics of one worker */
    EXPORTER_DOMAINS_MAX = 128,
    EXPORTER_STREAMS_MAX = 256, /* connections × domains, of one exporter */
    EXPORTER_IDLE_S = 3600,
    EXPORTER_PROBATION_S = 60,
    EXPORTER_WORK_MAX = 4096,
    EXPORTER_WORK_PER_S = 256,
    EXPORTER_PURSES = 8
};

typedef struct Exporter Exporter;
typedef struct Exporters Exporters;
typedef struct Domain Domain;

/* A domain's share of a TCP connection or an IPFIX file: what lives and goes with such a transport
 * session, and does not expire by time. (Over UDP a session is a port: template.h.) */
typedef struct Stream Stream;
struct Stream {
    Stream *next; /* of the same domain */
    guint32 id;   /* of the session, never 0 */
    guint16 port; /* of the exporter */
    Templates templates;
    Hold hold;
};

struct Domain {
    Exporter *exporter; /* borrowed: outlives its domains */
    Domain *next;       /* of the same exporter */
    guint64 hash;       /* key, with exporter's address and id */
    PstAddr addr;
    guint32 id;
    Templates templates;
    Sampling sampling;
    Notes notes;
    Hold hold;
    Stream *streams;           /* owned */
    Ledger *ledger;            /* one reference */
    struct DomainCells *cells; /* metrics; NULL: none yet, or beyond their bound */
    guint64 init_ms;
    guint init_changes;
    gint64 seen_ns;
    gint64 probed_ns;       /* when a record was last decoded for its event time alone */
    gint64 newest_event_ns; /* over all its flows */
    gint64 beat_event_ns;   /* as of the last heartbeat */
    gint64 beat_at_ns;      /* UTC ns */
    gboolean beat_due;      /* something came since */
    gboolean resumed;       /* known from before our own restart, and nothing came since */
    guint saved_changes;    /* of domain_changes(), as of the last save */
    gint64 saved_ns;        /* when its memory was saved last … */
    gint64 marked_ns;       /* … and its sequences, … */
    gint64 marked_seen_ns;  /* … and seen_ns as of then; 0: never */
};

/* Work whose cost does not follow from the bytes that ask for it: changing templates, and changing
 * what options data told (rates, names). It is paid from a purse of EXPORTER_WORK_MAX units of
 * about 50 ns, which fills up again by EXPORTER_WORK_PER_S: plenty for an exporter that starts with
 * hundreds of templates, and an end for one that redefines them in every datagram. */
typedef enum { WORK_TEMPLATES, WORK_OPTIONS, WORK_COUNT } Work;
typedef struct {
    gint64 filled_ns;
    gint64 left;
} Purse;

struct Exporter {
    guint64 hash;
    PstAddr addr;
    guint n_domains;
    guint n_streams; /* while there are any, it is not forgotten */
    Domain *domains;
    guint64 operator_rate;  /* 0: none */
    gint64 clock_offset_ns; /* its export time − our receive time, smoothed */
    gint64 seen_ns;
    Purse purses[WORK_COUNT][EXPORTER_PURSES];
    guint64 n_dropped;           /* pieces of what it sent that were not used, for a reason … */
    Drop last_drop;              /* … of which this is the newest */
    gboolean proven;             /* sent at least one record */
    struct ExporterCells *cells; /* metrics; NULL beyond their bound */
};

typedef struct {
    const PstPrefixMap *admitted; /* NULL: everyone; borrowed until exporters_set_admitted */
    const PstPrefixMap *rates;    /* operator's overrides, value N; or NULL; borrowed */
    guint exporters_max;
    guint shown_max;         /* exporters with metrics of their own, and domains */
    gsize hold_bytes_max;    /* of all domains */
    gsize hold_domain_bytes; /* of one */
    PstStats *stats;         /* borrowed */
    /* For who remembers exporters longer than we live (saver.h); may be NULL. */
    void (*born)(gpointer user, Exporters *exporters, Exporter *exporter, gint64 now_ns);
    void (*gone)(gpointer user, const Domain *domain); /* not at the end of the program */
    gpointer user;
} ExportersOptions;

Exporters *exporters_new(const ExportersOptions *options);
void exporters_free(Exporters *exporters);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Exporters, exporters_free)

/* Reload: the same exporters go on under new rules; who is not admitted any more is forgotten. */
void exporters_set_rules(Exporters *exporters, const PstPrefixMap *admitted,
                         const PstPrefixMap *rates);

/* The domain of (@addr, @id), made if it is new. NULL: not admitted; @out_drop says why.
 * Borrowed until exporters_expire or exporters_set_rules. */
Domain *exporters_domain(Exporters *exporters, const PstAddr *addr, guint32 id, gint64 now_ns,
                         Drop *out_drop);
/* The same, but never makes one: for datagrams that are malformed. May be NULL. */
Domain *exporters_peek(Exporters *exporters, const PstAddr *addr, guint32 id);
HoldBudget *exporters_budget(Exporters *exporters);

/* @domain's share of session @id, made if it is new. NULL: too many; @out_drop says so. Borrowed
 * until domain_end_stream. */
Stream *domain_stream(Domain *domain, guint32 id, Drop *out_drop);
/* The domains of @addr, linked by next; NULL: none. */
Domain *exporters_domains(Exporters *exporters, const PstAddr *addr);
/* Forgets @domain's share of session @id; what it holds must be gone. Unknown: nothing happens. */
void domain_end_stream(Exporters *exporters, Domain *domain, guint32 id);

/* Grows whenever something of @domain changes that is kept over a restart. */
guint domain_changes(const Domain *domain);

/* Sampling of another domain of the same exporter, if it alone has any, or if all others that have
 * any agree on one rate; else NULL. */
const Sampling *domain_elsewhere(const Domain *domain);

/* FALSE: the purse of @port for @work is empty. */
gboolean exporter_may_work(Exporter *exporter, Work work, guint16 port, gint64 now_ns);
static inline void exporter_worked(Exporter *exporter, Work work, guint16 port, guint units)
{
    exporter->purses[work][port % EXPORTER_PURSES].left -= units;
}

/* Some things that @exporter sent are not used. */
static inline void exporter_dropped(Exporter *exporter, Drop drop, guint n)
{
    exporter->n_dropped += n;
    exporter->last_drop = drop;
}

typedef void (*DomainVisit)(gpointer user, Domain *domain);
void exporters_each(Exporters *exporters, DomainVisit visit, gpointer user);

/* Forgets the silent. Returns how many exporters. */
guint exporters_expire(Exporters *exporters, gint64 now_ns);
guint exporters_count(const Exporters *exporters);

/* Shows the ledgers of @exporter's domains as its metrics, and makes remarks to the log. */
void exporter_show(Exporters *exporters, Exporter *exporter);
