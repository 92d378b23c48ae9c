/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Evidence as people and scripts read it: one JSON object, every key always there. */
#include "postern/evidence.h"

/* Appends the object without a newline. */
void evidence_json_append(const PstEvidence *evidence, GString *out);
