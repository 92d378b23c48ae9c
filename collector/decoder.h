/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* From messages to flows: handles the sets of a message in order (an options template, options
 * data and flows may share one datagram), keeps templates and sampling up to date, decodes records
 * by their plan, and hands finished flows on. One per worker. Thread: the worker's. */
#include "exporter.h"
#include "normalize.h"

typedef struct Decoder Decoder;

/* @flow is the receiver's to change; @domain borrowed. All but the direction is set. */
typedef void (*DecoderFlow)(gpointer user, PstFlow *flow, Domain *domain);

typedef struct {
    const PortSet *ports; /* borrowed */
    gboolean mail_only;   /* flows that are no mail are counted, not decoded */
    gboolean verify;      /* ask libfixbuf for a second opinion on every data set */
    HoldBudget *budget;   /* borrowed; NULL: sets without template are not held */
    PstStats *stats;      /* borrowed; NULL: what is skipped is not shown by number */
    DecoderFlow flow;
    gpointer user;
} DecoderOptions;

/* What happened, in all. Read by anyone on the decoder's thread. */
typedef struct {
    guint64 messages;
    guint64 records;   /* of flows */
    guint64 flows;     /* handed on */
    guint64 options;   /* options data records */
    guint64 templates; /* definitions that changed something */
    guint64 withdrawals;
    guint64 held;           /* sets put aside for their template */
    guint64 late;           /* of these: decoded after all, in records */
    guint64 unknown_fields; /* fields of new templates that are skipped */
    guint64 verified;       /* verify: records that libfixbuf reads, too */
    guint64 differences;    /* … and reads differently */
    guint64 drops[DROP_COUNT];
    NormalizeCounts nonsense;
} DecoderCounts;

/* Given. */
Decoder *decoder_new(const DecoderOptions *options);
void decoder_free(Decoder *decoder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Decoder, decoder_free)

/* Decodes @message of @domain, that came from the exporter's @port, and keeps its ledger. */
void decoder_message(Decoder *decoder, Domain *domain, Message *message, guint16 port,
                     gint64 received_ns);

/* The same of a message that came over a TCP connection or stands in a file: @stream is
 * @domain's share of that session. */
void decoder_stream_message(Decoder *decoder, Domain *domain, Stream *stream, Message *message,
                            guint16 port, gint64 received_ns);

/* Throws away what waited for its template since before @before_ns. */
void decoder_expire(Decoder *decoder, Domain *domain, gint64 before_ns);
/* Throws away what waited for its template in @stream, which ends. */
void decoder_expire_stream(Decoder *decoder, Domain *domain, Stream *stream, gint64 before_ns);

DecoderCounts *decoder_counts(Decoder *decoder);
