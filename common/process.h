/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* This process as /proc/self tells of it: what Prometheus expects to hear of any, under its
 * customary names; and the programs beside it. Thread: any. */
#include <glib.h>

/* Appends processor time, memory, open files and the time of the start, as exposition text. What
 * /proc does not tell is left out. */
void pst_process_write(GString *out);

/* Our program @name: beside this one, else wherever PATH says. Given. */
char *pst_program_path(const char *name);
