/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"

typedef struct {
    gboolean enabled;
    gint64 workers;
    double share;
    gint64 queue_bytes;
    gint64 idle_s;
    char *database;
    char **ports;
    gint64 mode;
    char *mail_password;
} Target;

#define ROW(type, name, field, unit, min, max, choices, def)                                       \
    {                                                                                              \
        "scorer", name, type, offsetof(Target, field), unit, min, max, choices, def, TRUE, "Help." \
    }

static const PstConfRow rows[] = {
    ROW(PST_CONF_BOOL, "enabled", enabled, "", 0, 0, NULL, "yes"),
    ROW(PST_CONF_INT, "workers", workers, "", 1, 64, NULL, "2"),
    ROW(PST_CONF_REAL, "share", share, "", 0, 1, NULL, "0.5"),
    ROW(PST_CONF_BYTES, "queue", queue_bytes, "bytes", 0, 0, NULL, "64M"),
    ROW(PST_CONF_SPAN_S, "idle", idle_s, "s", 0, 0, NULL, "30m"),
    ROW(PST_CONF_TEXT, "database", database, "", 0, 0, NULL, ""),
    ROW(PST_CONF_LIST, "ports", ports, "", 0, 0, NULL, "25,465"),
    ROW(PST_CONF_ENUM, "mode", mode, "", 0, 0, "shadow|enforce", "shadow"),
    ROW(PST_CONF_TEXT, "mail_password", mail_password, "", 0, 0, NULL, ""),
    {NULL},
};

static Target target;
static char *path;

static void setup(void)
{
    path = NULL;
    int fd = g_file_open_tmp("conf-XXXXXX", &path, NULL);
    cr_assert_geq(fd, 0);
    close(fd);
    pst_conf_defaults(rows, &target);
}

static void teardown(void)
{
    g_unlink(path);
    g_free(path);
    pst_conf_clear(rows, &target);
}

static gboolean load(const char *text, GError **error)
{
    cr_assert(g_file_set_contents(path, text, -1, NULL));
    return pst_conf_load(rows, path, &target, error);
}

static void assert_refused(const char *text, const char *words)
{
    g_autoptr(GError) error = NULL;
    cr_assert_not(load(text, &error), "%s", text);
    cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_USAGE));
    cr_assert_not_null(strstr(error->message, words), "%s: %s", text, error->message);
}

TestSuite(conf, .init = setup, .fini = teardown);

Test(conf, starts_with_the_defaults)
{
    cr_assert(target.enabled);
    cr_assert_eq(target.workers, 2);
    cr_assert_float_eq(target.share, 0.5, 0);
    cr_assert_eq(target.queue_bytes, 64 << 20);
    cr_assert_eq(target.idle_s, 1800);
    cr_assert_null(target.database);
    cr_assert_str_eq(target.ports[1], "465");
    cr_assert_eq(target.mode, 0);
}

Test(conf, reads_every_type)
{
    cr_assert(load("# comment\n; another\n\n[scorer]\r\nenabled = off\nworkers=64\nshare = 1\n"
                   "queue = 2G\nidle = 2d\ndatabase = host=/run dbname='a b' # not a comment\n"
                   "ports = 25 , ,587\nmode = Enforce",
                   NULL));
    cr_assert_not(target.enabled);
    cr_assert_eq(target.workers, 64);
    cr_assert_float_eq(target.share, 1, 0);
    cr_assert_eq(target.queue_bytes, G_GINT64_CONSTANT(2) << 30);
    cr_assert_eq(target.idle_s, 2 * 86400);
    cr_assert_str_eq(target.database, "host=/run dbname='a b' # not a comment");
    cr_assert_str_eq(target.ports[0], "25");
    cr_assert_str_eq(target.ports[1], "587");
    cr_assert_null(target.ports[2]);
    cr_assert_eq(target.mode, 1);
}

Test(conf, an_empty_list_is_empty_and_not_null)
{
    cr_assert(load("[scorer]\nports =\n", NULL));
    cr_assert_not_null(target.ports);
    cr_assert_null(target.ports[0]);
}

Test(conf, own_section_wins_over_the_shared_one)
{
    cr_assert(load("[scorer]\nworkers = 3\n[postern]\nworkers = 4\ndatabase = x\n", NULL));
    cr_assert_eq(target.workers, 3);
    cr_assert_str_eq(target.database, "x");
}

