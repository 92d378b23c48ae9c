/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flowgen: sends made-up but well-formed flow exports as fast as a benchmark needs them.
 */
#include "flowgen_ring.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH = 32,
};

typedef struct {
    RingSettings ring;
    uint64_t flows; /* stop after at least so many */
    double rate;    /* flows a second; 0: no limit */
    char *target;   /* HOST:PORT */
    char *pcap;
} Job;

typedef struct {
    uint64_t datagrams;
    uint64_t templates;
    uint64_t records;
    uint64_t mail;
    double seconds;
} Sent;

static double monotonic_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void count(Sent *sent, const RingSlot *slot)
{
    sent->datagrams++;
    sent->templates += slot->records == 0;
    sent->records += slot->records;
    sent->mail += slot->mail;
}

static gboolean fail(GError **error, const char *what)
{
    g_set_error(error, G_FILE_ERROR, (int)g_file_error_from_errno(errno), "%s: %s", what,
                g_strerror(errno));
    return FALSE;
}

/* --- over UDP ----------------------------------------------------------------------------------
 */

static int connect_to(const char *target, GError **error)
{
    const char *colon = strrchr(target, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    g_autofree char *host = NULL;
    int fd = -1;

    if (colon == NULL) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s is not HOST:PORT", target);
        return -1;
    }
    host = target[0] == '[' && colon > target + 1
               ? g_strndup(target + 1, (gsize)(colon - target) - 2)
               : g_strndup(target, (gsize)(colon - target));
    int problem = getaddrinfo(host, colon + 1, &hints, &found);
    if (problem != 0) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s: %s", target,
                    gai_strerror(problem));
        return -1;
    }
    fd = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) < 0) {
        fail(error, target);
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

/* The sender's address of one datagram. */
typedef union {
    struct cmsghdr align;
    uint8_t bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
} Source;

/* Exporter N sends from 127.1.0.0 + N: every such address is this machine's. */
static void set_sources(struct mmsghdr *headers, Source *sources, const uint32_t *from,
                        unsigned length)
{
    for (unsigned i = 0; i < length; i++) {
        struct msghdr *header = &headers[i].msg_hdr;
        struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(0x7f010000 + from[i])};

        header->msg_control = sources[i].bytes;
        header->msg_controllen = sizeof sources[i].bytes;
        struct cmsghdr *c = CMSG_FIRSTHDR(header);
        c->cmsg_level = IPPROTO_IP;
        c->cmsg_type = IP_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(c), &info, sizeof info);
    }
}

/* Sends all of @headers. A refused datagram (nobody listens) is an error: nothing would be
 * measured. */
static gboolean send_batch(int fd, struct mmsghdr *headers, unsigned length, GError **error)
{
    for (unsigned done = 0; done < length;) {
        int n = sendmmsg(fd, headers + done, length - done, 0);

        if (n < 0 && errno != EINTR)
            return fail(error, "cannot send");
        done += n > 0 ? (unsigned)n : 0;
    }
    return TRUE;
}

