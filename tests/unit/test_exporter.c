/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "export_builder.h"
#include "shown.h"

static Exporters *exporters_of(guint max, const PstPrefixMap *admitted)
{
    return exporters_new(
        &(ExportersOptions){.exporters_max = max, .admitted = admitted, .hold_bytes_max = 65536});
}

static Domain *ask(Exporters *exporters, guint32 addr, guint32 id, gint64 at_s, Drop *out_drop)
{
    PstAddr sender = pst_addr_v4(addr);
    *out_drop = DROP_NONE;
    return exporters_domain(exporters, &sender, id, at_s * NS_PER_S, out_drop);
}

Test(exporter, and_domain_are_found_again)
{
    g_autoptr(Exporters) exporters = exporters_of(10, NULL);
    Drop drop;
    Domain *first = ask(exporters, 1, 7, 1000, &drop);
    Domain *other = ask(exporters, 1, 8, 1000, &drop);
    Domain *another = ask(exporters, 2, 7, 1000, &drop);
    cr_assert(first != other && first != another);
    cr_assert_eq(ask(exporters, 1, 7, 1001, &drop), first);
    cr_assert_eq(first->exporter, other->exporter);
    cr_assert_eq(exporters_count(exporters), 2);
    PstAddr sender = pst_addr_v4(1);
    cr_assert_eq(exporters_peek(exporters, &sender, 7), first);
    cr_assert_null(exporters_peek(exporters, &sender, 9));
}

Test(exporter, not_on_the_list_is_refused)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PstPrefixMap) list = pst_networks_load("192.0.2.0/24", &error);
    g_autoptr(Exporters) exporters = exporters_of(10, list);
    Drop drop;
    cr_assert_not_null(ask(exporters, 0xc0000201, 0, 1000, &drop));
    cr_assert_null(ask(exporters, 0xc0000301, 0, 1000, &drop));
    cr_assert_eq(drop, DROP_NOT_ADMITTED);
}

Test(exporter, taken_off_the_list_is_forgotten_and_the_others_go_on)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PstPrefixMap) list = pst_networks_load("192.0.2.2", &error);
    g_autoptr(Exporters) exporters = exporters_of(10, NULL);
    Drop drop;
    (void)ask(exporters, 0xc0000201, 0, 1000, &drop);
    Domain *kept = ask(exporters, 0xc0000202, 0, 1000, &drop);
    exporters_set_rules(exporters, list, NULL);
    cr_assert_eq(exporters_count(exporters), 1);
    cr_assert_eq(ask(exporters, 0xc0000202, 0, 1000, &drop), kept);
}

Test(exporter, flood_of_forged_senders_is_bounded_and_gone_in_a_minute)
{
    g_autoptr(Exporters) exporters = exporters_of(100, NULL);
    Drop drop;
    Domain *good = ask(exporters, 0xc0000201, 0, 1000, &drop);
    good->exporter->proven = TRUE;
    for (guint32 i = 0; i < 5000; i++)
        (void)ask(exporters, 0x0a000000 + i, 0, 1000, &drop);
    cr_assert_eq(drop, DROP_EXPORTERS_BOUND);
    cr_assert_eq(exporters_count(exporters), 100);
    cr_assert_eq(ask(exporters, 0xc0000201, 0, 1000, &drop), good);
    cr_assert_eq(exporters_expire(exporters, (1000 + EXPORTER_PROBATION_S) * NS_PER_S), 99);
    cr_assert_eq(ask(exporters, 0xc0000201, 0, 1061, &drop), good);
    cr_assert_eq(exporters_expire(exporters, (1061 + EXPORTER_IDLE_S) * NS_PER_S), 1);
}

Test(exporter, has_a_bounded_number_of_domains)
{
    g_autoptr(Exporters) exporters = exporters_of(10, NULL);
    Drop drop;
    for (guint32 id = 0; id < EXPORTER_DOMAINS_MAX; id++)
        cr_assert_not_null(ask(exporters, 1, id, id == 0 ? 999 : 1000, &drop));
    cr_assert_null(ask(exporters, 1, 99999, 1000, &drop));
    cr_assert_eq(drop, DROP_EXPORTERS_BOUND);
    cr_assert_not_null(ask(exporters, 2, 99999, 1000, &drop));
    cr_assert_not_null(ask(exporters, 1, 99999, 1000 + EXPORTER_PROBATION_S, &drop));
    PstAddr sender = pst_addr_v4(1);
    cr_assert_null(exporters_peek(exporters, &sender, 0), "it was silent longest");
}

