/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Mails that a mailbox provider sends in its user's name to leave a list (RFC 2369
 * List-Unsubscribe). They end up at an abuse desk by mistake and accuse nobody. */
#include "report.h"

gboolean unsubscribe_recognise(const Report *report);
const char *unsubscribe_read(const Report *report, PstEvidence *evidence, GPtrArray *more);
