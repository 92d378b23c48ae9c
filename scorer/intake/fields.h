/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A block of header fields (RFC 5322 §2.2), read where it lies.
 *
 * The same reader serves the header of a mail, of a part, of an attached message, and the body of
 * message/feedback-report and message/delivery-status, which are written the same way. What is no
 * field (a line without colon, an empty line, an mbox "From ") is passed over: real reports hold
 * such lines, and nothing is lost by reading on.
 * Thread: any; all functions are pure.
 */
#include "text.h"

typedef struct {
    Text name;  /* without white space before the colon */
    Text value; /* as written, folded lines and all */
} Field;

/* Cuts the next field off @rest. FALSE: none is left. */
gboolean fields_next(Text *rest, Field *out);

/* The value of the first field @name, or TEXT_NONE. */
Text fields_value(Text block, const char *name);
