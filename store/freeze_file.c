/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "freeze_file.h"

#define SIGNED  "hmac:"
#define KEY_MIN 32
#define KEY_MAX 4096

typedef struct {
    PstFreezeFile file;
    GBytes *key; /* borrowed; NULL: none */
    char *chain; /* of the last whole line; "" at the start */
    gsize whole; /* bytes of whole lines */
} Content;

void pst_freeze_file_clear(PstFreezeFile *file)
{
    g_clear_pointer(&file->units, g_hash_table_unref);
}

static void content_clear(Content *content)
{
    pst_freeze_file_clear(&content->file);
    g_clear_pointer(&content->chain, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Content, content_clear)

static void set_io(GError **error, const char *path, const char *what)
{
    g_set_error(error, PST_ERROR, PST_ERROR_IO, "%s: cannot %s: %s", path, what, g_strerror(errno));
}

/* ---- the key ---- */

gboolean pst_freeze_key_load(const char *path, GBytes **out_key, GError **error)
{
    *out_key = NULL;
    if (path == NULL || *path == '\0')
        return TRUE;
    struct stat about;
    g_autofree char *text = NULL;
    gsize len = 0;
    g_autoptr(GError) why = NULL;
    if (stat(path, &about) != 0 || !g_file_get_contents(path, &text, &len, &why)) {
        g_set_error(error, PST_ERROR, PST_ERROR_IO, "freeze key: %s: %s", path,
                    why != NULL ? why->message : g_strerror(errno));
        return FALSE;
    }
    while (len > 0 && g_ascii_isspace(text[len - 1]))
        len--;
    if ((about.st_mode & (S_IRWXO | S_IWGRP | S_IXGRP)) != 0)
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "freeze key: %s may be read or written by others (mode %04o): chmod 0640", path,
                    (unsigned)about.st_mode & 07777U);
    else if (len < KEY_MIN || len > KEY_MAX)
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "freeze key: %s has %zu bytes, %d to %d are right: openssl rand -hex 32", path,
                    len, KEY_MIN, KEY_MAX);
    else
        *out_key = g_bytes_new(text, len);
    return *out_key != NULL;
}

/* @body "WHEN UNIT CASE ZONE". Given. */
static char *next_chain(GBytes *key, const char *chain, const char *body)
{
    g_autofree char *text = g_strconcat(chain, " ", body, NULL);
    if (key == NULL)
        return g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
    gsize len;
    const guint8 *bytes = g_bytes_get_data(key, &len);
    g_autofree char *sum = g_compute_hmac_for_string(G_CHECKSUM_SHA256, bytes, len, text, -1);
    return g_strconcat(SIGNED, sum, NULL);
}

/* ---- reading ---- */

/* NULL: the line was taken; else why not. @number counts from 1. */
static const char *take_line(Content *content, char *line, guint number)
{
    g_autofree char *whole = g_strdup(line);
    char *blank = strrchr(line, ' ');
    if (blank == NULL)
        return "is no line of this file";
    *blank = '\0';
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    gboolean is_signed = g_str_has_prefix(blank + 1, SIGNED);
    content->file.is_signed |= is_signed;
    if (g_strv_length(words) != PST_FREEZE_CHAIN)
        return "is no line of this file";
    if (content->key != NULL && !is_signed)
        return "is not signed: was it written without --freeze-key, or by somebody else? If all is "
               "as in the database (postern doctor), move it away: it is written again, signed";
    if (content->key != NULL || !is_signed) {
        g_autofree char *chain = next_chain(content->key, content->chain, line);
        if (strcmp(chain, blank + 1) != 0)
            return content->key != NULL && number == 1
                       ? "was changed, or this is not the key that it was signed with"
                       : "was changed, or a line before it was taken away";
    }
    g_hash_table_insert(content->file.units, g_strdup(words[PST_FREEZE_UNIT]),
                        g_steal_pointer(&whole));
    g_free(content->chain);
    content->chain = g_strdup(blank + 1);
    return NULL;
}

static gboolean take_text(Content *content, const char *path, char *text, GError **error)
{
    content->file.units = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    content->chain = g_strdup("");
    guint number = 1;
    char *at = text, *end;
    for (; (end = strchr(at, '\n')) != NULL; at = end + 1, number++) {
        *end = '\0';
        const char *why = take_line(content, at, number);
        if (why != NULL) {
            g_set_error(error, PST_ERROR, PST_ERROR_DATA, "%s:%u %s", path, number, why);
            return FALSE;
        }
    }
    content->whole = (gsize)(at - text);
    content->file.is_cut = *at != '\0';
    content->file.is_verified = content->key != NULL;
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

gboolean pst_freeze_file_read(const char *path, GBytes *key, PstFreezeFile *out_file,
                              GError **error)
{
    g_auto(Content) content = {.key = key};
    if (!read_content(path, &content, error))
        return FALSE;
    *out_file = content.file;
    content.file.units = NULL;
    return TRUE;
}

/* ---- writing ---- */

/* Lines for what is missing; @content's chain goes on. */
static GString *missing_lines(Content *content, const PstPgRows *freezes, guint *out_added,
                              guint *out_lost)
{
    GString *lines = g_string_new(NULL);
    *out_added = 0;
    *out_lost = g_hash_table_size(content->file.units);
    for (int i = 0; i < pst_pg_count(freezes); i++) {
        if (g_hash_table_contains(content->file.units, pst_pg_text(freezes, i, 1))) {
            (*out_lost)--;
            continue;
        }
        g_autofree char *zone = g_strdelimit(g_strdup(pst_pg_text(freezes, i, 3)), " \t\r\n", '_');
        g_autofree char *body =
            g_strdup_printf("%s %s %s %s", pst_pg_text(freezes, i, 0), pst_pg_text(freezes, i, 1),
                            pst_pg_text(freezes, i, 2), zone);
        char *chain = next_chain(content->key, content->chain, body);
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

static gboolean may_append(const Content *content, const char *path, GError **error)
{
    if (content->key != NULL || !content->file.is_signed)
        return TRUE;
    g_set_error(error, PST_ERROR, PST_ERROR_DATA, "%s is signed: --freeze-key is missing", path);
    return FALSE;
}

gboolean pst_freeze_file_add(const char *path, GBytes *key, const PstPgRows *freezes,
                             guint *out_added, guint *out_lost, GError **error)
{
    int fd = open_locked(path, error);
    if (fd < 0)
        return FALSE;
    g_auto(Content) content = {.key = key};
    gboolean done = read_content(path, &content, error) && may_append(&content, path, error);
    if (done) {
        g_autoptr(GString) lines = missing_lines(&content, freezes, out_added, out_lost);
        done = lines->len == 0 || append(fd, path, content.whole, lines, error);
    }
    close(fd);
    return done;
}
