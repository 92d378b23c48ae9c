/* SPDX-License-Identifier: Apache-2.0 */
#include "jsonout.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "codec.h"

enum { BUFFER_BYTES = 64 * 1024 };

struct JsonOut {
    int fd;
    gboolean ours; /* to be closed */
    char *path;    /* owned */
    GString *buffer;
    int failed; /* errno of a write */
};

JsonOut *json_out_open(const char *path, GError **error)
{
    gboolean standard = strcmp(path, "-") == 0;
    int fd = standard ? STDOUT_FILENO : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0) {
        g_set_error(error, PST_ERROR, PST_ERROR_IO, "output json:%s: %s", path, g_strerror(errno));
        return NULL;
    }
    JsonOut *out = g_new0(JsonOut, 1);
    out->fd = fd;
    out->ours = !standard;
    out->path = g_strdup(path);
    out->buffer = g_string_sized_new(2 * BUFFER_BYTES);
    return out;
}

static void write_out(JsonOut *out)
{
    const char *at = out->buffer->str;
    gsize left = out->buffer->len;
    while (left > 0 && out->failed == 0) {
        gssize n = write(out->fd, at, left);
        if (n >= 0) {
            at += n;
            left -= (gsize)n;
        } else if (errno != EINTR) {
            out->failed = errno;
        }
    }
    g_string_truncate(out->buffer, 0);
}

void json_out_flow(JsonOut *out, const PstFlow *flow)
{
    pst_codec_flow_json(flow, out->buffer);
    g_string_append_c(out->buffer, '\n');
    if (out->buffer->len >= BUFFER_BYTES)
        write_out(out);
}

gboolean json_out_flush(JsonOut *out, GError **error)
{
    write_out(out);
    if (out->failed == 0)
        return TRUE;
    g_set_error(error, PST_ERROR, PST_ERROR_IO, "output json:%s: %s", out->path,
                g_strerror(out->failed));
    return FALSE;
}

void json_out_close(JsonOut *out)
{
    if (out == NULL)
        return;
    if (out->ours)
        close(out->fd);
    g_string_free(out->buffer, TRUE);
    g_free(out->path);
    g_free(out);
}
