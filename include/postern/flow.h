/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One flow record in its one normalised form, and the heartbeat of an exporter.
 *
 * A PstFlow is a value: no pointers, nothing to free. A field that the record did not carry is
 * zero and its bit in `has` is clear; what has no bit is always known or says itself that it is
 * not (address family NONE, rate source NONE, direction UNKNOWN). A record of two directions
 * (RFC 5103, Cisco ASA NSEL) is one flow with reverse counters.
 * On the bus and on disk a flow is a FlowMessage of common/flow.proto, written by codec.h.
 */
#include "postern/addr.h"

/* Numbers as goflow2's FlowMessage.FlowType; HEARTBEAT is ours. */
typedef enum {
    PST_FLOW_UNKNOWN = 0,
    PST_FLOW_SFLOW_5 = 1,
    PST_FLOW_NETFLOW_V5 = 2,
    PST_FLOW_NETFLOW_V9 = 3,
    PST_FLOW_IPFIX = 4,
    PST_FLOW_HEARTBEAT = 1000
} PstFlowType;

/* Where sampling_rate came from, strongest last. */
typedef enum {
    PST_RATE_NONE = 0, /* nobody said; sampling_rate is 1 and only assumed */
    PST_RATE_HEADER,   /* the 14 bits of the NetFlow v5 header */
    PST_RATE_OPTIONS,  /* options data of the exporter */
    PST_RATE_RECORD,   /* a field of the data record itself */
    PST_RATE_OPERATOR  /* the operator's override for this exporter */
} PstRateSource;

/* Which side is ours, and which side is the mail client. */
typedef enum {
    PST_DIR_UNKNOWN = 0, /* no networks known, or both sides on mail ports without a SYN */
    PST_DIR_OUT,         /* our address is the client: src ours, dst on a mail port */
    PST_DIR_OUT_REPLY,   /* answer of that session: src on a mail port, dst ours */
    PST_DIR_IN,          /* a stranger's client: dst ours on a mail port */
    PST_DIR_IN_REPLY,    /* answer of that session: src ours on a mail port */
    PST_DIR_INSIDE,      /* both sides ours; the client side is src (or dst if INSIDE_REPLY) */
    PST_DIR_INSIDE_REPLY,
    PST_DIR_TRANSIT /* no side ours */
} PstDirection;

/* Bits of PstFlow.has. */
typedef enum {
    PST_HAS_BYTES = 1u << 0,
    PST_HAS_PACKETS = 1u << 1,
    PST_HAS_SRC_PORT = 1u << 2,
    PST_HAS_DST_PORT = 1u << 3,
    PST_HAS_PROTO = 1u << 4,
    PST_HAS_TCP_FLAGS = 1u << 5,
    PST_HAS_START = 1u << 6,
    PST_HAS_END = 1u << 7,
    PST_HAS_IN_IF = 1u << 8,
    PST_HAS_OUT_IF = 1u << 9,
    PST_HAS_SRC_AS = 1u << 10,
    PST_HAS_DST_AS = 1u << 11,
    PST_HAS_SRC_NET = 1u << 12,
    PST_HAS_DST_NET = 1u << 13,
    PST_HAS_TOS = 1u << 14,
    PST_HAS_VLAN = 1u << 15,
    PST_HAS_REVERSE = 1u << 16, /* reverse_bytes, reverse_packets, reverse_tcp_flags */
    PST_HAS_END_REASON = 1u << 17,
    PST_HAS_FW_EVENT = 1u << 18,
    PST_HAS_ICMP = 1u << 19,
    PST_HAS_FORWARDING = 1u << 20,
    PST_HAS_MAC = 1u << 21,
    PST_HAS_DST_VLAN = 1u << 22,
    PST_HAS_MIN_TTL = 1u << 23,
    PST_HAS_FLOW_DIRECTION = 1u << 24,
    PST_HAS_FLOW_LABEL = 1u << 25,
    PST_HAS_RARE = 1u << 26, /* some of PstFlowRare was told */
    PST_HAS_MPLS = 1u << 27,
    PST_HAS_TCP_SEQUENCE = 1u << 28
} PstFlowHas;

/* What few exporters tell. All of it is zero without PST_HAS_RARE; what has no bit of its own was
 * told if it is not zero. */
typedef struct {
    PstAddr nat_src_addr; /* the source on the other side of a NAT that the exporter stands at … */
    PstAddr nat_dst_addr;  /* … and the destination (docs/collector.md, Behind a NAT) */
    PstAddr told_exporter; /* where a proxy says that it has the record from: its word, no more */
    guint16 nat_src_port;
    guint16 nat_dst_port;
    guint8 nat_event;        /* IPFIX natEvent */
    guint8 biflow_direction; /* IPFIX biflowDirection: 1 the source began, 2 the destination */
    guint32 mpls_label;      /* the top one, 20 bits */
    guint32 tcp_sequence;    /* IPFIX tcpSequenceNumber */
    guint64 flow_id;         /* the exporter's number for a connection */
} PstFlowRare;

