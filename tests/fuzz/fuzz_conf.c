/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a configuration file: refused with an error or read; never a crash or a leak. */
#include <glib.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf.h"

typedef struct {
    gboolean b;
    gint64 i, bytes, span, e;
    double r;
    char *text;
    char **list;
} Target;

static const PstConfRow rows[] = {
    {"x", "b", PST_CONF_BOOL, offsetof(Target, b), "", 0, 0, NULL, "no", TRUE, ""},
    {"x", "i", PST_CONF_INT, offsetof(Target, i), "", 0, 9, NULL, "1", TRUE, ""},
    {"x", "r", PST_CONF_REAL, offsetof(Target, r), "", 0, 1, NULL, "1", TRUE, ""},
    {"x", "bytes", PST_CONF_BYTES, offsetof(Target, bytes), "", 0, 0, NULL, "1", TRUE, ""},
    {"x", "span", PST_CONF_SPAN_S, offsetof(Target, span), "", 0, 0, NULL, "1", TRUE, ""},
    {"x", "text", PST_CONF_TEXT, offsetof(Target, text), "", 0, 0, NULL, "", TRUE, ""},
    {"x", "list", PST_CONF_LIST, offsetof(Target, list), "", 0, 0, NULL, "", TRUE, ""},
    {"x", "e", PST_CONF_ENUM, offsetof(Target, e), "", 0, 0, "a|b", "a", TRUE, ""},
    {NULL},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("conf", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        return 0;
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    Target target = {0};
    g_autoptr(GError) error = NULL;
    pst_conf_defaults(rows, &target);
    gboolean ok = pst_conf_load(rows, path, &target, &error);
    g_assert(ok == (error == NULL));
    g_assert(target.i >= 0 && target.i <= 9);
    pst_conf_clear(rows, &target);
    close(fd);
    return 0;
}
