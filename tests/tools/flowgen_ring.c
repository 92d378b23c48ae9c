/* SPDX-License-Identifier: Apache-2.0 */
#include "flowgen_ring.h"

#include <string.h>

enum {
    PAYLOAD_MAX = 1400,
    TEMPLATE_ID = 300,
    UNKNOWN_ELEMENT = 30000,
    UPTIME_MS = 86400 * 1000, /* the exporter booted a day before base_ms */
};

/* Everything a record can carry; a layout picks from it. */
enum {
    V_ZERO,
    V_SRC,
    V_DST,
    V_NEXT_HOP,
    V_IN_IF,
    V_OUT_IF,
    V_PACKETS,
    V_OCTETS,
    V_SRC_PORT,
    V_DST_PORT,
    V_PROTO,
    V_TCP_FLAGS,
    V_TOS,
    V_SRC_AS,
    V_DST_AS,
    V_SRC_MASK,
    V_DST_MASK,
    V_START_MS,
    V_END_MS,
    V_START_UPTIME,
    V_END_UPTIME,
    V_DIRECTION,
    V_VLAN,
    V_END_REASON,
    V_SRC_MAC,
    V_COUNT,
};

typedef struct {
    uint16_t element; /* IPFIX information element = v9 field type; 0 in v5 */
    uint8_t width;
    uint8_t value;
} Field;

/* 21 fields, 73 bytes: the record of the figures in docs/benchmarks.md. */
static const Field ipfix_layout[] = {
    {8, 4, V_SRC},          {12, 4, V_DST},     {15, 4, V_NEXT_HOP},  {10, 4, V_IN_IF},
    {14, 4, V_OUT_IF},      {2, 8, V_PACKETS},  {1, 8, V_OCTETS},     {7, 2, V_SRC_PORT},
    {11, 2, V_DST_PORT},    {4, 1, V_PROTO},    {6, 1, V_TCP_FLAGS},  {5, 1, V_TOS},
    {16, 4, V_SRC_AS},      {17, 4, V_DST_AS},  {9, 1, V_SRC_MASK},   {13, 1, V_DST_MASK},
    {152, 8, V_START_MS},   {153, 8, V_END_MS}, {61, 1, V_DIRECTION}, {58, 2, V_VLAN},
    {136, 1, V_END_REASON},
};

static const Field v9_layout[] = {
    {8, 4, V_SRC},           {12, 4, V_DST},        {15, 4, V_NEXT_HOP}, {10, 4, V_IN_IF},
    {14, 4, V_OUT_IF},       {2, 8, V_PACKETS},     {1, 8, V_OCTETS},    {7, 2, V_SRC_PORT},
    {11, 2, V_DST_PORT},     {4, 1, V_PROTO},       {6, 1, V_TCP_FLAGS}, {5, 1, V_TOS},
    {16, 4, V_SRC_AS},       {17, 4, V_DST_AS},     {9, 1, V_SRC_MASK},  {13, 1, V_DST_MASK},
    {22, 4, V_START_UPTIME}, {21, 4, V_END_UPTIME}, {18, 4, V_NEXT_HOP}, {56, 6, V_SRC_MAC},
    {58, 2, V_VLAN},
};

static const Field v5_layout[] = {
    {0, 4, V_SRC},        {0, 4, V_DST},      {0, 4, V_NEXT_HOP}, {0, 2, V_IN_IF},
    {0, 2, V_OUT_IF},     {0, 4, V_PACKETS},  {0, 4, V_OCTETS},   {0, 4, V_START_UPTIME},
    {0, 4, V_END_UPTIME}, {0, 2, V_SRC_PORT}, {0, 2, V_DST_PORT}, {0, 1, V_ZERO},
    {0, 1, V_TCP_FLAGS},  {0, 1, V_PROTO},    {0, 1, V_TOS},      {0, 2, V_SRC_AS},
    {0, 2, V_DST_AS},     {0, 1, V_SRC_MASK}, {0, 1, V_DST_MASK}, {0, 2, V_ZERO},
};

typedef struct {
    uint16_t version;
    uint8_t header_length;
    uint8_t sequence_offset;
    uint8_t seconds_offset;
    uint8_t uptime_offset;     /* 0: none */
    gboolean sequence_packets; /* counts datagrams (RFC 3954 §5.1), not records (RFC 7011 §3.1) */
    int template_set;          /* set id; -1: no templates */
    const Field *layout;
    unsigned fields;
    unsigned records_max;
} Dialect;

static const Dialect dialects[] = {
    [RING_V5] = {5, 24, 16, 8, 4, FALSE, -1, v5_layout, G_N_ELEMENTS(v5_layout), 30},
    [RING_V9] = {9, 20, 12, 8, 4, TRUE, 0, v9_layout, G_N_ELEMENTS(v9_layout), 65535},
    [RING_IPFIX] = {10, 16, 8, 4, 0, FALSE, 2, ipfix_layout, G_N_ELEMENTS(ipfix_layout), 65535},
};

