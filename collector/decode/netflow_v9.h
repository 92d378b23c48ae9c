/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* NetFlow v9 as IPFIX: header, set numbers, and templates are rewritten; the records are IPFIX
 * records as they are.
 *
 *   set 0 → 2 (templates), set 1 → 3 (options templates), ≥ 256 stay
 *   types ≥ 32768 are a vendor's own: they become elements (type − 32768) of enterprise 9, as
 *   Cisco itself numbers them in IPFIX (ASA's 40005 is 9/7237)
 *   scope types 1…5 of options templates become the elements that say the same
 * Thread: any. Source: RFC 3954 §5, §6.
 */
#include "datagram.h"
#include "template.h"

enum { NETFLOW_V9_SET_SHIFT = 2, NETFLOW_V9_VENDOR_PEN = 9 };

/* Reads one v9 message off @payload. v9 has no length: it goes to the end of the datagram, or to
 * where a set's number is that of another message's version. */
Drop netflow_v9_message(PstCursor *payload, Message *out);

/* The next template of a template set or options template set, rewritten. See template_read(). */
Drop netflow_v9_template(PstCursor *set, gboolean options, TemplateSpec *out);
