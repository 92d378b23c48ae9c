/* SPDX-License-Identifier: Apache-2.0 */
#include "maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static gboolean fail(const char *what, const char *path, int err, GError **error)
{
    g_set_error(error, PST_ERROR, PST_ERROR_IO, "maildir: cannot %s %s: %s", what, path,
                g_strerror(err));
    return FALSE;
}

static gboolean make_folders(const char *folder, GError **error)
{
    static const char *const parts[] = {"tmp", "new", "cur"};
    for (gsize i = 0; i < G_N_ELEMENTS(parts); i++) {
        g_autofree char *path = g_build_filename(folder, parts[i], NULL);
        if (g_mkdir_with_parents(path, 0700) != 0)
            return fail("make", path, errno, error);
    }
    return TRUE;
}

/* A reader moves new/NAME to cur/NAME:2,FLAGS. */
static char *find_in_cur(const char *folder, const char *name)
{
    g_autofree char *cur = g_build_filename(folder, "cur", NULL);
    g_autofree char *flagged = g_strconcat(name, ":", NULL);
    g_autoptr(GDir) dir = g_dir_open(cur, 0, NULL);
    const char *entry;
    while (dir != NULL && (entry = g_dir_read_name(dir)) != NULL)
        if (strcmp(entry, name) == 0 || g_str_has_prefix(entry, flagged))
            return g_build_filename(cur, entry, NULL);
    return NULL;
}

static gboolean write_all(int fd, const char *data, gsize len)
{
    while (len > 0) {
        gssize n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return FALSE;
        data += n;
        len -= (gsize)n;
    }
    return TRUE;
}

static gboolean sync_folder(const char *folder, const char *part, GError **error)
{
    g_autofree char *path = g_build_filename(folder, part, NULL);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    gboolean done = fd >= 0 && fsync(fd) == 0;
    int err = errno;
    if (fd >= 0)
        close(fd);
    return done || fail("sync", path, err, error);
}

/* What an earlier, killed attempt left under the same name is overwritten. */
static gboolean write_tmp(const char *path, const GString *text, GError **error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail("make", path, errno, error);
    gboolean done = write_all(fd, text->str, text->len) && fsync(fd) == 0;
    int err = errno;
    if (close(fd) != 0 && done) {
        done = FALSE;
        err = errno;
    }
    if (!done)
        unlink(path);
    return done || fail("write", path, err, error);
}

/* link(2), not rename(2): it cannot replace what is there. */
static gboolean publish(const char *folder, const char *tmp, const char *final, GError **error)
{
    gboolean done = link(tmp, final) == 0 || errno == EEXIST;
    int err = errno;
    unlink(tmp);
    return done ? sync_folder(folder, "new", error) : fail("make", final, err, error);
}

char *pst_maildir_put(const char *folder, const char *message_id, const char *data, gsize len,
                      GError **error)
{
    if (!make_folders(folder, error))
        return NULL;
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, message_id, -1);
    g_autofree char *name = g_strdup_printf("%.32s.postern", hash);
    char *read_already = find_in_cur(folder, name);
    if (read_already != NULL)
        return read_already;
    g_autofree char *tmp = g_build_filename(folder, "tmp", name, NULL);
    g_autofree char *final = g_build_filename(folder, "new", name, NULL);
    if (g_file_test(final, G_FILE_TEST_EXISTS))
        return sync_folder(folder, "new", error) ? g_steal_pointer(&final) : NULL;
    g_autoptr(GString) text = g_string_new_len(data, (gssize)len);
    g_string_replace(text, "\r\n", "\n", 0);
    if (!write_tmp(tmp, text, error) || !publish(folder, tmp, final, error))
        return NULL;
    return g_steal_pointer(&final);
}
