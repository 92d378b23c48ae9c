/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What our own mail server found out about a mail's sender (RFC 8601, Authentication-Results).
 *
 * Anybody can write such a field. Ours are those that carry one of our authserv-ids and stand where
 * our server writes them: above the second Received field that names a stranger's address. RFC 8601
 * §5 makes our border server remove foreign fields with our id; this is the second lock.
 * Thread: any; all functions are pure.
 */
#include "prefix_map.h"
#include "text.h"

typedef struct {
    char *domain;           /* given, lower case: who authenticated, else who claims; may be NULL */
    gboolean authenticated; /* DKIM, SPF or DMARC passed for a domain aligned with From */
} Sender;

void sender_clear(Sender *sender);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Sender, sender_clear)

/* The sender of the mail with this @header.
 * @authserv_ids: NULL-terminated, our server's names; NULL or empty: nothing can be authenticated
 * @networks: ours, or NULL */
Sender authres_sender(Text header, char *const *authserv_ids, const PstPrefixMap *networks);

/* The domain of the (last) address in a From, Sender or Return-Path value, lower case, or NULL.
 * Given (g_free). */
char *authres_domain(Text value);

/* Same domain, or one below the other, neither being a bare top-level domain (RFC 7489 §3.1
 * relaxed, without its public suffix list). */
gboolean authres_aligned(const char *a, const char *b);
