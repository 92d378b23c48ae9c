/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One mail as the formats see it, and the formats that are known.
 *
 * A format is a row: its name, how to recognise it, how to read it. The rows are asked in order;
 * the first that recognises the mail decides. What no row recognises is not a complaint.
 */
#include "mailbox.h"
#include "mime.h"
#include "postern/evidence.h"
#include "prefix_map.h"

/* What the operator tells intake about his own place. Borrowed by reports. */
typedef struct {
    char *const *authserv_ids;    /* NULL-terminated; may be NULL */
    const PstPrefixMap *networks; /* ours; NULL: not known */
    const char *recipient;        /* of the mail's envelope; NULL: the mail server did not say */
} ReportPlace;

typedef struct {
    Text mail; /* the whole mail, line ends made LF */
    const Mime *mime;
    const ReportPlace *place;
} Report;

typedef struct {
    const char *name; /* PstEvidence.format */
    gboolean (*recognise)(const Report *report);
    /* Fills @evidence in, its outcome too (COMPLAINT so far). Adds further incidents of the same
     * mail to @more, given. Returns NULL, or in words why the mail cannot be read: it becomes
     * UNREADABLE then, with what was filled in so far.
     * A NULL here: the format is known by sight only, and a person has to read it. */
    const char *(*read)(const Report *report, PstEvidence *evidence, GPtrArray *more);
} ReportFormat;

/* The first row that recognises @report, or NULL. */
const ReportFormat *report_format(const Report *report);

/* What @mail says: one or more pieces of evidence, never none, ready to be published.
 * @received_ns: UTC ns. Returns: given, array of PstEvidence that owns them. */
GPtrArray *report_read(const Mail *mail, const ReportPlace *place, gint64 received_ns);

/* --- for formats ---------------------------------------------------------------------------------
 */

/* The mail's own header. */
Text report_header(const Report *report);

/* The root of the first message attached below @parent after part @after, or −1. */
int report_attached(const Report *report, int parent, int after);

/* What the attached message tells: its Message-ID and, where the evidence has none yet, the address
 * through which it left us and the moment when the reporter's server took it. @part: −1 if there is
 * none. */
void report_use_attached(const Report *report, int part, PstEvidence *evidence);

/* A further incident of the same mail, of outcome COMPLAINT so far. Borrowed from @more. */
PstEvidence *report_more(GPtrArray *more);

/* A Message-ID without its brackets, fit to travel, or NULL. Given. */
char *report_message_id(Text value);
