/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What comes back to a mail of ours and is no bounce: a person's reply, which becomes a statement
 * that waits for the desk, or a program's (RFC 3834), from which nothing follows. */
#include "report.h"

gboolean reply_recognise(const Report *report);
const char *reply_read(const Report *report, PstEvidence *evidence, GPtrArray *more);
