/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#include "datagram.h"
#include "element.h"

enum { PROTO_TCP = 6, LABEL_SHIFT = 4 };

/* How the bytes are copied. The exact forms cover nearly all templates. The steps of a plan stand
 * in this order. */
typedef enum {
    COPY_NUMBER, /* any width into any size, clamped */
    COPY_8,
    COPY_16,
    COPY_32,
    COPY_32_64,
    COPY_64,
    COPY_ADDR4,
    COPY_OTHER, /* other addresses, MACs, and what shares its target with a step before it */
    COPY_COUNT
} Copy;

typedef struct {
    guint16 segment;
    guint16 offset; /* in the segment */
    guint16 target; /* in Record */
    guint8 width;   /* bytes on the wire */
    guint8 copy;    /* Copy */
    guint8 weak;    /* another step wrote this target before: zero does not replace it */
    guint16 field;  /* index in the template */
    const Element *element;
} Step;

/* Where plan_may_be_mail looks. */
typedef struct {
    guint16 segment;
    guint16 offset;
    gboolean present;
} Spot;

struct Plan {
    guint16 type;       /* PstFlowType */
    guint8 proto;       /* said by the port elements; 0: by a field, or not at all */
    gboolean sightless; /* protocol or ports are coded in an unusual way: decode and look */
    Spot spot_proto;
    Spot spot_src_port;
    Spot spot_dst_port;
    guint32 has; /* bits of all steps together */
    guint32 seen;
    guint32 narrow;
    guint n_steps;
    guint16 first[COPY_COUNT + 1]; /* the first step of each kind; at the end n_steps */
    guint n_segments;
    guint16 *segment_len; /* owned */
    Step *steps;          /* owned */
};

static guint16 flow_type(guint16 version)
{
    switch (version) {
    case VERSION_V5:
        return PST_FLOW_NETFLOW_V5;
    case VERSION_V9:
        return PST_FLOW_NETFLOW_V9;
    default:
        return PST_FLOW_IPFIX;
    }
}

static Copy copy_of(const Element *element, guint16 width)
{
    if (element->kind == ELEMENT_ADDR4)
        return COPY_ADDR4;
    if (element->kind != ELEMENT_NUMBER && element->kind != ELEMENT_TIME)
        return COPY_OTHER;
    if (width == 4 && element->size == 8)
        return COPY_32_64;
    if (width != element->size)
        return COPY_NUMBER;
    static const Copy exact[] = {[1] = COPY_8, [2] = COPY_16, [4] = COPY_32, [8] = COPY_64};
    return exact[width];
}

/* Steps with one target stand together, lowest rank first; of a repeated field the first stands
 * last, so that it wins. */
static gint step_order(gconstpointer left, gconstpointer right)
{
    const Step *a = left, *b = right;
    if (a->target != b->target)
        return a->target < b->target ? -1 : 1;
    if (a->element->rank != b->element->rank)
        return a->element->rank < b->element->rank ? -1 : 1;
    return a->field > b->field ? -1 : 1;
}

static gint copy_order(gconstpointer left, gconstpointer right)
{
    const Step *a = left, *b = right;
    if (a->copy != b->copy)
        return a->copy < b->copy ? -1 : 1;
    return step_order(left, right);
}

static void mark_weak(GArray *steps)
{
    for (guint i = 1; i < steps->len; i++) {
        Step *step = &g_array_index(steps, Step, i);
        if (step->target == g_array_index(steps, Step, i - 1).target) {
            step->weak = TRUE;
            step->copy = COPY_OTHER;
        }
    }
}

/* Notes where @target stands if it has exactly one step of @width bytes. */
static void find_spot(Plan *plan, gsize target, guint8 width, Spot *out)
{
    for (guint i = 0; i < plan->n_steps; i++) {
        const Step *step = &plan->steps[i];
        if (step->target != target)
            continue;
        if (out->present || step->width != width)
            plan->sightless = TRUE;
        *out = (Spot){.segment = step->segment, .offset = step->offset, .present = TRUE};
    }
}

