/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What people decided about units, as far as scoring needs it: IPv6 unit lengths of prefixes and
 * exemptions with a ceiling. Comes from inputs only, so it is part of the state. Owner: engine. */
#include "image.h"
#include "postern/unit.h"

typedef struct Rules Rules;

Rules *rules_new(guint8 default_v6_len);
void rules_free(Rules *rules);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Rules, rules_free)

/* The unit of @addr: by the longest prefix that has a unit length. */
PstUnit rules_unit_of(const Rules *rules, const PstAddr *addr);
/* @unit_len 48 … 64; FALSE: not an IPv6 prefix, or no such length; nothing changed. */
gboolean rules_set_unit_len(Rules *rules, const PstPrefix *prefix, guint8 unit_len);

/* Sessions an hour, as the most specific net that holds the unit says; 0: not exempted. */
double rules_ceiling(const Rules *rules, const PstUnit *unit);
/* @net a unit or a wider prefix. @ceiling 0 ends it. */
void rules_set_ceiling(Rules *rules, const PstPrefix *net, double ceiling);

void rules_write(const Rules *rules, Image *image);
gboolean rules_read(Rules *rules, PstCursor *from) G_GNUC_WARN_UNUSED_RESULT;
