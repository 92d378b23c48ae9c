/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Exports for tests, field by field, and a collector of one exporter that eats them.
 *
 *     Export e = export_ipfix(.domain = 7);
 *     export_template(&e, 256, F(8, 4), F(12, 4), F(4, 1));
 *     export_data(&e, 256);
 *     export_u32(&e, 0xc6336401); …
 *     bench_take(&bench, &e);          → bench.flows
 */
#include <string.h>

#include "decoder.h"

#define EXPORT_S 1790000000u /* 2026-09-21T14:13:20Z: the time of every export */
#define NS_PER_S G_GINT64_CONSTANT(1000000000)

/* From whom and to whom, where it does not matter. */
#define SRC 0xc6120001u /* 198.18.0.1 */
#define DST 0xcb007105u /* 203.0.113.5 */

typedef struct {
    GByteArray *bytes;
    gsize set_at; /* 0: none is open */
    guint16 version;
    guint32 domain;
    guint32 sequence;
    guint32 uptime_ms;
    guint32 export_s;
} Export;

static inline void export_u8(Export *e, guint8 v)
{
    g_byte_array_append(e->bytes, &v, 1);
}
static inline void export_u16(Export *e, guint16 v)
{
    v = GUINT16_TO_BE(v);
    g_byte_array_append(e->bytes, (guint8 *)&v, 2);
}
static inline void export_u32(Export *e, guint32 v)
{
    v = GUINT32_TO_BE(v);
    g_byte_array_append(e->bytes, (guint8 *)&v, 4);
}
static inline void export_u64(Export *e, guint64 v)
{
    export_u32(e, (guint32)(v >> 32));
    export_u32(e, (guint32)v);
}
static inline void export_zeros(Export *e, gsize n)
{
    while (n-- > 0)
        export_u8(e, 0);
}
static inline void export_text(Export *e, const char *text)
{
    g_byte_array_append(e->bytes, (const guint8 *)text, (guint)strlen(text));
}

static inline void export_patch16(Export *e, gsize at, gsize v)
{
    e->bytes->data[at] = (guint8)(v >> 8);
    e->bytes->data[at + 1] = (guint8)v;
}

static inline void export_begin(Export *e)
{
    e->bytes = g_byte_array_new();
    e->export_s = e->export_s != 0 ? e->export_s : EXPORT_S;
    export_u16(e, e->version);
    export_u16(e, 1); /* v9: a count nobody may trust; IPFIX: patched */
    if (e->version == VERSION_V9)
        export_u32(e, e->uptime_ms);
    export_u32(e, e->export_s);
    export_u32(e, e->sequence);
    export_u32(e, e->domain);
}

static inline Export export_new(Export e)
{
    export_begin(&e);
    return e;
}
#define export_ipfix(...) export_new((Export){.version = VERSION_IPFIX, __VA_ARGS__})
#define export_v9(...)    export_new((Export){.version = VERSION_V9, __VA_ARGS__})

static inline void export_end_set(Export *e)
{
    if (e->set_at != 0)
        export_patch16(e, e->set_at + 2, e->bytes->len - e->set_at);
    e->set_at = 0;
}

static inline void export_set(Export *e, guint16 id)
{
    export_end_set(e);
    e->set_at = e->bytes->len;
    export_u16(e, id);
    export_u16(e, 0);
}
#define export_data export_set

/* Lengths are filled in; from here on the bytes are what goes over the wire. */
static inline void export_end(Export *e)
{
    export_end_set(e);
    if (e->version == VERSION_IPFIX)
        export_patch16(e, 2, e->bytes->len);
}

#define F(number, width)              ((Field){.id = number, .len = width})
#define FE(enterprise, number, width) ((Field){.pen = enterprise, .id = number, .len = width})

static inline void export_fields(Export *e, const Field *fields, gsize n)
{
    for (gsize i = 0; i < n; i++) {
        export_u16(e, fields[i].pen != 0 ? fields[i].id | 0x8000 : fields[i].id);
        export_u16(e, fields[i].len);
        if (fields[i].pen != 0)
            export_u32(e, fields[i].pen);
    }
}

static inline void export_template_of(Export *e, guint16 id, const Field *fields, gsize n)
{
    export_set(e, e->version == VERSION_V9 ? 0 : 2);
    export_u16(e, id);
    export_u16(e, (guint16)n);
    export_fields(e, fields, n);
}
#define export_template(e, id, ...)                                                                \
    export_template_of(e, id, (const Field[]){__VA_ARGS__},                                        \
                       sizeof((const Field[]){__VA_ARGS__}) / sizeof(Field))

/* A TCP connection from port 40000, and the fields that tell it. */
#define FIVE_TUPLE F(8, 4), F(12, 4), F(7, 2), F(11, 2), F(4, 1)
static inline void export_five_tuple(Export *e, guint16 dst_port)
{
    export_u32(e, SRC);
    export_u32(e, DST);
    export_u16(e, 40000);
    export_u16(e, dst_port);
    export_u8(e, 6);
}

/* The first @scope fields are what the record is about. */
static inline void export_options_of(Export *e, guint16 id, gsize scope, const Field *fields,
                                     gsize n)
{
    gboolean v9 = e->version == VERSION_V9;
    export_set(e, v9 ? 1 : 3);
    export_u16(e, id);
    export_u16(e, (guint16)(v9 ? scope * 4 : n));
    export_u16(e, (guint16)(v9 ? (n - scope) * 4 : scope));
    export_fields(e, fields, n);
}
#define export_options(e, id, scope, ...)                                                          \
    export_options_of(e, id, scope, (const Field[]){__VA_ARGS__},                                  \
                      sizeof((const Field[]){__VA_ARGS__}) / sizeof(Field))

