/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Delivery status notifications (RFC 3464): a mail of ours that did not arrive. */
#include "report.h"

gboolean bounce_recognise(const Report *report);
const char *bounce_read(const Report *report, PstEvidence *evidence, GPtrArray *more);
