/* SPDX-License-Identifier: Apache-2.0 */
/* The form of a complaint on the bus: evidence.proto. */
#include "postern/evidence.h"

#include <string.h>

#include "varint.h"

enum {
    FIELD_OUTCOME = 1,
    FIELD_SOURCE_IP = 5,
    FIELD_SOURCE_PORT = 6,
    FIELD_ARRIVED = 7,
    FIELD_RECEIVED = 8,
    FIELD_AUTHENTICATED = 12,
    FIELD_INCIDENTS = 15,
    FIELD_SIZE = 16,
    FIELD_SHA256 = 17,
    FIELD_SAID = 21,
    FIELD_END
};

/* The string fields: number → member. */
static const gsize text_offsets[FIELD_END] = {
    [2] = offsetof(PstEvidence, format),           [3] = offsetof(PstEvidence, feedback_type),
    [4] = offsetof(PstEvidence, category),         [9] = offsetof(PstEvidence, message_id),
    [10] = offsetof(PstEvidence, reported_domain), [11] = offsetof(PstEvidence, reporter),
    [13] = offsetof(PstEvidence, report_id),       [14] = offsetof(PstEvidence, reason),
    [18] = offsetof(PstEvidence, mail_token),      [19] = offsetof(PstEvidence, case_ref),
    [20] = offsetof(PstEvidence, sender),          [21] = offsetof(PstEvidence, said),
};

static char **text_of(const PstEvidence *evidence, guint32 number)
{
    g_assert(number < FIELD_END && text_offsets[number] != 0);
    return (char **)(guintptr)((const char *)evidence + text_offsets[number]);
}

PstEvidence *pst_evidence_new(void)
{
    PstEvidence *evidence = g_new0(PstEvidence, 1);
    evidence->incidents = 1;
    return evidence;
}

void pst_evidence_free(PstEvidence *evidence)
{
    if (evidence == NULL)
        return;
    for (guint32 number = 0; number < FIELD_END; number++)
        if (text_offsets[number] != 0)
            g_free(*text_of(evidence, number));
    g_free(evidence);
}

const char *pst_evidence_outcome_name(PstEvidenceOutcome outcome)
{
    static const char *const names[] = {
        [PST_EVIDENCE_COMPLAINT] = "complaint",
        [PST_EVIDENCE_NOT_A_COMPLAINT] = "not-a-complaint",
        [PST_EVIDENCE_BOUNCE] = "bounce",
        [PST_EVIDENCE_UNREADABLE] = "unreadable",
    };
    g_assert((gsize)outcome < G_N_ELEMENTS(names));
    return names[outcome];
}

static void put_bytes(GByteArray *out, guint32 number, const void *bytes, gsize len)
{
    guint8 head[20];
    guint8 *end = pst_put_varint(pst_put_tag(head, number, PST_WIRE_LEN), len);
    g_byte_array_append(out, head, (guint)(end - head));
    g_byte_array_append(out, bytes, (guint)len);
}

static void put_number(GByteArray *out, guint32 number, guint64 value)
{
    guint8 head[20];
    if (value == 0)
        return;
    guint8 *end = pst_put_varint(pst_put_tag(head, number, PST_WIRE_VARINT), value);
    g_byte_array_append(out, head, (guint)(end - head));
}

static void put_texts(GByteArray *out, const PstEvidence *evidence, guint32 first, guint32 last)
{
    for (guint32 number = first; number <= last; number++) {
        const char *text = *text_of(evidence, number);
        if (text != NULL && *text != '\0')
            put_bytes(out, number, text, strlen(text));
    }
}

