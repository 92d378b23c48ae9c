/* SPDX-License-Identifier: Apache-2.0 */
#include "capture.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture_ipfix.h"
#include "packet.h"

#define NS_PER_S G_GINT64_CONSTANT(1000000000)

enum { PCAP_PACKET_HEADER = 16 }; /* in the file */

struct Capture {
    FILE *file; /* IPFIX: ours; pcap: libpcap's */
    guint64 size;
    guint64 taken; /* bytes of packets or messages so far */
    pcap_t *pcap;  /* NULL: an IPFIX file */
    int link;
    Fragments *fragments; /* pcap; owned */
    guint8 *message;      /* IPFIX: the current one; owned */
    CaptureWatch watch;   /* NULL: nobody */
    gpointer user;
};

static FILE *open_file(const char *path, guint64 *out_size, GError **error)
{
    FILE *file = strcmp(path, "-") == 0 ? fdopen(dup(STDIN_FILENO), "rb") : fopen(path, "rbe");
    struct stat status;
    if (file == NULL || fstat(fileno(file), &status) != 0) {
        g_set_error(error, PST_ERROR, PST_ERROR_IO, "%s: %s", path, g_strerror(errno));
        if (file != NULL)
            fclose(file);
        return NULL;
    }
    *out_size = S_ISREG(status.st_mode) ? (guint64)status.st_size : 0;
    return file;
}

static gboolean open_pcap(Capture *capture, const char *path, GError **error)
{
    char problem[PCAP_ERRBUF_SIZE] = "";
    capture->pcap = pcap_fopen_offline_with_tstamp_precision(capture->file,
                                                             PCAP_TSTAMP_PRECISION_NANO, problem);
    if (capture->pcap == NULL) {
        g_set_error(error, PST_ERROR, PST_ERROR_DATA,
                    "%s: neither a capture (pcap, pcapng) nor an IPFIX file: %s", path, problem);
        return FALSE;
    }
    capture->fragments = fragments_new();
    capture->link = pcap_datalink(capture->pcap);
    /* libpcap has numbers of its own for raw IP */
    if (capture->link == DLT_RAW)
        capture->link = LINK_RAW;
    if (ip_link_known(capture->link))
        return TRUE;
    const char *name = pcap_datalink_val_to_name(capture->link);
    g_set_error(error, PST_ERROR, PST_ERROR_DATA,
                "%s: link layer %s is not read; capture on an Ethernet, loopback or 'any' device",
                path, name != NULL ? name : "unknown");
    return FALSE;
}

Capture *capture_open(const char *path, GError **error)
{
    g_autoptr(Capture) capture = g_new0(Capture, 1);
    capture->file = open_file(path, &capture->size, error);
    if (capture->file == NULL)
        return NULL;
    int first = getc(capture->file);
    if (first == EOF) {
        g_set_error(error, PST_ERROR, PST_ERROR_DATA, "%s: there is nothing in it", path);
        return NULL;
    }
    (void)ungetc(first, capture->file);
    if (capture_ipfix_is(capture->file))
        capture->message = g_malloc(CAPTURE_IPFIX_MAX);
    else if (!open_pcap(capture, path, error))
        return NULL;
    return g_steal_pointer(&capture);
}

void capture_close(Capture *capture)
{
    if (capture == NULL)
        return;
    if (capture->pcap != NULL)
        pcap_close(capture->pcap); /* and the file */
    else if (capture->file != NULL)
        fclose(capture->file);
    fragments_free(capture->fragments);
    g_free(capture->message);
    g_free(capture);
}

/* Asked for in ns. What cannot be told in 64 bits is no time, what is no fraction none. */
static gint64 time_of(const struct timeval *ts)
{
    gint64 s = ts->tv_sec, ns = ts->tv_usec;
    if (s < 0 || s >= G_MAXINT64 / NS_PER_S)
        return 0;
    return s * NS_PER_S + (ns >= 0 && ns < NS_PER_S ? ns : 0);
}

/* A piece of a datagram. FALSE: it waits for others. */
static gboolean take_piece(Capture *capture, const Piece *piece, Datagram *out,
                           CaptureItem *out_item)
{
    const guint8 *bytes;
    gsize len;
    *out_item = CAPTURE_FRAGMENT;
    if (!fragments_take(capture->fragments, piece, &bytes, &len))
        return fragments_lost(capture->fragments, FALSE);
    out->sender = piece->sender;
    if (packet_read_udp(bytes, len, out) == PACKET_UDP)
        *out_item = CAPTURE_DATAGRAM;
    return TRUE;
}

/* FALSE: there is nothing to tell of it. */
static gboolean next_packet(Capture *capture, Datagram *out, CaptureItem *out_item, GError **error)
{
    struct pcap_pkthdr *header;
    const guint8 *bytes;
    Piece piece;
    *out_item = CAPTURE_END;
    int code = pcap_next_ex(capture->pcap, &header, &bytes);
    if (code == PCAP_ERROR) {
        g_set_error(error, PST_ERROR, PST_ERROR_DATA, "the capture breaks off: %s",
                    pcap_geterr(capture->pcap));
        return TRUE;
    }
    if (code != 1) {
        if (fragments_lost(capture->fragments, TRUE))
            *out_item = CAPTURE_FRAGMENT;
        return TRUE;
    }
    capture->taken += PCAP_PACKET_HEADER + header->caplen;
    *out = (Datagram){.kernel_ns = time_of(&header->ts)};
    if (capture->watch != NULL)
        capture->watch(capture->user, &(CapturedFrame){capture->link, bytes, header->caplen,
                                                       header->len, out->kernel_ns});
    switch (packet_read(capture->link, bytes, header->caplen, out, &piece)) {
    case PACKET_UDP:
        *out_item = CAPTURE_DATAGRAM;
        return TRUE;
    case PACKET_FRAGMENT:
        return take_piece(capture, &piece, out, out_item);
    case PACKET_OTHER:
        break;
    }
    *out_item = CAPTURE_OTHER;
    return TRUE;
}

CaptureItem capture_next(Capture *capture, Datagram *out, GError **error)
{
    *out = (Datagram){0};
    if (capture->pcap != NULL) {
        CaptureItem item;
        while (!next_packet(capture, out, &item, error))
            continue;
        return item;
    }
    gssize len = capture_ipfix_next(capture->file, capture->message, error);
    if (len <= 0)
        return CAPTURE_END;
    capture->taken += (guint64)len;
    *out = (Datagram){.payload = capture->message,
                      .len = (gsize)len,
                      .sender = pst_addr_v4(0),
                      .kernel_ns = pst_load_be32(capture->message + 4) * NS_PER_S};
    return CAPTURE_DATAGRAM;
}

void capture_watch(Capture *capture, CaptureWatch watch, gpointer user)
{
    capture->watch = watch;
    capture->user = user;
}

gboolean capture_is_session(const Capture *capture)
{
    return capture->pcap == NULL;
}

guint64 capture_position(const Capture *capture)
{
    off_t at = ftello(capture->file);
    return at > 0 ? (guint64)at : capture->taken; /* a pipe has none */
}

guint64 capture_size(const Capture *capture)
{
    return capture->size;
}
