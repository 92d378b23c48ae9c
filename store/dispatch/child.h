/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A program of somebody else's, run once: no shell, a clean environment, bounded time and output.
 *
 * It gets our text on stdin, a PATH and nothing else in its environment, no open files but the
 * three, default signals, and "/" as its folder. When its time is over, when it says too much, or
 * when we die, it is killed; what it started in its process group goes with it.
 */
#include "postern/error.h"

typedef struct {
    int status;       /* exit status 0…255; −1: it did not end by itself */
    const char *why;  /* status −1: in words; borrowed, constant */
    GString *out;     /* stdout */
    char *error_line; /* first line of stderr, made printable; NULL: none */
} Child;

void child_clear(Child *child);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Child, child_clear)

/* Runs @argv (argv[0] an absolute path) with @input on stdin and waits for its end, at most
 * @timeout_s. Output past @out_max bytes kills it. Blocks; SIGPIPE must be ignored. */
void child_run(char *const *argv, const GString *input, int timeout_s, gsize out_max,
               Child *out_child);