void pst_evidence_encode(const PstEvidence *evidence, GByteArray *out)
{
    static const guint8 no_hash[PST_EVIDENCE_SHA256];
    put_number(out, FIELD_OUTCOME, evidence->outcome);
    put_texts(out, evidence, 2, 4);
    if (pst_addr_present(&evidence->source_ip))
        put_bytes(out, FIELD_SOURCE_IP, evidence->source_ip.bytes,
                  evidence->source_ip.family == PST_AF_INET ? 4 : 16);
    put_number(out, FIELD_SOURCE_PORT, evidence->source_port);
    put_number(out, FIELD_ARRIVED, (guint64)evidence->arrived_ns);
    put_number(out, FIELD_RECEIVED, (guint64)evidence->received_ns);
    put_texts(out, evidence, 9, 11);
    put_number(out, FIELD_AUTHENTICATED, evidence->authenticated ? 1 : 0);
    put_texts(out, evidence, 13, 14);
    put_number(out, FIELD_INCIDENTS, evidence->incidents);
    put_number(out, FIELD_SIZE, evidence->size_bytes);
    if (memcmp(evidence->sha256, no_hash, sizeof no_hash) != 0)
        put_bytes(out, FIELD_SHA256, evidence->sha256, sizeof evidence->sha256);
    put_texts(out, evidence, 18, 21);
}

static gboolean is_clean_text(guint32 number, const char *text, gsize len)
{
    gboolean lines = number == FIELD_SAID;
    if (len > (lines ? PST_EVIDENCE_SAID_MAX : PST_EVIDENCE_TEXT_MAX) ||
        !g_utf8_validate(text, (gssize)len, NULL))
        return FALSE;
    for (const char *at = text; at < text + len; at = g_utf8_next_char(at))
        if (g_unichar_iscntrl(g_utf8_get_char(at)) && !(lines && *at == '\n'))
            return FALSE;
    return TRUE;
}

static gboolean read_bytes(const PstWireField *field, PstEvidence *out)
{
    if (field->number < FIELD_END && text_offsets[field->number] != 0) {
        const char *text = (const char *)field->bytes;
        if (!is_clean_text(field->number, text, field->len))
            return FALSE;
        char **to = text_of(out, field->number);
        g_free(*to);
        *to = field->len > 0 ? g_strndup(text, field->len) : NULL;
        return TRUE;
    }
    if (field->number == FIELD_SOURCE_IP) {
        if (field->len == 4)
            out->source_ip = pst_addr_v4_bytes(field->bytes);
        else if (field->len == 16)
            out->source_ip = pst_addr_v6_bytes(field->bytes);
        return field->len == 4 || field->len == 16;
    }
    if (field->number == FIELD_SHA256) {
        if (field->len == sizeof out->sha256)
            memcpy(out->sha256, field->bytes, sizeof out->sha256);
        return field->len == sizeof out->sha256;
    }
    return field->number >= FIELD_END; /* a known number with the wrong type is no Evidence */
}

static gboolean read_number(const PstWireField *field, PstEvidence *out)
{
    switch (field->number) {
    case FIELD_OUTCOME:
        out->outcome = (PstEvidenceOutcome)field->value;
        return field->value <= PST_EVIDENCE_UNREADABLE;
    case FIELD_SOURCE_PORT:
        out->source_port = (guint16)field->value;
        return field->value <= G_MAXUINT16;
    case FIELD_ARRIVED:
        out->arrived_ns = (gint64)field->value;
        return TRUE;
    case FIELD_RECEIVED:
        out->received_ns = (gint64)field->value;
        return TRUE;
    case FIELD_AUTHENTICATED:
        out->authenticated = field->value != 0;
        return TRUE;
    case FIELD_INCIDENTS:
        out->incidents = (guint32)MAX(field->value, 1);
        return field->value <= G_MAXUINT32;
    case FIELD_SIZE:
        out->size_bytes = (guint32)field->value;
        return field->value <= G_MAXUINT32;
    default:
        return field->number >= FIELD_END;
    }
}

PstEvidence *pst_evidence_decode(const guint8 *data, gsize len)
{
    g_autoptr(PstEvidence) evidence = pst_evidence_new();
    const guint8 *end = data + len;
    for (const guint8 *p = data; p < end;) {
        PstWireField field;
        p = pst_get_field(p, end, &field);
        if (p == NULL)
            return NULL;
        gboolean ok = field.wire == PST_WIRE_VARINT ? read_number(&field, evidence)
                      : field.wire == PST_WIRE_LEN  ? read_bytes(&field, evidence)
                                                    : field.number >= FIELD_END;
        if (!ok)
            return NULL;
    }
    return g_steal_pointer(&evidence);
}
