/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Datagrams of any bytes into a decoder that remembers: an input is a row of datagrams, each with
 * its length (two bytes) and a byte that chooses the sender's port before it. Whatever comes, the
 * bounds hold, and every record reads as libfixbuf reads it. */
#include <stdint.h>

#include "decoder.h"
#include "export_fuzz_flow.h"

enum { FUZZ_DATAGRAMS_MAX = 64 };

/* As at the end of a second, and over a restart. */
static inline void fuzz_ledger(Ledger *ledger)
{
    guint64 kernel = 1;
    PstHeartbeat beat = {0};
    LedgerMark mark;
    ledger_settle(ledger, FUZZ_NOW_NS + G_GINT64_CONSTANT(2000000000), &kernel);
    ledger_beat(ledger, &beat);
    g_assert(!ledger_has_news(ledger));
    ledger_mark(ledger, FUZZ_NOW_NS, &mark);
    g_assert(mark.n <= LEDGER_PORTS);
    g_autoptr(Ledger) next = ledger_new(&ledger->addr, ledger->domain);
    ledger_resume(next, mark.id, mark.expected, mark.expected_datagrams);
    for (guint i = 0; i < mark.n; i++)
        ledger_resume_sequence(next, &mark.sequences[i]);
    g_assert(ledger_expected(next) == mark.expected);
}

static inline void fuzz_datagram(Exporters *exporters, Decoder *decoder, const guint8 *bytes,
                                 gsize len, guint16 version, guint16 port)
{
    g_autofree guint8 *copy = g_memdup2(bytes, len); /* its own bounds, for the sanitizer */
    if (len >= 2) {
        copy[0] = (guint8)(version >> 8);
        copy[1] = (guint8)version;
    }
    PstCursor payload = pst_cursor(copy, len);
    PstAddr sender = pst_addr_v4(0xc0000201);
    while (pst_cursor_left(&payload) > 0) {
        Message message;
        Drop drop = datagram_next(&payload, &message);
        if (drop != DROP_NONE || message.version == 0)
            return;
        Domain *domain =
            exporters_domain(exporters, &sender, message.domain % 4, FUZZ_NOW_NS, &drop);
        decoder_message(decoder, domain, &message, port, FUZZ_NOW_NS);
        fuzz_ledger(domain->ledger);
        g_assert(templates_count(&domain->templates) <= TEMPLATES_MAX * TEMPLATE_PORTS);
        g_assert(domain->sampling.n <= SAMPLING_MAX);
    }
}

static inline int fuzz_export(const uint8_t *data, size_t size, guint16 version)
{
    static const PortSet ports = {.bits = {[25 / 64] = 1u << 25}};
    g_autoptr(Exporters) exporters = exporters_new(&(ExportersOptions){
        .exporters_max = 4, .hold_bytes_max = 65536, .hold_domain_bytes = 16384});
    g_autoptr(Decoder) decoder =
        decoder_new(&(DecoderOptions){.ports = &ports,
                                      .mail_only = size > 0 && (data[0] & 1) != 0,
                                      .verify = TRUE,
                                      .budget = exporters_budget(exporters),
                                      .flow = fuzz_flow});
    PstCursor c = pst_cursor(data, size);
    pst_cursor_skip(&c, 1);
    for (guint i = 0; i < FUZZ_DATAGRAMS_MAX && pst_cursor_left(&c) > 3; i++) {
        guint16 port = 2000 + pst_cursor_u8(&c) % 8;
        gsize len = pst_cursor_u16(&c);
        len = MIN(len, pst_cursor_left(&c));
        if (len > 0)
            fuzz_datagram(exporters, decoder, pst_cursor_take(&c, len), len, version, port);
        g_assert(exporters_budget(exporters)->bytes <= 65536);
    }
    g_assert(decoder_counts(decoder)->differences == 0);
    return 0;
}