/* Sleeps until @due_s, unless that is less than a scheduler's tick away. */
static void pace(double due_s)
{
    struct timespec due = {.tv_sec = (time_t)due_s,
                           .tv_nsec = (long)((due_s - (double)(time_t)due_s) * 1e9)};

    if (due_s - monotonic_s() > 50e-6)
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

static gboolean run_udp(const Job *job, Ring *ring, Sent *sent, GError **error)
{
    int fd = connect_to(job->target, error);
    struct mmsghdr headers[BATCH];
    struct iovec parts[BATCH];
    Source sources[BATCH];
    uint32_t from[BATCH];
    double start_s = monotonic_s();
    gboolean ok = fd >= 0;
    /* A slot may not be patched again while it waits in the batch. */
    unsigned batch = MIN(BATCH, ring_length(ring));

    memset(headers, 0, sizeof headers);
    while (ok && sent->records < job->flows) {
        int64_t now_ms = g_get_real_time() / 1000;
        unsigned length = 0;

        while (length < batch && sent->records < job->flows) {
            const RingSlot *slot = ring_next(ring, sent->datagrams, now_ms);

            parts[length] = (struct iovec){slot->bytes, slot->length};
            from[length] = slot->exporter;
            headers[length].msg_hdr = (struct msghdr){.msg_iov = &parts[length], .msg_iovlen = 1};
            count(sent, slot);
            length++;
        }
        if (job->ring.exporters > 1)
            set_sources(headers, sources, from, length);
        ok = send_batch(fd, headers, length, error);
        if (job->rate > 0)
            pace(start_s + (double)sent->records / job->rate);
    }
    sent->seconds = monotonic_s() - start_s;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* --- into a capture file ------------------------------------------------------------------------
 */

static uint16_t ip_checksum(const uint8_t *header)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < 20; i += 2)
        sum += (uint32_t)header[i] << 8 | header[i + 1];
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* Failures stay in the stream: ferror() tells at the end. */
static void write_bytes(FILE *file, const void *bytes, size_t length)
{
    (void)fwrite(bytes, 1, length, file);
}

/* Ethernet, IPv4 and UDP headers from 127.0.1.1:40000 to 127.0.0.1:2055; no UDP checksum. */
static void write_frame(FILE *file, const RingSlot *slot, uint64_t at_us)
{
    uint8_t head[42] = {[12] = 8, [14] = 0x45, [22] = 64,  [23] = 17, [26] = 127,
                        [28] = 1, [29] = 1,    [30] = 127, [33] = 1};
    uint32_t length = (uint32_t)sizeof head + slot->length;
    uint32_t record[4] = {(uint32_t)(at_us / 1000000), (uint32_t)(at_us % 1000000), length, length};

    put16(head + 16, slot->length + 28);
    put16(head + 24, ip_checksum(head + 14));
    put16(head + 34, 40000);
    put16(head + 36, 2055);
    put16(head + 38, slot->length + 8);
    write_bytes(file, record, sizeof record);
    write_bytes(file, head, sizeof head);
    write_bytes(file, slot->bytes, slot->length);
}

static gboolean run_pcap(const Job *job, Ring *ring, Sent *sent, GError **error)
{
    const struct {
        uint32_t magic;
        uint16_t major, minor;
        uint32_t zone, accuracy, snap_length, link_type;
    } header = {0xa1b2c3d4, 2, 4, 0, 0, 65535, 1 /* Ethernet */};
    FILE *file = fopen(job->pcap, "wb");

    if (file == NULL)
        return fail(error, job->pcap);
    write_bytes(file, &header, sizeof header);
    while (sent->records < job->flows && !ferror(file)) {
        double at_s = (double)sent->records / (job->rate > 0 ? job->rate : 100000);
        uint64_t at_us = (uint64_t)job->ring.base_ms * 1000 + (uint64_t)(at_s * 1e6);
        const RingSlot *slot = ring_next(ring, sent->datagrams, (int64_t)(at_us / 1000));

        write_frame(file, slot, at_us);
        count(sent, slot);
    }
    gboolean bad = ferror(file) != 0;
    return fclose(file) == 0 && !bad ? TRUE : fail(error, job->pcap);
}

/* --- the command --------------------------------------------------------------------------------
 */

static gboolean parse_format(const char *text, RingDialect *out)
{
    static const char *const names[] = {"v5", "v9", "ipfix"};

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (RingDialect)i;
            return TRUE;
        }
    return FALSE;
}

static gboolean parse_network(const char *text, RingSettings *out)
{
    g_auto(GStrv) parts = g_strsplit(text, "/", 2);
    struct in_addr address;
    guint64 length;

    if (g_strv_length(parts) != 2 || inet_pton(AF_INET, parts[0], &address) != 1 ||
        !g_ascii_string_to_unsigned(parts[1], 10, 8, 30, &length, NULL))
        return FALSE;
    out->network = ntohl(address.s_addr);
    out->network_len = (unsigned)length;
    return TRUE;
}

static gboolean parse_time(const char *text, RingSettings *out)
{
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
    g_autoptr(GDateTime) at = g_date_time_new_from_iso8601(text, utc);

    if (at != NULL)
        out->base_ms = g_date_time_to_unix(at) * 1000;
    return at != NULL;
}

static gboolean usage_error(GError **error, const char *text)
{
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, text);
    return FALSE;
}

static gboolean check(Job *job, const char *format, const char *network, const char *at,
                      GError **error)
{
    if (!parse_format(format, &job->ring.dialect))
        return usage_error(error, "--format is v5, v9 or ipfix");
    if (!parse_network(network, &job->ring))
        return usage_error(error, "--network is an IPv4 CIDR with a length of 8 to 30");
    if (at != NULL && !parse_time(at, &job->ring))
        return usage_error(error, "--time is a moment such as 2026-03-01T12:00:00Z");
    if (job->ring.mail_share < 0 || job->ring.mail_share > 1)
        return usage_error(error, "--mail is a share between 0 and 1");
    if (job->ring.slots < 1 || job->ring.slots > 1 << 20)
        return usage_error(error, "--ring is 1 to 1048576 datagrams");
    if (job->ring.domains < 1 || job->ring.domains > 1 << 16)
        return usage_error(error, "--domains is 1 to 65536");
    if (job->ring.exporters < 1 || job->ring.exporters > 1 << 16)
        return usage_error(error, "--exporters is 1 to 65536");
    if (job->ring.churn < 1 || job->ring.churn > 1 << 14)
        return usage_error(error, "--churn is 1 to 16384");
    if (job->ring.exporters > 1 && job->target == NULL)
        return usage_error(error, "--exporters needs HOST:PORT: a capture has one sender");
    if (job->ring.records < 1 || job->ring.records > ring_max_records(job->ring.dialect))
        return usage_error(error, "--records does not fit a datagram of 1400 bytes (v5: 28, "
                                  "v9 and ipfix: 18)");
    if ((job->target == NULL) == (job->pcap == NULL))
        return usage_error(error, "say where to: either HOST:PORT or --pcap FILE");
    return TRUE;
}

