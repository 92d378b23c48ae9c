/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Templates: how an exporter says what its records look like.
 *
 *   wire ──template_read / netflow_v9_template──▶ TemplateSpec (checked) ──template_new──▶ Template
 *
 * A template that is not checked never goes further: field count 1 … 1024, id ≥ 256, record length
 * 1 … 65,535. An element whose length is not legal for its type is kept as opaque bytes.
 * A Template is immutable and counted by references; it carries its copy plan.
 *
 * A table (Templates) holds those of one observation domain of one exporter. The scope of a
 * template is the transport session, that is the exporter's port, too; but ports change (restart,
 * NAT), so a look-up prefers the template of its own port and falls back to the newest of any:
 *
 *   id 256 ─┬─ port 4711, defined 12:00   ◀── data from 4711
 *           └─ port 9999, defined 12:05   ◀── data from 9999, and from ports never seen
 *
 * Bounded: TEMPLATES_MAX ids, TEMPLATE_PORTS ports of each, TEMPLATES_FIELDS_MAX fields in all, and
 * over all domains by TemplateBudget.
 * Thread: the worker's. Source: RFC 7011 §3.4, §8; RFC 3954 §6.
 */
#include "cursor.h"
#include "drop.h"

enum {
    TEMPLATE_ID_MIN = 256,
    TEMPLATE_FIELDS_MAX = 1024,
    TEMPLATE_PORTS = 4,
    TEMPLATES_MAX = 256,
    TEMPLATES_FIELDS_MAX = 8192,
    FIELD_VARIABLE = 65535, /* length that says: each record says its own */
    FIELD_OPAQUE = 210      /* paddingOctets: bytes that mean nothing to us */
};

typedef struct {
    guint32 pen; /* enterprise; 0 is IANA */
    guint16 id;
    guint16 len; /* bytes; FIELD_VARIABLE */
} Field;

/* A template as read, in the caller's memory. @min_len bytes of its shortest record. */
typedef struct {
    const guint8 *record; /* its template record as it came; borrowed from the set, or NULL */
    gsize record_len;
    guint16 id;
    gboolean options;
    gboolean withdrawal; /* no fields: forget this id (or all, if it is the set's own id) */
    guint16 n_scope;
    guint16 n_fields;
    guint16 min_len;
    Field fields[TEMPLATE_FIELDS_MAX];
} TemplateSpec;

/* Reads the next template of an IPFIX set. After a reason to drop the cursor stands behind the
 * template, or has failed: then the rest of the set is lost. */
Drop template_read(PstCursor *set, gboolean options, TemplateSpec *out);

/* For readers of other dialects: note where in @set the template record begins and ends. */
void template_start(TemplateSpec *out, const PstCursor *set);
void template_stop(TemplateSpec *out, const PstCursor *set);
/* For readers of other dialects: starts @out, judges the counts. */
Drop template_begin(TemplateSpec *out, gboolean options, gsize n_fields, gsize n_scope);
/* Judges a filled @spec, works out min_len. */
Drop template_check(TemplateSpec *spec);

typedef struct Plan Plan;
typedef struct Template Template;
struct Template {
    guint refs;
    guint16 id;
    gboolean options;
    guint16 n_scope;
    guint16 n_fields;
    guint16 min_len;
    guint16 version;    /* of the dialect */
    guint16 record_len; /* bytes of its template record as it came, in @record */
    guint8 *record;     /* owned; NULL if there is none */
    gboolean section;   /* its records carry a packet's own bytes (section.h) */
    Plan *plan;         /* owned */
    Field fields[];
};

/* Takes one field of @field's kind off @record. Borrowed; NULL: the record is too short. */
const guint8 *template_take_field(PstCursor *record, const Field *field, gsize *out_len);

/* @version the dialect's version number (datagram.h). Given: one reference. */
Template *template_new(const TemplateSpec *spec, guint16 version);
Template *template_ref(Template *template);
/* Accepts NULL. */
void template_unref(Template *template);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Template, template_unref)

/* Of all domains of a worker, in fields; a template weighs TEMPLATE_WEIGHT more than it has fields,
 * one about 50 bytes. None may hold more than is left for the others (as HoldBudget): however many
 * exporters are forged, their templates stay within it, and one that comes late finds room. */
enum { TEMPLATE_WEIGHT = 8 };
typedef struct {
    gsize used;
    gsize max;
} TemplateBudget;

/* The templates of a domain. A value; zeroed by its owner, then templates_init. */
typedef struct {
    GArray *slots; /* of TemplateSlot, sorted by id */
    guint n_fields;
    gsize weight;           /* its part of … */
    TemplateBudget *budget; /* … this; borrowed */
    guint changes; /* grows whenever a template comes, changes or goes; renewals do not count */
} Templates;

/* @budget borrowed for its life; NULL: none. */
void templates_init(Templates *templates, TemplateBudget *budget);
void templates_clear(Templates *templates);

/* @port and @now_ns (receive time, UTC ns) of the datagram; @export_ns its export time: a template
 * that was exported up to 30 s before the one in force came late and is STALE (more: the
 * exporter's clock was set back). An equal template only renews the one in force.
 * Returns NONE, TEMPLATE_STALE or TEMPLATE_BOUND; @out_new tells if the layout is new. */
Drop templates_define(Templates *templates, const TemplateSpec *spec, guint16 version, guint16 port,
                      gint64 export_ns, gint64 now_ns, gboolean *out_new);

/* Is @spec what is in force for its id and @port, in this dialect? */
gboolean templates_has(const Templates *templates, const TemplateSpec *spec, guint16 version,
                       guint16 port);

/* Forgets @id of @port. Unknown: nothing happens (RFC 7011 §8.1 asks for no more over UDP). */
void templates_withdraw(Templates *templates, guint16 id, guint16 port);
/* Forgets all templates, or all options templates, of @port. */
void templates_withdraw_all(Templates *templates, gboolean options, guint16 port);

/* Borrowed until the table changes; NULL if there is none. Marks it as used at @now_ns. */
const Template *templates_find(Templates *templates, guint16 id, guint16 port, gint64 now_ns);

/* What is in force for one port: for those who save it, and bring it back after a restart. */
typedef struct {
    guint16 port;
    gint64 export_ns;
    gint64 defined_ns;
    gint64 used_ns;
} TemplateForce;

typedef void (*TemplateVisit)(gpointer user, const Template *template, const TemplateForce *force);
void templates_each(const Templates *templates, TemplateVisit visit, gpointer user);
/* As templates_define, with the times of the past. */
Drop templates_restore(Templates *templates, const TemplateSpec *spec, guint16 version,
                       const TemplateForce *force);

/* Forgets what was neither defined nor used since @before_ns. Returns how many. */
guint templates_expire(Templates *templates, gint64 before_ns);
guint templates_count(const Templates *templates);
