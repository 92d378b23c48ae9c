/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Abuse Reporting Format: RFC 5965 with 6430 (not-spam), 6591 (auth-failure), 6692 (source port).
 */
#include "report.h"

gboolean arf_recognise(const Report *report);
const char *arf_read(const Report *report, PstEvidence *evidence, GPtrArray *more);