static gboolean parse(int argc, char **argv, Job *job, GError **error)
{
    g_autofree char *format = g_strdup("ipfix");
    g_autofree char *network = g_strdup("198.18.0.0/16");
    g_autofree char *at = NULL;
    g_auto(GStrv) rest = NULL;
    gint64 seed = 1, flows = 1000000;
    gint slots = 2048, records = 18, domains = 1, exporters = 1, churn = 1;
    const GOptionEntry entries[] = {
        {"format", 'f', 0, G_OPTION_ARG_STRING, &format, "v5, v9 or ipfix (ipfix)", "F"},
        {"count", 'n', 0, G_OPTION_ARG_INT64, &flows, "Send at least N flows (1000000)", "N"},
        {"rate", 'r', 0, G_OPTION_ARG_DOUBLE, &job->rate, "Flows a second (0: no limit)", "R"},
        {"pcap", 'p', 0, G_OPTION_ARG_FILENAME, &job->pcap, "Write a capture, send nothing",
         "FILE"},
        {"mail", 'm', 0, G_OPTION_ARG_DOUBLE, &job->ring.mail_share, "Share of port 25 (0.02)",
         "S"},
        {"network", 'o', 0, G_OPTION_ARG_STRING, &network, "Our network (198.18.0.0/16)", "CIDR"},
        {"records", 'k', 0, G_OPTION_ARG_INT, &records, "Records in a datagram (18)", "K"},
        {"domains", 'd', 0, G_OPTION_ARG_INT, &domains, "Observation domains in turns (1)", "D"},
        {"exporters", 'e', 0, G_OPTION_ARG_INT, &exporters,
         "Senders in turns, from 127.1.0.0 on, to a loopback address (1)", "E"},
        {"churn", 'c', 0, G_OPTION_ARG_INT, &churn, "Template numbers in turns (1)", "N"},
        {"ring", 0, 0, G_OPTION_ARG_INT, &slots, "Different datagrams (2048)", "N"},
        {"seed", 's', 0, G_OPTION_ARG_INT64, &seed, "Same seed, same flows (1)", "S"},
        {"time", 't', 0, G_OPTION_ARG_STRING, &at, "Time of the first datagram (now)", "RFC3339"},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &rest, NULL, "[HOST:PORT]"},
        {0},
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);

    g_option_context_set_summary(
        context,
        "Sends made-up flow exports over UDP, or writes them as a capture file.\n"
        "v9 and IPFIX records have 21 fields in 73 bytes. Prints one line of JSON when done.");
    g_option_context_add_main_entries(context, entries, NULL);
    job->ring.mail_share = 0.02;
    job->ring.base_ms = g_get_real_time() / 1000;
    if (!g_option_context_parse(context, &argc, &argv, error))
        return FALSE;
    if (rest != NULL && g_strv_length(rest) > 1)
        return usage_error(error, "one HOST:PORT only");
    job->target = rest != NULL ? g_strdup(rest[0]) : NULL;
    job->flows = (uint64_t)MAX(flows, 0);
    job->ring.seed = (uint64_t)seed;
    job->ring.slots = (unsigned)MAX(slots, 0);
    job->ring.records = (unsigned)MAX(records, 0);
    job->ring.domains = (unsigned)MAX(domains, 0);
    job->ring.exporters = (unsigned)MAX(exporters, 0);
    job->ring.churn = (unsigned)MAX(churn, 0);
    return check(job, format, network, at, error);
}

int main(int argc, char **argv)
{
    Job job = {0};
    Sent sent = {0};
    g_autoptr(Ring) ring = NULL;
    g_autoptr(GError) error = NULL;
    gboolean ok = parse(argc, argv, &job, &error);
    int status = ok ? 1 : 2;

    if (ok) {
        ring = ring_new(&job.ring);
        ok = job.pcap != NULL ? run_pcap(&job, ring, &sent, &error)
                              : run_udp(&job, ring, &sent, &error);
    }
    if (ok)
        printf("{\"datagrams\":%" G_GUINT64_FORMAT ",\"templates\":%" G_GUINT64_FORMAT
               ",\"flows\":%" G_GUINT64_FORMAT ",\"mail\":%" G_GUINT64_FORMAT
               ",\"seconds\":%.6f}\n",
               sent.datagrams, sent.templates, sent.records, sent.mail, sent.seconds);
    else
        fprintf(stderr, "flowgen: %s\n", error->message);
    g_free(job.target);
    g_free(job.pcap);
    return ok ? 0 : status;
}