static void find_spots(Plan *plan)
{
    find_spot(plan, G_STRUCT_OFFSET(Record, flow.proto), 1, &plan->spot_proto);
    find_spot(plan, G_STRUCT_OFFSET(Record, flow.src_port), 2, &plan->spot_src_port);
    find_spot(plan, G_STRUCT_OFFSET(Record, flow.dst_port), 2, &plan->spot_dst_port);
    if (plan->spot_proto.present)
        plan->proto = 0;
}

static void add_step(GArray *steps, Plan *plan, const Field *field, guint index, Spot at)
{
    const Element *element = element_find(field->pen, field->id);
    if (element == NULL || !element_len_legal(element, field->len))
        return;
    Step step = {.segment = at.segment,
                 .offset = at.offset,
                 .target = element->target,
                 .width = (guint8)field->len,
                 .copy = copy_of(element, field->len),
                 .field = (guint16)index,
                 .element = element};
    g_array_append_val(steps, step);
    plan->has |= element->has;
    plan->seen |= element->seen;
    if (element->kind == ELEMENT_TIME && field->len == 4)
        plan->narrow |= element->seen;
    if (element->proto != 0)
        plan->proto = element->proto;
}

Plan *plan_compile(const Field *fields, gsize n, guint16 version)
{
    Plan *plan = g_new0(Plan, 1);
    plan->type = flow_type(version);
    g_autoptr(GArray) steps = g_array_new(TRUE, FALSE, sizeof(Step)); /* never NULL */
    g_autoptr(GArray) lens = g_array_new(FALSE, TRUE, sizeof(guint16));
    Spot at = {0};
    for (guint i = 0; i < n; i++) {
        if (fields[i].len == FIELD_VARIABLE) {
            g_array_append_val(lens, at.offset);
            at = (Spot){.segment = at.segment + 1};
            continue;
        }
        add_step(steps, plan, &fields[i], i, at);
        at.offset += fields[i].len;
    }
    g_array_append_val(lens, at.offset);
    g_array_sort(steps, step_order);
    mark_weak(steps);
    g_array_sort(steps, copy_order);
    plan->n_segments = lens->len;
    plan->segment_len = g_memdup2(lens->data, lens->len * sizeof(guint16));
    plan->n_steps = steps->len;
    plan->steps = g_memdup2(steps->data, (steps->len + 1) * sizeof(Step));
    for (guint copy = 0, i = 0; copy <= COPY_COUNT; copy++) {
        while (i < plan->n_steps && plan->steps[i].copy < copy)
            i++;
        plan->first[copy] = (guint16)i;
    }
    find_spots(plan);
    return plan;
}

void plan_free(Plan *plan)
{
    if (plan == NULL)
        return;
    g_free(plan->segment_len);
    g_free(plan->steps);
    g_free(plan);
}

gsize plan_fixed_len(const Plan *plan)
{
    return plan->n_segments == 1 ? plan->segment_len[0] : 0;
}

const guint8 *plan_measure(const Plan *plan, PstCursor *set, guint32 *out_bases)
{
    const guint8 *start = set->at;
    for (guint i = 0; i < plan->n_segments; i++) {
        out_bases[i] = (guint32)(set->at - start);
        pst_cursor_skip(set, plan->segment_len[i]);
        if (i + 1 == plan->n_segments)
            break;
        gsize len = pst_cursor_u8(set); /* RFC 7011 §7 */
        if (len == 255)
            len = pst_cursor_u16(set);
        pst_cursor_skip(set, len);
    }
    return pst_cursor_ok(set) ? start : NULL;
}

static inline const guint8 *spot_at(const Spot *spot, const guint8 *record, const guint32 *bases)
{
    return record + bases[spot->segment] + spot->offset;
}

