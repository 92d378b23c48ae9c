/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "mailbox.h"

typedef struct {
    GString *seen; /* bodies, one after the other */
    const char *refuse;
} Visits;

static gboolean visit(gpointer user, const char *name, const Mail *mail, GError **error)
{
    Visits *visits = user;
    if (visits->refuse != NULL && strcmp(mail->bytes->str, visits->refuse) == 0) {
        g_set_error(error, PST_ERROR, PST_ERROR_AWAY, "the bus is away");
        return FALSE;
    }
    g_string_append_printf(visits->seen, "%s|", mail->bytes->str);
    return TRUE;
}

static char *maildir_new(void)
{
    char *dir = g_dir_make_tmp("postern-mailbox.XXXXXX", NULL);
    const char *folders[] = {"new", "cur", "tmp"};
    for (gsize i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *path = g_build_filename(dir, folders[i], NULL);
        cr_assert_eq(g_mkdir(path, 0700), 0);
    }
    return dir;
}

static void deliver(const char *dir, const char *name, const char *bytes)
{
    g_autofree char *path = g_build_filename(dir, "new", name, NULL);
    cr_assert(g_file_set_contents(path, bytes, -1, NULL));
}

static gboolean stands_in(const char *dir, const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(dir, folder, name, NULL);
    return g_file_test(path, G_FILE_TEST_IS_REGULAR);
}

static void remove_maildir(const char *dir)
{
    const char *folders[] = {"new", "cur", "tmp", "."};
    for (gsize i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *path = g_build_filename(dir, folders[i], NULL);
        g_autoptr(GDir) open = g_dir_open(path, 0, NULL);
        const char *name;
        while (open != NULL && (name = g_dir_read_name(open)) != NULL) {
            g_autofree char *file = g_build_filename(path, name, NULL);
            g_remove(file);
        }
    }
    g_rmdir(dir);
}

static gboolean visit_maildir(const char *dir, gboolean move, Visits *visits, GError **error)
{
    g_autofree char *source = g_strconcat("maildir:", dir, NULL);
    return mailbox_visit(source, 1000, move, visit, visits, error);
}

Test(mailbox, keeps_no_more_than_its_limit_and_counts_all)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], "0123456789", 10), 10);
    close(ends[1]);
    g_autoptr(Mail) mail = mail_read(ends[0], 4, NULL);
    g_autoptr(Mail) whole = mail_new(text("0123456789", 10));
    close(ends[0]);
    cr_assert_str_eq(mail->bytes->str, "0123");
    cr_assert_eq(mail->size_bytes, 10);
    cr_assert_eq(memcmp(mail->sha256, whole->sha256, PST_EVIDENCE_SHA256), 0);
}

Test(mailbox, stops_reading_what_never_ends)
{
    GString *seen = g_string_new(NULL);
    Visits visits = {seen, NULL};
    cr_assert(mailbox_visit("/dev/zero", 4096, FALSE, visit, &visits, NULL));
    g_string_free(seen, TRUE);
}

Test(mailbox, visits_a_maildir_in_order_and_moves_what_is_done)
{
    g_autofree char *dir = maildir_new();
    g_autoptr(GString) seen = g_string_new(NULL);
    Visits visits = {seen, NULL};
    deliver(dir, "200.b", "second");
    deliver(dir, "100.a", "first");
    deliver(dir, ".hidden", "no mail");
    cr_assert(visit_maildir(dir, TRUE, &visits, NULL));
    cr_assert_str_eq(seen->str, "first|second|");
    cr_assert(stands_in(dir, "cur", "100.a:2,S"));
    cr_assert_not(stands_in(dir, "new", "100.a"));
    remove_maildir(dir);
}

Test(mailbox, moves_nothing_when_only_looking)
{
    g_autofree char *dir = maildir_new();
    g_autoptr(GString) seen = g_string_new(NULL);
    Visits visits = {seen, NULL};
    deliver(dir, "100.a", "first");
    cr_assert(visit_maildir(dir, FALSE, &visits, NULL));
    cr_assert(stands_in(dir, "new", "100.a"));
    remove_maildir(dir);
}

Test(mailbox, stops_where_the_visitor_stops_and_keeps_the_rest)
{
    g_autofree char *dir = maildir_new();
    g_autoptr(GString) seen = g_string_new(NULL);
    g_autoptr(GError) error = NULL;
    Visits visits = {seen, "second"};
    deliver(dir, "100.a", "first");
    deliver(dir, "200.b", "second");
    deliver(dir, "300.c", "third");
    cr_assert_not(visit_maildir(dir, TRUE, &visits, &error));
    cr_assert_eq(error->code, PST_ERROR_AWAY);
    cr_assert_str_eq(seen->str, "first|");
    cr_assert(stands_in(dir, "cur", "100.a:2,S"));
    cr_assert(stands_in(dir, "new", "200.b"));
    cr_assert(stands_in(dir, "new", "300.c"));
    remove_maildir(dir);
}

Test(mailbox, says_which_source_it_cannot_read)
{
    const char *sources[] = {"/nonexistent/mail", "/", "maildir:/nonexistent"};
    const int codes[] = {PST_ERROR_NOT_FOUND, PST_ERROR_NOT_FOUND, PST_ERROR_USAGE};
    for (gsize i = 0; i < G_N_ELEMENTS(sources); i++) {
        g_autoptr(GError) error = NULL;
        cr_assert_not(mailbox_visit(sources[i], 1000, TRUE, visit, NULL, &error));
        cr_assert_eq(error->code, codes[i], "%s: %s", sources[i], error->message);
    }
}
