/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* IPFIX files (RFC 5655): messages back to back. Thread: the owner's of the file. */
#include <stdio.h>

#include "postern/error.h"

enum { CAPTURE_IPFIX_MAX = 65535 };

/* Does @file, at its start, begin with an IPFIX message? The position stays. */
gboolean capture_ipfix_is(FILE *file);

/* Reads the next message into @out (room for CAPTURE_IPFIX_MAX bytes). Returns its length, 0 at the
 * end, −1 with @error DATA (length lies, file ends in a message) or IO. */
gssize capture_ipfix_next(FILE *file, guint8 *out, GError **error);