static inline gboolean spot_in(const Spot *spot, const guint8 *record, const guint32 *bases,
                               const PortSet *ports)
{
    return spot->present && portset_has(ports, pst_load_be16(spot_at(spot, record, bases)));
}

gboolean plan_may_be_mail(const Plan *plan, const guint8 *record, const guint32 *bases,
                          const PortSet *ports)
{
    if (G_UNLIKELY(plan->sightless))
        return TRUE;
    if (plan->spot_proto.present && *spot_at(&plan->spot_proto, record, bases) != PROTO_TCP)
        return FALSE;
    return spot_in(&plan->spot_src_port, record, bases, ports) ||
           spot_in(&plan->spot_dst_port, record, bases, ports);
}

guint plan_skip_others(const Plan *plan, const guint8 *records, guint n, const PortSet *ports)
{
    const gsize len = plan->segment_len[0];
    const gboolean src = plan->spot_src_port.present, dst = plan->spot_dst_port.present;
    const guint8 *proto_at = records + plan->spot_proto.offset;
    const guint8 *src_at = records + plan->spot_src_port.offset;
    const guint8 *dst_at = records + plan->spot_dst_port.offset;
    if (G_UNLIKELY(plan->sightless))
        return 0;
    for (guint i = 0; i < n; i++, proto_at += len, src_at += len, dst_at += len) {
        if (plan->spot_proto.present && *proto_at != PROTO_TCP)
            continue;
        if ((src && portset_has(ports, pst_load_be16(src_at))) ||
            (dst && portset_has(ports, pst_load_be16(dst_at))))
            return i;
    }
    return n;
}

gboolean plan_can_be_mail(const Plan *plan)
{
    gboolean tcp = plan->spot_proto.present || plan->proto == PROTO_TCP;
    return tcp && (plan->spot_src_port.present || plan->spot_dst_port.present);
}

static void store_number(guint8 *target, guint8 size, guint64 value)
{
    switch (size) {
    case 1: {
        guint8 v = (guint8)MIN(value, G_MAXUINT8);
        memcpy(target, &v, sizeof v);
        break;
    }
    case 2: {
        guint16 v = (guint16)MIN(value, G_MAXUINT16);
        memcpy(target, &v, sizeof v);
        break;
    }
    case 4: {
        guint32 v = (guint32)MIN(value, G_MAXUINT32);
        memcpy(target, &v, sizeof v);
        break;
    }
    default:
        memcpy(target, &value, sizeof value);
        break;
    }
}

static gboolean all_zero(const guint8 *bytes, gsize n)
{
    for (gsize i = 0; i < n; i++) {
        if (bytes[i] != 0)
            return FALSE;
    }
    return TRUE;
}

void plan_store(const Element *element, guint64 value, const guint8 *bytes, gboolean weak,
                Record *out)
{
    guint8 *target = (guint8 *)out + element->target;
    guint16 flags;
    PstAddr addr;
    switch ((ElementKind)element->kind) {
    case ELEMENT_NUMBER:
    case ELEMENT_TIME:
    case ELEMENT_MAC:
        if (!weak || value != 0)
            store_number(target, element->size, value);
        return;
    case ELEMENT_FLAGS:
        memcpy(&flags, target, sizeof flags);
        store_number(target, sizeof flags, value | flags);
        return;
    case ELEMENT_LABEL:
        store_number(target, element->size, value >> LABEL_SHIFT);
        return;
    case ELEMENT_ADDR4:
        if (weak && all_zero(bytes, 4))
            return;
        addr = pst_addr_v4_bytes(bytes);
        break;
    case ELEMENT_ADDR6:
    default:
        if (weak && all_zero(bytes, 16))
            return;
        addr = pst_addr_v6_bytes(bytes);
        break;
    }
    memcpy(target, &addr, sizeof addr);
}