Test(exporter, takes_the_operators_rate)
{
    g_autoptr(PstPrefixMap) rates = pst_prefix_map_new();
    PstPrefix prefix;
    cr_assert(pst_prefix_parse("192.0.2.0/24", 12, TRUE, &prefix));
    pst_prefix_map_add(rates, &prefix, 1000);
    pst_prefix_map_seal(rates);
    g_autoptr(Exporters) exporters = exporters_of(10, NULL);
    Drop drop;
    Domain *domain = ask(exporters, 0xc0000201, 0, 1000, &drop);
    cr_assert_eq(domain->exporter->operator_rate, 0);
    exporters_set_rules(exporters, NULL, rates);
    cr_assert_eq(domain->exporter->operator_rate, 1000);
}

/* ---- metrics ---- */

static guint64 shown(PstStats *stats, const char *series)
{
    g_autoptr(GString) text = g_string_new(NULL);
    pst_stats_write(stats, text);
    const char *line = strstr(text->str, series);
    return line != NULL ? g_ascii_strtoull(line + strlen(series), NULL, 10) : G_MAXUINT64;
}

Test(metrics, show_the_ledger_of_each_domain_and_of_their_exporter)
{
    g_autoptr(PstStats) stats = pst_stats_new();
    g_autoptr(Exporters) exporters =
        exporters_new(&(ExportersOptions){.exporters_max = 10, .shown_max = 10, .stats = stats});
    Drop drop;
    for (guint32 id = 1; id <= 2; id++) {
        Domain *domain = ask(exporters, 0xc0000201, id, 1000, &drop);
        domain->exporter->proven = TRUE;
        domain->ledger->received = 10 * id;
        ledger_lose(domain->ledger, PST_LOSS_NETWORK, id);
    }
    exporter_show(exporters, ask(exporters, 0xc0000201, 1, 1000, &drop)->exporter);
#define OF     "postern_collector_domain_"
#define OF_ALL "postern_collector_exporter_"
#define WHOSE  "{exporter=\"192.0.2.1\""
    cr_assert_eq(shown(stats, OF "records_total" WHOSE ",domain=\"1\"} "), 10);
    cr_assert_eq(shown(stats, OF "records_total" WHOSE ",domain=\"2\"} "), 20);
    cr_assert_eq(shown(stats, OF "expected_records_total" WHOSE ",domain=\"2\"} "), 22);
    cr_assert_eq(shown(stats, OF "lost_records_total" WHOSE ",domain=\"2\",reason=\"network\"} "),
                 2);
    cr_assert_eq(shown(stats, OF_ALL "records_total" WHOSE "} "), 30);
    cr_assert_eq(shown(stats, OF_ALL "lost_records_total" WHOSE ",reason=\"network\"} "), 3);
}

Test(metrics, of_domains_are_bounded)
{
    g_autoptr(PstStats) stats = pst_stats_new();
    g_autoptr(Exporters) exporters =
        exporters_new(&(ExportersOptions){.exporters_max = 10, .shown_max = 40, .stats = stats});
    Drop drop;
    for (guint32 addr = 1; addr <= 2; addr++) {
        for (guint32 id = 1; id <= SHOWN_DOMAINS_EACH + 1; id++) {
            Domain *domain = ask(exporters, addr, id, 1000, &drop);
            domain->exporter->proven = TRUE;
            domain->ledger->received = 1;
        }
        exporter_show(exporters, ask(exporters, addr, 1, 1000, &drop)->exporter);
    }
    g_autoptr(GString) text = g_string_new(NULL);
    pst_stats_write(stats, text);
    guint n = 0;
    for (const char *at = text->str; (at = strstr(at, OF "records_total{")) != NULL; at++)
        n++;
    cr_assert_eq(n, 40, "%u", n);
    cr_assert_eq(shown(stats, OF_ALL "records_total{exporter=\"0.0.0.2\"} "),
                 SHOWN_DOMAINS_EACH + 1, "the sum is of all");
}
