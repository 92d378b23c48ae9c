/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* NetFlow v5 as IPFIX: the header becomes a Message, and the 48-byte record is one of a template
 * that never changes. The domain is engine type << 8 | engine id. Thread: any. */
#include "datagram.h"
#include "template.h"

enum { NETFLOW_V5_RECORD = 48 };

/* Reads one v5 message off @payload (its version is not read yet). A count of zero, or one that the
 * payload cannot hold, is COUNT_LIES: none of its records can be trusted. */
Drop netflow_v5_message(PstCursor *payload, Message *out);

/* The template of every v5 record. Borrowed, static. */
const Field *netflow_v5_fields(gsize *out_n);
