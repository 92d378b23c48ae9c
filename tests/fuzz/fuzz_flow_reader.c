/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a file for --backtest: read to its end, each step a flow, a heartbeat or a refusal;
 * or named as something else. */
#include <glib.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "flow_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("flows", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        return 0;
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autoptr(GError) error = NULL;
    g_autoptr(FlowReader) reader = flow_reader_open(path, NULL, &error); /* runs no program */
    if (reader == NULL)
        g_assert(g_error_matches(error, PST_ERROR, PST_ERROR_DATA));
    PstFlow flow;
    PstHeartbeat beat;
    size_t steps = 0;
    FlowRead item;
    while (reader != NULL &&
           (item = flow_reader_next(reader, &flow, &beat, &error)) != FLOW_READ_END) {
        g_assert(item != FLOW_READ_FAILED);
        g_assert(++steps <= size); /* a step takes at least one byte */
    }
    close(fd);
    return 0;
}
