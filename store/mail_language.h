/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The words of a mail that depend on its language and are not in a template: how times and numbers
 * are written, what is done, and the sentences of reasons. A new language is a row of the table in
 * mail_language.c and its templates.
 */
#include <glib.h>

#include "reverse_dns.h"

#define PST_MAIL_COLUMNS 5 /* of the table of evidence */

/* What a fact of a reason is in words. */
typedef struct {
    const char *fact;   /* "burst.counted=sessions"; NAME.KEY=: it is missing; NAME.KEY=*: any */
    const char *phrase; /* may hold {KEY} again; %s is the value itself; NULL ends a list */
} PstMailPhrase;

typedef struct {
    const char *locale;
    const char *time_format;
    char decimal;                               /* point of a number */
    const char *thousands;                      /* between groups of digits */
    const char *sample_head[PST_MAIL_COLUMNS];  /* time, destination, port, score, Message-ID */
    const char *unit_head[2];                   /* address, case */
    const char *deadline_head, *open_from_head; /* of times in a table */
    const char *newest;                         /* {time}, {destination}, {port} */
    const char *close_ports, *close_address, *close_mixed;
    const char *measure_ports, *measure_address, *measure_mixed;
    const char *measure_warning, *measure_freeze, *measure_frozen;
    const char *automated, *by_person;
    const char *reverse_dns[PST_REVERSE_DNS_STATES]; /* {name} */
    PstMailPhrase rules[6];                          /* by cause */
    const PstMailPhrase *reasons;                    /* sentences by name; NULL: the database's */
    const PstMailPhrase *phrases;                    /* what stands in them */
} PstMailLanguage;

/* "de_AT" and "de-AT" are served by "de", what we have not by English. */
const PstMailLanguage *pst_mail_language(const char *locale);

/* The rule that led to a measure. */
const char *pst_mail_rule(const PstMailLanguage *language, const char *cause);

/* A reason as a sentence of this language: @facts maps names to texts, `name` among them. NULL: we
 * have none for it, or a fact is missing. Given. */
char *pst_mail_sentence(const PstMailLanguage *language, GHashTable *facts);

/* "1234567.5" as this language writes it; what is no number stays. Given. */
char *pst_mail_number(const PstMailLanguage *language, const char *text);

/* A time in a zone (IANA name; one that nobody knows is UTC). Given. */
char *pst_mail_time(const PstMailLanguage *language, gint64 utc_ns, const char *tz);
