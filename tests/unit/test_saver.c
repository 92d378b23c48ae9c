/* SPDX-License-Identifier: Apache-2.0 */
/* What is handed to the state file, and what comes back from it. */
#include <criterion/criterion.h>
#include <glib/gstdio.h>

#include "export_builder.h"
#include "saver.h"

/* A worker's memory with its state file, in a folder of its own. */
typedef struct {
    char *folder;
    char *path;
    PstStats *stats;
    State *state;
    Saver *saver;
    Exporters *exporters;
    gint64 now_ns;
} Site;

static void site_start(Site *site)
{
    g_autoptr(GError) error = NULL;
    site->stats = pst_stats_new();
    site->state = state_open(site->path, site->stats, &error);
    cr_assert_not_null(site->state, "%s", error != NULL ? error->message : "");
    site->saver = saver_new(site->state, 1800);
    site->exporters = exporters_new(&(ExportersOptions){
        .exporters_max = 10000, .born = saver_born, .gone = saver_gone, .user = site->saver});
}

static void site_init(Site *site)
{
    g_autoptr(GError) error = NULL;
    memset(site, 0, sizeof *site);
    site->folder = g_dir_make_tmp("postern-saver-XXXXXX", &error);
    cr_assert_not_null(site->folder);
    site->path = g_build_filename(site->folder, "state", NULL);
    site->now_ns = EXPORT_S * NS_PER_S;
    site_start(site);
}

static void site_stop(Site *site)
{
    state_close(site->state);
    exporters_free(site->exporters);
    saver_free(site->saver);
    pst_stats_free(site->stats);
}

static void site_restart(Site *site)
{
    site_stop(site);
    site_start(site);
}

static void site_clear(Site *site)
{
    site_stop(site);
    (void)g_unlink(site->path);
    (void)g_rmdir(site->folder);
    g_free(site->path);
    g_free(site->folder);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Site, site_clear)

static Domain *domain_at(Site *site, guint32 addr)
{
    Drop drop;
    PstAddr exporter = pst_addr_v4(addr);
    return exporters_domain(site->exporters, &exporter, 0, site->now_ns, &drop);
}

static void teach(Site *site, guint32 addr, gboolean proven)
{
    static const guint8 record[] = {1, 0, 0, 1, 0, 8, 0, 4};
    static TemplateSpec spec;
    PstCursor c = pst_cursor(record, sizeof record);
    gboolean is_new;
    Domain *domain = domain_at(site, addr);
    cr_assert_eq(template_read(&c, FALSE, &spec), DROP_NONE);
    cr_assert_eq(templates_define(&domain->templates, &spec, VERSION_IPFIX, 2055, site->now_ns,
                                  site->now_ns, &is_new),
                 DROP_NONE);
    domain->exporter->proven = proven;
}

static guint known(Site *site, guint32 first, guint n)
{
    guint found = 0;
    for (guint32 i = 0; i < n; i++)
        found += templates_count(&domain_at(site, first + i)->templates) > 0;
    return found;
}

Test(saver, storm_of_strangers_keeps_nobody_out_who_has_proven_himself)
{
    g_auto(Site) site;
    site_init(&site);
    for (guint32 i = 0; i < 5000; i++)
        teach(&site, 0x0a000000 + i, FALSE);
    for (guint32 i = 0; i < 50; i++)
        teach(&site, 0xc0000200 + i, TRUE);
    saver_tick(site.saver, site.exporters, site.now_ns, FALSE);
    site_restart(&site);
    cr_assert_eq(known(&site, 0xc0000200, 50), 50);
    cr_assert_eq(known(&site, 0x0a000000, 5000), SAVER_DOMAINS_MAX / 4);
}

Test(saver, at_the_end_saves_whatever_is_left)
{
    g_auto(Site) site;
    site_init(&site);
    for (guint32 i = 0; i < 5000; i++)
        teach(&site, 0x0a000000 + i, FALSE);
    saver_tick(site.saver, site.exporters, site.now_ns, FALSE);
    saver_tick(site.saver, site.exporters, site.now_ns, TRUE);
    site_restart(&site);
    cr_assert_eq(known(&site, 0x0a000000, 5000), 5000);
}

Test(saver, forgets_whom_the_collector_forgets)
{
    g_auto(Site) site;
    site_init(&site);
    teach(&site, 0xc0000201, FALSE);
    saver_tick(site.saver, site.exporters, site.now_ns, TRUE);
    site.now_ns += 2 * EXPORTER_PROBATION_S * NS_PER_S;
    cr_assert_eq(exporters_expire(site.exporters, site.now_ns), 1);
    saver_tick(site.saver, site.exporters, site.now_ns, TRUE);
    site_restart(&site);
    cr_assert_eq(known(&site, 0xc0000201, 1), 0);
}

Test(saver, clock_that_is_set_back_stops_nothing)
{
    g_auto(Site) site;
    site_init(&site);
    teach(&site, 0xc0000201, TRUE);
    saver_tick(site.saver, site.exporters, site.now_ns, TRUE);
    site.now_ns -= 3600 * NS_PER_S;
    teach(&site, 0xc0000202, TRUE);
    teach(&site, 0xc0000201, TRUE);
    saver_tick(site.saver, site.exporters, site.now_ns, TRUE);
    site_restart(&site);
    cr_assert_eq(known(&site, 0xc0000201, 2), 2);
}
