/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One complaint as it travels on postern.evidence: what a reporter said about one of our addresses.
 *
 * Strings are UTF-8 without control characters, cut at the limits below, NULL where the report did
 * not say. The raw mail never travels: its SHA-256 and size do.
 * On the bus: one Evidence of common/evidence.proto per message; codec in common/evidence.c.
 */
#include "postern/addr.h"

typedef enum {
    PST_EVIDENCE_COMPLAINT,
    PST_EVIDENCE_NOT_A_COMPLAINT, /* auto-reply, normal mail, not-spam, auth-failure */
    PST_EVIDENCE_BOUNCE,
    PST_EVIDENCE_UNREADABLE /* looks like a complaint and cannot be read: alarms */
} PstEvidenceOutcome;

#define PST_EVIDENCE_TEXT_MAX 998  /* bytes of any string but said */
#define PST_EVIDENCE_SAID_MAX 4000 /* bytes of said */
#define PST_EVIDENCE_SHA256   32

typedef struct {
    PstEvidenceOutcome outcome;
    char *format;        /* given: "arf", … row of the registry of formats */
    char *feedback_type; /* as reported, lower case: "abuse", "fraud", "not-spam" … */
    char *category;      /* ours: spam, phishing, malware, botnet, other */
    PstAddr source_ip;   /* the accused address; family NONE if it could not be found */
    guint16 source_port; /* 0: unknown */
    gint64 arrived_ns;   /* UTC ns: when the spam was sent, as reported; 0: unknown */
    gint64 received_ns;  /* UTC ns: when the report reached us */
    char *message_id;    /* of the spam, without <> */
    char *reported_domain;
    char *reporter;         /* domain of the reporter as authenticated, else as claimed */
    gboolean authenticated; /* our own server's Authentication-Results say dkim or spf pass,
                               aligned with reporter */
    char *report_id;        /* the report's own id (its Message-ID), for deduplication */
    char *reason;           /* unreadable, bounce: what was wrong, in words */
    guint32 incidents;      /* how many the report speaks of, ≥ 1 */
    guint32 size_bytes;
    guint8 sha256[PST_EVIDENCE_SHA256]; /* of the raw report */
    /* What comes back to a mail of ours (bounce, reply); NULL in every other evidence. */
    char *mail_token; /* that mail's secret: 20 hexadecimal digits */
    char *case_ref;   /* the case that a reply names: PST-2026-000123 */
    char *sender;     /* who replied, as From has it */
    char *said;       /* a reply's own words; lines end in LF. NULL: no person replied */
} PstEvidence;

PstEvidence *pst_evidence_new(void);
void pst_evidence_free(PstEvidence *evidence);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PstEvidence, pst_evidence_free)

/* "complaint", "not-a-complaint", "bounce", "unreadable". */
const char *pst_evidence_outcome_name(PstEvidenceOutcome outcome);

/* Appends the protobuf form (no length prefix) to @out. */
void pst_evidence_encode(const PstEvidence *evidence, GByteArray *out);
/* Reads one message. NULL if the bytes are no Evidence or break a limit. */
PstEvidence *pst_evidence_decode(const guint8 *data, gsize len) G_GNUC_WARN_UNUSED_RESULT;
