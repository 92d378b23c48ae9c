/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The copy plan of a template: which bytes of a data record go where in a Record.
 *
 * A record is cut into segments: fixed bytes, each but the last followed by one field of variable
 * length. A step names its bytes as (segment, offset), so one plan serves both kinds of record:
 *
 *   template: 8 12 4 | varlen | 7 11        segment 0: 8 12 4     segment 1: 7 11
 *   record:   ssssddddp  3xyz  spdp         bases[0] = 0          bases[1] = 9 + 4
 *
 * A template without variable fields has one segment, and bases[] is {0}.
 * Most records are not mail: plan_may_be_mail() looks at protocol and ports alone and lets them go
 * after three loads.
 * A plan reads only bytes that plan_measure() has found inside the set. Thread: any (read-only).
 */
#include "element.h"
#include "portset.h"
#include "record.h"
#include "template.h"

enum { PLAN_SEGMENTS_MAX = TEMPLATE_FIELDS_MAX + 1 };

/* Compiles checked fields. @version: the dialect, which becomes the flow's type. Given. */
Plan *plan_compile(const Field *fields, gsize n, guint16 version);
void plan_free(Plan *plan);

/* Bytes of each record, or 0 if they vary. */
gsize plan_fixed_len(const Plan *plan);

/* Takes one record of a varying plan off @set: where its segments start, counted from the returned
 * pointer, into @out_bases (room for PLAN_SEGMENTS_MAX). NULL: the rest of the set is too short. */
const guint8 *plan_measure(const Plan *plan, PstCursor *set, guint32 *out_bases);

/* FALSE: the record is surely no TCP on one of @ports. TRUE: it may be; decode and look. */
gboolean plan_may_be_mail(const Plan *plan, const guint8 *record, const guint32 *bases,
                          const PortSet *ports);
/* The same for the first of @n records of plan_fixed_len() bytes: the index of the first that may
 * be mail, or @n. */
guint plan_skip_others(const Plan *plan, const guint8 *records, guint n, const PortSet *ports);
/* FALSE: no record of this plan can be: it carries no ports, or no protocol. */
gboolean plan_can_be_mail(const Plan *plan);

/* Fills @out, all of it, from @record. */
void plan_run(const Plan *plan, const guint8 *record, const guint32 *bases, Record *out);

/* One element's value into @out as plan_run would do it: @value of a number or a MAC, @bytes of an
 * address. @weak: only if it is not zero. For libfixbuf's way of decoding. */
void plan_store(const Element *element, guint64 value, const guint8 *bytes, gboolean weak,
                Record *out);
/* The steps' elements in the order in which they are stored: @visit gets each with the index of its
 * field. */
typedef void (*PlanVisit)(gpointer user, const Element *element, guint field, gboolean weak);
void plan_visit(const Plan *plan, PlanVisit visit, gpointer user);
guint8 plan_proto(const Plan *plan);
