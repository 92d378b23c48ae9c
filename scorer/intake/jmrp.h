/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Complaints of Microsoft's Junk Mail Reporting Program (Hotmail, Outlook.com): no ARF, but the
 * complained mail attached, with fields that name the program, and the address in the subject. */
#include "report.h"

gboolean jmrp_recognise(const Report *report);
const char *jmrp_read(const Report *report, PstEvidence *evidence, GPtrArray *more);