static void run_other(const Step *step, const guint8 *at, Record *out)
{
    gboolean number = step->element->kind != ELEMENT_ADDR4 && step->element->kind != ELEMENT_ADDR6;
    plan_store(step->element, number ? pst_load_be(at, step->width) : 0, at, step->weak, out);
}

static inline void run_step(Copy copy, const Step *step, const guint8 *at, Record *out)
{
    guint8 *target = (guint8 *)out + step->target;
    switch (copy) {
    case COPY_8:
        *target = *at;
        break;
    case COPY_16: {
        guint16 v = pst_load_be16(at);
        memcpy(target, &v, sizeof v);
        break;
    }
    case COPY_32: {
        guint32 v = pst_load_be32(at);
        memcpy(target, &v, sizeof v);
        break;
    }
    case COPY_32_64: {
        guint64 v = pst_load_be32(at);
        memcpy(target, &v, sizeof v);
        break;
    }
    case COPY_64: {
        guint64 v = pst_load_be64(at);
        memcpy(target, &v, sizeof v);
        break;
    }
    case COPY_ADDR4: /* the rest of it is zero: plan_run cleared the flow */
        memcpy(target + G_STRUCT_OFFSET(PstAddr, bytes), at, 4);
        target[G_STRUCT_OFFSET(PstAddr, family)] = PST_AF_INET;
        break;
    case COPY_NUMBER:
        store_number(target, step->element->size, pst_load_be(at, step->width));
        break;
    case COPY_OTHER:
    case COPY_COUNT:
    default:
        run_other(step, at, out);
        break;
    }
}

/* A loop for one kind. @copy and @one_segment are constants: nothing is left of the switch, nor of
 * the look at @bases where it can only say 0. */
static inline __attribute__((always_inline)) void run_kind(const Plan *plan, Copy copy,
                                                           gboolean one_segment,
                                                           const guint8 *record,
                                                           const guint32 *bases, Record *out)
{
    const Step *end = plan->steps + plan->first[copy + 1];
    for (const Step *step = plan->steps + plan->first[copy]; step < end; step++) {
        const guint8 *start = one_segment ? record : record + bases[step->segment];
        run_step(copy, step, start + step->offset, out);
    }
}

static inline __attribute__((always_inline)) void run_steps(const Plan *plan, gboolean one_segment,
                                                            const guint8 *record,
                                                            const guint32 *bases, Record *out)
{
    run_kind(plan, COPY_NUMBER, one_segment, record, bases, out);
    run_kind(plan, COPY_8, one_segment, record, bases, out);
    run_kind(plan, COPY_16, one_segment, record, bases, out);
    run_kind(plan, COPY_32, one_segment, record, bases, out);
    run_kind(plan, COPY_32_64, one_segment, record, bases, out);
    run_kind(plan, COPY_64, one_segment, record, bases, out);
    run_kind(plan, COPY_ADDR4, one_segment, record, bases, out);
    run_kind(plan, COPY_OTHER, one_segment, record, bases, out);
}

void plan_run(const Plan *plan, const guint8 *record, const guint32 *bases, Record *out)
{
    out->flow = (PstFlow){.has = plan->has, .type = plan->type};
    out->icmp = 0;
    out->ip_version = 0;
    out->seen = plan->seen;
    out->narrow = plan->narrow;
    if (plan->n_segments == 1)
        run_steps(plan, TRUE, record, bases, out);
    else
        run_steps(plan, FALSE, record, bases, out);
    if (plan->proto != 0) {
        out->flow.proto = plan->proto;
        out->flow.has |= PST_HAS_PROTO;
    }
}

void plan_visit(const Plan *plan, PlanVisit visit, gpointer user)
{
    for (guint i = 0; i < plan->n_steps; i++)
        visit(user, plan->steps[i].element, plan->steps[i].field, plan->steps[i].weak);
}

guint8 plan_proto(const Plan *plan)
{
    return plan->proto;
}
