/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Capture files as a row of UDP datagrams: pcap and pcapng (through libpcap: Ethernet with VLAN
 * tags, MPLS and PPPoE, raw IP, Linux cooked, BSD loopback; IPv4 and IPv6), and IPFIX files (RFC
 * 5655: messages back to back; as sender stands the address 0.0.0.0, as time their export time). IP
 * fragments are put together (fragments.h). Thread: its owner's. */
#include "ip_packet.h"
#include "listener.h"

typedef struct Capture Capture;

typedef enum { CAPTURE_DATAGRAM, CAPTURE_FRAGMENT, CAPTURE_OTHER, CAPTURE_END } CaptureItem;

/* @path "-" is the standard input. @error IO, DATA (neither a capture nor an IPFIX file). Given. */
Capture *capture_open(const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void capture_close(Capture *capture);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Capture, capture_close)

/* The next packet. DATAGRAM: @out is filled, its payload borrowed until the next call, kernel_ns is
 * the time of the capture. FRAGMENT: a datagram whose pieces are not all there. OTHER: a packet
 * that is no UDP. END: no more, or @error DATA: the file ends in the middle (what came before is
 * good). */
CaptureItem capture_next(Capture *capture, Datagram *out, GError **error);

/* Each frame of a pcap or pcapng goes to @watch, once, before capture_next makes anything of it. */
typedef void (*CaptureWatch)(gpointer user, const CapturedFrame *frame);
void capture_watch(Capture *capture, CaptureWatch watch, gpointer user);

/* Is it one transport session (an IPFIX file), rather than datagrams of many? */
gboolean capture_is_session(const Capture *capture);

/* Bytes read (of a pipe: about) and size of the file (0: it has none), for progress. */
guint64 capture_position(const Capture *capture);
guint64 capture_size(const Capture *capture);
