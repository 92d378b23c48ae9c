/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "freeze_file.h"

typedef struct {
    GHashTable *units; /* unit → line */
    char *chain;       /* of the last whole line; "" at the start */
    gsize whole;       /* bytes of whole lines */
} Content;

static void content_clear(Content *content)
{
    g_clear_pointer(&content->units, g_hash_table_unref);
    g_clear_pointer(&content->chain, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Content, content_clear)

static void set_io(GError **error, const char *path, const char *what)
{
    g_set_error(error, PST_ERROR, PST_ERROR_IO, "%s: cannot %s: %s", path, what, g_strerror(errno));
}

/* @body "WHEN UNIT CASE ZONE". Given. */
static char *next_chain(const char *chain, const char *body)
{
    g_autofree char *text = g_strconcat(chain, " ", body, NULL);
    return g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
}

static gboolean take_line(Content *content, char *line)
{
    g_autofree char *whole = g_strdup(line);
    char *blank = strrchr(line, ' ');
    if (blank == NULL)
        return FALSE;
    *blank = '\0';
    g_autofree char *chain = next_chain(content->chain, line);
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    if (strcmp(chain, blank + 1) != 0 || g_strv_length(words) != 4)
        return FALSE;
    g_hash_table_insert(content->units, g_strdup(words[1]), g_steal_pointer(&whole));
    g_free(content->chain);
    content->chain = g_steal_pointer(&chain);
    return TRUE;
}

static gboolean take_text(Content *content, const char *path, char *text, GError **error)
{
    content->units = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    content->chain = g_strdup("");
    guint number = 1;
    char *at = text, *end;
    for (; (end = strchr(at, '\n')) != NULL; at = end + 1, number++) {
        *end = '\0';
        if (!take_line(content, at)) {
            g_set_error(error, PST_ERROR, PST_ERROR_DATA,
                        "%s:%u was changed, or a line before it was taken away", path, number);
            return FALSE;
        }
    }
    content->whole = (gsize)(at - text);
    return TRUE;
}

static gboolean read_content(const char *path, Content *content, GError **error)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) why = NULL;
    if (!g_file_get_contents(path, &text, NULL, &why)) {
        if (!g_error_matches(why, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
            g_set_error(error, PST_ERROR, PST_ERROR_IO, "%s", why->message);
            return FALSE;
        }
        text = g_strdup("");
    }
    return take_text(content, path, text, error);
}

GHashTable *pst_freeze_file_read(const char *path, GError **error)
{
    g_auto(Content) content = {0};
    return read_content(path, &content, error) ? g_steal_pointer(&content.units) : NULL;
}

/* Lines for what is missing; @content's chain goes on. */
static GString *missing_lines(Content *content, const PstPgRows *freezes, guint *out_added)
{
    GString *lines = g_string_new(NULL);
    *out_added = 0;
    for (int i = 0; i < pst_pg_count(freezes); i++) {
        if (g_hash_table_contains(content->units, pst_pg_text(freezes, i, 1)))
            continue;
        g_autofree char *zone = g_strdelimit(g_strdup(pst_pg_text(freezes, i, 3)), " \t\r\n", '_');
        g_autofree char *body =
            g_strdup_printf("%s %s %s %s", pst_pg_text(freezes, i, 0), pst_pg_text(freezes, i, 1),
                            pst_pg_text(freezes, i, 2), zone);
        char *chain = next_chain(content->chain, body);
        g_free(content->chain);
        content->chain = chain;
        g_string_append_printf(lines, "%s %s\n", body, chain);
        (*out_added)++;
    }
    return lines;
}

/* Past the whole lines: what a crash left half is written over. */
static gboolean append(int fd, const char *path, gsize at, const GString *lines, GError **error)
{
    if (ftruncate(fd, (off_t)at) != 0 || lseek(fd, (off_t)at, SEEK_SET) < 0) {
        set_io(error, path, "go to its end");
        return FALSE;
    }
    for (gsize done = 0; done < lines->len;) {
        gssize n = write(fd, lines->str + done, lines->len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            set_io(error, path, "write");
            return FALSE;
        }
        done += (gsize)n;
    }
    if (fsync(fd) != 0) {
        set_io(error, path, "save");
        return FALSE;
    }
    return TRUE;
}

/* The lock is held until the file is closed. */
static int open_locked(const char *path, GError **error)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        set_io(error, path, "open");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

gboolean pst_freeze_file_add(const char *path, const PstPgRows *freezes, guint *out_added,
                             GError **error)
{
    int fd = open_locked(path, error);
    if (fd < 0)
        return FALSE;
    g_auto(Content) content = {0};
    gboolean done = read_content(path, &content, error);
    if (done) {
        g_autoptr(GString) lines = missing_lines(&content, freezes, out_added);
        done = lines->len == 0 || append(fd, path, content.whole, lines, error);
    }
    close(fd);
    return done;
}