typedef struct {
    guint32 has;  /* PstFlowHas */
    guint16 type; /* PstFlowType */
    guint8 rate_source;
    guint8 direction;

    PstAddr src_addr;
    PstAddr dst_addr;
    PstAddr next_hop;
    PstAddr sampler; /* the exporter: sender of the datagram */

    guint16 src_port;
    guint16 dst_port;
    guint8 proto; /* IANA protocol number */
    guint8 tos;
    guint16 etype; /* 0x0800 or 0x86dd, from the addresses if the record has none */

    guint64 bytes;   /* as counted by the exporter: not scaled by the sampling rate */
    guint64 packets; /* the same */
    guint64 reverse_bytes;
    guint64 reverse_packets;
    guint16 tcp_flags;
    guint16 reverse_tcp_flags;

    guint64 sampling_rate; /* N of 1:N, ≥ 1 */
    gint64 received_ns;    /* UTC ns: kernel's receive time of the datagram */
    gint64 start_ns;       /* UTC ns: first packet */
    gint64 end_ns;         /* UTC ns: last packet */

    guint32 in_if;
    guint32 out_if;
    guint32 src_as;
    guint32 dst_as;
    guint8 src_net; /* prefix length */
    guint8 dst_net;
    guint8 end_reason; /* IPFIX flowEndReason 1…5 */
    guint8 fw_event;   /* IPFIX firewallEvent */
    guint8 icmp_type;
    guint8 icmp_code;
    guint8 forwarding; /* IPFIX forwardingStatus */
    guint8 ip_ttl;
    guint8 flow_direction; /* at the interface where it was seen: 0 ingress, 1 egress */
    guint16 vlan_id;
    guint16 dst_vlan;
    guint64 src_mac; /* 48 bits */
    guint64 dst_mac;

    guint32 sequence_num; /* of the datagram */
    guint32 flow_label;   /* of IPv6, 20 bits */
    guint32 domain;       /* observation domain (v9 source id, v5 engine type<<8 | id) */

    PstFlowRare rare;
} PstFlow;

/* Where records of an exporter (address and domain) are lost. */
typedef enum {
    PST_LOSS_NETWORK,      /* gaps of the sequence: lost before our socket */
    PST_LOSS_KERNEL,       /* the socket's queue was full */
    PST_LOSS_MALFORMED,    /* datagrams or records that break their format */
    PST_LOSS_NO_TEMPLATE,  /* data whose template never came */
    PST_LOSS_NOT_ADMITTED, /* exporter not on the list, or over its bounds */
    PST_LOSS_QUEUE,        /* our own queue was full */
    PST_LOSS_SPOOL,        /* the spool threw its oldest away */
    PST_LOSS_BUS,          /* the bus gave a batch up */
    PST_LOSS_DOWN,         /* sent while no collector ran that lived to tell of it */
    PST_LOSS_COUNT
} PstLoss;

/* "network", "kernel", "malformed", … as in metrics, JSON and SQL. */
const char *pst_loss_name(PstLoss loss);

/* Written into every partition of postern.smtp after the flows that it covers: per exporter each
 * second or 10 s of event time, whichever comes first. What has grown since the heartbeat before,
 * and the sums, stand in one partition only: the one that the exporter's address hashes to. A
 * heartbeat with newest_event_ns 0 tells of a ledger only.
 *
 * The flows of postern.smtp tell of themselves: whoever reads them counts them as received. So a
 * batch that is lost, or read twice, never parts from what is said of it, and the ledger
 *     expected = flows + received − twice + lost (QUEUE, SPOOL and BUS among it)
 * closes whatever is killed; what died with a killed collector is the rest. */
enum { PST_GROWTH_COUNT = 8 + PST_LOSS_COUNT };
typedef struct {
    PstAddr sampler;
    guint32 domain;
    gint64 newest_event_ns; /* UTC ns: newest event time of this exporter */
    gint64 received_ns;     /* UTC ns: when the heartbeat was made */
    union {
        guint64 growth[PST_GROWTH_COUNT];
        struct {
            guint64 received;       /* records that stand in no batch of postern.smtp */
            guint64 twice;          /* records of datagrams that came twice */
            guint64 datagrams;      /* that were decoded */
            guint64 duplicates;     /* … of these: came twice */
            guint64 lost_datagrams; /* before they reached the decoder; v9 knows, others guess */
            guint64 reordered;      /* … of datagrams: came late */
            guint64 restarts;       /* of the exporter's sequence */
            guint64 sent;           /* growth of expected */
            guint64 lost[PST_LOSS_COUNT];
        };
    };
    guint64 ledger;   /* whose sums these are: a collector's memory of this domain, or 0 */
    guint64 expected; /* records that it knows to have been sent, in all */
    guint64 expected_datagrams; /* the same in datagrams */
    guint64 sampling_rate;      /* N of 1:N, of its last flow; 0: not known */
    gint64 clock_offset_ms;     /* exporter's clock − ours */
    guint8 version;             /* 5, 9, 10; 0: not known */
} PstHeartbeat;
G_STATIC_ASSERT(sizeof((PstHeartbeat *)0)->growth == PST_GROWTH_COUNT * sizeof(guint64) &&
                offsetof(PstHeartbeat, lost) - offsetof(PstHeartbeat, growth) ==
                    (PST_GROWTH_COUNT - PST_LOSS_COUNT) * sizeof(guint64));

/* Event time: the flow's start, or its end if the record is longer than 120 s, or its receive time
 * if the record carries neither. UTC ns. Source: docs/detector.md, Time. */
gint64 pst_flow_event_ns(const PstFlow *flow);

/* Names used in JSON, SQL and logs. */
const char *pst_rate_source_name(PstRateSource source);
const char *pst_direction_name(PstDirection direction);

/* TRUE for TCP 25, 465, 587, 2525: the default set of mail ports. */
gboolean pst_is_mail_port(guint16 port);
/* Port pairs of the detector: 25, and submission (465, 587, 2525). */
typedef enum { PST_PAIR_SMTP, PST_PAIR_SUBMISSION, PST_PAIR_COUNT } PstPortPair;
PstPortPair pst_port_pair(guint16 port);
