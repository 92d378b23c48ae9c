/* SPDX-License-Identifier: Apache-2.0 */
/* fixbufsend HOST PORT COUNT: an IPFIX exporter over TCP that libfixbuf is made of: a template,
 * then COUNT flows from 198.18.0.1 to 203.0.113.5, port 25, whose byte counters are 1, 2, 3 … */
#include <fixbuf/public.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    guint64 start_ms;
    guint64 end_ms;
    guint64 bytes;
    guint64 packets;
    guint32 source;
    guint32 destination;
    guint16 source_port;
    guint16 destination_port;
    guint8 protocol;
    guint8 flags;
    guint8 padding[2];
} Flow;

/* In the order of Flow; libfixbuf wants names that it could change. */
static struct {
    char name[32];
    guint16 len;
} fields[] = {{"flowStartMilliseconds", 8}, {"flowEndMilliseconds", 8},
              {"octetDeltaCount", 8},       {"packetDeltaCount", 8},
              {"sourceIPv4Address", 4},     {"destinationIPv4Address", 4},
              {"sourceTransportPort", 2},   {"destinationTransportPort", 2},
              {"protocolIdentifier", 1},    {"tcpControlBits", 1},
              {"paddingOctets", 2}};

enum { TEMPLATE = 999 };

static void die(const char *what, const GError *error)
{
    fprintf(stderr, "fixbufsend: %s: %s\n", what, error != NULL ? error->message : "");
    exit(1);
}

static fbTemplate_t *make_template(fbInfoModel_t *model)
{
    GError *error = NULL;
    fbTemplate_t *template = fbTemplateAlloc(model);
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++) {
        fbInfoElementSpec_t spec = {.name = fields[i].name, .len_override = fields[i].len};
        if (!fbTemplateAppendSpec(template, &spec, 0, &error))
            die(fields[i].name, error);
    }
    return template;
}

static fBuf_t *open_exporter(char *host, char *port)
{
    GError *error = NULL;
    fbInfoModel_t *model = fbInfoModelAlloc();
    fbSession_t *session = fbSessionAlloc(model);
    fbTemplate_t *template = make_template(model);
    fbSessionSetDomain(session, 7);
    if (fbSessionAddTemplate(session, TRUE, TEMPLATE, template, &error) == 0 ||
        fbSessionAddTemplate(session, FALSE, TEMPLATE, template, &error) == 0)
        die("template", error);
    fbConnSpec_t to = {.transport = FB_TCP, .host = host, .svc = port};
    fbExporter_t *exporter = fbExporterAllocNet(&to);
    fBuf_t *buffer = fBufAllocForExport(session, exporter);
    if (!fbSessionExportTemplates(session, &error) ||
        !fBufSetInternalTemplate(buffer, TEMPLATE, &error) ||
        !fBufSetExportTemplate(buffer, TEMPLATE, &error))
        die("connection", error);
    return buffer;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        die("usage: fixbufsend HOST PORT COUNT", NULL);
    GError *error = NULL;
    fBuf_t *buffer = open_exporter(argv[1], argv[2]);
    guint64 now_ms = (guint64)g_get_real_time() / 1000;
    for (guint64 i = 1; i <= strtoull(argv[3], NULL, 10); i++) {
        Flow flow = {.start_ms = now_ms - 1000,
                     .end_ms = now_ms,
                     .bytes = i,
                     .packets = 1,
                     .source = 0xc6120001,
                     .destination = 0xcb007105,
                     .source_port = 40000,
                     .destination_port = 25,
                     .protocol = 6,
                     .flags = 0x1b};
        if (!fBufAppend(buffer, (guint8 *)&flow, sizeof flow, &error))
            die("flow", error);
    }
    if (!fBufEmit(buffer, &error))
        die("last message", error);
    fBufFree(buffer);
    return 0;
}
