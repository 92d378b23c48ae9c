/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the list of own networks, and as a file of them: refused with words or read. */
#include <glib.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "prefix_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void load(const char *what)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PstPrefixMap) map = pst_networks_load(what, &error);
    g_assert((map == NULL) == (error != NULL));
    g_assert(error == NULL || g_utf8_validate(error->message, -1, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *list = g_strdup_printf("192.0.2.0/24,%.*s", (int)MIN(size, 4096), data);
    load(list);
    int fd = memfd_create("networks", MFD_CLOEXEC);
    if (fd >= 0 && write(fd, data, size) == (ssize_t)size) {
        g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
        load(path);
    }
    if (fd >= 0)
        close(fd);
    return 0;
}
