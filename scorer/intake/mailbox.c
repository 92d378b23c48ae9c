/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define MAILDIR "maildir:"

enum {
    READ_FACTOR = 64, /* a source that goes on after so many times the limit is no mail */
};

void mail_free(Mail *mail)
{
    if (mail == NULL)
        return;
    if (mail->bytes != NULL)
        g_string_free(mail->bytes, TRUE);
    g_free(mail);
}

static void set_digest(Mail *mail, GChecksum *sum)
{
    gsize len = PST_EVIDENCE_SHA256;
    g_checksum_get_digest(sum, mail->sha256, &len);
}

Mail *mail_new(Text bytes)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    Mail *mail = g_new0(Mail, 1);
    mail->bytes = g_string_new_len(bytes.at, (gssize)bytes.len);
    mail->size_bytes = bytes.len;
    g_checksum_update(sum, (const guchar *)mail->bytes->str, (gssize)bytes.len);
    set_digest(mail, sum);
    return mail;
}

static gboolean io_error(GError **error, const char *what, const char *path)
{
    g_set_error(error, PST_ERROR, PST_ERROR_IO, "%s %s: %s", what, path, g_strerror(errno));
    return FALSE;
}

Mail *mail_read(int fd, gsize max, GError **error)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_autoptr(Mail) mail = g_new0(Mail, 1);
    char chunk[65536];
    ssize_t n;
    mail->bytes = g_string_new(NULL);
    while (mail->size_bytes / READ_FACTOR < max && (n = read(fd, chunk, sizeof chunk)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            io_error(error, "cannot read", "the mail");
            return NULL;
        }
        mail->size_bytes += (guint64)n;
        g_checksum_update(sum, (const guchar *)chunk, n);
        g_string_append_len(mail->bytes, chunk,
                            (gssize)MIN((gsize)n, max - MIN(max, mail->bytes->len)));
    }
    set_digest(mail, sum);
    return g_steal_pointer(&mail);
}

static gboolean visit_fd(int fd, const char *name, gsize max, MailVisitor visit, gpointer user,
                         GError **error)
{
    g_autoptr(Mail) mail = mail_read(fd, max, error);
    if (mail == NULL) {
        g_prefix_error(error, "%s: ", name);
        return FALSE;
    }
    return visit(user, name, mail, error);
}

static gboolean visit_file(const char *path, gsize max, MailVisitor visit, gpointer user,
                           GError **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || g_file_test(path, G_FILE_TEST_IS_DIR)) {
        g_set_error(error, PST_ERROR, PST_ERROR_NOT_FOUND, "cannot open %s: %s", path,
                    fd < 0 ? g_strerror(errno) : "it is a folder; maildir:DIR reads a maildir");
        if (fd >= 0)
            close(fd);
        return FALSE;
    }
    gboolean done = visit_fd(fd, path, max, visit, user, error);
    close(fd);
    return done;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in DIR/new, oldest first: a maildir name begins with its second. */
static GPtrArray *list_new(const char *folder, GError **error)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    if (dir == NULL) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "cannot read the folder %s; a maildir has the folders new, cur and tmp",
                    folder);
        return NULL;
    }
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    while ((name = g_dir_read_name(dir)) != NULL)
        if (name[0] != '.')
            g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, compare_names);
    return names;
}

typedef struct {
    const char *folder; /* the maildir */
    gsize max;
    gboolean move;
    MailVisitor visit;
    gpointer user;
    gboolean refused; /* the visitor wants no more */
} Maildir;

static gboolean visit_or_refuse(gpointer user, const char *name, const Mail *mail, GError **error)
{
    Maildir *maildir = user;
    maildir->refused = !maildir->visit(maildir->user, name, mail, error);
    return !maildir->refused;
}

static gboolean visit_entry(Maildir *maildir, const char *name, GError **error)
{
    g_autofree char *path = g_build_filename(maildir->folder, "new", name, NULL);
    g_autofree char *seen_name = g_strconcat(name, ":2,S", NULL);
    g_autofree char *seen = g_build_filename(maildir->folder, "cur", seen_name, NULL);
    if (!g_file_test(path, G_FILE_TEST_IS_REGULAR)) /* another reader was quicker, or no mail */
        return TRUE;
    if (!visit_file(path, maildir->max, visit_or_refuse, maildir, error))
        return FALSE;
    if (maildir->move && rename(path, seen) < 0 && errno != ENOENT)
        return io_error(error, "cannot move to", seen);
    return TRUE;
}

/* A mail that cannot be read does not keep the others waiting; the first such error is told. */
static gboolean visit_maildir(Maildir *maildir, GError **error)
{
    g_autofree char *folder = g_build_filename(maildir->folder, "new", NULL);
    g_autoptr(GPtrArray) names = list_new(folder, error);
    gboolean ok = names != NULL;
    for (guint i = 0; names != NULL && i < names->len && !maildir->refused; i++) {
        g_autoptr(GError) trouble = NULL;
        if (visit_entry(maildir, names->pdata[i], &trouble))
            continue;
        if (maildir->refused && !ok)
            g_clear_error(error);
        if (maildir->refused || ok)
            g_propagate_error(error, g_steal_pointer(&trouble));
        ok = FALSE;
    }
    return ok;
}

gboolean mailbox_visit(const char *source, gsize max, gboolean move, MailVisitor visit,
                       gpointer user, GError **error)
{
    if (strcmp(source, "-") == 0)
        return visit_fd(STDIN_FILENO, "standard input", max, visit, user, error);
    if (g_str_has_prefix(source, MAILDIR)) {
        Maildir maildir = {source + strlen(MAILDIR), max, move, visit, user, FALSE};
        return visit_maildir(&maildir, error);
    }
    return visit_file(source, max, visit, user, error);
}
