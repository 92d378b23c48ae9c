/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Why something that a peer sent was not used. Counted, never logged one by one; a reason costs no
 * allocation. The name is the label `reason` of postern_collector_dropped_total. */
#include <glib.h>

#include "postern/flow.h"

/* X(identifier, name, column of the loss ledger, sentence) */
#define DROP_REASONS(X)                                                                            \
    X(SHORT, "short", PST_LOSS_MALFORMED, "datagram ends inside a header")                         \
    X(VERSION, "version", PST_LOSS_MALFORMED, "neither NetFlow v5 nor v9 nor IPFIX")               \
    X(LENGTH_LIES, "length-lies", PST_LOSS_MALFORMED, "message length beyond the datagram")        \
    X(COUNT_LIES, "count-lies", PST_LOSS_MALFORMED, "v5 count zero or beyond the datagram")        \
    X(TRUNCATED, "truncated", PST_LOSS_MALFORMED, "datagram larger than our buffer")               \
    X(SET_LENGTH, "set-length", PST_LOSS_MALFORMED, "set shorter than its header or beyond")       \
    X(SETS, "sets", PST_LOSS_MALFORMED, "sets of a few bytes in masses")                           \
    X(MESSAGES, "messages", PST_LOSS_MALFORMED, "messages of a few bytes in masses")               \
    X(SET_ID, "set-id", PST_LOSS_MALFORMED, "reserved set id")                                     \
    X(TEMPLATE_SHORT, "template-short", PST_LOSS_MALFORMED, "template ends inside a field")        \
    X(TEMPLATE_ID, "template-id", PST_LOSS_MALFORMED, "template id below 256")                     \
    X(TEMPLATE_FIELDS, "template-fields", PST_LOSS_MALFORMED, "no field, or more than 1024")       \
    X(TEMPLATE_SCOPE, "template-scope", PST_LOSS_MALFORMED, "more scope fields than fields")       \
    X(TEMPLATE_EMPTY, "template-empty", PST_LOSS_MALFORMED, "records of this template are empty")  \
    X(TEMPLATE_LENGTH, "template-length", PST_LOSS_MALFORMED, "record longer than a message")      \
    X(TEMPLATE_STALE, "template-stale", PST_LOSS_MALFORMED, "older than the one in force")         \
    X(TEMPLATE_BOUND, "template-bound", PST_LOSS_NO_TEMPLATE, "domain has too many templates")     \
    X(TEMPLATE_STORM, "template-storm", PST_LOSS_MALFORMED, "exporter changes templates too fast") \
    X(OPTIONS_STORM, "options-storm", PST_LOSS_MALFORMED, "exporter changes its options too fast") \
    X(RECORD_TINY, "record-tiny", PST_LOSS_MALFORMED, "records of a few bytes in masses")          \
    X(RECORD_SHORT, "record-short", PST_LOSS_MALFORMED, "variable length beyond its set")          \
    X(NO_TEMPLATE, "no-template", PST_LOSS_NO_TEMPLATE, "data whose template never came")          \
    X(NOT_ADMITTED, "not-admitted", PST_LOSS_NOT_ADMITTED, "exporter is not on the list")          \
    X(EXPORTERS_BOUND, "exporters-bound", PST_LOSS_NOT_ADMITTED, "too many exporters or domains")  \
    X(FRAGMENT, "fragment", PST_LOSS_MALFORMED, "IP fragments of a capture that make no datagram") \
    X(NOT_EXPORT, "not-export", PST_LOSS_MALFORMED, "packet of a capture that is no flow export")  \
    X(NOT_IP, "not-ip", PST_LOSS_MALFORMED, "packet of a capture that is not IP")                  \
    X(PACKET_CUT, "packet-cut", PST_LOSS_MALFORMED,                                                \
      "packet that a capture cut within its headers")                                              \
    X(PACKET_BROKEN, "packet-broken", PST_LOSS_MALFORMED, "packet with headers that break off")

typedef enum {
    DROP_NONE = 0,
#define DROP_ENUM(identifier, name, loss, text) DROP_##identifier,
    DROP_REASONS(DROP_ENUM)
#undef DROP_ENUM
        DROP_COUNT
} Drop;

/* "short", "version", …; "" for NONE. */
const char *drop_name(Drop drop);
/* One sentence for the manual and /metrics. */
const char *drop_text(Drop drop);
/* The column of the loss ledger that a record dropped for this reason counts in. */
PstLoss drop_loss(Drop drop);
