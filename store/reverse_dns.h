/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The reverse DNS name of an address, and whether it leads back: what receiving mail servers ask
 * first. Asked for a mail, with limits: a slow resolver must not hold up mails. After one time-out
 * nobody is asked for a minute, and all questions together take a fifth of the time at most; else
 * the answer is "unknown".
 */
#include <glib.h>

typedef enum {
    PST_REVERSE_DNS_UNKNOWN, /* no answer, an error, or no single address */
    PST_REVERSE_DNS_NONE,    /* it has no name */
    PST_REVERSE_DNS_ASTRAY,  /* a name that does not lead back */
    PST_REVERSE_DNS_RIGHT,
    PST_REVERSE_DNS_STATES
} PstReverseDnsState;

typedef struct {
    PstReverseDnsState state;
    char *name; /* ASTRAY, RIGHT */
} PstReverseDns;

void pst_reverse_dns_clear(PstReverseDns *found);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PstReverseDns, pst_reverse_dns_clear)

/* Asks whom and how the system asks. Thread: one at a time. */
typedef struct PstResolver PstResolver;
PstResolver *pst_resolver_new(void);
void pst_resolver_free(PstResolver *resolver);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PstResolver, pst_resolver_free)

/* @address "192.0.2.7", "2001:db8::7"; anything else (a prefix) is unknown. Takes @limit_ms at
 * most.
 * @out is given. */
void pst_reverse_dns(PstResolver *resolver, const char *address, guint limit_ms,
                     PstReverseDns *out);