/* A v5 datagram. */
typedef struct {
    guint16 count; /* 0: as many as there are records */
    guint32 uptime_ms, unix_s, unix_ns, sequence;
    guint8 engine_type, engine_id;
    guint16 sampling;
} V5Header;

typedef struct {
    guint32 src, dst, packets, bytes, first_ms, last_ms;
    guint16 src_port, dst_port;
    guint8 flags, proto;
} V5Record;

static inline GByteArray *v5_export(const V5Header *h, const V5Record *records, gsize n)
{
    Export e = {.bytes = g_byte_array_new()};
    export_u16(&e, 5);
    export_u16(&e, h->count != 0 ? h->count : (guint16)n);
    export_u32(&e, h->uptime_ms);
    export_u32(&e, h->unix_s != 0 ? h->unix_s : EXPORT_S);
    export_u32(&e, h->unix_ns);
    export_u32(&e, h->sequence);
    export_u8(&e, h->engine_type);
    export_u8(&e, h->engine_id);
    export_u16(&e, h->sampling);
    for (gsize i = 0; i < n; i++) {
        const V5Record *r = &records[i];
        export_u32(&e, r->src);
        export_u32(&e, r->dst);
        export_u32(&e, 0);
        export_u16(&e, 11);
        export_u16(&e, 12);
        export_u32(&e, r->packets);
        export_u32(&e, r->bytes);
        export_u32(&e, r->first_ms);
        export_u32(&e, r->last_ms);
        export_u16(&e, r->src_port);
        export_u16(&e, r->dst_port);
        export_u8(&e, 0);
        export_u8(&e, r->flags);
        export_u8(&e, r->proto);
        export_u8(&e, 0);
        export_u16(&e, 64500);
        export_u16(&e, 64501);
        export_u8(&e, 24);
        export_u8(&e, 16);
        export_u16(&e, 0);
    }
    return e.bytes;
}

/* A collector of one exporter at 192.0.2.1, and what it made of what it got. */
typedef struct {
    Exporters *exporters;
    Decoder *decoder;
    PortSet ports;
    GArray *flows; /* of PstFlow */
    GArray *drops; /* of Drop: whole datagrams */
    gint64 now_ns;
    guint16 port;
} Bench;

static inline void bench_flow(gpointer user, PstFlow *flow, Domain *domain)
{
    Bench *bench = user;
    g_array_append_val(bench->flows, *flow);
}

static inline void bench_init(Bench *bench, gboolean mail_only)
{
    memset(bench, 0, sizeof *bench);
    bench->now_ns = EXPORT_S * NS_PER_S + NS_PER_S;
    bench->port = 2055;
    bench->flows = g_array_new(FALSE, FALSE, sizeof(PstFlow));
    bench->drops = g_array_new(FALSE, FALSE, sizeof(Drop));
    portset_add(&bench->ports, 25);
    portset_add(&bench->ports, 587);
    bench->exporters = exporters_new(&(ExportersOptions){
        .exporters_max = 16, .hold_bytes_max = 1 << 20, .hold_domain_bytes = 4096});
    bench->decoder = decoder_new(&(DecoderOptions){.ports = &bench->ports,
                                                   .mail_only = mail_only,
                                                   .budget = exporters_budget(bench->exporters),
                                                   .flow = bench_flow,
                                                   .user = bench});
}

static inline void bench_clear(Bench *bench)
{
    decoder_free(bench->decoder);
    exporters_free(bench->exporters);
    g_array_unref(bench->flows);
    g_array_unref(bench->drops);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Bench, bench_clear)

static inline Domain *bench_domain(Bench *bench, guint32 id)
{
    Drop drop;
    PstAddr exporter = pst_addr_v4(0xc0000201);
    return exporters_domain(bench->exporters, &exporter, id, bench->now_ns, &drop);
}

static inline void bench_bytes(Bench *bench, const guint8 *bytes, gsize len)
{
    PstCursor payload = pst_cursor(bytes, len);
    while (pst_cursor_left(&payload) > 0) {
        Message message;
        Drop drop = datagram_next(&payload, &message);
        if (drop != DROP_NONE)
            g_array_append_val(bench->drops, drop);
        else if (message.version != 0)
            decoder_message(bench->decoder, bench_domain(bench, message.domain), &message,
                            bench->port, bench->now_ns);
    }
}

/* Ends, decodes and frees @e. */
static inline void bench_take(Bench *bench, Export *e)
{
    export_end(e);
    bench_bytes(bench, e->bytes->data, e->bytes->len);
    g_clear_pointer(&e->bytes, g_byte_array_unref);
}

static inline void bench_take_v5(Bench *bench, GByteArray *bytes)
{
    bench_bytes(bench, bytes->data, bytes->len);
    g_byte_array_unref(bytes);
}

static inline const PstFlow *bench_only(const Bench *bench)
{
    return bench->flows->len == 1 ? &g_array_index(bench->flows, PstFlow, 0) : NULL;
}

static inline const PstFlow *bench_flow_at(const Bench *bench, guint i)
{
    return &g_array_index(bench->flows, PstFlow, i);
}

static inline guint64 bench_dropped(const Bench *bench, Drop drop)
{
    return decoder_counts(bench->decoder)->drops[drop];
}
