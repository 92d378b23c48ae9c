/* SPDX-License-Identifier: Apache-2.0 */
#include "evidence_json.h"

#include "clock.h"
#include "json.h"

static void append_text(GString *out, const char *name, const char *value)
{
    pst_json_append_name(out, name);
    pst_json_append_string(out, value);
}

/* 0 is "not said". */
static void append_number(GString *out, const char *name, guint64 value)
{
    pst_json_append_name(out, name);
    if (value != 0)
        pst_json_append_u64(out, value);
    else
        pst_json_append_string(out, NULL);
}

static void append_digest(GString *out, const guint8 digest[PST_EVIDENCE_SHA256])
{
    char hex[2 * PST_EVIDENCE_SHA256 + 1];
    for (gsize i = 0; i < PST_EVIDENCE_SHA256; i++)
        g_snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    append_text(out, "sha256", hex);
}

void evidence_json_append(const PstEvidence *e, GString *out)
{
    char addr[PST_ADDR_TEXT_MAX], arrived[PST_TIME_TEXT_MAX];
    g_string_append_c(out, '{');
    append_text(out, "outcome", pst_evidence_outcome_name(e->outcome));
    append_text(out, "format", e->format);
    append_text(out, "feedback_type", e->feedback_type);
    append_text(out, "category", e->category);
    append_text(out, "source_ip",
                pst_addr_present(&e->source_ip) ? pst_addr_format(&e->source_ip, addr) : NULL);
    append_number(out, "source_port", e->source_port);
    append_text(out, "arrived_at",
                e->arrived_ns != 0 ? pst_time_format(e->arrived_ns, FALSE, arrived) : NULL);
    append_text(out, "message_id", e->message_id);
    append_text(out, "reported_domain", e->reported_domain);
    append_text(out, "reporter", e->reporter);
    pst_json_append_name(out, "authenticated");
    g_string_append(out, e->authenticated ? "true" : "false");
    append_number(out, "incidents", e->incidents);
    append_digest(out, e->sha256);
    append_text(out, "report_id", e->report_id);
    append_text(out, "reason", e->reason);
    append_text(out, "mail_token", e->mail_token);
    append_text(out, "case_ref", e->case_ref);
    append_text(out, "sender", e->sender);
    append_text(out, "said", e->said);
    g_string_append_c(out, '}');
}