Test(conf, other_programs_sections_are_not_judged)
{
    cr_assert(load("[collector]\nwhatever = 1\n[postern]\nbus = embedded:/x\n", NULL));
}

Test(conf, refuses_and_names_file_and_line)
{
    g_autofree char *where = g_strdup_printf("%s:3: unknown key \"wrokers\"", path);
    assert_refused("[scorer]\n\nwrokers = 1\n", where);
    assert_refused("[postern]\nnonsense = 1\n", "unknown key \"nonsense\"");
    assert_refused("[scorer]\nworkers = 0\n", "1 to 64");
    assert_refused("[scorer]\nworkers = 65\n", "1 to 64");
    assert_refused("[scorer]\nworkers = 2.5\n", "a whole number");
    assert_refused("[scorer]\nworkers = 99999999999999999999\n", "a whole number");
    assert_refused("[scorer]\nshare = nan\n", "a number");
    assert_refused("[scorer]\nqueue = 9999999999999G\n", "K, M or G");
    assert_refused("[scorer]\nidle = 3w\n", "m, h, d");
    assert_refused("[scorer]\nenabled = maybe\n", "yes or no");
    assert_refused("[scorer]\nmode = kill\n", "shadow|enforce");
    assert_refused("[scorer]\nworkers = 1\nworkers = 2\n", "already in line 2");
    assert_refused("workers = 1\n", "before the first [section]");
    assert_refused("[scorer\n", "a section is written as [name]");
    assert_refused("[scorer]\nworkers\n", "expected \"name = value\"");
    assert_refused("[scorer]\nworkers = 1\n\xff\n", "UTF-8");
}

Test(conf, changes_nothing_when_it_refuses)
{
    assert_refused("[scorer]\nworkers = 9\ndatabase = x\nbad = 1\n", "unknown key");
    cr_assert_eq(target.workers, 2);
    cr_assert_null(target.database);
}

Test(conf, a_missing_file_is_an_error_with_its_name)
{
    g_autoptr(GError) error = NULL;
    cr_assert_not(pst_conf_load(rows, "/nonexistent/postern.conf", &target, &error));
    cr_assert_not_null(strstr(error->message, "/nonexistent/postern.conf"));
}

Test(conf, set_replaces_or_appends)
{
    cr_assert(pst_conf_set(rows, "scorer", "ports", "2525", TRUE, &target, NULL));
    cr_assert_str_eq(target.ports[2], "2525");
    cr_assert(pst_conf_set(rows, "scorer", "ports", "26", FALSE, &target, NULL));
    cr_assert_str_eq(target.ports[0], "26");
    cr_assert_null(target.ports[1]);
    g_autoptr(GError) error = NULL;
    cr_assert_not(pst_conf_set(rows, "scorer", "workers", "x", FALSE, &target, &error));
    cr_assert_eq(target.workers, 2);
}

Test(conf, shows_itself_so_that_it_can_be_read_again)
{
    cr_assert(load("[scorer]\ndatabase = host=/run password=geheim dbname=x\n"
                   "mail_password = geheim\nidle = 5m\nmode = enforce\n",
                   NULL));
    g_autofree char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    pst_conf_show(rows, &target, out);
    fclose(out);
    cr_assert_null(strstr(text, "geheim"), "%s", text);
    cr_assert_not_null(strstr(text, "password=*** dbname=x"), "%s", text);
    cr_assert_not_null(strstr(text, "idle = 300"), "%s", text);
    cr_assert(load(text, NULL));
    cr_assert_eq(target.idle_s, 300);
    cr_assert_eq(target.mode, 1);
}

Test(conf, names_the_keys_that_changed)
{
    Target other = {0};
    pst_conf_defaults(rows, &other);
    cr_assert_null(pst_conf_changed(rows, &target, &other, TRUE));
    other.workers = 3;
    g_free(other.mail_password);
    other.mail_password = g_strdup("geheim");
    g_autofree char *names = pst_conf_changed(rows, &target, &other, TRUE);
    cr_assert_str_eq(names, "workers, mail_password");
    cr_assert_null(pst_conf_changed(rows, &target, &other, FALSE), "all of them are reloadable");
    pst_conf_clear(rows, &other);
}