struct Ring {
    RingSettings settings;
    const Dialect *dialect;
    unsigned length;
    RingSlot *slots;
    uint8_t *bytes;     /* length * PAYLOAD_MAX */
    uint32_t *sequence; /* per exporter and domain */
    uint64_t random;
    uint64_t values[V_COUNT]; /* of the record made last: its answer is the next one */
};

/* splitmix64: small, seedable, good enough for test data. */
static uint64_t next_random(Ring *ring)
{
    uint64_t z = (ring->random += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint8_t *put(uint8_t *at, unsigned width, uint64_t value)
{
    for (unsigned i = 0; i < width; i++)
        at[i] = (uint8_t)(value >> (8 * (width - 1 - i)));
    return at + width;
}

static unsigned layout_length(const Field *layout, unsigned fields)
{
    unsigned length = 0;

    for (unsigned i = 0; i < fields; i++)
        length += layout[i].width;
    return length;
}

unsigned ring_max_records(RingDialect dialect)
{
    const Dialect *d = &dialects[dialect];
    unsigned room = PAYLOAD_MAX - d->header_length - 4 /* set header */ - 3 /* padding */;

    return MIN(room / MAX(layout_length(d->layout, d->fields), 1), d->records_max);
}

static uint32_t stranger(Ring *ring)
{
    uint32_t mask = ~0u << (32 - ring->settings.network_len);
    uint32_t address;

    do
        address = (uint32_t)(next_random(ring) % (223u << 24)) + (1u << 24);
    while ((address & mask) == (ring->settings.network & mask));
    return address;
}

/* A flow that leaves our network. */
static void make_request(Ring *ring)
{
    const RingSettings *s = &ring->settings;
    uint64_t *v = ring->values;
    uint64_t r = next_random(ring);
    gboolean mail = (double)(r >> 40) / (double)(1 << 24) < s->mail_share;
    uint32_t host = (uint32_t)(next_random(ring) >> 33) & ~(~0u << (32 - s->network_len));
    int64_t end_ms = s->base_ms - (int64_t)(r % 30000);
    int64_t start_ms = end_ms - (int64_t)(r / 30000 % 30000);
    int64_t boot_ms = s->base_ms - UPTIME_MS;

    v[V_SRC] = s->network | host;
    v[V_DST] = stranger(ring);
    v[V_NEXT_HOP] = 0xc6336401; /* 198.51.100.1 */
    v[V_IN_IF] = 1 + r % 48;
    v[V_OUT_IF] = 100;
    v[V_PACKETS] = 4 + r % 60;
    v[V_OCTETS] = v[V_PACKETS] * (60 + r % 1000);
    v[V_SRC_PORT] = 32768 + (r >> 16) % 28000;
    v[V_DST_PORT] = mail ? 25 : (r & 3) ? 443 : 1024 + (r >> 8) % 30000;
    v[V_PROTO] = mail || (r & 12) ? 6 : 17;
    v[V_TCP_FLAGS] = v[V_PROTO] == 6 ? 0x1b : 0;
    v[V_SRC_AS] = 64500;
    v[V_DST_AS] = 1000 + r % 60000;
    v[V_SRC_MASK] = s->network_len;
    v[V_DST_MASK] = 24;
    v[V_START_MS] = (uint64_t)start_ms;
    v[V_END_MS] = (uint64_t)end_ms;
    v[V_START_UPTIME] = (uint64_t)(start_ms - boot_ms);
    v[V_END_UPTIME] = (uint64_t)(end_ms - boot_ms);
    v[V_DIRECTION] = 0;
    v[V_VLAN] = 100;
    v[V_END_REASON] = 3;
    v[V_SRC_MAC] = 0x020000000000u | v[V_SRC];
}

static void swap(uint64_t *a, uint64_t *b)
{
    uint64_t t = *a;

    *a = *b;
    *b = t;
}

/* The same session, seen in the other direction. */
static void make_answer(Ring *ring)
{
    uint64_t *v = ring->values;

    swap(&v[V_SRC], &v[V_DST]);
    swap(&v[V_SRC_PORT], &v[V_DST_PORT]);
    swap(&v[V_IN_IF], &v[V_OUT_IF]);
    swap(&v[V_SRC_AS], &v[V_DST_AS]);
    swap(&v[V_SRC_MASK], &v[V_DST_MASK]);
    v[V_OCTETS] = v[V_PACKETS] * 60;
    v[V_DIRECTION] = 1;
}

static uint8_t *put_record(Ring *ring, uint8_t *at, uint64_t number)
{
    const Dialect *d = ring->dialect;

    if (number % 2 == 0)
        make_request(ring);
    else
        make_answer(ring);
    for (unsigned i = 0; i < d->fields; i++)
        at = put(at, d->layout[i].width, ring->values[d->layout[i].value]);
    return at;
}

/* Pads the set to four bytes and writes its header at @set. */
static uint8_t *finish_set(uint8_t *set, uint8_t *end, uint16_t id)
{
    while ((end - set) % 4 != 0)
        *end++ = 0;
    put(put(set, 2, id), 2, (uint64_t)(end - set));
    return end;
}

static uint8_t *put_template(const Dialect *d, uint8_t *set)
{
    uint8_t *at = put(put(set + 4, 2, TEMPLATE_ID), 2, d->fields);

    for (unsigned i = 0; i < d->fields; i++)
        at = put(put(at, 2, d->layout[i].element), 2, d->layout[i].width);
    return finish_set(set, at, (uint16_t)d->template_set);
}

/* Sequence, time and uptime are left for ring_next(). */
static void put_header(const Dialect *d, const RingSlot *slot)
{
    uint8_t *at = put(slot->bytes, 2, d->version);

    if (d->version == 10) {
        put(at, 2, slot->length);
        put(slot->bytes + 12, 4, slot->domain);
        return;
    }
    put(at, 2, slot->records > 0 ? slot->records : 1);
    if (d->version == 9)
        put(slot->bytes + 16, 4, slot->domain);
    else
        slot->bytes[21] = (uint8_t)slot->domain; /* engine id */
}

static void make_data(Ring *ring, RingSlot *slot, uint64_t first)
{
    const Dialect *d = ring->dialect;
    uint8_t *set = slot->bytes + d->header_length;
    uint8_t *at = d->template_set >= 0 ? set + 4 : set;

    slot->records = ring->settings.records;
    for (unsigned i = 0; i < slot->records; i++) {
        at = put_record(ring, at, first + i);
        slot->mail += ring->values[V_SRC_PORT] == 25 || ring->values[V_DST_PORT] == 25;
    }
    if (d->template_set >= 0)
        at = finish_set(set, at, TEMPLATE_ID);
    slot->length = (uint32_t)(at - slot->bytes);
}

Ring *ring_new(const RingSettings *settings)
{
    Ring *ring = g_new0(Ring, 1);
    const Dialect *d = &dialects[settings->dialect];
    unsigned templates = d->template_set >= 0 ? settings->domains : 0;

    ring->settings = *settings;
    ring->settings.network &= ~0u << (32 - settings->network_len);
    ring->dialect = d;
    ring->random = settings->seed;
    ring->length = templates + settings->slots;
    ring->slots = g_new0(RingSlot, ring->length);
    ring->bytes = g_malloc0_n(ring->length, PAYLOAD_MAX);
    ring->sequence = g_new0(uint32_t, (gsize)settings->exporters * settings->domains);
    for (unsigned i = 0; i < ring->length; i++) {
        RingSlot *slot = &ring->slots[i];

        slot->bytes = ring->bytes + (size_t)i * PAYLOAD_MAX;
        slot->domain = (i < templates ? i : i - templates) % settings->domains;
        if (i < templates)
            slot->length =
                (uint32_t)(put_template(d, slot->bytes + d->header_length) - slot->bytes);
        else
            make_data(ring, slot, (uint64_t)(i - templates) * settings->records);
        put_header(d, slot);
    }
    return ring;
}

void ring_free(Ring *ring)
{
    if (ring == NULL)
        return;
    g_free(ring->slots);
    g_free(ring->bytes);
    g_free(ring->sequence);
    g_free(ring);
}

unsigned ring_length(const Ring *ring)
{
    return ring->length;
}

/* Template @turn of an exporter: its number, and a definition that changes when the number comes
 * again. The last element becomes one that nobody knows, of the same width. */
static void put_turn(const Ring *ring, const RingSlot *slot, uint64_t turn)
{
    const Dialect *d = ring->dialect;
    uint16_t id = (uint16_t)(TEMPLATE_ID + turn % ring->settings.churn);
    gboolean other = turn / ring->settings.churn % 2 != 0;
    const Field *last = &d->layout[d->fields - 1];
    uint8_t *set = slot->bytes + d->header_length;

    if (slot->records > 0) {
        put(set, 2, id);
        return;
    }
    put(set + 4, 2, id);
    put(set + 8 + 4 * (d->fields - 1), 2, other ? UNKNOWN_ELEMENT : last->element);
}

const RingSlot *ring_next(Ring *ring, uint64_t index, int64_t now_ms)
{
    const Dialect *d = ring->dialect;
    RingSlot *slot = &ring->slots[index % ring->length];
    int64_t uptime_ms = now_ms - (ring->settings.base_ms - UPTIME_MS);
    uint64_t round = index / ring->length;

    slot->exporter = (uint32_t)(round % ring->settings.exporters);
    uint32_t *sequence = &ring->sequence[slot->exporter * ring->settings.domains + slot->domain];
    if (ring->settings.churn > 1 && d->template_set >= 0)
        put_turn(ring, slot, round / ring->settings.exporters);
    put(slot->bytes + d->sequence_offset, 4, *sequence);
    put(slot->bytes + d->seconds_offset, 4, (uint64_t)(now_ms / 1000));
    if (d->uptime_offset != 0)
        put(slot->bytes + d->uptime_offset, 4, (uint64_t)uptime_ms);
    if (d->version == 5)
        put(slot->bytes + 12, 4, (uint64_t)(now_ms % 1000) * 1000000);
    *sequence += d->sequence_packets ? 1 : slot->records;
    return slot;
}
