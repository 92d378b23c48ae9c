/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What Prometheus expects to hear of any process, from /proc/self, under its customary names.
 * Thread: any. */
#include <glib.h>

/* Appends processor time, memory, open files and the time of the start, as exposition text. What
 * /proc does not tell is left out. */
void pst_process_write(GString *out);
